//! `log`: when a file or a table changed, and what became of one of its records.

mod record;
mod table;
mod wanted;

use std::collections::HashMap;

pub use record::{RecordHistory, RecordPeriod};
pub use table::{Counted, TableChange, TableEvent, TableLogOptions, table_log};

use super::record_diff::Side;
use crate::error::{Error, Result};
use crate::id::ContentHash;
use crate::snapshot::SnapshotRoot;
use crate::store::Repository;

/// What a table is in a snapshot, to be compared with the one before: paths, lengths and contents.
type Contents = Vec<(Vec<u8>, u64, Option<ContentHash>)>;

/// The table at a path in a snapshot. None where nothing is there.
fn side(repository: &Repository, snapshot: &SnapshotRoot, path: &[u8]) -> Result<Option<Side>> {
    match Side::of_path(repository, snapshot.clone(), path) {
        Ok(side) if side.files.is_empty() => Ok(None),
        Ok(side) => Ok(Some(side)),
        Err(Error::NoPath { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn contents(side: Option<&Side>) -> Contents {
    let files = side.map_or(&[][..], |side| &side.files);
    files.iter().map(|file| (file.path.clone(), file.size, file.content)).collect()
}

/// What was seen last in each series.
type BySeries<T> = HashMap<String, T>;
