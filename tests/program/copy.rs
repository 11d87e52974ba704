//! Snapshots copied from one repository to another, from the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use crate::cli;
use crate::lab;
use crate::noise::noise;

use std::fs;
use std::path::PathBuf;

use cli::{Ran, Snap, finish, text};
use lab::{files_of, fixtures};
use serde_json::Value;

/// One place where the program runs, with repositories that all have the same password.
struct Place {
    snap: Snap,
}

impl Place {
    fn new() -> Self {
        Self { snap: Snap::quick() }
    }

    fn repository(&self, name: &str, encryption: &str, more: &[&str]) {
        let path = text(&self.snap.path(name));
        let init = ["init", "-r", &path, "--kdf-memory", "8", "--encryption", encryption];
        let ran = finish(&mut self.command(&[&init[..], more].concat()));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    }

    fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = self.snap.command(arguments);
        command.env("SNAP_FROM_PASSWORD", cli::PASSWORD);
        command
    }

    /// Runs the program on a repository; it must end with this code.
    fn run(&self, code: i32, repository: &str, arguments: &[&str]) -> Ran {
        let path = text(&self.snap.path(repository));
        let ran = finish(&mut self.command(&[&["-r", &path], arguments].concat()));
        assert_eq!(ran.code, code, "{arguments:?}: {} {}", ran.stdout, ran.stderr);
        ran
    }

    /// Copies everything; gives the summary.
    fn copy(&self, from: &str, to: &str, more: &[&str]) -> Value {
        self.copied(0, from, to, more).summary()
    }

    fn copied(&self, code: i32, from: &str, to: &str, more: &[&str]) -> Ran {
        let from = text(&self.snap.path(from));
        self.run(code, to, &[&["copy", "--from-repo", &from, "--json"], more].concat())
    }

    /// Makes a snapshot of `tables`; gives its summary.
    fn save(&self, repository: &str, time: &str, more: &[&str]) -> Value {
        let create = ["create", "tables", "--series", "tables", "--time", time, "--min-encode-speed", "0", "--json"];
        self.run(0, repository, &[&create[..], more].concat()).summary()
    }

    fn snapshots(&self, repository: &str) -> Vec<Value> {
        self.run(0, repository, &["snapshots", "--json"]).objects("snapshot")
    }

    fn stats(&self, repository: &str) -> Value {
        self.run(0, repository, &["stats", "--json"]).summary()
    }

    fn is_sound(&self, repository: &str) {
        assert_eq!(self.run(0, repository, &["check", "--read-data", "--json"]).summary()["problems"], 0);
    }

    /// Puts all files of a folder of the fixtures below `tables`.
    fn put(&self, folder: &str) {
        for (name, bytes) in files_of(&fixtures(folder)) {
            self.snap.write(&format!("tables/{}", name.display()), bytes);
        }
    }

    /// What is saved as it is now, by another name.
    fn keep(&self, name: &str) -> PathBuf {
        let kept = self.snap.path(name);
        for (path, bytes) in files_of(&self.snap.work("tables")) {
            let path = kept.join("tables").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        kept
    }

    /// Bytes of all objects of a repository.
    fn size(&self, repository: &str) -> u64 {
        files_of(&self.snap.path(repository)).values().map(|bytes| bytes.len() as u64).sum()
    }

    fn packs(&self, repository: &str) -> Vec<PathBuf> {
        let folder = self.snap.path(repository).join("packs");
        files_of(&folder).keys().map(|path| folder.join(path)).collect()
    }
}

fn number(object: &Value, field: &str) -> u64 {
    object[field].as_u64().unwrap_or_else(|| panic!("no {field} in {object}"))
}

/// How many chunks of each kind are needed, without those that only manifests are made of where `content` is.
fn chunks(stats: &Value, content: bool) -> Vec<(String, u64)> {
    let kinds = stats["by_kind"].as_object().unwrap().iter();
    let kinds = kinds.map(|(kind, amount)| (kind.clone(), number(amount, "chunks")));
    kinds.filter(|(kind, _)| !content || !["rows", "nodes", "roots"].contains(&kind.as_str())).collect()
}

