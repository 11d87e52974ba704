//! What is kept of erased records, so that a check can look for them: not the records, but hashes under a key of their own.
//!
//! Of each record: its length; sixteen bytes of the keyed BLAKE3 of its first [`HASHED`] bytes; and 24 bits that its first eight
//! bytes come to, so that a scan has to hash few places. Anybody who has the report can test a guess of a whole record, and so far
//! it says something about them.

use std::collections::{BTreeSet, HashMap};

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::avro::filter::Expression;
use crate::error::Result;
use crate::id::{ChunkHasher, RepositoryId, hex, unhex};
use crate::store::Repository;

/// How many bytes of a record are hashed at most: a longer one may be cut into several chunks, of which the first has these.
pub(super) const HASHED: usize = 1024;

/// Records of fewer bytes cannot be distinguished from others by looking for their bytes.
pub(super) const SHORTEST: usize = 8;

/// What a check looks for.
#[derive(Debug, Clone)]
pub struct Proof {
    repository: RepositoryId,
    key: [u8; 32],
    records: BTreeSet<Entry>,
    /// How many different records are too short to look for.
    short: u64,
    fields: Vec<String>,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    length: u32,
    tag: u32,
    hash: [u8; 16],
}

/// Why a report cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// It is not one that `erase` wrote.
    #[error("not a report of `snap erase`: {0}")]
    Malformed(String),
    /// It is about another repository.
    #[error("the report is about repository {of}, and this one is {this}")]
    OtherRepository {
        /// Of the report.
        of: RepositoryId,
        /// That was opened.
        this: RepositoryId,
    },
}

#[derive(Deserialize)]
struct Written {
    version: u32,
    repository: String,
    key: String,
    records: Vec<String>,
    records_too_short: u64,
}

impl Proof {
    /// An empty one, under a new key.
    pub(super) fn new(repository: &Repository, condition: &Expression) -> Result<Self> {
        let key = repository.log().entropy().array()?;
        let fields = condition.fields().iter().map(ToString::to_string).collect();
        Ok(Self { repository: repository.id(), key, records: BTreeSet::new(), short: 0, fields })
    }

    /// What is kept of a record.
    pub(super) fn entry(&self, record: &[u8]) -> Entry {
        let head = record.get(..HASHED).unwrap_or(record);
        Entry { length: u32::try_from(record.len()).unwrap_or(u32::MAX), tag: self.tag(record), hash: self.hash(head) }
    }

    pub(super) fn add(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            if self.records.insert(entry) && (entry.length as usize) < SHORTEST {
                self.short += 1;
            }
        }
    }

    /// How many different records there are.
    pub fn records(&self) -> u64 {
        self.records.len() as u64
    }

    /// How many of them are of fewer than eight bytes, and cannot be looked for.
    pub fn too_short(&self) -> u64 {
        self.short
    }

    fn hash(&self, head: &[u8]) -> [u8; 16] {
        let id = ChunkHasher::keyed(&self.key).id(head);
        id.as_bytes().first_chunk().copied().unwrap_or_default()
    }

    /// 24 bits of the first eight bytes, under the key.
    fn tag(&self, bytes: &[u8]) -> u32 {
        let [first, second] = self.mixers();
        mix(bytes.first_chunk().copied().map_or(0, u64::from_le_bytes), first, second)
    }

    fn mixers(&self) -> [u64; 2] {
        let at = |from: usize| {
            let bytes = self.key.get(from..).and_then(|bytes| bytes.first_chunk());
            bytes.copied().map_or(0, u64::from_le_bytes)
        };
        [at(0), at(8) | 1]
    }

    /// Reads what `erase` wrote.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn parse(text: &str, repository: &Repository) -> std::result::Result<Self, ProofError> {
        let wrong = |reason: &str| ProofError::Malformed(reason.into());
        let written: Written = serde_json::from_str(text).map_err(|error| ProofError::Malformed(error.to_string()))?;
        if written.version != 1 {
            return Err(ProofError::Malformed(format!("its version is {}", written.version)));
        }
        let of: RepositoryId = written.repository.parse().map_err(|_| wrong("it names no repository"))?;
        if of != repository.id() {
            return Err(ProofError::OtherRepository { of, this: repository.id() });
        }
        let key = bytes_of(&written.key).ok_or_else(|| wrong("its key is none"))?;
        let records = written.records.iter().map(|text| entry_of(text).ok_or_else(|| wrong("a record of it is none")));
        let records = records.collect::<std::result::Result<_, _>>()?;
        Ok(Self { repository: of, key, records, short: written.records_too_short, fields: Vec::new() })
    }

    /// Ready to look for them.
    pub(super) fn scanner(&self) -> Scanner {
        let mut scanner = Scanner {
            mixers: self.mixers(),
            hasher: ChunkHasher::keyed(&self.key),
            bits: vec![0; 1 << (24 - 6)],
            by_tag: HashMap::new(),
        };
        for entry in self.records.iter().filter(|entry| entry.length as usize >= SHORTEST) {
            if let Some(word) = scanner.bits.get_mut(entry.tag as usize >> 6) {
                *word |= 1 << (entry.tag & 63);
            }
            scanner.by_tag.entry(entry.tag).or_default().push((entry.length as usize, entry.hash));
        }
        scanner
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let texts: Vec<String> = self
            .records
            .iter()
            .map(|entry| format!("{}:{:06x}:{}", entry.length, entry.tag, hex(&entry.hash)))
            .collect();
        let mut object = serializer.serialize_struct("Proof", 7)?;
        object.serialize_field("version", &1)?;
        object.serialize_field("repository", &self.repository)?;
        object.serialize_field("fields", &self.fields)?;
        object.serialize_field("records_different", &self.records())?;
        object.serialize_field("records_too_short", &self.short)?;
        object.serialize_field("key", &hex(&self.key))?;
        object.serialize_field("records", &texts)?;
        object.end()
    }
}

