//! Opening a repository: config, keys, log, index.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::config::Features;
use super::config_copies::{self, FoundConfig};
use super::entries::Entries;
use super::local::LocalCopies;
use super::unlock::{Lock, Unlocked};
use super::{Clock, Repository, State, SystemClock, batch, frame_cache, remembered};
use crate::crypto::{Entropy, Envelope, Suite, SystemEntropy};
use crate::error::{Context, Error, Result};
use crate::hints::Hints;
use crate::id::{EntryHash, IndexId, PackId, digest};
use crate::index::{self, Index};
use crate::runtime::Runtime;
use crate::storage::{Backend, Kind, Name};
use crate::values;

/// What opens the key.
pub enum Unlock<'a> {
    /// Asks for a password, once it is known that one is needed.
    Password(&'a mut dyn FnMut() -> Result<Vec<u8>>),
    /// The text of a key export.
    Export(&'a str),
}

/// Where the local index is kept.
#[derive(Debug, Clone, Default)]
pub enum CachePlace {
    /// In a temporary file, for this process alone.
    #[default]
    Temporary,
    /// Below this folder, in one of its own for each repository.
    Folder(PathBuf),
}

/// How to open a repository.
#[derive(Clone)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Where the local index is kept.
    pub cache: CachePlace,
    /// Where the head of the log is remembered, below this folder; nowhere if none.
    pub state_folder: Option<PathBuf>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where random bytes come from.
    pub entropy: Arc<dyn Entropy>,
    /// What the work on the repository runs on.
    pub runtime: Runtime,
}

impl Default for OpenOptions {
    /// Remembers nothing on this machine, and works on all cores.
    fn default() -> Self {
        Self {
            cache: CachePlace::default(),
            state_folder: None,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            runtime: Runtime::default(),
        }
    }
}

impl OpenOptions {
    values::setters! {
        is cache: CachePlace;
        is state_folder: Option<PathBuf>;
        the clock: Arc<dyn Clock>;
        the entropy: Arc<dyn Entropy>;
        the runtime: Runtime;
    }
}

impl Repository {
    /// Opens a repository and brings the local index up to date.
    ///
    /// # Errors
    /// [`Error::NoRepository`], [`Error::WrongPassword`], [`Error::Unsupported`] for one of a newer version,
    /// [`Error::RolledBack`] where the log is not what was seen before, [`Error::Damaged`] and the backend's own.
    pub fn open(backend: Arc<dyn Backend>, unlock: Unlock<'_>, options: &OpenOptions) -> Result<Self> {
        let repository = Self::assemble(backend, unlock, options, Mode::Sound)?;
        // Where an entry is lost, all after it would vanish unreported.
        if let Some(gap) = repository.gap_on_opening()? {
            return Err(gap);
        }
        if let Some(reason) = &repository.rolled_back {
            return Err(Error::RolledBack { repository: repository.id(), reason: reason.clone() });
        }
        repository.remember(&repository.lock_state());
        Ok(repository)
    }

    /// Opens a repository, also one whose log is behind or beside what this machine has seen of it: a copy of an older
    /// time. Such a one is only read ([`rolled_back`](Repository::rolled_back)).
    ///
    /// # Errors
    /// As of [`Repository::open`] otherwise.
    pub fn open_rolled_back(backend: Arc<dyn Backend>, unlock: Unlock<'_>, options: &OpenOptions) -> Result<Self> {
        let repository = Self::assemble(backend, unlock, options, Mode::RolledBack)?;
        if let Some(gap) = repository.gap_on_opening()? {
            return Err(gap);
        }
        repository.remember(&repository.lock_state());
        Ok(repository)
    }

    /// How the log differs from what this machine has seen of it, where it was opened all the same.
    pub fn rolled_back(&self) -> Option<&str> {
        self.rolled_back.as_deref()
    }

