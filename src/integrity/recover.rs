//! `recover`: finds snapshots in the packs, where the log that named them is lost.

use std::collections::HashSet;

use crate::chunk::{ChunkKind, ChunkSource};
use crate::error::{Context, Error, Result};
use crate::graph::Closure;
use crate::id::{ChunkId, PackId, SnapshotId};
use crate::progress::{Phase, Progress};
use crate::snapshot::SnapshotRoot;
use crate::store::ATTEMPTS;
use crate::store::{Catalogue, LogDamage, RebuiltLog, Repository};

/// A snapshot whose root lies in a pack and that the log does not name.
#[derive(Debug)]
pub struct Candidate {
    /// What its root says. Tags that were changed later are not known.
    pub root: SnapshotRoot,
    /// The chunk that holds the root.
    pub chunk: ChunkId,
    /// The log says that it was removed.
    pub forgotten: bool,
    /// Files of which something is lost, and rows of its manifest that are.
    pub lost: u64,
    /// All of it but the root is lost.
    pub hopeless: bool,
}

impl Candidate {
    /// Whether nothing of it is lost.
    pub fn is_whole(&self) -> bool {
        !self.hopeless && self.lost == 0
    }
}

/// What was found in the packs.
#[derive(Debug, Default)]
pub struct Found {
    /// Snapshots that the log does not name, by their time.
    pub candidates: Vec<Candidate>,
    /// Snapshots that it names.
    pub known: u64,
    /// Roots that cannot be read, and why.
    pub unreadable: Vec<(ChunkId, Error)>,
    /// Packs whose directory cannot be read and that no index object names.
    pub unsound: Vec<(PackId, Error)>,
}

/// Looks for snapshots in all packs. Nothing is written.
///
/// # Errors
/// I/O errors of the repository; not those that mean that something is lost.
pub fn find_snapshots(repository: &Repository, progress: &dyn Progress) -> Result<Found> {
    progress.begin(Phase::Index, None, None);
    repository.rebuild_index()?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let before = repository.state();
        let found = look(repository, progress)?;
        let is_clean = found.candidates.is_empty() && found.unreadable.is_empty() && found.unsound.is_empty();
        // Who is at work beside this may have named by now what looked lost, or deleted it by right.
        let moved = match repository.has_moved(&before) {
            // The log is broken: nobody goes on behind the break.
            Err(error) if error.is_damage() => false,
            moved => moved?,
        };
        if is_clean || attempts >= ATTEMPTS || !moved {
            return Ok(found);
        }
    }
}

fn look(repository: &Repository, progress: &dyn Progress) -> Result<Found> {
    let mut found = Found { unsound: repository.adopt_all_locally()?, ..Found::default() };
    let state = repository.state();
    let (mut met, mut roots) = (HashSet::new(), Vec::new());
    for number in repository.index().pack_numbers() {
        let Some(info) = repository.index().numbered(number)? else { continue };
        let frames = info.directory.iter().filter(|(frame, _)| frame.kind == ChunkKind::Root);
        roots.extend(frames.flat_map(|(_, chunks)| chunks).map(|chunk| chunk.id).filter(|id| met.insert(*id)));
    }
    progress.begin(Phase::CheckStructure, Some(roots.len() as u64), None);
    let bad = HashSet::new();
    let closure = Closure::new(repository, Catalogue::of_index(repository)?, &state.standing, &bad);
    for chunk in roots {
        progress.files(1);
        let read =
            repository.get(&chunk).and_then(|bytes| SnapshotRoot::decode(&bytes).in_object("the root of a snapshot"));
        let root = match read {
            Ok(root) => root,
            Err(error) if error.is_damage() || matches!(error, Error::Unsupported { .. }) => {
                found.unreadable.push((chunk, error));
                continue;
            }
            Err(error) => return Err(error),
        };
        if state.snapshots.iter().any(|record| record.id == root.id) {
            found.known += 1;
            continue;
        }
        let followed = closure.manifest(&root, &mut |_| Ok(()))?;
        let forgotten = state.removed.iter().any(|removed| removed.record.id == root.id);
        let lost = followed.files.saturating_add(followed.rows);
        found.candidates.push(Candidate { root, chunk, forgotten, lost, hopeless: followed.all });
    }
    found.candidates.sort_by_key(|candidate| candidate.root.time);
    Ok(found)
}

/// Names snapshots that were found in the log again.
///
/// # Errors
/// I/O errors and damaged objects of the repository.
pub fn bring_back<'c>(
    repository: &Repository,
    candidates: impl IntoIterator<Item = &'c Candidate>,
) -> Result<Vec<SnapshotId>> {
    let (removed, lost): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| candidate.forgotten);
    let lost: Vec<_> = lost.iter().map(|candidate| (candidate.root.id, candidate.chunk)).collect();
    // What is recorded as damaged and is whole again, they may rest on.
    if repository.log_gap().is_ok_and(|gap| gap.is_none()) {
        repository.take_back_damage(&repository.damaged_packs())?;
    }
    repository.add_found(&lost)?;
    let removed: Vec<SnapshotId> = removed.iter().map(|candidate| candidate.root.id).collect();
    // What a prune has condemned since has to be copied for these.
    repository.revive(&removed)?;
    Ok(lost.into_iter().map(|(id, _)| id).chain(removed).collect())
}

/// Makes a broken log whole, with these snapshots in it.
///
/// # Errors
/// I/O errors and damaged objects of the repository.
pub fn bring_back_and_mend<'c>(
    repository: &Repository,
    damage: &LogDamage,
    candidates: impl IntoIterator<Item = &'c Candidate>,
) -> Result<RebuiltLog> {
    let (removed, lost): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| candidate.forgotten);
    let lost: Vec<_> = lost.iter().map(|candidate| (candidate.root.id, candidate.chunk)).collect();
    let rebuilt = repository.rebuild_log(damage, &lost)?;
    bring_back(repository, removed)?;
    Ok(rebuilt)
}
