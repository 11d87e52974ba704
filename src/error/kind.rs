//! What all errors have: what kind of failure it is, and what it is about.

use super::{Error, Subject};

/// What kind of failure an error is: what a caller that does not know each situation decides by, such as a status of HTTP, a
/// class of exceptions or an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request makes no sense, or was refused as it stands.
    Usage,
    /// The repository, snapshot or path that was asked for is not there.
    NotFound,
    /// The state of the repository or of the storage is not what the request needs, or it has changed since it was read.
    Conflict,
    /// Another process uses what is needed. The same request may succeed later.
    Busy,
    /// A password or key is missing, wrong or too old.
    Password,
    /// Data of the repository is missing or damaged.
    Damage,
    /// One file is not what it should be, or could not be restored. Others are not affected.
    Data,
    /// The storage of the repository failed, which says nothing about what is stored.
    Storage,
    /// There is no room for what was to be written.
    Full,
    /// This machine refused something or has run out of it.
    System,
    /// It needs another version of the program.
    Unsupported,
    /// The work was cancelled.
    Interrupted,
    /// A fault of this program.
    Internal,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            error if error.is_full() => ErrorKind::Full,
            Self::InvalidArgument { .. }
            | Self::Invalid(_)
            | Self::WrongKind { .. }
            | Self::AmbiguousSnapshot { .. }
            | Self::LimitExceeded { .. }
            | Self::UnsafePath { .. }
            | Self::DeleteRefused(_) => ErrorKind::Usage,
            Self::NoRepository { .. } | Self::NoSnapshot { .. } | Self::NoPath { .. } => ErrorKind::NotFound,
            Self::CannotInit { .. }
            | Self::SnapshotExists { .. }
            | Self::SnapshotRemoved { .. }
            | Self::SnapshotReplaced { .. }
            | Self::Pruned { .. }
            | Self::KeysRotated { .. }
            | Self::RolledBack { .. } => ErrorKind::Conflict,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::WrongPassword { .. } | Self::NoPassword { .. } | Self::OldExport { .. } => ErrorKind::Password,
            Self::ObjectMissing { .. }
            | Self::Damaged { .. }
            | Self::ChunkMissing { .. }
            | Self::ChunkDamaged { .. } => ErrorKind::Damage,
            Self::NoRecords { .. } | Self::NotRestored { .. } => ErrorKind::Data,
            Self::Storage(_) | Self::StorageAway { .. } => ErrorKind::Storage,
            Self::Io { .. } | Self::NothingSaved | Self::Cache { .. } | Self::Exhausted { .. } => ErrorKind::System,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::Crypto(_) | Self::WorkerStopped | Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// What it is about, where it is about something that has a name.
    pub fn subject(&self) -> Option<Subject> {
        Some(match self {
            Self::Io { path, .. } | Self::Cache { path, .. } => Subject::Path(path.clone()),
            Self::Storage(error) => Subject::Object(error.object()?.clone()),
            Self::ObjectMissing { name } => Subject::Object(name.clone()),
            Self::Damaged { name, .. } => name.clone(),
            Self::ChunkMissing { id } | Self::ChunkDamaged { id, .. } => Subject::Chunk(*id),
            Self::Pruned { snapshot, .. }
            | Self::SnapshotExists { snapshot }
            | Self::SnapshotRemoved { snapshot }
            | Self::SnapshotReplaced { snapshot } => Subject::Snapshot(*snapshot),
            Self::NoRepository { location }
            | Self::CannotInit { location, .. }
            | Self::StorageAway { location, .. } => Subject::Other(location.clone()),
            Self::WrongPassword { repository }
            | Self::NoPassword { repository }
            | Self::KeysRotated { repository, .. }
            | Self::RolledBack { repository, .. } => Subject::Repository(*repository),
            Self::NoSnapshot { wanted } | Self::AmbiguousSnapshot { wanted, .. } => {
                Subject::Other(format!("snapshot {wanted}"))
            }
            Self::NoPath { path, .. }
            | Self::NoRecords { path, .. }
            | Self::WrongKind { path, .. }
            | Self::UnsafePath { path, .. }
            | Self::NotRestored { path, .. } => Subject::Path(path.into()),
            Self::Unsupported { name, .. } => Subject::Other(name.clone()),
            Self::Busy { what } | Self::LimitExceeded { what, .. } => Subject::Other(what.clone()),
            Self::InvalidArgument { argument, .. } => Subject::Other((*argument).into()),
            Self::OldExport { .. }
            | Self::NothingSaved
            | Self::DeleteRefused(_)
            | Self::Invalid(_)
            | Self::Exhausted { .. }
            | Self::Internal(_)
            | Self::Crypto(_)
            | Self::Interrupted
            | Self::WorkerStopped => return None,
        })
    }
}
