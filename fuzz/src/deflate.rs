//! The exact deflate encoder against libz, which it must equal to the byte.

use std::cell::RefCell;

use avro_snap::avro::codec::{Codec, Decoder};
use exact_deflate::{Encoder, Settings, Variant};

use crate::Input;

#[path = "../../crates/exact-deflate/tests/support/mod.rs"]
mod judge;

/// No input is made longer than this, in bytes. Most are told to be much shorter.
const LONGEST: usize = 1 << 20;

/// How many encoders there are.
const ENCODERS: usize = 46;

thread_local! {
    /// By number. Kept, since what an encoder did before must change nothing.
    static KEPT: RefCell<Vec<Option<Encoder>>> = RefCell::new((0..ENCODERS).map(|_| None).collect());
}

/// zlib's by memory level and level, then Chromium's, then Go's.
fn settings(number: usize) -> Settings {
    let level = 1 + (number % 9) as u8;
    let settings = match number {
        0..18 => Settings::new(Variant::Zlib, level, 8 + (number / 9 % 2) as u8),
        18..36 => Settings::new(Variant::Chromium, level, 8 + (number / 9 % 2) as u8),
        36..45 => Settings::new(Variant::Go, level, 8),
        _ => Ok(Settings::go_huffman()),
    };
    settings.expect("within its limits")
}

/// Bytes that say which encoder; what the rest is; the rest. It is taken as it is, or repeated with
/// changes, or as a program that writes the input, or as a deflate stream, which only the encoder's own may pass for.
///
/// zlib's encoding is libz's. Those of Chromium and Go, which nothing at hand can judge, decode to the input;
/// what Node.js and Go make is in `crates/exact-deflate/tests/`. Each confirms its encoding and nothing else, such
/// as what another level makes.
pub fn exact_deflate(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (which, form, at) = (usize::from(input.byte()) % ENCODERS, input.byte(), input.short());
    KEPT.with_borrow_mut(|kept| {
        let mut take = |number: usize| kept[number].take().unwrap_or_else(|| Encoder::new(settings(number)));
        let mut encoder = take(which);
        // Go's without a search for matches has no other levels.
        let at_another = (which / 9 * 9).min(36) + at % 9;
        match at_another == which {
            true => check(&mut encoder, None, form, at, input),
            false => {
                let mut another = take(at_another);
                check(&mut encoder, Some(&mut another), form, at, input);
                kept[at_another] = Some(another);
            }
        }
        kept[which] = Some(encoder);
    });
}

fn check(encoder: &mut Encoder, another: Option<&mut Encoder>, form: u8, at: usize, mut input: Input<'_>) {
    let limit = LONGEST >> (2 * (form >> 2 & 7));
    let (mut other, mut written_by_another) = (None, Vec::new());
    let plain = match form & 3 {
        0 => input.0.to_vec(),
        1 => repeated(&mut input, limit),
        2 => written(&mut input, limit),
        _ => {
            let mut plain = Vec::new();
            let Ok(length) = Decoder::new().decode(Codec::Deflate, input.0, LONGEST, &mut plain) else { return };
            other = Some(&input.0[..length]);
            plain
        }
    };
    let settings = encoder.settings();
    let mut stream = vec![1, 2, 3];
    encoder.encode(&plain, &mut stream);
    assert_eq!(stream.drain(..3).as_slice(), [1, 2, 3]);
    match settings.variant() {
        Variant::Zlib => {
            let expected = judge::libz_deflate(&plain, settings.level(), settings.mem_level());
            assert!(stream == expected, "not what libz makes");
        }
        _ => {
            let mut back = Vec::new();
            let length = Decoder::new().decode(Codec::Deflate, &stream, plain.len(), &mut back);
            assert!(length == Ok(stream.len()) && back == plain, "does not decode to the input");
        }
    }
    assert!(encoder.verify(&plain, &stream), "its own is not confirmed");
    if let Some(other) = other {
        assert_eq!(encoder.verify(&plain, other), other == stream, "a stream of another");
    }
    if let Some(another) = another {
        another.encode(&plain, &mut written_by_another);
        assert_eq!(encoder.verify(&plain, &written_by_another), written_by_another == stream, "another level's");
    }
    let place = at % stream.len();
    stream[place] ^= 1 << (form >> 5);
    assert!(!encoder.verify(&plain, &stream), "confirmed with byte {place} changed");
}

/// A period, and changes to it that move on with each turn.
fn repeated(input: &mut Input<'_>, limit: usize) -> Vec<u8> {
    let step = 1 + usize::from(input.byte());
    let turns = input.short();
    let period = input.0;
    let mut plain = Vec::new();
    for turn in 0..=turns {
        if plain.len() >= limit || period.is_empty() {
            break;
        }
        plain.extend_from_slice(period);
        let back = 1 + turn * step % period.len();
        let place = plain.len() - back;
        plain[place] = plain[place].wrapping_add(turn as u8);
    }
    plain.truncate(limit);
    plain
}

/// What a program writes: literals, copies, runs, noise; near the places where zlib slides its buffer, too.
fn written(input: &mut Input<'_>, limit: usize) -> Vec<u8> {
    let (mut plain, mut state) = (Vec::new(), 0x2545_f491_u32);
    let mut noise = |mask: u8| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8 & mask
    };
    while !input.0.is_empty() && plain.len() < limit {
        let op = input.byte();
        let more = usize::from(op >> 3);
        match op & 7 {
            0 => plain.extend_from_slice(input.take(more + 1)),
            1 => {
                let length = 3 + usize::from(input.byte());
                copy(&mut plain, 1 + input.short(), length);
            }
            2 => {
                let length = input.short();
                copy(&mut plain, 1 + input.short(), length);
            }
            // Around the largest distance that zlib looks back, and around that of the format.
            3 => {
                let around = if more & 1 == 0 { 32_490 } else { 32_768 - 16 };
                let distance = around + usize::from(input.byte() & 31);
                copy(&mut plain, distance, 3 + 17 * (more >> 1));
            }
            4 => {
                let byte = input.byte();
                let length = input.short();
                plain.resize(plain.len() + length, byte);
            }
            5 => {
                let mask = input.byte();
                let length = input.short();
                plain.extend((0..length).map(|_| noise(mask)));
            }
            // Noise up to just before or behind where the buffer slides.
            6 => {
                let mask = input.byte();
                let turn = more & 7;
                let place = (65_274 - 300) + 32_768 * turn + input.short() % 600;
                let length = place.saturating_sub(plain.len());
                plain.extend((0..length.min(limit)).map(|_| noise(mask)));
            }
            // Copies from random places near by, with a byte between.
            _ => {
                let reach = 1 + input.short();
                for _ in 0..(more + 1) * 16 {
                    let distance = 1 + usize::from(noise(255)) * 256 + usize::from(noise(255));
                    let length = 3 + usize::from(noise(15));
                    copy(&mut plain, 1 + distance % reach, length);
                    plain.push(noise(255));
                }
            }
        }
    }
    plain.truncate(limit);
    plain
}

fn copy(plain: &mut Vec<u8>, distance: usize, length: usize) {
    if plain.is_empty() {
        return;
    }
    let distance = 1 + (distance - 1) % plain.len();
    for _ in 0..length {
        plain.push(plain[plain.len() - distance]);
    }
}
