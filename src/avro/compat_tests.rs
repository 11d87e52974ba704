use super::*;
use crate::avro::changes::changes;

fn schema(text: &str) -> Schema {
    Schema::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn reads(writer: &str, reader: &str) -> Vec<String> {
    obstacles(&schema(writer), &schema(reader)).iter().map(ToString::to_string).collect()
}

fn plain(name: &str) -> String {
    format!("\"{name}\"")
}

#[test]
fn plain_types_are_read_as_the_specification_promotes_them() {
    let all = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];
    for writer in all {
        for reader in all {
            let may = writer == reader
                || matches!(
                    (writer, reader),
                    ("int", "long" | "float" | "double")
                        | ("long", "float" | "double")
                        | ("float", "double")
                        | ("string", "bytes")
                        | ("bytes", "string")
                );
            assert_eq!(reads(&plain(writer), &plain(reader)).is_empty(), may, "{writer} as {reader}");
        }
    }
}

/// Reader, writer, and whether one reads the other; each also within an array, a map, a union and a field.
#[test]
fn apache_avro_agrees_on_types_within_types() {
    use apache_avro::schema_compatibility::SchemaCompatibility;
    let e = |symbols: &str, more: &str| format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]{more}}}"#);
    let f = |name: &str, size: u32| format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#);
    let r = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let types = [
        plain("null"),
        plain("int"),
        plain("long"),
        plain("double"),
        plain("bytes"),
        plain("string"),
        r#"["null","int"]"#.into(),
        r#"["null","long"]"#.into(),
        r#"["int","string"]"#.into(),
        e(r#""A""#, ""),
        e(r#""A","B""#, ""),
        e(r#""A""#, r#","default":"A""#),
        f("F", 4),
        f("F", 5),
        f("G", 4),
        r(r#"{"name":"a","type":"int"}"#),
        r(r#"{"name":"a","type":"long"}"#),
        r(r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#),
        r(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":1}"#),
        r(r#"{"name":"b","type":"int"},{"name":"a","type":"int"}"#),
    ];
    let wraps: [fn(&str) -> String; 5] = [
        str::to_owned,
        |inner| format!(r#"{{"type":"array","items":{inner}}}"#),
        |inner| format!(r#"{{"type":"map","values":{inner}}}"#),
        |inner| if inner.starts_with('[') { inner.to_owned() } else { format!(r#"["boolean",{inner}]"#) },
        |inner| format!(r#"{{"type":"record","name":"W","fields":[{{"name":"w","type":{inner}}}]}}"#),
    ];
    let apache = |text: &str| apache_avro::Schema::parse_str(text).unwrap();
    for wrap in wraps {
        for writer in types.iter().map(|text| wrap(text)) {
            for reader in types.iter().map(|text| wrap(text)) {
                let expected = SchemaCompatibility::can_read(&apache(&writer), &apache(&reader)).is_ok();
                let found = reads(&writer, &reader);
                // The package is content with one branch of the writer's union; the specification wants every datum read.
                let union = writer.contains("[\"");
                let agree = found.is_empty() == expected || (union && expected);
                assert!(agree, "{writer} read as {reader}: {expected}, {found:?}");
            }
        }
    }
}

#[test]
fn a_field_may_come_and_go_where_readers_have_a_default() {
    let base = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
    let more = |default: &str| {
        format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":"int"}},{{"name":"b","type":["null","string"]{default}}}]}}"#
        )
    };
    let with = more(r#","default":null"#);
    let verdict = |before: &str, after: &str| Comparison::new(&schema(before), &schema(after)).verdict();
    assert_eq!(verdict(base, &with), Verdict::Full);
    assert_eq!(verdict(base, &more("")), Verdict::Forward);
    assert_eq!(verdict(&more(""), base), Verdict::Backward);
    assert_eq!(verdict(base, base), Verdict::Full);
    assert_eq!(verdict(base, "\"long\""), Verdict::None);
    assert_eq!(reads(base, &more("")), ["b: the field is not written and has no default"]);
}

#[test]
fn aliases_of_the_reader_find_what_the_writer_called_otherwise() {
    let old = r#"{"type":"record","name":"Old","namespace":"n","fields":[{"name":"x","type":"int"}]}"#;
    let new = |alias: &str, field: &str| {
        format!(
            r#"{{"type":"record","name":"New","namespace":"n"{alias},"fields":[{{"name":"y","type":"long"{field}}}]}}"#
        )
    };
    assert!(reads(old, &new(r#","aliases":["Old"]"#, r#","aliases":["x"]"#)).is_empty());
    assert!(reads(old, &new(r#","aliases":["n.Old"]"#, r#","aliases":["x"]"#)).is_empty());
    assert_eq!(
        reads(old, &new(r#","aliases":["other.Old"]"#, r#","aliases":["x"]"#)),
        ["record n.Old cannot be read as record n.New"]
    );
    assert_eq!(reads(old, &new(r#","aliases":["Old"]"#, "")), ["y: the field is not written and has no default"]);
}

#[test]
fn enums_need_their_symbols_or_a_default() {
    let of = |symbols: &str, default: &str| format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]{default}}}"#);
    let (few, many) = (of(r#""A""#, ""), of(r#""A","B","C""#, ""));
    assert!(reads(&few, &many).is_empty());
    assert_eq!(reads(&many, &few), ["the symbols B, C are not known and there is no default"]);
    assert!(reads(&many, &of(r#""A""#, r#","default":"A""#)).is_empty());
    assert!(!reads(&many, &of(r#""A""#, r#","default":"Z""#)).is_empty(), "a default that is no symbol");
}

#[test]
fn every_branch_of_a_writer_must_be_readable() {
    assert!(reads(r#"["int","long"]"#, "\"double\"").is_empty());
    assert!(!reads(r#"["int","string"]"#, "\"double\"").is_empty());
    assert!(reads("\"int\"", r#"["null","float"]"#).is_empty());
    assert_eq!(reads("\"boolean\"", r#"["null","float"]"#), ["boolean fits no branch of [null, float]"]);
    // The exact branch before the one that would do, wherever they stand.
    let record = |name: &str, field: &str| {
        format!(r#"{{"type":"record","name":"{name}","fields":[{{"name":"{field}","type":"int"}}]}}"#)
    };
    let reader = format!("[{},{}]", record("a.R", "x"), record("b.R", "y"));
    assert!(reads(&record("b.R", "y"), &reader).is_empty());
    assert!(reads(&record("c.R", "x"), &reader).is_empty(), "the first of the same short name");
}

#[test]
fn decimals_keep_their_digits() {
    let of = |scale: u32| format!(r#"{{"type":"bytes","logicalType":"decimal","precision":9,"scale":{scale}}}"#);
    assert!(reads(&of(2), &of(2)).is_empty());
    assert_eq!(reads(&of(2), &of(3)), ["a decimal of 9.2 digits, not of 9.3"]);
    assert!(reads(&of(2), "\"bytes\"").is_empty());
    // Two of them in one schema are different.
    let pair = |a, b| {
        let (a, b) = (of(a), of(b));
        format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{a}}},{{"name":"b","type":{b}}}]}}"#)
    };
    assert_eq!(reads(&pair(2, 3), &pair(2, 4)), ["b: a decimal of 9.3 digits, not of 9.4"]);
}

#[test]
fn types_that_lead_back_to_themselves_end() {
    let list = |value: &str| {
        format!(
            r#"{{"type":"record","name":"L","fields":[{{"name":"v","type":"{value}"}},{{"name":"next","type":["null","L"]}}]}}"#
        )
    };
    assert!(reads(&list("int"), &list("long")).is_empty());
    assert_eq!(reads(&list("long"), &list("int")), ["v: long cannot be read as int"]);
    assert!(changes(&schema(&list("int")), &schema(&list("int"))).is_empty());
    // A chain of references deeper than any stack.
    let mut all = vec![r#"{"type":"record","name":"R0","fields":[{"name":"f","type":"int"}]}"#.to_owned()];
    for n in 1..2_000 {
        let before = n - 1;
        all.push(format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"f","type":"R{before}"}}]}}"#));
    }
    let chain = format!(r#"[{}]"#, all.join(","));
    assert!(reads(&chain, &chain).is_empty());
}

#[test]
fn what_changed_is_listed_field_by_field() {
    let before = r#"{"type":"record","name":"R","fields":[
        {"name":"id","type":"int"},{"name":"gone","type":"string"},
        {"name":"in","type":{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"x","type":"float"}]}}}]}"#;
    let after = r#"{"type":"record","name":"R","fields":[
        {"name":"id","type":"long","default":0},{"name":"new","type":["null",{"type":"long","logicalType":"timestamp-millis"}]},
        {"name":"in","type":{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"x","type":"double"}]}}}]}"#;
    let said: Vec<_> = changes(&schema(before), &schema(after))
        .into_iter()
        .map(|change| {
            let side = |side: Option<String>| side.unwrap_or_else(|| "-".into());
            format!("{}: {} -> {}", change.path, side(change.before), side(change.after))
        })
        .collect();
    assert_eq!(
        said,
        [
            "id: int -> long, with a default",
            "new: - -> [null, long (timestamp-millis)]",
            "in[].x: float -> double",
            "gone: string -> -",
        ]
    );
}

#[test]
fn long_names_within_each_other_do_not_pile_up() {
    // Each of 100 levels has a name of 20 kB and a hundred fields.
    let name = "n".repeat(20_000);
    let mut schema = "\"int\"".to_owned();
    for level in 0..100 {
        let flat: Vec<_> = (0..100).map(|n| format!(r#"{{"name":"f{n}","type":"int"}},"#)).collect();
        schema = format!(
            r#"{{"type":"record","name":"R{level}","fields":[{}{{"name":"{name}","type":{schema}}}]}}"#,
            flat.concat()
        );
    }
    let schema = Schema::parse(&schema).unwrap();
    assert!(changes(&schema, &Schema::parse("\"int\"").unwrap()).len() < 300);
    let long = Schema::parse(&format!(r#"{{"type":"fixed","name":"{name}","size":1}}"#)).unwrap();
    assert!(long.say(long.root()).len() < 1000);
}
