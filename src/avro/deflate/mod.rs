//! A raw deflate encoder (RFC 1951) whose output is byte for byte that of zlib's `deflate`.
//!
//! zlib is not one encoder of many here: blocks written by it can be stored as their plain bytes only if they can be made
//! again exactly. The output of zlib 1.2.11 to 1.3.2 is one and the same function of input, level and memory level, and
//! this module computes that function: window of 32 KiB, default strategy, no header, one `deflate(Z_FINISH)` over the
//! whole input. [`HashKind::Chromium4`] is the same algorithm with the hash of Chromium's zlib, as Node.js has it.
//! Level 0 is left out: its output depends on how the caller cuts the input.
//!
//! What must be done as zlib does it is the *outcome* of each search (`slow.rs`, `fast.rs`), where blocks end (`output.rs`),
//! what sort they are (`block.rs`), and how codes are built (`huffman.rs`, `header.rs`); how it is found out is free:
//! - The input is in memory: there is no window to slide. What zlib cannot see after it has slid its own is worked out
//!   (`window.rs`).
//! - The lazy levels build all hash chains ahead, and find by them, without visiting every string that zlib visits, what
//!   zlib would have found (`chains.rs`).
//! - [`Encoder::verify`] reads the symbols of the expected stream and only confirms them (`verify.rs`, `confirm.rs`).
//!
//! Limits: inputs of 4 GiB and more, which zlib does not take in one call either, give a sound stream that need not be
//! zlib's. An encoder holds about 1.1 MiB at levels 4 to 9 and 0.5 MiB at 1 to 3.

mod bits;
mod block;
mod chains;
mod config;
mod confirm;
mod fast;
mod header;
mod huffman;
mod inflate;
mod output;
mod slow;
mod tables;
mod text;
mod verify;
mod window;

pub use config::{HashKind, InvalidParams, Params};

use output::Output;

/// An encoder with its working memory, for any number of inputs one after the other. What comes out depends on the input
/// and the parameters alone.
pub struct Encoder {
    params: Params,
    blocks: output::Blocks,
    searcher: Searcher,
    inflater: Box<inflate::Inflater>,
}

enum Searcher {
    Fast(Box<fast::Fast>),
    Slow(Box<slow::Slow>),
}

impl Encoder {
    /// Makes an encoder.
    ///
    /// # Errors
    /// If the level is not 1 to 9, or the memory level not 8 or 9.
    pub fn new(params: Params) -> Result<Self, InvalidParams> {
        let limits = params.limits().ok_or(InvalidParams(params))?;
        let searcher = if limits.is_lazy {
            Searcher::Slow(Box::new(slow::Slow::new(params, limits)))
        } else {
            Searcher::Fast(Box::new(fast::Fast::new(params, limits)))
        };
        Ok(Self {
            params,
            inflater: Box::new(inflate::Inflater::new()),
            blocks: output::Blocks::new(params.block_symbols()),
            searcher,
        })
    }

    /// The parameters given to [`Self::new`].
    pub fn params(&self) -> Params {
        self.params
    }

    /// Appends the encoding of `plain` to `out`.
    pub fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let mut output = Output::new(&mut self.blocks, plain, out, None);
        // Without an expectation there is nothing to stop for.
        let _ = self.searcher.run(plain, &mut output);
        output.finish();
    }

    /// True if [`Self::encode`] of `plain` gives exactly `expected`, all of it. Stops at the first block that differs.
    ///
    /// `expected` may be anything. Cheaper than encoding at levels 4 to 9, unless there are stored blocks.
    pub fn verify(&mut self, plain: &[u8], expected: &[u8]) -> bool {
        if let Searcher::Slow(slow) = &mut self.searcher
            && let Some(answer) = verify::verify(slow, &mut self.blocks, &mut self.inflater, plain, expected)
        {
            return answer;
        }
        let mut out = Vec::new();
        let mut output = Output::new(&mut self.blocks, plain, &mut out, Some(expected));
        let complete = self.searcher.run(plain, &mut output).is_continue();
        output.finish();
        complete && out == expected
    }
}

impl Searcher {
    fn run(&mut self, plain: &[u8], output: &mut Output<'_>) -> std::ops::ControlFlow<()> {
        match self {
            Searcher::Fast(fast) => fast.run(plain, output),
            Searcher::Slow(slow) => slow.run(plain, output),
        }
    }
}
