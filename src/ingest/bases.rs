//! Finding what a new chunk is a changed copy of, so that it can be stored as the difference.
//!
//! The content alone decides: a chunk is looked up by its anchors (`chunk::anchors`), which lead to the newest stored
//! chunks that have them. No path, parent or place in a file is needed, so renamed files, moved rows and parts that were
//! cut elsewhere find their bases, too.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::chunk::{Anchor, ChunkKind, MAX_BASE_BYTES, anchors};
use crate::error::Result;
use crate::hints::{PackedChunk, resembles};
use crate::id::ChunkId;
use crate::pack::{Chain, MAX_BASES, Place};
use crate::store::Repository;

/// Whether chunks of this kind are looked up. Payloads are compressed, and the others are small.
pub(crate) fn has_bases(kind: ChunkKind) -> bool {
    matches!(kind, ChunkKind::Records | ChunkKind::Bytes)
}

/// Where a rung is to be taken against, no more chunks than this are looked at.
const MOST_CANDIDATES: usize = 32;

/// A base that stands out this much makes single hits elsewhere look like chance.
const CLEAR: usize = 8;

/// What a chunk is to be the difference to.
pub(crate) struct Bases {
    /// Their plain bytes, end to end.
    pub(crate) bytes: Vec<u8>,
    pub(crate) chain: Chain,
}

/// A stored chunk that may become a base.
#[derive(Clone)]
struct Candidate {
    id: ChunkId,
    place: Place,
    bytes: Arc<[u8]>,
    /// How many anchors it shares with the new chunk, and where in the new chunk the first of them is.
    shared: usize,
    first: u32,
}

/// Finds the bases of chunks by their anchors; for each none if there are none, or if none is asked for. They are looked up
/// together, and read one after the other: those of a thousand short chunks would not fit into memory.
pub(crate) fn find_bases<'r>(
    repository: &'r Repository,
    anchors: &[Vec<Anchor>],
    asks: bool,
) -> impl Iterator<Item = Option<Bases>> + use<'r> {
    let hashes: Vec<u64> = anchors.iter().flatten().map(|anchor| anchor.hash).collect();
    let found = match asks && repository.hints().has_anchors() {
        true => repository.hints().find_anchors(&hashes),
        false => Vec::new(),
    };
    let mut found = found.into_iter();
    let hits_of = |anchors: &Vec<Anchor>| {
        let found = anchors.iter().map(|anchor| (anchor, found.next().flatten())).collect::<Vec<_>>();
        let leading = found.iter().filter_map(|(anchor, chunk)| Some((anchor.at, (*chunk)?)));
        let hits = leading.filter(|(_, chunk)| *chunk != PackedChunk::COMMON).collect::<Vec<_>>();
        match resembles(found.iter().map(|(anchor, chunk)| (anchor.hash, *chunk))) {
            true => (anchors.clone(), hits),
            false => (Vec::new(), Vec::new()),
        }
    };
    let looked_up: Vec<_> = anchors.iter().map(hits_of).collect();
    // What goes wrong with a base is no matter: then the chunk is stored whole.
    looked_up.into_iter().map(move |(anchors, hits)| choose(repository, &anchors, &hits).ok().flatten())
}

