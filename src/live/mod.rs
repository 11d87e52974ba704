//! The snapshots of a repository as they are now, for what runs as long as it likes: names that mean another snapshot tomorrow,
//! and open files that many readers share.

mod name;
mod open;
mod window;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use name::{SnapshotName, escaped, percent_decoded, unescaped};
pub use open::{OpenFile, tag};

use crate::error::{Error, Result};
use crate::id::{ContentHash, digest};
use crate::ops::select::{Filter, Listing};
use crate::read::Snapshot;
use crate::recipe::View;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::Repository;
use open::OpenFiles;

/// For how long what is known of the repository counts as what there is now.
const FRESH: Duration = Duration::from_secs(1);

/// The snapshots of a repository, and files of them that are open. Several threads use it at once.
///
/// Memory: the roots of all snapshots, 32 open files with at most 1.5 MiB of what was read last each, and what
/// [`File`](crate::read::File) keeps.
pub struct Live {
    repository: Arc<Repository>,
    filter: Filter,
    seen: Mutex<Seen>,
    files: OpenFiles,
    /// What is known of plain views: listings ask for all of them.
    plain: Mutex<HashMap<PlainKey, (u64, View)>>,
}

/// Which content, taken apart in which way.
type PlainKey = (Option<ContentHash>, [u8; 32]);

/// For how many files it is remembered how long their plain view is.
const PLAIN: usize = 1 << 18;

struct Seen {
    listing: Arc<Listing>,
    /// How long the log was then.
    length: u64,
    looked: Instant,
    /// Why the last look failed; what was seen before is shown meanwhile.
    trouble: Option<String>,
}

impl Live {
    /// The snapshots of this repository that match.
    pub fn new(repository: Arc<Repository>, filter: Filter) -> Self {
        let seen = Seen {
            listing: Arc::new(shown(Listing::read(&repository), &filter)),
            length: repository.log().length(),
            looked: Instant::now(),
            trouble: None,
        };
        Self { repository, filter, seen: Mutex::new(seen), files: OpenFiles::default(), plain: Mutex::default() }
    }

    /// The repository that they are in.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    /// The snapshots, as they were less than a second ago. Where that cannot be read, as they were seen last.
    pub fn listing(&self) -> Arc<Listing> {
        let mut seen = self.seen();
        if seen.looked.elapsed() < FRESH {
            return seen.listing.clone();
        }
        seen.looked = Instant::now();
        let refreshed = self.repository.catalog().refresh();
        seen.trouble = refreshed.as_ref().err().map(Error::message);
        let length = self.repository.log().length();
        if refreshed.is_ok() && length != seen.length {
            seen.listing = Arc::new(shown(Listing::read(&self.repository), &self.filter));
            seen.length = length;
        }
        seen.listing.clone()
    }

    /// Why what is shown may be old; none if it is not.
    pub fn trouble(&self) -> Option<String> {
        self.seen().trouble.clone()
    }

    /// The snapshot that is meant by a name now, in this series if one is given.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`], [`Error::AmbiguousSnapshot`].
    pub fn snapshot(&self, name: &SnapshotName, series: Option<&str>) -> Result<Snapshot> {
        let root = name.pick(&self.listing(), series)?;
        Ok(self.of_root(root))
    }

    /// The snapshot with this root.
    pub fn of_root(&self, root: SnapshotRoot) -> Snapshot {
        Snapshot::of_root(&self.repository, root)
    }

    /// An open file. The latest ones stay open, so that readers that ask for a few bytes at a time share what was read.
    ///
    /// # Errors
    /// As of [`Snapshot::file`].
    pub fn open(&self, snapshot: &Snapshot, view: View, path: &[u8]) -> Result<Arc<OpenFile>> {
        self.files.open(snapshot, view, path)
    }

    /// How many bytes the plain view of a regular file has, and what names them.
    ///
    /// # Errors
    /// Errors of reading how the file's blocks lie.
    pub fn plain(&self, snapshot: &Snapshot, entry: &FileEntry) -> Result<(u64, String)> {
        let plain = || self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (entry.content, digest(&entry.recipe));
        let known = plain().get(&key).copied();
        let (length, view) = match known {
            Some(known) => known,
            None => {
                let file = snapshot.file(&entry.path)?;
                let found = (file.len(View::Plain)?, file.view(View::Plain));
                let mut plain = plain();
                if plain.len() >= PLAIN {
                    plain.clear();
                }
                plain.insert(key, found);
                found
            }
        };
        Ok((length, tag(entry, view)))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Only what matches.
fn shown(mut listing: Listing, filter: &Filter) -> Listing {
    listing.snapshots.retain(|root| filter.fits(root));
    listing
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Live({} snapshots)", self.seen().listing.snapshots.len())
    }
}
