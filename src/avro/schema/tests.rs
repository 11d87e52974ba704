use super::*;

fn parse(text: &str) -> Schema {
    Schema::parse(text).unwrap()
}

fn refused(text: &str) -> SchemaError {
    Schema::parse(text).unwrap_err()
}

/// Canonical form and fingerprint as apache-avro computes them.
fn of_apache(text: &str) -> (String, u64) {
    let schema = apache_avro::Schema::parse_str(text).unwrap();
    let rabin = schema.fingerprint::<apache_avro::rabin::Rabin>();
    (schema.canonical_form(), u64::from_le_bytes(rabin.bytes[..8].try_into().unwrap()))
}

#[test]
fn the_fingerprints_of_the_specifications_test_data() {
    // share/test/data/schema-tests.txt of Apache Avro, where they are written as signed numbers.
    for (text, fingerprint) in [
        ("\"null\"", 7195948357588979594i64),
        ("{\"type\":\"null\"}", 7195948357588979594),
        ("\"boolean\"", -6970731678124411036),
        ("\"int\"", 8247732601305521295),
        ("\"long\"", -3434872931120570953),
        ("\"float\"", 5583340709985441680),
        ("\"double\"", -8181574048448539266),
        ("\"bytes\"", 5746618253357095269),
        ("\"string\"", -8142146995180207161),
        ("[  ]", -1241056759729112623),
        ("[ \"int\"  ]", -5232228896498058493),
        ("[ \"int\" , {\"type\":\"boolean\"} ]", 5392556393470105090),
    ] {
        assert_eq!(parse(text).fingerprint() as i64, fingerprint, "{text}");
    }
}

#[test]
fn canonical_form_keeps_what_tells_how_data_are_read() {
    let schema = parse(
        r#"{"name":"R","namespace":"org.example","doc":"\"a\" doc","type":"error","aliases":["Old"],"fields":[
          {"doc":"x","default":{"deep":[[[]]]},"name":"a","type":{"type":{"type":"long","logicalType":"timestamp-millis"}},"order":"ignore"},
          {"name":"b","type":{"type":"enum","name":"E","symbols":["A","B"],"default":"A"}},
          {"name":"c","type":{"type":"map","values":{"type":"array","items":"E"}}},
          {"name":"d","type":{"type":"fixed","size":"016","name":"other.F","logicalType":"decimal","precision":4}},
          {"name":"e","type":["null","R","org.example.E","other.F"],"default":null}]}"#,
    );
    let expected = concat!(
        r#"{"name":"org.example.R","type":"record","fields":[{"name":"a","type":"long"},"#,
        r#"{"name":"b","type":{"name":"org.example.E","type":"enum","symbols":["A","B"]}},"#,
        r#"{"name":"c","type":{"type":"map","values":{"type":"array","items":"org.example.E"}}},"#,
        r#"{"name":"d","type":{"name":"other.F","type":"fixed","size":16}},"#,
        r#"{"name":"e","type":["null","org.example.R","org.example.E","other.F"]}]}"#
    );
    assert_eq!(schema.canonical_form(), expected);
    assert_eq!(parse(expected).canonical_form(), expected);
}

