//! A golden repository whose recipes name the encoders that were added after the first ones, by their frozen ids.
//!
//! `fixtures/golden/encoders.txt` says of each of its files what the file's BLAKE3 is and which encoders its recipe names.
//! `cargo test --test repository -- --ignored golden_encoders::make_encoders` shows how both were made: the payloads come from
//! the library's own encoders. As the other golden repositories, this one is never made again ([`FROZEN`]); ids that are added
//! later get another one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use avro_snap::avro::encoder::selftest::{Kind, sample};
use avro_snap::avro::encoder::{EncoderId, Encoders, Tail, runs_here};
use avro_snap::avro::varint;
use avro_snap::crypto::{Entropy, SeededEntropy, Suite, SystemEntropy};
use avro_snap::id::{digest, hex};
use avro_snap::ops::create::{CreateOptions, CreateReport, create};
use avro_snap::ops::restore::restore;
use avro_snap::ops::select::Listing;
use avro_snap::progress::Silent;
use avro_snap::recipe::{PREFLATE, Recipe};
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::snapshot::entry::AvroFacts;

use avro_snap::store::{Clock, Repository, SystemClock};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use crate::containers::container;
use crate::faults;
use crate::golden::{Steps, copy, frozen, hash_of, make_empty, open, place, remove_empty_folders};
use crate::lab::{files_of, restoring, saving};

const NAME: &str = "v1-encoders";
const LIST: &str = "encoders.txt";
/// BLAKE3 of the repository and its list, as that of the other golden ones.
const FROZEN: &str = "126b244b460cc9acbea8586337cfb665616da8aacf787a612f469781255f1762";
/// Corrections are kept only where they are authenticated.
const SUITE: Suite = Suite::Aes256Gcm;
const MOST: usize = 300_000;

/// Which encoders make the blocks of each file.
const FILES: [(&str, &[&str]); 23] = [
    ("deflate", &["go-1.19:L6"]),
    ("deflate", &["go-1.19:L1", "go-1.19:huffman", "go-1.19:L9"]),
    ("deflate", &["libflate-2"]),
    ("deflate", &["zlib-ng:L6:O512"]),
    ("deflate", &["zlib-ng:L6:I128"]),
    ("deflate", &["zlib-ng:L1:O512", "zlib-ng:L5:I128"]),
    ("deflate", &["zlib-ng-2.1:L6"]),
    ("deflate", &["zlib-ng-2.1:L6:O512"]),
    ("deflate", &["zlib-ng-2.1:L6:I128"]),
    ("deflate", &["zlib-ng-2.1:L3", "zlib-ng-2.1:L9"]),
    ("deflate", &["preflate-0.7.6+adler3"]),
    ("snappy", &["snappy:crc14"]),
    ("snappy", &["snappy:shift14:skip1:F64"]),
    ("snappy", &["snappy:shift14:skip1:F32"]),
    ("snappy", &["snappy:snappyjs-0.7"]),
    ("zstandard", &["zstd-1.5.6:stream:L3"]),
    ("zstandard", &["zstd-1.5.6:once:L3"]),
    ("zstandard", &["zstd-1.5.6:once:L2", "zstd-1.5.6:once:L4"]),
    ("zstandard", &["zstd-1.5.6:stream:L4:C"]),
    ("zstandard", &["zstd-1.5.7:stream:L3+emptyframe"]),
    ("zstandard", &["zstd-1.5.6:stream:L3+emptyframe"]),
    ("bzip2", &["bzip2-java:L9"]),
    ("bzip2", &["bzip2-java:L1"]),
];

/// What a file is called: after the first of its encoders.
fn name_of(encoders: &[&str]) -> String {
    encoders[0].replace(':', "_") + if encoders.len() > 1 { "_and_others" } else { "" } + ".avro"
}

