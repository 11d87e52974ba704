//! Iceberg tables that are restored elsewhere (`--map`): what names their files by location is written again.
//!
//! All of it is planned before anything is written: which snapshots of a table are there as a whole, and whether a mapping covers each
//! location. The metadata that is restored names only these snapshots. Data files are restored bit for bit. Manifests are rewritten twice,
//! for their length and for their content, so that none of them is kept in memory.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::RestoreOptions;
use super::recode::encoder_for;
use super::run::below;
use super::selection::Selection;
use crate::avro::codec::Codec;
use crate::error::{Error, Result};
use crate::files::Overwrite;
use crate::iceberg::manifest::MAX_MANIFEST;
use crate::iceberg::{
    Flaw, LocationMap, ManifestOfTable, SnapshotOfTable, TableMetadata, files_in, hinted, local_path, manifests_in,
    rewritten_list, rewritten_manifest,
};
use crate::ops::iceberg::{Finder, IcebergTable, content, metadata_name};
use crate::read::EncoderBench;
use crate::report::put_text;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::EntryKind;
use crate::store::Repository;

/// A table that is restored elsewhere.
#[derive(Debug, Clone, Default)]
pub struct MovedTable {
    /// Its folder in the snapshot.
    pub path: Vec<u8>,
    /// The metadata file that was written, by its path in the snapshot.
    pub metadata: Vec<u8>,
    /// Where the table is now.
    pub location: String,
    /// Its snapshots that can be read there.
    pub table_snapshots: u64,
    /// Its snapshots that cannot be read there, since not all of their files are in what is restored.
    pub table_snapshots_dropped: u64,
    /// Manifests and manifest lists that were written again.
    pub rewritten: u64,
    /// Metadata of other states, which is not restored.
    pub left_out: u64,
}

/// What is written in the place of files, by their paths in the snapshot.
#[derive(Debug, Default)]
pub(super) struct Moves {
    maps: Vec<LocationMap>,
    rewrites: HashMap<Vec<u8>, Rewrite>,
    left_out: HashSet<Vec<u8>>,
    /// How long manifests are now, by their old locations.
    lengths: HashMap<String, u64>,
    pub(super) tables: Vec<MovedTable>,
}

#[derive(Debug)]
enum Rewrite {
    Metadata(Vec<u8>),
    List,
    Manifest,
}

impl Moves {
    /// Plans the moves of all tables in what is restored; none without mappings.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there is no table, one is not there as a whole, a location is covered by no mapping, or paths stand
    /// inside of files that are not rewritten; errors of reading.
    pub(super) fn planned(
        repository: &Repository,
        snapshot: &SnapshotRoot,
        options: &RestoreOptions,
    ) -> Result<Option<Self>> {
        if options.map.is_empty() {
            return Ok(None);
        }
        if options.recode.is_some() || options.salvage || options.overwrite != Overwrite::Always {
            let reason = "tables are moved as a whole: not with recode or salvage, and what is there is overwritten";
            return Err(Error::argument("map", reason));
        }
        let mut planner = Planner { repository, snapshot, files: HashSet::new(), manifests: HashMap::new() };
        let selection = Selection { include: &options.include, exclude: &options.exclude };
        let (mut finder, mut rows) = (Finder::default(), snapshot.rows(repository));
        rows.seek(&options.subfolder)?;
        while let Some(row) = rows.next_row()? {
            repository.runtime().go_on()?;
            if below(&row.path, &options.subfolder).is_none() {
                break;
            }
            if row.kind == EntryKind::File && selection.selects(&row.path) {
                finder.row(&row);
                planner.files.insert(row.path);
            }
        }
        let tables = finder.tables(repository, snapshot)?;
        if tables.is_empty() {
            return Err(Error::argument("map", "there is no Iceberg table in what is restored"));
        }
        let mut moves = Self { maps: options.map.clone(), ..Self::default() };
        for table in tables {
            planner.plan(&table, &mut moves)?;
        }
        Ok(Some(moves))
    }

    /// Whether a file is not restored.
    pub(super) fn leaves_out(&self, path: &[u8]) -> bool {
        self.left_out.contains(path)
    }

