//! What restored files and folders are besides their content, from the command line: modes, times, attributes, and what
//! an earlier restore left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use avro_snap::files::temporary::is_temporary;
use cli::{PASSWORD, Snap, text};
use rustix::fs::{Timespec, Timestamps, XattrFlags};

/// Some time long ago, in seconds since 1970.
const LONG_AGO: i64 = 1_234_567_890;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn set_old(path: &Path) {
    let old = Timespec { tv_sec: LONG_AGO, tv_nsec: 5 };
    let times = Timestamps { last_access: old, last_modification: old };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty()).unwrap();
}

fn mtime(path: &Path) -> i64 {
    fs::metadata(path).unwrap().mtime()
}

fn xattrs(path: &Path) -> Vec<String> {
    let mut buffer = vec![0; 4096];
    let length = rustix::fs::listxattr(path, &mut buffer).unwrap();
    let names = buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .filter(|name| !name.starts_with("security.s"))
        .collect()
}

/// Sets an attribute; false, and said so, where the file system has none.
fn set_xattr(path: &Path, name: &str, value: &[u8]) -> bool {
    let set = rustix::fs::setxattr(path, name, value, XattrFlags::empty());
    if let Err(error) = set {
        eprintln!("SKIPPED: {name} on {}: {error}", path.display());
    }
    set.is_ok()
}

/// An ACL that gives user 12345 everything.
fn acl() -> Vec<u8> {
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1u16, 7u16, u32::MAX), (2, 7, 12345), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend(tag.to_le_bytes().into_iter().chain(perm.to_le_bytes()).chain(id.to_le_bytes()));
    }
    acl
}

#[test]
fn nothing_is_inherited_from_the_folder_of_an_earlier_restore() {
    let snap = Snap::new();
    let private = snap.write("src/shared/private", "secret");
    set_mode(&private, 0o660);
    fs::create_dir(snap.work("src/shared/below")).unwrap();
    set_mode(&snap.work("src/shared/below"), 0o770);
    let shared = snap.work("src/shared");
    if !set_xattr(&shared, "system.posix_acl_default", &acl()) || !set_xattr(&shared, "system.posix_acl_access", &acl())
    {
        return;
    }
    snap.ok(&["create", "src"]);
    for turn in ["first", "second", "third"] {
        snap.ok(&["restore", "latest", "--target", "out"]);
        for (name, mode_of) in [("private", 0o660), ("below", 0o770)] {
            let path = snap.work(&format!("out/src/shared/{name}"));
            assert_eq!((xattrs(&path), mode(&path)), (vec![], mode_of), "{name} after the {turn} restore");
        }
        let mut names = xattrs(&snap.work("out/src/shared"));
        names.sort();
        assert_eq!(names, ["system.posix_acl_access", "system.posix_acl_default"]);
    }
    // Somebody gave access to what was restored.
    assert!(set_xattr(&snap.work("out/src/shared/below"), "system.posix_acl_access", &acl()));
    snap.ok(&["restore", "latest", "--target", "out"]);
    assert_eq!(xattrs(&snap.work("out/src/shared/below")), [""; 0]);
}

#[test]
fn attributes_that_the_snapshot_lacks_are_removed() {
    let snap = Snap::new();
    snap.write("src/dir/file", "x");
    let own = set_xattr(&snap.work("src/dir"), "user.own", b"1");
    snap.ok(&["create", "src"]);
    snap.ok(&["restore", "latest", "--target", "out"]);
    if !own {
        return;
    }
    assert!(set_xattr(&snap.work("out/src/dir"), "user.other", b"2"));
    assert!(set_xattr(&snap.work("out/src/dir"), "user.own", b"3"));
    snap.ok(&["restore", "latest", "--target", "out"]);
    assert_eq!(xattrs(&snap.work("out/src/dir")), ["user.own"]);
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(snap.work("out/src/dir"), "user.own", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"1");
}

#[test]
fn capabilities_come_back_only_where_asked_for() {
    let snap = Snap::new();
    let program = snap.write("src/program", "x");
    // cap_net_raw, permitted and effective.
    let capability = [1u32 | 2 << 24, 1 << 13, 0, 0, 0].map(u32::to_le_bytes).concat();
    if !set_xattr(&program, "security.capability", &capability) {
        return;
    }
    snap.ok(&["create", "src"]);
    let ran = snap.ok(&["restore", "latest", "--target", "out"]);
    assert_eq!(xattrs(&snap.work("out/src/program")), [""; 0]);
    assert!(ran.stdout.contains("1 without their set-id bits or capabilities"), "{}", ran.stdout);
    snap.ok(&["restore", "latest", "--target", "out", "--restore-suid"]);
    assert_eq!(xattrs(&snap.work("out/src/program")), ["security.capability"]);
    snap.ok(&["restore", "latest", "--target", "out"]);
    assert_eq!(xattrs(&snap.work("out/src/program")), [""; 0]);
}

