//! `diff --records`: which records of a table changed from one snapshot to another.
//!
//! 1. Each side is the files of a table ([`table`]), whose records are read with the newest schema of the later side.
//! 2. Equal files and chunks of both sides are left out by their ids ([`skip`]), as often as both have them.
//! 3. What is left is decoded ([`jobs`]) and cancelled record by record, by hashes ([`pending`]). What does not fit into memory
//!    goes to a temporary file without a name ([`spill`]).
//! 4. What is left then is matched by its key ([`matching`]).
//!
//! So the cost follows the change, and so does the memory; both are bounded by the tables.

mod change;
mod feed;
mod jobs;
mod keys;
mod matching;
mod pending;
mod side;
mod skip;
mod spill;
mod table;
mod units;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use change::{Operation, RecordChange};
pub use feed::{FeedCodec, FeedWriter};
pub use side::Side;
pub use table::ReaderSchema;

pub(crate) use change::json;
pub(crate) use jobs::{Batch, Jobs, Keep, What, each_batch, read};
pub(crate) use keys::Key;
pub(crate) use pending::{ByHash, RecordHash};
pub(crate) use skip::Skipped;
pub(crate) use table::{Opener, TableFile};
pub(crate) use units::is_whole;

use change::Describer;
use keys::AllFields;
use matching::{KeyOf, Matching};

use crate::avro::codec::Decoder;
use crate::avro::filter::{Expression, Filter};
use crate::error::{Error, Result};
use crate::read::avro_file::{AvroFile, Piece};
use crate::store::{Repository, unless_any_moved};
use crate::values;

/// How records are compared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct RecordDiffOptions {
    /// The fields that say which record is which, like `id` and `customer.id`. Without them nothing is an update.
    #[serde(deserialize_with = "values::words")]
    pub key: Vec<String>,
    /// Only records of which this is true, on each side: a record that it is true of no longer counts as deleted.
    pub r#where: Option<Expression>,
    /// How much is held in memory before it goes to a temporary file, in bytes.
    #[serde(skip)]
    pub memory: usize,
}

impl Default for RecordDiffOptions {
    fn default() -> Self {
        Self { key: Vec::new(), r#where: None, memory: MEMORY }
    }
}

impl RecordDiffOptions {
    values::setters! {
        each key: String;
        is r#where: Option<Expression>;
        the memory: usize;
    }
}

/// How much is held in memory: records with what belongs to them.
const MEMORY: usize = 40 << 20;

/// Something in a file that is not sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFault {
    /// The file.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub reason: String,
}

/// How many faults are listed.
const LISTED: usize = 100;

/// Result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RecordDiffReport {
    /// Records that were inserted.
    pub inserted: u64,
    /// Records whose key stayed while other fields changed.
    pub updated: u64,
    /// Records that were deleted.
    pub deleted: u64,
    /// Records of the earlier side.
    pub records_before: u64,
    /// Records of the later side.
    pub records_after: u64,
    /// Keys with several records of the earlier side that the later side does not have.
    pub duplicate_keys_before: u64,
    /// The same of the later side.
    pub duplicate_keys_after: u64,
    /// Files of the earlier side.
    pub files_before: u64,
    /// Files of the later side.
    pub files_after: u64,
    /// Files of the later side that were not read, since the earlier one has the same records in one.
    pub files_skipped: u64,
    /// Chunks of one side that were not read, since the other has them, too; those of files that were skipped do not count.
    pub chunks_skipped: u64,
    /// Records of the later side that were not looked at: those of such files and chunks.
    pub records_skipped: u64,
    /// Records of both sides that were decoded.
    pub records_decoded: u64,
    /// Records that went to a temporary file, since they did not fit into memory.
    pub records_spilled: u64,
    /// What is wrong with the files, the first 100 of it.
    #[serde(serialize_with = "crate::report::count")]
    pub faults: Vec<RecordFault>,
}

/// A table over several snapshots, whose changes are asked for.
pub struct RecordFeed<'r> {
    repository: &'r Repository,
    sides: Vec<Side>,
    reader: Arc<ReaderSchema>,
    key: Option<Key>,
    filter: Option<Filter>,
    memory: usize,
}

