//! What expectations are about, added up: files, bytes and records of what their paths match, and the newest file.

use std::collections::HashMap;
use std::sync::Arc;

use super::Expectation;
use crate::avro::schema::Schema;
use crate::error::{Error, Result};
use crate::files::Matchable;
use crate::read::avro_file::header_of;
use crate::recipe::{AvroState, CompiledSchema, Recipe};
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry, Time};
use crate::store::Repository;

/// How many names of unsound files are kept.
const NAMED: usize = 3;

/// What one expectation is about, added up.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Regular files, each once however many names it has.
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) records: u64,
    /// Those of them that are, or are called, Avro files.
    pub(super) avro_files: u64,
    /// Avro files that are damaged, cut off or empty.
    pub(super) unsound: u64,
    /// Some of these.
    pub(super) unsound_names: Vec<String>,
    /// What could not be read.
    pub(super) unread: u64,
    /// The file that was changed last: of the Avro files, if there are any.
    pub(super) newest: Option<Newest>,
}

/// The newest file of a table.
#[derive(Debug, Clone)]
pub(super) struct Newest {
    pub(super) mtime: Time,
    pub(super) fingerprint: u64,
    schema: SchemaPlace,
    is_avro: bool,
}

/// Where the schema of a file is.
#[derive(Debug, Clone)]
enum SchemaPlace {
    /// It was read just now.
    Known(Arc<CompiledSchema>),
    /// The recipe's.
    Stored(Vec<u8>),
}

/// What expectations say of one file.
#[derive(Debug, Clone)]
struct OneFile {
    bytes: u64,
    records: u64,
    is_unsound: bool,
    newest: Newest,
}

impl OneFile {
    fn new(entry: &FileEntry, schema: Option<&Arc<CompiledSchema>>) -> Self {
        let is_called_avro = entry.path.ends_with(b".avro");
        let is_unsound = match &entry.avro {
            Some(facts) => facts.state.is_alarm() || facts.state == AvroState::Empty,
            None => is_called_avro,
        };
        let records = entry.avro.as_ref().map_or(0, |facts| match facts.state.is_alarm() {
            true => facts.verified_records,
            false => facts.declared_records,
        });
        let newest = Newest {
            mtime: entry.mtime,
            fingerprint: entry.avro.as_ref().map_or(0, |facts| facts.fingerprint),
            schema: match schema {
                Some(known) => SchemaPlace::Known(known.clone()),
                None if entry.avro.is_some() => SchemaPlace::Stored(entry.recipe.clone()),
                None => SchemaPlace::Stored(Vec::new()),
            },
            is_avro: entry.avro.is_some() || is_called_avro,
        };
        Self { bytes: entry.size, records, is_unsound, newest }
    }
}

impl Measured {
    fn add(&mut self, path: &[u8], file: &OneFile) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(file.bytes);
        self.records = self.records.saturating_add(file.records);
        self.avro_files += u64::from(file.newest.is_avro);
        if file.is_unsound {
            self.unsound += 1;
            if self.unsound_names.len() < NAMED {
                self.unsound_names.push(String::from_utf8_lossy(path).into_owned());
            }
        }
        let key = |newest: &Newest| (newest.is_avro, newest.mtime);
        if self.newest.as_ref().is_none_or(|newest| key(newest) <= key(&file.newest)) {
            self.newest = Some(file.newest.clone());
        }
    }
}

impl Newest {
    /// Its schema, or why there is none.
    pub(super) fn schema(&self, repository: &Repository) -> std::result::Result<Schema, String> {
        match &self.schema {
            SchemaPlace::Known(known) => known.schema().cloned().ok_or_else(|| "its schema is not understood".into()),
            SchemaPlace::Stored(recipe) => {
                let recipe = Recipe::decode(recipe).map_err(|_| "it is no Avro file".to_owned())?;
                let Recipe::Container(recipe) = recipe else { return Err("it was not saved as an Avro file".into()) };
                let header = header_of(repository, &recipe).map_err(|error| error.message())?;
                let text = header.schema_text().ok_or("its header has no schema")?;
                Schema::parse(text).map_err(|error| error.to_string())
            }
        }
    }
}

/// What all expectations are about, while the rows of a snapshot come.
#[derive(Debug)]
pub(in super::super) struct Measures {
    expectations: Vec<Expectation>,
    measured: Vec<Measured>,
    /// Files with several names, by the name whose row has the content.
    firsts: HashMap<Vec<u8>, OneFile>,
}

/// The schemas of files whose rows come, where they are known already.
type Schemas<'s> = Option<&'s Arc<CompiledSchema>>;

impl Measures {
    pub(in super::super) fn new(expectations: &[Expectation]) -> Self {
        Self {
            expectations: expectations.to_vec(),
            measured: expectations.iter().map(|_| Measured::default()).collect(),
            firsts: HashMap::new(),
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&Expectation, &Measured)> {
        self.expectations.iter().zip(&self.measured)
    }

    /// A row of the snapshot. `has_names` where other names of the same file may come.
    pub(in super::super) fn row(&mut self, entry: &FileEntry, schema: Schemas<'_>, has_names: bool) {
        if self.expectations.is_empty() || entry.kind != EntryKind::File {
            return;
        }
        let file = match &entry.hard_link {
            Some(first) => self.firsts.get(first).cloned(),
            None => Some(OneFile::new(entry, schema)),
        };
        let Some(file) = file else { return };
        self.each_about(&entry.path, entry.hard_link.as_deref(), |measured| measured.add(&entry.path, &file));
        if has_names {
            self.firsts.insert(entry.path.clone(), file);
        }
    }

    /// Something that could not be read.
    pub(in super::super) fn unread(&mut self, path: &[u8]) {
        if !self.expectations.is_empty() {
            self.each_about(path, None, |measured| measured.unread += 1);
        }
    }

    /// Does something with what is measured at a path. A file counts once for each expectation: not again where that is about its
    /// first name, too.
    fn each_about(&mut self, path: &[u8], first: Option<&[u8]>, mut work: impl FnMut(&mut Measured)) {
        let path = Matchable::new(path, false);
        let first = first.map(|first| Matchable::new(first, false));
        for (expectation, measured) in self.expectations.iter().zip(&mut self.measured) {
            let is_counted = first.as_ref().is_some_and(|first| expectation.is_about(first));
            if expectation.is_about(&path) && !is_counted {
                work(measured);
            }
        }
    }
}

/// The same of a snapshot that is there.
pub(in super::super) fn measure_snapshot(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    expectations: &[Expectation],
) -> Result<Measures> {
    let mut measures = Measures::new(expectations);
    let mut rows = snapshot.rows(repository);
    while let Some(row) = rows.next_row()? {
        if repository.runtime().cancel_token().is_cancelled() {
            return Err(Error::Interrupted);
        }
        if let Some(first) = &row.hard_link
            && !measures.firsts.contains_key(first)
            && let Some(first) = snapshot.rows(repository).find(first)?
        {
            measures.firsts.insert(first.path.clone(), OneFile::new(&first, None));
        }
        measures.row(&row, None, false);
    }
    Ok(measures)
}
