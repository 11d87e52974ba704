//! Parity as its users meet it: a disk whose bytes change, and what the program says to that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::cli;
use crate::noise::noise;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cli::Snap;
use serde_json::Value;

/// All files below a folder of the repository.
fn objects(snap: &Snap, kind: &str) -> Vec<PathBuf> {
    let (mut found, mut todo) = (Vec::new(), vec![snap.path("repository").join(kind)]);
    while let Some(path) = todo.pop() {
        match path.is_dir() {
            true => todo.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path())),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    how(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
}

/// One file of noise, saved in a repository that was made so; gives what the file holds.
fn saved(init: &[&str]) -> (Snap, Vec<u8>) {
    let snap = Snap::bare();
    snap.ok(&[&["init", "--kdf-memory", "8"], init].concat());
    let content = noise(1, 1_200_000);
    snap.write("a/x.bin", &content);
    snap.ok(&["create", "a"]);
    (snap, content)
}

fn summary(snap: &Snap, code: i32, arguments: &[&str]) -> Value {
    snap.ends(code, &[arguments, &["--json"]].concat()).summary()
}

#[test]
fn rot_is_read_over_with_a_warning_and_repair_puts_it_right() {
    let (snap, content) = saved(&["--parity", "5%"]);
    let packs = objects(&snap, "packs");
    assert_eq!(objects(&snap, "parity").len(), packs.len());
    let length = |paths: &[PathBuf]| paths.iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>() as f64;
    let share = length(&objects(&snap, "parity")) / length(&packs);
    assert!((0.05..0.07).contains(&share), "{share}");
    snap.ok(&["check", "--read-data"]);

    let large = packs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    change(large, |bytes| {
        bytes[300_000..304_096].fill(0);
        bytes[700_000] ^= 0x10;
    });
    let ran = snap.ends(0, &["restore", "latest", "--target", "out"]);
    assert!(ran.stderr.contains("1 damaged pack could be read with the help of parity only"), "{}", ran.stderr);
    assert!(ran.stderr.contains("snap repair packs"), "{}", ran.stderr);
    assert!(fs::read(snap.work("out/a/x.bin")).unwrap() == content);
    let dumped = snap.ends(0, &["dump", "latest:a/x.bin"]);
    assert!(dumped.bytes == content && dumped.stderr.contains("with the help of parity"), "{}", dumped.stderr);
    let warned = snap.ends(0, &["restore", "latest", "--target", "again", "--json"]);
    assert!(warned.stderr.contains(r#""message_type":"warning""#), "{}", warned.stderr);

    let checked = snap.ends(22, &["check", "--read-data"]);
    assert!(checked.stderr.contains("its parity brings all of them back"), "{}", checked.stderr);
    assert!(checked.stderr.contains("nothing is lost, and all of it can be read: `snap repair packs`"));
    let found = summary(&snap, 22, &["check", "--read-data"]);
    assert_eq!((&found["problems"], &found["mendable_packs"]), (&1.into(), &1.into()));
    assert_eq!((&found["damaged_snapshots"], &found["lost_paths"]), (&0.into(), &0.into()));

    let planned = summary(&snap, 0, &["repair", "packs", "--dry-run"]);
    let ran = snap.ok(&["repair", "packs"]);
    assert!(ran.stdout.contains("made whole by its parity") && ran.stdout.contains("0 lost"), "{}", ran.stdout);
    assert!(planned["damaged"][0]["mended"] == true && planned["damaged"][0]["lost_chunks"] == 0, "{planned}");
    snap.ok(&["check", "--read-data"]);
    snap.ok(&["prune", "--max-unused", "0", "--grace", "0s"]);
    assert!(!large.exists());
    assert_eq!(objects(&snap, "parity").len(), objects(&snap, "packs").len());
    assert!(snap.ok(&["dump", "latest:a/x.bin"]).bytes == content);
    let found = summary(&snap, 0, &["check", "--read-data"]);
    assert_eq!((&found["problems"], &found["unprotected_packs"]), (&0.into(), &0.into()));
}

#[test]
fn a_pack_that_was_cut_off_within_reach_is_seen_and_mended() {
    let (snap, content) = saved(&["--parity", "5", "--encryption", "none"]);
    let packs = objects(&snap, "packs");
    let large = packs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    change(large, |bytes| bytes.truncate(bytes.len() - 20_000));
    let found = summary(&snap, 22, &["check"]);
    assert_eq!((&found["mendable_packs"], &found["damaged_snapshots"]), (&1.into(), &0.into()), "{found}");
    assert!(snap.ends(0, &["dump", "latest:a/x.bin"]).bytes == content);
    // Neither is what parity brings back recorded as lost.
    let recorded = summary(&snap, 0, &["repair", "snapshots"]);
    assert_eq!(recorded["damaged"].as_array().map(Vec::len), Some(0), "{recorded}");
    // A new snapshot does not rest on it, and all is well after the repair.
    snap.write("a/y", "new");
    snap.ends(0, &["create", "a"]);
    snap.ok(&["repair", "packs"]);
    snap.ok(&["check", "--read-data"]);
    assert!(snap.ok(&["dump", "latest~1:a/x.bin"]).bytes == content);
}

#[test]
fn what_is_left_of_a_pack_that_was_cut_off_without_parity_is_taken_out() {
    let snap = Snap::bare();
    snap.ok(&["init", "--kdf-memory", "8"]);
    snap.write("a/x.bin", noise(1, 3_500_000));
    snap.ok(&["create", "a"]);
    let packs = objects(&snap, "packs");
    let large = packs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    change(large, |bytes| bytes.truncate(bytes.len() - 100_000));
    let repaired = summary(&snap, 22, &["repair", "packs"]);
    let pack = &repaired["damaged"][0];
    assert!(pack["chunks_copied"].as_u64() > Some(5) && pack["mended"] == false, "{repaired}");
    fs::remove_file(large).unwrap();
    let lost = snap.ends(22, &["check", "--json"]).objects("lost");
    assert!(lost.iter().all(|lost| lost["bytes"].as_u64() < Some(3_500_000)), "{lost:?}");
}

#[test]
fn a_repository_gets_parity_later() {
    let (snap, content) = saved(&[]);
    assert!(objects(&snap, "parity").is_empty());
    let stats = |snap: &Snap| snap.ok(&["stats", "--json"]).summary()["repository"]["parity_bytes"].as_u64().unwrap();
    assert_eq!(stats(&snap), 0);
    let packs = objects(&snap, "packs").len();
    assert_eq!(summary(&snap, 0, &["repair", "packs", "--parity", "2.5%", "-n"])["protected"], packs);
    assert!(objects(&snap, "parity").is_empty());
    let ran = snap.ok(&["repair", "packs", "--parity", "2.5%"]);
    assert!(ran.stdout.contains("parity made for"), "{}", ran.stdout);
    assert_eq!(objects(&snap, "parity").len(), packs);
    assert!((30_000..50_000).contains(&stats(&snap)), "{}", stats(&snap));
    assert!(snap.ok(&["stats"]).stdout.contains("parity "));
    // New packs get it, too; what is lost of it is noticed and made again.
    snap.write("a/y.bin", noise(2, 100_000));
    snap.ok(&["create", "a"]);
    assert_eq!(objects(&snap, "parity").len(), objects(&snap, "packs").len());
    let parity = objects(&snap, "parity");
    fs::remove_file(&parity[0]).unwrap();
    let ran = snap.ok(&["check"]);
    assert!(ran.stdout.contains("1 pack without parity"), "{}", ran.stdout);
    change(&parity[1], |bytes| bytes[100] ^= 1);
    let found = summary(&snap, 22, &["check", "--read-data"]);
    assert_eq!((&found["unsound_parity"], &found["unprotected_packs"]), (&1.into(), &1.into()), "{found}");
    assert_eq!(summary(&snap, 0, &["repair", "packs"])["protected"], 2);
    snap.ok(&["check", "--read-data"]);
    // Off: new packs get none, and nobody misses it.
    snap.ok(&["repair", "packs", "--parity", "off"]);
    snap.write("a/z.bin", noise(3, 100_000));
    snap.ok(&["create", "a"]);
    assert!(objects(&snap, "parity").len() < objects(&snap, "packs").len());
    assert!(!snap.ok(&["check", "--read-data"]).stdout.contains("without parity"));
    assert!(snap.ok(&["dump", "latest:a/x.bin"]).bytes == content);
}

#[test]
fn shares_that_make_no_sense_are_refused() {
    let snap = Snap::bare();
    for wrong in ["101%", "five", "-1", "0.05%", ""] {
        snap.ends(2, &["init", "--kdf-memory", "8", &format!("--parity={wrong}")]);
    }
    snap.ok(&["init", "--kdf-memory", "8", "--parity", "off"]);
    snap.ends(2, &["repair", "packs", "--parity", "200%"]);
}
