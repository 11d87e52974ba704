//! Several requests to the storage at once.

use crate::backend::{Backend, Kind, Name};
use crate::error::Result;

/// Reads objects, each of at most so many bytes. As many results as names, in their order.
pub(super) fn read_many(backend: &dyn Backend, names: &[(Name, u64)]) -> Vec<Result<Vec<u8>>> {
    names.iter().map(|(name, limit)| backend.read(name, *limit)).collect()
}

/// The objects of this kind whose names come after this one, with their lengths.
pub(super) fn list_after(backend: &dyn Backend, kind: Kind, after: Option<&Name>) -> Result<Vec<(Name, u64)>> {
    let mut listed = Vec::new();
    backend.list(kind, &mut |name, length| {
        if after.is_none_or(|after| name > *after) {
            listed.push((name, length));
        }
        Ok(())
    })?;
    Ok(listed)
}

/// Reads ranges of objects: an offset and a length of each. As many results as ranges, in their order.
pub(super) fn read_ranges(backend: &dyn Backend, ranges: &[(Name, u64, usize)]) -> Vec<Result<Vec<u8>>> {
    ranges.iter().map(|(name, offset, length)| backend.read_range(name, *offset, *length)).collect()
}
