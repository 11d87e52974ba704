//! What people type: names of snapshots, times, lists, restic's habits, and what is said about what does not exist.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;

use std::fs;

use cli::{PASSWORD, Ran, Snap, finish, text};

/// Saves `data` as a snapshot of a series; gives its id.
fn save(snap: &Snap, series: &str, time: &str) -> String {
    let ran = snap.run(&["create", "data", "--json", "--series", series, "--time", time]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.summary()["snapshot_id"].as_str().unwrap().to_owned()
}

fn there(snap: &Snap) -> Vec<String> {
    let objects = snap.ok(&["snapshots", "--json"]).objects("snapshot");
    objects.iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect()
}

/// Two series of two snapshots each; the file says which one it is of.
fn two_series() -> (Snap, Vec<String>) {
    let snap = Snap::new();
    let mut ids = Vec::new();
    for (series, day) in [("a", 1), ("b", 2), ("a", 3), ("b", 4)] {
        snap.write("data/file", format!("{series}{day}"));
        ids.push(save(&snap, series, &format!("2026-03-0{day}")));
    }
    (snap, ids)
}

#[test]
fn an_empty_name_is_a_usage_error_everywhere() {
    let (snap, ids) = two_series();
    for arguments in [
        &["forget", ""][..],
        &["forget", "", "--prune"],
        &["forget", &ids[0], ""],
        &["forget", ":"],
        &["forget", "latest:"],
        &["create", "data", "--series", ""],
        &["forget", "--undo", ""],
        &["forget"],
        &["forget", "--prune"],
        &["forget", "--series", ""],
        &["forget", "--keep-last", "0"],
        &["forget", "--keep-last", ""],
        &["forget", "--keep-last", "-2"],
        &["forget", "--keep-last", "0", "--keep-daily", "0", "--keep-within", "0d"],
        &["forget", "--keep-last", "1", "--host", ""],
        &["create", "data", "--series", ""],
        &["create", "data", "--series", " "],
        &["tag", "latest", "--add", ""],
        &["tag", "latest", "--remove", ","],
        &["forget", "--keep-last", "1", "--series", ""],
        &["forget", "--keep-last", "1", "--tag", ""],
        &["forget", "--keep-last", "1", "--group-by", ""],
        &["forget", "--keep-tag", ""],
        &["forget", "--tag", "", "--unsafe-allow-remove-all"],
        &["ls", ""],
        &["ls", ":data"],
        &["ls", "latest", ""],
        &["cat", ":data/file"],
        &["dump", ":data/file"],
        &["dump", "latest", ""],
        &["restore", "", "-t", "out"],
        &["restore", ":data", "-t", "out"],
        &["diff", "", "latest"],
        &["diff", "latest", ""],
        &["find", "x", "-s", ""],
        &["tag", "", "--add", "x"],
        &["stats", ""],
        &["manifest", "", "-o", "m"],
        &["check", "--avro", "--snapshot", ""],
        &["schema", "ls", ""],
        &["repair", "payloads", ""],
        &["recover", ""],
        &["key", "remove", ""],
        &["create", "data", "--parent", ""],
    ] {
        let ran = snap.ends(2, arguments);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{arguments:?}");
        assert_eq!(there(&snap), ids, "{arguments:?}");
    }
}

#[test]
fn what_is_deleted_is_named_beyond_doubt() {
    let (snap, ids) = two_series();
    for refused in ["latest", "latest~1", &ids[0][..1], &ids[0][..3]] {
        let ran = snap.ends(2, &["forget", refused]);
        assert!(ran.stderr.contains("not clear") || ran.stderr.contains("at least 4"), "{refused}: {}", ran.stderr);
    }
    // All or nothing.
    snap.ends(1, &["forget", &ids[0], "ffffffffffff"]);
    assert_eq!(there(&snap), ids);
    snap.ok(&["forget", "a:latest"]);
    assert_eq!(there(&snap), [&*ids[0], &*ids[1], &*ids[3]]);
    snap.ok(&["forget", "latest", "--series", "b"]);
    snap.ok(&["forget", &ids[0][..12]]);
    assert_eq!(there(&snap), [&*ids[1]]);
    snap.ok(&["forget", "latest"]);
    assert_eq!(there(&snap), [""; 0], "one series is left, so it is clear");
    // A first key cannot go by a digit, either.
    let key = snap.ok(&["key", "list", "--json"]).objects("key")[0]["id"].as_str().unwrap().to_owned();
    snap.ends(2, &["key", "remove", &key[..1]]);
}

#[test]
fn latest_is_that_of_one_series_and_says_which() {
    let (snap, ids) = two_series();
    let content = |arguments: &[&str]| -> Ran { snap.ends(0, &[&["dump"], arguments].concat()) };
    for (which, more, expected, is_warned) in [
        ("latest", &[][..], "b4", true),
        ("latest~1", &[], "b2", true),
        ("a:latest", &[], "a3", false),
        ("a:latest~1", &[], "a1", false),
        ("b:latest~1", &[], "b2", false),
        ("latest", &["--series", "a"], "a3", false),
        ("latest", &["--at", "2026-03-03"], "a3", true),
        (&ids[0], &[], "a1", false),
    ] {
        for arguments in [vec![format!("{which}:data/file")], vec![which.to_owned(), "data/file".to_owned()]] {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
            let ran = content(&arguments);
            assert_eq!(ran.stdout, expected, "{arguments:?}");
            assert_eq!(ran.stderr.contains("there are 2 series"), is_warned, "{arguments:?}: {}", ran.stderr);
        }
    }
    for arguments in [
        &["ls", "latest"][..],
        &["diff", "latest~1", "latest"],
        &["restore", "latest", "-t", "out"],
        &["find", "file", "-s", "latest"],
        &["stats", "latest"],
        &["tag", "latest", "--add", "x"],
        &["manifest", "latest", "-o", "m"],
    ] {
        let ran = snap.ends(0, arguments);
        assert!(ran.stderr.contains("\"b\"") && ran.stderr.contains(&ids[3][..8]), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(snap.ok(&["diff", "a:latest~1", "a:latest"]).lines()[0], "M  data/file  (2 B -> 2 B)");
    for arguments in [
        &["ls", "a:latest"][..],
        &["restore", "a:latest", "-t", "out"],
        &["stats", "a:latest"],
        &["tag", "a:latest", "--add", "y"],
        &["manifest", "a:latest", "-o", "n"],
        &["create", "data", "--series", "a", "--parent", "b:latest"],
    ] {
        snap.ok(arguments);
    }
    assert_eq!(fs::read_to_string(snap.work("out/data/file")).unwrap(), "a3");
    snap.ends(1, &["ls", "c:latest"]);
    snap.ends(2, &["dump", "a:latest"]);
}

#[test]
fn what_is_dated_in_the_future_is_not_latest() {
    let snap = Snap::new();
    snap.write("data/file", "old");
    let ahead = save(&snap, "s", "2100-01-01");
    assert!(snap.ends(1, &["ls", "latest"]).stderr.contains("dated in the future"));
    snap.write("data/file", "new");
    let now = save(&snap, "s", "now");
    let ran = snap.ends(0, &["dump", "latest", "data/file"]);
    assert_eq!(ran.stdout, "new");
    assert!(ran.stderr.contains(&ahead[..8]) && ran.stderr.contains("future"), "{}", ran.stderr);
    assert_eq!(snap.ok(&["dump", &ahead, "data/file"]).stdout, "old");
    assert_eq!(snap.ok(&["dump", "--at", "2100-01-02", "latest", "data/file"]).stdout, "old");
    let ran = snap.ends(0, &["forget", "latest", "--dry-run", "--json", "--no-size"]);
    assert_eq!(ran.objects("snapshot")[0]["id"], now);
    assert_eq!(snap.ok(&["snapshots", "--latest", "1", "--json"]).objects("snapshot").len(), 2, "both are shown");
}

#[test]
fn times_are_given_as_people_give_them() {
    let snap = Snap::new();
    snap.write("data/file", "x");
    for (time, expected) in [
        ("@1700000000", "2023-11-14T22:13:20Z"),
        ("2023-11", "2023-11-01T00:00:00Z"),
        ("2023-11-14 12:00", "2023-11-14T12:00:00Z"),
    ] {
        save(&snap, "s", time);
        let shown = snap.ok(&["snapshots", "--json"]).objects("snapshot");
        assert!(shown.iter().any(|root| root["time"] == expected), "{time}: {shown:?}");
    }
    for (at, expected) in [("@1699999999", 2), ("2023-11", 3), ("2023-10", 0), ("yesterday", 3), ("2 days ago", 3)] {
        let shown = snap.ok(&["snapshots", "--json", "--at", at]).objects("snapshot");
        assert_eq!(shown.len(), expected, "{at}");
    }
    for wrong in ["9999-12-31", "1500-01-01", "@99999999999999", "999999 years ago", "someday", "2026-02-30", ""] {
        for arguments in [&["create", "data", "--time", wrong][..], &["snapshots", "--at", wrong]] {
            assert!(!snap.ends(2, arguments).stderr.is_empty(), "{arguments:?}");
        }
    }
}

#[test]
fn lists_may_have_a_byte_order_mark_or_be_utf_16() {
    let snap = Snap::new();
    for name in ["data/one.tmp", "data/öl", "data/three"] {
        snap.write(name, name);
    }
    let utf16 =
        |text: &str| -> Vec<u8> { format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for (number, list) in
        [utf16("data/öl\r\ndata/one.tmp\r\n"), "\u{feff}data/öl\ndata/one.tmp\n".as_bytes().to_vec()].iter().enumerate()
    {
        snap.write("list", list);
        let series = ["lists", "marked lists"][number];
        snap.ok(&["create", "--files-from", "list", "--series", series]);
        let listed = snap.ok(&["ls", &format!("{series}:latest")]);
        assert_eq!(listed.lines(), ["data", "data/one.tmp", "data/öl"]);
    }
    for (number, list) in [utf16("*.tmp\r\nöl\r\n"), "\u{feff}*.tmp\nöl".as_bytes().to_vec()].iter().enumerate() {
        snap.write("patterns", list);
        let series = ["patterns", "marked patterns"][number];
        snap.ok(&["create", "data", "--exclude-file", "patterns", "--series", series]);
        assert_eq!(snap.ok(&["ls", &format!("{series}:latest")]).lines(), ["data", "data/three"]);
    }
    // Without a mark it is refused, and not taken for paths that are not there.
    snap.write("list", &utf16("data/three")[2..]);
    let ran = snap.run(&["create", "--files-from", "list"]);
    assert!(ran.code == 2 && ran.stderr.contains("NUL"), "{}", ran.stderr);
    snap.write("list", b"\xff\xfe\0\xd8");
    assert_ne!(snap.run(&["create", "data", "--exclude-file", "list"]).code, 0);
    snap.write("empty", "# nothing\n");
    for (flag, list) in [("--include-file", "list"), ("--exclude-file", "list"), ("--include-file", "empty")] {
        snap.ends(2, &["restore", "patterns:latest", "--target", "out", flag, list]);
    }
}

#[test]
fn names_with_line_breaks_are_listed_with_nul_and_escaped_in_messages() {
    let snap = Snap::new();
    snap.write("data/a\nb\u{1b}[31m", "x");
    save(&snap, "s", "now");
    assert_eq!(snap.ok(&["ls", "-0", "latest"]).bytes, b"data\0data/a\nb\x1b[31m\0");
    assert_eq!(snap.ok(&["find", "-0", "a*"]).bytes, b"data/a\nb\x1b[31m\0");
    snap.ends(2, &["ls", "-0", "--json", "latest"]);
    let ran = snap.ends(1, &["ls", "latest", "x\ny\u{1b}[2J"]);
    assert!(!ran.stderr.contains('\u{1b}') && ran.stderr.contains("x\\x0ay\\x1b[2J"), "{:?}", ran.stderr);
}

#[test]
fn a_path_may_follow_the_snapshot() {
    let snap = Snap::new();
    snap.write("data/a/one", "1");
    snap.write("data/b/two", "2");
    save(&snap, "s", "now");
    assert_eq!(snap.ok(&["ls", "latest", "/data/a"]).lines(), ["data/a", "data/a/one"]);
    assert_eq!(snap.ok(&["ls", "latest", "data/b", "data/a/one"]).lines(), ["data/b", "data/b/two", "data/a/one"]);
    assert_eq!(snap.ok(&["dump", "latest", "/data/b/two"]).stdout, "2");
    snap.ends(2, &["ls", "latest:data", "data/a"]);
    snap.ends(2, &["dump", "latest:data", "data/a"]);
    snap.ends(1, &["ls", "latest", "nothing"]);
    snap.ends(2, &["dump", "latest"]);
}

#[test]
fn a_directory_is_dumped_as_a_tar_archive() {
    let snap = Snap::new();
    let long = format!("data/{}", ["directory-with-a-long-name"; 6].join("/"));
    snap.write("data/one", "first");
    snap.write(&format!("{long}/file"), "far away");
    snap.write("data/empty", "");
    fs::hard_link(snap.work("data/one"), snap.work("data/two")).unwrap();
    std::os::unix::fs::symlink("one", snap.work("data/zz-link")).unwrap();
    save(&snap, "s", "now");
    for arguments in [
        &["dump", "latest", "data", "--archive", "tar", "-o", "a.tar"][..],
        &["dump", "latest:data", "-a", "tar", "-o", "a.tar"],
        &["dump", "latest", "/", "-a", "tar", "-o", "a.tar"],
        &["dump", "latest", "-a", "tar", "-t", "a.tar"],
    ] {
        snap.ok(arguments);
        fs::create_dir(snap.work("out")).unwrap();
        let tar =
            assert_cmd::Command::new("tar").args(["xf", "a.tar", "-C", "out"]).current_dir(snap.path("work")).output();
        let tar = tar.unwrap();
        assert!(tar.status.success() && tar.stderr.is_empty(), "{}", String::from_utf8_lossy(&tar.stderr));
        let read = |name: &str| fs::read_to_string(snap.work("out").join(name)).unwrap();
        assert_eq!(
            (read("data/one"), read("data/two"), read(&format!("{long}/file"))),
            ("first".into(), "first".into(), "far away".into())
        );
        assert_eq!(fs::read_link(snap.work("out/data/zz-link")).unwrap(), std::path::Path::new("one"));
        let modified = |name: &str| fs::metadata(snap.work(name)).unwrap().modified().unwrap();
        assert_eq!(modified("data/one"), modified("out/data/one"), "to the nanosecond");
        fs::remove_dir_all(snap.work("out")).unwrap();
    }
    // Of a part, whose first name is elsewhere, the content is there.
    snap.ok(&["dump", "latest", "data/two", "-a", "tar", "-o", "a.tar"]);
    let tar =
        assert_cmd::Command::new("tar").args(["xOf", "a.tar", "data/two"]).current_dir(snap.path("work")).output();
    assert_eq!(tar.unwrap().stdout, b"first");
    snap.ends(2, &["dump", "latest", "data", "--archive", "zip"]);
    let ran = snap.ends(1, &["dump", "latest", "data"]);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("--archive tar"), "{}", ran.stderr);
    snap.ends(2, &["dump", "latest", "/"]);
    snap.ends(1, &["dump", "latest", "nothing", "--archive", "tar"]);
}

#[test]
fn a_file_is_found_once_for_each_content() {
    let (snap, ids) = two_series();
    let again = save(&snap, "b", "2026-03-05");
    let found = snap.ok(&["find", "file", "--json"]).objects("match");
    let snapshots: Vec<Vec<&str>> = found
        .iter()
        .map(|one| one["snapshots"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect())
        .collect();
    assert_eq!(snapshots, [vec![&*ids[0]], vec![&*ids[1]], vec![&*ids[2]], vec![&*ids[3], &*again]]);
    let said = snap.ok(&["find", "file"]);
    assert_eq!(said.lines().iter().filter(|line| **line == "data/file").count(), 4);
    assert!(said.stdout.contains(&again[..8]) && said.lines().iter().all(|line| line.len() <= 80), "{}", said.stdout);
    assert_eq!(snap.ok(&["find", "file", "-q"]).lines(), ["data/file"; 4]);
    // All were written just now.
    for (arguments, expected) in [
        (&["--newest", "yesterday"][..], 0),
        (&["--oldest", "yesterday"], 4),
        (&["-O", "2020-01-01", "-N", "now"], 4),
        (&["--oldest", "2100-01-01"], 0),
    ] {
        let ran = snap.ok(&[&["find", "file", "--json"], arguments].concat());
        assert_eq!(ran.objects("match").len(), expected, "{arguments:?}");
    }
    snap.ends(2, &["find", "file", "--newest", "some day"]);
}

#[test]
fn commands_of_other_tools_are_answered() {
    let snap = Snap::bare();
    for command in
        ["unlock", "migrate", "rebuild-index", "umount", "generate", "self-update", "rewrite", "list", "version"]
    {
        let ran = snap.ends(2, &[command]);
        assert!(ran.stderr.contains(&format!("no command \"{command}\"")), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains("snap"), "{command}: {}", ran.stderr);
        let ran = snap.ends(2, &["--json", command, "--some-flag"]);
        assert!(ran.error()["message"].as_str().unwrap().contains(command));
    }
    let mut command = snap.command(&["snapshots"]);
    let ran = finish(command.env_remove("SNAP_REPOSITORY").env("RESTIC_REPOSITORY", "/srv/restic"));
    assert!(
        ran.code == 2 && ran.stderr.contains("RESTIC_REPOSITORY") && ran.stderr.contains("SNAP_REPOSITORY"),
        "{}",
        ran.stderr
    );
}

#[test]
fn usage_errors_name_their_page_and_invent_no_flags() {
    let snap = Snap::new();
    for (arguments, page) in [
        (&["forget", "--nonsense"][..], "snap forget --help"),
        (&["forget"], "snap forget --help"),
        (&["key", "add", "x", "y"], "snap key add --help"),
        (&["key", "nonsense"], "snap key --help"),
        (&["schema", "log"], "snap schema log --help"),
        (&["nonsense"], "snap --help"),
        (&["backup"], "snap create --help"),
        (&["ls", "not-an-id"], "snap ls --help"),
        (&["-q", "-v", "ls", "latest"], "snap ls --help"),
    ] {
        let ran = finish(snap.command(arguments).env("SNAP_CACHE_DIR", snap.path("cache")));
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(page), "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("--repo") && !ran.stderr.contains("--cache-dir"), "{arguments:?}: {}", ran.stderr);
        let json = finish(snap.command(arguments).arg("--json"));
        assert!(json.error()["hint"].as_str().unwrap().contains(page), "{arguments:?}: {}", json.stderr);
    }
    for (arguments, usage) in [
        (&["init", "--repository-version", "2"][..], "Usage: snap init [OPTIONS]"),
        (&["snapshots", "--last"], "Usage: snap snapshots [OPTIONS] [SNAPSHOT]..."),
        (&["key", "list", "--jsno"], "Usage: snap key list [OPTIONS]"),
    ] {
        let ran = snap.ends(2, arguments);
        assert!(ran.stderr.lines().any(|line| line == usage), "{arguments:?}: {}", ran.stderr);
    }
    for verb in [&["create"][..], &["forget"], &["key", "add"], &["repair", "packs"]] {
        let help = snap.ok(&[verb, &["--help"]].concat()).stdout;
        assert!(help.contains("Examples:\n  snap "), "{verb:?}");
        assert!(!help.contains(&text(&snap.path("repository"))), "{verb:?} shows what the environment says");
    }
}

#[test]
fn json_and_verbose_never_mix_wherever_they_stand() {
    let snap = Snap::new();
    for arguments in [
        &["--json", "-v", "snapshots"][..],
        &["--json", "snapshots", "-v"],
        &["-v", "snapshots", "--json"],
        &["snapshots", "--json", "--verbose"],
        &["snapshots", "-vv", "--json"],
        &["-v", "key", "list", "--json"],
        &["--json", "key", "-v", "list"],
    ] {
        let ran = snap.ends(2, arguments);
        assert!(ran.stdout.is_empty() && ran.error()["code"] == "usage", "{arguments:?}");
    }
    snap.write("data/file", "x");
    for arguments in [&["create", "data", "-vv"][..], &["-v", "create", "data", "-v", "--force"]] {
        assert!(
            snap.ok(arguments).lines().contains(&text(&snap.work("data/file")).as_str())
                || snap.ok(arguments).stdout.contains("data/file"),
            "{arguments:?}"
        );
    }
}

#[test]
fn listings_fit_eighty_columns() {
    let snap = Snap::new();
    snap.write("data/file", "x");
    let series = format!("host:/{}", "a/long/path/to/the/tables,/".repeat(4000));
    snap.ok(&[
        "create",
        "data",
        "--series",
        &series,
        "--host",
        &"host".repeat(40),
        "--tag",
        "tag",
        "--tag",
        &"more-tags".repeat(30),
    ]);
    snap.ok(&[
        "key",
        "add",
        "--kdf-memory",
        "8",
        "--label",
        &"label".repeat(50),
        "--new-password-file",
        &snap.password_file("second", "second"),
    ]);
    for arguments in [
        &["snapshots"][..],
        &["snapshots", "--compact"],
        &["stats"],
        &["key", "list"],
        &["snapshots", "--group-by", "series"],
        &["forget", "--keep-last", "1", "-n"],
        &[
            "forget",
            "--keep-last",
            "1",
            "--keep-daily",
            "7",
            "--keep-weekly",
            "3",
            "--keep-monthly",
            "2",
            "--group-by",
            "none",
            "-n",
        ],
    ] {
        let ran = snap.ok(arguments);
        let tables = ran.lines().into_iter().filter(|line| !line.contains("the whole repository takes"));
        for line in tables {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
    let shown = snap.ok(&["snapshots"]).stdout;
    assert!(shown.contains("host:") && shown.contains(".."), "{shown}");
    assert_eq!(snap.ok(&["snapshots", "--json"]).objects("snapshot")[0]["series"], *series);
}

#[test]
fn snapshots_are_grouped_and_shown_compactly() {
    let (snap, ids) = two_series();
    let grouped = snap.ok(&["snapshots", "--group-by", "series", "--compact"]);
    let lines = grouped.lines();
    assert_eq!((lines[0], lines[5]), ("series a:", "series b:"), "{lines:?}");
    let objects = snap.ok(&["snapshots", "--group-by", "series", "--json"]).objects("snapshot");
    assert_eq!((objects[0]["group"].as_str(), objects.len()), (Some("series a"), 4));
    let last = snap.ok(&["snapshots", "--group-by", "host", "--latest", "1", "--json"]).objects("snapshot");
    assert_eq!((last.len(), last[0]["id"].as_str()), (1, Some(&*ids[3])));
    snap.ends(2, &["snapshots", "--group-by", "hots"]);
}

#[test]
fn the_key_in_use_is_marked() {
    let snap = Snap::new();
    let second = snap.password_file("second", "second");
    snap.ok(&["key", "add", "--kdf-memory", "8", "--label", "second", "--new-password-file", &second]);
    let marked = |arguments: &[&str]| -> String {
        let ran = finish(snap.command(&[&["key", "list"], arguments].concat()).env_remove("SNAP_PASSWORD"));
        let lines: Vec<_> = ran.lines().into_iter().filter(|line| line.starts_with('*')).map(str::to_owned).collect();
        assert_eq!(lines.len(), 1, "{}", ran.stdout);
        lines[0].clone()
    };
    assert!(marked(&["-p", &second]).contains("second"));
    assert!(!marked(&["-p", &snap.password_file("first", PASSWORD)]).contains("second"));
    let keys = snap.ok(&["key", "list", "--json"]).objects("key");
    assert_eq!(keys.iter().filter(|key| key["current"] == true).count(), 1);
}

#[test]
fn dry_runs_say_how_many_bytes() {
    let snap = Snap::new();
    let noise: Vec<u8> =
        (0..400_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes()).collect();
    snap.write("data/file", &noise);
    let bytes = |ran: Ran| ran.summary()["bytes_added"].as_u64().unwrap();
    let create = ["create", "data", "--json", "--series", "s"];
    for round in 0..2 {
        let would = bytes(snap.ok(&[&create[..], &["-n"]].concat()));
        let did = bytes(snap.ok(&create));
        assert!(would.abs_diff(did) <= did / 20 + 400, "round {round}: would add {would}, added {did}");
    }
    assert_eq!(there(&snap).len(), 2);
    assert!(snap.ok(&["create", "data", "--series", "s", "-n"]).stdout.contains("would add about"));
    // What the sweep frees is known before.
    for id in there(&snap) {
        snap.ok(&["forget", &id]);
    }
    let swept = |arguments: &[&str]| -> (u64, u64) {
        let summary = snap.ok(&[&["prune", "--json", "-q"], arguments].concat()).summary();
        let number = |name: &str| summary["swept"][name].as_u64().unwrap();
        (number("packs"), number("bytes"))
    };
    let would = swept(&["-n", "--grace", "0"]);
    assert!(would.1 > 1_000_000, "{would:?}");
    snap.ok(&["prune"]);
    assert_eq!(swept(&["-n"]), (0, 0), "the grace is not over");
    assert_eq!(swept(&["-n", "--grace", "0"]), would);
    assert_eq!(swept(&["--grace", "0"]), would);
}

#[test]
fn a_part_of_the_data_is_checked() {
    let snap = Snap::new();
    for number in 0..4 {
        snap.write("data/file", format!("{number}"));
        save(&snap, &format!("s{number}"), "now");
    }
    let read = |subset: &str| -> u64 {
        snap.ok(&["check", "--json", "--read-data-subset", subset]).summary()["packs_read"].as_u64().unwrap()
    };
    let all = snap.ok(&["check", "--json"]).summary()["packs"].as_u64().unwrap();
    assert_eq!((read("1%"), read("100%"), read("500M")), (1, all, all));
    for wrong in ["0%", "101%", "half", "5", "3/2", ""] {
        snap.ends(2, &["check", "--read-data-subset", wrong]);
    }
}

#[test]
fn a_parent_is_chosen() {
    let (snap, ids) = two_series();
    let ran = snap.ok(&["create", "data", "--json", "--series", "c", "--parent", &ids[3]]);
    assert_eq!(ran.summary()["parent"], ids[3]);
    snap.ends(1, &["create", "data", "--parent", "ffffffff"]);
    snap.ends(2, &["create", "data", "--parent", &format!("{}:data", ids[0])]);
}

/// Runs the program on a terminal of this width, and gives what the terminal got; none without `script`.
fn on_terminal(snap: &Snap, columns: u32, arguments: &str) -> Option<String> {
    let typescript = snap.path("typescript");
    let command = format!("stty cols {columns} rows 24; {} {arguments}", env!("CARGO_BIN_EXE_snap"));
    let mut script = assert_cmd::Command::new("script");
    script.args(["-q", "-e", "-c", &command]).arg(&typescript).current_dir(snap.path("work"));
    script
        .env("HOME", snap.path("home"))
        .env("SNAP_REPOSITORY", snap.path("repository"))
        .env("SNAP_PASSWORD", PASSWORD);
    script.env("TERM", "xterm").env("SHELL", "/bin/sh").env("TZ", "UTC");
    let ran = match script.output() {
        Ok(ran) => ran,
        Err(error) => {
            eprintln!("SKIPPED: no terminal to be had without `script`: {error}");
            return None;
        }
    };
    assert!(ran.status.success(), "{arguments}: {}", String::from_utf8_lossy(&ran.stdout));
    Some(String::from_utf8_lossy(&ran.stdout).into_owned())
}

#[test]
fn terminals_are_told_nothing_that_they_would_obey() {
    let snap = Snap::new();
    snap.write("data/a\nb\u{1b}[31m\u{202e}", "x");
    std::os::unix::fs::symlink("to\u{1b}[2Jsomewhere\nelse", snap.work("data/link")).unwrap();
    snap.ok(&["create", "data", "--series", "evil\u{1b}[31m\nseries"]);
    for arguments in [
        "ls latest",
        "ls -l latest",
        "find '*'",
        "find -l '*'",
        "snapshots",
        "snapshots -g series",
        "forget --keep-last 1 -n",
        "stats",
        "diff latest latest --metadata",
        "ls latest --json",
        "create data -v -n",
    ] {
        let Some(shown) = on_terminal(&snap, 80, arguments) else { return };
        for evil in ["\u{1b}[31m", "\u{1b}[2J", "\u{202e}", "a\r\nb", "a\nb", "\nelse", "\nseries"] {
            assert!(!shown.contains(evil), "{arguments}: {evil:?} in {shown:?}");
        }
    }
}

#[test]
fn the_bar_fits_the_terminal_and_goes_away() {
    let snap = Snap::new();
    for number in 0..300 {
        snap.write(&format!("data/{}/file-{number}", "a-long-directory-name/".repeat(4)), vec![number as u8; 20_000]);
    }
    for columns in [100, 80, 40] {
        let arguments = format!("create data --series s{columns} --force");
        let Some(shown) = on_terminal(&snap, columns, &arguments) else { return };
        for line in shown.split(['\r', '\n']) {
            let visible = without_escapes(line);
            let is_bar = visible.starts_with("create ") || visible.starts_with("index ");
            assert!(!is_bar || visible.chars().count() <= columns as usize, "{columns}: {visible:?}");
        }
        // After the bar was cleared comes the report, at the beginning of a line.
        let report = shown.split(['\r', '\n']).map(without_escapes).find(|line| line.contains(" saved, ")).unwrap();
        assert!(report.starts_with("snapshot "), "{columns}: {report:?}");
        assert!(shown.ends_with('\n'), "{columns}: the prompt begins a line");
    }
}

fn without_escapes(line: &str) -> String {
    let mut text = String::new();
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\u{1b}' => drop(characters.by_ref().find(|c| c.is_ascii_alphabetic())),
            c => text.push(c),
        }
    }
    text
}
