//! The way of a chunk from the one who cut it into a pack: named, looked up, gathered into a frame, compressed, packed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::chunk::{ChunkKind, ChunkSink, MAX_CHUNK};
use crate::commands::gate::Gate;
use crate::error::{Error, Result};
use crate::id::{ChunkHasher, ChunkId, SnapshotId};
use crate::pack::{FrameCodec, PackBuilder, PlainChunk};
use crate::repository::{Committed, Repository, Writer};

/// What all threads of one run share.
pub(super) struct Pipeline<'r> {
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
}

/// How many frames may wait or be at work, for each thread.
const BACKLOG: usize = 4;

impl<'r> Pipeline<'r> {
    pub(super) fn new(repository: &'r Repository, level: Option<i32>, dry_run: bool, threads: usize) -> Result<Self> {
        Ok(Self {
            writer: Writer::new(repository)?,
            hasher: repository.hasher(),
            level,
            dry_run,
            codecs: Mutex::default(),
            backlog: Gate::new(BACKLOG * threads.max(1)),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
            chunks_new: AtomicU64::new(0),
            frame_target: repository.sizes().frame,
        })
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

    fn encode(&self, kind: ChunkKind, chunks: &[PlainChunk]) {
        let done =
            self.with_codec(|codec| Ok(codec.encode(kind, chunks))).and_then(|frame| match self.writer.add(frame) {
                Some(full) => self.store(full),
                None => Ok(()),
            });
        if let Err(error) = done {
            self.fail(error);
        }
    }

    fn store(&self, pack: PackBuilder) -> Result<()> {
        self.writer.store(pack).map(drop)
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

/// Takes the chunks of one thread. Those that are new are gathered into frames, kind by kind, so that the chunks of a
/// file lie side by side.
pub(super) struct Feeder<'p, 'r, 's> {
    pipeline: &'p Pipeline<'r>,
    scope: &'s rayon::Scope<'p>,
    open: BTreeMap<ChunkKind, (Vec<PlainChunk>, usize)>,
}

impl<'p, 'r, 's> Feeder<'p, 'r, 's> {
    pub(super) fn new(pipeline: &'p Pipeline<'r>, scope: &'s rayon::Scope<'p>) -> Self {
        Self { pipeline, scope, open: BTreeMap::new() }
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
            pipeline.encode(kind, &chunks);
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
pub(super) struct Unfilled(BTreeMap<ChunkKind, (Vec<PlainChunk>, usize)>);

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
        if self.pipeline.writer.reserve(id)? {
            self.pipeline.chunks_new.fetch_add(1, Ordering::Relaxed);
            if !self.pipeline.dry_run {
                self.add(kind, PlainChunk { id, bytes });
            }
        }
        Ok(id)
    }
}
