//! Tables: the Avro files of a folder or a pattern, taken together.
//!
//! What people keep are tables, and a table is a folder of *parts* whose names change with every export. [`Table::open`] finds
//! the parts that some paths and patterns of snapshots mean, and the schema that reads all of them: by Avro's rules, and of
//! several the newest. [`Reader`] gives the records of all parts in order, in one schema.
//!
//! What is no Avro container (`_SUCCESS`, checksums, listings) is passed over and counted. A file of which there are several
//! hard links is one part.
//!
//! Memory: for each part its path and a handful of numbers, and each schema once, however many parts have it. Recipes are
//! not kept: the row of a part is looked up again when it is read.

mod choose;
mod find;
mod reader;
mod wanted;

use std::sync::Arc;

pub(crate) use find::again;
pub use reader::{Batch, Fault, Reader};
pub use wanted::Wanted;

use crate::avro::codec::Codec;
use crate::avro::compat::Obstacle;
use crate::avro::schema::{Schema, SchemaError};
use crate::error::{Error, Result};
use crate::id::hex;
use crate::read::Snapshot;
use crate::read::avro_file::NotAvro;
use crate::snapshot::entry::{AvroState, FileEntry, Time};

/// The most different schemas that the parts of a table may have.
pub const MAX_SCHEMAS: usize = 1000;

/// How many files that are passed over are listed.
const LISTED: usize = 100;

/// A schema that parts of a table were written with.
#[derive(Debug, Clone)]
pub struct TableSchema {
    /// As it stands in the headers.
    pub text: Arc<str>,
    /// Compiled.
    pub schema: Arc<Schema>,
    /// How many parts have it.
    pub parts: u64,
    /// How many records they declare, as far as that is known from their rows.
    pub records: u64,
    /// The part of these that was changed last.
    pub newest: usize,
}

impl TableSchema {
    /// The CRC-64-AVRO of its canonical form, as Avro writes it.
    pub fn fingerprint(&self) -> String {
        hex(&self.schema.fingerprint().to_le_bytes())
    }
}

/// An Avro file of a table.
#[derive(Debug, Clone)]
pub struct Part {
    /// In which of the table's snapshots it is.
    pub snapshot: usize,
    /// Its path there.
    pub path: Box<[u8]>,
    /// Which of the table's schemas it has.
    pub schema: usize,
    /// Its codec.
    pub codec: Codec,
    /// Its size in bytes, as it was saved.
    pub size: u64,
    /// When it was last changed.
    pub mtime: Time,
    /// What its row says about it; none where it was saved without looking into it.
    pub facts: Option<PartFacts>,
}

/// What the row of a part says about its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartFacts {
    /// How sound it is.
    pub state: AvroState,
    /// Its sound blocks.
    pub blocks: u64,
    /// The records that these declare.
    pub declared_records: u64,
    /// The records that were found in them.
    pub verified_records: u64,
}

impl Part {
    /// How many records it has, where that is known without reading it: the container is sound as a whole.
    pub fn records(&self) -> Option<u64> {
        let facts = self.facts.as_ref()?;
        matches!(facts.state, AvroState::Ok | AvroState::HeaderOnly).then_some(facts.declared_records)
    }

