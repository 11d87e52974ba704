//! How fast each layer is alone: `cargo bench --bench layers`, or `-- walk` for one of them.
//!
//! Bytes in the throughput are plain ones: decoded payloads, not stored ones. One core each. Inputs are the fixtures,
//! repeated with changes to a few MB, so every machine has the same; of the corpus beside the project, where it is there,
//! come real blocks for the encoders.

#![allow(missing_docs, reason = "criterion's macros make functions without any")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use avro_snap::avro::codec::{Codec, Decoder, MAX_DECODED};
use avro_snap::avro::columns::TypeTree;
use avro_snap::avro::container::{Parsed, parse_block, parse_header};
use avro_snap::avro::encoder::{EncoderId, Encoders};
use avro_snap::avro::schema::Schema;
use avro_snap::chunk::{ChunkKind, CutParams, RecordShape, StreamCutter};
use avro_snap::crypto::{Entropy, FrameContext, Keyring, PackCipher, SeededEntropy, Suite};
use avro_snap::id::{ChunkHasher, ChunkId, Digester, IndexId, PackId, RepositoryId, digest};
use avro_snap::index::Index;
use avro_snap::pack::{Directory, Encoding, FrameChunk, FrameCodec, PackInfo, Parity, PlainChunk, make_parity};
use avro_snap::recipe::{Framer, Segment};
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, measurement::WallTime};

/// About how long the inputs are, in bytes.
const INPUT: usize = 4 << 20;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .configure_from_args();
    walk(&mut criterion);
    chunk(&mut criterion);
    hash(&mut criterion);
    pack(&mut criterion);
    parity(&mut criterion);
    columns(&mut criterion);
    index(&mut criterion);
    encoders(&mut criterion);
    criterion.final_summary();
}

/// Inputs that are decoded payloads of a file, with its schema.
struct Table {
    name: &'static str,
    schema: Schema,
    marker: [u8; 16],
    header: Vec<u8>,
    /// Records that a block declares, and the block decoded.
    blocks: Vec<(u64, Vec<u8>)>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the fixtures.
fn table(name: &'static str) -> Table {
    let path = root().join(format!("fixtures/nights/2026-03-01/{name}.avro"));
    let file = fs::read(path).unwrap();
    let Parsed::Done(header) = parse_header(&file) else { panic!("{name} has no header") };
    let schema = Schema::parse(header.schema_text().unwrap()).unwrap();
    let (codec, mut at) = (Codec::from_name(header.codec_name()).unwrap(), header.length);
    let (mut blocks, mut decoder) = (Vec::new(), Decoder::new());
    while at < file.len() {
        let Parsed::Done(block) = parse_block(&file[at..], &header.marker) else { panic!("{name} is not sound") };
        let mut plain = Vec::new();
        decoder.decode(codec, &file[at..][block.payload()], MAX_DECODED, &mut plain).unwrap();
        blocks.push((block.count, plain));
        at += block.length();
    }
    let mut bytes = header.bytes().to_vec();
    bytes.extend(header.marker);
    Table { name, schema, marker: header.marker, header: bytes, blocks }
}

impl Table {
    /// The blocks again and again, up to the length of an input.
    fn repeated(&self) -> Vec<&(u64, Vec<u8>)> {
        let (mut blocks, mut length) = (Vec::new(), 0);
        for block in self.blocks.iter().cycle() {
            if length >= INPUT {
                break;
            }
            length += block.1.len();
            blocks.push(block);
        }
        blocks
    }

    /// A container with those blocks as they are.
    fn container(&self) -> Vec<u8> {
        let mut file = self.header.clone();
        for (count, plain) in self.repeated() {
            avro_snap::avro::container::put_block_header(&mut file, *count, plain.len());
            file.extend(plain);
            file.extend(self.marker);
        }
        file
    }

