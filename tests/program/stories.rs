//! What people do with snapshots, from the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use apache_avro::types::Value as Avro;
use cli::{Snap, finish, text};

const NIGHTS: [&str; 3] = ["2026-03-01", "2026-03-02", "2026-03-03"];

/// A file of the fixtures.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Puts a night of tables where the night before was.
fn night(snap: &Snap, night: &str) {
    for table in ["orders", "readings", "stations"] {
        let name = format!("{table}.avro");
        snap.write(&format!("tables/{name}"), fs::read(fixture(&format!("nights/{night}/{name}"))).unwrap());
    }
}

/// A repository with three nights of the same tables, at noon of their days.
fn three_nights() -> (Snap, Vec<String>) {
    let snap = Snap::new();
    let save = |day: &str| {
        night(&snap, day);
        let created = snap.ok(&["create", "tables", "--time", &format!("{day} 12:00"), "--tag", day, "--json"]);
        created.summary()["snapshot_id"].as_str().unwrap().to_owned()
    };
    let ids = NIGHTS.map(save).to_vec();
    (snap, ids)
}

/// Everything below a directory: relative path and content, for directories none.
fn tree(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    fn go(top: &Path, folder: &Path, found: &mut Vec<(PathBuf, Option<Vec<u8>>)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(top).unwrap().to_path_buf();
            match path.symlink_metadata().unwrap().is_dir() {
                true => {
                    found.push((relative, None));
                    go(top, &path, found);
                }
                false => found.push((relative, Some(fs::read(&path).unwrap_or_default()))),
            }
        }
    }
    let mut found = Vec::new();
    go(folder, folder, &mut found);
    found.sort();
    found
}

/// The bytes that the repository takes.
fn weight(snap: &Snap) -> u64 {
    tree(&snap.path("repository")).iter().map(|(_, content)| content.as_ref().map_or(0, Vec::len) as u64).sum()
}

#[test]
fn a_first_night_is_saved_listed_and_restored() {
    let snap = Snap::new();
    night(&snap, NIGHTS[0]);
    snap.write("tables/note.txt", "hello");
    snap.write("tables/empty", "");
    fs::create_dir(snap.work("tables/nothing")).unwrap();
    symlink("note.txt", snap.work("tables/link")).unwrap();
    let before = weight(&snap);

    let created = snap.ok(&["create", "tables", "--json", "--tag", "first,march", "--tag", "first"]).summary();
    assert_eq!(created["snapshot_id"].as_str().unwrap().len(), 32);
    for (field, expected) in [("files_new", 5), ("files_changed", 0), ("files_unmodified", 0), ("unreadable", 0)] {
        assert_eq!(created[field], expected, "{field} of {created}");
    }
    assert_eq!(created["bytes_added"], weight(&snap) - before, "all kinds of objects, and nothing else");
    assert!(created["bytes_read"].as_u64() > Some(10_000) && created["bytes_read"] == created["bytes_total"]);
    assert!(created["chunks_new"].as_u64() > Some(3) && created["duration_secs"].as_f64() > Some(0.0));
    assert!(created["avro_files"].as_u64() >= Some(3) && created["avro_records"].as_u64() > Some(0));

    let table = snap.ok(&["snapshots"]);
    let id = created["snapshot_id"].as_str().unwrap();
    assert!(table.lines()[1].starts_with(&id[..8]) && table.stdout.contains("first,march"), "{}", table.stdout);
    let listed = snap.ok(&["snapshots", "--json"]).objects("snapshot");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0]["id"].as_str(), listed[0]["host"].as_str()), (Some(id), Some("host")));
    assert_eq!(listed[0]["paths"][0], text(&snap.work("tables")));

    let names = ["empty", "link", "note.txt", "nothing", "orders.avro", "readings.avro", "stations.avro"];
    let all: Vec<String> = std::iter::once("tables".into()).chain(names.map(|name| format!("tables/{name}"))).collect();
    assert_eq!(snap.ok(&["ls", "latest"]).lines(), all);
    assert_eq!(snap.ok(&["ls", "latest:/tables/note.txt"]).lines(), ["tables/note.txt"]);
    assert_eq!(snap.ok(&["ls", "latest", "--no-recursive"]).lines(), ["tables"]);
    let long = snap.ok(&["ls", "-l", "latest"]).stdout;
    assert!(long.contains("tables/link -> note.txt") && long.contains("[avro "), "{long}");
    let nodes = snap.ok(&["ls", "latest", "--json"]).objects("node");
    assert_eq!(nodes.len(), 8);
    let orders = nodes.iter().find(|node| node["path"] == "tables/orders.avro").unwrap();
    assert_eq!((orders["type"].as_str(), orders["avro"]["state"].as_str()), (Some("file"), Some("ok")));
    let ran = snap.ends(1, &["ls", "latest:tables/no"]);
    assert!(ran.stderr.contains("tables/no is not in snapshot") && ran.stderr.contains("hint: `snap ls"));

    assert_eq!(
        snap.ok(&["dump", "latest:tables/orders.avro"]).bytes,
        fs::read(snap.work("tables/orders.avro")).unwrap()
    );
    let restored = snap.ok(&["restore", "latest", "--target", "out", "--verify", "--json"]).summary();
    assert_eq!((restored["files_restored"].as_u64(), restored["verified"].as_u64()), (Some(5), Some(5)));
    assert_eq!(tree(&snap.work("out/tables")), tree(&snap.work("tables")));
    let time = |path: &str| fs::metadata(snap.work(path)).unwrap().modified().unwrap();
    assert_eq!(time("out/tables/orders.avro"), time("tables/orders.avro"));
    assert_eq!(fs::read_link(snap.work("out/tables/link")).unwrap(), Path::new("note.txt"));
    assert_eq!(snap.ok(&["check", "--read-data", "--json"]).summary()["problems"], 0);
}

