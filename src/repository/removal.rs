//! Taking snapshots out of the log, and back in. The data stays where it is: whoever collects garbage decides about that.

use super::log::Body;
use super::{Repository, SnapshotRecord};
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
                true => Err(Error::NoSnapshot { wanted: "to remove is left".into() }),
                false => Ok(Body::RemoveSnapshots { snapshots: removed.clone() }),
            }
        });
        match appended {
            Err(_) if gone => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(_) => Ok(removed),
        }
    }

    /// Adds a snapshot again that was removed, under its name and with the tags that it had; false if it is there. The
    /// caller has made sure that all that it needs is there, too.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] if it is not one that was removed.
    pub fn add_again(&self, record: &SnapshotRecord) -> Result<bool> {
        self.check_writable()?;
        let (snapshot, root) = (record.id, record.root);
        let mut there = false;
        let appended = self.append(|state| {
            there = state.snapshots.iter().any(|record| record.id == snapshot);
            match !there
                && state.removed.iter().any(|removed| removed.record.id == snapshot && removed.record.root == root)
            {
                // The index objects were named when it was added first, and no entry takes that back.
                true => Ok(Body::AddSnapshot { snapshot, root, indexes: Vec::new() }),
                false => Err(Error::NoSnapshot { wanted: snapshot.to_string() }),
            }
        });
        match appended {
            Err(_) if there => Ok(false),
            Err(error) => Err(error),
            Ok(_) => Ok(true),
        }
    }
}
