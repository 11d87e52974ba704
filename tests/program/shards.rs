//! One snapshot from several processes: parts, their merge, and restores in parts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::cli::{Snap, text};
use crate::containers::one_record;
use crate::noise::noise;

const FILES: u64 = 200;

/// Starts a process whose output nobody reads.
fn quiet(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn repository() -> Snap {
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    snap
}

/// Files in several directories, links of both kinds, an empty directory.
fn lake(snap: &Snap) {
    for number in 0..FILES {
        let name = format!("lake/t{}/part-{number:05}.avro", number % 3);
        snap.write(&name, one_record("\"long\"", &[(number % 60) as u8 * 2]));
    }
    snap.write("lake/t1/notes", noise(7, 5000));
    fs::create_dir_all(snap.work("lake/empty/deeper")).unwrap();
    symlink("t1/notes", snap.work("lake/link")).unwrap();
    for number in 0..12 {
        fs::hard_link(snap.work("lake/t1/notes"), snap.work(&format!("lake/t2/name-{number}"))).unwrap();
    }
    fs::set_permissions(snap.work("lake/t2"), fs::Permissions::from_mode(0o750)).unwrap();
    settle(&snap.work("lake"));
}

/// Gives everything a time that is long past, so that nothing was changed just before it is read.
fn settle(path: &Path) {
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| settle(&entry.unwrap().path()));
    }
    if !path.is_symlink() {
        let inode = fs::metadata(path).unwrap().ino() % 1000;
        let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_500_000_000 + inode);
        fs::File::open(path).unwrap().set_modified(past).unwrap();
    }
}

fn part<'a>(shard: &'a str, run: &'a str) -> Vec<&'a str> {
    vec!["create", "lake", "--shard", shard, "--run", run]
}

fn saves_all(snap: &Snap, run: &str, of: u32) {
    for number in 1..=of {
        snap.ok(&part(&format!("{number}/{of}"), run));
    }
}

/// The rows of a snapshot.
fn rows(snap: &Snap, snapshot: &str) -> Vec<Value> {
    snap.ok(&["ls", snapshot, "--json"]).objects("node")
}

/// Refused, with this code of the error; what was said.
fn refused(snap: &Snap, exit: i32, code: &str, arguments: &[&str]) -> String {
    let ran = snap.ends(exit, &[arguments, &["--json"]].concat());
    let error = ran.error();
    assert_eq!(error["code"], code, "{arguments:?}: {error}");
    format!("{} {}", error["message"].as_str().unwrap(), error["hint"].as_str().unwrap_or_default())
}

/// All below a directory: what it is, and its metadata.
fn tree(top: &Path) -> BTreeMap<String, (String, u32, i64, u64)> {
    let mut found = BTreeMap::new();
    let mut open = vec![top.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let stat = path.symlink_metadata().unwrap();
            let what = match () {
                () if stat.is_dir() => "directory".to_owned(),
                () if stat.is_symlink() => text(&fs::read_link(&path).unwrap()),
                () => format!("{:?}", fs::read(&path).unwrap()),
            };
            let (mtime, names) = match () {
                () if stat.is_symlink() => (0, 0),
                () if stat.is_dir() => (stat.mtime(), 0),
                () => (stat.mtime(), stat.nlink()),
            };
            found.insert(text(path.strip_prefix(top).unwrap()), (what, stat.mode(), mtime, names));
            if stat.is_dir() {
                open.push(path);
            }
        }
    }
    found
}

