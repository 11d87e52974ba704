//! Redundancy of packs: made beside each where the repository is set so, and used where bytes of a pack are not what they
//! were.
//!
//! A parity object is a hint. Nothing rests on it: a pack without one is a pack, and what one yields counts only if it
//! hashes to the name of the pack.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Packs, Settings};
use crate::crypto::PackCipher;
use crate::error::{Context, Error, Result};
use crate::id::{PackId, digest};
use crate::pack::{self, MAX_PACK, MAX_PARITY, PackInfo, Parity, SealedPack, parity_name};
use crate::storage::{ByteRange, Created, Name, PutTerms, StorageErrorKind, batch, create_resolved, put_resolved};

/// Where a pack cannot be read in one piece, it is read in pieces of this many bytes, ...
const PIECE: u64 = 256 << 10;
/// ... and where one of those cannot, in pieces of this many: what a disk loses at once.
const SECTOR: u64 = 4096;

// What can be set is what can be made.
const _: () = assert!(Settings::MAX_PARITY == pack::MAX_SHARE);

/// What was mended in this process.
#[derive(Debug, Default)]
pub(super) struct Mending(Mutex<Mended>);

#[derive(Debug, Default)]
struct Mended {
    /// The last pack, whole: after one bad frame of a pack, more of them mostly follow.
    last: Option<(PackId, Arc<[u8]>)>,
    /// All packs that were mended.
    packs: BTreeSet<PackId>,
    /// Packs of which more is lost than their parity can bring back.
    nothing_left: BTreeSet<PackId>,
}

/// What there is beside a pack.
#[derive(Debug)]
pub enum ParityFound {
    /// A parity object that is, byte for byte, what is made of the pack.
    Sound,
    /// None.
    Missing,
    /// One that is not what was written.
    Unsound(Error),
}

impl Packs {
    /// Writes a pack, and its parity object where the repository is set so. Returns how many bytes that took.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails. [`Error::Damaged`] if there is a pack with this name.
    pub fn store(&self, sealed: &SealedPack) -> Result<u64> {
        let name = sealed.info.name();
        // Where anything is in it that each later run reads, it is to be at hand.
        let is_cold = !sealed.info.directory.frames.iter().any(|frame| frame.kind.is_hot());
        let terms = PutTerms { cold: is_cold, ..PutTerms::default() };
        if put_resolved(self.backend(), &name, &sealed.bytes, &terms)? == Created::Exists {
            return Err(Error::damaged(name, "a pack with this name is there already, which cannot be"));
        }
        Ok(sealed.bytes.len() as u64 + self.protect(&sealed.info.id, &sealed.bytes)?)
    }

    /// Makes the parity object of a pack with these bytes, if there is to be one and there is none. Returns its length.
    pub(super) fn protect(&self, pack: &PackId, bytes: &[u8]) -> Result<u64> {
        let Some(object) = pack::make_parity(self.log.repository(), pack, bytes, self.log.state().settings.parity())
        else {
            return Ok(0);
        };
        match create_resolved(self.backend(), &parity_name(pack), &object)? {
            Created::New => Ok(object.len() as u64),
            Created::Exists => Ok(0),
        }
    }

    /// What there is beside a pack whose bytes are these, and sound.
    ///
    /// # Errors
    /// [`Error::Storage`] for failures that say nothing about the object.
    pub fn find_parity(&self, pack: &PackId, bytes: &[u8]) -> Result<ParityFound> {
        let name = parity_name(pack);
        let object = match self.backend().read(&name, MAX_PARITY) {
            Ok(object) => object,
            Err(error) if error.kind() == StorageErrorKind::NotFound => return Ok(ParityFound::Missing),
            Err(error) if error.is_damage() => return Ok(ParityFound::Unsound(error.into())),
            Err(error) => return Err(error.into()),
        };
        Ok(match Parity::read(&object, self.log.repository()).in_object(&name) {
            Ok(parity) if parity.pack() == *pack && parity.is_made_of(bytes) => ParityFound::Sound,
            Ok(_) => ParityFound::Unsound(Error::damaged(name, "it is not what is made of its pack")),
            Err(error) => ParityFound::Unsound(error),
        })
    }

    /// Makes the parity object of a sound pack again. One that is not what it should be is deleted first. True if there is
    /// a new one; there is none where the repository is set so.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails. [`Error::Damaged`] if the pack is not sound.
    pub fn renew_parity(&self, pack: &PackId) -> Result<bool> {
        let name = pack::pack_name(pack);
        let bytes = self.backend().read(&name, MAX_PACK)?;
        if digest(&bytes) != *pack.as_bytes() {
            return Err(Error::damaged(name, "its bytes do not hash to its name"));
        }
        match self.find_parity(pack, &bytes)? {
            ParityFound::Sound => return Ok(false),
            ParityFound::Missing => {}
            ParityFound::Unsound(_) => self.backend().delete(&parity_name(pack))?,
        }
        Ok(self.protect(pack, &bytes)? > 0)
    }

