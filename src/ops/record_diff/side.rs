//! Which files of a snapshot are compared.

use super::super::is_at_or_below;
use crate::error::{Error, Result};
use crate::files::{Matchable, Pattern};
use crate::read::regular_file;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::store::{Repository, unless_moved};

/// A table in a snapshot.
#[derive(Debug, Clone)]
pub struct Side {
    /// Root of the snapshot.
    pub snapshot: SnapshotRoot,
    /// The rows of its files.
    pub files: Vec<FileEntry>,
}

impl Side {
    /// The table that a path means: a file, the Avro files of a folder, or those that match a pattern.
    ///
    /// # Errors
    /// [`Error::NoPath`] if there is nothing at the path; errors of reading the manifest.
    pub fn of_path(repository: &Repository, snapshot: SnapshotRoot, path: &[u8]) -> Result<Self> {
        let files = unless_moved(repository, &snapshot, files(repository, &snapshot, path))?;
        Ok(Self { snapshot, files })
    }
}

fn files(repository: &Repository, snapshot: &SnapshotRoot, path: &[u8]) -> Result<Vec<FileEntry>> {
    let is_pattern = path.iter().any(|byte| b"*?[".contains(byte));
    let pattern = if is_pattern { Some(Pattern::new(path, false)?) } else { None };
    let literal = match path.iter().position(|byte| b"*?[".contains(byte)) {
        Some(first) => path.get(..first).and_then(|before| before.iter().rposition(|byte| *byte == b'/')).unwrap_or(0),
        None => path.len(),
    };
    let folder = path.get(..literal).unwrap_or_default();
    let (mut rows, mut files, mut found) = (snapshot.rows(repository), Vec::new(), folder.is_empty());
    rows.seek(folder)?;
    while let Some(row) = rows.next_row()? {
        if !is_at_or_below(&row.path, folder) {
            break;
        }
        found = true;
        let is_wanted = match &pattern {
            Some(pattern) => pattern.matches_itself(&Matchable::new(&row.path, false)),
            None => true,
        };
        if !is_wanted || row.kind != EntryKind::File {
            continue;
        }
        let row = if row.hard_link.is_some() {
            FileEntry { path: row.path.clone(), ..regular_file(repository, snapshot, &row.path)? }
        } else {
            row
        };
        if row.avro.is_some() || row.path == path {
            files.push(row);
        }
    }
    match found {
        true => Ok(files),
        false => Err(Error::NoPath { path: String::from_utf8_lossy(path).into_owned(), snapshot: snapshot.id.short() }),
    }
}
