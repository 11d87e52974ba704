//! The key slots of a repository. `remove` takes a password away, it does not revoke: who kept the keyring keeps access to
//! all that is sealed under its keys, until those are rotated.

use super::log::Body;
use super::{Config, Repository, State, batch};
use crate::crypto::slot::{self, KdfCost, SlotError, SlotInfo};
use crate::crypto::{Entropy, Keyring};
use crate::error::{Error, Result};
use crate::id::{KeyId, RepositoryId, digest, hex, unhex};
use crate::storage::{Backend, Kind, Name, create_resolved};
use std::collections::VecDeque;

/// A key slot that is to be written.
pub(super) struct NewSlot {
    pub(super) name: Name,
    pub(super) bytes: Vec<u8>,
    id: KeyId,
}

impl NewSlot {
    /// What the log has to say about it.
    pub(super) fn entry(&self) -> Body {
        let (key, hash) = self.logged();
        Body::KeyAdd { key, hash }
    }

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

/// The key slots on which a password was tried.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// Those that opened, with the BLAKE3 of their bytes.
    opened: Vec<(KeyId, [u8; 32])>,
    /// Those on which it was tried, opened or not.
    closed: Vec<KeyId>,
    /// How much work that was, as [`KdfCost::work`] counts it.
    work: u64,
    /// What is wrong with one on which it cannot be tried.
    unsound: Option<Error>,
    /// One that is to be tried before all others.
    first: Option<Candidate>,
    /// Those that are left to be tried, the cheapest ones first; none before they were looked for.
    left: Option<VecDeque<Candidate>>,
}

/// The most work for one password, over all key slots: that of eight of the dearest ones, or of 1365 as `init` makes them.
/// Whoever can write to the repository can put any number of slots there; trying them all must come to an end.
const MAX_WORK: u64 = 8 * (KdfCost::MAX.memory_kib as u64) * (KdfCost::MAX.passes as u64);

/// The most key slots that are read.
const MAX_SLOTS: usize = 4096;

/// How many bytes of key slots are kept until they are tried; of others, only what they cost.
const MAX_KEPT: usize = 16 << 20;

/// How many key slots are read at once.
const AT_ONCE: usize = 256;

/// A key slot that is there, with what deriving its key costs.
#[derive(Debug)]
struct Candidate {
    work: u64,
    name: Name,
    key: KeyId,
    /// Its bytes, where they are kept.
    bytes: Option<Vec<u8>>,
}

/// The work that a key slot asks for.
fn work_of(name: &Name, bytes: &[u8]) -> Result<u64> {
    match slot::info(bytes) {
        Ok(info) => Ok(info.cost.work()),
        Err(malformed) => Err(Error::damaged(name, malformed)),
    }
}

impl Candidate {
    /// Its bytes, unless they ask for more work by now.
    fn read(&mut self, backend: &dyn Backend) -> Result<Option<Vec<u8>>> {
        if let Some(bytes) = self.bytes.take() {
            return Ok(Some(bytes));
        }
        let bytes = backend.read(&self.name, slot::MAX_SLOT)?;
        Ok((work_of(&self.name, &bytes)? <= self.work).then_some(bytes))
    }
}

impl Tried {
    /// Tries this slot before all others.
    pub(super) fn begin_with(&mut self, name: Name, bytes: Vec<u8>) {
        if let (Ok(key), Ok(work)) = (name.file().parse::<KeyId>(), work_of(&name, &bytes)) {
            self.first = Some(Candidate { work, name, key, bytes: Some(bytes) });
        }
    }

    /// The slot that opened last.
    pub(super) fn opened(&self) -> Option<KeyId> {
        self.opened.last().map(|(key, _)| *key)
    }

    /// On how many slots the password was tried.
    pub(super) fn count(&self) -> usize {
        self.closed.len()
    }

    /// Lists the slots again before the next one is tried.
    pub(super) fn look_again(&mut self) {
        self.left = None;
        self.unsound = None;
    }

