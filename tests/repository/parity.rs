//! Packs of repositories with parity rot: bits flip, bursts and sectors are lost, ends are cut off. Within the reach of
//! parity every file comes back bit for bit, a check says what is damaged, and `repair packs` puts it right without any
//! loss. Beyond it, damage is reported as ever. Whatever becomes of the parity objects themselves, no wrong byte is read.
//!
//! `SNAP_PARITY_RUNS=n` is how many repositories rot (20 by default), `SNAP_PARITY_SEED=n` begins with another one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::hooked::{Hooked, Op, injected};
use crate::lab;
use crate::small;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use avro_gen::Random;
use avro_snap::chunk::CutParams;
use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::error::Result;
use avro_snap::id::{PackId, SnapshotId};
use avro_snap::ops::check::CheckReport;
use avro_snap::ops::prune::Fate;
use avro_snap::ops::repair::{PackRepair, PackRepairOptions, repair_index, repair_packs};
use avro_snap::pack::{make_parity, pack_name, parity_name};
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, ByteRange, Kind, Memory, Name, StorageErrorKind};
use avro_snap::store::{InitOptions, Repository, Settings, SystemClock};
use faults::{Crashing, Files, Moment, check_all, objects_of, restored};
use lab::{CHEAP, Lab, PASSWORD};
use small::{all_is_well, forget, noise, run_prune, save, thorough};

fn init(backend: &Arc<dyn Backend>, suite: Suite, share: u32) -> Result<()> {
    let options = InitOptions::default()
        .encryption(suite)
        .password((suite != Suite::None).then(|| PASSWORD.to_vec()))
        .kdf(CHEAP)
        .cut(CutParams { min: 256, average: 512, max: 2048, align: 0 })
        .parity(share);
    Repository::init(backend, &options, &SystemClock, &SystemEntropy).map(drop)
}

/// A repository in which two states of some files are saved.
struct Sample {
    memory: Memory,
    lab: Lab,
    saved: BTreeMap<SnapshotId, Files>,
}

impl Sample {
    fn new(random: &mut Random, share: u32) -> Self {
        let suite = if random.next().is_multiple_of(2) { Suite::None } else { Suite::Aes256Gcm };
        let memory = Memory::new();
        let backend: Arc<dyn Backend> = Arc::new(memory.clone());
        init(&backend, suite, share).unwrap();
        let lab = small::lab(&backend);
        let mut files = noise(random, 3, 20_000);
        let first = save(&lab, &files).unwrap();
        let mut saved = BTreeMap::from([(first, files.clone())]);
        // A few changed bytes: differences, which rest on packs of the first night.
        for bytes in files.values_mut() {
            let at = random.next() as usize % bytes.len();
            bytes[at] ^= 1;
        }
        files.insert("other".into(), noise(random, 1, 9_000).into_values().next().unwrap());
        saved.insert(save(&lab, &files).unwrap(), files);
        Self { memory, lab, saved }
    }

    fn read(&self, name: &Name) -> Vec<u8> {
        self.memory.read(name, u64::MAX - 1).unwrap()
    }

    fn overwrite(&self, name: &Name, bytes: &[u8]) {
        self.memory.delete(name).unwrap();
        self.memory.create(name, bytes).unwrap();
    }

    fn packs(&self) -> Vec<PackId> {
        self.memory.list_all(Kind::Pack).unwrap().iter().map(|meta| meta.name.file().parse().unwrap()).collect()
    }

    fn repair(&self) -> PackRepair {
        let options = PackRepairOptions::default();
        repair_packs(&small::open(&self.lab), &options, &Silent).unwrap()
    }

    /// All snapshots come back bit for bit; gives the packs that had to be mended for it.
    fn all_come_back(&self, what: &str) -> Vec<PackId> {
        let repository = self.lab.open();
        for (id, files) in &self.saved {
            assert_eq!(restored(&repository, *id, files), Some(true), "{what}: {id}");
        }
        repository.packs().mended_packs()
    }

    fn check(&self) -> CheckReport {
        check_all(&self.lab.open()).unwrap()
    }
}

/// How a pack is cut: the lengths of pack and shard, and how many shards may be lost.
#[derive(Debug, Clone, Copy)]
struct Reach {
    pack: usize,
    shard: usize,
    recoveries: usize,
}

