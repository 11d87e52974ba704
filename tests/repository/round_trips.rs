//! How many requests in a row it takes to open a repository and to list its snapshots: what remote storage costs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen::Random;
use crate::faults::quick_folder;
use crate::lab::{CHEAP, Lab, PASSWORD, saving};
use crate::replace::Unchecked;
use crate::small;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use avro_snap::chunk::ChunkKind;
use avro_snap::crypto::Suite;
use avro_snap::id::{ChunkId, SnapshotId};
use avro_snap::ops::create::create;
use avro_snap::ops::select::Listing;
use avro_snap::pack::{FrameCodec, PlainChunk};
use avro_snap::progress::Silent;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::storage::{Backend, Kind, Memory, Meter, Name};
use avro_snap::store::{CachePlace, OpenOptions, Repository, Sizes, Unlock, Writer};

/// Stores as many roots as wanted, each in a pack of its own.
fn store_roots(repository: &Repository, count: u32) -> Vec<(SnapshotId, ChunkId)> {
    let writer = Writer::new(repository).unwrap();
    let (hasher, mut codec) = (repository.hasher(), FrameCodec::new(None).unwrap());
    let mut roots = Vec::new();
    for number in 0..count {
        let mut id = [7; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        let root = SnapshotRoot {
            series: format!("series {}", number % 3),
            host: "host".into(),
            user: "user".into(),
            time: i64::from(number),
            paths: vec![b"/data".to_vec()],
            program: "test".into(),
            ..SnapshotRoot::nothing(SnapshotId::new(id))
        };
        let bytes = root.encode();
        let chunk = hasher.id(&bytes);
        assert!(writer.reserve(chunk).unwrap());
        assert!(writer.add(codec.encode(ChunkKind::Root, &[PlainChunk { id: chunk, bytes }])).is_none());
        writer.store(writer.take_open().unwrap()).unwrap();
        roots.push((root.id, chunk));
    }
    writer.flush().unwrap();
    roots
}

/// A repository with so many snapshots and entries of the log.
fn grown(suite: Suite, snapshots: u32, entries: u64) -> Memory {
    let memory = Memory::new();
    let lab = Lab::on(Arc::new(memory.clone()), suite);
    let repository = lab.open();
    let roots = store_roots(&repository, snapshots);
    let mut indexes = Vec::new();
    for meta in memory.list_all(Kind::Index).unwrap() {
        indexes.push(meta.name.file().parse().unwrap());
    }
    for (snapshot, root) in roots {
        repository.log().add_snapshot(&Unchecked(indexes.clone()), snapshot, root).unwrap();
    }
    let id = repository.state().snapshots[0].id;
    while repository.state().next < entries {
        repository.log().set_tags(id, &[format!("tag {}", repository.state().next)]).unwrap();
    }
    memory
}

fn open(backend: Arc<dyn Backend>, here: &Path) -> Repository {
    open_to(false, backend, here)
}

fn open_to(write: bool, backend: Arc<dyn Backend>, here: &Path) -> Repository {
    let options = OpenOptions::default()
        .cache(CachePlace::Folder(here.join("cache")))
        .state_folder(Some(here.join("state")))
        .begins_to_write(write);
    Repository::open(backend, Unlock::Password(&mut || Ok(PASSWORD.to_vec())), &options).unwrap()
}

/// Opens a repository as this machine knows it, lists its snapshots, and counts the requests in a row: those of opening, and
/// all.
fn trips(memory: &Memory, here: &Path, snapshots: usize) -> (u64, u64) {
    let meter = Arc::new(Meter::new(Arc::new(memory.clone())));
    let repository = open(meter.clone(), here);
    let opened = meter.counts().trips();
    let listing = Listing::read(&repository);
    assert!(listing.unreadable.is_empty() && listing.snapshots.len() == snapshots);
    (opened, meter.counts().trips())
}

#[test]
fn a_repository_with_5000_entries_and_1000_snapshots_is_opened_and_listed_in_few_requests() {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let memory = grown(suite, 1000, 5000);
        let here = quick_folder();
        let cold = trips(&memory, here.path(), 1000);
        let warm = trips(&memory, here.path(), 1000);
        // Somebody else appended meanwhile.
        let lab = Lab { backend: Arc::new(memory.clone()), cache: CachePlace::Temporary };
        let id = lab.open().state().snapshots[3].id;
        for round in 0..10 {
            lab.open().log().set_tags(id, &[format!("round {round}")]).unwrap();
        }
        let later = trips(&memory, here.path(), 1000);
        // Without any checkpoint, all entries are read.
        for meta in memory.list_all(Kind::Checkpoint).unwrap() {
            memory.delete(&meta.name).unwrap();
        }
        let bare = quick_folder();
        let without = trips(&memory, bare.path(), 1000);
        println!(
            "{suite:?}: cold {cold:?}, warm {warm:?}, ten entries later {later:?}, without checkpoints {without:?}"
        );
        assert!(cold.1 <= 11 && warm.1 <= 3 && later.1 <= 4, "{suite:?}: {cold:?} {warm:?} {later:?}");
        assert!(without.1 <= 16, "{without:?}");
    }
}

