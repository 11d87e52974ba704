//! Which encoders may have written a file, the likeliest first.

use super::id::{EncoderId, Method, NgCalls, SnappyHash, Tail, XzCheck, ZstdMode};
use super::probe::Sample;
use crate::avro::codec::Codec;

/// In which order a header's metadata names the schema and the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetadataOrder {
    /// `avro.schema` before `avro.codec`: Java, JavaScript.
    SchemaFirst,
    /// `avro.codec` before `avro.schema`: fastavro, Python avro.
    CodecFirst,
    /// Not both are there, or nothing is known. Rust writes either order, at random.
    #[default]
    Unknown,
}

/// What a header says about its writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct WriterHint {
    /// The order of the metadata.
    pub order: MetadataOrder,
}

impl WriterHint {
    /// From the metadata keys in the order of the file.
    pub fn from_keys<'a>(keys: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let known = keys.into_iter().find(|key| matches!(*key, b"avro.schema" | b"avro.codec"));
        let order = match known {
            Some(b"avro.schema") => MetadataOrder::SchemaFirst,
            Some(_) => MetadataOrder::CodecFirst,
            None => MetadataOrder::Unknown,
        };
        Self { order }
    }
}

/// Java ends a block once it has about 64 000 bytes, fastavro, Python and Rust at 16 000.
const JAVA_BLOCK: usize = 60_000;

/// zlib's levels, the likelier first.
const LEVELS: [u8; 9] = [6, 9, 1, 5, 4, 3, 2, 7, 8];

/// The encoders that may have written `sample`, one of the file's first payloads, the likeliest first; each with the
/// sample's tail. Empty if the tail is none that an encoder leaves.
pub fn candidates(codec: Codec, hint: &WriterHint, sample: &Sample<'_>) -> Vec<EncoderId> {
    let Some(tail) = sample.tail(codec) else { return Vec::new() };
    let methods = match codec {
        Codec::Null => vec![Method::Null],
        Codec::Deflate => deflate(hint, tail, sample),
        Codec::Snappy => snappy(hint),
        Codec::Zstandard => zstandard(hint, sample.payload),
        Codec::Bzip2 => bzip2(hint, sample.payload),
        Codec::Xz => xz(sample.payload),
    };
    methods.into_iter().map(|method| EncoderId { method, tail }).collect()
}

/// Go ends a stream with an empty stored block, whose last bytes are its length and the inverse of that. Nothing else does
/// so, but for what stores everything.
const GO_END: [u8; 4] = [0, 0, 0xff, 0xff];

fn deflate(hint: &WriterHint, tail: Tail, sample: &Sample<'_>) -> Vec<Method> {
    let block = sample.plain.len();
    if sample.payload.get(..sample.consumed).is_some_and(|stream| stream.ends_with(&GO_END)) {
        let levels = LEVELS.map(|level| Method::Go { level });
        return levels.into_iter().chain([Method::GoHuffman, Method::Miniz { level: 0 }]).collect();
    }
    let zlib = |level| Method::Zlib { level, mem_level: 8 };
    let chromium = |level| Method::ChromiumZlib { level, mem_level: 8 };
    let ng = |level| Method::ZlibNg { level, calls: NgCalls::Once };
    let ng21 = |level, calls| Method::ZlibNg21 { level, calls };
    let ng_calls = |calls| [6, 1, 5].map(|level| Method::ZlibNg { level, calls });
    let miniz = |level| Method::Miniz { level };
    let libflate = may_be_libflate(sample).then_some(Method::Libflate);
    let mut methods = match tail {
        // Python links zlib, on some systems zlib-ng.
        Tail::Adler3 | Tail::EmptyFrame => vec![zlib(6), ng(6), zlib(9), zlib(1)],
        Tail::None if hint.order != MetadataOrder::CodecFirst && block >= JAVA_BLOCK => {
            vec![zlib(6), chromium(6), miniz(10), zlib(9), zlib(1), ng(6)]
        }
        Tail::None if block >= JAVA_BLOCK => vec![zlib(6), miniz(10), chromium(6), zlib(9), zlib(1), ng(6)],
        Tail::None => vec![miniz(10), zlib(6), chromium(6), zlib(9), zlib(1), ng(6)],
    };
    let rest = libflate
        .into_iter()
        .chain(LEVELS.map(zlib))
        .chain(LEVELS.map(chromium))
        .chain([10, 6, 9, 1, 8, 7, 5, 4, 3, 2].map(miniz))
        .chain(LEVELS.map(ng))
        .chain(NgCalls::ALL.into_iter().rev().map(|calls| ng21(6, calls)))
        .chain(ng_calls(NgCalls::Room512))
        .chain(ng_calls(NgCalls::Pieces128))
        .chain(LEVELS.map(|level| ng21(level, NgCalls::Once)).into_iter().filter(|method| method.is_valid()))
        .chain([ng21(5, NgCalls::Room512), ng21(5, NgCalls::Pieces128)])
        .chain(LEVELS.map(|level| Method::Zlib { level, mem_level: 9 }))
        .chain(LEVELS.map(|level| Method::ChromiumZlib { level, mem_level: 9 }))
        .chain([miniz(0)]);
    append_new(&mut methods, rest);
    methods
}

