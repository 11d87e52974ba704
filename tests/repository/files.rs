//! Reading a source and writing a target, on the file system that the tests run on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::common;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use avro_snap::error::Error;
use avro_snap::files::temporary::is_temporary;
use avro_snap::files::{
    FoundKind, Overwrite, Problem, Rules, Source, SourceFile, Target, TargetOptions, now, open_for_reading, stat_of,
};
use avro_snap::progress::{Progress, Silent, Warning};
use avro_snap::snapshot::entry::{Device, EntryKind, FileEntry, Time, Xattr, path_order};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};

// --- Help -----------------------------------------------------------------------------------------------------------

fn walk_with(roots: &[&Path], rules: Rules) -> (Vec<SourceFile>, Vec<Problem>) {
    let roots: Vec<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for item in Source::new(&roots, Path::new("/"), rules, now).unwrap() {
        match item {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    for pair in files.windows(2) {
        assert!(path_order(&pair[0].tree_path, &pair[1].tree_path).is_lt(), "not in order: {pair:?}");
    }
    assert!(files.iter().all(|file| file.tree_path == file.entry.path));
    (files, problems)
}

/// What lies below `root`, as rows whose paths begin below it.
fn walk(root: &Path) -> Vec<SourceFile> {
    below(root, walk_with(&[root], Rules::new()))
}

fn below(root: &Path, (mut files, problems): (Vec<SourceFile>, Vec<Problem>)) -> Vec<SourceFile> {
    assert!(problems.is_empty(), "{problems:?}");
    let start = root.as_os_str().as_bytes()[1..].to_vec();
    files.retain(|file| file.tree_path.len() > start.len());
    for file in &mut files {
        assert!(file.tree_path.starts_with(&start));
        file.tree_path.drain(..=start.len());
        file.entry.path = file.tree_path.clone();
    }
    files
}

fn walked(root: &Path, rules: Rules) -> Vec<String> {
    let files = below(root, walk_with(&[root], rules));
    files.iter().map(|file| String::from_utf8_lossy(&file.tree_path).into_owned()).collect()
}

fn rules(build: impl FnOnce(&mut Rules)) -> Rules {
    let mut rules = Rules::new();
    build(&mut rules);
    rules
}

/// Makes files (`path`) and directories (`path/`) with what is above them.
fn lay(root: &Path, paths: &[&str]) {
    for path in paths {
        let here = root.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(here).unwrap();
        } else {
            fs::create_dir_all(here.parent().unwrap()).unwrap();
            fs::write(here, path).unwrap();
        }
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<Warning>>);

impl Progress for Heard {
    fn warning(&self, warning: &Warning) {
        self.0.lock().unwrap().push(warning.clone());
    }
}

fn options(overwrite: Overwrite) -> TargetOptions {
    TargetOptions { overwrite, ..TargetOptions::default() }
}

fn target(path: &Path) -> Target {
    Target::new(path, TargetOptions::default()).unwrap()
}

fn entry(kind: EntryKind, mode: u32, size: u64) -> FileEntry {
    FileEntry {
        path: Vec::new(),
        kind,
        mode,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        user: None,
        group: None,
        mtime: Time::from_nanoseconds(1_234_567_890_123_456_789),
        ctime: Time::EPOCH,
        inode: 0,
        size,
        racy: false,
        sparse: false,
        hard_link: None,
        xattrs: Vec::new(),
        content: None,
        recipe: Vec::new(),
        avro: None,
        origin: None,
        altered: None,
        properties: Vec::new(),
    }
}

fn put(target: &Target, path: &[u8], bytes: &[u8], entry: &FileEntry) -> Result<(), Error> {
    let mut writer = target.begin_file(path, bytes.len() as u64, false)?;
    writer.write(bytes)?;
    writer.finish(entry, &Silent)
}

fn put_plain(target: &Target, path: &str, bytes: &[u8]) -> Result<(), Error> {
    put(target, path.as_bytes(), bytes, &entry(EntryKind::File, 0o644, bytes.len() as u64))
}

/// Restores what a walk found, reading the contents from where they lie.
fn restore(files: &[SourceFile], target: &Target, progress: &dyn Progress) {
    for file in files {
        let path = &file.tree_path;
        match &file.entry.kind {
            EntryKind::Directory => target.make_directory(path, Some(&file.entry)).unwrap(),
            EntryKind::File => {
                let mut opened = open_for_reading(&file.fs_path).unwrap();
                assert_eq!(stat_of(&opened).unwrap(), file.stat());
                let mut bytes = Vec::new();
                opened.read_to_end(&mut bytes).unwrap();
                let mut writer = target.begin_file(path, file.entry.size, file.entry.sparse).unwrap();
                match file.entry.sparse {
                    true => bytes.chunks(100_000).for_each(|chunk| writer.write_sparse(chunk).unwrap()),
                    false => bytes.chunks(100_000).for_each(|chunk| writer.write(chunk).unwrap()),
                }
                assert_eq!(writer.written(), file.entry.size);
                writer.finish(&file.entry, progress).unwrap();
            }
            _ => assert!(target.make_node(path, &file.entry, progress).unwrap()),
        }
    }
    target.finish_directories(progress);
}

/// Two walks found the same, but for what a copy cannot keep.
#[track_caller]
fn assert_same(a: &[SourceFile], b: &[SourceFile]) {
    let kept = |files: &[SourceFile]| -> Vec<FileEntry> {
        let timeless =
            |file: &SourceFile| FileEntry { ctime: Time::EPOCH, inode: 0, racy: false, ..file.entry.clone() };
        files.iter().map(timeless).collect()
    };
    let (a, b) = (kept(a), kept(b));
    assert_eq!(a.len(), b.len());
    a.iter().zip(&b).for_each(|(a, b)| assert_eq!(a, b));
}

fn set_times(path: &Path, mtime: i64) {
    let time = Timespec { tv_sec: mtime.div_euclid(1_000_000_000), tv_nsec: mtime.rem_euclid(1_000_000_000) as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn mtime(path: &Path) -> i64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Sets an attribute, or says that the test is skipped since the file system has none.
fn has_xattrs(path: &Path) -> bool {
    let set = rustix::fs::setxattr(path, "user.snap.test", b"value", XattrFlags::empty());
    if let Err(error) = set {
        eprintln!("SKIPPED: no extended attributes on {}: {error}", path.display());
    }
    set.is_ok()
}

#[track_caller]
fn unsafe_path<T: std::fmt::Debug>(result: Result<T, Error>) {
    assert!(matches!(result, Err(Error::UnsafePath { .. })), "{result:?}");
}

// --- The walk -------------------------------------------------------------------------------------------------------

#[test]
fn a_walk_is_in_the_order_of_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a/x", "a/x.y", "a/d/1", "a/d.e", "a-", "a.b", "B", "z/", "a/d-/q", "a/d/", "\u{1}c"];
    lay(folder.path(), &paths);
    assert_eq!(
        walked(folder.path(), Rules::new()),
        ["\u{1}c", "B", "a", "a/d", "a/d/1", "a/d-", "a/d-/q", "a/d.e", "a/x", "a/x.y", "a-", "a.b", "z"]
    );
}

#[test]
fn names_may_be_any_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let names: [&[u8]; 6] = [b"caf\xe9", b"new\nline", b"\xff\xfe", b" ", b"back\\slash", &[b'x'; 255]];
    for name in names {
        let path = from.join(OsStr::from_bytes(name));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let files = walk(&from);
    assert_eq!(files.len(), 12);
    restore(&files, &target(&to), &Silent);
    assert_same(&files, &walk(&to));
    for name in names {
        let name = OsStr::from_bytes(name);
        assert_eq!(fs::read(to.join(name).join(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn paths_may_be_longer_than_the_system_takes() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir(&from).unwrap();
    let mut at = rustix::fs::open(&from, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let name = "d".repeat(200);
    for level in 0..60 {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        if level % 10 == 9 {
            let flags = OFlags::CREATE | OFlags::WRONLY;
            let file = rustix::fs::openat(&at, "file", flags, Mode::RUSR | Mode::WUSR).unwrap();
            fs::File::from(file).write_all(format!("deep {level}").as_bytes()).unwrap();
            rustix::fs::symlinkat("somewhere", &at, "link").unwrap();
        }
    }
    let files = walk(&from);
    assert_eq!(files.len(), 60 + 6 + 6);
    assert!(files.iter().any(|file| file.tree_path.len() > 12_000));
    let restored = target(&to);
    restore(&files, &restored, &Silent);
    assert_same(&files, &walk(&to));
    let deepest = files.iter().rfind(|file| file.entry.kind == EntryKind::File).unwrap();
    let mut text = String::new();
    restored.open_file(&deepest.tree_path).unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert!(text.starts_with("deep"), "{text}");
}

#[test]
fn roots_come_with_the_directories_above_them() {
    let folder = tempfile::tempdir().unwrap();
    lay(folder.path(), &["a/b/one", "a/c/two", "a/c/not", "d/three"]);
    set_mode(&folder.path().join("a"), 0o750);
    symlink("d", folder.path().join("link")).unwrap();
    let roots = ["d", "link/three", "a/c/two", "a/b", "d", "gone/x"].map(|root| folder.path().join(root));
    let roots: Vec<&Path> = roots.iter().map(PathBuf::as_path).collect();
    let (mut files, problems) = walk_with(&roots, Rules::new());
    assert_eq!(problems.len(), 2, "the root that is not there, and what leads to it: {problems:?}");
    assert!(problems.iter().all(|problem| problem.is_incomplete() && problem.warning().incomplete));
    let start = folder.path().as_os_str().len();
    let above = files.iter().take_while(|file| file.tree_path.len() < start).count();
    assert_eq!(above, folder.path().components().count() - 1);
    assert!(files[..above].iter().all(|file| file.entry.kind == EntryKind::Directory));
    files.drain(..above);
    let names: Vec<_> =
        files.iter().map(|file| String::from_utf8_lossy(&file.tree_path[start..]).into_owned()).collect();
    assert_eq!(names, ["a", "a/b", "a/b/one", "a/c", "a/c/two", "d", "d/three", "link", "link/three"]);
    assert_eq!(files[0].entry.mode, 0o750);
    assert_eq!(files[7].entry.kind, EntryKind::Directory, "a link that leads to a root is followed");
}

#[test]
fn relative_roots_keep_their_form() {
    let folder = tempfile::tempdir().unwrap();
    lay(folder.path(), &["a/b/one", "two"]);
    let tree_paths = |root: &str, from: &Path| -> Vec<String> {
        let source = Source::new(&[root.into()], from, Rules::new(), now).unwrap();
        source.map(|file| String::from_utf8(file.unwrap().tree_path).unwrap()).collect()
    };
    assert_eq!(tree_paths("./a//b", folder.path()), ["a", "a/b", "a/b/one"]);
    assert_eq!(tree_paths(".", folder.path()), ["a", "a/b", "a/b/one", "two"]);
    let up = tree_paths("../two", &folder.path().join("a"));
    assert_eq!(format!("/{}", up.last().unwrap()), folder.path().join("two").to_str().unwrap());
}

#[test]
fn what_is_read_of_each_thing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), b"0123456789").unwrap();
    set_mode(&at("file"), 0o640);
    set_times(&at("file"), 1_234_567_890_123_456_789);
    fs::hard_link(at("file"), at("other")).unwrap();
    symlink("nowhere/at all", at("dangling")).unwrap();
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let files = walk(folder.path());
    let names: Vec<_> = files.iter().map(|file| file.tree_path.as_slice()).collect();
    assert_eq!(names, [&b"dangling"[..], b"file", b"other", b"pipe"], "sockets are passed over");
    let [dangling, file, other, pipe] = &files[..] else { unreachable!() };
    assert_eq!(dangling.entry.kind, EntryKind::Symlink(b"nowhere/at all".to_vec()));
    assert_eq!(pipe.entry.kind, EntryKind::Fifo);
    assert_eq!((file.entry.size, file.entry.mode, file.nlink), (10, 0o640, 2));
    assert_eq!(file.entry.mtime, Time::from_nanoseconds(1_234_567_890_123_456_789));
    assert_eq!((file.dev, file.entry.inode), (other.dev, other.entry.inode));
    assert_eq!(file.entry.uid, rustix::process::geteuid().as_raw());
    if root() {
        assert_eq!((file.entry.user.as_deref(), file.entry.group.as_deref()), (Some("root"), Some("root")));
    }
    assert!(file.entry.racy, "its ctime is of just now");
    assert!(!file.entry.sparse);
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), b"x").unwrap();
    symlink("file", at("link")).unwrap();
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert!(open_for_reading(&at("file")).is_ok());
    for other in ["link", "pipe", ".", "none"] {
        let error = open_for_reading(&at(other)).unwrap_err();
        assert!(error.to_string().contains(other), "{error}");
    }
    let before = stat_of(&open_for_reading(&at("file")).unwrap()).unwrap();
    fs::write(at("file"), b"xy").unwrap();
    assert_ne!(before, stat_of(&open_for_reading(&at("file")).unwrap()).unwrap());
}

#[test]
fn what_may_not_be_read_is_reported_and_passed_over() {
    if root() {
        eprintln!("SKIPPED what_may_not_be_read_is_reported_and_passed_over: root may read everything");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    lay(folder.path(), &["closed/x", "file", "open/y"]);
    set_mode(&folder.path().join("closed"), 0);
    set_mode(&folder.path().join("file"), 0);
    let (files, problems) = walk_with(&[folder.path()], Rules::new());
    assert_eq!(files.iter().filter(|file| file.tree_path.ends_with(b"y")).count(), 1);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].is_incomplete() && problems[0].path.ends_with("closed"));
    assert!(open_for_reading(&folder.path().join("file")).is_err());
    set_mode(&folder.path().join("closed"), 0o700);
}

#[test]
fn a_directory_that_goes_away_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    lay(folder.path(), &["a", "b/x", "c"]);
    let mut source = Source::new(&[folder.path().into()], Path::new("/"), Rules::new(), now).unwrap();
    source.by_ref().find(|item| item.as_ref().unwrap().tree_path.ends_with(b"/a")).unwrap().unwrap();
    fs::remove_dir_all(folder.path().join("b")).unwrap();
    let rest: Vec<_> = source.collect();
    assert_eq!(rest.len(), 2);
    let gone = rest[0].as_ref().unwrap_err();
    assert!(!gone.is_incomplete() && gone.path.ends_with("b"), "what is removed is not missing");
    assert!(rest[1].is_ok());
}

// --- The rules ------------------------------------------------------------------------------------------------------

#[test]
fn patterns_leave_out_what_they_match() {
    let folder = tempfile::tempdir().unwrap();
    lay(folder.path(), &["data/a.avro", "data/a.tmp", "data/deep/b.TMP", "data/deep/c", "keep/x.tmp", "keep/y.tmp"]);
    let excluding = |patterns: &[&str], insensitive| {
        walked(
            folder.path(),
            rules(|rules| {
                patterns.iter().for_each(|pattern| rules.exclude(pattern.as_bytes(), insensitive).unwrap());
            }),
        )
    };
    let all = [
        "data",
        "data/a.avro",
        "data/a.tmp",
        "data/deep",
        "data/deep/b.TMP",
        "data/deep/c",
        "keep",
        "keep/x.tmp",
        "keep/y.tmp",
    ];
    let without = |gone: &[&str]| -> Vec<&str> { all.into_iter().filter(|path| !gone.contains(path)).collect() };
    assert_eq!(excluding(&[], false), all);
    assert_eq!(excluding(&["*.tmp"], false), without(&["data/a.tmp", "keep/x.tmp", "keep/y.tmp"]));
    assert_eq!(excluding(&["*.tmp"], true), without(&["data/a.tmp", "data/deep/b.TMP", "keep/x.tmp", "keep/y.tmp"]));
    assert_eq!(excluding(&["data/deep"], false), without(&["data/deep", "data/deep/b.TMP", "data/deep/c"]));
    assert_eq!(excluding(&["data/**/c"], false), without(&["data/deep/c"]));
    assert_eq!(excluding(&["/data"], false), all, "a leading / is the root of the file system");
    let anchored = format!("{}/keep", folder.path().display());
    assert_eq!(excluding(&[&anchored], false), without(&["keep", "keep/x.tmp", "keep/y.tmp"]));
    assert_eq!(excluding(&["*.tmp", "!keep/*.tmp", "y.tmp"], false), without(&["data/a.tmp", "keep/y.tmp"]));
}

#[test]
fn patterns_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list");
    fs::write(&list, b"# a comment\n\n  *.tmp  \r\n!keep.tmp\ncaf\xe9\n$SNAP_TEST_NOT_SET*.bak\n").unwrap();
    let root = folder.path().join("root");
    lay(&root, &["a.tmp", "keep.tmp", "x", "y.bak"]);
    fs::write(root.join(OsStr::from_bytes(b"caf\xe9")), b"").unwrap();
    assert_eq!(walked(&root, rules(|rules| rules.exclude_file(&list, false).unwrap())), ["keep.tmp", "x"]);
    let error = Rules::new().exclude_file(&folder.path().join("none"), false).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    assert!(Rules::new().exclude(b"[", false).is_err());
}

