//! The life of a repository, generated from a seed: backups, forgetting, pruning, tags and keys, each by a process of its
//! own; and what must be true of it whatever happened to it.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use avro_snap::crypto::Suite;
use avro_snap::crypto::slot::KdfCost;
use avro_snap::error::{Error, Result};
use avro_snap::id::SnapshotId;
use avro_snap::ops::check::{CheckOptions, DataSubset, check};
use avro_snap::ops::prune::{MaxUnused, PruneOptions, PruneReport, prune};
use avro_snap::ops::repair::{PackRepairOptions, SnapshotRepairOptions, repair_index, repair_packs, repair_snapshots};
use avro_snap::progress::Silent;
use avro_snap::storage::Backend;
use avro_snap::store::{CachePlace, Repository};

use crate::sim_client::{
    Content, Habits, SimClock, change, contents, expected, forget, init, open_with, random_content, save, settle,
};
use crate::sim_store::Dice;

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Save {
        series: usize,
        many_packs: bool,
    },
    Forget,
    Undo,
    Tag,
    Key,
    Rotate,
    Prune {
        grace: bool,
    },
    Repair,
    /// A snapshot gets a new root.
    Settle,
}

/// So many deeds; the first is a backup.
pub fn deeds(dice: &mut Dice, count: usize) -> Vec<Deed> {
    let mut deeds = Vec::new();
    for n in 0..count {
        let save = Deed::Save { series: dice.below(2), many_packs: dice.one_in(2) };
        deeds.push(match dice.below(15) {
            _ if n == 0 => save,
            0..=4 => save,
            5..=6 => Deed::Forget,
            7 => Deed::Undo,
            8 => Deed::Tag,
            9 => Deed::Key,
            10 => Deed::Rotate,
            11 => Deed::Repair,
            12 => Deed::Settle,
            _ => Deed::Prune { grace: dice.one_in(3) },
        });
    }
    deeds
}

pub const NEW_KEY: &[u8] = b"another password";

pub fn cheap() -> KdfCost {
    KdfCost { memory_kib: 64, passes: 1, lanes: 1 }
}

/// Frees all that can be freed. With a grace, nothing that was condemned just now is deleted yet.
pub fn thorough(grace: bool) -> PruneOptions {
    PruneOptions::default()
        .max_unused(MaxUnused::Bytes(0))
        .reencrypt(true)
        .grace(if grace { Duration::from_secs(86_400) } else { Duration::ZERO })
        .compression(avro_snap::options::Compression::Off)
}

/// What was promised to whom.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub initialised: bool,
    /// What was being saved under which name, whether or not it came to a snapshot.
    pub begun: BTreeMap<SnapshotId, Content>,
    /// Snapshots that somebody was told are there.
    pub acknowledged: BTreeSet<SnapshotId>,
    /// Snapshots that somebody began to forget: they may be gone.
    pub leaving: BTreeSet<SnapshotId>,
    /// Snapshots that somebody was told are gone.
    pub forgotten: BTreeSet<SnapshotId>,
    /// Snapshots that somebody began to bring back after that.
    pub returning: BTreeSet<SnapshotId>,
    pub key_added: bool,
    /// Deeds that were told to be done.
    pub done: usize,
}

/// A repository, whoever works on it, and what they know.
#[derive(Clone)]
pub struct Life {
    pub backend: Arc<dyn Backend>,
    pub cache: CachePlace,
    pub clock: Arc<SimClock>,
    pub suite: Suite,
    pub ledger: Ledger,
    contents: [Content; 2],
    dice: Dice,
    processes: u64,
}

impl Life {
    pub fn new(backend: Arc<dyn Backend>, suite: Suite, seed: u64) -> Self {
        let clock = Arc::new(SimClock::default());
        clock.set(1_780_000_000_000_000_000);
        let mut dice = Dice::new(seed);
        let contents = [random_content(&mut dice), random_content(&mut dice)];
        let cache = CachePlace::Temporary;
        Self { backend, cache, clock, suite, ledger: Ledger::default(), contents, dice, processes: 0 }
    }

    /// The same from now on with another storage, as after a crash; what it has promised stays promised.
    pub fn on(&self, backend: Arc<dyn Backend>) -> Self {
        Self { backend, ..self.clone() }
    }

    fn seed(&mut self) -> u64 {
        self.processes += 1;
        Dice::new(self.dice.clone().next() ^ self.processes << 40).next()
    }

    pub fn init(&mut self) -> Result<()> {
        let seed = self.seed();
        init(&self.backend, self.suite, &self.clock, seed)?;
        self.ledger.initialised = true;
        Ok(())
    }

    pub fn open(&mut self) -> Result<Repository> {
        let seed = self.seed();
        open_with(self.backend.clone(), &self.clock, seed, self.cache.clone())
    }

