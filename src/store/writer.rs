//! Storing chunks. Passive: the caller owns the threads. Chunks are announced with [`Writer::reserve`], come
//! in as encoded frames, are gathered into packs, and each pack is stored by [`Writer::store`].

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::away::{looks_away, should_be_there};
use super::{Features, FrameKey, ReadDirectories, Repository};
use crate::error::{Error, Result};
use crate::id::{ChunkId, IndexId, PackId, SnapshotId};
use crate::index::Index;
use crate::log::{Addition, Standing};
use crate::pack::{self, Chain, EncodedFrame, Encoding, OpenPacks, PackBuilder, PackInfo};
use crate::storage::{ByteRange, Kind};

/// After this many packs, or this much time, an index object is published, so that an interrupted run is cheap to resume.
const PACKS_AN_INDEX: usize = 64;
const TIME_AN_INDEX: Duration = Duration::from_secs(240);

/// Writes into a repository. Shared by all threads of one run.
pub struct Writer<'a> {
    pub(super) repository: &'a Repository,
    /// Whether the number of packs missing at first was so high that their storage may be away.
    looked_away: bool,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Chunks that were announced and are in no stored pack yet.
    in_flight: HashSet<ChunkId>,
    /// Deltas of which it is known that all that they rest on is stored for good.
    resting: HashSet<FrameKey>,
    open: OpenPacks,
    /// Stored, but not yet named by an index object.
    unpublished: Vec<PackInfo>,
    /// Index objects that were published (or found) and that no log entry names yet.
    objects: HashSet<IndexId>,
    last_index: Instant,
    written: u64,
    /// The last entry of the log that took away places where chunks could lie, as of which everything that this run
    /// rests on was stored for good.
    sound_at: u64,
}

/// What storing a pack came to.
#[derive(Debug, Clone, Copy)]
pub struct PackReport {
    /// The pack's id.
    pub pack: PackId,
    /// How many chunks it holds.
    pub chunks: u64,
    /// How many bytes it takes in the repository, with its parity.
    pub bytes: u64,
}

/// A snapshot that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The snapshot's id.
    pub snapshot: SnapshotId,
    /// The number of its entry in the log.
    pub entry: u64,
    /// How many bytes this run added to the repository: packs, their parity, index objects and the entry.
    pub bytes_added: u64,
}

impl<'a> Writer<'a> {
    /// Begins to write. Looks which packs are there, and takes in those that an interrupted run left without an index.
    ///
    /// # Errors
    /// If the repository needs features that this version does not know.
    pub fn new(repository: &'a Repository) -> Result<Self> {
        repository.log.check_writable()?;
        let (was_opened, before) = (repository.log.take_opened(), repository.log.length());
        // The next entry would fill a gap with one that the later ones do not follow from: no process could read them any
        // more.
        if let Some(gap) = repository.log.gap()? {
            return Err(gap);
        }
        // What was appended since the repository was opened may have moved what is stored, or removed the parent. Right after
        // opening, the listing that shows no gap is enough to know: the entry is created after what was read, or not at all.
        if !was_opened || repository.log.length() != before {
            repository.catalog.refresh()?;
        }
        let there = listed_packs(repository)?;
        if !is_as_known(repository, &there) {
            // What was appended or stored since may explain it.
            repository.catalog.refresh()?;
        }
        let state = repository.state();
        let Found { adopted, looked_away } = adopt_packs(repository, &state.standing, &there)?;
        let is_new =
            |object: &IndexId| !state.indexes.contains(object) && !state.standing.superseded.contains_key(object);
        let known = repository.catalog.with_index(Index::objects)?.into_iter();
        let inner = Inner {
            in_flight: HashSet::new(),
            resting: HashSet::new(),
            open: OpenPacks::new(repository.backend().abilities().has_cold),
            unpublished: adopted,
            objects: known.filter(is_new).collect(),
            last_index: Instant::now(),
            written: 0,
            sound_at: state.last_loss(),
        };
        Ok(Self { repository, looked_away, inner: Mutex::new(inner) })
    }