impl<'r> RecordFeed<'r> {
    /// Prepares to compare each of the sides with the one before it. All records are read with one schema, the newest of the
    /// last side that has files.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if no side has files, the schema has no such key, or the filter does not go with it; [`Error::NoRecords`].
    pub fn new(repository: &'r Repository, sides: Vec<Side>, options: &RecordDiffOptions) -> Result<Self> {
        let last = sides.iter().rev().find(|side| !side.files.is_empty());
        let last = last.ok_or_else(|| Error::argument("path", "there are no Avro files to compare"))?;
        let refused = |reason: &String| Error::NoRecords {
            path: last.files.first().map(|file| String::from_utf8_lossy(&file.path).into_owned()).unwrap_or_default(),
            source: reason.clone().into(),
        };
        let reader = last.schema.as_ref().map_err(refused)?.clone();
        let key = if options.key.is_empty() { None } else { Some(Key::new(&reader, &options.key)?) };
        let filter = options.r#where.as_ref().map(|filter| Filter::new(filter, &reader.schema)).transpose();
        let filter = filter.map_err(|error| Error::argument("where", format!("where: {error}")))?;
        Ok(Self { repository, sides, reader, key, filter, memory: options.memory })
    }

    /// The schema that all records are read with.
    pub fn schema(&self) -> &ReaderSchema {
        &self.reader
    }

    /// A writer of the feed as an Avro file.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the schema cannot stand within that of a feed.
    pub fn writer(&self, codec: FeedCodec) -> Result<FeedWriter<'_>> {
        FeedWriter::new(&self.reader, self.key.as_ref(), codec)
    }

    /// Hands over all changes, snapshot by snapshot; those of a snapshot in no order that means anything. Returns a report for
    /// each snapshot but the first.
    ///
    /// # Errors
    /// [`Error::NoRecords`] if a file cannot be read with the schema; errors of reading; those of `each`, at the first of which it
    /// stops.
    pub fn run(&self, each: &mut dyn FnMut(&RecordChange<'_>) -> Result<()>) -> Result<Vec<RecordDiffReport>> {
        let pairs = self.sides.windows(2).filter_map(|pair| pair.first().zip(pair.get(1)));
        pairs
            .map(|(before, after)| {
                let roots = [&before.snapshot, &after.snapshot];
                unless_any_moved(self.repository, roots, self.compare(before, after, each))
            })
            .collect()
    }

    fn compare(
        &self,
        before: &Side,
        after: &Side,
        each: &mut dyn FnMut(&RecordChange<'_>) -> Result<()>,
    ) -> Result<RecordDiffReport> {
        let mut opener = Opener::new(self.repository, &self.reader);
        let mut open =
            |side: &Side| side.files.iter().map(|entry| opener.open(entry.clone())).collect::<Result<Vec<_>>>();
        let (old, new) = (open(before)?, open(after)?);
        let describer = Describer {
            reader: &self.reader,
            key: self.key.as_ref(),
            fields: AllFields::new(&self.reader),
            snapshot: &after.snapshot,
        };
        let key_of =
            |record: &[u8], key: &mut Vec<u8>| self.key.as_ref().map_or(Ok(()), |fields| fields.of(record, key));
        let key = self.key.is_some().then_some(&key_of as KeyOf<'_>);
        let comparison = Comparison { repository: self.repository, files: [&old, &new], memory: self.memory };
        comparison.run(key, self.filter.as_ref(), &mut |before, after, duplicate| {
            each(&describer.change(before, after, duplicate)?)
        })
    }
}

impl std::fmt::Debug for RecordFeed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordFeed").field("sides", &self.sides.len()).finish_non_exhaustive()
    }
}

/// A record before and after, and whether its key is a duplicate.
pub(crate) type EachChange<'e> = dyn FnMut(Option<&[u8]>, Option<&[u8]>, bool) -> Result<()> + 'e;

/// Two tables that are compared.
pub(crate) struct Comparison<'c> {
    pub(crate) repository: &'c Repository,
    pub(crate) files: [&'c [TableFile]; 2],
    pub(crate) memory: usize,
}

