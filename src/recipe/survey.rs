//! What of a file is lost when chunks of it are: which bytes, blocks and records. And the way to what is left of it.
//!
//! The references of a tree say how long what hangs on them is, so a place after a lost chunk is known as well as one
//! before it. Only a lost segment of a layout leaves a gap: what lies after the last one is placed from the end.

mod loss;
mod pieces;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::Range;

pub use loss::{Loss, Ranges, loss};
use pieces::Window;
pub use pieces::{PieceWalk, WalkedPiece};

use super::layout::{Class, Entry, entries_of_piece};
use super::rebuild::{BlockFrame, MAX_ENTRY, Part};
use super::{ContainerRecipe, Stream};
use crate::chunk::ChunkSource;
use crate::error::{Error, Result};
use crate::id::ChunkId;

/// Says of a chunk that holds a part of a file whether it is lost.
pub(super) type IsLost<'f> = &'f mut dyn FnMut(&ChunkId) -> Result<bool>;

/// A part of a container, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    /// The header of the container.
    Header {
        /// Whether it is lost.
        lost: bool,
    },
    /// A block.
    Block(Placed),
    /// Bytes that belong to no block.
    Stray {
        /// Length in bytes.
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
    /// Goes over an entry; returns where it lies in its own stream and in the corrections.
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
    fn placed_before(self, end: Offsets) -> Option<Offsets> {
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
    /// The first and the last piece of the layout that are lost, and where what comes after the last one lies.
    gap: Option<(u64, u64, Option<Offsets>)>,
    /// How many pieces of the layout were gone through.
    segment: u64,
}

impl<'r, 's, S: ChunkSource + ?Sized> ContainerSurvey<'r, 's, S> {
    /// At the start of the file. Goes through the layout once, to see whether a part of it is lost.
    ///
    /// # Errors
    /// As of [`loss`].
    pub fn new(
        recipe: &'r ContainerRecipe,
        totals: Option<(u64, u64)>,
        source: &'s S,
        is_lost: IsLost<'_>,
    ) -> Result<Self> {
        let (mut gap, mut after) = (None, Offsets::default());
        let mut layout = PieceWalk::new(&recipe.layout, source);
        let mut segment = 0;
        while let Some(entries) = next_entries(&mut layout, is_lost)? {
            match entries {
                Some(entries) => {
                    for entry in &entries {
                        after.pass(entry);
                    }
                }
                None => {
                    let first = gap.map_or(segment, |(first, _)| first);
                    (gap, after) = (Some((first, segment)), Offsets::default());
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
            gap: gap.map(|(first, last)| (first, last, after.placed_before(end))),
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
                Some((first, last, after)) if (first..=last).contains(&segment) => {
                    if segment < last {
                        continue;
                    }
                    let before = self.at;
                    // Where even that does not come out, nothing after the gap can be placed.
                    let Some(after) = after else {
                        self.layout = PieceWalk::new(&Stream::Empty, self.layout.source);
                        return Ok(Some(Stretch::Unknown { blocks: 0..0, records: 0..0 }));
                    };
                    self.at = after;
                    return Ok(Some(Stretch::Unknown {
                        blocks: before.blocks..after.blocks.max(before.blocks),
                        records: before.record_count..after.record_count.max(before.record_count),
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
    /// Errors of the source.
    pub fn read_header(&self) -> Result<Vec<u8>> {
        let mut header = self.header.read(&(0..self.recipe.header.length()))?;
        header.extend_from_slice(&self.recipe.marker);
        Ok(header)
    }

    /// A sound block, right after it was given.
    ///
    /// # Errors
    /// Errors of the source; [`Error::Damaged`] if the block names no encoder of the recipe.
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
