//! Following snapshots from their roots to the last chunk: what of them is lost.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use crate::commands::select::read_root;
use crate::error::{Context, Error, Result};
use crate::id::{ChunkId, SnapshotId};
use crate::recipe::{Loss, PieceWalk, Recipe, Reference, Stream, Tree, TreeReader, loss};
use crate::repository::{FrameKey, Repository, SnapshotRecord};
use crate::snapshot::entry::FileEntry;
use crate::snapshot::{ManifestReader, SnapshotRoot};

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
pub(in crate::commands) struct Followed {
    /// The root, or the whole manifest, is lost.
    pub(in crate::commands) all: bool,
    /// Rows of the manifest that are lost.
    pub(in crate::commands) rows: u64,
    /// Files of which something is lost.
    pub(in crate::commands) files: u64,
    /// Files of which nothing is.
    pub(in crate::commands) sound: u64,
}

impl Followed {
    /// Whether anything is lost.
    pub(in crate::commands) fn is_damaged(&self) -> bool {
        self.all || self.rows > 0 || self.files > 0
    }
}

/// Follows snapshots. Nothing but nodes and rows is read; of files of which something is lost, their layouts, too.
pub(in crate::commands) struct Closure<'a> {
    repository: &'a Repository,
    /// Frames that were found not to be what they should be.
    bad: &'a HashSet<FrameKey>,
    /// Trees, and chunks of rows, that were followed already and are whole.
    whole: HashSet<ChunkId>,
    /// Deltas that were looked at, and whether all that they rest on is there.
    deltas: RefCell<HashMap<FrameKey, bool>>,
}

impl<'a> Closure<'a> {
    /// Nothing was followed yet.
    pub(in crate::commands) fn new(repository: &'a Repository, bad: &'a HashSet<FrameKey>) -> Self {
        Self { repository, bad, whole: HashSet::new(), deltas: RefCell::default() }
    }

    /// Follows a snapshot, and tells what of it is lost.
    ///
    /// # Errors
    /// Those of `tell`, and where something fails without being lost.
    pub(in crate::commands) fn snapshot(
        &mut self,
        record: &SnapshotRecord,
        tell: &mut dyn FnMut(Lost) -> Result<()>,
    ) -> Result<Followed> {
        let root = self.present(&record.root).and_then(|()| read_root(self.repository, record));
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
    pub(in crate::commands) fn manifest(
        &mut self,
        root: &SnapshotRoot,
        tell: &mut dyn FnMut(Lost) -> Result<()>,
    ) -> Result<Followed> {
        let mut followed = Followed::default();
        let Some(tree) = &root.manifest else { return Ok(followed) };
        if self.whole.contains(&tree.root.id) {
            return Ok(followed);
        }
        let mut leaves = TreeReader::new(tree, self.repository);
        let mut after = Vec::new();
        while let Some((reference, lost)) = leaves.next_or_lost()? {
            let leaf = match lost {
                Some(cause) => Err(cause),
                None if self.whole.contains(&reference.id) => Ok(()),
                None => self.present(&reference.id).and_then(|()| self.rows(root.id, &reference, &mut followed, tell)),
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
            self.whole.insert(tree.root.id);
        }
        Ok(followed)
    }

    /// Follows the files of a chunk of rows.
    fn rows(
        &mut self,
        snapshot: SnapshotId,
        reference: &Reference,
        followed: &mut Followed,
        tell: &mut dyn FnMut(Lost) -> Result<()>,
    ) -> Result<()> {
        let leaf = Tree { root: reference.clone(), height: 0 };
        let mut rows = ManifestReader::new(Some(&leaf), self.repository);
        // All of them are read before anything is told: a chunk of rows is good as a whole or not at all.
        let mut entries = Vec::new();
        while let Some(row) = rows.next_row()? {
            entries.push(row);
        }
        let before = followed.files;
        for row in entries {
            match self.file(&row)? {
                None => followed.sound += u64::from(!row.recipe.is_empty()),
                Some((loss, cause)) => {
                    followed.files += 1;
                    let (path, size, loss) = (row.path, row.size, Box::new(loss));
                    tell(Lost::File { snapshot, path, size, loss, cause })?;
                }
            }
        }
        if followed.files == before {
            self.whole.insert(reference.id);
        }
        Ok(())
    }

    /// What of a file is lost, and why; none if it is whole.
    ///
    /// # Errors
    /// Where something fails without being lost.
    pub(in crate::commands) fn file(&mut self, row: &FileEntry) -> Result<Option<(Loss, Error)>> {
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
            if self.whole.contains(&tree.root.id) {
                continue;
            }
            match self.lost_of(stream)? {
                None => drop(self.whole.insert(tree.root.id)),
                Some(lost) => cause = cause.or(Some(lost)),
            }
        }
        let Some(cause) = cause else { return Ok(None) };
        let totals = row.avro.as_ref().map(|facts| (facts.blocks, facts.declared_records));
        let loss = loss(&recipe, totals, self.repository, &mut |id| self.is_lost(id))?;
        Ok(Some((loss.unwrap_or_default(), cause)))
    }

    /// The first chunk of a stream that is lost.
    fn lost_of(&self, stream: &Stream) -> Result<Option<Error>> {
        let mut pieces = PieceWalk::new(stream, self.repository);
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

    /// Whether the chunk lies nowhere where nothing wrong was found, with all that it rests on.
    fn is_lost(&self, id: &ChunkId) -> Result<bool> {
        self.is_there(id, u8::MAX).map(|there| !there)
    }

    /// ... in a place that needs fewer than so many deltas. So a chain that runs in a circle is none.
    fn is_there(&self, id: &ChunkId, depth: u8) -> Result<bool> {
        for location in self.repository.index().locate(id)? {
            let key = (location.pack, location.frame);
            if self.bad.contains(&key) {
                continue;
            }
            let info = self.repository.index().pack(location.pack)?;
            let Some(frame) = info.directory.frames.get(location.frame as usize) else { continue };
            if frame.depth >= depth {
                continue;
            }
            let known = self.deltas.borrow().get(&key).copied();
            let sound = match known {
                Some(known) => known,
                None => {
                    let mut sound = true;
                    for base in frame.bases.iter().filter_map(|number| info.directory.bases.get(*number as usize)) {
                        sound = sound && self.is_there(base, frame.depth)?;
                    }
                    if frame.depth > 0 {
                        self.deltas.borrow_mut().insert(key, sound);
                    }
                    sound
                }
            };
            if sound {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether an error says something about the data, so that the rest can be looked at all the same.
fn is_about_data(error: &Error) -> bool {
    error.is_damage() || matches!(error, Error::Unsupported { .. })
}
