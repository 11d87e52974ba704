//! Which files of a snapshot are compared.

use std::sync::Arc;

use super::table::ReaderSchema;
use crate::error::{Error, Result};
use crate::read::Snapshot;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::{Repository, unless_moved};
use crate::tables::{Table, TableError, Wanted};

/// A table in a snapshot.
#[derive(Debug, Clone)]
pub struct Side {
    /// Root of the snapshot.
    pub snapshot: SnapshotRoot,
    /// The rows of its files.
    pub files: Vec<FileEntry>,
    /// The newest schema of the files that reads all others, or why there is none.
    pub(crate) schema: std::result::Result<Arc<ReaderSchema>, String>,
}

impl Side {
    /// A side on which there is nothing.
    pub fn nothing(snapshot: SnapshotRoot) -> Self {
        Self { snapshot, files: Vec::new(), schema: Err("there are no Avro files".into()) }
    }

    /// The table that a path or pattern means ([`tables`](crate::tables)).
    ///
    /// # Errors
    /// [`Error::NoPath`] if there is nothing at the path, [`Error::NoRecords`] if nothing there is an Avro file; errors of reading
    /// the manifest.
    pub fn of_path(repository: &Arc<Repository>, root: SnapshotRoot, path: &[u8]) -> Result<Self> {
        let found = Self::find(repository, &root, path);
        let (files, schema) = unless_moved(repository, &root, found)?;
        Ok(Self { snapshot: root, files, schema })
    }

    #[expect(clippy::type_complexity, reason = "these are two fields")]
    fn find(
        repository: &Arc<Repository>,
        root: &SnapshotRoot,
        path: &[u8],
    ) -> Result<(Vec<FileEntry>, std::result::Result<Arc<ReaderSchema>, String>)> {
        let wanted = [Wanted::new(&Snapshot::of_root(repository, root.clone()), path)?];
        let table = Table::find(&wanted).map_err(|error| library(error, path))?;
        let schema = match table.schema() {
            Some(newest) => Ok(Arc::new(ReaderSchema { schema: newest.schema.clone(), text: newest.text.clone() })),
            None => Err(match Table::open(&wanted) {
                Err(error) => error.to_string(),
                Ok(_) => "no schema reads all files".into(),
            }),
        };
        // Hard links have the content of the first name, under their own.
        let row = |part: &crate::tables::Part| table.row(part).map(|row| FileEntry { path: part.path.to_vec(), ..row });
        Ok((table.parts.iter().map(row).collect::<Result<_>>()?, schema))
    }
}

/// Why there is no table, as an error of the library.
fn library(error: TableError, path: &[u8]) -> Error {
    let path = String::from_utf8_lossy(path).into_owned();
    match error {
        TableError::Library(error) => error,
        TableError::NotAvro { reason, path } => Error::NoRecords { path, source: reason.into() },
        error => Error::NoRecords { path, source: error.to_string().into() },
    }
}
