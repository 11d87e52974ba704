//! Folders and patterns of Avro files as tables: cat, count, schema, diff, check and dump.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use serde_json::{Value, json};

use crate::cli::Snap;
use crate::containers::container;

const ID: &str = r#"{"name":"id","type":"long"}"#;
const NOTE: &str = r#"{"name":"note","type":["null","string"],"default":null}"#;
const DOUBLE_ID: &str = r#"{"name":"id","type":"double"}"#;

fn orders(fields: &[&str]) -> String {
    format!(r#"{{"type":"record","name":"Order","namespace":"shop","fields":[{}]}}"#, fields.join(","))
}

/// A container with orders of these ids, each a byte, that have no other field.
fn part(ids: &[u8]) -> Vec<u8> {
    let payload: Vec<u8> = ids.iter().map(|id| id * 2).collect();
    container(&orders(&[ID]), "null", [(ids.len() as u64, &payload[..])])
}

/// The same with a note that is null.
fn newer_part(ids: &[u8]) -> Vec<u8> {
    let payload: Vec<u8> = ids.iter().flat_map(|id| [id * 2, 0]).collect();
    container(&orders(&[ID, NOTE]), "null", [(ids.len() as u64, &payload[..])])
}

/// Writes a file that was changed in this second.
fn write(snap: &Snap, name: &str, content: Vec<u8>, second: u64) {
    let path = snap.write(name, content);
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + second);
    fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

/// A table of two schemas, with what lies beside the files of tables.
fn table() -> Snap {
    let snap = Snap::new();
    write(&snap, "shop/orders/part-0.avro", part(&[1, 2]), 1);
    write(&snap, "shop/orders/part-1.avro", newer_part(&[3]), 2);
    write(&snap, "shop/orders/more/part-2.avro", part(&[4, 5]), 1);
    write(&snap, "shop/orders/_SUCCESS", Vec::new(), 3);
    write(&snap, "shop/orders/.part-0.avro.crc", b"crc\0".to_vec(), 3);
    write(&snap, "shop/others/o.avro", container(r#""string""#, "null", [(1, &b"\x02x"[..])]), 1);
    snap.ok(&["create", "-q", "--series", "t", "shop"]);
    snap
}

fn ids(lines: &[&str]) -> Vec<f64> {
    lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_f64().unwrap()).collect()
}

#[test]
fn a_folder_is_read_as_one_table_in_its_newest_schema() {
    let snap = table();
    let expected = [4, 5, 1, 2, 3].map(|id| format!(r#"{{"id":{id},"note":null}}"#));
    assert_eq!(snap.ok(&["cat", "latest:shop/orders/"]).lines(), expected);
    assert_eq!(snap.ok(&["cat", "latest:shop/orders"]).lines(), expected);
    assert_eq!(snap.ok(&["cat", "latest:shop/orders/**"]).lines(), expected);
    // One level only, and the schema that is newest among those.
    assert_eq!(snap.ok(&["cat", "latest:shop/orders/*.avro"]).lines(), expected[2..]);
    let plain = [r#"{"id":1}"#, r#"{"id":2}"#];
    assert_eq!(snap.ok(&["cat", "latest:shop/orders/part-0*"]).lines(), plain);
    // In the order of the arguments, and each file once.
    let several =
        ["cat", "latest:shop/orders/part-1.avro", "latest:shop/orders/part-0.avro", "latest:shop/orders/*.avro"];
    assert_eq!(ids(&snap.ok(&several).lines()), [3.0, 1.0, 2.0]);
    // Skipping and limits go over the whole table.
    for (skip, limit) in [(0, 2), (1, 2), (2, 1), (3, 9), (4, 1), (5, 1), (99, 1)] {
        let (skip_text, limit_text) = (skip.to_string(), limit.to_string());
        let ran = snap.ok(&["cat", "latest:shop/orders", "--skip", &skip_text, "-n", &limit_text]);
        let wanted: Vec<&str> = expected.iter().skip(skip).take(limit).map(String::as_str).collect();
        assert_eq!(ran.lines(), wanted, "{skip} {limit}");
    }
    assert_eq!(snap.ok(&["cat", "latest:shop/orders", "--fields", "note", "-n", "1"]).lines(), [r#"{"note":null}"#]);
    let ran = snap.ok(&["cat", "latest:shop/orders", "--json", "--skip", "3"]);
    assert_eq!(ran.objects("record")[0]["ordinal"], 3);
    let summary = ran.summary();
    assert_eq!(
        (&summary["records"], &summary["files"], &summary["files_passed_over"]),
        (&json!(2), &json!(3), &json!(2))
    );
}

#[test]
fn a_table_becomes_one_container_and_a_schema_may_be_given() {
    let snap = table();
    let read = |arguments: &[&str]| {
        let bytes = snap.ok(arguments).bytes;
        let reader = apache_avro::Reader::new(&bytes[..]).unwrap();
        let schema = reader.writer_schema().canonical_form();
        (schema, reader.map(|record| format!("{:?}", record.unwrap())).collect::<Vec<_>>())
    };
    let (schema, records) = read(&["cat", "latest:shop/orders", "--format", "avro"]);
    assert!(schema.contains("note") && records.len() == 5, "{schema} {records:?}");
    assert!(records[0].contains("Long(4)"), "{records:?}");
    snap.write("wide.avsc", orders(&[NOTE, DOUBLE_ID]));
    let wide = ["cat", "latest:shop/orders", "--reader-schema", "wide.avsc"];
    assert_eq!(snap.ok(&wide).lines()[0], r#"{"note":null,"id":4.0}"#);
    assert_eq!(snap.ok(&[&wide[..], &["-n", "1", "--fields", "id"]].concat()).lines(), [r#"{"id":4.0}"#]);
    let (_, records) = read(&[&wide[..], &["--format", "avro", "--skip", "4"]].concat());
    assert!(records.len() == 1 && records[0].contains("Double(3.0)"), "{records:?}");
    // Of a single file, too.
    let one = ["cat", "latest:shop/orders/part-0.avro", "--reader-schema", "wide.avsc"];
    assert_eq!(snap.ok(&one).lines(), [r#"{"note":null,"id":1.0}"#, r#"{"note":null,"id":2.0}"#]);
    snap.write("narrow.avsc", orders(&[r#"{"name":"id","type":"long"}"#, r#"{"name":"sum","type":"int"}"#]));
    let ran = snap.ends(1, &["cat", "latest:shop/orders", "--reader-schema", "narrow.avsc"]);
    assert!(ran.stderr.contains("sum: the field is not written and has no default"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint:"), "{}", ran.stderr);
    snap.write("broken.avsc", "{");
    assert_eq!(snap.run(&["cat", "latest:shop/orders", "--reader-schema", "broken.avsc"]).code, 2);
    assert_eq!(snap.run(&["cat", "latest:shop/orders", "--reader-schema", "absent.avsc"]).code, 1);
}

#[test]
fn what_is_no_table_is_said_with_a_way_out() {
    let snap = table();
    // Two tables in one folder have no schema in common.
    let ran = snap.ends(1, &["cat", "latest:shop"]);
    assert!(ran.stderr.contains("o.avro") && ran.stderr.contains("--reader-schema"), "{}", ran.stderr);
    snap.write("empty/a.txt", "text");
    snap.write("literal/part-[0].avro", part(&[7]));
    snap.ok(&["create", "-q", "--series", "t", "empty", "literal"]);
    let ran = snap.ends(1, &["cat", "latest:empty"]);
    assert!(ran.stderr.contains("there is no Avro file at empty (1 other files)"), "{}", ran.stderr);
    for missing in ["latest:absent", "latest:absent/*.avro"] {
        let ran = snap.run(&["count", missing]);
        assert_ne!(ran.code, 0);
        assert!(ran.stderr.contains("absent"), "{}", ran.stderr);
    }
    // What is there by this name is meant, whatever its letters.
    assert_eq!(snap.ok(&["cat", "latest:literal/part-[0].avro"]).lines(), [r#"{"id":7}"#]);
    assert_eq!(snap.run(&["cat", "latest:"]).code, 2);
    assert_eq!(snap.run(&["count", "latest"]).code, 2);
}

#[test]
fn records_are_counted_without_reading_them_and_links_count_once() {
    let snap = table();
    assert_eq!(snap.ok(&["count", "latest:shop/orders"]).stdout, "5\n");
    assert_eq!(snap.ok(&["count", "latest:shop/orders/*.avro", "latest:shop/orders/part-0.avro"]).stdout, "3\n");
    // Schemas that do not go together can be counted.
    let summary = snap.ok(&["count", "latest:shop", "--json"]).summary();
    assert_eq!(
        (&summary["records"], &summary["files"], &summary["schemas"], &summary["files_decoded"]),
        (&json!(6), &json!(4), &json!(3), &json!(0))
    );
    fs::hard_link(snap.work("shop/orders/part-0.avro"), snap.work("shop/orders/part-9.avro")).unwrap();
    fs::hard_link(snap.work("shop/orders/part-0.avro"), snap.work("shop/others/linked.avro")).unwrap();
    let torn = part(&[1, 2, 3, 4]);
    let torn = [&part(&[9])[..], &torn[torn.len() - 10..]].concat();
    write(&snap, "torn/part.avro", torn, 5);
    snap.run(&["create", "-q", "--series", "t", "shop", "torn"]);
    assert_eq!(snap.ok(&["count", "latest:shop/orders"]).stdout, "5\n");
    // The first name is elsewhere: its content counts with the other one.
    assert_eq!(snap.ok(&["count", "latest:shop/others/linked.avro"]).stdout, "2\n");
    assert_eq!(snap.ok(&["count", "latest:shop/others"]).stdout, "3\n");
    let (first, link) = ("latest:shop/orders/part-0.avro", "latest:shop/orders/part-9.avro");
    for names in [[first, link], [link, first], [link, link]] {
        assert_eq!(snap.ok(&[&["count"], &names[..]].concat()).stdout, "2\n", "{names:?}");
    }
    let ran = snap.ends(3, &["count", "latest:torn"]);
    assert_eq!(ran.stdout, "1\n");
    assert!(ran.stderr.contains("torn/part.avro: block 1"), "{}", ran.stderr);
}

#[test]
fn faults_name_the_part_and_the_rest_of_the_table_is_printed() {
    let snap = Snap::new();
    write(&snap, "t/a.avro", part(&[1]), 1);
    // Two records are declared, and one is there.
    write(&snap, "t/b.avro", container(&orders(&[ID]), "null", [(2, &[4][..]), (1, &[6])]), 2);
    write(&snap, "t/c.avro", container("{", "null", [(1, &[8][..])]), 3);
    write(&snap, "t/d.avro", newer_part(&[5]), 4);
    snap.run(&["create", "-q", "--series", "t", "t"]);
    let ran = snap.ends(3, &["cat", "latest:t"]);
    assert_eq!(ids(&ran.lines()), [1.0, 2.0, 3.0, 5.0]);
    assert!(ran.stderr.contains("t/b.avro: block 0, record 1: it is missing"), "{}", ran.stderr);
    assert!(ran.stderr.contains("t/c.avro: its schema is not sound"), "{}", ran.stderr);
    assert!(ran.stderr.contains("4 records printed, 2 faults found"), "{}", ran.stderr);
    // What lies after the last record that is wanted is not looked at.
    assert_eq!(ids(&snap.run(&["cat", "latest:t", "-n", "2"]).lines()), [1.0, 2.0]);
    // A record that cannot be read counts as skipped.
    assert_eq!(ids(&snap.run(&["cat", "latest:t", "--skip", "3"]).lines()), [3.0, 5.0]);
}

#[test]
fn the_schemas_of_a_table_are_followed_though_its_files_change_their_names() {
    let snap = Snap::new();
    let night = |name: &str, content: Vec<u8>, second: u64| {
        let _ = fs::remove_dir_all(snap.work("orders"));
        write(&snap, &format!("orders/{name}"), content, second);
        snap.ok(&["create", "-q", "--series", "t", "orders"]);
    };
    night("a-1.avro", part(&[1]), 1);
    night("b-2.avro", part(&[1, 2]), 2);
    night("c-3.avro", newer_part(&[1, 2]), 3);
    let text = orders(&[r#"{"name":"id","type":"string"}"#]);
    night("d-4.avro", container(&text, "null", [(1, &b"\x02x"[..])]), 4);
    let events = |path: &str| -> Vec<String> {
        let events = snap.ok(&["schema", "log", path, "--json"]).objects("schema_event");
        let said = |event: &Value| {
            format!("{} {}", event["event"].as_str().unwrap(), event["verdict"].as_str().unwrap_or("-"))
        };
        events.iter().map(said).collect()
    };
    let expected = ["appeared -", "changed full", "changed none"];
    assert_eq!(events("orders"), expected);
    assert_eq!(events("orders/*.avro"), expected);
    assert_eq!(events("orders/c-3.avro"), ["appeared -", "removed -"]);
    let lines = snap.ok(&["schema", "log", "orders"]).stdout;
    assert!(lines.contains("shop.Order") && lines.lines().count() == 3, "{lines}");
    assert!(snap.ok(&["schema", "show", "latest~1:orders"]).stdout.contains("note"));
    let ran = snap.ok(&["schema", "diff", "latest~2:orders/*", "latest~1:orders"]);
    assert!(ran.stdout.contains("note") && ran.stdout.contains("compatibility: full"), "{}", ran.stdout);
    let ran = snap.ok(&["schema", "ls", "latest:orders/*.avro", "latest~1:orders", "--json"]);
    assert_eq!(ran.objects("schema").len(), 2);
}

#[test]
fn diff_says_what_changed_in_files_and_tables() {
    let snap = Snap::new();
    write(&snap, "orders/a.avro", part(&[1, 2]), 1);
    write(&snap, "orders/b.avro", part(&[3]), 1);
    write(&snap, "orders/c.avro", part(&[4]), 1);
    write(&snap, "single/one.avro", part(&[1, 2, 3]), 1);
    write(&snap, "mixed/x.avro", part(&[1]), 1);
    write(&snap, "mixed/y.avro", container(r#""string""#, "null", [(1, &b"\x02x"[..])]), 1);
    snap.ok(&["create", "-q", "--series", "t", "."]);
    fs::remove_file(snap.work("orders/b.avro")).unwrap();
    write(&snap, "orders/a.avro", newer_part(&[1, 2, 6]), 2);
    write(&snap, "orders/d.avro", part(&[7, 8]), 1);
    // The same records with another marker.
    let same = part(&[1, 2, 3]);
    let (marker, other) = (&same[same.len() - 16..], b"fedcba9876543210");
    let mut same_records = same.clone();
    while let Some(at) = same_records.windows(16).position(|window| window == marker) {
        same_records[at..at + 16].copy_from_slice(other);
    }
    write(&snap, "single/one.avro", same_records, 3);
    write(&snap, "mixed/x.avro", part(&[1, 2]), 3);
    snap.ok(&["create", "-q", "--series", "t", "."]);
    let ran = snap.ok(&["diff", "latest~1", "latest", "--json"]);
    let changes = ran.objects("change");
    let change = |end: &str| changes.iter().find(|change| change["path"].as_str().unwrap().ends_with(end)).unwrap();
    let a = change("orders/a.avro");
    assert_eq!((&a["records_before"], &a["records_after"]), (&json!(2), &json!(3)), "{a}");
    assert_eq!((&a["schema_verdict"], &a["same_records"]), (&json!("full"), &json!(false)), "{a}");
    let one = change("single/one.avro");
    assert_eq!((&one["same_records"], &one["records_after"]), (&json!(true), &json!(3)), "{one}");
    assert_eq!(change("orders/b.avro")["records_after"], Value::Null);
    let tables = ran.objects("table");
    assert_eq!(tables.len(), 1, "{tables:?}");
    let orders = &tables[0];
    assert!(orders["path"].as_str().unwrap().ends_with("orders"), "{orders}");
    for (key, expected) in [
        ("files_before", json!(3)),
        ("files_after", json!(3)),
        ("files_added", json!(1)),
        ("files_removed", json!(1)),
        ("files_changed", json!(1)),
        ("records_before", json!(4)),
        ("records_after", json!(6)),
        ("records_in_added_files", json!(2)),
        ("records_in_removed_files", json!(1)),
        ("schema_verdict", json!("full")),
        ("codecs_after", json!(["null"])),
    ] {
        assert_eq!(orders[key], expected, "{key}: {orders}");
    }
    let text = snap.ok(&["diff", "latest~1", "latest"]).stdout;
    assert!(text.contains("2 -> 3 records, schema full"), "{text}");
    assert!(text.contains("same records, another marker"), "{text}");
    assert!(text.contains("3 -> 3 files (1 added, 1 removed, 1 changed), 4 -> 6 records"), "{text}");
}

#[test]
fn check_and_dump_take_folders_patterns_and_several() {
    let snap = table();
    let files = |what: &[&str]| {
        let summary = snap.ok(&[&["check", "--avro", "--json"], what].concat()).objects("avro_summary");
        summary[0]["files"].as_u64().unwrap()
    };
    assert_eq!(files(&[]), 4);
    assert_eq!(files(&["--snapshot", "latest:shop/orders"]), 3);
    assert_eq!(files(&["--snapshot", "latest:shop/orders/*.avro", "--snapshot", "latest:shop/others"]), 3);
    assert_ne!(snap.run(&["check", "--avro", "--snapshot", "latest:absent"]).code, 0);
    let names = |arguments: &[&str]| -> Vec<String> {
        let mut tar = assert_cmd::Command::new("tar");
        let listed = tar.args(["tf", "-"]).write_stdin(snap.ok(arguments).bytes).output().unwrap();
        String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(
        names(&["dump", "latest:shop/orders/*.avro", "--archive", "tar"]),
        ["shop/orders/part-0.avro", "shop/orders/part-1.avro"]
    );
    assert_eq!(
        names(&["dump", "latest", "shop/others", "shop/orders/_*", "--archive", "tar"]),
        ["shop/orders/_SUCCESS", "shop/others/", "shop/others/o.avro"]
    );
    assert_eq!(snap.run(&["dump", "latest", "shop/others", "absent", "--archive", "tar"]).code, 1);
    assert_eq!(snap.run(&["dump", "latest", "shop/others/o.avro", "shop/orders/_SUCCESS"]).code, 2);
    let ran = snap.ends(1, &["dump", "latest:shop/orders/*.avro"]);
    assert!(ran.stderr.contains("--archive tar"), "{}", ran.stderr);
    assert_eq!(snap.ok(&["find", "part-0.avro", "o.avro"]).stdout.matches(".avro").count(), 2);
}

#[test]
fn what_a_default_makes_large_comes_in_pieces_and_in_order() {
    let snap = Snap::new();
    let records = 60_000u64;
    write(&snap, "t/many.avro", container(&orders(&[ID]), "null", [(records, &vec![2; 60_000][..])]), 1);
    // More records than can be counted, of no bytes.
    write(&snap, "n/none.avro", container(&orders(&[]), "null", [(1 << 40, &b""[..])]), 1);
    snap.ok(&["create", "-q", "--series", "t", "t", "n"]);
    let text = format!(r#"{{"name":"text","type":"string","default":"{}"}}"#, "x".repeat(300));
    snap.write("long.avsc", orders(&[r#"{"name":"id","type":"long","default":7}"#, &text]));
    let cat = |what: &str, more: &[&str]| {
        snap.ok(&[&["cat", what, "--reader-schema", "long.avsc", "--json", "--fields", "id"], more].concat())
    };
    let ordinals = |what: &str, more: &[&str]| -> Vec<u64> {
        cat(what, more).objects("record").iter().map(|record| record["ordinal"].as_u64().unwrap()).collect()
    };
    assert!(ordinals("latest:t", &[]).into_iter().eq(0..records));
    assert_eq!(ordinals("latest:t", &["--skip", "59997"]), [59_997, 59_998, 59_999]);
    assert_eq!(ordinals("latest:t", &["--skip", "30000", "-n", "2"]), [30_000, 30_001]);
    let far = (1u64 << 40) - 2;
    assert_eq!(ordinals("latest:n", &["--skip", &far.to_string()]), [far, far + 1]);
    assert_eq!(cat("latest:n", &["-n", "1"]).objects("record")[0]["record"], json!({"id": 7}));
    assert_eq!(snap.ok(&["count", "latest:n"]).stdout, format!("{}\n", 1u64 << 40));
}
