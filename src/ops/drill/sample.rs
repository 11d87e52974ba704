//! Which files of a snapshot are drawn.
//!
//! Each file has a number that follows from its path and the seed. The files with the smallest numbers are drawn, so a sample is the
//! same for the same seed, however it is made, and each file is as likely to be in it as any other. No list of files is kept.

use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::error::Result;
use crate::id::digest;
use crate::ops::is_at_or_below;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::store::Repository;
use crate::values;

/// How much of the files is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sample {
    /// This many files.
    Files(u64),
    /// This share of the files, in thousandths of a percent; one file at least.
    Share(u32),
}

impl Default for Sample {
    /// A hundred files. If one file in twenty were damaged, the chance that none of a hundred is met would be 0.6 %.
    fn default() -> Self {
        Self::Files(100)
    }
}

impl FromStr for Sample {
    type Err = String;

    /// Reads `5%`, `0.1%` or `100`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is not a sample: write a number of files, or a share like 5% or 0.1%");
        let Some(percent) = text.trim().strip_suffix('%') else {
            return text.trim().parse().ok().filter(|files| *files > 0).map(Self::Files).ok_or_else(wrong);
        };
        let (whole, part) = percent.split_once('.').unwrap_or((percent, ""));
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 3 || part.len() > 3 || !is_number(whole) || !is_number(part) {
            return Err(wrong());
        }
        let thousandths: u32 = format!("{whole}{part:0<3}").parse().map_err(|_| wrong())?;
        Some(thousandths).filter(|share| (1..=100_000).contains(share)).map(Self::Share).ok_or_else(wrong)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(files) => files.fmt(f),
            Self::Share(share) => {
                let text = format!("{}.{:03}", share / 1000, share % 1000);
                write!(f, "{}%", text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        values::from_text(deserializer, Self::from_str)
    }
}

impl Sample {
    fn of(self, files: u64) -> u64 {
        match self {
            Self::Files(wanted) => wanted.min(files),
            Self::Share(share) => {
                let wanted = (u128::from(files) * u128::from(share)).div_ceil(100_000);
                u64::try_from(wanted).unwrap_or(files).min(files)
            }
        }
    }
}

/// The files that are drawn.
#[derive(Debug, Clone)]
pub(super) struct Drawn<'s> {
    seed: u64,
    subfolder: &'s [u8],
    /// The largest number of those that are drawn; none if no file is.
    last: Option<u64>,
    /// All files that could have been drawn.
    pub(super) files_of: u64,
    /// Their bytes.
    pub(super) bytes_of: u64,
}

impl<'s> Drawn<'s> {
    /// Draws from the regular files at or below a path of a snapshot.
    pub(super) fn new(
        repository: &Repository,
        snapshot: &SnapshotRoot,
        subfolder: &'s [u8],
        sample: Sample,
        seed: u64,
    ) -> Result<Self> {
        let mut all = Self { seed, subfolder, last: Some(u64::MAX), files_of: 0, bytes_of: 0 };
        let (mut files_of, mut bytes_of) = (0, 0);
        all.each(repository, snapshot, &mut |row| {
            files_of += 1;
            bytes_of = u64::saturating_add(bytes_of, row.size);
            Ok(())
        })?;
        (all.files_of, all.bytes_of) = (files_of, bytes_of);
        let wanted = usize::try_from(sample.of(files_of)).unwrap_or(usize::MAX);
        if wanted as u64 == files_of {
            return Ok(all);
        }
        let mut smallest = BinaryHeap::new();
        all.each(repository, snapshot, &mut |row| {
            smallest.push(number(seed, &row.path));
            if smallest.len() > wanted {
                smallest.pop();
            }
            Ok(())
        })?;
        Ok(Self { last: smallest.peek().copied(), ..all })
    }

    /// Does something with each of them, in the order of the manifest.
    pub(super) fn each(
        &self,
        repository: &Repository,
        snapshot: &SnapshotRoot,
        work: &mut dyn FnMut(FileEntry) -> Result<()>,
    ) -> Result<()> {
        let mut rows = snapshot.rows(repository);
        rows.seek(self.subfolder)?;
        while let Some(row) = rows.next_row()? {
            repository.runtime().go_on()?;
            if !is_at_or_below(&row.path, self.subfolder) {
                break;
            }
            let has_content = row.kind == EntryKind::File && row.hard_link.is_none();
            if has_content && self.last.is_some_and(|last| number(self.seed, &row.path) <= last) {
                work(row)?;
            }
        }
        Ok(())
    }
}

/// The number of a file.
fn number(seed: u64, path: &[u8]) -> u64 {
    let hash = digest(&[&seed.to_le_bytes(), path].concat());
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_and_written() {
        for (text, sample) in [
            ("1", Sample::Files(1)),
            ("100", Sample::Files(100)),
            ("5%", Sample::Share(5000)),
            ("0.1%", Sample::Share(100)),
            ("12.345%", Sample::Share(12_345)),
            ("100%", Sample::Share(100_000)),
        ] {
            assert_eq!(text.parse(), Ok(sample));
            assert_eq!(sample.to_string(), text);
        }
        for wrong in ["", "0", "-1", "%", "0%", "101%", "1.2345%", "x%", "1.5", ".5%"] {
            assert!(wrong.parse::<Sample>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_is_rounded_up() {
        assert_eq!([0, 1, 19, 20, 21, 1000].map(|files| Sample::Share(5000).of(files)), [0, 1, 1, 1, 2, 50]);
        assert_eq!([0, 7, 100, 101].map(|files| Sample::default().of(files)), [0, 7, 100, 100]);
    }
}
