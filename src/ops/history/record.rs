//! The states of one record.
//!
//! Only snapshots in which files of the table changed are looked at, and of these only the chunks that no snapshot before had.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::super::record_diff::{
    Batch, ByHash, Jobs, Opener, ReaderSchema, RecordFault, RecordHash, Skipped, TableFile, What, each_batch, is_whole,
    json, read, read_unsound,
};
use super::{BySeries, Contents, contents, side};
use crate::avro::filter::{Expression, Filter};
use crate::avro::records::{Encoding, Fields};
use crate::error::{Error, Result};
use crate::id::ContentHash;
use crate::report::utc;
use crate::snapshot::SnapshotRoot;
use crate::store::{Repository, unless_moved};

/// Snapshots of a series, one after the other, in which a record is the same, or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPeriod {
    /// The first of them.
    pub since: SnapshotRoot,
    /// The last of them.
    pub until: SnapshotRoot,
    /// How many there are.
    pub snapshots: u64,
    /// What it is: several where the key is not unique, none where it is missing. Encoded with the schema of the history.
    pub records: Vec<Vec<u8>>,
}

/// The life of a record of a table.
#[derive(Debug)]
pub struct RecordHistory {
    /// What it was, by its series in the order of their first snapshots, and then by time.
    pub periods: Vec<RecordPeriod>,
    /// How many records were looked at for that.
    pub records_decoded: u64,
    /// What is wrong with the files.
    pub faults: Vec<RecordFault>,
    reader: Arc<ReaderSchema>,
}

/// Records that were found.
type Records = Vec<Arc<[u8]>>;

/// What was found so far.
struct Search<'r> {
    repository: &'r Repository,
    reader: &'r ReaderSchema,
    wanted: &'r Filter,
    /// What files hold that were searched.
    files: HashMap<(Option<ContentHash>, u64), Records>,
    /// Chunks that were searched, and what of them holds the record.
    searched: HashSet<RecordHash>,
    found: ByHash<Records>,
    decoded: u64,
    faults: Vec<RecordFault>,
}

impl RecordHistory {
    /// Follows the records of which a condition is true, mostly the one with a [key](Expression::of_keys), through snapshots, given by
    /// their time. Records are read with the newest schema of the last snapshot that has the table.
    ///
    /// # Errors
    /// [`Error::NoPath`] if no snapshot has it; [`Error::InvalidArgument`] if the condition does not go with the schema; [`Error::NoRecords`]; errors of
    /// reading.
    pub fn find<'s>(
        repository: &Arc<Repository>,
        snapshots: impl DoubleEndedIterator<Item = &'s SnapshotRoot> + Clone,
        path: &[u8],
        key: &Expression,
    ) -> Result<Self> {
        let reader = reader_of(repository, snapshots.clone().rev(), path)?;
        let wanted = Filter::new(key, &reader.schema).map_err(|error| Error::argument("key", error.to_string()))?;
        let mut search = Search {
            repository,
            reader: &reader,
            wanted: &wanted,
            files: HashMap::new(),
            searched: HashSet::new(),
            found: ByHash::default(),
            decoded: 0,
            faults: Vec::new(),
        };
        let (mut known, mut order): (BySeries<(Contents, Vec<RecordPeriod>)>, Vec<String>) = Default::default();
        for snapshot in snapshots {
            let is = side(repository, snapshot, path)?;
            let now = contents(is.as_ref());
            let (before, periods) = known.entry(snapshot.series.clone()).or_insert_with(|| {
                order.push(snapshot.series.clone());
                Default::default()
            });
            let records = match periods.last() {
                Some(last) if *before == now => last.records.clone(),
                _ => match &is {
                    Some(side) => unless_moved(repository, snapshot, search.table(&side.files))?,
                    None => Vec::new(),
                },
            };
            *before = now;
            match periods.last_mut() {
                Some(last) if last.records == records => {
                    last.until = snapshot.clone();
                    last.snapshots += 1;
                }
                _ => {
                    let (since, until) = (snapshot.clone(), snapshot.clone());
                    periods.push(RecordPeriod { since, until, snapshots: 1, records });
                }
            }
        }
        let (records_decoded, faults) = (search.decoded, search.faults);
        let periods = order.iter().filter_map(|series| known.remove(series)).flat_map(|(_, periods)| periods).collect();
        Ok(Self { periods, records_decoded, faults, reader })
    }

    /// Whether any snapshot has the record.
    pub fn is_found(&self) -> bool {
        self.periods.iter().any(|period| !period.records.is_empty())
    }

    /// The records of a period as JSON.
    ///
    /// # Errors
    /// If values that take no bytes make too much text of one.
    pub fn json(&self, period: &RecordPeriod) -> Result<Vec<String>> {
        period.records.iter().map(|record| json(&self.reader, &Fields::ALL, Encoding::Plain, record)).collect()
    }
}

