//! Real processes together on two repositories: creates, prunes with and without grace, forget and undo, copies both ways,
//! restores, checks and repairs, killed, interrupted and stopped at random. No snapshot that was acknowledged may be lost,
//! no verb may call something lost or damaged, and every exit code has to say what is so.
//!
//! `SNAP_TOGETHER=n` runs for n seconds (6 by default) from `SNAP_SEED` on, with `SNAP_TOGETHER_WORKERS` at once (4). With
//! `SNAP_TOGETHER_KEEP` the run ends at the first fault, and the repositories are copied to the folder of that name.
//! `SNAP_PROGRAM` is another program than that of this build.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::cli;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use avro_snap::id::digest;
use cli::{PASSWORD, Snap, program, text};
use rustix::process::{Pid, Signal, kill_process};

/// What a snapshot holds: files by name, with the hash of each.
pub(crate) type Content = BTreeMap<PathBuf, [u8; 32]>;

/// Both repositories: the second is encrypted, and its keys are rotated now and then.
const REPOSITORIES: [&str; 2] = ["a", "b"];

/// Whether a snapshot has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Gone,
    /// Somebody was asked to remove it, or to bring it back, and did not live to say what came of it.
    Unknown,
}

#[derive(Debug, Clone)]
struct Known {
    content: Content,
    fate: Fate,
    /// Somebody removes it, or brings it back, just now.
    claimed: bool,
    /// How often its fate changed.
    changes: u32,
}

/// What was promised, by repository and id.
#[derive(Default)]
struct Ledger(Mutex<BTreeMap<(usize, String), Known>>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(usize, String), Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Anyone for which this holds.
    fn pick(&self, random: &mut Random, is_meant: impl Fn(usize, &Known) -> bool) -> Option<((usize, String), Known)> {
        let known = self.lock();
        let fitting: Vec<_> = known.iter().filter(|((at, _), known)| is_meant(*at, known)).collect();
        let (key, known) = fitting.get(random.below(fitting.len().max(1)))?;
        Some(((*key).clone(), (*known).clone()))
    }

    /// Takes one that has this fate for the caller alone.
    fn claim(&self, random: &mut Random, fate: Fate) -> Option<(usize, String)> {
        loop {
            let (key, _) = self.pick(random, |_, known| known.fate == fate && !known.claimed)?;
            let mut all = self.lock();
            let known = all.get_mut(&key)?;
            if !known.claimed && known.fate == fate {
                known.claimed = true;
                known.changes += 1;
                return Some(key);
            }
        }
    }

    fn settle(&self, key: &(usize, String), fate: Fate) {
        if let Some(known) = self.lock().get_mut(key) {
            (known.fate, known.claimed) = (fate, false);
            known.changes += 1;
        }
    }
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(length).collect()
    }
}

/// What is done to a process besides letting it run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Kill,
    Interrupt,
    Terminate,
    Stop,
}

struct Ended {
    trouble: Trouble,
    /// None if a signal ended it.
    code: Option<i32>,
    signal: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ended {
    fn is_done(&self) -> bool {
        self.code == Some(0)
    }

    /// Whether it may have been cut short: then nothing is known about what it did.
    fn was_cut(&self) -> bool {
        self.code.is_none() || self.code == Some(130) || self.code == Some(143)
    }
}

/// A worker: one process at a time.
struct Worker<'w> {
    snap: &'w Snap,
    ledger: &'w Ledger,
    number: usize,
    random: Random,
    until: Instant,
    /// Faults, and how often each verb ended how.
    faults: Vec<String>,
    ends: BTreeMap<(String, String), u32>,
    version: usize,
    restored: u32,
    /// The run is over: there is a fault to be looked into.
    over: &'w AtomicBool,
}

/// What an exit with code 1 may say: each is true of something that another did meanwhile.
const EXCUSES: [&str; 6] = [
    "removed meanwhile",
    "no snapshot",
    "a prune has deleted",
    "were rotated",
    "is in the repository already",
    "cannot come back",
];

