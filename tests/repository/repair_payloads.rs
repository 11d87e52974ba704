//! Snapshots stored in another way, with blocks kept as they are, from the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;
use crate::lab::{files_of, fixtures};

use std::fs;
use std::path::{Path, PathBuf};

use cli::Snap;
use serde_json::Value;

/// All files of a folder of the fixtures, put below `tables`.
fn put(snap: &Snap, folder: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for file in fs::read_dir(fixtures(folder)).unwrap() {
        let path = file.unwrap().path();
        let name = format!("tables/{}", path.file_name().unwrap().to_str().unwrap());
        snap.write(&name, fs::read(path).unwrap());
        names.push(name);
    }
    names.sort();
    names
}

/// The rows of a snapshot that are Avro files, by path.
fn rows(snap: &Snap, snapshot: &str) -> Vec<(String, Value)> {
    // Where another snapshot is lost, that is told besides.
    let nodes = snap.ends(0, &["ls", snapshot, "--json"]).objects("node");
    let avro = nodes.into_iter().filter(|node| !node["avro"].is_null());
    avro.map(|node| (node["path"].as_str().unwrap().to_owned(), node)).collect()
}

fn restored(snap: &Snap, snapshot: &str, to: &str) -> PathBuf {
    snap.ok(&["restore", snapshot, "--target", to, "--verify"]);
    snap.work(to)
}

fn id_of(summary: &Value) -> String {
    summary["snapshot_id"].as_str().unwrap().to_owned()
}

/// How many chunks of each kind all snapshots need, without those that only manifests are made of.
fn content_chunks(snap: &Snap) -> Vec<(String, u64)> {
    let summary = snap.ok(&["stats", "--json"]).summary();
    let kinds = summary["by_kind"].as_object().unwrap().iter();
    let kinds = kinds.map(|(kind, amount)| (kind.clone(), amount["chunks"].as_u64().unwrap()));
    let counted: Vec<(String, u64)> =
        kinds.filter(|(kind, _)| !["rows", "nodes", "roots"].contains(&kind.as_str())).collect();
    assert!(counted.iter().any(|(kind, _)| kind == "payloads"), "{summary}");
    counted
}

#[test]
fn every_block_is_kept_as_it_is_and_every_file_comes_back() {
    let snap = Snap::new();
    let mut names = put(&snap, "codecs");
    names.extend(put(&snap, "odd"));
    snap.write("tables/note.txt", "hello");
    fs::hard_link(snap.work(&names[0]), snap.work("tables/other-name")).unwrap();
    let created =
        ["create", "tables", "--min-encode-speed", "0", "--tag", "a,b", "--time", "2026-03-01 12:00", "--json"];
    let old = id_of(&snap.run(&created).summary());
    snap.ok(&["tag", &old, "--add", "c"]);

    let (before, listed) = (rows(&snap, &old), snap.ok(&["snapshots", "--json"]).objects("snapshot"));
    let dry = snap.ok(&["repair", "payloads", "latest", "--dry-run", "--json"]).summary();
    let done = snap.ok(&["repair", "payloads", "latest", "--json"]).summary();
    assert_eq!((&dry["files"], &dry["blocks"], &dry["replaced"]), (&done["files"], &done["blocks"], &false.into()));
    assert_eq!((&done["snapshot_id"], &done["replaced"]), (&old.as_str().into(), &true.into()));
    assert!(done["files"].as_u64() > Some(15) && done["blocks"].as_u64() > Some(40), "{done}");

    let after = rows(&snap, &old);
    assert_eq!(before.len(), after.len());
    let mut changed = 0;
    for ((path, mut before), (_, mut after)) in before.into_iter().zip(after) {
        let looked_through = |row: &Value| {
            let number = |field: &str| row["avro"][field].as_u64().unwrap();
            number("blocks_exact") + number("blocks_corrected")
        };
        if before["avro"]["encoder"] != "null" && looked_through(&before) > 0 {
            changed += looked_through(&before);
            assert_eq!((looked_through(&after), &after["avro"]["encoder"]), (0, &"".into()), "{path}");
            assert_eq!(after["avro"]["blocks_raw"], after["avro"]["blocks"], "{path}");
            // All else that is known of the file is as it was.
            for row in [&mut before, &mut after] {
                for field in ["encoder", "blocks_exact", "blocks_corrected", "blocks_raw"] {
                    row["avro"][field] = Value::Null;
                }
            }
        }
        assert_eq!(before, after, "{path}");
    }
    assert_eq!(done["blocks"], changed);

    let all_come_back = |to: &str| {
        let folder = restored(&snap, &old, to);
        for name in names.iter().map(String::as_str).chain(["tables/note.txt", "tables/other-name"]) {
            assert_eq!(fs::read(folder.join(name)).unwrap(), fs::read(snap.work(name)).unwrap(), "{name}");
        }
    };
    all_come_back("replaced");
    assert_eq!(snap.ok(&["snapshots", "--json"]).objects("snapshot"), listed, "it is the very snapshot that it was");
    assert_eq!(snap.ok(&["check", "--read-data", "--json"]).summary()["problems"], 0);
    for _ in 0..2 {
        snap.ok(&["prune", "--grace", "0s", "--max-unused", "0"]);
    }
    all_come_back("pruned");
    assert_eq!(snap.ok(&["check", "--read-data", "--json"]).summary()["problems"], 0);

    let again = snap.ok(&["repair", "payloads", &old]);
    assert!(again.stdout.contains("there is nothing to change"), "{}", again.stdout);
    assert_eq!(snap.ok(&["snapshots", "--json"]).objects("snapshot").len(), 1);

    // It is what `create` makes that keeps payloads from the start: only the manifest is another one. (How many chunks
    // that has depends on the repository's key, as rows are cut by keyed hashes of their paths.)
    let before = content_chunks(&snap);
    snap.ends(0, &["create", "tables", "--avro", "frame", "--force", "--series", "frame"]);
    assert_eq!(content_chunks(&snap), before);
}

