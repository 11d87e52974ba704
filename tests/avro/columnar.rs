//! Records of any schema come back from columnar frames bit for bit, and damaged frames are refused.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "these are tests")]

use crate::avro_gen;
use crate::lab;
use crate::records;

use std::path::Path;

use avro_gen::{Generated, Random};
use avro_snap::avro::columns::TypeTree;
use avro_snap::avro::schema::Schema;
use avro_snap::chunk::{ChunkKind, RecordShape};
use avro_snap::crypto::Suite;
use avro_snap::id::ChunkHasher;
use avro_snap::pack::{EncodedFrame, Encoding, FrameCodec, PlainChunk};
use lab::{Lab, corpus};
use proptest::prelude::*;
use records::{Table, files_below};

/// A schema of any kind, with its shape; none where the schema has no columns.
fn shape(seed: u64) -> Option<(Generated, RecordShape)> {
    let generated = Generated::any(&mut Random::new(seed), 4);
    let schema = Schema::parse(&generated.text).unwrap();
    let tree = TypeTree::of_schema(&schema)?;
    Some((generated, RecordShape { fingerprint: schema.fingerprint(), tree: tree.bytes().to_vec() }))
}

/// Chunks of whole records; `like` of them are repeated, as rows of real tables are like each other.
fn chunks(generated: &Generated, random: &mut Random, count: usize, like: usize) -> Vec<PlainChunk> {
    let some: Vec<Vec<u8>> = (0..like.max(1)).map(|_| generated.datum(random)).collect();
    let hasher = ChunkHasher::open();
    let chunk = |random: &mut Random| {
        let records = (0..count).map(|_| match random.one_in(4) {
            true => generated.datum(random),
            false => some[random.below(some.len())].clone(),
        });
        let bytes = records.collect::<Vec<_>>().concat();
        PlainChunk { id: hasher.id(&bytes), bytes }
    };
    (0..3).map(|_| chunk(random)).collect()
}

fn plain(chunks: &[PlainChunk]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| chunk.bytes.clone()).collect()
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(std::env::var("PROPTEST_CASES").map_or(300, |cases| cases.parse().unwrap()))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn records_of_any_schema_come_back(seed: u64, count in 1usize..400, like in 1usize..50) {
        let Some((generated, shape)) = shape(seed) else { return Ok(()) };
        let mut random = Random::new(seed ^ 1);
        let mut codec = FrameCodec::new(Some(3)).unwrap();
        for _ in 0..2 {
            let chunks = chunks(&generated, &mut random, count, like);
            let plain = plain(&chunks);
            let frame = codec.encode_records(&chunks, &shape);
            let rows = codec.encode(ChunkKind::Records, &chunks);
            prop_assert!(frame.body.len() <= rows.body.len() || plain.len() >= 128 << 10);
            prop_assert_eq!(codec.decode(frame.encoding, &frame.body, plain.len()).unwrap(), plain.clone());
            prop_assert!(codec.decode(frame.encoding, &frame.body, plain.len() + 1).is_err());
            // Whatever the frame's encoding turned out to be: every record can be taken apart and put together.
            let tree = TypeTree::read(&shape.tree).unwrap();
            let mut columns = Vec::new();
            tree.split(&plain, &mut columns).unwrap();
            let columns: Vec<&[u8]> = columns.iter().map(|column| &column[..]).collect();
            prop_assert_eq!(tree.join(&columns).unwrap(), plain);
        }
    }

    #[test]
    fn texts_in_one_column_or_two_come_back(seed: u64, which: u64) {
        let Some((generated, shape)) = shape(seed) else { return Ok(()) };
        let together: Vec<bool> = (0..64).map(|bit| which >> bit & 1 == 1).collect();
        let tree = TypeTree::read(&shape.tree).unwrap().with_texts(&together).unwrap();
        let again = TypeTree::read(tree.bytes()).unwrap();
        prop_assert_eq!(again.columns(), tree.columns());
        let plain = plain(&chunks(&generated, &mut Random::new(seed ^ 1), 20, 3));
        let mut columns = Vec::new();
        tree.split(&plain, &mut columns).unwrap();
        let columns: Vec<&[u8]> = columns.iter().map(|column| &column[..]).collect();
        prop_assert_eq!(tree.join(&columns).unwrap(), plain);
    }

    #[test]
    fn a_damaged_frame_is_refused_or_has_the_length_that_is_asked_for(
        seed: u64, at: prop::sample::Index, to: u8, cut: prop::sample::Index, length in 0usize..100_000,
    ) {
        let Some((frame, plain)) = columnar(seed) else { return Ok(()) };
        let mut codec = FrameCodec::new(None).unwrap();
        let mut body = frame.body.clone();
        let place = at.index(body.len());
        body[place] = to;
        for (body, length) in
            [(&body[..], plain), (&frame.body, length), (&frame.body[..cut.index(frame.body.len())], plain)]
        {
            if let Ok(records) = codec.decode(Encoding::Columnar, body, length) {
                prop_assert_eq!(records.len(), length);
            }
        }
        // What is compressed within, changed: the columns themselves and what is said of them.
        let (total, compressed) = take_varint(&frame.body);
        let whole = zstd_decompress(compressed, total);
        let mut forged = whole.clone();
        let place = at.index(whole.len());
        forged[place] = to;
        for forged in [forged, whole[..cut.index(whole.len())].to_vec()] {
            let body = framed(&forged);
            if let Ok(records) = codec.decode(Encoding::Columnar, &body, plain) {
                prop_assert_eq!(records.len(), plain);
            }
        }
    }

    #[test]
    fn any_bytes_as_a_frame_are_refused_or_have_their_length(whole: Vec<u8>, tree in prop::collection::vec(0u8..9, 0..20), length in 0usize..300) {
        let mut codec = FrameCodec::new(None).unwrap();
        let with_tree = [&[tree.len() as u8][..], &tree, &whole].concat();
        for whole in [whole, with_tree] {
            if let Ok(records) = codec.decode(Encoding::Columnar, &framed(&whole), length) {
                prop_assert_eq!(records.len(), length);
            }
        }
    }
}

