//! Creating, settling and deleting.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Kind, Open, Outcome, Reason, StorageErrorKind, damaged, fails, holds, listed, missing, name, same};
use crate::storage::{Created, Name, PutTerms};

/// What a thread found.
fn joined(thread: std::thread::ScopedJoinHandle<'_, Outcome>) -> Outcome {
    thread.join().unwrap_or_else(|_| Err(Reason("a thread panicked".into())))
}

pub(super) fn of_many_creators_of_a_name_one_wins(open: &Open<'_>) -> Outcome {
    const THREADS: usize = 8;
    const NAMES: u64 = 40;
    let name_of = |n: usize| name([Kind::Log, Kind::Pack][n % 2], n as u64);
    let wins = [const { AtomicUsize::new(0) }; NAMES as usize];
    let start = Barrier::new(THREADS);
    let race = |thread: usize| -> Outcome {
        let storage = open();
        let bytes = vec![thread as u8; 1000];
        start.wait();
        for (n, wins) in wins.iter().enumerate() {
            match storage.create(&name_of(n), &bytes)? {
                Created::New => {
                    wins.fetch_add(1, Ordering::SeqCst);
                    same(&storage.read(&name_of(n), 1000)?, &bytes, "what the winner reads")?;
                }
                Created::Exists => same(&storage.size(&name_of(n))?, &Some(1000), "the length of what exists")?,
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let race = &race;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || race(thread))).collect();
        threads.into_iter().try_for_each(joined)
    })?;
    for (n, wins) in wins.iter().enumerate() {
        let wins = wins.load(Ordering::SeqCst);
        holds(wins == 1, || format!("{wins} of {THREADS} creators of {} got the answer that it is new", name_of(n)))?;
        let bytes = open().read(&name_of(n), 1000)?;
        holds(bytes.windows(2).all(|pair| pair[0] == pair[1]), || format!("{} has bytes of two writers", name_of(n)))?;
    }
    Ok(())
}

