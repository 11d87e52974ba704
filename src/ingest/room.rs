//! How much memory blocks may take that are dealt with together. A payload of 2 kB can decode to hundreds of MiB, and no
//! codec says before that it will; so blocks are decoded with little room first, all of a batch at once, and those that
//! need more come one after the other.

use crate::avro::codec::{Codec, DecodeError, Decoder, MAX_DECODED};

/// Room for what blocks decode to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// For each block of a batch: [`RATIO`] times its payload and [`SPARE`] bytes. Most writers' blocks need less.
    Batch,
    /// For each of [`FEW`] blocks: [`MIDDLE`] bytes.
    Few,
    /// For one block, of which there is but one in the process: as much as blocks may decode to.
    One,
}

/// Records that compress better than this are rare.
const RATIO: usize = 32;

/// Small blocks may compress better: they are small.
const SPARE: usize = 64 << 10;

/// How many blocks of middle size are decoded at once. The same on every machine, as what is tried with them decides about
/// the recipe.
pub(crate) const FEW: usize = 4;

/// Blocks above this, decoded or not, are large.
pub(crate) const MIDDLE: usize = 8 << 20;

impl Room {
    /// The most bytes that this payload may decode to.
    fn of(self, payload: &[u8]) -> usize {
        let room = match self {
            Self::Batch => payload.len().saturating_mul(RATIO).saturating_add(SPARE).min(MIDDLE),
            Self::Few => MIDDLE,
            Self::One => MAX_DECODED,
        };
        room.min(MAX_DECODED)
    }

    /// Decodes a payload, like [`Decoder::decode`]; `None` if there is not enough room for what it decodes to.
    pub(crate) fn decode(
        self,
        decoder: &mut Decoder,
        codec: Codec,
        payload: &[u8],
        plain: &mut Vec<u8>,
    ) -> Option<Result<usize, DecodeError>> {
        let room = self.of(payload);
        match decoder.decode(codec, payload, room, plain) {
            Err(DecodeError::TooLarge { .. }) if room < MAX_DECODED => None,
            decoded => Some(decoded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decodes_to_much_waits_for_more_room() {
        let payload = |length: usize| zstd::bulk::compress(&vec![0; length], 3).unwrap();
        let (mut decoder, mut plain) = (Decoder::new(), Vec::new());
        let mut fits = |length: usize, room: Room| {
            room.decode(&mut decoder, Codec::Zstandard, &payload(length), &mut plain).map(|decoded| decoded.is_ok())
        };
        assert_eq!(fits(SPARE, Room::Batch), Some(true));
        assert_eq!(fits(1 << 20, Room::Batch), None);
        assert_eq!(fits(MIDDLE, Room::Few), Some(true));
        assert_eq!(fits(MIDDLE + 1, Room::Few), None);
        assert_eq!(fits(MIDDLE + 1, Room::One), Some(true));
        assert_eq!(fits(MAX_DECODED + 1, Room::One), Some(false));
    }
}
