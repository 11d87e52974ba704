//! The real program with little memory and few threads: files that are small and decode to much, schemas that are small and
//! describe much. Every run must end by itself, and nothing that is sound may fail.
//!
//! What a process may have is set by `ulimit -v` for it alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use crate::cli;
use crate::containers;

use std::path::Path;

use cli::{Ran, Snap, finish};
use containers::{container, one_record};

/// Runs the program with so many MiB of address space.
fn within(snap: &Snap, mebibytes: u64, arguments: &[&str]) -> Ran {
    limited(snap, &format!("export MALLOC_ARENA_MAX=2; ulimit -v {}", mebibytes << 10), arguments)
}

/// Runs the program by a shell that first sets limits.
fn limited(snap: &Snap, limits: &str, arguments: &[&str]) -> Ran {
    finish(&mut snap.in_shell(&format!("{limits}; exec \"$0\" \"$@\""), arguments))
}

/// What every run that ends by itself looks like.
fn ended(ran: &Ran, code: i32, what: &[&str]) {
    assert!(!ran.stderr.contains("panicked"), "{what:?}: {}", ran.stderr);
    assert_eq!(ran.code, code, "{what:?}: {} {}", ran.stdout, ran.stderr);
}

/// The schema of records of 1 MiB each.
const MEBIBYTES: &str = r#"{"type":"fixed","name":"F","size":1048576}"#;

/// The address space of most runs, in MiB. The allocator reserves 64 MiB for each thread that it gives an arena of its own, so
/// they share two.
const MOST: u64 = 448;

