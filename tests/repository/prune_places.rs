//! Chunks that lie in several places, and chunks that are differences to others: prune keeps what each needs, no less,
//! and not twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::lab;
use crate::small;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use avro_gen::Random;
use avro_snap::chunk::{ChunkKind, CutParams};
use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::id::SnapshotId;
use avro_snap::ops::prune::MaxUnused;
use avro_snap::pack::{Chain, EncodedFrame, Encoding, FrameCodec, PackBuilder, Place, PlainChunk};
use avro_snap::storage::{Backend, Kind, Memory};
use avro_snap::store::{InitOptions, Repository, Sizes, SystemClock, Writer};
use faults::Files;
use lab::{Lab, packs_of, saving};
use small::{all_is_well, count, forget, init, lab, noise, open, run_prune, save, thorough, write_all};

/// Stores frames that are stored already once more, some of them twice in one pack.
fn duplicate(lab: &Lab, random: &mut Random) -> usize {
    let repository = open(lab);
    let writer = Writer::new(&repository).unwrap();
    let mut builder = PackBuilder::default();
    let mut frames = 0;
    for number in repository.catalog().index().pack_numbers() {
        let info = repository.catalog().index().pack(number).unwrap();
        let cipher = info.cipher(repository.id(), repository.keys().keyring().as_ref()).unwrap();
        for (at, frame) in info.directory.frames.iter().enumerate() {
            if random.one_in(2) {
                continue;
            }
            let sealed =
                repository.backend().read_range(&info.name(), frame.offset.into(), frame.stored as usize).unwrap();
            let body = info.unseal(&cipher, at, sealed).unwrap();
            for _ in 0..=random.below(2) {
                builder.push(info.encoded_frame(at, body.clone()).unwrap());
                frames += 1;
            }
        }
        if random.one_in(3) && !builder.is_empty() {
            writer.store(std::mem::take(&mut builder)).unwrap();
        }
    }
    if !builder.is_empty() {
        writer.store(builder).unwrap();
    }
    writer.flush().unwrap();
    frames
}

#[test]
fn what_lies_in_several_places_is_kept_once() {
    let seed = faults::seed();
    for case in 0..6 {
        let mut random = Random::new(seed ^ case);
        let backend: Arc<dyn Backend> = Arc::new(Memory::new());
        let lab = init(&backend, if case == 0 { Suite::Aes256Gcm } else { Suite::None });
        let mut files = noise(&mut random, 3, 6_000);
        let mut expected: BTreeMap<SnapshotId, Files> = BTreeMap::new();
        for night in 0..3 {
            files.insert(format!("night-{night}").into(), noise(&mut random, 1, 4_000).into_values().next().unwrap());
            expected.insert(save(&lab, &files).unwrap(), files.clone());
        }
        let least = count(&backend, Kind::Pack).1;
        // How many chunks there are follows from the random key.
        assert!(duplicate(&lab, &mut random) > 0);
        let gone = *expected.keys().nth(random.below(3)).unwrap();
        if random.one_in(2) {
            forget(&lab, &[gone]).unwrap();
            expected.remove(&gone);
        }
        assert!(count(&backend, Kind::Pack).1 > least);
        for turn in 0..3 {
            run_prune(&lab, &thorough()).unwrap();
            all_is_well(&lab, &expected, &format!("case {case}, turn {turn}"));
        }
        let left = count(&backend, Kind::Pack).1;
        assert!(left < least + least / 10, "case {case}: {left} where {least} would do");
    }
}

/// A repository whose chunks are long enough for deltas.
fn delta_lab() -> (Arc<dyn Backend>, Lab) {
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let options = InitOptions::default().encryption(Suite::None).kdf(lab::CHEAP).cut(CutParams {
        min: 4096,
        average: 8192,
        max: 16_384,
        align: 0,
    });
    Repository::init(&backend, &options, &SystemClock, &SystemEntropy).unwrap();
    (backend.clone(), lab(&backend))
}

fn delta_open(lab: &Lab) -> Repository {
    let mut repository = lab.open();
    repository.set_sizes(Sizes { pack: 60_000, frame: 20_000, ..Sizes::default() });
    repository
}

fn delta_save(lab: &Lab, files: &Files) -> SnapshotId {
    let folder = faults::quick_folder();
    write_all(folder.path(), files);
    let repository = delta_open(lab);
    avro_snap::ops::create::create(&repository, saving(folder.path()), &avro_snap::progress::Silent)
        .unwrap()
        .snapshot
        .unwrap()
}

