//! A snapshot is added only if all that it reaches can be rebuilt from packs that no prune condemned. What a prune
//! condemned while it was made is copied out of the condemned packs as long as they are there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::replace::check_replacement;
use super::{ChunkNumber, ChunkSet, Inventory, Reach, ReplaceReason, Repository, RootReplacement, State, Writer};
use crate::chunk::{ChunkKind, ChunkSource};
use crate::error::{Error, Result};
use crate::id::{ChunkId, IndexId, SnapshotId};
use crate::index::Index;
use crate::log::{Follower, Foundation, NewRoots};
use crate::pack::{FrameCodec, PlainChunk};

/// How copies are compressed. They are few, and the level is no part of the format.
const LEVEL: i32 = 3;

impl Follower for Writer<'_> {
    fn follow_log(&self) -> Result<()> {
        self.repository.catalog.follow_log()
    }
}

impl Foundation for Writer<'_> {
    fn secured_at(&self) -> u64 {
        self.sound_at()
    }

    fn set_secured_at(&self, last_loss: u64) {
        self.is_sound_at(last_loss);
    }

    fn index_objects(&self) -> Result<Vec<IndexId>> {
        let known = self.repository.catalog.with_index(Index::objects)?;
        Ok(self.objects().into_iter().chain(known).collect())
    }

    /// Makes sure of everything that a snapshot reaches: the tree of its manifest, the recipes, the data, and what those
    /// are differences to.
    fn secure(&self, state: &State, snapshot: SnapshotId, root: &ChunkId, before: Option<&ChunkId>) -> Result<()> {
        let repository = self.repository;
        // Others may have stored again, or moved, what the index knows in condemned packs only.
        repository.catalog.update()?;
        repository.catalog.recall_condemned()?;
        let mut inventory = Inventory::of_index(repository)?;
        let (mut reach, mut lost) = (Reach::default(), ChunkSet::default());
        let mut missing: BTreeSet<ChunkId> = BTreeSet::new();
        reach.follow(repository, &mut inventory, root, &mut |inventory, id, _| {
            // Without it, it is unknown what hangs on it.
            missing.insert(*id);
            lost.extend(inventory.find(id));
            Ok(())
        })?;
        let sound = inventory.derive_all(&state.standing);
        let mut copies = Copies::new(self)?;
        let mut wanted = ChunkSet::default();
        for chunk in reach.used.iter().filter(|chunk| !sound.has(*chunk) && !lost.has(*chunk)) {
            wanted.set(chunk);
        }
        let kinds = kinds_of(&inventory, &wanted);
        for chunk in wanted.iter() {
            let (id, kind) = (inventory.id(chunk), kinds.get(&chunk).copied().unwrap_or(ChunkKind::Bytes));
            match repository.get(&id) {
                Ok(bytes) => copies.add(kind, PlainChunk { id, bytes: bytes.to_vec() })?,
                Err(error) if error.is_damage() => drop(missing.insert(id)),
                Err(error) => return Err(error),
            }
        }
        copies.finish()?;
        if let (Some(before), false) = (before, missing.is_empty()) {
            let mut reached = Reach::default();
            reached.follow(repository, &mut inventory, before, &mut |_, _, _| Ok(()))?;
            missing.retain(|id| !inventory.find(id).is_some_and(|chunk| reached.used.has(chunk)));
        }
        match missing.len() as u64 {
            0 => Ok(()),
            chunks => Err(Error::Pruned { snapshot, chunks }),
        }
    }
}

impl NewRoots for Writer<'_> {
    fn check(&self, reason: ReplaceReason, replacement: &RootReplacement) -> Result<()> {
        check_replacement(self.repository, reason, replacement)
    }
}

fn codec() -> Result<FrameCodec> {
    FrameCodec::new(Some(LEVEL))
        .map_err(|error| Error::Exhausted { what: "memory to compress with", source: error.into() })
}

