//! Whether a log is the one that this machine has seen before, or an older state of it, or another.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::PoisonError;

use super::entries::Entries;
use super::reading::{open_entry, read_on};
use super::{Log, MAX_ENTRY, RECENT, ReadLog, State, remembered};
use crate::crypto::Envelope;
use crate::error::{Error, Result};
use crate::id::{EntryHash, digest};
use crate::storage::{Backend, Name};

impl ReadLog {
    /// How the log differs from what is remembered of it; none where it does not.
    ///
    /// # Errors
    /// Those of reading it.
    pub(crate) fn rolled_back(
        &mut self,
        backend: &dyn Backend,
        envelope: &Envelope,
        remembered: Option<&Path>,
    ) -> Result<Option<String>> {
        let Some(seen) = remembered.and_then(remembered::read) else { return Ok(None) };
        match self.is_before(backend, seen)? {
            // Another process may have appended since, and remembered that. What stops the reading is reported when the log
            // is read on.
            Some(_) => {
                let _ = read_on(&mut Entries::new(backend), envelope, &mut self.state);
                self.is_before(backend, seen)
            }
            // What was seen must lead to what is there, also where a checkpoint stands for what is between.
            None => is_beside(backend, envelope, seen.0, self.skipped),
        }
    }

    /// How the log differs from what was seen of it: the number and the hash of an entry.
    fn is_before(&self, backend: &dyn Backend, (sequence, hash): (u64, [u8; 32])) -> Result<Option<String>> {
        Ok(match hash_at(backend, &self.state, &self.hashes, sequence)? {
            Some(found) if found == hash => None,
            Some(_) => Some(format!("entry {sequence} is another than this machine has seen")),
            None => Some(format!(
                "this machine has seen {} entries, the log now has {}",
                sequence.saturating_add(1),
                self.state.next
            )),
        })
    }
}

impl Log {
    /// The hash of an entry; none if the log, as far as it was read, does not go that far.
    ///
    /// # Errors
    /// Those of reading the entry.
    pub(crate) fn hash_at(&self, sequence: u64) -> Result<Option<[u8; 32]>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner).clone();
        hash_at(&*self.backend, &self.state(), &recent, sequence)
    }

    /// Keeps the hash of an entry that will be asked for, so that it need not be read then.
    pub(crate) fn keep_hash(&self, (sequence, hash): (u64, [u8; 32])) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.insert(sequence, hash);
        while recent.len() > RECENT {
            recent.pop_first();
        }
    }
}

/// The hash of an entry of a log that was read. `recent` are those that are known.
fn hash_at(
    backend: &dyn Backend,
    state: &State,
    recent: &BTreeMap<u64, [u8; 32]>,
    sequence: u64,
) -> Result<Option<[u8; 32]>> {
    match state.head_entry() {
        Some((head, hash)) if head == sequence => Ok(Some(hash)),
        Some((head, _)) if head > sequence && recent.contains_key(&sequence) => Ok(recent.get(&sequence).copied()),
        Some((head, _)) if head > sequence => {
            let bytes = backend.read(&Name::log(sequence), MAX_ENTRY)?;
            Ok(Some(digest(&bytes)))
        }
        _ => Ok(None),
    }
}

/// How a log differs from what was seen of it, where the entries between the last one seen and this many were not read: one of
/// them does not follow from the one before it.
fn is_beside(backend: &dyn Backend, envelope: &Envelope, seen: u64, skipped: u64) -> Result<Option<String>> {
    if seen.saturating_add(1) >= skipped {
        return Ok(None);
    }
    let (mut entries, mut before) = (Entries::new(backend), None);
    for number in seen..skipped {
        let name = Name::log(number);
        let bytes = entries.entry(number)?.ok_or_else(|| Error::ObjectMissing { name: name.clone() })?;
        let (_, entry) = open_entry(envelope, &name, &bytes)?;
        if before.is_some_and(|before| before != entry.previous) {
            return Ok(Some(format!("entry {number} does not follow from entry {seen}, which this machine has seen")));
        }
        before = Some(EntryHash::new(digest(&bytes)));
    }
    Ok(None)
}
