//! The encoder against its judge, libz: generated inputs, edges of the window, real files.
//!
//! `EXACT_DEFLATE_CASES` sets the number of generated inputs and `EXACT_DEFLATE_SEED` the first one, so that several runs
//! can share the work; `EXACT_DEFLATE_FILES` names a folder whose files are encoded, `EXACT_DEFLATE_BYTES` how much of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use exact_deflate::{Encoder, Settings, Variant, compress, verify};
use support::{KINDS, Rng, env, generate, libz_deflate, pieces};

fn encoder(level: u8, mem_level: u8) -> Encoder {
    Encoder::new(Settings::new(Variant::Zlib, level, mem_level).unwrap())
}

/// Encoders for all levels and memory levels.
fn encoders() -> Vec<Encoder> {
    (0..18).map(|i| encoder(1 + i % 9, 8 + i / 9)).collect()
}

fn check(encoder: &mut Encoder, plain: &[u8], what: &dyn Fn() -> String) -> Vec<u8> {
    let (level, mem_level) = (encoder.settings().level(), encoder.settings().mem_level());
    let expected = libz_deflate(plain, level, mem_level);
    let mut out = vec![1, 2, 3];
    encoder.encode(plain, &mut out);
    assert!(out.starts_with(&[1, 2, 3]) && out[3..] == expected, "encode at {level}, {mem_level}: {}", what());
    assert!(encoder.verify(plain, &expected), "verify at {level}, {mem_level}: {}", what());
    expected
}

#[test]
fn settings_are_what_zlib_has_and_nothing_else() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Encoder>();
    for (level, mem_level) in [(0, 8), (10, 8), (6, 7), (6, 10), (255, 255)] {
        let error = Settings::new(Variant::Zlib, level, mem_level).unwrap_err();
        assert_eq!((error.level, error.mem_level), (level, mem_level));
        assert_eq!(error.to_string(), format!("no exact deflate for level {level} and memory level {mem_level}"));
    }
    let all: std::collections::HashSet<Settings> = Settings::all().collect();
    assert_eq!((all.len(), Settings::all().count()), (46, 46));
    assert_eq!(Settings::all().next(), Some(Settings::default()));
    assert!(all.iter().all(|s| Settings::new(s.variant(), s.level(), s.mem_level()) == Ok(*s)));
}

#[test]
fn the_functions_do_what_the_encoder_does() {
    let plain = generate(&mut Rng::new(1), 2, 5000);
    for settings in Settings::all() {
        let stream = compress(&plain, settings);
        let mut out = Vec::new();
        Encoder::new(settings).encode(&plain, &mut out);
        assert_eq!(stream, out, "{settings}");
        assert!(verify(&plain, &stream, settings) && !verify(&plain[1..], &stream, settings), "{settings}");
    }
}

#[test]
fn lengths_around_the_edges_of_the_window() {
    let mut rng = Rng::new(7);
    let mut lengths: Vec<usize> = (0..20).collect();
    for edge in [256, 32_506, 32_768, 65_274, 65_536, 98_042, 98_304, 131_072] {
        lengths.extend([edge - 3, edge - 2, edge - 1, edge, edge + 1, edge + 2, edge + 3, edge + 100, edge + 262]);
    }
    let mut encoders = encoders();
    for length in lengths {
        for encoder in &mut encoders {
            let kind = [0, 1, 2, 5, 6][rng.below(5)];
            let plain = generate(&mut rng, kind, length);
            check(encoder, &plain, &|| format!("kind {kind}, {length} bytes"));
        }
    }
}

/// zlib slides its buffer a position earlier than usual if the input ends first, and then does not see what lies at the
/// largest distance. So put the only earlier copy there, and have the main loop step on the position.
#[test]
fn copies_at_the_largest_distance_where_the_buffer_slides() {
    let mut rng = Rng::new(3);
    let mut encoders = encoders();
    for at in [40_000, 65_273, 65_274, 65_275, 98_041, 98_042, 98_043] {
        for distance in [32_504, 32_505, 32_506, 32_507] {
            for length in [3, 4, 9, 261, 262, 263, 300] {
                let mut plain: Vec<u8> = (0..at).map(|_| 128 + rng.below(128) as u8).collect();
                plain.extend((0..length).map(|_| rng.below(128) as u8));
                let copy = plain[at..].to_vec();
                let from = at - distance;
                plain[from..from + length].copy_from_slice(&copy);
                for encoder in encoders.iter_mut().step_by(4) {
                    check(encoder, &plain, &|| format!("{length} bytes at {at}, {distance} back"));
                }
            }
        }
    }
}

