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
            | Self::WrongKind { .. }
            | Self::AmbiguousSnapshot { .. }
            | Self::LimitExceeded { .. }
            | Self::UnsafePath { .. }
            | Self::KeyRefused { .. }
            | Self::DeleteRefused(_) => ErrorKind::Usage,
            Self::NoRepository { .. } | Self::NoSnapshot { .. } | Self::NoPath { .. } => ErrorKind::NotFound,
            Self::CannotInit { .. }
            | Self::SnapshotExists { .. }
            | Self::SnapshotRemoved { .. }
            | Self::SnapshotReplaced { .. }
            | Self::RootRefused { .. }
            | Self::Pruned { .. }
            | Self::KeysRotated { .. }
            | Self::RunRefused { .. }
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
            | Self::RootRefused { snapshot, .. }
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
            Self::RunRefused { run, .. } => Subject::Other(format!("run {run}")),
            Self::KeyRefused { key, .. } => Subject::Other(format!("key {key}")),
            Self::InvalidArgument { argument, .. } => Subject::Other((*argument).into()),
            Self::OldExport { .. }
            | Self::NothingSaved
            | Self::DeleteRefused(_)
            | Self::Exhausted { .. }
            | Self::Internal(_)
            | Self::Crypto(_)
            | Self::Interrupted
            | Self::WorkerStopped => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::error::{StorageError, StorageErrorKind};
    use crate::id::{Kind, Name};

    #[test]
    fn an_error_says_its_kind_its_subject_and_its_cause() {
        let read = Error::io("read", "/data/a", std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert_eq!((read.kind(), read.subject()), (ErrorKind::System, Some(Subject::Path("/data/a".into()))));
        assert!(read.source().is_some_and(|cause| cause.is::<std::io::Error>()));
        let full = Error::io("write", "/data/a", std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!((full.kind(), full.code()), (ErrorKind::Full, "no_space"));
        let name = Name::log(3);
        let denied = Error::from(StorageError::new(StorageErrorKind::Denied, "read").of(&name));
        assert_eq!((denied.kind(), denied.subject()), (ErrorKind::Storage, Some(Subject::Object(name))));
        let damaged = Error::damaged(Kind::Log, "it has a gap");
        assert_eq!((damaged.kind(), damaged.object_kind()), (ErrorKind::Damage, Some(Kind::Log)));
        let usage = Error::argument("pattern", "the pattern \"[\" is not closed");
        assert_eq!((usage.kind(), usage.code()), (ErrorKind::Usage, "invalid"));
        assert_eq!(usage.to_string(), "the pattern \"[\" is not closed");
    }

    #[test]
    fn a_cause_keeps_its_type_and_is_said_once() {
        let malformed = crate::wire::Malformed("it ends too early".into());
        let error = Error::not_restored("a/b", malformed.clone());
        assert_eq!(error.message(), "a/b was not restored: it ends too early");
        assert_eq!(error.source().and_then(|cause| cause.downcast_ref()), Some(&malformed));
        assert_eq!(error.subject(), Some(Subject::Path("a/b".into())));
    }
}
