//! Writes the first inputs of every target into `corpus/`: small, valid ones, which a fuzzer would take long to find.
//!
//! `cargo run --release --example seeds`, in this folder. The same bytes each time.

use std::fs;
use std::path::Path;

use avro_snap::avro::columns::TypeTree;
use avro_snap::avro::encoder::{Encoders, Method, all};
use avro_snap::avro::schema::Schema;
use avro_snap::chunk::{ChunkKind, ChunkMap, CutParams, Decompressor, RecordShape};
use avro_snap::crypto::{Envelope, Keyring, SeededEntropy, Suite, slot};
use avro_snap::id::{ChunkHasher, ChunkId, EntryHash, IndexId, KeyId, Kind, PackId, RepositoryId, SnapshotId};
use avro_snap::pack::{
    Chain, Directory, Encoding, FrameChunk, FrameCodec, PackBuilder, PackInfo, Place, PlainChunk, make_parity,
};
use avro_snap::recipe::{Framer, Segment, Splitter, PayloadDecision};
use avro_snap::log::{Body, LogEntry, ReplaceReason, RootReplacement, kind};
use avro_snap::store::{Config, Features, Settings};
use avro_snap::snapshot::entry::{AvroFacts, AvroState, EntryKind, FileEntry, Xattr};
use avro_snap::snapshot::{ManifestWriter, Rule, SnapshotRoot, Totals, encode_row};

const REPOSITORY: RepositoryId = RepositoryId::new([0x5a; 16]);

fn main() {
    avro();
    recipes();
    repository();
}

fn put(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)).unwrap()
}