    /// One process does one thing.
    pub fn act(&mut self, deed: Deed) -> Result<()> {
        self.clock.pass(60_000_000_000);
        // Also where it cannot be opened, the dice fall as they would.
        let roll = self.dice.next() as usize;
        if let Deed::Save { series, .. } = deed {
            change(&mut self.contents[series], &mut self.dice);
        }
        let repository = self.open()?;
        let there: Vec<SnapshotId> = repository.state().snapshots.iter().map(|record| record.id).collect();
        let chosen = there.get(roll % there.len().max(1)).copied();
        match deed {
            Deed::Save { series, many_packs } => {
                let (content, ledger) = (&self.contents[series], &mut self.ledger);
                let habits = Habits { many_packs, deltas: !roll.is_multiple_of(3) };
                let mut begun = |id| drop(ledger.begun.insert(id, content.clone()));
                let id = save(&repository, ["one", "two"][series], content, habits, &mut begun)?;
                self.ledger.acknowledged.insert(id);
            }
            Deed::Forget => {
                let Some(id) = chosen.filter(|_| there.len() > 1) else { return Ok(()) };
                self.ledger.leaving.insert(id);
                forget(&repository, id)?;
                self.ledger.forgotten.insert(id);
                self.ledger.returning.remove(&id);
            }
            Deed::Undo => {
                let removed = repository.state().removed.clone();
                let Some(last) = removed.last() else { return Ok(()) };
                let id = last.record.id;
                self.ledger.returning.insert(id);
                match repository.revive(&[id]) {
                    // What is deleted is deleted.
                    Err(Error::Pruned { .. }) => {}
                    Err(error) => return Err(error),
                    Ok(()) => {
                        self.ledger.leaving.remove(&id);
                        self.ledger.forgotten.remove(&id);
                    }
                }
            }
            Deed::Tag => {
                let Some(id) = chosen else { return Ok(()) };
                repository.log().set_tags(id, &[format!("tag{}", roll % 7)])?;
            }
            Deed::Key => {
                if self.suite != Suite::None && !self.ledger.key_added {
                    repository.keys().add(NEW_KEY, cheap(), "another")?;
                    self.ledger.key_added = true;
                }
            }
            Deed::Rotate => {
                if self.suite != Suite::None {
                    // Whatever comes of it, other passwords need not open it any more.
                    self.ledger.key_added = false;
                    let mut repository = repository;
                    let keys: Vec<_> = repository.state().keys.keys().copied().collect();
                    repository.rotate_key(b"password", cheap(), "rotated", &keys)?;
                }
            }
            Deed::Settle => {
                let Some(id) = chosen else { return Ok(()) };
                settle(&repository, id)?;
            }
            Deed::Prune { grace } => drop(self.prune(&repository, grace)?),
            Deed::Repair => match roll % 3 {
                0 => drop(repair_index(&repository, true, false, &Silent)?),
                1 => {
                    let options = PackRepairOptions::default();
                    repair_packs(&repository, &options, &Silent)?;
                }
                _ => {
                    let (read_data, rewrite, dry_run) = (roll.is_multiple_of(2), false, false);
                    let options = SnapshotRepairOptions::default()
                        .read_data(read_data)
                        .forget(true)
                        .rewrite(rewrite)
                        .dry_run(dry_run);
                    repair_snapshots(&repository, &options, &Silent, &mut |_| Ok(()))?;
                }
            },
        }
        self.ledger.done += 1;
        Ok(())
    }

    pub fn prune(&self, repository: &Repository, grace: bool) -> Result<PruneReport> {
        prune(repository, &thorough(grace), &Silent)
    }

    /// What is wrong with a repository on which nobody works just now; nothing, should everything be well.
    pub fn faults(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        let repository = match self.open() {
            Ok(repository) => repository,
            Err(error) => return vec![format!("it cannot be opened: {error}")],
        };
        if repository.catalog().standing().has_damage() {
            wrong.push("damage is recorded where there is none".into());
        }
        self.compare(&repository, &mut wrong);
        match check(&repository, CheckOptions::reading(DataSubset::All), &Silent) {
            Ok(report) => {
                wrong.extend(report.problems.iter().map(|problem| format!("check: {problem}")));
                if report.unsound_checkpoints > 0 {
                    wrong.push(format!("{} checkpoints are not what the log says", report.unsound_checkpoints));
                }
            }
            Err(error) => wrong.push(format!("check fails: {error}")),
        }
        if self.ledger.key_added
            && let Err(error) = repository.keys().find(NEW_KEY)
        {
            wrong.push(format!("a key that was added is not there: {error}"));
        }
        wrong
    }

    /// Compares the snapshots with what was promised.
    pub fn compare(&self, repository: &Repository, wrong: &mut Vec<String>) {
        let state = repository.state();
        let there: BTreeSet<SnapshotId> = state.snapshots.iter().map(|record| record.id).collect();
        let ledger = &self.ledger;
        for id in ledger.acknowledged.iter().filter(|id| !ledger.leaving.contains(id) && !there.contains(id)) {
            wrong.push(format!("{id} was acknowledged and is not there"));
        }
        for id in ledger.forgotten.iter().filter(|id| !ledger.returning.contains(id) && there.contains(id)) {
            wrong.push(format!("{id} was forgotten and is there"));
        }
        for record in &state.snapshots {
            let Some(content) = ledger.begun.get(&record.id) else {
                wrong.push(format!("{} was saved by nobody", record.id));
                continue;
            };
            match contents(repository, record) {
                Ok(files) if files == expected(content) => {}
                Ok(_) => wrong.push(format!("WRONG BYTES in {}", record.id)),
                Err(error) => wrong.push(format!("{} is lost: {error}", record.id)),
            }
        }
    }

    /// What is wrong after a disaster: as it is, after the next backup, and after a prune of everything.
    pub fn faults_and_goes_on(&mut self) -> Vec<String> {
        let mut wrong = self.faults();
        for deed in [Deed::Save { series: 0, many_packs: false }, Deed::Prune { grace: false }] {
            if let Err(error) = self.act(deed) {
                wrong.push(format!("{deed:?} fails afterwards: {error}"));
            }
        }
        if wrong.is_empty() {
            wrong.extend(self.faults().into_iter().map(|fault| format!("after a prune: {fault}")));
        }
        wrong
    }
}
