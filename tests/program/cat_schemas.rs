//! `cat` of what other writers write: odd names, odd schemas, odd values; and its two encodings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use crate::cli;
use crate::containers;

use cli::Snap;
use containers::{container, one_record};

/// A repository with these files in one snapshot.
fn saved(files: &[(&str, Vec<u8>)]) -> Snap {
    let snap = Snap::new();
    for (name, content) in files {
        snap.write(&format!("data/{name}"), content);
    }
    snap.ok(&["create", "-q", "data"]);
    snap
}

#[test]
fn schemas_that_writers_write_are_read_and_are_sound() {
    let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let fixed = r#"{"type":"fixed","name":"F","size":1}"#;
    let letter = r#"{"type":"enum","name":"E","symbols":["Ä","b-c"]}"#;
    let cases: &[(&str, String, &[u8], &str)] = &[
        ("nan", record(r#"{"name":"d","type":"double","default":NaN}"#), &[0; 8], r#"{"d":0.0}"#),
        ("infinity", record(r#"{"name":"d","type":"float","default":-Infinity}"#), &[0; 4], r#"{"d":0.0}"#),
        ("anonymous", r#"{"type":"record","fields":[{"name":"a","type":"int"}]}"#.into(), &[2], r#"{"a":1}"#),
        ("hyphen", record(r#"{"name":"my-field","type":"int"}"#), &[2], r#"{"my-field":1}"#),
        ("dot", record(r#"{"name":"my.field","type":"int"}"#), &[2], r#"{"my.field":1}"#),
        ("digit", record(r#"{"name":"1st name","type":"int"}"#), &[2], r#"{"1st name":1}"#),
        ("umlaut", record(r#"{"name":"größe","type":"int"}"#), &[2], r#"{"größe":1}"#),
        ("symbol", record(&format!(r#"{{"name":"e","type":{letter}}}"#)), &[2], r#"{"e":"b-c"}"#),
        (
            "fixed-twice",
            record(&format!(r#"{{"name":"a","type":{fixed}}},{{"name":"b","type":{fixed}}}"#)),
            b"xy",
            r#"{"a":"x","b":"y"}"#,
        ),
        (
            "enum-twice",
            record(&format!(r#"{{"name":"a","type":{letter}}},{{"name":"b","type":["null",{letter}]}}"#)),
            &[0, 2, 2],
            r#"{"a":"Ä","b":"b-c"}"#,
        ),
        (
            "forward",
            record(&format!(r#"{{"name":"a","type":["null","F"]}},{{"name":"b","type":{fixed}}}"#)),
            &[2, b'x', b'y'],
            r#"{"a":"x","b":"y"}"#,
        ),
        ("behind", record(r#"{"name":"a","type":"int"}"#) + "\n\0 more", &[2], r#"{"a":1}"#),
        (
            "nothing",
            record(r#"{"name":"a","type":"int"},{"name":"n","type":{"type":"array","items":"null"}}"#),
            &[2, 4, 0],
            r#"{"a":1,"n":[null,null]}"#,
        ),
        (
            "records-of-nothing",
            record(r#"{"name":"n","type":{"type":"array","items":{"type":"record","name":"N","fields":[]}}}"#),
            &[4, 0],
            r#"{"n":[{},{}]}"#,
        ),
    ];
    let files: Vec<_> = cases.iter().map(|(name, schema, datum, _)| (*name, one_record(schema, datum))).collect();
    let snap = saved(&files);
    for (name, _, _, expected) in cases {
        assert_eq!(snap.ok(&["cat", &format!("latest:data/{name}")]).lines(), [*expected], "{name}");
    }
    let checked = snap.ok(&["check", "--avro", "--json"]).summary();
    assert_eq!(checked["errors"].as_u64().unwrap_or(0), 0, "{checked}");
    // Different definitions of one name are refused, as everywhere.
    let unlike =
        record(&format!(r#"{{"name":"a","type":{fixed}}},{{"name":"b","type":{letter}}}"#).replace("\"E\"", "\"F\""));
    snap.write("unlike/f", one_record(&unlike, &[0, 0]));
    assert_eq!(snap.run(&["create", "-q", "unlike"]).code, 0);
    let ran = snap.ends(1, &["cat", "latest:unlike/f"]);
    assert!(ran.stderr.contains("defined twice"), "{}", ran.stderr);
}

#[test]
fn json_as_avro_has_it_or_as_people_like_it() {
    let schema = r#"{"type":"record","name":"R","namespace":"a.b","fields":[
        {"name":"u","type":["null","string"]},{"name":"v","type":["null","string"]},
        {"name":"m","type":{"type":"map","values":["null",{"type":"enum","name":"E","symbols":["X"]}]}},
        {"name":"d","type":{"type":"int","logicalType":"date"}},
        {"name":"t","type":["null",{"type":"long","logicalType":"timestamp-micros"}]}]}"#;
    let datum = [0, 2, 2, b'x', 4, 2, b'z', 2, 0, 2, b'a', 0, 0, 2, 2, 0];
    let snap = saved(&[("f.avro", one_record(schema, &datum))]);
    let plain = r#"{"u":null,"v":"x","m":{"z":"X","a":null},"d":"1970-01-02","t":"1970-01-01T00:00:00.000000Z"}"#;
    let avro = r#"{"u":null,"v":{"string":"x"},"m":{"z":{"a.b.E":"X"},"a":null},"d":1,"t":{"long":0}}"#;
    assert_eq!(snap.ok(&["cat", "latest:data/f.avro"]).lines(), [plain]);
    assert_eq!(snap.ok(&["cat", "latest:data/f.avro", "--json-encoding", "plain"]).lines(), [plain]);
    assert_eq!(snap.ok(&["cat", "latest:data/f.avro", "--json-encoding", "avro"]).lines(), [avro]);
    let cut = snap.ok(&["cat", "latest:data/f.avro", "--json-encoding", "avro", "--fields", "m.z,d"]);
    assert_eq!(cut.lines(), [r#"{"m":{"z":{"a.b.E":"X"}},"d":1}"#]);
    let records = snap.ok(&["cat", "latest:data/f.avro", "--json-encoding", "avro", "--json"]).objects("record");
    assert_eq!(records[0]["record"]["v"]["string"], "x");
    let ran = snap.ends(2, &["cat", "latest:data/f.avro", "--json-encoding", "avro", "--format", "avro"]);
    assert!(ran.stderr.contains("--json-encoding"), "{}", ran.stderr);
}

#[test]
fn days_out_of_range_are_texts_like_all_others() {
    let schema = r#"{"type":"int","logicalType":"date"}"#;
    let mut block = Vec::new();
    for days in [-719_529, -719_528, 0, 2_932_896, 2_932_897, i32::MAX, i32::MIN] {
        avro_snap::avro::varint::encode(&mut block, i64::from(days));
    }
    let snap = saved(&[("f.avro", container(schema, "null", [(7, &block[..])]))]);
    let expected =
        ["-0001-12-31", "0000-01-01", "1970-01-01", "9999-12-31", "+10000-01-01", "+5881580-07-11", "-5877641-06-23"];
    assert_eq!(snap.ok(&["cat", "latest:data/f.avro"]).lines(), expected.map(|day| format!("\"{day}\"")));
}

#[test]
fn declared_counts_do_not_wrap() {
    // Records of no bytes: each block may declare as many as a number can say.
    let schema = r#"{"type":"record","name":"R","fields":[]}"#;
    let many = i64::MAX as u64;
    let blocks = [(many, &[][..]), (many, &[][..]), (many, &[][..])];
    let files = ["a.avro", "b.avro", "c.avro"].map(|name| (name, container(schema, "null", blocks)));
    let snap = saved(&files);
    for arguments in [
        &["check", "--avro"][..],
        &["ls", "--long", "latest"],
        &["stats"],
        &["schema", "ls", "latest"],
        &["cat", "-n", "1", "latest:data/a.avro"],
        &["cat", "-n", "1", "--skip", "18446744073709551615", "latest:data/a.avro"],
        &["create", "data"],
    ] {
        let ran = snap.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn a_string_that_is_not_utf8_is_printed_as_far_as_it_can_be_and_said_once() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"s","type":["null","string"]}]}"#;
    let blocks = [(2, &[2, 4, b'a', 0xff, 2, 2, b'b'][..]), (1, &[2, 6, 0xfe, b'"', 0xfd])];
    let snap = saved(&[("latin.avro", container(schema, "null", blocks))]);
    for (more, expected) in [
        (&[][..], ["{\"s\":\"a\u{fffd}\"}", "{\"s\":\"b\"}", "{\"s\":\"\u{fffd}\\\"\u{fffd}\"}"]),
        (
            &["--json-encoding", "avro"],
            [
                "{\"s\":{\"string\":\"a\u{fffd}\"}}",
                "{\"s\":{\"string\":\"b\"}}",
                "{\"s\":{\"string\":\"\u{fffd}\\\"\u{fffd}\"}}",
            ],
        ),
    ] {
        let ran = snap.ends(3, &[&["cat", "latest:data/latin.avro"], more].concat());
        assert_eq!(ran.lines(), expected);
        assert!(ran.stderr.contains("2 records printed with strings that are not UTF-8"), "{}", ran.stderr);
        assert_eq!(ran.stderr.matches("UTF-8").count(), 1, "{}", ran.stderr);
    }
    let ran = snap.ends(3, &["cat", "--json", "latest:data/latin.avro"]);
    assert_eq!((&ran.summary()["lossy_records"], &ran.error()["code"]), (&2.into(), &"not_utf8".into()));
    assert_eq!(ran.objects("record").len(), 3);
    // What is not printed is not said, and the bytes can be had as they are.
    snap.ok(&["cat", "--skip", "1", "-n", "1", "latest:data/latin.avro"]);
    let avro = snap.ok(&["cat", "--format", "avro", "latest:data/latin.avro"]).bytes;
    assert!(avro.windows(3).any(|bytes| bytes == [4, b'a', 0xff]));
}
