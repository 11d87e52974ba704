//! `stats`: what snapshots hold, and what that takes in the repository.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use super::select::Listing;
use crate::chunk::ChunkKind;
use crate::error::Result;
use crate::graph::Encoding;
use crate::graph::{StoredChunk, Usage};
use crate::id::SnapshotId;
use crate::snapshot::SnapshotRoot;
use crate::store::{Objects, Repository};

/// An amount of stored data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Chunks.
    pub chunks: u64,
    /// Their plain bytes.
    pub plain: u64,
    /// What they take in packs: their shares of their frames, by plain length. Pack headers and directories, the index
    /// and the log are not in it.
    pub stored: u64,
}

impl Amount {
    fn add(&mut self, chunk: &StoredChunk) {
        self.chunks += 1;
        self.plain += chunk.plain;
        self.stored += chunk.stored;
    }
}

/// Numbers of the files of snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Regular files.
    pub files: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// Bytes of the streams of these files, Avro blocks decoded.
    pub decoded: u64,
    /// Avro containers among them.
    pub avro_files: u64,
    /// Records that the blocks of these declare.
    pub records: u64,
}

/// One snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotStats {
    /// Root of the snapshot.
    pub snapshot: SnapshotRoot,
    /// Numbers of its files.
    pub held: Held,
    /// What it needs and no earlier snapshot of the repository does: what that night added.
    pub added: Amount,
    /// What no other snapshot of the repository needs: what would be freed with it.
    pub only: Amount,
}

/// Result of the walk.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// The snapshots that were asked for, the oldest first.
    pub snapshots: Vec<SnapshotStats>,
    /// Their files, all together: one that is in two of them counts twice.
    pub held: Held,
    /// The chunks that they need, each once.
    pub unique: Amount,
    /// The same by the encoding of their frames.
    pub by_encoding: BTreeMap<Encoding, Amount>,
    /// The same by what they hold.
    pub by_kind: BTreeMap<ChunkKind, Amount>,
    /// The part of them that no other snapshot needs.
    pub only: Amount,
    /// Chunks of the repository that no snapshot at all needs, and second copies.
    pub unused: Amount,
    /// The objects of the whole repository.
    pub objects: Objects,
    /// Things that could not be read: the other figures are too small then.
    pub unreadable: u64,
}

/// Looks at the snapshots for which `chosen` says yes. All others are walked, too: only so is it seen what is shared.
/// Takes 8 bytes of memory for each chunk of the repository (16 if some are chosen and others not), and what reading a
/// manifest takes.
///
/// # Errors
/// I/O errors of the repository. What is lost or damaged is counted.
pub fn stats(repository: &Repository, listing: &Listing, chosen: &HashSet<SnapshotId>) -> Result<Stats> {
    let state = repository.state();
    let roots: HashMap<_, _> = state.snapshots.iter().map(|record| (record.id, record.root)).collect();
    let all: Vec<_> = listing.snapshots.iter().filter_map(|root| Some((*roots.get(&root.id)?, root))).collect();
    let (mut order, others): (Vec<_>, Vec<_>) = all.iter().copied().partition(|(_, root)| chosen.contains(&root.id));
    let count = order.len();
    order.extend(others);
    let usage = Usage::of(repository, &order, true)?;
    let mut stats = Stats { unreadable: usage.unreadable + listing.unreadable.len() as u64, ..Stats::default() };
    stats.objects = repository.objects()?;
    for ((_, root), totals) in order.iter().zip(&usage.totals).take(count) {
        let held = Held {
            files: root.totals.files,
            bytes: root.totals.bytes,
            decoded: totals.decoded,
            avro_files: totals.avro_files,
            records: totals.records,
        };
        stats.held.add(held);
        let (added, only) = (Amount::default(), Amount::default());
        stats.snapshots.push(SnapshotStats { snapshot: (*root).clone(), held, added, only });
    }
    let in_order = count == all.len();
    usage.each_chunk(|chunk| {
        let (Some(first), Some(last)) = (chunk.first, chunk.last) else { return stats.unused.add(&chunk) };
        if first >= count {
            return;
        }
        stats.unique.add(&chunk);
        stats.by_encoding.entry(chunk.encoding).or_default().add(&chunk);
        stats.by_kind.entry(chunk.kind).or_default().add(&chunk);
        if last < count {
            stats.only.add(&chunk);
        }
        if let Some(snapshot) = stats.snapshots.get_mut(first) {
            if in_order {
                snapshot.added.add(&chunk);
            }
            if first == last {
                snapshot.only.add(&chunk);
            }
        }
    })?;
    if !in_order {
        // What a night added depends on all nights before it, chosen or not.
        let places: HashMap<SnapshotId, usize> =
            stats.snapshots.iter().enumerate().map(|(at, snapshot)| (snapshot.snapshot.id, at)).collect();
        let places: Vec<Option<usize>> = all.iter().map(|(_, root)| places.get(&root.id).copied()).collect();
        drop(usage);
        Usage::of(repository, &all, false)?.each_chunk(|chunk| {
            let place = chunk.first.and_then(|first| places.get(first).copied().flatten());
            if let Some(snapshot) = place.and_then(|place| stats.snapshots.get_mut(place)) {
                snapshot.added.add(&chunk);
            }
        })?;
    }
    Ok(stats)
}

