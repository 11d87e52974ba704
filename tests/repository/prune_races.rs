//! Prunes beside writers and other prunes, at every step of each other; prunes that die at every operation; listings that
//! lie. Whatever happens, every snapshot that was acknowledged comes back bit for bit, and nobody has to repair anything.
//!
//! `SNAP_RACE_STEP=n` tries every n-th moment only (1 by default).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::hooked::{Hook, Hooked};
use crate::interrupted::Interrupted;
use crate::lab;
use crate::small;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avro_gen::Random;
use avro_snap::crypto::Suite;
use avro_snap::error::{Error, Result};
use avro_snap::id::SnapshotId;
use avro_snap::ops::check::{CheckOptions, DataSubset, check};
use avro_snap::ops::prune::PruneOptions;
use avro_snap::ops::repair::{PackRepairOptions, SnapshotRepairOptions, repair_index, repair_packs, repair_snapshots};
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, Kind, Memory, Name, ObjectMeta, StorageErrorKind};
use faults::{Crashing, FailingOnce, Files, Moment, memory_of, objects_of};
use lab::Lab;
use small::{all_is_well, count, forget, init, lab, noise, run_prune, save, thorough};

/// A repository with two snapshots that share much, of which the first is removed; and what a third will hold: much of the
/// first, which nothing else needs.
struct Scene {
    objects: BTreeMap<Name, Vec<u8>>,
    kept: (SnapshotId, Files),
    next: Files,
}

fn scene(suite: Suite) -> Scene {
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let lab = init(&backend, suite);
    let mut random = Random::new(11);
    let mut files = noise(&mut random, 3, 5_000);
    let first = save(&lab, &files).unwrap();
    let mut next = files.clone();
    files.remove(std::path::Path::new("file-1"));
    files.extend([("other".into(), noise(&mut random, 1, 3_000).into_values().next().unwrap())]);
    let second = save(&lab, &files).unwrap();
    forget(&lab, &[first]).unwrap();
    next.extend([("third".into(), noise(&mut random, 1, 3_000).into_values().next().unwrap())]);
    Scene { objects: objects_of(&*backend), kept: (second, files), next }
}

impl Scene {
    fn begin(&self) -> (Arc<dyn Backend>, BTreeMap<SnapshotId, Files>) {
        let backend: Arc<dyn Backend> = Arc::new(memory_of(&self.objects));
        (backend, BTreeMap::from([self.kept.clone()]))
    }
}

fn steps() -> usize {
    faults::size("SNAP_RACE_STEP", 1).max(1)
}

/// Prunes, and nothing is called lost: it was only moved.
fn prunes(lab: &Lab, options: &PruneOptions) -> Result<Option<SnapshotId>> {
    let report = run_prune(lab, options)?;
    assert_eq!(report.lost_chunks, 0, "{options:?}");
    Ok(None)
}

fn waiting() -> PruneOptions {
    thorough().grace(Duration::from_secs(86_400))
}

