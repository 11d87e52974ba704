//! Months in the life of a repository: backups of two series every day, forgetting at random, pruning now and then, by
//! processes that each do one thing. What is not forgotten comes back bit for bit; and after a full prune nothing is left
//! lying about.
//!
//! `SNAP_SOAK_BACKUPS=n` makes n backups (60 by default); `SNAP_SOAK_SEED` says which.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::sim_life;
use crate::sim_store;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use avro_snap::crypto::Suite;
use avro_snap::id::ChunkId;
use avro_snap::pack::{MAX_PACK, read_pack};
use avro_snap::recipe::{Recipe, Stream};
use avro_snap::storage::{Kind, Memory, ObjectMeta};
use avro_snap::store::Repository;
use avro_snap::store::read_root;
use sim_life::{Deed, Life};
use sim_store::Dice;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Every chunk that a snapshot of the log reaches, found without the help of prune.
fn needed(repository: &Repository) -> BTreeSet<ChunkId> {
    let mut chunks = BTreeSet::new();
    let follow = |stream: &Stream, chunks: &mut BTreeSet<ChunkId>| {
        let each = |id: &ChunkId, _| {
            chunks.insert(*id);
            Ok(())
        };
        stream.each_chunk(repository, each).unwrap();
    };
    for record in repository.state().snapshots.clone() {
        chunks.insert(record.root);
        let root = read_root(repository, &record).unwrap();
        if let Some(tree) = &root.manifest {
            follow(&Stream::Tree(tree.clone()), &mut chunks);
        }
        let mut rows = root.rows(repository);
        while let Some(row) = rows.next_row().unwrap() {
            for stream in Recipe::decode(&row.recipe).unwrap().streams() {
                follow(stream, &mut chunks);
            }
        }
    }
    // What a difference rests on is needed as well.
    let mut open: Vec<ChunkId> = chunks.iter().copied().collect();
    while let Some(id) = open.pop() {
        let (_, bases) = repository.catalog().links(&id).unwrap();
        open.extend(bases.into_iter().filter(|base| chunks.insert(*base)));
    }
    chunks
}

/// Plain bytes of all chunks in all packs that are there, and of those that nobody needs or that are there once more.
fn dead(repository: &Repository, needed: &BTreeSet<ChunkId>) -> (u64, u64) {
    let (mut all, mut dead, mut met) = (0, 0, BTreeSet::new());
    let backend = repository.backend();
    for ObjectMeta { name, .. } in backend.list_all(Kind::Pack).unwrap() {
        let bytes = backend.read(&name, MAX_PACK).unwrap();
        let info =
            read_pack(&name.file().parse().unwrap(), &bytes, repository.id(), repository.keys().keyring().as_ref())
                .unwrap();
        for chunk in &info.directory.chunks {
            all += u64::from(chunk.length);
            if !needed.contains(&chunk.id) || !met.insert(chunk.id) {
                dead += u64::from(chunk.length);
            }
        }
    }
    (all, dead)
}

#[test]
fn months_of_backups_forgetting_and_pruning() {
    let (backups, seed, began) = (number("SNAP_SOAK_BACKUPS", 60), number("SNAP_SOAK_SEED", 1), Instant::now());
    let memory = Memory::new();
    let mut life = Life::new(Arc::new(memory.clone()), Suite::None, seed);
    life.init().unwrap();
    let mut dice = Dice::new(seed);
    let (mut forgotten, mut prunes) = (0, 0);
    for day in 0..backups / 2 {
        life.clock.pass(24 * 3600 * 1_000_000_000);
        for series in 0..2 {
            life.act(Deed::Save { series, many_packs: dice.one_in(3) }).unwrap();
        }
        // As many go as come, once there are some weeks of them.
        while life.open().unwrap().state().snapshots.len() > 20 + dice.below(20) {
            life.act(Deed::Forget).unwrap();
            forgotten += 1;
        }
        if dice.one_in(10) {
            life.act(Deed::Undo).unwrap();
        }
        if dice.one_in(7) {
            life.act(Deed::Prune { grace: dice.one_in(2) }).unwrap();
            prunes += 1;
        }
        if day % 50 == 49 {
            let wrong = life.faults();
            assert!(wrong.is_empty(), "day {day}: {wrong:#?}");
        }
    }
    life.act(Deed::Prune { grace: false }).unwrap();
    // What was copied in the first may have left something that the second sees.
    let repository = life.open().unwrap();
    let (all, dead) = dead(&repository, &needed(&repository));
    let snapshots = repository.state().snapshots.len();
    drop(repository);
    let wrong = life.faults();
    println!(
        "{backups} backups over {} days, {forgotten} forgotten, {prunes} prunes, {snapshots} snapshots left; {dead} of {all} \
         bytes in packs are dead; {:.1?}",
        backups / 2,
        began.elapsed()
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(dead * 100 < all, "{dead} of {all} bytes are dead");
}