#[test]
fn marked_directories_are_left_out_but_for_the_mark() {
    let folder = tempfile::tempdir().unwrap();
    lay(folder.path(), &["cache/big", "cache/deep/x", "fake/x", "marked/x", "marked/.nobackup", "headed/x", "plain/x"]);
    let tag = b"Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n";
    fs::write(folder.path().join("cache/CACHEDIR.TAG"), tag).unwrap();
    fs::write(folder.path().join("fake/CACHEDIR.TAG"), b"no signature").unwrap();
    fs::write(folder.path().join("headed/NOTE"), b"do not save").unwrap();
    fs::write(folder.path().join("plain/NOTE"), b"do save").unwrap();
    let found = walked(
        folder.path(),
        rules(|rules| {
            rules.exclude_caches();
            rules.exclude_if_present(b".nobackup").unwrap();
            rules.exclude_if_present(b"NOTE:do not").unwrap();
        }),
    );
    assert_eq!(
        found,
        [
            "cache",
            "cache/CACHEDIR.TAG",
            "fake",
            "fake/CACHEDIR.TAG",
            "fake/x",
            "headed",
            "headed/NOTE",
            "marked",
            "marked/.nobackup",
            "plain",
            "plain/NOTE",
            "plain/x"
        ]
    );
}

#[test]
fn large_files_and_the_repository_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    lay(folder.path(), &["small", "repository/config", "repository/packs/00/x"]);
    fs::write(folder.path().join("limit"), [0; 1000]).unwrap();
    fs::write(folder.path().join("large"), [0; 1001]).unwrap();
    symlink("repository", folder.path().join("alias")).unwrap();
    let found = walked(
        folder.path(),
        rules(|rules| {
            rules.exclude_larger_than(1000);
            rules.pass_over(&folder.path().join("alias")).unwrap();
        }),
    );
    assert_eq!(found, ["alias", "limit", "small"]);
}

