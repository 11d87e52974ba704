//! What the log said once: entries that the state that they come to does not show any more.

use super::log::{self, Body, LogEntry, ReplaceReason, RootReplacement};
use super::{Repository, State, next_entry};
use crate::backend::Name;
use crate::error::{Error, Result};
use crate::id::{EntryHash, digest};

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

impl Repository {
    /// Reads the log from its first entry on as far as it was read before, and gives each entry with the state that it
    /// follows. Gives what all of them come to.
    ///
    /// # Errors
    /// Those of `each`; [`Error::Damaged`] and [`Error::ObjectMissing`] where an entry is not what it should be.
    pub fn follow_log(&self, each: &mut dyn FnMut(&LogEntry, &State) -> Result<()>) -> Result<State> {
        let (end, mut state) = (self.lock_state().next, State::default());
        while state.next < end {
            let bytes = self.backend.read(&Name::log(state.next), log::MAX_ENTRY)?;
            let entry = next_entry(&self.envelope, &state, &bytes)?;
            each(&entry, &state)?;
            state.apply(&entry, EntryHash::new(digest(&bytes)))?;
        }
        Ok(state)
    }

    /// The roots that were replaced, in the order in which that was done.
    ///
    /// # Errors
    /// As of [`follow_log`](Self::follow_log).
    pub fn past_replacements(&self) -> Result<Vec<PastReplacement>> {
        let mut past = Vec::new();
        self.follow_log(&mut |entry, state| {
            if let Body::ReplaceRoots { reason, roots, .. } = &entry.body {
                let current = roots.iter().filter(|replacement| replacement.is_current(state));
                past.extend(current.map(|roots| PastReplacement {
                    entry: entry.sequence,
                    reason: *reason,
                    roots: *roots,
                }));
            }
            Ok(())
        })?;
        Ok(past)
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
