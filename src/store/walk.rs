//! Following what hangs on snapshots: root, manifest, rows, recipes, streams. What is looked for on the way is a visitor's.

use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::id::ChunkId;
use crate::recipe::{Recipe, Reference, Stream, Tree, node_in};
use crate::snapshot::entry::FileEntry;
use crate::snapshot::{ManifestReader, SnapshotRoot};
use crate::wire::Malformed;

/// What a chunk is met as. Equal bytes have one id, whatever they are, so the same chunk may be met as several things: that it
/// was met as a piece of a file must not hide what hangs on it as a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Met {
    /// The root of a snapshot.
    Root,
    /// A node of the tree of a manifest, by its level from 1 on; at level 0 a chunk of rows.
    Rows(u8),
    /// A node of the tree of a stream, by its level from 1 on; at level 0 a piece, on which nothing hangs.
    Bytes(u8),
}

/// What is looked for on the way.
pub trait Visitor {
    /// Something names this chunk. Returns whether what hangs on it is to be followed, so what was followed before can be
    /// passed over.
    ///
    /// # Errors
    /// Those that end the walk.
    fn meet(&mut self, chunk: &ChunkId, met: Met) -> Result<bool>;

    /// All that hangs on a chunk that was let through was followed, as far as it could be read.
    fn leave(&mut self, _met: Met) {}

    /// A row of a manifest; its streams are followed after that. No recipe where it has no content.
    ///
    /// # Errors
    /// Those that end the walk.
    fn row(&mut self, row: &FileEntry, recipe: Option<std::result::Result<&Recipe, Malformed>>) -> Result<()>;

    /// A chunk that has to be read to go on is missing or damaged.
    ///
    /// # Errors
    /// Those that end the walk: the one that was given, where that must not be.
    fn lost(&mut self, chunk: &ChunkId, error: Error) -> Result<()>;
}

/// Follows a snapshot from the chunk that holds its root.
///
/// # Errors
/// Those of the visitor, and of reading what is not lost.
pub fn walk<S: ChunkSource + ?Sized>(source: &S, chunk: &ChunkId, visitor: &mut dyn Visitor) -> Result<()> {
    if !visitor.meet(chunk, Met::Root)? {
        return Ok(());
    }
    let read = source.get(chunk).and_then(|bytes| SnapshotRoot::decode(&bytes).in_object("the root of a snapshot"));
    let root = match read {
        Ok(root) => root,
        Err(error) if error.is_damage() => return visitor.lost(chunk, error),
        Err(error) => return Err(error),
    };
    super::Features::check(root.required_read, super::Features::KNOWN.read, "to follow a snapshot of")?;
    walk_below(source, &root, visitor)
}

/// Follows what hangs on a root.
///
/// # Errors
/// As of [`walk`].
pub fn walk_below<S: ChunkSource + ?Sized>(source: &S, root: &SnapshotRoot, visitor: &mut dyn Visitor) -> Result<()> {
    let mut walk = Walk { source, visitor };
    walk.stream(&root.path_list)?;
    match &root.manifest {
        Some(tree) => walk.node(&tree.root, Met::Rows(tree.levels())),
        None => Ok(()),
    }
}

struct Walk<'w, S: ?Sized> {
    source: &'w S,
    visitor: &'w mut dyn Visitor,
}

