//! Anchors: places of a chunk that its content picks, so that a changed copy of it has nearly all of them, too, wherever
//! they lie there. They find the base of a delta. No part of the format: two versions may pick different ones.

/// A place that the content picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Where the bytes that picked it end.
    pub at: u32,
    /// A hash of those bytes, below 2^58.
    pub hash: u64,
}

/// At least one place in 2^12 is picked: about sixteen in a chunk of 64 KiB. In shorter chunks it is more, of which these
/// are a part, so that there are about sixteen, too.
const PICKED_BITS: std::ops::RangeInclusive<u32> = 6..=12;
const WANTED_BITS: u32 = 4;

/// The hashes of the anchors that chunks of any length have are below this; only shorter chunks have others, too.
pub const SPARSE_BELOW: u64 = 1 << (64 - 12);

/// The hash forgets what lies further back than this: each byte shifts out of the 64 bits after this many more.
const WINDOW: usize = 64;

/// How many anchors are enough to find a chunk again. Only bytes that repeat themselves have more.
const MOST: usize = 512;

/// The anchors of a chunk, in order.
///
/// The hash is that of FastCDC and its kin ("gear"): shifted by a bit for each byte, a random number for the byte added.
/// Its upper bits, which pick, depend on the 64 bytes before, the lower ones on the last few.
pub fn anchors(bytes: &[u8]) -> Vec<Anchor> {
    let mut anchors: Vec<Anchor> = Vec::new();
    let bits = bytes.len().max(1).ilog2().saturating_sub(WANTED_BITS).clamp(*PICKED_BITS.start(), *PICKED_BITS.end());
    let mut hash = 0u64;
    for (at, byte) in bytes.iter().enumerate() {
        hash = (hash << 1).wrapping_add(GEAR[usize::from(*byte)]);
        if hash >> (64 - bits) == 0 && at + 1 >= WINDOW {
            // A long run of one byte would pick every place, or none.
            if anchors.last().is_some_and(|last| last.hash == hash) {
                continue;
            }
            anchors.push(Anchor { at: at as u32 + 1, hash });
            if anchors.len() == MOST {
                break;
            }
        }
    }
    anchors
}

/// A random number for each byte (SplitMix64).
const GEAR: [u64; 256] = {
    let mut gear = [0; 256];
    let mut state = 0x736e_6170_616e_6368_u64;
    let mut byte = 0;
    while byte < 256 {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        gear[byte] = z ^ (z >> 31);
        byte += 1;
    }
    gear
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn hashes(bytes: &[u8]) -> HashSet<u64> {
        anchors(bytes).into_iter().map(|anchor| anchor.hash).collect()
    }

    #[test]
    fn about_one_place_in_4096_is_picked_and_none_twice() {
        let bytes = noise(1, 16 << 20);
        let picked: usize = bytes.chunks(1 << 18).map(|part| anchors(part).len()).sum();
        assert!((3_500..4_700).contains(&picked), "{picked}");
        assert!(anchors(&bytes).len() <= MOST);
        for same in [vec![0; 100_000], vec![7; 100_000], b"ab".repeat(50_000)] {
            assert!(anchors(&same).len() <= 512);
        }
        assert!(anchors(&bytes[..WINDOW - 1]).is_empty());
    }

    #[test]
    fn anchors_move_with_what_they_stand_in() {
        let bytes = noise(2, 200_000);
        let moved = [&noise(3, 12_345)[..], &bytes[5_000..]].concat();
        let (before, after) = (hashes(&bytes), hashes(&moved));
        let kept = before.intersection(&after).count();
        assert!(kept * 100 >= before.len() * 93, "{kept} of {}", before.len());
    }

    #[test]
    fn a_short_chunk_shares_anchors_with_a_long_one_that_holds_it() {
        let long = noise(5, 100_000);
        for length in [1_000, 5_000, 20_000] {
            let part = &long[50_000..50_000 + length];
            assert!((6..40).contains(&anchors(part).len()), "{}", anchors(part).len());
            let sparse = hashes(&long);
            let inside =
                anchors(&long).into_iter().filter(|anchor| (50_064..=50_000 + length as u32).contains(&anchor.at));
            assert!(inside.into_iter().all(|anchor| hashes(part).contains(&anchor.hash)));
            assert!(length < 20_000 || hashes(part).intersection(&sparse).count() > 0);
        }
    }

    #[test]
    fn few_anchors_are_lost_where_few_bytes_change() {
        let before = noise(4, 1 << 20);
        let mut after = before.clone();
        // A byte in every ten kB.
        (0..after.len()).step_by(10_007).for_each(|at| after[at] ^= 1);
        let (before, after) = (hashes(&before), hashes(&after));
        let kept = before.intersection(&after).count();
        assert!(kept * 100 >= before.len() * 97, "{kept} of {}", before.len());
    }
}
