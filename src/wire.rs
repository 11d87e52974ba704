//! How numbers and byte strings lie in the objects of a repository: little-endian, lengths before bytes.
//!
//! Everything that reads here works on bytes that may have been damaged or forged: nothing is allocated before the
//! bytes that would fill it are known to be there.

/// The bytes are not what they should be; says what was being read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Malformed {
    /// A malformed `what`.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Result of reading.
pub type Result<T> = std::result::Result<T, Malformed>;

/// Reads values one after the other from bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `length` bytes.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(Malformed(format!("{length} bytes expected where {} are left", self.rest.len()))),
        }
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A LEB128 number: 7 bits a byte, lowest first, the shortest form only.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Malformed::new("a number above 64 bits"));
            }
            value |= bits << shift;
            if byte < 0x80 {
                return match byte == 0 && shift > 0 {
                    true => Err(Malformed::new("a number not in its shortest form")),
                    false => Ok(value),
                };
            }
        }
        Err(Malformed::new("a number longer than 10 bytes"))
    }

    /// A LEB128 number that counts things of at least `each` bytes that follow, so it is bounded by what is left.
    pub fn count(&mut self, each: usize) -> Result<usize> {
        let count = self.varint()?;
        match usize::try_from(count) {
            Ok(count) if count.checked_mul(each.max(1)).is_some_and(|bytes| bytes <= self.rest.len()) => Ok(count),
            _ => Err(Malformed(format!("{count} items announced where {} bytes are left", self.rest.len()))),
        }
    }

    /// A byte string: its length as LEB128, then the bytes.
    pub fn string(&mut self) -> Result<&'a [u8]> {
        let length = self.count(1)?;
        self.bytes(length)
    }

    /// A byte string that must be UTF-8.
    pub fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.string()?).map_err(|_| Malformed::new("a text that is not UTF-8"))
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(Malformed(format!("{left} bytes too many"))),
        }
    }
}

/// Writes values at the end of a buffer, as [`Reader`] reads them.
pub trait Write {
    /// Bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// One byte.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Two bytes.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    /// Four bytes.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// Eight bytes.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// Eight bytes, signed.
    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }

    /// A LEB128 number.
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    /// A byte string: its length as LEB128, then the bytes.
    fn put_string(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.put(bytes);
    }
}

impl Write for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(a: u8, b: u16, c: u32, d: u64, e: i64, f: u64, g: Vec<u8>, shift in 0u32..64) {
            let mut bytes = Vec::new();
            bytes.put_u8(a);
            bytes.put_u16(b);
            bytes.put_u32(c);
            bytes.put_u64(d);
            bytes.put_i64(e);
            bytes.put_varint(f >> shift);
            bytes.put_string(&g);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!((reader.u8()?, reader.u16()?, reader.u32()?, reader.u64()?), (a, b, c, d));
            prop_assert_eq!((reader.i64()?, reader.varint()?), (e, f >> shift));
            prop_assert_eq!(reader.string()?, &g[..]);
            reader.finish()?;
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.varint().is_ok() && reader.string().is_ok() {}
        }
    }

    #[test]
    fn a_number_has_one_form_only() {
        for wrong in
            [&[0x80, 0][..], &[0xff; 10], &[0x80; 9], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(Reader::new(wrong).varint().is_err(), "{wrong:?}");
        }
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).varint(), Ok(u64::MAX));
    }

    #[test]
    fn a_count_is_bounded_by_what_is_left() {
        let mut bytes = Vec::new();
        bytes.put_varint(1 << 40);
        bytes.extend([0; 100]);
        assert!(Reader::new(&bytes).count(1).is_err());
        assert!(Reader::new(&bytes).string().is_err());
    }
}
