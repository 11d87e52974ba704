//! `snap merge`

use avro_snap::ops::merge::{MergeOptions, MergeReport, OpenRun, merge, runs};
use serde_json::json;

use super::Context;
use super::compression::Compression;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time, seconds, size};
use super::parity::warn_of_mended;
use super::progress::Meter;
use super::table::Table;

/// Make one snapshot of the parts that `snap create --shard` saved
///
/// All parts must be there. One that failed is run again alone, with the same command. Merging a run that is merged already only says
/// so. Until then the parts are safe from `prune`, and listed nowhere but here; a run to which nothing was added for 30 days
/// counts as abandoned, and `prune` removes it (--keep-parts).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the run
    #[arg(long, value_name = "NAME", required_unless_present = "list")]
    run: Option<String>,

    /// List the runs that are not merged, and the parts that they lack
    #[arg(long, conflicts_with_all = ["run", "discard", "accept_losses", "dry_run", "compression", "fail_on_damaged"])]
    list: bool,

    /// Remove the parts of the run instead; no snapshot is made of them
    #[arg(long, conflicts_with_all = ["accept_losses", "compression", "fail_on_damaged"])]
    discard: bool,

    /// Accept that Avro files are gone or have fewer records than before, and that a part has much less than the others
    #[arg(long)]
    accept_losses: bool,

    /// Exit with code 3 if an Avro file is damaged, cut off, gone, or has fewer records than before
    #[arg(long)]
    fail_on_damaged: bool,

    /// Compression of the list of files [default: that of the repository]
    #[arg(long, value_enum, value_name = "HOW")]
    compression: Option<Compression>,

    /// Write nothing; show what the snapshot would hold
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        if self.list {
            let repository = context.open()?;
            let open = runs(&repository)?;
            return context.finish_with(Exit::Done, print_runs(context, &open));
        }
        let options = self.options();
        let repository = context.open()?;
        let meter = Meter::new(&context.output);
        let merged = merge(&repository, &options, &meter);
        meter.finish();
        warn_of_mended(&context.output, &repository);
        let report = merged.map_err(Failure::of_arguments)?;
        let exit = match report.unreadable {
            1.. => Exit::Incomplete,
            0 if self.fail_on_damaged && report.has_alarms() => Exit::Incomplete,
            0 => Exit::Done,
        };
        context.finish_with(exit, print_report(context, &report, &options))
    }

    /// What the flags say.
    pub(super) fn options(&self) -> MergeOptions {
        MergeOptions::new(self.run.clone().unwrap_or_default())
            .discard(self.discard)
            .accept_losses(self.accept_losses)
            .compression(self.compression.map(Into::into))
            .dry_run(self.dry_run)
    }
}

fn print_runs(context: &Context, open: &[OpenRun]) -> Result<()> {
    let output = &context.output;
    if output.json {
        open.iter().try_for_each(|run| output.object("run", run))?;
        return Ok(());
    }
    let mut table = Table::new(&["Run", "Begun", "Parts", "Missing", "Series"], &[2]).cutting(&[0, 3, 4]);
    for run in open {
        let missing = run.parts_missing.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let parts = format!("{}/{}", run.parts as usize - run.parts_missing.len(), run.parts);
        table.row(vec![run.run.clone(), local_time(run.begun), parts, missing, run.series.clone()]);
    }
    if !open.is_empty() {
        table.print(output)?;
    }
    output.note(format_args!("{} not merged", count(open.len() as u64, "run")))?;
    Ok(())
}

fn print_report(context: &Context, report: &MergeReport, options: &MergeOptions) -> Result<()> {
    let (output, run) = (&context.output, &report.run);
    if output.json {
        return Ok(output.object_with("summary", json!({"dry_run": options.dry_run}), report)?);
    }
    let parts = count(u64::from(report.parts) - report.parts_missing.len() as u64, "part");
    match report.snapshot {
        Some(id) if report.merged_before => {
            output.note(format_args!("run {run} is merged already: it is snapshot {}", id.short()))?;
        }
        Some(id) => output.note(format_args!("snapshot {} made of {parts} of run {run}", id.short()))?,
        None if report.discarded => return Ok(output.note(format_args!("run {run} is given up: {parts} removed"))?),
        None if options.discard => return Ok(output.note(format_args!("would give up run {run}: {parts}"))?),
        None => output.note(format_args!("nothing was written; this is what the snapshot would hold:"))?,
    }
    output.note(format_args!("files:   {} ({})", report.files, size(report.bytes_total)))?;
    if report.unreadable > 0 {
        output.note(format_args!("missing: {} could not be read", report.unreadable))?;
    }
    if !report.merged_before {
        let added = if options.dry_run { "would add about" } else { "added" };
        output.note(format_args!("{added} {} in {}", size(report.bytes_added), seconds(report.duration_secs)))?;
    }
    Ok(())
}
