//! Which chunks which snapshots need, and what they take in the repository. For figures only: nothing is removed because
//! of what is found here.
//!
//! Each chunk of the index has a dense number, its place in the directories of all packs laid end to end. For each there
//! are 8 bytes: the first and the last snapshot, in the order in which they are walked, that need it. Where both are the
//! same, no other snapshot needs it. What hangs on a node that was seen is not walked again, so each node is read twice at
//! most, however many snapshots there are.

use std::collections::{HashMap, HashSet};

use crate::chunk::ChunkKind;
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::index::CachedPack;
use crate::pack::{Directory, Encoding, Frame};
use crate::recipe::Recipe;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::{ATTEMPTS, Met, Repository, Visitor, walk_below};
use crate::wire::Malformed;

/// A snapshot as it is walked.
pub(crate) type Walked<'r> = (ChunkId, &'r SnapshotRoot);

/// What the rows of a manifest come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RowTotals {
    /// Avro containers.
    pub(crate) avro_files: u64,
    /// Records that their blocks declare.
    pub(crate) records: u64,
    /// Bytes of all streams: headers, layouts, decoded records, and whatever is kept as it is.
    pub(crate) decoded: u64,
}

impl RowTotals {
    fn add(&mut self, other: Self) {
        self.avro_files = self.avro_files.saturating_add(other.avro_files);
        self.records = self.records.saturating_add(other.records);
        self.decoded = self.decoded.saturating_add(other.decoded);
    }
}

/// A chunk of a pack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredChunk {
    /// The first of the walked snapshots that needs it, counted from 0; none if none does.
    pub(crate) first: Option<usize>,
    /// The last one.
    pub(crate) last: Option<usize>,
    /// What it holds.
    pub(crate) kind: ChunkKind,
    /// How its frame is encoded.
    pub(crate) encoding: Encoding,
    /// Its plain bytes.
    pub(crate) plain: u64,
    /// Its share of what its frame takes, by plain length.
    pub(crate) stored: u64,
}

/// Which chunks which snapshots need.
pub(crate) struct Usage<'a> {
    repository: &'a Repository,
    places: Places,
    first: Vec<u32>,
    last: Vec<u32>,
    /// What the rows of each snapshot come to, in the order in which they were walked.
    pub(crate) totals: Vec<RowTotals>,
    /// Chunks that are nowhere, nodes that cannot be read: the figures are too small then.
    pub(crate) unreadable: u64,
}

/// Where the chunks of each pack begin in the dense numbering.
#[derive(Default)]
struct Places {
    packs: HashMap<CachedPack, PackPlace>,
    /// Packs with deltas, latest first: bases mostly lie in earlier packs than what rests on them.
    with_bases: Vec<CachedPack>,
    total: usize,
}

struct PackPlace {
    base: u32,
    /// The first chunk of each frame.
    frames: Box<[u32]>,
}

impl Places {
    fn of(repository: &Repository) -> Result<Self> {
        let mut places = Self::default();
        for number in repository.catalog().index().pack_numbers() {
            let Some(info) = repository.catalog().index().numbered(number)? else { continue };
            let base =
                u32::try_from(places.total).map_err(|_| Error::Invalid("more chunks than can be counted".into()))?;
            let frames = info.directory.frames.iter().map(|frame| frame.first).collect();
            places.packs.insert(number, PackPlace { base, frames });
            places.total += info.directory.chunks.len();
            if !info.directory.bases.is_empty() {
                places.with_bases.insert(0, number);
            }
        }
        Ok(places)
    }

    /// The number of a chunk, by the location that is read first; none if it is nowhere.
    fn number(&self, repository: &Repository, id: &ChunkId) -> Result<Option<usize>> {
        let locations = repository.catalog().index().locate(id)?;
        Ok(locations.first().and_then(|location| {
            let place = self.packs.get(&location.pack)?;
            let number = place.base as usize + *place.frames.get(location.frame as usize)? as usize;
            Some(number + location.chunk as usize).filter(|number| *number < self.total)
        }))
    }
}

