//! The entries of the log as they lie in the storage. They are read some ahead, and what was read is kept for as long as a
//! repository is being opened: several keys may be tried on the same bytes.

use std::collections::{BTreeMap, HashMap};

use super::checkpoint;
use super::entry::MAX_ENTRY;
use crate::error::{Error, Result};
use crate::id::digest;
use crate::storage::{Backend, Kind, Name, StorageErrorKind, batch};

/// How many names are read at once at most.
const MOST: u64 = 4096;
/// How many bytes are read at once, by what a listing says, ...
const AT_ONCE: u64 = 16 << 20;
/// ... and how long an entry may be for that. Longer ones are read by themselves, whatever a listing says.
pub(super) const SHORT: u64 = 16 << 10;
/// How many bytes are kept.
const KEPT: u64 = 64 << 20;

/// Reads the log, and checkpoints of it.
pub(super) struct Entries<'a> {
    backend: &'a dyn Backend,
    /// What was read; none for what is not there.
    kept: HashMap<Name, Option<Vec<u8>>>,
    kept_bytes: u64,
    /// The entries that a listing has shown, with their lengths. Nothing rests on it: it says how much to read at once.
    listed: BTreeMap<u64, u64>,
    /// The checkpoints that there are, ascending.
    checkpoints: Vec<u64>,
    /// How many entries are read ahead where no listing has shown any.
    stride: u64,
    has_looked: bool,
}

impl<'a> Entries<'a> {
    /// For a log of which nothing is known but where it is read on.
    pub(super) fn new(backend: &'a dyn Backend) -> Self {
        Self {
            backend,
            kept: HashMap::new(),
            kept_bytes: 0,
            listed: BTreeMap::new(),
            checkpoints: Vec::new(),
            stride: 2,
            has_looked: false,
        }
    }

    /// How many are read ahead of a log that has moved on since this machine saw it.
    pub(super) const STRIDE_ON: u64 = 16;

    /// For a log that this machine has seen, and that has moved on if there is more to be read.
    pub(super) fn moved_on(backend: &'a dyn Backend) -> Self {
        Self { stride: Self::STRIDE_ON, ..Self::new(backend) }
    }

    /// Looks which checkpoints and entries there are, once. Nothing rests on it.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails. That checkpoints cannot be listed is no error.
    pub(super) fn look(&mut self) -> Result<()> {
        if self.has_looked {
            return Ok(());
        }
        self.checkpoints = checkpoint::listed(self.backend).unwrap_or_default();
        let newest = self.checkpoints.last().copied();
        self.list(newest.unwrap_or(0))?;
        if newest.is_some() && self.listed.is_empty() {
            // It is that of another log.
            self.list(0)?;
        }
        self.has_looked = true;
        // What was not there before may be there now.
        self.forget_missing();
        Ok(())
    }

    /// Whether a listing has shown where the log ends.
    pub(super) fn has_looked(&self) -> bool {
        self.has_looked
    }

    /// The hashes of the entries that are at hand.
    pub(super) fn hashes(&self) -> impl Iterator<Item = (u64, [u8; 32])> + '_ {
        let entries = self.kept.iter().filter(|(name, _)| name.kind() == Kind::Log);
        entries.filter_map(|(name, bytes)| Some((name.sequence()?, digest(bytes.as_ref()?))))
    }

    fn list(&mut self, from: u64) -> Result<()> {
        let after = from.checked_sub(1).map(Name::log);
        self.listed.extend(batch::list_after(self.backend, Kind::Log, after.as_ref())?.into_iter().filter_map(
            |(name, length)| name.sequence().filter(|sequence| *sequence >= from).map(|sequence| (sequence, length)),
        ));
        Ok(())
    }

    /// The checkpoints that there are, the newest first.
    pub(super) fn checkpoints(&self) -> Vec<u64> {
        self.checkpoints.iter().rev().copied().collect()
    }

    /// The number of the last entry that a listing has shown.
    pub(super) fn last_listed(&self) -> Option<u64> {
        self.listed.last_key_value().map(|(number, _)| *number)
    }

    /// The bytes of a checkpoint, read together with the entries that follow it.
    ///
    /// # Errors
    /// [`Error::Storage`] if it cannot be read; [`Error::ObjectMissing`] if it is gone.
    pub(super) fn checkpoint(&mut self, number: u64) -> Result<Vec<u8>> {
        let name = Name::checkpoint(number);
        if !self.kept.contains_key(&name) {
            let mut wanted = vec![(name.clone(), checkpoint::MAX_CHECKPOINT)];
            wanted.extend(self.portion(number).into_iter().map(|number| (Name::log(number), SHORT)));
            self.read(wanted);
        }
        match self.kept.get(&name) {
            Some(Some(bytes)) => Ok(bytes.clone()),
            Some(None) => Err(Error::ObjectMissing { name }),
            None => Ok(self.backend.read(&name, checkpoint::MAX_CHECKPOINT)?),
        }
    }

    /// The bytes of an entry; none if there is none of this number.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails.
    pub(super) fn entry(&mut self, number: u64) -> Result<Option<Vec<u8>>> {
        let name = Name::log(number);
        if !self.kept.contains_key(&name) {
            let wanted = self.portion(number).into_iter().map(|number| (Name::log(number), SHORT)).collect();
            self.read(wanted);
        }
        match self.kept.get(&name) {
            Some(kept) => Ok(kept.clone()),
            // It is long, or could not be read.
            None => match self.backend.read(&name, MAX_ENTRY) {
                Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(None),
                read => Ok(Some(read?)),
            },
        }
    }

    /// The entries that are to be read at once, from this one on: those that are listed and what may follow them.
    fn portion(&mut self, from: u64) -> Vec<u64> {
        let (mut portion, mut bytes) = (Vec::new(), 0u64);
        for (number, length) in self.listed.range(from..) {
            bytes = bytes.saturating_add(*length);
            if portion.len() as u64 >= MOST || (bytes > AT_ONCE && !portion.is_empty()) {
                return portion;
            }
            portion.push(*number);
        }
        // A listing may be old: one look at the end, and one beyond it, says where the log ends.
        let next = portion.last().map_or(from, |last| last.saturating_add(1));
        let ahead = if portion.is_empty() { self.stride } else { 2 };
        portion.extend(next..next.saturating_add(ahead));
        self.stride = (self.stride * 2).min(MOST);
        portion
    }

    /// Reads objects of at most this many bytes each, as far as they are not kept.
    pub(super) fn read(&mut self, mut wanted: Vec<(Name, u64)>) {
        if self.kept_bytes > KEPT {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        wanted.retain(|(name, _)| !self.kept.contains_key(name));
        let read = batch::read_many(self.backend, &wanted);
        for ((name, _), read) in wanted.into_iter().zip(read) {
            let kept = match read {
                Ok(bytes) => Some(bytes),
                Err(Error::ObjectMissing { .. }) => None,
                // Reported when it is asked for.
                Err(_) => continue,
            };
            self.kept_bytes += kept.as_ref().map_or(0, |bytes| bytes.len() as u64);
            self.kept.insert(name, kept);
        }
    }

    /// The bytes of an object that was read, which is not kept any longer.
    pub(super) fn take(&mut self, name: &Name) -> Option<Vec<u8>> {
        self.kept.remove(name).flatten()
    }

    /// What was not there is looked for again.
    pub(super) fn forget_missing(&mut self) {
        self.kept.retain(|_, kept| kept.is_some());
    }
}
