//! A storage that is full, in memory: what prune does without any room, and where it is interrupted there.
//! (`tests/program/full_disk.rs` has real file systems.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use crate::avro_gen;
use crate::faults;
use crate::hooked::{Hooked, Op, injected};
use crate::lab;
use crate::small;
use crate::trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use avro_gen::Random;
use avro_snap::crypto::Suite;
use avro_snap::id::SnapshotId;
use avro_snap::ops::prune::{PruneReport, prune_without_room};
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, Kind, Memory, StorageErrorKind};
use faults::Files;
use lab::Lab;
use small::{all_is_well, forget, init, noise, run_prune, save, thorough, try_open};
use trouble::{Mishap, Trouble, copy_of};

fn used(memory: &Memory) -> u64 {
    Kind::ALL.into_iter().flat_map(|kind| memory.list_all(kind).unwrap()).map(|meta| meta.size).sum()
}

/// A storage for so many bytes and no more.
fn small_storage(inner: &Memory, most: u64) -> Arc<dyn Backend> {
    let memory = inner.clone();
    let hook = move |op: Op<'_>| match op {
        Op::Put(name, bytes) if memory.size(name)?.is_none() && used(&memory) + bytes.len() as u64 > most => {
            Err(injected(StorageErrorKind::NoSpace))
        }
        _ => Ok(()),
    };
    Arc::new(Hooked::new(Arc::new(inner.clone()), hook))
}

/// A repository with two snapshots that have nothing in common, of which the first was forgotten; and one of three files
/// that shares a file with it.
fn sample(suite: Suite) -> (Memory, BTreeMap<SnapshotId, Files>) {
    let memory = Memory::new();
    let backend: Arc<dyn Backend> = Arc::new(memory.clone());
    let lab = init(&backend, suite);
    let mut random = Random::new(3);
    let first = noise(&mut random, 4, 9_000);
    let forgotten = save(&lab, &first).unwrap();
    let second = noise(&mut random, 4, 9_000);
    let mut third = noise(&mut random, 2, 9_000);
    third.extend(first.into_iter().take(1).map(|(_, bytes)| ("shared".into(), bytes)));
    let kept = [second, third].map(|files| (save(&lab, &files).unwrap(), files));
    forget(&lab, &[forgotten]).unwrap();
    (memory, kept.into())
}

fn full(memory: &Memory) -> (Memory, Lab) {
    let inner = copy_of(memory);
    let most = used(&inner);
    let lab = small::lab(&small_storage(&inner, most));
    (inner, lab)
}

fn recover(lab: &Lab) -> avro_snap::error::Result<PruneReport> {
    prune_without_room(&try_open(lab)?, &thorough(), &Silent)
}

#[test]
fn what_is_condemned_goes_without_a_free_byte_and_all_the_rest_follows() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let (memory, kept) = sample(suite);
        let condemned = small::lab(&(Arc::new(memory.clone()) as Arc<dyn Backend>));
        run_prune(&condemned, &thorough().grace(Duration::from_secs(3600))).unwrap();
        let (inner, lab) = full(&memory);
        let before = used(&inner);
        let report = run_prune(&lab, &thorough()).unwrap();
        assert!(report.swept.packs > 0 && !report.without_room, "{report:?}");
        assert!(used(&inner) + 20_000 < before, "{} of {before}", used(&inner));
        all_is_well(&lab, &kept, suite.name());
    }
}

#[test]
fn where_nothing_is_condemned_a_full_store_stays_as_it_is_until_that_is_asked_for() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let (memory, kept) = sample(suite);
        let (inner, lab) = full(&memory);
        let before = faults::objects_of(&inner);
        // Random keys decide whether a pack holds nothing but what goes. Its entry does not fit; else a copy does not.
        match run_prune(&lab, &thorough()) {
            Err(error) => assert!(error.is_full(), "{error}"),
            Ok(report) => assert!(report.without_room && report.condemned.packs == 0, "{report:?}"),
        }
        assert_eq!(before, faults::objects_of(&inner));
        let report = recover(&lab).unwrap();
        if report.without_room {
            // With these keys no pack holds only what goes: nothing can be deleted before something is copied.
            assert_eq!(before, faults::objects_of(&inner), "{report:?}");
            continue;
        }
        assert!(used(&inner) + 20_000 < used(&memory));
        all_is_well(&lab, &kept, suite.name());
        // What was partly needed was copied as well, once there was room.
        let again = run_prune(&lab, &thorough()).unwrap();
        assert_eq!((again.condemned.packs, again.written.packs, again.swept.packs), (0, 0, 0), "{again:?}");
    }
}

#[test]
fn whoever_dies_while_room_is_made_by_all_means_loses_no_snapshot() {
    let (memory, kept) = sample(Suite::None);
    let mut deaths = 0;
    for done in [false, true] {
        for operation in 0.. {
            let storage = copy_of(&memory);
            let trouble = Arc::new(Trouble::with(&storage, Mishap::Death { done }, operation));
            let told = recover(&small::lab(&(trouble.clone() as Arc<dyn Backend>)));
            if !trouble.hit() {
                told.unwrap();
                break;
            }
            deaths += 1;
            let what = format!("death at operation {operation}, done: {done}");
            let lab = small::lab(&(Arc::new(storage) as Arc<dyn Backend>));
            for (id, files) in &kept {
                let restored = faults::restored(&small::open(&lab), *id, files);
                assert_eq!(restored, Some(true), "{what}: {id}");
            }
            run_prune(&lab, &thorough()).unwrap_or_else(|error| panic!("{what}: {error}"));
            all_is_well(&lab, &kept, &what);
        }
    }
    assert!(deaths > 20, "{deaths}");
}