#[test]
fn four_processes_make_the_snapshot_that_one_makes_also_if_one_is_killed() {
    let snap = repository();
    lake(&snap);
    let started: Vec<_> =
        ["1/4", "3/4", "4/4"].map(|shard| quiet(snap.process(&part(shard, "night")))).into_iter().collect();
    let mut killed = quiet(snap.process(&part("2/4", "other")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    for mut process in started {
        assert!(process.wait().unwrap().success());
    }
    let said = refused(&snap, 1, "run_refused", &["merge", "--run", "night"]);
    assert!(said.contains("part 2 of 4 is missing") && said.contains("--shard 2/4 --run night"), "{said}");
    let open = snap.ok(&["merge", "--list", "--json"]).objects("run");
    let night = open.iter().find(|run| run["run"] == "night").unwrap();
    assert_eq!((&night["parts"], &night["parts_missing"]), (&Value::from(4), &serde_json::json!([2])));
    snap.ok(&part("2/4", "night"));
    let again = snap.ok(&part("3/4", "night")).stdout;
    assert!(again.contains("part 3/4 of run night is there already"), "{again}");
    let dry = snap.ok(&["merge", "--run", "night", "--dry-run", "--json"]).summary();
    assert_eq!((&dry["snapshot_id"], &dry["files"]), (&Value::Null, &Value::from(FILES + 1)));
    let merged = snap.ok(&["merge", "--run", "night", "--json"]).summary();
    assert_eq!((&merged["files"], &merged["others"]), (&Value::from(FILES + 1), &Value::from(13)));
    let second = snap.ok(&["merge", "--run", "night", "--json"]).summary();
    assert_eq!(second["snapshot_id"], merged["snapshot_id"]);
    assert_eq!((&second["merged_before"], &second["files"]), (&Value::from(true), &merged["files"]));
    let listed = snap.ok(&["snapshots", "--json"]).objects("snapshot");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], merged["snapshot_id"]);
    let of_parts = rows(&snap, "latest");
    snap.ok(&["create", "lake", "--series", "single"]);
    // Not with `assert_eq`, which would print all of them.
    assert!(of_parts.len() > FILES as usize && of_parts == rows(&snap, "single:latest"));
    assert_eq!(of_parts.iter().filter(|row| row["hard_link"].is_string()).count(), 12);
    let said = refused(&snap, 1, "run_refused", &part("3/4", "night"));
    assert!(said.contains("is merged already") && said.contains("a name of its own"), "{said}");
    snap.ok(&["check", "--read-data"]);
}

#[test]
fn parts_are_safe_and_are_no_snapshots() {
    let snap = repository();
    lake(&snap);
    saves_all(&snap, "night", 3);
    assert!(snap.ok(&["snapshots", "--json"]).objects("snapshot").is_empty());
    refused(&snap, 1, "no_snapshot", &["restore", "latest", "--target", "out"]);
    snap.ok(&["forget", "--keep-last", "1"]);
    let first = snap.ok(&["create", "lake", "--json"]).summary();
    assert_eq!(first["parent"], Value::Null, "a part is nobody's parent");
    snap.ok(&["forget", "latest"]);
    snap.ok(&["prune", "--grace", "0", "--max-unused", "0"]);
    snap.ok(&["merge", "--run", "night"]);
    snap.ok(&["prune", "--grace", "0", "--max-unused", "0"]);
    snap.ok(&["check", "--read-data"]);
    let undone = snap.ok(&["forget", "--undo", "--dry-run", "--json"]).objects("removed_snapshot");
    assert_eq!(undone.len(), 1, "parts cannot come back");
    snap.ok(&["restore", "latest:lake", "--target", "out"]);
    assert_eq!(tree(&snap.work("out")), tree(&snap.work("lake")));
}

#[test]
fn a_part_that_does_not_fit_is_refused_before_anything_is_read() {
    let snap = repository();
    lake(&snap);
    snap.write("more/x", "x");
    snap.ok(&part("1/2", "night"));
    let base = part("2/2", "night");
    for (more, what) in [
        (&["--exclude", "*.tmp"][..], "other excludes"),
        (&["--host", "elsewhere"], "other host"),
        (&["--series", "s"], "other series"),
        (&["--tag", "t"], "other tags"),
        (&["--time", "2020-01-01"], "other time"),
        (&["more"], "other sources"),
    ] {
        let said = refused(&snap, 1, "run_refused", &[&base[..], more].concat());
        assert!(said.contains(what) && said.contains("--discard"), "{more:?}: {said}");
    }
    let said = refused(&snap, 1, "run_refused", &part("2/3", "night"));
    assert!(said.contains("has 2 parts, and this is part 2/3"), "{said}");
    for (arguments, what) in [
        (vec!["create", "lake", "--shard", "1/2"], "--shard needs --run"),
        (vec!["create", "lake", "--run", "x"], "--run needs --shard"),
        (part("1/2", " "), "is empty"),
        (part("0/2", "x"), "counted from 1"),
        (part("3/2", "x"), "the last one is 2/2"),
        ([&part("1/2", "x")[..], &["--skip-if-unchanged"]].concat(), "cannot be used with"),
        (vec!["create", "--stdin", "--shard", "1/2", "--run", "x"], "cannot be used with"),
        (vec!["merge"], "required"),
        (vec!["merge", "--run", ""], "is empty"),
        (vec!["plan", "lake", "--shards", "0"], "one part at least"),
        (vec!["plan", "lake", "--shards", "5000"], "the limit of 1024"),
        (vec!["restore", "latest", "--target", "x", "--shard", "1/2", "--delete"], "cannot be used with"),
    ] {
        let ran = snap.ends(2, &arguments);
        assert!(ran.stderr.contains(what), "{arguments:?}: {}", ran.stderr);
    }
    let said = refused(&snap, 1, "run_refused", &["merge", "--run", "nigth"]);
    assert!(said.contains("is not known") && said.contains("--list"), "{said}");
    snap.ok(&base);
    snap.ok(&["merge", "--run", "night"]);
}

