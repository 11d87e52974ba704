//! Manifests made by an enemy, targets laid out by one, and the plain misfortunes: each gives its error, nothing outside
//! of the target is touched, and what is sound is restored.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use crate::common;
use crate::faults;
use crate::lab;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avro_snap::chunk::{ChunkKind, ChunkSink};
use avro_snap::crypto::Suite;
use avro_snap::error::{Error, Result};
use avro_snap::files::Overwrite;
use avro_snap::id::{ChunkHasher, ChunkId, ContentHash, SnapshotId, digest};
use avro_snap::ops::copy::{Copied, Copier, CopyOptions};
use avro_snap::ops::create::create;
use avro_snap::ops::restore::{RestoreOptions, RestoreReport, restore};
use avro_snap::ops::select::Listing;
use avro_snap::pack::{FrameCodec, PlainChunk};
use avro_snap::progress::Silent;
use avro_snap::recipe::{Recipe, Reference, Stream, Tree, TreeBuilder};
use avro_snap::snapshot::entry::{EntryKind, FileEntry, Property};
use avro_snap::snapshot::{ManifestWriter, Rule, SnapshotRoot, Totals, encode_row};
use avro_snap::storage::{Backend, Local, Memory};
use avro_snap::store::{CachePlace, OpenOptions, Repository, Unlock, Writer};
use faults::{all_files, check_all};
use lab::{Lab, PASSWORD, files_of, restoring, saving};

/// Stores chunks without asking what is in them.
struct Sink<'a, 'r> {
    writer: &'a Writer<'r>,
    hasher: ChunkHasher,
}

impl ChunkSink for Sink<'_, '_> {
    fn put(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> Result<ChunkId> {
        let id = self.hasher.id(&bytes);
        if self.writer.reserve(id)? {
            let frame = FrameCodec::new(None).unwrap().encode(kind, &[PlainChunk { id, bytes }]);
            assert!(self.writer.add(frame).is_none());
        }
        Ok(id)
    }
}

/// A snapshot of whatever rows one likes: through the manifest's own writer where it takes them, else past it.
fn forge(repository: &Repository, rows: &[FileEntry]) -> SnapshotRoot {
    forge_with(repository, rows, Vec::new())
}

fn forge_with(repository: &Repository, rows: &[FileEntry], properties: Vec<Property>) -> SnapshotRoot {
    let writer = Writer::new(repository).unwrap();
    let mut sink = Sink { writer: &writer, hasher: repository.hasher() };
    let mut manifest = ManifestWriter::new(repository.hasher());
    let sorted = rows.iter().try_for_each(|row| manifest.push(row, &mut sink));
    let tree = match sorted {
        Ok(()) => manifest.finish(&mut sink).unwrap(),
        Err(_) => past_the_writer(rows, &mut sink),
    };
    let root = SnapshotRoot {
        id: SnapshotId::new(repository.log().entropy().array().unwrap()),
        series: "forged".into(),
        host: "enemy".into(),
        user: "enemy".into(),
        time: 0,
        paths: vec![b"/forged".to_vec()],
        tags: Vec::new(),
        parent: None,
        program: "forge".into(),
        required_read: 0,
        revision: 0,
        altered: None,
        totals: Totals::default(),
        // All of it was saved, as `create .` does it.
        rules: [("path-forms", &b"r"[..]), ("working-directory", b"/forged")]
            .map(|(name, value)| Rule { name: name.into(), value: value.to_vec() })
            .to_vec(),
        path_list: avro_snap::recipe::Stream::Empty,
        manifest: tree,
        properties,
    };
    let chunk = sink.put(ChunkKind::Root, root.encode()).unwrap();
    writer.store(writer.take_open().unwrap()).unwrap();
    writer.commit(root.id, chunk).unwrap();
    root
}

/// One chunk for every two rows, in the order given.
fn past_the_writer(rows: &[FileEntry], sink: &mut Sink<'_, '_>) -> Option<Tree> {
    let mut tree = TreeBuilder::new();
    for pair in rows.chunks(2) {
        let mut bytes = Vec::new();
        pair.iter().for_each(|row| encode_row(row, &mut bytes));
        let (length, last) = (bytes.len() as u64, pair.last().unwrap().path.clone());
        let id = sink.put(ChunkKind::Rows, bytes).unwrap();
        tree.push(Reference { id, length, records: pair.len() as u64, last }, sink).unwrap();
    }
    tree.finish(sink).unwrap()
}

fn file(path: impl AsRef<[u8]>, content: &[u8]) -> FileEntry {
    FileEntry {
        path: path.as_ref().to_vec(),
        mode: 0o644,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        size: content.len() as u64,
        content: Some(ContentHash::new(digest(content))),
        recipe: Recipe::Plain(Stream::Inline(content.to_vec())).encode(),
        ..FileEntry::nothing()
    }
}

fn link(path: &str, to: impl AsRef<[u8]>) -> FileEntry {
    FileEntry { kind: EntryKind::Symlink(to.as_ref().to_vec()), ..file(path, b"") }
}

fn hard_link(path: &str, first: impl AsRef<[u8]>, content: &[u8]) -> FileEntry {
    FileEntry { hard_link: Some(first.as_ref().to_vec()), recipe: Vec::new(), content: None, ..file(path, content) }
}

fn folder(path: &str) -> FileEntry {
    FileEntry { kind: EntryKind::Directory, mode: 0o777, ..file(path, b"") }
}

/// A target with a folder and a secret beside it, which nobody is to touch.
struct Ground {
    own: tempfile::TempDir,
    outside: BTreeMap<PathBuf, (Vec<u8>, u32, i64, u64)>,
}

impl Ground {
    fn new() -> Self {
        let own = faults::quick_folder();
        let path = |name: &str| own.path().join(name);
        for name in ["target", "outside", "outside/below"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("secret"), b"the secret").unwrap();
        fs::write(path("outside/file"), b"outside").unwrap();
        let mut ground = Self { own, outside: BTreeMap::new() };
        ground.outside = ground.look();
        ground
    }

