//! Runs: snapshots that several processes make together, each a part of it. A part is a snapshot of the log, so what it needs
//! is safe from any prune; only its id and its root say that it is no whole one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Repository, SnapshotRecord, read_root, read_roots};
use crate::error::{Error, Result};
use crate::id::{RunIds, SnapshotId};
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
            let Some(record) = state.snapshot(ids.record()) else {
                let is_over = [ids.merged(), ids.record()].iter().any(|id| state.removed_root(*id).is_some());
                return Ok(if is_over { RunState::Over } else { RunState::Unknown });
            };
            let root = read_root(repository, record)?;
            let terms = Part::of(&root)?.filter(|terms| terms.run == name && terms.number == 0);
            let terms = terms.ok_or_else(|| {
                Error::damaged(format!("the record of run {name}"), "it is that of something else: choose another name")
            })?;
            let parts = (1..=terms.of).filter_map(|number| Some((number, state.snapshot(ids.part(number))?.clone())));
            let parts = parts.collect();
            Ok(RunState::Open(Box::new(Self { ids, record: root, terms, parts })))
        })
    }

    /// The numbers of the parts that are not there.
    pub fn missing(&self) -> Vec<u32> {
        (1..=self.terms.of).filter(|number| !self.parts.contains_key(number)).collect()
    }

    /// The roots of the parts that are there, by their numbers.
    ///
    /// # Errors
    /// Errors of reading them.
    pub fn roots(&self, repository: &Repository) -> Result<Vec<(SnapshotRoot, Part)>> {
        let records: Vec<_> = self.parts.values().cloned().collect();
        let mut roots = Vec::new();
        for (number, root) in self.parts.keys().zip(read_roots(repository, &records)) {
            let root = root?;
            let is_ours = |part: &Part| (&part.run, part.of, part.number) == (&self.terms.run, self.terms.of, *number);
            let part = Part::of(&root)?.filter(is_ours);
            let wrong =
                || Error::damaged(format!("part {number} of run {}", self.terms.run), "it is that of something else");
            roots.push((root, part.ok_or_else(wrong)?));
        }
        Ok(roots)
    }
}

/// The records of all runs that were not merged, with what they say, by the time when something was added last.
///
/// # Errors
/// Errors of reading the log.
pub fn open_runs(repository: &Repository) -> Result<Vec<(Part, Vec<u32>)>> {
    repository.catalog().refresh()?;
    let state = repository.state();
    let records: Vec<_> = state.snapshots.iter().filter(|record| record.id.of_run().is_some()).cloned().collect();
    let mut runs = Vec::new();
    for root in read_roots(repository, &records) {
        // What cannot be read is a matter of `check`.
        let Some(terms) = root.ok().and_then(|root| Part::of(&root).ok().flatten()).filter(|part| part.number == 0)
        else {
            continue;
        };
        let ids = RunIds::new(repository.id(), &terms.run);
        let missing = (1..=terms.of).filter(|number| state.snapshot(ids.part(*number)).is_none()).collect();
        runs.push((terms, missing));
    }
    runs.sort_by_key(|(terms, _)| terms.stored);
    Ok(runs)
}

/// Parts of runs to which nothing was added for this long: they count as abandoned. A run with a part that cannot be read is not
/// among them.
pub fn abandoned_parts(repository: &Repository, after: Duration) -> Vec<SnapshotId> {
    let state = repository.state();
    let records: Vec<_> = state.snapshots.iter().filter(|record| record.id.of_run().is_some()).cloned().collect();
    let mut runs: BTreeMap<[u8; 6], (i64, Vec<SnapshotId>)> = BTreeMap::new();
    for (record, root) in records.iter().zip(read_roots(repository, &records)) {
        let part = root.ok().and_then(|root| Part::of(&root).ok().flatten());
        let stored = part.map_or(i64::MAX, |part| part.stored);
        let Some(run) = record.id.of_run() else { continue };
        let (last, ids) = runs.entry(run).or_insert((i64::MIN, Vec::new()));
        *last = stored.max(*last);
        ids.push(record.id);
    }
    let after = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
    let limit = repository.log().clock().now().saturating_sub(after);
    runs.into_values().filter(|(last, _)| *last < limit).flat_map(|(_, ids)| ids).collect()
}