#[test]
fn folders_on_the_way_to_an_include_are_what_they_were() {
    let snap = Snap::new();
    snap.write("src/a/b/wanted", "x");
    snap.write("src/a/other/unwanted", "x");
    for (path, mode) in [("src/a/b", 0o2751), ("src/a", 0o711), ("src", 0o750)] {
        set_mode(&snap.work(path), mode);
        set_old(&snap.work(path));
    }
    snap.ok(&["create", "src"]);
    for turn in 0..2 {
        snap.ok(&["restore", "latest", "--target", "out", "--include", "wanted"]);
        for (path, mode_of) in [("out/src/a/b", 0o2751), ("out/src/a", 0o711), ("out/src", 0o750)] {
            let path = snap.work(path);
            assert_eq!((mode(&path), mtime(&path)), (mode_of, LONG_AGO), "{} in turn {turn}", path.display());
        }
        assert!(!snap.work("out/src/a/other").exists());
    }
    // One that is another now was not asked for, and stays so.
    set_mode(&snap.work("out/src/a"), 0o700);
    set_mode(&snap.work("out/src/a/b"), 0o500);
    snap.ok(&["restore", "latest", "--target", "out", "--include", "wanted"]);
    assert_eq!((mode(&snap.work("out/src/a")), mode(&snap.work("out/src/a/b"))), (0o700, 0o500));
    assert_eq!(mode(&snap.work("out/src")), 0o750);
    // One that is asked for is restored.
    snap.ok(&["restore", "latest", "--target", "out", "--include", "/src/a"]);
    assert_eq!((mode(&snap.work("out/src/a")), mode(&snap.work("out/src/a/b"))), (0o711, 0o2751));
}

/// Makes everything in a folder that of a user without rights, where the test runs as root.
fn give_away(path: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    chown(path, Some(65534), Some(65534)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give_away(&entry.unwrap().path()));
    }
}

/// Runs the program as a user without rights.
fn as_user(snap: &Snap, arguments: &[&str]) -> Output {
    let mut command = snap.process(arguments);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command.output().unwrap()
}

