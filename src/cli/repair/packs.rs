//! `snap repair packs`

use avro_snap::id::PackId;
use avro_snap::ops::repair::{PackRepair, PackRepairOptions, repair_packs};
use avro_snap::pack::parse_share;
use serde_json::json;

use crate::cli::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Result;
use crate::cli::format::count;
use crate::cli::progress::Meter;

/// Copy sound data out of damaged packs, and repair packs that have parity
///
/// All packs are read, unless some are named. Each frame of a pack (about a MiB) is sealed by itself, so damage in one
/// leaves the others as they are. The log records that the damaged packs do not count any more, and `snap prune`
/// deletes them later. Where a pack has parity, damage within its reach loses nothing. Parity that is missing or damaged
/// is rebuilt.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Packs to repair [default: all]
    #[arg(value_name = "PACK")]
    packs: Vec<PackId>,

    /// Set the redundancy of stored data, like 5% or off, and add it to packs that have none
    ///
    /// Redundancy that packs have stays as it is.
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    parity: Option<u32>,

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
    pub(in crate::cli) fn options(&self) -> PackRepairOptions {
        let mut options = PackRepairOptions::default().packs(self.packs.iter().copied());
        options.parity = self.parity;
        options.accept_missing_packs(self.accept_missing_packs).dry_run(self.dry_run)
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let repository = context.open()?;
        let meter = Meter::new(&context.output);
        let repaired = repair_packs(&repository, &self.options(), &meter);
        meter.finish();
        let repair = repaired?;
        let is_lost = repair.damaged.iter().any(|pack| pack.lost_chunks > 0);
        let exit = if is_lost { Exit::Damage } else { Exit::Done };
        context.finish_with(exit, self.print_report(context, &repair, is_lost))
    }

    fn print_report(&self, context: &Context, repair: &PackRepair, is_lost: bool) -> Result<()> {
        let output = &context.output;
        if output.json {
            return Ok(output.object_with("summary", json!({"dry_run": self.dry_run}), repair)?);
        }
        for pack in &repair.damaged {
            if pack.mended {
                output.note(format_args!("pack {}: made whole by its parity", pack.id.short()))?;
            }
            let (lost, frames) = (pack.lost_frames, count(pack.frames, "frame"));
            let done = if self.dry_run { "can be copied" } else { "copied" };
            output.note(format_args!(
                "pack {}: {lost} of {frames} lost; {} {done}, {} lost",
                pack.id.short(),
                count(pack.copied, "chunk"),
                pack.lost_chunks
            ))?;
        }
        let (read, damaged) = (count(repair.packs, "pack"), count(repair.damaged.len() as u64, "damaged pack"));
        output.note(format_args!("read {read}, found {damaged}"))?;
        if repair.protected > 0 {
            let done = if self.dry_run { "would be made" } else { "made" };
            output.note(format_args!("parity {done} for {}", count(repair.protected, "pack")))?;
        }
        if is_lost {
            let hint = "`snap check` lists which snapshots and files have lost data; data that comes up again is \
                        stored again";
            output.error("damage", "some chunks are lost", Some(hint));
        }
        Ok(())
    }
}