impl Reach {
    /// As the parity object says (`docs/format.md`).
    fn of(object: &[u8]) -> Self {
        let number =
            |at: usize, length: usize| object[at..at + length].iter().rfold(0, |n, b| n << 8 | usize::from(*b));
        Self { pack: number(60, 4), shard: number(64, 4), recoveries: number(70, 2) }
    }

    fn shards(&self) -> usize {
        self.pack.div_ceil(self.shard)
    }

    fn range(&self, shard: usize) -> Range<usize> {
        shard * self.shard..self.pack.min((shard + 1) * self.shard)
    }
}

fn below(random: &mut Random, limit: usize) -> usize {
    random.next() as usize % limit
}

/// Harms so many shards of a pack, in a way that chance chooses.
fn harm(random: &mut Random, pack: &[u8], reach: Reach, shards: usize) -> (Vec<u8>, &'static str) {
    let mut harmed = pack.to_vec();
    let all = reach.shards();
    let first = below(random, all - shards + 1);
    let what = match below(random, 5) {
        0 => {
            let mut lost = BTreeSet::new();
            while lost.len() < shards {
                lost.insert(below(random, all));
            }
            for shard in lost {
                let range = reach.range(shard);
                harmed[range.start + below(random, range.len())] ^= 1 << below(random, 8);
            }
            "a flipped bit in each of some shards"
        }
        1 => {
            for shard in first..first + shards {
                harmed[reach.range(shard)].iter_mut().for_each(|byte| *byte = random.next() as u8);
            }
            "a burst"
        }
        2 => {
            let (start, end) = (reach.range(first).start, reach.range(first + shards - 1).end);
            harmed[start..end].fill(0);
            "zeros"
        }
        3 => {
            harmed.truncate(reach.range(all - shards).start + below(random, reach.range(all - shards).len()));
            "cut off"
        }
        _ => {
            // The end: trailer and directory.
            for shard in all - shards..all {
                let range = reach.range(shard);
                harmed[range.end - 1 - below(random, range.len().min(40))] ^= 0x80;
            }
            "the end"
        }
    };
    (harmed, what)
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Lets `each` do something with a number of chances, each by a seed of its own.
fn campaign(share_of_runs: u64, mut each: impl FnMut(&mut Random, &str)) {
    let first = number("SNAP_PARITY_SEED", 0);
    for seed in first..first + number("SNAP_PARITY_RUNS", 20).div_ceil(share_of_runs) {
        each(&mut Random::new(seed), &format!("SNAP_PARITY_SEED={seed}"));
    }
}

#[test]
fn within_reach_everything_comes_back_and_repair_makes_it_whole() {
    let mut met: BTreeMap<&str, u64> = BTreeMap::new();
    campaign(1, |random, seed| {
        let share = [50, 50, 20, 200][below(random, 4)];
        let sample = Sample::new(random, share);
        assert_eq!(sample.all_come_back(seed), [], "{seed}");
        let mut harmed = BTreeSet::new();
        for pack in sample.packs() {
            let reach = Reach::of(&sample.read(&parity_name(&pack)));
            let bytes = sample.read(&pack_name(&pack));
            assert_eq!(reach.pack, bytes.len());
            let shards = 1 + below(random, reach.recoveries);
            let (rotten, what) = harm(random, &bytes, reach, shards);
            *met.entry(what).or_default() += 1;
            if rotten != bytes {
                sample.overwrite(&pack_name(&pack), &rotten);
                harmed.insert(pack);
            }
        }
        let mended = sample.all_come_back(seed);
        assert!(mended.iter().all(|pack| harmed.contains(pack)), "{seed}");
        let report = sample.check();
        assert_eq!(report.mendable_packs, harmed.len() as u64, "{seed}: {:?}", report.problems);
        assert_eq!(report.problems.len(), harmed.len(), "{seed}: {:?}", report.problems);
        assert_eq!((report.damaged_snapshots, report.lost_paths), (0, 0), "{seed}");
        let repair = sample.repair();
        assert_eq!(repair.damaged.len(), harmed.len(), "{seed}");
        for pack in &repair.damaged {
            assert!(pack.mended && pack.lost_chunks == 0 && pack.lost_frames == 0, "{seed}: {pack:?}");
        }
        all_is_well(&sample.lab, &sample.saved, seed);
        assert_eq!(sample.check().unprotected_packs, 0, "{seed}");
        // Nothing rests on what was damaged.
        run_prune(&sample.lab, &thorough()).unwrap();
        assert!(sample.packs().iter().all(|pack| !harmed.contains(pack)), "{seed}");
        assert_eq!(sample.all_come_back(seed), [], "{seed}");
        all_is_well(&sample.lab, &sample.saved, seed);
        let parity = small::count(&sample.lab.backend, Kind::Parity).0;
        assert_eq!(parity, sample.packs().len(), "{seed}");
    });
    println!("{met:?}");
}

#[test]
fn beyond_reach_damage_is_reported_and_no_wrong_byte_is_read() {
    let mut lost = 0;
    campaign(2, |random, seed| {
        let sample = Sample::new(random, 50);
        let packs = sample.packs();
        let pack = packs[below(random, packs.len())];
        let reach = Reach::of(&sample.read(&parity_name(&pack)));
        let shards = (reach.recoveries + 1 + below(random, 3)).min(reach.shards());
        let (rotten, what) = harm(random, &sample.read(&pack_name(&pack)), reach, shards);
        sample.overwrite(&pack_name(&pack), &rotten);
        let repository = sample.lab.open();
        for (id, files) in &sample.saved {
            // Panics on wrong bytes, and on what is missing without a word.
            lost += u64::from(restored(&repository, *id, files) != Some(true));
        }
        assert!(repository.packs().mended_packs().is_empty(), "{seed}: {what}");
        let report = sample.check();
        assert!(!report.problems.is_empty() && report.mendable_packs == 0, "{seed}: {what}: {:?}", report.problems);
        sample.repair();
        for (id, files) in &sample.saved {
            let _ = restored(&sample.lab.open(), *id, files);
        }
    });
    assert!(lost > 0);
}

#[test]
fn whatever_becomes_of_parity_objects_sound_packs_are_read_and_new_ones_are_made() {
    campaign(2, |random, seed| {
        let sample = Sample::new(random, 50);
        let before = objects_of(&sample.memory);
        let packs = sample.packs();
        let mut unsound = 0;
        for (number, pack) in packs.iter().enumerate() {
            let name = parity_name(pack);
            let (object, other) = (sample.read(&name), parity_name(&packs[(number + 1) % packs.len()]));
            let mut changed = object.clone();
            match below(random, 7) {
                0 => changed[below(random, object.len())] ^= 4,
                1 => changed.truncate(below(random, object.len())),
                2 => changed = before[&other].clone(),
                3 => changed = (0..200).map(|_| random.next() as u8).collect(),
                4 => changed.extend([0; 10]),
                // Made of something else under this name, by somebody who can compute checksums.
                5 => changed = make_parity(sample.lab.open().id(), pack, &noise_of(random, 5_000), 80).unwrap(),
                _ => {
                    sample.memory.delete(&name).unwrap();
                    continue;
                }
            }
            unsound += u64::from(changed != object);
            sample.overwrite(&name, &changed);
        }
        assert_eq!(sample.all_come_back(seed), [], "{seed}");
        let report = sample.check();
        assert_eq!(report.unsound_parity, unsound, "{seed}: {:?}", report.problems);
        assert_eq!((report.problems.len() as u64, report.damaged_snapshots), (unsound, 0), "{seed}");
        let repair = sample.repair();
        assert!(repair.damaged.is_empty() && repair.protected >= unsound, "{seed}");
        // What is made again is what was there.
        assert!(objects_of(&sample.memory) == before, "{seed}");
        assert_eq!(sample.repair().protected, 0, "{seed}");
    });
}

fn noise_of(random: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.next() as u8).collect()
}

