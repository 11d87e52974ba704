//! What changed in Avro files, and in folders of them, as far as rows say it: nothing is decoded.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::Difference;
use crate::avro::compat::{Comparison, Verdict};
use crate::avro::schema::{Kind, Schema};
use crate::error::Result;
use crate::read::avro_file::AvroFile;
use crate::recipe::Recipe;
use crate::snapshot::entry::{AvroFacts, AvroState, FileEntry, Time, is_below};
use crate::store::Repository;

/// How an Avro file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvroChange<'a> {
    /// How many records it had; none where that is not known: it was no sound Avro file, or there was none.
    pub records_before: Option<u64>,
    /// How many records it has.
    pub records_after: Option<u64>,
    /// Its codec as it was.
    pub codec_before: Option<&'a str>,
    /// Its codec.
    pub codec_after: Option<&'a str>,
    /// How its schema goes together with the one that it had; none where one of them is not known.
    pub verdict: Option<Verdict>,
    /// Both hold the same records in the same order: only marker, codec, blocks or metadata are others.
    pub same_records: bool,
}

/// How a folder of Avro files changed that is a table: its files are records of one name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TableChange {
    /// The folder, counted from the paths that are compared.
    #[serde(skip)]
    pub path: Vec<u8>,
    /// Avro files that were in it, without those in folders below.
    pub files_before: u64,
    /// Avro files that are in it.
    pub files_after: u64,
    /// Files that only the later snapshot has.
    pub files_added: u64,
    /// Files that only the earlier snapshot has.
    pub files_removed: u64,
    /// Files with another content.
    pub files_changed: u64,
    /// Records of all files that were in it; none where one of them is not sound.
    pub records_before: Option<u64>,
    /// Records of all files that are in it.
    pub records_after: Option<u64>,
    /// Records of the files that were added. Records that only moved to another file are among them.
    pub records_in_added_files: Option<u64>,
    /// Records of the files that were removed.
    pub records_in_removed_files: Option<u64>,
    /// How the schema of the newest file goes together with that of the newest file before.
    #[serde(serialize_with = "verdict")]
    pub schema_verdict: Option<Verdict>,
    /// The codecs that there were.
    pub codecs_before: BTreeSet<String>,
    /// The codecs that there are.
    pub codecs_after: BTreeSet<String>,
}

#[allow(clippy::ref_option, reason = "as serde hands it over")]
fn verdict<S: Serializer>(verdict: &Option<Verdict>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    verdict.map(Verdict::name).serialize(serializer)
}

impl AvroChange<'_> {
    /// Appends what is said of the change, for programs.
    pub(super) fn put<M: SerializeMap>(&self, map: &mut M) -> std::result::Result<(), M::Error> {
        map.serialize_entry("records_before", &self.records_before)?;
        map.serialize_entry("records_after", &self.records_after)?;
        map.serialize_entry("codec_before", &self.codec_before)?;
        map.serialize_entry("codec_after", &self.codec_after)?;
        map.serialize_entry("schema_verdict", &self.verdict.map(Verdict::name))?;
        map.serialize_entry("same_records", &self.same_records)
    }
}

/// How many schemas are kept, and how many of a folder are remembered.
const SCHEMAS_KEPT: usize = 1000;
const SCHEMAS_OF_A_FOLDER: usize = 16;

/// Follows the rows of two snapshots.
pub(super) struct Tables<'r> {
    repository: &'r Repository,
    /// By fingerprint; none where the header cannot be read.
    schemas: HashMap<u64, Option<Arc<Schema>>>,
    /// The folders around the row that came last, the innermost last.
    open: Vec<Folder>,
}

#[derive(Default)]
struct Folder {
    change: TableChange,
    before: Examples,
    after: Examples,
}

/// For each schema of a folder's files the newest of them.
#[derive(Default)]
struct Examples(Vec<(u64, FileEntry)>);

