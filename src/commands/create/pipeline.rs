//! The way of a chunk from the one who cut it into a pack: named, looked up, gathered into a frame, compressed, packed.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::bases::{Bases, find_bases, has_bases};
use super::warm::{Likeness, Warmth};
use crate::chunk::{ChunkKind, ChunkSink, MAX_CHUNK, anchors};
use crate::commands::gate::Gate;
use crate::error::{Error, Result};
use crate::id::{ChunkHasher, ChunkId, SnapshotId};
use crate::index::PackedChunk;
use crate::pack::{EncodedFrame, FrameCodec, PackBuilder, PlainChunk};
use crate::repository::{Committed, Repository, Writer};

/// What all threads of one run share.
pub(super) struct Pipeline<'r> {
    repository: &'r Repository,
    warmth: Warmth<'r>,
    writer: Writer<'r>,
    hasher: ChunkHasher,
    level: Option<i32>,
    dry_run: bool,
    codecs: Mutex<Vec<FrameCodec>>,
    /// Frames that wait to be compressed: what bounds the memory of the run.
    backlog: Gate,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    chunks_new: AtomicU64,
    /// When a frame is closed, in plain bytes.
    frame_target: usize,
    /// Chunks that found no base among others that did.
    left: Mutex<BTreeMap<ChunkKind, Gathered>>,
    /// The anchors of chunks that are on their way into a pack.
    anchors: Mutex<HashMap<ChunkId, Vec<u64>>>,
}

/// Chunks that are to share a frame, and how many plain bytes they have.
type Gathered = (Vec<PlainChunk>, usize);

/// A delta of at most this share of the chunk is surely worth it; above, it is compared with the chunk compressed.
const CLEARLY_GOOD: usize = 16;

/// How many frames may wait or be at work, for each thread.
const BACKLOG: usize = 4;

impl<'r> Pipeline<'r> {
    pub(super) fn new(
        repository: &'r Repository,
        writer: Writer<'r>,
        warmth: Warmth<'r>,
        level: Option<i32>,
        dry_run: bool,
        threads: usize,
    ) -> Self {
        Self {
            repository,
            warmth,
            writer,
            hasher: repository.hasher(),
            level,
            dry_run,
            codecs: Mutex::default(),
            backlog: Gate::new(BACKLOG * threads.max(1)),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
            chunks_new: AtomicU64::new(0),
            frame_target: repository.sizes().frame,
            left: Mutex::default(),
            anchors: Mutex::default(),
        }
    }

    /// How many chunks were not in the repository before.
    pub(super) fn chunks_new(&self) -> u64 {
        self.chunks_new.load(Ordering::Relaxed)
    }

    /// Whether packs are missing that the index names: then nothing counts as unmodified.
    pub(super) fn lost_packs(&self) -> bool {
        self.writer.lost_packs()
    }

    /// Stops everybody: the first failure is the one that is told.
    pub(super) fn fail(&self, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    /// Fails if anybody failed.
    pub(super) fn check(&self) -> Result<()> {
        match self.failed.load(Ordering::Acquire) {
            true => Err(self.take_failure()),
            false => Ok(()),
        }
    }

    /// The failure, once; to all others it is only said that there was one.
    pub(super) fn take_failure(&self) -> Error {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Error::WorkerStopped)
    }

    /// Deals with chunks that were gathered for a frame: those of which something like them is stored become deltas, the
    /// others a frame.
    fn encode(&self, kind: ChunkKind, chunks: Vec<PlainChunk>) {
        let done = match has_bases(kind) {
            true => self.encode_stream(kind, chunks),
            false => self.encode_full(kind, &chunks),
        };
        if let Err(error) = done {
            self.fail(error);
        }
    }

    fn encode_full(&self, kind: ChunkKind, chunks: &[PlainChunk]) -> Result<()> {
        let frame = self.with_codec(|codec| Ok(codec.encode(kind, chunks)))?;
        self.add(frame)
    }

