//! `snap manifest`

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use avro_snap::ops::manifest::manifest;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::file;
use super::format::size;
use super::parity::warn_of_mended;
use super::pick::{Filters, selector, whole};

/// Write the list of all files of a snapshot as an Avro file
///
/// Any Avro reader can read it: fastavro, avro-tools, DuckDB, Spark.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot
    #[arg(value_name = "SNAPSHOT", required_unless_present = "at")]
    snapshot: Option<OsString>,

    /// File to write; - is standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let selector = match &self.snapshot {
            Some(text) => whole(text, "a manifest")?,
            None => selector(None)?,
        };
        let repository = context.open()?;
        let snapshot = context.choose_whole(&mut context.listing(&repository), selector, &self.filters.filter()?)?;
        let mut report = None;
        file::write(Some(&self.output), &context.output, |write| {
            report = Some(manifest(&repository, &snapshot, write)?);
            Ok(())
        })?;
        warn_of_mended(&context.output, &repository);
        if self.output == Path::new("-") {
            return Ok(Exit::Done);
        }
        let Some(report) = report else { return Ok(Exit::Done) };
        let path = &self.output;
        let said = match context.output.json {
            true => context.output.object_with("summary", json!({"file": path.to_string_lossy()}), report),
            false => context.output.note(format_args!("wrote {} ({})", path.display(), size(report.bytes))),
        };
        context.finish_with(Exit::Done, said.map_err(Failure::from))
    }
}
