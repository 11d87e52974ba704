//! In what the searches of zlib and of Go differ, beside their hashes and limits.

use crate::window::{MAX_DISTANCE, WINDOW, start_of_buffer};

/// Matches of the fewest bytes from further back are not taken by the lazy levels.
pub(crate) const TOO_FAR: u32 = 4096;

/// Which earlier strings a search can see.
pub(crate) trait Rules {
    /// The fewest bytes of a match.
    const SHORTEST: usize;
    /// The first position that is entered into chains.
    const FIRST: usize;
    /// Distances that are looked at are less than this, but for the one of [`Self::HAS_EDGE`].
    const BOUND: u32;
    /// Whether the encoder's own chains are of strings with the same four bytes.
    const HASHES_FOUR: bool;
    /// Whether the first string of a chain, and no other, may be at distance [`Self::BOUND`].
    const HAS_EDGE: bool;

    /// Strings at `at` of a text of `len` bytes are looked for at distances less than this (again but for the edge).
    fn reach(at: usize, len: usize) -> u32;
}

/// zlib and Chromium's zlib.
pub(crate) struct Zlib;

impl Rules for Zlib {
    const SHORTEST: usize = 3;
    // zlib cannot tell position 0 from none.
    const FIRST: usize = 1;
    const BOUND: u32 = MAX_DISTANCE as u32;
    const HASHES_FOUR: bool = false;
    const HAS_EDGE: bool = true;

    #[inline(always)]
    fn reach(at: usize, _: usize) -> u32 {
        at.min(MAX_DISTANCE) as u32
    }
}

/// Go's compress/flate.
pub(crate) struct Go;

impl Rules for Go {
    const SHORTEST: usize = 4;
    const FIRST: usize = 0;
    const BOUND: u32 = WINDOW as u32 + 1;
    const HASHES_FOUR: bool = true;
    const HAS_EDGE: bool = false;

    #[inline(always)]
    fn reach(at: usize, len: usize) -> u32 {
        at.saturating_sub(go_buffer(at, len)).min(WINDOW) as u32 + 1
    }
}

/// Go slides its buffer of two windows when fewer bytes than this are ahead: a longest match and a shortest.
const GO_LOOKAHEAD: usize = 258 + 4;

/// The input position at the start of Go's buffer when its main loop has last started a step at `at`, for an input of
/// `len` bytes that was given in one `Write`. Go slides only if there is more input than fits. What lies before is neither
/// found nor stored; so shortly after a slide the largest distance is a little less than the window.
#[inline(always)]
pub(crate) fn go_buffer(at: usize, len: usize) -> usize {
    let due = at.saturating_sub(WINDOW - GO_LOOKAHEAD + 1) / WINDOW;
    let possible = len.saturating_sub(WINDOW + 1) / WINDOW;
    due.min(possible) * WINDOW
}

/// The input position before which nothing can be stored any more, by whose buffer it is.
pub(crate) fn buffer(is_go: bool, step: usize, len: usize) -> usize {
    if is_go { go_buffer(step, len) } else { start_of_buffer(step, len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, slide by slide.
    fn slid(at: usize, len: usize) -> usize {
        let mut base = 0;
        while len > base + 2 * WINDOW && base + 2 * WINDOW - at.min(base + 2 * WINDOW) < GO_LOOKAHEAD {
            base += WINDOW;
        }
        base
    }

    #[test]
    fn go_slides_when_little_is_ahead_and_more_is_to_come() {
        for around in [0, 32_507, 32_768, 65_275, 65_536, 98_043, 98_304, 131_072, 163_579] {
            for at in around.max(300) - 300..around + 300 {
                for len in [at, at + 1, at + 261, at + 262, at + 263, 65_536, 65_537, 98_304, 98_305, 131_073, 1 << 20]
                {
                    if at <= len {
                        assert_eq!(go_buffer(at, len), slid(at, len), "{at} of {len}");
                    }
                }
            }
        }
    }
}
