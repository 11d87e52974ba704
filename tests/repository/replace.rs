//! Snapshots that get another root: they stay what they were, whoever reads, removes, prunes or copies meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::faults::quick_folder;
use crate::lab::{packs_of, restoring};
use crate::sim_client;
use crate::sim_store::Dice;

use std::sync::Arc;
use std::time::Duration;

use avro_snap::chunk::ChunkSource;
use avro_snap::crypto::{SeededEntropy, Suite};
use avro_snap::error::{Error, Result};
use avro_snap::id::{ChunkId, IndexId, SnapshotId};
use avro_snap::log::ReplaceReason::{Erased, Repaired, Settled};
use avro_snap::log::{Follower, Foundation, NewRoots, ReplaceReason, RootReplacement};
use avro_snap::ops::check::{CheckOptions, DataSubset, check};
use avro_snap::ops::copy::{Copied, Copier, CopyOptions};
use avro_snap::ops::prune::{MaxUnused, PruneOptions, prune};
use avro_snap::ops::recover::{bring_back_and_mend, find_snapshots};
use avro_snap::ops::restore::{dump, restore};
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, Kind, Memory, Name};
use avro_snap::store::read_root;
use avro_snap::store::{CachePlace, OpenOptions, Repository, SnapshotRecord, State, Unlock, Writer};
use sim_client::{Content, Habits, SimClock, contents, expected, forget, init, new_root, open, save, settle};

/// A repository in memory, and what is saved in it.
struct World {
    memory: Memory,
    clock: Arc<SimClock>,
    content: Content,
}

impl World {
    fn new() -> Self {
        let (memory, clock) = (Memory::new(), Arc::new(SimClock::default()));
        clock.set(1_780_000_000_000_000_000);
        init(&(Arc::new(memory.clone()) as Arc<dyn Backend>), Suite::None, &clock, 1).unwrap();
        // Files of several pieces, which may be put together.
        Self { memory, clock, content: Content::from([(0, vec![1, 2, 3]), (1, vec![2, 0]), (2, vec![0, 0, 1])]) }
    }

    fn open(&self) -> Repository {
        self.clock.pass(1_000_000_000);
        open(Arc::new(self.memory.clone()), &self.clock, Dice::new(self.now() as u64).next()).unwrap()
    }

    fn now(&self) -> i64 {
        avro_snap::store::Clock::now(&*self.clock)
    }

    fn save(&self) -> SnapshotId {
        save(&self.open(), "one", &self.content, Habits::default(), &mut |_| {}).unwrap()
    }

    fn record(&self, id: SnapshotId) -> SnapshotRecord {
        self.open().state().snapshots.clone().into_iter().find(|record| record.id == id).unwrap()
    }

    fn assert_whole(&self, id: SnapshotId) {
        let repository = self.open();
        assert_eq!(contents(&repository, &self.record(id)).unwrap(), expected(&self.content));
        let report = check(&repository, CheckOptions::reading(DataSubset::All), &Silent).unwrap();
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }

    fn prune(&self, grace: Duration) {
        let options = PruneOptions::default()
            .max_unused(MaxUnused::Bytes(0))
            .grace(grace)
            .compression(avro_snap::options::Compression::Off);
        prune(&self.open(), &options, &Silent).unwrap();
    }

    fn prune_all(&self) {
        self.prune(Duration::ZERO);
        self.prune(Duration::ZERO);
    }

    fn open_broken(&self) -> (Repository, Option<avro_snap::store::LogDamage>) {
        let (cache, entropy) = (CachePlace::Temporary, Arc::new(SeededEntropy::new(self.now() as u64)));
        let options = OpenOptions::default().cache(cache).clock(self.clock.clone()).entropy(entropy);
        let unlock = Unlock::Password(&mut || Ok(Vec::new()));
        Repository::open_broken(Arc::new(self.memory.clone()), unlock, &options).unwrap()
    }
}

