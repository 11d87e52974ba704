//! Length-limited Huffman codes, built as zlib builds them.
//!
//! An optimal code is not unique: which of two equally frequent symbols gets the longer code depends on the order in
//! which a binary heap gives them out, and how an overlong code is shortened is a heuristic. Both must be done as in
//! zlib's trees.c for the output to be equal to the bit.

/// Longest code that deflate allows.
pub(crate) const MAX_BITS: usize = 15;
/// Room for all symbols and inner nodes of the largest tree (2 * 286 + 1), rounded up to a power of two so that a mask
/// replaces the bounds check.
const NODES: usize = 1024;
const MASK: usize = NODES - 1;

/// A heap entry: frequency (16 bits), depth (6) and node (10). A block has at most 32 768 symbols, so frequencies fit,
/// and a Huffman tree over so many is at most 23 deep. zlib compares frequency, then depth; never the node.
type Entry = u32;
const fn entry(frequency: u32, depth: u32, node: usize) -> Entry {
    frequency << 16 | (depth & 63) << 10 | (node & MASK) as u32
}
const fn node_of(entry: Entry) -> usize {
    entry as usize & MASK
}
const fn not_after(a: Entry, b: Entry) -> bool {
    a >> 10 <= b >> 10
}

/// What is fixed about one of the three codes of a block.
pub(crate) struct Shape {
    /// Number of symbols.
    pub(crate) symbols: usize,
    /// Longest code allowed.
    pub(crate) max_bits: usize,
    /// First symbol with extra bits, and the extra bits from there on.
    pub(crate) extra_from: usize,
    pub(crate) extra: &'static [u8],
}

/// A Huffman code: for each symbol the length (0: unused) and the code with its bits in sending order.
pub(crate) struct Code {
    pub(crate) lengths: [u8; 288],
    pub(crate) codes: [u16; 288],
    /// Largest symbol with a code.
    pub(crate) max: usize,
}

impl Code {
    pub(crate) const fn new() -> Self {
        Self { lengths: [0; 288], codes: [0; 288], max: 0 }
    }
}

/// Working memory for building codes.
pub(crate) struct Builder {
    heap: [Entry; NODES],
    parent: [u16; NODES],
    length: [u8; NODES],
    /// Nodes in the order in which they left the heap, that is by rising frequency.
    order: [u16; NODES],
}

impl Builder {
    pub(crate) const fn new() -> Self {
        Self { heap: [0; NODES], parent: [0; NODES], length: [0; NODES], order: [0; NODES] }
    }

    /// Lets the entry at `k` sink to where neither child comes before it.
    #[inline]
    fn sink(&mut self, mut k: usize, len: usize) {
        let moving = self.heap[k & MASK];
        let mut child = 2 * k;
        while child <= len {
            let mut smaller = self.heap[child & MASK];
            if child < len {
                let right = self.heap[(child + 1) & MASK];
                if not_after(right, smaller) {
                    smaller = right;
                    child += 1;
                }
            }
            if not_after(moving, smaller) {
                break;
            }
            self.heap[k & MASK] = smaller;
            k = child;
            child = 2 * k;
        }
        self.heap[k & MASK] = moving;
    }

