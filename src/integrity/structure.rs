//! What can be seen without reading data: the objects that the log and the index name, and how long they are.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::check::{CheckReport, is_mendable};
use crate::error::{Error, Result};
use crate::graph::BadFrame;
use crate::id::{IndexId, PackId};
use crate::log::Damage;
use crate::pack::PackInfo;
use crate::storage::{Kind, Name};
use crate::store::{ATTEMPTS, Repository, State};

/// The frames that a pack of this length does not hold all of.
pub(crate) fn cut_off(info: &PackInfo, length: u64) -> impl Iterator<Item = BadFrame> {
    let frames = info.directory.frames.iter().enumerate();
    frames
        .filter(move |(_, frame)| u64::from(frame.offset) + u64::from(frame.stored) > length)
        .map(|(number, _)| (info.id, number as u32))
}

/// What was found without reading data.
#[derive(Default)]
pub(super) struct Structure {
    pub(super) report: CheckReport,
    /// Packs that are there.
    pub(super) packs: Vec<PackId>,
    /// Frames that cannot be.
    pub(super) bad: HashSet<BadFrame>,
    /// Packs that are damaged without any loss.
    pub(super) mendable: BTreeSet<PackId>,
}

/// Key slots and index objects that the log names, and packs that these name. Looks again where something is missing and
/// the log went on meanwhile.
pub(super) fn check_structure(repository: &Repository) -> Result<Structure> {
    let mut attempts = 0;
    loop {
        repository.catalog().refresh()?;
        let state = repository.state();
        let mut structure = Structure::default();
        structure.report.problems.extend(repository.config().check());
        structure.report.problems.extend(repository.keys().check());
        structure.report.problems.extend(repository.log().gap()?);
        check_packs(repository, &state, &mut structure)?;
        attempts += 1;
        if structure.report.problems.is_empty() || attempts >= ATTEMPTS || !repository.catalog().has_moved(&state)? {
            return Ok(structure);
        }
    }
}

/// Index objects that the log names, and packs that these name.
fn check_packs(repository: &Repository, state: &State, structure: &mut Structure) -> Result<()> {
    let Structure { report, packs, bad, mendable } = structure;
    let mut objects = state.indexes.clone();
    // Anything with another name does not belong to the repository.
    repository.backend().for_each(Kind::Index, &mut |meta| {
        objects.extend(meta.name.file().parse::<IndexId>());
    })?;
    objects.retain(|object| !state.standing.superseded.contains_key(object));
    for object in &objects {
        match repository.catalog().read_index_object(object) {
            Err(error) if error.is_damage() => {
                report.lost_indexes += u64::from(state.indexes.contains(object));
                report.problems.push(error);
            }
            read => drop(read?),
        }
    }
    let mut there = HashMap::new();
    repository.backend().for_each(Kind::Pack, &mut |meta| {
        there.insert(meta.name, meta.size);
    })?;
    let mut unprotected = HashSet::new();
    if repository.settings().parity() > 0 {
        unprotected.extend(there.keys().map(|name| name.file().to_owned()));
        repository.backend().for_each(Kind::Parity, &mut |meta| {
            unprotected.remove(meta.name.file());
        })?;
    }
    for id in repository.catalog().index().pack_ids() {
        let Some(info) = repository.catalog().index().find_pack(&id)? else { continue };
        if let Some(retired) = state.standing.condemned.get(&info.id) {
            // It does not matter whether it is still there.
            report.condemned_packs += u64::from(!retired.swept);
            there.remove(&info.name());
            continue;
        }
        let damage = state.standing.damaged.get(&info.id);
        report.damaged_packs += u64::from(damage.is_some());
        report.packs += 1;
        let is_lost = damage == Some(&Damage::Whole);
        report.unprotected_packs += u64::from(!is_lost && unprotected.contains(info.name().file()));
        report.chunks += info.directory.chunks.len() as u64;
        // A listing may be out of date: what it does not show is asked for.
        let length = match there.remove(&info.name()) {
            Some(length) => Some(length),
            None => repository.backend().size(&info.name())?,
        };
        match length {
            Some(length) if length == info.length => {}
            Some(_) if damage.is_none() && repository.packs().mended_pack(&info.id).is_some() => {
                mendable.insert(info.id);
                report.problems.push(is_mendable(&info.id));
            }
            Some(length) => {
                bad.extend(cut_off(&info, length));
                // Once damage is recorded, what matters is what snapshots have lost with it.
                if damage.is_none() {
                    let reason = format!("it has {length} bytes where {} were written", info.length);
                    report.problems.push(Error::damaged(info.name(), reason));
                }
            }
            None if damage == Some(&Damage::Whole) => {}
            None => {
                report.missing_packs += 1;
                report.problems.push(Error::ObjectMissing { name: info.name() });
            }
        }
        match length {
            // Even in one that was cut off, frames may still be sound.
            Some(_) => packs.push(info.id),
            None => repository.catalog().index().mark_gone(&info.id),
        }
    }
    let is_condemned = |name: &Name| name.file().parse::<PackId>().is_ok_and(|pack| state.standing.is_condemned(&pack));
    report.unindexed_packs = there.keys().filter(|name| !is_condemned(name)).count() as u64;
    Ok(())
}
