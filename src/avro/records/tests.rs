use super::text::RUN;
use super::*;
use proptest::prelude::*;

fn encoded(
    schema: &str,
    datum: &[u8],
    fields: &[&str],
    encoding: Encoding,
) -> std::result::Result<String, RecordError> {
    let schema = Schema::parse(schema).unwrap();
    assert_eq!(schema.skip(datum, 0), Ok(datum.len()), "{datum:02x?}");
    let fields = Fields::new(fields.iter().copied(), &schema)?;
    let mut out = String::new();
    let give = &mut |part: &str| {
        out.push_str(part);
        Ok(())
    };
    RecordWriter::new(&schema, &fields, encoding).write(datum, give).unwrap()?;
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
    Ok(out)
}

fn json(schema: &str, datum: &[u8], fields: &[&str]) -> std::result::Result<String, RecordError> {
    encoded(schema, datum, fields, Encoding::Plain)
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
        (r#"{"type":"map","values":"int"}"#, b"\x04\x02b\x02\x02a\x04\x00", r#"{"b":1,"a":2}"#),
    ] {
        assert_eq!(json(schema, datum, &[]).unwrap(), expected, "{schema}");
    }
}

#[test]
fn logical_types_are_what_people_write() {
    assert_eq!(logical("int", "date", &long(20_513)), "\"2026-03-01\"");
    assert_eq!(logical("int", "date", &long(-1)), "\"1969-12-31\"");
    assert_eq!(logical("int", "date", &long(2_147_483_647)), "\"+5881580-07-11\"");
    assert_eq!(logical("int", "time-millis", &long(45_000_007)), "\"12:30:00.007\"");
    assert_eq!(logical("int", "time-millis", &long(86_400_001)), "\"24:00:00.001\"");
    assert_eq!(logical("long", "timestamp-millis", &long(1)), "\"1970-01-01T00:00:00.001Z\"");
    assert_eq!(logical("long", "timestamp-micros", &long(-1)), "\"1969-12-31T23:59:59.999999Z\"");
    assert_eq!(logical("long", "timestamp-nanos", &long(i64::MAX)), "\"2262-04-11T23:47:16.854775807Z\"");
    assert_eq!(logical("long", "local-timestamp-millis", &long(0)), "\"1970-01-01T00:00:00.000\"");
    assert_eq!(logical("long", "timestamp-millis", &long(i64::MIN)), "\"-292275055-05-16T16:47:04.192Z\"");
    let year_10000 = logical("long", "timestamp-micros", &long(253_402_300_800_000_000));
    assert_eq!(year_10000, "\"+10000-01-01T00:00:00.000000Z\"");
    assert_eq!(logical("int", "time-millis", &long(-1)), "\"-00:00:00.001\"");
    assert_eq!(logical("long", "date", &long(1)), "1", "a logical type of another type");
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
    let huge = logical::decimal(&[[1].as_slice(), &[0; 5]].concat(), 3).unwrap();
    assert_eq!(huge, "1099511627.776");
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
fn values_of_no_bytes_are_written_and_bounded() {
    let nulls = r#"{"type":"array","items":"null"}"#;
    assert_eq!(json(nulls, &[4, 3, 0, 4, 0], &[]).unwrap(), "[null,null,null,null,null,null]");
    let record = r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null",{"type":"array",
           "items":{"type":"record","name":"E","fields":[{"name":"n","type":"null"}]}}]}]}"#;
    assert_eq!(json(record, &[2, 2, 0], &[]).unwrap(), r#"{"a":[{"n":null}]}"#);
    let mut endless = long(i64::MAX);
    endless.push(0);
    assert_eq!(json(nulls, &endless, &[]).unwrap_err(), RecordError::TooManyEmpty);
    // Each type holds the one before twice.
    let mut doubling = r#"{"type":"record","name":"R0","fields":[]}"#.to_owned();
    for n in 1..40 {
        let field = |name: &str, of: &str| format!(r#"{{"name":"{name}","type":{of}}}"#);
        let (a, b) = (field("a", &doubling), field("b", &format!("\"R{}\"", n - 1)));
        doubling = format!(r#"{{"type":"record","name":"R{n}","fields":[{a},{b}]}}"#);
    }
    assert_eq!(json(&doubling, &[], &[]).unwrap_err(), RecordError::TooManyEmpty);
}

#[test]
fn avros_own_encoding_names_the_branches_and_knows_no_logical_types() {
    let schema = r#"{"type":"record","name":"R","namespace":"n","fields":[
        {"name":"a","type":["null","string",{"type":"map","values":["int","null"]}]},
        {"name":"b","type":["null",{"type":"enum","name":"E","symbols":["X"]}]},
        {"name":"c","type":["R","null",{"type":"array","items":"E"}]},
        {"name":"d","type":{"type":"int","logicalType":"date"}},
        {"name":"e","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}},
        {"name":"f","type":["null",{"type":"long","logicalType":"timestamp-millis"}]}]}"#;
    let datum = [4, 4, 2, b'z', 0, 2, 2, b'a', 2, 0, 2, 0, 4, 2, 0, 0, 6, 4, 4, 0xce, 2, 8];
    let expected = concat!(
        r#"{"a":{"map":{"z":{"int":1},"a":null}},"b":{"n.E":"X"},"c":{"array":["X"]},"d":3,"#,
        "\"e\":\"\\u0004\u{ce}\",",
        r#""f":{"long":4}}"#
    );
    assert_eq!(encoded(schema, &datum, &[], Encoding::Avro).unwrap(), expected);
}

#[test]
fn a_long_record_comes_in_parts_or_not_at_all() {
    let schema = Schema::parse(r#"{"type":"array","items":"string"}"#).unwrap();
    let text = "\u{1}".repeat(PART);
    let mut datum = long(3);
    for _ in 0..3 {
        datum.extend(long(text.len() as i64));
        datum.extend(text.as_bytes());
    }
    datum.push(0);
    let (mut parts, mut all) = (0, String::new());
    let all_fields = Fields::ALL;
    let mut writer = RecordWriter::new(&schema, &all_fields, Encoding::Plain);
    let mut give = |part: &str| {
        assert!(part.len() < PART + (8 << 10));
        parts += 1;
        all.push_str(part);
        Ok(())
    };
    writer.write(&datum, &mut give).unwrap().unwrap();
    assert!(parts >= 18);
    assert_eq!(serde_json::from_str::<Vec<String>>(&all).unwrap(), vec![text; 3]);
    // Of one that turns out not to be sound nothing is given.
    datum.pop();
    assert_eq!(writer.write(&datum, &mut |_| panic!()).unwrap(), Err(RecordError::Malformed));
}

#[test]
fn what_is_not_utf8_does_not_lose_the_record() {
    let schema = Schema::parse(r#"{"type":"map","values":"string"}"#).unwrap();
    let datum = [&[4][..], &[4, b'k', 0xff], &[8, b'a', 0xe2, 0x82, b'"'], &[2, b'l', 2, b'x'], &[0]].concat();
    for encoding in [Encoding::Plain, Encoding::Avro] {
        let all_fields = Fields::ALL;
        let mut writer = RecordWriter::new(&schema, &all_fields, encoding);
        let mut out = String::new();
        let mut give = |part: &str| {
            out.push_str(part);
            Ok(())
        };
        writer.write(&datum, &mut give).unwrap().unwrap();
        assert!(writer.was_lossy());
        writer.write(&[2, 2, b'k', 2, b'x', 0], &mut give).unwrap().unwrap();
        assert!(!writer.was_lossy(), "the next record is sound");
        assert_eq!(out, "{\"k\u{fffd}\":\"a\u{fffd}\\\"\",\"l\":\"x\"}{\"k\":\"x\"}");
    }
}

#[test]
fn all_characters_and_bytes_are_escaped_as_json_and_terminals_need_it() {
    let all: String = (0..0x300).chain(0x2020..0x2070).chain(0x1_f600..0x1_f610).filter_map(char::from_u32).collect();
    // Around the ends of what is written at once.
    let texts = [all.clone(), "x".repeat(RUN - 1) + &all, "é".repeat(RUN) + &all, "\u{85}".repeat(3 * RUN)];
    for text in texts {
        let datum = [long(text.len() as i64), text.clone().into_bytes()].concat();
        let out = json("\"string\"", &datum, &[]).unwrap();
        assert!(!out.contains(char::is_control));
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
    let bytes: Vec<u8> = (0..3 * RUN).map(|at| (at * 7 + at / 256) as u8).collect();
    let datum = [long(bytes.len() as i64), bytes.clone()].concat();
    let out = json("\"bytes\"", &datum, &[]).unwrap();
    assert!(!out.contains(char::is_control));
    let read: Vec<u8> = serde_json::from_str::<String>(&out).unwrap().chars().map(|c| c as u8).collect();
    assert_eq!(read, bytes);
}

#[test]
fn what_was_not_walked_is_no_danger() {
    let endless = Schema::parse(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"R"}]}"#).unwrap();
    let all_fields = Fields::ALL;
    let mut writer = RecordWriter::new(&endless, &all_fields, Encoding::Plain);
    assert_eq!(writer.write(&[], &mut |_| Ok(())).unwrap(), Err(RecordError::TooDeep));
    let long = Schema::parse("\"long\"").unwrap();
    let mut writer = RecordWriter::new(&long, &all_fields, Encoding::Plain);
    for datum in [&[][..], &[0x80], &[0, 0]] {
        assert_eq!(writer.write(datum, &mut |_| Ok(())).unwrap(), Err(RecordError::Malformed));
    }
}

#[test]
fn days_are_dates() {
    let (mut year, mut month, mut day) = (0, 1, 1);
    // All days from the first of year 0 to the last of year 9999.
    for days in -719_528..=2_932_896 {
        assert_eq!(logical::date(days), format!("{year:04}-{month:02}-{day:02}"));
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
    assert_eq!((logical::date(-719_529), logical::date(2_932_897)), ("-0001-12-31".into(), "+10000-01-01".into()));
}

proptest! {
    #[test]
    fn decimals_are_numbers(value: i64, scale in 0u64..30, padding in 0usize..4) {
        let mut bytes = vec![if value < 0 { 0xff } else { 0 }; padding];
        let little = value.to_le_bytes();
        bytes.extend(little.iter().rev());
        let text = logical::decimal(&bytes, scale).unwrap();
        let digits: String = text.chars().filter(|c| *c != '.').collect();
        prop_assert_eq!(digits.parse::<i64>(), Ok(value));
        prop_assert_eq!(text.rsplit_once('.').map_or(0, |(_, after)| after.len() as u64), scale);
    }

    #[test]
    fn any_text_is_json(text: String) {
        let mut datum = long(text.len() as i64);
        datum.extend(text.as_bytes());
        let out = json("\"string\"", &datum, &[]).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }
}
