//! The fold of the log: which snapshots, index objects and keys there are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entry::{Body, LogEntry, kind};
use super::{Features, Settings, Standing};
use crate::error::{Error, Result};
use crate::id::{ChunkId, EntryHash, IndexId, KeyId, SnapshotId};
use crate::storage::Name;

/// What the log up to its head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The number of the next entry.
    pub next: u64,
    /// The hash of the last entry; zeros before the first.
    pub head: EntryHash,
    /// BLAKE3 of the config, once the first entry was read.
    pub config: Option<[u8; 32]>,
    /// The snapshots, in the order in which they were added. Parts of runs are among them: what they need is needed.
    pub snapshots: Vec<SnapshotRecord>,
    /// The index objects that name packs in use.
    pub indexes: BTreeSet<IndexId>,
    /// The key slots, with the hash of each.
    pub keys: BTreeMap<KeyId, [u8; 32]>,
    /// Key slots that were taken away. Their objects may be there still, and open nothing.
    pub former_keys: BTreeSet<KeyId>,
    /// The epoch whose key seals the next entry: how often the keys were rotated.
    pub epoch: u32,
    /// What does not count any more: condemned packs, superseded index objects, damaged frames.
    pub standing: Arc<Standing>,
    /// Snapshots that were removed, in the order in which that was done. Their chunks may be gone.
    pub removed: Vec<RemovedSnapshot>,
    /// Features that are needed beside those in the config.
    pub features: Features,
    /// The settings of the repository, as far as any were set.
    pub settings: Settings,
}

/// A snapshot as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRecord {
    /// The snapshot's id.
    pub id: SnapshotId,
    /// The chunk that holds its root.
    pub root: ChunkId,
    /// The number of the entry that added it.
    pub added: u64,
    /// Its tags, where they were changed since.
    pub tags: Option<Vec<String>>,
}

/// A snapshot that is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedSnapshot {
    /// What the log had of it.
    pub record: SnapshotRecord,
    /// The number of the entry that removed it.
    pub entry: u64,
    /// When that was, nanoseconds since 1970 (UTC), by the clock of the process that removed it.
    pub time: i64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            next: 0,
            head: EntryHash::new([0; 32]),
            config: None,
            snapshots: Vec::new(),
            indexes: BTreeSet::new(),
            keys: BTreeMap::new(),
            former_keys: BTreeSet::new(),
            epoch: 0,
            standing: Arc::default(),
            removed: Vec::new(),
            features: Features::default(),
            settings: Settings::default(),
        }
    }
}

impl State {
    /// Whether this is the next entry of this very log.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is not.
    pub fn check_follows(&self, entry: &LogEntry) -> Result<()> {
        match entry.sequence == self.next && entry.previous == self.head {
            true => Ok(()),
            false => Err(Error::damaged(Name::log(self.next), "it does not follow from the entry before it")),
        }
    }