impl<'a> Usage<'a> {
    /// Walks these snapshots; `both_ways` if it matters which of them is the last to need a chunk.
    ///
    /// # Errors
    /// Those of the local index. What cannot be read is counted.
    pub(crate) fn of(repository: &'a Repository, snapshots: &[Walked<'_>], both_ways: bool) -> Result<Self> {
        repository.catalog().refresh()?;
        for _ in 1..ATTEMPTS {
            let before = repository.state();
            match Self::walk(repository, snapshots, both_ways) {
                Ok(usage) if usage.unreadable == 0 => return Ok(usage),
                // Somebody may have moved it meanwhile.
                usage if !repository.catalog().has_moved(&before)? => return usage,
                _ => {}
            }
        }
        Self::walk(repository, snapshots, both_ways)
    }

    fn walk(repository: &'a Repository, snapshots: &[Walked<'_>], both_ways: bool) -> Result<Self> {
        let places = Places::of(repository)?;
        let mut walk = Marking::new(repository, &places);
        let mut totals = Vec::with_capacity(snapshots.len());
        for (at, snapshot) in snapshots.iter().enumerate() {
            totals.push(walk.snapshot(snapshot, at as u32 + 1)?);
        }
        let (first, unreadable) = (walk.marks, walk.unreadable);
        let mut last = Vec::new();
        if both_ways {
            let mut walk = Marking::new(repository, &places);
            for (at, snapshot) in snapshots.iter().enumerate().rev() {
                walk.snapshot(snapshot, at as u32 + 1)?;
            }
            last = walk.marks;
        }
        let mut usage = Self { repository, places, first, last, totals, unreadable };
        usage.close_over_bases()?;
        Ok(usage)
    }

    /// Who needs a delta needs its bases.
    fn close_over_bases(&mut self) -> Result<()> {
        let mut changed = true;
        while changed {
            let (mut lost, mut first, mut last) = (0, std::mem::take(&mut self.first), std::mem::take(&mut self.last));
            changed = false;
            for pack in &self.places.with_bases {
                let Some(info) = self.repository.catalog().index().numbered(*pack)? else { continue };
                let start = self.places.packs.get(pack).map_or(0, |place| place.base as usize);
                for frame in info.directory.frames.iter().rev().filter(|frame| !frame.bases.is_empty()) {
                    let chunk = start + frame.first as usize;
                    if first.get(chunk).is_none_or(|mark| *mark == 0) {
                        continue;
                    }
                    for base in frame.bases.iter().filter_map(|base| info.directory.bases.get(*base as usize)) {
                        let Some(base) = self.places.number(self.repository, base)? else {
                            lost += 1;
                            continue;
                        };
                        changed |= inherit(&mut first, chunk, base, |own, other| own == 0 || other < own);
                        changed |= inherit(&mut last, chunk, base, |own, other| other > own);
                    }
                }
            }
            (self.first, self.last) = (first, last);
            // The last round sees all that is needed.
            self.unreadable += if changed { 0 } else { lost };
        }
        Ok(())
    }

    /// Hands every chunk of every pack to `each`.
    pub(crate) fn each_chunk(&self, mut each: impl FnMut(StoredChunk)) -> Result<()> {
        let snapshot = |marks: &[u32], number: usize| {
            let mark = marks.get(number).copied().unwrap_or(0);
            mark.checked_sub(1).map(|snapshot| snapshot as usize)
        };
        for pack in self.repository.catalog().index().pack_numbers() {
            let Some(place) = self.places.packs.get(&pack) else { continue };
            let Some(info) = self.repository.catalog().index().numbered(pack)? else { continue };
            for frame in &info.directory.frames {
                let start = place.base as usize + frame.first as usize;
                for (at, (plain, stored)) in shares(&info.directory, frame).enumerate() {
                    each(StoredChunk {
                        first: snapshot(&self.first, start + at),
                        last: snapshot(&self.last, start + at),
                        kind: frame.kind,
                        encoding: frame.encoding,
                        plain,
                        stored,
                    });
                }
            }
        }
        Ok(())
    }
}

/// Gives a base the mark of what rests on it, where that says more.
fn inherit(marks: &mut [u32], from: usize, to: usize, says_more: impl Fn(u32, u32) -> bool) -> bool {
    let other = marks.get(from).copied().unwrap_or(0);
    match marks.get_mut(to) {
        Some(own) if other != 0 && says_more(*own, other) => {
            *own = other;
            true
        }
        _ => false,
    }
}

/// The plain length of each chunk of a frame, and its share of what the frame takes. The shares come to exactly that.
fn shares<'d>(directory: &'d Directory, frame: &'d Frame) -> impl Iterator<Item = (u64, u64)> + 'd {
    let (stored, whole) = (u64::from(frame.stored), u64::from(frame.plain));
    let chunks = directory.chunks_of(frame);
    let (mut plain, mut given) = (0, 0);
    chunks.iter().enumerate().map(move |(at, chunk)| {
        let length = u64::from(chunk.length);
        plain += length;
        let until = match at + 1 == chunks.len() {
            true => stored,
            false => (stored * plain).checked_div(whole).unwrap_or(0),
        };
        let share = until - given;
        given = until;
        (length, share)
    })
}

