//! How fast the codecs are: not a test of anything, so it runs only when asked for.
//!
//! ```text
//! cargo test --release --test avro codec_speed:: -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::time::{Duration, Instant};

use avro_snap::avro::codec::{Decoder, MAX_DECODED};
use avro_snap::avro::encoder::{EncodeError, EncoderId, Encoders, preflate_join, preflate_split, selftest::sample};
use avro_snap::avro::encoder::{self_test, selftest::Kind};

/// How long this thread was running on a core, which on a busy machine is what counts; elsewhere than on Linux the clock.
fn running(start: Instant) -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// Decoded MB a second of one core: the best of three runs of a tenth of a second or more, as the kernel counts in ticks.
fn speed(bytes: usize, mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut once = || {
        let (before, mut runs) = (running(start), 0);
        loop {
            run();
            runs += 1;
            let taken = running(start).saturating_sub(before);
            if taken > Duration::from_millis(100) {
                return taken.as_secs_f64() / f64::from(runs);
            }
        }
    };
    let best = (0..3).map(|_| once()).fold(f64::INFINITY, f64::min);
    bytes as f64 / 1e6 / best
}

/// Decoded blocks of 64 000 bytes: real ones, else our own.
fn blocks() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/nightly/java-null");
    let mut plain = Vec::new();
    for night in std::fs::read_dir(folder).into_iter().flatten().take(2) {
        for file in std::fs::read_dir(night.unwrap().path()).unwrap() {
            // Headers and markers are in it, too: a few bytes in 64 000.
            plain.extend(std::fs::read(file.unwrap().path()).unwrap());
        }
    }
    if plain.is_empty() {
        plain = sample(Kind::Records, 8 << 20);
    }
    plain.chunks(64_000).take(130).map(<[u8]>::to_vec).collect()
}

#[test]
#[ignore = "a measurement"]
fn speeds() {
    let all = blocks();
    let (mut encoders, mut decoder) = (Encoders::new(), Decoder::new());
    eprintln!("| encoder | blocks | ratio | encode MB/s | verify MB/s | decode MB/s |");
    eprintln!("|---|---|---|---|---|---|");
    for text in [
        "null",
        "zlib:L1:M8",
        "zlib:L6:M8",
        "zlib:L9:M8",
        "zlib:L6:M8+adler3",
        "chromium-zlib:L6:M8",
        "miniz:L10",
        "zlib-ng:L6",
        "snappy:shift14",
        "snappy:mask14",
        "snappy:mask15",
        "snappy:crc15",
        "zstd-1.5.7:once:L3",
        "zstd-1.5.7:stream:L3",
        "zstd-1.5.6:once:L3",
        "zstd-1.5.6:stream:L3",
        "zstd-1.5.7:once:L9",
        "zstd-1.5.7:once:L19",
        "bzip2:L9",
        "xz:P6:crc64",
        "xz:P9:crc64",
    ] {
        let id: EncoderId = text.parse().unwrap();
        let count = (60_000 / (id.method.cost() as usize * 3)).clamp(6, all.len());
        let blocks = &all[..count];
        let bytes: usize = blocks.iter().map(Vec::len).sum();
        let mut payloads = Vec::new();
        for block in blocks {
            let mut payload = Vec::new();
            match encoders.encode(&id, block, &mut payload) {
                Err(EncodeError::Unsupported(_)) => break,
                result => result.unwrap(),
            }
            payloads.push(payload);
        }
        if payloads.len() < blocks.len() {
            eprintln!("| {id} | not in this build |");
            continue;
        }
        let mut out = Vec::new();
        let encode = speed(bytes, || {
            for block in blocks {
                out.clear();
                encoders.encode(&id, block, &mut out).unwrap();
            }
        });
        let verify = speed(bytes, || {
            for (block, payload) in blocks.iter().zip(&payloads) {
                assert!(encoders.verify(&id, block, payload));
            }
        });
        let decode = speed(bytes, || {
            for payload in &payloads {
                decoder.decode(id.codec(), payload, MAX_DECODED, &mut out).unwrap();
            }
        });
        let ratio = payloads.iter().map(Vec::len).sum::<usize>() as f64 / bytes as f64;
        eprintln!("| {id} | {count} | {ratio:.3} | {encode:.1} | {verify:.1} | {decode:.0} |");
        if text == "zlib:L6:M8" {
            let streams = &payloads[..20];
            let bytes: usize = blocks[..20].iter().map(Vec::len).sum();
            let miniz = speed(bytes, || {
                for stream in streams {
                    miniz_oxide::inflate::decompress_to_vec(stream).unwrap();
                }
            });
            let mut parts = Vec::new();
            let split = speed(bytes, || {
                parts = streams.iter().map(|stream| preflate_split(stream, MAX_DECODED).unwrap()).collect();
            });
            let join = speed(bytes, || {
                for (plain, corrections) in &parts {
                    preflate_join(plain, corrections).unwrap();
                }
            });
            eprintln!("| preflate | 20 | | {join:.1} (join) | {split:.1} (split) | miniz_oxide: {miniz:.0} |");
        }
    }
    let start = Instant::now();
    assert!(self_test(&mut Encoders::new()).iter().all(|(_, holds)| *holds));
    eprintln!("self_test: {:?}", start.elapsed());
}
