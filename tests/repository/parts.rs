//! Parts of runs and their merge, where other processes come between, and where something is damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::avro_gen;
use crate::faults;
use crate::lab;
use crate::small;

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avro_snap::crypto::Suite;
use avro_snap::error::{Error, Result, RunRefusal};
use avro_snap::id::{RunIds, SnapshotId};
use avro_snap::ops::create::{CreateOptions, CreateReport, create};
use avro_snap::ops::merge::{MergeOptions, MergeReport, OpenRun, merge, runs};
use avro_snap::ops::prune::{Fate, prune};
use avro_snap::ops::select::Listing;
use avro_snap::progress::{Phase, Progress, Silent, Warning};
use avro_snap::runtime::{CancelToken, Runtime};
use avro_snap::snapshot::Shard;
use avro_snap::storage::{Backend, Kind, Memory};
use avro_snap::store::{Clock, OpenOptions, Repository, Unlock, read_root};
use faults::{check_all, memory_of, objects_of};
use lab::{Lab, saving};
use small::thorough;

const RUN: &str = "night";

/// A repository and a source of a few files.
struct Story {
    lab: Lab,
    source: tempfile::TempDir,
}

impl Story {
    fn new() -> Self {
        let backend: Arc<dyn Backend> = Arc::new(Memory::new());
        let (lab, source) = (small::init(&backend, Suite::None), faults::quick_folder());
        for number in 0..12 {
            fs::write(source.path().join(format!("file-{number:02}")), format!("{number} ").repeat(500)).unwrap();
        }
        Self { lab, source }
    }

    fn open(&self) -> Repository {
        small::open(&self.lab)
    }

    fn part(&self, number: u32) -> CreateOptions {
        saving(self.source.path()).run(RUN).shard(Some(Shard::new(number, 2).unwrap()))
    }

    fn saves(&self, number: u32) -> CreateReport {
        create(&self.open(), self.part(number), &Silent).unwrap()
    }

    fn merges(&self) -> Result<MergeReport> {
        merge(&self.open(), &MergeOptions::new(RUN), &Silent)
    }

    fn gives_up(&self) {
        assert!(merge(&self.open(), &MergeOptions::new(RUN).discard(true), &Silent).unwrap().discarded);
    }

    fn runs(&self) -> Vec<OpenRun> {
        runs(&self.open()).unwrap()
    }

    /// The parts and records that the log has.
    fn parts(&self) -> Vec<SnapshotId> {
        self.open().state().snapshots.iter().map(|record| record.id).filter(|id| !id.is_whole()).collect()
    }

    /// The paths of the only snapshot.
    fn paths(&self) -> Vec<String> {
        let repository = self.open();
        let snapshots = Listing::read(&repository).snapshots;
        assert_eq!(snapshots.len(), 1);
        let mut rows = snapshots[0].rows(&repository);
        std::iter::from_fn(|| rows.next_row().unwrap()).map(|row| String::from_utf8(row.path).unwrap()).collect()
    }

    /// Destroys, in a copy, what of the packs that were written since then makes this one unreadable.
    fn damaged(&self, id: SnapshotId, before: &BTreeSet<String>) -> Lab {
        for name in self.packs().difference(before) {
            let mut objects = objects_of(&*self.lab.backend);
            let (_, bytes) = objects.iter_mut().find(|(other, _)| other.to_string() == *name).unwrap();
            bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
            let lab = small::lab(&(Arc::new(memory_of(&objects)) as Arc<dyn Backend>));
            let repository = small::open(&lab);
            let state = repository.state();
            if read_root(&repository, state.snapshot(id).unwrap()).is_err() {
                return lab;
            }
        }
        panic!("no pack that is needed for {id}");
    }

    fn packs(&self) -> BTreeSet<String> {
        let objects = objects_of(&*self.lab.backend);
        objects.into_keys().filter(|name| name.kind() == Kind::Pack).map(|name| name.to_string()).collect()
    }
}

