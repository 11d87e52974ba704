//! Runs generated inputs against libz for ever, or for the number of cases given: `campaign CASES SEED`.
#![allow(clippy::unwrap_used, missing_docs, clippy::print_stdout)]

#[path = "../tests/common/deflate.rs"]
mod support;

use avro_snap::avro::deflate::{Encoder, HashKind, Params};
use support::{KINDS, Rng, generate, libz_deflate};

fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let (cases, seed) = (args[0], args[1]);
    let mut encoders: Vec<Encoder> = (0..18)
        .map(|i| Encoder::new(Params { level: 1 + i % 9, mem_level: 8 + i / 9, hash: HashKind::Zlib3 }).unwrap())
        .collect();
    let mut bytes = 0_u64;
    let mut out = Vec::new();
    for case in 0..cases {
        let mut rng = Rng::new(seed.wrapping_mul(1 << 32).wrapping_add(case));
        let which = rng.below(18);
        let (level, mem) = (1 + which as u8 % 9, 8 + which as u8 / 9);
        // Mostly small, now and then up to 1 MiB.
        let top = match rng.below(10_000) {
            0 => 1 << 20,
            1..10 => 140_000,
            10..40 => 70_000,
            40..200 => 10_000,
            200..1000 => 2000,
            1000..4000 => 600,
            _ => 150,
        };
        let len = rng.below(top + 1);
        let kind = rng.below(KINDS);
        let plain = generate(&mut rng, kind, len);
        let expected = libz_deflate(&plain, level, mem);
        out.clear();
        encoders[which].encode(&plain, &mut out);
        assert!(out == expected, "encode: case {case} seed {seed}: level {level} mem {mem} len {len} kind {kind}");
        assert!(
            encoders[which].verify(&plain, &expected),
            "verify: case {case} seed {seed}: level {level} mem {mem} len {len} kind {kind}"
        );
        let mut wrong = expected;
        let at = rng.below(wrong.len());
        wrong[at] ^= 1 << rng.below(8);
        assert!(
            !encoders[which].verify(&plain, &wrong),
            "false verify: case {case} seed {seed}: level {level} mem {mem} len {len} kind {kind}"
        );
        bytes += len as u64;
        if case % 1_000_000 == 999_999 {
            println!("seed {seed}: {} cases, {} MB", case + 1, bytes / 1_000_000);
        }
    }
    println!("seed {seed}: done, {cases} cases, {} MB", bytes / 1_000_000);
}
