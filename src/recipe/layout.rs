//! The layout of a container: how its blocks lie (drawn in `docs/format.md`, "Layout"). It is written in segments that
//! each stand alone, column by column.

use super::stream::{StreamBuilder, StreamReader};
use crate::avro::container::{MARKER, put_block_header};
use crate::chunk::{ChunkKind, ChunkSink, ChunkSource};
use crate::error::{Context, Result};
use crate::id::Digester;
use crate::wire::{self, Malformed, Reader, Write};

/// What one entry of a layout stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// A block whose decoded payload is in the records; an encoder makes the payload from it.
    Records = 0,
    /// A block whose payload is kept as it is.
    Payload = 1,
    /// Bytes that belong to no sound block.
    Stray = 2,
    /// As `Records`, but the encoder's output has to be corrected.
    Corrected = 3,
}

/// What the layout says about a stretch of the file, so that a failure names its place and a place in the file is found without
/// encoding what stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The beginning of BLAKE3 over the payloads and stray bytes.
    pub hash: CheckHash,
    /// How many bytes of the file the stretch has, heads and markers of blocks included.
    pub covers: u64,
    /// How many entries of the segment it has.
    pub entries: u64,
}

/// How many bytes of BLAKE3 a check has.
const CHECK_LEN: usize = 4;

/// The hash of a check.
pub type CheckHash = [u8; CHECK_LEN];

impl Class {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Records, Self::Payload, Self::Stray, Self::Corrected].into_iter().find(|class| *class as u8 == number)
    }
}

/// One block, or one run of stray bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How its bytes are kept.
    pub class: Class,
    /// How many records the block says it holds; 0 for stray bytes.
    pub count: u64,
    /// How many bytes it takes from its stream: decoded ones of records, stored ones of anything else.
    pub length: u64,
    /// Which of the recipe's encoders makes the payload from records; 0 for anything else.
    pub encoder: u64,
    /// How many bytes of corrections it has; 0 for all but `Corrected`.
    pub corrections: u64,
    /// The block's two numbers, where they are not in the shortest form.
    pub odd_head: Option<Vec<u8>>,
}

impl Entry {
    /// How many bytes of the file the entry takes with a payload of this length.
    pub fn length_in_file(&self, payload: usize) -> u64 {
        let head = match (&self.odd_head, self.class) {
            (_, Class::Stray) => return payload as u64,
            (Some(head), _) => head.len(),
            (None, _) => {
                let mut head = Vec::with_capacity(20);
                put_block_header(&mut head, self.count, payload);
                head.len()
            }
        };
        (head + payload + MARKER) as u64
    }
}

/// How many entries a segment has at most.
const SEGMENT: usize = 4096;

/// A check is written when at least this many bytes were rebuilt since the one before, and at the end of a segment.
const CHECK_EVERY: u64 = 1 << 20;

const VERSION: u8 = 1;

/// Watches the bytes of the blocks and stray runs as they stand in the file, and says when a check is due: so a failure
/// names its place.
#[derive(Debug, Default)]
pub(super) struct Checker {
    hasher: Digester,
    bytes: u64,
    entries: u64,
}

impl Checker {
    /// Takes in the payload (or stray bytes) of an entry; returns the check if one is due after it.
    pub(super) fn entry(&mut self, payload: &[u8], last_of_segment: bool) -> Option<CheckHash> {
        self.hasher.update(payload);
        self.bytes += payload.len() as u64;
        self.entries += 1;
        if self.bytes < CHECK_EVERY && !last_of_segment {
            return None;
        }
        self.flush()
    }

    fn flush(&mut self) -> Option<CheckHash> {
        if self.entries == 0 {
            return None;
        }
        let hash = std::mem::take(self).hasher.finish();
        Some([hash[0], hash[1], hash[2], hash[3]])
    }
}

/// Writes a layout.
#[derive(Debug, Default)]
pub struct LayoutWriter {
    entries: Vec<Entry>,
    checks: Vec<Check>,
    checker: Checker,
    /// How many bytes of the file, and how many entries, came since the last check.
    covers: u64,
    uncovered: u64,
    stream: StreamBuilder,
}

impl LayoutWriter {
    /// An empty layout.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next entry, with its bytes as they stand in the file.
    pub fn push(&mut self, entry: Entry, payload: &[u8], sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        self.covers += entry.length_in_file(payload.len());
        self.uncovered += 1;
        self.entries.push(entry);
        let last = self.entries.len() == SEGMENT;
        let hash = self.checker.entry(payload, last);
        self.check(hash);
        if last {
            self.close(sink)?;
        }
        Ok(())
    }

