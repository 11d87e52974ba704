//! Which removals would lose the last sound state of a file. An export that was cut off looks like any other file the next
//! night, and the nights after that; a policy would thin out the nights before it until only torn ones are left.

use std::collections::{BTreeSet, HashSet};

use crate::chunk::ChunkSource;
use crate::error::{Context, Result};
use crate::id::{ChunkId, ContentHash, SnapshotId};
use crate::recipe::Reference;
use crate::repository::Repository;
use crate::snapshot::entry::{AvroState, FileEntry};
use crate::snapshot::{SnapshotRoot, decode_row};

/// A file of which only torn or damaged states would be left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundLoss {
    /// The last snapshot in which it was sound.
    pub snapshot: SnapshotId,
    /// The file, as manifests write paths.
    pub path: Vec<u8>,
    /// A snapshot that stays and holds it torn or damaged.
    pub later: SnapshotId,
    /// How it is there.
    pub state: AvroState,
}

impl std::fmt::Display for SoundLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (path, later) = (String::from_utf8_lossy(&self.path), self.later.short());
        write!(f, "last with a sound {path} ({} in {later})", self.state.name())
    }
}

fn is_broken(state: AvroState) -> bool {
    matches!(state, AvroState::Torn | AvroState::Damaged)
}

/// What would be lost if `removed` went. `snapshots` are all that there are, the oldest first. A file is followed by its
/// path through the snapshots of one series. Its last sound state must stay (in any snapshot of the series) as long as a
/// snapshot stays that holds it torn or damaged, and none later that holds it sound.
pub(super) fn losses(
    repository: &Repository,
    snapshots: &[SnapshotRoot],
    removed: &HashSet<SnapshotId>,
) -> Result<Vec<SoundLoss>> {
    let touched: BTreeSet<&str> =
        snapshots.iter().filter(|root| removed.contains(&root.id)).map(|root| &*root.series).collect();
    let mut losses = Vec::new();
    for series in touched {
        let own: Vec<_> = snapshots.iter().filter(|root| root.series == series).collect();
        let mut broken = Broken { repository, seen: HashSet::new(), paths: BTreeSet::new() };
        for root in own.iter().filter(|root| !removed.contains(&root.id)) {
            if let Some(tree) = &root.manifest {
                broken.below(&tree.root, tree.levels())?;
            }
        }
        for path in broken.paths {
            losses.extend(loss_of(repository, &own, removed, path)?);
        }
    }
    Ok(losses)
}

/// The paths that are torn or damaged in any of the manifests that were walked.
struct Broken<'a> {
    repository: &'a Repository,
    /// What was walked already, in this manifest or another.
    seen: HashSet<ChunkId>,
    paths: BTreeSet<Vec<u8>>,
}

impl Broken<'_> {
    fn below(&mut self, reference: &Reference, level: u8) -> Result<()> {
        if !self.seen.insert(reference.id) {
            return Ok(());
        }
        if level > 0 {
            for child in or_nothing(reference.children(self.repository))?.unwrap_or_default() {
                self.below(&child, level - 1)?;
            }
            return Ok(());
        }
        let Some(bytes) = or_nothing(self.repository.get(&reference.id))? else { return Ok(()) };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Some(row) = or_nothing(decode_row(&mut rest).in_object("a chunk of rows"))? else { break };
            if row.avro.is_some_and(|facts| is_broken(facts.state)) {
                self.paths.insert(row.path);
            }
        }
        Ok(())
    }
}

/// What is lost or damaged in the repository itself can tell nothing, and must not keep snapshots from being removed.
fn or_nothing<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

fn loss_of(
    repository: &Repository,
    snapshots: &[&SnapshotRoot],
    removed: &HashSet<SnapshotId>,
    path: Vec<u8>,
) -> Result<Option<SoundLoss>> {
    let mut broken: Option<(SnapshotId, AvroState)> = None;
    let mut last_sound: Option<(SnapshotId, Option<ContentHash>)> = None;
    let mut sound_kept: HashSet<Option<ContentHash>> = HashSet::new();
    for root in snapshots.iter().rev() {
        let row: Option<FileEntry> = or_nothing(root.rows(repository).find(&path))?.flatten();
        let Some((content, facts)) = row.and_then(|row| Some((row.content, row.avro?))) else { continue };
        let stays = !removed.contains(&root.id);
        match facts.state {
            AvroState::Ok => {
                last_sound.get_or_insert((root.id, content));
                if stays {
                    sound_kept.insert(content);
                }
            }
            state if is_broken(state) && stays && sound_kept.is_empty() => {
                broken.get_or_insert((root.id, state));
            }
            _ => {}
        }
    }
    Ok(match (broken, last_sound) {
        (Some((later, state)), Some((snapshot, content))) if !sound_kept.contains(&content) => {
            Some(SoundLoss { snapshot, path, later, state })
        }
        _ => None,
    })
}
