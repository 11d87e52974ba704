//! New roots for snapshots that are there. Everything that names a snapshot stays; what only its old root reached is garbage
//! from then on.
//!
//! The rules are those of adding a snapshot, and one more: a root is replaced only where it is the one that the new one was
//! made from. That is looked at again in each attempt to append, so of two that replace the same root one learns that it
//! was too late, and decides again.

use super::log::{Body, ReplaceReason, RootReplacement};
use super::{Features, Repository, State, Writer};
use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::id::{ChunkId, SnapshotId};
use crate::snapshot::{SnapshotRoot, first_difference};

/// Result of replacing roots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Snapshots that have their new root.
    pub replaced: Vec<SnapshotId>,
    /// Snapshots that do not: they were removed, or have another root than the one that was to be replaced.
    pub outrun: Vec<SnapshotId>,
    /// The number of the entry; none if nothing was replaced.
    pub entry: Option<u64>,
    /// How many bytes this run added to the repository: packs, their parity, index objects and the entry.
    pub bytes_added: u64,
}

impl RootReplacement {
    /// Whether the snapshot is there and has the root that is to be replaced.
    pub(super) fn is_current(&self, state: &State) -> bool {
        state.snapshots.iter().any(|record| record.id == self.snapshot && record.root == self.old)
    }
}

impl Writer<'_> {
    /// Gives snapshots new roots, by one entry. All packs must have been stored. Those that were removed meanwhile, or have
    /// another root than the old one that is named, are passed over.
    ///
    /// The entry is appended only after a log in whose light everything that the new roots reach is stored for good, but for
    /// what the old root reached as well: that is as safe, or as lost, as it was.
    ///
    /// # Errors
    /// [`Error::ChunkMissing`] if a chunk was announced and never stored. [`Error::Invalid`] if a new root is not one of its
    /// snapshot, or holds other content where the reason says that it is the same. [`Error::Pruned`] if something that is
    /// needed was deleted. Then nothing is replaced.
    pub fn replace_roots(self, reason: ReplaceReason, wanted: &[RootReplacement]) -> Result<Replaced> {
        self.flush()?;
        self.check_complete()?;
        for replacement in wanted {
            match self.repository.check_replacement(reason, replacement) {
                // What only an old root reached is deleted once there is another.
                Err(error) if error.is_damage() && self.repository.is_outrun(replacement)? => {}
                checked => checked?,
            }
        }
        let mut roots = Vec::new();
        let appended = self.repository.append_checked(|state| {
            roots = wanted.iter().filter(|replacement| replacement.is_current(state)).copied().collect();
            if roots.is_empty() {
                return Ok(None);
            }
            if self.sound_at() != state.last_loss() {
                for replacement in &roots {
                    self.secure(state, replacement.snapshot, &replacement.new, Some(&replacement.old))?;
                }
                self.is_sound_at(state.last_loss());
            }
            let indexes = self.unnamed_indexes(state)?;
            Ok(Some(Body::ReplaceRoots { reason, roots: roots.clone(), indexes }))
        })?;
        let entry_bytes = appended.map_or(0, |appended| appended.bytes);
        let mut replaced = Replaced {
            entry: appended.map(|appended| appended.sequence),
            bytes_added: self.written() + entry_bytes,
            ..Replaced::default()
        };
        for replacement in wanted {
            match roots.contains(replacement) {
                true => replaced.replaced.push(replacement.snapshot),
                false => replaced.outrun.push(replacement.snapshot),
            }
        }
        Ok(replaced)
    }
}

impl Repository {
    /// Replaces roots of which something is lost by later ones that were found in packs. Gives the snapshots concerned.
    ///
    /// # Errors
    /// As of [`Writer::replace_roots`].
    pub fn replace_by_found(&self, roots: &[RootReplacement]) -> Result<Vec<SnapshotId>> {
        if roots.is_empty() {
            return Ok(Vec::new());
        }
        let writer = Writer::new(self)?;
        writer.doubt();
        Ok(writer.replace_roots(ReplaceReason::Repaired, roots)?.replaced)
    }

    /// Whether the snapshot has another root by now, or is gone.
    fn is_outrun(&self, replacement: &RootReplacement) -> Result<bool> {
        self.refresh_index()?;
        Ok(!replacement.is_current(&self.lock_state()))
    }

    /// Makes sure that a new root is one of the same snapshot.
    pub(super) fn check_replacement(&self, reason: ReplaceReason, replacement: &RootReplacement) -> Result<()> {
        let RootReplacement { snapshot, old, new } = replacement;
        let wrong =
            |what: &str| Error::Invalid(format!("the root of snapshot {snapshot} must not be replaced: {what}"));
        let new = self.root_in(new)?;
        Features::check(new.required_read, Features::KNOWN.read, "to replace the root of a snapshot of")?;
        if new.id != *snapshot {
            return Err(wrong("the new root is that of another snapshot"));
        }
        let old = match self.root_in(old) {
            Ok(old) => old,
            // Nothing of it is left to compare with, and the snapshot is better off with any other root.
            Err(error) if error.is_damage() && reason != ReplaceReason::Settled => return Ok(()),
            Err(error) => return Err(error),
        };
        let named = |root: &SnapshotRoot| {
            let SnapshotRoot { series, host, user, time, parent, .. } = root;
            (series.clone(), host.clone(), user.clone(), *time, *parent)
        };
        if named(&new) != named(&old) {
            return Err(wrong("the new root has another series, host, user, time or parent"));
        }
        if new.revision <= old.revision || new.altered < old.altered {
            return Err(wrong("the new root is not a later one"));
        }
        match reason {
            ReplaceReason::Settled => match first_difference(&old, &new, self)? {
                None => Ok(()),
                Some(path) => Err(wrong(&format!("{:?} is not what it was", String::from_utf8_lossy(&path)))),
            },
            _ => Ok(()),
        }
    }

    fn root_in(&self, chunk: &ChunkId) -> Result<SnapshotRoot> {
        SnapshotRoot::decode(&self.get(chunk)?).in_object(format_args!("the root of a snapshot in chunk {chunk}"))
    }
}