/// Runs `outer`, with `inner` coming in before its n-th operation, for every n. Gives how many of the outer ones failed
/// because a prune had deleted what they needed.
fn at_every_step(
    scene: &Scene,
    what: &str,
    outer: impl Fn(&Lab) -> Result<Option<SnapshotId>>,
    inner: impl Fn(&Lab) -> Result<Option<SnapshotId>> + Send + Sync + Clone + 'static,
) -> usize {
    let (mut moment, mut failed) = (0, 0);
    loop {
        let (backend, mut expected) = scene.begin();
        let added = Arc::new(Mutex::new(None));
        let interrupted = {
            let (backend, added, inner) = (backend.clone(), added.clone(), inner.clone());
            let what = format!("{what}, interrupted at {moment}");
            Interrupted::at(&backend.clone(), moment, move || {
                *added.lock().unwrap() = match inner(&lab(&backend)) {
                    Err(Error::Pruned { .. }) => None,
                    done => done.unwrap_or_else(|error| panic!("{what}: the one inside: {error}")),
                }
            })
        };
        let what = format!("{what}, interrupted at {moment}");
        let shown: Arc<dyn Backend> = interrupted.clone();
        match outer(&lab(&shown)) {
            Ok(snapshot) => expected.extend(snapshot.map(|id| (id, scene.next.clone()))),
            Err(Error::Pruned { .. }) => failed += 1,
            Err(error) => panic!("{what}: {error}"),
        }
        let happened = interrupted.happened();
        expected.extend(added.lock().unwrap().take().map(|id| (id, scene.next.clone())));
        all_is_well(&lab(&backend), &expected, &what);
        // Whoever comes next finds all in order, and frees what is left.
        run_prune(&lab(&backend), &thorough()).unwrap_or_else(|error| panic!("{what}: {error}"));
        all_is_well(&lab(&backend), &expected, &what);
        let again = run_prune(&lab(&backend), &thorough().dry_run(true)).unwrap();
        assert_eq!(again.unused_bytes_left, 0, "{what}");
        if !happened {
            assert!(moment > 10, "{what}: the last moment");
            println!("{what}: {moment} moments");
            return failed;
        }
        moment += steps();
    }
}

#[test]
fn a_prune_at_every_step_of_a_writer() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let scene = scene(suite);
        let write = |next: Files| move |lab: &Lab| save(lab, &next).map(Some);
        // The packs stay for a day: the writer copies what it borrowed of them.
        let failed = at_every_step(&scene, "writer, prune with a grace", write(scene.next.clone()), |lab| {
            prunes(lab, &waiting())
        });
        assert_eq!(failed, 0, "everything that was condemned was still there");
        // They are deleted at once: the writer may have to give up, but says so.
        at_every_step(&scene, "writer, prune without a grace", write(scene.next.clone()), |lab| {
            prunes(lab, &thorough())
        });
    }
}

#[test]
fn a_writer_at_every_step_of_a_prune() {
    let scene = scene(Suite::None);
    let next = scene.next.clone();
    let failed =
        at_every_step(&scene, "prune, writer", |lab| prunes(lab, &thorough()), move |lab| save(lab, &next).map(Some));
    assert_eq!(failed, 0);
}

#[test]
fn a_prune_at_every_step_of_a_prune() {
    let scene = scene(Suite::None);
    for (outer, inner) in [(thorough(), thorough()), (waiting(), thorough()), (thorough(), waiting())] {
        at_every_step(
            &scene,
            &format!("prune of {:?}, prune of {:?}", outer.grace, inner.grace),
            |lab| prunes(lab, &outer),
            move |lab| prunes(lab, &inner),
        );
    }
}

/// Looks for damage in one of four ways. There is none, whatever was moved on the way.
fn finds_nothing(lab: &Lab, way: usize) -> Result<Option<SnapshotId>> {
    let repository = &small::try_open(lab)?;
    let (accept_missing_packs, dry_run) = (false, false);
    let found = match way {
        0 => {
            let (read_data, forget, rewrite) = (true, true, true);
            let options = SnapshotRepairOptions::default()
                .read_data(read_data)
                .forget(forget)
                .rewrite(rewrite)
                .accept_missing_packs(accept_missing_packs)
                .dry_run(dry_run);
            let repair = repair_snapshots(repository, &options, &Silent, &mut |_| Ok(()))?;
            repair.damaged.len() + repair.recorded.len()
        }
        1 => {
            let options = PackRepairOptions::default().accept_missing_packs(accept_missing_packs).dry_run(dry_run);
            repair_packs(repository, &options, &Silent)?.damaged.len()
        }
        2 => match repair_index(repository, true, dry_run, &Silent) {
            // The prune took the new objects for what somebody left, and it says so.
            Err(Error::Busy { .. }) => 0,
            repaired => repaired?.unsound.len(),
        },
        _ => check(repository, CheckOptions::reading(DataSubset::All), &Silent)?.problems.len(),
    };
    assert_eq!(found, 0, "way {way}");
    Ok(None)
}

