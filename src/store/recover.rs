//! Making a log whole of which an entry is lost: snapshots are found in packs, and what was said after the break is said
//! again.

use super::{Repository, Writer};
use crate::crypto::slot;
use crate::error::Result;
use crate::id::{ChunkId, KeyId, SnapshotId, digest};
use crate::log::LogDamage;
use crate::storage::{Kind, ObjectMeta};

/// What became of a broken log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RebuiltLog {
    /// Entries that were kept: those before the break, and those after it, which were appended again.
    pub kept: u64,
    /// Key slots that the log did not name (any more) and now does. Some may be of passwords that were taken away.
    pub keys: Vec<KeyId>,
}

/// Makes a broken log whole: takes out what stands after the break, adds the snapshots that were `found` in packs, and
/// appends again what was said after the break. So tags that were set there, and removals, hold for those as well.
///
/// Nobody else may write meanwhile. If this is interrupted, what was after the break may be lost as well.
///
/// # Errors
/// [`Error::Unsupported`](crate::error::Error::Unsupported) if an entry is of a kind that this version does not know; then
/// nothing was changed. Those of the backend.
pub fn rebuild_log(repository: &Repository, damage: &LogDamage, found: &[(SnapshotId, ChunkId)]) -> Result<RebuiltLog> {
    let (log, there) = (repository.log(), slots(repository)?);
    log.cut_at(damage)?;
    let keys = log.name_slots(damage, digest(&repository.config.encode()), &there)?;
    let lost: Vec<_> = found.iter().filter(|(id, _)| !damage.adds(id)).copied().collect();
    repository.catalog.update()?;
    add_found(repository, &lost)?;
    log.repeat_survivors(damage, &there)?;
    let kept = log.length();
    repository.catalog.update()?;
    Ok(RebuiltLog { kept, keys })
}

/// The key slots that are there, whatever the log says.
fn slots(repository: &Repository) -> Result<Vec<(KeyId, [u8; 32])>> {
    let (backend, mut slots) = (repository.backend(), Vec::new());
    for ObjectMeta { name, .. } in backend.list_all(Kind::Key)? {
        let Ok(key) = name.file().parse::<KeyId>() else { continue };
        let Ok(bytes) = backend.read(&name, slot::MAX_SLOT) else { continue };
        if slot::info(&bytes).is_ok_and(|info| info.repository == repository.id()) {
            slots.push((key, digest(&bytes)));
        }
    }
    Ok(slots)
}

/// Adds snapshots whose roots were found in packs. The caller has made sure of what they reach, or wants them as they
/// are.
///
/// # Errors
/// [`Error::SnapshotExists`](crate::error::Error::SnapshotExists) for an id that is in the log already; those of the
/// backend.
pub fn add_found(repository: &Repository, snapshots: &[(SnapshotId, ChunkId)]) -> Result<()> {
    if snapshots.is_empty() {
        return Ok(());
    }
    // What no index object names would be lost to them.
    let unnamed = repository.packs.read_directories(&repository.catalog.unnamed_packs()?)?;
    let proven = repository.reader.prove_packs(unnamed.sound)?.sound;
    repository.catalog.publish_packs(&proven)?;
    for (snapshot, root) in snapshots {
        let writer = Writer::new(repository)?;
        writer.flush()?;
        repository.log.add_snapshot(&writer, *snapshot, *root)?;
    }
    Ok(())
}

impl Writer<'_> {
    /// Names in the log what was stored, without a snapshot.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn name_stored(&self) -> Result<()> {
        self.flush()?;
        let state = self.repository.state();
        let mut added = self.objects();
        added.retain(|object| !state.indexes.contains(object));
        added.sort_unstable();
        match added.is_empty() {
            true => Ok(()),
            false => self.repository.catalog.replace_indexes(&added, &[]),
        }
    }
}
