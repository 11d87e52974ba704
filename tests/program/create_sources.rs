//! What `create` makes of sources that change under its hands, that are not what they seem, and that get worse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;
use crate::noise::noise;

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Stdio;
use std::time::{Duration, Instant};

use cli::{Ran, Snap, finish, text};

// --- Help -----------------------------------------------------------------------------------------------------------

/// A zigzag number.
fn long(value: i64) -> Vec<u8> {
    let (mut rest, mut bytes) = (((value << 1) ^ (value >> 63)) as u64, Vec::new());
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes
}

/// A container of so many records of one long, ten to a block. `salt` makes files differ.
fn avro(records: i64, salt: u8) -> Vec<u8> {
    let string = |text: &[u8]| [long(text.len() as i64), text.to_vec()].concat();
    let schema = br#"{"type":"record","name":"R","fields":[{"name":"n","type":"long"}]}"#;
    let mut bytes = b"Obj\x01".to_vec();
    bytes.extend(long(2));
    for (key, value) in [(&b"avro.schema"[..], &schema[..]), (b"avro.codec", b"null")] {
        bytes.extend(string(key));
        bytes.extend(string(value));
    }
    bytes.extend(long(0));
    bytes.extend([salt; 16]);
    for first in (0..records).step_by(10) {
        let payload: Vec<u8> =
            (first..records.min(first + 10)).flat_map(|n| long(n + i64::from(salt) * 1000)).collect();
        bytes.extend(long(10.min(records - first)));
        bytes.extend(long(payload.len() as i64));
        bytes.extend(payload);
        bytes.extend([salt; 16]);
    }
    bytes
}

/// Warnings on standard error.
fn warnings(ran: &Ran) -> Vec<&str> {
    ran.stderr.lines().filter(|line| line.contains("warning")).collect()
}

fn save(snap: &Snap, more: &[&str]) -> Ran {
    snap.run(&[&["create", "--series", "s", "--fail-on-damaged"], more].concat())
}

fn restored(snap: &Snap, target: &str) -> std::path::PathBuf {
    let target = snap.path(target);
    snap.ok(&["restore", "latest", "--target", &text(&target)]);
    target
}

// --- Files that change while they are read ---------------------------------------------------------------------------

