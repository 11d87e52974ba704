//! Which snapshots a verb works on.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use avro_snap::commands::select::{Filter, Listing, Selector};
use avro_snap::error::{Error, IoContext};
use avro_snap::files::Pattern;
use avro_snap::repository::Repository;
use avro_snap::snapshot::SnapshotRoot;

use super::Context;
use super::failure::{Failure, Result, chain};
use super::format::{Day, parse_time};

/// Patterns of paths as they were given.
pub(crate) fn patterns(texts: &[OsString]) -> Result<Vec<Pattern>> {
    let pattern = |text: &OsString| Pattern::new(text.as_bytes(), false);
    texts.iter().map(pattern).collect::<std::result::Result<_, Error>>().map_err(|e| Failure::Usage(e.to_string()))
}

/// Narrows down which snapshots are looked at.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Which snapshots")]
pub(crate) struct Filters {
    /// Look only at the last snapshot at or before this time, and those before it
    ///
    /// Written like 2026-07-14 (the end of that day), "2026-07-14 12:00", "2026-07-14 12:00:00" in local time, or like
    /// 2026-07-14T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,

    /// Look only at snapshots made on this host; may be given several times
    #[arg(short = 'H', long, value_name = "HOST")]
    host: Vec<String>,

    /// Look only at snapshots of this series; may be given several times
    #[arg(long, value_name = "SERIES")]
    series: Vec<String>,

    /// Look only at snapshots that have all of these tags; given several times, one of the lists is enough
    ///
    /// An empty list looks for snapshots without tags.
    #[arg(long, value_name = "TAG,...")]
    tag: Vec<String>,

    /// Look only at snapshots of this path; given several times, of all of them
    #[arg(long, value_name = "PATH")]
    path: Vec<PathBuf>,
}

impl Filters {
    /// As the library takes them.
    pub(crate) fn filter(&self) -> Result<Filter> {
        let absolute = |path: &PathBuf| -> Result<Vec<u8>> {
            let absolute = std::path::absolute(path).when("resolve", path)?;
            // A slash at the end of a path says nothing about what it names.
            Ok(absolute.components().collect::<PathBuf>().as_os_str().as_bytes().to_vec())
        };
        let at = self.at.as_deref().map(|text| parse_time(text, Day::Ends)).transpose();
        Ok(Filter {
            hosts: self.host.clone(),
            series: self.series.clone(),
            tags: self.tag.iter().map(|list| comma_list(list)).collect(),
            paths: self.path.iter().map(absolute).collect::<Result<_>>()?,
            at: at.map_err(Failure::Usage)?,
        })
    }
}

/// The parts of a list with commas.
pub(crate) fn comma_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Understands `SNAPSHOT[:PATH]`. None means the latest.
pub(crate) fn selector(text: Option<&OsStr>) -> Result<Selector> {
    Selector::parse(text.map_or(&b"latest"[..], OsStr::as_bytes)).map_err(|error| Failure::Usage(error.to_string()))
}

impl Context {
    /// All snapshots of the repository. Those that cannot be read are told.
    pub(crate) fn listing(&self, repository: &Repository) -> Listing {
        let listing = Listing::read(repository);
        for (id, error) in &listing.unreadable {
            self.output.warn(&format!("snapshot {} cannot be read: {}", id.short(), chain(error)));
        }
        listing
    }

    /// The snapshot that is meant, and the path in it.
    pub(crate) fn pick(
        &self,
        repository: &Repository,
        selector: Selector,
        filters: &Filters,
    ) -> Result<(SnapshotRoot, Vec<u8>)> {
        let root = selector.pick(&mut self.listing(repository), &filters.filter()?)?;
        Ok((root, selector.path))
    }
}
