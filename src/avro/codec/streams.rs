//! One decoder for all codecs, with the state that is worth keeping from block to block.

use super::{Codec, DecodeError, EMPTY_ZSTD_FRAME, XZ_MEMORY, zstd_frames};

/// The room that a first attempt takes: writers compress records to a quarter or so.
const FIRST_RATIO: usize = 4;
/// ... and at least this many bytes.
const FIRST_ROOM: usize = 16 << 10;
/// Snappy's densest element makes 64 bytes out of 3, so no payload decodes to more than this many times its length.
const SNAPPY_RATIO: usize = 22;
/// A zstandard frame begins with this. The formats before 1.0 are not Avro's.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A skippable frame, which holds no content, begins with these but for the low half of the first byte.
const ZSTD_SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
/// An xz stream begins with this. Before a further one any number of NULs may stand, four at a time.
const XZ_MAGIC: [u8; 6] = *b"\xfd7zXZ\0";

/// Whether a deflate stream or a zstandard frame must come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Needed,
    Free,
}

/// Decodes payloads, one after the other. Not tied to a thread; one for each is best.
pub struct Decoder {
    inflate: zlib_rs::Inflate,
    snappy: snap::raw::Decoder,
    zstd: Option<zstd_safe::DCtx<'static>>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoder(..)")
    }
}

impl Decoder {
    /// A decoder, with about 40 kB of state for deflate; the state of others is made when they come.
    pub fn new() -> Self {
        Self { inflate: zlib_rs::Inflate::new(false, 15), snappy: snap::raw::Decoder::new(), zstd: None }
    }

