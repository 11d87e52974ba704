//! What there is, and what of it is needed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::id::{ChunkId, IndexId, PackId, SnapshotId, hex};
use crate::pack::{self, PackInfo};
use crate::progress::{Phase, Progress, Warning};
use crate::storage::{Kind, Name, StorageErrorKind};
use crate::store::{Inventory, PackNumber, Reach, ReadDirectories, Repository, State};

/// How many index objects are read at once.
const OBJECTS_AT_ONCE: usize = 64;

/// Everything that a prune goes by. Grows as others append to the log.
pub(super) struct Survey<'r> {
    pub(super) repository: &'r Repository,
    pub(super) inventory: Inventory,
    pub(super) reach: Reach,
    /// Snapshots that were followed.
    followed: BTreeSet<(SnapshotId, ChunkId)>,
    /// Index objects that can be read, with the packs that they name.
    pub(super) objects: BTreeMap<IndexId, Object>,
    /// Index objects that the log names and that cannot be read.
    pub(super) unreadable: Vec<IndexId>,
    /// Index objects that the log does not name and that are sealed under an older key: no process reads them any more.
    pub(super) outdated: BTreeSet<IndexId>,
    /// Packs that are there and that no index object names.
    pub(super) unindexed: BTreeSet<PackId>,
    /// Of these, those that a writer may still be at work on.
    young_unindexed: BTreeSet<PackId>,
    /// Packs that no index object names and of which not even the directory can be read.
    rubbish: Vec<Rubbish>,
    /// Packs that were swept and are there again.
    pub(super) revenants: Vec<PackId>,
    /// What time it is by the storage's clock, where it says so.
    pub(super) storage_now: Option<i64>,
    grace: Duration,
    /// Snapshots that are treated as if they were removed: what that would free is asked for.
    passed_over: BTreeSet<SnapshotId>,
}

/// A pack that cannot be read.
struct Rubbish {
    id: PackId,
    length: u64,
    /// When it was made, as the listing says.
    made: Option<i64>,
}

/// An index object.
pub(super) struct Object {
    pub(super) packs: Vec<PackId>,
    /// Its writer may still be at work: it is left alone.
    pub(super) young: bool,
    /// It is sealed under a key of before the last rotation.
    pub(super) old_key: bool,
}

impl<'r> Survey<'r> {
    /// As [`make`](Survey::make), by a log in whose light nothing is missing, or that did not move while the survey was
    /// made. Another prune may move what this one looks for, delete it where it was, and be about to name where it is now:
    /// what is missing by the log of before is not lost.
    ///
    /// # Errors
    /// [`Error::ChunkMissing`] if a snapshot needs what is nowhere and the log has no record of its loss, or
    /// [`Error::StorageAway`] if most packs are missing then; I/O errors and damaged objects of the repository.
    pub(super) fn settled(
        repository: &'r Repository,
        grace: Duration,
        may_write: bool,
        passed_over: &BTreeSet<SnapshotId>,
        progress: &dyn Progress,
    ) -> Result<(Self, Arc<State>)> {
        let settled = repository.catalog().settled(|| {
            let (survey, state) = Self::make(repository, grace, may_write, passed_over, progress)?;
            match survey.first_missing(&state) {
                Some(id) if repository.catalog().has_moved(&state)? => Err(Error::ChunkMissing { id }),
                _ => Ok((survey, state)),
            }
        });
        match settled {
            // What snapshots need is missing: perhaps with the disk that it lies on. Packs that nothing needs may be missing
            // after a prune of a full disk was interrupted, which is no reason to refuse.
            Err(error) if error.is_damage() => repository.catalog().refuse_if_away().and(Err(error)),
            settled => settled,
        }
    }

    /// A chunk that snapshots need, and that cannot be made from packs that the log names.
    fn first_missing(&self, state: &State) -> Option<ChunkId> {
        let (inventory, young) = (&self.inventory, self.young_packs());
        let order: Vec<PackNumber> = inventory.pack_numbers().collect();
        let sound = inventory.derive(&state.standing, &order, |pack| !young.contains(&pack));
        self.reach.used.iter().find(|chunk| !sound.has(*chunk)).map(|chunk| inventory.id(chunk))
    }

