//! Collects symbols, cuts them into blocks where zlib would, and writes the blocks.

use std::ops::ControlFlow;

use crate::bits::BitWriter;
use crate::block::{self, Emitter, Frequencies, Plan, Symbol};
use crate::tables::MIN_MATCH;
use crate::window::start_of_buffer;

/// Reusable memory for blocks.
pub(crate) struct Blocks {
    pub(crate) symbols: Box<[Symbol; 1 << 15]>,
    pub(crate) frequencies: Frequencies,
    pub(crate) plan: Box<Plan>,
    emitter: Box<Emitter>,
    /// A block is cut when it has this many symbols.
    pub(crate) limit: usize,
}

impl Blocks {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            symbols: Box::new([0; 1 << 15]),
            frequencies: Frequencies::new(),
            plan: Box::new(Plan::new()),
            emitter: Box::new(Emitter::new()),
            limit,
        }
    }
}

/// The encoding of one input, in the making.
pub(crate) struct Output<'a> {
    blocks: &'a mut Blocks,
    plain: &'a [u8],
    writer: BitWriter<'a>,
    expected: Option<&'a [u8]>,
    symbols: usize,
    /// Where in `plain` the block starts.
    start: usize,
    /// What was in the output before, and how much of the rest was compared.
    offset: usize,
    compared: usize,
}

impl<'a> Output<'a> {
    /// Appends to `out`; with `expected`, the writing stops where it differs from that.
    pub(crate) fn new(
        blocks: &'a mut Blocks,
        plain: &'a [u8],
        out: &'a mut Vec<u8>,
        expected: Option<&'a [u8]>,
    ) -> Self {
        blocks.frequencies.clear();
        let offset = out.len();
        Self { blocks, plain, writer: BitWriter::new(out), expected, symbols: 0, start: 0, offset, compared: 0 }
    }

    /// Takes a literal; true if the block is full.
    #[inline]
    pub(crate) fn literal(&mut self, byte: u8) -> bool {
        self.blocks.frequencies.literal(byte);
        self.push(Symbol::from(byte))
    }

    /// Takes a match; true if the block is full.
    #[inline]
    pub(crate) fn matched(&mut self, length: usize, distance: usize) -> bool {
        let length = (length - MIN_MATCH) as u8;
        self.blocks.frequencies.matched(length, distance as u32);
        self.push((distance as u32) << 8 | Symbol::from(length))
    }

    #[inline]
    fn push(&mut self, symbol: Symbol) -> bool {
        self.blocks.symbols[self.symbols & ((1 << 15) - 1)] = symbol;
        self.symbols += 1;
        self.symbols == self.blocks.limit
    }

    /// Ends the block before `end`. `step` is where zlib's main loop last took a step.
    pub(crate) fn flush(&mut self, end: usize, step: usize, last: bool) -> ControlFlow<()> {
        let Blocks { symbols, frequencies, plan, emitter, .. } = &mut *self.blocks;
        let bytes = self.plain.get(self.start..end).unwrap_or_default();
        // What has left zlib's buffer cannot be stored.
        let stored = (self.start >= start_of_buffer(step, self.plain.len())).then_some(bytes.len());
        let choice = plan.make(frequencies, stored);
        let symbols = symbols.get(..self.symbols).unwrap_or_default();
        block::write(&mut self.writer, emitter, plan, choice, symbols, bytes, last);
        self.symbols = 0;
        self.start = end;
        frequencies.clear();
        if let Some(expected) = self.expected {
            let new = self.writer.written(self.offset + self.compared);
            let rest = expected.get(self.compared..).unwrap_or_default();
            if !rest.starts_with(new) {
                return ControlFlow::Break(());
            }
            self.compared += new.len();
        }
        ControlFlow::Continue(())
    }

    pub(crate) fn finish(self) {
        self.writer.finish();
    }
}
