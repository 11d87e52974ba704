//! Rewriting a damaged snapshot without the files that have lost data.

use std::collections::HashSet;

use crate::chunk::{ChunkKind, ChunkSink};
use crate::error::{Error, Result};
use crate::files::with_unreadable;
use crate::graph::Closure;
use crate::id::{ChunkHasher, ChunkId, SnapshotId};
use crate::pack::PlainChunk;
use crate::recipe::{Stream, Tree, TreeReader};
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::snapshot::{ManifestReader, ManifestWriter, SnapshotRoot, Totals};
use crate::store::read_root;
use crate::store::{Copies, Repository, SnapshotRecord, Writer};

/// The tag of a snapshot that was made in place of a damaged one.
const TAG: &str = "rewritten";

struct Sink<'w, 'r> {
    writer: &'w Writer<'r>,
    hasher: ChunkHasher,
    copies: Copies<'w, 'r>,
}

impl ChunkSink for Sink<'_, '_> {
    fn put(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> Result<ChunkId> {
        let id = self.hasher.id(&bytes);
        if self.writer.reserve(id)? {
            self.copies.add(kind, PlainChunk { id, bytes })?;
        }
        Ok(id)
    }
}

/// Makes a new snapshot with the series, host, time and tags of another one (and one more tag), and with those of its
/// files of which nothing is lost. The other one stays.
///
/// # Errors
/// I/O errors and damaged objects of the repository.
pub(super) fn rewrite(repository: &Repository, record: &SnapshotRecord, closure: &Closure<'_>) -> Result<SnapshotId> {
    let old = read_root(repository, record)?;
    let writer = Writer::new(repository)?;
    let mut sink = Sink { writer: &writer, hasher: repository.hasher(), copies: Copies::new(&writer)? };
    let mut manifest = ManifestWriter::new(repository.hasher());
    let mut totals = Totals { unreadable: old.totals.unreadable, ..Totals::default() };
    let (mut left_out, mut rows_lost) = (HashSet::new(), false);
    // Where rows are lost, it is not known what they named: the directory that holds all that it can be.
    let (mut unknown, mut before) = (Vec::new(), Vec::new());
    let tree = old.manifest.as_ref().ok_or_else(|| Error::Internal("a damaged snapshot without a manifest".into()))?;
    let mut leaves = TreeReader::new(tree, repository);
    while let Some((reference, lost)) = leaves.next_or_lost()? {
        let rows = match lost {
            Some(_) => None,
            None => rows_of(repository, &Tree { root: reference.clone(), height: 0 })?,
        };
        let Some(rows) = rows else {
            totals.unreadable = totals.unreadable.saturating_add(reference.records);
            rows_lost = true;
            unknown.push(common_directory(&before, &reference.last));
            before = reference.last;
            continue;
        };
        before = reference.last;
        for row in rows {
            let first_is_left_out = match &row.hard_link {
                Some(first) => left_out.contains(first) || (rows_lost && !has_row(repository, &old, first)?),
                None => false,
            };
            if first_is_left_out || closure.file(&row)?.is_some() {
                totals.unreadable += 1;
                left_out.insert(row.path);
                continue;
            }
            match &row.kind {
                EntryKind::File => {
                    totals.files += 1;
                    totals.bytes = totals.bytes.saturating_add(row.size);
                }
                EntryKind::Directory => totals.directories += 1,
                _ => totals.others += 1,
            }
            manifest.push(&row, &mut sink)?;
        }
    }
    let id = SnapshotId::new(repository.log().entropy().array()?);
    let mut tags = old.tags.clone();
    if !tags.iter().any(|tag| tag == TAG) {
        tags.push(TAG.into());
    }
    let program = concat!("snap ", env!("CARGO_PKG_VERSION")).into();
    let manifest = manifest.finish(&mut sink)?;
    // The first paths stand in the root itself, so a list that is lost costs the others only.
    let path_list = match old.all_paths(repository) {
        Ok(_) => old.path_list.clone(),
        Err(error) if error.is_damage() => Stream::Empty,
        Err(error) => return Err(error),
    };
    let rules = with_unreadable(&old.rules, left_out.into_iter().chain(unknown));
    let root = SnapshotRoot { id, tags, program, totals, rules, path_list, manifest, ..old };
    let root = sink.put(ChunkKind::Root, root.encode())?;
    sink.copies.finish()?;
    Ok(writer.commit(id, root)?.snapshot)
}

/// The directory in which both lie.
fn common_directory(one: &[u8], other: &[u8]) -> Vec<u8> {
    let shared = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let slash = one.get(..shared).and_then(|shared| shared.iter().rposition(|byte| *byte == b'/'));
    slash.map_or(Vec::new(), |slash| one.get(..slash).unwrap_or(&[]).to_vec())
}

/// Whether there is (still) a row of this path.
fn has_row(repository: &Repository, snapshot: &SnapshotRoot, path: &[u8]) -> Result<bool> {
    match snapshot.rows(repository).find(path) {
        Ok(row) => Ok(row.is_some()),
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The rows of a chunk; none if it is lost.
fn rows_of(repository: &Repository, leaf: &Tree) -> Result<Option<Vec<FileEntry>>> {
    let mut reader = ManifestReader::new(Some(leaf), repository);
    let mut rows = Vec::new();
    loop {
        match reader.next_row() {
            Ok(Some(row)) => rows.push(row),
            Ok(None) => return Ok(Some(rows)),
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_between_two_rows_lies_in_the_directory_of_both() {
        for (one, other, expected) in [
            ("", "a/b", ""),
            ("a", "a/b", ""),
            ("a/b", "a/c", "a"),
            ("a/b/c", "a/b/d/e", "a/b"),
            ("a/bc", "a/bd", "a"),
            ("x/y", "z", ""),
        ] {
            assert_eq!(common_directory(one.as_bytes(), other.as_bytes()), expected.as_bytes(), "{one} {other}");
        }
    }
}
