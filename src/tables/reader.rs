//! The records of a table, part by part and block by block, in one schema.

use std::sync::Arc;

use super::{Part, Table, TableError};
use crate::avro::codec::{Codec, Decoder};
use crate::avro::resolve::Resolver;
use crate::avro::schema::Schema;
use crate::avro::walk::{BlockFault, WalkError};
use crate::error::{Error, Result};
use crate::id::ContentHash;
use crate::read::avro_file::{AvroFile, NotAvro, Piece, StoredBlock};
use crate::store::Repository;

/// A batch is cut off once the records that were resolved for it are longer than this.
const BATCH: usize = 8 << 20;

/// Something in a part that is not sound.
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

/// Records of a block of a part, encoded with the schema of the [`Reader`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Which of the table's parts they are of.
    pub part: usize,
    /// Which of the part's sound blocks.
    pub block: u64,
    /// The number of the first record in the part, from 0 on; what cannot be read is counted as its block declares it.
    pub first: u64,
    /// How many records of the block stand before the first.
    pub before: u64,
    /// The number of the first record in the table, counted like that in the part.
    pub ordinal: u64,
    /// How many records it stands for, those included that cannot be read.
    pub count: u64,
    /// How many records at its beginning were to be passed over.
    pub skip: u64,
    /// The records end to end.
    pub bytes: Vec<u8>,
    /// Where each of them ends, unless all are [the same](Self::same).
    pub ends: Vec<usize>,
    /// Records that cannot be read, as their place counted from the first; in order.
    pub lost: Vec<u64>,
    /// All of its records are the bytes of this one: there may be more of them than can be counted one by one.
    pub same: bool,
    /// What is wrong with the block, or before it.
    pub faults: Vec<Fault>,
}

impl Batch {
    /// The records that can be read: the number of each in the part, and its bytes. Of a batch of [the same](Self::same) records
    /// all come, one by one.
    pub fn records(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.records_from(0)
    }

    /// The same without this many at its beginning, of which those count that cannot be read.
    pub fn records_from(&self, skipped: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let mut number = if self.same { skipped } else { 0 };
        let (mut lost, mut start, mut next) = (self.lost.iter().peekable(), 0, 0);
        std::iter::from_fn(move || {
            if self.same {
                number += 1;
                return (number <= self.count).then(|| (self.first.saturating_add(number - 1), &self.bytes[..]));
            }
            loop {
                let end = *self.ends.get(next)?;
                while lost.next_if_eq(&&number).is_some() {
                    number += 1;
                }
                let (here, begin) = (number, start);
                (number, start, next) = (number + 1, end, next + 1);
                if here >= skipped {
                    return Some((self.first.saturating_add(here), self.bytes.get(begin..end).unwrap_or_default()));
                }
            }
        })
    }

    /// How many records can be read.
    pub fn len(&self) -> u64 {
        if self.same { self.count } else { self.ends.len() as u64 }
    }

    /// Whether there is none that can be read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads the records of all parts of a table in order, in one schema.
///
/// Where a block or a record is not sound, that is a [`Fault`] of a batch, and reading goes on with what comes next. After an
/// error nothing comes.
///
/// Memory: a block and what it decodes to, and what that is resolved to, in pieces of 8 MiB and one record.
pub struct Reader {
    table: Arc<Table>,
    schema: Arc<Schema>,
    schema_text: Arc<str>,
    /// For each schema of the table.
    resolvers: Vec<Option<Arc<Resolver>>>,
    next_part: usize,
    current: Option<Open>,
    decoder: Decoder,
    ended: bool,
    /// Records that are not wanted before those that are.
    to_skip: u64,
    /// Records of the parts before the one that is read.
    passed: u64,
}

/// A part that is being read.
struct Open {
    part: usize,
    file: AvroFile<Arc<Repository>>,
    content: Option<ContentHash>,
    codec: Codec,
    schema: usize,
    blocks: u64,
    records: u64,
    strays: u64,
    cutting: Option<Cutting>,
}

/// A decoded block of which batches are made.
struct Cutting {
    block: u64,
    count: u64,
    first: u64,
    plain: Vec<u8>,
    next: u64,
    at: usize,
}

impl Reader {
    /// Reads with the table's newest schema.
    ///
    /// # Errors
    /// [`TableError::Disagree`] if none reads all others.
    pub fn new(table: Arc<Table>) -> std::result::Result<Self, TableError> {
        let Some(schema) = table.schema() else { return Err(super::choose::disagreement(&table)) };
        let (schema, text) = (schema.schema.clone(), schema.text.clone());
        Self::with_schema(table, schema, text)
    }