fn bytes_of<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    unhex(text, &mut bytes).then_some(bytes)
}

fn entry_of(text: &str) -> Option<Entry> {
    let mut parts = text.split(':');
    let (length, tag, hash) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    let tag = u32::from_str_radix(tag, 16).ok().filter(|tag| *tag < 1 << 24)?;
    Some(Entry { length, tag, hash: bytes_of(hash)? })
}

#[inline]
fn mix(word: u64, first: u64, second: u64) -> u32 {
    let word = (word ^ first).wrapping_mul(second);
    ((word ^ word >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32
}

/// Looks for erased records in plain bytes.
pub(super) struct Scanner {
    mixers: [u64; 2],
    hasher: ChunkHasher,
    /// A bit for each tag that a record has.
    bits: Vec<u64>,
    by_tag: HashMap<u32, Vec<(usize, [u8; 16])>>,
}

impl Scanner {
    /// How many times one of the records stands in these bytes. What is longer than [`HASHED`] is found by its beginning.
    pub(super) fn count(&self, bytes: &[u8]) -> u64 {
        let [first, second] = self.mixers;
        let mut found = 0;
        for (at, window) in bytes.windows(SHORTEST).enumerate() {
            let word = window.first_chunk().copied().map_or(0, u64::from_le_bytes);
            let tag = mix(word, first, second);
            let is_set = self.bits.get(tag as usize >> 6).is_some_and(|bits| bits >> (tag & 63) & 1 == 1);
            if is_set {
                found += u64::from(self.is_one(bytes.get(at..).unwrap_or_default(), tag));
            }
        }
        found
    }

    #[cold]
    fn is_one(&self, rest: &[u8], tag: u32) -> bool {
        self.by_tag.get(&tag).into_iter().flatten().any(|(length, hash)| {
            let head = rest.get(..(*length).min(HASHED));
            head.is_some_and(|head| self.hasher.id(head).as_bytes().starts_with(hash))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn proof() -> Proof {
        let (repository, key) = (RepositoryId::new([1; 16]), [7; 32]);
        Proof { repository, key, records: BTreeSet::new(), short: 0, fields: Vec::new() }
    }

    proptest! {
        #[test]
        fn records_are_found_wherever_they_stand_and_nothing_else_is(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 8..2000), 1..4), before: Vec<u8>, after: Vec<u8>,
        ) {
            let mut proof = proof();
            let entries = records.iter().map(|record| proof.entry(record)).collect();
            proof.add(entries);
            let text = serde_json::to_value(&proof).unwrap();
            for text in text["records"].as_array().unwrap() {
                prop_assert!(proof.records.contains(&entry_of(text.as_str().unwrap()).unwrap()));
            }
            let scanner = proof.scanner();
            for record in &records {
                prop_assert!(scanner.count(&[&before, &record[..], &after].concat()) >= 1);
                let mut other = record.clone();
                other[3] ^= 1;
                prop_assert_eq!(scanner.count(&other[..8.max(other.len().min(1024))]), 0);
            }
        }
    }

    #[test]
    fn short_records_are_counted_and_not_looked_for() {
        let mut proof = proof();
        let entries = vec![proof.entry(b"short"), proof.entry(b"short"), proof.entry(b"long enough")];
        proof.add(entries);
        assert_eq!((proof.records(), proof.too_short(), proof.scanner().count(b"short, long enough")), (2, 1, 1));
    }
}
