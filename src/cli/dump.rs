//! `snap dump`

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use avro_snap::ops::restore::{archive, dump, is_folder};

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::file;
use super::parity::warn_of_mended;
use super::pick::{Filters, paths_in, selector, two_paths};

/// Write a file, or a directory as a tar archive, to standard output
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot, and the path in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    what: OsString,

    /// Path in the snapshot, if not given after a colon
    #[arg(value_name = "PATH")]
    inside: Option<OsString>,

    /// Write to this file instead of standard output
    #[arg(short = 'o', long, visible_short_alias = 't', value_name = "FILE")]
    target: Option<PathBuf>,

    /// Write a directory (or the whole snapshot) as an archive
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    archive: Option<Format>,

    #[command(flatten)]
    filters: Filters,
}

/// The formats of archives.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// POSIX (pax), which every tar reads
    Tar,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let selector = selector(Some(&self.what))?;
        let beside = paths_in(&selector, self.inside.as_slice())?.pop();
        let unnamed = || {
            Failure::Usage(
                "say which file, like `snap dump latest path/to/file`; with --archive tar all is written".into(),
            )
        };
        let may_be_all = self.archive.is_some();
        if selector.path.is_empty() && beside.as_ref().is_none_or(Vec::is_empty) && !may_be_all {
            return Err(unnamed());
        }
        let repository = context.open()?;
        let (snapshot, path) = context.pick(&repository, selector, &self.filters)?;
        let path = match beside {
            Some(_) if !path.is_empty() => return Err(two_paths()),
            Some(beside) => beside,
            None if path.is_empty() && !may_be_all => return Err(unnamed()),
            None => path,
        };
        let as_archive = self.archive.is_some();
        if !as_archive && is_folder(&repository, &snapshot, &path)? {
            return Err(Failure::plain(
                format!("{} is not a regular file, but a directory", String::from_utf8_lossy(&path)),
                "--archive tar writes a directory as a tar archive; `snap restore` writes its files",
            ));
        }
        let to_terminal = self.target.as_deref().is_none_or(|target| target == Path::new("-"));
        if as_archive && to_terminal && std::io::stdout().is_terminal() {
            return Err(Failure::plain(
                "a tar archive is not written to a terminal",
                "redirect it, as in `snap dump latest folder --archive tar > folder.tar`, or use -o FILE",
            ));
        }
        file::write(self.target.as_deref(), &context.output, |write| match as_archive {
            true => archive(&repository, &snapshot, &path, write),
            false => dump(&repository, &snapshot, &path, write),
        })?;
        warn_of_mended(&context.output, &repository);
        Ok(Exit::Done)
    }
}
