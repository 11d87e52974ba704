//! The keys below a prefix, in the order of their bytes, from any key on: what clients of S3 list.
//!
//! A folder stands in this order where its name with a `/` does, which is after some names that begin with its own (`a`, `a-b`,
//! `a/`). So folders wait until it is their turn.

use std::collections::{BTreeSet, VecDeque};

use super::keys::{Child, Place, find};
use crate::error::Result;
use crate::live::Live;
use crate::read::Snapshot;
use crate::recipe::View;
use crate::snapshot::entry::FileEntry;

/// How many children of a folder are read at once.
const PAGE: usize = 1000;

/// What is listed.
#[derive(Debug)]
pub(super) enum Listed {
    /// A file.
    Key { key: Vec<u8>, snapshot: Snapshot, view: View, entry: Box<FileEntry> },
    /// Keys that begin with this, which ends with the delimiter, are not listed one by one.
    Common(Vec<u8>),
}

/// What is wanted.
#[derive(Debug)]
pub(super) struct Wanted<'q> {
    pub(super) prefix: &'q [u8],
    /// Whether keys are grouped at the first `/` after the prefix.
    pub(super) grouped: bool,
    /// Only what comes after this key.
    pub(super) after: &'q [u8],
}

/// Walks the keys.
pub(super) struct Lister<'l> {
    live: &'l Live,
    wanted: Wanted<'l>,
    levels: Vec<Level>,
}

/// A folder whose children are being listed.
struct Level {
    /// What the keys in it begin with: empty, or ending with `/`.
    prefix: Vec<u8>,
    place: Place,
    page: VecDeque<Child>,
    /// The name after which the next page begins.
    after: Option<Vec<u8>>,
    ended: bool,
    /// Folders whose turn has not come, each with a `/` at its end.
    waiting: BTreeSet<Vec<u8>>,
}

impl<'l> Lister<'l> {
    pub(super) fn new(live: &'l Live, wanted: Wanted<'l>) -> Result<Self> {
        let folder = wanted.prefix.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let base = &wanted.prefix[..folder];
        let mut lister = Self { live, wanted, levels: Vec::new() };
        if let Some(place) = find(live, base)?.filter(|place| !matches!(place, Place::File(..))) {
            lister.enter(base.to_vec(), place)?;
        }
        Ok(lister)
    }

    /// Begins with a folder, where the key that is to be gone on from stands in it.
    fn enter(&mut self, prefix: Vec<u8>, place: Place) -> Result<()> {
        let mut level =
            Level { prefix, place, page: VecDeque::new(), after: None, ended: false, waiting: BTreeSet::new() };
        let rest = self.wanted.after.strip_prefix(&level.prefix[..]).filter(|rest| !rest.is_empty());
        if rest.is_none() && self.wanted.after > &level.prefix[..] && !level.prefix.is_empty() {
            // The whole folder comes before it.
            return Ok(());
        }
        if let Some(rest) = rest {
            let name = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
            // Folders that come before this name, but whose keys come after it.
            for end in 1..=name.len() {
                let is_later = name.get(end).is_none_or(|next| *next < b'/');
                if is_later && level.place.folder(self.live, &name[..end])?.is_some() {
                    level.waiting.insert([&name[..end], b"/"].concat());
                }
            }
            level.after = Some(name.to_vec());
        }
        self.levels.push(level);
        Ok(())
    }

    /// The next thing that is listed.
    ///
    /// # Errors
    /// Errors of reading the snapshots.
    pub(super) fn next(&mut self) -> Result<Option<Listed>> {
        while let Some(level) = self.levels.last_mut() {
            let Some(child) = level.next(self.live)? else {
                self.levels.pop();
                continue;
            };
            let slash: &[u8] = if child.is_folder() { b"/" } else { b"" };
            let key = [&level.prefix[..], &child.name, slash].concat();
            let wanted = &self.wanted;
            let fits = key.starts_with(wanted.prefix) || (child.is_folder() && wanted.prefix.starts_with(&key));
            if !fits {
                // Nothing that comes later fits, either.
                if key.as_slice() > wanted.prefix {
                    self.levels.clear();
                }
                continue;
            }
            if let Some(entry) = child.file {
                let Place::Folder(dir, view) = &level.place else { continue };
                if key.as_slice() > wanted.after {
                    return Ok(Some(Listed::Key {
                        key,
                        snapshot: dir.snapshot().clone(),
                        view: *view,
                        entry: Box::new(entry),
                    }));
                }
                continue;
            }
            if wanted.grouped {
                // A group that was listed is not listed again.
                if key.as_slice() > wanted.after && !wanted.after.starts_with(&key) {
                    return Ok(Some(Listed::Common(key)));
                }
                continue;
            }
            if let Some(place) = level.place.folder(self.live, &child.name)? {
                self.enter(key, place)?;
            }
        }
        Ok(None)
    }
}

impl Level {
    /// The next child in the order of keys.
    fn next(&mut self, live: &Live) -> Result<Option<Child>> {
        loop {
            if self.page.is_empty() && !self.ended {
                let page = self.place.children_after(live, self.after.as_deref(), PAGE)?;
                self.ended = page.len() < PAGE;
                self.after = page.last().map(|child| child.name.clone()).or(self.after.take());
                self.page = page.into();
            }
            let waiting = self.waiting.first();
            let is_first = |child: &Child| waiting.is_none_or(|waiting| child.name < *waiting);
            match self.page.pop_front() {
                Some(child) if !is_first(&child) => self.page.push_front(child),
                Some(child) if child.is_folder() => {
                    self.waiting.insert([&child.name[..], b"/"].concat());
                    continue;
                }
                Some(file) => return Ok(Some(file)),
                None => {}
            }
            let Some(mut name) = self.waiting.pop_first() else { return Ok(None) };
            name.pop();
            return Ok(Some(Child { name, file: None }));
        }
    }
}