    /// Looks at everything. Writes nothing but a probe that shows the storage's time, and that only if `may_write`.
    fn make(
        repository: &'r Repository,
        grace: Duration,
        may_write: bool,
        passed_over: &BTreeSet<SnapshotId>,
        progress: &dyn Progress,
    ) -> Result<(Self, Arc<State>)> {
        repository.catalog().refresh()?;
        let state = repository.state();
        let mut survey = Self {
            repository,
            inventory: Inventory::default(),
            reach: Reach::default(),
            followed: BTreeSet::new(),
            objects: BTreeMap::new(),
            unreadable: Vec::new(),
            outdated: BTreeSet::new(),
            unindexed: BTreeSet::new(),
            young_unindexed: BTreeSet::new(),
            rubbish: Vec::new(),
            revenants: Vec::new(),
            storage_now: storage_time(repository, may_write)?,
            grace,
            passed_over: passed_over.clone(),
        };
        survey.read_objects(&state, progress)?;
        survey.read_packs(&state, may_write)?;
        progress.begin(Phase::Mark, Some(state.snapshots.len() as u64), None);
        survey.absorb(&state, progress)?;
        Ok((survey, state))
    }

    /// Whether something that was made then, and that no log entry names, may still belong to the work of a running
    /// process.
    pub(super) fn is_young(&self, made: Option<i64>) -> bool {
        if self.grace.is_zero() {
            return false;
        }
        match (self.storage_now, made) {
            (Some(now), Some(made)) => u128::try_from(now.saturating_sub(made)).unwrap_or(0) < self.grace.as_nanos(),
            _ => true,
        }
    }

