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
    /// The run that this is a part or the record of; none for a whole snapshot.
    pub fn run_of_part(&self) -> Option<[u8; 6]> {
        let (prefix, rest) = self.as_bytes().split_first_chunk::<6>()?;
        (*prefix == PREFIX).then(|| rest.first_chunk().copied()).flatten()
    }

    /// Its number in its run, if it is a part; 0 for the record of a run; none for a whole snapshot.
    pub fn part_number(&self) -> Option<u32> {
        self.run_of_part()?;
        self.as_bytes().last_chunk().map(|number| u32::from_le_bytes(*number))
    }

    /// Whether it is a snapshot, and not a part of one or the record of a run.
    pub fn is_whole(&self) -> bool {
        self.run_of_part().is_none()
    }

    /// What it is called in messages. All parts of all runs begin alike, so a short id tells nothing of them.
    pub fn named(&self) -> String {
        match self.part_number() {
            None => format!("snapshot {}", self.short()),
            Some(0) => format!("the record of a run ({self})"),
            Some(number) => format!("part {number} of a run ({self})"),
        }
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
            assert_ne!(ids.record().run_of_part(), other.part(1).run_of_part());
        }
        assert_ne!(ids.part(1), ids.part(2));
        assert_eq!(ids.record().run_of_part(), ids.part(4096).run_of_part());
        assert!(ids.record().run_of_part().is_some() && ids.merged().is_whole());
        assert_eq!([ids.record(), ids.part(300), ids.merged()].map(|id| id.part_number()), [Some(0), Some(300), None]);
        assert_eq!(ids.part(2).named(), format!("part 2 of a run ({})", ids.part(2)));
    }

    /// Other processes find a run by them, also those of other versions.
    #[test]
    fn the_ids_of_a_run_do_not_change() {
        let ids = RunIds::new(RepositoryId::new([7; 16]), "nightly");
        assert_eq!(ids.record().to_string(), "736e7072756e1b7112ea005c00000000");
        assert_eq!(ids.part(1).to_string(), "736e7072756e1b7112ea005c01000000");
        assert_eq!(ids.merged().to_string(), "9b56d0d3bcbed1d73c55e6e181eb140c");
    }
}
