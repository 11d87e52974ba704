//! Snapshots that have to do with runs: records, parts, and what parts become (`docs/format.md`, "Parts").

use super::Foundation;
use super::snapshots::{secure, unnamed};
use crate::error::{Error, Result, RunRefusal};
use crate::id::{ChunkId, RepositoryId, RunIds, SnapshotId};
use crate::log::append::Appended;
use crate::log::{Body, Log, State};

/// Which snapshot is added, and so by which rule.
#[derive(Debug, Clone, Copy)]
pub enum Addition<'a> {
    /// One that was made as a whole.
    Whole(SnapshotId),
    /// The record of the run with this name.
    Record {
        /// Name of the run.
        run: &'a str,
    },
    /// A part of a run.
    Part {
        /// Name of the run.
        run: &'a str,
        /// Number of the part, from 1 on.
        number: u32,
        /// Whether it takes the place of the one that is there, if there is one.
        replaces: bool,
    },
    /// What the parts of a run become.
    Merged {
        /// Name of the run.
        run: &'a str,
        /// The parts that it was made of, each with the root that was read.
        parts: &'a [(SnapshotId, ChunkId)],
    },
}

impl From<SnapshotId> for Addition<'_> {
    fn from(snapshot: SnapshotId) -> Self {
        Self::Whole(snapshot)
    }
}

impl Addition<'_> {
    /// The id of the snapshot.
    pub fn id(&self, repository: RepositoryId) -> SnapshotId {
        match self {
            Self::Whole(snapshot) => *snapshot,
            Self::Record { run } => RunIds::new(repository, run).record(),
            Self::Part { run, number, .. } => RunIds::new(repository, run).part(*number),
            Self::Merged { run, .. } => RunIds::new(repository, run).merged(),
        }
    }

    /// Whether it may be added after this state, as far as that is a matter of runs.
    fn check(&self, repository: RepositoryId, state: &State) -> Result<()> {
        let run = match self {
            Self::Whole(snapshot) if snapshot.is_whole() => return Ok(()),
            Self::Whole(_) => return Err(Error::argument("snapshot", "its id is that of a part of a run")),
            Self::Record { run } | Self::Part { run, .. } | Self::Merged { run, .. } => *run,
        };
        let ids = RunIds::new(repository, run);
        let (merged, record) = (ids.merged(), ids.record());
        let was_removed = |id| state.snapshot(id).is_none() && state.removed_root(id).is_some();
        let has_ended = was_removed(merged) || was_removed(record);
        match self {
            Self::Merged { .. } if state.snapshot(merged).is_some() => Err(Error::SnapshotExists { snapshot: merged }),
            _ if state.snapshot(merged).is_some() => Err(Error::run(run, RunRefusal::Merged(merged))),
            _ if has_ended => Err(Error::run(run, RunRefusal::Over)),
            Self::Part { .. } | Self::Merged { .. } if state.snapshot(record).is_none() => {
                Err(Error::run(run, RunRefusal::Unknown))
            }
            Self::Merged { parts, .. } if !parts.iter().all(|part| has(state, part)) => {
                Err(Error::Busy { what: format!("run {run}") })
            }
            _ => Ok(()),
        }
    }
}

/// Whether a snapshot is there, with this root.
fn has(state: &State, (id, root): &(SnapshotId, ChunkId)) -> bool {
    state.snapshot(*id).is_some_and(|record| record.root == *root)
}

impl Log {
    /// **AddSnapshot**, of any that is new. The rules are those of [`add_snapshot`](Log::add_snapshot). In addition, a part is
    /// added only while its run is open: its record is there, and it was not merged. Else it would stay for ever, listed nowhere, or
    /// take the place of what was merged. What parts become is added only while all of them are there as they were read, so nothing that
    /// was acknowledged meanwhile is left out. A record is added once.
    ///
    /// A part that takes the place of another one is secured before that one is removed. That takes two entries: between
    /// them, the run lacks the part.
    ///
    /// # Errors
    /// [`Error::SnapshotExists`], [`Error::Pruned`], [`Error::RunRefused`]; [`Error::Busy`] if a part is another one by now.
    pub fn add(&self, foundation: &dyn Foundation, addition: Addition<'_>, root: ChunkId) -> Result<Appended> {
        let snapshot = addition.id(self.repository());
        if let Addition::Part { replaces: true, .. } = addition {
            self.append_if(foundation, &mut |state| {
                addition.check(self.repository(), state)?;
                if state.snapshot(snapshot).is_none() {
                    return Ok(None);
                }
                secure(foundation, state, |secure| secure(snapshot, &root, None))?;
                Ok(Some(Body::RemoveSnapshots { snapshots: vec![snapshot] }))
            })?;
        }
        self.append(foundation, &mut |state| {
            addition.check(self.repository(), state)?;
            if state.snapshot(snapshot).is_some() {
                return Err(Error::SnapshotExists { snapshot });
            }
            secure(foundation, state, |secure| secure(snapshot, &root, None))?;
            Ok(Body::AddSnapshot { snapshot, root, indexes: unnamed(foundation, state)? })
        })
    }
}
