//! Repositories that an earlier build made, kept in `fixtures/golden/`: every later one reads them, and goes on in a copy.
//!
//! The format is final, so those of version 1 are never made again ([`FROZEN`]); what a later version adds gets new ones beside
//! them. `cargo test --test repository -- --ignored golden::make_golden` shows how they were made. They do not come out the same bytes
//! twice (inodes, ctimes, and the host and process that the log names, are in them), though ids, salts and times do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::faults;
use crate::lab;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use avro_snap::crypto::slot::KdfCost;
use avro_snap::crypto::{Entropy, SeededEntropy, Suite, SystemEntropy};
use avro_snap::id::{RunIds, digest, hex};
use avro_snap::ops::create::{CreateReport, create};
use avro_snap::ops::merge::{MergeOptions, merge, runs};
use avro_snap::ops::prune::{MaxUnused, PruneOptions, prune};
use avro_snap::ops::repair::{PayloadOptions, keep_payloads};
use avro_snap::ops::restore::restore;
use avro_snap::ops::select::Listing;
use avro_snap::pack::Encoding;
use avro_snap::progress::Silent;
use avro_snap::runtime::{CancelToken, Runtime};
use avro_snap::snapshot::Shard;
use avro_snap::storage::{Backend, Local};
use avro_snap::store::{Clock, InitOptions, OpenOptions, Repository, Settings, SystemClock, Unlock};
use faults::check_all;
use lab::{fixtures, restoring, saving};

const GOLDEN: [(&str, Suite); 2] = [("v1-encrypted", Suite::Aes256Gcm), ("v1-plain", Suite::None)];
/// The encrypted one again, with parity, after its keys were rotated and its packs moved to the new ones.
const ROTATED: (&str, Suite) = ("v1-rotated", Suite::Aes256Gcm);
/// The plain one again, with a run of two parts that was merged, and one of three parts of which the first is there.
const PARTS: (&str, Suite) = ("v1-parts", Suite::None);
/// Where the source of these runs lies: all parts name the same place. It is below the folder of this crate, wherever that is.
const SOURCE: &str = "/proc/self/cwd/target/parts";
pub(crate) const PASSWORD: &[u8] = b"golden";
/// BLAKE3 of what all golden repositories of version 1 consist of: for each file in order its path, a zero, and its BLAKE3.
const FROZEN: &str = "9eb2a0c6a26073bb51ab2d9999efcb6a35917f51948b8299a59ffaaa7dd22e3f";
/// The same of the one with parts, which was made later.
const FROZEN_PARTS: &str = "6cc69c5e642c7959405507c3e07193ad58900bce2cf466573ef150803ab0bf62";
/// No repository may be larger.
const MOST: u64 = 90_000;

pub(crate) fn place(name: &str) -> PathBuf {
    fixtures("golden").join(name)
}

/// A clock that goes on by a second whenever somebody looks.
pub(crate) struct Steps(pub(crate) AtomicI64);

impl Clock for Steps {
    fn now(&self) -> i64 {
        self.0.fetch_add(1_000_000_000, Ordering::Relaxed)
    }
}

pub(crate) fn open(root: &Path, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Repository {
    let options = OpenOptions::default().clock(clock).entropy(entropy).runtime(Runtime::new(1, CancelToken::default()));
    let backend: Arc<dyn Backend> = Arc::new(Local::new(root));
    Repository::open(backend, Unlock::Password(&mut || Ok(PASSWORD.to_vec())), &options).unwrap()
}

/// How many frames are deltas.
fn deltas(repository: &Repository) -> usize {
    let index = repository.catalog().index();
    let of_pack = |number| {
        let info = index.pack(number).unwrap();
        info.directory.frames.iter().filter(|frame| frame.encoding == Encoding::Delta).count()
    };
    index.pack_numbers().into_iter().map(of_pack).sum()
}

/// What lies in a folder, one line each, sorted: kind, mode, time, path, and the content's hash or the link's target.
fn describe(folder: &Path) -> Vec<String> {
    let (mut lines, mut folders) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let shown = path.strip_prefix(folder).unwrap().display().to_string();
            let facts = format!("{:04o} {}.{:09}", stat.mode() & 0o7777, stat.mtime(), stat.mtime_nsec());
            let line = if stat.is_dir() {
                folders.push(path);
                format!("folder {facts} {shown}")
            } else if stat.is_symlink() {
                // Not every system sets the times of links.
                format!("link {shown} -> {}", fs::read_link(&path).unwrap().display())
            } else {
                format!("file {facts} {shown} {}", hex(&digest(&fs::read(&path).unwrap())))
            };
            lines.insert(shown, line);
        }
    }
    lines.into_values().collect()
}

