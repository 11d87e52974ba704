//! Ctrl-C and SIGTERM: the program ends within a second, says how to go on, and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;
use crate::lab;
use crate::noise::noise;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use avro_snap::crypto::Suite;
use avro_snap::error::{Error, Result};
use avro_snap::ops::check::{CheckOptions, DataSubset, check};
use avro_snap::ops::create::create;
use avro_snap::ops::ls::ls;
use avro_snap::ops::prune::{MaxUnused, PruneOptions, PruneReport, prune};
use avro_snap::ops::repair::{PackRepairOptions, repair_packs};
use avro_snap::ops::restore::{dump, restore};
use avro_snap::ops::select::Listing;
use avro_snap::ops::stats::stats;
use avro_snap::progress::{Progress, Silent};
use avro_snap::runtime::CancelToken;
use avro_snap::store::Repository;
use cli::{PASSWORD, Snap};
use lab::{Lab, files_of, restoring, saving};
use rustix::process::{Pid, Signal, kill_process};

fn command(snap: &Snap, arguments: &[&str]) -> Command {
    let mut command = snap.process(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A `create` that waits for more to read, however long that takes.
fn waiting(snap: &Snap, more: &[&str]) -> Child {
    let arguments = [&["create", "--stdin", "--threads", "2"], more].concat();
    let mut child = command(snap, &arguments).spawn().unwrap();
    // More than a pipe holds: some of it was read, so the program is at work.
    child.stdin.as_mut().unwrap().write_all(&[7; 300_000]).unwrap();
    child
}

/// Sends a signal and waits. Gives the exit code and what was said.
fn interrupt(mut child: Child, signals: &[Signal]) -> (Option<i32>, String) {
    let stdin = child.stdin.take();
    let began = Instant::now();
    for signal in signals {
        let _ = kill_process(Pid::from_child(&child), *signal);
    }
    let status = child.wait().unwrap();
    let took = began.elapsed();
    drop(stdin);
    // Without the signal it would wait for ever. A busy machine may be slow to run it at all.
    assert!(took < Duration::from_secs(60), "{took:?}");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.code(), said)
}

#[test]
fn a_signal_ends_the_program_with_a_line() {
    let snap = Snap::new();
    let expected = "snap: interrupted: the repository is intact; run it again, it uses what is stored so far\n";
    for signals in [&[Signal::INT][..], &[Signal::TERM], &[Signal::HUP], &[Signal::INT, Signal::INT]] {
        let (code, said) = interrupt(waiting(&snap, &[]), signals);
        assert_eq!(code, Some(130), "{signals:?}");
        assert!(said == expected || signals.len() > 1, "{signals:?}: {said}");
    }
    let (code, said) = interrupt(waiting(&snap, &["--json"]), &[Signal::INT]);
    assert_eq!(code, Some(130));
    let object: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((object["message_type"].as_str(), object["code"].as_str()), (Some("error"), Some("interrupted")));
    snap.ok(&["check", "--read-data"]);
    assert_eq!(snap.ok(&["snapshots", "--json"]).objects("snapshot").len(), 0);
    snap.write("file", "x");
    snap.ok(&["create", "file"]);
}

#[test]
fn what_was_started_to_outlive_its_terminal_does() {
    let snap = Snap::new();
    let mut script = Command::new("sh");
    script.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_snap"), "create", "--stdin"]);
    script.current_dir(snap.path("work")).env_clear().env("HOME", snap.path("home")).env("PATH", "/usr/bin:/bin");
    script.env("SNAP_REPOSITORY", snap.path("repository")).env("SNAP_PASSWORD", PASSWORD);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&[7; 300_000]).unwrap();
    kill_process(Pid::from_child(&child), Signal::HUP).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// Wants the work to end after so many bytes.
struct Until {
    done: AtomicU64,
    enough: u64,
    token: CancelToken,
}

impl Until {
    fn bytes(repository: &Repository, enough: u64) -> Self {
        let token = repository.runtime().cancel_token().clone();
        if enough == 0 {
            token.cancel();
        }
        Self { done: AtomicU64::new(0), enough, token }
    }
}

impl Progress for Until {
    fn bytes(&self, count: u64) {
        if self.done.fetch_add(count, Ordering::Relaxed) + count >= self.enough {
            self.token.cancel();
        }
    }
}

/// Wants the work to end once a file is done, when all rows were read long since.
struct AfterOneFile(CancelToken);

impl Progress for AfterOneFile {
    fn files(&self, _: u64) {
        // There are fewer rows than places between reading them and writing files, so nothing waits for this.
        std::thread::sleep(Duration::from_millis(300));
        self.0.cancel();
    }
}

#[test]
fn a_restore_whose_workers_are_given_up_between_two_files_says_so() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for n in 0..20 {
        fs::write(source.path().join(n.to_string()), noise(n, 1000)).unwrap();
    }
    let lab = Lab::new(Suite::None);
    lab.save(source.path());
    let repository = lab.open();
    let after = AfterOneFile(repository.runtime().cancel_token().clone());
    let ended = restore(&repository, &lab.last(&repository), &restoring(target.path()), &after);
    assert!(files_of(target.path()).len() < 20, "it was given up");
    assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?}");
}

