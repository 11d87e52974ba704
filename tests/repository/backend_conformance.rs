//! Every promise of `Backend`, kept by every backend. A further backend, or a wrapper that makes one fail, joins with
//! one line in `suite!`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::common;
use crate::sim_store;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use avro_snap::error::Error;
use avro_snap::storage::{Backend, Created, Kind, Local, Memory, Name};

/// A place for a repository, which several handles can reach as several processes would.
struct Place<B> {
    open: Box<dyn Fn() -> B + Sync>,
    _keep: Box<dyn Any + Send + Sync>,
}

impl<B: Backend> Place<B> {
    fn new(open: impl Fn() -> B + Sync + 'static, keep: impl Any + Send + Sync) -> Self {
        let place = Self { open: Box::new(open), _keep: Box::new(keep) };
        place.open().prepare().unwrap();
        place
    }

    fn open(&self) -> B {
        (self.open)()
    }
}

fn local() -> Place<Local> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("below/repository");
    Place::new(move || Local::new(&root), folder)
}

fn memory() -> Place<Memory> {
    let memory = Memory::new();
    Place::new(move || memory.clone(), ())
}

/// The simulated storage, on a day on which nothing goes wrong.
fn simulated() -> Place<sim_store::SimStore> {
    let store = sim_store::SimStore::new(1, 1);
    Place::new(move || store.clone(), ())
}

macro_rules! suite {
    ($($place:ident),+) => { $(
        mod $place {
            use super::*;
            suite! { @stories $place:
                of_many_creators_of_a_name_one_wins, an_object_is_seen_whole_or_not_at_all, ranges_are_exact,
                limits_are_kept, what_is_missing_is_said_to_be, every_kind_is_listed, deleting_twice_is_no_error,
                an_object_may_be_empty, an_object_may_be_large, an_object_never_changes, preparing_again_is_harmless,
                a_listing_may_be_acted_upon, settling_changes_nothing
            }
        }
    )+ };
    (@stories $place:ident: $($story:ident),+) => { $(
        #[test]
        fn $story() {
            super::$story(&$place());
        }
    )+ };
}

suite!(local, memory, simulated);

/// A name of the length and shape that real ones have.
fn name(kind: Kind, n: u64) -> Name {
    match kind {
        Kind::Config => Name::config(),
        Kind::Log => Name::log(n),
        Kind::Checkpoint => Name::new(kind, format_args!("{n:020}")),
        kind => Name::new(kind, avro_snap::id::hex(&avro_snap::id::digest(&n.to_le_bytes()))),
    }
}

fn listed(backend: &impl Backend, kind: Kind) -> BTreeMap<Name, u64> {
    let mut all = BTreeMap::new();
    backend
        .list(kind, &mut |name, length| {
            assert!(all.insert(name.clone(), length).is_none(), "{name} listed twice");
            Ok(())
        })
        .unwrap();
    all
}

#[track_caller]
fn missing<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::ObjectMissing { .. })), "{result:?}");
}

#[track_caller]
fn damaged<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
}

fn of_many_creators_of_a_name_one_wins<B: Backend>(place: &Place<B>) {
    const THREADS: usize = 8;
    const NAMES: u64 = 40;
    let wins = [const { AtomicUsize::new(0) }; 2 * NAMES as usize];
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (wins, start) = (&wins, &start);
            scope.spawn(move || {
                let backend = place.open();
                start.wait();
                for (i, wins) in wins.iter().enumerate() {
                    let name = name([Kind::Log, Kind::Pack][i % 2], i as u64);
                    let bytes = vec![thread as u8; 1000];
                    match backend.create(&name, &bytes).unwrap() {
                        Created::New => {
                            wins.fetch_add(1, Ordering::SeqCst);
                            assert_eq!(backend.read(&name, 1000).unwrap(), bytes, "the winner's bytes are there");
                        }
                        Created::Exists => assert_eq!(backend.size(&name).unwrap(), Some(1000)),
                    }
                }
            });
        }
    });
    for (i, wins) in wins.iter().enumerate() {
        assert_eq!(wins.load(Ordering::SeqCst), 1, "name {i}");
        let bytes = place.open().read(&name([Kind::Log, Kind::Pack][i % 2], i as u64), 1000).unwrap();
        assert!(bytes.iter().all(|byte| *byte == bytes[0]), "bytes of two writers");
    }
}

