//! kill -9 at random moments of `create` on a repository on disk: what is in the log is whole, nothing needs repair, and
//! the next create succeeds.
//!
//! `SNAP_KILLS=n` kills n times (10 by default). `SNAP_SEED` says when.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::lab;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use avro_gen::Random;
use avro_snap::crypto::Suite;
use avro_snap::id::{SnapshotId, digest};
use avro_snap::ops::create::create;
use avro_snap::progress::Silent;
use avro_snap::storage::Local;
use avro_snap::store::{CachePlace, OpenOptions, Repository, Unlock};
use faults::{all_files, check_all};
use lab::{Lab, PASSWORD, fixtures, saving};

/// The folder that the child works in.
const FOLDER: &str = "SNAP_KILL_FOLDER";

/// So many kills, then a new repository.
const KILLS_A_REPOSITORY: usize = 10;

/// Hashes of files by their path: whole files of many snapshots would take too much room.
type Hashes = BTreeMap<PathBuf, [u8; 32]>;

fn hashes(files: faults::Files) -> Hashes {
    files.into_iter().map(|(path, bytes)| (path, digest(&bytes))).collect()
}

fn open(folder: &Path) -> avro_snap::error::Result<Repository> {
    let options =
        OpenOptions::default().cache(CachePlace::Folder(folder.join("cache"))).state_folder(Some(folder.join("state")));
    let backend = Arc::new(Local::new(folder.join("repository")));
    Repository::open(backend, Unlock::Password(&mut || Ok(PASSWORD.to_vec())), &options)
}

/// Not a test of its own: what is killed.
#[test]
#[ignore = "it is the child that the other test starts and kills"]
fn child() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("only to be started by the other test"));
    create(&open(&folder).unwrap(), saving(&folder.join("data")), &Silent).unwrap();
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Something new of every kind: what fills packs, what dedups, what is small.
fn change(data: &Path, random: &mut Random, turn: usize) {
    for n in 0..2 {
        let noise: Vec<u8> = (0..(17 << 20) / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        fs::write(data.join(format!("large-{n}")), noise).unwrap();
    }
    for n in 0..20 {
        fs::write(data.join(format!("small-{}", random.below(60))), format!("{turn} {n}").repeat(random.below(300)))
            .unwrap();
    }
    let codecs = ["fastavro-null", "avro-deflate", "fastavro-snappy", "avro-zstandard"];
    fs::copy(fixtures("codecs").join(format!("{}.avro", codecs[turn % 4])), data.join("table.avro")).unwrap();
}

#[test]
fn kill_9_at_any_moment_of_create_loses_nothing() {
    let (kills, seed) = (faults::size("SNAP_KILLS", 10), faults::seed());
    let mut random = Random::new(seed);
    let (mut died, mut committed, mut with_garbage, mut turn) = (0, 0, 0, 0);
    while died < kills {
        let own = tempfile::tempdir().unwrap();
        let (folder, data) = (own.path(), own.path().join("data"));
        fs::create_dir(&data).unwrap();
        Lab::on(Arc::new(Local::new(folder.join("repository"))), Suite::Aes256Gcm);
        let mut expected: BTreeMap<SnapshotId, Hashes> = BTreeMap::new();
        // How long it takes if nobody interferes.
        change(&data, &mut random, turn);
        let began = Instant::now();
        assert!(start(folder).wait().unwrap().success(), "an undisturbed create fails");
        let mut usual = began.elapsed();
        let first = open(folder).unwrap().state().snapshots[0].id;
        expected.insert(first, hashes(lab::files_of(&data)));
        for _ in 0..KILLS_A_REPOSITORY.min(kills - died) {
            turn += 1;
            change(&data, &mut random, turn);
            let state = hashes(lab::files_of(&data));
            let mut child = start(folder);
            std::thread::sleep(usual.mul_f64(random.below(1000) as f64 / 1000.0) + Duration::from_millis(1));
            child.kill().unwrap();
            match child.wait().unwrap().code() {
                Some(code) => {
                    assert_eq!(code, 0, "create failed before it was killed");
                    usual = usual.mul_f64(0.9);
                }
                None => died += 1,
            }
            let what = format!("kill {died}, seed {seed}");
            // With the cache and the remembered head that were left behind.
            let repository = open(folder).unwrap_or_else(|error| panic!("{what}: {error}"));
            let report = check_all(&repository).unwrap();
            assert!(report.problems.is_empty(), "{what}: {:?}", report.problems);
            with_garbage += usize::from(report.unindexed_packs > 0);
            let snapshots = repository.state().snapshots.clone();
            for record in &snapshots {
                expected.entry(record.id).or_insert_with(|| {
                    committed += 1;
                    state.clone()
                });
            }
            assert_eq!(snapshots.len(), expected.len(), "{what}: a snapshot is gone");
            // The newest and one more each time, all of them in the end.
            let chosen = [snapshots.last(), snapshots.get(random.below(snapshots.len().max(1)))];
            for id in chosen.into_iter().flatten().map(|record| record.id) {
                assert!(all_files(&repository, id).map(hashes).as_ref() == Some(&expected[&id]), "{what}: {id}");
            }
            drop(repository);
            let next = create(&open(folder).unwrap(), saving(&data), &Silent);
            let next = next.unwrap_or_else(|error| panic!("{what}: the next create: {error}"));
            expected.insert(next.snapshot.unwrap(), state);
        }
        let repository = open(folder).unwrap();
        for record in repository.state().snapshots.clone() {
            let files = all_files(&repository, record.id).map(hashes);
            assert!(files.as_ref() == Some(&expected[&record.id]), "{} in the end, seed {seed}", record.id);
        }
        assert!(check_all(&repository).unwrap().problems.is_empty());
    }
    println!("{died} kills: {committed} had committed, {with_garbage} left packs without an index, none lost anything");
}
