//! Which pack holds a chunk.
//!
//! The truth is in the packs; *index objects* are its second copy, made so that nobody has to read all packs. The
//! database here is only a cache of those objects: it can be deleted, stale or corrupted at any time without harm. A
//! hit counts only if its row carries the right keyed checksum and its pack is named by an index object that was read
//! and authenticated (or was written by this very process), and is there.

mod anchors;
mod database;
mod object;
mod payloads;

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use anchors::{PackedChunk, resembles};
use database::Database;
pub use object::{MAX_OBJECT, decode_object, encode_object};
pub use payloads::ProvenPayload;

use crate::error::{Error, Result};
use crate::id::{ChunkId, IndexId, PackId};
use crate::pack::PackInfo;

/// Where a chunk lies. A chunk may have several locations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Which pack; the number is this process's own.
    pub pack: u32,
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
    any_anchors: anchors::Any,
}

/// What is known about packs, in memory: some hundred bytes a pack, and the directories used last.
#[derive(Debug, Default)]
struct Packs {
    known: HashMap<u32, KnownPack>,
    numbers: HashMap<PackId, u32>,
    /// Directories that were used lately, oldest first.
    recent: VecDeque<(u32, Arc<PackInfo>)>,
    /// How many chunks these list.
    recent_chunks: usize,
    /// Packs that were found to be gone from the repository, or cut off. Outlives the tables: they may be made anew at
    /// any time, and what is gone must not count as stored again.
    gone: HashSet<PackId>,
    /// The highest number that was given in this process. None is given to another pack, whatever becomes of the tables:
    /// others hold on to locations and to frames by it.
    last_number: u32,
}

#[derive(Debug)]
struct KnownPack {
    id: PackId,
    /// The index object that names it; none as long as this process has not published one.
    object: Option<IndexId>,
    /// How long it should be.
    length: u64,
}

impl Packs {
    /// Forgets what the tables say.
    fn forget(&mut self) {
        *self = Self { gone: std::mem::take(&mut self.gone), last_number: self.last_number, ..Self::default() };
    }
}

/// How many directories are kept decoded, ...
const RECENT: usize = 256;
/// ... and how many chunks they may list: each takes up to 150 bytes.
const RECENT_CHUNKS: usize = 1 << 18;

impl Index {
    /// The index that is cached in `path`, or in a temporary file where `path` is none. Whatever is wrong with the
    /// file, it is made anew; if another process uses it, a temporary one serves.
    ///
    /// `row_key` belongs to the repository; it makes the checksums of rows.
    ///
    /// # Errors
    /// If not even a temporary database can be made.
    pub fn open(path: Option<&Path>, row_key: [u8; 32]) -> Result<Self> {
        let database = Database::open(path, row_key)?;
        let index =
            Self { database: Mutex::new(database), packs: Mutex::default(), any_anchors: anchors::Any::default() };
        if index.load_packs().is_err() {
            index.clear()?;
        }
        Ok(index)
    }

    fn load_packs(&self) -> Result<()> {
        let database = self.database();
        // What an interrupted process left unpublished is found again in the packs themselves.
        database.drop_unpublished()?;
        let mut packs = self.packs();
        packs.forget();
        for (number, id, length, object) in database.packs()? {
            packs.numbers.insert(id, number);
            packs.known.insert(number, KnownPack { id, object, length });
            packs.last_number = packs.last_number.max(number);
        }
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&self) -> Result<()> {
        let mut database = self.database();
        self.packs().forget();
        database.recreate()
    }

    /// Forgets everything, and from now on uses a temporary file.
    pub fn forsake_file(&self) -> Result<()> {
        let mut database = self.database();
        self.packs().forget();
        database.forsake_file()
    }

    /// Whether the cache is kept in a file of its own that outlives the process.
    pub fn is_persistent(&self) -> bool {
        self.database().is_persistent()
    }

    /// Up to where in the log the cache is complete.
    pub fn head(&self) -> Option<Head> {
        self.database().head().ok().flatten()
    }

    /// Says that the cache is complete up to here.
    pub fn set_head(&self, head: Head) -> Result<()> {
        self.database().set_head(head)
    }

    /// The index objects whose packs are in the cache.
    pub fn objects(&self) -> Result<Vec<IndexId>> {
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
                    None => database.insert_pack(info, packs.last_number)?,
                };
                packs.last_number = packs.last_number.max(number);
                database.name_pack(number, object)?;
                packs.numbers.insert(info.id, number);
                let known =
                    packs.known.entry(number).or_insert(KnownPack { id: info.id, object: None, length: info.length });
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
        let number = database.transaction(|database| database.insert_pack(info, last))?;
        packs.last_number = last.max(number);
        packs.numbers.insert(info.id, number);
        packs.known.insert(number, KnownPack { id: info.id, object: None, length: info.length });
        Ok(())
    }

    /// Whether the index knows this pack.
    pub fn knows_pack(&self, id: &PackId) -> bool {
        self.packs().numbers.contains_key(id)
    }

    /// All packs that the index knows, and how long each should be.
    pub fn packs_known(&self) -> Vec<(PackId, u64)> {
        self.packs().known.values().map(|pack| (pack.id, pack.length)).collect()
    }

    /// From now on nothing counts as stored that lies only in this pack: it is not there, or not whole.
    pub fn mark_gone(&self, id: &PackId) {
        self.packs().gone.insert(*id);
    }

    /// Whether any pack was found to be gone.
    pub fn has_gone(&self) -> bool {
        !self.packs().gone.is_empty()
    }

    /// Where the chunk lies; empty if it is nowhere.
    pub fn locate(&self, id: &ChunkId) -> Result<Vec<Location>> {
        // Always in this order: who puts packs in holds both as well.
        let database = self.database();
        let packs = self.packs();
        Ok(database
            .locate(id)?
            .into_iter()
            .filter(|(location, tag)| {
                packs.known.get(&location.pack).is_some_and(|pack| {
                    !packs.gone.contains(&pack.id) && database.tag(id, &pack.id, location.frame, location.chunk) == *tag
                })
            })
            .map(|(location, _)| location)
            .collect())
    }

    /// What a pack says about itself.
    pub fn pack(&self, number: u32) -> Result<Arc<PackInfo>> {
        if let Some((_, info)) = self.packs().recent.iter().find(|(recent, _)| *recent == number) {
            return Ok(info.clone());
        }
        let database = self.database();
        let info = Arc::new(database.pack(number)?);
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

    /// The number of a pack.
    pub fn pack_number(&self, id: &PackId) -> Option<u32> {
        self.packs().numbers.get(id).copied()
    }

    /// The numbers of all packs, in the order in which they were taken in.
    pub fn pack_numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self.packs().known.keys().copied().collect();
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

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Cache { path: "index.db".into(), reason: error.to_string() }
    }
}