/// libflate writes blocks with codes of their own only, the first of which ends with the input or, at 1 MiB and more, is
/// followed by an empty one. Its caller has it write all records of a file as one block, and nothing after it.
fn may_be_libflate(sample: &Sample<'_>) -> bool {
    let is_last = u8::from(sample.plain.len() < libflate::deflate::DEFAULT_BLOCK_SIZE);
    sample.consumed == sample.payload.len() && sample.payload.first().is_some_and(|first| first & 7 == 4 | is_last)
}

fn snappy(hint: &WriterHint) -> Vec<Method> {
    // Java has C++ snappy inside. Where several fit, the one that fits all later blocks, too, should win.
    let mut methods = match hint.order {
        MetadataOrder::SchemaFirst => vec![Method::Snappy(SnappyHash::Mask14)],
        _ => Vec::new(),
    };
    append_new(&mut methods, SnappyHash::ALL.map(Method::Snappy));
    methods
}

/// What a zstandard frame header says (RFC 8878, 3.1.1.1).
fn zstandard(hint: &WriterHint, payload: &[u8]) -> Vec<Method> {
    let Some(&descriptor) = payload.get(4) else { return Vec::new() };
    let single_segment = descriptor & 0x20 != 0;
    let checksum = descriptor & 0x04 != 0;
    let mode = if descriptor & 0xc0 != 0 || single_segment { ZstdMode::Once } else { ZstdMode::Stream };
    // A stream's window is the level's own, so most levels are ruled out at once.
    let window = if single_segment { None } else { payload.get(5).map(|byte| 10 + u32::from(byte >> 3)) };
    let fits = |level: &i32| match (mode, window) {
        (ZstdMode::Stream, Some(window)) => stream_window(*level) == window,
        _ => true,
    };
    let mut levels = vec![3, 1, 6, 9, 5, 2, 4, 7, 8, 10, 11, 12, -1, -2, -3, -4, -5, -6, -7];
    // Any number may be asked for. These are round ones.
    levels.extend([-50, -10, -20, -100]);
    levels.extend(13..=22);
    // Java streams without a checksum; most of what is in use has libzstd 1.5.2 to 1.5.6 inside.
    let older_first = hint.order == MetadataOrder::SchemaFirst && mode == ZstdMode::Stream && !checksum;
    let versions = |level| {
        let newer = Method::Zstd157 { mode, level, checksum };
        let older = Method::Zstd156 { mode, level, checksum };
        if older_first { [older, newer] } else { [newer, older] }
    };
    levels.into_iter().filter(fits).flat_map(versions).filter(|method| method.is_valid()).collect()
}

/// The window's logarithm at a level for input of unknown length (libzstd's `ZSTD_defaultCParameters[0]`).
fn stream_window(level: i32) -> u32 {
    match level {
        ..=1 => 19,
        2 => 20,
        3..=8 => 21,
        9..=16 => 22,
        17..=19 => 23,
        20 => 25,
        21 => 26,
        22.. => 27,
    }
}

