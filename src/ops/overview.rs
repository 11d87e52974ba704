//! What somebody wants to know first: whether each series is on time, and whether the repository is sound as far as that was looked at.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::select::Listing;
use crate::id::SnapshotId;
use crate::report::utc;
use crate::snapshot::SnapshotRoot;
use crate::store::Repository;

/// How many of the latest snapshots of a series show its rhythm.
const RHYTHM: usize = 12;
/// A snapshot that is later than this much of the usual time after the last one is overdue, ...
const LATE: (i64, i64) = (3, 2);
/// ... but not before this much more than the usual time: nanoseconds.
const SLACK: i64 = 30 * 60 * 1_000_000_000;

/// Whether the next snapshot of a series has been due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    /// It is not yet, going by how the series was made so far.
    OnTime,
    /// It should have been made.
    Overdue,
    /// There are too few snapshots to know.
    Unknown,
}

/// One series.
#[derive(Debug, Clone)]
pub struct SeriesOverview {
    /// Its name.
    pub series: String,
    /// How many snapshots it has.
    pub snapshots: usize,
    /// When the first one was made, nanoseconds since 1970 (UTC).
    pub first: i64,
    /// The last one.
    pub last: SnapshotRoot,
    /// How long it usually takes from one to the next, nanoseconds; none where there are fewer than three.
    pub rhythm: Option<i64>,
    /// Whether the next one has been due.
    pub due: Due,
}

/// What is known of the soundness of the repository, without reading it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Packs.
    pub packs: u64,
    /// Packs in which something is damaged, as far as the log knows.
    pub packs_damaged: u64,
    /// Packs that this machine has read and found sound.
    pub packs_verified: u64,
    /// When the one that was verified longest ago was, nanoseconds since 1970; none if one never was.
    pub oldest_check: Option<i64>,
    /// When a pack was verified last; none if none was.
    pub newest_check: Option<i64>,
    /// Snapshots whose root cannot be read.
    pub unreadable: Vec<SnapshotId>,
    /// Files that the last snapshots of all series could not read.
    pub files_unread: u64,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Overview {
    /// When it was made, nanoseconds since 1970 (UTC).
    pub time: i64,
    /// The series, by name.
    pub series: Vec<SeriesOverview>,
    /// The repository.
    pub health: Health,
}

/// Looks at the roots and at what this machine remembers of checks. Reads no pack.
pub fn overview(repository: &Repository, listing: &Listing) -> Overview {
    let time = repository.log().clock().now();
    let mut by_name: BTreeMap<&str, Vec<&SnapshotRoot>> = BTreeMap::new();
    for root in &listing.snapshots {
        by_name.entry(&root.series).or_default().push(root);
    }
    let series: Vec<SeriesOverview> =
        by_name.into_values().filter_map(|snapshots| SeriesOverview::of(&snapshots, time)).collect();
    let files_unread = series.iter().map(|series| series.last.totals.unreadable).sum();
    let health = Health { files_unread, ..health(repository, listing) };
    Overview { time, series, health }
}

fn health(repository: &Repository, listing: &Listing) -> Health {
    let catalog = repository.catalog();
    let verified = repository.packs().verified();
    let times: Vec<Option<i64>> =
        catalog.index().packs_known().iter().map(|(pack, _)| verified.verified(pack)).collect();
    let known = || times.iter().copied().flatten();
    let all_known = times.iter().all(Option::is_some);
    Health {
        packs: times.len() as u64,
        packs_damaged: catalog.damaged_packs().len() as u64,
        packs_verified: known().count() as u64,
        oldest_check: known().min().filter(|_| all_known),
        newest_check: known().max(),
        unreadable: listing.unreadable.iter().map(|(id, _)| *id).collect(),
        files_unread: 0,
    }
}

