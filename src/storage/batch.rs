//! Several requests to the storage at once.

use std::ops::ControlFlow;

use super::{Backend, ByteRange, Kind, Name};
use crate::error::{Error, Result};

/// Reads objects, each of at most the given number of bytes. As many results as names, in their order.
pub(crate) fn read_many(backend: &dyn Backend, names: &[(Name, u64)]) -> Vec<Result<Vec<u8>>> {
    let wanted: Vec<_> = names.iter().map(|(name, limit)| (name.clone(), ByteRange::UpTo(*limit))).collect();
    all(backend, &wanted)
}

/// Reads ranges of objects: an offset and a length of each. As many results as ranges, in their order.
pub(crate) fn read_ranges(backend: &dyn Backend, ranges: &[(Name, u64, usize)]) -> Vec<Result<Vec<u8>>> {
    let range = |(name, offset, length): &(Name, u64, usize)| {
        (name.clone(), ByteRange::Exactly { offset: *offset, length: *length })
    };
    let wanted: Vec<_> = ranges.iter().map(range).collect();
    all(backend, &wanted)
}

/// Reads a range of an object that later processes will ask for again, too.
pub(crate) fn read_again(backend: &dyn Backend, name: &Name, offset: u64, length: usize) -> super::Result<Vec<u8>> {
    let mut read = backend.read_again(&[(name.clone(), ByteRange::Exactly { offset, length })]);
    read.pop().unwrap_or_else(|| backend.read_range(name, offset, length))
}

fn all(backend: &dyn Backend, wanted: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
    match wanted {
        [] => Vec::new(),
        wanted => backend.read_many(wanted).into_iter().map(|read| read.map_err(Error::from)).collect(),
    }
}

/// The objects of this kind whose names come after this one, with their lengths.
pub(crate) fn list_after(backend: &dyn Backend, kind: Kind, after: Option<&Name>) -> Result<Vec<(Name, u64)>> {
    let mut listed = Vec::new();
    backend.list(kind, after, &mut |meta| {
        listed.push((meta.name, meta.size));
        ControlFlow::Continue(())
    })?;
    Ok(listed)
}