/// The newest schema of the last snapshot that has the table.
fn reader_of<'s>(
    repository: &Arc<Repository>,
    newest_first: impl Iterator<Item = &'s SnapshotRoot>,
    path: &[u8],
) -> Result<Arc<ReaderSchema>> {
    for snapshot in newest_first {
        if let Some(side) = side(repository, snapshot, path)? {
            let refused = |reason: String| Error::NoRecords {
                path: String::from_utf8_lossy(path).into_owned(),
                source: reason.into(),
            };
            return side.schema.map_err(refused);
        }
    }
    Err(Error::NoPath { path: String::from_utf8_lossy(path).into_owned(), snapshot: "any".into() })
}

impl Search<'_> {
    /// The records of a table that are wanted, in the order of their bytes.
    fn table(&mut self, files: &[crate::snapshot::entry::FileEntry]) -> Result<Vec<Vec<u8>>> {
        let mut opener = Opener::new(self.repository, self.reader);
        let mut all = Vec::new();
        for entry in files {
            let key = (entry.content, entry.size);
            if !self.files.contains_key(&key) {
                let found = self.file(&[opener.open(entry.clone())?])?;
                self.files.insert(key, found);
            }
            all.extend(self.files.get(&key).into_iter().flatten().map(|record| record.to_vec()));
        }
        all.sort();
        Ok(all)
    }

    /// Searches a file. What of it was searched before is not read.
    fn file(&mut self, files: &[TableFile; 1]) -> Result<Vec<Arc<[u8]>>> {
        let Self { repository, wanted, .. } = *self;
        let [file] = files;
        let mut all = Vec::new();
        let known = Skipped::known(repository, files, &mut |key| {
            all.extend(self.found.get(&key).into_iter().flatten().cloned());
            self.searched.contains(&key)
        })?;
        let nothing = Skipped::default();
        let jobs = [Jobs::new(repository, files, 0, &known), Jobs::new(repository, &[], 1, &nothing)];
        let records = |batch: &Batch| -> Vec<Arc<[u8]>> { batch.records().map(|(_, record)| record.into()).collect() };
        let mut unsound = Vec::new();
        let (decoded, searched, found, faults) =
            (&mut self.decoded, &mut self.searched, &mut self.found, &mut self.faults);
        let mut unsound_decoded = 0;
        each_batch(
            repository,
            jobs,
            Some(wanted),
            &mut |_, job, batch| {
                *decoded += batch.read();
                let here = records(&batch);
                let is_whole = |what: &What| match what {
                    What::Pieces(pieces) => pieces.iter().all(|piece| is_whole(repository, &piece.id)),
                    _ => true,
                };
                if here.is_empty() {
                    // A job begins and ends with a record, but a piece within it may not.
                    if is_whole(&job.what) {
                        searched.extend(job.keys);
                    }
                    return Ok(());
                }
                all.extend(here);
                // Which of its parts holds the record is known once each is read by itself.
                if let What::Pieces(pieces) = &job.what
                    && pieces.len() == job.keys.len()
                    && is_whole(&job.what)
                {
                    for (piece, key) in pieces.iter().zip(&job.keys) {
                        let alone = read(repository, file, &What::Pieces(vec![piece.clone()]), Some(wanted))?;
                        searched.insert(*key);
                        if alone.records().next().is_some() {
                            found.insert(*key, records(&alone));
                        }
                    }
                }
                Ok(())
            },
            &mut |_, _| {
                read_unsound(repository, file, Some(wanted), faults, &mut |batch| {
                    unsound_decoded += batch.read();
                    unsound.extend(records(batch));
                    Ok(())
                })
            },
        )?;
        self.decoded += unsound_decoded;
        all.extend(unsound);
        Ok(all)
    }
}

impl Serialize for RecordPeriod {
    /// Without the records, which are JSON already.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut period = serializer.serialize_map(None)?;
        period.serialize_entry("series", &self.since.series)?;
        period.serialize_entry("since_id", &self.since.id)?;
        period.serialize_entry("since", &utc(i128::from(self.since.time)))?;
        period.serialize_entry("until_id", &self.until.id)?;
        period.serialize_entry("until", &utc(i128::from(self.until.time)))?;
        period.serialize_entry("snapshots", &self.snapshots)?;
        period.serialize_entry("present", &!self.records.is_empty())?;
        period.end()
    }
}