/// The bytes of every file below a folder.
pub(crate) fn frozen(folder: &Path) -> BTreeMap<PathBuf, [u8; 32]> {
    lab::files_of(folder).into_iter().map(|(path, bytes)| (path, digest(&bytes))).collect()
}

fn expected() -> [Vec<String>; 2] {
    let text = fs::read_to_string(place("content.txt")).unwrap();
    let of = |day| -> Vec<String> {
        let own = text.lines().filter_map(|line| line.split_once(' ').filter(|(of, _)| *of == day));
        own.map(|(_, rest)| rest.to_owned()).collect()
    };
    [of("1"), of("2")]
}

fn restored(repository: &Repository) -> Vec<Vec<String>> {
    let listing = Listing::read(repository);
    assert!(listing.unreadable.is_empty(), "{:?}", listing.unreadable);
    let describe = |snapshot| {
        let target = faults::quick_folder();
        let report = restore(repository, snapshot, &restoring(target.path()), &Silent).unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        describe(target.path())
    };
    listing.snapshots.iter().map(describe).collect()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { assert!(fs::copy(&path, &to).is_ok()) }
    }
}

/// The hash of all that lies at these places.
pub(crate) fn hash_of(places: &[&str]) -> String {
    let mut all = Vec::new();
    for (path, hash) in frozen(&place("")).into_iter().filter(|(path, _)| places.iter().any(|at| path.starts_with(at)))
    {
        all.extend_from_slice(path.as_os_str().as_bytes());
        all.push(0);
        all.extend_from_slice(&hash);
    }
    hex(&digest(&all))
}

#[test]
fn golden_repositories_are_the_bytes_that_they_were() {
    for (places, hash) in
        [(&["content.txt", "v1-encrypted", "v1-plain", "v1-rotated"][..], FROZEN), (&[PARTS.0], FROZEN_PARTS)]
    {
        assert_eq!(hash_of(places), hash, "the format is final: golden repositories of version 1 are never made again");
    }
}

#[test]
fn golden_repositories_are_read_as_on_the_day_they_were_made() {
    let before = frozen(&place(""));
    for (name, suite) in GOLDEN.into_iter().chain([ROTATED]) {
        let repository = open(&place(name), Arc::new(SystemClock), Arc::new(SystemEntropy));
        assert_eq!(repository.config().suite, suite, "{name}");
        let epoch = repository.keys().keyring().map_or(0, |keyring| keyring.current_epoch());
        assert_eq!((epoch, repository.settings().parity()), if name == ROTATED.0 { (1, 50) } else { (0, 0) }, "{name}");
        let (found, expected) = (restored(&repository), expected());
        assert_eq!(found.len(), 2, "{name}");
        for (day, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert!(expected.len() > 5, "content.txt lists nothing");
            assert_eq!(found, expected, "{name}, snapshot {}", day + 1);
        }
        let report = check_all(&repository).unwrap();
        assert!(report.problems.is_empty(), "{name}: {:?}", report.problems);
        assert_eq!((report.snapshots, report.unindexed_packs), (2, 0), "{name}");
        assert!(deltas(&repository) > 0, "{name}: no chunk is kept as the difference to another");
        let history = repository.log().history().unwrap();
        assert_eq!((history.replaced.len(), history.unsound_checkpoints.len()), (1, 0), "{name}");
        assert!(place(name).join("ckpt").read_dir().unwrap().count() > 0, "{name} has no checkpoint");
    }
    assert!(frozen(&place("")) == before, "reading changed something");
}

