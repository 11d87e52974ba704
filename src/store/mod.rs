//! The repository as a whole: config, keys, log, packs and index, and what is always true of them together.
//!
//! *A snapshot exists exactly when its log entry exists*; that entry is written last, after every pack and index object
//! that it rests on is durable. So there is nothing to repair after a crash, only garbage to ignore.
//!
//! A [`Repository`] is a narrow face over parts, each of which knows only those before it: the log (a room of its own), the
//! packs as objects ([`Packs`]), which of them holds what ([`Catalog`]), reading chunks ([`ChunkReader`]). Beside them stand
//! the key slots ([`Keys`]) and the config ([`KeptConfig`]).

mod attest;
mod away;
mod catalog;
mod closure;
mod config;
mod config_copies;
mod config_search;
mod create;
mod directories;
mod epochs;
mod frame_cache;
mod inventory;
mod kept;
mod kept_roots;
mod key_export;
mod keys;
mod numbers;
mod objects;
mod open;
mod packs;
mod parity;
pub mod passwords;
mod prefetch;
mod reach;
mod reader;
mod recover;
mod replace;
mod rescue;
mod roots;
mod rotate;
mod runs;
mod sound;
mod tried;
mod unlock;
mod verified;
mod walk;
mod windows;
mod writer;

use std::sync::Arc;

pub use attest::Attestation;
pub use away::looks_away;
pub use catalog::Catalog;
pub use closure::{Derivation, Place, derive};
pub use config::Config;
pub use config_copies::KeptConfig;
pub use config_search::{ConfigSearch, LostConfig, write_config};
pub use create::{InitOptions, InitReport, init};
pub use directories::ReadDirectories;
pub use inventory::{Inventory, InventoryFrame, InventoryPack};
pub use keys::{KeyDescription, Keys};
pub use numbers::{ChunkNumber, ChunkSet, FrameNumber, PackNumber, PlaceNumber};
pub use objects::Objects;
pub use open::{CachePlace, OpenOptions, Unlock};
pub use packs::Packs;
pub use parity::ParityFound;
pub use reach::Reach;
pub use reader::{ChunkReader, FrameKey, FrameReader, Opened};
pub use recover::{RebuiltLog, add_found, rebuild_log};
pub use replace::{Replaced, check_settled, replace_by_found};
pub use rescue::Copies;
pub use roots::{Since, moved, read_root, read_roots, since, unless_any_moved, unless_moved};
pub use rotate::Rotated;
pub use runs::{Run, RunState, abandoned_parts, open_runs, remove_abandoned_parts};
pub use verified::VerifiedPacks;
pub use walk::{Met, Visitor, walk, walk_below};
pub use writer::{Committed, PackReport, Writer};

/// What the log says, for callers that have no business with the log itself.
pub use crate::log::{
    Addition, Clock, Compression, Features, History, LogDamage, PastReplacement, RemovedSnapshot, ReplaceReason,
    RootReplacement, Settings, SnapshotRecord, State, SystemClock,
};

use crate::chunk::{ChunkSource, CutParams};
use crate::crypto::Keyring;
use crate::error::Result;
use crate::hints::Hints;
use crate::id::{ChunkHasher, ChunkId, RepositoryId};
use crate::log::Log;
use crate::runtime::Runtime;
use crate::storage::Backend;

/// How often something is done again, because the log moved meanwhile, before what it finds is believed.
pub(crate) const ATTEMPTS: u32 = 8;

/// An open repository.
pub struct Repository {
    config: KeptConfig,
    log: Arc<Log>,
    keys: Keys,
    packs: Arc<Packs>,
    catalog: Arc<Catalog>,
    reader: ChunkReader,
    hints: Hints,
    sizes: Sizes,
}

/// How large things are made. No part of the format: readers take any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// When a pack is closed, in bytes.
    pub pack: usize,
    /// When a frame is closed, in plain bytes.
    pub frame: usize,
    /// After how many entries of the log a checkpoint is written.
    pub checkpoint: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            pack: crate::pack::PACK_TARGET,
            frame: crate::pack::FRAME_TARGET,
            checkpoint: crate::log::CHECKPOINT_EVERY,
        }
    }
}

impl Repository {
    /// The repository's id.
    pub fn id(&self) -> RepositoryId {
        self.config.repository
    }

    /// What never changes about it.
    pub fn config(&self) -> &KeptConfig {
        &self.config
    }

    /// How streams are cut in it.
    pub fn cut_params(&self) -> CutParams {
        self.config.cut
    }

    /// Whether what is stored is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.log.envelope().encrypts()
    }

    /// What names its chunks.
    pub fn hasher(&self) -> ChunkHasher {
        hasher_of(self.log.envelope().keyring())
    }

    /// Where it lies.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        self.log.backend()
    }

    /// Whether it lies where a few large requests are quicker than many small ones: beyond a network, not on a disk.
    pub(crate) fn is_far(&self) -> bool {
        self.reader.packs.is_far()
    }

    /// What the work on it runs on.
    pub fn runtime(&self) -> &Runtime {
        self.log.runtime()
    }

    /// What was said about it: snapshots, what is damaged or condemned, settings.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What the log says, as far as it was read.
    pub fn state(&self) -> Arc<State> {
        self.log.state()
    }

    /// The settings that all writers into it use, unless options say otherwise.
    pub fn settings(&self) -> Settings {
        self.log.state().settings.clone()
    }

    /// Its key slots.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Its packs as objects of the storage.
    pub fn packs(&self) -> &Packs {
        &self.packs
    }

    /// Which pack holds what.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Reads its chunks.
    pub fn reader(&self) -> &ChunkReader {
        &self.reader
    }

    /// What this machine remembers of earlier runs.
    pub fn hints(&self) -> &Hints {
        &self.hints
    }

    /// How large packs and frames are made.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Changes how large packs and frames are made through this value. Small ones make much of little data.
    pub fn set_sizes(&mut self, sizes: Sizes) {
        self.log.set_checkpoint_every(sizes.checkpoint);
        self.sizes = sizes;
    }
}

impl ChunkSource for Repository {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        self.reader.get(id)
    }

    /// Reads them at once where the storage is far away.
    fn will_need_all(&self, ids: &[ChunkId]) {
        if self.is_far() {
            self.reader.prefetch_chunks(ids);
        }
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({} at {})", self.id(), self.backend().location())
    }
}

fn hasher_of(keyring: Option<&Keyring>) -> ChunkHasher {
    match keyring {
        Some(keyring) => ChunkHasher::keyed(keyring.chunk_id_key.expose()),
        None => ChunkHasher::open(),
    }
}
