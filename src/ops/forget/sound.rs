//! Which removals would lose the last sound state of a file. An export that was cut off looks like any other file the next
//! night, and the nights after that; a policy would thin out the nights before it until only torn ones are left.

use std::collections::{BTreeSet, HashSet};

use crate::chunk::ChunkSource;
use crate::error::{Context, Result};
use crate::id::{ChunkId, ContentHash, SnapshotId};
use crate::recipe::Reference;
use crate::snapshot::entry::{AvroState, FileEntry};
use crate::snapshot::rules::GONE_UNSOUND;
use crate::snapshot::{SnapshotRoot, decode_row};
use crate::store::Repository;

/// A file of which only states would be left that are torn, damaged, or not known to be sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundLoss {
    /// The last snapshot in which it was sound, as far as was looked.
    pub snapshot: SnapshotId,
    /// Whether its records were looked into there.
    pub known: bool,
    /// The file, as manifests write paths.
    pub path: Vec<u8>,
    /// A snapshot that stays and holds it torn, damaged, or not looked into.
    pub later: SnapshotId,
    /// How it is there; none if it is gone there, and was torn or damaged before.
    pub state: Option<AvroState>,
}

impl SoundLoss {
    /// How the file is in the later snapshot, in a word.
    pub fn state_name(&self) -> &'static str {
        self.state.map_or("missing", AvroState::name)
    }
}

impl std::fmt::Display for SoundLoss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (path, later) = (String::from_utf8_lossy(&self.path), self.later.short());
        let sound = if self.known { "a sound" } else { "an undamaged" };
        write!(f, "last with {sound} {path} ({} in {later})", self.state_name())
    }
}

/// What would be lost if `removed` went. `snapshots` are all that there are, the oldest first. A file is followed by its
/// path through the snapshots of one series.
///
/// Its last sound state must stay (in any snapshot of the series) as long as a snapshot stays that holds it torn or
/// damaged, or not looked into, and none later that holds it sound. Where it is torn or damaged, the last state that was
/// not looked into must stay, too, if that is later: it is not known to be damaged. What goes beyond this
/// program's limits plays no part.
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
        let (going, staying): (Vec<_>, Vec<_>) = own.iter().partition(|root| removed.contains(&root.id));
        let mut rows = Rows { repository, seen: HashSet::new() };
        let (mut paths, mut unknown) = (BTreeSet::new(), BTreeSet::new());
        let mut note = |row: FileEntry| match row.avro.map(|facts| facts.state) {
            Some(state) if state.is_alarm() => _ = paths.insert(row.path),
            Some(AvroState::Undecoded) => _ = unknown.insert(row.path),
            _ => {}
        };
        rows.of_all(&staying, &mut note)?;
        // Files that are gone, and were torn before they went. It was not said that this was meant.
        paths.extend(staying.iter().flat_map(|root| gone_unsound(root)).cloned());
        if !unknown.is_empty() {
            // A series that is never looked into has no sound states to be kept, and its files are not followed one by one.
            let mut note = |row: FileEntry| match row.avro.map(|facts| facts.state) {
                Some(AvroState::Ok) if unknown.contains(&row.path) => _ = paths.insert(row.path),
                _ => {}
            };
            rows.of_all(&going, &mut note)?;
        }
        for path in paths {
            losses.extend(losses_of(repository, &own, removed, &path)?);
        }
    }
    Ok(losses)
}

/// The rows of manifests, each chunk of them once.
struct Rows<'a> {
    repository: &'a Repository,
    /// What was walked already, in this manifest or another.
    seen: HashSet<ChunkId>,
}

impl Rows<'_> {
    fn of_all(&mut self, roots: &[&&SnapshotRoot], each: &mut dyn FnMut(FileEntry)) -> Result<()> {
        for tree in roots.iter().filter_map(|root| root.manifest.as_ref()) {
            self.below(&tree.root, tree.levels(), each)?;
        }
        Ok(())
    }

    fn below(&mut self, reference: &Reference, level: u8, each: &mut dyn FnMut(FileEntry)) -> Result<()> {
        if !self.seen.insert(reference.id) {
            return Ok(());
        }
        if level > 0 {
            for child in or_nothing(reference.children(self.repository))?.unwrap_or_default() {
                self.below(&child, level - 1, each)?;
            }
            return Ok(());
        }
        let Some(bytes) = or_nothing(self.repository.get(&reference.id))? else { return Ok(()) };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let Some(row) = or_nothing(decode_row(&mut rest).in_object("a chunk of rows"))? else { break };
            each(row);
        }
        Ok(())
    }
}

/// What is lost or damaged in the repository itself says nothing, and must not keep snapshots from being removed.
fn or_nothing<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

