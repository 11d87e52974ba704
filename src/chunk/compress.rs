//! Compression of frames with Zstandard.

use zstd::bulk;

/// Compressing or decompressing failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CompressError(pub(super) String);

impl CompressError {
    pub(super) fn of_zstd(code: zstd::zstd_safe::ErrorCode) -> Self {
        Self(zstd::zstd_safe::get_error_name(code).to_owned())
    }

    pub(super) fn no_memory() -> Self {
        Self("there is no memory for a context of the compressor".into())
    }
}

/// Compresses with a context that is used again and again.
pub struct Compressor(bulk::Compressor<'static>);

impl Compressor {
    /// A compressor of this Zstandard level.
    pub fn new(level: i32) -> Result<Self, CompressError> {
        bulk::Compressor::new(level).map(Self).map_err(|e| CompressError(e.to_string()))
    }

    /// One Zstandard frame that holds `plain`.
    pub fn compress(&mut self, plain: &[u8]) -> Result<Vec<u8>, CompressError> {
        self.0.compress(plain).map_err(|e| CompressError(e.to_string()))
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor(..)")
    }
}

/// Decompresses with a context that is used again and again.
pub struct Decompressor(bulk::Decompressor<'static>);

impl Decompressor {
    /// A decompressor.
    pub fn new() -> Result<Self, CompressError> {
        bulk::Decompressor::new().map(Self).map_err(|e| CompressError(e.to_string()))
    }

    /// The plain bytes of one Zstandard frame, which must be exactly `length` of them.
    pub fn decompress(&mut self, bytes: &[u8], length: usize) -> Result<Vec<u8>, CompressError> {
        // Exactly the declared length is allocated: a frame that would give more fails, whatever it claims.
        let plain = self.0.decompress(bytes, length).map_err(|e| CompressError(e.to_string()))?;
        match plain.len() == length {
            true => Ok(plain),
            false => Err(CompressError(format!("{} bytes came out where {length} were expected", plain.len()))),
        }
    }
}

impl std::fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decompressor(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_declared_length_comes_out() {
        let plain = vec![7; 100_000];
        let bytes = Compressor::new(3).unwrap().compress(&plain).unwrap();
        let mut decompressor = Decompressor::new().unwrap();
        assert_eq!(decompressor.decompress(&bytes, plain.len()).unwrap(), plain);
        assert!(decompressor.decompress(&bytes, plain.len() - 1).is_err());
        assert!(decompressor.decompress(&bytes, plain.len() + 1).is_err());
        assert!(decompressor.decompress(&bytes[..bytes.len() - 1], plain.len()).is_err());
    }
}
