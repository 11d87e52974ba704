//! What of a file is lost when chunks of it are: which bytes, blocks and records. And the way to what is left of it.
//!
//! The references of a tree say how long what hangs on them is, so a place behind a lost chunk is known as well as one
//! before it. Only a lost segment of a layout leaves a gap: what lies behind the last one is placed from the end.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::layout::{Class, Entry, entries_of_piece};
use super::rebuild::{BlockFrame, MAX_ENTRY, Part};
use super::tree::TreeReader;
use super::{ContainerRecipe, Recipe, Stream};
use crate::chunk::ChunkSource;
use crate::error::{Error, Result};
use crate::id::ChunkId;

/// Says of a chunk that holds a part of a file whether it is lost.
pub(super) type IsLost<'f> = &'f mut dyn FnMut(&ChunkId) -> Result<bool>;

/// Ranges of numbers, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// The first of them. What touches is one range.
    pub ranges: Vec<Range<u64>>,
    /// How many numbers all of them hold.
    pub total: u64,
    /// How many ranges are not listed.
    pub unlisted: u64,
    end: u64,
}

/// So many ranges are listed.
const LISTED: usize = 1000;

impl Ranges {
    /// The next range, which begins where the one before ended, or behind that.
    pub fn push(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        self.total = self.total.saturating_add(range.end - range.start);
        let touches = self.end == range.start && self.end > 0;
        self.end = range.end;
        let listed = self.ranges.len();
        match self.ranges.last_mut() {
            Some(last) if touches && self.unlisted == 0 => last.end = range.end,
            _ if touches => {}
            _ if listed < LISTED => self.ranges.push(range),
            _ => self.unlisted += 1,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// What of a file is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loss {
    /// Of a file that is no container: which bytes.
    pub bytes: Ranges,
    /// Of a container: its header, without which no other program can read what is left.
    pub header: bool,
    /// Blocks that are not whole any more, from 0 on.
    pub blocks: Ranges,
    /// The records in these blocks, from 0 on, as the blocks declare them.
    pub records: Ranges,
    /// Decoded bytes of these blocks, as far as that is known.
    pub block_bytes: u64,
    /// Bytes that belonged to no block.
    pub strays: u64,
    /// So much of the layout is lost that not all blocks can be told.
    pub layout: bool,
}

impl Loss {
    /// Whether anything is lost.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }

    /// Adds what is lost of a stretch.
    pub fn add(&mut self, stretch: &Stretch) {
        match stretch {
            Stretch::Header { lost } => self.header |= lost,
            Stretch::Block(Placed { sound: true, .. }) | Stretch::Stray { lost: false, .. } => {}
            Stretch::Block(block) => {
                self.blocks.push(block.number..block.number.saturating_add(1));
                self.records.push(block.first_record..block.first_record.saturating_add(block.entry.count));
                self.block_bytes = self.block_bytes.saturating_add(block.entry.length);
            }
            Stretch::Stray { length, lost: true } => self.strays = self.strays.saturating_add(*length),
            Stretch::Unknown { blocks, records } => {
                self.layout = true;
                self.blocks.push(blocks.clone());
                self.records.push(records.clone());
            }
        }
    }
}

/// What of a file is lost; none if it is whole. `totals` are the numbers of its blocks and records, where they are known.
///
/// # Errors
/// Those of `is_lost`, and of the source where it fails without anything being lost.
pub fn loss<S: ChunkSource + ?Sized>(
    recipe: &Recipe,
    totals: Option<(u64, u64)>,
    source: &S,
    is_lost: IsLost<'_>,
) -> Result<Option<Loss>> {
    let mut loss = Loss::default();
    match recipe {
        Recipe::Plain(stream) => {
            let mut pieces = PieceWalk::new(stream, source);
            while let Some(piece) = pieces.next_piece(is_lost)? {
                if piece.lost {
                    loss.bytes.push(piece.range);
                }
            }
        }
        Recipe::Container(recipe) => {
            let mut survey = ContainerSurvey::new(recipe, totals, source, is_lost)?;
            while let Some(stretch) = survey.next_stretch(is_lost)? {
                loss.add(&stretch);
            }
        }
    }
    Ok(loss.is_any().then_some(loss))
}

/// A piece of a stream, or all that hung on a node that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkedPiece {
    /// Which bytes of the stream.
    pub range: Range<u64>,
    /// Whether they are lost.
    pub lost: bool,
    /// The chunk, or the node; none if the bytes stand in the recipe, or nowhere.
    pub id: Option<ChunkId>,
}

/// Goes through the pieces of a stream, lost ones among them.
pub struct PieceWalk<'s, S: ?Sized> {
    source: &'s S,
    inline: Arc<[u8]>,
    inline_given: bool,
    pieces: TreeReader<'s, S>,
    at: u64,
    end: u64,
}

