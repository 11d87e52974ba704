//! The key slots of a repository. `remove` takes a password away, it does not revoke: who kept the keyring keeps access to
//! all that is sealed under its keys, until those are rotated.

use std::sync::Arc;

use crate::crypto::slot::{self, KdfCost, SlotInfo};
use crate::crypto::{Entropy, Keyring};
use crate::error::{Error, Result};
use crate::id::{KeyId, RepositoryId, digest};
use crate::log::Log;
use crate::storage::{Kind, Name, create_resolved};

/// A key slot that is to be written.
pub(super) struct NewSlot {
    pub(super) name: Name,
    pub(super) bytes: Vec<u8>,
    id: KeyId,
}

impl NewSlot {
    /// Its name, and the hash of its bytes.
    pub(super) fn logged(&self) -> (KeyId, [u8; 32]) {
        (self.id, digest(&self.bytes))
    }
}

pub(super) fn new_slot(
    entropy: &dyn Entropy,
    keyring: &Keyring,
    password: &[u8],
    repository: RepositoryId,
    cost: KdfCost,
    created: i64,
    label: &str,
) -> Result<NewSlot> {
    if password.is_empty() {
        return Err(Error::Invalid("an empty password protects nothing".into()));
    }
    let id = KeyId::new(entropy.array()?);
    let info = SlotInfo { repository, cost, created, label: label.into() };
    let bytes = slot::seal(entropy, keyring, password, &info)?;
    Ok(NewSlot { name: Name::new(Kind::Key, id), bytes, id })
}

/// A key slot, for people.
#[derive(Debug, Clone)]
pub struct KeyDescription {
    /// The slot.
    pub id: KeyId,
    /// What it says about itself, where it can be read.
    pub info: Option<SlotInfo>,
}

/// The key slots of a repository.
#[derive(Debug)]
pub struct Keys {
    pub(super) log: Arc<Log>,
    /// The bytes of the config, which is exported with the keys.
    pub(super) config: Vec<u8>,
}

impl Keys {
    pub(super) fn new(log: Arc<Log>, config: Vec<u8>) -> Self {
        Self { log, config }
    }

    /// A copy of the secrets, where the repository has any.
    pub fn keyring(&self) -> Option<Keyring> {
        self.log.envelope().keyring().cloned()
    }

    /// The key slots that the log names.
    pub fn list(&self) -> Vec<KeyDescription> {
        let describe = |id: &KeyId| {
            let bytes = self.log.backend().read(&Name::new(Kind::Key, id), slot::MAX_SLOT).ok();
            KeyDescription { id: *id, info: bytes.and_then(|bytes| slot::info(&bytes).ok()) }
        };
        self.log.state().keys.keys().map(describe).collect()
    }

    /// What is wrong with the key slots: each must be there and what the log says it is.
    pub fn check(&self) -> Vec<Error> {
        let keys = self.log.state().keys.clone();
        let check = |(key, hash): (KeyId, [u8; 32])| {
            let name = Name::new(Kind::Key, key);
            match self.log.backend().read(&name, slot::MAX_SLOT) {
                Ok(bytes) if digest(&bytes) == hash => None,
                Ok(_) => Some(Error::damaged(name, "its bytes are not those that the log recorded")),
                Err(error) => Some(error.into()),
            }
        };
        keys.into_iter().filter_map(check).collect()
    }

    /// Adds a key slot for another password.
    pub fn add(&self, password: &[u8], cost: KdfCost, label: &str) -> Result<KeyId> {
        let envelope = self.log.envelope();
        let keyring = envelope.keyring().ok_or_else(unencrypted)?;
        let slot = new_slot(
            self.log.entropy(),
            keyring,
            password,
            self.log.repository(),
            cost,
            self.log.clock().now(),
            label,
        )?;
        create_resolved(&**self.log.backend(), &slot.name, &slot.bytes)?;
        let (key, hash) = slot.logged();
        match self.log.key_add(key, hash) {
            Ok(_) => Ok(slot.id),
            Err(error) => {
                // It holds the old keys, and no entry names it.
                if matches!(error, Error::KeysRotated { .. }) {
                    let _ = self.log.backend().delete(&slot.name);
                }
                Err(error)
            }
        }
    }

    /// Takes a key slot away. The last one stays.
    pub fn remove(&self, key: KeyId) -> Result<()> {
        self.log.key_remove(key)?;
        Ok(self.log.backend().delete(&Name::new(Kind::Key, key))?)
    }

    /// The key slot that a password opens.
    pub fn find(&self, password: &[u8]) -> Result<KeyId> {
        let keys: Vec<KeyId> = self.log.state().keys.keys().copied().collect();
        for key in keys {
            let Ok(bytes) = self.log.backend().read(&Name::new(Kind::Key, key), slot::MAX_SLOT) else { continue };
            if slot::open(&bytes, password).is_ok() {
                return Ok(key);
            }
        }
        Err(Error::WrongPassword { repository: self.log.repository() })
    }
}

pub(super) fn unencrypted() -> Error {
    Error::Invalid("the repository is not encrypted: it has no keys".into())
}

impl serde::Serialize for KeyDescription {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Key<'a> {
            id: KeyId,
            label: Option<&'a str>,
            created: Option<String>,
            kdf_memory_kib: Option<u32>,
            readable: bool,
        }
        let info = self.info.as_ref();
        let key = Key {
            id: self.id,
            label: info.map(|info| &*info.label),
            created: info.map(|info| crate::report::utc(i128::from(info.created))),
            kdf_memory_kib: info.map(|info| info.cost.memory_kib),
            readable: info.is_some(),
        };
        key.serialize(serializer)
    }
}
