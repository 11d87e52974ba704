//! Every promise of `Backend`, kept by every backend and every wrapper around one; and what is to be said of the local one
//! alone. A further backend joins with a test of one line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::common;
use crate::hooked::{Hooked, Op};
use crate::sim_store;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avro_snap::storage::Each;
use avro_snap::storage::conformance::{CHECKS, check, name};
use avro_snap::storage::{
    Abilities, Backend, ByteRange, Cache, CacheTerms, Created, Kind, Limit, Local, Memory, Meter, Name, ObjectMeta,
    PutTerms, Rates, ReadOnly, Result, Retain, Retry, RetryPolicy, StorageError, StorageErrorKind, Traffic,
};

/// Puts a backend through all checks. Each call of `open` is another handle of the same storage.
fn keeps_every_promise<B: Backend + 'static>(open: impl Fn() -> B + Sync) {
    check(&|| Arc::new(open()) as Arc<dyn Backend>).unwrap_or_else(|failure| panic!("{failure}"));
}

fn rates(most: Option<u64>) -> Arc<Rates> {
    Arc::new(Rates::new(most, most))
}

#[test]
fn a_local_folder_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("below/repository");
    keeps_every_promise(|| Local::new(&root));
}

#[test]
fn a_local_folder_that_names_by_links_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    keeps_every_promise(|| Local::new(folder.path()).by_link());
}

#[test]
fn memory_keeps_every_promise() {
    let memory = Memory::new();
    keeps_every_promise(|| memory.clone());
}

/// On a day on which nothing goes wrong.
#[test]
fn the_simulated_storage_keeps_every_promise() {
    let store = sim_store::SimStore::new(1, 1);
    keeps_every_promise(|| store.clone());
}

