//! Backends that do what disks and networks do: change bytes, lose objects, fail, and die.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use avro_snap::error::{Error, Result};
use avro_snap::id::SnapshotId;
use avro_snap::ops::check::{CheckOptions, CheckReport, DataSubset, check};
use avro_snap::ops::restore::restore;
use avro_snap::ops::select::Listing;
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, Created, Kind, Memory, Name};
use avro_snap::store::Repository;

use crate::lab::{Lab, files_of, restoring};

/// Files by their path, as [`files_of`] gives them.
pub type Files = BTreeMap<std::path::PathBuf, Vec<u8>>;

/// A campaign's size: a number from the environment, `all` for no limit, else the default.
pub fn size(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) if text == "all" => usize::MAX,
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}

/// A number that differs from run to run, unless `SNAP_SEED` says which. It is printed, so that a failure can be seen
/// again.
pub fn seed() -> u64 {
    let seed = match std::env::var("SNAP_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into(),
    };
    println!("SNAP_SEED={seed}");
    seed
}

/// A temporary folder, in memory where that is possible: for what is to be durable, and need not be in a test.
pub fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// All objects of a backend.
pub fn objects_of(backend: &dyn Backend) -> BTreeMap<Name, Vec<u8>> {
    let mut names = Vec::new();
    for kind in Kind::ALL {
        backend
            .list(kind, &mut |name, _| {
                names.push(name);
                Ok(())
            })
            .unwrap();
    }
    names.into_iter().map(|name| (name.clone(), backend.read(&name, u64::MAX - 1).unwrap())).collect()
}

/// A backend with these objects.
pub fn memory_of(objects: &BTreeMap<Name, Vec<u8>>) -> Memory {
    let memory = Memory::new();
    for (name, bytes) in objects {
        memory.create(name, bytes).unwrap();
    }
    memory
}

/// What is seen of another backend after somebody changed, lost or slipped in some objects. The one below stays as it
/// is.
#[derive(Debug)]
pub struct Overlay {
    below: Memory,
    own: Mutex<BTreeMap<Name, Option<Vec<u8>>>>,
}

impl Overlay {
    pub fn new(below: &Memory) -> Self {
        Self { below: below.clone(), own: Mutex::default() }
    }

    pub fn with(self, name: &Name, bytes: Option<Vec<u8>>) -> Self {
        self.own.lock().unwrap().insert(name.clone(), bytes);
        self
    }

    fn own(&self, name: &Name) -> Option<Option<Vec<u8>>> {
        self.own.lock().unwrap().get(name).cloned()
    }
}

impl Backend for Overlay {
    fn location(&self) -> String {
        "overlay".into()
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        if self.size(name)?.is_some() {
            return Ok(Created::Exists);
        }
        self.own.lock().unwrap().insert(name.clone(), Some(bytes.to_vec()));
        Ok(Created::New)
    }

    fn read(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
        match self.own(name) {
            None => self.below.read(name, limit),
            Some(None) => Err(Error::ObjectMissing { name: name.to_string() }),
            Some(Some(bytes)) if bytes.len() as u64 > limit => Err(Error::damaged(name, "too large")),
            Some(Some(bytes)) => Ok(bytes),
        }
    }

    fn read_range(&self, name: &Name, offset: u64, length: usize) -> Result<Vec<u8>> {
        match self.own(name) {
            None => self.below.read_range(name, offset, length),
            Some(None) => Err(Error::ObjectMissing { name: name.to_string() }),
            Some(Some(bytes)) => {
                let start = usize::try_from(offset).unwrap();
                let range = bytes.get(start..start.saturating_add(length));
                range.map(<[u8]>::to_vec).ok_or_else(|| Error::damaged(name, "too short"))
            }
        }
    }

    fn size(&self, name: &Name) -> Result<Option<u64>> {
        match self.own(name) {
            None => self.below.size(name),
            Some(own) => Ok(own.map(|bytes| bytes.len() as u64)),
        }
    }

