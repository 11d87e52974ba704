//! Days in the life of a folder: random edits of random files, a snapshot after each day, and in the end every day comes
//! back as it was.
//!
//! `PROPTEST_CASES=n` lives n lives (40 by default). A failing one is printed as its seed and days: `SNAP_LIFE=seed,days`
//! lives that one alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::lab;

use std::fs;
use std::path::{Path, PathBuf};

use avro_gen::{Generated, Random};
use avro_snap::avro::encoder::{EncoderId, Encoders};
use avro_snap::avro::varint;
use avro_snap::crypto::Suite;
use avro_snap::ops::create::{Depth, create};
use avro_snap::progress::Silent;
use avro_snap::store::CachePlace;
use faults::{all_files, check_all};
use lab::{Lab, files_of, saving};
use proptest::prelude::*;

/// Codecs with the encoder that makes them here; the last one is of no writer that is known, so that it stays raw.
const CODECS: [(&str, &str); 6] = [
    ("null", "null"),
    ("deflate", "zlib:L6:M8"),
    ("deflate", "zlib:L1:M8"),
    ("snappy", "snappy:mask14"),
    ("zstandard", "zstd-1.5.7:once:L3"),
    ("deflate", "raw"),
];

/// A container of so many blocks of random records; several of the same schema share most of theirs.
fn container(random: &mut Random, encoders: &mut Encoders, schema: u64, blocks: usize) -> Vec<u8> {
    let generated = Generated::record(&mut Random::new(schema), 3);
    let mut records = Random::new(schema + 1);
    let (codec, encoder) = CODECS[random.below(CODECS.len())];
    let mut out = b"Obj\x01".to_vec();
    varint::encode(&mut out, 2);
    for text in ["avro.schema", &generated.text, "avro.codec", codec] {
        varint::encode(&mut out, text.len() as i64);
        out.extend_from_slice(text.as_bytes());
    }
    varint::encode(&mut out, 0);
    let marker: Vec<u8> = (0..16).map(|_| random.next() as u8).collect();
    out.extend_from_slice(&marker);
    for _ in 0..blocks {
        let count = 1 + records.below(60);
        let mut plain = Vec::new();
        for n in 0..count {
            // One record in a while is of this file alone.
            let own = random.one_in(50) && n > 0;
            plain.extend(generated.datum(if own { &mut *random } else { &mut records }));
        }
        let mut payload = Vec::new();
        match encoder {
            "raw" => payload.extend_from_slice(&plain),
            id => encoders.encode(&id.parse::<EncoderId>().unwrap(), &plain, &mut payload).unwrap(),
        }
        varint::encode(&mut out, count as i64);
        varint::encode(&mut out, payload.len() as i64);
        out.extend(payload);
        out.extend_from_slice(&marker);
    }
    out
}

fn any_file(random: &mut Random, folder: &Path) -> Option<PathBuf> {
    let files = files_of(folder);
    let at = random.below(files.len());
    files.into_keys().nth(at).map(|path| folder.join(path))
}

/// A name in one of a few folders; made if need be.
fn any_name(random: &mut Random, folder: &Path) -> PathBuf {
    let below = ["", "a", "a/b", "caf\u{e9}", "x.avro"][random.below(5)];
    // A file may lie where the folder should be.
    let below = if fs::create_dir_all(folder.join(below)).is_ok() { folder.join(below) } else { folder.to_path_buf() };
    below.join(format!("{}{}", random.below(12), ["", ".avro", ".txt"][random.below(3)]))
}

