//! `find`: where something is.

use super::is_at_or_below;
use crate::error::Result;
use crate::files::{Matchable, Pattern};
use crate::id::ContentHash;
use crate::snapshot::entry::{EntryKind, FileEntry, Time, path_order};
use crate::snapshot::{ManifestReader, SnapshotRoot};
use crate::store::Repository;
use crate::store::unless_any_moved;

/// What is looked for: a pattern without a `/` is compared with names, any other with paths.
#[derive(Debug, Clone)]
pub struct Wanted {
    pattern: Pattern,
    whole_path: bool,
}

impl Wanted {
    /// Parses a pattern ([`pattern`](crate::files::pattern) says how).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::error::Error::InvalidArgument) if it is none.
    pub fn new(pattern: &[u8], insensitive: bool) -> Result<Self> {
        let whole_path = pattern.contains(&b'/') || pattern == b"**";
        Ok(Self { pattern: Pattern::new(pattern, insensitive)?, whole_path })
    }

    fn fits(&self, path: &Matchable, name: &Matchable) -> bool {
        self.pattern.matches_itself(if self.whole_path { path } else { name })
    }
}

/// What is looked for, and how old it may be.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// One of these matches.
    pub wanted: Vec<Wanted>,
    /// Changed at this time or later.
    pub oldest: Option<Time>,
    /// Changed at this time or earlier.
    pub newest: Option<Time>,
}

impl Search {
    fn fits(&self, row: &FileEntry) -> bool {
        let insensitive = self.wanted.iter().any(|wanted| wanted.pattern.is_insensitive());
        let name = row.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let (whole, name) = (Matchable::new(&row.path, insensitive), Matchable::new(name, insensitive));
        self.oldest.is_none_or(|oldest| row.mtime >= oldest)
            && self.newest.is_none_or(|newest| row.mtime <= newest)
            && self.wanted.iter().any(|wanted| wanted.fits(&whole, &name))
    }
}

/// One content of one path.
#[derive(Debug)]
pub struct Match {
    /// The row, as the last of the snapshots has it.
    pub entry: FileEntry,
    /// The places of the snapshots in the list that was searched.
    pub snapshots: Vec<usize>,
}

/// Hands what matches to `each`, in the order of paths: each path once for every content that it had, in the order in which
/// the snapshots are given. Of each snapshot what is at or below its path is searched. All manifests are read side by
/// side, so memory holds a chunk of rows of each, and the matches of one path.
///
/// # Errors
/// I/O errors and damaged objects of the repository, and errors of `each`, at the first of which it stops.
pub fn find(
    repository: &Repository,
    searched: &[(SnapshotRoot, Vec<u8>)],
    search: &Search,
    each: &mut dyn FnMut(&Match) -> Result<()>,
) -> Result<u64> {
    let snapshots = searched.iter().map(|(snapshot, _)| snapshot);
    unless_any_moved(repository, snapshots, found(repository, searched, search, each))
}

fn found(
    repository: &Repository,
    searched: &[(SnapshotRoot, Vec<u8>)],
    search: &Search,
    each: &mut dyn FnMut(&Match) -> Result<()>,
) -> Result<u64> {
    let mut found = 0;
    let mut sides = Vec::new();
    for (snapshot, path) in searched {
        sides.push(Side::new(repository, snapshot, path, search)?);
    }
    loop {
        let first = sides.iter().filter_map(|side| Some(&side.row.as_ref()?.path)).min_by(|a, b| path_order(a, b));
        let Some(path) = first.cloned() else { return Ok(found) };
        let mut matches: Vec<(Content, Match)> = Vec::new();
        for (number, side) in sides.iter_mut().enumerate() {
            let Some(entry) = side.row.take_if(|row| row.path == path) else { continue };
            side.advance(search)?;
            let content = Content::of(repository, side.snapshot, &entry)?;
            match matches.iter_mut().find(|(other, _)| *other == content) {
                Some((_, one)) => {
                    one.entry = entry;
                    one.snapshots.push(number);
                }
                None => matches.push((content, Match { entry, snapshots: vec![number] })),
            }
        }
        for (_, one) in &matches {
            found += 1;
            each(one)?;
        }
    }
}

/// One snapshot that is searched.
struct Side<'a> {
    snapshot: &'a SnapshotRoot,
    path: &'a [u8],
    rows: ManifestReader<&'a Repository>,
    /// The next row that matches.
    row: Option<FileEntry>,
}

impl<'a> Side<'a> {
    fn new(repository: &'a Repository, snapshot: &'a SnapshotRoot, path: &'a [u8], search: &Search) -> Result<Self> {
        let mut rows = snapshot.rows(repository);
        rows.seek(path)?;
        let mut side = Self { snapshot, path, rows, row: None };
        side.advance(search)?;
        Ok(side)
    }

    fn advance(&mut self, search: &Search) -> Result<()> {
        self.row = None;
        while let Some(row) = self.rows.next_row()? {
            if !is_at_or_below(&row.path, self.path) {
                break;
            }
            if search.fits(&row) {
                self.row = Some(row);
                break;
            }
        }
        Ok(())
    }
}

/// What makes two rows of a path the same: the kind of thing, and the content of a file.
#[derive(Debug, PartialEq, Eq)]
struct Content(EntryKind, Option<ContentHash>);

impl Content {
    fn of(repository: &Repository, snapshot: &SnapshotRoot, entry: &FileEntry) -> Result<Self> {
        let hash = match &entry.hard_link {
            None => entry.content,
            Some(first) => snapshot.rows(repository).find(first)?.and_then(|row| row.content),
        };
        Ok(Self(entry.kind.clone(), hash))
    }
}