    /// Puts what `payload` decodes to in `out`, **in place of** what was there, and returns the number of payload bytes
    /// that the compressed streams took; the rest is the tail.
    ///
    /// Streams that stand end to end (zstandard frames, bzip2 and xz streams) are all decoded, as their formats have it. A last
    /// zstandard frame that is [`EMPTY_ZSTD_FRAME`] is checked, and counts as the tail.
    /// A payload of no bytes decodes to no bytes, whatever the codec: nothing can be missing from it.
    ///
    /// A buffer used again and not cleared between calls is fastest: it is neither grown nor zeroed again. Its capacity
    /// becomes at most four times the payload or twice the decoded bytes (with 128 KiB to spare), and never more than
    /// `limit` and one byte.
    ///
    /// # Errors
    /// If more than `limit` bytes come out, the payload is cut short or damaged, or a checksum is wrong. `out` is then
    /// empty.
    pub fn decode(
        &mut self,
        codec: Codec,
        payload: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, DecodeError> {
        self.decode_with(codec, payload, limit, out, Ending::Needed)
    }

    /// [`decode`](Self::decode), but a deflate stream and the last zstandard frame need not come to their end: some
    /// writers flush a stream and never finish it, and readers take what there is. Whether that is all, only walking the records
    /// shows: it must not be used where they are not counted.
    ///
    /// # Errors
    /// As of [`decode`](Self::decode).
    pub fn decode_unfinished(
        &mut self,
        codec: Codec,
        payload: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, DecodeError> {
        self.decode_with(codec, payload, limit, out, Ending::Free)
    }

    fn decode_with(
        &mut self,
        codec: Codec,
        payload: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
        ending: Ending,
    ) -> Result<usize, DecodeError> {
        if payload.is_empty() {
            out.clear();
            return Ok(0);
        }
        let limit = limit.min(isize::MAX as usize - 1);
        let result = match codec {
            Codec::Null => null(payload, limit, out),
            Codec::Deflate => self.deflate(payload, limit, out, ending),
            Codec::Snappy => self.snappy(payload, limit, out),
            Codec::Zstandard => self.zstandard(payload, limit, out, ending),
            Codec::Bzip2 => bzip2(payload, limit, out),
            Codec::Xz => xz(payload, limit, out),
        };
        if result.is_err() {
            out.clear();
        }
        result
    }

    fn deflate(
        &mut self,
        payload: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
        ending: Ending,
    ) -> Result<usize, DecodeError> {
        use zlib_rs::{InflateFlush, Status};
        let codec = Codec::Deflate;
        self.inflate.reset(false);
        // What the buffer holds from before is room that need not be zeroed again.
        out.truncate(limit + 1);
        if out.len() < first_room(payload, limit) {
            lengthen(out, first_room(payload, limit));
        }
        let (mut read, mut written) = (0, 0);
        loop {
            if written == out.len() {
                if written > limit {
                    return Err(DecodeError::TooLarge { codec, limit });
                }
                lengthen(out, next_room(written, limit));
            }
            let status = self.inflate.decompress(&payload[read..], &mut out[written..], InflateFlush::NoFlush);
            let before = (read, written);
            (read, written) = (self.inflate.total_in() as usize, self.inflate.total_out() as usize);
            match status {
                Ok(Status::StreamEnd) => break,
                Ok(_) if (read, written) == before && ending == Ending::Free => break,
                Ok(_) if (read, written) == before => return Err(DecodeError::Truncated(codec)),
                Ok(_) => {}
                Err(error) => return Err(DecodeError::Corrupt { codec, reason: error.as_str() }),
            }
        }
        out.truncate(written);
        if written > limit { Err(DecodeError::TooLarge { codec, limit }) } else { Ok(read) }
    }

    fn snappy(&mut self, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<usize, DecodeError> {
        let codec = Codec::Snappy;
        let (stream, crc) = payload.split_last_chunk::<4>().ok_or(DecodeError::Truncated(codec))?;
        let corrupt = |error| match error {
            snap::Error::Empty => DecodeError::Truncated(codec),
            snap::Error::Header => DecodeError::Corrupt { codec, reason: "no length" },
            snap::Error::HeaderMismatch { .. } => {
                DecodeError::Corrupt { codec, reason: "another length than declared" }
            }
            _ => DecodeError::Corrupt { codec, reason: "no valid elements" },
        };
        let length = snap::raw::decompress_len(stream).map_err(corrupt)?;
        // First what cannot be true, so that a damaged length is not taken for a long block.
        if length > stream.len().saturating_mul(SNAPPY_RATIO) {
            return Err(DecodeError::Truncated(codec));
        }
        if length > limit {
            return Err(DecodeError::TooLarge { codec, limit });
        }
        out.truncate(length);
        lengthen(out, length);
        self.snappy.decompress(stream, out).map_err(corrupt)?;
        match crc32fast::hash(out) == u32::from_le_bytes(*crc).swap_bytes() {
            true => Ok(payload.len()),
            false => Err(DecodeError::Checksum(codec)),
        }
    }

    /// Decodes in one go into a buffer that doubles until the frames fit: a window as large as a frame header may ask for
    /// is then never allocated, whatever it says.
    fn zstandard(
        &mut self,
        payload: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
        ending: Ending,
    ) -> Result<usize, DecodeError> {
        use zstd_safe::zstd_sys::ZSTD_ErrorCode as Code;
        let codec = Codec::Zstandard;
        let length = match whole_frames(payload) {
            Err(DecodeError::Truncated(_)) if ending == Ending::Free => {
                return unfinished_frames(payload, limit, out);
            }
            checked => checked?,
        };
        let context = match &mut self.zstd {
            Some(context) => context,
            none => none.insert(zstd_safe::DCtx::try_create().ok_or(DecodeError::Memory(codec))?),
        };
        out.clear();
        out.reserve_exact(first_room(payload, limit));
        loop {
            match context.decompress(out, payload) {
                Ok(_) if out.len() > limit => return Err(DecodeError::TooLarge { codec, limit }),
                Ok(_) => return Ok(length),
                Err(code) if is(code, Code::ZSTD_error_dstSize_tooSmall) && out.capacity() > limit => {
                    // The frame may only say that it is so long.
                    return Err(match zstd_frames::most_content(payload) > limit as u64 {
                        true => DecodeError::TooLarge { codec, limit },
                        false => DecodeError::Corrupt { codec, reason: "another length than declared" },
                    });
                }
                // Real output filled the room, but for the last part of a block, which is 128 KiB at most.
                Err(code) if is(code, Code::ZSTD_error_dstSize_tooSmall) => {
                    let room = next_room(out.capacity().max(64 << 10), limit);
                    out.clear();
                    out.reserve_exact(room);
                }
                Err(code) => return Err(zstd_error(code)),
            }
        }
    }
}

fn is(code: zstd_safe::ErrorCode, kind: zstd_safe::zstd_sys::ZSTD_ErrorCode) -> bool {
    zstd_safe::is_error_kind(code, kind)
}

fn zstd_error(code: zstd_safe::ErrorCode) -> DecodeError {
    use zstd_safe::zstd_sys::ZSTD_ErrorCode as Code;
    let codec = Codec::Zstandard;
    match code {
        code if is(code, Code::ZSTD_error_srcSize_wrong) => DecodeError::Truncated(codec),
        code if is(code, Code::ZSTD_error_checksum_wrong) => DecodeError::Checksum(codec),
        code if is(code, Code::ZSTD_error_memory_allocation) => DecodeError::Memory(codec),
        code => DecodeError::Corrupt { codec, reason: zstd_safe::get_error_name(code) },
    }
}

/// How long the zstandard frames are that stand here end to end, without a last one that is a tail. They must be whole as far
/// as their lengths say. Every reader refuses what is no frame, also after the first one.
fn whole_frames(payload: &[u8]) -> Result<usize, DecodeError> {
    let codec = Codec::Zstandard;
    let mut rest = payload;
    while !rest.is_empty() {
        let before = payload.len() - rest.len();
        if before > 0 && *rest == EMPTY_ZSTD_FRAME {
            return Ok(before);
        }
        if !begins_frame(rest) {
            return Err(match rest.len() < ZSTD_MAGIC.len() && may_begin_frame(rest) {
                true => DecodeError::Truncated(codec),
                false => DecodeError::Corrupt { codec, reason: "not a frame" },
            });
        }
        let length = zstd_safe::find_frame_compressed_size(rest).map_err(zstd_error)?;
        rest = rest.get(length.max(1)..).ok_or(DecodeError::Truncated(codec))?;
    }
    Ok(payload.len())
}

/// Decodes what there is of frames the last of which is cut short. This needs the window that the frame asks for, which
/// zstandard bounds by 128 MiB, and which is used no further than it is filled.
fn unfinished_frames(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<usize, DecodeError> {
    let codec = Codec::Zstandard;
    let mut context = zstd_safe::DCtx::try_create().ok_or(DecodeError::Memory(codec))?;
    let mut input = zstd_safe::InBuffer::around(payload);
    out.clear();
    out.reserve_exact(first_room(payload, limit));
    loop {
        if out.len() == out.capacity() {
            out.reserve_exact(next_room(out.len(), limit) - out.len());
        }
        let (read, written) = (input.pos(), out.len());
        let mut output = zstd_safe::OutBuffer::around_pos(out, written);
        context.decompress_stream(&mut output, &mut input).map_err(zstd_error)?;
        if out.len() > limit {
            return Err(DecodeError::TooLarge { codec, limit });
        }
        let has_room = out.len() < out.capacity();
        if (input.pos(), out.len()) == (read, written) || has_room && input.pos() == payload.len() {
            return Ok(payload.len());
        }
    }
}

fn null(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<usize, DecodeError> {
    if payload.len() > limit {
        return Err(DecodeError::TooLarge { codec: Codec::Null, limit });
    }
    out.clear();
    out.extend_from_slice(payload);
    Ok(payload.len())
}

fn bzip2(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<usize, DecodeError> {
    use bzip2::{Error, Status};
    let codec = Codec::Bzip2;
    out.clear();
    let mut read = 0;
    loop {
        let rest = payload.get(read..).unwrap_or_default();
        let mut stream = bzip2::Decompress::new(false);
        read += drain(codec, rest, limit, out, |rest, out| {
            let before = stream.total_in();
            let status = stream.decompress_vec(rest, out).map_err(|error| match error {
                Error::DataMagic => DecodeError::Corrupt { codec, reason: "not a bzip2 file" },
                Error::Data => DecodeError::Corrupt { codec, reason: "damaged, or a wrong checksum" },
                Error::Sequence | Error::Param => DecodeError::Corrupt { codec, reason: "refused by the decoder" },
            })?;
            match status {
                Status::MemNeeded => Err(DecodeError::Memory(codec)),
                status => Ok(((stream.total_in() - before) as usize, status == Status::StreamEnd)),
            }
        })?;
        if !begins_bzip2(payload.get(read..).unwrap_or_default()) {
            return Ok(read);
        }
    }
}

/// Whether a bzip2 stream begins here: its magic, and that of its first block or of its end.
fn begins_bzip2(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
            | [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..]
    )
}

fn xz(payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<usize, DecodeError> {
    use liblzma::stream::{Action, Error, Status, Stream};
    let codec = Codec::Xz;
    out.clear();
    let mut read = 0;
    loop {
        let rest = payload.get(read..).unwrap_or_default();
        // Python's readers also take the older `.lzma`, which has no magic; it stands alone.
        let stream = match read > 0 || rest.starts_with(&XZ_MAGIC) || XZ_MAGIC.starts_with(rest) {
            true => Stream::new_stream_decoder(XZ_MEMORY, 0),
            false => Stream::new_lzma_decoder(XZ_MEMORY),
        };
        let mut stream = stream.map_err(|_| DecodeError::Memory(codec))?;
        read += drain(codec, rest, limit, out, |rest, out| {
            let before = stream.total_in();
            let status = stream.process_vec(rest, out, Action::Run).map_err(|error| match error {
                Error::MemLimit | Error::Mem => DecodeError::Memory(codec),
                Error::Format => DecodeError::Corrupt { codec, reason: "not an xz file" },
                Error::Options | Error::UnsupportedCheck => DecodeError::Corrupt { codec, reason: "unknown options" },
                _ => DecodeError::Corrupt { codec, reason: "damaged, or a wrong checksum" },
            })?;
            Ok(((stream.total_in() - before) as usize, status == Status::StreamEnd))
        })?;
        let rest = payload.get(read..).unwrap_or_default();
        let padding = rest.iter().take_while(|byte| **byte == 0).count() & !3;
        if !rest.get(padding..).is_some_and(|next| next.starts_with(&XZ_MAGIC)) {
            return Ok(read);
        }
        read += padding;
    }
}

/// Runs a decoder that fills a vector's spare room until its stream ends; what is in the vector stays. A step takes the
/// payload that is left and says how much of it was read, and whether the stream has ended.
fn drain(
    codec: Codec,
    payload: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
    mut step: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(usize, bool), DecodeError>,
) -> Result<usize, DecodeError> {
    let room = first_room(payload, limit).max(out.len().saturating_add(1).min(limit + 1));
    out.reserve_exact(room.saturating_sub(out.len()));
    let mut read = 0;
    loop {
        if out.len() == out.capacity() && out.len() <= limit {
            out.reserve_exact(next_room(out.len(), limit) - out.len());
        }
        let before = out.len();
        let (taken, ended) = step(&payload[read..], out)?;
        read += taken;
        if out.len() > limit {
            return Err(DecodeError::TooLarge { codec, limit });
        }
        if ended {
            return Ok(read);
        }
        // There was room, so a step without progress lacks input.
        if taken == 0 && out.len() == before {
            return Err(DecodeError::Truncated(codec));
        }
    }
}

/// Whether a zstandard frame of either kind may begin here, where there are too few bytes for its magic.
fn may_begin_frame(bytes: &[u8]) -> bool {
    let [first, rest @ ..] = bytes else { return false };
    ZSTD_MAGIC.starts_with(bytes) || (first & 0xf0 == ZSTD_SKIPPABLE[0] && ZSTD_SKIPPABLE[1..].starts_with(rest))
}

/// Whether a zstandard frame begins here, of either kind.
fn begins_frame(bytes: &[u8]) -> bool {
    let [first, rest @ ..] = bytes else { return false };
    bytes.starts_with(&ZSTD_MAGIC) || (first & 0xf0 == ZSTD_SKIPPABLE[0] && rest.starts_with(&ZSTD_SKIPPABLE[1..]))
}

/// Makes `out` `length` bytes long, which is not shorter than it is, and no longer inside.
fn lengthen(out: &mut Vec<u8>, length: usize) {
    out.reserve_exact(length.saturating_sub(out.len()));
    out.resize(length, 0);
}

/// The room to begin with; one byte above the limit is enough to see that it is passed.
fn first_room(payload: &[u8], limit: usize) -> usize {
    payload.len().saturating_mul(FIRST_RATIO).max(FIRST_ROOM).min(limit + 1)
}

/// The room after `full` bytes were filled.
fn next_room(full: usize, limit: usize) -> usize {
    full.saturating_mul(2).max(FIRST_ROOM).min(limit + 1)
}