#[test]
fn a_run_that_is_given_up_or_abandoned_is_over() {
    let snap = repository();
    lake(&snap);
    for (run, end) in [
        ("first", &["merge", "--run", "first", "--discard"][..]),
        ("second", &["prune", "--keep-parts", "0", "--grace", "0"]),
    ] {
        snap.ok(&part("1/2", run));
        snap.ok(&["prune", "--grace", "0"]);
        assert_eq!(snap.ok(&["merge", "--list", "--json"]).objects("run").len(), 1, "{run}");
        snap.ok(&[end, &["--dry-run"]].concat());
        assert_eq!(snap.ok(&["merge", "--list", "--json"]).objects("run").len(), 1, "{run}");
        snap.ok(end);
        assert!(snap.ok(&["merge", "--list", "--json"]).objects("run").is_empty(), "{run}");
        for arguments in [vec!["merge", "--run", run], part("2/2", run)] {
            let said = refused(&snap, 1, "run_refused", &arguments);
            assert!(said.contains("has ended"), "{said}");
        }
    }
    let summary = snap.ok(&["prune", "--grace", "0", "--json"]).summary();
    assert_eq!(summary["parts_removed"], 0);
}

#[test]
fn a_machine_without_the_source_is_noticed() {
    let snap = repository();
    lake(&snap);
    for number in 0..10 {
        fs::create_dir(snap.work(&format!("lake/dir-{number}"))).unwrap();
    }
    snap.ok(&part("1/3", "night"));
    fs::rename(snap.work("lake"), snap.work("away")).unwrap();
    // What a mount point looks like when nothing is mounted.
    fs::create_dir(snap.work("lake")).unwrap();
    snap.ok(&part("2/3", "night"));
    fs::remove_dir(snap.work("lake")).unwrap();
    let ran = snap.ends(1, &part("3/3", "night"));
    assert!(ran.stderr.contains("none of the sources could be read"), "{}", ran.stderr);
    fs::rename(snap.work("away"), snap.work("lake")).unwrap();
    snap.ok(&part("3/3", "night"));
    let said = refused(&snap, 1, "run_refused", &["merge", "--run", "night"]);
    assert!(said.contains("part 2 that met 1 directories") && said.contains("not mounted"), "{said}");
    snap.ok(&["merge", "--run", "night", "--accept-losses", "--dry-run"]);
    snap.ok(&[&part("2/3", "night")[..], &["--force"]].concat());
    let merged = snap.ok(&["merge", "--run", "night", "--json"]).summary();
    assert_eq!(merged["files"], FILES + 1);
}

#[test]
fn a_machine_without_a_source_that_is_one_flat_directory_is_noticed() {
    let snap = repository();
    for number in 0..16 {
        snap.write(&format!("lake/part-{number:05}.avro"), one_record("\"long\"", &[2]));
    }
    snap.write("lake/left.tmp", "x");
    let saves = |shard: &str, more: &[&str]| {
        snap.ok(&[&part(shard, "night")[..], &["--exclude", "*.tmp"], more].concat());
    };
    for number in (1..=8).filter(|number| *number != 5) {
        saves(&format!("{number}/8"), &[]);
    }
    fs::rename(snap.work("lake"), snap.work("away")).unwrap();
    fs::create_dir(snap.work("lake")).unwrap();
    saves("5/8", &[]);
    fs::remove_dir(snap.work("lake")).unwrap();
    fs::rename(snap.work("away"), snap.work("lake")).unwrap();
    let said = refused(&snap, 1, "run_refused", &["merge", "--run", "night"]);
    assert!(said.contains("part 5 that met 1 names, where others met 18"), "{said}");
    saves("5/8", &["--force"]);
    assert_eq!(snap.ok(&["merge", "--run", "night", "--json"]).summary()["files"], 16);
}

