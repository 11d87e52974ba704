//! Which packs a restore reads: what has to be thawed first where a storage class keeps them in an archive.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::RestoreOptions;
use super::run::below;
use super::selection::Selection;
use crate::error::{Error, Result};
use crate::id::{ChunkId, PackId};
use crate::recipe::{Recipe, Stream, TreeReader};
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::Repository;

/// A pack that a restore reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeededPack {
    /// The pack's id.
    pub pack: PackId,
    /// The name of its object, below the place of the repository.
    pub object: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The packs that hold the content of the files that these options select, and what it is a difference to, by their names.
/// What the snapshot lists is read for that, and no content of files.
///
/// # Errors
/// [`Error::NoPath`] if there is nothing at the path of the options, [`Error::ChunkMissing`] where content is lost, and
/// errors of reading what the snapshot lists.
pub fn packs_of(repository: &Repository, snapshot: &SnapshotRoot, options: &RestoreOptions) -> Result<Vec<NeededPack>> {
    let mut options = options.clone();
    options.read_patterns()?;
    repository.catalog().settled(|| {
        let mut needed = Needed { repository, chunks: HashSet::new(), packs: BTreeMap::new() };
        needed.files(snapshot, &options)?;
        Ok(needed.packs.into_values().collect())
    })
}

struct Needed<'r> {
    repository: &'r Repository,
    /// Chunks that were looked up.
    chunks: HashSet<ChunkId>,
    packs: BTreeMap<PackId, NeededPack>,
}

impl Needed<'_> {
    fn files(&mut self, snapshot: &SnapshotRoot, options: &RestoreOptions) -> Result<()> {
        let (sub, selection) = (&options.subfolder, Selection { include: &options.include, exclude: &options.exclude });
        let mut rows = snapshot.rows(self.repository);
        rows.seek(sub)?;
        let (mut found, mut firsts) = (sub.is_empty(), BTreeSet::new());
        while let Some(row) = rows.next_row()? {
            self.repository.runtime().go_on()?;
            if below(&row.path, sub).is_none() {
                break;
            }
            found = true;
            match &row.hard_link {
                _ if !selection.selects(&row.path) => {}
                Some(first) => drop(firsts.insert(first.clone())),
                None => self.file(&row)?,
            }
        }
        if !found {
            let path = String::from_utf8_lossy(sub).into_owned();
            return Err(Error::NoPath { path, snapshot: snapshot.id.short() });
        }
        // Their content is that of the first name, which need not be selected.
        for first in firsts {
            if let Some(row) = snapshot.rows(self.repository).find(&first)? {
                self.file(&row)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, row: &FileEntry) -> Result<()> {
        // One that is not understood is reported by the restore.
        let Some(recipe) = (!row.recipe.is_empty()).then(|| Recipe::decode(&row.recipe).ok()).flatten() else {
            return Ok(());
        };
        for stream in recipe.streams() {
            let Stream::Tree(tree) = stream else { continue };
            let mut pieces = TreeReader::new(tree, self.repository);
            while let Some(piece) = pieces.next_piece()? {
                self.chunk(piece.id)?;
            }
        }
        Ok(())
    }

    /// The chunk, and what it is a difference to.
    fn chunk(&mut self, id: ChunkId) -> Result<()> {
        let (catalog, mut open) = (self.repository.catalog(), vec![id]);
        while let Some(id) = open.pop() {
            if !self.chunks.insert(id) {
                continue;
            }
            let (pack, frame) = catalog.frame_of(&id)?.ok_or(Error::ChunkMissing { id })?;
            let info = catalog.index().pack(pack)?;
            let frame = info.frame(frame as usize)?;
            open.extend(frame.bases.iter().filter_map(|number| info.directory.bases.get(*number as usize)));
            let needed = || NeededPack { pack: info.id, object: info.name().to_string(), bytes: info.length };
            self.packs.entry(info.id).or_insert_with(needed);
        }
        Ok(())
    }
}