    fn read_objects(&mut self, state: &State, progress: &dyn Progress) -> Result<()> {
        // With the time at which each was made.
        let mut unlogged: BTreeMap<IndexId, Option<i64>> = BTreeMap::new();
        self.repository.backend().for_each(Kind::Index, &mut |meta| {
            unlogged.extend(meta.name.file().parse::<IndexId>().map(|id| (id, meta.modified)));
        })?;
        unlogged.retain(|id, _| !state.indexes.contains(id) && !state.standing.superseded.contains_key(id));
        self.outdated = self.repository.catalog().outdated_indexes(unlogged.keys())?;
        unlogged.retain(|id, _| !self.outdated.contains(id));
        let logged: Vec<IndexId> = state.indexes.iter().copied().collect();
        for portion in logged.chunks(OBJECTS_AT_ONCE) {
            let read = self.repository.catalog().read_index_objects(portion);
            for (id, infos) in portion.iter().zip(read) {
                let Err(error) = infos.and_then(|infos| self.take_object(id, &infos, false)) else { continue };
                // Another prune may have put others in its place and deleted it.
                if !error.is_damage() || self.repository.catalog().has_moved(state)? {
                    return Err(error);
                }
                // What is in its packs, they say themselves.
                let message = format!("its packs are read instead: {error}");
                progress.warning(&Warning { path: format!("index/{id}"), message, incomplete: false });
                self.unreadable.push(*id);
            }
        }
        for (id, made) in unlogged {
            let young = self.is_young(made);
            let infos = self.repository.catalog().read_index_object(&id);
            match infos.and_then(|infos| self.take_object(&id, &infos, young)) {
                Err(error) if !error.is_damage() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn take_object(&mut self, id: &IndexId, infos: &[PackInfo], young: bool) -> Result<()> {
        for info in infos {
            self.inventory.add(info, false);
        }
        let old_key = !self.repository.catalog().outdated_indexes([id])?.is_empty();
        self.objects.insert(*id, Object { packs: infos.iter().map(|info| info.id).collect(), young, old_key });
        let index = self.repository.catalog().index();
        match infos.iter().all(|info| index.knows_pack(&info.id)) {
            true => Ok(()),
            // It came after the local index was brought up to date.
            false => index.insert_object(id, infos),
        }
    }

    /// Compares what is there with what is indexed. What a listing does not show is asked for by its name.
    fn read_packs(&mut self, state: &State, may_write: bool) -> Result<()> {
        let mut there = HashMap::new();
        self.repository.backend().for_each(Kind::Pack, &mut |meta| {
            there.extend(meta.name.file().parse::<PackId>().map(|id| (id, (meta.size, meta.modified))));
        })?;
        for number in self.inventory.pack_numbers() {
            let pack = self.inventory.pack(number);
            let (id, length) = (pack.id, pack.length);
            let found = there.remove(&id).map(|(length, _)| length);
            if found != Some(length)
                && !state.standing.is_condemned(&id)
                && self.repository.backend().size(&pack::pack_name(&id))? != Some(length)
            {
                self.inventory.set_gone(number);
            }
        }
        let others: BTreeMap<PackId, (u64, Option<i64>)> = there.into_iter().collect();
        let mut old = Vec::new();
        for (&id, &(length, made)) in &others {
            match state.standing.condemned.get(&id) {
                Some(retired) if retired.swept => self.revenants.push(id),
                Some(_) => {}
                None => match self.repository.packs().read_directory(&id, length) {
                    // Where an object is lost that the log names, what it named is not unfinished work of a writer.
                    Ok(info) => match self.unreadable.is_empty() && self.is_young(made) {
                        true => {
                            self.young_unindexed.insert(id);
                            self.take_unindexed(&info)?;
                        }
                        false => old.push(info),
                    },
                    // Deleted since it was listed.
                    Err(Error::ObjectMissing { .. }) => {}
                    Err(error) if error.is_damage() => self.rubbish.push(Rubbish { id, length, made }),
                    Err(error) => return Err(error),
                },
            }
        }
        let ReadDirectories { sound, unsound } = self.repository.reader().prove_packs(old)?;
        if may_write {
            // From here on what is needed may rest on them, and an index object is to name them.
            self.repository.packs().settle(&sound)?;
        }
        sound.iter().try_for_each(|info| self.take_unindexed(info))?;
        self.rubbish.extend(unsound.iter().filter_map(|(id, _)| {
            let (length, made) = *others.get(id)?;
            Some(Rubbish { id: *id, length, made })
        }));
        Ok(())
    }

    fn take_unindexed(&mut self, info: &PackInfo) -> Result<()> {
        self.unindexed.insert(info.id);
        self.repository.catalog().index().insert_unpublished(info)?;
        self.inventory.add(info, false);
        Ok(())
    }

    /// Takes in what the log says by now: index objects and snapshots that are new.
    pub(super) fn absorb(&mut self, state: &State, progress: &dyn Progress) -> Result<()> {
        let absorbed = self.absorb_all(state, progress);
        if absorbed.is_err() {
            // What was followed halfway must be followed again from its root.
            self.followed.clear();
            self.reach = Reach::default();
        }
        absorbed
    }

    fn absorb_all(&mut self, state: &State, progress: &dyn Progress) -> Result<()> {
        for id in &state.indexes {
            if let Some(object) = self.objects.get_mut(id) {
                object.young = false;
            } else if !self.unreadable.contains(id) {
                let infos = self.repository.catalog().read_index_object(id)?;
                self.take_object(id, &infos, false)?;
            }
        }
        // What only a snapshot needed that was removed meanwhile, another prune may have condemned: that is no loss.
        let there = |(id, root): &(SnapshotId, ChunkId)| {
            state.snapshots.iter().any(|record| record.id == *id && record.root == *root)
        };
        if !self.followed.iter().all(there) {
            self.followed.clear();
            self.reach = Reach::default();
        }
        let sound = self.inventory.derive_all(&state.standing);
        // What would be there, had nothing been damaged: for what else is missing, the log has no record.
        let once = self.inventory.derive_undamaged(&state.standing);
        for record in state.snapshots.iter().filter(|record| !self.passed_over.contains(&record.id)) {
            if !self.followed.insert((record.id, record.root)) {
                continue;
            }
            let mut lost = |inventory: &Inventory, id: &ChunkId, error: Error| match inventory.find(id) {
                Some(chunk) if !sound.has(chunk) && once.has(chunk) => Ok(()),
                _ => Err(error),
            };
            self.reach.follow(self.repository, &mut self.inventory, &record.root, &mut lost)?;
            progress.files(1);
        }
        match self.reach.used.iter().find(|chunk| !sound.has(*chunk) && !once.has(*chunk)) {
            Some(chunk) => Err(Error::ChunkMissing { id: self.inventory.id(chunk) }),
            None => Ok(()),
        }
    }

    /// Packs that no entry of the log names yet, and that a writer may still be at work on.
    pub(super) fn young_packs(&self) -> BTreeSet<PackNumber> {
        let is_logged = |object: &&Object| !object.young;
        let logged: BTreeSet<&PackId> =
            self.objects.values().filter(is_logged).flat_map(|object| &object.packs).collect();
        let named = self.objects.values().filter(|object| object.young).flat_map(|object| &object.packs);
        let mut young = BTreeSet::new();
        for id in named.filter(|id| !logged.contains(id)) {
            young.extend(self.inventory.pack_number(id));
        }
        young.extend(self.young_unindexed.iter().filter_map(|id| self.inventory.pack_number(id)));
        young
    }

    /// Packs that no index object names although they are old: their writer died before it published one, or the object is
    /// lost.
    pub(super) fn settled_unindexed(&self) -> impl Iterator<Item = PackId> + '_ {
        self.unindexed.iter().copied().filter(|id| !self.young_unindexed.contains(id))
    }

    /// What cannot even be read and is old enough to go, with the lengths.
    pub(super) fn old_rubbish(&self) -> Vec<(PackId, u64)> {
        let old = self.rubbish.iter().filter(|rubbish| !self.is_young(rubbish.made));
        old.map(|rubbish| (rubbish.id, rubbish.length)).collect()
    }

    /// Takes packs out of a plan until all that snapshots reach stays as rebuildable as it is without those that are
    /// left in it. True if the plan was as good as it stood.
    pub(super) fn shrink(&self, state: &State, condemned: &mut BTreeSet<PackNumber>) -> bool {
        let before = condemned.len();
        self.inventory.spare(&state.standing, &self.reach.used, &self.young_packs(), condemned);
        condemned.len() == before
    }

    /// Of packs that are condemned, those that can be deleted: nothing that is to be had of them is needed and to be
    /// had nowhere else. That is so for all of them, unless a writer broke the rules of the log.
    pub(super) fn deletable(&self, state: &State, packs: Vec<PackId>) -> Vec<PackId> {
        let inventory = &self.inventory;
        let sound = inventory.derive_all(&state.standing);
        let missing = self.reach.used.iter().filter(|chunk| !sound.has(*chunk));
        let needed = inventory.holders(&sound, missing, |_| true);
        let is_needed = |id: &PackId| inventory.pack_number(id).is_some_and(|pack| needed.contains(&pack));
        packs.into_iter().filter(|id| !is_needed(id)).collect()
    }
}

/// What time it is by the storage's clock.
fn storage_time(repository: &Repository, may_write: bool) -> Result<Option<i64>> {
    let backend = repository.backend();
    if !backend.abilities().has_clock {
        return Ok(None);
    }
    if !may_write {
        // The last entry of the log is not younger than now: what looks young by it is young.
        return repository.log().modified();
    }
    let probe = Name::new(Kind::Session, hex(&repository.log().entropy().array::<8>()?));
    backend.create(&probe, b"what time is it?")?;
    let now = backend.head(&probe);
    match backend.delete(&probe) {
        // A bucket may keep for a time whatever is written to it.
        Err(error) if error.kind() == StorageErrorKind::Retained => {}
        deleted => deleted?,
    }
    Ok(now?.and_then(|meta| meta.modified))
}
