//! Folders that stay open between reads of what is in them: the way to them from the root, on which no link is followed, takes
//! six calls of the system, and restores read packs in many small parts. Files do not stay open: that would keep the room of
//! those that are deleted.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many folders are kept open: a process may have no more than 256 open files on some systems.
const KEPT: usize = 32;

/// The folders used last, by their paths below the root.
#[derive(Debug, Default)]
pub(super) struct KeptFolders(Mutex<VecDeque<(PathBuf, Arc<File>)>>);

impl KeptFolders {
    /// A folder that is kept. It may have been moved or removed since.
    pub(super) fn get(&self, relative: &Path) -> Option<Arc<File>> {
        let mut folders = self.folders();
        let place = folders.iter().position(|(kept, _)| kept == relative)?;
        let found = folders.remove(place)?;
        let folder = found.1.clone();
        folders.push_back(found);
        Some(folder)
    }

    /// Keeps a folder; the one that was not used for longest goes for it.
    pub(super) fn keep(&self, relative: PathBuf, folder: File) {
        let mut folders = self.folders();
        folders.retain(|(kept, _)| *kept != relative);
        if folders.len() >= KEPT {
            folders.pop_front();
        }
        folders.push_back((relative, Arc::new(folder)));
    }

    /// Keeps it no longer.
    pub(super) fn forget(&self, relative: &Path) {
        self.folders().retain(|(kept, _)| kept != relative);
    }

    fn folders(&self) -> MutexGuard<'_, VecDeque<(PathBuf, Arc<File>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Backend, ByteRange, Kind, Local, Name, PutTerms, StorageErrorKind};

    fn pack(byte: u8) -> Name {
        Name::new(Kind::Pack, format!("{byte:02x}").repeat(32))
    }

    #[test]
    fn what_becomes_of_files_and_folders_is_seen() {
        let place = tempfile::tempdir().unwrap();
        let storage = Local::new(place.path());
        storage.prepare().unwrap();
        let (name, part) = (pack(7), ByteRange::Exactly { offset: 1, length: 2 });
        let read = || storage.read_one(&name, part);
        let path = place.path().join(name.to_string());
        storage.put(&name, b"abcd", &PutTerms::default()).unwrap();
        assert!(read().unwrap() == b"bc" && read().unwrap() == b"bc");
        std::fs::write(place.path().join("other"), b"ABCD").unwrap();
        std::fs::rename(place.path().join("other"), &path).unwrap();
        assert_eq!(read().unwrap(), b"BC");
        File::options().write(true).open(&path).unwrap().set_len(2).unwrap();
        assert!(read().is_err());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read().unwrap_err().kind(), StorageErrorKind::NotFound);
        // Another folder takes the place of one that was open.
        let folder = path.parent().unwrap();
        storage.put(&name, b"abcd", &PutTerms::default()).unwrap();
        assert_eq!(read().unwrap(), b"bc");
        std::fs::rename(folder, place.path().join("aside")).unwrap();
        std::fs::create_dir(folder).unwrap();
        std::fs::remove_file(place.path().join("aside").join(name.file())).unwrap();
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read().unwrap(), b"23");
        // And a link, which is not followed.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(place.path().join("aside").join(name.file()), b"1234").unwrap();
        std::fs::remove_dir(folder).unwrap();
        std::os::unix::fs::symlink(place.path().join("aside"), folder).unwrap();
        assert!(read().unwrap_err().to_string().contains("symbolic link"));
    }

    #[test]
    fn few_folders_stay_open() {
        let place = tempfile::tempdir().unwrap();
        let storage = Local::new(place.path());
        storage.prepare().unwrap();
        for byte in 0..50 {
            storage.put(&pack(byte), &[byte; 9], &PutTerms::default()).unwrap();
            let read = storage.read_one(&pack(byte), ByteRange::Exactly { offset: 8, length: 1 });
            assert_eq!(read.unwrap(), [byte]);
        }
        assert_eq!(storage.kept.folders().len(), KEPT);
    }
}
