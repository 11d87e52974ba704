//! The frozen names of encoders, which recipes carry.

use std::fmt;
use std::str::FromStr;

use crate::avro::codec::{Codec, EMPTY_ZSTD_FRAME};

/// Names one function from decoded bytes to a payload, for ever.
///
/// The text is what a recipe keeps: the method, its parameters after colons, and the tail rule after a plus, as in
/// `zlib:L6:M8+adler3`. There is one text for each id; any other spelling is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EncoderId {
    /// The compressor and its settings.
    pub method: Method,
    /// What follows the compressed stream.
    pub tail: Tail,
}

/// A compressor and its settings. [`Method::is_valid`] says whether they are in range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// `null`: the bytes as they are.
    Null,
    /// `zlib:L6:M8`: stock zlib (1.2.11 to 1.3.2 write the same), raw deflate, 32 KiB window.
    Zlib {
        /// 1 to 9. Level 0 depends on the caller's buffers, so it has no id.
        level: u8,
        /// 8 or 9.
        mem_level: u8,
    },
    /// `chromium-zlib:L6:M8`: zlib as Chromium and Node.js have it.
    ChromiumZlib {
        /// 1 to 9.
        level: u8,
        /// 8 or 9.
        mem_level: u8,
    },
    /// `go-1.19:L6`: Go's compress/flate of Go 1.19 to 1.26, one `Write` and `Close`.
    Go {
        /// 1 to 9. Go's default, -1, is 6.
        level: u8,
    },
    /// `go-1.19:huffman`: the same at level -2, `HuffmanOnly`.
    GoHuffman,
    /// `miniz:L10`: miniz_oxide, raw deflate. Level 10 is what apache-avro's default setting comes to.
    Miniz {
        /// 0 to 10.
        level: u8,
    },
    /// `libflate-2`: the crate libflate 2 with its default options, all bytes in one `write`. At most
    /// [`MAX_LIBFLATE`](super::MAX_LIBFLATE) bytes.
    Libflate,
    /// `zlib-ng:L6`: zlib-ng 2.3 as zlib-rs reproduces it, raw deflate, memory level 8.
    ZlibNg {
        /// 1 to 9.
        level: u8,
        /// How the bytes were handed over.
        calls: NgCalls,
    },
    /// `zlib-ng-2.1:L6`: zlib-ng 2.1 as zlib-rs 0.2.1 reproduces it, raw deflate, memory level 8. Only on processors with an
    /// instruction for CRC-32C.
    ZlibNg21 {
        /// 2 to 9.
        level: u8,
        /// How the bytes were handed over.
        calls: NgCalls,
    },
    /// `snappy:mask14`: raw snappy and the big-endian CRC-32 of the decoded bytes.
    Snappy(SnappyHash),
    /// `zstd-1.5.7:once:L3` or `zstd-1.5.7:stream:L3:C`: libzstd 1.5.7.
    Zstd157 {
        /// How the bytes were handed over.
        mode: ZstdMode,
        /// -131072 to 22 without 0.
        level: i32,
        /// Whether a checksum is in the frame (`:C`).
        checksum: bool,
    },
    /// `zstd-1.5.6:once:L3` or `zstd-1.5.6:stream:L3:C`: libzstd 1.5.6. From 1.5.2 on older ones agree at level 3, and with
    /// streams at level 4. A stream at level 3 or 4 that is longer than its window of 2 MiB is refused.
    Zstd156 {
        /// How the bytes were handed over.
        mode: ZstdMode,
        /// -7 to 15 without 0.
        level: i32,
        /// Whether a checksum is in the frame (`:C`).
        checksum: bool,
    },
    /// `bzip2:L9`: libbzip2, work factor 30.
    Bzip2 {
        /// 1 to 9: block size in 100 kB.
        level: u8,
    },
    /// `bzip2-java:L9`: Apache Commons Compress, as far as a block is not cut.
    Bzip2Java {
        /// 1 to 9: block size in 100 kB.
        level: u8,
    },
    /// `xz:P6:crc64` or `xz:P6:crc64:extreme`: liblzma's easy encoder, one block.
    Xz {
        /// 0 to 9.
        preset: u8,
        /// The slower variant of a preset.
        extreme: bool,
        /// The integrity check.
        check: XzCheck,
    },
}

