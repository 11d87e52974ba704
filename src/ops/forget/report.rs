//! What `forget` reports.

use serde::ser::{Serialize, Serializer};

use super::{Decision, Kept, Removed, Savings, Undone};
use crate::id::SnapshotId;
use crate::report::utc;
use crate::snapshot::SnapshotRoot;

impl Decision {
    /// Why it is kept, in words.
    pub fn reasons(&self) -> Vec<String> {
        let reasons = self.kept_for.iter().map(|kept| match kept {
            Kept::Rule(reason) => reason.to_string(),
            Kept::Sound(loss) => loss.to_string(),
        });
        reasons.collect()
    }

    /// What is done with it: `keep` or `remove`.
    pub fn action(&self) -> &'static str {
        if self.kept_for.is_empty() { "remove" } else { "keep" }
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Row<'a> {
            #[serde(flatten)]
            snapshot: &'a SnapshotRoot,
            action: &'static str,
            reasons: Vec<String>,
        }
        Row { snapshot: &self.snapshot, action: self.action(), reasons: self.reasons() }.serialize(serializer)
    }
}

impl Serialize for Savings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Freed {
            chunks_freed: u64,
            bytes_freed_plain: u64,
            bytes_freed: u64,
            unreadable: u64,
        }
        let Self { chunks, plain, stored, unreadable } = *self;
        Freed { chunks_freed: chunks, bytes_freed_plain: plain, bytes_freed: stored, unreadable }.serialize(serializer)
    }
}

impl Serialize for Removed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// All that is known where the root cannot be read.
        #[derive(serde::Serialize)]
        struct Name {
            id: SnapshotId,
            short_id: String,
        }
        #[derive(serde::Serialize)]
        struct Row<'a> {
            #[serde(flatten)]
            root: Option<&'a SnapshotRoot>,
            #[serde(flatten)]
            name: Option<Name>,
            removed_at: String,
            removed_by_entry: u64,
        }
        let name = || Name { id: self.id(), short_id: self.id().short() };
        let row = Row {
            root: self.root.as_ref().ok(),
            name: self.root.is_err().then(name),
            removed_at: utc(i128::from(self.logged.time)),
            removed_by_entry: self.logged.entry,
        };
        row.serialize(serializer)
    }
}

impl Serialize for Undone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Back => "restored",
            Self::There => "there",
            Self::Swept(_) => "swept",
        })
    }
}
