//! The commit log: what was said about a repository, in the order in which it was said.
//!
//! *A snapshot exists exactly when its entry exists.* The state of a repository is the fold of its log, and nothing else
//! decides what counts. So this room is the only one that appends: there is one method for each kind of entry, and the rule
//! under which such an entry is safe stands in [`rules`](self) beside those of all others. What a rule has to know of the
//! rest of the repository, its caller supplies for the very state that the entry follows.

mod append;
mod begin;
mod broken;
mod checkpoint;
mod clock;
mod encoding;
mod entries;
mod entry;
mod features;
mod history;
mod local;
mod opening;
mod reading;
mod remembered;
mod rollback;
mod rules;
mod settings;
mod standing;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

pub use append::Appended;
pub use broken::LogDamage;
pub(crate) use checkpoint::EVERY as CHECKPOINT_EVERY;
pub use clock::{Clock, SystemClock};
pub use entry::{Body, LogEntry, MAX_ENTRY, ReplaceReason, RootReplacement, kind};
pub use features::Features;
pub use history::{History, PastReplacement};
pub use rules::{Addition, Collection, Condemnation, Follower, Foundation, LostFrames, NewRoots};
pub use settings::{Compression, Settings};
pub use standing::{Damage, Retired, SharedStanding, Standing, Worth};
pub use state::{RemovedSnapshot, SnapshotRecord, State};

pub(crate) use begin::{Beginning, NewLog};
pub(crate) use local::LocalCopies;
pub(crate) use opening::{Opening, ReadLog};
pub(crate) use remembered::replace as replace_file;

use crate::crypto::{Entropy, Envelope};
use crate::error::{Error, Result};
use crate::id::RepositoryId;
use crate::runtime::Runtime;
use crate::storage::{Backend, Kind, Name, batch};
use entries::Entries;

/// For how long, in nanoseconds, what was read on opening is as good as read now.
const SOON: i64 = 30_000_000_000;

/// How many of the last entries are looked for by one listing. A listing has some 300 bytes for each on S3.
const LOOKED_BACK: u64 = 64;

/// How many hashes of entries are kept.
const RECENT: usize = 256;

/// The log of an open repository, as far as it was read.
pub struct Log {
    backend: Arc<dyn Backend>,
    /// Another one after the keys were rotated.
    envelope: RwLock<Arc<Envelope>>,
    entropy: Arc<dyn Entropy>,
    clock: Arc<dyn Clock>,
    runtime: Runtime,
    /// Those that the config names.
    features: Features,
    /// The log is older than what this machine has seen, or another one, and is only read.
    rolled_back: Option<String>,
    /// Swapped as a whole: a decision goes by the one that it began with.
    state: RwLock<Arc<State>>,
    /// Held while the log is read on, and while what was appended is taken in.
    folding: Mutex<()>,
    standing: SharedStanding,
    /// Where the head is remembered.
    remembered: Option<PathBuf>,
    /// Where this machine keeps what it has read.
    local: Option<LocalCopies>,
    keeping: Mutex<local::Keeping>,
    /// When it was opened, until something was begun by what was read then.
    opened: Mutex<Option<i64>>,
    /// How many entries the last checkpoint stands for that this process read or wrote; 0 if none.
    checkpoint: AtomicU64,
    /// After how many entries a checkpoint is written.
    checkpoint_every: AtomicU64,
    /// Hashes of entries that were read lately.
    recent: Mutex<BTreeMap<u64, [u8; 32]>>,
    /// It was not looked yet whether entries lie beyond the end of the log.
    may_have_gap: AtomicBool,
}

/// What a log lies in, and is opened with.
pub(crate) struct Surroundings {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) envelope: Envelope,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runtime: Runtime,
    pub(crate) features: Features,
    pub(crate) rolled_back: Option<String>,
    pub(crate) remembered: Option<PathBuf>,
    pub(crate) local: Option<LocalCopies>,
}

impl Log {
    pub(crate) fn new(read: ReadLog, around: Surroundings) -> Self {
        let ReadLog { state, skipped, mut hashes, may_have_gap } = read;
        hashes.extend(state.head_entry());
        Self {
            backend: around.backend,
            envelope: RwLock::new(Arc::new(around.envelope)),
            entropy: around.entropy,
            clock: around.clock,
            runtime: around.runtime,
            features: around.features,
            rolled_back: around.rolled_back,
            standing: SharedStanding::new(state.standing.clone()),
            state: RwLock::new(state),
            folding: Mutex::default(),
            remembered: around.remembered,
            local: around.local,
            keeping: Mutex::default(),
            opened: Mutex::default(),
            checkpoint: AtomicU64::new(skipped),
            checkpoint_every: AtomicU64::new(checkpoint::EVERY),
            recent: Mutex::new(hashes),
            may_have_gap: AtomicBool::new(may_have_gap),
        }
    }

    /// The repository whose log it is.
    pub fn repository(&self) -> RepositoryId {
        self.envelope().repository()
    }