    fn encode_stream(&self, kind: ChunkKind, chunks: Vec<PlainChunk>) -> Result<()> {
        let anchors: Vec<_> = chunks.iter().map(|chunk| anchors(&chunk.bytes)).collect();
        let bases = match self.level {
            Some(_) => find_bases(self.repository, &chunks, &anchors),
            None => chunks.iter().map(|_| None).collect(),
        };
        let mut pending = self.anchors.lock().unwrap_or_else(PoisonError::into_inner);
        for (chunk, anchors) in chunks.iter().zip(anchors) {
            pending.insert(chunk.id, anchors.into_iter().map(|anchor| anchor.hash).collect());
        }
        drop(pending);
        let mut left = Vec::new();
        for (chunk, bases) in chunks.into_iter().zip(bases) {
            let delta = match bases {
                // What may be deleted, or is not whole, can be read perhaps, but nothing new may rest on it.
                Some(bases) if !self.writer.is_sound(&bases.chain)? => None,
                Some(bases) => self.with_codec(|codec| Ok(delta_of(codec, kind, &chunk, bases)))?,
                None => None,
            };
            match delta {
                Some(frame) => self.add(frame)?,
                None => left.push(chunk),
            }
        }
        // What is left of a frame waits for more of its kind.
        let bytes: usize = left.iter().map(|chunk| chunk.bytes.len()).sum();
        let full = if bytes >= self.frame_target {
            left
        } else {
            let mut waiting = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let (chunks, waits) = waiting.entry(kind).or_default();
            chunks.append(&mut left);
            *waits += bytes;
            match *waits >= self.frame_target {
                true => {
                    *waits = 0;
                    std::mem::take(chunks)
                }
                false => Vec::new(),
            }
        };
        if full.is_empty() { Ok(()) } else { self.encode_full(kind, &full) }
    }

    fn add(&self, frame: EncodedFrame) -> Result<()> {
        match self.writer.add(frame) {
            Some(full) => self.store(full),
            None => Ok(()),
        }
    }

    fn store(&self, pack: PackBuilder) -> Result<()> {
        let ids: Vec<ChunkId> = pack.frames().iter().flat_map(|frame| &frame.chunks).map(|chunk| chunk.id).collect();
        let report = self.writer.store(pack)?;
        let Some(number) = self.repository.index().pack_number(&report.pack) else { return Ok(()) };
        let mut pending = self.anchors.lock().unwrap_or_else(PoisonError::into_inner);
        let anchored: Vec<_> = (0..)
            .zip(ids)
            .filter_map(|(chunk, id)| Some((PackedChunk { pack: number, chunk }, pending.remove(&id)?)))
            .collect();
        drop(pending);
        self.repository.index().remember_anchors(&anchored);
        Ok(())
    }

    fn with_codec<T>(&self, work: impl FnOnce(&mut FrameCodec) -> Result<T>) -> Result<T> {
        let lock = || self.codecs.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = lock().pop();
        let mut codec = match idle {
            Some(codec) => codec,
            None => FrameCodec::new(self.level).map_err(|e| Error::Invalid(e.to_string()))?,
        };
        let done = work(&mut codec);
        lock().push(codec);
        done
    }

    /// When all frames were compressed: stores the last pack and makes the snapshot exist.
    pub(super) fn commit(self, snapshot: SnapshotId, root: ChunkId) -> Result<Committed> {
        self.check()?;
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for (kind, (chunks, _)) in left.into_iter().filter(|(_, (chunks, _))| !chunks.is_empty()) {
            self.encode_full(kind, &chunks)?;
        }
        if let Some(rest) = self.writer.take_open() {
            self.store(rest)?;
        }
        self.writer.commit(snapshot, root)
    }

    /// After a failure: what was stored shall not have been in vain.
    pub(super) fn abandon(self) {
        let _ = self.writer.flush();
    }
}

