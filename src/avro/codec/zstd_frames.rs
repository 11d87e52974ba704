//! How long the content of zstandard frames can be at most, whatever their headers declare (RFC 8878, 3.1.1).

/// No block decodes to more.
const MOST_IN_BLOCK: u64 = 128 << 10;

/// An upper bound of what the frames end to end decode to, from the heads of their blocks. Where they are not sound, of
/// what stands before.
pub(super) fn most_content(frames: &[u8]) -> u64 {
    let (mut rest, mut most) = (frames, 0);
    while let Some(after) = frame(rest, &mut most) {
        rest = after;
    }
    most
}

/// Adds what a frame may hold; returns what stands after it.
fn frame<'p>(bytes: &'p [u8], most: &mut u64) -> Option<&'p [u8]> {
    let magic = u32::from_le_bytes(*bytes.first_chunk()?);
    if magic & 0xffff_fff0 == 0x184d_2a50 {
        let length = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
        return bytes.get(8 + usize::try_from(length).ok()?..);
    }
    let descriptor = *bytes.get(4)?;
    let single_segment = descriptor & 0x20 != 0;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content_size = [usize::from(single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
    let mut rest = bytes.get(5 + usize::from(!single_segment) + dictionary + content_size..)?;
    loop {
        let [a, b, c, after @ ..] = rest else { return None };
        let head = u32::from_le_bytes([*a, *b, *c, 0]);
        let size = head >> 3;
        let (stored, holds) = match head >> 1 & 3 {
            0 => (size, u64::from(size)),
            1 => (1, u64::from(size)),
            _ => (size, MOST_IN_BLOCK),
        };
        *most += holds;
        rest = after.get(usize::try_from(stored).ok()?..)?;
        if head & 1 == 1 {
            let checksum = if descriptor & 4 != 0 { 4 } else { 0 };
            return rest.get(checksum..);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::codec::{Codec, DecodeError, Decoder};
    use crate::avro::encoder::Encoders;

    fn frame_of(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Encoders::new().encode(&"zstd-1.5.7:once:L3:C".parse().unwrap(), plain, &mut out).unwrap();
        out
    }

    #[test]
    fn what_frames_may_hold_is_no_less_than_what_they_hold() {
        for length in [0, 1, 1000, 200_000, 1 << 20] {
            let one = frame_of(&vec![7; length]);
            let two = [&one[..], &[0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9], &one].concat();
            let most = most_content(&one);
            assert!(most >= length as u64 && most <= length as u64 + 2 * MOST_IN_BLOCK, "{length} {most}");
            assert_eq!(most_content(&two), 2 * most);
        }
    }

    #[test]
    fn a_frame_that_declares_too_much_is_damaged_and_not_too_large() {
        // One raw block of a byte, in a frame that says it has 4 GiB.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0xff, 0xff, 0xff, 0xff, 0x09, 0, 0, 7];
        let mut decoder = Decoder::new();
        let result = decoder.decode(Codec::Zstandard, &frame, 1000, &mut Vec::new());
        assert!(matches!(result, Err(DecodeError::Corrupt { .. })), "{result:?}");
        let result = decoder.decode(Codec::Zstandard, &frame_of(&vec![7; 300_000]), 1000, &mut Vec::new());
        assert!(matches!(result, Err(DecodeError::TooLarge { .. })), "{result:?}");
    }
}
