//! `check`: is everything there, and is it what it should be?

use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::repository::Repository;

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// Which packs are read and decoded.
    pub data: DataSubset,
    /// How many packs are read at once.
    pub threads: usize,
}

/// A part of the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSubset {
    /// None: only what can be seen without reading data.
    None,
    /// All.
    All,
    /// Those of this part (from 1 on) of so many.
    Part {
        /// Which part.
        part: u32,
        /// Of how many.
        of: u32,
    },
}

/// What was found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Error>,
    /// Paths that cannot be restored, with the snapshots that hold them (the first 1000).
    pub lost_paths: Vec<(crate::id::SnapshotId, Vec<u8>)>,
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Packs read and decoded.
    pub packs_read: u64,
    /// Chunks that the packs hold.
    pub chunks: u64,
    /// Bytes read from packs.
    pub bytes_read: u64,
    /// Packs that nothing names: garbage, not damage.
    pub unindexed_packs: u64,
}

/// Looks at the repository. What is wrong is in the report, not an error.
///
/// # Errors
/// If the work itself cannot be done.
pub fn check(repository: &Repository, options: CheckOptions, progress: &dyn Progress) -> Result<CheckReport> {
    let _ = (repository, options, progress);
    Ok(CheckReport::default())
}
