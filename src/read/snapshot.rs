//! A snapshot that is kept open and read from.

use std::sync::{Arc, PoisonError, RwLock};

use super::content::EncoderBench;
use super::{Below, Dir, File, Lookup};
use crate::chunk::ChunkSource;
use crate::error::{Error, Result};
use crate::id::{ChunkId, SnapshotId};
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::snapshot::{ManifestReader, SnapshotRoot};
use crate::store::{Repository, Since, read_root, read_roots, since};

/// A snapshot of a repository, which it owns a share of. Clones are cheap and are the same snapshot.
///
/// Paths are those of the manifest: components parted by `/`, without a leading one. A `/` at either end of a path is passed
/// over, and the empty path is the folder that holds all.
///
/// It may be removed, or stored in another way, while it is open. As long as its content can be read, it is read. When something
/// of it is gone because its root was replaced, reading goes on with the new root. Where that is not possible, the error is
/// [`Error::SnapshotRemoved`] or [`Error::SnapshotReplaced`].
#[derive(Clone)]
pub struct Snapshot(Arc<Shared>);

struct Shared {
    repository: Arc<Repository>,
    id: SnapshotId,
    /// The one that was read last.
    root: RwLock<Arc<SnapshotRoot>>,
    /// Shared by its files.
    encoders: Arc<EncoderBench>,
}

/// How many new roots of one snapshot may come while something is read, before that is given up.
const REPLACEMENTS: u32 = 8;

impl Snapshot {
    /// Opens the snapshot with this id, also one that was added since the repository was opened.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`]; [`Error::Unsupported`] if it needs a newer version; those of reading.
    pub fn open(repository: &Arc<Repository>, id: SnapshotId) -> Result<Self> {
        let find = || repository.state().snapshot(id).cloned();
        let found = match find() {
            None => {
                repository.catalog().refresh()?;
                find()
            }
            found => found,
        };
        let record = found.ok_or_else(|| Error::NoSnapshot { wanted: id.to_string() })?;
        let root = repository.catalog().settled(|| read_root(repository, &record))?;
        Ok(Self::of_root(repository, root))
    }

    /// The snapshot with this root.
    pub fn of_root(repository: &Arc<Repository>, root: SnapshotRoot) -> Self {
        let (repository, id) = (repository.clone(), root.id);
        Self(Arc::new(Shared { repository, id, root: RwLock::new(Arc::new(root)), encoders: Arc::default() }))
    }

    /// All snapshots that there are now, in the order in which they were added.
    ///
    /// # Errors
    /// Errors of reading the log and the roots.
    pub fn list(repository: &Arc<Repository>) -> Result<Vec<Self>> {
        repository.catalog().refresh()?;
        let roots = repository
            .catalog()
            .settled(|| read_roots(repository, &repository.state().whole_snapshots()).into_iter().collect());
        roots.map(|roots: Vec<_>| roots.into_iter().map(|root| Self::of_root(repository, root)).collect())
    }

    /// Id of the snapshot, which stays the same under a new root.
    pub fn id(&self) -> SnapshotId {
        self.0.id
    }

    /// What is known about it as a whole: series, host, time, tags, totals.
    pub fn root(&self) -> Arc<SnapshotRoot> {
        self.0.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The repository that it is read from.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.0.repository
    }

    /// The entry at this path, if there is one. The empty path has none.
    ///
    /// # Errors
    /// Errors of reading the manifest.
    pub fn entry(&self, path: impl AsRef<[u8]>) -> Result<Option<FileEntry>> {
        let path = trimmed(path.as_ref());
        self.steady(|root| self.find(root, path))
    }

    /// The folder at this path. The empty path is the one that holds all.
    ///
    /// # Errors
    /// [`Error::NoPath`]; [`Error::WrongKind`] if it is something else; those of reading the manifest.
    pub fn dir(&self, path: impl AsRef<[u8]>) -> Result<Dir> {
        let path = trimmed(path.as_ref());
        let entry = self.steady(|root| self.find_dir(root, path))?;
        Ok(Dir::new(self.clone(), path, entry))
    }

    /// The regular file at this path. A hard link is followed.
    ///
    /// # Errors
    /// [`Error::NoPath`]; [`Error::WrongKind`] if it is something else; those of reading the manifest and the file's header.
    pub fn file(&self, path: impl AsRef<[u8]>) -> Result<File> {
        File::open(self, trimmed(path.as_ref()))
    }

