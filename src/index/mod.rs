//! Which pack holds a chunk.
//!
//! Several processes share the database (`cache`): what one has written, the others take in when they next ask how far it
//! is complete (`sync`). Until then they do not count it.
//!
//! The truth is in the packs; *index objects* are its second copy, made so that nobody has to read all packs. The
//! database here is only a cache of those objects: it can be deleted, stale or corrupted at any time without harm. A
//! hit counts only if its row carries the right keyed checksum and its pack is named by an index object that was read
//! and authenticated (or was written by this very process), and is there.

mod database;
mod object;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use database::Database;
pub use object::{MAX_OBJECT, decode_object, encode_object};

use crate::error::Result;
use crate::id::{ChunkId, IndexId, PackId};
use crate::log::{SharedStanding, Worth};
use crate::pack::PackInfo;

/// A pack as this process knows it: the number of its row in the local index. Another process may know it by another number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CachedPack(u32);

impl CachedPack {
    /// The number of its row, for what is remembered beside the index.
    pub fn row(self) -> u32 {
        self.0
    }
}

/// Where a chunk lies. A chunk may have several locations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Which pack.
    pub pack: CachedPack,
    /// Which frame of the pack.
    pub frame: u32,
    /// Which chunk of the frame.
    pub chunk: u32,
}

/// The log entry up to which a cache is complete: its number and hash.
pub type Head = (u64, [u8; 32]);

/// The local index of one repository.
#[derive(Debug)]
pub struct Index {
    database: Mutex<Database>,
    packs: Mutex<Packs>,
    /// What the log says about packs.
    standing: SharedStanding,
}

/// What is known about packs, in memory: some hundred bytes a pack, and the directories used last.
#[derive(Debug, Default)]
struct Packs {
    known: HashMap<CachedPack, KnownPack>,
    numbers: HashMap<PackId, CachedPack>,
    /// Directories that were used lately, oldest first.
    recent: VecDeque<(CachedPack, Arc<PackInfo>)>,
    /// How many chunks these list.
    recent_chunks: usize,
    /// Packs that were found to be gone from the repository, or cut off. Outlives the tables: they may be made again at
    /// any time, and what is gone must not count as stored again.
    gone: HashSet<PackId>,
    /// Those of them that were cut off: something may be read from them yet.
    cut_off: HashSet<PackId>,
    /// The highest number that was given in this process. None is given to another pack, whatever becomes of the tables:
    /// others hold on to locations and to frames by it.
    last_number: CachedPack,
    /// The state of the file, as of which the tables are known here: other processes write into it, too.
    version: Option<i64>,
}

#[derive(Debug)]
struct KnownPack {
    id: PackId,
    /// The index object that names it; none as long as this process has not published one.
    object: Option<IndexId>,
    /// How long it should be.
    length: u64,
    /// Whether deltas lie in it.
    deltas: bool,
}

impl KnownPack {
    fn of(row: database::PackRow) -> Self {
        Self { id: row.id, object: row.object, length: row.length, deltas: row.bases > 0 }
    }

    fn new(info: &PackInfo) -> Self {
        Self { id: info.id, object: None, length: info.length, deltas: !info.directory.bases.is_empty() }
    }
}

impl Packs {
    /// Forgets what the tables say.
    fn forget(&mut self) {
        *self = Self {
            gone: std::mem::take(&mut self.gone),
            cut_off: std::mem::take(&mut self.cut_off),
            last_number: self.last_number,
            ..Self::default()
        };
    }
}

/// How many directories are kept decoded, ...
const RECENT: usize = 256;
/// ... and how many chunks they may list: each takes up to 150 bytes.
const RECENT_CHUNKS: usize = 1 << 18;

impl Index {
    /// The index that is cached in `path`, or in a temporary file where `path` is none. Whatever is wrong with the
    /// file, it is made again; if another process uses it, a temporary one serves.
    ///
    /// `row_key` belongs to the repository; it makes the checksums of rows.
    ///
    /// # Errors
    /// If not even a temporary database can be made.
    pub fn open(path: Option<&Path>, row_key: [u8; 32], standing: SharedStanding) -> Result<Self> {
        let index = Self { database: Mutex::new(Database::open(path, row_key)?), packs: Mutex::default(), standing };
        // What an interrupted process left unpublished is found again in the packs themselves.
        let dropped = index.database().drop_unpublished();
        if dropped.and_then(|()| index.sync()).is_err() {
            index.clear()?;
        }
        Ok(index)
    }

