//! Holds the output of every encoder: what an id writes must never change (`docs/format.md`).
//!
//! `tests/golden/encoders.txt` has a line for each id, kind of input and length, with the length and BLAKE3 of the
//! output. A line that no longer holds means that recipes in the field no longer restore: the change must go, or become a
//! new id. To add lines for a new id, run
//!
//! ```text
//! SNAP_WRITE_GOLDEN=1 cargo test --test avro encoder_golden::
//! ```
//!
//! and see that the file has only new lines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::fmt::Write as _;

use avro_snap::avro::codec::{Decoder, MAX_DECODED};
use avro_snap::avro::encoder::selftest::{Kind, sample};
use avro_snap::avro::encoder::{EncodeError, EncoderId, Encoders, Method, all};
use avro_snap::id::{digest, hex};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders.txt");

/// The inputs that an id is held to: the slower, the shorter.
fn inputs(id: EncoderId) -> Vec<(Kind, usize)> {
    let longest = match id.method {
        Method::Xz { preset: 0..=6, extreme: false, .. }
        | Method::Bzip2 { level: 1 | 9 }
        | Method::Bzip2Java { level: 1 | 9 } => 65_536,
        Method::Xz { .. } | Method::Bzip2 { .. } | Method::Bzip2Java { .. } => 16_000,
        Method::Zstd157 { level: 20.., .. } => 65_536,
        Method::Zstd157 { level: 13.., .. } => 300_000,
        // Levels 2 to 4 have a search of their own.
        Method::Zstd156 { level: 13.., .. } => 65_536,
        Method::Zstd156 { level: ..=1 | 5.., .. } => 300_000,
        _ => 1_000_000,
    };
    let records = [0, 1, 5_000, 16_000, 65_536, 300_000, 1_000_000].map(|length| (Kind::Records, length));
    let others = [(Kind::Runs, 65_536), (Kind::Noise, 16_000), (Kind::Noise, 300_000)];
    records.into_iter().chain(others).filter(|(_, length)| *length <= longest).collect()
}

fn lines() -> String {
    let (mut encoders, mut decoder) = (Encoders::new(), Decoder::new());
    let (mut payload, mut decoded, mut lines) = (Vec::new(), Vec::new(), String::new());
    for id in all() {
        for (kind, length) in inputs(id) {
            let plain = sample(kind, length);
            payload.clear();
            match encoders.encode(&id, &plain, &mut payload) {
                Err(EncodeError::Unsupported(_)) => {
                    eprintln!("SKIPPED: this build has no {id}");
                    break;
                }
                result => result.unwrap(),
            }
            // A vector that does not decode would be no use, so none gets into the file.
            let tail = id.tail.length();
            let consumed = decoder.decode(id.codec(), &payload, MAX_DECODED, &mut decoded);
            assert_eq!(consumed, Ok(payload.len() - tail), "{id} {length}");
            assert!(decoded == plain, "{id} {length}");
            let hash = hex(&digest(&payload));
            writeln!(lines, "{id} {} {length} {} {hash}", kind.name(), payload.len()).unwrap();
        }
    }
    lines
}

#[test]
fn every_id_writes_what_it_always_wrote() {
    let lines = lines();
    if std::env::var_os("SNAP_WRITE_GOLDEN").is_some() {
        return std::fs::write(FILE, lines).unwrap();
    }
    let golden = std::fs::read_to_string(FILE).unwrap();
    let changed: Vec<&str> = golden.lines().filter(|line| !lines.lines().any(|now| now == *line)).collect();
    let new: Vec<&str> = lines.lines().filter(|line| !golden.lines().any(|old| old == *line)).collect();
    assert!(changed.is_empty(), "the output of ids changed, or they are gone: {changed:#?}\nnow: {new:#?}");
    assert!(new.is_empty(), "ids without golden vectors (see the head of this test): {new:#?}");
}

#[test]
fn the_libraries_are_those_of_the_ids() {
    assert_eq!(zstd_safe::version_string(), "1.5.7");
    // libbz2-rs says so in its version; C's libbz2 would have no suffix. It is the only backend in the build.
    let lock = include_str!("../../Cargo.lock");
    let has = |name: &str, version: &str| lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\""));
    assert!(has("libbz2-rs-sys", "0.2.6") && !lock.contains("name = \"bzip2-sys\""));
    assert!(has("bzip2", "0.6.1") && has("zlib-rs", "0.6.8") && has("zlib-rs", "0.2.1") && has("snap", "1.1.2"));
    assert!(has("liblzma-sys", "0.4.9") && has("preflate-rs", "0.7.6"));
    assert!(has("zstd-sys", "2.1.3+zstd.1.5.7"));
    assert!(has("libflate", "2.3.2") && has("libflate_lz77", "2.3.0") && has("dary_heap", "0.3.9"));
    assert_eq!(lock.matches("name = \"miniz_oxide\"").count(), 1);
    assert!(has("miniz_oxide", "0.9.1"));
}
