//! The local index is deleted, damaged, cut off, or put back to an older state before each command of lives that seeds
//! generate. Whatever it says, no snapshot is bad and none is lost.
//!
//! `SNAP_CACHE_RUNS=n` is about how many commands are run (500 by default), from the life `SNAP_CACHE_SEED` on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::sim_life;
use crate::sim_store;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use avro_snap::crypto::Suite;
use avro_snap::storage::Memory;
use avro_snap::store::CachePlace;
use sim_life::{Life, deeds};
use sim_store::Dice;

/// The files of the cache.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

type Copy = BTreeMap<PathBuf, Vec<u8>>;

fn copy(folder: &Path) -> Copy {
    files_below(folder).into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// Does something to the cache; gives what.
fn disturb(folder: &Path, older: &[Copy], dice: &mut Dice) -> &'static str {
    let files = files_below(folder);
    match dice.below(7) {
        0 => {
            for file in files {
                fs::remove_file(file).unwrap();
            }
            "deleted"
        }
        1 if !older.is_empty() => {
            for file in files {
                fs::remove_file(file).unwrap();
            }
            for (path, bytes) in &older[dice.below(older.len())] {
                fs::write(path, bytes).unwrap();
            }
            "rolled back"
        }
        what @ 2..=4 if !files.is_empty() => {
            let file = &files[dice.below(files.len())];
            let mut bytes = fs::read(file).unwrap();
            if bytes.is_empty() {
                return "left";
            }
            match what {
                2 => {
                    for _ in 0..1 + dice.below(8) {
                        let at = dice.below(bytes.len());
                        bytes[at] ^= 1 << dice.below(8);
                    }
                }
                3 => bytes.truncate(dice.below(bytes.len())),
                _ => {
                    let (from, to) = (dice.below(bytes.len()), dice.below(bytes.len()));
                    bytes[from.min(to)..from.max(to)].fill(0);
                }
            }
            fs::write(file, bytes).unwrap();
            ["flipped", "cut off", "zeroed"][what - 2]
        }
        _ => "left",
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// In this life a page of the index is zeroed that is first read while a snapshot is brought back.
#[test]
fn what_went_wrong_once_does_not_again() {
    let (_, wrong) = live(403);
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn whatever_becomes_of_the_cache_no_snapshot_is_bad() {
    let (runs, began) = (number("SNAP_CACHE_RUNS", 500), Instant::now());
    let (done, lives) = (AtomicU64::new(0), AtomicU64::new(number("SNAP_CACHE_SEED", 0)));
    let sum: Mutex<(BTreeMap<&str, u64>, Vec<String>)> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) < runs {
                    let seed = lives.fetch_add(1, Ordering::Relaxed);
                    let (happened, wrong) = live(seed);
                    let mut sum = sum.lock().unwrap();
                    for what in happened {
                        done.fetch_add(1, Ordering::Relaxed);
                        *sum.0.entry(what).or_default() += 1;
                    }
                    sum.1.extend(wrong);
                }
            });
        }
    });
    let (happened, wrong) = sum.into_inner().unwrap();
    println!("{} commands, the cache before each: {happened:?}; {:.1?}", done.into_inner(), began.elapsed());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

fn live(seed: u64) -> (Vec<&'static str>, Vec<String>) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut dice = Dice::new(seed);
    let suite = if seed.is_multiple_of(4) { Suite::Aes256Gcm } else { Suite::None };
    let mut life = Life::new(Arc::new(Memory::new()), suite, seed);
    life.init().unwrap();
    life.cache = CachePlace::Folder(folder.path().to_path_buf());
    let (mut happened, mut wrong, mut older) = (Vec::new(), Vec::new(), Vec::new());
    for (number, deed) in deeds(&mut dice, 16).into_iter().enumerate() {
        older.push(copy(folder.path()));
        let what = disturb(folder.path(), &older, &mut dice);
        happened.push(what);
        let told = |error: String| format!("SNAP_CACHE_SEED={seed}, deed {number} ({deed:?}), cache {what}: {error}");
        if let Err(error) = life.act(deed) {
            wrong.push(told(error.to_string()));
        }
        if number % 4 == 3 {
            // With the cache as it is now, and as a machine sees it that has none.
            wrong.extend(life.faults().into_iter().map(told));
            let mut other = life.clone();
            other.cache = CachePlace::Temporary;
            wrong.extend(other.faults().into_iter().map(told));
        }
    }
    (happened, wrong)
}