    /// The records end to end and where each ends. One byte in 16 is changed, so that repetitions compress no better than
    /// other records.
    fn records(&self) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (count, plain) in self.repeated() {
            let before = bytes.len();
            self.schema.walk_block(plain, *count, &mut |end| ends.push(before + end));
            bytes.extend(plain);
        }
        for (number, part) in bytes.chunks_mut(512).enumerate() {
            for (lane, noise) in part.chunks_exact_mut(16).zip(digest(&number.to_le_bytes())) {
                lane[usize::from(noise & 15)] ^= noise;
            }
        }
        (bytes, ends)
    }
}

fn group<'c>(criterion: &'c mut Criterion, name: &str, bytes: usize) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64));
    group
}

fn walk(criterion: &mut Criterion) {
    for name in ["orders", "readings", "stations"] {
        let table = table(name);
        let (file, blocks) = (table.container(), table.repeated());
        let plain: usize = blocks.iter().map(|(_, plain)| plain.len()).sum();
        let mut group = group(criterion, "walk", plain);
        if name == "orders" {
            group.bench_function("container", |bencher| {
                bencher.iter(|| {
                    let (mut framer, mut seen) = (Framer::new(true), 0);
                    for part in file.chunks(256 << 10) {
                        framer.push(part);
                        while let Some(segment) = framer.next_segment(false) {
                            seen += usize::from(matches!(black_box(segment), Segment::Block(_)));
                        }
                    }
                    assert_eq!(seen, blocks.len());
                });
            });
        }
        group.bench_function(format!("records/{}", table.name), |bencher| {
            bencher.iter(|| {
                let mut last = 0;
                for (count, plain) in &blocks {
                    let walked = table.schema.walk_block(plain, *count, &mut |end| last = end);
                    assert!(walked.fault.is_none());
                }
                black_box(last)
            });
        });
        group.finish();
    }
}

fn chunk(criterion: &mut Criterion) {
    let (bytes, ends) = table("orders").records();
    let mut group = group(criterion, "chunk", bytes.len());
    for (name, borders) in [("without-borders", false), ("with-borders", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut cutter = StreamCutter::new(CutParams::default(), borders);
                let (mut ends, mut pushed, mut cut) = (ends.iter().peekable(), 0, 0);
                for part in bytes.chunks(64_000) {
                    cutter.push(part);
                    pushed += part.len();
                    while let Some(end) = ends.next_if(|end| borders && **end <= pushed) {
                        cutter.border(pushed - end);
                    }
                    while let Some(piece) = cutter.next_piece(false) {
                        cut += black_box(piece).bytes.len();
                    }
                }
                while let Some(piece) = cutter.next_piece(true) {
                    cut += black_box(piece).bytes.len();
                }
                assert_eq!(cut, bytes.len());
            });
        });
    }
    group.finish();
}

fn hash(criterion: &mut Criterion) {
    let (bytes, _) = table("orders").records();
    let hasher = ChunkHasher::keyed(&[1; 32]);
    let mut group = group(criterion, "hash", bytes.len());
    group.bench_function("chunk-ids/64k", |bencher| {
        bencher.iter(|| bytes.chunks(64 << 10).fold(0, |sum, chunk| sum ^ hasher.id(chunk).as_bytes()[0]));
    });
    group.bench_function("content/256k-parts", |bencher| {
        bencher.iter(|| {
            let mut digester = Digester::new();
            bytes.chunks(256 << 10).for_each(|part| digester.update(part));
            digester.finish()
        });
    });
    group.finish();
}

