//! A tree in which some small files have the content that they had earlier: when others were chosen by what they said.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::tree::{Fates, SourceOpener, SourceReader, SourceTree};
use super::{FileStat, Held, Problem, SourceFile};
use crate::error::{Error, Result};
use crate::snapshot::entry::FileEntry;

/// What files said, by where they lie.
type Contents = Arc<HashMap<PathBuf, Vec<u8>>>;

/// A tree whose files have their own content, but for some.
pub struct Pinned {
    tree: Box<dyn SourceTree>,
    contents: Contents,
}

impl Pinned {
    /// The same tree with these contents.
    pub fn new(tree: Box<dyn SourceTree>, contents: HashMap<PathBuf, Vec<u8>>) -> Self {
        Self { tree, contents: Arc::new(contents) }
    }
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pinned").field("files", &self.contents.keys()).finish_non_exhaustive()
    }
}

impl SourceTree for Pinned {
    fn next_found(&mut self) -> Option<std::result::Result<SourceFile, Problem>> {
        let mut found = self.tree.next_found();
        if let Some(Ok(file)) = &mut found
            && let Some(bytes) = self.contents.get(&file.fs_path)
        {
            file.entry.size = bytes.len() as u64;
        }
        found
    }

    fn opener(&self) -> Arc<dyn SourceOpener> {
        Arc::new(PinnedOpener { opener: self.tree.opener(), contents: self.contents.clone() })
    }

    fn covered(&self) -> Box<dyn Fates> {
        self.tree.covered()
    }

    fn passed_over(&self) -> &[PathBuf] {
        self.tree.passed_over()
    }

    fn listed(&self) -> u64 {
        self.tree.listed()
    }
}

struct PinnedOpener {
    opener: Arc<dyn SourceOpener>,
    contents: Contents,
}

impl SourceOpener for PinnedOpener {
    fn announce(&self, path: &Path, size: u64) {
        self.opener.announce(path, size);
    }

    fn open(&self, path: &Path) -> Result<Box<dyn SourceReader>> {
        let reader = self.opener.open(path)?;
        match self.contents.contains_key(path) {
            true => Ok(Box::new(PinnedReader { reader, contents: self.contents.clone(), path: path.into(), at: 0 })),
            false => Ok(reader),
        }
    }
}

/// All that there is to say of the file is its own, but for its content.
struct PinnedReader {
    reader: Box<dyn SourceReader>,
    contents: Contents,
    path: PathBuf,
    at: usize,
}

impl PinnedReader {
    fn bytes(&self) -> &[u8] {
        self.contents.get(&self.path).map_or(&[], Vec::as_slice)
    }
}

impl SourceReader for PinnedReader {
    fn describe(&self, entry: &mut FileEntry) -> Vec<Error> {
        let unread = self.reader.describe(entry);
        entry.size = self.bytes().len() as u64;
        unread
    }

    fn stat(&self) -> FileStat {
        FileStat { size: self.bytes().len() as u64, ..self.reader.stat() }
    }

    fn names(&self) -> u64 {
        self.reader.names()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let rest = self.bytes().get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }

    fn end(&self) -> Result<Held> {
        Ok(Held::Still)
    }

    /// The file may have changed since: equal times do not prove that the content is the same next time.
    fn is_recent(&self) -> bool {
        true
    }
}
