//! `diff`: what changed from one snapshot to another.

mod tables;

pub use tables::{AvroChange, TableChange};

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::is_at_or_below;
use crate::error::{Error, Result};
use crate::id::ContentHash;
use crate::report::put_text;
use crate::snapshot::entry::{EntryKind, FileEntry, path_order};
use crate::snapshot::{ManifestReader, SnapshotRoot};
use crate::store::Repository;
use crate::store::unless_any_moved;

/// One side of the comparison: a snapshot, and what in it is looked at (as manifests write paths; empty for all).
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Root of the snapshot.
    pub snapshot: &'a SnapshotRoot,
    /// A path in it.
    pub path: &'a [u8],
}

/// How something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Only the later snapshot has it.
    Added,
    /// Only the earlier snapshot has it.
    Removed,
    /// The content of a file, the target of a link or the number of a device is another.
    Content,
    /// The content is the same; mode, owner, modification time or attributes are not.
    Metadata,
    /// It is another kind of thing.
    Type,
}

/// Something that changed.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// How.
    pub difference: Difference,
    /// Where, counted from the paths that are compared.
    pub path: &'a [u8],
    /// As it was.
    pub before: Option<&'a FileEntry>,
    /// As it is.
    pub after: Option<&'a FileEntry>,
    /// What changed in it, where it is or was an Avro file.
    pub avro: Option<AvroChange<'a>>,
}

/// What changed, summed up. Bytes are those of regular files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct DiffSummary {
    /// Regular files that were added.
    pub files_added: u64,
    /// Regular files that were removed.
    pub files_removed: u64,
    /// Regular files with another content.
    pub files_changed: u64,
    /// Anything else that was added.
    pub others_added: u64,
    /// Anything else that was removed.
    pub others_removed: u64,
    /// Links and devices that are not what they were.
    pub others_changed: u64,
    /// Things with other metadata and the same content.
    pub metadata_changed: u64,
    /// Things that are of another kind.
    pub type_changed: u64,
    /// Bytes of files that were added.
    pub bytes_added: u64,
    /// Bytes of files that were removed.
    pub bytes_removed: u64,
    /// Bytes that changed files had before.
    pub bytes_changed_before: u64,
    /// Bytes that changed files have now.
    pub bytes_changed_after: u64,
}

impl DiffSummary {
    fn add(&mut self, change: &Change<'_>) {
        let is_file = |entry: Option<&FileEntry>| entry.is_some_and(|entry| entry.kind == EntryKind::File);
        let (before, after) = (change.before.map_or(0, |entry| entry.size), change.after.map_or(0, |entry| entry.size));
        match change.difference {
            Difference::Added if is_file(change.after) => self.files_added += 1,
            Difference::Added => self.others_added += 1,
            Difference::Removed if is_file(change.before) => self.files_removed += 1,
            Difference::Removed => self.others_removed += 1,
            Difference::Content if is_file(change.after) => self.files_changed += 1,
            Difference::Content => self.others_changed += 1,
            Difference::Metadata => self.metadata_changed += 1,
            Difference::Type => self.type_changed += 1,
        }
        match change.difference {
            Difference::Content => {
                self.bytes_changed_before += before;
                self.bytes_changed_after += after;
            }
            Difference::Metadata => {}
            Difference::Added | Difference::Removed | Difference::Type => {
                self.bytes_added += after;
                self.bytes_removed += before;
            }
        }
    }
}

