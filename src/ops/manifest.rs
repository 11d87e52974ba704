//! `manifest`: the list of all files of a snapshot, as an Avro file.

use serde::Serialize;

use crate::error::Result;
use crate::id::SnapshotId;
use crate::snapshot::{SnapshotRoot, export_manifest};
use crate::store::{Repository, unless_moved};

/// Result of writing a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ManifestReport {
    /// The snapshot.
    pub snapshot_id: SnapshotId,
    /// How long the file is.
    pub bytes: u64,
}

/// Hands the bytes of an ordinary Avro container file with all rows of the snapshot to `write`, piece by piece.
///
/// # Errors
/// I/O errors and damaged objects of the repository, and errors of `write`, at the first of which it stops.
pub fn manifest(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<ManifestReport> {
    let mut bytes = 0;
    let exported = export_manifest(snapshot, repository, |piece| {
        bytes += piece.len() as u64;
        write(piece)
    });
    unless_moved(repository, snapshot, exported).map(|_| ManifestReport { snapshot_id: snapshot.id, bytes })
}
