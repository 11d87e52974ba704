//! Finding snapshots that cannot be rebuilt whole, and making the log say what is lost.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize, Serializer};

use super::repair_packs::look_at_all;
use super::repair_rewrite::rewrite;
use super::structure::cut_off;
use crate::error::Result;
use crate::graph::{BadFrame, Closure, FollowedAll, Lost, follow_all};
use crate::id::{PackId, SnapshotId};
use crate::pack::pack_name;
use crate::progress::{Phase, Progress};
use crate::store::{Inventory, Repository};
use crate::values;

/// What to do about damaged snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct SnapshotRepairOptions {
    /// Read and decode all packs, to find frames that are damaged; else only what is missing is found.
    pub read_data: bool,
    /// Remove snapshots with no recoverable files: their root, their whole manifest, or all data of all their files is lost.
    pub forget: bool,
    /// Rewrite damaged snapshots without the files that have lost data.
    pub rewrite: bool,
    /// Judge also where most packs are missing, as if the storage were away
    /// ([`Error::StorageAway`](crate::error::Error::StorageAway)).
    pub accept_missing_packs: bool,
    /// Look at everything, write nothing.
    pub dry_run: bool,
}

impl SnapshotRepairOptions {
    values::setters! {
        is read_data: bool;
        is forget: bool;
        is rewrite: bool;
        is accept_missing_packs: bool;
        is dry_run: bool;
    }
}

/// A snapshot of which something is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DamagedSnapshot {
    /// Id of the damaged snapshot.
    pub id: SnapshotId,
    /// Files of which something is lost.
    #[serde(rename = "files_damaged")]
    pub files: u64,
    /// Rows of its manifest that are lost.
    #[serde(rename = "rows_lost")]
    pub rows: u64,
    /// Whether none of its files can be recovered.
    pub nothing_left: bool,
    /// It was dropped (or would be).
    pub forgotten: bool,
    /// The snapshot that was made in its place.
    pub rewritten: Option<SnapshotId>,
}

/// What was found, and what was done about it.
#[derive(Debug, Default, Serialize)]
pub struct SnapshotRepair {
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// The snapshots that have lost data.
    pub damaged: Vec<DamagedSnapshot>,
    /// What the log did not know to be lost before: packs with the numbers of frames; none for a whole pack.
    #[serde(serialize_with = "recorded")]
    pub recorded: Vec<(PackId, Vec<u32>)>,
}

/// Looks at all snapshots, and hands what they have lost to `each_loss`. What is lost is recorded in the log: from then on it
/// does not count as stored, so it comes back when the same data is saved again.
///
/// # Errors
/// [`Error::StorageAway`](crate::error::Error::StorageAway) if most packs are missing; the errors of `each_loss`, and
/// errors of reading the repository.
pub fn repair_snapshots(
    repository: &Repository,
    options: &SnapshotRepairOptions,
    progress: &dyn Progress,
    each_loss: &mut dyn FnMut(Lost) -> Result<()>,
) -> Result<SnapshotRepair> {
    repository.catalog().rebuild()?;
    repository.catalog().adopt_all_locally()?;
    if !options.accept_missing_packs {
        repository.catalog().refuse_if_away()?;
    }
    if options.read_data && !options.dry_run {
        repository.reader().take_back_damage(&repository.catalog().damaged_packs())?;
    }
    progress.begin(Phase::CheckStructure, None, None);
    let Gone { packs: lost_packs, cut_off: mut bad } = gone_packs(repository)?;
    if options.read_data {
        bad.extend(bad_frames(repository, &lost_packs, progress)?);
    }
    let mut found: BTreeMap<PackId, Vec<u32>> = lost_packs.iter().map(|pack| (*pack, Vec::new())).collect();
    for (pack, frame) in bad.iter().filter(|(pack, _)| !lost_packs.contains(pack)) {
        found.entry(*pack).or_default().push(*frame);
    }
    found.values_mut().for_each(|frames| frames.sort_unstable());
    let found: Vec<(PackId, Vec<u32>)> = found.into_iter().collect();

    // Judged by a log that is younger than what was found missing: what deletes something has said so there before.
    let FollowedAll { state, closure, damaged } = follow_all(repository, &bad, each_loss)?;
    let mut repair = SnapshotRepair { snapshots: state.whole_snapshots().len() as u64, ..SnapshotRepair::default() };
    repair.damaged.extend(damaged.iter().map(|(id, followed)| {
        let nothing_left = followed.is_hopeless();
        DamagedSnapshot {
            id: *id,
            files: followed.files,
            rows: followed.rows,
            nothing_left,
            forgotten: nothing_left && options.forget,
            rewritten: None,
        }
    }));
    if options.dry_run {
        repair.recorded = state.standing.new_damage(found);
        return Ok(repair);
    }
    repository.config().keep()?;
    repair.recorded = repository.catalog().record_damage(&found)?;
    if options.rewrite {
        // A part is made again from its source.
        for damaged in repair.damaged.iter_mut().filter(|damaged| !damaged.nothing_left && damaged.id.is_whole()) {
            if let Some(record) = state.snapshots.iter().find(|record| record.id == damaged.id) {
                damaged.rewritten = Some(rewrite(repository, record, &closure)?);
            }
        }
    }
    let nothing_left: Vec<SnapshotId> =
        repair.damaged.iter().filter(|damaged| damaged.forgotten).map(|damaged| damaged.id).collect();
    drop(closure);
    let forgotten = forget_hopeless(repository, &nothing_left, &bad)?;
    for damaged in &mut repair.damaged {
        damaged.forgotten = forgotten.contains(&damaged.id);
    }
    Ok(repair)
}

