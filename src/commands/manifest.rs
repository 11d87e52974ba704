//! `manifest`: the list of all files of a snapshot, as an Avro file.

use crate::commands::select::unless_moved;
use crate::error::Result;
use crate::repository::Repository;
use crate::snapshot::{SnapshotRoot, export_manifest};

/// Hands the bytes of an ordinary Avro container file with all rows of the snapshot to `write`, piece by piece, and
/// counts them.
///
/// # Errors
/// Those of the repository, and those of `write`, at the first of which it stops.
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
