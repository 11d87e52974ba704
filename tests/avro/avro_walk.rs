//! Random schemas and data: a walk finds exactly the ends that a writer made, and survives anything else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::avro_gen;

use std::time::{Duration, Instant};

use avro_gen::{Generated, Random};
use avro_snap::avro::schema::Schema;
use avro_snap::avro::walk::{BlockFault, WalkError};
use proptest::prelude::*;

/// What walks on and on takes longer than this; what a busy machine holds up does not.
const FAR_TOO_LONG: Duration = Duration::from_secs(60);

fn case(seed: u64, depth: usize) -> (Generated, Schema, Random) {
    let mut random = Random::new(seed);
    let generated =
        if seed.is_multiple_of(4) { Generated::any(&mut random, depth) } else { Generated::record(&mut random, depth) };
    let schema = Schema::parse(&generated.text).unwrap_or_else(|error| panic!("{error}: {}", generated.text));
    (generated, schema, random)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_walk_finds_exactly_the_ends(seed: u64, depth in 0usize..7, count in 0u64..20) {
        let (generated, schema, mut random) = case(seed, depth);
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let start = bytes.len();
            bytes.extend(generated.datum(&mut random));
            ends.push(bytes.len());
            prop_assert_eq!(schema.skip(&bytes, start), Ok(bytes.len()), "{}", &generated.text);
        }
        let mut found = Vec::new();
        let walk = schema.walk_block(&bytes, count, &mut |end| found.push(end));
        prop_assert_eq!((walk.verified, walk.end, walk.fault), (count, bytes.len(), None));
        match schema.always_empty() {
            true => prop_assert!(bytes.is_empty() && found.is_empty()),
            false => prop_assert!(found == ends && found.windows(2).all(|pair| pair[0] < pair[1])),
        }
    }

    #[test]
    fn a_datum_that_is_cut_anywhere_is_truncated(seed: u64, depth in 0usize..6) {
        let (generated, schema, mut random) = case(seed, depth);
        let bytes = generated.datum(&mut random);
        for cut in (0..bytes.len()).take(4000) {
            prop_assert_eq!(schema.skip(&bytes[..cut], 0), Err(WalkError::Truncated), "{} {}", cut, &generated.text);
        }
    }

    #[test]
    fn a_damaged_datum_never_ends_beyond_the_bytes(seed: u64, depth in 0usize..6, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (generated, schema, mut random) = case(seed, depth);
        let mut bytes = generated.datum(&mut random);
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let begin = Instant::now();
        match schema.skip(&bytes, 0) {
            Ok(end) => prop_assert!(end <= bytes.len()),
            Err(WalkError::Invalid { at, .. }) => prop_assert!(at <= bytes.len()),
            Err(WalkError::Truncated) => {}
        }
        prop_assert!(begin.elapsed() < FAR_TOO_LONG);
    }

    #[test]
    fn any_bytes_are_walked_or_refused(seed: u64, depth in 0usize..6, bytes: Vec<u8>, at in 0usize..200, declared: u64) {
        let (_, schema, _) = case(seed, depth);
        let begin = Instant::now();
        if let Ok(end) = schema.skip(&bytes, at) {
            prop_assert!(at <= end && end <= bytes.len());
        }
        let mut last = 0;
        let walk = schema.walk_block(&bytes, declared, &mut |end| last = end);
        prop_assert!(walk.end == last && last <= bytes.len());
        prop_assert!(walk.fault.is_some() || walk.verified == declared);
        prop_assert_eq!(walk.fault == Some(BlockFault::Trailing), walk.verified == declared && walk.end < bytes.len());
        prop_assert!(begin.elapsed() < FAR_TOO_LONG);
    }

    #[test]
    fn apache_avro_agrees_on_the_canonical_form_and_the_data(seed: u64, depth in 0usize..6) {
        let (generated, schema, mut random) = case(seed, depth);
        let form = schema.canonical_form();
        prop_assert_eq!(&Schema::parse(&form).unwrap().canonical_form(), &form);
        let apache = apache_avro::Schema::parse_str(&generated.text_without_logical()).map_err(|error| TestCaseError::fail(format!("{error}: {}", &generated.text)))?;
        prop_assert_eq!(&apache.canonical_form(), &form);
        let rabin = apache.fingerprint::<apache_avro::rabin::Rabin>();
        prop_assert_eq!(schema.fingerprint().to_le_bytes().to_vec(), rabin.bytes);
        // And it takes the data of the generator for what they are, so the generator does not err with the walk.
        let bytes = generated.datum(&mut random);
        let mut rest = bytes.as_slice();
        let read = apache_avro::reader::datum::GenericDatumReader::builder(&apache).build().and_then(|reader| reader.read_value(&mut rest));
        prop_assert!(read.is_ok(), "{:?}: {}", read, &generated.text);
        prop_assert!(rest.is_empty(), "{} left: {}", rest.len(), &generated.text);
    }

    #[test]
    fn any_text_is_a_schema_or_refused(text: String, seed: u64, cut in any::<prop::sample::Index>(), other: char) {
        let _ = Schema::parse(&text);
        let (generated, ..) = case(seed, 4);
        let at = cut.index(generated.text.len());
        let _ = Schema::parse(&generated.text[..at]);
        let damaged = format!("{}{other}{}", &generated.text[..at], &generated.text[at + 1..]);
        if let Ok(schema) = Schema::parse(&damaged) {
            let _ = (schema.fingerprint(), schema.skip(text.as_bytes(), 0));
        }
    }
}

/// The properties above say little if what they are given is small or alike.
#[test]
fn the_generator_makes_all_kinds_of_things() {
    let (mut largest, mut total, mut seen) = (0, 0, std::collections::BTreeMap::new());
    for seed in 0..1000 {
        let (generated, schema, mut random) = case(seed, 5);
        let bytes = generated.datum(&mut random);
        (largest, total) = (largest.max(bytes.len()), total + bytes.len());
        for word in [
            "\"null\"",
            "\"boolean\"",
            "\"fixed\"",
            "\"enum\"",
            "\"array\"",
            "\"map\"",
            "\"record\"",
            ":[{",
            "logicalType",
        ] {
            *seen.entry(word).or_insert(0) += usize::from(generated.text.contains(word));
        }
        // Records that lead back to themselves.
        let form = schema.canonical_form();
        *seen.entry("recursion").or_insert(0) += usize::from(
            (0..50).any(|n| form.contains(&format!(".T{n}\"]")) || form.contains(&format!(".T{n}\",\"null\"]"))),
        );
    }
    assert!(largest > 5_000 && largest < 5_000_000 && total > 100_000, "{largest} {total} {seen:?}");
    assert!(seen.values().all(|count| *count > 30), "{seen:?}");
}