    /// Tries the password on every key slot on which it was not tried yet, the cheapest ones first.
    pub(super) fn unlock(
        &mut self,
        backend: &dyn Backend,
        repository: RepositoryId,
        password: &[u8],
    ) -> Result<Keyring> {
        while let Some(mut candidate) = self.next(backend)? {
            if self.work.saturating_add(candidate.work) > MAX_WORK {
                let reason = "there are more key slots than a password is tried on, or they ask for too much work: some \
                              may be forged";
                self.unsound = Some(Error::damaged(Kind::Key, reason));
                self.left = Some(VecDeque::new());
                break;
            }
            self.work += candidate.work;
            self.closed.push(candidate.key);
            let bytes = match candidate.read(backend) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(error) => {
                    self.unsound = Some(error);
                    continue;
                }
            };
            match slot::open(&bytes, password) {
                Ok((keyring, info)) if info.repository == repository => {
                    self.opened.push((candidate.key, digest(&bytes)));
                    return Ok(keyring);
                }
                Ok((_, info)) => {
                    let reason = format!("it belongs to repository {}", info.repository);
                    self.unsound = Some(Error::damaged(candidate.name, reason));
                }
                Err(SlotError::WrongPassword) => {}
                Err(SlotError::Malformed(malformed)) => {
                    self.unsound = Some(Error::damaged(candidate.name, malformed));
                }
                Err(SlotError::Crypto(reason)) => self.unsound = Some(Error::Crypto(reason)),
            }
        }
        Err(self.unsound.take().unwrap_or(Error::WrongPassword { repository }))
    }

    /// The next key slot to be tried.
    fn next(&mut self, backend: &dyn Backend) -> Result<Option<Candidate>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.left.is_none() {
            self.left = Some(self.candidates(backend)?.into());
        }
        Ok(self.left.as_mut().and_then(VecDeque::pop_front))
    }

    /// The key slots that are left to be tried, the cheapest ones first. One slot that is lost or damaged must not keep the
    /// others from opening.
    fn candidates(&mut self, backend: &dyn Backend) -> Result<Vec<Candidate>> {
        let listed = batch::list_after(backend, Kind::Key, None)?;
        if listed.is_empty() {
            return Err(Error::damaged(Kind::Key, "there is no key slot; `key import` makes one from an export"));
        }
        let mut names: Vec<Name> = listed.into_iter().map(|(name, _)| name).take(MAX_SLOTS).collect();
        names.sort();
        names.retain(|name| name.file().parse::<KeyId>().is_ok_and(|key| !self.closed.contains(&key)));
        let (mut candidates, mut kept) = (Vec::new(), 0);
        for portion in names.chunks(AT_ONCE) {
            let wanted: Vec<_> = portion.iter().map(|name| (name.clone(), slot::MAX_SLOT)).collect();
            for (name, read) in portion.iter().zip(batch::read_many(backend, &wanted)) {
                let Ok(key) = name.file().parse::<KeyId>() else { continue };
                match read.and_then(|bytes| Ok((work_of(name, &bytes)?, bytes))) {
                    Ok((work, bytes)) => {
                        kept += bytes.len();
                        let bytes = (kept <= MAX_KEPT).then_some(bytes);
                        candidates.push(Candidate { work, name: name.clone(), key, bytes });
                    }
                    Err(error) => {
                        if matches!(error, Error::ObjectMissing { .. }) {
                            // It was taken away since it was listed.
                            self.closed.push(key);
                        }
                        self.unsound = Some(error);
                    }
                }
            }
        }
        candidates.sort_by_key(|candidate| candidate.work);
        Ok(candidates)
    }

    /// Whether the slot that opened last is one that the log names. A log without any is that of a repository whose
    /// `init` did not come to its end; nothing is in it.
    pub(super) fn is_logged(&self, state: &State) -> bool {
        match self.opened.last() {
            Some((key, hash)) => state.keys.is_empty() || state.keys.get(key) == Some(hash),
            None => true,
        }
    }
}

/// A key slot, for people.
#[derive(Debug, Clone)]
pub struct KeyDescription {
    /// The slot.
    pub id: KeyId,
    /// What it says about itself, where it can be read.
    pub info: Option<SlotInfo>,
}

impl Repository {
    /// The key slots that the log names.
    pub fn keys(&self) -> Vec<KeyDescription> {
        let describe = |id: &KeyId| {
            let bytes = self.backend.read(&Name::new(Kind::Key, id), slot::MAX_SLOT).ok();
            KeyDescription { id: *id, info: bytes.and_then(|bytes| slot::info(&bytes).ok()) }
        };
        self.lock_state().keys.keys().map(describe).collect()
    }

