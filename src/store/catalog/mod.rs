//! Which pack holds what: the local index, and the index objects of the repository that it is made of.

mod objects;
mod unnamed;
mod update;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::{ATTEMPTS, FrameKey, Packs};
use crate::error::{Error, Result};
use crate::id::{ChunkId, PackId};
use crate::index::{Index, Location};
use crate::log::{Follower, Log, Standing, State};
use crate::pack::Place;

/// Which pack holds what.
#[derive(Debug)]
pub struct Catalog {
    log: Arc<Log>,
    packs: Arc<Packs>,
    index: Index,
    /// The local index was made again since the repository was opened.
    rebuilt: Mutex<bool>,
    /// The last entry that condemned or damaged anything, as of which the condemned packs are in the local index.
    recalled: Mutex<u64>,
    /// It was looked which index objects there are that no entry names.
    has_looked: AtomicBool,
}

impl Catalog {
    pub(super) fn new(log: Arc<Log>, packs: Arc<Packs>, index: Index) -> Self {
        let (rebuilt, recalled, has_looked) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Self { log, packs, index, rebuilt, recalled, has_looked }
    }

    /// The log that it follows.
    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// The local index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What does not count any more, as the log has it.
    pub fn standing(&self) -> Arc<Standing> {
        self.log.standing()
    }

    /// Packs of which the log has something as damaged, and that are not condemned.
    pub fn damaged_packs(&self) -> Vec<PackId> {
        let standing = self.log.standing();
        standing.damaged.keys().filter(|pack| !standing.is_condemned(pack)).copied().collect()
    }

    /// Reads what was added to the log since, and the index objects that are new with it. True if there was anything.
    ///
    /// # Errors
    /// Errors of reading the log, and [`Error::Cache`] if the local index fails.
    pub fn refresh(&self) -> Result<bool> {
        self.log.refresh()?;
        self.catch_up()
    }

    /// Reads the index objects that are new with what was read of the log, and those that no entry names unless that was
    /// done before. True if there may have been anything.
    fn catch_up(&self) -> Result<bool> {
        let is_new = !self.has_looked.load(Ordering::Relaxed) || self.index.head() != self.log.state().head_entry();
        if is_new {
            self.update()?;
        }
        Ok(is_new)
    }

    /// Reads what was added to the log, and says whether it goes on after this state of it. To be asked before something is
    /// called missing: a prune may have moved it, or another process may have removed the snapshot that needed it.
    ///
    /// # Errors
    /// Errors of reading the log, and [`Error::Cache`] if the local index fails.
    pub fn has_moved(&self, since: &State) -> Result<bool> {
        self.refresh()?;
        Ok(self.log.length() != since.next)
    }

    /// Does something that reads. If it finds something missing or damaged and the log has moved meanwhile, it is done
    /// again, a few times at most: a long read beside writers must not take for lost what was moved.
    ///
    /// # Errors
    /// The errors of `work`, and errors of reading the log.
    pub fn settled<T>(&self, mut work: impl FnMut() -> Result<T>) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let before = self.log.state();
            match work() {
                Err(error)
                    if (error.is_damage() || matches!(error, Error::Cache { .. })) && self.has_moved(&before)? => {}
                done => return done,
            }
        }
        work()
    }

    /// Where a chunk can be read from. If the local index knows nothing about it, the index is made again first: a
    /// damaged cache must not make data look lost.
    pub fn locate(&self, id: &ChunkId) -> Result<Vec<Location>> {
        if let Ok(locations) = self.index.locate(id)
            && !locations.is_empty()
        {
            return Ok(locations);
        }
        self.rebuild_once()?;
        match self.index.locate(id)? {
            locations if locations.is_empty() => Err(Error::ChunkMissing { id: *id }),
            locations => Ok(locations),
        }
    }

    /// These locations with how many deltas each needs, the fewest first.
    pub(super) fn by_depth(&self, locations: Vec<Location>) -> Result<Vec<(u8, Location)>> {
        let depth = |location: Location| {
            if !self.index.has_deltas(location.pack) {
                return Ok((0, location));
            }
            let info = self.index.pack(location.pack)?;
            Ok((info.frame(location.frame as usize).map_or(u8::MAX, |frame| frame.place.depth), location))
        };
        let mut places = locations.into_iter().map(depth).collect::<Result<Vec<_>>>()?;
        places.sort_by_key(|place| place.0);
        Ok(places)
    }

    /// The frame that a chunk would be read from; none if the local index knows nothing about it.
    pub fn frame_of(&self, id: &ChunkId) -> Result<Option<FrameKey>> {
        let places = self.by_depth(self.index.locate(id)?)?;
        Ok(places.first().map(|(_, location)| (location.pack, location.frame)))
    }

    /// Where in a chain of deltas a stored chunk stands, and what it rests on, at the place with the fewest deltas. Condemned
    /// packs do not count.
    ///
    /// # Errors
    /// [`Error::ChunkMissing`] if the local index knows nothing about it.
    pub fn links(&self, id: &ChunkId) -> Result<(Place, Vec<ChunkId>)> {
        let places = self.by_depth(self.index.locate_live(id)?)?;
        let (_, location) = places.first().ok_or(Error::ChunkMissing { id: *id })?;
        let info = self.index.pack(location.pack)?;
        let frame = info.frame(location.frame as usize)?;
        let bases = frame.bases.iter().filter_map(|number| info.directory.bases.get(*number as usize));
        Ok((frame.place, bases.copied().collect()))
    }

    /// Records that frames of packs are lost; of a pack without numbers of frames all of it is. From then on they do not
    /// count as stored, so what lay there is stored again where the same data comes up. Returns what was recorded.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails.
    pub fn record_damage(&self, packs: &[(PackId, Vec<u32>)]) -> Result<Vec<(PackId, Vec<u32>)>> {
        self.log.damaged(self, &mut |_| Ok(packs.to_vec()))
    }
}

/// The index follows the log.
impl Follower for Catalog {
    fn follow_log(&self) -> Result<()> {
        self.catch_up().map(drop)
    }
}
