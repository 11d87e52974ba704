//! The variants of Go: against golden vectors that `go/main.go` made, and, where `EXACT_DEFLATE_GO` names the `go` command
//! of Go 1.19 to 1.26, against Go itself. `EXACT_DEFLATE_CASES` sets the number of generated inputs and
//! `EXACT_DEFLATE_SEED` the first one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use exact_deflate::{Encoder, Settings, Variant, verify};
use support::{KINDS, Rng, env, fnv, generate, libz_inflate, vector_input};

/// Go's levels, and what this crate calls them.
fn settings() -> Vec<(i8, Settings)> {
    let levels = (1..=9).map(|level| (level, Settings::go(level as u8).unwrap()));
    [(-2, Settings::go_huffman())].into_iter().chain(levels).collect()
}

fn encoders() -> Vec<(i8, Encoder)> {
    settings().into_iter().map(|(level, settings)| (level, Encoder::new(settings))).collect()
}

#[test]
fn golden_vectors_of_go() {
    let mut encoders = encoders();
    let mut seen = 0;
    for line in include_str!("go.txt").lines().filter(|line| !line.starts_with('#')) {
        let numbers: Vec<i64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        let &[seed, length, level, out_length, hash] = numbers.as_slice() else { panic!("{line}") };
        let plain = vector_input(seed as u32, length as usize);
        let (_, encoder) = encoders.iter_mut().find(|(known, _)| i64::from(*known) == level).unwrap();
        let mut out = Vec::new();
        encoder.encode(&plain, &mut out);
        assert_eq!((out.len() as i64, i64::from(fnv(&out))), (out_length, hash), "{line}");
        assert!(encoder.verify(&plain, &out), "{line}");
        seen += 1;
    }
    assert!(seen > 900);
}

#[test]
fn go_has_levels_of_its_own() {
    for (level, mem_level) in [(0, 8), (10, 8), (6, 9), (6, 7)] {
        assert!(Settings::new(Variant::Go, level, mem_level).is_err());
    }
    assert_eq!(Settings::new(Variant::GoHuffman, 0, 8), Ok(Settings::go_huffman()));
    assert!(Settings::new(Variant::GoHuffman, 1, 8).is_err() && Settings::new(Variant::GoHuffman, 0, 9).is_err());
}

#[test]
fn streams_that_differ_from_gos_are_refused() {
    let mut rng = Rng::new(11);
    for (level, encoder) in &mut encoders() {
        for kind in 0..KINDS {
            let plain = generate(&mut rng, kind, 400);
            let mut stream = Vec::new();
            encoder.encode(&plain, &mut stream);
            assert_eq!(libz_inflate(&stream, plain.len()), Some((plain.clone(), stream.len())));
            for at in 0..stream.len() {
                for bit in 0..8 {
                    let mut wrong = stream.clone();
                    wrong[at] ^= 1 << bit;
                    assert!(!encoder.verify(&plain, &wrong), "level {level}, kind {kind}, byte {at}, bit {bit}");
                }
                assert!(!encoder.verify(&plain, &stream[..at]), "level {level}, kind {kind}, cut at {at}");
            }
            assert!(!encoder.verify(&plain, &[&stream[..], &[0]].concat()));
            assert!(!encoder.verify(&plain[..399], &stream));
            assert!(!encoder.verify(&[&plain[..], &[1]].concat(), &stream));
        }
    }
}

/// Every Go stream ends in an empty stored block, which no other variant writes: so one is never taken for the other.
#[test]
fn no_stream_is_both_gos_and_zlibs() {
    let mut rng = Rng::new(12);
    for case in 0..300 {
        let (kind, length) = (rng.below(KINDS), rng.below(400));
        let plain = generate(&mut rng, kind, length);
        let settings = Settings::all().nth(case % 46).unwrap();
        let stream = exact_deflate::compress(&plain, settings);
        let is_go = matches!(settings.variant(), Variant::Go | Variant::GoHuffman);
        assert_eq!(stream.ends_with(&[0, 0, 255, 255]), is_go);
        for other in Settings::all().filter(|s| matches!(s.variant(), Variant::Go | Variant::GoHuffman) != is_go) {
            assert!(!verify(&plain, &stream, other), "{settings}, {other}");
        }
    }
}

/// Go itself, at work in a process of its own.
struct Go {
    process: Child,
    to: Option<BufWriter<ChildStdin>>,
    from: BufReader<ChildStdout>,
}

