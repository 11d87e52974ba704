//! What this machine keeps of a repository so that opening it again takes few requests: the folded log as it was last read, which
//! key slot opened, and the roots of snapshots. It lies in the cache folder. What is read from here is compared with the storage
//! or with its own hash, so that what is wrong, old or gone costs time only. Each file is replaced as a whole, so any
//! number of processes may share them.

use std::collections::HashMap;
use std::path::PathBuf;

use super::entries::SHORT;
use super::{Repository, State, checkpoint, remembered};
use crate::chunk::ChunkSource;
use crate::crypto::Envelope;
use crate::crypto::slot::MAX_SLOT;
use crate::error::Result;
use crate::id::{ChunkId, KeyId};
use crate::storage::{Kind, Name};
use crate::wire::{Reader, Write};

const VERSION: u8 = 1;
/// What the envelopes of these files are made for: no object is called so.
const LOG: &str = "local log";
const ROOTS: &str = "local roots";
/// How many bytes of roots are kept.
const MOST: usize = 64 << 20;
/// How many roots are read from the storage at once.
const AT_ONCE: usize = 512;

/// The files of one repository.
#[derive(Debug, Clone)]
pub(super) struct LocalCopies {
    folder: PathBuf,
}

/// The log as it was last read.
#[derive(Debug, Clone)]
pub(super) struct LocalLog {
    /// The key slot that opened the repository.
    pub(super) key: Option<KeyId>,
    /// The number of the last entry.
    pub(super) number: u64,
    sealed: Vec<u8>,
}

impl LocalLog {
    /// The state that the log came to, if this opens with these keys. Whether the log holds that entry is to be asked.
    pub(super) fn state(&self, envelope: &Envelope) -> Option<State> {
        checkpoint::open(envelope, self.number, LOG, &self.sealed)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u8().ok()? != VERSION {
            return None;
        }
        let has_key = reader.u8().ok()? == 1;
        let key = KeyId::new(reader.array().ok()?);
        let number = reader.u64().ok()?;
        Some(Self { key: has_key.then_some(key), number, sealed: reader.rest().to_vec() })
    }
}

impl LocalCopies {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The log as it was last read here.
    pub(super) fn log(&self) -> Option<LocalLog> {
        LocalLog::decode(&self.read("log")?)
    }

    fn read(&self, file: &str) -> Option<Vec<u8>> {
        let path = self.folder.join(file);
        let is_sane = std::fs::metadata(&path).is_ok_and(|found| found.len() <= 2 * MOST as u64);
        if is_sane { std::fs::read(path).ok() } else { None }
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        // Losing it costs time.
        let _ = remembered::replace(&self.folder.join(file), bytes);
    }
}

impl Repository {
    /// Keeps the folded log, and which slot opened it, for the next time.
    pub(super) fn keep_log(&self, key: Option<KeyId>) {
        let (Some(local), None) = (&self.local, &self.rolled_back) else { return };
        let state = self.lock_state().clone();
        let Some((number, _)) = state.head_entry() else { return };
        let before = local.log();
        if before.is_some_and(|before| (before.number, before.key) == (number, key)) {
            return;
        }
        let Some(sealed) = checkpoint::seal(&self.envelope, &*self.entropy, LOG, &state) else { return };
        let mut bytes = vec![VERSION, u8::from(key.is_some())];
        bytes.put(key.unwrap_or(KeyId::new([0; KeyId::LEN])).as_bytes());
        bytes.put_u64(number);
        bytes.put(&sealed);
        local.write("log", &bytes);
    }

    /// The chunks that hold the roots of snapshots, in this order. Those that this machine does not have are read at once, and
    /// kept.
    pub fn roots(&self, chunks: &[ChunkId]) -> Vec<Result<std::sync::Arc<[u8]>>> {
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
        let mut failed: HashMap<ChunkId, Result<std::sync::Arc<[u8]>>> = read.into_iter().collect();
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
            let sealed = self.local.as_ref()?.read("roots")?;
            let body = self.envelope.open(Kind::Checkpoint, ROOTS, &sealed).ok()?;
            let (mut reader, mut kept) = (Reader::new(&body), HashMap::new());
            for _ in 0..reader.count(ChunkId::LEN + 1).ok()? {
                let id = ChunkId::new(reader.array().ok()?);
                kept.insert(id, reader.string().ok()?.to_vec());
            }
            Some(kept)
        };
        let hasher = self.hasher();
        let mut kept: HashMap<ChunkId, Vec<u8>> = read().unwrap_or_default();
        kept.retain(|id, bytes| hasher.id(bytes) == *id);
        kept
    }

    /// Keeps the roots of the snapshots that there are.
    fn keep_roots(&self, roots: &HashMap<ChunkId, Vec<u8>>) {
        let (Some(local), None) = (&self.local, &self.rolled_back) else { return };
        let state = self.lock_state().clone();
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
        if let Ok(sealed) = self.envelope.seal(&*self.entropy, Kind::Checkpoint, ROOTS, &all) {
            local.write("roots", &sealed);
        }
    }
}

impl LocalLog {
    /// The key slot that opened last time, the last entry that was read, and two names after it, by which the end of the log
    /// is known: what is needed to go on from here, to be read at once. Mostly there is no more, and each name that is not
    /// there costs a request. If there is more, it is read [`Entries::STRIDE_ON`](super::entries::Entries::STRIDE_ON)
    /// entries at a time.
    pub(super) fn wanted(&self) -> Vec<(Name, u64)> {
        const AHEAD: u64 = 3;
        let entries = (self.number..self.number.saturating_add(AHEAD)).map(|number| (Name::log(number), SHORT));
        let slot = self.key.map(|key| (Name::new(Kind::Key, key), MAX_SLOT));
        slot.into_iter().chain(entries).collect()
    }
}
