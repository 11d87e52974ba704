//! The store as a whole: config, keys, log, packs and index, and what is always true of them together.
//!
//! *A snapshot exists exactly when its log entry exists*; that entry is written last, after every pack and index object
//! that it rests on is durable. So there is nothing to repair after a crash, only garbage to ignore.

mod away;
mod batch;
mod bits;
mod catalogue;
mod checkpoint;
mod clock;
mod closure;
mod config;
mod config_copies;
mod config_search;
mod create;
mod directories;
mod entries;
mod epochs;
mod frame_cache;
mod history;
mod kept;
mod keys;
mod local;
pub mod log;
mod objects;
mod open;
mod parity;
pub mod passwords;
mod reach;
mod reader;
mod recover;
mod remembered;
mod removal;
mod replace;
mod rescue;
mod roots;
mod rotate;
mod settings;
mod sound;
mod state;
mod tags;
mod unlock;
mod verified;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use away::looks_away;
pub use bits::Bits;
pub use catalogue::{Catalogue, CataloguedFrame, CataloguedPack};
pub use clock::{Clock, SystemClock};
pub use closure::{Derivation, Place, derive};
pub use config::{Config, Features};
pub use config_search::{ConfigSearch, LostConfig, write_config};
pub use create::{InitOptions, InitReport, init};
pub use directories::ReadDirectories;
pub use history::{History, PastReplacement};
pub use keys::KeyDescription;
pub use objects::Objects;
pub use open::{CachePlace, OpenOptions, Unlock};
pub use parity::ParityFound;
pub use reach::Reach;
pub use reader::{FrameKey, FrameReader, Opened};
pub use recover::{LogDamage, RebuiltLog};
pub use replace::Replaced;
pub use rescue::Copies;
pub use roots::{Since, moved, read_root, read_roots, since, unless_any_moved, unless_moved};
pub use rotate::Rotated;
pub use settings::{Compression, Settings};
pub use state::{RemovedSnapshot, SnapshotRecord, State};
pub use verified::VerifiedPacks;
pub use writer::{Committed, PackReport, Writer};

use crate::chunk::CutParams;
use crate::crypto::{Entropy, Envelope, Keyring, epoch_of};
use crate::error::{Context, Error, Result};
use crate::hints::Hints;
use crate::id::{ChunkHasher, EntryHash, RepositoryId, digest};
use crate::index::Index;
use crate::runtime::Runtime;
use crate::storage::{Backend, Created, Kind, Name, StorageErrorKind, create_resolved};
use entries::Entries;
use log::{Body, LogEntry};

/// How often something is done again, because the log moved meanwhile, before what it finds is believed.
pub(crate) const ATTEMPTS: u32 = 8;

/// An open repository.
pub struct Repository {
    backend: Arc<dyn Backend>,
    config: Config,
    config_trouble: Option<Error>,
    /// The log is behind what this machine has seen, or beside it, and is only read.
    rolled_back: Option<String>,
    keyring: Option<Keyring>,
    envelope: Envelope,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    runtime: Runtime,
    state: Mutex<State>,
    index: Index,
    hints: Hints,
    remembered: Option<PathBuf>,
    frames: frame_cache::FrameCache,
    kept: kept::KeptChunks,
    mending: parity::Mending,
    /// The local index was made anew since the repository was opened.
    rebuilt: Mutex<bool>,
    /// How many entries the last checkpoint stands for that this process read or wrote; 0 if none.
    checkpoint: AtomicU64,
    /// The last entry that condemned or damaged anything, as of which the condemned packs are in the local index.
    recalled: Mutex<u64>,
    sizes: Sizes,
    /// Where this machine keeps what it has read.
    local: Option<local::LocalCopies>,
    /// Hashes of entries that were read lately.
    recent: Mutex<BTreeMap<u64, [u8; 32]>>,
    /// Nobody has looked yet whether entries lie beyond the end of the log.
    may_have_gap: AtomicBool,
}

/// How many hashes of entries are kept.
const RECENT: usize = 256;

/// An entry that was appended to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub sequence: u64,
    /// How many bytes it takes in the repository.
    pub bytes: u64,
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
        Self { pack: crate::pack::PACK_TARGET, frame: crate::pack::FRAME_TARGET, checkpoint: checkpoint::EVERY }
    }
}

