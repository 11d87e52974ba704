//! A log of which an entry is lost or unreadable. What comes after the break is repeated after what is before it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::entries::Entries;
use super::reading::{open_entry, read_on};
use super::{Body, Features, Log, LogEntry, MAX_ENTRY, checkpoint, kind};
use crate::error::{Error, Result};
use crate::id::{KeyId, SnapshotId};
use crate::storage::{Kind, Name};

/// What is wrong with a log.
#[derive(Debug)]
pub struct LogDamage {
    /// The number of the first entry that is lost or cannot be read.
    pub at: u64,
    /// What is wrong with it.
    pub cause: Error,
    /// How many entries after it are there, and can be read.
    pub after: u64,
    /// How many of those that are there cannot.
    pub unreadable: u64,
    /// Entries after the break, each with the epoch that it is sealed in.
    survivors: Vec<(u32, LogEntry)>,
    /// All names from the break on that are taken.
    taken: Vec<Name>,
}

impl LogDamage {
    /// Whether an entry after the break adds this snapshot.
    pub(crate) fn adds(&self, id: &SnapshotId) -> bool {
        let adds = |entry: &LogEntry| matches!(&entry.body, Body::AddSnapshot { snapshot, .. } if snapshot == id);
        self.survivors.iter().any(|(_, entry)| adds(entry))
    }
}

impl Log {
    /// Reads the log on, and says what is wrong with it: a break, or that it does not go as far as it should.
    ///
    /// # Errors
    /// Errors of reading it that say nothing about an entry.
    pub(crate) fn find_damage(&self) -> Result<Option<LogDamage>> {
        let cause = {
            let _folding = self.fold();
            let mut state = self.state();
            let read = read_on(&mut Entries::new(&*self.backend), &self.envelope(), &mut state);
            self.swap(state);
            match read {
                Ok(()) => None,
                Err(error) if error.is_damage() => Some(error),
                Err(error) => return Err(error),
            }
        };
        let state = self.state();
        let cause = match cause {
            None if state.next == 0 => Some(Error::damaged(Kind::Log, "it is empty")),
            None if state.epoch < self.envelope().epoch() => Some(Error::damaged(
                Kind::Log,
                "it ends before the keys were rotated, and the key slot knows that they were",
            )),
            None => self.gap()?,
            cause => cause,
        };
        cause.map(|cause| self.after_break(cause)).transpose()
    }