fn bzip2(hint: &WriterHint, payload: &[u8]) -> Vec<Method> {
    // "BZh", then the block size as a digit.
    let Some(digit @ b'1'..=b'9') = payload.get(3) else { return Vec::new() };
    let level = digit - b'0';
    let (others, java) = (Method::Bzip2 { level }, Method::Bzip2Java { level });
    match hint.order {
        MetadataOrder::SchemaFirst => vec![java, others],
        _ => vec![others, java],
    }
}

fn xz(payload: &[u8]) -> Vec<Method> {
    // Six bytes of magic, a zero, then the check (xz-file-format 2.1.1.2).
    let check = match payload.get(7) {
        Some(0) => XzCheck::None,
        Some(1) => XzCheck::Crc32,
        Some(4) => XzCheck::Crc64,
        Some(10) => XzCheck::Sha256,
        _ => return Vec::new(),
    };
    let presets = [6, 9, 0, 1, 2, 3, 4, 5, 7, 8];
    // The first block's LZMA2 filter names its dictionary: flags at 13, id 21h and length 1 at 14, then the size.
    let dictionary = match payload.get(12..17) {
        Some(&[_, 0, 0x21, 1, size]) => Some(size),
        _ => None,
    };
    let fits = |preset: &u8| dictionary.is_none_or(|size| size == xz_dictionary(*preset));
    let ids = |extreme| presets.into_iter().filter(fits).map(move |preset| Method::Xz { preset, extreme, check });
    ids(false).chain(ids(true)).collect()
}

/// How an LZMA2 filter writes the dictionary size of a preset: 256 KiB, 1, 2, 4, 4, 8, 8, 16, 32, 64 MiB.
fn xz_dictionary(preset: u8) -> u8 {
    [12, 16, 18, 20, 20, 22, 22, 24, 26, 28].get(usize::from(preset)).copied().unwrap_or(u8::MAX)
}

