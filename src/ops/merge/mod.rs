//! `merge`: makes one snapshot of the parts that several processes have saved.
//!
//! Nothing of the content is read: the rows of all parts are put in order, into one manifest. The snapshot exists with its
//! entry of the log, as any other; the parts are taken out of the log after that. Whatever is cut short leaves the parts, and
//! merging again is fine.

mod links;
mod options;
mod rows;
mod run;

use std::time::Instant;

pub use options::MergeOptions;

use run::MergeRun;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result, RunRefusal};
use crate::id::{RunIds, SnapshotId};
use crate::ingest::{AnchorPrimer, AvroReport, Pipeline};
use crate::ops::create::{Alarms, CreateOptions, Lineage, check_name, emptied};
use crate::progress::{Phase, Progress};
use crate::report::utc;
use crate::snapshot::entry::EntryKind;
use crate::snapshot::rules::ACCEPTED_EMPTY;
use crate::snapshot::{Part, SnapshotRoot, Totals};
use crate::store::{Addition, Repository, Run, RunState, SnapshotRecord, Writer, open_runs, read_root};

/// Result of a merge.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct MergeReport {
    /// Name of the run.
    pub run: String,
    /// The snapshot that the parts are now; none on a dry run, or where the run was given up.
    #[serde(rename = "snapshot_id")]
    pub snapshot: Option<SnapshotId>,
    /// Whether it was there already, so that nothing was done. Then the figures are those of the snapshot; nothing is compared with the
    /// parent, so `unchanged` is false and `same_rows` 0, and no more files have shrunk or are gone than its root remembers (1000).
    pub merged_before: bool,
    /// How many parts the run has; 0 if that is not known any more.
    pub parts: u32,
    /// The numbers of those that are not there.
    pub parts_missing: Vec<u32>,
    /// Whether the run was given up: its parts are no more.
    pub discarded: bool,
    /// What all parts were compared with.
    pub parent: Option<SnapshotId>,
    /// Series of the snapshot.
    pub series: String,
    /// Files of the snapshot.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links, pipes, devices.
    pub others: u64,
    /// What could not be read and is not in the snapshot.
    pub unreadable: u64,
    /// Bytes of all regular files.
    pub bytes_total: u64,
    /// Whether it holds what the parent holds, times of change and inode numbers aside.
    pub unchanged: bool,
    /// Rows that are as in the parent, in the same sense.
    pub same_rows: u64,
    /// Whether no file is there, and there were some in an earlier snapshot of the series.
    pub emptied: bool,
    /// Bytes that this added to the repository, all kinds of objects; on a dry run, about how many it would add.
    pub bytes_added: u64,
    /// Containers among the files, and their blocks by how they are kept.
    #[serde(flatten)]
    pub avro: AvroReport,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}

impl MergeReport {
    /// Whether Avro files are not as they should be, or as they were: to be reported until they are.
    pub fn has_alarms(&self) -> bool {
        self.emptied || self.avro.unsound > 0 || self.avro.shrunk > 0 || self.avro.missing > 0
    }

    fn count(&mut self, totals: Totals) {
        (self.files, self.directories, self.others) = (totals.files, totals.directories, totals.others);
        (self.bytes_total, self.unreadable) = (totals.bytes, totals.unreadable);
    }
}

/// A run that was begun and not merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenRun {
    /// Its name.
    pub run: String,
    /// How many parts it has.
    pub parts: u32,
    /// The numbers of those that are not there.
    pub parts_missing: Vec<u32>,
    /// Series of the snapshot to be.
    pub series: String,
    /// When it was begun.
    #[serde(serialize_with = "time")]
    pub begun: i64,
}

fn time<S: Serializer>(nanoseconds: &i64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&utc(i128::from(*nanoseconds)))
}

/// The runs that were begun and not merged, the oldest first.
///
/// # Errors
/// Errors of reading the log.
pub fn runs(repository: &Repository) -> Result<Vec<OpenRun>> {
    let named = |(terms, parts_missing): (Part, Vec<u32>)| OpenRun {
        run: terms.run,
        parts: terms.parts,
        parts_missing,
        series: terms.series,
        begun: terms.stored,
    };
    Ok(open_runs(repository)?.into_iter().map(named).collect())
}

