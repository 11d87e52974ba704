//! The roots of snapshots that this machine keeps, so that listing snapshots takes few requests. They lie in the cache folder,
//! beside what is kept of the log. Each is compared with its id, so that what is wrong, old or gone costs time only.

use std::collections::HashMap;
use std::sync::Arc;

use super::ChunkReader;
use crate::chunk::ChunkSource;
use crate::error::Result;
use crate::id::ChunkId;
use crate::storage::Kind;
use crate::wire::{Reader, Write};

/// What the envelope of the file is made for: no object is called so.
const ROOTS: &str = "local roots";
/// How many bytes of roots are kept.
const MOST: usize = 64 << 20;
/// How many roots are read from the storage at once.
const AT_ONCE: usize = 512;

impl ChunkReader {
    /// The chunks that hold the roots of snapshots, in this order. Those that this machine does not have are read at once, and
    /// kept.
    pub fn roots(&self, chunks: &[ChunkId]) -> Vec<Result<Arc<[u8]>>> {
        let mut kept = self.kept_roots();
        let missing: Vec<ChunkId> = chunks.iter().filter(|id| !kept.contains_key(*id)).copied().collect();
        let mut is_new = false;
        let mut read = Vec::with_capacity(chunks.len());
        for portion in missing.chunks(AT_ONCE) {
            self.prefetch_chunks(portion);
            for id in portion {
                let got = self.get(id);
                if let Ok(bytes) = &got {
                    kept.insert(*id, bytes.to_vec());
                    is_new = true;
                } else {
                    read.push((*id, got));
                }
            }
        }
        let mut failed: HashMap<ChunkId, Result<Arc<[u8]>>> = read.into_iter().collect();
        let found = chunks.iter().map(|id| match kept.get(id) {
            Some(bytes) => Ok(bytes.as_slice().into()),
            None => failed.remove(id).unwrap_or_else(|| self.get(id)),
        });
        let found = found.collect();
        if is_new {
            self.keep_roots(&kept);
        }
        found
    }

    /// The roots that this machine has, each compared with its id.
    fn kept_roots(&self) -> HashMap<ChunkId, Vec<u8>> {
        let read = || {
            let sealed = self.log.local()?.read("roots")?;
            let body = self.log.envelope().open(Kind::Checkpoint, ROOTS, &sealed).ok()?;
            let (mut reader, mut kept) = (Reader::new(&body), HashMap::new());
            for _ in 0..reader.count(ChunkId::LEN + 1).ok()? {
                let id = ChunkId::new(reader.array().ok()?);
                kept.insert(id, reader.string().ok()?.to_vec());
            }
            Some(kept)
        };
        let hasher = &self.hasher;
        let mut kept: HashMap<ChunkId, Vec<u8>> = read().unwrap_or_default();
        kept.retain(|id, bytes| hasher.id(bytes) == *id);
        kept
    }

    /// Keeps the roots of the snapshots that there are.
    fn keep_roots(&self, roots: &HashMap<ChunkId, Vec<u8>>) {
        let (Some(local), None) = (self.log.local(), self.log.rolled_back()) else { return };
        let state = self.log.state();
        let (mut body, mut count, mut bytes) = (Vec::new(), 0u64, 0);
        for record in state.snapshots.iter().rev() {
            let Some(root) = roots.get(&record.root) else { continue };
            bytes += root.len();
            if bytes > MOST {
                break;
            }
            body.put(record.root.as_bytes());
            body.put_string(root);
            count += 1;
        }
        let mut all = Vec::with_capacity(body.len() + 10);
        all.put_varint(count);
        all.put(&body);
        if let Ok(sealed) = self.log.envelope().seal(self.log.entropy(), Kind::Checkpoint, ROOTS, &all) {
            local.write("roots", &sealed);
        }
    }
}