impl Comparison<'_> {
    /// Hands over the change of each record that is not on both sides.
    pub(crate) fn run(
        &self,
        key: Option<KeyOf<'_>>,
        keep: Keep<'_>,
        each: &mut EachChange<'_>,
    ) -> Result<RecordDiffReport> {
        let Self { repository, files, memory } = *self;
        let skipped = Skipped::find(repository, files)?;
        let [old, new] = files;
        let sound = |files: &[TableFile]| -> u64 {
            files.iter().filter(|file| file.sound_recipe().is_some()).map(TableFile::records).sum()
        };
        let mut report = RecordDiffReport {
            records_before: sound(old),
            records_after: sound(new),
            files_before: old.len() as u64,
            files_after: new.len() as u64,
            files_skipped: skipped.files,
            chunks_skipped: skipped.chunks,
            records_skipped: skipped.records,
            ..RecordDiffReport::default()
        };
        let matching = std::cell::RefCell::new(Matching::new(key, memory));
        let add = |side: usize, batch: &Batch| -> Result<()> {
            let mut matching = matching.borrow_mut();
            batch.records().try_for_each(|(hash, record)| matching.add(side == 1, hash, record))
        };
        let (mut decoded, mut unsound) = (0, [0; 2]);
        let jobs = [0, 1].map(|side| Jobs::new(repository, if side == 0 { old } else { new }, side, &skipped));
        each_batch(
            repository,
            jobs,
            keep,
            &mut |side, _, batch| {
                decoded += batch.read();
                add(side, &batch)
            },
            &mut |side, file| {
                let Some(file) = (if side == 0 { old } else { new }).get(file) else { return Ok(()) };
                read_unsound(repository, file, keep, &mut report.faults, &mut |batch| {
                    if let Some(count) = unsound.get_mut(side) {
                        *count += batch.read();
                    }
                    add(side, batch)
                })
            },
        )?;
        report.records_before += unsound[0];
        report.records_after += unsound[1];
        report.records_decoded = decoded + unsound[0] + unsound[1];
        // What was decoded is not asked for again.
        repository.reader().forget_frames();
        let (duplicates, spilled) = matching.into_inner().finish(&mut |matched| {
            let counter = match (matched.before, matched.after) {
                (Some(_), Some(_)) => &mut report.updated,
                (Some(_), None) => &mut report.deleted,
                (None, _) => &mut report.inserted,
            };
            *counter += matched.count;
            (0..matched.count).try_for_each(|_| each(matched.before, matched.after, matched.duplicate))
        })?;
        report.duplicate_keys_before = duplicates.before;
        report.duplicate_keys_after = duplicates.after;
        report.records_spilled = spilled;
        Ok(report)
    }
}

/// Reads the sound records of a file block by block, and notes what is not sound.
pub(crate) fn read_unsound(
    repository: &Repository,
    file: &TableFile,
    keep: Keep<'_>,
    faults: &mut Vec<RecordFault>,
    each: &mut dyn FnMut(&Batch) -> Result<()>,
) -> Result<()> {
    let mut fault = |reason: String| {
        if faults.len() < LISTED {
            faults.push(RecordFault { path: file.entry.path.clone(), reason });
        }
    };
    let mut avro = AvroFile::open(repository, &file.entry)?.map_err(|reason| file.no_records(reason))?;
    let (mut decoder, mut buffer) = (Decoder::new(), Vec::new());
    while let Some(piece) = avro.next_piece(|_| true)? {
        let block = match piece {
            Piece::Block(block) => block,
            Piece::Stray(bytes) => {
                fault(format!("{bytes} bytes that are no sound block"));
                continue;
            }
            Piece::Passed { .. } => continue,
        };
        let mut batch = Batch::default();
        let read = match block.plain(file.codec, &mut decoder, &mut buffer) {
            Ok(plain) => batch.add(file, plain, block.count, keep)?,
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = read {
            fault(format!("block {}: {reason}", block.ordinal));
        }
        each(&batch)?;
    }
    Ok(())
}
