//! What `prune` frees, what it keeps, and what it says.
//!
//! `SNAP_PRUNE_CASES=n` is the number of random histories (12 by default).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::lab;
use crate::small;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use avro_gen::Random;
use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use avro_snap::id::SnapshotId;
use avro_snap::ops::prune::{Fate, MaxUnused};
use avro_snap::storage::{Backend, Kind, Memory};
use faults::{Files, check_all};
use lab::{Lab, packs_of};
use small::{all_is_well, count, forget, init, noise, open, run_prune, save, thorough};

fn memory(suite: Suite) -> (Arc<dyn Backend>, Lab) {
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let lab = init(&backend, suite);
    (backend, lab)
}

/// Three nights: most stays, something comes, something goes.
fn nights(lab: &Lab) -> Vec<(SnapshotId, Files)> {
    let mut random = Random::new(5);
    let mut files = noise(&mut random, 6, 9_000);
    let mut nights = Vec::new();
    for night in 0..3 {
        files.extend(
            noise(&mut random, 2, 9_000)
                .into_iter()
                .map(|(path, bytes)| (format!("{}-{night}", path.display()).into(), bytes)),
        );
        files.remove(std::path::Path::new(&format!("file-{night}")));
        nights.push((save(lab, &files).unwrap(), files.clone()));
    }
    nights
}

#[test]
fn what_was_forgotten_is_freed_and_the_rest_is_as_before() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let (backend, lab) = memory(suite);
        let nights = nights(&lab);
        let before = count(&backend, Kind::Pack);
        forget(&lab, &[nights[0].0, nights[1].0]).unwrap();
        let planned = run_prune(&lab, &thorough().dry_run(true)).unwrap();
        assert_eq!(count(&backend, Kind::Pack), before, "a dry run changes nothing");
        assert!(planned.tally(Fate::goes).packs > 0 && planned.condemned.packs == 0);
        let report = run_prune(&lab, &thorough()).unwrap();
        let after = count(&backend, Kind::Pack);
        assert!(after.1 < before.1 && report.swept.packs > 0, "{report:?}");
        assert_eq!(before.1 + report.written.bytes - report.swept.bytes, after.1);
        let expected = BTreeMap::from([nights[2].clone()]);
        all_is_well(&lab, &expected, suite.name());
        // What is left is what a repository with nothing but the last night has, but for directories and half-full packs.
        let (other, fresh) = memory(suite);
        save(&fresh, &nights[2].1).unwrap();
        let least = count(&other, Kind::Pack).1;
        assert!(after.1 < least + least / 20, "{} where {least} would do", after.1);
        assert!(count(&backend, Kind::Index).0 <= 2, "index objects that name what is gone are gone");
        let again = run_prune(&lab, &thorough()).unwrap();
        assert_eq!((again.condemned.packs, again.written.packs, again.swept.packs), (0, 0, 0), "nothing is left to do");
        assert_eq!(check_all(&open(&lab)).unwrap().unindexed_packs, 0);
    }
}

#[test]
fn condemned_packs_wait_and_the_next_prune_sweeps_them() {
    let (backend, lab) = memory(Suite::None);
    let nights = nights(&lab);
    forget(&lab, &[nights[0].0, nights[1].0]).unwrap();
    let before = count(&backend, Kind::Pack);
    let day = thorough().grace(Duration::from_secs(86_400));
    let report = run_prune(&lab, &day).unwrap();
    assert!(report.condemned.packs > 0 && report.swept.packs == 0 && report.waiting.packs == report.condemned.packs);
    assert_eq!(count(&backend, Kind::Pack).0, before.0 + report.written.packs as usize);
    let expected = BTreeMap::from([nights[2].clone()]);
    all_is_well(&lab, &expected, "while they wait");
    // Nothing new rests on them.
    let back = save(&lab, &nights[0].1).unwrap();
    let report = run_prune(&lab, &thorough()).unwrap();
    assert!(report.swept.packs > 0);
    all_is_well(&lab, &BTreeMap::from([nights[2].clone(), (back, nights[0].1.clone())]), "afterwards");
    assert!(count(&backend, Kind::Pack).1 < before.1);
}

