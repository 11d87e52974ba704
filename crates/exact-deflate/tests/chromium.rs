//! The Chromium variant against what Node.js made (`chromium.mjs`); Node itself is not needed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use exact_deflate::{Encoder, Settings, Variant};

/// The generator of the script.
fn generate(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b1) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    let seed = seed as usize;
    let alphabet = [2, 20, 256][seed % 3];
    let reach = [500, 5000, 40_000, 100_000][(seed >> 1) % 4];
    let longest = [5, 30, 400][(seed >> 2) % 3];
    let mut data = Vec::with_capacity(length + 400);
    while data.len() < length {
        let r = next();
        if data.is_empty() || r & 3 == 0 {
            for _ in 0..((r >> 2 & 3) + 1).min(length - data.len()) {
                data.push(((next() >> 8) % alphabet) as u8);
            }
        } else {
            let back = 1 + next() % data.len().min(reach);
            for _ in 0..(1 + next() % longest).min(length - data.len()) {
                data.push(data[data.len() - back]);
            }
        }
    }
    data
}

fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[test]
fn golden_vectors_of_node() {
    let vectors = include_str!("chromium.txt");
    let mut encoders: Vec<Encoder> =
        (0..18).map(|i| Encoder::new(Settings::new(Variant::Chromium, 1 + i % 9, 8 + i / 9).unwrap())).collect();
    let mut seen = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let numbers: Vec<u32> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        let &[seed, length, level, mem_level, out_length, hash] = numbers.as_slice() else { panic!("{line}") };
        let plain = generate(seed, length as usize);
        let encoder = &mut encoders[((mem_level - 8) * 9 + level - 1) as usize];
        let mut out = Vec::new();
        encoder.encode(&plain, &mut out);
        assert_eq!((out.len(), fnv(&out)), (out_length as usize, hash), "{line}");
        assert!(encoder.verify(&plain, &out), "{line}");
        seen += 1;
    }
    assert!(seen > 1000);
}