#[test]
fn only_blocks_of_one_encoder_and_only_files_that_fit() {
    let snap = Snap::new();
    put(&snap, "codecs");
    let old = id_of(&snap.ok(&["create", "tables", "--json"]).summary());
    let raw = |snapshot: &str| -> Vec<String> {
        let rows = rows(&snap, snapshot).into_iter();
        rows.filter(|(_, row)| row["avro"]["blocks_raw"].as_u64() > Some(0)).map(|(path, _)| path).collect()
    };
    let before = raw(&old);
    let mut before = before;
    let mut made = |arguments: &[&str]| -> Vec<String> {
        let all = [&["repair", "payloads", &old, "--json"], arguments].concat();
        let summary = snap.ok(&all).summary();
        let raw = raw(&old);
        let new: Vec<String> = raw.iter().filter(|path| !before.contains(path)).cloned().collect();
        before = raw;
        assert_eq!(summary["files"].as_u64(), Some(new.len() as u64), "{summary}");
        new
    };
    let two = made(&["--encoder", "snappy", "--encoder", "zlib:L9:M8", "--include", "fastavro-*"]);
    assert_eq!(two, ["tables/fastavro-deflate-level9.avro", "tables/fastavro-snappy.avro"]);
    assert!(made(&["--encoder", "zlib:L9"]).is_empty(), "that is done");
    let snappy = made(&["--encoder", "snappy"]);
    assert!(snappy.len() >= 2 && snappy.iter().all(|path| path.contains("snappy")), "{snappy:?}");
    assert_eq!(snap.ok(&["check", "--read-data", "--json"]).summary()["problems"], 0);
    let latest = restored(&snap, "latest", "out");
    for entry in fs::read_dir(snap.work("tables")).unwrap() {
        let path = entry.unwrap().path();
        let name = Path::new("tables").join(path.file_name().unwrap());
        assert_eq!(fs::read(latest.join(&name)).unwrap(), fs::read(&path).unwrap(), "{name:?}");
    }
}

#[test]
fn a_file_that_is_lost_stays_as_it_is_and_the_others_are_dealt_with() {
    let snap = Snap::new();
    snap.write("tables/a.avro", fs::read(fixtures("nights/2026-03-01/readings.avro")).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(2100));
    snap.ok(&["create", "tables"]);
    let folder = snap.path("repository").join("packs");
    let first: Vec<PathBuf> = files_of(&folder).into_keys().collect();
    assert_eq!(first.len(), 1);
    snap.write("tables/b.avro", fs::read(fixtures("nights/2026-03-01/stations.avro")).unwrap());
    snap.ok(&["create", "tables"]);
    fs::remove_file(folder.join(&first[0])).unwrap();

    let ran = snap.ends(22, &["repair", "payloads", "latest", "--json"]);
    let summary = ran.summary();
    assert_eq!((summary["files"].as_u64(), summary["failed"][0]["path"].as_str()), (Some(1), Some("tables/a.avro")));
    let rows = rows(&snap, &id_of(&summary));
    let raw: Vec<bool> = rows.iter().map(|(_, row)| row["avro"]["blocks_raw"].as_u64() > Some(0)).collect();
    assert_eq!(raw, [false, true]);
    let dumped = snap.ends(0, &["dump", "latest:tables/b.avro"]).bytes;
    assert_eq!(dumped, fs::read(snap.work("tables/b.avro")).unwrap());
}

#[test]
fn what_is_meant_has_to_be_said() {
    let snap = Snap::new();
    snap.write("tables/note.txt", "hello");
    snap.ok(&["create", "tables"]);
    snap.ends(2, &["repair", "payloads"]);
    snap.ends(2, &["repair", "payloads", "latest:tables"]);
    snap.ends(2, &["repair"]);
    assert!(snap.ok(&["repair", "payloads", "--host", "host"]).stdout.contains("nothing to change"));
}
