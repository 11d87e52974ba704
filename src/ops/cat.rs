//! `cat`: the records of an Avro file in a snapshot.

use serde::{Deserialize, Serialize};

use crate::avro::codec::{Codec, Decoder};
use crate::avro::container::{Header, MARKER, put_block_header};
use crate::avro::records::{Encoding, Fields, RecordError, RecordWriter};
use crate::avro::schema::Schema;
use crate::avro::walk::{BlockFault, WalkError};
use crate::error::{Error, Result};
use crate::id::digest;
use crate::read::avro_file::{AvroFile, NotAvro, Piece, StoredBlock};
use crate::read::regular_file;
use crate::report;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::Repository;
use crate::store::unless_moved;
use crate::values;

/// Which records, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct CatOptions {
    /// Pass over this many records.
    pub skip: u64,
    /// Give at most this many.
    pub limit: Option<u64>,
    /// Only these fields, like `a` or `b.c`; all if there are none. Not for [`CatFormat::Avro`].
    #[serde(deserialize_with = "values::words")]
    pub fields: Vec<String>,
    /// As what they are printed.
    pub format: CatFormat,
    /// How JSON is written. Not for [`CatFormat::Avro`].
    pub json_encoding: Encoding,
}

impl CatOptions {
    values::setters! {
        is skip: u64;
        is limit: Option<u64>;
        each fields: String;
        is format: CatFormat;
        is json_encoding: Encoding;
    }
}

/// As what records are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CatFormat {
    /// As JSON, as [`records`](crate::avro::records) says.
    #[default]
    Json,
    /// As a container without compression.
    Avro,
}

/// What is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given<'a> {
    /// A record begins: its place in the file, from 0 on.
    Record(u64),
    /// The next part of its JSON.
    Json(&'a str),
    /// It ends.
    End,
    /// The next bytes of a container.
    Bytes(&'a [u8]),
}

/// Something in a file that is not sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which of its sound blocks, or before which, from 0 on.
    pub block: u64,
    /// Which record, counted from the start of the block; none if it is not about one.
    pub record: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.record {
            Some(record) => write!(f, "block {}, record {record}: {}", self.block, self.reason),
            None => write!(f, "block {}: {}", self.block, self.reason),
        }
    }
}

/// Result of a `cat`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CatReport {
    /// Records that were given.
    pub records: u64,
    /// Of these, how many hold strings that are not UTF-8, so that U+FFFD stands for what is none. 0 for
    /// [`CatFormat::Avro`], which returns them as they are.
    pub lossy_records: u64,
    /// What is wrong with the file as far as it was looked at, the first 100 of it.
    #[serde(serialize_with = "report::count")]
    pub faults: Vec<Fault>,
}

/// How many faults are listed.
const LISTED: usize = 100;

