//! A moment's check that encoders write what they wrote when their ids were made.
//!
//! The golden vectors of the tests use the same inputs; see `tests/avro/encoder_golden.rs`.

use super::{EncodeError, EncoderId, Encoders};
use crate::id::{digest, hex};

/// Which bytes [`sample`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Like Avro's records: growing numbers, words from a list, doubles, and stretches that came before.
    Records,
    /// One byte, now and then another.
    Runs,
    /// Random bytes.
    Noise,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Records, Self::Runs, Self::Noise];

    /// The name in the list of golden vectors.
    pub fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Runs => "runs",
            Self::Noise => "noise",
        }
    }
}

/// The same `length` bytes for ever: the inputs of golden vectors. Fewer bytes are the beginning of more.
pub fn sample(kind: Kind, length: usize) -> Vec<u8> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(length + 1024);
    let words: Vec<Vec<u8>> = (0..200).map(|_| random.word()).collect();
    let mut key = 0;
    while bytes.len() < length {
        match kind {
            Kind::Noise => bytes.extend_from_slice(&random.next().to_le_bytes()),
            Kind::Runs => {
                let run = 1 + random.below(700);
                bytes.extend(std::iter::repeat_n(random.below(3) as u8, run));
            }
            Kind::Records => random.record(&mut key, &words, &mut bytes),
        }
    }
    bytes.truncate(length);
    bytes
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 33) as usize) % end
    }

    fn word(&mut self) -> Vec<u8> {
        let length = 2 + self.below(12);
        (0..length).map(|_| b"etaoinshrdlucmfwypvbgkjqxz"[self.below(26).min(self.below(26))]).collect()
    }

    fn record(&mut self, key: &mut u64, words: &[Vec<u8>], bytes: &mut Vec<u8>) {
        *key += 1 + self.below(5) as u64;
        let mut number = *key << 1;
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        for _ in 0..1 + self.below(4) {
            let word = &words[self.below(words.len()).min(self.below(words.len()))];
            bytes.push((word.len() as u8) << 1);
            bytes.extend_from_slice(word);
        }
        bytes.extend_from_slice(&(self.below(10_000) as f64 / 8.0).to_le_bytes());
        if self.below(4) == 0 {
            let length = (4 + self.below(300)).min(bytes.len());
            let from = bytes.len() - length - self.below((bytes.len() - length).min(60_000) + 1);
            bytes.extend_from_within(from..from + length);
        }
    }
}

