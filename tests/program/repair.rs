//! What people do on the worst day: objects of each kind are lost, cut off or changed, and whatever is sound comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::cli;
use crate::noise::noise;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use apache_avro::types::Value as Avro;
use cli::{Ran, Snap, finish, text};
use serde_json::Value;

fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut bits = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// The records of a table, some of which shall be lost.
fn longs(count: usize) -> Vec<i64> {
    noise(7, count * 8).chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// A container of longs, a thousand in a block.
fn container(longs: &[i64]) -> Vec<u8> {
    let marker = [9; 16];
    let mut file = b"Obj\x01\x02\x16avro.schema\x0c\"long\"\x00".to_vec();
    file.extend(marker);
    for block in longs.chunks(1000) {
        let mut payload = Vec::new();
        block.iter().for_each(|long| put_long(&mut payload, *long));
        put_long(&mut file, block.len() as i64);
        put_long(&mut file, payload.len() as i64);
        file.extend(payload);
        file.extend(marker);
    }
    file
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(files.insert(path.strip_prefix(folder).unwrap().to_path_buf(), fs::read(&path).unwrap())),
            }
        }
    }
    files
}

/// The objects of a kind, largest first.
fn objects(snap: &Snap, kind: &str) -> Vec<PathBuf> {
    let folder = snap.path("repository").join(kind);
    let mut paths: Vec<_> = files(&folder).into_iter().map(|(path, bytes)| (bytes.len(), folder.join(path))).collect();
    paths.sort_by(|a, b| b.cmp(a));
    paths.into_iter().map(|(_, path)| path).collect()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    overwrite(path, &bytes);
}

/// Saves `a`; gives the snapshot's id.
fn save(snap: &Snap) -> String {
    snap.ok(&["create", "a", "--json"]).summary()["snapshot_id"].as_str().unwrap().to_owned()
}

/// Restores a snapshot and compares it with what is there.
fn comes_back(snap: &Snap, id: &str, expected: &BTreeMap<PathBuf, Vec<u8>>) {
    let target = tempfile::tempdir().unwrap();
    let out = target.path().join("out");
    snap.ok(&["restore", &format!("{id}:a"), "--target", &text(&out)]);
    assert!(files(&out) == *expected, "snapshot {id} is not what it was");
}

/// The id of a snapshot, and what it holds.
type Saved = (String, BTreeMap<PathBuf, Vec<u8>>);

/// Something that is done to an object.
type Harm = fn(&Path);

/// A repository of three snapshots of files of several kinds.
fn three() -> (Snap, Vec<Saved>) {
    let snap = Snap::new();
    let mut saved = Vec::new();
    for night in 1..=3u64 {
        snap.write("a/table.avro", container(&longs(20_000 * night as usize)));
        snap.write(&format!("a/{night}/noise"), noise(night, 300_000));
        snap.write("a/small", format!("night {night}"));
        let id = save(&snap);
        saved.push((id, files(&snap.work("a"))));
    }
    (snap, saved)
}

fn all_come_back(snap: &Snap, saved: &[Saved]) {
    for (id, expected) in saved {
        comes_back(snap, id, expected);
    }
    let summary = snap.ok(&["check", "--read-data", "--json"]).summary();
    assert_eq!(summary["problems"], 0, "{summary}");
}

#[test]
fn repairs_change_nothing_where_nothing_is_wrong() {
    let (snap, saved) = three();
    let before = files(&snap.path("repository"));
    for arguments in [
        &["repair", "index"][..],
        &["repair", "packs"],
        &["repair", "snapshots"],
        &["repair", "snapshots", "--read-data", "--forget", "--rewrite"],
        &["recover"],
        &["recover", "--all"],
    ] {
        snap.ok(arguments);
        snap.ok(&[arguments, &["--json"]].concat());
    }
    assert!(files(&snap.path("repository")) == before);
    all_come_back(&snap, &saved);
    // Made anew although nothing is wrong: that changes the log, and nothing else that matters.
    snap.ok(&["repair", "index", "--all"]);
    all_come_back(&snap, &saved);
}

