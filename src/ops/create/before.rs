//! The rows of an earlier snapshot beside those of a new one, in the same order.

use crate::error::Result;
use crate::snapshot::ManifestReader;
use crate::snapshot::entry::{FileEntry, path_order};
use crate::store::Repository;

/// The parent's row of this path.
pub(crate) fn parent_row(rows: &mut ManifestReader<&Repository>, path: &[u8]) -> Result<Option<FileEntry>> {
    row_at(rows, path, &mut |_| ())
}

/// The row of this path. Those before it, which nothing was found for, are handed to `passed`.
pub(crate) fn row_at(
    rows: &mut ManifestReader<&Repository>,
    path: &[u8],
    passed: &mut dyn FnMut(FileEntry),
) -> Result<Option<FileEntry>> {
    while let Some(row) = rows.peek()? {
        match path_order(&row.path, path) {
            std::cmp::Ordering::Less => {
                if let Some(row) = rows.next_row()? {
                    passed(row);
                }
            }
            std::cmp::Ordering::Equal => return rows.next_row(),
            std::cmp::Ordering::Greater => return Ok(None),
        }
    }
    Ok(None)
}

/// What is remembered of a row that nothing was found for: nothing, unless it is an Avro file.
pub(crate) fn container(row: FileEntry) -> Option<FileEntry> {
    row.avro.is_some().then(|| FileEntry { recipe: Vec::new(), xattrs: Vec::new(), ..row })
}
