//! What repairs and checks take for damage: bytes that were read and are wrong, and packs that are not there as of a log
//! that is younger than the look at them. Nothing that could not be read, nothing that another moved or removed meanwhile,
//! no delta for want of its base; and what is found whole again counts again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::hooked::{Hook, Hooked, Op, injected};
use crate::lab;
use crate::noise::noise;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use avro_snap::crypto::Suite;
use avro_snap::error::Error;
use avro_snap::id::SnapshotId;
use avro_snap::ops::cat::{CatError, CatFormat, CatOptions, cat};
use avro_snap::ops::check::{CheckOptions, CheckReport, DataSubset, check};
use avro_snap::ops::copy::{Copied, Copier, CopyOptions};
use avro_snap::ops::create::create;
use avro_snap::ops::diff::{Side, diff};
use avro_snap::ops::find::{Search, Wanted, find};
use avro_snap::ops::ls::ls;
use avro_snap::ops::manifest::manifest;
use avro_snap::ops::prune::{MaxUnused, PruneOptions, prune};
use avro_snap::ops::repair::{PackRepairOptions, SnapshotRepairOptions, repair_index, repair_packs, repair_snapshots};
use avro_snap::ops::restore::{archive, dump, restore};
use avro_snap::ops::schema;
use avro_snap::ops::select::Listing;
use avro_snap::progress::Silent;
use avro_snap::read::Snapshot;
use avro_snap::storage::{self, Backend, Kind, Memory, Name, StorageErrorKind};
use avro_snap::store::Repository;
use avro_snap::tables;
use lab::{Lab, assert_same, files_of, restoring, saving};

type Act = Box<dyn FnOnce() + Send>;

/// Something happens just before a pack is asked for, or packs are not given at all.
#[derive(Clone, Default)]
struct Between {
    act: Arc<Mutex<Option<Act>>>,
    refuses: Arc<Mutex<bool>>,
}

impl Hook for Between {
    fn before(&self, op: Op<'_>) -> storage::Result<()> {
        if op.kind() != Some(Kind::Pack) || op.changes() {
            return Ok(());
        }
        // Not held while it runs: it may wait for threads that come here, too.
        let act = self.act.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
        match matches!(op, Op::Read(..)) && *self.refuses.lock().unwrap() {
            true => Err(injected(StorageErrorKind::Denied)),
            false => Ok(()),
        }
    }
}

/// A repository with two nights of one file, of which the second is a delta, and a file that changes wholly.
struct World {
    memory: Memory,
    lab: Lab,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let memory = Memory::new();
        let lab = Lab::on(Arc::new(memory.clone()), Suite::None);
        let world = Self { memory, lab, folder: tempfile::tempdir().unwrap() };
        world.night(1);
        world
    }

    fn write(&self, night: u64) {
        let mut file = noise(7, 60_000);
        file[30_000..30_008].copy_from_slice(&night.to_le_bytes());
        std::fs::write(self.folder.path().join("file"), file).unwrap();
        std::fs::write(self.folder.path().join("new"), noise(night, 20_000)).unwrap();
    }

    fn night(&self, night: u64) -> SnapshotId {
        self.write(night);
        self.lab.save(self.folder.path()).snapshot.unwrap()
    }

    fn packs(&self) -> Vec<Name> {
        self.memory.list_all(Kind::Pack).unwrap().into_iter().map(|meta| meta.name).collect()
    }

    /// A process on the storage `Between`, which opened the repository before anything happens.
    fn beside(&self) -> (Between, Repository) {
        let between = Between::default();
        let hooked = Hooked::new(Arc::new(self.memory.clone()), between.clone());
        let lab = Lab { backend: Arc::new(hooked), ..self.lab.clone() };
        let repository = lab.open();
        (between, repository)
    }

    fn is_whole(&self) {
        let report = self.lab.check(DataSubset::All);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }

    fn is_undamaged(&self) {
        let standing = self.lab.open().catalog().standing();
        assert!(!standing.has_damage(), "{:?}", standing.damaged);
    }
}

fn set(between: &Between, hook: impl FnOnce() + Send + 'static) {
    *between.act.lock().unwrap() = Some(Box::new(hook));
}

/// Moves all that is needed into new packs, and deletes the old ones at once.
fn prune_all(lab: &Lab) {
    let options = PruneOptions::default().max_unused(MaxUnused::Bytes(0)).repack_small(true).grace(Duration::ZERO);
    let report = prune(&lab.open(), &options, &Silent).unwrap();
    assert!(report.swept.packs > 0, "{report:?}");
}

fn of_snapshots(read_data: bool) -> SnapshotRepairOptions {
    SnapshotRepairOptions::default().read_data(read_data).forget(true)
}

fn of_packs() -> PackRepairOptions {
    PackRepairOptions::default()
}

fn checked(repository: &Repository, data: DataSubset) -> CheckReport {
    check(repository, CheckOptions::reading(data), &Silent).unwrap()
}

