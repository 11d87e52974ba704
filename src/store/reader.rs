//! Getting chunks back. A delta is decoded from its bases, which may be deltas themselves.
//!
//! Each base is read from a location of lesser depth than the delta's own, so that a chain ends after sixteen links
//! whatever a directory says, and threads that wait for each other's frames never wait in a circle.

use std::sync::Arc;

use super::frame_cache::{FrameCache, Patience, Purpose};
use super::kept::KeptChunks;
use super::{Catalog, Packs};
use crate::chunk::{ChunkSource, MAX_BASE_BYTES};
use crate::error::{Error, Result};
use crate::id::{ChunkHasher, ChunkId};
use crate::index::{CachedPack, Location};
use crate::log::Log;
use crate::pack::{Encoding, Frame, PackInfo};

/// Names a frame: its pack, as this process knows it, and which one it is there.
pub type FrameKey = (CachedPack, u32);

/// How many frames may be decoded to get one chunk. No writer makes chains that need a tenth of it; a forged directory
/// could name four other bases sixteen times over.
const MAX_EFFORT: u32 = 4096;

/// What getting one chunk has cost so far.
struct Effort {
    /// Frames that were decoded for it.
    frames: u32,
    patience: Patience,
    /// What is read for it will be asked for again by later processes.
    again: bool,
}

impl Effort {
    /// None yet, for a caller that needs the chunk.
    fn patient() -> Self {
        Self { frames: 0, patience: Patience::Waits, again: false }
    }

    fn spend(&mut self, info: &PackInfo) -> Result<()> {
        self.frames += 1;
        match self.frames <= MAX_EFFORT {
            true => Ok(()),
            false => {
                Err(Error::damaged(info.name(), "one of its deltas rests on more frames than any writer would use"))
            }
        }
    }
}

/// The plain bytes that a delta rests on. Mostly they are one chunk, which need not be copied.
enum Base {
    One(Arc<[u8]>),
    Joined(Vec<u8>),
}

impl std::ops::Deref for Base {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::One(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }
}

/// Result of opening a frame whose bytes could be read.
#[derive(Debug)]
pub enum Opened {
    /// Its plain bytes.
    Plain(Vec<u8>),
    /// It is a delta, and what it rests on cannot be had. Nothing is known to be wrong with the frame itself: it may be
    /// decoded again once its bases come back.
    WithoutBase(Error),
}

/// Reads frames without keeping them: for checks, which read everything once. The bases of deltas are kept.
#[derive(Debug)]
pub struct FrameReader(());

impl FrameReader {
    /// A reader.
    pub fn new() -> Result<Self> {
        Ok(Self(()))
    }

    /// The plain bytes of one frame.
    pub fn read(&mut self, reader: &ChunkReader, key: FrameKey) -> Result<Vec<u8>> {
        self.read_within(reader, key, &mut Effort::patient())
    }

    /// The plain bytes of one frame of this pack.
    pub fn read_frame(&mut self, reader: &ChunkReader, info: &PackInfo, number: usize) -> Result<Vec<u8>> {
        self.read_frame_within(reader, info, number, &mut Effort::patient())
    }

    fn read_within(&mut self, reader: &ChunkReader, (pack, number): FrameKey, effort: &mut Effort) -> Result<Vec<u8>> {
        let info = reader.catalog.index().pack(pack)?;
        self.read_frame_within(reader, &info, number as usize, effort)
    }

    fn read_frame_within(
        &mut self,
        reader: &ChunkReader,
        info: &PackInfo,
        number: usize,
        effort: &mut Effort,
    ) -> Result<Vec<u8>> {
        effort.spend(info)?;
        let cipher = reader.packs.cipher_of(info)?;
        let body = reader.packs.unseal(info, &cipher, number, effort.again)?;
        match self.decode_within(reader, info, number, &body, effort)? {
            Opened::Plain(plain) => Ok(plain),
            Opened::WithoutBase(error) => Err(error),
        }
    }