/// Begins a `create` of `src` with one thread, which a large first file keeps busy, while the walker is far ahead. Calls
/// `change` while that goes on, and waits for the end.
fn while_it_runs(snap: &Snap, change: impl FnOnce()) -> Ran {
    snap.write("src/0big", noise(8, 48 << 20));
    let mut child = snap
        .process(&["create", "src", "--threads", "1", "--series", "s", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The walker is far ahead of the one worker as soon as the first file is worked on and has been read a little.
    let pid = child.id();
    let began = Instant::now();
    let reads = || {
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: ").and_then(|n| n.parse::<u64>().ok()));
        read.unwrap_or(0)
    };
    while reads() < 6 << 20 && began.elapsed() < Duration::from_secs(60) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before anything could be changed");
        std::thread::sleep(Duration::from_millis(2));
    }
    change();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}

#[test]
fn a_name_of_a_linked_file_that_is_replaced_takes_no_other_name_with_it() {
    let snap = Snap::new();
    snap.write("src/a", "the linked file");
    std::fs::hard_link(snap.work("src/a"), snap.work("src/b")).unwrap();
    std::fs::hard_link(snap.work("src/a"), snap.work("src/c")).unwrap();
    snap.write("new", "new content of a only");
    let ran = while_it_runs(&snap, || std::fs::rename(snap.work("new"), snap.work("src/a")).unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let target = restored(&snap, "target").join("src");
    let read = |name: &str| std::fs::read_to_string(target.join(name)).unwrap();
    assert_eq!(
        (read("a"), read("b"), read("c")),
        ("new content of a only".into(), read("c"), "the linked file".into())
    );
    let inode = |name: &str| std::fs::metadata(target.join(name)).unwrap().ino();
    assert_eq!(inode("b"), inode("c"), "these two are still one file");
    assert_ne!(inode("a"), inode("b"));
}

#[test]
fn linked_files_that_hold_still_stay_linked_and_one_that_cannot_be_read_takes_none_with_it() {
    let snap = Snap::new();
    snap.write("src/a", "one");
    std::fs::hard_link(snap.work("src/a"), snap.work("src/b")).unwrap();
    for night in 0..2 {
        snap.ok(&["create", "src", "--series", "s"]);
        let target = restored(&snap, &format!("target{night}")).join("src");
        let inode = |name: &str| std::fs::metadata(target.join(name)).unwrap().ino();
        assert_eq!(inode("a"), inode("b"));
    }
}

#[test]
fn a_file_that_is_replaced_is_saved_with_its_own_mode_and_owner() {
    let snap = Snap::new();
    let mode =
        |path: &std::path::Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&snap.write("src/a", "public"), 0o644);
    let secret = snap.write("secret", "TOP SECRET");
    mode(&secret, 0o600);
    let attribute = rustix::fs::setxattr(&secret, "user.kind", b"secret", rustix::fs::XattrFlags::empty()).is_ok();
    let ran = while_it_runs(&snap, || std::fs::rename(&secret, snap.work("src/a")).unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let a = restored(&snap, "target").join("src/a");
    assert_eq!(std::fs::read_to_string(&a).unwrap(), "TOP SECRET");
    assert_eq!(std::fs::metadata(&a).unwrap().mode() & 0o777, 0o600);
    if attribute {
        let mut value = [0; 16];
        assert_eq!(rustix::fs::getxattr(&a, "user.kind", &mut value), Ok(6));
    }
}

// --- Sources that fight back ------------------------------------------------------------------------------------------

#[test]
fn a_file_that_grows_without_end_is_read_up_to_what_it_was() {
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    snap.write("src/log", vec![b'x'; 4 << 20]);
    let (stop, stopped) = (std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)), Instant::now());
    let path = snap.work("src/log");
    let writer = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            let mut written = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) && written < 512 << 20 {
                written += file.write(&[b'y'; 64 << 10]).unwrap();
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    });
    let ran = snap.run(&["create", "src", "--series", "s"]);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("it grew every time it was read"), "{}", ran.stderr);
    assert!(stopped.elapsed() < Duration::from_secs(120));
}

#[test]
fn files_that_would_block_and_those_that_are_none_are_reported() {
    let kmsg = std::path::Path::new("/proc/kmsg");
    if !kmsg.exists() || !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED files_that_would_block: this wants /proc/kmsg and root");
        return;
    }
    let snap = Snap::new();
    snap.write("src/a", "x");
    let mut command = snap.command(&["create", "src", "/proc/kmsg", "/proc/self/status", "--series", "s"]);
    command.timeout(Duration::from_secs(180));
    let ran = finish(&mut command);
    // In a container it cannot be opened at all; else it gives what there is, and then would wait.
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("/proc/kmsg"), "{}", ran.stderr);
    let status = snap.ok(&["dump", "latest:proc/self/status"]);
    assert!(status.stdout.starts_with("Name:"));
}

#[test]
fn holes_are_not_read() {
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    let path = snap.write("src/sparse", "begin");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(256 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", (256 << 20) - 3).unwrap();
    drop(file);
    if std::fs::metadata(&path).unwrap().blocks() * 512 > 1 << 20 {
        eprintln!("SKIPPED holes_are_not_read: this file system has no holes");
        return;
    }
    snap.ok(&["create", "src", "--series", "s"]);
    let target = restored(&snap, "target").join("src/sparse");
    let found = std::fs::metadata(&target).unwrap();
    assert_eq!(found.len(), 256 << 20);
    assert!(found.blocks() * 512 < 1 << 20, "it has its holes again");
    let file = std::fs::File::open(target).unwrap();
    let mut end = [9; 6];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut end, (256 << 20) - 6).unwrap();
    assert_eq!(&end, b"\0\0\0end");
    drop(file);
    // One that would take for ever is passed over, and reported.
    if std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 55).is_ok() {
        snap.write("src/small", "x");
        let ran = snap.ends(3, &["create", "src", "--series", "s"]);
        assert!(ran.stderr.contains("its holes have more than"), "{}", ran.stderr);
        assert_eq!(snap.ok(&["ls", "latest"]).lines(), ["src", "src/small"]);
    }
}

