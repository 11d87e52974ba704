//! The schema that reads all parts of a table.

use super::{Table, TableError};
use crate::avro::resolve::Resolver;

/// The schemas, those of the parts that were changed last first.
fn by_age(table: &Table) -> Vec<usize> {
    let mut order: Vec<usize> = (0..table.schemas.len()).collect();
    order.sort_by(|a, b| {
        let newest = |schema: &usize| {
            let schema = table.schemas.get(*schema)?;
            table.parts.get(schema.newest).map(|part| (part.mtime, &part.path))
        };
        newest(b).cmp(&newest(a))
    });
    order
}

/// The newest schema that reads all others.
pub(super) fn newest(table: &Table) -> Option<usize> {
    by_age(table).into_iter().find(|reader| first_unread(table, *reader).is_none())
}

/// The first schema that this one does not read, and why.
fn first_unread(table: &Table, reader: usize) -> Option<(usize, crate::avro::compat::Obstacle)> {
    let with = &table.schemas.get(reader)?.schema;
    table.schemas.iter().enumerate().filter(|(place, _)| *place != reader).find_map(|(place, writer)| {
        let found = Resolver::new(&writer.schema, with).err()?;
        Some((place, found.into_iter().next()?))
    })
}

/// Why there is no schema that reads all others.
pub(super) fn disagreement(table: &Table) -> TableError {
    let shown = |schema: usize| {
        let part = table.schemas.get(schema).and_then(|schema| table.parts.get(schema.newest));
        part.map(super::Part::shown).unwrap_or_default()
    };
    let newest = by_age(table).first().copied();
    match newest.and_then(|newest| Some((newest, first_unread(table, newest)?))) {
        Some((reader, (writer, obstacle))) => {
            TableError::Disagree { table: table.name.clone(), newer: shown(reader), older: shown(writer), obstacle }
        }
        None => TableError::NoParts { path: table.name.clone(), passed_over: table.passed_over.clone() },
    }
}
