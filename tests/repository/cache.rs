//! The local index is a cache: it may be deleted, stale, damaged, rolled back or somebody else's, and nothing but speed
//! may depend on it.
//!
//! `SNAP_CACHE_TRIALS=n` damages the cache in n random ways (40 by default). `SNAP_SEED` says which.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::lab;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avro_gen::Random;
use avro_snap::chunk::CutParams;
use avro_snap::crypto::{Secret, Suite, SystemEntropy};
use avro_snap::id::{IndexId, PackId, RepositoryId, SnapshotId};
use avro_snap::index::Index;
use avro_snap::log::SharedStanding;
use avro_snap::pack::{Directory, PackInfo};
use avro_snap::storage::{Backend, Kind, Memory};
use avro_snap::store::{CachePlace, InitOptions, Repository, SystemClock};
use faults::{Files, Overlay, check_all, judge, restored};
use lab::{CHEAP, Lab, PASSWORD, files_of};

/// A repository with enough chunks that the tables of its index have many pages, a cache that knows all but its last
/// snapshots, and folders for more.
struct Sample {
    memory: Memory,
    expected: BTreeMap<SnapshotId, Files>,
    /// What a cache was like when the first snapshot was the last, and when the second was.
    caches: [PathBuf; 2],
    data: PathBuf,
    own: tempfile::TempDir,
}

fn sample(suite: Suite) -> Sample {
    let own = faults::quick_folder();
    let path = |name: &str| own.path().join(name);
    let (data, cache) = (path("data"), path("cache"));
    fs::create_dir(&data).unwrap();
    let mut random = Random::new(7);
    for n in 0..3 {
        fs::write(data.join(format!("file-{n:04}")), noise(&mut random, 150_000)).unwrap();
    }
    let memory = Memory::new();
    let backend: Arc<dyn Backend> = Arc::new(memory.clone());
    init(&backend, suite, None);
    let lab = Lab { backend, cache: CachePlace::Folder(cache.clone()) };
    let mut expected = BTreeMap::new();
    let mut caches = Vec::new();
    for night in ["one", "two"] {
        fs::write(data.join(format!("night-{night}")), noise(&mut random, 40_000)).unwrap();
        expected.insert(lab.save(&data).snapshot.unwrap(), files_of(&data));
        copy(&cache, &path(night));
        caches.push(path(night));
    }
    fs::write(data.join("what is new"), noise(&mut random, 5000)).unwrap();
    Sample { memory, expected, caches: caches.try_into().unwrap(), data, own }
}

/// A repository with small chunks, so that there are many of them.
fn init(backend: &Arc<dyn Backend>, suite: Suite, chunk_id_key: Option<Secret>) -> RepositoryId {
    let options = InitOptions::default()
        .encryption(suite)
        .password((suite != Suite::None).then(|| PASSWORD.to_vec()))
        .kdf(CHEAP)
        .cut(CutParams { min: 256, average: 512, max: 2048, align: 0 })
        .chunk_id_key(chunk_id_key);
    Repository::init(backend, &options, &SystemClock, &SystemEntropy).unwrap()
}

fn noise(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.next() as u8).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { assert!(fs::copy(&path, &to).is_ok()) }
    }
}

impl Sample {
    /// A copy of a cache, with the path of its database.
    fn cache(&self, which: usize, name: &str) -> (PathBuf, PathBuf) {
        let folder = self.own.path().join(name);
        let _ = fs::remove_dir_all(&folder);
        copy(&self.caches[which], &folder);
        let own = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        (folder, own.join("index.db"))
    }

