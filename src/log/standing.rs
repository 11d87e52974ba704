//! What does not count any more: packs that were condemned, index objects that others took the place of, frames that are
//! known to be damaged. The log says so; the index goes by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::id::{IndexId, PackId};

/// What the log says about packs and index objects that are not what they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Packs that will be deleted, or were. They stay in here for good: one that shows up again is garbage.
    pub condemned: BTreeMap<PackId, Retired>,
    /// Index objects that are not to be read any more.
    pub superseded: BTreeMap<IndexId, Retired>,
    /// Frames that cannot be read any more.
    pub damaged: BTreeMap<PackId, Damage>,
    /// The number of the last entry of the log that took a place away where chunks could lie; 0 if none did.
    pub changed: u64,
}

/// Since when something does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    /// The number of the entry that says so.
    pub entry: u64,
    /// When that was, nanoseconds since 1970 (UTC), by the clock of the process that wrote it.
    pub time: i64,
    /// Whether it was deleted since.
    pub swept: bool,
}

/// How much of a pack is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// All of it.
    Whole,
    /// These frames.
    Frames(BTreeSet<u32>),
}

/// What a frame of a pack is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
    /// What lies in it is stored.
    Live,
    /// It may be read as long as it is there. Nothing new may rest on it.
    Condemned,
    /// The log has it as damaged. Nothing rests on it; but whoever finds a chunk nowhere else may look whether it can be read
    /// there after all: its id says whether it is what it should be.
    Damaged,
    /// It is deleted.
    Nothing,
}

impl Standing {
    /// What a frame of a pack is good for.
    pub fn worth(&self, pack: &PackId, frame: u32) -> Worth {
        match self.condemned.get(pack) {
            Some(retired) if retired.swept => Worth::Nothing,
            _ if self.is_damaged(pack, frame) => Worth::Damaged,
            Some(_) => Worth::Condemned,
            None => Worth::Live,
        }
    }

    /// Whether the frame is known to be damaged.
    pub fn is_damaged(&self, pack: &PackId, frame: u32) -> bool {
        match self.damaged.get(pack) {
            None => false,
            Some(Damage::Whole) => true,
            Some(Damage::Frames(frames)) => frames.contains(&frame),
        }
    }

    /// What of this damage is news: not that of condemned packs, and not what is known.
    pub fn new_damage(&self, packs: Vec<(PackId, Vec<u32>)>) -> Vec<(PackId, Vec<u32>)> {
        let is_news = |(pack, frames): &mut (PackId, Vec<u32>)| {
            let is_whole = frames.is_empty();
            frames.retain(|frame| !self.is_damaged(pack, *frame));
            let is_known = match is_whole {
                true => self.damaged.get(pack) == Some(&Damage::Whole),
                false => frames.is_empty(),
            };
            !is_known && !self.is_condemned(pack)
        };
        let mut packs = packs;
        packs.retain_mut(is_news);
        packs
    }

    /// Whether the pack is condemned, deleted or not.
    pub fn is_condemned(&self, pack: &PackId) -> bool {
        self.condemned.contains_key(pack)
    }

    /// Whether anything that is not condemned is known to be damaged.
    pub fn has_damage(&self) -> bool {
        self.damaged.keys().any(|pack| !self.is_condemned(pack))
    }

    /// Takes in that these packs are condemned, by this entry at this time.
    pub fn condemn(&mut self, packs: &[PackId], (entry, time): (u64, i64)) {
        for pack in packs {
            self.condemned.entry(*pack).or_insert(Retired { entry, time, swept: false });
        }
        if !packs.is_empty() {
            self.changed = entry;
        }
    }

    /// Takes in that these index objects are not to be read any more.
    pub fn supersede(&mut self, indexes: &[IndexId], (entry, time): (u64, i64)) {
        for index in indexes {
            self.superseded.entry(*index).or_insert(Retired { entry, time, swept: false });
        }
    }

    /// Takes in that these are deleted.
    pub fn sweep(&mut self, packs: &[PackId], indexes: &[IndexId], (entry, time): (u64, i64)) {
        let retired = Retired { entry, time, swept: true };
        for pack in packs {
            if !self.is_condemned(pack) {
                // Deleting it was wrong, but it is gone.
                self.changed = entry;
            }
            self.condemned.entry(*pack).or_insert(retired).swept = true;
        }
        for index in indexes {
            self.superseded.entry(*index).or_insert(retired).swept = true;
        }
    }

    /// Takes in that these frames are lost; no frames stand for all of a pack.
    pub fn damage(&mut self, packs: &[(PackId, Vec<u32>)], entry: u64) {
        for (pack, frames) in packs {
            let known = self.damaged.entry(*pack).or_insert_with(|| Damage::Frames(BTreeSet::new()));
            match (frames.is_empty(), known) {
                (true, known) => *known = Damage::Whole,
                (false, Damage::Whole) => {}
                (false, Damage::Frames(known)) => known.extend(frames),
            }
        }
        if !packs.is_empty() {
            self.changed = entry;
        }
    }

    /// Takes in that these frames are sound after all; no frames stand for all of a pack.
    pub fn restore(&mut self, packs: &[(PackId, Vec<u32>)]) {
        for (pack, frames) in packs {
            let is_sound = match self.damaged.get_mut(pack) {
                _ if frames.is_empty() => true,
                Some(Damage::Frames(known)) => {
                    known.retain(|frame| !frames.contains(frame));
                    known.is_empty()
                }
                // That some frames are sound does not say which others are not.
                Some(Damage::Whole) | None => false,
            };
            if is_sound {
                self.damaged.remove(pack);
            }
        }
    }
}

/// What does not count any more, as of the last entry of the log that was read. Clones show the same: it follows the log.
#[derive(Debug, Clone, Default)]
pub struct SharedStanding(Arc<RwLock<Arc<Standing>>>);

impl SharedStanding {
    /// Shows this, until it is set again.
    pub(super) fn new(standing: Arc<Standing>) -> Self {
        Self(Arc::new(RwLock::new(standing)))
    }

    /// What does not count now.
    pub fn get(&self) -> Arc<Standing> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on it is this.
    pub(crate) fn set(&self, standing: Arc<Standing>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = standing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_worth_less_and_less() {
        let (pack, mut standing) = (PackId::new([1; 32]), Standing::default());
        assert_eq!(standing.worth(&pack, 0), Worth::Live);
        standing.damage(&[(pack, vec![2])], 5);
        assert_eq!((standing.worth(&pack, 0), standing.worth(&pack, 2)), (Worth::Live, Worth::Damaged));
        assert!(standing.has_damage());
        standing.condemn(&[pack], (7, 100));
        standing.condemn(&[pack], (8, 200));
        assert_eq!((standing.worth(&pack, 0), standing.worth(&pack, 2)), (Worth::Condemned, Worth::Damaged));
        assert!(!standing.has_damage(), "nobody rests on it");
        assert_eq!(standing.condemned[&pack].time, 100, "the grace runs from the first time on");
        standing.sweep(&[pack], &[], (9, 300));
        assert_eq!((standing.worth(&pack, 0), standing.changed), (Worth::Nothing, 8));
    }
}