/// Why no records can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatError {
    /// The repository or the path.
    #[error(transparent)]
    Library(#[from] Error),
    /// The file cannot be looked into.
    #[error("cannot read records of {path}: {reason}")]
    NotAvro {
        /// Path of the file in the snapshot.
        path: String,
        /// What is wrong with its header, schema or codec.
        reason: NotAvro,
    },
    /// It has no such fields.
    #[error(transparent)]
    Fields(#[from] RecordError),
}

/// Hands records of the file to `give`, in order. Of a file that is not sound, those that are; what is not is in the
/// report.
///
/// # Errors
/// What [`CatError`] says, and the errors of `give`, at the first of which it stops.
pub fn cat(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
    options: &CatOptions,
    give: &mut dyn FnMut(Given<'_>) -> Result<()>,
) -> std::result::Result<CatReport, CatError> {
    match printed(repository, snapshot, path, options, give) {
        Err(CatError::Library(error)) => Ok(unless_moved(repository, snapshot, Err(error))?),
        done => done,
    }
}

fn printed(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
    options: &CatOptions,
    give: &mut dyn FnMut(Given<'_>) -> Result<()>,
) -> std::result::Result<CatReport, CatError> {
    let entry = regular_file(repository, snapshot, path)?;
    let not_avro = |reason| CatError::NotAvro { path: String::from_utf8_lossy(path).into_owned(), reason };
    let file = AvroFile::open(repository, &entry)?.map_err(not_avro)?;
    let (schema, codec) = (file.schema().map_err(not_avro)?, file.codec().map_err(not_avro)?);
    let run = CatRun { codec, options, entry: &entry };
    match options.format {
        CatFormat::Json => {
            let fields = Fields::new(options.fields.iter().map(String::as_str), &schema)?;
            let mut sink =
                JsonSink { writer: RecordWriter::new(&schema, &fields, options.json_encoding), lossy: 0, give };
            let report = run.go(file, &schema, &mut sink)?;
            Ok(CatReport { lossy_records: sink.lossy, ..report })
        }
        CatFormat::Avro => {
            let (header, marker) = run.header(file.header());
            give(Given::Bytes(&header))?;
            let mut sink = AvroSink { marker, block: Vec::new(), records: Vec::new(), count: 0, give };
            Ok(run.go(file, &schema, &mut sink)?)
        }
    }
}

/// Where records go.
trait Sink {
    /// A sound record. Returns what is wrong with it after all.
    fn record(&mut self, ordinal: u64, datum: &[u8]) -> Result<Option<String>>;

    /// Records of no bytes come, as many as this; returns how many of them need not be handed over.
    fn empty(&mut self, _: u64) -> u64 {
        0
    }

    /// The block ends.
    fn end_block(&mut self) -> Result<()>;
}

struct JsonSink<'a, 'g> {
    writer: RecordWriter<'a>,
    lossy: u64,
    give: &'g mut dyn FnMut(Given<'_>) -> Result<()>,
}

impl Sink for JsonSink<'_, '_> {
    fn record(&mut self, ordinal: u64, datum: &[u8]) -> Result<Option<String>> {
        let (give, mut begun) = (&mut self.give, false);
        let written = self.writer.write(datum, &mut |json| {
            if !std::mem::replace(&mut begun, true) {
                give(Given::Record(ordinal))?;
            }
            give(Given::Json(json))
        })?;
        match written {
            Ok(()) => {
                self.lossy += u64::from(self.writer.was_lossy());
                give(Given::End).map(|()| None)
            }
            Err(error) => Ok(Some(error.to_string())),
        }
    }

    fn end_block(&mut self) -> Result<()> {
        Ok(())
    }
}

struct AvroSink<'g> {
    marker: [u8; MARKER],
    block: Vec<u8>,
    records: Vec<u8>,
    count: u64,
    give: &'g mut dyn FnMut(Given<'_>) -> Result<()>,
}

impl Sink for AvroSink<'_> {
    fn record(&mut self, _: u64, datum: &[u8]) -> Result<Option<String>> {
        self.count += 1;
        self.records.extend_from_slice(datum);
        Ok(None)
    }

    fn empty(&mut self, count: u64) -> u64 {
        self.count += count;
        count
    }

    fn end_block(&mut self) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        self.block.clear();
        put_block_header(&mut self.block, std::mem::take(&mut self.count), self.records.len());
        self.block.append(&mut self.records);
        self.block.extend_from_slice(&self.marker);
        (self.give)(Given::Bytes(&self.block))
    }
}

struct CatRun<'a> {
    codec: Codec,
    options: &'a CatOptions,
    entry: &'a FileEntry,
}

