//! Reads the symbols of a deflate stream, for [`crate::verify`]. Only what our encoder can have written is accepted.

use crate::block::{Frequencies, Kind};
use crate::confirm::Confirmer;
use crate::huffman::{Code, MAX_BITS, number};
use crate::rules::Rules;
use crate::tables::{
    CODE_LENGTH_ORDER, CODE_LENGTHS, DISTANCE_BASE, DISTANCE_EXTRA, DISTANCES, END, FIXED_DISTANCE_LENGTH,
    FIXED_LITERAL_LENGTHS, LENGTH_BASE, LENGTH_EXTRA, LITERALS, MAX_MATCH, MIN_MATCH,
};
use crate::text::{common, word};

/// A bit reader.
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    bits: u64,
    /// Valid bits in `bits`. What lies above is a foretaste of the bytes to come, or zero.
    count: u32,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, bits: 0, count: 0 }
    }

    /// Makes 56 bits or more valid, as far as there are so many.
    #[inline(always)]
    fn refill(&mut self) {
        if let Some(word) = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            self.bits |= u64::from_le_bytes(*word) << (self.count & 63);
            self.at += ((63 - self.count) >> 3) as usize;
            self.count |= 56;
        } else {
            self.refill_tail();
        }
    }

    #[cold]
    fn refill_tail(&mut self) {
        // Bits above `count` may be there already; they are the same bits.
        while self.count < 56 {
            let Some(&byte) = self.data.get(self.at) else { break };
            self.bits |= u64::from(byte) << self.count;
            self.at += 1;
            self.count += 8;
        }
    }

    #[inline(always)]
    fn drop(&mut self, count: u32) -> Option<()> {
        self.count = self.count.checked_sub(count)?;
        self.bits >>= count & 63;
        Some(())
    }

    /// Drops a code with its extra bits; gives what they stand for.
    #[inline(always)]
    fn value(&mut self, entry: Entry) -> Option<usize> {
        let (code, extra) = (entry & 15, entry >> 4 & 15);
        let value = (entry >> 16) as usize + ((self.bits >> code) as usize & ((1 << extra) - 1));
        self.drop(code + extra)?;
        Some(value)
    }

    fn take(&mut self, count: u32) -> Option<usize> {
        self.refill();
        let value = self.bits & ((1 << count) - 1);
        self.drop(count)?;
        Some(value as usize)
    }

    /// Bits read so far.
    pub(crate) fn position(&self) -> usize {
        self.at * 8 - self.count as usize
    }

    /// True if all that is left is padding of less than a byte, all zero.
    pub(crate) fn at_end(&mut self) -> bool {
        self.refill();
        self.count < 8 && self.at == self.data.len() && self.bits == 0
    }
}

/// All about a symbol: from the lowest bit its code length (4 bits), number of extra bits (4), sort (2 of 8), value (16).
/// The value of a length or distance is the least it stands for.
type Entry = u32;
const LITERAL: Entry = 0;
const WITH_EXTRA: Entry = 1 << 8;
const END_OF_BLOCK: Entry = 2 << 8;
const SORT: Entry = 3 << 8;

/// The entry of a symbol, but for its code length.
type Meaning = fn(usize) -> Option<Entry>;

fn with_extra(base: &[u16], extra: &[u8], symbol: usize) -> Option<Entry> {
    Some(Entry::from(*base.get(symbol)?) << 16 | WITH_EXTRA | Entry::from(*extra.get(symbol)?) << 4)
}
fn literal_or_length(symbol: usize) -> Option<Entry> {
    match symbol.checked_sub(END) {
        None => Some(LITERAL | (symbol as Entry) << 16),
        Some(0) => Some(END_OF_BLOCK),
        Some(i) => with_extra(&LENGTH_BASE, &LENGTH_EXTRA, i - 1),
    }
}
fn distance(symbol: usize) -> Option<Entry> {
    with_extra(&DISTANCE_BASE, &DISTANCE_EXTRA, symbol)
}
fn plain_number(symbol: usize) -> Option<Entry> {
    Some((symbol as Entry) << 16)
}

