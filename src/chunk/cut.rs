//! Cutting a stream into chunks by its content (`docs/format.md`, "Cutting").
//!
//! Where a stream is cut follows from its bytes and its record borders alone: not from how the bytes arrive, not from
//! the blocks they lay in, not from the file's name. That is what makes equal records meet again.

use fastcdc::v2020::FastCDC;

use crate::wire::{self, Malformed, Reader, Write};

/// How streams are cut, in bytes. For the life of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutParams {
    /// No chunk is shorter, but for the last of a stream.
    pub min: u32,
    /// What the chunks of random bytes come to on average, roughly.
    pub average: u32,
    /// No cut by content is further from the last one.
    pub max: u32,
    /// How far a cut may be moved to the next record border.
    pub align: u32,
}

impl Default for CutParams {
    fn default() -> Self {
        Self { min: 16 << 10, average: 64 << 10, max: 256 << 10, align: 256 << 10 }
    }
}

impl CutParams {
    /// Appends the parameters, 16 bytes.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        for value in [self.min, self.average, self.max, self.align] {
            bytes.put_u32(value);
        }
    }

    /// Reads what [`write`](CutParams::write) wrote; refuses what the cutter cannot work with.
    pub fn read(reader: &mut Reader<'_>) -> wire::Result<Self> {
        let params = Self { min: reader.u32()?, average: reader.u32()?, max: reader.u32()?, align: reader.u32()? };
        params.check()?;
        Ok(params)
    }

    /// Refuses what the cutter cannot work with: sizes must be even, in order, and within 64 B to 4 MiB.
    pub fn check(&self) -> wire::Result<()> {
        let Self { min, average, max, align } = *self;
        let sound = (64..=1 << 20).contains(&min)
            && (256..=4 << 20).contains(&average)
            && (1024..=4 << 20).contains(&max)
            && min <= average
            && average <= max
            && align <= 4 << 20
            && [min, average, max].iter().all(|size| size % 2 == 0);
        match sound {
            true => Ok(()),
            false => Err(Malformed(format!("cutting at {min}/{average}/{max} bytes makes no sense"))),
        }
    }
}

/// A piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the chunk.
    pub bytes: Vec<u8>,
    /// How many records end in it.
    pub records: u64,
    /// Whether it begins and ends at a record border.
    pub aligned: bool,
}

/// Cuts one stream. Bytes and record borders are pushed in, pieces come out.
#[derive(Debug)]
pub struct StreamCutter {
    params: CutParams,
    /// Bytes that belong to no piece yet, from `start` on.
    buffer: Vec<u8>,
    start: usize,
    /// Bit `i` is set where a record ends right before `buffer[i]`.
    borders: Vec<u64>,
    begins_aligned: bool,
    has_borders: bool,
    /// Where a full window of zeros is cut: a file with holes has many of them.
    zeros: Option<usize>,
}

/// The room that is kept after a large push; more is given back.
const KEPT: usize = 16 << 20;

/// How much has to be cut off the front of the buffer before the rest is moved there.
const COMPACT: usize = 1 << 20;

impl StreamCutter {
    /// At the start of a stream. `has_borders` says whether record borders will be pushed, too.
    pub fn new(params: CutParams, has_borders: bool) -> Self {
        Self {
            params,
            buffer: Vec::new(),
            start: 0,
            borders: Vec::new(),
            begins_aligned: true,
            has_borders,
            zeros: None,
        }
    }

