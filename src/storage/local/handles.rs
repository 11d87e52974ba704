//! Files that stay open between reads of parts of them. Getting from the root to a file without following links takes ten calls
//! of the system; reading on takes two.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::storage::Name;

/// How many files are kept open. A restore goes through few packs at a time.
const KEPT: usize = 16;

/// The files used last.
#[derive(Debug, Default)]
pub(super) struct Handles(Mutex<VecDeque<(Name, Arc<File>)>>);

impl Handles {
    /// The open file of an object and its length now, if it is kept and still has a name. One that was deleted or replaced
    /// is not the object any more.
    pub(super) fn get(&self, name: &Name) -> Option<(Arc<File>, u64)> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = files.iter().position(|(kept, _)| kept == name)?;
        let (kept, file) = files.remove(place)?;
        let metadata = file.metadata().ok().filter(|metadata| metadata.nlink() > 0)?;
        files.push_back((kept, file.clone()));
        Some((file, metadata.len()))
    }

    /// Keeps an open file; the one that was not used for longest goes for it.
    pub(super) fn keep(&self, name: &Name, file: File) -> Arc<File> {
        let file = Arc::new(file);
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|(kept, _)| kept != name);
        if files.len() >= KEPT {
            files.pop_front();
        }
        files.push_back((name.clone(), file.clone()));
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Backend, ByteRange, Kind, Local, PutTerms, StorageErrorKind};

    #[test]
    fn what_is_deleted_replaced_or_cut_off_is_seen_although_it_was_open() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Local::new(folder.path());
        storage.prepare().unwrap();
        let name = Name::new(Kind::Pack, "07".repeat(32));
        let part = ByteRange::Exactly { offset: 1, length: 2 };
        let path = folder.path().join(name.to_string());
        storage.put(&name, b"abcd", &PutTerms::default()).unwrap();
        for _ in 0..2 {
            assert_eq!(storage.read_one(&name, part).unwrap(), b"bc");
        }
        let other = folder.path().join("other");
        std::fs::write(&other, b"ABCD").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(storage.read_one(&name, part).unwrap(), b"BC");
        File::options().write(true).open(&path).unwrap().set_len(2).unwrap();
        assert!(storage.read_one(&name, part).is_err());
        std::fs::remove_file(&path).unwrap();
        assert_eq!(storage.read_one(&name, part).unwrap_err().kind(), StorageErrorKind::NotFound);
    }

    #[test]
    fn few_files_stay_open() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Local::new(folder.path());
        storage.prepare().unwrap();
        for byte in 0..40 {
            let name = Name::new(Kind::Pack, format!("{byte:02x}").repeat(32));
            storage.put(&name, &[byte; 9], &PutTerms::default()).unwrap();
            assert_eq!(storage.read_one(&name, ByteRange::Exactly { offset: 8, length: 1 }).unwrap(), [byte]);
        }
        assert_eq!(storage.packs.0.lock().unwrap().len(), KEPT);
    }
}