    /// With this cache everything comes out as it does without any, and goes on doing so.
    fn works_with(&self, cache: &Path, what: &str) {
        let overlay: Arc<dyn Backend> = Arc::new(Overlay::new(&self.memory));
        let lab = Lab { backend: overlay.clone(), cache: CachePlace::Folder(cache.to_path_buf()) };
        let files = files_of(&self.data);
        // A restore with it, before anything mends it.
        let repository = lab.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
        let last = *self.expected.keys().max_by_key(|id| position(&repository, id)).unwrap();
        assert_eq!(restored(&repository, last, &self.expected[&last]), Some(true), "{what}");
        drop(repository);
        // A create with it, as the cache was; then with what that made of the cache.
        for turn in ["first", "second"] {
            let saved =
                avro_snap::ops::create::create(&lab.open(), lab::saving(&self.data), &avro_snap::progress::Silent);
            let report = saved.unwrap_or_else(|error| panic!("{what}, {turn} create: {error}"));
            assert!(report.bytes_added < 150_000, "{what}: all was stored again: {report:?}");
            for cache in [lab.cache.clone(), CachePlace::Temporary] {
                let lab = Lab { backend: overlay.clone(), cache };
                assert_eq!(restored(&lab.open(), report.snapshot.unwrap(), &files), Some(true), "{what}, {turn}");
            }
            let problems = check_all(&lab.open()).unwrap().problems;
            assert!(problems.is_empty(), "{what}, {turn}: {problems:?}");
        }
        let verdict = judge(&Lab { backend: overlay, cache: CachePlace::Temporary }, &self.expected);
        assert!(!verdict.is_noticed() && verdict.restored.len() == 2, "{what}: {verdict:?}");
    }
}

fn position(repository: &Repository, id: &SnapshotId) -> usize {
    repository.state().snapshots.iter().position(|record| record.id == *id).unwrap()
}

#[test]
fn the_bundled_sqlite_does_not_damage_its_own_log() {
    // Before 3.51.3 a reset of the write-ahead log could race with a reader and damage the database.
    let version: Vec<u32> = rusqlite::version().split('.').map(|part| part.parse().unwrap()).collect();
    assert!(version >= vec![3, 51, 3], "SQLite {}", rusqlite::version());
}

#[test]
fn a_cache_that_is_missing_or_empty_is_made_anew() {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let sample = sample(suite);
        let folder = sample.own.path().join("none");
        sample.works_with(&folder, "no cache");
        assert!(folder.is_dir());
        let (folder, database) = sample.cache(1, "empty");
        fs::write(&database, b"").unwrap();
        sample.works_with(&folder, "an empty file");
        let (folder, database) = sample.cache(1, "untouched");
        sample.works_with(&folder, "an untouched cache");
        assert!(database.is_file());
    }
}

#[test]
fn a_stale_cache_is_brought_up_to_date() {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let sample = sample(suite);
        let (folder, _) = sample.cache(0, "older");
        sample.works_with(&folder, "an older copy of the cache");
        // Another machine, with a cache of its own, goes on; then the cache of the first one is used again.
        let (folder, _) = sample.cache(1, "first machine");
        let lab =
            Lab { backend: Arc::new(sample.memory.clone()), cache: CachePlace::Folder(sample.own.path().join("x")) };
        lab.save(&sample.data);
        sample.works_with(&folder, "another machine went on");
    }
}

#[test]
fn a_cache_of_a_repository_that_was_put_back_to_an_older_state_is_forgotten() {
    let sample = sample(Suite::Aes256Gcm);
    let (folder, _) = sample.cache(1, "ahead");
    // The second night never was: its log entry, pack and index object are gone, and the cache knows them.
    let mut overlay = Overlay::new(&sample.memory);
    let lab = Lab { backend: Arc::new(sample.memory.clone()), cache: CachePlace::Temporary };
    let repository = lab.open();
    let (first, second) = (repository.state().snapshots[0].clone(), repository.state().snapshots[1].clone());
    overlay = overlay.with(&avro_snap::storage::Name::log(second.added), None);
    let of_second = repository.catalog().index().locate(&second.root).unwrap();
    let pack = repository.catalog().index().pack(of_second[0].pack).unwrap();
    let lab = |overlay: Overlay| Lab { backend: Arc::new(overlay), cache: CachePlace::Folder(folder.clone()) };
    let lab = lab(overlay.with(&pack.name(), None));
    let report = lab.save(&sample.data);
    assert_eq!(report.parent, Some(first.id));
    for cache in [lab.cache.clone(), CachePlace::Temporary] {
        let lab = Lab { backend: lab.backend.clone(), cache };
        assert_eq!(restored(&lab.open(), report.snapshot.unwrap(), &files_of(&sample.data)), Some(true));
        assert_eq!(restored(&lab.open(), first.id, &sample.expected[&first.id]), Some(true));
    }
}

