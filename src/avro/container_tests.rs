use proptest::prelude::*;

use super::*;

const SYNC: [u8; MARKER] = *b"0123456789abcdef";

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::encode(out, bytes.len() as i64);
    out.extend(bytes);
}

type Entries<'a> = &'a [(&'a str, &'a [u8])];

/// A header whose metadata lie in the runs given; `sized` ones announce their length.
fn header_of(runs: &[(bool, Entries<'_>)]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    for (sized, entries) in runs {
        let mut body = Vec::new();
        for (key, value) in *entries {
            put(&mut body, key.as_bytes());
            put(&mut body, value);
        }
        match sized {
            true => {
                varint::encode(&mut out, -(entries.len() as i64));
                varint::encode(&mut out, body.len() as i64);
            }
            false => varint::encode(&mut out, entries.len() as i64),
        }
        out.extend(body);
    }
    out.push(0);
    out.extend(SYNC);
    out
}

fn done<T: std::fmt::Debug>(parsed: Parsed<T>) -> T {
    match parsed {
        Parsed::Done(it) => it,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_header_tells_schema_codec_and_marker() {
    let bytes = header_of(&[(false, &[("avro.schema", b"\"int\""), ("avro.codec", b"deflate"), ("mine", b"\xff")])]);
    let header = done(parse_header(&[&bytes[..], b"and the first block"].concat()));
    assert_eq!((header.schema_text(), header.codec_name()), (Some("\"int\""), "deflate"));
    assert_eq!((header.metadata("mine"), header.metadata("yours")), (Some(&b"\xff"[..]), None));
    assert_eq!((header.length, header.marker), (bytes.len(), SYNC));
    assert_eq!([header.bytes(), &SYNC].concat(), bytes);
}

#[test]
fn no_codec_is_the_null_codec_and_no_schema_is_said() {
    let header = done(parse_header(&header_of(&[])));
    assert_eq!((header.schema_text(), header.codec_name(), header.length), (None, "null", 21));
}

#[test]
fn metadata_may_lie_in_several_runs_and_the_last_of_a_key_counts() {
    let bytes = header_of(&[
        (true, &[("avro.codec", b"snappy"), ("a", b"1")]),
        (false, &[("b", b"")]),
        (true, &[("avro.codec", b"xz")]),
    ]);
    let header = done(parse_header(&bytes));
    assert_eq!(header.codec_name(), "xz");
    assert_eq!(
        header.entries().map(|entry| entry.0).collect::<Vec<_>>(),
        [&b"avro.codec"[..], b"a", b"b", b"avro.codec"]
    );
}

#[test]
fn how_long_a_run_says_it_is_does_not_matter() {
    let mut bytes = header_of(&[(true, &[("a", b"1")])]);
    assert_eq!(bytes[5], 8);
    for announced in [0, 7, 10, 0x7f] {
        bytes[5] = announced;
        let Parsed::Done(header) = parse_header(&bytes) else { panic!("{announced}") };
        assert_eq!(header.metadata("a"), Some(&b"1"[..]));
    }
}

#[test]
fn other_files_are_refused_at_their_first_odd_byte() {
    assert_eq!(parse_header(b""), Parsed::More(4 + 1 + 16));
    assert_eq!(parse_header(b"Ob"), Parsed::More(21));
    assert_eq!(parse_header(b"OB"), Parsed::Bad(Flaw::Magic));
    assert_eq!(parse_header(b"PK\x03\x04"), Parsed::Bad(Flaw::Magic));
    assert_eq!(parse_header(b"Obj\0and so on"), Parsed::Bad(Flaw::OldFormat));
}

#[test]
fn a_header_has_limits() {
    let with = |tail: &[i64]| {
        let mut bytes = MAGIC.to_vec();
        tail.iter().for_each(|number| varint::encode(&mut bytes, *number));
        parse_header(&bytes)
    };
    let too_large = |parsed| matches!(parsed, Parsed::Bad(Flaw::HeaderTooLarge { least }) if least > MAX_HEADER || least > MAX_METADATA);
    assert!(too_large(with(&[i64::MAX])));
    assert!(too_large(with(&[i64::MIN, i64::MAX])));
    assert!(too_large(with(&[MAX_METADATA as i64 + 1])));
    assert_eq!(with(&[1, -5]), Parsed::Bad(Flaw::NegativeLength { at: 5 }));
    assert!(too_large(with(&[1, i64::MAX])));
    assert!(too_large(with(&[1, 16 << 20])));
    assert_eq!(with(&[1, 1 << 20]), Parsed::More(4 + 1 + 4 + (1 << 20) + 1 + 1 + 16));
    assert_eq!(parse_header(&[&MAGIC[..], &[0xff; 10]].concat()), Parsed::Bad(Flaw::Number { at: 4 }));
    assert_eq!(parse_header(&header_of(&[(false, &[("avro.codec", b"\xff")])])), Parsed::Bad(Flaw::CodecName));
}

#[test]
fn a_block_is_its_numbers_its_payload_and_the_marker() {
    let mut bytes = Vec::new();
    put_block_header(&mut bytes, 300, 5);
    bytes.extend(b"hello");
    bytes.extend(SYNC);
    bytes.extend(b"next");
    let block = done(parse_block(&bytes, &SYNC));
    assert_eq!(block, Block { count: 300, header_len: 3, payload_len: 5, canonical: true });
    assert_eq!((&bytes[block.payload()], &bytes[block.length()..]), (&b"hello"[..], &b"next"[..]));
}

#[test]
fn padded_numbers_are_read_and_reported() {
    let bytes = [&[0x82, 0, 0][..], &SYNC].concat();
    assert_eq!(done(parse_block(&bytes, &SYNC)), Block { count: 1, header_len: 3, payload_len: 0, canonical: false });
}

#[test]
fn absurd_numbers_are_refused_at_once_and_a_wrong_marker_once_it_is_seen() {
    let with = |count, size| {
        let mut bytes = Vec::new();
        varint::encode(&mut bytes, count);
        varint::encode(&mut bytes, size);
        parse_block(&bytes, &SYNC)
    };
    assert_eq!(with(-1, 4), Parsed::Bad(Flaw::Count(-1)));
    assert_eq!(with(1, -4), Parsed::Bad(Flaw::NegativeSize(-4)));
    let size = MAX_BLOCK as i64 + 1;
    assert_eq!(with(1, size), Parsed::Bad(Flaw::TooLarge { size, header_len: 6 }));
    assert_eq!(with(1, i64::MIN), Parsed::Bad(Flaw::NegativeSize(i64::MIN)));
    assert_eq!(with(i64::MAX, MAX_BLOCK as i64), Parsed::More(10 + 5 + MAX_BLOCK + 16));
    assert_eq!(parse_block(&[3], &SYNC), Parsed::Bad(Flaw::Count(-2)));
    assert_eq!(parse_block(&[0xff; 10], &SYNC), Parsed::Bad(Flaw::Number { at: 0 }));
    let wrong = [&[2, 0][..], b"0123456789abcdeF"].concat();
    assert_eq!(parse_block(&wrong[..17], &SYNC), Parsed::More(18));
    assert_eq!(parse_block(&wrong, &SYNC), Parsed::Bad(Flaw::Marker));
}

#[test]
fn a_marker_is_found_wherever_it_stands() {
    for before in 0..70 {
        let bytes = [&vec![b'f'; before][..], &SYNC[3..], &SYNC, &SYNC].concat();
        assert_eq!(find_marker(&bytes, &SYNC), Some(before + 13));
        assert_eq!(find_marker(&bytes[..before + 28], &SYNC), None);
    }
    assert_eq!(find_marker(&[0; 100], &[0; 16]), Some(0));
    assert_eq!(find_marker(b"", &SYNC), None);
}

/// `More` must not ask for what is needed already, nor for more than the whole.
fn check_every_cut<T: std::fmt::Debug + PartialEq>(bytes: &[u8], length: usize, parse: impl Fn(&[u8]) -> Parsed<T>) {
    for cut in 0..length {
        match parse(&bytes[..cut]) {
            Parsed::More(least) => assert!(least > cut && least <= length, "{least} of {length} at {cut}"),
            other => panic!("{other:?} at {cut} of {length}"),
        }
    }
    assert_eq!(parse(&bytes[..length]), parse(bytes));
}

/// A handful, since what takes a list of them looks at every cut of all their bytes.
fn few<S: Strategy>(of: S) -> proptest::collection::VecStrategy<S> {
    proptest::collection::vec(of, 0..5)
}

proptest! {
    #[test]
    fn every_cut_of_a_header_asks_for_more(runs in few((any::<bool>(), few((".{0,4}", few(any::<u8>())))))) {
        let runs: Vec<_> = runs.iter().filter(|run| !run.1.is_empty()).collect();
        let entries: Vec<Vec<(&str, &[u8])>> =
            runs.iter().map(|run| run.1.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect()).collect();
        let runs: Vec<_> = runs.iter().zip(&entries).map(|(run, entries)| (run.0, entries.as_slice())).collect();
        let bytes = header_of(&runs);
        let header = done(parse_header(&bytes));
        prop_assert_eq!(header.length, bytes.len());
        prop_assert_eq!(header.entries().count(), entries.iter().flatten().count());
        check_every_cut(&bytes, bytes.len(), parse_header);
    }

    #[test]
    fn every_cut_of_a_block_asks_for_more(count in 0..=i64::MAX, shift in 0u32..64, payload: Vec<u8>) {
        let mut bytes = Vec::new();
        put_block_header(&mut bytes, (count >> shift) as u64, payload.len());
        bytes.extend(payload);
        bytes.extend(SYNC);
        let block = done(parse_block(&bytes, &SYNC));
        prop_assert_eq!((block.length(), block.count, block.canonical), (bytes.len(), (count >> shift) as u64, true));
        check_every_cut(&bytes, bytes.len(), |bytes| parse_block(bytes, &SYNC));
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(bytes: Vec<u8>) {
        let _ = parse_header(&[&MAGIC[..], &bytes].concat());
        let _ = parse_header(&bytes);
        let _ = parse_block(&bytes, &SYNC);
    }

    #[test]
    fn a_marker_is_found_where_a_plain_search_finds_it(bytes in proptest::collection::vec(0u8..3, 0..400), marker in proptest::array::uniform16(0u8..2)) {
        let plain = bytes.windows(MARKER).position(|window| window == marker);
        prop_assert_eq!(find_marker(&bytes, &marker), plain);
    }
}
