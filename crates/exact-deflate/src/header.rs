//! The header of a dynamic block: the code lengths of both codes, run-length coded, themselves Huffman coded
//! (RFC 1951 section 3.2.7). Where runs are split is not fixed by the RFC; it is done here as in zlib's `scan_tree`.

use crate::bits::BitWriter;
use crate::go::codes::Packager;
use crate::huffman::{Builder, Code, Shape};
use crate::tables::{CODE_LENGTH_EXTRA, CODE_LENGTH_ORDER, CODE_LENGTHS};

const SHAPE: Shape = Shape { symbols: CODE_LENGTHS, max_bits: 7, extra_from: 0, extra: &CODE_LENGTH_EXTRA };
const REPEAT: u8 = 16;
const ZEROS_SHORT: u8 = 17;
const ZEROS_LONG: u8 = 18;
/// At most one item for each code length.
const ITEMS: usize = 512;

/// The items of a header and the code they are sent with.
pub(crate) struct Header {
    /// Symbol and the value of its extra bits.
    items: [(u8, u8); ITEMS],
    len: usize,
    frequencies: [u16; 32],
    code: Code,
    /// How many lengths of `code` are sent.
    sent: usize,
}

impl Header {
    pub(crate) const fn new() -> Self {
        Self { items: [(0, 0); ITEMS], len: 0, frequencies: [0; 32], code: Code::new(), sent: 0 }
    }

    fn push(&mut self, symbol: u8, extra: usize) {
        self.items[self.len & (ITEMS - 1)] = (symbol, extra as u8);
        self.len += 1;
        self.frequencies[usize::from(symbol & 31)] += 1;
    }

    /// Splits the lengths of one code into items.
    fn scan(&mut self, code: &Code) {
        let lengths = code.lengths.get(..=code.max).unwrap_or_default();
        let mut previous = None;
        let (mut longest, mut shortest) = run_limits(lengths.first().copied(), previous);
        let mut count = 0;
        for (i, &current) in lengths.iter().enumerate() {
            let next = lengths.get(i + 1).copied();
            count += 1;
            if count < longest && next == Some(current) {
                continue;
            }
            if count < shortest {
                for _ in 0..count {
                    self.push(current, 0);
                }
            } else if current != 0 {
                if previous != Some(current) {
                    self.push(current, 0);
                    count -= 1;
                }
                self.push(REPEAT, count.wrapping_sub(3));
            } else if count <= 10 {
                self.push(ZEROS_SHORT, count - 3);
            } else {
                self.push(ZEROS_LONG, count - 11);
            }
            count = 0;
            previous = Some(current);
            (longest, shortest) = run_limits(next, previous);
        }
    }

    /// Splits the lengths of both codes, one after the other, into items as Go does: runs may span both, and are of the
    /// longest repeats from the left.
    fn scan_go(&mut self, literal: &Code, distance: &Code) {
        let lengths = [literal, distance].map(|code| code.lengths.get(..=code.max).unwrap_or_default());
        let mut lengths = lengths.into_iter().flatten().copied().peekable();
        while let Some(length) = lengths.next() {
            let mut count = 1;
            while lengths.next_if_eq(&length).is_some() {
                count += 1;
            }
            if length != 0 {
                self.push(length, 0);
                count -= 1;
            }
            while count >= 3 {
                let (symbol, shortest, longest) = match (length, count) {
                    (0, 11..) => (ZEROS_LONG, 11, 138),
                    (0, _) => (ZEROS_SHORT, 3, 10),
                    _ => (REPEAT, 3, 6),
                };
                let run = count.min(longest);
                self.push(symbol, run - shortest);
                count -= run;
            }
            for _ in 0..count {
                self.push(length, 0);
            }
        }
    }

    /// What [`Self::make`] does, as Go does it.
    pub(crate) fn make_go(&mut self, packager: &mut Packager, literal: &Code, distance: &Code) -> u64 {
        self.len = 0;
        self.frequencies = [0; 32];
        self.scan_go(literal, distance);
        let bits = packager.build(SHAPE.max_bits, &self.frequencies, &mut self.code);
        let extra: u64 =
            self.frequencies.iter().zip(&CODE_LENGTH_EXTRA).map(|(&f, &extra)| u64::from(f) * u64::from(extra)).sum();
        self.count_sent() + bits + extra
    }

    /// Makes the header for the two codes and returns its size in bits.
    pub(crate) fn make(&mut self, builder: &mut Builder, literal: &Code, distance: &Code) -> u64 {
        self.len = 0;
        self.frequencies = [0; 32];
        self.scan(literal);
        self.scan(distance);
        let bits = builder.build(&SHAPE, &self.frequencies, &mut self.code);
        bits + self.count_sent()
    }

    /// Finds out how many lengths of the code are sent; returns the size of these and of the numbers.
    fn count_sent(&mut self) -> u64 {
        let unused = |&&symbol: &&u8| self.code.lengths[usize::from(symbol & 31)] == 0;
        // At least four are sent, whatever they are.
        self.sent = (CODE_LENGTHS - CODE_LENGTH_ORDER.iter().rev().take_while(unused).count()).max(4);
        3 * self.sent as u64 + 5 + 5 + 4
    }

    /// Writes the header; the writer must have room for it.
    pub(crate) fn write(&self, writer: &mut BitWriter<'_>, literal: &Code, distance: &Code) {
        writer.put((literal.max as u64).saturating_sub(256) & 31, 5);
        writer.put(distance.max as u64 & 31, 5);
        writer.put(self.sent as u64 - 4, 4);
        for &symbol in CODE_LENGTH_ORDER.iter().take(self.sent) {
            writer.put(u64::from(self.code.lengths[usize::from(symbol & 31)]), 3);
        }
        for &(symbol, extra) in self.items.iter().take(self.len) {
            let at = usize::from(symbol & 31);
            let length = u32::from(self.code.lengths[at]);
            let extra_bits = u32::from(CODE_LENGTH_EXTRA.get(at).copied().unwrap_or(0));
            writer.put(u64::from(self.code.codes[at]) | u64::from(extra) << length, length + extra_bits);
        }
    }
}

/// The longest run that one item takes and the shortest that is worth one, given what the run consists of.
fn run_limits(next: Option<u8>, previous: Option<u8>) -> (usize, usize) {
    match next {
        Some(0) => (138, 3),
        _ if next == previous => (6, 3),
        _ => (7, 4),
    }
}