#[test]
fn what_every_reader_refuses_is_a_flaw_and_no_obstacle() {
    for (text, flaw) in [
        (r#"{"type":"enum","name":"E","symbols":["A","B","A"]}"#, r#"the enum "E" names the symbol "A" twice"#),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"f","type":["null",
               {"type":"enum","name":"n.E","symbols":["A"],"default":"Z"}]}]}"#,
            r#"the default "Z" of the enum "n.E" is not one of its symbols"#,
        ),
        ("\u{feff}\"int\"", "a byte order mark before the JSON"),
        (r#"{"type":"double","doc":-NaN}"#, "-NaN is no value of JSON"),
        (
            r#"{"type":"record","name":"R","fields":[{"name":"f","type":"int","default":+Infinity}]}"#,
            "+Infinity is no value of JSON",
        ),
    ] {
        assert_eq!(parse(text).flaw().map(ToString::to_string).as_deref(), Some(flaw), "{text}");
    }
    let long = "x".repeat(1 << 20);
    let schema = parse(&format!(r#"{{"type":"enum","name":"{long}","symbols":["{long}","{long}"]}}"#));
    assert!(schema.flaw().unwrap().to_string().len() < 300);
}

/// At least one of fastavro, Python avro, Java, Rust and C# reads files with these.
#[test]
fn what_some_reader_accepts_is_no_flaw() {
    let fields = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let field = |rest: &str| fields(&format!(r#"{{"name":"f",{rest}}}"#));
    for text in [
        r#"{"type":"enum","name":"E","symbols":["a-b","1",""]}"#.to_owned(),
        r#"{"type":"enum","name":"E","symbols":["A"],"default":null}"#.into(),
        r#"{"type":"fixed","name":"F","size":0}"#.into(),
        r#"["null",["int"]]"#.into(),
        r#"["int","int"]"#.into(),
        r#"[{"type":"array","items":"int"},{"type":"array","items":"long"}]"#.into(),
        r#"{"type":{"type":"int"}}"#.into(),
        r#"/* by hand */ "int""#.into(),
        r#""int" // and more"#.into(),
        r#"{"type":"record","name":"a-b","namespace":"1..","fields":[]}"#.into(),
        r#"{"type":"record","name":"R","aliases":["a-b",1],"fields":[]}"#.into(),
        r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":5}"#.into(),
        fields(r#"{"name":"f","type":"int"},{"name":"f","type":"string"}"#),
        fields(r#"{"name":"","type":"int"},{"name":"a b","type":"int"}"#),
        field(r#""type":"int","default":"x""#),
        field(r#""type":["null","int"],"default":3"#),
        field(r#""type":"double","default":NaN"#),
        field(r#""type":"double","default":-Infinity"#),
        field(r#""type":"int","order":"up""#),
        field(r#""type":"int","aliases":"ab""#),
    ] {
        assert_eq!(parse(&text).flaw(), None, "{text}");
    }
}

// Without logical types: apache-avro 0.22 leaves `{"type":"int"}` and the precision of decimals in its canonical form,
// which the specification's rules PRIMITIVES and STRIP say must go.
#[test]
fn apache_avro_agrees() {
    for text in [
        r#"{"type":"record","name":"a.b.Outer","namespace":"ignored","fields":[
            {"name":"x","type":{"type":"record","name":"Inner","fields":[{"name":"y","type":["null","Outer"]}]}},
            {"name":"z","type":{"type":"record","name":"Else","namespace":"c","fields":[{"name":"w","type":"a.b.Inner"}]}}]}"#,
        r#"{"type":"array","items":{"type":"map","values":{"type":"fixed","name":"F","namespace":"n","size":0}}}"#,
        r#"{"type":"enum","name":"Suit","symbols":["SPADES","HEARTS"],"doc":"cards"}"#,
        r#"["null",{"type":"bytes"},{"type":{"type":"int"}}]"#,
    ] {
        let schema = parse(text);
        assert_eq!((schema.canonical_form(), schema.fingerprint()), of_apache(text), "{text}");
    }
}

#[test]
fn names_are_resolved_and_logical_types_kept() {
    let schema = parse(
        r#"{"type":"record","name":"List","fields":[{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
           {"name":"n","type":"long"},{"name":"next","type":["null","List"]}]}"#,
    );
    let Kind::Record { name, fields } = &schema.node(schema.root()).kind else { panic!() };
    assert_eq!((name.as_str(), fields[2].name.as_str()), ("List", "next"));
    let at = schema.node(fields[0].node);
    assert_eq!((at.kind.clone(), at.logical.as_deref()), (Kind::Long, Some("timestamp-millis")));
    assert_eq!(schema.node(fields[1].node).logical, None);
    let Kind::Union { branches } = &schema.node(fields[2].node).kind else { panic!() };
    assert_eq!(branches[1], schema.root());
}

#[test]
fn a_name_is_looked_for_in_its_namespace_and_then_outside() {
    let schema = parse(
        r#"{"type":"record","name":"Top","fields":[
            {"name":"a","type":{"type":"fixed","name":"F","size":1}},
            {"name":"b","type":{"type":"record","name":"In","namespace":"x.y","fields":[
                {"name":"c","type":{"type":"fixed","name":"F","size":2}},{"name":"d","type":"F"},{"name":"e","type":"Top"},
                {"name":"f","type":{"type":"fixed","name":"G","namespace":"","size":4}}]}},
            {"name":"g","type":["null","x.y.F"]},{"name":"h","type":"G"}]}"#,
    );
    let form = schema.canonical_form();
    assert!(
        form.contains(r#"{"name":"c","type":{"name":"x.y.F","type":"fixed","size":2}},{"name":"d","type":"x.y.F"}"#)
    );
    assert!(form.contains(r#"{"name":"e","type":"Top"},{"name":"f","type":{"name":"G","type":"fixed","size":4}}"#));
}

#[test]
fn what_takes_no_bytes_is_known() {
    let record = |fields: &str| format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#);
    let fixed = |size: u64| format!(r#"{{"type":"fixed","name":"F","size":{size}}}"#);
    let field = |name: &str, of: &str| format!(r#"{{"name":"{name}","type":{of}}}"#);
    for (text, empty) in [
        ("\"null\"".to_owned(), true),
        (fixed(0), true),
        (fixed(1), false),
        (record(""), true),
        (record(&[field("a", "\"null\""), field("b", &fixed(0)), field("c", "\"F\"")].join(",")), true),
        (record(&field("a", "\"boolean\"")), false),
        (record(&field("a", "\"R\"")), false),
        (record(&field("a", "[\"null\"]")), false),
        (record(&field("a", r#"{"type":"array","items":"null"}"#)), false),
        (r#"{"type":"enum","name":"E","symbols":["ONE"]}"#.to_owned(), false),
        ("[]".to_owned(), false),
    ] {
        assert_eq!(parse(&text).always_empty(), empty, "{text}");
    }
}

#[test]
fn what_is_no_schema_is_refused_with_its_reason() {
    let attribute = |of, attribute| SchemaError::Attribute { of, attribute };
    assert!(matches!(refused("{"), SchemaError::Json(_)));
    assert!(matches!(refused("int"), SchemaError::Json(_)));
    assert_eq!(refused("7"), SchemaError::NotASchema);
    assert_eq!(refused("{}"), attribute("a schema", "type"));
    assert_eq!(refused("\"Nowhere\""), SchemaError::UnknownName("Nowhere".into()));
    assert_eq!(refused(r#"{"type":"record","name":"R"}"#), attribute("a record", "fields"));
    assert_eq!(refused(r#"{"type":"record","name":7,"fields":[]}"#), attribute("a record", "name"));
    assert_eq!(refused(r#"{"type":"record","name":"R","fields":[{"name":"a"}]}"#), attribute("a field", "type"));
    assert_eq!(refused(r#"{"type":"enum","name":"E","symbols":[1]}"#), attribute("an enum", "symbols"));
    assert_eq!(refused(r#"{"type":"fixed","name":"F","size":-1}"#), attribute("a fixed", "size"));
    assert_eq!(refused(r#"{"type":"array"}"#), attribute("an array", "items"));
    assert_eq!(refused(r#"{"type":"map","values":null}"#), SchemaError::NotASchema);
    let twice = r#"[{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":2}]"#;
    assert_eq!(refused(twice), SchemaError::DefinedTwice("F".into()));
    let twice = r#"[{"type":"record","name":"F","fields":[]},{"type":"record","name":"F","fields":[]}]"#;
    assert_eq!(refused(twice), SchemaError::DefinedTwice("F".into()));
}

#[test]
fn schemas_that_common_writers_write() {
    // fastavro writes defaults that JSON does not know.
    let odd = r#"{"type":"record","name":"R","fields":[{"name":"d","type":"double","default":NaN},
        {"name":"e","type":"float","default":-Infinity}]} behind"#;
    assert!(parse(odd).has_default(parse(odd).root(), 1));
    // avsc knows types without a name.
    let form = concat!(
        r#"{"type":"record","fields":[{"name":"a","type":["null",{"type":"record","fields":[]}]},"#,
        r#"{"name":"b","type":{"type":"fixed","size":2}}]}"#
    );
    assert_eq!(parse(form).canonical_form(), form);
    // Java takes a fixed or an enum that is defined again, as long as it is the same.
    let again = parse(
        r#"{"type":"record","name":"R","fields":[
            {"name":"a","type":{"type":"fixed","name":"F","size":1,"logicalType":"x"}},
            {"name":"b","type":{"type":"fixed","name":"F","size":1}},{"name":"c","type":"F"},
            {"name":"d","type":{"type":"enum","name":"E","symbols":["A"]}},
            {"name":"e","type":{"type":"enum","name":"E","symbols":["A"]}}]}"#,
    );
    let once = parse(
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},
            {"name":"b","type":"F"},{"name":"c","type":"F"},
            {"name":"d","type":{"type":"enum","name":"E","symbols":["A"]}},{"name":"e","type":"E"}]}"#,
    );
    assert_eq!(again.canonical_form(), once.canonical_form());
    let Kind::Record { fields, .. } = &again.node(again.root()).kind else { panic!() };
    assert_eq!(again.node(fields[0].node).logical.as_deref(), Some("x"));
    assert_eq!(again.node(fields[1].node).logical, None);
}

#[test]
fn names_may_be_used_before_they_are_defined() {
    let schema = parse(
        r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":["null","Later"]},
            {"name":"b","type":{"type":"array","items":"n.Later"}},{"name":"c","type":"Empty"},
            {"name":"d","type":{"type":"record","name":"Later","fields":[{"name":"x","type":["null","R"]}]}},
            {"name":"e","type":{"type":"record","name":"Empty","namespace":"","fields":[{"name":"n","type":"null"}]}}]}"#,
    );
    let expected = concat!(
        r#"{"name":"n.R","type":"record","fields":[{"name":"a","type":["null",{"name":"n.Later","type":"record","#,
        r#""fields":[{"name":"x","type":["null","n.R"]}]}]},{"name":"b","type":{"type":"array","items":"n.Later"}},"#,
        r#"{"name":"c","type":{"name":"Empty","type":"record","fields":[{"name":"n","type":"null"}]}},"#,
        r#"{"name":"d","type":"n.Later"},{"name":"e","type":"Empty"}]}"#
    );
    assert_eq!(schema.canonical_form(), expected);
    // A Later that holds null, one Later in the array, nothing, one more Later, nothing.
    assert_eq!(schema.skip(&[2, 0, 2, 0, 0, 0], 0), Ok(6));
    // The name in its namespace comes before one without, wherever they are defined.
    let shadow = parse(
        r#"["null",{"type":"fixed","name":"F","size":1},{"type":"record","name":"n.R","fields":[{"name":"a","type":"F"},
            {"name":"b","type":{"type":"fixed","name":"F","size":3}}]}]"#,
    );
    assert_eq!(shadow.skip(&[4, 0, 0, 0, 0, 0, 0], 0), Ok(7));
    assert_eq!(refused(r#"["null","a.B"]"#), SchemaError::UnknownName("a.B".into()));
    // Each record holds the next one: that nests as deep as if they were written within each other.
    let chain = |count: usize| {
        let record = |n: usize| match n + 1 == count {
            true => format!(r#"{{"type":"record","name":"R{n}","fields":[]}}"#),
            false => format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":"R{}"}}]}}"#, n + 1),
        };
        format!("[{}]", (0..count).map(record).collect::<Vec<_>>().join(","))
    };
    assert!(Schema::parse(&chain(200)).is_ok_and(|schema| schema.is_empty(NodeId(1))));
    assert_eq!(refused(&chain(9000)), SchemaError::TooDeep);
}

/// Records within records, as deep as they may stand.
#[test]
fn deep_schemas_need_little_stack() {
    let mut deep = "\"int\"".to_owned();
    for n in 0..MAX_DEPTH - 1 {
        deep = format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":{deep}}}]}}"#);
    }
    let work = move || {
        use crate::avro::changes::changes;
        use crate::avro::compat::{Comparison, Verdict};
        let schema = parse(&deep);
        assert_eq!(schema.canonical_form().matches("record").count(), MAX_DEPTH - 1);
        assert_eq!(schema.skip(&[2], 0), Ok(1));
        assert_eq!(Comparison::new(&schema, &schema).verdict(), Verdict::Full);
        assert!(changes(&schema, &schema).is_empty());
    };
    // Threads have 2 MiB, of which others may have used something.
    std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn schemas_have_limits() {
    let nested = |depth: usize| format!("{}\"int\"{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Schema::parse(&nested(MAX_DEPTH - 1)).is_ok());
    assert_eq!(refused(&nested(MAX_DEPTH)), SchemaError::TooDeep);
    assert_eq!(refused(&nested(100_000)), SchemaError::TooDeep);
    assert_eq!(refused(&" ".repeat(MAX_TEXT + 1)), SchemaError::TooLong(MAX_TEXT + 1));

    let fixed = |n: usize| format!(r#"{{"type":"fixed","name":"F{n}","size":1}}"#);
    let many = |count| format!("[{}]", (0..count).map(fixed).collect::<Vec<_>>().join(","));
    assert!(Schema::parse(&many(MAX_NAMES)).is_ok());
    assert_eq!(refused(&many(MAX_NAMES + 1)), SchemaError::TooMany);
    assert_eq!(refused(&format!("[{}[]]", "[],".repeat(MAX_NODES))), SchemaError::TooMany);

    let long = "n".repeat(1 << 20);
    let inherited = |count| {
        let fields: Vec<_> = (0..count).map(|n| format!(r#"{{"name":"f","type":{}}}"#, fixed(n))).collect();
        format!(r#"{{"type":"record","name":"R","namespace":"{long}","fields":[{}]}}"#, fields.join(","))
    };
    assert!(Schema::parse(&inherited(10)).is_ok());
    assert_eq!(refused(&inherited(20)), SchemaError::TooMany);
}
