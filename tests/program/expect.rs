//! What tables are expected to be like (`create --expect`).

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::cli::{Ran, Snap, text};
use crate::containers::container;

const ONE: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"}]}"#;
/// Reads what `ONE` wrote, and is read by it.
const MORE: &str =
    r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"},{"name":"b","type":"long","default":0}]}"#;
/// Reads what `ONE` wrote no more.
const OTHER: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"},{"name":"b","type":"long"}]}"#;

/// A part of a table with this many records.
fn part(snap: &Snap, name: &str, schema: &str, records: usize) {
    let fields = schema.matches("\"long\"").count();
    let payload = vec![2; records * fields];
    snap.write(name, container(schema, "null", [(records as u64, &payload[..])]));
}

fn judgements(ran: &Ran) -> Vec<(String, Value, Value)> {
    let all = ran.summary()["expectations"].as_array().unwrap().clone();
    all.iter()
        .map(|one| (one["condition"].as_str().unwrap().to_owned(), one["seen"].clone(), one["met"].clone()))
        .collect()
}

fn snapshots(snap: &Snap) -> usize {
    snap.ok(&["snapshots", "--json"]).objects("snapshot").len()
}

#[test]
fn a_table_that_is_cut_off_is_reported_and_saved_nevertheless() {
    let snap = Snap::new();
    part(&snap, "lake/orders/1.avro", ONE, 60);
    part(&snap, "lake/orders/2.avro", ONE, 40);
    part(&snap, "lake/stations/1.avro", ONE, 1);
    let expect = "orders: records >= 0.95 * previous, files = 2, bytes > 100, schema backward, sound, newest < 26h";
    let first = snap.ends(0, &["create", "lake", "--expect", expect, "--json"]);
    let met: Vec<_> = judgements(&first).into_iter().map(|one| one.2).collect();
    assert_eq!(met, [Value::Null, true.into(), true.into(), Value::Null, true.into(), true.into()]);
    part(&snap, "lake/orders/2.avro", ONE, 34);
    let dry = snap.ends(3, &["create", "lake", "--expect", expect, "--dry-run", "--json"]);
    assert_eq!(judgements(&dry)[0], ("records >= 0.95 * previous".into(), 94.into(), false.into()));
    let second = snap.ends(3, &["create", "lake", "--expect", expect]);
    let expected = "orders: records >= 0.95 * previous is not met: expected >= 95 (previous: 100), seen 94";
    assert!(second.stderr.contains(expected), "{}", second.stderr);
    assert!(second.stderr.contains("1 expectation not met") && second.stderr.contains("saved nevertheless"));
    assert!(second.stdout.contains("5 of 6 conditions met"), "{}", second.stdout);
    assert_eq!(snapshots(&snap), 2);
    // 95 of 100, exactly.
    part(&snap, "lake/orders/2.avro", ONE, 35);
    let first = first.summary()["snapshot_id"].as_str().unwrap().to_owned();
    snap.ends(0, &["create", "lake", "--parent", &first, "--expect", expect]);
}

#[test]
fn a_path_that_matches_nothing_is_a_failed_expectation() {
    let snap = Snap::new();
    part(&snap, "lake/orders/1.avro", ONE, 1);
    let lake = text(&snap.work("lake"));
    fs::create_dir(snap.work("lake/empty")).unwrap();
    for name in ["order: records >= 0", "empty: files >= 0", "/lake/orders: sound", "*.csv: files < 9, bytes < 9"] {
        let ran = snap.ends(3, &["create", &lake, "--expect", name, "--json"]);
        assert!(judgements(&ran).iter().all(|one| one.1 == Value::Null && one.2 == false), "{name}");
    }
    for name in [
        format!("{lake}/orders: files = 1"),
        "orders: files = 1".into(),
        "orders/*.avro: files = 1".into(),
        "*: files = 1".into(),
    ] {
        snap.ends(0, &["create", &lake, "--expect", &name]);
    }
}