#[test]
fn every_wrapper_keeps_every_promise() {
    let memory = Memory::new();
    let inner = || Arc::new(memory.clone()) as Arc<dyn Backend>;
    keeps_every_promise(|| Meter::new(inner()));
    keeps_every_promise(|| Retry::new(inner(), RetryPolicy::default()));
    keeps_every_promise(|| Limit::new(inner(), rates(Some(u64::MAX))));
    keeps_every_promise(|| Cache::in_memory(inner(), CacheTerms::default()));
    let folder = tempfile::tempdir().unwrap();
    keeps_every_promise(|| Cache::in_folder(inner(), CacheTerms::default(), folder.path()));
    keeps_every_promise(|| Limit::new(Arc::new(Cache::in_memory(inner(), CacheTerms::default())), rates(None)));
    keeps_every_promise(|| Hooked::new(inner(), |_: Op<'_>| Ok(())));
    keeps_every_promise(|| HalfReadOnly { writes: memory.clone(), reads: ReadOnly::new(inner()) });
    // One around the other.
    keeps_every_promise(|| {
        let retry = Arc::new(Retry::new(inner(), RetryPolicy::default()));
        let cache = Arc::new(Cache::in_memory(retry, CacheTerms::default()));
        Meter::new(Arc::new(Limit::new(cache, rates(None))))
    });
}

/// Says which of its operations was called last that have a plain default.
#[derive(Debug, Default)]
struct Spy {
    memory: Memory,
    called: Mutex<&'static str>,
}

impl Spy {
    fn note(&self, operation: &'static str) {
        *self.called.lock().unwrap() = operation;
    }
}

impl Backend for Spy {
    fn location(&self) -> String {
        self.memory.location()
    }

    fn abilities(&self) -> Abilities {
        let mut abilities = self.memory.abilities();
        abilities.retains = true;
        abilities
    }

    fn prepare(&self) -> Result<()> {
        self.memory.prepare()
    }

    fn put(&self, name: &Name, bytes: &[u8], _: &PutTerms) -> Result<Created> {
        self.memory.create(name, bytes)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.memory.read_one(name, range)
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.note("read_many");
        self.memory.read_many(wants)
    }

    fn read_again(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.note("read_again");
        self.memory.read_many(wants)
    }

    fn read_stored(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.note("read_stored");
        self.memory.read_one(name, range)
    }

    fn traffic(&self) -> Option<Traffic> {
        Some(Traffic::default())
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        self.memory.head(name)
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        self.memory.list(kind, after, each)
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.memory.delete(name)
    }

    fn delete_many(&self, names: &[Name]) -> Vec<Result<()>> {
        self.note("delete_many");
        self.memory.delete_many(names)
    }

    fn retain(&self, names: &[Name], _: Duration) -> Vec<Result<()>> {
        self.note("retain");
        names.iter().map(|_| Ok(())).collect()
    }

    fn settle(&self, _: &Name) -> Result<()> {
        self.note("settle");
        Ok(())
    }
}

/// A wrapper that leaves an operation to the default does something else than what is below it.
#[test]
fn every_wrapper_passes_on_what_has_a_default() {
    let spy = Arc::new(Spy::default());
    let inner = || spy.clone() as Arc<dyn Backend>;
    let name = Name::new(Kind::Pack, "1");
    spy.create(&name, b"some bytes").unwrap();
    let wrappers: Vec<(&str, Arc<dyn Backend>)> = vec![
        ("meter", Arc::new(Meter::new(inner()))),
        ("retry", Arc::new(Retry::new(inner(), RetryPolicy::default()))),
        ("limit", Arc::new(Limit::new(inner(), rates(None)))),
        ("retain", Arc::new(Retain::new(inner(), Duration::from_secs(1)))),
        ("read only", Arc::new(ReadOnly::new(inner()))),
        ("cache", Arc::new(Cache::in_memory(inner(), CacheTerms::default()))),
    ];
    for (which, wrapper) in wrappers {
        let called = |operation: &str| {
            let called = std::mem::take(&mut *spy.called.lock().unwrap());
            assert_eq!(called, operation, "{which}");
        };
        let part = (name.clone(), ByteRange::Exactly { offset: 0, length: 4 });
        assert!(wrapper.traffic().is_some(), "{which}");
        wrapper.read_stored(&name, part.1).unwrap();
        called("read_stored");
        wrapper.read_many(std::slice::from_ref(&part));
        called("read_many");
        wrapper.read_again(std::slice::from_ref(&part));
        // What is to be kept is kept here, and need not be kept below.
        called(if which == "cache" { "read_many" } else { "read_again" });
        wrapper.settle(&name).unwrap();
        called("settle");
        if which != "read only" {
            wrapper.retain(std::slice::from_ref(&name), Duration::from_secs(1));
            called("retain");
            wrapper.delete_many(&[Name::new(Kind::Pack, "2")]);
            called("delete_many");
        }
    }
}

/// What is changed goes past the wrapper that refuses it, so that the rest of it can be checked.
#[derive(Debug)]
struct HalfReadOnly {
    writes: Memory,
    reads: ReadOnly,
}

impl Backend for HalfReadOnly {
    fn location(&self) -> String {
        self.reads.location()
    }

    fn abilities(&self) -> Abilities {
        self.reads.abilities()
    }

    fn prepare(&self) -> Result<()> {
        self.writes.prepare()
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        self.writes.put(name, bytes, terms)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.reads.read_one(name, range)
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.reads.read_many(wants)
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        self.reads.head(name)
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        self.reads.list(kind, after, each)
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.writes.delete(name)
    }

    fn settle(&self, name: &Name) -> Result<()> {
        self.reads.settle(name)
    }
}

#[test]
fn a_storage_that_is_not_empty_is_left_alone() {
    let memory = Memory::new();
    memory.create(&Name::log(0), b"somebody's").unwrap();
    let failure = check(&|| Arc::new(memory.clone()) as Arc<dyn Backend>).unwrap_err();
    assert!(failure.reason.contains("not empty"), "{failure}");
    assert_eq!(memory.read(&Name::log(0), 100).unwrap(), b"somebody's");
}

/// The checks can fail: each of these breaks a promise, and is found out by the check that is about it.
#[test]
fn every_broken_promise_is_found() {
    use StorageErrorKind::{NotFound, Other};
    type Break = (&'static str, fn(Op<'_>, &Memory) -> Result<()>);
    let breaks: [Break; 5] = [
        // A put replaces what is there.
        ("an_object_never_changes", |op, memory| match op {
            Op::Put(name, _) => memory.delete(name),
            _ => Ok(()),
        }),
        ("what_is_missing_is_said_to_be", |op, memory| match op {
            Op::Read(name, _) if memory.size(name)?.is_none() => Err(StorageError::new(Other, "read").of(name)),
            _ => Ok(()),
        }),
        ("ranges_are_exact", |op, _| match op {
            Op::Read(name, ByteRange::Exactly { .. }) => Err(StorageError::not_found(name)),
            _ => Ok(()),
        }),
        ("deleting_twice_is_no_error", |op, memory| match op {
            Op::Delete(name) if memory.size(name)?.is_none() => Err(StorageError::new(NotFound, "delete").of(name)),
            _ => Ok(()),
        }),
        ("settling_changes_nothing", |op, memory| match op {
            Op::Settle(name) => memory.create(name, b"x").map(drop),
            _ => Ok(()),
        }),
    ];
    for (name, broken) in breaks {
        let memory = Memory::new();
        let open = || {
            let own = memory.clone();
            Arc::new(Hooked::new(Arc::new(memory.clone()), move |op: Op<'_>| broken(op, &own))) as Arc<dyn Backend>
        };
        let check = CHECKS.iter().find(|check| check.name == name).unwrap();
        assert!(check.run(&open).is_err(), "{name} did not notice");
    }
}

fn listed(backend: &impl Backend, kind: Kind) -> BTreeMap<Name, u64> {
    backend.list_all(kind).unwrap().into_iter().map(|meta| (meta.name, meta.size)).collect()
}

#[track_caller]
fn missing<T: std::fmt::Debug>(result: Result<T>) {
    assert!(result.as_ref().is_err_and(|error| error.kind() == StorageErrorKind::NotFound), "{result:?}");
}

#[track_caller]
fn damaged<T: std::fmt::Debug>(result: Result<T>) {
    let is_damaged = |error: &StorageError| matches!(error.kind(), StorageErrorKind::Damaged(_));
    assert!(result.as_ref().is_err_and(is_damaged), "{result:?}");
}

// What is to be said of files and folders alone.

/// A local repository with two objects of each kind, and where it lies.
fn local_with_objects() -> (tempfile::TempDir, PathBuf, Local) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    let backend = Local::new(&root);
    backend.prepare().unwrap();
    for kind in Kind::ALL {
        backend.create(&name(kind, 1), b"first").unwrap();
        backend.create(&name(kind, 2), b"second").unwrap();
    }
    (folder, root, backend)
}

fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_path_buf()];
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(all_below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn nobody_else_can_look_in_and_nothing_stays_in_tmp() {
    // The umask belongs to the whole process, so it is changed in one of its own: it must neither give nor take.
    for umask in ["0000", "0777"] {
        let folder = tempfile::tempdir().unwrap();
        let status = std::process::Command::new("sh")
            .args(["-c", "umask $0; exec \"$1\" --exact backend_conformance::inner_objects_under_some_umask --ignored"])
            .args([umask.as_ref(), std::env::current_exe().unwrap().as_os_str()])
            .env("FOLDER", folder.path())
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&status.stdout).contains("1 passed"), "{status:?}");
    }
}