#[test]
fn one_file_system_is_kept_to() {
    let folder = tempfile::tempdir().unwrap();
    let mounts = "mkdir -p \"$FOLDER/a/mnt\"; mount -t tmpfs tmpfs \"$FOLDER/a/mnt\"";
    common::with_mounts(folder.path(), mounts, "files::inner_one_file_system");
}

#[test]
#[ignore = "run by another test, with a file system mounted at a/mnt"]
fn inner_one_file_system() {
    let folder = PathBuf::from(std::env::var_os("FOLDER").unwrap());
    lay(&folder, &["a/mnt/inside", "a/x", "a/mnt/deep/y"]);
    let one = rules(Rules::one_file_system);
    assert_eq!(walked(&folder, one.clone()), ["a", "a/mnt", "a/x"]);
    assert_eq!(walked(&folder, Rules::new()), ["a", "a/mnt", "a/mnt/deep", "a/mnt/deep/y", "a/mnt/inside", "a/x"]);
    assert_eq!(walked(&folder.join("a/mnt"), one), ["deep", "deep/y", "inside"], "each root has its own");

    // What is mounted in the target is seen.
    let found = |name: &[u8]| target(&folder).folder(b"a").unwrap().unwrap().look(name).unwrap().unwrap();
    assert!(found(b"mnt").is_border && !found(b"x").is_border);
}

