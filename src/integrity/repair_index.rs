//! Rebuilding index objects from the directories of the packs.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::id::{IndexId, PackId};
use crate::progress::{Phase, Progress};
use crate::report;
use crate::storage::Kind;
use crate::store::ATTEMPTS;
use crate::store::{ReadDirectories, Repository};

/// What was found, and what was done about it.
#[derive(Debug, Default, Serialize)]
pub struct IndexRepair {
    /// Index objects that the log names and that cannot be read.
    #[serde(serialize_with = "report::ids")]
    pub lost: Vec<(IndexId, Error)>,
    /// Packs that new index objects name (or would).
    pub packs: u64,
    /// Chunks in them.
    pub chunks: u64,
    /// Packs that no index object names and whose own directory is not sound either: nothing in them can be found.
    #[serde(rename = "unsound_packs", serialize_with = "report::ids")]
    pub unsound: Vec<(PackId, Error)>,
    /// The new index objects.
    pub added: Vec<IndexId>,
    /// Index objects that are not read any more.
    pub superseded: u64,
    /// Checkpoints that are not what the log comes to: they were deleted (or would be).
    pub unsound_checkpoints: u64,
    /// Packs of which the log had something as damaged, and that are whole: it says so now (or would be looked into).
    pub taken_back: Vec<PackId>,
}

/// Rebuilds lost index objects. With `all`, all of them are rebuilt, from the packs alone.
///
/// # Errors
/// I/O errors and damaged objects of the repository.
pub fn repair_index(repository: &Repository, all: bool, dry_run: bool, progress: &dyn Progress) -> Result<IndexRepair> {
    progress.begin(Phase::Index, None, None);
    // The cache may still have what a lost object said.
    repository.catalog().rebuild()?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let before = repository.state();
        let repair = attempt(repository, all, dry_run, progress)?;
        // Beside a prune, an object or a pack may be gone by right.
        let is_clean = repair.lost.is_empty() && repair.unsound.is_empty();
        if is_clean || !repair.added.is_empty() || attempts >= ATTEMPTS || !repository.catalog().has_moved(&before)? {
            return Ok(repair);
        }
    }
}

fn attempt(repository: &Repository, all: bool, dry_run: bool, progress: &dyn Progress) -> Result<IndexRepair> {
    repository.catalog().refresh()?;
    let taken_back = match dry_run {
        true => Vec::new(),
        false => repository.reader().take_back_damage(&repository.catalog().damaged_packs())?,
    };
    let unsound = match repository.log().history() {
        // That is not known where the log does not say it.
        Err(error) if error.is_damage() => Vec::new(),
        history => history?.unsound_checkpoints,
    };
    if !dry_run {
        repository.log().delete_checkpoints(&unsound)?;
    }
    let before = repository.state();
    let mut repair = IndexRepair { lost: repository.catalog().lost_indexes()?, taken_back, ..IndexRepair::default() };
    repair.unsound_checkpoints = unsound.len() as u64;
    if !repair.lost.is_empty() && repository.catalog().has_moved(&before)? {
        // Others took their place, maybe.
        repair.lost = repository.catalog().lost_indexes()?;
    }
    if !dry_run {
        // Repositories of before there were two get the second one.
        repository.config().keep()?;
    }
    if repair.lost.is_empty() && !all {
        return Ok(repair);
    }
    // Read before the packs are listed: what others name from here on is not among those.
    let mut superseded: Vec<IndexId> = match all {
        true => repository.state().indexes.iter().copied().collect(),
        false => repair.lost.iter().map(|(id, _)| *id).collect(),
    };
    let packs = match all {
        true => all_packs(repository)?,
        false => repository.catalog().unnamed_packs()?,
    };
    progress.begin(Phase::Repair, Some(packs.len() as u64), None);
    let mut infos = Vec::with_capacity(packs.len());
    for part in packs.chunks(64) {
        let read = repository.packs().read_directories(part)?;
        infos.extend(read.sound);
        for (id, error) in read.unsound {
            // An index object may have a sound copy of its directory.
            match repository.catalog().index().find_pack(&id)? {
                Some(info) => infos.push((*info).clone()),
                // Deleted since it was listed.
                None if matches!(error, Error::ObjectMissing { .. }) => {}
                None => repair.unsound.push((id, error)),
            }
        }
        progress.files(part.len() as u64);
    }
    let ReadDirectories { sound: infos, unsound } = repository.reader().prove_packs(infos)?;
    repair.unsound.extend(unsound);
    repair.packs = infos.len() as u64;
    repair.chunks = infos.iter().map(|info| info.directory.chunks.len() as u64).sum();
    // An object goes only if all that it says of packs that count is said again.
    let (named, standing): (BTreeSet<PackId>, _) =
        (infos.iter().map(|info| info.id).collect(), repository.catalog().standing());
    let is_said = |object: &IndexId| match repository.catalog().read_index_object(object) {
        Ok(packs) => Ok(packs.iter().all(|info| named.contains(&info.id) || standing.is_condemned(&info.id))),
        Err(error) if error.is_damage() => Ok(true),
        Err(error) => Err(error),
    };
    let mut said = Vec::with_capacity(superseded.len());
    for object in superseded.drain(..) {
        if is_said(&object)? {
            said.push(object);
        }
    }
    let superseded = said;
    repair.superseded = superseded.len() as u64;
    if !dry_run {
        repair.added = repository.catalog().publish_packs(&infos)?;
        repository.catalog().replace_indexes(&repair.added, &superseded)?;
    }
    Ok(repair)
}

/// All packs that are there and not condemned.
fn all_packs(repository: &Repository) -> Result<Vec<(PackId, u64)>> {
    let standing = repository.catalog().standing();
    let mut packs = Vec::new();
    repository.backend().for_each(Kind::Pack, &mut |meta| {
        packs.extend(meta.name.file().parse().ok().filter(|id| !standing.is_condemned(id)).map(|id| (id, meta.size)));
    })?;
    // A listing proves nothing: what an index object names is named again.
    let listed: BTreeSet<PackId> = packs.iter().map(|(id, _)| *id).collect();
    let named = repository.catalog().index().packs_known().into_iter();
    packs.extend(named.filter(|(id, _)| !listed.contains(id) && !standing.is_condemned(id)));
    packs.sort_unstable();
    Ok(packs)
}
