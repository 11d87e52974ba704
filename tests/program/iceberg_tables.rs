//! Iceberg tables: saved with all that their metadata names, listed, and moved.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use apache_avro::types::Value as Avro;
use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use avro_snap::ops::create::{CreateOptions, CreateReport, create};
use avro_snap::progress::{Phase, Progress};
use serde_json::Value;

use crate::cli::{Snap, text};
use crate::iceberg::Ice;
use crate::lab::Lab;

/// A table with three versions: a.parquet, then b.parquet as well, then b.parquet alone; and what belongs to none of them.
fn table(folder: &Path) -> Ice {
    let mut table = Ice::new(folder);
    table.add("a.parquet", "first");
    table.commit();
    table.add("b.parquet", "second");
    table.commit();
    table.take_out("a.parquet");
    table.commit();
    fs::write(folder.join("data/orphan.parquet"), "of a write that failed").unwrap();
    table
}

/// The files of the last snapshot, by their names.
fn names(snap: &Snap) -> Vec<String> {
    // It may be said that there is another series.
    let rows = snap.ends(0, &["ls", "latest", "--json"]).objects("node");
    let files = rows.iter().filter(|row| row["type"] == "file");
    files.map(|row| row["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn all_that_the_current_state_names_is_saved_and_nothing_else() {
    let snap = Snap::new();
    let table = table(&snap.work("t"));
    let ran = snap.ok(&["create", "--iceberg", "t", "--json"]);
    let saved = &ran.summary()["iceberg"][0];
    assert_eq!((&saved["table_snapshot_id"], &saved["records"], &saved["files"]), (&3.into(), &10.into(), &5.into()));
    let current = ["b.parquet", "m3.avro", "snap-3.avro", "v3.metadata.json", "version-hint.text"];
    assert_eq!(names(&snap), current);
    // What comes back is what was there, at its place.
    let out = snap.path("out");
    snap.ok(&["restore", "latest", "--target", &text(&out)]);
    let back = out.join(table.folder.strip_prefix("/").unwrap());
    for name in ["data/b.parquet", "metadata/m3.avro", "metadata/v3.metadata.json"] {
        assert_eq!(fs::read(back.join(name)).unwrap(), fs::read(table.folder.join(name)).unwrap(), "{name}");
    }
    // The next night is of the same series, though all files but one are others.
    let metadata = text(&snap.work("t/metadata/v3.metadata.json"));
    let again = snap.ok(&["create", "--iceberg", &metadata, "--json"]).summary();
    assert_eq!((&again["series"], &again["parent"]), (&ran.summary()["series"], &ran.summary()["snapshot_id"]));
    snap.ok(&["create", "--iceberg", "t", "--iceberg-history"]);
    let all = [
        "a.parquet",
        "b.parquet",
        "m1.avro",
        "m2.avro",
        "m3.avro",
        "snap-1.avro",
        "snap-2.avro",
        "snap-3.avro",
        "v1.metadata.json",
        "v2.metadata.json",
        "v3.metadata.json",
        "version-hint.text",
    ];
    assert_eq!(names(&snap), all);
    // An earlier state, by its name: the hint names another one.
    let earlier = text(&snap.work("t/metadata/v2.metadata.json"));
    snap.ok(&["create", "--iceberg", &earlier]);
    assert_eq!(names(&snap), ["a.parquet", "b.parquet", "m2.avro", "snap-2.avro", "v2.metadata.json"]);
    // Beside other sources; what is saved twice is saved once.
    snap.write("note.txt", "a note");
    snap.ok(&["create", "note.txt", &text(&table.folder.join("data")), "--iceberg", "t"]);
    assert!(names(&snap).contains(&"note.txt".into()) && names(&snap).contains(&"orphan.parquet".into()));
}

#[test]
fn a_restore_that_deletes_leaves_the_folder_of_a_table_alone() {
    let snap = Snap::new();
    let table = table(&snap.work("t"));
    snap.ok(&["create", "--iceberg", "t"]);
    let out = snap.path("out");
    snap.ok(&["restore", "latest", "--target", &text(&out)]);
    let other = out.join(table.folder.strip_prefix("/").unwrap()).join("data/other.parquet");
    fs::write(&other, "of another state of the table").unwrap();
    snap.ok(&["restore", "latest", "--target", &text(&out), "--delete"]);
    assert!(other.exists(), "it was not to be saved");
}

#[test]
fn a_table_that_lacks_something_is_not_saved() {
    let snap = Snap::new();
    let mut table = table(&snap.work("t"));
    fs::remove_file(table.folder.join("data/b.parquet")).unwrap();
    let ran = snap.ends(1, &["create", "--iceberg", "t"]);
    assert!(ran.stderr.contains("b.parquet") && ran.stderr.contains("there is no newer metadata"), "{}", ran.stderr);
    assert!(snap.ok(&["snapshots", "--json"]).objects("snapshot").is_empty());
    table.take_out("b.parquet");
    table.add("c.parquet", "third");
    table.live[0].length += 1;
    table.commit();
    let ran = snap.ends(3, &["create", "--iceberg", "t"]);
    assert!(ran.stderr.contains("its table says that it has 6"), "{}", ran.stderr);
    let ran = snap.ends(2, &["create", "--iceberg", "t", "--exclude", "*.parquet"]);
    assert!(ran.stderr.contains("is excluded"), "{}", ran.stderr);
    fs::remove_file(table.folder.join("metadata/m4.avro")).unwrap();
    assert!(snap.ends(1, &["create", "--iceberg", "t"]).stderr.contains("m4.avro"));
    for (name, said) in [("nothing", "nothing"), ("t/data", "metadata"), ("t/data/c.parquet", "JSON")] {
        let ran = snap.run(&["create", "--iceberg", name]);
        assert!(ran.code != 0 && ran.stderr.contains(said), "{name}: {}", ran.stderr);
    }
    // One that is being written is passed over, one that cannot be read is not.
    fs::write(table.folder.join("metadata/v5.metadata.json"), "").unwrap();
    assert!(snap.ends(1, &["create", "--iceberg", "t"]).stderr.contains("passed over"));
    fs::write(table.folder.join("metadata/v6.gz.metadata.json"), "").unwrap();
    assert!(snap.ends(2, &["create", "--iceberg", "t"]).stderr.contains("compressed"));
    let metadata = fs::read_to_string(table.folder.join("metadata/v3.metadata.json")).unwrap();
    snap.write("s3/metadata/v1.metadata.json", metadata.replace("file:///", "s3://lake/"));
    assert!(snap.ends(2, &["create", "--iceberg", "s3"]).stderr.contains("object store"));
}

/// Calls something when the walk begins: the closure is known then.
struct AtBegin<F>(Mutex<F>);

impl<F: FnMut() + Send> Progress for AtBegin<F> {
    fn begin(&self, phase: Phase, _: Option<u64>, _: Option<u64>) {
        if phase == Phase::Create {
            (self.0.lock().unwrap())();
        }
    }
}

/// Saves a table that changes when the walk begins; returns the report and the names of the files, or the error.
fn saved_meanwhile(table: &Path, change: impl FnMut() + Send) -> Result<(CreateReport, Vec<String>), Error> {
    let lab = Lab::new(Suite::None);
    let repository = lab.open();
    let options = CreateOptions::default().iceberg([table]);
    let report = create(&repository, options, &AtBegin(Mutex::new(change)))?;
    let (root, mut rows) = (lab.last(&lab.open()), Vec::new());
    assert_eq!(root.totals.unreadable, 0);
    let mut reader = root.rows(&repository);
    while let Some(row) = reader.next_row().unwrap() {
        if row.content.is_some() {
            rows.push(String::from_utf8(row.path).unwrap().rsplit('/').next().unwrap().to_owned());
        }
    }
    Ok((report, rows))
}

#[test]
fn files_that_go_away_meanwhile_make_it_begin_again_with_newer_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = table(folder.path());
    let mut changes = 0;
    let saved = saved_meanwhile(folder.path(), || {
        // The state that was followed loses its files twice.
        if changes < 2 {
            let name = format!("new-{changes}.parquet");
            table.live.clear();
            table.add(&name, "a compacted file");
            table.commit();
            table.expire();
            table.write_metadata();
        }
        changes += 1;
    });
    let (report, names) = saved.unwrap();
    assert_eq!(names, ["new-1.parquet", "m5.avro", "snap-5.avro", "v5.metadata.json", "version-hint.text"]);
    assert_eq!((report.iceberg[0].begun_again, report.iceberg[0].table_snapshot_id), (2, Some(5)));
}

#[test]
fn a_table_that_never_holds_still_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = table(folder.path());
    let mut number = 0;
    let given_up = saved_meanwhile(folder.path(), || {
        number += 1;
        table.live.clear();
        table.add(&format!("new-{number}.parquet"), "a compacted file");
        table.commit();
        table.expire();
        table.write_metadata();
    });
    assert!(given_up.is_err());
    assert_eq!(number, 5, "attempts");
}

