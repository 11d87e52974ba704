//! Dense numbers of one [`Inventory`](super::Inventory). They mean nothing to another one, and are never written down.

use std::hash::{BuildHasher, RandomState};

use crate::id::ChunkId;

/// Kinds of numbers that must not be taken for each other: places in lists.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// The number of what stands at this place of its list.
            pub(super) fn at(place: usize) -> Self {
                Self(place as u32)
            }

            /// The place in the list.
            pub(super) fn index(self) -> usize {
                self.0 as usize
            }
        }
    )+ };
}

numbers! {
    /// A pack of an inventory.
    PackNumber;
    /// A frame of an inventory, counted over all packs.
    FrameNumber;
    /// A place of an inventory: a chunk in a frame.
    PlaceNumber;
    /// A chunk of an inventory, wherever it lies.
    ChunkNumber;
}

impl PlaceNumber {
    /// No place.
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// Gives each chunk id a number, from 0 on: 32 bytes an id, and a table of 4 bytes and some air.
#[derive(Debug, Default)]
pub(super) struct ChunkNumbers {
    ids: Vec<ChunkId>,
    /// Numbers + 1 by the hash of the id; 0 is free. Its length is a power of two.
    slots: Vec<u32>,
    /// In an unencrypted repository anybody can choose ids that would meet in one slot.
    hash: RandomState,
}

impl ChunkNumbers {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn id(&self, number: ChunkNumber) -> ChunkId {
        self.ids.get(number.index()).copied().unwrap_or(ChunkId::new([0; 32]))
    }

    /// Where the id stands, or could stand.
    fn slot(&self, id: &ChunkId) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hash.hash_one(id) as usize & mask;
        while self.slots[slot] != 0 && self.ids[self.slots[slot] as usize - 1] != *id {
            slot = (slot + 1) & mask;
        }
        slot
    }

    pub(super) fn find(&self, id: &ChunkId) -> Option<ChunkNumber> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots[self.slot(id)].checked_sub(1).map(ChunkNumber)
    }

    pub(super) fn number(&mut self, id: &ChunkId) -> ChunkNumber {
        if (self.ids.len() + 1) * 4 > self.slots.len() * 3 {
            self.slots = vec![0; (self.slots.len() * 2).max(64)];
            for number in 0..self.ids.len() {
                let slot = self.slot(&self.ids[number]);
                self.slots[slot] = number as u32 + 1;
            }
        }
        let slot = self.slot(id);
        if self.slots[slot] == 0 {
            self.ids.push(*id);
            self.slots[slot] = self.ids.len() as u32;
        }
        ChunkNumber(self.slots[slot] - 1)
    }
}

/// A set of chunks, one bit each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkSet(Vec<u64>);

impl ChunkSet {
    /// Whether the chunk is in it.
    pub fn has(&self, chunk: ChunkNumber) -> bool {
        self.0.get(chunk.index() / 64).is_some_and(|word| word >> (chunk.0 % 64) & 1 == 1)
    }

    /// Puts the chunk in; true if it was not there before.
    pub fn set(&mut self, chunk: ChunkNumber) -> bool {
        let at = chunk.index() / 64;
        if at >= self.0.len() {
            self.0.resize(at + 1, 0);
        }
        let (word, bit) = (&mut self.0[at], 1u64 << (chunk.0 % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// How many chunks are in it.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The chunks, by their numbers, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = ChunkNumber> + '_ {
        let words = self.0.iter().enumerate().filter(|(_, word)| **word != 0);
        let bits = |word: &u64| {
            let word = *word;
            (0..64usize).filter(move |bit| word >> bit & 1 == 1)
        };
        words.flat_map(move |(at, word)| bits(word).map(move |bit| ChunkNumber::at(at * 64 + bit)))
    }
}

impl Extend<ChunkNumber> for ChunkSet {
    fn extend<I: IntoIterator<Item = ChunkNumber>>(&mut self, chunks: I) {
        for chunk in chunks {
            self.set(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::digest;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_set_holds_what_was_put_in(numbers in prop::collection::vec(0usize..5000, 0..200)) {
            let mut set = ChunkSet::default();
            let mut expected = std::collections::BTreeSet::new();
            for number in numbers.into_iter().map(ChunkNumber::at) {
                prop_assert_eq!(set.set(number), expected.insert(number));
            }
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.count(), expected.len() as u64);
            prop_assert!((0..6000).map(ChunkNumber::at).all(|number| set.has(number) == expected.contains(&number)));
        }
    }

    #[test]
    fn numbers_are_given_once() {
        let id = |name: &str| ChunkId::new(digest(name.as_bytes()));
        let mut numbers = ChunkNumbers::default();
        let ids: Vec<_> = (0..5000).map(|n| id(&format!("{n}"))).collect();
        for turn in 0..2 {
            for (n, id) in ids.iter().enumerate() {
                assert_eq!(numbers.number(id), ChunkNumber::at(n), "turn {turn}");
            }
        }
        for (n, id) in ids.iter().enumerate() {
            let number = ChunkNumber::at(n);
            assert_eq!((numbers.find(id), numbers.id(number)), (Some(number), *id));
        }
        assert_eq!(numbers.find(&id("another")), None);
    }
}
