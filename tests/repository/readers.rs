//! Readers that are kept: snapshots, folders and files, used by several threads, beside those who write, remove and prune.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use avro_snap::avro::container::{Parsed, parse_block};
use avro_snap::avro::records::Encoding;
use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use avro_snap::id::SnapshotId;
use avro_snap::log::ReplaceReason;
use avro_snap::ops::cat::{CatOptions, Given, Wanted, cat};
use avro_snap::ops::create::{Depth, create};
use avro_snap::ops::prune::prune;
use avro_snap::progress::Silent;
use avro_snap::read::{Dir, File, Snapshot};
use avro_snap::recipe::View;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::snapshot::entry::EntryKind;
use avro_snap::storage::{Backend, Memory};
use avro_snap::store::{Repository, Writer};

use crate::avro_gen::Random;
use crate::faults::{Files, quick_folder};
use crate::lab::{Lab, files_of, fixtures, saving};
use crate::sim_client::new_root;
use crate::sim_store::Dice;
use crate::small;

/// How many bytes of manifests a repository keeps at most.
const MOST_KEPT: usize = 16 << 20;

fn last(repository: &Arc<Repository>) -> Snapshot {
    Snapshot::list(repository).unwrap().pop().unwrap()
}

fn whole(file: &File, view: View) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.reader(view).read_to_end(&mut bytes).unwrap();
    bytes
}

fn names(dir: &Dir) -> Vec<Vec<u8>> {
    dir.children().map(|child| child.unwrap().name().to_vec()).collect()
}

fn names_on_disk(folder: &Path) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_vec()).collect();
    names.sort();
    names
}

/// Goes through a folder of a snapshot and what is below it, and compares.
fn compare(dir: &Dir, folder: &Path, dice: &mut Dice) {
    let expected = names_on_disk(folder);
    assert_eq!(names(dir), expected, "{}", folder.display());
    let (limit, mut paged) = (1 + dice.below(4), Vec::<Vec<u8>>::new());
    loop {
        let page = dir.children_after(paged.last().map(|name| &name[..]), limit).unwrap();
        assert!(page.len() <= limit);
        paged.extend(page.iter().map(|child| child.name().to_vec()));
        if page.len() < limit {
            break;
        }
    }
    assert_eq!(paged, expected, "in pages of {limit}");
    let between =
        [&expected[dice.below(expected.len().max(1)).min(expected.len().saturating_sub(1))][..], b"!"].concat();
    let after: Vec<_> = dir.children_after(Some(&between), 1000).unwrap().iter().map(|c| c.name().to_vec()).collect();
    assert!(after.iter().eq(expected.iter().filter(|name| **name > between)), "after a name that is not there");
    for name in expected {
        let path = folder.join(std::ffi::OsStr::from_bytes(&name));
        let entry = dir.child(&name).unwrap().unwrap();
        assert_eq!(dir.snapshot().entry(&entry.path).unwrap().as_ref(), Some(&entry));
        if path.is_dir() {
            assert!(dir.file(&name).is_err());
            let below = dir.dir(&name).unwrap();
            assert_eq!(below.entry(), Some(&entry));
            if fs::read_dir(&path).unwrap().next().is_some() {
                compare(&below, &path, dice);
            } else {
                assert!(names(&below).is_empty());
            }
        } else {
            assert!(dir.dir(&name).is_err());
            let file = dir.file(&name).unwrap();
            assert_eq!((file.entry(), whole(&file, View::Exact)), (&entry, fs::read(&path).unwrap()));
        }
    }
}

#[test]
fn folders_are_listed_as_they_were_saved_whatever_the_names() {
    let data = quick_folder();
    let parts = ["a", "a.b", "a-", "a\u{1}", "a b", "ä", "A", "b", "a!", "~"];
    let mut dice = Dice::new(3);
    for _ in 0..400 {
        let depth = 1 + dice.below(4);
        let path: PathBuf = (0..depth).map(|_| parts[dice.below(parts.len())]).collect();
        let path = data.path().join(path);
        // Some of them are in the way of others.
        if fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists() {
            if dice.one_in(8) { fs::create_dir(&path).unwrap() } else { fs::write(&path, format!("{path:?}")).unwrap() }
        }
    }
    let lab = Lab::new(Suite::None);
    lab.save(data.path());
    let repository = Arc::new(lab.open());
    let snapshot = last(&repository);
    compare(&snapshot.dir("").unwrap(), data.path(), &mut dice);
    assert_eq!(
        snapshot.dir("/a/").map(|dir| dir.path().to_vec()).ok(),
        snapshot.dir("a").map(|dir| dir.path().to_vec()).ok()
    );
    for missing in ["nothing", "a/nothing", "\u{1}"] {
        assert!(matches!(snapshot.dir(missing), Err(Error::NoPath { .. })));
        assert!(matches!(snapshot.file(missing), Err(Error::NoPath { .. })));
        assert_eq!(snapshot.entry(missing).unwrap(), None);
    }
    let top = snapshot.dir("").unwrap();
    for no_name in ["", "a/b", "/"] {
        assert!(top.child(no_name).unwrap().is_none() && top.dir(no_name).is_err() && top.file(no_name).is_err());
    }
    assert!(matches!(Snapshot::open(&repository, SnapshotId::new([9; 16])), Err(Error::NoSnapshot { .. })));
}

