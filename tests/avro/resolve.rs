//! Records that one schema wrote, read with another: cases by hand, and random schemas and changes of them, of which
//! apache-avro judges what comes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use apache_avro::types::Value;
use avro_snap::avro::compat::obstacles;
use avro_snap::avro::records::{Encoding, Fields, RecordWriter};
use avro_snap::avro::resolve::{MAX_RECORD, ResolveError, Resolver};
use avro_snap::avro::schema::Schema;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::avro_gen::{Generated, Random};

fn schema(text: &str) -> Schema {
    Schema::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn resolver(writer: &str, reader: &str) -> Resolver {
    Resolver::new(&schema(writer), &schema(reader)).unwrap_or_else(|obstacles| panic!("{obstacles:?}"))
}

fn resolved(writer: &str, reader: &str, datum: &[u8]) -> Vec<u8> {
    let mut out = vec![7];
    resolver(writer, reader).resolve(datum, &mut out).unwrap();
    assert_eq!(out.remove(0), 7);
    out
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

fn shown(of: &str, datum: &[u8]) -> String {
    let (schema, fields, mut text) = (schema(of), Fields::ALL, String::new());
    let mut writer = RecordWriter::new(&schema, &fields, Encoding::Avro);
    let mut give = |part: &str| {
        text.push_str(part);
        Ok(())
    };
    writer.write(datum, &mut give).unwrap().unwrap();
    text
}

#[test]
fn numbers_become_wider_and_the_rest_of_the_record_is_copied() {
    let fields = |types: [&str; 6]| {
        let fields = types.iter().enumerate().map(|(n, of)| format!(r#"{{"name":"f{n}","type":{of}}}"#));
        record(&fields.collect::<Vec<_>>().join(","))
    };
    let writer = fields([r#""int""#, r#""int""#, r#""long""#, r#""float""#, r#""string""#, r#""int""#]);
    let reader = fields([r#""float""#, r#""double""#, r#""double""#, r#""double""#, r#""bytes""#, r#""long""#]);
    let datum = [&[6, 3][..], &[0x80, 1], &1.5f32.to_le_bytes(), b"\x04ab", &[9]].concat();
    let expected =
        [&3f32.to_le_bytes()[..], &(-2f64).to_le_bytes(), &64f64.to_le_bytes(), &1.5f64.to_le_bytes(), b"\x04ab", &[9]]
            .concat();
    assert_eq!(resolved(&writer, &reader, &datum), expected);
    for cut in 0..datum.len() {
        let mut out = vec![1, 2];
        let error = resolver(&writer, &reader).resolve(&datum[..cut], &mut out).unwrap_err();
        assert!(matches!(error, ResolveError::Walk(_)), "{cut}: {error}");
        assert_eq!(out, [1, 2], "what failed leaves nothing");
    }
    let longer = [&datum[..], &[0]].concat();
    assert_eq!(resolver(&writer, &reader).resolve(&longer, &mut Vec::new()), Err(ResolveError::Trailing));
}

#[test]
fn fields_are_added_removed_renamed_and_reordered() {
    let a = r#"{"name":"a","type":"string"}"#;
    let b = r#"{"name":"b","type":"long"}"#;
    let c = r#"{"name":"c","type":["null","string"]}"#;
    let d = r#"{"name":"d","type":"int","default":-3}"#;
    let e = r#"{"name":"e","aliases":["a"],"type":"string"}"#;
    let join = |fields: &[&str]| record(&fields.join(","));
    let datum = b"\x04xy\x0e\x02\x02z"; // a = "xy", b = 7, c = "z"
    let writer = join(&[a, b, c]);
    for (reader, expected) in [
        (join(&[a, b, c, d]), r#"{"a":"xy","b":7,"c":{"string":"z"},"d":-3}"#),
        (join(&[d, a, b, c]), r#"{"d":-3,"a":"xy","b":7,"c":{"string":"z"}}"#),
        (join(&[c, d, a]), r#"{"c":{"string":"z"},"d":-3,"a":"xy"}"#),
        (join(&[b, a]), r#"{"b":7,"a":"xy"}"#),
        (join(&[b]), r#"{"b":7}"#),
        (join(&[d]), r#"{"d":-3}"#),
        (join(&[]), r#"{}"#),
        (join(&[c, e]), r#"{"c":{"string":"z"},"e":"xy"}"#),
        (join(&[e, b]), r#"{"e":"xy","b":7}"#),
        (join(&[e, a, b]), r#"{"e":"xy","a":"xy","b":7}"#),
    ] {
        assert_eq!(shown(&reader, &resolved(&writer, &reader, datum)), expected);
    }
}

#[test]
fn defaults_of_every_kind_are_what_their_json_says() {
    let inner = r#"{"type":"record","name":"I","fields":[{"name":"x","type":"int"},
        {"name":"y","type":["null","string"],"default":null}]}"#;
    for (of, default, expected) in [
        (r#""null""#, "null", "null"),
        (r#""boolean""#, "true", "true"),
        (r#""long""#, "-9223372036854775808", "-9223372036854775808"),
        (r#""float""#, "0.1", "0.1"),
        (r#""double""#, "1e3", "1000.0"),
        (r#""double""#, "NaN", r#""NaN""#),
        (r#""float""#, r#""-Infinity""#, r#""-Infinity""#),
        (r#""bytes""#, r#""\u00ff\u0001""#, r#""ÿ\u0001""#),
        (r#""string""#, r#""a\n\u00e4""#, r#""a\nä""#),
        (r#"{"type":"fixed","name":"F","size":2}"#, r#""ab""#, r#""ab""#),
        (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, r#""B""#, r#""B""#),
        (r#"{"type":"array","items":"int"}"#, "[1, 2]", "[1,2]"),
        (r#"{"type":"array","items":"int"}"#, "[]", "[]"),
        (r#"{"type":"map","values":"int"}"#, r#"{"k": 1}"#, r#"{"k":1}"#),
        (r#"["null","int"]"#, "null", "null"),
        (r#"["null","int"]"#, "5", r#"{"int":5}"#),
        (r#"["string","int"]"#, r#""x""#, r#"{"string":"x"}"#),
        (inner, r#"{"x": 4}"#, r#"{"x":4,"y":null}"#),
        (inner, r#"{"y": "q", "x": 4 /* as Java reads it */}"#, r#"{"x":4,"y":{"string":"q"}}"#),
    ] {
        let reader = record(&format!(r#"{{"name":"n","type":{of},"default":{default}}}"#));
        let found = shown(&reader, &resolved(&record(""), &reader, b""));
        assert_eq!(found, format!(r#"{{"n":{expected}}}"#), "{of} {default}");
    }
}

#[test]
fn a_default_that_is_not_of_its_type_is_an_obstacle_and_not_a_wrong_record() {
    for (of, default) in [
        (r#""int""#, "3000000000"),
        (r#""int""#, "1.5"),
        (r#""long""#, r#""1""#),
        (r#""boolean""#, "0"),
        (r#""bytes""#, r#""\u0100""#),
        (r#"{"type":"fixed","name":"F","size":2}"#, r#""abc""#),
        (r#"{"type":"enum","name":"E","symbols":["A"]}"#, r#""B""#),
        (r#"["null","int"]"#, r#""x""#),
        (r#"{"type":"array","items":"int"}"#, r#"[1,null]"#),
        (r#"{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}"#, "{}"),
    ] {
        let reader = record(&format!(r#"{{"name":"n","type":{of},"default":{default}}}"#));
        let found = Resolver::new(&schema(&record("")), &schema(&reader)).unwrap_err();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "R.n", "{of} {default}");
        assert!(found[0].reason.contains("default"), "{}", found[0]);
    }
}

#[test]
fn unions_are_read_each_way() {
    let (string, long) = (r#""string""#, r#""long""#);
    let optional = r#"["null","string"]"#;
    assert_eq!(resolved(string, optional, b"\x02a"), b"\x02\x02a");
    assert_eq!(resolved(optional, r#"["string","null"]"#, b"\x02\x02a"), b"\x00\x02a");
    assert_eq!(resolved(optional, r#"["string","null"]"#, b"\x00"), b"\x02");
    assert_eq!(resolved(optional, r#"["null","int","string"]"#, b"\x02\x02a"), b"\x04\x02a");
    assert_eq!(resolved(r#"["int","long"]"#, long, b"\x00\x06"), b"\x06");
    assert_eq!(resolved(r#"["int","long"]"#, r#""double""#, b"\x02\x06"), 3f64.to_le_bytes());
    // The same kind before a promotion, wherever it stands.
    assert_eq!(resolved(r#""int""#, r#"["double","int"]"#, b"\x06"), b"\x02\x06");
    assert_eq!(resolved(r#"["int"]"#, r#"["double","long"]"#, b"\x00\x06"), [&[0][..], &3f64.to_le_bytes()].concat());
    let e = |symbols: &str, more: &str| format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]{more}}}"#);
    let (ab, cba) = (e(r#""A","B""#, ""), e(r#""C","B","A""#, ""));
    assert_eq!(resolved(&ab, &cba, &[0]), [4]);
    assert_eq!(resolved(&ab, &e(r#""X","B""#, r#","default":"X""#), &[0]), [0]);
    assert_eq!(resolved(&ab, &format!("[\"null\",{cba}]"), &[2]), [2, 2]);
}

#[test]
fn runs_of_items_lose_the_length_that_they_announce_where_items_change() {
    let array = |items: &str| format!(r#"{{"type":"array","items":{items}}}"#);
    let map = |values: &str| format!(r#"{{"type":"map","values":{values}}}"#);
    // Two runs: one announces 2 bytes.
    let runs = [3, 4, 2, 4, 2, 6, 0];
    let floats = [&[4][..], &1f32.to_le_bytes(), &2f32.to_le_bytes(), &[2], &3f32.to_le_bytes(), &[0]].concat();
    assert_eq!(resolved(&array(r#""int""#), &array(r#""float""#), &runs), floats);
    assert_eq!(resolved(&array(r#""int""#), &array(r#""long""#), &runs), runs, "not touched");
    let one = [&[2][..], b"\x02k", &1f32.to_le_bytes(), &[0]].concat();
    assert_eq!(resolved(&map(r#""int""#), &map(r#""float""#), b"\x01\x06\x02k\x02\x00"), one);
}

#[test]
fn types_that_hold_themselves_are_read_all_the_way_down() {
    let node = |value: &str, more: &str| {
        format!(
            r#"{{"type":"record","name":"N","fields":[{more}{{"name":"v","type":{value}}},{{"name":"next","type":["null","N"]}}]}}"#
        )
    };
    let datum = [2, 2, 4, 2, 6, 0]; // 1, 2, 3
    let reader = node(r#""double""#, r#"{"name":"w","type":"string","default":"d"},"#);
    let found = shown(&reader, &resolved(&node(r#""int""#, ""), &reader, &datum));
    let expected = r#"{"w":"d","v":1.0,"next":{"N":{"w":"d","v":2.0,"next":{"N":{"w":"d","v":3.0,"next":null}}}}}"#;
    assert_eq!(found, expected);
    assert!(resolver(&node(r#""int""#, ""), &node(r#""long""#, "")).is_identity());
    // Deeper than the stack is followed: refused, not a crash.
    let deep: Vec<u8> = std::iter::repeat_n([2, 2], 100_000).flatten().chain([2, 0]).collect();
    let result = resolver(&node(r#""int""#, ""), &reader).resolve(&deep, &mut Vec::new());
    assert!(matches!(result, Err(ResolveError::Walk(error)) if error.is_beyond_limits()), "{result:?}");
}

#[test]
fn what_is_the_same_bytes_is_known_to_be() {
    let long = record(r#"{"name":"a","type":"long"},{"name":"b","type":["null","string"]}"#);
    for (reader, same) in [
        (long.clone(), true),
        (long.replace("\"R\"", "\"x.R\""), true),
        (long.replace("\"name\":\"a\"", "\"doc\":\"d\",\"name\":\"q\",\"aliases\":[\"a\"]"), true),
        (long.replace("\"long\"", r#"{"type":"long","logicalType":"timestamp-millis"}"#), true),
        (long.replace("\"string\"", "\"bytes\""), true),
        (long.replace("[\"null\",\"string\"]", r#"["null","string","int"]"#), true),
        (long.replace("[\"null\",\"string\"]", r#"["null","int","string"]"#), false),
        (long.replace("\"long\"", "\"double\""), false),
        (record(r#"{"name":"a","type":"long"}"#), false),
    ] {
        assert_eq!(resolver(&long, &reader).is_identity(), same, "{reader}");
    }
}

#[test]
fn what_defaults_make_of_few_bytes_is_bounded() {
    // Records that double at each step, with a default at the end: 2^40 of them.
    let mut reader = r#"{"type":"record","name":"R0","fields":[{"name":"x","type":"int","default":1}]}"#.to_owned();
    let mut writer = r#"{"type":"record","name":"R0","fields":[]}"#.to_owned();
    for n in 1..=40 {
        let wrap = |inner: &str| {
            format!(
                r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":{inner}}},{{"name":"b","type":"R{}"}}]}}"#,
                n - 1
            )
        };
        (reader, writer) = (wrap(&reader), wrap(&writer));
    }
    assert_eq!(resolver(&writer, &reader).resolve(b"", &mut Vec::new()), Err(ResolveError::TooLarge));
    // An array of 2^40 items that take no bytes, and do for the reader.
    let array = |fields: &str| format!(r#"{{"type":"array","items":{}}}"#, record(fields));
    let mut datum = Vec::new();
    avro_snap::avro::varint::encode(&mut datum, 1 << 40);
    datum.push(0);
    let many = resolver(&array(""), &array(r#"{"name":"x","type":"string","default":"twenty bytes of text"}"#));
    let mut out = Vec::new();
    assert_eq!(many.resolve(&datum, &mut out), Err(ResolveError::TooLarge));
    assert!(out.is_empty() && out.capacity() <= 2 * MAX_RECORD + 64);
}

/// A change of a schema after which the old data can still be read.
fn evolve(random: &mut Random, json: &mut Json) {
    match json {
        Json::String(name) => {
            let wider = match name.as_str() {
                "int" => [r#"long"#, "float", "double"][random.below(3)],
                "long" => ["float", "double"][random.below(2)],
                "float" => "double",
                "string" => "bytes",
                _ => return,
            };
            if random.one_in(3) {
                *json = json!(wider);
            } else if random.one_in(6) {
                *json = json!(["null", name.as_str()]);
            }
        }
        Json::Array(branches) => {
            if random.one_in(3) {
                branches.reverse();
            }
            branches.iter_mut().filter(|branch| branch.is_object()).for_each(|branch| evolve(random, branch));
        }
        Json::Object(object) => {
            object.remove("logicalType");
            for key in ["items", "values", "type"] {
                if let Some(inner) = object.get_mut(key).filter(|inner| key != "type" || !inner.is_string()) {
                    evolve(random, inner);
                }
            }
            if let Some(Json::Array(symbols)) = object.get_mut("symbols")
                && random.one_in(3)
            {
                symbols.reverse();
                symbols.push(json!("NEW"));
            }
            if let Some(Json::Array(fields)) = object.get_mut("fields") {
                for field in fields.iter_mut() {
                    if let Some(of) = field.get_mut("type") {
                        evolve(random, of);
                    }
                }
                // What a field defines may be mentioned further on: it stays, and stays in its place.
                let plain = |field: &Json| field["type"].is_string();
                if fields.iter().all(plain) && random.one_in(3) {
                    fields.reverse();
                }
                if random.one_in(3) {
                    fields.retain(|field| !plain(field) || random.below(3) > 0);
                }
                if random.one_in(3) {
                    let more = json!({"name": "added", "type": ["null", "string"], "default": null});
                    fields.insert(random.below(fields.len() + 1), more);
                }
                if random.one_in(3) {
                    fields.push(json!({"name": "more", "type": "double", "default": 0.5}));
                }
            }
        }
        _ => {}
    }
}

/// A value as a text that does not depend on the order of maps, nor on the sign of what is no number.
fn said(value: &Value) -> String {
    match value {
        Value::Union(place, inner) => format!("{place}:{}", said(inner)),
        Value::Array(items) => format!("[{}]", items.iter().map(said).collect::<Vec<_>>().join(",")),
        Value::Map(entries) => {
            let sorted: BTreeMap<_, _> = entries.iter().map(|(key, value)| (key, said(value))).collect();
            format!("{sorted:?}")
        }
        Value::Record(fields) => {
            format!(
                "{{{}}}",
                fields.iter().map(|(name, value)| format!("{name}={}", said(value))).collect::<Vec<_>>().join(",")
            )
        }
        Value::Float(value) if value.is_nan() => "nan".into(),
        Value::Double(value) if value.is_nan() => "nan".into(),
        plain => format!("{plain:?}"),
    }
}

#[allow(deprecated, reason = "the way that takes a reader's schema")]
fn judge(
    writer: &apache_avro::Schema,
    mut datum: &[u8],
    reader: Option<&apache_avro::Schema>,
) -> Result<Value, apache_avro::Error> {
    apache_avro::from_avro_datum(writer, &mut datum, reader)
}

/// Counts how often the judge was asked, so that a test that asks it never is noticed.
static JUDGED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

fn agree(seed: u64, depth: usize) -> Result<(), TestCaseError> {
    let mut random = Random::new(seed);
    let generated = Generated::record(&mut random, depth);
    let writer_text = generated.text_without_logical();
    let mut json: Json = serde_json::from_str(&writer_text).unwrap();
    evolve(&mut random, &mut json);
    let reader_text = json.to_string();
    let (writer, reader) = (schema(&writer_text), schema(&reader_text));
    let resolver = match Resolver::new(&writer, &reader) {
        Ok(resolver) => resolver,
        Err(found) => {
            prop_assert_eq!(found, obstacles(&writer, &reader));
            return Ok(());
        }
    };
    let apache = |text: &str| apache_avro::Schema::parse_str(text);
    let (Ok(theirs), Ok(ours)) = (apache(&writer_text), apache(&reader_text)) else { return Ok(()) };
    let is_judged = !has_map_beside_record(&json);
    for _ in 0..4 {
        let datum = generated.datum(&mut random);
        let mut out = Vec::new();
        match resolver.resolve(&datum, &mut out) {
            Ok(()) => {}
            Err(ResolveError::Walk(error)) if error.is_beyond_limits() => continue,
            Err(error) => return Err(TestCaseError::fail(format!("{error}: {writer_text} {reader_text}"))),
        }
        prop_assert_eq!(reader.skip(&out, 0), Ok(out.len()), "{} {}", &writer_text, &reader_text);
        if resolver.is_identity() {
            prop_assert_eq!(&out, &datum);
        }
        // A record after others becomes the same.
        let after = [&[1, 2, 3][..], &datum, &[9]].concat();
        let mut again = Vec::new();
        prop_assert_eq!(resolver.resolve_at(&after, 3, &mut again), Ok(3 + datum.len()));
        prop_assert_eq!(&again, &out);
        let read = judge(&ours, &out, None);
        let expected = judge(&theirs, &datum, Some(&ours));
        if let (Ok(read), Ok(expected), true) = (read, expected, is_judged) {
            JUDGED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            prop_assert_eq!(said(&read), said(&expected), "{} {}", &writer_text, &reader_text);
        }
    }
    Ok(())
}

/// Whether a union has a map and a record: the judge takes a map for a record whose fields all have defaults, which the specification
/// does not know.
fn has_map_beside_record(schema: &Json) -> bool {
    const PRIMITIVE: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    match schema {
        Json::Array(branches) => {
            let is_map = |branch: &Json| branch["type"] == "map";
            let is_named = |branch: &Json| match branch {
                Json::String(name) => !PRIMITIVE.contains(&name.as_str()),
                other => other["type"] == "record",
            };
            (branches.iter().any(is_map) && branches.iter().any(is_named)) || branches.iter().any(has_map_beside_record)
        }
        Json::Object(object) => object.values().any(has_map_beside_record),
        _ => false,
    }
}

#[test]
fn apache_avro_reads_the_same_records() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(500)
    });
    runner.run(&(any::<u64>(), 0usize..5), |(seed, depth)| agree(seed, depth)).unwrap();
    let judged = JUDGED.load(std::sync::atomic::Ordering::Relaxed);
    println!("{judged} records judged");
    assert!(judged > 500, "{judged}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_it_panic(seed: u64, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut random = Random::new(seed);
        let generated = Generated::record(&mut random, 4);
        let mut json: Json = serde_json::from_str(&generated.text).unwrap();
        evolve(&mut random, &mut json);
        if let Ok(resolver) = Resolver::new(&schema(&generated.text), &schema(&json.to_string())) {
            let mut out = Vec::new();
            let _ = resolver.resolve(&bytes, &mut out);
            let mut datum = generated.datum(&mut random);
            for (place, byte) in bytes.iter().enumerate().take(3) {
                if let Some(at) = datum.len().checked_sub(1 + place * 7) {
                    datum[at] ^= byte;
                }
            }
            let _ = resolver.resolve(&datum, &mut out);
        }
    }
}
