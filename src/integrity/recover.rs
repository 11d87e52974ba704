//! `recover`: finds snapshots in the packs, where the log that named them is lost.

use std::collections::{BTreeMap, HashSet};

use serde::ser::{Serialize, Serializer};

use crate::chunk::{ChunkKind, ChunkSource};
use crate::error::{Context, Error, Result};
use crate::graph::Closure;
use crate::id::{ChunkId, PackId, SnapshotId};
use crate::progress::{Phase, Progress};
use crate::snapshot::SnapshotRoot;
use crate::store::{
    ATTEMPTS, Inventory, LogDamage, RebuiltLog, Repository, RootReplacement, SnapshotRecord, add_found, rebuild_log,
    replace_by_found,
};

/// A snapshot whose root lies in a pack and that the log does not name.
#[derive(Debug)]
pub struct Candidate {
    /// What its root says. Tags that were changed later are not known.
    pub root: SnapshotRoot,
    /// The chunk that holds the root.
    pub chunk: ChunkId,
    /// The log says that it was removed.
    pub forgotten: bool,
    /// The root by which the log names the snapshot, where something of that is lost and this one is a later one.
    pub replaces: Option<ChunkId>,
    /// Files of which something is lost, and rows of its manifest that are.
    pub lost: u64,
    /// All of it but the root is lost.
    pub nothing_left: bool,
}

impl Candidate {
    /// Whether all of it can be read.
    pub fn is_whole(&self) -> bool {
        !self.nothing_left && self.lost == 0
    }

    fn replacement(&self) -> Option<RootReplacement> {
        Some(RootReplacement { snapshot: self.root.id, old: self.replaces?, new: self.chunk })
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
    repository.catalog().rebuild()?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let before = repository.state();
        let found = look(repository, progress)?;
        let is_clean = found.candidates.is_empty() && found.unreadable.is_empty() && found.unsound.is_empty();
        // Another process may have named meanwhile what looked lost, or deleted it by right.
        let moved = match repository.catalog().has_moved(&before) {
            // The log is broken: nothing is appended after the break.
            Err(error) if error.is_damage() => false,
            moved => moved?,
        };
        if is_clean || attempts >= ATTEMPTS || !moved {
            return Ok(found);
        }
    }
}

fn look(repository: &Repository, progress: &dyn Progress) -> Result<Found> {
    let mut found = Found { unsound: repository.catalog().adopt_all_locally()?, ..Found::default() };
    let state = repository.state();
    let (mut met, mut roots) = (HashSet::new(), Vec::new());
    for number in repository.catalog().index().pack_numbers() {
        let Some(info) = repository.catalog().index().numbered(number)? else { continue };
        let frames = info.directory.iter().filter(|(frame, _)| frame.kind == ChunkKind::Root);
        roots.extend(frames.flat_map(|(_, chunks)| chunks).map(|chunk| chunk.id).filter(|id| met.insert(*id)));
    }
    progress.begin(Phase::CheckStructure, Some(roots.len() as u64), None);
    let bad = HashSet::new();
    let closure = Closure::new(repository, Inventory::of_index(repository)?, &state.standing, &bad);
    let mut by_snapshot: BTreeMap<SnapshotId, Vec<FoundRoot>> = BTreeMap::new();
    for chunk in roots {
        progress.files(1);
        let read =
            repository.get(&chunk).and_then(|bytes| SnapshotRoot::decode(&bytes).in_object("the root of a snapshot"));
        match read {
            // A part of a run is made again, or was merged.
            Ok(root) if !root.id.is_whole() => {}
            Ok(root) => by_snapshot.entry(root.id).or_default().push(FoundRoot { root, chunk }),
            Err(error) if error.is_damage() || matches!(error, Error::Unsupported { .. }) => {
                found.unreadable.push((chunk, error));
            }
            Err(error) => return Err(error),
        }
    }
    for (id, roots) in by_snapshot {
        let record = state.snapshots.iter().find(|record| record.id == id);
        let removed = state.removed.iter().find(|removed| removed.record.id == id);
        found.known += u64::from(record.is_some());
        found.candidates.extend(match record {
            Some(record) => later_root(&closure, record, roots)?,
            None => Some(best_root(&closure, roots, removed.map(|removed| &removed.record))?),
        });
    }
    found.candidates.sort_by_key(|candidate| candidate.root.time);
    Ok(found)
}

/// A root that lies in a pack.
struct FoundRoot {
    root: SnapshotRoot,
    chunk: ChunkId,
}