#[test]
fn index_objects_are_made_anew_from_packs() {
    let harms: [(&str, Harm); 3] = [
        ("deleted", |path| fs::remove_file(path).unwrap()),
        ("changed", |path| flip(path, 100)),
        ("cut off", |path| {
            let bytes = fs::read(path).unwrap();
            overwrite(path, &bytes[..bytes.len() / 2]);
        }),
    ];
    for (what, harm) in harms {
        let (snap, saved) = three();
        objects(&snap, "index").iter().for_each(|path| harm(path));
        // Reading goes on, also without any cache: the packs say what the index objects said.
        for cache in ["--cache-dir=c", "--no-cache"] {
            let out = format!("out{cache}");
            snap.ok(&["restore", "latest:a", "--target", &out, cache]);
            assert!(files(&snap.work(&out)) == saved[2].1, "{what}");
        }
        let ran = snap.ends(22, &["check"]);
        assert!(ran.stderr.contains("snap repair index"), "{what}: {}", ran.stderr);
        assert!(!ran.stderr.contains("has lost"), "{what}: {}", ran.stderr);
        assert_eq!(snap.ends(22, &["check", "--json"]).summary()["damaged_snapshots"], 0, "{what}");
        let planned = snap.ok(&["repair", "index", "--dry-run", "--json"]).summary();
        assert_eq!((planned["lost"].as_array().unwrap().len(), planned["added"].as_array().unwrap().len()), (3, 0));
        let repaired = snap.ok(&["repair", "index", "--json"]).summary();
        assert!(repaired["packs"].as_u64().unwrap() >= 3, "{repaired}");
        let again = snap.ok(&["repair", "index", "--json"]).summary();
        assert_eq!((again["packs"].as_u64(), again["superseded"].as_u64()), (Some(0), Some(0)), "{what}");
        all_come_back(&snap, &saved);
        // A root, and rows that are not as young as they were, in one chunk or a few: rows are cut by keyed hashes.
        assert!(snap.ok(&["create", "a", "--force", "--json"]).summary()["chunks_new"].as_u64() <= Some(8), "{what}");
        all_come_back(&snap, &saved);
    }
}

/// A repository with one file, the pack with its data, and what was saved.
fn one(name: &str, content: Vec<u8>) -> (Snap, PathBuf, String) {
    let snap = Snap::new();
    snap.write(&format!("a/{name}"), content);
    snap.write("a/other", "is sound");
    let id = save(&snap);
    let pack = objects(&snap, "packs").remove(0);
    (snap, pack, id)
}

fn ranges(value: &Value) -> Vec<(u64, u64)> {
    let pair = |range: &Value| (range[0].as_u64().unwrap(), range[1].as_u64().unwrap());
    value.as_array().unwrap().iter().map(pair).collect()
}

fn in_ranges(ranges: &[(u64, u64)], number: u64) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
}

/// What `check` says is lost.
fn lost(ran: &Ran) -> Vec<Value> {
    ran.objects("lost")
}

