//! `cat`: the records of Avro files in a snapshot.

mod ahead;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::avro::codec::Codec;
use crate::avro::container::{MARKER, encode_header, put_block_header};
use crate::avro::filter::{Expression, Filter, FilterError};
use crate::avro::records::{Encoding, Fields, RecordError, RecordWriter};
use crate::avro::schema::Schema;
use crate::avro::walk::WalkError;
use crate::error::{Error, Result};
use crate::id::digest;
use crate::read::avro_file::{AvroFile, NotAvro};
use crate::report;
use crate::tables::{Batch, Reader, Table, TableError};
use ahead::read_ahead;

pub use crate::tables::{Fault, Wanted};
use crate::values;

/// Which records, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct CatOptions {
    /// Only records of which this is true. Then `skip` and `limit` count those.
    pub r#where: Option<Expression>,
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
        is r#where: Option<Expression>;
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
    /// A record begins: its place in the table, from 0 on.
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
pub struct CatFault {
    /// The file.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub fault: Fault,
}

impl std::fmt::Display for CatFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", String::from_utf8_lossy(&self.path), self.fault)
    }
}

/// The schema to read records with, in place of the newest one of a table.
#[derive(Debug, Clone)]
pub struct ReaderSchema {
    text: Arc<str>,
    schema: Arc<Schema>,
}

impl ReaderSchema {
    /// Reads a schema from JSON.
    ///
    /// # Errors
    /// [`TableError::Schema`] if it is none.
    pub fn new(text: &str) -> std::result::Result<Self, TableError> {
        let schema = Schema::parse(text).map_err(TableError::Schema)?;
        Ok(Self { text: text.trim().into(), schema: Arc::new(schema) })
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
    /// What is wrong with the files as far as they were looked at, the first 100 of it.
    #[serde(serialize_with = "report::count")]
    pub faults: Vec<CatFault>,
    /// Avro files of the table.
    pub files: u64,
    /// Files that are no Avro files, and were passed over.
    pub files_passed_over: u64,
    /// Avro files whose header, schema or codec cannot be read, the first 100 of them.
    #[serde(serialize_with = "report::count")]
    pub unreadable: Vec<(Vec<u8>, NotAvro)>,
}

/// How many faults are listed.
const LISTED: usize = 100;

/// A block is ended once its records are longer than this.
const LONG_BLOCK: usize = 16 << 20;

/// Why no records can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatError {
    /// The repository or the path.
    #[error(transparent)]
    Library(#[from] Error),
    /// There is no such table, or no schema to read it with.
    #[error(transparent)]
    Table(TableError),
    /// It has no such fields.
    #[error(transparent)]
    Fields(#[from] RecordError),
    /// The condition does not go with its schema.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl From<TableError> for CatError {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Library(error) => Self::Library(error),
            error => Self::Table(error),
        }
    }
}

/// Hands the records of a table to `give`, in order, in one schema: the newest of its files, or the one that is given. A single
/// file is a table of one part. Of a file that is not sound, those records that are; what is not is in the report.
///
/// # Errors
/// What [`CatError`] says, and the errors of `give`, at the first of which it stops.
pub fn cat(
    wanted: &[Wanted],
    schema: Option<&ReaderSchema>,
    options: &CatOptions,
    give: &mut dyn FnMut(Given<'_>) -> Result<()>,
) -> std::result::Result<CatReport, CatError> {
    let mut reader = match schema {
        None => Reader::new(Arc::new(Table::open(wanted)?))?,
        Some(given) => Reader::with_schema(Arc::new(Table::find(wanted)?), given.schema.clone(), given.text.clone())?,
    };
    let (table, schema) = (reader.table().clone(), reader.schema().clone());
    let mut sifting = match &options.r#where {
        Some(condition) => Some(Sifting { filter: Filter::new(condition, &schema)?, to_skip: options.skip }),
        None => {
            reader.pass(options.skip);
            None
        }
    };
    let report = CatReport {
        files: table.parts.len() as u64,
        files_passed_over: table.passed_over.files,
        unreadable: table.passed_over.listed.clone(),
        ..CatReport::default()
    };
    match options.format {
        CatFormat::Json => {
            let fields = Fields::new(options.fields.iter().map(String::as_str), &schema)?;
            let mut sink =
                JsonSink { writer: RecordWriter::new(&schema, &fields, options.json_encoding), lossy: 0, give };
            let report = printed(reader, report, options, sifting.as_mut(), &mut sink)?;
            Ok(CatReport { lossy_records: sink.lossy, ..report })
        }
        CatFormat::Avro => {
            let (header, marker) = header(&reader, options)?;
            give(Given::Bytes(&header))?;
            let mut sink = AvroSink { marker, block: Vec::new(), records: Vec::new(), count: 0, give };
            Ok(printed(reader, report, options, sifting.as_mut(), &mut sink)?)
        }
    }
}

/// Where records go.
trait Sink {
    /// A sound record. Returns what is wrong with it after all.
    fn record(&mut self, ordinal: u64, datum: &[u8]) -> Result<Option<String>>;

