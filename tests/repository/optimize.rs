//! Snapshots stored again with the encoders of today, from the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;
use crate::lab::{files_of, fixtures};

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use cli::Snap;
use serde_json::Value;

/// A night of tables of all codecs: each night holds the files of the one before, too, and one is under a second name.
fn put(snap: &Snap, night: usize) {
    let mut files = Vec::new();
    for folder in ["codecs", "odd"] {
        files.extend(fs::read_dir(fixtures(folder)).unwrap().map(|file| file.unwrap().path()));
    }
    files.sort();
    for (number, path) in files.iter().enumerate().filter(|(number, _)| night > 0 || number % 2 == 0) {
        let name = format!("tables/{number:02}-{}", path.file_name().unwrap().to_str().unwrap());
        if !snap.work(&name).exists() {
            snap.write(&name, fs::read(path).unwrap());
        }
    }
    for date in ["2026-03-01", "2026-03-02", "2026-03-03"].iter().take(night + 1).skip(night) {
        for name in ["readings.avro", "stations.avro"] {
            let bytes = fs::read(fixtures("nights").join(date).join(name)).unwrap();
            snap.write(&format!("tables/{name}"), bytes);
        }
    }
    snap.write("tables/note.txt", format!("night {night}"));
}

fn size(snap: &Snap) -> u64 {
    files_of(&snap.path("repository").join("packs")).values().map(|bytes| bytes.len() as u64).sum()
}

fn pruned_size(snap: &Snap) -> u64 {
    for _ in 0..2 {
        snap.ok(&["prune", "--grace", "0s", "--max-unused", "0"]);
    }
    size(snap)
}

fn create(snap: &Snap, arguments: &[&str]) -> String {
    // Some of the files are damaged, which is no failure.
    let all = [&["create", "tables", "--series", "s", "--json"], arguments].concat();
    let ran = snap.run(&all);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.summary()["snapshot_id"].as_str().unwrap().to_owned()
}

/// All files of a restored snapshot.
fn restored(snap: &Snap, snapshot: &str, to: &str) -> BTreeMap<String, Vec<u8>> {
    snap.ok(&["restore", snapshot, "--target", to, "--verify"]);
    let folder: PathBuf = snap.work(to).join("tables");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

fn listed(snap: &Snap) -> Vec<Value> {
    snap.ok(&["snapshots", "--json"]).objects("snapshot")
}

fn rows(snap: &Snap, snapshot: &str) -> BTreeMap<String, Value> {
    let nodes = snap.ends(0, &["ls", snapshot, "--json"]).objects("node").into_iter();
    nodes.map(|node| (node["path"].as_str().unwrap().to_owned(), node)).collect()
}

fn raw(rows: &BTreeMap<String, Value>) -> Vec<&str> {
    let raw = rows.iter().filter(|(_, row)| row["avro"]["blocks_raw"].as_u64() > Some(0));
    raw.map(|(path, _)| path.as_str()).collect()
}

fn number(summary: &Value, key: &str) -> u64 {
    summary[key].as_u64().unwrap_or_else(|| panic!("{key}: {summary}"))
}

/// A repository with two nights whose blocks are kept whole, and one with the same nights as they are saved today.
fn both(how: &[&str]) -> (Snap, Vec<String>, Snap, Vec<String>) {
    let (old, today) = (Snap::new(), Snap::new());
    let (mut olds, mut todays) = (Vec::new(), Vec::new());
    for night in 0..2 {
        put(&old, night);
        put(&today, night);
        olds.push(create(&old, how));
        todays.push(create(&today, &[]));
    }
    (old, olds, today, todays)
}

#[test]
fn old_snapshots_become_what_they_would_be_today() {
    let (snap, ids, today, todays) = both(&["--avro", "frame"]);
    let before: Vec<_> = ids.iter().enumerate().map(|(n, id)| restored(&snap, id, &format!("before-{n}"))).collect();
    let (snapshots, whole) = (listed(&snap), size(&snap));

    let dry = snap.ok(&["optimize", "--dry-run", "--json"]).summary();
    assert!(number(&dry, "files") > 15 && dry["replaced"].as_array().unwrap().is_empty(), "{dry}");
    assert_eq!((size(&snap), number(&dry, "blocks"), number(&dry, "bytes_added")), (whole, 0, 0));

    let done = snap.ok(&["optimize", "--json"]).summary();
    assert_eq!(done["replaced"].as_array().unwrap().len(), 2, "{done}");
    for key in ["snapshots", "files", "files_whole", "bytes_whole"] {
        assert_eq!(done[key], dry[key], "{key}: {done}");
    }
    assert!(number(&done, "bytes") <= number(&dry, "bytes") && number(&done, "blocks") > 40, "{done} {dry}");

    assert_eq!(listed(&snap), snapshots, "they are the very snapshots that they were");
    for (n, (id, other)) in ids.iter().zip(&todays).enumerate() {
        assert_eq!(restored(&snap, id, &format!("after-{n}")), before[n]);
        let (rows, others) = (rows(&snap, id), rows(&today, other));
        assert_eq!(raw(&rows), raw(&others), "night {n}");
        // What has no encoder is left as it was, with what was known of it.
        for (path, row) in rows.iter().filter(|(_, row)| row["avro"]["blocks_raw"] != row["avro"]["blocks"]) {
            assert_eq!(row["avro"], others[path]["avro"], "{path}");
        }
    }
    let (mine, others) = (pruned_size(&snap), pruned_size(&today));
    assert!(mine.abs_diff(others) * 100 <= others * 3, "{mine} bytes, and {others} if saved today");
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(restored(&snap, id, &format!("pruned-{n}")), before[n]);
    }
    assert_eq!(snap.ok(&["check", "--read-data", "--json"]).summary()["problems"], 0);

    let again = snap.ok(&["optimize", "--json"]).summary();
    assert!(again["replaced"].as_array().unwrap().is_empty() && number(&again, "files") == 0, "{again}");
    assert_eq!(size(&snap), mine);
    assert!(snap.ok(&["optimize"]).stdout.contains("nothing to change"));
}

