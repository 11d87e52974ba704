//! What packs say about themselves: the way to the index where index objects are lost.

use super::Packs;
use crate::error::{Context, Error, Result};
use crate::id::PackId;
use crate::pack::{self, HEADER_LEN, PackInfo, TRAILER_LEN, Trailer};
use crate::storage::ByteRange;

/// Result of reading the directories of packs.
#[derive(Debug, Default)]
pub struct ReadDirectories {
    /// Packs whose directory is sound.
    pub sound: Vec<PackInfo>,
    /// Those whose header, trailer or directory is not, and why. Nothing that lies in them can be found any more.
    pub unsound: Vec<(PackId, Error)>,
}

impl Packs {
    /// What a pack of this length says about itself, from its header, trailer and directory alone. The directory is
    /// sealed, so it is what was written; whether the frames are sound is not known by it. Where one of them is not what
    /// was written, it is that of the mended pack.
    ///
    /// # Errors
    /// [`Error::Damaged`] if one of the three is not sound, [`Error::Storage`] if a request fails.
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
        // What an index object is to name has to lie in the storage.
        let read = |offset, length| self.backend().read_stored(&name, ByteRange::Exactly { offset, length });
        let header = read(0, HEADER_LEN)?;
        let trailer = read(trailer_at, TRAILER_LEN)?;
        let trailer = Trailer::read(&trailer, length).in_object(&name)?;
        let directory = read(trailer.directory_offset, trailer.directory_length as usize)?;
        let envelope = self.log.envelope();
        pack::read_parts(id, length, &header, &directory, &trailer, envelope.repository(), envelope.keyring())
    }

    /// Reads the directories of these packs, one after the other.
    ///
    /// # Errors
    /// [`Error::Storage`] for failures that say nothing about a pack.
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
}