/// The chunk as a delta, if that is worth it: it must not pass half of the chunk's own compressed length.
fn delta_of(codec: &mut FrameCodec, kind: ChunkKind, chunk: &PlainChunk, bases: Bases) -> Option<EncodedFrame> {
    let length = chunk.bytes.len();
    let frame = codec.encode_delta(kind, chunk, &bases.bytes, bases.chain, length / 2)?;
    let worth = frame.body.len() <= length / CLEARLY_GOOD
        || frame.body.len() <= codec.encode(kind, std::slice::from_ref(chunk)).body.len() / 2;
    worth.then_some(frame)
}

/// Takes the chunks of one thread. Those that are new are gathered into frames, kind by kind, so that the chunks of a
/// file lie side by side.
pub(super) struct Feeder<'p, 'r, 's> {
    pipeline: &'p Pipeline<'r>,
    scope: &'s rayon::Scope<'p>,
    open: BTreeMap<ChunkKind, Gathered>,
    /// What the file at hand is probably like.
    likeness: Likeness,
}

impl<'p, 'r, 's> Feeder<'p, 'r, 's> {
    pub(super) fn new(pipeline: &'p Pipeline<'r>, scope: &'s rayon::Scope<'p>) -> Self {
        Self { pipeline, scope, open: BTreeMap::new(), likeness: Likeness::default() }
    }

    /// Chunks of another file follow, whose row in the last snapshot has this recipe.
    pub(super) fn begin_file(&mut self, recipe: Option<&[u8]>) {
        self.likeness = self.pipeline.warmth.likeness(recipe);
    }

    /// The file is a container of this schema.
    pub(super) fn schema(&mut self, fingerprint: u64) {
        self.likeness.schema(fingerprint);
    }

    fn add(&mut self, kind: ChunkKind, chunk: PlainChunk) {
        let (chunks, bytes) = self.open.entry(kind).or_default();
        *bytes += chunk.bytes.len();
        chunks.push(chunk);
        if *bytes >= self.pipeline.frame_target {
            let chunks = std::mem::take(chunks);
            *bytes = 0;
            self.submit(kind, chunks);
        }
    }

    fn submit(&self, kind: ChunkKind, chunks: Vec<PlainChunk>) {
        if chunks.is_empty() {
            return;
        }
        let pipeline = self.pipeline;
        pipeline.backlog.enter();
        self.scope.spawn(move |_| {
            pipeline.encode(kind, chunks);
            pipeline.backlog.leave();
        });
    }

    /// Takes over the frames that another thread did not fill.
    pub(super) fn absorb(&mut self, open: Unfilled) {
        for (kind, (chunks, _)) in open.0 {
            for chunk in chunks {
                self.add(kind, chunk);
            }
        }
    }

    /// The frames that are not full.
    pub(super) fn into_unfilled(self) -> Unfilled {
        Unfilled(self.open)
    }

    /// Hands on whatever is left.
    pub(super) fn finish(mut self) {
        for (kind, (chunks, _)) in std::mem::take(&mut self.open) {
            self.submit(kind, chunks);
        }
    }
}

/// Frames that are not full.
pub(super) struct Unfilled(BTreeMap<ChunkKind, Gathered>);

impl ChunkSink for Feeder<'_, '_, '_> {
    fn put(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> Result<ChunkId> {
        self.pipeline.check()?;
        if bytes.len() > MAX_CHUNK {
            return Err(Error::Invalid(format!(
                "a row or chunk of {} bytes is longer than a chunk may be",
                bytes.len()
            )));
        }
        let id = self.pipeline.hasher.id(&bytes);
        let new = self.pipeline.writer.reserve(id)?;
        if has_bases(kind) && self.pipeline.level.is_some() && !self.pipeline.dry_run {
            self.pipeline.warmth.pass(&mut self.likeness, bytes.len() as u64, new);
        }
        if new {
            self.pipeline.chunks_new.fetch_add(1, Ordering::Relaxed);
            if !self.pipeline.dry_run {
                self.add(kind, PlainChunk { id, bytes });
            }
        }
        Ok(id)
    }
}
