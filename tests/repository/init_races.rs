//! Two that make a repository in one empty place: one wins, the other hears of it, and nobody deletes what is not his own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::faults;
use crate::interrupted::Interrupted;
use crate::lab;
use crate::small;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::error::{Error, Result};
use avro_snap::id::RepositoryId;
use avro_snap::storage::{Backend, Kind, Memory};
use avro_snap::store::{InitOptions, Repository, SystemClock};
use faults::{Crashing, Moment, memory_of, objects_of};
use lab::{CHEAP, PASSWORD};

fn options(suite: Suite, parity: u32) -> InitOptions {
    InitOptions::default()
        .encryption(suite)
        .password((suite != Suite::None).then(|| PASSWORD.to_vec()))
        .kdf(CHEAP)
        .parity(parity)
}

fn init(backend: &Arc<dyn Backend>, options: &InitOptions) -> Result<RepositoryId> {
    Repository::init(backend, options, &SystemClock, &SystemEntropy)
}

/// What is there is one sound repository: the one that the winner made, with its settings and no key but its own.
fn is_the_winners(backend: &Arc<dyn Backend>, winner: RepositoryId, parity: u32, keys: usize, what: &str) {
    let repository = small::try_open(&small::lab(backend)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!((repository.id(), repository.settings().parity()), (winner, parity), "{what}");
    assert_eq!(small::count(backend, Kind::Key).0, keys, "{what}: keys");
    drop(repository);
    small::all_is_well(&small::lab(backend), &BTreeMap::new(), what);
    let files = small::noise(&mut crate::avro_gen::Random::new(1), 1, 100);
    let saved = small::save(&small::lab(backend), &files).unwrap_or_else(|error| panic!("{what}: {error}"));
    small::all_is_well(&small::lab(backend), &BTreeMap::from([(saved, files)]), what);
}

/// One comes in at every step of the other, beginning with what `left` is.
fn race(left: &Arc<dyn Backend>, suite: Suite, what: &str) -> (usize, usize) {
    let (objects, left_keys) = (objects_of(&**left), small::count(left, Kind::Key).0);
    let mut won = (0, 0);
    for moment in 0.. {
        let what = format!("{what}, {suite:?}, at {moment}");
        let backend: Arc<dyn Backend> = Arc::new(memory_of(&objects));
        let second = Arc::new(Mutex::new(None));
        let interrupted = {
            let (backend, second) = (backend.clone(), second.clone());
            Interrupted::at(&backend.clone(), moment, move || {
                *second.lock().unwrap() = Some(init(&backend, &options(suite, 30)));
            })
        };
        let shown: Arc<dyn Backend> = interrupted.clone();
        let first = init(&shown, &options(suite, 20));
        let second = second.lock().unwrap().take();
        let keys = left_keys + usize::from(suite != Suite::None);
        match (&first, &second) {
            (Ok(id), Some(Err(Error::CannotInit { .. })) | None) => {
                won.0 += 1;
                is_the_winners(&backend, *id, 20, keys, &what);
            }
            (Err(Error::CannotInit { .. }), Some(Ok(id))) => {
                won.1 += 1;
                is_the_winners(&backend, *id, 30, keys, &what);
            }
            _ => panic!("{what}: {first:?}, {second:?}"),
        }
        if !interrupted.happened() {
            break;
        }
    }
    won
}

#[test]
fn of_two_that_make_a_repository_at_once_exactly_one_wins() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let (first, second) = race(&(Arc::new(Memory::new()) as Arc<dyn Backend>), suite, "an empty place");
        println!("{suite:?}: {first} times the first, {second} times the second");
        assert!(first > 1 && second > 1, "{first} and {second}");
    }
}

#[test]
fn what_an_init_left_that_died_is_taken_over_by_one_of_two() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        for operations in 0.. {
            let left: Arc<dyn Backend> = Arc::new(Memory::new());
            let crashing = Arc::new(Crashing::dying(left.clone(), operations, Moment::After));
            let shown: Arc<dyn Backend> = crashing.clone();
            let died = init(&shown, &options(suite, 0));
            if left.size(&avro_snap::storage::Name::log(0)).unwrap().is_some() {
                // From here on it is a repository, whoever was told so.
                drop(died);
                break;
            }
            assert!(died.is_err() && crashing.died());
            race(&left, suite, &format!("after a death at {operations}"));
        }
    }
}

#[test]
fn a_config_that_is_not_ones_own_is_never_deleted() {
    let left: Arc<dyn Backend> = Arc::new(Memory::new());
    init(&left, &options(Suite::None, 0)).unwrap();
    let config = left.read(&avro_snap::storage::Name::config(), 1000).unwrap();
    for bytes in [&config[..], b"mine"] {
        let backend: Arc<dyn Backend> = Arc::new(Memory::new());
        backend.create(&avro_snap::storage::Name::config(), bytes).unwrap();
        let error = init(&backend, &options(Suite::Aes256Gcm, 0)).unwrap_err();
        assert!(matches!(&error, Error::CannotInit { reason, .. } if reason.contains("`config`")), "{error}");
        assert_eq!(backend.read(&avro_snap::storage::Name::config(), 1000).unwrap(), bytes);
    }
}
