//! Who needs which chunk: what `stats` and `forget` say, against sets of ids that are made the slow and plain way. And how
//! long that takes where there are many.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "all of this is a test")]

use crate::avro_gen;
use crate::lab;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use avro_gen::Random;
use avro_snap::chunk::CutParams;
use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::id::{ChunkId, SnapshotId};
use avro_snap::ops::create::create;
use avro_snap::ops::forget::{Wanted, forget, plan, savings};
use avro_snap::ops::select::Listing;
use avro_snap::ops::stats::stats;
use avro_snap::progress::Silent;
use avro_snap::recipe::{Recipe, Stream};
use avro_snap::storage::{Backend, Local, Memory};
use avro_snap::store::{CachePlace, InitOptions, Repository, SystemClock};
use lab::{CHEAP, Lab, packs_of, saving};

/// A repository of small chunks.
fn lab(backend: Arc<dyn Backend>, average: u32) -> Lab {
    let cut = CutParams { min: average / 4, average, max: average * 4, align: 0 };
    let options = InitOptions::default().encryption(Suite::None).kdf(CHEAP).cut(cut);
    Repository::init(&backend, &options, &SystemClock, &SystemEntropy).unwrap();
    Lab { backend, cache: CachePlace::Temporary }
}

fn save(lab: &Lab, folder: &Path, time: i64) {
    let options = saving(folder).time(Some(time)).compression(avro_snap::options::Compression::Fast);
    create(&lab.open(), options, &Silent).unwrap();
}

/// All chunks that each snapshot needs.
fn needed(repository: &Repository) -> Vec<(SnapshotId, HashSet<ChunkId>)> {
    let roots: HashMap<_, _> = repository.state().snapshots.iter().map(|record| (record.id, record.root)).collect();
    let of = |root: &avro_snap::snapshot::SnapshotRoot| {
        let mut ids = HashSet::from([roots[&root.id]]);
        let mut all = |stream: &Stream| {
            stream
                .each_chunk(repository, |id, _| {
                    ids.insert(*id);
                    Ok(())
                })
                .unwrap();
        };
        all(&Stream::Tree(root.manifest.clone().unwrap()));
        let mut rows = root.rows(repository);
        while let Some(row) = rows.next_row().unwrap() {
            if !row.recipe.is_empty() {
                Recipe::decode(&row.recipe).unwrap().streams().into_iter().for_each(&mut all);
            }
        }
        // What a difference rests on is needed as well.
        let mut open: Vec<ChunkId> = ids.iter().copied().collect();
        while let Some(id) = open.pop() {
            let (_, bases) = repository.catalog().links(&id).unwrap();
            open.extend(bases.into_iter().filter(|base| ids.insert(*base)));
        }
        (root.id, ids)
    };
    Listing::read(repository).snapshots.iter().map(of).collect()
}

/// The plain length of every chunk of the index.
fn lengths(repository: &Repository) -> HashMap<ChunkId, u64> {
    let packs = packs_of(repository).into_iter();
    packs
        .flat_map(|info| info.directory.chunks.iter().map(|c| (c.id, u64::from(c.length))).collect::<Vec<_>>())
        .collect()
}

