//! What the caller chooses, and the limits of the search that follow from it.

/// Whose deflate is reproduced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[non_exhaustive]
pub enum Variant {
    /// Stock zlib, 1.2.11 to 1.3.2: a hash of three bytes. What Java, Python and git write with.
    Zlib,
    /// Chromium's zlib, which Node.js embeds: a hash of four bytes.
    Chromium,
    /// Go's `compress/flate`, Go 1.19 to 1.26. It has no memory level: 8 stands for it.
    Go,
    /// Go's level -2, `HuffmanOnly`: there are no matches. It has neither level nor memory level: 0 and 8 stand for them.
    GoHuffman,
}

/// Which `deflateInit2`, or which writer of Go's, is reproduced: variant, level and memory level. The window is 32 KiB, the
/// strategy the default, the format raw.
///
/// ```
/// use exact_deflate::{Settings, Variant};
///
/// let settings = Settings::new(Variant::Chromium, 9, 8)?;
/// assert_eq!((settings.variant(), settings.level(), settings.mem_level()), (Variant::Chromium, 9, 8));
/// assert_eq!(settings.to_string(), "chromium level 9, memory level 8");
/// assert_eq!(Settings::default(), Settings::zlib(6)?);
/// assert!(Settings::zlib(0).is_err());
/// assert_eq!(Settings::go(6)?.to_string(), "go level 6");
/// assert_eq!(Settings::go_huffman().to_string(), "go huffman only");
/// # Ok::<(), exact_deflate::InvalidSettings>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Settings {
    pub(crate) variant: Variant,
    pub(crate) level: u8,
    pub(crate) mem_level: u8,
}

impl Settings {
    /// The settings for a variant, a level of 1 to 9 and a memory level of 8 or 9; [`Variant`] says what those have that
    /// know no such levels.
    ///
    /// # Errors
    /// [`InvalidSettings`] if one of them is out of range.
    pub fn new(variant: Variant, level: u8, mem_level: u8) -> Result<Self, InvalidSettings> {
        let is_valid = match variant {
            Variant::Zlib | Variant::Chromium => (1..=9).contains(&level) && (8..=9).contains(&mem_level),
            Variant::Go => (1..=9).contains(&level) && mem_level == 8,
            Variant::GoHuffman => level == 0 && mem_level == 8,
        };
        match is_valid {
            true => Ok(Self { variant, level, mem_level }),
            false => Err(InvalidSettings { level, mem_level }),
        }
    }

    /// What `deflateInit2` of stock zlib does with its default memory level, 8.
    ///
    /// # Errors
    /// [`InvalidSettings`] if the level is not 1 to 9.
    pub fn zlib(level: u8) -> Result<Self, InvalidSettings> {
        Self::new(Variant::Zlib, level, 8)
    }

    /// What Go's `flate.NewWriter` does at a level of 1 to 9, given the whole input in one `Write` and then closed. Its
    /// default level, -1, is 6.
    ///
    /// # Errors
    /// [`InvalidSettings`] if the level is not 1 to 9.
    pub fn go(level: u8) -> Result<Self, InvalidSettings> {
        Self::new(Variant::Go, level, 8)
    }

    /// What Go's `flate.NewWriter` does at level -2, `HuffmanOnly`.
    pub fn go_huffman() -> Self {
        Self { variant: Variant::GoHuffman, level: 0, mem_level: 8 }
    }

    /// All settings there are, for finding those that made a stream. zlib's with memory level 8 come first, the default
    /// level before the others.
    pub fn all() -> impl Iterator<Item = Self> {
        let families =
            [(Variant::Zlib, 8), (Variant::Chromium, 8), (Variant::Zlib, 9), (Variant::Chromium, 9), (Variant::Go, 8)];
        let levels = [6, 9, 1, 2, 3, 4, 5, 7, 8];
        families
            .into_iter()
            .flat_map(move |(variant, mem_level)| levels.map(|level| Self { variant, level, mem_level }))
            .chain([Self::go_huffman()])
    }

    /// Whose deflate it is.
    pub fn variant(self) -> Variant {
        self.variant
    }

    /// The compression level, 1 to 9; 0 for Go's `HuffmanOnly`.
    pub fn level(self) -> u8 {
        self.level
    }

    /// zlib's memory level, 8 or 9; 8 for Go. It sets the number of symbols in a block and the size of the hash table.
    pub fn mem_level(self) -> u8 {
        self.mem_level
    }

    pub(crate) fn is_go(self) -> bool {
        matches!(self.variant, Variant::Go | Variant::GoHuffman)
    }

    /// `configuration_table` of zlib's `deflate.c`, and what Go's levels 2 to 9 make of it: nothing shortens a search, and
    /// at the greedy levels the strings inside matches of up to 5 and 6 bytes are entered.
    pub(crate) fn limits(self) -> Limits {
        let (good, lazy, nice, chain) = match self.level {
            1 => (4, 4, 8, 4),
            2 => (4, 5, 16, 8),
            3 => (4, 6, 32, 32),
            4 => (4, 4, 16, 16),
            5 => (8, 16, 32, 32),
            6 => (8, 16, 128, 128),
            7 => (8, 32, 128, 256),
            8 => (32, 128, 258, 1024),
            _ => (32, 258, 258, 4096),
        };
        let is_lazy = self.level >= 4;
        let good = if self.is_go() { usize::MAX } else { good };
        Limits { good, lazy, nice, chain, is_lazy }
    }

    /// A block is cut when this many symbols are in it (not at Go's quickest levels).
    pub(crate) fn block_symbols(self) -> usize {
        (1 << (u32::from(self.mem_level) + 6)) - usize::from(!self.is_go())
    }

    pub(crate) fn hash_bits(self) -> u32 {
        u32::from(self.mem_level) + 7
    }
}

impl Default for Settings {
    /// zlib's own defaults: level 6, memory level 8.
    fn default() -> Self {
        Self { variant: Variant::Zlib, level: 6, mem_level: 8 }
    }
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let variant = match self.variant {
            Variant::Zlib => "zlib",
            Variant::Chromium => "chromium",
            Variant::Go => return write!(f, "go level {}", self.level),
            Variant::GoHuffman => return f.write_str("go huffman only"),
        };
        write!(f, "{variant} level {}, memory level {}", self.level, self.mem_level)
    }
}

/// A level or a memory level that the variant has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct InvalidSettings {
    /// The level asked for.
    pub level: u8,
    /// The memory level asked for.
    pub mem_level: u8,
}

impl std::fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no exact deflate for level {} and memory level {}", self.level, self.mem_level)
    }
}

impl std::error::Error for InvalidSettings {}

/// zlib's limits on the search for one level.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From this length of the match before, only a quarter of the chain is searched.
    pub(crate) good: usize,
    /// Lazy levels: a match this long is taken without looking at the next position.
    /// Greedy levels: the strings inside a longer match are not entered into the hash table.
    pub(crate) lazy: usize,
    /// The search ends at a match this long.
    pub(crate) nice: usize,
    /// How many strings with the same hash are looked at.
    pub(crate) chain: usize,
    /// Whether a match waits for the next position to find a longer one.
    pub(crate) is_lazy: bool,
}