/// A columnar frame of records of some schema, and how many plain bytes it has.
fn columnar(seed: u64) -> Option<(EncodedFrame, usize)> {
    let (generated, shape) = shape(seed)?;
    let chunks = chunks(&generated, &mut Random::new(seed), 200, 20);
    let frame = FrameCodec::new(Some(1)).unwrap().encode_records(&chunks, &shape);
    (frame.encoding == Encoding::Columnar).then(|| (frame, plain(&chunks).len()))
}

fn take_varint(bytes: &[u8]) -> (usize, &[u8]) {
    let length = bytes.iter().position(|byte| *byte < 0x80).unwrap() + 1;
    let value = bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    (value, &bytes[length..])
}

fn zstd_decompress(bytes: &[u8], length: usize) -> Vec<u8> {
    avro_snap::chunk::Decompressor::new().unwrap().decompress(bytes, length).unwrap()
}

/// The body of a columnar frame with this inside.
fn framed(whole: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut length = whole.len();
    while length >= 0x80 {
        body.push(length as u8 | 0x80);
        length >>= 7;
    }
    body.push(length as u8);
    body.extend(avro_snap::chunk::Compressor::new(1).unwrap().compress(whole).unwrap());
    body
}

/// A file's worth of frames, as rows and as columns, in bytes.
fn sizes(table: &Table) -> (usize, usize) {
    let mut codec = FrameCodec::new(Some(3)).unwrap();
    let (mut rows, mut columns) = (0, 0);
    for frame in table.frames(1 << 20) {
        let plain = plain(&frame);
        rows += codec.encode(ChunkKind::Records, &frame).body.len();
        let encoded = codec.encode_records(&frame, &table.shape);
        assert_eq!(codec.decode(encoded.encoding, &encoded.body, plain.len()).unwrap(), plain);
        columns += encoded.body.len();
    }
    (rows, columns)
}

#[test]
fn a_table_of_real_rows_is_shorter_as_columns() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nights/2026-03-01");
    let tables: Vec<Table> = files_below(&folder).iter().filter_map(|path| Table::read(path)).collect();
    assert!(!tables.is_empty());
    for table in &tables {
        let (rows, columns) = sizes(table);
        println!("{}: {} plain, {rows} as rows, {columns} as columns", table.name, table.records.len());
        assert!(columns <= rows);
    }
}

#[test]
fn a_night_and_a_day_of_the_corpus_are_a_fifth_shorter_as_columns() {
    for (below, most) in [("nightly/java-null/2026-07-14", 85), ("orders/day0", 85)] {
        let Some(folder) = corpus(below) else { return };
        let (mut rows, mut columns) = (0, 0);
        for path in files_below(&folder).iter().take(5) {
            let sizes = sizes(&Table::read(path).unwrap());
            (rows, columns) = (rows + sizes.0, columns + sizes.1);
        }
        println!("{below}: {rows} as rows, {columns} as columns");
        assert!(columns * 100 <= rows * most, "{columns} of {rows}");
    }
}

/// All objects of a repository with nothing but a first copy in it, against the files as their writer compressed them.
#[test]
fn a_first_copy_takes_less_than_the_compressed_files() {
    for (below, percent) in [("nightly/java-deflate/2026-07-14", 80), ("orders/day0", 70)] {
        let Some(folder) = corpus(below) else { return };
        let files: u64 = files_below(&folder).iter().map(|path| path.metadata().unwrap().len()).sum();
        let lab = Lab::new(Suite::Aes256Gcm);
        lab.save(&folder);
        let size = lab.size();
        println!("{below}: {files} bytes of files, {size} stored");
        assert!(size * 100 <= files * percent, "{size} of {files}");
    }
}
