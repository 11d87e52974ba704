//! Bringing removed snapshots back. A removal is an entry of the log and nothing else, so as long as what a snapshot needs
//! is there it is added again, under its own name.

use std::collections::BTreeSet;

use super::one_of;
use crate::commands::select::read_root;
use crate::commands::usage::Usage;
use crate::error::{Error, Result};
use crate::id::SnapshotId;
use crate::repository::{Repository, SnapshotRecord};
use crate::snapshot::SnapshotRoot;

/// A snapshot that was removed.
#[derive(Debug)]
pub struct RemovedSnapshot {
    /// As the log has it.
    pub record: SnapshotRecord,
    /// Its root, if it can be read still.
    pub root: Result<SnapshotRoot>,
}

/// What became of a snapshot that was to be brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undone {
    /// It is there again.
    Back,
    /// It was there already.
    There,
    /// So many things that it needs are gone: nothing was done.
    Swept(u64),
}

/// The snapshots that were removed and are not back, in the order in which they were removed.
pub fn removed(repository: &Repository) -> Vec<RemovedSnapshot> {
    let records = repository.state().removed.into_iter();
    records.map(|record| RemovedSnapshot { root: read_root(repository, &record), record }).collect()
}

/// Those of `removed` that are meant: the ones whose ids begin like these; if none are given, those that went last,
/// with one removal.
///
/// # Errors
/// [`Error::NoSnapshot`], [`Error::AmbiguousSnapshot`].
pub fn last_removed(removed: &[RemovedSnapshot], prefixes: &[String]) -> Result<Vec<SnapshotId>> {
    if prefixes.is_empty() {
        let entry = |snapshot: &RemovedSnapshot| snapshot.record.removal.map(|removal| removal.entry);
        let last = removed.iter().filter_map(entry).max();
        return Ok(removed.iter().filter(|one| entry(one) == last).map(|one| one.record.id).collect());
    }
    let mut meant = BTreeSet::new();
    for prefix in prefixes {
        let fitting = removed.iter().map(|one| one.record.id).filter(|id| id.to_string().starts_with(&**prefix));
        meant.insert(one_of(fitting, prefix)?);
    }
    Ok(removed.iter().map(|one| one.record.id).filter(|id| meant.contains(id)).collect())
}

/// Brings one back, if all that it needs is there.
///
/// # Errors
/// Those of the repository; [`Error::NoSnapshot`] if it is not one that was removed.
pub fn undo(repository: &Repository, snapshot: &RemovedSnapshot) -> Result<Undone> {
    let root = match &snapshot.root {
        Ok(root) => root,
        Err(error) if error.is_damage() => return Ok(Undone::Swept(1)),
        Err(error) => return Err(Error::Invalid(error.to_string())),
    };
    match Usage::of(repository, &[(snapshot.record.root, root)], false)?.unreadable {
        0 => {}
        gone => return Ok(Undone::Swept(gone)),
    }
    Ok(match repository.add_again(&snapshot.record)? {
        true => Undone::Back,
        false => Undone::There,
    })
}
