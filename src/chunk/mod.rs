//! Chunks: pieces of a stream, cut by content, stored once. And the two traits through which everything above hands over
//! chunks away and gets them back, without knowing what a repository is.

mod anchors;
mod compress;
mod cut;
mod delta;

use std::collections::HashMap;
use std::sync::Arc;

pub use anchors::{Anchor, SPARSE_BELOW, anchors};
pub use compress::{CompressError, Compressor, Decompressor};
pub use cut::{CutParams, Piece, StreamCutter, is_zero};
pub use delta::{MAX_BASE_BYTES, compress_delta, decompress_delta};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::id::{ChunkHasher, ChunkId};

/// The longest chunk, in plain bytes. Readers refuse longer ones.
pub const MAX_CHUNK: usize = 16 << 20;

/// What a chunk holds. The pack directory carries it, so that a repository can be understood from its packs alone. The
/// numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[repr(u8)]
#[serde(rename_all = "snake_case")]
pub enum ChunkKind {
    /// Whole Avro records, one after the other, as the container's schema encodes them.
    Records = 1,
    /// Any other bytes of a file; also records that could not be walked.
    Bytes = 2,
    /// Payloads of container blocks, kept as they are.
    #[serde(rename = "payloads")]
    Payload = 3,
    /// The header of a container without its marker.
    #[serde(rename = "headers")]
    Header = 4,
    /// How the blocks of a container lie.
    #[serde(rename = "layouts")]
    Layout = 5,
    /// References to chunks: an inner node of the tree of a stream or manifest.
    #[serde(rename = "nodes")]
    Node = 6,
    /// Rows of a manifest.
    Rows = 7,
    /// The root of a snapshot.
    #[serde(rename = "roots")]
    Root = 8,
    /// What turns the output of an encoder into the payload that was there.
    Corrections = 9,
}

impl ChunkKind {
    /// All kinds.
    pub const ALL: [ChunkKind; 9] = [
        Self::Records,
        Self::Bytes,
        Self::Payload,
        Self::Header,
        Self::Layout,
        Self::Node,
        Self::Rows,
        Self::Root,
        Self::Corrections,
    ];

    /// Whether it says what snapshots hold, and is read by each later run; other kinds are what the files consist of, and read
    /// by restores.
    pub fn is_hot(self) -> bool {
        matches!(self, Self::Node | Self::Rows | Self::Root)
    }

    /// The kind with this number in the format.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// What the records of a chunk are like. Chunks of one shape may share a frame that is coded column by column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordShape {
    /// What keeps tables apart that look alike: the fingerprint of the schema.
    pub fingerprint: u64,
    /// The type tree (`docs/format.md`, "Columnar frames"), which says how to take a record apart. Opaque here.
    pub tree: Vec<u8>,
}

/// Takes chunks to be kept.
pub trait ChunkSink {
    /// Keeps the chunk, unless it is kept already, and says what it is called. It need not be durable on return.
    fn put(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> Result<ChunkId>;

    /// The same for a chunk of kind [`Records`](ChunkKind::Records) that is nothing but whole records of this shape.
    fn put_records(&mut self, bytes: Vec<u8>, shape: &Arc<RecordShape>) -> Result<ChunkId> {
        let _ = shape;
        self.put(ChunkKind::Records, bytes)
    }
}

/// Returns chunks. Readers own their source: a reference to one is a source, and so is an [`Arc`] of one, for readers that
/// are kept.
pub trait ChunkSource {
    /// The plain bytes of the chunk, whose id was recomputed from them.
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>>;

    /// The chunk will be asked for soon: a source may get it ready meanwhile.
    fn will_need(&self, id: &ChunkId) {
        let _ = id;
    }

    /// These chunks will be asked for next, one after the other: a source that is far away may get them at once.
    fn will_need_all(&self, ids: &[ChunkId]) {
        let _ = ids;
    }
}

impl<S: ChunkSource + ?Sized> ChunkSource for &S {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        (**self).get(id)
    }

    fn will_need(&self, id: &ChunkId) {
        (**self).will_need(id);
    }

    fn will_need_all(&self, ids: &[ChunkId]) {
        (**self).will_need_all(ids);
    }
}

impl<S: ChunkSource + ?Sized> ChunkSource for Arc<S> {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        (**self).get(id)
    }

    fn will_need(&self, id: &ChunkId) {
        (**self).will_need(id);
    }

    fn will_need_all(&self, ids: &[ChunkId]) {
        (**self).will_need_all(ids);
    }
}

/// A whole repository in a map, for tests: put in what you like, look at what is there.
#[derive(Debug, Clone)]
pub struct ChunkMap {
    hasher: ChunkHasher,
    /// Kind and bytes of each chunk.
    pub chunks: HashMap<ChunkId, (ChunkKind, Arc<[u8]>)>,
}

impl Default for ChunkMap {
    fn default() -> Self {
        Self { hasher: ChunkHasher::open(), chunks: HashMap::new() }
    }
}

impl ChunkSink for ChunkMap {
    fn put(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> Result<ChunkId> {
        let id = self.hasher.id(&bytes);
        self.chunks.insert(id, (kind, bytes.into()));
        Ok(id)
    }
}

impl ChunkSource for ChunkMap {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.chunks.get(id).map(|(_, bytes)| bytes.clone()).ok_or(Error::ChunkMissing { id: *id })
    }
}