/// Four files that have nothing in common, in a folder that nobody may write into.
fn data(folder: &std::path::Path) {
    let inside = folder.join("inside");
    fs::create_dir(&inside).unwrap();
    for n in 0..4 {
        fs::write(inside.join(n.to_string()), noise(n, 3_000_000)).unwrap();
    }
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o555)).unwrap();
}

#[test]
fn a_restore_that_is_given_up_leaves_whole_files_only() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    data(source.path());
    let lab = Lab::new(Suite::None);
    lab.save(source.path());
    let snapshot = lab.last(&lab.open());
    let expected = files_of(source.path());
    for bytes in [0, 1, 2_000_000, 7_000_000] {
        let repository = lab.open();
        let until = Until::bytes(&repository, bytes);
        let ended = restore(&repository, &snapshot, &restoring(target.path()), &until);
        assert!(matches!(ended, Err(Error::Interrupted)), "{bytes}: {ended:?}");
        for (path, content) in files_of(target.path()) {
            assert!(expected.get(&path) == Some(&content), "{} after {bytes} bytes", path.display());
        }
        let inside = target.path().join("inside");
        if inside.exists() {
            let mode = fs::metadata(&inside).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o555, "after {bytes} bytes");
        }
    }
    restore(&lab.open(), &snapshot, &restoring(target.path()), &Silent).unwrap();
    assert!(files_of(target.path()) == expected);
    for folder in [source.path(), target.path()] {
        fs::set_permissions(folder.join("inside"), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_create_that_is_given_up_makes_no_snapshot_and_is_gone_on_with() {
    let source = tempfile::tempdir().unwrap();
    data(source.path());
    let lab = Lab::new(Suite::None);
    for bytes in [0, 1, 5_000_000] {
        let repository = lab.open();
        let until = Until::bytes(&repository, bytes);
        let ended = create(&repository, saving(source.path()), &until);
        assert!(matches!(ended, Err(Error::Interrupted)), "{bytes}: {ended:?}");
        assert!(lab.open().state().snapshots.is_empty());
    }
    lab.save(source.path());
    let target = tempfile::tempdir().unwrap();
    lab.restore_last(target.path()).unwrap();
    assert!(files_of(target.path()) == files_of(source.path()));
    for folder in [source.path(), target.path()] {
        fs::set_permissions(folder.join("inside"), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn every_long_verb_of_the_library_ends_when_its_token_says_so() {
    let source = tempfile::tempdir().unwrap();
    data(source.path());
    let lab = Lab::new(Suite::Aes256Gcm);
    lab.save(source.path());
    let forgotten = lab.save(source.path()).snapshot.unwrap();
    lab.open().log().remove_snapshots(&[forgotten], &[]).unwrap();
    let target = tempfile::tempdir().unwrap();
    let ended = |verb: &str, work: &dyn Fn(&Repository) -> Result<()>| {
        let repository = lab.open();
        repository.runtime().cancel_token().cancel();
        let ended = work(&repository);
        assert!(matches!(ended, Err(Error::Interrupted)), "{verb}: {ended:?}");
    };
    let snapshot = lab.last(&lab.open());
    ended("create", &|repository| create(repository, saving(source.path()), &Silent).map(drop));
    ended("restore", &|repository| restore(repository, &snapshot, &restoring(target.path()), &Silent).map(drop));
    ended("dump", &|repository| dump(repository, &snapshot, b"inside/0", &mut |_| Ok(())).map(drop));
    let all = CheckOptions::reading(DataSubset::All);
    ended("check", &|repository| check(repository, all, &Silent).map(drop));
    ended("stats", &|repository| {
        stats(repository, &Listing { snapshots: vec![snapshot.clone()], ..Listing::default() }, &[snapshot.id].into())
            .map(drop)
    });
    ended("ls", &|repository| ls(repository, &snapshot, b"", true, &mut |_| Ok(())).map(drop));
    ended("repair packs", &|repository| {
        let options = PackRepairOptions::default();
        repair_packs(repository, &options, &Silent).map(drop)
    });
    ended("prune", &|repository| run_prune(repository).map(drop));
    // Nothing is lost by any of them.
    assert!(lab.check(DataSubset::All).problems.is_empty());
    fs::set_permissions(source.path().join("inside"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn run_prune(repository: &Repository) -> Result<PruneReport> {
    let options = PruneOptions::default()
        .max_unused(MaxUnused::Bytes(0))
        .repack_small(true)
        .grace(Duration::ZERO)
        .compression(avro_snap::options::Compression::Off);
    prune(repository, &options, &Silent)
}