#[test]
fn a_commit_meanwhile_changes_nothing_of_what_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = table(folder.path());
    let (report, names) = saved_meanwhile(folder.path(), || {
        table.add("later.parquet", "later");
        table.commit();
    })
    .unwrap();
    assert_eq!(names, ["b.parquet", "m3.avro", "snap-3.avro", "v3.metadata.json", "version-hint.text"]);
    assert_eq!(report.iceberg[0].begun_again, 0);
    assert_eq!(fs::read(folder.path().join("metadata/version-hint.text")).unwrap(), b"4", "and 3 is what was saved");
    assert_eq!(report.bytes_total, names_bytes(folder.path()), "the hint has one byte in both");
}

fn names_bytes(folder: &Path) -> u64 {
    [
        "data/b.parquet",
        "metadata/m3.avro",
        "metadata/snap-3.avro",
        "metadata/v3.metadata.json",
        "metadata/version-hint.text",
    ]
    .iter()
    .map(|name| folder.join(name).metadata().unwrap().len())
    .sum()
}

/// The locations of all that a restored table names, one after another, as other readers find them.
fn followed(folder: &Path, version: u32) -> Vec<String> {
    let path = |location: &str| location.strip_prefix("file://").unwrap().to_owned();
    let records = |location: &str| -> Vec<Avro> {
        let bytes = fs::read(path(location)).unwrap();
        apache_avro::Reader::new(&bytes[..]).unwrap().map(Result::unwrap).collect()
    };
    let field = |record: &Avro, name: &str| match record {
        Avro::Record(fields) => fields.iter().find(|field| field.0 == name).unwrap().1.clone(),
        _ => panic!("no record"),
    };
    let text = |value: Avro| if let Avro::String(text) = value { text } else { panic!("no string") };
    let metadata = fs::read(folder.join(format!("metadata/v{version}.metadata.json"))).unwrap();
    let metadata: Value = serde_json::from_slice(&metadata).unwrap();
    let mut all = Vec::new();
    for snapshot in metadata["snapshots"].as_array().unwrap() {
        let list = snapshot["manifest-list"].as_str().unwrap();
        all.push(list.to_owned());
        for manifest in records(list) {
            let location = text(field(&manifest, "manifest_path"));
            let length = fs::metadata(path(&location)).unwrap().len() as i64;
            assert_eq!(field(&manifest, "manifest_length"), Avro::Long(length));
            assert_eq!(field(&manifest, "content"), Avro::Int(0));
            for entry in records(&location) {
                let file = field(&entry, "data_file");
                all.push(text(field(&file, "file_path")));
                let length = fs::metadata(path(all.last().unwrap())).unwrap().len() as i64;
                assert_eq!(field(&file, "file_size_in_bytes"), Avro::Long(length));
            }
            all.push(location);
        }
    }
    all
}