#[test]
fn a_copy_of_a_golden_repository_takes_another_snapshot() {
    for (name, _) in GOLDEN.into_iter().chain([ROTATED]) {
        let own = faults::quick_folder();
        let (root, data) = (own.path().join("repository"), own.path().join("data"));
        copy(&place(name), &root);
        let repository = open(&root, Arc::new(SystemClock), Arc::new(SystemEntropy));
        // The state of the first snapshot again, and one file more.
        let first = Listing::read(&repository).snapshots.swap_remove(0);
        restore(&repository, &first, &restoring(&data), &Silent).unwrap();
        fs::write(data.join("one more"), b"one more").unwrap();
        let report = create(&repository, saving(&data), &Silent).unwrap();
        println!("{name}: {} chunks, {} bytes for the third snapshot", report.chunks_new, report.bytes_added);
        assert!(report.parent.is_some(), "{name}: its series is not found again");
        // What is in the first snapshot is not stored a second time: the new file, the root, and a few chunks of rows.
        assert!(report.chunks_new <= 8, "{name}: {report:?}");
        drop(repository);
        let repository = open(&root, Arc::new(SystemClock), Arc::new(SystemEntropy));
        let found = restored(&repository);
        assert_eq!(found.len(), 3);
        assert_eq!(found[..2], expected(), "{name}");
        assert_eq!(found[2], describe(&data), "{name}");
        assert!(check_all(&repository).unwrap().problems.is_empty(), "{name}");
    }
}

#[test]
fn parts_in_a_golden_repository_are_read_as_on_the_day_they_were_made() {
    let repository = open(&place(PARTS.0), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let [one, two] = expected();
    assert_eq!(restored(&repository), [one.clone(), two, one]);
    let report = check_all(&repository).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!((report.snapshots, report.unindexed_packs), (3, 0));
    let open_runs = runs(&repository).unwrap();
    let facts: Vec<_> =
        open_runs.iter().map(|run| (&*run.run, run.parts, &run.parts_missing[..], &*run.series)).collect();
    assert_eq!(facts, [("open", 3, &[2, 3][..], "lab")]);
    let merged = merge(&repository, &MergeOptions::new("done").dry_run(true), &Silent).unwrap();
    assert!(merged.merged_before && merged.files > 5);
    assert_eq!(merged.snapshot, Some(RunIds::new(repository.id(), "done").merged()));
}

#[cfg(target_os = "linux")]
#[test]
fn in_a_copy_of_a_golden_repository_the_missing_parts_are_made_and_merged() {
    let own = faults::quick_folder();
    copy(&place(PARTS.0), own.path());
    let repository = open(own.path(), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let source = Path::new(SOURCE);
    let _ = fs::remove_dir_all(source);
    fs::create_dir_all(source).unwrap();
    let second = Listing::read(&repository).snapshots.swap_remove(1);
    restore(&repository, &second, &restoring(source), &Silent).unwrap();
    assert_eq!(part_of(&repository, "open", 1, 3).part_was_there, Some(true));
    for number in [2, 3] {
        let report = part_of(&repository, "open", number, 3);
        assert_eq!((report.part_was_there, report.parent), (Some(false), Some(second.id)));
    }
    let report = merge(&repository, &MergeOptions::new("open"), &Silent).unwrap();
    assert_eq!((report.merged_before, report.parent), (false, Some(second.id)));
    fs::remove_dir_all(source).unwrap();
    drop(repository);
    let repository = open(own.path(), Arc::new(SystemClock), Arc::new(SystemEntropy));
    let [one, two] = expected();
    assert_eq!(restored(&repository), [one.clone(), two.clone(), one, two]);
    assert_eq!(runs(&repository).unwrap(), []);
    assert!(check_all(&repository).unwrap().problems.is_empty());
}

/// Saves a part of what lies at the place of the source.
fn part_of(repository: &Repository, run: &str, number: u32, parts: u32) -> CreateReport {
    let options = saving(Path::new(SOURCE)).run(run).shard(Some(Shard::new(number, parts).unwrap()));
    create(repository, options, &Silent).unwrap()
}

/// Lines of which each day changes a few, so that what they are chunked to is kept as the difference to the day before.
fn lines(day: i64) -> String {
    let mut text = String::new();
    for line in 0..1500 {
        let changed = if line % 300 == 7 { day } else { 0 };
        let hash = hex(&digest(&i64::to_le_bytes(line + (changed << 32))));
        writeln!(text, "line {line}: {}", &hash[..10]).unwrap();
    }
    text
}

/// Makes the two states of the folder that the golden repositories hold.
fn state(folder: &Path, day: i64) {
    let take = |from: &str, to: &str| assert!(fs::copy(fixtures(from), folder.join(to)).is_ok());
    if day == 1 {
        fs::create_dir_all(folder.join("tables/empty")).unwrap();
        take("codecs/fastavro-null.avro", "tables/null.avro");
        take("codecs/fastavro-deflate.avro", "tables/deflate.avro");
        take("odd/truncated-in-block-deflate.avro", "torn.avro");
        take("odd/header-only.avro", "header-only.avro");
        symlink("tables/null.avro", folder.join("link")).unwrap();
        fs::write(folder.join("small"), b"a small file without anything special").unwrap();
        fs::write(folder.join("nothing"), b"").unwrap();
        fs::hard_link(folder.join("small"), folder.join("small again")).unwrap();
        fs::write(folder.join(std::ffi::OsStr::from_bytes("caf\u{e9}.txt".as_bytes())), "caf\u{e9}\n".repeat(400))
            .unwrap();
    } else {
        take("codecs/fastavro-snappy.avro", "tables/snappy.avro");
        take("codecs/fastavro-zstandard.avro", "tables/zstandard.avro");
        take("odd/deflate-mixed-levels.avro", "tables/mixed.avro");
        take("odd/stray-bytes.avro", "torn.avro");
        fs::remove_file(folder.join("nothing")).unwrap();
        fs::remove_file(folder.join("tables/deflate.avro")).unwrap();
    }
    fs::write(folder.join("lines"), lines(day)).unwrap();
    let mut folders = vec![folder.to_path_buf()];
    let mut all = Vec::new();
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path.clone());
            }
            all.push(path);
        }
    }
    for path in all {
        fs::set_permissions(&path, fs::Permissions::from_mode(if path.is_dir() { 0o750 } else { 0o640 })).unwrap();
        let time = UNIX_EPOCH + Duration::new(1_772_323_200 + 86_400 * day as u64, 123_456_789);
        File::open(&path).unwrap().set_modified(time).unwrap();
    }
}

