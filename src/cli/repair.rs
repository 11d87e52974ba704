//! `snap repair`

mod config;
mod index;
mod packs;
mod snapshots;

use std::ffi::OsString;

use avro_snap::ops::repair::{PayloadOptions, PayloadReport, keep_payloads};
use avro_snap::ops::select::Selector;
use avro_snap::snapshot::SnapshotRoot;
use serde_json::json;

use super::Context;
use super::compression::Compression;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, seconds, size};
use super::pick::{Filters, patterns, selector};
use super::progress::Meter;

/// Repair damage in the repository, or change how data is stored in it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(super) what: What,
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum What {
    Config(config::Args),
    Index(index::Args),
    Packs(packs::Args),
    Snapshots(snapshots::Args),
    /// Store snapshots in another way, with compressed blocks kept whole, so that restoring them needs no encoder
    ///
    /// The way to have fast restores of snapshots whose Avro files were taken apart by `create`, and the way out if an
    /// encoder is ever found to be wrong. Each file concerned is rebuilt as by a restore and compared with its hash. The
    /// snapshots keep their ids, times, series and tags, and hold the same files as before. Blocks kept as they are
    /// dedup only with equal blocks: the repository grows. What the snapshots consisted of before is freed by `snap prune`
    /// as far as no other snapshot needs it. `snap optimize` is the way back.
    Payloads(Payloads),
}

#[derive(Debug, clap::Args)]
pub(super) struct Payloads {
    /// Snapshots to store in another way [default: all that match the filters]
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    /// Only blocks that need this encoder, by its id or the beginning of it, like zlib or zlib:L6:M8 (see `snap ls
    /// --long`); may be repeated [default: all encoders]
    #[arg(long, value_name = "ID")]
    encoder: Vec<String>,

    /// Only paths matching PATTERN, and what is below them; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<OsString>,

    /// Rebuild and compare everything, but write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Compression of new data [default: that of the repository]
    #[arg(long, value_enum, value_name = "HOW")]
    compression: Option<Compression>,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        match self.what {
            What::Config(args) => args.run(context),
            What::Index(args) => args.run(context),
            What::Packs(args) => args.run(context),
            What::Snapshots(args) => args.run(context),
            What::Payloads(payloads) => payloads.run(context),
        }
    }
}

impl Payloads {
    /// What the flags say.
    pub(in crate::cli) fn options(&self) -> Result<PayloadOptions> {
        let options = PayloadOptions::default().encoder(&self.encoder).include(patterns(&self.include, false)?);
        Ok(options.compression(self.compression.map(Into::into)).dry_run(self.dry_run))
    }

    fn run(self, context: &Context) -> Result<Exit> {
        let options = self.options()?;
        let selectors = self.snapshots.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        if !selectors.iter().all(Selector::may_be_whole) {
            return Err(Failure::Usage(
                "snapshots are stored in another way as a whole: --include says which files".into(),
            ));
        }
        let filter = self.filters.filter()?;
        if selectors.is_empty() && filter == Default::default() {
            return Err(Failure::Usage("say which snapshots: by their ids, `latest`, or filters like --host".into()));
        }
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        let chosen = context.choose_all(&mut listing, selectors, &filter)?;
        let mut exit = Exit::Done;
        for snapshot in &chosen {
            let meter = Meter::new(&context.output);
            let kept = keep_payloads(&repository, snapshot.id, &options, &meter);
            meter.finish();
            let report = kept?;
            if !report.failed.is_empty() {
                exit = Exit::Damage;
            }
            print_report(context, snapshot, &options, &report)?;
        }
        context.finish_with(exit, Ok(()))
    }
}

fn print_report(
    context: &Context,
    snapshot: &SnapshotRoot,
    options: &PayloadOptions,
    report: &PayloadReport,
) -> Result<()> {
    let output = &context.output;
    if output.json {
        let asked = json!({"dry_run": options.dry_run, "snapshot_id": snapshot.id});
        return Ok(output.object_with("summary", asked, report)?);
    }
    let what = format!("{} of {}", count(report.blocks, "block"), count(report.files, "file"));
    let id = snapshot.id.short();
    if report.replaced {
        output.note(format_args!(
            "snapshot {id}: {what} kept as they are now, added {} in {}",
            size(report.bytes_added),
            seconds(report.duration_secs)
        ))?;
    } else if options.dry_run && report.files > 0 {
        output.note(format_args!("snapshot {id}: {what} would be kept as they are"))?;
    } else {
        output.note(format_args!("snapshot {id}: there is nothing to change"))?;
    }
    if !report.failed.is_empty() {
        let what = count(report.failed.len() as u64, "file");
        output.error("damaged", &format!("{what} could not be rebuilt, as reported above"), None);
    }
    Ok(())
}
