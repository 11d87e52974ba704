//! The Chromium variant against what Node.js made (`chromium.mjs`); Node itself is not needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use exact_deflate::{Encoder, Settings, Variant};
use support::{fnv, vector_input};

#[test]
fn golden_vectors_of_node() {
    let vectors = include_str!("chromium.txt");
    let mut encoders: Vec<Encoder> =
        (0..18).map(|i| Encoder::new(Settings::new(Variant::Chromium, 1 + i % 9, 8 + i / 9).unwrap())).collect();
    let mut seen = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let numbers: Vec<u32> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        let &[seed, length, level, mem_level, out_length, hash] = numbers.as_slice() else { panic!("{line}") };
        let plain = vector_input(seed, length as usize);
        let encoder = &mut encoders[((mem_level - 8) * 9 + level - 1) as usize];
        let mut out = Vec::new();
        encoder.encode(&plain, &mut out);
        assert_eq!((out.len(), fnv(&out)), (out_length as usize, hash), "{line}");
        assert!(encoder.verify(&plain, &out), "{line}");
        seen += 1;
    }
    assert!(seen > 1000);
}
