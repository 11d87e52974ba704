//! `recover`: finds snapshots in the packs that the log does not name. The engine is [`crate::integrity`].

use std::collections::HashSet;

use serde::Serialize;

pub use crate::integrity::{Candidate, Found, bring_back, bring_back_and_mend, find_snapshots};

use crate::error::Result;
use crate::id::SnapshotId;
use crate::store::{LogDamage, Repository, SnapshotRecord};

/// Result of a recovery, or of a look at what it would find.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RecoverReport {
    /// The first entry of the log that is lost, if it is broken.
    pub log_broken_at: Option<u64>,
    /// Entries that were kept when the log was made whole; none if it was not.
    pub log_entries_kept: Option<u64>,
    /// Keys that were added again.
    pub keys_added: u64,
    /// Snapshots by now.
    pub snapshots: u64,
    /// Snapshots that were found and that the log did not name.
    pub candidates: u64,
    /// Those of them that it names now.
    #[serde(serialize_with = "count")]
    pub brought_back: HashSet<SnapshotId>,
}

fn count<S: serde::Serializer>(ids: &HashSet<SnapshotId>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u64(ids.len() as u64)
}

impl RecoverReport {
    /// Whether the log names this snapshot again.
    pub fn is_back(&self, candidate: &Candidate) -> bool {
        self.brought_back.contains(&candidate.root.id)
    }
}

/// Names these of the snapshots that were found in the log again, and makes a broken log whole if `writes`.
///
/// # Errors
/// I/O errors and damaged objects of the repository.
pub fn recover(
    repository: &Repository,
    damage: Option<&LogDamage>,
    found: &Found,
    chosen: Vec<&Candidate>,
    writes: bool,
) -> Result<RecoverReport> {
    let rebuilt = match damage {
        Some(damage) if writes => Some(bring_back_and_mend(repository, damage, chosen)?),
        _ => {
            bring_back(repository, chosen)?;
            None
        }
    };
    let state = repository.state();
    let is_back = |candidate: &&Candidate| {
        let has_root = |record: &SnapshotRecord| candidate.replaces.is_none() || record.root == candidate.chunk;
        writes && state.snapshots.iter().any(|record| record.id == candidate.root.id && has_root(record))
    };
    Ok(RecoverReport {
        log_broken_at: damage.map(|damage| damage.at),
        log_entries_kept: rebuilt.as_ref().map(|rebuilt| rebuilt.kept),
        keys_added: rebuilt.map_or(0, |rebuilt| rebuilt.keys.len() as u64),
        snapshots: state.whole_snapshots().len() as u64,
        candidates: found.candidates.len() as u64,
        brought_back: found.candidates.iter().filter(is_back).map(|candidate| candidate.root.id).collect(),
    })
}