    /// Reads with a given schema.
    ///
    /// # Errors
    /// [`TableError::Unreadable`] for the first part that it does not read.
    pub fn with_schema(
        table: Arc<Table>,
        schema: Arc<Schema>,
        text: Arc<str>,
    ) -> std::result::Result<Self, TableError> {
        let mut resolvers = Vec::with_capacity(table.schemas.len());
        for writer in &table.schemas {
            // The same text needs no second look.
            if writer.text == text {
                resolvers.push(None);
                continue;
            }
            let resolver = Resolver::new(&writer.schema, &schema).map_err(|obstacles| TableError::Unreadable {
                path: table.parts.get(writer.newest).map(Part::shown).unwrap_or_default(),
                obstacle: obstacles.into_iter().next().unwrap_or_else(|| crate::avro::compat::Obstacle {
                    path: String::new(),
                    reason: "the schemas do not go together".into(),
                }),
            })?;
            resolvers.push((!resolver.is_identity()).then(|| Arc::new(resolver)));
        }
        Ok(Self { resolvers, ..Self::of_schema(table, schema, text) })
    }

    /// Reads parts all of which were written with this schema.
    pub fn of_schema(table: Arc<Table>, schema: Arc<Schema>, text: Arc<str>) -> Self {
        let resolvers = vec![None; table.schemas.len()];
        Self {
            table,
            schema,
            schema_text: text,
            resolvers,
            next_part: 0,
            current: None,
            decoder: Decoder::new(),
            ended: false,
            to_skip: 0,
            passed: 0,
        }
    }

    /// The table.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The schema of the records.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// It as a text: what a reader of the records needs.
    pub fn schema_text(&self) -> &Arc<str> {
        &self.schema_text
    }

    /// Passes over this many records. Parts and blocks that hold no others are not read where that need not be; what is left is to be
    /// skipped at the beginning of the next batches, which say how much ([`Batch::skip`]).
    pub fn pass(&mut self, records: u64) {
        self.to_skip = records;
    }

    fn step(&mut self) -> Result<Option<Batch>> {
        loop {
            if let Some(batch) = self.cut() {
                return Ok(Some(batch));
            }
            if self.current.is_none() && !self.open()? {
                return Ok(None);
            }
            if let Some(batch) = self.read()? {
                return Ok(Some(batch));
            }
        }
    }

    /// Opens the next part that is not skipped.
    fn open(&mut self) -> Result<bool> {
        loop {
            let Some(part) = self.table.parts.get(self.next_part) else { return Ok(false) };
            let number = self.next_part;
            self.next_part += 1;
            if let Some(records) = part.records().filter(|records| *records <= self.to_skip && self.to_skip > 0) {
                self.to_skip -= records;
                self.passed = self.passed.saturating_add(records);
                continue;
            }
            let (file, content) = opened(&self.table, part)?;
            self.current = Some(Open {
                part: number,
                file,
                content,
                codec: part.codec,
                schema: part.schema,
                blocks: 0,
                records: 0,
                strays: 0,
                cutting: None,
            });
            return Ok(true);
        }
    }

