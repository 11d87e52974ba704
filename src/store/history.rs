//! What the log said once: entries that the state that they come to does not show any more.

use super::entries::Entries;
use super::log::{Body, LogEntry, ReplaceReason, RootReplacement};
use super::{Repository, State, next_entry};
use crate::error::{Error, Result};
use crate::id::{EntryHash, digest};
use crate::storage::Name;

/// A root that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastReplacement {
    /// The number of the entry.
    pub entry: u64,
    /// Why.
    pub reason: ReplaceReason,
    /// The roots.
    pub roots: RootReplacement,
}

/// What the log said from its first entry on.
#[derive(Debug, Default)]
pub struct History {
    /// The roots that were replaced, in the order in which that was done.
    pub replaced: Vec<PastReplacement>,
    /// The numbers of checkpoints that are not what the log comes to. They are harmless.
    pub unsound_checkpoints: Vec<u64>,
}

impl Repository {
    /// Reads the log from its first entry on as far as it was read before, and gives each entry with the state that it
    /// follows. Gives what all of them come to.
    ///
    /// # Errors
    /// Those of `each`; [`Error::Damaged`] and [`Error::ObjectMissing`] where an entry is not what it should be.
    pub fn follow_log(&self, each: &mut dyn FnMut(&LogEntry, &State) -> Result<()>) -> Result<State> {
        let (end, mut state) = (self.lock_state().next, State::default());
        let mut entries = Entries::new(&*self.backend);
        while state.next < end {
            let missing = || Error::ObjectMissing { name: Name::log(state.next) };
            let bytes = entries.entry(state.next)?.ok_or_else(missing)?;
            let entry = next_entry(&self.envelope, &state, &bytes)?;
            each(&entry, &state)?;
            state.apply(&entry, EntryHash::new(digest(&bytes)))?;
        }
        Ok(state)
    }

    /// Reads the log from its first entry on and compares the checkpoints with it.
    ///
    /// # Errors
    /// As of [`follow_log`](Self::follow_log).
    pub fn history(&self) -> Result<History> {
        let (mut replaced, mut checkpoints) = (Vec::new(), self.checkpoints_to_compare()?);
        let last = self.follow_log(&mut |entry, state| {
            checkpoints.compare(self, state);
            if let Body::ReplaceRoots { reason, roots, .. } = &entry.body {
                let current = roots.iter().filter(|replacement| replacement.is_current(state));
                replaced.extend(current.map(|roots| PastReplacement {
                    entry: entry.sequence,
                    reason: *reason,
                    roots: *roots,
                }));
            }
            Ok(())
        })?;
        checkpoints.compare(self, &last);
        Ok(History { replaced, unsound_checkpoints: checkpoints.unsound() })
    }

    /// What is wrong with a root that was replaced by one of the same content: the path of something that is another since.
    /// None if nothing is, or where the old root cannot be read any more.
    ///
    /// # Errors
    /// Those of reading chunks that say nothing about one.
    pub fn check_settled(&self, past: &PastReplacement) -> Result<Option<Error>> {
        if past.reason != ReplaceReason::Settled {
            return Ok(None);
        }
        match self.check_replacement(past.reason, &past.roots) {
            Ok(()) => Ok(None),
            // What only the old root reached, a prune may have deleted by right; what the new one lacks is reported elsewhere.
            Err(error) if error.is_damage() => Ok(None),
            Err(Error::Invalid(reason)) => {
                let name = format!("snapshot {}", past.roots.snapshot.short());
                Ok(Some(Error::damaged(name, format!("entry {} of the log: {reason}", past.entry))))
            }
            Err(error) => Err(error),
        }
    }
}