    fn list(&self, kind: Kind, each: &mut dyn FnMut(Name, u64) -> Result<()>) -> Result<()> {
        let mut listed = BTreeMap::new();
        self.below.list(kind, &mut |name, length| {
            listed.insert(name, length);
            Ok(())
        })?;
        for (name, bytes) in self.own.lock().unwrap().iter().filter(|(name, _)| name.kind() == kind) {
            match bytes {
                Some(bytes) => listed.insert(name.clone(), bytes.len() as u64),
                None => listed.remove(name),
            };
        }
        listed.into_iter().try_for_each(|(name, length)| each(name, length))
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.own.lock().unwrap().insert(name.clone(), None);
        Ok(())
    }
}

/// When the machine dies: before the operation had any effect, or when it had all of it and nobody learned of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
}

/// A backend whose machine dies at the n-th operation that changes anything. From then on nothing works any more.
#[derive(Debug)]
pub struct Crashing {
    inner: Arc<dyn Backend>,
    left: AtomicUsize,
    moment: Moment,
    dead: AtomicBool,
    /// Bytes of packs that were written.
    pub packed: AtomicU64,
}

impl Crashing {
    pub fn new(inner: Arc<dyn Backend>, operations: usize, moment: Moment) -> Self {
        Self { inner, left: AtomicUsize::new(operations), moment, dead: AtomicBool::new(false), packed: 0.into() }
    }

    pub fn died(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn alive(&self) -> Result<()> {
        match self.died() {
            true => Err(failure("use")),
            false => Ok(()),
        }
    }

    fn change<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.alive()?;
        let dies = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if dies {
            let again = self.dead.swap(true, Ordering::SeqCst);
            if self.moment == Moment::After && !again {
                work()?;
            }
            return Err(failure("write"));
        }
        work()
    }
}

fn failure(action: &'static str) -> Error {
    Error::io(action, Path::new("backend"), io::Error::other("injected failure"))
}

impl Backend for Crashing {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn prepare(&self) -> Result<()> {
        self.change(|| self.inner.prepare())
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        self.change(|| {
            if name.kind() == Kind::Pack {
                self.packed.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            }
            self.inner.create(name, bytes)
        })
    }

    fn read(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
        self.alive()?;
        self.inner.read(name, limit)
    }

    fn read_range(&self, name: &Name, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.alive()?;
        self.inner.read_range(name, offset, length)
    }

    fn size(&self, name: &Name) -> Result<Option<u64>> {
        self.alive()?;
        self.inner.size(name)
    }

    fn list(&self, kind: Kind, each: &mut dyn FnMut(Name, u64) -> Result<()>) -> Result<()> {
        self.alive()?;
        self.inner.list(kind, each)
    }

    fn settle(&self, name: &Name) -> Result<()> {
        self.alive()?;
        self.inner.settle(name)
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.change(|| self.inner.delete(name))
    }
}

/// A backend whose n-th operation, of whatever kind, fails once.
#[derive(Debug)]
pub struct FailingOnce {
    inner: Arc<dyn Backend>,
    left: AtomicUsize,
    moment: Moment,
    /// Not an error of the operating system, but one whose outcome may be learned by reading back.
    busy: bool,
    failed: AtomicBool,
}

impl FailingOnce {
    pub fn new(inner: Arc<dyn Backend>, operations: usize, moment: Moment, busy: bool) -> Self {
        Self { inner, left: AtomicUsize::new(operations), moment, busy, failed: AtomicBool::new(false) }
    }

    pub fn failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    fn operation<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let counted = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if counted && !self.failed.swap(true, Ordering::SeqCst) {
            if self.moment == Moment::After {
                work()?;
            }
            return Err(match self.busy {
                true => Error::Busy { what: "the storage".into() },
                false => failure("use"),
            });
        }
        work()
    }
}

impl Backend for FailingOnce {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn prepare(&self) -> Result<()> {
        self.operation(|| self.inner.prepare())
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        self.operation(|| self.inner.create(name, bytes))
    }