/// Does something once, in the middle of the work of somebody else.
struct Meanwhile<'a> {
    what: Mutex<Option<Box<dyn FnOnce() + Send + 'a>>>,
    phase: Option<Phase>,
    warnings: Mutex<Vec<String>>,
}

impl<'a> Meanwhile<'a> {
    /// When the first file is dealt with.
    fn a_file(what: impl FnOnce() + Send + 'a) -> Self {
        Self { what: Mutex::new(Some(Box::new(what))), phase: None, warnings: Mutex::default() }
    }

    fn phase(phase: Phase, what: impl FnOnce() + Send + 'a) -> Self {
        Self { phase: Some(phase), ..Self::a_file(what) }
    }

    fn happens(&self) {
        let what = self.what.lock().unwrap().take();
        if let Some(what) = what {
            what();
        }
    }
}

impl Progress for Meanwhile<'_> {
    fn begin(&self, phase: Phase, _: Option<u64>, _: Option<u64>) {
        if self.phase == Some(phase) {
            self.happens();
        }
    }

    fn files(&self, _: u64) {
        if self.phase.is_none() {
            self.happens();
        }
    }

    fn warning(&self, warning: &Warning) {
        self.warnings.lock().unwrap().push(warning.message.clone());
    }
}

#[test]
fn a_part_whose_run_ends_while_it_is_saved_is_refused_and_leaves_nothing() {
    let story = Story::new();
    story.saves(1);
    let given_up = create(&story.open(), story.part(2), &Meanwhile::a_file(|| story.gives_up()));
    assert!(matches!(given_up, Err(Error::RunRefused { refusal: RunRefusal::Over, .. })), "{given_up:?}");
    assert!(story.parts().is_empty());

    let story = Story::new();
    story.saves(1);
    // Somebody else saves the same part, and merges.
    let meanwhile = Meanwhile::a_file(|| {
        story.saves(2);
        story.merges().unwrap();
    });
    let late = create(&story.open(), story.part(2), &meanwhile);
    assert!(matches!(late, Err(Error::RunRefused { refusal: RunRefusal::Merged(_), .. })), "{late:?}");
    assert!(story.parts().is_empty());
    assert!(check_all(&story.open()).unwrap().problems.is_empty());
}

#[test]
fn a_part_that_is_made_again_stays_until_the_new_one_is_whole() {
    let story = Story::new();
    story.saves(1);
    story.saves(2);
    let old = story.open().state().snapshot(RunIds::new(story.open().id(), RUN).part(1)).unwrap().root;
    let again = || story.part(1).force(true);
    let meanwhile = Meanwhile::a_file(|| assert_eq!(story.runs()[0].parts_missing, [0u32; 0]));
    create(&story.open(), again(), &meanwhile).unwrap();
    assert!(meanwhile.what.lock().unwrap().is_none(), "no file was saved");
    let new = story.open().state().snapshot(RunIds::new(story.open().id(), RUN).part(1)).unwrap().root;
    assert_ne!(old, new);
    // One that fails takes nothing away.
    let away = story.source.path().with_extension("away");
    fs::rename(story.source.path(), &away).unwrap();
    let failed = create(&story.open(), again(), &Silent);
    fs::rename(&away, story.source.path()).unwrap();
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!(story.runs()[0].parts_missing, [0u32; 0]);
    story.merges().unwrap();
    assert!(story.parts().is_empty());
}

#[test]
fn a_merge_takes_what_is_there_in_the_end_and_removes_nothing_else() {
    let story = Story::new();
    story.saves(1);
    story.saves(2);
    let meanwhile = Meanwhile::a_file(|| {
        for number in 0..4 {
            fs::write(story.source.path().join(format!("late-{number}")), "late").unwrap();
        }
        for number in 1..=2 {
            create(&story.open(), story.part(number).force(true), &Silent).unwrap();
        }
    });
    let report = merge(&story.open(), &MergeOptions::new(RUN), &meanwhile).unwrap();
    assert_eq!((report.files, report.merged_before), (16, false));
    let late = story.paths().iter().filter(|path| path.contains("late-")).count();
    assert_eq!((late, story.parts()), (4, vec![]));
}

