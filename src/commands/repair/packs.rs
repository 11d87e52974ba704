//! Taking what is sound out of damaged packs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rayon::prelude::*;

use super::parity;
use crate::chunk::ChunkSource;
use crate::commands::check::{PackFindings, check_pack};
use crate::error::{Error, Result};
use crate::id::{ChunkId, PackId};
use crate::index::Worth;
use crate::pack::PlainChunk;
use crate::progress::{Phase, Progress};
use crate::repository::{Copies, Repository, Writer};

/// Which packs are looked at, and how.
#[derive(Debug, Clone)]
pub struct PackRepairOptions {
    /// These; all if there are none.
    pub packs: Vec<PackId>,
    /// From now on new packs get so much redundancy, in thousandths of their length; as it is set if none.
    pub parity: Option<u32>,
    /// Look at everything, write nothing.
    pub dry_run: bool,
    /// How many packs are read at once.
    pub threads: usize,
}

/// A pack of which something is damaged.
#[derive(Debug)]
pub struct DamagedPack {
    /// Its name.
    pub id: PackId,
    /// How many frames it has.
    pub frames: u64,
    /// How many of them are lost.
    pub lost_frames: u64,
    /// Chunks that were copied out of it (or would be).
    pub copied: u64,
    /// Chunks that lay in it and are nowhere else.
    pub lost_chunks: u64,
    /// Whether its parity brings all of it back, as it was written.
    pub mended: bool,
    /// What is wrong with it.
    pub problems: Vec<Error>,
    /// The numbers of the lost frames.
    bad: Vec<u32>,
    /// Differences to chunks that are lost: whole themselves, they may be read again once those come back.
    waiting: u64,
}

/// What was found, and what was done about it.
#[derive(Debug, Default)]
pub struct PackRepair {
    /// Packs that were read.
    pub packs: u64,
    /// Those of which something is damaged.
    pub damaged: Vec<DamagedPack>,
    /// Sound packs that a parity object was made for (or would be), since there was none or none that was sound.
    pub protected: u64,
}

/// Reads packs, and takes what is sound out of damaged ones into new ones: each frame is sealed by itself. Then the log
/// gets to know that the damaged ones are lost, and a later prune deletes what is left of them. Of a pack that its parity
/// makes whole again, everything is sound. Sound packs get a parity object where one should be and is not, or is not sound.
///
/// # Errors
/// Those of the repository.
pub fn repair_packs(
    repository: &Repository,
    options: &PackRepairOptions,
    progress: &dyn Progress,
) -> Result<PackRepair> {
    let share = options.parity.unwrap_or_else(|| repository.settings().parity());
    if !options.dry_run {
        parity::set_share(repository, share)?;
    }
    repository.rebuild_index()?;
    let standing = repository.standing();
    let mut numbers = Vec::new();
    for number in repository.index().pack_numbers() {
        let info = repository.index().pack(number)?;
        let meant = options.packs.is_empty() || options.packs.contains(&info.id);
        let left = (0..info.directory.frames.len()).any(|frame| standing.worth(&info.id, frame as u32) == Worth::Live);
        if meant && left {
            numbers.push(number);
        }
    }
    progress.begin(Phase::CheckData, Some(numbers.len() as u64), None);
    let pool = crate::commands::threads::pool(options.threads.max(1))?;
    let found: Vec<(u32, PackFindings)> = pool.install(|| {
        let look = |number: &u32| {
            let findings = look_twice(repository, *number);
            progress.files(1);
            findings.map(|findings| (*number, findings))
        };
        numbers.par_iter().map(look).collect::<Result<_>>()
    })?;
    let mut unprotected = Vec::new();
    for (number, findings) in &found {
        if findings.problems.is_empty() && parity::is_due(&findings.parity, share) {
            unprotected.push(repository.index().pack(*number)?.id);
        }
    }
    if !options.dry_run {
        pool.install(|| parity::renew(repository, &unprotected, progress))?;
    }
    let mut repair =
        PackRepair { packs: numbers.len() as u64, damaged: Vec::new(), protected: unprotected.len() as u64 };
    let damaged: Vec<_> = found.into_iter().filter(|(_, findings)| !findings.problems.is_empty()).collect();
    if damaged.is_empty() {
        return Ok(repair);
    }
    let bad: HashSet<_> = damaged.iter().flat_map(|(_, findings)| findings.bad.iter().copied()).collect();
    let given_up: BTreeSet<u32> = damaged.iter().map(|(number, _)| *number).collect();
    let mut wanted = BTreeMap::new();
    for (number, findings) in damaged {
        let info = repository.index().pack(number)?;
        let mut pack = DamagedPack {
            id: info.id,
            frames: info.directory.frames.len() as u64,
            lost_frames: findings.bad.len() as u64,
            copied: 0,
            lost_chunks: 0,
            mended: findings.mendable,
            problems: findings.problems,
            bad: findings.bad.iter().map(|(_, frame)| *frame).collect(),
            waiting: 0,
        };
        for (at, (frame, chunks)) in info.directory.iter().enumerate() {
            let is_lost = bad.contains(&(info.id, at as u32)) || standing.is_damaged(&info.id, at as u32);
            for chunk in chunks {
                let elsewhere = repository.index().locate_live(&chunk.id)?;
                let mut elsewhere = elsewhere.iter().filter(|location| !given_up.contains(&location.pack));
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
        let record = |pack: &DamagedPack| match pack.waiting {
            0 => Some((pack.id, Vec::new())),
            _ => (!pack.bad.is_empty()).then(|| (pack.id, pack.bad.clone())),
        };
        repository.record_damage(&repair.damaged.iter().filter_map(record).collect::<Vec<_>>())?;
    }
    Ok(repair)
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
                pack.waiting += 1;
            }
            (Err(error), _) => return Err(error),
        }
    }
    if let Some(copies) = copies {
        copies.finish()?;
    }
    writer.map_or(Ok(()), |writer| writer.name_stored())
}

/// What is wrong with a pack, if it is so again when it is read a second time. What the log has as lost stays so for
/// good: an error on the way from the disk must not make it say that. Nor is a difference lost whose bases are.
///
/// What its parity brings back is not bad, but the pack is.
pub(super) fn look_twice(repository: &Repository, number: u32) -> Result<PackFindings> {
    let standing = repository.standing();
    let first = check_pack(repository, number, &standing)?;
    if first.problems.is_empty() {
        return Ok(first);
    }
    let mut second = check_pack(repository, number, &standing)?;
    // Beside one problem for each frame there may be one with the pack as such.
    let of_pack = second.problems.len() > second.bad.len();
    let info = repository.index().pack(number)?;
    let cipher = info.cipher(repository.id(), repository.keyring())?;
    let opens = |frame: u32| {
        let Some(listed) = info.directory.frames.get(frame as usize).filter(|listed| !listed.bases.is_empty()) else {
            return false;
        };
        let sealed = repository.backend().read_range(&info.name(), u64::from(listed.offset), listed.stored as usize);
        sealed.and_then(|sealed| info.unseal(&cipher, frame as usize, sealed)).is_ok()
    };
    second.bad.retain(|bad| first.bad.contains(bad) && !opens(bad.1));
    if second.bad.is_empty() && !of_pack {
        second.problems.clear();
    }
    Ok(second)
}