/// How bytes are handed to zlib-ng, and its output taken, on which the output of some levels depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NgCalls {
    /// All bytes in one call that finishes, with room for all output.
    Once,
    /// `:O512`: all bytes, then the call that finishes, with room for 512 bytes of output a call.
    Room512,
    /// `:I128`: 128 bytes a call, with room for 128 bytes of output, then the call that finishes.
    Pieces128,
}

impl NgCalls {
    /// All of them, the likeliest first.
    pub const ALL: [Self; 3] = [Self::Once, Self::Room512, Self::Pieces128];

    /// Whether a level has an output of its own when called like this.
    fn is_valid(self, level: u8) -> bool {
        match self {
            Self::Once => (1..=9).contains(&level),
            Self::Room512 | Self::Pieces128 => matches!(level, 1 | 5 | 6),
        }
    }

    fn from_parts(parts: &[&str]) -> Option<Self> {
        match parts {
            [] => Some(Self::Once),
            ["O512"] => Some(Self::Room512),
            ["I128"] => Some(Self::Pieces128),
            _ => None,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Once => "",
            Self::Room512 => ":O512",
            Self::Pieces128 => ":I128",
        }
    }
}

/// A snappy encoder: what picks a slot of its hash table, and in the oldest also how it skips what does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SnappyHash {
    /// The upper bits of a product, at most 14: Go, Rust's `snap`, and what is made of them (cramjam, npm snappy).
    Shift14,
    /// The 14 upper bits of a product, masked: C++ snappy until 1.1.9, Java.
    Mask14,
    /// The 15 upper bits of a product, masked: C++ snappy since 1.1.10.
    Mask15,
    /// CRC-32C, 15 bits: C++ snappy since 1.1.10 where the processor's CRC instruction was compiled in.
    Crc15,
    /// CRC-32C, 14 bits: C++ snappy 1.1.10 where the processor's CRC instruction was compiled in, as in ClickHouse.
    Crc14,
    /// As `Shift14`, but the skip counter goes up by one a probe: C++ snappy 1.1.0 to 1.1.3, and aircompressor (Trino).
    Shift14Skip1F64,
    /// The same with fragments of 32 KiB: C++ snappy up to 1.0.5, and the Java and Hadoop of that time.
    Shift14Skip1F32,
    /// The npm package snappyjs 0.7: as `Shift14Skip1F64`, but for the rounding of JavaScript's product, the number of slots,
    /// and the end of a fragment.
    SnappyJs07,
}

impl SnappyHash {
    /// All variants, the likeliest first.
    pub const ALL: [Self; 8] = [
        Self::Shift14,
        Self::Mask14,
        Self::Mask15,
        Self::Crc15,
        Self::Crc14,
        Self::Shift14Skip1F64,
        Self::Shift14Skip1F32,
        Self::SnappyJs07,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Shift14 => "shift14",
            Self::Mask14 => "mask14",
            Self::Mask15 => "mask15",
            Self::Crc15 => "crc15",
            Self::Crc14 => "crc14",
            Self::Shift14Skip1F64 => "shift14:skip1:F64",
            Self::Shift14Skip1F32 => "shift14:skip1:F32",
            Self::SnappyJs07 => "snappyjs-0.7",
        }
    }
}

/// How bytes are handed to libzstd, which decides the frame header and with it the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ZstdMode {
    /// All at once: the frame declares its content size, and the window fits it.
    Once,
    /// As a stream that ends after all bytes were given: the frame declares its window only.
    Stream,
}

impl ZstdMode {
    fn name(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Stream => "stream",
        }
    }
}

