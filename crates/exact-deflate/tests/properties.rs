//! Properties that hold for any input, with shrinking: equality with libz, and what is confirmed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use exact_deflate::{Encoder, Settings, Variant};
use proptest::prelude::*;
use support::{libz_deflate, libz_inflate};

/// A step of a program that writes an input: bytes, or a copy from further back.
#[derive(Debug, Clone)]
enum Step {
    Bytes(Vec<u8>),
    Copy { back: usize, length: usize },
}

/// Inputs with matches of all lengths and distances, the largest distance among them.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let back = prop_oneof![4 => 1..40_usize, 2 => 1..5000_usize, 1 => 32_490..32_780_usize];
    let step = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Step::Bytes),
        prop::collection::vec(0..4_u8, 0..40).prop_map(Step::Bytes),
        (back, prop_oneof![1..12_usize, 250..270_usize, 1..4000_usize])
            .prop_map(|(back, length)| Step::Copy { back, length }),
    ];
    prop::collection::vec(step, 0..60).prop_map(|steps| {
        let mut plain = Vec::new();
        for step in steps {
            match step {
                Step::Bytes(bytes) => plain.extend(bytes),
                Step::Copy { .. } if plain.is_empty() => {}
                Step::Copy { back, length } => {
                    let back = 1 + (back - 1) % plain.len();
                    (0..length).for_each(|_| plain.push(plain[plain.len() - back]));
                }
            }
        }
        plain
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    prop::sample::select(Settings::all().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn zlib_writes_the_same_and_reads_either(plain in input(), settings in settings()) {
        let mut encoder = Encoder::new(settings);
        let mut stream = Vec::new();
        encoder.encode(&plain, &mut stream);
        if settings.variant() == Variant::Zlib {
            prop_assert_eq!(&stream, &libz_deflate(&plain, settings.level(), settings.mem_level()));
        }
        let length = stream.len();
        prop_assert_eq!(libz_inflate(&stream, plain.len()), Some((plain.clone(), length)));
        prop_assert!(encoder.verify(&plain, &stream));
    }

    #[test]
    fn an_encoder_forgets_what_it_did_before(inputs in prop::collection::vec(input(), 1..4), settings in settings()) {
        let mut kept = Encoder::new(settings);
        let mut streams = Vec::new();
        for plain in &inputs {
            let start = streams.len();
            kept.encode(plain, &mut streams);
            prop_assert_eq!(&streams[start..], &exact_deflate::compress(plain, settings)[..]);
        }
    }

    #[test]
    fn only_the_encoders_own_stream_is_confirmed(
        plain in input(), ours in settings(), theirs in settings(), at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let mut encoder = Encoder::new(ours);
        let own = exact_deflate::compress(&plain, ours);
        let mut other = exact_deflate::compress(&plain, theirs);
        prop_assert_eq!(encoder.verify(&plain, &other), other == own);
        let at = at.index(other.len());
        other[at] ^= flip;
        prop_assert_eq!(encoder.verify(&plain, &other), other == own);
        prop_assert!(!encoder.verify(&plain, &own[..own.len() - 1]));
    }

    #[test]
    fn noise_is_refused(plain in input(), noise in prop::collection::vec(any::<u8>(), 0..200), settings in settings()) {
        let own = exact_deflate::compress(&plain, settings);
        prop_assert_eq!(exact_deflate::verify(&plain, &noise, settings), noise == own);
    }
}
