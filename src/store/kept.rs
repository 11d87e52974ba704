//! Chunks of manifests that were read lately. Listing folders and looking up paths asks for the same few again and again.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ChunkReader;
use crate::chunk::ChunkSource;
use crate::error::Result;
use crate::id::ChunkId;

/// How many bytes of chunks are kept.
const MOST: usize = 16 << 20;

/// Chunks by their ids, the least lately used first out. What is kept was proven by its id, so it is never out of date.
#[derive(Debug, Default)]
pub(super) struct KeptChunks(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    chunks: HashMap<ChunkId, (Arc<[u8]>, u64)>,
    /// By when they were used.
    order: BTreeMap<u64, ChunkId>,
    uses: u64,
    bytes: usize,
}

impl KeptChunks {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &ChunkId) -> Option<Arc<[u8]>> {
        let held = &mut *self.held();
        held.uses += 1;
        let (bytes, used) = held.chunks.get_mut(id)?;
        held.order.remove(used);
        *used = held.uses;
        held.order.insert(held.uses, *id);
        Some(bytes.clone())
    }

    fn add(&self, id: &ChunkId, bytes: &Arc<[u8]>) {
        let held = &mut *self.held();
        if bytes.len() > MOST || held.chunks.contains_key(id) {
            return;
        }
        held.uses += 1;
        held.bytes += bytes.len();
        held.chunks.insert(*id, (bytes.clone(), held.uses));
        held.order.insert(held.uses, *id);
        while held.bytes > MOST {
            let Some((_, oldest)) = held.order.pop_first() else { break };
            held.bytes -= held.chunks.remove(&oldest).map_or(0, |(bytes, _)| bytes.len());
        }
    }
}

impl ChunkReader {
    /// The plain bytes of a chunk that will be asked for again soon, by several threads perhaps: 16 MiB of such are kept.
    ///
    /// # Errors
    /// As of reading any chunk.
    pub fn get_kept(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.log.runtime().go_on()?;
        if let Some(bytes) = self.kept.get(id) {
            return Ok(bytes);
        }
        let bytes = self.get(id)?;
        self.kept.add(id, &bytes);
        Ok(bytes)
    }

    /// How many bytes of chunks are kept for [`get_kept`](ChunkReader::get_kept).
    pub fn bytes_kept(&self) -> usize {
        self.kept.held().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ChunkId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        ChunkId::new(bytes)
    }

    #[test]
    fn what_is_kept_has_a_bound_and_the_least_lately_used_goes_first() {
        let (kept, bytes) = (KeptChunks::default(), Arc::<[u8]>::from(vec![0; 1 << 20]));
        for number in 0..100 {
            kept.add(&id(number), &bytes);
            assert!(kept.get(&id(0)).is_some(), "it was used just now");
            assert!(kept.held().bytes <= MOST);
        }
        assert_eq!(kept.held().bytes, MOST);
        let left: Vec<_> = (0..100).filter(|number| kept.get(&id(*number)).is_some()).collect();
        assert_eq!(left, std::iter::once(0).chain(85..100).collect::<Vec<_>>());
        let held = kept.held();
        assert_eq!((held.chunks.len(), held.order.len()), (16, 16));
    }

    #[test]
    fn a_chunk_that_is_larger_than_all_is_not_kept_and_one_is_kept_once() {
        let kept = KeptChunks::default();
        kept.add(&id(1), &Arc::from(vec![0; MOST + 1]));
        assert!(kept.get(&id(1)).is_none());
        for _ in 0..3 {
            kept.add(&id(2), &Arc::from(vec![0; 10]));
        }
        assert_eq!(kept.held().bytes, 10);
    }
}