/// One edit; those that cannot be done now are passed over.
fn edit(random: &mut Random, encoders: &mut Encoders, folder: &Path) {
    let some = any_file(random, folder);
    let name = any_name(random, folder);
    let change = |work: &mut dyn FnMut(&mut Vec<u8>)| {
        if let Some(path) = &some {
            let mut bytes = fs::read(path).unwrap();
            work(&mut bytes);
            fs::write(path, bytes).unwrap();
        }
    };
    match random.below(12) {
        0..=3 => {
            let (schema, blocks) = (random.below(4) as u64, random.below(12));
            let bytes = container(random, encoders, schema, blocks);
            let _ = fs::write(name, bytes);
        }
        4 => {
            let length = [0, 1, 511, 512, 70_000][random.below(5)];
            let _ = fs::write(name, (0..length).map(|n| (random.next() >> (n % 50)) as u8).collect::<Vec<_>>());
        }
        5 => {
            let _ = some.map(|path| fs::rename(path, name));
        }
        6 => {
            let _ = some.map(fs::remove_file);
        }
        7 => {
            let keep = random.next() as usize;
            change(&mut |bytes| bytes.truncate(keep % (bytes.len() + 1)));
        }
        8 => {
            let (at, bit) = (random.next() as usize, random.below(8));
            change(&mut |bytes| {
                let length = bytes.len();
                if let Some(byte) = bytes.get_mut(at % length.max(1)) {
                    *byte ^= 1 << bit;
                }
            });
        }
        9 => {
            let more = random.below(40);
            change(&mut |bytes| bytes.extend((0..more).map(|n| n as u8)));
        }
        10 => {
            // Something in the middle is taken out, as a lost sector would.
            let at = random.next() as usize;
            change(&mut |bytes| {
                let (at, length) = (at % (bytes.len() + 1), bytes.len());
                bytes.drain(at..(at + 100).min(length));
            });
        }
        _ => {
            let _ = some.map(|path| fs::copy(path, name));
        }
    }
}

fn live(seed: u64, days: usize) {
    let mut random = Random::new(seed);
    let mut encoders = Encoders::new();
    let suite = [Suite::Aes256Gcm, Suite::XChaCha20Poly1305, Suite::None][random.below(3)];
    let own = faults::quick_folder();
    let (folder, cache) = (own.path().join("data"), own.path().join("cache"));
    fs::create_dir(&folder).unwrap();
    let lab = Lab { cache: CachePlace::Folder(cache), ..Lab::new(suite) };
    let mut kept = Vec::new();
    for day in 0..days {
        for _ in 0..random.below(8) {
            edit(&mut random, &mut encoders, &folder);
        }
        let depth = if random.one_in(5) { [Depth::Frame, Depth::Bytes][random.below(2)] } else { Depth::Deep };
        let force = random.one_in(6);
        let options = saving(&folder).avro(depth).force(force);
        let report = create(&lab.open(), options, &Silent)
            .unwrap_or_else(|error| panic!("day {day} of SNAP_LIFE={seed},{days}: {error}"));
        assert_eq!(report.unreadable, 0);
        kept.push((report.snapshot.unwrap(), files_of(&folder)));
    }
    let repository = lab.open();
    for (day, (id, files)) in kept.iter().enumerate() {
        let back = all_files(&repository, *id);
        let differs = |path: &&PathBuf| back.as_ref().is_some_and(|back| back.get(*path) != files.get(*path));
        let wrong: Vec<_> = files.keys().filter(differs).collect();
        assert!(back.as_ref() == Some(files), "day {day} of SNAP_LIFE={seed},{days}: {wrong:?}");
    }
    let problems = check_all(&repository).unwrap().problems;
    assert!(problems.is_empty(), "SNAP_LIFE={seed},{days}: {problems:?}");
}

#[test]
fn one_life_again() {
    let Ok(life) = std::env::var("SNAP_LIFE") else { return };
    let (seed, days) = life.split_once(',').unwrap();
    live(seed.parse().unwrap(), days.parse().unwrap());
}

/// The cases, if `PROPTEST_CASES` says nothing else; no file of failures, which belongs beside sources.
fn cases() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { default } else { ProptestConfig { cases: 40, ..default } }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn every_day_of_a_life_comes_back_as_it_was(seed: u64, days in 1usize..12) {
        live(seed, days);
    }
}
