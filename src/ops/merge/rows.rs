//! The rows of all parts, in the order of their paths, each path once.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::chunk::ChunkSource;
use crate::error::Result;
use crate::snapshot::entry::{EntryKind, FileEntry, path_order};
use crate::snapshot::{ManifestReader, Shard};

/// The next row of a part.
struct Head {
    row: FileEntry,
    part: u32,
}

impl Ord for Head {
    /// The first path is the greatest, and of one path the first part: a heap has its greatest on top.
    fn cmp(&self, other: &Self) -> Ordering {
        path_order(&other.row.path, &self.row.path).then(other.part.cmp(&self.part))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

/// A row of the union.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MergedRow {
    pub(super) row: FileEntry,
    /// The part that it comes from.
    pub(super) part: u32,
    /// What another part has at the same path and is dropped, since it cannot be there as well: while the parts were saved, a
    /// file became a directory, or the other way round.
    pub(super) dropped: Option<(u32, FileEntry)>,
}

/// Reads the manifests of all parts side by side, with one chunk of rows of each in memory.
pub(super) struct Union<S> {
    readers: Vec<ManifestReader<S>>,
    heads: BinaryHeap<Head>,
}

impl<S: ChunkSource> Union<S> {
    /// Of these parts, in the order of their numbers, from 1 on.
    pub(super) fn new(readers: Vec<ManifestReader<S>>) -> Result<Self> {
        let parts = u32::try_from(readers.len()).unwrap_or(u32::MAX);
        let mut union = Self { readers, heads: BinaryHeap::new() };
        (1..=parts).try_for_each(|part| union.refill(part))?;
        Ok(union)
    }

    fn refill(&mut self, part: u32) -> Result<()> {
        let reader = self.readers.get_mut(part.saturating_sub(1) as usize);
        if let Some(row) = reader.map(ManifestReader::next_row).transpose()?.flatten() {
            self.heads.push(Head { row, part });
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Option<Head>> {
        let Some(head) = self.heads.pop() else { return Ok(None) };
        self.refill(head.part)?;
        Ok(Some(head))
    }

    /// The next row.
    ///
    /// Directories that lead to something stand in several parts. The row that counts is that of the part which the path
    /// belongs to, if it has one, else that of the first part. What is no directory stands in one part only; if it is a
    /// directory in another one, that stays, since something is in it.
    pub(super) fn next_row(&mut self) -> Result<Option<MergedRow>> {
        let Some(mut chosen) = self.pop()? else { return Ok(None) };
        let owner = Shard::number_of(&chosen.row.path, u32::try_from(self.readers.len()).unwrap_or(u32::MAX));
        let mut dropped = None;
        while self.heads.peek().is_some_and(|head| head.row.path == chosen.row.path) {
            let Some(mut other) = self.pop()? else { break };
            let is_directory = |head: &Head| head.row.kind == EntryKind::Directory;
            let takes_over = match (is_directory(&chosen), is_directory(&other)) {
                (true, true) => other.part == owner,
                (chosen, other) => other && !chosen,
            };
            if takes_over {
                std::mem::swap(&mut chosen, &mut other);
            }
            if !is_directory(&other) {
                dropped = Some((other.part, other.row));
            }
        }
        Ok(Some(MergedRow { row: chosen.row, part: chosen.part, dropped }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkMap;
    use crate::id::ChunkHasher;
    use crate::snapshot::ManifestWriter;

    fn union(parts: &[Vec<FileEntry>]) -> Vec<MergedRow> {
        let mut map = ChunkMap::default();
        let trees: Vec<_> = parts
            .iter()
            .map(|rows| {
                let mut writer = ManifestWriter::new(ChunkHasher::open());
                rows.iter().for_each(|row| writer.push(row, &mut map).unwrap());
                writer.finish(&mut map).unwrap()
            })
            .collect();
        let readers = trees.iter().map(|tree| ManifestReader::new(tree.as_ref(), &map)).collect();
        let mut union = Union::new(readers).unwrap();
        std::iter::from_fn(|| union.next_row().unwrap()).collect()
    }

    fn row(path: &str, kind: EntryKind, inode: u64) -> FileEntry {
        FileEntry { path: path.as_bytes().to_vec(), kind, inode, ..FileEntry::nothing() }
    }

    #[test]
    fn the_union_has_each_path_once_and_in_order() {
        let all: Vec<_> = (0..2000).map(|n| row(&format!("d{:02}/f{n:05}", n / 100), EntryKind::File, 1)).collect();
        let mut parts = vec![Vec::new(); 3];
        let mut last = vec![String::new(); 3];
        for file in &all {
            let part = Shard::number_of(&file.path, 3) as usize - 1;
            let folder = String::from_utf8(file.path[..3].to_vec()).unwrap();
            if last[part] != folder {
                parts[part].push(row(&folder, EntryKind::Directory, part as u64 + 1));
                last[part] = folder;
            }
            parts[part].push(file.clone());
        }
        let merged = union(&parts);
        let files: Vec<_> = merged.iter().map(|merged| &merged.row).filter(|row| row.kind == EntryKind::File).collect();
        assert!(files.into_iter().eq(&all));
        let folders: Vec<_> = merged.iter().filter(|merged| merged.row.kind == EntryKind::Directory).collect();
        assert_eq!(folders.len(), 20);
        for MergedRow { row, part, dropped } in folders {
            assert_eq!((*part, row.inode), (Shard::number_of(&row.path, 3), u64::from(*part)));
            assert_eq!(*dropped, None);
        }
        assert!(merged.windows(2).all(|two| path_order(&two[0].row.path, &two[1].row.path).is_lt()));
    }

    #[test]
    fn a_directory_with_something_in_it_stays_where_another_part_has_a_file() {
        let (file, folder) = (row("x", EntryKind::File, 1), row("x", EntryKind::Directory, 2));
        let below = row("x/y", EntryKind::File, 3);
        for (parts, of) in [
            ([vec![file.clone()], vec![folder.clone(), below.clone()]], 1),
            ([vec![folder.clone(), below.clone()], vec![file.clone()]], 2),
        ] {
            let merged = union(&parts);
            assert_eq!(merged.len(), 2);
            assert_eq!(merged[0], MergedRow { row: folder.clone(), part: 3 - of, dropped: Some((of, file.clone())) });
            assert_eq!(merged[1].row, below);
        }
        assert!(union(&[Vec::new(), Vec::new()]).is_empty());
    }
}
