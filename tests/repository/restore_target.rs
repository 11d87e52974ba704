//! Restores into a target that is no directory: a map in memory, which has files by name and nothing else.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::Mutex;

use avro_snap::crypto::Suite;
use avro_snap::error::{Error, Result};
use avro_snap::files::{Existing, Overwrite, RestoreTarget, TargetAbilities, TargetFile};
use avro_snap::ops::restore::{RestoreOptions, restore_to};
use avro_snap::progress::{Progress, Silent};
use avro_snap::runtime::CancelToken;
use avro_snap::snapshot::entry::{FileEntry, Time};

use crate::faults::quick_folder;
use crate::lab::Lab;

/// Content and modification time of each file, by its path.
type StoredFiles = BTreeMap<Vec<u8>, (Vec<u8>, Time)>;

/// What is in the target, and what happened to it.
#[derive(Default)]
struct InMemory {
    files: Mutex<StoredFiles>,
    begun: Mutex<u64>,
    finished: Mutex<u64>,
    /// The last byte of each file is another by the time it is read again.
    garbles: bool,
}

struct Being<'t> {
    target: &'t InMemory,
    path: Vec<u8>,
    bytes: Vec<u8>,
}

impl RestoreTarget for InMemory {
    fn abilities(&self) -> TargetAbilities {
        TargetAbilities::FILES_ONLY
    }

    fn shown(&self, path: &[u8]) -> PathBuf {
        PathBuf::from(format!("memory:{}", String::from_utf8_lossy(path)))
    }

    fn existing(&self, path: &[u8]) -> Result<Option<Existing>> {
        let files = self.files.lock().unwrap();
        Ok(files.get(path).map(|(bytes, mtime)| Existing {
            is_file: true,
            is_folder: false,
            is_link: false,
            size: bytes.len() as u64,
            mtime: *mtime,
        }))
    }

    fn begin(&self, path: &[u8], _: &FileEntry, _: bool) -> Result<Box<dyn TargetFile + '_>> {
        *self.begun.lock().unwrap() += 1;
        Ok(Box::new(Being { target: self, path: path.to_vec(), bytes: Vec::new() }))
    }

    fn make_directory(&self, path: &[u8], _: &FileEntry) -> Result<()> {
        panic!("there are no directories, and {path:?} is to be one")
    }

    fn hard_link(&self, path: &[u8], _: &[u8]) -> Result<()> {
        panic!("there are no links, and {path:?} is to be one")
    }

    fn finish(&self, _: &dyn Progress) {
        *self.finished.lock().unwrap() += 1;
    }
}

impl TargetFile for Being<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn written(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn finish(mut self: Box<Self>, entry: &FileEntry, _: &dyn Progress) -> Result<Box<dyn Read>> {
        if let (true, Some(last)) = (self.target.garbles, self.bytes.last_mut()) {
            *last ^= 1;
        }
        let file = (self.bytes.clone(), entry.mtime);
        self.target.files.lock().unwrap().insert(self.path, file);
        Ok(Box::new(Cursor::new(self.bytes)))
    }
}

impl InMemory {
    fn names(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        self.files.lock().unwrap()[path.as_bytes()].0.clone()
    }
}

/// A snapshot of two files in folders, an empty folder, a second name, and a link.
fn saved() -> Lab {
    let folder = quick_folder();
    let at = |path: &str| folder.path().join(path);
    std::fs::create_dir_all(at("a/b")).unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("a/b/large"), vec![7; 300_000]).unwrap();
    std::fs::write(at("a/small"), "small").unwrap();
    std::fs::hard_link(at("a/small"), at("second name")).unwrap();
    std::os::unix::fs::symlink("a/small", at("link")).unwrap();
    let lab = Lab::new(Suite::Aes256Gcm);
    lab.save(folder.path());
    lab
}

/// No directory, wherever that may be.
fn options() -> RestoreOptions {
    RestoreOptions::default()
}

#[test]
fn a_target_that_has_files_only_gets_every_file_under_each_of_its_names() {
    let (lab, target) = (saved(), InMemory::default());
    let repository = lab.open();
    let report = restore_to(&repository, &lab.last(&repository), &target, &options().verify(true), &Silent).unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(target.names(), ["a/b/large", "a/small", "second name"]);
    assert_eq!((target.bytes("a/b/large"), target.bytes("second name")), (vec![7; 300_000], b"small".to_vec()));
    assert_eq!((report.files_restored, report.others_restored, report.verified), (3, 0, 3));
    assert_eq!(*target.finished.lock().unwrap(), 1);
}

#[test]
fn what_is_there_is_treated_as_in_a_directory() {
    let (lab, target) = (saved(), InMemory::default());
    let repository = lab.open();
    let root = lab.last(&repository);
    let restored = |options: RestoreOptions| restore_to(&repository, &root, &target, &options, &Silent).unwrap();
    let dry = restored(options().dry_run(true));
    assert_eq!(dry.files_new, 3);
    assert!(target.names().is_empty() && *target.begun.lock().unwrap() == 0 && *target.finished.lock().unwrap() == 0);
    restored(options());
    let again = restored(options().overwrite(Overwrite::IfChanged));
    assert_eq!((again.files_restored, again.files_skipped), (0, 3));
    target.files.lock().unwrap().get_mut(&b"a/small"[..]).unwrap().0 = b"other bytes".to_vec();
    assert_eq!(restored(options().overwrite(Overwrite::Never)).files_skipped, 3);
    assert_eq!(target.bytes("a/small"), b"other bytes");
    let changed = restored(options().overwrite(Overwrite::IfChanged));
    assert_eq!((changed.files_restored, target.bytes("a/small")), (1, b"small".to_vec()));
    let part = InMemory::default();
    restore_to(&repository, &root, &part, &options().subfolder("a"), &Silent).unwrap();
    assert_eq!(part.names(), ["b/large", "small"]);
}

#[test]
fn a_file_that_is_read_back_otherwise_is_a_failure() {
    let (lab, target) = (saved(), InMemory { garbles: true, ..InMemory::default() });
    let repository = lab.open();
    let report = restore_to(&repository, &lab.last(&repository), &target, &options().verify(true), &Silent).unwrap();
    assert_eq!(report.failed.len(), 3);
    assert!(report.failed.iter().all(|(_, error)| matches!(error, Error::NotRestored { .. })), "{:?}", report.failed);
}

/// Gives the work up as soon as there are bytes to be written.
struct GivesUp(CancelToken);

impl Progress for GivesUp {
    fn bytes(&self, _: u64) {
        self.0.cancel();
    }
}

#[test]
fn of_a_file_that_is_given_up_nothing_is_there() {
    let (lab, target) = (saved(), InMemory::default());
    let repository = lab.open();
    let progress = GivesUp(repository.runtime().cancel_token().clone());
    let report = restore_to(&repository, &lab.last(&repository), &target, &options(), &progress);
    assert!(matches!(report, Err(Error::Interrupted)), "{report:?}");
    assert!(*target.begun.lock().unwrap() > 0 && target.names().is_empty(), "{:?}", target.names());
    assert_eq!(*target.finished.lock().unwrap(), 1, "the end is told in any case");
}

#[test]
fn nothing_is_deleted_where_the_rules_for_it_are_not_known() {
    let (lab, target) = (saved(), InMemory::default());
    let repository = lab.open();
    let refused = restore_to(&repository, &lab.last(&repository), &target, &options().delete(true), &Silent);
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
    assert_eq!(*target.begun.lock().unwrap(), 0);
}
