//! Snapshots stored again by runs that die at every operation that changes anything, and beside others that remove, prune and do the
//! same. Whatever happens, every snapshot comes back bit for bit, and a further run ends the work.
//!
//! `SNAP_RACE_STEP=n` tries every n-th moment only (10 by default).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::faults;
use crate::interrupted::Interrupted;
use crate::lab::{Lab, files_of, fixtures, saving};
use crate::small::{all_is_well, forget, init, lab, run_prune, thorough};
use crate::trouble::{Mishap, Trouble, copy_of};

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use avro_snap::crypto::Suite;
use avro_snap::error::Result;
use avro_snap::id::SnapshotId;
use avro_snap::ops::create::{Depth, create};
use avro_snap::ops::optimize::{OptimizeOptions, OptimizeReport, optimize};
use avro_snap::ops::select::Listing;
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, Memory};
use faults::Files;

/// Two nights, saved with all blocks kept whole.
fn scene() -> (Memory, BTreeMap<SnapshotId, Files>) {
    let memory = Memory::new();
    let lab = init(&(Arc::new(memory.clone()) as Arc<dyn Backend>), Suite::None);
    let (folder, mut expected) = (tempfile::tempdir().unwrap(), BTreeMap::new());
    for night in ["2026-03-01", "2026-03-02"] {
        for (from, to) in [
            (format!("nights/{night}/stations.avro"), "stations.avro"),
            (format!("nights/{night}/readings.avro"), "readings.avro"),
            ("codecs/fastavro-snappy.avro".into(), "same.avro"),
        ] {
            fs::copy(fixtures(&from), folder.path().join(to)).unwrap();
        }
        let options = saving(folder.path()).avro(Depth::Frame).force(true);
        let report = create(&lab.open(), options, &Silent).unwrap();
        expected.insert(report.snapshot.unwrap(), files_of(folder.path()));
    }
    (memory, expected)
}

/// Stores all snapshots again, with an entry for each file.
fn optimized(lab: &Lab) -> Result<OptimizeReport> {
    let repository = lab.try_open()?;
    let ids: Vec<SnapshotId> = Listing::read(&repository).snapshots.iter().map(|root| root.id).collect();
    let report = optimize(&repository, &ids, &OptimizeOptions::default().commit_every(Some(1)), &Silent)?;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    Ok(report)
}

/// How many blocks of all snapshots are kept whole.
fn raw(lab: &Lab) -> u64 {
    let repository = lab.open();
    let mut raw = 0;
    for root in Listing::read(&repository).snapshots {
        let mut rows = root.rows(&repository);
        while let Some(row) = rows.next_row().unwrap() {
            raw += row.avro.map_or(0, |facts| facts.blocks_raw);
        }
    }
    raw
}

/// A further run ends the work, and the one after it has nothing to do.
fn ends(lab: &Lab, expected: &BTreeMap<SnapshotId, Files>, what: &str) {
    all_is_well(lab, expected, what);
    optimized(lab).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(raw(lab), 0, "{what}");
    assert!(optimized(lab).unwrap().replaced.is_empty(), "{what}");
    run_prune(lab, &thorough()).unwrap();
    all_is_well(lab, expected, what);
}

#[test]
fn a_run_that_dies_loses_nothing_and_the_next_one_ends_it() {
    let (memory, expected) = scene();
    assert!(raw(&lab(&(Arc::new(memory.clone()) as Arc<dyn Backend>))) > 10);
    let mut committed = 0;
    for done in [false, true] {
        for operations in 0.. {
            let copy = copy_of(&memory);
            let troubled = Arc::new(Trouble::with(&copy, Mishap::Death { done }, operations));
            let told = optimized(&lab(&(troubled.clone() as Arc<dyn Backend>)));
            let what = format!("death at {operations}, done: {done}");
            let sound = lab(&(Arc::new(copy) as Arc<dyn Backend>));
            if !troubled.hit() {
                assert_eq!(told.unwrap().files, 5, "{what}");
                assert_eq!(raw(&sound), 0);
                println!("{what}: the end");
                break;
            }
            assert!(told.is_err(), "{what}");
            committed += u64::from((1..30).contains(&raw(&sound)));
            ends(&sound, &expected, &what);
        }
    }
    assert!(committed > 3, "{committed} runs had committed a part");
}

/// Comes in between at each moment of a run.
fn beside(
    expected: &BTreeMap<SnapshotId, Files>,
    memory: &Memory,
    inner: fn(&Lab, SnapshotId),
    removed: Option<SnapshotId>,
) {
    let first = *expected.keys().next().unwrap();
    let step = faults::size("SNAP_RACE_STEP", 10).max(1);
    let mut left = expected.clone();
    if let Some(removed) = removed {
        left.remove(&removed);
    }
    for moment in (0..).step_by(step) {
        let backend: Arc<dyn Backend> = Arc::new(copy_of(memory));
        let inside = backend.clone();
        let interrupted = Interrupted::at(&backend, moment, move || inner(&lab(&inside), first));
        let told = optimized(&lab(&(interrupted.clone() as Arc<dyn Backend>)));
        let what = format!("moment {moment}");
        let report = told.unwrap_or_else(|error| panic!("{what}: {error}"));
        if !interrupted.happened() {
            println!("{moment} moments, {report:?}");
            break;
        }
        ends(&lab(&backend), &left, &what);
    }
}

#[test]
fn a_snapshot_that_is_removed_and_pruned_meanwhile_is_passed_over() {
    let (memory, expected) = scene();
    let first = *expected.keys().next().unwrap();
    let removes = |lab: &Lab, first: SnapshotId| {
        forget(lab, &[first]).unwrap();
        run_prune(lab, &thorough()).unwrap();
        run_prune(lab, &thorough()).unwrap();
    };
    beside(&expected, &memory, removes, Some(first));
}

#[test]
fn two_runs_at_once_come_to_the_same() {
    let (memory, expected) = scene();
    let same = |lab: &Lab, _: SnapshotId| {
        optimized(lab).unwrap();
        run_prune(lab, &thorough()).unwrap();
        run_prune(lab, &thorough()).unwrap();
    };
    beside(&expected, &memory, same, None);
}
