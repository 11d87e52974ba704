//! Taking what is sound out of damaged packs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rayon::prelude::*;

use serde::{Deserialize, Deserializer, Serialize};

use super::data::{PackFindings, check_pack, drop_condemned};
use super::repair_parity as parity;
use crate::chunk::ChunkSource;
use crate::error::{Error, Result};
use crate::graph::BadFrame;
use crate::id::{ChunkId, PackId};
use crate::log::Worth;
use crate::pack::{PlainChunk, parse_share};
use crate::progress::{Phase, Progress};
use crate::store::{Copies, Inventory, Repository, Writer};
use crate::values;

/// Which packs are looked at, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct PackRepairOptions {
    /// These; all if there are none.
    #[serde(deserialize_with = "packs")]
    pub packs: Vec<PackId>,
    /// Redundancy of new packs from now on, in thousandths of their length; none leaves the setting of the repository as it is.
    #[serde(deserialize_with = "some_share")]
    pub parity: Option<u32>,
    /// Judge also where most packs are missing, as if the storage were away ([`Error::StorageAway`]).
    pub accept_missing_packs: bool,
    /// Look at everything, write nothing.
    pub dry_run: bool,
}

impl PackRepairOptions {
    values::setters! {
        each packs: PackId;
        some parity: u32;
        is accept_missing_packs: bool;
        is dry_run: bool;
    }
}

fn packs<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<PackId>, D::Error> {
    values::from_texts(deserializer, |text| text.parse().map_err(|error| format!("{text:?}: {error}")))
}

fn some_share<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u32>, D::Error> {
    values::from_text(deserializer, parse_share).map(Some)
}

/// A pack of which something is damaged.
#[derive(Debug, Serialize)]
pub struct DamagedPack {
    /// Id of the damaged pack.
    pub id: PackId,
    /// How many frames it has.
    pub frames: u64,
    /// How many of them are lost.
    pub lost_frames: u64,
    /// Chunks that were copied out of it (or would be).
    #[serde(rename = "chunks_copied")]
    pub copied: u64,
    /// Chunks that lay in it and are nowhere else.
    pub lost_chunks: u64,
    /// Whether its parity brings all of it back, as it was written.
    pub mended: bool,
    /// What is wrong with it.
    pub problems: Vec<Error>,
    /// The numbers of the lost frames.
    #[serde(skip)]
    bad: Vec<u32>,
}

/// What was found, and what was done about it.
#[derive(Debug, Default, Serialize)]
pub struct PackRepair {
    /// Packs that were read.
    pub packs: u64,
    /// The packs that are damaged.
    pub damaged: Vec<DamagedPack>,
    /// Sound packs that a parity object was made for (or would be), since there was none or none that was sound.
    pub protected: u64,
}

/// Reads packs, and takes what is sound out of damaged ones into new ones: each frame is sealed by itself. Then the log
/// records that the damaged ones are lost, and a later prune deletes what is left of them. Of a pack that its parity
/// makes whole again, everything is sound. Sound packs get a parity object where one should be and is not, or is not sound.
///
/// # Errors
/// [`Error::StorageAway`] if most packs are missing; I/O errors and damaged objects of the repository.
pub fn repair_packs(
    repository: &Repository,
    options: &PackRepairOptions,
    progress: &dyn Progress,
) -> Result<PackRepair> {
    let share = options.parity.unwrap_or_else(|| repository.settings().parity());
    repository.catalog().rebuild()?;
    if !options.accept_missing_packs {
        repository.catalog().refuse_if_away()?;
    }
    if !options.dry_run {
        repository.config().keep()?;
        parity::set_share(repository, share)?;
    }
    if !options.dry_run {
        repository.reader().take_back_damage(&repository.catalog().damaged_packs())?;
    }
    let standing = repository.catalog().standing();
    let mut packs = Vec::new();
    for id in repository.catalog().index().pack_ids() {
        let Some(info) = repository.catalog().index().find_pack(&id)? else { continue };
        let meant = options.packs.is_empty() || options.packs.contains(&info.id);
        let left = (0..info.directory.frames.len()).any(|frame| standing.worth(&info.id, frame as u32) == Worth::Live);
        if meant && left {
            packs.push(id);
        }
    }
    progress.begin(Phase::CheckData, Some(packs.len() as u64), None);
    let pool = repository.runtime().compute()?;
    let found: Vec<PackFindings> = pool.install(|| look_at_all(repository, &packs, progress))?;
    let mut unprotected = Vec::new();
    for (pack, findings) in packs.iter().zip(&found) {
        if findings.is_sound() && !findings.gone && parity::is_due(&findings.parity, share) {
            unprotected.push(*pack);
        }
    }
    if !options.dry_run {
        pool.install(|| parity::renew(repository, &unprotected, progress))?;
    }
    let mut repair = PackRepair { packs: packs.len() as u64, damaged: Vec::new(), protected: unprotected.len() as u64 };
    let damaged: Vec<_> = packs.into_iter().zip(found).filter(|(_, findings)| !findings.problems.is_empty()).collect();
    if damaged.is_empty() {
        return Ok(repair);
    }
    let bad: HashSet<_> = damaged.iter().flat_map(|(_, findings)| findings.bad.iter().copied()).collect();
    let given_up: BTreeSet<PackId> = damaged.iter().map(|(pack, _)| *pack).collect();
    let without = repository.catalog().index().numbers_of(&given_up);
    let mut wanted = BTreeMap::new();
    for (pack, findings) in damaged {
        let Some(info) = repository.catalog().index().find_pack(&pack)? else { continue };
        let mut pack = DamagedPack {
            id: info.id,
            frames: info.directory.frames.len() as u64,
            lost_frames: findings.bad.len() as u64,
            copied: 0,
            lost_chunks: 0,
            mended: findings.mendable,
            problems: findings.problems,
            bad: findings.bad.iter().map(|(_, frame)| *frame).collect(),
        };
        for (at, (frame, chunks)) in info.directory.iter().enumerate() {
            let is_lost = bad.contains(&(info.id, at as u32)) || standing.is_damaged(&info.id, at as u32);
            for chunk in chunks {
                let elsewhere = repository.catalog().index().locate_live(&chunk.id)?;
                let mut elsewhere = elsewhere.iter().filter(|location| !without.contains(&location.pack));
                match (elsewhere.next(), is_lost) {
                    (Some(_), _) => {}
                    (None, false) => {
                        wanted.insert(chunk.id, (frame.kind, repair.damaged.len()));
                    }
                    (None, true) => pack.lost_chunks += 1,
                }
            }
        }
        repair.damaged.push(pack);
    }
    copy(repository, options, &wanted, &mut repair)?;
    if !options.dry_run {
        record(repository, &repair.damaged, &bad, &given_up)?;
    }
    Ok(repair)
}

