//! A repository on a disk without a free byte. Needs a file system of its own, so it is passed over loudly where tests may
//! not mount one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use crate::cli;
use crate::common;
use crate::noise::noise;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use cli::{Snap, finish, text};

/// Runs the test of this name on a small file system.
fn on_a_small_disk(inner: &str) {
    let folder = tempfile::tempdir().unwrap();
    common::with_mounts(folder.path(), "mount -t tmpfs -o size=40m tmpfs \"$FOLDER\"", &format!("full_disk::{inner}"));
}

/// A repository on the small disk, and a home elsewhere.
struct Disk {
    snap: Snap,
    root: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let root = PathBuf::from(std::env::var_os("FOLDER").unwrap());
        let disk = Self { snap: Snap::quick(), root };
        disk.ends(0, &["init", "--encryption", "none"]);
        disk
    }

    fn ends(&self, code: i32, arguments: &[&str]) -> cli::Ran {
        let mut command = self.snap.command(arguments);
        let ran = finish(command.env("SNAP_REPOSITORY", self.root.join("repository")));
        assert_eq!(ran.code, code, "{arguments:?}: {} {}", ran.stdout, ran.stderr);
        ran
    }

    /// Saves so many bytes that are like no others.
    fn save(&self, seed: u64, bytes: usize) -> Vec<u8> {
        let noise = noise(seed, bytes);
        self.snap.write("data/file", &noise);
        self.ends(0, &["create", "-q", "data"]);
        noise
    }

    /// Takes the last byte.
    fn fill(&self) {
        let mut file = fs::File::options().create(true).append(true).open(self.root.join("filler")).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        assert!(fs::write(self.root.join("probe"), b"x").is_err(), "there is room left");
        fs::remove_file(self.root.join("probe")).unwrap();
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.root).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    fn is_sound(&self, content: &[u8]) {
        self.ends(0, &["check", "--read-data"]);
        let target = self.snap.path("restored");
        let _ = fs::remove_dir_all(&target);
        self.ends(0, &["restore", "-q", "latest", "--target", &text(&target)]);
        assert!(fs::read(found(&target)).unwrap() == content);
    }
}

/// The one file below.
fn found(folder: &Path) -> PathBuf {
    let path = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    if path.is_dir() { found(&path) } else { path }
}

#[test]
fn forget_and_prune_need_no_free_byte() {
    on_a_small_disk("inner_forget_and_prune");
}

#[test]
#[ignore = "run by another test, on a small file system"]
fn inner_forget_and_prune() {
    let disk = Disk::new();
    disk.save(1, 3 << 20);
    let kept = disk.save(2, 2 << 20);
    disk.fill();
    disk.snap.write("data/more", "more");
    assert!(disk.ends(1, &["create", "data"]).stderr.contains("the disk is full"));
    disk.ends(0, &["forget", "latest~1"]);
    // Condemned now, and deleted once the grace is over.
    disk.ends(0, &["prune"]);
    assert!(disk.free() < 1 << 20);
    disk.is_sound(&kept);
    disk.ends(0, &["prune", "--grace", "0"]);
    assert!(disk.free() > 2 << 20, "{}", disk.free());
    disk.is_sound(&kept);
    disk.ends(0, &["create", "-q", "data"]);
    disk.ends(0, &["check", "--read-data"]);
}

#[test]
fn forgetting_and_pruning_at_once_on_a_full_disk() {
    on_a_small_disk("inner_forget_prune_at_once");
}

#[test]
#[ignore = "run by another test, on a small file system"]
fn inner_forget_prune_at_once() {
    let disk = Disk::new();
    disk.save(1, 3 << 20);
    let kept = disk.save(2, 2 << 20);
    disk.fill();
    // Also the cache and what is remembered are on the full disk.
    let mut command = disk.snap.command(&["forget", "--keep-last", "1", "--prune", "--grace", "0"]);
    command.env("SNAP_REPOSITORY", disk.root.join("repository"));
    command.env("SNAP_CACHE_DIR", disk.root.join("cache")).env("SNAP_STATE_DIR", disk.root.join("state"));
    let ran = finish(&mut command);
    assert_eq!(ran.code, 0, "{} {}", ran.stdout, ran.stderr);
    assert!(disk.free() > 2 << 20, "{}", disk.free());
    disk.is_sound(&kept);
}

#[test]
fn what_is_condemned_is_deleted_without_any_room() {
    on_a_small_disk("inner_condemned");
}

#[test]
#[ignore = "run by another test, on a small file system"]
fn inner_condemned() {
    let disk = Disk::new();
    disk.save(1, 3 << 20);
    let kept = disk.save(2, 2 << 20);
    disk.ends(0, &["forget", "latest~1"]);
    disk.ends(0, &["prune"]);
    // Repositories of before have no room kept back.
    fs::remove_file(disk.root.join("repository/reserve")).unwrap();
    disk.fill();
    disk.ends(0, &["prune", "--grace", "0"]);
    assert!(disk.free() > 2 << 20, "{}", disk.free());
    assert!(disk.root.join("repository/reserve").exists());
    disk.is_sound(&kept);
}

#[test]
fn where_nothing_is_condemned_and_no_room_is_kept_back_there_is_a_last_resort() {
    on_a_small_disk("inner_last_resort");
}

#[test]
#[ignore = "run by another test, on a small file system"]
fn inner_last_resort() {
    let disk = Disk::new();
    disk.save(1, 3 << 20);
    let kept = disk.save(2, 2 << 20);
    disk.ends(0, &["forget", "latest~1"]);
    fs::remove_file(disk.root.join("repository/reserve")).unwrap();
    // What a create leaves that finds no room is in the way, too.
    disk.snap.write("data/large", vec![7; 64]);
    disk.fill();
    let ran = disk.ends(1, &["prune", "--grace", "0"]);
    assert!(ran.stderr.contains("--unsafe-recover-no-free-space"), "{}", ran.stderr);
    disk.ends(2, &["prune", "--unsafe-recover-no-free-space", "0011"]);
    assert!(disk.free() < 1 << 20);
    disk.ends(0, &["prune", "--unsafe-recover-no-free-space"]);
    assert!(disk.free() > 2 << 20, "{}", disk.free());
    disk.is_sound(&kept);
    disk.ends(0, &["create", "-q", "data"]);
    disk.ends(0, &["check", "--read-data"]);
}

#[test]
fn what_an_interrupted_create_left_on_a_full_disk_is_found_and_freed() {
    on_a_small_disk("inner_left_by_create");
}

#[test]
#[ignore = "run by another test, on a small file system"]
fn inner_left_by_create() {
    let disk = Disk::new();
    let kept = disk.save(1, 1 << 20);
    // More than fits: its packs fill the disk.
    disk.snap.write("data/large", noise(77, 48 << 20));
    disk.ends(1, &["create", "-q", "data"]);
    disk.fill();
    disk.snap.write("data/large", "");
    // Nothing is old enough to be left behind by somebody who is not there any more, and that is no error.
    assert!(disk.ends(0, &["prune"]).stderr.contains("the disk is full"));
    assert!(disk.free() < 1 << 20);
    disk.ends(0, &["prune", "--unsafe-recover-no-free-space"]);
    assert!(disk.free() > 12 << 20, "{}", disk.free());
    disk.is_sound(&kept);
    fs::remove_file(disk.root.join("filler")).unwrap();
    assert!(disk.free() > 34 << 20, "{}", disk.free());
}
