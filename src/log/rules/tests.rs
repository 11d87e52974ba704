//! Each rule on a log of its own, with facts that are made up.

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::crypto::{Envelope, SystemEntropy};
use crate::error::{KeyRefusal, RunRefusal};
use crate::id::{KeyId, RepositoryId, RunIds};
use crate::log::{Features, NewLog, Opening, Surroundings, SystemClock};
use crate::runtime::Runtime;
use crate::storage::{Backend, Memory};

fn log(rolled_back: Option<String>) -> Log {
    let backend: Arc<dyn Backend> = Arc::new(Memory::new());
    let envelope = Envelope::new(RepositoryId::new([1; 16]), None);
    let mut first = NewLog::new(&*backend, envelope.clone(), &SystemEntropy, 0);
    assert!(first.init([7; 32], vec![(key(1), [1; 32])]).unwrap());
    opened(backend, envelope, rolled_back)
}

/// The log in a storage, as another process would open it.
fn opened(backend: Arc<dyn Backend>, envelope: Envelope, rolled_back: Option<String>) -> Log {
    let read = Opening::new(&*backend, false, None).read(&envelope).unwrap();
    let around = Surroundings {
        backend,
        envelope,
        entropy: Arc::new(SystemEntropy),
        clock: Arc::new(SystemClock),
        runtime: Runtime::default(),
        features: Features::default(),
        rolled_back,
        remembered: None,
        local: None,
    };
    Log::new(read, around)
}

fn key(number: u8) -> KeyId {
    KeyId::new([number; 8])
}

fn snapshot(number: u8) -> SnapshotId {
    SnapshotId::new([number; 16])
}

fn root(number: u8) -> ChunkId {
    ChunkId::new([number; 32])
}

fn index(number: u8) -> IndexId {
    IndexId::new([number; 32])
}

fn pack(number: u8) -> PackId {
    PackId::new([number; 32])
}

/// A run that rests on whatever it says.
#[derive(Default)]
struct Run {
    secured_at: Cell<u64>,
    times_secured: Cell<u32>,
    objects: Vec<IndexId>,
}

impl Follower for Run {
    fn follow_log(&self) -> Result<()> {
        Ok(())
    }
}

impl Foundation for Run {
    fn secured_at(&self) -> u64 {
        self.secured_at.get()
    }

    fn set_secured_at(&self, last_loss: u64) {
        self.secured_at.set(last_loss);
    }

    fn secure(&self, _: &State, _: SnapshotId, _: &ChunkId, _: Option<&ChunkId>) -> Result<()> {
        self.times_secured.set(self.times_secured.get() + 1);
        Ok(())
    }

    fn index_objects(&self) -> Result<Vec<IndexId>> {
        Ok(self.objects.clone())
    }
}

/// A prune that condemns these packs, and names this index object.
struct Prune(Vec<PackId>, Vec<IndexId>);

impl Collection for Prune {
    fn unneeded(&mut self, _: &State) -> Result<Vec<PackId>> {
        Ok(self.0.clone())
    }

    fn reindex(&mut self, _: &State, _: &[PackId]) -> Result<Condemnation> {
        Ok(Condemnation { added: self.1.clone(), superseded: Vec::new() })
    }
}

#[test]
fn nothing_at_all_is_appended_to_a_log_that_was_rolled_back() {
    let log = log(Some("it is older".into()));
    let refused = [
        log.add_snapshot(&Run::default(), snapshot(1), root(1)).map(drop),
        log.remove_snapshots(&[], &[]).map(drop),
        log.condemn(&(), &mut Prune(vec![pack(1)], vec![])).map(drop),
        log.swept(&[], &[]).map(drop),
        log.damaged(&(), &mut |_| Ok(vec![(pack(1), vec![])])).map(drop),
        log.key_add(key(2), [2; 32]).map(drop),
        log.key_remove(key(1)).map(drop),
        log.require_features(Features::DELTA),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::RolledBack { .. })), "{refused:?}");
    }
    assert_eq!(log.length(), 1);
}