#[test]
#[ignore = "run by another test"]
fn inner_objects_under_some_umask() {
    let root = PathBuf::from(std::env::var_os("FOLDER").unwrap()).join("above/repository");
    let backend = Local::new(&root);
    backend.prepare().unwrap();
    fs::remove_dir(root.join("packs/00")).unwrap();
    fs::remove_dir(root.join("tmp")).unwrap();
    backend.create(&Name::new(Kind::Pack, "00ff"), b"x").unwrap();
    for kind in Kind::ALL {
        backend.create(&name(kind, 1), b"x").unwrap();
        assert_eq!(backend.create(&name(kind, 1), b"y").unwrap(), Created::Exists);
    }
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(root.join("packs")).unwrap().count(), 256);
    for path in all_below(root.parent().unwrap()) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}: {:o}", path.display(), mode(&path));
    }
}

#[test]
fn foreign_files_are_passed_over() {
    let (_keep, root, backend) = local_with_objects();
    let pack = name(Kind::Pack, 1);
    for foreign in [
        "log/.nfs0001",
        "log/notes.txt",
        "index/UPPER",
        "index/lost+found",
        "keys/a b",
        "packs/README",
        "packs/ab/x.part",
        "packs/zz",
        "packs/abc",
        "lost+found",
        "config.bak",
        "tmp/0123",
    ] {
        fs::write(root.join(foreign), b"foreign").unwrap();
    }
    fs::create_dir(root.join("index/folder")).unwrap();
    fs::create_dir(root.join("packs/00x")).unwrap();
    symlink(root.join("config"), root.join("keys/link")).unwrap();
    fs::write(root.join("log").join(std::ffi::OsString::from("caf\u{e9}")), b"").unwrap();
    // A pack in the folder of another prefix is not where its name says.
    let astray = if pack.file().starts_with("00") { "11" } else { "00" };
    fs::write(root.join("packs").join(astray).join(pack.file()), b"astray").unwrap();
    for kind in Kind::ALL {
        let names: BTreeSet<Name> = listed(&backend, kind).into_keys().collect();
        assert_eq!(names, BTreeSet::from([name(kind, 1), name(kind, 2)]), "{kind:?}");
    }
}

