//! Keeping what snapshots need from being deleted, for longer.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{MaxUnused, PruneOptions, Tally, attempt, steadily};
use crate::error::{Error, Result};
use crate::pack::pack_name;
use crate::progress::{Phase, Progress};
use crate::storage::{Kind, LONGEST_RETENTION, Name, StorageError, StorageErrorKind};
use crate::store::Repository;
use crate::values;

/// How many objects are asked for at once.
const BATCH: usize = 256;

/// How long to keep what snapshots need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct RetainOptions {
    /// For how long from now on.
    #[serde(deserialize_with = "values::duration")]
    pub time: Duration,
}

impl RetainOptions {
    /// Keeps it for this long from now on.
    pub fn new(time: Duration) -> Self {
        Self { time }
    }
}

/// What is kept from being deleted now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RetainReport {
    /// For how long at least, in seconds from now on.
    pub retain_secs: u64,
    /// Packs that snapshots need something of.
    pub packs: Tally,
    /// Index objects.
    pub indexes: u64,
    /// Entries of the log.
    pub entries: u64,
    /// The config, its copy, and key slots.
    pub others: u64,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}

/// Keeps all objects that the snapshots need from being deleted, for this long from now on: the packs that hold any of
/// their data, the index objects, the log, the config and the key slots. What is kept for longer already stays so. Packs of
/// which nothing is needed are left alone, so that a prune can delete them when their time is over.
///
/// Packs that a prune condemns later stay locked: such a prune frees their room only once the time is over.
///
/// # Errors
/// [`Error::Storage`] of the kind [`Unsupported`](StorageErrorKind::Unsupported) where the storage cannot do that; other
/// errors of the storage. What was kept by then stays so.
pub fn retain(repository: &Repository, options: &RetainOptions, progress: &dyn Progress) -> Result<RetainReport> {
    let began = Instant::now();
    let backend = repository.backend();
    if options.time > LONGEST_RETENTION {
        return Err(Error::argument("the time to retain", "is more than ten years, and that could not be taken back"));
    }
    if !backend.abilities().retains {
        let unsupported = StorageError::new(StorageErrorKind::Unsupported, "retain").at(backend.location());
        return Err(unsupported.because("this storage cannot keep objects from being deleted (object lock)").into());
    }
    // What a prune would find needed, had it to leave everything where it is.
    let plan = PruneOptions::default().dry_run(true).max_unused(MaxUnused::Percent(100.0));
    let plan = steadily(repository, &mut || attempt(repository, &plan, progress))?;
    let mut report = RetainReport { retain_secs: options.time.as_secs(), ..RetainReport::default() };
    let mut names = vec![Name::config(), Name::config_copy()];
    let state = repository.state();
    names.extend(state.keys.keys().map(|id| Name::new(Kind::Key, id)));
    report.others = names.len() as u64;
    backend.for_each(Kind::Log, &mut |meta| names.push(meta.name))?;
    report.entries = names.len() as u64 - report.others;
    names.extend(state.indexes.iter().map(|id| Name::new(Kind::Index, id)));
    report.indexes = state.indexes.len() as u64;
    for pack in plan.packs.iter().filter(|pack| pack.needed > 0) {
        report.packs.add(pack.length);
        names.push(pack_name(&pack.id));
    }
    progress.begin(Phase::Sweep, Some(names.len() as u64), None);
    for part in names.chunks(BATCH) {
        repository.runtime().go_on()?;
        for kept in backend.retain(part, options.time) {
            match kept {
                // Of the config there may be one copy only; and a prune may move what is in a pack meanwhile.
                Err(error) if error.kind() == StorageErrorKind::NotFound => {}
                kept => kept?,
            }
        }
        progress.files(part.len() as u64);
    }
    report.duration_secs = began.elapsed().as_secs_f64();
    Ok(report)
}
