//! What is left when the log is broken: entries are lost, or cannot be read. The packs hold all the rest.
//!
//! The name of an entry that is lost cannot be given to another one that those behind it follow from. So the entries
//! behind the break are taken out, and what they say is appended anew. What the lost ones said is gone; but the roots of
//! snapshots lie in packs, and are found there.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::config::Features;
use super::config_copies::is_taken;
use super::entries::Entries;
use super::log::{self, Body, LogEntry};
use super::open::{Mode, OpenOptions, Unlock};
use super::{Repository, Writer, checkpoint, open_entry, read_log};
use crate::crypto::slot;
use crate::error::{Error, Result};
use crate::id::{ChunkId, KeyId, SnapshotId, digest};
use crate::storage::{Backend, Kind, Name, ObjectMeta};

/// What is wrong with a log.
#[derive(Debug)]
pub struct LogDamage {
    /// The number of the first entry that is lost or cannot be read.
    pub at: u64,
    /// What is wrong with it.
    pub cause: Error,
    /// How many entries behind it are there, and can be read.
    pub behind: u64,
    /// How many of those that are there cannot.
    pub unreadable: u64,
    /// Entries behind the break, each with the epoch that it is sealed in.
    survivors: Vec<(u32, LogEntry)>,
    /// All names from the break on that are taken.
    taken: Vec<Name>,
}

/// What became of a broken log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuiltLog {
    /// Entries that were kept: those before the break, and those behind it, which were appended anew.
    pub kept: u64,
    /// Key slots that the log did not name (any more) and now does. Some may be of passwords that were taken away.
    pub keys: Vec<KeyId>,
}