#[test]
fn every_file_of_every_snapshot_comes_back_from_the_copy() {
    let place = Place::new();
    for (name, encryption) in [("source", "aes-256-gcm"), ("plain-source", "none")] {
        place.repository(name, encryption, &[]);
    }
    let mut kept = Vec::new();
    for night in 1..=3 {
        place.put(&format!("nights/2026-03-0{night}"));
        if night == 1 {
            place.put("codecs");
            place.put("odd");
            place.snap.write("tables/note.txt", "hello");
            fs::hard_link(place.snap.work("tables/note.txt"), place.snap.work("tables/other-name")).unwrap();
            std::os::unix::fs::symlink("note.txt", place.snap.work("tables/link")).unwrap();
        }
        let time = format!("2026-03-0{night} 12:00");
        for repository in ["source", "plain-source"] {
            place.save(repository, &time, &["--tag", "a,b"]);
        }
        kept.push(place.keep(&format!("night-{night}")));
    }
    place.run(0, "source", &["tag", "latest~1", "--set", "c"]);

    for (from, to, encryption) in [
        ("source", "copy", "xchacha20-poly1305"),
        ("source", "plain-copy", "none"),
        ("plain-source", "copy-of-plain", "aes-256-gcm"),
        ("plain-source", "plain-copy-of-plain", "none"),
    ] {
        place.repository(to, encryption, &[]);
        let done = place.copied(0, from, to, &[]);
        let (copied, summary) = (done.objects("snapshot"), done.summary());
        assert_eq!((number(&summary, "copied"), number(&summary, "present")), (3, 0));
        assert!(copied.iter().all(|snapshot| snapshot["copied"] == true) && copied.len() == 3, "{copied:?}");
        assert!(number(&copied[1], "files_known") > 60, "unchanged files are taken over: {}", copied[1]);
        assert_eq!(place.snapshots(from), place.snapshots(to), "all that is known of them stays");
        place.is_sound(to);
        for (back, kept) in kept.iter().rev().enumerate() {
            let target = format!("out-{to}-{back}");
            place.run(0, to, &["restore", &format!("latest~{back}"), "--target", &target]);
            assert!(files_of(&place.snap.work(&target)) == files_of(kept), "{to}, {back} before the last");
        }
        let stats = place.stats(to);
        assert!(number(&stats["by_encoding"]["delta"], "chunks") > 0, "{stats}");
        assert!(number(&stats["by_encoding"]["columnar"], "chunks") > 0, "{stats}");
        let (before, after) = (place.size(from), place.size(to));
        println!("{from} has {before} bytes, {to} has {after}");
        assert!(after.abs_diff(before) < before / 10, "{from} {before}, {to} {after}");

        // The facts of files stay, but for corrections, which only encrypted repositories have.
        let nodes = |repository: &str| place.run(0, repository, &["ls", "latest", "--json"]).objects("node");
        let mut corrected = 0;
        for (mut before, mut after) in nodes(from).into_iter().zip(nodes(to)) {
            if before["avro"].is_object() && number(&before["avro"], "blocks_corrected") > 0 {
                corrected += 1;
                if encryption == "none" {
                    assert_eq!(number(&after["avro"], "blocks_corrected"), 0, "{after}");
                    for node in [&mut before, &mut after] {
                        for field in ["encoder", "blocks_corrected", "blocks_raw"] {
                            node["avro"][field] = Value::Null;
                        }
                    }
                }
            }
            assert_eq!(before, after);
        }
        assert_eq!(corrected > 0, from == "source", "a file with corrections is among them");
        assert_eq!(
            stats["by_kind"].get("corrections").is_some(),
            from == "source" && encryption != "none" && place.stats(from)["by_kind"].get("corrections").is_some()
        );

        let again = place.copy(from, to, &[]);
        assert_eq!((number(&again, "copied"), number(&again, "present"), number(&again, "bytes_read")), (0, 3, 0));
        assert_eq!(place.size(to), after, "nothing was written");
    }
    // A copy is a repository like any other.
    place.repository("copy-of-copy", "none", &[]);
    assert_eq!(number(&place.copy("copy", "copy-of-copy", &[]), "copied"), 3);
    assert_eq!(place.snapshots("source"), place.snapshots("copy-of-copy"));
    // What is saved into it goes on from there.
    let next = place.save("copy", "2026-03-04 12:00", &["--ignore-ctime"]);
    assert_eq!(next["parent"], place.snapshots("source")[2]["id"]);
}

