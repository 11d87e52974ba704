//! `snap ls`

use std::ffi::OsString;

use avro_snap::ops::ls::{Summary, ls};

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time, long, size};
use super::parity::warn_of_mended;
use super::pick::{Filters, paths_in, selector, two_paths};

/// List the files of a snapshot
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot, and perhaps a path in it
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "at")]
    snapshot: Option<OsString>,

    /// List only these paths of the snapshot
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,

    /// Print mode, owner, size, time, and for Avro files codec and records
    #[arg(short, long)]
    long: bool,

    /// List directories with all that is in them; this is the default
    #[arg(long, overrides_with = "no_recursive")]
    recursive: bool,

    /// List only what is directly in the path
    #[arg(long)]
    no_recursive: bool,

    /// Print only paths, each ended by a NUL character
    #[arg(short = '0', long = "null", conflicts_with = "long")]
    null: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        if self.null && output.json {
            return Err(Failure::Usage("--null and --json do not go together".into()));
        }
        let selector = selector(self.snapshot.as_deref())?;
        let paths = paths_in(&selector, &self.paths)?;
        let repository = context.open()?;
        let (snapshot, path) = context.pick(&repository, selector, &self.filters)?;
        let paths = match paths.is_empty() {
            true => vec![path],
            false if !path.is_empty() => return Err(two_paths()),
            false => paths,
        };
        let mut summary = Summary::default();
        for path in &paths {
            ls(&repository, &snapshot, path, !self.no_recursive, &mut |entry| {
                summary.add(entry);
                if output.json {
                    return output.object("node", entry);
                }
                if self.null {
                    return output.ended_by_nul(&entry.path);
                }
                let path = output.path(&entry.path);
                if self.long { output.line(long(entry, &path, output)) } else { output.line(path) }
            })?;
        }
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
