//! Bytes of source files: containers, payloads, schemas.

use avro_snap::avro::codec::{Codec, Decoder};
use avro_snap::avro::container::{self, MARKER, MAX_BLOCK, MAX_HEADER, Parsed};
use avro_snap::avro::encoder::{EncoderId, Encoders, Method};
use avro_snap::avro::schema::Schema;
use avro_snap::recipe::{Framer, Segment};

use crate::Input;

/// The parts of a container, put together again, are the container, however its bytes arrive. The first byte says how.
/// A parser that asks for more bytes asks for more than it got, and for no more than a limit.
pub fn container(bytes: &[u8]) {
    let mut input = Input(bytes);
    let part = 1 + usize::from(input.byte()).pow(2);
    let file = input.0;
    let marker = match container::parse_header(file) {
        Parsed::Done(header) => {
            assert!(header.length <= file.len());
            assert_eq!(header.bytes(), &file[..header.length - MARKER]);
            header.marker
        }
        Parsed::More(least) => {
            assert!(least > file.len() && least <= MAX_HEADER);
            [0; MARKER]
        }
        Parsed::Bad(_) => [0; MARKER],
    };
    match container::parse_block(file, &marker) {
        Parsed::Done(block) => assert!(block.length() <= file.len()),
        Parsed::More(least) => assert!(least > file.len() && least <= MAX_BLOCK + 20 + MARKER),
        Parsed::Bad(_) => {}
    }
    assert_eq!(reassembled(file, part), file);
}

fn reassembled(file: &[u8], part: usize) -> Vec<u8> {
    let (mut framer, mut whole, mut marker) = (Framer::new(true), Vec::new(), [0; MARKER]);
    for (bytes, end) in file.chunks(part).map(|bytes| (bytes, false)).chain([(&[][..], true)]) {
        framer.push(bytes);
        while let Some(segment) = framer.next_segment(end) {
            let before = whole.len();
            match segment {
                Segment::Header(header) => {
                    marker = header.marker;
                    whole.extend(header.bytes());
                    whole.extend(marker);
                }
                Segment::Block(block) => {
                    match &block.odd_head {
                        Some(head) => whole.extend(head),
                        None => container::put_block_header(&mut whole, block.count, block.payload.len()),
                    }
                    whole.extend(block.payload);
                    whole.extend(marker);
                }
                Segment::Stray(bytes) | Segment::Plain(bytes) => whole.extend(bytes),
            }
            assert!(whole.len() > before, "a part of no bytes");
        }
    }
    whole
}

/// No payload decodes to more than this here, in bytes.
const LIMIT: usize = 1 << 20;

pub fn payload_deflate(bytes: &[u8]) {
    payload(Codec::Deflate, bytes);
}

/// The first bit says whether a checksum is put behind the bytes that fits what they decode to: the fuzzer cannot guess
/// one.
pub fn payload_snappy(bytes: &[u8]) {
    let mut input = Input(bytes);
    if input.byte() & 1 == 0 {
        return payload(Codec::Snappy, input.0);
    }
    let mut bytes = [input.0, &[0; 4]].concat();
    payload(Codec::Snappy, &bytes);
    // Every stream that this crate decodes must be taken with the right checksum.
    if let Ok(plain) = snappy_plain(input.0) {
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&checksum(&plain));
        let mut out = Vec::new();
        assert_eq!(Decoder::new().decode(Codec::Snappy, &bytes, LIMIT, &mut out), Ok(bytes.len()));
        assert_eq!(out, plain);
    }
}