#[test]
fn records_that_are_lost_are_named_and_the_others_come_back_as_a_sound_file() {
    let records = longs(500_000);
    let file = container(&records);
    let (snap, pack, id) = one("table.avro", file.clone());
    flip(&pack, 2_000_000);
    let ran = snap.ends(22, &["check", "--read-data", "--json"]);
    let told = lost(&ran);
    assert_eq!(told.len(), 1, "{}", ran.stdout);
    let told = &told[0];
    assert_eq!((told["path"].as_str(), told["snapshot_id"].as_str()), (Some("a/table.avro"), Some(id.as_str())));
    let missing = ranges(&told["record_ranges"]);
    let count: u64 = missing.iter().map(|(first, last)| last - first + 1).sum();
    assert_eq!(told["records"], count);
    assert!((10_000..300_000).contains(&count), "{told}");
    let ran = snap.ends(22, &["check", "--read-data"]);
    assert!(ran.stderr.contains("has lost of a/table.avro") && ran.stderr.contains("records"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--salvage"), "{}", ran.stderr);

    let ran = snap.ends(21, &["restore", "latest:a", "--target", "out"]);
    assert!(ran.stderr.contains("--salvage"), "{}", ran.stderr);
    assert!(!snap.work("out/table.avro").exists() && snap.work("out/other").exists());
    let ran = snap.ends(21, &["restore", "latest:a", "--target", "out", "--salvage", "--delete", "--json"]);
    assert_eq!(ran.summary()["files_salvaged"], 1, "{}", ran.stdout);
    let report: Value = serde_json::from_slice(&fs::read(snap.work("out/table.avro.salvage.json")).unwrap()).unwrap();
    assert_eq!(ranges(&report["missing_record_ranges"]), missing);
    assert_eq!((report["is_original"].as_bool(), report["missing_records"].as_u64()), (Some(false), Some(count)));
    assert_eq!(report["original_records"], records.len());
    let saved = fs::read(snap.work("out/table.avro")).unwrap();
    assert_eq!(report["written_size"], saved.len());
    let read: Vec<Avro> = apache_avro::Reader::new(&saved[..]).unwrap().map(Result::unwrap).collect();
    let expected = (0..).zip(&records).filter(|(number, _)| !in_ranges(&missing, *number));
    assert!(read == expected.map(|(_, long)| Avro::Long(*long)).collect::<Vec<_>>());

    // What is recorded as lost is stored again when the same data comes up, and heals the snapshot that lost it.
    let before = files(&snap.path("repository"));
    let ran = snap.ends(22, &["repair", "snapshots", "--read-data", "--dry-run", "--json"]);
    assert_eq!(ran.summary()["recorded"].as_array().unwrap().len(), 1, "{}", ran.stdout);
    assert!(files(&snap.path("repository")) == before);
    snap.ends(22, &["repair", "snapshots", "--read-data"]);
    let ran = snap.ends(22, &["check", "--json"]);
    assert_eq!(ranges(&lost(&ran)[0]["record_ranges"]), missing, "known without reading now");
    let again = save(&snap);
    let expected = files(&snap.work("a"));
    comes_back(&snap, &again, &expected);
    comes_back(&snap, &id, &expected);
    snap.ok(&["check", "--read-data"]);
    snap.ok(&["repair", "snapshots"]);
    snap.ok(&["prune"]);
    comes_back(&snap, &id, &expected);
}

#[test]
fn compressed_blocks_are_salvaged_too() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nights/2026-03-01/orders.avro");
    let (snap, pack, _) = one("orders.avro", fs::read(fixture).unwrap());
    // The records of so small a file lie in one frame: the header is left, and that is a file without records.
    let all: Vec<Avro> = apache_avro::Reader::new(&fs::read(snap.work("a/orders.avro")).unwrap()[..])
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for at in (200..fs::metadata(&pack).unwrap().len() as usize).step_by(1009) {
        let bytes = fs::read(&pack).unwrap();
        flip(&pack, at);
        let ran = snap.run(&["restore", "latest:a", "--target", "out", "--salvage", "--json"]);
        overwrite(&pack, &bytes);
        if ran.code != 21 || ran.summary()["files_salvaged"] != 1 {
            continue;
        }
        let saved = fs::read(snap.work("out/orders.avro")).unwrap();
        let read: Vec<Avro> = apache_avro::Reader::new(&saved[..]).unwrap().map(Result::unwrap).collect();
        let salvaged = &ran.summary()["salvaged"][0];
        assert_eq!(salvaged["written_records"], read.len());
        assert_eq!(read.len() as u64 + salvaged["missing_records"].as_u64().unwrap(), all.len() as u64);
        return;
    }
    panic!("no change of the pack harmed the records");
}

#[test]
fn other_files_are_salvaged_with_zeros() {
    let content = noise(3, 5_000_000);
    let (snap, pack, _) = one("x.bin", content.clone());
    flip(&pack, 3_000_000);
    snap.write("a/x.bin.salvage.json", "somebody's own");
    snap.ends(0, &["create", "a"]);
    let ran = snap.ends(21, &["restore", "latest:a", "--target", "out", "--salvage", "--json"]);
    assert_eq!(fs::read_to_string(snap.work("out/x.bin.salvage.json")).unwrap(), "somebody's own");
    let report: Value = serde_json::from_slice(&fs::read(snap.work("out/x.bin.salvage.1.json")).unwrap()).unwrap();
    let zeroed = ranges(&report["zero_filled_ranges"]);
    let saved = fs::read(snap.work("out/x.bin")).unwrap();
    assert_eq!(saved.len(), content.len());
    let differs = |(at, (a, b)): &(u64, (&u8, &u8))| if in_ranges(&zeroed, *at) { **a != 0 } else { a != b };
    assert!(!(0..).zip(saved.iter().zip(&content)).any(|pair| differs(&pair)), "{}", ran.stdout);
    let count: u64 = zeroed.iter().map(|(first, last)| last - first + 1).sum();
    assert!(count > 0 && count < 3_000_000 && report["zero_filled_bytes"] == count);
}

#[test]
fn what_is_sound_is_taken_out_of_damaged_packs() {
    let (snap, pack, id) = one("x.bin", noise(3, 5_000_000));
    let expected = files(&snap.work("a"));
    flip(&pack, 3_000_000);
    let planned = snap.ends(22, &["repair", "packs", "--dry-run", "--json"]).summary();
    let repaired = snap.ends(22, &["repair", "packs", "--json"]).summary();
    assert_eq!(planned["damaged"], repaired["damaged"]);
    let damaged = &repaired["damaged"][0];
    assert_eq!(damaged["lost_frames"], 1, "{repaired}");
    assert!(damaged["chunks_copied"].as_u64() > Some(20) && damaged["lost_chunks"].as_u64() > Some(1), "{repaired}");
    assert_eq!(snap.ok(&["repair", "packs", "--json"]).summary()["damaged"].as_array().unwrap().len(), 0);
    // Nothing rests on the damaged pack any more, whatever becomes of it.
    fs::remove_file(&pack).unwrap();
    let ran = snap.ends(22, &["check", "--read-data", "--json"]);
    let told = lost(&ran);
    assert_eq!((told.len(), told[0]["path"].as_str()), (1, Some("a/x.bin")), "{}", ran.stdout);
    let (bytes, size) = (told[0]["bytes"].as_u64().unwrap(), 5_000_000);
    assert!(bytes > 100_000 && bytes < size / 2, "{told:?}");
    let again = save(&snap);
    all_come_back(&snap, &[(id.clone(), expected.clone()), (again.clone(), expected.clone())]);
    snap.ok(&["prune", "--max-unused", "0", "--grace", "0s"]);
    all_come_back(&snap, &[(id, expected.clone()), (again, expected)]);
}

#[test]
fn a_pack_that_is_gone_is_recorded_and_comes_back_with_its_data() {
    for (number, harm) in ["gone", "cut off", "trailer"].into_iter().enumerate() {
        let snap = Snap::new();
        // More than a pack holds: with one thread, the largest one has nothing but data.
        snap.write("a/large", noise(5, 20_000_000));
        snap.ok(&["create", "a", "--threads", "1"]);
        let mut saved = vec![("latest".into(), files(&snap.work("a")))];
        saved[0].0 = save(&snap);
        snap.write("a/more", noise(6, 100_000));
        saved.push((save(&snap), files(&snap.work("a"))));
        let pack = objects(&snap, "packs").remove(0);
        let bytes = fs::read(&pack).unwrap();
        match number {
            0 => fs::remove_file(&pack).unwrap(),
            1 => overwrite(&pack, &bytes[..bytes.len() / 3]),
            _ => flip(&pack, bytes.len() - 30),
        }
        snap.ends(22, &["check", "--read-data"]);
        // A trailer is needed by nobody as long as there is an index.
        let (lost, expected) = if number == 2 { (false, 0) } else { (true, 22) };
        let ran = snap.ends(expected, &["repair", "snapshots", "--read-data", "--json"]);
        assert_eq!(ran.summary()["recorded"].as_array().unwrap().is_empty(), !lost, "{harm}: {}", ran.stdout);
        snap.run(&["repair", "packs"]);
        saved.push((save(&snap), files(&snap.work("a"))));
        all_come_back(&snap, &saved);
    }
}

#[test]
fn snapshots_are_made_once_more_without_what_is_lost() {
    let (snap, pack, id) = one("x.bin", noise(3, 5_000_000));
    fs::hard_link(snap.work("a/x.bin"), snap.work("a/y.link")).unwrap();
    snap.write("a/z", "also sound");
    let second = save(&snap);
    flip(&pack, 3_000_000);
    let ran = snap.ends(22, &["repair", "snapshots", "--read-data", "--rewrite", "--json"]).summary();
    let rewritten: Vec<&str> =
        ran["damaged"].as_array().unwrap().iter().map(|damaged| damaged["rewritten"].as_str().unwrap()).collect();
    assert_eq!(rewritten.len(), 2, "{ran}");
    snap.ok(&["restore", &format!("{}:a", rewritten[1]), "--target", "out"]);
    assert_eq!(files(&snap.work("out")).keys().map(|path| text(path)).collect::<Vec<_>>(), ["other", "z"]);
    let listed = snap.ok(&["snapshots", "--json"]);
    assert!(listed.stdout.contains("rewritten") && listed.stdout.contains(&id) && listed.stdout.contains(&second));
    // Of those that are damaged nothing was dropped: something of them is left.
    let ran = snap.ends(22, &["repair", "snapshots", "--forget", "--json"]).summary();
    assert!(ran["damaged"].as_array().unwrap().iter().all(|damaged| damaged["forgotten"] == false), "{ran}");
}

#[test]
fn snapshots_of_which_nothing_is_left_are_dropped_if_so_wished() {
    let (snap, saved) = three();
    let metadata: Vec<PathBuf> = objects(&snap, "packs");
    // All packs of the first snapshot are as old as it.
    let newest = metadata.iter().max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap()).unwrap().clone();
    metadata.iter().filter(|path| **path != newest).for_each(|path| fs::remove_file(path).unwrap());
    let ran = snap.ends(22, &["check", "--json"]);
    assert!(lost(&ran).iter().any(|lost| lost["what"] == "snapshot"), "{}", ran.stdout);
    // Two of three packs: as if a disk were away, so it has to be meant.
    let meant = ["repair", "snapshots", "--forget", "--accept-missing-packs", "--json"];
    let planned = snap.ends(22, &[&meant[..], &["--dry-run"]].concat()).summary();
    let dropped = snap.ends(22, &meant).summary();
    let forgotten = |summary: &Value| -> Vec<bool> {
        summary["damaged"].as_array().unwrap().iter().map(|damaged| damaged["forgotten"] == true).collect()
    };
    assert_eq!(forgotten(&planned), forgotten(&dropped));
    assert!(forgotten(&dropped).iter().filter(|forgotten| **forgotten).count() >= 2, "{dropped}");
    let listed = snap.run(&["snapshots", "--json"]).stdout;
    assert!(!listed.contains(&saved[0].0), "{listed}");
    let again = save(&snap);
    comes_back(&snap, &again, &saved[2].1);
}

