use super::*;

fn schema(text: &str) -> Schema {
    Schema::parse(text).unwrap()
}

fn longs(numbers: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    numbers.iter().for_each(|number| varint::encode(&mut out, *number));
    out
}

fn wrong(text: &str, bytes: &[u8]) -> (Reason, usize) {
    match schema(text).skip(bytes, 0) {
        Err(WalkError::Invalid { reason, at }) => (reason, at),
        other => panic!("{other:?}"),
    }
}

const CUT: Result<usize, WalkError> = Err(WalkError::Truncated);

#[test]
fn each_type_ends_where_the_specification_says() {
    for (text, bytes) in [
        ("\"null\"", &[][..]),
        ("\"boolean\"", &[1]),
        ("\"int\"", &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("\"long\"", &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
        ("\"float\"", &[1, 2, 3, 4]),
        ("\"double\"", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("\"bytes\"", &[6, 1, 2, 3]),
        ("\"string\"", &[6, b'f', b'o', b'o']),
        (
            r#"{"type":"record","name":"test","fields":[{"name":"a","type":"long"},{"name":"b","type":"string"}]}"#,
            &[0x36, 6, 0x66, 0x6f, 0x6f],
        ),
        (r#"{"type":"enum","name":"Foo","symbols":["A","B","C","D"]}"#, &[6]),
        (r#"{"type":"array","items":"long"}"#, &[4, 6, 0x36, 0]),
        (r#"{"type":"array","items":"long"}"#, &[3, 4, 6, 0x36, 0]),
        (r#"{"type":"array","items":"double"}"#, &[2, 1, 2, 3, 4, 5, 6, 7, 8, 1, 16, 1, 2, 3, 4, 5, 6, 7, 8, 0]),
        (r#"{"type":"map","values":"null"}"#, &[2, 2, b'k', 0]),
        ("[\"null\",\"string\"]", &[0]),
        ("[\"null\",\"string\"]", &[2, 2, 0x61]),
        ("[\"string\",\"null\"]", &[2]),
        ("[\"string\",\"null\"]", &[0x80, 0, 2, 0x61]),
        ("[\"int\",\"long\",\"null\"]", &[2, 0x81, 1]),
        (r#"{"type":"fixed","name":"md5","size":16}"#, &[9; 16]),
    ] {
        let schema = schema(text);
        let with_tail = [bytes, &[0xff; 20]].concat();
        assert_eq!(schema.skip(bytes, 0), Ok(bytes.len()), "{text}");
        assert_eq!(schema.skip(&with_tail, 0), Ok(bytes.len()), "{text}");
        for cut in 0..bytes.len() {
            assert_eq!(schema.skip(&bytes[..cut], 0), CUT, "{text} at {cut}");
        }
        assert_eq!(schema.skip(bytes, bytes.len() + 1), CUT, "{text}");
        assert_eq!(schema.skip(bytes, usize::MAX), CUT, "{text}");
    }
}

#[test]
fn what_is_wrong_is_reported_with_its_place() {
    let array = r#"{"type":"array","items":"int"}"#;
    assert_eq!(wrong("\"long\"", &[0xff; 10]), (Reason::Number, 0));
    assert_eq!(wrong("\"string\"", &[1]), (Reason::NegativeLength, 0));
    assert_eq!(wrong("\"string\"", &longs(&[i64::MIN])), (Reason::NegativeLength, 0));
    assert_eq!(wrong("[\"null\",\"int\"]", &[4]), (Reason::Branch, 0));
    assert_eq!(wrong("[\"null\",\"int\"]", &[1]), (Reason::Branch, 0));
    assert_eq!(wrong("[]", &[0]), (Reason::Branch, 0));
    assert_eq!(wrong(r#"{"type":"enum","name":"E","symbols":["A"]}"#, &[2]), (Reason::Symbol, 0));
    assert_eq!(wrong(array, &longs(&[1, 5, i64::MIN])), (Reason::Count, 2));
    assert_eq!(wrong(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"R"}]}"#, &[]), (Reason::Endless, 0));
}

#[test]
fn what_readers_read_is_no_fault() {
    let array = r#"{"type":"array","items":"int"}"#;
    for (text, bytes) in [
        ("\"int\"", longs(&[1 << 31])),
        ("[\"null\",\"int\"]", longs(&[1, 1 << 40])),
        ("\"boolean\"", vec![2]),
        ("[\"boolean\",\"null\"]", vec![0, 255]),
        ("\"string\"", vec![4, 0xff, 0xfe]),
        ("\"long\"", [vec![0xff; 9], vec![0x7f]].concat()),
        (array, longs(&[1, 5, -1, 2, 7, 0])),
        (array, longs(&[-2, 1, 7, 7, 0])),
        (array, longs(&[-2, -9, 7, 7, 0])),
        (array, longs(&[-1, i64::MAX, 7, 0])),
        (r#"{"type":"map","values":"null"}"#, longs(&[-1, 70, 0, 0])),
    ] {
        assert_eq!(schema(text).skip(&bytes, 0), Ok(bytes.len()), "{text} {bytes:?}");
    }
}

#[test]
fn lengths_and_counts_beyond_the_bytes_are_not_believed() {
    for text in ["\"string\"", "[\"string\"]", r#"{"type":"array","items":"int"}"#, r#"{"type":"map","values":"null"}"#]
    {
        for number in [9, 64, 1 << 20, 1 << 40, i64::MAX] {
            let bytes =
                [longs(&if text.starts_with('[') { vec![0, number] } else { vec![number] }), vec![2; 8]].concat();
            assert_eq!(schema(text).skip(&bytes, 0), CUT, "{text} {number}");
        }
    }
    let huge = format!(r#"[{{"type":"fixed","name":"F","size":{}}},{{"type":"array","items":"F"}}]"#, u64::MAX);
    assert_eq!(schema(&huge).skip(&longs(&[0, 1, 2, 3]), 0), CUT);
    assert_eq!(schema(&huge).skip(&longs(&[1, i64::MAX, 2, 3]), 0), CUT);
    assert_eq!(schema(&huge).skip(&longs(&[1, 0]), 0), Ok(2));
}

#[test]
fn items_of_no_bytes_take_no_time_however_many_they_are() {
    let schema =
        schema(r#"{"type":"array","items":{"type":"record","name":"R","fields":[{"name":"a","type":"null"}]}}"#);
    let bytes = longs(&[i64::MAX, 1 << 60, -i64::MAX, 0, 0]);
    assert_eq!(schema.skip(&bytes, 0), Ok(bytes.len()));
}

#[test]
fn data_may_nest_512_deep_and_no_deeper() {
    let list = schema(
        r#"{"type":"record","name":"L","fields":[{"name":"v","type":"int"},{"name":"next","type":["null","L"]}]}"#,
    );
    let of = |length: usize| [[8, 2].repeat(length), vec![8, 0]].concat();
    assert_eq!(list.skip(&of(511), 0), Ok(1024));
    let deep = Err(WalkError::Invalid { reason: Reason::TooDeep, at: 1026 });
    assert_eq!(list.skip(&of(100_000), 0), deep);

    let arrays = schema(r#"{"type":"record","name":"A","fields":[{"name":"a","type":{"type":"array","items":"A"}}]}"#);
    assert_eq!(arrays.skip(&[2; 100_000], 0), Err(WalkError::Invalid { reason: Reason::TooDeep, at: 513 }));
    let endless = schema(r#"{"type":"record","name":"R","fields":[{"name":"a","type":"R"},{"name":"b","type":"R"}]}"#);
    assert_eq!(endless.skip(&[2; 9], 0), Err(WalkError::Invalid { reason: Reason::TooDeep, at: 0 }));
}

#[test]
fn types_that_double_at_each_step_cost_what_their_bytes_cost() {
    // R60 is 2^60 times R0, which is of one byte; and the same with nothing in it.
    let doubling = |inner: &str| {
        let mut fields = format!(
            r#"{{"name":"f","type":{{"type":"record","name":"R0","fields":[{{"name":"a","type":"{inner}"}}]}}}}"#
        );
        for n in 1..=60 {
            let of = n - 1;
            fields += &format!(
                r#",{{"name":"f","type":["null",{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":"R{of}"}},{{"name":"b","type":"R{of}"}}]}}]}}"#
            );
        }
        schema(&format!(r#"{{"type":"record","name":"T","fields":[{fields},{{"name":"last","type":"R60"}}]}}"#))
    };
    assert_eq!(doubling("boolean").skip(&[vec![1], vec![0; 60], vec![1; 1000]].concat(), 0), CUT);
    assert_eq!(doubling("null").skip(&[2; 60], 0), Ok(60));
}

#[test]
fn a_block_tells_its_records_and_what_is_wrong_with_it() {
    let schema = schema("\"string\"");
    let walk = |bytes: &[u8], declared| {
        let mut ends = Vec::new();
        (schema.walk_block(bytes, declared, &mut |end| ends.push(end)), ends)
    };
    let bytes = [2, b'a', 0, 4, b'b', b'c'];
    let wrong = |verified, end, fault| BlockWalk { verified, end, fault };
    let missing = Some(BlockFault::Record(WalkError::Truncated));
    assert_eq!(walk(&bytes, 3), (wrong(3, 6, None), vec![2, 3, 6]));
    assert_eq!(walk(&bytes, 2), (wrong(2, 3, Some(BlockFault::Trailing)), vec![2, 3]));
    assert_eq!(walk(&bytes, u64::MAX), (wrong(3, 6, missing), vec![2, 3, 6]));
    assert_eq!(walk(&bytes[..5], 3), (wrong(2, 3, missing), vec![2, 3]));
    assert_eq!(walk(&[], 0), (wrong(0, 0, None), vec![]));
}

#[test]
fn records_of_no_bytes_are_counted_at_once() {
    let mut returned = 0;
    let walk = schema("\"null\"").walk_block(&[], 1 << 62, &mut |_| returned += 1);
    assert_eq!((walk, returned), (BlockWalk { verified: 1 << 62, end: 0, fault: None }, 0));
    let walk = schema("\"null\"").walk_block(&[0], 2, &mut |_| returned += 1);
    assert_eq!((walk.fault, returned), (Some(BlockFault::Trailing), 0));
}
