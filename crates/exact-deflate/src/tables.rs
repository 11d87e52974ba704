//! The constant tables of RFC 1951 section 3.2: how lengths and distances map to symbols and extra bits, and the
//! fixed codes of block type 1. All are computed at compile time from the rules of the RFC.

/// Number of literal, end-of-block and length symbols that a block may use.
pub(crate) const LITERALS: usize = 286;
/// Number of distance symbols that a block may use.
pub(crate) const DISTANCES: usize = 30;
/// Number of symbols in the code that transmits code lengths.
pub(crate) const CODE_LENGTHS: usize = 19;
/// The end-of-block symbol.
pub(crate) const END: usize = 256;
/// Shortest and longest match that the format can express.
pub(crate) const MIN_MATCH: usize = 3;
/// See [`MIN_MATCH`].
pub(crate) const MAX_MATCH: usize = 258;

/// Extra bits of the length symbols 257.. (index 0 is symbol 257).
pub(crate) const LENGTH_EXTRA: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
/// Extra bits of the distance symbols.
pub(crate) const DISTANCE_EXTRA: [u8; DISTANCES] =
    [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13];
/// Extra bits of the code length symbols (repeat previous, repeat zero short and long).
pub(crate) const CODE_LENGTH_EXTRA: [u8; CODE_LENGTHS] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 7];
/// The order in which a dynamic header sends the lengths of the code length code.
pub(crate) const CODE_LENGTH_ORDER: [u8; CODE_LENGTHS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Smallest match length of each length symbol.
pub(crate) const LENGTH_BASE: [u16; 29] = {
    let mut base = [0; 29];
    let (mut symbol, mut length) = (0, MIN_MATCH as u16);
    while symbol < 28 {
        base[symbol] = length;
        length += 1 << LENGTH_EXTRA[symbol];
        symbol += 1;
    }
    base[28] = MAX_MATCH as u16; // a symbol of its own, although symbol 27 could say it too
    base
};

/// Smallest distance of each distance symbol.
pub(crate) const DISTANCE_BASE: [u16; DISTANCES] = {
    let mut base = [0; DISTANCES];
    let (mut symbol, mut distance) = (0, 1);
    while symbol < DISTANCES {
        base[symbol] = distance;
        distance += 1 << DISTANCE_EXTRA[symbol];
        symbol += 1;
    }
    base
};

/// Length symbol, less 257, of a match length, less 3.
pub(crate) const LENGTH_SYMBOL: [u8; 256] = {
    let mut map = [28; 256];
    let mut symbol = 0;
    while symbol < 28 {
        let mut i = 0;
        while i < 1 << LENGTH_EXTRA[symbol] {
            map[LENGTH_BASE[symbol] as usize - MIN_MATCH + i] = symbol as u8;
            i += 1;
        }
        symbol += 1;
    }
    map[255] = 28;
    map
};

/// Distance symbol of a distance (1..=32768).
#[inline]
pub(crate) fn distance_symbol(distance: u32) -> usize {
    // From 3 on, the position of the leading bit and the bit after it name the symbol.
    let d = distance.wrapping_sub(1);
    if d < 2 {
        return d as usize & 1;
    }
    let top = 31 - d.leading_zeros();
    (2 * top + (d >> (top - 1) & 1)) as usize
}

/// Code lengths of the fixed literal/length code (block type 1).
pub(crate) const FIXED_LITERAL_LENGTHS: [u8; 288] = {
    let mut lengths = [8; 288];
    let mut i = 144;
    while i < 280 {
        lengths[i] = if i < 256 { 9 } else { 7 };
        i += 1;
    }
    lengths
};
/// Code length of every symbol of the fixed distance code.
pub(crate) const FIXED_DISTANCE_LENGTH: u8 = 5;