#[test]
fn a_lost_log_is_made_again_from_packs() {
    for also in ["", "index", "home/.cache"] {
        let (snap, saved) = three();
        snap.ok(&["tag", "--add", "changed-later", "latest"]);
        for path in objects(&snap, "log") {
            fs::remove_file(path).unwrap();
        }
        match also {
            "index" => objects(&snap, "index").iter().for_each(|path| fs::remove_file(path).unwrap()),
            "" => {}
            folder => fs::remove_dir_all(snap.path(folder)).unwrap(),
        }
        let ran = snap.ends(22, &["snapshots"]);
        assert!(ran.stderr.contains("snap recover"), "{}", ran.stderr);
        let ran = snap.ends(22, &["recover"]);
        assert_eq!(ran.stdout.matches("whole").count(), 3, "{}", ran.stdout);
        snap.ends(22, &["snapshots"]);
        let ran = snap.ends(0, &["recover", "--all", "--json"]);
        assert_eq!(ran.summary()["brought_back"], 3, "{} {}", ran.stdout, ran.stderr);
        all_come_back(&snap, &saved);
        snap.ok(&["key", "list"]);
        // It is a repository like any other again.
        save(&snap);
        snap.ok(&["prune"]);
        all_come_back(&snap, &saved);
    }
}