impl Worker<'_> {
    fn repository(&self, at: usize) -> String {
        text(&self.snap.path(REPOSITORIES[at]))
    }

    /// Runs a verb, with or without trouble, and says what is wrong with how it ended.
    fn run(&mut self, at: usize, arguments: &[&str], extra: &[(&str, &str)]) -> Ended {
        let trouble = match self.random.below(20) {
            0 | 1 => Trouble::Kill,
            2 => Trouble::Interrupt,
            3 => Trouble::Terminate,
            4 | 5 => Trouble::Stop,
            _ => Trouble::None,
        };
        let [out, err] = ["out", "err"].map(|name| self.snap.path(&format!("{}-{name}", self.number)));
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(self.snap.path("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // Two homes, so that some share their index and some do not.
            .env("HOME", self.snap.path(&format!("home-{}", self.random.below(2))))
            .env("TZ", "UTC")
            .env("SNAP_REPOSITORY", self.repository(at))
            .env("SNAP_PASSWORD", PASSWORD)
            .env("SNAP_HOST", "host")
            .envs(extra.iter().copied())
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap());
        let mut child = command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        if trouble != Trouble::None {
            sleep(Duration::from_millis(self.random.below(400) as u64));
            let _ = match trouble {
                Trouble::Kill => kill_process(pid, Signal::KILL),
                Trouble::Interrupt => kill_process(pid, Signal::INT),
                Trouble::Terminate => kill_process(pid, Signal::TERM),
                _ => kill_process(pid, Signal::STOP),
            };
            if trouble == Trouble::Stop {
                let most = if self.random.below(10) == 0 { 10_000 } else { 1_000 };
                let left = self.until.saturating_duration_since(Instant::now());
                sleep(Duration::from_millis(self.random.below(most) as u64).min(left));
                let _ = kill_process(pid, Signal::CONT);
            }
        }
        let began = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if began.elapsed() > Duration::from_secs(300) => {
                    let _ = child.kill();
                    self.faults.push(format!("{arguments:?} does not end"));
                    break child.wait().unwrap();
                }
                None => sleep(Duration::from_millis(5)),
            }
        };
        let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let ended =
            Ended { trouble, code: status.code(), signal: status.signal(), stdout: read(&out), stderr: read(&err) };
        self.judge(arguments, &ended);
        ended
    }

    fn judge(&mut self, arguments: &[&str], ended: &Ended) {
        let verb = arguments.iter().take_while(|word| !word.starts_with('-')).take(2).copied().collect::<Vec<_>>();
        let verb = verb.iter().filter(|word| word.len() < 20).copied().collect::<Vec<_>>().join(" ");
        let excused = EXCUSES.iter().any(|excuse| ended.stderr.contains(excuse) || ended.stdout.contains(excuse));
        let wrong = match (ended.code, ended.trouble) {
            // Nothing is damaged here, so nobody has to record that, or to take it back.
            (Some(0), _) => {
                let said = [&ended.stdout, &ended.stderr];
                ["panicked", "is damaged", " as lost", "found whole", "cannot be copied", "are read instead"]
                    .iter()
                    .any(|word| said.iter().any(|said| said.contains(word)))
            }
            (None, Trouble::Kill | Trouble::Interrupt | Trouble::Terminate) => false,
            (Some(130 | 143), Trouble::Interrupt | Trouble::Terminate) => false,
            // Somebody else was faster, and it says so.
            (Some(11), _) => false,
            (Some(1), _) => !excused,
            _ => true,
        };
        let how = match (ended.code, ended.signal) {
            (Some(code), _) => format!("exit {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        if wrong {
            // As it is now, for who wants to see what it was like.
            if let Some(keep) = std::env::var_os("SNAP_TOGETHER_KEEP").map(PathBuf::from).filter(|keep| !keep.exists())
            {
                fs::create_dir_all(&keep).unwrap();
                self.over.store(true, Ordering::SeqCst);
                let both = REPOSITORIES.map(|name| self.snap.path(name));
                let _ = Command::new("cp").arg("-r").args(both).arg(&keep).status();
            }
            self.faults.push(format!("{arguments:?}, {:?}, {how}: {} {}", ended.trouble, ended.stdout, ended.stderr));
        }
        *self.ends.entry((verb, how)).or_default() += 1;
    }

    /// Changes what lies in the worker's own folder, and gives what is there now.
    fn change(&mut self) -> (PathBuf, Content) {
        self.version += 1;
        let folder = self.snap.work(&format!("source-{}", self.number));
        if self.version == 1 {
            fs::create_dir_all(&folder).unwrap();
            for name in ["stays", "edited"] {
                let bytes = self.random.bytes(60_000);
                fs::write(folder.join(name), bytes).unwrap();
            }
        }
        let mut edited = fs::read(folder.join("edited")).unwrap();
        let at = self.random.below(edited.len() - 8);
        edited[at..at + 8].copy_from_slice(&self.random.next().to_le_bytes());
        fs::write(folder.join("edited"), edited).unwrap();
        for n in 0..2 {
            let length = self.random.below(40_000);
            let bytes = self.random.bytes(length);
            fs::write(folder.join(format!("new-{}", (self.version + n) % 4)), bytes).unwrap();
        }
        fs::write(folder.join("version"), format!("{} of {}", self.version, self.number)).unwrap();
        (folder.clone(), content(&folder))
    }

    fn create(&mut self) {
        let at = self.random.below(2);
        let (folder, content) = self.change();
        let series = format!("series-{}", self.number);
        let ended = self.run(at, &["create", &text(&folder), "--series", &series, "--json"], &[]);
        if ended.is_done() {
            let summary = ended.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let id = summary.filter_map(|line| line["snapshot_id"].as_str().map(str::to_owned)).next_back();
            let id = id.expect("a create that is done names its snapshot");
            let known = Known { content, fate: Fate::Kept, claimed: false, changes: 0 };
            self.ledger.lock().insert((at, id), known);
        }
    }

    fn restore(&mut self) {
        let Some((key, before)) = self.ledger.pick(&mut self.random, |_, known| known.fate == Fate::Kept) else {
            return;
        };
        let target = self.snap.path(&format!("target-{}", self.number));
        let _ = fs::remove_dir_all(&target);
        let ended = self.run(key.0, &["restore", &key.1, "--target", &text(&target)], &[]);
        let after = self.ledger.lock().get(&key).cloned().unwrap();
        let is_sure = !before.claimed && before.changes == after.changes;
        if ended.is_done() {
            self.restored += 1;
            let restored = content_below(&target);
            if restored != before.content {
                let differs = |(name, digest): &(&_, &_)| restored.get(*name) != Some(digest);
                let missed: Vec<_> = before.content.iter().filter(differs).map(|(name, _)| name).collect();
                let said = (&ended.stdout, &ended.stderr, ended.trouble);
                self.faults.push(format!("{key:?} was restored wrong: {missed:?} of {}; {said:?}", restored.len()));
            }
        } else if is_sure && !ended.was_cut() && !ended.stderr.contains("were rotated") {
            self.faults.push(format!("{key:?} is lost: {:?} {}", ended.code, ended.stderr));
        }
    }

    fn forget(&mut self) {
        let Some(key) = self.ledger.claim(&mut self.random, Fate::Kept) else { return };
        let ended = self.run(key.0, &["forget", &key.1], &[]);
        let fate = match ended.code {
            Some(0) => Fate::Gone,
            _ => Fate::Unknown,
        };
        self.ledger.settle(&key, fate);
    }

    fn undo(&mut self) {
        let Some(key) = self.ledger.claim(&mut self.random, Fate::Gone) else { return };
        let ended = self.run(key.0, &["forget", "--undo", &key.1], &[]);
        let fate = match ended.code {
            Some(0) => Fate::Kept,
            _ if ended.was_cut() => Fate::Unknown,
            _ => Fate::Unknown,
        };
        self.ledger.settle(&key, fate);
    }

    fn copy(&mut self) {
        let to = self.random.below(2);
        let from = self.repository(1 - to);
        let named = self.ledger.pick(&mut self.random, |at, known| at == 1 - to && known.fate == Fate::Kept);
        let Some(((_, id), _)) = named else { return };
        let mut arguments = vec!["copy", "--from-repo", &from];
        if self.random.below(3) > 0 {
            arguments.insert(1, &id);
        }
        self.run(to, &arguments, &[("SNAP_FROM_PASSWORD", PASSWORD)]);
    }

    fn turn(&mut self) {
        let at = self.random.below(2);
        match self.random.below(100) {
            0..28 => self.create(),
            28..40 => self.restore(),
            40..47 => self.forget(),
            47..51 => self.undo(),
            51..57 => self.copy(),
            57..69 => {
                let few = ["prune", "--max-unused", "0", "--repack-small", "--grace"];
                let grace = ["0", "0", "2s", "1d"][self.random.below(4)];
                let from = if self.random.below(2) == 0 { 0 } else { 3 };
                let arguments: Vec<&str> =
                    [few[0]].into_iter().chain(few[1..].iter().copied().skip(from)).chain([grace]).collect();
                drop(self.run(at, &arguments, &[]));
            }
            69..79 => drop(self.run(at, &["check"], &[])),
            79..82 => drop(self.run(at, &["check", "--read-data"], &[])),
            82..84 => drop(self.run(at, &["repair", "index"], &[])),
            84 => drop(self.run(at, &["repair", "index", "--all"], &[])),
            85 => drop(self.run(at, &["repair", "packs"], &[])),
            86..89 => drop(self.run(at, &["repair", "snapshots", "--forget"], &[])),
            89..91 => drop(self.run(at, &["repair", "snapshots", "--read-data", "--forget", "--rewrite"], &[])),
            91 => drop(self.run(at, &["recover"], &[])),
            92..94 => drop(self.run(at, &["stats"], &[])),
            94..96 => drop(self.run(at, &["snapshots"], &[])),
            96 => drop(self.run(at, &["diff", "latest", "latest"], &[])),
            97 => drop(self.run(at, &["ls", "latest"], &[])),
            98 => drop(self.run(1, &["key", "rotate", "--kdf-memory", "8"], &[("SNAP_NEW_PASSWORD", PASSWORD)])),
            _ => drop(self.run(at, &["tag", "latest", "--add", "x"], &[])),
        }
    }
}