    fn check(&mut self, hash: Option<CheckHash>) {
        if let Some(hash) = hash {
            let (covers, entries) = (std::mem::take(&mut self.covers), std::mem::take(&mut self.uncovered));
            self.checks.push(Check { hash, covers, entries });
        }
    }

    fn close(&mut self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let hash = self.checker.flush();
        self.check(hash);
        let in_file = self.checks.iter().map(|check| check.covers).sum();
        let bytes = encode_segment(&std::mem::take(&mut self.entries), &std::mem::take(&mut self.checks));
        self.stream.push(ChunkKind::Layout, bytes, in_file, sink)
    }

    /// The finished layout. A segment is a piece of its stream, with its length before it.
    pub fn finish(mut self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<super::Stream> {
        self.close(sink)?;
        self.stream.finish(sink)
    }
}

fn encode_segment(entries: &[Entry], checks: &[Check]) -> Vec<u8> {
    let mut body = vec![VERSION];
    body.put_varint(entries.len() as u64);
    for run in entries.chunk_by(|a, b| a.class == b.class) {
        body.put_u8(run.first().map_or(0, |entry| entry.class as u8));
        body.put_varint(run.len() as u64);
    }
    for entry in entries.iter().filter(|entry| entry.class != Class::Stray) {
        body.put_varint(entry.count);
    }
    for entry in entries {
        body.put_varint(entry.length);
    }
    let other: Vec<_> = entries.iter().enumerate().filter(|(_, entry)| entry.encoder != 0).collect();
    body.put_varint(other.len() as u64);
    for (number, entry) in other {
        body.put_varint(number as u64);
        body.put_varint(entry.encoder);
    }
    for entry in entries.iter().filter(|entry| entry.class == Class::Corrected) {
        body.put_varint(entry.corrections);
    }
    let odd: Vec<_> = entries.iter().enumerate().filter_map(|(n, entry)| Some((n, entry.odd_head.as_ref()?))).collect();
    body.put_varint(odd.len() as u64);
    for (number, head) in odd {
        body.put_varint(number as u64);
        body.put_string(head);
    }
    body.put_varint(checks.len() as u64);
    for check in checks {
        body.put(&check.hash);
    }
    for check in checks {
        body.put_varint(check.covers);
    }
    for check in checks {
        body.put_varint(check.entries);
    }
    let mut bytes = Vec::with_capacity(body.len() + 4);
    bytes.put_u32(body.len() as u32);
    bytes.put(&body);
    bytes
}

fn decode_segment(body: &[u8]) -> wire::Result<LayoutSegment> {
    let mut reader = Reader::new(body);
    match reader.u8()? {
        VERSION => {}
        other => return Err(Malformed(format!("a layout of version {other}, this is version {VERSION}"))),
    }
    let count = reader.count(1)?;
    if count > SEGMENT {
        return Err(Malformed(format!("a segment of {count} entries")));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    while entries.len() < count {
        let class = reader.u8()?;
        let class = Class::from_number(class).ok_or_else(|| Malformed(format!("a block of class {class}")))?;
        let run = reader.varint()?;
        if run == 0 || run > (count - entries.len()) as u64 {
            return Err(Malformed::new("a run of blocks of an impossible length"));
        }
        let entry = Entry { class, count: 0, length: 0, encoder: 0, corrections: 0, odd_head: None };
        entries.extend(std::iter::repeat_n(entry, run as usize));
    }
    for entry in entries.iter_mut().filter(|entry| entry.class != Class::Stray) {
        entry.count = reader.varint()?;
    }
    for entry in &mut entries {
        entry.length = reader.varint()?;
    }
    let nth = |number: u64| Malformed(format!("an exception for entry {number} of {count}"));
    for _ in 0..reader.count(2)? {
        let (number, encoder) = (reader.varint()?, reader.varint()?);
        entries.get_mut(number as usize).ok_or_else(|| nth(number))?.encoder = encoder;
    }
    for entry in entries.iter_mut().filter(|entry| entry.class == Class::Corrected) {
        entry.corrections = reader.varint()?;
    }
    for _ in 0..reader.count(2)? {
        let number = reader.varint()?;
        let head = reader.string()?.to_vec();
        entries.get_mut(number as usize).ok_or_else(|| nth(number))?.odd_head = Some(head);
    }
    let hashes: Vec<_> = (0..reader.count(CHECK_LEN + 2)?).map(|_| reader.array()).collect::<wire::Result<_>>()?;
    let check = |hash| Ok(Check { hash, covers: reader.varint()?, entries: 0 });
    let mut checks: Vec<Check> = hashes.into_iter().map(check).collect::<wire::Result<_>>()?;
    for check in &mut checks {
        check.entries = reader.varint()?;
    }
    if checks.iter().fold(0, |sum: u64, check| sum.saturating_add(check.entries)) != count as u64 {
        return Err(Malformed::new("checks that do not cover the entries of their segment"));
    }
    reader.finish()?;
    Ok((entries, checks))
}

/// The longest segment that is read, in bytes.
const MAX_SEGMENT: u32 = 4 << 20;

/// The entries of a segment and its checks.
pub type LayoutSegment = (Vec<Entry>, Vec<Check>);

/// Reads a layout, segment by segment.
pub struct LayoutReader<S> {
    stream: StreamReader<S>,
}

impl<S: ChunkSource> LayoutReader<S> {
    /// At the first segment.
    pub fn new(stream: &super::Stream, source: S) -> Self {
        Self { stream: StreamReader::new(stream, source) }
    }

    /// How many bytes of the layout are left.
    pub(super) fn left(&self) -> u64 {
        self.stream.left()
    }

    /// Passes over this many bytes of the layout, which must be whole segments.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<()> {
        self.stream.skip(bytes)
    }

    /// The entries and checks of the next segment.
    pub fn next_segment(&mut self) -> Result<Option<LayoutSegment>> {
        if self.stream.left() == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.stream.read(4, &mut bytes)?;
        let length = Reader::new(&bytes).u32().in_object("the layout")?;
        if length > MAX_SEGMENT {
            return Err(Malformed(format!("a segment of {length} bytes"))).in_object("the layout");
        }
        bytes.clear();
        self.stream.read(length as usize, &mut bytes)?;
        decode_segment(&bytes).in_object("the layout").map(Some)
    }
}

/// The entries of a segment, from the piece of the stream that it is.
pub(super) fn entries_of_piece(piece: &[u8]) -> wire::Result<Vec<Entry>> {
    let mut reader = Reader::new(piece);
    let length = reader.u32()?;
    let body = reader.rest();
    match length <= MAX_SEGMENT && body.len() == length as usize {
        true => decode_segment(body).map(|(entries, _)| entries),
        false => Err(Malformed(format!("a segment of {length} bytes in a piece of {}", piece.len()))),
    }
}

impl<S> std::fmt::Debug for LayoutReader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LayoutReader(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkMap;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (0..4usize, any::<u64>(), any::<u64>(), 0u64..3, any::<u64>(), prop::option::of(any::<[u8; 3]>()));
        let entry = entry.prop_map(|(class, count, length, encoder, corrections, odd_head)| {
            let class = [Class::Records, Class::Payload, Class::Stray, Class::Corrected][class];
            Entry {
                class,
                count: if class == Class::Stray { 0 } else { count },
                length,
                encoder,
                corrections: if class == Class::Corrected { corrections } else { 0 },
                odd_head: odd_head.map(|head| head.to_vec()),
            }
        });
        prop::collection::vec(entry, 1..50)
    }