#[test]
fn a_file_that_was_saved_without_its_folders_is_found_in_them() {
    let lab = Lab::new(Suite::None);
    let stream = avro_snap::ops::create::StreamSource {
        reader: Box::new(&b"content"[..]),
        path: b"backups/today/dump.sql".to_vec(),
        shown: "standard input".into(),
    };
    let options = saving(Path::new("/")).stream(stream);
    create(&lab.open(), options, &Silent).unwrap();
    let snapshot = last(&Arc::new(lab.open()));
    let children: Vec<_> = snapshot.dir("").unwrap().children().map(Result::unwrap).collect();
    assert_eq!(children.len(), 1);
    assert_eq!((children[0].name(), &children[0].kind), (&b"backups"[..], &EntryKind::Directory));
    assert_eq!(names(&snapshot.dir("backups").unwrap().dir("today").unwrap()), [b"dump.sql"]);
    assert_eq!(whole(&snapshot.file("backups/today/dump.sql").unwrap(), View::Exact), b"content");
    assert!(matches!(snapshot.dir("backups/tod"), Err(Error::NoPath { .. })));
    assert!(matches!(snapshot.dir("backups/today/dump.sql"), Err(Error::WrongKind { .. })));
}

#[test]
fn a_hard_link_is_read_as_the_file_that_it_is() {
    let data = quick_folder();
    fs::write(data.path().join("first"), b"shared").unwrap();
    fs::hard_link(data.path().join("first"), data.path().join("second")).unwrap();
    let lab = Lab::new(Suite::None);
    lab.save(data.path());
    let snapshot = last(&Arc::new(lab.open()));
    let file = snapshot.file("second").unwrap();
    let entry = file.entry();
    assert_eq!((&entry.path[..], entry.hard_link.as_deref(), entry.size), (&b"second"[..], Some(&b"first"[..]), 6));
    assert_eq!(whole(&file, View::Exact), b"shared");
}

#[test]
fn a_reader_seeks_like_a_file() {
    let folder = fixtures("nights/2026-03-01");
    let lab = Lab::new(Suite::None);
    lab.save(&folder);
    let snapshot = last(&Arc::new(lab.open()));
    let (file, bytes) = (snapshot.file("orders.avro").unwrap(), fs::read(folder.join("orders.avro")).unwrap());
    let mut reader = file.reader(View::Exact);
    let mut read = |to: SeekFrom| {
        let at = reader.seek(to).unwrap();
        let mut buffer = [0; 100];
        let count = reader.read(&mut buffer).unwrap();
        (at as usize, buffer[..count].to_vec())
    };
    assert_eq!(read(SeekFrom::Start(50)), (50, bytes[50..150].to_vec()));
    assert_eq!(read(SeekFrom::Current(-100)), (50, bytes[50..150].to_vec()));
    assert_eq!(read(SeekFrom::End(-10)), (bytes.len() - 10, bytes[bytes.len() - 10..].to_vec()));
    assert_eq!(read(SeekFrom::End(5)), (bytes.len() + 5, Vec::new()));
    assert!(reader.seek(SeekFrom::Current(-1 << 40)).is_err());
    assert_eq!(file.len(View::Exact).unwrap(), bytes.len() as u64);
}

