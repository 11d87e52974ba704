use super::*;
use crate::avro::varint;
use proptest::prelude::*;

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
    {"name":"id","type":"long"},
    {"name":"status","type":{"type":"enum","name":"Status","symbols":["open","closed"]}},
    {"name":"note","type":["null","string"]},
    {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}},
    {"name":"rate","type":["null","double","string"]},
    {"name":"day","type":{"type":"int","logicalType":"date"}},
    {"name":"made","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"customer","type":["null",{"type":"record","name":"Customer","fields":[
        {"name":"unit price","type":"float"},
        {"name":"key","type":{"type":"fixed","name":"Key","size":16,"logicalType":"uuid"}},
        {"name":"active","type":"boolean"}]}]},
    {"name":"tags","type":{"type":"array","items":"string"}},
    {"name":"in","type":"int"}]}"#;

fn text(out: &mut Vec<u8>, value: &[u8]) {
    varint::encode(out, value.len() as i64);
    out.extend_from_slice(value);
}

/// Order 4711, open, without a note, for 12.30, at a rate of 0.1, of 2026-03-01, made at noon, of an active customer.
fn order() -> Vec<u8> {
    let mut out = Vec::new();
    for number in [4711, 0, 0] {
        varint::encode(&mut out, number);
    }
    text(&mut out, &[4, 206]);
    varint::encode(&mut out, 1);
    out.extend_from_slice(&0.1f64.to_le_bytes());
    for number in [20_513, 1_772_366_400_000, 1] {
        varint::encode(&mut out, number);
    }
    out.extend_from_slice(&2.5f32.to_le_bytes());
    out.extend_from_slice(&[0xab; 16]);
    out.push(1);
    for number in [0, 7] {
        varint::encode(&mut out, number);
    }
    out
}

fn filter(text: &str) -> Result<Filter, FilterError> {
    Filter::new(&text.parse()?, &Schema::parse(ORDER).unwrap())
}

fn is(text: &str) -> bool {
    filter(text).unwrap_or_else(|error| panic!("{error}")).matches(&order()).unwrap()
}

#[test]
fn each_type_compares_with_what_it_is_printed_as() {
    for text in [
        "id = 4711",
        "id == 4711",
        "id <> 4712",
        "id != 4710.5",
        "id > 4710.5",
        "id >= 4711",
        "id<4712",
        "id<=4711",
        "5 < id",
        "id between 4000 and 5000",
        "id in (1, 4711)",
        "id not in (1,2)",
        "id = 4711.0",
        "id < 1e30",
        "status = 'open'",
        "status = \"open\"",
        "'open' = status",
        "status in ('open', 'gone')",
        "status > 'closed'",
        "note is null",
        "note IS NULL",
        "id is not null",
        "price = 12.3",
        "price = '12.30'",
        "price > 12.299999999",
        "price < 1e20",
        "rate = 0.1",
        "rate < 1",
        "rate != 'x'",
        "day = '2026-03-01'",
        "day > '2026-02-28'",
        "day = 20513",
        "made = '2026-03-01T12:00:00Z'",
        "made > '2026-03-01'",
        "made < '2026-03-01 13:00'",
        "made >= 1772366400000",
        "customer.`unit price` = 2.5",
        "\"customer\".\"unit price\" > 2",
        "customer.active",
        "not customer.active = false",
        "customer.key = 'ABABABAB-abab-abab-abab-abababababab'",
        "customer is not null",
        "`in` = 7",
        "tags is not null",
    ] {
        assert!(is(text), "{text}");
    }
    for text in [
        "id = 4712",
        "id in (1,2)",
        "note = 'x'",
        "note != 'x'",
        "not note = 'x'",
        "note like '%'",
        "status = 'closed'",
        "rate = '0.1'",
        "customer.active = false",
        "note in ('a')",
        "note not in ('a')",
    ] {
        assert!(!is(text), "{text}");
    }
}

