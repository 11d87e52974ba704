//! Which snapshot is meant.

mod selector;

pub use selector::{CLOCK_TOLERANCE, Doubt, Selector, Which, check_digits};

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use crate::error::{Error, IoContext, Result};
use crate::files::{is_in_store, saved_path};
use crate::id::SnapshotId;
use crate::snapshot::SnapshotRoot;
use crate::store::{ATTEMPTS, Repository, read_roots};
use crate::values;

/// The snapshots of a repository.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that can be read, by their time, and of the same time in the order in which they were made. They carry the
    /// tags that they have now.
    pub snapshots: Vec<SnapshotRoot>,
    /// Those whose root cannot be read, and why.
    pub unreadable: Vec<(SnapshotId, Error)>,
    /// When this was read, nanoseconds since 1970 (UTC). Snapshots dated later are never `latest`.
    pub now: i64,
}

impl Listing {
    /// Reads the root of every snapshot that the log names. Parts of runs are none.
    ///
    /// Where one cannot be read and the log has moved meanwhile, all are read again: it may have been removed.
    pub fn read(repository: &Repository) -> Self {
        let mut listing = Self::default();
        for _ in 0..ATTEMPTS {
            let state = repository.state();
            listing = Self { now: repository.log().clock().now(), ..Self::default() };
            let records = state.whole_snapshots();
            for (record, root) in records.iter().zip(read_roots(repository, &records)) {
                match root {
                    Ok(root) => listing.snapshots.push(root),
                    Err(error) => listing.unreadable.push((record.id, error)),
                }
            }
            // What is wrong with the log itself is reported when the repository is opened.
            if listing.unreadable.is_empty() || !repository.catalog().has_moved(&state).unwrap_or(false) {
                break;
            }
        }
        // Stable, and the log's own order is that in which they were made.
        listing.snapshots.sort_by_key(|root| root.time);
        listing
    }

    /// Whether a snapshot is dated in the future.
    pub fn is_ahead(&self, root: &SnapshotRoot) -> bool {
        root.time > self.now.saturating_add(CLOCK_TOLERANCE)
    }

    /// The snapshots that match, in order.
    pub fn fitting<'l>(&'l self, filter: &Filter) -> impl DoubleEndedIterator<Item = &'l SnapshotRoot> {
        self.snapshots.iter().filter(|root| filter.fits(root))
    }
}

/// Which snapshots are considered. Empty lists match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Filter {
    /// Made on one of these hosts.
    #[serde(deserialize_with = "names")]
    pub host: Vec<String>,
    /// Of one of these series.
    #[serde(deserialize_with = "names")]
    pub series: Vec<String>,
    /// Having all tags of one of these lists. An empty list stands for no tags at all.
    #[serde(deserialize_with = "values::lists")]
    pub tag: Vec<Vec<String>>,
    /// With all of these paths, absolute, among those that were saved.
    #[serde(deserialize_with = "paths")]
    pub path: Vec<Vec<u8>>,
    /// Not later than this, nanoseconds since 1970 (UTC).
    #[serde(skip)]
    pub at: Option<i64>,
}

impl Filter {
    values::setters! {
        each host: String;
        each series: String;
        is tag: Vec<Vec<String>>;
        each path: Vec<u8>;
        is at: Option<i64>;
    }

    /// A path as snapshots name what was saved: absolute, or a URL, without a slash at its end.
    ///
    /// # Errors
    /// If it is relative, and the working directory cannot be found.
    pub fn saved_path(path: &Path) -> Result<Vec<u8>> {
        if is_in_store(path) {
            return Ok(saved_path(path, Path::new("/")));
        }
        let absolute = std::path::absolute(path).when("resolve", path)?;
        // A slash at the end of a path says nothing about what it names.
        Ok(absolute.components().collect::<PathBuf>().into_os_string().into_vec())
    }

    /// The name of a host or a series. An empty one, which an unset variable leaves, must not choose anything.
    ///
    /// # Errors
    /// If it is empty.
    pub fn name(text: &str) -> std::result::Result<String, String> {
        match text.trim() {
            "" => Err("a name is empty: was a variable not set?".into()),
            _ => Ok(text.to_owned()),
        }
    }

    /// Whether a snapshot matches.
    pub fn fits(&self, root: &SnapshotRoot) -> bool {
        let tagged = |wanted: &Vec<String>| match wanted.is_empty() {
            true => root.tags.is_empty(),
            false => wanted.iter().all(|tag| root.tags.contains(tag)),
        };
        (self.host.is_empty() || self.host.contains(&root.host))
            && (self.series.is_empty() || self.series.contains(&root.series))
            && (self.tag.is_empty() || self.tag.iter().any(tagged))
            && self.path.iter().all(|path| root.paths.contains(path))
            && self.at.is_none_or(|at| root.time <= at)
    }
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<String>, D::Error> {
    values::from_texts(deserializer, Filter::name)
}

fn paths<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Vec<u8>>, D::Error> {
    values::from_texts(deserializer, |text| Filter::saved_path(Path::new(text)).map_err(|error| error.to_string()))
}

/// A path as people write it, the way manifests write it: without `/` at its ends, without empty and `.` components.
///
/// # Errors
/// [`Error::InvalidArgument`] for one that leads upwards.
pub fn manifest_path(path: &[u8]) -> Result<Vec<u8>> {
    let components: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b".")).collect();
    if components.contains(&&b".."[..]) || path.contains(&0) {
        let shown = String::from_utf8_lossy(path);
        return Err(Error::argument("path", format!("{shown:?} is not a path in a snapshot")));
    }
    Ok(components.join(&b'/'))
}

#[cfg(test)]
mod tests;