/// A folder is listed from the parts of the manifest that hold it, and what is kept has a bound.
#[test]
fn one_folder_of_many_is_listed_without_reading_the_others() {
    let data = quick_folder();
    for folder in 0..40 {
        let folder = data.path().join(format!("{folder:02}"));
        fs::create_dir(&folder).unwrap();
        (0..100).for_each(|file| fs::write(folder.join(format!("{file:02}")), b"x").unwrap());
    }
    let lab = Lab::new(Suite::None);
    lab.save(data.path());
    let snapshot = last(&Arc::new(lab.open()));
    let kept = || snapshot.repository().reader().bytes_kept();
    assert_eq!(names(&snapshot.dir("20").unwrap()).len(), 100);
    let one = kept();
    assert!(snapshot.entry("20/50").unwrap().is_some() && kept() == one, "it was at hand");
    assert_eq!(names(&snapshot.dir("").unwrap()).len(), 40);
    let top: usize = (0..40).map(|folder| names(&snapshot.dir(format!("{folder:02}")).unwrap()).len()).sum();
    assert_eq!(top, 4000);
    let all = kept();
    assert!(one * 5 < all && all < MOST_KEPT, "{one} of {all} bytes");
}

/// All records as lines, by `cat`; and how many faults it found.
fn by_cat(snapshot: &Snapshot, path: &[u8], encoding: Encoding, skip: u64) -> Option<(String, usize)> {
    let mut text = String::new();
    let options = CatOptions::default().json_encoding(encoding).skip(skip).limit(Some(5000));
    let wanted = Wanted::new(snapshot, path).unwrap();
    let report = cat(&[wanted], None, &options, &mut |given| {
        match given {
            Given::Json(part) => text.push_str(part),
            Given::End => text.push('\n'),
            _ => {}
        }
        Ok(())
    });
    report.ok().map(|report| (text, report.faults.len()))
}

fn by_reader(file: &File, encoding: Encoding, skip: u64) -> Option<(String, usize)> {
    let (mut text, mut faults, mut count) = (String::new(), 0, 0);
    for record in file.records_from(skip).ok()? {
        match record.and_then(|record| record.to_json(encoding)) {
            Ok(line) => {
                text.push_str(&line);
                text.push('\n');
                count += 1;
            }
            Err(Error::NoRecords { .. }) => faults += 1,
            Err(error) => panic!("{error}"),
        }
        if count == 5000 {
            break;
        }
    }
    Some((text, faults))
}

#[test]
fn records_and_blocks_are_what_cat_gives_and_blocks_stand_where_they_say() {
    let (mut sound, mut odd, mut placed) = (0, 0, 0);
    for (part, depth) in
        [("codecs", Depth::Deep), ("nights", Depth::Deep), ("nights", Depth::Frame), ("odd", Depth::Deep)]
    {
        let folder = fixtures(part);
        let lab = Lab::new(Suite::None);
        create(&lab.open(), saving(&folder).avro(depth), &Silent).unwrap();
        let repository = Arc::new(lab.open());
        let snapshot = last(&repository);
        for path in files_of(&folder).into_keys() {
            let (path, shown) = (path.as_os_str().as_bytes(), path.display().to_string());
            let file = snapshot.file(path).unwrap();
            for (encoding, skip) in
                [(Encoding::Plain, 0), (Encoding::Avro, 0), (Encoding::Plain, 7), (Encoding::Plain, 900)]
            {
                let (expected, found) = (by_cat(&snapshot, path, encoding, skip), by_reader(&file, encoding, skip));
                assert_eq!(expected.as_ref().map(|e| &e.0), found.as_ref().map(|f| &f.0), "{shown}, from {skip}");
                if expected.is_some_and(|(_, faults)| faults > 0) {
                    // What lies between sound blocks is passed over here.
                    odd += 1;
                }
            }
            let Ok(blocks) = file.blocks() else { continue };
            let Ok(records) = file.records() else { continue };
            let schema = records.schema_text().to_owned();
            assert!(avro_snap::avro::schema::Schema::parse(&schema).is_ok());
            let blocks: Vec<_> = blocks.filter_map(Result::ok).collect();
            let plain = whole(&file, View::Plain);
            for block in &blocks {
                let Some(offset) = block.offset else { continue };
                placed += 1;
                let marker = plain[plain.len() - 16..].try_into().unwrap();
                let Parsed::Done(parsed) = parse_block(&plain[offset as usize..], &marker) else {
                    assert_eq!(part, "odd", "{shown}: no block at {offset}");
                    continue;
                };
                assert_eq!(parsed.count, block.records, "{shown}: block {}", block.ordinal);
                if file.view(View::Plain) == View::Plain {
                    let from = offset as usize + parsed.header_len;
                    assert!(plain[from..from + parsed.payload_len] == block.bytes, "{shown}");
                }
            }
            if part != "odd" {
                let joined: Vec<u8> = records.flat_map(|record| record.unwrap().bytes).collect();
                assert!(joined == blocks.iter().flat_map(|block| &block.bytes[..]).copied().collect::<Vec<_>>());
                sound += 1;
            }
        }
    }
    println!("{sound} sound files, {odd} looks at others, {placed} blocks in their places");
    assert!(sound > 20 && odd > 10 && placed > 100);
}