    fn target(&self) -> PathBuf {
        self.own.path().join("target")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.own.path().join(name)
    }

    /// All that is outside of the target: content, mode, time, number of links.
    fn look(&self) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64, u64)> {
        let (mut seen, mut folders) = (BTreeMap::new(), vec![self.own.path().to_path_buf()]);
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path == self.target() {
                    continue;
                }
                let stat = fs::symlink_metadata(&path).unwrap();
                let content = if stat.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                seen.insert(path.clone(), (content, stat.mode(), stat.mtime_nsec(), stat.nlink()));
                if stat.is_dir() {
                    folders.push(path);
                }
            }
        }
        seen
    }

    fn assert_untouched(&self, what: &str) {
        assert!(self.look() == self.outside, "{what}: something outside of the target was touched");
        for path in ["/tmp/snap-hostile", "/snap-hostile"] {
            assert!(!Path::new(path).exists(), "{what}: {path} was made");
        }
        for left in files_of(&self.target()).keys() {
            assert!(!left.as_os_str().as_bytes().ends_with(b".tmp"), "{what}: {} is left", left.display());
        }
    }
}

#[test]
fn properties_that_are_not_known_have_no_effect_and_are_kept() {
    let property = |name: &str| Property { name: name.into(), value: vec![0, 255, 7] };
    let (lab, other, ground) = (Lab::new(Suite::Aes256Gcm), Lab::new(Suite::None), Ground::new());
    let repository = lab.open();
    let row = FileEntry { properties: vec![property("later")], ..file("a", b"content") };
    let root = forge_with(&repository, std::slice::from_ref(&row), vec![property("org.example.owner")]);
    let report = restore(&repository, &root, &options(&ground.target()), &Silent).unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(fs::read(ground.target().join("a")).unwrap(), b"content");
    assert!(check_all(&repository).unwrap().problems.is_empty());

    let target = other.open();
    let mut copier = Copier::new(&repository, &target, CopyOptions::default()).unwrap();
    assert!(matches!(copier.copy(&root, &Silent).unwrap(), Copied::Done(_)));
    let copied = Listing::read(&target).snapshots.swap_remove(0);
    assert_eq!(copied.properties, root.properties);
    assert_eq!(copied.rows(&target).next_row().unwrap(), Some(row));
}

