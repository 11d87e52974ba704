//! `schema`: which schemas there are, and how they changed.

mod table;

pub use table::{log_table, newest_of};

use std::collections::HashMap;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::avro::compat::Comparison;
use crate::avro::container::Header;
use crate::avro::schema::{Kind, Schema};
use crate::error::{Context, Error, Result};
use crate::id::hex;
use crate::read::avro_file::{AvroFile, NotAvro, header_of};
use crate::read::{Lookup, Snapshot, regular_file};
use crate::recipe::{Recipe, Stream};
use crate::report::{put_text, utc};
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::Repository;
use crate::store::unless_moved;
use crate::tables::{Wanted, again};

/// The schema of a file.
#[derive(Debug)]
pub struct FileSchema {
    /// As it stands in the header.
    pub text: Arc<str>,
    /// Compiled.
    pub schema: Arc<Schema>,
}

impl FileSchema {
    fn new(header: &Header) -> std::result::Result<Self, NotAvro> {
        let text = header.schema_text().ok_or(NotAvro::NoSchema)?;
        let schema = Schema::parse(text).map_err(NotAvro::Schema)?;
        Ok(Self { text: text.into(), schema: Arc::new(schema) })
    }

    /// The full name of the record, enum or fixed type that the records are; else what they are.
    pub fn name(&self) -> String {
        match &self.schema.node(self.schema.root()).kind {
            Kind::Record { name, .. } | Kind::Enum { name, .. } | Kind::Fixed { name, .. } => name.clone(),
            _ => self.schema.say(self.schema.root()),
        }
    }
}

/// The schema of a file in a snapshot, or why it has none.
///
/// # Errors
/// [`Error::NoPath`], [`Error::WrongKind`] if it is no regular file; errors of reading manifests and headers.
pub fn schema_of(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
) -> Result<std::result::Result<FileSchema, NotAvro>> {
    let read = regular_file(repository, snapshot, path).and_then(|entry| of_entry(repository, &entry));
    unless_moved(repository, snapshot, read)
}

fn of_entry(repository: &Repository, entry: &FileEntry) -> Result<std::result::Result<FileSchema, NotAvro>> {
    Ok(AvroFile::open(repository, entry)?.and_then(|file| FileSchema::new(file.header())))
}

/// A schema of files in a snapshot.
#[derive(Debug)]
pub struct Listed {
    /// The schema, or why the header has none that can be understood.
    pub schema: std::result::Result<FileSchema, NotAvro>,
    /// How many files have it.
    pub files: u64,
    /// How many records they declare.
    pub records: u64,
    /// One of them.
    pub example: Vec<u8>,
}

/// The different schemas of the Avro files that are meant, in the order in which they first occur. Schemas are compared by
/// their full text.
///
/// # Errors
/// [`Error::NoPath`] if there is nothing at a path; errors of reading manifests and headers.
pub fn ls(wanted: &[Wanted]) -> Result<Vec<Listed>> {
    let mut listing = SchemaListing::default();
    for (place, one) in wanted.iter().enumerate() {
        let mut found = one.path().is_empty();
        for row in one.rows() {
            let row = row?;
            if one.fits(&row.path) {
                found = true;
                let before = wanted.get(..place).unwrap_or_default();
                if !before.iter().any(|other| other.snapshot().id() == one.snapshot().id() && other.fits(&row.path)) {
                    listing.add(one.snapshot(), &row)?;
                }
            }
        }
        if !found {
            let path = String::from_utf8_lossy(one.path()).into_owned();
            return Err(Error::NoPath { path, snapshot: one.snapshot().id().short() });
        }
    }
    Ok(listing.listed)
}

#[derive(Default)]
struct SchemaListing {
    listed: Vec<Listed>,
    by_text: HashMap<Option<String>, usize>,
    /// Headers of one writer are the same bytes, so few of them are read and compiled.
    by_header: HashMap<Vec<u8>, usize>,
}

impl SchemaListing {
    fn add(&mut self, snapshot: &Snapshot, row: &FileEntry) -> Result<()> {
        let Some(facts) = row.avro.as_ref().filter(|_| !row.recipe.is_empty()) else { return Ok(()) };
        let recipe = Recipe::decode(&row.recipe).in_object("a recipe")?;
        let Recipe::Container(recipe) = recipe else { return Ok(()) };
        let key = match &recipe.header {
            Stream::Empty => Vec::new(),
            Stream::Inline(bytes) => bytes.clone(),
            Stream::Tree(tree) => tree.root.id.as_bytes().to_vec(),
        };
        let place = match self.by_header.get(&key) {
            Some(place) => *place,
            None => {
                let header = again(snapshot, row, |repository, row| match Recipe::decode(&row.recipe) {
                    Ok(Recipe::Container(recipe)) => header_of(&*repository, &recipe).map(Some),
                    _ => Ok(None),
                })?;
                let text = header.as_ref().and_then(|header| header.schema_text()).map(str::to_owned);
                let place = *self.by_text.entry(text).or_insert_with(|| {
                    let schema = header.as_ref().ok_or(NotAvro::NoSchema).and_then(FileSchema::new);
                    self.listed.push(Listed { schema, files: 0, records: 0, example: row.path.clone() });
                    self.listed.len() - 1
                });
                self.by_header.insert(key, place);
                place
            }
        };
        if let Some(listed) = self.listed.get_mut(place) {
            listed.files += 1;
            listed.records = listed.records.saturating_add(facts.declared_records);
        }
        Ok(())
    }
}

/// A change in the life of a path.
#[derive(Debug)]
pub struct Event<'a> {
    /// The first snapshot that shows it.
    pub snapshot: &'a SnapshotRoot,
    /// The change.
    pub what: What,
}

