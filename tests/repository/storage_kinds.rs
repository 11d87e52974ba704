//! What follows from each kind of failure of the storage, and what is asked of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::avro_gen;
use crate::hooked::{Hook, Hooked, Op, injected};
use crate::lab;
use crate::sim_store::SimStore;
use crate::small;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use avro_gen::Random;
use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::error::Error;
use avro_snap::ops::create::create;
use avro_snap::progress::Silent;
use avro_snap::storage::{self, Backend, Kind, Memory, Meter, Name, StorageErrorKind};
use avro_snap::store::{InitOptions, Repository, SystemClock};
use lab::{Lab, saving};
use small::{forget, init, noise, run_prune, save, thorough, write_all};

/// After a while, everything fails.
struct Outage {
    kind: StorageErrorKind,
    after: fn(Op<'_>) -> bool,
    came: AtomicBool,
}

impl Hook for Outage {
    fn before(&self, _: Op<'_>) -> storage::Result<()> {
        match self.came.load(Ordering::SeqCst) {
            true => Err(injected(self.kind)),
            false => Ok(()),
        }
    }

    fn after(&self, op: Op<'_>) -> storage::Result<()> {
        self.came.fetch_or((self.after)(op), Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn a_snapshot_that_exists_is_reported_as_made_whatever_the_storage_does_from_then_on() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    init(&memory, Suite::Aes256Gcm);
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), &noise(&mut Random::new(1), 3, 5_000));
    for kind in [StorageErrorKind::Unavailable, StorageErrorKind::Other, StorageErrorKind::UnknownOutcome] {
        let is_entry = |op: Op<'_>| matches!(op, Op::Put(name, _) if name.kind() == Kind::Log);
        let outage = Outage { kind, after: is_entry, came: AtomicBool::new(false) };
        let hooked: Arc<dyn Backend> = Arc::new(Hooked::new(memory.clone(), outage));
        let report = create(&small::open(&small::lab(&hooked)), saving(folder.path()), &Silent);
        let report = report.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        let there = small::lab(&memory).open().state().snapshots.clone();
        assert_eq!(there.last().map(|record| record.id), report.snapshot);
        assert!(report.bytes_added > 0);
    }
}

/// Says how many bytes all objects have.
fn bytes_of(backend: &Arc<dyn Backend>) -> u64 {
    Kind::ALL.into_iter().map(|kind| small::count(backend, kind).1).sum()
}

#[test]
fn what_a_snapshot_added_is_said_to_the_byte() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let lab = init(&memory, Suite::Aes256Gcm);
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), &noise(&mut Random::new(2), 3, 5_000));
    let before = bytes_of(&memory);
    let report = create(&small::open(&lab), saving(folder.path()), &Silent).unwrap();
    assert_eq!(report.bytes_added, bytes_of(&memory) - before);
}

/// Reads of one object fail; they are counted.
struct Unreadable {
    kind: StorageErrorKind,
    object: Name,
    reads: AtomicUsize,
}

impl Hook for Arc<Unreadable> {
    fn before(&self, op: Op<'_>) -> storage::Result<()> {
        match op {
            Op::Read(name, _) if *name == self.object => {
                self.reads.fetch_add(1, Ordering::SeqCst);
                Err(injected(self.kind))
            }
            _ => Ok(()),
        }
    }
}

#[test]
fn a_network_that_is_gone_is_not_asked_for_every_sector() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let options = InitOptions::default().encryption(Suite::None).kdf(lab::CHEAP).parity(50u32);
    Repository::init(&memory, &options, &SystemClock, &SystemEntropy).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), &noise(&mut Random::new(3), 1, 1_500_000));
    let lab = small::lab(&memory);
    lab.save(folder.path());
    let packs = memory.list_all(Kind::Pack).unwrap();
    let object = packs.into_iter().max_by_key(|meta| meta.size).unwrap().name;
    for (kind, few) in [
        (StorageErrorKind::Unavailable, true),
        (StorageErrorKind::Denied, true),
        (StorageErrorKind::Throttled, true),
        (StorageErrorKind::BadMedium, false),
    ] {
        let unreadable = Arc::new(Unreadable { kind, object: object.clone(), reads: AtomicUsize::new(0) });
        let backend: Arc<dyn Backend> = Arc::new(Hooked::new(memory.clone(), unreadable.clone()));
        let repository = Lab { backend, ..lab.clone() }.open();
        let info = repository.catalog().index().find_pack(&object.file().parse().unwrap()).unwrap().unwrap();
        let cipher = repository.packs().cipher_of(&info).unwrap();
        let error = repository.packs().unseal(&info, &cipher, 0, false).unwrap_err();
        assert!(matches!(&error, Error::Storage(error) if error.kind() == kind), "{error}");
        assert!(!error.is_damage());
        let reads = unreadable.reads.load(Ordering::SeqCst);
        assert_eq!(reads <= 2, few, "{kind:?}: {reads} reads");
    }
}

