//! Keeping small objects near, so that a remote storage is not asked for them again.
//!
//! Only what a name stands for permanently is kept: an object that was read whole. Listings, and whether something is
//! there, are always asked of the storage; what is missing is not remembered. So what a cache shows may be an object that
//! another process has deleted since, and never one that was not stored. An operation that has to look at the storage
//! itself (a check, a repair) uses it without a cache.

mod shelf;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use self::shelf::{FolderShelf, MemoryShelf, Shelf};
use super::{Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, PutTerms, Result};

/// What is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheTerms {
    /// The kinds of objects that are kept.
    ///
    /// Index objects are named by their hash, and a checkpoint counts only if it fits the log. The log and the config are
    /// another matter: a repair may put other bytes under the same name, and that a log was put back to an older state is
    /// seen in the storage alone. Only a reader that asks the storage for the last entry may keep those before it.
    pub kinds: Vec<Kind>,
    /// The largest object that is kept, in bytes.
    pub largest: u64,
    /// How many bytes are kept in all.
    pub total: u64,
}

impl Default for CacheTerms {
    fn default() -> Self {
        Self { kinds: vec![Kind::Index, Kind::Checkpoint], largest: 16 << 20, total: 256 << 20 }
    }
}

/// Keeps small objects of another backend.
pub struct Cache {
    inner: Arc<dyn Backend>,
    terms: CacheTerms,
    shelf: Box<dyn Shelf>,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("inner", &self.inner).field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Cache {
    /// Keeps objects of `inner` in memory.
    pub fn in_memory(inner: Arc<dyn Backend>, terms: CacheTerms) -> Self {
        let shelf = Box::new(MemoryShelf::new(terms.total));
        Self { inner, terms, shelf }
    }

    /// Keeps objects of `inner` in a folder, for the next process as well. It belongs to one repository, is made where it
    /// is missing, and may be deleted at any time. Where it cannot be used, nothing is kept.
    pub fn in_folder(inner: Arc<dyn Backend>, terms: CacheTerms, folder: &Path) -> Self {
        let shelf = Box::new(FolderShelf::new(folder, terms.total));
        Self { inner, terms, shelf }
    }

    fn keeps(&self, name: &Name) -> bool {
        self.terms.kinds.contains(&name.kind())
    }

    /// What is kept of an object, as far as that was asked for.
    fn kept(&self, name: &Name, range: ByteRange) -> Option<Result<Vec<u8>>> {
        let bytes = self.keeps(name).then(|| self.shelf.get(name)).flatten()?;
        Some(range.of(name, &bytes))
    }

    /// Keeps what was read whole.
    fn keep(&self, name: &Name, range: ByteRange, read: &Result<Vec<u8>>) {
        if let (ByteRange::UpTo(_), Ok(bytes)) = (range, read) {
            self.keep_bytes(name, bytes);
        }
    }

    fn keep_bytes(&self, name: &Name, bytes: &[u8]) {
        if self.keeps(name) && bytes.len() as u64 <= self.terms.largest.min(self.terms.total) {
            self.shelf.put(name, bytes);
        }
    }
}

impl Backend for Cache {
    forward!(inner: location, abilities, prepare, settle, tidy, keep_reserve, use_reserve, retain);

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        let created = self.inner.put(name, bytes, terms)?;
        if created == Created::New {
            self.keep_bytes(name, bytes);
        }
        Ok(created)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        if let Some(kept) = self.kept(name, range) {
            return kept;
        }
        let read = self.inner.read_one(name, range);
        self.keep(name, range, &read);
        read
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        let mut done: Vec<Option<Result<Vec<u8>>>> =
            wants.iter().map(|(name, range)| self.kept(name, *range)).collect();
        let open: Vec<(Name, ByteRange)> =
            wants.iter().zip(&done).filter(|(_, kept)| kept.is_none()).map(|(want, _)| want.clone()).collect();
        let mut read = self.inner.read_many(&open).into_iter();
        for ((name, range), done) in wants.iter().zip(&mut done).filter(|(_, kept)| kept.is_none()) {
            *done = read.next();
            if let Some(read) = done {
                self.keep(name, *range, read);
            }
        }
        done.into_iter().flatten().collect()
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        self.inner.head(name)
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        self.inner.list(kind, after, each)
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.shelf.remove(name);
        self.inner.delete(name)
    }

