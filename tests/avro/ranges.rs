//! Random access to made-up containers: any range of either view is what the whole file, or the whole plain view, has there.
//!
//! `SNAP_RANGES_FILES` files from seed `SNAP_RANGES_SEED` on, `SNAP_RANGES` ranges of each.

use std::sync::Arc;

use avro_snap::avro::codec::Codec;
use avro_snap::avro::container::{Parsed, find_marker, parse_block, parse_header};
use avro_snap::avro::encoder::{EncoderId, Encoders, preflate_join, preflate_split};
use avro_snap::avro::varint;
use avro_snap::chunk::{ChunkMap, ChunkSource, CutParams};
use avro_snap::error::Result;
use avro_snap::recipe::{PREFLATE, PayloadDecision, RangeReader, RawBlock, Recipe, Segment, Splitter, ToEncode, View};

use crate::deflate::{Rng, env};

const MARKER: [u8; 16] = *b"\x01sync marker 16\xff";
const SCHEMA: &str =
    r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"data","type":"bytes"}]}"#;

/// What a made-up file may have.
#[derive(Clone, Copy, Default)]
struct Oddities {
    raw: bool,
    strays: bool,
    corrected: bool,
    odd_heads: bool,
    large: bool,
    /// No blocks of no records, at which the reader of Apache ends.
    no_empty_blocks: bool,
}

/// A file, how it is rebuilt, and what its plain view must be.
struct Made {
    file: Vec<u8>,
    plain: Vec<u8>,
    recipe: Recipe,
    map: Arc<ChunkMap>,
    records: Vec<(i64, Vec<u8>)>,
}

fn long(out: &mut Vec<u8>, value: i64) {
    varint::encode(out, value);
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    long(out, value.len() as i64);
    out.extend_from_slice(value);
}

/// A number in a form that is longer than it need be.
fn odd_long(out: &mut Vec<u8>, value: i64) {
    long(out, value);
    *out.last_mut().unwrap() |= 0x80;
    out.push(0);
}

fn header(entries: &[(&[u8], &[u8])], odd: bool) -> Vec<u8> {
    let mut out = b"Obj\x01".to_vec();
    let runs: Vec<&[(&[u8], &[u8])]> = if odd { entries.chunks(1).collect() } else { vec![entries] };
    for run in runs {
        let mut body = Vec::new();
        for (key, value) in run {
            bytes(&mut body, key);
            bytes(&mut body, value);
        }
        // A negative count comes with the length of the run in bytes.
        long(&mut out, if odd { -(run.len() as i64) } else { run.len() as i64 });
        if odd {
            long(&mut out, body.len() as i64);
        }
        out.extend(body);
    }
    out.push(0);
    out.extend(MARKER);
    out
}