#[test]
fn the_cache_of_another_repository_does_no_harm() {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let (sample, other) = (sample(suite), sample(suite));
        let (folder, database) = sample.cache(1, "own");
        let (_, strange) = other.cache(1, "strange");
        fs::copy(strange, database).unwrap();
        sample.works_with(&folder, "the cache of another repository");
    }
}

#[test]
fn a_repository_that_takes_over_the_keys_of_another_does_not_take_over_its_cache() {
    let sample = sample(Suite::Aes256Gcm);
    let (folder, database) = sample.cache(1, "own");
    let first = Lab { backend: Arc::new(sample.memory.clone()), cache: CachePlace::Temporary };
    let key = first.open().keys().keyring().unwrap().chunk_id_key.clone();
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let id = init(&memory, Suite::Aes256Gcm, Some(key));
    fs::rename(database.parent().unwrap(), folder.join(id.to_string())).unwrap();
    // All its chunks have the ids that the cache knows, and none of them is here.
    let second = Lab { backend: memory.clone(), cache: CachePlace::Folder(folder) };
    let report = second.save(&sample.data);
    let second = Lab { backend: memory, cache: CachePlace::Temporary };
    assert_eq!(restored(&second.open(), report.snapshot.unwrap(), &files_of(&sample.data)), Some(true));
}

#[test]
fn two_at_once_with_one_cache_do_not_get_into_each_others_way() {
    let sample = sample(Suite::Aes256Gcm);
    let (folder, _) = sample.cache(0, "shared");
    let lab = Lab { backend: Arc::new(sample.memory.clone()), cache: CachePlace::Folder(folder.clone()) };
    let holder = lab.open();
    assert!(holder.catalog().index().is_persistent());
    sample.works_with(&folder, "another one holds the cache");
    drop(holder);
    sample.works_with(&folder, "nobody holds the cache any more");
    // Many at once, each coming and going, some throwing the cache away.
    let overlay: Arc<dyn Backend> = Arc::new(Overlay::new(&sample.memory));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (lab, sample) = (Lab { backend: overlay.clone(), cache: lab.cache.clone() }, &sample);
            scope.spawn(move || {
                for _ in 0..6 {
                    let repository = lab.open();
                    if n == 0 {
                        repository.catalog().rebuild().unwrap();
                    }
                    let saved = avro_snap::ops::create::create(
                        &repository,
                        lab::saving(&sample.data),
                        &avro_snap::progress::Silent,
                    );
                    let id = saved.unwrap().snapshot.unwrap();
                    assert_eq!(restored(&repository, id, &files_of(&sample.data)), Some(true));
                }
            });
        }
    });
    sample.works_with(&folder, "after many at once");
}

#[test]
fn a_cache_that_cannot_be_written_is_done_without() {
    let sample = sample(Suite::Aes256Gcm);
    let in_the_way = sample.own.path().join("a file");
    fs::write(&in_the_way, b"no folder").unwrap();
    sample.works_with(&in_the_way, "a file where the cache should be");
    assert_eq!(fs::read(&in_the_way).unwrap(), b"no folder");
    let (folder, database) = sample.cache(1, "folder");
    fs::remove_file(&database).unwrap();
    fs::create_dir(&database).unwrap();
    fs::write(database.join("something"), b"").unwrap();
    sample.works_with(&folder, "a folder where the database should be");
}