// --- The target -----------------------------------------------------------------------------------------------------

#[test]
fn metadata_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    lay(&from, &["a/file", "a/empty/", "b/read only/x", "secret"]);
    fs::write(from.join("none"), b"").unwrap();
    symlink("../nowhere", from.join("a/dangling")).unwrap();
    rustix::fs::mknodat(CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    if root() {
        let owner = (Some(rustix::fs::Uid::from_raw(12345)), Some(rustix::fs::Gid::from_raw(54321)));
        for path in ["a/file", "a/empty", "a/dangling", "pipe"] {
            rustix::fs::chownat(CWD, from.join(path), owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
    }
    for (path, mode) in
        [("secret", 0o400), ("a/file", 0o751), ("a/empty", 0o1777), ("b/read only", 0o555), ("pipe", 0o622)]
    {
        set_mode(&from.join(path), mode);
    }
    for (n, path) in
        ["a/file", "a/dangling", "a/empty", "b/read only/x", "b/read only", "none", "pipe", "a", "b"].iter().enumerate()
    {
        set_times(&from.join(path), [-1_500_000_001, 0, 1_234_567_890_123_456_789][n % 3] + n as i64);
    }
    let files = walk(&from);
    for again in ["first", "over what is there"] {
        let heard = Heard::default();
        restore(&files, &target(&to), &heard);
        assert_same(&files, &walk(&to));
        assert!(heard.0.lock().unwrap().is_empty(), "{again}: {:?}", heard.0);
    }
    assert_eq!(mtime(&to.join("a/dangling")), mtime(&from.join("a/dangling")));
    assert_eq!(mtime(&to.join("b")), mtime(&from.join("b")));
    assert!(fs::symlink_metadata(to.join("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(walkdir_temps(&to), 0);
}

fn walkdir_temps(root: &Path) -> usize {
    walk(root).iter().filter(|file| file.tree_path.ends_with(b".tmp")).count()
}

#[test]
fn attributes_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    lay(&from, &["file", "dir/"]);
    if !has_xattrs(&from.join("file")) {
        return;
    }
    for (path, name, value) in [
        ("file", "user.a", &b"\0\xff"[..]),
        ("file", "user.empty", b""),
        ("file", "user.large", &[7; 2000]),
        ("dir", "user.on a directory", b"yes"),
    ] {
        rustix::fs::setxattr(from.join(path), name, value, XattrFlags::empty()).unwrap();
    }
    // An ACL: user::rw-, user:12345:r--, group::r--, mask::rw-, other::---.
    let mut acl = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1u16, 6u16, u32::MAX), (2, 4, 12345), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend(tag.to_le_bytes().into_iter().chain(perm.to_le_bytes()).chain(id.to_le_bytes()));
    }
    let acls = rustix::fs::setxattr(from.join("file"), "system.posix_acl_access", &acl, XattrFlags::empty()).is_ok();
    if !acls {
        eprintln!("SKIPPED: no ACLs on {}", from.display());
    }
    set_mode(&from.join("file"), 0o440);
    let files = walk(&from);
    let names: Vec<_> = files[1].entry.xattrs.iter().map(|xattr| String::from_utf8_lossy(&xattr.name)).collect();
    assert!(names.is_sorted() && names.len() == 4 + usize::from(acls), "{names:?}");
    let heard = Heard::default();
    restore(&files, &target(&to), &heard);
    assert_same(&files, &walk(&to));
    assert!(heard.0.lock().unwrap().is_empty(), "{:?}", heard.0);
}

#[test]
fn an_attribute_that_cannot_be_set_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let mut with = entry(EntryKind::File, 0o644, 1);
    with.xattrs = vec![Xattr { name: b"nonsense".to_vec(), value: b"x".to_vec() }];
    let heard = Heard::default();
    let target = target(folder.path());
    let mut writer = target.begin_file(b"file", 1, false).unwrap();
    writer.write(b"x").unwrap();
    writer.finish(&with, &heard).unwrap();
    let heard = heard.0.into_inner().unwrap();
    assert_eq!(heard.len(), 1);
    assert!(heard[0].path.ends_with("/file") && heard[0].message.contains("nonsense") && !heard[0].incomplete);
    assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"x");
}

