//! Bits of bzip2 streams.

/// Bits of a stream, the highest of a byte first.
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits, at the lower end.
    held: u64,
    bits: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, held: 0, bits: 0 }
    }

    /// The next bits, 48 at most.
    pub(super) fn take(&mut self, count: u32) -> Result<u64, &'static str> {
        let value = self.peek(count);
        self.skip(count)?;
        Ok(value)
    }

    /// The next bits without taking them, 48 at most; zeros after the end.
    pub(super) fn peek(&mut self, count: u32) -> u64 {
        while self.bits <= 56
            && let Some((byte, rest)) = self.rest.split_first()
        {
            self.held = self.held << 8 | u64::from(*byte);
            self.bits += 8;
            self.rest = rest;
        }
        let value = match self.bits.checked_sub(count) {
            Some(left) => self.held >> left,
            None => self.held << (count - self.bits),
        };
        value & ((1 << count) - 1)
    }

    /// Takes bits that were peeked at.
    pub(super) fn skip(&mut self, count: u32) -> Result<(), &'static str> {
        self.bits = self.bits.checked_sub(count).ok_or("a stream that is cut off")?;
        Ok(())
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