/// The files of a folder.
pub(crate) fn content(folder: &Path) -> Content {
    let mut content = Content::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        content.insert(path.file_name().unwrap().into(), digest(&fs::read(&path).unwrap()));
    }
    content
}

/// The files of the one source that was restored here, below the folders that lead to it.
pub(crate) fn content_below(target: &Path) -> Content {
    match fs::read_dir(target).ok().and_then(|mut entries| entries.next()) {
        Some(Ok(entry)) if entry.path().is_dir() => content_below(&entry.path()),
        Some(Ok(_)) => content(target),
        _ => Content::new(),
    }
}

pub(crate) fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn processes_together_lose_nothing_and_raise_no_false_alarm() {
    let (seconds, seed) = (number("SNAP_TOGETHER", 6), number("SNAP_SEED", 1));
    let workers = number("SNAP_TOGETHER_WORKERS", 4) as usize;
    let snap = Snap::quick();
    for (name, arguments) in [("a", &["--encryption", "none"][..]), ("b", &["--kdf-memory", "8"])] {
        let repository = text(&snap.path(name));
        snap.ok(&[&["init", "-r", &repository], arguments].concat());
        fs::create_dir(snap.path(if name == "a" { "home-0" } else { "home-1" })).unwrap();
    }
    let (ledger, until) = (Ledger::default(), Instant::now() + Duration::from_secs(seconds));
    let (mut faults, mut ends, mut restored) = (Vec::new(), BTreeMap::new(), 0);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = |number: usize| {
            let (snap, ledger, over) = (&snap, &ledger, &over);
            scope.spawn(move || {
                let random = Random(seed.wrapping_mul(1000) + number as u64);
                let (faults, ends) = (Vec::new(), BTreeMap::new());
                let mut worker =
                    Worker { snap, ledger, number, random, until, faults, ends, version: 0, restored: 0, over };
                worker.create();
                while Instant::now() < until && worker.faults.len() < 20 && !over.load(Ordering::SeqCst) {
                    worker.turn();
                }
                (worker.faults, worker.ends, worker.restored)
            })
        };
        for worker in (0..workers).map(work).collect::<Vec<_>>() {
            let (own, counted, count) = worker.join().unwrap();
            faults.extend(own);
            restored += count;
            counted.into_iter().for_each(|(how, count)| *ends.entry(how).or_insert(0) += count);
        }
    });
    for ((verb, how), count) in &ends {
        println!("{verb:24} {how:12} {count}");
    }
    // Said at once: what follows takes its time.
    faults.iter().for_each(|fault| println!("FAULT: {fault}"));
    let before = faults.len();
    for (at, name) in REPOSITORIES.iter().enumerate() {
        faults.extend(check_in_the_end(&snap, &ledger, at, name));
    }
    let (kept, lost) = restore_all(&snap, &ledger, workers);
    faults.extend(lost);
    println!("{seconds} s, seed {seed}: {restored} restored on the way, {kept} in the end, {} faults", faults.len());
    faults.iter().skip(before).for_each(|fault| println!("FAULT: {fault}"));
    assert!(faults.is_empty(), "{} faults, the first: {}", faults.len(), faults[0]);
}

