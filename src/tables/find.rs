//! Which files are the parts of a table.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{LISTED, MAX_SCHEMAS, Part, PartFacts, PassedOver, Table, TableError, TableSchema, Wanted};
use crate::avro::codec::Codec;
use crate::avro::container::Header;
use crate::avro::schema::Schema;
use crate::error::{Context, Error, Result};
use crate::id::digest;
use crate::read::Snapshot;
use crate::read::avro_file::{AvroFile, NotAvro, header_of};
use crate::recipe::{Recipe, Stream};
use crate::snapshot::entry::{EntryKind, FileEntry};

/// What a header says: its schema, by its place among those of the table, and its codec.
type Known = std::result::Result<(usize, Codec), NotAvro>;

/// Headers of one writer are the same bytes, so few of them are read and compiled. Those of others may all differ.
const HEADERS_KEPT: usize = 10_000;

/// The table of what is wanted, without a newest schema.
pub(super) fn find(wanted: &[Wanted]) -> std::result::Result<Table, TableError> {
    let name = match wanted {
        [one] => one.shown(),
        several => several.iter().map(Wanted::shown).collect::<Vec<_>>().join(", "),
    };
    let mut finder = Finder::default();
    for (place, one) in wanted.iter().enumerate() {
        finder.add(one, wanted.get(..place).unwrap_or_default())?;
    }
    if finder.table.parts.is_empty() {
        // What is wrong with the one file that is meant, better than that there is nothing.
        if let (true, Some((path, reason))) = (finder.single, finder.reason.take()) {
            return Err(TableError::NotAvro { path: String::from_utf8_lossy(&path).into_owned(), reason });
        }
        return Err(TableError::NoParts { path: name, passed_over: finder.table.passed_over });
    }
    finder.table.name = name;
    Ok(finder.table)
}

struct Finder {
    table: Table,
    by_text: HashMap<[u8; 32], usize>,
    by_header: HashMap<[u8; 32], Known>,
    /// First names of files outside of what is wanted, of which a hard link is a part.
    elsewhere: HashSet<(usize, Vec<u8>)>,
    /// Whether all that was looked at so far is a single file.
    single: bool,
    /// Why the first file is no part.
    reason: Option<(Vec<u8>, NotAvro)>,
}

impl Default for Finder {
    fn default() -> Self {
        let table = Table {
            name: String::new(),
            snapshots: Vec::new(),
            parts: Vec::new(),
            schemas: Vec::new(),
            newest: None,
            passed_over: PassedOver::default(),
        };
        Self {
            table,
            by_text: HashMap::new(),
            by_header: HashMap::new(),
            elsewhere: HashSet::new(),
            single: true,
            reason: None,
        }
    }
}

