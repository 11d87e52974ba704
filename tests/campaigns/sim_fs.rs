//! Power loss, at every step of the local backend on the file system. What was not made to last by an fsync may be there
//! afterwards or not, each name by itself, in any combination; bytes of a file that was not fsynced may be missing. In
//! every state that this can leave, the repository opens, holds what was acknowledged, takes the next backup, and can be
//! pruned.
//!
//! The steps are those that real runs take (`storage::Witness`), on lives of repositories that seeds generate: one process
//! after the other, or nine at once, of which any step of one may come between any two of another. Up to 12
//! names that may or may not have lasted, all combinations are tried; above that, 2 000 of them. Combinations often leave
//! the same objects: those are looked at once, and both numbers are told. Each is opened, restored and checked; in one of
//! eight the next backup and a prune follow. What lies in `tmp/` is no part of a repository
//! and counts for nothing.
//!
//! `SNAP_CRASH_STATES=n` is about how many states are tried (3 000 by default), from the life `SNAP_CRASH_SEED` on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::faults;
use crate::sim_client;
use crate::sim_life;
use crate::sim_store;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use avro_snap::ops::prune::prune;
use avro_snap::ops::repair::repair_index;
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, DiskStep, Kind, Local, Memory, Name, Witness};
use sim_client::{Habits, forget, open, random_content, save};
use sim_life::{Deed, Ledger, Life, deeds, thorough};
use sim_store::{Dice, SimStore};

/// Writes down all steps of one process. Where several are at work, only one of them goes on at a time, and after each
/// step the seed says which.
#[derive(Debug, Clone, Default)]
struct Recorder {
    steps: Arc<Mutex<Vec<DiskStep>>>,
    turns: Option<SimStore>,
}

impl Recorder {
    fn count(&self) -> usize {
        self.steps.lock().unwrap().len()
    }

    fn of_actor(&self, actor: usize) -> Self {
        Self { steps: self.steps.clone(), turns: self.turns.as_ref().map(|turns| turns.of_actor(actor)) }
    }

    /// Waits for this process's turn.
    fn pause(&self) {
        if let Some(turns) = &self.turns {
            turns.size(&Name::config()).unwrap();
        }
    }
}

/// For how many turns a process waits that has given a file its name and not made that last: so that many names are in
/// doubt at once.
const DAWDLES: usize = 12;

