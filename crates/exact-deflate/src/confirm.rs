//! Confirms the decisions of the lazy levels, which is cheaper than to make them.
//!
//! Where the stream has a match, it is enough to show that no closer string is as long, no further one longer, and that
//! the next position has none longer. Where it has a literal, mostly there is no match at all; before a match, only that
//! there is none as long. Each of these is a question of whether a string of a certain length *exists*, which can be
//! asked of whichever of its bytes is rarest, and usually the answer is no at once.

use crate::chains::step;
use crate::rules::{Rules, TOO_FAR};
use crate::slow::{Filter, NO_MATCH, Slow};
use crate::tables::MAX_MATCH;

/// Confirms the symbols of one text, one after the other.
pub(crate) struct Confirmer<'a, R> {
    slow: &'a mut Slow<R>,
    plain: &'a [u8],
    /// The length of the match that was put aside for a better one at the position before the next symbol; if it need
    /// not be known, [`NO_MATCH`].
    previous: u32,
    /// Whether the symbol before, a literal, is still open: it may be enough to know what comes after it.
    open: bool,
}

impl<'a, R: Rules> Confirmer<'a, R> {
    pub(crate) fn new(slow: &'a mut Slow<R>, plain: &'a [u8]) -> Self {
        slow.chains.start();
        Self { slow, plain, previous: NO_MATCH, open: false }
    }

    /// True if the encoder would have a literal at `at`, as far as can be said before the next symbol is known.
    #[inline(always)]
    pub(crate) fn literal(&mut self, at: usize) -> bool {
        self.slow.chains.reach(self.plain, at);
        if self.open && !self.close(at - 1, 0) {
            return false;
        }
        self.open = !self.slow.is_bare(at as u16, self.slow.chains.back(at as u16));
        self.open || self.previous == NO_MATCH
    }

    /// True if the encoder would have this match at `at`, of which it is known that the bytes are equal.
    #[inline(always)]
    pub(crate) fn matched(&mut self, at: usize, length: u32, distance: u32) -> bool {
        self.slow.chains.reach(self.plain, at);
        if self.open && !self.close(at - 1, length) {
            return false;
        }
        let previous = std::mem::replace(&mut self.previous, NO_MATCH);
        self.open = false;
        previous < length
            && previous < self.slow.limits.lazy as u32
            && self.slow.is_taken(at, self.plain.len(), previous, length, distance)
    }

    /// True if the encoder would have the literal that is still open at the end of the text.
    pub(crate) fn end(mut self) -> bool {
        !self.open || self.plain.len().checked_sub(1).is_some_and(|at| self.close(at, 0))
    }

    /// Confirms the literal at `at`, after which comes a match of length `next`, or (0) something else.
    #[inline(always)]
    fn close(&mut self, at: usize, next: u32) -> bool {
        let len = self.plain.len();
        let (lazy, good) = (self.slow.limits.lazy as u32, self.slow.limits.good as u32);
        // If a match comes next, a shorter one here does not matter, as long as it does not shorten the search.
        if self.slow.chains.back(at as u16) < R::BOUND && self.previous == NO_MATCH && next > NO_MATCH + 1 {
            let wanted = next.min(good).min(lazy);
            if (len - at).min(MAX_MATCH) as u32 >= wanted
                && self.slow.exists(at, len, wanted, 0, self.slow.limits.chain)
            {
                self.previous = self.slow.find(at, len, NO_MATCH).0;
            }
            return self.previous < next;
        }
        let previous = std::mem::replace(&mut self.previous, NO_MATCH);
        if previous < lazy {
            self.previous = self.slow.find(at, len, previous).0;
        }
        // What was put aside must have been put aside for something.
        previous == NO_MATCH || self.previous > previous
    }
}

