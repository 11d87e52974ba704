//! The lazy levels, 4 to 9: zlib's `deflate_slow`, and Go's, which has other rules. A match is kept back until the next position has been searched too.

use std::ops::ControlFlow;

use crate::chains::Chains;
use crate::output::Output;
use crate::rules::{Rules, TOO_FAR};
use crate::settings::{Limits, Settings};
use crate::tables::MAX_MATCH;
use crate::window::slides_exactly;

/// The length that says that there is no match.
pub(crate) const NO_MATCH: u32 = 2;

/// The search of the lazy levels.
pub(crate) struct Slow<R> {
    pub(crate) limits: Limits,
    pub(crate) chains: Chains<R>,
}

impl<R: Rules> Slow<R> {
    pub(crate) fn new(settings: Settings, limits: Limits) -> Self {
        Self { limits, chains: Chains::new(settings) }
    }

    pub(crate) fn run(&mut self, plain: &[u8], output: &mut Output<'_>) -> ControlFlow<()> {
        self.chains.start();
        let len = plain.len();
        let mut at = 0;
        let (mut length, mut distance) = (NO_MATCH, 0);
        let mut available = false;
        while at < len {
            self.chains.reach(plain, at);
            let step = at;
            let (previous, previous_distance) = (length, distance);
            length = NO_MATCH;
            if previous < self.limits.lazy as u32 {
                (length, distance) = self.find(at, len, previous);
            }
            if previous > NO_MATCH && length <= previous {
                let full = output.matched(previous as usize, previous_distance as usize);
                at += previous as usize - 1;
                available = false;
                length = NO_MATCH;
                if full {
                    output.flush(at, step, false)?;
                }
            } else {
                if available && output.literal(plain.get(at - 1).copied().unwrap_or(0)) {
                    output.flush(at, step, false)?;
                }
                available = true;
                at += 1;
            }
        }
        if available {
            output.literal(plain.get(at - 1).copied().unwrap_or(0));
        }
        output.flush(len, len, true)
    }

    /// True if there is clearly no match, which is the most common case. One test without branches in it.
    #[inline(always)]
    pub(crate) fn is_bare(&self, at: u16, back: u32) -> bool {
        if R::HASHES_FOUR {
            return back >= R::BOUND;
        }
        (self.chains.four(at) >= R::BOUND) & (back > TOO_FAR) & (back != R::BOUND)
    }

    /// What the encoder finds at a position of a text of `len` bytes, if it is longer than the match before.
    #[inline(always)]
    pub(crate) fn find(&self, at: usize, len: usize, previous: u32) -> (u32, u32) {
        let back = self.chains.back(at as u16);
        let limit = (len - at).min(MAX_MATCH) as u32;
        // By the chain of other bytes than the first, strings may turn up that start before the text.
        let reach = R::reach(at, len);
        if self.is_bare(at as u16, back) || back > R::BOUND || previous >= limit {
            (NO_MATCH, 0)
        } else if R::HAS_EDGE && back == R::BOUND {
            self.search_edge(slides_exactly(at, len), at as u16, limit)
        } else {
            self.search(at as u16, reach, limit, previous)
        }
    }

