//! Trees that do not lie in the local file system are saved through the traits of `files`: here one in memory, whose files
//! have entity tags like the objects of a bucket.

use crate::lab::{Lab, saving};

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use avro_snap::crypto::Suite;
use avro_snap::error::{Error, Result};
use avro_snap::files::{Fate, Fates, FileStat, Held, Problem, SourceFile, SourceOpener, SourceReader, SourceTree};
use avro_snap::ops::create::{CreateReport, create_of_tree};
use avro_snap::progress::Silent;
use avro_snap::snapshot::entry::{FileEntry, Origin, Time};

/// Objects by name: an entity tag and the bytes.
type Objects = BTreeMap<&'static str, (&'static str, Vec<u8>)>;

#[derive(Clone, Default)]
struct Bucket(Arc<Shared>);

#[derive(Default)]
struct Shared {
    objects: Mutex<Objects>,
    /// How many objects were opened.
    opened: AtomicU64,
}

impl Bucket {
    fn put(&self, name: &'static str, tag: &'static str, bytes: &[u8]) {
        self.0.objects.lock().unwrap().insert(name, (tag, bytes.to_vec()));
    }

    fn find(&self, name: &[u8]) -> Option<(String, Vec<u8>)> {
        let objects = self.0.objects.lock().unwrap();
        objects.get(std::str::from_utf8(name).unwrap()).map(|(tag, bytes)| ((*tag).to_owned(), bytes.clone()))
    }
}

fn row(name: &[u8], tag: &str, size: usize) -> FileEntry {
    let origin = Some(Origin { tag: tag.into(), version: None });
    FileEntry { path: name.to_vec(), mode: 0o644, size: size as u64, origin, ..FileEntry::nothing() }
}

struct Walk {
    bucket: Bucket,
    names: std::vec::IntoIter<&'static str>,
}

impl SourceTree for Walk {
    fn next_found(&mut self) -> Option<std::result::Result<SourceFile, Problem>> {
        let name = self.names.next()?;
        let (tag, bytes) = self.bucket.find(name.as_bytes())?;
        Some(Ok(SourceFile {
            tree_path: name.into(),
            fs_path: PathBuf::from(name),
            entry: row(name.as_bytes(), &tag, bytes.len()),
            nlink: 1,
            dev: 0,
            is_ancestor_of_root: false,
        }))
    }

    fn opener(&self) -> Arc<dyn SourceOpener> {
        Arc::new(self.bucket.clone())
    }

    fn covered(&self) -> Box<dyn Fates> {
        Box::new(self.bucket.clone())
    }

    fn passed_over(&self) -> &[PathBuf] {
        &[]
    }
}

impl Fates for Bucket {
    fn fate(&self, tree_path: &[u8]) -> Fate {
        if self.find(tree_path).is_some() { Fate::Unknown } else { Fate::Gone }
    }

    fn is_folder(&self, _: &[u8]) -> bool {
        false
    }
}

struct Object {
    name: Vec<u8>,
    tag: String,
    bytes: io::Cursor<Vec<u8>>,
}

impl SourceOpener for Bucket {
    fn open(&self, path: &Path) -> Result<Box<dyn SourceReader>> {
        self.0.opened.fetch_add(1, Ordering::Relaxed);
        let name = path.to_str().unwrap().as_bytes().to_vec();
        let found = self.find(&name).filter(|(tag, _)| tag != "denied");
        let (tag, bytes) = found.ok_or_else(|| Error::io("get", path, io::ErrorKind::PermissionDenied.into()))?;
        Ok(Box::new(Object { name, tag, bytes: io::Cursor::new(bytes) }))
    }
}

impl SourceReader for Object {
    fn describe(&self, entry: &mut FileEntry) -> Vec<Error> {
        *entry = row(&self.name, &self.tag, self.bytes.get_ref().len());
        Vec::new()
    }

    fn stat(&self) -> FileStat {
        let size = self.bytes.get_ref().len() as u64;
        FileStat { size, mtime: Time::EPOCH, ctime: Time::EPOCH, inode: 0, dev: 0 }
    }

    fn names(&self) -> u64 {
        1
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        Ok(io::Read::read(&mut self.bytes, buffer).unwrap())
    }

    fn end(&self) -> Result<Held> {
        Ok(Held::Still)
    }

    fn is_recent(&self) -> bool {
        false
    }
}

fn save(lab: &Lab, bucket: &Bucket) -> CreateReport {
    let names: Vec<_> = bucket.0.objects.lock().unwrap().keys().copied().collect();
    let tree = Walk { bucket: bucket.clone(), names: names.into_iter() };
    create_of_tree(&lab.open(), Box::new(tree), saving(Path::new("/bucket")), &Silent).unwrap()
}

#[test]
fn a_tree_of_objects_is_saved_and_what_has_its_tag_is_not_read_again() {
    let lab = Lab::new(Suite::None);
    let bucket = Bucket::default();
    bucket.put("a.avro", "\"1\"", b"not a container, which does not matter");
    bucket.put("b", "\"1\"", &[7; 100_000]);
    assert_eq!(save(&lab, &bucket).files_new, 2);
    assert_eq!(bucket.0.opened.swap(0, Ordering::Relaxed), 2);
    let unchanged = save(&lab, &bucket);
    assert_eq!((unchanged.files_unmodified, bucket.0.opened.load(Ordering::Relaxed)), (2, 0), "by their tags");
    // The same length and times, and another tag.
    bucket.put("b", "\"2\"", &[8; 100_000]);
    let changed = save(&lab, &bucket);
    assert_eq!((changed.files_unmodified, changed.files_changed), (1, 1));
    assert_eq!(bucket.0.opened.swap(0, Ordering::Relaxed), 1);
    let target = tempfile::tempdir().unwrap();
    lab.restore_last(target.path()).unwrap();
    assert_eq!(std::fs::read(target.path().join("b")).unwrap(), [8; 100_000]);
    assert!(std::fs::read(target.path().join("a.avro")).unwrap().starts_with(b"not a container"));
    let repository = lab.open();
    let row = lab.last(&repository).rows(&repository).next_row().unwrap().unwrap();
    assert_eq!(row.origin, Some(Origin { tag: "\"1\"".into(), version: None }));
}

#[test]
fn an_object_that_cannot_be_read_concerns_itself_alone() {
    let lab = Lab::new(Suite::None);
    let bucket = Bucket::default();
    bucket.put("a", "denied", b"secret");
    bucket.put("b", "\"1\"", b"open");
    let report = save(&lab, &bucket);
    assert_eq!((report.files(), report.unreadable), (1, 1), "{report:?}");
}
