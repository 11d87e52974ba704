//! Length-limited Huffman codes by package-merge (Larmore and Hirschberg, "A fast algorithm for optimal length-limited
//! Huffman codes", 1990).
//!
//! Optimal codes are not unique, so ties are broken as Go does it: symbols of equal frequency stand in order, a package comes
//! before a symbol of equal weight, and of two symbols equally frequent the larger one has the shorter code.

use crate::huffman::{Code, MAX_BITS, number};

/// More than there are symbols.
const SYMBOLS: usize = 288;
/// Items of a row that can be needed: less than two for each symbol.
const ITEMS: usize = 2 * SYMBOLS;

/// Working memory for building codes.
pub(crate) struct Packager {
    /// The symbols in use by rising frequency: the frequency above 16 bits of symbol.
    symbols: [u32; SYMBOLS],
    /// The weights of a row, and of the one before.
    row: [u32; ITEMS],
    before: [u32; ITEMS],
    /// For each row, how many of its first items are symbols.
    leading: [[u16; ITEMS + 1]; MAX_BITS],
}

impl Packager {
    pub(crate) const fn new() -> Self {
        Self { symbols: [0; SYMBOLS], row: [0; ITEMS], before: [0; ITEMS], leading: [[0; ITEMS + 1]; MAX_BITS] }
    }

    /// Builds the code for `frequencies`, of which at least one must not be zero; returns the bits that the symbols take
    /// without their extra bits.
    pub(crate) fn build(&mut self, max_bits: usize, frequencies: &[u16], code: &mut Code) -> u64 {
        code.lengths = [0; SYMBOLS];
        let mut used = 0;
        for (symbol, &frequency) in frequencies.iter().enumerate() {
            if frequency != 0
                && let Some(slot) = self.symbols.get_mut(used)
            {
                *slot = u32::from(frequency) << 16 | symbol as u32;
                code.max = symbol;
                used += 1;
            }
        }
        let mut counts = [0; MAX_BITS + 1];
        if used <= 2 {
            self.lengthen(used, code);
            counts[1] = used as u16;
        } else {
            if let Some(symbols) = self.symbols.get_mut(..used) {
                symbols.sort_unstable();
            }
            // No code of so many symbols is deeper.
            let rows = max_bits.min(MAX_BITS).min(used - 1);
            self.merge(rows, used);
            // All of the last row's items but the heaviest make the code; each package among them stands for two items
            // of the row before. A symbol's code is as long as the number of rows that have it.
            let mut needed = 2 * used - 2;
            for row in (0..rows).rev() {
                let leading = usize::from(self.leading[row].get(needed).copied().unwrap_or(0));
                self.lengthen(leading, code);
                needed = 2 * needed.saturating_sub(leading);
            }
            for &length in &code.lengths {
                counts[usize::from(length) & MAX_BITS] += 1;
            }
            counts[0] = 0;
        }
        number(&counts, code);
        frequencies.iter().zip(&code.lengths).map(|(&f, &l)| u64::from(f) * u64::from(l)).sum()
    }

    /// One bit more for the first of the symbols.
    fn lengthen(&self, leading: usize, code: &mut Code) {
        for symbol in self.symbols.iter().take(leading) {
            if let Some(length) = code.lengths.get_mut((symbol & 0xffff) as usize) {
                *length += 1;
            }
        }
    }

    /// Makes the rows: the first has the symbols, each other one the symbols and the pairs of the row before, by weight.
    fn merge(&mut self, rows: usize, used: usize) {
        let mut len = 0;
        for row in 0..rows {
            let pairs = len / 2;
            let (mut symbol, mut pair) = (0, 0);
            let leading = &mut self.leading[row];
            let mut item = 0;
            while item < 2 * used - 2 && symbol + pair < used + pairs {
                let single = if symbol < used { self.symbols[symbol % SYMBOLS] >> 16 } else { u32::MAX };
                let both = match pair < pairs {
                    true => self.before[2 * pair % ITEMS] + self.before[(2 * pair + 1) % ITEMS],
                    false => u32::MAX,
                };
                let is_symbol = single < both;
                self.row[item % ITEMS] = single.min(both);
                symbol += usize::from(is_symbol);
                pair += usize::from(!is_symbol);
                item += 1;
                leading[item % (ITEMS + 1)] = symbol as u16;
            }
            len = item;
            std::mem::swap(&mut self.row, &mut self.before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(max_bits: usize, frequencies: &[u16]) -> Vec<u8> {
        let mut code = Code::new();
        Packager::new().build(max_bits, frequencies, &mut code);
        code.lengths[..frequencies.len()].to_vec()
    }

    #[test]
    fn few_symbols_have_one_bit() {
        assert_eq!(lengths(15, &[0, 7]), [0, 1]);
        assert_eq!(lengths(15, &[9, 0, 1]), [1, 0, 1]);
        assert_eq!(lengths(15, &[9, 1, 1]), [1, 2, 2]);
    }

    #[test]
    fn codes_are_complete_within_the_limit_and_the_frequent_are_short() {
        let fibonacci: Vec<u16> =
            [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181].into();
        for (max_bits, frequencies) in
            [(15, fibonacci.clone()), (7, fibonacci), (15, vec![1; 286]), (15, vec![65_535; 3])]
        {
            let lengths = lengths(max_bits, &frequencies);
            let sum: u64 = lengths.iter().map(|length| 1 << (15 - length)).sum();
            assert_eq!(sum, 1 << 15, "{lengths:?}");
            assert!(lengths.iter().all(|length| usize::from(*length) <= max_bits));
            assert!(lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
        }
    }
}
