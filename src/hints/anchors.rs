//! Where bytes that look like those of a new chunk were stored last, to make it a delta of them.
//!
//! ```text
//! anchors(hash, chunk)    one row an anchor: the newest chunk that has it; chunk = pack << 32 | number in the pack,
//!                         or 0 if chunks have it that are not alike: then it says nothing
//! anchored(chunk)         one row a chunk whose anchors are in here
//! ```
//!
//! Only hints: losing them, or finding wrong ones, costs space or time and nothing else. So rows have no checksum, and
//! whatever goes wrong here is skipped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{OptionalExtension, params};

use super::{HintFile, Hints};
use crate::chunk::SPARSE_BELOW;
use crate::error::Result;

/// A chunk of a pack that the index knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackedChunk {
    /// The index's number of the pack. Later packs have higher ones.
    pub pack: u32,
    /// Which chunk of the pack, counted over all its frames.
    pub chunk: u32,
}

impl PackedChunk {
    /// Stands for many chunks that are not alike. No pack has the number 0.
    pub const COMMON: Self = Self { pack: 0, chunk: 0 };

    fn row(self) -> i64 {
        i64::from(self.pack) << 32 | i64::from(self.chunk)
    }

    fn of_row(row: i64) -> Option<Self> {
        Some(Self { pack: u32::try_from(row >> 32).ok()?, chunk: row as u32 })
    }
}

/// Whether a chunk is a changed copy of stored ones, by where its anchors lead: enough of those that could lead to them do.
/// What chunks that are not alike share says nothing. Nor do anchors that only a short chunk has, where none is found.
pub fn resembles(found: impl Iterator<Item = (u64, Option<PackedChunk>)>) -> bool {
    let (mut shared, mut telling) = (0, 0);
    for (hash, chunk) in found.filter(|(_, chunk)| *chunk != Some(PackedChunk::COMMON)) {
        shared += usize::from(chunk.is_some());
        telling += usize::from(chunk.is_some() || hash < SPARSE_BELOW);
    }
    shared > 0 && shared * 5 >= telling * 2
}

/// Rows beyond which the older half is forgotten: about 600 MB of the file, for the last 100 GB of streams.
const MAX_ROWS: i64 = 24_000_000;

/// Whether there are any anchors at all: nothing can be found in a fresh repository, and nothing need be looked up.
#[derive(Debug, Default)]
pub(super) struct Any(AtomicBool);

impl Hints {
    /// Whether anchors can be found at all.
    pub fn has_anchors(&self) -> bool {
        // Once there are some, there always are; until then the look is cheap.
        let any = || self.file().any_anchors().unwrap_or(false);
        self.any_anchors.0.load(Ordering::Relaxed) || {
            let any = any();
            self.any_anchors.0.store(any, Ordering::Relaxed);
            any
        }
    }

    /// The newest chunk with each of these anchors, in their order; [`PackedChunk::COMMON`] for those that say nothing.
    pub fn find_anchors(&self, hashes: &[u64]) -> Vec<Option<PackedChunk>> {
        let known = self.file().find_anchors(hashes).unwrap_or_default();
        hashes.iter().map(|hash| known.get(hash).copied()).collect()
    }

    /// Whether the anchors of this chunk are known.
    pub fn is_anchored(&self, chunk: PackedChunk) -> bool {
        self.file().is_anchored(chunk).unwrap_or(false)
    }

    /// Remembers the anchors of chunks. Where an anchor is known, the later chunk counts, if the two are alike.
    pub fn remember_anchors(&self, chunks: &[(PackedChunk, Vec<u64>)]) {
        if chunks.is_empty() {
            return;
        }
        let remembered = self.file().transaction(|file| file.insert_anchors(chunks));
        if remembered.is_ok() {
            self.any_anchors.0.store(true, Ordering::Relaxed);
        }
    }
}

