//! Raw snappy as its several implementations write it.
//!
//! All of them cut the input into fragments and parse each greedily with a small hash table (google/snappy's
//! `CompressFragment`, <https://github.com/google/snappy/blob/main/snappy.cc>; the format is `format_description.txt`
//! there). They differ in the hash, and the oldest also in the length of a fragment and in how fast they skip what does not
//! match. Measured against C++ 1.1.9, 1.1.10, 1.2.1, 1.2.2 and 1.3.1, Java, aircompressor and Rust.

use std::ops::ControlFlow;

use super::id::SnappyHash;

/// A fragment's length, in bytes.
const FRAGMENT: usize = 1 << 16;
/// A fragment's length until C++ snappy 1.0.5.
const SHORT_FRAGMENT: usize = 1 << 15;
/// This many bytes at a fragment's end are never looked at for a match.
const MARGIN: usize = 15;
/// The largest table, in slots.
const SLOTS: usize = 1 << 15;
/// What a four-byte word is multiplied by.
const FACTOR: u32 = 0x1e35_a7bd;

/// Whether `hash` makes the same of an input of this length as `Shift14`, which the package `snap` writes faster than
/// what is here. `Mask14` does where the table has all its slots: in every fragment but a short last one.
pub(super) fn is_shift14(hash: SnappyHash, length: usize) -> bool {
    let last = length % FRAGMENT;
    match hash {
        SnappyHash::Shift14 => true,
        SnappyHash::Mask14 => last == 0 || last > SLOTS / 4,
        _ => false,
    }
}

/// How fast the search goes on where nothing matches. A probe is made every `skip / 32` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    /// `skip` grows by the length of each step: C++ snappy since 1.1.4, and what follows it.
    ByStep,
    /// `skip` grows by one with each probe.
    ByOne,
    /// The same, and a probe is also made where the one after it would be too near to the end: snappyjs. Its literals differ,
    /// too.
    OneToTheEnd,
}

/// The fragments, the largest table and the skipping of an encoder.
fn shape(hash: SnappyHash) -> (usize, usize, Skip) {
    match hash {
        SnappyHash::Shift14 | SnappyHash::Mask14 | SnappyHash::Crc14 => (FRAGMENT, SLOTS / 2, Skip::ByStep),
        SnappyHash::Mask15 | SnappyHash::Crc15 => (FRAGMENT, SLOTS, Skip::ByStep),
        SnappyHash::Shift14Skip1F64 => (FRAGMENT, SLOTS / 2, Skip::ByOne),
        SnappyHash::Shift14Skip1F32 => (SHORT_FRAGMENT, SLOTS / 2, Skip::ByOne),
        SnappyHash::SnappyJs07 => (FRAGMENT, SLOTS / 2, Skip::OneToTheEnd),
    }
}

/// An encoder's table, to be used again and again.
pub(super) struct Snappy {
    table: Box<[u16; SLOTS]>,
}

impl Snappy {
    pub(super) fn new() -> Self {
        Self { table: Box::new([0; SLOTS]) }
    }