/// Drops those of these snapshots of which nothing is left as of the very log that the entry follows. Returns them.
fn forget_hopeless(
    repository: &Repository,
    nothing_left: &[SnapshotId],
    bad: &HashSet<BadFrame>,
) -> Result<Vec<SnapshotId>> {
    if nothing_left.is_empty() {
        return Ok(Vec::new());
    }
    repository.log().remove_chosen_snapshots(repository.catalog(), &mut |state| {
        repository.catalog().refresh()?;
        let closure = Closure::new(repository, Inventory::of_index(repository)?, &state.standing, bad);
        let mut still = Vec::new();
        for record in state.snapshots.iter().filter(|record| nothing_left.contains(&record.id)) {
            if closure.snapshot(record, &mut |_| Ok(()))?.is_hopeless() {
                still.push(record.id);
            }
        }
        Ok(still)
    })
}

/// What is missing.
struct Gone {
    /// Packs that should be there and are not.
    packs: BTreeSet<PackId>,
    /// Frames of packs that were cut off.
    cut_off: HashSet<BadFrame>,
}

/// What is not there of packs that the log does not have as condemned or lost.
fn gone_packs(repository: &Repository) -> Result<Gone> {
    repository.catalog().refresh()?;
    let standing = repository.catalog().standing();
    let mut gone = Gone { packs: BTreeSet::new(), cut_off: HashSet::new() };
    for (id, length) in repository.catalog().index().packs_known() {
        if standing.is_condemned(&id) {
            continue;
        }
        // Asked for one by one: a listing proves nothing.
        match repository.backend().size(&pack_name(&id))? {
            // What parity restores is not lost.
            Some(found) if found < length && repository.packs().mended_pack(&id).is_some() => {}
            Some(found) if found < length => {
                if let Some(info) = repository.catalog().index().find_pack(&id)? {
                    let frames = cut_off(&info, found).collect::<Vec<_>>();
                    gone.cut_off.extend(frames.into_iter().filter(|(pack, frame)| !standing.is_damaged(pack, *frame)));
                }
            }
            Some(_) => {}
            None => match repository.backend().read(&pack_name(&id), length) {
                Err(error) if error.is_damage() => {
                    repository.catalog().index().mark_gone(&id);
                    gone.packs.insert(id);
                }
                read => drop(read?),
            },
        }
    }
    Ok(gone)
}

/// Reads all packs but those; returns the frames that are damaged, and that the log does not have as such.
fn bad_frames(repository: &Repository, gone: &BTreeSet<PackId>, progress: &dyn Progress) -> Result<HashSet<BadFrame>> {
    let (standing, index) = (repository.catalog().standing(), repository.catalog().index());
    let is_meant = |pack: &PackId| !gone.contains(pack) && !index.is_gone(pack) && !standing.is_condemned(pack);
    let packs: Vec<PackId> = index.pack_ids().into_iter().filter(is_meant).collect();
    progress.begin(Phase::CheckData, Some(packs.len() as u64), None);
    let pool = repository.runtime().compute()?;
    let found = pool.install(|| look_at_all(repository, &packs, progress))?;
    Ok(found.into_iter().flat_map(|findings| findings.bad).collect())
}

/// Which frames of which packs; no frames for all of a pack.
fn recorded<S: Serializer>(recorded: &[(PackId, Vec<u32>)], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Recorded<'a> {
        pack: PackId,
        frames: &'a [u32],
    }
    serializer.collect_seq(recorded.iter().map(|(pack, frames)| Recorded { pack: *pack, frames }))
}
