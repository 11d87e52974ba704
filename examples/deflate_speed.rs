//! Speed of `encode` and `verify` against libz, decoded MB/s of one thread, in turns within the same run block by
//! block, the best of all rounds for each, so that a noisy machine treats all alike. `speed [LEVELS] [ROUNDS]`, e.g. `speed 169 3`.
#![allow(clippy::unwrap_used, missing_docs, clippy::print_stdout)]

#[path = "../tests/common/deflate.rs"]
mod support;

use std::hint::black_box;
use std::time::Instant;

use avro_snap::avro::deflate::{Encoder, HashKind, Params};
use support::{corpus, deflate_blocks, files, libz_deflate};

/// Seconds that something takes.
fn time(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let levels: Vec<u8> = args.first().map_or("169", |a| a.as_str()).bytes().map(|b| b - b'0').collect();
    let rounds: usize = args.get(1).map_or(3, |a| a.parse().unwrap());
    let Some(corpus) = corpus() else { return println!("no corpus") };
    let nightly: Vec<_> = files(&corpus.join("nightly/java-deflate/2026-07-14"));
    let orders: Vec<_> = files(&corpus.join("orders/day0")).into_iter().take(2).collect();
    for (name, files) in [("nightly", nightly), ("orders", orders)] {
        let plain: Vec<Vec<u8>> = deflate_blocks(&files).into_iter().map(|b| b.0).collect();
        let bytes: usize = plain.iter().map(Vec::len).sum();
        for &level in &levels {
            let plain = if level == 9 { &plain[..plain.len().min(60)] } else { &plain[..] };
            let bytes: usize = plain.iter().map(Vec::len).sum();
            let streams: Vec<Vec<u8>> = plain.iter().map(|p| libz_deflate(p, level, 8)).collect();
            let mut encoder = Encoder::new(Params { level, mem_level: 8, hash: HashKind::Zlib3 }).unwrap();
            // For each block the best of all rounds: what other processes take away is not in it.
            let mut best = vec![[f64::MAX; 3]; plain.len()];
            let mut out = Vec::new();
            for _ in 0..rounds {
                for (p, best) in plain.iter().zip(&mut best) {
                    best[0] = best[0].min(time(|| drop(black_box(libz_deflate(p, level, 8)))));
                }
                for (p, best) in plain.iter().zip(&mut best) {
                    best[1] = best[1].min(time(|| {
                        out.clear();
                        encoder.encode(p, &mut out);
                        black_box(&out);
                    }));
                }
                for ((p, s), best) in plain.iter().zip(&streams).zip(&mut best) {
                    best[2] = best[2].min(time(|| assert!(encoder.verify(p, s))));
                }
            }
            let sum = |i: usize| best.iter().map(|times| times[i]).sum::<f64>();
            let best = [sum(0), sum(1), sum(2)];
            let [libz, encode, verify] = best.map(|t| bytes as f64 / t / 1e6);
            println!(
                "{name} L{level}: libz {libz:.1} encode {encode:.1} ({:.2}x) verify {verify:.1} ({:.2}x) MB/s",
                encode / libz,
                verify / libz
            );
        }
        println!("{name}: {} blocks, {bytes} bytes", plain.len());
    }
}
