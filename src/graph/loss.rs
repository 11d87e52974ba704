//! Following snapshots from their roots to the last chunk: what of them is lost.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::id::{ChunkId, PackId, SnapshotId};
use crate::log::Standing;
use crate::recipe::{Loss, PieceWalk, Recipe, Reference, Stream, Tree, TreeReader, loss};
use crate::snapshot::entry::{FileEntry, path_order};
use crate::snapshot::{ManifestReader, SnapshotRoot};
use crate::store::read_root;
use crate::store::{ChunkSet, Derivation, Inventory, Repository, SnapshotRecord};

/// A pack, and the number of a frame in it that is not what it should be.
pub(crate) type BadFrame = (PackId, u32);

/// Something that a snapshot has lost.
#[derive(Debug)]
pub enum Lost {
    /// All of it: what it consists of is not known any more.
    Snapshot {
        /// Which one.
        snapshot: SnapshotId,
        /// What is wrong.
        cause: Error,
    },
    /// A part of its manifest: which paths there were, and what they held.
    Rows {
        /// Which one.
        snapshot: SnapshotId,
        /// The paths are those behind this one, ...
        after: Vec<u8>,
        /// ... up to and with this one.
        last: Vec<u8>,
        /// How many.
        rows: u64,
        /// What is wrong.
        cause: Error,
    },
    /// A part of the content of a file, or all of it.
    File {
        /// In which snapshot.
        snapshot: SnapshotId,
        /// Its path.
        path: Vec<u8>,
        /// How many bytes it has.
        size: u64,
        /// What of it, where that is known.
        loss: Box<Loss>,
        /// What is wrong.
        cause: Error,
    },
}

impl Lost {
    /// The snapshot concerned.
    pub fn snapshot(&self) -> SnapshotId {
        match self {
            Self::Snapshot { snapshot, .. } | Self::Rows { snapshot, .. } | Self::File { snapshot, .. } => *snapshot,
        }
    }

    /// What is wrong.
    pub fn cause(&self) -> &Error {
        match self {
            Self::Snapshot { cause, .. } | Self::Rows { cause, .. } | Self::File { cause, .. } => cause,
        }
    }
}

/// What was found about one snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Followed {
    /// The root, or the whole manifest, is lost.
    pub(crate) all: bool,
    /// Rows of the manifest that are lost.
    pub(crate) rows: u64,
    /// Files of which something is lost.
    pub(crate) files: u64,
    /// Those of these of which nothing is left.
    pub(crate) gone: u64,
    /// Files of which nothing is; where rows were followed before, all of them.
    pub(crate) sound: u64,
}

impl Followed {
    /// Whether nothing is left of the snapshot.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.all || (self.is_damaged() && self.sound == 0 && self.gone == self.files)
    }

    /// Whether anything is lost.
    pub(crate) fn is_damaged(&self) -> bool {
        self.all || self.rows > 0 || self.files > 0
    }
}

/// Follows snapshots. Nothing but nodes and rows is read; of files of which something is lost, their layouts, too.
pub(crate) struct Closure<'a> {
    source: Noting<'a>,
    /// What can be rebuilt, bases and all, from where nothing wrong was found.
    sound: Derivation,
    /// Trees that were followed already and are whole.
    whole: RefCell<HashSet<ChunkId>>,
    /// Chunks of rows that are whole, with the path of the first row of each.
    whole_rows: RefCell<HashMap<ChunkId, Vec<u8>>>,
}

/// The repository, and which chunks of it were met.
struct Noting<'a> {
    repository: &'a Repository,
    inventory: Inventory,
    used: RefCell<ChunkSet>,
}

impl ChunkSource for Noting<'_> {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.used.borrow_mut().extend(self.inventory.find(id));
        self.repository.get(id)
    }
}

