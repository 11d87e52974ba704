//! Features: what a program must know to deal with a repository.

use crate::error::{Error, Result};

/// Features that must be known to do something with a repository, one bit each. The config names those from the start,
/// `Config` entries of the log add to them; none is ever taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features {
    /// To read it.
    pub read: u64,
    /// To write into it.
    pub write: u64,
    /// To collect garbage in it: a version that does not know an edge between chunks would delete what is needed.
    pub gc: u64,
}

impl Features {
    /// Chunks may be stored as the difference to others: who does not know that can read no such chunk, and who
    /// collects garbage without it deletes what they rest on.
    pub const DELTA: Features = Features { read: 1, write: 0, gc: 1 };

    /// Records may be stored column by column.
    pub const COLUMNAR: Features = Features { read: 2, write: 0, gc: 0 };

    /// What this version knows.
    pub const KNOWN: Features = Self::DELTA.union(Self::COLUMNAR);

    /// Both sets together.
    pub const fn union(self, other: Features) -> Features {
        Features { read: self.read | other.read, write: self.write | other.write, gc: self.gc | other.gc }
    }

    /// Whether all of `other` are among these.
    pub fn contains(self, other: Features) -> bool {
        self.union(other) == self
    }

    /// Refuses features that this version does not know; `what` names one of the three sets.
    pub fn check(required: u64, known: u64, what: &str) -> Result<()> {
        match required & !known {
            0 => Ok(()),
            unknown => Err(Error::Unsupported {
                name: "config".into(),
                reason: format!("{what} this repository needs features {unknown:#x} that this version does not know"),
            }),
        }
    }
}
