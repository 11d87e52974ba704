//! Which snapshots and files hold records that are to be erased. Nothing is written.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::content::{Judging, Unfit};
use super::proof::Proof;
use super::{EraseError, EraseOptions};
use crate::avro::filter::{Expression, FilterError};
use crate::error::{Error, Result};
use crate::files::{Matchable, Pattern};
use crate::id::{ContentHash, SnapshotId};
use crate::ops::select::manifest_path;
use crate::progress::{Phase, Progress};
use crate::report;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry, is_below};
use crate::store::{Repository, SnapshotRecord, read_root};

/// What is to be done.
#[derive(Debug)]
pub struct ErasePlan {
    /// Snapshots that have files with such records.
    pub snapshots: Vec<PlannedSnapshot>,
    /// Files that are meant and cannot be looked into as a whole: they stay as they are, with whatever they hold.
    pub left: Vec<LeftFile>,
    /// Snapshots that were looked through.
    pub snapshots_looked_at: u64,
    /// Files that were looked through, each content once.
    pub contents: u64,
    /// Files among these that hold such records.
    pub contents_concerned: u64,
    /// Such records in these, each content once.
    pub records: u64,
    /// What a check needs to look for these records, and for all of them that were erased by earlier plans of the same report.
    pub proof: Proof,
    pub(super) asked: Asked,
    pub(super) contents_judged: HashMap<ContentHash, Judged>,
}

/// A snapshot with files that are to be altered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedSnapshot {
    /// Which.
    pub id: SnapshotId,
    /// Its files.
    pub files: Vec<PlannedFile>,
}

/// A file that is to be altered. Of several hard links it is the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedFile {
    /// Its path.
    #[serde(flatten, serialize_with = "path_of")]
    pub path: Vec<u8>,
    /// How many of its records go.
    pub records_erased: u64,
    /// How many are left.
    pub records_left: u64,
}

/// A file that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftFile {
    /// In which snapshot.
    pub snapshot: SnapshotId,
    /// Its path.
    #[serde(flatten, serialize_with = "path_of")]
    pub path: Vec<u8>,
    /// Why.
    pub reason: String,
}

fn path_of<S: serde::Serializer>(path: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    report::Path(path).serialize(serializer)
}

/// What was found out about a content.
#[derive(Debug, Clone)]
pub(super) enum Judged {
    Records { erased: u64, left: u64 },
    Unfit(String),
}

/// Which files and records are meant.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    path: Vec<u8>,
    pattern: Option<Pattern>,
    exclude: Vec<Pattern>,
    pub(super) condition: Expression,
}

impl Asked {
    fn new(options: &EraseOptions) -> std::result::Result<Self, EraseError> {
        let path = manifest_path(options.path.as_bytes())?;
        if path.is_empty() {
            return Err(Error::argument(
                "path",
                "the path is empty (was a variable not set?): name a file, a folder or a pattern",
            )
            .into());
        }
        let is_pattern = path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
        let pattern = if is_pattern { Some(Pattern::new(&[b"/", &path[..]].concat(), false)?) } else { None };
        Ok(Self { path, pattern, exclude: options.exclude.clone(), condition: options.condition()? })
    }

    /// What is meant in one snapshot.
    pub(super) fn in_snapshot(&self, repository: &Repository, root: &SnapshotRoot) -> Result<AskedHere<'_>> {
        // A path that is there is that path, whatever its letters.
        let pattern = match &self.pattern {
            Some(pattern) if root.rows(repository).find(&self.path)?.is_none() => Some(pattern),
            _ => None,
        };
        let mut here = AskedHere { asked: self, pattern, first_names: HashSet::new() };
        let mut rows = root.rows(repository);
        while let Some(row) = rows.next_row()? {
            if let Some(first) = &row.hard_link
                && here.names(&row.path)
            {
                here.first_names.insert(first.clone());
            }
        }
        Ok(here)
    }
}

/// Which rows of a snapshot are meant.
pub(super) struct AskedHere<'a> {
    asked: &'a Asked,
    pattern: Option<&'a Pattern>,
    /// First names of files of which another name is meant.
    first_names: HashSet<Vec<u8>>,
}

impl AskedHere<'_> {
    fn names(&self, path: &[u8]) -> bool {
        let meant = match self.pattern {
            Some(pattern) => pattern.matches(&Matchable::new(path, false)),
            None => path == self.asked.path || is_below(path, &self.asked.path),
        };
        meant && (self.asked.exclude.is_empty() || !Pattern::any(&self.asked.exclude, path))
    }

    /// The content of a row, if its file is meant and has one.
    pub(super) fn content(&self, row: &FileEntry) -> Option<ContentHash> {
        let has_records = row.kind == EntryKind::File && row.hard_link.is_none() && row.size > 0;
        let content = row.content.filter(|_| has_records)?;
        (self.names(&row.path) || self.first_names.contains(&row.path)).then_some(content)
    }
}

/// Finds out what is to be done in these snapshots. Each content is looked through once, in however many files it is.
///
/// # Errors
/// [`EraseError`]; the errors of reading the repository. A file that is lost, damaged or cannot be decoded is no error, but
/// [left](ErasePlan::left).
pub fn plan(
    repository: &Repository,
    snapshots: &[SnapshotId],
    options: &EraseOptions,
    progress: &dyn Progress,
) -> std::result::Result<ErasePlan, EraseError> {
    let asked = Asked::new(options)?;
    let mut plan = ErasePlan {
        snapshots: Vec::new(),
        left: Vec::new(),
        snapshots_looked_at: 0,
        contents: 0,
        contents_concerned: 0,
        records: 0,
        proof: Proof::new(repository, &asked.condition)?,
        asked,
        contents_judged: HashMap::new(),
    };
    progress.begin(Phase::Repair, None, None);
    let (mut files, mut misfits) = (0u64, Misfits::default());
    for id in snapshots {
        plan.snapshot(repository, *id, &mut files, &mut misfits, progress)?;
    }
    if files == 0 {
        return Err(EraseError::NoFiles { path: options.path.clone() });
    }
    match misfits.first {
        // The condition goes with the schema of no file: it is the condition that is wrong.
        Some(error) if misfits.fits == 0 => Err(error.into()),
        _ => Ok(plan),
    }
}