/// Decodes one Huffman code: short codes by table, long ones by counting.
struct Decoder<const TABLE: usize> {
    /// By the next bits: an [`Entry`], 0 for none.
    table: [Entry; TABLE],
    /// Longer codes: how many there are of each length, and the symbols in order.
    counts: [u16; MAX_BITS + 1],
    sorted: [u16; 288],
    code: Code,
    meaning: Meaning,
}

impl<const TABLE: usize> Decoder<TABLE> {
    const BITS: u32 = TABLE.ilog2();

    const fn new(meaning: Meaning) -> Self {
        Self { table: [0; TABLE], counts: [0; MAX_BITS + 1], sorted: [0; 288], code: Code::new(), meaning }
    }

    fn prepare(&mut self, lengths: &[u8]) {
        self.code.lengths = [0; 288];
        for (to, &from) in self.code.lengths.iter_mut().zip(lengths) {
            *to = from & MAX_BITS as u8;
        }
        self.counts = [0; MAX_BITS + 1];
        for &length in &self.code.lengths {
            self.counts[usize::from(length) & MAX_BITS] += 1;
        }
        self.counts[0] = 0;
        let mut place = [0_u16; MAX_BITS + 1];
        for bits in 1..=MAX_BITS {
            place[bits] = place[bits - 1] + self.counts[bits - 1];
        }
        number(&self.counts, &mut self.code);
        self.table = [0; TABLE];
        for (symbol, (&length, &code)) in self.code.lengths.iter().zip(&self.code.codes).enumerate() {
            let bits = usize::from(length);
            if bits == 0 {
                continue;
            }
            if let Some(slot) = self.sorted.get_mut(usize::from(place[bits & MAX_BITS])) {
                *slot = symbol as u16;
                place[bits & MAX_BITS] += 1;
            }
            if u32::from(length) <= Self::BITS
                && let Some(meaning) = (self.meaning)(symbol)
            {
                let entry = meaning | Entry::from(length);
                for slot in self.table.iter_mut().skip(usize::from(code)).step_by(1 << length) {
                    *slot = entry;
                }
            }
        }
    }

    /// The next symbol, which stays in the reader, which must be filled.
    #[inline(always)]
    fn peek(&self, bits: &Bits<'_>) -> Option<Entry> {
        let entry = self.table[bits.bits as usize & (TABLE - 1)];
        if entry != 0 { Some(entry) } else { self.peek_long(bits.bits) }
    }

