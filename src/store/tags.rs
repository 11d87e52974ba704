//! What people say about a snapshot may change; the snapshot itself never does. So tags that were changed stand in the
//! log.

use super::Repository;
use super::log::Body;
use crate::error::{Error, Result};
use crate::id::SnapshotId;

impl Repository {
    /// Gives a snapshot these tags in the place of those that it had.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] if there is none of this name (any more).
    pub fn set_tags(&self, snapshot: SnapshotId, tags: &[String]) -> Result<()> {
        self.change_tags(snapshot, &[], |_| tags.to_vec())
    }

    /// Changes the tags of a snapshot. `change` gets those that it has, also where somebody else changed them just now
    /// (so it may be asked more than once); `at_first` are those that its root carries.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] if there is none of this name (any more).
    pub fn change_tags(
        &self,
        snapshot: SnapshotId,
        at_first: &[String],
        change: impl Fn(&[String]) -> Vec<String>,
    ) -> Result<()> {
        self.check_writable()?;
        self.append(|state| match state.snapshots.iter().find(|record| record.id == snapshot) {
            Some(record) => Ok(Body::SetTags { snapshot, tags: change(record.tags.as_deref().unwrap_or(at_first)) }),
            None => Err(Error::NoSnapshot { wanted: snapshot.to_string() }),
        })?;
        Ok(())
    }
}