#[test]
fn holes_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::create_dir(&from).unwrap();
    let mut file = fs::File::create(from.join("sparse")).unwrap();
    file.write_all(b"start").unwrap();
    file.set_len(3_000_000).unwrap();
    use std::os::unix::fs::FileExt;
    file.write_all_at(b"middle", 1_500_001).unwrap();
    drop(file);
    fs::File::create(from.join("only a hole")).unwrap().set_len(1_000_001).unwrap();
    let files = walk(&from);
    if !files.iter().all(|file| file.entry.sparse) {
        eprintln!("SKIPPED: no sparse files on {}", from.display());
        return;
    }
    restore(&files, &target(&to), &Silent);
    for name in ["sparse", "only a hole"] {
        assert!(fs::read(to.join(name)).unwrap() == fs::read(from.join(name)).unwrap(), "{name}");
        let metadata = fs::metadata(to.join(name)).unwrap();
        assert!(metadata.blocks() * 512 < metadata.len() / 10, "{name}: {} blocks", metadata.blocks());
    }
    let restored = target(&to);
    let mut writer = restored.begin_file(b"by hand", 100_004, true).unwrap();
    writer.write(b"ab").unwrap();
    writer.write_hole(100_000).unwrap();
    writer.write(b"yz").unwrap();
    writer.finish(&entry(EntryKind::File, 0o600, 100_004), &Silent).unwrap();
    let bytes = fs::read(to.join("by hand")).unwrap();
    assert!(bytes.len() == 100_004 && bytes.starts_with(b"ab\0") && bytes.ends_with(b"\0yz"));
}

