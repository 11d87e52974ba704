//! Taking snapshots out of the log. The data stays where it is: whoever collects garbage decides about that.

use super::Repository;
use super::log::Body;
use crate::error::{Error, Result};
use crate::id::SnapshotId;

impl Repository {
    /// Removes snapshots, all at once. Those that are gone already are passed over; gives those that were removed.
    ///
    /// `rests_on` are the snapshots because of whose being there these may go.
    ///
    /// # Errors
    /// [`Error::Busy`] if somebody else removed one of `rests_on` meanwhile: then nothing is removed.
    pub fn remove_snapshots(&self, wanted: &[SnapshotId], rests_on: &[SnapshotId]) -> Result<Vec<SnapshotId>> {
        self.check_writable()?;
        let mut removed = Vec::new();
        let mut gone = false;
        let appended = self.append(|state| {
            let there: std::collections::HashSet<_> = state.snapshots.iter().map(|record| record.id).collect();
            if !rests_on.iter().all(|id| there.contains(id)) {
                return Err(Error::Busy { what: "the list of snapshots".into() });
            }
            removed = wanted.iter().copied().filter(|id| there.contains(id)).collect();
            gone = removed.is_empty();
            match gone {
                true => Err(Error::Invalid("nothing to remove".into())),
                false => Ok(Body::RemoveSnapshots { snapshots: removed.clone() }),
            }
        });
        match appended {
            Err(_) if gone => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(_) => Ok(removed),
        }
    }
}