impl Repository {
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
        let mut entries = Entries::new(&*repository.backend);
        let cause = match read_log(&mut entries, &repository.envelope, &mut repository.lock_state()) {
            Ok(()) => None,
            Err(error) if error.is_damage() => Some(error),
            Err(error) => return Err(error),
        };
        let cause = match cause {
            None if repository.lock_state().next == 0 => Some(Error::damaged(Kind::Log, "it is empty")),
            None if repository.lock_state().epoch < repository.epoch() => Some(Error::damaged(
                Kind::Log,
                "it ends before the keys were rotated, and the key slot knows that they were",
            )),
            None => repository.log_gap()?,
            cause => cause,
        };
        Ok(match cause {
            None => (repository, None),
            Some(cause) => {
                let damage = repository.behind_break(cause)?;
                (repository, Some(damage))
            }
        })
    }

    fn behind_break(&self, cause: Error) -> Result<LogDamage> {
        let at = self.lock_state().next;
        let mut taken = Vec::new();
        let before = at.checked_sub(1).map(Name::log);
        self.backend.list(Kind::Log, before.as_ref(), &mut |meta| {
            taken.extend(Some(meta.name).filter(|name| name.sequence().is_some()));
            ControlFlow::Continue(())
        })?;
        let (mut survivors, mut epoch) = (Vec::new(), self.lock_state().epoch);
        for name in &taken {
            let bytes = match self.backend.read(name, log::MAX_ENTRY) {
                Ok(bytes) => bytes,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error.into()),
            };
            let opened = open_entry(&self.envelope, name, &bytes).ok();
            let is_in_place = |entry: &LogEntry| Name::log(entry.sequence) == *name && entry.sequence > at;
            // One of an older epoch than those before it, somebody put there who has only the old keys.
            let survivor = opened.filter(|(own, entry)| *own >= epoch && is_in_place(entry));
            epoch = survivor.as_ref().map_or(epoch, |(own, _)| *own);
            survivors.extend(survivor);
        }
        let (behind, unreadable) = (survivors.len() as u64, (taken.len() - survivors.len()) as u64);
        Ok(LogDamage { at, cause, behind, unreadable, survivors, taken })
    }

    /// Makes a broken log whole: takes out what stands behind the break, adds the snapshots that were `found` in packs, and
    /// appends anew what was said behind the break. So tags that were set there, and removals, hold for those as well.
    ///
    /// Nobody else may write meanwhile. If this is interrupted, what was behind the break may be lost as well.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if an entry is of a kind that this version does not know; then nothing was changed. Those
    /// of the backend.
    pub fn rebuild_log(&self, damage: &LogDamage, found: &[(SnapshotId, ChunkId)]) -> Result<RebuiltLog> {
        self.check_writable()?;
        for (_, entry) in &damage.survivors {
            match &entry.body {
                Body::KeyRotate { epoch, commitment, .. } if !self.envelope.holds(*epoch, commitment) => {
                    return Err(Error::KeysRotated { repository: self.id(), rotation: *epoch });
                }
                Body::Reserved { kind, .. } if *kind < log::kind::FIRST_NOTE => {
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
            && is_taken(&error)
        {
            return Err(Error::damaged(first, error.reason()));
        }
        let config = digest(&self.config.encode());
        let there = self.slots()?;
        // They stand for entries that are made anew.
        let checkpoints = checkpoint::listed(&*self.backend)?;
        self.delete_checkpoints(&checkpoints)?;
        for name in damage.taken.iter().rev() {
            self.backend.delete(name)?;
        }
        let mut rebuilt = RebuiltLog::default();
        let known: BTreeSet<KeyId> = damage.survivors.iter().flat_map(|(_, entry)| keys_of(&entry.body)).collect();
        let slots = there.iter().filter(|(key, _)| !known.contains(key) && !self.lock_state().keys.contains_key(key));
        let slots: Vec<_> = slots.copied().collect();
        rebuilt.keys.extend(slots.iter().map(|(key, _)| *key));
        if self.lock_state().next == 0 {
            self.append(|_| Ok(Body::Init { config, keys: slots.clone() }))?;
        } else {
            for (key, hash) in slots {
                self.append(|_| Ok(Body::KeyAdd { key, hash }))?;
            }
        }
        let added_behind = |id: &SnapshotId| {
            damage
                .survivors
                .iter()
                .any(|(_, entry)| matches!(&entry.body, Body::AddSnapshot { snapshot, .. } if snapshot == id))
        };
        let lost: Vec<_> = found.iter().filter(|(id, _)| !added_behind(id)).copied().collect();
        self.update_index()?;
        self.add_found(&lost)?;
        for (epoch, entry) in &damage.survivors {
            self.rotate_anew(*epoch, &there)?;
            let is_there = |id: &SnapshotId| self.lock_state().snapshots.iter().any(|record| record.id == *id);
            match &entry.body {
                Body::Init { .. } => {}
                Body::AddSnapshot { snapshot, .. } if is_there(snapshot) => {}
                Body::KeyRotate { epoch, .. } if *epoch <= self.lock_state().epoch => {}
                body => drop(self.append(|_| Ok(body.clone()))?),
            }
        }
        self.rotate_anew(self.epoch(), &there)?;
        rebuilt.kept = self.lock_state().next;
        self.update_index()?;
        Ok(rebuilt)
    }

    /// Says again that the keys were rotated, where the entry that said so is lost: up to this epoch. The slots that are
    /// there take the place of those before, as far as they have the new keys.
    fn rotate_anew(&self, epoch: u32, there: &[(KeyId, [u8; 32])]) -> Result<()> {
        loop {
            let next = self.lock_state().epoch + 1;
            let Some(master) = self.keyring().filter(|_| next <= epoch).and_then(|keyring| keyring.master(next)) else {
                return Ok(());
            };
            let commitment = master.commitment();
            self.append(|_| Ok(Body::KeyRotate { epoch: next, commitment, keys: there.to_vec() }))?;
        }
    }

    /// The key slots that are there, whatever the log says.
    fn slots(&self) -> Result<Vec<(KeyId, [u8; 32])>> {
        let mut slots = Vec::new();
        for ObjectMeta { name, .. } in self.backend.list_all(Kind::Key)? {
            let Ok(key) = name.file().parse::<KeyId>() else { continue };
            let Ok(bytes) = self.backend.read(&name, slot::MAX_SLOT) else { continue };
            if slot::info(&bytes).is_ok_and(|info| info.repository == self.id()) {
                slots.push((key, digest(&bytes)));
            }
        }
        Ok(slots)
    }

    /// Adds snapshots whose roots were found in packs. The caller has made sure of what they reach, or wants them as they
    /// are.
    ///
    /// # Errors
    /// Those of the backend; an id that is in the log already.
    pub fn add_found(&self, snapshots: &[(SnapshotId, ChunkId)]) -> Result<()> {
        if snapshots.is_empty() {
            return Ok(());
        }
        // What no index object names would be lost to them.
        let unnamed = self.read_directories(&self.unnamed_packs()?)?;
        let proven = self.prove_packs(unnamed.sound)?.sound;
        self.publish_packs(&proven)?;
        for (snapshot, root) in snapshots {
            let writer = Writer::new(self)?;
            writer.flush()?;
            writer.add_snapshot(*snapshot, *root, |state| {
                match state.snapshots.iter().any(|record| record.id == *snapshot) {
                    true => Err(Error::Invalid(format!("snapshot {snapshot} is there already"))),
                    false => Ok(()),
                }
            })?;
        }
        Ok(())
    }

    /// Says that snapshots exist no longer.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn drop_snapshots(&self, snapshots: &[SnapshotId]) -> Result<()> {
        self.check_writable()?;
        if snapshots.is_empty() {
            return Ok(());
        }
        self.append(|_| Ok(Body::RemoveSnapshots { snapshots: snapshots.to_vec() })).map(drop)
    }

    /// Removes those snapshots that `hopeless` gives for the very state of the log that their removal follows: what was lost
    /// a moment ago may have been stored anew. Gives them.
    ///
    /// # Errors
    /// Those of `hopeless` and of the backend.
    pub fn drop_hopeless(
        &self,
        mut nothing_left: impl FnMut(&super::State) -> Result<Vec<SnapshotId>>,
    ) -> Result<Vec<SnapshotId>> {
        self.check_writable()?;
        let mut dropped = Vec::new();
        self.append_checked(|state| {
            dropped = nothing_left(state)?;
            dropped.retain(|id| state.snapshots.iter().any(|record| record.id == *id));
            Ok((!dropped.is_empty()).then(|| Body::RemoveSnapshots { snapshots: dropped.clone() }))
        })?;
        Ok(dropped)
    }
}

impl Writer<'_> {
    /// Names in the log what was stored, without a snapshot.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn name_stored(&self) -> Result<()> {
        self.flush()?;
        let state = self.repository.state();
        let mut added = self.objects();
        added.retain(|object| !state.indexes.contains(object));
        added.sort_unstable();
        match added.is_empty() {
            true => Ok(()),
            false => self.repository.replace_indexes(&added, &[]),
        }
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
