//! Every byte of every object of a small repository is changed in turn, objects are cut off, swapped, lost, replayed:
//! each time somebody notices, and no restore ever gives wrong bytes.
//!
//! `SNAP_FLIPS=n` flips n bytes of each of the two repositories (one encrypted, one plain), spread evenly; `all` flips
//! every byte. `SNAP_SEED` says where sampling begins and which bits are flipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::faults;
use crate::lab;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use avro_snap::id::SnapshotId;
use avro_snap::storage::{Backend, Kind, Memory, Name};
use avro_snap::store::{CachePlace, OpenOptions, Repository, Unlock};
use faults::{Files, Overlay, Verdict, judge, memory_of, objects_of, restored};
use lab::{CHEAP, Lab, PASSWORD, files_of, fixtures};

/// A small repository that stays as it is, and what must come out of it.
struct Sample {
    memory: Memory,
    objects: BTreeMap<Name, Vec<u8>>,
    /// The snapshots, in the order in which they were made.
    ids: Vec<SnapshotId>,
    expected: BTreeMap<SnapshotId, Files>,
    _folder: tempfile::TempDir,
    folder: std::path::PathBuf,
}

const BOTH: [Suite; 2] = [Suite::Aes256Gcm, Suite::None];

fn sample(suite: Suite) -> Sample {
    let kept = tempfile::tempdir().unwrap();
    let folder = kept.path().join("data");
    fs::create_dir_all(folder.join("below")).unwrap();
    let take = |from: &str, to: &str| assert!(fs::copy(fixtures(from), folder.join(to)).is_ok());
    take("codecs/fastavro-null-1k.avro", "null.avro");
    take("codecs/fastavro-deflate-64k.avro", "below/deflate.avro");
    fs::write(folder.join("text"), b"what is small is kept in the manifest").unwrap();
    fs::write(folder.join("empty"), b"").unwrap();
    let memory = Memory::new();
    let lab = Lab::on(Arc::new(memory.clone()), suite);
    if suite != Suite::None {
        lab.open().keys().add(b"another", CHEAP, "a second key").unwrap();
    }
    let mut expected = BTreeMap::new();
    let mut ids = vec![lab.save(&folder).snapshot.unwrap()];
    expected.insert(ids[0], files_of(&folder));
    take("odd/truncated-in-block-deflate.avro", "torn.avro");
    take("codecs/avro-zstandard.avro", "zstandard.avro");
    fs::write(folder.join("text"), b"what is small is kept in the manifest, and this is the second state").unwrap();
    fs::remove_file(folder.join("empty")).unwrap();
    ids.push(lab.save(&folder).snapshot.unwrap());
    expected.insert(ids[1], files_of(&folder));
    // Nothing changed: a root in a pack of its own over a manifest in another one.
    ids.push(lab.save(&folder).snapshot.unwrap());
    expected.insert(ids[2], files_of(&folder));
    let objects = objects_of(&memory);
    let sample = Sample { memory, objects, ids, expected, _folder: kept, folder };
    let verdict = sample.judge(Overlay::new(&sample.memory));
    assert!(!verdict.is_noticed() && verdict.restored.len() == 3, "{verdict:?}");
    sample
}

impl Sample {
    fn lab(&self, overlay: Overlay) -> Lab {
        Lab { backend: Arc::new(overlay), cache: CachePlace::Temporary }
    }

    fn judge(&self, overlay: Overlay) -> Verdict {
        judge(&self.lab(overlay), &self.expected)
    }

    fn with(&self, name: &Name, bytes: Option<Vec<u8>>) -> Overlay {
        Overlay::new(&self.memory).with(name, bytes)
    }

    fn of_kind(&self, kind: Kind) -> Vec<&Name> {
        self.objects.keys().filter(|name| name.kind() == kind).collect()
    }
}

/// Fails unless somebody notices, and what cannot be opened says why.
fn assert_noticed(verdict: &Verdict, what: &str) {
    assert!(verdict.is_noticed(), "NOT NOTICED: {what}: {verdict:?}");
    let because = verdict.refused.as_ref();
    assert!(
        because.is_none_or(|error| error.is_damage()
            || matches!(error, Error::WrongPassword { .. } | Error::NoRepository { .. } | Error::Unsupported { .. })),
        "refused, but not for its damage: {what}: {because:?}"
    );
}