/// Eight threads read and list while snapshots come and go and packs are moved and deleted, all in one process and on one
/// repository.
#[test]
fn eight_threads_read_beside_a_create_and_a_prune() {
    let data = quick_folder();
    let mut random = Random::new(5);
    for folder in ["one", "two", "two/deep"] {
        fs::create_dir(data.path().join(folder)).unwrap();
        for (name, bytes) in small::noise(&mut random, 12, 3000) {
            fs::write(data.path().join(folder).join(name), bytes).unwrap();
        }
    }
    for (path, bytes) in
        files_of(&fixtures("codecs")).into_iter().filter(|(path, _)| path.to_string_lossy().contains("-deflate"))
    {
        fs::write(data.path().join(path), bytes).unwrap();
    }
    let lab = small::init(&(Arc::new(Memory::new()) as Arc<dyn Backend>), Suite::Aes256Gcm);
    // Shares packs with what is read, and goes.
    let other = small::save(&lab, &small::noise(&mut random, 10, 3000)).unwrap();
    create(&small::open(&lab), saving(data.path()), &Silent).unwrap();
    let repository = Arc::new(small::open(&lab));
    let snapshot = last(&repository);
    let files: Vec<_> = files_of(data.path()).into_iter().collect();
    let (ended, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let (snapshot, files, ended, reads, data) = (snapshot.clone(), &files, &ended, &reads, data.path());
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                let mut open = BTreeMap::new();
                let mut rounds = 0;
                while rounds < 30 || !ended.load(Ordering::Relaxed) {
                    rounds += 1;
                    let (path, bytes) = &files[dice.below(files.len())];
                    let file = || snapshot.file(path.as_os_str().as_bytes()).unwrap();
                    let file = open.entry(path).or_insert_with(file).clone();
                    let (offset, length) = (dice.below(bytes.len() + 10), [1, 300, 20_000][dice.below(3)]);
                    let mut buffer = vec![0; length];
                    let read = file.read_at(View::Exact, offset as u64, &mut buffer).unwrap();
                    let start = offset.min(bytes.len());
                    assert!(buffer[..read] == bytes[start..bytes.len().min(start + length)], "{}", path.display());
                    if dice.one_in(4) {
                        let folder = ["", "one", "two", "two/deep"][dice.below(4)];
                        assert_eq!(names(&snapshot.dir(folder).unwrap()), names_on_disk(&data.join(folder)));
                    }
                    if dice.one_in(8) {
                        open.clear();
                    }
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let ending = Ending(&ended);
        let mut removed = other;
        for round in 0..4 {
            let mut added: Files = small::noise(&mut random, 5, 3000);
            added.extend(files.iter().take(3).map(|(path, bytes)| {
                (format!("again-{round}-{}", path.display()).replace('/', "-").into(), bytes.clone())
            }));
            let folder = quick_folder();
            small::write_all(folder.path(), &added);
            let made = create(&repository, saving(folder.path()), &Silent).unwrap().snapshot.unwrap();
            small::forget(&lab, &[removed]).unwrap();
            prune(&repository, &small::thorough(), &Silent).unwrap();
            prune(&repository, &small::thorough(), &Silent).unwrap();
            removed = made;
        }
        drop(ending);
    });
    assert!(repository.reader().bytes_kept() > 0 && repository.reader().bytes_kept() <= MOST_KEPT);
    println!("{} reads", reads.into_inner());
}

/// Says that the readers may end, also where something fails.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A snapshot with an Avro file and others, as bytes; and the repository that reads it.
fn scene() -> (Lab, Snapshot, tempfile::TempDir) {
    let data = quick_folder();
    let avro = fixtures("nights/2026-03-01").join("orders.avro");
    // Names by which `new_root` stores the one in another way and leaves the other alone.
    for name in ["b.avro", "a.avro"] {
        fs::copy(&avro, data.path().join(name)).unwrap();
    }
    fs::write(data.path().join("d"), small::noise(&mut Random::new(1), 1, 9000).into_values().next().unwrap()).unwrap();
    let lab = small::init(&(Arc::new(Memory::new()) as Arc<dyn Backend>), Suite::None);
    create(&small::open(&lab), saving(data.path()).avro(Depth::Bytes), &Silent).unwrap();
    let repository = Arc::new(small::open(&lab));
    let snapshot = last(&repository);
    (lab, snapshot, data)
}

