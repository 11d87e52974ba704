//! How long chains of deltas get (drawn in `docs/format.md`, "Chains").

use super::MAX_DEPTH;
use crate::id::ChunkId;

/// Where a delta stands: on how many others it rests, and on which chunks.
///
/// Chains have two kinds of links. *Steps* go from one night to the next. After seven of them the next delta is a *rung*:
/// it is taken against the chunks that the first of the seven was taken against, and the steps begin again. After eight
/// rungs and seven steps the chunk is stored whole. So a chunk is never far from a full copy, and yet most deltas span
/// one night only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Where it stands.
    pub place: Place,
    /// The chunks whose plain bytes, end to end, it is the difference to. 1 to 4.
    pub bases: Vec<ChunkId>,
}

/// A place in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// How many deltas have to be undone at most, rungs and steps together. 0 for what stands alone.
    pub depth: u8,
    /// How many of these are steps, so that the others are rungs.
    pub step: u8,
}

/// How many steps there are between two rungs, ...
const STEPS: u8 = 7;
/// ... and how many rungs at most.
const RUNGS: u8 = 8;

const _: () = assert!(STEPS + RUNGS <= MAX_DEPTH);

impl Place {
    /// How many rungs are below it.
    pub fn rungs(self) -> u8 {
        self.depth - self.step.min(self.depth)
    }

    /// Whether it is a rung, or stands alone.
    pub fn is_rung(self) -> bool {
        self.step == 0
    }

    /// Where a delta against chunks at these places stands; none if it is a rung's turn.
    pub fn step_above(bases: impl IntoIterator<Item = Place>) -> Option<Place> {
        let (mut rungs, mut step) = (0, 0);
        for base in bases {
            (rungs, step) = (rungs.max(base.rungs()), step.max(base.step + 1));
        }
        (step <= STEPS && rungs <= RUNGS).then_some(Place { depth: rungs + step, step })
    }

    /// Where a rung on these rungs stands; none if there are as many as may be: then the chunk is stored whole.
    pub fn rung_above(bases: impl IntoIterator<Item = Place>) -> Option<Place> {
        let rungs = 1 + bases.into_iter().map(|base| base.depth).max().unwrap_or(0);
        (rungs <= RUNGS).then_some(Place { depth: rungs, step: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seventy_two_nights_have_one_full_copy_and_eight_rungs() {
        let (mut place, mut rung) = (Place::default(), Place::default());
        let mut nights = 1;
        loop {
            place = match Place::step_above([place]) {
                Some(step) => step,
                None => match Place::rung_above([rung]) {
                    Some(next) => {
                        rung = next;
                        next
                    }
                    None => break,
                },
            };
            nights += 1;
            assert_eq!(place.rungs(), rung.depth);
            assert_eq!(place.step, (nights - 1) % 8);
            assert!(place.depth <= 15);
        }
        assert_eq!(nights, 72);
    }

    proptest! {
        #[test]
        fn a_delta_stands_higher_than_all_its_bases(bases in prop::collection::vec((0u8..=8, 0u8..=7), 1..5)) {
            let bases: Vec<_> = bases.into_iter().map(|(rungs, step)| Place { depth: rungs + step, step }).collect();
            if let Some(place) = Place::step_above(bases.clone()) {
                prop_assert!(bases.iter().all(|base| base.depth < place.depth) && place.depth <= MAX_DEPTH);
            }
            let rungs: Vec<_> = bases.iter().map(|base| Place { depth: base.rungs(), step: 0 }).collect();
            if let Some(place) = Place::rung_above(rungs.clone()) {
                prop_assert!(rungs.iter().all(|base| base.depth < place.depth) && place.is_rung());
            }
        }
    }
}
