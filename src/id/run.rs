//! The ids of a run: a snapshot that several processes make together, each a part of it (`docs/format.md`, "Parts").
//!
//! They follow from the name of the run, so that each process finds the run without asking another one, and of two that
//! append the same thing the log lets one through.

use super::{Digester, RepositoryId, SnapshotId};

/// What the ids of parts, and of records of runs, begin with. A random id begins so once in 2^48 cases.
const PREFIX: [u8; 6] = *b"snprun";

/// The ids of one run in one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunIds {
    run: [u8; 6],
    merged: SnapshotId,
}

impl RunIds {
    /// Those of the run with this name.
    pub fn new(repository: RepositoryId, name: &str) -> Self {
        let mut digester = Digester::new();
        digester.update(b"snap 2026-11 v1 run\0");
        digester.update(repository.as_bytes());
        digester.update(name.as_bytes());
        let hash = digester.finish();
        let (mut run, mut merged) = ([0; 6], [0; 16]);
        run.copy_from_slice(&hash[..6]);
        merged.copy_from_slice(&hash[16..]);
        Self { run, merged: SnapshotId::new(merged) }
    }

    /// The id of the record: what says what the run is to save.
    pub fn record(&self) -> SnapshotId {
        self.part(0)
    }

    /// The id of a part, counted from 1.
    pub fn part(&self, number: u32) -> SnapshotId {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&PREFIX);
        id[6..12].copy_from_slice(&self.run);
        id[12..].copy_from_slice(&number.to_le_bytes());
        SnapshotId::new(id)
    }

    /// The ids of the record and of this number of parts.
    pub fn all(&self, of: u32) -> Vec<SnapshotId> {
        (0..=of).map(|number| self.part(number)).collect()
    }

    /// The id of the snapshot that the parts become.
    pub fn merged(&self) -> SnapshotId {
        self.merged
    }
}

impl SnapshotId {
    /// The run that this is a part or the record of; none for a snapshot.
    pub fn of_run(&self) -> Option<[u8; 6]> {
        let (prefix, rest) = self.as_bytes().split_first_chunk::<6>()?;
        (*prefix == PREFIX).then(|| rest.first_chunk().copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_run_follow_from_its_name() {
        let repository = RepositoryId::new([7; 16]);
        let ids = RunIds::new(repository, "nightly");
        assert_eq!(ids, RunIds::new(repository, "nightly"));
        let others = [RunIds::new(repository, "nightly-2"), RunIds::new(RepositoryId::new([8; 16]), "nightly")];
        for other in others {
            assert!(ids.record() != other.record() && ids.part(3) != other.part(3) && ids.merged() != other.merged());
            assert_ne!(ids.record().of_run(), other.part(1).of_run());
        }
        assert_ne!(ids.part(1), ids.part(2));
        assert_eq!(ids.record().of_run(), ids.part(4096).of_run());
        assert!(ids.record().of_run().is_some() && ids.merged().of_run().is_none());
    }
}
