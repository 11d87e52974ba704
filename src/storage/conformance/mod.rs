//! The promises of [`Backend`], as checks that any backend can be put through, also one of another crate:
//!
//! ```
//! use std::sync::Arc;
//! use avro_snap::storage::{Backend, Memory, conformance};
//!
//! let storage = Memory::new();
//! // Each call opens another handle of the same storage, as another process would.
//! conformance::check(&|| Arc::new(storage.clone()) as Arc<dyn Backend>)?;
//! # Ok::<(), conformance::Failure>(())
//! ```
//!
//! The storage has to be empty: the checks make objects under the names of a repository and delete them again. What cannot be
//! seen from outside is not checked: that what was acknowledged survives power loss.

mod batches;
mod creating;
mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Backend, ByteRange, Kind, Name, ObjectMeta, StorageError, StorageErrorKind};

/// Opens a handle of one and the same storage.
pub type Open<'o> = dyn Fn() -> Arc<dyn Backend> + Sync + 'o;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{check}: {reason}")]
pub struct Failure {
    /// The name of the check.
    pub check: &'static str,
    /// How the promise was broken.
    pub reason: String,
}

/// One promise.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// What is checked, as a sentence in snake case.
    pub name: &'static str,
    run: fn(&Open<'_>) -> Outcome,
}

impl Check {
    /// Checks it on an empty storage, and leaves that empty.
    ///
    /// # Errors
    /// If the promise was not kept, or the storage is not empty.
    pub fn run(&self, open: &Open<'_>) -> Result<(), Failure> {
        let failed = |reason: Reason| Failure { check: self.name, reason: reason.0 };
        let storage = open();
        storage.prepare().map_err(|error| failed(error.into()))?;
        is_empty(&*storage).map_err(failed)?;
        let outcome = (self.run)(open);
        let cleared = clear(&*storage);
        outcome.and(cleared).map_err(failed)
    }
}

macro_rules! checks {
    ($($room:ident: $($name:ident),+;)+) => {
        &[$($( Check { name: stringify!($name), run: $room::$name }, )+)+]
    };
}

/// All checks.
pub const CHECKS: &[Check] = checks! {
    creating: of_many_creators_of_a_name_one_wins, an_object_is_seen_whole_or_not_at_all, an_object_never_changes,
        an_object_may_be_empty, an_object_may_be_large, preparing_again_is_harmless, settling_changes_nothing,
        deleting_twice_is_no_error, what_makes_no_sense_is_refused;
    reading: ranges_are_exact, limits_are_kept, what_is_missing_is_said_to_be, every_kind_is_listed,
        a_listing_is_in_order_and_begins_after_any_name, a_listing_may_be_acted_upon, facts_are_the_same_everywhere;
    batches: a_batch_reads_what_its_parts_do, a_batch_deletes_what_it_names;
};

/// Runs all checks, one after the other.
///
/// # Errors
/// The first promise that was not kept.
pub fn check(open: &Open<'_>) -> Result<(), Failure> {
    CHECKS.iter().try_for_each(|check| check.run(open))
}

/// What is wrong.
struct Reason(String);

type Outcome = Result<(), Reason>;

impl From<StorageError> for Reason {
    fn from(error: StorageError) -> Self {
        Self(format!("an operation failed: {error}"))
    }
}

/// Says what is wrong unless it holds.
fn holds(condition: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if condition { Ok(()) } else { Err(Reason(otherwise())) }
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, expected: &T, what: &str) -> Outcome {
    holds(found == expected, || format!("{what}: {found:?} where it should be {expected:?}"))
}

/// Fails unless the operation failed in this way.
fn fails<T>(result: super::Result<T>, kind: impl Fn(StorageErrorKind) -> bool, what: &str) -> Outcome {
    match result {
        Ok(_) => Err(Reason(format!("{what} did not fail"))),
        Err(error) => holds(kind(error.kind()), || format!("{what} failed as {:?}: {error}", error.kind())),
    }
}

fn missing<T>(result: super::Result<T>, what: &str) -> Outcome {
    fails(result, |kind| kind == StorageErrorKind::NotFound, what)
}

fn damaged<T>(result: super::Result<T>, what: &str) -> Outcome {
    fails(result, |kind| matches!(kind, StorageErrorKind::Damaged(_)), what)
}

/// A name of the length and shape that real ones have, another one for each number. There are two of the config.
pub fn name(kind: Kind, n: u64) -> Name {
    match kind {
        Kind::Config if n == 1 => Name::config(),
        Kind::Config => Name::config_copy(),
        Kind::Log => Name::log(n),
        Kind::Checkpoint => Name::new(kind, format_args!("{n:020}")),
        kind => Name::new(kind, crate::id::hex(&crate::id::digest(&n.to_le_bytes()))),
    }
}

/// What a listing shows, with lengths.
fn listed(storage: &dyn Backend, kind: Kind) -> Result<BTreeMap<Name, u64>, Reason> {
    let mut all = BTreeMap::new();
    for ObjectMeta { name, size, .. } in storage.list_all(kind)? {
        holds(name.kind() == kind, || format!("{name} was listed among {kind:?}"))?;
        holds(all.insert(name.clone(), size).is_none(), || format!("{name} was listed twice"))?;
    }
    Ok(all)
}

fn is_empty(storage: &dyn Backend) -> Outcome {
    for kind in Kind::ALL {
        let there = listed(storage, kind)?;
        holds(there.is_empty(), || format!("the storage is not empty, and nothing was changed: {kind:?} has objects"))?;
    }
    Ok(())
}

fn clear(storage: &dyn Backend) -> Outcome {
    for kind in Kind::ALL {
        for name in listed(storage, kind)?.keys() {
            storage.delete(name)?;
        }
        let left = listed(storage, kind)?;
        holds(left.is_empty(), || format!("{left:?} were deleted and are there"))?;
    }
    Ok(())
}

fn all_of(name: Name) -> (Name, ByteRange) {
    (name, ByteRange::UpTo(u64::MAX))
}