// --- Roots ------------------------------------------------------------------------------------------------------------

#[test]
fn a_root_that_is_a_link_is_followed_and_said_to_be_one() {
    let snap = Snap::new();
    snap.write("disk2/t.avro", avro(20, 1));
    symlink("disk2", snap.work("tables")).unwrap();
    for (path, expected) in [("tables", 1), ("tables/", 0), ("tables/.", 0)] {
        let ran = snap.ends(0, &["create", "--series", path, path]);
        assert_eq!(warnings(&ran).len(), expected, "{path}: {}", ran.stderr);
        let newest = format!("{path}:latest");
        assert_eq!(snap.ok(&["ls", &newest]).lines(), ["tables", "tables/t.avro"], "{path}");
    }
    // In a list, a link is a link; that it is one is said once.
    symlink("disk2", snap.work("other")).unwrap();
    snap.write("list", "tables\nother\n");
    let ran = snap.ends(0, &["create", "--series", "list", "--files-from", "list"]);
    assert_eq!(warnings(&ran).len(), 1, "{}", ran.stderr);
    assert_eq!(snap.ok(&["ls", "list:latest"]).lines(), ["other", "tables"]);
    snap.write("list", "tables/\n");
    snap.ok(&["create", "--series", "list", "--files-from", "list"]);
    assert_eq!(snap.ok(&["ls", "list:latest"]).lines(), ["tables", "tables/t.avro"]);
    // A link that lies in a root is one of what is there.
    snap.ok(&["create", "--series", "all", "."]);
    let ran = snap.ends(1, &["create", "--series", "file", "list/"]);
    assert!(ran.stderr.contains("list"), "{}", ran.stderr);
}

#[test]
fn a_list_of_very_many_paths_has_a_short_series_and_can_be_listed() {
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    let (mut list, count) = (Vec::new(), 2500);
    let deep = "d".repeat(100);
    for n in 0..count {
        let path = snap.write(&format!("src/{deep}/{n:06}"), "x");
        list.extend([text(&path).as_bytes(), b"\0"].concat());
    }
    std::fs::write(snap.work("list"), &list).unwrap();
    snap.ok(&["create", "--files-from-raw", "list"]);
    snap.ok(&["create", "--files-from-raw", "list", "--host", &"h".repeat(70_000), "--series", &"s".repeat(70_000)]);
    let again = snap.ok(&["create", "--files-from-raw", "list", "--json"]).summary();
    assert_eq!((again["series"].as_str().unwrap().len() < 300, again["files_new"].as_u64()), (true, Some(0)));
    for verb in [&["snapshots"][..], &["stats"], &["snapshots", "--json"], &["ls", "-l", "latest"], &["check"]] {
        let ran = snap.ends(0, verb);
        assert!(!ran.stderr.contains("panic"), "{verb:?}: {}", ran.stderr);
    }
    assert!(snap.ok(&["snapshots"]).lines().iter().all(|line| line.chars().count() < 1000));
}

