//! Power loss, at every step of the local backend on the file system. What was not made to last by an fsync may be there
//! afterwards or not, each name by itself, in any combination; bytes of a file that was not fsynced may be missing. In
//! every state that this can leave, the repository opens, holds what was acknowledged, takes the next backup, and can be
//! pruned.
//!
//! The steps are those that real runs take (`backend::Witness`), on lives of repositories that seeds generate. Up to 12
//! names that may or may not have lasted, all combinations are tried; above that, 2 000 of them. Combinations often leave
//! the same objects: those are looked at once, and both numbers are told. What lies in `tmp/` is no part of a repository
//! and counts for nothing.
//!
//! `SNAP_CRASH_STATES=n` is about how many states are tried (20 000 by default), from the life `SNAP_CRASH_SEED` on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "common/sim_client.rs"]
mod sim_client;
#[path = "common/sim_life.rs"]
mod sim_life;
#[path = "common/sim_store.rs"]
mod sim_store;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use avro_snap::backend::{Backend, DiskStep, Kind, Local, Memory, Name, Witness};
use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use sim_life::{Ledger, Life, deeds};
use sim_store::Dice;

/// Writes down all steps.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<DiskStep>>);

impl Witness for Recorder {
    fn step(&self, step: DiskStep) {
        self.0.lock().unwrap().push(step);
    }
}

/// A file, by whatever names.
#[derive(Debug, Clone)]
struct Inode {
    bytes: Arc<[u8]>,
    synced: bool,
}

/// A change of a folder that may or may not have lasted.
#[derive(Debug, Clone)]
enum Pending {
    Folder(PathBuf),
    Add(PathBuf, usize),
    Remove(PathBuf),
}

impl Pending {
    fn path(&self) -> &Path {
        match self {
            Pending::Folder(path) | Pending::Add(path, _) | Pending::Remove(path) => path,
        }
    }
}

/// The disk: what has lasted, and what may have.
#[derive(Debug, Default)]
struct SimFs {
    inodes: Vec<Inode>,
    /// What each name stands for as running programs see it.
    seen: BTreeMap<PathBuf, usize>,
    lasting: Names,
    pending: Vec<Pending>,
}

/// Folders, and files by their names.
#[derive(Debug, Clone, Default)]
struct Names {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, usize>,
}

impl Names {
    fn apply(&mut self, change: &Pending) {
        match change {
            Pending::Folder(path) => drop(self.folders.insert(path.clone())),
            Pending::Add(path, inode) => drop(self.files.insert(path.clone(), *inode)),
            Pending::Remove(path) => drop(self.files.remove(path)),
        }
    }
}

impl SimFs {
    fn step(&mut self, step: &DiskStep) {
        match step {
            DiskStep::MadeFolder(path) => self.pending.push(Pending::Folder(path.clone())),
            DiskStep::Wrote(path, bytes) => {
                self.inodes.push(Inode { bytes: bytes.as_slice().into(), synced: false });
                self.name(path, self.inodes.len() - 1);
            }
            DiskStep::SyncedFile(path) => {
                let inode = self.seen[path];
                self.inodes[inode].synced = true;
            }
            DiskStep::Renamed(from, to) => {
                let inode = self.seen[from];
                self.remove(from);
                self.name(to, inode);
            }
            DiskStep::Linked(from, to) => self.name(to, self.seen[from]),
            DiskStep::Removed(path) => self.remove(path),
            DiskStep::SyncedFolder(folder) => {
                let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|change| change.path().parent() == Some(folder));
                done.iter().for_each(|change| self.lasting.apply(change));
                self.pending = left;
            }
        }
    }

    fn name(&mut self, path: &Path, inode: usize) {
        self.seen.insert(path.to_path_buf(), inode);
        self.change(Pending::Add(path.to_path_buf(), inode));
    }

    fn remove(&mut self, path: &Path) {
        self.seen.remove(path);
        self.change(Pending::Remove(path.to_path_buf()));
    }

    fn change(&mut self, change: Pending) {
        if !change.path().parent().is_some_and(|folder| folder.ends_with("tmp")) {
            self.pending.push(change);
        }
    }

    /// What is there if those changes lasted whose bits are set. The bytes of files that were never fsynced are cut off.
    fn after_crash(&self, root: &Path, lasted: &dyn Fn(usize) -> bool) -> BTreeMap<Name, Arc<[u8]>> {
        let mut names = self.lasting.clone();
        for (n, change) in self.pending.iter().enumerate() {
            if lasted(n) {
                names.apply(change);
            }
        }
        let is_reachable = |path: &Path| {
            path.ancestors().skip(1).take_while(|folder| *folder != root).all(|folder| names.folders.contains(folder))
        };
        let there = names.files.iter().filter(|(path, _)| is_reachable(path));
        let objects = there.filter_map(|(path, inode)| {
            let name = name_of(path.strip_prefix(root).ok()?)?;
            let Inode { bytes, synced } = &self.inodes[*inode];
            Some((name, if *synced { bytes.clone() } else { bytes[..bytes.len() / 2].into() }))
        });
        objects.collect()
    }
}