#[test]
fn a_prune_asks_for_no_object_that_a_listing_has_told_of() {
    let store = Arc::new(SimStore::new(1, 1));
    let backend: Arc<dyn Backend> = store.clone();
    let lab = init(&backend, Suite::None);
    let mut random = Random::new(4);
    let first = save(&lab, &noise(&mut random, 20, 5_000)).unwrap();
    save(&lab, &noise(&mut random, 20, 5_000)).unwrap();
    forget(&lab, &[first]).unwrap();
    // Packs that no index object names: of each it has to be known how old it is.
    for meta in backend.list_all(Kind::Index).unwrap() {
        backend.delete(&meta.name).unwrap();
    }
    assert!(backend.list_all(Kind::Pack).unwrap().len() > 10);
    let meter = Arc::new(Meter::new(backend.clone()));
    let metered = small::lab(&(meter.clone() as Arc<dyn Backend>));
    let options = thorough().grace(Duration::from_secs(1)).dry_run(true);
    run_prune(&metered, &options).unwrap();
    let heads = meter.counts().head.objects;
    assert!(heads <= 8, "{heads} objects were asked for one by one");
    run_prune(&metered, &thorough()).unwrap();
    small::all_is_well(&lab, &Default::default(), "after the prune");
}

#[test]
fn what_is_deleted_is_deleted_in_batches() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let lab = init(&memory, Suite::None);
    let mut random = Random::new(5);
    let first = save(&lab, &noise(&mut random, 30, 5_000)).unwrap();
    forget(&lab, &[first]).unwrap();
    let meter = Arc::new(Meter::new(memory.clone()));
    run_prune(&small::lab(&(meter.clone() as Arc<dyn Backend>)), &thorough()).unwrap();
    let deleted = meter.counts().delete;
    assert!(deleted.objects > 20 && deleted.trips < 8, "{deleted:?}");
}

#[test]
fn a_prune_of_two_hundred_packs_takes_few_round_trips() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let lab = init(&memory, Suite::None);
    let mut random = Random::new(7);
    let first = save(&lab, &noise(&mut random, 560, 5_000)).unwrap();
    save(&lab, &noise(&mut random, 5, 5_000)).unwrap();
    let packs = memory.list_all(Kind::Pack).unwrap().len();
    assert!(packs > 200, "{packs} packs");
    forget(&lab, &[first]).unwrap();
    let meter = Arc::new(Meter::new(memory.clone()));
    run_prune(&small::lab(&(meter.clone() as Arc<dyn Backend>)), &thorough()).unwrap();
    let counts = meter.counts();
    assert!(memory.list_all(Kind::Pack).unwrap().len() < 20);
    assert!(counts.delete.objects >= 200 && counts.delete.trips <= 12, "{:?}", counts.delete);
    // Times and lengths are those of listings.
    assert!(counts.head.objects <= 4, "{:?}", counts.head);
    assert!(counts.trips() <= 60, "{counts:?}");
}

#[test]
fn a_gap_in_the_log_is_found_by_one_listing_and_proved_by_the_storage() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let lab = init(&memory, Suite::None);
    let mut random = Random::new(6);
    for _ in 0..6 {
        save(&lab, &noise(&mut random, 1, 1_000)).unwrap();
    }
    let meter = Arc::new(Meter::new(memory.clone()));
    let repository = small::lab(&(meter.clone() as Arc<dyn Backend>)).open();
    let before = meter.counts();
    assert!(repository.log().gap().unwrap().is_none());
    assert_eq!(meter.counts().since(&before).list.trips, 1);
    // Among entries that were read, ...
    let next = repository.state().next;
    let lost = Name::log(next - 3);
    let bytes = memory.read(&lost, 1 << 20).unwrap();
    memory.delete(&lost).unwrap();
    let gap = repository.log().gap().unwrap().unwrap().to_string();
    assert!(gap.contains(&lost.to_string()) && gap.contains("2 entries"), "{gap}");
    memory.create(&lost, &bytes).unwrap();
    assert!(repository.log().gap().unwrap().is_none());
    // ... and beyond them.
    memory.create(&Name::log(next + 3), b"stray").unwrap();
    assert!(repository.log().gap().unwrap().is_some());
    // Also one that came after the log was read.
    save(&lab, &noise(&mut random, 1, 1_000)).unwrap_err();
}
