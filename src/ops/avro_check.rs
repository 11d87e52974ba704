//! `check --avro`: are the records of every Avro file what its schema says?

use std::collections::HashSet;

use rayon::prelude::*;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::avro::block::Trouble;
use crate::avro::codec::{Codec, Decoder};
use crate::avro::schema::Schema;
use crate::avro::walk::{BlockFault, WalkError};
use crate::error::{Error, Result};
use crate::id::{SnapshotId, digest};
use crate::progress::{Phase, Progress};
use crate::read::avro_file::{AvroFile, NotAvro, Piece, StoredBlock};
use crate::report::{self, put_text};
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{AvroFacts, AvroState, FileEntry};
use crate::store::Repository;
use crate::tables::{Fault, Wanted};

/// Something that was found about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A snapshot that holds it.
    pub snapshot: SnapshotId,
    /// Its path in the snapshot.
    pub path: Vec<u8>,
    /// What was known about it when it was saved.
    pub state: AvroState,
    /// What is wrong; none if it cannot be looked into.
    pub fault: Option<Fault>,
    /// The same in words.
    pub reason: String,
}

/// Result of the check.
#[derive(Debug, Default, serde::Serialize)]
pub struct AvroCheckReport {
    /// Avro files in the snapshots.
    pub files: u64,
    /// Different ones among them: each is decoded once.
    #[serde(rename = "distinct_files")]
    pub distinct: u64,
    /// Blocks that were decoded.
    pub blocks: u64,
    /// Sound records in them.
    pub records: u64,
    /// Files that were like that when they were saved: no damage of the repository.
    #[serde(serialize_with = "report::count")]
    pub unsound: Vec<Finding>,
    /// Files that cannot be looked into: of an unknown codec, or beyond this program's limits. Nothing is known to be wrong
    /// with them.
    #[serde(serialize_with = "report::count")]
    pub undecided: Vec<Finding>,
    /// Files whose records were all sound when they were saved, and are not now.
    #[serde(serialize_with = "report::count")]
    pub damaged: Vec<Finding>,
    /// Errors of files that could not be read.
    #[serde(serialize_with = "report::count")]
    pub problems: Vec<Error>,
}

/// The latest snapshot of each series, in the order given.
pub fn latest_of_each_series<'l>(
    snapshots: impl DoubleEndedIterator<Item = &'l SnapshotRoot>,
) -> Vec<&'l SnapshotRoot> {
    let mut seen = HashSet::new();
    let mut latest: Vec<_> = snapshots.rev().filter(|root| seen.insert(&root.series)).collect();
    latest.reverse();
    latest
}

/// How many files are looked at in one go.
const BATCH: usize = 1024;

/// How many bytes of blocks are decoded in one go, and how many blocks: they may be of no bytes.
const BATCH_BYTES: usize = 4 << 20;
const BATCH_BLOCKS: usize = 4096;

/// How many faults of one file are listed.
const LISTED: usize = 20;

/// Decodes the records of the Avro files in these snapshots. What is wrong is in the report, not an error. Files that
/// were saved without looking into them (`--avro bytes`) are not known to be Avro, and are skipped.
///
/// # Errors
/// If a manifest cannot be read, or the work itself cannot be done.
pub fn avro_check(
    repository: &Repository,
    snapshots: &[&SnapshotRoot],
    progress: &dyn Progress,
) -> Result<AvroCheckReport> {
    let rows = snapshots.iter().flat_map(|snapshot| {
        let mut rows = snapshot.rows(repository);
        std::iter::from_fn(move || rows.next_row().transpose().map(|row| Ok((snapshot.id, row?))))
    });
    checked(repository, rows, progress)
}

/// The same of the Avro files that are meant.
///
/// # Errors
/// As of [`avro_check`]; [`Error::NoPath`] if there is nothing at a path.
pub fn avro_check_of(repository: &Repository, wanted: &[Wanted], progress: &dyn Progress) -> Result<AvroCheckReport> {
    for one in wanted {
        let fits = |row: &Result<FileEntry>| row.as_ref().is_ok_and(|row| one.fits(&row.path));
        if !one.path().is_empty() && !one.rows().any(|row| row.is_err() || fits(&row)) {
            let path = String::from_utf8_lossy(one.path()).into_owned();
            return Err(Error::NoPath { path, snapshot: one.snapshot().id().short() });
        }
    }
    let rows = wanted.iter().flat_map(|one| {
        let meant = |row: &Result<FileEntry>| row.as_ref().is_ok_and(|row| one.fits(&row.path)) || row.is_err();
        one.rows().filter(meant).map(|row| Ok((one.snapshot().id(), row?)))
    });
    checked(repository, rows, progress)
}