impl HintFile {
    fn any_anchors(&self) -> Result<bool> {
        let mut statement = self.lookups()?.prepare_cached("SELECT EXISTS (SELECT 1 FROM anchors)")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    /// Where these anchors lead, as far as they are known.
    fn find_anchors(&self, hashes: &[u64]) -> Result<HashMap<u64, PackedChunk>> {
        // In the order of the keys, neighbours lie on one page.
        let mut hashes = hashes.to_vec();
        hashes.sort_unstable();
        hashes.dedup();
        let mut statement = self.lookups()?.prepare_cached("SELECT chunk FROM anchors WHERE hash = ?1")?;
        let mut known = HashMap::new();
        for hash in hashes {
            let row: Option<i64> = statement.query_row([hash.cast_signed()], |row| row.get(0)).optional()?;
            if let Some(chunk) = row.and_then(PackedChunk::of_row) {
                known.insert(hash, chunk);
            }
        }
        Ok(known)
    }

    fn is_anchored(&self, chunk: PackedChunk) -> Result<bool> {
        let mut statement = self.lookups()?.prepare_cached("SELECT 1 FROM anchored WHERE chunk = ?1")?;
        Ok(statement.exists([chunk.row()])?)
    }

    fn insert_anchors(&self, chunks: &[(PackedChunk, Vec<u64>)]) -> Result<()> {
        let connection = self.connection();
        let hashes: Vec<u64> = chunks.iter().flat_map(|(_, hashes)| hashes).copied().collect();
        let rows = settle(self.find_anchors(&hashes)?, chunks);
        // Counts what was put in since it was last counted for true, replaced rows included.
        let count: i64 = connection
            .query_row("SELECT value FROM meta WHERE key = 'anchors'", [], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let count = match count + rows.len() as i64 > MAX_ROWS {
            true => self.forget_old_anchors(MAX_ROWS)?,
            false => count,
        };
        let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO anchors VALUES (?1, ?2)")?;
        for (hash, chunk) in &rows {
            insert.execute(params![hash.cast_signed(), chunk.row()])?;
        }
        let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO anchored VALUES (?1)")?;
        for (chunk, _) in chunks {
            insert.execute([chunk.row()])?;
        }
        let count = count + rows.len() as i64;
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('anchors', ?1)", [count])?;
        Ok(())
    }

    /// Drops old rows, if there are more than half of this many; returns the number of rows that are left.
    fn forget_old_anchors(&self, most: i64) -> Result<i64> {
        let connection = self.connection();
        let count = || connection.query_row("SELECT COUNT(*) FROM anchors", [], |row| row.get::<_, i64>(0));
        let there = count()?;
        if there <= most / 2 {
            return Ok(there);
        }
        let middle: Option<i64> = connection
            .query_row("SELECT (MIN(chunk) + MAX(chunk)) / 2 FROM anchors WHERE chunk > 0", [], |row| row.get(0))
            .optional()?;
        connection.execute("DELETE FROM anchors WHERE chunk <= ?1", [middle])?;
        connection.execute("DELETE FROM anchored WHERE chunk <= ?1", [middle])?;
        Ok(count()?)
    }
}

/// The rows that change where these chunks come in, in this order; sorted.
fn settle(mut known: HashMap<u64, PackedChunk>, chunks: &[(PackedChunk, Vec<u64>)]) -> Vec<(u64, PackedChunk)> {
    let mut changed: HashMap<u64, PackedChunk> = HashMap::new();
    for (chunk, hashes) in chunks {
        let found: Vec<Option<PackedChunk>> = hashes.iter().map(|hash| known.get(hash).copied()).collect();
        let alike = resembles(hashes.iter().copied().zip(found.iter().copied()));
        for (hash, found) in hashes.iter().zip(found) {
            let now = match found {
                Some(PackedChunk::COMMON) => continue,
                Some(other) if other != *chunk && !alike => PackedChunk::COMMON,
                _ => *chunk,
            };
            if known.insert(*hash, now) != Some(now) {
                changed.insert(*hash, now);
            }
        }
    }
    let mut rows: Vec<_> = changed.into_iter().collect();
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pack: u32, chunk: u32) -> PackedChunk {
        PackedChunk { pack, chunk }
    }

    #[test]
    fn the_newest_chunk_with_an_anchor_is_found() {
        let hints = Hints::open(None, [7; 32]).unwrap();
        assert!(!hints.has_anchors());
        hints.remember_anchors(&[(at(2, 0), vec![5, 9]), (at(2, 70_000), vec![1, 1 << 51])]);
        assert!(hints.has_anchors() && hints.is_anchored(at(2, 70_000)) && !hints.is_anchored(at(2, 1)));
        let found = hints.find_anchors(&[9, 3, 1 << 51, 1]);
        assert_eq!(found, [Some(at(2, 0)), None, Some(at(2, 70_000)), Some(at(2, 70_000))]);
        // A chunk that is like the others takes over the anchors that it shares with them.
        hints.remember_anchors(&[(at(1, 1), vec![5, 9, 77])]);
        assert_eq!(
            hints.find_anchors(&[5, 9, 77, 1]),
            [Some(at(1, 1)), Some(at(1, 1)), Some(at(1, 1)), Some(at(2, 70_000))]
        );
    }

    #[test]
    fn an_anchor_that_unlike_chunks_share_says_nothing_any_more() {
        let hints = Hints::open(None, [7; 32]).unwrap();
        let chunk = |number: u64| (0..10).map(|hash| number * 100 + hash).chain([7777]).collect::<Vec<_>>();
        hints.remember_anchors(&[(at(1, 0), chunk(1)), (at(1, 1), chunk(2))]);
        assert_eq!(hints.find_anchors(&[100, 7777]), [Some(at(1, 0)), Some(PackedChunk::COMMON)]);
        // Twice in one chunk is no such thing; nor is a chunk that comes in again.
        hints.remember_anchors(&[(at(1, 2), vec![1, 1, 2, 3]), (at(1, 0), chunk(1))]);
        assert_eq!(hints.find_anchors(&[1, 100]), [Some(at(1, 2)), Some(at(1, 0))]);
        // A changed copy of it still finds it, and takes over.
        hints.remember_anchors(&[(at(2, 0), chunk(1).into_iter().skip(3).collect())]);
        assert_eq!(hints.find_anchors(&[100, 105, 7777]), [Some(at(1, 0)), Some(at(2, 0)), Some(PackedChunk::COMMON)]);
    }

    #[test]
    fn the_older_half_makes_room() {
        let hints = Hints::open(None, [7; 32]).unwrap();
        for pack in 1..=10 {
            hints.remember_anchors(&[(at(pack, 0), (0..10).map(|hash| u64::from(pack) * 100 + hash).collect())]);
        }
        assert_eq!(hints.file().forget_old_anchors(1000).unwrap(), 100);
        assert_eq!(hints.file().forget_old_anchors(100).unwrap(), 50);
        assert_eq!(hints.find_anchors(&[100, 900]), [None, Some(at(9, 0))]);
        assert!(!hints.is_anchored(at(1, 0)) && hints.is_anchored(at(9, 0)));
    }
}
