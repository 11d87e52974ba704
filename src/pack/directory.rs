//! The directory of a pack: which chunk lies where. Column by column, since equal things next to each other compress.

use super::header::HEADER_LEN;
use super::{Encoding, Place};
use crate::chunk::{ChunkKind, Compressor, Decompressor, MAX_CHUNK};
use crate::crypto::TAG_LEN;
use crate::id::ChunkId;
use crate::wire::{Malformed, Reader, Result, Write};

/// What lies in a pack. Frames follow each other from the end of the header on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    /// The frames, in the order in which they lie.
    pub frames: Vec<Frame>,
    /// The chunks of all frames, in order.
    pub chunks: Vec<FrameChunk>,
    /// The base chunks that deltas of this pack need, each once.
    pub bases: Vec<ChunkId>,
}

/// A frame of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// How it is encoded.
    pub encoding: Encoding,
    /// What its chunks hold.
    pub kind: ChunkKind,
    /// Where it begins in the pack.
    pub offset: u32,
    /// How many bytes it takes there, tag included.
    pub stored: u32,
    /// How many plain bytes its chunks come to.
    pub plain: u32,
    /// The number of its first chunk in the directory.
    pub first: u32,
    /// How many chunks it has.
    pub count: u32,
    /// Where in a chain of deltas it stands.
    pub place: Place,
    /// Which of the directory's bases it needs, in order.
    pub bases: Vec<u32>,
}

/// A chunk in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameChunk {
    /// The chunk's id.
    pub id: ChunkId,
    /// How many plain bytes it has.
    pub length: u32,
}

/// The version of this layout.
const VERSION: u8 = 1;

/// The largest directory, decompressed.
const MAX_DIRECTORY: usize = 32 << 20;

/// The most bases a delta may have, and the deepest it may stand.
pub const MAX_BASES: usize = 4;
/// See [`MAX_BASES`].
pub const MAX_DEPTH: u8 = 16;

impl Frame {
    /// What is authenticated with the frame: encoding, kind, and a digest of the ordered ids and lengths of its chunks.
    pub fn bound(&self, chunks: &[FrameChunk]) -> Vec<u8> {
        bound(self.encoding, self.kind, chunks)
    }
}

/// See [`Frame::bound`].
pub(super) fn bound(encoding: Encoding, kind: ChunkKind, chunks: &[FrameChunk]) -> Vec<u8> {
    let mut hasher = crate::id::Digester::new();
    for chunk in chunks {
        hasher.update(chunk.id.as_bytes());
        hasher.update(&chunk.length.to_le_bytes());
    }
    let mut bound = vec![encoding as u8, kind as u8];
    bound.put(&hasher.finish());
    bound
}

impl Directory {
    /// Adds a frame that lies after those that are there.
    pub fn push(&mut self, encoding: Encoding, kind: ChunkKind, chunks: &[FrameChunk], stored: u32) {
        let offset = self.frames.last().map_or(HEADER_LEN as u32, |last| last.offset + last.stored);
        self.frames.push(Frame {
            encoding,
            kind,
            offset,
            stored,
            plain: chunks.iter().map(|chunk| chunk.length).sum(),
            first: self.chunks.len() as u32,
            count: chunks.len() as u32,
            place: Place::default(),
            bases: Vec::new(),
        });
        self.chunks.extend_from_slice(chunks);
    }

    /// Adds a delta that lies after the frames that are there. `bases` are numbers of the directory's bases, each of
    /// which is at most the number of a base that no delta has named so far.
    pub fn push_delta(&mut self, kind: ChunkKind, chunk: FrameChunk, stored: u32, place: Place, bases: Vec<u32>) {
        self.push(Encoding::Delta, kind, &[chunk], stored);
        if let Some(frame) = self.frames.last_mut() {
            frame.place = place;
            frame.bases = bases;
        }
    }

    /// The chunks of a frame of this directory.
    pub fn chunks_of(&self, frame: &Frame) -> &[FrameChunk] {
        let first = frame.first as usize;
        self.chunks.get(first..first + frame.count as usize).unwrap_or(&[])
    }