fn options(target: &Path) -> RestoreOptions {
    restoring(target)
}

fn restore_rows(rows: &[FileEntry], options: &RestoreOptions) -> Result<RestoreReport> {
    let lab = Lab::new(Suite::Aes256Gcm);
    let repository = lab.open();
    let root = forge(&repository, rows);
    drop(repository);
    // As another process would.
    restore(&lab.open(), &root, options, &Silent)
}

fn sorted(mut rows: Vec<FileEntry>) -> Vec<FileEntry> {
    rows.sort_by(|a, b| avro_snap::snapshot::entry::path_order(&a.path, &b.path));
    rows
}

#[test]
fn a_forged_snapshot_of_sound_rows_restores_and_checks() {
    let ground = Ground::new();
    let lab = Lab::new(Suite::Aes256Gcm);
    let repository = lab.open();
    let root = forge(&repository, &sorted(vec![file("a", b"1"), folder("b"), file("b/c", b"2"), link("d", "b")]));
    assert!(check_all(&repository).unwrap().problems.is_empty());
    let report = restore(&lab.open(), &root, &options(&ground.target()), &Silent).unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(files_of(&ground.target()).len(), 2);
}

#[test]
fn hostile_paths_are_refused_and_the_sound_files_restored() {
    let long = [&b"x"[..]; 300].concat();
    let outside = "/tmp/snap-hostile";
    let paths: Vec<&[u8]> = vec![
        b"../x",
        b"..",
        b".",
        b"./x",
        b"/snap-hostile",
        outside.as_bytes(),
        b"a//b",
        b"a/../../b",
        b"a/../b",
        b"a/./b",
        b"nul\0x",
        b"below/",
        b"",
        b"below/..",
        b"below/../../x",
        &long,
    ];
    for path in paths {
        for (kind, row) in [
            ("file", file(path, b"hostile")),
            ("directory", FileEntry { kind: EntryKind::Directory, mode: 0o777, ..file(path, b"") }),
            ("link", FileEntry { kind: EntryKind::Symlink(b"/etc".to_vec()), ..file(path, b"") }),
            ("pipe", FileEntry { kind: EntryKind::Fifo, ..file(path, b"") }),
            ("hard link", FileEntry { hard_link: Some(b"sound".to_vec()), ..file(path, b"") }),
        ] {
            let ground = Ground::new();
            let what = format!("{kind} {:?}", String::from_utf8_lossy(&path[..path.len().min(20)]));
            let rows = sorted(vec![row, file("sound", b"sound"), file("zound", b"zound")]);
            match restore_rows(&rows, &options(&ground.target())) {
                Ok(report) => {
                    let named = report.failed.iter().any(|(failed, _)| failed == path);
                    assert!(named && report.failed.len() == 1, "{what}: {:?}", report.failed);
                    let restored = files_of(&ground.target());
                    assert_eq!(restored.len(), 2, "{what}: {:?}", restored.keys());
                }
                Err(error) => {
                    assert!(error.is_damage() || matches!(error, Error::UnsafePath { .. }), "{what}: {error}")
                }
            }
            ground.assert_untouched(&what);
        }
    }
}

