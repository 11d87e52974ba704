//! What of a snapshot is restored: what the filters let through.

use crate::files::Pattern;

/// The filters of a restore.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selection<'o> {
    pub(super) include: &'o [Pattern],
    pub(super) exclude: &'o [Pattern],
}

impl Selection<'_> {
    /// Whether this path of the snapshot is restored. What is below something that matches, matches.
    pub(super) fn selects(&self, path: &[u8]) -> bool {
        (self.include.is_empty() || fits(self.include, path)) && !self.excludes(path)
    }

    /// Whether this path, and with it all that is in it, is left alone.
    pub(super) fn excludes(&self, path: &[u8]) -> bool {
        !self.exclude.is_empty() && fits(self.exclude, path)
    }
}

fn fits(patterns: &[Pattern], path: &[u8]) -> bool {
    let absolute = [b"/", path].concat();
    let ends = absolute.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.chain([absolute.len()]).any(|end| Pattern::any(patterns, &absolute[..end]))
}
