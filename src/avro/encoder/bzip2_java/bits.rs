//! Bits of bzip2 streams.

/// Bits of a stream, the highest of a byte first.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next bits, 48 at most.
    pub(super) fn take(&mut self, count: usize) -> Result<u64, &'static str> {
        let (byte, skipped) = (self.at / 8, self.at % 8);
        let end = (self.at + count).div_ceil(8);
        let bytes = self.bytes.get(byte..end).ok_or("a stream that is cut off")?;
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        self.at += count;
        Ok(value >> (bytes.len() * 8 - skipped - count) & ((1 << count) - 1))
    }
}

/// Writes bits, the highest of a byte first.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    bits: u32,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, held: 0, bits: 0 }
    }

    /// Appends bits, 32 at most.
    pub(super) fn put(&mut self, count: u32, value: u64) {
        self.held = self.held << count | value;
        self.bits += count;
        while self.bits >= 8 {
            self.bits -= 8;
            self.out.push((self.held >> self.bits) as u8);
        }
    }

    pub(super) fn flush(&mut self) {
        if self.bits > 0 {
            self.put(8 - self.bits, 0);
        }
    }
}
