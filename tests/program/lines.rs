//! What is printed fits the terminal, is said once, and answers restic's habits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::cli;
use crate::containers;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use avro_snap::avro::varint;
use cli::{Snap, finish, text};
use containers::container;

/// Longer than a line.
fn long_series(end: &str) -> String {
    format!("{}-{end}", "a-very-long-name-of-a-series".repeat(5))
}

fn assert_fits(what: &str, lines: &str) {
    for line in lines.lines() {
        assert!(line.chars().count() <= 80, "{what}: {} columns: {line}", line.chars().count());
    }
}

/// A repository with a long series of records, of which a good many are saved.
fn with_a_long_series() -> Snap {
    let snap = Snap::quick();
    snap.ok(&["init", "--encryption", "none"]);
    let mut longs = Vec::new();
    (0..1_234_567).for_each(|_| varint::encode(&mut longs, 7));
    snap.write("data/a.avro", container("\"long\"", "null", [(1_234_567, &longs[..])]));
    // 2^63 - 1 records, of which there is one.
    for name in ["b", "c", "d"] {
        snap.write(&format!("data/{name}.avro"), container("\"long\"", "null", [(i64::MAX as u64, &[2][..])]));
    }
    snap
}

#[test]
fn what_is_printed_about_long_series_fits_and_json_has_all_of_it() {
    let snap = with_a_long_series();
    let (one, other) = (long_series("one"), long_series("other"));
    for series in [&one, &other] {
        let ran = snap.ends(0, &["create", "--series", series, "data"]);
        assert_fits("create", &ran.stdout);
        // Counted is what was decoded: not what damaged files declare.
        assert!(ran.stdout.contains("avro:    4 files (3 not sound), 1234570 records decoded\n"), "{}", ran.stdout);
    }
    assert_eq!(
        snap.ends(0, &["create", "--series", "x", "--force", "data", "--json"]).summary()["avro_records"],
        1_234_570
    );
    for arguments in [&["snapshots"][..], &["stats"], &["stats", "--total"]] {
        assert_fits(arguments[0], &snap.ends(0, arguments).stdout);
    }
    let (copy, from) = (text(&snap.path("copy")), text(&snap.path("repository")));
    snap.ok(&["init", "--encryption", "none", "-r", &copy]);
    let arguments = ["copy", "-r", &copy, "--from-repo", &from, "latest", "--series", &one];
    let ran = snap.ends(0, &[&arguments[..], &["--dry-run"]].concat());
    assert!(ran.stdout.contains("would copy snapshot") && ran.stdout.contains(".."), "{}", ran.stdout);
    assert_fits("copy --dry-run", &ran.stdout);
    let ran = snap.ends(0, &arguments);
    assert!(ran.stdout.contains("copied snapshot") && ran.stdout.contains(".."), "{}", ran.stdout);
    assert_fits("copy", &ran.stdout);
    let ran = snap.ends(0, &["ls", "latest"]);
    assert!(ran.stderr.contains("there are 3 series") && !ran.stderr.contains(&other), "{}", ran.stderr);
    snap.ends(0, &["forget", "x:latest"]);
    let ran = snap.ends(0, &["ls", "latest", "--json"]);
    assert!(ran.stderr.contains(&other), "{}", ran.stderr);
}

#[test]
fn the_same_warning_is_said_once() {
    let snap = Snap::new();
    snap.write("data/file", "x");
    for series in ["a", "b"] {
        snap.ok(&["create", "-q", "--series", series, "data"]);
    }
    let ran = snap.ends(0, &["diff", "latest", "latest"]);
    assert_eq!(ran.stderr.matches("there are 2 series").count(), 1, "{}", ran.stderr);
}

