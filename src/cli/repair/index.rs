//! `snap repair index`

use avro_snap::ops::repair::{IndexRepair, repair_index};
use serde_json::json;

use crate::cli::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Result;
use crate::cli::format::count;
use crate::cli::progress::Meter;

/// Rebuild lost or damaged index objects from the packs
///
/// Nothing is lost with an index object: the packs say the same. Where none is lost, no index object is changed. Checkpoints of
/// the log that are not what the log says are deleted; they are harmless.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rebuild all index objects, even if none is known to be lost
    #[arg(long)]
    all: bool,

    /// Write nothing; show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let repository = context.open()?;
        let meter = Meter::new(&context.output);
        let repaired = repair_index(&repository, self.all, self.dry_run, &meter);
        meter.finish();
        let repair = repaired?;
        let exit = if repair.unsound.is_empty() { Exit::Done } else { Exit::Damage };
        context.finish_with(exit, self.print_report(context, &repair))
    }

    fn print_report(&self, context: &Context, repair: &IndexRepair) -> Result<()> {
        let output = &context.output;
        for (_, error) in &repair.unsound {
            output.error(error.code(), &error.message(), None);
        }
        if output.json {
            return Ok(output.object_with("summary", json!({"dry_run": self.dry_run}), repair)?);
        }
        if !repair.taken_back.is_empty() {
            let packs = count(repair.taken_back.len() as u64, "pack");
            output.note(format_args!("{packs} recorded as damaged and found whole: counted again from now on"))?;
        }
        if repair.unsound_checkpoints > 0 {
            let checkpoints = count(repair.unsound_checkpoints, "checkpoint");
            let done = if self.dry_run { "would be deleted" } else { "deleted" };
            output.note(format_args!("{checkpoints} of the log not what the log says: {done}"))?;
        }
        for (_, error) in &repair.lost {
            output.note(format_args!("{}", error.message()))?;
        }
        if repair.lost.is_empty() && !self.all {
            return Ok(output.note(format_args!("no index object is lost: nothing to do"))?);
        }
        let what = format!("{} with {}", count(repair.packs, "pack"), count(repair.chunks, "chunk"));
        let done = if self.dry_run { "would be named" } else { "named" };
        output.note(format_args!("{what} {done} by new index objects, in the place of {}", repair.superseded))?;
        if !repair.unsound.is_empty() {
            let packs = count(repair.unsound.len() as u64, "pack");
            let hint = "`snap check` lists what is lost with that; `snap repair snapshots` records it";
            output.error("damage", &format!("{packs} cannot be read: the directory is damaged, too"), Some(hint));
        }
        Ok(())
    }
}