    proptest! {
        #[test]
        fn a_layout_is_read_back(entries in entries(), repeat in 1usize..200) {
            let entries: Vec<Entry> = std::iter::repeat_n(entries, repeat).flatten().collect();
            let (mut map, mut writer) = (ChunkMap::default(), LayoutWriter::new());
            for entry in &entries {
                writer.push(entry.clone(), b"payload", &mut map).unwrap();
            }
            let in_file: u64 = entries.iter().map(|entry| entry.length_in_file(b"payload".len())).sum();
            let stream = writer.finish(&mut map).unwrap();
            let mut reader = LayoutReader::new(&stream, &map);
            let (mut back, mut covered) = (Vec::new(), 0);
            while let Some((entries, checks)) = reader.next_segment().unwrap() {
                prop_assert_eq!(checks.len(), 1, "{} entries", entries.len());
                prop_assert_eq!(checks[0].entries, entries.len() as u64);
                covered += checks[0].covers;
                back.extend(entries);
            }
            prop_assert_eq!(back, entries);
            prop_assert_eq!(covered, in_file);
            if let super::super::Stream::Tree(tree) = stream {
                prop_assert_eq!(tree.root.records, in_file, "the tree says it, too");
            }
        }

        #[test]
        fn any_bytes_are_a_segment_or_refused(entries in entries(), at: prop::sample::Index, to: u8, noise: Vec<u8>) {
            let mut bytes = encode_segment(&entries, &[Check { hash: [1; 4], covers: 5, entries: entries.len() as u64 }]).split_off(4);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode_segment(&bytes);
            let _ = decode_segment(&noise);
        }
    }
}