    /// All records of a batch are wanted: returns whether they were taken as they are.
    fn whole(&mut self, _: &Batch) -> Result<bool> {
        Ok(false)
    }

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
        if self.records.len() >= LONG_BLOCK {
            self.end_block()?;
        }
        Ok(None)
    }

    fn whole(&mut self, batch: &Batch) -> Result<bool> {
        if batch.same {
            return Ok(false);
        }
        if !batch.is_empty() {
            self.block.clear();
            put_block_header(&mut self.block, batch.len(), batch.bytes.len());
            (self.give)(Given::Bytes(&self.block))?;
            (self.give)(Given::Bytes(&batch.bytes))?;
            (self.give)(Given::Bytes(&self.marker))?;
        }
        Ok(true)
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

/// Chooses among records.
struct Sifting {
    filter: Filter,
    /// How many of those that match are still to be passed over.
    to_skip: u64,
}

impl Sifting {
    /// Whether a record is wanted.
    fn takes(&mut self, record: &[u8]) -> std::result::Result<bool, WalkError> {
        let wanted = self.filter.matches(record)?;
        if !wanted || self.to_skip == 0 {
            return Ok(wanted);
        }
        self.to_skip -= 1;
        Ok(false)
    }
}

fn printed(
    reader: Reader,
    mut report: CatReport,
    options: &CatOptions,
    mut sifting: Option<&mut Sifting>,
    sink: &mut dyn Sink,
) -> Result<CatReport> {
    let mut left = options.limit.unwrap_or(u64::MAX);
    if left == 0 {
        return Ok(report);
    }
    let table = reader.table().clone();
    let mut take = |batch: Batch| {
        let add = |report: &mut CatReport, fault| add_fault(report, &table, batch.part, fault);
        let (given, reached) = hand_over(&batch, left, sifting.as_deref_mut(), sink, &mut report, &add)?;
        left -= given;
        sink.end_block()?;
        // What comes after the last record that was wanted was not looked at.
        let seen = |fault: &&Fault| left > 0 || fault.record.is_some_and(|record| record < reached);
        for fault in batch.faults.iter().filter(seen) {
            add(&mut report, fault.clone());
        }
        Ok(left > 0)
    };
    match options.limit {
        // All of it: the next records are decoded while those before them are printed.
        None => read_ahead(reader, &mut take)?,
        Some(_) => {
            for batch in reader {
                if !take(batch?)? {
                    break;
                }
            }
        }
    }
    Ok(report)
}

/// Hands records of a batch over. Returns how many, and before which record of the block it stopped.
fn hand_over(
    batch: &Batch,
    left: u64,
    mut sifting: Option<&mut Sifting>,
    sink: &mut dyn Sink,
    report: &mut CatReport,
    add: &dyn Fn(&mut CatReport, Fault),
) -> Result<(u64, u64)> {
    let mut skipped = batch.skip;
    if let Some(chosen) = sifting.as_mut().filter(|_| batch.same) {
        // All are wanted, or none.
        if !matches!(chosen.filter.matches(&batch.bytes), Ok(true)) {
            return Ok((0, batch.before.saturating_add(batch.count)));
        }
        skipped = chosen.to_skip.min(batch.count);
        chosen.to_skip -= skipped;
        sifting = None;
    }
    if skipped == 0 && sifting.is_none() && batch.len() <= left && sink.whole(batch)? {
        report.records = report.records.saturating_add(batch.len());
        return Ok((batch.len(), batch.before.saturating_add(batch.count)));
    }
    let mut given = 0;
    // Records of no bytes may be as many as a number can say: they are not gone through one by one.
    if batch.same && batch.bytes.is_empty() {
        given = sink.empty((batch.count - skipped).min(left));
        report.records = report.records.saturating_add(given);
        if given > 0 {
            return Ok((given, batch.before.saturating_add(skipped).saturating_add(given)));
        }
    }
    let mut reached = batch.before;
    for (number, datum) in batch.records_from(skipped) {
        if given == left {
            break;
        }
        let place = number - batch.first;
        reached = batch.before.saturating_add(place).saturating_add(1);
        match sifting.as_mut().map_or(Ok(true), |chosen| chosen.takes(datum)) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                add(report, Fault { block: batch.block, record: Some(reached - 1), reason: error.to_string() });
                continue;
            }
        }
        match sink.record(batch.ordinal.saturating_add(place), datum)? {
            None => {
                given += 1;
                report.records += 1;
            }
            Some(reason) => {
                add(report, Fault { block: batch.block, record: Some(reached - 1), reason });
            }
        }
    }
    Ok((given, reached))
}

/// The header of a container without compression, and its marker. That of a single file in its own schema keeps its metadata.
fn header(reader: &Reader, options: &CatOptions) -> Result<(Vec<u8>, [u8; MARKER])> {
    let table = reader.table();
    let first = table.parts.first().map(|part| table.row(part)).transpose()?;
    let seed_of = first.as_ref().map_or(&[][..], |row| &row.recipe);
    let mut marker = [0; MARKER];
    // The marker follows from what is in the files: it need not be secret, only unlike the data.
    let parts = table.parts.len() as u64;
    let mut seed = [seed_of, &options.skip.to_le_bytes(), b"cat"].concat();
    if parts > 1 {
        seed.extend_from_slice(&parts.to_le_bytes());
    }
    marker.copy_from_slice(&digest(&seed)[..MARKER]);
    if let ([part], Some(row)) = (table.parts.as_slice(), &first)
        && table.schemas.get(part.schema).is_some_and(|schema| schema.text == *reader.schema_text())
        && let Ok(file) = AvroFile::open(table.snapshot_of(part).repository().clone(), row)?
    {
        return Ok((file.header().with_codec(Codec::Null, &marker), marker));
    }
    let entries =
        [(&b"avro.schema"[..], reader.schema_text().as_bytes()), (&b"avro.codec"[..], Codec::Null.name().as_bytes())];
    Ok((encode_header(entries.into_iter(), &marker), marker))
}

fn add_fault(report: &mut CatReport, table: &Table, part: usize, fault: Fault) {
    if report.faults.len() < LISTED {
        let path = table.parts.get(part).map(|part| part.path.to_vec()).unwrap_or_default();
        report.faults.push(CatFault { path, fault });
    }
}