#[test]
fn damage_to_a_pack_and_its_parity_at_once_gives_no_wrong_byte() {
    campaign(2, |random, _| {
        let sample = Sample::new(random, 100);
        for pack in sample.packs() {
            let object = sample.read(&parity_name(&pack));
            let reach = Reach::of(&object);
            let (rotten, _) = harm(random, &sample.read(&pack_name(&pack)), reach, 1);
            sample.overwrite(&pack_name(&pack), &rotten);
            let mut changed = object.clone();
            for _ in 0..1 + below(random, 40) {
                changed[below(random, object.len())] ^= 1 << below(random, 8);
            }
            sample.overwrite(&parity_name(&pack), &changed);
        }
        let repository = sample.lab.open();
        for (id, files) in &sample.saved {
            let _ = restored(&repository, *id, files);
        }
        let _ = sample.check();
        sample.repair();
        for (id, files) in &sample.saved {
            let _ = restored(&sample.lab.open(), *id, files);
        }
    });
}

/// A storage that cannot read a part of an object, and says so.
fn bad_sector(below: &Memory, object: &Name, bad: Range<u64>) -> Arc<dyn Backend> {
    let object = object.clone();
    let hook = move |op: Op<'_>| match op {
        Op::Read(name, range) if *name == object => match range {
            ByteRange::Exactly { offset, length } if offset >= bad.end || offset + length as u64 <= bad.start => Ok(()),
            _ => Err(injected(StorageErrorKind::BadMedium)),
        },
        _ => Ok(()),
    };
    Arc::new(Hooked::new(Arc::new(below.clone()), hook))
}