#[test]
fn folders_that_a_copy_lost_are_made_again_but_never_the_root() {
    let (_keep, root, backend) = local_with_objects();
    fs::remove_dir_all(root.join("packs")).unwrap();
    fs::remove_dir_all(root.join("index")).unwrap();
    fs::remove_dir_all(root.join("tmp")).unwrap();
    missing(backend.read(&name(Kind::Pack, 1), 10));
    assert!(listed(&backend, Kind::Pack).is_empty() && listed(&backend, Kind::Index).is_empty());
    assert_eq!(backend.create(&name(Kind::Log, 3), b"x").unwrap(), Created::New);
    assert_eq!(backend.create(&name(Kind::Pack, 1), b"x").unwrap(), Created::New);
    assert_eq!(listed(&backend, Kind::Pack).len(), 1);

    fs::remove_dir_all(&root).unwrap();
    let error = backend.create(&name(Kind::Pack, 1), b"x").unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Unavailable, "{error}");
    assert!(!root.exists());
}

#[test]
fn a_disk_that_goes_away_takes_nothing_for_missing() {
    let (_keep, root, backend) = local_with_objects();
    backend.read(&name(Kind::Pack, 1), 10).unwrap();
    let elsewhere = root.with_extension("elsewhere");
    fs::rename(&root, &elsewhere).unwrap();
    let pack = name(Kind::Pack, 1);
    let gone = [
        backend.read(&pack, 10).unwrap_err(),
        backend.read_range(&pack, 0, 1).unwrap_err(),
        backend.head(&pack).unwrap_err(),
        backend.list_all(Kind::Pack).unwrap_err(),
        backend.list_all(Kind::Log).unwrap_err(),
        backend.delete(&pack).unwrap_err(),
        backend.create(&pack, b"x").unwrap_err(),
    ];
    assert!(gone.iter().all(|error| error.kind() == StorageErrorKind::Unavailable), "{gone:?}");
    // Where nothing was ever seen, there is no repository, and that is all that can be said.
    missing(Local::new(&root).read(&pack, 10));
    fs::rename(&elsewhere, &root).unwrap();
    assert_eq!(backend.read(&pack, 10).unwrap(), b"first");
}

