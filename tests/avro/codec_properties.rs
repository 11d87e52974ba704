//! Decoders and encoders on any bytes: what is encoded decodes to the same, and nothing else gets out of bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use avro_snap::avro::codec::{Codec, DecodeError, Decoder, MAX_DECODED};
use avro_snap::avro::encoder::selftest::{Kind, sample};
use avro_snap::avro::encoder::{EncodeError, EncoderId, Encoders, Method, XzCheck, ZstdMode, all};
use proptest::prelude::*;

fn is_send<T: Send>() {}

#[test]
fn contexts_may_change_threads() {
    is_send::<Decoder>();
    is_send::<Encoders>();
}

/// One id for each codec, and fast.
fn quick() -> Vec<EncoderId> {
    let methods = [
        Method::Null,
        Method::Zlib { level: 6, mem_level: 8 },
        Method::Snappy(avro_snap::avro::encoder::SnappyHash::Mask14),
        Method::Zstd157 { mode: ZstdMode::Once, level: 3, checksum: true },
        Method::Zstd157 { mode: ZstdMode::Stream, level: 3, checksum: true },
        Method::Bzip2 { level: 1 },
        Method::Xz { preset: 0, extreme: false, check: XzCheck::Crc64 },
    ];
    methods.map(Method::plain).to_vec()
}

fn encode(encoders: &mut Encoders, id: EncoderId, plain: &[u8]) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    match encoders.encode(&id, plain, &mut payload) {
        Err(EncodeError::Unsupported(_)) => None,
        result => {
            result.unwrap();
            Some(payload)
        }
    }
}

/// Bytes with something in them for every compressor: noise, runs and repetition.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        (any::<u8>(), 0usize..2_000).prop_map(|(byte, count)| vec![byte; count]),
        (0usize..5_000, 0usize..5_000).prop_map(|(from, length)| sample(Kind::Records, from + length).split_off(from)),
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// The cases of a property, if `PROPTEST_CASES` says nothing else; no file of failures, which belongs beside sources.
fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { default } else { ProptestConfig { cases, ..default } }
}

fn check_id(encoders: &mut Encoders, decoder: &mut Decoder, id: EncoderId, plain: &[u8]) {
    let Some(payload) = encode(encoders, id, plain) else { return };
    let mut decoded = vec![1, 2, 3];
    let consumed = decoder.decode(id.codec(), &payload, plain.len(), &mut decoded);
    let tail = id.tail.length();
    assert_eq!(consumed, Ok(payload.len() - tail), "{id}");
    assert!(decoded == plain, "{id}");
    assert!(encoders.verify(&id, plain, &payload), "{id}");
    let mut other = payload.clone();
    if let Some(last) = other.last_mut() {
        *last ^= 1;
        assert!(!encoders.verify(&id, plain, &other), "{id}");
    }
    assert!(!encoders.verify(&id, plain, &[&payload[..], &[0]].concat()), "{id}");
    let mut again = b"before".to_vec();
    encoders.encode(&id, plain, &mut again).unwrap();
    assert!(again[6..] == payload, "{id} appends another thing");
}

/// Several blocks of 128 KiB: some stored, some one repeated byte, between some that are compressed.
fn blocks() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (0usize..3, 0usize..200_000, any::<u8>()).prop_map(|(kind, length, first)| {
            let mut bytes = sample(Kind::ALL[kind], length);
            bytes.insert(0, first);
            bytes
        }),
        (any::<u8>(), 0usize..300_000).prop_map(|(byte, count)| vec![byte; count]),
    ];
    proptest::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(cases(12))]
    #[test]
    fn blocks_of_older_zstandard_decode_to_the_same(plain in blocks()) {
        let (mut encoders, mut decoder) = (Encoders::new(), Decoder::new());
        for mode in [ZstdMode::Once, ZstdMode::Stream] {
            for level in 2..=5 {
                check_id(&mut encoders, &mut decoder, Method::Zstd156 { mode, level, checksum: false }.plain(), &plain);
            }
        }
    }
}

