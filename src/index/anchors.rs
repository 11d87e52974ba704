//! Where bytes that look like those of a new chunk were stored last, to make it a delta of them.
//!
//! ```text
//! anchors(hash, chunk)    one row an anchor: the newest chunk that has it; chunk = pack << 32 | number in the pack
//! anchored(chunk)         one row a chunk whose anchors are in here
//! ```
//!
//! Only hints: losing them, or finding wrong ones, costs space or time and nothing else. So rows have no checksum, and
//! whatever goes wrong here is passed over.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{OptionalExtension, params};

use super::Index;
use super::database::Database;
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
    fn row(self) -> i64 {
        i64::from(self.pack) << 32 | i64::from(self.chunk)
    }

    fn of_row(row: i64) -> Option<Self> {
        Some(Self { pack: u32::try_from(row >> 32).ok()?, chunk: row as u32 })
    }
}

/// Rows beyond which the older half is forgotten: about 600 MB of the file, for the last 100 GB of streams.
const MAX_ROWS: i64 = 24_000_000;

pub(super) const TABLES: &str = "CREATE TABLE IF NOT EXISTS anchors (hash INTEGER PRIMARY KEY, chunk INTEGER NOT NULL);
     CREATE TABLE IF NOT EXISTS anchored (chunk INTEGER PRIMARY KEY);";

/// Whether there are any anchors at all: nothing can be found in a fresh repository, and nothing need be looked up.
#[derive(Debug, Default)]
pub(super) struct Any(AtomicBool);

impl Index {
    /// Whether anchors can be found at all.
    pub fn has_anchors(&self) -> bool {
        // Once there are some, there always are; until then the look is cheap.
        let any = || self.database().any_anchors().unwrap_or(false);
        self.any_anchors.0.load(Ordering::Relaxed) || {
            let any = any();
            self.any_anchors.0.store(any, Ordering::Relaxed);
            any
        }
    }

    /// The newest chunk with each of these anchors, in their order.
    pub fn find_anchors(&self, hashes: &[u64]) -> Vec<Option<PackedChunk>> {
        let mut found = vec![None; hashes.len()];
        // In the order of the keys, neighbours lie on one page.
        let mut order: Vec<usize> = (0..hashes.len()).collect();
        order.sort_unstable_by_key(|at| hashes.get(*at));
        let database = self.database();
        let _ = database.find_anchors(order.into_iter().filter_map(|at| Some((at, *hashes.get(at)?))), |at, chunk| {
            if let Some(place) = found.get_mut(at) {
                *place = Some(chunk);
            }
        });
        found
    }

    /// Whether the anchors of this chunk are known.
    pub fn is_anchored(&self, chunk: PackedChunk) -> bool {
        self.database().is_anchored(chunk).unwrap_or(false)
    }

    /// Remembers the anchors of chunks. Where an anchor is known, the newer chunk counts.
    pub fn remember_anchors(&self, chunks: &[(PackedChunk, Vec<u64>)]) {
        if chunks.is_empty() {
            return;
        }
        let mut rows: Vec<(u64, PackedChunk)> =
            chunks.iter().flat_map(|(chunk, hashes)| hashes.iter().map(|hash| (*hash, *chunk))).collect();
        rows.sort_unstable();
        let remembered = self.database().transaction(|database| database.insert_anchors(&rows, chunks));
        if remembered.is_ok() {
            self.any_anchors.0.store(true, Ordering::Relaxed);
        }
    }
}