    /// Takes in the next entry, whose sealed bytes have this hash. That it was sealed in the epoch of this state, the caller
    /// has made sure of.
    ///
    /// # Errors
    /// If it is not the next one of this very log, or of a kind that this version does not know.
    pub fn apply(&mut self, entry: &LogEntry, hash: EntryHash) -> Result<()> {
        let name = Name::log(self.next);
        self.check_follows(entry)?;
        match &entry.body {
            Body::Init { config, keys } if self.next == 0 => {
                self.config = Some(*config);
                self.keys.extend(keys.iter().copied());
            }
            _ if self.next == 0 => return Err(Error::damaged(name, "the log does not begin with an Init entry")),
            Body::Init { .. } => return Err(Error::damaged(name, "the log begins twice")),
            Body::AddSnapshot { snapshot, root, indexes } => {
                if self.snapshots.iter().any(|record| record.id == *snapshot) {
                    return Err(Error::damaged(name, format!("it adds snapshot {snapshot} a second time")));
                }
                // One that comes back is as it was when it went.
                let before = self.removed.iter().position(|removed| removed.record.id == *snapshot);
                let tags = before.and_then(|at| self.removed.remove(at).record.tags);
                self.snapshots.push(SnapshotRecord { id: *snapshot, root: *root, added: self.next, tags });
                self.name_indexes(indexes);
            }
            Body::RemoveSnapshots { snapshots } => {
                let named: BTreeSet<_> = snapshots.iter().collect();
                let is_removed = |record: &mut SnapshotRecord| named.contains(&record.id);
                let (entry, time) = (self.next, entry.time);
                let removed = self.snapshots.extract_if(.., is_removed);
                self.removed.extend(removed.map(|record| RemovedSnapshot { record, entry, time }));
            }
            Body::Condemn { packs, added, superseded } => {
                let standing = Arc::make_mut(&mut self.standing);
                standing.condemn(packs, (self.next, entry.time));
                standing.supersede(superseded, (self.next, entry.time));
                self.name_indexes(added);
                self.indexes.retain(|index| !superseded.contains(index));
            }
            Body::IndexReplace { added, superseded } => {
                Arc::make_mut(&mut self.standing).supersede(superseded, (self.next, entry.time));
                self.name_indexes(added);
                self.indexes.retain(|index| !superseded.contains(index));
            }
            Body::Swept { packs, indexes } => {
                let standing = Arc::make_mut(&mut self.standing);
                standing.sweep(packs, indexes, (self.next, entry.time));
                self.indexes.retain(|index| !indexes.contains(index));
            }
            Body::Damaged { packs } => Arc::make_mut(&mut self.standing).damage(packs, self.next),
            Body::Sound { packs } => Arc::make_mut(&mut self.standing).restore(packs),
            Body::ReplaceRoots { roots, indexes, .. } => {
                for replaced in roots {
                    let is_meant =
                        |record: &&mut SnapshotRecord| record.id == replaced.snapshot && record.root == replaced.old;
                    for record in self.snapshots.iter_mut().filter(is_meant) {
                        record.root = replaced.new;
                    }
                }
                self.name_indexes(indexes);
            }
            Body::SetTags { snapshot, tags } => {
                for record in self.snapshots.iter_mut().filter(|record| record.id == *snapshot) {
                    record.tags = Some(tags.clone());
                }
            }
            Body::KeyAdd { key, hash } => {
                self.keys.insert(*key, *hash);
                self.former_keys.remove(key);
            }
            Body::KeyRemove { key } => {
                self.former_keys.extend(self.keys.remove(key).map(|_| *key));
            }
            Body::KeyRotate { epoch, keys, .. } => {
                if self.epoch.checked_add(1) != Some(*epoch) {
                    return Err(Error::damaged(name, format!("it begins epoch {epoch} after epoch {}", self.epoch)));
                }
                self.epoch = *epoch;
                self.former_keys.extend(std::mem::take(&mut self.keys).into_keys());
                for (key, hash) in keys {
                    self.keys.insert(*key, *hash);
                    self.former_keys.remove(key);
                }
            }
            Body::Config { features, settings } => {
                Features::check(features.read, Features::KNOWN.read, "to read")?;
                self.features = self.features.union(*features);
                self.settings.update(settings);
            }
            Body::Reserved { kind, .. } if *kind >= kind::FIRST_NOTE => {}
            Body::Reserved { kind, .. } => {
                return Err(Error::Unsupported {
                    name: name.to_string(),
                    reason: format!("log entries of kind {kind} are not known to this version"),
                });
            }
        }
        self.next += 1;
        self.head = hash;
        Ok(())
    }

    /// Index objects are part of the repository. One that was superseded never is again: what it names may be gone.
    fn name_indexes(&mut self, indexes: &[IndexId]) {
        let superseded = &self.standing.superseded;
        self.indexes.extend(indexes.iter().filter(|index| !superseded.contains_key(index)));
    }

    /// The number of the last entry that took away places where chunks could lie; 0 if none did.
    pub fn last_loss(&self) -> u64 {
        self.standing.changed
    }

    /// The snapshot with this id, if the log has it.
    pub fn snapshot(&self, id: SnapshotId) -> Option<&SnapshotRecord> {
        self.snapshots.iter().find(|record| record.id == id)
    }

    /// The snapshots that are whole ones: parts of runs that were not merged are left out.
    pub fn whole_snapshots(&self) -> Vec<SnapshotRecord> {
        self.snapshots.iter().filter(|record| record.id.is_whole()).cloned().collect()
    }

    /// The root that a removed snapshot had when it went.
    pub fn removed_root(&self, id: SnapshotId) -> Option<ChunkId> {
        self.removed.iter().find(|removed| removed.record.id == id).map(|removed| removed.record.root)
    }

