//! Records that do not fit into memory, parted by a hash, so that what belongs together comes together again.

use super::pending::{Left, RecordHash};
use crate::error::{Error, Result};
use crate::files::Scratch;
use crate::wire::{self, Reader, Write};

/// Bits of the hash that one level of parts goes by.
const BITS: u32 = 6;

/// How many parts a level has.
pub(super) const PARTS: usize = 1 << BITS;

/// Levels that go by the hash of the key; those after them go by the hash of the record.
pub(super) const KEY_LEVELS: u32 = u64::BITS / BITS;

/// No level goes by bits that there are not.
pub(super) const MAX_LEVELS: u32 = KEY_LEVELS + RecordHash::BITS / BITS;

/// How many bytes of a part wait before they are written.
const WAITING: usize = 128 << 10;

/// What a record belongs to: the hash of its key, and its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) key: u64,
    pub(super) record: RecordHash,
}

impl Place {
    /// Which part of a level it is in.
    fn part(self, level: u32) -> usize {
        let bits = match level.checked_sub(KEY_LEVELS) {
            None => self.key >> (level * BITS),
            // The map in memory goes by the lower half.
            Some(level) => (self.record.rotate_right(64) >> (level * BITS)) as u64,
        };
        bits as usize % PARTS
    }
}

/// Records in parts, on disk.
#[derive(Debug)]
pub(super) struct Spill {
    scratch: Scratch,
    level: u32,
    parts: Vec<Part>,
}

#[derive(Debug, Default)]
struct Part {
    waiting: Vec<u8>,
    /// Where what was written lies: start and length.
    written: Vec<(u64, usize)>,
}

impl Spill {
    /// Nothing yet. `level` is how often what comes was parted before.
    pub(super) fn new(level: u32) -> Result<Self> {
        let parts = (0..PARTS).map(|_| Part::default()).collect();
        Ok(Self { scratch: Scratch::new()?, level: level.min(MAX_LEVELS - 1), parts })
    }

    /// A record whose key has this hash.
    pub(super) fn put(&mut self, key: u64, left: &Left<'_>) -> Result<()> {
        let place = Place { key, record: left.hash };
        let Some(part) = self.parts.get_mut(place.part(self.level)) else { return Ok(()) };
        part.waiting.put(&key.to_le_bytes());
        part.waiting.put(&left.hash.to_le_bytes());
        part.waiting.put_varint(left.count.unsigned_abs() << 1 | u64::from(left.count < 0));
        part.waiting.put_varint(left.sequence);
        part.waiting.put_string(left.record);
        if part.waiting.len() >= WAITING {
            part.write(&mut self.scratch)?;
        }
        Ok(())
    }

    /// All parts, to be read one after the other.
    pub(super) fn finish(mut self) -> Result<Parts> {
        for part in &mut self.parts {
            part.write(&mut self.scratch)?;
        }
        let parts = self.parts.into_iter().map(|part| part.written).collect();
        Ok(Parts { scratch: self.scratch, level: self.level, parts })
    }
}

impl Part {
    fn write(&mut self, scratch: &mut Scratch) -> Result<()> {
        if !self.waiting.is_empty() {
            self.written.push((scratch.append(&self.waiting)?, self.waiting.len()));
            self.waiting.clear();
        }
        // Parts that are filled one after the other must not keep what they took.
        self.waiting.shrink_to(2 * WAITING);
        Ok(())
    }
}

/// Records in parts, which are only read.
#[derive(Debug)]
pub(super) struct Parts {
    scratch: Scratch,
    pub(super) level: u32,
    parts: Vec<Vec<(u64, usize)>>,
}

impl Parts {
    /// Hands over each record of a part with the hash of its key. The room of a part is freed with the whole file.
    pub(super) fn each(&self, part: usize, mut each: impl FnMut(u64, Left<'_>) -> Result<()>) -> Result<()> {
        let mut buffer = Vec::new();
        for (start, length) in self.parts.get(part).into_iter().flatten() {
            buffer.resize(*length, 0);
            self.scratch.read(*start, &mut buffer)?;
            let mut reader = Reader::new(&buffer);
            while reader.remaining() > 0 {
                let (key, left) =
                    next(&mut reader).map_err(|error| Error::Internal(format!("a temporary file: {error}")))?;
                each(key, left)?;
            }
        }
        Ok(())
    }

    pub(super) fn is_empty(&self, part: usize) -> bool {
        self.parts.get(part).is_none_or(Vec::is_empty)
    }
}

fn next<'b>(reader: &mut Reader<'b>) -> wire::Result<(u64, Left<'b>)> {
    let (key, hash) = (u64::from_le_bytes(reader.array()?), RecordHash::from_le_bytes(reader.array()?));
    let count = reader.varint()?;
    let sign = if count & 1 == 1 { -1 } else { 1 };
    let count = sign * (count >> 1) as i64;
    let (sequence, record) = (reader.varint()?, reader.string()?);
    Ok((key, Left { hash, count, sequence, record }))
}