fn in_list() -> BTreeMap<String, (String, Vec<String>)> {
    let text = fs::read_to_string(place(LIST)).unwrap();
    let facts = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        (words.next().unwrap(), (words.next().unwrap(), words.collect()))
    };
    text.lines().filter(|line| !line.starts_with('#')).map(facts).collect()
}

/// The Avro files of a snapshot: what is known of each, and the encoders that its recipe names.
fn in_recipes(repository: &Repository, snapshot: &SnapshotRoot) -> BTreeMap<String, (AvroFacts, Vec<String>)> {
    let (mut rows, mut found) = (snapshot.rows(repository), BTreeMap::new());
    while let Some(row) = rows.next_row().unwrap() {
        let Some(facts) = row.avro else { continue };
        let Recipe::Container(recipe) = Recipe::decode(&row.recipe).unwrap() else { panic!("no container: {facts:?}") };
        found.insert(String::from_utf8(row.path).unwrap(), (facts, recipe.encoders));
    }
    found
}

/// False where the processor lacks what an encoder needs.
fn are_made_here(encoders: &[String]) -> bool {
    encoders.iter().all(|id| id.parse::<EncoderId>().is_ok_and(|id| runs_here(&id)) || id.starts_with(PREFLATE))
}

fn last(repository: &Repository) -> SnapshotRoot {
    Listing::read(repository).snapshots.pop().unwrap()
}

#[test]
fn the_golden_repository_of_encoders_is_the_bytes_that_it_was() {
    assert_eq!(hash_of(&[NAME, LIST]), FROZEN, "the format is final: golden repositories are never made again");
}

