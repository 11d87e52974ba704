//! `create`: reads files and makes a snapshot of them.

mod alarms;
mod before;
mod expect;
mod iceberg;
mod lineage;
mod options;
mod order;
mod part;
mod rows;
mod run;
mod stream;
mod unsound;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Instant;

pub use crate::ingest::{AvroReport, Depth, UnknownWriter};
pub use expect::{Expectation, Judgement, Value};
pub use iceberg::SavedTable;
pub use options::{CreateOptions, StreamSource};

pub(crate) use alarms::Alarms;
pub(crate) use before::{container, parent_row, row_at};
pub(crate) use lineage::{Lineage, emptied};
pub(crate) use options::speed;
pub(crate) use part::check_name;
pub(crate) use rows::is_same;

use iceberg::{Chase, Closure};
use part::{Joined, PartRun};
pub(crate) use run::TreeOf;
use run::{CreateRun, Ran};

use serde::Serialize;

#[cfg(feature = "object-store")]
use crate::bucket::{self, Stores};
use crate::error::{Error, Result};
use crate::files::{Rules, Source, SourceTree, is_in_store, now};
use crate::id::SnapshotId;
use crate::ingest::{AnchorPrimer, Pipeline};
use crate::progress::{Phase, Progress, Warning};
use crate::snapshot::{Shard, SnapshotRoot};
use crate::store::{Repository, Writer};

/// What is named as the maker of a snapshot.
pub(crate) const PROGRAM: &str = concat!("snap ", env!("CARGO_PKG_VERSION"));

/// Result of a `create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CreateReport {
    /// The snapshot; none on a dry run, or where nothing changed and none was wanted then.
    #[serde(rename = "snapshot_id")]
    pub snapshot: Option<SnapshotId>,
    /// What it was compared with.
    pub parent: Option<SnapshotId>,
    /// Series of the snapshot.
    pub series: String,
    /// A known series whose paths differ from this new one's in digits only.
    pub similar_series: Option<String>,
    /// Files that the parent does not have.
    pub files_new: u64,
    /// Files that are not as in the parent.
    pub files_changed: u64,
    /// Files that are as in the parent; they were not read.
    pub files_unmodified: u64,
    /// Directories.
    pub directories: u64,
    /// Of these, those that were not asked for, and only lead to what was.
    pub directories_leading: u64,
    /// Links, pipes, devices.
    pub others: u64,
    /// What could not be read and is not in the snapshot.
    pub unreadable: u64,
    /// Whether it holds what the parent holds, times of change and inode numbers aside.
    pub unchanged: bool,
    /// Rows that are as in the parent, in the same sense.
    pub same_rows: u64,
    /// Whether no file is there, and there were some in an earlier snapshot of the series.
    pub emptied: bool,
    /// Bytes of all regular files of the snapshot.
    pub bytes_total: u64,
    /// Bytes that were read from files.
    pub bytes_read: u64,
    /// Bytes that this added to the repository, all kinds of objects; on a dry run, about how many it would add.
    pub bytes_added: u64,
    /// Chunks that were not in the repository before.
    pub chunks_new: u64,
    /// Containers among the files that were read, and their blocks by how they are kept.
    #[serde(flatten)]
    pub avro: AvroReport,
    /// The Iceberg tables that were saved.
    pub iceberg: Vec<SavedTable>,
    /// What was expected (`expect` of the options), and whether it is so.
    pub expectations: Vec<Judgement>,
    /// The part that was made, where it is one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Name of the run that the part belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Whether the part was there already, so that nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_was_there: Option<bool>,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}

impl CreateReport {
    /// Files of the snapshot.
    pub fn files(&self) -> u64 {
        self.files_new + self.files_changed + self.files_unmodified
    }

    /// Everything that has a row.
    fn rows(&self) -> u64 {
        self.files() + self.directories + self.others
    }

    /// Whether something that was expected is not so.
    pub fn has_disappointed(&self) -> bool {
        self.expectations.iter().any(|judgement| judgement.met == Some(false))
    }

