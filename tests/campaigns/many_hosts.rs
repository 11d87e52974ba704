//! One repository in an object store, many hosts: writers, a pruner and a restore at once, as processes with a cache and a
//! state directory of their own each, killed at random. No snapshot that was reported as saved may be lost, nothing needs a
//! hand, and a check from a host that has never seen the repository finds nothing.
//!
//! `SNAP_HOSTS_SNAPSHOTS=n` is how many snapshots each of the four writers makes (2 by default), `SNAP_HOSTS_PRUNES=n` how often
//! is pruned (2), `SNAP_HOSTS_KILLS=n` how many processes are killed in all (4). `SNAP_SEED` says when. `SNAP_HOSTS_SERVER` is
//! the store: `ministack` (by default), `moto`, or `azurite`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cli::{Snap, text};
use crate::processes::{Content, Random, content, content_below, number};
use crate::servers::{Kind, Server};

const WRITERS: usize = 4;
const PRUNER: usize = WRITERS;
const RESTORE: usize = WRITERS + 1;
/// Writers, the pruner and the restore.
const HOSTS: usize = RESTORE + 1;

/// What was promised.
#[derive(Default)]
struct Ledger {
    /// What some writer was about to save, whether or not it came to a snapshot.
    begun: BTreeSet<Content>,
    /// Snapshots that were reported as saved.
    saved: BTreeMap<String, Content>,
    /// Those that the pruner's host was asked to forget, whatever came of it.
    leaving: BTreeSet<String>,
    /// ... and reported as forgotten.
    forgotten: BTreeSet<String>,
}

impl Ledger {
    /// Snapshots that have to be there.
    fn kept(&self) -> Vec<(String, Content)> {
        let kept = self.saved.iter().filter(|(id, _)| !self.leaving.contains(*id));
        kept.map(|(id, content)| (id.clone(), content.clone())).collect()
    }
}

/// The bucket, and what everybody knows of it.
struct Place {
    server: &'static Server,
    url: String,
    ledger: Mutex<Ledger>,
    /// Writers that are still at work.
    writing: AtomicUsize,
    /// The pruner is done.
    pruned: AtomicBool,
}

impl Place {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_busy(&self) -> bool {
        self.writing.load(Ordering::SeqCst) > 0 || !self.pruned.load(Ordering::SeqCst)
    }
}

/// How a process ended.
struct Ended {
    /// None where it was killed.
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// One machine.
struct Host<'p> {
    place: &'p Place,
    snap: Snap,
    number: usize,
    random: Random,
    /// So many of its processes are to be killed yet, and so many are to come at least.
    kills: u64,
    turns: u64,
    /// How long each verb took when nothing interfered.
    usual: BTreeMap<String, Duration>,
    ends: BTreeMap<String, u32>,
    faults: Vec<String>,
}

impl<'p> Host<'p> {
    fn new(place: &'p Place, number: usize, seed: u64) -> Self {
        let random = Random(seed.wrapping_mul(1000) + number as u64);
        let (usual, ends, faults) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self { place, snap: Snap::quick(), number, random, kills: 0, turns: 0, usual, ends, faults }
    }

    /// Runs a verb, and kills it where it is time for that.
    fn run(&mut self, arguments: &[&str]) -> Ended {
        let is_due = self.kills > 0 && (self.turns <= self.kills || self.random.below(3) == 0);
        self.turns = self.turns.saturating_sub(1);
        let [out, err] = ["out", "err"].map(|name| self.snap.path(name));
        let mut command = self.snap.process(arguments);
        command
            .env("SNAP_REPOSITORY", &self.place.url)
            .env("SNAP_HOST", format!("host-{}", self.number))
            .envs(self.place.server.variables())
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap());
        let begun = Instant::now();
        let mut child = command.spawn().unwrap();
        let usual = self.usual.get(arguments[0]).copied().unwrap_or(Duration::from_millis(300));
        if is_due {
            sleep(usual.mul_f64(self.random.below(1000) as f64 / 1000.0));
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let ended = Ended { code: status.code(), stdout: read(&out), stderr: read(&err) };
        match ended.code {
            Some(0) => drop(self.usual.insert(arguments[0].into(), begun.elapsed())),
            None if is_due => self.kills -= 1,
            _ => {}
        }
        let how = ended.code.map_or("killed".into(), |code| format!("exit {code}"));
        *self.ends.entry(format!("{:10} {how}", arguments[0])).or_default() += 1;
        if ended.code.is_none() && !is_due || ended.stderr.contains("panicked") || ended.stdout.contains("is damaged") {
            self.faults.push(format!("{arguments:?}: {} {}", ended.stdout, ended.stderr));
        }
        ended
    }

