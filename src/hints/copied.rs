//! What chunks of other repositories are called in this one, so that what was copied once need not be read and decoded
//! again to learn that it is here.
//!
//! ```text
//! copied(source, chunk, tag)   one row a chunk of another repository: its id there, and its id here
//! ```
//!
//! That two ids stand for the same bytes is true for ever, whatever happens to either repository. Whether the chunk is
//! (still) here is another question, which `chunks` answers. A row counts only with its keyed checksum, which also
//! covers whose ids the first ones are.

use rusqlite::{OptionalExtension, params};

use super::{HintFile, Hints};
use crate::error::Result;
use crate::id::ChunkId;

/// A chunk: its id in another repository, and in this one.
pub type CopiedChunk = (ChunkId, ChunkId);

/// Rows beyond which all are forgotten: about 400 MB of the file, 250 GB of streams.
const MAX_ROWS: i64 = 4_000_000;

impl Hints {
    /// What a chunk of another repository is called in this one, if that was remembered. `naming` says how the other one
    /// names its chunks: the id of no bytes.
    pub fn copied(&self, naming: &ChunkId, source: &ChunkId) -> Option<ChunkId> {
        let file = self.file();
        let (chunk, tag) = file.copied(source).ok().flatten()?;
        (file.copied_tag(naming, source, &chunk) == tag).then_some(chunk)
    }

    /// Remembers what chunks are called in either. Losing this costs time, so what goes wrong is skipped.
    pub fn remember_copied(&self, naming: &ChunkId, chunks: &[CopiedChunk]) {
        if !chunks.is_empty() {
            let _ = self.file().transaction(|file| file.insert_copied(naming, chunks));
        }
    }
}

impl HintFile {
    fn copied(&self, source: &ChunkId) -> Result<Option<(ChunkId, i64)>> {
        let mut statement = self.lookups()?.prepare_cached("SELECT chunk, tag FROM copied WHERE source = ?1")?;
        let row = statement.query_row([source.as_bytes()], |row| Ok((ChunkId::new(row.get(0)?), row.get(1)?)));
        Ok(row.optional()?)
    }

    fn copied_tag(&self, naming: &ChunkId, source: &ChunkId, chunk: &ChunkId) -> i64 {
        self.keyed(&[b"copied", naming.as_bytes(), source.as_bytes(), chunk.as_bytes()])
    }

    fn insert_copied(&self, naming: &ChunkId, chunks: &[CopiedChunk]) -> Result<()> {
        self.make_room("copied", MAX_ROWS, chunks.len())?;
        let mut insert = self
            .connection()
            .prepare_cached("INSERT OR REPLACE INTO copied (source, chunk, tag) VALUES (?1, ?2, ?3)")?;
        for (source, chunk) in chunks {
            let tag = self.copied_tag(naming, source, chunk);
            insert.execute(params![source.as_bytes(), chunk.as_bytes(), tag])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_only_as_it_was_written_and_for_the_repository_it_was_written_for() {
        let id = |n: u8| ChunkId::new([n; 32]);
        let hints = Hints::open(None, [7; 32]).unwrap();
        hints.remember_copied(&id(0), &[(id(1), id(11)), (id(2), id(12))]);
        hints.remember_copied(&id(0), &[(id(2), id(13))]);
        assert_eq!(hints.copied(&id(0), &id(1)), Some(id(11)));
        assert_eq!(hints.copied(&id(0), &id(2)), Some(id(13)), "the later one");
        assert_eq!(hints.copied(&id(0), &id(3)), None);
        assert_eq!(hints.copied(&id(9), &id(1)), None, "another repository's");
        hints.file().connection().execute("UPDATE copied SET chunk = ?1", [id(12).as_bytes()]).unwrap();
        assert_eq!(hints.copied(&id(0), &id(1)), None, "a changed row does not count");
    }
}
