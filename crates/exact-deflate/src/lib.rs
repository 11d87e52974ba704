//! A raw deflate encoder (RFC 1951) whose output is byte for byte that of zlib's `deflate`, or of Go's `compress/flate`.
//!
//! A program that keeps compressed data decoded, to deduplicate, search or compress it better, must make the very same
//! compressed bytes again. Most deflate streams were written by zlib. The output of zlib 1.2.11 to 1.3.2 is one and the
//! same function of input, level and memory level; this crate computes that function, in safe Rust, without
//! dependencies, and at levels 6 to 9 several times as fast as zlib itself. [`Variant::Chromium`] is the function of
//! Chromium's zlib, which Node.js embeds; [`Variant::Go`] that of `compress/flate` in Go 1.19 to 1.26.
//!
//! # A tour
//!
//! Encode, and get zlib's bytes:
//!
//! ```
//! use exact_deflate::{Settings, compress};
//!
//! let stream = compress(b"abracadabra, abracadabra", Settings::zlib(9)?);
//! assert_eq!(stream, b"KL*JLNLI\x04R:\n\x89\x08\x0e\0"); // as Python's zlib.compressobj(9, wbits=-15) has it
//! # Ok::<(), exact_deflate::InvalidSettings>(())
//! ```
//!
//! Prove that a stream can be made again, before its plain bytes take its place. [`verify()`] follows the decisions of the
//! stream instead of making its own, which is cheaper than encoding, and stops where it differs:
//!
//! ```
//! use exact_deflate::{Settings, compress, verify};
//!
//! let (plain, settings) = (b"to be or not to be", Settings::default());
//! let mut stream = compress(plain, settings);
//! assert!(verify(plain, &stream, settings));
//! stream[3] ^= 1;
//! assert!(!verify(plain, &stream, settings));
//! ```
//!
//! Many inputs share one [`Encoder`], which keeps its tables:
//!
//! ```
//! use exact_deflate::{Encoder, Settings};
//!
//! let mut encoder = Encoder::new(Settings::default());
//! let mut out = Vec::new();
//! for block in [&b"first block"[..], b"second block"] {
//!     let start = out.len();
//!     encoder.encode(block, &mut out);
//!     assert!(encoder.verify(block, &out[start..]));
//! }
//! ```
//!
//! Find the settings that made a stream. Several may fit a short one:
//!
//! ```
//! use exact_deflate::{Settings, Variant, compress, verify};
//!
//! let plain = b"how much wood would a woodchuck chuck if a woodchuck could chuck wood".repeat(20);
//! let stream = compress(&plain, Settings::zlib(1)?);
//! let found = Settings::all().find(|settings| verify(&plain, &stream, *settings));
//! assert_eq!(found, Some(Settings::zlib(1)?));
//! # Ok::<(), exact_deflate::InvalidSettings>(())
//! ```
//!
//! # What it covers
//!
//! One `deflate(Z_FINISH)` over the whole input with a window of 32 KiB, the default strategy and no header: what writers
//! of blocks, archives and columns do. A zlib or gzip wrapper is taken off before: a header of 2 or 10 and more bytes, a
//! checksum of 4 or 8 bytes. Not covered are level 0 (its output depends on how the caller cuts the input), other
//! strategies, windows and memory levels, preset dictionaries, and streams with flushes inside.
//!
//! Inputs have at most [`MAX_INPUT`] bytes. An [`Encoder`] holds about 1.3 MiB at levels 4 to 9 and 0.9 MiB at 1 to 3.
//! Nothing here panics or fails, whatever the input.
//!
//! Of Go: what `flate.NewWriter` makes of the whole input in one `Write` and then `Close`, at levels 1 to 9 (its default is
//! 6) and -2, `HuffmanOnly`. Such a stream ends in an empty stored block, the bytes `00 00 ff ff`.
//!
//! # How it works
//!
//! The algorithm is that of zlib's `deflate.c` and `trees.c`; the format is that of RFC 1951. What must be done as zlib
//! does it is the *outcome* of each search (`slow.rs`, `fast.rs`), where blocks end (`output.rs`), what sort they are
//! (`block.rs`), and how codes are built (`huffman.rs`, `header.rs`). How it is found out is free:
//! - The input is in memory: there is no window to slide. What zlib cannot see after it has slid its own is worked out
//!   (`window.rs`).
//! - The lazy levels build all hash chains ahead, and find by them, without visiting every string that zlib visits, what
//!   zlib would have found (`chains.rs`).
//! - Go's levels 2 to 9 are the same searches with other rules (`rules.rs`); its codes, its choice of blocks and level 1 are
//!   its own (`go/`).
//! - [`Encoder::verify`] reads the symbols of the stream and only confirms them (`verify.rs`, `confirm.rs`).
//!
//! `NOTES.md` says what was tried, and what it brought.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod bits;
mod block;
mod chains;
mod confirm;
mod fast;
mod go;
mod header;
mod huffman;
mod inflate;
mod output;
mod rules;
mod settings;
mod slow;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod verify;
mod window;