/// What an element stream decodes to, read as the format's description has it, slowly; of at most [`LIMIT`] bytes.
fn snappy_plain(mut stream: &[u8]) -> Result<Vec<u8>, ()> {
    let mut next = |count: usize| {
        let (taken, rest) = stream.split_at_checked(count).ok_or(())?;
        stream = rest;
        Ok::<_, ()>((taken.iter().rev().fold(0usize, |n, byte| n << 8 | usize::from(*byte)), taken, rest.is_empty()))
    };
    let mut length = 0usize;
    for shift in (0..35).step_by(7) {
        let (byte, ..) = next(1)?;
        length |= (byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        if shift == 28 {
            return Err(());
        }
    }
    if length > LIMIT {
        return Err(());
    }
    let mut plain = Vec::new();
    while plain.len() < length {
        let (tag, ..) = next(1)?;
        let (count, offset) = match tag & 3 {
            0 => {
                let count = match tag >> 2 {
                    short @ 0..60 => short,
                    long => next(long - 59)?.0,
                };
                plain.extend_from_slice(next(count + 1)?.1);
                continue;
            }
            1 => (4 + (tag >> 2 & 7), tag >> 5 << 8 | next(1)?.0),
            2 => (1 + (tag >> 2), next(2)?.0),
            _ => (1 + (tag >> 2), next(4)?.0),
        };
        if offset == 0 || offset > plain.len() || plain.len() + count > length {
            return Err(());
        }
        for _ in 0..count {
            plain.push(plain[plain.len() - offset]);
        }
    }
    match plain.len() == length && stream.is_empty() {
        true => Ok(plain),
        false => Err(()),
    }
}

fn checksum(plain: &[u8]) -> [u8; 4] {
    // Any encoder for snappy puts it at the end.
    let (mut encoders, mut payload) = (Encoders::new(), Vec::new());
    let id = Method::Snappy(avro_snap::avro::encoder::SnappyHash::Shift14).plain();
    encoders.encode(&id, plain, &mut payload).expect("snappy encodes anything short");
    *payload.last_chunk().expect("it ends in a checksum")
}

pub fn payload_zstandard(bytes: &[u8]) {
    payload(Codec::Zstandard, bytes);
}

pub fn payload_bzip2(bytes: &[u8]) {
    payload(Codec::Bzip2, bytes);
}

pub fn payload_xz(bytes: &[u8]) {
    payload(Codec::Xz, bytes);
}

/// Never more than the limit comes out, nothing comes out of what is refused, and what a decoder and its buffer did
/// before changes nothing.
fn payload(codec: Codec, bytes: &[u8]) {
    let (mut decoder, mut out) = (Decoder::new(), Vec::new());
    let result = decoder.decode(codec, bytes, LIMIT, &mut out);
    match &result {
        Ok(consumed) => assert!(*consumed <= bytes.len() && out.len() <= LIMIT),
        Err(_) => assert!(out.is_empty()),
    }
    assert!(out.capacity() <= LIMIT + 1, "{} bytes of room", out.capacity());
    let first = out.clone();
    let small = decoder.decode(codec, bytes, 100, &mut out);
    assert!(out.len() <= 100 && (small.is_err() || small == result));
    assert_eq!(decoder.decode(codec, bytes, LIMIT, &mut out), result);
    assert_eq!(out, first);
}

/// A schema up to the first zero byte, then bytes to walk.
pub fn schema(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, data) = bytes.split_at(at);
    let Ok(schema) = std::str::from_utf8(text).map_err(|_| ()).and_then(|text| Schema::parse(text).map_err(|_| ()))
    else {
        return;
    };
    let _ = schema.fingerprint();
    let data = data.get(1..).unwrap_or(&[]);
    if let Ok(end) = schema.skip(data, 0) {
        assert!(end <= data.len());
        assert_eq!(end == 0, schema.always_empty());
        // A datum ends where it ends, whatever follows it.
        assert_eq!(schema.skip(&data[..end], 0), Ok(end));
    }
    let (mut last, mut told) = (0, 0);
    let walk = schema.walk_block(data, u64::MAX >> 1, &mut |end| {
        assert!(end > last && end <= data.len());
        (last, told) = (end, told + 1);
    });
    assert!(walk.end == last && (schema.always_empty() || walk.verified == told));
}

/// An id is the one text that it is written as; a text up to the first zero byte, then bytes to encode.
pub fn encoder_id(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, plain) = bytes.split_at(at);
    let Ok(Ok(id)) = std::str::from_utf8(text).map(str::parse::<EncoderId>) else { return };
    assert_eq!(id.to_string().as_bytes(), text);
    if !is_cheap(id) {
        return;
    }
    let (mut encoders, mut payload, mut back) = (Encoders::new(), Vec::new(), Vec::new());
    if encoders.encode(&id, plain, &mut payload).is_ok() {
        assert!(encoders.verify(&id, plain, &payload));
        Decoder::new().decode(id.codec(), &payload, LIMIT, &mut back).expect("what was encoded decodes");
        assert_eq!(back, plain);
    }
}

/// Whether an encoder takes so little memory and time that it can be tried all the time.
pub(crate) fn is_cheap(id: EncoderId) -> bool {
    match id.method {
        Method::Xz { preset, .. } => preset <= 2,
        Method::Zstd157 { level, .. } | Method::Zstd156 { level, .. } => level <= 6,
        _ => true,
    }
}
