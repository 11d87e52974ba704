//! What the log said once: entries that the state that they come to does not show any more.

use super::entries::Entries;
use super::reading::next_entry;
use super::{Body, Log, LogEntry, ReplaceReason, RootReplacement, State};
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

impl Log {
    /// Reads the log from its first entry on as far as it was read before, and hands over each entry with the state that it
    /// follows. Returns what all of them come to.
    ///
    /// # Errors
    /// Those of `each`; [`Error::Damaged`] and [`Error::ObjectMissing`] where an entry is not what it should be.
    fn follow(&self, each: &mut dyn FnMut(&LogEntry, &State) -> Result<()>) -> Result<State> {
        let (end, mut state) = (self.length(), State::default());
        let (mut entries, envelope) = (Entries::new(&*self.backend), self.envelope());
        while state.next < end {
            let missing = || Error::ObjectMissing { name: Name::log(state.next) };
            let bytes = entries.entry(state.next)?.ok_or_else(missing)?;
            let entry = next_entry(&envelope, &state, &bytes)?;
            each(&entry, &state)?;
            state.apply(&entry, EntryHash::new(digest(&bytes)))?;
        }
        Ok(state)
    }

    /// Reads the log from its first entry on and compares the checkpoints with it.
    ///
    /// # Errors
    /// As of [`gap`](Self::gap).
    pub fn history(&self) -> Result<History> {
        let (mut replaced, mut checkpoints) = (Vec::new(), self.checkpoints_to_compare()?);
        let last = self.follow(&mut |entry, state| {
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
}
