//! Repositories with small chunks, frames and packs, so that little data makes many of them.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic, reason = "this is part of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use avro_snap::chunk::CutParams;
use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::error::Result;
use avro_snap::id::SnapshotId;
use avro_snap::ops::create::create;
use avro_snap::ops::prune::{MaxUnused, PruneOptions, PruneReport, prune};
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, Kind};
use avro_snap::store::{CachePlace, InitOptions, Repository, Sizes, SystemClock};

use crate::avro_gen::Random;
use crate::faults::{Files, check_all, restored};
use crate::lab::{CHEAP, Lab, PASSWORD, saving};

/// A repository in this place, for the first time.
pub fn init(backend: &Arc<dyn Backend>, suite: Suite) -> Lab {
    let options = InitOptions::default()
        .encryption(suite)
        .password((suite != Suite::None).then(|| PASSWORD.to_vec()))
        .kdf(CHEAP)
        .cut(CutParams { min: 256, average: 512, max: 2048, align: 0 });
    Repository::init(backend, &options, &SystemClock, &SystemEntropy).unwrap();
    lab(backend)
}

pub fn lab(backend: &Arc<dyn Backend>) -> Lab {
    Lab { backend: backend.clone(), cache: CachePlace::Temporary }
}

pub fn try_open(lab: &Lab) -> Result<Repository> {
    let mut repository = lab.try_open()?;
    repository.set_sizes(Sizes { pack: 12_000, frame: 3_000, ..Sizes::default() });
    Ok(repository)
}

pub fn open(lab: &Lab) -> Repository {
    try_open(lab).unwrap()
}

/// Writes files into a folder, and nothing else is in it then.
pub fn write_all(folder: &Path, files: &Files) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    for (path, bytes) in files {
        fs::write(folder.join(path), bytes).unwrap();
    }
}

/// Saves these files; a process of its own, as all of these.
pub fn save(lab: &Lab, files: &Files) -> Result<SnapshotId> {
    let folder = crate::faults::quick_folder();
    write_all(folder.path(), files);
    let repository = try_open(lab)?;
    Ok(create(&repository, saving(folder.path()), &Silent)?.snapshot.unwrap())
}

pub fn forget(lab: &Lab, snapshots: &[SnapshotId]) -> Result<()> {
    try_open(lab)?.log().remove_snapshots(snapshots, &[]).map(drop)
}

/// Nothing unused is left, nothing waits.
pub fn thorough() -> PruneOptions {
    PruneOptions::default().max_unused(MaxUnused::Bytes(0)).grace(Duration::ZERO)
}

pub fn run_prune(lab: &Lab, options: &PruneOptions) -> Result<PruneReport> {
    prune(&try_open(lab)?, options, &Silent)
}

/// Files of noise, some of which hold the same bytes.
pub fn noise(random: &mut Random, files: usize, length: usize) -> Files {
    let bytes = |random: &mut Random, length: usize| (0..length).map(|_| random.next() as u8).collect::<Vec<u8>>();
    let mut all: Files = BTreeMap::new();
    for n in 0..files {
        all.insert(format!("file-{n}").into(), bytes(random, length));
    }
    all
}

/// All snapshots come back bit for bit, and a check of everything finds nothing.
pub fn all_is_well(lab: &Lab, expected: &BTreeMap<SnapshotId, Files>, what: &str) {
    let repository = lab.try_open().unwrap_or_else(|error| panic!("{what}: {error}"));
    let ids: Vec<_> = repository.state().snapshots.iter().map(|record| record.id).collect();
    for (id, files) in expected {
        assert!(ids.contains(id), "{what}: {id} is gone");
        assert_eq!(restored(&repository, *id, files), Some(true), "{what}: {id}");
    }
    let problems = check_all(&repository).unwrap().problems;
    assert!(problems.is_empty(), "{what}: {problems:?}");
}

/// How many objects of a kind there are, and their bytes.
pub fn count(backend: &Arc<dyn Backend>, kind: Kind) -> (usize, u64) {
    let mut sum = (0, 0);
    backend.for_each(kind, &mut |meta| sum = (sum.0 + 1, sum.1 + meta.size)).unwrap();
    sum
}