#[test]
fn nothing_is_written_through_a_link_of_the_manifest() {
    for delete in [false, true] {
        for to in ["../outside", "absolute", "../target/../outside/below", "loop"] {
            let ground = Ground::new();
            let to = if to == "absolute" { ground.path("outside").display().to_string() } else { to.into() };
            let rows = sorted(vec![
                link("loop", &to),
                file("loop/file", b"hostile"),
                folder("loop/below"),
                file("loop/below/new", b"hostile"),
                hard_link("loop/hard", "sound", b"sound"),
                hard_link("through", "loop/file", b"hostile"),
                file("sound", b"sound"),
            ]);
            let restored = restore_rows(&rows, &options(&ground.target()).delete(delete));
            let what = format!("a link to {to}, delete {delete}: {restored:?}");
            ground.assert_untouched(&what);
            if let Ok(report) = restored {
                assert!(!report.failed.is_empty(), "{what}");
                assert_eq!(fs::read(ground.target().join("sound")).unwrap(), b"sound");
            }
        }
    }
}

#[test]
fn hard_links_to_outside_are_refused() {
    let ground = Ground::new();
    symlink("../secret", ground.target().join("planted")).unwrap();
    symlink("../outside", ground.target().join("way")).unwrap();
    let secret = ground.path("secret");
    let firsts: [&[u8]; 6] =
        [b"../secret", secret.as_os_str().as_bytes(), b"sub/../../secret", b"way/file", b"../outside/file", b""];
    for first in firsts {
        let rows = sorted(vec![file("a", b"sound"), hard_link("grabbed", first, b"the secret")]);
        let restored = restore_rows(&rows, &options(&ground.target()));
        let what = format!("a hard link to {:?}", String::from_utf8_lossy(first));
        ground.assert_untouched(&what);
        assert!(!ground.target().join("grabbed").exists(), "{what}");
        assert!(restored.is_err() || restored.is_ok_and(|report| report.failed.len() == 1), "{what}");
        assert_eq!(fs::read(ground.target().join("a")).unwrap(), b"sound");
    }
    // To a link that lies in the target: at most the link gets a second name, never what it leads to.
    let rows = sorted(vec![file("a", b"sound"), hard_link("grabbed", b"planted", b"the secret")]);
    let _ = restore_rows(&rows, &options(&ground.target()));
    ground.assert_untouched("a hard link to a link");
    assert!(!fs::symlink_metadata(ground.target().join("grabbed")).is_ok_and(|stat| stat.is_file()));
}

#[test]
fn manifests_that_are_not_sorted_or_name_a_path_twice_are_refused() {
    let cases = [
        ("twice, in one chunk", vec![file("a", b"1"), file("a", b"2"), file("b", b"3")]),
        ("twice, in two chunks", vec![file("a", b"1"), file("b", b"2"), file("b", b"3"), file("c", b"4")]),
        ("unsorted, in one chunk", vec![file("b", b"1"), file("a", b"2"), file("c", b"3")]),
        ("unsorted, in two chunks", vec![file("c", b"1"), file("d", b"2"), file("a", b"3"), file("b", b"4")]),
        ("a folder after what is in it", vec![file("a/b", b"1"), folder("a"), file("c", b"2")]),
    ];
    for (what, rows) in cases {
        for sub in ["", "a"] {
            let ground = Ground::new();
            let options = options(&ground.target()).subfolder(sub);
            let restored = restore_rows(&rows, &options);
            match sub {
                "" => assert!(restored.as_ref().is_err_and(Error::is_damage), "{what}: {restored:?}"),
                // Who asks for one path reads no further than that.
                _ => assert!(restored.is_err() || files_of(&ground.target()).len() == 1, "{what}: {restored:?}"),
            }
            ground.assert_untouched(what);
            let lab = Lab::new(Suite::None);
            forge(&lab.open(), &rows);
            assert!(!check_all(&lab.open()).unwrap().problems.is_empty(), "{what}: check finds nothing");
        }
    }
}

