//! A context of libzstd that takes its sequences from a search of our own.
//!
//! **One of the two files of the library with `unsafe`**, beside `zlib_ng21.rs`. libzstd offers this as `ZSTD_registerSequenceProducer`, a C function in
//! the experimental part of its interface, and no crate wraps it: it takes a pointer to a C function and one to its state,
//! and calls it for each block. Nor does a crate wrap the parameter that turns off the splitting of blocks. What holds so that it is sound:
//!
//! - a [`Context`] owns its `ZSTD_CCtx`: made once, freed once, used by one thread at a time (`&mut self`);
//! - the function and its state are registered for one frame, and the registration is gone before the state is;
//! - the function reads only what it was given: the plain bytes as a slice, and block headers that libzstd wrote before;
//! - it never unwinds into C: a panic becomes libzstd's error code;
//! - libzstd is pinned with `=`, and golden vectors hold what comes out.
#![allow(unsafe_code, reason = "libzstd's sequence producers have a C interface only")]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

pub(super) use zstd_safe::zstd_sys::ZSTD_Sequence as Sequence;
use zstd_safe::zstd_sys::{self as sys, ZSTD_EndDirective as End, ZSTD_cParameter as Parameter};

use super::dfast::Dfast;
use super::id::ZstdMode;

/// `ZSTD_c_blockSplitterLevel`. 1: blocks are not split beforehand, as none were until 1.5.6.
const BLOCK_SPLITTER_LEVEL: (Parameter, c_int) = (Parameter::ZSTD_c_experimentalParam20, 1);

/// `ZSTD_c_repcodeResolution`. 2: sequences name repeated offsets themselves, so libzstd does not look for them.
const REPCODE_RESOLUTION: (Parameter, c_int) = (Parameter::ZSTD_c_experimentalParam19, 2);

/// What a sequence producer returns where it fails (`ZSTD_SEQUENCE_PRODUCER_ERROR`).
const PRODUCER_FAILED: usize = usize::MAX;

/// What libzstd makes of a level and a length.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameParameters {
    /// Whether the strategy is "dfast".
    pub(super) is_dfast: bool,
    /// How far back matches may lie, in bytes.
    pub(super) window: u32,
    /// The logarithm of the length of the table by eight bytes.
    pub(super) long_bits: u32,
    /// The logarithm of the length of the table by `min_match` bytes.
    pub(super) short_bits: u32,
    /// The bytes that the shorter hash is made of.
    pub(super) min_match: u32,
}

impl FrameParameters {
    /// For a level; 0 is a length that is not known.
    pub(super) fn of(level: i32, length: usize) -> Self {
        // SAFETY: a function of its arguments.
        let parameters = unsafe { sys::ZSTD_getCParams(level, length as u64, 0) };
        Self {
            is_dfast: parameters.strategy == sys::ZSTD_strategy::ZSTD_dfast,
            window: 1_u32.checked_shl(parameters.windowLog).unwrap_or(u32::MAX),
            long_bits: parameters.hashLog,
            short_bits: parameters.chainLog,
            min_match: parameters.minMatch,
        }
    }
}

/// Owns a context of libzstd.
pub(super) struct Context(NonNull<sys::ZSTD_CCtx>);

// SAFETY: a ZSTD_CCtx belongs to no thread; it must only not be used by two at once, which `&mut self` sees to.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by ZSTD_createCCtx, and freed nowhere else.
        unsafe { sys::ZSTD_freeCCtx(self.0.as_ptr()) };
    }
}

/// What a sequence producer needs for one frame.
struct Producer<'a> {
    search: &'a mut Dfast,
    plain: &'a [u8],
    /// How much of `plain` earlier blocks took.
    parsed: usize,
    /// Where libzstd writes the frame, and how much room there is.
    frame: *const u8,
    room: usize,
    /// The place of the last block's header in the frame; None before there is one.
    last_header: Option<usize>,
}

impl Context {
    /// None where memory is short.
    pub(super) fn try_create() -> Option<Self> {
        // SAFETY: no arguments; null says that it failed.
        NonNull::new(unsafe { sys::ZSTD_createCCtx() }).map(Self)
    }

    /// Appends one frame of `plain` to `out`, in blocks that are not split. Sequences are those of `search`, if there is one;
    /// it must have begun this frame.
    pub(super) fn encode(
        &mut self,
        mode: ZstdMode,
        level: i32,
        checksum: bool,
        search: Option<&mut Dfast>,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        // Room for each block even if it is stored, and enough that libzstd writes each where it belongs at once.
        let room = zstd_safe::compress_bound(plain.len()) + 1024;
        out.reserve(room);
        let frame = out.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        let mut producer = search.map(|search| Producer {
            search,
            plain,
            parsed: 0,
            frame: frame.cast_const(),
            room,
            last_header: None,
        });
        let length = self.run(mode, level, checksum, producer.as_mut(), plain, (frame, room));
        // SAFETY: that number of bytes after the old length were written, and there was room for them.
        unsafe { out.set_len(out.len() + length?) };
        Ok(())
    }

