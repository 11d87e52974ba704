//! Frames: chunks of one kind, compressed together.

use serde::Serialize;

use super::chain::Chain;
use super::columnar::{self, Columnar};
use super::directory::FrameChunk;
use crate::chunk::{ChunkKind, CompressError, Compressor, Decompressor, RecordShape, compress_delta, decompress_delta};
use crate::id::ChunkId;

/// How the plain bytes of a frame become the bytes that are sealed. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[repr(u8)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// The chunks, end to end.
    Raw = 0,
    /// One Zstandard frame over the chunks, end to end.
    Zstd = 1,
    /// One chunk as the difference to its base chunks.
    Delta = 2,
    /// Records transposed into columns.
    Columnar = 3,
}

impl Encoding {
    /// All encodings.
    pub const ALL: [Encoding; 4] = [Self::Raw, Self::Zstd, Self::Delta, Self::Columnar];

    /// The encoding with this number in the format.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| *encoding as u8 == number)
    }
}

/// A chunk that is to go into a frame.
#[derive(Debug, Clone)]
pub struct PlainChunk {
    /// The chunk's id.
    pub id: ChunkId,
    /// The plain bytes of the chunk.
    pub bytes: Vec<u8>,
}

/// A frame that is ready to be sealed.
#[derive(Debug, Clone)]
pub struct EncodedFrame {
    /// What its chunks hold.
    pub kind: ChunkKind,
    /// How it is encoded.
    pub encoding: Encoding,
    /// The chunks, in order.
    pub chunks: Vec<FrameChunk>,
    /// The encoded bytes.
    pub body: Vec<u8>,
    /// Where it stands if it is a delta.
    pub chain: Option<Chain>,
}

