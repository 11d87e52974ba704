//! Our own deflate encoder (`crates/exact-deflate`, which has tests of its own) beside the other encoders for deflate, and on
//! the blocks of the corpus. `SNAP_DEFLATE_ALL=1` takes all of the corpus.

use std::path::Path;

use avro_snap::avro::codec::{Codec, Decoder, MAX_DECODED};
use avro_snap::avro::container::{Parsed, parse_block, parse_header};
use avro_snap::avro::encoder::{Encoders, Tail, all};
use exact_deflate::{Encoder, Settings, Variant};

use crate::deflate::{KINDS, Rng, env, files, generate, libz_deflate};

/// Encoders for all that stock zlib can be set to.
fn ours() -> Vec<Encoder> {
    Settings::all().filter(|settings| settings.variant() == Variant::Zlib).map(Encoder::new).collect()
}

/// What other encoders write is confirmed only where it is the same, on inputs where they differ in little.
#[test]
fn verify_tells_encoders_apart() {
    let ids: Vec<_> = all().into_iter().filter(|id| id.codec() == Codec::Deflate && id.tail == Tail::None).collect();
    let (mut others, mut rng, mut ours) = (Encoders::new(), Rng::new(29), ours());
    let mut inputs: Vec<Vec<u8>> = (0..40).map(|case| generate(&mut rng, case % KINDS, 200 + 60 * case)).collect();
    // Found by fuzzing: the first match of six bytes is further away than one of five, which level 4 was said to take.
    let mut period =
        b"\x02\x00\x07\x02\x00\x1fij\xa5\x02\x10\x07\x02\x02\x05\x09\x0c\x9a\x9d\x9c\x9baf\x02\x00\x07\x02\x00\x09\x0c\
        ag\x1fij\xa5\x02\x00\x07\x02\x05\x09"
            .to_vec();
    period.resize(102, b'P');
    inputs.push(period.repeat(34));
    // So was this: other encoders copy from the very first position, zlib never does.
    inputs.push(b"aaaabb".repeat(3));
    for _ in 0..1200 {
        let (letters, length) = (2 + rng.below(3), 2 + rng.below(12));
        let period: Vec<u8> = (0..length).map(|_| rng.below(letters) as u8).collect();
        let mut plain = period.repeat(2 + rng.below(8));
        for _ in 0..rng.below(3) {
            let at = rng.below(plain.len());
            plain[at] = rng.below(letters) as u8;
        }
        inputs.push(plain);
    }
    for (number, plain) in inputs.iter().enumerate() {
        let streams: Vec<Vec<u8>> = ids
            .iter()
            .map(|id| {
                let mut stream = Vec::new();
                others.encode(id, plain, &mut stream).unwrap();
                stream
            })
            .collect();
        for encoder in &mut ours {
            let mut expected = Vec::new();
            encoder.encode(plain, &mut expected);
            for (id, stream) in ids.iter().zip(&streams) {
                let settings = encoder.settings();
                assert_eq!(encoder.verify(plain, stream), *stream == expected, "input {number}, {id}, {settings}");
            }
        }
    }
}

#[test]
fn blocks_of_the_corpus_are_encoded_as_libz_does() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if !corpus.is_dir() {
        eprintln!("SKIPPED: no corpus beside the project; nothing of it was compared");
        return;
    }
    let all = env("SNAP_DEFLATE_ALL", 0) == 1;
    let mut blocks = Vec::new();
    for folder in ["nightly", "orders", "interop"] {
        let files = files(&corpus.join(folder));
        let taken = if all { files.len() } else { files.len().min(30) };
        files[..taken].iter().for_each(|file| blocks.extend(deflate_blocks(&std::fs::read(file).unwrap())));
    }
    if all {
        blocks.sort();
        blocks.dedup();
    } else {
        let step = blocks.len() / 30 + 1;
        blocks = blocks.into_iter().step_by(step).collect();
    }
    let (mut encoders, mut out, mut bytes) = (ours(), Vec::new(), 0);
    for (number, plain) in blocks.iter().enumerate() {
        for encoder in &mut encoders {
            let settings = encoder.settings();
            let expected = libz_deflate(plain, settings.level(), settings.mem_level());
            out.clear();
            encoder.encode(plain, &mut out);
            assert!(out == expected, "block {number}, {settings}");
            assert!(encoder.verify(plain, &expected), "block {number}, {settings}");
        }
        bytes += plain.len();
    }
    assert!(!blocks.is_empty());
    eprintln!("{} blocks, {bytes} bytes, 9 levels, 2 memory levels: equal", blocks.len());
}

/// The decoded blocks of a container, if its codec is deflate, as far as it is sound.
fn deflate_blocks(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut blocks, mut decoder) = (Vec::new(), Decoder::new());
    let Parsed::Done(header) = parse_header(file) else { return blocks };
    if header.codec_name() != "deflate" {
        return blocks;
    }
    let mut rest = &file[header.length..];
    while let Parsed::Done(block) = parse_block(rest, &header.marker) {
        let mut plain = Vec::new();
        if decoder.decode(Codec::Deflate, &rest[block.payload()], MAX_DECODED, &mut plain).is_ok() {
            blocks.push(plain);
        }
        rest = &rest[block.length()..];
    }
    blocks
}
