//! A folder of a snapshot.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{File, Snapshot};
use crate::error::Result;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;

/// A folder of a snapshot, which it owns a share of. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Dir {
    snapshot: Snapshot,
    path: Arc<[u8]>,
    entry: Option<Arc<FileEntry>>,
}

/// How many children the iterator reads at once.
const PAGE: usize = 1024;

impl Dir {
    pub(super) fn new(snapshot: Snapshot, path: &[u8], entry: Option<FileEntry>) -> Self {
        Self { snapshot, path: path.into(), entry: entry.map(Arc::new) }
    }

    /// The snapshot that it is in.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Its path; empty for the folder that holds all.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Its entry. The folder that holds all has none, and one that was not saved itself but for something in it may have none.
    pub fn entry(&self) -> Option<&FileEntry> {
        self.entry.as_deref()
    }

    /// What is in it, in the order of the names' bytes. Read page by page, so memory is bounded whatever the folder.
    pub fn children(&self) -> Children {
        Children { dir: self.clone(), page: VecDeque::new(), after: None, ended: false }
    }

    /// The first `limit` entries in it that come after this name (from the start on if none), in the order of the names'
    /// bytes; fewer at the end. Only the parts of the manifest that hold them are read; what lies below them is skipped.
    ///
    /// # Errors
    /// [`Error::NoPath`](crate::Error::NoPath) if the folder is not there any more, which only a snapshot that was changed on purpose can cause;
    /// [`Error::SnapshotRemoved`](crate::Error::SnapshotRemoved); those of reading the manifest.
    pub fn children_after(&self, name: Option<&[u8]>, limit: usize) -> Result<Vec<FileEntry>> {
        self.snapshot.steady(|root| self.page(root, name, limit))
    }

    /// The entry with this name in it, if there is one.
    ///
    /// # Errors
    /// Errors of reading the manifest.
    pub fn child(&self, name: impl AsRef<[u8]>) -> Result<Option<FileEntry>> {
        if self.is_no_name(name.as_ref()) { Ok(None) } else { self.snapshot.entry(self.path_of(name.as_ref())) }
    }

    /// The folder with this name in it.
    ///
    /// # Errors
    /// As of [`Snapshot::dir`].
    pub fn dir(&self, name: impl AsRef<[u8]>) -> Result<Self> {
        let path = self.path_of(name.as_ref());
        if self.is_no_name(name.as_ref()) { Err(self.snapshot.no_path(&path)) } else { self.snapshot.dir(path) }
    }

    /// The regular file with this name in it.
    ///
    /// # Errors
    /// As of [`Snapshot::file`].
    pub fn file(&self, name: impl AsRef<[u8]>) -> Result<File> {
        let path = self.path_of(name.as_ref());
        if self.is_no_name(name.as_ref()) { Err(self.snapshot.no_path(&path)) } else { self.snapshot.file(path) }
    }

    fn is_no_name(&self, name: &[u8]) -> bool {
        name.is_empty() || name.contains(&b'/')
    }

    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        [&self.prefix()[..], name].concat()
    }

    /// What the paths in it begin with.
    fn prefix(&self) -> Vec<u8> {
        let mut prefix = self.path.to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        prefix
    }

    fn page(&self, root: &SnapshotRoot, after: Option<&[u8]>, limit: usize) -> Result<Vec<FileEntry>> {
        let (mut rows, prefix, mut found) = (self.snapshot.rows(root), self.prefix(), Vec::new());
        // The first path that is neither the child nor below it: in the order of paths `/` counts as 0, and no name holds a 0.
        let past = |path: &[u8]| [path, b"\x01"].concat();
        let mut next = after.map_or_else(|| prefix.clone(), |name| past(&self.path_of(name)));
        while found.len() < limit {
            rows.seek(&next)?;
            let Some(row) = rows.next_row()? else { break };
            let Some(rest) = row.path.strip_prefix(&prefix[..]) else { break };
            let child = match rest.iter().position(|byte| *byte == b'/') {
                None => row,
                // A folder without a row: something in it was saved without it.
                Some(end) => FileEntry::implied_folder(&row.path[..prefix.len() + end]),
            };
            next = past(&child.path);
            found.push(child);
        }
        if found.is_empty() && after.is_none() && limit > 0 {
            // It has no children, or is not there.
            self.snapshot.find_dir(root, &self.path)?;
        }
        Ok(found)
    }
}

/// What is in a folder, in order. Ends after an error.
#[derive(Debug)]
pub struct Children {
    dir: Dir,
    page: VecDeque<FileEntry>,
    after: Option<Vec<u8>>,
    ended: bool,
}

impl Iterator for Children {
    type Item = Result<FileEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() && !self.ended {
            match self.dir.children_after(self.after.as_deref(), PAGE) {
                Ok(page) => {
                    self.ended = page.len() < PAGE;
                    self.after = page.last().map(|last| last.name().to_vec());
                    self.page = page.into();
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        self.page.pop_front().map(Ok)
    }
}
