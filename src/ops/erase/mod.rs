//! `erase`: records are taken out of the Avro files of snapshots that exist, on purpose and for good.
//!
//! First all files concerned are looked through ([`plan`]), and nothing is written. Then ([`erase`]) each file that holds such
//! records becomes a new container without them, with the same schema, codec and metadata and a new marker, and each snapshot
//! gets a new root that names it. Snapshots keep their ids; the rows of these files say when they were altered. What they
//! consisted of before is garbage, which a prune deletes.

pub(super) mod content;
mod plan;
mod proof;
mod run;
mod verify;

use serde::{Deserialize, Serialize};

use crate::avro::filter::{Expression, FilterError};
use crate::error::Error;
use crate::files::Pattern;
use crate::id::SnapshotId;
use crate::report;
use crate::store::Compression;
use crate::values;

pub use plan::{ErasePlan, LeftFile, PlannedFile, PlannedSnapshot, plan};
pub use proof::{Proof, ProofError};
pub use run::erase;
pub use verify::{ErasedReport, FoundErased, check_erased};

/// Which records are erased.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct EraseOptions {
    /// Where: a file, a folder with all that is below it, or a pattern that begins at the top of the snapshot.
    pub path: String,
    /// Records of which this is true.
    pub r#where: Option<Expression>,
    /// Else records that have one of these keys, like `id=4711` or `id=4711,region=eu`.
    #[serde(deserialize_with = "values::texts")]
    pub key: Vec<String>,
    /// Files that are passed over, though they are meant by the path.
    #[serde(deserialize_with = "Pattern::sensitive")]
    pub exclude: Vec<Pattern>,
    /// How new data is compressed; as is set for the repository if none.
    pub compression: Option<Compression>,
}

impl EraseOptions {
    values::setters! {
        is r#where: Option<Expression>;
        each key: String;
        each exclude: Pattern;
        is compression: Option<Compression>;
    }

    /// Erases from this path.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// The condition that says which records.
    fn condition(&self) -> Result<Expression, EraseError> {
        match (&self.r#where, self.key.is_empty()) {
            (Some(condition), true) => Ok(condition.clone()),
            (None, false) => Ok(Expression::of_keys(self.key.iter().map(String::as_str))?),
            _ => Err(Error::argument("where", "either a condition or keys must say which records are erased").into()),
        }
    }
}

/// Why nothing is erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// The repository, a path or a pattern.
    #[error(transparent)]
    Library(#[from] Error),
    /// The condition, or what it says about the fields of all files that are meant.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// No snapshot has such a file.
    #[error("no snapshot that was chosen has a file at {path}")]
    NoFiles {
        /// What was asked for.
        path: String,
    },
}

/// Result of erasing.
#[derive(Debug, Default, Serialize)]
pub struct EraseReport {
    /// Snapshots that have a new root.
    pub replaced: Vec<SnapshotId>,
    /// Snapshots that were removed before it was their turn.
    pub removed: Vec<SnapshotId>,
    /// Files that were written without the records, each content once.
    pub files: u64,
    /// Records that were taken out of these.
    pub records: u64,
    /// What could not be done, and why: the beginning of a snapshot's id, and the path in it. These files hold what they held.
    #[serde(serialize_with = "report::failed")]
    pub failed: Vec<(Vec<u8>, Error)>,
    /// Snapshots that were made meanwhile, and were not looked at.
    pub appeared: Vec<SnapshotId>,
    /// Bytes that this added to the repository, all kinds of objects.
    pub bytes_added: u64,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}