#[test]
fn a_further_snapshot_is_read_and_costs_as_much_as_is_new_in_it() {
    let place = Place::new();
    place.repository("source", "aes-256-gcm", &[]);
    place.put("nights/2026-03-01");
    let mut large = noise(1, 4 << 20);
    place.snap.write("tables/large", &large);
    place.snap.write("tables/still", noise(2, 1 << 20));
    place.save("source", "2026-03-01 12:00", &[]);
    for target in ["with-cache", "without"] {
        place.repository(target, "aes-256-gcm", &[]);
        place.copy("source", target, &[]);
    }
    place.put("nights/2026-03-02");
    large[2 << 20] ^= 1;
    place.snap.write("tables/large", &large);
    fs::rename(place.snap.work("tables/still"), place.snap.work("tables/moved")).unwrap();
    let kept = place.keep("kept");
    let cost = number(&place.save("source", "2026-03-02 12:00", &[]), "bytes_added");
    for (target, flags, reads) in
        [("with-cache", &[][..], 0..1_200_000), ("without", &["--no-cache"], 4 << 20..6 << 20)]
    {
        let done = place.copy("source", target, flags);
        let (read, added) = (number(&done, "bytes_read"), number(&done, "bytes_added"));
        println!("{target}: {cost} bytes in the source, {added} in the target, {read} read");
        assert_eq!((number(&done, "copied"), number(&done, "present")), (1, 1));
        assert!(reads.contains(&read), "{read} bytes read");
        assert!(added < cost * 5 / 4 + 4096, "{added} bytes added, {cost} in the source");
        place.run(0, target, &["restore", "latest", "--target", target]);
        assert!(files_of(&place.snap.work(target)) == files_of(&kept));
        place.is_sound(target);
    }
}

#[test]
fn a_target_made_from_its_source_has_the_same_chunks() {
    let place = Place::new();
    place.repository("source", "aes-256-gcm", &[]);
    let from = text(&place.snap.path("source"));
    place.repository("target", "aes-256-gcm", &["--from-repo", &from]);
    place.put("nights/2026-03-01");
    place.put("codecs");
    place.save("source", "2026-03-01 12:00", &[]);
    place.copy("source", "target", &[]);
    let (before, after) = (place.stats("source"), place.stats("target"));
    assert_eq!(chunks(&before, false), chunks(&after, false));
    // What is saved in both meets: nothing of it is new here, whichever came first.
    place.save("target", "2026-03-02 12:00", &["--force"]);
    assert_eq!(chunks(&place.stats("target"), true), chunks(&after, true));
    place.put("nights/2026-03-02");
    place.save("target", "2026-03-03 12:00", &[]);
    let before = chunks(&place.stats("target"), true);
    place.save("source", "2026-03-04 12:00", &[]);
    let done = place.copy("source", "target", &["--no-cache"]);
    assert_eq!((number(&done, "copied"), number(&done, "bytes_read")), (1, 0), "it is known without being read");
    assert_eq!(chunks(&place.stats("target"), true), before);
    place.is_sound("target");
}