impl CatRun<'_> {
    fn go(&self, mut file: AvroFile<&Repository>, schema: &Schema, sink: &mut dyn Sink) -> Result<CatReport> {
        let mut report = CatReport::default();
        let (mut decoder, mut buffer) = (Decoder::new(), Vec::new());
        let (mut to_skip, mut left) = (self.options.skip, self.options.limit.unwrap_or(u64::MAX));
        let (mut ordinal, mut blocks, mut strays) = (0u64, 0, 0u64);
        let stray = |report: &mut CatReport, strays: &mut u64, block| {
            let bytes = std::mem::take(strays);
            if bytes > 0 {
                fault(report, Fault { block, record: None, reason: format!("{bytes} bytes that are no sound block") });
            }
        };
        while left > 0 {
            let Some(piece) = file.next_piece(|count| count > to_skip)? else { break };
            let block = match piece {
                Piece::Stray(bytes) => {
                    strays += bytes;
                    continue;
                }
                Piece::Passed { count } => {
                    stray(&mut report, &mut strays, blocks);
                    blocks += 1;
                    to_skip -= count;
                    ordinal = ordinal.saturating_add(count);
                    continue;
                }
                Piece::Block(block) => block,
            };
            stray(&mut report, &mut strays, blocks);
            blocks += 1;
            match block.plain(self.codec, &mut decoder, &mut buffer) {
                Ok(plain) => {
                    let (skipped, given) =
                        self.block(&block, plain, schema, (to_skip, left, ordinal), sink, &mut report)?;
                    to_skip -= skipped;
                    left -= given;
                }
                Err(error) => {
                    fault(&mut report, Fault { block: block.ordinal, record: None, reason: error.to_string() });
                    to_skip = to_skip.saturating_sub(block.count);
                }
            }
            sink.end_block()?;
            ordinal = ordinal.saturating_add(block.count);
        }
        if left > 0 {
            stray(&mut report, &mut strays, blocks);
        }
        Ok(report)
    }

    /// Hands records of a block over; returns how many were skipped and how many were handed over.
    fn block(
        &self,
        block: &StoredBlock,
        plain: &[u8],
        schema: &Schema,
        (to_skip, left, first): (u64, u64, u64),
        sink: &mut dyn Sink,
        report: &mut CatReport,
    ) -> Result<(u64, u64)> {
        let (mut at, mut given) = (0, 0);
        // Records of no bytes may be as many as a number can say: they are not gone through one by one.
        let mut skipped = if schema.always_empty() { to_skip.min(block.count) } else { 0 };
        if schema.always_empty() {
            given = sink.empty((block.count - skipped).min(left));
            report.records = report.records.saturating_add(given);
        }
        for record in skipped + given..block.count {
            if given == left {
                return Ok((skipped, given));
            }
            let wrong = |reason: String| Fault { block: block.ordinal, record: Some(record), reason };
            let end = match schema.skip(plain, at) {
                Ok(end) => end,
                Err(error) => {
                    let missing = error == WalkError::Truncated && at == plain.len();
                    let reason = if missing { "it is missing".into() } else { error.to_string() };
                    fault(report, wrong(reason));
                    // What stands in place of records that were to be skipped counts as skipped.
                    return Ok((skipped.max(to_skip.min(block.count)), given));
                }
            };
            let datum = plain.get(at..end).unwrap_or_default();
            at = end;
            if skipped < to_skip {
                skipped += 1;
                continue;
            }
            match sink.record(first.saturating_add(record), datum)? {
                None => {
                    given += 1;
                    report.records += 1;
                }
                Some(reason) => fault(report, wrong(reason)),
            }
        }
        if at < plain.len() && given < left {
            let reason = BlockFault::Trailing.to_string();
            fault(report, Fault { block: block.ordinal, record: None, reason });
        }
        Ok((skipped, given))
    }

    /// The header of a container with the same metadata, but without compression; and its marker.
    fn header(&self, header: &Header) -> (Vec<u8>, [u8; MARKER]) {
        let mut marker = [0; MARKER];
        // The marker follows from what is in the file: it need not be secret, only unlike the data.
        let seed = [&self.entry.recipe[..], &self.options.skip.to_le_bytes(), b"cat"].concat();
        marker.copy_from_slice(&digest(&seed)[..MARKER]);
        (header.with_codec(Codec::Null, &marker), marker)
    }
}

fn fault(report: &mut CatReport, fault: Fault) {
    if report.faults.len() < LISTED {
        report.faults.push(fault);
    }
}
