//! Finding snapshots that cannot be rebuilt whole, and making the log say what is lost.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rayon::prelude::*;

use super::packs::look_twice;
use super::rewrite::rewrite;
use crate::commands::check::{BadFrame, Closure, Lost, cut_off};
use crate::error::{Error, Result};
use crate::id::{PackId, SnapshotId};
use crate::pack::pack_name;
use crate::progress::{Phase, Progress};
use crate::repository::{Catalogue, Repository};

/// What to do about damaged snapshots.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotRepairOptions {
    /// Read and decode all packs, to find frames that are damaged; else only what is missing is found.
    pub read_data: bool,
    /// Drop snapshots of which nothing is left: their root, their whole manifest, or all data of all their files is lost.
    pub forget: bool,
    /// Make damaged snapshots once more, without the files of which something is lost.
    pub rewrite: bool,
    /// Look at everything, write nothing.
    pub dry_run: bool,
    /// How many packs are read at once.
    pub threads: usize,
}

/// A snapshot of which something is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// Which one.
    pub id: SnapshotId,
    /// Files of which something is lost.
    pub files: u64,
    /// Rows of its manifest that are lost.
    pub rows: u64,
    /// Nothing of it is left.
    pub hopeless: bool,
    /// It was dropped (or would be).
    pub forgotten: bool,
    /// The snapshot that was made in its place.
    pub rewritten: Option<SnapshotId>,
}

/// What was found, and what was done about it.
#[derive(Debug, Default)]
pub struct SnapshotRepair {
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Those of which something is lost.
    pub damaged: Vec<DamagedSnapshot>,
    /// What the log did not know to be lost before: packs with the numbers of frames; none for a whole pack.
    pub recorded: Vec<(PackId, Vec<u32>)>,
}

/// Looks at all snapshots, and hands what they have lost to `tell`. What is lost is recorded in the log: from then on it
/// does not count as stored, so it comes back when the same data is saved again.
///
/// # Errors
/// Those of `tell` and of the repository.
pub fn repair_snapshots(
    repository: &Repository,
    options: &SnapshotRepairOptions,
    progress: &dyn Progress,
    tell: &mut dyn FnMut(Lost) -> Result<()>,
) -> Result<SnapshotRepair> {
    repository.rebuild_index()?;
    repository.adopt_all_locally()?;
    progress.begin(Phase::CheckStructure, None, None);
    let (lost_packs, mut bad) = gone_packs(repository)?;
    if options.read_data {
        bad.extend(bad_frames(repository, options.threads, &lost_packs, progress)?);
    }
    let mut repair = SnapshotRepair::default();
    let mut recorded: BTreeMap<PackId, Vec<u32>> = lost_packs.iter().map(|pack| (*pack, Vec::new())).collect();
    for (pack, frame) in &bad {
        recorded.entry(*pack).or_default().push(*frame);
    }
    recorded.values_mut().for_each(|frames| frames.sort_unstable());
    repair.recorded = recorded.into_iter().collect();

    let state = repository.state();
    let closure = Closure::new(repository, Catalogue::of_index(repository)?, &state.standing, &bad);
    for record in &state.snapshots {
        let followed = closure.snapshot(record, tell)?;
        repair.snapshots += 1;
        if followed.is_damaged() {
            let hopeless = followed.is_hopeless();
            repair.damaged.push(DamagedSnapshot {
                id: record.id,
                files: followed.files,
                rows: followed.rows,
                hopeless,
                forgotten: hopeless && options.forget,
                rewritten: None,
            });
        }
    }
    if options.dry_run {
        return Ok(repair);
    }
    repository.record_damage(&repair.recorded)?;
    if options.rewrite {
        for damaged in repair.damaged.iter_mut().filter(|damaged| !damaged.hopeless) {
            if let Some(record) = state.snapshots.iter().find(|record| record.id == damaged.id) {
                damaged.rewritten = Some(rewrite(repository, record, &closure)?);
            }
        }
    }
    let forgotten: Vec<_> =
        repair.damaged.iter().filter(|damaged| damaged.forgotten).map(|damaged| damaged.id).collect();
    repository.drop_snapshots(&forgotten)?;
    Ok(repair)
}

/// Packs that should be there and are not, and frames of packs that were cut off, as far as the log does not have them as
/// lost.
fn gone_packs(repository: &Repository) -> Result<(BTreeSet<PackId>, HashSet<BadFrame>)> {
    let standing = repository.standing();
    let (mut gone, mut cut) = (BTreeSet::new(), HashSet::new());
    for (id, length) in repository.index().packs_known() {
        if standing.is_condemned(&id) {
            continue;
        }
        // Asked for one by one: a listing proves nothing, and what is recorded here is so for good.
        match repository.backend().size(&pack_name(&id))? {
            // What parity brings back is not lost.
            Some(found) if found < length && repository.mended_pack(&id).is_some() => {}
            Some(found) if found < length => {
                if let Some(number) = repository.index().pack_number(&id) {
                    let frames = cut_off(&*repository.index().pack(number)?, found).collect::<Vec<_>>();
                    cut.extend(frames.into_iter().filter(|(pack, frame)| !standing.is_damaged(pack, *frame)));
                }
            }
            Some(_) => {}
            None if repository.backend().read(&pack_name(&id), length).is_ok() => {}
            None => {
                repository.index().mark_gone(&id);
                if standing.damaged.get(&id) != Some(&crate::index::Damage::Whole) {
                    gone.insert(id);
                }
            }
        }
    }
    Ok((gone, cut))
}

/// Reads all packs but those; gives the frames that are damaged, and that the log does not have as such.
fn bad_frames(
    repository: &Repository,
    threads: usize,
    gone: &BTreeSet<PackId>,
    progress: &dyn Progress,
) -> Result<HashSet<BadFrame>> {
    let standing = repository.standing();
    let mut numbers = Vec::new();
    for number in repository.index().pack_numbers() {
        let info = repository.index().pack(number)?;
        if !gone.contains(&info.id) && !repository.index().is_gone(&info.id) && !standing.is_condemned(&info.id) {
            numbers.push(number);
        }
    }
    progress.begin(Phase::CheckData, Some(numbers.len() as u64), None);
    let pool = crate::commands::threads::pool(threads.max(1))?;
    let found: Vec<Vec<BadFrame>> = pool.install(|| {
        let look = |number: &u32| {
            progress.files(1);
            look_twice(repository, *number).map(|findings| findings.bad)
        };
        numbers.par_iter().map(look).collect::<Result<_>>()
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// What is to be said of a snapshot that cannot be made once more.
pub(super) fn not_rewritten(reason: &str) -> Error {
    Error::Invalid(format!("a damaged snapshot was not made once more: {reason}"))
}
