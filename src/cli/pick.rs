//! Which snapshots a verb works on.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use avro_snap::error::Error;
use avro_snap::files::Pattern;
use avro_snap::id::SnapshotId;
use avro_snap::ops::select::{Doubt, Filter, Listing, Selector, manifest_path};
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::store::Repository;
use avro_snap::values::comma_list;

use super::Context;
use super::failure::{Failure, Result};
use super::format::local_time;
use super::output::Output;
use super::when::{Day, parse_time};

/// Patterns of paths as they were given.
pub(crate) fn patterns(texts: &[OsString], insensitive: bool) -> Result<Vec<Pattern>> {
    let pattern = |text: &OsString| Pattern::new(text.as_bytes(), insensitive);
    texts.iter().map(pattern).collect::<std::result::Result<_, Error>>().map_err(|e| Failure::Usage(e.to_string()))
}

/// Narrows down which snapshots are considered.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Which snapshots")]
pub(crate) struct Filters {
    /// Consider only snapshots made at or before this time
    ///
    /// Written like 2026-07-14 or 2026-07 (the end of that day or month), "2026-07-14 12:00" (local time),
    /// 2026-07-14T12:00:00Z, yesterday, "2 days ago", or @1700000000 (seconds since 1970).
    #[arg(long, value_name = "TIME")]
    at: Option<String>,

    /// Consider only snapshots of this host; may be repeated
    #[arg(short = 'H', long, value_name = "HOST")]
    host: Vec<String>,

    /// Consider only snapshots of this series; may be repeated
    #[arg(long, value_name = "SERIES")]
    series: Vec<String>,

    /// Consider only snapshots that have all of these tags; may be repeated, matches any of the lists
    ///
    /// An empty list (written as a comma) matches snapshots without tags.
    #[arg(long, value_name = "TAG,...")]
    tag: Vec<String>,

    /// Consider only snapshots of this path; may be repeated, all must have been saved
    #[arg(long, value_name = "PATH")]
    path: Vec<PathBuf>,
}

impl Filters {
    /// Whether `--tag` is given with nothing at all.
    pub(crate) fn names_an_empty_tag(&self) -> bool {
        self.tag.iter().any(|list| list.trim().is_empty())
    }

    /// As the library takes them.
    pub(crate) fn filter(&self) -> Result<Filter> {
        // An unset variable in a script must not choose anything.
        for (flag, values) in [("--host", &self.host), ("--series", &self.series)] {
            if values.iter().any(|value| value.trim().is_empty()) {
                return Err(Failure::Usage(format!("{flag} is empty")));
            }
        }
        let at = self.at.as_deref().map(|text| parse_time(text, Day::Ends)).transpose();
        let mut filter = Filter::default().host(&self.host).series(&self.series).at(at.map_err(Failure::Usage)?);
        filter.tag = self.tag.iter().map(|list| comma_list(list)).collect();
        filter.path = self.path.iter().map(|path| Filter::saved_path(path)).collect::<std::result::Result<_, _>>()?;
        Ok(filter)
    }
}

/// The beginning of an id, in lower case. An empty text, as of an unset variable, is none.
pub(crate) fn id_prefix(text: &OsStr) -> Result<String> {
    let text = text.to_string_lossy();
    match !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Failure::Usage(format!("{text:?} is not the beginning of an id: that is hexadecimal digits"))),
    }
}

/// Parses `SNAPSHOT[:PATH]`. None means the latest.
pub(crate) fn selector(text: Option<&OsStr>) -> Result<Selector> {
    Selector::parse(text.map_or(&b"latest"[..], OsStr::as_bytes)).map_err(|error| Failure::Usage(error.to_string()))
}

/// What is said about a doubt.
fn warning(output: &Output, doubt: &Doubt, selector: &Selector, picked: Option<&SnapshotRoot>) -> String {
    match doubt {
        Doubt::SeveralSeries { count, taken } => {
            let found = picked.map_or_else(String::new, |root| {
                format!(", and so snapshot {} of {}", root.id.short(), local_time(root.time))
            });
            format!(
                "there are {count} series, and `{selector}` takes the one with the newest snapshot, {:?}{found}; choose \
                 with SERIES:{selector} or --series",
                output.series(taken)
            )
        }
        Doubt::InTheFuture { count: 1, newest } => {
            format!("snapshot {} is dated in the future, so it is not `latest`; name it by its id", newest.short())
        }
        Doubt::InTheFuture { count, newest } => format!(
            "{count} snapshots, {} the last of them, are dated in the future, so they are not `latest`; name them by their \
             ids",
            newest.short()
        ),
    }
}