    /// The frames with their chunks.
    pub fn iter(&self) -> impl Iterator<Item = (&Frame, &[FrameChunk])> {
        self.frames.iter().map(|frame| (frame, self.chunks_of(frame)))
    }

    /// The bytes of the directory, before sealing.
    pub fn encode(&self) -> Vec<u8> {
        let mut plain = vec![VERSION];
        plain.put_varint(self.frames.len() as u64);
        plain.extend(self.frames.iter().map(|frame| frame.encoding as u8));
        plain.extend(self.frames.iter().map(|frame| frame.kind as u8));
        for frame in &self.frames {
            plain.put_varint(u64::from(frame.count));
        }
        for frame in &self.frames {
            plain.put_varint(u64::from(frame.stored));
        }
        for chunk in &self.chunks {
            plain.put_varint(u64::from(chunk.length));
        }
        for chunk in &self.chunks {
            plain.put(chunk.id.as_bytes());
        }
        plain.put_varint(self.bases.len() as u64);
        for base in &self.bases {
            plain.put(base.as_bytes());
        }
        let deltas = || self.frames.iter().filter(|frame| frame.encoding == Encoding::Delta);
        plain.extend(deltas().map(|frame| frame.place.depth));
        plain.extend(deltas().map(|frame| frame.place.step));
        plain.extend(deltas().map(|frame| frame.bases.len() as u8));
        // Neighbours share bases, and bases stand in the order in which they are first named. So these are small.
        let mut fresh = 0;
        for base in deltas().flat_map(|frame| &frame.bases) {
            plain.put_varint(u64::from(fresh - base.min(&fresh)));
            fresh += u32::from(*base == fresh);
        }
        let compressed = Compressor::new(3).and_then(|mut c| c.compress(&plain)).ok();
        let mut bytes = Vec::with_capacity(plain.len() + 8);
        match compressed.filter(|compressed| compressed.len() + 4 < plain.len()) {
            Some(compressed) => {
                bytes.put_varint(plain.len() as u64);
                bytes.put(&compressed);
            }
            None => {
                bytes.put_varint(0);
                bytes.put(&plain);
            }
        }
        bytes
    }