#[test]
fn schemas_are_compared_with_those_of_the_newest_files_before() {
    let snap = Snap::new();
    let schemas = |expected: [&str; 4]| {
        let expect = "*: schema full, schema backward, schema forward, schema same";
        let all = ["create", "lake", "--expect", expect, "--json"];
        let dry = judgements(&snap.run(&[&all[..], &["--dry-run"]].concat()));
        let real = judgements(&snap.run(&all));
        assert_eq!(dry, real);
        let words: Vec<_> = real.iter().map(|one| one.2.to_string()).collect();
        assert_eq!(words, expected);
    };
    // One that is kept inline in its recipe, and one that is too long for that.
    for padding in [String::new(), "x".repeat(600)] {
        let schema =
            |schema: &str| schema.replacen("\"name\":\"r\"", &format!("\"name\":\"r\",\"doc\":\"{padding}\""), 1);
        let age = |name: &str, hours: u64| {
            let time = SystemTime::now() - Duration::from_secs(hours * 3600);
            fs::File::options().append(true).open(snap.work(name)).unwrap().set_modified(time).unwrap();
        };
        let _ = fs::remove_dir_all(snap.work("lake"));
        part(&snap, "lake/old.avro", &schema(OTHER), 3);
        part(&snap, "lake/1.avro", &schema(ONE), 3);
        age("lake/old.avro", 9);
        age("lake/1.avro", 8);
        snap.run(&["create", "lake"]);
        schemas(["true", "true", "true", "true"]);
        part(&snap, "lake/2.avro", &schema(MORE), 3);
        age("lake/2.avro", 7);
        schemas(["true", "true", "true", "false"]);
        part(&snap, "lake/3.avro", &schema(OTHER), 3);
        age("lake/3.avro", 6);
        schemas(["true", "true", "true", "true"]);
        part(&snap, "lake/4.avro", &schema(ONE), 3);
        age("lake/4.avro", 5);
        schemas(["false", "true", "false", "false"]);
        schemas(["true", "true", "true", "true"]);
    }
}

#[test]
fn old_and_unsound_files_are_reported() {
    let snap = Snap::new();
    part(&snap, "t/1.avro", ONE, 3);
    part(&snap, "t/2.avro", ONE, 3);
    snap.write("t/_SUCCESS", "");
    let old = SystemTime::now() - Duration::from_secs(30 * 3600);
    for name in ["1", "2"] {
        fs::File::options().append(true).open(snap.work(&format!("t/{name}.avro"))).unwrap().set_modified(old).unwrap();
    }
    // A file without records beside them does not make the table fresh.
    let ran = snap.ends(3, &["create", "t", "--expect", "t: newest < 26h, newest < 31h, sound"]);
    assert!(
        ran.stderr.contains("newest < 26h is not met") && ran.stderr.contains("the newest file is"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("1 expectation not met"), "{}", ran.stderr);
    let whole = fs::read(snap.work("t/2.avro")).unwrap();
    for broken in [&whole[..whole.len() - 20], b"", b"not Avro at all"] {
        snap.write("t/2.avro", broken);
        let ran = snap.ends(3, &["create", "t", "--expect", "t: sound"]);
        assert!(ran.stderr.contains("1 of 2 not sound") && ran.stderr.contains("t/2.avro"), "{}", ran.stderr);
    }
}

#[test]
fn lists_names_and_streams_are_judged_alike() {
    let snap = Snap::new();
    part(&snap, "a/orders/1.avro", ONE, 5);
    part(&snap, "a/orders/2.avro", ONE, 7);
    fs::create_dir_all(snap.work("b/copies")).unwrap();
    // A file with two names counts under each expectation once.
    fs::hard_link(snap.work("a/orders/1.avro"), snap.work("b/copies/1.avro")).unwrap();
    snap.write("list", "a/orders/2.avro\nb\n");
    let expect = ["--expect", "copies: records = 5, files = 1", "--expect", "*: records = 12"];
    for _ in 0..2 {
        snap.ok(&[&["create", "--files-from", "list"][..], &expect].concat());
        snap.ok(&[&["create", "a", "b"][..], &expect].concat());
    }
    let mut command =
        snap.command(&["create", "--stdin", "--stdin-filename", "x.avro", "--expect", "x.avro: records = 7"]);
    let ran = crate::cli::finish(command.write_stdin(fs::read(snap.work("a/orders/2.avro")).unwrap()));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn a_mistake_is_pointed_at() {
    let snap = Snap::new();
    snap.write("t/x", "x");
    let ran = snap.ends(2, &["create", "t", "--expect", "t: rows > 5"]);
    assert!(ran.stderr.contains("at character 4") && ran.stderr.contains("records, files, bytes"), "{}", ran.stderr);
    let ran = snap.ends(2, &["create", "t", "--expect", "t: files > 5", "--shard", "1/2", "--run", "r"]);
    assert!(ran.stderr.contains("--shard"), "{}", ran.stderr);
}
