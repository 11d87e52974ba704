//! Which keys open a repository: those of a key slot that the log names, or of an export. Whether the log names a slot is
//! known only once the log was read with what is in the slot.

use super::key_export;
use super::tried::Tried;
use crate::crypto::{Envelope, Keyring, PRELUDE_LEN, epoch_of};
use crate::error::{Error, Result};
use crate::id::{KeyId, RepositoryId};
use crate::log::{LocalCopies, Opening, ReadLog};
use crate::storage::{Backend, Kind, ObjectMeta};

/// The keys of a repository, and its log as they open it.
pub(super) struct Unlocked {
    pub(super) envelope: Envelope,
    pub(super) read: ReadLog,
    /// The key slot that opened.
    pub(super) key: Option<KeyId>,
}

impl Unlocked {
    /// The last epoch that the keys know.
    fn epoch(&self) -> u32 {
        self.envelope.epoch()
    }
}

/// A repository that is to be unlocked.
pub(super) struct Lock<'a> {
    backend: &'a dyn Backend,
    /// The log as it lies there: each key that is tried is tried on the same bytes.
    log: Opening<'a>,
    repository: RepositoryId,
    /// Its log is taken as far as it goes.
    broken: bool,
}

impl<'a> Lock<'a> {
    /// Reads at once what opened the repository last time.
    pub(super) fn new(
        backend: &'a dyn Backend,
        repository: RepositoryId,
        broken: bool,
        local: Option<&LocalCopies>,
    ) -> Self {
        Self { backend, log: Opening::new(backend, broken, local), repository, broken }
    }

    /// Reads the log with these keys.
    ///
    /// # Errors
    /// [`Error::KeysRotated`] if they are older than the log, and those of reading it.
    pub(super) fn open(&self, keyring: Option<Keyring>) -> Result<Unlocked> {
        let envelope = Envelope::new(self.repository, keyring);
        let read = self.log.read(&envelope)?;
        Ok(Unlocked { envelope, read, key: None })
    }

    /// ... with those of an export.
    pub(super) fn open_by_export(&self, text: &str) -> Result<Unlocked> {
        let keyring = match key_export::parse_export(text)? {
            (repository, keyring) if repository == self.repository => keyring,
            (other, _) => return Err(Self::other_export(other)),
        };
        match self.open(Some(keyring)) {
            Err(Error::KeysRotated { rotation, .. }) => Err(Error::OldExport { rotation }),
            Ok(unlocked) if !self.broken && unlocked.epoch() > unlocked.read.state.epoch => {
                Err(self.rolled_back("the key export", &unlocked))
            }
            unlocked => unlocked,
        }
    }

    /// A key export is that of another repository.
    pub(super) fn other_export(repository: RepositoryId) -> Error {
        Error::Invalid(format!("the key export belongs to repository {repository}"))
    }

    /// ... with those of a slot that this password opens and that the log names. One that was taken away, or never came as
    /// far as the log, opens nothing: its file may be there all the same.
    pub(super) fn open_by_password(&self, password: &[u8]) -> Result<Unlocked> {
        if self.broken {
            return self.open_broken(password);
        }
        let (mut tried, mut ahead, mut failed) = (Tried::default(), None, None);
        if let Some((name, bytes)) = self.log.take_slot() {
            tried.begin_with(name, bytes);
        }
        let mut looked_at = 0;
        loop {
            let keyring = match tried.unlock(self.backend, self.repository, password) {
                // A rotation may have put another slot in the place of those that were listed.
                Err(Error::WrongPassword { .. } | Error::ObjectMissing { .. }) if tried.count() > looked_at => {
                    looked_at = tried.count();
                    tried.look_again();
                    continue;
                }
                Err(error @ Error::WrongPassword { .. }) => return Err(ahead.or(failed).unwrap_or(error)),
                keyring => keyring?,
            };
            match self.open(Some(keyring)) {
                // A slot of before a rotation, or of one that did not come about.
                Err(Error::KeysRotated { .. }) => {}
                Ok(unlocked) if unlocked.epoch() > unlocked.read.state.epoch => {
                    ahead = Some(self.rolled_back("a key slot that the password opens", &unlocked));
                }
                Ok(unlocked) if tried.is_logged(&unlocked.read.state) => {
                    return Ok(Unlocked { key: tried.opened(), ..unlocked });
                }
                Ok(_) => {}
                // The log may be damaged; or the slot is of an `init` that was cut short before the log began, or of the
                // one of two at once that lost, and another slot opens the log.
                Err(error) if error.is_damage() => failed = failed.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the log is broken, it may not name the slot: then the keys that fit best to what is there.
    fn open_broken(&self, password: &[u8]) -> Result<Unlocked> {
        let needed = self.epoch_needed()?;
        let (mut tried, mut best) = (Tried::default(), None::<(bool, u32, Unlocked)>);
        let mut looked_at = 0;
        loop {
            let keyring = match tried.unlock(self.backend, self.repository, password) {
                Ok(keyring) => keyring,
                // As above: those that were listed may have been taken away by a rotation.
                Err(Error::WrongPassword { .. } | Error::ObjectMissing { .. })
                    if best.is_none() && tried.count() > looked_at =>
                {
                    looked_at = tried.count();
                    tried.look_again();
                    continue;
                }
                Err(error) => return best.map(|(.., unlocked)| unlocked).ok_or(error),
            };
            let unlocked = match self.open(Some(keyring)) {
                Err(Error::KeysRotated { .. }) => continue,
                unlocked => unlocked?,
            };
            let (epoch, named) =
                (unlocked.epoch(), !unlocked.read.state.keys.is_empty() && tried.is_logged(&unlocked.read.state));
            let suffices = needed.is_none_or(|needed| epoch >= needed);
            if named && suffices {
                return Ok(unlocked);
            }
            // A slot of a rotation that did not come about knows a key too many; one of before a rotation, too few.
            // A slot of an `init` that did not come about opens no entry at all.
            let reads = unlocked.read.state.next > 0;
            let is_better = best.as_ref().is_none_or(|(best_suffices, best_epoch, best)| {
                match (reads, best.read.state.next > 0, suffices, best_suffices) {
                    (true, false, ..) => true,
                    (false, true, ..) => false,
                    (_, _, true, true) if needed.is_some() => epoch < *best_epoch,
                    (_, _, true, false) => true,
                    (_, _, false, true) => false,
                    _ => epoch > *best_epoch,
                }
            });
            if is_better {
                best = Some((suffices, epoch, unlocked));
            }
        }
    }

    /// The highest epoch that an entry of the log or an index object says it is of; none if there are none.
    fn epoch_needed(&self) -> Result<Option<u32>> {
        let mut needed = None;
        for kind in [Kind::Log, Kind::Index] {
            for ObjectMeta { name, .. } in self.backend.list_all(kind)? {
                match self.backend.read_range(&name, 0, PRELUDE_LEN) {
                    Ok(prelude) => needed = needed.max(epoch_of(kind, &prelude).ok()),
                    Err(error) if error.is_damage() => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(needed)
    }

    fn rolled_back(&self, what: &str, unlocked: &Unlocked) -> Error {
        let (known, there) = (unlocked.epoch(), unlocked.read.state.epoch);
        let reason = format!(
            "{what} knows of key rotation {known}, the log of {there}. Either that rotation was cut short, and the password \
             of before it opens the repository, or the log was put back to before it"
        );
        Error::RolledBack { repository: self.repository, reason }
    }
}