#[test]
fn a_table_moves_with_all_its_paths() {
    let snap = Snap::new();
    let table = table(&snap.work("old/t"));
    let (old, new) = (text(&snap.work("old")), snap.path("new/place/of/the/table"));
    snap.ok(&["create", "--iceberg", "old/t", "--iceberg-history"]);
    let listed = snap.ok(&["ls", "latest", "--iceberg"]);
    assert!(listed.stdout.contains("1 Iceberg table") && listed.stdout.contains(&old), "{}", listed.stdout);
    fs::rename(snap.work("old"), snap.work("gone")).unwrap();
    let map = format!("{old}=file://{}", text(&new));
    let source = format!("latest:{}", old.trim_start_matches('/'));
    let arguments = ["restore", &source, "--target", &text(&new), "--map", &map];
    let dry = snap.ok(&[&arguments[..], &["--dry-run"]].concat());
    assert!(!new.exists(), "{}", dry.stdout);
    let ran = snap.ok(&[&arguments[..], &["--json"]].concat());
    let moved = &ran.summary()["tables_moved"][0];
    assert_eq!(moved["location"], format!("file://{}/t", text(&new)));
    assert_eq!((&moved["table_snapshots"], &moved["rewritten"], &moved["left_out"]), (&3.into(), &6.into(), &2.into()));
    let all = followed(&new.join("t"), 3);
    assert!(
        all.len() == 10 && all.iter().all(|location| location.starts_with(&format!("file://{}", text(&new)))),
        "{all:?}"
    );
    let metadata: Value = serde_json::from_slice(&fs::read(new.join("t/metadata/v3.metadata.json")).unwrap()).unwrap();
    assert_eq!(
        (&metadata["metadata-log"], &metadata["table-uuid"]),
        (&Value::Array(vec![]), &Value::from("9c12d441-03fe-4693-9a96-a0705ddf69c1"))
    );
    // Codec, schema and header are as they were, and so are data files.
    let header = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        let reader = apache_avro::Reader::new(&bytes[..]).unwrap();
        (reader.writer_schema().canonical_form(), format!("{:?}", reader.user_metadata()), bytes[..600].to_vec())
    };
    let (before, after) = (snap.work("gone/t/metadata/m3.avro"), new.join("t/metadata/m3.avro"));
    assert_eq!(header(&before), header(&after));
    assert_eq!(fs::read(new.join("t/data/b.parquet")).unwrap(), b"second");
    assert!(!new.join("t/metadata/v2.metadata.json").exists(), "it names what is somewhere else now");
    drop(table);
}