    /// Its path for people.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}

/// Files that are no parts.
#[derive(Debug, Clone, Default)]
pub struct PassedOver {
    /// Files that are no Avro containers.
    pub files: u64,
    /// Avro files that cannot be read at all: their header, schema or codec.
    pub unreadable: u64,
    /// The first 100 of those, and why.
    pub listed: Vec<(Vec<u8>, NotAvro)>,
}

/// Avro files of one lineage of schemas.
#[derive(Debug, Clone)]
pub struct Table {
    /// What it was asked for as, for people.
    pub name: String,
    /// The snapshots that its parts are in.
    pub snapshots: Vec<Snapshot>,
    /// Its parts, in the order in which they were asked for, and of one snapshot's folder in the order of the manifest.
    pub parts: Vec<Part>,
    /// The different schemas of the parts, in the order in which they first occur.
    pub schemas: Vec<TableSchema>,
    /// Which of the schemas reads all others: the newest of those that do. Of a table that was opened
    /// [without agreement](Table::find) none may.
    pub newest: Option<usize>,
    /// Files that are no parts.
    pub passed_over: PassedOver,
}

/// Why there is no such table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The repository or a path.
    #[error(transparent)]
    Library(#[from] Error),
    /// The one file that was asked for is no Avro file that can be looked into.
    #[error("cannot read records of {path}: {reason}")]
    NotAvro {
        /// Path of the file in the snapshot.
        path: String,
        /// What is wrong with its header, schema or codec.
        reason: NotAvro,
    },
    /// There is not one Avro file.
    #[error("there is no Avro file at {path}{}", passed(.passed_over))]
    NoParts {
        /// What was asked for.
        path: String,
        /// What is there.
        passed_over: PassedOver,
    },
    /// No schema of the parts reads all others.
    #[error(
        "no schema reads all files of {table}: {older} cannot be read with the newest, that of {newer}: {obstacle}"
    )]
    Disagree {
        /// The table.
        table: String,
        /// The part that was changed last.
        newer: String,
        /// One that cannot be read with its schema.
        older: String,
        /// What stands against reading the one with the schema of the other.
        obstacle: Obstacle,
    },
    /// There are more schemas than [`MAX_SCHEMAS`].
    #[error("the files of {table} have more than 1000 different schemas")]
    TooManySchemas {
        /// The table.
        table: String,
    },
    /// A part cannot be read with the schema that was given.
    #[error("{path} cannot be read with the given schema: {obstacle}")]
    Unreadable {
        /// The part.
        path: String,
        /// What stands against it.
        obstacle: Obstacle,
    },
    /// The schema that was given is none.
    #[error("the given schema is not sound: {0}")]
    Schema(SchemaError),
}

fn passed(over: &PassedOver) -> String {
    match (over.files, over.unreadable) {
        (0, 0) => String::new(),
        (files, 0) => format!(" ({files} other files)"),
        (files, unreadable) => format!(" ({files} other files, {unreadable} whose header cannot be read)"),
    }
}

impl Table {
    /// The parts that are meant, and their newest schema.
    ///
    /// # Errors
    /// [`TableError`]: where a path is not there, no Avro file is, or no schema reads all others.
    pub fn open(wanted: &[Wanted]) -> std::result::Result<Self, TableError> {
        let table = Self::find(wanted)?;
        match table.newest {
            Some(_) => Ok(table),
            None => Err(choose::disagreement(&table)),
        }
    }

    /// The same where the schemas need not go together, as for counting, or where a schema is given.
    ///
    /// # Errors
    /// As of [`open`](Table::open) but for the schemas.
    pub fn find(wanted: &[Wanted]) -> std::result::Result<Self, TableError> {
        let mut table = Self::find_parts(wanted)?;
        table.newest = choose::newest(&table);
        Ok(table)
    }

    /// The same without looking for a newest schema at all.
    ///
    /// # Errors
    /// As of [`find`](Table::find).
    pub fn find_parts(wanted: &[Wanted]) -> std::result::Result<Self, TableError> {
        find::find(wanted)
    }

    /// The newest schema, if the schemas go together.
    pub fn schema(&self) -> Option<&TableSchema> {
        self.schemas.get(self.newest?)
    }

    /// The snapshot that a part is in.
    ///
    /// # Panics
    /// If the part is of another table.
    pub fn snapshot_of(&self, part: &Part) -> &Snapshot {
        &self.snapshots[part.snapshot]
    }

    /// The row of a part that has its content.
    ///
    /// # Errors
    /// Those of reading the manifest.
    pub fn row(&self, part: &Part) -> Result<FileEntry> {
        self.snapshot_of(part).content_row(&part.path)
    }

    /// How many records it has, where the rows of all parts say it.
    pub fn records(&self) -> Option<u64> {
        self.parts.iter().try_fold(0u64, |sum, part| Some(sum.saturating_add(part.records()?)))
    }
}
