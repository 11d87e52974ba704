//! Making a repository.

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::config::{Config, MAX_CONFIG};
use super::config_copies::{self, is_anything_there};
use super::keys::new_slot;
use super::{Clock, Compression, Features, Repository, Settings};
use crate::chunk::CutParams;
use crate::crypto::slot::KdfCost;
use crate::crypto::{Entropy, Envelope, Keyring, Secret, Suite};
use crate::error::{Error, Result};
use crate::id::{RepositoryId, digest};
use crate::log::NewLog;
use crate::pack::parse_share;
use crate::storage::{Backend, Created, Kind, Name, StorageErrorKind, create_resolved};
use crate::values;

/// How a new repository is to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct InitOptions {
    /// How packs are sealed.
    #[serde(deserialize_with = "encryption")]
    pub encryption: Suite,
    /// The password of the first key slot; needed exactly if packs are encrypted.
    #[serde(skip)]
    pub password: Option<Vec<u8>>,
    /// What deriving a key from it costs. In text, its memory in MiB.
    #[serde(rename = "kdf-memory", deserialize_with = "kdf")]
    pub kdf: KdfCost,
    /// The person or purpose that the first key slot is for.
    #[serde(skip)]
    pub label: String,
    /// How streams are cut.
    #[serde(skip)]
    pub cut: CutParams,
    /// The chunk-id key of another repository, where chunks are to have the same ids.
    #[serde(skip)]
    pub chunk_id_key: Option<Secret>,
    /// How new data is compressed by default.
    pub compression: Compression,
    /// How much redundancy new packs get, in thousandths of their length. In text, a share like `5%`, or `off`.
    #[serde(deserialize_with = "share")]
    pub parity: u32,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self {
            encryption: Suite::Aes256Gcm,
            password: None,
            kdf: KdfCost::default(),
            label: String::new(),
            cut: CutParams::default(),
            chunk_id_key: None,
            compression: Compression::default(),
            parity: 0,
        }
    }
}

impl InitOptions {
    values::setters! {
        is encryption: Suite;
        is password: Option<Vec<u8>>;
        is kdf: KdfCost;
        is label: String;
        is cut: CutParams;
        is chunk_id_key: Option<Secret>;
        is compression: Compression;
        is parity: u32;
    }

    /// The settings that all writers into the repository use.
    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        if self.compression != Compression::default() {
            settings.set_compression(self.compression);
        }
        if self.parity > 0 {
            settings.set_parity(self.parity);
        }
        settings
    }
}

fn encryption<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Suite, D::Error> {
    values::from_text(deserializer, |text| {
        Suite::from_name(text)
            .ok_or_else(|| format!("{text:?} is no encryption: aes-256-gcm, xchacha20-poly1305, none"))
    })
}

fn kdf<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<KdfCost, D::Error> {
    values::from_text(deserializer, KdfCost::parse_memory)
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<u32, D::Error> {
    values::from_text(deserializer, parse_share)
}

/// Result of making a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InitReport {
    /// Id of the new repository.
    pub repository_id: RepositoryId,
    /// Where it is.
    pub location: String,
    /// How it is encrypted.
    #[serde(serialize_with = "name")]
    pub encryption: Suite,
}

fn name<S: Serializer>(suite: &Suite, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(suite.name())
}

