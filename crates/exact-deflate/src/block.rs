//! One deflate block: collecting symbols, choosing the block type, writing it out.

use crate::bits::BitWriter;
use crate::header::Header;
use crate::huffman::{Builder, Code, Shape};
use crate::tables::{
    DISTANCE_BASE, DISTANCE_EXTRA, DISTANCES, END, FIXED_DISTANCE_LENGTH, FIXED_LITERAL_LENGTHS, LENGTH_BASE,
    LENGTH_EXTRA, LENGTH_SYMBOL, LITERALS, MIN_MATCH, distance_symbol,
};

const LITERAL_SHAPE: Shape = Shape { symbols: LITERALS, max_bits: 15, extra_from: END + 1, extra: &LENGTH_EXTRA };
const DISTANCE_SHAPE: Shape = Shape { symbols: DISTANCES, max_bits: 15, extra_from: 0, extra: &DISTANCE_EXTRA };

/// Room in the frequency tables: powers of two, so that a mask replaces the bounds check.
const LITERAL_ROOM: usize = 512;
const DISTANCE_ROOM: usize = 32;

/// How a block is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Stored,
    Fixed,
    Dynamic,
}

/// How often each symbol occurs in a block.
pub(crate) struct Frequencies {
    pub(crate) literals: [u16; LITERAL_ROOM],
    pub(crate) distances: [u16; DISTANCE_ROOM],
}

impl Frequencies {
    pub(crate) const fn new() -> Self {
        Self { literals: [0; LITERAL_ROOM], distances: [0; DISTANCE_ROOM] }
    }

    /// Forgets the last block. Every block has one end-of-block symbol.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
        self.literals[END] = 1;
    }

    #[inline]
    pub(crate) fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
    }

    /// Counts a match; `length` is less 3.
    #[inline]
    pub(crate) fn matched(&mut self, length: u8, distance: u32) {
        let symbol = usize::from(LENGTH_SYMBOL[usize::from(length)]);
        self.literals[(END + 1 + symbol) & (LITERAL_ROOM - 1)] += 1;
        self.distances[distance_symbol(distance) & (DISTANCE_ROOM - 1)] += 1;
    }
}

/// The codes of a block, and what they cost.
pub(crate) struct Plan {
    pub(crate) literal: Code,
    pub(crate) distance: Code,
    pub(crate) header: Header,
    builder: Builder,
}

impl Plan {
    pub(crate) const fn new() -> Self {
        Self { literal: Code::new(), distance: Code::new(), header: Header::new(), builder: Builder::new() }
    }

    /// Decides how a block is sent, as zlib's `_tr_flush_block` does, and leaves the codes in `self`. `stored` is the
    /// length of the block's bytes if it may be stored at all. Also returns the block's size in bits, without the
    /// three of its type.
    pub(crate) fn make(&mut self, frequencies: &Frequencies, stored: Option<usize>) -> (Kind, u64) {
        let literals = self.builder.build(&LITERAL_SHAPE, &frequencies.literals, &mut self.literal);
        let distances = self.builder.build(&DISTANCE_SHAPE, &frequencies.distances, &mut self.distance);
        let dynamic = self.header.make(&mut self.builder, &self.literal, &self.distance) + literals + distances;
        let fixed = fixed_bits(frequencies);
        // zlib compares whole bytes: the sizes with the three bits of the type, rounded up.
        let dynamic_bytes = (dynamic + 3 + 7) >> 3;
        let fixed_bytes = (fixed + 3 + 7) >> 3;
        let best = dynamic_bytes.min(fixed_bytes);
        match stored {
            Some(bytes) if bytes as u64 + 4 <= best => (Kind::Stored, (bytes as u64 + 4) * 8 + 7),
            _ if fixed_bytes == best => {
                set_fixed(&mut self.literal, &mut self.distance);
                (Kind::Fixed, fixed)
            }
            _ => (Kind::Dynamic, dynamic),
        }
    }
}

/// Size of a block's symbols in the fixed codes.
pub(crate) fn fixed_bits(frequencies: &Frequencies) -> u64 {
    let literals: u64 =
        frequencies.literals.iter().zip(&FIXED_LITERAL_LENGTHS).map(|(&f, &l)| u64::from(f) * u64::from(l)).sum();
    let distances: u64 = frequencies.distances.iter().map(|&f| u64::from(f) * u64::from(FIXED_DISTANCE_LENGTH)).sum();
    literals + distances + extra_bits(frequencies)
}

/// Size of the extra bits of a block's symbols.
pub(crate) fn extra_bits(frequencies: &Frequencies) -> u64 {
    let lengths = frequencies.literals.iter().skip(END + 1).zip(&LENGTH_EXTRA);
    let distances = frequencies.distances.iter().zip(&DISTANCE_EXTRA);
    lengths.chain(distances).map(|(&f, &l)| u64::from(f) * u64::from(l)).sum()
}