#[test]
fn removed_snapshots_come_back_until_they_are_swept() {
    let (_, lab) = memory(Suite::Aes256Gcm);
    let nights = nights(&lab);
    let all: BTreeMap<_, _> = nights.iter().cloned().collect();
    let first = nights[0].0;
    open(&lab).log().set_tags(first, &["kept".into()]).unwrap();
    forget(&lab, &[first, nights[1].0]).unwrap();
    open(&lab).revive(&[first, nights[1].0]).unwrap();
    all_is_well(&lab, &all, "before a prune");
    assert_eq!(
        open(&lab).state().snapshots.iter().find(|record| record.id == first).unwrap().tags,
        Some(vec!["kept".into()])
    );
    forget(&lab, &[first]).unwrap();
    let day = thorough().grace(Duration::from_secs(86_400));
    assert!(run_prune(&lab, &day).unwrap().condemned.packs > 0);
    open(&lab).revive(&[first]).unwrap();
    all_is_well(&lab, &all, "after packs were condemned");
    assert!(run_prune(&lab, &thorough()).unwrap().swept.packs > 0);
    all_is_well(&lab, &all, "after they were swept");
    assert!(matches!(open(&lab).revive(&[first]), Err(Error::NoSnapshot { .. })), "it is there");
    forget(&lab, &[first]).unwrap();
    run_prune(&lab, &thorough()).unwrap();
    assert!(matches!(open(&lab).revive(&[first]), Err(Error::Pruned { chunks: 1.., .. })));
    all_is_well(&lab, &nights[1..].iter().cloned().collect(), "in the end");
}

#[test]
fn what_may_stay_unused_is_left_alone() {
    let (_, lab) = memory(Suite::None);
    let nights = nights(&lab);
    forget(&lab, &[nights[0].0]).unwrap();
    let all = run_prune(&lab, &thorough().max_unused(MaxUnused::Percent(100.0)).dry_run(true)).unwrap();
    let none = run_prune(&lab, &thorough().dry_run(true)).unwrap();
    assert_eq!(all.tally(Fate::is_copied).packs, 0);
    assert!(
        all.unused_bytes_left > none.unused_bytes_left && none.unused_bytes_left == 0,
        "{} {}",
        all.unused_bytes_left,
        none.unused_bytes_left
    );
    let little = thorough().max_repack_size(Some(1));
    let report = run_prune(&lab, &little).unwrap();
    assert!(report.written.packs == 0 && report.tally(|fate| fate == Fate::Deferred).packs > 0);
}

#[test]
fn small_packs_are_put_together() {
    let (backend, lab) = memory(Suite::None);
    let mut expected = BTreeMap::new();
    let mut random = Random::new(6);
    for _ in 0..8 {
        let files = noise(&mut random, 1, 1_000);
        expected.insert(save(&lab, &files).unwrap(), files);
    }
    let before = count(&backend, Kind::Pack).0;
    assert_eq!(run_prune(&lab, &thorough()).unwrap().condemned.packs, 0);
    assert_eq!(count(&backend, Kind::Index).0, 1, "index objects were");
    run_prune(&lab, &thorough().repack_small(true)).unwrap();
    assert!(count(&backend, Kind::Pack).0 * 3 < before);
    all_is_well(&lab, &expected, "put together");
}

