//! What packs say about themselves: the way to the index where index objects are lost.

use super::Repository;
use super::log::Body;
use crate::backend::Kind;
use crate::error::{Context, Error, Result};
use crate::id::{IndexId, PackId};
use crate::pack::{self, HEADER_LEN, PackInfo, TRAILER_LEN, Trailer};

/// How many packs an index object names that is made anew.
const PACKS_AN_OBJECT: usize = 256;

/// Packs, with their lengths in bytes.
type ListedPacks = Vec<(PackId, u64)>;

/// What came of reading the directories of packs.
#[derive(Debug, Default)]
pub struct ReadDirectories {
    /// Packs whose directory is sound.
    pub sound: Vec<PackInfo>,
    /// Those whose header, trailer or directory is not, and why. Nothing that lies in them can be found any more.
    pub unsound: Vec<(PackId, Error)>,
}

impl Repository {
    /// Packs that are there and that no index object names which can be read. Condemned ones are passed over.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn unnamed_packs(&self) -> Result<ListedPacks> {
        let standing = self.standing();
        let mut unnamed = Vec::new();
        self.backend.for_each(Kind::Pack, &mut |meta| {
            if let Ok(id) = meta.name.file().parse::<PackId>()
                && !self.index.names_pack(&id)
                && !standing.is_condemned(&id)
            {
                unnamed.push((id, meta.size));
            }
        })?;
        Ok(unnamed)
    }

    /// What a pack of this length says about itself, from its header, trailer and directory alone. The directory is
    /// sealed, so it is what was written; whether the frames are sound is not known by it. Where one of them is not what
    /// was written, it is that of the mended pack.
    ///
    /// # Errors
    /// [`Error::Damaged`] if one of the three is not sound, and those of the backend.
    pub fn read_directory(&self, id: &PackId, length: u64) -> Result<PackInfo> {
        match self.read_own_directory(id, length).map_err(|error| self.unless_rotated(error)) {
            Err(error @ Error::Damaged { .. }) => match self.mended_pack(id) {
                Some(bytes) => self.read_pack(id, &bytes),
                None => Err(error),
            },
            read => read,
        }
    }

    fn read_own_directory(&self, id: &PackId, length: u64) -> Result<PackInfo> {
        let name = pack::pack_name(id);
        let too_short = || Error::damaged(&name, format!("{length} bytes are too few for a pack"));
        let trailer_at = length.checked_sub(TRAILER_LEN as u64).filter(|at| *at >= HEADER_LEN as u64);
        let trailer_at = trailer_at.ok_or_else(too_short)?;
        if length > pack::MAX_PACK {
            return Err(Error::damaged(name, format!("{length} bytes are more than a pack may have")));
        }
        let header = self.backend.read_range(&name, 0, HEADER_LEN)?;
        let trailer = self.backend.read_range(&name, trailer_at, TRAILER_LEN)?;
        let trailer = Trailer::read(&trailer, length).in_object(&name)?;
        let directory = self.backend.read_range(&name, trailer.directory_offset, trailer.directory_length as usize)?;
        pack::read_parts(id, length, &header, &directory, &trailer, self.id(), self.keyring())
    }

    /// Reads the directories of these packs, one after the other.
    ///
    /// # Errors
    /// Those of the backend that say nothing about a pack.
    pub fn read_directories(&self, packs: &[(PackId, u64)]) -> Result<ReadDirectories> {
        let mut read = ReadDirectories::default();
        for (id, length) in packs {
            match self.read_directory(id, *length) {
                Ok(info) => read.sound.push(info),
                Err(error) if error.is_damage() => read.unsound.push((*id, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    /// Takes packs that no readable index object names into the local index, for this process alone: so what they hold
    /// can be read although an index object is lost. Does nothing where no object is.
    ///
    /// # Errors
    /// Those of the backend that say nothing about a pack.
    pub(super) fn adopt_locally(&self) -> Result<()> {
        let known: std::collections::BTreeSet<IndexId> = self.index.objects()?.into_iter().collect();
        if self.lock_state().indexes.is_subset(&known) {
            return Ok(());
        }
        self.adopt_all_locally().map(drop)
    }

    /// Takes all packs that no readable index object names into the local index, for this process alone. Gives those
    /// whose directory is not sound.
    ///
    /// # Errors
    /// Those of the backend that say nothing about a pack.
    pub fn adopt_all_locally(&self) -> Result<Vec<(PackId, Error)>> {
        let read = self.read_directories(&self.unnamed_packs()?)?;
        for info in &read.sound {
            self.index.insert_unpublished(info)?;
        }
        Ok(read.unsound)
    }

    /// Index objects that the log names and that cannot be read, and why.
    ///
    /// # Errors
    /// Those of the backend that say nothing about an object.
    pub fn lost_indexes(&self) -> Result<Vec<(IndexId, Error)>> {
        let mut lost = Vec::new();
        for object in &self.state().indexes {
            match self.read_index_object(object) {
                Ok(_) => {}
                Err(error) if error.is_damage() => lost.push((*object, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(lost)
    }

    /// Makes sure that packs last which only a listing shows, before something rests on them: whoever wrote them may have
    /// died, or may be about to make them durable.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn settle_packs<'p>(&self, packs: impl IntoIterator<Item = &'p PackInfo>) -> Result<()> {
        for info in packs {
            self.backend.settle(&info.name())?;
        }
        Ok(())
    }

    /// Publishes index objects for these packs. Those that only the listing names are made sure of before.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn publish_packs(&self, packs: &[PackInfo]) -> Result<Vec<IndexId>> {
        self.check_writable()?;
        self.settle_packs(packs.iter().filter(|info| !self.index.names_pack(&info.id)))?;
        packs.chunks(PACKS_AN_OBJECT).map(|packs| self.publish_index(packs).map(|(id, _)| id)).collect()
    }

    /// Names index objects in the log, in the place of others.
    ///
    /// # Errors
    /// [`Error::Busy`] if a prune took the new objects for what somebody left behind, and superseded them: what is named
    /// after that does not count. Those of the backend.
    pub fn replace_indexes(&self, added: &[IndexId], superseded: &[IndexId]) -> Result<()> {
        self.check_writable()?;
        self.append(|state| match added.iter().any(|object| state.standing.superseded.contains_key(object)) {
            true => Err(Error::Busy { what: "the index".into() }),
            false => Ok(Body::IndexReplace { added: added.to_vec(), superseded: superseded.to_vec() }),
        })?;
        self.update_index()
    }
}
