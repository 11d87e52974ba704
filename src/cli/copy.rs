//! `snap copy`

use std::ffi::OsString;
use std::path::PathBuf;

use avro_snap::error::Error;
use avro_snap::id::SnapshotId;
use avro_snap::ops::copy::{Copied, Copier, CopyOptions, CopyPlan, CopyReport};
use avro_snap::ops::select::{Filter, Listing, Selector};
use avro_snap::report;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::store::{Repository, State};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::Context;
use super::compression::Compression;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time, seconds, size};
use super::from::OtherRepository;
use super::open::folder;
use super::output::printable;
use super::pick::{Filters, selector};
use super::progress::Meter;
use super::table::cut;

/// Copy snapshots from another repository into this one
///
/// Copies keep their ids, series, hosts, times and current tags. What this repository has already is not read or sent, so
/// the next run copies only what is new. Snapshots that were removed here are not copied again unless they are named. A
/// snapshot with lost or damaged data is not copied; the others are.
///
/// Files that were saved in both repositories are stored twice unless both cut alike and have one chunk-id key: make this
/// one with `snap init --from-repo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshots of the other repository [default: all that match the filters, oldest first]
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    /// The repository to copy from
    #[arg(long, value_name = "PATH", env = "SNAP_FROM_REPOSITORY", hide_env_values = true)]
    from_repo: Option<PathBuf>,

    #[command(flatten)]
    from: OtherRepository,

    /// Show which snapshots would be copied, and copy none
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Compression of new data [default: that of the repository]
    #[arg(long, value_enum, value_name = "HOW")]
    compression: Option<Compression>,

    #[command(flatten)]
    filters: Filters,
}

/// What could not be copied: which snapshot, which file of it, and why.
struct Failed {
    id: SnapshotId,
    path: Option<Vec<u8>>,
    error: Error,
}

/// What was copied so far.
#[derive(Default)]
struct Tally {
    copied: u64,
    present: u64,
    removed: u64,
    /// Removed from the source before they were copied.
    vanished: u64,
    failed: Vec<Failed>,
    sum: CopyReport,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let selectors = self.snapshots.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        if !selectors.iter().all(Selector::may_be_whole) {
            return Err(Failure::Usage("snapshots are copied as a whole: no path goes here".into()));
        }
        let filter = self.filters.filter()?;
        let place = match &self.from_repo {
            Some(place) if !place.as_os_str().is_empty() => folder(place)?,
            _ => {
                return Err(Failure::Usage(
                    "say where to copy from: use --from-repo PATH or set SNAP_FROM_REPOSITORY".into(),
                ));
            }
        };
        if self.from.reads_standard_input() && context.password_source()?.is_standard_input() {
            return Err(Failure::Usage(
                "standard input holds one password only, not those of both repositories".into(),
            ));
        }
        let source = self.from.open(context, &place)?;
        let target = context.open()?;
        if source.id() == target.id() {
            return Err(Failure::Usage(format!("--from-repo and -r are the same repository ({})", source.id())));
        }
        let mut tally = Tally::default();
        let chosen = choose(context, &source, &selectors, &filter, &target.state(), &mut tally)?;
        let plan = CopyPlan::new(chosen, &target.state(), !selectors.is_empty());
        tally.present += plan.present.len() as u64;
        tally.removed += plan.removed.len() as u64;
        match self.dry_run {
            true => {
                tally.copied = plan.copy.len() as u64;
                plan.copy.iter().try_for_each(|root| print_report(context, root, None))?;
            }
            false => self.copy(context, &source, &target, &plan.copy, &mut tally)?,
        }
        let exit = match tally.failed.is_empty() {
            false => Exit::Damage,
            // What was asked for by its name was not done.
            true if tally.vanished > 0 && !selectors.is_empty() => Exit::Failed,
            true => Exit::Done,
        };
        context.finish_with(exit, self.print_all(context, &source, &tally))
    }

    /// What the flags say.
    pub(super) fn options(&self) -> CopyOptions {
        CopyOptions::default().compression(self.compression.map(Into::into))
    }

    fn copy(
        &self,
        context: &Context,
        source: &Repository,
        target: &Repository,
        snapshots: &[SnapshotRoot],
        tally: &mut Tally,
    ) -> Result<()> {
        let mut copier = Copier::new(source, target, self.options())?;
        for root in snapshots {
            let meter = Meter::new(&context.output);
            let copied = copier.copy(root, &meter);
            meter.finish();
            match copied? {
                Copied::Done(report) => {
                    tally.copied += 1;
                    tally.sum.add(&report);
                    print_report(context, root, Some(&report))?;
                }
                Copied::Present => tally.present += 1,
                Copied::Removed => tally.vanished += 1,
                Copied::Failed { path, error } => tally.failed.push(Failed { id: root.id, path, error }),
            }
        }
        Ok(())
    }

    fn print_all(&self, context: &Context, source: &Repository, tally: &Tally) -> Result<()> {
        let output = &context.output;
        for Failed { id, path, error } in &tally.failed {
            let path = path
                .as_ref()
                .map(|path| format!("{}: ", printable(&String::from_utf8_lossy(path))))
                .unwrap_or_default();
            output.error(
                error.code(),
                &format!("snapshot {} is not copied: {path}{}", id.short(), error.message()),
                None,
            );
        }
        if output.json {
            let done = json!({
                "dry_run": self.dry_run,
                "source_repository_id": source.id(),
                "copied": tally.copied,
                "present": tally.present,
                "removed": tally.removed,
                "removed_meanwhile": tally.vanished,
                "failed": tally.failed,
            });
            return Ok(output.object_with("summary", done, &tally.sum)?);
        }
        let mut said = vec![match self.dry_run {
            true => format!("{} would be copied", count(tally.copied, "snapshot")),
            false => format!("copied {}, added {}", count(tally.copied, "snapshot"), size(tally.sum.bytes_added)),
        }];
        if tally.present > 0 {
            said.push(format!("{} there before", tally.present));
        }
        if tally.removed > 0 {
            said.push(format!("{} removed here before, copied again only by name", tally.removed));
        }
        if tally.vanished > 0 {
            said.push(format!("{} removed from the other repository meanwhile", tally.vanished));
        }
        output.note(format_args!("{}", said.join("; ")))?;
        if !tally.failed.is_empty() {
            let what = count(tally.failed.len() as u64, "snapshot");
            let hint = "`snap check` on the other repository lists all that is lost; `snap repair snapshots` there makes \
                        what is left ready to be copied";
            output.error("damage", &format!("{what} could not be copied, as reported above"), Some(hint));
        }
        Ok(())
    }
}

