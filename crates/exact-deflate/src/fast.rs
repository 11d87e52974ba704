//! The greedy levels, 1 to 3: zlib's `deflate_fast`, and Go's levels 2 and 3, which have other rules. A match is taken as soon as it is found, and the strings inside
//! long matches are not entered into the hash table.

use std::marker::PhantomData;
use std::ops::ControlFlow;

use crate::output::Output;
use crate::rules::{Rules, TOO_FAR};
use crate::settings::{Limits, Settings, Variant};
use crate::tables::MAX_MATCH;
use crate::text::{common, load32, load64};
use crate::window::{WINDOW, slides_exactly, word_at_end};

/// Entries of the hash table, of which zlib uses half.
const HEADS: usize = 1 << 17;

/// Hash table and chains.
pub(crate) struct Fast<R> {
    limits: Limits,
    hash: Hash,
    /// The last position entered for each hash, counted on from one input to the next so that nothing need be cleared.
    head: Box<[u32; HEADS]>,
    /// How far back the next string of the chain is, by position modulo the window; 0 if nowhere near.
    back: Box<[u16; WINDOW]>,
    origin: u32,
    next: u32,
    rules: PhantomData<R>,
}

/// A hash function.
#[derive(Clone, Copy)]
pub(crate) struct Hash {
    pub(crate) kind: Variant,
    pub(crate) shift: u32,
    mask: u32,
}

impl Hash {
    pub(crate) fn new(settings: Settings) -> Self {
        let bits = settings.hash_bits();
        Self { kind: settings.variant, shift: bits.div_ceil(3), mask: (1 << bits) - 1 }
    }

    /// The hash of the string whose first four bytes are `word`.
    #[inline]
    pub(crate) fn of(self, word: u32) -> usize {
        match self.kind {
            Variant::Zlib => zlib_hash(word, self.shift, self.mask),
            Variant::Chromium => (word.wrapping_mul(66521).wrapping_add(66521) >> 16 & self.mask & 0xffff) as usize,
            Variant::Go | Variant::GoHuffman => go_hash(word),
        }
    }
}

/// zlib's rolling hash, which at any position has forgotten all but three bytes.
#[inline(always)]
pub(crate) fn zlib_hash(word: u32, shift: u32, mask: u32) -> usize {
    let hash = (word & 0xff) << (2 * shift) ^ (word >> 8 & 0xff) << shift ^ (word >> 16 & 0xff);
    (hash & mask & 0xffff) as usize
}

/// Go's hash of four bytes.
#[inline(always)]
pub(crate) fn go_hash(word: u32) -> usize {
    (word.swap_bytes().wrapping_mul(0x1e35_a7bd) >> 15) as usize
}

impl<R: Rules> Fast<R> {
    pub(crate) fn new(settings: Settings, limits: Limits) -> Self {
        Self {
            limits,
            hash: Hash::new(settings),
            head: Box::new([0; HEADS]),
            back: Box::new([0; WINDOW]),
            origin: 0,
            next: 2 * WINDOW as u32,
            rules: PhantomData,
        }
    }

    /// Moves on, so that what was entered before is out of reach.
    fn start(&mut self, len: usize) {
        let gap = 2 * WINDOW as u32;
        let end =
            u32::try_from(len).ok().and_then(|len| self.next.checked_add(len)).and_then(|end| end.checked_add(gap));
        if let Some(end) = end {
            (self.origin, self.next) = (self.next, end);
        } else {
            // Positions have been used up.
            self.head.fill(0);
            (self.origin, self.next) = (gap, u32::try_from(len).unwrap_or(u32::MAX).saturating_add(2 * gap));
        }
    }

    /// Enters the string at `position`, whose first bytes are `word`; gives the distance of the one before, or 0.
    #[inline]
    fn insert(&mut self, position: usize, word: u32) -> usize {
        let now = self.origin.wrapping_add(position as u32);
        let head = &mut self.head[self.hash.of(word)];
        let distance = now.wrapping_sub(*head);
        if position >= R::FIRST {
            *head = now;
        }
        let distance = if distance <= R::BOUND { distance as u16 } else { 0 };
        self.back[position & (WINDOW - 1)] = distance;
        usize::from(distance)
    }

    pub(crate) fn run(&mut self, plain: &[u8], output: &mut Output<'_>) -> ControlFlow<()> {
        let len = plain.len();
        self.start(len);
        let mut at = 0;
        let mut step = 0;
        while at < len {
            step = at;
            let ahead = len - at;
            let mut found = (0, 0);
            if ahead >= R::SHORTEST {
                let first = self.insert(at, word_at_end(plain, at));
                if first != 0 && self.is_in_reach(first, at, len) {
                    found = self.search(plain, at, first);
                }
            }
            let (length, distance) = found;
            let full;
            if length >= R::SHORTEST {
                full = output.matched(length, distance);
                // zlib enters all of them or none, Go those that have four bytes.
                let end = match R::HASHES_FOUR {
                    true => (at + length).min(len.saturating_sub(R::SHORTEST - 1)),
                    false if ahead - length >= R::SHORTEST => at + length,
                    false => at,
                };
                if length <= self.limits.lazy {
                    for inside in at + 1..end {
                        self.insert(inside, load32(plain, inside));
                    }
                }
                at += length;
            } else {
                full = output.literal(plain.get(at).copied().unwrap_or(0));
                at += 1;
            }
            if full {
                output.flush(at, step, false)?;
            }
        }
        let _ = step;
        output.flush(len, len, true)
    }

    /// Whether the first string of a chain is looked at.
    #[inline(always)]
    fn is_in_reach(&self, first: usize, at: usize, len: usize) -> bool {
        match R::HAS_EDGE {
            true => !(first == R::BOUND as usize && slides_exactly(at, len)),
            false => first < R::reach(at, len) as usize,
        }
    }

    /// zlib's `longest_match` for a string whose chain starts `distance` back.
    #[inline]
    fn search(&self, plain: &[u8], at: usize, mut distance: usize) -> (usize, usize) {
        let limit = (plain.len() - at).min(MAX_MATCH);
        let nice = self.limits.nice.min(limit);
        // The first string may be at zlib's largest distance, the others not.
        let reach = if R::HAS_EDGE { R::BOUND } else { R::reach(at, plain.len()) } as usize;
        let (mut best, mut best_distance) = (R::SHORTEST - 1, 0);
        let mut chain = self.limits.chain;
        let head = load64(plain, at);
        loop {
            let difference = head ^ load64(plain, at - distance);
            let length = match difference {
                0 => common(plain, at - distance, at, limit),
                _ => ((difference.trailing_zeros() >> 3) as usize).min(limit),
            };
            if length > best && (R::SHORTEST < 4 || length > 4 || distance <= TOO_FAR as usize) {
                (best, best_distance) = (length, distance);
                if length >= nice {
                    break;
                }
            }
            chain -= 1;
            if chain == 0 {
                break;
            }
            let back = usize::from(self.back[(at - distance) & (WINDOW - 1)]);
            distance += back;
            if back == 0 || distance >= reach {
                break;
            }
        }
        (best, best_distance)
    }
}
