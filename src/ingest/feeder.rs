//! Gathering the new chunks of one thread into frames.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bases::has_bases;
use super::gather::{Common, Gathering};
use super::pipeline::Pipeline;
use super::primer::SimilarityHint;
use crate::chunk::{ChunkKind, ChunkSink, MAX_CHUNK, RecordShape, is_zero};
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::pack::PlainChunk;

/// Takes the chunks of one thread. Those that are new are gathered into frames, kind by kind and shape by shape, so that
/// the chunks of a file lie side by side.
pub(crate) struct Feeder<'p, 'r, 's> {
    pipeline: &'p Pipeline<'r>,
    scope: &'s rayon::Scope<'p>,
    open: Gathering,
    /// What the file at hand is probably like.
    hint: SimilarityHint,
    /// The last piece of nothing but zeros: its length and name. A hole is made of equal ones.
    zeros: Option<(usize, ChunkId)>,
}

impl<'p, 'r, 's> Feeder<'p, 'r, 's> {
    pub(crate) fn new(pipeline: &'p Pipeline<'r>, scope: &'s rayon::Scope<'p>) -> Self {
        Self {
            pipeline,
            scope,
            open: Gathering::new(pipeline.frame_target),
            hint: SimilarityHint::default(),
            zeros: None,
        }
    }

    /// Chunks of another file follow, whose row in the last snapshot has this recipe.
    pub(crate) fn begin_file(&mut self, recipe: Option<&[u8]>) {
        self.hint = self.pipeline.primer.hint(recipe);
    }

    /// The file is a container of this schema.
    pub(crate) fn schema(&mut self, fingerprint: u64) {
        self.hint.schema(fingerprint);
    }

    /// Whether the chunk is stored, or on its way: then it need not be put in.
    pub(crate) fn holds(&self, id: &ChunkId) -> Result<bool> {
        self.pipeline.check()?;
        self.pipeline.writer.holds(id)
    }

    /// A chunk of the file at hand was not put in, since it is held.
    pub(crate) fn passed(&mut self, kind: ChunkKind, bytes: u64) {
        if has_bases(kind) {
            self.pipeline.primer.pass(&mut self.hint, bytes, false);
        }
    }

    fn add(&mut self, common: Common, chunk: PlainChunk) {
        if let Some((common, chunks)) = self.open.add(common, chunk) {
            self.submit(common, chunks);
        }
    }

    fn submit(&self, common: Common, chunks: Vec<PlainChunk>) {
        let pipeline = self.pipeline;
        pipeline.backlog.enter();
        self.scope.spawn(move |_| {
            pipeline.encode(common, chunks);
            pipeline.backlog.leave(1);
        });
    }

    /// Takes over the frames that another thread did not fill.
    pub(crate) fn absorb(&mut self, open: Unfilled) {
        for (common, chunks) in open.0.into_unfilled() {
            for chunk in chunks {
                self.add(common.clone(), chunk);
            }
        }
    }

    /// The frames that are not full.
    pub(crate) fn into_unfilled(self) -> Unfilled {
        Unfilled(self.open)
    }

    /// Hands on whatever is left.
    pub(crate) fn finish(mut self) {
        for (common, chunks) in self.open.take().into_last() {
            self.submit(common, chunks);
        }
    }

    fn name(&mut self, bytes: &[u8]) -> ChunkId {
        if !is_zero(bytes) {
            return self.pipeline.hasher.id(bytes);
        }
        match self.zeros {
            Some((length, id)) if length == bytes.len() => id,
            _ => {
                let id = self.pipeline.hasher.id(bytes);
                self.zeros = Some((bytes.len(), id));
                id
            }
        }
    }

    fn take(&mut self, common: Common, bytes: Vec<u8>) -> Result<ChunkId> {
        let pipeline = self.pipeline;
        pipeline.check()?;
        if bytes.len() > MAX_CHUNK {
            let (value, limit) = (bytes.len() as u64, MAX_CHUNK as u64);
            return Err(Error::LimitExceeded { what: "the length of a row or chunk in bytes".into(), value, limit });
        }
        let id = self.name(&bytes);
        let new = pipeline.writer.reserve(id)?;
        if has_bases(common.0) && pipeline.level.is_some() {
            pipeline.primer.pass(&mut self.hint, bytes.len() as u64, new);
        }
        if new {
            pipeline.chunks_new.fetch_add(1, Ordering::Relaxed);
            self.add(common, PlainChunk { id, bytes });
        }
        Ok(id)
    }
}

/// Frames that are not full.
pub(crate) struct Unfilled(Gathering);

impl ChunkSink for Feeder<'_, '_, '_> {
    fn put(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> Result<ChunkId> {
        self.take((kind, None), bytes)
    }

    fn put_records(&mut self, bytes: Vec<u8>, shape: &Arc<RecordShape>) -> Result<ChunkId> {
        self.take((ChunkKind::Records, Some(shape.clone())), bytes)
    }
}