impl<'s, S: ChunkSource + ?Sized> PieceWalk<'s, S> {
    /// At the start of the stream.
    pub fn new(stream: &Stream, source: &'s S) -> Self {
        let (inline, pieces) = match stream {
            Stream::Empty => (&[][..], TreeReader::empty(source)),
            Stream::Inline(bytes) => (&bytes[..], TreeReader::empty(source)),
            Stream::Tree(tree) => (&[][..], TreeReader::new(tree, source)),
        };
        Self { source, inline: inline.into(), inline_given: inline.is_empty(), pieces, at: 0, end: stream.length() }
    }

    /// The next piece.
    pub fn next_piece(&mut self, is_lost: IsLost<'_>) -> Result<Option<WalkedPiece>> {
        if !self.inline_given {
            self.inline_given = true;
            self.at = self.end;
            return Ok(Some(WalkedPiece { range: 0..self.end, lost: false, id: None }));
        }
        let Some((reference, error)) = self.pieces.next_or_lost()? else {
            // A tree that does not come to its own length: what is missing is lost.
            let range = std::mem::replace(&mut self.at, self.end)..self.end;
            return Ok((!range.is_empty()).then_some(WalkedPiece { range, lost: true, id: None }));
        };
        let start = self.at;
        self.at = start.saturating_add(reference.length).min(self.end);
        let lost = error.is_some() || is_lost(&reference.id)?;
        Ok(Some(WalkedPiece { range: start..self.at, lost, id: Some(reference.id) }))
    }

    /// The bytes of a piece that is not lost.
    ///
    /// # Errors
    /// Those of the source; [`Error::Damaged`] if the chunk is not as long as its reference says.
    pub fn read(&self, piece: &WalkedPiece) -> Result<Arc<[u8]>> {
        let Some(id) = &piece.id else { return Ok(self.inline.clone()) };
        let bytes = self.source.get(id)?;
        match bytes.len() as u64 == piece.range.end - piece.range.start {
            true => Ok(bytes),
            false => Err(Error::damaged(format_args!("chunk {id}"), "it is not as long as its reference says")),
        }
    }
}

impl<S: ?Sized> std::fmt::Debug for PieceWalk<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PieceWalk(at {} of {})", self.at, self.end)
    }
}

/// The pieces of a stream around a place that only goes forward.
struct Window<'s, S: ?Sized> {
    walk: PieceWalk<'s, S>,
    held: VecDeque<WalkedPiece>,
}

/// A forged tree may have any number of short pieces.
const MAX_HELD: usize = 1 << 20;

impl<'s, S: ChunkSource + ?Sized> Window<'s, S> {
    fn new(stream: &Stream, source: &'s S) -> Self {
        Self { walk: PieceWalk::new(stream, source), held: VecDeque::new() }
    }

    /// Whether all bytes of the range are there. Ranges come in order.
    fn has(&mut self, range: &Range<u64>, is_lost: IsLost<'_>) -> Result<bool> {
        if range.is_empty() {
            return Ok(true);
        }
        if range.end > self.walk.end {
            return Ok(false);
        }
        while self.held.front().is_some_and(|piece| piece.range.end <= range.start) {
            self.held.pop_front();
        }
        while self.walk.at < range.end {
            let Some(piece) = self.walk.next_piece(is_lost)? else { return Ok(false) };
            if piece.range.end > range.start {
                self.held.push_back(piece);
            }
            if self.held.len() > MAX_HELD {
                return Ok(false);
            }
        }
        Ok(self.held.iter().take_while(|piece| piece.range.start < range.end).all(|piece| !piece.lost))
    }