    /// Reads the next block of the part. A batch comes where there is something wrong and no records.
    fn read(&mut self) -> Result<Option<Batch>> {
        let Some(open) = &mut self.current else { return Ok(None) };
        let to_skip = self.to_skip;
        let piece = open.piece(&self.table, &|count| to_skip == 0 || count > to_skip)?;
        let (block, count) = match piece {
            None => {
                let batch = open.fault_before();
                self.passed = self.passed.saturating_add(open.records);
                self.current = None;
                return Ok(batch);
            }
            Some(Piece::Stray(bytes)) => {
                open.strays = open.strays.saturating_add(bytes);
                return Ok(None);
            }
            Some(Piece::Passed { count }) => {
                let batch = open.fault_before();
                open.blocks += 1;
                open.records = open.records.saturating_add(count);
                self.to_skip -= count;
                return Ok(batch);
            }
            Some(Piece::Block(block)) => {
                let count = block.count;
                (block, count)
            }
        };
        let batch = open.fault_before();
        open.blocks += 1;
        let first = open.records;
        open.records = open.records.saturating_add(count);
        match decoded(block, open.codec, &mut self.decoder) {
            Ok((ordinal, plain)) => {
                open.cutting = Some(Cutting { block: ordinal, count, first, plain, next: 0, at: 0 });
                Ok(batch)
            }
            Err((ordinal, reason)) => {
                let mut batch = batch.unwrap_or_default();
                (batch.part, batch.block, batch.first, batch.count) = (open.part, ordinal, first, count);
                batch.faults.push(Fault { block: ordinal, record: None, reason });
                Ok(Some(batch))
            }
        }
    }

    /// The next batch of the block.
    fn cut(&mut self) -> Option<Batch> {
        let open = self.current.as_mut()?;
        let cutting = open.cutting.take()?;
        let writer = &self.table.schemas.get(open.schema)?.schema;
        let resolver = self.resolvers.get(open.schema)?.as_deref();
        let (mut batch, rest) = cutting.batch(writer, resolver);
        batch.part = open.part;
        open.cutting = rest;
        Some(batch)
    }
}

impl Iterator for Reader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let passed = self.passed;
        let mut step = self.step().transpose();
        if let Some(Ok(batch)) = &mut step {
            // The part may have ended just now, with its last batch.
            let before = if self.current.is_some() { self.passed } else { passed };
            batch.ordinal = before.saturating_add(batch.first);
            batch.skip = self.to_skip.min(batch.count);
            self.to_skip -= batch.skip;
        }
        self.ended = !matches!(step, Some(Ok(_)));
        step
    }
}

/// Opens a part. Its content is what it must still be where it has to be opened again.
fn opened(table: &Table, part: &Part) -> Result<(AvroFile<Arc<Repository>>, Option<ContentHash>)> {
    let snapshot = table.snapshot_of(part);
    let no_records = |reason: NotAvro| Error::NoRecords { path: part.shown(), source: reason.into() };
    snapshot.steady(|_| {
        let row = table.row(part)?;
        let file = AvroFile::open(snapshot.repository().clone(), &row)?.map_err(no_records)?;
        Ok((file, row.content))
    })
}

impl Open {
    /// The next piece of the part. Where data of it is gone because the snapshot got a new root meanwhile, it is opened
    /// again and read on from the same place.
    fn piece(&mut self, table: &Table, wanted: &dyn Fn(u64) -> bool) -> Result<Option<Piece>> {
        let error = match self.file.next_piece(wanted) {
            Err(error) if error.is_damage() => error,
            done => return done,
        };
        let Some(part) = table.parts.get(self.part) else { return Err(error) };
        let snapshot = table.snapshot_of(part);
        snapshot.steady(|_| {
            let (mut file, content) = opened(table, part)?;
            if content != self.content {
                return Err(Error::SnapshotReplaced { snapshot: snapshot.id() });
            }
            let mut passed = 0;
            while passed < self.blocks {
                match file.next_piece(|_| false)? {
                    Some(Piece::Stray(_)) => {}
                    Some(_) => passed += 1,
                    None => return Ok(None),
                }
            }
            self.strays = 0;
            let piece = file.next_piece(wanted)?;
            self.file = file;
            Ok(piece)
        })
    }