/// The integrity check of an xz file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum XzCheck {
    /// No check.
    None,
    /// CRC-32.
    Crc32,
    /// CRC-64, the usual one.
    Crc64,
    /// SHA-256.
    Sha256,
}

impl XzCheck {
    /// All checks.
    pub const ALL: [Self; 4] = [Self::Crc64, Self::Crc32, Self::None, Self::Sha256];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Crc32 => "crc32",
            Self::Crc64 => "crc64",
            Self::Sha256 => "sha256",
        }
    }
}

/// What follows the compressed stream inside a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tail {
    /// Nothing.
    None,
    /// `+adler3`: the first three bytes of the big-endian Adler-32 of the decoded bytes. Python's writers cut the zlib
    /// header and one byte too few of the trailer off. After raw deflate only.
    Adler3,
    /// `+emptyframe`: [`EMPTY_ZSTD_FRAME`]. ClickHouse ends a stream that has ended. After zstandard only.
    EmptyFrame,
}

/// The longest tail, in bytes.
const LONGEST_TAIL: usize = EMPTY_ZSTD_FRAME.len();

impl Tail {
    /// All rules.
    pub const ALL: [Self; 3] = [Self::None, Self::Adler3, Self::EmptyFrame];

    /// The tail's bytes, and how many they are.
    pub fn bytes(self, plain: &[u8]) -> ([u8; LONGEST_TAIL], usize) {
        let mut bytes = [0; LONGEST_TAIL];
        match self {
            Self::None => {}
            Self::Adler3 => {
                let sum = zlib_rs::adler32::adler32(1, plain).swap_bytes().to_le_bytes();
                bytes[..3].copy_from_slice(&sum[..3]);
            }
            Self::EmptyFrame => bytes = EMPTY_ZSTD_FRAME,
        }
        (bytes, self.length())
    }

    /// How many bytes it has.
    pub fn length(self) -> usize {
        match self {
            Self::None => 0,
            Self::Adler3 => 3,
            Self::EmptyFrame => EMPTY_ZSTD_FRAME.len(),
        }
    }

    /// How it is written after a method: with a plus, or not at all.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Adler3 => "+adler3",
            Self::EmptyFrame => "+emptyframe",
        }
    }

    /// Whether payloads of a codec may have it.
    fn goes_with(self, codec: Codec) -> bool {
        match self {
            Self::None => true,
            Self::Adler3 => codec == Codec::Deflate,
            Self::EmptyFrame => codec == Codec::Zstandard,
        }
    }

    /// The rule that makes `tail`, the bytes after a compressed stream, if there is one.
    pub fn of(codec: Codec, plain: &[u8], tail: &[u8]) -> Option<Self> {
        let may_be = |rule: &Self| rule.goes_with(codec) && rule.length() == tail.len();
        Self::ALL.into_iter().filter(may_be).find(|rule| {
            let (bytes, length) = rule.bytes(plain);
            bytes[..length] == *tail
        })
    }
}

/// A text names no encoder of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no encoder that this version knows")]
pub struct UnknownEncoder(pub String);

impl Method {
    /// The codec whose payloads it makes.
    pub fn codec(self) -> Codec {
        match self {
            Self::Null => Codec::Null,
            Self::Zlib { .. } | Self::ChromiumZlib { .. } | Self::Miniz { .. } | Self::ZlibNg { .. } => Codec::Deflate,
            Self::Go { .. } | Self::GoHuffman | Self::Libflate | Self::ZlibNg21 { .. } => Codec::Deflate,
            Self::Snappy(_) => Codec::Snappy,
            Self::Zstd157 { .. } | Self::Zstd156 { .. } => Codec::Zstandard,
            Self::Bzip2 { .. } | Self::Bzip2Java { .. } => Codec::Bzip2,
            Self::Xz { .. } => Codec::Xz,
        }
    }

