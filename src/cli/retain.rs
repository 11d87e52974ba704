//! `snap retain`

use std::time::Duration;

use avro_snap::ops::retain::{RetainOptions, retain};
use avro_snap::values::{duration_text, parse_duration};

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, size};
use super::progress::Meter;

/// Keep what snapshots need from being deleted, for longer (object lock)
///
/// In a bucket with object lock these objects cannot be deleted or overwritten until then, with whatever keys: the packs
/// that hold data of snapshots, the index, the log, the config and the key slots. What is locked for longer already stays
/// so. Nothing can shorten the time. See --retain, which locks new objects as they are written.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long from now on: a number with h, d, w or y
    #[arg(value_name = "DURATION", value_parser = parse_retention)]
    time: Duration,
}

/// A time to lock objects for.
pub(super) fn parse_retention(text: &str) -> std::result::Result<Duration, String> {
    let time = parse_duration(text)?;
    match time {
        Duration::ZERO => Err("objects are locked for some time or not at all: leave it out for that".into()),
        time if time > avro_snap::storage::LONGEST_RETENTION => {
            Err(format!("{text} is more than ten years, and that could not be taken back"))
        }
        time => Ok(time),
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let repository = context.open()?;
        let meter = Meter::new(&context.output);
        let retained = retain(&repository, &RetainOptions::new(self.time), &meter);
        meter.finish();
        let report = retained?;
        let output = &context.output;
        let said = match output.json {
            true => output.object("summary", report),
            false => output.note(format_args!(
                "locked for {}: {} ({}), {}, {}, the config and key slots",
                duration_text(self.time),
                count(report.packs.packs, "pack"),
                size(report.packs.bytes),
                count(report.indexes, "index object"),
                count(report.entries, "log entry"),
            )),
        };
        context.finish_with(Exit::Done, said.map_err(Failure::from))
    }
}