#[test]
fn what_was_written_by_earlier_versions_can_be_copied() {
    let place = Place::new();
    place.repository("target", "aes-256-gcm", &[]);
    let mut copied = 0;
    for name in ["v1-encrypted", "v1-plain"] {
        for (path, bytes) in files_of(&fixtures("golden").join(name)) {
            let path = place.snap.path(name).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let (from, to) = (text(&place.snap.path(name)), text(&place.snap.path("target")));
        let mut command = place.command(&["-r", &to, "copy", "--from-repo", &from, "--json"]);
        let ran = finish(command.env("SNAP_FROM_PASSWORD", "golden"));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        copied += number(&ran.summary(), "copied");
    }
    assert_eq!(place.snapshots("target").len() as u64, copied);
    place.is_sound("target");
}

#[test]
fn what_cannot_be_copied_is_refused() {
    let place = Place::new();
    place.repository("source", "aes-256-gcm", &[]);
    place.repository("target", "aes-256-gcm", &[]);
    place.snap.write("tables/note.txt", "hello");
    place.save("source", "2026-03-01 12:00", &[]);
    let (from, to) = (text(&place.snap.path("source")), text(&place.snap.path("target")));
    let wrong = place.snap.password_file("wrong", "battery staple");
    let ran = place.copied(12, "source", "target", &["--from-password-file", &wrong]);
    assert_eq!(ran.error()["code"], "wrong_password");
    assert!(ran.error()["hint"].as_str().unwrap().contains("SNAP_FROM_PASSWORD"), "{}", ran.stderr);
    let ran = finish(&mut place.snap.command(&["-r", &to, "copy", "--from-repo", &from, "--json"]));
    assert_eq!((ran.code, &ran.error()["code"]), (12, &"no_password".into()));
    assert!(ran.error()["hint"].as_str().unwrap().contains("SNAP_FROM_PASSWORD_FILE"), "{}", ran.stderr);
    let ran = place.copied(10, "nowhere", "target", &[]);
    assert_eq!(ran.error()["code"], "no_repository");
    assert!(ran.error()["hint"].as_str().unwrap().contains("--from-repo"), "{}", ran.stderr);
    place.copied(10, "source", "nowhere", &[]);
    let ran = place.copied(2, "source", "source", &[]);
    assert!(ran.error()["message"].as_str().unwrap().contains("same repository"), "{}", ran.stderr);
    place.run(2, "target", &["copy"]);
    place.run(2, "target", &["copy", "--from-password-file", &wrong]);
    place.copied(2, "source", "target", &["latest:tables"]);
    place.copied(2, "source", "target", &["--from-password-file", "-", "--password-file", "-"]);
    place.copied(1, "source", "target", &["abcdef"]);
    assert_eq!(place.snapshots("target").len(), 0);

    // A key export, the environment, and flags all open the source.
    let export = text(&place.snap.path("export"));
    place.run(0, "source", &["key", "export", "-o", &export]);
    let mut command = place.snap.command(&["-r", &to, "copy", "--from-key-export", &export, "--dry-run"]);
    let ran = finish(command.env("SNAP_FROM_REPOSITORY", &from));
    assert!(ran.code == 0 && ran.stdout.contains("1 snapshot would be copied"), "{} {}", ran.stdout, ran.stderr);
    let right = place.snap.password_file("right", cli::PASSWORD);
    let mut command = place.snap.command(&["-r", &to, "copy", "--from-repo", &from, "--from-password-file", &right]);
    let ran = finish(&mut command);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("copied 1 snapshot, added"), "{}", ran.stdout);
}

#[test]
fn a_damaged_snapshot_is_not_copied_and_the_others_are() {
    let place = Place::new();
    place.repository("source", "aes-256-gcm", &[]);
    place.repository("target", "aes-256-gcm", &[]);
    place.snap.write("tables/a", noise(1, 300_000));
    place.save("source", "2026-03-01 12:00", &[]);
    let first = place.packs("source");
    fs::remove_file(place.snap.work("tables/a")).unwrap();
    place.snap.write("tables/b", noise(2, 300_000));
    place.save("source", "2026-03-02 12:00", &[]);
    place.snap.write("tables/c", noise(3, 1000));
    place.save("source", "2026-03-03 12:00", &[]);
    let ids: Vec<Value> = place.snapshots("source").iter().map(|snapshot| snapshot["id"].clone()).collect();
    let copies = || place.snapshots("target").iter().map(|snapshot| snapshot["id"].clone()).collect::<Vec<_>>();

    // One frame of the file is changed; then all of the first snapshot is lost.
    let bytes = fs::read(&first[0]).unwrap();
    let mut changed = bytes.clone();
    changed[bytes.len() / 3] ^= 1;
    fs::write(&first[0], &changed).unwrap();
    let ran = place.copied(22, "source", "target", &[]);
    let summary = ran.summary();
    assert_eq!((number(&summary, "copied"), &summary["failed"][0]["id"]), (2, &ids[0]));
    assert_eq!((&summary["failed"][0]["path"], &summary["failed"][1]), (&"tables/a".into(), &Value::Null));
    assert!(ran.stderr.contains("is not copied: tables/a"), "{}", ran.stderr);
    assert_eq!(copies(), ids[1..]);
    fs::remove_file(&first[0]).unwrap();
    // This machine keeps roots that it has read.
    fs::remove_dir_all(place.snap.path("home/.cache")).unwrap();
    let ran = place.copied(22, "source", "target", &[]);
    assert_eq!((number(&ran.summary(), "copied"), number(&ran.summary(), "present")), (0, 2));
    assert_eq!((copies(), &ran.summary()["failed"][0]["id"]), (ids[1..].to_vec(), &ids[0]));
    let by_name = place.copied(22, "source", "target", &[ids[0].as_str().unwrap(), "latest"]).summary();
    assert_eq!((number(&by_name, "present"), &by_name["failed"][0]["id"]), (1, &ids[0]));
    place.is_sound("target");
    // What it was about can be copied once it is there again.
    fs::write(&first[0], &bytes).unwrap();
    assert_eq!(number(&place.copy("source", "target", &[]), "copied"), 1);
    assert_eq!(copies(), ids);
    place.is_sound("target");
    // What was copied does not need its source any more.
    fs::remove_file(&first[0]).unwrap();
    assert_eq!(number(&place.copy("source", "target", &[]), "present"), 3);
}

