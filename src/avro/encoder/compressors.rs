//! The compressors of other crates, each with the settings that its ids promise. All append to `out`.

use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output, create_comp_flags_from_zip_params,
};
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

use super::id::{NgCalls, XzCheck, ZstdMode};

/// miniz_oxide as `miniz_oxide::deflate::compress_to_vec` sets it up.
pub(super) struct Miniz(Box<CompressorOxide>);

impl Miniz {
    pub(super) fn new(level: u8) -> Self {
        Self(Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(i32::from(level), 0, 0))))
    }

    /// Hands the output over piece by piece; false if `put` refused one.
    pub(super) fn encode(&mut self, plain: &[u8], put: impl FnMut(&[u8]) -> bool) -> bool {
        self.0.reset();
        let (status, read) = compress_to_output(&mut self.0, plain, TDEFLFlush::Finish, put);
        status == TDEFLStatus::Done && read == plain.len()
    }
}

/// The longest input of libflate, in bytes: it holds six bytes for each literal, and copies, before it writes.
pub const MAX_LIBFLATE: usize = 64 << 20;

/// libflate with its default options, as polars calls it. Up to 1 GiB of memory.
pub(super) fn libflate(plain: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    use std::io::Write as _;
    let mut encoder = libflate::deflate::Encoder::new(out);
    encoder.write_all(plain).map_err(|_| "refused by the encoder")?;
    encoder.finish().into_result().map(|_| ()).map_err(|_| "failed at its end")
}

/// zlib-rs: raw deflate, memory level 8, default strategy.
pub(super) struct ZlibNg(Deflate);

impl ZlibNg {
    pub(super) fn new(level: u8) -> Self {
        let config = DeflateConfig { level: i32::from(level), window_bits: -15, mem_level: 8, ..Default::default() };
        Self(Deflate::new_with_config(config))
    }

    pub(super) fn encode(&mut self, plain: &[u8], calls: NgCalls, out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.0.reset();
        let start = out.len();
        out.resize(start + plain.len() + plain.len() / 8 + 1024, 0);
        match calls {
            NgCalls::Once => match self.call(plain, &mut out[start..], DeflateFlush::Finish)? {
                Status::StreamEnd => {}
                _ => return Err("not done in one go"),
            },
            NgCalls::Room512 => self.in_rooms(plain, plain.len().max(1), 512, &mut out[start..])?,
            NgCalls::Pieces128 => self.in_rooms(plain, 128, 128, &mut out[start..])?,
        }
        out.truncate(start + self.0.total_out() as usize);
        Ok(())
    }

    /// Hands the bytes over in pieces, and takes as much output a call as `room`; then finishes, as Java's and boost's
    /// streams do.
    fn in_rooms(&mut self, plain: &[u8], piece: usize, room: usize, out: &mut [u8]) -> Result<(), &'static str> {
        let mut given = 0;
        for piece in plain.chunks(piece) {
            given += piece.len();
            while self.0.total_in() < given as u64 {
                self.step(plain.get(..given), room, out, DeflateFlush::NoFlush)?;
            }
        }
        while self.step(Some(plain), room, out, DeflateFlush::Finish)? != Status::StreamEnd {}
        Ok(())
    }

    /// One call, with what is left of the input that was given so far.
    fn step(
        &mut self,
        given: Option<&[u8]>,
        room: usize,
        out: &mut [u8],
        flush: DeflateFlush,
    ) -> Result<Status, &'static str> {
        let (read, written) = (self.0.total_in() as usize, self.0.total_out() as usize);
        let input = given.and_then(|given| given.get(read..)).ok_or("lost count")?;
        let end = written.saturating_add(room).min(out.len());
        let status = self.call(input, out.get_mut(written..end).ok_or("no room")?, flush)?;
        if (self.0.total_in() as usize, self.0.total_out() as usize) == (read, written) && status != Status::StreamEnd {
            return Err("came to a halt");
        }
        Ok(status)
    }

    fn call(&mut self, input: &[u8], out: &mut [u8], flush: DeflateFlush) -> Result<Status, &'static str> {
        self.0.compress(input, out, flush).map_err(|error| error.as_str())
    }
}

/// The `snap` crate's raw encoder, which is the fastest for its own hash.
pub(super) fn snap(encoder: &mut snap::raw::Encoder, plain: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let start = out.len();
    out.resize(start + snap::raw::max_compress_len(plain.len()), 0);
    let length = encoder.compress(plain, &mut out[start..]).map_err(|_| "too long")?;
    out.truncate(start + length);
    Ok(())
}

/// libzstd, all at once (`ZSTD_compress2`) or as a stream whose length it does not know.
pub(super) fn zstd(
    context: &mut zstd_safe::CCtx<'static>,
    mode: ZstdMode,
    level: i32,
    checksum: bool,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    use zstd_safe::zstd_sys::ZSTD_EndDirective::ZSTD_e_continue;
    use zstd_safe::{CParameter, InBuffer, OutBuffer, ResetDirective};
    let start = out.len();
    let room = zstd_safe::compress_bound(plain.len()) + 64;
    let mut run = || -> Result<(), usize> {
        context.reset(ResetDirective::SessionAndParameters)?;
        context.set_parameter(CParameter::CompressionLevel(level))?;
        context.set_parameter(CParameter::ChecksumFlag(checksum))?;
        match mode {
            ZstdMode::Once => {
                out.resize(start + room, 0);
                let length = context.compress2(&mut out[start..], plain)?;
                out.truncate(start + length);
            }
            ZstdMode::Stream => {
                out.reserve(room);
                let mut output = OutBuffer::around_pos(out, start);
                let mut input = InBuffer::around(plain);
                while input.pos() < plain.len() {
                    context.compress_stream2(&mut output, &mut input, ZSTD_e_continue)?;
                }
                while context.end_stream(&mut output)? != 0 {}
            }
        }
        Ok(())
    };
    run().map_err(zstd_safe::get_error_name)
}

/// libbz2-rs with the default work factor.
pub(super) fn bzip2(level: u8, plain: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut stream = bzip2::Compress::new(bzip2::Compression::new(u32::from(level)), 0);
    out.reserve(plain.len() + plain.len() / 50 + 1024);
    loop {
        let read = usize::try_from(stream.total_in()).map_err(|_| "too long")?;
        match stream.compress_vec(&plain[read..], out, bzip2::Action::Finish) {
            Ok(bzip2::Status::StreamEnd) => return Ok(()),
            Ok(_) => out.reserve(64 << 10),
            Err(_) => return Err("refused by the encoder"),
        }
    }
}

/// liblzma's `lzma_easy_encoder`.
pub(super) fn xz(
    preset: u8,
    extreme: bool,
    check: XzCheck,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    use liblzma::stream::{Action, Check, Status, Stream};
    const EXTREME: u32 = 1 << 31;
    let check = match check {
        XzCheck::None => Check::None,
        XzCheck::Crc32 => Check::Crc32,
        XzCheck::Crc64 => Check::Crc64,
        XzCheck::Sha256 => Check::Sha256,
    };
    let preset = u32::from(preset) | if extreme { EXTREME } else { 0 };
    let mut stream = Stream::new_easy_encoder(preset, check).map_err(|_| "no memory, or unknown settings")?;
    out.reserve(plain.len() + plain.len() / 3 + 4096);
    loop {
        let read = usize::try_from(stream.total_in()).map_err(|_| "too long")?;
        match stream.process_vec(&plain[read..], out, Action::Finish) {
            Ok(Status::StreamEnd) => return Ok(()),
            Ok(_) => out.reserve(64 << 10),
            Err(_) => return Err("failed inside"),
        }
    }
}
