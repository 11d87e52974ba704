//! Keeping small objects near, so that a remote storage is not asked for them again.
//!
//! Only what a name stands for permanently is kept: an object that was written or read whole, and ranges of which the reader
//! said that they will be asked for again ([`Backend::read_again`]). Listings, and whether something is there, are always asked
//! of the storage; what is missing is not remembered. So what a cache shows may be an object that another process has deleted
//! since, and never one that was not stored. An operation that has to look at the storage itself (a check, a repair) uses it
//! without a cache.

mod shelf;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use self::shelf::{FolderShelf, MemoryShelf, Shelf};
use super::{Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, PutTerms, Result};
use crate::id::{digest, hex};

/// What is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheTerms {
    /// The kinds of objects that are kept.
    ///
    /// Index objects and packs are named by their hash, and a checkpoint counts only if it fits the log. The log and the config are
    /// another matter: a repair may put other bytes under the same name, and that a log was put back to an older state is
    /// seen in the storage alone. Only a reader that asks the storage for the last entry may keep those before it.
    pub kinds: Vec<Kind>,
    /// The largest object that is kept, in bytes.
    pub largest: u64,
    /// The longest range that is kept, in bytes.
    pub longest_range: u64,
    /// How many bytes are kept in all.
    pub total: u64,
}

impl Default for CacheTerms {
    fn default() -> Self {
        let kinds = vec![Kind::Index, Kind::Checkpoint, Kind::Pack];
        Self { kinds, largest: 4 << 20, longest_range: 1 << 20, total: 512 << 20 }
    }
}

impl CacheTerms {
    /// Keeps at most this many bytes in all.
    pub fn total(self, bytes: u64) -> Self {
        Self { total: bytes, ..self }
    }
}

/// Keeps small objects of another backend.
pub struct Cache {
    inner: Arc<dyn Backend>,
    terms: CacheTerms,
    shelf: Box<dyn Shelf>,
    /// The object that was asked for last: its frames are asked for one after the other.
    last: Mutex<Option<(String, Arc<[u8]>)>>,
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
        Self { inner, terms, shelf, last: Mutex::default() }
    }

    /// Keeps objects of `inner` in a folder, for the next process as well. Any number of repositories and processes may share
    /// it. It is made where it is missing, and may be deleted at any time. Where it cannot be used, nothing is kept.
    pub fn in_folder(inner: Arc<dyn Backend>, terms: CacheTerms, folder: &Path) -> Self {
        let shelf = Box::new(FolderShelf::new(folder, &inner.location(), terms.total));
        Self { inner, terms, shelf, last: Mutex::default() }
    }

    /// How many files such a folder holds, and how many bytes.
    pub fn measure(folder: &Path) -> (u64, u64) {
        let files = shelf::files(folder);
        (files.len() as u64, files.iter().map(|(_, length, _)| length).sum())
    }

    /// Removes what is kept in such a folder, and leaves alone what is something else. Returns how many files and bytes
    /// went.
    pub fn clear(folder: &Path) -> (u64, u64) {
        shelf::clear(folder)
    }

    fn keeps(&self, name: &Name) -> bool {
        self.terms.kinds.contains(&name.kind())
    }

    /// All of an object, if that is kept.
    fn whole(&self, key: String) -> Option<Arc<[u8]>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = last.as_ref().filter(|(of, _)| *of == key) {
            return Some(bytes.clone());
        }
        let bytes: Arc<[u8]> = self.shelf.get(&key)?.into();
        *last = Some((key, bytes.clone()));
        Some(bytes)
    }

    /// What is kept of an object, as far as that was asked for.
    fn kept(&self, (name, range): &(Name, ByteRange)) -> Option<Result<Vec<u8>>> {
        if !self.keeps(name) {
            return None;
        }
        if let Some(bytes) = self.whole(key(name, None)) {
            return Some(range.of(name, &bytes));
        }
        match range {
            ByteRange::UpTo(_) => None,
            ByteRange::Exactly { .. } => self.shelf.get(&key(name, Some(*range))).map(Ok),
        }
    }

    /// Keeps what was read whole; `again` if ranges are kept as well.
    fn keep(&self, (name, range): &(Name, ByteRange), read: &Result<Vec<u8>>, again: bool) {
        match (range, read) {
            (ByteRange::UpTo(_), Ok(bytes)) => self.keep_bytes(name, bytes),
            (ByteRange::Exactly { .. }, Ok(bytes))
                if again && self.keeps(name) && bytes.len() as u64 <= self.terms.longest_range =>
            {
                self.shelf.put(&key(name, Some(*range)), bytes);
            }
            _ => {}
        }
    }

    /// Packs and index objects are called after their bytes. What came with others is wrong, and is not kept.
    fn keep_bytes(&self, name: &Name, bytes: &[u8]) {
        let is_it = !matches!(name.kind(), Kind::Pack | Kind::Index) || hex(&digest(bytes)) == name.file();
        if self.keeps(name) && bytes.len() as u64 <= self.terms.largest.min(self.terms.total) && is_it {
            self.shelf.put(&key(name, None), bytes);
        }
    }

    /// Lets go of what is kept of these objects: of all of it, or of parts alone.
    fn forget<'n>(&self, names: impl Iterator<Item = &'n Name> + Clone, all: bool) {
        if all {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
            names.clone().for_each(|name| self.shelf.remove(&key(name, None)));
        }
        let keys = names.filter(|name| self.keeps(name)).map(|name| key(name, None)).collect::<BTreeSet<_>>();
        if !keys.is_empty() {
            self.shelf.remove_below(&keys);
        }
    }

    fn read_wants(&self, wants: &[(Name, ByteRange)], again: bool) -> Vec<Result<Vec<u8>>> {
        let mut done: Vec<Option<Result<Vec<u8>>>> = wants.iter().map(|want| self.kept(want)).collect();
        let is_open = |kept: &Option<Result<Vec<u8>>>| kept.is_none();
        let open: Vec<(Name, ByteRange)> =
            wants.iter().zip(&done).filter(|(_, kept)| is_open(kept)).map(|(want, _)| want.clone()).collect();
        let mut read = match &open[..] {
            [] => Vec::new(),
            open => self.inner.read_many(open),
        }
        .into_iter();
        for (want, done) in wants.iter().zip(&mut done).filter(|(_, kept)| is_open(kept)) {
            *done = read.next();
            if let Some(read) = done {
                self.keep(want, read, again);
            }
        }
        done.into_iter().flatten().collect()
    }
}