#[test]
fn what_is_no_file_counts_as_missing_and_is_never_waited_for_or_written_over() {
    let (_keep, root, backend) = local_with_objects();
    let path = |name: &Name| root.join(name.to_string());
    type PutInTheWay = fn(&Path, &Path);
    let in_the_way: [(&str, PutInTheWay); 4] = [
        ("a link to an object", |root, path| symlink(root.join("config"), path).unwrap()),
        ("a link to nothing", |_, path| symlink("/nowhere", path).unwrap()),
        ("a folder", |_, path| fs::create_dir(path).unwrap()),
        ("a pipe", |_, path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success())),
    ];
    for kind in [Kind::Key, Kind::Pack, Kind::Index, Kind::Log] {
        for (what, put) in &in_the_way {
            let name = name(kind, 3);
            fs::create_dir_all(path(&name).parent().unwrap()).unwrap();
            put(&root, &path(&name));
            missing(backend.read(&name, 100));
            missing(backend.read_range(&name, 0, 1));
            assert_eq!(backend.size(&name).unwrap(), None, "{what}");
            assert_eq!(backend.head(&name).unwrap(), None, "{what}");
            assert!(!listed(&backend, kind).contains_key(&name), "{what}");
            // Who is told that it is there would rest on it.
            damaged(backend.create(&name, b"x"));
            backend.delete(&name).unwrap();
            if *what == "a folder" {
                fs::remove_dir(path(&name)).unwrap();
            }
            assert_eq!(backend.create(&name, b"x").unwrap(), Created::New, "{what}");
            fs::remove_file(path(&name)).unwrap();
        }
    }
    assert_eq!(backend.read(&Name::config(), 100).unwrap(), b"first");
}

