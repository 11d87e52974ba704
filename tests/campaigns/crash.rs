//! The machine dies at every single operation that changes the repository, or one operation fails: what was
//! acknowledged is there, whole, and the work goes on without any repair.
//!
//! `SNAP_CRASH_MB=n` is the size of the interrupted create whose packs are counted (36 by default, which is three packs).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::lab;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use avro_gen::Random;
use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::error::{Error, Result};
use avro_snap::id::SnapshotId;
use avro_snap::ops::create::create;
use avro_snap::pack::read_pack;
use avro_snap::progress::Silent;
use avro_snap::storage::StorageErrorKind::{Other, UnknownOutcome};
use avro_snap::storage::{Backend, Kind, Memory};
use avro_snap::store::{CachePlace, InitOptions, Repository, SystemClock};
use faults::{Crashing, FailingOnce, Files, Moment, all_files, check_all, judge, objects_of, restored};
use lab::{CHEAP, Lab, PASSWORD, files_of, fixtures, saving};

const SUITES: [Suite; 2] = [Suite::Aes256Gcm, Suite::None];
const MOMENTS: [Moment; 2] = [Moment::Before, Moment::After];
const SECOND: &[u8] = b"the second password";

/// Two states of a folder, one after the other.
struct Days {
    own: tempfile::TempDir,
    states: [Files; 2],
}

fn days() -> Days {
    let own = tempfile::tempdir().unwrap();
    let (one, two) = (own.path().join("1"), own.path().join("2"));
    for day in [&one, &two] {
        fs::create_dir_all(day.join("below")).unwrap();
        fs::copy(fixtures("codecs/fastavro-null-1k.avro"), day.join("null.avro")).unwrap();
        fs::write(day.join("same"), vec![7; 3000]).unwrap();
        fs::write(day.join("text"), day.display().to_string().repeat(100)).unwrap();
    }
    fs::copy(fixtures("codecs/fastavro-deflate-level9.avro"), one.join("below/other.avro")).unwrap();
    fs::copy(fixtures("odd/stray-bytes.avro"), two.join("below/stray.avro")).unwrap();
    let states = [files_of(&one), files_of(&two)];
    Days { own, states }
}

impl Days {
    fn folder(&self, day: usize) -> std::path::PathBuf {
        self.own.path().join(["1", "2"][day])
    }
}

fn init(backend: &Arc<dyn Backend>, suite: Suite) -> Result<()> {
    let options = InitOptions::default()
        .encryption(suite)
        .password((suite != Suite::None).then(|| PASSWORD.to_vec()))
        .kdf(CHEAP)
        .label("crash");
    Repository::init(backend, &options, &SystemClock, &SystemEntropy).map(drop)
}

fn lab(backend: &Arc<dyn Backend>) -> Lab {
    Lab { backend: backend.clone(), cache: CachePlace::Temporary }
}

/// How far a workload came, by what was acknowledged.
#[derive(Debug, Default)]
struct Done {
    initialised: bool,
    snapshots: Vec<(SnapshotId, usize)>,
    key_added: bool,
}

/// init, create, create, key add, each as a process of its own. Goes on after a failure only if `stubborn`.
fn workload(backend: &Arc<dyn Backend>, suite: Suite, days: &Days, stubborn: bool) -> (Done, Option<Error>) {
    let mut done = Done::default();
    let mut failure = None;
    let mut note = |result: Result<()>| {
        let fine = result.is_ok();
        if let Err(error) = result {
            failure.get_or_insert(error);
        }
        fine || stubborn
    };
    let initialised = init(backend, suite);
    done.initialised = initialised.is_ok();
    let mut on = note(initialised);
    for day in 0..2 {
        if on {
            let saved =
                lab(backend).try_open().and_then(|repository| create(&repository, saving(&days.folder(day)), &Silent));
            done.snapshots.extend(saved.iter().map(|report| (report.snapshot.unwrap(), day)));
            on = note(saved.map(drop));
        }
    }
    if on && suite != Suite::None {
        let added = lab(backend).try_open().and_then(|repository| repository.keys().add(SECOND, CHEAP, "second"));
        done.key_added = added.is_ok();
        note(added.map(drop));
    }
    (done, failure)
}