/// Makes a repository, as [`Repository::init`] does.
///
/// # Errors
/// As of [`Repository::init`].
pub fn init(
    backend: &Arc<dyn Backend>,
    options: &InitOptions,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<InitReport> {
    let repository_id = Repository::init(backend, options, clock, entropy)?;
    Ok(InitReport { repository_id, location: backend.location(), encryption: options.encryption })
}

impl Repository {
    /// Makes a new repository. A failure leaves no repository, but perhaps empty folders, a config that the next one takes
    /// over, or a key slot that opens nothing.
    ///
    /// Of several at once one wins: the one whose first entry of the log is there first. No process deletes what another
    /// has made: a config without a log may be that of a process that is just about to begin the log, and is taken over
    /// as it stands.
    ///
    /// # Errors
    /// [`Error::CannotInit`] if there is one already or something else is in the way.
    pub fn init(
        backend: &Arc<dyn Backend>,
        options: &InitOptions,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<RepositoryId> {
        let cannot = |reason: &str| Error::CannotInit { location: backend.location(), reason: reason.into() };
        let left = match backend.size(&Name::config())? {
            Some(_) => Some(unfinished(&**backend, options)?),
            // Something of an older repository without its config must not be taken over.
            None if is_anything_there(&**backend)? => return Err(cannot("there is a repository whose config is lost")),
            None => None,
        };
        backend.prepare()?;
        probe(&**backend, entropy)?;
        options.cut.check().map_err(|malformed| Error::argument("cut", malformed.0))?;
        let is_taken_over = left.is_some();
        let config = match left {
            Some(config) => config,
            None => Config {
                repository: RepositoryId::new(entropy.array()?),
                suite: options.encryption,
                created: clock.now(),
                cut: options.cut,
                features: Features::KNOWN,
            },
        };
        // One time for all of it: so the config can be found again by what the first entry says.
        let (repository, now) = (config.repository, config.created);
        let keyring = match options.encryption {
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
        let envelope = Envelope::new(repository, keyring);
        let mut log = NewLog::new(&**backend, envelope, entropy, now);
        let keys = first.iter().map(|slot| slot.logged()).collect();
        if is_taken_over {
            // The process that made it may have died before it was durable.
            backend.settle(&Name::config())?;
        }
        let is_first = (is_taken_over || create_resolved(&**backend, &Name::config(), &config_bytes)? == Created::New)
            && log.init(digest(&config_bytes), keys)?;
        if !is_first {
            // The own slot opens nothing. It would only be tried.
            let _ = first.map(|slot| backend.delete(&slot.name));
            return Err(cannot("another process made one at the same time"));
        }
        let settings = options.settings();
        if !settings.is_empty() && !log.settings(settings)? {
            return Err(Error::Busy { what: "the new repository, before its settings were written,".into() });
        }
        // Last, when no process takes it for unfinished any more. Without the second copy the repository is whole all the
        // same, and the next prune tries again.
        let _ = config_copies::write_both(&**backend, &config_bytes);
        let _ = backend.keep_reserve();
        Ok(repository)
    }
}

/// The config of a repository whose log has not begun: there is nothing in it yet. The process that made the config died
/// before that, or is at it just now.
fn unfinished(backend: &dyn Backend, options: &InitOptions) -> Result<Config> {
    let cannot = |reason: &str| Error::CannotInit { location: backend.location(), reason: reason.into() };
    let mut empty = backend.size(&Name::log(0))?.is_none();
    for kind in [Kind::Log, Kind::Pack, Kind::Index, Kind::Checkpoint] {
        backend.list(kind, None, &mut |_| {
            empty = false;
            ControlFlow::Break(())
        })?;
    }
    if !empty {
        return Err(cannot("there is a repository already"));
    }
    let config = match backend.read(&Name::config(), MAX_CONFIG) {
        Ok(bytes) => Config::decode(&bytes).ok(),
        Err(error) if error.is_damage() => None,
        Err(error) => return Err(error.into()),
    };
    match config {
        Some(config)
            if (config.suite, config.cut) == (options.encryption, options.cut)
                && Features::KNOWN.contains(config.features) =>
        {
            Ok(config)
        }
        Some(_) => Err(cannot(
            "a repository with another encryption or other chunk sizes is just being made there, or was begun and not \
             finished: if no process is at it, remove its file `config`",
        )),
        None => Err(cannot(
            "there is a file `config` that is no config of a repository, and nothing else of one: if it is of no use, remove it",
        )),
    }
}

/// Finds out whether the storage keeps the promise that everything rests on: a name is given once.
fn probe(backend: &dyn Backend, entropy: &dyn Entropy) -> Result<()> {
    let name = Name::new(Kind::Session, crate::id::hex(&entropy.array::<8>()?));
    let (first, second) = (backend.create(&name, b"first")?, backend.create(&name, b"second")?);
    let found = backend.read(&name, 16);
    match backend.delete(&name) {
        // Writers need no right to delete.
        Err(error) if matches!(error.kind(), StorageErrorKind::Denied | StorageErrorKind::Retained) => {}
        deleted => deleted?,
    }
    match (first, second, found?.as_slice()) {
        (Created::New, Created::Exists, b"first") => Ok(()),
        _ => Err(Error::CannotInit {
            location: backend.location(),
            reason: "the storage overwrites objects that exist, so no snapshot would be safe there".into(),
        }),
    }
}
