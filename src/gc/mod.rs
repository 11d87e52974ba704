//! `prune`: frees the room of what no snapshot needs any more.
//!
//! It runs beside any number of writers, restores and other prunes, without a lock. What is needed is copied out of packs
//! that are largely unused; then one entry of the log *condemns* the packs that go. That entry can only follow the very
//! log that the plan was made by, so if another process appended meanwhile, the plan is looked at again. Packs are
//! deleted later, once no process that began before can still be reading them. Any step may be the last one: the next
//! prune goes on.

mod condemn;
mod full;
mod needs;
pub mod plan;
mod repack;
mod report;
mod retain;
mod survey;
mod sweep;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub use full::prune_without_room;
pub use plan::{Fate, MaxUnused};
use plan::{Limits, decide};
use repack::{Repacked, Repacker};
pub use retain::{RetainOptions, RetainReport, retain};
use survey::Survey;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::{PackId, SnapshotId};
use crate::progress::{Phase, Progress};
use crate::store::{Compression, PackNumber, Repository, State, abandoned_parts, read_roots, remove_abandoned_parts};
use crate::values;

/// How to prune.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct PruneOptions {
    /// How much that is unused may be left lying about.
    pub max_unused: MaxUnused,
    /// How many needed bytes are copied at most.
    #[serde(deserialize_with = "values::some_size")]
    pub max_repack_size: Option<u64>,
    /// Put small packs together.
    pub repack_small: bool,
    /// Copy packs that are sealed under keys from before the last rotation, and rewrite index objects that are.
    pub reencrypt: bool,
    /// How long condemned packs stay, so that running restores can end; and how old an object that no entry of the
    /// log names must be to count as abandoned.
    #[serde(deserialize_with = "values::duration")]
    pub grace: Duration,
    /// How long parts of runs that were not merged are kept, from the time when the last part was added.
    #[serde(deserialize_with = "values::duration")]
    pub keep_parts: Duration,
    /// How frames that are made again are compressed; as is set for the repository if none.
    #[serde(skip)]
    pub compression: Option<Compression>,
    /// Look at everything, write nothing.
    pub dry_run: bool,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            max_unused: MaxUnused::Percent(5.0),
            max_repack_size: None,
            repack_small: false,
            reencrypt: false,
            grace: Duration::from_secs(24 * 3600),
            keep_parts: Duration::from_secs(30 * 24 * 3600),
            compression: None,
            dry_run: false,
        }
    }
}

impl PruneOptions {
    values::setters! {
        is max_unused: MaxUnused;
        is max_repack_size: Option<u64>;
        is repack_small: bool;
        is reencrypt: bool;
        is grace: Duration;
        is keep_parts: Duration;
        is compression: Option<Compression>;
        is dry_run: bool;
    }
}

/// Result of a prune, or of a dry run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PruneReport {
    /// What becomes of each pack.
    pub packs: Vec<PlannedPack>,
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Chunks that they need and that are lost.
    pub lost_chunks: u64,
    /// Bytes of all packs, as they were found; condemned ones do not count.
    pub bytes_before: u64,
    /// Packs that were condemned, and their bytes.
    pub condemned: Tally,
    /// Packs that were written, and their bytes.
    pub written: Tally,
    /// Condemned packs that were deleted, and their bytes with parity: what became free.
    pub swept: Tally,
    /// Condemned packs that wait for the grace to pass, and their bytes.
    pub waiting: Tally,
    /// Condemned packs that the storage does not let go yet, and their bytes.
    pub retained: Tally,
    /// What is unused and stays, in bytes.
    pub unused_bytes_left: u64,
    /// Packs that stay, and are sealed under keys of before the last rotation.
    pub old_keys: Tally,
    /// Index objects that others took the place of.
    pub indexes_replaced: u64,
    /// Parts of abandoned runs that were removed (or would be). With them go the records of these runs, which do not count.
    pub parts_removed: u64,
    /// Bytes of interrupted writes that were removed.
    pub tidied_bytes: u64,
    /// Records were erased from snapshots: nothing unused is left lying about, and nothing that is needed rests on what is not.
    pub purges: bool,
    /// The disk was full: only what needs no room was done. Nothing was copied out of packs that are partly needed.
    pub without_room: bool,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}

