//! Deleting what was condemned long enough ago.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::survey::Survey;
use super::{PruneReport, Tally};
use crate::error::Result;
use crate::id::{IndexId, PackId};
use crate::log::Retired;
use crate::pack::{pack_name, parity_name};
use crate::progress::{Phase, Progress};
use crate::storage::{Kind, Name, StorageError, StorageErrorKind};
use crate::store::{Repository, State};

/// How many objects are deleted at once.
const BATCH: usize = 64;

/// Packs with parity, when that was made and how long it is, as the listing says.
type ParityObjects = BTreeMap<PackId, (Option<i64>, u64)>;

/// What the log retired long enough ago, and was not deleted yet.
struct Due {
    packs: Vec<PackId>,
    indexes: Vec<IndexId>,
    /// Condemned, but not long enough ago.
    waiting: Vec<PackId>,
}

impl Due {
    fn of(repository: &Repository, state: &State, grace: Duration) -> Self {
        let now = repository.log().clock().now();
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
fn tally(repository: &Repository, survey: &Survey<'_>, packs: &[PackId], parity: &ParityObjects) -> Result<Tally> {
    let backend = repository.backend();
    let known = |id: &PackId| {
        let number = survey.inventory.pack_number(id)?;
        Some(survey.inventory.pack(number).length)
    };
    let mut tally = Tally::default();
    for id in packs {
        let length = match known(id) {
            Some(length) => length,
            None => backend.size(&pack_name(id))?.unwrap_or(0),
        };
        tally.add(length + parity.get(id).map_or(0, |(_, length)| *length));
    }
    Ok(tally)
}

/// The packs that there are parity objects for, and what the listing says of those.
fn parity_objects(repository: &Repository) -> Result<ParityObjects> {
    let mut packs = ParityObjects::new();
    repository.backend().for_each(Kind::Parity, &mut |meta| {
        packs.extend(meta.name.file().parse::<PackId>().map(|id| (id, (meta.modified, meta.size))));
    })?;
    Ok(packs)
}

/// Deletes parity objects whose packs are deleted: the prune that did that died in between, or is of a version that does
/// not know them. None is ever made before its pack.
fn sweep_orphans(repository: &Repository, survey: &Survey<'_>, mut parity: ParityObjects) -> Result<()> {
    if parity.is_empty() {
        return Ok(());
    }
    let backend = repository.backend();
    backend.for_each(Kind::Pack, &mut |meta| {
        if let Ok(id) = meta.name.file().parse() {
            parity.remove(&id);
        }
    })?;
    for (id, (made, _)) in parity {
        // A listing proves nothing.
        if !survey.is_young(made) && backend.size(&pack_name(&id))?.is_none() {
            delete_all(repository, &[parity_name(&id)])?;
        }
    }
    Ok(())
}

/// Deletes packs, and then their parity: where this is cut short, parity that is left over is swept by the next one. Returns
/// the packs that the storage keeps for now.
pub(super) fn delete_packs(
    repository: &Repository,
    packs: &[PackId],
    progress: &dyn Progress,
) -> Result<HashSet<PackId>> {
    let mut retained = HashSet::new();
    for part in packs.chunks(BATCH) {
        repository.runtime().go_on()?;
        let names: Vec<Name> = part.iter().map(pack_name).collect();
        let kept = delete_all(repository, &names)?;
        retained.extend(part.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(id, _)| *id));
        // What stays keeps its parity.
        let names: Vec<Name> =
            part.iter().zip(&kept).filter(|(_, kept)| !**kept).map(|(id, _)| parity_name(id)).collect();
        delete_all(repository, &names)?;
        progress.files(part.len() as u64);
    }
    Ok(retained)
}

/// Deletes all that can be deleted of these. Returns of each whether the storage keeps it for now, since a time was set
/// before which it cannot be deleted.
///
/// # Errors
/// The first [`Error::Storage`](crate::error::Error::Storage) of a deletion.
fn delete_all(repository: &Repository, names: &[Name]) -> Result<Vec<bool>> {
    let is_kept = |deleted: std::result::Result<(), StorageError>| match deleted {
        Err(error) if error.kind() == StorageErrorKind::Retained => Ok(true),
        deleted => deleted.map(|()| false),
    };
    let kept: std::result::Result<Vec<bool>, _> =
        repository.backend().delete_many(names).into_iter().map(is_kept).collect();
    Ok(kept?)
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
    let parity = parity_objects(repository)?;
    report.swept = tally(repository, survey, &packs, &parity)?;
    report.waiting = tally(repository, survey, &due.waiting, &parity)?;
    Ok(())
}

/// Deletes packs that were condemned longer ago than the grace, then index objects that were superseded as long ago, and
/// then says so in the log. If it is interrupted in between, the next prune does the rest.
pub(super) fn sweep(
    repository: &Repository,
    survey: &mut Survey<'_>,
    grace: Duration,
    report: &mut PruneReport,
    progress: &dyn Progress,
) -> Result<()> {
    let state = repository.catalog().settled(|| {
        repository.catalog().refresh()?;
        let state = repository.state();
        survey.absorb(&state, progress).map(|()| state)
    })?;
    let due = Due::of(repository, &state, grace);
    let mut packs = survey.deletable(&state, due.packs);
    let mut parity = parity_objects(repository)?;
    report.swept = tally(repository, survey, &packs, &parity)?;
    report.waiting = tally(repository, survey, &due.waiting, &parity)?;
    progress.begin(Phase::Sweep, Some((packs.len() + due.indexes.len()) as u64), None);
    if !packs.is_empty() || !due.indexes.is_empty() || !survey.revenants.is_empty() {
        repository.log().settle()?;
    }
    let gone: Vec<PackId> = packs.iter().chain(&survey.revenants).copied().collect();
    let is_gone: HashSet<&PackId> = gone.iter().collect();
    let retained = delete_packs(repository, &gone, progress)?;
    if !retained.is_empty() {
        // They stay condemned, and the next prune tries again.
        let kept: Vec<PackId> = packs.iter().filter(|id| retained.contains(id)).copied().collect();
        report.retained = tally(repository, survey, &kept, &parity)?;
        report.swept = report.swept.without(report.retained);
    }
    parity.retain(|id, _| !is_gone.contains(id));
    sweep_orphans(repository, survey, parity)?;
    let mut indexes = Vec::new();
    for part in due.indexes.chunks(BATCH) {
        let names: Vec<Name> = part.iter().map(|id| Name::new(Kind::Index, id)).collect();
        let kept = delete_all(repository, &names)?;
        indexes.extend(part.iter().zip(kept).filter(|(_, kept)| !kept).map(|(id, _)| *id));
        progress.files(part.len() as u64);
    }
    packs.retain(|id| !retained.contains(id));
    if packs.is_empty() && indexes.is_empty() {
        return Ok(());
    }
    repository.log().swept(&packs, &indexes)?;
    repository.catalog().refresh()?;
    Ok(())
}
