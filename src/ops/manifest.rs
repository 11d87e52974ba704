//! `manifest`: the list of all files of a snapshot, as an Avro file.

use crate::error::Result;
use crate::snapshot::{SnapshotRoot, export_manifest};
use crate::store::{Repository, unless_moved};

/// Hands the bytes of an ordinary Avro container file with all rows of the snapshot to `write`, piece by piece, and
/// counts them.
///
/// # Errors
/// I/O errors and damaged objects of the repository, and errors of `write`, at the first of which it stops.
pub fn manifest(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let mut length = 0;
    let exported = export_manifest(snapshot, repository, |bytes| {
        length += bytes.len() as u64;
        write(bytes)
    });
    unless_moved(repository, snapshot, exported).map(|_| length)
}
