//! bzip2 as Apache Commons Compress writes it: libbz2's stream with its last stage done again.
//!
//! Both sort, move to front and count runs alike, which makes the same symbols. They differ in how those are coded in six tables or
//! fewer: where two tables cost the same, the C library takes the lower one and Java the higher; the C library keeps codes to 17 bits,
//! Java to 20; and where a code is longer, Java leaves the weight of the last symbol as it is. So the symbols are read from libbz2's
//! stream and written again. The formats of both are the same (there is no specification; the C sources of bzip2 1.0.8 are,
//! `BZ2_compressBlock` and `BZ2_hbMakeCodeLengths`). Blocks are cut where libbz2 cuts them, which Java's are, too, as
//! far as was tried (2.5 MB). Measured against Commons Compress 1.27.1.
//!
//! Not made again are blocks that are nothing but one piece repeated (`aa`): their rotations are equal, and which of these is noted as
//! the block itself depends on how each library sorts.

mod bits;
mod huffman;

use bits::{Bits, Writer};
use huffman::{codes, make_lengths};

/// Begins a block: the digits of pi.
const BLOCK: u64 = 0x3141_5926_5359;
/// Ends the stream: the digits of its square root.
const END: u64 = 0x1772_4538_5090;
/// Symbols that share a table.
const GROUP: usize = 50;
/// The most symbols that are distinguished: 256 bytes, two for runs but one for zero, the end of the block.
const MAX_ALPHABET: usize = 258;
/// The most tables.
const MAX_TABLES: usize = 6;
/// The longest code.
const MAX_CODE: usize = 20;
/// How often the tables are improved.
const ITERATIONS: usize = 4;

/// Code lengths of the symbols of one table.
type Lengths = [u8; MAX_ALPHABET];

/// Appends Java's stream to `out`, made of libbz2's.
pub(super) fn recode(stream: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut input = Bits::new(stream);
    let mut output = Writer::new(out);
    // "BZh" and the level.
    output.put(32, input.take(32)?);
    loop {
        let magic = input.take(48)?;
        output.put(24, magic >> 24);
        output.put(24, magic & 0xff_ffff);
        // The checksum: of the block, or of all.
        output.put(32, input.take(32)?);
        match magic {
            END => break,
            BLOCK => block(&mut input, &mut output)?,
            _ => return Err("no block"),
        }
    }
    output.flush();
    Ok(())
}

/// Reads a block's symbols and writes them again.
fn block(input: &mut Bits<'_>, output: &mut Writer<'_>) -> Result<(), &'static str> {
    // Whether it is randomised, and where the first byte stands.
    output.put(25, input.take(25)?);
    let alphabet = copy_used(input, output)? + 2;
    let symbols = read_symbols(input, alphabet)?;
    let tables = Tables::of(&symbols, alphabet);
    tables.put(&symbols, alphabet, output);
    Ok(())
}

/// Copies which bytes are in use; how many there are.
fn copy_used(input: &mut Bits<'_>, output: &mut Writer<'_>) -> Result<usize, &'static str> {
    let sixteens = input.take(16)?;
    output.put(16, sixteens);
    let mut used = 0;
    for _ in 0..sixteens.count_ones() {
        let bytes = input.take(16)?;
        output.put(16, bytes);
        used += bytes.count_ones() as usize;
    }
    Ok(used)
}