#[test]
fn what_changes_between_the_parts_leads_to_a_sound_snapshot() {
    let snap = repository();
    lake(&snap);
    let plan = snap.ok(&["plan", "lake", "--shards", "2", "--json"]).summary();
    let first = plan["parts"][0]["files"].as_u64().unwrap();
    assert!((FILES / 3..FILES).contains(&first), "{plan}");
    // Names of either part, made and removed between the two walks, and a file that becomes a directory.
    for number in 0..20 {
        snap.write(&format!("lake/goes/{number:02}"), "x");
        snap.write(&format!("lake/becomes/{number:02}"), format!("{number}"));
    }
    snap.ok(&part("1/2", "night"));
    fs::remove_dir_all(snap.work("lake/goes")).unwrap();
    for number in 0..20 {
        snap.write(&format!("lake/comes/{number:02}"), "y");
        let path = snap.work(&format!("lake/becomes/{number:02}"));
        fs::remove_file(&path).unwrap();
        for below in 0..8 {
            snap.write(&format!("lake/becomes/{number:02}/{below}"), "below");
        }
    }
    snap.ok(&part("2/2", "night"));
    let ran = snap.ends(3, &["merge", "--run", "night", "--json"]);
    let merged = ran.summary();
    let unreadable = merged["unreadable"].as_u64().unwrap();
    assert!((1..20).contains(&unreadable), "{merged}");
    let rows = rows(&snap, "latest");
    let named = |beginning: &str, kind: &str| {
        let fits = |row: &&Value| row["path"].as_str().unwrap().starts_with(beginning) && row["type"] == kind;
        rows.iter().filter(fits).count()
    };
    assert!((1..20).contains(&named("lake/goes/", "file")) && (1..20).contains(&named("lake/comes/", "file")));
    assert_eq!(named("lake/t", "file"), FILES as usize + 13, "what was there all the time is there");
    // Each row has a directory above it.
    for row in &rows {
        let path = row["path"].as_str().unwrap();
        let Some((above, _)) = path.rsplit_once('/') else { continue };
        assert!(rows.iter().any(|row| row["path"] == above && row["type"] == "dir"), "{path}");
    }
    snap.ok(&["restore", "latest", "--target", "out"]);
    snap.ok(&["check", "--read-data"]);
}

