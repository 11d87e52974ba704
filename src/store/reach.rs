//! What a snapshot reaches: its root, the tree of its manifest, the rows, and the trees of all files.

use super::walk::{Met, Visitor, walk};
use super::{ChunkNumber, ChunkSet, Inventory, Repository};
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::recipe::Recipe;
use crate::snapshot::entry::FileEntry;
use crate::wire::Malformed;

/// What snapshots reach, as far as they were followed.
#[derive(Debug, Default)]
pub struct Reach {
    /// The numbers of all chunks that are reached.
    pub used: ChunkSet,
    /// The chunks of rows and nodes of manifests that were followed, by level.
    rows: Vec<ChunkSet>,
    /// The nodes of streams that were.
    bytes: Vec<ChunkSet>,
}

impl Reach {
    /// Follows everything that hangs on the root of a snapshot. What was followed before is passed over. `lost` gets
    /// chunks that have to be read to go on and cannot be; it gives an error back where that must not be.
    ///
    /// # Errors
    /// Those of `lost`, and where something can be read and is not understood.
    pub fn follow(
        &mut self,
        repository: &Repository,
        inventory: &mut Inventory,
        root: &ChunkId,
        lost: &mut dyn FnMut(&Inventory, &ChunkId, Error) -> Result<()>,
    ) -> Result<()> {
        walk(repository, root, &mut Following { reach: self, inventory, lost })
    }

    /// Whether a chunk was not followed yet as what it is met as now.
    fn is_new(&mut self, chunk: ChunkNumber, met: Met) -> bool {
        let (levels, level) = match met {
            Met::Root => return true,
            Met::Bytes(0) => return false,
            Met::Rows(level) => (&mut self.rows, usize::from(level)),
            Met::Bytes(level) => (&mut self.bytes, usize::from(level)),
        };
        if levels.len() <= level {
            levels.resize_with(level + 1, ChunkSet::default);
        }
        levels[level].set(chunk)
    }
}

struct Following<'f> {
    reach: &'f mut Reach,
    inventory: &'f mut Inventory,
    lost: &'f mut dyn FnMut(&Inventory, &ChunkId, Error) -> Result<()>,
}

impl Visitor for Following<'_> {
    fn meet(&mut self, chunk: &ChunkId, met: Met) -> Result<bool> {
        let number = self.inventory.number(chunk);
        self.reach.used.set(number);
        Ok(self.reach.is_new(number, met))
    }

    fn row(&mut self, row: &FileEntry, recipe: Option<std::result::Result<&Recipe, Malformed>>) -> Result<()> {
        let Some(Err(malformed)) = recipe else { return Ok(()) };
        // It was read as it was written, so it is no damage; but what hangs on it is not known.
        let path = String::from_utf8_lossy(&row.path);
        Err(Error::Invalid(format!("the recipe of {path}: {malformed}")))
    }

    fn lost(&mut self, chunk: &ChunkId, error: Error) -> Result<()> {
        (self.lost)(self.inventory, chunk, error)
    }
}