    fn after_break(&self, cause: Error) -> Result<LogDamage> {
        let state = self.state();
        let at = state.next;
        let mut taken = Vec::new();
        let before = at.checked_sub(1).map(Name::log);
        self.backend.list(Kind::Log, before.as_ref(), &mut |meta| {
            taken.extend(Some(meta.name).filter(|name| name.sequence().is_some()));
            ControlFlow::Continue(())
        })?;
        let (mut survivors, mut epoch) = (Vec::new(), state.epoch);
        for name in &taken {
            let bytes = match self.backend.read(name, MAX_ENTRY) {
                Ok(bytes) => bytes,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error.into()),
            };
            let opened = open_entry(&self.envelope(), name, &bytes).ok();
            let is_in_place = |entry: &LogEntry| Name::log(entry.sequence) == *name && entry.sequence > at;
            // One of an older epoch than those before it was put there by a holder of only the old keys.
            let survivor = opened.filter(|(own, entry)| *own >= epoch && is_in_place(entry));
            epoch = survivor.as_ref().map_or(epoch, |(own, _)| *own);
            survivors.extend(survivor);
        }
        let (after, unreadable) = (survivors.len() as u64, (taken.len() - survivors.len()) as u64);
        Ok(LogDamage { at, cause, after, unreadable, survivors, taken })
    }

    /// Takes out what stands after the break, and the checkpoints, which stand for entries that are made again. What is not
    /// repeated after this is lost.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if an entry is of a kind that this version does not know, [`Error::KeysRotated`] if one rotates
    /// the keys to others than those at hand; then nothing was changed. [`Error::Storage`] if a request fails.
    pub(crate) fn cut_at(&self, damage: &LogDamage) -> Result<()> {
        self.check_writable()?;
        for (_, entry) in &damage.survivors {
            match &entry.body {
                Body::KeyRotate { epoch, commitment, .. } if !self.envelope().holds(*epoch, commitment) => {
                    return Err(Error::KeysRotated { repository: self.repository(), rotation: *epoch });
                }
                Body::Reserved { kind, .. } if *kind < kind::FIRST_NOTE => {
                    let reason = format!("log entries of kind {kind} are not known to this version");
                    return Err(Error::Unsupported { name: Name::log(entry.sequence).to_string(), reason });
                }
                Body::Config { features, .. } => Features::check(features.write, Features::KNOWN.write, "to repair")?,
                _ => {}
            }
        }
        // Nothing is taken out where no entry can be written in its place: a folder may lie there.
        let first = Name::log(damage.at);
        if let Err(error) = self.backend.read(&first, 1)
            && error.is_taken()
        {
            return Err(Error::damaged(first, error.reason()));
        }
        let checkpoints = checkpoint::listed(&*self.backend)?;
        self.delete_checkpoints(&checkpoints)?;
        for name in damage.taken.iter().rev() {
            self.backend.delete(name)?;
        }
        Ok(())
    }

    /// Names those of the key slots that are `there` and that no entry names, neither before the break nor after it. A log that
    /// is empty begins with a config of this hash. Returns those slots.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails.
    pub(crate) fn name_slots(
        &self,
        damage: &LogDamage,
        config: [u8; 32],
        there: &[(KeyId, [u8; 32])],
    ) -> Result<Vec<KeyId>> {
        let known: BTreeSet<KeyId> = damage.survivors.iter().flat_map(|(_, entry)| keys_of(&entry.body)).collect();
        let state = self.state();
        let slots = there.iter().filter(|(key, _)| !known.contains(key) && !state.keys.contains_key(key));
        let slots: Vec<_> = slots.copied().collect();
        let named = slots.iter().map(|(key, _)| *key).collect();
        if state.next == 0 {
            self.repeat(Body::Init { config, keys: slots })?;
        } else {
            slots.into_iter().try_for_each(|(key, hash)| self.repeat(Body::KeyAdd { key, hash }))?;
        }
        Ok(named)
    }

    /// Appends again what stood after the break, as far as it is not so already. Where an entry is lost that rotated the
    /// keys, the slots that are `there` take the place of those before.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails.
    pub(crate) fn repeat_survivors(&self, damage: &LogDamage, there: &[(KeyId, [u8; 32])]) -> Result<()> {
        for (epoch, entry) in &damage.survivors {
            self.rotate_again(*epoch, there)?;
            match &entry.body {
                Body::Init { .. } => {}
                Body::AddSnapshot { snapshot, .. } if self.state().snapshot(*snapshot).is_some() => {}
                Body::KeyRotate { epoch, .. } if *epoch <= self.state().epoch => {}
                body => self.repeat(body.clone())?,
            }
        }
        self.rotate_again(self.envelope().epoch(), there)
    }

    /// Says again that the keys were rotated, where the entry that said so is lost: up to this epoch.
    fn rotate_again(&self, epoch: u32, there: &[(KeyId, [u8; 32])]) -> Result<()> {
        loop {
            let next = self.state().epoch + 1;
            let envelope = self.envelope();
            let master = envelope.keyring().filter(|_| next <= epoch).and_then(|keyring| keyring.master(next));
            let Some(master) = master else { return Ok(()) };
            let commitment = master.commitment();
            self.repeat(Body::KeyRotate { epoch: next, commitment, keys: there.to_vec() })?;
        }
    }

    /// Appends what was said once already, under the rules of then.
    fn repeat(&self, body: Body) -> Result<()> {
        self.append(&(), &mut |_| Ok(body.clone())).map(drop)
    }
}

/// The key slots that an entry speaks of.
fn keys_of(body: &Body) -> Vec<KeyId> {
    match body {
        Body::KeyAdd { key, .. } | Body::KeyRemove { key } => vec![*key],
        Body::KeyRotate { keys, .. } => keys.iter().map(|(key, _)| *key).collect(),
        _ => Vec::new(),
    }
}
