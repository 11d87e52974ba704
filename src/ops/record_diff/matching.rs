//! The changes of records: those of both sides cancel each other, and what is left is matched by its key.
//!
//! The result does not depend on how much is held in memory, nor on what the caller left out on both sides. It is this:
//! of equal records as many as both sides have are taken away. Of the others, if a key has one on each side, that is an
//! update; all else was deleted or inserted. A key that has several of them on one side is a duplicate.

use std::ops::Range;

use super::pending::{ByHash, Left, Pending, RecordHash};
use super::spill::{KEY_LEVELS, MAX_LEVELS, PARTS, Parts, Spill};
use crate::error::Result;
use crate::id::digest;

/// Appends what a record's key is, so that equal keys are equal bytes.
pub(super) type KeyOf<'k> = &'k dyn Fn(&[u8], &mut Vec<u8>) -> Result<()>;

/// A change of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Matched<'r> {
    /// As it was; none if it was inserted.
    pub(super) before: Option<&'r [u8]>,
    /// As it is; none if it was deleted.
    pub(super) after: Option<&'r [u8]>,
    /// How many equal ones there are of it: 1 for an update.
    pub(super) count: u64,
    /// Its key has several records that are not on the other side.
    pub(super) duplicate: bool,
}

/// How many keys have several records of a side that the other does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Duplicates {
    pub(super) before: u64,
    pub(super) after: u64,
}

/// Compares records that come from both sides in any order.
pub(super) struct Matching<'k> {
    key: Option<KeyOf<'k>>,
    pending: Pending,
    spill: Option<Spill>,
    /// How much is held in memory before it goes to disk.
    budget: usize,
    /// How many records went to disk.
    spilled: u64,
}

impl<'k> Matching<'k> {
    pub(super) fn new(key: Option<KeyOf<'k>>, budget: usize) -> Self {
        Self { key, pending: Pending::default(), spill: None, budget, spilled: 0 }
    }

    /// A record of one side.
    pub(super) fn add(&mut self, is_after: bool, hash: RecordHash, record: &[u8]) -> Result<()> {
        self.pending.add(hash, if is_after { 1 } else { -1 }, record);
        if self.pending.size() > self.budget {
            self.spill_all()?;
        }
        Ok(())
    }

    fn spill_all(&mut self) -> Result<()> {
        let mut spill = match self.spill.take() {
            Some(spill) => spill,
            None => Spill::new(0)?,
        };
        let mut key = Vec::new();
        for left in self.pending.all() {
            let place = match self.key {
                Some(of) => {
                    key.clear();
                    of(left.record, &mut key)?;
                    hash_of_key(&key)
                }
                None => (left.hash >> 64) as u64,
            };
            spill.put(place, &left)?;
            self.spilled += 1;
        }
        self.pending.clear();
        self.spill = Some(spill);
        Ok(())
    }

    /// All records came: hands over the changes.
    pub(super) fn finish(mut self, each: &mut dyn FnMut(Matched<'_>) -> Result<()>) -> Result<(Duplicates, u64)> {
        let mut settling = Settling { key: self.key, budget: self.budget, duplicates: Duplicates::default(), each };
        if self.spill.is_none() {
            settling.settle(&self.pending)?;
            return Ok((settling.duplicates, 0));
        }
        self.spill_all()?;
        if let Some(spill) = self.spill.take() {
            // What it held is of no use any more.
            self.pending = Pending::default();
            settling.parts(&spill.finish()?)?;
        }
        Ok((settling.duplicates, self.spilled))
    }
}

fn hash_of_key(key: &[u8]) -> u64 {
    digest(key).first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

/// What memory takes beside each record of a part while it is read.
const BESIDE: usize = 32;

/// A part that was read.
enum Loaded {
    Fits(Pending),
    Parted(Parts),
}

struct Settling<'k, 'e> {
    key: Option<KeyOf<'k>>,
    budget: usize,
    duplicates: Duplicates,
    each: &'e mut dyn FnMut(Matched<'_>) -> Result<()>,
}

impl Settling<'_, '_> {
    fn parts(&mut self, parts: &Parts) -> Result<()> {
        for part in (0..PARTS).filter(|part| !parts.is_empty(*part)) {
            match self.load(parts, part)? {
                Loaded::Fits(pending) => self.settle(&pending)?,
                Loaded::Parted(finer) if finer.level == KEY_LEVELS && self.key.is_some() => self.one_key(&finer)?,
                Loaded::Parted(finer) => self.parts(&finer)?,
            }
        }
        Ok(())
    }