pub(super) fn an_object_is_seen_whole_or_not_at_all(open: &Open<'_>) -> Outcome {
    const LENGTH: usize = 3_000_000;
    let done = AtomicBool::new(false);
    let write = || -> Outcome {
        let storage = open();
        for n in 0..6 {
            let created = storage.create(&name(Kind::Pack, n), &vec![n as u8 + 1; LENGTH])?;
            same(&created, &Created::New, "creating a name that is free")?;
        }
        Ok(())
    };
    let look = || -> Outcome {
        let storage = open();
        while !done.load(Ordering::SeqCst) {
            for n in 0..6 {
                let name = name(Kind::Pack, n);
                match storage.read(&name, u64::MAX) {
                    Ok(bytes) => {
                        let is_whole = bytes.len() == LENGTH && bytes.iter().all(|byte| *byte == n as u8 + 1);
                        holds(is_whole, || format!("{name} was seen half written"))?;
                    }
                    read => missing(read, "reading what may not be there yet")?,
                }
                let size = storage.size(&name)?;
                holds([None, Some(LENGTH as u64)].contains(&size), || format!("{name} had the length {size:?}"))?;
            }
            let lengths = listed(&*storage, Kind::Pack)?;
            holds(lengths.values().all(|length| *length == LENGTH as u64), || format!("listed: {lengths:?}"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let looking = scope.spawn(look);
        let written = write();
        done.store(true, Ordering::SeqCst);
        written.and(joined(looking))
    })
}

pub(super) fn an_object_never_changes(open: &Open<'_>) -> Outcome {
    for kind in Kind::ALL {
        let name = name(kind, 1);
        same(&open().create(&name, b"first")?, &Created::New, "creating a name that is free")?;
        for other in [&b"other"[..], b"first", b"", b"longer than before"] {
            same(&open().create(&name, other)?, &Created::Exists, "creating a name that is taken")?;
        }
        same(&open().read(&name, 100)?, &b"first".to_vec(), "what was created first")?;
    }
    Ok(())
}

pub(super) fn an_object_may_be_empty(open: &Open<'_>) -> Outcome {
    let (storage, name) = (open(), name(Kind::Session, 1));
    same(&storage.create(&name, b"")?, &Created::New, "creating an empty object")?;
    same(&storage.create(&name, b"more")?, &Created::Exists, "creating it again")?;
    same(&storage.read(&name, 0)?, &Vec::new(), "reading it")?;
    same(&storage.read_range(&name, 0, 0)?, &Vec::new(), "reading none of it")?;
    same(&storage.size(&name)?, &Some(0), "its length")?;
    same(&listed(&*storage, Kind::Session)?, &[(name, 0)].into(), "listing it")
}

pub(super) fn an_object_may_be_large(open: &Open<'_>) -> Outcome {
    let (storage, name) = (open(), name(Kind::Pack, 1));
    let bytes: Vec<u8> = (0..20_000_000u32).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect();
    same(&storage.create(&name, &bytes)?, &Created::New, "creating a large object")?;
    holds(storage.read(&name, bytes.len() as u64)? == bytes, || "a large object came back otherwise".into())?;
    let part = storage.read_range(&name, 9_999_999, 5_000_000)?;
    holds(Some(&part[..]) == bytes.get(9_999_999..14_999_999), || "a part of it came back otherwise".into())
}

pub(super) fn preparing_again_is_harmless(open: &Open<'_>) -> Outcome {
    let storage = open();
    for kind in Kind::ALL {
        storage.create(&name(kind, 1), b"x")?;
    }
    open().prepare()?;
    for kind in Kind::ALL {
        same(&listed(&*storage, kind)?, &[(name(kind, 1), 1)].into(), "what is there after preparing again")?;
    }
    holds(!storage.location().is_empty(), || "the storage does not say where it is".into())
}

/// Also where there is no such object, and by another process than the one that created it.
pub(super) fn settling_changes_nothing(open: &Open<'_>) -> Outcome {
    for kind in [Kind::Pack, Kind::Index, Kind::Log] {
        open().create(&name(kind, 1), b"x")?;
        let other = open();
        other.settle(&name(kind, 1))?;
        other.settle(&name(kind, 2))?;
        same(&listed(&*other, kind)?, &[(name(kind, 1), 1)].into(), "what is there after settling")?;
        missing(other.read(&name(kind, 2), 10), "reading what was settled and never there")?;
    }
    Ok(())
}

pub(super) fn deleting_twice_is_no_error(open: &Open<'_>) -> Outcome {
    let storage = open();
    for kind in Kind::ALL {
        let name = name(kind, 1);
        storage.delete(&name)?;
        storage.create(&name, b"x")?;
        storage.delete(&name)?;
        missing(storage.read(&name, 1), "reading what was deleted")?;
        holds(listed(&*storage, kind)?.is_empty(), || format!("{name} was deleted and is listed"))?;
        storage.delete(&name)?;
    }
    Ok(())
}

pub(super) fn what_makes_no_sense_is_refused(open: &Open<'_>) -> Outcome {
    let storage = open();
    let nameless = Name::new(Kind::Index, "");
    fails(storage.create(&nameless, b"x"), |kind| kind == StorageErrorKind::Invalid, "creating without a name")?;
    if !storage.abilities().retains {
        let terms = PutTerms { retain: Some(Duration::from_secs(1)), ..PutTerms::default() };
        let put = storage.put(&name(Kind::Index, 1), b"x", &terms);
        fails(put, |kind| kind == StorageErrorKind::Unsupported, "asking for what it cannot do")?;
        missing(storage.read(&name(Kind::Index, 1), 1), "reading what was refused")?;
    }
    holds(storage.abilities().concurrency > 0, || "it takes no request at all".into())?;
    storage.create(&name(Kind::Index, 2), b"x")?;
    damaged(storage.read(&name(Kind::Index, 2), 0), "reading more than is allowed")
}
