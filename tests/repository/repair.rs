//! Each object of a repository in turn is lost, changed or cut off; then all repairs are made. Whatever is sound must come
//! back bit for bit, what is lost must be told, and the next backup must work and be whole.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::faults;
use crate::lab;

use std::collections::BTreeMap;
use std::sync::Arc;

use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use avro_snap::id::SnapshotId;
use avro_snap::ops::recover::{bring_back, bring_back_and_mend, find_snapshots};
use avro_snap::ops::repair::{PackRepairOptions, SnapshotRepairOptions, repair_index, repair_packs, repair_snapshots};
use avro_snap::ops::restore::restore;
use avro_snap::progress::Silent;
use avro_snap::storage::{Kind, Memory, Name};
use avro_snap::store::{CachePlace, OpenOptions, Repository, Unlock, rebuild_log};
use faults::{check_all, memory_of, objects_of, quick_folder, restored};
use lab::{Lab, PASSWORD, files_of, fixtures, restoring};

type Files = BTreeMap<std::path::PathBuf, Vec<u8>>;

/// Two snapshots, the second of which shares much with the first.
fn saved(suite: Suite) -> (Memory, Vec<(SnapshotId, Files)>, tempfile::TempDir) {
    let memory = Memory::new();
    let lab = Lab::on(Arc::new(memory.clone()), suite);
    let folder = quick_folder();
    let mut snapshots = Vec::new();
    for night in ["2026-03-01", "2026-03-02"] {
        let nights = fixtures("nights").join(night);
        std::fs::copy(nights.join("orders.avro"), folder.path().join("orders.avro")).unwrap();
        std::fs::write(folder.path().join("plain"), night.repeat(3000)).unwrap();
        let report = lab.save(folder.path());
        snapshots.push((report.snapshot.unwrap(), files_of(folder.path())));
    }
    (memory, snapshots, folder)
}

fn open_broken(memory: &Memory) -> Result<(Repository, Option<avro_snap::store::LogDamage>), Error> {
    let options = OpenOptions::default();
    Repository::open_broken(Arc::new(memory.clone()), Unlock::Password(&mut || Ok(PASSWORD.to_vec())), &options)
}

fn harms(bytes: &[u8]) -> Vec<(&'static str, Option<Vec<u8>>)> {
    let flipped = |at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 16;
        Some(bytes)
    };
    vec![
        ("lost", None),
        ("empty", Some(Vec::new())),
        ("cut off", Some(bytes[..bytes.len() / 2].to_vec())),
        ("its head changed", flipped(20)),
        ("its middle changed", flipped(bytes.len() / 2)),
        ("its end changed", flipped(bytes.len() - 20)),
    ]
}