#[test]
fn a_create_asks_for_nothing_twice() {
    let memory = Memory::new();
    small::init(&(Arc::new(memory.clone()) as Arc<dyn Backend>), Suite::Aes256Gcm);
    let (here, data) = (quick_folder(), quick_folder());
    small::write_all(data.path(), &small::noise(&mut Random::new(3), 5, 2_000));
    let save = |backend: Arc<dyn Backend>| {
        let mut repository = open_to(true, backend, here.path());
        repository.set_sizes(Sizes::default());
        create(&repository, saving(data.path()), &Silent).unwrap()
    };
    save(Arc::new(memory.clone()));
    let meter = Arc::new(Meter::new(Arc::new(memory.clone())));
    save(meter.clone());
    let counts = meter.counts();
    // What lies beyond the log, and the packs.
    assert_eq!((counts.list.trips, counts.head.objects), (2, 0), "{counts:?}");
    // The config; key, last entry, and two names beyond it; root and rows of the parent.
    assert!(counts.read.objects <= 5 + 2 && counts.read.trips <= 4, "{counts:?}");
    assert_eq!(counts.put.objects, 3, "{counts:?}");
}

#[test]
fn what_was_read_on_opening_serves_the_first_writer_and_decides_nothing() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let elsewhere = small::init(&memory, Suite::Aes256Gcm);
    let (here, data, mut random) = (quick_folder(), quick_folder(), Random::new(4));
    let files = small::noise(&mut random, 5, 5_000);
    small::write_all(data.path(), &files);
    let save = |repository: &Repository| create(repository, saving(data.path()), &Silent).unwrap().snapshot.unwrap();
    let first = save(&open(memory.clone(), here.path()));
    let (second, more) = (open(memory.clone(), here.path()), small::noise(&mut random, 5, 5_000));
    // What the first one needs is gone before the second one is begun, though it was there when the repository was opened.
    let other = small::save(&elsewhere, &more).unwrap();
    small::forget(&elsewhere, &[first]).unwrap();
    small::run_prune(&elsewhere, &small::thorough()).unwrap();
    let second = save(&second);
    let expected = BTreeMap::from([(other, more), (second, files.clone())]);
    small::all_is_well(&elsewhere, &expected, "beside a prune");
    // Condemned and not deleted yet: it is noticed by the entry.
    let third = open(memory.clone(), here.path());
    small::forget(&elsewhere, &[second]).unwrap();
    small::run_prune(&elsewhere, &small::thorough().grace(Duration::from_secs(3600))).unwrap();
    let third = save(&third);
    small::run_prune(&elsewhere, &small::thorough()).unwrap();
    small::all_is_well(&elsewhere, &BTreeMap::from([(third, files)]), "beside a prune with a grace");
}

