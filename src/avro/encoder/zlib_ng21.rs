//! zlib-ng 2.1, as zlib-rs 0.2.1 reproduces it: raw deflate, memory level 8, default strategy.
//!
//! **One of the two files of the library with `unsafe`**, beside `zstd_context.rs`. zlib-ng 2.1 finds matches by the processor's CRC-32C of
//! four bytes, which 2.2 gave up, and so did zlib-rs after 0.2. That release takes bytes in pieces by zlib's own interface only,
//! which has pointers. What holds so that it is sound:
//!
//! - a [`Stream`] is begun where it lies, is not moved until it is ended, and is ended once, by its `Drop`;
//! - before each call the pointers are set to a slice that was borrowed for it, and they are not used after it;
//! - nothing is called where the processor has no such instruction: zlib-rs 0.2.1 does not ask.
#![allow(unsafe_code, reason = "this release of zlib-rs takes bytes in pieces by zlib's interface only")]

use zlib_rs_02::c_api::z_stream;
use zlib_rs_02::deflate::{self, DeflateConfig, DeflateStream};
use zlib_rs_02::{DeflateFlush, ReturnCode};

use super::id::NgCalls;

/// Whether the processor has the instruction that makes the hash. Without it zlib-ng writes something else.
pub(super) fn is_supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    let supported = std::arch::is_x86_feature_detected!("sse4.2");
    #[cfg(target_arch = "aarch64")]
    let supported = std::arch::is_aarch64_feature_detected!("crc");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let supported = false;
    supported
}

pub(super) fn encode(level: u8, calls: NgCalls, plain: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    if !is_supported() {
        return Err("needs a processor with CRC-32C");
    }
    let (piece, room) = match calls {
        NgCalls::Once => (0, usize::MAX),
        NgCalls::Room512 => (plain.len().max(1), 512),
        NgCalls::Pieces128 => (128, 128),
    };
    let start = out.len();
    out.resize(start + plain.len() + plain.len() / 8 + 1024, 0);
    let mut stream = Stream(z_stream::default());
    stream.begin(level)?;
    let (mut read, mut written, mut given) = (0, start, 0);
    let mut step = |given: usize, flush| {
        let end = written.saturating_add(room).min(out.len());
        let (input, output) = plain.get(read..given).zip(out.get_mut(written..end)).ok_or("lost count")?;
        let (taken, made, code) = stream.call(input, output, flush);
        read += taken;
        written += made;
        match code {
            ReturnCode::Ok | ReturnCode::StreamEnd if taken + made > 0 || code == ReturnCode::StreamEnd => {
                Ok((read, written, code == ReturnCode::StreamEnd))
            }
            _ => Err("came to a halt"),
        }
    };
    while piece > 0 && given < plain.len() {
        given = (given + piece).min(plain.len());
        while step(given, DeflateFlush::NoFlush)?.0 < given {}
    }
    let length = loop {
        let (_, written, ended) = step(plain.len(), DeflateFlush::Finish)?;
        if ended {
            break written;
        }
    };
    drop(stream);
    out.truncate(length);
    Ok(())
}

/// A stream of zlib-rs.
struct Stream(z_stream);

impl Stream {
    fn begin(&mut self, level: u8) -> Result<(), &'static str> {
        let config = DeflateConfig { window_bits: -15, mem_level: 8, ..DeflateConfig::new(i32::from(level)) };
        match deflate::init(&mut self.0, config) {
            ReturnCode::Ok => Ok(()),
            _ => Err("no memory, or unknown settings"),
        }
    }

    /// One call. Returns how many bytes were read and written.
    fn call(&mut self, input: &[u8], output: &mut [u8], flush: DeflateFlush) -> (usize, usize, ReturnCode) {
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let (given, room) = (length(input.len()), length(output.len()));
        self.0.next_in = input.as_ptr().cast_mut();
        self.0.avail_in = given;
        self.0.next_out = output.as_mut_ptr();
        self.0.avail_out = room;
        // SAFETY: `begin` made the state, it was not ended, and the pointers are those of the slices.
        let code = match unsafe { DeflateStream::from_stream_mut(&raw mut self.0) } {
            Some(stream) => deflate::deflate(stream, flush),
            None => ReturnCode::StreamError,
        };
        ((given - self.0.avail_in) as usize, (room - self.0.avail_out) as usize, code)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the state is what `begin` made, or null, which is seen. It is ended nowhere else.
        if let Some(stream) = unsafe { DeflateStream::from_stream_mut(&raw mut self.0) } {
            let _ = deflate::end(stream);
        }
    }
}