#[test]
fn one_snapshot_alone_is_brought_back() {
    let (snap, saved) = three();
    objects(&snap, "log").iter().for_each(|path| fs::remove_file(path).unwrap());
    snap.ends(1, &["recover", "0123456789"]);
    snap.ends(0, &["recover", &saved[1].0[..10]]);
    all_come_back(&snap, &saved[1..2]);
    assert_eq!(snap.ok(&["recover", "--json"]).summary()["candidates"], 2);
    snap.ok(&["recover", "--all"]);
    all_come_back(&snap, &saved);
}

#[test]
fn a_gap_in_the_log_is_noticed_and_what_stands_behind_it_is_kept() {
    for gap in [1usize, 2, 3] {
        let (snap, saved) = three();
        let id = &saved[2].0;
        snap.ok(&["tag", "--add", "kept", id]);
        snap.ok(&["tag", "--add", "kept-too", id]);
        let mut log = objects(&snap, "log");
        log.sort();
        // Entries: Init, three snapshots, two tags.
        assert_eq!(log.len(), 6);
        log[6 - 1 - gap..5].iter().for_each(|path| fs::remove_file(path).unwrap());
        for place in ["home", "another-home"] {
            let mut command = snap.command(&["snapshots"]);
            let ran = finish(command.env("HOME", snap.path(place)));
            assert_eq!(ran.code, 22, "{gap} {place}: {} {}", ran.stdout, ran.stderr);
            assert!(ran.stderr.contains("snap recover"), "{}", ran.stderr);
        }
        snap.ends(22, &["create", "a"]);
        snap.ends(22, &["recover"]);
        snap.ends(0, &["recover", "--all"]);
        all_come_back(&snap, &saved);
        assert!(snap.ok(&["snapshots", "--json"]).stdout.contains("kept-too"), "what stood behind the gap");
        save(&snap);
    }
    // An entry that was changed breaks the log as well.
    let (snap, saved) = three();
    let mut log = objects(&snap, "log");
    log.sort();
    flip(&log[2], 90);
    // This machine has read it before it was changed. Others cannot, and a check reads it again.
    let ran = finish(snap.command(&["snapshots"]).env("HOME", snap.path("another-home")));
    assert_eq!(ran.code, 22, "{} {}", ran.stdout, ran.stderr);
    snap.ends(22, &["check"]);
    snap.ends(0, &["recover", "--all"]);
    all_come_back(&snap, &saved);
}