#[test]
fn a_damaged_cache_is_noticed_or_has_no_effect() {
    let (trials, seed) = (faults::size("SNAP_CACHE_TRIALS", 40), faults::seed());
    let mut random = Random::new(seed);
    let samples = [sample(Suite::Aes256Gcm), sample(Suite::None)];
    for trial in 0..trials {
        let sample = &samples[trial % 2];
        let (folder, database) = sample.cache(random.below(2), "damaged");
        let mut bytes = fs::read(&database).unwrap();
        let pages = bytes.len() / 4096;
        assert!(pages > 20, "{pages} pages");
        let page = random.below(pages) * 4096;
        let what = match random.below(7) {
            0 => {
                for _ in 0..1 + random.below(4) {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
                "flipped bits"
            }
            1 => {
                bytes[page..page + 4096].fill(0);
                "a zeroed page"
            }
            2 => {
                bytes.truncate(random.below(bytes.len()));
                "a truncated file"
            }
            3 => {
                let noise = noise(&mut random, 4096);
                bytes[page..page + 4096].copy_from_slice(&noise);
                "a page of noise"
            }
            4 => {
                let other = random.below(pages) * 4096;
                let copied = bytes[other..other + 4096].to_vec();
                bytes[page..page + 4096].copy_from_slice(&copied);
                "a page in the place of another"
            }
            5 => {
                bytes = noise(&mut random, 10_000);
                "garbage"
            }
            _ => {
                // How long either is depends on the keys, so a page is taken that both have.
                let older = fs::read(sample.cache(0, "older").1).unwrap();
                let page = random.below(pages.min(older.len() / 4096)) * 4096;
                bytes[page..page + 4096].copy_from_slice(&older[page..page + 4096]);
                "a page of an older state"
            }
        };
        fs::write(&database, &bytes).unwrap();
        sample.works_with(&folder, &format!("{what}, trial {trial} of seed {seed}"));
    }
    println!("{trials} damaged caches did no harm");
}

#[test]
fn a_write_ahead_log_left_by_a_crash_is_used_or_ignored_whatever_is_in_it() {
    let (trials, seed) = (faults::size("SNAP_CACHE_TRIALS", 40) / 4, faults::seed());
    let mut random = Random::new(seed);
    let sample = sample(Suite::Aes256Gcm);
    // What a process that was killed leaves: copied while the database is open and its log has not been taken in.
    let (folder, database) = sample.cache(0, "live");
    let lab = Lab { backend: Arc::new(sample.memory.clone()), cache: CachePlace::Folder(folder.clone()) };
    let open = lab.open();
    let wal = |database: &Path| PathBuf::from(format!("{}-wal", database.display()));
    let left = (fs::read(&database).unwrap(), fs::read(wal(&database)).unwrap());
    drop(open);
    assert!(left.1.len() > 4096, "the log has {} bytes", left.1.len());
    for trial in 0..trials {
        let (folder, database) = sample.cache(0, "killed");
        let (mut main, mut log) = left.clone();
        match random.below(5) {
            0 => {}
            1 => log.truncate(random.below(log.len())),
            2 => {
                let at = random.below(log.len());
                log[at] ^= 1 << random.below(8);
            }
            3 => log = noise(&mut random, 20_000),
            // The log of a later state over a database of an older one, or of none.
            _ => main.truncate(random.below(2) * 4096),
        }
        fs::write(&database, main).unwrap();
        fs::write(wal(&database), log).unwrap();
        sample.works_with(&folder, &format!("a log, trial {trial} of seed {seed}"));
    }
}

#[test]
fn an_index_object_that_nobody_can_read_is_made_up_for_from_the_packs() {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let sample = sample(suite);
        let names = sample.memory.list_all(Kind::Index).unwrap();
        let none = names.iter().fold(Overlay::new(&sample.memory), |overlay, meta| overlay.with(&meta.name, None));
        let lab = Lab { backend: Arc::new(none), cache: CachePlace::Temporary };
        let report = lab.save(&sample.data);
        assert!(report.bytes_added < 150_000, "{report:?}");
        let verdict = judge(&lab, &sample.expected);
        assert_eq!(verdict.restored.len(), 2, "{verdict:?}");
        assert_eq!(restored(&lab.open(), report.snapshot.unwrap(), &files_of(&sample.data)), Some(true));
    }
}