    /// Refuses where most packs are missing, as if their disk or mount were away: all would be stored a second time.
    ///
    /// # Errors
    /// As of [`Catalog::refuse_if_away`](super::Catalog::refuse_if_away).
    pub fn refuse_if_away(&self) -> Result<()> {
        if self.looked_away { self.repository.catalog.refuse_if_away() } else { Ok(()) }
    }

    /// Whether packs that the index names are missing: then what older snapshots hold may be lost.
    pub fn lost_packs(&self) -> bool {
        self.repository.catalog.index().has_gone()
    }

    /// Announces a chunk. True if it has to be put into a frame: it is neither stored for good nor announced by another
    /// caller.
    pub fn reserve(&self, id: ChunkId) -> Result<bool> {
        if self.holds(&id)? {
            return Ok(false);
        }
        Ok(self.lock().in_flight.insert(id))
    }

    /// Whether the chunk is announced, or stored for good: a caller that needs it need not store it.
    pub fn holds(&self, id: &ChunkId) -> Result<bool> {
        Ok(self.lock().in_flight.contains(id) || self.is_stored(id)?)
    }

    /// Whether the chunk lies where something new may rest on it, and so does all that it has to be made of there.
    pub fn is_stored(&self, id: &ChunkId) -> Result<bool> {
        self.is_stored_below(id, u8::MAX, &mut HashSet::new())
    }

