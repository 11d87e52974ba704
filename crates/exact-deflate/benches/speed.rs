//! Speed of `encode` and `verify` against libz: decoded MB/s of one thread, in turn within the same run, the best of all
//! rounds for each. Time is that on a core, where the system tells it, so that a busy machine says nearly the same as an
//! idle one. The ratios are what counts.
//!
//! ```text
//! cargo bench -p exact-deflate                       # levels 1, 6 and 9, three rounds
//! cargo bench -p exact-deflate -- 123456789 5        # all levels, five rounds
//! EXACT_DEFLATE_FILES=folder cargo bench -p exact-deflate
//! ```
//!
//! Go's levels stand beside libz's, too: a stream of Go's costs about what one of zlib's does.
//!
//! Inputs are pieces of 64 000 bytes of the files in that folder, else generated rows.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::Instant;

use exact_deflate::{Encoder, Settings, compress};
use support::{Rng, generate, libz_deflate, pieces};

/// Seconds that this thread has been running; by the clock where the system does not tell.
fn running(start: Instant) -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let on_core: Option<f64> = text.split(' ').next().and_then(|ns| ns.parse().ok());
    on_core.map_or_else(|| start.elapsed().as_secs_f64(), |ns| ns / 1e9)
}

fn main() {
    // `cargo bench` adds a flag of its own; `cargo test --benches` runs this, too, and gets the smallest size.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let levels: Vec<u8> = args.first().map_or("169", String::as_str).bytes().map(|b| b.saturating_sub(b'0')).collect();
    let rounds: usize = args.get(1).map_or(3, |rounds| rounds.parse().unwrap());
    let limit = if is_bench { 5_000_000 } else { 100_000 };
    let (name, plain) = match pieces(limit) {
        Some(pieces) => ("files", pieces),
        None => ("rows", rows(limit)),
    };
    println!("{name}: {} pieces, {} bytes", plain.len(), plain.iter().map(Vec::len).sum::<usize>());
    println!("| level | libz MB/s | encode MB/s | of libz | verify MB/s | of libz |\n|---|---|---|---|---|---|");
    for level in levels {
        // Level 9 takes long.
        let plain = if level == 9 { &plain[..plain.len().min(60)] } else { &plain[..] };
        let bytes: usize = plain.iter().map(Vec::len).sum();
        for settings in [Settings::zlib(level), Settings::go(level)].map(Result::unwrap) {
            let [libz, encode, verify] = measure(settings, plain, rounds).map(|seconds| bytes as f64 / seconds / 1e6);
            let (encodes, verifies) = (encode / libz, verify / libz);
            println!("| {settings} | {libz:.1} | {encode:.1} | {encodes:.2} | {verify:.1} | {verifies:.2} |");
        }
    }
}

/// Rows of made-up tables.
fn rows(limit: usize) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(1);
    (0..limit.div_ceil(64_000)).map(|_| generate(&mut rng, 2, 64_000)).collect()
}

/// Seconds for all pieces, the best round: libz, encode, verify.
fn measure(settings: Settings, plain: &[Vec<u8>], rounds: usize) -> [f64; 3] {
    let level = settings.level();
    let streams: Vec<Vec<u8>> = plain.iter().map(|piece| compress(piece, settings)).collect();
    let mut encoder = Encoder::new(settings);
    let (start, mut best, mut out) = (Instant::now(), [f64::MAX; 3], Vec::new());
    let mut time = |which: usize, run: &mut dyn FnMut()| {
        let before = running(start);
        run();
        best[which] = best[which].min(running(start) - before);
    };
    for _ in 0..rounds {
        time(0, &mut || plain.iter().for_each(|piece| drop(black_box(libz_deflate(piece, level, 8)))));
        time(1, &mut || {
            for piece in plain {
                out.clear();
                encoder.encode(piece, &mut out);
                black_box(&out);
            }
        });
        time(2, &mut || plain.iter().zip(&streams).for_each(|(piece, stream)| assert!(encoder.verify(piece, stream))));
    }
    best
}
