//! The container around the records: header, blocks, sync markers ("Object Container Files" in the Avro
//! specification 1.12).
//!
//! The parsers look at the start of a slice and say [`Parsed::More`] where it ends too early, so they serve a file that
//! is read piece by piece. They start over each time they are asked: hand them twice as much rather than the least
//! they ask for. What lies in the payload of a block is not their business.

use std::ops::Range;

use super::codec::Codec;
use super::varint::{self, Fault, Long};

/// The first bytes of every container.
pub const MAGIC: [u8; 4] = *b"Obj\x01";

/// Length of a sync marker, bytes.
pub const MARKER: usize = 16;

/// The most bytes of a header, its marker included: 16 MiB.
pub const MAX_HEADER: usize = 16 << 20;

/// The most metadata entries of a header. Real ones have two to ten.
pub const MAX_METADATA: usize = 1 << 16;

/// The most bytes of a block's payload as it is stored: 320 MiB, since there are writers that fill 256 MiB. Larger blocks
/// are legal Avro; they are none here, so that one block always fits into memory.
pub const MAX_BLOCK: usize = 320 << 20;

/// What a look at the start of some bytes gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed<T> {
    /// It is there, whole.
    Done(T),
    /// Too few bytes. Asking again with fewer than this many in all is useless, and even these may not
    /// suffice. Always more than were given, and never more than the thing takes with its marker.
    More(usize),
    /// It is not there, and no more bytes will change that.
    Bad(Flaw),
}

/// Why bytes are not a header or a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// The first bytes are not `Obj\x01`.
    #[error("not an Avro container")]
    Magic,
    /// The first bytes are those of a container of Avro 1.2 or older.
    #[error("an Avro container of the format before 1.3")]
    OldFormat,
    /// A number of more than 10 bytes or 64 bits.
    #[error("a number that is too long at byte {at}")]
    Number {
        /// Where it begins, from the start of the header or block.
        at: usize,
    },
    /// A length below zero in the metadata.
    #[error("a negative length at byte {at} of the header")]
    NegativeLength {
        /// Where it begins.
        at: usize,
    },
    /// The header goes on beyond [`MAX_HEADER`] bytes or [`MAX_METADATA`] entries.
    #[error("a header of more than 16 MiB or 65536 entries")]
    HeaderTooLarge {
        /// It has at least this many bytes; a file that is shorter is cut off or damaged.
        least: usize,
    },
    /// `avro.codec` is not UTF-8.
    #[error("the name of the codec is not a text")]
    CodecName,
    /// A block of fewer than no records.
    #[error("a block of {0} records")]
    Count(i64),
    /// A block of fewer than no bytes.
    #[error("a block of {0} bytes")]
    NegativeSize(i64),
    /// A block of more than [`MAX_BLOCK`] bytes.
    #[error("a block of {size} bytes, which is more than 320 MiB")]
    TooLarge {
        /// Its bytes of payload.
        size: i64,
        /// How many bytes its two numbers take.
        header_len: usize,
    },
    /// What follows the payload of a block is not the file's sync marker.
    #[error("a block that does not end in the sync marker")]
    Marker,
}

/// The header of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it takes, from the magic to the end of the marker.
    pub length: usize,
    /// The sync marker that ends the header and every block.
    pub marker: [u8; MARKER],
    /// Everything before the marker.
    bytes: Vec<u8>,
    /// Where in it the metadata stand, in the order of the file.
    entries: Vec<(Range<usize>, Range<usize>)>,
}

impl Header {
    /// The bytes before the marker: the same in every file of one writer and schema.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All metadata in the order of the file, keys as the raw bytes they are.
    pub fn entries(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.entries.iter().map(|(key, value)| (&self.bytes[key.clone()], &self.bytes[value.clone()]))
    }

    /// One value of the metadata; the last one where the key stands there more than once, as readers have it.
    pub fn metadata(&self, key: &str) -> Option<&[u8]> {
        self.entries().filter(|entry| entry.0 == key.as_bytes()).last().map(|entry| entry.1)
    }

    /// The schema of the records as JSON; `None` where there is none or it is not UTF-8.
    pub fn schema_text(&self) -> Option<&str> {
        self.metadata("avro.schema").and_then(|text| std::str::from_utf8(text).ok())
    }

    /// What the payloads are compressed with: `null` where the header does not say.
    pub fn codec_name(&self) -> &str {
        // A header whose codec is not UTF-8 was refused when it was read.
        self.metadata("avro.codec").map_or("null", |name| std::str::from_utf8(name).unwrap_or_default())
    }
}

