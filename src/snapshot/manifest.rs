//! Manifests: sorted rows, in chunks, under a tree.

use std::collections::VecDeque;

use super::entry::{FileEntry, path_order};
use super::row::{decode_row, encode_row};
use crate::chunk::{ChunkKind, ChunkSink, ChunkSource};
use crate::error::{Context, Error, Result};
use crate::id::ChunkHasher;
use crate::recipe::{Reference, Tree, TreeBuilder, TreeReader};
use crate::wire::Malformed;

/// A chunk of rows ends after a row whose path's hash has this many low bits zero, which is one in 128, ...
const ROW_BITS: u32 = 7;
/// ... and in any case when it has this many bytes.
const MAX_ROWS: usize = 512 << 10;

/// Writes a manifest.
#[derive(Debug)]
pub struct ManifestWriter {
    hasher: ChunkHasher,
    rows: Vec<u8>,
    count: u64,
    last: Vec<u8>,
    tree: TreeBuilder,
}

impl ManifestWriter {
    /// An empty manifest of a repository whose chunks this hasher names.
    pub fn new(hasher: ChunkHasher) -> Self {
        Self { hasher, rows: Vec::new(), count: 0, last: Vec::new(), tree: TreeBuilder::new() }
    }

    /// The next row. Rows come in the order of their paths, each path once.
    pub fn push(&mut self, entry: &FileEntry, sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        if !self.last.is_empty() && path_order(&self.last, &entry.path).is_ge() {
            let path = String::from_utf8_lossy(&entry.path);
            return Err(Error::Internal(format!("{path} does not come after the path before it")));
        }
        encode_row(entry, &mut self.rows);
        self.count += 1;
        self.last.clone_from(&entry.path);
        let hash = self.hasher.id(&entry.path);
        let ends = u32::from(hash.as_bytes()[31]) & ((1 << ROW_BITS) - 1) == 0;
        match ends || self.rows.len() >= MAX_ROWS {
            true => self.close(sink),
            false => Ok(()),
        }
    }

    fn close(&mut self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let length = rows.len() as u64;
        let id = sink.put(ChunkKind::Rows, rows)?;
        let records = std::mem::take(&mut self.count);
        self.tree.push(Reference { id, length, records, last: self.last.clone() }, sink)
    }

    /// The finished manifest; none if it has no rows.
    pub fn finish(mut self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<Option<Tree>> {
        self.close(sink)?;
        self.tree.finish(sink)
    }
}

/// Reads the rows of a manifest in order, with one chunk of rows in memory.
pub struct ManifestReader<S> {
    leaves: TreeReader<S>,
    rows: VecDeque<FileEntry>,
    /// The path of the last row that was decoded.
    last: Option<Vec<u8>>,
    /// How many of the next chunks were announced, and how many will be at once then.
    announced: usize,
    ahead: usize,
}

/// How many chunks are announced at once at most.
const MOST_AHEAD: usize = 128;

impl<S: ChunkSource> ManifestReader<S> {
    /// At the first row.
    pub fn new(manifest: Option<&Tree>, source: S) -> Self {
        let leaves = match manifest {
            Some(tree) => TreeReader::new(tree, source),
            None => TreeReader::empty(source),
        };
        Self { leaves, rows: VecDeque::new(), last: None, announced: 0, ahead: 0 }
    }

    /// Goes on to the first row whose path is not before `path`. What lies between is not read.
    pub fn seek(&mut self, path: &[u8]) -> Result<()> {
        let before = |other: &[u8]| path_order(other, path).is_lt();
        if self.rows.back().is_none_or(|row| before(&row.path)) {
            self.rows.clear();
            // It may be one path that is wanted.
            (self.announced, self.ahead) = (0, 0);
            self.leaves.skip_while(|reference| before(&reference.last))?;
            self.fill()?;
        }
        while self.rows.front().is_some_and(|row| before(&row.path)) {
            self.rows.pop_front();
        }
        Ok(())
    }

    /// The row with exactly this path.
    pub fn find(&mut self, path: &[u8]) -> Result<Option<FileEntry>> {
        self.seek(path)?;
        Ok(self.rows.front().filter(|row| row.path == path).cloned())
    }

    /// The next row.
    pub fn next_row(&mut self) -> Result<Option<FileEntry>> {
        if self.rows.is_empty() {
            self.fill()?;
        }
        Ok(self.rows.pop_front())
    }

