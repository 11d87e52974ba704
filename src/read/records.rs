//! The blocks and records of an Avro file in a snapshot.

use std::sync::Arc;

use super::File;
use super::avro_file::{AvroFile, NotAvro, Piece, StoredBlock};
use crate::avro::codec::{Codec, Decoder};
use crate::avro::records::{Encoding, Fields, RecordWriter};
use crate::avro::schema::Schema;
use crate::error::{Cause, Error, Result};
use crate::recipe::View;
use crate::snapshot::SnapshotRoot;
use crate::store::Repository;

/// A block of an Avro file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Which of the sound blocks of the file it is, from 0 on.
    pub ordinal: u64,
    /// The number of its first record in the file, from 0 on.
    pub first_record: u64,
    /// How many records it says it holds.
    pub records: u64,
    /// Where it begins in the [plain view](View::Plain); none where that is not known without encoding what stands before it.
    pub offset: Option<u64>,
    /// Its records, decoded, end to end.
    pub bytes: Vec<u8>,
}

/// The blocks of a file in order. What is no sound block is skipped.
///
/// A block that cannot be decoded is an [`Error::NoRecords`], after which the next one comes. After any other error nothing comes.
///
/// Memory: one block, and one chunk for each stream of the file.
pub struct Blocks {
    file: File,
    cursor: Option<Cursor>,
    codec: Codec,
    decoder: Decoder,
    /// Blocks that came so far, also those that were not wanted.
    passed: u64,
    records: u64,
    /// The first record that is wanted.
    first: u64,
    ended: bool,
}

struct Cursor {
    root: Arc<SnapshotRoot>,
    avro: AvroFile<Arc<Repository>>,
}

/// A block that was found, and what stands before it.
struct Found {
    block: StoredBlock,
    records: u64,
    offset: Option<u64>,
}

impl Blocks {
    /// From the block on that has this record.
    pub(super) fn open(file: File, first: u64) -> Result<Self> {
        let mut blocks = Self {
            file,
            cursor: None,
            codec: Codec::Null,
            decoder: Decoder::new(),
            passed: 0,
            records: 0,
            first,
            ended: false,
        };
        let cursor = blocks.cursor()?;
        blocks.codec = cursor.avro.codec().map_err(|reason| blocks.not_avro(reason))?;
        blocks.cursor = Some(cursor);
        Ok(blocks)
    }

    fn not_avro(&self, reason: NotAvro) -> Error {
        no_records(&self.file, reason)
    }

    /// The container at its first block.
    fn cursor(&self) -> Result<Cursor> {
        self.file.steady(View::Exact, |opened| {
            let repository = self.file.snapshot().repository().clone();
            let avro = AvroFile::open(repository, &opened.row)?.map_err(|reason| self.not_avro(reason))?;
            Ok(Cursor { root: opened.root.clone(), avro })
        })
    }

    /// The next block that is wanted.
    fn find(&mut self) -> Result<Option<Found>> {
        let (file, first) = (self.file.clone(), self.first);
        let (mut passed, mut records) = (self.passed, self.records);
        let found = file.steady(View::Exact, |opened| {
            // Where reading failed, the place in the container is not known any more.
            let kept = self.cursor.take().filter(|cursor| Arc::ptr_eq(&cursor.root, &opened.root));
            let mut cursor = match kept {
                Some(cursor) => cursor,
                None => {
                    let repository = file.snapshot().repository().clone();
                    let mut avro =
                        AvroFile::open(repository, &opened.row)?.map_err(|reason| no_records(&file, reason))?;
                    pass_blocks(&mut avro, self.passed)?;
                    Cursor { root: opened.root.clone(), avro }
                }
            };
            (passed, records) = (self.passed, self.records);
            let found = loop {
                let before = cursor.avro.passed(file.view(View::Plain));
                let wanted = |count: u64| records.saturating_add(count) > first;
                let count = match cursor.avro.next_piece(wanted)? {
                    None => break None,
                    Some(Piece::Stray(_)) => continue,
                    Some(Piece::Passed { count }) => count,
                    Some(Piece::Block(block)) => {
                        let header = match file.view(View::Plain) {
                            View::Plain => opened.ranges.header_length(View::Plain),
                            View::Exact => cursor.avro.header().length as u64,
                        };
                        let offset = before.map(|before| header.saturating_add(before));
                        let found = Found { block, records, offset };
                        (passed, records) = (passed + 1, records.saturating_add(found.block.count));
                        break Some(found);
                    }
                };
                (passed, records) = (passed + 1, records.saturating_add(count));
            };
            self.cursor = Some(cursor);
            Ok(found)
        });
        (self.passed, self.records) = (passed, records);
        found
    }

    fn decoded(&mut self, found: Found) -> Result<Block> {
        let Found { block, records: first_record, offset } = found;
        let (ordinal, records) = (block.ordinal, block.count);
        match block.into_plain(self.codec, &mut self.decoder) {
            Ok(bytes) => Ok(Block { ordinal, first_record, records, offset, bytes }),
            Err(error) => Err(no_records(&self.file, Unsound { block: ordinal, record: None, source: error.into() })),
        }
    }
}