fn an_object_is_seen_whole_or_not_at_all<B: Backend>(place: &Place<B>) {
    const LENGTH: usize = 3_000_000;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let backend = place.open();
            for n in 0..10 {
                assert_eq!(backend.create(&name(Kind::Pack, n), &vec![n as u8 + 1; LENGTH]).unwrap(), Created::New);
            }
            done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            let backend = place.open();
            while !done.load(Ordering::SeqCst) {
                for n in 0..10 {
                    match backend.read(&name(Kind::Pack, n), u64::MAX) {
                        Ok(bytes) => assert!(bytes.len() == LENGTH && bytes.iter().all(|b| *b == n as u8 + 1)),
                        Err(error) => assert!(matches!(error, Error::ObjectMissing { .. }), "{error}"),
                    }
                    assert!([None, Some(LENGTH as u64)].contains(&backend.size(&name(Kind::Pack, n)).unwrap()));
                }
                assert!(listed(&backend, Kind::Pack).values().all(|length| *length == LENGTH as u64));
            }
        });
    });
}

fn ranges_are_exact<B: Backend>(place: &Place<B>) {
    let backend = place.open();
    let name = name(Kind::Pack, 1);
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    backend.create(&name, &bytes).unwrap();
    for (offset, length) in [(0, 0), (0, 1), (0, 1000), (999, 1), (1000, 0), (300, 400)] {
        let range = backend.read_range(&name, offset as u64, length).unwrap();
        assert_eq!(range, bytes[offset..offset + length], "{length} from {offset}");
    }
    for (offset, length) in [(0, 1001), (1000, 1), (1001, 0), (u64::MAX, 1), (u64::MAX, 0), (1, usize::MAX)] {
        damaged(backend.read_range(&name, offset, length));
    }
}

fn limits_are_kept<B: Backend>(place: &Place<B>) {
    let backend = place.open();
    let name = name(Kind::Index, 1);
    backend.create(&name, b"0123456789").unwrap();
    for limit in [10, 11, u64::MAX] {
        assert_eq!(backend.read(&name, limit).unwrap(), b"0123456789");
    }
    for limit in [0, 1, 9] {
        damaged(backend.read(&name, limit));
    }
}

fn what_is_missing_is_said_to_be<B: Backend>(place: &Place<B>) {
    let backend = place.open();
    for kind in Kind::ALL {
        let name = name(kind, 1);
        missing(backend.read(&name, u64::MAX));
        missing(backend.read(&name, 0));
        missing(backend.read_range(&name, 0, 0));
        missing(backend.read_range(&name, u64::MAX, 1));
        assert_eq!(backend.size(&name).unwrap(), None);
        assert!(listed(&backend, kind).is_empty());
    }
}

fn every_kind_is_listed<B: Backend>(place: &Place<B>) {
    let backend = place.open();
    let mut expected = BTreeMap::<Kind, BTreeMap<Name, u64>>::new();
    for (i, kind) in Kind::ALL.into_iter().enumerate() {
        let count = if kind == Kind::Config { 1 } else { 20 };
        for n in 0..count {
            let length = 10 * i + n as usize;
            backend.create(&name(kind, n), &vec![7; length]).unwrap();
            expected.entry(kind).or_default().insert(name(kind, n), length as u64);
        }
    }
    for kind in Kind::ALL {
        assert_eq!(listed(&place.open(), kind), expected[&kind], "{kind:?}");
        for (name, length) in &expected[&kind] {
            assert_eq!(backend.size(name).unwrap(), Some(*length));
            assert_eq!(backend.read(name, *length).unwrap().len() as u64, *length);
        }
    }
    let stop = || Error::Invalid("enough".into());
    let mut calls = 0;
    let stopped = backend.list(Kind::Pack, &mut |_, _| {
        calls += 1;
        Err(stop())
    });
    assert_eq!(stopped.unwrap_err().to_string(), stop().to_string());
    assert_eq!(calls, 1, "a listing ends with the first error of its listener");
}