fn ids(codec: &str) -> Vec<EncoderId> {
    let ids: &[&str] = match codec {
        "deflate" => {
            &["zlib:L1:M8", "zlib:L6:M8", "zlib:L6:M8+adler3", "miniz:L10", "zlib-ng:L6", "chromium-zlib:L6:M8"]
        }
        "snappy" => &["snappy:shift14", "snappy:mask15"],
        "zstandard" => &["zstd-1.5.7:once:L3", "zstd-1.5.7:stream:L1"],
        "bzip2" => &["bzip2:L9"],
        "xz" => &["xz:P1:crc64"],
        _ => &["null"],
    };
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

fn made(rng: &mut Rng, codec: &str, blocks: usize, odd: Oddities) -> Made {
    let extra = [(&b"writer"[..], &b"somebody"[..])];
    let mut entries: Vec<(&[u8], &[u8])> =
        vec![(b"avro.schema", SCHEMA.as_bytes()), (b"avro.codec", codec.as_bytes()), extra[0]];
    entries.rotate_left(rng.below(3));
    if odd.odd_heads {
        // The last value of a key counts.
        entries.insert(0, (b"avro.codec", b"bzip2"));
    }
    let mut file = header(&entries, odd.odd_heads);
    let null: Vec<_> =
        entries.iter().map(|(key, value)| (*key, if *key == b"avro.codec" { &b"null"[..] } else { *value })).collect();
    let mut plain = header(&null, false);
    let Parsed::Done(parsed) = parse_header(&file) else { panic!("the header is none") };
    assert_eq!(parsed.codec_name(), codec);
    let (mut splitter, mut map, mut encoders) =
        (Splitter::new(CutParams::default()), ChunkMap::default(), Encoders::new());
    splitter.segment(Segment::Header(Box::new(parsed)), &mut map).unwrap();
    let (ids, mut records, mut is_plain) = (ids(codec), Vec::new(), codec != "null");
    for block in 0..blocks {
        let mut decoded = Vec::new();
        let count = match rng.below(8) {
            0 if !odd.no_empty_blocks => 0,
            _ if odd.large => 1,
            _ => 1 + rng.below(60),
        };
        for _ in 0..count {
            let length = if odd.large { 400_000 + rng.below(900_000) } else { rng.below(300) };
            let (noisy, id) = (rng.below(2) == 0, rng.below(1 << 30) as i64);
            let data: Vec<u8> =
                (0..length).map(|_| if noisy { rng.below(256) as u8 } else { rng.below(3) as u8 }).collect();
            long(&mut decoded, id);
            bytes(&mut decoded, &data);
            records.push((id, data));
        }
        let id = ids[if rng.below(3) == 0 { rng.below(ids.len()) } else { 0 }];
        let mut payload = Vec::new();
        encoders.encode(&id, &decoded, &mut payload).unwrap();
        let mut head = Vec::new();
        let is_odd = odd.odd_heads && rng.below(3) == 0;
        if is_odd {
            odd_long(&mut head, count as i64);
            odd_long(&mut head, payload.len() as i64);
        } else {
            long(&mut head, count as i64);
            long(&mut head, payload.len() as i64);
        }
        file.extend(&head);
        file.extend(&payload);
        file.extend(MARKER);
        long(&mut plain, count as i64);
        bytes(&mut plain, &decoded);
        plain.extend(MARKER);
        let (keep, correct) = (odd.raw && rng.below(3) == 0, odd.corrected && rng.below(2) == 0);
        let split = if correct && codec == "deflate" { preflate_split(&payload, 1 << 26) } else { None };
        let decision = match split {
            _ if keep => PayloadDecision::Keep(None),
            Some((split, corrections)) if split == decoded => {
                PayloadDecision::Decode { plain: Some(split), encoder: PREFLATE.into(), corrections: Some(corrections) }
            }
            _ => PayloadDecision::Decode { plain: Some(decoded), encoder: id.to_string(), corrections: None },
        };
        is_plain &= !keep || payload.is_empty();
        let raw = RawBlock { count: count as u64, odd_head: is_odd.then_some(head), payload };
        splitter.block(raw, decision, &mut map).unwrap();
        if odd.strays && (rng.below(4) == 0 || block + 1 == blocks) {
            let stray = vec![7; 1 + rng.below(5000)];
            assert!(find_marker(&stray, &MARKER).is_none());
            file.extend(&stray);
            splitter.segment(Segment::Stray(stray), &mut map).unwrap();
            is_plain = false;
        }
    }
    let recipe = splitter.finish(&mut map).unwrap().recipe;
    let plain = if is_plain { plain } else { file.clone() };
    Made { file, plain, recipe, map: Arc::new(map), records }
}

/// What makes payloads, and counts how many bytes of them.
#[derive(Default)]
struct Maker {
    encoders: Encoders,
    made: u64,
    largest: u64,
}

impl Maker {
    fn make(&mut self, wanted: ToEncode<'_>) -> Result<Vec<u8>> {
        let mut payload = Vec::new();
        match wanted.corrections {
            Some(corrections) => payload = preflate_join(wanted.plain, corrections).unwrap(),
            None => self.encoders.encode(&wanted.encoder.parse().unwrap(), wanted.plain, &mut payload).unwrap(),
        }
        self.made += payload.len() as u64;
        self.largest = self.largest.max(payload.len() as u64);
        Ok(payload)
    }

    fn read<S: ChunkSource + Clone>(&mut self, reader: &mut RangeReader<S>, offset: u64, length: usize) -> Vec<u8> {
        let mut out = b"before".to_vec();
        reader.read(offset, length, &mut |wanted| self.make(wanted), &mut out).unwrap();
        assert!(out.starts_with(b"before"));
        out.split_off(6)
    }
}

fn expected(whole: &[u8], offset: u64, length: usize) -> &[u8] {
    let start = (offset as usize).min(whole.len());
    &whole[start..start.saturating_add(length).min(whole.len())]
}

/// Compares ranges of both views, some with readers that were used before and some with new ones.
fn check_ranges(rng: &mut Rng, made: &Made, ranges: u64, what: &str) {
    for (view, whole) in [(View::Exact, &made.file), (View::Plain, &made.plain)] {
        let mut maker = Maker::default();
        let first = RangeReader::new(made.recipe.clone(), view, made.map.clone()).unwrap();
        assert_eq!(first.view() == View::Plain, view == View::Plain && made.plain != made.file, "{what}");
        let mut used = first.clone();
        for _ in 0..ranges {
            let offset = rng.below(whole.len() + 20) as u64;
            let length = rng.pick(&[0, 1, 17, 1000, 70_000, 3_000_000]);
            let got = match rng.below(4) {
                0 => maker.read(&mut first.clone(), offset, length),
                _ => maker.read(&mut used, offset, length),
            };
            assert!(got == expected(whole, offset, length), "{what}, {view:?}: {length} bytes at {offset}");
        }
        assert_eq!(used.length().unwrap(), whole.len() as u64, "{what}, {view:?}");
        // Reading on from where one stopped encodes no block twice.
        maker.made = 0;
        let (mut reader, mut all) = (first.clone(), Vec::new());
        loop {
            let part = maker.read(&mut reader, all.len() as u64, 50_000);
            if part.is_empty() {
                break;
            }
            all.extend(part);
        }
        assert!(all == *whole, "{what}, {view:?}: from start to end");
        assert!(maker.made <= made.file.len() as u64, "{what}, {view:?}: {} bytes were encoded", maker.made);
        assert!(
            view == View::Exact || first.view() == View::Exact || maker.made == 0,
            "{what}: encoded for the plain view"
        );
        let far = u64::MAX - 5;
        assert_eq!(maker.read(&mut reader, far, 1000), b"", "{what}, {view:?}: far behind the end");
    }
}

#[test]
fn ranges_of_generated_containers_are_what_the_whole_has_there() {
    let (files, seed, ranges) = (env("SNAP_RANGES_FILES", 28), env("SNAP_RANGES_SEED", 0), env("SNAP_RANGES", 30));
    for number in seed..seed + files {
        let mut rng = Rng::new(number);
        let codec = ["deflate", "snappy", "zstandard", "bzip2", "xz", "null", "deflate"][number as usize % 7];
        let mut one_in = |n| rng.below(n) == 0;
        let (raw, strays, corrected, odd_heads) = (one_in(4), one_in(4), one_in(3), one_in(3));
        let large = matches!(codec, "snappy" | "null") && one_in(3) || codec == "deflate" && one_in(12);
        let odd = Oddities { raw, strays, corrected, odd_heads, large, no_empty_blocks: false };
        let blocks = if large { 1 + rng.below(8) } else { rng.pick(&[0, 1, 5, 40, 300]) };
        let made = made(&mut rng, codec, blocks, odd);
        check_ranges(&mut rng, &made, ranges, &format!("seed {number}, {codec}, {blocks} blocks"));
    }
    println!("{files} files from seed {seed} on, {ranges} ranges in each view");
}

/// More blocks than a segment of the layout has entries.
#[test]
fn ranges_of_a_file_of_many_segments() {
    for codec in ["deflate", "null"] {
        let mut rng = Rng::new(5);
        let mut many = made(&mut rng, codec, 0, Oddities::default());
        let Recipe::Container(_) = &many.recipe else { panic!("no container") };
        let Parsed::Done(header) = parse_header(&many.file) else { panic!("the header is none") };
        let (mut splitter, mut map, mut encoders) =
            (Splitter::new(CutParams::default()), ChunkMap::default(), Encoders::new());
        splitter.segment(Segment::Header(Box::new(header)), &mut map).unwrap();
        let id = ids(codec)[0];
        for number in 0..9000_i64 {
            let (mut plain, mut payload) = (Vec::new(), Vec::new());
            long(&mut plain, number);
            bytes(&mut plain, &vec![number as u8; (number % 40) as usize]);
            encoders.encode(&id, &plain, &mut payload).unwrap();
            for (out, payload) in [(&mut many.file, &payload), (&mut many.plain, &plain)] {
                long(out, 1);
                bytes(out, payload);
                out.extend(MARKER);
            }
            let decision = PayloadDecision::Decode { plain: Some(plain), encoder: id.to_string(), corrections: None };
            splitter.block(RawBlock { count: 1, odd_head: None, payload }, decision, &mut map).unwrap();
        }
        many.recipe = splitter.finish(&mut map).unwrap().recipe;
        many.map = Arc::new(map);
        check_ranges(&mut rng, &many, 100, codec);
    }
}

#[test]
fn less_than_two_mebibytes_are_encoded_before_the_first_byte() {
    let mut rng = Rng::new(11);
    let odd = Oddities { large: true, ..Oddities::default() };
    for (codec, blocks, odd) in [("deflate", 1500, Oddities::default()), ("snappy", 12, odd)] {
        let made = made(&mut rng, codec, blocks, odd);
        assert!(made.file.len() > 3 << 20, "{} bytes are too few", made.file.len());
        let reader = RangeReader::new(made.recipe.clone(), View::Exact, made.map.clone()).unwrap();
        let mut most = 0;
        for _ in 0..60 {
            let (mut maker, offset) = (Maker::default(), rng.below(made.file.len()) as u64);
            assert_eq!(maker.read(&mut reader.clone(), offset, 1), expected(&made.file, offset, 1));
            most = most.max(maker.made);
            assert!(maker.made < (2 << 20) + maker.largest, "{} bytes before byte {offset}", maker.made);
            assert!(codec != "deflate" || maker.made < 1 << 20, "{} bytes before byte {offset}", maker.made);
        }
        println!("{codec}: at most {most} bytes of payloads before the first byte");
        // The plain view never encodes.
        let mut plain = RangeReader::new(made.recipe.clone(), View::Plain, made.map.clone()).unwrap();
        let mut out = Vec::new();
        plain.read(0, made.plain.len(), &mut |_| panic!("encoded for the plain view"), &mut out).unwrap();
        assert!(out == made.plain);
    }
}

#[test]
fn other_readers_find_the_same_records_in_the_plain_view() {
    for (number, codec) in ["deflate", "snappy", "zstandard", "bzip2", "xz"].into_iter().enumerate() {
        let mut rng = Rng::new(100 + number as u64);
        let odd =
            Oddities { odd_heads: number % 2 == 0, corrected: true, no_empty_blocks: true, ..Oddities::default() };
        let made = made(&mut rng, codec, 50, odd);
        assert!(made.plain != made.file);
        let mut reader = RangeReader::new(made.recipe.clone(), View::Plain, &*made.map).unwrap();
        let plain = Maker::default().read(&mut reader, 0, usize::MAX >> 1);
        // Our own reader.
        let (Parsed::Done(header), Parsed::Done(of_file)) = (parse_header(&plain), parse_header(&made.file)) else {
            panic!("{codec}: no header")
        };
        assert_eq!((header.codec_name(), Codec::from_name(header.codec_name())), ("null", Some(Codec::Null)));
        assert_eq!(header.marker, of_file.marker);
        let keys = |header: &avro_snap::avro::container::Header| -> Vec<Vec<u8>> {
            header.entries().map(|(key, _)| key.to_vec()).collect()
        };
        assert_eq!(keys(&header), keys(&of_file), "{codec}: the order of the metadata");
        assert_eq!(header.schema_text(), of_file.schema_text());
        let (mut rest, mut theirs) = (&plain[header.length..], &made.file[of_file.length..]);
        while let Parsed::Done(block) = parse_block(rest, &MARKER) {
            let Parsed::Done(other) = parse_block(theirs, &MARKER) else { panic!("{codec}: fewer blocks") };
            assert!(block.canonical && block.count == other.count, "{codec}");
            (rest, theirs) = (&rest[block.length()..], &theirs[other.length()..]);
        }
        assert!(rest.is_empty() && theirs.is_empty(), "{codec}");
        // That of Apache.
        let records: Vec<_> = apache_avro::Reader::new(&plain[..]).unwrap().map(|record| record.unwrap()).collect();
        assert_eq!(records.len(), made.records.len(), "{codec}");
        for (record, (id, data)) in records.into_iter().zip(&made.records) {
            let apache_avro::types::Value::Record(fields) = record else { panic!("{codec}: no record") };
            let expected = [apache_avro::types::Value::Long(*id), apache_avro::types::Value::Bytes(data.clone())];
            assert!(fields.iter().map(|field| &field.1).eq(&expected), "{codec}: {id}");
        }
    }
}

#[test]
fn a_reader_owns_its_source_and_can_be_kept_by_threads() {
    let made = made(&mut Rng::new(3), "deflate", 40, Oddities::default());
    let reader = RangeReader::new(made.recipe.clone(), View::Exact, made.map.clone()).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (mut reader, file) = (reader.clone(), made.file.clone());
            std::thread::spawn(move || {
                let mut rng = Rng::new(thread);
                for _ in 0..30 {
                    let offset = rng.below(file.len()) as u64;
                    assert!(Maker::default().read(&mut reader, offset, 5000) == expected(&file, offset, 5000));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A layout, or a chunk, that lies about lengths is found out; nothing panics and nothing is allocated for it.
#[test]
fn damaged_chunks_are_refused_or_do_not_matter() {
    let mut rng = Rng::new(9);
    let odd = Oddities { raw: true, strays: true, corrected: true, odd_heads: true, ..Oddities::default() };
    for round in 0..60 {
        let codec = ["deflate", "snappy", "null"][round % 3];
        let made = made(&mut rng, codec, 30, odd);
        let mut map = (*made.map).clone();
        let ids: Vec<_> = map.chunks.keys().copied().collect();
        let id = ids[rng.below(ids.len())];
        let (kind, chunk) = map.chunks[&id].clone();
        let mut chunk = chunk.to_vec();
        let at = rng.below(chunk.len());
        chunk[at] ^= 1 << rng.below(8);
        map.chunks.insert(id, (kind, chunk.into()));
        let Ok(mut reader) = RangeReader::new(made.recipe.clone(), View::Exact, &map) else { continue };
        for _ in 0..20 {
            let (mut maker, mut out) = (Maker::default(), Vec::new());
            let mut make = |wanted: ToEncode<'_>| match wanted.corrections {
                Some(corrections) => Ok(preflate_join(wanted.plain, corrections).unwrap_or_default()),
                None => maker.make(wanted),
            };
            let _ = reader.read(rng.below(made.file.len()) as u64, 20_000, &mut make, &mut out);
            assert!(out.len() <= 20_000);
        }
    }
}