    /// Whether all settings are in range.
    pub fn is_valid(self) -> bool {
        match self {
            Self::Null | Self::Snappy(_) => true,
            Self::Zlib { level, mem_level } | Self::ChromiumZlib { level, mem_level } => {
                (1..=9).contains(&level) && (8..=9).contains(&mem_level)
            }
            Self::Miniz { level } => level <= 10,
            Self::ZlibNg { level, calls } => calls.is_valid(level),
            // At level 1 zlib-rs 0.2.1 is not zlib-ng, and wrong where the room is small.
            Self::ZlibNg21 { level, calls } => level > 1 && calls.is_valid(level),
            Self::GoHuffman | Self::Libflate => true,
            Self::Go { level } | Self::Bzip2 { level } | Self::Bzip2Java { level } => (1..=9).contains(&level),
            Self::Zstd157 { level, .. } => level != 0 && (-131_072..=22).contains(&level),
            Self::Zstd156 { level, .. } => level != 0 && (-7..=15).contains(&level),
            Self::Xz { preset, .. } => preset <= 9,
        }
    }

    /// Roughly how long encoding takes on one core, in nanoseconds a decoded byte: 1000 means 1 MB/s. A fixed table, not
    /// a measurement, so that what follows from it is the same everywhere.
    pub fn cost(self) -> u32 {
        let by_level = |costs: &[u32], level: u8| costs.get(usize::from(level)).copied().unwrap_or(1000);
        match self {
            Self::Null => 1,
            Self::Zlib { level, .. } | Self::ChromiumZlib { level, .. } | Self::Go { level } => {
                by_level(&[12, 12, 14, 18, 20, 28, 42, 55, 100, 140], level)
            }
            Self::Miniz { level } => by_level(&[2, 10, 20, 22, 25, 30, 40, 50, 65, 80, 110], level),
            Self::GoHuffman => 8,
            // Measured: 38 to 113.
            Self::Libflate => 60,
            Self::ZlibNg { level, .. } | Self::ZlibNg21 { level, .. } => {
                by_level(&[5, 5, 8, 10, 12, 14, 16, 22, 32, 45], level)
            }
            Self::Snappy(_) => 3,
            Self::Zstd157 { level, .. } | Self::Zstd156 { level, .. } => match level {
                ..=4 => 5,
                5..=9 => 15,
                10..=12 => 40,
                13..=15 => 120,
                16..=19 => 300,
                20.. => 500,
            },
            // Measured: 64 to 127.
            Self::Bzip2 { .. } => 150,
            Self::Bzip2Java { .. } => 190,
            Self::Xz { preset, extreme, .. } => {
                by_level(&[80, 100, 120, 160, 250, 280, 300, 400, 600, 1000], preset) << u32::from(extreme)
            }
        }
    }

    /// With nothing after the stream.
    pub fn plain(self) -> EncoderId {
        EncoderId { method: self, tail: Tail::None }
    }
}

impl EncoderId {
    /// The codec whose payloads it makes.
    pub fn codec(self) -> Codec {
        self.method.codec()
    }

    /// Whether all settings are in range and the tail is one that the codec has.
    pub fn is_valid(self) -> bool {
        self.method.is_valid() && self.tail.goes_with(self.codec())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Null => f.write_str("null"),
            Self::Zlib { level, mem_level } => write!(f, "zlib:L{level}:M{mem_level}"),
            Self::ChromiumZlib { level, mem_level } => write!(f, "chromium-zlib:L{level}:M{mem_level}"),
            Self::Miniz { level } => write!(f, "miniz:L{level}"),
            Self::Go { level } => write!(f, "go-1.19:L{level}"),
            Self::GoHuffman => f.write_str("go-1.19:huffman"),
            Self::Libflate => f.write_str("libflate-2"),
            Self::ZlibNg { level, calls } => write!(f, "zlib-ng:L{level}{}", calls.suffix()),
            Self::ZlibNg21 { level, calls } => write!(f, "zlib-ng-2.1:L{level}{}", calls.suffix()),
            Self::Snappy(hash) => write!(f, "snappy:{}", hash.name()),
            Self::Zstd157 { mode, level, checksum } => {
                write!(f, "zstd-1.5.7:{}:L{level}{}", mode.name(), if checksum { ":C" } else { "" })
            }
            Self::Zstd156 { mode, level, checksum } => {
                write!(f, "zstd-1.5.6:{}:L{level}{}", mode.name(), if checksum { ":C" } else { "" })
            }
            Self::Bzip2 { level } => write!(f, "bzip2:L{level}"),
            Self::Bzip2Java { level } => write!(f, "bzip2-java:L{level}"),
            Self::Xz { preset, extreme, check } => {
                write!(f, "xz:P{preset}:{}{}", check.name(), if extreme { ":extreme" } else { "" })
            }
        }
    }
}