#[test]
fn a_snapshot_with_a_new_root_is_what_it_was_and_what_only_the_old_one_reached_is_freed() {
    let world = World::new();
    let id = world.save();
    world.open().log().set_tags(id, &["kept".into()]).unwrap();
    let before = world.record(id);
    assert!(settle(&world.open(), id).unwrap());
    let after = world.record(id);
    assert_ne!(after.root, before.root);
    assert_eq!((after.added, &after.tags), (before.added, &before.tags));
    world.assert_whole(id);
    let old = read_root(&world.open(), &before).unwrap();
    let new = read_root(&world.open(), &after).unwrap();
    assert_eq!((new.time, &new.series, &new.tags, new.revision), (old.time, &old.series, &old.tags, 1));
    let past = world.open().log().history().unwrap().replaced;
    assert_eq!((past.len(), past[0].roots.old, past[0].roots.new), (1, before.root, after.root));

    let size =
        |world: &World| world.open().catalog().index().packs_known().iter().map(|(_, length)| *length).sum::<u64>();
    let both = size(&world);
    world.prune_all();
    world.assert_whole(id);
    assert!(world.open().get(&before.root).is_err(), "the old root is garbage");
    assert!(size(&world) < both);
    // And back again.
    assert!(settle(&world.open(), id).unwrap());
    world.prune_all();
    world.assert_whole(id);
    assert_eq!(read_root(&world.open(), &world.record(id)).unwrap().revision, 2);
}

#[test]
fn of_two_that_replace_one_root_the_later_one_learns_that_it_was_too_late() {
    let world = World::new();
    let id = world.save();
    let (one, other) = (world.open(), world.open());
    let (first, second) = (Writer::new(&one).unwrap(), Writer::new(&other).unwrap());
    let make = |repository: &Repository, writer: &Writer<'_>, program: &str| {
        new_root(repository, writer, id, &mut |root| root.program = program.into()).unwrap().unwrap()
    };
    let (mine, theirs) = (make(&one, &first, "first"), make(&other, &second, "second"));
    let replaced = first.replace_roots(ReplaceReason::Settled, &[mine]).unwrap();
    assert_eq!((replaced.replaced, replaced.outrun), (vec![id], vec![]));
    let next = world.open().state().next;
    let replaced = second.replace_roots(ReplaceReason::Settled, &[theirs]).unwrap();
    assert_eq!((replaced.replaced, replaced.outrun, replaced.entry), (vec![], vec![id], None));
    assert_eq!((world.open().state().next, world.record(id).root), (next, mine.new), "nothing was appended");
    world.assert_whole(id);
}

#[test]
fn a_snapshot_that_is_forgotten_gets_no_root_and_comes_back_with_the_one_that_it_had() {
    let world = World::new();
    let id = world.save();
    let first = world.record(id).root;
    let slow = world.open();
    let writer = Writer::new(&slow).unwrap();
    let replacement = new_root(&slow, &writer, id, &mut |_| {}).unwrap().unwrap();
    forget(&world.open(), id).unwrap();
    assert_eq!(writer.replace_roots(ReplaceReason::Settled, &[replacement]).unwrap().outrun, [id]);
    world.open().revive(&[id]).unwrap();
    assert_eq!(world.record(id).root, first);
    world.assert_whole(id);

    assert!(settle(&world.open(), id).unwrap());
    forget(&world.open(), id).unwrap();
    world.open().revive(&[id]).unwrap();
    assert_eq!(world.record(id).root, replacement.new, "what it had when it was removed");
    world.prune_all();
    world.assert_whole(id);
}

#[test]
fn what_a_prune_condemns_before_the_new_root_is_there_is_copied() {
    let world = World::new();
    let (id, other) = (world.save(), world.save());
    assert!(settle(&world.open(), other).unwrap());
    let slow = world.open();
    let writer = Writer::new(&slow).unwrap();
    // What the new root needs is stored already, by the other snapshot; which goes.
    let replacement = new_root(&slow, &writer, id, &mut |_| {}).unwrap().unwrap();
    forget(&world.open(), other).unwrap();
    // Packs that nobody names yet are left alone for a while; what is condemned is not deleted either.
    world.prune(Duration::from_secs(3600));
    assert!(!world.open().catalog().standing().condemned.is_empty());
    assert_eq!(writer.replace_roots(ReplaceReason::Settled, &[replacement]).unwrap().replaced, [id]);
    drop(slow);
    world.prune_all();
    world.assert_whole(id);
}

#[test]
fn what_a_prune_has_deleted_before_the_new_root_is_there_is_not_rested_upon() {
    let world = World::new();
    let id = world.save();
    let slow = world.open();
    let writer = Writer::new(&slow).unwrap();
    let replacement = new_root(&slow, &writer, id, &mut |_| {}).unwrap().unwrap();
    writer.flush().unwrap();
    // Without a grace, what nobody names yet is garbage.
    world.prune_all();
    let error = writer.replace_roots(ReplaceReason::Settled, &[replacement]).unwrap_err();
    assert!(error.is_damage() || matches!(error, Error::Pruned { .. }), "{error}");
    world.assert_whole(id);
}