impl FoundRoot {
    fn judged(self, closure: &Closure<'_>) -> Result<Candidate> {
        let followed = closure.manifest(&self.root, &mut |_| Ok(()))?;
        let lost = followed.files.saturating_add(followed.rows);
        let (root, chunk) = (self.root, self.chunk);
        Ok(Candidate { root, chunk, forgotten: false, replaces: None, lost, nothing_left: followed.all })
    }
}

/// Which of several roots of one snapshot is meant, where the log does not say it: the one that it named last; else one with
/// content that was changed on purpose rather than what was before that, one that is whole rather than one that is not, and
/// the later one.
fn best_root(closure: &Closure<'_>, roots: Vec<FoundRoot>, named: Option<&SnapshotRecord>) -> Result<Candidate> {
    let mut best: Option<Candidate> = None;
    for root in roots {
        let candidate = root.judged(closure)?;
        let rank = |candidate: &Candidate| {
            let is_named = named.is_some_and(|record| record.root == candidate.chunk);
            (is_named, candidate.root.altered, candidate.is_whole(), candidate.root.revision, candidate.chunk)
        };
        if best.as_ref().is_none_or(|best| rank(&candidate) > rank(best)) {
            best = Some(candidate);
        }
    }
    let mut best = best.ok_or(Error::WorkerStopped)?;
    best.forgotten = named.is_some();
    Ok(best)
}

/// A later root of a snapshot that the log names by an earlier one, of which something is lost: an entry that replaced the
/// root is lost, or was never appended. One that is not whole is no help.
fn later_root(closure: &Closure<'_>, record: &SnapshotRecord, mut roots: Vec<FoundRoot>) -> Result<Option<Candidate>> {
    let named = roots.iter().find(|found| found.chunk == record.root).map(|found| found.root.revision);
    roots.retain(|found| found.chunk != record.root && named.is_none_or(|named| found.root.revision > named));
    if roots.is_empty() || !closure.snapshot(record, &mut |_| Ok(()))?.is_damaged() {
        return Ok(None);
    }
    let best = best_root(closure, roots, None)?;
    Ok(best.is_whole().then_some(Candidate { replaces: Some(record.root), ..best }))
}

/// Names snapshots that were found in the log again.
///
/// # Errors
/// I/O errors and damaged objects of the repository.
pub fn bring_back<'c>(
    repository: &Repository,
    candidates: impl IntoIterator<Item = &'c Candidate>,
) -> Result<Vec<SnapshotId>> {
    let Sorted { removed, replaced, lost } = Sorted::new(candidates);
    // What is recorded as damaged and is whole again, they may rest on.
    if repository.log().gap().is_ok_and(|gap| gap.is_none()) {
        repository.reader().take_back_damage(&repository.catalog().damaged_packs())?;
    }
    add_found(repository, &lost)?;
    let removed: Vec<SnapshotId> = removed.iter().map(|candidate| candidate.root.id).collect();
    // What a prune has condemned since has to be copied for these.
    repository.revive(&removed)?;
    let roots: Vec<RootReplacement> = replaced.iter().filter_map(|candidate| candidate.replacement()).collect();
    let replaced = replace_by_found(repository, &roots)?;
    Ok(lost.into_iter().map(|(id, _)| id).chain(removed).chain(replaced).collect())
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
    let Sorted { removed, replaced, lost } = Sorted::new(candidates);
    let rebuilt = rebuild_log(repository, damage, &lost)?;
    bring_back(repository, removed.into_iter().chain(replaced))?;
    Ok(rebuilt)
}

/// Candidates by what has to be done about them.
struct Sorted<'c> {
    removed: Vec<&'c Candidate>,
    replaced: Vec<&'c Candidate>,
    lost: Vec<(SnapshotId, ChunkId)>,
}

impl<'c> Sorted<'c> {
    fn new(candidates: impl IntoIterator<Item = &'c Candidate>) -> Self {
        let mut sorted = Self { removed: Vec::new(), replaced: Vec::new(), lost: Vec::new() };
        for candidate in candidates {
            match candidate {
                Candidate { forgotten: true, .. } => sorted.removed.push(candidate),
                Candidate { replaces: Some(_), .. } => sorted.replaced.push(candidate),
                _ => sorted.lost.push((candidate.root.id, candidate.chunk)),
            }
        }
        sorted
    }
}

impl Serialize for Candidate {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Row<'a> {
            #[serde(flatten)]
            root: &'a SnapshotRoot,
            lost: u64,
            nothing_left: bool,
            forgotten: bool,
            replaces_root: bool,
        }
        let Self { root, lost, nothing_left, forgotten, replaces, .. } = self;
        let (lost, nothing_left, forgotten) = (*lost, *nothing_left, *forgotten);
        Row { root, lost, nothing_left, forgotten, replaces_root: replaces.is_some() }.serialize(serializer)
    }
}