#[test]
fn a_sector_that_cannot_be_read_is_mended_too() {
    let memory = Memory::new();
    let backend: Arc<dyn Backend> = Arc::new(memory.clone());
    init(&backend, Suite::Aes256Gcm, 50).unwrap();
    let mut lab = small::lab(&backend);
    let folder = tempfile::tempdir().unwrap();
    let files = noise(&mut Random::new(9), 1, 1_500_000);
    small::write_all(folder.path(), &files);
    let id = lab.save(folder.path()).snapshot.unwrap();
    let largest = objects_of(&memory).into_iter().filter(|(name, _)| name.kind() == Kind::Pack);
    let (object, bytes) = largest.max_by_key(|(_, bytes)| bytes.len()).unwrap();
    assert!(bytes.len() > 1_000_000);
    lab.backend = bad_sector(&memory, &object, 409_600..417_792);
    let repository = lab.open();
    assert_eq!(restored(&repository, id, &files), Some(true));
    assert_eq!(repository.packs().mended_packs(), [object.file().parse().unwrap()]);
    let report = check_all(&lab.open()).unwrap();
    assert_eq!((report.mendable_packs, report.problems.len()), (1, 1), "{:?}", report.problems);
    let options = PackRepairOptions::default();
    let repair = repair_packs(&lab.open(), &options, &Silent).unwrap();
    assert!(repair.damaged.len() == 1 && repair.damaged[0].mended && repair.damaged[0].lost_chunks == 0);
    let repository = lab.open();
    assert_eq!(restored(&repository, id, &files), Some(true));
    assert!(repository.packs().mended_packs().is_empty());
}

#[test]
fn lost_index_objects_are_made_from_damaged_packs() {
    let mut random = Random::new(5);
    let sample = Sample::new(&mut random, 100);
    for pack in sample.packs() {
        let mut bytes = sample.read(&pack_name(&pack));
        let end = bytes.len();
        bytes[end - 20] ^= 1;
        sample.overwrite(&pack_name(&pack), &bytes);
    }
    for (name, _) in objects_of(&sample.memory) {
        if name.kind() == Kind::Index {
            sample.memory.delete(&name).unwrap();
        }
    }
    sample.all_come_back("without index");
    let repair = repair_index(&sample.lab.open(), false, false, &Silent).unwrap();
    assert!(repair.unsound.is_empty() && repair.packs > 0);
    sample.all_come_back("index made anew");
    assert!(sample.repair().damaged.iter().all(|pack| pack.mended && pack.lost_chunks == 0));
    all_is_well(&sample.lab, &sample.saved, "repaired");
}