    /// The bytes of the range that was asked for last and is there.
    fn read(&self, range: &Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        let overlaps = |piece: &&WalkedPiece| piece.range.start < range.end && piece.range.end > range.start;
        for piece in self.held.iter().filter(overlaps) {
            let read = self.walk.read(piece)?;
            let from = range.start.saturating_sub(piece.range.start) as usize;
            let to = (range.end.min(piece.range.end) - piece.range.start) as usize;
            bytes.extend_from_slice(read.get(from..to).unwrap_or(&[]));
        }
        match bytes.len() as u64 == range.end - range.start {
            true => Ok(bytes),
            false => Err(Error::damaged("the recipe", "a stream is shorter than the layout needs")),
        }
    }
}

/// A part of a container, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    /// The header.
    Header {
        /// Whether it is lost.
        lost: bool,
    },
    /// A block.
    Block(Placed),
    /// Bytes that belong to no block.
    Stray {
        /// How many.
        length: u64,
        /// Whether they are lost.
        lost: bool,
    },
    /// Blocks of which nothing is known any more, since the layout of this part is lost.
    Unknown {
        /// Their numbers; empty where that is not known either.
        blocks: Range<u64>,
        /// The records in them.
        records: Range<u64>,
    },
}

/// A block and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Which block of the file, from 0 on.
    pub number: u64,
    /// Which record of the file is its first, from 0 on.
    pub first_record: u64,
    /// What the layout says about it.
    pub entry: Entry,
    /// Whether all that it is made of is there.
    pub sound: bool,
    /// Where it lies in its own stream and in the corrections.
    ranges: [Range<u64>; 2],
}

/// How far the streams of a container were gone through.
#[derive(Debug, Clone, Copy, Default)]
struct Offsets {
    records: u64,
    payloads: u64,
    strays: u64,
    corrections: u64,
    blocks: u64,
    record_count: u64,
}

impl Offsets {
    /// Goes over an entry; gives where it lies in its own stream and in the corrections.
    fn pass(&mut self, entry: &Entry) -> [Range<u64>; 2] {
        let own = match entry.class {
            Class::Records | Class::Corrected => &mut self.records,
            Class::Payload => &mut self.payloads,
            Class::Stray => &mut self.strays,
        };
        let start = *own;
        *own = start.saturating_add(entry.length);
        let range = start..*own;
        let corrections = self.corrections;
        self.corrections = corrections.saturating_add(entry.corrections);
        if entry.class != Class::Stray {
            self.blocks += 1;
            self.record_count = self.record_count.saturating_add(entry.count);
        }
        [range, corrections..self.corrections]
    }

    /// Where the first of entries that come to `self` lies, if the last of them ends where everything ends.
    fn from_end(self, end: Offsets) -> Option<Offsets> {
        Some(Offsets {
            records: end.records.checked_sub(self.records)?,
            payloads: end.payloads.checked_sub(self.payloads)?,
            strays: end.strays.checked_sub(self.strays)?,
            corrections: end.corrections.checked_sub(self.corrections)?,
            blocks: end.blocks.saturating_sub(self.blocks),
            record_count: end.record_count.saturating_sub(self.record_count),
        })
    }
}

/// Goes through a container of which chunks are lost.
pub struct ContainerSurvey<'r, 's, S: ?Sized> {
    recipe: &'r ContainerRecipe,
    begun: bool,
    header: Window<'s, S>,
    layout: PieceWalk<'s, S>,
    records: Window<'s, S>,
    payloads: Window<'s, S>,
    strays: Window<'s, S>,
    corrections: Window<'s, S>,
    entries: VecDeque<Entry>,
    at: Offsets,
    /// The first and the last piece of the layout that are lost, and where what comes behind the last one lies.
    gap: Option<(u64, u64, Option<Offsets>)>,
    /// How many pieces of the layout were gone through.
    segment: u64,
}