/// Payloads of a few kB that decode to 32 MiB, more of them than would fit into the memory of the test.
fn bombs() -> [(&'static str, Vec<u8>); 2] {
    let plain = vec![0; 32 << 20];
    let zstandard = zstd::bulk::compress(&plain, 3).unwrap();
    let deflate = miniz_oxide::deflate::compress_to_vec(&plain, 6);
    [
        ("zstandard.avro", container(MEBIBYTES, "zstandard", (0..MOST / 32 + 1).map(|_| (32, &zstandard[..])))),
        ("deflate.avro", container(MEBIBYTES, "deflate", (0..4).map(|_| (32, &deflate[..])))),
    ]
}

#[test]
fn small_files_that_decode_to_much() {
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    for (name, content) in bombs() {
        assert!(content.len() < 1 << 20, "{name}: {}", content.len());
        snap.write(&format!("data/{name}"), content);
    }
    let target = cli::text(&snap.path("target"));
    for arguments in [
        &["create", "--threads", "2", "data"][..],
        &["restore", "--threads", "2", "latest", "--target", &target],
        &["cat", "-n", "1", "latest:data/zstandard.avro"],
        &["cat", "--format", "avro", "-n", "40", "latest:data/deflate.avro"],
        &["check", "--threads", "2", "--read-data", "--avro"],
        &["repair", "packs", "--threads", "2"],
        &["repair", "snapshots", "--threads", "2", "--read-data"],
        &["repair", "index"],
    ] {
        ended(&within(&snap, MOST, arguments), 0, arguments);
    }
    for (name, content) in bombs() {
        assert!(std::fs::read(Path::new(&target).join("data").join(name)).unwrap() == content, "{name}");
    }
}

#[test]
fn small_schemas_that_describe_much() {
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    // Each type holds the one before twice: 2^30 values of no bytes, and 2^30 numbers.
    let doubling = |last: &str| {
        let mut schema = format!(r#"{{"type":"record","name":"R0","fields":[{{"name":"x","type":{last}}}]}}"#);
        for n in 1..=30 {
            let before = n - 1;
            schema = format!(
                r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":{schema}}},{{"name":"b","type":"R{before}"}}]}}"#
            );
        }
        schema
    };
    let mut nulls = Vec::new();
    avro_snap::avro::varint::encode(&mut nulls, i64::MAX);
    nulls.push(0);
    snap.write("data/empty.avro", container(&doubling("\"null\""), "null", [(3, &[][..])]));
    snap.write("data/cut.avro", one_record(&doubling("\"int\""), &[0; 4096]));
    snap.write("data/nulls.avro", one_record(r#"{"type":"array","items":"null"}"#, &nulls));
    // Many schemas that are long, and unlike.
    for n in 0..8 {
        let fields: Vec<_> =
            (0..20_000).map(|f| format!(r#"{{"name":"field_{n}_{f}","type":["null","int"]}}"#)).collect();
        let schema = format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(","));
        snap.write(&format!("data/wide{n}.avro"), container(&schema, "null", []));
    }
    for (code, arguments) in [
        (0, &["create", "--threads", "2", "data"][..]),
        (3, &["cat", "-n", "1", "latest:data/empty.avro"]),
        (3, &["cat", "-n", "1", "latest:data/cut.avro"]),
        (3, &["cat", "-n", "1", "latest:data/nulls.avro"]),
        (0, &["schema", "ls", "latest"]),
        (0, &["schema", "diff", "latest:data/wide0.avro", "latest:data/wide1.avro"]),
    ] {
        ended(&within(&snap, 1024, arguments), code, arguments);
    }
}

#[test]
fn no_threads_are_an_error() {
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    snap.write("data/f", "x");
    snap.ok(&["create", "-q", "data"]);
    // `prlimit` is run by the user whom it limits: root may have as many threads as it likes.
    let mut limits = "exec prlimit --nproc=1".to_owned();
    if rustix::process::geteuid().is_root() {
        limits = "exec setpriv --reuid=54321 --regid=54321 --clear-groups prlimit --nproc=1".into();
        let mut folders = vec![snap.path("")];
        while let Some(path) = folders.pop() {
            std::os::unix::fs::chown(&path, Some(54_321), Some(54_321)).unwrap();
            if path.is_dir() {
                folders.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }
    limits.push_str(" \"$0\" \"$@\"");
    let target = cli::text(&snap.path("target"));
    if limited(&snap, &limits, &["snapshots"]).code != 0 {
        return eprintln!("SKIPPED: no prlimit or setpriv, or another user cannot run the program here");
    }
    let mut probe = assert_cmd::Command::new("sh");
    let forks = probe.args(["-c", &limits, "sh", "-c", "sleep 0 & wait $!"]);
    if forks.output().is_ok_and(|ran| ran.status.success()) {
        return eprintln!("SKIPPED: this system does not hold processes to `ulimit -u`");
    }
    for arguments in [
        &["create", "data"][..],
        &["restore", "latest", "--target", &target],
        &["check", "--read-data", "--avro"],
        &["repair", "packs"],
        &["prune"],
    ] {
        let ran = limited(&snap, &limits, arguments);
        assert!(!ran.stderr.contains("panicked"), "{arguments:?}: {}", ran.stderr);
        let told = ran.code == 1 && ran.stderr.contains("no more threads");
        assert!(told || ran.code == 0, "{arguments:?}: {} {}", ran.code, ran.stderr);
        // What needs threads cannot have gone well.
        assert!(told || arguments[0] == "prune", "{arguments:?} went well without threads");
    }
}

#[test]
fn a_password_command_that_prints_for_ever_is_stopped() {
    let snap = Snap::new();
    for (command, expected) in [("yes s3cr3t", "too long"), ("sh -c 'echo s3cr3t; exit 7'", "failed")] {
        let mut program = snap.command(&["snapshots", "--password-command", command]);
        let ran = finish(program.timeout(std::time::Duration::from_secs(60)));
        assert!(ran.stderr.contains(expected), "{command}: {} {}", ran.code, ran.stderr);
        let shown = ran.stderr.replace(command, "").replace(&format!("{command:?}"), "");
        assert!(!shown.contains("s3cr3t") && !ran.stdout.contains("s3cr3t"), "{command}: {}", ran.stderr);
        assert!(ran.code > 0);
    }
    snap.ok(&["snapshots", "--password-command", "printf 'correct horse'"]);
}

#[test]
fn forged_key_slots_do_not_keep_the_password_from_opening() {
    let snap = Snap::new();
    let keys = snap.path("repository").join("keys");
    let slot = std::fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(&slot).unwrap();
    // As dear as they may be: each would take a minute.
    for n in 0..40u8 {
        let mut forged = bytes.clone();
        forged[32..36].copy_from_slice(&(2u32 << 20).to_le_bytes());
        forged[36..40].copy_from_slice(&16u32.to_le_bytes());
        forged[40..44].copy_from_slice(&1u32.to_le_bytes());
        let mut name = slot.file_name().unwrap().to_str().unwrap().to_owned();
        name.replace_range(..2, &format!("{n:02x}"));
        let path = keys.join(name);
        if path != slot {
            std::fs::write(path, forged).unwrap();
        }
    }
    let ran = finish(snap.command(&["snapshots"]).timeout(std::time::Duration::from_secs(60)));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // More memory than there is makes a slot of no use, and is no crash.
    let ran = within(&snap, 1024, &["snapshots", "--password-command", "echo wrong"]);
    assert!(!ran.stderr.contains("panicked") && ran.code > 0 && ran.code < 100, "{} {}", ran.code, ran.stderr);
}
