//! `snap key rotate` and what comes after it, as its users meet them.

#![allow(clippy::unwrap_used, clippy::panic)]

use crate::cli;

use std::fs;
use std::path::{Path, PathBuf};

use cli::{PASSWORD, Snap, finish, text};

/// The epochs that the headers of all files below a folder of the repository say, lowest and highest.
fn epochs(folder: &Path, at: usize) -> (u32, u32) {
    let (mut epochs, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let bytes = fs::read(path).unwrap();
                    epochs.push(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
                }
            }
        }
    }
    (*epochs.iter().min().unwrap(), *epochs.iter().max().unwrap())
}

fn packs_and_indexes(snap: &Snap) -> [(u32, u32); 2] {
    [epochs(&snap.path("repository/packs"), 12), epochs(&snap.path("repository/index"), 8)]
}

fn restores(snap: &Snap, snapshot: &str, content: &[u8]) {
    let target = text(&snap.path(&format!("out-{snapshot}")));
    snap.ok(&["restore", snapshot, "--target", &target]);
    assert_eq!(fs::read(Path::new(&target).join("data/file")).unwrap(), content);
    fs::remove_dir_all(target).unwrap();
}

/// So much that it is not alike from one to the next.
fn content(seed: u32) -> Vec<u8> {
    (0..60_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(seed).to_le_bytes()).collect()
}

#[test]
fn a_rotation_keeps_the_password_and_all_that_is_stored() {
    let snap = Snap::new();
    snap.write("data/file", content(1));
    snap.ok(&["create", "data"]);
    let (old, new) = (text(&snap.path("old-export")), text(&snap.path("new-export")));
    snap.ok(&["key", "export", "-o", &old]);
    let rotated = snap.ok(&["key", "rotate", "--kdf-memory", "8"]);
    assert!(rotated.stdout.starts_with("rotated the keys (rotation 1)"), "{}", rotated.stdout);
    assert!(rotated.stdout.contains("make a new one with `snap key export`"), "{}", rotated.stdout);
    assert_eq!(snap.ok(&["key", "list", "--json"]).objects("key").len(), 1);
    assert_eq!(fs::read_dir(snap.path("repository/keys")).unwrap().count(), 1);

    snap.write("data/file", content(2));
    snap.ok(&["create", "data"]);
    restores(&snap, "latest~1", &content(1));
    restores(&snap, "latest", &content(2));
    snap.ok(&["check", "--read-data"]);
    assert_eq!(packs_and_indexes(&snap), [(0, 1), (0, 1)]);

    // What opened it before tells why it does not any more.
    let by_export =
        |export: &str| finish(snap.command(&["snapshots", "--key-export", export]).env_remove("SNAP_PASSWORD"));
    let ran = by_export(&old);
    assert_eq!(ran.code, 12);
    assert!(ran.stderr.contains("older than key rotation 1"), "{}", ran.stderr);
    assert!(ran.stderr.contains("snap key export"), "{}", ran.stderr);
    let file = snap.password_file("imported", "imported");
    let import = ["key", "import", &old, "--new-password-file", &file, "--json"];
    assert_eq!(snap.ends(12, &import).error()["code"], "old_export");
    snap.ok(&["key", "export", "-o", &new]);
    assert_eq!(by_export(&new).lines().len(), snap.ok(&["snapshots"]).lines().len());

    // A repository may still take over what names its chunks.
    let other = text(&snap.path("other"));
    let first = text(&snap.path("repository"));
    let mut init = snap.command(&["init", "-r", &other, "--kdf-memory", "8", "--from-repo", &first]);
    assert_eq!(finish(init.env("SNAP_FROM_PASSWORD", PASSWORD)).code, 0);
    let packs = |repository: &str| {
        let manifest = snap.ok(&["-r", repository, "create", "data", "--json"]);
        manifest.summary()["snapshot_id"].clone()
    };
    assert!(packs(&other).is_string());
}