pub use settings::{InvalidSettings, Settings, Variant};

use output::Output;

/// The longest input, in bytes, for which the output is zlib's: 4 GiB less one, the most that zlib takes in one call. Of
/// a longer one the stream is sound, and need not be zlib's.
pub const MAX_INPUT: u64 = u32::MAX as u64;

/// The raw deflate stream that zlib makes of `plain`. To encode many inputs, keep an [`Encoder`].
pub fn compress(plain: &[u8], settings: Settings) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new(settings).encode(plain, &mut out);
    out
}

/// True if [`compress`] of `plain` gives exactly `stream`, which may be anything. To verify many streams, keep an
/// [`Encoder`].
pub fn verify(plain: &[u8], stream: &[u8], settings: Settings) -> bool {
    Encoder::new(settings).verify(plain, stream)
}

/// An encoder with its working memory, for any number of inputs one after the other. What comes out depends on the input
/// and the settings alone.
pub struct Encoder {
    settings: Settings,
    blocks: output::Blocks,
    searcher: Searcher,
    inflater: Box<inflate::Inflater>,
}

enum Searcher {
    Fast(Box<fast::Fast<rules::Zlib>>),
    Slow(Box<slow::Slow<rules::Zlib>>),
    GoFast(Box<fast::Fast<rules::Go>>),
    GoSlow(Box<slow::Slow<rules::Go>>),
    GoSpeed(Box<go::speed::Speed>),
    GoHuffman,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Makes an encoder.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            inflater: Box::new(inflate::Inflater::new()),
            blocks: output::Blocks::new(settings),
            searcher: Searcher::new(settings, settings.limits()),
        }
    }

    /// The settings given to [`Self::new`].
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Appends the encoding of `plain` to `out`.
    pub fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let mut output = Output::new(&mut self.blocks, plain, out, None);
        // Without an expectation there is nothing to stop for.
        let _ = self.searcher.run(plain, &mut output);
        output.finish();
    }

    /// True if [`Self::encode`] of `plain` gives exactly `stream`, all of it, which may be anything. Stops at the end
    /// of the first deflate block that differs, and at levels 4 to 9 at the first wrong symbol.
    ///
    /// Cheaper than encoding at levels 4 to 9, unless the stream has stored blocks.
    pub fn verify(&mut self, plain: &[u8], stream: &[u8]) -> bool {
        let (blocks, inflater) = (&mut self.blocks, &mut self.inflater);
        let answer = match &mut self.searcher {
            Searcher::Slow(slow) => verify::verify(slow, blocks, inflater, plain, stream),
            Searcher::GoSlow(slow) => verify::verify(slow, blocks, inflater, plain, stream),
            _ => None,
        };
        if let Some(answer) = answer {
            return answer;
        }
        let mut out = Vec::new();
        let mut output = Output::new(&mut self.blocks, plain, &mut out, Some(stream));
        let complete = self.searcher.run(plain, &mut output).is_continue();
        output.finish();
        complete && out == stream
    }
}

impl Searcher {
    fn new(settings: Settings, limits: settings::Limits) -> Self {
        match (settings.variant, settings.level, limits.is_lazy) {
            (Variant::Zlib | Variant::Chromium, _, true) => Self::Slow(Box::new(slow::Slow::new(settings, limits))),
            (Variant::Zlib | Variant::Chromium, _, false) => Self::Fast(Box::new(fast::Fast::new(settings, limits))),
            (Variant::Go, 1, _) => Self::GoSpeed(Box::new(go::speed::Speed::new())),
            (Variant::Go, _, true) => Self::GoSlow(Box::new(slow::Slow::new(settings, limits))),
            (Variant::Go, _, false) => Self::GoFast(Box::new(fast::Fast::new(settings, limits))),
            (Variant::GoHuffman, ..) => Self::GoHuffman,
        }
    }

    fn run(&mut self, plain: &[u8], output: &mut Output<'_>) -> std::ops::ControlFlow<()> {
        match self {
            Searcher::Fast(fast) => fast.run(plain, output),
            Searcher::Slow(slow) => slow.run(plain, output),
            Searcher::GoFast(fast) => fast.run(plain, output),
            Searcher::GoSlow(slow) => slow.run(plain, output),
            Searcher::GoSpeed(speed) => speed.run(plain, output),
            Searcher::GoHuffman => go::speed::literals_only(plain, output),
        }
    }
}