    fn fault(&mut self, what: &str, ended: &Ended) {
        self.faults.push(format!("host {}, {what}: {:?} {} {}", self.number, ended.code, ended.stdout, ended.stderr));
    }

    /// Changes what lies on this machine.
    fn change(&mut self, version: u64) -> Content {
        let folder = self.snap.work("data");
        let table = folder.join("table");
        if version == 0 {
            fs::create_dir(&folder).unwrap();
            // All machines have some of the same data.
            fs::write(folder.join("same"), Random(7).bytes(100_000)).unwrap();
            fs::write(&table, self.random.bytes(200_000)).unwrap();
        }
        let mut rows = fs::read(&table).unwrap();
        let at = self.random.below(rows.len() - 8);
        rows[at..at + 8].copy_from_slice(&self.random.next().to_le_bytes());
        fs::write(&table, rows).unwrap();
        let length = 1 + self.random.below(30_000);
        fs::write(folder.join(format!("new-{}", version % 3)), self.random.bytes(length)).unwrap();
        fs::write(folder.join("version"), format!("{version} of {}", self.number)).unwrap();
        let content = content(&folder);
        self.place.ledger().begun.insert(content.clone());
        content
    }

    /// Saves so many snapshots. What was killed is run again, as the next night would.
    fn writes(&mut self, snapshots: u64) {
        let series = format!("series-{}", self.number);
        let (mut version, mut saved, mut refused) = (0, 0, 0);
        while (saved < snapshots || self.kills > 0) && refused < 20 && self.faults.is_empty() {
            let content = self.change(version);
            version += 1;
            loop {
                let ended = self.run(&["create", "data", "--series", &series, "--json"]);
                match ended.code {
                    Some(0) => {
                        let id = ended.stdout.lines().rev().find_map(|line| id_in(line, "snapshot_id"));
                        match id {
                            Some(id) => drop(self.place.ledger().saved.insert(id, content)),
                            None => self.fault("create names no snapshot", &ended),
                        }
                        saved += 1;
                        break;
                    }
                    None => {}
                    // Without a grace, a prune may delete what a writer counts on, and the writer says so. It comes again.
                    Some(1 | 11) if EXCUSES.iter().any(|excuse| ended.stderr.contains(excuse)) && refused < 20 => {
                        refused += 1;
                    }
                    Some(_) => {
                        self.fault("create", &ended);
                        break;
                    }
                }
            }
        }
        self.place.writing.fetch_sub(1, Ordering::SeqCst);
    }

    /// Forgets and prunes, so often.
    fn prunes(&mut self, prunes: u64) {
        let mut pruned = 0;
        while (pruned < prunes || self.kills > 0) && self.faults.is_empty() {
            let kept = self.place.ledger().kept();
            // Of the older half, so that there is something to delete and most of it stays.
            if kept.len() > WRITERS {
                let id = kept[self.random.below(kept.len())].0.clone();
                self.place.ledger().leaving.insert(id.clone());
                let ended = self.run(&["forget", &id]);
                match ended.code {
                    Some(0) => drop(self.place.ledger().forgotten.insert(id)),
                    None | Some(11) => {}
                    Some(_) => self.fault("forget", &ended),
                }
            }
            let thorough = ["prune", "--max-unused", "0", "--repack-small", "--grace"];
            let grace = ["0", "2s", "1d"][self.random.below(3)];
            let from = if self.random.below(2) == 0 { 1 } else { 4 };
            let arguments: Vec<&str> = [&thorough[..1], &thorough[from..], &[grace]].concat();
            let ended = self.run(&arguments);
            match ended.code {
                Some(0) => pruned += 1,
                None | Some(11) => {}
                Some(_) => self.fault("prune", &ended),
            }
        }
        self.place.pruned.store(true, Ordering::SeqCst);
    }

    /// Restores whatever is there, as long as others are at work; at least once.
    fn restores(&mut self) -> u32 {
        let mut restored = 0;
        while (self.place.is_busy() || restored == 0 || self.kills > 0) && self.faults.is_empty() {
            let kept = self.place.ledger().kept();
            let Some((id, before)) = kept.get(self.random.below(kept.len().max(1))) else {
                sleep(Duration::from_millis(20));
                continue;
            };
            restored += u32::from(self.restore(id, |found| found == before));
        }
        restored
    }

