//! Snapshots, their roots and their tags.

use std::collections::HashSet;

use super::{Addition, Follower, Foundation, NewRoots};
use crate::error::{Error, Result};
use crate::id::{ChunkId, IndexId, SnapshotId};
use crate::log::append::Appended;
use crate::log::{Body, Log, ReplaceReason, RootReplacement, State};

impl Log {
    /// **AddSnapshot**, of a snapshot that is new. It must not be there: a log that adds one twice cannot be read by any
    /// process. All that it reaches must be rebuildable from packs that count, or a prune could delete what it needs by
    /// right. What was made sure of stays so until an entry takes places away.
    ///
    /// # Errors
    /// [`Error::SnapshotExists`], [`Error::Pruned`].
    pub fn add_snapshot(&self, foundation: &dyn Foundation, snapshot: SnapshotId, root: ChunkId) -> Result<Appended> {
        self.add(foundation, Addition::Whole(snapshot), root)
    }

    /// **AddSnapshot**, of a snapshot that was removed. It comes back as it was when it went, so it must be a removed one
    /// with this root: none if it has another by now, for then another process brought it back, replaced its root and
    /// removed it again.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] if it is not (or no longer) a removed one, [`Error::Pruned`].
    pub fn restore_snapshot(
        &self,
        foundation: &dyn Foundation,
        snapshot: SnapshotId,
        root: ChunkId,
    ) -> Result<Option<Appended>> {
        self.append_if(foundation, &mut |state| {
            match state.removed_root(snapshot) {
                Some(removed) if removed == root => {}
                Some(_) => return Ok(None),
                None => return Err(Error::NoSnapshot { wanted: snapshot.to_string() }),
            }
            secure(foundation, state, |secure| secure(snapshot, &root, None))?;
            Ok(Some(Body::AddSnapshot { snapshot, root, indexes: unnamed(foundation, state)? }))
        })
    }

    /// **ReplaceRoots**. The rules are those of AddSnapshot, and one in addition: a root is replaced only where it is the
    /// one that the new one was made from, so of two that replace the same root one learns that it was too late. What the
    /// old root reached as well is as safe, or as lost, as it was. Returns the replacements that were made.
    ///
    /// # Errors
    /// [`Error::RootRefused`], [`Error::Pruned`]; then nothing is replaced.
    pub fn replace_roots(
        &self,
        foundation: &dyn NewRoots,
        reason: ReplaceReason,
        wanted: &[RootReplacement],
    ) -> Result<(Vec<RootReplacement>, Option<Appended>)> {
        for replacement in wanted {
            match foundation.check(reason, replacement) {
                // What only an old root reached is deleted once there is another.
                Err(error) if error.is_damage() && self.is_outrun(replacement, foundation)? => {}
                checked => checked?,
            }
        }
        let mut roots = Vec::new();
        let appended = self.append_if(foundation, &mut |state| {
            roots = wanted.iter().filter(|replacement| replacement.is_current(state)).copied().collect();
            if roots.is_empty() {
                return Ok(None);
            }
            secure(foundation, state, |secure| {
                roots.iter().try_for_each(|root| secure(root.snapshot, &root.new, Some(&root.old)))
            })?;
            Ok(Some(Body::ReplaceRoots { reason, roots: roots.clone(), indexes: unnamed(foundation, state)? }))
        })?;
        Ok((roots, appended))
    }

    /// Whether the snapshot has another root by now, or is gone.
    fn is_outrun(&self, replacement: &RootReplacement, follower: &dyn Follower) -> Result<bool> {
        self.refresh()?;
        follower.follow_log()?;
        Ok(!replacement.is_current(&self.state()))
    }

    /// **RemoveSnapshots**, all at once. Those that are gone already are passed over. `rests_on` are the snapshots because of
    /// whose being there these may go (a policy keeps them): all of them must be there, or the last of a kind could go.
    /// Returns those that were removed.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process removed one of `rests_on` meanwhile: then nothing is removed.
    pub fn remove_snapshots(&self, wanted: &[SnapshotId], rests_on: &[SnapshotId]) -> Result<Vec<SnapshotId>> {
        self.check_writable()?;
        let mut removed = Vec::new();
        self.append_if(&(), &mut |state| {
            let there: HashSet<_> = state.snapshots.iter().map(|record| record.id).collect();
            if !rests_on.iter().all(|id| there.contains(id)) {
                return Err(Error::Busy { what: "the list of snapshots".into() });
            }
            removed = wanted.iter().copied().filter(|id| there.contains(id)).collect();
            Ok((!removed.is_empty()).then(|| Body::RemoveSnapshots { snapshots: removed.clone() }))
        })?;
        Ok(removed)
    }

    /// **RemoveSnapshots**, of those that `chosen` names for the state that the entry follows: what was a reason a moment ago may
    /// be none any more (what was lost was stored again, a run goes on). Returns those that were removed.
    ///
    /// # Errors
    /// The errors of `chosen`.
    pub fn remove_chosen_snapshots(
        &self,
        follower: &dyn Follower,
        chosen: &mut dyn FnMut(&State) -> Result<Vec<SnapshotId>>,
    ) -> Result<Vec<SnapshotId>> {
        self.check_writable()?;
        let mut removed = Vec::new();
        self.append_if(follower, &mut |state| {
            removed = chosen(state)?;
            removed.retain(|id| state.snapshot(*id).is_some());
            Ok((!removed.is_empty()).then(|| Body::RemoveSnapshots { snapshots: removed.clone() }))
        })?;
        Ok(removed)
    }

    /// **SetTags**, whatever the tags were before. The snapshot must be there.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] if there is no snapshot with this id (any more).
    pub fn set_tags(&self, snapshot: SnapshotId, tags: &[String]) -> Result<Appended> {
        self.change_tags(snapshot, &[], &|_| tags.to_vec())
    }

    /// **SetTags**, as a change of those that were there. The snapshot must be there. `change` is given the tags that it
    /// has, also where another process changed them just now, so neither change is lost; `at_first` are those that its
    /// root carries.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`] if there is no snapshot with this id (any more).
    pub fn change_tags(
        &self,
        snapshot: SnapshotId,
        at_first: &[String],
        change: &dyn Fn(&[String]) -> Vec<String>,
    ) -> Result<Appended> {
        self.check_writable()?;
        self.append(&(), &mut |state| match state.snapshot(snapshot) {
            Some(record) => Ok(Body::SetTags { snapshot, tags: change(record.tags.as_deref().unwrap_or(at_first)) }),
            None => Err(Error::NoSnapshot { wanted: snapshot.to_string() }),
        })
    }
}

/// Secures roots, unless all was secured as of the last entry that took places away.
pub(super) fn secure(
    foundation: &dyn Foundation,
    state: &State,
    roots: impl FnOnce(&dyn Fn(SnapshotId, &ChunkId, Option<&ChunkId>) -> Result<()>) -> Result<()>,
) -> Result<()> {
    if foundation.secured_at() == state.last_loss() {
        return Ok(());
    }
    roots(&|snapshot, root, before| foundation.secure(state, snapshot, root, before))?;
    foundation.set_secured_at(state.last_loss());
    Ok(())
}

/// The index objects that an entry after this state has to name: what rests on packs that no named object names could be
/// taken for garbage. One that was superseded never counts again.
pub(super) fn unnamed(foundation: &dyn Foundation, state: &State) -> Result<Vec<IndexId>> {
    let mut indexes = foundation.index_objects()?;
    indexes.retain(|object| !state.indexes.contains(object) && !state.standing.superseded.contains_key(object));
    indexes.sort_unstable();
    indexes.dedup();
    Ok(indexes)
}