    /// Takes in what other processes have written into the file since it was last looked at.
    fn sync(&self) -> Result<()> {
        let database = self.database();
        let mut packs = self.packs();
        let version = database.version()?;
        if packs.version == Some(version) {
            return Ok(());
        }
        let rows = database.packs()?;
        // What this process has written and not published yet counts; what another one has, does not.
        let is_own = |id: &PackId| packs.numbers.contains_key(id);
        let rows: Vec<_> = rows.into_iter().filter(|row| row.object.is_some() || is_own(&row.id)).collect();
        packs.numbers = rows.iter().map(|row| (row.id, row.number)).collect();
        packs.last_number = rows.iter().map(|row| row.number).fold(packs.last_number, CachedPack::max);
        packs.known = rows.into_iter().map(|row| (row.number, KnownPack::of(row))).collect();
        let Packs { recent, known, .. } = &mut *packs;
        recent.retain(|(number, info)| known.get(number).is_some_and(|pack| pack.id == info.id));
        packs.recent_chunks = packs.recent.iter().map(|(_, info)| info.directory.chunks.len()).sum();
        packs.version = Some(version);
        Ok(())
    }

    /// Forgets everything. Where other processes use the file, it stays as it is, and this process goes on with a temporary
    /// one.
    ///
    /// # Errors
    /// If not even a temporary file can be made.
    pub fn clear(&self) -> Result<()> {
        let mut database = self.database();
        self.packs().forget();
        database.recreate()?;
        // Between two operations another process may have made and filled a file in the same place: what stands in it is
        // not in memory here, so this process goes on without it.
        match (database.objects(), database.packs()) {
            (Ok(objects), Ok(packs)) if objects.is_empty() && packs.is_empty() => Ok(()),
            _ => database.switch_to_temporary(),
        }
    }

    /// Forgets everything, and from now on uses a temporary file.
    pub fn switch_to_temporary(&self) -> Result<()> {
        let mut database = self.database();
        self.packs().forget();
        database.switch_to_temporary()
    }

    /// Whether the cache is kept in a file of its own that outlives the process.
    pub fn is_persistent(&self) -> bool {
        self.database().is_persistent()
    }

    /// Up to where in the log the cache is complete.
    pub fn head(&self) -> Option<Head> {
        // What another process has taken in counts only once this one knows it.
        self.sync().ok()?;
        self.database().head().ok().flatten()
    }

    /// Says that the cache is complete up to here.
    pub fn set_head(&self, head: Head) -> Result<()> {
        self.database().set_head(head)
    }

    /// The index objects whose packs are in the cache.
    pub fn objects(&self) -> Result<Vec<IndexId>> {
        self.sync()?;
        self.database().objects()
    }

    /// Takes in the packs of an index object. Packs that are known already are now named by this object, too.
    pub fn insert_object(&self, object: &IndexId, infos: &[PackInfo]) -> Result<()> {
        let mut database = self.database();
        let mut packs = self.packs();
        database.transaction(|database| {
            for info in infos {
                let number = match packs.numbers.get(&info.id) {
                    Some(number) => *number,
                    None => number_of(database, info, packs.last_number)?,
                };
                packs.last_number = packs.last_number.max(number);
                database.name_pack(number, object)?;
                packs.numbers.insert(info.id, number);
                let known = packs.known.entry(number).or_insert_with(|| KnownPack::new(info));
                known.object = Some(*object);
            }
            database.insert_object(object)
        })
    }

    /// Takes in a pack that this process has just written and that no index object names yet.
    pub fn insert_unpublished(&self, info: &PackInfo) -> Result<()> {
        let mut database = self.database();
        let mut packs = self.packs();
        if packs.numbers.contains_key(&info.id) {
            return Ok(());
        }
        let last = packs.last_number;
        let number = database.transaction(|database| number_of(database, info, last))?;
        packs.last_number = last.max(number);
        packs.numbers.insert(info.id, number);
        packs.known.insert(number, KnownPack::new(info));
        Ok(())
    }