impl Go {
    /// None if no Go is named.
    fn start() -> Option<Self> {
        let go = std::env::var_os("EXACT_DEFLATE_GO")?;
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("go-flate-{}", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go/main.go");
        let built = Command::new(go).arg("build").arg("-o").arg(&program).arg(source).status().unwrap();
        assert!(built.success());
        let mut process = Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::fs::remove_file(program).unwrap();
        let to = process.stdin.take().map(BufWriter::new);
        let from = BufReader::new(process.stdout.take().unwrap());
        Some(Self { process, to, from })
    }

    fn compress(&mut self, level: i8, way: u8, plain: &[u8]) -> Vec<u8> {
        let to = self.to.as_mut().unwrap();
        to.write_all(&[level as u8, way]).unwrap();
        to.write_all(&(plain.len() as u32).to_le_bytes()).unwrap();
        to.write_all(plain).unwrap();
        to.flush().unwrap();
        let mut length = [0; 4];
        self.from.read_exact(&mut length).unwrap();
        let mut stream = vec![0; u32::from_le_bytes(length) as usize];
        self.from.read_exact(&mut stream).unwrap();
        stream
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        self.to = None;
        let _ = self.process.wait();
    }
}

#[test]
fn generated_inputs_of_go() {
    let Some(mut go) = Go::start() else {
        println!("SKIPPED: EXACT_DEFLATE_GO names no go command, so nothing was compared with Go itself");
        return;
    };
    let (cases, first) = (env("EXACT_DEFLATE_CASES", 3_000), env("EXACT_DEFLATE_SEED", 0));
    let (mut encoders, mut bytes, mut counts) = (encoders(), 0, [0_u64; 10]);
    for case in first..first + cases {
        let mut rng = Rng::new(case);
        let top = match rng.below(10_000) {
            0..5 => 1 << 20,
            5..200 => 140_000,
            200..400 => 70_000,
            400..1000 => 10_000,
            1000..3000 => 2000,
            3000..6000 => 600,
            _ => 150,
        };
        let (which, length, kind) = (rng.below(10), rng.below(top + 1), rng.below(KINDS));
        let plain = generate(&mut rng, kind, length);
        let (level, encoder) = &mut encoders[which];
        // Given in pieces, Go may slide its buffer one position earlier at levels 2 to 9, if the input is longer than that.
        let way = match rng.below(4) {
            0 => 0,
            1 if length <= 65_536 || *level < 2 => 2,
            _ => 1,
        };
        let mut stream = go.compress(*level, way, &plain);
        let mut out = vec![1, 2, 3];
        encoder.encode(&plain, &mut out);
        let what = format!("case {case}, level {level}, kind {kind}, {length} bytes, way {way}");
        assert!(out.starts_with(&[1, 2, 3]) && out[3..] == stream, "encode: {what}");
        assert!(encoder.verify(&plain, &stream), "verify: {what}");
        let at = rng.below(stream.len());
        stream[at] ^= 1 << rng.below(8);
        assert!(!encoder.verify(&plain, &stream), "byte {at} flipped: {what}");
        bytes += length as u64;
        counts[which] += 1;
        let done = case - first + 1;
        if done.is_multiple_of(100_000) {
            println!("{done} inputs, {} MB: equal", bytes / 1_000_000);
        }
    }
    println!("{cases} inputs from {first} on, {} MB: equal to Go; levels -2, 1 to 9: {counts:?}", bytes / 1_000_000);
}

/// Around where Go slides its buffer, the only earlier copy of a string is at the largest distance, or just beyond.
#[test]
fn copies_at_the_largest_distances_where_go_slides() {
    let Some(mut go) = Go::start() else {
        println!("SKIPPED: EXACT_DEFLATE_GO names no go command, so nothing was compared with Go itself");
        return;
    };
    let mut rng = Rng::new(3);
    let mut encoders = encoders();
    for at in [32_768, 40_000, 65_273, 65_274, 65_275, 65_276, 65_400, 65_535, 65_536, 98_042, 98_043, 98_044] {
        for distance in [32_506, 32_507, 32_508, 32_766, 32_767, 32_768, 32_769] {
            for length in [4, 5, 9, 261, 262, 263, 300] {
                if distance > at {
                    continue;
                }
                let mut plain: Vec<u8> = (0..at).map(|_| 128 + rng.below(128) as u8).collect();
                plain.extend((0..length).map(|_| rng.below(128) as u8));
                let copy = plain[at..].to_vec();
                let from = at - distance;
                plain[from..from + length].copy_from_slice(&copy);
                for (level, encoder) in encoders.iter_mut().skip(1).step_by(2) {
                    let stream = go.compress(*level, 1, &plain);
                    let mut out = Vec::new();
                    encoder.encode(&plain, &mut out);
                    assert!(out == stream, "level {level}: {length} bytes at {at}, {distance} back");
                    assert!(encoder.verify(&plain, &stream), "level {level}: {length} bytes at {at}, {distance} back");
                }
            }
        }
    }
}
