//! What networks and stores do to requests: no create says what is not so, no read returns other bytes, nothing is lost.
#![cfg(feature = "object-store")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avro_snap::crypto::Suite;
use avro_snap::ops::check::DataSubset;
use avro_snap::storage::remote::{Location, Remote};
use avro_snap::storage::{
    Backend, ByteRange, Created, Kind, Name, Retry, RetryPolicy, StorageErrorKind, create_resolved,
};

use crate::lab::{Lab, assert_same, fixtures};
use crate::proxy::{Dice, Fault, Proxy};
use crate::servers::{self, Server};

/// How long these tests wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

const EVERY_FAULT: [Fault; 9] = [
    Fault::CutBefore,
    Fault::CutAfter,
    Fault::AnswerBefore(409, "ConditionalRequestConflict"),
    Fault::AnswerBefore(500, "InternalError"),
    Fault::AnswerAfter(500, "InternalError"),
    Fault::AnswerBefore(503, "SlowDown"),
    Fault::AnswerAfter(503, "SlowDown"),
    Fault::AnswerAfter(409, "ConditionalRequestConflict"),
    Fault::Truncated,
];

fn server() -> Option<&'static Server> {
    servers::Kind::Ministack.get()
}

/// A handle whose requests go through the proxy.
fn through(proxy: &Proxy, server: &Server, place: &str) -> Remote {
    let variables = server.variables_at(proxy.port);
    Remote::open(&Location::parse(place).unwrap(), variables).unwrap().patient(PATIENCE)
}

fn retrying(remote: Remote) -> Retry {
    let (first_wait, longest_wait) = (Duration::from_millis(5), Duration::from_millis(100));
    Retry::new(Arc::new(remote), RetryPolicy { attempts: 12, first_wait, longest_wait })
}

/// One fault at the first request of the kind, then none.
fn once(proxy: &Proxy, method: &'static str, fault: Fault) {
    let mut is_done = false;
    proxy.plan(move |asked, _| (asked == method && !std::mem::replace(&mut is_done, asked == method)).then_some(fault));
}

/// The answers that `object_store` would take for "somebody else has the name", and all others.
#[test]
fn a_create_that_is_not_plainly_answered_is_settled_by_what_is_there() {
    let Some(server) = server() else { return };
    let proxy = Proxy::before(server.port);
    let place = server.place();
    let faults = EVERY_FAULT.into_iter().chain([Fault::Late(PATIENCE + Duration::from_millis(500))]);
    for (number, fault) in faults.enumerate() {
        let name = Name::log(number as u64);
        let bytes = format!("entry {number}").into_bytes();
        let remote = through(&proxy, server, &place);
        once(&proxy, "PUT", fault);
        // Bare: it is either new, or it is said that this is not known, or that it has failed. Never that it exists.
        let created = create_resolved(&remote, &name, &bytes);
        assert!(!matches!(created, Ok(Created::Exists)), "{fault:?}");
        if let Ok(Created::New) = created {
            assert_eq!(server.open(&place).read(&name, 100).unwrap(), bytes, "{fault:?}");
        }
        // With further attempts, it is new in the end, unless it was already.
        once(&proxy, "PUT", fault);
        let other = Name::log(100 + number as u64);
        assert_eq!(retrying(remote).create(&other, &bytes).unwrap(), Created::New, "{fault:?}");
        assert_eq!(server.open(&place).read(&other, 100).unwrap(), bytes, "{fault:?}");
        // Where somebody else has the name, that is what is said.
        once(&proxy, "PUT", fault);
        let late = retrying(through(&proxy, server, &place)).create(&other, b"somebody else's");
        assert_eq!(late.unwrap(), Created::Exists, "{fault:?}");
        assert_eq!(server.open(&place).read(&other, 100).unwrap(), bytes, "{fault:?}");
    }
}