#[test]
fn hard_links_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let restored = target(folder.path());
    put_plain(&restored, "dir/one", b"content").unwrap();
    fs::write(folder.path().join("three"), b"in the way").unwrap();
    restored.hard_link(b"two", b"dir/one").unwrap();
    restored.hard_link(b"three", b"dir/one").unwrap();
    restored.hard_link(b"three", b"dir/one").unwrap();
    for path in ["dir/one", "two", "three"] {
        let metadata = fs::metadata(folder.path().join(path)).unwrap();
        assert_eq!((metadata.nlink(), metadata.len()), (3, 7), "{path}");
    }
    assert!(restored.hard_link(b"four", b"none").is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn devices_come_back_where_permitted() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Heard::default();
    let device = entry(EntryKind::CharDevice(Device { major: 1, minor: 3 }), 0o666, 0);
    let made = target(folder.path()).make_node(b"null", &device, &heard).unwrap();
    match made {
        true => {
            let files = walk(folder.path());
            assert_eq!((&files[0].entry.kind, files[0].entry.mode), (&device.kind, 0o666));
        }
        false => assert_eq!(heard.0.lock().unwrap().len(), 1, "a warning"),
    }
    assert_eq!(made, fs::read_dir(folder.path()).unwrap().count() == 1);
}

#[test]
fn set_id_bits_come_back_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let program = entry(EntryKind::File, 0o6755, 1);
    let shared = entry(EntryKind::Directory, 0o2775, 0);
    // In a directory the bit only says which group new files get, so it always comes back.
    for (restore_suid, modes, dropped) in [(false, (0o755, 0o2775), 1), (true, (0o6755, 0o2775), 0)] {
        let target = Target::new(folder.path(), TargetOptions { restore_suid, ..Default::default() }).unwrap();
        target.make_directory(b"dir", Some(&shared)).unwrap();
        put(&target, b"program", b"x", &program).unwrap();
        target.finish_directories(&Silent);
        assert_eq!((mode(&folder.path().join("program")), mode(&folder.path().join("dir"))), modes);
        assert_eq!(target.dropped_set_ids(), dropped);
    }
    // Not as another's program.
    if !root() {
        let target = Target::new(folder.path(), TargetOptions { restore_suid: true, ..Default::default() }).unwrap();
        put(&target, b"program", b"x", &FileEntry { uid: 0, ..program }).unwrap();
        assert_eq!(mode(&folder.path().join("program")), 0o755);
    }
}

#[test]
fn directories_that_several_processes_are_at_are_as_they_were_when_the_last_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let closed = entry(EntryKind::Directory, 0o555, 0);
    let shared = || Target::new(folder.path(), TargetOptions { is_shared: true, ..Default::default() }).unwrap();
    let puts = |target: &Target, name: &str| {
        target.make_parent(b"dir", &closed).unwrap();
        put_plain(target, &format!("dir/{name}"), b"x").unwrap();
    };
    let is_as_it_was = || {
        let stat = fs::metadata(folder.path().join("dir")).unwrap();
        (stat.mode() & 0o7777, stat.mtime()) == (0o555, 1_234_567_890)
    };
    // The second one comes when the first has just made it; the third when the second lets itself in.
    let [one, two, three] = [(); 3].map(|()| shared());
    puts(&one, "one");
    puts(&two, "two");
    one.finish_directories(&Silent);
    assert!(is_as_it_was());
    two.make_parent(b"dir", &closed).unwrap();
    puts(&three, "three");
    two.finish_directories(&Silent);
    three.finish_directories(&Silent);
    assert!(is_as_it_was());
    let mut late = [shared(), shared()];
    fs::set_permissions(folder.path().join("dir"), fs::Permissions::from_mode(0o700)).unwrap();
    puts(&late[0], "four");
    puts(&late[1], "five");
    late.reverse();
    late.iter().for_each(|target| target.finish_directories(&Silent));
    assert!(is_as_it_was());
    // A process that is alone leaves what is somebody else's.
    fs::set_permissions(folder.path().join("dir"), fs::Permissions::from_mode(0o700)).unwrap();
    let alone = target(folder.path());
    puts(&alone, "six");
    alone.finish_directories(&Silent);
    assert_eq!(mode(&folder.path().join("dir")), 0o700);
}

#[test]
fn nothing_is_seen_of_a_file_before_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let target = target(folder.path());
    let names = || -> Vec<String> {
        let names = fs::read_dir(folder.path()).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mut writer = target.begin_file(b"file", 10, false).unwrap();
    writer.write(b"half").unwrap();
    // Where the file system has no files without names, this one has a temporary one.
    if let Some(name) = names().first() {
        assert!(is_temporary(name.as_bytes()) && names().len() == 1, "{:?}", names());
        assert_eq!(mode(&folder.path().join(name)), 0o600);
    }
    drop(writer);
    assert!(names().is_empty());

    let mut writer = target.begin_file(b"file", 10, false).unwrap();
    writer.write(b"half").unwrap();
    let error = writer.finish(&entry(EntryKind::File, 0o644, 10), &Silent).unwrap_err();
    assert!(matches!(error, Error::NotRestored { .. }), "{error}");
    assert!(names().is_empty());

    let mut large = target.begin_file(b"large", 3_000_000, false).unwrap();
    large.write(&[1; 3_000_000]).unwrap();
    large.finish(&entry(EntryKind::File, 0o644, 3_000_000), &Silent).unwrap();
    assert_eq!(fs::metadata(folder.path().join("large")).unwrap().len(), 3_000_000);
}

#[test]
fn without_files_without_names_they_have_temporary_ones() {
    let folder = tempfile::tempdir().unwrap();
    common::with_mounts(folder.path(), "mount -t tmpfs tmpfs /proc", "files::inner_named_target");
}