    /// Reads what [`encode`](Directory::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        match reader.varint()? {
            0 => Self::decode_plain(reader.rest()),
            length if length <= MAX_DIRECTORY as u64 => {
                let plain = Decompressor::new().and_then(|mut d| d.decompress(reader.rest(), length as usize));
                Self::decode_plain(&plain.map_err(|e| Malformed(format!("its directory does not decompress: {e}")))?)
            }
            length => Err(Malformed(format!("its directory would have {length} bytes"))),
        }
    }

    fn decode_plain(plain: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(plain);
        match reader.u8()? {
            VERSION => {}
            other => return Err(Malformed(format!("its directory is of version {other}, this is version {VERSION}"))),
        }
        let count = reader.count(4)?;
        let (encodings, kinds) = (reader.bytes(count)?, reader.bytes(count)?);
        let counts = (0..count).map(|_| reader.varint()).collect::<Result<Vec<_>>>()?;
        let stored = (0..count).map(|_| reader.varint()).collect::<Result<Vec<_>>>()?;
        let chunk_count = counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
        let chunk_count = chunk_count
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| count.saturating_mul(33) <= reader.remaining())
            .ok_or_else(|| Malformed::new("its directory announces more chunks than it lists"))?;
        let lengths = (0..chunk_count).map(|_| chunk_length(reader.varint()?)).collect::<Result<Vec<_>>>()?;
        let mut directory = Self::default();
        for length in lengths {
            directory.chunks.push(FrameChunk { id: ChunkId::new(reader.array()?), length });
        }
        let base_count = reader.count(32)?;
        directory.bases = (0..base_count).map(|_| reader.array().map(ChunkId::new)).collect::<Result<_>>()?;
        let mut deltas = Deltas::read(&mut reader, encodings, directory.bases.len())?;
        let (mut offset, mut first) = (HEADER_LEN as u32, 0u32);
        for (((encoding, kind), count), stored) in encodings.iter().zip(kinds).zip(counts).zip(stored) {
            let encoding = Encoding::from_number(*encoding)
                .ok_or_else(|| Malformed(format!("frame encoding {encoding} is not known")))?;
            let kind =
                ChunkKind::from_number(*kind).ok_or_else(|| Malformed(format!("chunk kind {kind} is not known")))?;
            let stored = u32::try_from(stored).ok().filter(|stored| *stored as usize >= TAG_LEN);
            let (Some(stored), count) = (stored, count as u32) else {
                return Err(Malformed::new("a frame has an impossible length"));
            };
            // Every frame has a chunk, so the ids that are there bound the number of frames, too.
            if count == 0 {
                return Err(Malformed::new("a frame has no chunks"));
            }
            let chunks = &directory.chunks[first as usize..(first + count) as usize];
            let plain = chunks.iter().try_fold(0u32, |sum, chunk| sum.checked_add(chunk.length));
            let plain = plain.filter(|plain| *plain as usize <= 2 * MAX_CHUNK);
            let plain = plain.ok_or_else(|| Malformed::new("a frame is longer than a frame may be"))?;
            let (place, bases) = match encoding {
                Encoding::Delta if count == 1 => deltas.next_delta(&mut reader)?,
                Encoding::Delta => return Err(Malformed::new("a delta of several chunks")),
                _ => (Place::default(), Vec::new()),
            };
            directory.frames.push(Frame { encoding, kind, offset, stored, plain, first, count, place, bases });
            first += count;
            offset = offset.checked_add(stored).ok_or_else(|| Malformed::new("its frames are longer than a pack"))?;
        }
        deltas.finish()?;
        reader.finish()?;
        Ok(directory)
    }
}

fn chunk_length(length: u64) -> Result<u32> {
    match u32::try_from(length) {
        Ok(length) if length as usize <= MAX_CHUNK => Ok(length),
        _ => Err(Malformed(format!("a chunk of {length} bytes is longer than a chunk may be"))),
    }
}

/// The columns of the deltas of a directory, on the way in.
struct Deltas<'a> {
    /// Depth, step and number of bases of each.
    columns:
        std::iter::Zip<std::iter::Zip<std::slice::Iter<'a, u8>, std::slice::Iter<'a, u8>>, std::slice::Iter<'a, u8>>,
    known: u32,
    /// The number of the base that none has named so far.
    fresh: u32,
}

impl<'a> Deltas<'a> {
    fn read(reader: &mut Reader<'a>, encodings: &[u8], known: usize) -> Result<Self> {
        let count = encodings.iter().filter(|encoding| **encoding == Encoding::Delta as u8).count();
        let (depths, steps, counts) = (reader.bytes(count)?, reader.bytes(count)?, reader.bytes(count)?);
        Ok(Self { columns: depths.iter().zip(steps).zip(counts), known: known as u32, fresh: 0 })
    }

    fn next_delta(&mut self, reader: &mut Reader<'_>) -> Result<(Place, Vec<u32>)> {
        let impossible = || Malformed::new("a delta has an impossible depth or number of bases");
        let ((depth, step), count) = self.columns.next().ok_or_else(impossible)?;
        if !(1..=MAX_DEPTH).contains(depth) || step > depth || !(1..=MAX_BASES).contains(&usize::from(*count)) {
            return Err(impossible());
        }
        let mut bases = Vec::with_capacity(usize::from(*count));
        for _ in 0..*count {
            let back = u32::try_from(reader.varint()?).ok();
            let base = back.and_then(|back| self.fresh.checked_sub(back)).filter(|base| *base < self.known);
            let base = base.ok_or_else(|| Malformed::new("a delta names a base that is not listed"))?;
            self.fresh += u32::from(base == self.fresh);
            bases.push(base);
        }
        Ok((Place { depth: *depth, step: *step }, bases))
    }

