//! `find`: where something is.

use std::collections::HashMap;

use super::erase::content::{Judging, Unfit};
use super::is_at_or_below;
use crate::avro::filter::{Expression, FilterError};
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
    /// Avro files with records of which this is true, and nothing else. Each content is looked through once.
    pub records: Option<Expression>,
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
    /// How many records match, where that was asked for.
    pub records: Option<u64>,
}

/// Result of a search.
#[derive(Debug, Default)]
pub struct Found {
    /// Contents that match.
    pub matches: u64,
    /// Avro files among those looked for that could not be looked through as a whole, and why: the first 100 of them. Whether they
    /// hold such records is not known.
    pub unfit: Vec<(Vec<u8>, String)>,
    /// Where the condition goes with the schema of no file: why it does not go with the first.
    pub misfit: Option<FilterError>,
}

/// How many files are listed that could not be looked through.
const LISTED: usize = 100;

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
) -> Result<Found> {
    let snapshots = searched.iter().map(|(snapshot, _)| snapshot);
    unless_any_moved(repository, snapshots, found(repository, searched, search, each))
}

fn found(
    repository: &Repository,
    searched: &[(SnapshotRoot, Vec<u8>)],
    search: &Search,
    each: &mut dyn FnMut(&Match) -> Result<()>,
) -> Result<Found> {
    let mut found = Found::default();
    let mut looked = Looked { condition: search.records.as_ref(), counts: HashMap::new(), fits: false };
    let mut sides = Vec::new();
    for (snapshot, path) in searched {
        sides.push(Side::new(repository, snapshot, path, search)?);
    }
    loop {
        let first = sides.iter().filter_map(|side| Some(&side.row.as_ref()?.path)).min_by(|a, b| path_order(a, b));
        let Some(path) = first.cloned() else {
            found.misfit = found.misfit.filter(|_| !looked.fits);
            return Ok(found);
        };
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
                None => matches.push((content, Match { entry, snapshots: vec![number], records: None })),
            }
        }
        for (content, one) in &mut matches {
            if looked.condition.is_some() {
                let root = one.snapshots.last().and_then(|number| searched.get(*number)).map(|(root, _)| root);
                match looked.records(repository, root, &one.entry, content, &mut found)? {
                    None | Some(0) => continue,
                    records => one.records = records,
                }
            }
            found.matches += 1;
            each(one)?;
        }
    }
}

/// What was found in contents so far.
struct Looked<'a> {
    condition: Option<&'a Expression>,
    /// None for what is no Avro file, or cannot be looked through.
    counts: HashMap<ContentHash, Option<u64>>,
    /// The condition goes with the schema of a file.
    fits: bool,
}

impl Looked<'_> {
    /// How many records of a file match; none if it is no such file.
    fn records(
        &mut self,
        repository: &Repository,
        root: Option<&SnapshotRoot>,
        entry: &FileEntry,
        content: &Content,
        found: &mut Found,
    ) -> Result<Option<u64>> {
        let (Some(condition), Content(EntryKind::File, Some(hash))) = (self.condition, content) else {
            return Ok(None);
        };
        if let Some(known) = self.counts.get(hash) {
            return Ok(*known);
        }
        // Another name of a file has no content of its own.
        let first = match (&entry.hard_link, root) {
            (Some(first), Some(root)) => root.rows(repository).find(first)?,
            _ => None,
        };
        let row = first.as_ref().unwrap_or(entry);
        let count = match count(repository, row, condition)? {
            Ok(count) => {
                self.fits = true;
                Some(count)
            }
            Err(Unfit::Filter(error)) => {
                found.misfit.get_or_insert(error);
                None
            }
            Err(Unfit::Unsound(reason)) => {
                if row.avro.is_some() && found.unfit.len() < LISTED {
                    found.unfit.push((entry.path.clone(), reason));
                }
                None
            }
        };
        self.counts.insert(*hash, count);
        Ok(count)
    }
}

fn count(repository: &Repository, row: &FileEntry, condition: &Expression) -> Result<std::result::Result<u64, Unfit>> {
    let mut judging = match Judging::open(repository, row, condition)? {
        Ok(judging) => judging,
        Err(unfit) => return Ok(Err(unfit)),
    };
    let mut records = 0u64;
    while let Some(block) = judging.next_block(&mut |_| {})? {
        repository.runtime().go_on()?;
        match block {
            Ok(block) => records = records.saturating_add(block.erased),
            Err(unfit) => return Ok(Err(unfit)),
        }
    }
    Ok(Ok(records))
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