impl SeriesOverview {
    /// From its snapshots, by their time.
    fn of(snapshots: &[&SnapshotRoot], now: i64) -> Option<Self> {
        let (first, last) = (snapshots.first()?, snapshots.last()?);
        let times: Vec<i64> = snapshots.iter().map(|root| root.time).collect();
        let rhythm = rhythm(&times);
        Some(Self {
            series: last.series.clone(),
            snapshots: snapshots.len(),
            first: first.time,
            last: (*last).clone(),
            rhythm,
            due: due(last.time, rhythm, now),
        })
    }

    /// What is said about it in a list of all series.
    pub fn is_sound(&self) -> bool {
        self.due != Due::Overdue && self.last.totals.unreadable == 0
    }
}

/// The middle one of the latest times between snapshots.
fn rhythm(times: &[i64]) -> Option<i64> {
    let latest = &times[times.len().saturating_sub(RHYTHM + 1)..];
    let mut gaps: Vec<i64> = latest.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    if gaps.len() < 2 {
        return None;
    }
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied()
}

fn due(last: i64, rhythm: Option<i64>, now: i64) -> Due {
    let Some(rhythm) = rhythm else { return Due::Unknown };
    let late = (rhythm / LATE.1).saturating_mul(LATE.0).max(rhythm.saturating_add(SLACK));
    if now.saturating_sub(last) > late { Due::Overdue } else { Due::OnTime }
}

impl Serialize for SeriesOverview {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut series = serializer.serialize_struct("SeriesOverview", 7)?;
        series.serialize_field("series", &self.series)?;
        series.serialize_field("snapshots", &self.snapshots)?;
        series.serialize_field("first_time", &utc(i128::from(self.first)))?;
        series.serialize_field("last_snapshot_id", &self.last.id)?;
        series.serialize_field("last_time", &utc(i128::from(self.last.time)))?;
        series.serialize_field("rhythm_secs", &self.rhythm.map(|rhythm| rhythm / 1_000_000_000))?;
        series.serialize_field("due", &self.due)?;
        series.end()
    }
}

impl Serialize for Health {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = |time: Option<i64>| time.map(|time| utc(i128::from(time)));
        let mut health = serializer.serialize_struct("Health", 7)?;
        health.serialize_field("packs", &self.packs)?;
        health.serialize_field("packs_damaged", &self.packs_damaged)?;
        health.serialize_field("packs_verified", &self.packs_verified)?;
        health.serialize_field("oldest_check", &time(self.oldest_check))?;
        health.serialize_field("newest_check", &time(self.newest_check))?;
        health.serialize_field("snapshots_unreadable", &self.unreadable)?;
        health.serialize_field("files_unread", &self.files_unread)?;
        health.end()
    }
}

impl Serialize for Overview {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut overview = serializer.serialize_struct("Overview", 3)?;
        overview.serialize_field("time", &utc(i128::from(self.time)))?;
        overview.serialize_field("series", &self.series)?;
        overview.serialize_field("health", &self.health)?;
        overview.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * 1_000_000_000;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn a_series_is_overdue_by_its_own_rhythm() {
        assert_eq!(rhythm(&[]), None);
        assert_eq!(rhythm(&[0, DAY]), None);
        // One night that came late, and one that came twice, do not change it.
        let nights = [0, DAY, 2 * DAY, 3 * DAY + 5 * HOUR, 4 * DAY, 4 * DAY + HOUR, 5 * DAY, 6 * DAY];
        let rhythm = rhythm(&nights).unwrap();
        assert!((20 * HOUR..=DAY).contains(&rhythm), "{rhythm}");
        assert_eq!(due(6 * DAY, Some(DAY), 7 * DAY + 11 * HOUR), Due::OnTime);
        assert_eq!(due(6 * DAY, Some(DAY), 7 * DAY + 13 * HOUR), Due::Overdue);
        assert_eq!(due(6 * DAY, None, 70 * DAY), Due::Unknown);
        // What is made every minute is not overdue after two.
        assert_eq!(due(0, Some(HOUR / 60), HOUR / 30), Due::OnTime);
        assert_eq!(due(i64::MIN, Some(i64::MAX), i64::MAX), Due::OnTime);
    }
}