    /// Whether Avro files are not as they should be, or as they were: to be reported until they are.
    pub fn has_alarms(&self) -> bool {
        self.emptied || self.avro.unsound > 0 || self.avro.shrunk > 0 || self.avro.missing > 0
    }
}

/// Whether nothing at all could be read, which is no snapshot worth having.
fn root_is_empty(report: &CreateReport) -> bool {
    let found = report.files() + report.directories.saturating_sub(report.directories_leading) + report.others;
    found == 0 && report.unreadable > 0
}

/// Makes a snapshot.
///
/// # Errors
/// [`Error::StorageAway`] if most packs are missing, as if their disk were not mounted; I/O errors and damaged objects of the
/// repository. What is wrong with a single file is reported to `progress`,
/// counted, and does not stop the
/// work.
pub fn create(repository: &Repository, options: CreateOptions, progress: &dyn Progress) -> Result<CreateReport> {
    create_snapshot(repository, Box::new(local_tree), options, progress)
}

/// Makes a snapshot of sources some or all of which lie in object stores, as URLs.
///
/// # Errors
/// As of [`create`], and [`Error::InvalidArgument`] for rules that cannot be kept in object stores.
#[cfg(feature = "object-store")]
pub fn create_with(
    repository: &Repository,
    stores: &Stores,
    options: CreateOptions,
    progress: &dyn Progress,
) -> Result<CreateReport> {
    create_snapshot(repository, tree_in(stores), options, progress)
}

/// The tree of local sources and of those in object stores.
#[cfg(feature = "object-store")]
pub(crate) fn tree_in(stores: &Stores) -> TreeOf<'_> {
    Box::new(|options: &CreateOptions, roots: &[PathBuf], rules: Rules| {
        bucket::sources(stores, roots, &options.working_directory, rules, &options.pass_over)
    })
}

pub(crate) fn local_tree(options: &CreateOptions, roots: &[PathBuf], rules: Rules) -> Result<Box<dyn SourceTree>> {
    if let Some(url) = roots.iter().find(|source| is_in_store(source)) {
        let reason = format!("{} lies in an object store, and it was not said how that is reached", url.display());
        return Err(Error::argument("sources", reason));
    }
    let source = Source::new(roots, &options.working_directory, rules, now)?;
    Ok(Box::new(match options.shard {
        Some(shard) => source.only(shard),
        None => source,
    }))
}

/// Makes a snapshot of a tree that need not lie in the local file system. `sources` of the options say only what the snapshot
/// is called and compared with; what they exclude is only recorded: the tree has left that out already.
///
/// # Errors
/// As of [`create`].
pub fn create_of_tree(
    repository: &Repository,
    tree: Box<dyn SourceTree>,
    options: CreateOptions,
    progress: &dyn Progress,
) -> Result<CreateReport> {
    let mut tree = Some(tree);
    let once = move |_: &CreateOptions, _: &[PathBuf], _| {
        tree.take().ok_or_else(|| Error::argument("iceberg", "a tree that is handed over can be walked once only"))
    };
    create_snapshot(repository, Box::new(once), options, progress)
}

fn create_snapshot(
    repository: &Repository,
    mut tree: TreeOf<'_>,
    options: CreateOptions,
    progress: &dyn Progress,
) -> Result<CreateReport> {
    let began = Instant::now();
    let mut options = options.settled()?;
    let part = match part::join(repository, &mut options, progress)? {
        Joined::Whole => None,
        Joined::Part(part) => Some(part),
        Joined::There(root) => return Ok(part_that_is_there(&options, &root)),
    };
    let mut chase = Chase::default();
    loop {
        let mut closure = chase.follow(&options, progress)?;
        match attempt(repository, &mut tree, &mut options, &mut closure, part.as_deref(), progress)? {
            Attempt::Made(mut report) => {
                report.duration_secs = began.elapsed().as_secs_f64();
                return Ok(*report);
            }
            Attempt::Lacks(path) => {
                let path = PathBuf::from(OsString::from_vec([b"/", &path[..]].concat()));
                let message = "a file of an Iceberg table went away or changed meanwhile: all begins again".into();
                progress.warning(&Warning { path: path.display().to_string(), message, incomplete: false });
                chase.begin_again(path)?;
            }
        }
    }
}

