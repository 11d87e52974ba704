//! Files that are open, by snapshot, view and path.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::window::{LARGEST, Window, Windows};
use crate::error::Result;
use crate::id::SnapshotId;
use crate::read::{File, Snapshot};
use crate::recipe::View;
use crate::snapshot::entry::FileEntry;

/// How many files stay open.
const OPEN: usize = 32;

/// A view of a file that several readers share.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    view: View,
    length: u64,
    windows: Mutex<Windows>,
}

impl OpenFile {
    fn new(file: File, view: View) -> Result<Self> {
        let length = file.len(view)?;
        Ok(Self { file, view, length, windows: Mutex::default() })
    }

    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Its entry in the snapshot.
    pub fn entry(&self) -> &FileEntry {
        self.file.entry()
    }

    /// What names its bytes: they are the same wherever this is the same.
    pub fn tag(&self) -> String {
        tag(self.entry(), self.file.view(self.view))
    }

    /// Reads from `offset` on; how many bytes were read: all that fit, fewer at the end of the file.
    ///
    /// # Errors
    /// As of [`File::read_at`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let mut done = 0;
        while done < wanted {
            let at = offset.saturating_add(done as u64);
            let read = self.part(at, &mut buffer[done..wanted])?;
            if read == 0 {
                break;
            }
            done += read;
        }
        Ok(done)
    }

    /// Reads what can be had in one go.
    fn part(&self, at: u64, buffer: &mut [u8]) -> Result<usize> {
        let (kept, step) = {
            let mut windows = self.windows();
            (windows.holding(at), windows.step(at))
        };
        if let Some(window) = kept {
            return Ok(window.copy(at, buffer));
        }
        if buffer.len() >= LARGEST {
            return self.file.read_at(self.view, at, buffer);
        }
        let mut bytes = vec![0; step.max(buffer.len())];
        let read = self.file.read_at(self.view, at, &mut bytes)?;
        bytes.truncate(read);
        let window = Window { start: at, bytes: bytes.into() };
        let copied = window.copy(at, buffer);
        self.windows().keep(window);
        Ok(copied)
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What names the bytes of a view of a file: the hash of its content, and the view.
pub fn tag(entry: &FileEntry, view: View) -> String {
    let content = entry.content.map_or_else(|| "empty".into(), |content| content.to_string());
    if view == View::Plain { format!("{content}-plain") } else { content }
}

/// Which file, in which view. What was changed on purpose is another one.
type Key = (SnapshotId, Option<i64>, View, Vec<u8>);

/// The files that were opened last.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Mutex<VecDeque<(Key, Arc<OpenFile>)>>);

impl OpenFiles {
    pub(super) fn open(&self, snapshot: &Snapshot, view: View, path: &[u8]) -> Result<Arc<OpenFile>> {
        let key = (snapshot.id(), snapshot.root().altered, view, path.to_vec());
        if let Some(open) = self.kept(&key) {
            return Ok(open);
        }
        let opened = Arc::new(OpenFile::new(snapshot.file(path)?, view)?);
        let mut files = self.files();
        if files.len() >= OPEN {
            files.pop_front();
        }
        files.push_back((key, opened.clone()));
        Ok(opened)
    }

    fn kept(&self, key: &Key) -> Option<Arc<OpenFile>> {
        let mut files = self.files();
        let at = files.iter().position(|(kept, _)| kept == key)?;
        let kept = files.remove(at)?;
        let open = kept.1.clone();
        files.push_back(kept);
        Some(open)
    }

    fn files(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<OpenFile>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
