//! `restore --delete` removes what is not in the snapshot, and nothing that nobody asked it to remove.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

use crate::cli;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use cli::{Ran, Snap, text};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What lies below the working directory, each with a slash behind it if it is a directory.
fn there(snap: &Snap, folder: &str) -> Vec<String> {
    fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        for name in names {
            let (path, shown) = (folder.join(&name), format!("{prefix}{}", name.to_string_lossy()));
            match fs::symlink_metadata(&path).unwrap().is_dir() {
                true => {
                    found.push(format!("{shown}/"));
                    walk(&path, &format!("{shown}/"), found);
                }
                false => found.push(shown),
            }
        }
    }
    let mut found = Vec::new();
    walk(&snap.work(folder), "", &mut found);
    found
}

/// The paths that were, or would be, removed.
fn deleted(ran: &Ran) -> Vec<String> {
    let mut paths: Vec<_> = ran.lines().iter().filter_map(|line| line.strip_prefix("- ")).map(str::to_owned).collect();
    paths.sort();
    paths
}

/// Restores with `-v`, after a dry run that must name the same and change nothing.
fn restore(snap: &Snap, folder: &str, arguments: &[&str]) -> Ran {
    let before = there(snap, folder);
    let dry = snap.run(&[&["restore", "-v", "-n"], arguments].concat());
    assert_eq!(there(snap, folder), before, "a dry run changes nothing");
    let ran = snap.run(&[&["restore", "-v"], arguments].concat());
    assert_eq!(deleted(&dry), deleted(&ran), "{arguments:?}: {} {}", dry.stderr, ran.stderr);
    ran
}

#[test]
fn what_create_passes_over_is_never_deleted() {
    let snap = Snap::bare();
    let places =
        [("SNAP_REPOSITORY", "proj/.snap"), ("SNAP_CACHE_DIR", "proj/.cache"), ("SNAP_STATE_DIR", "proj/.state")];
    let run = |arguments: &[&str]| {
        let mut command = snap.command(arguments);
        for (variable, place) in places {
            command.env(variable, snap.work(place));
        }
        let ran = cli::finish(command.current_dir(snap.work("proj")));
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        ran
    };
    snap.write("proj/data/t", "good");
    run(&["init", "--kdf-memory", "8"]);
    run(&["create", "."]);
    snap.write("proj/stale", "");
    let listed = run(&["ls", "latest"]).stdout;
    for name in ["config", "index.db", "head"] {
        assert!(!listed.contains(name), "{listed}");
    }
    run(&["restore", "latest", "-t", ".", "--delete"]);
    assert!(!snap.work("proj/stale").exists());
    for (_, place) in places {
        assert!(fs::read_dir(snap.work(place)).unwrap().count() > 0, "{place}");
    }
    run(&["check"]);

    // The repository has another place by now, and the old one is used for a copy of it.
    snap.write("proj/.snap2/config", "x");
    fs::rename(snap.work("proj/.snap"), snap.path("moved")).unwrap();
    snap.write("proj/.snap/of the other", "x");
    let mut command = snap.command(&["restore", "latest", "-t", ".", "--delete", "-r", &text(&snap.path("moved"))]);
    let ran = cli::finish(command.current_dir(snap.work("proj")).env("SNAP_STATE_DIR", snap.work("proj/.state")));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(snap.work("proj/.snap/of the other").exists() && !snap.work("proj/.snap2").exists());
}