#[test]
fn damage_that_is_recorded_stops_nothing_and_heals_when_the_data_comes_again() {
    let (backend, lab) = memory(Suite::None);
    let nights = nights(&lab);
    forget(&lab, &[nights[0].0]).unwrap();
    // Some packs are gone. What the snapshots themselves are made of is not among them.
    let repository = open(&lab);
    let infos = packs_of(&repository);
    let is_data = |info: &&std::sync::Arc<avro_snap::pack::PackInfo>| {
        info.directory.frames.iter().all(|frame| frame.kind == avro_snap::chunk::ChunkKind::Bytes)
    };
    let lost: Vec<_> = infos.iter().filter(is_data).step_by(2).map(|info| info.name()).collect();
    let packs = count(&backend, Kind::Pack).0;
    assert!(lost.len() > 1, "{}", lost.len());
    drop(repository);
    for name in &lost {
        backend.delete(name).unwrap();
    }
    assert!(matches!(run_prune(&lab, &thorough()), Err(error) if error.is_damage()), "nobody has accounted for it");
    assert_eq!(count(&backend, Kind::Pack).0, packs - lost.len(), "nothing was changed");
    let damage: Vec<_> = lost.iter().map(|name| (name.file().parse().unwrap(), vec![])).collect();
    open(&lab).catalog().record_damage(&damage).unwrap();
    let report = run_prune(&lab, &thorough()).unwrap();
    assert!(report.lost_chunks > 0, "{report:?}");
    run_prune(&lab, &thorough()).unwrap();
    // The same data heals what was lost, without anybody saying which.
    let healed = save(&lab, &nights[2].1).unwrap();
    let expected = BTreeMap::from([nights[2].clone(), (healed, nights[2].1.clone())]);
    let repository = open(&lab);
    for (id, files) in &expected {
        assert_eq!(faults::restored(&repository, *id, files), Some(true), "{id}");
    }
    let report = run_prune(&lab, &thorough()).unwrap();
    // Whether the second night is whole by now depends on which packs its own file was in, which threads decide.
    let is_whole = faults::restored(&open(&lab), nights[1].0, &nights[1].1) == Some(true);
    assert_eq!(report.lost_chunks == 0, is_whole, "{report:?}");
    for (id, files) in &expected {
        assert_eq!(faults::restored(&open(&lab), *id, files), Some(true), "{id}");
    }
    forget(&lab, &[nights[1].0]).unwrap();
    assert_eq!(run_prune(&lab, &thorough()).unwrap().lost_chunks, 0);
    run_prune(&lab, &thorough()).unwrap();
    all_is_well(&lab, &expected, "healed");
}

#[test]
fn random_histories_keep_every_snapshot_that_lives() {
    let seed = faults::seed();
    for case in 0..faults::size("SNAP_PRUNE_CASES", 12) {
        let mut random = Random::new(seed ^ (case as u64) << 32);
        let (backend, lab) = memory(if case % 4 == 0 { Suite::Aes256Gcm } else { Suite::None });
        let mut files = noise(&mut random, 4, 4_000);
        let mut live: BTreeMap<SnapshotId, Files> = BTreeMap::new();
        let mut removed: Vec<(SnapshotId, Files)> = Vec::new();
        for step in 0..16 {
            let what = format!("case {case}, step {step}");
            match random.below(6) {
                0 | 1 => {
                    let name = format!("file-{}", random.below(6));
                    let fresh = noise(&mut random, 1, 200 + case * 37 % 6_000).into_values().next().unwrap();
                    let file = files.entry(name.into()).or_default();
                    let at = random.below(file.len() + 1);
                    file.splice(at..at, fresh);
                    live.insert(save(&lab, &files).unwrap(), files.clone());
                }
                2 => {
                    // The whole content of one file is part of another.
                    let copy = files.values().next().cloned().unwrap_or_default();
                    files.insert(format!("copy-{step}").into(), [copy.clone(), copy].concat());
                    live.insert(save(&lab, &files).unwrap(), files.clone());
                }
                3 if !live.is_empty() => {
                    let id = *live.keys().nth(random.below(live.len())).unwrap();
                    forget(&lab, &[id]).unwrap();
                    removed.push((id, live.remove(&id).unwrap()));
                }
                4 if !removed.is_empty() => {
                    let (id, files) = removed.swap_remove(random.below(removed.len()));
                    match open(&lab).revive(&[id]) {
                        Ok(()) => drop(live.insert(id, files)),
                        Err(Error::Pruned { .. }) => {}
                        Err(error) => panic!("{what}: {error}"),
                    }
                }
                _ => {
                    let unused = [0.0, 5.0, 50.0][random.below(3)];
                    let grace = Duration::from_secs([0, 0, 3600][random.below(3)]);
                    let repack_small = random.below(2) == 0;
                    let max_unused = MaxUnused::Percent(unused);
                    run_prune(&lab, &thorough().max_unused(max_unused).grace(grace).repack_small(repack_small))
                        .unwrap();
                }
            }
            all_is_well(&lab, &live, &what);
        }
        run_prune(&lab, &thorough()).unwrap();
        run_prune(&lab, &thorough()).unwrap();
        all_is_well(&lab, &live, "in the end");
        let used = run_prune(&lab, &thorough().dry_run(true)).unwrap();
        assert_eq!(used.unused_bytes_left, 0, "case {case}");
        assert_eq!(used.bytes_before, count(&backend, Kind::Pack).1);
    }
}

