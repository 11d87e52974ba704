//! `snap count`

use std::ffi::OsString;
use std::sync::Arc;

use avro_snap::avro::filter::Expression;
use avro_snap::ops::count::{count as count_records, count_where};

use super::Context;
use super::cat::failure;
use super::exit::Exit;
use super::failure::Result;
use super::format::count;
use super::parts::{named, no_table, shown};
use super::pick::Filters;

/// Count the records of Avro files
///
/// A file, a folder, a pattern like 'latest:orders/*.avro', or several of these. The number was found when the files were
/// saved, so nothing is decoded, however large they are. Only files that were not sound then, or were saved without looking
/// into them, are decoded now: their sound records count, their faults are reported, and the exit code is 3.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot, and the file, folder or pattern in it; may be repeated
    #[arg(required = true, value_name = "SNAPSHOT:PATH")]
    what: Vec<OsString>,

    /// Count only records of which CONDITION is true, as `snap cat --where` has it; all files are decoded then
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<Expression>,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let named = named(&self.what, "snap count latest:path/to/folder")?;
        let repository = Arc::new(context.open()?);
        let wanted = context.wanted(&repository, named, &self.filters.filter()?)?;
        let report = match &self.condition {
            None => count_records(&wanted).map_err(no_table)?,
            Some(condition) => count_where(&wanted, condition).map_err(failure)?,
        };
        for fault in &report.faults {
            output.error("unsound", &fault.to_string(), None);
        }
        for (path, reason) in &report.unreadable {
            output.error("unsound", &format!("{}: {reason}", String::from_utf8_lossy(path)), None);
        }
        if output.json {
            output.object("summary", &report)?;
        } else {
            output.line(report.records.to_string())?;
        }
        match (report.faults.len() + report.unreadable.len()) as u64 {
            0 => Ok(Exit::Done),
            faults => {
                let message = format!("not all of {} can be counted: {} found", shown(&wanted), count(faults, "fault"));
                output.error("unsound", &message, Some("`snap cat` prints the records that are sound"));
                Ok(Exit::Incomplete)
            }
        }
    }
}