    /// Writes one frame, and returns its length.
    fn run(
        &mut self,
        mode: ZstdMode,
        level: i32,
        checksum: bool,
        producer: Option<&mut Producer<'_>>,
        plain: &[u8],
        (frame, room): (*mut u8, usize),
    ) -> Result<usize, &'static str> {
        let context = self.0.as_ptr();
        self.reset()?;
        self.set((Parameter::ZSTD_c_compressionLevel, level))?;
        self.set((Parameter::ZSTD_c_checksumFlag, c_int::from(checksum)))?;
        self.set(BLOCK_SPLITTER_LEVEL)?;
        if let Some(producer) = producer {
            self.set(REPCODE_RESOLUTION)?;
            let state: *mut Producer<'_> = producer;
            // SAFETY: the state outlives the frame, nothing else uses it meanwhile, and `reset` ends the registration below.
            unsafe { sys::ZSTD_registerSequenceProducer(context, state.cast::<c_void>(), Some(produce)) };
        }
        let length = match mode {
            // SAFETY: `frame` has `room` bytes, and `plain` is a slice.
            ZstdMode::Once => {
                checked(unsafe { sys::ZSTD_compress2(context, frame.cast(), room, plain.as_ptr().cast(), plain.len()) })
            }
            ZstdMode::Stream => self.stream(plain, (frame, room)),
        };
        // Before the state goes, the registration does.
        self.reset()?;
        length
    }

    /// The frame of a stream whose length is not known until it ends.
    fn stream(&mut self, plain: &[u8], (frame, room): (*mut u8, usize)) -> Result<usize, &'static str> {
        let mut output = sys::ZSTD_outBuffer { dst: frame.cast(), size: room, pos: 0 };
        let mut input = sys::ZSTD_inBuffer { src: plain.as_ptr().cast(), size: plain.len(), pos: 0 };
        let mut step = |end: End| {
            // SAFETY: both buffers describe memory that lives as long as this function, with its true length.
            checked(unsafe { sys::ZSTD_compressStream2(self.0.as_ptr(), &raw mut output, &raw mut input, end) })
                .map(|left| (left, input.pos, output.pos))
        };
        let mut read = 0;
        while read < plain.len() {
            let before = read;
            (_, read, _) = step(End::ZSTD_e_continue)?;
            if read == before {
                return Err("no progress");
            }
        }
        let (left, _, written) = step(End::ZSTD_e_end)?;
        if left == 0 { Ok(written) } else { Err("no room") }
    }

    /// Ends the frame; all parameters, and the producer with them, are as in the beginning.
    fn reset(&mut self) -> Result<(), &'static str> {
        let all = sys::ZSTD_ResetDirective::ZSTD_reset_session_and_parameters;
        // SAFETY: a context of our own.
        checked(unsafe { sys::ZSTD_CCtx_reset(self.0.as_ptr(), all) }).map(drop)
    }

    fn set(&mut self, (parameter, value): (Parameter, c_int)) -> Result<(), &'static str> {
        // SAFETY: a context of our own; values out of range come back as an error.
        checked(unsafe { sys::ZSTD_CCtx_setParameter(self.0.as_ptr(), parameter, value) }).map(drop)
    }
}

fn checked(code: usize) -> Result<usize, &'static str> {
    // SAFETY: a function of its argument.
    match unsafe { sys::ZSTD_isError(code) } {
        0 => Ok(code),
        _ => Err(zstd_safe::get_error_name(code)),
    }
}

/// What libzstd calls for each block that is not too short to be compressed; such a one is always the last.
///
/// # Safety
/// `state` is a [`Producer`] that nothing else uses, and `sequences` has room for `capacity` of them.
unsafe extern "C" fn produce(
    state: *mut c_void,
    sequences: *mut Sequence,
    capacity: usize,
    _block: *const c_void,
    block_length: usize,
    _dictionary: *const c_void,
    _dictionary_length: usize,
    _level: c_int,
    _window: usize,
) -> usize {
    // SAFETY: see above. `run` registered it with this very type.
    let producer = unsafe { &mut *state.cast::<Producer<'_>>() };
    // SAFETY: see above. Nothing is said of what is in that room.
    let room = unsafe { std::slice::from_raw_parts_mut(sequences.cast::<MaybeUninit<Sequence>>(), capacity) };
    let produced = catch_unwind(AssertUnwindSafe(|| producer.block(block_length, room)));
    produced.ok().flatten().unwrap_or(PRODUCER_FAILED)
}

impl Producer<'_> {
    /// Writes the sequences of the next block, and returns how many they are.
    fn block(&mut self, length: usize, room: &mut [MaybeUninit<Sequence>]) -> Option<usize> {
        let start = self.parsed;
        if start > 0 {
            let header = self.next_header()?;
            // The type of the block is in two bits: 2 is compressed, below that it is stored or a repeated byte.
            if self.byte(header)? >> 1 & 3 != 2 {
                self.search.forget_offsets();
            }
            self.last_header = Some(header);
        }
        self.parsed = start.checked_add(length)?;
        let data = self.plain.get(..self.parsed)?;
        self.search.parse(data, start, room)
    }

    /// Where the header of the block before this one is (RFC 8878, 3.1.1.1 and 3.1.1.2).
    fn next_header(&self) -> Option<usize> {
        match self.last_header {
            None => {
                let descriptor = self.byte(4)?;
                let single_segment = descriptor >> 5 & 1;
                let content_size = match descriptor >> 6 {
                    0 => usize::from(single_segment),
                    bits => 1 << bits,
                };
                Some(5 + usize::from(1 - single_segment) + content_size)
            }
            Some(header) => {
                let bits = u32::from_le_bytes([self.byte(header)?, self.byte(header + 1)?, self.byte(header + 2)?, 0]);
                let content = if bits >> 1 & 3 == 1 { 1 } else { bits as usize >> 3 };
                Some(header + 3 + content)
            }
        }
    }

    /// A byte of the frame before this block.
    fn byte(&self, place: usize) -> Option<u8> {
        // SAFETY: it is within the room. Blocks before this one were written there before libzstd asks for this one, and what
        // is asked for here are bytes of their headers.
        (place < self.room).then(|| unsafe { self.frame.add(place).read() })
    }
}