#[test]
#[ignore = "makes the golden repositories anew"]
fn make_golden() {
    let own = tempfile::tempdir().unwrap();
    let data = own.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut repositories = Vec::new();
    for (name, suite) in GOLDEN {
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(suite as u64));
        let clock: Arc<dyn Clock> = Arc::new(Steps((1_772_323_200 * 1_000_000_000).into()));
        make_empty(&place(name), suite, &clock, &entropy);
        repositories.push((name, clock, entropy));
    }
    let mut text = String::from("What the two snapshots in each golden repository hold; the password is `golden`.\n");
    for day in 1..=2 {
        state(&data, day);
        for line in describe(&data) {
            writeln!(text, "{day} {line}").unwrap();
        }
        for (name, clock, entropy) in &repositories {
            let repository = open(&place(name), clock.clone(), entropy.clone());
            let mut options = saving(&data);
            options.tag = vec![format!("day {day}")];
            create(&repository, options, &Silent).unwrap();
        }
    }
    for (name, clock, entropy) in &repositories {
        let repository = open(&place(name), clock.clone(), entropy.clone());
        // One snapshot is stored in another way, and the log is long enough for a checkpoint.
        let first = repository.state().snapshots[0].id;
        let options = PayloadOptions::default();
        assert!(keep_payloads(&repository, first, &options, &Silent).unwrap().replaced);
        while repository.state().next < 66 {
            repository.log().set_tags(first, &["day 1".into()]).unwrap();
        }
    }
    fs::write(place("content.txt"), text).unwrap();
    fs::write(place(".gitattributes"), "# Bytes matter here.\n** -text -diff\ncontent.txt text eol=lf diff\n").unwrap();
    for (name, ..) in &repositories {
        // Git keeps no empty folders, and they are not needed. The reserve is noise for full disks.
        remove_empty_folders(&place(name));
        let _ = fs::remove_file(place(name).join("reserve"));
        let size: usize = lab::files_of(&place(name)).values().map(Vec::len).sum();
        println!("{name}: {size} bytes");
        assert!(size as u64 <= MOST, "{name} is too large: {size} bytes");
    }
}