#[test]
fn what_was_saved_in_part_moves_in_part() {
    let snap = Snap::new();
    table(&snap.work("t"));
    // As files, by a relative path: but for a data file of earlier snapshots.
    snap.ok(&["create", "t", "--exclude", "a.parquet"]);
    let (out, map) =
        (text(&snap.path("out")), format!("file://{}=file://{}", text(&snap.work("t")), text(&snap.path("out/t"))));
    let moved =
        snap.ok(&["restore", "latest", "--target", &out, "--map", &map, "--json"]).summary()["tables_moved"][0].clone();
    assert_eq!((&moved["table_snapshots"], &moved["table_snapshots_dropped"]), (&1.into(), &2.into()));
    assert_eq!(followed(&snap.path("out/t"), 3).len(), 3);
    assert_eq!(fs::read_dir(snap.path("out/t/metadata")).unwrap().count(), 4, "the hint and what is current");
    // Not without the current state, not elsewhere than all of it.
    let refused = |arguments: &[&str], said: &str| {
        let target = text(&snap.path("refused"));
        let ran = snap.ends(2, &[&["restore", "latest", "--target", &target], arguments].concat());
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
        assert!(!snap.path("refused").exists(), "nothing was written");
    };
    refused(&["--map", &map, "--exclude", "b.parquet"], "its current state needs");
    refused(&["--map", "/elsewhere=/there"], "covers the location");
    refused(&["--map", &map, "--exclude", "*.json"], "no Iceberg table");
    refused(&["--map", "x"], "OLD=NEW");
    refused(&["--map", &map, "--overwrite", "never"], "overwritten");
}

#[test]
fn tables_with_paths_inside_of_files_do_not_move() {
    let snap = Snap::new();
    let mut table = table(&snap.work("t"));
    let map = format!("{}=/new", text(&snap.work("t")));
    for (content, format, said) in
        [(1, "PARQUET", "position deletes"), (1, "PUFFIN", "deletion vectors"), (2, "PARQUET", "")]
    {
        table.live.truncate(1);
        table.add("deletes", "which rows are gone");
        (table.live[1].content, table.live[1].format) = (content, format);
        table.commit();
        snap.ok(&["create", "--iceberg", "t"]);
        let ran = snap.run(&["restore", "latest", "--target", &text(&snap.path("out")), "--map", &map]);
        assert_eq!(
            (ran.code, ran.stderr.contains(said)),
            (if said.is_empty() { 0 } else { 2 }, true),
            "{}",
            ran.stderr
        );
        // As it was, it comes back in any case.
        snap.ok(&["restore", "latest", "--target", &text(&snap.path("same"))]);
    }
}
