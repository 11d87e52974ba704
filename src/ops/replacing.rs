//! What verbs have in common that give snapshots new roots: `erase`, `optimize`, `repair payloads`.
//!
//! They work beside writers, `forget` and `prune`. Somebody else may replace or remove the same snapshot, and what was stored for one
//! snapshot may be deleted before the next one refers to it.

use crate::error::Result;
use crate::id::SnapshotId;
use crate::store::{Repository, SnapshotRecord, Writer};

/// How often something is done again where somebody else replaces the root of the snapshot, or deletes what it rests on, meanwhile.
pub(super) const ATTEMPTS: u32 = 4;

/// Whether a snapshot has another root by now than this record says, or is gone.
///
/// # Errors
/// Errors of reading the log.
pub(super) fn has_other_root(repository: &Repository, record: &SnapshotRecord) -> Result<bool> {
    repository.catalog().refresh()?;
    Ok(!repository.state().snapshots.iter().any(|now| now.id == record.id && now.root == record.root))
}

/// How something in a snapshot is named in reports: the beginning of the snapshot's id, and the path in it.
pub(super) fn named(snapshot: SnapshotId, path: Option<&[u8]>) -> Vec<u8> {
    let mut name = snapshot.short().into_bytes();
    if let Some(path) = path {
        name.push(b':');
        name.extend_from_slice(path);
    }
    name
}

/// As of which loss all was there that a run carries from one snapshot to the next.
#[derive(Debug)]
pub(super) struct CarriedOver {
    known_at: u64,
}

impl CarriedOver {
    /// Nothing is carried yet.
    pub(super) fn new(repository: &Repository) -> Self {
        Self { known_at: repository.state().last_loss() }
    }

    /// A writer for the next snapshot. If something was deleted since the last one, `forget` must drop what is carried, and the writer
    /// asks again for each chunk whether it is there: by itself it knows only what goes after it began.
    ///
    /// # Errors
    /// Errors of [`Writer::new`].
    pub(super) fn writer<'r>(&mut self, repository: &'r Repository, forget: impl FnOnce()) -> Result<Writer<'r>> {
        let writer = Writer::new(repository)?;
        let last_loss = repository.state().last_loss();
        if last_loss != self.known_at {
            writer.doubt();
            forget();
            self.known_at = last_loss;
        }
        Ok(writer)
    }
}