#[test]
fn a_snapshot_is_there_once_and_comes_back_with_the_root_that_it_had() {
    let (log, run) = (log(None), Run::default());
    log.add_snapshot(&run, snapshot(1), root(1)).unwrap();
    let again = log.add_snapshot(&run, snapshot(1), root(2));
    assert!(matches!(again, Err(Error::SnapshotExists { .. })));
    log.add_snapshot(&run, snapshot(2), root(2)).unwrap();
    let kept_is_gone = log.remove_snapshots(&[snapshot(1)], &[snapshot(2), snapshot(3)]);
    assert!(matches!(kept_is_gone, Err(Error::Busy { .. })));
    assert_eq!(log.remove_snapshots(&[snapshot(3), snapshot(1)], &[snapshot(2)]).unwrap(), [snapshot(1)]);
    let length = log.length();
    assert!(log.remove_snapshots(&[snapshot(1)], &[]).unwrap().is_empty());
    assert_eq!(log.restore_snapshot(&run, snapshot(1), root(9)).unwrap(), None);
    assert_eq!(log.length(), length, "nothing was to be said");
    assert!(log.restore_snapshot(&run, snapshot(1), root(1)).unwrap().is_some());
    let there = log.restore_snapshot(&run, snapshot(1), root(1));
    assert!(matches!(there, Err(Error::NoSnapshot { .. })));
    assert!(matches!(log.set_tags(snapshot(4), &[]), Err(Error::NoSnapshot { .. })));
}

#[test]
fn what_a_snapshot_reaches_is_made_sure_of_again_after_places_were_lost() {
    let (log, run) = (log(None), Run::default());
    log.add_snapshot(&run, snapshot(1), root(1)).unwrap();
    assert_eq!(run.times_secured.get(), 0, "nothing was lost since the run began");
    log.damaged(&(), &mut |_| Ok(vec![(pack(1), vec![3])])).unwrap();
    for number in 2..5 {
        log.add_snapshot(&run, snapshot(number), root(number)).unwrap();
    }
    assert_eq!((run.times_secured.get(), run.secured_at.get()), (1, 2));
    log.condemn(&(), &mut Prune(vec![pack(2)], vec![])).unwrap().unwrap();
    log.add_snapshot(&run, snapshot(6), root(6)).unwrap();
    assert_eq!(run.times_secured.get(), 2);
}

#[test]
fn an_index_object_that_was_superseded_is_never_named_again() {
    let log = log(None);
    log.replace_indexes(&[index(1)], &[]).unwrap();
    log.replace_indexes(&[index(2)], &[index(1)]).unwrap();
    assert!(matches!(log.replace_indexes(&[index(1)], &[]), Err(Error::Busy { .. })));
    let prune = log.condemn(&(), &mut Prune(vec![pack(1)], vec![index(1)]));
    assert!(matches!(prune, Err(Error::Busy { .. })));
    let run = Run { objects: vec![index(3), index(1), index(2), index(3)], ..Run::default() };
    log.add_snapshot(&run, snapshot(1), root(1)).unwrap();
    assert_eq!(log.state().indexes, [index(2), index(3)].into());
}

#[test]
fn packs_are_condemned_and_swept_once_and_nothing_is_said_of_their_damage() {
    let log = log(None);
    log.damaged(&(), &mut |_| Ok(vec![(pack(1), vec![3]), (pack(2), vec![])])).unwrap();
    assert!(log.condemn(&(), &mut Prune(vec![pack(1)], vec![])).unwrap().is_some());
    assert!(log.condemn(&(), &mut Prune(vec![pack(1)], vec![])).unwrap().is_none());
    assert!(log.damaged(&(), &mut |_| Ok(vec![(pack(1), vec![4]), (pack(2), vec![7])])).unwrap().is_empty());
    let mut asked = Vec::new();
    let sound = log.sound(&(), &[pack(1), pack(2), pack(3)], &mut |pack, _| {
        asked.push(*pack);
        Ok(Some(Vec::new()))
    });
    assert_eq!((sound.unwrap(), asked), (vec![pack(2)], vec![pack(2)]));
    assert!(log.swept(&[pack(1), pack(2)], &[index(1)]).unwrap().is_some());
    assert!(log.state().standing.condemned[&pack(1)].swept && !log.standing().is_condemned(&pack(2)));
    assert!(log.swept(&[pack(1)], &[]).unwrap().is_none());
}

#[test]
fn the_last_key_stays_and_no_key_goes_unasked() {
    let log = log(None);
    let refusal = |refused: Result<_>| match refused {
        Err(Error::KeyRefused { key, refusal }) => Some((key, refusal)),
        _ => None,
    };
    assert_eq!(refusal(log.key_remove(key(1)).map(drop)), Some((key(1), KeyRefusal::Last)));
    assert_eq!(refusal(log.key_remove(key(2)).map(drop)), Some((key(2), KeyRefusal::Unknown)));
    log.key_add(key(2), [2; 32]).unwrap();
    let rotated = log.key_rotate((1, [0; 32]), (key(3), [3; 32]), &[key(1)].into());
    assert_eq!(refusal(rotated.map(drop)), Some((key(2), KeyRefusal::NotLeaving)));
    assert_eq!(refusal(log.may_rotate(&[key(2)].into())), Some((key(1), KeyRefusal::NotLeaving)));
    assert!(log.may_rotate(&[key(1), key(2)].into()).is_ok());
    log.key_remove(key(1)).unwrap();
}