fn append_new(methods: &mut Vec<Method>, more: impl IntoIterator<Item = Method>) {
    for method in more {
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
}

/// Every id with the usual settings, for tests and benches: all levels, and with zstandard one of each kind.
pub fn all() -> Vec<EncoderId> {
    let adler = |method| EncoderId { method, tail: Tail::Adler3 };
    let zlib = |mem_level| (1..=9).map(move |level| Method::Zlib { level, mem_level }.plain());
    let chromium = |mem_level| (1..=9).map(move |level| Method::ChromiumZlib { level, mem_level }.plain());
    let mut ids = vec![Method::Null.plain()];
    ids.extend(zlib(8).chain(zlib(9)));
    ids.push(adler(Method::Zlib { level: 6, mem_level: 8 }));
    ids.extend(chromium(8).chain(chromium(9)));
    ids.extend((0..=10).map(|level| Method::Miniz { level }.plain()));
    ids.extend((1..=9).map(|level| Method::Go { level }.plain()));
    ids.push(Method::GoHuffman.plain());
    ids.push(Method::Libflate.plain());
    ids.extend((1..=9).map(|level| Method::ZlibNg { level, calls: NgCalls::Once }.plain()));
    ids.push(adler(Method::ZlibNg { level: 6, calls: NgCalls::Once }));
    for calls in [NgCalls::Room512, NgCalls::Pieces128] {
        ids.extend([1, 5, 6].map(|level| Method::ZlibNg { level, calls }.plain()));
    }
    for calls in NgCalls::ALL {
        let levels = (1..=9).map(|level| Method::ZlibNg21 { level, calls });
        ids.extend(levels.filter(|method| method.is_valid()).map(Method::plain));
    }
    ids.extend(SnappyHash::ALL.map(|hash| Method::Snappy(hash).plain()));
    for mode in [ZstdMode::Once, ZstdMode::Stream] {
        ids.extend((-7..=22).filter(|level| *level != 0).map(|level| {
            let checksum = false;
            Method::Zstd157 { mode, level, checksum }.plain()
        }));
        ids.push(Method::Zstd157 { mode, level: 3, checksum: true }.plain());
        ids.extend((-7..=15).filter(|level| *level != 0).map(|level| {
            let checksum = false;
            Method::Zstd156 { mode, level, checksum }.plain()
        }));
        ids.push(Method::Zstd156 { mode, level: 3, checksum: true }.plain());
        let method = Method::Zstd157 { mode, level: 3, checksum: false };
        ids.push(EncoderId { method, tail: Tail::EmptyFrame });
    }
    ids.extend((1..=9).map(|level| Method::Bzip2 { level }.plain()));
    ids.extend((1..=9).map(|level| Method::Bzip2Java { level }.plain()));
    for extreme in [false, true] {
        ids.extend((0..=9).map(|preset| Method::Xz { preset, extreme, check: XzCheck::Crc64 }.plain()));
    }
    ids.extend(
        [XzCheck::Crc32, XzCheck::None, XzCheck::Sha256]
            .map(|check| Method::Xz { preset: 6, extreme: false, check }.plain()),
    );
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::codec::{Decoder, MAX_DECODED};
    use crate::avro::encoder::selftest::{Kind, sample};
    use crate::avro::encoder::{Encoders, PROBE_EFFORT, Prober};

    /// What the header of a payload leaves of the candidates.
    fn of(method: Method, plain: &[u8]) -> Vec<EncoderId> {
        let mut payload = Vec::new();
        Encoders::new().encode(&method.plain(), plain, &mut payload).unwrap();
        let sample = Sample { plain, payload: &payload, consumed: payload.len() };
        candidates(method.codec(), &WriterHint::default(), &sample)
    }

    #[test]
    fn a_header_never_rules_out_its_own_encoder() {
        for length in [1, 5_000, 70_000] {
            let plain = sample(Kind::Records, length);
            for id in all() {
                // These are slow, and have nothing in their header that the others have not.
                let slow = matches!(
                    id.method,
                    Method::Xz { extreme: true, .. } | Method::Bzip2 { .. } | Method::Bzip2Java { .. }
                ) && length > 5_000;
                if slow || id.tail != Tail::None || matches!(id.method, Method::ChromiumZlib { .. }) {
                    continue;
                }
                assert!(of(id.method, &plain).contains(&id), "{id}, {length} bytes");
            }
        }
    }

    #[test]
    fn headers_narrow_the_choice() {
        let plain = sample(Kind::Records, 5_000);
        let zstd = |mode, level, checksum| of(Method::Zstd157 { mode, level, checksum }, &plain);
        assert_eq!(zstd(ZstdMode::Stream, 19, false).len(), 3);
        assert!(zstd(ZstdMode::Once, 3, true).iter().all(|id| id.to_string().ends_with(":C")));
        let bzip2 = [Method::Bzip2 { level: 7 }.plain(), Method::Bzip2Java { level: 7 }.plain()];
        assert_eq!(of(Method::Bzip2 { level: 7 }, &plain), bzip2);
        assert_eq!(of(Method::Xz { preset: 6, extreme: false, check: XzCheck::Sha256 }, &plain).len(), 4);
    }

    #[test]
    fn streams_of_java_are_tried_with_the_older_zstandard_first() {
        let plain = sample(Kind::Records, 5_000);
        let older = |mode| Method::Zstd156 { mode, level: 3, checksum: false };
        let newer = |mode| Method::Zstd157 { mode, level: 3, checksum: false };
        for mode in [ZstdMode::Once, ZstdMode::Stream] {
            let mut payload = Vec::new();
            Encoders::new().encode(&older(mode).plain(), &plain, &mut payload).unwrap();
            let sample = Sample { plain: &plain, payload: &payload, consumed: payload.len() };
            for order in [MetadataOrder::SchemaFirst, MetadataOrder::CodecFirst] {
                let ids = candidates(Codec::Zstandard, &WriterHint { order }, &sample);
                let expected = match (order, mode) {
                    (MetadataOrder::SchemaFirst, ZstdMode::Stream) => [older(mode).plain(), newer(mode).plain()],
                    _ => [newer(mode).plain(), older(mode).plain()],
                };
                assert_eq!(ids[..2], expected);
            }
        }
    }

    #[test]
    fn the_end_of_a_stream_says_whether_it_is_gos() {
        for length in [0, 1, 5_000, 70_000] {
            for kind in Kind::ALL {
                let plain = sample(kind, length);
                for id in all().into_iter().filter(|id| id.codec() == Codec::Deflate && id.tail == Tail::None) {
                    // Not every level is asked: the end of a stream does not depend on it.
                    if matches!(
                        id.method,
                        Method::ZlibNg { level: 2.., .. } | Method::ZlibNg21 { .. } | Method::Miniz { level: 1..=9 }
                    ) {
                        continue;
                    }
                    let is_go = |id: &EncoderId| matches!(id.method, Method::Go { .. } | Method::GoHuffman);
                    let candidates = of(id.method, &plain);
                    assert!(candidates.contains(&id), "{id}, {length} bytes");
                    if id.method != (Method::Miniz { level: 0 }) {
                        let expected = if is_go(&id) { (10, 11) } else { (0, candidates.len()) };
                        let found = candidates.iter().filter(|other| is_go(other)).count();
                        assert_eq!((found, candidates.len()), expected, "{id}, {length} bytes");
                    }
                }
            }
        }
    }

    #[test]
    fn libflate_is_tried_for_streams_that_begin_as_its_do() {
        let libflate = Method::Libflate.plain();
        for length in [0, 5_000, 1 << 20, (1 << 20) + 70_000] {
            let plain = sample(Kind::Records, length);
            let place = of(Method::Libflate, &plain).iter().position(|id| *id == libflate);
            assert!(place.is_some_and(|place| place <= 6), "{length} bytes: {place:?}");
        }
        // zlib's first block is not the last one of a stream as long as this.
        let plain = sample(Kind::Records, 300_000);
        assert!(!of(Method::Zlib { level: 6, mem_level: 8 }, &plain).contains(&libflate));
    }

    #[test]
    fn the_writer_is_seen_in_the_metadata() {
        let order = |keys: &[&'static [u8]]| WriterHint::from_keys(keys.iter().copied()).order;
        assert_eq!(order(&[b"avro.codec", b"avro.schema"]), MetadataOrder::CodecFirst);
        assert_eq!(order(&[b"owner", b"avro.schema", b"avro.codec"]), MetadataOrder::SchemaFirst);
        assert_eq!(order(&[]), MetadataOrder::Unknown);
    }

    #[test]
    fn java_snappy_is_recognised_with_short_last_fragments() {
        // Sync intervals of 16 kB, 200 kB and 1 MB. The hashes differ where the last fragment of 64 KiB has 8 KiB or less,
        // which a long record makes of any block, and the file's end of its last one.
        for interval in [16_000, 200_000, 1_000_000] {
            let plain = sample(Kind::Records, 1_200_000);
            let (mut encoders, mut decoder, mut decoded) = (Encoders::new(), Decoder::new(), Vec::new());
            let [mask14, shift14] = [SnappyHash::Mask14, SnappyHash::Shift14].map(|hash| Method::Snappy(hash).plain());
            let long = (interval / 65_536 + 1) * 65_536 + 5_000;
            let lengths = [interval + 5, interval + 77, long, interval + 30, long + 100, interval, 2_500];
            let blocks: Vec<&[u8]> =
                lengths.iter().enumerate().map(|(n, length)| &plain[n * 5_000..][..*length]).collect();
            let payloads: Vec<Vec<u8>> = blocks
                .iter()
                .map(|block| {
                    let mut payload = Vec::new();
                    encoders.encode(&mask14, block, &mut payload).unwrap();
                    assert_eq!(decoder.decode(Codec::Snappy, &payload, MAX_DECODED, &mut decoded), Ok(payload.len()));
                    assert_eq!(decoded, *block);
                    payload
                })
                .collect();
            let samples: Vec<Sample<'_>> = blocks
                .iter()
                .zip(&payloads)
                .map(|(plain, payload)| Sample { plain, payload, consumed: payload.len() })
                .collect();
            let hint = WriterHint { order: MetadataOrder::SchemaFirst };
            let mut prober = Prober::new(candidates(Codec::Snappy, &hint, &samples[0]));
            assert!(prober.probe(&mut encoders, &samples[..3], &mut PROBE_EFFORT.clone()).is_some());
            assert!(samples.iter().any(|sample| !encoders.verify(&shift14, sample.plain, sample.payload)));
            for sample in &samples {
                assert!(prober.find(&mut encoders, sample, &mut PROBE_EFFORT.clone()).is_some(), "{interval}");
            }
        }
    }
}