#[test]
fn the_next_run_reads_what_changed_and_reports_what_is_gone() {
    let snap = repository();
    lake(&snap);
    // What was changed just before it is read is read again the next time.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    saves_all(&snap, "one", 3);
    let first = snap.ok(&["merge", "--run", "one", "--json"]).summary();
    // Gone, with nothing new that makes up for it; and another one with fewer records.
    fs::remove_file(snap.work("lake/t0/part-00000.avro")).unwrap();
    snap.write("lake/t1/part-00001.avro", crate::containers::container("\"long\"", "null", []));
    saves_quietly(&snap, "1/3", "two");
    // A snapshot that comes between does not become the parent of the others.
    snap.ok(&["create", "lake", "--accept-losses"]);
    let mut read = 0;
    for shard in ["2/3", "3/3"] {
        let saved = saves_quietly(&snap, shard, "two");
        assert_eq!(saved["parent"], first["snapshot_id"]);
        read += saved["files_new"].as_u64().unwrap() + saved["files_changed"].as_u64().unwrap();
    }
    // Names of one file in several parts are read in each of them.
    assert!(read <= 3, "{read}");
    let ran = snap.ends(3, &["merge", "--run", "two", "--fail-on-damaged", "--json"]);
    let second = ran.summary();
    assert_eq!((&second["avro_missing"], &second["avro_shrunk"]), (&Value::from(1), &Value::from(1)), "{}", ran.stderr);
    assert_eq!(second["parent"], first["snapshot_id"]);
    assert!(ran.stderr.contains("part-00000.avro"), "{}", ran.stderr);
    // Merging again, as after an answer that was lost, reports it again.
    let again = snap.ends(3, &["merge", "--run", "two", "--fail-on-damaged", "--json"]).summary();
    assert_eq!(again["merged_before"], true);
    for key in
        ["avro_files", "avro_unsound", "avro_shrunk", "avro_missing", "avro_records", "emptied", "files", "parent"]
    {
        assert_eq!(again[key], second[key], "{key}");
    }
    // It is reported until it is accepted.
    let saves = |run| ["1/2", "2/2"].into_iter().for_each(|shard| drop(saves_quietly(&snap, shard, run)));
    saves("three");
    let third = snap.run(&["merge", "--run", "three", "--json"]).summary();
    assert_eq!((&third["avro_missing"], &third["avro_shrunk"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(third["parent"], second["snapshot_id"]);
    saves("four");
    let fourth = snap.ok(&["merge", "--run", "four", "--accept-losses", "--json"]).summary();
    assert_eq!((&fourth["avro_missing"], &fourth["avro_shrunk"]), (&Value::from(0), &Value::from(0)));
    snap.ok(&["merge", "--run", "four", "--fail-on-damaged"]);
}

/// Saves a part, whatever is said of its files.
fn saves_quietly(snap: &Snap, shard: &str, run: &str) -> Value {
    let ran = snap.run(&[&part(shard, run)[..], &["--json"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.summary()
}

#[test]
fn parts_of_a_restore_are_the_whole_with_the_times_of_directories() {
    let snap = repository();
    lake(&snap);
    snap.ok(&["create", "lake"]);
    let expected = tree(&snap.work("lake"));
    // One after the other, the last one first; then all at once, into what is there, and again.
    let mut restored = 0;
    for shard in ["3/3", "1/3", "2/3"] {
        let ran = snap.ok(&["restore", "latest:lake", "--target", "one by one", "--shard", shard, "--json"]);
        restored += ran.summary()["files_restored"].as_u64().unwrap();
    }
    assert_eq!(restored, FILES + 1);
    assert_eq!(tree(&snap.work("one by one")), expected);
    for round in 0..2 {
        let processes: Vec<_> = (1..=4)
            .map(|number| {
                let shard = format!("{number}/4");
                quiet(snap.process(&["restore", "latest:lake", "--target", "at once", "--shard", &shard]))
            })
            .collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success());
        }
        assert_eq!(tree(&snap.work("at once")), expected, "round {round}");
    }
}

#[test]
fn parts_of_a_restore_of_some_paths_leave_all_directories_as_they_were() {
    let snap = repository();
    for number in 0..40 {
        snap.write(&format!("lake/closed/{number}/some"), "some");
        snap.write(&format!("lake/closed/{number}/other"), "other");
    }
    settle(&snap.work("lake"));
    // Not all without the right to write: another process may end between two files of this one.
    let set = |mode| (0..40).for_each(|number| set_mode(&snap.work(&format!("lake/closed/{number}")), mode));
    set(0o555);
    set_mode(&snap.work("lake/closed"), 0o751);
    snap.ok(&["create", "lake"]);
    let restores = |target: &str, more: &[&str]| {
        let base = ["restore", "latest:lake", "--target", target, "--include", "some"];
        snap.process(&[&base[..], more].concat())
    };
    assert!(quiet(restores("whole", &[])).wait().unwrap().success());
    let processes: Vec<_> = ["1/3", "2/3", "3/3"].map(|shard| quiet(restores("parts", &["--shard", shard]))).into();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let (whole, parts) = (tree(&snap.work("whole")), tree(&snap.work("parts")));
    for folder in ["lake", "whole", "parts"] {
        (0..40).for_each(|number| set_mode(&snap.work(&format!("{folder}/closed/{number}")), 0o755));
    }
    assert!(whole.len() == 81 && whole == parts, "{whole:?} {parts:?}");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_plan_is_what_the_parts_save() {
    let snap = repository();
    lake(&snap);
    let plan = snap.ok(&["plan", "lake", "--shards", "4", "--exclude", "*7.avro", "--json"]).summary();
    let mut files = 0;
    for (number, planned) in (1..).zip(plan["parts"].as_array().unwrap()) {
        let shard = format!("{number}/4");
        let more = ["--exclude", "*7.avro", "--json"];
        let saved = snap.ok(&[&part(&shard, "night")[..], &more].concat()).summary();
        assert_eq!((&planned["shard"], &saved["shard"]), (&Value::from(&*shard), &Value::from(&*shard)));
        assert_eq!((&planned["files"], &planned["bytes"]), (&saved["files_new"], &saved["bytes_total"]));
        files += planned["files"].as_u64().unwrap();
    }
    assert_eq!(plan["files"], files);
    let imbalance = plan["imbalance"].as_f64().unwrap();
    assert!((1.0..1.6).contains(&imbalance), "{plan}");
    let table = snap.ok(&["plan", "lake", "--shards", "4"]).stdout;
    assert!(table.contains("4/4") && table.contains("times what an average one has"), "{table}");
}
