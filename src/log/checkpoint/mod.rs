//! Checkpoints: the folded log at an entry, so that opening the repository need not read all that came before. They are
//! hints. One counts only if it opens under the newest key and has the hash of the entry that it stands for, which is read;
//! losing them, or finding wrong ones, costs time and nothing else.

mod encoding;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::entries::Entries;
use super::local::LocalLog;
use super::{Log, State};
use crate::crypto::{Entropy, Envelope, epoch_of};
use crate::error::Result;
use crate::id::digest;
use crate::storage::{self, Backend, Kind, Name, StorageErrorKind, batch};

/// The longest checkpoint that is written or read, in bytes.
pub(super) const MAX_CHECKPOINT: u64 = 64 << 20;
/// A checkpoint is written after an entry whose number, counted from 1, is a multiple of this; and after any entry
/// where twice as many entries came after the last one.
pub(crate) const EVERY: u64 = 64;
/// How many checkpoints a prune leaves.
const LEFT: usize = 2;
/// How many are tried, the newest first, before the log is read from its first entry on.
const TRIED: usize = 4;

/// The checkpoints that are there, ascending.
pub(super) fn listed(backend: &dyn Backend) -> Result<Vec<u64>> {
    let listed = batch::list_after(backend, Kind::Checkpoint, None)?;
    let mut numbers: Vec<u64> = listed.iter().filter_map(|(name, _)| name.sequence()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The state from which the log is read on: that of the newest checkpoint that counts, else the empty one.
///
/// # Errors
/// Those of reading entries of the log.
pub(super) fn begin(entries: &mut Entries<'_>, envelope: &Envelope, local: Option<&LocalLog>) -> Result<State> {
    let is_that = |entries: &mut Entries<'_>, state: &State, number: u64| -> Result<bool> {
        let entry = entries.entry(number)?;
        Ok(state.epoch == envelope.epoch() && entry.is_some_and(|entry| digest(&entry) == *state.head.as_bytes()))
    };
    if let Some(local) = local
        && let Some(state) = local.state(envelope)
        && is_that(entries, &state, local.number)?
    {
        return Ok(state);
    }
    entries.look()?;
    for number in entries.checkpoints().into_iter().take(TRIED) {
        let Ok(sealed) = entries.checkpoint(number) else { continue };
        // What is sealed under an older key may be somebody's who has only that.
        if let Some(state) = open(envelope, number, &name_of(number), &sealed)
            && is_that(entries, &state, number)?
        {
            return Ok(state);
        }
    }
    Ok(State::default())
}

/// What a checkpoint is sealed for.
fn name_of(number: u64) -> String {
    Name::checkpoint(number).to_string()
}

/// Seals a state under the key of its epoch; none before the first entry, and where it is too long.
pub(super) fn seal(envelope: &Envelope, entropy: &dyn Entropy, name: &str, state: &State) -> Option<Vec<u8>> {
    let body = encoding::encode(state)?;
    let sealed = envelope.seal_in(state.epoch, entropy, Kind::Checkpoint, name, &body).ok()?;
    (sealed.len() as u64 <= MAX_CHECKPOINT).then_some(sealed)
}

/// The state that a checkpoint says there was at this entry; none if it is not one of this repository, name and number, or
/// not sealed under the key of its own epoch.
pub(super) fn open(envelope: &Envelope, number: u64, name: &str, sealed: &[u8]) -> Option<State> {
    let epoch = epoch_of(Kind::Checkpoint, sealed).ok()?;
    let body = envelope.open(Kind::Checkpoint, name, sealed).ok()?;
    let state = encoding::decode(&body).ok()?;
    (state.next.checked_sub(1) == Some(number) && state.epoch == epoch).then_some(state)
}

impl Log {
    /// Writes a checkpoint after this entry was appended, if one is due. Nothing rests on it, so a failure is none.
    pub(super) fn checkpoint_after(&self, entry: u64) {
        let count = entry.saturating_add(1);
        let since = count.saturating_sub(self.checkpoint.load(Ordering::Relaxed));
        let every = self.checkpoint_every.load(Ordering::Relaxed);
        if count.is_multiple_of(every) || since >= 2 * every {
            let _ = self.write_checkpoint();
        }
    }

    /// Writes a checkpoint of the log as far as it was read.
    ///
    /// # Errors
    /// Those of sealing and storing it.
    pub(crate) fn write_checkpoint(&self) -> Result<()> {
        let state = self.state();
        let Some((number, _)) = state.head_entry() else { return Ok(()) };
        // The next attempt comes later, whatever becomes of this one.
        self.checkpoint.store(state.next, Ordering::Relaxed);
        match seal(&self.envelope(), &*self.entropy, &name_of(number), &state) {
            Some(sealed) => Ok(self.backend.create(&Name::checkpoint(number), &sealed).map(drop)?),
            None => Ok(()),
        }
    }

    /// The checkpoints that there are, as those are that the log does not go beyond, and those that it does.
    fn known_checkpoints(&self) -> Result<(Vec<u64>, Vec<u64>)> {
        // In this order: what somebody writes meanwhile is of an entry that is read.
        let listed = listed(&*self.backend)?;
        self.refresh()?;
        let end = self.length();
        Ok(listed.into_iter().partition(|number| *number < end))
    }

    /// Deletes all checkpoints but the newest two that count. Returns how many.
    ///
    /// # Errors
    /// Those of listing and deleting objects.
    pub fn sweep_checkpoints(&self) -> Result<u64> {
        if listed(&*self.backend)?.len() <= LEFT {
            return Ok(0);
        }
        let (known, beyond) = self.known_checkpoints()?;
        let (mut entries, mut left) = (Entries::new(&*self.backend), BTreeSet::new());
        for number in known.iter().rev() {
            if left.len() < LEFT && self.counts(&mut entries, *number) {
                left.insert(*number);
            }
        }
        let swept: Vec<u64> = known.into_iter().filter(|number| !left.contains(number)).chain(beyond).collect();
        self.delete_checkpoints(&swept)
    }

    fn counts(&self, entries: &mut Entries<'_>, number: u64) -> bool {
        let Ok(sealed) = entries.checkpoint(number) else { return false };
        let Some(state) = open(&self.envelope(), number, &name_of(number), &sealed) else { return false };
        let is_that = |entry: Option<Vec<u8>>| entry.is_some_and(|entry| digest(&entry) == *state.head.as_bytes());
        state.epoch == self.envelope().epoch() && entries.entry(number).is_ok_and(is_that)
    }

    /// Deletes checkpoints. Returns how many.
    ///
    /// # Errors
    /// Those of deleting objects.
    pub fn delete_checkpoints(&self, numbers: &[u64]) -> Result<u64> {
        let names: Vec<Name> = numbers.iter().map(|number| Name::checkpoint(*number)).collect();
        self.backend.delete_many(&names).into_iter().collect::<storage::Result<()>>()?;
        Ok(numbers.len() as u64)
    }

    /// The checkpoints that are to be compared with what the log comes to.
    pub(super) fn checkpoints_to_compare(&self) -> Result<Comparison> {
        let (known, beyond) = self.known_checkpoints()?;
        Ok(Comparison { left: known.into_iter().map(|number| (number, false)).collect(), beyond })
    }
}

/// Checkpoints, while the log is followed from its first entry on.
pub(super) struct Comparison {
    /// Those of entries that there are, and whether they were found right.
    left: BTreeMap<u64, bool>,
    /// Those of entries that there are not.
    beyond: Vec<u64>,
}

impl Comparison {
    /// Compares the checkpoint of the last entry of this state, if there is one.
    pub(super) fn compare(&mut self, log: &Log, state: &State) {
        let Some(number) = state.next.checked_sub(1) else { return };
        if let Some(is_right) = self.left.get_mut(&number) {
            let sealed = log.backend.read(&Name::checkpoint(number), MAX_CHECKPOINT);
            // One that is gone was deleted by a prune.
            *is_right = sealed.map_or_else(
                |error| error.kind() == StorageErrorKind::NotFound,
                |sealed| open(&log.envelope(), number, &name_of(number), &sealed).is_some_and(|found| found == *state),
            );
        }
    }

    /// Those that are not what they should be.
    pub(super) fn unsound(self) -> Vec<u64> {
        let wrong = self.left.into_iter().filter(|(_, is_right)| !is_right).map(|(number, _)| number);
        wrong.chain(self.beyond).collect()
    }
}
