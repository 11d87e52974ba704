//! Names: what a chunk, a pack, a snapshot, an object of the repository is called, and the hash behind it.
//!
//! Everything in a repository is named either by the BLAKE3 hash of its bytes (chunks, packs, index objects) or by
//! random bytes (repositories, snapshots, key slots).

mod object;
mod run;

use std::fmt;
use std::str::FromStr;

pub use object::{Kind, Name};
pub use run::RunIds;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {length} hexadecimal digits")]
pub struct ParseIdError {
    text: String,
    length: usize,
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// How many bytes the id has.
            pub const LEN: usize = $bytes;

            /// The id with these bytes.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The id's bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The first eight hexadecimal digits: enough for people to tell ids apart.
            pub fn short(&self) -> String {
                hex(&self.0[..4])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $bytes];
                match unhex(text, &mut bytes) {
                    true => Ok(Self(bytes)),
                    false => Err(ParseIdError { text: text.into(), length: 2 * $bytes }),
                }
            }
        }
    };
}

id_type! {
    /// Names a chunk: the keyed BLAKE3 of its plain bytes (see [`ChunkHasher`]).
    ChunkId, 32
}
id_type! {
    /// Names a pack: the BLAKE3 of all its bytes, so that `b3sum` alone can scrub a repository.
    PackId, 32
}
id_type! {
    /// Names an index object: the BLAKE3 of all its bytes.
    IndexId, 32
}
id_type! {
    /// The BLAKE3 of a whole log entry; the next entry carries it.
    EntryHash, 32
}
id_type! {
    /// The BLAKE3 of the whole content of a file, unkeyed: what `b3sum` prints.
    ContentHash, 32
}
id_type! {
    /// Names a repository: random, made by `init`, never changed.
    RepositoryId, 16
}
id_type! {
    /// Names a snapshot: random.
    SnapshotId, 16
}
id_type! {
    /// Names a key slot: random.
    KeyId, 8
}

/// BLAKE3-256 of `bytes`, unkeyed.
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// BLAKE3-256 of bytes that arrive piece by piece, unkeyed.
#[derive(Debug, Clone, Default)]
pub struct Digester(blake3::Hasher);

impl Digester {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes `bytes` too.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all that was given so far.
    pub fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// Computes the ids of chunks. Two repositories have the same id for the same chunk only if they share the key.
#[derive(Clone)]
pub struct ChunkHasher(blake3::Hasher);

impl ChunkHasher {
    /// The hasher of an encrypted repository: keyed, so that ids tell nothing to those without the key.
    pub fn keyed(key: &[u8; 32]) -> Self {
        Self(blake3::Hasher::new_keyed(key))
    }

    /// The hasher of an unencrypted repository: BLAKE3 in derive-key mode under a fixed context.
    pub fn open() -> Self {
        Self(blake3::Hasher::new_derive_key("snap 2026-11 v1 chunk id of an unencrypted repository"))
    }

    /// The id of the chunk with these plain bytes.
    pub fn id(&self, bytes: &[u8]) -> ChunkId {
        ChunkId(*self.0.clone().update(bytes).finalize().as_bytes())
    }
}

impl fmt::Debug for ChunkHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChunkHasher(..)")
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|digit| DIGITS[usize::from(digit)] as char).collect()
}

/// Fills `bytes` from hexadecimal text; false if the text has another length or other characters.
pub fn unhex(text: &str, bytes: &mut [u8]) -> bool {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    match digits {
        Some(digits) if digits.len() == 2 * bytes.len() => {
            for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                *byte = pair[0] << 4 | pair[1];
            }
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        let id = PackId::new(digest(b"some pack"));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 64);
        assert!(id.to_string().starts_with(&id.short()));
        for wrong in ["", "ab", "zz", &id.to_string()[1..], &format!("{id}0")] {
            assert!(wrong.parse::<PackId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_chunk_has_another_id_under_another_key() {
        let ids = [ChunkHasher::open(), ChunkHasher::keyed(&[1; 32]), ChunkHasher::keyed(&[2; 32])].map(|h| h.id(b"x"));
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
        assert_ne!(*ids[0].as_bytes(), digest(b"x"));
    }
}
