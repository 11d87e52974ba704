//! Checkpoints are hints: whatever lies below `ckpt/`, a repository is opened as what its log says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::faults::{memory_of, objects_of, quick_folder};
use crate::lab::{CHEAP, Lab, PASSWORD};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use avro_snap::crypto::{Envelope, Suite, SystemEntropy};
use avro_snap::error::{Error, Result};
use avro_snap::id::SnapshotId;
use avro_snap::ops::check::{CheckOptions, DataSubset, check};
use avro_snap::ops::prune::{MaxUnused, PruneOptions, prune};
use avro_snap::ops::repair::repair_index;
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, Kind, Memory, Name};
use avro_snap::store::{CachePlace, OpenOptions, Repository, Unlock};

type Objects = BTreeMap<Name, Vec<u8>>;

/// A repository with one snapshot and as many entries of the log as wanted.
fn grown(suite: Suite, entries: u64) -> (Memory, Lab) {
    let memory = Memory::new();
    let lab = Lab::on(Arc::new(memory.clone()), suite);
    let folder = quick_folder();
    std::fs::write(folder.path().join("file"), "something").unwrap();
    lab.save(folder.path());
    grow(&lab, entries);
    (memory, lab)
}

/// Appends entries until there are so many.
fn grow(lab: &Lab, entries: u64) {
    let repository = lab.open();
    let id = repository.state().snapshots[0].id;
    while repository.state().next < entries {
        let next = repository.state().next;
        repository.log().set_tags(id, &[format!("tag {next}")]).unwrap();
    }
}

fn checkpoints(memory: &Memory) -> Vec<u64> {
    memory.list_all(Kind::Checkpoint).unwrap().iter().map(|meta| meta.name.sequence().unwrap()).collect()
}

fn open(objects: &Objects) -> Result<Repository> {
    Lab { backend: Arc::new(memory_of(objects)), cache: CachePlace::Temporary }.try_open()
}

fn without_checkpoints(objects: &Objects) -> Objects {
    objects.iter().filter(|(name, _)| name.kind() != Kind::Checkpoint).map(|(n, b)| (n.clone(), b.clone())).collect()
}

fn prune_all(lab: &Lab) {
    let options = PruneOptions::default()
        .max_unused(MaxUnused::Bytes(0))
        .grace(Duration::ZERO)
        .compression(avro_snap::options::Compression::Off);
    prune(&lab.open(), &options, &Silent).unwrap();
}

#[test]
fn every_64th_entry_is_followed_by_one_and_a_prune_leaves_two() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let (memory, lab) = grown(suite, 260);
        assert_eq!(checkpoints(&memory), [63, 127, 191, 255]);
        // Junk with a higher number is no reason to delete what counts.
        memory.create(&Name::checkpoint(9_999_999), b"junk").unwrap();
        memory.create(&Name::checkpoint(200), b"junk").unwrap();
        prune_all(&lab);
        assert_eq!(checkpoints(&memory), [191, 255]);
        // Where somebody has deleted them all, the next one is not long in coming.
        memory.delete(&Name::checkpoint(191)).unwrap();
        memory.delete(&Name::checkpoint(255)).unwrap();
        grow(&lab, 261);
        let made = checkpoints(&memory);
        assert_eq!(made.len(), 1, "{made:?}");
        let report = check(&lab.open(), CheckOptions::reading(DataSubset::None), &Silent).unwrap();
        assert!(report.problems.is_empty() && report.unsound_checkpoints == 0, "{report:?}");
    }
}