#[test]
fn rows_that_lie_about_their_content_restore_nothing() {
    let honest = file("liar", b"what it holds");
    let other = file("liar", b"something else");
    let cases = [
        ("another hash", FileEntry { content: other.content, ..honest.clone() }),
        ("no hash", FileEntry { content: None, ..honest.clone() }),
        ("another size", FileEntry { size: 5, ..honest.clone() }),
        ("an enormous size", FileEntry { size: i64::MAX as u64, ..honest.clone() }),
        ("no recipe", FileEntry { recipe: Vec::new(), ..honest.clone() }),
        ("garbage for a recipe", FileEntry { recipe: vec![0xff; 40], ..honest.clone() }),
        (
            "a chunk that is not there",
            FileEntry {
                recipe: Recipe::Plain(Stream::Tree(Tree {
                    root: Reference { id: ChunkId::new([9; 32]), length: 13, records: 0, last: Vec::new() },
                    height: 0,
                }))
                .encode(),
                ..honest.clone()
            },
        ),
    ];
    for (what, row) in cases {
        let ground = Ground::new();
        let rows = sorted(vec![file("a", b"sound"), row, file("z", b"sound")]);
        let report = match restore_rows(&rows, &options(&ground.target())) {
            Ok(report) => report,
            // That it does not fit is learned before anything of it is written, and a full disk ends a restore.
            Err(error) if what == "an enormous size" => {
                assert!(error.to_string().contains("space"), "{error}");
                assert!(!ground.target().join("liar").exists());
                continue;
            }
            Err(error) => panic!("{what}: {error}"),
        };
        assert_eq!(report.failed.len(), 1, "{what}: {:?}", report.failed);
        let files = files_of(&ground.target());
        assert_eq!(files.keys().map(|path| path.to_str().unwrap()).collect::<Vec<_>>(), ["a", "z"], "{what}");
        ground.assert_untouched(what);
    }
}

#[test]
fn links_that_lie_in_the_target_are_replaced_never_followed() {
    for (delete, overwrite) in [(false, Overwrite::Always), (true, Overwrite::Always), (false, Overwrite::IfChanged)] {
        let ground = Ground::new();
        let target = ground.target();
        symlink("../outside", target.join("folder")).unwrap();
        symlink("../secret", target.join("file")).unwrap();
        symlink("../outside", target.join("extra")).unwrap();
        fs::create_dir(target.join("sub")).unwrap();
        symlink(ground.path("outside"), target.join("sub/way")).unwrap();
        symlink("../outside", target.join("moded")).unwrap();
        let rows = sorted(vec![
            file("file", b"sound"),
            folder("folder"),
            file("folder/file", b"hostile"),
            folder("moded"),
            folder("sub"),
            folder("sub/way"),
            file("sub/way/below", b"hostile"),
            file("zound", b"sound"),
        ]);
        let options = options(&target).delete(delete).overwrite(overwrite);
        let restored = restore_rows(&rows, &options);
        let what = format!("planted links, delete {delete}, {overwrite:?}: {restored:?}");
        ground.assert_untouched(&what);
        if let Ok(report) = &restored {
            for path in ["folder/file", "sub/way/below"] {
                let failed = report.failed.iter().any(|(failed, _)| failed == path.as_bytes());
                // A restore that deletes and replaces everything makes a folder of the link.
                let replaced = fs::symlink_metadata(target.join(path).parent().unwrap()).unwrap().is_dir();
                assert!(failed != replaced, "{what}: {path}");
                assert_eq!(replaced, delete, "{what}: {path}");
            }
        }
        assert_eq!(fs::read(target.join("zound")).unwrap(), b"sound", "{what}");
        if overwrite == Overwrite::Always {
            assert!(fs::symlink_metadata(target.join("file")).unwrap().is_file(), "{what}");
            assert_eq!(fs::read(target.join("file")).unwrap(), b"sound");
        }
    }
}