#[test]
fn what_cannot_be_read_is_no_damage() {
    let world = World::new();
    world.night(2);
    let (between, repository) = world.beside();
    *between.refuses.lock().unwrap() = true;
    let head = repository.state().next;
    let failed = repair_packs(&repository, &of_packs(), &Silent).unwrap_err();
    assert!(matches!(failed, Error::Storage(_)), "{failed}");
    let failed = repair_snapshots(&repository, &of_snapshots(true), &Silent, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(failed, Error::Storage(_)), "{failed}");
    repository.log().refresh().unwrap();
    assert_eq!(repository.state().next, head, "something was recorded");
    // Also a check does not say that anything is damaged.
    match check(&repository, CheckOptions::reading(DataSubset::All), &Silent) {
        Ok(report) => assert!(report.problems.iter().all(|problem| !problem.is_damage()), "{:?}", report.problems),
        Err(error) => assert!(matches!(error, Error::Storage(_)), "{error}"),
    }
    *between.refuses.lock().unwrap() = false;
    world.is_whole();
}

#[test]
fn a_repair_beside_a_prune_without_grace_drops_and_records_nothing() {
    for read_data in [false, true] {
        let world = World::new();
        let ids = [world.night(2), world.night(3)];
        let (between, repository) = world.beside();
        // After the repair has made its index, before it asks for the first pack.
        let lab = world.lab.clone();
        set(&between, move || prune_all(&lab));
        let report = repair_snapshots(&repository, &of_snapshots(read_data), &Silent, &mut |_| Ok(())).unwrap();
        assert!(report.damaged.is_empty() && report.recorded.is_empty(), "{report:?}");
        let state = world.lab.open().state();
        assert!(ids.iter().all(|id| state.snapshots.iter().any(|record| record.id == *id)));
        world.is_undamaged();
        world.is_whole();
    }
    let world = World::new();
    world.night(2);
    let (between, repository) = world.beside();
    let lab = world.lab.clone();
    set(&between, move || prune_all(&lab));
    let report = repair_packs(&repository, &of_packs(), &Silent).unwrap();
    assert!(report.damaged.is_empty(), "{report:?}");
    world.is_undamaged();
}

#[test]
fn a_check_beside_others_finds_nothing() {
    for data in [DataSubset::None, DataSubset::All] {
        let world = World::new();
        world.night(2);
        let (between, repository) = world.beside();
        world.write(3);
        let (lab, folder) = (world.lab.clone(), world.folder.path().to_path_buf());
        set(&between, move || drop(lab.save(&folder)));
        let report = checked(&repository, data);
        assert!(report.problems.is_empty(), "beside a create: {:?}", report.problems);
        let (between, repository) = world.beside();
        let lab = world.lab.clone();
        set(&between, move || prune_all(&lab));
        let report = checked(&repository, data);
        assert!(report.problems.is_empty(), "beside a prune: {:?}", report.problems);
        // What the check began with is removed, and deleted.
        let (between, repository) = world.beside();
        let lab = world.lab.clone();
        set(&between, move || {
            let repository = lab.open();
            let first = repository.state().snapshots[0].id;
            repository.log().remove_snapshots(&[first], &[]).unwrap();
            prune_all(&lab);
        });
        let report = checked(&repository, data);
        assert!(report.problems.is_empty(), "beside a forget: {:?}", report.problems);
    }
}

#[test]
fn who_reads_what_is_removed_meanwhile_says_so() {
    let world = World::new();
    let first = world.lab.open().state().snapshots[0].id;
    world.night(2);
    let remove = |lab: Lab| {
        move || {
            lab.open().log().remove_snapshots(&[first], &[]).unwrap();
            prune_all(&lab);
        }
    };
    let target = Lab::new(Suite::None).open();
    let (between, repository) = world.beside();
    let root = Listing::read(&repository).snapshots.remove(0);
    assert_eq!(root.id, first);
    let (_, second) = world.beside();
    let options = CopyOptions::default();
    let mut copier = Copier::new(&repository, &target, options).unwrap();
    set(&between, remove(world.lab.clone()));
    let copied = copier.copy(&root, &Silent).unwrap();
    assert!(matches!(copied, Copied::Removed), "{copied:?}");
    let folder = tempfile::tempdir().unwrap();
    let failed = restore(&second, &root, &restoring(folder.path()), &Silent).unwrap_err();
    assert!(matches!(failed, Error::SnapshotRemoved { .. }), "{failed}");
    let is_removed = |verb: &str, failed: Option<Error>| {
        assert!(matches!(failed, Some(Error::SnapshotRemoved { snapshot }) if snapshot == first), "{verb}: {failed:?}");
    };
    let path = files_of(world.folder.path()).into_keys().next().unwrap().into_os_string().into_encoded_bytes();
    let last = Listing::read(&second).snapshots.pop().unwrap();
    assert_ne!(last.id, first);
    let (side, other) = (Side { snapshot: &root, path: b"" }, Side { snapshot: &last, path: b"" });
    is_removed("ls", ls(&second, &root, b"", true, &mut |_| Ok(())).err());
    is_removed("diff", diff(&second, other, side, &mut |_| Ok(())).err());
    let search = Search { wanted: vec![Wanted::new(b"*", false).unwrap()], ..Search::default() };
    let searched = [(last.clone(), Vec::new()), (root.clone(), Vec::new())];
    is_removed("find", find(&second, &searched, &search, &mut |_| Ok(())).err());
    let options = CatOptions::default().format(CatFormat::Avro);
    let second = Arc::new(second);
    let opened = Snapshot::of_root(&second, root.clone());
    let failed = tables::Wanted::new(&opened, &path).map_err(CatError::from);
    let failed = failed.and_then(|wanted| cat(&[wanted], None, &options, &mut |_| Ok(()))).err();
    is_removed("cat", failed.map(|error| if let CatError::Library(error) = error { error } else { panic!("{error}") }));
    is_removed("schema show", schema::schema_of(&second, &root, &path).err());
    is_removed("schema ls", tables::Wanted::new(&opened, b"").and_then(|all| schema::ls(&[all])).err());
    is_removed("schema log", schema::log(&second, [&root].into_iter(), &path).err());
    is_removed("dump", dump(&second, &root, &path, &mut |_| Ok(())).err());
    is_removed("dump --archive", archive(&second, &root, b"", &mut |_| Ok(())).err());
    is_removed("manifest", manifest(&second, &root, &mut |_| Ok(())).err());
}

