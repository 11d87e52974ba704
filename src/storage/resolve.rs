//! Creating an object where the answer may be lost.

use super::{Backend, ByteRange, Created, Flaw, Name, PutTerms, Result, StorageError, StorageErrorKind};

/// Creates an object; where the storage says that the outcome is not known, reads back what is there to learn it.
///
/// After any other failure nothing is read back: of a file that could not be made durable, all bytes can be read, and it may
/// be gone tomorrow.
///
/// # Errors
/// The errors of [`Backend::put`]. [`UnknownOutcome`](StorageErrorKind::UnknownOutcome) if nothing is there (the request
/// may be on its way still), or if reading back failed as well.
pub fn create_resolved(backend: &dyn Backend, name: &Name, bytes: &[u8]) -> Result<Created> {
    put_resolved(backend, name, bytes, &PutTerms::default())
}

/// The same with terms.
///
/// # Errors
/// As of [`create_resolved`].
pub fn put_resolved(backend: &dyn Backend, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
    match backend.put(name, bytes, terms) {
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
    match backend.read_stored(name, ByteRange::UpTo(bytes.len() as u64)) {
        Ok(found) if found == bytes => Ok(Some(Created::New)),
        // The name is given once, and another writer has it.
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

#[cfg(test)]
mod tests {
    use StorageErrorKind::{Denied, NoSpace, NotDurable, Other, Unavailable, UnknownOutcome};

    use super::*;
    use crate::storage::Memory;
    use crate::storage::scripted::Scripted;

    const OWN: &[u8] = b"own";

    fn name() -> Name {
        Name::log(3)
    }

    #[test]
    fn what_is_there_after_a_lost_answer_was_created() {
        let storage = Scripted::new(vec![(true, Some(UnknownOutcome))]);
        assert_eq!(create_resolved(&*storage, &name(), OWN).unwrap(), Created::New);
        assert_eq!(storage.calls(), 2);
    }

    #[test]
    fn what_is_not_there_may_come_yet_and_is_not_known() {
        let storage = Scripted::new(vec![(false, Some(UnknownOutcome))]);
        assert_eq!(create_resolved(&*storage, &name(), OWN).unwrap_err().kind(), UnknownOutcome);
    }

    #[test]
    fn a_name_that_turns_out_to_be_anothers_exists() {
        for other in [&b"his"[..], b"longer than our own", b""] {
            let storage = Scripted::new(vec![(false, Some(UnknownOutcome))]);
            storage.memory.create(&name(), other).unwrap();
            assert_eq!(create_resolved(&*storage, &name(), OWN).unwrap(), Created::Exists);
        }
    }

    #[test]
    fn where_reading_back_fails_as_well_both_are_reported_and_the_outcome_is_not_known() {
        for kind in [Unavailable, Denied, Other] {
            let storage = Scripted::new(vec![(true, Some(UnknownOutcome)), (false, Some(kind))]);
            let error = create_resolved(&*storage, &name(), OWN).unwrap_err();
            assert_eq!(error.kind(), UnknownOutcome);
            let said = error.to_string();
            assert!(said.contains("not known whether it was created") && said.contains(&kind.to_string()), "{said}");
        }
    }

    #[test]
    fn nothing_is_read_back_after_any_other_failure() {
        for kind in [NotDurable, NoSpace, Unavailable, Denied, Other] {
            let storage = Scripted::new(vec![(true, Some(kind))]);
            assert_eq!(create_resolved(&*storage, &name(), OWN).unwrap_err().kind(), kind);
            assert_eq!(storage.calls(), 1, "{kind:?}");
        }
    }

    #[test]
    fn an_answer_that_came_is_taken_as_it_is() {
        let memory = Memory::new();
        assert_eq!(create_resolved(&memory, &name(), OWN).unwrap(), Created::New);
        assert_eq!(create_resolved(&memory, &name(), OWN).unwrap(), Created::Exists);
    }
}