#[test]
fn conditions_are_joined_as_in_sql() {
    assert!(is("id = 1 or id = 4711 and status = 'open'"));
    assert!(!is("(id = 4711 or id = 1) and status = 'closed'"));
    assert!(is("not (id = 1) and not id = 2"));
    assert!(is("NOT id = 1 && (id = 4711 || id = 5)"));
    // Unknown or true is true; unknown and false is false, so its opposite is true; unknown alone is neither.
    assert!(is("note = 'x' or id = 4711") && is("not (note = 'x' and id = 1)"));
    assert!(!is("note = 'x' and id = 4711") && !is("not (note = 'x' and id = 4711)"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let wrong = |text: &str| {
        let error = filter(text).map(|_| ()).unwrap_err();
        (error.at, error.reason.to_string())
    };
    for (text, at, part) in [
        ("", 0, "name of a field"),
        ("id =", 4, "a value is expected"),
        ("id = open", 5, "single quotes: 'open'"),
        ("id = 1 id = 2", 7, "`and`, `or`"),
        ("(id = 1", 0, "not closed"),
        ("id = 1)", 6, "not opened"),
        ("note = null", 7, "`is null`"),
        ("id is 5", 5, "`null` or `not null`"),
        ("'ü' = note and id in 5", 21, "in parentheses"),
        ("note = 'x", 7, "quote"),
        ("and = 1", 0, "backquotes"),
        ("id = 12x", 5, "no number"),
        ("nam = 1", 0, "there are id, status, note"),
        ("id = 1 and customer.nam = 1", 11, "there are unit price, key, active"),
        ("tags.x = 1", 0, "within an array"),
        ("id = 'x'", 0, "id is a long: it compares with numbers"),
        ("note = 5", 0, "note is a string: it compares with texts in single quotes"),
        ("day = '1.3.2026'", 0, "day is an int (date): it compares with texts like '2026-03-01'"),
        ("customer = 5", 0, "only what is in it"),
        ("id like '4%'", 0, "`like` is for texts"),
        ("id", 0, "compares with numbers"),
    ] {
        let (found, reason) = wrong(text);
        assert!(found == at && reason.contains(part), "{text}: {found}: {reason}");
    }
    assert!(wrong(&"(".repeat(1000)).1.contains("too deep"));
    assert!(wrong(&"not ".repeat(1000)).1.contains("too deep"));
    let text = filter("nam = 1").map(|_| ()).unwrap_err().to_string();
    assert!(text.ends_with("at character 1 of the condition \"nam = 1\""), "{text}");
}

#[test]
fn keys_are_values_of_the_type_that_the_field_has() {
    let is = |keys: &[&str]| {
        let expression = Expression::of_keys(keys.iter().copied()).unwrap();
        Filter::new(&expression, &Schema::parse(ORDER).unwrap()).unwrap().matches(&order()).unwrap()
    };
    assert!(is(&["id=4711"]) && is(&["id=4711,status=open"]) && is(&["id=1", "id=4711"]));
    assert!(is(&["status='open' , id = 4711"]) && is(&["day=2026-03-01"]) && is(&["price=12.3,customer.active=true"]));
    assert!(!is(&["id=4711,status=closed"]) && !is(&["id=1", "id=2"]));
    for (key, at) in [("", 0), ("id", 2), ("id=", 3), ("id=1,", 5), ("id='x' y", 7)] {
        assert_eq!(Expression::of_keys([key]).map_err(|error| error.at), Err(at), "{key}");
    }
    assert!(Expression::of_keys([]).is_err());
    let expression = Expression::of_keys(["id=x"]).unwrap();
    assert!(Filter::new(&expression, &Schema::parse(ORDER).unwrap()).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_condition_or_refused(text: String, pieces in prop::collection::vec(0usize..22, 0..20)) {
        let words = ["id", "note", "customer.active", "=", "<", "and", "or", "not", "(", ")", "in", "is", "null", "'x'", "5", ",",
            "like", "between", "`", "'", "-", "."];
        let joined = pieces.iter().map(|piece| words[*piece]).collect::<Vec<_>>().join(" ");
        for text in [text, joined] {
            if let Ok(mut filter) = filter(&text) {
                let _ = filter.matches(&order());
            }
            let _ = Expression::of_keys([text.as_str()]);
        }
    }

    #[test]
    fn any_bytes_match_or_not_or_are_refused(bytes: Vec<u8>) {
        let _ = filter("id = 1 or note like 'a%' or price > 5 or rate = 1 or customer.key = 'x' or status = 'open'").map(|mut filter| filter.matches(&bytes));
        let _ = filter("`in` in (1, 2) or customer.`unit price` = 5 or made > '2020-01-01'").unwrap().matches(&bytes);
    }
}
