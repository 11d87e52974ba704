//! Iceberg tables in snapshots: which ones there are, whether they were saved as such or as files among others.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::is_at_or_below;
use super::restore::dump;
use crate::error::{Error, Result};
use crate::iceberg::metadata::MAX_METADATA;
use crate::iceberg::{Flaw, MetadataName, TableMetadata};
use crate::report::put_text;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::store::Repository;

/// An Iceberg table in a snapshot.
#[derive(Debug, Clone)]
pub struct IcebergTable {
    /// Its folder in the snapshot.
    pub path: Vec<u8>,
    /// The newest of its metadata files in the snapshot.
    pub metadata_path: Vec<u8>,
    /// What that says; else why it cannot be understood.
    pub metadata: std::result::Result<TableMetadata, String>,
}

/// The tables at and below a path of a snapshot (empty for all), in the order of their folders. A table is a folder with another one in it,
/// `metadata`, that holds metadata files. The newest is that of the highest version, and of several the one that was written last.
///
/// # Errors
/// Errors of reading what the snapshot lists, and metadata files.
pub fn iceberg_tables(repository: &Repository, snapshot: &SnapshotRoot, path: &[u8]) -> Result<Vec<IcebergTable>> {
    let mut finder = Finder::default();
    let mut rows = snapshot.rows(repository);
    rows.seek(path)?;
    while let Some(row) = rows.next_row()? {
        repository.runtime().go_on()?;
        if !is_at_or_below(&row.path, path) {
            break;
        }
        finder.row(&row);
    }
    finder.tables(repository, snapshot)
}

/// Finds metadata files among the rows of a snapshot.
#[derive(Debug, Default)]
pub(super) struct Finder {
    /// Of each folder the metadata files of the highest version.
    newest: BTreeMap<Vec<u8>, (u64, Vec<Vec<u8>>)>,
}

impl Finder {
    /// A row of the snapshot.
    pub(super) fn row(&mut self, row: &FileEntry) {
        let Some((folder, name)) = metadata_name(&row.path).filter(|_| row.kind == EntryKind::File) else { return };
        let known = self.newest.entry(folder.to_vec()).or_default();
        if name.version > known.0 {
            *known = (name.version, Vec::new());
        }
        if name.version == known.0 {
            known.1.push(row.path.clone());
        }
    }

    /// The tables that these belong to.
    pub(super) fn tables(self, repository: &Repository, snapshot: &SnapshotRoot) -> Result<Vec<IcebergTable>> {
        let mut tables = Vec::new();
        for (path, (_, files)) in self.newest {
            let mut newest: Option<IcebergTable> = None;
            for metadata_path in files {
                let metadata = read_metadata(repository, snapshot, &metadata_path)?;
                let updated = |table: &IcebergTable| table.metadata.as_ref().map_or(i64::MIN, TableMetadata::updated);
                let table = IcebergTable { path: path.clone(), metadata_path, metadata };
                if newest.as_ref().is_none_or(|newest| updated(newest) <= updated(&table)) {
                    newest = Some(table);
                }
            }
            tables.extend(newest);
        }
        Ok(tables)
    }
}

/// The folder of the table and the name, if this is the path of a metadata file.
pub(super) fn metadata_name(path: &[u8]) -> Option<(&[u8], MetadataName)> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    let folder = path.get(..slash)?.strip_suffix(b"metadata")?;
    let name = MetadataName::parse(std::str::from_utf8(path.get(slash + 1..)?).ok()?)?;
    match folder.strip_suffix(b"/") {
        Some(folder) => Some((folder, name)),
        None => folder.is_empty().then_some((folder, name)),
    }
}

fn read_metadata(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
) -> Result<std::result::Result<TableMetadata, String>> {
    if metadata_name(path).is_some_and(|(_, name)| name.is_compressed()) {
        return Ok(Err("its metadata is compressed".into()));
    }
    let text = content(repository, snapshot, path, MAX_METADATA)?;
    Ok(TableMetadata::parse(&text).map_err(|Flaw(reason)| reason))
}

/// All bytes of a file of a snapshot, of which there must be no more than `limit`.
pub(super) fn content(repository: &Repository, snapshot: &SnapshotRoot, path: &[u8], limit: u64) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    dump(repository, snapshot, path, &mut |bytes| match (content.len() + bytes.len()) as u64 <= limit {
        true => {
            content.extend_from_slice(bytes);
            Ok(())
        }
        false => {
            let path = String::from_utf8_lossy(path);
            Err(Error::argument("iceberg", format!("{path} has more than {limit} bytes")))
        }
    })?;
    Ok(content)
}

impl Serialize for IcebergTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        put_text(&mut table, "path", &self.path)?;
        put_text(&mut table, "metadata", &self.metadata_path)?;
        let metadata = self.metadata.as_ref().ok();
        let current = metadata.and_then(|metadata| metadata.chosen(false).ok()?.pop());
        table.serialize_entry("location", &metadata.map(TableMetadata::location))?;
        table.serialize_entry("format_version", &metadata.map(TableMetadata::format_version))?;
        table.serialize_entry("table_snapshot_id", &metadata.and_then(TableMetadata::current))?;
        let snapshots = metadata.and_then(|metadata| metadata.snapshots().ok()).map(|snapshots| snapshots.len());
        table.serialize_entry("table_snapshots", &snapshots)?;
        table.serialize_entry("records", &current.and_then(|snapshot| snapshot.records))?;
        table.serialize_entry("reason", &self.metadata.as_ref().err())?;
        table.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_files_say_where_their_table_is() {
        let of = |path: &str| {
            metadata_name(path.as_bytes())
                .map(|(folder, name)| (String::from_utf8_lossy(folder).into_owned(), name.version))
        };
        assert_eq!(of("wh/t/metadata/v3.metadata.json"), Some(("wh/t".into(), 3)));
        assert_eq!(of("metadata/00002-x.metadata.json"), Some((String::new(), 2)));
        for none in [
            "v3.metadata.json",
            "wh/xmetadata/v3.metadata.json",
            "wh/metadata/data/v3.metadata.json",
            "t/metadata/a.avro",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