    /// Opens a repository in this way.
    pub(super) fn assemble(
        backend: Arc<dyn Backend>,
        unlock: Unlock<'_>,
        options: &OpenOptions,
        mode: Mode,
    ) -> Result<Self> {
        let (FoundConfig { config, trouble, .. }, unlocked) = unlock_config(&*backend, unlock, options, mode)?;
        let Unlocked { keyring, envelope, mut state, skipped, key, mut hashes, may_have_gap } = unlocked;
        let own = config.repository.to_string();
        let remembered = options.state_folder.as_ref().map(|folder| folder.join(&own).join("head"));
        let row_key = match &keyring {
            Some(keyring) => *keyring.chunk_id_key.derive("local index", &[]).expose(),
            None => digest(config.repository.as_bytes()),
        };
        let rolled_back = match (mode, remembered.as_deref().and_then(remembered::read)) {
            (Mode::Broken, _) | (_, None) => None,
            (_, Some(seen)) => match is_rolled_back(&*backend, &state, &hashes, seen)? {
                // Another process may have appended since, and remembered that. What stops the reading is told to who reads
                // on.
                Some(_) => {
                    let _ = super::read_log(&mut Entries::new(&*backend), &envelope, &mut state);
                    is_rolled_back(&*backend, &state, &hashes, seen)?
                }
                // What was seen must lead to what is there, also where a checkpoint stands for what is between.
                None => is_beside(&*backend, &envelope, seen.0, skipped)?,
            },
        };
        let cache = match &options.cache {
            // The cache goes with what this machine has seen, which is another state of the same repository.
            _ if rolled_back.is_some() => None,
            CachePlace::Folder(folder) => Some(folder.join(&own)),
            CachePlace::Temporary => None,
        };
        hashes.extend(state.head_entry());
        let repository = Self {
            local: match &options.cache {
                CachePlace::Folder(folder) if mode != Mode::Broken => Some(LocalCopies::new(folder.join(&own))),
                _ => None,
            },
            recent: Mutex::new(hashes),
            may_have_gap: AtomicBool::new(may_have_gap),
            index: Index::open(cache.as_ref().map(|folder| folder.join("index.db")).as_deref(), row_key)?,
            hints: Hints::open(cache.as_ref().map(|folder| folder.join("hints.db")).as_deref(), row_key)?,
            backend,
            config,
            config_trouble: trouble,
            rolled_back,
            keyring,
            envelope,
            entropy: options.entropy.clone(),
            clock: options.clock.clone(),
            runtime: options.runtime.clone(),
            state: Mutex::new(state),
            remembered,
            frames: frame_cache::FrameCache::default(),
            kept: super::kept::KeptChunks::default(),
            mending: super::parity::Mending::default(),
            rebuilt: Mutex::default(),
            checkpoint: AtomicU64::new(skipped),
            recalled: Mutex::default(),
            sizes: super::Sizes::default(),
        };
        repository.index.set_standing(repository.lock_state().standing.clone());
        // Whatever the cache has suffered: what is wrong with it shows, and a new one is made.
        if repository.update_index().is_err() {
            repository.make_index_anew()?;
        }
        repository.keep_log(key);
        Ok(repository)
    }

    /// What is wrong with the log as a whole, where the listing by which it was read did not show that nothing is.
    fn gap_on_opening(&self) -> Result<Option<Error>> {
        match self.may_have_gap.swap(false, Ordering::Relaxed) {
            true => self.log_gap(),
            false => Ok(None),
        }
    }

