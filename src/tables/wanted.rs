//! Which files of a snapshot are meant.

use crate::error::Result;
use crate::files::{Matchable, Pattern};
use crate::read::{Below, Snapshot};
use crate::snapshot::entry::is_below;

/// A path or a pattern of a snapshot.
///
/// A path that is there is that path, whatever its letters. Any other with `*`, `?`, `[` or `\` in it is a pattern
/// ([`pattern`](crate::files::pattern) says how), which begins at the top of the snapshot. Everything below a folder that
/// is meant is meant, too.
#[derive(Debug, Clone)]
pub struct Wanted {
    snapshot: Snapshot,
    path: Vec<u8>,
    pattern: Option<Pattern>,
}

impl Wanted {
    /// A path or pattern as manifests write paths; the empty one is everything.
    ///
    /// # Errors
    /// If a pattern has a `[` that is not closed; those of reading the manifest.
    pub fn new(snapshot: &Snapshot, path: &[u8]) -> Result<Self> {
        let is_pattern = path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
        let there = || snapshot.below(path).next().transpose().map(|row| row.is_some());
        let pattern = match is_pattern && !there()? {
            true => Some(Pattern::new(&[b"/", path].concat(), false)?),
            false => None,
        };
        Ok(Self { snapshot: snapshot.clone(), path: path.to_vec(), pattern })
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The path or pattern.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Whether it is a pattern.
    pub fn is_pattern(&self) -> bool {
        self.pattern.is_some()
    }

    /// Whether a path is meant.
    pub fn fits(&self, path: &[u8]) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.matches(&Matchable::new(path, false)),
            None => self.path.is_empty() || path == self.path || is_below(path, &self.path),
        }
    }

    /// The rows among which all are that are meant.
    pub fn rows(&self) -> Below {
        self.snapshot.below(self.place())
    }

    /// The longest path that is above or at all that is meant.
    fn place(&self) -> Vec<u8> {
        if self.pattern.is_none() {
            return self.path.clone();
        }
        let is_plain = |component: &&[u8]| !component.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
        let plain: Vec<&[u8]> = self.path.split(|byte| *byte == b'/').take_while(is_plain).collect();
        plain.join(&b'/')
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        match self.path.as_slice() {
            b"" => format!("snapshot {}", self.snapshot.id().short()),
            path => String::from_utf8_lossy(path).into_owned(),
        }
    }
}