fn repair_all(memory: &Memory, what: &str) {
    let (repository, damage) = open_broken(memory).unwrap();
    let found = find_snapshots(&repository, &Silent).unwrap();
    if let Some(damage) = damage {
        let lost = found.candidates.iter().filter(|candidate| candidate.is_whole());
        bring_back_and_mend(&repository, &damage, lost).unwrap_or_else(|error| panic!("{what}: {error}"));
    } else {
        // The last entry is gone: without a remembered head the log looks whole.
        bring_back(&repository, &found.candidates).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    drop(repository);
    let lab = Lab { backend: Arc::new(memory.clone()), cache: CachePlace::Temporary };
    repair_index(&lab.open(), false, false, &Silent).unwrap_or_else(|error| panic!("{what}: {error}"));
    let packs = PackRepairOptions::default();
    repair_packs(&lab.open(), &packs, &Silent).unwrap_or_else(|error| panic!("{what}: {error}"));
    let options = SnapshotRepairOptions::default().read_data(true);
    repair_snapshots(&lab.open(), &options, &Silent, &mut |_| Ok(())).unwrap_or_else(|error| panic!("{what}: {error}"));
}

#[test]
fn whatever_object_is_harmed_what_is_sound_comes_back() {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let (memory, snapshots, folder) = saved(suite);
        let objects = objects_of(&memory);
        let mut whole = 0;
        for (name, bytes) in &objects {
            if matches!(name.kind(), Kind::Config | Kind::Key) {
                continue;
            }
            for (harm, changed) in harms(bytes) {
                let what = format!("{name} {harm}, {suite:?}");
                let mut objects = objects.clone();
                match changed {
                    Some(changed) => drop(objects.insert(name.clone(), changed)),
                    None => drop(objects.remove(name)),
                }
                let memory = memory_of(&objects);
                repair_all(&memory, &what);
                let lab = Lab { backend: Arc::new(memory), cache: CachePlace::Temporary };
                let repository = lab.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
                for (id, files) in &snapshots {
                    // Wrong bytes and silence make this panic.
                    let came = restored(&repository, *id, files);
                    whole += u32::from(came == Some(true));
                    let is_data = name.kind() == Kind::Pack;
                    assert!(is_data || came == Some(true), "{what}: {id} {came:?}");
                }
                let problems = check_all(&repository).unwrap();
                assert!(name.kind() == Kind::Pack || problems.problems.is_empty(), "{what}: {:?}", problems.problems);
                assert_eq!(problems.lost_indexes, 0, "{what}");
                drop(repository);
                let again = lab.save(folder.path()).snapshot.unwrap();
                let repository = lab.open();
                assert_eq!(restored(&repository, again, &files_of(folder.path())), Some(true), "{what}");
                let lost = check_all(&repository).unwrap().lost;
                assert!(lost.iter().all(|lost| lost.snapshot() != again), "{what}: {lost:?}");
            }
        }
        assert!(whole > 60, "{whole}");
    }
}

#[test]
fn a_snapshot_that_was_removed_is_found_as_such_and_comes_back_only_if_asked_for() {
    let (memory, snapshots, _folder) = saved(Suite::Aes256Gcm);
    let lab = Lab { backend: Arc::new(memory.clone()), cache: CachePlace::Temporary };
    lab.open().log().remove_snapshots(&[snapshots[0].0], &[]).unwrap();
    let (repository, damage) = open_broken(&memory).unwrap();
    assert!(damage.is_none());
    let found = find_snapshots(&repository, &Silent).unwrap();
    assert_eq!((found.candidates.len(), found.known), (1, 1));
    assert!(found.candidates[0].forgotten && found.candidates[0].is_whole());
    bring_back(&repository, &found.candidates).unwrap();
    assert_eq!(restored(&lab.open(), snapshots[0].0, &snapshots[0].1), Some(true));
    assert!(find_snapshots(&repository, &Silent).unwrap().candidates.is_empty());
    assert!(bring_back(&repository, &found.candidates).is_err(), "it is there already");
}

#[test]
fn a_log_that_this_version_does_not_know_is_left_alone() {
    let (memory, _, _folder) = saved(Suite::None);
    let before = objects_of(&memory);
    let last = before.keys().filter(|name| name.kind() == Kind::Log).max().unwrap().clone();
    let mut objects = before;
    objects.insert(Name::log(99), b"something from the future".to_vec());
    objects.remove(&last);
    let memory = memory_of(&objects);
    let (repository, damage) = open_broken(&memory).unwrap();
    let damage = damage.unwrap();
    assert_eq!((damage.after, damage.unreadable), (0, 1));
    rebuild_log(&repository, &damage, &[]).unwrap();
    let found = find_snapshots(&repository, &Silent).unwrap();
    assert_eq!(found.candidates.len(), 1);
}

#[test]
fn salvage_of_a_sound_snapshot_is_a_restore() {
    let (memory, snapshots, _folder) = saved(Suite::Aes256Gcm);
    let lab = Lab { backend: Arc::new(memory), cache: CachePlace::Temporary };
    let (repository, target) = (lab.open(), quick_folder());
    let options = restoring(target.path()).salvage(true);
    let report = restore(&repository, &lab.last(&repository), &options, &Silent).unwrap();
    assert!(report.failed.is_empty() && report.salvaged.is_empty());
    assert!(files_of(target.path()) == snapshots[1].1);
}