/// An id, and the first 16 bytes of the BLAKE3 of what it makes of 5000 bytes of [`Kind::Records`]: lines of
/// `tests/golden/encoders.txt`.
const VECTORS: &[(&str, &str)] = &[
    ("zlib:L1:M8", "c25e2bdcd8940d8c9d200642a1af0bb1"),
    ("zlib:L6:M8", "19bddbc8697dff39ea02b111ceb5c8db"),
    ("zlib:L9:M8", "e5ac2491c53f6ba52b135f620ca692b2"),
    ("zlib:L6:M9", "19bddbc8697dff39ea02b111ceb5c8db"),
    ("zlib:L6:M8+adler3", "b6c403b56b827be3e67662b1e609a5d6"),
    ("chromium-zlib:L6:M8", "c21bbc7a1c76edcef11f76eb07699438"),
    ("miniz:L6", "bf758a35e108714b46161433b1436ad9"),
    ("miniz:L10", "9f744cf61978999064f129349f1e61ea"),
    ("go-1.19:L1", "3b93f4e4cd9cf4f777771480c5eb1bbb"),
    ("go-1.19:L3", "8fb142330f3b49f8a711302b074feaa5"),
    ("go-1.19:L6", "ced305d0a69575d4ca82016540a528d6"),
    ("go-1.19:huffman", "a6484584a3b2fbc6394fbc1faf28a52c"),
    ("libflate-2", "3baad40644a2974195a7afa6adaa1acb"),
    ("zlib-ng:L1", "55396d2121f06a513bc46ee2c48f7852"),
    ("zlib-ng:L6", "f5abee62b3fe52e439e064800447b065"),
    ("zlib-ng:L9", "e5ac2491c53f6ba52b135f620ca692b2"),
    ("zlib-ng:L1:O512", "7e663e74cc9f83f5eae1dcf148170bb1"),
    ("zlib-ng:L6:O512", "f5abee62b3fe52e439e064800447b065"),
    ("zlib-ng:L6:I128", "97ed29a3ecb69452075fdf56c4ce0c6f"),
    ("zlib-ng-2.1:L3", "31cb3bd85bc6264abf8f4f23628d2ab5"),
    ("zlib-ng-2.1:L6", "f5abee62b3fe52e439e064800447b065"),
    ("zlib-ng-2.1:L9", "e5ac2491c53f6ba52b135f620ca692b2"),
    ("zlib-ng-2.1:L6:I128", "97ed29a3ecb69452075fdf56c4ce0c6f"),
    ("snappy:shift14", "c25652e06b310a9302f767924bc50adf"),
    ("snappy:mask14", "33fe6fb12de58f652f1c6a912944c4dd"),
    ("snappy:mask15", "200b80cdf4f9fad7bd115930b20b7f2c"),
    ("snappy:crc15", "460a52b222e340bc52fbd094571c7a23"),
    ("snappy:crc14", "460a52b222e340bc52fbd094571c7a23"),
    ("snappy:shift14:skip1:F64", "c25652e06b310a9302f767924bc50adf"),
    ("snappy:shift14:skip1:F32", "c25652e06b310a9302f767924bc50adf"),
    ("snappy:snappyjs-0.7", "291432490c1b29046cb54b90d0361429"),
    ("zstd-1.5.7:once:L1", "789e8fe8f2d1c5cdc9c5648268ec02c8"),
    ("zstd-1.5.7:once:L3", "af184919f533f9e82dcf83af2d93d639"),
    ("zstd-1.5.7:once:L9", "305a5cb09008fcb5735019ca1cb2554d"),
    ("zstd-1.5.7:once:L19", "8ab9d77bf74c33fbfd1ad9ae2edbfb7e"),
    ("zstd-1.5.7:stream:L3", "1e0d54c8886bbe2f3b51e4e6fbb5dd95"),
    ("zstd-1.5.7:stream:L3:C", "8f74c0a2fc4d37d2fabfa17af1321a5d"),
    ("zstd-1.5.6:once:L3", "af184919f533f9e82dcf83af2d93d639"),
    ("zstd-1.5.6:once:L4", "880c65bb8faf2e91092bb45532d2a7b8"),
    ("zstd-1.5.6:once:L9", "305a5cb09008fcb5735019ca1cb2554d"),
    ("zstd-1.5.6:stream:L3", "1e0d54c8886bbe2f3b51e4e6fbb5dd95"),
    ("zstd-1.5.6:stream:L3:C", "8f74c0a2fc4d37d2fabfa17af1321a5d"),
    ("zstd-1.5.7:stream:L3+emptyframe", "c0354236eb841f83b41fa51dcdee1fce"),
    ("bzip2:L1", "064e6a09a7243768b4abcf7778ad83c2"),
    ("bzip2:L9", "5c910c851f2e0563ac1fc15283bac8e0"),
    ("bzip2-java:L9", "820f7976d4a456c646537fb7ff9ff844"),
    ("xz:P0:crc64", "8834b41a91b2ca7d95006f325f9319b7"),
    ("xz:P6:crc64", "a42effbd3e2b9a2752ef7e9f31a4e57b"),
    ("xz:P6:crc32", "e40897758f4fdab54feb8a97118e079c"),
];

/// Encodes a few thousand bytes with each family of ids, and says for each vector whether the output is what it was when
/// the id was made; about a tenth of a second. A false one must not be used: neither to back up nor to restore. The
/// result holds for a build on a machine, so callers keep it.
pub fn self_test(encoders: &mut Encoders) -> Vec<(EncoderId, bool)> {
    let plain = sample(Kind::Records, 5000);
    let vectors = VECTORS.iter().filter_map(|(id, expected)| Some((id.parse().ok()?, *expected)));
    vectors.map(|(id, expected)| (id, output(encoders, &id, &plain).is_ok_and(|hash| hash == expected))).collect()
}

fn output(encoders: &mut Encoders, id: &EncoderId, plain: &[u8]) -> Result<String, EncodeError> {
    let mut payload = Vec::new();
    encoders.encode(id, plain, &mut payload)?;
    let mut hash = hex(&digest(&payload));
    hash.truncate(32);
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_holds() {
        let tested = self_test(&mut Encoders::new());
        assert_eq!(tested.len(), VECTORS.len(), "an id does not parse");
        for (id, holds) in tested {
            assert!(holds, "{id} changed");
        }
    }

    #[test]
    fn shorter_samples_begin_longer_ones() {
        for kind in Kind::ALL {
            assert!(sample(kind, 9_999).starts_with(&sample(kind, 1_000)));
            assert!(sample(kind, 0).is_empty());
        }
    }
}