#[test]
fn no_read_returns_other_bytes_than_are_there() {
    let Some(server) = server() else { return };
    let proxy = Proxy::before(server.port);
    let place = server.place();
    let name = Name::new(Kind::Pack, "ab".repeat(32));
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    server.open(&place).create(&name, &bytes).unwrap();
    let ranges = [ByteRange::UpTo(1 << 20), ByteRange::Exactly { offset: 1000, length: 200_000 }];
    for fault in EVERY_FAULT {
        for range in ranges {
            let remote = through(&proxy, server, &place);
            once(&proxy, "GET", fault);
            let expected = range.of(&name, &bytes).unwrap();
            // Bare it may fail, and then says that it may be had a moment later.
            match remote.read_one(&name, range) {
                Ok(read) => assert!(read == expected, "{fault:?}"),
                Err(error) => {
                    let is_conflict = matches!(fault, Fault::AnswerBefore(409, _) | Fault::AnswerAfter(409, _));
                    assert!(error.kind().is_passing() || is_conflict, "{fault:?}: {error}");
                    assert!(!error.is_damage(), "{fault:?}: {error}");
                }
            }
            if !matches!(fault, Fault::AnswerBefore(409, _) | Fault::AnswerAfter(409, _)) {
                once(&proxy, "GET", fault);
                let many = retrying(remote).read_many(&[(name.clone(), range), (name.clone(), range)]);
                assert!(many.into_iter().all(|read| read.unwrap() == expected), "{fault:?}");
            }
        }
    }
    // A store that cannot be reached says nothing about objects.
    proxy.plan(|_, _| Some(Fault::CutBefore));
    let remote = through(&proxy, server, &place);
    assert_eq!(remote.read(&name, 1 << 20).unwrap_err().kind(), StorageErrorKind::Unavailable);
    assert_eq!(remote.head(&name).unwrap_err().kind(), StorageErrorKind::Unavailable);
    assert_eq!(remote.list_all(Kind::Pack).unwrap_err().kind(), StorageErrorKind::Unavailable);
    assert_eq!(remote.delete(&name).unwrap_err().kind(), StorageErrorKind::Unavailable);
    let deleted = remote.delete_many(&[name.clone(), Name::log(1)]);
    assert!(deleted.iter().all(|one| one.as_ref().is_err_and(|error| error.kind() == StorageErrorKind::Unavailable)));
    // And bytes that are gone for good are said to be.
    proxy.be_sound();
    assert!(remote.read_range(&name, 299_999, 2).unwrap_err().is_damage());
}

/// Four writers at the same names, with faults at a third of all requests.
#[test]
fn writers_under_fire_never_both_win_and_never_lose_what_they_won() {
    let Some(server) = server() else { return };
    let proxy = Proxy::before(server.port);
    let place = server.place();
    let mut dice = Dice(12);
    proxy.plan(move |_, _| (dice.below(3) == 0).then(|| EVERY_FAULT[dice.below(EVERY_FAULT.len() as u64) as usize]));
    const NAMES: u64 = 25;
    let won: Mutex<BTreeMap<u64, Vec<usize>>> = Mutex::default();
    let unknown: Mutex<u32> = Mutex::default();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (proxy, won, unknown, place) = (&proxy, &won, &unknown, &place);
            scope.spawn(move || {
                let storage = retrying(through(proxy, server, place));
                for n in 0..NAMES {
                    match storage.create(&Name::log(n), &vec![writer as u8; 1000 + writer]) {
                        Ok(Created::New) => won.lock().unwrap().entry(n).or_default().push(writer),
                        Ok(Created::Exists) => {}
                        Err(_) => *unknown.lock().unwrap() += 1,
                    }
                }
            });
        }
    });
    let (won, sound) = (won.into_inner().unwrap(), server.open(&place));
    for (n, winners) in &won {
        assert_eq!(winners.len(), 1, "{n}: {winners:?}");
        let winner = winners[0];
        assert_eq!(sound.read(&Name::log(*n), 2000).unwrap(), vec![winner as u8; 1000 + winner], "{n}");
    }
    let unknown = unknown.into_inner().unwrap();
    assert!(won.len() as u64 + u64::from(unknown) >= NAMES, "{} won, {unknown} not known", won.len());
    println!("{} of {NAMES} names won for sure, {unknown} attempts without an answer", won.len());
}

/// A repository lives through a storm: what was reported as saved is there.
#[test]
fn a_repository_lives_through_faults_at_every_tenth_request() {
    let Some(server) = server() else { return };
    let proxy = Proxy::before(server.port);
    let place = server.place();
    let mut dice = Dice(7);
    // A conflict is an answer to nothing but a create.
    proxy.plan(move |method, _| {
        let fault = (dice.below(10) == 0).then(|| EVERY_FAULT[dice.below(EVERY_FAULT.len() as u64) as usize]);
        fault.filter(|fault| {
            method == "PUT" || !matches!(fault, Fault::AnswerBefore(409, _) | Fault::AnswerAfter(409, _))
        })
    });
    let lab = Lab::on(Arc::new(retrying(through(&proxy, server, &place))), Suite::Aes256Gcm);
    let folder = fixtures("odd");
    let target = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        assert_eq!(lab.save(&folder).unreadable, 0);
    }
    let restored = lab.restore_last(target.path()).unwrap();
    assert!(restored.failed.is_empty(), "{:?}", restored.failed);
    assert_same(&folder, target.path());
    let sound = Lab { backend: Arc::new(server.open(&place)), cache: lab.cache.clone() };
    let check = sound.check(DataSubset::All);
    assert!(check.problems.is_empty(), "{:?}", check.problems);
    assert_eq!(sound.open().state().snapshots.len(), 3);
}