/// Reads all symbols of a block, with the one for its end.
fn read_symbols(input: &mut Bits<'_>, alphabet: usize) -> Result<Vec<u16>, &'static str> {
    let tables = input.take(3)? as usize;
    let count = input.take(15)? as usize;
    if !(2..=MAX_TABLES).contains(&tables) {
        return Err("a wrong number of tables");
    }
    let mut order: Vec<u8> = (0..tables as u8).collect();
    let mut selectors = Vec::with_capacity(count);
    for _ in 0..count {
        let mut place = 0;
        while input.take(1)? == 1 {
            place += 1;
        }
        if place >= tables {
            return Err("no such table");
        }
        order[..=place].rotate_right(1);
        selectors.push(usize::from(order[0]));
    }
    let mut decoders = Vec::with_capacity(tables);
    for _ in 0..tables {
        let (mut lengths, mut length) = ([0; MAX_ALPHABET], input.take(5)? as u8);
        for symbol in lengths.iter_mut().take(alphabet) {
            while input.take(1)? == 1 {
                length = if input.take(1)? == 0 { length.wrapping_add(1) } else { length.wrapping_sub(1) };
            }
            *symbol = length;
        }
        decoders.push(Decoder::new(&lengths, alphabet).ok_or("a code is too long")?);
    }
    let (end, mut symbols) = ((alphabet - 1) as u16, Vec::new());
    for selector in selectors {
        for _ in 0..GROUP {
            let symbol = decoders[selector].symbol(input)?;
            symbols.push(symbol);
            if symbol == end {
                return Ok(symbols);
            }
        }
    }
    Err("a block without an end")
}

/// Reads canonical codes of one table.
struct Decoder {
    /// For each length: what lies above its codes, filled up to the longest code; its first code; the place of its first symbol.
    ranges: [(u32, u32, usize); MAX_CODE + 1],
    symbols: Vec<u16>,
}

impl Decoder {
    fn new(lengths: &Lengths, alphabet: usize) -> Option<Self> {
        let lengths = lengths.get(..alphabet)?;
        if lengths.iter().any(|length| !(1..=MAX_CODE as u8).contains(length)) {
            return None;
        }
        let (mut ranges, mut symbols, mut code) = ([(0, 0, 0); MAX_CODE + 1], Vec::with_capacity(alphabet), 0u32);
        for (length, range) in ranges.iter_mut().enumerate() {
            let first = symbols.len();
            let of_this = lengths.iter().enumerate().filter(|(_, other)| usize::from(**other) == length);
            symbols.extend(of_this.map(|(symbol, _)| symbol as u16));
            let end = code.checked_add((symbols.len() - first) as u32)?;
            if end > 1 << length {
                return None;
            }
            *range = (end << (MAX_CODE - length), code, first);
            code = end << 1;
        }
        Some(Self { ranges, symbols })
    }

    fn symbol(&self, input: &mut Bits<'_>) -> Result<u16, &'static str> {
        let next = input.peek(MAX_CODE as u32) as u32;
        let ranges = self.ranges.iter().enumerate().skip(1);
        let (length, (_, first, place)) =
            ranges.into_iter().find(|(_, (end, ..))| next < *end).ok_or("no such code")?;
        input.skip(length as u32)?;
        let offset = (next >> (MAX_CODE - length)) - first;
        self.symbols.get(place + offset as usize).copied().ok_or("no such symbol")
    }
}

/// The tables of a block, and which group of symbols is coded with which.
struct Tables {
    lengths: Vec<Lengths>,
    selectors: Vec<u8>,
}

impl Tables {
    fn of(symbols: &[u16], alphabet: usize) -> Self {
        let count = match symbols.len() {
            0..200 => 2,
            200..600 => 3,
            600..1200 => 4,
            1200..2400 => 5,
            _ => MAX_TABLES,
        };
        let mut lengths = first_guess(symbols, alphabet, count);
        let mut selectors = Vec::with_capacity(symbols.len() / GROUP + 1);
        for _ in 0..ITERATIONS {
            let mut frequencies = vec![[0u32; MAX_ALPHABET]; count];
            selectors.clear();
            for group in symbols.chunks(GROUP) {
                let best = cheapest(&lengths, group);
                selectors.push(best as u8);
                for symbol in group {
                    frequencies[best][usize::from(*symbol)] += 1;
                }
            }
            for (lengths, frequencies) in lengths.iter_mut().zip(&frequencies) {
                make_lengths(lengths, &frequencies[..alphabet]);
            }
        }
        Self { lengths, selectors }
    }

    fn put(&self, symbols: &[u16], alphabet: usize, output: &mut Writer<'_>) {
        output.put(3, self.lengths.len() as u64);
        output.put(15, self.selectors.len() as u64);
        let mut order: Vec<u8> = (0..self.lengths.len() as u8).collect();
        for selector in &self.selectors {
            let place = order.iter().position(|table| table == selector).unwrap_or_default();
            order[..=place].rotate_right(1);
            (0..place).for_each(|_| output.put(1, 1));
            output.put(1, 0);
        }
        for lengths in &self.lengths {
            let mut length = lengths[0];
            output.put(5, u64::from(length));
            for wanted in &lengths[..alphabet] {
                while length != *wanted {
                    // 10 is one more, 11 one less.
                    output.put(2, if length < *wanted { 2 } else { 3 });
                    length = if length < *wanted { length + 1 } else { length - 1 };
                }
                output.put(1, 0);
            }
        }
        let codes: Vec<[u32; MAX_ALPHABET]> = self.lengths.iter().map(|lengths| codes(lengths, alphabet)).collect();
        for (group, selector) in symbols.chunks(GROUP).zip(&self.selectors) {
            let (codes, lengths) = (&codes[usize::from(*selector)], &self.lengths[usize::from(*selector)]);
            for symbol in group {
                let symbol = usize::from(*symbol);
                output.put(u32::from(lengths[symbol]), u64::from(codes[symbol]));
            }
        }
    }
}

/// The first tables: each is for a stretch of the alphabet with about as many symbols of the block as any other.
fn first_guess(symbols: &[u16], alphabet: usize, count: usize) -> Vec<Lengths> {
    let (inside, outside) = (0, 15);
    let mut frequencies = [0usize; MAX_ALPHABET];
    symbols.iter().for_each(|symbol| frequencies[usize::from(*symbol)] += 1);
    let mut lengths = vec![[outside; MAX_ALPHABET]; count];
    let (mut start, mut left) = (0, symbols.len());
    for part in (1..=count).rev() {
        let (share, mut taken, mut end) = (left / part, 0, start);
        while taken < share && end < alphabet {
            taken += frequencies[end];
            end += 1;
        }
        if end > start + 1 && part != count && part != 1 && (count - part) % 2 == 1 {
            end -= 1;
            taken -= frequencies[end];
        }
        lengths[part - 1][start..end].fill(inside);
        start = end;
        left -= taken;
    }
    lengths
}

/// The table that codes a group in the fewest bits; the highest of several.
fn cheapest(lengths: &[Lengths], group: &[u16]) -> usize {
    let cost = |lengths: &Lengths| group.iter().map(|symbol| u32::from(lengths[usize::from(*symbol)])).sum::<u32>();
    let costs = lengths.iter().map(cost).enumerate();
    costs.rev().min_by_key(|(_, cost)| *cost).map_or(0, |(table, _)| table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::codec::{Codec, Decoder as Payloads, MAX_DECODED};
    use crate::avro::encoder::compressors::bzip2;
    use crate::avro::encoder::selftest::{Kind, sample};
    use proptest::prelude::*;

    fn encode(level: u8, plain: &[u8]) -> Vec<u8> {
        let (mut stream, mut out) = (Vec::new(), Vec::new());
        bzip2(level, plain, &mut stream).unwrap();
        recode(&stream, &mut out).unwrap();
        out
    }

    fn decoded(payload: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        assert_eq!(Payloads::new().decode(Codec::Bzip2, payload, MAX_DECODED, &mut plain), Ok(payload.len()));
        plain
    }

    #[test]
    fn streams_of_no_block_and_of_several_decode() {
        for (level, length) in [(9, 0), (9, 1), (1, 250_000)] {
            for kind in Kind::ALL {
                let plain = sample(kind, length);
                assert!(decoded(&encode(level, &plain)) == plain, "{kind:?} {length}");
            }
        }
    }

    #[test]
    fn a_stream_that_is_cut_off_is_refused() {
        let mut stream = Vec::new();
        bzip2(9, &sample(Kind::Records, 3_000), &mut stream).unwrap();
        for length in 0..stream.len() {
            assert!(recode(&stream[..length], &mut Vec::new()).is_err(), "{length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_decode(bytes in proptest::collection::vec(0u8..7, 0..3000), wide in proptest::collection::vec(any::<u8>(), 0..300)) {
            let plain = [bytes, wide].concat();
            prop_assert_eq!(decoded(&encode(9, &plain)), plain);
        }
    }
}
