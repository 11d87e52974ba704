//! The campaigns of the crash points, of failing operations and of interleavings again, in an object store, with a proxy
//! between: what dies or fails is a request. Nothing that was acknowledged is lost, nothing is reported as done that is
//! not, and a fault that passes is not noticed.
//!
//! `SNAP_REMOTE_CRASH_RUNS=n` is how many deaths are tried (12 by default), `SNAP_REMOTE_ERROR_RUNS=n` how many failures (12),
//! `SNAP_REMOTE_SEEDS=n` how many interleavings (2) from `SNAP_REMOTE_SEED` on, `SNAP_REMOTE_AT_ONCE=n` of them (2) at a time.
//! `SNAP_REMOTE_SERVER` is the store: `bucket` (one in this process, the default), `google` (the fake), `ministack`, `moto` or
//! `azurite`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use avro_snap::id::SnapshotId;
use avro_snap::ops::check::{CheckOptions, DataSubset, check};
use avro_snap::ops::prune::prune;
use avro_snap::progress::Silent;
use avro_snap::storage::remote::{Location, Remote};
use avro_snap::storage::{Backend, Kind, Memory, Retry, RetryPolicy};
use avro_snap::store::Repository;

use crate::crash_points::{Scene, campaign, number};
use crate::proxy::{Fault, Proxy};
use crate::servers::{self, Server};
use crate::sim_client::{
    Content, Habits, SimClock, change, contents_now, expected, forget, init, missed, open, random_content, save,
};
use crate::sim_life::thorough;
use crate::sim_store::Dice;
use crate::trouble::Mishap;

/// How long is waited for an answer here.
const PATIENCE: Duration = Duration::from_secs(5);

/// Faults after which the same request may be sent again.
const PASSING: [Fault; 7] = [
    Fault::CutBefore,
    Fault::CutAfter,
    Fault::AnswerBefore(500, "InternalError"),
    Fault::AnswerAfter(500, "InternalError"),
    Fault::AnswerBefore(503, "SlowDown"),
    Fault::AnswerAfter(503, "SlowDown"),
    Fault::Truncated,
];

fn server() -> Option<&'static Server> {
    match std::env::var("SNAP_REMOTE_SERVER").as_deref() {
        Ok("google") => servers::Kind::Google,
        Ok("ministack") => servers::Kind::Ministack,
        Ok("moto") => servers::Kind::Moto,
        Ok("azurite") => servers::Kind::Azurite,
        _ => servers::Kind::InProcess,
    }
    .get()
}

/// A handle at this port that tries again, but does not wait long.
fn handle(server: &Server, port: u16, place: &str, attempts: u32) -> Arc<dyn Backend> {
    let location = Location::parse(place).unwrap();
    let remote = Remote::open(&location, server.variables_at(port)).unwrap().patient(PATIENCE);
    let (first_wait, longest_wait) = (Duration::from_millis(1), Duration::from_millis(10));
    Arc::new(Retry::new(Arc::new(remote), RetryPolicy { attempts, first_wait, longest_wait }))
}

fn changes(method: &str) -> bool {
    matches!(method, "PUT" | "POST" | "DELETE")
}

/// What becomes of the n-th request and of those after it.
fn plan(mishap: Mishap, n: usize, hit: Arc<AtomicBool>) -> impl FnMut(&str, &str) -> Option<Fault> + Send {
    let mut left = n;
    // Each request meets another of the faults.
    let passing = PASSING[n % PASSING.len()];
    move |method, _| {
        let is_over = hit.load(Ordering::SeqCst);
        let counts = match mishap {
            Mishap::Death { .. } => changes(method),
            Mishap::NoSpace => method == "PUT",
            Mishap::Once { .. } | Mishap::ForEver => true,
        };
        let is_now = !is_over && counts && left == 0;
        if !is_over && counts && left > 0 {
            left -= 1;
        }
        if is_now {
            hit.store(true, Ordering::SeqCst);
        }
        match mishap {
            Mishap::Death { done: true } if is_now => Some(Fault::CutAfter),
            Mishap::Death { .. } => (is_now || is_over).then_some(Fault::CutBefore),
            Mishap::Once { .. } => is_now.then_some(passing),
            Mishap::ForEver => (is_now || is_over).then_some(passing),
            Mishap::NoSpace => {
                ((is_now || is_over) && counts).then_some(Fault::AnswerBefore(507, "InsufficientStorage"))
            }
        }
    }
}

