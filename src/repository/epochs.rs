//! What is sealed under a key of before the last rotation. Others may have that key, so it proves nothing about what comes
//! to light only now: an index object that the log does not name is passed over, and a pack that no index object names
//! counts only after each of its chunks was compared with its id. Ids are another key's, which is never changed; who
//! knows it can look for what has an id, but not make anything else that has it.

use std::collections::BTreeSet;

use super::{FrameReader, Opened, ReadDirectories, Repository, batch};
use crate::backend::{Kind, Name};
use crate::crypto::{Keyring, PRELUDE_LEN, PackCipher, epoch_of};
use crate::error::{Error, Result};
use crate::id::{IndexId, PackId};
use crate::pack::{self, MAX_PACK, PackInfo};

impl Repository {
    /// The epoch whose key seals what is written.
    pub fn epoch(&self) -> u32 {
        self.keyring.as_ref().map_or(0, Keyring::current_epoch)
    }

    /// What to say where something does not open: if the keys were rotated meanwhile, it is sealed under a key that this
    /// process does not have, and nothing is wrong with it.
    pub(super) fn unless_rotated(&self, error: Error) -> Error {
        if self.keyring.is_none() || !error.is_damage() {
            return error;
        }
        match self.refresh() {
            Err(rotated @ Error::KeysRotated { .. }) => rotated,
            _ => error,
        }
    }

    /// What opens the frames of a pack.
    ///
    /// # Errors
    /// [`Error::KeysRotated`] if it is sealed under a newer key than this process has.
    pub fn cipher_of(&self, info: &PackInfo) -> Result<PackCipher> {
        info.cipher(self.id(), self.keyring()).map_err(|error| self.unless_rotated(error))
    }

    /// What a whole pack says about itself.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is not sound, and [`Error::KeysRotated`] if it is sealed under a newer key than this
    /// process has.
    pub fn read_pack(&self, id: &PackId, bytes: &[u8]) -> Result<PackInfo> {
        pack::read_pack(id, bytes, self.id(), self.keyring()).map_err(|error| self.unless_rotated(error))
    }

    /// Of these index objects, those that are sealed under the key of an older epoch. What cannot be read is not among
    /// them.
    ///
    /// # Errors
    /// Those of the backend that say nothing about an object.
    pub fn outdated_indexes<'i>(&self, objects: impl IntoIterator<Item = &'i IndexId>) -> Result<BTreeSet<IndexId>> {
        let mut outdated = BTreeSet::new();
        if self.epoch() == 0 {
            return Ok(outdated);
        }
        let objects: Vec<&IndexId> = objects.into_iter().collect();
        let ranges: Vec<_> = objects.iter().map(|object| (Name::new(Kind::Index, object), 0, PRELUDE_LEN)).collect();
        for (object, prelude) in objects.into_iter().zip(batch::read_ranges(&*self.backend, &ranges)) {
            let prelude = match prelude {
                Ok(prelude) => prelude,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            if epoch_of(Kind::Index, &prelude).is_ok_and(|epoch| epoch < self.epoch()) {
                outdated.insert(*object);
            }
        }
        Ok(outdated)
    }

    /// Parts packs that are to be named by an index object into those that may be, and those that must not, and why. Of an
    /// older epoch, what index objects say already counts, not what stands in the pack; those that none names are read
    /// whole. All of them get into the local index: one may rest on another.
    ///
    /// # Errors
    /// Those of the backend that say nothing about a pack, and of the local index.
    pub fn prove_packs(&self, packs: Vec<PackInfo>) -> Result<ReadDirectories> {
        let (mut proven, mut refused) = (Vec::with_capacity(packs.len()), Vec::new());
        let (old, new): (Vec<_>, Vec<_>) = packs.into_iter().partition(|info| info.epoch < self.epoch());
        proven.extend(new);
        for info in &old {
            self.with_index(|index| index.insert_unpublished(info))?;
        }
        for info in old {
            if self.index.names_pack(&info.id)
                && let Some(number) = self.index.pack_number(&info.id)
            {
                proven.push((*self.with_index(|index| index.pack(number))?).clone());
                continue;
            }
            match self.prove_pack(&info) {
                Ok(()) => proven.push(info),
                Err(error) if error.is_damage() => refused.push((info.id, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(ReadDirectories { sound: proven, unsound: refused })
    }

    fn prove_pack(&self, info: &PackInfo) -> Result<()> {
        let bytes = self.backend.read(&info.name(), info.length.min(MAX_PACK))?;
        if self.read_pack(&info.id, &bytes)?.directory != info.directory {
            return Err(Error::damaged(info.name(), "its directory is not what an index object says"));
        }
        let (mut reader, hasher) = (FrameReader::new()?, self.hasher());
        for (number, (frame, chunks)) in info.directory.iter().enumerate() {
            let start = frame.offset as usize;
            let sealed = bytes.get(start..start.saturating_add(frame.stored as usize)).unwrap_or(&[]);
            let plain = match reader.open(self, info, number, sealed.to_vec())? {
                Opened::Plain(plain) => plain,
                Opened::WithoutBase(error) => return Err(error),
            };
            let mut rest = plain.as_slice();
            for chunk in chunks {
                match rest.split_at_checked(chunk.length as usize) {
                    Some((bytes, behind)) if hasher.id(bytes) == chunk.id => rest = behind,
                    _ => {
                        let reason = "its bytes do not hash to its id".into();
                        return Err(Error::ChunkDamaged { id: chunk.id, pack: info.id, reason });
                    }
                }
            }
        }
        Ok(())
    }
}
