//! `plan`: how sources would be divided, where several processes save a part each. Nothing is read but names and stats, and no
//! repository is needed.

use std::collections::HashSet;
use std::time::Instant;

use serde::Serialize;

#[cfg(feature = "object-store")]
use super::create::tree_in;
use super::create::{CreateOptions, TreeOf, local_tree};
#[cfg(feature = "object-store")]
use crate::bucket::Stores;
use crate::error::{Error, Result};
use crate::progress::{Phase, Progress};
use crate::snapshot::Shard;
use crate::snapshot::entry::EntryKind;

/// What belongs to one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedPart {
    /// Which part.
    pub shard: Shard,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links, pipes, devices.
    pub others: u64,
    /// Bytes of the files. A file with several names in the part counts once.
    pub bytes: u64,
    /// Bytes of the largest file.
    pub largest: u64,
}

/// How sources would be divided.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PlanReport {
    /// The parts, in the order of their numbers.
    pub parts: Vec<PlannedPart>,
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links, pipes, devices.
    pub others: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// What could not be looked at.
    pub unreadable: u64,
    /// Bytes of the largest part, by those of an average one; none where there are no bytes.
    pub imbalance: Option<f64>,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}

/// Divides the sources of these options into this number of parts. What it says is what `create` with a `shard` saves, as far as the
/// sources do not change.
///
/// # Errors
/// [`Error::InvalidArgument`]; I/O errors where the sources or patterns cannot be used at all. What is wrong with a single file is
/// reported to `progress` and counted.
pub fn plan(options: CreateOptions, shards: u32, progress: &dyn Progress) -> Result<PlanReport> {
    plan_tree(Box::new(local_tree), options, shards, progress)
}

/// The same of sources some or all of which lie in object stores, as URLs.
///
/// # Errors
/// As of [`plan`], and [`Error::InvalidArgument`] for rules that cannot be kept in object stores.
#[cfg(feature = "object-store")]
pub fn plan_with(stores: &Stores, options: CreateOptions, shards: u32, progress: &dyn Progress) -> Result<PlanReport> {
    plan_tree(tree_in(stores), options, shards, progress)
}

fn plan_tree(mut tree: TreeOf<'_>, options: CreateOptions, shards: u32, progress: &dyn Progress) -> Result<PlanReport> {
    let began = Instant::now();
    let empty = |shard| PlannedPart { shard, files: 0, directories: 0, others: 0, bytes: 0, largest: 0 };
    let parts = Shard::all(shards).map_err(|why| Error::argument("shards", why))?.map(empty).collect();
    let options = options.settled()?;
    let rules = options.rules()?;
    let mut tree = tree(&options, &options.sources, rules)?;
    let mut report = PlanReport { parts, ..PlanReport::default() };
    let mut names = HashSet::new();
    progress.begin(Phase::Create, None, None);
    while let Some(found) = tree.next_found() {
        let file = match found {
            Ok(file) => file,
            Err(problem) => {
                progress.warning(&problem.warning());
                report.unreadable += u64::from(problem.is_incomplete());
                continue;
            }
        };
        let number = Shard::number_of(&file.tree_path, shards);
        let Some(part) = report.parts.get_mut(number.saturating_sub(1) as usize) else { continue };
        match file.entry.kind {
            EntryKind::File if file.nlink > 1 && !names.insert((number, file.dev, file.entry.inode)) => {
                part.others += 1
            }
            EntryKind::File => {
                part.files += 1;
                part.bytes += file.entry.size;
                part.largest = part.largest.max(file.entry.size);
                progress.files(1);
            }
            EntryKind::Directory => part.directories += 1,
            _ => part.others += 1,
        }
    }
    for part in &report.parts {
        report.files += part.files;
        report.directories += part.directories;
        report.others += part.others;
        report.bytes += part.bytes;
    }
    let largest = report.parts.iter().map(|part| part.bytes).max().unwrap_or(0);
    let mean = report.bytes as f64 / f64::from(shards);
    report.imbalance = (report.bytes > 0).then(|| largest as f64 / mean);
    report.duration_secs = began.elapsed().as_secs_f64();
    Ok(report)
}
