//! Where kept objects lie: in memory, or in a folder. Nothing here fails: what cannot be kept is not kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::id::{digest, hex};

pub(super) trait Shelf: Send + Sync {
    fn get(&self, key: &str) -> Option<Vec<u8>>;
    fn put(&self, key: &str, bytes: &[u8]);
    fn remove(&self, key: &str);
    /// Removes all of which the key begins with one of these and a hyphen.
    fn remove_below(&self, keys: &BTreeSet<String>);
}

/// Whether a key is one of a part of an object with one of these keys: those of objects have one hyphen.
fn is_below(key: &str, keys: &BTreeSet<String>) -> bool {
    let mut hyphens = key.match_indices('-').map(|(at, _)| at);
    hyphens.nth(1).and_then(|at| key.get(..at)).is_some_and(|object| keys.contains(object))
}

/// Objects in memory. What was not used for the longest time goes first.
pub(super) struct MemoryShelf {
    most: u64,
    objects: Mutex<Objects>,
}

#[derive(Default)]
struct Objects {
    bytes: u64,
    /// When each was used last, as a number that grows.
    kept: HashMap<String, (u64, Vec<u8>)>,
    by_use: BTreeMap<u64, String>,
    uses: u64,
}

impl Objects {
    fn remove(&mut self, key: &str) -> Option<Vec<u8>> {
        let (used, bytes) = self.kept.remove(key)?;
        self.by_use.remove(&used);
        self.bytes -= bytes.len() as u64;
        Some(bytes)
    }

    fn insert(&mut self, key: &str, bytes: Vec<u8>) {
        self.remove(key);
        self.uses += 1;
        self.bytes += bytes.len() as u64;
        self.by_use.insert(self.uses, key.to_owned());
        self.kept.insert(key.to_owned(), (self.uses, bytes));
    }
}

impl MemoryShelf {
    pub(super) fn new(most: u64) -> Self {
        Self { most, objects: Mutex::default() }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf for MemoryShelf {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut objects = self.objects();
        let bytes = objects.remove(key)?;
        objects.insert(key, bytes.clone());
        Some(bytes)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let mut objects = self.objects();
        objects.insert(key, bytes.to_vec());
        while objects.bytes > self.most {
            let Some((_, oldest)) = objects.by_use.pop_first() else { return };
            objects.remove(&oldest);
        }
    }

    fn remove(&self, key: &str) {
        self.objects().remove(key);
    }

    fn remove_below(&self, keys: &BTreeSet<String>) {
        let mut objects = self.objects();
        let below: Vec<String> = objects.kept.keys().filter(|key| is_below(key, keys)).cloned().collect();
        below.iter().for_each(|key| drop(objects.remove(key)));
    }
}

/// What ends the name of a file that is kept here: the rest of it is another matter.
const KEPT: &str = ".kept";
/// What ends that of one that is being written.
const TEMPORARY: &str = ".kept-tmp";
/// How old such a one is when its writer has surely ended, and a file when its use is noted.
const OLD: Duration = Duration::from_secs(6 * 3600);

/// Objects as files of a folder, each after the hash of its bytes: a bad disk here must not look like damage there. What
/// was used last longest ago goes first.
pub(super) struct FolderShelf {
    folder: PathBuf,
    /// What the names of files begin with, so that several storages may share the folder.
    prefix: String,
    most: u64,
    /// How many bytes this process takes the folder to hold, once it has put something there.
    held: Mutex<Held>,
}

/// How many bytes a folder holds.
#[derive(Default)]
struct Held {
    bytes: Option<u64>,
    /// How often something was put there since that was counted.
    puts: u32,
}

/// After this many files of its own a process counts again what others have put there.
const COUNTED_EVERY: u32 = 64;

/// What is kept in a folder: when it was used last, more or less, and how long it is.
pub(super) fn files(folder: &Path) -> Vec<(SystemTime, u64, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let facts = |entry: fs::DirEntry| {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.ends_with(KEPT) || name.ends_with(TEMPORARY));
        let metadata = entry.metadata().ok().filter(|metadata| is_ours && metadata.is_file())?;
        Some((metadata.modified().ok()?, metadata.len(), entry.path()))
    };
    entries.flatten().filter_map(facts).collect()
}

