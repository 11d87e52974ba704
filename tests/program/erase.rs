//! `erase` through the command line, and what the other verbs say of files that were altered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use crate::cli::Snap;
use crate::containers::container;

use avro_snap::avro::varint;

const SCHEMA: &str =
    r#"{"type":"record","name":"C","fields":[{"name":"id","type":"long"},{"name":"email","type":"string"}]}"#;

fn table(rows: &[(i64, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (id, email) in rows {
        varint::encode(&mut block, *id);
        varint::encode(&mut block, email.len() as i64);
        block.extend_from_slice(email.as_bytes());
    }
    container(SCHEMA, "null", [(rows.len() as u64, &block[..])])
}

fn saved() -> Snap {
    let snap = Snap::new();
    snap.write("t/a.avro", table(&[(1, "ann@x.example"), (2, "bob@x.example"), (3, "cid@x.example")]));
    snap.write("t/b.avro", table(&[(4, "dan@x.example")]));
    std::fs::hard_link(snap.work("t/a.avro"), snap.work("t/link.avro")).unwrap();
    snap.ok(&["create", "-q", "t"]);
    snap.write("t/b.avro", table(&[(4, "dan@x.example"), (2, "bob@x.example")]));
    snap.ok(&["create", "-q", "t"]);
    snap
}

#[test]
fn records_go_from_all_snapshots_after_the_plan_was_shown() {
    let snap = saved();
    let erase = ["erase", "t", "--where", "email = 'bob@x.example'"];
    let dry = snap.ok(&[&erase[..], &["--dry-run"]].concat());
    assert!(dry.stdout.contains("1 record of 1 file") && dry.stdout.contains("2 records of 2 files"), "{}", dry.stdout);
    // There is nobody to ask, and nothing is done.
    assert!(snap.ends(2, &erase).stderr.contains("--yes"));
    assert_eq!(snap.ok(&["cat", "latest:t/a.avro"]).lines().len(), 3);
    let done = snap.ok(&[&erase[..], &["--yes", "--report", "erased.json"]].concat());
    assert!(done.stdout.contains("prune --grace 0"), "{}", done.stdout);
    assert!(!std::fs::read_to_string(snap.work("erased.json")).unwrap().contains("bob"));
    // A report is not replaced.
    assert!(
        snap.ends(2, &[&erase[..], &["--yes", "--report", "erased.json"]].concat()).stderr.contains("not replaced")
    );
    let left = snap.ok(&["cat", "latest:t/a.avro"]);
    assert_eq!(left.lines(), [r#"{"id":1,"email":"ann@x.example"}"#, r#"{"id":3,"email":"cid@x.example"}"#]);
    assert_eq!(snap.ok(&["cat", "latest~1:t/link.avro"]).lines().len(), 2);
    assert_eq!(snap.ok(&["cat", "latest:t/b.avro"]).lines().len(), 1);
    assert!(snap.ends(1, &["check", "--erased", "erased.json"]).stderr.contains("erased record"));
    snap.ok(&["prune", "--grace", "0"]);
    let proven = snap.ok(&["check", "--erased", "erased.json", "--json"]).objects("erased_summary").remove(0);
    assert_eq!((proven["is_proven"].as_bool(), proven["records"].as_u64()), (Some(true), Some(1)));
    snap.ok(&["check", "--read-data", "--avro"]);
    let long = snap.ok(&["ls", "--long", "latest"]).stdout;
    assert_eq!(long.lines().filter(|line| line.contains("[records erased ")).count(), 3, "{long}");
    assert!(snap.ok(&["restore", "latest", "--target", "out"]).stdout.contains("records were erased"));
    let found = std::fs::read(snap.work("out/t/a.avro")).unwrap();
    assert_eq!(apache_avro::Reader::new(&found[..]).unwrap().count(), 2);
    assert_eq!(std::fs::read(snap.work("out/t/link.avro")).unwrap(), found);
    // What the source still has is saved again.
    snap.ok(&["create", "-q", "t"]);
    assert_eq!(snap.ok(&["cat", "latest:t/a.avro"]).lines().len(), 3);
}

#[test]
fn one_snapshot_can_be_chosen_and_the_others_keep_their_records() {
    let snap = saved();
    let args = ["erase", "t", "--key", "id=2", "--snapshot", "latest", "--yes", "--json"];
    let done = snap.ok(&args).summary();
    assert_eq!((done["records"].as_u64(), done["replaced"].as_array().unwrap().len()), (Some(2), 1));
    assert_eq!(snap.ok(&["cat", "latest:t/a.avro"]).lines().len(), 2);
    assert_eq!(snap.ok(&["cat", "latest~1:t/a.avro"]).lines().len(), 3);
}

#[test]
fn what_cannot_be_looked_into_is_reported_and_stays() {
    let snap = saved();
    let mut torn = table(&[(2, "bob@x.example"), (9, "eve@x.example")]);
    torn.truncate(torn.len() - 20);
    snap.write("t/torn.avro", &torn);
    snap.write("t/notes.txt", "bob@x.example wrote");
    snap.write("t/_SUCCESS", "");
    snap.run(&["create", "-q", "t"]);
    let erase = ["erase", "t", "--key", "id=2", "--yes"];
    let ran = snap.ends(3, &erase);
    assert!(ran.stderr.contains("t/torn.avro") && ran.stderr.contains("t/notes.txt (1 snapshot)"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("_SUCCESS"));
    assert_eq!(snap.ok(&["cat", "latest:t/a.avro"]).lines().len(), 2);
    assert_eq!(snap.ok(&["dump", "latest:t/torn.avro"]).bytes, torn);
    // Who knows that they do not matter says so.
    let quiet = ["erase", "t", "--key", "id=1", "--yes", "-e", "*.txt", "-e", "torn.avro"];
    snap.ok(&quiet);
    let wrong = snap.ends(2, &["erase", "t", "--where", "mail = 'x'", "-e", "*.txt", "-e", "torn.avro"]);
    assert!(wrong.stderr.contains("there are id, email"), "{}", wrong.stderr);
    assert!(snap.ends(1, &["erase", "u", "--key", "id=2"]).stderr.contains("no snapshot that was chosen"));
    assert_eq!(snap.ends(2, &["erase", "t"]).code, 2);
    assert_eq!(snap.ends(2, &["erase", "", "--key", "id=2"]).code, 2);
}

#[test]
fn conditions_choose_records_for_cat_count_and_find() {
    let snap = saved();
    let lines = snap.ok(&["cat", "latest:t", "--where", "id in (2, 3) and email like '%x.example'"]).lines().len();
    assert_eq!(lines, 3);
    assert_eq!(
        snap.ok(&["cat", "latest:t/a.avro", "--where", "id > 1", "--skip", "1", "-n", "1"]).lines()[0],
        r#"{"id":3,"email":"cid@x.example"}"#
    );
    assert_eq!(snap.ok(&["count", "latest:t", "--where", "id = 2"]).stdout.trim(), "2");
    assert_eq!(snap.ok(&["count", "latest:t", "--where", "not id = 2"]).stdout.trim(), "3");
    let found = snap.ok(&["find", "*.avro", "--where", "id = 2", "--json"]).objects("match");
    let found: Vec<_> = found
        .iter()
        .map(|found| {
            (
                found["path"].as_str().unwrap(),
                found["records_matching"].as_u64().unwrap(),
                found["snapshots"].as_array().unwrap().len(),
            )
        })
        .collect();
    assert_eq!(found, [("t/a.avro", 1, 2), ("t/b.avro", 1, 1), ("t/link.avro", 1, 2)]);
    for verb in [&["cat", "latest:t"][..], &["count", "latest:t"], &["find", "*.avro"]] {
        let wrong = snap.ends(2, &[verb, &["--where", "mail = 'x'"]].concat());
        assert!(wrong.stderr.contains("there are id, email"), "{}", wrong.stderr);
        assert!(snap.ends(2, &[verb, &["--where", "id ="]].concat()).stderr.contains("a value is expected"));
    }
}