/// One walk over snapshots, from their roots to the last chunk.
struct Marking<'a> {
    repository: &'a Repository,
    places: &'a Places,
    /// For each chunk the snapshot that met it first in this walk, counted from 1.
    marks: Vec<u32>,
    /// The snapshot that is walked.
    mark: u32,
    /// What the rows below a node or chunk of a manifest come to, by its number.
    below: HashMap<usize, RowTotals>,
    /// The nodes of streams that were opened.
    opened: HashSet<usize>,
    /// What was met so far below each node of the manifest that is being followed, and below its root.
    open: Vec<(usize, RowTotals)>,
    totals: RowTotals,
    unreadable: u64,
}

impl<'a> Marking<'a> {
    fn new(repository: &'a Repository, places: &'a Places) -> Self {
        Self {
            repository,
            places,
            marks: vec![0; places.total],
            mark: 0,
            below: HashMap::new(),
            opened: HashSet::new(),
            open: Vec::new(),
            totals: RowTotals::default(),
            unreadable: 0,
        }
    }

    fn snapshot(&mut self, (chunk, root): &Walked<'_>, mark: u32) -> Result<RowTotals> {
        (self.mark, self.totals) = (mark, RowTotals::default());
        self.open.clear();
        self.meet(chunk, Met::Root)?;
        walk_below(self.repository, root, self)?;
        Ok(self.totals)
    }

    /// What is counted for the node of the manifest that is being followed.
    fn counted(&mut self) -> &mut RowTotals {
        self.open.last_mut().map_or(&mut self.totals, |(_, totals)| totals)
    }
}

impl Visitor for Marking<'_> {
    /// Marks a chunk, if it has no mark yet.
    fn meet(&mut self, chunk: &ChunkId, met: Met) -> Result<bool> {
        let number = self.places.number(self.repository, chunk)?;
        match number.and_then(|number| self.marks.get_mut(number)) {
            Some(marked) if *marked == 0 => *marked = self.mark,
            Some(_) => {}
            None => self.unreadable += 1,
        }
        let Some(number) = number else { return Ok(false) };
        Ok(match met {
            Met::Root => true,
            Met::Bytes(0) => false,
            // A piece may have the very bytes of a node, so it is not the mark that says whether a node was opened.
            Met::Bytes(_) => self.opened.insert(number),
            Met::Rows(_) => match self.below.get(&number).copied() {
                Some(totals) => {
                    self.counted().add(totals);
                    false
                }
                None => {
                    self.open.push((number, RowTotals::default()));
                    true
                }
            },
        })
    }

    fn leave(&mut self, met: Met) {
        if let Met::Rows(_) = met
            && let Some((number, totals)) = self.open.pop()
        {
            self.below.insert(number, totals);
            self.counted().add(totals);
        }
    }

    fn row(&mut self, row: &FileEntry, recipe: Option<std::result::Result<&Recipe, Malformed>>) -> Result<()> {
        let mut totals = RowTotals::default();
        if let Some(facts) = &row.avro {
            (totals.avro_files, totals.records) = (1, facts.declared_records);
        }
        match recipe {
            None => {}
            Some(Ok(recipe)) => {
                for stream in recipe.streams() {
                    totals.decoded = totals.decoded.saturating_add(stream.length());
                }
            }
            Some(Err(_)) => self.unreadable += 1,
        }
        self.counted().add(totals);
        Ok(())
    }

    /// What cannot be read because it is lost or damaged is counted.
    fn lost(&mut self, _: &ChunkId, _: Error) -> Result<()> {
        self.unreadable += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::FrameChunk;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_come_to_what_the_frame_takes(lengths in prop::collection::vec(0u32..100_000, 1..20), stored in 16u32..) {
            let chunks: Vec<_> =
                lengths.iter().map(|length| FrameChunk { id: ChunkId::new([0; 32]), length: *length }).collect();
            let mut directory = Directory::default();
            directory.push(Encoding::Zstd, ChunkKind::Records, &chunks, stored);
            let shared: Vec<_> = shares(&directory, &directory.frames[0]).collect();
            prop_assert_eq!(shared.iter().map(|(_, share)| share).sum::<u64>(), u64::from(stored));
            prop_assert!(shared.iter().zip(&lengths).all(|((plain, _), length)| *plain == u64::from(*length)));
        }
    }
}
