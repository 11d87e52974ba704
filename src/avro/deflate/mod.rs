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

#[cfg(test)]
mod tests {
    use super::config::Limits;
    use super::*;

    /// An encoder of the lazy levels that searches otherwise than zlib does.
    fn other(params: Params, limits: Limits) -> Encoder {
        let searcher = Searcher::Slow(Box::new(slow::Slow::new(params, limits)));
        Encoder { searcher, ..Encoder::new(params).unwrap() }
    }

    /// Data with many matches of many lengths, most of them short.
    fn generate(mut state: u32) -> Vec<u8> {
        let mut next = |below: u32| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) % below
        };
        let (letters, reach, longest, length) = (2 + next(30), 20 + next(3000), 4 + next(12), 200 + next(6000));
        let mut data: Vec<u8> = Vec::new();
        while data.len() < length as usize {
            match next(4) {
                0 => data.push(next(letters) as u8),
                _ if data.is_empty() => {}
                _ => {
                    let back = 1 + next(reach.min(data.len() as u32)) as usize;
                    for _ in 0..2 + next(longest) {
                        data.push(data[data.len() - back]);
                    }
                }
            }
        }
        data
    }

    /// Streams that differ from zlib's in few decisions, or in none, are told apart from it.
    #[test]
    fn what_searches_a_little_otherwise_is_confirmed_only_where_it_makes_the_same() {
        let (mut same, mut different) = (0, 0);
        for level in 4..=9 {
            for hash in [HashKind::Zlib3, HashKind::Chromium4] {
                let params = Params { level, mem_level: 8, hash };
                let limits = params.limits().unwrap();
                let mut encoder = Encoder::new(params).unwrap();
                let mut others: Vec<Encoder> = [
                    Limits { chain: limits.chain - 1, ..limits },
                    Limits { chain: limits.chain + 1, ..limits },
                    Limits { chain: limits.chain / 2, ..limits },
                    Limits { chain: 4, ..limits },
                    Limits { nice: limits.nice - 1, ..limits },
                    Limits { nice: limits.nice + 1, ..limits },
                    Limits { nice: 5, ..limits },
                    Limits { nice: 6, ..limits },
                    Limits { nice: 8, ..limits },
                    Limits { lazy: limits.lazy - 1, ..limits },
                    Limits { lazy: limits.lazy + 1, ..limits },
                    Limits { good: limits.good - 1, ..limits },
                    Limits { good: limits.good + 1, ..limits },
                ]
                .map(|limits| other(params, limits))
                .into();
                for seed in 1..=150 {
                    let plain = generate(seed * 0x9e37 + u32::from(level));
                    let mut expected = Vec::new();
                    encoder.encode(&plain, &mut expected);
                    for (number, other) in others.iter_mut().enumerate() {
                        let mut stream = Vec::new();
                        other.encode(&plain, &mut stream);
                        match stream == expected {
                            true => same += 1,
                            false => different += 1,
                        }
                        let confirmed = encoder.verify(&plain, &stream);
                        assert_eq!(confirmed, stream == expected, "{params:?}, other {number}, seed {seed}");
                    }
                }
            }
        }
        assert!(same > 1000 && different > 1000, "{same} {different}");
    }
}
