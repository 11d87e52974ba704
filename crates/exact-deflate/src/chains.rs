//! The hash chains of the lazy levels, worked out ahead of the search.
//!
//! zlib's lazy levels enter *every* string into the hash table, whatever matches they take. So the chains depend on the
//! input alone, and a simple loop that has no branches to miss can build them in batches before the search comes by.
//! For each position it leaves
//! - how far back the string before it in zlib's chain is,
//! - its *rank* in that chain. zlib gives up after a number of strings, those that only share the hash included; the
//!   difference of two ranks says how many it has seen without looking at them. This is what permits the search to
//!   find strings in any other way,
//! - how far back strings with the same four and six bytes (the same hash of them, to be exact) are. Go's own chains are
//!   those of four bytes.

use std::marker::PhantomData;

use crate::fast::{Hash, go_hash, zlib_hash};
use crate::rules::Rules;
use crate::settings::{Settings, Variant};
use crate::text::load64;
use crate::window::{WINDOW, word_at_end};

/// Positions for which chains are kept, by position modulo this: the window behind the search, and what is built ahead.
const RING: usize = 1 << 16;
/// Positions built in one go.
const BATCH: usize = 1 << 13;
/// Texts up to this length are taken out of the hash tables again; else the whole tables are cleared.
const FEW: usize = 1 << 12;
/// How far beyond the search the chains reach at least.
const AHEAD: usize = 512;
/// Bits of the hashes of four and six bytes.
const GRAM_BITS: u32 = 16;
/// Entries of the hash table of four bytes, and of that of six. zlib's own has as many; Go's has twice as many, and needs
/// none of four bytes.
const HEADS: usize = 1 << 16;
/// Where the hashes of four and of six bytes are among all heads.
const FOUR: usize = HEADS;
const SIX: usize = 2 * HEADS;

/// The least that a head may be.
const FIRST_HEAD: usize = WINDOW + 1;

/// Stands for a distance beyond the window: any sum with it in it is too large.
const NONE: u16 = u16::MAX;

/// Puts `now` into a head; gives the distance to what was there. It may be beyond the window: who follows a chain must
/// look at the sum of distances anyway, and here a comparison would become a branch that is as good as random.
#[inline(always)]
fn swap(head: &mut u16, now: u16) -> u16 {
    now.wrapping_sub(std::mem::replace(head, now))
}

#[inline(always)]
fn four_hash(word: u64) -> usize {
    ((word as u32).wrapping_mul(0x9e37_79b1) >> (32 - GRAM_BITS)) as usize & (HEADS - 1)
}

#[inline(always)]
fn six_hash(word: u64) -> usize {
    ((word << 16).wrapping_mul(0x9e37_79b1_85eb_ca87) >> (64 - GRAM_BITS)) as usize & (HEADS - 1)
}

/// A distance of [`Chains::table`].
#[inline(always)]
pub(crate) fn step(table: &[u16; RING], slot: u16) -> u32 {
    u32::from(table[usize::from(slot)])
}

pub(crate) struct Chains<R> {
    hash: Hash,
    /// The last position for each hash, relative to the base; 0 means none. First those of the encoder's own hash.
    heads: Box<[u16; 3 * HEADS]>,
    /// For each position the distance to the string before in zlib's chain, and the rank in that chain.
    backs: Box<[u16; RING]>,
    ranks: Box<[u16; RING]>,
    /// The distance to the string before with the same hash of four (not Go's), of six bytes.
    fours: Box<[u16; RING]>,
    sixes: Box<[u16; RING]>,
    /// The text, by position modulo [`RING`], its first bytes again at the end: loads need no bounds check.
    ring: Box<[u8; RING + 8]>,
    /// What positions in the heads count from. They start beyond [`WINDOW`], so that 0 is out of reach of any of them.
    base: isize,
    built: usize,
    rules: PhantomData<R>,
}