/// After whatever happened: all is well without any repair, and what was acknowledged is there.
fn recovers(memory: &Arc<dyn Backend>, suite: Suite, done: &Done, days: &Days, what: &str) {
    let lab = lab(memory);
    if !done.initialised {
        // Who was told that there is no repository tries again. It must come to a repository, by the old try or the new.
        match init(memory, suite) {
            Ok(()) => {}
            Err(error @ Error::CannotInit { .. }) => {
                let opened = lab.try_open().map(drop);
                assert!(opened.is_ok(), "{what}: neither a repository nor none: {error}; {opened:?}");
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    let repository = lab.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
    let problems = check_all(&repository).unwrap().problems;
    assert!(problems.is_empty(), "{what}: {problems:?}");
    for (id, day) in &done.snapshots {
        assert_eq!(restored(&repository, *id, &days.states[*day]), Some(true), "{what}: day {day}");
    }
    // Those that nobody was told of are whole as well.
    for record in repository.state().snapshots.clone() {
        let files = all_files(&repository, record.id).unwrap_or_else(|| panic!("{what}: {} is not whole", record.id));
        assert!(days.states.contains(&files), "{what}: {} holds something else", record.id);
    }
    if done.key_added {
        repository.keys().find(SECOND).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    drop(repository);
    let report = create(&lab.open(), saving(&days.folder(1)), &Silent)
        .unwrap_or_else(|error| panic!("{what}: the next create: {error}"));
    let expected = BTreeMap::from([(report.snapshot.unwrap(), days.states[1].clone())]);
    let verdict = judge(&lab, &expected);
    assert!(!verdict.is_noticed() && verdict.restored.len() == 1, "{what}: {verdict:?}");
}

#[test]
fn death_at_any_operation_loses_nothing_that_was_acknowledged() {
    let days = days();
    for suite in SUITES {
        for moment in MOMENTS {
            let mut operations = 0;
            loop {
                let memory: Arc<dyn Backend> = Arc::new(Memory::new());
                let crashing = Arc::new(Crashing::dying(memory.clone(), operations, moment));
                let backend: Arc<dyn Backend> = crashing.clone();
                let (done, failure) = workload(&backend, suite, &days, false);
                let what = format!("{}, death {moment:?} operation {operations}", suite.name());
                assert_eq!(crashing.died(), failure.is_some(), "{what}: {failure:?}");
                recovers(&memory, suite, &done, &days, &what);
                if failure.is_none() {
                    assert_eq!(done.snapshots.len(), 2);
                    break;
                }
                operations += 1;
            }
            println!("{}: died {moment:?} each of {operations} operations", suite.name());
            assert!(operations >= 10, "{operations}");
        }
    }
}

#[test]
fn one_failed_operation_never_makes_a_false_success() {
    let days = days();
    for suite in SUITES {
        for (moment, kind) in [(Moment::Before, Other), (Moment::After, Other), (Moment::After, UnknownOutcome)] {
            let mut operations = 0;
            loop {
                let memory: Arc<dyn Backend> = Arc::new(Memory::new());
                let failing = Arc::new(FailingOnce::failing(memory.clone(), operations, moment, kind));
                let backend: Arc<dyn Backend> = failing.clone();
                // The others go on after the failure, as the next night would.
                let (done, _) = workload(&backend, suite, &days, true);
                let what = format!("{}, failure {moment:?} operation {operations}, {kind:?}", suite.name());
                recovers(&memory, suite, &done, &days, &what);
                if !failing.failed() {
                    break;
                }
                operations += 1;
            }
            println!("{}: each of {operations} operations failed once ({moment:?}, {kind:?})", suite.name());
        }
    }
}

#[test]
fn a_restore_or_a_check_during_which_one_operation_fails_tells_or_is_right() {
    let days = days();
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let (done, failure) = workload(&memory, Suite::Aes256Gcm, &days, false);
    assert!(failure.is_none());
    let mut operations = 0;
    loop {
        let failing = Arc::new(FailingOnce::failing(memory.clone(), operations, Moment::Before, Other));
        let backend: Arc<dyn Backend> = failing.clone();
        if let Ok(repository) = lab(&backend).try_open() {
            for (id, day) in &done.snapshots {
                // Panics on wrong bytes and on what is missing without a word.
                let _ = restored(&repository, *id, &days.states[*day]);
            }
            let _ = check_all(&repository);
        }
        if !failing.failed() {
            break;
        }
        operations += 1;
    }
    assert!(operations > 20, "{operations}");
}

/// Files that compress to nothing less, `megabytes` of them.
fn large(folder: &Path, megabytes: usize) {
    let mut random = Random::new(3);
    fs::create_dir_all(folder).unwrap();
    for n in 0..megabytes {
        let bytes: Vec<u8> = (0..1 << 17).flat_map(|_| random.next().to_le_bytes()).collect();
        fs::write(folder.join(format!("{n:03}")), bytes).unwrap();
    }
}

/// How many chunks all packs hold, indexed or not, and their plain bytes.
fn stored(repository: &Repository) -> (u64, u64) {
    let (mut chunks, mut bytes) = (0, 0);
    for (name, object) in objects_of(&**repository.backend()) {
        if name.kind() == Kind::Pack {
            let id = name.file().parse().unwrap();
            let info = read_pack(&id, &object, repository.id(), repository.keys().keyring().as_ref()).unwrap();
            chunks += info.directory.chunks.len() as u64;
            bytes += info.directory.chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
        }
    }
    (chunks, bytes)
}

#[test]
fn an_interrupted_create_that_is_run_again_does_not_store_packs_again() {
    let megabytes = faults::size("SNAP_CRASH_MB", 36);
    let own = tempfile::tempdir().unwrap();
    large(own.path(), megabytes);
    let files = files_of(own.path());
    for moment in MOMENTS {
        let mut operations = 0;
        loop {
            let lab = Lab::new(Suite::Aes256Gcm);
            let crashing = Arc::new(Crashing::dying(lab.backend.clone(), operations, moment));
            let dying = Lab { backend: crashing.clone(), cache: CachePlace::Temporary };
            let failure = create(&dying.open(), saving(own.path()), &Silent).err();
            let what = format!("death {moment:?} operation {operations}");
            assert_eq!(failure.is_some(), crashing.died(), "{what}: {failure:?}");
            let (chunks, bytes) = stored(&lab.open());
            let report = lab.save(own.path());
            assert_eq!(restored(&lab.open(), report.snapshot.unwrap(), &files), Some(true), "{what}");
            assert!(check_all(&lab.open()).unwrap().problems.is_empty(), "{what}");
            // No chunk is stored a second time but those of the manifest and the root, which are made anew.
            let (all_chunks, all_bytes) = stored(&lab.open());
            assert_eq!(all_chunks - chunks, report.chunks_new, "{what}");
            let again = all_bytes - ((megabytes as u64) << 20);
            assert!(again < 100_000, "{what}: {chunks} chunks, {bytes} bytes were stored before; {again} bytes again");
            if failure.is_none() {
                assert!(crashing.hook.packed.load(Ordering::SeqCst) >> 20 >= megabytes as u64);
                assert!(report.chunks_new < 5, "{report:?}");
                break;
            }
            operations += 1;
        }
        println!("{megabytes} MB, died {moment:?} each of {operations} operations");
        assert!(operations >= 3, "{operations}");
    }
}
