//! Making a repository.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::config::{Config, Features, MAX_CONFIG};
use super::config_copies::{self, is_anything_there};
use super::keys::new_slot;
use super::log::{Body, LogEntry};
use super::{Clock, Repository, Settings, State, writer_name};
use crate::backend::{Backend, Created, Kind, Name, create_resolved};
use crate::chunk::CutParams;
use crate::crypto::slot::KdfCost;
use crate::crypto::{Entropy, Envelope, Keyring, Secret, Suite};
use crate::error::{Error, Result};
use crate::id::{EntryHash, RepositoryId, digest};

/// How a new repository is to be.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// How packs are sealed.
    pub suite: Suite,
    /// The password of the first key slot; needed exactly if the suite encrypts.
    pub password: Option<Vec<u8>>,
    /// What deriving a key from it costs.
    pub kdf: KdfCost,
    /// Who or what the first key slot is for.
    pub label: String,
    /// How streams are cut.
    pub cut: CutParams,
    /// The chunk-id key of another repository, where chunks are to have the same ids.
    pub chunk_id_key: Option<Secret>,
    /// What everybody who writes into it goes by.
    pub settings: Settings,
}

impl Repository {
    /// Makes a new repository. A failure leaves no repository, but perhaps empty folders or a key slot that opens
    /// nothing.
    ///
    /// # Errors
    /// [`Error::CannotInit`] if there is one already or something else is in the way.
    pub fn init(
        backend: &Arc<dyn Backend>,
        options: &InitOptions,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<RepositoryId> {
        // One time for all of it: so the config can be found again by what the first entry says.
        let now = clock.now();
        let cannot = |reason: &str| Error::CannotInit { location: backend.location(), reason: reason.into() };
        if backend.size(&Name::config())?.is_some() {
            match is_unfinished(&**backend)? {
                true => {
                    for name in [Name::config(), Name::config_copy()] {
                        backend.delete(&name)?;
                    }
                }
                false => return Err(cannot("there is a repository already")),
            }
        }
        // Something of an older repository without its config must not be taken over.
        if is_anything_there(&**backend)? && backend.size(&Name::config())?.is_none() {
            return Err(cannot("there is a repository whose config is lost"));
        }
        backend.prepare()?;
        probe(&**backend, entropy)?;
        options.cut.check().map_err(|malformed| Error::Invalid(malformed.0))?;
        let repository = RepositoryId::new(entropy.array()?);
        let config =
            Config { repository, suite: options.suite, created: now, cut: options.cut, features: Features::KNOWN };
        let keyring = match options.suite {
            Suite::None => None,
            _ => {
                let mut keyring = Keyring::random(entropy)?;
                if let Some(key) = &options.chunk_id_key {
                    keyring.chunk_id_key = key.clone();
                }
                Some(keyring)
            }
        };
        let config_bytes = config.encode();
        let first = match (&keyring, &options.password) {
            (None, _) => None,
            (Some(keyring), Some(password)) => {
                let slot = new_slot(entropy, keyring, password, repository, options.kdf, now, &options.label)?;
                Some(slot)
            }
            (Some(_), None) => return Err(Error::NoPassword { repository }),
        };
        if let Some(slot) = &first {
            create_resolved(&**backend, &slot.name, &slot.bytes)?;
        }
        // The config comes first of what makes it a repository: of two at once, one wins here.
        if create_resolved(&**backend, &Name::config(), &config_bytes)? == Created::Exists {
            return Err(cannot("somebody else made one at the same time"));
        }
        let envelope = Envelope::new(repository, keyring);
        let mut log = FirstEntries { backend: &**backend, envelope, entropy, now, state: State::default() };
        let keys = first.iter().map(|slot| slot.logged()).collect();
        log.append(Body::Init { config: digest(&config_bytes), keys })?;
        if !options.settings.is_empty() {
            log.append(Body::Config { features: Features::default(), settings: options.settings.clone() })?;
        }
        // Somebody may have taken it for unfinished between its config and its log.
        match backend.read(&Name::config(), MAX_CONFIG) {
            Ok(found) if found == config_bytes => {
                // Last, when nobody takes it for unfinished any more. Without it the repository is whole all the same, and
                // the next prune tries again.
                let _ = config_copies::write_both(&**backend, &config_bytes);
                let _ = backend.keep_reserve();
                Ok(repository)
            }
            _ => Err(cannot("somebody else made one at the same time")),
        }
    }
}

/// Whether there is a config and nothing else: whoever made it died before the log began, so nothing can be in it.
fn is_unfinished(backend: &dyn Backend) -> Result<bool> {
    let mut empty = backend.size(&Name::log(0))?.is_none();
    for kind in [Kind::Log, Kind::Pack, Kind::Index, Kind::Checkpoint] {
        backend.list(kind, None, &mut |_| {
            empty = false;
            ControlFlow::Break(())
        })?;
    }
    Ok(empty)
}

/// A repository whose log is being begun. Nobody else knows it yet.
struct FirstEntries<'a> {
    backend: &'a dyn Backend,
    envelope: Envelope,
    entropy: &'a dyn Entropy,
    now: i64,
    state: State,
}

impl FirstEntries<'_> {
    fn append(&mut self, body: Body) -> Result<()> {
        let entry = LogEntry {
            sequence: self.state.next,
            previous: self.state.head,
            transaction: self.entropy.array()?,
            time: self.now,
            writer: writer_name(),
            body,
        };
        let name = Name::log(self.state.next);
        let bytes = self.envelope.seal(self.entropy, Kind::Log, &name.to_string(), &entry.encode())?;
        if create_resolved(self.backend, &name, &bytes)? == Created::Exists {
            return Err(Error::damaged(name, "it exists in a repository that is just being made"));
        }
        self.state.apply(&entry, EntryHash::new(digest(&bytes)))
    }
}

/// Finds out whether the storage keeps the promise that everything rests on: a name is given once.
fn probe(backend: &dyn Backend, entropy: &dyn Entropy) -> Result<()> {
    let name = Name::new(Kind::Session, crate::id::hex(&entropy.array::<8>()?));
    let (first, second) = (backend.create(&name, b"first")?, backend.create(&name, b"second")?);
    let found = backend.read(&name, 16);
    backend.delete(&name)?;
    match (first, second, found?.as_slice()) {
        (Created::New, Created::Exists, b"first") => Ok(()),
        _ => Err(Error::CannotInit {
            location: backend.location(),
            reason: "the storage overwrites objects that exist, so no snapshot would be safe there".into(),
        }),
    }
}