/// What an object, or a range of one, is called on a shelf.
fn key(name: &Name, range: Option<ByteRange>) -> String {
    let (kind, file) = (name.kind().folder(), name.file());
    match range {
        Some(ByteRange::Exactly { offset, length }) => format!("{kind}-{file}-{offset}-{length}"),
        _ => format!("{kind}-{file}"),
    }
}

impl Backend for Cache {
    forward!(inner: location, abilities, traffic, prepare, settle, tidy, keep_reserve, use_reserve, retain);

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        let created = self.inner.put(name, bytes, terms)?;
        if created == Created::New {
            self.keep_bytes(name, bytes);
        }
        Ok(created)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        let want = (name.clone(), range);
        if let Some(kept) = self.kept(&want) {
            return kept;
        }
        let read = self.inner.read_one(name, range);
        self.keep(&want, &read, false);
        read
    }

    /// Asked for where what is kept is not trusted. Whole objects were compared with their names.
    fn read_stored(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.forget([name].into_iter(), false);
        self.inner.read_stored(name, range)
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.read_wants(wants, false)
    }

    fn read_again(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.read_wants(wants, true)
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        self.inner.head(name)
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        self.inner.list(kind, after, each)
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.forget([name].into_iter(), true);
        self.inner.delete(name)
    }

    fn delete_many(&self, names: &[Name]) -> Vec<Result<()>> {
        self.forget(names.iter(), true);
        self.inner.delete_many(names)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::storage::{Memory, Meter};

    /// The name of an index object of a hundred times this byte.
    fn index(n: u8) -> Name {
        Name::new(Kind::Index, hex(&digest(&[n; 100])))
    }

    /// A storage with ten index objects, a meter in front of it, and what keeps them.
    fn places(total: u64) -> Vec<(Arc<Meter>, Cache, Option<tempfile::TempDir>)> {
        let folder = tempfile::tempdir().unwrap();
        let make = || {
            let memory = Memory::new();
            for n in 0..10 {
                memory.create(&index(n), &[n; 100]).unwrap();
            }
            Arc::new(Meter::new(Arc::new(memory)))
        };
        let terms = CacheTerms { total, largest: 100, longest_range: 20, ..CacheTerms::default() };
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
    fn ranges_are_kept_where_they_will_be_asked_for_again() {
        for (meter, cache, _folder) in places(10_000) {
            let exactly = |offset, length| (index(3), ByteRange::Exactly { offset, length });
            for _ in 0..2 {
                for wants in [[exactly(10, 20), exactly(50, 5)], [exactly(0, 21), exactly(10, 19)]] {
                    assert!(cache.read_again(&wants).iter().all(Result::is_ok));
                }
                cache.read_range(&index(3), 90, 10).unwrap();
            }
            // Twice: the range that is too long, and the one that was read without saying that it is asked for again.
            assert_eq!(meter.counts().read.objects, 7);
        }
    }

    #[test]
    fn two_repositories_share_a_folder_and_do_not_meet() {
        #[derive(Debug)]
        struct Called {
            memory: Memory,
            place: &'static str,
        }
        impl Backend for Called {
            fn location(&self) -> String {
                self.place.into()
            }
            forward!(memory: abilities, prepare, read_one, head, list, delete);
            fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
                self.memory.put(name, bytes, terms)
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let of = |place| {
            let called = Called { memory: Memory::new(), place };
            Cache::in_folder(Arc::new(called), CacheTerms::default(), folder.path())
        };
        let (one, two) = (of("one"), of("two"));
        let name = Name::new(Kind::Checkpoint, "1");
        one.create(&name, b"one").unwrap();
        assert!(two.read(&name, 10).is_err());
        two.create(&name, b"two").unwrap();
        assert_eq!((one.read(&name, 10).unwrap(), two.read(&name, 10).unwrap()), (b"one".into(), b"two".into()));
        std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        assert_eq!(Cache::measure(folder.path()).0, 2);
        assert_eq!(Cache::clear(folder.path()), (2, 2 * (32 + 3)));
        assert!(folder.path().join("notes.txt").exists(), "what is something else stays");
        assert_eq!(Cache::measure(folder.path()), (0, 0));
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
            let part = [(index(2), ByteRange::Exactly { offset: 3, length: 20 })];
            assert!(cache.read_again(&part)[0].is_ok());
            assert!(cache.delete_many(&[index(2)])[0].is_ok());
            assert!(cache.read_again(&part)[0].is_err(), "a part of it");
        }
    }

    #[test]
    fn what_came_wrong_is_not_kept() {
        /// Changes the first byte of its first answers.
        #[derive(Debug)]
        struct Liar {
            memory: Memory,
            lies: AtomicUsize,
        }
        impl Backend for Liar {
            forward!(memory: location, abilities, prepare, head, list, delete);
            fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
                self.memory.put(name, bytes, terms)
            }
            fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
                let mut bytes = self.memory.read_one(name, range)?;
                if self.lies.load(Ordering::Relaxed) > 0 {
                    self.lies.fetch_sub(1, Ordering::Relaxed);
                    bytes[0] ^= 1;
                }
                Ok(bytes)
            }
        }
        let memory = Memory::new();
        memory.create(&index(7), &[7; 100]).unwrap();
        let cache = Cache::in_memory(Arc::new(Liar { memory, lies: AtomicUsize::new(1) }), CacheTerms::default());
        assert_eq!(cache.read(&index(7), 100).unwrap()[0], 6);
        assert_eq!(cache.read(&index(7), 100).unwrap(), [7; 100]);
    }

    #[test]
    fn a_part_that_is_not_trusted_is_not_kept_any_longer() {
        for (meter, cache, _folder) in places(10_000) {
            let part = (index(3), ByteRange::Exactly { offset: 10, length: 20 });
            cache.read_again(std::slice::from_ref(&part));
            cache.read_again(std::slice::from_ref(&part));
            assert_eq!(meter.counts().read.objects, 1);
            cache.read_stored(&part.0, part.1).unwrap();
            cache.read_again(std::slice::from_ref(&part));
            assert_eq!(meter.counts().read.objects, 3);
        }
    }

    #[test]
    fn no_more_is_kept_than_is_allowed() {
        for (meter, cache, folder) in places(450) {
            for _ in 0..3 {
                (0..10).for_each(|n| assert_eq!(cache.read(&index(n), 100).unwrap(), [n; 100]));
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
        let next = Cache::in_folder(meter.clone(), CacheTerms::default(), &folder);
        assert_eq!(next.read(&index(1), 100).unwrap(), [1; 100]);
        assert_eq!(meter.counts().read.objects, 3);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(next.read(&index(2), 100).unwrap(), [2; 100], "the folder may go at any time");
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}
