//! Bringing removed snapshots back. A removal is an entry of the log and nothing else, so as long as what a snapshot needs
//! is there it is added again, under its own name.

use std::collections::BTreeSet;

use super::one_of;
use crate::error::{Error, Result};
use crate::id::SnapshotId;
use crate::snapshot::SnapshotRoot;
use crate::store::read_root;
use crate::store::{RemovedSnapshot, Repository};

/// A snapshot that was removed.
#[derive(Debug)]
pub struct Removed {
    /// As the log has it.
    pub logged: RemovedSnapshot,
    /// Its root, if it can be read still.
    pub root: Result<SnapshotRoot>,
}

impl Removed {
    /// Id of the removed snapshot.
    pub fn id(&self) -> SnapshotId {
        self.logged.record.id
    }
}

/// Result of bringing a snapshot back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// It is there again.
    Back,
    /// It was there already.
    There,
    /// This many chunks that it needs are gone: nothing was done.
    Swept(u64),
}

/// The snapshots that were removed and are not back, in the order in which they were removed. Parts of runs that were merged or
/// given up are none.
pub fn removed(repository: &Repository) -> Vec<Removed> {
    let logged = repository.state().removed.clone().into_iter().filter(|removed| removed.record.id.is_whole());
    logged.map(|logged| Removed { root: read_root(repository, &logged.record), logged }).collect()
}

/// Chooses among `removed`: the ones whose ids begin like these; if none are given, those that were removed last,
/// with one removal.
///
/// # Errors
/// [`Error::NoSnapshot`], [`Error::AmbiguousSnapshot`].
pub fn last_removed(removed: &[Removed], prefixes: &[String]) -> Result<Vec<SnapshotId>> {
    if prefixes.is_empty() {
        let last = removed.iter().map(|one| one.logged.entry).max();
        return Ok(removed.iter().filter(|one| Some(one.logged.entry) == last).map(Removed::id).collect());
    }
    let mut meant = BTreeSet::new();
    for prefix in prefixes {
        let fitting = removed.iter().map(Removed::id).filter(|id| id.to_string().starts_with(&**prefix));
        meant.insert(one_of(fitting, prefix)?);
    }
    Ok(removed.iter().map(Removed::id).filter(|id| meant.contains(id)).collect())
}

/// Brings one back, if all that it needs is there; what lies in condemned packs is copied.
///
/// # Errors
/// I/O errors and damaged objects of the repository.
pub fn undo(repository: &Repository, snapshot: &Removed) -> Result<Undone> {
    match repository.revive(&[snapshot.id()]) {
        Ok(()) => Ok(Undone::Back),
        Err(Error::NoSnapshot { .. }) => Ok(Undone::There),
        Err(Error::Pruned { chunks, .. }) => Ok(Undone::Swept(chunks)),
        Err(error) => Err(error),
    }
}