impl<R: Rules> Chains<R> {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            hash: Hash::new(settings),
            heads: Box::new([0; 3 * HEADS]),
            backs: Box::new([NONE; RING]),
            ranks: Box::new([0; RING]),
            fours: Box::new([NONE; RING]),
            sixes: Box::new([NONE; RING]),
            ring: Box::new([0; RING + 8]),
            base: 0,
            built: 0,
            rules: PhantomData,
        }
    }

    /// Starts with a new input.
    pub(crate) fn start(&mut self) {
        if self.built <= FEW {
            // Clear what the last text has touched: it is still in the ring.
            for at in 0..self.built {
                let word = self.load(at as u16);
                self.heads[self.hash.of(word as u32)] = 0;
                self.heads[FOUR + four_hash(word)] = 0;
                self.heads[SIX + six_hash(word)] = 0;
            }
        } else {
            self.heads.fill(0);
        }
        self.base = -(FIRST_HEAD as isize);
        self.built = 0;
    }

    /// Makes sure that the chains reach beyond `at`.
    #[inline]
    pub(crate) fn reach(&mut self, text: &[u8], at: usize) {
        if at + AHEAD > self.built && self.built < text.len() {
            self.build(text);
        }
    }

    #[inline(never)]
    fn build(&mut self, text: &[u8]) {
        if self.built as isize + BATCH as isize - self.base > u16::MAX as isize {
            // All within reach of the next position stays.
            let shift = self.built as isize - self.base - FIRST_HEAD as isize;
            self.base += shift;
            for head in self.heads.iter_mut() {
                *head = head.saturating_sub(shift as u16);
            }
        }
        let start = self.built;
        let end = (start + BATCH).min(text.len());
        self.built = end;
        self.copy(text.get(start..end).unwrap_or_default(), start % RING);
        let mut at = start;
        if at < R::FIRST {
            (self.backs[0], self.ranks[0], self.fours[0], self.sixes[0]) = (NONE, 0, NONE, NONE);
            at = R::FIRST;
        }
        let whole = match self.hash {
            Hash { kind: Variant::Zlib, shift: 5, .. } => self.enter_whole(text, at, end, |w| zlib_hash(w, 5, 0x7fff)),
            Hash { kind: Variant::Zlib, .. } => self.enter_whole(text, at, end, |w| zlib_hash(w, 6, 0xffff)),
            Hash { kind: Variant::Go, .. } => self.enter_whole(text, at, end, go_hash),
            hash => self.enter_whole(text, at, end, |w| hash.of(w)),
        };
        for at in whole..end {
            self.enter_last(text, at);
        }
    }

    /// Copies a batch into the ring. Batches divide the ring, so that none wraps around.
    fn copy(&mut self, batch: &[u8], at: usize) {
        if let Some(room) = self.ring.get_mut(at..at + batch.len()) {
            room.copy_from_slice(batch);
        }
        // What follows the last batch must be zero, as it was when its hashes were made.
        if let Some(behind) = self.ring.get_mut(at + batch.len()..at + batch.len() + 8) {
            behind.fill(0);
        }
        if at == 0 {
            self.ring.copy_within(..8, RING);
        }
    }

    /// Enters the strings from `at` to `end` that have eight bytes; gives the first one that has not.
    #[inline(always)]
    fn enter_whole(&mut self, text: &[u8], at: usize, end: usize, hash: impl Fn(u32) -> usize) -> usize {
        let words = text.get(at..end.saturating_add(7).min(text.len())).unwrap_or_default().windows(8);
        let whole = at + words.len();
        let mut now = (at as isize - self.base) as u16;
        let mut slot = at as u16;
        let heads = &mut *self.heads;
        let (backs, ranks) = (&mut *self.backs, &mut *self.ranks);
        let (fours, sixes) = (&mut *self.fours, &mut *self.sixes);
        for bytes in words {
            let word = bytes.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
            let back = swap(&mut heads[hash(word as u32)], now);
            // At the start of a chain this is any number: only differences matter.
            let rank = ranks[usize::from(slot.wrapping_sub(back))].wrapping_add(1);
            let at = usize::from(slot);
            (backs[at], ranks[at]) = (back, rank);
            if !R::HASHES_FOUR {
                fours[at] = swap(&mut heads[FOUR + four_hash(word)], now);
            }
            sixes[at] = swap(&mut heads[SIX + six_hash(word)], now);
            slot = slot.wrapping_add(1);
            now = now.wrapping_add(1);
        }
        whole
    }

    /// Enters one of the last strings, which may be too short for some of the chains.
    #[cold]
    fn enter_last(&mut self, text: &[u8], at: usize) {
        let word = load64(text, at);
        let left = text.len() - at;
        let hash = self.hash.of(word_at_end(text, at));
        let now = (at as isize - self.base) as u16;
        let slot = at as u16;
        let (mut back, mut rank, mut four, mut six) = (NONE, 0, NONE, NONE);
        if left >= R::SHORTEST {
            back = swap(&mut self.heads[hash], now);
            rank = self.rank(slot.wrapping_sub(back)).wrapping_add(1);
        }
        if left >= 4 && !R::HASHES_FOUR {
            four = swap(&mut self.heads[FOUR + four_hash(word)], now);
        }
        if left >= 6 {
            six = swap(&mut self.heads[SIX + six_hash(word)], now);
        }
        let at = usize::from(slot);
        (self.backs[at], self.ranks[at], self.fours[at], self.sixes[at]) = (back, rank, four, six);
    }

    /// Distance to the string before in zlib's chain; beyond the window if there is none.
    #[inline(always)]
    pub(crate) fn back(&self, slot: u16) -> u32 {
        u32::from(self.backs[usize::from(slot)])
    }
    /// Number of the string in its chain, modulo 2^16.
    #[inline(always)]
    pub(crate) fn rank(&self, slot: u16) -> u16 {
        self.ranks[usize::from(slot)]
    }
    /// Distance to a string before with the same hash of four bytes; beyond the window if there is none.
    #[inline(always)]
    pub(crate) fn four(&self, slot: u16) -> u32 {
        step(self.table(false), slot)
    }
    /// The distances of [`Self::four`] or [`Self::six`], to choose without a branch.
    #[inline(always)]
    pub(crate) fn table(&self, six: bool) -> &[u16; RING] {
        match six {
            true => &self.sixes,
            false if R::HASHES_FOUR => &self.backs,
            false => &self.fours,
        }
    }
    /// The same for six bytes.
    #[inline(always)]
    pub(crate) fn six(&self, slot: u16) -> u32 {
        u32::from(self.sixes[usize::from(slot)])
    }

    /// The eight bytes at a position, little end first. What comes behind the end of the text is of no meaning.
    #[inline(always)]
    pub(crate) fn load(&self, slot: u16) -> u64 {
        let at = usize::from(slot);
        self.ring[at..at + 8].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// How many bytes at two positions are equal, at most `limit`.
    #[inline]
    pub(crate) fn common(&self, a: u16, b: u16, limit: u32) -> u32 {
        let mut len = 0;
        while len < limit {
            let difference = self.load(a.wrapping_add(len as u16)) ^ self.load(b.wrapping_add(len as u16));
            if difference != 0 {
                return (len + (difference.trailing_zeros() >> 3)).min(limit);
            }
            len += 8;
        }
        limit
    }
}
