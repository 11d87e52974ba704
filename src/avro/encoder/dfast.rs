//! How libzstd until 1.5.6 looks for matches at levels 3 and 4 (its strategy "dfast"), and at level 2 where the length is
//! known and at most 256 KiB.
//!
//! Two tables remember where bytes were last seen: one by eight bytes, one by four or five. A match of eight bytes is taken
//! at once. Where only a short one is found, one more place is looked at for a match of eight bytes, and that one is taken
//! **however long it is**. libzstd 1.5.7 takes it only if it is longer than the short one, and no parameter brings the old
//! choice back: this is why there is an own search. What becomes of the matches (RFC 8878, 3.1.1.3) is libzstd's work, and
//! the same in both.
//!
//! A place is remembered as the number of bytes before it in this and all earlier frames. So tables need no clearing: what
//! an earlier frame left is never above the lowest place of this one.

use super::zstd_context::{FrameParameters, Sequence};

/// The largest table of any level here.
const MOST_BITS: u32 = 18;

/// A match of eight bytes is looked for up to this many bytes before the end of a block, no further.
const LOOK: usize = 8;

/// After this many bytes without a match, the step from place to place grows by one.
const FASTER_AFTER: usize = 256;

/// Where a frame begins, the last offsets are these (RFC 8878, 3.1.1.5). The third is never used by this search.
const FIRST_OFFSETS: [u32; 2] = [1, 4];

/// Finds the matches of a frame, block by block.
pub(super) struct Dfast {
    tables: Tables,
    /// The place of the frame's first byte.
    base: u32,
    /// How long the frame is.
    length: u32,
    parameters: FrameParameters,
    /// The last two offsets, after the last block and before it.
    offsets: [u32; 2],
    offsets_before: [u32; 2],
    sequences: Vec<Sequence>,
}

/// The last place of each hash, by eight bytes and by the first four or five.
struct Tables {
    long: Box<[u32]>,
    short: Box<[u32]>,
    long_bits: u32,
    short_bits: u32,
}

/// What a search came to.
struct Found {
    /// Where the match begins, and its length.
    start: usize,
    length: usize,
    /// None for the last offset once more.
    offset: Option<u32>,
    /// Where the search was.
    from: usize,
}

impl Dfast {
    pub(super) fn new() -> Self {
        let table = || vec![0; 1 << MOST_BITS].into_boxed_slice();
        Self {
            tables: Tables { long: table(), short: table(), long_bits: MOST_BITS, short_bits: MOST_BITS },
            base: 0,
            length: 0,
            parameters: FrameParameters::default(),
            offsets: FIRST_OFFSETS,
            offsets_before: FIRST_OFFSETS,
            sequences: Vec::new(),
        }
    }

    /// Begins a frame of `length` bytes; false if it is none for this search.
    pub(super) fn begin(&mut self, parameters: FrameParameters, length: usize) -> bool {
        let bits = 1..=MOST_BITS;
        let fits = parameters.is_dfast
            && bits.contains(&parameters.long_bits)
            && bits.contains(&parameters.short_bits)
            && (4..=5).contains(&parameters.min_match);
        let Some(length) = u32::try_from(length).ok().filter(|length| fits && *length < 1 << 31) else { return false };
        self.base = match self.base.checked_add(self.length).filter(|base| *base < 1 << 31) {
            Some(base) => base,
            None => {
                self.tables.long.fill(0);
                self.tables.short.fill(0);
                0
            }
        };
        self.length = length;
        self.tables.long_bits = parameters.long_bits;
        self.tables.short_bits = parameters.short_bits;
        self.parameters = parameters;
        self.offsets = FIRST_OFFSETS;
        self.offsets_before = FIRST_OFFSETS;
        true
    }

    /// Takes the last block's offsets back: a block that is stored or one repeated byte has no sequences.
    pub(super) fn forget_offsets(&mut self) {
        self.offsets = self.offsets_before;
    }