    /// What is written in the place of a file; none if it is restored as it was.
    ///
    /// # Errors
    /// Errors of reading.
    pub(super) fn content(
        &self,
        repository: &Repository,
        snapshot: &SnapshotRoot,
        encoders: &EncoderBench,
        path: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        let Some(rewrite) = self.rewrites.get(path) else { return Ok(None) };
        if let Rewrite::Metadata(text) = rewrite {
            return Ok(Some(text.clone()));
        }
        let bytes = content(repository, snapshot, path, MAX_MANIFEST)?;
        let mut encode = |codec, plain: &[u8], out: &mut Vec<u8>| encode(encoders, codec, plain, out);
        let written = match rewrite {
            Rewrite::List => rewritten_list(&bytes, &self.maps, &mut |location| self.length(location), &mut encode),
            _ => rewritten_manifest(&bytes, &self.maps, &mut encode),
        };
        written.map(Some).map_err(|flaw| wrong(path, &flaw))
    }

    fn length(&self, location: &str) -> crate::iceberg::Result<u64> {
        self.lengths.get(location).copied().ok_or_else(|| Flaw(format!("the manifest {location} was not looked at")))
    }
}

fn encode(encoders: &EncoderBench, codec: Codec, plain: &[u8], out: &mut Vec<u8>) -> crate::iceberg::Result<()> {
    let encoder = encoder_for(codec).ok_or_else(|| Flaw(format!("there is nothing that writes codec {codec}")))?;
    encoders.with(|encoders| encoders.encode(&encoder, plain, out)).map_err(|error| Flaw(error.to_string()))
}

fn wrong(path: &[u8], flaw: &Flaw) -> Error {
    Error::argument("map", format!("{}: {flaw}", String::from_utf8_lossy(path)))
}

struct Planner<'p> {
    repository: &'p Repository,
    snapshot: &'p SnapshotRoot,
    /// All regular files that are restored.
    files: HashSet<Vec<u8>>,
    /// Manifests that were looked at, and what of their files is not there.
    manifests: HashMap<String, Option<String>>,
}

/// A snapshot of a table that is there as a whole.
struct Whole {
    list: Option<String>,
    manifests: Vec<ManifestOfTable>,
}

