//! `snap dump`

use std::ffi::OsString;
use std::path::PathBuf;

use avro_snap::commands::restore::dump;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::file;
use super::parity::warn_of_mended;
use super::pick::{Filters, selector};

/// Write the content of one file to standard output
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which file of which snapshot
    #[arg(value_name = "SNAPSHOT:PATH")]
    what: OsString,

    /// Write it to this file instead
    #[arg(short = 'o', long, visible_short_alias = 't', value_name = "FILE")]
    target: Option<PathBuf>,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let selector = selector(Some(&self.what))?;
        if selector.path.is_empty() {
            return Err(Failure::Usage("say which file, like `snap dump latest:path/to/file`".into()));
        }
        let repository = context.open()?;
        let (snapshot, path) = context.pick(&repository, selector, &self.filters)?;
        file::write(self.target.as_deref(), &context.output, |write| dump(&repository, &snapshot, &path, write))?;
        warn_of_mended(&context.output, &repository);
        Ok(Exit::Done)
    }
}
