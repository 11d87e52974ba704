//! Creating an object where the answer may be lost.

use super::{Backend, ByteRange, Created, Flaw, Name, PutTerms, Result, StorageError, StorageErrorKind};

/// Creates an object; where the storage says that the outcome is not known, reads back what is there to learn it.
///
/// After any other failure nothing is read back: of a file that could not be made durable, all bytes can be read, and it may
/// be gone tomorrow.
///
/// # Errors
/// Those of [`Backend::put`]. [`UnknownOutcome`](StorageErrorKind::UnknownOutcome) if nothing is there (the request may be
/// on its way still), or if reading back failed as well.
pub fn create_resolved(backend: &dyn Backend, name: &Name, bytes: &[u8]) -> Result<Created> {
    match backend.put(name, bytes, &PutTerms::default()) {
        Err(error) if error.kind() == StorageErrorKind::UnknownOutcome => match outcome(backend, name, bytes) {
            Ok(Some(created)) => Ok(created),
            Ok(None) => Err(error),
            Err(failed) => Err(unresolved(&error, &failed)),
        },
        created => created,
    }
}

/// What stands under a name that may have been created with these bytes: those, other ones, or nothing.
pub(super) fn outcome(backend: &dyn Backend, name: &Name, bytes: &[u8]) -> Result<Option<Created>> {
    match backend.read_one(name, ByteRange::UpTo(bytes.len() as u64)) {
        Ok(found) if found == bytes => Ok(Some(Created::New)),
        // The name is given once, and somebody else has it.
        Ok(_) => Ok(Some(Created::Exists)),
        Err(error) => match error.kind() {
            StorageErrorKind::NotFound => Ok(None),
            StorageErrorKind::Damaged(Flaw::TooLong) => Ok(Some(Created::Exists)),
            _ => Err(error),
        },
    }
}

/// An outcome that is not known, and cannot be found out now.
pub(super) fn unresolved(error: &StorageError, reading_back: &StorageError) -> StorageError {
    let reason = format!(
        "it is not known whether it was created: {}; reading it back failed, too: {}",
        error.reason(),
        reading_back.reason()
    );
    let unresolved = StorageError::new(StorageErrorKind::UnknownOutcome, error.operation()).because(reason);
    match error.object() {
        Some(name) => unresolved.of(name),
        None => unresolved,
    }
}