    /// The last entry's number and hash; none before the first.
    pub fn head_entry(&self) -> Option<(u64, [u8; 32])> {
        Some((self.next.checked_sub(1)?, *self.head.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Retired;
    use super::super::entry::{ReplaceReason, RootReplacement};
    use super::*;
    use crate::id::PackId;

    fn entry(state: &State, body: Body) -> LogEntry {
        LogEntry {
            sequence: state.next,
            previous: state.head,
            transaction: [0; 16],
            time: 0,
            writer: String::new(),
            body,
        }
    }

    #[test]
    fn a_log_is_folded_in_order_and_nothing_else_is_taken() {
        let snapshot = SnapshotId::new([1; 16]);
        let add = Body::AddSnapshot { snapshot, root: ChunkId::new([2; 32]), indexes: vec![IndexId::new([3; 32])] };
        let mut state = State::default();
        assert!(state.apply(&entry(&state, add.clone()), EntryHash::new([9; 32])).is_err(), "no Init");
        state.apply(&entry(&state, Body::Init { config: [7; 32], keys: vec![] }), EntryHash::new([9; 32])).unwrap();
        let stranger = LogEntry { previous: EntryHash::new([8; 32]), ..entry(&state, add.clone()) };
        assert!(state.apply(&stranger, EntryHash::new([9; 32])).is_err(), "another log");
        state.apply(&entry(&state, add.clone()), EntryHash::new([10; 32])).unwrap();
        assert_eq!((state.snapshots.len(), state.indexes.len(), state.next), (1, 1, 2));
        assert!(state.apply(&entry(&state, add), EntryHash::new([9; 32])).is_err(), "added twice");
        let tags = Body::SetTags { snapshot, tags: vec!["x".into()] };
        state.apply(&entry(&state, tags), EntryHash::new([11; 32])).unwrap();
        assert_eq!(state.snapshots[0].tags, Some(vec!["x".into()]));
        let delta = Body::Config { features: Features::DELTA, settings: Settings::default() };
        state.apply(&entry(&state, delta), EntryHash::new([11; 32])).unwrap();
        assert!(state.features.contains(Features::DELTA) && !state.features.contains(Features::COLUMNAR));
        let unknown = Features { read: 1 << 63, write: 0, gc: 0 };
        let unknown = Body::Config { features: unknown, settings: Settings::default() };
        assert!(state.apply(&entry(&state, unknown), EntryHash::new([9; 32])).is_err(), "unknown features");
        let reserved = Body::Reserved { kind: kind::PIN, bytes: vec![] };
        assert!(matches!(
            state.apply(&entry(&state, reserved), EntryHash::new([9; 32])),
            Err(Error::Unsupported { .. })
        ));
        let before = state.clone();
        let note = Body::Reserved { kind: kind::FIRST_NOTE, bytes: vec![1, 2] };
        state.apply(&entry(&state, note), EntryHash::new([9; 32])).unwrap();
        assert_eq!(State { next: before.next, head: before.head, ..state.clone() }, before, "a note changes nothing");
        state
            .apply(&entry(&state, Body::RemoveSnapshots { snapshots: vec![snapshot] }), EntryHash::new([12; 32]))
            .unwrap();
        assert!(state.snapshots.is_empty());
        assert_eq!((state.removed[0].entry, state.removed[0].time), (5, 0));
        let again = Body::AddSnapshot { snapshot, root: ChunkId::new([2; 32]), indexes: vec![] };
        state.apply(&entry(&state, again), EntryHash::new([13; 32])).unwrap();
        assert_eq!((state.snapshots.len(), state.removed.len()), (1, 0));
        assert_eq!(state.snapshots[0].tags, Some(vec!["x".into()]), "as it was");
    }

    #[test]
    fn a_root_is_replaced_only_where_it_is_the_one_that_was_meant() {
        let (snapshot, root) = (SnapshotId::new([1; 16]), |n| ChunkId::new([n; 32]));
        let mut state = State::default();
        let mut next =
            |body: Body| state.apply(&entry(&state.clone(), body), EntryHash::new([9; 32])).map(|()| state.clone());
        next(Body::Init { config: [7; 32], keys: vec![] }).unwrap();
        next(Body::AddSnapshot { snapshot, root: root(2), indexes: vec![] }).unwrap();
        next(Body::SetTags { snapshot, tags: vec!["x".into()] }).unwrap();
        let replace = |old, new| Body::ReplaceRoots {
            reason: ReplaceReason::Settled,
            roots: vec![RootReplacement { snapshot, old: root(old), new: root(new) }],
            indexes: vec![IndexId::new([5; 32])],
        };
        let replaced = next(replace(2, 3)).unwrap();
        assert_eq!((replaced.snapshots[0].root, replaced.snapshots[0].added), (root(3), 1));
        assert_eq!(replaced.snapshots[0].tags, Some(vec!["x".into()]), "all else stays");
        assert_eq!(replaced.indexes, [IndexId::new([5; 32])].into());
        assert_eq!(next(replace(2, 4)).unwrap().snapshots[0].root, root(3), "another was faster");
        next(Body::RemoveSnapshots { snapshots: vec![snapshot] }).unwrap();
        assert!(next(replace(3, 4)).unwrap().snapshots.is_empty(), "one that is gone stays gone");
    }

    #[test]
    fn a_rotation_replaces_all_keys_and_begins_the_next_epoch_only() {
        let mut state = State::default();
        let key = |n: u8| KeyId::new([n; 8]);
        let mut next =
            |body: Body| state.apply(&entry(&state.clone(), body), EntryHash::new([9; 32])).map(|()| state.clone());
        next(Body::Init { config: [7; 32], keys: vec![(key(1), [1; 32])] }).unwrap();
        next(Body::KeyAdd { key: key(2), hash: [2; 32] }).unwrap();
        let removed = next(Body::KeyRemove { key: key(2) }).unwrap();
        assert_eq!(removed.former_keys, [key(2)].into());
        let rotate = |epoch| Body::KeyRotate { epoch, commitment: [0; 32], keys: vec![(key(3), [3; 32])] };
        assert!(next(rotate(0)).is_err() && next(rotate(2)).is_err());
        let rotated = next(rotate(1)).unwrap();
        assert_eq!((rotated.epoch, rotated.keys), (1, [(key(3), [3; 32])].into()));
        assert_eq!(rotated.former_keys, [key(1), key(2)].into());
        assert!(next(rotate(1)).is_err());
    }

    #[test]
    fn what_was_retired_stays_so_and_what_was_removed_comes_back_as_it_was() {
        let mut state = State::default();
        let next = |state: &mut State, body: Body| {
            state.apply(&LogEntry { time: 50, ..entry(state, body) }, EntryHash::new([state.next as u8; 32])).unwrap();
        };
        let (snapshot, root) = (SnapshotId::new([1; 16]), ChunkId::new([2; 32]));
        let index = |n: u8| IndexId::new([n; 32]);
        let pack = |n: u8| PackId::new([n; 32]);
        let add = |indexes: Vec<IndexId>| Body::AddSnapshot { snapshot, root, indexes };
        next(&mut state, Body::Init { config: [7; 32], keys: vec![] });
        next(&mut state, add(vec![index(1), index(2)]));
        next(&mut state, Body::SetTags { snapshot, tags: vec!["x".into()] });
        next(&mut state, Body::RemoveSnapshots { snapshots: vec![snapshot] });
        assert_eq!((state.removed[0].entry, state.removed[0].time), (3, 50));
        let condemn = Body::Condemn { packs: vec![pack(1)], added: vec![index(3)], superseded: vec![index(1)] };
        next(&mut state, condemn);
        assert_eq!(state.indexes, [index(2), index(3)].into());
        assert_eq!(state.standing.condemned[&pack(1)], Retired { entry: 4, time: 50, swept: false });
        // A writer that did not know it yet names an object that was superseded.
        next(&mut state, add(vec![index(1), index(4)]));
        assert_eq!(state.indexes, [index(2), index(3), index(4)].into());
        assert_eq!((state.snapshots[0].tags.clone(), state.removed.len()), (Some(vec!["x".into()]), 0));
        next(&mut state, Body::IndexReplace { added: vec![index(5)], superseded: vec![index(2), index(3)] });
        assert_eq!(state.indexes, [index(4), index(5)].into());
        next(&mut state, Body::Swept { packs: vec![pack(1)], indexes: vec![index(1)] });
        assert!(state.standing.condemned[&pack(1)].swept && state.standing.superseded[&index(1)].swept);
        next(&mut state, Body::Damaged { packs: vec![(pack(2), vec![3]), (pack(3), vec![])] });
        next(&mut state, Body::Damaged { packs: vec![(pack(2), vec![5])] });
        let damaged = |n, frame| state.standing.is_damaged(&pack(n), frame);
        assert!(damaged(2, 3) && damaged(2, 5) && !damaged(2, 4) && damaged(3, 9) && !damaged(4, 0));
        assert_eq!(state.standing.changed, 9);
        next(&mut state, Body::Sound { packs: vec![(pack(2), vec![3]), (pack(3), vec![])] });
        let damaged = |n, frame| state.standing.is_damaged(&pack(n), frame);
        assert!(!damaged(2, 3) && damaged(2, 5) && !damaged(3, 9));
        assert_eq!(state.standing.changed, 9, "nothing was taken away");
    }
}