/// Scenes in an object store. One proxy serves all of a thread, one after the other.
fn in_a_bucket(server: &'static Server) -> impl Fn(&Memory, Mishap, usize) -> Scene {
    let proxy = Proxy::before(server.port);
    move |memory, mishap, n| {
        let place = server.place();
        let sound = handle(server, server.port, &place, 4);
        for kind in Kind::ALL {
            for meta in memory.list_all(kind).unwrap() {
                sound.create(&meta.name, &memory.read(&meta.name, meta.size).unwrap()).unwrap();
            }
        }
        let hit = Arc::new(AtomicBool::new(false));
        proxy.plan(plan(mishap, n, hit.clone()));
        // What was seen is not asked for here, and must not grow.
        drop(proxy.take());
        let passes = matches!(mishap, Mishap::Once { .. });
        let attempts = if passes { 6 } else { 2 };
        let troubled = handle(server, proxy.port, &place, attempts);
        Scene { troubled, sound, hit: Box::new(move || hit.load(Ordering::SeqCst)), passes }
    }
}

#[test]
fn the_machine_dies_at_any_request_that_changes_anything() {
    let Some(server) = server() else { return };
    let runs = number("SNAP_REMOTE_CRASH_RUNS", 12);
    campaign(runs, &[Mishap::Death { done: false }, Mishap::Death { done: true }], || in_a_bucket(server));
}

#[test]
fn any_request_fails_once_or_for_ever_or_the_store_is_full() {
    let Some(server) = server() else { return };
    let runs = number("SNAP_REMOTE_ERROR_RUNS", 12);
    let mishaps = [Mishap::Once { done: false }, Mishap::ForEver, Mishap::NoSpace];
    campaign(runs, &mishaps, || in_a_bucket(server));
}

const WRITERS: usize = 3;
const PRUNERS: usize = 2;
const FORGET: usize = WRITERS + PRUNERS;
const RESTORE: usize = FORGET + 1;
const ACTORS: usize = RESTORE + 1;

/// What was promised to whom.
#[derive(Default)]
struct Ledger {
    begun: BTreeMap<SnapshotId, Content>,
    acknowledged: BTreeSet<SnapshotId>,
    forgotten: BTreeSet<SnapshotId>,
    restored: u64,
    pruned: u64,
    refused: u64,
    wrong: Vec<String>,
}

/// Several at once on one repository, each through a proxy of its own.
struct Bout<'b> {
    server: &'static Server,
    proxies: &'b [Proxy],
    place: String,
    clock: Arc<SimClock>,
    seed: u64,
    ledger: Mutex<Ledger>,
}

impl Bout<'_> {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// Processes of one actor, one after the other. Some of them die at a request, all meet faults.
    fn processes(&self, actor: usize, rounds: u64, mut work: impl FnMut(&Repository, &mut Dice) -> Result<(), Error>) {
        let mut dice = Dice::new(self.seed ^ (actor as u64 + 1) << 40);
        let proxy = &self.proxies[actor];
        for round in 0..rounds {
            let mut faults = Dice::new(self.seed ^ (actor as u64 + 1) << 48 ^ round << 32);
            let mut left = if faults.one_in(5) { faults.below(60) } else { usize::MAX };
            proxy.plan(move |_, _| {
                left = left.saturating_sub(1);
                match left {
                    0 => Some(Fault::CutBefore),
                    _ => faults.one_in(20).then(|| PASSING[faults.below(PASSING.len())]),
                }
            });
            drop(proxy.take());
            let backend = handle(self.server, proxy.port, &self.place, 4);
            let opened = open(backend, &self.clock, self.seed ^ (actor as u64 + 1) << 20 ^ (round + 1) << 30);
            // Who fails says so; what matters is what is there in the end.
            if opened.and_then(|repository| work(&repository, &mut dice)).is_err() {
                self.ledger().refused += 1;
            }
            self.clock.pass(1_000_000_000);
        }
    }

    fn acts(&self, actor: usize) {
        match actor {
            ..WRITERS => self.writes(actor),
            WRITERS..FORGET => self.processes(actor, 2, |repository, dice| {
                let report = prune(repository, &thorough(dice.one_in(3)), &Silent)?;
                self.ledger().pruned += report.condemned.packs;
                Ok(())
            }),
            FORGET => self.processes(actor, 3, |repository, dice| {
                let there = repository.state().snapshots.clone();
                let Some(record) = there.get(dice.below(there.len().max(1))) else { return Ok(()) };
                // From here on it may be gone, whatever the answer is.
                self.ledger().forgotten.insert(record.id);
                forget(repository, record.id)
            }),
            _ => self.processes(actor, 3, |repository, dice| {
                let there = repository.state().snapshots.clone();
                let Some(record) = there.get(dice.below(there.len().max(1))) else { return Ok(()) };
                let files = contents_now(repository, record)?;
                let mut ledger = self.ledger();
                ledger.restored += 1;
                if expected(&ledger.begun[&record.id]) != files {
                    ledger.wrong.push(format!("WRONG BYTES in {}", record.id));
                }
                Ok(())
            }),
        }
    }

    fn writes(&self, actor: usize) {
        let mut content = random_content(&mut Dice::new(self.seed ^ 77 ^ (actor as u64 / 2) << 9));
        self.processes(actor, 3, |repository, dice| {
            change(&mut content, dice);
            let habits = Habits { many_packs: dice.one_in(3), deltas: dice.one_in(2) };
            let mut begun = |id| drop(self.ledger().begun.insert(id, content.clone()));
            let id = save(repository, ["one", "two"][actor % 2], &content, habits, &mut begun)?;
            self.ledger().acknowledged.insert(id);
            Ok(())
        });
    }

    /// All is quiet again: what is there?
    fn judge(&self) -> Result<(), Error> {
        let sound = || handle(self.server, self.server.port, &self.place, 4);
        let repository = open(sound(), &self.clock, self.seed ^ 1 << 60)?;
        let state = repository.state();
        let mut wrong = {
            let ledger = self.ledger();
            missed(&repository, ledger.acknowledged.difference(&ledger.forgotten), &ledger.begun)
        };
        if state.standing.has_damage() {
            wrong.push("damage is recorded where there is none".into());
        }
        let report = check(&repository, CheckOptions::reading(DataSubset::All), &Silent)?;
        wrong.extend(report.problems.iter().map(|problem| format!("check: {problem}")));
        drop(repository);
        let content = random_content(&mut Dice::new(self.seed));
        let repository = open(sound(), &self.clock, self.seed ^ 1 << 61)?;
        save(&repository, "one", &content, Habits::default(), &mut |_| {})?;
        self.ledger().wrong.extend(wrong);
        Ok(())
    }
}