#[test]
fn generated_inputs() {
    let (cases, first) = (env("EXACT_DEFLATE_CASES", 30_000), env("EXACT_DEFLATE_SEED", 0));
    let (mut encoders, mut bytes) = (encoders(), 0);
    for case in first..first + cases {
        let mut rng = Rng::new(case);
        let top = match rng.below(10_000) {
            0..3 => 1 << 20,
            3..30 => 140_000,
            30..90 => 70_000,
            90..500 => 10_000,
            500..2000 => 2000,
            2000..5000 => 600,
            _ => 150,
        };
        let (which, length, kind) = (rng.below(18), rng.below(top + 1), rng.below(KINDS));
        let plain = generate(&mut rng, kind, length);
        let encoder = &mut encoders[which];
        let mut stream = check(encoder, &plain, &|| format!("case {case}, kind {kind}, {length} bytes"));
        let at = rng.below(stream.len());
        stream[at] ^= 1 << rng.below(8);
        assert!(!encoder.verify(&plain, &stream), "case {case}, kind {kind}, {length} bytes, byte {at} flipped");
        bytes += length as u64;
        let done = case - first + 1;
        if done.is_multiple_of(1_000_000) {
            println!("{done} inputs, {} MB: equal", bytes / 1_000_000);
        }
    }
    println!(
        "{cases} inputs from {first} on, {} MB: equal to libz, and none confirmed with a bit flipped",
        bytes / 1_000_000
    );
}

#[test]
fn verify_refuses_every_flipped_byte_and_every_other_length() {
    let mut rng = Rng::new(11);
    for encoder in &mut encoders() {
        for kind in 0..KINDS {
            let plain = generate(&mut rng, kind, 700);
            let stream = check(encoder, &plain, &|| format!("kind {kind}"));
            for at in 0..stream.len() {
                for bit in 0..8 {
                    let mut wrong = stream.clone();
                    wrong[at] ^= 1 << bit;
                    assert!(!encoder.verify(&plain, &wrong), "kind {kind}, byte {at}, bit {bit}");
                }
                assert!(!encoder.verify(&plain, &stream[..at]), "kind {kind}, cut at {at}");
            }
            let mut longer = stream.clone();
            longer.push(0);
            assert!(!encoder.verify(&plain, &longer));
            assert!(!encoder.verify(&plain[..699], &stream));
            assert!(!encoder.verify(&[&plain[..], &[1]].concat(), &stream));
        }
    }
}

/// A stream of another level is sound deflate of the same bytes, but not this encoder's.
#[test]
fn verify_tells_levels_apart() {
    let mut rng = Rng::new(23);
    for kind in 0..KINDS {
        let plain = generate(&mut rng, kind, 40_000);
        let streams: Vec<_> = (1..=9).map(|level| libz_deflate(&plain, level, 8)).collect();
        for level in 1..=9_usize {
            let mut encoder = encoder(level as u8, 8);
            for (i, stream) in streams.iter().enumerate() {
                assert_eq!(
                    encoder.verify(&plain, stream),
                    *stream == streams[level - 1],
                    "kind {kind}: {level}, {}",
                    i + 1
                );
            }
        }
    }
}

#[test]
fn verify_survives_noise() {
    let mut rng = Rng::new(5);
    let mut encoders = encoders();
    for case in 0..3000 {
        let (kind, length) = (rng.below(KINDS), rng.below(300));
        let noise = generate(&mut rng, kind, length);
        let plain = generate(&mut rng, 1, 200);
        assert!(!encoders[case % 18].verify(&plain, &noise));
    }
}

#[test]
fn pieces_of_real_files() {
    let Some(pieces) = pieces(env("EXACT_DEFLATE_BYTES", 4_000_000) as usize) else {
        println!("SKIPPED: EXACT_DEFLATE_FILES names no folder, so no real files were encoded");
        return;
    };
    let mut encoders = encoders();
    for (number, piece) in pieces.iter().enumerate() {
        for encoder in &mut encoders {
            check(encoder, piece, &|| format!("piece {number}"));
        }
    }
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    println!("{} pieces, {bytes} bytes, 9 levels, 2 memory levels: equal", pieces.len());
}