    /// How many bytes are waiting to be cut.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// The next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start >= COMPACT {
            // By whole words of the bitmap.
            let moved = self.start & !63;
            self.buffer.drain(..moved);
            self.borders.drain(..(moved / 64).min(self.borders.len()));
            self.start -= moved;
            if self.buffer.capacity() > KEPT && self.buffer.len() <= COMPACT {
                self.buffer.shrink_to(2 * COMPACT);
                self.borders.shrink_to(2 * COMPACT / 64);
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// A record ends `back` bytes before the end of what was pushed so far.
    pub fn border(&mut self, back: usize) {
        let at = self.buffer.len().saturating_sub(back);
        if self.borders.len() <= at / 64 {
            self.borders.resize(self.buffer.len() / 64 + 1, 0);
        }
        if let Some(word) = self.borders.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    /// The next piece, if it is certain where it ends; with `finished`, what is left is all there is.
    pub fn next_piece(&mut self, finished: bool) -> Option<Piece> {
        let waiting = &self.buffer[self.start..];
        let max = self.params.max as usize;
        if waiting.is_empty() || (waiting.len() < max && !finished) {
            return None;
        }
        let window = &waiting[..waiting.len().min(max)];
        let is_hole = window.len() == max && is_zero(window);
        let cut = match self.zeros.filter(|_| is_hole) {
            Some(cut) => cut,
            None => {
                let cdc = FastCDC::new(window, self.params.min as usize, self.params.average as usize, max);
                let (_, cut) = cdc.cut(0, window.len());
                cut.clamp(1, window.len())
            }
        };
        if is_hole {
            self.zeros = Some(cut);
        }
        let cut = self.start + cut;
        let end = match self.has_borders {
            false => cut,
            true => {
                let limit = cut + self.params.align as usize;
                match self.border_from(cut, limit) {
                    Some(border) => border,
                    // The border may be in bytes that are still to come.
                    None if self.buffer.len() < limit && !finished => return None,
                    None => cut,
                }
            }
        };
        let records = self.count_borders(self.start + 1, end + 1);
        let ends_aligned = self.has_borders && self.is_border(end);
        let piece = Piece {
            bytes: self.buffer[self.start..end].to_vec(),
            records,
            aligned: self.has_borders && self.begins_aligned && ends_aligned,
        };
        self.begins_aligned = ends_aligned;
        self.start = end;
        Some(piece)
    }

    /// The first border in `from..=to`.
    fn border_from(&self, from: usize, to: usize) -> Option<usize> {
        let mut word = self.borders.get(from / 64)? & (!0 << (from % 64));
        let mut index = from / 64;
        while word == 0 {
            index += 1;
            if index * 64 > to {
                return None;
            }
            word = *self.borders.get(index)?;
        }
        let at = index * 64 + word.trailing_zeros() as usize;
        (at <= to).then_some(at)
    }

    fn is_border(&self, at: usize) -> bool {
        self.borders.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn count_borders(&self, from: usize, to: usize) -> u64 {
        let mut count = 0;
        for (index, word) in self.borders.iter().enumerate().take(to / 64 + 1).skip(from / 64) {
            let mut word = *word;
            if index == from / 64 {
                word &= !0 << (from % 64);
            }
            if index == to / 64 {
                word &= !(!0 << (to % 64));
            }
            count += u64::from(word.count_ones());
        }
        count
    }
}

/// Whether these are nothing but zeros. One that is not shows it mostly at once.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|part| part.iter().fold(0, |all, byte| all | byte) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: CutParams = CutParams { min: 64, average: 256, max: 1024, align: 512 };

    /// All pieces of a stream that is pushed in parts of these sizes, with a border after each record.
    fn pieces(stream: &[u8], records: Option<&[usize]>, parts: &[usize]) -> Vec<Piece> {
        let mut cutter = StreamCutter::new(SMALL, records.is_some());
        let mut ends = Vec::new();
        for length in records.unwrap_or(&[]) {
            ends.push(ends.last().unwrap_or(&0) + length);
        }
        let (mut out, mut at, mut parts) = (Vec::new(), 0, parts.iter().cycle());
        while at < stream.len() {
            let next = stream.len().min(at + *parts.next().unwrap());
            cutter.push(&stream[at..next]);
            for end in ends.iter().filter(|end| (at + 1..=next).contains(end)) {
                cutter.border(next - end);
            }
            at = next;
            while let Some(piece) = cutter.next_piece(false) {
                out.push(piece);
            }
        }
        while let Some(piece) = cutter.next_piece(true) {
            out.push(piece);
        }
        out
    }

    #[test]
    fn stretches_of_zeros_are_cut_as_any_other_bytes_are() {
        let noise = |from: u32, count: u32| (from..from + count).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8);
        let stream: Vec<u8> = noise(0, 3000).chain([0; 20_000]).chain(noise(9, 500)).chain([0; 9_999]).collect();
        let mut at = 0;
        for piece in pieces(&stream, None, &[777]) {
            let window = &stream[at..stream.len().min(at + SMALL.max as usize)];
            let (_, cut) = FastCDC::new(window, 64, 256, 1024).cut(0, window.len());
            assert_eq!(piece.bytes, window[..cut.clamp(1, window.len())]);
            at += piece.bytes.len();
        }
        assert_eq!(at, stream.len());
    }

    proptest! {
        #[test]
        fn how_the_bytes_arrive_changes_nothing(
            seed: u64,
            records in prop::collection::vec(1usize..900, 0..200),
            parts in prop::collection::vec(1usize..5000, 1..10),
        ) {
            let length = records.iter().sum();
            let stream = noise(seed, length);
            for records in [None, Some(&records[..])] {
                let whole = pieces(&stream, records, &[usize::MAX / 2]);
                prop_assert_eq!(&whole, &pieces(&stream, records, &parts));
                prop_assert_eq!(whole.iter().flat_map(|p| p.bytes.clone()).collect::<Vec<_>>(), &stream[..]);
                if let Some(records) = records {
                    prop_assert_eq!(whole.iter().map(|p| p.records).sum::<u64>(), records.len() as u64);
                    // No record here is longer than what a cut may be moved, plus one more chance at the max.
                    let mut at = 0;
                    let mut borders = std::collections::HashSet::from([0]);
                    borders.extend(records.iter().map(|length| { at += length; at }));
                    let mut at = 0;
                    for piece in &whole {
                        let end = at + piece.bytes.len();
                        prop_assert_eq!(piece.aligned, borders.contains(&at) && borders.contains(&end));
                        at = end;
                    }
                }
            }
        }
    }

    #[test]
    fn an_insertion_changes_only_what_is_near_it() {
        let before = noise(1, 200_000);
        let mut after = before.clone();
        after.splice(100_000..100_000, [1, 2, 3, 4, 5]);
        let before: std::collections::HashSet<_> =
            pieces(&before, None, &[4096]).into_iter().map(|p| p.bytes).collect();
        let after = pieces(&after, None, &[4096]);
        let new = after.iter().filter(|piece| !before.contains(&piece.bytes)).count();
        assert!(new <= 4, "{new} of {} pieces are new", after.len());
    }

    #[test]
    fn a_record_longer_than_the_limit_is_cut_through() {
        let stream = noise(2, 10_000);
        let pieces = pieces(&stream, Some(&[100, 9_800, 100]), &[10_000]);
        assert!(pieces.len() > 3 && !pieces[1].aligned);
        assert!(pieces.iter().all(|piece| piece.bytes.len() <= 1024 + 512));
    }

    #[test]
    fn senseless_parameters_are_refused() {
        for params in [
            CutParams { min: 0, ..SMALL },
            CutParams { average: 32, ..SMALL },
            CutParams { max: u32::MAX, ..SMALL },
            CutParams { min: 65, ..SMALL },
        ] {
            assert!(params.check().is_err(), "{params:?}");
        }
    }

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }
}
