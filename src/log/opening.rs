//! Opening a log. Whether keys are the right ones is known only once the log was read with them, so each that is tried is
//! tried on the same bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::entries::Entries;
use super::local::LocalLog;
use super::reading::read_on;
use super::{LocalCopies, RECENT, State, checkpoint};
use crate::crypto::Envelope;
use crate::error::Result;
use crate::storage::{Backend, Kind, Name};

/// A log that is to be opened.
pub(crate) struct Opening<'a> {
    entries: RefCell<Entries<'a>>,
    /// What this machine has of it.
    local: Option<LocalLog>,
    /// The key slot that opened last time.
    slot: RefCell<Option<(Name, Vec<u8>)>>,
    /// It is taken as far as it goes.
    broken: bool,
}

/// A log as it was read on opening.
pub(crate) struct ReadLog {
    /// The state that the log comes to.
    pub(crate) state: Arc<State>,
    /// How many entries were not read, since a checkpoint stands for them.
    pub(super) skipped: u64,
    /// The hashes of entries that were read.
    pub(super) hashes: BTreeMap<u64, [u8; 32]>,
    /// Entries were seen in a listing beyond the end of the log, or it was not looked.
    pub(super) may_have_gap: bool,
}

impl<'a> Opening<'a> {
    /// Reads at once what opened the repository last time.
    pub(crate) fn new(backend: &'a dyn Backend, broken: bool, local: Option<&LocalCopies>) -> Self {
        let local = local.and_then(LocalCopies::log);
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
        Self { entries: RefCell::new(entries), local, slot: RefCell::new(slot), broken }
    }

    /// The key slot that opened last time, once.
    pub(crate) fn take_slot(&self) -> Option<(Name, Vec<u8>)> {
        self.slot.take()
    }

    /// Reads the log with these keys.
    ///
    /// # Errors
    /// [`Error::KeysRotated`](crate::error::Error::KeysRotated) if they are older than the log, and errors of reading it.
    pub(crate) fn read(&self, envelope: &Envelope) -> Result<ReadLog> {
        let mut entries = self.entries.borrow_mut();
        // A broken log is followed from its first entry on: that is where its breaks are found.
        let mut state = Arc::new(match self.broken {
            true => State::default(),
            false => checkpoint::begin(&mut entries, envelope, self.local.as_ref())?,
        });
        let skipped = state.next;
        match read_on(&mut entries, envelope, &mut state) {
            Err(error) if self.broken && error.is_damage() => {}
            read => read?,
        }
        let may_have_gap = !entries.has_looked() || entries.last_listed().is_some_and(|last| last >= state.next);
        let mut hashes: BTreeMap<_, _> = entries.hashes().collect();
        while hashes.len() > RECENT {
            hashes.pop_first();
        }
        Ok(ReadLog { state, skipped, hashes, may_have_gap })
    }
}
