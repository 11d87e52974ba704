//! Trying a password on the key slots that are there.

use std::collections::VecDeque;

use crate::crypto::Keyring;
use crate::crypto::slot::{self, KdfCost, SlotError};
use crate::error::{Error, Result};
use crate::id::{KeyId, RepositoryId, digest};
use crate::log::State;
use crate::storage::{Backend, Kind, Name, batch};

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
/// Anybody with access to the storage can put any number of slots there; trying them all must come to an end.
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