#[test]
fn who_holds_the_old_root_when_it_is_pruned_is_told_so_and_a_copy_goes_on_with_the_new_one() {
    let world = World::new();
    let id = world.save();
    let (reader, target) = (world.open(), World::new());
    let to = {
        let clock = target.clock.clone();
        let memory = Memory::new();
        init(&(Arc::new(memory.clone()) as Arc<dyn Backend>), Suite::None, &clock, 99).unwrap();
        open(Arc::new(memory), &clock, 7).unwrap()
    };
    let old = read_root(&reader, &world.record(id)).unwrap();
    let mut copier =
        Copier::new(&reader, &to, CopyOptions::default().compression(avro_snap::options::Compression::Off)).unwrap();
    assert!(settle(&world.open(), id).unwrap());
    world.prune_all();
    let folder = quick_folder();
    let restored = restore(&reader, &old, &restoring(folder.path()), &Silent);
    assert!(matches!(restored, Err(Error::SnapshotReplaced { .. })), "{restored:?}");
    let copied = copier.copy(&old, &Silent).unwrap();
    assert!(matches!(copied, Copied::Done(_)), "{copied:?}");
    assert_eq!(contents(&to, &to.state().snapshots[0]).unwrap(), expected(&world.content));
    // By now it has read what is there.
    let now = read_root(&reader, &world.record(id)).unwrap();
    let mut bytes = Vec::new();
    let mut write = |piece: &[u8]| -> Result<()> {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    dump(&reader, &now, b"a", &mut write).unwrap();
    assert_eq!(&bytes, &expected(&world.content)[&b"a"[..]]);
}

#[test]
fn a_root_that_is_not_a_later_one_of_the_same_snapshot_is_refused() {
    let world = World::new();
    let (id, other) = (world.save(), world.save());
    let try_it = |reason, change: &mut dyn FnMut(&mut avro_snap::snapshot::SnapshotRoot)| {
        let repository = world.open();
        let writer = Writer::new(&repository).unwrap();
        let replacement = new_root(&repository, &writer, id, change).unwrap().unwrap();
        writer.replace_roots(reason, &[replacement]).map(|replaced| replaced.replaced.len())
    };
    let next = world.open().state().next;
    assert!(try_it(Settled, &mut |root| root.id = other).is_err());
    assert!(try_it(Repaired, &mut |root| root.series = "two".into()).is_err());
    assert!(try_it(Repaired, &mut |root| root.time += 1).is_err());
    assert!(try_it(Repaired, &mut |root| root.revision = 0).is_err());
    assert!(try_it(Settled, &mut |root| root.manifest = None).is_err(), "the content is another");
    assert_eq!(world.open().state().next, next, "nothing was appended");
    assert_eq!(try_it(Erased, &mut |root| root.altered = Some(5)).unwrap(), 1);
    assert!(try_it(Settled, &mut |root| root.altered = None).is_err(), "that it was altered is not forgotten");
    assert_eq!(try_it(Repaired, &mut |root| root.manifest = None).unwrap(), 1);
}

#[test]
fn check_finds_a_root_that_was_to_have_the_same_content_and_has_not() {
    let world = World::new();
    let id = world.save();
    let repository = world.open();
    let writer = Writer::new(&repository).unwrap();
    let replacement = new_root(&repository, &writer, id, &mut |root| root.manifest = None).unwrap().unwrap();
    writer.flush().unwrap();
    drop(writer);
    repository.log().replace_roots(&Unchecked(Vec::new()), ReplaceReason::Settled, &[replacement]).unwrap();
    let report = check(&world.open(), CheckOptions::reading(DataSubset::None), &Silent).unwrap();
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    let said = report.problems[0].to_string();
    assert!(said.contains("\"a\" is not what it was") && said.contains("entry"), "{said}");
}

#[test]
fn a_damaged_snapshot_may_get_a_root_that_has_lost_no_more() {
    let world = World::new();
    let habits = Habits { many_packs: true, deltas: false };
    let id = save(&world.open(), "one", &world.content, habits, &mut |_| {}).unwrap();
    let repository = world.open();
    // The first file is lost; the others, the manifest and the root are elsewhere.
    let lost = repository.hasher().id(&sim_client::piece(0, 0, 1));
    let packs = packs_of(&repository).into_iter();
    let holds = |info: &avro_snap::pack::PackInfo| info.directory.chunks.iter().any(|chunk| chunk.id == lost);
    let pack = packs.into_iter().find(|info| holds(info)).unwrap().id;
    drop(repository);
    world.memory.delete(&avro_snap::pack::pack_name(&pack)).unwrap();
    world.open().catalog().record_damage(&[(pack, vec![])]).unwrap();
    let again = world.open();
    let writer = Writer::new(&again).unwrap();
    let replacement = new_root(&again, &writer, id, &mut |_| {}).unwrap().unwrap();
    // Somebody takes places away meanwhile, so that all is looked at again.
    world.open().catalog().record_damage(&[(avro_snap::id::PackId::new([9; 32]), vec![])]).unwrap();
    assert_eq!(writer.replace_roots(ReplaceReason::Settled, &[replacement]).unwrap().replaced, [id]);
}

#[test]
fn a_log_that_is_lost_comes_back_with_the_latest_roots() {
    for altered in [None, Some(77)] {
        let world = World::new();
        let id = world.save();
        let repository = world.open();
        let writer = Writer::new(&repository).unwrap();
        let replacement = new_root(&repository, &writer, id, &mut |root| root.altered = altered).unwrap().unwrap();
        writer.replace_roots(ReplaceReason::Erased, &[replacement]).unwrap();
        drop(repository);
        let last = world.open().state().next;
        (0..last).for_each(|n| world.memory.delete(&Name::log(n)).unwrap());
        let (repository, damage) = world.open_broken();
        let found = find_snapshots(&repository, &Silent).unwrap();
        assert_eq!(found.candidates.len(), 1, "one root of each snapshot");
        assert_eq!(found.candidates[0].chunk, replacement.new);
        bring_back_and_mend(&repository, &damage.unwrap(), &found.candidates).unwrap();
        world.assert_whole(id);
        assert_eq!(world.record(id).root, replacement.new);
    }
}

#[test]
fn an_entry_that_replaced_a_root_and_is_lost_costs_nothing() {
    let world = World::new();
    let id = world.save();
    assert!(settle(&world.open(), id).unwrap());
    let (new, entry) = (world.record(id).root, world.open().log().history().unwrap().replaced[0].entry);
    // An attempt that did not come about leaves a root that is of no concern.
    let repository = world.open();
    let writer = Writer::new(&repository).unwrap();
    new_root(&repository, &writer, id, &mut |_| {}).unwrap().unwrap();
    writer.flush().unwrap();
    drop(writer);
    drop(repository);
    let (repository, damage) = world.open_broken();
    assert!(damage.is_none() && find_snapshots(&repository, &Silent).unwrap().candidates.is_empty());
    drop(repository);
    world.prune_all();
    world.memory.delete(&Name::log(entry)).unwrap();
    let (repository, damage) = world.open_broken();
    let found = find_snapshots(&repository, &Silent).unwrap();
    assert_eq!(found.candidates.len(), 1, "{found:?}");
    assert!(found.candidates[0].replaces.is_some() && found.candidates[0].is_whole());
    bring_back_and_mend(&repository, &damage.unwrap(), &found.candidates).unwrap();
    drop(repository);
    assert_eq!(world.record(id).root, new);
    world.assert_whole(id);
    assert_eq!(world.memory.list_all(Kind::Log).unwrap().len() as u64, world.open().state().next);
}

/// Takes any root for sound, as no writer does, and rests on these index objects.
pub(crate) struct Unchecked(pub(crate) Vec<IndexId>);

impl Follower for Unchecked {
    fn follow_log(&self) -> Result<()> {
        Ok(())
    }
}

impl Foundation for Unchecked {
    fn secured_at(&self) -> u64 {
        u64::MAX
    }

    fn set_secured_at(&self, _: u64) {}

    fn secure(&self, _: &State, _: SnapshotId, _: &ChunkId, _: Option<&ChunkId>) -> Result<()> {
        Ok(())
    }

    fn index_objects(&self) -> Result<Vec<IndexId>> {
        Ok(self.0.clone())
    }
}

impl NewRoots for Unchecked {
    fn check(&self, _: ReplaceReason, _: &RootReplacement) -> Result<()> {
        Ok(())
    }
}