/// For tests that look at the log itself.
#[test]
fn the_log_says_what_a_prune_did() {
    let (_, lab) = memory(Suite::None);
    let nights = nights(&lab);
    forget(&lab, &[nights[0].0]).unwrap();
    let before = open(&lab).state().next;
    run_prune(&lab, &thorough()).unwrap();
    let state = open(&lab).state();
    assert_eq!(state.next, before + 2, "Condemn and Swept");
    assert!(state.standing.condemned.values().all(|retired| retired.entry == before && retired.swept));
    assert!(state.standing.superseded.values().all(|retired| retired.entry == before && retired.swept));
    let none = open(&lab).log().swept(&[], &[]).unwrap();
    assert_eq!((none, open(&lab).state().next), (None, state.next));
}

#[test]
fn what_is_young_is_nobodys_garbage_yet() {
    let own = tempfile::tempdir().unwrap();
    let backend: Arc<dyn Backend> = Arc::new(avro_snap::storage::Local::new(own.path().join("repository")));
    let lab = init(&backend, Suite::None);
    let nights = nights(&lab);
    // A pack that nobody has named yet, and what a write left that died.
    let repository = open(&lab);
    let writer = avro_snap::store::Writer::new(&repository).unwrap();
    let mut builder = avro_snap::pack::PackBuilder::default();
    let bytes = b"a chunk that no snapshot needs".to_vec();
    let chunk = avro_snap::pack::PlainChunk { id: repository.hasher().id(&bytes), bytes };
    let mut codec = avro_snap::pack::FrameCodec::new(None).unwrap();
    builder.push(codec.encode(avro_snap::chunk::ChunkKind::Bytes, std::slice::from_ref(&chunk)));
    writer.store(builder).unwrap();
    drop(writer);
    drop(repository);
    let tmp = own.path().join("repository/tmp");
    let (old, new) = ("0f".repeat(16), "1e".repeat(16));
    for (name, age) in [(old.as_str(), 90_000), (new.as_str(), 10), ("foreign", 90_000)] {
        let file = std::fs::File::create(tmp.join(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
    }
    let before = count(&backend, Kind::Pack).0;
    let hour = thorough().grace(Duration::from_secs(3600));
    let report = run_prune(&lab, &hour).unwrap();
    assert_eq!(report.tally(|fate| fate == Fate::Young).packs, 1);
    assert_eq!((report.condemned.packs, count(&backend, Kind::Pack).0), (0, before));
    assert!(!tmp.join(old).exists() && tmp.join(new).exists() && tmp.join("foreign").exists());
    assert_eq!(count(&backend, Kind::Session).0, 0, "the probe is gone");
    let packs = own.path().join("repository/packs");
    let mut aged = 0;
    for folder in std::fs::read_dir(packs).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let file = std::fs::File::options().write(true).open(file.unwrap().path()).unwrap();
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7200)).unwrap();
            aged += 1;
        }
    }
    assert_eq!(aged, before);
    let report = run_prune(&lab, &hour).unwrap();
    assert_eq!((report.condemned.packs, report.waiting.packs), (1, 1));
    assert_eq!(run_prune(&lab, &thorough()).unwrap().swept.packs, 1);
    assert_eq!(count(&backend, Kind::Pack).0, before - 1);
    all_is_well(&lab, &nights.into_iter().collect(), "in a folder");
}

#[test]
fn an_unreadable_pack_that_nothing_names_goes_and_one_that_came_back_goes_again() {
    let (backend, lab) = memory(Suite::None);
    let nights = nights(&lab);
    let name = avro_snap::pack::pack_name(&avro_snap::id::PackId::new([7; 32]));
    backend.create(&name, b"this is no pack").unwrap();
    forget(&lab, &[nights[0].0]).unwrap();
    let objects = faults::objects_of(&*backend);
    run_prune(&lab, &thorough()).unwrap();
    assert_eq!(backend.size(&name).unwrap(), None);
    for (name, bytes) in objects.iter().filter(|(name, _)| name.kind() == Kind::Pack) {
        // A delayed write, or a disk that forgot that it had deleted something.
        backend.create(name, bytes).unwrap();
    }
    let more = count(&backend, Kind::Pack).0;
    run_prune(&lab, &thorough()).unwrap();
    assert!(count(&backend, Kind::Pack).0 < more);
    all_is_well(&lab, &nights[1..].iter().cloned().collect(), "again");
    assert_eq!(check_all(&open(&lab)).unwrap().unindexed_packs, 0);
}
