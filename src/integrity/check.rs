//! `check`: is everything there, and is it what it should be?

use serde::Serialize;

use super::data;
use super::structure::{self, Structure};
use crate::report;

use crate::error::{Error, Result};
use crate::id::PackId;
use crate::pack;
use crate::progress::{Phase, Progress};
use crate::store::{Repository, looks_away};

use crate::graph::{Followed, FollowedAll, Lost, follow_all};

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// Which packs are read and decoded.
    pub data: DataSubset,
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
    /// This share of all bytes, in millionths: those packs that were not read on this machine for the longest time.
    Share(u32),
    /// About this many bytes, chosen in the same way; at least one pack.
    Bytes(u64),
    /// Those that were not read and found sound on this machine since this time, nanoseconds since 1970 (UTC).
    NotSince(i64),
}

/// What was found.
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
    /// Snapshots that have lost something.
    pub damaged_snapshots: u64,
    /// Files (each once for every snapshot that holds it) of which something is lost, and rows of manifests that are.
    pub lost_paths: u64,
    /// Index objects that the log names and that cannot be read. The packs have what they said.
    pub lost_indexes: u64,
    /// Packs passed over because they were read and found sound lately.
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
    /// Checkpoints that are not what the log comes to. They are passed over, and harmless.
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
    /// Whether so many packs are missing that the storage is more likely away, in part, than the packs are lost.
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

/// As [`check`], and hands all that snapshots have lost to `tell` instead of the report, as soon as it is found.
///
/// # Errors
/// Those of `tell`, and if the work itself cannot be done.
pub fn check_each(
    repository: &Repository,
    options: CheckOptions,
    progress: &dyn Progress,
    tell: &mut dyn FnMut(Lost) -> Result<()>,
) -> Result<CheckReport> {
    // A cache that is stale or damaged must neither hide damage nor make any up.
    repository.rebuild_index()?;
    progress.begin(Phase::CheckStructure, None, None);
    let Structure { mut report, packs, mut bad, mut mendable } = structure::check_structure(repository)?;
    if options.data != DataSubset::None {
        bad.extend(data::check_data(repository, options.data, &packs, &mut report, &mut mendable, progress)?);
    }
    let FollowedAll { state, closure, damaged } = follow_all(repository, &bad, tell)?;
    check_history(repository, &mut report)?;
    report.snapshots = state.snapshots.len() as u64;
    report.damaged_snapshots = damaged.len() as u64;
    for (id, followed) in damaged {
        report.lost_paths = report.lost_paths.saturating_add(followed.rows).saturating_add(followed.files);
        report.problems.push(damaged_snapshot(id, &followed));
    }
    // What was met on the way only.
    for pack in repository.mended_packs() {
        let is_known = state.standing.is_condemned(&pack) || state.standing.damaged.contains_key(&pack);
        if !is_known && mendable.insert(pack) {
            report.problems.push(is_mendable(&pack));
        }
    }
    report.mendable_packs = mendable.len() as u64;
    let (catalogue, used) = closure.used();
    for (number, pack) in (0..).zip(catalogue.packs()) {
        let frames = catalogue.frames_of(number);
        let is_used = frames.flat_map(|(_, frame)| catalogue.places_of(frame)).any(|(_, chunk, _)| used.has(chunk));
        if !is_used && !pack.gone && !state.standing.is_condemned(&pack.id) {
            report.unused_packs += 1;
            report.unused_bytes += pack.length;
        }
    }
    Ok(report)
}

/// What the log says from its first entry on: roots that were replaced by others of the same content, and what it comes to,
/// which checkpoints say as well.
fn check_history(repository: &Repository, report: &mut CheckReport) -> Result<()> {
    let history = match repository.history() {
        // As far as it was needed to open the repository it could be read.
        Err(error) if error.is_damage() => {
            report.problems.push(error);
            return Ok(());
        }
        history => history?,
    };
    report.unsound_checkpoints = history.unsound_checkpoints.len() as u64;
    for replaced in &history.replaced {
        report.problems.extend(repository.check_settled(replaced)?);
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
    Error::damaged(format_args!("snapshot {}", id.short()), lost.join(", "))
}

/// A pack is damaged, and nothing of it is lost.
pub(super) fn is_mendable(pack: &PackId) -> Error {
    Error::damaged(pack::pack_name(pack), "its bytes are not what was written, but its parity brings all of them back")
}