    /// Whether a new delta may rest on these bases: each is stored for good, in a place that is less deep.
    pub fn is_sound(&self, chain: &Chain) -> Result<bool> {
        let mut met = HashSet::new();
        for base in &chain.bases {
            if !self.is_stored_below(base, chain.place.depth, &mut met)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// ... in a place that needs fewer than `depth` deltas. `met` are those that were looked at in vain.
    fn is_stored_below(&self, id: &ChunkId, depth: u8, met: &mut HashSet<FrameKey>) -> Result<bool> {
        let index = self.repository.catalog.index();
        for location in self.repository.catalog.with_index(|index| index.locate_live(id))? {
            let key = (location.pack, location.frame);
            if !index.has_deltas(location.pack) {
                return Ok(true);
            }
            let info = self.repository.catalog.with_index(|index| index.pack(location.pack))?;
            let Ok(frame) = info.frame(location.frame as usize) else { continue };
            if frame.place.depth >= depth || met.contains(&key) {
                continue;
            }
            let known = frame.bases.is_empty() || self.lock().resting.contains(&key);
            let mut stored = true;
            for base in frame.bases.iter().filter_map(|base| info.directory.bases.get(*base as usize)) {
                stored = stored && (known || self.is_stored_below(base, frame.place.depth, met)?);
            }
            if stored {
                self.lock().resting.insert(key);
                return Ok(true);
            }
            met.insert(key);
        }
        Ok(false)
    }

    /// Adds a frame of announced chunks to the open pack; returns the pack when it is full. The caller stores it.
    pub fn add(&self, frame: EncodedFrame) -> Option<PackBuilder> {
        self.lock().open.push(frame, self.repository.sizes.pack)
    }

    /// An open pack in which there is anything; none if all were taken. The caller stores it.
    pub fn take_open(&self) -> Option<PackBuilder> {
        self.lock().open.take()
    }

    /// Seals a pack, checks it, and writes it. After that, its chunks are stored.
    pub fn store(&self, builder: PackBuilder) -> Result<PackReport> {
        let repository = self.repository;
        let needed = builder.frames().iter().map(|frame| match frame.encoding {
            Encoding::Raw | Encoding::Zstd => Features::default(),
            Encoding::Delta => Features::DELTA,
            Encoding::Columnar => Features::COLUMNAR,
        });
        repository.log.require_features(needed.fold(Features::default(), Features::union))?;
        let sealed = repository.packs.seal(builder)?;
        let bytes = repository.packs.store(&sealed)?;
        let chunks = sealed.info.directory.chunks.len() as u64;
        let report = PackReport { pack: sealed.info.id, chunks, bytes };
        repository.catalog.with_index(|index| index.insert_unpublished(&sealed.info))?;
        let mut inner = self.lock();
        for chunk in &sealed.info.directory.chunks {
            inner.in_flight.remove(&chunk.id);
        }
        inner.written += report.bytes;
        inner.unpublished.push(sealed.info);
        let due = inner.unpublished.len() >= PACKS_AN_INDEX || inner.last_index.elapsed() > TIME_AN_INDEX;
        let packs = due.then(|| std::mem::take(&mut inner.unpublished));
        drop(inner);
        if let Some(packs) = packs {
            self.publish(&packs)?;
        }
        Ok(report)
    }

    /// How many bytes a pack would add to the repository: it is sealed, and not stored.
    pub fn weigh(&self, builder: PackBuilder) -> Result<u64> {
        let repository = self.repository;
        let sealed = repository.packs.seal(builder)?;
        let parity =
            crate::pack::make_parity(repository.id(), &sealed.info.id, &sealed.bytes, repository.settings().parity());
        let index = crate::index::encode_object(std::slice::from_ref(&sealed.info));
        Ok((sealed.bytes.len() + parity.map_or(0, |parity| parity.len()) + index.len()) as u64)
    }

    fn publish(&self, packs: &[PackInfo]) -> Result<()> {
        let (object, bytes) = self.repository.catalog.publish_index(packs)?;
        let mut inner = self.lock();
        inner.objects.insert(object);
        inner.written += bytes;
        inner.last_index = Instant::now();
        Ok(())
    }

    /// Publishes what is stored, without a snapshot: the next run finds it.
    pub fn flush(&self) -> Result<()> {
        let packs = std::mem::take(&mut self.lock().unpublished);
        match packs.is_empty() {
            true => Ok(()),
            false => self.publish(&packs),
        }
    }

    /// Makes the snapshot exist. All packs must have been stored.
    ///
    /// Its entry is appended only after a log in whose light everything that it reaches is stored for good. If a prune
    /// condemned packs meanwhile, what the snapshot needs of them is copied first.
    ///
    /// # Errors
    /// If a chunk was announced and never stored, so that the snapshot could not be read back, or [`Error::Pruned`] if
    /// something that it needs is deleted already; then there is none. [`Error::SnapshotExists`] if there is one of this
    /// name. As of [`Log::add`](crate::log::Log::add) for what belongs to a run.
    pub fn commit<'n>(self, snapshot: impl Into<Addition<'n>>, root: ChunkId) -> Result<Committed> {
        self.flush()?;
        self.check_complete()?;
        let addition = snapshot.into();
        let snapshot = addition.id(self.repository.id());
        let appended = self.repository.log.add(&self, addition, root)?;
        // From here on the snapshot exists, and nothing may say that it does not.
        self.advance_cache();
        Ok(Committed { snapshot, entry: appended.sequence, bytes_added: self.lock().written + appended.bytes })
    }

    /// Says to the local index how far it is complete. An older head in it costs a look at the log, no more.
    fn advance_cache(&self) {
        let state = self.repository.state();
        let Ok(known) = self.repository.catalog.with_index(Index::objects) else { return };
        let known: HashSet<IndexId> = known.into_iter().collect();
        // Others may have appended meanwhile: then the cache is complete only after it has read what they stored.
        if let Some(head) = state.head_entry().filter(|_| state.indexes.iter().all(|object| known.contains(object))) {
            let _ = self.repository.catalog.index().set_head(head);
        }
    }

    /// Whether every chunk that was announced is stored.
    ///
    /// # Errors
    /// [`Error::ChunkMissing`] if one is not.
    pub(super) fn check_complete(&self) -> Result<()> {
        match self.lock().in_flight.iter().next() {
            Some(id) => Err(Error::ChunkMissing { id: *id }),
            None => Ok(()),
        }
    }

    /// The last entry of the log that took places away and as of which everything that this run rests on was stored for good.
    pub(super) fn sound_at(&self) -> u64 {
        self.lock().sound_at
    }

    /// Everything that this run rests on is stored for good as of the entry of this number.
    pub(super) fn is_sound_at(&self, last_loss: u64) {
        self.lock().sound_at = last_loss;
    }

    /// How many bytes this run added to the repository so far.
    pub(super) fn written(&self) -> u64 {
        self.lock().written
    }

    /// The index objects that this run published or found.
    pub(super) fn objects(&self) -> Vec<IndexId> {
        self.lock().objects.iter().copied().collect()
    }

    /// From now on nothing counts as made sure of.
    pub(crate) fn doubt(&self) {
        self.lock().sound_at = u64::MAX;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comparing packs with the index came to.
struct Found {
    /// Packs that no index object names, and that this run takes over.
    adopted: Vec<PackInfo>,
    /// Whether most of the packs that should be there are not.
    looked_away: bool,
}

/// Packs that a listing shows, with their lengths.
type Listed = BTreeMap<PackId, u64>;

fn listed_packs(repository: &Repository) -> Result<Listed> {
    let mut there = Listed::new();
    repository.backend().for_each(Kind::Pack, &mut |meta| {
        there.extend(meta.name.file().parse::<PackId>().map(|id| (id, meta.size)));
    })?;
    Ok(there)
}

/// Whether each pack that is there is named or condemned, and each that should be there is there as it was.
fn is_as_known(repository: &Repository, there: &Listed) -> bool {
    let (index, standing) = (repository.catalog.index(), &repository.state().standing);
    there.keys().all(|id| index.names_pack(id) || standing.is_condemned(id))
        && index.packs_known().iter().all(|(id, length)| there.get(id) == Some(length) || standing.is_condemned(id))
}

/// Compares the packs that are there with those that are indexed. Marks those that are gone or were cut off, so that
/// their chunks are stored again, and reads the directories of those that no index object names.
fn adopt_packs(repository: &Repository, standing: &Standing, there: &Listed) -> Result<Found> {
    let is_unknown =
        |(id, _): &(&PackId, &u64)| !repository.catalog.index().names_pack(id) && !standing.is_condemned(id);
    let mut unknown: Vec<(PackId, u64)> = there.iter().filter(is_unknown).map(|(id, length)| (*id, *length)).collect();
    let (mut missing, mut packs) = (0, 0);
    for (id, length) in repository.catalog.index().packs_known() {
        // A listing proves nothing: ask for the pack itself. Condemned ones may be gone.
        if standing.is_condemned(&id) {
            continue;
        }
        let mut found = there.get(&id).copied();
        if found != Some(length) {
            found = repository.backend().size(&pack::pack_name(&id))?;
        }
        if should_be_there(&id, standing) {
            packs += 1;
            missing += u64::from(found.is_none());
        }
        if found.is_none() {
            repository.catalog.index().mark_gone(&id);
        } else if found != Some(length) {
            repository.catalog.index().mark_cut_off(&id);
        } else if !there.contains_key(&id) && !repository.catalog.index().names_pack(&id) {
            // An earlier run of this process stored it and could not publish it, and the listing is out of date: what
            // counts as stored must be named.
            unknown.push((id, length));
        }
    }
    let mut adopted = Vec::new();
    for (id, length) in unknown {
        match adopt(repository, &id, length) {
            Ok(info) => adopted.push(info),
            // One that is not sound, or was deleted meanwhile, is no use, and no harm; nor is one that cannot be read just
            // now. Where its directory could be, and this process reads by it, nothing new may rest on it all the same: no
            // index object names it.
            Err(error) if error.is_damage() || matches!(error, Error::Storage(_)) => {
                repository.catalog.index().mark_gone(&id)
            }
            Err(error) => return Err(error),
        }
    }
    let ReadDirectories { sound: adopted, unsound } = repository.reader.prove_packs(adopted)?;
    unsound.iter().for_each(|(id, _)| repository.catalog.index().mark_gone(id));
    adopted.iter().try_for_each(|info| repository.catalog.with_index(|index| index.insert_unpublished(info)))?;
    Ok(Found { adopted, looked_away: looks_away(missing, packs) })
}

/// Takes over a pack that another run wrote and did not live to name. It may have died before its folder was durable.
fn adopt(repository: &Repository, id: &PackId, length: u64) -> Result<PackInfo> {
    let name = pack::pack_name(id);
    let bytes = repository.backend().read_stored(&name, ByteRange::UpTo(length.min(pack::MAX_PACK)))?;
    let info = repository.packs.read_pack(id, &bytes)?;
    repository.packs.settle([&info])?;
    repository.packs.protect(id, &bytes)?;
    Ok(info)
}