#[test]
#[ignore = "run by another test, without /proc, so that a file cannot get its name later"]
fn inner_named_target() {
    let folder = PathBuf::from(std::env::var_os("FOLDER").unwrap());
    let target = target(&folder);
    let names = || -> Vec<String> {
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    fs::write(folder.join("file"), "before").unwrap();
    let mut writer = target.begin_file(b"file", 4, false).unwrap();
    writer.write(b"half").unwrap();
    let temporary = names().into_iter().find(|name| is_temporary(name.as_bytes())).unwrap();
    assert_eq!(mode(&folder.join(&temporary)), 0o600);
    // Another restore, or a walk, comes by.
    target.clean_top();
    assert!(folder.join(&temporary).exists(), "what is in the making stays");
    assert_eq!(walked(&folder, Rules::new()), ["file"]);
    writer.finish(&entry(EntryKind::File, 0o640, 4), &Silent).unwrap();
    assert_eq!((names(), mode(&folder.join("file"))), (vec!["file".to_owned()], 0o640));
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"half");
    // What was killed is in the making no more.
    let mut writer = target.begin_file(b"other", 4, false).unwrap();
    writer.write(b"half").unwrap();
    avro_snap::files::remove_temporaries();
    assert_eq!(names(), ["file"]);
    assert!(target.begin_file(b"other", 4, false).is_err(), "the program is about to end");
}

#[test]
fn a_full_disk_is_said_with_the_path() {
    let folder = tempfile::tempdir().unwrap();
    common::with_mounts(folder.path(), "mount -t tmpfs -o size=2m tmpfs \"$FOLDER\"", "files::inner_full_target");
}

#[test]
#[ignore = "run by another test, on a file system of 2 MB"]
fn inner_full_target() {
    let folder = PathBuf::from(std::env::var_os("FOLDER").unwrap());
    let target = target(&folder);
    let full = |error: Error| {
        assert!(error.to_string().contains("dir/file") && error.to_string().contains("No space left"), "{error}");
    };
    full(target.begin_file(b"dir/file", 1 << 40, false).unwrap_err());
    let mut writer = target.begin_file(b"dir/file", 4 << 20, true).unwrap();
    full(writer.write(&vec![1; 4 << 20]).unwrap_err());
    drop(writer);
    assert_eq!(fs::read_dir(folder.join("dir")).unwrap().count(), 0);
    put_plain(&target, "dir/file", b"small").unwrap();
}

#[test]
fn hostile_paths_are_refused_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("target");
    let target = target(&inside);
    let file = entry(EntryKind::File, 0o644, 0);
    let link = entry(EntryKind::Symlink(b"x".to_vec()), 0o777, 0);
    put_plain(&target, "real", b"x").unwrap();
    let long = [b'x'; 256];
    for path in [&b""[..], b"/etc/x", b"../x", b"a/../../x", b"a/..", b".", b"a//b", b"a/", b"./a", b"a\0b", &long] {
        unsafe_path(target.begin_file(path, 0, false));
        unsafe_path(target.make_directory(path, None));
        unsafe_path(target.make_node(path, &link, &Silent));
        unsafe_path(target.hard_link(path, b"real"));
        unsafe_path(target.hard_link(b"link", path));
        unsafe_path(target.existing(path));
        unsafe_path(target.wants(path, &file));
        unsafe_path(target.open_file(path));
        if !path.is_empty() {
            unsafe_path(target.folder(path));
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 1);
}

#[test]
fn no_link_leads_out_of_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("target"), folder.path().join("outside"));
    lay(&outside, &["precious", "dir/x"]);
    set_mode(&outside.join("dir"), 0o755);
    let before: Vec<_> = walk(&outside).iter().map(|file| file.entry.clone()).collect();
    fs::create_dir(&inside).unwrap();
    symlink(&outside, inside.join("out")).unwrap();
    symlink("../outside/precious", inside.join("file")).unwrap();
    symlink("real", inside.join("within")).unwrap();
    let target = target(&inside);
    let directory = entry(EntryKind::Directory, 0o700, 0);
    let link = entry(EntryKind::Symlink(b"x".to_vec()), 0o777, 0);
    for path in ["out", "out/dir", "out/new", "within", "within/x"] {
        unsafe_path(target.make_directory(path.as_bytes(), Some(&directory)));
        unsafe_path(target.folder(path.as_bytes()));
    }
    for path in [&b"out/precious"[..], b"out/new", b"out/dir/new", b"within/x", b"within/a/b"] {
        unsafe_path(target.begin_file(path, 0, false));
        unsafe_path(target.make_node(path, &link, &Silent));
        unsafe_path(target.hard_link(path, b"file"));
        unsafe_path(target.hard_link(b"new", path));
        unsafe_path(target.existing(path));
        unsafe_path(target.open_file(path));
    }
    unsafe_path(target.open_file(b"file"));

    // A link that the snapshot itself brings is no way out either.
    let out = entry(EntryKind::Symlink(outside.as_os_str().as_bytes().to_vec()), 0o777, 0);
    target.make_node(b"own", &out, &Silent).unwrap();
    unsafe_path(target.begin_file(b"own/precious", 0, false));

    // A directory that becomes a link before it gets its metadata.
    target.make_directory(b"swapped", Some(&entry(EntryKind::Directory, 0o777, 0))).unwrap();
    fs::remove_dir(inside.join("swapped")).unwrap();
    symlink(outside.join("dir"), inside.join("swapped")).unwrap();
    let heard = Heard::default();
    target.finish_directories(&heard);
    assert_eq!(heard.0.lock().unwrap().len(), 1, "{:?}", heard.0);

    // The link itself is what is replaced and removed.
    put_plain(&target, "file", b"mine").unwrap();
    assert!(fs::symlink_metadata(inside.join("file")).unwrap().is_file());
    let folder_itself = target.folder(b"").unwrap().unwrap();
    for name in folder_itself.names().unwrap().iter().filter(|name| *name != b"file") {
        let found = folder_itself.look(name).unwrap().unwrap();
        assert!(folder_itself.remove(name, found.kind).unwrap());
    }
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 1);
    let after: Vec<_> = walk(&outside).iter().map(|file| file.entry.clone()).collect();
    let racy = |entries: Vec<FileEntry>| -> Vec<_> {
        entries.into_iter().map(|entry| FileEntry { racy: false, ..entry }).collect()
    };
    assert_eq!(racy(before), racy(after), "something outside was touched");
}