#[test]
fn an_unchanged_second_snapshot_costs_little() {
    let snap = Snap::new();
    night(&snap, NIGHTS[0]);
    // Files that were changed just now are read again the next time.
    std::thread::sleep(Duration::from_millis(2100));
    let first = snap.ok(&["create", "tables", "--json"]).summary();
    let second = snap.ok(&["backup", "tables", "--json"]).summary();
    assert_eq!(second["parent"], first["snapshot_id"]);
    for (field, expected) in [("files_unmodified", 3), ("files_new", 0), ("files_changed", 0), ("bytes_read", 0)] {
        assert_eq!(second[field], expected, "{field} of {second}");
    }
    assert!(second["bytes_added"].as_u64() < Some(8_000), "{second}");
    let forced = snap.ok(&["create", "tables", "--force", "--json"]).summary();
    assert_eq!((forced["files_unmodified"].as_u64(), forced["bytes_read"] == first["bytes_read"]), (Some(0), true));
    assert_eq!(
        snap.ok(&["diff", "latest~2", "latest"]).lines()[0],
        "files:  0 added (0 B), 0 removed (0 B), 0 changed (0 B -> 0 B)"
    );
}

#[test]
fn snapshots_are_named_in_many_ways() {
    let (snap, ids) = three_nights();
    let night_of = |arguments: &[&str]| -> &str {
        let bytes = snap.ok(&[&["dump"], arguments].concat()).bytes;
        let fits = |night: &&&str| fs::read(fixture(&format!("nights/{night}/orders.avro"))).unwrap() == bytes;
        NIGHTS.iter().find(fits).copied().unwrap_or_else(|| panic!("{arguments:?} is no night"))
    };
    let path = "tables/orders.avro";
    for (which, at, expected) in [
        ("latest", None, 2),
        ("latest~0", None, 2),
        ("latest~1", None, 1),
        ("latest~2", None, 0),
        (&ids[0], None, 0),
        (&ids[1][..12], None, 1),
        ("latest", Some("2026-03-02 12:00:00"), 1),
        ("latest", Some("2026-03-02 11:59:59"), 0),
        ("latest", Some("2026-03-02"), 1),
        ("latest", Some("2026-03-02T12:00:00Z"), 1),
        ("latest", Some("2026-03-02T13:00:00+02:00"), 0),
        ("latest~1", Some("2026-03-02"), 0),
        ("latest", Some("2030-01-01"), 2),
    ] {
        let mut arguments = vec![format!("{which}:{path}")];
        arguments.extend(at.map(|at| format!("--at={at}")));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_eq!(night_of(&arguments), NIGHTS[expected], "{arguments:?}");
    }
    for wanted in ["latest~3", "ffffffffffffffffffffffffffffffff"] {
        snap.ends(1, &["ls", wanted]);
    }
    snap.ends(1, &["ls", "latest", "--at", "2026-02-28"]);
    assert_eq!(snap.ok(&["ls", "--at", "2026-03-01"]).lines().len(), 4, "--at alone means the latest at that time");
    // A prefix of several: with three ids, one of sixteen digits may well be free of them.
    let first_digits: Vec<&str> = ids.iter().map(|id| &id[..1]).collect();
    for digit in &first_digits {
        let fitting = first_digits.iter().filter(|other| *other == digit).count();
        let ran = snap.run(&["ls", digit]);
        assert_eq!(ran.code, if fitting == 1 { 0 } else { 1 }, "{}", ran.stderr);
    }
}