    /// What is wrong with the key slots: each must be there and what the log says it is.
    pub fn check_keys(&self) -> Vec<Error> {
        let keys = self.lock_state().keys.clone();
        let check = |(key, hash): (KeyId, [u8; 32])| {
            let name = Name::new(Kind::Key, key);
            match self.backend.read(&name, slot::MAX_SLOT) {
                Ok(bytes) if digest(&bytes) == hash => None,
                Ok(_) => Some(Error::damaged(name, "its bytes are not those that the log recorded")),
                Err(error) => Some(error.into()),
            }
        };
        keys.into_iter().filter_map(check).collect()
    }

    /// Adds a key slot for another password.
    pub fn add_key(&self, password: &[u8], cost: KdfCost, label: &str) -> Result<KeyId> {
        let keyring = self.keyring.as_ref().ok_or_else(unencrypted)?;
        let slot = new_slot(&*self.entropy, keyring, password, self.id(), cost, self.clock.now(), label)?;
        create_resolved(&*self.backend, &slot.name, &slot.bytes)?;
        match self.append(|_| Ok(slot.entry())) {
            Ok(_) => Ok(slot.id),
            Err(error) => {
                // It holds the old keys, and no entry names it.
                if matches!(error, Error::KeysRotated { .. }) {
                    let _ = self.backend.delete(&slot.name);
                }
                Err(error)
            }
        }
    }

    /// Takes a key slot away. The last one stays.
    pub fn remove_key(&self, key: KeyId) -> Result<()> {
        self.append(|state| match (state.keys.contains_key(&key), state.keys.len()) {
            (false, _) => Err(Error::Invalid(format!("there is no key {key}"))),
            (true, 1) => Err(Error::Invalid(format!("{key} is the last key: without it nothing could be read"))),
            (true, _) => Ok(Body::KeyRemove { key }),
        })?;
        Ok(self.backend.delete(&Name::new(Kind::Key, key))?)
    }

    /// The key slot that a password opens.
    pub fn find_key(&self, password: &[u8]) -> Result<KeyId> {
        let keys: Vec<KeyId> = self.lock_state().keys.keys().copied().collect();
        for key in keys {
            let Ok(bytes) = self.backend.read(&Name::new(Kind::Key, key), slot::MAX_SLOT) else { continue };
            if slot::open(&bytes, password).is_ok() {
                return Ok(key);
            }
        }
        Err(Error::WrongPassword { repository: self.id() })
    }

    /// The secrets of the repository as a text to be kept in a safe place: with it and the packs, everything can be read
    /// without any key slot.
    pub fn export_keys(&self) -> Result<String> {
        let keyring = self.keyring.as_ref().ok_or_else(unencrypted)?;
        let plain = keyring.encode();
        let check = digest(&[&self.id().as_bytes()[..], &plain].concat());
        let (keyring, check, config) = (hex(&plain), hex(&check[..8]), hex(&self.config.encode()));
        Ok(format!("{EXPORT_HEAD}\nrepository {}\nkeyring {keyring}\ncheck {check}\nconfig {config}\n", self.id()))
    }
}

const EXPORT_HEAD: &str = "snap key export, version 1. Who has this text can read the whole repository.";

/// Reads what [`Repository::export_keys`] wrote.
///
/// # Errors
/// [`Error::Invalid`] if the text is not such an export, or was changed.
pub(super) fn parse_export(text: &str) -> Result<(RepositoryId, Keyring)> {
    let wrong = || Error::Invalid("this is no key export, or a damaged one".into());
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(str::trim).ok_or_else(wrong)
    };
    let repository: RepositoryId = field("repository")?.parse().map_err(|_| wrong())?;
    let digits = field("keyring")?;
    let mut plain = vec![0; digits.len() / 2];
    if !unhex(digits, &mut plain) {
        return Err(wrong());
    }
    let check = digest(&[&repository.as_bytes()[..], &plain].concat());
    if field("check")? != hex(&check[..8]) {
        return Err(wrong());
    }
    Ok((repository, Keyring::decode(&plain).map_err(|_| wrong())?))
}

/// The config that a key export has in it, where it has one: those of before do not.
///
/// # Errors
/// [`Error::Invalid`] if the text is no key export.
pub(super) fn exported_config(text: &str) -> Result<Option<Config>> {
    let (repository, _) = parse_export(text)?;
    let Some(digits) = text.lines().find_map(|line| line.strip_prefix("config ")).map(str::trim) else {
        return Ok(None);
    };
    let mut bytes = vec![0; digits.len() / 2];
    let config = unhex(digits, &mut bytes).then(|| Config::decode(&bytes).ok()).flatten();
    Ok(config.filter(|config| config.repository == repository))
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
