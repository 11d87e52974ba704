//! Opening a repository: config, keys, log, index.

use std::path::PathBuf;
use std::sync::Arc;

use super::config_copies::{self, FoundConfig};
use super::unlock::{Lock, Unlocked};
use super::{Catalog, ChunkReader, Clock, Features, KeptConfig, Keys, LogDamage, Packs, Repository, SystemClock};
use crate::crypto::{Entropy, Suite, SystemEntropy};
use crate::error::{Error, Result};
use crate::hints::Hints;
use crate::id::digest;
use crate::index::Index;
use crate::log::{LocalCopies, Log, Surroundings};
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
    /// A writer is begun right after opening. It looks for entries beyond a lost one itself, so that is not done twice.
    pub begins_to_write: bool,
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
            begins_to_write: false,
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
        is begins_to_write: bool;
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
        if !options.begins_to_write
            && let Some(gap) = repository.log.gap_on_opening()?
        {
            return Err(gap);
        }
        if let Some(reason) = repository.log.rolled_back() {
            return Err(Error::RolledBack { repository: repository.id(), reason: reason.into() });
        }
        repository.log.remember();
        repository.log.set_opened();
        Ok(repository)
    }

    /// Opens a repository, also one whose log is older than, or diverges from, what this machine has seen of it: a copy
    /// of an older time. Such a one is only read ([`Log::rolled_back`]).
    ///
    /// # Errors
    /// As of [`Repository::open`] otherwise.
    pub fn open_rolled_back(backend: Arc<dyn Backend>, unlock: Unlock<'_>, options: &OpenOptions) -> Result<Self> {
        let repository = Self::assemble(backend, unlock, options, Mode::RolledBack)?;
        if let Some(gap) = repository.log.gap_on_opening()? {
            return Err(gap);
        }
        repository.log.remember();
        Ok(repository)
    }

    /// Opens a repository as far as its log goes, and says what is wrong with that. That it was rolled back to an older state is
    /// no error here, nor is a password whose key slot the log does not name, where the log is broken.
    ///
    /// # Errors
    /// As of [`Repository::open`] otherwise.
    pub fn open_broken(
        backend: Arc<dyn Backend>,
        unlock: Unlock<'_>,
        options: &OpenOptions,
    ) -> Result<(Self, Option<LogDamage>)> {
        let repository = Self::assemble(backend, unlock, options, Mode::Broken)?;
        let damage = repository.log.find_damage()?;
        Ok((repository, damage))
    }

    /// Opens a repository in this way.
    fn assemble(backend: Arc<dyn Backend>, unlock: Unlock<'_>, options: &OpenOptions, mode: Mode) -> Result<Self> {
        let (FoundConfig { config, trouble, .. }, unlocked) = unlock_config(&*backend, unlock, options, mode)?;
        let Unlocked { envelope, mut read, key } = unlocked;
        let own = config.repository.to_string();
        let remembered = options.state_folder.as_ref().map(|folder| folder.join(&own).join("head"));
        let row_key = match envelope.keyring() {
            Some(keyring) => *keyring.chunk_id_key.derive("local index", &[]).expose(),
            None => digest(config.repository.as_bytes()),
        };
        let rolled_back = match mode {
            Mode::Broken => None,
            Mode::Sound | Mode::RolledBack => read.rolled_back(&*backend, &envelope, remembered.as_deref())?,
        };
        let cache = match &options.cache {
            // The cache goes with what this machine has seen, which is another state of the same repository.
            _ if rolled_back.is_some() => None,
            CachePlace::Folder(folder) => Some(folder.join(&own)),
            CachePlace::Temporary => None,
        };
        let local = match &options.cache {
            CachePlace::Folder(folder) if mode != Mode::Broken => Some(LocalCopies::new(folder.join(&own))),
            _ => None,
        };
        let hasher = super::hasher_of(envelope.keyring());
        let (entropy, clock) = (options.entropy.clone(), options.clock.clone());
        let (runtime, features) = (options.runtime.clone(), config.features);
        let around =
            Surroundings { backend, envelope, entropy, clock, runtime, features, rolled_back, remembered, local };
        let log = Arc::new(Log::new(read, around));
        let file = |name: &str| cache.as_ref().map(|folder| folder.join(name));
        let index = Index::open(file("index.db").as_deref(), row_key, log.shared_standing().clone())?;
        let hints = Hints::open(file("hints.db").as_deref(), row_key)?;
        let packs = Arc::new(Packs::new(log.clone(), config.suite));
        let catalog = Arc::new(Catalog::new(log.clone(), packs.clone(), index));
        let config = KeptConfig::new(log.clone(), config, trouble);
        let repository = Self {
            keys: Keys::new(log.clone(), config.encode()),
            config,
            reader: ChunkReader::new(log.clone(), packs.clone(), catalog.clone(), hasher),
            log,
            packs,
            catalog,
            hints,
            sizes: super::Sizes::default(),
        };
        // Whatever the cache has suffered: what is wrong with it shows, and a new one is made.
        let updated = match mode {
            Mode::Sound => repository.catalog.update_logged(),
            Mode::Broken | Mode::RolledBack => repository.catalog.update(),
        };
        if updated.is_err() {
            repository.catalog.renew()?;
        }
        repository.log.keep(key);
        Ok(repository)
    }
}

/// How a repository is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It must be as it should.
    Sound,
    /// Its log is taken as far as it goes.
    Broken,
    /// Its log may be older than what this machine has seen.
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
            CachePlace::Folder(folder) if !broken => Some(LocalCopies::new(folder.join(config.repository.to_string()))),
            _ => None,
        };
        let lock = Lock::new(backend, config.repository, broken, local.as_ref());
        let unlocked = match (config.suite, &mut unlock) {
            (Suite::None, _) => lock.open(None)?,
            (_, Unlock::Password(ask)) => {
                // The password is asked for once.
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
        match unlocked.read.state.config {
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