impl Database {
    fn any_anchors(&self) -> Result<bool> {
        let mut statement = self.connection().prepare_cached("SELECT EXISTS (SELECT 1 FROM anchors)")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    fn find_anchors(
        &self,
        hashes: impl Iterator<Item = (usize, u64)>,
        mut each: impl FnMut(usize, PackedChunk),
    ) -> Result<()> {
        let mut statement = self.connection().prepare_cached("SELECT chunk FROM anchors WHERE hash = ?1")?;
        for (at, hash) in hashes {
            let row: Option<i64> = statement.query_row([hash.cast_signed()], |row| row.get(0)).optional()?;
            if let Some(chunk) = row.and_then(PackedChunk::of_row) {
                each(at, chunk);
            }
        }
        Ok(())
    }

    fn is_anchored(&self, chunk: PackedChunk) -> Result<bool> {
        let mut statement = self.connection().prepare_cached("SELECT 1 FROM anchored WHERE chunk = ?1")?;
        Ok(statement.exists([chunk.row()])?)
    }

    fn insert_anchors(&self, rows: &[(u64, PackedChunk)], chunks: &[(PackedChunk, Vec<u64>)]) -> Result<()> {
        let connection = self.connection();
        // Counts what was put in since it was last counted for true, replaced rows included.
        let count: i64 = connection
            .query_row("SELECT value FROM meta WHERE key = 'anchors'", [], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        let count = match count + rows.len() as i64 > MAX_ROWS {
            true => self.forget_old_anchors(MAX_ROWS)?,
            false => count,
        };
        let mut insert = connection.prepare_cached(
            "INSERT INTO anchors VALUES (?1, ?2) ON CONFLICT (hash) DO UPDATE SET chunk = MAX(chunk, excluded.chunk)",
        )?;
        for (hash, chunk) in rows {
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

    /// Makes room, if more than half of so many rows are there; gives the number of rows that are left.
    fn forget_old_anchors(&self, most: i64) -> Result<i64> {
        let connection = self.connection();
        let count = || connection.query_row("SELECT COUNT(*) FROM anchors", [], |row| row.get::<_, i64>(0));
        let there = count()?;
        if there <= most / 2 {
            return Ok(there);
        }
        let middle: Option<i64> = connection
            .query_row("SELECT (MIN(chunk) + MAX(chunk)) / 2 FROM anchors", [], |row| row.get(0))
            .optional()?;
        connection.execute("DELETE FROM anchors WHERE chunk <= ?1", [middle])?;
        connection.execute("DELETE FROM anchored WHERE chunk <= ?1", [middle])?;
        Ok(count()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pack: u32, chunk: u32) -> PackedChunk {
        PackedChunk { pack, chunk }
    }

    #[test]
    fn the_newest_chunk_with_an_anchor_is_found() {
        let index = Index::open(None, [7; 32]).unwrap();
        assert!(!index.has_anchors());
        index.remember_anchors(&[(at(2, 0), vec![5, 9]), (at(2, 70_000), vec![1, 1 << 51])]);
        assert!(index.has_anchors() && index.is_anchored(at(2, 70_000)) && !index.is_anchored(at(2, 1)));
        let found = index.find_anchors(&[9, 3, 1 << 51, 1]);
        assert_eq!(found, [Some(at(2, 0)), None, Some(at(2, 70_000)), Some(at(2, 70_000))]);
        // Anchors of an older chunk that are put in later do not hide the newer one.
        index.remember_anchors(&[(at(3, 1), vec![5]), (at(1, 1), vec![9])]);
        assert_eq!(index.find_anchors(&[5, 9]), [Some(at(3, 1)), Some(at(2, 0))]);
    }

    #[test]
    fn the_older_half_makes_room() {
        let index = Index::open(None, [7; 32]).unwrap();
        for pack in 1..=10 {
            index.remember_anchors(&[(at(pack, 0), (0..10).map(|hash| u64::from(pack) * 100 + hash).collect())]);
        }
        assert_eq!(index.database().forget_old_anchors(1000).unwrap(), 100);
        assert_eq!(index.database().forget_old_anchors(100).unwrap(), 50);
        assert_eq!(index.find_anchors(&[100, 900]), [None, Some(at(9, 0))]);
        assert!(!index.is_anchored(at(1, 0)) && index.is_anchored(at(9, 0)));
    }
}