/// Skips `count` blocks.
fn pass_blocks(avro: &mut AvroFile<Arc<Repository>>, count: u64) -> Result<()> {
    let mut passed = 0;
    while passed < count {
        match avro.next_piece(|_| false)? {
            None => return Ok(()),
            Some(Piece::Stray(_)) => {}
            Some(Piece::Passed { .. } | Piece::Block(_)) => passed += 1,
        }
    }
    Ok(())
}

/// What is not sound in an Avro file: the cause of an [`Error::NoRecords`] that is about a block.
#[derive(Debug, thiserror::Error)]
#[error("block {block}{}: {source}", record.map(|record| format!(", record {record}")).unwrap_or_default())]
#[non_exhaustive]
pub struct Unsound {
    /// In which of the file's sound blocks, counted from 0.
    pub block: u64,
    /// Which record, counted from the start of the block; none if it is not about one.
    pub record: Option<u64>,
    /// What is wrong with it.
    pub source: Cause,
}

fn no_records(file: &File, source: impl Into<Cause>) -> Error {
    Error::NoRecords { path: file.shown(), source: source.into() }
}

impl Iterator for Blocks {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.find() {
            Ok(Some(found)) => Some(self.decoded(found)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocks({} of {:?} passed)", self.passed, self.file)
    }
}

/// A record of an Avro file.
#[derive(Debug, Clone)]
pub struct Record {
    /// Its number in the file, from 0 on.
    pub ordinal: u64,
    /// As Avro's binary encoding has it.
    pub bytes: Vec<u8>,
    schema: Arc<Schema>,
}

impl Record {
    /// The record as JSON, in one line without the line's end. Of a string that is not UTF-8, U+FFFD stands for what is none.
    ///
    /// # Errors
    /// [`Error::NoRecords`] if values that take no bytes make too much text of it.
    pub fn to_json(&self, encoding: Encoding) -> Result<String> {
        let mut text = String::new();
        self.write_json(encoding, &mut |part| {
            text.push_str(part);
            Ok(())
        })?;
        Ok(text)
    }

    /// The same in parts, for records whose text is long.
    ///
    /// # Errors
    /// Errors of `write`, and as of [`to_json`](Record::to_json).
    pub fn write_json(&self, encoding: Encoding, write: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let written = RecordWriter::new(&self.schema, &Fields::ALL, encoding).write(&self.bytes, write)?;
        let path = || format!("record {}", self.ordinal);
        written.map_err(|error| Error::NoRecords { path: path(), source: error.into() })
    }

    /// The schema that it is written with.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }
}

/// The records of a file in order.
///
/// Where a block or a record in it is not sound, that is an [`Error::NoRecords`], after which the first record of the next
/// block comes. After any other error nothing comes.
#[derive(Debug)]
pub struct Records {
    blocks: Blocks,
    schema: Arc<Schema>,
    schema_text: Arc<str>,
    /// Records before this one are not wanted.
    first: u64,
    current: Option<Current>,
}

/// A block whose records are being read.
#[derive(Debug)]
struct Current {
    block: Block,
    /// The next record in it, and where it begins.
    next: u64,
    at: usize,
}

impl Records {
    pub(super) fn open(blocks: Blocks, first: u64) -> Result<Self> {
        let header = blocks.cursor.as_ref().map(|cursor| (cursor.avro.schema(), cursor.avro.header().schema_text()));
        let (schema, text) = header.unwrap_or((Err(NotAvro::NoSchema), None));
        let schema = Arc::new(schema.map_err(|reason| blocks.not_avro(reason))?);
        let schema_text = text.unwrap_or_default().into();
        Ok(Self { blocks, schema, schema_text, first, current: None })
    }

    /// The schema of the file.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The schema as it stands in the header of the file: what a reader of [`Record::bytes`] needs.
    pub fn schema_text(&self) -> &str {
        &self.schema_text
    }

    /// The next record of the block; none at its end.
    fn in_block(&mut self) -> Option<Result<Record>> {
        let current = self.current.as_mut()?;
        if self.schema.always_empty() {
            // They may be as many as a number can say.
            current.next = current.next.max(self.first.saturating_sub(current.block.first_record));
        }
        while current.next < current.block.records {
            let (number, start) = (current.next, current.at);
            match self.schema.skip(&current.block.bytes, start) {
                Ok(end) => (current.next, current.at) = (number + 1, end),
                Err(error) => return self.fault(Some(number), error),
            }
            let ordinal = current.block.first_record.saturating_add(number);
            if ordinal >= self.first {
                let bytes = current.block.bytes.get(start..current.at).unwrap_or_default().to_vec();
                return Some(Ok(Record { ordinal, bytes, schema: self.schema.clone() }));
            }
        }
        match current.block.bytes.len() - current.at {
            0 => {
                self.current = None;
                None
            }
            left => self.fault(None, format!("{left} bytes after its last record")),
        }
    }

    /// Something that is not sound, after which nothing of the block is read.
    fn fault(&mut self, record: Option<u64>, cause: impl Into<Cause>) -> Option<Result<Record>> {
        let block = self.current.take()?.block.ordinal;
        Some(Err(no_records(&self.blocks.file, Unsound { block, record, source: cause.into() })))
    }
}

impl Iterator for Records {
    type Item = Result<Record>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.in_block() {
                return Some(record);
            }
            match self.blocks.next()? {
                Ok(block) => self.current = Some(Current { block, next: 0, at: 0 }),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
