//! Records that one side has more often than the other, as far as both were read.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

/// The hash of an encoded record: the first half of its BLAKE3. Equal hashes are taken for equal records.
pub(crate) type RecordHash = u128;

/// The hash of a record.
pub(super) fn hash_of(record: &[u8]) -> RecordHash {
    let digest = crate::id::digest(record);
    digest.first_chunk().map_or(0, |first| u128::from_le_bytes(*first))
}

/// What is hashed already needs no hashing.
#[derive(Debug, Default)]
pub(crate) struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

/// A map by hashes.
pub(crate) type ByHash<T> = HashMap<u128, T, BuildHasherDefault<Low>>;

/// How many bytes of records one piece of the arena holds.
const SEGMENT: usize = 1 << 20;

/// What a record takes beside its bytes, about.
const OVERHEAD: usize = 96;

/// How much of the arena may be waste before it is built again.
const WASTE: usize = 4 << 20;

/// A multiset of records with numbers below 0: those that stand before more often than after have one. Of equal records one
/// copy is held, and none once both sides have it as often.
#[derive(Debug, Default)]
pub(super) struct Pending {
    held: ByHash<Held>,
    arena: Vec<Vec<u8>>,
    /// Bytes of records that are held, and bytes that lie in the arena.
    live: usize,
    used: usize,
    next: u64,
}

/// A record that is held.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// How often it stands after, less how often it stands before. Never 0.
    count: i64,
    /// When it came, which is the order of the tables.
    sequence: u64,
    segment: u32,
    start: u32,
    length: u32,
}

/// A record that one side has more often than the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left<'p> {
    pub(super) hash: RecordHash,
    /// How often it stands after, less how often it stands before. Never 0.
    pub(super) count: i64,
    /// When it came.
    pub(super) sequence: u64,
    pub(super) record: &'p [u8],
}

impl Pending {
    /// A record came. `count` is above 0 for one that stands after, below for one that stood before.
    pub(super) fn add(&mut self, hash: RecordHash, count: i64, record: &[u8]) {
        let sequence = self.next;
        self.next += 1;
        self.add_as(Left { hash, count, sequence, record });
    }

    /// The same for one whose place in the order of the tables is known.
    pub(super) fn add_as(&mut self, left: Left<'_>) {
        let Left { hash, count, sequence, record } = left;
        if count == 0 {
            return;
        }
        match self.held.entry(hash) {
            Entry::Occupied(mut held) => {
                held.get_mut().count += count;
                if held.get().count == 0 {
                    self.live -= held.remove().length as usize;
                }
            }
            Entry::Vacant(place) => {
                let (segment, start) = put(&mut self.arena, record);
                self.used += record.len();
                self.live += record.len();
                place.insert(Held { count, sequence, segment, start, length: record.len() as u32 });
                if self.used > self.live + self.live / 2 + WASTE {
                    self.compact();
                }
            }
        }
    }

    /// How much memory it takes, about.
    pub(super) fn size(&self) -> usize {
        self.live + self.held.len() * OVERHEAD
    }

    fn compact(&mut self) {
        let old = std::mem::take(&mut self.arena);
        for held in self.held.values_mut() {
            let (segment, start) = put(&mut self.arena, bytes_of(&old, held));
            (held.segment, held.start) = (segment, start);
        }
        self.used = self.live;
    }

    /// All that is held, in the order in which it came.
    pub(super) fn all(&self) -> Vec<Left<'_>> {
        let of = |(hash, held): (&u128, &Held)| Left {
            hash: *hash,
            count: held.count,
            sequence: held.sequence,
            record: bytes_of(&self.arena, held),
        };
        let mut all: Vec<_> = self.held.iter().map(of).collect();
        all.sort_unstable_by_key(|left| left.sequence);
        all
    }

    /// Forgets all that is held. What comes later comes after it.
    pub(super) fn clear(&mut self) {
        *self = Self { next: self.next, ..Self::default() };
    }
}

/// Copies a record into the arena; returns where it lies.
fn put(arena: &mut Vec<Vec<u8>>, record: &[u8]) -> (u32, u32) {
    let fits = arena.last().is_some_and(|last| last.capacity() - last.len() >= record.len());
    if !fits {
        arena.push(Vec::with_capacity(record.len().max(SEGMENT)));
    }
    let segment = arena.len() - 1;
    let Some(last) = arena.last_mut() else { return (0, 0) };
    let start = last.len();
    last.extend_from_slice(record);
    (segment as u32, start as u32)
}

fn bytes_of<'a>(arena: &'a [Vec<u8>], held: &Held) -> &'a [u8] {
    let (start, length) = (held.start as usize, held.length as usize);
    arena.get(held.segment as usize).and_then(|segment| segment.get(start..start + length)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_left_is_the_difference_of_the_multisets(
            records in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..6), any::<bool>()), 0..200),
        ) {
            let (mut pending, mut expected) = (Pending::default(), BTreeMap::new());
            for (record, after) in &records {
                let count = if *after { 1 } else { -1 };
                pending.add(hash_of(record), count, record);
                *expected.entry(record.clone()).or_insert(0i64) += count;
            }
            expected.retain(|_, count| *count != 0);
            let left: BTreeMap<_, _> = pending.all().iter().map(|left| (left.record.to_vec(), left.count)).collect();
            prop_assert_eq!(left, expected);
        }
    }

    #[test]
    fn records_that_cancel_leave_no_memory_behind() {
        let mut pending = Pending::default();
        for number in 0..400_000u64 {
            let record = [number.to_le_bytes(); 16].concat();
            pending.add(hash_of(&record), -1, &record);
            if number % 100 != 0 {
                pending.add(hash_of(&record), 1, &record);
            }
        }
        assert_eq!(pending.all().len(), 4000);
        assert_eq!(pending.all()[7].record, [700u64.to_le_bytes(); 16].concat());
        assert!(pending.arena.iter().map(Vec::capacity).sum::<usize>() < 4 * WASTE);
    }
}
