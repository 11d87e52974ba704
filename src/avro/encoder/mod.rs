//! Encoders that reproduce payloads bit for bit, under frozen names.
//!
//! # The format promise
//!
//! An [`EncoderId`] names **one output function for ever**: a recipe that says `zlib:L6:M8` is rebuilt with it in any
//! later version, on any machine. Hence
//!
//! - the crates behind the ids are pinned with `=` in `Cargo.toml`, and never link a system's library;
//! - `tests/golden/encoders.txt` holds the BLAKE3 of the output for every id, and a test fails when one byte changes;
//! - [`self_test`] checks a few vectors in a moment, for use before a repository is written or restored;
//! - an upgrade that changes output becomes a new id beside the old one, whose code stays.
//!
//! # What reproduces whom
//!
//! | writer | codec | id |
//! |---|---|---|
//! | Java, and whatever uses stock zlib | deflate | `zlib:L6:M8` and other levels |
//! | Python avro, fastavro | deflate | `zlib:L6:M8+adler3` |
//! | Rust apache-avro | deflate | `miniz:L10` |
//! | JavaScript | deflate | `chromium-zlib:L6:M8` |
//! | writers on zlib-ng | deflate | `zlib-ng:L6`; Java `zlib-ng:L6:O512`; boost (Avro C++) `zlib-ng:L6:I128` |
//! | polars | deflate | `libflate-2` |
//! | ClickHouse; writers on zlib-ng 2.1 | deflate | `zlib-ng-2.1:L6:I128`; `zlib-ng-2.1:L6` and other levels |
//! | Go: goavro, hamba | deflate | `go-1.19:L6` |
//! | Go, Rust, Python, JavaScript | snappy | `snappy:shift14` |
//! | Java, C++ | snappy | `snappy:mask14`, `snappy:mask15`, `snappy:crc15` |
//! | ClickHouse | snappy | `snappy:crc14` |
//! | C++ snappy of 2011 to 2015: old archives of Hadoop, Hive, Spark and Impala; Trino | snappy | `snappy:shift14:skip1:F32`, `:F64` |
//! | JavaScript with snappyjs | snappy | `snappy:snappyjs-0.7` |
//! | fastavro; Rust | zstandard | `zstd-1.5.7:once:L3`; `zstd-1.5.7:stream:L3` |
//! | Java Avro 1.11.1 to 1.12.0, Spark 3.3 to 4.0; Python zstandard 0.19 to 0.23 | zstandard | `zstd-1.5.6:stream:L3`; `zstd-1.5.6:once:L3` |
//! | ClickHouse | zstandard | `zstd-1.5.7:stream:L3+emptyframe` and other levels |
//! | Python, Rust, C | bzip2, xz | `bzip2:L9`; `xz:P6:crc64` |
//! | Java | bzip2 | `bzip2-java:L9` |
//!
//! Encoding is bounded: output is never much longer than input, and the working memory depends on the id (up to 0.7 GB
//! for the highest levels of zstandard and xz, of which small blocks touch little).

mod bzip2_java;
mod candidates;
mod compressors;
mod dfast;
mod id;
mod preflate;
mod probe;
pub mod selftest;
mod signature;
mod snappy;
mod zlib_ng21;
mod zstd156;
mod zstd_context;

use std::ops::ControlFlow;

pub use candidates::{MetadataOrder, WriterHint, all, candidates};
pub use compressors::MAX_LIBFLATE;
pub use id::{EncoderId, Method, NgCalls, SnappyHash, Tail, UnknownEncoder, XzCheck, ZstdMode};
pub use preflate::{MAX_CORRECTIONS_PERCENT, preflate_join, preflate_split};
pub use probe::{BLOCK_EFFORT, PROBE_EFFORT, Prober, Sample};
pub use selftest::self_test;
pub use signature::signature;

use exact_deflate::{Settings, Variant};

/// The longest input of an encoder, in bytes: 1 GiB. Blocks that were decoded are shorter
/// ([`MAX_DECODED`](crate::avro::codec::MAX_DECODED)).
pub const MAX_PLAIN: usize = 1 << 30;

/// How many encoders for deflate are kept, each with up to 0.4 MB of tables.
const KEPT: usize = 6;

/// Why nothing was encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A setting is out of range, or this build has no such encoder.
    #[error("no encoder for {0}")]
    Unsupported(EncoderId),
    /// Longer than what the id is exact for.
    #[error("{0} does not encode this many bytes")]
    BeyondWindow(EncoderId),
    /// More than [`MAX_PLAIN`] bytes.
    #[error("{0} bytes are too many for one block")]
    TooLarge(usize),
    /// The compressor failed: out of memory.
    #[error("{id} failed: {reason}")]
    Failed {
        /// Id of the encoder.
        id: EncoderId,
        /// What the compressor reported.
        reason: &'static str,
    },
}