    /// Reads a part; one that does not fit into memory is parted again.
    fn load(&self, parts: &Parts, part: usize) -> Result<Loaded> {
        let (mut pending, mut finer): (Pending, Option<Spill>) = Default::default();
        let mut keys: ByHash<u64> = ByHash::default();
        parts.each(part, |key, left| {
            if let Some(finer) = &mut finer {
                return finer.put(key, &left);
            }
            pending.add_as(left);
            keys.insert(left.hash, key);
            if pending.size() + keys.len() * BESIDE > self.budget && parts.level + 1 < MAX_LEVELS {
                let mut spill = Spill::new(parts.level + 1)?;
                let key_of = |left: &Left<'_>| keys.get(&left.hash).copied().unwrap_or_default();
                pending.all().iter().try_for_each(|left| spill.put(key_of(left), left))?;
                (pending, keys) = Default::default();
                finer = Some(spill);
            }
            Ok(())
        })?;
        Ok(match finer {
            Some(finer) => Loaded::Parted(finer.finish()?),
            None => Loaded::Fits(pending),
        })
    }

    /// Records of one key, which do not fit into memory, in parts by their own hash.
    fn one_key(&mut self, parts: &Parts) -> Result<()> {
        let (mut before, mut after, mut few) = (0u64, 0u64, Pending::default());
        self.each_left(parts, &mut |left| {
            *if left.count < 0 { &mut before } else { &mut after } += left.count.unsigned_abs();
            if before.max(after) < 2 {
                few.add_as(*left);
            }
            Ok(())
        })?;
        if before.max(after) < 2 {
            return self.settle(&few);
        }
        self.duplicates.before += u64::from(before > 1);
        self.duplicates.after += u64::from(after > 1);
        let Self { key, budget, .. } = *self;
        let each = &mut *self.each;
        let reader = Settling { key, budget, duplicates: Duplicates::default(), each: &mut |_| Ok(()) };
        reader.each_left(parts, &mut |left| each(matched_alone(left, true)))
    }

    /// Hands over what is left of records in parts by their own hash.
    fn each_left(&self, parts: &Parts, each: &mut dyn FnMut(&Left<'_>) -> Result<()>) -> Result<()> {
        for part in (0..PARTS).filter(|part| !parts.is_empty(*part)) {
            match self.load(parts, part)? {
                Loaded::Fits(pending) => pending.all().iter().try_for_each(&mut *each)?,
                Loaded::Parted(finer) => self.each_left(&finer, each)?,
            }
        }
        Ok(())
    }

    fn settle(&mut self, pending: &Pending) -> Result<()> {
        let all = pending.all();
        let Some(key) = self.key else {
            return all.iter().try_for_each(|left| (self.each)(matched_alone(left, false)));
        };
        let (mut bytes, mut keys): (Vec<u8>, Vec<Range<usize>>) = Default::default();
        for left in &all {
            let start = bytes.len();
            key(left.record, &mut bytes)?;
            keys.push(start..bytes.len());
        }
        let key_of = |number: &u32| keys.get(*number as usize).and_then(|range| bytes.get(range.clone()));
        let mut by_key: Vec<u32> = (0..all.len() as u32).collect();
        by_key.sort_by_key(key_of);
        // What each record is an update of: its own number, where it is alone.
        let mut fates: Vec<Fate> = vec![Fate::Alone { duplicate: false }; all.len()];
        for same in by_key.chunk_by(|a, b| key_of(a) == key_of(b)) {
            self.fates_of(same, &all, &mut fates);
        }
        for (left, fate) in all.iter().zip(&fates) {
            match fate {
                Fate::Alone { duplicate } => (self.each)(matched_alone(left, *duplicate))?,
                Fate::UpdateOf(before) => {
                    let before = all.get(*before as usize).map(|before| before.record);
                    (self.each)(Matched { before, after: Some(left.record), count: 1, duplicate: false })?;
                }
                Fate::Updated => {}
            }
        }
        Ok(())
    }

    /// What becomes of the records of one key.
    fn fates_of(&mut self, same: &[u32], all: &[Left<'_>], fates: &mut [Fate]) {
        let count = |number: &u32| all.get(*number as usize).map_or(0, |left| left.count);
        let before: u64 = same.iter().map(count).filter(|count| *count < 0).map(i64::unsigned_abs).sum();
        let after: u64 = same.iter().map(count).filter(|count| *count > 0).map(i64::unsigned_abs).sum();
        self.duplicates.before += u64::from(before > 1);
        self.duplicates.after += u64::from(after > 1);
        let mut set = |number: u32, fate| {
            if let Some(place) = fates.get_mut(number as usize) {
                *place = fate;
            }
        };
        match *same {
            [a, b] if before == 1 && after == 1 => {
                let (before, after) = if count(&a) < 0 { (a, b) } else { (b, a) };
                set(before, Fate::Updated);
                set(after, Fate::UpdateOf(before));
            }
            _ if before > 1 || after > 1 => {
                same.iter().for_each(|number| set(*number, Fate::Alone { duplicate: true }));
            }
            _ => {}
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Alone {
        duplicate: bool,
    },
    /// It is what this one became.
    UpdateOf(u32),
    /// What it became says so.
    Updated,
}

/// A record without one of the other side.
fn matched_alone<'r>(left: &Left<'r>, duplicate: bool) -> Matched<'r> {
    let (before, after) = if left.count < 0 { (Some(left.record), None) } else { (None, Some(left.record)) };
    Matched { before, after, count: left.count.unsigned_abs(), duplicate }
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