#[test]
fn a_hard_link_never_leads_to_what_was_there_before() {
    // The first name is not restored: it is damaged, or what is there is to stay. Its other name must not pass off the
    // old content as its own.
    for overwrite in [Overwrite::Always, Overwrite::Never, Overwrite::IfNewer] {
        for damaged in [false, true] {
            let ground = Ground::new();
            fs::write(ground.target().join("a"), b"old content").unwrap();
            let mut first = file("a", b"new content");
            if damaged {
                first.content = Some(ContentHash::new([0; 32]));
            }
            let rows = vec![first, hard_link("b", "a", b"new content")];
            let report = restore_rows(&rows, &options(&ground.target()).overwrite(overwrite)).unwrap();
            let what = format!("{overwrite:?}, damaged {damaged}: {report:?}");
            match fs::read(ground.target().join("b")) {
                Ok(bytes) => assert!(bytes == b"new content" && !damaged, "{what}: WRONG BYTES"),
                Err(_) => assert!(report.failed.iter().any(|(path, _)| path == b"b"), "{what}"),
            }
        }
        // And what is to stay stays, also under a further name.
        let ground = Ground::new();
        fs::write(ground.target().join("b"), b"to stay").unwrap();
        let rows = vec![file("a", b"new content"), hard_link("b", "a", b"new content")];
        restore_rows(&rows, &options(&ground.target()).overwrite(overwrite)).unwrap();
        let expected: &[u8] = if overwrite == Overwrite::Always { b"new content" } else { b"to stay" };
        assert_eq!(fs::read(ground.target().join("b")).unwrap(), expected, "{overwrite:?}");
    }
}

fn open_with(backend: Arc<dyn Backend>, password: &[u8]) -> Result<Repository> {
    let options = OpenOptions::default();
    Repository::open(backend, Unlock::Password(&mut || Ok(password.to_vec())), &options)
}

#[test]
fn wrong_passwords_and_missing_repositories_are_told_apart_and_change_nothing() {
    let lab = Lab::new(Suite::Aes256Gcm);
    let before = faults::objects_of(&*lab.backend);
    for wrong in [&b"wrong"[..], b"", &PASSWORD[..PASSWORD.len() - 1], b"open sesame "] {
        assert!(matches!(open_with(lab.backend.clone(), wrong), Err(Error::WrongPassword { .. })));
    }
    assert!(faults::objects_of(&*lab.backend) == before);
    let missing = open_with(Arc::new(Memory::new()), PASSWORD);
    assert!(matches!(missing, Err(Error::NoRepository { .. })), "{missing:?}");
    let own = tempfile::tempdir().unwrap();
    fs::write(own.path().join("a file"), b"").unwrap();
    for place in ["nowhere", "nowhere/below", "", "a file"] {
        let path = own.path().join(place);
        let missing = open_with(Arc::new(Local::new(&path)), PASSWORD);
        assert!(matches!(missing, Err(Error::NoRepository { .. } | Error::Storage(_))), "{place}: {missing:?}");
        assert!(place.is_empty() || place == "a file" || !path.exists(), "{place}: something was made");
    }
    assert_eq!(fs::read_dir(own.path()).unwrap().count(), 1);
}

#[test]
fn a_target_that_cannot_be_written_is_an_error_and_nothing_is_lost() {
    let own = faults::quick_folder();
    let in_the_way = own.path().join("in the way");
    fs::write(&in_the_way, b"a file").unwrap();
    for target in [in_the_way.clone(), in_the_way.join("below")] {
        let restored = restore_rows(&[file("a", b"1")], &options(&target));
        assert!(matches!(restored, Err(Error::Io { .. })), "{restored:?}");
        assert_eq!(fs::read(&in_the_way).unwrap(), b"a file");
    }
    // A folder that has something in it where a file should go: that file fails, the others do not.
    let target = own.path().join("target");
    fs::create_dir_all(target.join("b")).unwrap();
    fs::write(target.join("b/kept"), b"kept").unwrap();
    let report = restore_rows(&[file("a", b"1"), file("b", b"2"), file("c", b"3")], &options(&target)).unwrap();
    assert_eq!(report.failed.iter().map(|(path, _)| &path[..]).collect::<Vec<_>>(), [b"b"]);
    assert_eq!(fs::read(target.join("b/kept")).unwrap(), b"kept");
    assert_eq!((fs::read(target.join("a")).unwrap(), fs::read(target.join("c")).unwrap()), (b"1".into(), b"3".into()));
}

/// The folder of a test with a small disk in it.
fn small_disk() -> PathBuf {
    PathBuf::from(std::env::var_os("FOLDER").unwrap())
}

