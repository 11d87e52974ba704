//! The exact deflate encoder against its judge, libz: generated inputs, and the blocks of the corpus.
//!
//! `SNAP_DEFLATE_CASES` sets the number of generated inputs, `SNAP_DEFLATE_ALL=1` takes all of the corpus at all levels.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::deflate as support;

use avro_snap::avro::deflate::{Encoder, HashKind, Params};
use support::{KINDS, Rng, corpus, deflate_blocks, env, files, generate, libz_deflate};

fn encoder(level: u8, mem_level: u8) -> Encoder {
    Encoder::new(Params { level, mem_level, hash: HashKind::Zlib3 }).unwrap()
}

/// Encoders for all levels and memory levels.
fn encoders() -> Vec<Encoder> {
    (0..18).map(|i| encoder(1 + i % 9, 8 + i / 9)).collect()
}

fn check(encoder: &mut Encoder, plain: &[u8], what: &dyn Fn() -> String) -> Vec<u8> {
    let Params { level, mem_level, .. } = encoder.params();
    let expected = libz_deflate(plain, level, mem_level);
    let mut out = vec![1, 2, 3];
    encoder.encode(plain, &mut out);
    assert!(out.starts_with(&[1, 2, 3]) && out[3..] == expected, "encode at {level}, {mem_level}: {}", what());
    assert!(encoder.verify(plain, &expected), "verify at {level}, {mem_level}: {}", what());
    expected
}

#[test]
fn refuses_other_parameters() {
    fn is_send<T: Send>() {}
    is_send::<Encoder>();
    for (level, mem_level) in [(0, 8), (10, 8), (6, 7), (6, 10), (255, 255)] {
        assert!(Encoder::new(Params { level, mem_level, hash: HashKind::Zlib3 }).is_err());
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
    let cases = env("SNAP_DEFLATE_CASES", 30_000);
    let mut encoders = encoders();
    for case in 0..cases {
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
    }
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

/// What other encoders write is confirmed only where it is the same, on inputs where they differ in little.
#[test]
fn verify_tells_encoders_apart() {
    use avro_snap::avro::codec::Codec;
    use avro_snap::avro::encoder::{Encoders, Tail, all};
    let ids: Vec<_> = all().into_iter().filter(|id| id.codec() == Codec::Deflate && id.tail == Tail::None).collect();
    let (mut others, mut rng, mut ours) = (Encoders::new(), Rng::new(29), encoders());
    let mut inputs: Vec<Vec<u8>> = (0..40).map(|case| generate(&mut rng, case % KINDS, 200 + 60 * case)).collect();
    // Found by fuzzing: the first match of six bytes is further away than one of five, which level 4 was said to take.
    let mut period =
        b"\x02\x00\x07\x02\x00\x1fij\xa5\x02\x10\x07\x02\x02\x05\x09\x0c\x9a\x9d\x9c\x9baf\x02\x00\x07\x02\x00\x09\x0c\
        ag\x1fij\xa5\x02\x00\x07\x02\x05\x09"
            .to_vec();
    period.resize(102, b'P');
    inputs.push(period.repeat(34));
    // So was this: other encoders copy from the very first position, zlib never does.
    inputs.push(b"aaaabb".repeat(3));
    for _ in 0..1200 {
        let (letters, length) = (2 + rng.below(3), 2 + rng.below(12));
        let period: Vec<u8> = (0..length).map(|_| rng.below(letters) as u8).collect();
        let mut plain = period.repeat(2 + rng.below(8));
        for _ in 0..rng.below(3) {
            let at = rng.below(plain.len());
            plain[at] = rng.below(letters) as u8;
        }
        inputs.push(plain);
    }
    for (number, plain) in inputs.iter().enumerate() {
        let streams: Vec<Vec<u8>> = ids
            .iter()
            .map(|id| {
                let mut stream = Vec::new();
                others.encode(id, plain, &mut stream).unwrap();
                stream
            })
            .collect();
        for encoder in &mut ours {
            let mut expected = Vec::new();
            encoder.encode(plain, &mut expected);
            for (id, stream) in ids.iter().zip(&streams) {
                let params = encoder.params();
                assert_eq!(encoder.verify(plain, stream), *stream == expected, "input {number}, {id}, {params:?}");
            }
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
fn blocks_of_the_corpus() {
    let Some(corpus) = corpus() else {
        eprintln!("SKIPPED: no corpus beside the project; nothing of it was compared");
        return;
    };
    let all = env("SNAP_DEFLATE_ALL", 0) == 1;
    let mut blocks: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for folder in ["nightly", "orders", "interop"] {
        let files = files(&corpus.join(folder));
        blocks.extend(if all { deflate_blocks(&files) } else { deflate_blocks(&files[..files.len().min(30)]) });
    }
    if all {
        blocks.sort();
        blocks.dedup();
    } else {
        let step = blocks.len() / 30 + 1;
        blocks = blocks.into_iter().step_by(step).collect();
    }
    let mut encoders = encoders();
    let mut bytes = 0;
    for (i, (plain, _)) in blocks.iter().enumerate() {
        for encoder in &mut encoders {
            check(encoder, plain, &|| format!("block {i}"));
        }
        bytes += plain.len();
    }
    eprintln!("{} blocks, {bytes} bytes, 9 levels, 2 memory levels: equal", blocks.len());
}