#[test]
fn only_what_lies_below_a_root_is_deleted() {
    let snap = Snap::new();
    for path in ["home/sub/tables/t", "home/sub/photos/p", "home/mail/m"] {
        snap.write(path, path);
    }
    let here = |arguments: &[&str]| cli::finish(snap.command(arguments).current_dir(snap.work("home")));
    assert_eq!(here(&["create", "sub/tables"]).code, 0);
    assert_eq!(here(&["create", "--series", "abs", &text(&snap.work("home/sub/tables"))]).code, 0);
    snap.write("home/sub/tables/stale/x", "");
    let ran = restore(&snap, "home", &["latest", "--series", "abs", "-t", &text(&snap.path("other")), "--delete"]);
    assert_eq!((ran.code, deleted(&ran).len()), (0, 0));
    let relative = ["latest", "--path", &text(&snap.work("home/sub/tables")), "-t", "home", "--delete"];
    let id = here(&["snapshots", "--json"]).stdout;
    assert!(id.contains("abs"), "{id}");
    let series = format!("host:{}", text(&snap.work("home/sub/tables")));
    let ran = restore(&snap, "home", &[&relative[..], &["--series", &series]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(deleted(&ran), ["sub/tables/stale", "sub/tables/stale/x"]);
    assert_eq!(
        there(&snap, "home"),
        ["mail/", "mail/m", "sub/", "sub/photos/", "sub/photos/p", "sub/tables/", "sub/tables/t"]
    );

    // What leads to the root, restored as a subfolder, is no root either.
    snap.write("home/sub/tables/stale", "");
    let sub = ["latest:sub", "--series", &series, "-t", "home/sub", "--delete"];
    assert_eq!(deleted(&restore(&snap, "home", &sub)), ["tables/stale"]);
    // And below the root, the target itself is swept.
    snap.write("home/sub/tables/stale", "");
    let root = ["latest:sub/tables", "--series", &series, "-t", "home/sub/tables", "--delete"];
    assert_eq!(deleted(&restore(&snap, "home", &root)), ["stale"]);
    // A single file sweeps nothing.
    let file = ["latest:sub/tables/t", "--series", &series, "-t", "home/mail", "--delete"];
    assert_eq!(deleted(&restore(&snap, "home", &file)).len(), 0);
    assert!(snap.work("home/mail/m").exists());
}

#[test]
fn what_was_left_out_stays() {
    let snap = Snap::new();
    for (path, size) in [
        ("s/a.log", 1),
        ("s/B.TMP", 1),
        ("s/cache/c", 1),
        ("s/large", 3000),
        ("s/marked/.nobackup", 1),
        ("s/marked/x", 1),
        ("s/tagged/y", 1),
        ("s/file", 1),
        ("s/listed", 1),
    ] {
        snap.write(path, "x".repeat(size));
    }
    snap.write("s/tagged/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    snap.write("list", "listed\n");
    let _socket = UnixListener::bind(snap.work("s/socket")).unwrap();
    let create = [
        "create",
        "s",
        "-e",
        "*.log",
        "-e",
        "/**/cache",
        "--iexclude",
        "*.tmp",
        "--exclude-file",
        "list",
        "--exclude-larger-than",
        "2k",
        "--exclude-if-present",
        ".nobackup",
        "--exclude-caches",
    ];
    snap.ok(&create);
    let before = there(&snap, "s");
    for path in ["s/new.log", "s/gone/deep/z.log", "s/gone/deep/z", "s/gone/large", "s/also/gone", "s/later/.nobackup"]
    {
        snap.write(path, if path.ends_with("large") { "x".repeat(3000) } else { "x".into() });
    }
    let _another = UnixListener::bind(snap.work("s/also/socket")).unwrap();
    snap.write("s/later/x", "");
    let ran = restore(&snap, "s", &["latest:s", "-t", "s", "--delete"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(deleted(&ran), ["also/gone", "gone/deep/z"], "{}", ran.stdout);
    let stays = |path: &str| assert!(fs::symlink_metadata(snap.work("s").join(path)).is_ok(), "{path}");
    before.iter().for_each(|path| stays(path.trim_end_matches('/')));
    for path in ["new.log", "gone/deep/z.log", "gone/large", "also/socket", "later/.nobackup", "later/x"] {
        stays(path);
    }
    assert!(ran.stdout.contains("kept: left out when the snapshot was made"), "{}", ran.stdout);

    // Restored elsewhere, the same things are spared, though their absolute paths are others.
    for path in ["t/s/a.log", "t/s/cache/deep/c", "t/s/tagged/y", "t/s/stale"] {
        snap.write(path, "x");
    }
    let ran = restore(&snap, "t", &["latest", "-t", "t", "--delete"]);
    assert_eq!(deleted(&ran), ["s/stale"], "{}", ran.stdout);
}

#[test]
fn what_could_not_be_read_is_no_rubbish() {
    let snap = Snap::bare();
    snap.ok(&["init", "--encryption", "none"]);
    snap.write("s/secret/only-copy", "keep");
    snap.write("s/unreadable", "keep");
    snap.write("s/file", "x");
    snap.write("other/file", "x");
    let mode = |path: &str, mode| fs::set_permissions(snap.work(path), fs::Permissions::from_mode(mode)).unwrap();
    mode("s/secret", 0);
    mode("s/unreadable", 0);
    let mut command = snap.process(&["create", "s", "other"]);
    if is_root() {
        // Root reads everything: somebody else makes the snapshot.
        let chown = ["-R", "65534:65534"].map(str::to_owned).into_iter().chain([text(&snap.path(""))]);
        assert!(Command::new("chown").args(chown).status().unwrap().success());
        let locked = [text(&snap.work("s/secret")), text(&snap.work("s/unreadable"))];
        assert!(Command::new("chown").arg("0:0").args(locked).status().unwrap().success());
        command.uid(65534).gid(65534);
    }
    assert_eq!(command.status().unwrap().code(), Some(3));
    mode("s/secret", 0o700);
    mode("s/unreadable", 0o600);
    snap.write("s/stale", "");
    let all = ["latest", "-t", ".", "--delete"];
    for dry in [&["-n"][..], &[]] {
        let ran = snap.ends(1, &[&["restore"], &all[..], dry].concat());
        assert!(ran.stderr.contains("2 paths could not be read"), "{}", ran.stderr);
        assert!(ran.stderr.contains("--delete-despite-unreadable"), "{}", ran.stderr);
        assert!(snap.work("s/stale").exists());
    }
    let error = snap.ends(1, &[&["restore", "--json"], &all[..]].concat()).error();
    assert_eq!(error["code"], "delete_refused");
    // Where nothing was unreadable, nothing needs to be said.
    snap.write("other/stale", "");
    let ran = restore(&snap, "other", &["latest:other", "-t", "other", "--delete"]);
    assert_eq!((ran.code, deleted(&ran)), (0, vec!["stale".to_owned()]), "{}", ran.stderr);
    let ran = restore(&snap, "s", &[&all[..], &["--delete-despite-unreadable"]].concat());
    assert_eq!((ran.code, deleted(&ran)), (0, vec!["s/stale".to_owned()]), "{}", ran.stderr);
    assert_eq!(fs::read(snap.work("s/secret/only-copy")).unwrap(), b"keep");
    assert_eq!(fs::read(snap.work("s/unreadable")).unwrap(), b"keep");
}

#[test]
fn what_is_not_selected_is_not_swept() {
    let snap = Snap::new();
    snap.write("s/keep.avro", "x");
    snap.write("s/sub/keep.txt", "x");
    snap.ok(&["create", "s"]);
    let lay = || {
        for path in
            ["s/stale.avro", "s/stale.txt", "s/new/x.avro", "s/new/x.txt", "s/sub/stale.txt", "s/P/a", "s/P/b.avro"]
        {
            snap.write(path, "x");
        }
    };
    lay();
    let ran = restore(&snap, "s", &["latest:s", "-t", "s", "--delete", "--exclude", "P", "--exclude", "*.avro"]);
    assert_eq!(deleted(&ran), ["new/x.txt", "stale.txt", "sub/stale.txt"], "{}", ran.stderr);
    lay();
    let ran = restore(&snap, "s", &["latest:s", "-t", "s", "--delete", "--include", "*.avro"]);
    assert_eq!(deleted(&ran), ["P/b.avro", "new/x.avro", "stale.avro"], "{}", ran.stderr);
    lay();
    let ran = restore(&snap, "s", &["latest:s", "-t", "s", "--delete", "--include", "/s/sub"]);
    assert_eq!(deleted(&ran), ["sub/stale.txt"], "{}", ran.stderr);
}

#[test]
fn a_folder_gives_way_to_what_belongs_there_unless_something_in_it_must_stay() {
    let snap = Snap::new();
    snap.write("s/a", "file");
    snap.write("s/c", "another");
    symlink("a", snap.work("s/link")).unwrap();
    fs::hard_link(snap.work("s/c"), snap.work("s/d")).unwrap();
    snap.ok(&["create", "s", "-e", "*.log"]);
    for path in ["o/s/a/x/y", "o/s/link/z", "o/s/c/only.log", "o/s/d/e"] {
        snap.write(path, "x");
    }
    let without = snap.ends(1, &["restore", "latest", "-t", "o"]);
    assert!(without.stderr.contains("s/a"), "{}", without.stderr);
    assert!(snap.work("o/s/a/x/y").exists(), "without --delete, no folder that holds something goes");
    let ran = restore(&snap, "o", &["latest", "-t", "o", "--delete"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(deleted(&ran), ["s/a", "s/a/x", "s/a/x/y", "s/d", "s/d/e", "s/link", "s/link/z"], "{}", ran.stderr);
    assert_eq!(fs::read(snap.work("o/s/a")).unwrap(), b"file");
    assert_eq!(fs::read(snap.work("o/s/d")).unwrap(), b"another");
    assert_eq!(fs::read_link(snap.work("o/s/link")).unwrap(), Path::new("a"));
    assert_eq!(fs::read(snap.work("o/s/c/only.log")).unwrap(), b"x", "what was left out stays");
    assert!(ran.stderr.contains("s/c") && ran.stderr.contains("left out"), "{}", ran.stderr);
    // Where what is there is to stay, it stays.
    snap.write("p/s/a/x", "x");
    snap.run(&["restore", "latest", "-t", "p", "--delete", "--overwrite", "never"]);
    assert!(snap.work("p/s/a/x").exists());
}

#[test]
fn a_link_gives_way_to_the_folder_that_belongs_there_but_not_one_in_the_place_of_a_root() {
    let snap = Snap::new();
    snap.write("s/d/e/deep", "deep");
    snap.write("s/d/f", "file");
    snap.ok(&["create", "s", "-e", "/s/left-out"]);
    for path in ["s/d", "s/d/e"] {
        snap.write("elsewhere/f", "not to be touched");
        fs::remove_dir_all(snap.work(path)).unwrap();
        symlink(snap.work("elsewhere"), snap.work(path)).unwrap();
        let without = snap.ends(1, &["restore", "latest", "-t", "."]);
        assert!(without.stderr.contains("a symbolic link"), "{}", without.stderr);
        let spared = snap.ends(1, &["restore", "latest", "-t", ".", "--delete", "--overwrite", "never"]);
        assert!(spared.stderr.contains("a symbolic link"), "{}", spared.stderr);
        let ran = restore(&snap, ".", &["latest", "-t", ".", "--delete"]);
        assert_eq!((ran.code, deleted(&ran)), (0, vec![path.to_owned()]), "{}", ran.stderr);
        assert_eq!(there(&snap, "s"), ["d/", "d/e/", "d/e/deep", "d/f"]);
        assert_eq!(there(&snap, "elsewhere"), ["f"], "nothing is written through a link");
        assert_eq!(fs::read(snap.work("elsewhere/f")).unwrap(), b"not to be touched");
    }
    // The root itself may have been moved to another disk: then the link is meant to stay.
    fs::rename(snap.work("s"), snap.work("disk2")).unwrap();
    symlink("disk2", snap.work("s")).unwrap();
    snap.ends(1, &["restore", "latest", "-t", ".", "--delete"]);
    assert_eq!(fs::read_link(snap.work("s")).unwrap(), Path::new("disk2"));
}

#[test]
fn a_link_above_a_root_is_called_a_link() {
    let snap = Snap::new();
    snap.write("s/d/f", "file");
    snap.ok(&["create", "s/d"]);
    fs::rename(snap.work("s"), snap.work("disk2")).unwrap();
    symlink("disk2", snap.work("s")).unwrap();
    let ran = snap.ends(1, &["restore", "latest", "-t", ".", "--delete"]);
    assert!(
        ran.stderr.contains("a symbolic link stands in its place, above the paths that were saved"),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("folder"), "{}", ran.stderr);
    assert_eq!(fs::read_link(snap.work("s")).unwrap(), Path::new("disk2"));
}

#[test]
fn the_root_of_the_system_is_refused_whatever_it_is_called() {
    let snap = Snap::new();
    snap.write("s/file", "x");
    snap.ok(&["create", "s"]);
    symlink("/", snap.work("link")).unwrap();
    let targets = ["/", "//", "/tmp/..", "/proc/self/root", "link", "link/tmp/.."];
    for target in targets.into_iter().filter(|target| snap.path("work").join(target).exists()) {
        for filter in [&[][..], &["--include", "**"], &["--include", "/**"], &["--include", "/*"], &["--include", "s"]]
        {
            for dry in [&["-n"][..], &[]] {
                let ran = snap.run(&[&["restore", "latest", "-t", target, "--delete"], filter, dry].concat());
                assert_eq!(ran.code, 1, "{target} {filter:?}: {}", ran.stderr);
                assert!(ran.stderr.contains("root of the file system"), "{target} {filter:?}: {}", ran.stderr);
            }
        }
        // The subfolder comes to lie at the root: what names it names everything.
        snap.ends(1, &["restore", "latest:s", "-t", target, "--delete", "-n", "--include", "/s"]);
    }
    let named = snap.run(&["restore", "latest", "-t", "/", "--delete", "-n", "--include", "/s/none"]);
    assert_eq!((named.code, deleted(&named).len()), (0, 0), "{}", named.stderr);
}

#[test]
fn wrong_targets_are_refused() {
    let snap = Snap::new();
    snap.write("s/file", "x");
    let s = |arguments: &[&str]| cli::finish(snap.command(arguments).current_dir(snap.work("s")));
    assert_eq!(s(&["create", "."]).code, 0);
    let empty = snap.ends(2, &["restore", "latest", "--target", ""]);
    assert!(empty.stderr.contains("--target is empty"), "{}", empty.stderr);
    // Into the repository, or what is beside it of this program: never.
    let repository = text(&snap.path("repository"));
    symlink(snap.path("repository"), snap.work("link")).unwrap();
    let inside =
        [repository.clone(), format!("{repository}/packs/new"), "link".into(), "link/../repository/log".into()];
    for target in &inside {
        for delete in [&[][..], &["--delete"]] {
            let ran = snap.ends(1, &[&["restore", "latest", "-t", target], delete].concat());
            assert!(ran.stderr.contains("needs for itself"), "{}", ran.stderr);
        }
    }
    assert!(!snap.path("repository/file").exists() && !snap.path("repository/packs/new").exists());
    // A home is not what was saved here.
    fs::write(snap.path("home/precious"), "").unwrap();
    fs::create_dir_all(snap.path("home/sub")).unwrap();
    for target in [snap.path("home"), snap.path("home/sub/.."), snap.path("")] {
        let ran = snap.ends(1, &["restore", "latest", "-t", &text(&target), "--delete"]);
        assert!(ran.stderr.contains("home folder"), "{}", ran.stderr);
    }
    snap.ok(&["restore", "latest", "-t", &text(&snap.path("home/sub")), "--delete"]);
    let home = |arguments: &[&str]| cli::finish(snap.command(arguments).current_dir(snap.path("home")));
    assert_eq!(home(&["create", "."]).code, 0);
    fs::write(snap.path("home/stale"), "").unwrap();
    let id = home(&["restore", "latest", "--path", &text(&snap.path("home")), "-t", ".", "--delete"]);
    assert_eq!(id.code, 0, "{}", id.stderr);
    assert!(snap.path("home/precious").exists() && !snap.path("home/stale").exists());
    snap.ok(&["check"]);
}

#[test]
fn rows_that_lie_in_the_repository_in_use_are_not_restored_over_it() {
    let snap = Snap::new();
    snap.write("s/file", "x");
    fs::create_dir_all(snap.work("s/repo")).unwrap();
    fs::write(snap.work("s/repo/config"), "that of another day").unwrap();
    snap.ok(&["create", "s"]);
    fs::remove_dir_all(snap.work("s/repo")).unwrap();
    fs::rename(snap.path("repository"), snap.work("s/repo")).unwrap();
    let repo = text(&snap.work("s/repo"));
    let ran = snap.ends(1, &["restore", "latest", "-t", ".", "--delete", "-r", &repo]);
    assert!(ran.stderr.contains("repository in use"), "{}", ran.stderr);
    snap.ok(&["check", "-r", &repo]);
}

#[test]
fn one_obstacle_is_reported_and_passed() {
    if !is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let snap = Snap::new();
    snap.write("s/d/file", "x");
    fs::set_permissions(snap.work("s/d"), fs::Permissions::from_mode(0o751)).unwrap();
    snap.ok(&["create", "s"]);
    for path in ["s/a stale", "s/d/immutable", "s/d/other", "s/z stale/x"] {
        snap.write(path, "x");
    }
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(snap.work("s/d/immutable")).status();
    if !chattr("+i").is_ok_and(|status| status.success()) {
        eprintln!("skipped: this file system has no immutable files");
        return;
    }
    let ran = snap.run(&["restore", "-v", "latest", "-t", ".", "--delete"]);
    chattr("-i").unwrap();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("d/immutable") && ran.stderr.contains("not deleted"), "{}", ran.stderr);
    assert_eq!(there(&snap, "s"), ["d/", "d/file", "d/immutable"]);
    assert_eq!(fs::metadata(snap.work("s/d")).unwrap().mode() & 0o777, 0o751);
}

#[test]
fn nothing_is_swept_across_a_mount() {
    if !is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let snap = Snap::new();
    let script = r#"
        set -e; cd work; mkdir -p s/tmp s/bind s/deep/tmp real s/gone; echo x > s/file; echo precious > real/data
        mount -t tmpfs none s/tmp; echo precious > s/tmp/data; mount --bind real s/bind
        $SNAP create -q $1 s
        mkdir -p s/gone/later; mount -t tmpfs none s/gone/later; echo precious > s/gone/later/data; echo x > s/gone/stale
        echo more > s/tmp/more; echo more > s/bind/more; mkdir s/new; touch over s/new/file; mount --bind over s/new/file
        set +e; $SNAP restore latest:s -t s --delete; echo "code $?"
        cat s/tmp/data s/tmp/more s/bind/data s/bind/more s/gone/later/data; ls s/gone; ls s/new
    "#;
    for flag in ["-x", "--one-file-system", ""] {
        let mut command = Command::new("unshare");
        command.args(["-m", "bash", "-c", script, "bash", flag]).current_dir(snap.path("")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", snap.path("home"));
        command.env("SNAP", env!("CARGO_BIN_EXE_snap")).env("SNAP_PASSWORD", cli::PASSWORD);
        let output = command.env("SNAP_REPOSITORY", snap.path("repository")).output().unwrap();
        let (said, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if told.contains("unshare:") {
            eprintln!("skipped: no mount namespace: {told}");
            return;
        }
        assert!(said.ends_with("precious\nmore\nprecious\nmore\nprecious\nlater\nfile\n"), "{flag}: {said} {told}");
        assert!(said.contains("code 0"), "{flag}: {said} {told}");
        fs::remove_dir_all(snap.work("s")).unwrap();
        fs::remove_dir_all(snap.work("real")).unwrap();
    }
}

#[test]
fn many_sibling_folders_take_time_in_proportion() {
    let snap = Snap::quick();
    snap.ok(&["init", "--encryption", "none"]);
    let folders = 1000;
    for n in 0..folders {
        fs::create_dir_all(snap.work(&format!("s/{n:05}"))).unwrap();
    }
    snap.ok(&["create", "-q", "s"]);
    let seconds = |arguments: &[&str]| {
        let began = std::time::Instant::now();
        snap.ok(arguments);
        began.elapsed().as_secs_f64()
    };
    let without = seconds(&["restore", "latest", "-t", "."]);
    let with = seconds(&["restore", "latest", "-t", ".", "--delete"]);
    // Only a coarse measure, which a busy machine must not spoil.
    assert!(with < 10.0 * without + 20.0, "{with} s with --delete, {without} s without");
}

#[test]
fn a_dry_run_tells_what_differs() {
    let snap = Snap::new();
    for name in ["same", "longer", "gone"] {
        snap.write(&format!("s/{name}"), "x");
    }
    snap.ok(&["create", "s"]);
    snap.write("s/longer", "xyz");
    snap.write("s/new", "");
    fs::remove_file(snap.work("s/gone")).unwrap();
    let ran = snap.ok(&["restore", "-n", "-v", "latest:s", "-t", "s", "--delete"]);
    let mut lines: Vec<_> = ran.lines().into_iter().filter(|line| line.chars().nth(1) == Some(' ')).collect();
    lines.retain(|line| !line.starts_with(|first: char| first.is_ascii_digit()));
    lines.sort_unstable();
    assert_eq!(lines, ["+ gone", "- new", "= same", "M longer"], "{}", ran.stdout);
    let summary = snap.ok(&["restore", "-n", "--json", "latest:s", "-t", "s", "--delete"]).summary();
    for (field, number) in [("files_new", 1), ("files_differing", 1), ("files_same", 1), ("deleted", 1)] {
        assert_eq!(summary[field], number, "{field}");
    }
    // Into a folder that is not there, all is new, and the folder is not made.
    let ran = snap.ok(&["restore", "-n", "-v", "latest:s", "-t", "none", "--delete"]);
    assert!(ran.stdout.contains("+ same") && !snap.work("none").exists(), "{}", ran.stdout);
}