    /// Builds the code for `frequencies` and returns the bits that the block's symbols (extra bits included) take.
    /// Symbols given a code only because a code needs two are not counted.
    pub(crate) fn build(&mut self, shape: &Shape, frequencies: &[u16], code: &mut Code) -> u64 {
        let mut len = 0;
        let mut max = None;
        let mut forced = [usize::MAX; 2];
        code.lengths = [0; 288];
        for (symbol, &frequency) in frequencies.iter().enumerate().take(shape.symbols) {
            if frequency != 0 {
                len += 1;
                self.heap[len & MASK] = entry(u32::from(frequency), 0, symbol);
                max = Some(symbol);
            }
        }
        // A decoder may want two codes of at least one bit each, so symbols are added as if they occurred once.
        for slot in &mut forced {
            if len >= 2 {
                break;
            }
            let symbol = match max {
                None => 0,
                Some(m) if m < 2 => m + 1,
                Some(_) => 0,
            };
            if max.is_none_or(|m| m < 2) {
                max = Some(symbol);
            }
            len += 1;
            self.heap[len & MASK] = entry(1, 0, symbol);
            *slot = symbol;
        }
        let max = max.unwrap_or(0);
        code.max = max;
        for k in (1..=len / 2).rev() {
            self.sink(k, len);
        }
        let mut node = shape.symbols;
        let mut done = 0;
        while len >= 2 {
            let a = self.heap[1];
            self.heap[1] = self.heap[len & MASK];
            len -= 1;
            self.sink(1, len);
            let b = self.heap[1];
            self.order[done & MASK] = node_of(a) as u16;
            self.order[(done + 1) & MASK] = node_of(b) as u16;
            done += 2;
            let depth = (a >> 10 & 63).max(b >> 10 & 63) + 1;
            self.parent[node_of(a)] = node as u16;
            self.parent[node_of(b)] = node as u16;
            self.heap[1] = entry((a >> 16) + (b >> 16), depth, node);
            node += 1;
            self.sink(1, len);
        }
        self.length[(node - 1) & MASK] = 0; // the root
        let counts = self.assign_lengths(shape, max, done);
        let mut bits = 0;
        for (symbol, &frequency) in frequencies.iter().enumerate().take(max + 1) {
            if frequency != 0 || forced.contains(&symbol) {
                let length = self.length[symbol & MASK];
                code.lengths[symbol] = length;
                let extra = match symbol.checked_sub(shape.extra_from) {
                    Some(i) => shape.extra.get(i).copied().unwrap_or(0),
                    None => 0,
                };
                bits += u64::from(frequency) * u64::from(length + extra);
            }
        }
        // A forced symbol of frequency one costs its length less one bit in zlib's sums.
        for symbol in forced {
            if symbol != usize::MAX {
                bits = bits.wrapping_add(u64::from(self.length[symbol & MASK]) - 1);
                if let Some(i) = symbol.checked_sub(shape.extra_from) {
                    bits += u64::from(shape.extra.get(i).copied().unwrap_or(0));
                }
            }
        }
        number(&counts, code);
        bits
    }

    /// Gives each node a length, from the root down, and shortens what exceeds the limit.
    fn assign_lengths(&mut self, shape: &Shape, max: usize, done: usize) -> [u16; MAX_BITS + 1] {
        let mut counts = [0_u16; MAX_BITS + 1];
        let mut overflow = 0_i32;
        for k in (0..done).rev() {
            let node = usize::from(self.order[k & MASK]) & MASK;
            let mut length = usize::from(self.length[usize::from(self.parent[node]) & MASK]) + 1;
            if length > shape.max_bits {
                length = shape.max_bits;
                overflow += 1;
            }
            self.length[node] = length as u8;
            if node <= max {
                counts[length & MAX_BITS] += 1;
            }
        }
        if overflow == 0 {
            return counts;
        }
        while overflow > 0 {
            // Move the deepest leaf above the limit one level down and put an overlong leaf beside it.
            let mut bits = shape.max_bits - 1;
            while bits > 0 && counts[bits & MAX_BITS] == 0 {
                bits -= 1;
            }
            counts[bits & MAX_BITS] = counts[bits & MAX_BITS].wrapping_sub(1);
            counts[(bits + 1) & MAX_BITS] += 2;
            counts[shape.max_bits & MAX_BITS] = counts[shape.max_bits & MAX_BITS].wrapping_sub(1);
            overflow -= 2;
        }
        // The rarest symbols get the longest codes, in the order in which they left the heap.
        let mut leaves = self.order.iter().take(done).map(|&n| usize::from(n) & MASK).filter(|&n| n <= max);
        for bits in (1..=shape.max_bits).rev() {
            for _ in 0..counts[bits & MAX_BITS] {
                if let Some(leaf) = leaves.next() {
                    self.length[leaf] = bits as u8;
                }
            }
        }
        counts
    }
}

/// Numbers the codes by length, then symbol (RFC 1951 section 3.2.2), bits reversed for sending.
pub(crate) fn number(counts: &[u16; MAX_BITS + 1], code: &mut Code) {
    let mut next = [0_u16; MAX_BITS + 1];
    let mut first = 0_u16;
    for bits in 1..=MAX_BITS {
        first = first.wrapping_add(counts[bits - 1]) << 1;
        next[bits] = first;
    }
    for (value, &length) in code.codes.iter_mut().zip(&code.lengths) {
        let bits = usize::from(length) & MAX_BITS;
        if bits != 0 {
            *value = next[bits].reverse_bits() >> (16 - bits);
            next[bits] = next[bits].wrapping_add(1);
        }
    }
}
