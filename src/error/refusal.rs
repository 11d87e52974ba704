//! Why something was refused: a restore that is to delete, a key slot that is to go, a part of a run.

use std::path::PathBuf;

use crate::id::SnapshotId;

/// Why a restore may not delete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// What is missing in the snapshot may be what could not be read.
    #[error(
        "{count} paths could not be read when snapshot {snapshot} was made, so that what it lacks may be the only copy"
    )]
    Unreadable {
        /// Short id of the snapshot.
        snapshot: String,
        /// Number of paths that could not be read.
        count: u64,
    },

    /// The target is the root of the system.
    #[error("the target {} is the root of the file system", target.display())]
    WholeSystem {
        /// The target as it was given.
        target: PathBuf,
    },

    /// All else would be removed from a home, or from a directory of the system.
    #[error(
        "all of {} would be replaced by what was saved of {}, and it is a home folder, holds one or belongs to the system",
        place.display(), saved.display()
    )]
    Precious {
        /// The directory from which all else would be removed.
        place: PathBuf,
        /// The path that was saved, in whose place it would stand.
        saved: PathBuf,
    },
}

/// Why a key slot is not taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRefusal {
    /// There is none of this id.
    #[error("is not in the repository")]
    Unknown,
    /// It is the last one.
    #[error("is the last one: without it nothing could be read")]
    Last,
    /// A rotation of the keys would take it away, which was not asked for.
    #[error("would be taken away, which was not asked for")]
    NotLeaving,
}

/// Why a part does not belong to a run, or a run is not merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunRefusal {
    /// Its parts are a snapshot by now.
    #[error("is merged already: it is snapshot {0}")]
    Merged(SnapshotId),
    /// It was given up, or the snapshot that it became was removed.
    #[error("has ended: it was given up, or the snapshot that it became was removed")]
    Over,
    /// There is no run with this name.
    #[error("is not known: no part of it was begun")]
    Unknown,
    /// It has another number of parts.
    #[error("has {of} parts, and this is part {part}")]
    OtherParts {
        /// How many parts it has.
        of: u32,
        /// The part that was to be made, such as `3/8`.
        part: String,
    },
    /// It was begun with something else.
    #[error("was begun with other {0}")]
    Differs(&'static str),
    /// Not all parts are there.
    #[error("is not complete: part {} of {of} is missing", list(missing))]
    Incomplete {
        /// The numbers of those that are not there.
        missing: Vec<u32>,
        /// How many parts it has.
        of: u32,
    },
    /// One part met much less than the others, as where the source is not mounted.
    #[error("has a part {part} that met {met}, where others met {others}, as if the source were not there")]
    Uneven {
        /// The number of the part.
        part: u32,
        /// What it met, with its unit.
        met: String,
        /// What others met.
        others: String,
    },
}

/// How many numbers of parts an error names.
const NAMED: usize = 20;

fn list(numbers: &[u32]) -> String {
    let mut text = numbers.iter().take(NAMED).map(u32::to_string).collect::<Vec<_>>().join(", ");
    if numbers.len() > NAMED {
        text = format!("{text} and {} more", numbers.len() - NAMED);
    }
    text
}