fn deleting_twice_is_no_error<B: Backend>(place: &Place<B>) {
    let backend = place.open();
    for kind in Kind::ALL {
        let name = name(kind, 1);
        backend.delete(&name).unwrap();
        backend.create(&name, b"x").unwrap();
        backend.delete(&name).unwrap();
        missing(backend.read(&name, 1));
        assert!(listed(&backend, kind).is_empty());
        backend.delete(&name).unwrap();
    }
}

fn an_object_may_be_empty<B: Backend>(place: &Place<B>) {
    let backend = place.open();
    let name = name(Kind::Session, 1);
    assert_eq!(backend.create(&name, b"").unwrap(), Created::New);
    assert_eq!(backend.create(&name, b"more").unwrap(), Created::Exists);
    assert_eq!(backend.read(&name, 0).unwrap(), b"");
    assert_eq!(backend.read_range(&name, 0, 0).unwrap(), b"");
    assert_eq!(backend.size(&name).unwrap(), Some(0));
    assert_eq!(listed(&backend, Kind::Session), [(name, 0)].into());
}

fn an_object_may_be_large<B: Backend>(place: &Place<B>) {
    let backend = place.open();
    let name = name(Kind::Pack, 1);
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect();
    assert_eq!(backend.create(&name, &bytes).unwrap(), Created::New);
    assert!(backend.read(&name, bytes.len() as u64).unwrap() == bytes);
    assert!(backend.read_range(&name, 9_999_999, 5_000_000).unwrap() == bytes[9_999_999..][..5_000_000]);
}

fn an_object_never_changes<B: Backend>(place: &Place<B>) {
    for kind in Kind::ALL {
        let name = name(kind, 1);
        assert_eq!(place.open().create(&name, b"first").unwrap(), Created::New);
        for other in [&b"other"[..], b"first", b"", b"longer than before"] {
            assert_eq!(place.open().create(&name, other).unwrap(), Created::Exists);
        }
        assert_eq!(place.open().read(&name, 100).unwrap(), b"first");
    }
}

fn preparing_again_is_harmless<B: Backend>(place: &Place<B>) {
    let backend = place.open();
    for kind in Kind::ALL {
        backend.create(&name(kind, 1), b"x").unwrap();
    }
    place.open().prepare().unwrap();
    for kind in Kind::ALL {
        assert_eq!(listed(&backend, kind), [(name(kind, 1), 1)].into());
    }
    assert!(!backend.location().is_empty());
}

fn a_listing_may_be_acted_upon<B: Backend>(place: &Place<B>) {
    let backend = place.open();
    for n in 0..20 {
        backend.create(&name(Kind::Gc, n), b"x").unwrap();
    }
    backend.list(Kind::Gc, &mut |name, _| backend.delete(&name)).unwrap();
    assert!(listed(&backend, Kind::Gc).is_empty());
}

// What is to be said of files and folders alone.

/// A local repository with two objects of each kind, and where it lies.
/// Also where there is no such object, and by another process than the one that created it.
fn settling_changes_nothing<B: Backend>(place: &Place<B>) {
    for kind in [Kind::Pack, Kind::Index, Kind::Log] {
        place.open().create(&name(kind, 1), b"x").unwrap();
        let other = place.open();
        other.settle(&name(kind, 1)).unwrap();
        other.settle(&name(kind, 2)).unwrap();
        assert_eq!(listed(&other, kind), BTreeMap::from([(name(kind, 1), 1)]));
        missing(other.read(&name(kind, 2), 10));
    }
}

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
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
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
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(!root.exists());
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
            assert_eq!(backend.modified(&name).unwrap(), None, "{what}");
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
        let refused = |error: Error| {
            let said = format!("{error}");
            assert!(matches!(&error, Error::Io { .. }) && said.contains("symbolic link"), "{folder}: {said}");
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
                refused(backend.list(kind, &mut |_, _| Ok(())).unwrap_err());
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
