//! Making index objects anew from the directories of the packs.

use crate::backend::Kind;
use crate::error::{Error, Result};
use crate::id::{IndexId, PackId};
use crate::progress::{Phase, Progress};
use crate::repository::{ReadDirectories, Repository};

/// What was found, and what was done about it.
#[derive(Debug, Default)]
pub struct IndexRepair {
    /// Index objects that the log names and that cannot be read.
    pub lost: Vec<(IndexId, Error)>,
    /// Packs that new index objects name (or would).
    pub packs: u64,
    /// Chunks in them.
    pub chunks: u64,
    /// Packs that no index object names and whose own directory is not sound either: nothing in them can be found.
    pub unsound: Vec<(PackId, Error)>,
    /// The new index objects.
    pub added: Vec<IndexId>,
    /// Index objects that are not read any more.
    pub superseded: u64,
}

/// Makes lost index objects anew. With `all`, all of them are made anew, from the packs alone.
///
/// # Errors
/// Those of the repository.
pub fn repair_index(repository: &Repository, all: bool, dry_run: bool, progress: &dyn Progress) -> Result<IndexRepair> {
    progress.begin(Phase::Index, None, None);
    // The cache may still have what a lost object said.
    repository.rebuild_index()?;
    let mut repair = IndexRepair { lost: repository.lost_indexes()?, ..IndexRepair::default() };
    if !dry_run {
        // Repositories of before there were two get the second one.
        repository.keep_config()?;
    }
    if repair.lost.is_empty() && !all {
        return Ok(repair);
    }
    let packs = match all {
        true => all_packs(repository)?,
        false => repository.unnamed_packs()?,
    };
    progress.begin(Phase::Repair, Some(packs.len() as u64), None);
    let mut infos = Vec::with_capacity(packs.len());
    for part in packs.chunks(64) {
        let read = repository.read_directories(part)?;
        infos.extend(read.sound);
        for (id, error) in read.unsound {
            // An index object may have a sound copy of its directory.
            match repository.index().pack_number(&id).map(|number| repository.index().pack(number)) {
                Some(Ok(info)) => infos.push((*info).clone()),
                _ => repair.unsound.push((id, error)),
            }
        }
        progress.files(part.len() as u64);
    }
    let ReadDirectories { sound: infos, unsound } = repository.prove_packs(infos)?;
    repair.unsound.extend(unsound);
    repair.packs = infos.len() as u64;
    repair.chunks = infos.iter().map(|info| info.directory.chunks.len() as u64).sum();
    let superseded: Vec<IndexId> = match all {
        true => repository.state().indexes.iter().copied().collect(),
        false => repair.lost.iter().map(|(id, _)| *id).collect(),
    };
    repair.superseded = superseded.len() as u64;
    if !dry_run {
        repair.added = repository.publish_packs(&infos)?;
        repository.replace_indexes(&repair.added, &superseded)?;
    }
    Ok(repair)
}

/// All packs that are there and not condemned.
fn all_packs(repository: &Repository) -> Result<Vec<(PackId, u64)>> {
    let standing = repository.standing();
    let mut packs = Vec::new();
    repository.backend().list(Kind::Pack, &mut |name, length| {
        packs.extend(name.file().parse().ok().filter(|id| !standing.is_condemned(id)).map(|id| (id, length)));
        Ok(())
    })?;
    packs.sort_unstable();
    Ok(packs)
}
