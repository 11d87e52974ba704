//! Runs: snapshots that several processes make together, each a part of it. A part is a snapshot of the log, so what it needs
//! is safe from any prune; only its id and its root say that it is no whole one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Repository, SnapshotRecord, State, read_root, read_roots};
use crate::error::{Error, Result};
use crate::id::{RunIds, SnapshotId};
use crate::progress::{Progress, Warning};
use crate::snapshot::{Part, SnapshotRoot};

/// What the log has of a run.
#[derive(Debug)]
pub enum RunState {
    /// Nothing.
    Unknown,
    /// Its parts became this snapshot.
    Merged(SnapshotId),
    /// It was given up, or the snapshot that it became was removed.
    Over,
    /// It has begun.
    Open(Box<Run>),
}

/// A run that has begun.
#[derive(Debug)]
pub struct Run {
    /// Its ids.
    pub ids: RunIds,
    /// What is to be saved, and how, as the first process said it.
    pub record: SnapshotRoot,
    /// What the record says of the run.
    pub terms: Part,
    /// The parts that are there, by their numbers.
    pub parts: BTreeMap<u32, SnapshotRecord>,
}

impl Run {
    /// Looks for the run with this name, in the log as it is now.
    ///
    /// # Errors
    /// Errors of reading the log and the record.
    pub fn find(repository: &Repository, name: &str) -> Result<RunState> {
        let ids = RunIds::new(repository.id(), name);
        repository.catalog().refresh()?;
        repository.catalog().settled(|| {
            let state = repository.state();
            if state.snapshot(ids.merged()).is_some() {
                return Ok(RunState::Merged(ids.merged()));
            }
            if has_ended(&state, &ids) {
                return Ok(RunState::Over);
            }
            let Some(record) = state.snapshot(ids.record()) else {
                let is_over = state.removed_root(ids.record()).is_some();
                return Ok(if is_over { RunState::Over } else { RunState::Unknown });
            };
            let root = read_root(repository, record)?;
            let terms = Part::read_from(&root)?.filter(|terms| terms.run == name && terms.number == 0);
            let terms = terms.ok_or_else(|| {
                Error::damaged(format!("the record of run {name}"), "it is that of something else: choose another name")
            })?;
            let parts =
                (1..=terms.parts).filter_map(|number| Some((number, state.snapshot(ids.part(number))?.clone())));
            let parts = parts.collect();
            Ok(RunState::Open(Box::new(Self { ids, record: root, terms, parts })))
        })
    }

    /// The numbers of the parts that are not there.
    pub fn missing(&self) -> Vec<u32> {
        (1..=self.terms.parts).filter(|number| !self.parts.contains_key(number)).collect()
    }

    /// The roots of the parts that are there, by their numbers.
    ///
    /// # Errors
    /// Errors of reading them.
    pub fn roots(&self, repository: &Repository) -> Result<Vec<(SnapshotRoot, Part)>> {
        let records: Vec<_> = self.parts.values().cloned().collect();
        let roots = self.parts.keys().zip(read_roots(repository, &records));
        roots.map(|(number, root)| self.read_part(*number, root?)).collect()
    }

    /// The root of one part; none if it is not there.
    ///
    /// # Errors
    /// Errors of reading it.
    pub fn root(&self, repository: &Repository, number: u32) -> Result<Option<SnapshotRoot>> {
        let record = self.parts.get(&number);
        let read = |record| self.read_part(number, read_root(repository, record)?).map(|(root, _)| root);
        record.map(read).transpose()
    }

    fn read_part(&self, number: u32, root: SnapshotRoot) -> Result<(SnapshotRoot, Part)> {
        let is_ours = |part: &Part| (&part.run, part.parts, part.number) == (&self.terms.run, self.terms.parts, number);
        let part = Part::read_from(&root)?.filter(is_ours);
        let wrong =
            || Error::damaged(format!("part {number} of run {}", self.terms.run), "it is that of something else");
        Ok((root, part.ok_or_else(wrong)?))
    }

