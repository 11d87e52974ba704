//! What the caller chooses, and what follows from it.

/// Which bytes decide where a string goes in the hash table. It decides which earlier strings are looked at, and so
/// changes the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum HashKind {
    /// Stock zlib: three bytes, shifted and xored.
    Zlib3,
    /// Chromium's zlib, which Node.js embeds: four bytes, multiplied.
    Chromium4,
}

/// The settings of `deflateInit2` that this encoder knows; the window is 32 KiB, the strategy the default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Params {
    /// Compression level, 1 to 9.
    pub level: u8,
    /// zlib's memory level, 8 or 9: the number of symbols in a block and the size of the hash table.
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

/// zlib's limits on the search for one level.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// From this length of the match before, only a quarter of the chain is searched.
    pub(super) good: usize,
    /// Lazy levels: a match this long is taken without looking at the next position.
    /// Greedy levels: the strings inside a longer match are not entered into the hash table.
    pub(super) lazy: usize,
    /// The search ends at a match this long.
    pub(super) nice: usize,
    /// How many strings with the same hash are looked at.
    pub(super) chain: usize,
    /// Whether a match waits for the next position to find a longer one.
    pub(super) is_lazy: bool,
}

impl Params {
    pub(super) fn limits(self) -> Option<Limits> {
        if !(8..=9).contains(&self.mem_level) {
            return None;
        }
        let (good, lazy, nice, chain) = match self.level {
            1 => (4, 4, 8, 4),
            2 => (4, 5, 16, 8),
            3 => (4, 6, 32, 32),
            4 => (4, 4, 16, 16),
            5 => (8, 16, 32, 32),
            6 => (8, 16, 128, 128),
            7 => (8, 32, 128, 256),
            8 => (32, 128, 258, 1024),
            9 => (32, 258, 258, 4096),
            _ => return None,
        };
        Some(Limits { good, lazy, nice, chain, is_lazy: self.level >= 4 })
    }

    /// zlib cuts a block when this many symbols are in it.
    pub(super) fn block_symbols(self) -> usize {
        (1 << (u32::from(self.mem_level) + 6)) - 1
    }

    pub(super) fn hash_bits(self) -> u32 {
        u32::from(self.mem_level) + 7
    }
}
