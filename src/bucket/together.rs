//! Local and remote sources as one tree.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::errors;
use super::walk::Walk;
use crate::error::Result;
use crate::files::{
    Fate, Fates, Problem, Source, SourceFile, SourceOpener, SourceReader, SourceTree, Trouble, is_in_store,
};
use crate::snapshot::entry::path_order;

type Found = std::result::Result<SourceFile, Problem>;

/// The tree of the local file system and that of buckets, merged in the order of a manifest.
pub(super) struct Together {
    local: Source,
    remote: Walk,
    /// Names at the top of the manifest that are those of buckets.
    tops: Vec<Vec<u8>>,
    next: (Option<Found>, Option<Found>),
    begun: bool,
    has_clashed: bool,
    passed_over: Vec<PathBuf>,
}

impl Together {
    pub(super) fn new(local: Source, remote: Walk) -> Self {
        let tops = remote.tops();
        Self { local, remote, tops, next: (None, None), begun: false, has_clashed: false, passed_over: Vec::new() }
    }

    /// The next thing of the local file system. What would stand among objects is reported and left out.
    fn next_local(&mut self) -> Option<Found> {
        loop {
            let file = match self.local.next_found()? {
                Ok(file) => file,
                problem => return Some(problem),
            };
            let top = file.tree_path.split(|byte| *byte == b'/').next().unwrap_or_default();
            if !self.tops.iter().any(|name| name == top) {
                return Some(Ok(file));
            }
            if !std::mem::replace(&mut self.has_clashed, true) {
                let reason = "it would stand in the snapshot where what is saved from object stores does, so nothing in it is saved";
                let error = errors::object_problem("save", &file.fs_path, std::io::ErrorKind::AlreadyExists, reason);
                let (tree_path, path) = (file.tree_path, file.fs_path);
                return Some(Err(Problem { tree_path, path, trouble: Trouble::Unread(error) }));
            }
        }
    }
}

impl SourceTree for Together {
    fn next_found(&mut self) -> Option<Found> {
        if !std::mem::replace(&mut self.begun, true) {
            self.next = (self.next_local(), self.remote.next_found());
        }
        let is_local = match &self.next {
            (None, None) => {
                self.passed_over = [SourceTree::passed_over(&self.local), self.remote.passed_over()].concat();
                return None;
            }
            (Some(_), None) | (Some(Err(_)), _) => true,
            (None, Some(_)) | (_, Some(Err(_))) => false,
            (Some(Ok(local)), Some(Ok(remote))) => path_order(&local.tree_path, &remote.tree_path).is_le(),
        };
        match is_local {
            true => {
                let next = self.next_local();
                std::mem::replace(&mut self.next.0, next)
            }
            false => {
                let next = self.remote.next_found();
                std::mem::replace(&mut self.next.1, next)
            }
        }
    }

    fn opener(&self) -> Arc<dyn SourceOpener> {
        Arc::new(Both(self.local.opener(), self.remote.opener()))
    }

    fn covered(&self) -> Box<dyn Fates> {
        let tops = self.tops.clone();
        Box::new(BothFates { tops, local: SourceTree::covered(&self.local), remote: self.remote.covered() })
    }

    fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }
}

/// Opens what lies in the file system, and what lies in buckets.
struct Both(Arc<dyn SourceOpener>, Arc<dyn SourceOpener>);

impl SourceOpener for Both {
    fn announce(&self, path: &Path, size: u64) {
        if is_in_store(path) { self.1.announce(path, size) } else { self.0.announce(path, size) }
    }

    fn open(&self, path: &Path) -> Result<Box<dyn SourceReader>> {
        if is_in_store(path) { self.1.open(path) } else { self.0.open(path) }
    }
}

struct BothFates {
    tops: Vec<Vec<u8>>,
    local: Box<dyn Fates>,
    remote: Box<dyn Fates>,
}

impl BothFates {
    fn of(&self, tree_path: &[u8]) -> &dyn Fates {
        let top = tree_path.split(|byte| *byte == b'/').next().unwrap_or_default();
        if self.tops.iter().any(|name| name == top) { &*self.remote } else { &*self.local }
    }
}

impl Fates for BothFates {
    fn fate(&self, tree_path: &[u8]) -> Fate {
        self.of(tree_path).fate(tree_path)
    }

    fn is_folder(&self, tree_path: &[u8]) -> bool {
        self.of(tree_path).is_folder(tree_path)
    }
}