#[test]
fn a_user_restores_again_into_folders_that_forbid_it() {
    let snap = Snap::new();
    give_away(&snap.path(""));
    for (name, _) in FORBIDDING {
        snap.write(&format!("src/{name}/below/file"), *name);
        snap.write(&format!("src/{name}/file"), *name);
        set_mode(&snap.write(&format!("src/{name}/unreadable"), *name), 0o000);
    }
    snap.ok(&["create", "src"]);
    // The folders forbid even their owner to look into them, so they are saved by whoever may.
    let saved = if rustix::process::geteuid().is_root() {
        FORBIDDING.iter().for_each(|(name, mode)| set_mode(&snap.work(&format!("src/{name}")), *mode));
        give_away(&snap.path(""));
        snap.ok(&["create", "src"]);
        give_away(&snap.path(""));
        FORBIDDING
    } else {
        eprintln!("SKIPPED in part: without root, folders that forbid everything cannot be saved");
        for name in ["d500", "d700"] {
            set_mode(&snap.work(&format!("src/{name}/unreadable")), 0o400);
        }
        set_mode(&snap.work("src/d500"), 0o500);
        snap.run(&["create", "src"]);
        &[("d500", 0o500), ("d700", 0o700)]
    };
    let options: [&[&str]; 4] = [&["--verify"], &["--verify"], &["--overwrite", "if-changed"], &["--include", "file"]];
    for more in options {
        let arguments = [&["restore", "latest", "--target", "out"], more].concat();
        let output = as_user(&snap, &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{more:?}");
        for (name, mode_of) in saved {
            let folder = snap.work(&format!("out/src/{name}"));
            assert_eq!(mode(&folder), *mode_of, "{name} {more:?}");
        }
    }
    saved.iter().for_each(|(name, _)| set_mode(&snap.work(&format!("out/src/{name}")), 0o700));
    saved.iter().filter(|(name, _)| snap.work(&format!("src/{name}")).exists()).for_each(|(name, _)| {
        set_mode(&snap.work(&format!("src/{name}")), 0o700);
        assert!(snap.work(&format!("out/src/{name}/below/file")).exists(), "{name}");
    });
}

/// Folders that take away rights from their owner.
const FORBIDDING: &[(&str, u32)] = &[("d000", 0), ("d400", 0o400), ("d500", 0o500), ("d600", 0o600), ("d700", 0o700)];

/// The name of something that a killed restore left.
fn left_over() -> String {
    let random = "0123456789abcdef";
    let hash = avro_snap::id::digest(format!(".snap-restore-{random}").as_bytes());
    let name = format!(".snap-restore-{random}{}.tmp", avro_snap::id::hex(&hash[..8]));
    assert!(is_temporary(name.as_bytes()));
    name
}

#[test]
fn what_killed_restores_left_is_removed_and_never_saved() {
    let snap = Snap::new();
    snap.write("src/dir/file", "x");
    snap.ok(&["create", "src"]);
    snap.ok(&["restore", "latest", "--target", "out"]);
    let left = left_over();
    // What a user may well call so is the user's.
    let own =
        [".snap-restore-.tmp", ".snap-0123456789abcdef.tmp", ".snap-restore-00112233445566778899aabbccddeeff.tmp"];
    for folder in ["out", "out/src", "out/src/dir"] {
        snap.write(&format!("{folder}/{left}"), "half");
        own.iter().for_each(|name| drop(snap.write(&format!("{folder}/{name}"), "own")));
    }
    snap.ok(&["create", "--series", "out", "out"]);
    let listed = snap.ok(&["ls", "out:latest"]);
    assert!(!listed.stdout.contains(&left), "{}", listed.stdout);
    own.iter()
        .for_each(|name| assert_eq!(listed.lines().iter().filter(|line| line.ends_with(name)).count(), 3, "{name}"));
    // A dry run removes nothing.
    let first = first_id(&snap);
    snap.ok(&["restore", &first, "--target", "out", "--dry-run"]);
    assert!(snap.work("out").join(&left).exists());
    snap.ok(&["restore", &first, "--target", "out", "--include", "file"]);
    for folder in ["out", "out/src", "out/src/dir"] {
        assert!(!snap.work(folder).join(&left).exists(), "{folder}");
        own.iter().for_each(|name| assert!(snap.work(folder).join(name).exists(), "{folder}/{name}"));
    }
}

fn first_id(snap: &Snap) -> String {
    let listed = snap.ok(&["snapshots", "--json"]);
    listed.objects("snapshot")[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn nothing_is_left_of_a_restore_that_is_killed() {
    let snap = Snap::new();
    let bytes: Vec<u8> = (0..40_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    snap.write("src/large", &bytes);
    snap.ok(&["create", "src"]);
    let out = snap.work("out");
    let mut command = snap.process(&["restore", "latest", "--target", &text(&out)]);
    for milliseconds in [20, 60, 100, 140, 200] {
        let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    snap.ok(&["restore", "latest", "--target", &text(&out)]);
    let names: Vec<PathBuf> = fs::read_dir(out.join("src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, [out.join("src/large")]);
    assert!(fs::read(out.join("src/large")).unwrap() == bytes);
}

#[test]
fn holes_are_made_where_asked_for() {
    let snap = Snap::new();
    snap.write("src/zeros", vec![0; 4 << 20]);
    snap.ok(&["create", "src"]);
    snap.ok(&["restore", "latest", "--target", "full"]);
    snap.ok(&["restore", "latest", "--target", "sparse", "--sparse", "--verify"]);
    let allocated = |target: &str| fs::metadata(snap.work(target).join("src/zeros")).unwrap().blocks();
    assert_eq!(fs::read(snap.work("sparse/src/zeros")).unwrap(), vec![0; 4 << 20]);
    assert!(allocated("full") > 0 && allocated("sparse") * 4 < allocated("full"), "{}", allocated("sparse"));
}

#[test]
fn patterns_come_in_all_the_ways_that_create_has() {
    let snap = Snap::new();
    for name in ["Report.AVRO", "table.avro", "notes.txt", "sub/Deep.avro"] {
        snap.write(&format!("src/{name}"), name);
    }
    snap.ok(&["create", "src"]);
    let list = snap.write("list", "# tables\n\n  *.avro  \n$WANTED\n");
    let restored = |more: &[&str]| -> Vec<String> {
        let _ = fs::remove_dir_all(snap.work("out"));
        let arguments = [&["restore", "latest", "--target", "out", "-q"], more].concat();
        let mut command = snap.command(&arguments);
        let ran = cli::finish(command.env("WANTED", "notes.*"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{more:?}");
        ["Report.AVRO", "notes.txt", "sub/Deep.avro", "table.avro"]
            .into_iter()
            .filter(|name| snap.work("out/src").join(name).exists())
            .map(str::to_owned)
            .collect()
    };
    let list = text(&list);
    assert_eq!(restored(&["--include", "*.avro"]), ["sub/Deep.avro", "table.avro"]);
    assert_eq!(restored(&["--iinclude", "*.avro"]), ["Report.AVRO", "sub/Deep.avro", "table.avro"]);
    assert_eq!(restored(&["--include-file", &list]), ["notes.txt", "sub/Deep.avro", "table.avro"]);
    assert_eq!(restored(&["--iinclude-file", &list]).len(), 4);
    assert_eq!(restored(&["--exclude", "*.avro"]), ["Report.AVRO", "notes.txt"]);
    assert_eq!(restored(&["--iexclude", "*.avro"]), ["notes.txt"]);
    assert_eq!(restored(&["--exclude-file", &list]), ["Report.AVRO"]);
    assert_eq!(restored(&["--iexclude-file", &list]), [""; 0]);
    assert_eq!(restored(&["--iinclude", "*.AVRO", "--exclude", "sub"]), ["Report.AVRO", "table.avro"]);
    // A list of nothing would restore everything.
    let empty = text(&snap.write("empty", "# nothing\n"));
    let ran = snap.run(&["restore", "latest", "--target", "out", "--include-file", &empty]);
    assert!(ran.code != 0 && ran.stderr.contains("no pattern"), "{}", ran.stderr);
}

#[test]
fn an_include_that_matches_nothing_is_said() {
    let snap = Snap::new();
    snap.write("src/file", "x");
    snap.ok(&["create", "src"]);
    let ran = snap.run(&["restore", "latest", "--target", "out", "--include", "file", "--iinclude", "/SRC/nothing"]);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.stderr, "snap: warning: nothing in the snapshot matches --iinclude \"/SRC/nothing\"\n");
    assert!(snap.work("out/src/file").exists());
    let ran = snap.run(&["restore", "latest", "--target", "none", "--include", "nothing", "--dry-run"]);
    assert!(ran.stderr.contains("nothing in the snapshot matches --include \"nothing\""), "{}", ran.stderr);
}

#[test]
fn what_is_remembered_of_repositories_is_read_by_nobody_else() {
    let snap = Snap::new();
    snap.write("src/file", "x");
    for umask in ["0", "277"] {
        let script = format!("umask {umask}; exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_snap"), "create", "-q", "src"]);
        command.current_dir(snap.path("work")).env_clear().env("HOME", snap.path("home"));
        command
            .env("SNAP_STATE_DIR", snap.path("home").join("state"))
            .env("SNAP_CACHE_DIR", snap.path("home").join("cache"));
        command.env("SNAP_REPOSITORY", snap.path("repository")).env("SNAP_PASSWORD", PASSWORD);
        if umask == "0" {
            assert!(command.status().unwrap().success());
        } else {
            // Whatever else does not work under such an umask.
            let _ = command.output().unwrap();
        }
        let mut files = 0;
        let mut folders = vec![snap.path("home").join("state")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        assert_eq!(mode(&path), 0o600, "{}", path.display());
                        files += 1;
                    }
                }
            }
        }
        assert!(files > 0);
    }
}

/// Restores into `out` over what is there already.
fn restore_over(snap: &Snap, policy: &str, more: &[&str]) -> serde_json::Value {
    let arguments = ["restore", "latest", "--target", "out", "--json", "--overwrite", policy];
    snap.ok(&[&arguments[..], more].concat()).summary()
}

#[test]
fn an_unchanged_file_gets_its_metadata_back_and_keeps_its_content() {
    let snap = Snap::new();
    let file = snap.write("src/file", "saved");
    let has_xattrs = set_xattr(&file, "user.own", b"1");
    set_mode(&file, 0o440);
    set_old(&file);
    snap.ok(&["create", "src"]);
    snap.ok(&["restore", "latest", "--target", "out"]);
    let out = snap.work("out/src/file");
    let spoil = || {
        set_mode(&out, 0o666);
        // Other content of the same size and time, which shows that it is not written again.
        fs::write(&out, "xaved").unwrap();
        if has_xattrs {
            assert!(set_xattr(&out, "user.own", b"2") && set_xattr(&out, "user.other", b"3"));
        }
        set_old(&out);
    };
    let own = |path: &Path| {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(path, "user.own", &mut value[..]).unwrap();
        value[..length].to_vec()
    };
    for policy in ["if-newer", "never"] {
        spoil();
        let said = restore_over(&snap, policy, &[]);
        assert_eq!((&said["files_skipped"], &said["metadata_restored"]), (&1.into(), &0.into()), "{policy}");
        assert_eq!(mode(&out), 0o666, "{policy}");
    }
    let said = restore_over(&snap, "if-changed", &["--dry-run"]);
    assert_eq!((&said["metadata_restored"], mode(&out)), (&1.into(), 0o666), "a dry run changes nothing");
    let said = restore_over(&snap, "if-changed", &[]);
    assert_eq!((&said["files_skipped"], &said["metadata_restored"]), (&1.into(), &1.into()));
    assert_eq!((fs::read_to_string(&out).unwrap().as_str(), mode(&out), mtime(&out)), ("xaved", 0o440, LONG_AGO));
    if has_xattrs {
        assert_eq!((xattrs(&out), own(&out)), (vec!["user.own".to_owned()], b"1".to_vec()));
    }
    // What is right is not touched: the next `create` would read it again.
    let before = fs::metadata(&out).map(|file| (file.ctime(), file.ctime_nsec())).unwrap();
    assert_eq!(restore_over(&snap, "if-changed", &[])["metadata_restored"], 0);
    assert_eq!(fs::metadata(&out).map(|file| (file.ctime(), file.ctime_nsec())).unwrap(), before);
}

#[test]
fn other_names_of_an_unchanged_file_keep_their_metadata() {
    let snap = Snap::new();
    for name in ["alone", "first"] {
        set_old(&snap.write(&format!("src/{name}"), "saved"));
        set_mode(&snap.work(&format!("src/{name}")), 0o600);
    }
    fs::hard_link(snap.work("src/first"), snap.work("src/second")).unwrap();
    snap.ok(&["create", "src"]);
    snap.ok(&["restore", "latest", "--target", "out"]);
    let out = |name: &str| snap.work(&format!("out/src/{name}"));
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    for name in ["alone", "first"] {
        fs::hard_link(out(name), snap.work(&format!("outside-{name}"))).unwrap();
        set_mode(&out(name), 0o644);
    }
    let said = restore_over(&snap, "if-changed", &[]);
    // They share their metadata with names that nobody asked to restore, so others take their place.
    assert_eq!(said["metadata_restored"], 0, "{said}");
    for name in ["alone", "first", "second"] {
        assert_eq!((mode(&out(name)), fs::read_to_string(out(name)).unwrap().as_str()), (0o600, "saved"), "{name}");
    }
    assert_eq!(inode(&out("first")), inode(&out("second")));
    for name in ["alone", "first"] {
        let outside = snap.work(&format!("outside-{name}"));
        assert_eq!(mode(&outside), 0o644, "{name}");
        assert_ne!(inode(&outside), inode(&out(name)), "{name}");
    }
}

#[test]
fn an_unchanged_file_gets_its_owner_back() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root gives files away");
        return;
    }
    let snap = Snap::new();
    let file = snap.write("src/file", "saved");
    chown(&file, Some(12345), Some(12346)).unwrap();
    set_mode(&file, 0o640);
    snap.ok(&["create", "src"]);
    snap.ok(&["restore", "latest", "--target", "out"]);
    let out = snap.work("out/src/file");
    chown(&out, Some(0), Some(0)).unwrap();
    set_mode(&out, 0o4755);
    assert_eq!(restore_over(&snap, "if-changed", &[])["metadata_restored"], 1);
    let there = fs::metadata(&out).unwrap();
    assert_eq!((there.uid(), there.gid(), mode(&out)), (12345, 12346, 0o640));
}

#[test]
fn verbose_names_what_was_restored_and_not_what_failed_or_was_left() {
    let snap = Snap::new();
    for name in ["fails", "left", "restored"] {
        set_old(&snap.write(&format!("src/{name}"), "saved"));
    }
    fs::hard_link(snap.work("src/restored"), snap.work("src/same")).unwrap();
    let saved = snap.ok(&["create", "-v", "src"]).stdout;
    for name in ["fails", "left", "restored"] {
        assert!(saved.lines().any(|line| line.ends_with(&format!("src/{name}"))), "{name}: {saved}");
    }
    // What stands there is not removed without --delete.
    snap.write("out/src/fails/in-the-way", "");
    set_old(&snap.write("out/src/left", "there!"));
    let left = snap.work("out/src/left");
    fs::write(&left, "there").unwrap();
    set_old(&left);
    let ran = snap.ends(1, &["restore", "-v", "latest", "--target", "out", "--overwrite", "if-changed"]);
    let mut named: Vec<&str> = ran.lines().into_iter().filter(|line| line.starts_with("src/")).collect();
    named.sort_unstable();
    assert_eq!(named, ["src/restored", "src/same"], "{}", ran.stdout);
    assert!(ran.stderr.contains("src/fails"), "{}", ran.stderr);
}
