//! Reading words from the input, and comparing strings in it.

/// The four bytes at `at`, little end first; bytes behind the end read as zero.
#[inline]
pub(crate) fn load32(text: &[u8], at: usize) -> u32 {
    match text.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        Some(bytes) => u32::from_le_bytes(*bytes),
        None => tail(text, at) as u32,
    }
}

/// The eight bytes at `at`, little end first, if there are so many.
#[inline(always)]
pub(crate) fn word(text: &[u8], at: usize) -> Option<u64> {
    text.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// The eight bytes at `at`, little end first; bytes behind the end read as zero.
#[inline]
pub(crate) fn load64(text: &[u8], at: usize) -> u64 {
    word(text, at).unwrap_or_else(|| tail(text, at))
}

#[cold]
fn tail(text: &[u8], at: usize) -> u64 {
    text.get(at..).unwrap_or_default().iter().take(8).rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// How many bytes at `a` and at `b` (`a < b`) are equal, at most `limit`, which must not reach behind the end.
#[inline]
pub(crate) fn common(text: &[u8], a: usize, b: usize, limit: usize) -> usize {
    let mut len = 0;
    while len < limit {
        let difference = load64(text, a + len) ^ load64(text, b + len);
        if difference != 0 {
            return (len + (difference.trailing_zeros() >> 3) as usize).min(limit);
        }
        len += 8;
    }
    limit
}