impl fmt::Display for EncoderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.method, self.tail.suffix())
    }
}

impl FromStr for EncoderId {
    type Err = UnknownEncoder;

    fn from_str(text: &str) -> Result<Self, UnknownEncoder> {
        // No id is longer, and an error should not repeat a megabyte.
        let unknown = || UnknownEncoder(text.chars().take(64).collect());
        let id = parse(text).ok_or_else(unknown)?;
        // One text for each id: numbers with signs or zeros in front do not come back as they were.
        if id.is_valid() && id.to_string() == text { Ok(id) } else { Err(unknown()) }
    }
}

/// Reads leniently; [`EncoderId::from_str`] checks the result.
fn parse(text: &str) -> Option<EncoderId> {
    let (method, suffix) = text.split_at(text.find('+').unwrap_or(text.len()));
    let tail = Tail::ALL.into_iter().find(|tail| tail.suffix() == suffix)?;
    let parts: Vec<&str> = method.splitn(5, ':').collect();
    let method = match parts[..] {
        ["null"] => Method::Null,
        ["zlib", level, mem_level] => Method::Zlib { level: number(level, "L")?, mem_level: number(mem_level, "M")? },
        ["chromium-zlib", level, mem_level] => {
            Method::ChromiumZlib { level: number(level, "L")?, mem_level: number(mem_level, "M")? }
        }
        ["miniz", level] => Method::Miniz { level: number(level, "L")? },
        ["go-1.19", "huffman"] => Method::GoHuffman,
        ["go-1.19", level] => Method::Go { level: number(level, "L")? },
        ["libflate-2"] => Method::Libflate,
        ["zlib-ng", level, ref calls @ ..] => {
            Method::ZlibNg { level: number(level, "L")?, calls: NgCalls::from_parts(calls)? }
        }
        ["zlib-ng-2.1", level, ref calls @ ..] => {
            Method::ZlibNg21 { level: number(level, "L")?, calls: NgCalls::from_parts(calls)? }
        }
        ["snappy", ..] => {
            let name = method.strip_prefix("snappy:")?;
            Method::Snappy(SnappyHash::ALL.into_iter().find(|known| known.name() == name)?)
        }
        ["zstd-1.5.7", mode, level, ref checksum @ ..] => Method::Zstd157 {
            mode: [ZstdMode::Once, ZstdMode::Stream].into_iter().find(|known| known.name() == mode)?,
            level: number(level, "L")?,
            checksum: flag(checksum, "C")?,
        },
        ["zstd-1.5.6", mode, level, ref checksum @ ..] => Method::Zstd156 {
            mode: [ZstdMode::Once, ZstdMode::Stream].into_iter().find(|known| known.name() == mode)?,
            level: number(level, "L")?,
            checksum: flag(checksum, "C")?,
        },
        ["bzip2", level] => Method::Bzip2 { level: number(level, "L")? },
        ["bzip2-java", level] => Method::Bzip2Java { level: number(level, "L")? },
        ["xz", preset, check, ref extreme @ ..] => Method::Xz {
            preset: number(preset, "P")?,
            extreme: flag(extreme, "extreme")?,
            check: XzCheck::ALL.into_iter().find(|known| known.name() == check)?,
        },
        _ => return None,
    };
    Some(EncoderId { method, tail })
}

