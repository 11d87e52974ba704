//! Drills: samples are restored, proven and certified.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::cli::{Snap, text};
use crate::containers::container;
use crate::lab::fixtures;
use crate::noise::noise;

const ONE: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"}]}"#;

fn part(snap: &Snap, name: &str, records: usize) {
    snap.write(name, container(ONE, "null", [(records as u64, &vec![2; records][..])]));
}

fn certificate(snap: &Snap, name: &str) -> Value {
    serde_json::from_slice(&fs::read(snap.work(name)).unwrap()).unwrap()
}

/// A folder for scratch files, which must be empty whenever a drill ends.
fn scratch(snap: &Snap) -> String {
    let folder = snap.path("scratch");
    fs::create_dir_all(&folder).unwrap();
    text(&folder)
}

fn is_empty(folder: &str) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_drill_proves_and_certifies_a_sample() {
    let snap = Snap::new();
    for number in 0..40 {
        part(&snap, &format!("t/orders/{number:02}.avro"), number + 1);
    }
    snap.write("t/note.txt", "a note");
    fs::hard_link(snap.work("t/note.txt"), snap.work("t/same.txt")).unwrap();
    snap.ok(&["create", "t"]);
    let scratch = scratch(&snap);
    let ran = snap.ok(&["drill", "--scratch", &scratch, "--certificate", "all.json", "--json"]);
    let all = certificate(&snap, "all.json");
    let printed = ran.summary();
    assert_eq!(printed["signature"], all["signature"]);
    let of = |certificate: &Value, keys: &[&str]| keys.iter().map(|key| certificate[key].clone()).collect::<Vec<_>>();
    let keys = ["result", "files_of", "files", "avro_files", "records", "sample"];
    assert_eq!(of(&all, &keys), [Value::from("good"), 41.into(), 41.into(), 40.into(), 820.into(), "100".into()]);
    assert!(all["failed"].as_array().unwrap().is_empty() && all["not_opened"].as_array().unwrap().is_empty());
    assert_eq!(all["signature"]["method"], "keys");

    // The same files for the same seed, others for another one, below a path.
    let drawn = |seed: &str, name: &str| {
        snap.ok(&[
            "drill",
            "latest:t/orders",
            "--sample",
            "10%",
            "--seed",
            seed,
            "--scratch",
            &scratch,
            "--certificate",
            name,
        ]);
        let drawn = certificate(&snap, name);
        assert_eq!(
            of(&drawn, &["files_of", "files", "path", "seed"]),
            [Value::from(40), 4.into(), "t/orders".into(), seed.into()]
        );
        drawn["records"].clone()
    };
    assert_eq!(drawn("1", "1.json"), drawn("1", "2.json"));
    assert!((2..7).any(|seed: u32| drawn(&seed.to_string(), &format!("s{seed}.json")) != drawn("1", &format!("t{seed}.json"))));
    assert!(is_empty(&scratch));
}

#[test]
fn a_certificate_that_was_changed_is_not_authentic() {
    let snap = Snap::new();
    part(&snap, "t/1.avro", 3);
    snap.ok(&["create", "t"]);
    snap.ok(&["drill", "--certificate", "drill.json"]);
    let ran = snap.ok(&["drill", "--verify", "drill.json"]);
    assert!(ran.stdout.contains("signed with the keys") && ran.stdout.contains("\"records\": 3"), "{}", ran.stdout);
    let text = fs::read_to_string(snap.work("drill.json")).unwrap();
    // What --json prints is a certificate, too, and white space does not matter.
    let printed = snap.ok(&["drill", "--json"]);
    snap.write("line.json", printed.lines().last().unwrap());
    snap.ok(&["drill", "--verify", "line.json"]);
    snap.write("dense.json", text.replace("\n  ", ""));
    snap.ok(&["drill", "--verify", "dense.json"]);
    for (from, to) in [
        ("\"records\": 3", "\"records\": 4"),
        ("\"result\": \"good\"", "\"result\": \"failed\""),
        ("\"failed\": []", "\"failed\": [], \"more\": 1"),
    ] {
        assert!(text.contains(from));
        snap.write("changed.json", text.replace(from, to));
        let ran = snap.ends(1, &["drill", "--verify", "changed.json"]);
        assert!(ran.stderr.contains("was changed"), "{}", ran.stderr);
    }
    snap.write("twice.json", text.replacen('{', "{\"result\": \"better\",", 1));
    assert!(snap.ends(2, &["drill", "--verify", "twice.json"]).stderr.contains("twice"));
    snap.write("none.json", "{}");
    assert!(snap.ends(2, &["drill", "--verify", "none.json"]).stderr.contains("no certificate"));
    // The key of before a rotation still counts.
    let same = snap.password_file("same", crate::cli::PASSWORD);
    snap.run(&["key", "rotate", "--new-password-file", &same, "--kdf-memory", "8"]);
    snap.ok(&["drill", "--verify", "drill.json"]);
    // The certificate of another repository.
    let other = text_of(&snap.path("other"));
    snap.ok(&["-r", &other, "init", "--kdf-memory", "8"]);
    assert!(snap.ends(2, &["-r", &other, "drill", "--verify", "drill.json"]).stderr.contains("it is about repository"));
    // A certificate is not overwritten.
    snap.ends(1, &["drill", "--certificate", "drill.json"]);
    assert_eq!(fs::read_to_string(snap.work("drill.json")).unwrap(), text);
}