#[test]
fn what_is_stored_is_moved_to_the_new_keys_by_a_prune() {
    let snap = Snap::new();
    for seed in 1..3 {
        snap.write("data/file", content(seed));
        snap.ok(&["create", "data"]);
        let ran = snap.ok(&["key", "rotate", "--kdf-memory", "8", "--json"]);
        assert_eq!((&ran.summary()["done"], &ran.summary()["rotation"]), (&"rotated".into(), &seed.into()));
    }
    let untouched = snap.ok(&["prune", "--grace", "0"]);
    assert!(
        untouched.stdout.contains("kept under keys from before the last rotation: 2 packs"),
        "{}",
        untouched.stdout
    );
    assert_eq!(packs_and_indexes(&snap)[0], (0, 1));

    let plan = snap.ok(&["prune", "--reencrypt", "--dry-run", "--json"]);
    let packs = plan.objects("pack");
    assert!(packs.iter().all(|pack| pack["reason"] == "old_key" && pack["is_copied"] == true), "{packs:?}");
    assert_eq!(plan.summary()["old_key_packs_left"]["packs"], 0);
    let later = snap.ok(&["prune", "--reencrypt", "--dry-run", "--max-repack-size", "1", "--json"]);
    assert_eq!(later.summary()["old_key_packs_left"]["packs"], packs.len());

    // Until the grace has passed the old ones are there, for restores that are running.
    let moved = snap.ok(&["prune", "--reencrypt"]);
    assert!(moved.stdout.contains("sealed under an older key: 2 packs"), "{}", moved.stdout);
    assert_eq!(packs_and_indexes(&snap)[0], (0, 2));
    snap.ok(&["prune", "--grace", "0"]);
    assert_eq!(packs_and_indexes(&snap), [(2, 2), (2, 2)]);
    assert_eq!(epochs(&snap.path("repository/log"), 8), (0, 2));
    snap.ok(&["check", "--read-data"]);
    restores(&snap, "latest~1", &content(1));
    restores(&snap, "latest", &content(2));
    let nothing = snap.ok(&["prune", "--reencrypt", "--dry-run"]);
    assert!(nothing.stdout.contains("kept:") && !nothing.stdout.contains("repacked"), "{}", nothing.stdout);
}

#[test]
fn other_passwords_are_taken_away_only_if_that_is_asked_for() {
    let snap = Snap::new();
    let cheap = ["--kdf-memory", "8"];
    let second = snap.password_file("second", "second");
    snap.ok(&[&["key", "add", "--new-password-file", &second, "--label", "the vault"][..], &cheap].concat());
    let opens = |password: &str| finish(snap.command(&["snapshots"]).env("SNAP_PASSWORD", password)).code;
    let slots = || -> Vec<PathBuf> {
        fs::read_dir(snap.path("repository/keys")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let before: Vec<(PathBuf, Vec<u8>)> =
        slots().into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();

    let refused = snap.ends(1, &["key", "rotate"]);
    assert!(refused.stderr.contains("1 other key") && refused.stderr.contains("(the vault)"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--remove-other-keys"), "{}", refused.stderr);
    assert_eq!(snap.ends(1, &["key", "rotate", "--json"]).error()["code"], "other_keys");
    assert_eq!((opens(PASSWORD), opens("second"), slots().len()), (0, 0, 2));

    let rotated = snap.ok(&[&["key", "rotate", "--remove-other-keys"][..], &cheap].concat());
    assert!(rotated.stdout.contains("(the vault)") && rotated.stdout.contains("snap key add"), "{}", rotated.stdout);
    assert_eq!((opens(PASSWORD), opens("second"), slots().len()), (0, 12, 1));
    // Put back by hand, the old slots open nothing, and are not in the way.
    for (path, bytes) in &before {
        fs::write(path, bytes).unwrap();
    }
    assert_eq!((opens(PASSWORD), opens("second")), (0, 12));
    snap.ok(&["check"]);
    snap.ok(&["prune"]);
    assert_eq!(slots().len(), 1);
    // Their owners are given new ones.
    snap.ok(&[&["key", "add", "--new-password-file", &second][..], &cheap].concat());
    assert_eq!(opens("second"), 0);
}

#[test]
fn a_rotation_may_change_the_password_and_needs_none_with_an_export() {
    let snap = Snap::new();
    let cheap = ["--kdf-memory", "8"];
    let (file, other) = (snap.password_file("new", "new"), snap.password_file("other", "other"));
    let opens = |password: &str| finish(snap.command(&["snapshots"]).env("SNAP_PASSWORD", password)).code;
    snap.ok(&[&["key", "rotate", "--new-password-file", &file, "--label", "after the leak"][..], &cheap].concat());
    assert_eq!((opens(PASSWORD), opens("new")), (12, 0));
    let export = text(&snap.path("export"));
    let by_new = |arguments: &[&str]| finish(snap.command(arguments).env("SNAP_PASSWORD", "new"));
    assert!(by_new(&["key", "list"]).stdout.contains("after the leak"));
    // The label stays where the password does.
    assert_eq!(by_new(&[&["key", "rotate"][..], &cheap].concat()).code, 0);
    assert!(by_new(&["key", "list"]).stdout.contains("after the leak"));
    assert_eq!(by_new(&["key", "export", "-o", &export]).code, 0);
    // With an export all passwords are others.
    let rotate = ["key", "rotate", "--key-export", &export, "--new-password-file", &other];
    let without = |arguments: &[&str]| finish(snap.command(arguments).env_remove("SNAP_PASSWORD"));
    let refused = without(&[&rotate[..], &cheap].concat());
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let done = without(&[&rotate[..], &cheap, &["--remove-other-keys"]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!((opens("new"), opens("other")), (12, 0));
}
