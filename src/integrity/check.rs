//! `check`: is everything there, and is it what it should be?

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::data;
use super::structure::{self, Structure};
use crate::report;

use crate::error::{Error, Result};
use crate::id::PackId;
use crate::pack;
use crate::progress::{Phase, Progress};
use crate::store::{Repository, check_settled, looks_away};
use crate::values;

use crate::graph::{Followed, FollowedAll, Lost, follow_all};

/// What to look at. Without any of it, only what can be seen without reading data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct CheckOptions {
    /// Read and decode all packs.
    pub read_data: bool,
    /// Else read and decode these.
    pub read_data_subset: Option<DataSubset>,
    /// Else read and decode those that were not read and found sound on this machine for so long.
    #[serde(deserialize_with = "values::some_duration")]
    pub max_age: Option<Duration>,
}

impl CheckOptions {
    /// Reads and decodes these packs.
    pub fn reading(data: DataSubset) -> Self {
        Self { read_data_subset: Some(data), ..Self::default() }
    }

    values::setters! {
        is read_data: bool;
        some read_data_subset: DataSubset;
        some max_age: Duration;
    }

    /// Which packs are read and decoded, at this time, nanoseconds since 1970 (UTC).
    pub fn data(&self, now: i64) -> DataSubset {
        match (self.read_data, self.read_data_subset, self.max_age) {
            (true, ..) => DataSubset::All,
            (false, Some(subset), _) => subset,
            (false, None, Some(age)) => {
                DataSubset::NotSince(now.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)))
            }
            (false, None, None) => DataSubset::None,
        }
    }
}

/// A part of the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSubset {
    /// None: only what can be seen without reading data.
    None,
    /// All.
    All,
    /// The packs of this part, counted from 1, of all parts.
    Part {
        /// Number of the part, from 1 on.
        part: u32,
        /// Number of parts.
        of: u32,
    },
    /// This share of all bytes, in millionths: those packs that were not read on this machine for the longest time.
    Share(u32),
    /// About this many bytes, chosen in the same way; at least one pack.
    Bytes(u64),
    /// Those that were not read and found sound on this machine since this time, nanoseconds since 1970 (UTC).
    NotSince(i64),
}

impl DataSubset {
    /// Reads a share like `10%`, a size like `500M`, or a part like `2/7`.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is not a subset: write it like 10%, 500M or 2/7");
        if let Some(share) = text.strip_suffix('%') {
            let percent: f64 = share.trim().parse().map_err(|_| wrong())?;
            return match percent > 0.0 && percent <= 100.0 {
                true => Ok(Self::Share((percent * 10_000.0).ceil() as u32)),
                false => Err(wrong()),
            };
        }
        let Some((part, of)) = text.split_once('/') else {
            let bytes = values::parse_size(text).ok().filter(|bytes| *bytes > 0);
            // A bare number would be bytes, and is hardly ever meant so.
            let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
            return bytes.filter(|_| has_unit).map(Self::Bytes).ok_or_else(wrong);
        };
        match (part.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?) {
            (part, of) if (1..=of).contains(&part) => Ok(Self::Part { part, of }),
            _ => Err(wrong()),
        }
    }
}

impl<'de> Deserialize<'de> for DataSubset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        values::from_text(deserializer, Self::parse)
    }
}

/// Result of the check.
#[derive(Debug, Default, Serialize)]
pub struct CheckReport {
    /// What is wrong, in the order in which it was found.
    #[serde(serialize_with = "report::count")]
    pub problems: Vec<Error>,
    /// What snapshots have lost (the first 1000).
    #[serde(skip)]
    pub lost: Vec<Lost>,
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Snapshots that have lost data.
    pub damaged_snapshots: u64,
    /// Parts of runs that were not merged, and records of such runs, that have lost data. They are no snapshots.
    pub damaged_parts: u64,
    /// Files (each once for every snapshot that holds it) of which something is lost, and rows of manifests that are.
    pub lost_paths: u64,
    /// Index objects that the log names and that cannot be read. The packs have what they said.
    pub lost_indexes: u64,
    /// Packs skipped because they were read and found sound lately.
    pub packs_verified_before: u64,
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
    /// Packs that no snapshot needs, and their bytes: garbage, not damage.
    pub unused_packs: u64,
    /// The bytes of those.
    pub unused_bytes: u64,
    /// Packs that are condemned and not deleted yet.
    pub condemned_packs: u64,
    /// Packs of which the log says that something in them is damaged.
    pub damaged_packs: u64,
    /// Packs that are damaged, and of which nothing is lost: their parity brings all of it back.
    pub mendable_packs: u64,
    /// Parity objects that are not what was written.
    pub unsound_parity: u64,
    /// Checkpoints that are not what the log comes to. They are skipped, and harmless.
    pub unsound_checkpoints: u64,
    /// Packs that should have a parity object by the settings of the repository, and have none.
    pub unprotected_packs: u64,
    /// Packs of which the log had something as damaged, and that are whole: it says so now.
    #[serde(rename = "packs_taken_back")]
    pub taken_back: u64,
    /// Packs that should be there and are not.
    pub missing_packs: u64,
    /// Packs that could not be read, so that nothing is known about them. Each is one of the problems.
    #[serde(rename = "unread_packs")]
    pub unread: u64,
}

impl CheckReport {
    /// Whether that many packs are missing that the storage is more likely away, in part, than the packs are lost.
    pub fn looks_away(&self) -> bool {
        looks_away(self.missing_packs, self.packs)
    }
}