#[test]
fn no_folder_of_a_repository_is_reached_by_a_link() {
    for folder in ["tmp", "packs", "packs/ab", "log", "index", "keys"] {
        let (keep, root, backend) = local_with_objects();
        let elsewhere = keep.path().join("elsewhere");
        fs::rename(root.join(folder), &elsewhere).unwrap();
        symlink(&elsewhere, root.join(folder)).unwrap();
        // Of the shape that each kind of name has, and very old.
        let digits = |length: usize| "ab00112233445566778899".repeat(4)[..length].to_owned();
        let foreign = [digits(64), digits(32), digits(16), format!("{:020}", 7)];
        for name in &foreign {
            fs::write(elsewhere.join(name), b"foreign").unwrap();
            let file = fs::File::options().write(true).open(elsewhere.join(name)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        let refused = |error: StorageError| {
            let said = format!("{error}");
            assert!(error.kind() == StorageErrorKind::Other && said.contains("symbolic link"), "{folder}: {said}");
        };
        let before = all_below(&elsewhere);
        let pack = Name::new(Kind::Pack, &foreign[0]);
        match folder {
            "tmp" => {
                refused(backend.tidy(i64::MAX).unwrap_err());
                refused(backend.create(&pack, b"x").unwrap_err());
            }
            _ => {
                let kind =
                    Kind::ALL.into_iter().find(|kind| folder.starts_with(kind.folder()) && !kind.folder().is_empty());
                let kind = kind.unwrap();
                let name = match kind {
                    Kind::Pack => pack,
                    Kind::Log => Name::log(7),
                    Kind::Key => Name::new(kind, &foreign[2]),
                    kind => Name::new(kind, &foreign[0]),
                };
                refused(backend.read(&name, 10).unwrap_err());
                refused(backend.size(&name).unwrap_err());
                refused(backend.delete(&name).unwrap_err());
                refused(backend.create(&name, b"x").unwrap_err());
                refused(backend.settle(&name).unwrap_err());
                refused(backend.list_all(kind).unwrap_err());
            }
        }
        refused(backend.prepare().unwrap_err());
        assert_eq!(before, all_below(&elsewhere), "{folder}");
    }
}

#[test]
fn only_what_was_made_here_is_tidied_up() {
    let (_keep, root, backend) = local_with_objects();
    let left = "0123456789abcdef".repeat(2);
    for name in [left.as_str(), "export.avro", "0123", "0123456789ABCDEF0123456789ABCDEF"] {
        fs::write(root.join("tmp").join(name), b"seven..").unwrap();
    }
    fs::create_dir(root.join("tmp").join("fedcba9876543210".repeat(2))).unwrap();
    symlink(root.join("config"), root.join("tmp").join("00".repeat(16))).unwrap();
    assert_eq!(backend.tidy(0).unwrap(), 0, "nothing is so old");
    assert_eq!(backend.tidy(i64::MAX).unwrap(), 7);
    assert!(!root.join("tmp").join(&left).exists());
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 5);
}

#[test]
fn what_must_last_is_synced_before_what_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let traced = std::process::Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync,renameat2,linkat", "-o"])
        .arg(folder.path().join("trace"))
        .args([
            std::env::current_exe().unwrap().as_os_str(),
            "--exact".as_ref(),
            "backend_conformance::inner_pack_index_log".as_ref(),
        ])
        .arg("--ignored")
        .env("FOLDER", folder.path())
        .output();
    if !traced.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED what_must_last_is_synced_before_what_names_it: there is no strace, or it is not permitted");
        return;
    }
    // What each call was about: the folder in the repository, or the folder that got a file.
    let trace = fs::read_to_string(folder.path().join("trace")).unwrap();
    let calls: Vec<String> = trace
        .lines()
        .skip_while(|line| !line.contains("renameat2") && !line.contains("linkat"))
        .filter_map(|line| {
            let what = if line.contains("fsync(") { "sync" } else { "name" };
            let path = line.split(['<', '>']).rfind(|part| part.contains("/repository"))?;
            let place = path.split("/repository").nth(1)?.trim_start_matches('/').split('/').next()?;
            Some(format!("{what} {place}"))
        })
        .filter(|call| call != "sync ")
        .collect();
    let expected = [
        "name packs",
        "sync packs",
        "sync tmp",
        "name index",
        "sync index",
        "sync index",
        "sync log",
        "sync tmp",
        "name log",
        "sync log",
    ];
    assert_eq!(calls, expected, "{trace}");
}

#[test]
#[ignore = "run by another test, which looks at its system calls"]
fn inner_pack_index_log() {
    let backend = Local::new(PathBuf::from(std::env::var_os("FOLDER").unwrap()).join("repository"));
    backend.prepare().unwrap();
    for kind in [Kind::Pack, Kind::Index, Kind::Log] {
        backend.create(&name(kind, 1), b"x").unwrap();
    }
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    common::with_mounts(
        folder.path(),
        "mount -t tmpfs -o size=2m tmpfs \"$FOLDER\"",
        "backend_conformance::inner_full_disk",
    );
}

#[test]
#[ignore = "run by another test, on a file system of 2 MB"]
fn inner_full_disk() {
    let root = PathBuf::from(std::env::var_os("FOLDER").unwrap()).join("repository");
    let backend = Local::new(&root);
    backend.prepare().unwrap();
    let name = name(Kind::Pack, 1);
    let error = backend.create(&name, &vec![1; 4 << 20]).unwrap_err().to_string();
    assert!(error.contains("No space left") && error.contains(name.file()), "{error}");
    assert_eq!(fs::read_dir(root.join("tmp")).unwrap().count(), 0);
    missing(backend.read(&name, 10));
    assert_eq!(backend.create(&name, b"small").unwrap(), Created::New);
}
