//! Pruning where the disk is full: what frees room comes first, and nothing is written before it but entries of the log,
//! which are small. Where it is interrupted in between, it leaves what any interrupted prune leaves, except for
//! [`prune_without_room`].

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::plan::{Limits, MaxUnused, decide};
use super::survey::Survey;
use super::sweep::{self, delete_packs};
use super::{Fate, PruneOptions, PruneReport, attempt, steadily};
use crate::error::Result;
use crate::id::PackId;
use crate::log::{Collection, Condemnation};
use crate::pack::pack_name;
use crate::progress::{Phase, Progress};
use crate::store::{PackNumber, Repository, State};

/// How many packs one entry condemns at most: it has to fit into little room.
const MOST: usize = 4000;

/// Prunes after an attempt failed for want of room: sweeps what is due, condemns what is not needed at all without
/// writing anything else, and sweeps again. If that freed anything, all the rest is done as ever.
pub(super) fn prune(repository: &Repository, options: &PruneOptions, progress: &dyn Progress) -> Result<PruneReport> {
    let began = Instant::now();
    let mut report = steadily(repository, &mut || frugally(repository, options, progress))?;
    // How long packs were that were condemned earlier, is not always known.
    if report.swept.packs > 0 || report.tidied_bytes > 0 {
        match steadily(repository, &mut || attempt(repository, options, progress)) {
            Ok(mut rest) => {
                for (sum, before) in [(&mut rest.swept, report.swept), (&mut rest.condemned, report.condemned)] {
                    sum.packs += before.packs;
                    sum.bytes += before.bytes;
                }
                rest.tidied_bytes += report.tidied_bytes;
                rest.bytes_before = report.bytes_before;
                return Ok(PruneReport { duration_secs: began.elapsed().as_secs_f64(), ..rest });
            }
            Err(error) if error.is_full() => {}
            Err(error) => return Err(error),
        }
    }
    report.without_room = true;
    report.duration_secs = began.elapsed().as_secs_f64();
    Ok(report)
}

/// Prunes a repository on a disk without any room: packs that nothing needs are deleted *before* the log says so, and all
/// that an interrupted run may have left, however young. **No other process may use the repository meanwhile**: a
/// snapshot that is just being made may rest on what is deleted. If this is interrupted, `check` reports missing packs
/// until the next prune; no snapshot needs them.
///
/// # Errors
/// As of [`prune`](super::prune).
pub fn prune_without_room(
    repository: &Repository,
    options: &PruneOptions,
    progress: &dyn Progress,
) -> Result<PruneReport> {
    let options = PruneOptions { grace: Duration::ZERO, ..options.clone() };
    if options.dry_run {
        return super::prune(repository, &options, progress);
    }
    repository.log().check_collectable()?;
    if let Some(gap) = repository.log().gap()? {
        return Err(gap);
    }
    let tidied_bytes = steadily(repository, &mut || delete_at_once(repository, progress))?;
    let mut report = super::prune(repository, &options, progress)?;
    report.tidied_bytes += tidied_bytes;
    Ok(report)
}

/// Deletes what nothing needs. Returns the bytes of interrupted writes that went with it.
fn delete_at_once(repository: &Repository, progress: &dyn Progress) -> Result<u64> {
    let (mut survey, state) = Survey::settled(repository, Duration::ZERO, false, &BTreeSet::new(), progress)?;
    // Snapshots that the log has by now are followed before anything is decided.
    repository.catalog().refresh()?;
    survey.absorb(&repository.state(), progress)?;
    let unneeded = Unneeded::find(repository, &survey, &state)?;
    repository.log().settle()?;
    let open = state.standing.condemned.iter().filter(|(_, retired)| !retired.swept);
    let condemned = survey.deletable(&state, open.map(|(id, _)| *id).collect());
    let ids: Vec<PackId> = unneeded.ids(&survey).into_iter().chain(condemned).collect();
    progress.begin(Phase::Sweep, Some(ids.len() as u64), None);
    delete_packs(repository, &ids, progress)?;
    Ok(repository.backend().tidy(i64::MAX)?)
}

