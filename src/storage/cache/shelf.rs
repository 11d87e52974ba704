//! Where kept objects lie: in memory, or in a folder. Nothing here fails: what cannot be kept is not kept.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::Name;
use crate::id::digest;

pub(super) trait Shelf: Send + Sync {
    fn get(&self, name: &Name) -> Option<Vec<u8>>;
    fn put(&self, name: &Name, bytes: &[u8]);
    fn remove(&self, name: &Name);
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
    kept: HashMap<Name, (u64, Vec<u8>)>,
    by_use: BTreeMap<u64, Name>,
    uses: u64,
}

impl Objects {
    fn remove(&mut self, name: &Name) -> Option<Vec<u8>> {
        let (used, bytes) = self.kept.remove(name)?;
        self.by_use.remove(&used);
        self.bytes -= bytes.len() as u64;
        Some(bytes)
    }

    fn insert(&mut self, name: &Name, bytes: Vec<u8>) {
        self.remove(name);
        self.uses += 1;
        self.bytes += bytes.len() as u64;
        self.by_use.insert(self.uses, name.clone());
        self.kept.insert(name.clone(), (self.uses, bytes));
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
    fn get(&self, name: &Name) -> Option<Vec<u8>> {
        let mut objects = self.objects();
        let bytes = objects.remove(name)?;
        objects.insert(name, bytes.clone());
        Some(bytes)
    }

    fn put(&self, name: &Name, bytes: &[u8]) {
        let mut objects = self.objects();
        objects.insert(name, bytes.to_vec());
        while objects.bytes > self.most {
            let Some((_, oldest)) = objects.by_use.pop_first() else { return };
            objects.remove(&oldest);
        }
    }

    fn remove(&self, name: &Name) {
        self.objects().remove(name);
    }
}

/// Objects as files of a folder, each after the hash of its bytes: a bad disk here must not look like damage there. What
/// was written first goes first.
pub(super) struct FolderShelf {
    folder: PathBuf,
    most: u64,
    /// How many bytes this process takes the folder to hold. Others may put more there; then it is counted when room is
    /// made.
    held: Mutex<u64>,
}

impl FolderShelf {
    pub(super) fn new(folder: &Path, most: u64) -> Self {
        let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let shelf = Self { folder: folder.to_path_buf(), most, held: Mutex::default() };
        *shelf.held() = shelf.files().iter().map(|(_, length, _)| length).sum();
        shelf
    }

    fn held(&self) -> MutexGuard<'_, u64> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path_of(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{}-{}", name.kind().folder(), name.file()))
    }

    /// What lies in the folder, the oldest first.
    fn files(&self) -> Vec<(SystemTime, u64, PathBuf)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let facts = |entry: fs::DirEntry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        };
        let mut files: Vec<_> = entries.flatten().filter_map(facts).collect();
        files.sort();
        files
    }

    /// Removes files until there is room for this many bytes, and a quarter more.
    fn make_room(&self, bytes: u64) {
        let files = self.files();
        let mut held: u64 = files.iter().map(|(_, length, _)| length).sum();
        let wanted = (self.most / 4 * 3).min(self.most.saturating_sub(bytes));
        for (_, length, path) in files {
            if held <= wanted {
                break;
            }
            if fs::remove_file(path).is_ok() {
                held = held.saturating_sub(length);
            }
        }
        *self.held() = held;
    }

    fn write(&self, name: &Name, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.folder.join(format!("{:016x}.tmp", RandomState::new().hash_one(0)));
        let written = (|| {
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(&digest(bytes))?;
            file.write_all(bytes)?;
            fs::rename(&temporary, self.path_of(name))
        })();
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

impl Shelf for FolderShelf {
    fn get(&self, name: &Name) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.path_of(name)).ok()?;
        let hash = digest(bytes.get(32..)?);
        if bytes.get(..32)? != hash {
            self.remove(name);
            return None;
        }
        bytes.drain(..32);
        Some(bytes)
    }

    fn put(&self, name: &Name, bytes: &[u8]) {
        let length = bytes.len() as u64 + 32;
        if length > self.most {
            return;
        }
        if self.held().saturating_add(length) > self.most {
            self.make_room(length);
        }
        if self.write(name, bytes).is_ok() {
            *self.held() += length;
        }
    }

    fn remove(&self, name: &Name) {
        // What it held is counted again when room is made.
        let _ = fs::remove_file(self.path_of(name));
    }
}
