//! `snap optimize`

use std::ffi::OsString;

use avro_snap::ops::create::CreateOptions;
use avro_snap::ops::optimize::{OptimizeOptions, OptimizeReport, optimize};
use avro_snap::ops::select::Selector;
use avro_snap::values::parse_size;
use serde_json::json;

use super::Context;
use super::compression::Compression;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, seconds, size};
use super::pick::{Filters, patterns, selector};
use super::progress::Meter;

/// Store old snapshots again with the encoders of this version, to save space
///
/// Compressed blocks of Avro files are stored as records only if snap knows an encoder that writes the same bytes; else they
/// are kept whole, and every change of a table costs a whole file. A later version may know more encoders. This command
/// finds blocks in the repository that were kept whole, or needed corrections, and stores them as records where an encoder
/// is known now. Nothing is read but the repository.
///
/// Each file concerned is rebuilt and compared with its hash, and rebuilt again from what was stored, before a snapshot
/// refers to that. Snapshots keep their ids, times, series and tags, and hold the same files as before. The repository grows
/// at first: run `snap prune` afterwards, which frees what the snapshots consisted of before. An interrupted run continues
/// from what is committed, and a run that finds nothing to do reads little.
///
/// Older versions of snap that do not know these encoders can still use the repository, but cannot restore these files. Files
/// saved with `create --avro frame`, or stored whole by `snap repair payloads`, become records too: use --include or name
/// snapshots to choose. Files saved with `create --avro bytes` stay as they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshots to store again [default: all that match the filters, oldest first]
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    /// Only paths matching PATTERN, and what is below them; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<OsString>,

    /// Show how much is kept whole and how much of it would become records, but write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Use only encoders that make at least this many MB per second, as `create` does
    #[arg(long, value_name = "MB/S", default_value_t = OptimizeOptions::default().min_encode_speed, value_parser = CreateOptions::parse_speed)]
    min_encode_speed: f64,

    /// Commit after this much data within a snapshot, so that an interruption loses no more work [default: 16G]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    commit_every: Option<u64>,

    /// Compression of new data [default: that of the repository]
    #[arg(long, value_enum, value_name = "HOW")]
    compression: Option<Compression>,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    /// What the flags say.
    pub(super) fn options(&self) -> Result<OptimizeOptions> {
        let options = OptimizeOptions::default().include(patterns(&self.include, false)?);
        let options = options.min_encode_speed(self.min_encode_speed).commit_every(self.commit_every);
        Ok(options.compression(self.compression.map(Into::into)).dry_run(self.dry_run))
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let options = self.options()?;
        let selectors = self.snapshots.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        if !selectors.iter().all(Selector::may_be_whole) {
            return Err(Failure::Usage("snapshots are stored again as a whole: --include says which files".into()));
        }
        let filter = self.filters.filter()?;
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        // What cannot be read is reported, and cannot be stored again.
        let unreadable = listing.unreadable.len();
        let is_named = !selectors.is_empty();
        let mut chosen = context.choose_all(&mut listing, selectors, &filter)?;
        // What was stored again before says how equal files are stored. Then what is like each other comes one after the other.
        chosen.sort_by_key(|root| (root.revision == 0, root.series.clone(), root.time, root.id));
        chosen.dedup_by_key(|root| root.id);
        let ids: Vec<_> = chosen.iter().map(|root| root.id).collect();
        let meter = Meter::new(&context.output);
        let done = optimize(&repository, &ids, &options, &meter);
        meter.finish();
        let report = done?;
        let exit = match report.failed.is_empty() && (is_named || unreadable == 0) {
            true => Exit::Done,
            false => Exit::Damage,
        };
        context.finish_with(exit, print_report(context, &options, &report))
    }
}

fn print_report(context: &Context, options: &OptimizeOptions, report: &OptimizeReport) -> Result<()> {
    let output = &context.output;
    if output.json {
        return Ok(output.object_with("summary", json!({"dry_run": options.dry_run}), report)?);
    }
    let OptimizeReport { snapshots, files_whole, bytes_whole, files, blocks, bytes, .. } = report;
    output.note(format_args!(
        "{} looked through: {} with {} kept whole or as corrections",
        count(*snapshots, "snapshot"),
        count(*files_whole, "Avro file"),
        size(*bytes_whole)
    ))?;
    if !report.removed.is_empty() {
        output.note(format_args!("{} removed meanwhile", count(report.removed.len() as u64, "snapshot")))?;
    }
    if options.dry_run && *files > 0 {
        let what = count(*files, "file");
        output.note(format_args!("up to {} of {what} would become records", size(*bytes)))?;
    } else if report.replaced.is_empty() {
        output.note(format_args!("there is nothing to change"))?;
    } else {
        output.note(format_args!(
            "{} ({}) of {} became records in {}, added {} in {}",
            count(*blocks, "block"),
            size(*bytes),
            count(*files, "file"),
            count(report.replaced.len() as u64, "snapshot"),
            size(report.bytes_added),
            seconds(report.duration_secs)
        ))?;
        output.note(format_args!("`snap prune` frees what they were stored as before"))?;
    }
    if !report.failed.is_empty() {
        let what = count(report.failed.len() as u64, "file or snapshot");
        output.error("damaged", &format!("{what} could not be rebuilt, as reported above"), None);
    }
    Ok(())
}
