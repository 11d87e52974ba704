//! `snap ls`

use std::ffi::OsString;

use avro_snap::commands::ls::ls;

use super::Context;
use super::exit::Exit;
use super::failure::Result;
use super::format::{count, local_time, long, size};
use super::parity::warn_of_mended;
use super::pick::{Filters, selector};
use super::rows;

/// List what is in a snapshot
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which snapshot, and where in it
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "at")]
    snapshot: Option<OsString>,

    /// Say mode, owner, size, time, and of Avro files codec and records
    #[arg(short, long)]
    long: bool,

    /// List what is in directories as well; this is how it is done unless --no-recursive is given
    #[arg(long, overrides_with = "no_recursive")]
    recursive: bool,

    /// List only what is right below the path
    #[arg(long)]
    no_recursive: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let selector = selector(self.snapshot.as_deref())?;
        let repository = context.open()?;
        let (snapshot, path) = context.pick(&repository, selector, &self.filters)?;
        let summary = ls(&repository, &snapshot, &path, !self.no_recursive, &mut |entry| {
            let path = output.path(&entry.path);
            match (output.json, self.long) {
                (true, _) => output.object("node", rows::node(entry)),
                (false, true) => output.line(long(entry, |path| output.path(path))),
                (false, false) => output.line(path),
            }
        })?;
        warn_of_mended(output, &repository);
        if self.long {
            output.note(format_args!(
                "{} of snapshot {} ({}), {}; {} with {}",
                count(summary.files, "file"),
                snapshot.id.short(),
                local_time(snapshot.time),
                size(summary.bytes),
                count(summary.avro_files, "Avro file"),
                count(summary.records, "record")
            ))?;
        }
        Ok(Exit::Done)
    }
}