impl Finder {
    /// Adds the parts that are meant and were not meant before.
    fn add(&mut self, wanted: &Wanted, before: &[Wanted]) -> std::result::Result<(), TableError> {
        let snapshot = wanted.snapshot();
        let number = self.snapshot(snapshot);
        let is_first = |path: &[u8]| {
            let same = |other: &&Wanted| other.snapshot().id() == snapshot.id();
            !before.iter().filter(same).any(|other| other.fits(path))
        };
        let mut found = false;
        for row in wanted.rows() {
            let row = row?;
            if !wanted.fits(&row.path) {
                continue;
            }
            found = true;
            let one = row.path == wanted.path() && row.kind == EntryKind::File;
            self.single &= one && before.is_empty();
            if !matches!(row.kind, EntryKind::File) {
                if row.path == wanted.path() && row.kind != EntryKind::Directory {
                    return Err(Error::wrong_kind(wanted.path(), "a regular file or a folder").into());
                }
                continue;
            }
            if is_first(&row.path) {
                self.row(number, snapshot, row, one, &|path| wanted.fits(path) || !is_first(path))?;
            }
        }
        match found || wanted.path().is_empty() {
            true => Ok(()),
            false => {
                let path = String::from_utf8_lossy(wanted.path()).into_owned();
                Err(Error::NoPath { path, snapshot: snapshot.id().short() }.into())
            }
        }
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> usize {
        let known = self.table.snapshots.iter().position(|known| known.id() == snapshot.id());
        known.unwrap_or_else(|| {
            self.table.snapshots.push(snapshot.clone());
            self.table.snapshots.len() - 1
        })
    }

    /// Looks at a regular file, which is named by itself or not. `is_meant` says whether a path is met anyway.
    fn row(
        &mut self,
        number: usize,
        snapshot: &Snapshot,
        row: FileEntry,
        named: bool,
        is_meant: &dyn Fn(&[u8]) -> bool,
    ) -> std::result::Result<(), TableError> {
        let path = row.path.clone();
        let row = match &row.hard_link {
            // Another name of it may have been met before.
            None if self.elsewhere.contains(&(number, path.clone())) => return Ok(()),
            None => row,
            Some(first) if is_meant(first) => return Ok(()),
            Some(first) => {
                if !self.elsewhere.insert((number, first.clone())) {
                    return Ok(());
                }
                snapshot.content_row(first)?
            }
        };
        // What was saved without looking into it is looked into if its name says that it is worth it.
        let known = match row.avro.is_some() || named || path.ends_with(b".avro") {
            true => self.header(snapshot, &row)?,
            false => Err(NotAvro::NoContainer),
        };
        let (schema, codec) = match known {
            Ok(known) => known,
            Err(reason) => {
                self.pass_over(path, reason);
                return Ok(());
            }
        };
        let facts = row.avro.as_ref().map(|facts| PartFacts {
            state: facts.state,
            blocks: facts.blocks,
            declared_records: facts.declared_records,
            verified_records: facts.verified_records,
        });
        let part = Part { snapshot: number, path: path.into(), schema, codec, size: row.size, mtime: row.mtime, facts };
        self.count(&part);
        self.table.parts.push(part);
        match self.table.schemas.len() > MAX_SCHEMAS {
            true => Err(TableError::TooManySchemas { table: String::from_utf8_lossy(&row.path).into_owned() }),
            false => Ok(()),
        }
    }

    /// Counts a part that is about to be added for its schema.
    fn count(&mut self, part: &Part) {
        let place = self.table.parts.len();
        let age = |part: &Part| (part.mtime, part.path.clone());
        let Some(schema) = self.table.schemas.get_mut(part.schema) else { return };
        schema.parts += 1;
        let records = part.facts.map_or(0, |facts| facts.declared_records);
        schema.records = schema.records.saturating_add(records);
        if self.table.parts.get(schema.newest).is_none_or(|newest| age(part) > age(newest)) {
            schema.newest = place;
        }
    }

    fn pass_over(&mut self, path: Vec<u8>, reason: NotAvro) {
        let over = &mut self.table.passed_over;
        match reason {
            NotAvro::NoContainer => over.files += 1,
            _ => {
                over.unreadable += 1;
                if over.listed.len() < LISTED {
                    over.listed.push((path.clone(), reason.clone()));
                }
            }
        }
        if self.single {
            self.reason.get_or_insert((path, reason));
        }
    }

    /// What the header of a file says.
    fn header(&mut self, snapshot: &Snapshot, row: &FileEntry) -> std::result::Result<Known, Error> {
        let Some(key) = header_key(row)? else {
            let opened = again(snapshot, row, |source, row| AvroFile::open(source, row))?;
            return Ok(opened.and_then(|file| self.known(file.header())));
        };
        if let Some(known) = self.by_header.get(&key) {
            return Ok(known.clone());
        }
        let header = again(snapshot, row, |source, row| match decoded(row)? {
            Recipe::Container(recipe) => header_of(&*source, &recipe).map(Ok),
            Recipe::Plain(_) => Ok(Err(NotAvro::NoContainer)),
        })?;
        let known = header.and_then(|header| self.known(&header));
        if self.by_header.len() < HEADERS_KEPT {
            self.by_header.insert(key, known.clone());
        }
        Ok(known)
    }

    fn known(&mut self, header: &Header) -> Known {
        let text = header.schema_text().ok_or(NotAvro::NoSchema)?;
        let name = header.codec_name();
        let codec = Codec::from_name(name).ok_or_else(|| NotAvro::Codec(name.to_owned()))?;
        let key = digest(text.as_bytes());
        if let Some(place) = self.by_text.get(&key) {
            return Ok((*place, codec));
        }
        let schema = Arc::new(Schema::parse(text).map_err(NotAvro::Schema)?);
        let place = self.table.schemas.len();
        // The part is counted, and is the newest, once it is there.
        self.table.schemas.push(TableSchema { text: text.into(), schema, parts: 0, records: 0, newest: usize::MAX });
        self.by_text.insert(key, place);
        Ok((place, codec))
    }
}

fn decoded(row: &FileEntry) -> Result<Recipe> {
    Recipe::decode(&row.recipe).in_object(format_args!("the recipe of {}", String::from_utf8_lossy(&row.path)))
}

/// What the header of a container is known by without reading it; none for any other file.
fn header_key(row: &FileEntry) -> Result<Option<[u8; 32]>> {
    if row.recipe.is_empty() {
        return Ok(None);
    }
    let Recipe::Container(recipe) = decoded(row)? else { return Ok(None) };
    Ok(match &recipe.header {
        Stream::Empty => None,
        Stream::Inline(bytes) => Some(digest(bytes)),
        Stream::Tree(tree) => Some(digest(tree.root.id.as_bytes())),
    })
}

/// Does something with a file, and again with its new row where the snapshot got a new root meanwhile.
pub(crate) fn again<T>(
    snapshot: &Snapshot,
    row: &FileEntry,
    work: impl Fn(Arc<crate::store::Repository>, &FileEntry) -> Result<T>,
) -> Result<T> {
    match work(snapshot.repository().clone(), row) {
        Err(error) if error.is_damage() => {
            snapshot.steady(|_| work(snapshot.repository().clone(), &snapshot.content_row(&row.path)?))
        }
        done => done,
    }
}
