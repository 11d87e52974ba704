//! The way of a chunk from the cutter into a pack: named, looked up, gathered into a frame, compressed, packed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::bases::{Bases, find_bases, has_bases};
use super::gather::{Common, Gathering};
use super::primer::AnchorPrimer;
use crate::chunk::{ChunkKind, anchors};
use crate::error::{Error, Result};
use crate::hints::PackedChunk;
use crate::id::{ChunkHasher, ChunkId};
use crate::pack::{EncodedFrame, FrameCodec, PackBuilder, PlainChunk};
use crate::runtime::Gate;
use crate::store::{Addition, Committed, Replaced, Repository, Writer};
use crate::store::{ReplaceReason, RootReplacement};

/// What all threads of one run share.
pub(crate) struct Pipeline<'r> {
    repository: &'r Repository,
    /// Sees to it that the anchors of what new chunks are probably like are known.
    pub(crate) primer: AnchorPrimer<'r>,
    pub(crate) writer: Writer<'r>,
    pub(crate) hasher: ChunkHasher,
    pub(crate) level: Option<i32>,
    /// Nothing is written; packs are weighed instead.
    pub(crate) dry_run: bool,
    /// How many bytes a dry run would have added.
    weighed: AtomicU64,
    codecs: Mutex<Vec<FrameCodec>>,
    /// Frames that wait to be compressed: what bounds the memory of the run.
    pub(crate) backlog: Gate,
    failed: AtomicBool,
    failure: Mutex<Option<Error>>,
    pub(crate) chunks_new: AtomicU64,
    /// When a frame is closed, in plain bytes.
    pub(crate) frame_target: usize,
    /// Chunks that found no base among others that did.
    left: Mutex<Gathering>,
    /// The anchors of chunks that are on their way into a pack.
    anchors: Mutex<HashMap<ChunkId, Vec<u64>>>,
}

/// A delta of at most this share of the chunk is surely worth it; above, it is compared with the chunk compressed.
const CLEARLY_GOOD: usize = 16;

/// About what an entry of the log and the envelope of an index object take.
const ENTRY: u64 = 280;

/// How many frames may wait or be at work, for each thread.
const BACKLOG: usize = 4;

impl<'r> Pipeline<'r> {
    pub(crate) fn new(
        repository: &'r Repository,
        writer: Writer<'r>,
        primer: AnchorPrimer<'r>,
        level: Option<i32>,
        dry_run: bool,
        threads: usize,
    ) -> Self {
        Self {
            repository,
            primer,
            writer,
            hasher: repository.hasher(),
            level,
            dry_run,
            weighed: AtomicU64::new(0),
            codecs: Mutex::default(),
            backlog: Gate::new(BACKLOG * threads.max(1)),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
            chunks_new: AtomicU64::new(0),
            frame_target: repository.sizes().frame,
            left: Mutex::new(Gathering::new(repository.sizes().frame)),
            anchors: Mutex::default(),
        }
    }

    /// How many chunks were not in the repository before.
    pub(crate) fn chunks_new(&self) -> u64 {
        self.chunks_new.load(Ordering::Relaxed)
    }

    /// Whether packs are missing that the index names: then nothing counts as unmodified.
    pub(crate) fn lost_packs(&self) -> bool {
        self.writer.lost_packs()
    }

    /// Stops all threads: the first failure is the one that is reported.
    pub(crate) fn fail(&self, error: Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    /// Fails if anybody failed.
    pub(crate) fn check(&self) -> Result<()> {
        match self.failed.load(Ordering::Acquire) {
            true => Err(self.take_failure()),
            false => Ok(()),
        }
    }

    /// The failure, once; to all others it is only said that there was one.
    pub(crate) fn take_failure(&self) -> Error {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Error::WorkerStopped)
    }

    /// Deals with chunks that were gathered for a frame: those of which something like them is stored become deltas, the
    /// others a frame.
    pub(crate) fn encode(&self, common: Common, chunks: Vec<PlainChunk>) {
        let done = match has_bases(common.0) {
            true => self.encode_stream(common, chunks),
            false => self.encode_full(&common, &chunks),
        };
        if let Err(error) = done {
            self.fail(error);
        }
    }

    fn encode_full(&self, (kind, shape): &Common, chunks: &[PlainChunk]) -> Result<()> {
        let frame = self.with_codec(|codec| {
            Ok(match shape {
                Some(shape) => codec.encode_records(chunks, shape),
                None => codec.encode(*kind, chunks),
            })
        })?;
        self.add(frame)
    }

