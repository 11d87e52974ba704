//! What the errors of the operating system mean for a storage: the one place where that is decided.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::backend::{Result, StorageError, StorageErrorKind};

/// The operation that makes bytes and names last.
pub(super) const FSYNC: &str = "fsync";

/// What kind of failure this is while `operation` was being done.
pub(super) fn kind_of(error: &io::Error, operation: &'static str) -> StorageErrorKind {
    use StorageErrorKind::*;
    let by_number = match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => NoSpace,
        // What could not be written back is marked clean afterwards: a second fsync succeeds and means nothing.
        _ if operation == FSYNC => NotDurable,
        Some(Errno::IO) => BadMedium,
        Some(Errno::ACCESS | Errno::PERM) => Denied,
        Some(Errno::ROFS) => ReadOnly,
        // That an object is missing is found out before it comes to this: here it is a folder, so a disk is not mounted.
        Some(
            Errno::NOENT
            | Errno::NOTDIR
            | Errno::STALE
            | Errno::TIMEDOUT
            | Errno::NOTCONN
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::CONNRESET
            | Errno::CONNREFUSED
            | Errno::CONNABORTED
            | Errno::NXIO
            | Errno::NODEV
            | Errno::SHUTDOWN,
        ) => Unavailable,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Exhausted,
        Some(Errno::NAMETOOLONG) => Invalid,
        _ => Other,
    };
    match (by_number, error.kind()) {
        // Errors that do not come from the system have no number.
        (Other, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => NoSpace,
        (Other, io::ErrorKind::PermissionDenied) => Denied,
        (Other, io::ErrorKind::NotFound) => Unavailable,
        (Other, io::ErrorKind::OutOfMemory) => Exhausted,
        (kind, _) => kind,
    }
}

/// Says what was being done when the system refused.
pub(super) trait During<T> {
    /// ... with the file or folder at this path.
    fn during(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> During<T> for std::result::Result<T, E> {
    fn during(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| {
            let error = error.into();
            StorageError::new(kind_of(&error, operation), operation).at(path.as_ref().display()).because(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Name;

    #[test]
    fn every_error_of_the_system_has_its_kind() {
        use StorageErrorKind::*;
        let kinds = [
            (Errno::NOENT, Unavailable),
            (Errno::IO, BadMedium),
            (Errno::NOSPC, NoSpace),
            (Errno::DQUOT, NoSpace),
            (Errno::ACCESS, Denied),
            (Errno::PERM, Denied),
            (Errno::ROFS, ReadOnly),
            (Errno::STALE, Unavailable),
            (Errno::TIMEDOUT, Unavailable),
            (Errno::NOTCONN, Unavailable),
            (Errno::HOSTDOWN, Unavailable),
            (Errno::NXIO, Unavailable),
            (Errno::NODEV, Unavailable),
            (Errno::MFILE, Exhausted),
            (Errno::NFILE, Exhausted),
            (Errno::NOMEM, Exhausted),
            (Errno::XDEV, Other),
        ];
        for (errno, kind) in kinds {
            assert_eq!(kind_of(&io::Error::from(errno), "read"), kind, "{errno:?}");
        }
    }

    #[test]
    fn a_failed_fsync_is_never_taken_for_anything_that_can_be_read_back() {
        for errno in [Errno::IO, Errno::STALE, Errno::TIMEDOUT, Errno::ACCESS, Errno::INVAL] {
            assert_eq!(kind_of(&io::Error::from(errno), FSYNC), StorageErrorKind::NotDurable, "{errno:?}");
        }
        assert_eq!(kind_of(&io::Error::from(Errno::NOSPC), FSYNC), StorageErrorKind::NoSpace);
    }

    #[test]
    fn the_path_the_object_and_the_cause_are_kept() {
        let failed: std::result::Result<(), _> = Err(io::Error::from(Errno::ACCESS));
        let error = failed.during("read", "/backup/config").unwrap_err().of(&Name::config());
        assert_eq!(error.to_string(), "read /backup/config: Permission denied (os error 13)");
        assert_eq!(error.object(), Some(&Name::config()));
    }
}
