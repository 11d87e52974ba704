use super::*;
use proptest::prelude::*;

#[test]
fn what_other_writers_write_is_read() {
    for text in ["\u{feff}\"int\"", "\"int\" and more", "\"int\"\0\0", " /* a */ // b\n \"int\" // c"] {
        assert!(matches!(parse(text), Ok((Json::Text(name), _)) if name == "int"), "{text}");
    }
    for value in
        ["NaN", "-Infinity", "Infinity", "1e999", "-0.5E-3", "[[NaN]]", r#"{"a":[Infinity,{"b":null}],"c":{}}"#]
    {
        let text = format!(r#"{{"type":"int","doc":{value},"default":{value}}}"#);
        let Ok((Json::Object(object), None)) = parse(&text) else { panic!("{text}") };
        assert_eq!(object.text("type"), Some("int"));
        assert!(matches!(object.get("default"), Some(Json::Other)));
    }
    assert!(
        matches!(parse(r#""\ud83d\ude00\ud800\u00e4\udc00x""#), Ok((Json::Text(text), None)) if text == "😀\u{fffd}ä\u{fffd}x")
    );
}

#[test]
fn what_no_reader_reads_is_refused() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "[01]",
        "-",
        "1.",
        "1e",
        ".5",
        "\"a",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "nul",
        "/* \"int\"",
        "{\"doc\":[}",
        "{\"doc\":{1:2}}",
        "{\"a\" 1}",
        "[1 2]",
    ] {
        assert!(matches!(parse(text), Err(SchemaError::Json(_))), "{text}: {:?}", parse(text));
    }
}

#[test]
fn many_tiny_values_do_not_pile_up() {
    let Ok((Json::List(list), None)) = parse(&format!("[{}0]", "0,".repeat(1 << 20))) else { panic!() };
    assert_eq!(list.len(), 1);
    assert_eq!(parse(&format!("[{}[]]", "[],".repeat(1 << 20))).unwrap_err(), SchemaError::TooMany);
}

/// Any JSON.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let key = prop_oneof![any::<String>(), Just("type".to_owned()), Just("default".to_owned())];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn all_json_is_read(value in any_json()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let mut parser = Parser::new(&text);
            prop_assert!(parser.value(Keep::All, 0).is_ok(), "{}", text);
            prop_assert_eq!(parser.at, text.len());
            let mut parser = Parser::new(&text);
            parser.pass_over().unwrap();
            prop_assert_eq!(parser.at, text.len());
        }
    }

    /// A text that serde_json refuses is refused, unless for what is taken on purpose.
    #[test]
    fn no_more_than_that_is_read(value in any_json(), at: prop::sample::Index, to in 0x20u8..0x7f) {
        let mut bytes = value.to_string().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at].is_ascii());
        bytes[at] = to;
        let text = String::from_utf8(bytes).unwrap();
        let mut parser = Parser::new(&text);
        let whole = parser.pass_over().is_ok() && parser.at == text.len();
        prop_assert_eq!(whole, serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
    }
}