/// How many contents the condition goes with, and why it does not go with the first other one.
#[derive(Default)]
struct Misfits {
    fits: u64,
    first: Option<FilterError>,
}

/// How often a snapshot is looked through again, where its root is replaced, or what it rests on moved, meanwhile.
const ATTEMPTS: u32 = 4;

/// Whether a snapshot still has the root that this record says.
fn is_current(repository: &Repository, record: &SnapshotRecord) -> Result<bool> {
    repository.catalog().refresh()?;
    Ok(repository.state().snapshots.iter().any(|now| now.id == record.id && now.root == record.root))
}

impl ErasePlan {
    /// Looks through a snapshot, if it is still there.
    fn snapshot(
        &mut self,
        repository: &Repository,
        id: SnapshotId,
        files: &mut u64,
        misfits: &mut Misfits,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut attempts = 0;
        loop {
            let state = repository.state();
            let Some(record) = state.snapshots.iter().find(|record| record.id == id) else { return Ok(()) };
            attempts += 1;
            match self.look(repository, record, files, misfits, progress) {
                Ok(()) => {
                    self.snapshots_looked_at += 1;
                    return Ok(());
                }
                // What the old root reached may be deleted once there is another, or none.
                Err(error) if error.is_damage() && attempts < ATTEMPTS => {
                    let before = repository.catalog().standing().changed;
                    let is_current = is_current(repository, record)?;
                    if is_current && attempts > 1 && repository.catalog().standing().changed == before {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn look(
        &mut self,
        repository: &Repository,
        record: &SnapshotRecord,
        files: &mut u64,
        misfits: &mut Misfits,
        progress: &dyn Progress,
    ) -> Result<()> {
        let root = &read_root(repository, record)?;
        let asked = self.asked.clone();
        let here = asked.in_snapshot(repository, root)?;
        let mut left_here = Vec::new();
        let mut planned = PlannedSnapshot { id: root.id, files: Vec::new() };
        let mut rows = root.rows(repository);
        while let Some(row) = rows.next_row()? {
            let Some(content) = here.content(&row) else { continue };
            *files += 1;
            let judged = match self.contents_judged.get(&content) {
                Some(judged) => judged.clone(),
                None => {
                    let judged = self.judge(repository, record, &row, misfits)?;
                    progress.files(1);
                    progress.bytes(row.size);
                    self.contents_judged.insert(content, judged.clone());
                    judged
                }
            };
            match judged {
                Judged::Unfit(reason) => left_here.push(LeftFile { snapshot: root.id, path: row.path, reason }),
                Judged::Records { erased: 0, .. } => {}
                Judged::Records { erased, left } => {
                    let (records_erased, records_left) = (erased, left);
                    planned.files.push(PlannedFile { path: row.path, records_erased, records_left });
                }
            }
        }
        self.left.append(&mut left_here);
        if !planned.files.is_empty() {
            self.snapshots.push(planned);
        }
        Ok(())
    }

    /// Looks through a content.
    fn judge(
        &mut self,
        repository: &Repository,
        record: &SnapshotRecord,
        row: &FileEntry,
        misfits: &mut Misfits,
    ) -> Result<Judged> {
        let mut found = Vec::new();
        let judged =
            match judge(repository, row, &self.asked.condition, &mut |record| found.push(self.proof.entry(record))) {
                Ok(Ok((erased, left))) => {
                    misfits.fits += 1;
                    self.contents_concerned += u64::from(erased > 0);
                    self.records = self.records.saturating_add(erased);
                    Judged::Records { erased, left }
                }
                Ok(Err(Unfit::Filter(error))) => {
                    let reason = error.reason.to_string();
                    misfits.first.get_or_insert(error);
                    Judged::Unfit(reason)
                }
                Ok(Err(Unfit::Unsound(reason))) => Judged::Unfit(reason),
                // It may lie elsewhere by now, or the snapshot may be gone.
                Err(error) if error.is_damage() && !is_current(repository, record)? => return Err(error),
                Err(error) if error.is_damage() || matches!(error, Error::Unsupported { .. }) => {
                    Judged::Unfit(error.to_string())
                }
                Err(error) => return Err(error),
            };
        self.contents += 1;
        if matches!(judged, Judged::Records { .. }) {
            self.proof.add(found);
        }
        Ok(judged)
    }
}

/// How many records of a file go and stay. Each that goes is handed to `each`.
fn judge(
    repository: &Repository,
    row: &FileEntry,
    condition: &Expression,
    each: &mut dyn FnMut(&[u8]),
) -> Result<std::result::Result<(u64, u64), Unfit>> {
    let mut judging = match Judging::open(repository, row, condition)? {
        Ok(judging) => judging,
        Err(unfit) => return Ok(Err(unfit)),
    };
    let (mut erased, mut left) = (0u64, 0u64);
    loop {
        repository.runtime().go_on()?;
        match judging.next_block(each)? {
            None => return Ok(Ok((erased, left))),
            Some(Ok(block)) => {
                erased = erased.saturating_add(block.erased);
                left = left.saturating_add(block.kept_records);
            }
            Some(Err(unfit)) => return Ok(Err(unfit)),
        }
    }
}