#[test]
fn a_stream_of_older_zstandard_is_refused_beyond_its_window() {
    const WINDOW: usize = 2 << 20;
    let (mut encoders, plain) = (Encoders::new(), sample(Kind::Records, WINDOW + 1));
    let id = |mode, level| Method::Zstd156 { mode, level, checksum: false }.plain();
    let mut out = b"before".to_vec();
    for level in [3, 4] {
        let stream = id(ZstdMode::Stream, level);
        assert_eq!(encoders.encode(&stream, &plain, &mut out), Err(EncodeError::BeyondWindow(stream)));
        assert_eq!(out, b"before");
        assert!(!encoders.verify(&stream, &plain, &[]));
        check_id(&mut encoders, &mut Decoder::new(), stream, &plain[..WINDOW]);
        check_id(&mut encoders, &mut Decoder::new(), id(ZstdMode::Once, level), &plain);
    }
}

#[test]
fn what_a_slow_id_encodes_decodes_to_the_same() {
    let (mut encoders, mut decoder) = (Encoders::new(), Decoder::new());
    for id in all().into_iter().filter(|id| id.method.cost() >= SLOW) {
        check_id(&mut encoders, &mut decoder, id, &sample(Kind::Records, 3_000));
    }
}

/// Ids that cost more than this are tried with one input only.
const SLOW: u32 = 100;

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn what_any_id_encodes_decodes_to_the_same(plain in plain()) {
        let (mut encoders, mut decoder) = (Encoders::new(), Decoder::new());
        for id in all().into_iter().filter(|id| id.method.cost() < SLOW) {
            check_id(&mut encoders, &mut decoder, id, &plain);
        }
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), limit in 0usize..5_000) {
        let (mut decoder, mut out) = (Decoder::new(), Vec::new());
        for codec in Codec::ALL {
            check(&mut decoder, codec, &bytes, limit, &mut out)?;
        }
    }

    #[test]
    fn damaged_payloads_are_decoded_or_refused(
        plain in plain(),
        flips in proptest::collection::vec((any::<usize>(), 1u8..), 1..4),
        limit in 0usize..20_000,
    ) {
        let (mut encoders, mut decoder, mut out) = (Encoders::new(), Decoder::new(), Vec::new());
        for id in quick() {
            let mut payload = encode(&mut encoders, id, &plain).unwrap();
            for (at, flip) in &flips {
                if !payload.is_empty() {
                    let at = at % payload.len();
                    payload[at] ^= flip;
                }
            }
            check(&mut decoder, id.codec(), &payload, limit, &mut out)?;
        }
    }

    #[test]
    fn payloads_cut_short_are_errors(plain in plain(), cut in any::<usize>()) {
        let (mut encoders, mut decoder, mut out) = (Encoders::new(), Decoder::new(), Vec::new());
        for id in quick().into_iter().filter(|id| id.method != Method::Null) {
            let payload = encode(&mut encoders, id, &plain).unwrap();
            // A payload of no bytes is one of no records.
            let cut = (cut % payload.len()).max(1);
            let result = decoder.decode(id.codec(), &payload[..cut], MAX_DECODED, &mut out);
            prop_assert!(result.is_err(), "{}", id);
            prop_assert_eq!(out.len(), 0);
        }
    }

    #[test]
    fn one_byte_more_than_the_limit_is_an_error(plain in plain()) {
        let (mut encoders, mut decoder, mut out) = (Encoders::new(), Decoder::new(), Vec::new());
        for id in quick() {
            let payload = encode(&mut encoders, id, &plain).unwrap();
            prop_assert_eq!(decoder.decode(id.codec(), &payload, plain.len(), &mut out), Ok(payload.len()));
            if let Some(limit) = plain.len().checked_sub(1) {
                let codec = id.codec();
                let result = decoder.decode(codec, &payload, limit, &mut out);
                prop_assert_eq!(result, Err(DecodeError::TooLarge { codec, limit }));
            }
        }
    }
}