#[test]
fn a_cache_is_shared_and_each_takes_in_what_another_wrote() {
    let sample = sample(Suite::Aes256Gcm);
    let (folder, _) = sample.cache(1, "shared");
    let lab = Lab { backend: Arc::new(Overlay::new(&sample.memory)), cache: CachePlace::Folder(folder) };
    let reader = lab.open();
    let before = reader.catalog().index().packs_known().len();
    // One that lives on, and nights that come and go beside it.
    for night in 0..3 {
        fs::write(sample.data.join(format!("night-{night}")), noise(&mut Random::new(night), 300_000)).unwrap();
        let snapshot = lab.save(&sample.data).snapshot.unwrap();
        assert!(lab.open().catalog().index().is_persistent(), "beside a reader");
        assert!(reader.catalog().index().is_persistent());
        reader.log().refresh().unwrap();
        assert_eq!(restored(&reader, snapshot, &files_of(&sample.data)), Some(true), "night {night}");
    }
    assert!(reader.catalog().index().packs_known().len() > before, "the reader knows what the nights have stored");
}

#[test]
fn numbers_of_packs_are_not_given_twice_whoever_forgets_packs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.db");
    let (one, other) = (
        Index::open(Some(&path), [7; 32], SharedStanding::default()).unwrap(),
        Index::open(Some(&path), [7; 32], SharedStanding::default()).unwrap(),
    );
    let pack = |n: u8| PackInfo {
        id: PackId::new([n; 32]),
        length: 0,
        suite: Suite::None,
        epoch: 0,
        salt: [0; 32],
        directory: Directory::default(),
    };
    let object = |n: u8| IndexId::new([n; 32]);
    one.insert_object(&object(1), &[pack(1), pack(2)]).unwrap();
    assert!(!other.knows_pack(&pack(2).id), "not before it has looked");
    assert_eq!(other.objects().unwrap(), [object(1)]);
    assert_eq!(other.pack_number(&pack(2).id), one.pack_number(&pack(2).id));
    // One forgets the newest pack; the number that the other still has for it goes to no other pack.
    let number = other.pack_number(&pack(2).id);
    one.forget(&[], &[pack(2).id]).unwrap();
    one.insert_object(&object(2), &[pack(3)]).unwrap();
    assert_ne!(one.pack_number(&pack(3).id), number);
    assert!(number.is_some_and(|number| other.numbered(number).unwrap().is_none()), "it is gone here, too");
    // What one has not published counts for nobody else, but is not taken in twice.
    one.insert_unpublished(&pack(4)).unwrap();
    other.objects().unwrap();
    assert!(!other.knows_pack(&pack(4).id));
    other.insert_object(&object(3), &[pack(4)]).unwrap();
    assert_eq!(other.pack_number(&pack(4).id), one.pack_number(&pack(4).id));
    // Nobody takes the tables away from under another.
    one.clear().unwrap();
    assert!(!one.is_persistent() && other.knows_pack(&pack(3).id) && other.objects().unwrap().len() == 3);
    drop(one);
    other.clear().unwrap();
    assert!(other.is_persistent() && other.objects().unwrap().is_empty(), "alone with it");
}

#[test]
fn a_damaged_cache_that_others_use_is_left_to_them() {
    let sample = sample(Suite::None);
    let (folder, database) = sample.cache(1, "damaged");
    let lab = Lab { backend: Arc::new(sample.memory.clone()), cache: CachePlace::Folder(folder) };
    let holder = lab.open();
    // Not what is read first, which the holder has in memory: what a new one reads.
    let mut bytes = fs::read(&database).unwrap();
    bytes[..4096].fill(0xa5);
    fs::write(&database, &bytes).unwrap();
    assert!(!lab.open().catalog().index().is_persistent(), "beside the holder it is not made again");
    drop(holder);
    assert!(lab.open().catalog().index().is_persistent(), "alone it is");
}
