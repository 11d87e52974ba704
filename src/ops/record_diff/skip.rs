//! What both sides have: equal files and equal chunks are found by their ids, and are not read.

use super::pending::{ByHash, RecordHash};
use super::table::TableFile;
use super::units::{Unit, Units, is_whole};
use crate::error::Result;
use crate::id::{ChunkId, digest};
use crate::store::Repository;

/// How many chunks are counted at once. Of a table that has more, this is done several times, for a share of them each time.
const AT_ONCE: u64 = 1 << 20;

/// Which parts of both sides need not be looked at.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    sides: [Marks; 2],
    /// Parts of one side that were left out, which are as many on the other.
    pub(super) chunks: u64,
    pub(super) files: u64,
    /// Records in them.
    pub(super) records: u64,
}

#[derive(Debug, Default)]
struct Marks {
    files: Vec<bool>,
    /// A bit for each part that could be left out, of all files that are not.
    units: Vec<u64>,
}

impl Marks {
    fn mark(&mut self, number: usize) {
        if self.units.len() <= number / 64 {
            self.units.resize(number / 64 + 1, 0);
        }
        if let Some(word) = self.units.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }
}

impl Skipped {
    /// Whether a file is left out as a whole.
    pub(super) fn is_file(&self, side: usize, file: usize) -> bool {
        self.sides.get(side).and_then(|marks| marks.files.get(file)).copied().unwrap_or(false)
    }