/// A block: `header_len` bytes of numbers, `payload_len` bytes of payload, the marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// How many records it says it holds.
    pub count: u64,
    /// Bytes before the payload, 2 to 20.
    pub header_len: usize,
    /// Bytes of payload as they are stored, at most [`MAX_BLOCK`].
    pub payload_len: usize,
    /// Whether both numbers are in their shortest form, so that [`put_block_header`] makes the same bytes.
    pub canonical: bool,
}

impl Block {
    /// Where in the bytes that were parsed the payload stands.
    pub fn payload(&self) -> Range<usize> {
        self.header_len..self.header_len + self.payload_len
    }

    /// Bytes of the whole block, its marker included.
    pub fn length(&self) -> usize {
        self.header_len + self.payload_len + MARKER
    }
}

/// Reads the header at the start of `bytes`.
///
/// The metadata are a map as the specification encodes it: any number of runs, each of which may announce its length
/// in bytes (with a negative count). Readers have no use for that length, so it may be a wrong one.
pub fn parse_header(bytes: &[u8]) -> Parsed<Header> {
    match magic(bytes).and_then(|()| header(bytes)) {
        Ok(header) => Parsed::Done(header),
        // Entries are added up without looking at the limit; it holds here for all of them.
        Err(Stop::More(least)) if least > MAX_HEADER => Parsed::Bad(Flaw::HeaderTooLarge { least }),
        Err(Stop::More(least)) => Parsed::More(least),
        Err(Stop::Bad(flaw)) => Parsed::Bad(flaw),
    }
}

/// Whether `bytes` are a header but for its magic: a container whose first bytes were damaged. Only a header that names a
/// schema counts, so that other files are not taken for it.
pub fn lacks_only_magic(bytes: &[u8]) -> bool {
    magic(bytes).is_err() && header(bytes).is_ok_and(|header| header.metadata("avro.schema").is_some())
}

/// Reads the block at the start of `bytes`, of a file whose marker is `marker`.
///
/// Whether the payload holds as many records as the block says, only walking it shows.
pub fn parse_block(bytes: &[u8], marker: &[u8; MARKER]) -> Parsed<Block> {
    match block(bytes, marker) {
        Ok(block) => Parsed::Done(block),
        Err(Stop::More(least)) => Parsed::More(least),
        Err(Stop::Bad(flaw)) => Parsed::Bad(flaw),
    }
}

/// A header in one run of metadata, in this order, and this marker after it.
pub fn encode_header<'e>(
    entries: impl ExactSizeIterator<Item = (&'e [u8], &'e [u8])>,
    marker: &[u8; MARKER],
) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    varint::encode(&mut out, entries.len() as i64);
    for text in entries.flat_map(|(key, value)| [key, value]) {
        varint::encode(&mut out, text.len() as i64);
        out.extend_from_slice(text);
    }
    varint::encode(&mut out, 0);
    out.extend_from_slice(marker);
    out
}

impl Header {
    /// A header with another codec and marker, which stands last among the metadata; all else is as it was.
    pub fn with_codec(&self, codec: Codec, marker: &[u8; MARKER]) -> Vec<u8> {
        let others = self.entries().filter(|(key, _)| *key != b"avro.codec");
        let entries: Vec<(&[u8], &[u8])> = others.chain([(&b"avro.codec"[..], codec.name().as_bytes())]).collect();
        encode_header(entries.into_iter(), marker)
    }
}

/// Appends what stands before a payload of `payload_len` bytes that holds `count` records. Counts above `i64::MAX`
/// cannot be written and cannot come from [`parse_block`].
pub fn put_block_header(out: &mut Vec<u8>, count: u64, payload_len: usize) {
    varint::encode(out, count as i64);
    varint::encode(out, payload_len as i64);
}

/// Where `marker` first stands in `bytes`. With it a reader finds the next block after a damaged one; a marker may
/// also occur by chance or in metadata, so what follows must still be parsed.
pub fn find_marker(bytes: &[u8], marker: &[u8; MARKER]) -> Option<usize> {
    // Horspool: look at the last byte of the window and move on as far as that byte allows, mostly 16 bytes.
    let mut step = [MARKER; 256];
    for (i, &byte) in marker[..MARKER - 1].iter().enumerate() {
        step[usize::from(byte)] = MARKER - 1 - i;
    }
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + MARKER) {
        if window == marker {
            return Some(at);
        }
        at += step[usize::from(window[MARKER - 1])];
    }
    None
}

