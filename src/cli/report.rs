//! `snap report`

use std::path::PathBuf;
use std::sync::Arc;

use avro_snap::live::Live;
use avro_snap::ops::overview::overview;
use avro_snap::serve::report;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::file;
use super::pick::Filters;

/// Write a page that says how all series are doing, for mail and archives
///
/// One file that needs nothing else: each series in a sentence, how the repository grows, and what is known to be damaged. The same
/// stands on the pages of `snap serve`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the page to this file; `-` is standard output
    #[arg(long, value_name = "FILE", required_unless_present = "json")]
    html: Option<PathBuf>,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let is_stdout = self.html.as_deref().is_some_and(|file| file.as_os_str() == "-");
        if is_stdout && output.json {
            return Err(Failure::Usage("--html - and --json both write to standard output: give --html a file".into()));
        }
        let live = Live::new(Arc::new(context.open()?), self.filters.filter()?);
        let found = overview(live.repository(), &live.listing());
        if let Some(html) = &self.html {
            let page = report(&live, &found)?;
            file::write(Some(html), output, |write| write(page.as_bytes()))?;
        }
        if output.json {
            output.object("report", &found)?;
        }
        Ok(Exit::Done)
    }
}
