//! Rotating keys: whoever dies, races or forges, there is one set of keys that counts, and a way in; what older keys can
//! make counts for nothing; nothing under older keys is left once it was moved.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::hooked::{Hooked, Op};
use crate::interrupted::Interrupted;
use crate::lab;
use crate::small;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use avro_gen::Random;
use avro_snap::chunk::ChunkKind;
use avro_snap::crypto::{Envelope, Keyring, Suite, SystemEntropy};
use avro_snap::error::{Error, Result};
use avro_snap::id::{EntryHash, KeyId, SnapshotId, digest};
use avro_snap::log::{Body, LogEntry};
use avro_snap::ops::prune::{Fate, MaxUnused};
use avro_snap::ops::recover::{bring_back_and_mend, find_snapshots};
use avro_snap::pack::{EncodedFrame, Encoding, FrameChunk, PackBuilder, SealedPack};
use avro_snap::progress::Silent;
use avro_snap::storage::StorageErrorKind::{Other, UnknownOutcome};
use avro_snap::storage::{Backend, Kind, Memory, Name};
use avro_snap::store::{CachePlace, OpenOptions, Repository, Rotated, Unlock};
use faults::{Crashing, FailingOnce, Files, Moment, Overlay, memory_of, objects_of, quick_folder, restored};
use lab::{CHEAP, Lab, PASSWORD};
use small::{all_is_well, count, forget, init, lab, noise, run_prune, save, thorough};

const SECOND: &[u8] = b"the second password";

type Expected = BTreeMap<SnapshotId, Files>;

/// A repository with two snapshots and two passwords.
fn story(backend: &Arc<dyn Backend>, random: &mut Random) -> (Lab, Expected) {
    let lab = init(backend, Suite::Aes256Gcm);
    let mut files = noise(random, 3, 9000);
    let mut expected = Expected::from([(save(&lab, &files).unwrap(), files.clone())]);
    files.insert("another".into(), vec![7; 5000]);
    expected.insert(save(&lab, &files).unwrap(), files);
    lab.open().keys().add(SECOND, CHEAP, "second").unwrap();
    (lab, expected)
}

/// Under the same password, and takes all others away.
fn rotate(lab: &Lab) -> Result<Rotated> {
    let mut repository = lab.try_open()?;
    let keys: Vec<KeyId> = repository.state().keys.keys().copied().collect();
    repository.rotate_key(PASSWORD, CHEAP, "rotated", &keys)
}

fn options() -> OpenOptions {
    OpenOptions::default()
}

fn open_by(lab: &Lab, unlock: Unlock<'_>) -> Result<Repository> {
    Repository::open(lab.backend.clone(), unlock, &options())
}