/// What happened to a path.
#[derive(Debug, Clone)]
pub enum What {
    /// It is there, with this schema, where nothing or no Avro file was before.
    Appeared(Arc<FileSchema>),
    /// It has another schema.
    Changed {
        /// The schema before.
        before: Arc<FileSchema>,
        /// This one.
        after: Arc<FileSchema>,
        /// How they go together.
        comparison: Comparison,
    },
    /// It is no Avro file that can be looked into.
    NotAvro(NotAvro),
    /// It is not there any more.
    Removed,
}

/// What is known of a path in one series.
#[derive(Default)]
struct Known {
    recipe: Vec<u8>,
    schema: Option<std::result::Result<Arc<FileSchema>, NotAvro>>,
}

/// Follows a path through snapshots, given by their time. Snapshots are compared with those of their own series. There are no
/// events if none of the snapshots has a regular file at this path.
///
/// # Errors
/// Errors of reading manifests and headers.
pub fn log<'a>(
    repository: &Repository,
    snapshots: impl Iterator<Item = &'a SnapshotRoot>,
    path: &[u8],
) -> Result<Vec<Event<'a>>> {
    let (mut events, mut series): (Vec<Event<'a>>, HashMap<&str, Known>) = Default::default();
    for snapshot in snapshots {
        let known = series.entry(&snapshot.series).or_default();
        let found = unless_moved(repository, snapshot, Lookup::in_snapshot(repository, snapshot, path))?;
        let entry = match found {
            Lookup::File { row, .. } => Some(row),
            Lookup::Other | Lookup::Absent => None,
        };
        let what = match (entry, known.schema.take()) {
            (None, None) => None,
            (None, Some(_)) => Some(What::Removed),
            (Some(entry), Some(before)) if entry.recipe == known.recipe => {
                known.schema = Some(before);
                None
            }
            (Some(entry), before) => {
                let after = unless_moved(repository, snapshot, of_entry(repository, &entry))?.map(Arc::new);
                known.recipe = entry.recipe;
                known.schema = Some(after.clone());
                changed(before, after)
            }
        };
        events.extend(what.map(|what| Event { snapshot, what }));
    }
    Ok(events)
}

type Found = std::result::Result<Arc<FileSchema>, NotAvro>;

fn changed(before: Option<Found>, after: Found) -> Option<What> {
    match (before, after) {
        (Some(Ok(before)), Ok(after)) if before.text == after.text => None,
        (Some(Ok(before)), Ok(after)) => {
            let comparison = Comparison::new(&before.schema, &after.schema);
            Some(What::Changed { before, after, comparison })
        }
        (_, Ok(after)) => Some(What::Appeared(after)),
        (Some(Err(before)), Err(after)) if before == after => None,
        (_, Err(reason)) => Some(What::NotAvro(reason)),
    }
}

impl FileSchema {
    /// The CRC-64-AVRO of its canonical form, as Avro writes it.
    pub fn fingerprint(&self) -> String {
        hex(&self.schema.fingerprint().to_le_bytes())
    }

    /// Why readers of Avro refuse it, though its records can be walked.
    pub fn flaw(&self) -> Option<String> {
        self.schema.flaw().map(ToString::to_string)
    }
}

impl Serialize for FileSchema {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut schema = serializer.serialize_struct("FileSchema", 4)?;
        schema.serialize_field("fingerprint", &self.fingerprint())?;
        schema.serialize_field("name", &self.name())?;
        schema.serialize_field("schema", &*self.text)?;
        schema.serialize_field("flaw", &self.flaw())?;
        schema.end()
    }
}

impl Serialize for Listed {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let schema = self.schema.as_ref().ok();
        let mut listed = serializer.serialize_map(None)?;
        put_text(&mut listed, "path", &self.example)?;
        listed.serialize_entry("fingerprint", &schema.map(FileSchema::fingerprint))?;
        listed.serialize_entry("name", &schema.map(FileSchema::name))?;
        listed.serialize_entry("files", &self.files)?;
        listed.serialize_entry("records", &self.records)?;
        listed.serialize_entry("schema", &schema.map(|schema| &*schema.text))?;
        listed.serialize_entry("error", &self.schema.as_ref().err().map(ToString::to_string))?;
        listed.serialize_entry("flaw", &schema.and_then(FileSchema::flaw))?;
        listed.end()
    }
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut event = serializer.serialize_map(None)?;
        event.serialize_entry("snapshot_id", &self.snapshot.id)?;
        event.serialize_entry("time", &utc(i128::from(self.snapshot.time)))?;
        event.serialize_entry("series", &self.snapshot.series)?;
        let appeared = match &self.what {
            What::Appeared(schema) => {
                event.serialize_entry("event", "appeared")?;
                Some(schema)
            }
            What::Changed { before, after, comparison } => {
                event.serialize_entry("event", "changed")?;
                event.serialize_entry("fingerprint_before", &before.fingerprint())?;
                event.serialize_entry("verdict", comparison.verdict().name())?;
                event.serialize_entry("against_backward", &comparison.texts_backward())?;
                event.serialize_entry("against_forward", &comparison.texts_forward())?;
                Some(after)
            }
            What::NotAvro(reason) => {
                event.serialize_entry("event", "not_avro")?;
                event.serialize_entry("error", &reason.to_string())?;
                None
            }
            What::Removed => {
                event.serialize_entry("event", "removed")?;
                None
            }
        };
        if let Some(schema) = appeared {
            event.serialize_entry("fingerprint", &schema.fingerprint())?;
            event.serialize_entry("name", &schema.name())?;
            event.serialize_entry("schema", &*schema.text)?;
        }
        event.end()
    }
}
