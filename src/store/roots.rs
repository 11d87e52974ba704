//! Reading the roots of snapshots, and what it means when something of one is missing beside a `forget`.

use super::{Features, Repository, SnapshotRecord};
use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::snapshot::SnapshotRoot;

/// The roots of snapshots, in this order, with the tags that they have now. Those that this machine does not have are read at
/// once.
pub fn read_roots(repository: &Repository, records: &[SnapshotRecord]) -> Vec<Result<SnapshotRoot>> {
    let chunks: Vec<_> = records.iter().map(|record| record.root).collect();
    let roots = repository.reader.roots(&chunks).into_iter();
    roots.zip(records).map(|(bytes, record)| decode_root(&bytes?, record)).collect()
}

/// The root of a snapshot, with the tags that it has now.
pub fn read_root(repository: &Repository, record: &SnapshotRecord) -> Result<SnapshotRoot> {
    decode_root(&repository.get(&record.root)?, record)
}

fn decode_root(bytes: &[u8], record: &SnapshotRecord) -> Result<SnapshotRoot> {
    let name = format!("the root of snapshot {}", record.id);
    let mut root = SnapshotRoot::decode(bytes).in_object(&name)?;
    if root.id != record.id {
        return Err(Error::damaged(name, format!("it is that of snapshot {}", root.id)));
    }
    Features::check(root.required_read, Features::KNOWN.read, "to read a snapshot of")?;
    if let Some(tags) = &record.tags {
        root.tags.clone_from(tags);
    }
    Ok(root)
}

/// What became of a snapshot since its root was read.
#[derive(Debug)]
pub enum Since {
    /// Nothing.
    Same,
    /// It was removed.
    Removed,
    /// Its root was replaced by this one, with the tags that it has now.
    Replaced(Box<SnapshotRoot>),
}

/// What became of a snapshot since this root of it was read: then it is no wonder if something is gone that it reaches.
///
/// # Errors
/// Those of reading the log, and the new root.
pub fn since(repository: &Repository, root: &SnapshotRoot) -> Result<Since> {
    repository.catalog.refresh()?;
    let state = repository.state();
    let Some(record) = state.snapshots.iter().find(|record| record.id == root.id) else { return Ok(Since::Removed) };
    let now = read_root(repository, record)?;
    let is_same = (now.revision, &now.manifest, &now.path_list) == (root.revision, &root.manifest, &root.path_list);
    Ok(if is_same { Since::Same } else { Since::Replaced(Box::new(now)) })
}

/// What came of reading a snapshot; where something of it is gone, since it was removed or its root was replaced meanwhile, it
/// is that.
///
/// # Errors
/// [`Error::SnapshotRemoved`], [`Error::SnapshotReplaced`], and the error that was given.
pub fn unless_moved<T>(repository: &Repository, root: &SnapshotRoot, read: Result<T>) -> Result<T> {
    match read {
        Err(error) if error.is_damage() => Err(moved(repository, root).unwrap_or(error)),
        read => read,
    }
}

/// The error that says that a snapshot was removed, or its root replaced, since this root of it was read.
pub fn moved(repository: &Repository, root: &SnapshotRoot) -> Option<Error> {
    match since(repository, root) {
        Ok(Since::Removed) => Some(Error::SnapshotRemoved { snapshot: root.id }),
        Ok(Since::Replaced(_)) => Some(Error::SnapshotReplaced { snapshot: root.id }),
        Ok(Since::Same) | Err(_) => None,
    }
}

/// The same where several snapshots are read side by side.
///
/// # Errors
/// As of [`unless_moved`], for the first of them that was moved.
pub fn unless_any_moved<'r, T>(
    repository: &Repository,
    roots: impl IntoIterator<Item = &'r SnapshotRoot>,
    read: Result<T>,
) -> Result<T> {
    match read {
        Err(error) if error.is_damage() => {
            Err(roots.into_iter().find_map(|root| moved(repository, root)).unwrap_or(error))
        }
        read => read,
    }
}