fn opens_with(lab: &Lab, password: &[u8]) -> bool {
    match open_by(lab, Unlock::Password(&mut || Ok(password.to_vec()))) {
        Ok(_) => true,
        Err(Error::WrongPassword { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// The epochs that objects of a kind say in clear that they are of.
fn epochs(backend: &dyn Backend, kind: Kind) -> Vec<u32> {
    let at = if kind == Kind::Pack { 12 } else { 8 };
    let objects = objects_of(backend).into_iter().filter(|(name, _)| name.kind() == kind);
    objects.map(|(_, bytes)| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())).collect()
}

fn highest(epochs: Vec<u32>) -> (u32, u32) {
    (epochs.iter().copied().min().unwrap(), epochs.iter().copied().max().unwrap())
}

/// Everything goes on: it is as it should be, another snapshot can be made, and a prune leaves the slots that count.
fn goes_on(lab: &Lab, mut expected: Expected, what: &str) {
    all_is_well(lab, &expected, what);
    let files = noise(&mut Random::new(99), 2, 6000);
    expected.insert(save(lab, &files).unwrap_or_else(|error| panic!("{what}: {error}")), files);
    run_prune(lab, &thorough()).unwrap_or_else(|error| panic!("{what}: {error}"));
    all_is_well(lab, &expected, what);
    let repository = lab.open();
    assert!(repository.keys().check().is_empty(), "{what}");
    assert_eq!(repository.packs().epoch(), repository.state().epoch, "{what}");
}

#[test]
fn death_at_any_operation_of_a_rotation_leaves_a_way_in() {
    let memory = Memory::new();
    let (_, expected) = story(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut Random::new(1));
    let objects = objects_of(&memory);
    let (mut before, mut after) = (0, 0);
    for moment in [Moment::Before, Moment::After] {
        for operation in 0.. {
            let copy: Arc<dyn Backend> = Arc::new(memory_of(&objects));
            let crashing = Arc::new(Crashing::dying(copy.clone(), operation, moment));
            let rotated = rotate(&lab(&(crashing.clone() as Arc<dyn Backend>)));
            if !crashing.died() {
                assert!(rotated.unwrap().left.is_none());
                break;
            }
            let (lab, what) = (lab(&copy), format!("{moment:?} operation {operation}"));
            let epoch = lab.open().packs().epoch();
            // An entry that is there counts, whether or not anybody learned of it.
            assert!(rotated.is_err() || epoch == 1, "{what}");
            assert_eq!(opens_with(&lab, SECOND), epoch == 0, "{what}");
            goes_on(&lab, expected.clone(), &what);
            match epoch {
                0 => before += 1,
                // Also the slots that were not deleted are by now.
                _ => assert_eq!((count(&copy, Kind::Key).0, after += 1), (1, ()), "{what}"),
            }
        }
    }
    // The slot, the entry, the checkpoint, and two slots that go, each before and after.
    assert_eq!((before, after), (3, 7));
}

#[test]
fn one_failed_operation_of_a_rotation_never_makes_a_false_success() {
    let memory = Memory::new();
    let (_, expected) = story(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut Random::new(2));
    let objects = objects_of(&memory);
    for (moment, kind) in [(Moment::Before, Other), (Moment::After, Other), (Moment::After, UnknownOutcome)] {
        for operation in 0.. {
            let copy: Arc<dyn Backend> = Arc::new(memory_of(&objects));
            let failing = Arc::new(FailingOnce::failing(copy.clone(), operation, moment, kind));
            let rotated = rotate(&lab(&(failing.clone() as Arc<dyn Backend>)));
            let (lab, what) = (lab(&copy), format!("{moment:?} operation {operation}, {kind:?}"));
            assert!(rotated.is_err() || lab.open().packs().epoch() == 1, "{what}");
            all_is_well(&lab, &expected, &what);
            if !failing.failed() {
                break;
            }
        }
    }
}

/// The same repository, whose keys are rotated right before the next entry is appended through this one.
fn rotated_meanwhile(lab: &Lab) -> Lab {
    let (own, inner) = (lab.clone(), lab.backend.clone());
    let done = AtomicBool::new(false);
    let hook = move |op: Op<'_>| {
        if matches!(op, Op::Put(name, _) if name.kind() == Kind::Log) && !done.swap(true, Ordering::SeqCst) {
            rotate(&own).unwrap();
        }
        Ok(())
    };
    small::lab(&(Arc::new(Hooked::new(inner, hook)) as Arc<dyn Backend>))
}

#[test]
fn a_writer_that_was_open_before_fails_clearly_and_its_next_run_stores_nothing_twice() {
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let (lab, mut expected) = story(&backend, &mut Random::new(3));
    let files = noise(&mut Random::new(4), 4, 20_000);
    let before = count(&backend, Kind::Pack).1;
    let failed = save(&rotated_meanwhile(&lab), &files).unwrap_err();
    assert!(matches!(failed, Error::KeysRotated { rotation: 1, .. }), "{failed}");
    all_is_well(&lab, &expected, "no snapshot was made");
    let between = count(&backend, Kind::Pack).1;
    assert!(between - before > 80_000);
    assert!(epochs(&*backend, Kind::Pack).iter().all(|epoch| *epoch == 0));
    expected.insert(save(&lab, &files).unwrap(), files);
    let added = count(&backend, Kind::Pack).1 - between;
    assert!(added < 10_000, "{added} bytes for what was stored already");
    all_is_well(&lab, &expected, "the next run");
    // What it left is named anew, so its index objects are not needed any more.
    let names: Vec<u32> = epochs(&*backend, Kind::Index);
    run_prune(&lab, &thorough().grace(Duration::ZERO)).unwrap();
    assert!(epochs(&*backend, Kind::Index).len() < names.len());
    all_is_well(&lab, &expected, "after a prune");
}

#[test]
fn of_two_rotations_at_once_one_wins_and_the_other_leaves_nothing() {
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let (lab, expected) = story(&backend, &mut Random::new(5));
    let lost = rotate(&rotated_meanwhile(&lab)).unwrap_err();
    assert!(matches!(lost, Error::KeysRotated { rotation: 1, .. }), "{lost}");
    assert_eq!(count(&backend, Kind::Key).0, 1);
    goes_on(&lab, expected.clone(), "after a race");
    let added = rotated_meanwhile(&lab).open().keys().add(SECOND, CHEAP, "too late").unwrap_err();
    assert!(matches!(added, Error::KeysRotated { rotation: 2, .. }), "{added}");
    assert_eq!(count(&backend, Kind::Key).0, 1);
    // A password that came meanwhile is not taken away unasked.
    let own = lab.open();
    let keys: Vec<KeyId> = own.state().keys.keys().copied().collect();
    own.keys().add(SECOND, CHEAP, "second").unwrap();
    let refused = lab.open().rotate_key(PASSWORD, CHEAP, "", &keys).unwrap_err();
    assert!(matches!(refused, Error::KeyRefused { .. }), "{refused}");
    assert!(opens_with(&lab, SECOND) && count(&backend, Kind::Key).0 == 2);
}

/// A pack that says it holds these chunks, and holds zeros; sealed under the last of these keys.
fn lying_pack(repository: &Repository, keyring: &Keyring, chunks: &[FrameChunk]) -> SealedPack {
    let mut builder = PackBuilder::default();
    for chunk in chunks {
        let (chunks, body) = (vec![*chunk], vec![0; chunk.length as usize]);
        builder.push(EncodedFrame { kind: ChunkKind::Bytes, encoding: Encoding::Raw, chunks, body, chain: None });
    }
    builder.seal(repository.id(), repository.config().suite, Some(keyring), &SystemEntropy).unwrap()
}

#[test]
fn what_the_old_keys_seal_later_counts_for_nothing() {
    let target = vec![9; 600];
    let files = Files::from([("known".into(), target.clone())]);
    for (rotates, indexed) in [(false, true), (false, false), (true, true), (true, false)] {
        let backend: Arc<dyn Backend> = Arc::new(Memory::new());
        let (lab, mut expected) = story(&backend, &mut Random::new(6));
        let old = lab.open();
        if rotates {
            rotate(&lab).unwrap();
        }
        let keyring = old.keys().keyring().unwrap();
        let chunk = FrameChunk { id: old.hasher().id(&target), length: target.len() as u32 };
        let lie = lying_pack(&old, &keyring, &[chunk]);
        backend.create(&lie.info.name(), &lie.bytes).unwrap();
        if indexed {
            let body = avro_snap::index::encode_object(std::slice::from_ref(&lie.info));
            let envelope = Envelope::new(old.id(), Some(keyring.clone()));
            let object = envelope.seal(&SystemEntropy, Kind::Index, "", &body).unwrap();
            backend.create(&Name::new(Kind::Index, avro_snap::id::hex(&digest(&object))), &object).unwrap();
        }
        let what = format!("rotated: {rotates}, indexed: {indexed}");
        let saved = save(&lab, &files).unwrap();
        // Who has the keys of today can do this. It shows that the lie would be believed.
        assert_eq!(restored(&lab.open(), saved, &files), Some(rotates), "{what}");
        if rotates {
            expected.insert(saved, files.clone());
            all_is_well(&lab, &expected, &what);
            run_prune(&lab, &thorough()).unwrap();
            all_is_well(&lab, &expected, &what);
            assert!(backend.size(&lie.info.name()).unwrap().is_none(), "{what}: nobody needs it");
        }
    }
}

#[test]
fn a_prune_does_not_take_the_word_of_a_pack_under_old_keys_for_what_is_stored_elsewhere() {
    for rotates in [false, true] {
        let backend: Arc<dyn Backend> = Arc::new(Memory::new());
        let (lab, expected) = story(&backend, &mut Random::new(7));
        let old = lab.open();
        if rotates {
            rotate(&lab).unwrap();
        }
        let mut chunks = Vec::new();
        for number in old.catalog().index().pack_numbers() {
            chunks.extend(old.catalog().index().pack(number).unwrap().directory.chunks.clone());
        }
        let lie = lying_pack(&old, &old.keys().keyring().unwrap(), &chunks);
        backend.create(&lie.info.name(), &lie.bytes).unwrap();
        run_prune(&lab, &thorough()).unwrap();
        // Who has the keys of today can make it give up the true packs for this one.
        let whole = expected.iter().all(|(id, files)| restored(&lab.open(), *id, files) == Some(true));
        assert_eq!(whole, rotates);
        assert_eq!(backend.size(&lie.info.name()).unwrap().is_none(), rotates);
    }
}

#[test]
fn an_entry_under_the_old_keys_is_refused_behind_a_rotation() {
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let (lab, expected) = story(&backend, &mut Random::new(8));
    let old = lab.open();
    let forge = |keyring: &Keyring| {
        let state = lab.open().state();
        let entry = LogEntry {
            sequence: state.next,
            previous: EntryHash::new(*state.head.as_bytes()),
            transaction: [1; 16],
            time: 0,
            writer: "somebody".into(),
            body: Body::RemoveSnapshots { snapshots: expected.keys().copied().collect() },
        };
        let name = Name::log(state.next);
        let envelope = Envelope::new(old.id(), Some(keyring.clone()));
        let bytes = envelope.seal(&SystemEntropy, Kind::Log, &name.to_string(), &entry.encode()).unwrap();
        let copy: Arc<dyn Backend> = Arc::new(memory_of(&objects_of(&*backend)));
        copy.create(&name, &bytes).unwrap();
        small::lab(&copy)
    };
    let taken = forge(&old.keys().keyring().unwrap()).open();
    assert!(taken.state().snapshots.is_empty(), "before the rotation it is as good as any");
    rotate(&lab).unwrap();
    let forged = forge(&old.keys().keyring().unwrap());
    let refused = forged.try_open().unwrap_err();
    assert!(matches!(&refused, Error::Damaged { reason, .. } if reason.contains("epoch 0")), "{refused}");
    let (repository, damage) = broken(&forged);
    let damage = damage.unwrap();
    assert_eq!((damage.after, repository.state().snapshots.len()), (0, expected.len()));
    mend(&repository, &damage);
    goes_on(&forged, expected.clone(), "after the forged entry was taken out");
    assert!(forge(&lab.open().keys().keyring().unwrap()).open().state().snapshots.is_empty());
}

#[test]
fn a_slot_or_an_export_of_before_opens_nothing_and_one_of_a_log_put_back_raises_alarm() {
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let (lab, expected) = story(&backend, &mut Random::new(9));
    let before = objects_of(&*backend);
    let old_export = lab.open().keys().export().unwrap();
    rotate(&lab).unwrap();
    for (name, bytes) in before.iter().filter(|(name, _)| name.kind() == Kind::Key) {
        backend.create(name, bytes).unwrap();
    }
    assert!(opens_with(&lab, PASSWORD) && !opens_with(&lab, SECOND));
    let refused = open_by(&lab, Unlock::Export(&old_export)).unwrap_err();
    assert!(matches!(refused, Error::OldExport { rotation: 1 }), "{refused}");
    let export = lab.open().keys().export().unwrap();
    let opened = open_by(&lab, Unlock::Export(&export)).unwrap();
    assert_eq!(opened.state().snapshots.len(), expected.len());
    goes_on(&lab, expected, "with old slots put back");
    assert_eq!(count(&backend, Kind::Key).0, 1, "they are deleted again");
    // The log of before, without the slots of before.
    let mut put_back = before;
    put_back.retain(|name, _| name.kind() != Kind::Key);
    put_back.extend(objects_of(&*backend).into_iter().filter(|(name, _)| name.kind() == Kind::Key));
    let put_back = small::lab(&(Arc::new(memory_of(&put_back)) as Arc<dyn Backend>));
    for error in [put_back.try_open().unwrap_err(), open_by(&put_back, Unlock::Export(&export)).unwrap_err()] {
        assert!(matches!(error, Error::RolledBack { .. }), "{error}");
    }
}

#[test]
fn nothing_under_older_keys_is_left_once_it_was_moved() {
    let folder = quick_folder();
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let (mut lab, mut expected) = story(&backend, &mut Random::new(10));
    lab.cache = CachePlace::Folder(folder.path().to_path_buf());
    // Where no pack may be copied, index objects are made anew all the same.
    rotate(&lab).unwrap();
    run_prune(&lab, &thorough().reencrypt(true).max_repack_size(Some(1))).unwrap();
    assert_eq!((highest(epochs(&*backend, Kind::Pack)), highest(epochs(&*backend, Kind::Index))), ((0, 0), (1, 1)));
    let mut random = Random::new(11);
    for round in 1..3 {
        rotate(&lab).unwrap();
        let mut files = noise(&mut random, 2, 12_000);
        files.extend(expected.values().next().unwrap().clone());
        expected.insert(save(&lab, &files).unwrap(), files);
        all_is_well(&lab, &expected, &format!("round {round}"));
    }
    let gone = *expected.keys().next().unwrap();
    forget(&lab, &[gone]).unwrap();
    expected.remove(&gone);
    assert_eq!(highest(epochs(&*backend, Kind::Pack)), (0, 3));
    // Without being asked nothing is moved, and it is told.
    let kept = thorough().max_unused(MaxUnused::Percent(100.0));
    let untouched = run_prune(&lab, &kept.clone().dry_run(true)).unwrap();
    assert!(untouched.old_keys.packs > 0 && untouched.packs.iter().all(|pack| pack.fate != Fate::OldKey));
    // A little at a time, and then all that is left.
    let moved = kept.reencrypt(true);
    let all = run_prune(&lab, &moved.clone().dry_run(true)).unwrap();
    assert_eq!(all.old_keys.packs, 0);
    let old = all.tally(|fate| fate == Fate::OldKey).packs;
    let part = run_prune(&lab, &moved.clone().max_repack_size(Some(25_000))).unwrap();
    let copied = part.tally(|fate| fate == Fate::OldKey).packs;
    assert!(0 < copied && copied < old, "{copied} of {old}");
    assert_eq!(part.old_keys.packs, old - copied);
    all_is_well(&lab, &expected, "in between");
    let done = run_prune(&lab, &moved).unwrap();
    assert_eq!((done.old_keys.packs, done.tally(|fate| fate == Fate::OldKey).packs), (0, old - copied));
    for kind in [Kind::Pack, Kind::Index] {
        assert_eq!(highest(epochs(&*backend, kind)), (3, 3), "{kind:?}");
    }
    assert_eq!(highest(epochs(&*backend, Kind::Log)), (0, 3));
    goes_on(&lab, expected, "all moved");
    let again = run_prune(&lab, &moved.dry_run(true)).unwrap();
    assert_eq!(again.tally(|fate| fate == Fate::OldKey).packs, 0);
}

#[test]
fn death_at_any_operation_of_moving_to_new_keys_loses_nothing() {
    let memory = Memory::new();
    let (story_lab, expected) = story(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut Random::new(12));
    rotate(&story_lab).unwrap();
    let objects = objects_of(&memory);
    let moved = thorough().reencrypt(true);
    for operation in 0.. {
        let copy: Arc<dyn Backend> = Arc::new(memory_of(&objects));
        let crashing = Arc::new(Crashing::dying(copy.clone(), operation, Moment::After));
        let died = run_prune(&lab(&(crashing.clone() as Arc<dyn Backend>)), &moved).is_err();
        assert_eq!(died, crashing.died());
        let (lab, what) = (lab(&copy), format!("operation {operation}"));
        run_prune(&lab, &moved).unwrap_or_else(|error| panic!("{what}: {error}"));
        all_is_well(&lab, &expected, &what);
        for kind in [Kind::Pack, Kind::Index] {
            assert_eq!(highest(epochs(&*copy, kind)), (1, 1), "{what}: {kind:?}");
        }
        if !died {
            break;
        }
    }
}

fn broken(lab: &Lab) -> (Repository, Option<avro_snap::store::LogDamage>) {
    let unlock = Unlock::Password(&mut || Ok(PASSWORD.to_vec()));
    Repository::open_broken(lab.backend.clone(), unlock, &options()).unwrap()
}

fn mend(repository: &Repository, damage: &avro_snap::store::LogDamage) {
    let found = find_snapshots(repository, &Silent).unwrap();
    bring_back_and_mend(repository, damage, &found.candidates).unwrap();
}

#[test]
fn whatever_is_lost_of_the_log_the_keys_are_those_of_the_last_rotation_once_it_is_mended() {
    let memory = Memory::new();
    let backend: Arc<dyn Backend> = Arc::new(memory.clone());
    let (lab, mut expected) = story(&backend, &mut Random::new(13));
    let old_slots: Vec<_> = objects_of(&memory).into_iter().filter(|(name, _)| name.kind() == Kind::Key).collect();
    for n in 0..2 {
        rotate(&lab).unwrap();
        let files = noise(&mut Random::new(20 + n), 2, 4000);
        expected.insert(save(&lab, &files).unwrap(), files);
    }
    let end = lab.open().state().next;
    let entries: Vec<Name> = (0..end).map(Name::log).collect();
    let each = entries.iter().map(|name| vec![name.clone()]);
    let tails = (0..entries.len()).map(|at| entries[at..].to_vec());
    for (lost, slots_too) in each.chain(tails).flat_map(|lost| [(lost.clone(), false), (lost, true)]) {
        let what = format!("without {} and {} more, old slots: {slots_too}", lost[0], lost.len() - 1);
        let mut overlay = Overlay::new(&memory);
        for name in &lost {
            overlay = overlay.with(name, None);
        }
        for (name, bytes) in old_slots.iter().filter(|_| slots_too) {
            overlay = overlay.with(name, Some(bytes.clone()));
        }
        let hurt = small::lab(&(Arc::new(overlay) as Arc<dyn Backend>));
        let (repository, damage) = broken(&hurt);
        // Only an end that takes no rotation with it is not seen.
        if let Some(damage) = damage {
            mend(&repository, &damage);
        } else {
            assert_eq!(lost, entries[entries.len() - 1..], "{what}");
            let found = find_snapshots(&repository, &Silent).unwrap();
            avro_snap::ops::recover::bring_back(&repository, &found.candidates).unwrap();
        }
        assert_eq!(hurt.open().packs().epoch(), 2, "{what}");
        all_is_well(&hurt, &expected, &what);
        save(&hurt, &noise(&mut Random::new(30), 1, 3000)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!opens_with(&hurt, SECOND), "{what}");
    }
}

#[test]
fn a_password_is_not_called_wrong_because_keys_are_rotated_while_it_is_tried() {
    for recovers in [false, true] {
        rotated_while_opening(recovers);
    }
}

fn rotated_while_opening(recovers: bool) {
    let memory = Memory::new();
    story(&(Arc::new(memory.clone()) as Arc<dyn Backend>), &mut Random::new(4));
    let objects = objects_of(&memory);
    for moment in 0.. {
        let backend: Arc<dyn Backend> = Arc::new(memory_of(&objects));
        let interrupted = {
            let backend = backend.clone();
            // Twice: what was listed after the first rotation is not there any more, either.
            Interrupted::at(&backend.clone(), moment, move || {
                rotate(&lab(&backend)).unwrap();
                rotate(&lab(&backend)).unwrap();
            })
        };
        let shown: Arc<dyn Backend> = interrupted.clone();
        let opened = match recovers {
            true => {
                Repository::open_broken(shown, Unlock::Password(&mut || Ok(PASSWORD.to_vec())), &options()).map(drop)
            }
            false => lab(&shown).try_open().map(drop),
        };
        match opened {
            Ok(()) | Err(Error::KeysRotated { .. }) => {}
            Err(error) => panic!("rotated before operation {moment}, recovers: {recovers}: {error}"),
        }
        if !interrupted.happened() {
            assert!(moment > 3, "{moment}");
            break;
        }
    }
}
