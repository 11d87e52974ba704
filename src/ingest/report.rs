//! What a caller chooses about containers, and what is learned about them.

use serde::{Deserialize, Serialize};

/// How far to look into containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AvroReport {
    /// Containers.
    #[serde(rename = "avro_files")]
    pub files: u64,
    /// Torn, damaged and foreign ones, among those that were not read again, too.
    #[serde(rename = "avro_unsound")]
    pub unsound: u64,
    /// Files with fewer records than in their last sound state.
    #[serde(rename = "avro_shrunk")]
    pub shrunk: u64,
    /// Files that are gone, with nothing new that makes up for them.
    #[serde(rename = "avro_missing")]
    pub missing: u64,
    /// Records that their blocks declare.
    #[serde(rename = "avro_records")]
    pub records: u64,
    /// Blocks that an encoder reproduces exactly.
    #[serde(rename = "avro_blocks_exact")]
    pub blocks_exact: u64,
    /// Blocks that an encoder reproduces with corrections.
    #[serde(rename = "avro_blocks_corrected")]
    pub blocks_corrected: u64,
    /// Blocks kept as their payload.
    #[serde(rename = "avro_blocks_raw")]
    pub blocks_raw: u64,
    /// What is known of the writers of sound files with blocks that are kept as their payload.
    #[serde(rename = "avro_unknown_writers")]
    pub unknown_writers: Vec<UnknownWriter>,
}

/// How many kinds of unknown writers are distinguished; the last one stands for all others, too.
pub(super) const UNKNOWN_WRITERS: usize = 16;

/// Sound files with blocks that are kept as their payload, for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownWriter {
    /// Why they are, and what can be seen of the writer.
    pub reason: String,
    /// Such files.
    pub files: u64,
    /// Blocks in them that are kept.
    pub blocks: u64,
}