#[test]
fn repairs_and_checks_find_nothing_at_any_step_of_a_prune_nor_beside_it() {
    let scene = scene(Suite::None);
    // Most packs are put into others, and those that were there are gone.
    let all_anew = thorough().repack_small(true);
    for way in 0..4 {
        let prune = all_anew.clone();
        at_every_step(
            &scene,
            &format!("way {way}, prune"),
            |lab| finds_nothing(lab, way),
            move |lab| prunes(lab, &prune),
        );
    }
    for way in 0..3 {
        at_every_step(
            &scene,
            &format!("prune, way {way}"),
            |lab| prunes(lab, &all_anew),
            move |lab| finds_nothing(lab, way),
        );
    }
}

#[test]
fn a_snapshot_that_is_forgotten_and_pruned_at_every_step_of_its_child() {
    // The child takes over rows of its parent without reading the files: nothing but the parent holds what they need.
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let own = faults::quick_folder();
    let mut random = Random::new(12);
    let files = noise(&mut random, 3, 5_000);
    small::write_all(own.path(), &files);
    // Files that were written just now are read again in any case.
    std::thread::sleep(Duration::from_millis(2_100));
    let saved = |lab: &Lab, folder: &std::path::Path| {
        let options = lab::saving(folder).ignore_ctime(true);
        avro_snap::ops::create::create(&small::try_open(lab)?, options, &avro_snap::progress::Silent)
    };
    let parent = saved(&init(&backend, Suite::None), own.path()).unwrap().snapshot.unwrap();
    let objects = objects_of(&*backend);
    for grace in [waiting(), thorough()] {
        let (mut moment, mut failed, mut unmodified) = (0, 0, 0);
        loop {
            let backend: Arc<dyn Backend> = Arc::new(memory_of(&objects));
            let interrupted = {
                let (backend, grace) = (backend.clone(), grace.clone());
                Interrupted::at(&backend.clone(), moment, move || {
                    forget(&lab(&backend), &[parent]).unwrap();
                    run_prune(&lab(&backend), &grace).unwrap();
                })
            };
            let shown: Arc<dyn Backend> = interrupted.clone();
            let what = format!("grace {:?}, moment {moment}", grace.grace);
            let mut expected = BTreeMap::new();
            match saved(&lab(&shown), own.path()) {
                Ok(report) => {
                    unmodified += usize::from(report.files_unmodified == 3);
                    expected.insert(report.snapshot.unwrap(), files.clone());
                }
                Err(Error::Pruned { .. }) => failed += 1,
                // It was opened by its old index, or a file is read again in vain: said, and no snapshot.
                Err(error) => panic!("{what}: {error}"),
            }
            let happened = interrupted.happened();
            all_is_well(&lab(&backend), &expected, &what);
            if !happened {
                break;
            }
            moment += steps();
        }
        println!("grace {:?}: {moment} moments, {failed} without, {unmodified} with files not read", grace.grace);
        // Without grace, the last time only: nobody comes in between then.
        assert!(unmodified > usize::from(!grace.grace.is_zero()), "{unmodified}");
        assert!(!grace.grace.is_zero() && failed == 0 || grace.grace.is_zero() && failed > 0);
    }
}