    /// The next row, without going on.
    pub fn peek(&mut self) -> Result<Option<&FileEntry>> {
        if self.rows.is_empty() {
            self.fill()?;
        }
        Ok(self.rows.front())
    }

    /// Who reads on will read on: twice as many chunks as before are announced each time.
    fn announce(&mut self, next: &Reference) {
        if self.announced > 0 {
            self.announced -= 1;
            return;
        }
        let chunks: Vec<_> = self.leaves.upcoming().take(self.ahead).map(|reference| reference.id).collect();
        self.announced = chunks.len();
        self.ahead = (self.ahead * 2).clamp(1, MOST_AHEAD);
        if !chunks.is_empty() {
            self.leaves.source().will_need_all(&[&[next.id], &chunks[..]].concat());
        }
    }

    fn fill(&mut self) -> Result<()> {
        let Some(reference) = self.leaves.next_piece()? else { return Ok(()) };
        self.announce(&reference);
        let bytes = self.leaves.source().get(&reference.id)?;
        let name = format_args!("chunk {}", reference.id).to_string();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let row = decode_row(&mut rest).in_object(&name)?;
            // Everything rests on the order: paths are found by it, and none is there twice.
            if self.last.as_ref().is_some_and(|last| path_order(last, &row.path).is_ge()) {
                return Err(Malformed::new("its rows are not in the order of their paths")).in_object(name);
            }
            self.last = Some(row.path.clone());
            self.rows.push_back(row);
        }
        if self.rows.back().is_some_and(|row| row.path != reference.last) {
            return Err(Malformed::new("it does not end with the path that the reference to it says")).in_object(name);
        }
        match self.rows.len() as u64 == reference.records {
            true => Ok(()),
            false => Err(Malformed::new("it does not hold as many rows as the reference to it says")).in_object(name),
        }
    }
}

impl<S> std::fmt::Debug for ManifestReader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ManifestReader(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkMap;

    fn row(path: String) -> FileEntry {
        FileEntry { path: path.into_bytes(), recipe: vec![0; 50], ..FileEntry::nothing() }
    }

    fn write(rows: &[FileEntry], map: &mut ChunkMap) -> Option<Tree> {
        let mut writer = ManifestWriter::new(ChunkHasher::open());
        for row in rows {
            writer.push(row, map).unwrap();
        }
        writer.finish(map).unwrap()
    }

    #[test]
    fn a_manifest_is_read_back_and_one_path_is_found_quickly() {
        let rows: Vec<_> = (0..30_000).map(|n| row(format!("dir-{:03}/file-{n:06}", n / 100))).collect();
        let mut map = ChunkMap::default();
        let tree = write(&rows, &mut map).unwrap();
        let mut reader = ManifestReader::new(Some(&tree), &map);
        for row in &rows {
            assert_eq!(reader.next_row().unwrap().as_ref(), Some(row));
        }
        assert_eq!(reader.next_row().unwrap(), None);
        let mut reader = ManifestReader::new(Some(&tree), &map);
        assert_eq!(reader.find(&rows[20_000].path).unwrap().as_ref(), Some(&rows[20_000]));
        assert_eq!(reader.find(&rows[20_001].path).unwrap().as_ref(), Some(&rows[20_001]));
        assert_eq!(reader.find(b"zzz").unwrap(), None);
    }

    #[test]
    fn one_more_row_costs_few_chunks() {
        let mut rows: Vec<_> = (0..30_000).map(|n| row(format!("file-{n:06}"))).collect();
        let mut map = ChunkMap::default();
        write(&rows, &mut map);
        let before = map.chunks.len();
        rows.insert(15_000, row("file-014999-and-a-half".into()));
        write(&rows, &mut map);
        assert!(map.chunks.len() - before <= 4, "{} new chunks", map.chunks.len() - before);
    }

    #[test]
    fn rows_out_of_order_are_refused() {
        let (mut map, mut writer) = (ChunkMap::default(), ManifestWriter::new(ChunkHasher::open()));
        writer.push(&row("b".into()), &mut map).unwrap();
        assert!(writer.push(&row("a".into()), &mut map).is_err());
        assert!(writer.push(&row("b".into()), &mut map).is_err());
    }
}
