//! The greedy levels, 1 to 3: zlib's `deflate_fast`. A match is taken as soon as it is found, and the strings inside
//! long matches are not entered into the hash table.

use std::ops::ControlFlow;

use crate::output::Output;
use crate::settings::{Limits, Settings, Variant};
use crate::tables::{MAX_MATCH, MIN_MATCH};
use crate::text::{common, load32, load64};
use crate::window::{MAX_DISTANCE, WINDOW, slides_exactly, word_at_end};

/// Hash table and chains.
pub(crate) struct Fast {
    limits: Limits,
    hash: Hash,
    /// The last position entered for each hash, counted on from one input to the next so that nothing need be cleared.
    head: Box<[u32; 1 << 16]>,
    /// How far back the next string of the chain is, by position modulo the window; 0 if nowhere near.
    back: Box<[u16; WINDOW]>,
    origin: u32,
    next: u32,
}

/// A hash function of zlib's.
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
        }
    }
}

/// zlib's rolling hash, which at any position has forgotten all but three bytes.
#[inline(always)]
pub(crate) fn zlib_hash(word: u32, shift: u32, mask: u32) -> usize {
    let hash = (word & 0xff) << (2 * shift) ^ (word >> 8 & 0xff) << shift ^ (word >> 16 & 0xff);
    (hash & mask & 0xffff) as usize
}

impl Fast {
    pub(crate) fn new(settings: Settings, limits: Limits) -> Self {
        Self {
            limits,
            hash: Hash::new(settings),
            head: Box::new([0; 1 << 16]),
            back: Box::new([0; WINDOW]),
            origin: 0,
            next: 2 * WINDOW as u32,
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
        // zlib cannot tell position 0 from none.
        if position > 0 {
            *head = now;
        }
        let distance = if distance <= MAX_DISTANCE as u32 { distance as u16 } else { 0 };
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
            if ahead >= MIN_MATCH {
                let first = self.insert(at, word_at_end(plain, at));
                if first != 0 && !(first == MAX_DISTANCE && slides_exactly(at, len)) {
                    found = self.search(plain, at, first);
                }
            }
            let (length, distance) = found;
            let full;
            if length >= MIN_MATCH {
                full = output.matched(length, distance);
                if length <= self.limits.lazy && ahead - length >= MIN_MATCH {
                    for inside in at + 1..at + length {
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

    /// zlib's `longest_match` for a string whose chain starts `distance` back.
    #[inline]
    fn search(&self, plain: &[u8], at: usize, mut distance: usize) -> (usize, usize) {
        let limit = (plain.len() - at).min(MAX_MATCH);
        let nice = self.limits.nice.min(limit);
        let (mut best, mut best_distance) = (MIN_MATCH - 1, 0);
        let mut chain = self.limits.chain;
        let head = load64(plain, at);
        loop {
            let difference = head ^ load64(plain, at - distance);
            let length = match difference {
                0 => common(plain, at - distance, at, limit),
                _ => ((difference.trailing_zeros() >> 3) as usize).min(limit),
            };
            if length > best {
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
            // The first string may be at the largest distance, the others not.
            if back == 0 || distance >= MAX_DISTANCE {
                break;
            }
        }
        (best, best_distance)
    }
}