#[test]
fn what_newer_encoders_made_is_restored_as_on_the_day_it_was_saved() {
    let before = frozen(&place(NAME));
    let repository = open(&place(NAME), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let (snapshot, listed) = (last(&repository), in_list());
    let recipes = in_recipes(&repository, &snapshot);
    assert_eq!(recipes.keys().collect::<Vec<_>>(), listed.keys().collect::<Vec<_>>());
    for (file, (facts, encoders)) in &recipes {
        assert_eq!(encoders, &listed[file].1, "{file}");
        assert_eq!((facts.blocks_raw, facts.blocks_exact + facts.blocks_corrected), (0, facts.blocks), "{file}");
    }
    for (_, encoders) in FILES {
        assert_eq!(listed[&name_of(encoders)].1, encoders, "the list lacks what this test names");
    }

    let target = faults::quick_folder();
    let report = restore(&repository, &snapshot, &restoring(target.path()), &Silent).unwrap();
    let restored = files_of(target.path());
    for (file, (hash, encoders)) in &listed {
        if !are_made_here(encoders) {
            eprintln!("SKIPPED {file}: this processor makes nothing with {encoders:?}");
            assert!(!restored.contains_key(Path::new(file)), "{file} was restored without its encoder");
            continue;
        }
        let found = restored.get(Path::new(file)).map(|bytes| hex(&digest(bytes)));
        assert_eq!(found.as_ref(), Some(hash), "{file}: {:?}", report.failed);
    }
    let failed = listed.values().filter(|(_, encoders)| !are_made_here(encoders)).count();
    assert_eq!(report.failed.len(), failed, "{:?}", report.failed);
    assert!(faults::check_all(&repository).unwrap().problems.is_empty());
    assert!(frozen(&place(NAME)) == before, "reading changed something");
}

/// The encoders of today are found for what was saved then, so nothing is stored twice.
#[test]
fn files_of_the_golden_repository_are_saved_again_as_the_same_recipes() {
    let (own, data) = (faults::quick_folder(), faults::quick_folder());
    copy(&place(NAME), own.path());
    let repository = open(own.path(), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let first = last(&repository);
    restore(&repository, &first, &restoring(data.path()), &Silent).unwrap();
    let report = save(&repository, data.path());
    let (before, after) = (in_recipes(&repository, &first), in_recipes(&repository, &last(&repository)));
    for (file, (facts, encoders)) in after {
        assert_eq!((facts, encoders), before[&file], "{file}");
    }
    println!("{} chunks, {} bytes", report.chunks_new, report.bytes_added);
    // The root and chunks of rows, whose times are others.
    assert!(report.chunks_new <= 4, "{report:?}");
}

fn save(repository: &Repository, folder: &Path) -> CreateReport {
    // As by default, but for the names of the machine.
    let options = saving(folder).min_encode_speed(CreateOptions::new(vec!["."]).min_encode_speed).force(true);
    create(repository, options, &Silent).unwrap()
}

/// One record. No two of the encoders make the same of it. It is stored once for all files.
fn plain() -> Vec<u8> {
    let (records, noise) = (sample(Kind::Records, 61_000), sample(Kind::Noise, 60_171));
    let mixed = records[300..].chunks(20).zip(noise.chunks(3)).flat_map(|(some, few)| [some, few].concat());
    let bytes: Vec<u8> = sample(Kind::Records, 140_000).into_iter().chain(mixed.take(60_171)).collect();
    let mut plain = Vec::new();
    varint::encode(&mut plain, bytes.len() as i64);
    plain.extend_from_slice(&bytes);
    plain
}

/// What the encoder makes. Corrections are for streams of settings that no other id has.
fn encoded(id: &str, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let Some(tail) = id.strip_prefix(PREFLATE) else {
        Encoders::new().encode(&id.parse().unwrap(), plain, &mut out).unwrap();
        return out;
    };
    let config = DeflateConfig { level: 6, window_bits: -15, mem_level: 6, ..Default::default() };
    out.resize(plain.len() + 1000, 0);
    let mut stream = Deflate::new_with_config(config);
    stream.compress(plain, &mut out, DeflateFlush::Finish).unwrap();
    out.truncate(stream.total_out() as usize);
    let tail = Tail::ALL.into_iter().find(|rule| rule.suffix() == tail).unwrap();
    let (bytes, length) = tail.bytes(plain);
    out.extend_from_slice(&bytes[..length]);
    out
}

#[test]
#[ignore = "makes the golden repository of encoders again"]
fn make_encoders() {
    let own = tempfile::tempdir().unwrap();
    let mut list = String::from("# The files of v1-encoders: name, BLAKE3, and the encoders that the recipe names.\n");
    let (mut lines, mut files) = (BTreeMap::new(), BTreeSet::new());
    for (codec, encoders) in FILES {
        // A block of each, and one more of the last.
        let payloads: Vec<_> = encoders.iter().chain(encoders.last()).map(|id| encoded(id, &plain())).collect();
        let file = container("\"bytes\"", codec, payloads.iter().map(|payload| (1, &payload[..])));
        fs::write(own.path().join(name_of(encoders)), &file).unwrap();
        let hash = hex(&digest(&file));
        assert!(files.insert(file), "two encoders make the same of {}", name_of(encoders));
        lines.insert(name_of(encoders), format!("{} {}", hash, encoders.join(" ")));
    }
    for (name, facts) in lines {
        writeln!(list, "{name} {facts}").unwrap();
    }
    let root = place(NAME);
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
        (Arc::new(Steps((1_772_668_800 * 1_000_000_000).into())), Arc::new(SeededEntropy::new(79)));
    make_empty(&root, SUITE, &clock, &entropy);
    let repository = open(&root, clock, entropy);
    save(&repository, own.path());
    for (file, (facts, encoders)) in in_recipes(&repository, &last(&repository)) {
        println!("{file}: {encoders:?}, {} blocks exact, {} corrected", facts.blocks_exact, facts.blocks_corrected);
    }
    fs::write(place(LIST), list).unwrap();
    remove_empty_folders(&root);
    let _ = fs::remove_file(root.join("reserve"));
    let size: usize = files_of(&root).values().map(Vec::len).sum();
    println!("{size} bytes, {}", hash_of(&[NAME, LIST]));
    assert!(size <= MOST, "too large: {size} bytes");
}