impl<S: ChunkSource + ?Sized> Walk<'_, S> {
    fn stream(&mut self, stream: &Stream) -> Result<()> {
        match stream {
            Stream::Tree(tree) => self.node(&tree.root, Met::Bytes(tree.levels())),
            _ => Ok(()),
        }
    }

    /// Trees are a few levels high, whatever they hold (`Tree::levels`).
    fn node(&mut self, reference: &Reference, met: Met) -> Result<()> {
        if !self.visitor.meet(&reference.id, met)? {
            return Ok(());
        }
        match met {
            Met::Root | Met::Bytes(0) => {}
            Met::Rows(0) => self.rows(reference)?,
            Met::Rows(level) => self.children(reference, Met::Rows(level - 1))?,
            Met::Bytes(level) => self.children(reference, Met::Bytes(level - 1))?,
        }
        self.visitor.leave(met);
        Ok(())
    }

    fn children(&mut self, reference: &Reference, met: Met) -> Result<()> {
        match node_in(self.source, &reference.id) {
            Ok(node) => node.iter().try_for_each(|child| self.node(child, met)),
            Err(error) if error.is_damage() => self.visitor.lost(&reference.id, error),
            Err(error) => Err(error),
        }
    }

    /// Follows the files of a chunk of rows.
    fn rows(&mut self, reference: &Reference) -> Result<()> {
        let leaf = Tree { root: reference.clone(), height: 0 };
        let mut rows = ManifestReader::new(Some(&leaf), self.source);
        loop {
            let row = match rows.next_row() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(()),
                Err(error) if error.is_damage() => return self.visitor.lost(&reference.id, error),
                Err(error) => return Err(error),
            };
            if row.recipe.is_empty() {
                self.visitor.row(&row, None)?;
                continue;
            }
            match Recipe::decode(&row.recipe) {
                Ok(recipe) => {
                    self.visitor.row(&row, Some(Ok(&recipe)))?;
                    recipe.streams().into_iter().try_for_each(|stream| self.stream(stream))?;
                }
                Err(malformed) => self.visitor.row(&row, Some(Err(malformed)))?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkMap;
    use crate::recipe::TreeBuilder;

    /// Notes what is met.
    #[derive(Default)]
    struct Notes {
        pieces: Vec<ChunkId>,
        nodes: Vec<(u8, ChunkId)>,
        left: usize,
        lost: Vec<ChunkId>,
        passed_over: Option<ChunkId>,
    }

    impl Visitor for Notes {
        fn meet(&mut self, chunk: &ChunkId, met: Met) -> Result<bool> {
            match met {
                Met::Bytes(0) => self.pieces.push(*chunk),
                Met::Bytes(level) => self.nodes.push((level, *chunk)),
                other => panic!("{other:?}"),
            }
            Ok(self.passed_over != Some(*chunk))
        }

        fn leave(&mut self, _: Met) {
            self.left += 1;
        }

        fn row(&mut self, _: &FileEntry, _: Option<std::result::Result<&Recipe, Malformed>>) -> Result<()> {
            panic!("there are no rows");
        }

        fn lost(&mut self, chunk: &ChunkId, error: Error) -> Result<()> {
            assert!(error.is_damage());
            self.lost.push(*chunk);
            Ok(())
        }
    }

    fn notes(map: &ChunkMap, tree: &Tree, passed_over: Option<ChunkId>) -> Notes {
        let mut notes = Notes { passed_over, ..Notes::default() };
        Walk { source: map, visitor: &mut notes }.stream(&Stream::Tree(tree.clone())).unwrap();
        notes
    }

    #[test]
    fn what_was_seen_is_passed_over_and_what_is_lost_does_not_hide_the_rest() {
        let (mut map, mut builder, mut ids) = (ChunkMap::default(), TreeBuilder::new(), Vec::new());
        for number in 0..5000u64 {
            let id = ChunkId::new(crate::id::digest(&number.to_le_bytes()));
            let reference = Reference { id, length: number % 1000, records: 0, last: Vec::new() };
            ids.push(id);
            builder.push(reference, &mut map).unwrap();
        }
        let tree = builder.finish(&mut map).unwrap().unwrap();
        let all = notes(&map, &tree, None);
        assert!(all.pieces == ids && all.nodes.len() == map.chunks.len() && all.lost.is_empty());
        assert_eq!(all.left, all.pieces.len() + all.nodes.len(), "whatever was let through is left");
        let low = all.nodes.iter().find(|(level, _)| *level == 1).unwrap().1;
        let fewer = notes(&map, &tree, Some(low));
        assert!(fewer.pieces.len() < ids.len() && fewer.lost.is_empty() && fewer.nodes == all.nodes);
        map.chunks.remove(&low);
        let lossy = notes(&map, &tree, None);
        assert_eq!((lossy.pieces, lossy.nodes, lossy.lost), (fewer.pieces, all.nodes, vec![low]));
    }
}