impl<'r, 's, S: ChunkSource + ?Sized> ContainerSurvey<'r, 's, S> {
    /// At the start of the file. Goes through the layout once, to see whether something of it is lost.
    ///
    /// # Errors
    /// As of [`loss`].
    pub fn new(
        recipe: &'r ContainerRecipe,
        totals: Option<(u64, u64)>,
        source: &'s S,
        is_lost: IsLost<'_>,
    ) -> Result<Self> {
        let (mut gap, mut behind) = (None, Offsets::default());
        let mut layout = PieceWalk::new(&recipe.layout, source);
        let mut segment = 0;
        while let Some(entries) = next_entries(&mut layout, is_lost)? {
            match entries {
                Some(entries) => entries.iter().for_each(|entry| drop(behind.pass(entry))),
                None => {
                    let first = gap.map_or(segment, |(first, _)| first);
                    (gap, behind) = (Some((first, segment)), Offsets::default());
                }
            }
            segment += 1;
        }
        let end = Offsets {
            records: recipe.records.length(),
            payloads: recipe.payloads.length(),
            strays: recipe.strays.length(),
            corrections: recipe.corrections.length(),
            blocks: totals.map_or(0, |(blocks, _)| blocks),
            record_count: totals.map_or(0, |(_, records)| records),
        };
        Ok(Self {
            begun: false,
            header: Window::new(&recipe.header, source),
            layout: PieceWalk::new(&recipe.layout, source),
            records: Window::new(&recipe.records, source),
            payloads: Window::new(&recipe.payloads, source),
            strays: Window::new(&recipe.strays, source),
            corrections: Window::new(&recipe.corrections, source),
            entries: VecDeque::new(),
            at: Offsets::default(),
            gap: gap.map(|(first, last)| (first, last, behind.from_end(end))),
            segment: 0,
            recipe,
        })
    }

    /// The next part of the file.
    ///
    /// # Errors
    /// As of [`loss`].
    pub fn next_stretch(&mut self, is_lost: IsLost<'_>) -> Result<Option<Stretch>> {
        if !self.begun {
            self.begun = true;
            let all = 0..self.recipe.header.length();
            return Ok(Some(Stretch::Header { lost: all.end > MAX_ENTRY || !self.header.has(&all, is_lost)? }));
        }
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return self.place(entry, is_lost).map(Some);
            }
            let Some(entries) = next_entries(&mut self.layout, is_lost)? else { return Ok(None) };
            let segment = self.segment;
            self.segment += 1;
            match self.gap {
                Some((first, last, behind)) if (first..=last).contains(&segment) => {
                    if segment < last {
                        continue;
                    }
                    let before = self.at;
                    // Where even that does not come out, nothing behind the gap can be placed.
                    let Some(behind) = behind else {
                        self.layout = PieceWalk::new(&Stream::Empty, self.layout.source);
                        return Ok(Some(Stretch::Unknown { blocks: 0..0, records: 0..0 }));
                    };
                    self.at = behind;
                    return Ok(Some(Stretch::Unknown {
                        blocks: before.blocks..behind.blocks.max(before.blocks),
                        records: before.record_count..behind.record_count.max(before.record_count),
                    }));
                }
                _ => self.entries = entries.unwrap_or_default().into(),
            }
        }
    }

    fn place(&mut self, entry: Entry, is_lost: IsLost<'_>) -> Result<Stretch> {
        let (number, first_record) = (self.at.blocks, self.at.record_count);
        let ranges = self.at.pass(&entry);
        let [own, corrections] = &ranges;
        let window = match entry.class {
            Class::Records | Class::Corrected => &mut self.records,
            Class::Payload => &mut self.payloads,
            Class::Stray => &mut self.strays,
        };
        let fits = entry.length <= MAX_ENTRY && entry.corrections <= MAX_ENTRY;
        let sound = window.has(own, is_lost)? && fits && self.corrections.has(corrections, is_lost)?;
        Ok(match entry.class {
            Class::Stray => Stretch::Stray { length: entry.length, lost: !sound },
            _ => Stretch::Block(Placed { number, first_record, entry, sound, ranges }),
        })
    }

    /// The header with its marker, right after it was given and was not lost.
    ///
    /// # Errors
    /// Those of the source.
    pub fn read_header(&self) -> Result<Vec<u8>> {
        let mut header = self.header.read(&(0..self.recipe.header.length()))?;
        header.extend_from_slice(&self.recipe.marker);
        Ok(header)
    }

    /// A sound block, right after it was given.
    ///
    /// # Errors
    /// Those of the source; [`Error::Damaged`] if the block names no encoder of the recipe.
    pub fn read_block(&self, block: &Placed) -> Result<Part> {
        let [own, corrections] = &block.ranges;
        let frame = BlockFrame::new(&block.entry, self.recipe.marker);
        if block.entry.class == Class::Payload {
            return Ok(Part::Payload { payload: self.payloads.read(own)?, frame });
        }
        let plain = self.records.read(own)?;
        let encoder = usize::try_from(block.entry.encoder).ok().and_then(|number| self.recipe.encoders.get(number));
        let encoder = encoder.ok_or_else(|| Error::damaged("the recipe", "a block names no encoder of it"))?;
        let corrections = match block.entry.class {
            Class::Corrected => Some(self.corrections.read(corrections)?),
            _ => None,
        };
        Ok(match encoder.as_str() {
            "null" => Part::Payload { payload: plain, frame },
            _ => Part::Encode { plain, encoder: encoder.clone(), corrections, frame },
        })
    }
}