/// What needs no writing but of entries.
fn frugally(repository: &Repository, options: &PruneOptions, progress: &dyn Progress) -> Result<PruneReport> {
    let (mut survey, _) = Survey::settled(repository, options.grace, false, &BTreeSet::new(), progress)?;
    let mut report = PruneReport::default();
    // First what only has to be deleted. It leaves room for the entries that follow.
    sweep::sweep(repository, &mut survey, options.grace, &mut report, progress)?;
    if let Some(now) = survey.storage_now {
        report.tidied_bytes = repository.backend().tidy(now.saturating_sub(super::TIDY_AFTER))?;
    }
    let swept = report.swept;
    let state = repository.state();
    survey.absorb(&state, progress)?;
    report.snapshots = state.whole_snapshots().len() as u64;
    let mut unneeded = Unneeded::find(repository, &survey, &state)?;
    report.lost_chunks = unneeded.lost_chunks;
    report.bytes_before = unneeded.bytes_before;
    let mut collection = WithoutWriting { survey: &mut survey, unneeded: &mut unneeded, progress };
    let appended = repository.log().condemn(repository.catalog(), &mut collection)?;
    if appended.is_some() {
        for pack in unneeded.packs.iter().take(MOST) {
            report.condemned.add(survey.inventory.pack(*pack).length);
        }
        sweep::sweep(repository, &mut survey, options.grace, &mut report, progress)?;
        report.swept.packs += swept.packs;
        report.swept.bytes += swept.bytes;
    }
    Ok(report)
}

/// Condemns what nothing needs, and writes nothing but the entry.
struct WithoutWriting<'c, 'r> {
    survey: &'c mut Survey<'r>,
    unneeded: &'c mut Unneeded,
    progress: &'c dyn Progress,
}

impl Collection for WithoutWriting<'_, '_> {
    fn unneeded(&mut self, state: &State) -> Result<Vec<PackId>> {
        self.survey.absorb(state, self.progress)?;
        self.survey.shrink(state, &mut self.unneeded.packs);
        let mut packs = self.unneeded.ids(self.survey);
        packs.retain(|id| !state.standing.is_condemned(id));
        packs.truncate(MOST);
        Ok(packs)
    }

    /// That index objects name them still does no harm; the next prune that has room puts those in order.
    fn reindex(&mut self, _: &State, _: &[PackId]) -> Result<Condemnation> {
        Ok(Condemnation::default())
    }
}

/// Packs of which nothing is needed.
struct Unneeded {
    /// By their numbers in the inventory.
    packs: BTreeSet<PackNumber>,
    /// Those that cannot even be read.
    rubbish: Vec<PackId>,
    lost_chunks: u64,
    bytes_before: u64,
}

impl Unneeded {
    fn find(repository: &Repository, survey: &Survey<'_>, state: &State) -> Result<Self> {
        let young = survey.young_packs();
        let lost_chunks = survey.needs(state, &young, false, false).lost;
        // Nothing that is needed is to rest on packs that no index object names: none is written here.
        let unnamed = survey.settled_unindexed().filter_map(|id| survey.inventory.pack_number(&id));
        let passed_over: BTreeSet<PackNumber> = young.iter().copied().chain(unnamed).collect();
        let needs = survey.needs(state, &passed_over, false, false);
        let (numbers, facts): (Vec<PackNumber>, Vec<_>) = survey.facts(state, &needs, &young).into_iter().unzip();
        let limits = Limits { max_unused: MaxUnused::Percent(100.0), max_repack: Some(0), small: 0, reencrypt: false };
        let fates = decide(&facts, limits);
        let unused = numbers.iter().zip(&fates).filter(|(_, fate)| matches!(fate, Fate::Unused | Fate::Gone));
        let mut packs: BTreeSet<PackNumber> = unused.map(|(number, _)| *number).collect();
        survey.shrink(state, &mut packs);
        // What cannot be read cannot be needed, unless something needed is lost: then it may yet be made readable.
        let rubbish = if needs.lost == 0 { survey.old_rubbish() } else { Vec::new() };
        let mut there = Vec::new();
        for (id, _) in rubbish {
            if repository.backend().size(&pack_name(&id))?.is_some() {
                there.push(id);
            }
        }
        let bytes_before = facts.iter().map(|facts| facts.length).sum();
        Ok(Self { packs, rubbish: there, lost_chunks, bytes_before })
    }

    fn ids(&self, survey: &Survey<'_>) -> Vec<PackId> {
        let packs = self.packs.iter().map(|number| survey.inventory.pack(*number).id);
        packs.chain(self.rubbish.iter().copied()).collect()
    }
}