#[test]
fn an_entry_follows_what_somebody_else_appended_meanwhile() {
    let log = log(None);
    let other = opened(log.backend().clone(), (*log.envelope()).clone(), None);
    log.add_snapshot(&Run::default(), snapshot(1), root(1)).unwrap();
    // It knows of no snapshot yet, and learns of it when it is too late for its number.
    let mut asked = Vec::new();
    let removed = other.remove_chosen_snapshots(&(), &mut |state| {
        asked.push(state.next);
        Ok(vec![snapshot(1)])
    });
    assert!(removed.unwrap().is_empty(), "by the state of before there is none");
    assert_eq!(other.key_add(key(2), [2; 32]).unwrap().sequence, 2);
    assert_eq!((asked, other.state().snapshots.len()), (vec![1], 1));
}

#[test]
fn what_belongs_to_a_run_is_added_only_while_the_run_is_open() {
    let refusal = |refused: Result<_>| match refused {
        Err(Error::RunRefused { refusal, .. }) => Some(refusal),
        _ => None,
    };
    let (log, run) = (log(None), Run::default());
    let ids = RunIds::new(log.repository(), "night");
    let part = |number, replaces| Addition::Part { run: "night", number, replaces };
    let record = Addition::Record { run: "night" };
    fn merged(parts: &[(SnapshotId, ChunkId)]) -> Addition<'_> {
        Addition::Merged { run: "night", parts }
    }
    assert_eq!(refusal(log.add(&run, part(1, false), root(1))), Some(RunRefusal::Unknown));
    assert_eq!(refusal(log.add(&run, merged(&[]), root(1))), Some(RunRefusal::Unknown));
    assert!(log.add_snapshot(&run, ids.part(1), root(1)).is_err(), "a part by the rule of whole snapshots");
    log.add(&run, record, root(9)).unwrap();
    assert!(matches!(log.add(&run, record, root(8)), Err(Error::SnapshotExists { .. })));
    log.add(&run, part(1, false), root(1)).unwrap();
    assert!(matches!(log.add(&run, part(1, false), root(2)), Err(Error::SnapshotExists { .. })));
    // One takes the place of the other, and the run goes on with it.
    log.add(&run, part(1, true), root(3)).unwrap();
    log.add(&run, part(2, true), root(4)).unwrap();
    let there = |log: &Log| log.state().snapshots.iter().map(|record| record.root).collect::<Vec<_>>();
    assert_eq!(there(&log), [root(9), root(3), root(4)]);
    // A merge that has read the one of before, or one that is not there.
    for read in [(ids.part(1), root(1)), (ids.part(3), root(3))] {
        let parts = [read, (ids.part(2), root(4))];
        let outrun = log.add(&run, merged(&parts), root(5));
        assert!(matches!(outrun, Err(Error::Busy { .. })), "{outrun:?}");
    }
    let parts = [(ids.part(1), root(3)), (ids.part(2), root(4))];
    log.add(&run, merged(&parts), root(5)).unwrap();
    for replaces in [false, true] {
        assert_eq!(refusal(log.add(&run, part(1, replaces), root(6))), Some(RunRefusal::Merged(ids.merged())));
    }
    assert_eq!(there(&log), [root(9), root(3), root(4), root(5)], "nothing went");
    assert!(matches!(log.add(&run, merged(&[]), root(5)), Err(Error::SnapshotExists { .. })));
    log.remove_snapshots(&[ids.merged()], &[]).unwrap();
    for addition in [record, part(3, false), part(1, true), merged(&[])] {
        assert_eq!(refusal(log.add(&run, addition, root(6))), Some(RunRefusal::Over), "{addition:?}");
    }
    // Given up before it was merged.
    log.add(&run, Addition::Record { run: "other" }, root(7)).unwrap();
    log.remove_snapshots(&RunIds::new(log.repository(), "other").all(2), &[]).unwrap();
    let late = Addition::Part { run: "other", number: 1, replaces: false };
    assert_eq!(refusal(log.add(&run, late, root(6))), Some(RunRefusal::Over));
}
