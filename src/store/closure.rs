//! Which chunks can be made from what is there.
//!
//! A chunk may lie in several places, and a place may hold it as a difference to other chunks, its *bases*. That a chunk
//! lies anywhere is therefore not enough: two writers may have stored A as a difference to B, and B as one to A. A chunk
//! is *rebuildable* if it is in the least set of chunks with a place all of whose bases are in that set.
//!
//! Each place says how deep it is: a reader undoes a difference of depth d with places of its bases that are less deep
//! than d, and takes no others. So no reader runs in a circle, and what is found here is what readers find.

use super::{ChunkNumber, PlaceNumber};
use crate::pack::MAX_DEPTH;

/// One place where a chunk lies.
#[derive(Debug, Clone, Copy)]
pub struct Place<'b> {
    /// The place's own number.
    pub number: PlaceNumber,
    /// The chunk that lies there.
    pub chunk: ChunkNumber,
    /// How many differences have to be undone at most; 0 if the chunk stands alone there.
    pub depth: u8,
    /// The chunks that it is a difference to.
    pub bases: &'b [ChunkNumber],
}

/// For each rebuildable chunk one place of it. Together these places rest on nothing but each other, without a circle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation(Vec<PlaceNumber>);

const NONE: PlaceNumber = PlaceNumber::NONE;

impl Derivation {
    /// The place that was chosen for a chunk; none if it is not rebuildable.
    pub fn place(&self, chunk: ChunkNumber) -> Option<PlaceNumber> {
        self.0.get(chunk.index()).copied().filter(|place| *place != NONE)
    }

    /// Whether the chunk can be made from what is there.
    pub fn has(&self, chunk: ChunkNumber) -> bool {
        self.place(chunk).is_some()
    }
}

/// Finds what is rebuildable among `chunks` chunks, numbered from 0 on, from these places.
///
/// The place that is chosen for a chunk is the least deep one of those that can be read, and of these the first. So
/// whoever drops all others takes nothing away from what rests on the chunk, and makes no chunk deeper than it was.
///
/// Time is linear in chunks, places and bases; memory is 5 bytes a chunk, and some 20 for each difference.
pub fn derive<'b>(chunks: usize, places: impl Iterator<Item = Place<'b>>) -> Derivation {
    const UNKNOWN: u8 = u8::MAX;
    let (mut chosen, mut depths) = (vec![NONE; chunks], vec![UNKNOWN; chunks]);
    let mut deltas: Vec<Vec<Delta>> = (0..=MAX_DEPTH).map(|_| Vec::new()).collect();
    let mut bases: Vec<ChunkNumber> = Vec::new();
    for place in places {
        let at = place.chunk.index();
        if at >= chunks {
            continue;
        }
        if let (1.., Some(delta)) = (place.depth, deltas.get_mut(usize::from(place.depth))) {
            let first = bases.len() as u32;
            bases.extend_from_slice(place.bases);
            delta.push(Delta { place: place.number, chunk: place.chunk, bases: first..bases.len() as u32 });
        } else if place.depth == 0 && place.bases.is_empty() && chosen[at] == NONE {
            (chosen[at], depths[at]) = (place.number, 0);
        }
    }
    for (depth, deltas) in deltas.iter().enumerate() {
        for delta in deltas {
            let at = delta.chunk.index();
            let is_there = |base: &ChunkNumber| depths.get(base.index()).is_some_and(|base| usize::from(*base) < depth);
            let bases = &bases[delta.bases.start as usize..delta.bases.end as usize];
            if chosen[at] == NONE && !bases.is_empty() && bases.iter().all(is_there) {
                (chosen[at], depths[at]) = (delta.place, depth as u8);
            }
        }
    }
    Derivation(chosen)
}

struct Delta {
    place: PlaceNumber,
    chunk: ChunkNumber,
    bases: std::ops::Range<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Given = (ChunkNumber, u8, Vec<ChunkNumber>);

    fn chunk(number: usize) -> ChunkNumber {
        ChunkNumber::at(number)
    }