fn deltas(lab: &Lab) -> usize {
    let repository = lab.open();
    let packs = packs_of(&repository).into_iter();
    packs.map(|info| info.directory.frames.iter().filter(|frame| frame.encoding == Encoding::Delta).count()).sum()
}

#[test]
fn chains_of_differences_outlive_what_they_began_with() {
    let seed = faults::seed();
    for case in 0..3 {
        let mut random = Random::new(seed ^ case << 8);
        let (backend, lab) = delta_lab();
        let mut files = noise(&mut random, 2, 60_000);
        let mut live: BTreeMap<SnapshotId, Files> = BTreeMap::new();
        for night in 0..14 {
            for file in files.values_mut() {
                for _ in 0..3 {
                    let at = random.below(file.len());
                    file[at] ^= 1 + random.below(255) as u8;
                }
            }
            live.insert(delta_save(&lab, &files), files.clone());
            if night == 3 {
                assert!(deltas(&lab) > 0, "there are deltas at all");
            }
            let what = format!("case {case}, night {night}");
            if random.one_in(3) && live.len() > 1 {
                let id = *live.keys().nth(random.below(live.len() - 1)).unwrap();
                forget(&lab, &[id]).unwrap();
                live.remove(&id);
            }
            if random.one_in(2) {
                let grace = Duration::from_secs([0, 3600][random.below(2)]);
                let max_unused = MaxUnused::Percent([0.0, 20.0][random.below(2)]);
                let options = thorough().grace(grace).max_unused(max_unused);
                avro_snap::ops::prune::prune(&delta_open(&lab), &options, &avro_snap::progress::Silent).unwrap();
            }
            all_is_well(&lab, &live, &what);
        }
        for _ in 0..2 {
            run_prune(&lab, &thorough()).unwrap();
            all_is_well(&lab, &live, "in the end");
        }
        println!("case {case}: {} deltas, {} bytes", deltas(&lab), count(&backend, Kind::Pack).1);
        assert!(deltas(&lab) > 0);
    }
}

#[test]
fn of_two_chunks_that_are_differences_to_each_other_one_stays_whole() {
    let (backend, lab) = delta_lab();
    let mut random = Random::new(3);
    // One chunk each, almost the same; and something that makes the pack of the deltas the one that is used most.
    let first = noise(&mut random, 1, 4_000).into_values().next().unwrap();
    let mut second = first.clone();
    second[2_000] ^= 1;
    let files: Files = BTreeMap::from([("a".into(), first.clone()), ("b".into(), second.clone())]);
    let a = delta_save(&lab, &BTreeMap::from([("a".into(), first.clone())]));
    let both = delta_save(&lab, &files);
    let repository = delta_open(&lab);
    let hasher = repository.hasher();
    let chunk = |bytes: &[u8]| PlainChunk { id: hasher.id(bytes), bytes: bytes.to_vec() };
    let mut codec = FrameCodec::new(Some(3)).unwrap();
    let mut delta = |of: &[u8], base: &[u8]| -> EncodedFrame {
        let chain = Chain { place: Place { depth: 1, step: 1 }, bases: vec![hasher.id(base)] };
        codec.encode_delta(ChunkKind::Bytes, &chunk(of), base, chain, 1_000).expect("it is much shorter")
    };
    let mut builder = PackBuilder::default();
    builder.push(delta(&first, &second));
    builder.push(delta(&second, &first));
    let writer = Writer::new(&repository).unwrap();
    writer.store(builder).unwrap();
    writer.flush().unwrap();
    // Both lie whole as well, in packs of their own.
    let mut whole = PackBuilder::default();
    whole.push(FrameCodec::new(None).unwrap().encode(ChunkKind::Bytes, &[chunk(&second)]));
    writer.store(whole).unwrap();
    writer.flush().unwrap();
    drop(writer);
    drop(repository);
    forget(&lab, &[a]).unwrap();
    for turn in 0..3 {
        run_prune(&lab, &thorough()).unwrap();
        all_is_well(&lab, &BTreeMap::from([(both, files.clone())]), &format!("turn {turn}"));
    }
    println!("{} deltas are left, {} bytes", deltas(&lab), count(&backend, Kind::Pack).1);
}
