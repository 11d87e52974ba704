//! `snap dump`

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avro_snap::ops::restore::{archive, archive_of, dump, is_folder};
use avro_snap::read::Snapshot;
use avro_snap::tables::Wanted;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::file;
use super::parity::warn_of_mended;
use super::pick::{Filters, paths_in, selector, two_paths};

/// Write a file, or directories as a tar archive, to standard output
///
/// With --archive there may be several paths, and patterns like 'orders/*.avro', which begin at the top of the snapshot.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot, and the path in it
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    what: OsString,

    /// Path in the snapshot, if not given after a colon; with --archive several
    #[arg(value_name = "PATH")]
    inside: Vec<OsString>,

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
        let mut paths = paths_in(&selector, &self.inside)?;
        let unnamed = || {
            Failure::Usage(
                "say which file, like `snap dump latest path/to/file`; with --archive tar all is written".into(),
            )
        };
        let may_be_all = self.archive.is_some();
        if paths.len() > 1 && !may_be_all {
            return Err(Failure::Usage("several paths need --archive tar: one file is written as it is".into()));
        }
        if selector.path.is_empty() && paths.iter().all(Vec::is_empty) && !may_be_all {
            return Err(unnamed());
        }
        let repository = Arc::new(context.open()?);
        let (snapshot, path) = context.pick(&repository, selector, &self.filters)?;
        if !path.is_empty() && !paths.is_empty() {
            return Err(two_paths());
        }
        if paths.is_empty() {
            paths.push(path);
        }
        let opened = Snapshot::of_root(&repository, snapshot.clone());
        let wanted = paths.iter().map(|path| Wanted::new(&opened, path)).collect::<std::result::Result<Vec<_>, _>>();
        let wanted = wanted.map_err(Failure::of_arguments)?;
        let path = paths.first().cloned().unwrap_or_default();
        if path.is_empty() && !may_be_all {
            return Err(unnamed());
        }
        if wanted.iter().any(Wanted::is_pattern) && !may_be_all {
            return Err(Failure::plain(
                format!("there is no file {}", String::from_utf8_lossy(&path)),
                "as a pattern it needs --archive tar, which writes all files that it matches",
            ));
        }
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
            true => match wanted.as_slice() {
                [one] if !one.is_pattern() => archive(&repository, &snapshot, &path, write),
                several => archive_of(&repository, &snapshot, several, write),
            },
            false => dump(&repository, &snapshot, &path, write),
        })?;
        warn_of_mended(&context.output, &repository);
        Ok(Exit::Done)
    }
}
