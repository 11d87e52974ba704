use super::*;
use proptest::prelude::*;

fn json(schema: &str, datum: &[u8], fields: &[&str]) -> Result<String, RecordError> {
    let schema = RecordSchema::new(Schema::parse(schema).unwrap())?;
    assert_eq!(schema.schema().skip(datum, 0), Ok(datum.len()), "{datum:02x?}");
    let fields = Fields::new(fields.iter().copied(), schema.schema())?;
    let mut out = String::new();
    schema.decoder()?.put_json(datum, &fields, &mut out)?;
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
    Ok(out)
}

fn logical(base: &str, name: &str, datum: &[u8]) -> String {
    json(&format!(r#"{{"type":"{base}","logicalType":"{name}"}}"#), datum, &[]).unwrap()
}

fn long(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    crate::avro::varint::encode(&mut out, value);
    out
}

#[test]
fn plain_values_are_themselves() {
    for (schema, datum, expected) in [
        ("\"null\"", &[][..], "null"),
        ("\"boolean\"", &[1], "true"),
        ("\"int\"", &[1], "-1"),
        ("\"float\"", &0.1f32.to_le_bytes(), "0.1"),
        ("\"double\"", &0.1f64.to_le_bytes(), "0.1"),
        ("\"double\"", &f64::NAN.to_le_bytes(), "\"NaN\""),
        ("\"float\"", &f32::NEG_INFINITY.to_le_bytes(), "\"-Infinity\""),
        ("\"string\"", b"\x06a\"\x1b", r#""a\"\u001b""#),
        ("\"bytes\"", b"\x06A\xff\x9b", "\"A\u{ff}\\u009b\""),
        (r#"["null","int"]"#, &[2, 4], "2"),
        (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, &[2], "\"B\""),
        (r#"{"type":"array","items":"int"}"#, &[3, 4, 2, 4, 0], "[1,2]"),
        (r#"{"type":"map","values":"int"}"#, b"\x04\x02b\x02\x02a\x04\x00", r#"{"a":2,"b":1}"#),
    ] {
        assert_eq!(json(schema, datum, &[]).unwrap(), expected, "{schema}");
    }
}

#[test]
fn logical_types_are_what_people_write() {
    assert_eq!(logical("int", "date", &long(20_513)), "\"2026-03-01\"");
    assert_eq!(logical("int", "date", &long(-1)), "\"1969-12-31\"");
    assert_eq!(logical("int", "date", &long(2_147_483_647)), "2147483647");
    assert_eq!(logical("int", "time-millis", &long(45_000_007)), "\"12:30:00.007\"");
    assert_eq!(logical("int", "time-millis", &long(86_400_000)), "86400000");
    assert_eq!(logical("long", "timestamp-millis", &long(1)), "\"1970-01-01T00:00:00.001Z\"");
    assert_eq!(logical("long", "timestamp-micros", &long(-1)), "\"1969-12-31T23:59:59.999999Z\"");
    assert_eq!(logical("long", "timestamp-nanos", &long(i64::MAX)), "\"2262-04-11T23:47:16.854775807Z\"");
    assert_eq!(logical("long", "local-timestamp-millis", &long(0)), "\"1970-01-01T00:00:00.000\"");
    assert_eq!(logical("long", "timestamp-millis", &long(i64::MIN)), i64::MIN.to_string());
    assert_eq!(logical("string", "uuid", b"\x06abc"), "\"abc\"", "what is none is not refused");
    assert_eq!(logical("string", "timestamp-millis", b"\x02x"), "\"x\"");
    let fixed = |size: usize, name: &str, datum: &[u8]| {
        let more = r#","precision":9,"scale":2"#;
        json(&format!(r#"{{"type":"fixed","name":"F","size":{size},"logicalType":"{name}"{more}}}"#), datum, &[])
            .unwrap()
    };
    assert_eq!(fixed(12, "duration", &[1, 0, 0, 0, 2, 0, 0, 0, 0xbc, 0x0b, 0, 0]), "\"P1M2DT3.004S\"");
    assert_eq!(fixed(16, "uuid", &[0x11; 16]), "\"11111111-1111-1111-1111-111111111111\"");
    assert_eq!(fixed(2, "decimal", &[0x04, 0xce]), "\"12.30\"");
    assert_eq!(fixed(1, "decimal", &[0x80]), "\"-1.28\"");
    assert_eq!(fixed(1, "decimal", &[0xff]), "\"-0.01\"");
    assert_eq!(fixed(1, "decimal", &[0]), "\"0.00\"");
}

#[test]
fn only_the_fields_that_are_wanted() {
    let inner = r#"{"type":"record","name":"I","fields":[{"name":"x","type":"int"},{"name":"y","type":"int"}]}"#;
    let schema = format!(
        r#"{{"type":"record","name":"R","fields":[{{"name":"z","type":"int"}},{{"name":"a","type":["null",{inner}]}},
        {{"name":"l","type":{{"type":"array","items":"I"}}}},{{"name":"m","type":{{"type":"map","values":"I"}}}}]}}"#
    );
    let datum = [2, 2, 4, 6, 2, 8, 10, 0, 2, 2, b'k', 12, 14, 0];
    let cut = |fields: &[&str]| json(&schema, &datum, fields).unwrap();
    assert_eq!(cut(&[]), r#"{"z":1,"a":{"x":2,"y":3},"l":[{"x":4,"y":5}],"m":{"k":{"x":6,"y":7}}}"#);
    assert_eq!(cut(&["a.y", "z"]), r#"{"z":1,"a":{"y":3}}"#);
    assert_eq!(cut(&["a.y", "a"]), r#"{"a":{"x":2,"y":3}}"#);
    assert_eq!(cut(&["l.x", "m.k.y"]), r#"{"l":[{"x":4}],"m":{"k":{"y":7}}}"#);
    let wrong = json(&schema, &datum, &["a.q"]).unwrap_err().to_string();
    assert_eq!(wrong, "the schema has no field a.q; there are x, y");
    assert!(json(&schema, &datum, &["z.q"]).is_err() && json(&schema, &datum, &[""]).is_err());
}

#[test]
fn what_few_bytes_could_blow_up_is_refused() {
    for schema in [
        r#"{"type":"array","items":"null"}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null",{"type":"array",
           "items":{"type":"record","name":"E","fields":[{"name":"n","type":"null"}]}}]}]}"#,
    ] {
        assert_eq!(RecordSchema::new(Schema::parse(schema).unwrap()).unwrap_err(), RecordError::EmptyItems);
    }
}

#[test]
fn days_are_dates() {
    let (mut year, mut month, mut day) = (0, 1, 1);
    // All days from the first of year 0 to the last of year 9999.
    for days in -719_528..=2_932_896 {
        assert_eq!(date(days), Some(format!("{year:04}-{month:02}-{day:02}")));
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 => {
                if leap {
                    29
                } else {
                    28
                }
            }
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        day += 1;
        if day > length {
            (day, month) = (1, month + 1);
        }
        if month > 12 {
            (month, year) = (1, year + 1);
        }
    }
    assert_eq!((date(-719_529), date(2_932_897)), (None, None));
}

proptest! {
    #[test]
    fn decimals_are_numbers(value: i64, scale in 0u64..30, padding in 0usize..4) {
        let mut bytes = vec![if value < 0 { 0xff } else { 0 }; padding];
        let little = value.to_le_bytes();
        bytes.extend(little.iter().rev());
        let text = decimal(&bytes, scale).unwrap();
        let digits: String = text.chars().filter(|c| *c != '.').collect();
        prop_assert_eq!(digits.parse::<i64>(), Ok(value));
        prop_assert_eq!(text.rsplit_once('.').map_or(0, |(_, behind)| behind.len() as u64), scale);
    }

    #[test]
    fn any_text_is_json(text: String) {
        let mut out = String::new();
        Json { schema: &Schema::parse("\"null\"").unwrap(), out: &mut out }.text(&text);
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
