//! Avro's `int` and `long`: zig-zag numbers of 1 to 10 bytes, 7 bits a byte, lowest first ("Primitive Types" under
//! "Binary encoding" in the Avro specification 1.12).
//!
//! The specification does not ask for the shortest form, so a number padded with `80 .. 00` is read too, and of the tenth
//! byte only the lowest bit counts, as readers have it; to write the same bytes again, look at
//! [`Long::canonical`].

/// The most bytes a number can take.
pub const MAX_LENGTH: usize = 10;

/// A number as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Long {
    /// The number, after undoing the zig-zag.
    pub value: i64,
    /// How many bytes it took, 1 to 10.
    pub used: usize,
    /// Whether this is the shortest form, the one that [`encode`] makes.
    pub canonical: bool,
}

/// Why no number could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes end within the number; with more of them there may be one.
    #[error("the bytes end within a number")]
    Short,
    /// No more bytes can make it a number.
    #[error("a number longer than 10 bytes")]
    TooLong,
}

/// The number at the start of `bytes`.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<Long, Fault> {
    match *bytes {
        [a, ..] if a < 0x80 => Ok(Long { value: unzigzag(u64::from(a)), used: 1, canonical: true }),
        [a, b, ..] if b < 0x80 => {
            let bits = u64::from(a & 0x7f) | u64::from(b) << 7;
            Ok(Long { value: unzigzag(bits), used: 2, canonical: b != 0 })
        }
        _ => decode_long(bytes),
    }
}

/// [`decode`] for numbers of any length.
#[cold]
fn decode_long(bytes: &[u8]) -> Result<Long, Fault> {
    let mut bits = 0u64;
    for (i, &byte) in bytes.iter().enumerate().take(MAX_LENGTH) {
        if i == MAX_LENGTH - 1 && byte >= 0x80 {
            return Err(Fault::TooLong);
        }
        bits |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            let canonical = (byte != 0 || i == 0) && (i < MAX_LENGTH - 1 || byte == 1);
            return Ok(Long { value: unzigzag(bits), used: i + 1, canonical });
        }
    }
    Err(Fault::Short)
}

/// Appends `value` in its shortest form.
pub fn encode(out: &mut Vec<u8>, value: i64) {
    let mut bits = (value << 1 ^ value >> 63) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// The number that zig-zag coding turned into `bits`: 0, -1, 1, -2, ...
#[inline(always)]
pub fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, value);
        out
    }

    #[test]
    fn the_examples_of_the_specification() {
        for (value, bytes) in
            [(0, &[0][..]), (-1, &[1]), (1, &[2]), (-2, &[3]), (2, &[4]), (-64, &[0x7f]), (64, &[0x80, 1])]
        {
            assert_eq!(encoded(value), bytes);
            assert_eq!(decode(bytes), Ok(Long { value, used: bytes.len(), canonical: true }));
        }
    }

    #[test]
    fn a_padded_number_is_read_and_recognized() {
        assert_eq!(decode(&[0x82, 0]), Ok(Long { value: 1, used: 2, canonical: false }));
        assert_eq!(decode(&[0x82, 0x80, 0, 9]), Ok(Long { value: 1, used: 3, canonical: false }));
        let longest = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0];
        assert_eq!(decode(&longest), Ok(Long { value: 0, used: 10, canonical: false }));
    }

    #[test]
    fn what_could_go_on_is_short_and_what_could_not_is_too_long() {
        for length in 0..10 {
            assert_eq!(decode(&vec![0xff; length]), Err(Fault::Short), "{length}");
        }
        assert_eq!(decode(&[0xff; 10]), Err(Fault::TooLong));
        let dropped = decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3]);
        assert_eq!(dropped, Ok(Long { value: i64::MIN, used: 10, canonical: false }));
        assert_eq!(decode(&encoded(i64::MIN)).map(|long| long.used), Ok(10));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value: i64, shift in 0u32..64, tail: Vec<u8>) {
            let value = value >> shift;
            let mut bytes = encoded(value);
            let used = bytes.len();
            prop_assert!(used <= MAX_LENGTH);
            for cut in 0..used {
                prop_assert_eq!(decode(&bytes[..cut]), Err(Fault::Short));
            }
            bytes.extend(tail);
            prop_assert_eq!(decode(&bytes), Ok(Long { value, used, canonical: true }));
        }

        #[test]
        fn canonical_is_what_encode_makes(bytes: Vec<u8>) {
            if let Ok(long) = decode(&bytes) {
                prop_assert_eq!(long.canonical, encoded(long.value) == bytes[..long.used]);
            }
        }
    }
}