fn name_of(path: &Path) -> Option<Name> {
    let text = path.to_str()?;
    if text == "config" {
        return Some(Name::config());
    }
    let (folder, file) = text.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.folder() == folder)?;
    Some(Name::new(kind, file.rsplit('/').next()?))
}

#[derive(Default)]
struct Tally {
    crashes: u64,
    states: u64,
    distinct: u64,
    most_pending: usize,
    wrong: Vec<String>,
}

/// What is promised while something is being done: what was promised before it, and leave to have done it.
fn amid(before: &Ledger, after: &Ledger) -> Ledger {
    let mut ledger = before.clone();
    ledger.begun.clone_from(&after.begun);
    ledger.leaving.extend(&after.leaving);
    ledger.returning.extend(&after.returning);
    ledger
}

/// One life on a real disk, and then every crash that could have been.
fn live(seed: u64, sum: &Mutex<Tally>, goes_on: &dyn Fn(u64) -> bool) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let root = folder.path().join("repository");
    std::fs::create_dir(&root).unwrap();
    let recorder = Arc::new(Recorder::default());
    let local: Arc<dyn Backend> = Arc::new(Local::new(&root).watched_by(recorder.clone()));
    let suite = if seed.is_multiple_of(4) { Suite::Aes256Gcm } else { Suite::None };
    let mut life = Life::new(local, suite, seed);
    // Where each deed ends, and what was promised then.
    let mut marks: Vec<(usize, Life)> = vec![(0, life.clone())];
    life.init().unwrap();
    let steps = || recorder.0.lock().unwrap().len();
    marks.push((steps(), life.clone()));
    for deed in deeds(&mut Dice::new(seed), 12) {
        // Another process each time: nothing is known to be settled any more.
        life.backend = Arc::new(Local::new(&root).watched_by(recorder.clone()));
        if let Err(error) = life.act(deed) {
            sum.lock().unwrap().wrong.push(format!("SNAP_CRASH_SEED={seed}: {deed:?} fails: {error}"));
        }
        marks.push((steps(), life.clone()));
    }
    let steps = recorder.0.lock().unwrap().clone();
    let (mut disk, mut dice) = (SimFs::default(), Dice::new(seed ^ 1 << 50));
    let mut deed = 0;
    let mut seen: HashSet<(usize, [u8; 32])> = HashSet::new();
    for (n, step) in steps.iter().enumerate() {
        disk.step(step);
        while marks[deed + 1].0 < n + 1 {
            deed += 1;
        }
        let ends = marks[deed + 1].0 == n + 1;
        let (before, after) = (&marks[deed].1, &marks[deed + 1].1);
        let ledger = if ends { after.ledger.clone() } else { amid(&before.ledger, &after.ledger) };
        if disk.inodes.is_empty() {
            // Only empty folders so far.
            continue;
        }
        let pending = disk.pending.len();
        let all = pending <= 12;
        let count = if all { 1u64 << pending } else { 2_000 };
        {
            let mut sum = sum.lock().unwrap();
            sum.crashes += 1;
            sum.states += count;
            sum.most_pending = sum.most_pending.max(pending);
        }
        if !goes_on(count) {
            return;
        }
        for state in 0..count {
            let random: Vec<u64> = (0..pending.div_ceil(64)).map(|_| if all { state } else { dice.next() }).collect();
            let objects = disk.after_crash(&root, &|change| random[change / 64] >> (change % 64) & 1 == 1);
            let digest = digest_of(&objects);
            if !seen.insert((if ends { deed + 1 } else { deed } * 2 + usize::from(ends), digest)) {
                continue;
            }
            let memory = Memory::new();
            for (name, bytes) in &objects {
                memory.create(name, bytes).unwrap();
            }
            let mut other = after.on(Arc::new(memory));
            other.ledger.clone_from(&ledger);
            let mut wrong = Vec::new();
            if !ledger.initialised {
                match other.init() {
                    Ok(()) | Err(Error::CannotInit { .. }) => {}
                    Err(error) => wrong.push(format!("init afterwards: {error}")),
                }
            }
            wrong.extend(other.faults_and_goes_on());
            let mut sum = sum.lock().unwrap();
            sum.distinct += 1;
            sum.wrong.extend(wrong.into_iter().map(|wrong| {
                format!("SNAP_CRASH_SEED={seed}, after step {n} ({}), state {state}: {wrong}", short(step))
            }));
        }
    }
}