    #[cold]
    fn peek_long(&self, bits: u64) -> Option<Entry> {
        let (mut code, mut first, mut index) = (0_u32, 0_u32, 0_u32);
        for length in 1..=MAX_BITS as u32 {
            code |= (bits >> (length - 1) & 1) as u32;
            let count = u32::from(self.counts[length as usize & MAX_BITS]);
            if code < first + count {
                let symbol = *self.sorted.get((index + code.checked_sub(first)?) as usize)?;
                return Some((self.meaning)(usize::from(symbol))? | length);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        None
    }
}

/// What was read of a block: the number of symbols, the position behind them, and how many bytes the last one stands for.
pub(crate) struct Read {
    pub(crate) symbols: usize,
    pub(crate) end: usize,
    pub(crate) last: usize,
}

/// Reads blocks.
pub(crate) struct Inflater {
    literal: Decoder<1024>,
    distance: Decoder<256>,
    code_lengths: Decoder<128>,
}

impl Inflater {
    pub(crate) const fn new() -> Self {
        Self {
            literal: Decoder::new(literal_or_length),
            distance: Decoder::new(distance),
            code_lengths: Decoder::new(plain_number),
        }
    }

    /// Reads the start of a block: whether it is the last, and its kind. The codes are ready afterwards.
    pub(crate) fn start(&mut self, bits: &mut Bits<'_>) -> Option<(bool, Kind)> {
        let last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => Some((last, Kind::Stored)),
            1 => {
                self.literal.prepare(&FIXED_LITERAL_LENGTHS);
                self.distance.prepare(&[FIXED_DISTANCE_LENGTH; DISTANCES]);
                Some((last, Kind::Fixed))
            }
            2 => {
                self.codes(bits)?;
                Some((last, Kind::Dynamic))
            }
            _ => None,
        }
    }

    fn codes(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let literals = bits.take(5)? + END + 1;
        let distances = bits.take(5)? + 1;
        let sent = bits.take(4)? + 4;
        if literals > LITERALS || distances > DISTANCES {
            return None;
        }
        let mut lengths = [0; CODE_LENGTHS];
        for &symbol in CODE_LENGTH_ORDER.iter().take(sent) {
            *lengths.get_mut(usize::from(symbol))? = bits.take(3)? as u8;
        }
        self.code_lengths.prepare(&lengths);
        let mut lengths = [0_u8; LITERALS + DISTANCES];
        let mut at = 0;
        while at < literals + distances {
            bits.refill();
            let entry = self.code_lengths.peek(bits)?;
            bits.drop(entry & 15)?;
            let (value, repeat) = match entry >> 16 {
                16 => (*lengths.get(at.checked_sub(1)?)?, 3 + bits.take(2)?),
                17 => (0, 3 + bits.take(3)?),
                18 => (0, 11 + bits.take(7)?),
                length => (length as u8, 1),
            };
            lengths.get_mut(at..at + repeat)?.fill(value);
            at += repeat;
        }
        if at != literals + distances {
            return None;
        }
        self.literal.prepare(lengths.get(..literals)?);
        self.distance.prepare(lengths.get(literals..at)?);
        Some(())
    }

    /// Reads the symbols of a block, counts them, and checks that they stand for what is in `plain` from `position` on, that
    /// the encoder would have them there, and that there are at most `most`.
    #[inline(never)]
    pub(crate) fn symbols<R: Rules>(
        &self,
        bits: &mut Bits<'_>,
        plain: &[u8],
        mut position: usize,
        most: usize,
        frequencies: &mut Frequencies,
        confirmer: &mut Confirmer<'_, R>,
    ) -> Option<Read> {
        let mut len = 0;
        let mut last = 0;
        loop {
            bits.refill();
            let entry = self.literal.peek(bits)?;
            if entry & SORT == LITERAL {
                bits.drop(entry & 15)?;
                let byte = (entry >> 16) as u8;
                if plain.get(position) != Some(&byte) {
                    return None;
                }
                frequencies.literal(byte);
                if len == most || !confirmer.literal(position) {
                    return None;
                }
                last = 1;
                position += 1;
                len += 1;
                continue;
            }
            if entry & SORT == END_OF_BLOCK {
                bits.drop(entry & 15)?;
                return Some(Read { symbols: len, end: position, last });
            }
            let length = bits.value(entry)?;
            // The longest match has a symbol of its own.
            if length == MAX_MATCH && entry >> 16 != MAX_MATCH as Entry {
                return None;
            }
            let entry = self.distance.peek(bits)?;
            let distance = bits.value(entry)?;
            let from = position.checked_sub(distance)?;
            if !equal(plain, from, position, length) {
                return None;
            }
            frequencies.matched((length - MIN_MATCH) as u8, distance as u32);
            if len == most || !confirmer.matched(position, length as u32, distance as u32) {
                return None;
            }
            last = length;
            position += length;
            len += 1;
        }
    }
}

/// True if the `length` bytes at `a` and `b` (`a < b`) are there and equal.
#[inline(always)]
fn equal(text: &[u8], a: usize, b: usize, length: usize) -> bool {
    // The first and the last eight bytes are all there is to most matches. No loop, and no branch on the length.
    let short = length.min(8);
    let last = length - short;
    let words = (word(text, a), word(text, b), word(text, a + last), word(text, b + last));
    if let (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) = words
        && length <= 16
    {
        return (a_first ^ b_first | a_last ^ b_last) << (64 - 8 * short as u32) == 0;
    }
    length <= text.len() - b && common(text, a, b, length) == length
}
