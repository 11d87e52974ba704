//! Where the things that are saved come from. The local file system is one such tree ([`Source`]); an object store, or a
//! tree in memory, is another.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Clocks, Covered, Fate, FileStat, Held, Problem, Reading, Source, SourceFile, now};
use crate::error::{Error, Result};
use crate::snapshot::entry::FileEntry;

/// A tree that is to be saved: what is in it, in the order of a manifest.
///
/// The walk runs on one thread, while others read the files that it found.
pub trait SourceTree: Send {
    /// The next thing, or what could not be looked at; none at the end.
    ///
    /// Promise: paths come in the order of a manifest ([`path_order`](crate::snapshot::entry::path_order)), each at most
    /// once.
    fn next_found(&mut self) -> Option<std::result::Result<SourceFile, Problem>>;

    /// What reads the files that the walk finds.
    fn opener(&self) -> Arc<dyn SourceOpener>;

    /// What the walk is to meet, to tell apart what is gone and what was not to be saved.
    fn covered(&self) -> Box<dyn Fates>;

    /// Where something was met that is skipped. Complete when the walk is.
    fn passed_over(&self) -> &[PathBuf];

    /// How many names were listed by now, those of things that were left out, or not returned since they belong to another
    /// part, included. 0 where the walk returns all that belongs to others.
    fn listed(&self) -> u64 {
        0
    }
}

/// State of files that an earlier snapshot has and the walk did not meet.
pub trait Fates: Send {
    /// State of the file at this path of the manifest.
    fn fate(&self, tree_path: &[u8]) -> Fate;

    /// Whether a directory of this path is there.
    fn is_folder(&self, tree_path: &[u8]) -> bool;
}

impl Fates for Covered {
    fn fate(&self, tree_path: &[u8]) -> Fate {
        Self::fate(self, tree_path)
    }

    fn is_folder(&self, tree_path: &[u8]) -> bool {
        Self::is_folder(self, tree_path)
    }
}

/// Opens files of a tree, on any thread.
pub trait SourceOpener: Send + Sync {
    /// Says that the file at this path, which had this many bytes when the walk found it, will be opened after those that were
    /// announced before. Where opening takes long, it may begin now.
    fn announce(&self, _path: &Path, _size: u64) {}

    /// Opens the file that the walk found at `path` ([`SourceFile::fs_path`]). Another file may be there by now.
    ///
    /// # Errors
    /// [`Error::Io`] with this path where that file cannot be read. It concerns this file alone.
    fn open(&self, path: &Path) -> Result<Box<dyn SourceReader>>;
}

/// A file of a tree that is open, to be read from beginning to end.
pub trait SourceReader {
    /// Puts what is known of the opened file into its row: size, times, owner, attributes, origin. Returns the attributes
    /// that could not be read.
    fn describe(&self, entry: &mut FileEntry) -> Vec<Error>;

    /// Which file it is.
    fn stat(&self) -> FileStat;

    /// How many names it has.
    fn names(&self) -> u64;

    /// Reads on; 0 at the end.
    ///
    /// # Errors
    /// [`Error::Io`] with the path of the file.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize>;

    /// What happened to the file while it was read.
    ///
    /// # Errors
    /// [`Error::Io`] with the path of the file.
    fn end(&self) -> Result<Held>;

    /// Whether it was changed so shortly before it was opened that equal times do not prove equal content next time.
    fn is_recent(&self) -> bool;
}

impl SourceTree for Source {
    fn next_found(&mut self) -> Option<std::result::Result<SourceFile, Problem>> {
        self.next()
    }

    fn opener(&self) -> Arc<dyn SourceOpener> {
        Arc::new(LocalOpener { clocks: self.clocks() })
    }

    fn covered(&self) -> Box<dyn Fates> {
        Box::new(Self::covered(self))
    }

    fn passed_over(&self) -> &[PathBuf] {
        Self::passed_over(self)
    }

    fn listed(&self) -> u64 {
        Self::listed(self)
    }
}

/// Opens files of the local file system.
#[derive(Debug)]
struct LocalOpener {
    /// What time it is on the file systems that are walked.
    clocks: Arc<Clocks>,
}

#[derive(Debug)]
struct LocalReader {
    reading: Reading,
    /// When it was opened, by the clock of its file system.
    opened: i64,
}

impl SourceOpener for LocalOpener {
    fn open(&self, path: &Path) -> Result<Box<dyn SourceReader>> {
        let reading = Reading::open(path)?;
        let opened = self.clocks.on(reading.stat().dev, now());
        Ok(Box::new(LocalReader { reading, opened }))
    }
}

impl SourceReader for LocalReader {
    fn describe(&self, entry: &mut FileEntry) -> Vec<Error> {
        self.reading.describe(entry)
    }

    fn stat(&self) -> FileStat {
        self.reading.stat()
    }

    fn names(&self) -> u64 {
        self.reading.nlink()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.reading.read(buffer)
    }

    fn end(&self) -> Result<Held> {
        self.reading.end()
    }

    fn is_recent(&self) -> bool {
        self.reading.stat().is_racy(self.opened)
    }
}