    fn delete_many(&self, names: &[Name]) -> Vec<Result<()>> {
        names.iter().for_each(|name| self.shelf.remove(name));
        self.inner.delete_many(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Memory, Meter};

    fn index(n: u64) -> Name {
        Name::new(Kind::Index, format_args!("{n:064}"))
    }

    /// A storage with ten index objects, a meter in front of it, and what keeps them.
    fn places(total: u64) -> Vec<(Arc<Meter>, Cache, Option<tempfile::TempDir>)> {
        let folder = tempfile::tempdir().unwrap();
        let make = || {
            let memory = Memory::new();
            for n in 0..10 {
                memory.create(&index(n), &[n as u8; 100]).unwrap();
            }
            Arc::new(Meter::new(Arc::new(memory)))
        };
        let terms = CacheTerms { total, largest: 100, ..CacheTerms::default() };
        let (one, two) = (make(), make());
        let on_disk = Cache::in_folder(two.clone(), terms.clone(), &folder.path().join("objects"));
        vec![(one.clone(), Cache::in_memory(one, terms), None), (two, on_disk, Some(folder))]
    }

    #[test]
    fn what_was_read_once_is_not_asked_for_again() {
        for (meter, cache, _folder) in places(10_000) {
            for _ in 0..3 {
                assert_eq!(cache.read(&index(3), 100).unwrap(), [3; 100]);
                assert_eq!(cache.read_range(&index(3), 10, 5).unwrap(), [3; 5]);
                assert!(cache.read(&index(3), 99).is_err(), "limits are kept");
            }
            assert_eq!(meter.counts().read.objects, 1);
            let wants: Vec<_> = (0..11).map(|n| (index(n), ByteRange::UpTo(100))).collect();
            let read = cache.read_many(&wants);
            assert!(read[..10].iter().enumerate().all(|(n, read)| read.as_ref().unwrap() == &[n as u8; 100]));
            assert!(read[10].is_err());
            assert_eq!((meter.counts().read.objects, meter.counts().read.trips), (11, 2));
        }
    }

    #[test]
    fn what_changes_hands_or_is_large_is_never_kept() {
        for (meter, cache, _folder) in places(10_000) {
            cache.create(&Name::log(1), b"entry").unwrap();
            cache.create(&Name::config(), b"config").unwrap();
            cache.create(&index(99), &[1; 101]).unwrap();
            for _ in 0..2 {
                for name in [Name::log(1), Name::config(), index(99)] {
                    cache.read(&name, 200).unwrap();
                }
                assert!(cache.read(&index(50), 100).is_err());
            }
            assert_eq!(meter.counts().read.objects, 8);
        }
    }

    #[test]
    fn what_was_deleted_is_gone() {
        for (_, cache, _folder) in places(10_000) {
            cache.read(&index(1), 100).unwrap();
            cache.delete(&index(1)).unwrap();
            assert!(cache.read(&index(1), 100).is_err());
        }
    }

    #[test]
    fn no_more_is_kept_than_is_allowed() {
        for (meter, cache, folder) in places(450) {
            for _ in 0..3 {
                (0..10).for_each(|n| assert_eq!(cache.read(&index(n), 100).unwrap(), [n as u8; 100]));
            }
            assert!(meter.counts().read.objects > 10);
            if let Some(folder) = folder {
                let files = std::fs::read_dir(folder.path().join("objects")).unwrap().map(|file| file.unwrap());
                assert!(files.map(|file| file.metadata().unwrap().len()).sum::<u64>() <= 450);
            }
        }
    }

    #[test]
    fn what_was_kept_on_disk_serves_the_next_process_unless_it_rotted() {
        let (meter, cache, folder) = places(10_000).remove(1);
        let folder = folder.unwrap().keep().join("objects");
        cache.read(&index(1), 100).unwrap();
        cache.read(&index(2), 100).unwrap();
        let next = Cache::in_folder(meter.clone(), CacheTerms::default(), &folder);
        assert_eq!(next.read(&index(1), 100).unwrap(), [1; 100]);
        assert_eq!(meter.counts().read.objects, 2);
        for file in std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[40] ^= 1;
            std::fs::write(&file, bytes).unwrap();
        }
        assert_eq!(next.read(&index(1), 100).unwrap(), [1; 100]);
        assert_eq!(meter.counts().read.objects, 3);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(next.read(&index(2), 100).unwrap(), [2; 100], "the folder may go at any time");
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}