#[test]
fn no_new_repository_is_made_where_this_machine_knows_one() {
    let snap = Snap::bare();
    let place = snap.path("mount");
    std::fs::create_dir(&place).unwrap();
    snap.write("src/a", "x");
    let at = text(&place.join("repository"));
    let create = ["create", "--init", "-r", &at, "src"];
    snap.ok(&create);
    snap.ok(&create);
    std::fs::rename(&place, snap.path("unmounted")).unwrap();
    std::fs::create_dir(&place).unwrap();
    let ran = snap.ends(10, &create);
    assert!(ran.stderr.contains("not mounted") && ran.stderr.contains("snap init"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
    // By another spelling, too.
    let ran = snap.ends(10, &["create", "--init", "-r", "../mount/./repository", "src"]);
    assert!(ran.stderr.contains("not mounted"), "{}", ran.stderr);
    std::fs::remove_dir(&place).unwrap();
    std::fs::rename(snap.path("unmounted"), &place).unwrap();
    snap.ok(&create);
    // One that is meant is made.
    std::fs::remove_dir_all(&place).unwrap();
    snap.ok(&["init", "-r", &at, "--kdf-memory", "8"]);
    snap.ok(&create);
    // A place that nobody knows is as good as any.
    snap.ok(&["create", "--init", "-r", &text(&snap.path("elsewhere")), "src"]);
}

// --- Alarms -----------------------------------------------------------------------------------------------------------

#[test]
fn a_torn_file_is_reported_every_night_until_it_is_sound() {
    let snap = Snap::new();
    let whole = avro(100, 1);
    snap.write("t/a.avro", &whole);
    assert_eq!(save(&snap, &["t"]).code, 0);
    snap.write("t/a.avro", &whole[..whole.len() - 9]);
    for night in 0..3 {
        let ran = save(&snap, &["t"]);
        assert_eq!((ran.code, warnings(&ran).len()), (3, 1), "{night}: {} {}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("a.avro") && ran.stderr.contains("cut off"));
        std::thread::sleep(Duration::from_millis(if night == 0 { 2100 } else { 0 }));
    }
    assert!(save(&snap, &["t"]).stdout.contains("1 unmodified"), "it is not even read");
    assert_eq!(snap.run(&["create", "--series", "s", "t"]).code, 0, "only where that is asked for");
    snap.write("t/a.avro", &whole);
    let ran = save(&snap, &["t"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_file_with_fewer_records_is_reported_every_night_until_it_has_them_again() {
    let snap = Snap::new();
    snap.write("t/a.avro", avro(100, 1));
    snap.write("t/b.avro", avro(50, 2));
    assert_eq!(save(&snap, &["t"]).code, 0);
    // Fewer; the same file; a little more; torn; no container at all; empty: it never was what it had been.
    let torn = avro(80, 3);
    for (night, content) in
        [avro(60, 1), avro(60, 1), avro(70, 2), torn[..400].to_vec(), b"garbage".to_vec(), Vec::new()]
            .iter()
            .enumerate()
    {
        snap.write("t/a.avro", content);
        let ran = save(&snap, &["t"]);
        assert_eq!((ran.code, warnings(&ran).len()), (3, 1), "{night}: {}", ran.stderr);
    }
    snap.write("t/a.avro", avro(99, 4));
    let ran = save(&snap, &["t"]);
    assert!(ran.stderr.contains("99 records, fewer than the 100"), "{}", ran.stderr);
    snap.write("t/a.avro", avro(100, 5));
    let ran = save(&snap, &["t"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    snap.write("t/a.avro", avro(10, 5));
    assert_eq!(save(&snap, &["t"]).code, 3);
    assert_eq!(save(&snap, &["t", "--accept-losses"]).code, 0, "if it is meant to be so");
    assert_eq!(save(&snap, &["t"]).code, 0);
}

#[test]
fn a_file_that_is_gone_is_reported_every_night_until_it_is_back() {
    let snap = Snap::new();
    for (name, salt) in [("t/x/a.avro", 1), ("t/x/b.avro", 2), ("t/y/c.avro", 3)] {
        snap.write(name, avro(100, salt));
    }
    assert_eq!(save(&snap, &["t"]).code, 0);
    std::fs::rename(snap.work("t/x/a.avro"), snap.path("away")).unwrap();
    for night in 0..3 {
        let ran = save(&snap, &["t"]);
        assert_eq!((ran.code, warnings(&ran).len()), (3, 1), "{night}: {}", ran.stderr);
        assert!(ran.stderr.contains("a.avro"), "{}", ran.stderr);
    }
    std::fs::rename(snap.path("away"), snap.work("t/x/a.avro")).unwrap();
    let ran = save(&snap, &["t"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    // A table that is written anew under other names is no loss; one that is left out is none, either.
    std::fs::remove_file(snap.work("t/x/a.avro")).unwrap();
    std::fs::remove_file(snap.work("t/x/b.avro")).unwrap();
    snap.write("t/x/d.avro", avro(200, 4));
    assert_eq!(save(&snap, &["t"]).stderr, "");
    assert_eq!(save(&snap, &["t", "--exclude", "y"]).stderr, "");
    assert_eq!(save(&snap, &["t"]).stderr, "");
    // A folder that was moved to another disk and left a link.
    std::fs::rename(snap.work("t/y"), snap.work("elsewhere")).unwrap();
    symlink("../elsewhere", snap.work("t/y")).unwrap();
    for _ in 0..2 {
        let ran = save(&snap, &["t"]);
        assert_eq!((ran.code, warnings(&ran).len()), (3, 1), "{}", ran.stderr);
    }
    assert_eq!(save(&snap, &["t", "--accept-losses"]).code, 0);
    assert_eq!(save(&snap, &["t"]).code, 0);
}

#[test]
fn a_partition_that_goes_while_another_comes_is_no_loss() {
    let snap = Snap::new();
    for day in 1..4 {
        snap.write(&format!("t/day={day}/part.avro"), avro(100, day));
    }
    assert_eq!(save(&snap, &["t"]).code, 0);
    for day in 4..6 {
        std::fs::remove_dir_all(snap.work(&format!("t/day={}", day - 3))).unwrap();
        snap.write(&format!("t/day={day}/part.avro"), avro(100, day));
        let ran = save(&snap, &["t"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    }
    std::fs::remove_dir_all(snap.work("t/day=5")).unwrap();
    assert_eq!(save(&snap, &["t"]).code, 3);
}

#[test]
fn a_source_that_is_empty_is_reported_every_night() {
    let snap = Snap::new();
    snap.write("t/x/a.txt", "x");
    assert_eq!(save(&snap, &["t"]).code, 0);
    std::fs::remove_dir_all(snap.work("t/x")).unwrap();
    for _ in 0..3 {
        let ran = save(&snap, &["t"]);
        assert_eq!((ran.code, warnings(&ran).len()), (3, 1), "{}", ran.stderr);
        assert!(ran.stderr.contains("is something not mounted?"));
    }
    snap.write("t/x/a.txt", "x");
    assert_eq!(save(&snap, &["t"]).stderr, "");
}

#[test]
fn that_a_source_is_empty_can_be_accepted() {
    let snap = Snap::new();
    snap.write("t/x/a.txt", "x");
    assert_eq!(save(&snap, &["t"]).code, 0);
    std::fs::remove_file(snap.work("t/x/a.txt")).unwrap();
    assert_eq!(save(&snap, &["t"]).code, 3);
    assert_eq!(save(&snap, &["t", "--accept-losses"]).code, 0);
    for _ in 0..2 {
        let ran = save(&snap, &["t"]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    }
    snap.ok(&["restore", "latest", "--target", "out", "--delete"]);
    // A source that was filled again and is empty again is an alarm again.
    snap.write("t/x/a.txt", "x");
    assert_eq!(save(&snap, &["t"]).code, 0);
    std::fs::remove_file(snap.work("t/x/a.txt")).unwrap();
    assert_eq!(save(&snap, &["t"]).code, 3);
    // What is left out is not gone.
    let snap = Snap::new();
    snap.write("t/b.avro", avro(10, 1));
    assert_eq!(save(&snap, &["t"]).code, 0);
    let ran = save(&snap, &["t", "-e", "b.avro"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

// --- Streams, and snapshots that nobody needs --------------------------------------------------------------------------

#[test]
fn what_a_command_writes_is_saved_if_the_command_ends_well() {
    let snap = Snap::new();
    let from = |script: &str| {
        let name = ["create", "--series", "dump", "--stdin-filename", "dump.sql"];
        snap.run(&[&name[..], &["--stdin-from-command", "--", "sh", "-c", script, "sh", "-x"]].concat())
    };
    let ran = from("echo \"all of it $1\"");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(snap.ok(&["dump", "latest:dump.sql"]).stdout, "all of it -x\n");
    for (script, said) in [
        ("echo half; exit 7", "exit code 7"),
        ("head -c 5000000 /dev/urandom; exit 1", "exit code 1"),
        ("echo half; kill -9 $$", "signal 9"),
    ] {
        let ran = from(script);
        assert_eq!(ran.code, 1, "{script}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{script}: {}", ran.stderr);
    }
    let ran = snap.run(&["create", "--stdin-from-command", "--", "no-such-command-anywhere"]);
    assert!(ran.code == 1 && ran.stderr.contains("no-such-command-anywhere"), "{}", ran.stderr);
    assert_eq!(snap.ok(&["snapshots", "--json"]).objects("snapshot").len(), 1);
    let ran = from("true");
    assert_eq!((ran.code, warnings(&ran).len()), (0, 1), "{}", ran.stderr);
    snap.ends(2, &["create", "--stdin-from-command"]);
    snap.ends(2, &["create", "--stdin", "--stdin-from-command", "--", "true"]);
}

#[test]
fn an_empty_standard_input_is_said_to_be_empty() {
    let snap = Snap::new();
    let ran = finish(snap.command(&["create", "--stdin"]).write_stdin(""));
    assert_eq!((ran.code, warnings(&ran).len()), (0, 1), "{}", ran.stderr);
    let ran = finish(snap.command(&["create", "--stdin"]).write_stdin("x"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn a_snapshot_that_holds_the_same_is_not_made_if_nobody_wants_it() {
    let snap = Snap::new();
    snap.write("t/a", "x");
    snap.write("t/sub/b", "y");
    let create = ["create", "--series", "s", "--skip-if-unchanged", "t", "--json"];
    let made = || !snap.ok(&create).summary()["snapshot_id"].is_null();
    assert!(made(), "the first");
    assert!(!made());
    assert!(!made());
    snap.write("t/a", "z");
    assert!(made(), "another content");
    assert!(!made());
    std::fs::set_permissions(snap.work("t/a"), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(made(), "another mode");
    std::fs::remove_file(snap.work("t/sub/b")).unwrap();
    assert!(made(), "one file less");
    assert!(!made());
    assert!(snap.ok(&create[..5]).stdout.contains("nothing has changed"));
    assert_eq!(snap.ok(&["snapshots", "--json"]).objects("snapshot").len(), 4);
    snap.ok(&["check", "--read-data"]);
    // A stream has no times.
    let stream =
        ["create", "--series", "d", "--skip-if-unchanged", "--json", "--stdin-from-command", "--", "echo", "x"];
    let made = || !snap.ok(&stream).summary()["snapshot_id"].is_null();
    assert!(made());
    assert!(!made());
}

// --- Clocks -----------------------------------------------------------------------------------------------------------

#[test]
fn after_a_snapshot_of_a_time_to_come_all_files_are_read_again() {
    let snap = Snap::new();
    snap.write("t/a", "x");
    std::thread::sleep(Duration::from_millis(2100));
    snap.ok(&["create", "--series", "s", "--time", "2099-01-01", "t"]);
    let ran = snap.ends(0, &["create", "--series", "s", "t"]);
    assert!(ran.stdout.contains("0 unmodified") && warnings(&ran).len() == 1, "{} {}", ran.stdout, ran.stderr);
    assert!(snap.ok(&["create", "--series", "s", "t"]).stdout.contains("1 unmodified"));
}
