//! The files of real writers (`../shared/corpus`, not part of the project): all of them are understood.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use avro_snap::avro::container::{self, Flaw, MARKER, Parsed, parse_block, parse_header};
use avro_snap::avro::schema::Schema;
use avro_snap::avro::walk::{BlockFault, Reason, WalkError};

/// All containers below a folder of the corpus; none, with a loud word, where there is no corpus.
fn files(below: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus").join(below);
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false if path.file_name().unwrap().to_string_lossy().contains(".avro") => found.push(path),
                false => {}
            }
        }
    }
    if found.is_empty() {
        eprintln!("SKIPPED: there is no corpus at {}", root.display());
    }
    found.sort();
    found
}

/// What a file held.
#[derive(Debug, PartialEq)]
struct Found {
    blocks: usize,
    declared: u64,
    /// Of files that are not compressed.
    verified: u64,
    fault: Option<BlockFault>,
    /// How it ends, where not after a marker.
    end: Option<Parsed<()>>,
}

fn walk(bytes: &[u8]) -> Result<Found, Parsed<()>> {
    let header = match parse_header(bytes) {
        Parsed::Done(header) => header,
        Parsed::More(least) => return Err(Parsed::More(least)),
        Parsed::Bad(flaw) => return Err(Parsed::Bad(flaw)),
    };
    let schema = Schema::parse(header.schema_text().unwrap()).unwrap();
    let mut found = Found { blocks: 0, declared: 0, verified: 0, fault: None, end: None };
    let mut at = header.length;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let block = match parse_block(rest, &header.marker) {
            Parsed::Done(block) => block,
            Parsed::More(least) => {
                found.end = Some(Parsed::More(least));
                break;
            }
            Parsed::Bad(flaw) => {
                found.end = Some(Parsed::Bad(flaw));
                break;
            }
        };
        assert_eq!(container::find_marker(&rest[block.payload().end..], &header.marker), Some(0));
        let mut again = Vec::new();
        container::put_block_header(&mut again, block.count, block.payload_len);
        assert_eq!(block.canonical, again == rest[..block.header_len]);
        if header.codec_name() == "null" {
            let walk = schema.walk_block(&rest[block.payload()], block.count, &mut |_| {});
            found.verified += walk.verified;
            found.fault = found.fault.or(walk.fault);
        }
        found.blocks += 1;
        found.declared += block.count;
        at += block.length();
    }
    if header.codec_name() != "null" {
        found.verified = found.declared;
    }
    Ok(found)
}

#[test]
fn every_file_of_the_corpus_is_understood() {
    let (mut count, mut blocks, mut records) = (0, 0, 0);
    for path in files("") {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        let found = match walk(&bytes) {
            Ok(found) => found,
            Err(flaw) => {
                assert_eq!((name.as_str(), flaw), ("test.avro12", Parsed::Bad(Flaw::OldFormat)));
                continue;
            }
        };
        count += 1;
        blocks += found.blocks;
        records += found.declared;
        match name.as_str() {
            "avro-1238-truncated.avro" => {
                assert_eq!(found.end, Some(Parsed::More(bytes.len() - found_start(&bytes) + 7)))
            }
            "avro-1237-bad-union-discriminant.avro" => {
                let fault = found.fault.unwrap();
                let branch = matches!(fault, BlockFault::Record(WalkError::Invalid { reason: Reason::Branch, .. }));
                assert!(branch && found.verified < found.declared && found.end.is_some(), "{found:?}");
            }
            "person-10.no-codec.avro" => assert!(matches!(found.end, Some(Parsed::More(_))), "{found:?}"),
            _ => {
                assert_eq!(
                    (found.end, found.fault, found.verified),
                    (None, None, found.declared),
                    "{}",
                    path.display()
                );
            }
        }
    }
    eprintln!("{count} files, {blocks} blocks, {records} records");
}

/// Where the last, cut block of `avro-1238-truncated` begins.
fn found_start(bytes: &[u8]) -> usize {
    let Parsed::Done(header) = parse_header(bytes) else { panic!() };
    let mut at = header.length;
    while let Parsed::Done(block) = parse_block(&bytes[at..], &header.marker) {
        at += block.length();
    }
    at
}

/// `cargo test --release --test avro avro_corpus:: -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_fast_records_are_walked() {
    let mut tables = Vec::new();
    for path in files("nightly/java-null") {
        let bytes = fs::read(&path).unwrap();
        let Parsed::Done(header) = parse_header(&bytes) else { panic!() };
        let schema = Schema::parse(header.schema_text().unwrap()).unwrap();
        let (mut at, mut payloads) = (header.length, Vec::new());
        while let Parsed::Done(block) = parse_block(&bytes[at..], &header.marker) {
            payloads.push((block.count, at + block.header_len..at + block.length() - MARKER));
            at += block.length();
        }
        tables.push((path.file_stem().unwrap().to_string_lossy().into_owned(), schema, bytes, payloads));
    }
    tables.sort_by(|a, b| a.0.cmp(&b.0));
    let mut names: Vec<_> = tables.iter().map(|table| table.0.clone()).collect();
    names.dedup();
    names.push(String::new());
    for name in names {
        let mut best = f64::INFINITY;
        let (mut total, mut records) = (0, 0);
        for _ in 0..15 {
            (total, records) = (0, 0);
            let begin = Instant::now();
            for (_, schema, bytes, payloads) in tables.iter().filter(|table| name.is_empty() || table.0 == name) {
                for (count, payload) in payloads {
                    let mut ends = 0;
                    let walk = schema.walk_block(&bytes[payload.clone()], *count, &mut |end| ends ^= end);
                    assert!(walk.fault.is_none() && ends < usize::MAX);
                    total += payload.len();
                    records += walk.verified;
                }
            }
            best = best.min(begin.elapsed().as_secs_f64());
        }
        let name = if name.is_empty() { "all" } else { &name };
        eprintln!("{name:20} {:6.0} MB/s, {records} records, {total} bytes", total as f64 / best / 1e6);
    }
}
