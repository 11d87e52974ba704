//! Why something was refused: a restore that is to delete, a key slot that is to go.

use std::path::PathBuf;

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
