//! One chunk as the difference to others: Zstandard, with the plain bytes of the base chunks as what came before.
//!
//! Matches in the base may lie a megabyte back, and may be a few records long. Long-distance matching finds the former
//! where the tables of level 3 have lost them.

use zstd::zstd_safe::{CCtx, CParameter, DCtx, compress_bound};

use super::{CompressError, Decompressor};

/// The most bytes that the bases of one delta may come to.
pub const MAX_BASE_BYTES: usize = 1 << 20;

/// The level of deltas. Higher ones find little more, and take several times as long.
const LEVEL: i32 = 3;

/// What the tables of that level hold. Only beyond it there are distances that are long.
const NEAR: usize = 256 << 10;

/// What every Zstandard frame begins with. It says nothing here, and would be a good part of a short delta.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What the dictionaries of Zstandard begin with.
const DICTIONARY: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// The smallest window that Zstandard knows, and one that covers the longest chunk with the longest base.
const WINDOW_LOGS: std::ops::RangeInclusive<u32> = 10..=25;

/// How much room Zstandard wants beyond what it writes in the end, at most.
const SLACK: usize = 512;

/// `plain` as the difference to `base`, in at most `limit` bytes; none if it takes more.
///
/// # Errors
/// If Zstandard refuses to work.
pub fn compress_delta(plain: &[u8], base: &[u8], limit: usize) -> Result<Option<Vec<u8>>, CompressError> {
    let refused = |code| CompressError::of_zstd(code);
    let mut context = CCtx::try_create().ok_or_else(CompressError::no_memory)?;
    let covered = (plain.len() + base.len()).max(1).next_power_of_two().ilog2();
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(covered.clamp(*WINDOW_LOGS.start(), *WINDOW_LOGS.end())),
        CParameter::EnableLongDistanceMatching(plain.len() + base.len() > NEAR),
        // The directory has the length.
        CParameter::ContentSizeFlag(false),
    ] {
        context.set_parameter(parameter).map_err(refused)?;
    }
    context.ref_prefix(base).map_err(refused)?;
    // It gives up as soon as there is no room, of which it wants somewhat more than it needs.
    let room = limit.saturating_add(MAGIC.len() + SLACK).min(compress_bound(plain.len()));
    let mut body = Vec::with_capacity(room);
    match context.compress2(&mut body, plain) {
        Ok(_) => Ok(body.strip_prefix(&MAGIC).filter(|body| body.len() <= limit).map(<[u8]>::to_vec)),
        Err(_) => Ok(None),
    }
}

/// The bytes that [`compress_delta`] was given, which must be exactly `length`, from what it made and the same base.
///
/// # Errors
/// If these are not the bytes of such a delta.
pub fn decompress_delta(
    decompressor: &mut Decompressor,
    body: &[u8],
    base: &[u8],
    length: usize,
) -> Result<Vec<u8>, CompressError> {
    // Exactly the declared length is allocated: what makes more fails, whatever it claims.
    let (mut plain, framed) = (Vec::with_capacity(length), [&MAGIC, body].concat());
    let undone = match base.starts_with(&DICTIONARY) {
        // Would be taken for a dictionary. As a prefix it is just bytes, but then it must live as long as the context.
        true => {
            let mut context = DCtx::try_create().ok_or_else(CompressError::no_memory)?;
            context.ref_prefix(base).map_err(CompressError::of_zstd)?;
            context.decompress(&mut plain, &framed)
        }
        false => decompressor.0.decompress_using_dict(&mut plain, &framed, base),
    };
    undone.map_err(CompressError::of_zstd)?;
    match plain.len() == length {
        true => Ok(plain),
        false => Err(CompressError(format!("{} bytes came out where {length} were expected", plain.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::Compressor;
    use proptest::prelude::*;

    fn undo(body: &[u8], base: &[u8], length: usize) -> Result<Vec<u8>, CompressError> {
        decompress_delta(&mut Decompressor::new()?, body, base, length)
    }

    proptest! {
        #[test]
        fn a_delta_is_undone(
            base: Vec<u8>,
            repeat in 1usize..300,
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<Vec<u8>>()), 0..9),
        ) {
            let base = base.repeat(repeat);
            let mut plain = base.clone();
            for (at, bytes) in edits {
                let at = at.index(plain.len() + 1);
                plain.splice(at..at, bytes);
            }
            let body = compress_delta(&plain, &base, usize::MAX / 2)?.unwrap();
            prop_assert_eq!(&undo(&body, &base, plain.len())?, &plain);
            prop_assert!(undo(&body, &base, plain.len() + 1).is_err());
            prop_assert_eq!(compress_delta(&plain, &base, body.len())?, Some(body.clone()));
            prop_assert_eq!(compress_delta(&plain, &base, body.len() - 1)?, None);
        }

        #[test]
        fn any_bytes_are_undone_to_the_length_or_refused(body: Vec<u8>, base: Vec<u8>, length in 0usize..70_000) {
            if let Ok(plain) = undo(&body, &base, length) {
                prop_assert_eq!(plain.len(), length);
            }
        }
    }

    #[test]
    fn a_chunk_that_is_in_its_base_costs_next_to_nothing_wherever_it_lies() {
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(MAX_BASE_BYTES)
        .collect();
        for at in [0, 300_000, 983_040] {
            // A copy: Zstandard takes a base that overlaps with the chunk in memory for overwritten.
            let plain = noise[at..at + 65_536].to_vec();
            let body = compress_delta(&plain, &noise, usize::MAX).unwrap().unwrap();
            assert!(body.len() < 64, "{} bytes for what lies at {at}", body.len());
            assert_eq!(undo(&body, &noise, plain.len()).unwrap(), plain);
        }
    }

    #[test]
    fn bytes_that_look_like_a_dictionary_are_a_base_as_any_other() {
        // What begins with the magic number of a dictionary must not be taken for one.
        let base = [&DICTIONARY[..], &[7; 5000]].concat();
        assert_eq!(DICTIONARY, 0xec30_a437_u32.to_le_bytes());
        let plain = vec![7; 5000];
        let body = compress_delta(&plain, &base, 100).unwrap().unwrap();
        assert_eq!(undo(&body, &base, plain.len()).unwrap(), plain);
    }

    #[test]
    fn a_decompressor_forgets_the_base() {
        let mut decompressor = Decompressor::new().unwrap();
        let (base, plain) = (b"what came before".repeat(50), b"came before, and what else".repeat(30));
        let body = compress_delta(&plain, &base, usize::MAX).unwrap().unwrap();
        let alone = Compressor::new(3).unwrap().compress(&plain).unwrap();
        for _ in 0..2 {
            assert_eq!(decompress_delta(&mut decompressor, &body, &base, plain.len()).unwrap(), plain);
            assert!(decompress_delta(&mut decompressor, &body, &[], plain.len()).is_err());
            assert_eq!(decompressor.decompress(&alone, plain.len()).unwrap(), plain);
        }
    }
}