    /// The sequences of the block from `start` to the end of `data`, which begins where the frame does. The last one has the
    /// literals after the last match.
    pub(super) fn parse(&mut self, data: &[u8], start: usize) -> &[Sequence] {
        self.offsets_before = self.offsets;
        self.sequences.clear();
        let rest = match self.parameters.min_match {
            4 => self.block::<4>(data, start),
            _ => self.block::<5>(data, start),
        };
        self.sequences.push(Sequence { offset: 0, litLength: rest as u32, matchLength: 0, rep: 0 });
        &self.sequences
    }

    /// Adds all matches, and returns how many bytes are left after the last.
    fn block<const MIN: usize>(&mut self, data: &[u8], start: usize) -> usize {
        let Some(limit) = data.len().checked_sub(LOOK) else { return data.len() - start };
        let lowest = data.len().saturating_sub(self.parameters.window);
        // Nothing lies before the first byte.
        let mut at = if start == lowest { start + 1 } else { start };
        // An offset that leads out of the frame is kept for later blocks, and not used in this one.
        let reach = at.min(self.parameters.window) as u32;
        let usable = |offset: u32| if offset > reach { (0, offset) } else { (offset, 0) };
        let (mut offset, first_kept) = usable(self.offsets[0]);
        let (mut second, mut second_kept) = usable(self.offsets[1]);
        let mut anchor = start;
        while let Some(found) = self.tables.search::<MIN>(data, at, anchor, self.base, lowest, offset) {
            if let Some(new) = found.offset {
                second = offset;
                offset = new;
            }
            self.put(found.start - anchor, found.length, found.offset);
            at = found.start + found.length;
            anchor = at;
            if at > limit {
                break;
            }
            self.tables.remember::<MIN>(data, self.base, found.from, at);
            // The offset before the last one, right away; it then is the last one.
            while second != 0 && at <= limit && four(data, at) == four(data, at - second as usize) {
                let length = LEAST + equal(data, at + LEAST, at + LEAST - second as usize);
                std::mem::swap(&mut offset, &mut second);
                self.tables.put_both::<MIN>(data, self.base, at);
                self.put(0, length, None);
                at += length;
                anchor = at;
            }
        }
        if first_kept != 0 && offset != 0 {
            second_kept = first_kept;
        }
        let or = |used: u32, kept: u32| if used == 0 { kept } else { used };
        self.offsets = [or(offset, first_kept), or(second, second_kept)];
        data.len() - anchor
    }

    fn put(&mut self, literals: usize, length: usize, offset: Option<u32>) {
        // libzstd adds 3 to tell offsets from the three repeated ones (RFC 8878, 3.1.1.5), so the first of those is 1 - 3.
        const REPEATED: u32 = 1_u32.wrapping_sub(3);
        self.sequences.push(Sequence {
            offset: offset.unwrap_or(REPEATED),
            litLength: literals as u32,
            matchLength: length as u32,
            rep: 0,
        });
    }
}

/// The shortest match.
const LEAST: usize = 4;