impl Held {
    fn add(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.decoded = self.decoded.saturating_add(other.decoded);
        self.avro_files = self.avro_files.saturating_add(other.avro_files);
        self.records = self.records.saturating_add(other.records);
    }
}

impl Stats {
    /// How many bytes of decoded files there are for one byte of chunks; none where there is nothing.
    pub fn deduplication(&self) -> Option<f64> {
        ratio(self.held.decoded, self.unique.plain)
    }

    /// How many plain bytes of chunks there are for one byte in packs.
    pub fn compression(&self) -> Option<f64> {
        ratio(self.unique.plain, self.unique.stored)
    }

    /// How many bytes of files there are for one byte in packs.
    pub fn saving(&self) -> Option<f64> {
        ratio(self.held.bytes, self.unique.stored)
    }
}

fn ratio(many: u64, few: u64) -> Option<f64> {
    (few > 0).then(|| many as f64 / few as f64)
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut amount = serializer.serialize_struct("Amount", 3)?;
        amount.serialize_field("chunks", &self.chunks)?;
        amount.serialize_field("bytes", &self.plain)?;
        amount.serialize_field("bytes_stored", &self.stored)?;
        amount.end()
    }
}

/// The figures of its root are those of the snapshot; of what it holds, that is the rest.
impl Serialize for SnapshotStats {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Row<'a> {
            #[serde(flatten)]
            snapshot: &'a SnapshotRoot,
            bytes_decoded: u64,
            avro_files: u64,
            avro_records: u64,
            added: &'a Amount,
            only: &'a Amount,
        }
        let Self { snapshot, held, added, only } = self;
        let Held { decoded: bytes_decoded, avro_files, records: avro_records, .. } = *held;
        Row { snapshot, bytes_decoded, avro_files, avro_records, added, only }.serialize(serializer)
    }
}

/// All but the snapshots, which are reported one by one.
impl Serialize for Stats {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("snapshots", &self.snapshots.len())?;
        map.serialize_entry("files", &self.held.files)?;
        map.serialize_entry("bytes", &self.held.bytes)?;
        map.serialize_entry("bytes_decoded", &self.held.decoded)?;
        map.serialize_entry("avro_files", &self.held.avro_files)?;
        map.serialize_entry("avro_records", &self.held.records)?;
        map.serialize_entry("unique", &self.unique)?;
        map.serialize_entry("by_encoding", &self.by_encoding)?;
        map.serialize_entry("by_kind", &self.by_kind)?;
        map.serialize_entry("only", &self.only)?;
        map.serialize_entry("unused", &self.unused)?;
        map.serialize_entry("deduplication", &self.deduplication())?;
        map.serialize_entry("compression", &self.compression())?;
        map.serialize_entry("saving", &self.saving())?;
        map.serialize_entry("repository", &self.objects)?;
        map.serialize_entry("unreadable", &self.unreadable)?;
        map.end()
    }
}