#[test]
fn every_figure_is_that_of_the_sets() {
    for seed in 0..6 {
        let (mut random, folder) = (Random::new(seed), tempfile::tempdir().unwrap());
        let lab = lab(Arc::new(Memory::new()), 1024);
        let snapshots = 3 + random.below(4);
        for night in 0..snapshots {
            for _ in 0..1 + random.below(4) {
                let path = folder.path().join(format!("file-{}", random.below(6)));
                let mut bytes = std::fs::read(&path).unwrap_or_default();
                let at = random.below(bytes.len() + 1);
                let new: Vec<u8> = (0..random.below(60_000)).map(|_| random.next() as u8).collect();
                bytes.splice(at..(at + random.below(2000)).min(bytes.len()), new);
                std::fs::write(&path, bytes).unwrap();
            }
            save(&lab, folder.path(), night as i64);
        }
        let repository = lab.open();
        let listing = Listing::read(&repository);
        let (needed, lengths) = (needed(&repository), lengths(&repository));
        let amount = |ids: &HashSet<ChunkId>| (ids.len() as u64, ids.iter().map(|id| lengths[id]).sum::<u64>());
        let union = |which: &dyn Fn(&SnapshotId) -> bool| -> HashSet<ChunkId> {
            needed.iter().filter(|(id, _)| which(id)).flat_map(|(_, ids)| ids.iter().copied()).collect()
        };
        for round in 0..4 {
            let chosen: HashSet<SnapshotId> =
                needed.iter().map(|(id, _)| *id).filter(|_| round == 0 || random.one_in(2)).collect();
            let found = stats(&repository, &listing, &chosen).unwrap();
            let (ours, others) = (union(&|id| chosen.contains(id)), union(&|id| !chosen.contains(id)));
            assert_eq!((found.unique.chunks, found.unique.plain), amount(&ours));
            assert_eq!((found.only.chunks, found.only.plain), amount(&ours.difference(&others).copied().collect()));
            assert_eq!((found.unused.chunks, found.unreadable), (0, 0));
            for one in &found.snapshots {
                let at = needed.iter().position(|(id, _)| *id == one.snapshot.id).unwrap();
                let before: HashSet<_> = needed[..at].iter().flat_map(|(_, ids)| ids.iter().copied()).collect();
                let others = union(&|id| *id != one.snapshot.id);
                let of = |not: &HashSet<ChunkId>| amount(&needed[at].1.difference(not).copied().collect());
                assert_eq!((one.added.chunks, one.added.plain), of(&before));
                assert_eq!((one.only.chunks, one.only.plain), of(&others));
            }
            let going = plan(&repository, &listing, &Wanted::These(chosen.iter().copied().collect()), false).unwrap();
            let freed = savings(&repository, &listing, &going).unwrap();
            assert_eq!((freed.chunks, freed.plain, freed.stored), {
                (found.only.chunks, found.only.plain, found.only.stored)
            });
        }
        let first = needed[0].0;
        let going = plan(&repository, &listing, &Wanted::These(vec![first]), false).unwrap();
        let freed = savings(&repository, &listing, &going).unwrap();
        assert_eq!(forget(&repository, &going).unwrap(), [first]);
        assert_eq!(forget(&repository, &going).unwrap(), [], "it is gone");
        let left = stats(&repository, &Listing::read(&repository), &HashSet::new()).unwrap();
        assert_eq!((left.unused.chunks, left.unused.stored), (freed.chunks, freed.stored));
    }
}

#[test]
fn what_others_removed_meanwhile_is_noticed() {
    let (lab, folder) = (lab(Arc::new(Memory::new()), 1024), tempfile::tempdir().unwrap());
    for night in 0..3i64 {
        std::fs::write(folder.path().join("x"), night.to_le_bytes()).unwrap();
        save(&lab, folder.path(), night);
    }
    let (one, two) = (lab.open(), lab.open());
    let listing = Listing::read(&one);
    let ids: Vec<_> = listing.snapshots.iter().map(|root| root.id).collect();
    let first = plan(&one, &listing, &Wanted::These(ids[..2].to_vec()), false).unwrap();
    let second = plan(&two, &listing, &Wanted::These(ids[1..].to_vec()), false).unwrap();
    assert_eq!(forget(&one, &first).unwrap(), ids[..2]);
    // Both together would leave nothing, which neither meant.
    assert!(matches!(forget(&two, &second), Err(avro_snap::error::Error::Busy { .. })));
    assert_eq!(Listing::read(&lab.open()).snapshots.len(), 1);
}

/// `cargo test --release --test program usage:: -- --ignored --nocapture`, with SNAP_CHUNKS chunks of 8 KiB in each of two snapshots.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn many_chunks() {
    let chunks: usize = std::env::var("SNAP_CHUNKS").map_or(100_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (data, mut random) = (folder.path().join("data"), Random::new(1));
    std::fs::create_dir(&data).unwrap();
    let store = Local::new(folder.path().join("repository"));
    let lab = lab(Arc::new(store), 8192);
    for night in 0..2i64 {
        for file in 0..64usize {
            // Nine files in ten are what they were.
            if night == 0 || file % 10 == 0 {
                let bytes: Vec<u8> = (0..chunks * 8192 / 64 / 8).flat_map(|_| random.next().to_le_bytes()).collect();
                std::fs::write(data.join(format!("{file}.bin")), bytes).unwrap();
            }
        }
        let begun = Instant::now();
        save(&lab, &data, night);
        eprintln!("night {night} saved in {:.1?}", begun.elapsed());
    }
    let repository = lab.open();
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned()
    };
    eprintln!("before: {}", peak());
    let listing = Listing::read(&repository);
    let all: HashSet<_> = listing.snapshots.iter().map(|root| root.id).collect();
    let begun = Instant::now();
    let found = stats(&repository, &listing, &all).unwrap();
    eprintln!("stats of {} chunks: {:.2?}; {}", found.unique.chunks, begun.elapsed(), peak());
    let going = plan(&repository, &listing, &Wanted::These(vec![listing.snapshots[0].id]), false).unwrap();
    let begun = Instant::now();
    let freed = savings(&repository, &listing, &going).unwrap();
    eprintln!("savings, {} chunks: {:.2?}; {}", freed.chunks, begun.elapsed(), peak());
}