impl Tables {
    /// The next match from `at` on. `anchor` is where the last one ended, and matches do not grow back over it.
    fn search<const MIN: usize>(
        &mut self,
        data: &[u8],
        mut at: usize,
        anchor: usize,
        base: u32,
        lowest: usize,
        repeated: u32,
    ) -> Option<Found> {
        let limit = data.len().checked_sub(LOOK)?;
        let (long_bits, short_bits) = (self.long_bits, self.short_bits);
        let long = self.long.get_mut(..1 << long_bits)?;
        let short = self.short.get_mut(..1 << short_bits)?;
        let low = base + lowest as u32;
        let place = |index: u32| (index - base) as usize;
        let repeated = repeated as usize;
        let grown = |start: usize, from: usize, length: usize, at: usize| {
            let back = grows_back(data, start, from, anchor, lowest);
            Found { start: start - back, length: length + back, offset: Some((start - from) as u32), from: at }
        };
        let (mut step, mut faster_at) = (1, at + FASTER_AFTER);
        let mut next = at + step;
        if next > limit {
            return None;
        }
        let mut bytes = eight(data, at);
        let mut slot = long_hash(bytes, long_bits);
        let mut seen = long[slot];
        loop {
            let short_slot = short_hash::<MIN>(bytes, short_bits);
            let near = short[short_slot];
            long[slot] = base + at as u32;
            short[short_slot] = base + at as u32;
            if repeated != 0 && four(data, at + 1) == four(data, at + 1 - repeated) {
                let length = LEAST + equal(data, at + 1 + LEAST, at + 1 + LEAST - repeated);
                return Some(Found { start: at + 1, length, offset: None, from: at });
            }
            let next_bytes = eight(data, next);
            let next_slot = long_hash(next_bytes, long_bits);
            let mut found = None;
            if seen > low && eight(data, place(seen)) == bytes {
                let from = place(seen);
                found = Some(grown(at, from, LOOK + equal(data, at + LOOK, from + LOOK), at));
            }
            let next_seen = long[next_slot];
            if found.is_none() && near > low && four(data, place(near)) == bytes as u32 {
                let from = place(next_seen.max(base));
                found = Some(if next_seen > low && eight(data, from) == next_bytes {
                    grown(next, from, LOOK + equal(data, next + LOOK, from + LOOK), at)
                } else {
                    let from = place(near);
                    grown(at, from, LEAST + equal(data, at + LEAST, from + LEAST), at)
                });
            }
            if found.is_some() {
                // With longer steps that place might lie after the match.
                if step < 4 {
                    long[next_slot] = base + next as u32;
                }
                return found;
            }
            if next >= faster_at {
                step += 1;
                faster_at += FASTER_AFTER;
            }
            at = next;
            next += step;
            (bytes, slot, seen) = (next_bytes, next_slot, next_seen);
            if next > limit {
                return None;
            }
        }
    }

    /// Remembers some places of a match that was found from `from` on and ends at `end`.
    fn remember<const MIN: usize>(&mut self, data: &[u8], base: u32, from: usize, end: usize) {
        self.put_both::<MIN>(data, base, from + 2);
        let slot = long_hash(eight(data, end - 2), self.long_bits);
        self.long[slot] = base + (end - 2) as u32;
        let slot = short_hash::<MIN>(eight(data, end - 1), self.short_bits);
        self.short[slot] = base + (end - 1) as u32;
    }

    fn put_both<const MIN: usize>(&mut self, data: &[u8], base: u32, at: usize) {
        let bytes = eight(data, at);
        self.long[long_hash(bytes, self.long_bits)] = base + at as u32;
        self.short[short_hash::<MIN>(bytes, self.short_bits)] = base + at as u32;
    }
}

// The products are those of libzstd: other ones would find other matches.

fn long_hash(bytes: u64, bits: u32) -> usize {
    (bytes.wrapping_mul(0xcf1b_bcdc_b7a5_6463) >> (64 - bits)) as usize
}

fn short_hash<const MIN: usize>(bytes: u64, bits: u32) -> usize {
    if MIN == 4 {
        ((bytes as u32).wrapping_mul(2_654_435_761) >> (32 - bits)) as usize
    } else {
        ((bytes << 24).wrapping_mul(889_523_592_379) >> (64 - bits)) as usize
    }
}

/// Eight bytes; 0 where there are fewer.
#[inline]
fn eight(data: &[u8], at: usize) -> u64 {
    data.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Four bytes; 0 where there are fewer.
#[inline]
fn four(data: &[u8], at: usize) -> u32 {
    data.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// How many bytes are the same from two places on; `from` is the earlier one.
#[inline]
fn equal(data: &[u8], at: usize, from: usize) -> usize {
    let (Some(ahead), Some(behind)) = (data.get(at..), data.get(from..)) else { return 0 };
    let mut length = 0;
    for (a, b) in ahead.as_chunks::<8>().0.iter().zip(behind.as_chunks::<8>().0) {
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return length + (differing.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    let rest = ahead[length..].iter().zip(&behind[length..]);
    length + rest.take_while(|(a, b)| a == b).count()
}

/// How many bytes are the same before two places, up to `anchor` and `lowest`.
#[inline]
fn grows_back(data: &[u8], at: usize, from: usize, anchor: usize, lowest: usize) -> usize {
    let most = at.saturating_sub(anchor).min(from.saturating_sub(lowest));
    let (ahead, behind) = (&data[at - most..at], &data[from - most..from]);
    ahead.iter().rev().zip(behind.iter().rev()).take_while(|(a, b)| a == b).count()
}