impl Examples {
    fn add(&mut self, fingerprint: u64, entry: &FileEntry) {
        let age = |entry: &FileEntry| -> (Time, Vec<u8>) { (entry.mtime, entry.path.clone()) };
        match self.0.iter().position(|(known, _)| *known == fingerprint) {
            Some(place) if age(&self.0[place].1) < age(entry) => self.0[place].1.clone_from(entry),
            Some(_) => {}
            None if self.0.len() < SCHEMAS_OF_A_FOLDER => self.0.push((fingerprint, entry.clone())),
            None => {}
        }
    }

    fn newest(&self) -> Option<&(u64, FileEntry)> {
        self.0.iter().max_by(|a, b| (a.1.mtime, &a.1.path).cmp(&(b.1.mtime, &b.1.path)))
    }
}

/// What a row says about an Avro file. Another name of a file counts for nothing.
fn facts(entry: Option<&FileEntry>) -> Option<&AvroFacts> {
    entry.filter(|entry| entry.hard_link.is_none()).and_then(|entry| entry.avro.as_ref())
}

fn records(facts: &AvroFacts) -> Option<u64> {
    matches!(facts.state, AvroState::Ok | AvroState::HeaderOnly).then_some(facts.declared_records)
}

fn add(sum: &mut Option<u64>, records: Option<u64>) {
    *sum = sum.zip(records).map(|(sum, records)| sum.saturating_add(records));
}

impl<'r> Tables<'r> {
    pub(super) fn new(repository: &'r Repository) -> Self {
        Self { repository, schemas: HashMap::new(), open: Vec::new() }
    }

    /// How an Avro file changed; none if it is none.
    pub(super) fn file<'a>(
        &mut self,
        was: Option<&'a FileEntry>,
        is: Option<&'a FileEntry>,
    ) -> Result<Option<AvroChange<'a>>> {
        let (old, new) = (facts(was), facts(is));
        if old.is_none() && new.is_none() {
            return Ok(None);
        }
        let verdict = match (old.zip(was), new.zip(is)) {
            (Some((old, was)), Some((new, is))) => self.verdict((old.fingerprint, was), (new.fingerprint, is))?,
            _ => None,
        };
        let same_records = match (old.zip(was), new.zip(is)) {
            (Some((old, was)), Some((new, is))) => {
                old.fingerprint == new.fingerprint
                    && old.declared_records == new.declared_records
                    && same_records(was, is)
            }
            _ => false,
        };
        Ok(Some(AvroChange {
            records_before: old.and_then(records),
            records_after: new.and_then(records),
            codec_before: old.map(|facts| facts.codec.as_str()),
            codec_after: new.map(|facts| facts.codec.as_str()),
            verdict,
            same_records,
        }))
    }

    /// Takes the rows of a path in. Hands over the folders that were left, where they are tables that changed.
    pub(super) fn row(
        &mut self,
        path: &[u8],
        was: Option<&FileEntry>,
        is: Option<&FileEntry>,
        difference: Option<Difference>,
        each: &mut dyn FnMut(&TableChange) -> Result<()>,
    ) -> Result<()> {
        let (old, new) = (facts(was), facts(is));
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        let folder = path.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |end| &path[..end]);
        let holds = |open: &Folder| {
            let above = &open.change.path;
            above == folder || above.is_empty() || is_below(folder, above)
        };
        while self.open.last().is_some_and(|open| !holds(open)) {
            self.close(each)?;
        }
        if self.open.last().is_none_or(|open| open.change.path != folder) {
            let change = TableChange {
                path: folder.to_vec(),
                records_before: Some(0),
                records_after: Some(0),
                records_in_added_files: Some(0),
                records_in_removed_files: Some(0),
                ..TableChange::default()
            };
            self.open.push(Folder { change, ..Folder::default() });
        }
        if let Some(open) = self.open.last_mut() {
            open.count(old.zip(was), new.zip(is), difference);
        }
        Ok(())
    }

    /// Hands over the folders that are left at the end.
    pub(super) fn finish(&mut self, each: &mut dyn FnMut(&TableChange) -> Result<()>) -> Result<()> {
        while !self.open.is_empty() {
            self.close(each)?;
        }
        Ok(())
    }

    fn close(&mut self, each: &mut dyn FnMut(&TableChange) -> Result<()>) -> Result<()> {
        let Some(Folder { mut change, before, after }) = self.open.pop() else { return Ok(()) };
        let moved = change.files_added > 0 && change.files_removed > 0;
        let several = change.files_before.max(change.files_after) > 1;
        let changed = change.files_added + change.files_removed + change.files_changed > 0;
        if !changed || !(several || moved) {
            return Ok(());
        }
        let mut names = BTreeSet::new();
        for (fingerprint, entry) in before.0.iter().chain(&after.0) {
            let Some(schema) = self.schema(*fingerprint, entry)? else { continue };
            names.insert(match &schema.node(schema.root()).kind {
                Kind::Record { name, .. } => name.rsplit('.').next().unwrap_or_default().to_owned(),
                _ => schema.canonical_form(),
            });
        }
        // Files of different tables lie side by side: no table as a whole.
        if names.len() != 1 {
            return Ok(());
        }
        if let (Some(old), Some(new)) = (before.newest(), after.newest()) {
            change.schema_verdict = self.verdict((old.0, &old.1), (new.0, &new.1))?;
        }
        each(&change)
    }

    fn verdict(&mut self, old: (u64, &FileEntry), new: (u64, &FileEntry)) -> Result<Option<Verdict>> {
        if old.0 == new.0 {
            return Ok((old.0 != 0).then_some(Verdict::Full));
        }
        let (old, new) = (self.schema(old.0, old.1)?, self.schema(new.0, new.1)?);
        Ok(old.zip(new).map(|(old, new)| Comparison::new(&old, &new).verdict()))
    }

    /// The schema of a file, read only if no other file of its fingerprint came before. What cannot be read is not known.
    fn schema(&mut self, fingerprint: u64, entry: &FileEntry) -> Result<Option<Arc<Schema>>> {
        if let Some(known) = self.schemas.get(&fingerprint) {
            return Ok(known.clone());
        }
        let schema = match AvroFile::open(self.repository, entry) {
            Ok(opened) => opened.ok().and_then(|file| file.schema().ok()).map(Arc::new),
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        if self.schemas.len() >= SCHEMAS_KEPT {
            self.schemas.clear();
        }
        self.schemas.insert(fingerprint, schema.clone());
        Ok(schema)
    }
}