    /// Appends the encoding of `plain` to `out`, without the CRC-32. After each fragment `check` sees `out` and may stop.
    pub(super) fn encode(
        &mut self,
        hash: SnappyHash,
        plain: &[u8],
        out: &mut Vec<u8>,
        mut check: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        out.reserve(plain.len() + plain.len() / 6 + 32);
        let mut length = plain.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        let (fragment, limit, skip) = shape(hash);
        for fragment in plain.chunks(fragment) {
            let slots = match hash {
                // The power of two that is not above the length.
                SnappyHash::SnappyJs07 => (1 << fragment.len().ilog2()).min(limit),
                _ => fragment.len().next_power_of_two().clamp(256, limit),
            };
            self.table[..slots].fill(0);
            let mask = slots as u32 - 1;
            let table = &mut self.table;
            match hash {
                SnappyHash::Shift14 | SnappyHash::Shift14Skip1F64 | SnappyHash::Shift14Skip1F32 => {
                    let shift = 32 - slots.trailing_zeros();
                    encode_fragment(fragment, table, skip, out, |word| word.wrapping_mul(FACTOR) >> shift);
                }
                SnappyHash::SnappyJs07 => {
                    // JavaScript's numbers have 53 bits, so some of the lower bits of the product are rounded away.
                    let product = |word: u32| f64::from(word as i32) * f64::from(FACTOR);
                    let shift = 32 - slots.trailing_zeros();
                    let hash = |word| (product(word) as i64 as u32).checked_shr(shift).unwrap_or(0);
                    encode_fragment(fragment, table, skip, out, hash);
                }
                SnappyHash::Mask14 => {
                    encode_fragment(fragment, table, skip, out, |word| (word.wrapping_mul(FACTOR) >> 18) & mask);
                }
                SnappyHash::Mask15 => {
                    encode_fragment(fragment, table, skip, out, |word| (word.wrapping_mul(FACTOR) >> 17) & mask);
                }
                SnappyHash::Crc14 | SnappyHash::Crc15 => {
                    // C++ has a mask for byte offsets into a table of two-byte slots.
                    let bytes = 2 * mask;
                    encode_fragment(fragment, table, skip, out, |word| (crc32c(word ^ bytes) & bytes) >> 1);
                }
            }
            check(out)?;
        }
        ControlFlow::Continue(())
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

fn encode_fragment(bytes: &[u8], table: &mut [u16; SLOTS], growth: Skip, out: &mut Vec<u8>, hash: impl Fn(u32) -> u32) {
    // The table's length is a power of two, so the mask costs less than a check.
    let slot = |word| hash(word) as usize & (SLOTS - 1);
    // snappyjs has the length of a literal of 256 bytes in two bytes, though one would do.
    let two_bytes_from = if growth == Skip::OneToTheEnd { 256 } else { 257 };
    let mut emitted = 0;
    if let Some(limit) = bytes.len().checked_sub(MARGIN) {
        let mut at = 0;
        'fragment: loop {
            // Look for a match, in longer steps the longer none is found.
            at += 1;
            let mut skip = 32;
            let mut candidate;
            loop {
                if at > limit {
                    break 'fragment;
                }
                let here = word(bytes, at);
                let step = skip >> 5;
                skip += if growth == Skip::ByStep { step } else { 1 };
                let next = at + step;
                if next > limit && growth != Skip::OneToTheEnd {
                    break 'fragment;
                }
                let slot = slot(here);
                candidate = usize::from(table[slot]);
                table[slot] = at as u16;
                if here == word(bytes, candidate) {
                    break;
                }
                at = next;
            }
            put_literal(out, &bytes[emitted..at], two_bytes_from);
            // Copy, and again as long as the bytes after a copy match something at once.
            loop {
                let length = 4 + common(bytes, candidate + 4, at + 4);
                put_copy(out, at - candidate, length);
                at += length;
                emitted = at;
                if at >= limit {
                    break 'fragment;
                }
                table[slot(word(bytes, at - 1))] = (at - 1) as u16;
                let here = word(bytes, at);
                let slot = slot(here);
                candidate = usize::from(table[slot]);
                table[slot] = at as u16;
                if here != word(bytes, candidate) {
                    break;
                }
            }
        }
    }
    if emitted < bytes.len() {
        put_literal(out, &bytes[emitted..], two_bytes_from);
    }
}

/// How many bytes are the same from `earlier` and from `later` on.
fn common(bytes: &[u8], earlier: usize, later: usize) -> usize {
    let (Some(later), Some(earlier)) = (bytes.get(later..), bytes.get(earlier..)) else { return 0 };
    let mut length = 0;
    for (a, b) in earlier.chunks_exact(8).zip(later.chunks_exact(8)) {
        let difference = eight(a) ^ eight(b);
        if difference != 0 {
            return length + (difference.trailing_zeros() / 8) as usize;
        }
        length += 8;
    }
    length + earlier[length..].iter().zip(&later[length..]).take_while(|(a, b)| a == b).count()
}

fn eight(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

/// The length stands in two bytes for literals that are as long as the last argument.
fn put_literal(out: &mut Vec<u8>, bytes: &[u8], two_bytes_from: usize) {
    let Some(length) = bytes.len().checked_sub(1) else { return };
    match length {
        0..60 => out.push((length << 2) as u8),
        60.. if bytes.len() < two_bytes_from => out.extend_from_slice(&[60 << 2, length as u8]),
        _ => out.extend_from_slice(&[61 << 2, length as u8, (length >> 8) as u8]),
    }
    out.extend_from_slice(bytes);
}

fn put_copy(out: &mut Vec<u8>, offset: usize, mut length: usize) {
    let long = |out: &mut Vec<u8>, length: usize| {
        out.extend_from_slice(&[2 | ((length - 1) << 2) as u8, offset as u8, (offset >> 8) as u8]);
    };
    while length >= 68 {
        long(out, 64);
        length -= 64;
    }
    if length > 64 {
        long(out, 60);
        length -= 60;
    }
    if length < 12 && offset < 2048 {
        out.extend_from_slice(&[1 | ((length - 4) << 2) as u8 | ((offset >> 3) & 0xe0) as u8, offset as u8]);
    } else {
        long(out, length);
    }
}

/// What four zero bytes make of a CRC-32C register, as the processor's instruction does it.
fn crc32c(register: u32) -> u32 {
    let byte = |shift: u32| (register >> shift & 0xff) as usize;
    CRC[3][byte(0)] ^ CRC[2][byte(8)] ^ CRC[1][byte(16)] ^ CRC[0][byte(24)]
}

/// `CRC[n][b]`: the register after byte `b` and `n` zero bytes; reflected polynomial 0x82F63B78.
static CRC: [[u32; 256]; 4] = {
    let mut tables = [[0u32; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u32;
        let mut table = 0;
        while table < 4 {
            let mut bit = 0;
            while bit < 8 {
                register = (register >> 1) ^ (0x82f6_3b78 * (register & 1));
                bit += 1;
            }
            tables[table][byte] = register;
            table += 1;
        }
        byte += 1;
    }
    tables
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::encoder::selftest::{Kind, sample};
    use proptest::prelude::*;

    fn encode(hash: SnappyHash, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let _ = Snappy::new().encode(hash, plain, &mut out, |_| ControlFlow::Continue(()));
        out
    }

    #[test]
    fn the_crc_is_the_one_of_the_processor() {
        // CRC-32C of "123456789" is E3069283; here without the first and last inversion, four bytes at a time.
        let mut register = u32::MAX;
        for four in [u32::from_le_bytes(*b"1234"), u32::from_le_bytes(*b"5678")] {
            register = crc32c(register ^ four);
        }
        register = CRC[0][((register ^ u32::from(b'9')) & 0xff) as usize] ^ (register >> 8);
        assert_eq!(!register, 0xe306_9283);
    }

    #[test]
    fn shift14_is_what_the_snap_crate_writes() {
        for kind in Kind::ALL {
            let plain = sample(kind, 300_000);
            for length in (0..600).chain([5_000, 8_191, 8_192, 8_193, 16_384, 65_535, 65_536, 65_537, 73_000, 300_000])
            {
                let expected = snap::raw::Encoder::new().compress_vec(&plain[..length]).unwrap();
                assert_eq!(encode(SnappyHash::Shift14, &plain[..length]), expected, "{kind:?} {length}");
            }
        }
    }

    #[test]
    fn mask14_is_shift14_but_for_short_last_fragments() {
        let mut others = 0;
        for kind in Kind::ALL {
            let plain = sample(kind, 300_000);
            for length in [0, 1, 300, 8_191, 8_192, 8_193, 16_384, 65_535, 65_536, 65_537, 73_728, 73_729, 300_000] {
                let [shifted, masked] =
                    [SnappyHash::Shift14, SnappyHash::Mask14].map(|hash| encode(hash, &plain[..length]));
                match is_shift14(SnappyHash::Mask14, length) {
                    true => assert_eq!(shifted, masked, "{kind:?} {length}"),
                    false => others += usize::from(shifted != masked),
                }
            }
        }
        assert!(others > 0);
    }

    #[test]
    fn the_old_parses_are_shift14_until_they_skip() {
        // Up to 15 bytes nothing is looked for; two fragments of 32 KiB are one of 64 KiB elsewhere.
        let records = sample(Kind::Records, 300_000);
        let [new, long, short] = [SnappyHash::Shift14, SnappyHash::Shift14Skip1F64, SnappyHash::Shift14Skip1F32];
        for length in [0, 1, 14, 15, 16, 40] {
            assert_eq!(encode(new, &records[..length]), encode(long, &records[..length]), "{length}");
        }
        assert_ne!(encode(new, &records), encode(long, &records));
        assert_eq!(encode(short, &records[..32_768]), encode(long, &records[..32_768]));
        assert_ne!(encode(short, &records[..65_536]), encode(long, &records[..65_536]));
    }

    #[test]
    fn a_crc_of_14_bits_is_one_of_15_in_short_fragments() {
        let records = sample(Kind::Records, 65_536);
        let [short, long] = [SnappyHash::Crc14, SnappyHash::Crc15];
        assert_eq!(encode(short, &records[..16_384]), encode(long, &records[..16_384]));
        assert_ne!(encode(short, &records), encode(long, &records));
    }

    proptest! {
        #[test]
        fn every_hash_makes_a_valid_stream(words in proptest::collection::vec(0u8..6, 0..4000), cut in 1usize..400) {
            // Few letters, repeated: many matches of many lengths.
            let plain: Vec<u8> = words.iter().flat_map(|w| [*w; 3]).chain(words.iter().copied().take(cut)).collect();
            for hash in SnappyHash::ALL {
                let encoded = encode(hash, &plain);
                prop_assert_eq!(&snap::raw::Decoder::new().decompress_vec(&encoded).unwrap(), &plain);
            }
            prop_assert_eq!(encode(SnappyHash::Shift14, &plain), snap::raw::Encoder::new().compress_vec(&plain).unwrap());
        }
    }
}
