//! When a file or a table changed.

use std::collections::HashMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::super::record_diff::{ReaderSchema, RecordDiffOptions, RecordFeed, Side};
use super::{BySeries, Contents, contents, side};
use crate::avro::compat::Comparison;
use crate::error::{Error, Result};
use crate::id::hex;
use crate::report::utc;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::Repository;
use crate::values;

/// How a table is followed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct TableLogOptions {
    /// Count records by files only, without reading any: all records of a file whose content changed count as deleted and
    /// inserted.
    pub quick: bool,
}

impl TableLogOptions {
    values::setters! {
        is quick: bool;
    }
}

/// What happened to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableEvent {
    /// It is there, where nothing was before.
    Appeared,
    /// Its files are others, or hold something else.
    Changed,
    /// It is not there any more.
    Removed,
}

impl TableEvent {
    /// The name that programs see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// By what records that were inserted and deleted were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// By the records themselves.
    Records,
    /// By the files that hold them.
    Files,
}

impl Counted {
    /// The name that programs see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Files => "files",
        }
    }
}

/// A snapshot in which a table changed.
#[derive(Debug)]
pub struct TableChange<'s> {
    /// The first snapshot that shows it.
    pub snapshot: &'s SnapshotRoot,
    /// What happened.
    pub event: TableEvent,
    /// How many files it has.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many records they hold; none if one is no Avro file.
    pub records: Option<u64>,
    /// Records that were not there before, and those that are not there any more. An update counts as both.
    pub inserted: Option<u64>,
    /// See `inserted`.
    pub deleted: Option<u64>,
    /// How these were counted.
    pub counted: Counted,
    /// The fingerprint of the newest schema; none if there is none.
    pub fingerprint: Option<String>,
    /// How that goes together with the one before: `full`, `backward`, `forward`, `none`; none if it is the same.
    pub verdict: Option<&'static str>,
    /// Why records could not be compared.
    pub error: Option<String>,
}

/// What is known of a table in a series.
struct Known {
    contents: Contents,
    side: Option<Side>,
}

impl Known {
    fn schema(&self) -> Option<&ReaderSchema> {
        self.side.as_ref().and_then(schema_of)
    }
}

/// The newest schema of a table. That there is none is no reason not to say that it changed.
fn schema_of(side: &Side) -> Option<&ReaderSchema> {
    side.schema.as_deref().ok()
}

/// Follows the table at a path through snapshots, given by their time, and hands over each change. Snapshots are compared with
/// those of their own series.
///
/// # Errors
/// Errors of reading; those of `each`, at the first of which it stops.
pub fn table_log<'s>(
    repository: &Arc<Repository>,
    snapshots: impl Iterator<Item = &'s SnapshotRoot>,
    path: &[u8],
    options: &TableLogOptions,
    each: &mut dyn FnMut(&TableChange<'s>) -> Result<()>,
) -> Result<u64> {
    let (mut series, mut changes): (BySeries<Known>, u64) = Default::default();
    for snapshot in snapshots {
        let is = side(repository, snapshot, path)?;
        let now = contents(is.as_ref());
        let was = series.remove(&snapshot.series);
        let is_same = was.as_ref().map_or(now.is_empty(), |was| was.contents == now);
        if is_same {
            let known = was.unwrap_or(Known { contents: now, side: None });
            series.insert(snapshot.series.clone(), known);
            continue;
        }
        let change = change(repository, snapshot, was.as_ref(), is.as_ref(), options)?;
        changes += 1;
        each(&change)?;
        series.insert(snapshot.series.clone(), Known { contents: now, side: is });
    }
    Ok(changes)
}

fn change<'s>(
    repository: &Repository,
    snapshot: &'s SnapshotRoot,
    was: Option<&Known>,
    is: Option<&Side>,
    options: &TableLogOptions,
) -> Result<TableChange<'s>> {
    let old = was.and_then(|was| was.side.as_ref());
    let files = is.map_or(&[][..], |is| &is.files);
    let event = match (old, is) {
        (None, _) => TableEvent::Appeared,
        (Some(_), None) => TableEvent::Removed,
        (Some(_), Some(_)) => TableEvent::Changed,
    };
    let (before, schema) = (was.and_then(Known::schema), is.and_then(schema_of));
    let verdict = before
        .zip(schema)
        .filter(|(before, after)| before.text != after.text)
        .map(|(before, after)| Comparison::new(&before.schema, &after.schema).verdict().name());
    let mut change = TableChange {
        snapshot,
        event,
        files: files.len() as u64,
        bytes: files.iter().map(|file| file.size).sum(),
        records: records(files),
        inserted: None,
        deleted: None,
        counted: Counted::Files,
        fingerprint: schema.map(|schema| hex(&schema.schema.fingerprint().to_le_bytes())),
        verdict,
        error: None,
    };
    let old_files = old.map_or(&[][..], |old| &old.files);
    let by_files = [only_in(files, old_files), only_in(old_files, files)];
    let is_known = by_files.iter().all(Option::is_some);
    [change.inserted, change.deleted] = by_files;
    // Where one side has nothing that the other has not, files tell all that there is to count.
    if let (Some(old), Some(is)) = (old, is)
        && is_known
        && !options.quick
        && change.inserted != Some(0)
        && change.deleted != Some(0)
    {
        match compared(repository, old, is) {
            Ok((inserted, deleted)) => {
                (change.inserted, change.deleted) = (Some(inserted), Some(deleted));
                change.counted = Counted::Records;
            }
            Err(error @ Error::NoRecords { .. }) => change.error = Some(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(change)
}

fn compared(repository: &Repository, old: &Side, is: &Side) -> Result<(u64, u64)> {
    let sides = vec![old.clone(), is.clone()];
    let reports = RecordFeed::new(repository, sides, &RecordDiffOptions::default())?.run(&mut |_| Ok(()))?;
    Ok(reports.first().map_or((0, 0), |report| (report.inserted, report.deleted)))
}

/// How many records files hold; none if one is no Avro file.
fn records(files: &[FileEntry]) -> Option<u64> {
    files.iter().map(|file| file.avro.as_ref().map(|facts| facts.verified_records)).sum()
}

/// How many records those files hold that others have not.
fn only_in(files: &[FileEntry], others: &[FileEntry]) -> Option<u64> {
    let mut counts: HashMap<_, u64> = HashMap::new();
    others.iter().for_each(|file| *counts.entry((file.content, file.size)).or_default() += 1);
    let only = files.iter().filter(|file| match counts.get_mut(&(file.content, file.size)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
    only.map(|file| file.avro.as_ref().map(|facts| facts.verified_records)).sum()
}

impl Serialize for TableChange<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut change = serializer.serialize_map(None)?;
        change.serialize_entry("snapshot_id", &self.snapshot.id)?;
        change.serialize_entry("time", &utc(i128::from(self.snapshot.time)))?;
        change.serialize_entry("series", &self.snapshot.series)?;
        change.serialize_entry("event", self.event.name())?;
        change.serialize_entry("files", &self.files)?;
        change.serialize_entry("bytes", &self.bytes)?;
        change.serialize_entry("records", &self.records)?;
        change.serialize_entry("inserted", &self.inserted)?;
        change.serialize_entry("deleted", &self.deleted)?;
        change.serialize_entry("counted", self.counted.name())?;
        change.serialize_entry("fingerprint", &self.fingerprint)?;
        change.serialize_entry("verdict", &self.verdict)?;
        change.serialize_entry("error", &self.error)?;
        change.end()
    }
}