fn short(step: &DiskStep) -> String {
    match step {
        DiskStep::Wrote(path, bytes) => format!("wrote {} bytes to {}", bytes.len(), path.display()),
        step => format!("{step:?}"),
    }
}

fn digest_of(objects: &BTreeMap<Name, Arc<[u8]>>) -> [u8; 32] {
    let mut digester = avro_snap::id::Digester::new();
    for (name, bytes) in objects {
        digester.update(name.to_string().as_bytes());
        digester.update(&bytes.len().to_le_bytes());
        // A name stands for one content, whole or cut off.
    }
    digester.finish()
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

#[test]
fn power_loss_at_any_step_leaves_a_repository_that_holds_what_was_acknowledged() {
    let states = number("SNAP_CRASH_STATES", 20_000);
    let (done, lives) = (AtomicU64::new(0), AtomicU64::new(number("SNAP_CRASH_SEED", 0)));
    let (sum, began) = (Mutex::<Tally>::default(), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) < states {
                    let seed = lives.fetch_add(1, Ordering::Relaxed);
                    live(seed, &sum, &|count| done.fetch_add(count, Ordering::Relaxed) < states);
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    println!(
        "{} states after {} crashes, {} of them with other objects than those before; up to {} names in doubt; {:.1?}",
        sum.states,
        sum.crashes,
        sum.distinct,
        sum.most_pending,
        began.elapsed()
    );
    assert!(sum.wrong.is_empty(), "{} wrong:\n{}", sum.wrong.len(), sum.wrong[..sum.wrong.len().min(20)].join("\n"));
}

/// A disk that forgets an fsync is found out: this is how we know that the test above looks.
#[test]
fn a_step_that_does_not_happen_is_missed() {
    for forgotten in ["packs", "index", "log"] {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let recorder = Arc::new(Recorder::default());
        let root = folder.path().join("repository");
        std::fs::create_dir(&root).unwrap();
        let mut life = Life::new(Arc::new(Local::new(&root).watched_by(recorder.clone())), Suite::None, 3);
        life.init().unwrap();
        let from = recorder.0.lock().unwrap().len();
        life.act(sim_life::Deed::Save { series: 0, many_packs: false }).unwrap();
        let mut disk = SimFs::default();
        for (n, step) in recorder.0.lock().unwrap().iter().enumerate() {
            let is_forgotten = matches!(step, DiskStep::SyncedFolder(path)
                if n >= from && path.strip_prefix(&root).is_ok_and(|path| path.starts_with(forgotten)));
            if !is_forgotten {
                disk.step(step);
            }
        }
        let memory = Memory::new();
        for (name, bytes) in disk.after_crash(&root, &|_| false) {
            memory.create(&name, &bytes).unwrap();
        }
        assert!(!life.on(Arc::new(memory)).faults().is_empty(), "an fsync of {forgotten} less, and nobody noticed");
    }
}