#[test]
fn every_flipped_byte_is_noticed_and_none_restores_wrong_bytes() {
    let (most, seed) = (faults::size("SNAP_FLIPS", 600), faults::seed());
    for suite in BOTH {
        let (sample, began) = (sample(suite), Instant::now());
        let places: Vec<(&Name, usize)> =
            sample.objects.iter().flat_map(|(name, bytes)| (0..bytes.len()).map(move |at| (name, at))).collect();
        // Objects other than packs are small, and each of their bytes means something: they get twice their share.
        let step = places.len().div_ceil(most).max(1);
        let offset = seed as usize % step;
        let small = (step / 2).max(1);
        let chosen: Vec<(&Name, usize)> = (places.iter().enumerate())
            .filter(|(n, (name, _))| match name.kind() {
                Kind::Pack => n % step == offset,
                _ => n % small == offset % small,
            })
            .map(|(_, place)| *place)
            .collect();
        let (next, threads) = (AtomicUsize::new(0), std::thread::available_parallelism().map_or(1, usize::from));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((name, at)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                        let mut bytes = sample.objects[name].clone();
                        let bit = (at as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61;
                        bytes[at] ^= 1 << bit;
                        let verdict = sample.judge(sample.with(name, Some(bytes)));
                        assert_noticed(&verdict, &format!("bit {bit} of byte {at} of {name}, {}", suite.name()));
                    }
                });
            }
        });
        println!(
            "{}: {} of {} bytes of {} objects flipped, all noticed, in {:.1?}",
            suite.name(),
            chosen.len(),
            places.len(),
            sample.objects.len(),
            began.elapsed()
        );
    }
}

#[test]
fn objects_that_were_cut_off_or_grew_are_noticed() {
    for suite in BOTH {
        let sample = sample(suite);
        for (name, bytes) in &sample.objects {
            let length = bytes.len();
            let mut cuts = vec![0, 1, 8, 40, 96, length / 3, length / 2, length - 41, length - 17, length - 1];
            cuts.retain(|cut| *cut < length);
            cuts.dedup();
            for cut in cuts {
                let verdict = sample.judge(sample.with(name, Some(bytes[..cut].to_vec())));
                assert_noticed(&verdict, &format!("{name} cut to {cut} of {length} bytes, {}", suite.name()));
            }
            for more in [&b"\0"[..], &bytes[..length.min(40)]] {
                let verdict = sample.judge(sample.with(name, Some([bytes, more].concat())));
                assert_noticed(&verdict, &format!("{name} with {} bytes more, {}", more.len(), suite.name()));
            }
            let mut zeros = bytes.clone();
            let middle = length / 4..(length / 4 + 4096).min(length);
            zeros[middle].fill(0);
            let verdict = sample.judge(sample.with(name, Some(zeros)));
            assert_noticed(&verdict, &format!("{name} with zeros inside, {}", suite.name()));
        }
    }
}

#[test]
fn objects_in_each_others_place_are_noticed() {
    for suite in BOTH {
        let (sample, stranger) = (sample(suite), sample(suite));
        for kind in Kind::ALL {
            let names = sample.of_kind(kind);
            for (n, a) in names.iter().enumerate() {
                // The two copies of the config are the same bytes.
                for b in names[n + 1..].iter().filter(|b| sample.objects[**b] != sample.objects[*a]) {
                    let swapped =
                        sample.with(a, Some(sample.objects[*b].clone())).with(b, Some(sample.objects[*a].clone()));
                    let verdict = sample.judge(swapped);
                    assert_noticed(&verdict, &format!("{a} and {b} swapped, {}", suite.name()));
                }
            }
            // What another repository, of the same password and content, has in its place.
            for (own, others) in names.iter().zip(stranger.of_kind(kind)) {
                let verdict = sample.judge(sample.with(own, Some(stranger.objects[others].clone())));
                assert_noticed(&verdict, &format!("{own} from another repository, {}", suite.name()));
            }
        }
        // A pack or an index object that was slipped in under its own name harms nothing, nor does it help.
        for name in stranger.of_kind(Kind::Pack).into_iter().chain(stranger.of_kind(Kind::Index)) {
            let verdict = sample.judge(sample.with(name, Some(stranger.objects[name].clone())));
            assert_eq!(verdict.restored.len(), 3, "{name} slipped in: {verdict:?}");
        }
    }
}

fn sorted(ids: &[SnapshotId]) -> std::collections::BTreeSet<SnapshotId> {
    ids.iter().copied().collect()
}

#[test]
fn each_lost_object_is_noticed_and_the_next_create_makes_a_whole_snapshot() {
    for suite in BOTH {
        let sample = sample(suite);
        let logs = sample.of_kind(Kind::Log);
        for name in sample.objects.keys() {
            let verdict = sample.judge(sample.with(name, None));
            // Who puts back the state of yesterday whole can only be found out by who remembers today's; see
            // `a_rolled_back_log_is_noticed_by_who_remembers_its_head`.
            if Some(&name) == logs.last() {
                assert!(verdict.restored.iter().eq(sorted(&sample.ids[..2]).iter()), "{verdict:?}");
                assert!(verdict.absent.contains(&sample.ids[2]) && verdict.failed.is_empty(), "{verdict:?}");
            } else if *name == Name::config_copy() {
                // All works without it, and the next prune or repair makes it again.
                assert!(verdict.restored.iter().eq(sorted(&sample.ids).iter()), "{verdict:?}");
            } else {
                assert_noticed(&verdict, &format!("{name} is gone, {}", suite.name()));
            }
            heals(&sample, sample.with(name, None), &format!("{name} is gone, {}", suite.name()));
        }
        // A pack that was cut off is no better than one that is gone.
        for name in sample.of_kind(Kind::Pack) {
            let half = sample.objects[name][..sample.objects[name].len() / 2].to_vec();
            heals(&sample, sample.with(name, Some(half)), &format!("{name} was cut off, {}", suite.name()));
        }
    }
}