impl Repository {
    /// Its name.
    pub fn id(&self) -> RepositoryId {
        self.config.repository
    }

    /// What never changes about it.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How streams are cut in it.
    pub fn cut_params(&self) -> CutParams {
        self.config.cut
    }

    /// Where it lies.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// What time it is.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// What the work on it runs on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Where random bytes come from.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// The secrets, where it has any.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    /// What names its chunks.
    pub fn hasher(&self) -> ChunkHasher {
        hasher_of(self.keyring.as_ref())
    }

    /// Whether what is stored is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.keyring.is_some()
    }

    /// How large packs and frames are made.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Changes how large packs and frames are made through this value. Small ones make much of little data.
    pub fn set_sizes(&mut self, sizes: Sizes) {
        self.sizes = sizes;
    }

    /// The local index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What this machine remembers of earlier runs.
    pub fn hints(&self) -> &Hints {
        &self.hints
    }

    /// What the log says, as far as it was read.
    pub fn state(&self) -> State {
        self.lock_state().clone()
    }

    /// What does not count any more, as the log has it.
    pub fn standing(&self) -> Arc<crate::index::Standing> {
        self.lock_state().standing.clone()
    }

    /// How many entries of the log were read.
    pub fn log_length(&self) -> u64 {
        self.lock_state().next
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the entries that were added to the log since.
    pub fn refresh(&self) -> Result<()> {
        let mut state = self.lock_state();
        let read = read_log(&mut Entries::new(&*self.backend), &self.envelope, &mut state);
        // Also what was read before something went wrong.
        self.index.set_standing(state.standing.clone());
        read
    }

    /// Reads what was added to the log since, and the index objects that are new with it. True if there was anything.
    pub fn refresh_index(&self) -> Result<bool> {
        self.refresh()?;
        let is_new = self.index.head() != self.lock_state().head_entry();
        if is_new {
            self.update_index()?;
        }
        Ok(is_new)
    }

    /// Reads what was added to the log, and says whether it goes on behind this state of it. Who finds something missing
    /// asks this before saying so: a prune may have moved it, or somebody may have removed the snapshot that needed it.
    ///
    /// # Errors
    /// Those of reading the log, and of the local index.
    pub fn has_moved(&self, since: &State) -> Result<bool> {
        self.refresh_index()?;
        Ok(self.lock_state().next != since.next)
    }

    /// Does something that reads. If it finds something missing or damaged and the log has moved meanwhile, it is done
    /// again, a few times at most: who reads for a while beside those who write must not take for lost what was moved.
    ///
    /// # Errors
    /// Those of `work`, and of reading the log.
    pub fn settled<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let before = self.state();
            match work() {
                Err(error)
                    if (error.is_damage() || matches!(error, Error::Cache { .. })) && self.has_moved(&before)? => {}
                done => return done,
            }
        }
        work()
    }

    /// What is wrong with the log as a whole: entries that are there behind one that is lost, and so are not read.
    pub fn log_gap(&self) -> Result<Option<Error>> {
        let beyond = |end: u64| -> Result<Vec<u64>> {
            let after = end.checked_sub(1).map(Name::log);
            let listed = batch::list_after(&*self.backend, Kind::Log, after.as_ref())?.into_iter();
            Ok(listed.filter_map(|(name, _)| name.sequence().filter(|sequence| *sequence >= end)).collect())
        };
        let end = self.lock_state().next;
        let listed = beyond(end)?;
        if listed.is_empty() {
            return Ok(None);
        }
        // What others appended meanwhile is no gap.
        self.refresh()?;
        let end = self.lock_state().next;
        let behind = listed.iter().filter(|sequence| **sequence >= end).count();
        let gap =
            || Error::damaged(Name::log(end), format!("it is gone, and {behind} entries that come after it are there"));
        Ok((behind > 0).then(gap))
    }

    /// Appends to the log, after whatever others appended meanwhile. `body` is made from the state that it follows.
    fn append(&self, mut body: impl FnMut(&State) -> Result<Body>) -> Result<Appended> {
        let appended = self.append_checked(|state| body(state).map(Some))?;
        appended.ok_or_else(|| Error::Invalid("nothing was appended to the log".into()))
    }

    /// Makes sure that the log lasts as far as it was read: whoever appended its last entry may be about to make it durable,
    /// or have died before. To be called before anything is deleted, or somebody is told that something is
    /// done, because of what the log says; an entry that is appended makes sure of those before it.
    pub fn settle_log(&self) -> Result<()> {
        let Some(last) = self.lock_state().next.checked_sub(1) else { return Ok(()) };
        Ok(self.backend.settle(&Name::log(last))?)
    }

    /// Appends an entry to the log. `body` is made from the very state that the entry follows, so
    /// it is asked again each time that somebody else was faster; it may read and store meanwhile. Where it gives none,
    /// nothing is appended, and the log lasts as far as it was read.
    pub fn append_checked(&self, mut body: impl FnMut(&State) -> Result<Option<Body>>) -> Result<Option<Appended>> {
        // What was read since the work was to end may lack something: nothing is decided by it.
        self.runtime.go_on()?;
        let transaction = self.entropy.array()?;
        loop {
            // Not held while `body` works: it may read chunks, and store some.
            let state = self.state();
            let body = match body(&state) {
                // What somebody appended meanwhile may be why: then the same is asked of the log as it is now.
                Err(error) if error.is_damage() && self.has_moved(&state)? => continue,
                body => body?,
            };
            let Some(body) = body else { return self.settle_log().map(|()| None) };
            let entry = LogEntry {
                sequence: state.next,
                previous: state.head,
                transaction,
                time: self.clock.now(),
                writer: writer_name(),
                body,
            };
            let frees = entry.body.frees_room();
            let name = Name::log(state.next);
            let (text, body) = (name.to_string(), entry.encode());
            let bytes = self.envelope.seal_in(state.epoch, &*self.entropy, Kind::Log, &text, &body)?;
            if bytes.len() as u64 > log::MAX_ENTRY {
                // Nobody could read the log any more.
                return Err(Error::Invalid(format!("an entry of the log would have {} bytes, too many", bytes.len())));
            }
            let appended = Appended { sequence: entry.sequence, bytes: bytes.len() as u64 };
            match self.create_entry(&name, &bytes, frees)? {
                Created::New => {
                    self.take_in(&entry, EntryHash::new(digest(&bytes)))?;
                    self.checkpoint_after(entry.sequence);
                    return Ok(Some(appended));
                }
                Created::Exists => {
                    // Who rotates the keys cannot read on behind the own entry yet.
                    let refreshed = self.refresh();
                    // A storage may have taken the entry and failed to say so, then answered a repetition of its own
                    // request: what stands there is ours.
                    match self.backend.read(&name, log::MAX_ENTRY) {
                        Ok(found) if found == bytes => {
                            self.take_in(&entry, EntryHash::new(digest(&bytes)))?;
                            return Ok(Some(appended));
                        }
                        Ok(_) => refreshed?,
                        Err(error) if error.kind() == StorageErrorKind::NotFound => refreshed?,
                        // Whoever cannot look must not take it for another's and append the same once more: a log that
                        // adds a snapshot twice can be read by nobody.
                        Err(error) => return Err(error.into()),
                    }
                    if self.lock_state().next == entry.sequence {
                        // The slot is taken, and yet there is nothing in it: a name without an object.
                        return Err(Error::damaged(name, "it can be neither read nor created"));
                    }
                }
            }
        }
    }

    /// Creates an entry; for one that `frees` room there is some kept back.
    fn create_entry(&self, name: &Name, bytes: &[u8], frees: bool) -> Result<Created> {
        loop {
            match create_resolved(&*self.backend, name, bytes) {
                Err(error) if frees && error.kind() == StorageErrorKind::NoSpace && self.backend.use_reserve()? => {}
                created => return Ok(created?),
            }
        }
    }

    /// Folds an entry that this process has just appended, unless another thread has read it already.
    fn take_in(&self, entry: &LogEntry, hash: EntryHash) -> Result<()> {
        let mut state = self.lock_state();
        if state.next == entry.sequence {
            state.apply(entry, hash)?;
            self.index.set_standing(state.standing.clone());
        }
        self.remember(&state);
        Ok(())
    }

    /// Remembers the head of the log, so that a repository that goes back to an older state is noticed.
    fn remember(&self, state: &State) {
        if let (Some(path), Some(head), None) = (&self.remembered, state.head_entry(), &self.rolled_back) {
            // Losing this costs an alarm, not data.
            let _ = remembered::write(path, head);
        }
    }

    /// Creates an object; where the storage says that the outcome is not known, reads back what is there to learn it.
    pub fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        Ok(create_resolved(&*self.backend, name, bytes)?)
    }

    /// Writes an index object for these packs and takes it into the local index. Gives its name and length.
    pub fn publish_index(&self, packs: &[crate::pack::PackInfo]) -> Result<(crate::id::IndexId, u64)> {
        let body = crate::index::encode_object(packs);
        let bytes = self.envelope.seal(&*self.entropy, Kind::Index, "", &body)?;
        let id = crate::id::IndexId::new(digest(&bytes));
        create_resolved(&*self.backend, &Name::new(Kind::Index, id), &bytes)?;
        self.with_index(|index| index.insert_object(&id, packs))?;
        Ok((id, bytes.len() as u64))
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({} at {})", self.id(), self.backend.location())
    }
}