impl Witness for Recorder {
    fn step(&self, step: DiskStep) {
        let waits = match step {
            DiskStep::Renamed(..) | DiskStep::Linked(..) | DiskStep::Removed(..) => DAWDLES,
            _ => 1,
        };
        self.steps.lock().unwrap().push(step);
        (0..waits).for_each(|_| self.pause());
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
    match text {
        "config" => return Some(Name::config()),
        "config2" => return Some(Name::config_copy()),
        _ => {}
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

/// What happened to a repository on disk, and what was promised after each step.
struct Story {
    steps: Vec<DiskStep>,
    /// Who looks at what is left.
    judge: Life,
    /// From how many steps on each of these was promised.
    promises: Vec<(usize, Ledger)>,
}

fn suite_of(seed: u64) -> Suite {
    if seed.is_multiple_of(8) { Suite::Aes256Gcm } else { Suite::None }
}

/// A repository on a real disk, for one life, and all steps that were taken there.
struct Watched {
    root: PathBuf,
    recorder: Recorder,
    life: Life,
    _folder: tempfile::TempDir,
}

impl Watched {
    /// It is empty.
    fn new() -> Self {
        let folder = faults::quick_folder();
        let (root, recorder) = (folder.path().join("repository"), Recorder::default());
        std::fs::create_dir(&root).unwrap();
        let mut life = Life::new(on_disk(&root, 0, recorder.clone()), Suite::None, 3);
        life.init().unwrap();
        Self { root, recorder, life, _folder: folder }
    }

    /// From here on another process is at work, which knows nothing to be settled. Gives how many steps were taken before.
    fn goes_on(&mut self) -> usize {
        self.life.backend = on_disk(&self.root, 0, self.recorder.clone());
        self.recorder.count()
    }

    fn steps(&self) -> Vec<DiskStep> {
        self.recorder.steps.lock().unwrap().clone()
    }

    /// What is wrong with what a crash has left.
    fn faults(&self, left: &BTreeMap<Name, Arc<[u8]>>) -> Vec<String> {
        self.life.on(storage_of(left)).faults()
    }
}

fn storage_of(objects: &BTreeMap<Name, Arc<[u8]>>) -> Arc<dyn Backend> {
    let memory = Memory::new();
    for (name, bytes) in objects {
        memory.create(name, bytes).unwrap();
    }
    Arc::new(memory)
}

/// The folder as a backend. In a third of the lives its objects get their names by links.
fn on_disk(root: &Path, seed: u64, recorder: Recorder) -> Arc<dyn Backend> {
    let local = Local::new(root).watched_by(Arc::new(recorder));
    Arc::new(if seed % 3 == 1 { local.by_link() } else { local })
}

/// A life, one process after the other.
fn one_by_one(root: &Path, seed: u64) -> Result<Story, String> {
    let recorder = Recorder::default();
    let disk = || on_disk(root, seed, recorder.clone());
    let mut life = Life::new(disk(), suite_of(seed), seed);
    let mut promises = Vec::new();
    let plan = std::iter::once(None).chain(deeds(&mut Dice::new(seed), 12).into_iter().map(Some));
    for deed in plan {
        // Another process each time: nothing is known to be settled any more.
        life.backend = disk();
        let (before, from) = (life.ledger.clone(), recorder.count());
        match deed {
            None => life.init(),
            Some(deed) => life.act(deed),
        }
        .map_err(|error| format!("SNAP_CRASH_SEED={seed}: {deed:?} fails: {error}"))?;
        promises.push((from + 1, amid(&before, &life.ledger)));
        promises.push((recorder.count(), life.ledger.clone()));
    }
    let steps = recorder.steps.lock().unwrap().clone();
    Ok(Story { steps, judge: life, promises })
}

const WRITERS: usize = 6;
const FORGET: usize = WRITERS;
/// And from here on prunes.
const PRUNE: usize = FORGET + 1;
const ACTORS: usize = PRUNE + 2;

/// Several processes at once, each step of one between any two of another.
fn all_at_once(root: &Path, seed: u64) -> Result<Story, String> {
    let turns = SimStore::new(seed, ACTORS);
    let recorder = Recorder::default();
    let disk = |recorder: Recorder| on_disk(root, seed, recorder);
    let mut life = Life::new(disk(recorder.clone()), suite_of(seed), seed);
    let failed = |what: &str, error: Error| format!("SNAP_CRASH_SEED={seed}: {what} fails: {error}");
    life.init().map_err(|error| failed("init", error))?;
    for series in 0..2 {
        life.act(Deed::Save { series, many_packs: true }).map_err(|error| failed("the first", error))?;
    }
    let recorder = Recorder { turns: Some(turns.clone()), ..recorder };
    let promises = Mutex::new(vec![(recorder.count(), life.ledger.clone())]);
    // What was promised last, and this on top.
    let promise = |change: &dyn Fn(&mut Ledger)| {
        let mut promises = promises.lock().unwrap();
        let mut ledger = promises.last().unwrap().1.clone();
        change(&mut ledger);
        promises.push((recorder.count(), ledger));
    };
    let actors: Vec<usize> = (0..ACTORS).collect();
    turns.schedule(&actors, 1 + seed % 3);
    let clock = &life.clock;
    std::thread::scope(|scope| {
        for actor in actors {
            let (own, promise) = (recorder.of_actor(actor), &promise);
            scope.spawn(move || {
                let turn = own.turns.clone().unwrap();
                own.pause();
                let mut dice = Dice::new(seed << 8 | actor as u64);
                for round in 0..2 {
                    let backend = disk(own.clone());
                    let process = Dice::new(seed ^ (actor as u64 + 1) << 40 ^ (round + 1) << 50).next();
                    let Ok(repository) = open(backend, clock, process) else { continue };
                    let there = repository.state().snapshots.clone();
                    match actor {
                        PRUNE.. => drop(prune(&repository, &thorough(false), &Silent)),
                        FORGET => {
                            let id = there[dice.below(there.len())].id;
                            promise(&|ledger| ledger.leaving.extend([id]));
                            if forget(&repository, id).is_ok() {
                                promise(&|ledger| ledger.forgotten.extend([id]));
                            }
                        }
                        _ => {
                            let content = random_content(&mut dice);
                            let habits = Habits { many_packs: dice.one_in(2), deltas: dice.one_in(2) };
                            let mut begun = |id| promise(&|ledger| drop(ledger.begun.insert(id, content.clone())));
                            let series = ["one", "two"][actor % 2];
                            if let Ok(id) = save(&repository, series, &content, habits, &mut begun) {
                                promise(&|ledger| ledger.acknowledged.extend([id]));
                            }
                        }
                    }
                }
                turn.end();
            });
        }
        turns.start();
    });
    let (steps, promises) = (recorder.steps.lock().unwrap().clone(), promises.into_inner().unwrap());
    let mut judge = Life::new(life.backend.clone(), suite_of(seed), seed ^ 1 << 60);
    judge.ledger.clone_from(&promises.last().unwrap().1);
    Ok(Story { steps, judge, promises })
}

/// One story on a real disk, and then every crash that could have been.
fn live(seed: u64, sum: &Mutex<Tally>, goes_on: &dyn Fn(u64) -> bool) {
    let folder = faults::quick_folder();
    let root = folder.path().join("repository");
    std::fs::create_dir(&root).unwrap();
    let told = if seed.is_multiple_of(2) { one_by_one(&root, seed) } else { all_at_once(&root, seed) };
    let story = match told {
        Ok(story) => story,
        Err(wrong) => return sum.lock().unwrap().wrong.push(wrong),
    };
    let (mut disk, mut dice) = (SimFs::default(), Dice::new(seed ^ 1 << 50));
    let mut promised = 0;
    let mut seen: HashSet<(usize, [u8; 32])> = HashSet::new();
    for (n, step) in story.steps.iter().enumerate() {
        disk.step(step);
        while story.promises.get(promised + 1).is_some_and(|(from, _)| *from <= n + 1) {
            promised += 1;
        }
        // Where several processes are at work, the story of crashes begins with them.
        if disk.inodes.is_empty() || story.promises[promised].0 > n + 1 {
            continue;
        }
        let ledger = &story.promises[promised].1;
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
            if !seen.insert((promised, digest_of(&objects))) {
                continue;
            }
            let mut judge = story.judge.on(storage_of(&objects));
            judge.ledger.clone_from(ledger);
            let mut wrong = Vec::new();
            if !ledger.initialised {
                match judge.init() {
                    Ok(()) | Err(Error::CannotInit { .. }) => {}
                    Err(error) => wrong.push(format!("init afterwards: {error}")),
                }
            }
            // The next backup and a prune in one of eight states: that takes most of the time.
            let goes_further = seen.len() % 8 == 1;
            wrong.extend(if goes_further { judge.faults_and_goes_on() } else { judge.faults() });
            let mut sum = sum.lock().unwrap();
            sum.distinct += 1;
            for wrong in wrong {
                let told = format!("SNAP_CRASH_SEED={seed}, after step {n} ({}), state {state}: {wrong}", short(step));
                // At once: a campaign takes long, and may be broken off.
                println!("{told}");
                sum.wrong.push(told);
            }
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
    let states = number("SNAP_CRASH_STATES", 3_000);
    let (done, lives) = (AtomicU64::new(0), AtomicU64::new(number("SNAP_CRASH_SEED", 0)));
    let (sum, told, began) = (Mutex::<Tally>::default(), AtomicU64::new(0), Instant::now());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) < states {
                    let seed = lives.fetch_add(1, Ordering::Relaxed);
                    live(seed, &sum, &|count| done.fetch_add(count, Ordering::Relaxed) < states);
                    let sum = sum.lock().unwrap();
                    if sum.states / 50_000 > told.fetch_max(sum.states / 50_000, Ordering::Relaxed) {
                        println!("{} states up to life {seed}, {} wrong", sum.states, sum.wrong.len());
                    }
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
        let mut watched = Watched::new();
        let from = watched.recorder.count();
        watched.life.act(Deed::Save { series: 0, many_packs: false }).unwrap();
        let mut disk = SimFs::default();
        for (n, step) in watched.steps().iter().enumerate() {
            let is_forgotten = matches!(step, DiskStep::SyncedFolder(path)
                if n >= from && path.strip_prefix(&watched.root).is_ok_and(|path| path.starts_with(forgotten)));
            if !is_forgotten {
                disk.step(step);
            }
        }
        let faults = watched.faults(&disk.after_crash(&watched.root, &|_| false));
        assert!(!faults.is_empty(), "an fsync of {forgotten} less, and nobody noticed");
    }
}

/// Packs that only a listing shows may not have lasted: whoever names them makes sure of that first.
#[test]
fn who_names_packs_that_were_found_makes_sure_that_they_last() {
    type Finder = fn(&mut Life) -> Result<(), Error>;
    let finders: [(&str, Finder); 3] = [
        ("prune", |life| prune(&life.open()?, &thorough(false), &Silent).map(drop)),
        ("repair index", |life| repair_index(&life.open()?, false, false, &Silent).map(drop)),
        ("the next backup", |life| life.act(Deed::Save { series: 1, many_packs: false })),
    ];
    for (name, finder) in finders {
        let mut watched = Watched::new();
        let packs = watched.root.join("packs");
        let saved_from = watched.recorder.count();
        watched.life.act(Deed::Save { series: 0, many_packs: true }).unwrap();
        // Their index objects are lost, and the folders of the packs were never fsynced.
        let indexes = std::fs::read_dir(watched.root.join("index")).unwrap();
        let indexes: Vec<PathBuf> = indexes.map(|entry| entry.unwrap().path()).collect();
        indexes.iter().for_each(|path| std::fs::remove_file(path).unwrap());
        let found_from = watched.goes_on();
        finder(&mut watched.life).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut disk = SimFs::default();
        for (n, step) in watched.steps().iter().enumerate() {
            let never_happened = match step {
                DiskStep::Renamed(_, to) | DiskStep::Linked(_, to) => indexes.contains(to),
                DiskStep::SyncedFolder(path) => path.parent() == Some(&packs),
                _ => false,
            };
            if !(saved_from..found_from).contains(&n) || !never_happened {
                disk.step(step);
            }
        }
        assert!(disk.lasting.files.keys().any(|path| path.starts_with(&packs)), "{name}");
        let mut faults = watched.faults(&disk.after_crash(&watched.root, &|_| false));
        // Only `repair index` and `prune` put something in the place of the lost object.
        faults.retain(|fault| name != "the next backup" || !fault.starts_with("check: index/"));
        assert_eq!(faults, Vec::<String>::new(), "{name}");
    }
}

/// An entry that can be read may not have lasted: whoever deletes what it condemns makes sure of that first.
#[test]
fn who_deletes_makes_sure_that_the_entry_lasts_by_which_it_may() {
    let mut watched = Watched::new();
    let (log, packs) = (watched.root.join("log"), watched.root.join("packs"));
    for _ in 0..3 {
        watched.life.act(Deed::Save { series: 0, many_packs: true }).unwrap();
    }
    watched.life.act(Deed::Forget).unwrap();
    watched.goes_on();
    let condemned = prune(&watched.life.open().unwrap(), &thorough(true), &Silent).unwrap().condemned;
    // Whoever condemned died before the folder of its entry was fsynced.
    let named = watched.steps().iter().rposition(|step| match step {
        DiskStep::Renamed(_, to) | DiskStep::Linked(_, to) => to.starts_with(&log),
        _ => false,
    });
    let found_from = watched.goes_on();
    let swept = prune(&watched.life.open().unwrap(), &thorough(false), &Silent).unwrap().swept;
    assert!(condemned.packs > 0 && swept.packs == condemned.packs, "{condemned:?}, {swept:?}");

    let (mut disk, steps) = (SimFs::default(), watched.steps());
    for (n, step) in steps.iter().enumerate() {
        if n <= named.unwrap() || n >= found_from {
            disk.step(step);
        }
        let is_last = n + 1 == steps.len();
        if is_last || matches!(step, DiskStep::Removed(path) if path.starts_with(&packs)) {
            // The disk takes deletions first.
            let left = disk.after_crash(&watched.root, &|change| matches!(disk.pending[change], Pending::Remove(_)));
            assert_eq!(watched.faults(&left), Vec::<String>::new(), "after step {n}");
        }
    }
}
