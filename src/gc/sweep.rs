//! Deleting what was condemned long enough ago.

use std::collections::BTreeSet;
use std::time::Duration;

use super::survey::Survey;
use super::{PruneReport, Tally};
use crate::error::Result;
use crate::id::{IndexId, PackId};
use crate::index::Retired;
use crate::pack::{pack_name, parity_name};
use crate::progress::{Phase, Progress};
use crate::storage::{Kind, Name};
use crate::store::log::Body;
use crate::store::{Repository, State};

/// What the log retired long enough ago, and was not deleted yet.
struct Due {
    packs: Vec<PackId>,
    indexes: Vec<IndexId>,
    /// Condemned, but not long enough ago.
    waiting: Vec<PackId>,
}

impl Due {
    fn of(repository: &Repository, state: &State, grace: Duration) -> Self {
        let now = repository.clock().now();
        let grace = i64::try_from(grace.as_nanos()).unwrap_or(i64::MAX);
        let is_due = |retired: &Retired| now.saturating_sub(retired.time) >= grace;
        let open = state.standing.condemned.iter().filter(|(_, retired)| !retired.swept);
        let (due, waiting): (Vec<_>, Vec<_>) = open.partition(|(_, retired)| is_due(retired));
        let indexes = state.standing.superseded.iter().filter(|(_, retired)| !retired.swept && is_due(retired));
        Self {
            packs: due.into_iter().map(|(id, _)| *id).collect(),
            indexes: indexes.map(|(id, _)| *id).collect(),
            waiting: waiting.into_iter().map(|(id, _)| *id).collect(),
        }
    }
}

/// The packs, and how many bytes they have with their parity. What no index names any more is asked for.
fn tally(repository: &Repository, survey: &Survey<'_>, packs: &[PackId]) -> Result<Tally> {
    let backend = repository.backend();
    let known = |id: &PackId| {
        let number = survey.catalogue.pack_number(id)?;
        Some(survey.catalogue.packs().get(number as usize)?.length)
    };
    let mut tally = Tally::default();
    for id in packs {
        let length = match known(id) {
            Some(length) => length,
            None => backend.size(&pack_name(id))?.unwrap_or(0),
        };
        tally.add(length + backend.size(&parity_name(id))?.unwrap_or(0));
    }
    Ok(tally)
}

/// The packs that there are parity objects for.
fn parity_objects(repository: &Repository) -> Result<BTreeSet<PackId>> {
    let mut packs = BTreeSet::new();
    repository.backend().list(Kind::Parity, &mut |name, _| {
        packs.extend(name.file().parse::<PackId>());
        Ok(())
    })?;
    Ok(packs)
}

/// Deletes parity objects whose packs are deleted: whoever did that died in between, or is a version that knows nothing of
/// them. None is ever made before its pack.
fn sweep_orphans(repository: &Repository, survey: &Survey<'_>, mut parity: BTreeSet<PackId>) -> Result<()> {
    if parity.is_empty() {
        return Ok(());
    }
    let backend = repository.backend();
    backend.list(Kind::Pack, &mut |name, _| {
        if let Ok(id) = name.file().parse() {
            parity.remove(&id);
        }
        Ok(())
    })?;
    for id in parity {
        // A listing proves nothing.
        if backend.size(&pack_name(&id))?.is_none() && !survey.is_young(&parity_name(&id))? {
            backend.delete(&parity_name(&id))?;
        }
    }
    Ok(())
}

/// Deletes a pack, and then its parity.
pub(super) fn delete_pack(repository: &Repository, id: &PackId) -> Result<()> {
    repository.backend().delete(&pack_name(id))?;
    repository.backend().delete(&parity_name(id))
}

/// Says what a sweep would delete. Without any grace that includes what this prune would condemn.
pub(super) fn foresee(
    repository: &Repository,
    survey: &Survey<'_>,
    grace: Duration,
    report: &mut PruneReport,
) -> Result<()> {
    let state = repository.state();
    let due = Due::of(repository, &state, grace);
    let mut packs = survey.deletable(&state, due.packs);
    if grace.is_zero() {
        packs.extend(report.packs.iter().filter(|pack| pack.fate.goes()).map(|pack| pack.id));
    }
    report.swept = tally(repository, survey, &packs)?;
    report.waiting = tally(repository, survey, &due.waiting)?;
    Ok(())
}

/// Deletes packs that were condemned longer ago than the grace, then index objects that were superseded so long ago, and
/// then says so in the log. Whoever dies in between leaves the rest to the next one.
pub(super) fn sweep(
    repository: &Repository,
    survey: &mut Survey<'_>,
    grace: Duration,
    report: &mut PruneReport,
    progress: &dyn Progress,
) -> Result<()> {
    let state = repository.settled(|| {
        repository.refresh_index()?;
        let state = repository.state();
        survey.absorb(&state, progress).map(|()| state)
    })?;
    let due = Due::of(repository, &state, grace);
    let packs = survey.deletable(&state, due.packs);
    report.swept = tally(repository, survey, &packs)?;
    report.waiting = tally(repository, survey, &due.waiting)?;
    progress.begin(Phase::Sweep, Some((packs.len() + due.indexes.len()) as u64), None);
    if !packs.is_empty() || !due.indexes.is_empty() || !survey.revenants.is_empty() {
        repository.settle_log()?;
    }
    let backend = repository.backend();
    let mut parity = parity_objects(repository)?;
    for id in packs.iter().chain(&survey.revenants) {
        repository.runtime().go_on()?;
        delete_pack(repository, id)?;
        parity.remove(id);
        progress.files(1);
    }
    sweep_orphans(repository, survey, parity)?;
    for id in &due.indexes {
        backend.delete(&Name::new(Kind::Index, id))?;
        progress.files(1);
    }
    if packs.is_empty() && due.indexes.is_empty() {
        return Ok(());
    }
    repository.append_checked(|state| {
        // Somebody else may have swept the same.
        let is_open = |retired: Option<&Retired>| retired.is_some_and(|retired| !retired.swept);
        let packs: Vec<_> = packs.iter().filter(|id| is_open(state.standing.condemned.get(id))).copied().collect();
        let indexes: Vec<_> =
            due.indexes.iter().filter(|id| is_open(state.standing.superseded.get(id))).copied().collect();
        Ok((!packs.is_empty() || !indexes.is_empty()).then_some(Body::Swept { packs, indexes }))
    })?;
    repository.refresh_index()?;
    Ok(())
}
