//! A bit writer for deflate's order (least significant bit first), 64 bits at a time.

/// Appends bits to a byte vector. Up to seven bits wait in the accumulator between calls.
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Where the next byte goes. The vector is longer while a block is written, so that whole words can be stored.
    at: usize,
    bits: u64,
    count: u32,
}

impl<'a> BitWriter<'a> {
    /// Bits that one [`Self::put`] may take: the accumulator holds 64, seven of which may be waiting.
    pub(crate) const MAX_PUT: u32 = 56;

    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        let at = out.len();
        Self { out, at, bits: 0, count: 0 }
    }

    /// Makes room for `bits` more bits. Must come before the calls of [`Self::put`] that need it.
    pub(crate) fn reserve(&mut self, bits: u64) {
        let bytes = usize::try_from(bits / 8).unwrap_or(usize::MAX / 4);
        // One word more than needed, since each store is of eight bytes.
        self.out.resize(self.at.saturating_add(bytes).saturating_add(16), 0);
    }

    /// Writes the low `count` bits of `value`; the bits above must be zero, `count` at most [`Self::MAX_PUT`].
    #[inline]
    pub(crate) fn put(&mut self, value: u64, count: u32) {
        debug_assert!(count <= Self::MAX_PUT && (count == 64 || value >> count == 0));
        self.bits |= value << (self.count & 63);
        self.count += count;
        let word = self.out.get_mut(self.at..).and_then(|rest| rest.first_chunk_mut::<8>());
        debug_assert!(word.is_some(), "reserve() promised too little");
        if let Some(word) = word {
            *word = self.bits.to_le_bytes();
        }
        self.at += (self.count >> 3) as usize;
        self.bits >>= self.count & 56;
        self.count &= 7;
    }

    /// Pads with zero bits up to the next byte.
    pub(crate) fn align(&mut self) {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
    }

    /// Appends whole bytes; the writer must be aligned.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.count, 0);
        self.out.truncate(self.at);
        self.out.extend_from_slice(bytes);
        self.at = self.out.len();
    }

    /// The complete bytes written since the vector had the length `from`.
    pub(crate) fn written(&self, from: usize) -> &[u8] {
        self.out.get(from..self.at).unwrap_or_default()
    }

    /// Pads the last byte and cuts the vector to what was written.
    pub(crate) fn finish(mut self) {
        self.reserve(64);
        self.align();
        self.out.truncate(self.at);
    }
}