#[test]
fn packs_of_an_interrupted_run_are_found_by_the_next_writer() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let lab = small::init(&memory, Suite::Aes256Gcm);
    let (here, data) = (quick_folder(), quick_folder());
    let files = small::noise(&mut Random::new(5), 5, 5_000);
    small::write_all(data.path(), &files);
    let made = small::save(&lab, &files).unwrap();
    // Its entry was never appended.
    let entry = lab.open().state().next - 1;
    memory.delete(&Name::log(entry)).unwrap();
    let packs = small::count(&memory, Kind::Pack);
    let repository = open(memory.clone(), here.path());
    let report = create(&repository, saving(data.path()), &Silent).unwrap();
    assert!(report.snapshot.is_some_and(|snapshot| snapshot != made));
    assert!(small::count(&memory, Kind::Pack).0 <= packs.0 + 1, "all was stored again");
    small::all_is_well(&lab, &BTreeMap::from([(report.snapshot.unwrap(), files)]), "after an interrupted run");
}

#[test]
fn what_this_machine_keeps_may_be_wrong_old_or_gone() {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let memory = grown(suite, 20, 100);
        let (here, other) = (quick_folder(), quick_folder());
        let repository = open(Arc::new(memory.clone()), other.path());
        let (truth, name) = (repository.state(), repository.id().to_string());
        drop(repository);
        trips(&memory, here.path(), 20);
        let folder = here.path().join("cache").join(name);
        let is_true = |what: &str| {
            let repository = open(Arc::new(memory.clone()), here.path());
            assert!(repository.state() == truth, "{suite:?}: {what}");
            let listing = Listing::read(&repository);
            assert_eq!((listing.snapshots.len(), listing.unreadable.len()), (20, 0), "{what}");
        };
        for file in ["log", "roots"] {
            let path = folder.join(file);
            let good = std::fs::read(&path).unwrap();
            for at in (0..good.len()).step_by(97).chain(0..20) {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << (at % 8);
                std::fs::write(&path, &bytes).unwrap();
                is_true(&format!("{file}, byte {at}"));
            }
            for length in [0, 1, 10, good.len() - 1] {
                std::fs::write(&path, &good[..length]).unwrap();
                is_true(&format!("{file}, cut off at {length}"));
            }
            std::fs::remove_file(&path).unwrap();
            is_true(&format!("{file} is gone"));
        }
        let old = std::fs::read(folder.join("log")).unwrap();
        let lab = Lab { backend: Arc::new(memory.clone()), cache: CachePlace::Temporary };
        let id = lab.open().state().snapshots[0].id;
        lab.open().log().remove_snapshots(&[id], &[]).unwrap();
        drop(open(Arc::new(memory.clone()), here.path()));
        std::fs::write(folder.join("log"), old).unwrap();
        assert_eq!(open(Arc::new(memory.clone()), here.path()).state().snapshots.len(), 19);
    }
}

#[test]
fn looking_for_a_gap_lists_the_last_entries_alone_however_long_the_log_is() {
    let memory = grown(Suite::None, 3, 700);
    let meter = Arc::new(Meter::new(Arc::new(memory)));
    let here = tempfile::tempdir().unwrap();
    let repository = open(meter.clone(), here.path());
    let before = meter.counts();
    assert!(repository.log().gap().unwrap().is_none());
    let listed = meter.counts().since(&before).list;
    assert!(listed.objects <= 64 && listed.trips == 1, "{listed:?}");
}

#[test]
fn several_slots_of_one_password_cost_one_reading_of_the_log() {
    let memory = grown(Suite::Aes256Gcm, 2, 40);
    let lab = Lab { backend: Arc::new(memory.clone()), cache: CachePlace::Temporary };
    // Slots that the password opens and the log does not name (any more).
    for _ in 0..3 {
        let repository = lab.open();
        let slot = repository.keys().add(PASSWORD, CHEAP, "again").unwrap();
        let name = Name::new(Kind::Key, slot);
        let bytes = memory.read(&name, 1 << 20).unwrap();
        repository.keys().remove(slot).unwrap();
        memory.create(&name, &bytes).unwrap();
    }
    let meter = Arc::new(Meter::new(Arc::new(memory.clone())));
    let lab = Lab { backend: meter.clone(), cache: CachePlace::Temporary };
    let entries = lab.open().state().next;
    let read = meter.counts().read;
    assert!(read.objects < entries + 20, "{} reads for {entries} entries", read.objects);
}