    /// Restores one snapshot; true if it is what it should be.
    fn restore(&mut self, id: &str, is_right: impl Fn(&Content) -> bool) -> bool {
        let target = self.snap.path("target");
        let _ = fs::remove_dir_all(&target);
        let ended = self.run(&["restore", id, "--target", &text(&target)]);
        let is_leaving = self.place.ledger().leaving.contains(id);
        match ended.code {
            Some(0) if is_right(&content_below(&target)) => return true,
            Some(0) => self.fault("a restore has other bytes", &ended),
            Some(_) if !is_leaving => self.fault(&format!("{id} cannot be restored"), &ended),
            _ => {}
        }
        false
    }
}

/// What a failure may say: each is true of something that a prune without grace did meanwhile.
const EXCUSES: [&str; 2] = ["a prune has deleted", "busy"];

fn id_in(line: &str, key: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Value>(line).ok()?[key].as_str().map(String::from)
}

/// From a host that has never seen the repository: it is sound, and holds what was promised and nothing else.
fn judge(place: &Place, seed: u64) -> (usize, usize, Vec<String>) {
    let mut host = Host::new(place, HOSTS, seed);
    let check = host.run(&["check", "--read-data"]);
    if (check.code, check.stderr.as_str()) != (Some(0), "") {
        host.fault("the last check", &check);
    }
    let listed = host.run(&["snapshots", "--json"]);
    let listed: BTreeSet<String> = listed.stdout.lines().filter_map(|line| id_in(line, "id")).collect();
    let (kept, leaving, forgotten, begun) = {
        let ledger = place.ledger();
        (ledger.kept(), ledger.leaving.clone(), ledger.forgotten.clone(), ledger.begun.clone())
    };
    for (id, content) in &kept {
        if !listed.contains(id) {
            host.faults.push(format!("{id} was saved and is not there"));
        }
        host.restore(id, |found| found == content);
    }
    host.faults.extend(forgotten.intersection(&listed).map(|id| format!("{id} was forgotten and is there")));
    // Of processes that were killed after the snapshot was there.
    let known: BTreeSet<String> = kept.iter().map(|(id, _)| id.clone()).collect();
    let unreported: Vec<&String> = listed.iter().filter(|id| !known.contains(*id) && !leaving.contains(*id)).collect();
    for id in &unreported {
        host.restore(id, |found| begun.contains(found));
    }
    (kept.len(), unreported.len(), host.faults)
}

#[test]
fn many_hosts_on_one_bucket_lose_nothing() {
    let (snapshots, prunes) = (number("SNAP_HOSTS_SNAPSHOTS", 2), number("SNAP_HOSTS_PRUNES", 2));
    let (kills, seed) = (number("SNAP_HOSTS_KILLS", 4), number("SNAP_SEED", 1));
    let kind = match std::env::var("SNAP_HOSTS_SERVER").as_deref() {
        Ok("moto") => Kind::Moto,
        Ok("azurite") => Kind::Azurite,
        _ => Kind::Ministack,
    };
    let Some(server) = kind.get() else { return };
    let (ledger, pruned) = (Mutex::default(), AtomicBool::new(false));
    let place = Place { server, url: server.place(), ledger, writing: AtomicUsize::new(WRITERS), pruned };
    let began = Instant::now();
    let mut first = Host::new(&place, HOSTS + 1, seed);
    let made = first.run(&["init", "--kdf-memory", "8"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let (mut faults, mut ends, mut restored) = (Vec::new(), BTreeMap::new(), 0);
    std::thread::scope(|scope| {
        let work = |number: usize| {
            let place = &place;
            scope.spawn(move || {
                let mut host = Host::new(place, number, seed);
                host.kills = kills / HOSTS as u64 + u64::from((number as u64) < kills % HOSTS as u64);
                host.turns = if number == PRUNER { 2 * prunes } else { snapshots };
                let mut restored = 0;
                match number {
                    PRUNER => host.prunes(prunes),
                    RESTORE => restored = host.restores(),
                    _ => host.writes(snapshots),
                }
                (host.faults, host.ends, restored)
            })
        };
        for host in (0..HOSTS).map(work).collect::<Vec<_>>() {
            let (own, counted, count) = host.join().unwrap();
            faults.extend(own);
            restored += count;
            counted.into_iter().for_each(|(how, count)| *ends.entry(how).or_insert(0) += count);
        }
    });
    for (how, count) in &ends {
        println!("{how:24} {count}");
    }
    let work = began.elapsed();
    let (kept, unreported, wrong) = judge(&place, seed);
    faults.extend(wrong);
    println!(
        "{kind:?}, seed {seed}: {WRITERS} writers, {kills} kills, {restored} restored on the way; in the end {kept} \
         snapshots kept and {unreported} of killed processes, all restored; {work:.1?} of work, {:.1?} in all",
        began.elapsed()
    );
    assert!(faults.is_empty(), "{} faults, the first: {}", faults.len(), faults[0]);
}