    /// zlib's `longest_match`: the first of the longest matches above `best` among the strings that the encoder would look
    /// at, which are closer than `reach`.
    /// If there is none, a length of at most `best`.
    #[inline(never)]
    fn search(&self, at: u16, reach: u32, limit: u32, mut best: u32) -> (u32, u32) {
        let chains = &self.chains;
        let rank = chains.rank(at);
        let nice = (self.limits.nice as u32).min(limit);
        let chain = if best >= self.limits.good as u32 { self.limits.chain >> 2 } else { self.limits.chain };
        let beyond = |there: u16| usize::from(rank.wrapping_sub(chains.rank(there))) > chain;
        let head = chains.load(at);
        let mut best_distance = 0;
        // What has six bytes in common has four.
        let mut distance = if chains.four(at) < R::BOUND { chains.six(at) } else { R::BOUND };
        if distance < reach {
            // A longer match is in the chain of its last six bytes as well as in that of its first: the one that starts
            // further back is likely to be shorter.
            let mut gram = 0;
            if best >= 6 {
                let last = best as u16 - 5;
                let from_last = chains.six(at.wrapping_add(last));
                if from_last > distance {
                    (gram, distance) = (last, from_last);
                }
            }
            let mut filter = Filter::new(chains, at, best);
            let mut seen = 0_u32;
            while distance < reach {
                let there = at.wrapping_sub(distance as u16);
                if filter.passes(chains, there) {
                    let difference = head ^ chains.load(there);
                    let length = if difference != 0 {
                        (difference.trailing_zeros() >> 3).min(limit)
                    } else {
                        chains.common(there, at, limit)
                    };
                    if length > best {
                        if beyond(there) {
                            break;
                        }
                        (best, best_distance) = (length, distance);
                        if length >= nice {
                            return (best, best_distance);
                        }
                        filter = Filter::new(chains, at, best);
                        distance += chains.six(there.wrapping_add(gram));
                        let last = best as u16 - 5;
                        let from_last = chains.six(at.wrapping_add(last));
                        if from_last > distance {
                            (gram, distance) = (last, from_last);
                        }
                        continue;
                    }
                }
                seen += 1;
                // Look now and then whether the encoder would have given up. Ranks say so only within a chain.
                if seen & 15 == 0 && beyond(there) && chains.load(there) as u32 == head as u32 {
                    break;
                }
                distance += chains.six(there.wrapping_add(gram));
            }
        }
        if best >= 5 {
            return (best, best_distance);
        }
        // There is none of six bytes, so the first one of five is the longest.
        let mut gram = 0;
        let mut distance = chains.four(at);
        if best == 4 {
            let from_last = chains.four(at.wrapping_add(1));
            if from_last > distance {
                (gram, distance) = (1, from_last);
            }
        }
        while distance < reach {
            let there = at.wrapping_sub(distance as u16);
            let difference = head ^ chains.load(there);
            distance += chains.four(there.wrapping_add(gram));
            if difference as u32 == 0 {
                if beyond(there) {
                    break;
                }
                let found = u32::from(at.wrapping_sub(there));
                if difference << 24 == 0 && limit >= 5 {
                    return (5, found);
                }
                if best < 4 && (R::SHORTEST < 4 || found <= TOO_FAR) {
                    (best, best_distance) = (4, found);
                    let from_last = chains.four(at.wrapping_add(1));
                    if from_last > distance {
                        (gram, distance) = (1, from_last);
                    }
                }
            }
        }
        if best > NO_MATCH || R::SHORTEST > 3 {
            return (best, best_distance);
        }
        self.search_three(at, head as u32, chain)
    }

    /// Finds a match of three bytes where there is no longer one.
    #[inline]
    fn search_three(&self, at: u16, head: u32, mut chain: usize) -> (u32, u32) {
        let mut distance = self.chains.back(at);
        while distance <= TOO_FAR {
            let there = at.wrapping_sub(distance as u16);
            if (self.chains.load(there) as u32 ^ head) << 8 == 0 {
                return (3, distance);
            }
            chain -= 1;
            if chain == 0 {
                break;
            }
            distance += self.chains.back(there);
        }
        (NO_MATCH, 0)
    }

    /// The search where the first string of the chain is at the largest distance: zlib looks at it and no further.
    #[cold]
    fn search_edge(&self, slides: bool, at: u16, limit: u32) -> (u32, u32) {
        if slides {
            return (NO_MATCH, 0);
        }
        match self.chains.common(at.wrapping_sub(R::BOUND as u16), at, limit) {
            0..=3 => (NO_MATCH, 0),
            length => (length, R::BOUND),
        }
    }
}

/// Looks at the last bytes of the match wanted: only a string that agrees there can be longer than the best so far.
#[derive(Clone, Copy)]
pub(crate) struct Filter {
    offset: u16,
    bytes: u64,
    mask: u64,
}

impl Filter {
    #[inline(always)]
    pub(crate) fn new<R: Rules>(chains: &Chains<R>, at: u16, best: u32) -> Self {
        let offset = best.saturating_sub(7) as u16;
        let mask = u64::MAX >> (64 - 8 * (best + 1).clamp(6, 8));
        Self { offset, bytes: chains.load(at.wrapping_add(offset)), mask }
    }

    #[inline(always)]
    pub(crate) fn passes<R: Rules>(self, chains: &Chains<R>, there: u16) -> bool {
        (chains.load(there.wrapping_add(self.offset)) ^ self.bytes) & self.mask == 0
    }
}