fn checked(
    repository: &Repository,
    rows: impl Iterator<Item = Result<(SnapshotId, FileEntry)>>,
    progress: &dyn Progress,
) -> Result<AvroCheckReport> {
    let pool = repository.runtime().compute()?;
    progress.begin(Phase::CheckData, None, None);
    let (mut report, mut seen, mut batch) = (AvroCheckReport::default(), HashSet::new(), Vec::new());
    for row in rows {
        let (snapshot, row) = row?;
        let Some(facts) = row.avro.clone().filter(|_| row.size > 0) else { continue };
        report.files += 1;
        if row.recipe.is_empty() || !seen.insert(digest(&row.recipe)) {
            continue;
        }
        report.distinct += 1;
        progress.more_ahead(1, row.size);
        batch.push((snapshot, row, facts));
        if batch.len() >= BATCH {
            look(repository, pool, std::mem::take(&mut batch), &mut report, progress);
        }
    }
    look(repository, pool, batch, &mut report, progress);
    Ok(report)
}

type CheckJob = (SnapshotId, FileEntry, AvroFacts);

fn look(
    repository: &Repository,
    pool: &rayon::ThreadPool,
    jobs: Vec<CheckJob>,
    report: &mut AvroCheckReport,
    progress: &dyn Progress,
) {
    let looked: Vec<_> = pool.install(|| {
        jobs.into_par_iter()
            .map(|(snapshot, row, facts)| {
                let looked = look_into(repository, &row, facts.state);
                progress.files(1);
                progress.bytes(row.size);
                (snapshot, row, facts, looked)
            })
            .collect()
    });
    for (snapshot, row, facts, looked) in looked {
        let name = || format!("{} in snapshot {}", String::from_utf8_lossy(&row.path), snapshot.short());
        let finding = |fault, reason| Finding { snapshot, path: row.path.clone(), state: facts.state, fault, reason };
        let looked = match looked {
            Ok(looked) => looked,
            Err(error) => {
                report.problems.push(Error::damaged(name(), error));
                continue;
            }
        };
        report.blocks += looked.blocks;
        report.records = report.records.saturating_add(looked.records);
        match looked.closed {
            None => {}
            Some(Closed::Undecided(reason)) => {
                report.undecided.push(finding(None, reason));
                continue;
            }
            Some(Closed::Unsound(reason)) => {
                report.unsound.push(finding(None, reason));
                continue;
            }
        }
        // Not even a file that counted as sound when it was saved has got worse by this.
        let has_flaw = looked.flaw.is_some();
        report.unsound.extend(looked.flaw.map(|reason| finding(None, reason)));
        for fault in looked.undecided {
            let reason = fault.to_string();
            report.undecided.push(finding(Some(fault), reason));
        }
        // Only of records that were looked at when they were saved it is known what they were.
        let was_sound = facts.state.is_sound() && facts.verified_records == facts.declared_records;
        let list = if was_sound { &mut report.damaged } else { &mut report.unsound };
        let faults = looked.faults.len();
        for fault in looked.faults {
            let reason = fault.to_string();
            list.push(finding(Some(fault), reason));
        }
        if faults == 0 && !has_flaw && facts.state.is_alarm() {
            report.unsound.push(finding(None, format!("it was {} when it was saved", facts.state.name())));
        }
        if was_sound && faults == 0 && looked.records != facts.verified_records {
            let reason = format!("it has {} records where {} were saved", looked.records, facts.verified_records);
            report.damaged.push(finding(None, reason));
        }
    }
}

/// What was found in one file.
#[derive(Default)]
struct FileFindings {
    blocks: u64,
    records: u64,
    faults: Vec<Fault>,
    /// Blocks that go beyond this program's limits.
    undecided: Vec<Fault>,
    /// Why readers refuse its schema, though its records can be walked.
    flaw: Option<String>,
    /// Why nothing in it could be looked into.
    closed: Option<Closed>,
}

/// Why a file cannot be looked into.
enum Closed {
    /// It is no container with a schema that can be understood.
    Unsound(String),
    /// It may be sound: this program does not know its codec, or its schema is too large.
    Undecided(String),
}

impl From<NotAvro> for Closed {
    fn from(reason: NotAvro) -> Self {
        let undecided = match &reason {
            NotAvro::Codec(_) => true,
            NotAvro::Schema(error) => matches!(Trouble::from(error), Trouble::BeyondLimits(_)),
            _ => false,
        };
        if undecided { Self::Undecided(reason.to_string()) } else { Self::Unsound(reason.to_string()) }
    }
}