/// Reads the log from the state's head on, as far as it goes.
fn read_log(entries: &mut Entries<'_>, envelope: &Envelope, state: &mut State) -> Result<()> {
    let mut gap = None;
    loop {
        let Some(bytes) = entries.entry(state.next)? else {
            // Where an entry is lost, all after it would vanish unreported, and the next one would fork the log.
            // One look behind the end finds that out; `check` lists the log and finds any gap.
            if entries.entry(state.next.saturating_add(1))?.is_none() {
                return Ok(());
            }
            // Or somebody appended two entries just now: then it is there when it is read again.
            if gap == Some(state.next) {
                return Err(Error::ObjectMissing { name: Name::log(state.next) });
            }
            gap = Some(state.next);
            entries.forget_missing();
            continue;
        };
        let entry = next_entry(envelope, state, &bytes)?;
        state.apply(&entry, EntryHash::new(digest(&bytes)))?;
    }
}

/// Opens the entry that follows a state, and makes sure that it may stand there. It is not taken in.
fn next_entry(envelope: &Envelope, state: &State, bytes: &[u8]) -> Result<LogEntry> {
    let name = Name::log(state.next);
    let (epoch, entry) = open_entry(envelope, &name, bytes)?;
    if epoch != state.epoch {
        // Whoever has the keys of an older epoch only must not append.
        let reason = format!("it is sealed under the key of epoch {epoch}, where the log is in epoch {}", state.epoch);
        return Err(Error::damaged(name, reason));
    }
    if let Body::KeyRotate { epoch, commitment, .. } = &entry.body {
        state.check_follows(&entry)?;
        match (envelope.encrypts(), envelope.holds(*epoch, commitment)) {
            (true, true) => {}
            (true, false) => {
                return Err(Error::KeysRotated { repository: envelope.repository(), rotation: *epoch });
            }
            (false, _) => return Err(Error::damaged(name, "it rotates the keys of a repository that has none")),
        }
    }
    Ok(entry)
}

/// Opens an entry of the log, in whatever epoch; gives that as well.
fn open_entry(envelope: &Envelope, name: &Name, bytes: &[u8]) -> Result<(u32, LogEntry)> {
    let kind = Kind::Log;
    let epoch = epoch_of(kind, bytes).in_object(name)?;
    let body = envelope.open(kind, &name.to_string(), bytes).map_err(|error| Error::damaged(name, error))?;
    Ok((epoch, LogEntry::decode(&body).in_object(name)?))
}

fn hasher_of(keyring: Option<&Keyring>) -> ChunkHasher {
    match keyring {
        Some(keyring) => ChunkHasher::keyed(keyring.chunk_id_key.expose()),
        None => ChunkHasher::open(),
    }
}

/// Who writes an entry of the log, for people.
fn writer_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("snap {} on {host}, process {}", env!("CARGO_PKG_VERSION"), std::process::id())
}
