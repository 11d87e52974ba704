//! `ls`: what is in a snapshot.

use super::{is_at_or_below, skip_below};
use crate::error::{Error, Result};
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::store::Repository;
use crate::store::unless_moved;

/// What was listed, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links, pipes and devices.
    pub others: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
    /// Avro containers among the files.
    pub avro_files: u64,
    /// Records that their blocks declare.
    pub records: u64,
}

impl Summary {
    /// Counts one more row.
    pub fn add(&mut self, entry: &FileEntry) {
        match entry.kind {
            EntryKind::File => self.files += 1,
            EntryKind::Directory => self.directories += 1,
            _ => self.others += 1,
        }
        self.bytes += entry.size;
        if let Some(facts) = &entry.avro {
            self.avro_files += 1;
            self.records = self.records.saturating_add(facts.declared_records);
        }
    }
}

/// Hands the rows at and below `path` (as manifests write paths; empty for all) to `each`, in their order. If not
/// `recursive`, only what is right below it.
///
/// # Errors
/// [`Error::NoPath`] if there is nothing at or below the path; [`Error::SnapshotRemoved`] if the snapshot was removed
/// meanwhile; errors of reading the manifest; those of `each`, at the first
/// of which it stops.
pub fn ls(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
    recursive: bool,
    each: &mut dyn FnMut(&FileEntry) -> Result<()>,
) -> Result<Summary> {
    unless_moved(repository, snapshot, listed(repository, snapshot, path, recursive, each))
}

fn listed(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
    recursive: bool,
    each: &mut dyn FnMut(&FileEntry) -> Result<()>,
) -> Result<Summary> {
    let mut rows = snapshot.rows(repository);
    rows.seek(path)?;
    let mut summary = Summary::default();
    let mut found = path.is_empty();
    while let Some(row) = rows.next_row()? {
        if !is_at_or_below(&row.path, path) {
            break;
        }
        found = true;
        summary.add(&row);
        each(&row)?;
        if !recursive && row.path != path && row.kind == EntryKind::Directory {
            skip_below(&mut rows, &row.path)?;
        }
    }
    match found {
        true => Ok(summary),
        false => Err(Error::NoPath { path: String::from_utf8_lossy(path).into_owned(), snapshot: snapshot.id.short() }),
    }
}
