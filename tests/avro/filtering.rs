//! Conditions on generated records are what they are on the records as JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::avro_gen;

use avro_gen::{Generated, Random};
use avro_snap::avro::field_path::FieldPath;
use avro_snap::avro::filter::{Expression, Filter};
use avro_snap::avro::records::{Encoding, Fields, RecordWriter};
use avro_snap::avro::schema::{Kind, Schema};
use proptest::prelude::*;
use serde_json::Value;

/// A path through records and unions, not through maps: JSON knows each key once.
fn some_path(schema: &Schema, random: &mut Random) -> Option<FieldPath> {
    let (mut names, mut at) = (Vec::new(), schema.root());
    while names.len() < 60 {
        match &schema.node(at).kind {
            Kind::Union { branches } => at = *branches.get(random.below(branches.len()))?,
            Kind::Record { fields, .. } if !fields.is_empty() => {
                let field = &fields[random.below(fields.len())];
                names.push(field.name.clone());
                at = field.node;
            }
            Kind::Map { .. } | Kind::Array { .. } => return None,
            _ => break,
        }
    }
    FieldPath::new(names).ok()
}

fn at<'v>(record: &'v Value, path: &FieldPath) -> &'v Value {
    path.names().iter().fold(record, |value, name| value.get(name).unwrap_or(&Value::Null))
}

/// A literal that a value is equal to.
fn literal(value: &Value) -> Option<String> {
    match value {
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::String(text) => Some(format!("'{}'", text.replace('\'', "''"))),
        _ => None,
    }
}

/// Whether all numbers are those of the text: a reader of JSON may take the neighbour of a number for it.
fn is_exact(value: &Value, text: &str) -> bool {
    match value {
        Value::Number(number) => {
            let ends = |end: &str| text.contains(&format!("{number}{end}"));
            ends(",") || ends("}") || ends("]")
        }
        Value::Array(items) => items.iter().all(|item| is_exact(item, text)),
        Value::Object(fields) => fields.values().all(|field| is_exact(field, text)),
        _ => true,
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b || (a.is_number() && a.as_f64() == b.as_f64()),
    }
}

/// A condition, and what it is of a record; none for unknown.
type Reference = (String, Box<dyn Fn(&Value) -> Option<bool>>);

fn condition(paths: &[FieldPath], records: &[Value], random: &mut Random, depth: usize) -> Option<Reference> {
    if depth > 0 && random.one_in(2) {
        let (a, of_a) = condition(paths, records, random, depth - 1)?;
        if random.one_in(3) {
            return Some((format!("not ({a})"), Box::new(move |record| of_a(record).map(|value| !value))));
        }
        let (b, of_b) = condition(paths, records, random, depth - 1)?;
        let or = random.one_in(2);
        let join = move |record: &Value| match (of_a(record), of_b(record)) {
            (Some(value), _) | (_, Some(value)) if value == or => Some(or),
            (Some(_), Some(_)) => Some(!or),
            _ => None,
        };
        return Some((format!("({a} {} {b})", if or { "or" } else { "and" }), Box::new(join)));
    }
    let path = paths[random.below(paths.len())].clone();
    let value = at(&records[random.below(records.len())], &path).clone();
    let Some(text) = literal(&value) else {
        return Some((format!("{path} is null"), Box::new(move |record| Some(at(record, &path).is_null()))));
    };
    let shown = path.to_string();
    let known = move |record: &Value, ask: &dyn Fn(&Value) -> bool| {
        let found = at(record, &path);
        if found.is_null() { None } else { Some(ask(found)) }
    };
    let asked = value.clone();
    Some(match random.below(4) {
        0 => (format!("{shown} = {text}"), Box::new(move |record| known(record, &|found| equal(found, &asked)))),
        1 => (format!("{shown} != {text}"), Box::new(move |record| known(record, &|found| !equal(found, &asked)))),
        2 => (
            format!("{shown} in ({text}, {text})"),
            Box::new(move |record| known(record, &|found| equal(found, &asked))),
        ),
        _ => match value.as_i64() {
            // What stands in the same field is a number, too, or not comparable with one.
            Some(number) => (
                format!("{shown} < {text}"),
                Box::new(move |record| {
                    known(record, &|found| match found.as_i64() {
                        Some(found) => found < number,
                        None => found.as_f64().is_some_and(|found| found < number as f64),
                    })
                }),
            ),
            None => (
                format!("{shown} not in ({text})"),
                Box::new(move |record| known(record, &|found| !equal(found, &asked))),
            ),
        },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn conditions_are_what_they_are_on_the_records_as_json(seed: u64, depth in 1usize..5) {
        let mut random = Random::new(seed);
        let generated = Generated::record(&mut random, depth);
        let schema = Schema::parse(&generated.text).unwrap();
        let paths: Vec<_> = (0..10).filter_map(|_| some_path(&schema, &mut random)).collect();
        let all = Fields::ALL;
        let mut writer = RecordWriter::new(&schema, &all, Encoding::Plain);
        let (mut bytes, mut records) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let (datum, mut json) = (generated.datum(&mut random), String::new());
            writer.write(&datum, &mut |part| { json.push_str(part); Ok(()) }).unwrap().unwrap();
            let record = serde_json::from_str::<Value>(&json).unwrap();
            if !writer.was_lossy() && is_exact(&record, &json) {
                bytes.push(datum);
                records.push(record);
            }
        }
        if paths.is_empty() || records.is_empty() {
            return Ok(());
        }
        for _ in 0..4 {
            let Some((text, reference)) = condition(&paths, &records, &mut random, 3) else { continue };
            let expression: Expression = text.parse().unwrap_or_else(|error| panic!("{error}"));
            let mut filter = Filter::new(&expression, &schema).unwrap_or_else(|error| panic!("{error} {}", generated.text));
            for (datum, record) in bytes.iter().zip(&records) {
                let expected = reference(record) == Some(true);
                prop_assert_eq!(filter.matches(datum).unwrap(), expected, "{} of {} in {}", text, record, &generated.text);
            }
        }
    }
}