/// Removes what is kept in a folder. Returns how many files and bytes that was.
pub(super) fn clear(folder: &Path) -> (u64, u64) {
    let removed = files(folder).into_iter().filter(|(.., path)| fs::remove_file(path).is_ok());
    let done = removed.fold((0, 0), |(files, bytes), (_, length, _)| (files + 1, bytes + length));
    // It stays if there is anything else in it.
    let _ = fs::remove_dir(folder);
    done
}

impl FolderShelf {
    pub(super) fn new(folder: &Path, storage: &str, most: u64) -> Self {
        let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let prefix = hex(digest(storage.as_bytes()).get(..8).unwrap_or_default());
        Self { folder: folder.to_path_buf(), prefix, most, held: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path_of(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{}-{key}{KEPT}", self.prefix))
    }

    /// Removes files until there is room for this many bytes, and a quarter more. Returns how many bytes are left.
    fn make_room(&self, bytes: u64) -> u64 {
        let mut files = files(&self.folder);
        files.sort();
        let mut held: u64 = files.iter().map(|(_, length, _)| length).sum();
        let wanted = (self.most / 4 * 3).min(self.most.saturating_sub(bytes));
        for (used, length, path) in files {
            let is_left_over = path.to_str().is_some_and(|path| path.ends_with(TEMPORARY))
                && used.elapsed().is_ok_and(|age| age > OLD);
            if (held > wanted || is_left_over) && fs::remove_file(path).is_ok() {
                held = held.saturating_sub(length);
            }
        }
        held
    }

    fn write(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.folder.join(format!("{:016x}{TEMPORARY}", RandomState::new().hash_one(0)));
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(&digest(bytes))?;
            file.write_all(bytes)?;
            fs::rename(&temporary, self.path_of(key))
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

impl Shelf for FolderShelf {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut file = fs::File::open(self.path_of(key)).ok()?;
        let metadata = file.metadata().ok()?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(self.most)).ok()?);
        file.read_to_end(&mut bytes).ok()?;
        let hash = digest(bytes.get(32..)?);
        if bytes.get(..32)? != hash {
            self.remove(key);
            return None;
        }
        if metadata.modified().is_ok_and(|used| used.elapsed().is_ok_and(|age| age > OLD)) {
            let _ = file.set_modified(SystemTime::now());
        }
        bytes.drain(..32);
        Some(bytes)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let length = bytes.len() as u64 + 32;
        if length > self.most {
            return;
        }
        let mut held = self.held();
        let counted = held.bytes.filter(|_| held.puts < COUNTED_EVERY);
        held.puts = if counted.is_some() { held.puts + 1 } else { 0 };
        let mut bytes_held = counted.unwrap_or_else(|| files(&self.folder).iter().map(|(_, length, _)| length).sum());
        if bytes_held.saturating_add(length) > self.most {
            bytes_held = self.make_room(length);
        }
        if self.write(key, bytes).is_ok() {
            bytes_held = bytes_held.saturating_add(length);
        }
        held.bytes = Some(bytes_held);
    }

    fn remove(&self, key: &str) {
        // What it held is counted again when room is made.
        let _ = fs::remove_file(self.path_of(key));
    }

    fn remove_below(&self, keys: &BTreeSet<String>) {
        for (.., path) in files(&self.folder) {
            let key = path.file_name().and_then(|name| name.to_str()?.strip_prefix(&self.prefix)?.strip_prefix('-'));
            if key.and_then(|key| key.strip_suffix(KEPT)).is_some_and(|key| is_below(key, keys)) {
                let _ = fs::remove_file(path);
            }
        }
    }
}
