//! A golden repository in which records were erased, and with a table whose files were chosen: rows and a root that say when they were
//! altered, a root replaced for that reason, and a path that was not given itself (`n` in the rule `path-forms`).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "all of this is a test")]

use crate::containers::container;
use crate::faults::check_all;
use crate::golden::{Steps, copy, frozen, hash_of, make_empty, open, place, remove_empty_folders};
use crate::iceberg::Ice;
use crate::lab::{files_of, restoring, saving};

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use avro_snap::crypto::{Entropy, SeededEntropy, Suite, SystemEntropy};
use avro_snap::ops::create::create;
use avro_snap::ops::erase::{EraseOptions, erase, plan};
use avro_snap::ops::prune::{MaxUnused, PruneOptions, prune};
use avro_snap::ops::restore::restore;
use avro_snap::ops::select::Listing;
use avro_snap::progress::Silent;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::snapshot::entry::FileEntry;
use avro_snap::store::{Clock, ReplaceReason, Repository, SystemClock};

const NAME: &str = "v1-erased";
/// BLAKE3 of what it consists of, as of the other golden repositories.
const FROZEN: &str = "d078459fb3917759273e4967b804a472ebb109fb462285ce90090ebcedf78152";
/// The table names its files in full, so it lies below the folder of this crate, wherever that is.
const SOURCE: &str = "/proc/self/cwd/target/erased";
const SCHEMA: &str =
    r#"{"type":"record","name":"R","fields":[{"name":"id","type":"int"},{"name":"email","type":"string"}]}"#;
const ERASED: &[u8] = b"victim@example.org";

fn record(id: u8, email: &[u8]) -> Vec<u8> {
    [&[id << 1, (email.len() as u8) << 1], email].concat()
}

fn customers(with_victim: bool) -> Vec<Vec<u8>> {
    let of = |id: u8| record(id, if id == 20 { ERASED } else { b"somebody@example.org" });
    (0..40).filter(|id| with_victim || *id != 20).map(of).collect()
}

fn rows(repository: &Repository, root: &SnapshotRoot) -> BTreeMap<String, FileEntry> {
    let (mut rows, mut found) = (root.rows(repository), BTreeMap::new());
    while let Some(row) = rows.next_row().unwrap() {
        found.insert(String::from_utf8(row.path.clone()).unwrap(), row);
    }
    found
}

#[test]
fn the_golden_repository_with_erased_records_is_the_bytes_that_it_was() {
    assert_eq!(hash_of(&[NAME]), FROZEN, "the format is final: golden repositories of version 1 are never made again");
}

#[test]
fn what_was_altered_is_read_as_on_the_day_it_was_made() {
    let before = frozen(&place(NAME));
    let repository = open(&place(NAME), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let listing = Listing::read(&repository);
    assert_eq!((listing.snapshots.len(), listing.unreadable.len()), (2, 0));
    let [people, table] = &listing.snapshots[..] else { panic!() };
    assert!(people.altered.is_some() && people.revision == 1 && table.altered.is_none());
    let altered: Vec<String> =
        rows(&repository, people).into_iter().filter(|(_, row)| row.altered.is_some()).map(|(path, _)| path).collect();
    assert_eq!(altered, ["customers.avro"]);
    let target = tempfile::tempdir().unwrap();
    let report = restore(&repository, people, &restoring(target.path()), &Silent).unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let file = fs::read(target.path().join("customers.avro")).unwrap();
    let found = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
    assert!(customers(false).iter().all(|record| found(record)) && !found(ERASED));
    assert_eq!(
        fs::read(target.path().join("other.avro")).unwrap(),
        container(SCHEMA, "null", [(1, &record(1, b"x")[..])])
    );
    // Of the table only what it consists of was saved, and its folder covers nothing else.
    let forms = table.rules.iter().find(|rule| rule.name == "path-forms").unwrap();
    assert!(forms.value.contains(&b'n'), "{forms:?}");
    let names: Vec<String> = rows(&repository, table).into_keys().collect();
    assert!(
        names.iter().any(|name| name.ends_with("/data/a")) && !names.iter().any(|name| name.ends_with("/stray")),
        "{names:?}"
    );
    let history = repository.log().history().unwrap();
    let reasons: Vec<ReplaceReason> = history.replaced.iter().map(|past| past.reason).collect();
    assert_eq!(reasons, [ReplaceReason::Erased]);
    assert!(check_all(&repository).unwrap().problems.is_empty());
    assert_eq!(frozen(&place(NAME)), before, "reading changed it");
}

#[test]
fn a_later_version_writes_to_it() {
    let own = tempfile::tempdir().unwrap();
    copy(&place(NAME), own.path());
    let repository = open(own.path(), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("customers.avro"), container(SCHEMA, "null", [(39, &customers(false).concat()[..])]))
        .unwrap();
    assert!(create(&repository, saving(source.path()), &Silent).unwrap().snapshot.is_some());
    prune(&repository, &PruneOptions::default().grace(Duration::ZERO), &Silent).unwrap();
    assert!(check_all(&repository).unwrap().problems.is_empty());
}

/// `cargo test --test repository -- --ignored golden_erased::make_erased`
#[test]
#[ignore = "makes the golden repository with erased records again"]
fn make_erased() {
    let (root, source) = (place(NAME), Path::new(SOURCE));
    let _ = fs::remove_dir_all(source);
    let people = source.join("people");
    fs::create_dir_all(&people).unwrap();
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) =
        (Arc::new(Steps((1_772_755_200 * 1_000_000_000).into())), Arc::new(SeededEntropy::new(80)));
    make_empty(&root, Suite::None, &clock, &entropy);
    let repository = open(&root, clock, entropy);
    let blocks: Vec<(u64, Vec<u8>)> = customers(true).chunks(10).map(|block| (10, block.concat())).collect();
    let blocks = blocks.iter().map(|(count, block)| (*count, &block[..]));
    fs::write(people.join("customers.avro"), container(SCHEMA, "null", blocks)).unwrap();
    fs::write(people.join("other.avro"), container(SCHEMA, "null", [(1, &record(1, b"x")[..])])).unwrap();
    let first = create(&repository, saving(&people), &Silent).unwrap().snapshot.unwrap();
    let mut table = Ice::new(&source.join("ice"));
    table.add("a", b"some rows");
    let metadata: PathBuf = table.commit();
    fs::write(source.join("ice/data/stray"), b"no part of the table").unwrap();
    let mut options = saving(source).iceberg([metadata]);
    options.sources.clear();
    create(&repository, options.series("table"), &Silent).unwrap();
    let options = EraseOptions::new("customers.avro").key(["id=20"]);
    let found = plan(&repository, &[first], &options, &Silent).unwrap();
    let report = erase(&repository, &found, &options, &Silent).unwrap();
    assert_eq!((report.records, report.replaced.len()), (1, 1));
    let options = PruneOptions::default().max_unused(MaxUnused::Bytes(0)).repack_small(true).grace(Duration::ZERO);
    prune(&repository, &options, &Silent).unwrap();
    fs::remove_dir_all(source).unwrap();
    remove_empty_folders(&root);
    let _ = fs::remove_file(root.join("reserve"));
    let size: usize = files_of(&root).values().map(Vec::len).sum();
    println!("{size} bytes, {}", hash_of(&[NAME]));
}
