//! Index objects: reading, publishing and naming them.

use std::collections::BTreeSet;

use super::Catalog;
use crate::crypto::{PRELUDE_LEN, epoch_of};
use crate::error::{Context, Error, Result};
use crate::id::{IndexId, digest};
use crate::index;
use crate::pack::PackInfo;
use crate::storage::{Kind, Name, batch, create_resolved};

/// How long an index object may be to be read together with others.
const SHORT_INDEX: u64 = 1 << 20;
/// How many packs an index object names that is made again.
const PACKS_AN_OBJECT: usize = 256;

impl Catalog {
    /// The packs that an index object names.
    pub fn read_index_object(&self, id: &IndexId) -> Result<Vec<PackInfo>> {
        let bytes = self.packs.backend().read(&Name::new(Kind::Index, id), index::MAX_OBJECT)?;
        self.open_index_object(id, &bytes)
    }

    /// The same of several, read at once. Long ones are read by themselves.
    pub fn read_index_objects(&self, ids: &[IndexId]) -> Vec<Result<Vec<PackInfo>>> {
        let wanted: Vec<_> = ids.iter().map(|id| (Name::new(Kind::Index, id), SHORT_INDEX)).collect();
        let read = batch::read_many(self.packs.backend(), &wanted).into_iter();
        let opened = ids.iter().zip(read).map(|(id, bytes)| match bytes {
            Ok(bytes) => self.open_index_object(id, &bytes),
            Err(_) => self.read_index_object(id),
        });
        opened.collect()
    }

    fn open_index_object(&self, id: &IndexId, bytes: &[u8]) -> Result<Vec<PackInfo>> {
        let name = Name::new(Kind::Index, id);
        if digest(bytes) != *id.as_bytes() {
            return Err(Error::damaged(name, "its bytes do not hash to its name"));
        }
        let opened = self.log.envelope().open(Kind::Index, "", bytes).map_err(|error| Error::damaged(&name, error));
        let body = opened.map_err(|error| self.packs.unless_rotated(error))?;
        index::decode_object(&body).in_object(name)
    }

    /// Of these index objects, those that are sealed under the key of an older epoch. What cannot be read is not among
    /// them.
    ///
    /// # Errors
    /// [`Error::Storage`] for failures that say nothing about an object.
    pub fn outdated_indexes<'i>(&self, objects: impl IntoIterator<Item = &'i IndexId>) -> Result<BTreeSet<IndexId>> {
        let mut outdated = BTreeSet::new();
        if self.packs.epoch() == 0 {
            return Ok(outdated);
        }
        let objects: Vec<&IndexId> = objects.into_iter().collect();
        let ranges: Vec<_> = objects.iter().map(|object| (Name::new(Kind::Index, object), 0, PRELUDE_LEN)).collect();
        for (object, prelude) in objects.into_iter().zip(batch::read_ranges(self.packs.backend(), &ranges)) {
            let prelude = match prelude {
                Ok(prelude) => prelude,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            if epoch_of(Kind::Index, &prelude).is_ok_and(|epoch| epoch < self.packs.epoch()) {
                outdated.insert(*object);
            }
        }
        Ok(outdated)
    }

    /// Writes an index object for these packs and takes it into the local index. Returns its name and length.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails. [`Error::Cache`] if the local index fails.
    pub fn publish_index(&self, packs: &[PackInfo]) -> Result<(IndexId, u64)> {
        let body = index::encode_object(packs);
        let bytes = self.log.envelope().seal(self.log.entropy(), Kind::Index, "", &body)?;
        let id = IndexId::new(digest(&bytes));
        create_resolved(self.packs.backend(), &Name::new(Kind::Index, id), &bytes)?;
        self.with_index(|index| index.insert_object(&id, packs))?;
        Ok((id, bytes.len() as u64))
    }

    /// Index objects that the log names and that cannot be read, and why.
    ///
    /// # Errors
    /// [`Error::Storage`] for failures that say nothing about an object.
    pub fn lost_indexes(&self) -> Result<Vec<(IndexId, Error)>> {
        let mut lost = Vec::new();
        for object in &self.log.state().indexes {
            match self.read_index_object(object) {
                Ok(_) => {}
                Err(error) if error.is_damage() => lost.push((*object, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(lost)
    }

    /// Publishes index objects for these packs. Those that only the listing names are made sure of before.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails.
    pub fn publish_packs(&self, packs: &[PackInfo]) -> Result<Vec<IndexId>> {
        self.log.check_writable()?;
        self.packs.settle(packs.iter().filter(|info| !self.index.names_pack(&info.id)))?;
        packs.chunks(PACKS_AN_OBJECT).map(|packs| self.publish_index(packs).map(|(id, _)| id)).collect()
    }

    /// Names index objects in the log, in the place of others.
    ///
    /// # Errors
    /// As of [`Log::replace_indexes`], and errors of reading index objects.
    pub fn replace_indexes(&self, added: &[IndexId], superseded: &[IndexId]) -> Result<()> {
        self.log.replace_indexes(added, superseded)?;
        self.update()
    }
}