    /// What is to be said of bytes that stand before the next block.
    fn fault_before(&mut self) -> Option<Batch> {
        let bytes = std::mem::take(&mut self.strays);
        let reason = format!("{bytes} bytes that are no sound block");
        let fault = Fault { block: self.blocks, record: None, reason };
        let (part, block, first) = (self.part, self.blocks, self.records);
        (bytes > 0).then(|| Batch { part, block, first, faults: vec![fault], ..Batch::default() })
    }
}

fn decoded(
    block: StoredBlock,
    codec: Codec,
    decoder: &mut Decoder,
) -> std::result::Result<(u64, Vec<u8>), (u64, String)> {
    let ordinal = block.ordinal;
    block.into_plain(codec, decoder).map(|plain| (ordinal, plain)).map_err(|error| (ordinal, error.to_string()))
}

impl Cutting {
    /// The next records, and what is left of the block.
    fn batch(mut self, writer: &Schema, resolver: Option<&Resolver>) -> (Batch, Option<Self>) {
        let mut batch = Batch { block: self.block, before: self.next, ..Batch::default() };
        batch.first = self.first.saturating_add(self.next);
        let fault = |record, reason: String| Fault { block: self.block, record, reason };
        if writer.always_empty() {
            // They may be as many as a number can say.
            (batch.same, batch.count) = (true, self.count);
            if let Some(Err(error)) = resolver.map(|resolver| resolver.resolve(&[], &mut batch.bytes)) {
                batch.same = false;
                batch.faults.push(fault(Some(0), error.to_string()));
            }
            if !self.plain.is_empty() {
                batch.faults.push(fault(None, BlockFault::Trailing.to_string()));
            }
            return (batch, None);
        }
        let start = self.at;
        let mut ended = true;
        while self.next < self.count {
            if batch.bytes.len() >= BATCH {
                ended = false;
                break;
            }
            let resolved = resolver.map(|resolver| resolver.resolve_at(&self.plain, self.at, &mut batch.bytes));
            // Where a record ends that cannot be resolved, the writer's schema alone says.
            let walked = match resolved {
                Some(Ok(end)) => Ok(end),
                _ => writer.skip(&self.plain, self.at),
            };
            let end = match walked {
                Ok(end) => end,
                Err(error) => {
                    let missing = error == WalkError::Truncated && self.at == self.plain.len();
                    let reason = if missing { "it is missing".into() } else { error.to_string() };
                    batch.faults.push(fault(Some(self.next), reason));
                    batch.count = self.count.saturating_sub(batch.before);
                    return (batch.of(self.plain, start, resolver.is_none()), None);
                }
            };
            match resolved {
                None => batch.ends.push(end - start),
                Some(Ok(_)) => batch.ends.push(batch.bytes.len()),
                Some(Err(error)) => {
                    batch.lost.push(batch.count);
                    batch.faults.push(fault(Some(self.next), error.to_string()));
                }
            }
            self.at = end;
            self.next += 1;
            batch.count += 1;
        }
        if !ended {
            return (batch, Some(self));
        }
        if self.at < self.plain.len() {
            batch.faults.push(fault(None, BlockFault::Trailing.to_string()));
        }
        (batch.of(self.plain, start, resolver.is_none()), None)
    }
}

impl Batch {
    /// The same with the bytes of the block, where these are the records.
    fn of(mut self, plain: Vec<u8>, start: usize, same_bytes: bool) -> Self {
        if same_bytes {
            self.bytes = plain;
            if start > 0 {
                self.bytes.drain(..start);
            }
            self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        }
        self
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({} parts of {} passed)", self.next_part, self.table.name)
    }
}