fn losses_of(
    repository: &Repository,
    snapshots: &[&SnapshotRoot],
    removed: &HashSet<SnapshotId>,
    path: &[u8],
) -> Result<Vec<SoundLoss>> {
    let mut states = Vec::new();
    for root in snapshots.iter().rev() {
        let row: Option<FileEntry> = or_nothing(root.rows(repository).find(path))?.flatten();
        let (snapshot, stays) = (root.id, !removed.contains(&root.id));
        match row.and_then(|row| Some((row.content, row.avro?))) {
            Some((content, facts)) => states.push(Seen { snapshot, stays, content, state: Some(facts.state) }),
            None if gone_unsound(root).any(|gone| gone == path) => {
                states.push(Seen { snapshot, stays, content: None, state: None });
            }
            None => {}
        }
    }
    let is_bad = |state: State| state.is_none_or(AvroState::is_alarm);
    let known = |state| state == Some(AvroState::Ok);
    let known = lost(&states, &known, &|state| is_bad(state) || state == Some(AvroState::Undecoded));
    let undamaged = |state| matches!(state, Some(AvroState::Ok | AvroState::Undecoded));
    let unknown = lost(&states, &undamaged, &is_bad);
    let unknown = unknown.filter(|(_, last)| last.state == Some(AvroState::Undecoded));
    let loss = |(broken, last): (&Seen, &Seen)| SoundLoss {
        snapshot: last.snapshot,
        known: last.state == Some(AvroState::Ok),
        path: path.to_vec(),
        later: broken.snapshot,
        state: broken.state,
    };
    Ok(known.into_iter().chain(unknown).map(loss).collect())
}

/// Files that are gone in a snapshot, and were torn or damaged before they went.
fn gone_unsound(root: &SnapshotRoot) -> impl Iterator<Item = &Vec<u8>> {
    root.rules.iter().filter(|rule| rule.name == GONE_UNSOUND).map(|rule| &rule.value)
}

/// How a file is in a snapshot; none if it is gone and was unsound before.
type State = Option<AvroState>;

/// A file in one snapshot.
struct Seen {
    snapshot: SnapshotId,
    stays: bool,
    content: Option<ContentHash>,
    state: State,
}

/// Where a file is `bad` and where it was `good` last, if that would go while the bad one stays and none that is good stays
/// later. The newest comes first.
fn lost<'s>(
    states: &'s [Seen],
    good: &dyn Fn(State) -> bool,
    bad: &dyn Fn(State) -> bool,
) -> Option<(&'s Seen, &'s Seen)> {
    let last = states.iter().find(|seen| good(seen.state))?;
    let mut kept = states.iter().filter(|seen| seen.stays && good(seen.state));
    let broken = states
        .iter()
        .take_while(|seen| !(seen.stays && good(seen.state)))
        .find(|seen| seen.stays && bad(seen.state))?;
    kept.all(|seen| seen.content != last.content).then_some((broken, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Snapshots from the newest to the oldest: a state, its content, and whether it stays.
    fn states(of: &[(AvroState, u8, bool)]) -> Vec<Seen> {
        let seen = |(number, (state, content, stays)): (usize, &(AvroState, u8, bool))| Seen {
            snapshot: SnapshotId::new([number as u8; 16]),
            stays: *stays,
            content: Some(ContentHash::new([*content; 32])),
            state: Some(*state),
        };
        of.iter().enumerate().map(seen).collect()
    }

    fn last_lost(of: &[(AvroState, u8, bool)]) -> Option<SnapshotId> {
        let is_bad = |state: State| state.is_none_or(|state| state.is_alarm() || state == AvroState::Undecoded);
        lost(&states(of), &|state| state == Some(AvroState::Ok), &is_bad).map(|(_, last)| last.snapshot)
    }

    #[test]
    fn the_last_sound_state_goes_only_where_nothing_bad_stays_after_it() {
        use AvroState::{BeyondLimits, Damaged, Foreign, Ok, Torn, Undecoded};
        let id = |number| Some(SnapshotId::new([number; 16]));
        for bad in [Torn, Damaged, Foreign, Undecoded] {
            assert_eq!(last_lost(&[(bad, 1, true), (Ok, 2, false), (Ok, 3, false)]), id(1));
            assert_eq!(last_lost(&[(bad, 1, true), (Ok, 2, false), (Ok, 2, true)]), None);
            assert_eq!(last_lost(&[(bad, 1, false), (Ok, 2, false)]), None);
            assert_eq!(last_lost(&[(Ok, 4, true), (bad, 1, true), (Ok, 2, false)]), None);
            assert_eq!(last_lost(&[(BeyondLimits, 4, true), (bad, 1, true), (Ok, 2, false)]), id(2));
        }
        assert_eq!(last_lost(&[(BeyondLimits, 1, true), (Ok, 2, false)]), None);
    }
}