    /// Everything at and below a path, in the order of the manifest: a folder stands right before what is in it. Nothing if
    /// there is no such path; everything for the empty one.
    pub fn below(&self, path: impl AsRef<[u8]>) -> Below {
        Below::new(self, trimmed(path.as_ref()))
    }

    /// The row of a regular file that has its content: of a hard link that of the first name.
    ///
    /// # Errors
    /// [`Error::NoPath`], [`Error::WrongKind`]; those of reading the manifest.
    pub fn content_row(&self, path: impl AsRef<[u8]>) -> Result<FileEntry> {
        let path = trimmed(path.as_ref());
        self.steady(|root| Ok(Lookup::with(path, |path| self.find(root, path))?.file(path, self.id())?.0))
    }

    pub(super) fn encoders(&self) -> Arc<EncoderBench> {
        self.0.encoders.clone()
    }

    /// The rows of its manifest.
    pub(super) fn rows<'s>(&'s self, root: &SnapshotRoot) -> ManifestReader<Kept<'s>> {
        root.rows(Kept(&self.0.repository))
    }

    pub(super) fn find(&self, root: &SnapshotRoot, path: &[u8]) -> Result<Option<FileEntry>> {
        if path.is_empty() { Ok(None) } else { self.rows(root).find(path) }
    }

    /// The row of a folder; none if it has none, as the one that holds all, and one that a stream was saved in.
    pub(super) fn find_dir(&self, root: &SnapshotRoot, path: &[u8]) -> Result<Option<FileEntry>> {
        if path.is_empty() {
            return Ok(None);
        }
        let mut rows = self.rows(root);
        rows.seek(path)?;
        let is_below = |row: &FileEntry| row.path.get(path.len()) == Some(&b'/') && row.path.starts_with(path);
        match rows.peek()? {
            Some(row) if row.path == path && row.kind == EntryKind::Directory => Ok(Some(row.clone())),
            Some(row) if row.path == path => Err(Error::wrong_kind(path, "a folder")),
            Some(row) if is_below(row) => Ok(None),
            _ => Err(self.no_path(path)),
        }
    }

    pub(super) fn no_path(&self, path: &[u8]) -> Error {
        Error::NoPath { path: String::from_utf8_lossy(path).into_owned(), snapshot: self.0.id.short() }
    }

    /// Does something that reads. If it finds something missing or damaged, that may be because the snapshot was removed or
    /// its root replaced meanwhile: then that is the error, or it is done again with the new root.
    pub(crate) fn steady<T>(&self, mut work: impl FnMut(&Arc<SnapshotRoot>) -> Result<T>) -> Result<T> {
        let repository = &*self.0.repository;
        let (mut replacements, mut again) = (0, false);
        loop {
            let (root, before) = (self.root(), repository.log().length());
            let error = match work(&root) {
                Err(error) if error.is_damage() => error,
                done => return done,
            };
            match since(repository, &root) {
                Ok(Since::Removed) => return Err(Error::SnapshotRemoved { snapshot: self.0.id }),
                Ok(Since::Replaced(new)) if replacements < REPLACEMENTS => {
                    replacements += 1;
                    self.take(*new);
                }
                Ok(Since::Replaced(_)) => return Err(Error::SnapshotReplaced { snapshot: self.0.id }),
                // What was missing may have been moved, which another thread may have noticed first.
                Ok(Since::Same) if !again || repository.log().length() != before => again = true,
                Ok(Since::Same) | Err(_) => return Err(error),
            }
        }
    }

    /// Goes on with a new root, unless another thread has found a later one.
    fn take(&self, new: SnapshotRoot) {
        let mut root = self.0.root.write().unwrap_or_else(PoisonError::into_inner);
        if new.revision > root.revision {
            *root = Arc::new(new);
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({})", self.0.id)
    }
}

/// Chunks of manifests, which are kept for the next look.
pub(super) struct Kept<'r>(&'r Repository);

impl ChunkSource for Kept<'_> {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.0.reader().get_kept(id)
    }
}

/// A path without `/` at its ends.
fn trimmed(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(start, |last| last + 1);
    &path[start..end]
}
