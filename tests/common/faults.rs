//! Backends that do what disks and networks do: change bytes, lose objects, fail, and die.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use avro_snap::error::{Error, Result};
use avro_snap::id::SnapshotId;
use avro_snap::ops::check::{CheckOptions, CheckReport, DataSubset, check};
use avro_snap::ops::restore::restore;
use avro_snap::ops::select::Listing;
use avro_snap::progress::Silent;
use avro_snap::storage::{
    self, Abilities, Backend, ByteRange, Created, Each, Kind, Memory, Name, ObjectMeta, PutTerms, StorageError,
    StorageErrorKind,
};
use avro_snap::store::Repository;

use crate::hooked::{Hook, Hooked, Op, injected};
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
    let metas = Kind::ALL.into_iter().flat_map(|kind| backend.list_all(kind).unwrap());
    metas.map(|meta| (meta.name.clone(), backend.read(&meta.name, u64::MAX - 1).unwrap())).collect()
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

    fn abilities(&self) -> Abilities {
        self.below.abilities()
    }

    fn prepare(&self) -> storage::Result<()> {
        Ok(())
    }

    fn put(&self, name: &Name, bytes: &[u8], _: &PutTerms) -> storage::Result<Created> {
        if self.head(name)?.is_some() {
            return Ok(Created::Exists);
        }
        self.own.lock().unwrap().insert(name.clone(), Some(bytes.to_vec()));
        Ok(Created::New)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> storage::Result<Vec<u8>> {
        match self.own(name) {
            None => self.below.read_one(name, range),
            Some(None) => Err(StorageError::not_found(name)),
            Some(Some(bytes)) => range.of(name, &bytes),
        }
    }

    fn head(&self, name: &Name) -> storage::Result<Option<ObjectMeta>> {
        match self.own(name) {
            None => self.below.head(name),
            Some(own) => Ok(own.map(|bytes| ObjectMeta::new(name.clone(), bytes.len() as u64))),
        }
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> storage::Result<()> {
        let below = self.below.list_all(kind)?.into_iter().map(|meta| (meta.name.clone(), meta));
        let mut listed: BTreeMap<Name, ObjectMeta> = below.collect();
        for (name, bytes) in self.own.lock().unwrap().iter().filter(|(name, _)| name.kind() == kind) {
            match bytes {
                Some(bytes) => listed.insert(name.clone(), ObjectMeta::new(name.clone(), bytes.len() as u64)),
                None => listed.remove(name),
            };
        }
        let _ = listed.into_values().filter(|meta| after.is_none_or(|after| meta.name > *after)).try_for_each(each);
        Ok(())
    }

    fn delete(&self, name: &Name) -> storage::Result<()> {
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

/// A machine that dies at the n-th operation that changes anything. From then on nothing works any more.
#[derive(Debug)]
pub struct Death {
    left: AtomicUsize,
    moment: Moment,
    dead: AtomicBool,
    /// Bytes of packs that were written.
    pub packed: AtomicU64,
}

/// A backend whose machine dies.
pub type Crashing = Hooked<Death>;

impl Crashing {
    pub fn dying(inner: Arc<dyn Backend>, operations: usize, moment: Moment) -> Self {
        let left = AtomicUsize::new(operations);
        Self::new(inner, Death { left, moment, dead: AtomicBool::new(false), packed: 0.into() })
    }

    pub fn died(&self) -> bool {
        self.hook.dead.load(Ordering::SeqCst)
    }
}

impl Hook for Death {
    fn before(&self, op: Op<'_>) -> storage::Result<()> {
        if self.dead.load(Ordering::SeqCst) {
            return Err(injected(StorageErrorKind::Other));
        }
        let dies = op.changes()
            && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if dies {
            let again = self.dead.swap(true, Ordering::SeqCst);
            if self.moment == Moment::Before || again {
                return Err(injected(StorageErrorKind::Other));
            }
        }
        if let Op::Put(name, bytes) = op
            && name.kind() == Kind::Pack
        {
            self.packed.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
        Ok(())
    }

    fn after(&self, op: Op<'_>) -> storage::Result<()> {
        match op.changes() && self.dead.load(Ordering::SeqCst) {
            true => Err(injected(StorageErrorKind::Other)),
            false => Ok(()),
        }
    }
}

/// The n-th operation, of whatever kind, fails once.
#[derive(Debug)]
pub struct Failure {
    left: AtomicUsize,
    moment: Moment,
    kind: StorageErrorKind,
    failed: AtomicBool,
}

/// A backend one of whose operations fails.
pub type FailingOnce = Hooked<Failure>;

impl FailingOnce {
    /// An operation that changes nothing fails in the same way, whatever the moment.
    pub fn failing(inner: Arc<dyn Backend>, operations: usize, moment: Moment, kind: StorageErrorKind) -> Self {
        let left = AtomicUsize::new(operations);
        Self::new(inner, Failure { left, moment, kind, failed: AtomicBool::new(false) })
    }

    pub fn failed(&self) -> bool {
        self.hook.failed.load(Ordering::SeqCst)
    }
}

impl Failure {
    fn at(&self, moment: Moment) -> storage::Result<()> {
        if self.moment != moment {
            return Ok(());
        }
        let due = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        match due && !self.failed.swap(true, Ordering::SeqCst) {
            true => Err(injected(self.kind)),
            false => Ok(()),
        }
    }
}

impl Hook for Failure {
    fn before(&self, _: Op<'_>) -> storage::Result<()> {
        self.at(Moment::Before)
    }

    fn after(&self, _: Op<'_>) -> storage::Result<()> {
        self.at(Moment::After)
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
    check(repository, CheckOptions::reading(DataSubset::All), &Silent)
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
    let options = restoring(target.path());
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
