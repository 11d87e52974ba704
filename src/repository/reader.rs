//! Getting chunks back. Frames are decoded once and kept for a while, since the chunks of a file lie side by side.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Repository;
use crate::chunk::ChunkSource;
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::index::Location;
use crate::pack::{FrameCodec, PackInfo};

/// Names a frame: the index's number of its pack, and which one it is there.
pub type FrameKey = (u32, u32);

/// How many plain bytes of decoded frames are kept.
const CACHED_BYTES: usize = 48 << 20;

/// Decoded frames, used most lately last. Of several threads that want the same frame one decodes it, the others wait.
#[derive(Debug, Default)]
pub(super) struct FrameCache {
    held: Mutex<Held>,
    decoded: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    frames: HashMap<FrameKey, Slot>,
    order: VecDeque<FrameKey>,
    bytes: usize,
}

#[derive(Debug)]
enum Slot {
    BeingDecoded,
    Ready(Arc<[u8]>),
}

impl FrameCache {
    /// The plain bytes of a frame, which `decode` makes if they are not there.
    fn get(&self, key: FrameKey, decode: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<[u8]>> {
        let mut held = self.lock();
        loop {
            match held.frames.get(&key) {
                Some(Slot::Ready(plain)) => return Ok(plain.clone()),
                Some(Slot::BeingDecoded) => held = self.decoded.wait(held).unwrap_or_else(PoisonError::into_inner),
                None => break,
            }
        }
        held.frames.insert(key, Slot::BeingDecoded);
        drop(held);
        let plain = decode().map(Arc::<[u8]>::from);
        let mut held = self.lock();
        match &plain {
            Ok(plain) => {
                held.frames.insert(key, Slot::Ready(plain.clone()));
                held.order.push_back(key);
                held.bytes += plain.len();
                while held.bytes > CACHED_BYTES && held.order.len() > 1 {
                    let Some(oldest) = held.order.pop_front() else { break };
                    if let Some(Slot::Ready(plain)) = held.frames.remove(&oldest) {
                        held.bytes -= plain.len();
                    }
                }
            }
            Err(_) => {
                held.frames.remove(&key);
            }
        }
        self.decoded.notify_all();
        plain
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads frames without keeping them: for checks, which read everything once.
#[derive(Debug)]
pub struct FrameReader {
    codec: FrameCodec,
}

impl FrameReader {
    /// A reader.
    pub fn new() -> Result<Self> {
        Ok(Self { codec: FrameCodec::new(None).map_err(|e| Error::Crypto(e.to_string()))? })
    }

    /// The plain bytes of one frame.
    pub fn read(&mut self, repository: &Repository, (pack, frame): FrameKey) -> Result<Vec<u8>> {
        let info = repository.index.pack(pack)?;
        self.read_frame(repository, &info, frame as usize)
    }

    /// The plain bytes of one frame of this pack.
    pub fn read_frame(&mut self, repository: &Repository, info: &PackInfo, frame: usize) -> Result<Vec<u8>> {
        let listed = info
            .directory
            .frames
            .get(frame)
            .ok_or_else(|| Error::damaged(info.name(), format!("it has no frame {frame}")))?;
        let sealed = repository.backend.read_range(&info.name(), u64::from(listed.offset), listed.stored as usize)?;
        let cipher = info.cipher(repository.id(), repository.keyring())?;
        info.open_frame(&cipher, &mut self.codec, frame, sealed)
    }
}

impl Repository {
    /// Where a chunk can be read from. If the local index knows nothing about it, the index is made anew first: a
    /// damaged cache must not make data look lost.
    pub fn locate(&self, id: &ChunkId) -> Result<Vec<Location>> {
        let found = |located: Result<Vec<Location>>| located.ok().filter(|locations| !locations.is_empty());
        if let Some(locations) = found(self.index.locate(id)) {
            return Ok(locations);
        }
        // Somebody may have stored it, or moved it, since the log was read.
        if self.refresh_index().unwrap_or(false)
            && let Some(locations) = found(self.index.locate(id))
        {
            return Ok(locations);
        }
        self.rebuild_index_once()?;
        match self.index.locate(id)? {
            locations if locations.is_empty() => Err(Error::ChunkMissing { id: *id }),
            locations => Ok(locations),
        }
    }

    /// Decodes the frame, so that its chunks are at hand soon after.
    pub fn prefetch(&self, key: FrameKey) {
        // What is wrong with it is told to whoever asks for a chunk of it.
        let _ = self.frame(key);
    }

    fn frame(&self, key: FrameKey) -> Result<Arc<[u8]>> {
        self.frames.get(key, || FrameReader::new()?.read(self, key))
    }

    fn get_located(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        match self.get_anywhere(id) {
            // Its pack may be gone because a prune moved what was needed of it elsewhere.
            Err(error) if error.is_damage() && self.refresh_index().unwrap_or(false) => self.get_anywhere(id),
            got => got,
        }
    }

    fn get_anywhere(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        let mut failure = Error::ChunkMissing { id: *id };
        for location in self.locate(id)? {
            match self.chunk_at(id, location) {
                Ok(bytes) => return Ok(bytes),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn chunk_at(&self, id: &ChunkId, location: Location) -> Result<Arc<[u8]>> {
        let plain = self.frame((location.pack, location.frame))?;
        let info = self.index.pack(location.pack)?;
        let damaged = |reason: &str| Error::ChunkDamaged { id: *id, pack: info.id, reason: reason.into() };
        let frame =
            info.directory.frames.get(location.frame as usize).ok_or_else(|| damaged("the pack has no such frame"))?;
        let chunks = info.directory.chunks_of(frame);
        let start: usize = chunks.iter().take(location.chunk as usize).map(|chunk| chunk.length as usize).sum();
        let length = chunks.get(location.chunk as usize).map_or(0, |chunk| chunk.length as usize);
        let bytes = plain.get(start..start + length).ok_or_else(|| damaged("its frame is too short"))?;
        match self.hasher().id(bytes) == *id {
            true => Ok(bytes.into()),
            false => Err(damaged("its bytes do not hash to its id")),
        }
    }
}

impl ChunkSource for Repository {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        match self.get_located(id) {
            // The local index failed, or was made anew after the chunk was looked up.
            Err(Error::Cache { .. }) => {
                self.rebuild_index_once()?;
                self.get_located(id)
            }
            got => got,
        }
    }
}
