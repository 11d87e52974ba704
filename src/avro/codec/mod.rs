//! The codecs of Avro's blocks, and their decoders.
//!
//! A decoder takes bytes that anybody may have written: output is bounded by a limit, memory grows with what was really
//! decoded and not with what a header declares, and a wrong or short payload is an error, never a panic.
//!
//! What the codecs are: <https://avro.apache.org/docs/1.12.0/specification/#required-codecs>. Deflate is raw (RFC 1951,
//! no zlib header), snappy is followed by the big-endian CRC-32 of the decoded bytes, zstandard, bzip2 and xz are frames or
//! files, mostly one. Several of them end to end hold their contents end to end.

mod streams;
mod zstd_frames;

pub use streams::Decoder;

/// How long a decoded block may be at most, in bytes: 320 MiB. Writers make blocks of 16 kB to a few MB, some of 256 MiB
/// and the record that filled them.
pub const MAX_DECODED: usize = 320 << 20;

/// How much memory an xz payload may ask of its decoder, in bytes. The highest preset needs 65 MiB.
pub const XZ_MEMORY: u64 = 128 << 20;

/// A zstandard frame of no bytes, as libzstd makes it when the input ends before any byte came. Some writers leave one
/// after the frame of a block.
pub const EMPTY_ZSTD_FRAME: [u8; 9] = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00];

/// A codec of Avro's specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// The payload is the records.
    Null,
    /// Raw deflate.
    Deflate,
    /// Raw snappy and a CRC-32.
    Snappy,
    /// A zstandard frame.
    Zstandard,
    /// A bzip2 file.
    Bzip2,
    /// An xz file.
    Xz,
}

impl DecodeError {
    /// Whether the payload goes beyond what this program allows, so that nothing is known to be wrong with it.
    pub fn is_beyond_limits(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::Memory(_))
    }
}

impl Codec {
    /// All codecs.
    pub const ALL: [Self; 6] = [Self::Null, Self::Deflate, Self::Snappy, Self::Zstandard, Self::Bzip2, Self::Xz];

    /// The codec that `avro.codec` names, if it is known. A header without that key means [`Codec::Null`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// The name in `avro.codec`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Deflate => "deflate",
            Self::Snappy => "snappy",
            Self::Zstandard => "zstandard",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a payload cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload ends before its stream does.
    #[error("the {0} payload is cut short")]
    Truncated(Codec),
    /// The payload is not what the codec writes.
    #[error("the {codec} payload is damaged: {reason}")]
    Corrupt {
        /// Codec of the block.
        codec: Codec,
        /// What its decoder said.
        reason: &'static str,
    },
    /// The checksum is not that of the decoded bytes.
    #[error("the {0} payload does not have the checksum it carries")]
    Checksum(Codec),
    /// More bytes come out than are allowed.
    #[error("the {codec} payload decodes to more than {limit} bytes")]
    TooLarge {
        /// Codec of the block.
        codec: Codec,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The payload asks for more memory than is allowed.
    #[error("the {0} payload needs more memory than is allowed")]
    Memory(Codec),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_is_found_by_its_name() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
        }
        for unknown in ["", "Deflate", "zstd", "lz4", "gzip", "null "] {
            assert_eq!(Codec::from_name(unknown), None);
        }
    }
}