    /// The hash of an entry of the log.
    fn hash_at(&self, sequence: u64) -> Result<Option<[u8; 32]>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let state = self.lock_state();
        hash_at(&*self.backend, &state, &recent, sequence)
    }

    /// The hash of an entry that the index is complete up to, so that it need not be read when that is asked.
    fn keep_hash(&self, (sequence, hash): index::Head) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.insert(sequence, hash);
        while recent.len() > super::RECENT {
            recent.pop_first();
        }
    }

    /// Brings the local index up to date with the index objects of the repository.
    pub(super) fn update_index(&self) -> Result<()> {
        if let Some((sequence, hash)) = self.index.head()
            && self.hash_at(sequence)? != Some(hash)
        {
            self.index.clear()?;
        }
        // As of one moment: another thread may read on meanwhile, and what it learns of is not in the index by that.
        let (logged, standing, head) = {
            let state = self.lock_state();
            (state.indexes.clone(), state.standing.clone(), state.head_entry())
        };
        let mut wanted = logged.clone();
        // Index objects that no snapshot names yet: what an interrupted or still running writer has stored.
        let is_new = |id: &IndexId| !logged.contains(id) && !standing.superseded.contains_key(id);
        let mut unlogged = Vec::new();
        self.backend.for_each(Kind::Index, &mut |meta| {
            unlogged.extend(meta.name.file().parse::<IndexId>().ok().filter(is_new));
        })?;
        let outdated = self.outdated_indexes(&unlogged)?;
        wanted.extend(unlogged.into_iter().filter(|id| !outdated.contains(id)));
        let known: BTreeSet<IndexId> = self.index.objects()?.into_iter().collect();
        let superseded: Vec<IndexId> = known.difference(&wanted).copied().collect();
        if superseded.iter().any(|object| !standing.superseded.contains_key(object)) {
            // One that was there is not any more.
            self.index.clear()?;
            return self.load_objects(wanted.iter(), head);
        }
        // First what took their place: most packs go on under another object's name.
        self.load_objects(wanted.difference(&known), head)?;
        let swept = standing.condemned.iter().filter(|(pack, retired)| retired.swept && self.index.knows_pack(pack));
        let swept: Vec<PackId> = swept.map(|(pack, _)| *pack).collect();
        match superseded.is_empty() && swept.is_empty() {
            true => Ok(()),
            false => self.index.forget(&superseded, &swept),
        }
    }

    /// Takes in these index objects; with them the index is complete up to `head`.
    fn load_objects<'a>(&self, objects: impl Iterator<Item = &'a IndexId>, head: Option<index::Head>) -> Result<()> {
        let objects: Vec<IndexId> = objects.copied().collect();
        for portion in objects.chunks(INDEXES_AT_ONCE) {
            for (object, packs) in portion.iter().zip(self.read_index_objects(portion)) {
                match packs {
                    Ok(packs) => self.index.insert_object(object, &packs)?,
                    // Nothing rests on an object that the log does not name: it may be half of somebody's work. Of another,
                    // what is in its packs is found missing when it is asked for; the packs themselves may still have it.
                    Err(error) if error.is_damage() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        match head {
            Some(head) => {
                self.keep_hash(head);
                self.index.set_head(head)
            }
            None => Ok(()),
        }
    }

    /// The packs that an index object names.
    pub fn read_index_object(&self, id: &IndexId) -> Result<Vec<crate::pack::PackInfo>> {
        let bytes = self.backend.read(&Name::new(Kind::Index, id), index::MAX_OBJECT)?;
        self.open_index_object(id, &bytes)
    }

    /// The same of several, read at once. Long ones are read by themselves.
    fn read_index_objects(&self, ids: &[IndexId]) -> Vec<Result<Vec<crate::pack::PackInfo>>> {
        let wanted: Vec<_> = ids.iter().map(|id| (Name::new(Kind::Index, id), SHORT_INDEX)).collect();
        let read = batch::read_many(&*self.backend, &wanted).into_iter();
        let opened = ids.iter().zip(read).map(|(id, bytes)| match bytes {
            Ok(bytes) => self.open_index_object(id, &bytes),
            Err(_) => self.read_index_object(id),
        });
        opened.collect()
    }

    fn open_index_object(&self, id: &IndexId, bytes: &[u8]) -> Result<Vec<crate::pack::PackInfo>> {
        let name = Name::new(Kind::Index, id);
        if digest(bytes) != *id.as_bytes() {
            return Err(Error::damaged(name, "its bytes do not hash to its name"));
        }
        let opened = self.envelope.open(Kind::Index, "", bytes).map_err(|error| Error::damaged(&name, error));
        let body = opened.map_err(|error| self.unless_rotated(error))?;
        index::decode_object(&body).in_object(name)
    }

    /// Throws the local index away and reads all index objects again.
    ///
    /// # Errors
    /// Those of the backend, and of the index where not even a temporary one can be made.
    pub fn rebuild_index(&self) -> Result<()> {
        let mut rebuilt = self.rebuilt.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_index_anew()?;
        // Whoever holds numbers of packs from here on must be able to rely on them.
        *rebuilt = true;
        Ok(())
    }

    fn make_index_anew(&self) -> Result<()> {
        self.index.clear()?;
        match self.update_index() {
            // Its place is full, or whatever: a temporary file elsewhere does as well.
            Err(Error::Cache { .. }) => {
                self.index.switch_to_temporary()?;
                self.update_index()
            }
            updated => updated,
        }?;
        // With an index object nothing is lost that the packs have.
        self.adopt_locally()
    }

    /// Takes in what superseded index objects say of packs that are condemned and may still be there: the last resort when a
    /// chunk cannot be located. Done once for each state of the log.
    pub(super) fn recall_condemned(&self) -> Result<()> {
        let standing = self.lock_state().standing.clone();
        let mut recalled = self.recalled.lock().unwrap_or_else(PoisonError::into_inner);
        if *recalled == standing.changed {
            return Ok(());
        }
        for (object, _) in standing.superseded.iter().filter(|(_, retired)| !retired.swept) {
            // It may be deleted just now, or be damaged: then there is nothing to be had from it.
            for info in self.read_index_object(object).unwrap_or_default() {
                if standing.condemned.get(&info.id).is_some_and(|retired| !retired.swept) {
                    self.index.insert_unpublished(&info)?;
                }
            }
        }
        *recalled = standing.changed;
        Ok(())
    }

    /// Makes the local index anew, unless that was done since the repository was opened. Who comes meanwhile waits.
    pub(super) fn rebuild_index_once(&self) -> Result<()> {
        let mut rebuilt = self.rebuilt.lock().unwrap_or_else(PoisonError::into_inner);
        if !*rebuilt {
            self.make_index_anew()?;
            *rebuilt = true;
        }
        Ok(())
    }

    /// Does something with the local index; where that fails, does it again with a new one. What a process does must
    /// not fail because its cache did.
    pub(super) fn with_index<T>(&self, work: impl Fn(&Index) -> Result<T>) -> Result<T> {
        let again = match work(&self.index) {
            Err(Error::Cache { .. }) => {
                self.rebuild_index_once()?;
                work(&self.index)
            }
            done => return done,
        };
        match again {
            // Its place is full, or its disk is dying.
            Err(Error::Cache { .. }) => {
                self.index.switch_to_temporary()?;
                self.update_index()?;
                work(&self.index)
            }
            done => done,
        }
    }
}

/// How many index objects are read at once, ...
const INDEXES_AT_ONCE: usize = 64;
/// ... and how long one may be for that.
const SHORT_INDEX: u64 = 1 << 20;

/// The hash of an entry of a log that was read. `recent` are those that are known.
fn hash_at(
    backend: &dyn Backend,
    state: &State,
    recent: &BTreeMap<u64, [u8; 32]>,
    sequence: u64,
) -> Result<Option<[u8; 32]>> {
    match state.head_entry() {
        Some((head, hash)) if head == sequence => Ok(Some(hash)),
        Some((head, _)) if head > sequence && recent.contains_key(&sequence) => Ok(recent.get(&sequence).copied()),
        Some((head, _)) if head > sequence => {
            let bytes = backend.read(&Name::log(sequence), super::log::MAX_ENTRY)?;
            Ok(Some(digest(&bytes)))
        }
        _ => Ok(None),
    }
}

/// How a log differs from what was seen of it: the number and the hash of an entry.
fn is_rolled_back(
    backend: &dyn Backend,
    state: &State,
    recent: &BTreeMap<u64, [u8; 32]>,
    seen: (u64, [u8; 32]),
) -> Result<Option<String>> {
    let (sequence, hash) = seen;
    Ok(match hash_at(backend, state, recent, sequence)? {
        Some(found) if found == hash => None,
        Some(_) => Some(format!("entry {sequence} is another than this machine has seen")),
        None => Some(format!(
            "this machine has seen {} entries, the log now has {}",
            sequence.saturating_add(1),
            state.next
        )),
    })
}

/// How a log differs from what was seen of it, where the entries between the last one seen and this many were not read: one of
/// them does not follow from the one before it.
fn is_beside(backend: &dyn Backend, envelope: &Envelope, seen: u64, skipped: u64) -> Result<Option<String>> {
    if seen.saturating_add(1) >= skipped {
        return Ok(None);
    }
    let (mut entries, mut before) = (Entries::new(backend), None);
    for number in seen..skipped {
        let name = Name::log(number);
        let bytes = entries.entry(number)?.ok_or_else(|| Error::ObjectMissing { name: name.clone() })?;
        let (_, entry) = super::open_entry(envelope, &name, &bytes)?;
        if before.is_some_and(|before| before != entry.previous) {
            return Ok(Some(format!("entry {number} does not follow from entry {seen}, which this machine has seen")));
        }
        before = Some(EntryHash::new(digest(&bytes)));
    }
    Ok(None)
}

/// How a repository is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It must be as it should.
    Sound,
    /// Its log is taken as far as it goes.
    Broken,
    /// Its log may be behind what this machine has seen.
    RolledBack,
}

/// Finds the config, and opens the keys and the log with it. Where that does not come to what the log began with, the
/// other copy of the config may.
fn unlock_config(
    backend: &dyn Backend,
    mut unlock: Unlock<'_>,
    options: &OpenOptions,
    mode: Mode,
) -> Result<(FoundConfig, Unlocked)> {
    let mut known = None;
    let mut open = |found: &FoundConfig| {
        let (config, broken) = (&found.config, mode == Mode::Broken);
        Features::check(config.features.read, Features::KNOWN.read, "to read")?;
        let local = match &options.cache {
            CachePlace::Folder(folder) if !broken => LocalCopies::new(folder.join(config.repository.to_string())).log(),
            _ => None,
        };
        let lock = Lock::new(backend, config.repository, broken, local);
        let unlocked = match (config.suite, &mut unlock) {
            (Suite::None, _) => lock.open(None)?,
            (_, Unlock::Password(ask)) => {
                // Nobody is asked twice.
                let password = match known.take() {
                    Some(password) => password,
                    None => ask()?,
                };
                let opened = lock.open_by_password(&password);
                known = Some(password);
                opened?
            }
            (_, Unlock::Export(text)) => lock.open_by_export(text)?,
        };
        match unlocked.state.config {
            Some(config) if config == found.hash => Ok((unlocked, true)),
            None if broken => Ok((unlocked, false)),
            None => Err(Error::damaged(Kind::Log, "it is empty")),
            Some(_) => Err(Error::damaged(Name::config(), "the config is not the one that the log began with")),
        }
    };
    let found = config_copies::find(backend)?;
    let first = open(&found);
    if let Ok((unlocked, true)) = first {
        return Ok((found, unlocked));
    }
    if let Some(other) = config_copies::other(backend, &found)
        && let Ok((unlocked, true)) = open(&other)
    {
        return Ok((other, unlocked));
    }
    first.map(|(unlocked, _)| (found, unlocked))
}
