//! Reading the root of a snapshot, and what it means when that fails beside a `forget`.

use super::{Features, Repository, SnapshotRecord};
use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::id::SnapshotId;
use crate::snapshot::SnapshotRoot;

/// The root of a snapshot, with the tags that it has now.
pub fn read_root(repository: &Repository, record: &SnapshotRecord) -> Result<SnapshotRoot> {
    let name = format!("the root of snapshot {}", record.id);
    let mut root = SnapshotRoot::decode(&repository.get(&record.root)?).in_object(&name)?;
    if root.id != record.id {
        return Err(Error::damaged(name, format!("it is that of snapshot {}", root.id)));
    }
    Features::check(root.required_read, Features::KNOWN.read, "to read a snapshot of")?;
    if let Some(tags) = &record.tags {
        root.tags.clone_from(tags);
    }
    Ok(root)
}

/// Whether a snapshot was removed since the log was read: then it is no wonder if something of it is gone.
///
/// # Errors
/// Those of reading the log.
pub fn was_removed(repository: &Repository, snapshot: SnapshotId) -> Result<bool> {
    repository.refresh_index()?;
    Ok(!repository.state().snapshots.iter().any(|record| record.id == snapshot))
}

/// What came of reading a snapshot; where something of it is gone, since it was removed meanwhile, it is that.
///
/// # Errors
/// [`Error::SnapshotRemoved`], and the error that was given.
pub fn unless_removed<T>(repository: &Repository, snapshot: SnapshotId, read: Result<T>) -> Result<T> {
    unless_any_removed(repository, [snapshot], read)
}

/// The same where several snapshots are read side by side.
///
/// # Errors
/// [`Error::SnapshotRemoved`] with the first of them that was removed, and the error that was given.
pub fn unless_any_removed<T>(
    repository: &Repository,
    snapshots: impl IntoIterator<Item = SnapshotId>,
    read: Result<T>,
) -> Result<T> {
    let Err(error) = read else { return read };
    if error.is_damage() && repository.refresh_index().is_ok() {
        let state = repository.state();
        let is_there = |id: &SnapshotId| state.snapshots.iter().any(|record| record.id == *id);
        if let Some(snapshot) = snapshots.into_iter().find(|id| !is_there(id)) {
            return Err(Error::SnapshotRemoved { snapshot });
        }
    }
    Err(error)
}
