//! How many objects of which kind there are.

use serde::Serialize;

use super::Repository;
use crate::error::Result;
use crate::storage::{Kind, ObjectMeta};

/// The objects of a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Objects {
    /// Packs.
    pub packs: u64,
    /// Bytes of packs.
    pub pack_bytes: u64,
    /// Bytes of the redundancy of packs.
    pub parity_bytes: u64,
    /// Bytes of index objects.
    pub index_bytes: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of everything else: key slots, the config, and so on.
    pub other_bytes: u64,
}

impl Repository {
    /// Counts the objects of the repository, by listing them.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn objects(&self) -> Result<Objects> {
        let mut objects = Objects::default();
        for kind in Kind::ALL {
            self.backend().for_each(kind, &mut |ObjectMeta { size, .. }| match kind {
                Kind::Pack => {
                    objects.packs += 1;
                    objects.pack_bytes += size;
                }
                Kind::Parity => objects.parity_bytes += size,
                Kind::Index => objects.index_bytes += size,
                Kind::Log => objects.log_bytes += size,
                _ => objects.other_bytes += size,
            })?;
        }
        Ok(objects)
    }
}
