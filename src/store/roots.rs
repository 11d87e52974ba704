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
    match read {
        Err(error) if error.is_damage() && was_removed(repository, snapshot).unwrap_or(false) => {
            Err(Error::SnapshotRemoved { snapshot })
        }
        read => read,
    }
}