#[test]
fn whatever_lies_there_the_repository_is_what_its_log_says() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let (memory, _) = grown(suite, 200);
        let objects = objects_of(&memory);
        let (newest, older) = (Name::checkpoint(191), Name::checkpoint(127));
        let truth = open(&without_checkpoints(&objects)).unwrap().state();
        assert_eq!(open(&objects).unwrap().state(), truth);
        let bytes = objects[&newest].clone();
        let mut tried = 0;
        let mut is_true = |what: &str, change: &dyn Fn(&mut Objects)| {
            let mut objects = objects.clone();
            change(&mut objects);
            let found = open(&objects).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(found.state() == truth, "{suite:?}, {what}");
            tried += 1;
        };
        for at in (0..bytes.len()).step_by(7) {
            is_true(&format!("byte {at} is another"), &|objects| {
                objects.get_mut(&newest).unwrap()[at] ^= 1 << (at % 8)
            });
        }
        for length in [0, 1, 27, 28, 60, bytes.len() - 1] {
            is_true(&format!("cut off at {length}"), &|objects| objects.get_mut(&newest).unwrap().truncate(length));
        }
        is_true("longer", &|objects| objects.get_mut(&newest).unwrap().push(0));
        is_true("only an older one", &|objects| drop(objects.remove(&newest)));
        is_true("under another number", &|objects| drop(objects.insert(Name::checkpoint(150), bytes.clone())));
        is_true("an older one under its number", &|objects| {
            drop(objects.insert(newest.clone(), objects[&older].clone()))
        });
        is_true("of entries that there are not", &|objects| {
            objects.insert(Name::checkpoint(100_000), bytes.clone());
            objects.insert(Name::checkpoint(u64::MAX), bytes.clone());
        });
        let (others, _) = grown(suite, 200);
        let others = objects_of(&others);
        is_true("another repository's", &|objects| drop(objects.insert(newest.clone(), others[&newest].clone())));
        assert!(tried > 50);
    }
}

#[test]
fn a_checkpoint_of_another_history_of_the_same_repository_does_not_count() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let (memory, lab) = grown(suite, 100);
        let before = objects_of(&memory);
        grow(&lab, 130);
        let fork = memory_of(&before);
        let other = Lab { backend: Arc::new(fork.clone()), cache: CachePlace::Temporary };
        let id = other.open().state().snapshots[0].id;
        other.open().log().set_tags(id, &["another history".into()]).unwrap();
        grow(&other, 130);
        let mut mixed = objects_of(&memory);
        let truth = open(&mixed).unwrap().state();
        mixed.insert(Name::checkpoint(127), objects_of(&fork)[&Name::checkpoint(127)].clone());
        assert_eq!(open(&mixed).unwrap().state(), truth);
    }
}

/// A checkpoint that says that the snapshot has another root, sealed as if it were a real one.
fn forged(repository: &Repository, sealed: &[u8], number: u64, epoch: u32) -> Vec<u8> {
    let envelope = Envelope::new(repository.id(), repository.keys().keyring());
    let name = Name::checkpoint(number).to_string();
    let mut body = envelope.open(Kind::Checkpoint, &name, sealed).unwrap();
    let root = *repository.state().snapshots[0].root.as_bytes();
    let at = body.windows(32).position(|window| window == root).unwrap();
    body[at] ^= 1;
    envelope.seal_in(epoch, &SystemEntropy, Kind::Checkpoint, &name, &body).unwrap()
}

#[test]
fn one_that_is_forged_is_found_by_check_and_deleted_by_repair_index() {
    // Who can make one that counts has the keys, or there are none.
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let (memory, lab) = grown(suite, 130);
        let (truth, name) = (lab.open().state(), Name::checkpoint(127));
        let lie = forged(&lab.open(), &objects_of(&memory)[&name], 127, 0);
        memory.delete(&name).unwrap();
        memory.create(&name, &lie).unwrap();
        assert_ne!(lab.open().state(), truth);
        let report = check(&lab.open(), CheckOptions::reading(DataSubset::None), &Silent).unwrap();
        assert_eq!(report.unsound_checkpoints, 1);
        let repair = repair_index(&lab.open(), false, true, &Silent).unwrap();
        assert_eq!((repair.unsound_checkpoints, checkpoints(&memory)), (1, vec![63, 127]));
        repair_index(&lab.open(), false, false, &Silent).unwrap();
        assert_eq!((lab.open().state(), checkpoints(&memory)), (truth, vec![63]));
    }
}