/// What chunks were put in as, as far as any place of them says.
fn kinds_of(inventory: &Inventory, chunks: &ChunkSet) -> HashMap<ChunkNumber, ChunkKind> {
    let mut kinds = HashMap::new();
    for (_, frame) in inventory.pack_numbers().flat_map(|pack| inventory.frames_of(pack)) {
        for (_, chunk, _) in inventory.places_of(frame).filter(|(_, chunk, _)| chunks.has(*chunk)) {
            kinds.entry(chunk).or_insert(frame.kind);
        }
    }
    kinds
}

/// Chunks that are gathered into new frames and packs, by one thread.
pub struct Copies<'w, 'r> {
    writer: &'w Writer<'r>,
    codec: FrameCodec,
    open: BTreeMap<ChunkKind, (Vec<PlainChunk>, usize)>,
}

impl std::fmt::Debug for Copies<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Copies(..)")
    }
}

impl<'w, 'r> Copies<'w, 'r> {
    /// Gathers nothing yet.
    ///
    /// # Errors
    /// If the compressor cannot be made.
    pub fn new(writer: &'w Writer<'r>) -> Result<Self> {
        Ok(Self { writer, codec: codec()?, open: BTreeMap::new() })
    }

    /// Adds a chunk. Whether it is stored already is the caller's to know.
    ///
    /// # Errors
    /// Errors of storing a pack.
    pub fn add(&mut self, kind: ChunkKind, chunk: PlainChunk) -> Result<()> {
        let (chunks, bytes) = self.open.entry(kind).or_default();
        *bytes += chunk.bytes.len();
        chunks.push(chunk);
        match *bytes >= self.writer.repository.sizes().frame {
            true => self.close(kind),
            false => Ok(()),
        }
    }

    fn close(&mut self, kind: ChunkKind) -> Result<()> {
        let Some((chunks, _)) = self.open.remove(&kind) else { return Ok(()) };
        match self.writer.add(self.codec.encode(kind, &chunks)) {
            Some(full) => self.writer.store(full).map(drop),
            None => Ok(()),
        }
    }

    /// Stores what is left, and publishes it.
    ///
    /// # Errors
    /// Errors of storing a pack.
    pub fn finish(mut self) -> Result<()> {
        while let Some(kind) = self.open.keys().next().copied() {
            self.close(kind)?;
        }
        while let Some(rest) = self.writer.take_open() {
            self.writer.store(rest)?;
        }
        self.writer.flush()
    }
}

impl Repository {
    /// Brings back snapshots that were removed, with the ids and tags that they had. What they need of condemned packs
    /// is copied; nothing that is condemned ever counts again.
    ///
    /// Each comes back by itself: after an error those before it are there.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] for one that was never removed, [`Error::Pruned`] for one of which something is deleted
    /// already.
    pub fn revive(&self, snapshots: &[SnapshotId]) -> Result<()> {
        // A cache that turns out to be damaged on the way must not be in the way: then it is done again with another.
        snapshots.iter().try_for_each(|snapshot| self.catalog.with_index(|_| revive_one(self, *snapshot)))
    }

    /// Whether everything that a snapshot reaches is stored for good.
    ///
    /// # Errors
    /// Errors of reading what hangs on it that do not mean that it is lost.
    pub fn is_whole(&self, snapshot: SnapshotId) -> Result<bool> {
        let state = self.state();
        let Some(record) = state.snapshot(snapshot) else { return Ok(false) };
        let (mut inventory, mut reach, mut whole) = (Inventory::of_index(self)?, Reach::default(), true);
        reach.follow(self, &mut inventory, &record.root, &mut |_, _, _| {
            whole = false;
            Ok(())
        })?;
        let sound = inventory.derive_all(&state.standing);
        Ok(whole && reach.used.iter().all(|chunk| sound.has(chunk)))
    }
}

fn revive_one(repository: &Repository, snapshot: SnapshotId) -> Result<()> {
    let writer = Writer::new(repository)?;
    loop {
        let none = || Error::NoSnapshot { wanted: snapshot.to_string() };
        let root = repository.state().removed_root(snapshot).ok_or_else(none)?;
        writer.doubt();
        if repository.log.restore_snapshot(&writer, snapshot, root)?.is_some() {
            return Ok(());
        }
    }
}