impl Folder {
    fn count(
        &mut self,
        old: Option<(&AvroFacts, &FileEntry)>,
        new: Option<(&AvroFacts, &FileEntry)>,
        difference: Option<Difference>,
    ) {
        let change = &mut self.change;
        if let Some((facts, entry)) = old {
            change.files_before += 1;
            add(&mut change.records_before, records(facts));
            change.codecs_before.insert(facts.codec.clone());
            self.before.add(facts.fingerprint, entry);
        }
        if let Some((facts, entry)) = new {
            change.files_after += 1;
            add(&mut change.records_after, records(facts));
            change.codecs_after.insert(facts.codec.clone());
            self.after.add(facts.fingerprint, entry);
        }
        match (old, new) {
            (None, Some((facts, _))) => {
                change.files_added += 1;
                add(&mut change.records_in_added_files, records(facts));
            }
            (Some((facts, _)), None) => {
                change.files_removed += 1;
                add(&mut change.records_in_removed_files, records(facts));
            }
            _ if difference == Some(Difference::Content) => change.files_changed += 1,
            _ => {}
        }
    }
}

/// Whether two files hold the same records: what is decoded is one stream, and what is kept as it was, another one.
fn same_records(was: &FileEntry, is: &FileEntry) -> bool {
    match (Recipe::decode(&was.recipe), Recipe::decode(&is.recipe)) {
        (Ok(Recipe::Container(was)), Ok(Recipe::Container(is))) => {
            was.records == is.records && was.payloads == is.payloads
        }
        _ => false,
    }
}