    fn encode_stream(&self, common: Common, chunks: Vec<PlainChunk>) -> Result<()> {
        let anchors: Vec<_> = chunks.iter().map(|chunk| anchors(&chunk.bytes)).collect();
        let bases = find_bases(self.repository, &anchors, self.level.is_some());
        let mut pending = self.anchors.lock().unwrap_or_else(PoisonError::into_inner);
        for (chunk, anchors) in chunks.iter().zip(anchors) {
            pending.insert(chunk.id, anchors.into_iter().map(|anchor| anchor.hash).collect());
        }
        drop(pending);
        let (mut left, mut found) = (Vec::new(), false);
        for (chunk, bases) in chunks.into_iter().zip(bases) {
            let delta = match bases {
                // What may be deleted, or is not whole, can be read perhaps, but nothing new may rest on it.
                Some(bases) if !self.writer.is_sound(&bases.chain)? => None,
                Some(bases) => self.with_codec(|codec| Ok(delta_of(codec, common.0, &chunk, bases)))?,
                None => None,
            };
            match delta {
                Some(frame) => {
                    found = true;
                    self.add(frame)?;
                }
                None => left.push(chunk),
            }
        }
        if !found {
            return self.encode_full(&common, &left);
        }
        // What is left of a frame waits for more of its kind.
        for chunk in left {
            let full = self.left.lock().unwrap_or_else(PoisonError::into_inner).add(common.clone(), chunk);
            if let Some((common, chunks)) = full {
                self.encode_full(&common, &chunks)?;
            }
        }
        Ok(())
    }

    fn add(&self, frame: EncodedFrame) -> Result<()> {
        match self.writer.add(frame) {
            Some(full) => self.store(full),
            None => Ok(()),
        }
    }

    fn store(&self, pack: PackBuilder) -> Result<()> {
        if self.dry_run {
            self.weighed.fetch_add(self.writer.weigh(pack)?, Ordering::Relaxed);
            return Ok(());
        }
        let ids: Vec<ChunkId> = pack.frames().iter().flat_map(|frame| &frame.chunks).map(|chunk| chunk.id).collect();
        let report = self.writer.store(pack)?;
        let Some(number) = self.repository.catalog().index().pack_number(&report.pack) else { return Ok(()) };
        let mut pending = self.anchors.lock().unwrap_or_else(PoisonError::into_inner);
        let anchored: Vec<_> = (0..)
            .zip(ids)
            .filter_map(|(chunk, id)| Some((PackedChunk { pack: number.row(), chunk }, pending.remove(&id)?)))
            .collect();
        drop(pending);
        self.repository.hints().remember_anchors(&anchored);
        Ok(())
    }

    fn with_codec<T>(&self, work: impl FnOnce(&mut FrameCodec) -> Result<T>) -> Result<T> {
        let lock = || self.codecs.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = lock().pop();
        let mut codec = match idle {
            Some(codec) => codec,
            None => FrameCodec::new(self.level)
                .map_err(|error| Error::Exhausted { what: "memory to compress with", source: error.into() })?,
        };
        let done = work(&mut codec);
        lock().push(codec);
        done
    }

    /// When all frames were compressed: stores the last pack and makes the snapshot exist.
    pub(crate) fn commit<'a>(self, snapshot: impl Into<Addition<'a>>, root: ChunkId) -> Result<Committed> {
        self.store_rest()?;
        self.writer.commit(snapshot, root)
    }

    /// When all frames were compressed: stores the last pack and replaces the roots of snapshots.
    pub(crate) fn replace_roots(self, reason: ReplaceReason, roots: &[RootReplacement]) -> Result<Replaced> {
        self.store_rest()?;
        self.writer.replace_roots(reason, roots)
    }

    /// When all frames were compressed: stores the last pack, so that all of it can be read. More may follow.
    pub(crate) fn flush(&self) -> Result<()> {
        self.store_rest()?;
        self.writer.flush()
    }

    /// When all frames were compressed on a dry run: about how many bytes the snapshot would add. New chunks that are like
    /// other new chunks may take less.
    pub(crate) fn weigh(self) -> Result<u64> {
        self.store_rest()?;
        Ok(self.weighed.into_inner() + ENTRY)
    }

    fn store_rest(&self) -> Result<()> {
        self.check()?;
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        for (common, chunks) in left.into_last() {
            self.encode_full(&common, &chunks)?;
        }
        while let Some(rest) = self.writer.take_open() {
            self.store(rest)?;
        }
        Ok(())
    }

    /// After a failure: publishes what was stored, so that the next run finds it.
    pub(crate) fn abandon(self) {
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
