//! Packs that no readable index object names.

use std::collections::BTreeSet;

use super::Catalog;
use crate::error::{Error, Result};
use crate::id::{IndexId, PackId};
use crate::storage::Kind;

/// Packs, with their lengths in bytes.
type ListedPacks = Vec<(PackId, u64)>;

impl Catalog {
    /// Packs that are there and that no index object names which can be read. Condemned ones are passed over.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn unnamed_packs(&self) -> Result<ListedPacks> {
        let standing = self.log.standing();
        let mut unnamed = Vec::new();
        self.packs.backend().for_each(Kind::Pack, &mut |meta| {
            if let Ok(id) = meta.name.file().parse::<PackId>()
                && !self.index.names_pack(&id)
                && !standing.is_condemned(&id)
            {
                unnamed.push((id, meta.size));
            }
        })?;
        Ok(unnamed)
    }

    /// Takes packs that no readable index object names into the local index, for this process alone: so what they hold
    /// can be read although an index object is lost. Does nothing where no object is.
    ///
    /// # Errors
    /// Those of the backend that say nothing about a pack.
    pub(in crate::store) fn adopt_locally(&self) -> Result<()> {
        let known: BTreeSet<IndexId> = self.index.objects()?.into_iter().collect();
        if self.log.state().indexes.is_subset(&known) {
            return Ok(());
        }
        self.adopt_all_locally().map(drop)
    }

    /// Takes all packs that no readable index object names into the local index, for this process alone. Returns those
    /// whose directory is not sound.
    ///
    /// # Errors
    /// Those of the backend that say nothing about a pack.
    pub fn adopt_all_locally(&self) -> Result<Vec<(PackId, Error)>> {
        let read = self.packs.read_directories(&self.unnamed_packs()?)?;
        for info in &read.sound {
            self.index.insert_unpublished(info)?;
        }
        Ok(read.unsound)
    }
}