fn pack(criterion: &mut Criterion) {
    let (bytes, _) = table("orders").records();
    // A frame as writers make it: chunks of 64 KiB up to 1 MiB.
    let hasher = ChunkHasher::open();
    let chunks: Vec<_> = bytes[..1 << 20]
        .chunks(64 << 10)
        .map(|chunk| PlainChunk { id: hasher.id(chunk), bytes: chunk.to_vec() })
        .collect();
    let mut codec = FrameCodec::new(Some(3)).unwrap();
    let frame = codec.encode(ChunkKind::Records, &chunks);
    assert_eq!(frame.encoding, Encoding::Zstd);
    eprintln!("pack: a frame of 1048576 bytes takes {} at zstd 3", frame.body.len());
    let mut group = group(criterion, "pack", 1 << 20);
    group.bench_function("encode-and-verify/zstd3", |bencher| {
        bencher.iter(|| codec.encode(ChunkKind::Records, &chunks));
    });
    group.bench_function("decode/zstd3", |bencher| {
        bencher.iter(|| codec.decode(frame.encoding, &frame.body, 1 << 20).unwrap());
    });
    let keyring = Keyring::random(&SeededEntropy::new(1)).unwrap();
    let (repository, context) = (RepositoryId::new([1; 16]), FrameContext { number: 0, bound: b"bound" });
    for suite in [Suite::None, Suite::Aes256Gcm, Suite::XChaCha20Poly1305] {
        let master = keyring.master(0).filter(|_| suite != Suite::None);
        let cipher = PackCipher::new(suite, repository, master, &[2; 32]).unwrap();
        let mut sealed = bytes[..1 << 20].to_vec();
        // With room for the tag, as a buffer that is used again has it.
        sealed.reserve(16);
        let plain = sealed.clone();
        group.bench_function(format!("seal/{}", suite.name()), |bencher| {
            bencher.iter(|| {
                sealed.truncate(plain.len());
                cipher.seal(context, &mut sealed).unwrap();
            });
        });
        let mut sealed = plain;
        cipher.seal(context, &mut sealed).unwrap();
        group.bench_function(format!("open/{}", suite.name()), |bencher| {
            bencher.iter_batched(
                || sealed.clone(),
                |mut sealed| {
                    cipher.open(context, &mut sealed).unwrap();
                    sealed
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
    open_frame(criterion, &keyring, repository, &frame);
}

/// The redundancy of a pack of the usual length.
fn parity(criterion: &mut Criterion) {
    let repository = RepositoryId::new([1; 16]);
    let mut pack = vec![0; 16 << 20];
    SeededEntropy::new(1).fill(&mut pack).unwrap();
    let id = PackId::new(digest(&pack));
    let object = make_parity(repository, &id, &pack, 50).unwrap();
    let mut damaged = pack.clone();
    (0..200).for_each(|shard| damaged[shard * 80_000] ^= 1);
    let mut group = group(criterion, "parity", pack.len());
    group.bench_function("make", |bencher| bencher.iter(|| make_parity(repository, &id, &pack, 50).unwrap()));
    group.bench_function("mend", |bencher| {
        bencher.iter(|| {
            let mended = Parity::read(&object, repository).unwrap().mend(&damaged).unwrap();
            assert_eq!(mended.len(), pack.len());
        });
    });
    group.finish();
}

/// Frames of whole records, column by column: taken apart alone, then with coding, compressing and comparing.
fn columns(criterion: &mut Criterion) {
    for name in ["orders", "readings"] {
        let table = table(name);
        let plain: Vec<u8> = table.repeated().iter().flat_map(|(_, plain)| plain.clone()).collect();
        let mut ends = Vec::new();
        let walk = table.schema.walk_block(&plain, u64::MAX >> 1, &mut |end| ends.push(end));
        let end = ends.iter().copied().filter(|end| *end <= 1 << 20).max().unwrap_or(walk.end);
        let plain = &plain[..end];
        let tree = TypeTree::of_schema(&table.schema).unwrap();
        let shape = RecordShape { fingerprint: table.schema.fingerprint(), tree: tree.bytes().to_vec() };
        let mut group = group(criterion, "columns", plain.len());
        let mut columns = Vec::new();
        group.bench_function(format!("split/{name}"), |bencher| {
            bencher.iter(|| tree.split(plain, &mut columns).unwrap());
        });
        let parts: Vec<&[u8]> = columns.iter().map(|column| &column[..]).collect();
        group.bench_function(format!("join/{name}"), |bencher| bencher.iter(|| tree.join(&parts).unwrap()));
        let chunks = [PlainChunk { id: ChunkHasher::open().id(plain), bytes: plain.to_vec() }];
        for level in [1, 3] {
            let mut codec = FrameCodec::new(Some(level)).unwrap();
            let frame = codec.encode_records(&chunks, &shape);
            let rows = codec.encode(ChunkKind::Records, &chunks).body.len();
            eprintln!("columns: {name} of {end} bytes: {} at zstd {level}, {rows} as rows", frame.body.len());
            group.bench_function(format!("encode-and-verify/{name}/zstd{level}"), |bencher| {
                bencher.iter(|| codec.encode_records(&chunks, &shape));
            });
            group.bench_function(format!("decode/{name}/zstd{level}"), |bencher| {
                bencher.iter(|| codec.decode(frame.encoding, &frame.body, end).unwrap());
            });
        }
        group.finish();
    }
}

/// A whole frame out of a pack: opened and decoded, and the ids of its chunks computed again, as every read does.
fn open_frame(
    criterion: &mut Criterion,
    keyring: &Keyring,
    repository: RepositoryId,
    frame: &avro_snap::pack::EncodedFrame,
) {
    let mut builder = avro_snap::pack::PackBuilder::default();
    builder.push(frame.clone());
    let pack = builder.seal(repository, Suite::Aes256Gcm, Some(keyring), &SeededEntropy::new(2)).unwrap();
    let cipher = pack.info.cipher(repository, Some(keyring)).unwrap();
    let (mut codec, place) = (FrameCodec::new(None).unwrap(), &pack.info.directory.frames[0]);
    let sealed = pack.bytes[place.offset as usize..][..place.stored as usize].to_vec();
    let hasher = ChunkHasher::open();
    let mut group = group(criterion, "pack", 1 << 20);
    group.bench_function("read-frame/aes-zstd3-ids", |bencher| {
        bencher.iter(|| {
            let plain = pack.info.open_frame(&cipher, &mut codec, 0, sealed.clone()).unwrap();
            let mut at = 0;
            for chunk in pack.info.directory.chunks_of(place) {
                let next = at + chunk.length as usize;
                assert_eq!(hasher.id(&plain[at..next]), chunk.id);
                at = next;
            }
        });
    });
    group.finish();
}

/// Chunks in the index, and in each pack of it: as of packs of 16 MiB with compressed chunks of 64 KiB.
const ROWS: u64 = 200_000;
const ROWS_OF_PACK: u64 = 500;

fn index(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let id = |number: u64| ChunkId::new(digest(&number.to_le_bytes()));
    let info = |number: u64, first: u64| {
        let chunks: Vec<_> = (first..first + ROWS_OF_PACK).map(|n| FrameChunk { id: id(n), length: 65_536 }).collect();
        let mut directory = Directory::default();
        chunks.chunks(16).for_each(|chunks| directory.push(Encoding::Zstd, ChunkKind::Records, chunks, 300_000));
        let bytes = digest(format!("pack {number}").as_bytes());
        PackInfo { id: PackId::new(bytes), length: 16 << 20, suite: Suite::None, epoch: 0, salt: bytes, directory }
    };
    let index = Index::open(Some(&folder.path().join("index.db")), [1; 32], Default::default()).unwrap();
    for object in 0..ROWS / ROWS_OF_PACK / 20 {
        let packs: Vec<_> = (object * 20..object * 20 + 20).map(|n| info(n, n * ROWS_OF_PACK)).collect();
        index.insert_object(&IndexId::new(digest(&object.to_le_bytes())), &packs).unwrap();
    }
    let mut group = criterion.benchmark_group("index");
    group.throughput(Throughput::Elements(1000));
    let mut at = 0;
    let mut next = move || {
        at = (at + 7919) % ROWS;
        at
    };
    group.bench_function("locate-1000/present", |bencher| {
        bencher.iter(|| (0..1000).for_each(|_| assert!(!index.locate(&id(next())).unwrap().is_empty())));
    });
    group.bench_function("locate-1000/absent", |bencher| {
        bencher.iter(|| (0..1000).for_each(|n| assert!(index.locate(&id(ROWS + n)).unwrap().is_empty())));
    });
    group.throughput(Throughput::Elements(ROWS_OF_PACK));
    let mut fresh = ROWS;
    group.bench_function("insert-pack/500-rows", |bencher| {
        bencher.iter_batched(
            || {
                fresh += ROWS_OF_PACK;
                info(fresh, fresh)
            },
            |info| index.insert_unpublished(&info).unwrap(),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Decoded blocks of files of this codec: of the corpus (true), else of the fixtures; up to so many bytes.
fn real_blocks(codec: Codec, limit: usize) -> (Vec<Vec<u8>>, bool) {
    let corpus = root().join(format!("../shared/corpus/nightly/java-{}", codec.name()));
    let fixtures = [root().join("fixtures/codecs")];
    let from_corpus = corpus.is_dir();
    let mut nights: Vec<PathBuf> = match from_corpus {
        true => fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect(),
        false => fixtures.to_vec(),
    };
    nights.sort();
    let (mut blocks, mut bytes, mut decoder) = (Vec::new(), 0, Decoder::new());
    for night in nights {
        let mut files: Vec<_> = fs::read_dir(night).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "avro")) {
            let file = fs::read(file).unwrap();
            let Parsed::Done(header) = parse_header(&file) else { continue };
            if header.codec_name() != codec.name() {
                continue;
            }
            let mut at = header.length;
            while at < file.len() && bytes < limit {
                let Parsed::Done(block) = parse_block(&file[at..], &header.marker) else { break };
                let mut plain = Vec::new();
                decoder.decode(codec, &file[at..][block.payload()], MAX_DECODED, &mut plain).unwrap();
                bytes += plain.len();
                blocks.push(plain);
                at += block.length();
            }
        }
    }
    (blocks, from_corpus)
}

fn encoders(criterion: &mut Criterion) {
    let (mut encoders, mut decoder) = (Encoders::new(), Decoder::new());
    for (codec, text, limit) in [
        (Codec::Deflate, "zlib:L6:M8", 2 << 20),
        (Codec::Snappy, "snappy:mask14", INPUT),
        (Codec::Snappy, "snappy:shift14", INPUT),
        (Codec::Zstandard, "zstd-1.5.7:once:L3", INPUT),
    ] {
        let id: EncoderId = text.parse().unwrap();
        let (real, from_corpus) = real_blocks(codec, limit);
        // The same rows for every encoder, as it makes them: a writer of the corpus may have used another.
        let blocks: Vec<_> = real
            .into_iter()
            .map(|plain| {
                let mut payload = Vec::new();
                encoders.encode(&id, &plain, &mut payload).unwrap();
                (plain, payload)
            })
            .collect();
        let bytes: usize = blocks.iter().map(|(plain, _)| plain.len()).sum();
        eprintln!(
            "encoders: {text}: {} blocks, {bytes} plain bytes, {} stored, of the {}",
            blocks.len(),
            blocks.iter().map(|(_, payload)| payload.len()).sum::<usize>(),
            if from_corpus { "corpus" } else { "fixtures" },
        );
        let mut group = group(criterion, "encoders", bytes);
        let name = text.replace(':', "-");
        group.bench_function(format!("decode/{name}"), |bencher| {
            let mut out = Vec::new();
            bencher.iter(|| {
                for (_, payload) in &blocks {
                    decoder.decode(codec, payload, MAX_DECODED, &mut out).unwrap();
                }
            });
        });
        group.bench_function(format!("verify/{name}"), |bencher| {
            bencher.iter(|| assert!(blocks.iter().all(|(plain, payload)| encoders.verify(&id, plain, payload))));
        });
        group.bench_function(format!("encode/{name}"), |bencher| {
            let mut out = Vec::new();
            bencher.iter(|| {
                for (plain, _) in &blocks {
                    out.clear();
                    encoders.encode(&id, plain, &mut out).unwrap();
                }
            });
        });
        // One library for each codec; that of snappy is what makes shift14.
        if text != "snappy:mask14" {
            raw(&mut group, codec, &blocks);
        }
        group.finish();
    }
}

/// What the library behind the codec needs to encode the same blocks, with its context used again and no comparison.
fn raw(group: &mut BenchmarkGroup<'_, WallTime>, codec: Codec, blocks: &[(Vec<u8>, Vec<u8>)]) {
    let mut room = vec![0; 1 << 20];
    match codec {
        Codec::Deflate => {
            let mut zlib = zlib::Deflate::new(6, 8);
            let mut same = true;
            for (plain, payload) in blocks {
                let length = zlib.encode(plain, &mut room);
                same &= room[..length] == payload[..];
            }
            assert!(same, "zlib makes other bytes");
            group.bench_function("encode/raw-zlib-L6", |bencher| {
                bencher.iter(|| blocks.iter().map(|(plain, _)| zlib.encode(plain, &mut room)).sum::<usize>());
            });
        }
        Codec::Snappy => {
            let mut snappy = snap::raw::Encoder::new();
            group.bench_function("encode/raw-snap", |bencher| {
                bencher
                    .iter(|| blocks.iter().map(|(plain, _)| snappy.compress(plain, &mut room).unwrap()).sum::<usize>());
            });
        }
        Codec::Zstandard => {
            let mut zstd = zstd_safe::CCtx::create();
            group.bench_function("encode/raw-libzstd-L3", |bencher| {
                bencher.iter(|| {
                    blocks.iter().map(|(plain, _)| zstd.compress(&mut room[..], plain, 3).unwrap()).sum::<usize>()
                });
            });
        }
        _ => {}
    }
}

/// Stock zlib without anything around it.
#[expect(unsafe_code, reason = "the C library itself is what is to be measured")]
mod zlib {
    use std::ffi::c_int;
    use std::mem::MaybeUninit;

    use libz_sys as z;

    pub(crate) struct Deflate(Box<MaybeUninit<z::z_stream>>);

    impl Deflate {
        pub(crate) fn new(level: c_int, mem_level: c_int) -> Self {
            let mut stream = Box::new(MaybeUninit::<z::z_stream>::zeroed());
            // SAFETY: zlib asks for a zeroed stream and puts its own allocators where none are given.
            let result = unsafe {
                let size = size_of::<z::z_stream>() as c_int;
                z::deflateInit2_(stream.as_mut_ptr(), level, z::Z_DEFLATED, -15, mem_level, 0, z::zlibVersion(), size)
            };
            assert_eq!(result, z::Z_OK);
            Self(stream)
        }

        /// How many bytes of `room` the encoding takes.
        pub(crate) fn encode(&mut self, plain: &[u8], room: &mut [u8]) -> usize {
            // SAFETY: `new` initialised the stream; the pointers and lengths are those of live slices.
            unsafe {
                let stream = self.0.assume_init_mut();
                z::deflateReset(stream);
                stream.next_in = plain.as_ptr().cast_mut();
                stream.avail_in = plain.len() as u32;
                stream.next_out = room.as_mut_ptr();
                stream.avail_out = room.len() as u32;
                assert_eq!(z::deflate(stream, z::Z_FINISH), z::Z_STREAM_END);
                room.len() - stream.avail_out as usize
            }
        }
    }

    impl Drop for Deflate {
        fn drop(&mut self) {
            // SAFETY: `new` initialised the stream.
            unsafe { z::deflateEnd(self.0.as_mut_ptr()) };
        }
    }
}
