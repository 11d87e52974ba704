//! Reading the log: each entry is opened, and has to follow from the one before it.

use std::sync::Arc;

use super::entries::Entries;
use super::entry::{Body, LogEntry};
use super::state::State;
use crate::crypto::{Envelope, epoch_of};
use crate::error::{Context, Error, Result};
use crate::id::{EntryHash, digest};
use crate::storage::{Kind, Name};

/// Reads the log from the state's head on, as far as it goes.
pub(super) fn read_on(entries: &mut Entries<'_>, envelope: &Envelope, state: &mut Arc<State>) -> Result<()> {
    let mut gap = None;
    loop {
        let Some(bytes) = entries.entry(state.next)? else {
            // Where an entry is lost, all after it would vanish unreported, and the next one would fork the log.
            // One look beyond the end finds that out; `check` lists the log and finds any gap.
            if entries.entry(state.next.saturating_add(1))?.is_none() {
                return Ok(());
            }
            // Or somebody appended two entries just now: then it is there when it is read again.
            if gap == Some(state.next) {
                return Err(Error::ObjectMissing { name: Name::log(state.next) });
            }
            gap = Some(state.next);
            entries.forget_missing();
            continue;
        };
        let entry = next_entry(envelope, state, &bytes)?;
        Arc::make_mut(state).apply(&entry, EntryHash::new(digest(&bytes)))?;
    }
}

/// Opens the entry that follows a state, and makes sure that it may stand there. It is not taken in.
pub(super) fn next_entry(envelope: &Envelope, state: &State, bytes: &[u8]) -> Result<LogEntry> {
    let name = Name::log(state.next);
    let (epoch, entry) = open_entry(envelope, &name, bytes)?;
    if epoch != state.epoch {
        // A process that has only the keys of an older epoch must not append.
        let reason = format!("it is sealed under the key of epoch {epoch}, where the log is in epoch {}", state.epoch);
        return Err(Error::damaged(name, reason));
    }
    if let Body::KeyRotate { epoch, commitment, .. } = &entry.body {
        state.check_follows(&entry)?;
        match (envelope.encrypts(), envelope.holds(*epoch, commitment)) {
            (true, true) => {}
            (true, false) => {
                return Err(Error::KeysRotated { repository: envelope.repository(), rotation: *epoch });
            }
            (false, _) => return Err(Error::damaged(name, "it rotates the keys of a repository that has none")),
        }
    }
    Ok(entry)
}

/// Opens an entry of the log, in whatever epoch; returns that as well.
pub(super) fn open_entry(envelope: &Envelope, name: &Name, bytes: &[u8]) -> Result<(u32, LogEntry)> {
    let kind = Kind::Log;
    let epoch = epoch_of(kind, bytes).in_object(name)?;
    let body = envelope.open(kind, &name.to_string(), bytes).map_err(|error| Error::damaged(name, error))?;
    Ok((epoch, LogEntry::decode(&body).in_object(name)?))
}