/// Puts the fixed codes of RFC 1951 section 3.2.6 in place of computed ones.
pub(crate) fn set_fixed(literal: &mut Code, distance: &mut Code) {
    let mut counts = [0; 16];
    (counts[7], counts[8], counts[9]) = (24, 152, 112);
    literal.lengths = FIXED_LITERAL_LENGTHS;
    crate::huffman::number(&counts, literal);
    let mut counts = [0; 16];
    counts[5] = 32;
    distance.lengths = [0; 288];
    for length in distance.lengths.iter_mut().take(DISTANCES) {
        *length = FIXED_DISTANCE_LENGTH;
    }
    crate::huffman::number(&counts, distance);
}

/// A symbol as collected: the distance (0 for a literal) above eight bits of literal or of length less 3.
pub(crate) type Symbol = u32;

/// Codes merged with their extra bits, so that a match is two look-ups. Entries are bits below a count.
pub(crate) struct Emitter {
    /// Literal bytes: code, count in the top byte.
    literal: [u32; 256],
    /// Lengths less 3, extra bits included.
    length: [u32; 256],
    /// Distance symbols: code (15 bits), its length (from bit 16), number of extra bits (from bit 24).
    distance: [u32; DISTANCE_ROOM],
}

impl Emitter {
    pub(crate) const fn new() -> Self {
        Self { literal: [0; 256], length: [0; 256], distance: [0; DISTANCE_ROOM] }
    }

    fn prepare(&mut self, plan: &Plan) {
        let code = &plan.literal;
        for (entry, (&bits, &length)) in self.literal.iter_mut().zip(code.codes.iter().zip(&code.lengths)) {
            *entry = u32::from(length) << 24 | u32::from(bits);
        }
        for (i, entry) in self.length.iter_mut().enumerate() {
            let symbol = usize::from(LENGTH_SYMBOL[i]) % LENGTH_BASE.len();
            let length = u32::from(code.lengths[END + 1 + symbol]);
            let extra = (i + MIN_MATCH - usize::from(LENGTH_BASE[symbol])) as u32;
            let bits = u32::from(code.codes[END + 1 + symbol]) | extra << length;
            *entry = (length + u32::from(LENGTH_EXTRA[symbol])) << 24 | bits;
        }
        for (i, entry) in self.distance.iter_mut().enumerate().take(DISTANCES) {
            let (bits, length) = (u32::from(plan.distance.codes[i]), u32::from(plan.distance.lengths[i]));
            *entry = u32::from(DISTANCE_EXTRA[i]) << 24 | length << 16 | bits;
        }
    }

    /// Writes the symbols and the end-of-block symbol.
    fn emit(&mut self, plan: &Plan, symbols: &[Symbol], writer: &mut BitWriter<'_>) {
        self.prepare(plan);
        for &symbol in symbols {
            let distance = symbol >> 8;
            if distance == 0 {
                let entry = self.literal[usize::from(symbol as u8)];
                writer.put(u64::from(entry & 0xff_ffff), entry >> 24);
            } else {
                let length = self.length[usize::from(symbol as u8)];
                let at = distance_symbol(distance) & (DISTANCE_ROOM - 1);
                let entry = self.distance[at];
                let base = DISTANCE_BASE.get(at).copied().unwrap_or(0);
                let extra = distance - u32::from(base);
                let bits = u64::from(entry & 0xffff) | u64::from(extra) << (entry >> 16 & 0xff);
                let count = length >> 24;
                writer.put(
                    u64::from(length & 0xff_ffff) | bits << (count & 63),
                    count + (entry >> 16 & 0xff) + (entry >> 24),
                );
            }
        }
        writer.put(u64::from(plan.literal.codes[END]), u32::from(plan.literal.lengths[END]));
    }
}

/// Writes one block of the given kind. `bytes` are the plain bytes it stands for (only looked at if stored).
pub(crate) fn write(
    writer: &mut BitWriter<'_>,
    emitter: &mut Emitter,
    plan: &Plan,
    (kind, size): (Kind, u64),
    symbols: &[Symbol],
    bytes: &[u8],
    last: bool,
) {
    writer.reserve(size + 64);
    match kind {
        Kind::Stored => {
            writer.put(u64::from(last), 3);
            writer.align();
            // Cannot exceed 16 bits: a block of symbols that cost more than their bytes is shorter than that.
            let len = bytes.len() as u16;
            writer.put(u64::from(len) | u64::from(!len) << 16, 32);
            writer.bytes(bytes);
        }
        Kind::Fixed | Kind::Dynamic => {
            write_header(writer, plan, kind, last);
            emitter.emit(plan, symbols, writer);
        }
    }
}

/// Writes what comes before the symbols of a block that is not stored.
pub(crate) fn write_header(writer: &mut BitWriter<'_>, plan: &Plan, kind: Kind, last: bool) {
    let last = u64::from(last);
    if kind == Kind::Dynamic {
        writer.put(4 | last, 3);
        plan.header.write(writer, &plan.literal, &plan.distance);
    } else {
        writer.put(2 | last, 3);
    }
}
