//! New roots for snapshots that are there. Everything that names a snapshot stays; what only its old root reached is garbage
//! from then on. The rule of the entry stands in the log ([`Log::replace_roots`](crate::log::Log::replace_roots)).

use super::{Features, PastReplacement, ReplaceReason, Repository, RootReplacement, Writer};
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

impl Writer<'_> {
    /// Gives snapshots new roots, by one entry. All packs must have been stored. Those that were removed meanwhile, or have
    /// another root than the old one that is named, are passed over.
    ///
    /// The entry is appended only after a log in whose light everything that the new roots reach is stored for good, but for
    /// what the old root reached as well: that is as safe, or as lost, as it was.
    ///
    /// # Errors
    /// [`Error::ChunkMissing`] if a chunk was announced and never stored. [`Error::RootRefused`] if a new root is not one of its
    /// snapshot, or holds other content where the reason says that it is the same. [`Error::Pruned`] if something that is
    /// needed was deleted. Then nothing is replaced.
    pub fn replace_roots(self, reason: ReplaceReason, wanted: &[RootReplacement]) -> Result<Replaced> {
        self.flush()?;
        self.check_complete()?;
        let (roots, appended) = self.repository.log.replace_roots(&self, reason, wanted)?;
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

/// Replaces roots of which something is lost by later ones that were found in packs. Returns the snapshots concerned.
///
/// # Errors
/// As of [`Writer::replace_roots`].
pub fn replace_by_found(repository: &Repository, roots: &[RootReplacement]) -> Result<Vec<SnapshotId>> {
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    let writer = Writer::new(repository)?;
    writer.doubt();
    Ok(writer.replace_roots(ReplaceReason::Repaired, roots)?.replaced)
}

/// What is wrong with a root that was replaced by one of the same content: the path of something that is another since.
/// None if nothing is, or where the old root cannot be read any more.
///
/// # Errors
/// Those of reading chunks that say nothing about one.
pub fn check_settled(repository: &Repository, past: &PastReplacement) -> Result<Option<Error>> {
    if past.reason != ReplaceReason::Settled {
        return Ok(None);
    }
    match check_replacement(repository, past.reason, &past.roots) {
        Ok(()) => Ok(None),
        // What only the old root reached, a prune may have deleted by right; what the new one lacks is reported elsewhere.
        Err(error) if error.is_damage() => Ok(None),
        Err(error @ Error::RootRefused { .. }) => {
            let name = format!("snapshot {}", past.roots.snapshot.short());
            Ok(Some(Error::damaged(name, format!("entry {} of the log: {error}", past.entry))))
        }
        Err(error) => Err(error),
    }
}

/// Makes sure that a new root is one of the same snapshot.
pub(super) fn check_replacement(
    repository: &Repository,
    reason: ReplaceReason,
    replacement: &RootReplacement,
) -> Result<()> {
    let RootReplacement { snapshot, old, new } = replacement;
    let wrong = |reason: &str| Error::RootRefused { snapshot: *snapshot, reason: reason.into() };
    let new = root_in(repository, new)?;
    Features::check(new.required_read, Features::KNOWN.read, "to replace the root of a snapshot of")?;
    if new.id != *snapshot {
        return Err(wrong("the new root is that of another snapshot"));
    }
    let old = match root_in(repository, old) {
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
        ReplaceReason::Settled => match first_difference(&old, &new, repository)? {
            None => Ok(()),
            Some(path) => Err(wrong(&format!("{:?} is not what it was", String::from_utf8_lossy(&path)))),
        },
        _ => Ok(()),
    }
}

fn root_in(repository: &Repository, chunk: &ChunkId) -> Result<SnapshotRoot> {
    SnapshotRoot::decode(&repository.get(chunk)?).in_object(format_args!("the root of a snapshot in chunk {chunk}"))
}
