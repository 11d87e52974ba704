//! Compression of frames with Zstandard.

use zstd::bulk;
use zstd::zstd_safe::{ErrorCode, InBuffer, OutBuffer, ResetDirective, compress_bound, get_error_name};

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

    /// One Zstandard frame that holds all parts, end to end, with the border of a Zstandard block after each: so each
    /// part gets statistics of its own, and still finds what repeats the parts before it.
    pub fn compress_parts(&mut self, parts: &[&[u8]]) -> Result<Vec<u8>, CompressError> {
        let total = parts.iter().map(|part| part.len()).sum();
        // What is asked for is the bound for one run; each border takes a few bytes more.
        let mut bytes = Vec::with_capacity(compress_bound(total) + 16 * (parts.len() + 1));
        let failed = |code: ErrorCode| CompressError(get_error_name(code).to_owned());
        let context = self.0.context_mut();
        context.reset(ResetDirective::SessionOnly).map_err(failed)?;
        context.set_pledged_src_size(Some(total as u64)).map_err(failed)?;
        let mut output = OutBuffer::around(&mut bytes);
        for part in parts {
            let mut input = InBuffer::around(part);
            while input.pos() < part.len() {
                let before = input.pos();
                context.compress_stream(&mut output, &mut input).map_err(failed)?;
                if input.pos() == before {
                    return Err(CompressError("more bytes come out than there is room for".into()));
                }
            }
            if context.flush_stream(&mut output).map_err(failed)? > 0 {
                return Err(CompressError("more bytes come out than there is room for".into()));
            }
        }
        match context.end_stream(&mut output).map_err(failed)? {
            0 => Ok(bytes),
            _ => Err(CompressError("more bytes come out than there is room for".into())),
        }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Compressor(..)")
    }
}

/// Decompresses with a context that is used again and again.
pub struct Decompressor(pub(super) zstd::zstd_safe::DCtx<'static>);

impl Decompressor {
    /// A decompressor.
    pub fn new() -> Result<Self, CompressError> {
        zstd::zstd_safe::DCtx::try_create().map(Self).ok_or_else(CompressError::no_memory)
    }

    /// The plain bytes of one Zstandard frame, which must be exactly `length` of them.
    pub fn decompress(&mut self, bytes: &[u8], length: usize) -> Result<Vec<u8>, CompressError> {
        // Exactly the declared length is allocated: a frame that holds more fails, whatever it claims.
        let mut plain = Vec::with_capacity(length);
        self.0.decompress(&mut plain, bytes).map_err(CompressError::of_zstd)?;
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
    fn parts_are_one_frame_and_get_statistics_of_their_own() {
        let letters: Vec<u8> = (0..30_000u32).map(|i| b'a' + (i.wrapping_mul(2_654_435_761) >> 29) as u8).collect();
        let digits: Vec<u8> = (0..30_000u32).map(|i| b'0' + (i.wrapping_mul(2_246_822_519) >> 30) as u8).collect();
        let mut compressor = Compressor::new(3).unwrap();
        for parts in [&[&letters[..], &digits, &letters][..], &[&[], &digits, &[]], &[&[]], &[]] {
            let whole = parts.concat();
            let bytes = compressor.compress_parts(parts).unwrap();
            assert_eq!(Decompressor::new().unwrap().decompress(&bytes, whole.len()).unwrap(), whole);
            assert!(bytes.len() <= compressor.compress(&whole).unwrap().len() + 16, "{}", bytes.len());
        }
    }

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