#[test]
fn a_crash_at_any_operation_leaves_no_pack_that_a_snapshot_rests_on_without_parity() {
    let mut random = Random::new(6);
    let files = noise(&mut random, 2, 15_000);
    for moment in [Moment::Before, Moment::After] {
        let mut operations = 0;
        loop {
            let memory: Arc<dyn Backend> = Arc::new(Memory::new());
            init(&memory, Suite::Aes256Gcm, 50).unwrap();
            let crashing = Arc::new(Crashing::dying(memory.clone(), operations, moment));
            let dying: Arc<dyn Backend> = crashing.clone();
            let died = save(&small::lab(&dying), &files).is_err();
            let what = format!("death {moment:?} operation {operations}");
            assert_eq!(died, crashing.died(), "{what}");
            let lab = small::lab(&memory);
            let id = save(&lab, &files).unwrap();
            all_is_well(&lab, &BTreeMap::from([(id, files.clone())]), &what);
            assert_eq!(check_all(&lab.open()).unwrap().unprotected_packs, 0, "{what}");
            if !died {
                break;
            }
            operations += 1;
        }
        // Three packs and more, the parity of each, the index object and the entry.
        assert!(operations >= 8, "{operations}");
    }
}

#[test]
fn a_prune_that_dies_at_any_operation_leaves_nothing_that_the_next_one_does_not_put_right() {
    let mut random = Random::new(11);
    // What shares a pack with what goes depends on the keys, which are random: until something has to be copied.
    let (sample, ids) = loop {
        let sample = Sample::new(&mut random, 50);
        let ids: Vec<_> = sample.saved.keys().copied().collect();
        forget(&sample.lab, &ids[..1]).unwrap();
        let plan = run_prune(&sample.lab, &thorough().dry_run(true)).unwrap();
        if plan.tally(Fate::is_copied).packs > 0 {
            break (sample, ids);
        }
    };
    let kept = BTreeMap::from([(ids[1], sample.saved[&ids[1]].clone())]);
    let before = objects_of(&sample.memory);
    for moment in [Moment::Before, Moment::After] {
        let mut operations = 0;
        loop {
            let memory: Arc<dyn Backend> = Arc::new(faults::memory_of(&before));
            let crashing = Arc::new(Crashing::dying(memory.clone(), operations, moment));
            let dying: Arc<dyn Backend> = crashing.clone();
            let died = run_prune(&small::lab(&dying), &thorough()).is_err();
            let what = format!("death {moment:?} operation {operations}");
            assert_eq!(died, crashing.died(), "{what}");
            let lab = small::lab(&memory);
            all_is_well(&lab, &kept, &what);
            run_prune(&lab, &thorough()).unwrap();
            all_is_well(&lab, &kept, &what);
            assert_eq!(check_all(&lab.open()).unwrap().unprotected_packs, 0, "{what}");
            assert_eq!(small::count(&memory, Kind::Pack).0, small::count(&memory, Kind::Parity).0, "{what}");
            if !died {
                break;
            }
            operations += 1;
        }
        // A pack and its parity, an index object, two entries, and what is deleted.
        assert!(operations >= 8, "{operations}");
    }
}

#[test]
fn parity_goes_with_its_pack_and_what_is_left_alone_goes_later() {
    let mut random = Random::new(8);
    let sample = Sample::new(&mut random, 50);
    let stray = parity_name(&PackId::new([7; 32]));
    sample.memory.create(&stray, b"its pack is gone").unwrap();
    // This storage says no times: what is left alone may be somebody's work.
    run_prune(&sample.lab, &thorough().grace(Duration::from_secs(60))).unwrap();
    assert!(sample.memory.size(&stray).unwrap().is_some());
    let ids: Vec<_> = sample.saved.keys().copied().collect();
    forget(&sample.lab, &ids[..1]).unwrap();
    run_prune(&sample.lab, &thorough()).unwrap();
    let (packs, parity) = [Kind::Pack, Kind::Parity].map(|kind| small::count(&sample.lab.backend, kind).0).into();
    assert_eq!(packs, parity);
    assert!(sample.memory.size(&stray).unwrap().is_none());
}

#[test]
fn without_the_setting_nothing_is_written_for_it() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let lab = small::init(&memory, Suite::None);
    save(&lab, &noise(&mut Random::new(1), 1, 5_000)).unwrap();
    assert_eq!(small::count(&memory, Kind::Parity), (0, 0));
    assert_eq!(check_all(&lab.open()).unwrap().unprotected_packs, 0);
    // A setting that a later version may make has no effect.
    let mut settings = Settings::default();
    settings.set(Settings::PARITY, "two packs of three".into());
    lab.open().log().change_settings(&settings).unwrap();
    save(&lab, &noise(&mut Random::new(2), 1, 5_000)).unwrap();
    assert_eq!(small::count(&memory, Kind::Parity), (0, 0));
}
