//! What a caller chooses about containers, and what is learned about them.

/// How far to look into containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Decode payloads where an encoder reproduces them.
    #[default]
    Deep,
    /// Take containers apart, keep compressed payloads whole.
    Frame,
    /// Treat them as any other file.
    Bytes,
}

/// What was learned about the containers that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AvroReport {
    /// Containers.
    pub files: u64,
    /// Torn, damaged and foreign ones, among those that were not read again, too.
    pub unsound: u64,
    /// Files with fewer records than in their last sound state.
    pub shrunk: u64,
    /// Files that are gone, with nothing new that makes up for them.
    pub missing: u64,
    /// Records that their blocks declare.
    pub records: u64,
    /// Blocks that an encoder reproduces exactly.
    pub blocks_exact: u64,
    /// Blocks that an encoder reproduces with corrections.
    pub blocks_corrected: u64,
    /// Blocks kept as their payload.
    pub blocks_raw: u64,
}