/// Makes one snapshot of the parts of a run. One that is merged already is reported as it is.
///
/// # Errors
/// [`Error::RunRefused`] if the run is not known, a part is missing, or one met much less than the others; I/O errors and damaged
/// objects of the repository.
pub fn merge(repository: &Repository, options: &MergeOptions, progress: &dyn Progress) -> Result<MergeReport> {
    let began = Instant::now();
    check_name(&options.run)?;
    for _ in 0..ATTEMPTS {
        let report = match Run::find(repository, &options.run)? {
            RunState::Unknown => return Err(Error::run(&options.run, RunRefusal::Unknown)),
            RunState::Over => return Err(Error::run(&options.run, RunRefusal::Over)),
            RunState::Merged(id) if options.discard => return Err(Error::run(&options.run, RunRefusal::Merged(id))),
            RunState::Merged(id) => Some(merged_before(repository, options, id, progress)?),
            RunState::Open(run) if options.discard => Some(discard(repository, options, &run)?),
            RunState::Open(_) => merge_parts(repository, options, progress)?,
        };
        if let Some(report) = report {
            return Ok(MergeReport { duration_secs: began.elapsed().as_secs_f64(), ..report });
        }
    }
    Err(Error::Busy { what: format!("run {}", options.run) })
}

/// How often a run is looked at again that another process changed meanwhile.
const ATTEMPTS: usize = 5;

/// What is reported of a run that was merged. What a merge that was cut short left in the log is removed.
fn merged_before(
    repository: &Repository,
    options: &MergeOptions,
    id: SnapshotId,
    progress: &dyn Progress,
) -> Result<MergeReport> {
    let state = repository.state();
    let record = state.snapshot(id).ok_or_else(|| Error::run(&options.run, RunRefusal::Over))?;
    let root = read_root(repository, record)?;
    if !options.dry_run {
        let parts = state.snapshots.iter().map(|record| record.id);
        let run = RunIds::new(repository.id(), &options.run).record().run_of_part();
        let left: Vec<SnapshotId> = parts.filter(|id| !id.is_whole() && id.run_of_part() == run).collect();
        if !left.is_empty() {
            repository.log().remove_snapshots(&left, &[id])?;
        }
    }
    let mut report =
        MergeReport { run: options.run.clone(), snapshot: Some(id), merged_before: true, ..Default::default() };
    report.count(root.totals);
    count_alarms(repository, &root, &mut report, progress)?;
    (report.series, report.parent) = (root.series, root.parent);
    Ok(report)
}

/// Counts again what the merge reported, by the manifest and by what the root remembers: who asks a second time, perhaps since
/// the first answer was lost, is to hear of alarms as well.
fn count_alarms(
    repository: &Repository,
    root: &SnapshotRoot,
    report: &mut MergeReport,
    progress: &dyn Progress,
) -> Result<()> {
    let mut alarms = Alarms::remembered(root);
    let mut rows = root.rows(repository);
    while let Some(row) = rows.next_row()? {
        repository.runtime().go_on()?;
        if row.kind == EntryKind::File && row.hard_link.is_none() {
            row.avro.iter().for_each(|facts| report.avro.count(facts));
            alarms.again(&row);
        }
    }
    if root.totals.files == 0 && !root.rules.iter().any(|rule| rule.name == ACCEPTED_EMPTY) {
        let options = CreateOptions::default().series(&*root.series).host(&*root.host);
        let mut lineage = Lineage::find(repository, &options, progress)?;
        lineage.filled = lineage.filled.filter(|filled| filled.time < root.time);
        report.emptied = emptied(0, &lineage).is_some();
    }
    (report.avro.shrunk, report.avro.missing) = alarms.counted();
    Ok(())
}

/// Gives a run up: its parts are removed from the log, and garbage from then on.
fn discard(repository: &Repository, options: &MergeOptions, run: &Run) -> Result<MergeReport> {
    if !options.dry_run {
        repository.log().remove_chosen_snapshots(&(), &mut |state| match state.snapshot(run.ids.merged()) {
            Some(merged) => Err(Error::run(&options.run, RunRefusal::Merged(merged.id))),
            None => Ok(run.ids.all(run.terms.parts)),
        })?;
    }
    Ok(MergeReport { discarded: !options.dry_run, ..about(run) })
}