/// Makes a repository without snapshots, in place of what was there.
pub(crate) fn make_empty(root: &Path, suite: Suite, clock: &Arc<dyn Clock>, entropy: &Arc<dyn Entropy>) {
    let _ = fs::remove_dir_all(root);
    let backend: Arc<dyn Backend> = Arc::new(Local::new(root));
    let options = InitOptions::default()
        .encryption(suite)
        .password((suite != Suite::None).then(|| PASSWORD.to_vec()))
        .kdf(KdfCost { memory_kib: 1024, passes: 2, lanes: 4 })
        .label("golden");
    Repository::init(&backend, &options, &**clock, &**entropy).unwrap();
}

pub(crate) fn remove_empty_folders(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            remove_empty_folders(&path);
        }
    }
    // Fails where something is in it, as it should.
    let _ = fs::remove_dir(folder);
}

/// Made of the encrypted one as it is: `cargo test --test repository -- --ignored golden::make_rotated`.
#[test]
#[ignore = "makes the golden repository with rotated keys anew"]
fn make_rotated() {
    let (root, clock) = (place(ROTATED.0), Arc::new(Steps((1_772_409_600 * 1_000_000_000).into())));
    let _ = fs::remove_dir_all(&root);
    copy(&place(GOLDEN[0].0), &root);
    let mut repository = open(&root, clock, Arc::new(SeededEntropy::new(77)));
    let mut settings = Settings::default();
    settings.set_parity(50);
    repository.log().change_settings(&settings).unwrap();
    let leaving: Vec<_> = repository.keys().list().iter().map(|key| key.id).collect();
    let cost = KdfCost { memory_kib: 1024, passes: 2, lanes: 4 };
    repository.rotate_key(PASSWORD, cost, "golden", &leaving).unwrap();
    let options = PruneOptions::default().reencrypt(true).grace(Duration::ZERO);
    let report = prune(&repository, &options, &Silent).unwrap();
    assert!(report.written.packs > 0 && report.old_keys.packs == 0, "{report:?}");
    let _ = fs::remove_file(root.join("reserve"));
}

/// Made of the plain one as it is: `cargo test --test repository -- --ignored golden::make_parts`.
#[test]
#[ignore = "makes the golden repository with parts anew"]
fn make_parts() {
    let (root, source) = (place(PARTS.0), Path::new(SOURCE));
    for folder in [&*root, source] {
        let _ = fs::remove_dir_all(folder);
    }
    fs::create_dir_all(source).unwrap();
    copy(&place(GOLDEN[1].0), &root);
    let clock = Arc::new(Steps((1_772_582_400 * 1_000_000_000).into()));
    let repository = open(&root, clock, Arc::new(SeededEntropy::new(78)));
    state(source, 1);
    part_of(&repository, "done", 2, 2);
    part_of(&repository, "done", 1, 2);
    merge(&repository, &MergeOptions::new("done"), &Silent).unwrap();
    // So that the parent of the other run is the second snapshot.
    state(source, 2);
    let second = repository.state().snapshots[1].id;
    let options = saving(source).run("open").shard(Some(Shard::new(1, 3).unwrap())).parent(Some(second));
    create(&repository, options, &Silent).unwrap();
    fs::remove_dir_all(source).unwrap();
    // What the parts of the merged run alone needed goes.
    let options = PruneOptions::default().max_unused(MaxUnused::Bytes(0)).repack_small(true).grace(Duration::ZERO);
    prune(&repository, &options, &Silent).unwrap();
    remove_empty_folders(&root);
    let _ = fs::remove_file(root.join("reserve"));
    let size: usize = lab::files_of(&root).values().map(Vec::len).sum();
    println!("{size} bytes, {}", hash_of(&[PARTS.0]));
    assert!(size as u64 <= MOST, "too large: {size} bytes");
}
