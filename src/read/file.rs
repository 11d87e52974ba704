//! A regular file of a snapshot.

use std::io::{self, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Blocks, Lookup, Ranges, Records, Snapshot};
use crate::error::{Error, Result};
use crate::recipe::View;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::Repository;

/// A regular file of a snapshot, which it owns a share of. Clones are cheap, and several threads can read at once.
///
/// It is read in two views: bit for bit as it was saved ([`View::Exact`]), or as the same container without compression
/// ([`View::Plain`]), which needs no encoding. Avro files are read by [blocks](File::blocks) and [records](File::records),
/// too.
///
/// Memory: a handful of places where somebody read last, with at most 4 MiB each of the block that was encoded last; and what
/// the reads that are going on need, two blocks each at most.
#[derive(Clone)]
pub struct File(Arc<Shared>);

struct Shared {
    snapshot: Snapshot,
    entry: FileEntry,
    /// What the plain view was when the file was opened, and stays.
    plain: View,
    opened: Mutex<Arc<Opened>>,
}

/// The file as one root of the snapshot has it.
pub(super) struct Opened {
    pub(super) root: Arc<SnapshotRoot>,
    /// The row that has the content.
    pub(super) row: FileEntry,
    pub(super) ranges: Ranges<Arc<Repository>>,
}

impl File {
    pub(super) fn open(snapshot: &Snapshot, path: &[u8]) -> Result<Self> {
        snapshot.steady(|root| {
            let (row, hard_link) = content_row(snapshot, root, path)?.file(path, snapshot.id())?;
            let entry = FileEntry { path: path.to_vec(), hard_link, ..row.clone() };
            let opened = Opened::new(snapshot, root, row)?;
            let plain = opened.ranges.view(View::Plain);
            let (snapshot, opened) = (snapshot.clone(), Mutex::new(Arc::new(opened)));
            Ok(Self(Arc::new(Shared { snapshot, entry, plain, opened })))
        })
    }

    /// The snapshot that it is in.
    pub fn snapshot(&self) -> &Snapshot {
        &self.0.snapshot
    }

    /// Its entry. A hard link has what the first name of the file has, and says which that is.
    pub fn entry(&self) -> &FileEntry {
        &self.0.entry
    }

    /// The view that is served where this one is asked for: the exact one also where the plain one is the file itself.
    pub fn view(&self, asked: View) -> View {
        if asked == View::Plain { self.0.plain } else { View::Exact }
    }

    /// How many bytes the view has. Reads what is known about the file's blocks once.
    ///
    /// # Errors
    /// Errors of reading the layout, and those of [`read_at`](File::read_at).
    pub fn len(&self, view: View) -> Result<u64> {
        self.steady(view, |opened| opened.ranges.length(self.view(view)))
    }

    /// Reads from `offset` on into `buffer`. Returns how many bytes were read: all that fit, fewer at the end of the file.
    ///
    /// # Errors
    /// If what is needed is lost or damaged; [`Error::SnapshotRemoved`], and [`Error::SnapshotReplaced`] if the file was changed
    /// on purpose meanwhile, or has no plain view any more.
    pub fn read_at(&self, view: View, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        self.steady(view, |opened| opened.ranges.read_at(self.view(view), offset, buffer))
    }

    /// A reader of a view with a place of its own, for whatever takes [`Read`](io::Read) and [`Seek`](io::Seek).
    pub fn reader(&self, view: View) -> FileReader {
        FileReader { file: self.clone(), view, at: 0 }
    }

    /// Its blocks in order, decoded.
    ///
    /// # Errors
    /// [`Error::NoRecords`] if it is no Avro file, or its codec is not known; those of reading.
    pub fn blocks(&self) -> Result<Blocks> {
        Blocks::open(self.clone(), 0)
    }

    /// Its records in order.
    ///
    /// # Errors
    /// [`Error::NoRecords`] if it is no Avro file, or its codec or schema is not known; those of reading.
    pub fn records(&self) -> Result<Records> {
        self.records_from(0)
    }

    /// Its records from this one on, counted from 0. The blocks before it are not read.
    ///
    /// # Errors
    /// As of [`records`](File::records).
    pub fn records_from(&self, first: u64) -> Result<Records> {
        Records::open(Blocks::open(self.clone(), first)?, first)
    }

    /// Its path for people.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.0.entry.path).into_owned()
    }

    /// Does something that reads, again where the snapshot got a new root meanwhile in which the file is the same.
    pub(super) fn steady<T>(&self, view: View, mut work: impl FnMut(&Arc<Opened>) -> Result<T>) -> Result<T> {
        self.0.snapshot.steady(|root| {
            let opened = self.at(root)?;
            if self.view(view) == View::Plain && opened.ranges.view(View::Plain) != View::Plain {
                return Err(self.replaced());
            }
            work(&opened)
        })
    }

    /// The file as this root has it.
    fn at(&self, root: &Arc<SnapshotRoot>) -> Result<Arc<Opened>> {
        let lock = || self.0.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = lock().clone();
        if Arc::ptr_eq(&opened.root, root) {
            return Ok(opened);
        }
        // An earlier root was asked for just before another thread found the later one.
        if opened.root.revision > root.revision {
            return Ok(opened);
        }
        let snapshot = &self.0.snapshot;
        let Lookup::File { row, .. } = content_row(snapshot, root, &self.0.entry.path)? else {
            return Err(self.replaced());
        };
        let same = |row: &FileEntry| (row.content, row.size, row.altered);
        if row.content.is_none() || same(&row) != same(&opened.row) {
            return Err(self.replaced());
        }
        let opened = Arc::new(Opened::new(snapshot, root, *row)?);
        *lock() = opened.clone();
        Ok(opened)
    }

    fn replaced(&self) -> Error {
        Error::SnapshotReplaced { snapshot: self.0.snapshot.id() }
    }
}

impl Opened {
    fn new(snapshot: &Snapshot, root: &Arc<SnapshotRoot>, row: FileEntry) -> Result<Self> {
        let ranges = Ranges::open_with(snapshot.repository().clone(), &row, snapshot.encoders())?;
        Ok(Self { root: root.clone(), row, ranges })
    }
}

/// The row that has the content of this path, and the first name of a hard link.
fn content_row(snapshot: &Snapshot, root: &SnapshotRoot, path: &[u8]) -> Result<Lookup> {
    Lookup::with(path, |path| snapshot.find(root, path))
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({:?} in {:?})", self.shown(), self.0.snapshot)
    }
}

/// Reads a view of a file from a place of its own.
#[derive(Debug, Clone)]
pub struct FileReader {
    file: File,
    view: View,
    at: u64,
}

impl io::Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.view, self.at, buffer).map_err(io::Error::other)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

impl io::Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.len(self.view).map_err(io::Error::other)?.checked_add_signed(by),
        };
        self.at = place.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a place before the start"))?;
        Ok(self.at)
    }
}
