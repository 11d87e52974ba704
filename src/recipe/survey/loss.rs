//! What of a file is lost, in numbers.

use std::ops::Range;

use super::{ContainerSurvey, IsLost, PieceWalk, Placed, Stretch};
use crate::chunk::ChunkSource;
use crate::error::Result;
use crate::recipe::Recipe;

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

/// How many ranges are listed.
const LISTED: usize = 1000;

impl Ranges {
    /// The next range, which begins where the one before ended, or after that.
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

    /// Whether there are no ranges.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// The lost parts of a file.
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
    /// Too much of the layout is lost to know all blocks.
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
/// Errors of `is_lost`, and of the source where it fails without anything being lost.
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

/// Pairs of the first and the last number of each.
impl serde::Serialize for Ranges {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.ranges.iter().map(|range| [range.start, range.end.saturating_sub(1)]))
    }
}
