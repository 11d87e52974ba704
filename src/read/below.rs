//! What lies below a path of a snapshot, whatever its folders.

use std::collections::VecDeque;

use super::Snapshot;
use crate::error::Result;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{FileEntry, is_below};

/// How many rows are read at once.
const PAGE: usize = 1024;

/// The rows at and below a path, in the order of the manifest. Ends after an error.
///
/// Memory: a page of rows, however many there are.
#[derive(Debug)]
pub struct Below {
    snapshot: Snapshot,
    path: Vec<u8>,
    page: VecDeque<FileEntry>,
    after: Option<Vec<u8>>,
    ended: bool,
}

impl Below {
    pub(super) fn new(snapshot: &Snapshot, path: &[u8]) -> Self {
        Self { snapshot: snapshot.clone(), path: path.to_vec(), page: VecDeque::new(), after: None, ended: false }
    }

    fn read(&self, root: &SnapshotRoot) -> Result<VecDeque<FileEntry>> {
        let mut rows = self.snapshot.rows(root);
        rows.seek(self.after.as_ref().unwrap_or(&self.path))?;
        if let Some(after) = &self.after
            && rows.peek()?.is_some_and(|row| row.path == *after)
        {
            rows.next_row()?;
        }
        let mut page = VecDeque::new();
        while page.len() < PAGE {
            match rows.next_row()? {
                Some(row) if self.path.is_empty() || row.path == self.path || is_below(&row.path, &self.path) => {
                    page.push_back(row);
                }
                _ => break,
            }
        }
        Ok(page)
    }
}

impl Iterator for Below {
    type Item = Result<FileEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.is_empty() && !self.ended {
            match self.snapshot.steady(|root| self.read(root)) {
                Ok(page) => {
                    self.ended = page.len() < PAGE;
                    self.after = page.back().map(|row| row.path.clone());
                    self.page = page;
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