fn avro() {
    for name in [
        "header-only",
        "negative-map-count",
        "split-metadata",
        "marker-in-metadata",
        "marker-in-record",
        "noncanonical-varints",
        "noncanonical-header",
        "stray-bytes",
        "wrong-marker",
        "truncated-in-header",
        "zero-record-block",
        "old-obj0",
        "huge-metadata-count",
        "flipped-deflate",
        "same-records-c",
        "empty-records",
    ] {
        let file = fixture(&format!("odd/{name}.avro"));
        let file = &file[..file.len().min(4096)];
        put("container", name, [&[3][..], file].concat());
        put("split_rebuild", name, [&[0x27][..], file].concat());
    }
    let text: Vec<u8> = (0..60u32).flat_map(|n| format!("row {n}: {} and again\n", n * n % 97).into_bytes()).collect();
    let mut encoders = Encoders::new();
    for id in all() {
        let target = match id.method {
            Method::Zlib { level: 1 | 6 | 9, mem_level: 8 } | Method::Miniz { level: 0 | 10 } => "payload_deflate",
            Method::Go { level: 6 } | Method::GoHuffman | Method::Libflate => "payload_deflate",
            Method::ZlibNg { level: 6, .. } | Method::ZlibNg21 { level: 6, .. } => "payload_deflate",
            Method::Snappy(_) => "payload_snappy",
            Method::Zstd157 { level: 1 | 3 | 9, .. } | Method::Zstd156 { level: 3, .. } => "payload_zstandard",
            Method::Bzip2 { level: 1 | 9 } | Method::Bzip2Java { level: 1 | 9 } => "payload_bzip2",
            Method::Xz { preset: 0 | 6, extreme: false, .. } => "payload_xz",
            _ => continue,
        };
        let name = id.to_string().replace([':', '.'], "-");
        for (size, plain) in [("", &text[..]), ("-short", b"ab"), ("-empty", b"")] {
            let mut payload = Vec::new();
            if encoders.encode(&id, plain, &mut payload).is_ok() {
                if target == "payload_snappy" {
                    put(target, &format!("{name}{size}-bare"), [&[1][..], &payload[..payload.len() - 4]].concat());
                    payload.insert(0, 0);
                }
                put(target, &format!("{name}{size}"), payload);
            }
        }
        put("encoder_id", &name, [id.to_string().as_bytes(), b"\0abcabcabcabcabcabcabcd"].concat());
    }
    for codec in 0..6u8 {
        for encoder in [0, 1, 5] {
            // Two blocks, then one change to the file.
            let mut bytes = vec![0xa5, codec, 0, 7, 2, encoder, 9, 12];
            bytes.extend(b"abcdefghijkl");
            bytes.extend([encoder + 1, 63, 4, 1, 2, 3, 4]);
            put("split_rebuild", &format!("built-{codec}-{encoder}"), &bytes);
            bytes.extend([90, 0, 1, 2]);
            put("split_rebuild", &format!("built-{codec}-{encoder}-changed"), &bytes);
        }
    }
    exact_deflate(&text);
    let schemas: [(&str, &str, &[u8]); 12] = [
        ("long", r#""long""#, &[0x80, 1]),
        ("string", r#"["null","string"]"#, &[2, 4, 97, 98]),
        ("map", r#"{"type":"map","values":"int"}"#, &[2, 2, 97, 2, 0]),
        ("array", r#"{"type":"array","items":{"type":"fixed","name":"F","size":3}}"#, &[3, 6, 1, 2, 3, 1, 2, 3, 0]),
        ("nulls", r#"{"type":"array","items":"null"}"#, &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0]),
        ("enum", r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, &[2]),
        ("list", r#"{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}"#, &[2, 2, 0]),
        ("endless", r#"{"type":"record","name":"L","fields":[{"name":"n","type":"L"}]}"#, &[2, 2, 0]),
        ("empty", r#"{"type":"record","name":"a.b.L","fields":[]}"#, &[]),
        ("logical", r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#, &[2, 9]),
        ("unions", r#"["null","long","boolean","double",{"type":"map","values":["null","bytes"]}]"#, &[4, 1]),
        (
            "calls",
            r#"[{"type":"record","name":"A","fields":[{"name":"a","type":"int"},{"name":"b","type":{"type":"record","name":"B","namespace":"n","fields":[{"name":"c","type":"string"}]}}]},"A","n.B"]"#,
            &[0, 2, 2, 97],
        ),
    ];
    for (name, text, data) in schemas {
        put("schema", name, [text.as_bytes(), &[0], data].concat());
    }
    // Each record holds the one before twice.
    let mut text = r#"{"type":"record","name":"R0","fields":[]}"#.to_string();
    for n in 1..12 {
        let fields = format!(r#"[{{"name":"a","type":{text}}},{{"name":"b","type":"R{}"}}]"#, n - 1);
        text = format!(r#"{{"type":"record","name":"R{n}","fields":{fields}}}"#);
    }
    put("schema", "doubling", [text.as_bytes(), &[0]].concat());
}

/// Which encoder, the form and the limit of the input, where to change the stream; then the input.
fn exact_deflate(text: &[u8]) {
    const AS_IT_IS: u8 = 0;
    const REPEATED: u8 = 1;
    const WRITTEN: u8 = 2;
    const STREAM: u8 = 3;
    let mut program = vec![0x9c];
    program.extend_from_slice(&text[..20]);
    program.extend([0x01, 40, 7, 0, 0x02, 0, 9, 3, 1, 0x05, 15, 0, 200, 0x03, 9, 0x0b, 16, 0x0e, 3, 44, 1, 0x23, 5]);
    program.extend([0x04, 97, 0x34, 0x12, 0x3f, 0, 16, 0x16, 255, 30, 1, 0x13, 21, 0x02, 44, 1, 255, 127]);
    for which in (0..46).step_by(5) {
        let head = |form: u8| [which, form, which, 3];
        let name = |form: &str| format!("{form}-{which}");
        put("exact_deflate", &name("text"), [&head(AS_IT_IS), text].concat());
        put("exact_deflate", &name("repeated"), [&head(REPEATED | 2 << 2)[..], &[9, 40, 0], &text[..400]].concat());
        put("exact_deflate", &name("program"), [&head(WRITTEN | 1 << 2), &program[..]].concat());
        let (mut payload, level) = (Vec::new(), 1 + which % 9);
        let id = if which < 36 { Method::Zlib { level, mem_level: 8 + which / 9 % 2 } } else { Method::Go { level } };
        Encoders::new().encode(&id.plain(), &text[..500], &mut payload).unwrap();
        put("exact_deflate", &name("stream"), [&head(STREAM), &payload[..]].concat());
    }
}

fn recipes() {
    const SMALL: CutParams = CutParams { min: 64, average: 256, max: 1024, align: 512 };
    for (name, decode) in
        [("stray-bytes", true), ("same-records-c", false), ("zero-record-block", true), ("not-avro", true)]
    {
        let file = fixture(&format!("odd/{name}.avro"));
        let (mut framer, mut splitter, mut map) = (Framer::new(true), Splitter::new(SMALL), ChunkMap::default());
        framer.push(&file);
        while let Some(segment) = framer.next_segment(true) {
            match segment {
                Segment::Block(block) if decode => {
                    let decision = PayloadDecision::Decode { plain: None, encoder: "null".into(), corrections: None };
                    splitter.block(block, decision, &mut map).unwrap();
                }
                segment => splitter.segment(segment, &mut map).unwrap(),
            }
        }
        let recipe = splitter.finish(&mut map).unwrap().recipe.encode();
        // Chunks as the targets know them: numbered, the number being the first byte of the id.
        let mut chunks: Vec<_> = map.chunks.into_iter().collect();
        chunks.sort_by_key(|(id, (kind, _))| (*kind != ChunkKind::Node, *id));
        chunks.truncate(8);
        let mut bytes = vec![chunks.len() as u8];
        for (_, (_, chunk)) in &chunks {
            put_part(&mut bytes, &renamed(chunk, &chunks));
        }
        bytes.extend([0, 0]);
        bytes.extend(renamed(&recipe, &chunks));
        put("recipe", name, bytes);
    }

    let (mut map, hasher) = (ChunkMap::default(), ChunkHasher::open());
    let mut writer = ManifestWriter::new(hasher);
    for number in 0..900 {
        let entry = FileEntry { path: format!("{number:04}").into_bytes(), ..FileEntry::nothing() };
        writer.push(&entry, &mut map).unwrap();
    }
    let tree = writer.finish(&mut map).unwrap().unwrap();
    let mut chunks: Vec<_> = map.chunks.into_iter().collect();
    chunks.sort_by_key(|(id, (kind, bytes))| (*id != tree.root.id, *kind != ChunkKind::Node, bytes.len()));
    chunks.truncate(8);
    let mut bytes = vec![chunks.len() as u8];
    for (_, (_, chunk)) in &chunks {
        put_part(&mut bytes, &renamed(chunk, &chunks));
    }
    bytes.push(tree.height);
    bytes.extend([
        tree.root.length as u8,
        (tree.root.length >> 8) as u8,
        tree.root.records as u8,
        (tree.root.records >> 8) as u8,
    ]);
    put_part(&mut bytes, &tree.root.last);
    put_part(&mut bytes, b"0100");
    put("manifest", "rows", bytes);
}

/// Trees with records of them; the inside of a frame.
fn columns() {
    let order = r#"{"type":"record","name":"O","fields":[{"name":"id","type":"long"},{"name":"t","type":"double"},
        {"name":"note","type":["null","string"]},{"name":"tags","type":{"type":"map","values":"int"}},
        {"name":"next","type":["null","O"]}]}"#;
    let tree = TypeTree::of_schema(&Schema::parse(order).unwrap()).unwrap();
    let record = |n: u8| {
        let mut record = vec![n, n / 3, 1, n.wrapping_mul(37), 2, n.wrapping_mul(91), 3, n, 64, 2, 6, b'a', b'b', n];
        record.extend([1, 8, 2, b'k', n & 63, 0, 2, 11, n, 7, 6, n / 2, 4, 3, 2, 1, 0, 0, 0]);
        record
    };
    for (name, records) in [("one", record(5)), ("many", (0..120).flat_map(record).collect())] {
        let mut bytes = Vec::new();
        put_part(&mut bytes, tree.bytes());
        bytes.push(0);
        bytes.extend(&records);
        put("columns", name, bytes);
        let shape = RecordShape { fingerprint: 0, tree: tree.bytes().to_vec() };
        let chunk = PlainChunk { id: ChunkHasher::open().id(&records), bytes: records.clone() };
        let frame = FrameCodec::new(Some(3)).unwrap().encode_records(&[chunk], &shape);
        if frame.encoding == Encoding::Columnar {
            let head = [3, records.len() as u8, (records.len() >> 8) as u8];
            put("frame", "columnar", [&head[..], &frame.body].concat());
            // The body begins with the length of what is inside, here two bytes.
            let length = usize::from(frame.body[0] & 0x7f) | usize::from(frame.body[1]) << 7;
            let inside = Decompressor::new().unwrap().decompress(&frame.body[2..], length).unwrap();
            let (tree, rest) = inside[1..].split_at(inside[0].into());
            let mut bytes = Vec::new();
            put_part(&mut bytes, tree);
            bytes.extend([1, records.len() as u8, (records.len() >> 8) as u8]);
            bytes.extend(rest);
            put("columns", "inside", bytes);
        }
    }
}

/// With the ids of these chunks replaced by their numbers.
fn renamed<T>(bytes: &[u8], chunks: &[(ChunkId, T)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (number, (id, _)) in chunks.iter().enumerate() {
        while let Some(at) = bytes.windows(32).position(|window| window == id.as_bytes()) {
            bytes[at..at + 32].fill(number as u8);
        }
    }
    bytes
}

fn put_part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend((part.len() as u16).to_le_bytes());
    bytes.extend(part);
}

fn repository() {
    let entropy = SeededEntropy::new(3);
    let chunk = |n: u8| FrameChunk { id: ChunkId::new([n; 32]), length: 100 + u32::from(n) };
    let mut directory = Directory::default();
    directory.push(Encoding::Zstd, ChunkKind::Records, &[chunk(1), chunk(2)], 120);
    directory.push(Encoding::Raw, ChunkKind::Bytes, &[chunk(3)], 119);
    put("pack_directory", "two", directory.encode());
    directory.bases.extend([ChunkId::new([9; 32]), ChunkId::new([10; 32])]);
    directory.push_delta(ChunkKind::Records, chunk(4), 50, Place { depth: 1, step: 1 }, vec![0]);
    directory.push_delta(ChunkKind::Records, chunk(5), 60, Place { depth: 9, step: 0 }, vec![0, 1]);
    put("pack_directory", "delta", directory.encode());
    put("pack_directory", "empty", Directory::default().encode());
    let info = |n: u8, directory: &Directory| PackInfo {
        id: PackId::new([n; 32]),
        length: 1000,
        suite: Suite::Aes256Gcm,
        epoch: 1,
        salt: [n; 32],
        directory: directory.clone(),
    };
    put("index_object", "two", avro_snap::index::encode_object(&[info(1, &directory), info(2, &Directory::default())]));
    put("index_object", "empty", avro_snap::index::encode_object(&[]));

    let hasher = ChunkHasher::open();
    let plain = |bytes: &[u8]| PlainChunk { id: hasher.id(bytes), bytes: bytes.to_vec() };
    let mut codec = FrameCodec::new(Some(3)).unwrap();
    let frames = [
        codec.encode(ChunkKind::Bytes, &[plain(&[b"abcd".repeat(60), vec![7; 40]].concat()), plain(b"second")]),
        codec.encode(ChunkKind::Records, &[plain(b"short")]),
    ];
    for (number, frame) in frames.iter().enumerate() {
        let length: u32 = frame.chunks.iter().map(|chunk| chunk.length).sum();
        let head = [frame.encoding as u8, length as u8, (length >> 8) as u8];
        put("frame", &format!("body-{number}"), [&head[..], &frame.body].concat());
        let head = [frame.encoding as u8 | 4, length as u8, (length >> 8) as u8, 0, 0];
        put("frame", &format!("body-{number}-wide"), [&head[..], &frame.body].concat());
    }
    let base = b"a base of some length, for the chunk".repeat(3);
    let chunk = plain(&[&base[..50], &b"something else"[..], &base[40..]].concat());
    let chain = Chain { place: Place { depth: 1, step: 1 }, bases: vec![hasher.id(&base)] };
    let delta = codec.encode_delta(ChunkKind::Records, &chunk, &base, chain, usize::MAX).unwrap();
    for (name, body) in [("body", &delta.body), ("chunk", &chunk.bytes)] {
        let mut bytes = (chunk.bytes.len() as u32).to_le_bytes().to_vec();
        put_part(&mut bytes, &base);
        bytes.extend(body);
        put("delta", name, bytes);
    }
    let mut builder = PackBuilder::default();
    frames.iter().for_each(|frame| builder.push(frame.clone()));
    let sealed = builder.seal(REPOSITORY, Suite::None, None, &entropy).unwrap();
    let mut bytes = vec![1];
    put_part(&mut bytes, &sealed.info.directory.encode());
    frames.iter().for_each(|frame| bytes.extend(&frame.body));
    put("pack", "parts", bytes);
    put("pack", "header", &sealed.bytes[..96]);
    put("pack", "whole", &sealed.bytes);
    for share in [50, 1000] {
        let object = make_parity(REPOSITORY, &sealed.info.id, &sealed.bytes, share).unwrap();
        put("parity", &format!("object-{share}"), object);
        let changes = [share as u8, (share >> 8) as u8, 2, 100, 0, 1, 7, 2, 0x80];
        put("parity", &format!("changed-{share}"), [&changes[..], &sealed.bytes].concat());
    }

    columns();

    let ids = (SnapshotId::new([1; 16]), ChunkId::new([2; 32]), IndexId::new([3; 32]), KeyId::new([4; 8]));
    let bodies = [
        Body::Init { config: [1; 32], keys: vec![(ids.3, [5; 32])] },
        Body::AddSnapshot { snapshot: ids.0, root: ids.1, indexes: vec![ids.2, ids.2] },
        Body::RemoveSnapshots { snapshots: vec![ids.0] },
        Body::SetTags { snapshot: ids.0, tags: vec!["a".into(), "bc".into()] },
        Body::KeyAdd { key: ids.3, hash: [5; 32] },
        Body::KeyRemove { key: ids.3 },
        Body::KeyRotate { epoch: 1, commitment: [6; 32], keys: vec![(ids.3, [5; 32])] },
        Body::Config { features: Features::DELTA, settings: Settings::default() },
        Body::Sound { packs: vec![(PackId::new([7; 32]), vec![1, 2])] },
        Body::ReplaceRoots {
            reason: ReplaceReason::Settled,
            roots: vec![RootReplacement { snapshot: ids.0, old: ids.1, new: ChunkId::new([9; 32]) }],
            indexes: vec![ids.2],
        },
        Body::Reserved { kind: kind::CONDEMN, bytes: vec![1, 2, 3] },
    ];
    for body in bodies {
        let name = format!("kind-{}", body.kind());
        let previous = EntryHash::new([6; 32]);
        let entry = LogEntry { sequence: 7, previous, transaction: [8; 16], time: 9, writer: "anna".into(), body };
        put("log_entry", &name, entry.encode());
    }

    let keyring = Keyring::random(&entropy).unwrap();
    let cost = slot::KdfCost { memory_kib: 64, passes: 1, lanes: 1 };
    let slot_info = slot::SlotInfo { repository: REPOSITORY, cost, created: 5, label: "anna@host".into() };
    put("key_slot", "slot", slot::seal(&entropy, &keyring, b"password", &slot_info).unwrap());
    put("key_slot", "keyring", keyring.encode());

    let config = Config {
        repository: REPOSITORY,
        suite: Suite::None,
        created: 1,
        cut: CutParams::default(),
        features: Features::default(),
    };
    put("envelope", "config", config.encode());
    let envelope = Envelope::new(REPOSITORY, None);
    put("envelope", "index", envelope.seal(&entropy, Kind::Index, "", b"body").unwrap());

    let row = FileEntry {
        path: b"dir/file.avro".to_vec(),
        user: Some("anna".into()),
        size: 12345,
        xattrs: vec![Xattr { name: b"user.a".to_vec(), value: b"b".to_vec() }],
        content: Some(avro_snap::id::ContentHash::new([7; 32])),
        recipe: vec![1, 1, 1, 2, 97, 98],
        avro: Some(AvroFacts {
            state: AvroState::Ok,
            codec: "deflate".into(),
            fingerprint: 77,
            blocks: 2,
            declared_records: 20,
            verified_records: 20,
            encoder: "zlib:L6:M8".into(),
            blocks_exact: 2,
            blocks_corrected: 0,
            blocks_raw: 0,
            raw_reason: String::new(),
            stray_bytes: 0,
        }),
        ..FileEntry::nothing()
    };
    let link = FileEntry { kind: EntryKind::Symlink(b"to".to_vec()), path: b"link".to_vec(), ..FileEntry::nothing() };
    let mut rows = Vec::new();
    encode_row(&row, &mut rows);
    encode_row(&link, &mut rows);
    put("manifest_rows", "two", rows);
    let root = SnapshotRoot {
        id: ids.0,
        series: "host:/data".into(),
        host: "host".into(),
        user: "anna".into(),
        time: 1,
        paths: vec![b"/data".to_vec()],
        tags: vec!["nightly".into()],
        parent: Some(ids.0),
        program: "snap".into(),
        required_read: 0,
        totals: Totals { files: 1, ..Totals::default() },
        rules: vec![Rule { name: "exclude".into(), value: b"*.log".to_vec() }],
        revision: 1,
        altered: Some(2),
        properties: Vec::new(),
        path_list: avro_snap::recipe::Stream::Empty,
        manifest: None,
    };
    put("manifest_rows", "root", root.encode());
}
