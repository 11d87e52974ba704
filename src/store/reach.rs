//! What a snapshot reaches: its root, the tree of its manifest, the rows, and the trees of all files.

use super::{ChunkNumber, ChunkSet, Inventory, Repository};
use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::id::ChunkId;
use crate::recipe::{Recipe, Reference, Stream, Tree, visit_tree};
use crate::snapshot::{ManifestReader, SnapshotRoot};

/// What snapshots reach, as far as they were followed.
#[derive(Debug, Default)]
pub struct Reach {
    /// The numbers of all chunks that are reached.
    pub used: ChunkSet,
    /// What was followed already, by level and by what the tree holds. Equal bytes have one id, whatever they are: that
    /// a chunk was met as a piece of a file must not hide what hangs on it as a node.
    followed: [Vec<ChunkSet>; 2],
}

/// What hangs on a tree: pieces of a file, or rows of a manifest.
#[derive(Clone, Copy)]
enum Holds {
    Bytes = 0,
    Rows = 1,
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
        self.used.set(inventory.number(root));
        let read =
            repository.get(root).and_then(|bytes| SnapshotRoot::decode(&bytes).in_object("the root of a snapshot"));
        let root = match read {
            Ok(read) => read,
            Err(error) if error.is_damage() => return lost(inventory, root, error),
            Err(error) => return Err(error),
        };
        super::Features::check(root.required_read, super::Features::KNOWN.read, "to follow a snapshot of")?;
        if let Stream::Tree(tree) = &root.path_list {
            self.tree(repository, inventory, tree, Holds::Bytes, lost)?;
        }
        match &root.manifest {
            Some(tree) => self.tree(repository, inventory, tree, Holds::Rows, lost),
            None => Ok(()),
        }
    }

    fn tree(
        &mut self,
        repository: &Repository,
        inventory: &mut Inventory,
        tree: &Tree,
        holds: Holds,
        lost: &mut dyn FnMut(&Inventory, &ChunkId, Error) -> Result<()>,
    ) -> Result<()> {
        // Rows are gone through after the tree that names them, a few at a time: both need the inventory.
        let mut rows: Vec<Reference> = Vec::new();
        let inventory_cell = std::cell::RefCell::new(inventory);
        let mut visit = |reference: &Reference, level: u8| {
            let number = inventory_cell.borrow_mut().number(&reference.id);
            self.used.set(number);
            let is_new = match (level, holds) {
                (0, Holds::Bytes) => false,
                _ => self.is_new(number, level, holds),
            };
            if is_new && level == 0 {
                rows.push(reference.clone());
            }
            Ok(is_new)
        };
        visit_tree(tree, repository, &mut visit, &mut |id, error| lost(&inventory_cell.borrow(), id, error))?;
        let inventory = inventory_cell.into_inner();
        for reference in rows {
            if let Err(error) = self.rows(repository, inventory, &reference, lost) {
                match error.is_damage() {
                    true => lost(inventory, &reference.id, error)?,
                    false => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Follows the files of a chunk of rows.
    fn rows(
        &mut self,
        repository: &Repository,
        inventory: &mut Inventory,
        reference: &Reference,
        lost: &mut dyn FnMut(&Inventory, &ChunkId, Error) -> Result<()>,
    ) -> Result<()> {
        let leaf = Tree { root: reference.clone(), height: 0 };
        let mut rows = ManifestReader::new(Some(&leaf), repository);
        while let Some(row) = rows.next_row()? {
            if row.recipe.is_empty() {
                continue;
            }
            let name = format_args!("the recipe of {}", String::from_utf8_lossy(&row.path)).to_string();
            let recipe =
                Recipe::decode(&row.recipe).map_err(|malformed| Error::Invalid(format!("{name}: {malformed}")))?;
            for stream in recipe.streams() {
                if let Stream::Tree(tree) = stream {
                    self.tree(repository, inventory, tree, Holds::Bytes, lost)?;
                }
            }
        }
        Ok(())
    }

    fn is_new(&mut self, number: ChunkNumber, level: u8, holds: Holds) -> bool {
        let levels = &mut self.followed[holds as usize];
        if levels.len() <= usize::from(level) {
            levels.resize_with(usize::from(level) + 1, ChunkSet::default);
        }
        levels[usize::from(level)].set(number)
    }
}