    /// The parent of all parts; none if there is none (any more), or it cannot be read. Then all is read again and nothing is
    /// compared, which is no reason to save nothing.
    ///
    /// # Errors
    /// Errors of reading it but damage.
    pub fn parent(&self, repository: &Repository, progress: &dyn Progress) -> Result<Option<SnapshotRoot>> {
        let Some(parent) = self.record.parent else { return Ok(None) };
        let message = match repository.state().snapshot(parent).map(|record| read_root(repository, record)) {
            Some(Ok(root)) => return Ok(Some(root)),
            Some(Err(error)) if error.is_damage() => format!("it is passed over as the parent of the run: {error}"),
            Some(Err(error)) => return Err(error),
            None => "it was removed since the run began, so nothing is compared with it".into(),
        };
        progress.warning(&Warning { path: parent.named(), message, incomplete: false });
        Ok(None)
    }
}

/// The terms of all runs that have begun and were not merged, with the numbers of the parts that they lack; the oldest first.
///
/// # Errors
/// Errors of reading the log.
pub fn open_runs(repository: &Repository) -> Result<Vec<(Part, Vec<u32>)>> {
    repository.catalog().refresh()?;
    let state = repository.state();
    let is_record = |record: &&SnapshotRecord| record.id.part_number() == Some(0);
    let records: Vec<_> = state.snapshots.iter().filter(is_record).cloned().collect();
    let mut runs = Vec::new();
    for root in read_roots(repository, &records) {
        // What cannot be read is a matter of `check`.
        let Some(terms) = root.ok().and_then(|root| Part::read_from(&root).ok().flatten()) else { continue };
        let ids = RunIds::new(repository.id(), &terms.run);
        if has_ended(&state, &ids) {
            continue;
        }
        let missing = (1..=terms.parts).filter(|number| state.snapshot(ids.part(*number)).is_none()).collect();
        runs.push((terms, missing));
    }
    runs.sort_by_key(|(terms, _)| terms.stored);
    Ok(runs)
}

/// Whether what the parts became is or was there. What is left of them then was left by a merge that was cut short.
fn has_ended(state: &State, ids: &RunIds) -> bool {
    state.snapshot(ids.merged()).is_some() || state.removed_root(ids.merged()).is_some()
}

/// By this state, the parts and records of runs to which nothing was added for so long, and what is left of runs that were merged.
/// A run with a part that cannot be read is not among them.
pub fn abandoned_parts(repository: &Repository, state: &State, after: Duration) -> Vec<SnapshotId> {
    let records: Vec<_> = state.snapshots.iter().filter(|record| !record.id.is_whole()).cloned().collect();
    let mut runs: BTreeMap<[u8; 6], (i64, Vec<SnapshotId>)> = BTreeMap::new();
    for (record, root) in records.iter().zip(read_roots(repository, &records)) {
        let part = root.ok().and_then(|root| Part::read_from(&root).ok().flatten());
        let stored = part.map_or(i64::MAX, |part| match has_ended(state, &RunIds::new(repository.id(), &part.run)) {
            true => i64::MIN,
            false => part.stored,
        });
        let Some(run) = record.id.run_of_part() else { continue };
        let (last, ids) = runs.entry(run).or_insert((i64::MIN, Vec::new()));
        *last = stored.max(*last);
        ids.push(record.id);
    }
    let after = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
    let limit = repository.log().clock().now().saturating_sub(after);
    runs.into_values().filter(|(last, _)| *last < limit).flat_map(|(_, ids)| ids).collect()
}

/// Removes [abandoned parts](abandoned_parts) from the log, judged by the very state that the removal follows. Returns them.
///
/// # Errors
/// Errors of writing the log.
pub fn remove_abandoned_parts(repository: &Repository, after: Duration) -> Result<Vec<SnapshotId>> {
    let mut abandoned = |state: &State| Ok(abandoned_parts(repository, state, after));
    repository.log().remove_chosen_snapshots(repository.catalog(), &mut abandoned)
}