/// Result of one attempt to make a snapshot.
enum Attempt {
    /// It was made, as far as one was wanted.
    Made(Box<CreateReport>),
    /// It would lack this file, which it must have: nothing was made, and what was stored is found by the next attempt.
    Lacks(Vec<u8>),
}

fn attempt(
    repository: &Repository,
    tree: &mut TreeOf<'_>,
    options: &mut CreateOptions,
    closure: &mut Closure,
    part: Option<&PartRun>,
    progress: &dyn Progress,
) -> Result<Attempt> {
    let (threads, pool) = (repository.runtime().threads(), repository.runtime().compute()?);
    // First of all: what is condemned from here on is noticed at the end. The parent must be alive after this.
    let writer = Writer::new(repository)?;
    writer.refuse_if_away()?;
    let mut lineage = Lineage::find(repository, options, progress)?;
    if let Some(part) = part.filter(|part| part.is_begun) {
        lineage.be_of_run(part.parent);
    }
    let primer = AnchorPrimer::new(repository, lineage.nearest.clone());
    let level = repository.settings().compression_level(options.compression);
    let pipeline = Pipeline::new(repository, writer, primer, level, options.dry_run, threads);
    let (dry_run, skip) = (options.dry_run, options.skip_if_unchanged);
    let id = match part {
        Some(part) => part.id,
        None => SnapshotId::new(repository.log().entropy().array()?),
    };
    progress.begin(Phase::Create, None, None);
    let run = CreateRun {
        repository,
        pipeline: &pipeline,
        pool,
        lineage: &lineage,
        progress,
        id,
        threads,
        follows_tables: !options.iceberg.is_empty(),
        part,
    };
    let done = pool.in_place_scope(|scope| run.store(scope, options, closure, tree));
    let (root, mut report) = match done.and_then(|done| pipeline.check().map(|()| done)) {
        Ok(Ran::Stored(root, report)) => (root, report),
        Ok(Ran::Lacks(path)) => {
            pipeline.abandon();
            return Ok(Attempt::Lacks(path));
        }
        Err(error) => {
            pipeline.abandon();
            return Err(error);
        }
    };
    // Of a part, the walk itself says whether there was anything.
    if part.is_none() && root_is_empty(&report) {
        pipeline.abandon();
        return Err(Error::NothingSaved);
    }
    report.chunks_new = pipeline.chunks_new();
    report.series = lineage.series;
    report.similar_series = lineage.similar;
    report.parent = lineage.parent.map(|parent| parent.id);
    report.shard = part.map(|part| part.shard);
    report.run = part.map(|part| part.terms.run.clone());
    report.part_was_there = part.map(|_| false);
    if skip && report.unchanged {
        // What was not handed on yet is dropped. That the parent lasts is what the caller relies on now.
        repository.log().settle()?;
    } else if !dry_run {
        let addition = match part {
            Some(part) => part.addition(),
            None => id.into(),
        };
        match pipeline.commit(addition, root) {
            Ok(committed) => report.bytes_added = committed.bytes_added,
            // Another process made the same part meanwhile.
            Err(Error::SnapshotExists { .. }) if part.is_some() => report.part_was_there = Some(true),
            Err(error) => return Err(error),
        }
        report.snapshot = part.is_none().then_some(id);
    } else {
        report.bytes_added = pipeline.weigh()?;
    }
    Ok(Attempt::Made(report))
}

/// What is reported of a part that need not be made.
fn part_that_is_there(options: &CreateOptions, root: &SnapshotRoot) -> CreateReport {
    let totals = root.totals;
    CreateReport {
        parent: root.parent,
        series: options.series.clone().unwrap_or_default(),
        directories: totals.directories,
        others: totals.others,
        unreadable: totals.unreadable,
        files_unmodified: totals.files,
        bytes_total: totals.bytes,
        shard: options.shard,
        run: options.run.clone(),
        part_was_there: Some(true),
        ..CreateReport::default()
    }
}
