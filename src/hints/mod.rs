//! What this machine remembers of earlier runs, to be faster or to store less: which stored chunk had the same anchors, which
//! encoder made a payload, what a chunk is called in another repository.
//!
//! Only hints. Losing them costs time or space. Those that anything rests on carry a keyed checksum.

mod anchors;
mod copied;
mod payloads;

use std::ops::Deref;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{OptionalExtension, params};

pub use anchors::{PackedChunk, resembles};
pub use copied::CopiedChunk;
pub use payloads::ProvenPayload;

use crate::cache::{CacheFile, Layout};
use crate::error::Result;

/// What this machine remembers about one repository.
#[derive(Debug)]
pub struct Hints {
    file: Mutex<HintFile>,
    any_anchors: anchors::Any,
}

#[derive(Debug)]
struct HintFile(CacheFile);

impl Hints {
    /// The hints in the file at `path`, or in a temporary one. `row_key` makes the checksums of rows.
    ///
    /// # Errors
    /// If not even a temporary file can be made.
    pub fn open(path: Option<&Path>, row_key: [u8; 32]) -> Result<Self> {
        const TABLES: &str = concat!(
            "CREATE TABLE IF NOT EXISTS payloads (hash BLOB PRIMARY KEY, encoder TEXT NOT NULL, tag INTEGER NOT NULL)
                 WITHOUT ROWID;",
            "CREATE TABLE IF NOT EXISTS anchors (hash INTEGER PRIMARY KEY, chunk INTEGER NOT NULL);
             CREATE TABLE IF NOT EXISTS anchored (chunk INTEGER PRIMARY KEY);",
            "CREATE TABLE IF NOT EXISTS copied (source BLOB PRIMARY KEY, chunk BLOB NOT NULL, tag INTEGER NOT NULL)
                 WITHOUT ROWID;",
        );
        let file = CacheFile::open(path, row_key, Layout { version: 1, tables: TABLES })?;
        Ok(Self { file: Mutex::new(HintFile(file)), any_anchors: anchors::Any::default() })
    }

    fn file(&self) -> MutexGuard<'_, HintFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for HintFile {
    type Target = CacheFile;

    fn deref(&self) -> &CacheFile {
        &self.0
    }
}

impl HintFile {
    /// Forgets all rows of a table once about `most` were put in, and counts those that come next. Replaced rows count, too.
    fn make_room(&self, table: &str, most: i64, coming: usize) -> Result<()> {
        let known = "SELECT value FROM meta WHERE key = ?1";
        let count: Option<i64> = self.connection().query_row(known, [table], |row| row.get(0)).optional()?;
        let mut count = count.unwrap_or(0);
        if count >= most {
            self.connection().execute(&format!("DELETE FROM {table}"), [])?;
            count = 0;
        }
        let next = params![table, count.saturating_add(coming as i64)];
        self.connection().execute("INSERT OR REPLACE INTO meta VALUES (?1, ?2)", next)?;
        Ok(())
    }

    fn transaction<T>(&mut self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.0.transaction(|| work(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_full_is_emptied_before_more_comes() {
        let hints = Hints::open(None, [7; 32]).unwrap();
        let file = hints.file();
        let rows =
            || file.connection().query_row("SELECT COUNT(*) FROM anchored", [], |row| row.get::<_, i64>(0)).unwrap();
        for number in 0..3 {
            file.make_room("anchored", 2, 1).unwrap();
            file.connection().execute("INSERT INTO anchored VALUES (?1)", [number]).unwrap();
        }
        assert_eq!(rows(), 1, "two fit, the third comes into an empty table");
    }
}