/// One seed's run.
fn bout(server: &'static Server, proxies: &[Proxy], seed: u64) -> Ledger {
    let clock = Arc::new(SimClock::default());
    clock.set(1_780_000_000_000_000_000);
    let bout = Bout { server, proxies, place: server.place(), clock, seed, ledger: Mutex::default() };
    let suite = if seed.is_multiple_of(2) { Suite::None } else { Suite::Aes256Gcm };
    init(&handle(server, server.port, &bout.place, 4), suite, &bout.clock, seed).unwrap();
    std::thread::scope(|scope| {
        for actor in 0..ACTORS {
            let bout = &bout;
            scope.spawn(move || bout.acts(actor));
        }
    });
    let judged = bout.judge();
    let mut ledger = bout.ledger.into_inner().unwrap();
    ledger.wrong.extend(judged.err().map(|error| format!("in the end: {error}")));
    ledger
}

#[test]
fn several_at_once_in_a_bucket_under_fire_lose_nothing() {
    let Some(server) = server() else { return };
    let (seeds, first) = (number("SNAP_REMOTE_SEEDS", 2), number("SNAP_REMOTE_SEED", 0));
    let at_once = number("SNAP_REMOTE_AT_ONCE", 2).clamp(1, seeds.max(1));
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let sum: Mutex<(Ledger, usize)> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                let proxies: Vec<Proxy> = (0..ACTORS).map(|_| Proxy::before(server.port)).collect();
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst) as u64;
                    if seed >= seeds {
                        break;
                    }
                    let seed = first + seed;
                    let one = bout(server, &proxies, seed);
                    let mut sum = sum.lock().unwrap();
                    sum.0.restored += one.restored;
                    sum.0.pruned += one.pruned;
                    sum.0.refused += one.refused;
                    sum.0.wrong.extend(one.wrong.into_iter().map(|wrong| format!("SNAP_REMOTE_SEED={seed}: {wrong}")));
                    sum.1 += one.acknowledged.len();
                }
            });
        }
    });
    let (sum, saved) = sum.into_inner().unwrap();
    println!(
        "{seeds} seeds from {first}: {saved} snapshots saved, {} restored, {} packs condemned, {} processes failed and \
         said so, in {:.1?}",
        sum.restored,
        sum.pruned,
        sum.refused,
        began.elapsed()
    );
    assert!(sum.wrong.is_empty(), "{} wrong:\n{}", sum.wrong.len(), sum.wrong[..sum.wrong.len().min(20)].join("\n"));
}