    /// Whether the index knows this pack.
    pub fn knows_pack(&self, id: &PackId) -> bool {
        self.packs().numbers.contains_key(id)
    }

    /// Whether an index object names this pack.
    pub fn names_pack(&self, id: &PackId) -> bool {
        let packs = self.packs();
        let known = packs.numbers.get(id).and_then(|number| packs.known.get(number));
        known.is_some_and(|pack| pack.object.is_some())
    }

    /// All packs that the index knows, and how long each should be; by name, so that the same run asks for the same.
    pub fn packs_known(&self) -> Vec<(PackId, u64)> {
        let mut packs: Vec<_> = self.packs().known.values().map(|pack| (pack.id, pack.length)).collect();
        packs.sort_unstable();
        packs
    }

    /// From now on nothing counts as stored that lies only in this pack: it is not there, or of no use.
    pub fn mark_gone(&self, id: &PackId) {
        let mut packs = self.packs();
        packs.gone.insert(*id);
        packs.cut_off.remove(id);
    }

    /// The same of a pack that is there and is not as long as it should be. What is left of it may be read.
    pub fn mark_cut_off(&self, id: &PackId) {
        let mut packs = self.packs();
        packs.gone.insert(*id);
        packs.cut_off.insert(*id);
    }

    /// Whether any pack was found to be gone that should be there.
    pub fn has_gone(&self) -> bool {
        let standing = self.standing.get();
        self.packs().gone.iter().any(|pack| !standing.is_condemned(pack))
    }

    /// Whether the pack was found to be gone, or cut off.
    pub fn is_gone(&self, id: &PackId) -> bool {
        self.packs().gone.contains(id)
    }

    /// Where the chunk can be read from, best first; empty if it is nowhere. Condemned packs come last: they may be gone
    /// by the time that they are asked.
    pub fn locate(&self, id: &ChunkId) -> Result<Vec<Location>> {
        let mut located = self.locate_all(id)?;
        located.sort_by_key(|(_, worth)| *worth);
        Ok(located.into_iter().map(|(location, _)| location).collect())
    }

    /// Where the chunk is stored for good, so that something new may rest on it.
    pub fn locate_live(&self, id: &ChunkId) -> Result<Vec<Location>> {
        let located = self.locate_all(id)?.into_iter();
        Ok(located.filter(|(_, worth)| *worth == Worth::Live).map(|(location, _)| location).collect())
    }

    fn locate_all(&self, id: &ChunkId) -> Result<Vec<(Location, Worth)>> {
        // Always in this order: what puts packs in holds both, too.
        let database = self.database();
        let (packs, standing) = (self.packs(), self.standing.get());
        let worth = |location: &Location, tag| match packs.known.get(&location.pack) {
            Some(pack) if packs.gone.contains(&pack.id) && !packs.cut_off.contains(&pack.id) => Worth::Nothing,
            Some(pack) if database.tag(id, &pack.id, location.frame, location.chunk) == tag => {
                match standing.worth(&pack.id, location.frame) {
                    Worth::Live if packs.cut_off.contains(&pack.id) => Worth::Condemned,
                    worth => worth,
                }
            }
            _ => Worth::Nothing,
        };
        let rows = database.locate(id)?.into_iter();
        let located = rows.map(|(location, tag)| (location, worth(&location, tag)));
        Ok(located.filter(|(_, worth)| *worth != Worth::Nothing).collect())
    }

    /// Forgets index objects that others took the place of, and packs that are deleted.
    pub fn forget(&self, objects: &[IndexId], swept: &[PackId]) -> Result<()> {
        let mut database = self.database();
        let mut packs = self.packs();
        let numbers: Vec<CachedPack> = swept.iter().filter_map(|id| packs.numbers.get(id)).copied().collect();
        database.transaction(|database| {
            objects.iter().try_for_each(|object| database.forget_object(object))?;
            database.forget_packs(&numbers)
        })?;
        for (id, number) in swept.iter().filter_map(|id| Some((*id, packs.numbers.remove(id)?))).collect::<Vec<_>>() {
            packs.known.remove(&number);
            packs.recent.retain(|(recent, _)| *recent != number);
            packs.gone.remove(&id);
            packs.cut_off.remove(&id);
        }
        Ok(())
    }

