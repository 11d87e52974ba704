//! Lives of repositories, generated from seeds; in each, at each operation of each command, the machine dies, or an
//! operation fails once, or everything fails from there on, or the disk is full. Then the repository opens, holds what was
//! acknowledged, checks clean, takes the next backup, and can be pruned: without any repair. And what was told to be done
//! is done.
//!
//! `SNAP_CRASH_RUNS=n` is about how many deaths are tried (500 by default), `SNAP_ERROR_RUNS=n` how many failures (500). Lives are taken one after the other until there are so many. `SNAP_CRASH_SEED=n` begins with another life.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::sim_life;
use crate::sim_store;
use crate::trouble;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use avro_snap::storage::{Backend, Memory};
use sim_life::{Deed, Life, deeds};
use sim_store::Dice;
use trouble::{Mishap, Trouble, copy_of};

pub(crate) fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// A storage with the objects of a life so far, to which a mishap happens; and the same storage without.
pub(crate) struct Scene {
    pub(crate) troubled: Arc<dyn Backend>,
    pub(crate) sound: Arc<dyn Backend>,
    /// Whether it came to the mishap.
    pub(crate) hit: Box<dyn Fn() -> bool>,
    /// The mishap is one of which nobody must notice anything.
    pub(crate) passes: bool,
}

/// Makes scenes: of the objects so far, the mishap, and the operation at which it happens.
pub(crate) type Stage<'s> = dyn Fn(&Memory, Mishap, usize) -> Scene + 's;

/// In memory, where each operation of the storage is one.
fn in_memory(memory: &Memory, mishap: Mishap, operations: usize) -> Scene {
    let storage = copy_of(memory);
    let trouble = Arc::new(Trouble::with(&storage, mishap, operations));
    let hit = trouble.clone();
    Scene { troubled: trouble, sound: Arc::new(storage), hit: Box::new(move || hit.hit()), passes: false }
}

/// How many runs there were, and what was wrong.
#[derive(Default)]
struct Tally {
    runs: BTreeMap<String, u64>,
    wrong: Vec<String>,
}

/// Goes through lives until there are so many runs. Each thread makes itself a stage.
pub(crate) fn campaign<S: Fn(&Memory, Mishap, usize) -> Scene>(
    runs: u64,
    mishaps: &[Mishap],
    stage: impl Fn() -> S + Sync,
) {
    let (done, lives, began) = (AtomicU64::new(0), AtomicU64::new(0), Instant::now());
    let first = number("SNAP_CRASH_SEED", 0);
    let sum = Mutex::<Tally>::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let stage = stage();
                while done.load(Ordering::Relaxed) < runs {
                    let seed = first + lives.fetch_add(1, Ordering::Relaxed);
                    live(seed, mishaps, &stage, &sum, &|| done.fetch_add(1, Ordering::Relaxed) < runs);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    println!("{} lives, {:?} in {:.1?}", lives.into_inner(), sum.runs, began.elapsed());
    assert!(sum.wrong.is_empty(), "{} wrong:\n{}", sum.wrong.len(), sum.wrong[..sum.wrong.len().min(20)].join("\n"));
}

/// One life, and every way in which it could have gone wrong.
fn live(seed: u64, mishaps: &[Mishap], stage: &Stage<'_>, sum: &Mutex<Tally>, goes_on: &dyn Fn() -> bool) {
    let mut dice = Dice::new(seed);
    let suite = if seed.is_multiple_of(2) { Suite::None } else { Suite::Aes256Gcm };
    let mut memory = Memory::new();
    let mut life = Life::new(Arc::new(memory.clone()), suite, seed);
    let plan: Vec<Option<Deed>> = std::iter::once(None).chain(deeds(&mut dice, 12).into_iter().map(Some)).collect();
    for (number, deed) in plan.iter().enumerate() {
        for mishap in mishaps {
            for operations in 0.. {
                if !goes_on() {
                    return;
                }
                let scene = stage(&memory, *mishap, operations);
                let mut other = life.on(scene.troubled.clone());
                let told = match deed {
                    None => other.init(),
                    Some(deed) => other.act(*deed),
                };
                let what = format!("SNAP_CRASH_SEED={seed}, deed {number} ({deed:?}), {mishap:?} at {operations}");
                let mut after = other.on(scene.sound.clone());
                let mut wrong = Vec::new();
                let hit = (scene.hit)();
                if let (true, true, Err(error)) = (hit, scene.passes, &told) {
                    wrong.push(format!("it fails for what passes: {error}"));
                }
                if deed.is_none() && told.is_err() {
                    // Who was told that there is no repository tries again: it comes to one, by the old try or the new.
                    match after.init() {
                        Err(Error::CannotInit { .. }) | Ok(()) => {}
                        Err(error) => wrong.push(format!("init afterwards: {error}")),
                    }
                }
                wrong.extend(after.faults_and_goes_on());
                let mut sum = sum.lock().unwrap();
                let kind = format!("{mishap:?}");
                *sum.runs.entry(kind).or_default() += 1;
                sum.wrong.extend(wrong.into_iter().map(|wrong| format!("{what}: {wrong}")));
                if !hit {
                    if let Err(error) = told {
                        sum.wrong.push(format!("{what}: it fails, and nothing went wrong: {error}"));
                    }
                    break;
                }
            }
        }
        memory = copy_of(&memory);
        life = life.on(Arc::new(memory.clone()));
        let done = match deed {
            None => life.init(),
            Some(deed) => life.act(*deed),
        };
        if let Err(error) = done {
            sum.lock().unwrap().wrong.push(format!("SNAP_CRASH_SEED={seed}, deed {number} ({deed:?}): {error}"));
        }
    }
}

#[test]
fn the_machine_dies_at_any_operation_of_any_command() {
    let runs = number("SNAP_CRASH_RUNS", 500);
    campaign(runs, &[Mishap::Death { done: false }, Mishap::Death { done: true }], || in_memory);
}

#[test]
fn any_operation_fails_once_or_for_ever_or_the_disk_is_full() {
    let runs = number("SNAP_ERROR_RUNS", 500);
    let mishaps = [Mishap::Once { done: false }, Mishap::Once { done: true }, Mishap::ForEver, Mishap::NoSpace];
    campaign(runs, &mishaps, || in_memory);
}
