//! The schemas of a table: the newest one, and how they followed each other though its files have other names each time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Event, FileSchema, What};
use crate::avro::compat::Comparison;
use crate::error::Error;
use crate::id::digest;
use crate::read::Snapshot;
use crate::snapshot::SnapshotRoot;
use crate::store::Repository;
use crate::tables::{Table, TableError, TableSchema, Wanted};

impl From<&TableSchema> for FileSchema {
    fn from(schema: &TableSchema) -> Self {
        Self { text: schema.text.clone(), schema: schema.schema.clone() }
    }
}

/// The schema that reads all files that are meant.
///
/// # Errors
/// [`TableError`]
pub fn newest_of(wanted: &[Wanted]) -> Result<FileSchema, TableError> {
    let table = Table::open(wanted)?;
    let none = || TableError::NoParts { path: table.name.clone(), passed_over: table.passed_over.clone() };
    table.schema().map(FileSchema::from).ok_or_else(none)
}

/// What is known of a table in one series.
#[derive(Default)]
struct Known {
    /// The schemas that its files have had since it is there, by the hash of their texts.
    seen: HashSet<[u8; 32]>,
    newest: Option<Arc<FileSchema>>,
}

/// Follows a folder or a pattern through snapshots, given by their time. Each schema is an event where it comes up first, compared
/// with what was the newest of the table before. Snapshots are compared with those of their own series. There are no events if
/// none of the snapshots has an Avro file there.
///
/// # Errors
/// [`TableError`] but for schemas that do not go together: that is what the events say.
pub fn log_table<'a>(
    repository: &Arc<Repository>,
    snapshots: impl Iterator<Item = &'a SnapshotRoot>,
    path: &[u8],
) -> Result<Vec<Event<'a>>, TableError> {
    let (mut events, mut series): (Vec<Event<'a>>, HashMap<&str, Known>) = Default::default();
    for snapshot in snapshots {
        let known = series.entry(&snapshot.series).or_default();
        let found = Wanted::new(&Snapshot::of_root(repository, snapshot.clone()), path)
            .map_err(TableError::from)
            .and_then(|wanted| Table::find(&[wanted]));
        match found {
            Ok(table) => {
                let changes = known.follow(&table);
                events.extend(changes.into_iter().map(|what| Event { snapshot, what }));
            }
            Err(TableError::NoParts { .. } | TableError::Library(Error::NoPath { .. })) => {
                if std::mem::take(known).newest.is_some() {
                    events.push(Event { snapshot, what: What::Removed });
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}

impl Known {
    /// What the table of the next snapshot has that was not there before.
    fn follow(&mut self, table: &Table) -> Vec<What> {
        let age = |schema: &TableSchema| table.parts.get(schema.newest).map(|part| (part.mtime, part.path.clone()));
        let mut schemas: Vec<&TableSchema> = table.schemas.iter().collect();
        schemas.sort_by_key(|schema| age(schema));
        let newest = table.schema().or(schemas.last().copied());
        let before = self.newest.clone();
        let mut events = Vec::new();
        // Those of the first snapshot follow each other by age.
        let mut last = before.clone();
        for schema in &schemas {
            if self.seen.insert(digest(schema.text.as_bytes())) {
                let after = Arc::new(FileSchema::from(*schema));
                events.push(change(before.as_ref().or(last.as_ref()), after.clone()));
                last = Some(after);
            }
        }
        let newest = newest.map(|newest| Arc::new(FileSchema::from(newest)));
        if let (true, Some(before), Some(newest)) = (events.is_empty(), &before, &newest)
            && before.text != newest.text
        {
            events.push(change(Some(before), newest.clone()));
        }
        self.newest = newest;
        events
    }
}

fn change(before: Option<&Arc<FileSchema>>, after: Arc<FileSchema>) -> What {
    match before {
        None => What::Appeared(after),
        Some(before) => {
            let comparison = Comparison::new(&before.schema, &after.schema);
            What::Changed { before: before.clone(), after, comparison }
        }
    }
}
