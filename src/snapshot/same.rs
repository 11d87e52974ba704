//! Whether two roots of a snapshot stand for the same files.

use std::collections::VecDeque;

use super::entry::FileEntry;
use super::manifest::ManifestReader;
use super::root::SnapshotRoot;
use crate::chunk::ChunkSource;
use crate::error::Result;
use crate::recipe::{Tree, TreeReader};

/// The first path of which two roots say different things. How a file is stored (its recipe, and what is known of its
/// encoding) is none of these: the hash of its content is. Chunks of rows that both have are not read.
///
/// # Errors
/// Errors of reading chunks from the source: damage where rows cannot be read that only one of the roots has.
pub fn first_difference<S: ChunkSource + ?Sized>(
    one: &SnapshotRoot,
    other: &SnapshotRoot,
    source: &S,
) -> Result<Option<Vec<u8>>> {
    let (mut one, mut other) = (Side::new(one, source), Side::new(other, source));
    loop {
        if one.rows.is_empty() && other.rows.is_empty() {
            let (left, right) = (one.next_leaf()?, other.next_leaf()?);
            match (left, right) {
                (None, None) => return Ok(None),
                (Some(left), Some(right)) if left.root.id == right.root.id => continue,
                (left, right) => {
                    one.fill(left)?;
                    other.fill(right)?;
                }
            }
        }
        for side in [&mut one, &mut other] {
            if side.rows.is_empty() {
                let leaf = side.next_leaf()?;
                side.fill(leaf)?;
            }
        }
        match (one.rows.pop_front(), other.rows.pop_front()) {
            (Some(left), Some(right)) if left.path == right.path && content_of(&left) == content_of(&right) => {}
            (Some(left), Some(right)) => return Ok(Some(left.path.min(right.path))),
            (Some(row), None) | (None, Some(row)) => return Ok(Some(row.path)),
            (None, None) => {}
        }
    }
}

/// A row without what says how its content is stored.
fn content_of(row: &FileEntry) -> FileEntry {
    FileEntry { recipe: Vec::new(), avro: None, ..row.clone() }
}

struct Side<'s, S: ?Sized> {
    leaves: Option<TreeReader<&'s S>>,
    rows: VecDeque<FileEntry>,
    source: &'s S,
}

impl<'s, S: ChunkSource + ?Sized> Side<'s, S> {
    fn new(root: &SnapshotRoot, source: &'s S) -> Self {
        let leaves = root.manifest.as_ref().map(|tree| TreeReader::new(tree, source));
        Self { leaves, rows: VecDeque::new(), source }
    }

    fn next_leaf(&mut self) -> Result<Option<Tree>> {
        let Some(leaves) = &mut self.leaves else { return Ok(None) };
        Ok(leaves.next_piece()?.map(|root| Tree { root, height: 0 }))
    }

    fn fill(&mut self, leaf: Option<Tree>) -> Result<()> {
        let mut rows = ManifestReader::new(leaf.as_ref(), self.source);
        while let Some(row) = rows.next_row()? {
            self.rows.push_back(row);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ManifestWriter;
    use super::*;
    use crate::chunk::ChunkMap;
    use crate::id::{ChunkHasher, ContentHash, SnapshotId};

    fn row(number: usize, content: u8, recipe: u8) -> FileEntry {
        FileEntry {
            path: format!("file-{number:05}").into_bytes(),
            content: Some(ContentHash::new([content; 32])),
            recipe: vec![recipe; 40],
            ..FileEntry::nothing()
        }
    }

    fn root(rows: impl IntoIterator<Item = FileEntry>, map: &mut ChunkMap) -> SnapshotRoot {
        let mut manifest = ManifestWriter::new(ChunkHasher::open());
        for row in rows {
            manifest.push(&row, map).unwrap();
        }
        SnapshotRoot { manifest: manifest.finish(map).unwrap(), ..SnapshotRoot::nothing(SnapshotId::new([1; 16])) }
    }

    #[test]
    fn the_recipe_is_no_difference_and_everything_else_is() {
        let mut map = ChunkMap::default();
        let rows = || (0..3000).map(|n| row(n, 1, 1));
        let first = root(rows(), &mut map);
        let mut differs = |rows: Vec<FileEntry>| {
            let other = root(rows, &mut map);
            let found = first_difference(&first, &other, &map).unwrap();
            assert_eq!(found, first_difference(&other, &first, &map).unwrap());
            found.map(|path| String::from_utf8(path).unwrap())
        };
        assert_eq!(differs(rows().collect()), None);
        assert_eq!(differs((0..3000).map(|n| row(n, 1, if n % 700 == 3 { 9 } else { 1 })).collect()), None);
        assert_eq!(
            differs((0..3000).map(|n| row(n, if n == 2000 { 2 } else { 1 }, 1)).collect()).unwrap(),
            "file-02000"
        );
        assert_eq!(differs(rows().filter(|row| row.path != b"file-01234").collect()).unwrap(), "file-01234");
        assert_eq!(differs(rows().chain([row(4000, 1, 1)]).collect()).unwrap(), "file-04000");
        assert_eq!(differs(Vec::new()).unwrap(), "file-00000");
        assert_eq!(differs(rows().map(|row| FileEntry { mode: 0o777, ..row }).collect()).unwrap(), "file-00000");
    }
}