    /// The bytes of a frame as they were before sealing, still encoded. Where they are not what was written, the bytes of
    /// the mended pack. `again` says that later processes will ask for what lies there, too.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails. [`Error::Damaged`] if they cannot be had.
    pub fn unseal(&self, info: &PackInfo, cipher: &PackCipher, number: usize, again: bool) -> Result<Vec<u8>> {
        let frame = info.frame(number)?;
        let sealed = match frame.kind.is_hot() {
            true => batch::read_again(self.backend(), &info.name(), u64::from(frame.offset), frame.stored as usize),
            false if self.is_far() => {
                let range = (u64::from(frame.offset), frame.stored as usize);
                self.windows.read(self.backend(), info, range, again)
            }
            false => self.backend().read_range(&info.name(), u64::from(frame.offset), frame.stored as usize),
        };
        let failure = match sealed.map_err(Error::from).and_then(|sealed| info.unseal(cipher, number, sealed)) {
            Err(error) if may_be_mended(&error) => error,
            unsealed => return unsealed,
        };
        if let Some(body) = self.unseal_stored(info, cipher, number) {
            return Ok(body);
        }
        let Some(pack) = self.mended_pack(&info.id) else { return Err(failure) };
        let start = frame.offset as usize;
        match pack.get(start..start.saturating_add(frame.stored as usize)) {
            Some(sealed) => info.unseal(cipher, number, sealed.to_vec()),
            None => Err(failure),
        }
    }

    /// The same from the storage itself: what was read may have been wrong on its way, or in what is kept near.
    fn unseal_stored(&self, info: &PackInfo, cipher: &PackCipher, number: usize) -> Option<Vec<u8>> {
        let frame = info.frame(number).ok()?;
        self.windows.forget(&info.id);
        let range = ByteRange::Exactly { offset: u64::from(frame.offset), length: frame.stored as usize };
        let sealed = self.backend().read_stored(&info.name(), range).ok()?;
        info.unseal(cipher, number, sealed).ok()
    }

    /// All bytes of a pack that is there and is not what it was, if its parity can bring them back. They hash to its name.
    /// The pack itself stays as it is.
    pub fn mended_pack(&self, pack: &PackId) -> Option<Arc<[u8]>> {
        // Held all the while: of several threads that meet the same damage, one does the work.
        let mut mended = self.mending.lock();
        match &mended.last {
            Some((last, bytes)) if last == pack => return Some(bytes.clone()),
            _ if mended.nothing_left.contains(pack) => return None,
            _ => {}
        }
        let object = self.backend().read(&parity_name(pack), MAX_PARITY).ok()?;
        let parity = Parity::read(&object, self.log.repository()).ok().filter(|parity| parity.pack() == *pack);
        let left = self.what_is_left(&pack::pack_name(pack))?;
        match parity.and_then(|parity| parity.mend(&left)) {
            Some(bytes) => {
                // Else the pack is sound, and it was the reading that went wrong.
                if left != bytes {
                    mended.packs.insert(*pack);
                }
                let bytes = Arc::<[u8]>::from(bytes);
                mended.last = Some((*pack, bytes.clone()));
                Some(bytes)
            }
            None => {
                mended.nothing_left.insert(*pack);
                None
            }
        }
    }

    /// The packs that are damaged and were read with the help of their parity since the repository was opened.
    pub fn mended_packs(&self) -> Vec<PackId> {
        self.mending.lock().packs.iter().copied().collect()
    }

    /// The bytes of an object as far as they can be read, with zeros for the others. A disk that cannot read a sector says
    /// so, instead of giving wrong bytes.
    /// None where not a byte can be had, or where the storage fails in another way than by a bad medium: then it is the way
    /// to the object that is not there, and not its bytes, and asking for each sector would only take long.
    fn what_is_left(&self, name: &Name) -> Option<Vec<u8>> {
        match self.backend().read(name, MAX_PACK) {
            Ok(bytes) => return Some(bytes),
            Err(error) if !is_of_the_bytes(error.kind()) => return None,
            Err(_) => {}
        }
        let length = self.backend().size(name).ok()??.min(MAX_PACK);
        let (mut bytes, mut any) = (vec![0; length as usize], false);
        // Whether the part could be read; none where it is of no use to ask for others.
        let mut fill = |start: u64, end: u64| {
            let read = match self.backend().read_range(name, start, (end - start) as usize) {
                Ok(read) => read,
                Err(error) => return is_of_the_bytes(error.kind()).then_some(false),
            };
            match bytes.get_mut(start as usize..end as usize) {
                Some(part) if read.len() == part.len() => part.copy_from_slice(&read),
                _ => return Some(false),
            }
            any = true;
            Some(true)
        };
        for start in (0..length).step_by(PIECE as usize) {
            let end = (start + PIECE).min(length);
            if !fill(start, end)? {
                for sector in (start..end).step_by(SECTOR as usize) {
                    fill(sector, (sector + SECTOR).min(end))?;
                }
            }
        }
        any.then_some(bytes)
    }
}

impl Mending {
    /// What is in it is true whenever a thread ends.
    fn lock(&self) -> MutexGuard<'_, Mended> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether bytes that are there are wrong, or cannot be read. What is gone altogether was deleted; and that a storage does
/// not answer, or denies access, says nothing about bytes.
fn may_be_mended(error: &Error) -> bool {
    match error {
        Error::Damaged { .. } => true,
        Error::Storage(error) => is_of_the_bytes(error.kind()),
        _ => false,
    }
}

/// Whether it is the bytes of an object that a storage could not give, and not the object or the storage.
fn is_of_the_bytes(kind: StorageErrorKind) -> bool {
    matches!(kind, StorageErrorKind::Damaged(_) | StorageErrorKind::BadMedium)
}
