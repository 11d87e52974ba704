//! Which snapshot is meant.

mod selector;

pub use selector::{CLOCK_TOLERANCE, Doubt, Selector, Which, check_digits};

use crate::chunk::ChunkSource;
use crate::commands::check::ATTEMPTS;
use crate::error::{Context, Error, Result};
use crate::id::SnapshotId;
use crate::repository::{Features, Repository, SnapshotRecord};
use crate::snapshot::SnapshotRoot;

/// The snapshots of a repository.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that can be read, by their time, and of the same time in the order in which they were made. They carry the
    /// tags that they have now.
    pub snapshots: Vec<SnapshotRoot>,
    /// Those whose root cannot be read, and why.
    pub unreadable: Vec<(SnapshotId, Error)>,
    /// When this was read, nanoseconds since 1970 (UTC). Snapshots dated later are never `latest`.
    pub now: i64,
}

impl Listing {
    /// Reads the root of every snapshot that the log names.
    ///
    /// Where one cannot be read and the log has moved meanwhile, all are read again: it may have been removed.
    pub fn read(repository: &Repository) -> Self {
        let mut listing = Self::default();
        for _ in 0..ATTEMPTS {
            let state = repository.state();
            listing = Self { now: repository.clock().now(), ..Self::default() };
            for (record, root) in state.snapshots.iter().zip(read_roots(repository, &state.snapshots)) {
                match root {
                    Ok(root) => listing.snapshots.push(root),
                    Err(error) => listing.unreadable.push((record.id, error)),
                }
            }
            // What is wrong with the log itself is told to who opens the repository.
            if listing.unreadable.is_empty() || !repository.has_moved(&state).unwrap_or(false) {
                break;
            }
        }
        // Stable, and the log's own order is that in which they were made.
        listing.snapshots.sort_by_key(|root| root.time);
        listing
    }

    /// Whether a snapshot is dated in the future.
    pub fn is_ahead(&self, root: &SnapshotRoot) -> bool {
        root.time > self.now.saturating_add(CLOCK_TOLERANCE)
    }

    /// Those that fit, in order.
    pub fn fitting<'l>(&'l self, filter: &Filter) -> impl DoubleEndedIterator<Item = &'l SnapshotRoot> {
        self.snapshots.iter().filter(|root| filter.fits(root))
    }
}

/// The roots of snapshots, in this order, with the tags that they have now. Those that this machine does not have are read at
/// once.
pub fn read_roots(repository: &Repository, records: &[SnapshotRecord]) -> Vec<Result<SnapshotRoot>> {
    let chunks: Vec<_> = records.iter().map(|record| record.root).collect();
    let roots = repository.roots(&chunks).into_iter();
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
    repository.refresh_index()?;
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

/// Narrows down which snapshots are looked at. Empty lists let everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Made on one of these hosts.
    pub hosts: Vec<String>,
    /// Of one of these series.
    pub series: Vec<String>,
    /// Having all tags of one of these lists. An empty list stands for no tags at all.
    pub tags: Vec<Vec<String>>,
    /// With all of these paths, absolute, among those that were saved.
    pub paths: Vec<Vec<u8>>,
    /// Not later than this, nanoseconds since 1970 (UTC).
    pub at: Option<i64>,
}

impl Filter {
    /// Whether a snapshot passes.
    pub fn fits(&self, root: &SnapshotRoot) -> bool {
        let tagged = |wanted: &Vec<String>| match wanted.is_empty() {
            true => root.tags.is_empty(),
            false => wanted.iter().all(|tag| root.tags.contains(tag)),
        };
        (self.hosts.is_empty() || self.hosts.contains(&root.host))
            && (self.series.is_empty() || self.series.contains(&root.series))
            && (self.tags.is_empty() || self.tags.iter().any(tagged))
            && self.paths.iter().all(|path| root.paths.contains(path))
            && self.at.is_none_or(|at| root.time <= at)
    }
}

/// A path as people write it, the way manifests write it: without `/` at its ends, without empty and `.` components.
///
/// # Errors
/// [`Error::Invalid`] for one that leads upwards.
pub fn manifest_path(path: &[u8]) -> Result<Vec<u8>> {
    let components: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b".")).collect();
    match components.contains(&&b".."[..]) || path.contains(&0) {
        true => Err(Error::Invalid(format!("{:?} is no path in a snapshot", String::from_utf8_lossy(path)))),
        false => Ok(components.join(&b'/')),
    }
}

#[cfg(test)]
mod tests;
