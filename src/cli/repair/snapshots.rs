//! `snap repair snapshots`

use avro_snap::ops::repair::{SnapshotRepair, SnapshotRepairOptions, repair_snapshots};
use serde_json::json;

use crate::cli::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Result;
use crate::cli::format::count;
use crate::cli::lost::LossPrinter;
use crate::cli::progress::Meter;

/// Record which data of snapshots is lost, so that it is stored again when it comes up
///
/// What is lost stays lost, and snapshots stay as they are, unless asked otherwise: what can be restored of them still can.
/// But packs and frames that are recorded as damaged do not count as stored any more. So the next `snap create` of the
/// same files heals older snapshots, too. This is also what lets `snap prune` work again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read and decode all packs; without it only missing data is found, not changed data
    #[arg(long)]
    read_data: bool,

    /// Remove snapshots with no recoverable files
    #[arg(long)]
    forget: bool,

    /// Store damaged snapshots again without their damaged files; the damaged snapshots stay
    #[arg(long)]
    rewrite: bool,

    /// Continue even if most packs are missing, and record them as lost
    ///
    /// Without it that is refused: a disk or mount that is away looks the same, and nothing is lost by it.
    #[arg(long)]
    accept_missing_packs: bool,

    /// Write nothing; show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Args {
    /// What the flags say.
    pub(in crate::cli) fn options(&self) -> SnapshotRepairOptions {
        SnapshotRepairOptions::default()
            .read_data(self.read_data)
            .forget(self.forget)
            .rewrite(self.rewrite)
            .accept_missing_packs(self.accept_missing_packs)
            .dry_run(self.dry_run)
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let repository = context.open()?;
        let options = self.options();
        let meter = Meter::new(&context.output);
        let mut printer = LossPrinter::new(&context.output);
        let repaired = repair_snapshots(&repository, &options, &meter, &mut |lost| printer.print(&lost));
        meter.finish();
        printer.finish();
        let repair = repaired?;
        let exit = if repair.damaged.is_empty() { Exit::Done } else { Exit::Damage };
        context.finish_with(exit, self.print_report(context, &repair))
    }

    fn print_report(&self, context: &Context, repair: &SnapshotRepair) -> Result<()> {
        let output = &context.output;
        if output.json {
            return Ok(output.object_with("summary", json!({"dry_run": self.dry_run}), repair)?);
        }
        for damaged in &repair.damaged {
            let mut said = Vec::new();
            if damaged.nothing_left {
                said.push("nothing is left of it".to_owned());
            } else {
                if damaged.files > 0 {
                    said.push(format!("{} damaged", count(damaged.files, "file")));
                }
                if damaged.rows > 0 {
                    said.push(format!("{} of its manifest lost", count(damaged.rows, "row")));
                }
            }
            match (damaged.forgotten, self.dry_run, damaged.rewritten) {
                (true, true, _) => said.push("it would be dropped".into()),
                (true, false, _) => said.push("dropped".into()),
                (false, _, Some(id)) => said.push(format!("what is left was made again as {}", id.short())),
                (false, true, None) if self.rewrite && !damaged.nothing_left && damaged.id.is_whole() => {
                    said.push("what is left would be made again".into());
                }
                _ => {}
            }
            output.note(format_args!("{}: {}", damaged.id.named(), said.join("; ")))?;
        }
        for (pack, frames) in &repair.recorded {
            let what = if frames.is_empty() { "all of it".into() } else { count(frames.len() as u64, "frame") };
            let done = if self.dry_run { "would be recorded" } else { "recorded" };
            output.note(format_args!("pack {}: {what} {done} as lost", pack.short()))?;
        }
        let snapshots = count(repair.snapshots, "snapshot");
        let parts = repair.damaged.iter().filter(|damaged| !damaged.id.is_whole()).count() as u64;
        let damaged = repair.damaged.len() as u64 - parts;
        if parts > 0 {
            let hint = "save each part again with --force (`snap merge --list` lists runs), or give its run up with `snap merge \
                        --run NAME --discard`";
            output.error("damage", &format!("{} of runs have lost data", count(parts, "part")), Some(hint));
        }
        match damaged {
            0 => output.note(format_args!("looked at {snapshots}: none has lost data"))?,
            damaged => {
                let hint = match self.dry_run {
                    true => "without --dry-run, what is lost is recorded",
                    false => "run `snap create` on the same files: what is stored again heals damaged snapshots, too",
                };
                output.error("damage", &format!("{damaged} of {snapshots} have lost data"), Some(hint));
            }
        }
        Ok(())
    }
}