    /// Every base must have been named.
    fn finish(&self) -> Result<()> {
        match self.fresh == self.known {
            true => Ok(()),
            false => Err(Malformed::new("its directory lists a base that no delta names")),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any directory that a pack could have, deltas included.
    pub(crate) fn directories() -> impl Strategy<Value = Directory> {
        let chunk =
            (any::<[u8; 32]>(), 0u32..300_000).prop_map(|(id, length)| FrameChunk { id: ChunkId::new(id), length });
        let frame =
            (0..ChunkKind::ALL.len(), 0..4usize, prop::collection::vec(chunk, 1..9), 16u32..1_000_000, 1u8..=16);
        let bases = prop::collection::vec(any::<u32>(), 1..5);
        (prop::collection::vec((frame, bases), 0..20)).prop_map(|frames| {
            let mut directory = Directory::default();
            for ((kind, encoding, chunks, stored, depth), bases) in frames {
                let (encoding, kind) = (Encoding::ALL[encoding], ChunkKind::ALL[kind]);
                if encoding != Encoding::Delta {
                    directory.push(encoding, kind, &chunks, stored);
                    continue;
                }
                // Any that was named before, or a new one.
                let mut named = Vec::new();
                for base in bases {
                    let number = base % (directory.bases.len() as u32 + 1);
                    if number as usize == directory.bases.len() {
                        directory.bases.push(ChunkId::new(crate::id::digest(&number.to_le_bytes())));
                    }
                    named.push(number);
                }
                directory.push_delta(kind, chunks[0], stored, Place { depth, step: depth % 8 }, named);
            }
            directory
        })
    }

    proptest! {
        #[test]
        fn a_directory_is_read_back(directory in directories()) {
            prop_assert_eq!(Directory::decode(&directory.encode())?, directory);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, directory in directories(), at: prop::sample::Index, to: u8) {
            let _ = Directory::decode(&bytes);
            bytes.splice(..0, [0, VERSION]);
            let _ = Directory::decode(&bytes);
            let mut bytes = directory.encode();
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = Directory::decode(&bytes);
        }
    }

    #[test]
    fn frames_without_chunks_are_refused() {
        let count = 100_000;
        let mut plain = vec![VERSION];
        plain.put_varint(count);
        // Raw, of bytes, without chunks, of the shortest length.
        for column in [0, 2, 0, TAG_LEN as u8] {
            plain.extend(std::iter::repeat_n(column, count as usize));
        }
        plain.push(0);
        let mut bytes = Vec::new();
        bytes.put_varint(plain.len() as u64);
        bytes.put(&Compressor::new(3).unwrap().compress(&plain).unwrap());
        assert!(bytes.len() < 1000 && Directory::decode(&bytes).is_err());
    }

    #[test]
    fn a_delta_costs_little_more_than_the_ids_it_names() {
        let id = |number: u32| ChunkId::new(crate::id::digest(&number.to_le_bytes()));
        let mut directory = Directory { bases: (0..101).map(id).collect(), ..Default::default() };
        for number in 0..100 {
            let chunk = FrameChunk { id: id(1000 + number), length: 60_000 + 37 * number };
            directory.push_delta(
                ChunkKind::Records,
                chunk,
                150 + number * 7 % 90,
                Place { depth: 3, step: 3 },
                vec![number, number + 1],
            );
        }
        let bytes = directory.encode();
        assert_eq!(Directory::decode(&bytes).unwrap(), directory);
        assert!(bytes.len() < 201 * 32 + 100 * 6, "{}", bytes.len());
    }

    #[test]
    fn a_chunk_costs_little_more_than_its_id() {
        let mut directory = Directory::default();
        for frame in 0..10u8 {
            let chunks: Vec<_> = (0..8u8)
                .map(|chunk| FrameChunk { id: ChunkId::new(crate::id::digest(&[frame, chunk])), length: 65_536 })
                .collect();
            directory.push(Encoding::Zstd, ChunkKind::Records, &chunks, 200_000);
        }
        assert!(directory.encode().len() < 80 * 34, "{}", directory.encode().len());
    }
}