    fn chunks(numbers: &[usize]) -> Vec<ChunkNumber> {
        numbers.iter().copied().map(chunk).collect()
    }

    fn derived(chunks: usize, places: &[Given]) -> Derivation {
        let place = |(number, (chunk, depth, bases)): (usize, &'static Given)| Place {
            number: PlaceNumber::at(number),
            chunk: *chunk,
            depth: *depth,
            bases,
        };
        // What borrows from a slice of a test is easiest to hand on if it lives for ever.
        let places: &'static [Given] = Vec::leak(places.to_vec());
        derive(chunks, places.iter().enumerate().map(place))
    }

    /// What a reader does: it tries every place, with places of the bases that are less deep.
    fn can_read(places: &[Given], chunk: ChunkNumber, below: u8) -> bool {
        places.iter().any(|(of, depth, bases)| {
            *of == chunk && *depth < below && bases.iter().all(|base| can_read(places, *base, *depth))
        })
    }

    #[test]
    fn two_chunks_that_are_differences_to_each_other_are_not_there() {
        let circle = [(chunk(0), 1, chunks(&[1])), (chunk(1), 1, chunks(&[0]))];
        assert!(!derived(2, &circle).has(chunk(0)) && !derived(2, &circle).has(chunk(1)));
        let [a, b] = circle;
        let with_a_full_copy = [a, b, (chunk(1), 0, vec![])];
        let derivation = derived(2, &with_a_full_copy);
        let places = [0, 1].map(|number| derivation.place(chunk(number)));
        assert_eq!(places, [Some(PlaceNumber::at(0)), Some(PlaceNumber::at(2))]);
    }

    #[test]
    fn chains_are_followed_as_far_as_readers_go() {
        let chain: Vec<_> = (0..20u8)
            .map(|n| (chunk(n.into()), n, chunks(&[usize::from(n).wrapping_sub(1)][..usize::from(n.min(1))])))
            .collect();
        let derivation = derived(20, &chain);
        let last = usize::from(MAX_DEPTH);
        assert!(derivation.has(chunk(last)) && !derivation.has(chunk(last + 1)));
    }

    proptest! {
        #[test]
        fn what_is_derived_is_what_readers_can_read(
            places in prop::collection::vec((0usize..9, 0u8..5, prop::collection::vec(0usize..10, 1..3)), 0..24),
        ) {
            let places: Vec<Given> = places
                .into_iter()
                .map(|(of, depth, bases)| (chunk(of), depth, if depth == 0 { vec![] } else { chunks(&bases) }))
                .collect();
            let derivation = derived(9, &places);
            for chunk in (0..9).map(chunk) {
                prop_assert_eq!(derivation.has(chunk), can_read(&places, chunk, 17), "{:?}", chunk);
                let Some(place) = derivation.place(chunk) else { continue };
                let (of, depth, bases) = &places[place.index()];
                // No place of the chunk that is less deep can be read, and the bases' own places come strictly before.
                prop_assert_eq!((*of, can_read(&places, chunk, *depth)), (chunk, false));
                prop_assert!(bases.iter().all(|base| places[derivation.place(*base).unwrap().index()].1 < *depth));
            }
        }
    }

    #[test]
    fn a_million_chunks_take_no_time() {
        let count = 1_000_000usize;
        let bases: Vec<ChunkNumber> = (0..count).map(|n| chunk(n.wrapping_sub(1))).collect();
        let began = std::time::Instant::now();
        let places = (0..count).map(|n| {
            let bases = if n % 8 == 0 { &[][..] } else { &bases[n..=n] };
            Place { number: PlaceNumber::at(n), chunk: chunk(n), depth: (n % 8) as u8, bases }
        });
        let derivation = derive(count, places);
        assert!((0..count).all(|number| derivation.has(chunk(number))));
        // Even a busy machine is that quick; a time that grows with the square would be hours.
        assert!(began.elapsed().as_secs() < 120, "{:?}", began.elapsed());
    }
}