/// Why reading stopped before its end.
enum Stop {
    /// How many bytes are needed in all, at least.
    More(usize),
    /// It is of no use.
    Bad(Flaw),
}

/// The number at `at`, after which at least `tail` more bytes must come.
fn long(bytes: &[u8], at: usize, tail: usize) -> Result<Long, Stop> {
    match varint::decode(bytes.get(at..).unwrap_or_default()) {
        Ok(long) => Ok(long),
        Err(Fault::Short) => Err(Stop::More(at.max(bytes.len()) + 1 + tail)),
        Err(Fault::TooLong) => Err(Stop::Bad(Flaw::Number { at })),
    }
}

/// Where the string at `at` stands, after which at least `tail` more bytes must come.
fn string(bytes: &[u8], at: usize, tail: usize) -> Result<Range<usize>, Stop> {
    let length = long(bytes, at, tail)?;
    let start = at + length.used;
    let length = usize::try_from(length.value).map_err(|_| Stop::Bad(Flaw::NegativeLength { at }))?;
    let end = start.saturating_add(length);
    match end.saturating_add(tail) {
        least if least > MAX_HEADER => Err(Stop::Bad(Flaw::HeaderTooLarge { least })),
        least if end > bytes.len() => Err(Stop::More(least)),
        _ => Ok(start..end),
    }
}

fn magic(bytes: &[u8]) -> Result<(), Stop> {
    let magic = &bytes[..bytes.len().min(MAGIC.len())];
    match magic {
        b"Obj\0" => Err(Stop::Bad(Flaw::OldFormat)),
        magic if MAGIC.starts_with(magic) => Ok(()),
        _ => Err(Stop::Bad(Flaw::Magic)),
    }
}

/// The header, whatever its magic is.
fn header(bytes: &[u8]) -> Result<Header, Stop> {
    // What must follow a place inside the metadata: the 0 that ends them, and the marker.
    const TAIL: usize = 1 + MARKER;
    let mut at = MAGIC.len();
    let mut entries = Vec::new();
    loop {
        let count = long(bytes, at, MARKER)?;
        at += count.used;
        if count.value == 0 {
            break;
        }
        if count.value < 0 {
            at += long(bytes, at, TAIL)?.used;
        }
        let count = usize::try_from(count.value.unsigned_abs()).unwrap_or(usize::MAX);
        if count > MAX_METADATA - entries.len() {
            let least = at.saturating_add(count.saturating_mul(2)).saturating_add(TAIL);
            return Err(Stop::Bad(Flaw::HeaderTooLarge { least }));
        }
        for _ in 0..count {
            let key = string(bytes, at, 1 + TAIL)?;
            let value = string(bytes, key.end, TAIL)?;
            at = value.end;
            entries.push((key, value));
        }
    }
    let length = at + MARKER;
    if length > MAX_HEADER {
        return Err(Stop::Bad(Flaw::HeaderTooLarge { least: length }));
    }
    let Some(marker) = bytes.get(at..).and_then(|rest| rest.first_chunk()) else {
        return Err(Stop::More(length));
    };
    let header = Header { length, marker: *marker, bytes: bytes[..at].to_vec(), entries };
    match header.metadata("avro.codec").map(std::str::from_utf8) {
        Some(Err(_)) => Err(Stop::Bad(Flaw::CodecName)),
        _ => Ok(header),
    }
}

fn block(bytes: &[u8], marker: &[u8; MARKER]) -> Result<Block, Stop> {
    let count = long(bytes, 0, 1 + MARKER)?;
    let records = u64::try_from(count.value).map_err(|_| Stop::Bad(Flaw::Count(count.value)))?;
    let size = long(bytes, count.used, MARKER)?;
    let header_len = count.used + size.used;
    let payload_len = match usize::try_from(size.value) {
        Err(_) if size.value < 0 => return Err(Stop::Bad(Flaw::NegativeSize(size.value))),
        Ok(length) if length <= MAX_BLOCK => length,
        _ => return Err(Stop::Bad(Flaw::TooLarge { size: size.value, header_len })),
    };
    let block = Block { count: records, header_len, payload_len, canonical: count.canonical && size.canonical };
    match bytes.get(block.payload().end..block.length()) {
        None => Err(Stop::More(block.length())),
        Some(end) if end == marker => Ok(block),
        Some(_) => Err(Stop::Bad(Flaw::Marker)),
    }
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
