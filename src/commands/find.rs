//! `find`: where something is.

use super::is_at_or_below;
use crate::error::Result;
use crate::files::{Matchable, Pattern};
use crate::repository::Repository;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;

/// What is looked for: a pattern without a `/` is compared with names, any other with paths.
#[derive(Debug, Clone)]
pub struct Wanted {
    pattern: Pattern,
    whole_path: bool,
}

impl Wanted {
    /// Understands a pattern ([`pattern`](crate::files::pattern) says how).
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::error::Error::Invalid) if it is none.
    pub fn new(pattern: &[u8], insensitive: bool) -> Result<Self> {
        let whole_path = pattern.contains(&b'/') || pattern == b"**";
        Ok(Self { pattern: Pattern::new(pattern, insensitive)?, whole_path })
    }

    fn fits(&self, path: &Matchable, name: &Matchable) -> bool {
        self.pattern.matches_itself(if self.whole_path { path } else { name })
    }
}

/// Hands the rows at or below `path` that fit one of the patterns to `each`, in their order, and counts them.
///
/// # Errors
/// Those of the repository, and those of `each`, at the first of which it stops.
pub fn find(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
    wanted: &[Wanted],
    each: &mut dyn FnMut(&FileEntry) -> Result<()>,
) -> Result<u64> {
    let insensitive = wanted.iter().any(|wanted| wanted.pattern.is_insensitive());
    let mut rows = snapshot.rows(repository);
    rows.seek(path)?;
    let mut found = 0;
    while let Some(row) = rows.next_row()? {
        if !is_at_or_below(&row.path, path) {
            break;
        }
        let name = row.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let (whole, name) = (Matchable::new(&row.path, insensitive), Matchable::new(name, insensitive));
        if wanted.iter().any(|wanted| wanted.fits(&whole, &name)) {
            found += 1;
            each(&row)?;
        }
    }
    Ok(found)
}