fn check(
    decoder: &mut Decoder,
    codec: Codec,
    payload: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<(), TestCaseError> {
    match decoder.decode(codec, payload, limit, out) {
        Ok(consumed) => prop_assert!(consumed <= payload.len() && out.len() <= limit),
        Err(_) => prop_assert!(out.is_empty()),
    }
    Ok(())
}

#[test]
fn bombs_stop_at_the_limit_with_little_memory() {
    let zeros = vec![0; 40 << 20];
    let (mut encoders, mut decoder) = (Encoders::new(), Decoder::new());
    for id in quick() {
        let payload = encode(&mut encoders, id, &zeros).unwrap();
        let codec = id.codec();
        for limit in [0, 1, 1_000, 1 << 20] {
            let mut out = Vec::new();
            assert_eq!(decoder.decode(codec, &payload, limit, &mut out), Err(DecodeError::TooLarge { codec, limit }));
            // A vector never has less room than 8 bytes.
            assert!(out.capacity() <= (limit + 1).max(8), "{id}: {}", out.capacity());
        }
        let mut out = Vec::new();
        assert_eq!(decoder.decode(codec, &payload, MAX_DECODED, &mut out), Ok(payload.len()), "{id}");
        assert!(out == zeros, "{id}");
    }
}

#[test]
fn declared_sizes_are_not_believed() {
    let (mut decoder, mut out) = (Decoder::new(), Vec::new());
    // Snappy that says 60 MB and has one byte; zstandard that says 60 MB with a window of 2 GiB and an empty block.
    let snappy = [0x80, 0x8e, 0xce, 0x1c, 0, b'a', 0, 0, 0, 0];
    let zstandard = [0x28, 0xb5, 0x2f, 0xfd, 0x80, 0xa8, 0x00, 0x87, 0x93, 0x03, 0x01, 0x00, 0x00];
    for (codec, payload) in [(Codec::Snappy, &snappy[..]), (Codec::Zstandard, &zstandard[..])] {
        assert!(decoder.decode(codec, payload, MAX_DECODED, &mut out).is_err());
        assert!(out.capacity() <= 64 << 10, "{codec}: {}", out.capacity());
    }
}

#[test]
fn a_wrong_checksum_is_an_error() {
    let (mut encoders, mut decoder, mut out) = (Encoders::new(), Decoder::new(), Vec::new());
    let plain = sample(Kind::Records, 10_000);
    for id in quick().into_iter().filter(|id| !matches!(id.codec(), Codec::Null | Codec::Deflate)) {
        let mut payload = encode(&mut encoders, id, &plain).unwrap();
        // The last byte belongs to the checksum, or with bzip2 and xz to what stands around it.
        *payload.last_mut().unwrap() ^= 0x80;
        let result = decoder.decode(id.codec(), &payload, MAX_DECODED, &mut out);
        assert!(result.is_err(), "{id}: {result:?}");
        if matches!(id.codec(), Codec::Snappy | Codec::Zstandard) {
            assert_eq!(result, Err(DecodeError::Checksum(id.codec())));
        }
    }
}

#[test]
fn bytes_after_a_stream_are_the_tail() {
    let (mut encoders, mut decoder, mut out) = (Encoders::new(), Decoder::new(), Vec::new());
    let plain = sample(Kind::Records, 10_000);
    for id in quick().into_iter().filter(|id| !matches!(id.codec(), Codec::Null | Codec::Snappy)) {
        let mut payload = encode(&mut encoders, id, &plain).unwrap();
        let length = payload.len();
        payload.extend([1, 2, 3]);
        let result = decoder.decode(id.codec(), &payload, MAX_DECODED, &mut out);
        // Every reader refuses what is no frame, also after the first one.
        if id.codec() == Codec::Zstandard {
            assert!(result.is_err(), "{id}");
            continue;
        }
        assert_eq!(result, Ok(length), "{id}");
        assert!(out == plain, "{id}");
    }
}