#[test]
fn restics_objects_and_modes_get_an_answer() {
    let snap = Snap::new();
    snap.write("data/file", "x");
    snap.ok(&["create", "-q", "data"]);
    for (kind, expected) in [
        ("snapshot", "snap snapshots --json"),
        ("config", "snap stats"),
        ("index", "snap stats --json"),
        ("pack", "snap check --read-data"),
        ("masterkey", "snap key export"),
        ("lock", "there are no locks"),
    ] {
        for arguments in [&["cat", kind][..], &["cat", kind, "1234abcd"]] {
            let ran = snap.ends(2, arguments);
            assert!(ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
        }
    }
    assert!(snap.ends(2, &["cat", "latest:data/file", "more"]).stderr.contains("more"));
    for mode in ["restore-size", "raw-data", "files-by-contents", "blobs-per-file"] {
        let ran = snap.ends(0, &["stats", "--mode", mode]);
        assert!(ran.stderr.contains("--mode is not needed") && ran.stdout.contains("Size"), "{mode}: {}", ran.stderr);
    }
    snap.ends(2, &["stats", "--mode", "nonsense"]);
    assert!(!snap.ok(&["stats", "--help"]).stdout.contains("--mode"));
}

#[test]
fn snapshots_are_listed_by_their_names() {
    let snap = Snap::new();
    for day in 1..=3 {
        snap.write("data/file", day.to_string());
        snap.ok(&["create", "-q", "--series", "s", "--time", &format!("2026-03-0{day}"), "data"]);
    }
    let ids = |arguments: &[&str]| -> Vec<String> {
        let listed = snap.ok(&[&["snapshots", "--json"], arguments].concat()).objects("snapshot");
        listed.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids(&[]);
    assert_eq!(all.len(), 3);
    assert_eq!(ids(&["latest"]), all[2..]);
    assert_eq!(ids(&["s:latest~1"]), all[1..2]);
    assert_eq!(ids(&[&all[2][..8], &all[0][..8]]), [all[0].clone(), all[2].clone()]);
    assert!(snap.ok(&["snapshots", "latest"]).stdout.contains("1 snapshot\n"));
    snap.ends(1, &["snapshots", "ffffffff"]);
    snap.ends(2, &["snapshots", "latest:data"]);
}

#[test]
fn a_stream_of_the_same_bytes_counts_as_unmodified() {
    let snap = Snap::new();
    let create = ["create", "--series", "s", "--stdin", "--skip-if-unchanged"];
    let saved = |bytes: &str| finish(snap.command(&create).write_stdin(bytes)).stdout;
    assert!(saved("x").contains("1 new"));
    let again = saved("x");
    assert!(again.contains("nothing has changed since") && again.contains("0 changed, 1 unmodified"), "{again}");
    assert!(saved("y").contains("1 changed, 0 unmodified"));
}

/// The left column is what the texts once said, the right one what people search for.
#[test]
fn words_that_nobody_searches_for_do_not_come_back() {
    let words = [
        ("Take this for the name", "Set the host name"),
        ("Leave out what fits", "Exclude paths matching PATTERN"),
        ("How hard to compress", "compression"),
        ("Drop snapshots of which", "Remove snapshots with no recoverable files"),
        ("Copy at most so many bytes", "Repack at most SIZE bytes per run"),
        ("Take a password away", "Remove a password"),
        ("Free the room of what", "Delete data that no snapshot needs"),
        ("Look whether everything is there", "Verify the repository"),
        ("given several times", "may be repeated"),
        ("fits {count} snapshots", "is ambiguous"),
        ("opens no key of", "wrong password for repository"),
        ("went back", "was rolled back"),
        ("to remove is left", "nothing to remove"),
        ("nothing of what was to be saved", "none of the sources could be read"),
        ("without a word", "automatically, silently"),
        ("What came of it.", "Result of the run."),
        ("Those of the repository", "name the errors"),
        ("last resort of who", "last resort when"),
    ];
    let texts = texts_below(&["src", "README.md", "docs"]);
    assert!(texts.len() > 100);
    for (path, text) in texts {
        for (old, new) in words {
            assert!(!text.contains(old), "{}: {old:?}; write {new:?}", path.display());
        }
    }
}

/// All files at or below these paths, but the page on style, which shows what not to write.
fn texts_below(paths: &[&str]) -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut texts, mut waiting) = (BTreeMap::new(), paths.iter().map(|path| root.join(path)).collect::<Vec<_>>());
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.ends_with("style.md") {
            texts.insert(path.clone(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
        }
    }
    texts
}

/// Words of a translated voice, and plain ones for them (`docs/style.md`). These rooms are clear of them, comments and names
/// included; other rooms join the list when they are.
#[test]
fn rooms_that_are_clear_of_translated_words_stay_so() {
    let words = [
        ("whoever", "name the subject"),
        ("anew", "again; rebuilt"),
        ("so many", "this many, how many; N"),
        ("told", "reported, returned, printed"),
        ("teller", "printer"),
        ("once more", "again"),
        ("gets to know", "records"),
        ("came of", "result of"),
        ("became of", "result for, state of"),
        ("of this name", "with this name, at this path"),
        ("something of it", "data of it, a part of it"),
        ("nothing of it", "no data of it, no part of it"),
        ("nobody", "say what does not happen"),
    ];
    let rooms = [
        "cli",
        "serve",
        "mount",
        "live",
        "iceberg",
        "ops",
        "files",
        "snapshot",
        "recipe",
        "avro",
        "chunk",
        "crypto",
        "ingest",
        "read",
        "integrity",
        "store",
        "tables",
        "log",
        "gc",
        "graph",
        "pack",
        "index",
        "storage",
        "error",
        "error.rs",
        "progress.rs",
        "report.rs",
        "values.rs",
        "runtime",
        "cache",
        "hints",
        "id.rs",
        "wire.rs",
        "lib.rs",
        "main.rs",
    ];
    let paths: Vec<String> = rooms.iter().map(|room| format!("src/{room}")).collect();
    let texts = texts_below(&paths.iter().map(|path| &**path).collect::<Vec<_>>());
    assert!(texts.len() > 100);
    let mut found = Vec::new();
    for (path, text) in texts {
        for (number, line) in text.lines().enumerate() {
            let line = format!(" {} ", line.to_lowercase().replace(|sign: char| !sign.is_alphanumeric(), " "));
            for (old, new) in words {
                if line.contains(&format!(" {old} ")) {
                    found.push(format!("{}:{}: {old:?}; write {new:?}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