    fn read(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
        self.operation(|| self.inner.read(name, limit))
    }

    fn read_range(&self, name: &Name, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.operation(|| self.inner.read_range(name, offset, length))
    }

    fn size(&self, name: &Name) -> Result<Option<u64>> {
        self.operation(|| self.inner.size(name))
    }

    fn list(&self, kind: Kind, each: &mut dyn FnMut(Name, u64) -> Result<()>) -> Result<()> {
        self.operation(|| self.inner.list(kind, each))
    }

    fn settle(&self, name: &Name) -> Result<()> {
        self.operation(|| self.inner.settle(name))
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.operation(|| self.inner.delete(name))
    }
}

/// What came of looking at a repository.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Why it could not be opened.
    pub refused: Option<Error>,
    /// What `check --read-data` found.
    pub problems: Vec<String>,
    /// Snapshots that came back whole, without any error.
    pub restored: BTreeSet<SnapshotId>,
    /// Snapshots of which something, or all, did not, and it was said.
    pub failed: BTreeSet<SnapshotId>,
    /// Snapshots that are not there at all.
    pub absent: BTreeSet<SnapshotId>,
}

impl Verdict {
    pub fn is_noticed(&self) -> bool {
        self.refused.is_some() || !self.problems.is_empty()
    }
}

/// Opens, checks with all data, and restores every snapshot. Panics on wrong bytes, and on a file that is missing
/// without a word.
pub fn judge(lab: &Lab, expected: &BTreeMap<SnapshotId, Files>) -> Verdict {
    let mut verdict = Verdict::default();
    let repository = match lab.try_open() {
        Ok(repository) => repository,
        Err(error) => return Verdict { refused: Some(error), ..verdict },
    };
    for (id, files) in expected {
        match restored(&repository, *id, files) {
            None => drop(verdict.absent.insert(*id)),
            Some(true) => drop(verdict.restored.insert(*id)),
            Some(false) => drop(verdict.failed.insert(*id)),
        }
    }
    verdict.problems = match check_all(&repository) {
        Ok(report) => report.problems.iter().map(ToString::to_string).collect(),
        Err(error) => vec![format!("check failed: {error}")],
    };
    verdict
}

pub fn check_all(repository: &Repository) -> Result<CheckReport> {
    check(repository, CheckOptions { data: DataSubset::All }, &Silent)
}

/// The files of the snapshot, if it is there and all of it comes back.
pub fn all_files(repository: &Repository, id: SnapshotId) -> Option<Files> {
    let snapshot = Listing::read(repository).snapshots.into_iter().find(|snapshot| snapshot.id == id)?;
    let target = quick_folder();
    let report = restore(repository, &snapshot, &restoring(target.path()), &Silent).ok()?;
    report.failed.is_empty().then(|| files_of(target.path()))
}

/// Whether the snapshot is there, and comes back whole. Panics on wrong bytes.
pub fn restored(repository: &Repository, id: SnapshotId, files: &Files) -> Option<bool> {
    let listing = Listing::read(repository);
    if listing.unreadable.iter().any(|(unreadable, _)| *unreadable == id) {
        return Some(false);
    }
    let snapshot = listing.snapshots.into_iter().find(|snapshot| snapshot.id == id)?;
    let target = quick_folder();
    let options = avro_snap::ops::restore::RestoreOptions { ..restoring(target.path()) };
    let done = restore(repository, &snapshot, &options, &Silent);
    let found = files_of(target.path());
    for (path, bytes) in &found {
        assert!(files.get(path) == Some(bytes), "WRONG BYTES: {} in snapshot {id}", path.display());
    }
    Some(match done {
        Err(_) => false,
        Ok(report) => {
            for path in files.keys().filter(|path| !found.contains_key(*path)) {
                let told = report.failed.iter().any(|(failed, _)| failed == path.as_os_str().as_encoded_bytes());
                assert!(told, "SILENTLY MISSING: {} in snapshot {id}", path.display());
            }
            report.failed.is_empty()
        }
    })
}