fn about(run: &Run) -> MergeReport {
    MergeReport {
        run: run.terms.run.clone(),
        parts: run.terms.parts,
        parts_missing: run.missing(),
        parent: run.record.parent,
        series: run.terms.series.clone(),
        ..MergeReport::default()
    }
}

/// Merges the parts; none if another process changed the run meanwhile.
fn merge_parts(
    repository: &Repository,
    options: &MergeOptions,
    progress: &dyn Progress,
) -> Result<Option<MergeReport>> {
    // First of all, as in `create`: what is condemned from here on is noticed at the end. The parts must be there after this.
    let writer = Writer::new(repository)?;
    writer.refuse_if_away()?;
    let run = &match Run::find(repository, &options.run)? {
        RunState::Open(run) => run,
        _ => return Ok(None),
    };
    let read: Vec<_> = run.parts.values().map(|record| (record.id, record.root)).collect();
    let mut report = about(run);
    if !report.parts_missing.is_empty() {
        let missing = std::mem::take(&mut report.parts_missing);
        return Err(Error::run(&options.run, RunRefusal::Incomplete { missing, of: run.terms.parts }));
    }
    let parts = run.roots(repository)?;
    if !options.accept_losses {
        refuse_uneven(&options.run, &parts)?;
    }
    let (threads, pool) = (repository.runtime().threads(), repository.runtime().compute()?);
    let level = repository.settings().compression_level(options.compression);
    let pipeline =
        Pipeline::new(repository, writer, AnchorPrimer::new(repository, None), level, options.dry_run, threads);
    progress.begin(Phase::Create, Some(parts.iter().map(|(root, _)| root.totals.files).sum()), None);
    let merging = MergeRun { repository, pipeline: &pipeline, run, parts: &parts, options, progress };
    let done = pool.in_place_scope(|scope| merging.store(scope, &mut report));
    let root = match done.and_then(|root| pipeline.check().map(|()| root)) {
        Ok(root) => root,
        Err(error) => {
            pipeline.abandon();
            return Err(error);
        }
    };
    if options.dry_run {
        report.bytes_added = pipeline.weigh()?;
        return Ok(Some(report));
    }
    match pipeline.commit(Addition::Merged { run: &options.run, parts: &read }, root) {
        Ok(committed) => report.bytes_added = committed.bytes_added,
        // Another process merged the run, or made a part of it again, meanwhile.
        Err(Error::SnapshotExists { .. } | Error::Busy { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    let id = run.ids.merged();
    report.snapshot = Some(id);
    // What was merged, and nothing else.
    repository.log().remove_chosen_snapshots(&(), &mut |state| {
        let is_merged =
            |record: &&SnapshotRecord| record.id == run.ids.record() || read.contains(&(record.id, record.root));
        let is_there = state.snapshot(id).is_some();
        Ok(state.snapshots.iter().filter(|_| is_there).filter(is_merged).map(|record| record.id).collect())
    })?;
    Ok(Some(report))
}

/// From how many directories or names on less than a quarter of them is much less.
const MANY: u64 = 10;

/// From how many files a part on average on, none is much less: by chance that happens once in 10^8 times.
const MANY_FILES: u64 = 20;

/// Refuses to go on where a part met much less than the others: on its machine, the source is not mounted perhaps, and what
/// belongs to it would be missing from the snapshot.
fn refuse_uneven(run: &str, parts: &[(SnapshotRoot, Part)]) -> Result<()> {
    let most = parts.iter().map(|(_, part)| part.directories_met).max().unwrap_or(0);
    let most_names = parts.iter().map(|(_, part)| part.names_met).max().unwrap_or(0);
    let files: u64 = parts.iter().map(|(root, _)| root.totals.files).sum();
    let mean = files / (parts.len() as u64).max(1);
    for (root, part) in parts {
        let uneven =
            |met: String, others: String| Err(Error::run(run, RunRefusal::Uneven { part: part.number, met, others }));
        if most >= MANY && part.directories_met < most / 4 {
            return uneven(format!("{} directories", part.directories_met), most.to_string());
        }
        if most_names >= MANY && part.names_met < most_names / 4 {
            return uneven(format!("{} names", part.names_met), most_names.to_string());
        }
        if mean >= MANY_FILES && root.totals.files == 0 {
            return uneven("no files".into(), format!("{mean} on average"));
        }
    }
    Ok(())
}