#[test]
fn what_the_target_has_lost_is_sent_again_with_the_next_snapshot() {
    let place = Place::new();
    place.repository("source", "aes-256-gcm", &[]);
    place.repository("target", "aes-256-gcm", &[]);
    place.snap.write("tables/a", noise(1, 300_000));
    place.save("source", "2026-03-01 12:00", &[]);
    place.copy("source", "target", &[]);
    place.packs("target").iter().for_each(|pack| fs::remove_file(pack).unwrap());
    // Where all packs are missing, nothing is written before somebody says that they are lost.
    place.run(22, "target", &["repair", "snapshots", "--accept-missing-packs"]);
    place.snap.write("tables/b", noise(2, 1000));
    let kept = place.keep("kept");
    place.save("source", "2026-03-02 12:00", &[]);
    // Neither the copy that was made before nor what is remembered of its chunks is believed.
    let done = place.copy("source", "target", &[]);
    assert_eq!((number(&done, "copied"), number(&done, "present"), number(&done, "files_known")), (1, 1, 0));
    assert!(number(&done, "bytes_read") > 300_000, "{done}");
    place.run(0, "target", &["restore", "latest", "--target", "out"]);
    assert!(files_of(&place.snap.work("out")) == files_of(&kept));
}

#[test]
fn what_was_removed_from_the_target_comes_back_by_name_only() {
    let place = Place::new();
    place.repository("source", "aes-256-gcm", &[]);
    place.repository("target", "none", &[]);
    for (day, tag) in [(1, "keep"), (2, "drop"), (3, "keep")] {
        place.snap.write("tables/note.txt", format!("day {day}"));
        place.save("source", &format!("2026-03-0{day} 12:00"), &["--tag", tag]);
    }
    let dry = place.copied(0, "source", "target", &["--dry-run", "--tag", "keep"]);
    assert_eq!((number(&dry.summary(), "copied"), dry.objects("snapshot").len()), (2, 2));
    assert_eq!((&dry.objects("snapshot")[0]["copied"], place.snapshots("target").len()), (&false.into(), 0));
    assert_eq!(number(&place.copy("source", "target", &["--tag", "keep"]), "copied"), 2);
    assert_eq!(number(&place.copy("source", "target", &["--host", "nobody"]), "copied"), 0);
    assert_eq!(number(&place.copy("source", "target", &["latest~1"]), "copied"), 1);
    assert_eq!(place.snapshots("source"), place.snapshots("target"));

    let middle = place.snapshots("source")[1]["id"].as_str().unwrap().to_owned();
    place.run(0, "target", &["tag", &middle, "--set", "here"]);
    place.run(0, "target", &["forget", &middle]);
    place.run(0, "target", &["prune", "--grace", "0"]);
    let all = place.copy("source", "target", &[]);
    assert_eq!((number(&all, "copied"), number(&all, "present"), number(&all, "removed")), (0, 2, 1));
    let named = place.copy("source", "target", &[&middle]);
    assert_eq!((number(&named, "copied"), number(&named, "removed")), (1, 0));
    let mut back = place.snapshots("target");
    back.sort_by_key(|snapshot| snapshot["time"].to_string());
    assert_eq!(place.snapshots("source"), back, "with the tags of the source");
    place.run(0, "target", &["restore", &middle, "--target", "out"]);
    assert_eq!(fs::read(place.snap.work("out/tables/note.txt")).unwrap(), b"day 2");
    place.is_sound("target");
}