/// If the repository can be opened, a new snapshot in it either fails or comes back whole: twice, since the second
/// builds upon the first.
fn heals(sample: &Sample, damaged: Overlay, what: &str) {
    let lab = sample.lab(damaged);
    let files = files_of(&sample.folder);
    for turn in ["first", "second"] {
        let Ok(repository) = lab.try_open() else { return };
        let saved =
            avro_snap::ops::create::create(&repository, lab::saving(&sample.folder), &avro_snap::progress::Silent);
        let Ok(report) = saved else { return };
        drop(repository);
        let whole = restored(&lab.open(), report.snapshot.unwrap(), &files);
        assert_eq!(whole, Some(true), "{what}: the {turn} create after that says all is well, and it is not");
    }
}

#[test]
fn older_entries_of_the_log_replayed_under_later_names_are_noticed() {
    for suite in BOTH {
        let sample = sample(suite);
        let logs = sample.of_kind(Kind::Log);
        let next = Name::log(logs.len() as u64);
        for (n, older) in logs.iter().enumerate() {
            let bytes = &sample.objects[*older];
            for later in logs[n + 1..].iter().copied().chain([&next]) {
                let verdict = sample.judge(sample.with(later, Some(bytes.clone())));
                assert_noticed(&verdict, &format!("{older} replayed as {later}, {}", suite.name()));
            }
        }
    }
}

fn open_remembering(backend: Arc<dyn Backend>, state: &Path) -> avro_snap::error::Result<Repository> {
    let options = OpenOptions::default().state_folder(Some(state.to_path_buf()));
    Repository::open(backend, Unlock::Password(&mut || Ok(PASSWORD.to_vec())), &options)
}

#[test]
fn a_rolled_back_log_is_noticed_by_who_remembers_its_head() {
    for suite in BOTH {
        let sample = sample(suite);
        let state = tempfile::tempdir().unwrap();
        open_remembering(Arc::new(sample.memory.clone()), state.path()).unwrap();
        open_remembering(Arc::new(sample.memory.clone()), state.path()).unwrap();
        let logs = sample.of_kind(Kind::Log);
        // The newest entry alone, the two newest, and so on.
        for keep in 1..logs.len() {
            let shortened =
                logs[keep..].iter().fold(Overlay::new(&sample.memory), |overlay, name| overlay.with(name, None));
            let opened = open_remembering(Arc::new(shortened), state.path());
            assert!(matches!(opened, Err(Error::RolledBack { .. })), "{keep} entries left: {opened:?}");
        }
        // Somebody goes back one entry and goes on differently: as many entries as before, another head.
        let forked = Arc::new(sample.with(logs.last().unwrap(), None));
        let lab = Lab { backend: forked.clone(), cache: CachePlace::Temporary };
        lab.save(&sample.folder);
        for _ in 0..2 {
            let opened = open_remembering(forked.clone(), state.path());
            assert!(matches!(opened, Err(Error::RolledBack { .. })), "{opened:?}");
            lab.save(&sample.folder);
        }
        // The true one still opens: what was refused is not remembered.
        open_remembering(Arc::new(sample.memory.clone()), state.path()).unwrap();
    }
}

#[test]
fn a_repository_that_is_put_together_again_from_its_objects_is_the_same() {
    let sample = sample(Suite::Aes256Gcm);
    let lab = Lab { backend: Arc::new(memory_of(&sample.objects)), cache: CachePlace::Temporary };
    assert_eq!(judge(&lab, &sample.expected).restored.len(), 3);
}

#[test]
fn a_gap_of_any_width_in_the_log_is_found_by_check() {
    for suite in BOTH {
        let sample = sample(suite);
        let logs = sample.of_kind(Kind::Log);
        for from in 1..logs.len() - 1 {
            for to in from + 1..logs.len() {
                let gone = logs[from..to].iter().fold(Overlay::new(&sample.memory), |o, name| o.with(name, None));
                assert_noticed(&sample.judge(gone), &format!("entries {from}..{to} of the log are gone"));
            }
        }
    }
}

#[test]
fn nothing_is_written_into_a_gap_of_the_log() {
    let night = tempfile::tempdir().unwrap();
    let lab = Lab::new(Suite::None);
    for content in ["first", "second", "third", "fourth"] {
        std::fs::write(night.path().join("file"), content).unwrap();
        lab.save(night.path());
    }
    for lost in [2, 3] {
        lab.backend.delete(&Name::log(lost)).unwrap();
    }
    // Already opening looks at the whole log.
    let refused = lab.try_open().unwrap_err();
    assert!(refused.is_damage(), "{refused}");
    assert_eq!(lab.backend.size(&Name::log(2)).unwrap(), None);
}