fn text_of(path: &std::path::Path) -> String {
    text(path)
}

#[test]
fn damage_is_found_and_does_not_stop_the_rest() {
    let snap = Snap::bare();
    snap.ok(&["init", "--encryption", "none"]);
    snap.write("t/a.bin", noise(1, 3_000_000));
    snap.write("t/b.bin", noise(2, 3_000_000));
    snap.ok(&["create", "t"]);
    let packs = files_below(&snap.path("repository"));
    let pack = packs.into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[1_000_000] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    let scratch = scratch(&snap);
    let ran = snap.ends(21, &["drill", "--scratch", &scratch, "--certificate", "drill.json"]);
    assert!(ran.stderr.contains("did not come back as saved"), "{}", ran.stderr);
    let found = certificate(&snap, "drill.json");
    assert_eq!((&found["result"], &found["files"]), (&Value::from("failed"), &Value::from(1)));
    let failed = found["failed"].as_array().unwrap();
    assert!(failed.len() == 1 && failed[0]["code"].as_str().unwrap().contains("damaged"), "{failed:?}");
    assert_eq!(found["signature"]["method"], "checksum");
    assert!(is_empty(&scratch));
    let ran = snap.ok(&["drill", "--verify", "drill.json"]);
    assert!(ran.stdout.contains("everybody can make"), "{}", ran.stdout);
}

fn files_below(folder: &std::path::Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn files_that_the_second_reader_lacks_something_for_are_listed_and_no_damage() {
    let snap = Snap::new();
    let sources = text(&fixtures("codecs"));
    snap.write("t/torn.avro", &container(ONE, "null", [(5, &[2; 5][..])])[..100]);
    snap.run(&["create", &sources, "t"]);
    let summary = snap.ok(&["drill", "--json"]).summary();
    let reasons: Vec<&str> =
        summary["not_opened"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("zstandard")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("not sound")), "{reasons:?}");
    assert!(summary["avro_files"].as_u64().unwrap() >= 3, "{summary}");
}

#[test]
fn places_that_cannot_be_used_are_refused() {
    let snap = Snap::new();
    part(&snap, "t/1.avro", 3);
    snap.ok(&["create", "t"]);
    snap.ends(1, &["drill", "--scratch", "nowhere", "--certificate", "drill.json"]);
    assert!(!snap.work("drill.json").exists(), "nothing was certified");
    let ran = snap.ends(2, &["drill", "--scratch", &text(&snap.path("repository"))]);
    assert!(ran.stderr.contains("needs for itself"), "{}", ran.stderr);
    snap.ends(2, &["drill", "--scratch", ""]);
    snap.ends(2, &["drill", "--sample", "0"]);
    snap.ends(1, &["drill", "latest:nothing"]);
    snap.write("empty/x/y", "");
    fs::remove_file(snap.work("empty/x/y")).unwrap();
    snap.ok(&["create", "empty"]);
    snap.ends(1, &["drill"]);
}

/// The second reader follows values as deep as they nest, and builds as many as are counted: such files would end the process, or never
/// end.
#[test]
fn a_drill_does_not_hand_out_what_has_no_bounds() {
    let snap = Snap::new();
    let odd = fixtures("odd");
    let names = ["recursive-list.avro", "recursive-tree.avro", "huge-count-empty-records.avro"];
    for name in names {
        fs::create_dir_all(snap.work("t")).unwrap();
        fs::copy(odd.join(name), snap.work("t").join(name)).unwrap();
    }
    let empty = r#"{"type":"record","name":"E","fields":[{"name":"a","type":"null"}]}"#;
    snap.write("t/null.avro", container(empty, "null", [(1 << 62, &[][..])]));
    let nulls = r#"{"type":"record","name":"N","fields":[{"name":"a","type":{"type":"array","items":"null"}}]}"#;
    let many: Vec<u8> = [0x80; 8].into_iter().chain([0x40, 0]).collect();
    snap.write("t/nulls.avro", container(nulls, "null", [(1, &many[..])]));
    snap.ends(0, &["create", "t"]);
    snap.ok(&["drill", "--certificate", "drill.json"]);
    let found = certificate(&snap, "drill.json");
    assert_eq!((&found["result"], &found["files"]), (&Value::from("good"), &Value::from(5)));
    let not_opened = found["not_opened"].as_array().unwrap();
    let of = |why: &str| {
        let found = not_opened.iter().find(|row| row["reason"].as_str().unwrap().contains(why));
        found.map_or(0, |row| row["files"].as_u64().unwrap())
    };
    assert_eq!((of("nest to any depth"), of("take no bytes")), (2, 3), "{not_opened:?}");
}