/// Encodes with any id. Keeps working memory from block to block, so one for each thread is best; it may be sent between
/// threads.
pub struct Encoders {
    /// The last used one at the end.
    deflate: Vec<(Settings, exact_deflate::Encoder)>,
    miniz: Vec<(u8, compressors::Miniz)>,
    zlib_ng: Vec<(u8, compressors::ZlibNg)>,
    snap: snap::raw::Encoder,
    snappy: snappy::Snappy,
    zstd: Option<zstd_safe::CCtx<'static>>,
    zstd156: Option<zstd156::Zstd156>,
    scratch: Vec<u8>,
}

impl Default for Encoders {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Encoders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoders(..)")
    }
}

impl Encoders {
    /// No encoder is made before it is used.
    pub fn new() -> Self {
        Self {
            deflate: Vec::new(),
            miniz: Vec::new(),
            zlib_ng: Vec::new(),
            snap: snap::raw::Encoder::new(),
            snappy: snappy::Snappy::new(),
            zstd: None,
            zstd156: None,
            scratch: Vec::new(),
        }
    }

    /// Appends the payload that `id` makes of `plain` to `out`.
    ///
    /// # Errors
    /// If the id's settings are out of range, `plain` is longer than [`MAX_PLAIN`] or than the id's window
    /// ([`EncodeError::BeyondWindow`]), or memory is short. `out` is then as it was.
    pub fn encode(&mut self, id: &EncoderId, plain: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !id.is_valid() {
            return Err(EncodeError::Unsupported(*id));
        }
        if plain.len() > MAX_PLAIN {
            return Err(EncodeError::TooLarge(plain.len()));
        }
        let start = out.len();
        let result = self.compress(id, plain, out);
        match result {
            Ok(()) => {
                let (tail, length) = id.tail.bytes(plain);
                out.extend_from_slice(&tail[..length]);
            }
            Err(_) => out.truncate(start),
        }
        result
    }