/// Gives the snapshot a new root, and deletes what only the old one reached.
fn replace(lab: &Lab, id: SnapshotId, reason: ReplaceReason, change: &mut dyn FnMut(&mut SnapshotRoot)) {
    let repository = small::open(lab);
    let writer = Writer::new(&repository).unwrap();
    let replacement = new_root(&repository, &writer, id, change).unwrap().unwrap();
    assert_eq!(writer.replace_roots(reason, &[replacement]).unwrap().replaced, [id]);
    prune_all(lab);
}

fn prune_all(lab: &Lab) {
    for _ in 0..2 {
        small::run_prune(lab, &small::thorough()).unwrap();
    }
}

#[test]
fn what_is_open_goes_on_with_a_new_root_that_holds_the_same() {
    let (lab, snapshot, data) = scene();
    let expected: Vec<_> = files_of(data.path()).into_iter().collect();
    let files: Vec<_> = expected.iter().map(|(path, _)| snapshot.file(path.as_os_str().as_bytes()).unwrap()).collect();
    let avro = snapshot.file("b.avro").unwrap();
    let all: Vec<_> = avro.records().unwrap().map(|record| record.unwrap().bytes).collect();
    let mut records = avro.records().unwrap();
    let mut seen: Vec<_> = records.by_ref().take(all.len() / 2).map(|record| record.unwrap().bytes).collect();
    replace(&lab, snapshot.id(), ReplaceReason::Settled, &mut |_| {});
    snapshot.repository().reader().forget_frames();
    for (file, (path, bytes)) in files.iter().zip(&expected) {
        assert!(whole(file, View::Exact) == *bytes, "{}", path.display());
    }
    seen.extend(records.map(|record| record.unwrap().bytes));
    assert!(seen == all, "records go on where they were");
    assert_eq!(snapshot.root().revision, 1);
    assert_eq!(names(&snapshot.dir("").unwrap()), [&b"a.avro"[..], b"b.avro", b"d"]);
}

#[test]
fn what_was_removed_or_changed_on_purpose_says_so() {
    let (lab, snapshot, _data) = scene();
    let file = snapshot.file("d").unwrap();
    let empty = |root: &mut SnapshotRoot| (root.manifest, root.altered) = (None, Some(5));
    replace(&lab, snapshot.id(), ReplaceReason::Erased, &mut { empty });
    snapshot.repository().reader().forget_frames();
    let error = file.read_at(View::Exact, 0, &mut [0; 10]).unwrap_err();
    assert!(matches!(error, Error::SnapshotReplaced { .. }), "{error}");
    assert!(matches!(snapshot.file("d"), Err(Error::NoPath { .. })), "the snapshot is read as it is now");

    let (lab, snapshot, _data) = scene();
    let (file, mut blocks) = (snapshot.file("d").unwrap(), snapshot.file("b.avro").unwrap().blocks().unwrap());
    let dir = snapshot.dir("").unwrap();
    assert_eq!(names(&dir).len(), 3);
    small::forget(&lab, &[snapshot.id()]).unwrap();
    prune_all(&lab);
    snapshot.repository().reader().forget_frames();
    let error = file.read_at(View::Exact, 0, &mut [0; 10]).unwrap_err();
    assert!(matches!(error, Error::SnapshotRemoved { .. }), "{error}");
    let error = blocks.find_map(Result::err).unwrap();
    assert!(matches!(error, Error::SnapshotRemoved { .. }), "{error}");
    assert!(blocks.next().is_none(), "nothing comes after it");
    assert!(matches!(Snapshot::open(snapshot.repository(), snapshot.id()), Err(Error::NoSnapshot { .. })));
}

#[test]
fn readers_can_be_kept_sent_and_shared() {
    fn is_kept<T: Send + Sync + Clone + 'static>() {}
    fn is_sent<T: Send + 'static>() {}
    is_kept::<Snapshot>();
    is_kept::<Dir>();
    is_kept::<File>();
    is_kept::<avro_snap::read::FileReader>();
    is_sent::<avro_snap::read::Blocks>();
    is_sent::<avro_snap::read::Records>();
    is_sent::<avro_snap::read::Children>();
}
