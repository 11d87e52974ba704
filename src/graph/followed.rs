//! Following all snapshots beside running writers: nothing is called lost by an old log.

use std::collections::HashSet;
use std::sync::Arc;

use super::loss::{BadFrame, Closure, Followed, Lost};
use crate::error::Result;
use crate::id::SnapshotId;
use crate::store::{ATTEMPTS, Inventory, Repository, State};

/// What all snapshots have lost.
pub(crate) struct FollowedAll<'r> {
    /// The log, as of which this is so.
    pub(crate) state: Arc<State>,
    pub(crate) closure: Closure<'r>,
    /// The snapshots that have lost something.
    pub(crate) damaged: Vec<(SnapshotId, Followed)>,
}

/// Follows all snapshots that there are, and hands what they have lost to `tell`, each snapshot once. `bad` are frames that
/// were found not to be what they should be; packs that are not there, the local index knows.
///
/// Where a snapshot has lost something and the log has moved since it was read, all are looked at again: a prune may have
/// moved what was missed, or another process may have removed the snapshot.
///
/// # Errors
/// The errors of `tell`, and failures that do not mean that something is lost.
pub(crate) fn follow_all<'r>(
    repository: &'r Repository,
    bad: &HashSet<BadFrame>,
    tell: &mut dyn FnMut(Lost) -> Result<()>,
) -> Result<FollowedAll<'r>> {
    let (mut reported, mut attempts) = (HashSet::new(), 0);
    'again: loop {
        attempts += 1;
        repository.catalog().refresh()?;
        let state = repository.state();
        let closure = Closure::new(repository, Inventory::of_index(repository)?, &state.standing, bad);
        let mut damaged = Vec::new();
        for record in &state.snapshots {
            let followed = closure.snapshot(record, &mut |_| Ok(()))?;
            if !followed.is_damaged() {
                continue;
            }
            if attempts < ATTEMPTS && repository.catalog().has_moved(&state)? {
                continue 'again;
            }
            if reported.insert(record.id) {
                closure.snapshot(record, tell)?;
            }
            damaged.push((record.id, followed));
        }
        return Ok(FollowedAll { state, closure, damaged });
    }
}