/// Looks at the repository. What is wrong is in the report, not an error.
///
/// # Errors
/// If the work itself cannot be done.
pub fn check(repository: &Repository, options: CheckOptions, progress: &dyn Progress) -> Result<CheckReport> {
    let mut listed = Vec::new();
    let mut report = check_each(repository, options, progress, &mut |lost| {
        if listed.len() < LISTED {
            listed.push(lost);
        }
        Ok(())
    })?;
    report.lost = listed;
    Ok(report)
}

/// How much of what snapshots have lost stands in a report.
const LISTED: usize = 1000;

/// As [`check`], and hands all that snapshots have lost to `each_loss` instead of the result, as soon as it is found.
///
/// # Errors
/// Errors of `each_loss`, and if the work itself cannot be done.
pub fn check_each(
    repository: &Repository,
    options: CheckOptions,
    progress: &dyn Progress,
    each_loss: &mut dyn FnMut(Lost) -> Result<()>,
) -> Result<CheckReport> {
    // A cache that is stale or damaged must neither hide damage nor make any up.
    repository.catalog().rebuild()?;
    progress.begin(Phase::CheckStructure, None, None);
    let Structure { mut report, packs, mut bad, mut mendable } = structure::check_structure(repository)?;
    let wanted = options.data(repository.log().clock().now());
    if wanted != DataSubset::None {
        bad.extend(data::check_data(repository, wanted, &packs, &mut report, &mut mendable, progress)?);
    }
    let FollowedAll { state, closure, damaged } = follow_all(repository, &bad, each_loss)?;
    check_history(repository, &mut report)?;
    report.snapshots = state.whole_snapshots().len() as u64;
    report.damaged_snapshots = damaged.iter().filter(|(id, _)| id.is_whole()).count() as u64;
    report.damaged_parts = damaged.len() as u64 - report.damaged_snapshots;
    for (id, followed) in damaged {
        report.lost_paths = report.lost_paths.saturating_add(followed.rows).saturating_add(followed.files);
        report.problems.push(damaged_snapshot(id, &followed));
    }
    // What was met on the way only.
    for pack in repository.packs().mended_packs() {
        let is_known = state.standing.is_condemned(&pack) || state.standing.damaged.contains_key(&pack);
        if !is_known && mendable.insert(pack) {
            report.problems.push(is_mendable(&pack));
        }
    }
    report.mendable_packs = mendable.len() as u64;
    let (inventory, used) = closure.used();
    for (number, pack) in inventory.packs() {
        let frames = inventory.frames_of(number);
        let is_used = frames.flat_map(|(_, frame)| inventory.places_of(frame)).any(|(_, chunk, _)| used.has(chunk));
        if !is_used && !pack.gone && !state.standing.is_condemned(&pack.id) {
            report.unused_packs += 1;
            report.unused_bytes += pack.length;
        }
    }
    Ok(report)
}

/// What the log says from its first entry on: roots that were replaced by others of the same content, and what it comes to,
/// which checkpoints say, too.
fn check_history(repository: &Repository, report: &mut CheckReport) -> Result<()> {
    let history = match repository.log().history() {
        // As far as it was needed to open the repository it could be read.
        Err(error) if error.is_damage() => {
            report.problems.push(error);
            return Ok(());
        }
        history => history?,
    };
    report.unsound_checkpoints = history.unsound_checkpoints.len() as u64;
    for replaced in &history.replaced {
        report.problems.extend(check_settled(repository, replaced)?);
    }
    Ok(())
}

fn damaged_snapshot(id: crate::id::SnapshotId, followed: &Followed) -> Error {
    let mut lost = Vec::new();
    if followed.all {
        lost.push("all of it is lost".to_owned());
    } else if followed.rows > 0 {
        lost.push(format!("{} rows of its manifest are lost", followed.rows));
    }
    if followed.files > 0 {
        lost.push(format!("{} of its files have lost data", followed.files));
    }
    Error::damaged(id.named(), lost.join(", "))
}

/// A pack is damaged, and no data of it is lost.
pub(super) fn is_mendable(pack: &PackId) -> Error {
    Error::damaged(pack::pack_name(pack), "its bytes are not what was written, but its parity brings all of them back")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read() {
        for (text, part) in [
            ("1/1", DataSubset::Part { part: 1, of: 1 }),
            ("3/7", DataSubset::Part { part: 3, of: 7 }),
            ("10%", DataSubset::Share(100_000)),
            ("0.5 %", DataSubset::Share(5000)),
            ("100%", DataSubset::Share(1_000_000)),
            ("500M", DataSubset::Bytes(500 << 20)),
        ] {
            assert_eq!(DataSubset::parse(text), Ok(part));
        }
        for wrong in ["0/3", "4/3", "1/0", "1", "a/b", "1/2/3", "0%", "101%", "-1%", "NaN%", "%", "", "0M", "M", "7"] {
            assert!(DataSubset::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_goes_before_a_part_and_a_part_before_an_age() {
        let day = Duration::from_secs(86_400);
        let aged = CheckOptions::default().max_age(day);
        assert_eq!(aged.data(86_400_000_000_007), DataSubset::NotSince(7));
        assert_eq!(aged.max_age(Duration::MAX).data(7), DataSubset::NotSince(7 - i64::MAX));
        assert_eq!(aged.read_data_subset(DataSubset::Bytes(1)).data(0), DataSubset::Bytes(1));
        assert_eq!(CheckOptions::reading(DataSubset::Bytes(1)).read_data(true).data(0), DataSubset::All);
        assert_eq!(CheckOptions::default().data(0), DataSubset::None);
    }
}