/// A frame could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is a delta, and was to be read without its bases.
    #[error("it cannot be read without its bases")]
    NoBase,
    /// Its length is not what its chunks come to.
    #[error("it holds {found} bytes where its chunks have {expected}")]
    Length {
        /// How many bytes it holds.
        found: usize,
        /// How many bytes its chunks have together.
        expected: usize,
    },
    /// Its columns do not make up records.
    #[error("its columns are not sound: {0}")]
    Columns(&'static str),
    /// The compressor says no.
    #[error(transparent)]
    Compress(#[from] CompressError),
}

/// Encodes and decodes frames, with contexts that are used again and again. One for each thread.
#[derive(Debug)]
pub struct FrameCodec {
    compressor: Option<Compressor>,
    decompressor: Decompressor,
    columnar: Columnar,
}

/// Below this many bytes compressing is not worth its own frame header.
const MIN_COMPRESSED: usize = 64;

impl FrameCodec {
    /// A codec that compresses at this Zstandard level, or not at all.
    pub fn new(level: Option<i32>) -> Result<Self, CompressError> {
        Ok(Self {
            compressor: level.map(Compressor::new).transpose()?,
            decompressor: Decompressor::new()?,
            columnar: Columnar::default(),
        })
    }

    /// Encodes a frame. What the compressor made is decoded and compared; where it differs, or where it saves nothing,
    /// the bytes are kept plainly.
    pub fn encode(&mut self, kind: ChunkKind, chunks: &[PlainChunk]) -> EncodedFrame {
        self.encode_shaped(kind, chunks, None)
    }

    /// The same for whole records of this shape: column by column, where that works and saves something.
    pub fn encode_records(&mut self, chunks: &[PlainChunk], shape: &RecordShape) -> EncodedFrame {
        self.encode_shaped(ChunkKind::Records, chunks, Some(shape))
    }

    fn encode_shaped(&mut self, kind: ChunkKind, chunks: &[PlainChunk], shape: Option<&RecordShape>) -> EncodedFrame {
        let mut plain = Vec::with_capacity(chunks.iter().map(|chunk| chunk.bytes.len()).sum());
        for chunk in chunks {
            plain.extend_from_slice(&chunk.bytes);
        }
        let listed = chunks.iter().map(|chunk| FrameChunk { id: chunk.id, length: chunk.bytes.len() as u32 }).collect();
        let columns = shape
            .and_then(|shape| self.columnar.encode(shape, &plain, self.compressor.as_mut()?, &mut self.decompressor));
        let (encoding, body) = match columns {
            Some(body) => (Encoding::Columnar, body),
            None => match self.compressed(&plain) {
                Some(body) => (Encoding::Zstd, body),
                None => (Encoding::Raw, plain),
            },
        };
        EncodedFrame { kind, encoding, chunks: listed, body, chain: None }
    }

    /// Encodes one chunk as the difference to the plain bytes of its bases, end to end. What came out is decoded and
    /// compared. None if it differs, or takes more than `limit` bytes.
    pub fn encode_delta(
        &mut self,
        kind: ChunkKind,
        chunk: &PlainChunk,
        base: &[u8],
        chain: Chain,
        limit: usize,
    ) -> Option<EncodedFrame> {
        let body = compress_delta(&chunk.bytes, base, limit).ok().flatten()?;
        let back = self.decode_delta(&body, base, chunk.bytes.len()).ok()?;
        let chunks = vec![FrameChunk { id: chunk.id, length: chunk.bytes.len() as u32 }];
        let frame = EncodedFrame { kind, encoding: Encoding::Delta, chunks, body, chain: Some(chain) };
        (back == chunk.bytes).then_some(frame)
    }

    /// The plain bytes of a delta, which must be exactly `length` of them, from those of its bases, end to end.
    pub fn decode_delta(&mut self, body: &[u8], base: &[u8], length: usize) -> Result<Vec<u8>, DecodeError> {
        Ok(decompress_delta(&mut self.decompressor, body, base, length)?)
    }

    fn compressed(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        let compressor = self.compressor.as_mut().filter(|_| plain.len() >= MIN_COMPRESSED)?;
        let body = compressor.compress(plain).ok().filter(|body| body.len() < plain.len())?;
        let back = self.decompressor.decompress(&body, plain.len()).ok()?;
        (back == plain).then_some(body)
    }

    /// The shape of the records of a frame of `length` plain bytes, where it is columnar.
    pub fn shape_of(&mut self, encoding: Encoding, body: &[u8], length: usize) -> Option<RecordShape> {
        match encoding {
            Encoding::Columnar => columnar::shape(body, length, &mut self.decompressor),
            Encoding::Raw | Encoding::Zstd | Encoding::Delta => None,
        }
    }

    /// The plain bytes of a frame, which must be exactly `length` of them.
    pub fn decode(&mut self, encoding: Encoding, body: &[u8], length: usize) -> Result<Vec<u8>, DecodeError> {
        match encoding {
            Encoding::Raw if body.len() == length => Ok(body.to_vec()),
            Encoding::Raw => Err(DecodeError::Length { found: body.len(), expected: length }),
            Encoding::Zstd => Ok(self.decompressor.decompress(body, length)?),
            Encoding::Delta => Err(DecodeError::NoBase),
            Encoding::Columnar => columnar::decode(body, length, &mut self.decompressor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChunkHasher;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_is_decoded_to_what_it_was(chunks: Vec<Vec<u8>>, repeat in 1usize..50, level in prop::option::of(1..4i32)) {
            let hasher = ChunkHasher::open();
            let chunks: Vec<_> = chunks
                .into_iter()
                .map(|bytes| bytes.repeat(repeat))
                .map(|bytes| PlainChunk { id: hasher.id(&bytes), bytes })
                .collect();
            let plain: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
            let mut codec = FrameCodec::new(level).unwrap();
            let frame = codec.encode(ChunkKind::Bytes, &chunks);
            prop_assert_eq!(codec.decode(frame.encoding, &frame.body, plain.len()).unwrap(), plain.clone());
            prop_assert!(codec.decode(frame.encoding, &frame.body, plain.len() + 1).is_err());
            prop_assert!(frame.body.len() <= plain.len());
        }
    }
}