/// The bases of one chunk, of which these anchors lead to these stored chunks.
fn choose(repository: &Repository, anchors: &[Anchor], hits: &[(u32, PackedChunk)]) -> Result<Option<Bases>> {
    let mut votes: HashMap<PackedChunk, (usize, u32)> = HashMap::new();
    for (at, chunk) in hits {
        votes.entry(*chunk).or_insert((0, *at)).0 += 1;
    }
    let mut votes: Vec<(PackedChunk, usize, u32)> =
        votes.into_iter().map(|(chunk, (count, first))| (chunk, count, first)).collect();
    // Most hits first, of equals the newest.
    votes.sort_unstable_by_key(|(chunk, count, _)| Reverse((*count, *chunk)));
    let clear = votes.first().is_some_and(|(_, most, _)| *most >= CLEAR);
    let (Some((start, _)), Some((end, _))) = (hits.get(1).or(hits.last()), hits.iter().nth_back(1).or(hits.first()))
    else {
        return Ok(None);
    };
    let mut candidates = Vec::new();
    for (chunk, shared, first) in votes {
        // At the ends it may well be the neighbour of the right one, which the cut has moved into.
        let chance = clear && shared == 1 && first > *start && first < *end;
        if candidates.len() < MAX_BASES
            && !chance
            && let Some(id) = chunk_id(repository, chunk)
            && let Some(candidate) = candidate(repository, id, shared, first)
        {
            candidates.push(candidate);
        }
    }
    if candidates.is_empty() {
        return Ok(None);
    }
    match Place::step_above(candidates.iter().map(|candidate| candidate.place)) {
        Some(_) => Ok(gather(candidates, |places| Place::step_above(places))),
        None => {
            let rungs = rungs_below(repository, &candidates, anchors)?;
            Ok(gather(rungs, |places| Place::rung_above(places)))
        }
    }
}

/// The best of the candidates, in the order of the new chunk.
fn gather(
    mut candidates: Vec<Candidate>,
    place: impl Fn(&mut dyn Iterator<Item = Place>) -> Option<Place>,
) -> Option<Bases> {
    let (mut left, mut bases) = (MAX_BASE_BYTES, 0);
    candidates.retain(|candidate| {
        let fits = candidate.bytes.len() <= left && bases < MAX_BASES;
        left -= if fits { candidate.bytes.len() } else { 0 };
        bases += usize::from(fits);
        fits
    });
    candidates.sort_by_key(|candidate| candidate.first);
    if candidates.is_empty() {
        return None;
    }
    let place = place(&mut candidates.iter().map(|candidate| candidate.place))?;
    let mut bytes = Vec::with_capacity(MAX_BASE_BYTES - left);
    candidates.iter().for_each(|candidate| bytes.extend_from_slice(&candidate.bytes));
    Some(Bases { bytes, chain: Chain { place, bases: candidates.iter().map(|candidate| candidate.id).collect() } })
}

fn chunk_id(repository: &Repository, chunk: PackedChunk) -> Option<ChunkId> {
    let info = repository.catalog().index().pack_in_row(chunk.pack).ok()?;
    info.directory.chunks.get(chunk.chunk as usize).map(|listed| listed.id)
}

/// The chunk, if it can be read.
fn candidate(repository: &Repository, id: ChunkId, shared: usize, first: u32) -> Option<Candidate> {
    let (place, _) = repository.catalog().links(&id).ok()?;
    let bytes = repository.reader().base(&id).ok()?;
    Some(Candidate { id, place, bytes, shared, first })
}

/// The rungs (or full chunks) that these chunks rest on, those first that share most with the new chunk.
fn rungs_below(repository: &Repository, above: &[Candidate], anchors: &[Anchor]) -> Result<Vec<Candidate>> {
    let mut seen: HashSet<ChunkId> = above.iter().map(|candidate| candidate.id).collect();
    let mut open: Vec<ChunkId> = seen.iter().copied().collect();
    let mut rungs = Vec::new();
    while let Some(id) = open.pop() {
        let (place, bases) = repository.catalog().links(&id)?;
        match place.is_rung() {
            true => rungs.push((id, place)),
            false => open.extend(bases.into_iter().filter(|base| seen.insert(*base))),
        }
        if seen.len() > 16 * MOST_CANDIDATES || rungs.len() > MOST_CANDIDATES {
            return Ok(Vec::new());
        }
    }
    let wanted: HashMap<u64, u32> = anchors.iter().rev().map(|anchor| (anchor.hash, anchor.at)).collect();
    let mut candidates = Vec::new();
    for (id, place) in rungs {
        let bytes = repository.reader().base(&id)?;
        let places: HashSet<u32> =
            self::anchors(&bytes).iter().filter_map(|anchor| wanted.get(&anchor.hash).copied()).collect();
        if let Some(first) = places.iter().min().copied() {
            candidates.push(Candidate { id, place, bytes, shared: places.len(), first });
        }
    }
    candidates.sort_by_key(|candidate| Reverse(candidate.shared));
    Ok(candidates)
}