impl<R: Rules> Slow<R> {
    /// True if the search at `at` gives this match, of which it is known that the bytes are equal, and the search at the
    /// next position does not give a longer one.
    #[inline(always)]
    fn is_taken(&self, at: usize, len: usize, previous: u32, length: u32, distance: u32) -> bool {
        let here = at as u16;
        let next = at + 1;
        let chains = &self.chains;
        let limit = (len - at).min(MAX_MATCH) as u32;
        let back = chains.back(here);
        let next_back = chains.back(next as u16);
        // The encoder looks at the next position too if the match is not long enough, and there is room for a longer one.
        let looks = length < self.limits.lazy as u32 && length < ((len - next).min(MAX_MATCH) as u32);
        let next_chain = if length >= self.limits.good as u32 { self.limits.chain >> 2 } else { self.limits.chain };
        if R::SHORTEST > 3 && (length < 4 || length == 4 && distance > TOO_FAR) {
            return false;
        }
        let next_is_edge = R::HAS_EDGE && next_back == R::BOUND;
        if back >= R::BOUND || length == 3 || next_is_edge {
            // The rare cases, and those where confirming is no cheaper.
            return self.find(at, len, previous) == (length, distance)
                && !(looks
                    && next_back <= R::BOUND
                    && if next_is_edge {
                        self.find(next, len, length).0 > length
                    } else {
                        self.exists(next, len, length + 1, 0, next_chain)
                    });
        }
        let there = here.wrapping_sub(distance as u16);
        let chain = if previous >= self.limits.good as u32 { self.limits.chain >> 2 } else { self.limits.chain };
        let nice = (self.limits.nice as u32).min(limit);
        let after = |at: u16| chains.load(at.wrapping_add(length as u16)) as u8;
        // In reach, and not longer than said.
        if distance >= R::reach(at, len)
            || usize::from(chains.rank(here).wrapping_sub(chains.rank(there))) > chain
            || length < limit && after(here) == after(there)
        {
            return false;
        }
        // The search ends at a nice match. None nearer may be as long, none further longer.
        if !self.is_first(at, length.min(nice), distance) {
            return false;
        }
        let looks = looks && next_back < R::BOUND;
        let further = length < nice;
        if !looks && !further {
            return true;
        }
        // A longer match here and one at the next position have the end in common: the bytes up to the first one that
        // the match has not. So one walk rules out both.
        let offset = if length >= 8 { length - 7 } else { 1 } as u16;
        let mask = u64::MAX >> (64 - 8 * length.min(8));
        let end = chains.load(here.wrapping_add(offset)) & mask;
        let six = length >= 6;
        let gram = (length - 3 - 2 * u32::from(six)) as u16;
        let first = chains.load(here) as u8;
        let beyond = chains.load(here.wrapping_add(length as u16 + 1)) as u8;
        let mut walked = 0;
        let table = chains.table(six);
        let mut d = step(table, here.wrapping_add(gram));
        while d < R::BOUND {
            let from = here.wrapping_sub(d as u16);
            // All in one test: several in a row would each be as good as random.
            let same_end = chains.load(from.wrapping_add(offset)) & mask == end;
            let same_first = chains.load(from) as u8 == first;
            let same_next = chains.load(from.wrapping_add(length as u16 + 1)) as u8 == beyond;
            let longer = further & (d > distance) & same_first | looks & same_next;
            if same_end & longer | (walked == 32) {
                return !(further && self.exists(at, len, length + 1, distance, chain)
                    || looks && self.exists(next, len, length + 1, 0, next_chain));
            }
            walked += 1;
            let from = from.wrapping_add(gram);
            d += step(table, from);
        }
        true
    }

    /// True if none of the strings closer than `distance` agrees in the first `wanted` bytes (four or more).
    #[inline(always)]
    fn is_first(&self, at: usize, wanted: u32, distance: u32) -> bool {
        let chains = &self.chains;
        let here = at as u16;
        let six = wanted >= 6;
        // Such a string is in the chains of its first and of its last bytes: often neither has anything closer.
        let gram = (wanted - 4 - 2 * u32::from(six)) as u16;
        let last = here.wrapping_add(gram);
        let table = chains.table(six);
        let (from_first, from_last) = (step(table, here), step(table, last));
        if from_first.max(from_last) >= distance {
            return true;
        }
        let offset = wanted.saturating_sub(8) as u16;
        let mask = u64::MAX >> (64 - 8 * wanted.min(8));
        let end = chains.load(here.wrapping_add(offset)) & mask;
        let gram = if from_last > from_first { gram } else { 0 };
        let mut nearer = from_first.max(from_last);
        while nearer < distance {
            let there = here.wrapping_sub(nearer as u16);
            if chains.load(there.wrapping_add(offset)) & mask == end
                && (wanted <= 8 || chains.common(there, here, wanted) == wanted)
                && nearer < at as u32
            {
                return false;
            }
            let from = there.wrapping_add(gram);
            nearer += step(table, from);
        }
        true
    }

    /// True if a string further than `beyond` that the encoder would look at agrees in the first `wanted` bytes.
    #[inline(never)]
    fn exists(&self, at: usize, len: usize, wanted: u32, beyond: u32, chain: usize) -> bool {
        let chains = &self.chains;
        let here = at as u16;
        let rank = chains.rank(here);
        // Some of the strings found by their last bytes might start before the text.
        let reach = R::reach(at, len);
        let visited = |there: u16| usize::from(rank.wrapping_sub(chains.rank(there))) <= chain;
        if wanted >= 6 {
            // Follow the chain of the first or of the last six bytes, whichever starts further back.
            let offset = (wanted - 6) as u16;
            let end = here.wrapping_add(offset);
            let filter = Filter::new(chains, here, wanted - 1);
            // The string at `beyond` agrees in `wanted - 1` bytes: in six only if that is six, else its chain is another.
            let mut first = match wanted {
                6 => chains.six(here),
                _ => beyond + chains.six(here.wrapping_sub(beyond as u16)),
            };
            let last = chains.six(end);
            if last > first {
                let mut distance = last;
                while distance < reach {
                    let there = here.wrapping_sub(distance as u16);
                    if distance > beyond && filter.passes(chains, there) && chains.common(there, here, wanted) == wanted
                    {
                        return visited(there);
                    }
                    distance += chains.six(there.wrapping_add(offset));
                }
            } else {
                while first < reach {
                    let there = here.wrapping_sub(first as u16);
                    if first > beyond && filter.passes(chains, there) && chains.common(there, here, wanted) == wanted {
                        return visited(there);
                    }
                    first += chains.six(there);
                }
            }
        } else if wanted >= 4 {
            let head = chains.load(here);
            let unwanted = 64 - 8 * wanted;
            let mut distance = beyond + chains.four(here.wrapping_sub(beyond as u16));
            while distance < reach {
                let there = here.wrapping_sub(distance as u16);
                if (chains.load(there) ^ head) << (unwanted & 63) == 0 {
                    return visited(there);
                }
                distance += chains.four(there);
            }
        }
        false
    }
}