/// A number of packs, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Number of packs.
    pub packs: u64,
    /// Their length in bytes, together.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.packs += 1;
        self.bytes += bytes;
    }

    fn without(self, part: Self) -> Self {
        Self { packs: self.packs.saturating_sub(part.packs), bytes: self.bytes.saturating_sub(part.bytes) }
    }
}

/// A pack of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedPack {
    /// The pack's id.
    pub id: PackId,
    /// Length of the pack in bytes.
    pub length: u64,
    /// How much of that is needed.
    pub needed: u64,
    /// What becomes of it.
    pub fate: Fate,
}

impl PruneReport {
    /// The packs that meet this fate.
    pub fn tally(&self, fates: impl Fn(Fate) -> bool) -> Tally {
        let mut tally = Tally::default();
        self.packs.iter().filter(|pack| fates(pack.fate)).for_each(|pack| tally.add(pack.length));
        tally
    }
}

/// How old the remains of an interrupted write must be to be removed: no write of one object takes a day.
const TIDY_AFTER: i64 = 24 * 3600 * 1_000_000_000;

/// Plans a prune and, unless it is a dry run, carries it out.
///
/// # Errors
/// [`Error::ChunkMissing`] if a snapshot needs what is nowhere, and the log has no record of its loss: then nothing is
/// changed, since the reason may be an index or a listing that is not whole. [`Error::StorageAway`] if most packs are missing
/// then, too. I/O errors and damaged objects of the repository.
pub fn prune(repository: &Repository, options: &PruneOptions, progress: &dyn Progress) -> Result<PruneReport> {
    match steadily(repository, &mut || attempt(repository, options, progress)) {
        Err(error) if error.is_full() && !options.dry_run => full::prune(repository, options, progress),
        done => done,
    }
}

/// Whether records were erased from a snapshot. A root that cannot be read is passed over: what hangs on it is damaged anyway.
fn has_erasures(repository: &Repository, state: &State) -> bool {
    read_roots(repository, &state.snapshots).iter().flatten().any(|root| root.altered.is_some())
}

/// A cache that turns out to be damaged must not be in the way. Whatever was done so far is whole.
fn steadily<T>(repository: &Repository, work: &mut dyn FnMut() -> Result<T>) -> Result<T> {
    match work() {
        Err(Error::Cache { .. }) => {
            repository.catalog().rebuild()?;
            work()
        }
        done => done,
    }
}