    fn compress(&mut self, id: &EncoderId, plain: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let failed = |reason| EncodeError::Failed { id: *id, reason };
        match id.method {
            Method::Null => out.extend_from_slice(plain),
            Method::Zlib { .. } | Method::ChromiumZlib { .. } | Method::Go { .. } | Method::GoHuffman => {
                self.deflate(id)?.encode(plain, out);
            }
            Method::Miniz { level } => {
                let encoder = kept(&mut self.miniz, level, || Ok(compressors::Miniz::new(level)))?;
                encoder.encode(plain, |bytes| {
                    out.extend_from_slice(bytes);
                    true
                });
            }
            Method::ZlibNg { level, calls } => {
                let encoder = kept(&mut self.zlib_ng, level, || Ok(compressors::ZlibNg::new(level)))?;
                encoder.encode(plain, calls, out).map_err(failed)?;
            }
            Method::ZlibNg21 { .. } if !runs_here(id) => return Err(EncodeError::Unsupported(*id)),
            Method::ZlibNg21 { level, calls } => zlib_ng21::encode(level, calls, plain, out).map_err(failed)?,
            Method::Libflate if plain.len() > MAX_LIBFLATE => return Err(EncodeError::BeyondWindow(*id)),
            Method::Libflate => compressors::libflate(plain, out).map_err(failed)?,
            Method::Snappy(hash) if snappy::is_shift14(hash, plain.len()) => {
                compressors::snap(&mut self.snap, plain, out).map_err(failed)?;
                put_crc(plain, out);
            }
            Method::Snappy(hash) => {
                let _ = self.snappy.encode(hash, plain, out, |_| ControlFlow::Continue(()));
                put_crc(plain, out);
            }
            Method::Zstd157 { mode, level, checksum } => {
                let context = match &mut self.zstd {
                    Some(context) => context,
                    none => none.insert(zstd_safe::CCtx::try_create().ok_or(failed("no memory"))?),
                };
                compressors::zstd(context, mode, level, checksum, plain, out).map_err(failed)?;
            }
            Method::Zstd156 { mode, level, checksum } => {
                let encoder = match &mut self.zstd156 {
                    Some(encoder) => encoder,
                    none => none.insert(zstd156::Zstd156::try_create().ok_or(failed("no memory"))?),
                };
                encoder.encode(mode, level, checksum, plain, out).map_err(|refused| match refused {
                    zstd156::Refused::BeyondWindow => EncodeError::BeyondWindow(*id),
                    zstd156::Refused::Failed(reason) => failed(reason),
                })?;
            }
            Method::Bzip2 { level } => compressors::bzip2(level, plain, out).map_err(failed)?,
            Method::Bzip2Java { level } => {
                let mut stream = Vec::new();
                compressors::bzip2(level, plain, &mut stream).map_err(failed)?;
                bzip2_java::recode(&stream, out).map_err(failed)?;
            }
            Method::Xz { preset, extreme, check } => {
                compressors::xz(preset, extreme, check, plain, out).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// True if [`Self::encode`] makes exactly `payload` of `plain`. Deflate and snappy stop at the first difference they
    /// see.
    pub fn verify(&mut self, id: &EncoderId, plain: &[u8], payload: &[u8]) -> bool {
        if !id.is_valid() || plain.len() > MAX_PLAIN {
            return false;
        }
        let (tail, length) = id.tail.bytes(plain);
        let Some(stream) = payload.strip_suffix(&tail[..length]) else { return false };
        match id.method {
            Method::Null => stream == plain,
            Method::Zlib { .. } | Method::ChromiumZlib { .. } | Method::Go { .. } | Method::GoHuffman => {
                self.deflate(id).is_ok_and(|encoder| encoder.verify(plain, stream))
            }
            Method::Miniz { level } => {
                let Ok(encoder) = kept(&mut self.miniz, level, || Ok(compressors::Miniz::new(level))) else {
                    return false;
                };
                let mut rest = stream;
                let done = encoder.encode(plain, |bytes| match rest.strip_prefix(bytes) {
                    Some(after) => {
                        rest = after;
                        true
                    }
                    None => false,
                });
                done && rest.is_empty()
            }
            Method::Snappy(hash) if !snappy::is_shift14(hash, plain.len()) => self.verify_snappy(hash, plain, stream),
            _ => {
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                let same = self.compress(id, plain, &mut scratch).is_ok() && scratch == stream;
                self.scratch = scratch;
                same
            }
        }
    }

    /// Where what `id` makes of `plain` first differs from `payload`, in bytes; none where it is the same.
    ///
    /// # Errors
    /// As of [`Self::encode`].
    pub fn first_difference(
        &mut self,
        id: &EncoderId,
        plain: &[u8],
        payload: &[u8],
    ) -> Result<Option<usize>, EncodeError> {
        let mut made = Vec::new();
        self.encode(id, plain, &mut made)?;
        let same = made.iter().zip(payload).take_while(|(made, expected)| made == expected).count();
        Ok((made.len() != payload.len() || same < made.len()).then_some(same))
    }

    fn verify_snappy(&mut self, hash: SnappyHash, plain: &[u8], payload: &[u8]) -> bool {
        let Some((stream, _)) = payload.split_last_chunk::<4>() else { return false };
        self.scratch.clear();
        let mut checked = 0;
        let flow = self.snappy.encode(hash, plain, &mut self.scratch, |out| {
            let same = stream.get(checked..out.len()).is_some_and(|expected| *expected == out[checked..]);
            checked = out.len();
            if same { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        if flow.is_break() {
            return false;
        }
        put_crc(plain, &mut self.scratch);
        self.scratch == payload
    }

    fn deflate(&mut self, id: &EncoderId) -> Result<&mut exact_deflate::Encoder, EncodeError> {
        let (variant, level, mem_level) = match id.method {
            Method::Zlib { level, mem_level } => (Variant::Zlib, level, mem_level),
            Method::ChromiumZlib { level, mem_level } => (Variant::Chromium, level, mem_level),
            Method::Go { level } => (Variant::Go, level, 8),
            Method::GoHuffman => (Variant::GoHuffman, 0, 8),
            _ => return Err(EncodeError::Unsupported(*id)),
        };
        let settings = Settings::new(variant, level, mem_level).map_err(|_| EncodeError::Unsupported(*id))?;
        kept(&mut self.deflate, settings, || Ok(exact_deflate::Encoder::new(settings)))
    }
}

/// Whether the processor can make what the id stands for. All can but one: zlib-ng 2.1 has matches found by the instruction for CRC-32C
/// (x86-64 since SSE 4.2, and aarch64).
pub fn runs_here(id: &EncoderId) -> bool {
    !matches!(id.method, Method::ZlibNg21 { .. }) || zlib_ng21::is_supported()
}

/// The kept value for `key`, made if there is none; the one that was not used for longest is dropped for it.
fn kept<K: PartialEq, V>(
    values: &mut Vec<(K, V)>,
    key: K,
    make: impl FnOnce() -> Result<V, EncodeError>,
) -> Result<&mut V, EncodeError> {
    let value = match values.iter().position(|(known, _)| *known == key) {
        Some(position) => values.remove(position),
        None => {
            let value = make()?;
            if values.len() >= KEPT {
                values.remove(0);
            }
            (key, value)
        }
    };
    Ok(&mut values.push_mut(value).1)
}

/// Snappy payloads end in the big-endian CRC-32 of the decoded bytes.
fn put_crc(plain: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&crc32fast::hash(plain).swap_bytes().to_le_bytes());
}