/// A path is given twice.
pub(crate) fn two_paths() -> Failure {
    Failure::Usage("give paths either as SNAPSHOT:PATH or after the snapshot, not both".into())
}

/// Paths in a snapshot that stand beside its name, as `ls SNAPSHOT PATH` has them. They do not go together with a path in
/// the name itself.
pub(crate) fn paths_in(selector: &Selector, paths: &[OsString]) -> Result<Vec<Vec<u8>>> {
    if !selector.may_be_whole() && !paths.is_empty() {
        return Err(two_paths());
    }
    if paths.iter().any(|path| path.is_empty()) {
        return Err(Failure::Usage("a path is empty".into()));
    }
    let path = |path: &OsString| manifest_path(path.as_bytes()).map_err(|error| Failure::Usage(error.to_string()));
    paths.iter().map(path).collect()
}

/// Parses the name of a whole snapshot.
pub(crate) fn whole(text: &OsStr, what: &str) -> Result<Selector> {
    let selector = selector(Some(text))?;
    match selector.may_be_whole() {
        true => Ok(selector),
        false => Err(Failure::Usage(format!("{what} is a whole snapshot: no path goes here"))),
    }
}

impl Context {
    /// All snapshots of the repository. Those that cannot be read are reported.
    pub(crate) fn listing(&self, repository: &Repository) -> Listing {
        let listing = Listing::read(repository);
        for (id, error) in &listing.unreadable {
            self.output.warn(&format!("snapshot {} cannot be read: {}", id.short(), error.message()));
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
        self.choose(&mut self.listing(repository), selector, &filters.filter()?)
    }

    /// The snapshot of a listing that is to be deleted. Refuses names that are not clear.
    pub(crate) fn choose_to_delete(
        &self,
        listing: &Listing,
        selector: Selector,
        filter: &Filter,
    ) -> Result<SnapshotId> {
        let selector = self.settle(listing, selector, filter, true);
        if !selector.path.is_empty() {
            return Err(Failure::Usage(format!("`{selector}` is a whole snapshot: no path goes here")));
        }
        selector.pick_to_delete(listing, filter).map_err(Failure::of_arguments)
    }

    /// The whole snapshot of a listing that is meant.
    pub(crate) fn choose_whole(
        &self,
        listing: &mut Listing,
        selector: Selector,
        filter: &Filter,
    ) -> Result<SnapshotRoot> {
        let (root, path) = self.choose(listing, selector, filter)?;
        match path.is_empty() {
            true => Ok(root),
            false => {
                Err(Failure::Usage(format!("snapshot {} is meant as a whole: no path goes here", root.id.short())))
            }
        }
    }

    /// The whole snapshots of a listing that are named; without names, those that fit the filter.
    pub(crate) fn choose_all(
        &self,
        listing: &mut Listing,
        selectors: Vec<Selector>,
        filter: &Filter,
    ) -> Result<Vec<SnapshotRoot>> {
        match selectors.is_empty() {
            true => Ok(listing.fitting(filter).cloned().collect()),
            false => selectors.into_iter().map(|selector| self.choose_whole(listing, selector, filter)).collect(),
        }
    }

    /// What a name means in a listing. Warns where `latest` may not be what is expected.
    pub(crate) fn settle(
        &self,
        listing: &Listing,
        selector: Selector,
        filter: &Filter,
        several_are_refused: bool,
    ) -> Selector {
        let selector = selector.settled(listing);
        for doubt in selector.doubts(listing, filter) {
            if !(several_are_refused && matches!(doubt, Doubt::SeveralSeries { .. })) {
                self.output.warn_once(&warning(&self.output, &doubt, &selector, None));
            }
        }
        selector
    }

    /// The snapshot of a listing that is meant, and the path in it. Warns where `latest` may not be what is expected.
    pub(crate) fn choose(
        &self,
        listing: &mut Listing,
        selector: Selector,
        filter: &Filter,
    ) -> Result<(SnapshotRoot, Vec<u8>)> {
        let selector = selector.settled(listing);
        let doubts = selector.doubts(listing, filter);
        let picked = selector.pick(listing, filter);
        for doubt in doubts {
            self.output.warn_once(&warning(&self.output, &doubt, &selector, picked.as_ref().ok()));
        }
        Ok((picked?, selector.path))
    }
}