fn attempt(repository: &Repository, options: &PruneOptions, progress: &dyn Progress) -> Result<PruneReport> {
    let began = Instant::now();
    repository.log().check_collectable()?;
    if let Some(gap) = repository.log().gap()? {
        return Err(gap);
    }
    let no_parts = BTreeSet::new();
    let settled = |passed_over| Survey::settled(repository, options.grace, !options.dry_run, passed_over, progress);
    let (mut survey, mut state) = settled(&no_parts)?;
    // Only now that all is known to be there. What they alone needed is found by looking again.
    let parts_removed: BTreeSet<SnapshotId> = match options.dry_run {
        true => abandoned_parts(repository, &state, options.keep_parts).into_iter().collect(),
        false => remove_abandoned_parts(repository, options.keep_parts)?.into_iter().collect(),
    };
    if !parts_removed.is_empty() {
        (survey, state) = settled(if options.dry_run { &parts_removed } else { &no_parts })?;
    }
    let young = survey.young_packs();
    let purges = has_erasures(repository, &state);
    // What was erased must not be left lying about as a part of what is needed.
    let max_unused = if purges { MaxUnused::Bytes(0) } else { options.max_unused };
    let needs = survey.needs(&state, &young, options.reencrypt, purges);
    let facts = survey.facts(&state, &needs, &young);
    let limits = Limits {
        max_unused,
        max_repack: options.max_repack_size,
        small: if options.repack_small { repository.sizes().pack as u64 / 2 } else { 0 },
        reencrypt: options.reencrypt,
    };
    let numbers: Vec<PackNumber> = facts.iter().map(|(number, _)| *number).collect();
    let facts: Vec<_> = facts.into_iter().map(|(_, facts)| facts).collect();
    let fates = decide(&facts, limits);
    let mut report = PruneReport {
        snapshots: state.whole_snapshots().len() as u64,
        lost_chunks: needs.lost,
        purges,
        parts_removed: parts_removed.iter().filter(|id| id.part_number() != Some(0)).count() as u64,
        bytes_before: facts.iter().map(|facts| facts.length).sum(),
        ..PruneReport::default()
    };
    for ((number, facts), fate) in numbers.iter().zip(&facts).zip(&fates) {
        let id = survey.inventory.pack(*number).id;
        report.packs.push(PlannedPack { id, length: facts.length, needed: facts.needed, fate: *fate });
        if facts.old_key && !fate.goes() {
            report.old_keys.add(facts.length);
        }
        report.unused_bytes_left += if fate.goes() { 0 } else { facts.length - facts.needed.min(facts.length) };
    }
    // What cannot be read cannot be needed, unless something needed is lost: then it may yet be made readable.
    let rubbish = if needs.lost == 0 { survey.old_rubbish() } else { Vec::new() };
    for (id, length) in &rubbish {
        report.packs.push(PlannedPack { id: *id, length: *length, needed: 0, fate: Fate::Unused });
        report.bytes_before += length;
    }
    if options.dry_run {
        sweep::foresee(repository, &survey, options.grace, &mut report)?;
        report.duration_secs = began.elapsed().as_secs_f64();
        return Ok(report);
    }
    let with_fate = |wanted: &dyn Fn(Fate) -> bool| -> Vec<PackNumber> {
        numbers.iter().zip(&fates).filter(|(_, fate)| wanted(**fate)).map(|(number, _)| *number).collect()
    };
    let to_copy = with_fate(&Fate::is_copied);
    let bytes = to_copy.iter().map(|pack| survey.inventory.pack(*pack).length).sum();
    progress.begin(Phase::Repack, Some(to_copy.len() as u64), Some(bytes));
    let used = facts.iter().map(|facts| facts.needed).sum();
    let settings = (max_unused.share(used), repository.settings().compression_level(options.compression));
    let Repacked { copied, written } = match to_copy.is_empty() {
        true => Repacked::default(),
        false => {
            let pool = repository.runtime().compute()?;
            // All manifests were followed; what is copied is not read through the frames cached for that.
            repository.reader().forget_frames();
            let repacker = Repacker::new(repository, &survey, &needs, settings, progress);
            pool.install(|| repacker.run(&to_copy))?
        }
    };
    for info in &written {
        report.written.add(info.length);
        survey.inventory.add(info, false);
    }
    let mut condemned: BTreeSet<PackNumber> = with_fate(&|fate| fate.goes() && !fate.is_copied()).into_iter().collect();
    condemned.extend(copied);
    let also = condemn::Also { rubbish: &rubbish, written: &written, reencrypt: options.reencrypt };
    condemn::condemn(repository, &mut survey, condemned, also, &mut report, progress)?;
    sweep::sweep(repository, &mut survey, options.grace, &mut report, progress)?;
    repository.keys().delete_former()?;
    if let Some(now) = survey.storage_now {
        report.tidied_bytes = repository.backend().tidy(now.saturating_sub(TIDY_AFTER))?;
    }
    // Nothing rests on them, and the next prune tries again.
    let _ = repository.log().sweep_checkpoints();
    // What is well to have, and nothing rests on. Where there is no room, the next prune tries again.
    let _ = repository.config().keep();
    let _ = repository.backend().keep_reserve();
    report.duration_secs = began.elapsed().as_secs_f64();
    Ok(report)
}