/// Says in the log what is lost. Of a pack all of which that is not bad lies elsewhere, too, as of the state that the entry
/// follows, nothing counts any more. Of others only what is bad does not: they may hold the last copy of something, since
/// a prune may have condemned the new ones, and deltas may be read again once their bases come back.
fn record(
    repository: &Repository,
    damaged: &[DamagedPack],
    bad: &HashSet<BadFrame>,
    given_up: &BTreeSet<PackId>,
) -> Result<()> {
    repository.log().damaged(repository.catalog(), &mut |state| {
        repository.catalog().refresh()?;
        let inventory = Inventory::of_index(repository)?;
        let elsewhere = inventory.derive_sound(&state.standing, |pack, _| !given_up.contains(pack));
        let is_elsewhere = |chunk: &ChunkId| inventory.find(chunk).is_some_and(|chunk| elsewhere.has(chunk));
        let mut recorded = Vec::new();
        for pack in damaged {
            let Some(info) = repository.catalog().index().find_pack(&pack.id)? else { continue };
            let mut sound = info.directory.iter().enumerate().filter(|(at, _)| {
                !bad.contains(&(pack.id, *at as u32)) && !state.standing.is_damaged(&pack.id, *at as u32)
            });
            match sound.all(|(_, (_, chunks))| chunks.iter().all(|chunk| is_elsewhere(&chunk.id))) {
                true => recorded.push((pack.id, Vec::new())),
                false if pack.bad.is_empty() => {}
                false => recorded.push((pack.id, pack.bad.clone())),
            }
        }
        Ok(recorded)
    })?;
    Ok(())
}

/// Copies chunks into new packs that the log names.
fn copy(
    repository: &Repository,
    options: &PackRepairOptions,
    wanted: &BTreeMap<ChunkId, (crate::chunk::ChunkKind, usize)>,
    repair: &mut PackRepair,
) -> Result<()> {
    let writer = if options.dry_run { None } else { Some(Writer::new(repository)?) };
    let mut copies = writer.as_ref().map(Copies::new).transpose()?;
    for (id, (kind, pack)) in wanted {
        let Some(pack) = repair.damaged.get_mut(*pack) else { continue };
        match (repository.get(id), &mut copies) {
            (Ok(bytes), Some(copies)) => {
                copies.add(*kind, PlainChunk { id: *id, bytes: bytes.to_vec() })?;
                pack.copied += 1;
            }
            (Ok(_), None) => pack.copied += 1,
            // What it is a difference to is lost.
            (Err(error), _) if error.is_damage() => {
                pack.lost_chunks += 1;
            }
            (Err(error), _) => return Err(error),
        }
    }
    if let Some(copies) = copies {
        copies.finish()?;
    }
    writer.map_or(Ok(()), |writer| writer.name_stored())
}

/// What is wrong with these packs, on all threads of the pool that this runs in. What a prune condemned meanwhile is as
/// good as gone, and nothing is wrong with it.
///
/// # Errors
/// Also if anything could not be read: what the log has as lost stays so, and that a disk or a network did not answer is no
/// reason to say it.
pub(super) fn look_at_all(
    repository: &Repository,
    packs: &[PackId],
    progress: &dyn Progress,
) -> Result<Vec<PackFindings>> {
    let look = |pack: &PackId| {
        repository.runtime().go_on()?;
        let findings = look_twice(repository, pack);
        progress.files(1);
        findings
    };
    let mut found: Vec<PackFindings> = packs.par_iter().map(look).collect::<Result<_>>()?;
    drop_condemned(repository, packs, &mut found)?;
    match found.iter_mut().find_map(|findings| findings.unread.take()) {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

/// What is wrong with a pack, if it is so again when it is read a second time: an error on the way from the disk must not
/// get into the log.
///
/// What its parity restores is not bad, but the pack is.
fn look_twice(repository: &Repository, pack: &PackId) -> Result<PackFindings> {
    let standing = repository.catalog().standing();
    let first = check_pack(repository, pack, &standing)?;
    if first.is_sound() {
        return Ok(first);
    }
    let mut second = check_pack(repository, pack, &standing)?;
    // Beside one problem for each frame there may be one with the pack as such.
    let of_pack = second.problems.len() > second.bad.len();
    second.bad.retain(|bad| first.bad.contains(bad));
    if second.bad.is_empty() && !of_pack {
        second.problems.clear();
    }
    Ok(second)
}