impl<'a> Closure<'a> {
    /// Nothing was followed yet. `bad` are frames that were found not to be what they should be.
    pub(crate) fn new(
        repository: &'a Repository,
        inventory: Inventory,
        standing: &Standing,
        bad: &HashSet<BadFrame>,
    ) -> Self {
        let sound = inventory.derive_sound(standing, |pack, frame| !bad.contains(&(*pack, frame)));
        Self {
            source: Noting { repository, inventory, used: RefCell::default() },
            sound,
            whole: RefCell::default(),
            whole_rows: RefCell::default(),
        }
    }

    /// What there is, and which chunks of it were met.
    pub(crate) fn used(self) -> (Inventory, ChunkSet) {
        (self.source.inventory, self.source.used.into_inner())
    }

    /// Follows a snapshot, and tells what of it is lost.
    ///
    /// # Errors
    /// Those of `tell`, and where something fails without being lost.
    pub(crate) fn snapshot(
        &self,
        record: &SnapshotRecord,
        tell: &mut dyn FnMut(Lost) -> Result<()>,
    ) -> Result<Followed> {
        let root = self.present(&record.root).and_then(|()| read_root(self.source.repository, record));
        match root {
            Ok(root) => self.manifest(&root, tell),
            Err(cause) if is_about_data(&cause) => {
                tell(Lost::Snapshot { snapshot: record.id, cause })?;
                Ok(Followed { all: true, ..Followed::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// Follows what hangs on a root.
    ///
    /// # Errors
    /// As of `snapshot`.
    pub(crate) fn manifest(&self, root: &SnapshotRoot, tell: &mut dyn FnMut(Lost) -> Result<()>) -> Result<Followed> {
        let mut followed = Followed::default();
        if let Some(cause) = self.lost_of(&root.path_list)? {
            followed.files += 1;
            let (path, size) = (b"(the list of saved paths)".to_vec(), root.path_list.length());
            tell(Lost::File { snapshot: root.id, path, size, loss: Box::default(), cause })?;
        }
        let Some(tree) = &root.manifest else { return Ok(followed) };
        if self.whole.borrow().contains(&tree.root.id) {
            followed.sound = tree.root.records;
            return Ok(followed);
        }
        let mut leaves = TreeReader::new(tree, &self.source);
        let mut after = Vec::new();
        while let Some((reference, lost)) = leaves.next_or_lost()? {
            let leaf = match lost {
                Some(cause) => Err(cause),
                None => match self.whole_rows.borrow().get(&reference.id) {
                    Some(first) => in_order(&after, first).map(|()| true),
                    None => self.present(&reference.id).map(|()| false),
                },
            };
            let leaf = match leaf {
                Ok(true) => {
                    followed.sound = followed.sound.saturating_add(reference.records);
                    Ok(())
                }
                Ok(false) => self.rows(root.id, &after, &reference, &mut followed, tell),
                Err(cause) => Err(cause),
            };
            match leaf {
                Ok(()) => {}
                Err(cause) if is_about_data(&cause) => {
                    followed.rows = followed.rows.saturating_add(reference.records);
                    followed.all |= reference.id == tree.root.id;
                    let (last, rows) = (reference.last.clone(), reference.records);
                    tell(Lost::Rows { snapshot: root.id, after: after.clone(), last, rows, cause })?;
                }
                Err(error) => return Err(error),
            }
            after = reference.last;
        }
        if !followed.is_damaged() {
            self.whole.borrow_mut().insert(tree.root.id);
        }
        Ok(followed)
    }

    /// Follows the files of a chunk of rows.
    fn rows(
        &self,
        snapshot: SnapshotId,
        after: &[u8],
        reference: &Reference,
        followed: &mut Followed,
        tell: &mut dyn FnMut(Lost) -> Result<()>,
    ) -> Result<()> {
        let leaf = Tree { root: reference.clone(), height: 0 };
        let mut rows = ManifestReader::new(Some(&leaf), &self.source);
        // All of them are read before anything is told: a chunk of rows is good as a whole or not at all.
        let mut entries = Vec::new();
        while let Some(row) = rows.next_row()? {
            entries.push(row);
        }
        let first = entries.first().map(|row| row.path.clone()).unwrap_or_default();
        in_order(after, &first)?;
        let before = followed.files;
        for row in entries {
            match self.file(&row)? {
                None => followed.sound += u64::from(!row.recipe.is_empty()),
                Some((loss, cause)) => {
                    followed.files += 1;
                    followed.gone += u64::from(nothing_left(&row, &loss));
                    let (path, size, loss) = (row.path, row.size, Box::new(loss));
                    tell(Lost::File { snapshot, path, size, loss, cause })?;
                }
            }
        }
        if followed.files == before {
            self.whole_rows.borrow_mut().insert(reference.id, first);
        }
        Ok(())
    }

    /// What of a file is lost, and why; none if it is whole.
    ///
    /// # Errors
    /// Where something fails without being lost.
    pub(crate) fn file(&self, row: &FileEntry) -> Result<Option<(Loss, Error)>> {
        if row.recipe.is_empty() {
            return Ok(None);
        }
        let recipe = match Recipe::decode(&row.recipe).in_object("its recipe") {
            Ok(recipe) => recipe,
            Err(cause) => return Ok(Some((Loss::default(), cause))),
        };
        let mut cause = None;
        for stream in recipe.streams() {
            let Stream::Tree(tree) = stream else { continue };
            if self.whole.borrow().contains(&tree.root.id) {
                continue;
            }
            match self.lost_of(stream)? {
                None => drop(self.whole.borrow_mut().insert(tree.root.id)),
                Some(lost) => cause = cause.or(Some(lost)),
            }
        }
        let Some(cause) = cause else { return Ok(None) };
        let totals = row.avro.as_ref().map(|facts| (facts.blocks, facts.declared_records));
        let loss = loss(&recipe, totals, &self.source, &mut |id| self.is_lost(id))?;
        Ok(Some((loss.unwrap_or_default(), cause)))
    }

    /// The first chunk of a stream that is lost.
    fn lost_of(&self, stream: &Stream) -> Result<Option<Error>> {
        let mut pieces = PieceWalk::new(stream, &self.source);
        while let Some(piece) = pieces.next_piece(&mut |id| self.is_lost(id))? {
            if piece.lost {
                return Ok(Some(match piece.id {
                    Some(id) => Error::ChunkMissing { id },
                    None => Error::damaged("its recipe", "a stream ends before its length"),
                }));
            }
        }
        Ok(None)
    }

    fn present(&self, id: &ChunkId) -> Result<()> {
        match self.is_lost(id)? {
            false => Ok(()),
            true => Err(Error::ChunkMissing { id: *id }),
        }
    }

    /// Whether the chunk cannot be rebuilt from where nothing wrong was found.
    fn is_lost(&self, id: &ChunkId) -> Result<bool> {
        let chunk = self.source.inventory.find(id);
        self.source.used.borrow_mut().extend(chunk);
        Ok(!chunk.is_some_and(|chunk| self.sound.has(chunk)))
    }
}

/// The rows of one chunk come behind those of the chunk before it.
fn in_order(after: &[u8], first: &[u8]) -> Result<()> {
    match after.is_empty() || path_order(after, first).is_lt() {
        true => Ok(()),
        false => Err(Error::damaged("its manifest", "the rows are not in the order of their paths")),
    }
}

/// Whether nothing can be salvaged of a file.
fn nothing_left(row: &FileEntry, loss: &Loss) -> bool {
    let blocks = row.avro.as_ref().map_or(0, |facts| facts.blocks);
    match loss.is_any() {
        false => true,
        true => loss.header || loss.bytes.total >= row.size || (blocks > 0 && loss.blocks.total >= blocks),
    }
}

/// Whether an error says something about the data, so that the rest can be looked at all the same.
fn is_about_data(error: &Error) -> bool {
    error.is_damage() || matches!(error, Error::Unsupported { .. })
}