impl Serialize for Failed {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Row<'a> {
            id: SnapshotId,
            #[serde(flatten)]
            path: Option<report::Path<'a>>,
            #[serde(flatten)]
            error: &'a Error,
        }
        let path = self.path.as_deref().map(report::Path);
        Row { id: self.id, path, error: &self.error }.serialize(serializer)
    }
}

/// The snapshots of the source that are meant. Those whose root cannot be read are failures, unless there is nothing to do
/// about them.
fn choose(
    context: &Context,
    source: &Repository,
    selectors: &[Selector],
    filter: &Filter,
    target: &State,
    tally: &mut Tally,
) -> Result<Vec<SnapshotRoot>> {
    let mut listing = Listing::read(source);
    if selectors.is_empty() {
        for (id, error) in std::mem::take(&mut listing.unreadable) {
            match id {
                id if target.snapshots.iter().any(|record| record.id == id) => tally.present += 1,
                id if target.removed.iter().any(|removed| removed.record.id == id) => tally.removed += 1,
                id => tally.failed.push(Failed { id, path: None, error }),
            }
        }
        return Ok(listing.fitting(filter).cloned().collect());
    }
    let mut chosen = Vec::new();
    for selector in selectors {
        let selector = context.settle(&listing, selector.clone(), filter, false);
        if !selector.path.is_empty() {
            return Err(Failure::Usage("snapshots are copied as a whole: no path goes here".into()));
        }
        let unreadable: Vec<SnapshotId> = listing.unreadable.iter().map(|(id, _)| *id).collect();
        let picked = selector.pick(&mut listing, filter);
        let is_left = |id: &SnapshotId| listing.unreadable.iter().any(|(left, _)| left == id);
        match (picked, unreadable.into_iter().find(|id| !is_left(id))) {
            (Ok(root), _) => chosen.push(root),
            // What is wrong with it is what was given.
            (Err(error), Some(id)) => tally.failed.push(Failed { id, path: None, error }),
            (Err(error), None) => return Err(error.into()),
        }
    }
    Ok(chosen)
}

/// How many columns stand beside the name of a series at most.
const FIGURES: usize = 48;

/// A snapshot, and what copying it took.
#[derive(serde::Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    snapshot: &'a SnapshotRoot,
    copied: bool,
    #[serde(flatten)]
    report: Option<&'a CopyReport>,
}

/// Prints what was done with a snapshot; without a report, what would be done.
fn print_report(context: &Context, root: &SnapshotRoot, report: Option<&CopyReport>) -> Result<()> {
    let output = &context.output;
    if output.json {
        let row = Row { snapshot: root, copied: report.is_some(), report };
        return Ok(output.object("snapshot", row)?);
    }
    // Two lines, since the name of a series may be long.
    let what =
        format!("snapshot {} of {} ({})", root.id.short(), local_time(root.time), count(root.totals.files, "file"));
    let series = |room: usize| cut(&printable(&root.series), output.width().saturating_sub(room));
    match report {
        Some(report) => {
            output.note(format_args!("copied {what}"))?;
            output.note(format_args!(
                "  {}: read {}, added {} in {}",
                series(FIGURES),
                size(report.bytes_read),
                size(report.bytes_added),
                seconds(report.duration_secs)
            ))?;
        }
        None => {
            output.note(format_args!("would copy {what}"))?;
            output.note(format_args!("  {}", series(2)))?;
        }
    }
    Ok(())
}