/// In the end everybody is gone, and a check of everything finds nothing. Gives what is wrong.
fn check_in_the_end(snap: &Snap, ledger: &Ledger, at: usize, name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let repository = text(&snap.path(name));
    let check = snap.run(&["check", "--read-data", "-r", &repository]);
    println!("the last check of {name}: {}", check.stdout.replace('\n', "; "));
    if (check.code, check.stderr.as_str()) != (0, "") {
        faults.push(format!("the last check of {name}: {} {} {}", check.code, check.stdout, check.stderr));
    }
    let known = ledger.lock();
    let gone = known.iter().filter(|((of, _), known)| *of == at && known.fate == Fate::Gone && !known.claimed);
    let listed = snap.ok(&["snapshots", "--json", "-r", &repository]).stdout;
    // A copy may have brought it back by its name.
    let copied = known.len() > 1;
    for ((_, id), _) in gone {
        if listed.contains(id.as_str()) && !copied {
            faults.push(format!("snapshot {id} of {name} was removed and is there"));
        }
    }
    faults
}

/// Restores every snapshot that has to be there, several at once, each into a place of its own. Gives how many, and what
/// is wrong.
fn restore_all(snap: &Snap, ledger: &Ledger, workers: usize) -> (usize, Vec<String>) {
    let kept: Vec<((usize, String), Content)> = {
        let known = ledger.lock();
        let kept = known.iter().filter(|(_, known)| known.fate == Fate::Kept);
        kept.map(|(key, known)| (key.clone(), known.content.clone())).collect()
    };
    let (next, faults) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for number in 0..workers {
            let (kept, next, faults) = (&kept, &next, &faults);
            scope.spawn(move || {
                let target = snap.path(&format!("last-{number}"));
                while let Some(((at, id), content)) = kept.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let _ = fs::remove_dir_all(&target);
                    let repository = text(&snap.path(REPOSITORIES[*at]));
                    let ran = snap.run(&["restore", id, "--target", &text(&target), "-r", &repository]);
                    if ran.code != 0 || content_below(&target) != *content {
                        let name = REPOSITORIES[*at];
                        let fault = format!("snapshot {id} of {name} is lost in the end: {} {}", ran.code, ran.stderr);
                        faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
                    }
                }
            });
        }
    });
    (kept.len(), faults.into_inner().unwrap_or_else(PoisonError::into_inner))
}