    /// The plain bytes of one frame of this pack, from its sealed bytes.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::ChunkDamaged`] if these bytes are not what was written; and what says nothing about
    /// them.
    pub fn open(&mut self, reader: &ChunkReader, info: &PackInfo, number: usize, sealed: Vec<u8>) -> Result<Opened> {
        let cipher = reader.packs.cipher_of(info)?;
        let body = info.unseal(&cipher, number, sealed)?;
        let mut effort = Effort::patient();
        effort.spend(info)?;
        self.decode_within(reader, info, number, &body, &mut effort)
    }

    fn decode_within(
        &mut self,
        reader: &ChunkReader,
        info: &PackInfo,
        number: usize,
        body: &[u8],
        effort: &mut Effort,
    ) -> Result<Opened> {
        let frame = info.frame(number)?;
        if frame.encoding != Encoding::Delta {
            return reader.frames.with_codec(|codec| info.decode_frame(codec, number, body)).map(Opened::Plain);
        }
        let base = match reader.base_of(info, frame, effort)? {
            Ok(base) => base,
            Err(error) => return Ok(Opened::WithoutBase(error)),
        };
        let plain = reader.frames.with_codec(|codec| info.decode_delta(codec, number, body, &base))?;
        // What others rest on is looked at once, here.
        match info.directory.chunks_of(frame) {
            [chunk] if reader.hasher.id(&plain) == chunk.id => Ok(Opened::Plain(plain)),
            [chunk, ..] => Err(info.wrong_chunk(&chunk.id)),
            [] => Err(Error::damaged(info.name(), format!("frame {number} has no chunk"))),
        }
    }
}

/// Reads chunks, wherever they lie. Frames that were decoded are kept for a while, for all readers.
#[derive(Debug)]
pub struct ChunkReader {
    pub(super) log: Arc<Log>,
    pub(super) packs: Arc<Packs>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) hasher: ChunkHasher,
    pub(super) frames: FrameCache,
    pub(super) kept: KeptChunks,
}

impl ChunkReader {
    pub(super) fn new(log: Arc<Log>, packs: Arc<Packs>, catalog: Arc<Catalog>, hasher: ChunkHasher) -> Self {
        Self { log, packs, catalog, hasher, frames: FrameCache::default(), kept: KeptChunks::default() }
    }

    /// The plain bytes of a chunk that is to become the base of another. The next night will ask for most of them again.
    pub fn base(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.get_below(id, u8::MAX, Purpose::Base, &mut Effort { again: true, ..Effort::patient() })
    }

    /// Frees the decoded frames that are kept. For callers that will not ask for the same chunks again, and need the
    /// memory.
    pub fn forget_frames(&self) {
        self.frames.clear();
    }

    /// How many plain bytes of frames were decoded so far to get chunks, those of their bases included.
    pub fn bytes_decoded(&self) -> u64 {
        self.frames.bytes_decoded()
    }

    /// Decodes the frame, so that its chunks are at hand soon after. Where it, or what it rests on, is being decoded by
    /// another thread, that is left to the thread that asks for it: many deltas in a row rest on the same frame, and
    /// threads that wait for it have better to do.
    pub fn prefetch(&self, key: FrameKey) {
        // What is wrong with it is reported to the thread that asks for a chunk of it.
        let _ = self.frame(key, Purpose::Asked, &mut Effort { patience: Patience::GivesUp, ..Effort::patient() });
    }

    fn frame(&self, key: FrameKey, purpose: Purpose, effort: &mut Effort) -> Result<Arc<[u8]>> {
        self.frames.get(key, purpose, effort.patience, || FrameReader::new()?.read_within(self, key, effort))
    }

    /// The bases of a delta, end to end; or why one of them is lost.
    ///
    /// # Errors
    /// If the delta itself is no sound one, and where something failed that says nothing about the data.
    fn base_of(&self, info: &PackInfo, frame: &Frame, effort: &mut Effort) -> Result<std::result::Result<Base, Error>> {
        let (mut bases, mut length) = (Vec::with_capacity(frame.bases.len()), 0);
        for number in &frame.bases {
            let id = info.directory.bases.get(*number as usize);
            let id = id.ok_or_else(|| Error::damaged(info.name(), "a delta names a base that is not listed"))?;
            let bytes = match self.get_below(id, frame.place.depth, Purpose::Base, effort) {
                Err(error) if error.is_damage() => return Ok(Err(error)),
                got => got?,
            };
            length += bytes.len();
            if length > MAX_BASE_BYTES {
                return Err(Error::damaged(info.name(), "the bases of a delta are longer than they may be"));
            }
            bases.push(bytes);
        }
        Ok(Ok(match &bases[..] {
            [base] => Base::One(base.clone()),
            _ => Base::Joined(bases.concat()),
        }))
    }