impl<S: ?Sized> std::fmt::Debug for ContainerSurvey<'_, '_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContainerSurvey(at block {})", self.at.blocks)
    }
}

/// The entries of the next segment of a layout; none of them if it is lost.
fn next_entries<S: ChunkSource + ?Sized>(
    layout: &mut PieceWalk<'_, S>,
    is_lost: IsLost<'_>,
) -> Result<Option<Option<Vec<Entry>>>> {
    let Some(piece) = layout.next_piece(is_lost)? else { return Ok(None) };
    if piece.lost {
        return Ok(Some(None));
    }
    match layout.read(&piece) {
        Ok(bytes) => Ok(Some(entries_of_piece(&bytes).ok())),
        Err(error) if error.is_damage() => Ok(Some(None)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::container::put_block_header;
    use crate::chunk::{ChunkKind, ChunkMap, CutParams};
    use crate::recipe::{Framer, Segment, Splitter, Treatment};
    use proptest::prelude::*;

    const SMALL: CutParams = CutParams { min: 64, average: 256, max: 1024, align: 512 };

    /// A container of so many blocks of so many longs each, taken apart; some blocks are kept as their payloads.
    fn container(blocks: &[u64], map: &mut ChunkMap) -> (Recipe, Vec<Vec<u8>>) {
        let mut file = b"Obj\x01\x02\x16avro.schema\x0c\"long\"\x00".to_vec();
        file.extend([7; 16]);
        let mut payloads = Vec::new();
        for (number, count) in blocks.iter().enumerate() {
            let mut payload = Vec::new();
            for long in 0..*count {
                crate::avro::varint::encode(&mut payload, (long * long * 7919 + number as u64).cast_signed());
            }
            put_block_header(&mut file, *count, payload.len());
            file.extend(&payload);
            file.extend([7; 16]);
            payloads.push(payload);
        }
        let (mut framer, mut splitter) = (Framer::new(true), Splitter::new(SMALL));
        framer.push(&file);
        let mut number = 0;
        while let Some(segment) = framer.next_segment(true) {
            match segment {
                Segment::Block(block) if number % 3 != 2 => {
                    number += 1;
                    let treatment = Treatment::Decode { plain: None, encoder: "null".into(), corrections: None };
                    splitter.block(block, treatment, map).unwrap();
                }
                segment => {
                    number += u64::from(matches!(segment, Segment::Block(_)));
                    splitter.segment(segment, map).unwrap();
                }
            }
        }
        (splitter.finish(map).unwrap().recipe, payloads)
    }

    proptest! {
        #[test]
        fn what_is_sound_is_read_and_what_is_lost_is_told(
            blocks in prop::collection::vec(0u64..400, 0..60), lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let mut map = ChunkMap::default();
            let (recipe, payloads) = container(&blocks, &mut map);
            let mut ids: Vec<_> = map.chunks.keys().copied().collect();
            ids.sort();
            for index in lost.iter().filter(|_| !ids.is_empty()) {
                map.chunks.remove(index.get(&ids));
            }
            let Recipe::Container(container) = &recipe else { panic!("a container") };
            let mut is_lost = |id: &ChunkId| Ok(!map.chunks.contains_key(id));
            let totals = Some((blocks.len() as u64, blocks.iter().sum()));
            let mut survey = ContainerSurvey::new(container, totals, &map, &mut is_lost).unwrap();
            let (mut met, mut told) = (vec![false; blocks.len()], Loss::default());
            while let Some(stretch) = survey.next_stretch(&mut is_lost).unwrap() {
                told.add(&stretch);
                match stretch {
                    Stretch::Block(block) => {
                        let number = block.number as usize;
                        prop_assert!(!std::mem::replace(&mut met[number], true));
                        prop_assert_eq!(block.first_record, blocks[..number].iter().sum::<u64>());
                        if block.sound {
                            let Part::Payload { payload, .. } = survey.read_block(&block).unwrap() else { panic!("kept") };
                            prop_assert_eq!(&payload, &payloads[number]);
                        }
                    }
                    Stretch::Unknown { blocks: unknown, .. } => {
                        unknown.for_each(|number| met[number as usize] = true);
                    }
                    _ => {}
                }
            }
            prop_assert!(met.iter().all(|met| *met));
            let whole = loss(&recipe, totals, &map, &mut is_lost).unwrap();
            prop_assert_eq!(whole.unwrap_or_default(), told.clone());
            prop_assert_eq!(told.is_any(), lost.iter().any(|index| !ids.is_empty() && is_lost(index.get(&ids)).unwrap()));
        }

        #[test]
        fn ranges_that_touch_are_one(numbers in prop::collection::btree_set(0u64..5000, 0..3000)) {
            let mut ranges = Ranges::default();
            numbers.iter().for_each(|number| ranges.push(*number..number + 1));
            prop_assert_eq!(ranges.total, numbers.len() as u64);
            let starts = numbers.iter().filter(|number| **number == 0 || !numbers.contains(&(**number - 1))).count();
            prop_assert_eq!(ranges.ranges.len() + ranges.unlisted as usize, starts);
            prop_assert!(ranges.ranges.len() <= LISTED);
        }
    }

    #[test]
    fn the_lost_bytes_of_a_plain_file_are_told() {
        let mut map = ChunkMap::default();
        let mut builder = super::super::StreamBuilder::new();
        for piece in 0..300u32 {
            builder.push(ChunkKind::Bytes, piece.to_le_bytes().repeat(200), 0, &mut map).unwrap();
        }
        let recipe = Recipe::Plain(builder.finish(&mut map).unwrap());
        assert_eq!(loss(&recipe, None, &map, &mut |id| Ok(!map.chunks.contains_key(id))).unwrap(), None);
        let gone = crate::id::ChunkHasher::open().id(&5u32.to_le_bytes().repeat(200));
        map.chunks.remove(&gone).unwrap();
        let lost = loss(&recipe, None, &map, &mut |id| Ok(!map.chunks.contains_key(id))).unwrap().unwrap();
        assert_eq!(lost.bytes.ranges, vec![4000..4800]);
        // Without a node all that hung on it is lost; without the root all.
        map.chunks.retain(|_, (kind, _)| *kind != ChunkKind::Node);
        let lost = loss(&recipe, None, &map, &mut |id| Ok(!map.chunks.contains_key(id))).unwrap().unwrap();
        assert_eq!(lost.bytes.ranges, vec![0..240_000]);
    }
}