impl Planner<'_> {
    fn plan(&mut self, table: &IcebergTable, moves: &mut Moves) -> Result<()> {
        let at = |reason: String| wrong(&table.metadata_path, &Flaw(reason));
        let metadata = table.metadata.as_ref().map_err(|reason| at(reason.clone()))?;
        let snapshots = metadata.snapshots().map_err(|flaw| at(flaw.0))?;
        let (mut kept, mut whole) = (Vec::new(), Vec::new());
        for of_table in &snapshots {
            match self.whole(table, metadata, of_table)? {
                Ok(found) => {
                    kept.push(of_table.id);
                    whole.push(found);
                }
                Err(location) if Some(of_table.id) == metadata.current() => {
                    return Err(at(format!("its current state needs {location}, which is not in what is restored")));
                }
                Err(_) => {}
            }
        }
        let text = metadata.moved(&moves.maps, &kept).map_err(|flaw| at(flaw.0))?;
        let location = LocationMap::of(&moves.maps, metadata.location()).map_err(|flaw| at(flaw.0))?;
        moves.rewrites.insert(table.metadata_path.clone(), Rewrite::Metadata(text));
        let before = moves.rewrites.len();
        for Whole { list, manifests } in &whole {
            self.rewrite(table, metadata, list.as_deref(), manifests, moves)?;
        }
        let rewritten = (moves.rewrites.len() - before) as u64;
        let left_out = self.leave_out(table, moves)?;
        moves.tables.push(MovedTable {
            path: table.path.clone(),
            metadata: table.metadata_path.clone(),
            location,
            table_snapshots: kept.len() as u64,
            table_snapshots_dropped: (snapshots.len() - kept.len()) as u64,
            rewritten,
            left_out,
        });
        Ok(())
    }

    /// What a snapshot of a table is made of, or the location of a file that is not there.
    fn whole(
        &mut self,
        table: &IcebergTable,
        metadata: &TableMetadata,
        of_table: &SnapshotOfTable,
    ) -> Result<std::result::Result<Whole, String>> {
        let mut manifests: Vec<ManifestOfTable> = of_table
            .manifests
            .iter()
            .map(|location| ManifestOfTable { location: location.clone(), length: 0 })
            .collect();
        if let Some(list) = &of_table.list {
            let Some(path) = self.row_of(table, metadata, list) else { return Ok(Err(list.clone())) };
            let bytes = content(self.repository, self.snapshot, &path, MAX_MANIFEST)?;
            manifests.extend(manifests_in(&bytes).map_err(|flaw| wrong(&path, &flaw))?);
        }
        for ManifestOfTable { location, .. } in &manifests {
            if !self.manifests.contains_key(location) {
                let lacking = self.lacking(table, metadata, location)?;
                self.manifests.insert(location.clone(), lacking);
            }
            if let Some(Some(lacking)) = self.manifests.get(location) {
                return Ok(Err(lacking.clone()));
            }
        }
        Ok(Ok(Whole { list: of_table.list.clone(), manifests }))
    }

    /// The manifest, or the first of its live files, that is not there.
    fn lacking(&self, table: &IcebergTable, metadata: &TableMetadata, location: &str) -> Result<Option<String>> {
        let Some(path) = self.row_of(table, metadata, location) else { return Ok(Some(location.to_owned())) };
        let bytes = content(self.repository, self.snapshot, &path, MAX_MANIFEST)?;
        let mut lacking = None;
        files_in(&bytes, &mut |file| {
            if file.is_live && lacking.is_none() && self.row_of(table, metadata, &file.location).is_none() {
                lacking = Some(file.location);
            }
            Ok(())
        })
        .map_err(|flaw| wrong(&path, &flaw))?;
        Ok(lacking)
    }

    /// Tries out what is written in the place of manifests and their list.
    fn rewrite(
        &self,
        table: &IcebergTable,
        metadata: &TableMetadata,
        list: Option<&str>,
        manifests: &[ManifestOfTable],
        moves: &mut Moves,
    ) -> Result<()> {
        let encoders = EncoderBench::default();
        let rewritten = |moves: &Moves, path: &[u8]| {
            let written = moves.content(self.repository, self.snapshot, &encoders, path)?;
            Ok::<_, Error>(written.map_or(0, |bytes| bytes.len() as u64))
        };
        for ManifestOfTable { location, .. } in manifests {
            if let Some(path) = self.row_of(table, metadata, location)
                && !moves.lengths.contains_key(location)
            {
                moves.rewrites.insert(path.clone(), Rewrite::Manifest);
                let length = rewritten(moves, &path)?;
                moves.lengths.insert(location.clone(), length);
            }
        }
        if let Some(path) = list.and_then(|list| self.row_of(table, metadata, list)) {
            moves.rewrites.insert(path.clone(), Rewrite::List);
            rewritten(moves, &path)?;
        }
        Ok(())
    }

    /// The row of a location: at its own path, else below the table's folder in the snapshot.
    fn row_of(&self, table: &IcebergTable, metadata: &TableMetadata, location: &str) -> Option<Vec<u8>> {
        let own = match local_path(location) {
            Some(path) => path.trim_start_matches('/').to_owned(),
            // As objects of a store stand in a snapshot.
            None => location.replacen("://", ":/", 1),
        };
        if self.files.contains(own.as_bytes()) {
            return Some(own.into_bytes());
        }
        let paths =
            (local_path(location).unwrap_or(location), local_path(metadata.location()).unwrap_or(metadata.location()));
        let below = paths.0.strip_prefix(paths.1.trim_end_matches('/'))?.strip_prefix('/')?;
        let path = match table.path.is_empty() {
            true => below.as_bytes().to_vec(),
            false => [&table.path[..], b"/", below.as_bytes()].concat(),
        };
        self.files.contains(&path).then_some(path)
    }

    /// Metadata of other states names files by locations that they do not have any more.
    fn leave_out(&self, table: &IcebergTable, moves: &mut Moves) -> Result<u64> {
        let folder = match table.path.is_empty() {
            true => b"metadata/".to_vec(),
            false => [&table.path[..], b"/metadata/"].concat(),
        };
        let kept = String::from_utf8_lossy(table.metadata_path.get(folder.len()..).unwrap_or_default()).into_owned();
        let mut left_out = 0;
        for path in self.files.iter().filter(|path| path.starts_with(&folder) && !moves.rewrites.contains_key(*path)) {
            let name = path.get(folder.len()..).unwrap_or_default();
            let is_stale = match name {
                b"version-hint.text" => !hinted(&content(self.repository, self.snapshot, path, 4096)?, &kept),
                name => name.ends_with(b".avro") || metadata_name(path).is_some(),
            };
            if is_stale {
                moves.left_out.insert(path.clone());
                left_out += 1;
            }
        }
        Ok(left_out)
    }
}

impl Serialize for MovedTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut table = serializer.serialize_map(None)?;
        put_text(&mut table, "path", &self.path)?;
        put_text(&mut table, "metadata", &self.metadata)?;
        table.serialize_entry("location", &self.location)?;
        table.serialize_entry("table_snapshots", &self.table_snapshots)?;
        table.serialize_entry("table_snapshots_dropped", &self.table_snapshots_dropped)?;
        table.serialize_entry("rewritten", &self.rewritten)?;
        table.serialize_entry("left_out", &self.left_out)?;
        table.end()
    }
}