fn number<T: FromStr>(part: &str, prefix: &str) -> Option<T> {
    part.strip_prefix(prefix)?.parse().ok()
}

/// Nothing, or the one part `name`.
fn flag(parts: &[&str], name: &str) -> Option<bool> {
    match parts {
        [] => Some(false),
        [part] if *part == name => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::encoder::all;

    #[test]
    fn an_id_is_read_back_from_its_text() {
        for id in all() {
            assert_eq!(id.to_string().parse(), Ok(id));
            assert!(id.is_valid());
            assert!(id.method.cost() > 0);
        }
    }

    #[test]
    fn an_id_has_one_text_only() {
        for wrong in [
            "",
            "zlib",
            "zlib:L0:M8",
            "zlib:L10:M8",
            "zlib:L6:M7",
            "zlib:L06:M8",
            "zlib:L+6:M8",
            "zlib:L6:M8:",
            "zlib:L6:M8+",
            "zlib:L6:M8+adler4",
            "zlib:L6:M8+adler3+adler3",
            "ZLIB:L6:M8",
            " zlib:L6:M8",
            "zlib:M8:L6",
            "miniz:L11",
            "miniz:L256",
            "go-1.19:L0",
            "go-1.19:L10",
            "go-1.19:L-2",
            "go-1.19:huffman:L1",
            "go-1.27:L6",
            "libflate-2:L6",
            "libflate-2.3",
            "zlib-ng:L9:O512",
            "zlib-ng:L6:O64",
            "zlib-ng-2.1:L1",
            "zlib-ng-2.1:L7:I128",
            "zlib-ng-2.2:L6",
            "zlib-ng:L6:I128:O512",
            "snappy:crc13",
            "snappy:shift14:skip1",
            "snappy:crc14:skip1:F64",
            "snappy:shift14:skip1:F64:",
            "snappy:snappyjs",
            "snappy:mask14+adler3",
            "zstd-1.5.5:once:L3",
            "zstd-1.5.6:once:L-8",
            "zstd-1.5.6:once:L16",
            "zstd-1.5.6:L3",
            "zstd-1.5.7:once:L0",
            "zstd-1.5.7:once:L-0",
            "zstd-1.5.7:once:L23",
            "zstd-1.5.7:once:L3:c",
            "zstd-1.5.7:once:L3:C:C",
            "bzip2:L0",
            "bzip2-java:L10",
            "xz:P6",
            "xz:P6:crc64:extreme:extreme",
            "xz:P6:extreme",
            "null+adler3",
            "zlib:L6:M8+emptyframe",
            "zstd-1.5.7:once:L3+adler3",
            "zstd-1.5.7:once:L3+",
        ] {
            assert_eq!(wrong.parse::<EncoderId>(), Err(UnknownEncoder(wrong.into())));
        }
        assert!("x".repeat(1 << 20).parse::<EncoderId>().unwrap_err().0.len() <= 64);
    }

    #[test]
    fn a_tail_is_recognised() {
        let plain = b"Wikipedia"; // its Adler-32 is 11E60398
        assert_eq!(Tail::of(Codec::Deflate, plain, &[0x11, 0xe6, 0x03]), Some(Tail::Adler3));
        assert_eq!(Tail::of(Codec::Deflate, plain, &[]), Some(Tail::None));
        assert_eq!(Tail::of(Codec::Deflate, plain, &[0x11, 0xe6, 0x04]), None);
        assert_eq!(Tail::of(Codec::Deflate, plain, &[0x11, 0xe6]), None);
        assert_eq!(Tail::of(Codec::Bzip2, plain, &[0x11, 0xe6, 0x03]), None);
        assert_eq!(Tail::of(Codec::Zstandard, plain, &EMPTY_ZSTD_FRAME), Some(Tail::EmptyFrame));
        assert_eq!(Tail::of(Codec::Zstandard, plain, &EMPTY_ZSTD_FRAME[..8]), None);
        assert_eq!(Tail::of(Codec::Deflate, plain, &EMPTY_ZSTD_FRAME), None);
    }
}
