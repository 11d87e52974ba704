//! Snapshots stored again with the encoders of today: blocks of Avro files that were kept whole become records where an encoder
//! makes them, as if the files were saved now. Snapshots keep their ids; their roots are replaced.

mod known;
mod run;
mod survey;

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::Pattern;
use crate::id::SnapshotId;
use crate::ingest::{Depth, Effort, FileContext, SchemaCache, Workbench};
use crate::ops::create::speed;
use crate::progress::{Phase, Progress};
use crate::report;
use crate::store::{Compression, Repository};
use crate::values;
use run::OptimizeRun;

/// How snapshots are stored again.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct OptimizeOptions {
    /// Only files that match one of these; all if there are none.
    #[serde(deserialize_with = "Pattern::sensitive")]
    pub include: Vec<Pattern>,
    /// Encoders slower than this many decoded megabytes a second are not used, so that restores do not crawl.
    #[serde(deserialize_with = "speed")]
    pub min_encode_speed: f64,
    /// After how many bytes of files the work on a snapshot is committed, so that an interruption loses no more than that;
    /// [`COMMIT_EVERY`](Self::COMMIT_EVERY) if none. It is committed after each snapshot, too.
    #[serde(deserialize_with = "values::some_size")]
    pub commit_every: Option<u64>,
    /// How new data is compressed; as is set for the repository if none.
    pub compression: Option<Compression>,
    /// Find out what would be done, write nothing.
    pub dry_run: bool,
}

impl Default for OptimizeOptions {
    fn default() -> Self {
        Self { include: Vec::new(), min_encode_speed: 5.0, commit_every: None, compression: None, dry_run: false }
    }
}

impl OptimizeOptions {
    /// After how many bytes of files the work is committed, unless something else is asked for.
    pub const COMMIT_EVERY: u64 = 16 << 30;

    values::setters! {
        each include: Pattern;
        is min_encode_speed: f64;
        is commit_every: Option<u64>;
        is compression: Option<Compression>;
        is dry_run: bool;
    }
}

/// Result of storing snapshots again. Files of the same content are one file here, in however many snapshots they are.
#[derive(Debug, Default, Serialize)]
pub struct OptimizeReport {
    /// Snapshots that were looked at.
    pub snapshots: u64,
    /// Snapshots that have a new root; none on a dry run.
    pub replaced: Vec<SnapshotId>,
    /// Snapshots that were removed before it was their turn.
    pub removed: Vec<SnapshotId>,
    /// Avro files with blocks that were kept whole, or needed corrections.
    pub files_whole: u64,
    /// What these blocks and corrections take, before compression in the repository.
    pub bytes_whole: u64,
    /// Files of which an encoder makes blocks that were kept whole; on a dry run those of which one is found for the first blocks.
    pub files: u64,
    /// These blocks; none on a dry run.
    pub blocks: u64,
    /// What these blocks took; on a dry run what all such blocks of these files take.
    pub bytes: u64,
    /// What could not be rebuilt and is stored as it was, and why: the beginning of a snapshot's id, and the path in it.
    #[serde(serialize_with = "report::failed")]
    pub failed: Vec<(Vec<u8>, Error)>,
    /// Bytes that this added to the repository, all kinds of objects.
    pub bytes_added: u64,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}

/// Stores snapshots again with the encoders of today, one after the other, each under a new root. Every file concerned is rebuilt as
/// by a restore, compared with its hash, taken apart again, and rebuilt from that again before anything refers to it. A
/// file content is dealt with once, in however many snapshots it is.
///
/// What was stored for these files before is freed by the next prune. Versions that do not know these encoders cannot restore
/// these files any more.
///
/// # Errors
/// [`Error::SnapshotReplaced`] if somebody else keeps storing a snapshot in another way, and those of reading and writing chunks. A
/// file or snapshot that is lost or damaged is reported to `progress`, is in the report, and does not stop the work. What is done
/// by then stays done.
pub fn optimize(
    repository: &Repository,
    snapshots: &[SnapshotId],
    options: &OptimizeOptions,
    progress: &dyn Progress,
) -> Result<OptimizeReport> {
    let began = Instant::now();
    let (bench, schemas) = (Workbench::default(), SchemaCache::default());
    let context = FileContext {
        cut: repository.cut_params(),
        effort: Effort::new(Depth::Deep, options.min_encode_speed, repository.is_encrypted()),
        bench: &bench,
        pool: repository.runtime().compute()?,
        progress,
        schemas: &schemas,
        repository,
    };
    progress.begin(Phase::Repair, Some(0), Some(0));
    let mut run = OptimizeRun::new(context, options);
    for snapshot in snapshots {
        run.snapshot(*snapshot)?;
    }
    let mut report = run.report;
    report.duration_secs = began.elapsed().as_secs_f64();
    Ok(report)
}