    /// Whether a part is left out. Parts are counted that [have a key](key_of).
    pub(super) fn is_unit(&self, side: usize, number: usize) -> bool {
        self.sides
            .get(side)
            .and_then(|marks| marks.units.get(number / 64))
            .is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Leaves out what `is_known` says of the parts of one side, by their keys.
    pub(crate) fn known(
        repository: &Repository,
        files: &[TableFile],
        is_known: &mut dyn FnMut(RecordHash) -> bool,
    ) -> Result<Self> {
        let (mut skipped, mut marks) = (Self::default(), Marks::default());
        skipped.each(repository, files, 0, &mut |number, unit| {
            if is_known(unit.key) {
                marks.mark(number);
            }
        })?;
        let [side, _] = &mut skipped.sides;
        *side = marks;
        Ok(skipped)
    }

    /// Finds what both sides have, as often as both have it.
    pub(super) fn find(repository: &Repository, sides: [&[TableFile]; 2]) -> Result<Self> {
        let mut skipped = Self::default();
        skipped.equal_files(sides);
        skipped.equal_units(repository, sides)?;
        Ok(skipped)
    }

    fn equal_files(&mut self, sides: [&[TableFile]; 2]) {
        let mut counts: ByHash<u64> = ByHash::default();
        let [before, after] = sides;
        for key in before.iter().filter_map(key_of_file) {
            *counts.entry(key).or_default() += 1;
        }
        let mut both: ByHash<u64> = ByHash::default();
        let mut marks = [vec![false; before.len()], vec![false; after.len()]];
        let [old, new] = &mut marks;
        for (file, mark) in after.iter().zip(new) {
            let Some(key) = key_of_file(file) else { continue };
            if let Some(count) = counts.get_mut(&key).filter(|count| **count > 0) {
                *count -= 1;
                *both.entry(key).or_default() += 1;
                *mark = true;
                self.files += 1;
                self.records += file.records();
            }
        }
        for (file, mark) in before.iter().zip(old) {
            let Some(key) = key_of_file(file) else { continue };
            if let Some(count) = both.get_mut(&key).filter(|count| **count > 0) {
                *count -= 1;
                *mark = true;
            }
        }
        for (side, files) in self.sides.iter_mut().zip(marks) {
            side.files = files;
        }
    }

    fn equal_units(&mut self, repository: &Repository, [before, after]: [&[TableFile]; 2]) -> Result<()> {
        let average = u64::from(repository.cut_params().average).max(1);
        let left = |files: &[TableFile], side: usize| -> u64 {
            let read = files.iter().enumerate().filter(|(number, _)| !self.is_file(side, *number));
            read.map(|(_, file)| file.length() / average + 1).sum()
        };
        if before.is_empty() || after.is_empty() {
            return Ok(());
        }
        let shares = u128::from(left(before, 0).min(left(after, 1)) / AT_ONCE + 1);
        for share in 0..shares {
            let mut counts: ByHash<Count> = ByHash::default();
            let is_of_share = |key: RecordHash| key % shares == share;
            self.each(repository, before, 0, &mut |_, unit| {
                if is_of_share(unit.key) {
                    counts.entry(unit.key).or_default().sides[0] += 1;
                }
            })?;
            self.each(repository, after, 1, &mut |_, unit| {
                if let Some(count) = counts.get_mut(&unit.key) {
                    count.sides[1] += 1;
                    count.piece = unit.piece;
                }
            })?;
            counts.retain(|_, Count { sides: [before, after], piece }| {
                let both = (*before).min(*after);
                (*before, *after) = (both, both);
                both > 0 && piece.is_none_or(|id| is_whole(repository, &id))
            });
            for (side, files) in [before, after].into_iter().enumerate() {
                let (mut marked, mut chunks, mut records) = (Vec::new(), 0, 0);
                self.each(repository, files, side, &mut |number, unit| {
                    let count = counts.get_mut(&unit.key).and_then(|count| count.sides.get_mut(side));
                    if let Some(count) = count.filter(|count| **count > 0) {
                        *count -= 1;
                        marked.push(number);
                        chunks += 1;
                        records += unit.records;
                    }
                })?;
                if side == 0 {
                    self.chunks += chunks;
                    self.records += records;
                }
                if let Some(marks) = self.sides.get_mut(side) {
                    marked.into_iter().for_each(|number| marks.mark(number));
                }
            }
        }
        Ok(())
    }

    /// Hands over the parts of files that are not left out, with their numbers.
    fn each(
        &self,
        repository: &Repository,
        files: &[TableFile],
        side: usize,
        each: &mut dyn FnMut(usize, Keyed),
    ) -> Result<()> {
        let mut number = 0;
        for (_, file) in files.iter().enumerate().filter(|(at, _)| !self.is_file(side, *at)) {
            let mut units = Units::of(file, repository)?;
            while let Some(unit) = units.next_unit()? {
                if let Some(keyed) = key_of(file, &unit) {
                    each(number, keyed);
                    number += 1;
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Count {
    sides: [u32; 2],
    /// Of a piece of a stream its chunk, of which it must be known that it holds whole records.
    piece: Option<ChunkId>,
}

/// A part that could be left out.
pub(super) struct Keyed {
    /// What it holds: the same bytes, written with schemas that mean the same.
    pub(super) key: RecordHash,
    records: u64,
    piece: Option<ChunkId>,
}

/// What a part holds, if it is whole records and known by an id.
pub(super) fn key_of(file: &TableFile, unit: &Unit) -> Option<Keyed> {
    let keyed = |id: &ChunkId, kind: u8| {
        let first = id.as_bytes().first_chunk().map_or(0, |first| u128::from_le_bytes(*first));
        // Ids are hashes: what is mixed in need only differ.
        first ^ (u128::from(file.schema.meaning) << 8 | u128::from(kind)) << 64
    };
    match unit {
        Unit::Piece(piece) if piece.begins && piece.ends => {
            Some(Keyed { key: keyed(&piece.id, 0), records: piece.records, piece: Some(piece.id) })
        }
        Unit::Block(block) => {
            let id = block.id?;
            Some(Keyed { key: keyed(&id, 1 + file.codec as u8), records: block.records, piece: None })
        }
        Unit::Piece(_) | Unit::Inline | Unit::Unsound => None,
    }
}

/// What a file holds, if it is sound.
fn key_of_file(file: &TableFile) -> Option<RecordHash> {
    let recipe = file.sound_recipe()?;
    let mut bytes = vec![file.codec as u8];
    bytes.extend_from_slice(&file.schema.meaning.to_le_bytes());
    recipe.records.write(&mut bytes);
    recipe.payloads.write(&mut bytes);
    if recipe.payloads.length() > 0 {
        recipe.layout.write(&mut bytes);
    }
    digest(&bytes).first_chunk().map(|first| u128::from_le_bytes(*first))
}
