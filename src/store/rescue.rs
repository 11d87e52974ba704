//! A snapshot is added only if all that it reaches can be rebuilt from packs that nobody condemned. What a prune condemned
//! while it was made is copied out of the condemned packs as long as they are there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::log::Body;
use super::{Bits, Catalogue, Reach, Repository, State, Writer};
use crate::chunk::{ChunkKind, ChunkSource};
use crate::error::{Error, Result};
use crate::id::{ChunkId, PackId, SnapshotId};
use crate::pack::{FrameCodec, PlainChunk};

/// How copies are compressed. They are few, and the level is no part of the format.
const LEVEL: i32 = 3;

impl Writer<'_> {
    /// Makes sure of everything that a snapshot reaches: the tree of its manifest, the recipes, the data, and what those
    /// are differences to. What lies in condemned packs only is copied. What the root that the snapshot had `before`
    /// reached as well may be lost: it was so before.
    ///
    /// # Errors
    /// [`Error::Pruned`] if something cannot be had any more.
    pub(super) fn secure(
        &self,
        state: &State,
        snapshot: SnapshotId,
        root: &ChunkId,
        before: Option<&ChunkId>,
    ) -> Result<()> {
        let repository = self.repository;
        // Others may have stored again, or moved, what the index knows in condemned packs only.
        repository.update_index()?;
        repository.recall_condemned()?;
        let mut catalogue = Catalogue::of_index(repository)?;
        let (mut reach, mut lost) = (Reach::default(), Bits::default());
        let mut missing: BTreeSet<ChunkId> = BTreeSet::new();
        reach.follow(repository, &mut catalogue, root, &mut |catalogue, id, _| {
            // Without it nobody knows what hangs on it.
            missing.insert(*id);
            lost.extend(catalogue.find(id));
            Ok(())
        })?;
        let sound = catalogue.derive_all(&state.standing);
        let mut copies = Copies::new(self)?;
        let mut wanted = Bits::default();
        for chunk in reach.used.iter().filter(|chunk| !sound.has(*chunk) && !lost.has(*chunk)) {
            wanted.set(chunk);
        }
        let kinds = kinds_of(&catalogue, &wanted);
        for chunk in wanted.iter() {
            let (id, kind) = (catalogue.id(chunk), kinds.get(&chunk).copied().unwrap_or(ChunkKind::Bytes));
            match repository.get(&id) {
                Ok(bytes) => copies.add(kind, PlainChunk { id, bytes: bytes.to_vec() })?,
                Err(error) if error.is_damage() => drop(missing.insert(id)),
                Err(error) => return Err(error),
            }
        }
        copies.finish()?;
        if let (Some(before), false) = (before, missing.is_empty()) {
            let mut reached = Reach::default();
            reached.follow(repository, &mut catalogue, before, &mut |_, _, _| Ok(()))?;
            missing.retain(|id| !catalogue.find(id).is_some_and(|chunk| reached.used.has(chunk)));
        }
        match missing.len() as u64 {
            0 => Ok(()),
            chunks => Err(Error::Pruned { snapshot, chunks }),
        }
    }
}

fn codec() -> Result<FrameCodec> {
    FrameCodec::new(Some(LEVEL)).map_err(|e| Error::Invalid(e.to_string()))
}

/// What chunks were put in as, as far as any place of them says.
fn kinds_of(catalogue: &Catalogue, chunks: &Bits) -> HashMap<u32, ChunkKind> {
    let mut kinds = HashMap::new();
    for (_, frame) in (0..catalogue.packs().len() as u32).flat_map(|pack| catalogue.frames_of(pack)) {
        for (_, chunk, _) in catalogue.places_of(frame).filter(|(_, chunk, _)| chunks.has(*chunk)) {
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
    /// Those of storing a pack.
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
    /// Those of storing a pack.
    pub fn finish(mut self) -> Result<()> {
        while let Some(kind) = self.open.keys().next().copied() {
            self.close(kind)?;
        }
        if let Some(rest) = self.writer.take_open() {
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
        // A cache that turns out to be damaged on the way must not be in the way: then it is done once more with another.
        snapshots.iter().try_for_each(|snapshot| self.with_index(|_| self.revive_one(*snapshot)))
    }

    fn revive_one(&self, snapshot: SnapshotId) -> Result<()> {
        let writer = Writer::new(self)?;
        let none = || Error::NoSnapshot { wanted: snapshot.to_string() };
        let is_meant = |removed: &&super::RemovedSnapshot| removed.record.id == snapshot;
        let root_of = |state: &State| state.removed.iter().find(is_meant).map(|removed| removed.record.root);
        loop {
            let (root, mut moved) = (root_of(&self.state()).ok_or_else(none)?, false);
            writer.doubt();
            let added = writer.add_snapshot(snapshot, root, |state| match root_of(state) {
                Some(other) if other == root => Ok(()),
                // Somebody brought it back, replaced its root and removed it again.
                Some(_) => {
                    moved = true;
                    Err(none())
                }
                // Somebody else may bring it back just now.
                None => Err(none()),
            });
            match added {
                Err(_) if moved => {}
                added => return added.map(drop),
            }
        }
    }

    /// Whether everything that a snapshot reaches is stored for good.
    pub fn is_whole(&self, snapshot: SnapshotId) -> Result<bool> {
        let state = self.state();
        let Some(record) = state.snapshots.iter().find(|record| record.id == snapshot) else { return Ok(false) };
        let (mut catalogue, mut reach, mut whole) = (Catalogue::of_index(self)?, Reach::default(), true);
        reach.follow(self, &mut catalogue, &record.root, &mut |_, _, _| {
            whole = false;
            Ok(())
        })?;
        let sound = catalogue.derive_all(&state.standing);
        Ok(whole && reach.used.iter().all(|chunk| sound.has(chunk)))
    }

    /// Records that frames of packs are lost; of a pack without numbers of frames all of it is. From then on they do not
    /// count as stored, so what lay there is stored again where the same data comes up. Gives what was recorded: of
    /// condemned packs nothing is, since a prune may have deleted them by right, nor what the log has already.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn record_damage(&self, packs: &[(PackId, Vec<u32>)]) -> Result<Vec<(PackId, Vec<u32>)>> {
        self.record_damage_by(|_| Ok(packs.to_vec()))
    }

    /// The same of what `found` gives for the state of the log that the entry follows.
    ///
    /// # Errors
    /// Those of `found` and of the backend.
    pub fn record_damage_by(
        &self,
        mut found: impl FnMut(&State) -> Result<Vec<(PackId, Vec<u32>)>>,
    ) -> Result<Vec<(PackId, Vec<u32>)>> {
        let mut recorded = Vec::new();
        self.append_checked(|state| {
            recorded = state.standing.new_damage(found(state)?);
            Ok((!recorded.is_empty()).then(|| Body::Damaged { packs: recorded.clone() }))
        })?;
        Ok(recorded)
    }
}