#[test]
fn policies_decide_what_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = entry(EntryKind::File, 0o644, 3);
    let there = folder.path().join("file");
    let second = 1_000_000_000;
    for (bytes, time, expected) in [
        ("same", 0, [true, true, false, false]),
        ("abc", 0, [true, false, false, false]),
        ("abc", -second, [true, true, true, false]),
        ("abc", second, [true, true, false, false]),
    ] {
        fs::write(&there, bytes).unwrap();
        set_times(&there, snapshot.mtime.nanoseconds() as i64 + time);
        let policies = [Overwrite::Always, Overwrite::IfChanged, Overwrite::IfNewer, Overwrite::Never];
        let wants = policies.map(|policy| {
            let target = Target::new(folder.path(), options(policy)).unwrap();
            assert!(target.wants(b"not there", &snapshot).unwrap());
            assert!(target.wants(b"no/way/there", &snapshot).unwrap());
            target.wants(b"file", &snapshot).unwrap()
        });
        assert_eq!(wants, expected, "{bytes} {time}");
    }
}

#[test]
fn what_is_in_the_way_is_replaced_only_by_always() {
    let folder = tempfile::tempdir().unwrap();
    let never = Target::new(folder.path(), options(Overwrite::IfNewer)).unwrap();
    let always = target(folder.path());
    lay(folder.path(), &["file", "empty/", "full/x"]);
    assert!(never.make_directory(b"file/below", None).is_err());
    assert!(put_plain(&never, "empty", b"x").is_err());
    assert!(put_plain(&always, "full", b"x").is_err(), "what is in a directory is not thrown away");
    always.make_directory(b"file/below", None).unwrap();
    put_plain(&always, "empty", b"x").unwrap();
    assert!(folder.path().join("file/below").is_dir() && folder.path().join("empty").is_file());
    assert!(folder.path().join("full/x").exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "temporary files stayed");
}

#[test]
fn directories_that_may_not_be_written_to_are_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let closed = entry(EntryKind::Directory, 0o555, 0);
    for _ in 0..2 {
        let target = target(folder.path());
        target.make_directory(b"closed", Some(&closed)).unwrap();
        assert_eq!(mode(&folder.path().join("closed")) & 0o700, 0o700);
        put_plain(&target, "closed/file", b"x").unwrap();
        target.finish_directories(&Silent);
        assert_eq!(mode(&folder.path().join("closed")), 0o555);
        assert_eq!(mtime(&folder.path().join("closed")), closed.mtime.nanoseconds() as i64);
    }
    set_mode(&folder.path().join("closed"), 0o755);
}

#[test]
fn what_is_not_in_the_snapshot_is_removed_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("target"), folder.path().join("outside"));
    lay(&outside, &["precious/x"]);
    lay(&inside, &["keep", "old", "old dir/x"]);
    symlink(&outside, inside.join("old link")).unwrap();
    let target = target(&inside);
    let top = target.folder(b"").unwrap().unwrap();
    assert_eq!(top.names().unwrap(), [&b"keep"[..], b"old", b"old dir", b"old link"]);
    let kind = |name: &[u8]| top.look(name).unwrap().map(|found| found.kind);
    assert_eq!(kind(b"old"), Some(FoundKind::File));
    assert_eq!(kind(b"old dir"), Some(FoundKind::Folder));
    assert_eq!(kind(b"old link"), Some(FoundKind::Other), "a link is itself, not what it leads to");
    assert_eq!(kind(b"none"), None);
    assert!(top.remove(b"old", FoundKind::File).unwrap() && !top.remove(b"old", FoundKind::File).unwrap());
    assert!(top.remove(b"old dir", FoundKind::Folder).is_err(), "it is not empty");
    let below = target.folder(b"old dir").unwrap().unwrap();
    assert!(below.remove(b"x", FoundKind::File).unwrap() && top.remove(b"old dir", FoundKind::Folder).unwrap());
    assert!(top.remove(b"old link", FoundKind::Other).unwrap());
    assert!(target.folder(b"none").unwrap().is_none() && target.folder(b"keep").is_err());
    assert_eq!(top.begins_with(b"keep", b""), Some(true));
    assert_eq!(top.begins_with(b"keep", b"something long"), Some(false));
    assert_eq!(top.begins_with(b"none", b""), None);
    assert_eq!(walked(&inside, Rules::new()), ["keep"]);
    assert!(outside.join("precious/x").exists());
}