    /// Whether what lies in this pack may be a difference to other chunks.
    pub fn has_deltas(&self, number: CachedPack) -> bool {
        self.packs().known.get(&number).is_none_or(|pack| pack.deltas)
    }

    /// What a pack says about itself.
    pub fn pack(&self, number: CachedPack) -> Result<Arc<PackInfo>> {
        if let Some((_, info)) = self.packs().recent.iter().find(|(recent, _)| *recent == number) {
            return Ok(info.clone());
        }
        let database = self.database();
        let info = match database.pack(number) {
            Ok(info) => Arc::new(info),
            Err(error) => {
                drop(database);
                // Another process may have forgotten it: then it is not known here any more, either.
                self.sync()?;
                return Err(error);
            }
        };
        let mut packs = self.packs();
        match packs.known.get(&number) {
            Some(pack) if pack.id == info.id => {}
            _ => return Err(database.failed("a pack's row is not what it was")),
        }
        packs.recent_chunks += info.directory.chunks.len();
        packs.recent.push_back((number, info.clone()));
        while packs.recent.len() > RECENT || (packs.recent_chunks > RECENT_CHUNKS && packs.recent.len() > 1) {
            let Some((_, oldest)) = packs.recent.pop_front() else { break };
            packs.recent_chunks -= oldest.directory.chunks.len();
        }
        Ok(info)
    }

    /// What the pack in the row of this number says about itself, for what was remembered beside the index.
    ///
    /// # Errors
    /// If there is none, or the cache is not what it was.
    pub fn pack_in_row(&self, row: u32) -> Result<Arc<PackInfo>> {
        self.pack(CachedPack(row))
    }

    /// What the pack of this number says about itself; none if the index does not know it any more.
    ///
    /// # Errors
    /// If the cache is not what it was.
    pub fn numbered(&self, number: CachedPack) -> Result<Option<Arc<PackInfo>>> {
        match self.pack(number) {
            Err(_) if !self.packs().known.contains_key(&number) => Ok(None),
            info => info.map(Some),
        }
    }

    /// What a pack says about itself, by its name; none if the index does not know it (any more). Numbers may be given
    /// again while others read the log; names stay.
    ///
    /// # Errors
    /// If the cache is not what it was.
    pub fn find_pack(&self, id: &PackId) -> Result<Option<Arc<PackInfo>>> {
        let Some(number) = self.pack_number(id) else { return Ok(None) };
        match self.pack(number) {
            Ok(info) if info.id == *id => Ok(Some(info)),
            // It was forgotten, or got another number, since it was looked up.
            _ if self.pack_number(id) != Some(number) => self.pack_number(id).map(|again| self.pack(again)).transpose(),
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The number of a pack.
    pub fn pack_number(&self, id: &PackId) -> Option<CachedPack> {
        self.packs().numbers.get(id).copied()
    }

    /// The numbers of these packs.
    pub fn numbers_of(&self, ids: &BTreeSet<PackId>) -> BTreeSet<CachedPack> {
        let packs = self.packs();
        ids.iter().filter_map(|id| packs.numbers.get(id)).copied().collect()
    }

    /// The names of all packs, in the order in which they were taken in.
    pub fn pack_ids(&self) -> Vec<PackId> {
        let mut packs: Vec<(CachedPack, PackId)> =
            self.packs().known.iter().map(|(number, pack)| (*number, pack.id)).collect();
        packs.sort_unstable();
        packs.into_iter().map(|(_, id)| id).collect()
    }

    /// The numbers of all packs, in the order in which they were taken in.
    pub fn pack_numbers(&self) -> Vec<CachedPack> {
        let mut numbers: Vec<CachedPack> = self.packs().known.keys().copied().collect();
        numbers.sort_unstable();
        numbers
    }

    fn database(&self) -> MutexGuard<'_, Database> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn packs(&self) -> MutexGuard<'_, Packs> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of a pack: another process may have taken it in already.
fn number_of(database: &Database, info: &PackInfo, last: CachedPack) -> Result<CachedPack> {
    match database.find_pack(&info.id)? {
        Some(row) => Ok(row.number),
        None => database.insert_pack(info, last),
    }
}
