//! A change of a record, and how it is written as JSON.

use super::keys::{AllFields, Key};
use super::table::ReaderSchema;
use crate::avro::records::{Encoding, Fields, RecordWriter};
use crate::error::{Error, Result};
use crate::snapshot::SnapshotRoot;

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It was not there before.
    Insert,
    /// The record with its key has other values.
    Update,
    /// It is not there any more.
    Delete,
}

impl Operation {
    /// In the order of the symbols of a change feed.
    pub const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    /// The name that programs see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// One letter, as the command line shows it.
    pub fn sign(self) -> char {
        match self {
            Self::Insert => '+',
            Self::Update => '~',
            Self::Delete => '-',
        }
    }
}

/// A record that changed.
pub struct RecordChange<'c> {
    /// What happened.
    pub operation: Operation,
    /// The snapshot that shows it first.
    pub snapshot: &'c SnapshotRoot,
    /// The record as it was, encoded with the [schema](RecordChange::schema); none if it was inserted.
    pub before: Option<&'c [u8]>,
    /// The record as it is; none if it was deleted.
    pub after: Option<&'c [u8]>,
    /// Of an update the names of the fields that changed.
    pub changed: Vec<&'c str>,
    /// Its key has several records of one side that the other side does not have.
    pub duplicate: bool,
    pub(super) reader: &'c ReaderSchema,
    pub(super) key: Option<&'c Key>,
}

impl<'c> RecordChange<'c> {
    /// The schema that both records are encoded with.
    pub fn schema(&self) -> &'c ReaderSchema {
        self.reader
    }

    /// The record as it is, or was last.
    pub fn record(&self) -> &'c [u8] {
        self.after.or(self.before).unwrap_or_default()
    }

    /// The key as a JSON object, with the fields where they stand in the record; none without one.
    ///
    /// # Errors
    /// As of [`before_json`](RecordChange::before_json).
    pub fn key_json(&self, encoding: Encoding) -> Result<Option<String>> {
        self.key.map(|key| json(self.reader, &key.fields, encoding, self.record())).transpose()
    }

    /// Of an update the fields that changed as text: `status: "NEW" -> "PAID", note: null -> "late"`.
    ///
    /// # Errors
    /// As of [`before_json`](RecordChange::before_json).
    pub fn fields_text(&self, encoding: Encoding) -> Result<String> {
        let mut texts = Vec::new();
        for name in &self.changed {
            let fields = Fields::new([*name], &self.reader.schema).unwrap_or(Fields::ALL);
            // The object of one field: `{"name":value}`.
            let value = |record: Option<&[u8]>| -> Result<String> {
                let object = json(self.reader, &fields, encoding, record.unwrap_or_default())?;
                let value = object.split_once(':').map_or("", |(_, value)| value);
                Ok(value.strip_suffix('}').unwrap_or(value).to_owned())
            };
            texts.push(format!("{name}: {} -> {}", value(self.before)?, value(self.after)?));
        }
        Ok(texts.join(", "))
    }

    /// The record as it was, as JSON ([`records`](crate::avro::records)).
    ///
    /// # Errors
    /// If values that take no bytes make too much text of it.
    pub fn before_json(&self, encoding: Encoding) -> Result<Option<String>> {
        self.before.map(|record| json(self.reader, &Fields::ALL, encoding, record)).transpose()
    }

    /// The record as it is, as JSON.
    ///
    /// # Errors
    /// As of [`before_json`](RecordChange::before_json).
    pub fn after_json(&self, encoding: Encoding) -> Result<Option<String>> {
        self.after.map(|record| json(self.reader, &Fields::ALL, encoding, record)).transpose()
    }
}

impl std::fmt::Debug for RecordChange<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordChange")
            .field("operation", &self.operation)
            .field("snapshot", &self.snapshot.id)
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}

/// A record as JSON.
pub(crate) fn json(reader: &ReaderSchema, fields: &Fields, encoding: Encoding, record: &[u8]) -> Result<String> {
    let mut text = String::new();
    let written = RecordWriter::new(&reader.schema, fields, encoding).write(record, &mut |part| {
        text.push_str(part);
        Ok(())
    })?;
    match written {
        Ok(()) => Ok(text),
        Err(error) => Err(Error::NoRecords { path: "a record".into(), source: error.into() }),
    }
}

/// What is needed to say what changed.
pub(super) struct Describer<'d> {
    pub(super) reader: &'d ReaderSchema,
    pub(super) key: Option<&'d Key>,
    pub(super) fields: AllFields,
    pub(super) snapshot: &'d SnapshotRoot,
}

impl Describer<'_> {
    /// The change that these two are.
    pub(super) fn change<'c>(
        &'c self,
        before: Option<&'c [u8]>,
        after: Option<&'c [u8]>,
        duplicate: bool,
    ) -> Result<RecordChange<'c>> {
        let (operation, changed) = match (before, after) {
            (Some(before), Some(after)) => (Operation::Update, self.fields.changed(before, after)?),
            (Some(_), None) => (Operation::Delete, Vec::new()),
            (None, _) => (Operation::Insert, Vec::new()),
        };
        let Self { reader, key, snapshot, .. } = *self;
        Ok(RecordChange { operation, snapshot, before, after, changed, duplicate, reader, key })
    }
}
