//! What a path of a snapshot is.

use crate::error::{Error, Result};
use crate::id::SnapshotId;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::store::Repository;

/// The row of a regular file, or of the first name of it where the path is a hard link.
///
/// # Errors
/// [`Error::NoPath`], [`Error::WrongKind`]; those of reading the manifest.
pub(crate) fn regular_file(repository: &Repository, snapshot: &SnapshotRoot, path: &[u8]) -> Result<FileEntry> {
    Ok(Lookup::in_snapshot(repository, snapshot, path)?.file(path, snapshot.id)?.0)
}

/// What a path of a snapshot is. A hard link is the file that it is another name of.
pub(crate) enum Lookup {
    /// A regular file.
    File {
        /// The row that has the content.
        row: Box<FileEntry>,
        /// The first name of the file, where the path is another one.
        hard_link: Option<Vec<u8>>,
    },
    /// A folder, a symbolic link, a device or a pipe.
    Other,
    /// There is no such path.
    Absent,
}

impl Lookup {
    /// Looks a path up in a snapshot.
    ///
    /// # Errors
    /// Errors of reading the manifest.
    pub(crate) fn in_snapshot(repository: &Repository, snapshot: &SnapshotRoot, path: &[u8]) -> Result<Self> {
        Self::with(path, |path| snapshot.rows(repository).find(path))
    }

    /// Looks a path up by means of `find`, which returns the row of a path.
    ///
    /// # Errors
    /// Errors of `find`.
    pub(super) fn with(path: &[u8], find: impl Fn(&[u8]) -> Result<Option<FileEntry>>) -> Result<Self> {
        let Some(mut row) = find(path)? else { return Ok(Self::Absent) };
        let hard_link = row.hard_link.take();
        if let Some(first) = &hard_link {
            match find(first)? {
                Some(first) => row = first,
                None => return Ok(Self::Absent),
            }
        }
        Ok(match row.kind {
            EntryKind::File => Self::File { row: Box::new(row), hard_link },
            _ => Self::Other,
        })
    }

    /// The file and its first name, for a caller that needs a regular file.
    ///
    /// # Errors
    /// [`Error::NoPath`], [`Error::WrongKind`].
    pub(crate) fn file(self, path: &[u8], snapshot: SnapshotId) -> Result<(FileEntry, Option<Vec<u8>>)> {
        match self {
            Self::File { row, hard_link } => Ok((*row, hard_link)),
            Self::Other => Err(Error::wrong_kind(path, "a regular file")),
            Self::Absent => {
                Err(Error::NoPath { path: String::from_utf8_lossy(path).into_owned(), snapshot: snapshot.short() })
            }
        }
    }
}