/// Hands every difference to `each`, in the order of the paths. Reads both manifests side by side.
///
/// # Errors
/// [`Error::NoPath`] if one of the paths is not there; errors of reading the manifests; those of `each`, at the first of which
/// it stops.
pub fn diff(
    repository: &Repository,
    before: Side<'_>,
    after: Side<'_>,
    each: &mut dyn FnMut(&Change<'_>) -> Result<()>,
) -> Result<DiffSummary> {
    diff_with_tables(repository, before, after, each, &mut |_| Ok(()))
}

/// The same, and each folder of Avro files that changed and is a table, after what changed in it.
///
/// # Errors
/// As of [`diff`], and those of `table`.
pub fn diff_with_tables(
    repository: &Repository,
    before: Side<'_>,
    after: Side<'_>,
    each: &mut dyn FnMut(&Change<'_>) -> Result<()>,
    table: &mut dyn FnMut(&TableChange) -> Result<()>,
) -> Result<DiffSummary> {
    let snapshots = [before.snapshot, after.snapshot];
    unless_any_moved(repository, snapshots, compared(repository, before, after, each, table))
}

fn compared(
    repository: &Repository,
    before: Side<'_>,
    after: Side<'_>,
    each: &mut dyn FnMut(&Change<'_>) -> Result<()>,
    table: &mut dyn FnMut(&TableChange) -> Result<()>,
) -> Result<DiffSummary> {
    let (mut summary, mut tables) = (DiffSummary::default(), tables::Tables::new(repository));
    let (mut old, mut new) = (Rows::new(repository, before)?, Rows::new(repository, after)?);
    let (mut left, mut right) = (old.next()?, new.next()?);
    loop {
        let order = match (&left, &right) {
            (None, None) => {
                tables.finish(table)?;
                return Ok(summary);
            }
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(left), Some(right)) => path_order(old.relative(left), new.relative(right)),
        };
        let was = if order.is_le() { left.take() } else { None };
        let is = if order.is_ge() { right.take() } else { None };
        let difference = match (&was, &is) {
            (Some(was), Some(is)) => compare(repository, (before.snapshot, was), (after.snapshot, is))?,
            (Some(_), None) => Some(Difference::Removed),
            (None, _) => Some(Difference::Added),
        };
        let old_path = was.as_ref().map(|was| old.relative(was));
        let path = old_path.or_else(|| is.as_ref().map(|is| new.relative(is))).unwrap_or_default();
        let (was, is) = (was.as_ref(), is.as_ref());
        tables.row(path, was, is, difference, table)?;
        if let Some(difference) = difference {
            let avro = match difference {
                Difference::Metadata => None,
                _ => tables.file(was, is)?,
            };
            let change = Change { difference, path, before: was, after: is, avro };
            summary.add(&change);
            each(&change)?;
        }
        if order.is_le() {
            left = old.next()?;
        }
        if order.is_ge() {
            right = new.next()?;
        }
    }
}

/// The rows of one side.
struct Rows<'a> {
    rows: ManifestReader<&'a Repository>,
    path: &'a [u8],
}

impl<'a> Rows<'a> {
    fn new(repository: &'a Repository, Side { snapshot, path }: Side<'a>) -> Result<Self> {
        let mut rows = snapshot.rows(repository);
        rows.seek(path)?;
        let found = rows.peek()?.is_some_and(|row| is_at_or_below(&row.path, path));
        match found || path.is_empty() {
            true => Ok(Self { rows, path }),
            false => {
                Err(Error::NoPath { path: String::from_utf8_lossy(path).into_owned(), snapshot: snapshot.id.short() })
            }
        }
    }

    fn next(&mut self) -> Result<Option<FileEntry>> {
        Ok(self.rows.next_row()?.filter(|row| is_at_or_below(&row.path, self.path)))
    }

    /// The path counted from the one that is compared.
    fn relative<'e>(&self, entry: &'e FileEntry) -> &'e [u8] {
        let rest = entry.path.get(self.path.len()..).unwrap_or_default();
        rest.strip_prefix(b"/").unwrap_or(rest)
    }
}

fn compare(
    repository: &Repository,
    (before, was): (&SnapshotRoot, &FileEntry),
    (after, is): (&SnapshotRoot, &FileEntry),
) -> Result<Option<Difference>> {
    if std::mem::discriminant(&was.kind) != std::mem::discriminant(&is.kind) {
        return Ok(Some(Difference::Type));
    }
    let same_content = was.kind == is.kind
        && was.size == is.size
        && (is.kind != EntryKind::File || content(repository, before, was)? == content(repository, after, is)?);
    if !same_content {
        return Ok(Some(Difference::Content));
    }
    let same_metadata = (was.mode, was.uid, was.gid, was.mtime) == (is.mode, is.uid, is.gid, is.mtime)
        && (&was.user, &was.group, &was.xattrs, &was.hard_link) == (&is.user, &is.group, &is.xattrs, &is.hard_link);
    Ok((!same_metadata).then_some(Difference::Metadata))
}

/// The hash of a file's content; another name of a file has that of the first.
fn content(repository: &Repository, snapshot: &SnapshotRoot, entry: &FileEntry) -> Result<Option<ContentHash>> {
    match &entry.hard_link {
        None => Ok(entry.content),
        Some(first) => Ok(snapshot.rows(repository).find(first)?.and_then(|row| row.content)),
    }
}

impl Difference {
    /// One letter, as the command line shows it.
    pub fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Content => 'M',
            Self::Metadata => 'U',
            Self::Type => 'T',
        }
    }
}

impl Serialize for Change<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut change = serializer.serialize_map(None)?;
        put_text(&mut change, "path", self.path)?;
        change.serialize_entry("modifier", &self.difference.sign())?;
        change.serialize_entry("type_before", &self.before.map(|entry| entry.kind.name()))?;
        change.serialize_entry("type_after", &self.after.map(|entry| entry.kind.name()))?;
        change.serialize_entry("size_before", &self.before.map(|entry| entry.size))?;
        change.serialize_entry("size_after", &self.after.map(|entry| entry.size))?;
        if let Some(avro) = &self.avro {
            avro.put(&mut change)?;
        }
        change.end()
    }
}