#[test]
fn a_delta_is_not_damaged_because_its_base_is_lost() {
    let world = World::new();
    let first: Vec<Name> = world.packs();
    world.night(2);
    let after = tempfile::tempdir().unwrap();
    for (path, bytes) in files_of(world.folder.path()) {
        std::fs::write(after.path().join(path), bytes).unwrap();
    }
    let kept: Vec<_> = first.iter().map(|name| (name.clone(), world.memory.read(name, u64::MAX).unwrap())).collect();
    first.iter().for_each(|name| world.memory.delete(name).unwrap());
    let report =
        repair_snapshots(&world.lab.open(), &of_snapshots(true).forget(false), &Silent, &mut |_| Ok(())).unwrap();
    assert!(!report.damaged.is_empty());
    let recorded: Vec<String> = report.recorded.iter().map(|(pack, _)| pack.to_string()).collect();
    assert!(recorded.iter().all(|pack| first.iter().any(|name| name.file() == pack)), "{recorded:?}");
    // The packs come back: what is there can be read at once, and counts again once somebody has read it whole.
    for (name, bytes) in &kept {
        world.memory.create(name, bytes).unwrap();
    }
    let target = tempfile::tempdir().unwrap();
    world.lab.restore_last(target.path()).unwrap();
    assert_same(after.path(), target.path());
    let report = repair_index(&world.lab.open(), false, false, &Silent).unwrap();
    assert_eq!(report.taken_back.len(), recorded.len());
    world.is_undamaged();
    world.is_whole();
}

#[test]
fn what_a_check_reads_whole_counts_again() {
    let world = World::new();
    let packs: Vec<_> = world.packs().iter().map(|name| (name.file().parse().unwrap(), Vec::new())).collect();
    world.lab.open().catalog().record_damage(&packs).unwrap();
    assert!(!world.lab.check(DataSubset::None).problems.is_empty(), "what was not read stays lost");
    let report = world.lab.check(DataSubset::All);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.taken_back, packs.len() as u64);
    world.is_undamaged();
    // What is wrong stays recorded.
    let name = world.packs().remove(0);
    let mut bytes = world.memory.read(&name, u64::MAX).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    world.memory.delete(&name).unwrap();
    world.memory.create(&name, &bytes).unwrap();
    world.lab.open().catalog().record_damage(&packs).unwrap();
    assert!(!world.lab.check(DataSubset::All).problems.is_empty());
    assert!(world.lab.open().catalog().standing().has_damage());
    let taken = repair_index(&world.lab.open(), false, false, &Silent).unwrap().taken_back;
    assert_eq!(taken.len(), packs.len() - 1);
}

#[test]
fn data_that_comes_up_again_heals_what_rests_on_it() {
    let world = World::new();
    let first: Vec<Name> = world.packs();
    world.night(2);
    let after = files_of(world.folder.path());
    first.iter().for_each(|name| world.memory.delete(name).unwrap());
    let options = of_snapshots(true).forget(false);
    repair_snapshots(&world.lab.open(), &options, &Silent, &mut |_| Ok(())).unwrap();
    // The first night's data is saved once more, elsewhere.
    let old = tempfile::tempdir().unwrap();
    world.write(1);
    for (path, bytes) in files_of(world.folder.path()) {
        std::fs::write(old.path().join(path), bytes).unwrap();
    }
    let repository = world.lab.open();
    let options = saving(old.path()).series("old");
    create(&repository, options, &Silent).unwrap();
    let listing = Listing::read(&world.lab.open());
    let second = listing.snapshots.iter().rfind(|root| root.series == "lab").unwrap();
    let target = tempfile::tempdir().unwrap();
    let report = restore(&world.lab.open(), second, &restoring(target.path()), &Silent).unwrap();
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    assert_eq!(files_of(target.path()), after);
}