#[test]
fn snapshots_are_filtered() {
    let (snap, ids) = three_nights();
    snap.write("other/file", "x");
    snap.ok(&["create", "other", "--host", "elsewhere", "--series", "mine"]);
    let count = |arguments: &[&str]| snap.ok(&[&["snapshots", "--json"], arguments].concat()).objects("snapshot").len();
    let tables = text(&snap.work("tables"));
    for (arguments, expected) in [
        (&[][..], 4),
        (&["--host", "host"], 3),
        (&["--host", "elsewhere"], 1),
        (&["--host", "nowhere"], 0),
        (&["--series", "mine"], 1),
        (&["--tag", NIGHTS[0]], 1),
        (&["--tag", &format!("{},{}", NIGHTS[0], NIGHTS[1])], 0),
        (&["--tag", NIGHTS[0], "--tag", NIGHTS[1]], 2),
        (&["--tag", ""], 1),
        (&["--path", &tables], 3),
        (&["--path", "tables/"], 3),
        (&["--path", "/"], 0),
        (&["--latest", "1"], 2),
        (&["--latest", "2"], 3),
        (&["--at", "2026-03-02"], 2),
    ] {
        assert_eq!(count(arguments), expected, "{arguments:?}");
    }
    let latest = snap.ok(&["snapshots", "--json", "--host", "host", "--latest", "1"]).objects("snapshot");
    assert_eq!(latest[0]["id"], ids[2]);
    assert_eq!(snap.ok(&["ls", "latest", "--host", "host"]).lines()[0], "tables");
    // Of several series the one with the newest snapshot is taken, and that is said.
    let ran = snap.ends(0, &["ls", "latest"]);
    assert_eq!(ran.lines()[0], "other");
    assert!(ran.stderr.contains("there are 2 series") && ran.stderr.contains("\"mine\""), "{}", ran.stderr);
}

#[test]
fn files_are_found_in_all_snapshots() {
    let (snap, ids) = three_nights();
    let found = |arguments: &[&str]| -> Vec<(String, String)> {
        let found = snap.ok(&[&["find", "--json"], arguments].concat()).objects("match");
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        found.iter().map(|one| (text(&one["snapshot_id"]), text(&one["path"]))).collect()
    };
    assert_eq!(found(&["orders*"]).len(), 3);
    assert_eq!(found(&["orders*", "-s", "latest"]), [(ids[2].clone(), "tables/orders.avro".to_owned())]);
    assert_eq!(found(&["ORDERS*"]).len(), 0);
    assert_eq!(found(&["ORDERS*", "-i"]).len(), 3);
    assert_eq!(found(&["tables"]), [(ids[2].clone(), "tables".to_owned())], "once, and not what is in it");
    assert_eq!(found(&["tables/*", "-s", &ids[0]]).len(), 3);
    assert_eq!(found(&["*.avro", "--at", "2026-03-01"]).len(), 3);
    let table = snap.ok(&["find", "stations.avro", "orders.avro", "-s", "latest"]);
    assert_eq!([table.lines()[0], table.lines()[2]], ["tables/orders.avro", "tables/stations.avro"]);
    assert_eq!(snap.ok(&["find", "-q", "nothing"]).stdout, "");
}

#[test]
fn differences_are_shown() {
    let snap = Snap::new();
    for (name, content) in
        [("a/same", "same"), ("a/changed", "before"), ("a/gone", "gone"), ("a/kind", "file"), ("a/mode", "m")]
    {
        snap.write(name, content);
    }
    symlink("same", snap.work("a/link")).unwrap();
    snap.ok(&["create", "a"]);
    snap.write("a/changed", "after, and longer");
    snap.write("a/deep/er/new", "new");
    fs::remove_file(snap.work("a/gone")).unwrap();
    fs::remove_file(snap.work("a/kind")).unwrap();
    fs::create_dir(snap.work("a/kind")).unwrap();
    fs::remove_file(snap.work("a/link")).unwrap();
    symlink("changed", snap.work("a/link")).unwrap();
    fs::set_permissions(snap.work("a/mode"), fs::Permissions::from_mode(0o600)).unwrap();
    snap.ok(&["create", "a"]);

    let shown = snap.ok(&["diff", "latest~1", "latest"]);
    let expected = [
        "M  a/changed  (6 B -> 17 B)",
        "+  a/deep",
        "+  a/deep/er",
        "+  a/deep/er/new  (3 B)",
        "-  a/gone  (4 B)",
        "T  a/kind  (4 B)",
        "M  a/link",
    ];
    assert_eq!(shown.lines()[..7], expected);
    assert_eq!(shown.lines()[7], "files:  1 added (3 B), 1 removed (8 B), 1 changed (6 B -> 17 B)");
    let with_metadata = snap.ok(&["diff", "--metadata", "latest~1", "latest"]);
    assert!(with_metadata.lines().contains(&"U  a/mode"), "{}", with_metadata.stdout);
    assert!(!with_metadata.stdout.contains("same"));

    let json = snap.ok(&["diff", "--json", "latest~1", "latest"]);
    let changes = json.objects("change");
    assert_eq!(changes.len(), 7);
    assert_eq!(changes[0]["modifier"], "M");
    assert_eq!((changes[0]["size_before"].as_u64(), changes[0]["size_after"].as_u64()), (Some(6), Some(17)));
    assert_eq!(json.summary()["files_added"], 1);

    // The other way round, and below a path only.
    let back = snap.ok(&["diff", "latest", "latest~1"]);
    assert!(back.lines().contains(&"+  a/gone  (4 B)") && back.lines().contains(&"-  a/deep"), "{}", back.stdout);
    let below = snap.ok(&["diff", "-q", "latest:a/deep", "latest:a/deep/er"]);
    assert_eq!(below.lines(), ["-  er", "-  er/new  (3 B)", "+  new  (3 B)"]);
    snap.ends(1, &["diff", "latest:no", "latest"]);
}

