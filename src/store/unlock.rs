//! Which keys open a repository: those of a key slot that the log names, or of an export. Whether the log names a slot is
//! known only once the log was read with what is in the slot.

use super::entries::Entries;
use super::local::LocalLog;
use super::{State, checkpoint, keys, read_log};
use crate::crypto::{Envelope, Keyring, PRELUDE_LEN, epoch_of};
use crate::error::{Error, Result};
use crate::id::{KeyId, RepositoryId};
use crate::storage::{Backend, Kind, Name, ObjectMeta};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The keys of a repository, and its log as they open it.
pub(super) struct Unlocked {
    pub(super) keyring: Option<Keyring>,
    pub(super) envelope: Envelope,
    pub(super) state: State,
    /// How many entries were not read, since a checkpoint stands for them.
    pub(super) skipped: u64,
    /// The key slot that opened.
    pub(super) key: Option<KeyId>,
    /// The hashes of entries that were read.
    pub(super) hashes: BTreeMap<u64, [u8; 32]>,
    /// Entries were seen in a listing beyond the end of the log, or nobody has looked.
    pub(super) may_have_gap: bool,
}

impl Unlocked {
    /// The last epoch that the keys know.
    fn epoch(&self) -> u32 {
        self.keyring.as_ref().map_or(0, Keyring::current_epoch)
    }
}

/// A repository that is to be unlocked.
pub(super) struct Lock<'a> {
    backend: &'a dyn Backend,
    /// The log as it lies there: each key that is tried is tried on the same bytes.
    entries: RefCell<Entries<'a>>,
    /// What this machine has of the log.
    local: Option<LocalLog>,
    /// The key slot that opened last time.
    slot: RefCell<Option<(Name, Vec<u8>)>>,
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
        local: Option<LocalLog>,
    ) -> Self {
        let mut entries = match local {
            Some(_) => Entries::moved_on(backend),
            None => Entries::new(backend),
        };
        let wanted = local.as_ref().map(LocalLog::wanted).unwrap_or_default();
        let slot = wanted.iter().find(|(name, _)| name.kind() == Kind::Key).map(|(name, _)| name.clone());
        if !wanted.is_empty() {
            entries.read(wanted);
        }
        let slot = slot.and_then(|name| entries.take(&name).map(|bytes| (name, bytes)));
        Self { backend, entries: RefCell::new(entries), local, slot: RefCell::new(slot), repository, broken }
    }

    /// Reads the log with these keys.
    ///
    /// # Errors
    /// [`Error::KeysRotated`] if they are older than the log, and those of reading it.
    pub(super) fn open(&self, keyring: Option<Keyring>) -> Result<Unlocked> {
        let envelope = Envelope::new(self.repository, keyring.clone());
        let mut entries = self.entries.borrow_mut();
        // A broken log is followed from its first entry on: that is where its breaks are found.
        let mut state = match self.broken {
            true => State::default(),
            false => checkpoint::begin(&mut entries, &envelope, self.local.as_ref())?,
        };
        let skipped = state.next;
        match read_log(&mut entries, &envelope, &mut state) {
            Err(error) if self.broken && error.is_damage() => {}
            read => read?,
        }
        let may_have_gap = !entries.has_looked() || entries.last_listed().is_some_and(|last| last >= state.next);
        let mut hashes: BTreeMap<_, _> = entries.hashes().collect();
        while hashes.len() > super::RECENT {
            hashes.pop_first();
        }
        Ok(Unlocked { keyring, envelope, state, skipped, key: None, hashes, may_have_gap })
    }

    /// ... with those of an export.
    pub(super) fn open_by_export(&self, text: &str) -> Result<Unlocked> {
        let keyring = match keys::parse_export(text)? {
            (repository, keyring) if repository == self.repository => keyring,
            (other, _) => return Err(Self::other_export(other)),
        };
        match self.open(Some(keyring)) {
            Err(Error::KeysRotated { rotation, .. }) => Err(Error::OldExport { rotation }),
            Ok(unlocked) if !self.broken && unlocked.epoch() > unlocked.state.epoch => {
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
        let (mut tried, mut ahead, mut failed) = (keys::Tried::default(), None, None);
        if let Some((name, bytes)) = self.slot.take() {
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
                Ok(unlocked) if unlocked.epoch() > unlocked.state.epoch => {
                    ahead = Some(self.rolled_back("a key slot that the password opens", &unlocked));
                }
                Ok(unlocked) if tried.is_logged(&unlocked.state) => {
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
        let (mut tried, mut best) = (keys::Tried::default(), None::<(bool, u32, Unlocked)>);
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
                (unlocked.epoch(), !unlocked.state.keys.is_empty() && tried.is_logged(&unlocked.state));
            let suffices = needed.is_none_or(|needed| epoch >= needed);
            if named && suffices {
                return Ok(unlocked);
            }
            // A slot of a rotation that did not come about knows a key too many; one of before a rotation, too few.
            // A slot of an `init` that did not come about opens no entry at all.
            let reads = unlocked.state.next > 0;
            let is_better = best.as_ref().is_none_or(|(best_suffices, best_epoch, best)| {
                match (reads, best.state.next > 0, suffices, best_suffices) {
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
        let (known, there) = (unlocked.epoch(), unlocked.state.epoch);
        let reason = format!(
            "{what} knows of key rotation {known}, the log of {there}. Either that rotation was cut short, and the password \
             of before it opens the repository, or the log was put back to before it"
        );
        Error::RolledBack { repository: self.repository, reason }
    }
}