#[test]
fn who_has_only_the_keys_of_before_a_rotation_cannot_make_one_that_counts() {
    let (memory, lab) = grown(Suite::Aes256Gcm, 130);
    let mut repository = lab.open();
    let leaving: Vec<_> = repository.state().keys.keys().copied().collect();
    repository.rotate_key(PASSWORD, CHEAP, "new", &leaving).unwrap();
    assert_eq!(checkpoints(&memory), [63, 127, 130], "the one who rotates writes one");
    let truth = lab.open().state();
    assert_eq!(truth.epoch, 1);
    for number in [127, 130] {
        let mut objects = objects_of(&memory);
        let name = Name::checkpoint(number);
        let lie = forged(&lab.open(), &objects[&name], number, 0);
        objects.retain(|name, _| name.kind() != Kind::Checkpoint);
        objects.insert(name, lie);
        assert_eq!(open(&objects).unwrap().state(), truth, "{number}");
    }
    grow(&lab, 140);
    prune_all(&lab);
    prune_all(&lab);
    let report = check(&lab.open(), CheckOptions::reading(DataSubset::None), &Silent).unwrap();
    assert!(report.problems.is_empty() && report.unsound_checkpoints == 0, "{report:?}");
    assert!(checkpoints(&memory).contains(&130), "{:?}", checkpoints(&memory));
}

#[test]
fn what_a_checkpoint_stands_for_is_not_read_and_check_misses_it() {
    let (memory, lab) = grown(Suite::Aes256Gcm, 130);
    let truth = lab.open().state();
    (5..60).for_each(|number| memory.delete(&Name::log(number)).unwrap());
    assert_eq!(lab.open().state(), truth);
    let report = check(&lab.open(), CheckOptions::reading(DataSubset::None), &Silent).unwrap();
    assert!(report.problems.iter().any(|problem| problem.to_string().contains("log/")), "{:?}", report.problems);
    checkpoints(&memory).into_iter().for_each(|number| memory.delete(&Name::checkpoint(number)).unwrap());
    assert!(lab.try_open().is_err());
}

#[test]
fn a_log_that_was_put_back_is_noticed_also_where_a_checkpoint_stands_for_the_place() {
    let state_folder = quick_folder();
    let open_here = |backend: &Memory, folder: &Path| {
        let options = OpenOptions::default().state_folder(Some(folder.to_path_buf()));
        Repository::open(Arc::new(backend.clone()), Unlock::Password(&mut || Ok(PASSWORD.to_vec())), &options)
    };
    let (memory, lab) = grown(Suite::Aes256Gcm, 20);
    let fork = memory_of(&objects_of(&memory));
    grow(&lab, 30);
    drop(open_here(&memory, state_folder.path()).unwrap());
    // The same repository, with another history from entry 20 on; in which the entry that was seen lies all the same.
    let other = Lab { backend: Arc::new(fork.clone()), cache: CachePlace::Temporary };
    let id = other.open().state().snapshots[0].id;
    other.open().log().set_tags(id, &["another history".into()]).unwrap();
    grow(&other, 70);
    assert!(matches!(open_here(&fork, state_folder.path()), Err(Error::RolledBack { .. })));
    let seen = Name::log(29);
    fork.delete(&seen).unwrap();
    fork.create(&seen, &objects_of(&memory)[&seen]).unwrap();
    let opened = open_here(&fork, state_folder.path());
    assert!(matches!(opened, Err(Error::RolledBack { .. })), "{opened:?}");
    // What goes on from what was seen is fine.
    grow(&lab, 200);
    assert!(open_here(&memory, state_folder.path()).is_ok());
}

#[test]
fn a_state_with_everything_in_it_comes_back_from_a_checkpoint() {
    let (memory, lab) = grown(Suite::Aes256Gcm, 20);
    let folder = quick_folder();
    let mut removed: Vec<SnapshotId> = Vec::new();
    for night in 0..4 {
        std::fs::write(folder.path().join("file"), format!("night {night}").repeat(3000)).unwrap();
        let id = lab.save(folder.path()).snapshot.unwrap();
        if night < 2 {
            lab.open().log().remove_snapshots(&[id], &[]).unwrap();
            removed.push(id);
            prune_all(&lab);
        }
    }
    lab.open().keys().add(b"another", CHEAP, "another").unwrap();
    let repository = lab.open();
    let pack = repository.catalog().index().pack_ids()[0];
    repository.catalog().record_damage(&[(pack, vec![0])]).unwrap();
    drop(repository);
    grow(&lab, 130);
    let objects = objects_of(&memory);
    let (from_checkpoint, from_log) =
        (open(&objects).unwrap().state(), open(&without_checkpoints(&objects)).unwrap().state());
    assert_eq!(from_checkpoint, from_log);
    assert!(from_log.removed.len() == 2 && !from_log.standing.condemned.is_empty() && from_log.standing.has_damage());
    assert_eq!(from_log.keys.len(), 2);
}