#[test]
fn tags_change_and_snapshots_stay() {
    let (snap, ids) = three_nights();
    let tags = |id: &str| -> Vec<String> {
        let all = snap.ok(&["snapshots", "--json"]).objects("snapshot");
        let one = all.iter().find(|one| one["id"] == id).unwrap();
        one["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(tags(&ids[0]), [NIGHTS[0]]);
    let said = snap.ok(&["tag", "--add", "keep,monthly", &ids[0], "latest"]);
    assert_eq!(said.lines(), ["changed the tags of 2 snapshots"]);
    assert_eq!(tags(&ids[0]), [NIGHTS[0], "keep", "monthly"]);
    assert_eq!(tags(&ids[1]), [NIGHTS[1]]);
    assert_eq!(snap.ok(&["tag", "--add", "keep", "latest"]).lines(), ["changed the tags of 0 snapshots"]);
    snap.ok(&["tag", "--remove", "monthly", "--tag", "keep"]);
    assert_eq!(
        (tags(&ids[0]), tags(&ids[2])),
        (vec![NIGHTS[0].into(), "keep".into()], vec![NIGHTS[2].into(), "keep".into()])
    );
    snap.ok(&["tag", "--set", "", "latest"]);
    assert!(tags(&ids[2]).is_empty());
    assert_eq!(snap.ok(&["snapshots", "--json", "--tag", "keep"]).objects("snapshot")[0]["id"], ids[0]);
    snap.ends(1, &["tag", "--add", "x", "ffff"]);
    snap.ends(2, &["tag", "--add", "x", "latest:path"]);
}

#[test]
fn a_manifest_is_an_avro_file() {
    let (snap, ids) = three_nights();
    let said = snap.ok(&["manifest", "latest", "-o", "m.avro"]);
    assert!(said.stdout.starts_with("wrote m.avro"));
    let bytes = fs::read(snap.work("m.avro")).unwrap();
    let rows: Vec<Avro> = apache_avro::Reader::new(&bytes[..]).unwrap().map(Result::unwrap).collect();
    let field = |row: &Avro, wanted: &str| match row {
        Avro::Record(fields) => fields.iter().find(|(name, _)| name == wanted).unwrap().1.clone(),
        other => panic!("{other:?}"),
    };
    let paths: Vec<Avro> = rows.iter().map(|row| field(row, "path")).collect();
    let listed = snap.ok(&["ls", "latest"]);
    assert_eq!(paths, listed.lines().iter().map(|path| Avro::String((*path).to_owned())).collect::<Vec<_>>());
    assert_eq!(
        field(&rows[1], "size"),
        Avro::Long(fs::metadata(snap.work("tables/orders.avro")).unwrap().len() as i64)
    );
    assert_eq!(snap.ok(&["manifest", "latest", "-o", "-"]).bytes, bytes, "and always the same one");
    assert_ne!(snap.ok(&["manifest", &ids[0], "-o", "-"]).bytes, bytes);
    // A failure leaves what was there.
    snap.ends(1, &["manifest", "latest~9", "-o", "m.avro"]);
    assert_eq!(fs::read(snap.work("m.avro")).unwrap(), bytes);
}

#[test]
fn content_is_dumped_to_files_pipes_and_devices() {
    let (snap, _) = three_nights();
    let wanted = fs::read(snap.work("tables/orders.avro")).unwrap();
    snap.write("there", "older");
    snap.ok(&["dump", "latest:tables/orders.avro", "-o", "there"]);
    assert_eq!(fs::read(snap.work("there")).unwrap(), wanted);
    snap.ok(&["dump", "latest:tables/orders.avro", "--target", "/dev/null"]);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    let ran = snap.ends(1, &["dump", "latest:tables", "-o", "there"]);
    assert!(ran.stderr.contains("not a regular file"), "{}", ran.stderr);
    snap.ends(1, &["dump", "latest:no/such", "-o", "there"]);
    assert_eq!(fs::read(snap.work("there")).unwrap(), wanted, "a failure leaves what was there");
    assert_eq!(tree(&snap.path("work")).len(), 5, "and nothing besides");
}

#[test]
fn standard_input_is_saved_as_a_file() {
    let snap = Snap::new();
    let bytes = fs::read(fixture("nights/2026-03-01/orders.avro")).unwrap();
    let create = ["create", "--json", "--stdin", "--stdin-filename", "/exports/orders.avro"];
    let created = finish(snap.command(&create).write_stdin(bytes.clone()));
    assert_eq!((created.code, created.stderr.as_str()), (0, ""));
    assert_eq!(created.summary()["avro_files"], 1);
    assert_eq!(snap.ok(&["dump", "latest:exports/orders.avro"]).bytes, bytes);
    let again = finish(snap.command(&create).write_stdin(bytes));
    assert!(again.summary()["bytes_added"].as_u64() < Some(8_000), "{}", again.stdout);
    assert_eq!(finish(snap.command(&["create", "--stdin", "--series", "s"]).write_stdin("")).code, 0);
    assert_eq!(snap.ok(&["ls", "s:latest"]).lines(), ["stdin"]);
    assert_eq!(snap.ok(&["dump", "s:latest:stdin"]).bytes, b"");
}

#[test]
fn a_dry_run_writes_nothing() {
    let (snap, _) = three_nights();
    snap.write("tables/new", "new");
    let before = tree(&snap.path("repository"));
    let would = snap.ok(&["create", "tables", "--dry-run", "--json"]).summary();
    assert_eq!((would["files_new"].as_u64(), would["snapshot_id"].is_null()), (Some(1), true));
    assert!(snap.ok(&["create", "tables", "-n"]).stdout.starts_with("nothing was written"));
    assert_eq!(tree(&snap.path("repository")), before);
    let would = snap.ok(&["restore", "latest", "--target", "out", "--dry-run", "--json"]).summary();
    assert_eq!(would["files_restored"], 3);
    assert!(!snap.work("out").exists());
    snap.ends(10, &["create", "tables", "-r", &text(&snap.path("none")), "--init", "--dry-run"]);
    assert!(!snap.path("none").exists());
}

#[test]
fn the_repository_is_made_on_the_way_if_so_wished() {
    let snap = Snap::bare();
    snap.write("a/file", "content");
    snap.ends(10, &["create", "a"]);
    assert!(snap.ok(&["create", "a", "--init"]).stdout.starts_with("created repository"));
    assert!(!snap.ok(&["create", "a", "--init"]).stdout.contains("created repository"));
    assert_eq!(snap.ok(&["snapshots", "--json"]).objects("snapshot").len(), 2);
    // Encrypted, with the password that was given.
    assert_eq!(finish(snap.command(&["snapshots"]).env("SNAP_PASSWORD", "wrong")).code, 12);
}

#[test]
fn how_hard_to_compress_is_said_for_one_run_or_for_the_repository() {
    let costs = |init: &[&str], create: &[&str]| {
        let snap = Snap::bare();
        night(&snap, NIGHTS[0]);
        snap.ok(&[&["init", "--encryption", "none"], init].concat());
        let before = weight(&snap);
        snap.ok(&[&["create", "tables"], create].concat());
        let cost = weight(&snap) - before;
        snap.ok(&["restore", "latest", "--target", "out", "--verify"]);
        assert_eq!(tree(&snap.work("out/tables")), tree(&snap.work("tables")));
        assert_eq!(snap.ok(&["check", "--read-data", "--json"]).summary()["problems"], 0);
        cost
    };
    let default = costs(&[], &[]);
    let off = costs(&["--compression", "off"], &[]);
    let max = costs(&["--compression", "max"], &[]);
    assert!(max < default && default * 3 < off * 2, "{max} {default} {off}");
    // What is said for the run goes before what is set; within a pack's worth of random lengths.
    let back = costs(&["--compression", "off"], &["--compression", "default"]);
    assert!(back.abs_diff(default) < 300, "{back} {default}");
}

#[test]
fn what_is_excluded_is_left_out() {
    let snap = Snap::new();
    for name in ["keep.avro", "a.tmp", "B.TMP", "sub/x.avro", "sub/deep/y.bak", "cache/z", "marked/m", "tagged/t"] {
        snap.write(&format!("a/{name}"), "content");
    }
    snap.write("a/large", vec![7; 5000]);
    snap.write("a/marked/.nosnap", "");
    snap.write("a/tagged/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    snap.write("patterns", "# a comment\n\n*.bak\n");
    let saved = |arguments: &[&str]| -> String {
        snap.ok(&[&["create", "a"], arguments].concat());
        let nodes = snap.ok(&["ls", "latest", "--json"]).objects("node");
        let files = nodes.iter().filter(|node| node["type"] == "file");
        files
            .map(|node| node["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let all = "B.TMP a.tmp z keep.avro large .nosnap m y.bak x.avro CACHEDIR.TAG t";
    assert_eq!(saved(&[]), all);
    for (arguments, gone) in [
        (&["-e", "*.tmp"][..], &["a.tmp"][..]),
        (&["--iexclude", "*.tmp"], &["a.tmp", "B.TMP"]),
        (&["--exclude", "cache", "-e", "sub/deep"], &["z", "y.bak"]),
        (&["--exclude-file", "patterns"], &["y.bak"]),
        (&["--exclude-if-present", ".nosnap"], &["m"]),
        (&["--exclude-caches"], &["t"]),
        (&["--exclude-larger-than", "4k"], &["large"]),
    ] {
        let expected: Vec<&str> = all.split(' ').filter(|name| !gone.contains(name)).collect();
        let found = saved(arguments);
        assert_eq!(found, expected.join(" "), "{arguments:?}");
    }
    snap.ends(1, &["create", "a", "--exclude-file", "no/such"]);
}

#[test]
fn paths_come_from_lists() {
    let snap = Snap::new();
    for name in ["one", "two", "with space", "three\nlines"] {
        snap.write(name, name);
    }
    snap.write("list", "# comment\none\n\n  two  \n");
    snap.write("raw", "with space\0three\nlines\0");
    snap.ok(&["create", "--files-from", "list", "--files-from-raw", "raw", "list"]);
    assert_eq!(snap.ok(&["ls", "latest", "--json"]).objects("node").len(), 5);
    let piped = finish(snap.command(&["create", "--files-from", "-", "--series", "s"]).write_stdin("two\n"));
    assert_eq!((piped.code, snap.ok(&["ls", "s:latest"]).lines().join("")), (0, "two".into()));
    assert_eq!(finish(snap.command(&["create", "--files-from", "-"]).write_stdin("\n# none\n")).code, 2);
}

#[test]
fn the_repository_does_not_save_itself() {
    let snap = Snap::new();
    snap.write("file", "content");
    snap.ok(&["create", &text(snap.path("work").parent().unwrap())]);
    let listed = snap.ok(&["ls", "latest"]).stdout;
    assert!(listed.contains("work/file") && listed.contains("home/.local/state/snap"), "{listed}");
    assert!(!listed.contains("repository/") && !listed.contains("index.db"), "{listed}");
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_is_saved() {
    let snap = Snap::new();
    snap.write("a/file", "content");
    let ran = snap.ends(3, &["create", "a", "missing"]);
    assert!(ran.stderr.contains("work/missing") && ran.stdout.contains("missing: 1"), "{} {}", ran.stdout, ran.stderr);
    let ran = snap.ends(3, &["create", "a", "missing", "--json"]);
    assert_eq!(ran.summary()["unreadable"], 1);
    assert_eq!(ran.error()["code"], "unreadable");
    assert!(ran.error()["path"].as_str().unwrap().ends_with("missing"));
    assert_eq!(snap.ok(&["ls", "latest"]).lines(), ["a", "a/file"]);
}

#[test]
fn damaged_input_is_told_and_saved_as_it_is() {
    let snap = Snap::new();
    let torn = fs::read(fixture("odd/truncated-in-block-deflate.avro")).unwrap();
    snap.write("a/torn.avro", &torn);
    let ran = snap.ends(0, &["create", "a", "--json"]);
    assert_eq!(ran.summary()["avro_unsound"], 1);
    assert!(ran.stderr.contains("torn.avro") && ran.stderr.contains("\"warning\""), "{}", ran.stderr);
    snap.ends(3, &["create", "a", "--force", "--fail-on-damaged"]);
    assert_eq!(snap.ok(&["dump", "latest:a/torn.avro"]).bytes, torn);
    let node = &snap.ok(&["ls", "latest:a/torn.avro", "--json"]).objects("node")[0];
    assert_eq!(node["avro"]["state"], "torn");
}

#[test]
fn names_that_are_no_text_are_told_in_hex() {
    let snap = Snap::new();
    let name = OsStr::from_bytes(b"a\xff\x1b[2Jb");
    fs::write(snap.path("work").join(name), "content").unwrap();
    snap.ok(&["create", "."]);
    assert_eq!(snap.ok(&["ls", "latest"]).bytes, b"a\xff\x1b[2Jb\n", "piped, a path is its own bytes");
    let node = &snap.ok(&["ls", "latest", "--json"]).objects("node")[0];
    assert_eq!(node["path_hex"], "61ff1b5b324a62");
    let mut dump = snap.command(&["dump"]);
    dump.arg(OsStr::from_bytes(b"latest:a\xff\x1b[2Jb"));
    assert_eq!(finish(&mut dump).stdout, "content");
}

#[test]
fn a_part_is_restored() {
    let snap = Snap::new();
    for name in ["x/one.avro", "x/two.txt", "x/sub/three.avro", "y/four"] {
        snap.write(&format!("a/{name}"), name);
    }
    snap.ok(&["create", "a"]);
    let restored = |target: &str, arguments: &[&str]| -> String {
        snap.ok(&[&["restore", "--target", target], arguments].concat());
        let files = tree(&snap.work(target)).into_iter().filter(|(_, content)| content.is_some());
        files.map(|(path, _)| text(&path)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(restored("o1", &["latest:a/x"]), "one.avro sub/three.avro two.txt");
    assert_eq!(restored("o2", &["latest:a/x/one.avro"]), "one.avro");
    assert_eq!(restored("o3", &["latest", "--include", "*.avro"]), "a/x/one.avro a/x/sub/three.avro");
    assert_eq!(restored("o4", &["latest", "-e", "sub", "-e", "y"]), "a/x/one.avro a/x/two.txt");
    assert_eq!(restored("o5", &["latest", "-i", "x", "-e", "*.txt"]), "a/x/one.avro a/x/sub/three.avro");
    assert_eq!(restored("o6", &["--at", "2100-01-01"]).split(' ').count(), 4);
    snap.ends(1, &["restore", "latest:a/none", "--target", "o7"]);
}

#[test]
fn what_is_there_is_replaced_as_wished() {
    let snap = Snap::new();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let set_time = |path: &Path, time| fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    let file = snap.write("a/file", "saved");
    set_time(&file, old);
    snap.ok(&["create", "a"]);
    let after = |content: &str, time: SystemTime, arguments: &[&str]| -> String {
        let there = snap.write("out/a/file", content);
        snap.write("out/a/stranger", "");
        set_time(&there, time);
        snap.ok(&[&["restore", "latest", "--target", "out"], arguments].concat());
        let stranger = if snap.work("out/a/stranger").exists() { "+" } else { "" };
        fs::read_to_string(there).unwrap() + stranger
    };
    let (earlier, later) = (old - Duration::from_secs(9), old + Duration::from_secs(9));
    assert_eq!(after("other", old, &[]), "saved+");
    assert_eq!(after("other", old, &["--overwrite", "always"]), "saved+");
    assert_eq!(after("other", old, &["--overwrite", "if-changed"]), "other+", "same size and time");
    assert_eq!(after("other", later, &["--overwrite", "if-changed"]), "saved+");
    assert_eq!(after("other", later, &["--overwrite", "if-newer"]), "other+");
    assert_eq!(after("other", earlier, &["--overwrite", "if-newer"]), "saved+");
    assert_eq!(after("other", earlier, &["--overwrite", "never"]), "other+");
    assert_eq!(after("other", old, &["--delete", "--dry-run"]), "other+");
    assert_eq!(after("other", old, &["--delete"]), "saved");
}

#[test]
fn containers_are_restored_with_another_codec() {
    let snap = Snap::new();
    snap.write("a/x.avro", fs::read(fixture("codecs/avro-deflate.avro")).unwrap());
    snap.ok(&["create", "a"]);
    let records = |path: &Path| -> Vec<Avro> {
        apache_avro::Reader::new(&fs::read(path).unwrap()[..]).unwrap().map(Result::unwrap).collect()
    };
    let before = records(&snap.work("a/x.avro"));
    for codec in ["null", "deflate", "snappy", "zstandard"] {
        let said = snap.ok(&["restore", "latest:a", "--target", codec, "--recode", codec, "--json"]).summary();
        assert_eq!(said["recoded"], 1, "{codec}");
        let bytes = fs::read(snap.work(codec).join("x.avro")).unwrap();
        assert!(codec == "null" || String::from_utf8_lossy(&bytes).contains(codec));
        // Those codecs that this build of apache-avro reads.
        if matches!(codec, "null" | "deflate") {
            assert_eq!(records(&snap.work(codec).join("x.avro")), before, "{codec}");
        }
    }
}

#[test]
fn nothing_is_restored_through_a_link_out_of_the_target() {
    let snap = Snap::new();
    snap.write("a/sub/file", "saved");
    snap.ok(&["create", "a"]);
    snap.write("outside/file", "mine");
    fs::create_dir_all(snap.work("out/a")).unwrap();
    symlink(snap.work("outside"), snap.work("out/a/sub")).unwrap();
    let ran = snap.ends(1, &["restore", "latest", "--target", "out", "--json"]);
    assert_eq!(fs::read_to_string(snap.work("outside/file")).unwrap(), "mine");
    assert_eq!(ran.summary()["failed"][0]["code"], "unsafe_path", "{}", ran.stdout);
    let ran = snap.ends(1, &["restore", "latest", "--target", "out"]);
    assert!(ran.stderr.contains("refused"), "{}", ran.stderr);
}

#[test]
fn a_target_that_cannot_be_made_is_an_error() {
    let (snap, _) = three_nights();
    let file = snap.write("file", "");
    let ran = snap.ends(1, &["restore", "latest", "--target", &text(&file)]);
    assert!(ran.stderr.contains("file"), "{}", ran.stderr);
    snap.ends(1, &["restore", "latest", "--target", "/proc/snap"]);
    snap.ok(&["check", "--read-data"]);
}

#[test]
fn damage_has_its_own_codes_and_stops_nothing_else() {
    let snap = Snap::new();
    // Kept apart: as much as a pack takes lies between them.
    let noise = |seed: u64| {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..3_000_000).map(|_| next()).collect::<Vec<u8>>()
    };
    snap.write("a/one", noise(1));
    snap.ok(&["create", "a"]);
    let packs = |snap: &Snap| -> Vec<PathBuf> {
        tree(&snap.path("repository/packs"))
            .into_iter()
            .filter(|(_, content)| content.is_some())
            .map(|(path, _)| path)
            .collect()
    };
    let first = packs(&snap);
    snap.write("a/two", noise(2));
    snap.ok(&["create", "a"]);
    let largest = first.iter().max_by_key(|path| fs::metadata(snap.path("repository/packs").join(path)).unwrap().len());
    let pack = snap.path("repository/packs").join(largest.unwrap());
    let mut bytes = fs::read(&pack).unwrap();
    bytes[1_000_000] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();

    assert_eq!(
        snap.ends(22, &["check", "--read-data", "--json"]).summary()["problems"].as_u64().map(|n| n > 0),
        Some(true)
    );
    let ran = snap.ends(22, &["check", "--read-data"]);
    assert!(ran.stderr.contains("damaged") && ran.stderr.contains("hint: "), "{}", ran.stderr);
    snap.ends(22, &["dump", "latest:a/one", "-o", "one"]);
    assert!(!snap.work("one").exists());
    snap.ok(&["dump", "latest:a/two", "-o", "two"]);
    let ran = snap.ends(21, &["restore", "latest", "--target", "out", "--json"]);
    assert_eq!(ran.summary()["failed"][0]["path"], "a/one");
    assert!(!snap.work("out/a/one").exists() && snap.work("out/a/two").exists());
}

#[test]
fn json_is_json_from_the_first_line_to_the_last() {
    let (snap, _) = three_nights();
    let created = snap.ok(&["create", "tables", "--json", "--force"]);
    let status = created.objects("status");
    assert!(!status.is_empty(), "the first one comes at once");
    for field in ["phase", "percent_done", "files_done", "bytes_done", "total_bytes", "seconds_remaining"] {
        assert!(status[0].get(field).is_some(), "{field}");
    }
    assert!(snap.ok(&["create", "tables", "--json", "-q"]).objects("status").is_empty());
    for arguments in [
        &["snapshots"][..],
        &["ls", "latest"],
        &["find", "*"],
        &["diff", "latest~1", "latest"],
        &["tag", "--add", "x", "latest"],
        &["manifest", "latest", "-o", "m"],
        &["check", "--read-data"],
        &["check", "--read-data-subset", "1/2"],
        &["restore", "latest", "-t", "out"],
        &["key", "list"],
    ] {
        let ran = snap.ok(&[arguments, &["--json"]].concat());
        assert!(ran.stdout.ends_with('\n'), "{arguments:?}");
        for line in ran.lines() {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(object["message_type"].is_string(), "{line}");
        }
    }
    assert_eq!(snap.ok(&["create", "tables", "-q"]).stdout, "");
    assert_eq!(snap.ok(&["restore", "latest", "-t", "out", "-q"]).stdout, "");
    let verbose = snap.ok(&["create", "tables", "-v", "--force"]).stdout;
    assert!(verbose.contains("orders.avro"), "{verbose}");
}

#[test]
fn everything_works_without_a_cache() {
    let (snap, _) = three_nights();
    fs::remove_dir_all(snap.path("home/.cache")).unwrap();
    snap.ok(&["restore", "latest", "--target", "out", "--no-cache"]);
    assert_eq!(tree(&snap.work("out/tables")), tree(&snap.work("tables")));
    night(&snap, NIGHTS[0]);
    // An older night has fewer records, which is worth a warning.
    let again = snap.ends(0, &["create", "tables", "--no-cache", "--json", "--force"]);
    assert!(again.stderr.contains("fewer than"), "{}", again.stderr);
    let again = again.summary();
    assert!(again["bytes_added"].as_u64() < Some(20_000), "{again}");
    assert!(!snap.path("home/.cache").exists());
    snap.ok(&["check"]);
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    let snap = Snap::new();
    for number in 0..3000 {
        snap.write(&format!("a/a-rather-long-name-for-a-file-{number}"), "");
    }
    snap.ok(&["create", "a"]);
    let ran = finish(&mut snap.in_shell("{ \"$0\" ls latest; echo $? >&2; } | head -n 1", &[]));
    assert_eq!((ran.lines(), ran.stderr.as_str()), (vec!["a"], "0\n"));
}

#[test]
fn a_source_that_is_not_there_makes_no_empty_snapshot_of_its_series() {
    let snap = Snap::new();
    let day = snap.write("mount/orders/day.txt", "1");
    let orders = day.parent().unwrap();
    snap.ok(&["create", "mount/orders"]);
    fs::remove_dir_all(orders).unwrap();
    let ran = snap.ends(1, &["create", "mount/orders"]);
    assert!(ran.stderr.contains("mount/orders: stat: No such file"), "{}", ran.stderr);
    assert!(ran.stderr.contains("no snapshot was created"), "{}", ran.stderr);
    assert_eq!(snap.ok(&["snapshots", "--json"]).stdout.lines().count(), 1);
    // What is there is saved although something else is not.
    snap.write("others/file", "2");
    assert_eq!(snap.ends(3, &["create", "mount/orders", "others", "--json"]).summary()["files_new"], 1);
    // A folder that is there and empty was asked for as it is.
    fs::create_dir(orders).unwrap();
    let ran = snap.ends(0, &["create", "mount/orders"]);
    assert!(ran.stderr.contains("mount/orders: no file is there"), "{}", ran.stderr);
    let again = snap.ends(0, &["create", "mount/orders"]);
    assert!(again.stderr.contains("mount/orders: no file is there"), "it still is: {}", again.stderr);
}
