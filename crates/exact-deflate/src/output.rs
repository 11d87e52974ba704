//! Collects symbols, cuts them into blocks where zlib would, and writes the blocks.

use std::ops::ControlFlow;

use crate::bits::BitWriter;
use crate::block::{self, Emitter, Frequencies, Kind, Plan, Symbol};
use crate::go::Policy;
use crate::go::codes::Packager;
use crate::rules::buffer;
use crate::settings::Settings;
use crate::tables::MIN_MATCH;

/// Room for the symbols of a block: one for each byte of the longest that Go's quickest levels make.
const ROOM: usize = 1 << 16;

/// Reusable memory for blocks.
pub(crate) struct Blocks {
    pub(crate) symbols: Box<[Symbol; ROOM]>,
    pub(crate) frequencies: Frequencies,
    plan: Box<Plan>,
    /// What makes codes, if it is Go's.
    packager: Option<Box<Packager>>,
    emitter: Box<Emitter>,
    /// A block is cut when it has this many symbols.
    pub(crate) limit: usize,
}

impl Blocks {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            symbols: Box::new([0; ROOM]),
            frequencies: Frequencies::new(),
            plan: Box::new(Plan::new()),
            emitter: Box::new(Emitter::new()),
            packager: settings.is_go().then(|| Box::new(Packager::new())),
            limit: settings.block_symbols(),
        }
    }

    pub(crate) fn is_go(&self) -> bool {
        self.packager.is_some()
    }

    /// The codes that were planned last.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Decides how a block of the bytes from `start` to `end` of an input of `len` is sent, when the encoder's main loop
    /// has last started a step at `step`.
    pub(crate) fn choose(&mut self, start: usize, end: usize, step: usize, len: usize) -> (Kind, u64) {
        // What has left the encoder's buffer cannot be stored.
        let stored = (start >= buffer(self.is_go(), step, len)).then_some(end - start);
        match &mut self.packager {
            Some(packager) => self.plan.make_go(packager, &self.frequencies, stored, Policy::Smallest),
            None => self.plan.make(&self.frequencies, stored),
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
        self.blocks.symbols[self.symbols & (ROOM - 1)] = symbol;
        self.symbols += 1;
        self.symbols == self.blocks.limit
    }

    /// Symbols in the block.
    pub(crate) fn symbols(&self) -> usize {
        self.symbols
    }

    /// Begins the block again.
    pub(crate) fn drop_symbols(&mut self) {
        self.symbols = 0;
        self.blocks.frequencies.clear();
    }

    /// Ends the block before `end`. `step` is where the encoder's main loop last took a step.
    pub(crate) fn flush(&mut self, end: usize, step: usize, last: bool) -> ControlFlow<()> {
        let is_go = self.blocks.is_go();
        if is_go && self.symbols == 0 {
            return ControlFlow::Continue(());
        }
        let choice = self.blocks.choose(self.start, end, step, self.plain.len());
        // Go says in a block of its own that it is the last.
        self.write(choice, end, last && !is_go)
    }

    /// Ends a block of Go's quickest levels.
    pub(crate) fn flush_as(&mut self, end: usize, policy: Policy) -> ControlFlow<()> {
        let Blocks { frequencies, plan, packager, .. } = &mut *self.blocks;
        let Some(packager) = packager else { return ControlFlow::Break(()) };
        let choice = plan.make_go(packager, frequencies, Some(end - self.start), policy);
        self.write(choice, end, false)
    }

    fn write(&mut self, choice: (Kind, u64), end: usize, last: bool) -> ControlFlow<()> {
        let Blocks { symbols, frequencies, plan, emitter, .. } = &mut *self.blocks;
        let bytes = self.plain.get(self.start..end).unwrap_or_default();
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

    /// Ends the stream.
    pub(crate) fn finish(mut self) {
        if self.blocks.is_go() {
            end_go(&mut self.writer);
        }
        self.writer.finish();
    }
}

/// Writes the empty stored block in which Go's streams end.
pub(crate) fn end_go(writer: &mut BitWriter<'_>) {
    writer.reserve(64);
    writer.put(1, 3);
    writer.align();
    writer.put(0xffff_0000, 32);
}
