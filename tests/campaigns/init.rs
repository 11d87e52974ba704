//! Processes that make a repository in one empty place at once: one of them wins, and what it made is sound.
//!
//! `SNAP_INITS=n` places (10 by default), three processes each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::cli;

use std::fs;
use std::sync::Barrier;
use std::time::Duration;

use cli::{Ran, Snap, text};

/// How many processes there are at once.
const PROCESSES: u64 = 3;

#[test]
fn of_processes_that_make_a_repository_at_once_exactly_one_wins() {
    let places: u64 = std::env::var("SNAP_INITS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let mut met = 0;
    for number in 0..places {
        let snap = Snap::quick();
        let place = text(&snap.path("place"));
        let encryption = if number % 2 == 0 { ["--encryption", "none"] } else { ["--kdf-memory", "8"] };
        let barrier = Barrier::new(PROCESSES as usize);
        let ran: Vec<Ran> = std::thread::scope(|scope| {
            let make = |process: u64| {
                let (snap, place, barrier) = (&snap, &place, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    // Not always at the same step of each other.
                    std::thread::sleep(Duration::from_micros(process * (number % 10) * 300));
                    snap.run(&["init", "-r", place, encryption[0], encryption[1]])
                })
            };
            let started: Vec<_> = (0..PROCESSES).map(make).collect();
            started.into_iter().map(|process| process.join().unwrap()).collect()
        });
        let won = ran.iter().filter(|ran| ran.code == 0).count();
        assert_eq!(won, 1, "place {number}: {ran:?}");
        for lost in ran.iter().filter(|ran| ran.code != 0) {
            assert_eq!(lost.code, 1, "place {number}: {lost:?}");
            assert!(lost.stderr.contains("cannot make a repository"), "place {number}: {lost:?}");
            met += u32::from(lost.stderr.contains("at the same time"));
        }
        let keys = fs::read_dir(snap.path("place").join("keys")).map_or(0, Iterator::count);
        assert_eq!(keys as u64, number % 2, "place {number}");
        snap.write("data/file", format!("{number}"));
        snap.ok(&["create", "-q", "-r", &place, "data"]);
        snap.ok(&["check", "-q", "--read-data", "-r", &place]);
    }
    println!("{places} places, {met} times one heard of the other only at the end");
}
