//! STAND-IN over libz-sys with the interface of our own exact deflate encoder, which replaces this file.
//!
//! It exists so that the encoder registry can be built and tested before that encoder lands. It knows stock zlib's hash
//! only: [`HashKind::Chromium4`] is refused.

#![expect(unsafe_code, reason = "a stand-in for the safe encoder that replaces this file")]

use std::ffi::c_int;
use std::mem::MaybeUninit;

use libz_sys as z;

/// Which bytes decide where a string goes in the hash table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum HashKind {
    /// Stock zlib: three bytes, shifted and xored.
    Zlib3,
    /// Chromium's zlib, which Node.js embeds: four bytes, multiplied. The stand-in has none.
    Chromium4,
}

/// The settings of `deflateInit2` that this encoder knows; the window is 32 KiB, the strategy the default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Params {
    /// Compression level, 1 to 9.
    pub level: u8,
    /// zlib's memory level, 8 or 9.
    pub mem_level: u8,
    /// The hash function.
    pub hash: HashKind,
}

/// A level or memory level out of range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidParams(pub Params);

impl std::fmt::Display for InvalidParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no deflate encoder for level {} and memory level {}", self.0.level, self.0.mem_level)
    }
}

impl std::error::Error for InvalidParams {}

/// An encoder with its working memory, for any number of inputs one after the other.
pub struct Encoder {
    /// At an address that stays, since zlib's state points back to it.
    stream: Box<MaybeUninit<z::z_stream>>,
    scratch: Vec<u8>,
}

// SAFETY: the stream owns its memory, and nothing in it belongs to a thread.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Makes an encoder.
    ///
    /// # Errors
    /// If the level is not 1 to 9, the memory level not 8 or 9, or the hash not zlib's.
    pub fn new(params: Params) -> Result<Self, InvalidParams> {
        let Params { level, mem_level, hash } = params;
        if !(1..=9).contains(&level) || !(8..=9).contains(&mem_level) || hash != HashKind::Zlib3 {
            return Err(InvalidParams(params));
        }
        let mut stream = Box::new(MaybeUninit::<z::z_stream>::zeroed());
        let (level, mem_level) = (c_int::from(level), c_int::from(mem_level));
        // SAFETY: zlib asks for a zeroed stream and puts its own allocators where none are given.
        let result = unsafe {
            let size = size_of::<z::z_stream>() as c_int;
            z::deflateInit2_(stream.as_mut_ptr(), level, z::Z_DEFLATED, -15, mem_level, 0, z::zlibVersion(), size)
        };
        match result {
            z::Z_OK => Ok(Self { stream, scratch: Vec::new() }),
            _ => Err(InvalidParams(params)),
        }
    }

    /// Appends the encoding of `plain` to `out`.
    pub fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        out.resize(before + plain.len() + plain.len() / 8 + 1024, 0);
        let room = &mut out[before..];
        // SAFETY: `new` initialised the stream; the pointers and lengths are those of live slices.
        let left = unsafe {
            let stream = self.stream.assume_init_mut();
            z::deflateReset(stream);
            stream.next_in = plain.as_ptr().cast_mut();
            stream.avail_in = plain.len() as u32;
            stream.next_out = room.as_mut_ptr();
            stream.avail_out = room.len() as u32;
            z::deflate(stream, z::Z_FINISH);
            stream.avail_out as usize
        };
        out.truncate(out.len() - left);
    }

    /// True if [`Self::encode`] of `plain` gives `expected`.
    pub fn verify(&mut self, plain: &[u8], expected: &[u8]) -> bool {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        self.encode(plain, &mut scratch);
        let same = scratch == expected;
        self.scratch = scratch;
        same
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: `new` initialised the stream.
        unsafe { z::deflateEnd(self.stream.as_mut_ptr()) };
    }
}
