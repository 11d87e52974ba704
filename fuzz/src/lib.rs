//! What the fuzz targets do with the bytes that they are given. Every function takes any bytes and must neither panic,
//! nor hang, nor take much memory; what it asserts besides says its own comment.

pub mod avro;
pub mod deflate;
pub mod recipe;
pub mod repository;

/// Takes a fuzzer's bytes apart; gives zeros and nothing where they end.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    /// The next two bytes as a number.
    pub fn short(&mut self) -> usize {
        usize::from(self.byte()) | usize::from(self.byte()) << 8
    }

    /// So many bytes, or as many as there are.
    pub fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes with their length before them.
    pub fn part(&mut self) -> &'a [u8] {
        let length = self.short();
        self.take(length)
    }
}