#[test]
fn a_full_disk_is_an_error_and_damages_nothing() {
    let own = tempfile::tempdir().unwrap();
    fs::create_dir(own.path().join("disk")).unwrap();
    common::with_mounts(own.path(), "mount -t tmpfs -o size=8m small \"$FOLDER/disk\"", "hostile::inside_a_full_disk");
}

#[test]
#[ignore = "it is run by the test above, with a small disk"]
fn inside_a_full_disk() {
    let (own, disk) = (small_disk(), small_disk().join("disk"));
    let data = own.join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("small"), vec![1; 2000]).unwrap();
    // A repository on it: what is there stays, what does not fit is no snapshot, and once there is room all goes on.
    let lab = Lab::on(Arc::new(Local::new(disk.join("repository"))), Suite::Aes256Gcm);
    let first = lab.save(&data).snapshot.unwrap();
    let mut random = 1u64;
    let noise = |random: &mut u64| -> Vec<u8> {
        (0..6 << 20)
            .map(|_| {
                *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (*random >> 56) as u8
            })
            .collect()
    };
    let states = [files_of(&data), {
        fs::write(data.join("large-1"), noise(&mut random)).unwrap();
        fs::write(data.join("large-2"), noise(&mut random)).unwrap();
        files_of(&data)
    }];
    for _ in 0..2 {
        let full = create(&lab.open(), saving(&data), &Silent);
        assert!(full.as_ref().is_err_and(Error::is_full), "{full:?}");
        let repository = lab.open();
        assert_eq!(repository.state().snapshots.len(), 1);
        assert!(check_all(&repository).unwrap().problems.is_empty());
        assert!(all_files(&repository, first).unwrap() == states[0]);
    }
    fs::remove_file(data.join("large-2")).unwrap();
    let fits = lab.save(&data).snapshot.unwrap();
    assert!(all_files(&lab.open(), fits).unwrap() == files_of(&data));
    assert_eq!(fs::read_dir(disk.join("repository/tmp")).unwrap().count(), 0, "something is left in tmp/");
    // A target on it: the restore fails, and leaves neither half a file nor a wrong one.
    fs::remove_dir_all(disk.join("repository")).unwrap();
    let elsewhere = Lab::new(Suite::None);
    fs::write(data.join("large-2"), noise(&mut random)).unwrap();
    elsewhere.save(&data);
    let target = disk.join("target");
    let restored = elsewhere.restore_last(&target);
    assert!(restored.as_ref().is_err_and(|error| error.to_string().contains("space")), "{restored:?}");
    for (path, bytes) in files_of(&target) {
        assert!(fs::read(data.join(&path)).is_ok_and(|expected| expected == bytes), "{} is wrong", path.display());
    }
    // A cache on it: done without.
    fs::remove_dir_all(&target).unwrap();
    fs::write(disk.join("filler"), vec![0; 7 << 20]).unwrap();
    let filled = fs::OpenOptions::new().append(true).open(disk.join("filler"));
    let _ = std::io::copy(&mut std::io::repeat(1), &mut filled.unwrap());
    let cached = Lab { backend: elsewhere.backend.clone(), cache: CachePlace::Folder(disk.join("cache")) };
    let saved = create(&cached.open(), saving(&data), &Silent).unwrap();
    assert!(all_files(&elsewhere.open(), saved.snapshot.unwrap()).unwrap() == files_of(&data));
}

#[test]
fn sizes_that_cannot_be_are_told_before_anything_is_written() {
    for size in [1 << 20, 1 << 40, u64::MAX / 2] {
        let ground = Ground::new();
        let rows = sorted(vec![FileEntry { size, ..file("forged", b"five.") }, file("sound", b"sound")]);
        let report = restore_rows(&rows, &options(&ground.target())).unwrap();
        let [(path, error)] = &report.failed[..] else { panic!("{:?}", report.failed) };
        assert_eq!(path, b"forged");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert_eq!(files_of(&ground.target()).len(), 1, "{size}");
    }
}
