//! `log`: when a file or a table changed, and the states of one of its records.

mod record;
mod table;

use std::collections::HashMap;
use std::sync::Arc;

pub use record::{RecordHistory, RecordPeriod};
pub use table::{Counted, TableChange, TableEvent, TableLogOptions, table_log};

use super::record_diff::Side;
use crate::error::{Error, Result};
use crate::id::ContentHash;
use crate::read::regular_file;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::{Repository, unless_moved};

/// What a table is in a snapshot, to be compared with the one before: paths, lengths and contents.
type Contents = Vec<(Vec<u8>, u64, Option<ContentHash>)>;

/// The table at a path in a snapshot, or the one file there that is no Avro file. None where nothing is there.
fn side(repository: &Arc<Repository>, snapshot: &SnapshotRoot, path: &[u8]) -> Result<Option<Side>> {
    match Side::of_path(repository, snapshot.clone(), path) {
        Ok(side) => Ok(Some(side)),
        Err(Error::NoPath { .. }) => Ok(None),
        Err(Error::NoRecords { .. }) => {
            let row = unless_moved(repository, snapshot, regular_file(repository, snapshot, path));
            match row {
                Ok(row) => {
                    let file = FileEntry { path: path.to_vec(), ..row };
                    Ok(Some(Side { files: vec![file], ..Side::nothing(snapshot.clone()) }))
                }
                // A folder in which there are no Avro files.
                Err(Error::WrongKind { .. } | Error::NoPath { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

fn contents(side: Option<&Side>) -> Contents {
    let files = side.map_or(&[][..], |side| &side.files);
    files.iter().map(|file| (file.path.clone(), file.size, file.content)).collect()
}

/// What was seen last in each series.
type BySeries<T> = HashMap<String, T>;
