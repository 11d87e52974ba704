//! What the library reports while it works, to a terminal or a test. The library itself never prints.

use std::path::Path;

use serde::Serialize;

/// Listens to a long operation. Called from several threads; must return quickly.
pub trait Progress: Send + Sync {
    /// A part of the work begins; `total_bytes` and `total_files` where they are known.
    fn begin(&self, phase: Phase, total_files: Option<u64>, total_bytes: Option<u64>) {
        let _ = (phase, total_files, total_bytes);
    }

    /// More is known to be ahead than was said so far.
    fn more_ahead(&self, files: u64, bytes: u64) {
        let _ = (files, bytes);
    }

    /// `count` bytes were dealt with since the last call.
    fn bytes(&self, count: u64) {
        let _ = count;
    }

    /// `count` files were dealt with since the last call.
    fn files(&self, count: u64) {
        let _ = count;
    }

    /// The work is now at this path. Whether it succeeds is not known yet.
    fn at(&self, path: &Path) {
        let _ = path;
    }

    /// What was asked for is done with the file at this path: it is stored, copied or restored.
    fn done(&self, path: &Path) {
        let _ = path;
    }

    /// Something in the target was changed, or on a dry run would be, or is found to be as it should.
    fn change(&self, change: Change, path: &Path) {
        let _ = (change, path);
    }

    /// Something is wrong, but the work goes on.
    fn warning(&self, warning: &Warning) {
        let _ = warning;
    }
}

/// What happens to something in the target of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is not there, and would be made.
    New,
    /// It is not as in the snapshot, and would be replaced.
    Differs,
    /// It is as in the snapshot, as far as its size and times say.
    Same,
    /// It is not in the snapshot, and was or would be removed.
    Deleted,
}

/// The parts of long work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Bringing the local index up to date.
    Index,
    /// Reading files and storing what is new.
    Create,
    /// Copying a snapshot from another repository.
    Copy,
    /// Writing files.
    Restore,
    /// Reading what was restored and comparing.
    Verify,
    /// Storing data again.
    Repair,
    /// Looking at the structure of the repository.
    CheckStructure,
    /// Reading and decoding packs.
    CheckData,
    /// Finding out what is needed; files are snapshots.
    Mark,
    /// Copying what is needed out of packs; files are packs.
    Repack,
    /// Deleting; files are objects.
    Sweep,
}

/// Something worth knowing that does not stop the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file or object concerned.
    pub path: String,
    /// What is wrong with it, and what was done about it.
    pub message: String,
    /// Whether the source file could not be (fully) stored, so that the exit code must say so.
    pub incomplete: bool,
}

/// Drops all reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
