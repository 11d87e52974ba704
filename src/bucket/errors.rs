//! Failures of a store that concern one source or target, as those of a file system.

use std::io;
use std::path::Path;

use crate::error::Error;
use crate::storage::{StorageError, StorageErrorKind};

/// What went wrong with the object or prefix that has this URL. It says nothing about the repository.
pub(super) fn store_failure(url: impl AsRef<Path>, error: &StorageError) -> Error {
    let kind = match error.kind() {
        StorageErrorKind::NotFound => io::ErrorKind::NotFound,
        StorageErrorKind::Denied => io::ErrorKind::PermissionDenied,
        StorageErrorKind::NoSpace => io::ErrorKind::StorageFull,
        StorageErrorKind::Unavailable | StorageErrorKind::Throttled => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    };
    Error::io(error.operation(), url.as_ref(), io::Error::new(kind, error.reason()))
}

/// What is wrong with the object or prefix that has this URL.
pub(super) fn object_problem(action: &'static str, url: impl AsRef<Path>, kind: io::ErrorKind, reason: &str) -> Error {
    Error::io(action, url.as_ref(), io::Error::new(kind, reason))
}