#[test]
fn a_prune_that_dies_at_any_operation_leaves_nothing_to_repair() {
    let scene = scene(Suite::Aes256Gcm);
    for options in [thorough(), waiting()] {
        for moment in [Moment::Before, Moment::After] {
            let mut operations = 0;
            loop {
                let (backend, mut expected) = scene.begin();
                let crashing = Arc::new(Crashing::dying(backend.clone(), operations, moment));
                let shown: Arc<dyn Backend> = crashing.clone();
                let pruned = run_prune(&lab(&shown), &options);
                let what = format!("grace {:?}, death {moment:?} operation {operations}", options.grace);
                assert_eq!(pruned.is_err(), crashing.died(), "{what}: {pruned:?}");
                all_is_well(&lab(&backend), &expected, &what);
                let id = save(&lab(&backend), &scene.next).unwrap_or_else(|error| panic!("{what}: {error}"));
                expected.insert(id, scene.next.clone());
                run_prune(&lab(&backend), &thorough()).unwrap_or_else(|error| panic!("{what}: {error}"));
                all_is_well(&lab(&backend), &expected, &what);
                let left = run_prune(&lab(&backend), &thorough().dry_run(true)).unwrap();
                assert_eq!((left.unused_bytes_left, left.bytes_before), (0, count(&backend, Kind::Pack).1), "{what}");
                if !crashing.died() {
                    break;
                }
                operations += 1;
            }
            assert!(operations > 2, "{operations}");
        }
    }
}

#[test]
fn an_operation_that_fails_once_never_loses_anything() {
    let scene = scene(Suite::None);
    for moment in [Moment::Before, Moment::After] {
        for kind in [StorageErrorKind::Other, StorageErrorKind::UnknownOutcome] {
            let mut operations = 0;
            loop {
                let (backend, expected) = scene.begin();
                let failing = Arc::new(FailingOnce::failing(backend.clone(), operations, moment, kind));
                let shown: Arc<dyn Backend> = failing.clone();
                let _ = run_prune(&lab(&shown), &thorough());
                let what = format!("{moment:?} operation {operations}");
                all_is_well(&lab(&backend), &expected, &what);
                run_prune(&lab(&backend), &thorough()).unwrap_or_else(|error| panic!("{what}: {error}"));
                all_is_well(&lab(&backend), &expected, &what);
                if !failing.failed() {
                    break;
                }
                operations += steps();
            }
        }
    }
}

/// Listings of one kind show nothing, or only every other object.
#[derive(Debug)]
struct Forgetful {
    kind: Kind,
    every_other: bool,
    number: AtomicUsize,
}

impl Hook for Forgetful {
    fn shows(&self, meta: &ObjectMeta) -> bool {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        meta.name.kind() != self.kind || (self.every_other && number.is_multiple_of(2))
    }
}

#[test]
fn listings_that_show_nothing_or_too_little_lose_nothing() {
    let scene = scene(Suite::None);
    for kind in Kind::ALL {
        for every_other in [false, true] {
            let (backend, mut expected) = scene.begin();
            let shown: Arc<dyn Backend> =
                Arc::new(Hooked::new(backend.clone(), Forgetful { kind, every_other, number: 0.into() }));
            let what = format!("{kind:?}, every other: {every_other}");
            let _ = run_prune(&lab(&shown), &thorough());
            all_is_well(&lab(&backend), &expected, &what);
            if let Ok(id) = save(&lab(&shown), &scene.next) {
                expected.insert(id, scene.next.clone());
            }
            let _ = run_prune(&lab(&shown), &thorough());
            all_is_well(&lab(&backend), &expected, &what);
        }
    }
}

#[test]
fn an_index_object_that_is_lost_costs_nothing() {
    let scene = scene(Suite::None);
    for options in [thorough(), waiting()] {
        let (backend, expected) = scene.begin();
        for meta in backend.list_all(Kind::Index).unwrap() {
            backend.delete(&meta.name).unwrap();
        }
        prunes(&lab(&backend), &options).unwrap();
        all_is_well(&lab(&backend), &expected, "the packs themselves said what is in them");
    }
}

#[test]
fn a_restore_that_runs_while_packs_are_deleted_finds_what_was_moved() {
    let scene = scene(Suite::None);
    let (id, files) = scene.kept.clone();
    let failed = at_every_step(
        &scene,
        "restore, prune",
        |lab| {
            let repository = lab.try_open()?;
            assert_eq!(faults::restored(&repository, id, &files), Some(true));
            Ok(None)
        },
        |lab| prunes(lab, &thorough()),
    );
    assert_eq!(failed, 0);
}
