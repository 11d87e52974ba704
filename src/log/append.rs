//! Appending. Private to this room: what may be appended, and when, the [rules](super::rules) say.

use super::rules::Follower;
use super::state::State;
use super::{Body, Log, LogEntry, MAX_ENTRY};
use crate::error::{Error, Result};
use crate::id::{EntryHash, digest};
use crate::storage::{Created, Kind, Name, StorageErrorKind, create_resolved};
use std::sync::Arc;

/// An entry that was appended to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Number of the entry in the log.
    pub sequence: u64,
    /// How many bytes it takes in the repository.
    pub bytes: u64,
}

impl Log {
    /// Appends an entry. `body` is made from the very state that the entry follows, so it is asked again each time that
    /// another writer was faster; it may read and store meanwhile. Where there is nothing to be said, nothing is
    /// appended, and the log lasts as far as it was read.
    ///
    /// Where `body` finds something damaged and the log has moved meanwhile, `follower` is brought up to date and `body` is
    /// asked again.
    pub(super) fn append_if(
        &self,
        follower: &dyn Follower,
        body: &mut dyn FnMut(&State) -> Result<Option<Body>>,
    ) -> Result<Option<Appended>> {
        let transaction = self.transaction()?;
        loop {
            let state = self.state();
            let Some(body) = self.ask(follower, &state, body)? else { continue };
            let Some(body) = body else { return self.settle().map(|()| None) };
            if let Some(appended) = self.attempt(&state, transaction, body)? {
                return Ok(Some(appended));
            }
        }
    }

    /// The same where there is always something to be said.
    pub(super) fn append(
        &self,
        follower: &dyn Follower,
        body: &mut dyn FnMut(&State) -> Result<Body>,
    ) -> Result<Appended> {
        let transaction = self.transaction()?;
        loop {
            let state = self.state();
            let Some(body) = self.ask(follower, &state, body)? else { continue };
            if let Some(appended) = self.attempt(&state, transaction, body)? {
                return Ok(appended);
            }
        }
    }

    /// Begins to append. What was read since the work was to end may lack something: nothing is decided by it.
    fn transaction(&self) -> Result<[u8; 16]> {
        self.runtime.go_on()?;
        self.refuse_rolled_back()?;
        Ok(self.entropy.array()?)
    }

    /// Asks what is to be said after this state; none if the log has moved, and it is to be asked of the log as it is now.
    fn ask<T>(
        &self,
        follower: &dyn Follower,
        state: &State,
        body: &mut dyn FnMut(&State) -> Result<T>,
    ) -> Result<Option<T>> {
        // No lock is held meanwhile: it may read chunks, and store some.
        match body(state) {
            // What another writer appended meanwhile may be why.
            Err(error) if error.is_damage() && self.has_moved(state, follower)? => Ok(None),
            body => body.map(Some),
        }
    }

    /// Appends an entry after this state; none if another writer has appended one there.
    fn attempt(&self, state: &State, transaction: [u8; 16], body: Body) -> Result<Option<Appended>> {
        let (sequence, previous) = (state.next, state.head);
        let (time, writer) = (self.clock.now(), writer_name());
        let entry = LogEntry { sequence, previous, transaction, time, writer, body };
        let name = Name::log(sequence);
        let bytes =
            self.envelope().seal_in(state.epoch, &*self.entropy, Kind::Log, &name.to_string(), &entry.encode())?;
        if bytes.len() as u64 > MAX_ENTRY {
            // No version could read the log any more.
            let what = "the length of an entry of the log in bytes".into();
            return Err(Error::LimitExceeded { what, value: bytes.len() as u64, limit: MAX_ENTRY });
        }
        let appended = Appended { sequence, bytes: bytes.len() as u64 };
        if self.create_entry(&name, &bytes, entry.body.frees_room())? == Created::New {
            self.take_in(&entry, EntryHash::new(digest(&bytes)))?;
            self.keep_appended(sequence);
            self.checkpoint_after(sequence);
            return Ok(Some(appended));
        }
        // After a rotation of the keys, the log cannot be read on beyond the own entry yet.
        let refreshed = self.refresh();
        // A storage may have taken the entry and failed to say so, then answered a repetition of its own request: what
        // stands there is ours.
        match self.backend.read(&name, MAX_ENTRY) {
            Ok(found) if found == bytes => {
                self.take_in(&entry, EntryHash::new(digest(&bytes)))?;
                return Ok(Some(appended));
            }
            Ok(_) => refreshed?,
            Err(error) if error.kind() == StorageErrorKind::NotFound => refreshed?,
            // Where it cannot be read back, it must not be taken for another writer's entry, and the same be appended
            // again: a log that adds a snapshot twice cannot be read by any process.
            Err(error) => return Err(error.into()),
        }
        match self.length() == sequence {
            // The slot is taken, and yet there is nothing in it: a name without an object.
            true => Err(Error::damaged(name, "it can be neither read nor created")),
            false => Ok(None),
        }
    }

    /// Reads the log on, with what follows it, and says whether it goes on after this state of it.
    fn has_moved(&self, since: &State, follower: &dyn Follower) -> Result<bool> {
        self.refresh()?;
        follower.follow_log()?;
        Ok(self.length() != since.next)
    }

    /// Creates an entry; for one that `frees` room there is some kept back.
    fn create_entry(&self, name: &Name, bytes: &[u8], frees: bool) -> Result<Created> {
        loop {
            match create_resolved(&*self.backend, name, bytes) {
                Err(error) if frees && error.kind() == StorageErrorKind::NoSpace && self.backend.use_reserve()? => {}
                created => return Ok(created?),
            }
        }
    }

    /// Folds an entry that this process has just appended, unless another thread has read it already.
    fn take_in(&self, entry: &LogEntry, hash: EntryHash) -> Result<()> {
        let folding = self.fold();
        let mut state = self.state();
        if state.next == entry.sequence {
            Arc::make_mut(&mut state).apply(entry, hash)?;
            self.swap(state);
        }
        self.remember();
        drop(folding);
        Ok(())
    }
}

/// Which process writes an entry of the log, for people.
pub(super) fn writer_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("snap {} on {host}, process {}", env!("CARGO_PKG_VERSION"), std::process::id())
}
