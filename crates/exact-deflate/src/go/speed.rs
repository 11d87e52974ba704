//! Level 1, a search in the manner of snappy's, and `HuffmanOnly`, which has none. Both cut the input into blocks of the
//! most bytes that a stored block can have.

use std::ops::ControlFlow;

use super::Policy;
use crate::output::Output;
use crate::tables::MAX_MATCH;
use crate::text::{common, load32};
use crate::window::WINDOW;

/// Bytes of a block.
const BLOCK: usize = u16::MAX as usize;
/// Shorter last blocks are not searched, and up to this length are stored.
const SEARCHED: usize = 128;
const STORED: usize = 16;
/// No match starts in the last bytes of a block.
const MARGIN: usize = 15;
const TABLE_BITS: u32 = 14;

/// The search of level 1.
pub(crate) struct Speed {
    /// The last position entered for each hash, counted on from one input to the next so that nothing need be cleared.
    table: Box<[u32; 1 << TABLE_BITS]>,
    origin: u32,
    next: u32,
}

/// `HuffmanOnly`: the bytes as literals.
pub(crate) fn literals_only(plain: &[u8], output: &mut Output<'_>) -> ControlFlow<()> {
    let mut end = 0;
    for block in plain.chunks(BLOCK) {
        end += block.len();
        literals(block, output);
        output.flush_as(end, Policy::Dynamic)?;
    }
    ControlFlow::Continue(())
}

fn literals(bytes: &[u8], output: &mut Output<'_>) {
    for &byte in bytes {
        output.literal(byte);
    }
}

impl Speed {
    pub(crate) fn new() -> Self {
        Self { table: Box::new([0; 1 << TABLE_BITS]), origin: 0, next: 2 * WINDOW as u32 }
    }

    /// Moves on, so that what was entered before is out of reach.
    fn start(&mut self, len: usize) {
        let gap = 2 * WINDOW as u32;
        let end = u32::try_from(len).ok().and_then(|len| self.next.checked_add(len)?.checked_add(gap));
        if let Some(end) = end {
            (self.origin, self.next) = (self.next, end);
        } else {
            // Positions have been used up.
            self.table.fill(0);
            (self.origin, self.next) = (gap, u32::try_from(len).unwrap_or(u32::MAX).saturating_add(2 * gap));
        }
    }

    pub(crate) fn run(&mut self, plain: &[u8], output: &mut Output<'_>) -> ControlFlow<()> {
        self.start(plain.len());
        let mut start = 0;
        while start < plain.len() {
            let end = (start + BLOCK).min(plain.len());
            let length = end - start;
            let mut policy = Policy::Dynamic;
            let is_worth_it = length >= SEARCHED && {
                self.search(plain, start, end, output);
                output.symbols() <= length - length / 16
            };
            if !is_worth_it {
                output.drop_symbols();
                literals(plain.get(start..end).unwrap_or_default(), output);
                if length <= STORED {
                    policy = Policy::Stored;
                }
            }
            output.flush_as(end, policy)?;
            start = end;
        }
        ControlFlow::Continue(())
    }

    /// Enters the string at `at`, whose first bytes are `word`. Returns the distance of the last one with the same hash if
    /// that is near and has the same four bytes.
    #[inline(always)]
    fn enter(&mut self, plain: &[u8], at: usize, word: u32) -> Option<usize> {
        let now = self.origin.wrapping_add(at as u32);
        let hash = word.wrapping_mul(0x1e35_a7bd) >> (32 - TABLE_BITS);
        let distance = now.wrapping_sub(std::mem::replace(&mut self.table[hash as usize], now)) as usize;
        (distance <= WINDOW && load32(plain, at.checked_sub(distance)?) == word).then_some(distance)
    }

    /// Finds matches for the bytes from `start` to `end`; they may lie in the block before.
    fn search(&mut self, plain: &[u8], start: usize, end: usize, output: &mut Output<'_>) {
        let last = end - MARGIN;
        let (mut at, mut said) = (start, start);
        let mut word = load32(plain, at);
        'block: loop {
            // The longer nothing is found, the larger the steps.
            let mut stride = 32;
            let mut distance = loop {
                let next = at + (stride >> 5);
                stride += stride >> 5;
                if next > last {
                    break 'block;
                }
                let found = self.enter(plain, at, word);
                word = load32(plain, next);
                match found {
                    Some(distance) => break distance,
                    None => at = next,
                }
            };
            literals(plain.get(said..at).unwrap_or_default(), output);
            // One match after the other, as long as there is one at the very next byte.
            loop {
                let length = common(plain, at - distance, at, MAX_MATCH.min(end - at));
                output.matched(length, distance);
                at += length;
                said = at;
                if at >= last {
                    break 'block;
                }
                self.enter(plain, at - 1, load32(plain, at - 1));
                match self.enter(plain, at, load32(plain, at)) {
                    Some(next) => distance = next,
                    None => break,
                }
            }
            at += 1;
            word = load32(plain, at);
        }
        literals(plain.get(said..end).unwrap_or_default(), output);
    }
}