#[test]
fn only_what_was_not_verified_lately_is_read() {
    let (snap, _) = three();
    let read = |age: &str| {
        let summary = snap.ok(&["check", "--max-age", age, "--json"]).summary();
        (summary["packs_read"].as_u64().unwrap(), summary["packs_verified_before"].as_u64().unwrap())
    };
    let (all, none) = read("30d");
    assert!(all >= 3 && none == 0);
    assert_eq!(read("30d"), (0, all));
    assert_eq!(read("0h").0, all, "nothing is young enough");
    snap.write("a/new", noise(99, 100_000));
    save(&snap);
    let (new, old) = read("30d");
    assert!(new > 0 && old == all);
    // What was found damaged is read again until it is put right; what was lost of the ledger is read again once.
    let pack = objects(&snap, "packs").remove(0);
    flip(&pack, 3000);
    snap.ok(&["check", "--max-age", "30d"]);
    snap.ends(22, &["check", "--read-data"]);
    snap.ends(22, &["check", "--max-age", "30d"]);
    flip(&pack, 3000);
    // It, and what is a difference to something in it.
    assert!((1..all).contains(&read("30d").0));
    let ledger = files(&snap.path("home/.local/state")).into_keys().find(|path| path.ends_with("verified")).unwrap();
    let ledger = snap.path("home/.local/state").join(ledger);
    flip(&ledger, 20);
    assert_eq!(read("30d"), (all + new, 0));
    fs::remove_file(&ledger).unwrap();
    assert_eq!(read("30d"), (all + new, 0));
    snap.ends(2, &["check", "--max-age", "30"]);
}