#[test]
fn of_two_merges_at_once_both_end_well() {
    let story = Story::new();
    story.saves(1);
    story.saves(2);
    let first = Mutex::new(None);
    for meanwhile in [
        Meanwhile::a_file(|| *first.lock().unwrap() = story.merges().unwrap().snapshot),
        Meanwhile::phase(Phase::Create, || panic!("it is merged")),
    ] {
        let report = merge(&story.open(), &MergeOptions::new(RUN), &meanwhile).unwrap();
        assert_eq!((report.snapshot, report.merged_before), (*first.lock().unwrap(), true));
        assert_eq!(report.files, 12);
    }
    assert!(story.parts().is_empty());
}

#[test]
fn a_run_that_is_merged_cannot_be_given_up() {
    let story = Story::new();
    story.saves(1);
    story.saves(2);
    story.merges().unwrap();
    let late = merge(&story.open(), &MergeOptions::new(RUN).discard(true), &Silent);
    assert!(matches!(late, Err(Error::RunRefused { refusal: RunRefusal::Merged(_), .. })), "{late:?}");
}

/// A clock that stands still.
struct At(AtomicI64);

impl Clock for At {
    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_run_that_goes_on_while_prune_works_is_not_abandoned() {
    const DAY: i64 = 86_400 * 1_000_000_000;
    let story = Story::new();
    let clock = Arc::new(At(AtomicI64::new(20_000 * DAY)));
    let open = || {
        let options = OpenOptions::default().clock(clock.clone()).runtime(Runtime::new(1, CancelToken::default()));
        Repository::open(story.lab.backend.clone(), Unlock::Password(&mut || Ok(lab::PASSWORD.to_vec())), &options)
            .unwrap()
    };
    create(&open(), story.part(1), &Silent).unwrap();
    for (days, parts) in [(29, 0), (31, 1)] {
        clock.0.store((20_000 + days) * DAY, Ordering::Relaxed);
        assert_eq!(prune(&open(), &thorough().dry_run(true), &Silent).unwrap().parts_removed, parts, "{days}");
    }
    let goes_on = Meanwhile::phase(Phase::Mark, || drop(create(&open(), story.part(2), &Silent).unwrap()));
    assert_eq!(prune(&open(), &thorough(), &goes_on).unwrap().parts_removed, 0);
    story.merges().unwrap();
    assert!(check_all(&story.open()).unwrap().problems.is_empty());
}

#[test]
fn a_dry_run_of_prune_foresees_what_abandoned_parts_free() {
    let story = Story::new();
    story.saves(1);
    story.saves(2);
    let options = || thorough().keep_parts(Duration::ZERO);
    let goes = |report: &avro_snap::ops::prune::PruneReport| report.tally(Fate::goes);
    assert_eq!(goes(&prune(&story.open(), &thorough(), &Silent).unwrap()).packs, 0);
    let dry = prune(&story.open(), &options().dry_run(true), &Silent).unwrap();
    assert_eq!((story.runs().len(), dry.parts_removed), (1, 2));
    let done = prune(&story.open(), &options(), &Silent).unwrap();
    assert_eq!((story.runs().len(), done.parts_removed), (0, 2));
    assert!(goes(&dry).packs > 0 && goes(&dry) == goes(&done), "{dry:?} {done:?}");
}

#[test]
fn what_parts_store_twice_at_the_same_time_is_there_once_after_a_prune() {
    let story = Story::new();
    let mut random = avro_gen::Random::new(9);
    for (number, bytes) in small::noise(&mut random, 8, 9_000).values().enumerate() {
        // The names of one content belong to either part.
        let names = (0..).map(|copy| format!("copy-{number}-{copy}"));
        for owner in 1..=2 {
            let mut own = names.clone().filter(|name| Shard::new(owner, 2).unwrap().owns(name.as_bytes()));
            fs::write(story.source.path().join(own.next().unwrap()), bytes).unwrap();
        }
    }
    let meanwhile = Meanwhile::phase(Phase::Create, || drop(story.saves(2)));
    create(&story.open(), story.part(1), &meanwhile).unwrap();
    drop(meanwhile);
    story.merges().unwrap();
    let size = |lab: &Lab| small::count(&lab.backend, Kind::Pack).1;
    let before = size(&story.lab);
    prune(&story.open(), &thorough(), &Silent).unwrap();
    let single = Story { lab: Story::new().lab, source: story.source };
    create(&single.open(), saving(single.source.path()), &Silent).unwrap();
    let (after, least) = (size(&story.lab), size(&single.lab));
    assert!(before > least + 60_000 && after < least + least / 20, "{before} {after} {least}");
}

#[test]
fn prune_removes_no_parts_while_the_packs_are_away() {
    let story = Story::new();
    story.saves(1);
    let all = objects_of(&*story.lab.backend);
    let mut without = all.clone();
    without.retain(|name, _| name.kind() != Kind::Pack);
    let away = small::lab(&(Arc::new(memory_of(&without)) as Arc<dyn Backend>));
    let refused = prune(&small::open(&away), &thorough().keep_parts(Duration::ZERO), &Silent);
    assert!(matches!(refused, Err(Error::StorageAway { .. })), "{refused:?}");
    let left = small::open(&away).state().snapshots.len();
    assert_eq!(left, 2, "the record and the part");
}

#[test]
fn what_is_damaged_in_one_part_is_no_matter_of_the_others() {
    let story = Story::new();
    story.saves(2);
    let before = story.packs();
    story.saves(1);
    let ids = RunIds::new(story.open().id(), RUN);
    let damaged = Story { lab: story.damaged(ids.part(1), &before), source: story.source };
    assert_eq!(damaged.saves(2).part_was_there, Some(true));
    assert_eq!(damaged.runs()[0].parts_missing, [0u32; 0]);
    let report = check_all(&damaged.open()).unwrap();
    assert_eq!((report.snapshots, report.damaged_snapshots, report.damaged_parts), (0, 0, 1));
    let named = format!("part 1 of a run ({})", ids.part(1));
    assert!(report.problems.iter().any(|problem| problem.to_string().contains(&named)), "{:?}", report.problems);
    assert!(damaged.merges().is_err());
}

#[test]
fn a_run_whose_parent_cannot_be_read_goes_on_without_it() {
    let story = Story::new();
    let before = story.packs();
    let parent = create(&story.open(), saving(story.source.path()), &Silent).unwrap().snapshot.unwrap();
    // What the parts hold is not that of the parent, so that it is not needed.
    for number in 0..12 {
        fs::write(story.source.path().join(format!("file-{number:02}")), format!("{number}!").repeat(500)).unwrap();
    }
    let of_parent = story.packs().difference(&before).cloned().collect::<Vec<_>>();
    assert!(!of_parent.is_empty());
    assert_eq!(story.saves(1).parent, Some(parent));
    let damaged = Story { lab: story.damaged(parent, &before), source: story.source };
    let warned = Meanwhile::a_file(|| ());
    let saved = create(&damaged.open(), damaged.part(2), &warned).unwrap();
    assert_eq!(saved.parent, None);
    let warnings = warned.warnings.lock().unwrap().clone();
    assert!(warnings.iter().any(|message| message.contains("passed over as the parent of the run")), "{warnings:?}");
    let report = damaged.merges().unwrap();
    assert_eq!(report.files, 12);
}