fn look_into(repository: &Repository, row: &FileEntry, state: AvroState) -> Result<FileFindings> {
    let closed = |reason: NotAvro| FileFindings { closed: Some(reason.into()), ..FileFindings::default() };
    let mut file = match AvroFile::open(repository, row)? {
        Ok(file) => file,
        // Its header is too large, for one.
        Err(reason) if state == AvroState::BeyondLimits => {
            return Ok(FileFindings { closed: Some(Closed::Undecided(reason.to_string())), ..FileFindings::default() });
        }
        Err(reason) => return Ok(closed(reason)),
    };
    let (schema, codec) = match (file.schema(), file.codec()) {
        (Ok(schema), Ok(codec)) => (schema, codec),
        (Err(reason), _) | (_, Err(reason)) => return Ok(closed(reason)),
    };
    let (mut looked, mut batch, mut bytes, mut blocks) = (FileFindings::default(), Vec::new(), 0, 0);
    let mut strays = 0u64;
    while let Some(piece) = file.next_piece(|_| true)? {
        match piece {
            Piece::Stray(length) => {
                strays += length;
                continue;
            }
            Piece::Passed { .. } => continue,
            Piece::Block(block) => {
                looked.stray(blocks, &mut strays);
                blocks += 1;
                bytes += block.length();
                batch.push(block);
            }
        }
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_BLOCKS {
            looked.add(decode(&schema, codec, &std::mem::take(&mut batch)));
            bytes = 0;
        }
    }
    looked.add(decode(&schema, codec, &batch));
    // Behind the last marker of a file that is no cause for alarm there are line ends or NULs at most.
    if state.is_alarm() {
        looked.stray(blocks, &mut strays);
    }
    looked.blocks = blocks;
    looked.flaw = schema.flaw().map(|flaw| Trouble::from(flaw).reason().to_owned());
    Ok(looked)
}

impl FileFindings {
    fn add(&mut self, blocks: Vec<(u64, BlockFinding)>) {
        for (records, found) in blocks {
            self.records = self.records.saturating_add(records);
            match found {
                BlockFinding::Nothing => {}
                BlockFinding::Fault(fault) => self.fault(Some(fault)),
                BlockFinding::BeyondLimits(fault) if self.undecided.len() < LISTED => self.undecided.push(fault),
                BlockFinding::BeyondLimits(_) => {}
            }
        }
    }

    fn stray(&mut self, block: u64, bytes: &mut u64) {
        let bytes = std::mem::take(bytes);
        let fault = || Fault { block, record: None, reason: format!("{bytes} bytes that are no sound block") };
        self.fault((bytes > 0).then(fault));
    }

    fn fault(&mut self, fault: Option<Fault>) {
        if self.faults.len() < LISTED {
            self.faults.extend(fault);
        }
    }
}

/// What was found in a block.
enum BlockFinding {
    Nothing,
    Fault(Fault),
    BeyondLimits(Fault),
}

/// Walks the records of blocks, on all threads of the pool that this runs in.
fn decode(schema: &Schema, codec: Codec, blocks: &[StoredBlock]) -> Vec<(u64, BlockFinding)> {
    let one = |(decoder, buffer): &mut (Decoder, Vec<u8>), block: &StoredBlock| {
        let found = |is_beyond_limits, record, reason: String| {
            let fault = Fault { block: block.ordinal, record, reason };
            if is_beyond_limits { BlockFinding::BeyondLimits(fault) } else { BlockFinding::Fault(fault) }
        };
        let plain = match block.plain(codec, decoder, buffer) {
            Ok(plain) => plain,
            Err(error) => return (0, found(error.is_beyond_limits(), None, error.to_string())),
        };
        let walked = schema.walk_block(plain, block.count, &mut |_| {});
        let wrong = match walked.fault {
            None => BlockFinding::Nothing,
            Some(BlockFault::Trailing) => found(false, None, BlockFault::Trailing.to_string()),
            Some(BlockFault::Record(WalkError::Truncated)) if walked.end == plain.len() => {
                found(false, Some(walked.verified), "it is missing".into())
            }
            Some(BlockFault::Record(error)) => {
                found(error.is_beyond_limits(), Some(walked.verified), error.to_string())
            }
        };
        (walked.verified, wrong)
    };
    blocks.par_iter().map_init(|| (Decoder::new(), Vec::new()), one).collect()
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(None)?;
        put_text(&mut row, "path", &self.path)?;
        row.serialize_entry("snapshot_id", &self.snapshot)?;
        row.serialize_entry("state", &self.state)?;
        row.serialize_entry("block", &self.fault.as_ref().map(|fault| fault.block))?;
        row.serialize_entry("record", &self.fault.as_ref().and_then(|fault| fault.record))?;
        row.serialize_entry("reason", &self.reason)?;
        row.end()
    }
}
