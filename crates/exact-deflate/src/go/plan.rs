//! Which sort of block Go writes, and what its codes are.

use super::codes::Packager;
use crate::block::{Frequencies, Kind, Plan, extra_bits, fixed_bits, set_fixed};
use crate::tables::{DISTANCES, LITERALS};

/// How the sort of a block is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Policy {
    /// The smallest.
    Smallest,
    /// Codes of its own, unless they save less than a sixteenth.
    Dynamic,
    /// Its bytes as they are.
    Stored,
}

/// A match's distance that no block has: it is counted so that there is a code for distances.
const NO_DISTANCES: u16 = 1;

impl Plan {
    /// Decides how a block is sent, as [`Plan::make`] does for zlib.
    pub(crate) fn make_go(
        &mut self,
        packager: &mut Packager,
        frequencies: &Frequencies,
        stored: Option<usize>,
        policy: Policy,
    ) -> (Kind, u64) {
        let stored = stored.filter(|bytes| *bytes <= usize::from(u16::MAX));
        let stored_bits = stored.map_or(u64::MAX, |bytes| (bytes as u64 + 5) * 8);
        if policy == Policy::Stored {
            return (Kind::Stored, stored_bits);
        }
        let mut distances = frequencies.distances;
        let has_distances = distances.iter().any(|frequency| *frequency != 0);
        if !has_distances {
            distances[0] = NO_DISTANCES;
        }
        let literal_bits =
            packager.build(15, frequencies.literals.get(..LITERALS).unwrap_or_default(), &mut self.literal);
        let distance_bits = packager.build(15, distances.get(..DISTANCES).unwrap_or_default(), &mut self.distance);
        let header = self.header.make_go(packager, &self.literal, &self.distance);
        let extra = extra_bits(frequencies);
        let dynamic = 3 + header + literal_bits + distance_bits;
        if policy == Policy::Dynamic {
            // The extra bits are not thought of.
            return match stored_bits < dynamic + (dynamic >> 4) {
                true => (Kind::Stored, stored_bits),
                false => (Kind::Dynamic, dynamic + extra),
            };
        }
        let dynamic = dynamic + extra;
        let fixed = 3 + fixed_bits(frequencies) + if has_distances { 0 } else { 5 };
        if stored_bits < dynamic.min(fixed) {
            (Kind::Stored, stored_bits)
        } else if dynamic < fixed {
            (Kind::Dynamic, dynamic)
        } else {
            set_fixed(&mut self.literal, &mut self.distance);
            (Kind::Fixed, fixed)
        }
    }
}