    /// The chunk, from a location that needs fewer than `depth` deltas. The index is not rebuilt on the way: a caller
    /// that reads a frame by its number holds on to that number.
    fn get_below(&self, id: &ChunkId, depth: u8, purpose: Purpose, effort: &mut Effort) -> Result<Arc<[u8]>> {
        let mut failure = Error::ChunkMissing { id: *id };
        for (_, location) in
            self.catalog.by_depth(self.catalog.index().locate(id)?)?.into_iter().filter(|place| place.0 < depth)
        {
            match self.chunk_at(id, location, purpose, effort) {
                Ok(bytes) => return Ok(bytes),
                // Another thread decodes what it rests on: nothing is wrong with the place.
                Err(error @ Error::Busy { .. }) => return Err(error),
                // One place that could not be read at all says more than others that are lost: nothing is known yet.
                Err(error) if failure.is_damage() => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    fn get_located(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        match self.get_below(id, u8::MAX, Purpose::Asked, &mut Effort::patient()) {
            // Its pack may be gone because a prune moved what was needed of it elsewhere.
            Err(error) if error.is_damage() && self.catalog.refresh().unwrap_or(false) => {
                self.get_below(id, u8::MAX, Purpose::Asked, &mut Effort::patient())
            }
            got => got,
        }
    }

    fn chunk_at(&self, id: &ChunkId, location: Location, purpose: Purpose, effort: &mut Effort) -> Result<Arc<[u8]>> {
        let plain = self.frame((location.pack, location.frame), purpose, effort)?;
        let info = self.catalog.index().pack(location.pack)?;
        let damaged = |reason: &str| Error::ChunkDamaged { id: *id, pack: info.id, reason: reason.into() };
        let frame = info.frame(location.frame as usize)?;
        let chunks = info.directory.chunks_of(frame);
        let chunk = chunks.get(location.chunk as usize).ok_or_else(|| damaged("its frame has no such chunk"))?;
        if frame.encoding == Encoding::Delta {
            return if chunk.id == *id { Ok(plain) } else { Err(info.wrong_chunk(id)) };
        }
        let start: usize = chunks.iter().take(location.chunk as usize).map(|chunk| chunk.length as usize).sum();
        let bytes = plain.get(start..start + chunk.length as usize);
        let bytes = bytes.ok_or_else(|| damaged("its frame is too short"))?;
        match self.hasher.id(bytes) == *id {
            true => Ok(bytes.into()),
            false => Err(info.wrong_chunk(id)),
        }
    }
}

impl ChunkSource for ChunkReader {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.log.runtime().go_on()?;
        let before = self.log.length();
        let failure = match self.get_located(id) {
            Err(error) if error.is_damage() || matches!(error, Error::Cache { .. }) => error,
            got => return got,
        };
        // Its pack may be gone because a prune moved what was needed of it elsewhere. Another thread may have noticed.
        let refreshed = match self.catalog.refresh() {
            // What was moved since, these keys cannot read.
            Err(error @ Error::KeysRotated { .. }) => return Err(error),
            refreshed => refreshed.unwrap_or(false),
        };
        // Or another process that shares the local index has forgotten that pack.
        if (refreshed || self.log.length() != before || matches!(failure, Error::Cache { .. }))
            && let Ok(bytes) = self.get_located(id)
        {
            return Ok(bytes);
        }
        match failure {
            // The local index failed, or knows nothing of the chunk or of what it rests on (a damaged cache must not make
            // data look lost), or was rebuilt after the chunk was looked up.
            Error::Cache { .. } | Error::ChunkMissing { .. } => {
                self.catalog.rebuild_once()?;
                if let Ok(bytes) = self.get_located(id) {
                    return Ok(bytes);
                }
                self.catalog.recall_condemned()?;
                self.get_located(id)
            }
            failure => Err(failure),
        }
    }
}
