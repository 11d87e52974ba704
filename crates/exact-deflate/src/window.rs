//! Where zlib's sliding window would be. The encoder has the whole input in memory and slides nothing, but a few
//! decisions of zlib depend on what is still in its 64 KiB buffer.

use crate::text::load32;

/// Size of the window: the largest distance in the format.
pub(crate) const WINDOW: usize = 1 << 15;
/// zlib refills its buffer when less than this lies ahead: the longest match, a minimal one and a byte.
pub(crate) const MIN_LOOKAHEAD: usize = 258 + 3 + 1;
/// The largest distance that zlib uses.
pub(crate) const MAX_DISTANCE: usize = WINDOW - MIN_LOOKAHEAD;
/// The first buffer index at which zlib slides.
const SLIDE_AT: usize = WINDOW + MAX_DISTANCE;

/// The input position that lies at the start of zlib's buffer when its main loop has last started a step at `position`,
/// for an input of `len` bytes. What lies before can no longer be stored.
pub(crate) fn start_of_buffer(position: usize, len: usize) -> usize {
    match position.checked_sub(SLIDE_AT) {
        None => 0,
        Some(over) if over.is_multiple_of(WINDOW) && !slides_exactly(position, len) => over,
        Some(over) => over / WINDOW * WINDOW + WINDOW,
    }
}

/// True if zlib slides its buffer at the first position where it may. It does only if the input ends before the buffer
/// does; else enough lies ahead, and it slides one position later.
///
/// In this case the string at [`MAX_DISTANCE`] comes to lie at index 0, which means "none" in the hash table.
pub(crate) fn slides_exactly(position: usize, len: usize) -> bool {
    position >= SLIDE_AT && (position - SLIDE_AT).is_multiple_of(WINDOW) && len.saturating_sub(position) < MIN_LOOKAHEAD
}

/// The four bytes at `position`, of which the last may lie just behind the end of the text, as Chromium's hash sees
/// them: zlib's buffer then holds what was there one window before, or zero if it was never slid.
pub(crate) fn word_at_end(text: &[u8], position: usize) -> u32 {
    let word = load32(text, position);
    let end = text.len();
    if position + 3 == end && start_of_buffer(position, end) > 0 {
        let stale = end.checked_sub(WINDOW).and_then(|at| text.get(at)).copied().unwrap_or(0);
        return word | u32::from(stale) << 24;
    }
    word
}