    /// Where it lies.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// What time it is.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Where random bytes come from.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    /// What the work on the repository runs on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What small objects of the repository are sealed in, with its keys.
    pub fn envelope(&self) -> Arc<Envelope> {
        self.envelope.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on entries are sealed in another envelope: the keys were rotated.
    pub(crate) fn set_envelope(&self, envelope: Envelope) {
        *self.envelope.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(envelope);
    }

    /// What it says, as far as it was read.
    pub fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What does not count any more, as of the last entry that was read; follows it.
    pub fn shared_standing(&self) -> &SharedStanding {
        &self.standing
    }

    /// What does not count any more.
    pub fn standing(&self) -> Arc<Standing> {
        self.state().standing.clone()
    }

    /// How many entries were read.
    pub fn length(&self) -> u64 {
        self.state().next
    }

    /// How it differs from what this machine has seen of it, where it was opened all the same.
    pub fn rolled_back(&self) -> Option<&str> {
        self.rolled_back.as_deref()
    }

    /// All features that are needed to deal with the repository.
    pub fn features(&self) -> Features {
        self.features.union(self.state().features)
    }

    /// Changes after how many entries a checkpoint is written.
    pub(crate) fn set_checkpoint_every(&self, entries: u64) {
        self.checkpoint_every.store(entries, Ordering::Relaxed);
    }

    /// Where the head is remembered, if it is.
    pub(crate) fn remembered(&self) -> Option<&Path> {
        self.remembered.as_deref()
    }

    /// Where this machine keeps what it has read, if it does. Nothing of a rolled-back log gets there.
    pub(crate) fn local(&self) -> Option<&LocalCopies> {
        self.local.as_ref()
    }

    /// Reads the entries that were added since.
    ///
    /// # Errors
    /// Errors of reading it; what was read before is taken in all the same.
    pub fn refresh(&self) -> Result<()> {
        let _folding = self.fold();
        let mut state = self.state();
        let read = reading::read_on(&mut Entries::new(&*self.backend), &self.envelope(), &mut state);
        // Also what was read before something went wrong.
        self.swap(state);
        read
    }

    /// From now on what was read on opening serves the first work that begins soon.
    pub(crate) fn set_opened(&self) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.now());
    }

    /// Whether the log was read to its end just now, by opening the repository: true once at most. It saves requests and
    /// decides nothing: what another process appended since is met by the create of the next entry.
    pub(crate) fn take_opened(&self) -> bool {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        opened.is_some_and(|opened| (0..SOON).contains(&self.clock.now().saturating_sub(opened)))
    }

    fn fold(&self) -> MutexGuard<'_, ()> {
        self.folding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this is the state. To be called with the lock of [`fold`](Log::fold) held.
    fn swap(&self, state: Arc<State>) {
        self.standing.set(state.standing.clone());
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Makes sure that it lasts as far as it was read: the writer of its last entry may be about to make it durable, or have
    /// died before. To be called before anything is deleted, or anything is reported as done, because
    /// of what the log says; an entry that is appended makes sure of those before it.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails.
    pub fn settle(&self) -> Result<()> {
        let Some(last) = self.length().checked_sub(1) else { return Ok(()) };
        Ok(self.backend.settle(&Name::log(last))?)
    }

    /// When the storage took in the last entry that was read, by its own clock, where it says so. Not later than now.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails.
    pub fn modified(&self) -> Result<Option<i64>> {
        let last = self.length().saturating_sub(1);
        Ok(self.backend.head(&Name::log(last))?.and_then(|meta| meta.modified))
    }

    /// What is wrong with it as a whole: entries that are there after one that is lost. This machine may know what the lost one
    /// said, but no other one can read on from there.
    ///
    /// # Errors
    /// Errors of listing and reading it.
    pub fn gap(&self) -> Result<Option<Error>> {
        let known = self.length();
        let first = known.saturating_sub(LOOKED_BACK);
        let before = first.checked_sub(1).map(Name::log);
        let listed = batch::list_after(&*self.backend, Kind::Log, before.as_ref())?.into_iter();
        let listed: BTreeSet<u64> =
            listed.filter_map(|(name, _)| name.sequence().filter(|sequence| *sequence >= first)).collect();
        let gap = |lost: u64, after: usize| {
            Error::damaged(Name::log(lost), format!("it is gone, and {after} entries that come after it are there"))
        };
        for number in (first..known).filter(|number| !listed.contains(number)) {
            let after = listed.range(number..).count();
            // A listing may be old.
            if after > 0 && self.backend.head(&Name::log(number))?.is_none() {
                return Ok(Some(gap(number, after)));
            }
        }
        if listed.range(known..).next().is_none() {
            return Ok(None);
        }
        // What others appended meanwhile is no gap.
        self.refresh()?;
        let end = self.length();
        let after = listed.range(end..).count();
        Ok((after > 0).then(|| gap(end, after)))
    }

    /// The same, where the listing by which the log was read on opening did not show that there is no gap.
    ///
    /// # Errors
    /// As of [`gap`](Log::gap).
    pub(crate) fn gap_on_opening(&self) -> Result<Option<Error>> {
        if self.may_have_gap.swap(false, Ordering::Relaxed) { self.gap() } else { Ok(None) }
    }

    /// Remembers the head, so that a repository that goes back to an older state is noticed.
    pub(crate) fn remember(&self) {
        if let (Some(path), Some(head), None) = (&self.remembered, self.state().head_entry(), &self.rolled_back) {
            // Losing this costs an alarm, not data.
            let _ = remembered::write(path, head);
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log({} at {})", self.repository(), self.backend.location())
    }
}