#[test]
fn encoders_that_are_too_slow_are_left_alone_and_then_not() {
    let (snap, ids, today, todays) = both(&["--min-encode-speed", "1000000"]);
    let all = raw(&rows(&snap, &ids[1])).len();
    let slow = snap.ok(&["optimize", "--min-encode-speed", "1000000", "--json"]).summary();
    assert_eq!(number(&slow, "files"), 0, "{slow}");
    snap.ok(&["optimize", "--include", "*snappy*", "--json"]);
    let some = rows(&snap, &ids[1]);
    let some = raw(&some);
    assert!(some.len() < all && !some.iter().any(|path| path.contains("fastavro-snappy")), "{some:?}");
    assert!(some.iter().any(|path| path.contains("deflate")), "{some:?}");
    snap.ok(&["optimize"]);
    assert_eq!(raw(&rows(&snap, &ids[1])), raw(&rows(&today, &todays[1])));
}

#[test]
fn work_is_committed_in_steps_and_only_snapshots_that_are_meant_are_changed() {
    let snap = Snap::new();
    put(&snap, 1);
    let first = create(&snap, &["--avro", "frame"]);
    put(&snap, 2);
    let second = create(&snap, &["--avro", "frame"]);
    let before = restored(&snap, &second, "before");
    let entries = || fs::read_dir(snap.path("repository").join("log")).unwrap().count();
    let had = entries();
    let done = snap.ok(&["optimize", &second, "--commit-every", "1", "--json"]).summary();
    assert_eq!(done["replaced"], Value::from(vec![second.clone()]));
    assert_eq!((entries() - had) as u64, number(&done, "files"), "an entry for each file");
    assert!(raw(&rows(&snap, &first)).len() > raw(&rows(&snap, &second)).len());
    assert_eq!(restored(&snap, &second, "after"), before);

    // What was stored for the second is used for the first: only the tables of that night are left to do.
    let rest = snap.ok(&["optimize", "--json"]).summary();
    assert_eq!(rest["replaced"], Value::from(vec![first.clone()]), "{rest}");
    assert_eq!(number(&rest, "files"), 2, "{rest}");
}

#[test]
fn corrections_give_way_to_an_encoder_and_what_is_lost_stays() {
    let snap = Snap::new();
    snap.write("tables/a.avro", fs::read(fixtures("nights/2026-03-01/readings.avro")).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(2100));
    // Deflate without an encoder that is quick enough is stored with corrections.
    let first = create(&snap, &["--min-encode-speed", "1000000"]);
    let folder = snap.path("repository").join("packs");
    let packs = files_of(&folder);
    let corrected = |id: &str| rows(&snap, id)["tables/a.avro"]["avro"]["blocks_corrected"].as_u64().unwrap();
    assert!(corrected(&first) > 0);
    snap.write("tables/b.avro", fs::read(fixtures("nights/2026-03-01/stations.avro")).unwrap());
    let second = create(&snap, &["--min-encode-speed", "1000000"]);
    packs.keys().for_each(|path| fs::remove_file(folder.join(path)).unwrap());

    let ran = snap.ends(22, &["optimize", &second, "--json"]);
    let summary = ran.summary();
    let failed = summary["failed"][0]["path"].as_str().unwrap();
    assert!(failed.ends_with(":tables/a.avro") && second.starts_with(&failed[..8]), "{summary}");
    assert_eq!(number(&summary, "files"), 1, "{summary}");
    assert!(!raw(&rows(&snap, &second)).contains(&"tables/b.avro"));

    packs.iter().for_each(|(path, bytes)| fs::write(folder.join(path), bytes).unwrap());
    assert_eq!(number(&snap.ok(&["optimize", "--json"]).summary(), "files"), 1);
    assert_eq!(corrected(&first), 0);
    assert!(raw(&rows(&snap, &first)).is_empty());
}

#[test]
fn a_path_in_a_snapshot_is_refused() {
    let snap = Snap::new();
    snap.write("tables/note.txt", "hello");
    snap.ok(&["create", "tables"]);
    snap.ends(2, &["optimize", "latest:tables"]);
    snap.ends(2, &["optimize", "--commit-every", "x"]);
    assert!(snap.ok(&["optimize"]).stdout.contains("nothing to change"));
}