#[test]
fn key_slots_that_the_log_does_not_name_open_nothing() {
    let (snap, saved) = three();
    let other = snap.password_file("other", "battery staple");
    let key = |arguments: &[&str]| snap.ok(arguments);
    let before = objects(&snap, "keys");
    let new = snap.password_file("new", "battery staple");
    key(&["key", "add", "--new-password-file", &new, "--kdf-memory", "8"]);
    let slot = objects(&snap, "keys").into_iter().find(|path| !before.contains(path)).unwrap();
    let bytes = fs::read(&slot).unwrap();
    let with_other = ["snapshots", "--password-file", &other];
    key(&with_other);
    // Removed in the log, but whoever did it died before the slot was deleted.
    let id = slot.file_name().unwrap().to_str().unwrap().to_owned();
    key(&["key", "remove", &id]);
    assert!(!slot.exists());
    fs::write(&slot, &bytes).unwrap();
    snap.ends(12, &with_other);
    all_come_back(&snap, &saved);
    // Written, but whoever did it died before the log named it.
    let stranger = slot.with_file_name("00112233aabbccdd");
    fs::rename(&slot, &stranger).unwrap();
    snap.ends(12, &with_other);
    all_come_back(&snap, &saved);
}

#[test]
fn packs_that_are_away_all_at_once_are_not_recorded_as_lost() {
    let snap = Snap::quick();
    snap.ok(&["init", "--encryption", "none"]);
    for night in 0..5 {
        snap.write("a/file", noise(night, 40_000));
        save(&snap);
    }
    let packs = snap.path("repository/packs");
    let log = || files(&snap.path("repository/log")).len();
    let (entries, all) = (log(), objects(&snap, "packs"));
    assert!(all.len() >= 5, "{}", all.len());
    let away = snap.path("away");
    let is_refused = |what: &str| {
        for verb in [
            &["repair", "snapshots"][..],
            &["repair", "snapshots", "--read-data", "--forget"],
            &["repair", "snapshots", "--dry-run"],
            &["repair", "packs"],
        ] {
            let ran = snap.ends(1, verb);
            assert!(ran.stderr.contains("packs are missing at"), "{what}, {verb:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("--accept-missing-packs"), "{what}, {verb:?}: {}", ran.stderr);
        }
        let ran = snap.ends(22, &["check"]);
        assert!(ran.stderr.contains("bring it back and check again"), "{what}: {}", ran.stderr);
        assert_eq!(log(), entries, "{what}");
    };
    // The disk is not mounted, and what it is mounted on is empty; or that is not there, either.
    fs::rename(&packs, &away).unwrap();
    is_refused("no folder");
    fs::create_dir(&packs).unwrap();
    is_refused("an empty folder");
    fs::remove_dir_all(&packs).unwrap();
    fs::rename(&away, &packs).unwrap();
    assert_eq!(snap.ok(&["repair", "snapshots"]).stdout.lines().count(), 1);
    snap.ok(&["check", "--read-data"]);
    // More than half of them.
    fs::create_dir(&away).unwrap();
    let gone: Vec<_> = all.iter().take(all.len() / 2 + 1).collect();
    let aside = |pack: &Path| away.join(pack.file_name().unwrap());
    gone.iter().for_each(|pack| fs::rename(pack, aside(pack)).unwrap());
    is_refused("more than half");
    // One that is missing beside others is lost, until it is back.
    gone.iter().skip(1).for_each(|pack| fs::rename(aside(pack), pack).unwrap());
    let ran = snap.ends(22, &["repair", "snapshots"]);
    assert!(ran.stdout.contains("recorded as lost"), "{}", ran.stdout);
    fs::rename(aside(gone[0]), gone[0]).unwrap();
    snap.ok(&["repair", "index"]);
    snap.ok(&["check", "--read-data"]);
    // They are gone for good, and somebody says so.
    gone.iter().for_each(|pack| fs::remove_file(pack).unwrap());
    let ran = snap.ends(22, &["repair", "snapshots", "--accept-missing-packs", "--forget"]);
    assert_eq!(ran.stdout.matches("recorded as lost").count(), gone.len(), "{}", ran.stdout);
    snap.ok(&["prune"]);
}
