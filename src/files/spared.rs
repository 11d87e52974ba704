//! What a sweep leaves alone in any case: what `create` did not save is not in the snapshot, and is no rubbish
//! for that.

use std::collections::{BTreeSet, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde::Serialize;

use super::coverage::Ground;
use super::folder::{Folder, Found, FoundKind};
use super::rules::Rules;
use super::stat::Seen;
use crate::error::Result;
use crate::snapshot::Rule;
use crate::snapshot::rules::{PASSED_OVER, UNREADABLE};

/// How many unreadable paths a snapshot keeps, and of how many bytes. Where there are more, directories stand for what is
/// in them.
const MOST_UNREADABLE: (usize, usize) = (1000, 64 << 10);

/// The rules that say what else is not in a snapshot: `passed_over` as absolute paths, `unreadable` as paths of the
/// manifest.
pub fn left_out(passed_over: &[PathBuf], unreadable: Vec<Vec<u8>>) -> Vec<Rule> {
    let passed_over = passed_over.iter().map(|path| (PASSED_OVER, path.as_os_str().as_bytes().to_vec()));
    let unreadable = coarsened(unreadable, MOST_UNREADABLE).into_iter().map(|path| (UNREADABLE, path));
    passed_over.chain(unreadable).map(|(name, value)| Rule { name: name.into(), value }).collect()
}

/// Adds to the rules of a snapshot what is missing in it.
pub fn with_unreadable(rules: &[Rule], more: impl IntoIterator<Item = Vec<u8>>) -> Vec<Rule> {
    let (known, others): (Vec<Rule>, Vec<Rule>) = rules.iter().cloned().partition(|rule| rule.name == UNREADABLE);
    let all = known.into_iter().map(|rule| rule.value).chain(more).collect();
    others.into_iter().chain(left_out(&[], all)).collect()
}

/// Puts directories in place of what is in them, until the list is no longer than this.
fn coarsened(paths: Vec<Vec<u8>>, (count, bytes): (usize, usize)) -> BTreeSet<Vec<u8>> {
    let mut paths: BTreeSet<_> = paths.into_iter().collect();
    while paths.len() > count || paths.iter().map(Vec::len).sum::<usize>() > bytes {
        let deepest = paths.iter().map(|path| depth(path)).max().unwrap_or(0);
        let above = |path: Vec<u8>| match depth(&path) == deepest {
            true => path.iter().rposition(|byte| *byte == b'/').map_or(Vec::new(), |slash| path[..slash].to_vec()),
            false => path,
        };
        paths = paths.into_iter().map(above).collect();
        if deepest <= 1 {
            break;
        }
    }
    paths
}

/// How many components a path has.
fn depth(path: &[u8]) -> usize {
    match path {
        [] => 0,
        path => 1 + path.iter().filter(|byte| **byte == b'/').count(),
    }
}

/// Why something is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spare {
    /// It is the repository in use, or what this program keeps for itself.
    InUse,
    /// The repository, or what belonged to this program, when the snapshot was made.
    PassedOver,
    /// It could not be read when the snapshot was made.
    Unreadable,
    /// A pattern, a size or a file beside it said that it is not to be saved.
    LeftOut,
    /// Another file system, or the same one mounted again.
    #[serde(rename = "other_file_system")]
    Border,
    /// A socket, or something unknown: such things are not saved.
    NotSaved,
}

/// What a snapshot does not hold, though it was there when it was made; and what is in use now.
#[derive(Debug)]
pub struct Spared {
    rules: Rules,
    passed_over: HashSet<Vec<u8>>,
    unreadable: HashSet<Vec<u8>>,
    in_use: HashSet<(u64, u64)>,
}

impl Spared {
    /// From the rules of a snapshot. `in_use` are directories that must not be touched in any case.
    ///
    /// # Errors
    /// If there is a rule that this version does not know: what it left out would not be spared.
    pub fn new(recorded: &[Rule], in_use: &[PathBuf]) -> Result<Self> {
        let values = |name: &str| {
            let named = recorded.iter().filter(move |rule| rule.name == name);
            named.map(|rule| rule.value.clone()).collect::<HashSet<_>>()
        };
        let stats = in_use.iter().filter_map(|path| rustix::fs::stat(path).ok()).map(|stat| Seen::from(stat).stat);
        Ok(Self {
            rules: Rules::from_recorded(recorded)?,
            passed_over: values(PASSED_OVER),
            unreadable: values(UNREADABLE),
            in_use: stats.map(|stat| (stat.dev, stat.inode)).collect(),
        })
    }

    /// Why what was found here is to be left alone, with all that is in it; none if nothing speaks for it. What lies
    /// above it was asked about before.
    pub fn why(&self, tree_path: &[u8], ground: &Ground<'_>, found: &Found) -> Option<Spare> {
        let fs_path = ground.fs_path();
        match found.kind {
            _ if self.in_use.contains(&(found.dev, found.inode)) => Some(Spare::InUse),
            _ if self.passed_over.contains(fs_path.as_os_str().as_bytes()) => Some(Spare::PassedOver),
            _ if self.is_unreadable(tree_path) => Some(Spare::Unreadable),
            _ if self.rules.excludes_path(fs_path) => Some(Spare::LeftOut),
            _ if found.is_border => Some(Spare::Border),
            FoundKind::File if self.rules.excludes_size(found.size) => Some(Spare::LeftOut),
            FoundKind::Socket | FoundKind::Unknown => Some(Spare::NotSaved),
            _ => None,
        }
    }

    fn is_unreadable(&self, tree_path: &[u8]) -> bool {
        !self.unreadable.is_empty() && self.unreadable.contains(tree_path)
    }

    /// Whether what lies directly in this directory is left out because of a file in it. `was_marked` says whether the
    /// snapshot has a file of such a name here.
    pub fn is_marked(&self, folder: &Folder, was_marked: bool) -> bool {
        self.rules.markers().any(|(name, header)| match folder.begins_with(name, header) {
            Some(is_marker) => is_marker,
            None => was_marked,
        })
    }

    /// Whether a file with this name may be a marker, by which all beside it is excluded.
    pub fn may_mark(&self, name: &[u8]) -> bool {
        self.rules.markers().any(|(marker, _)| marker == name)
    }

    /// What could not be read, as paths of the manifest.
    pub fn unreadable(&self) -> impl Iterator<Item = &[u8]> {
        self.unreadable.iter().map(Vec::as_slice)
    }

    /// Whether other file systems were not entered.
    pub fn one_file_system(&self) -> bool {
        self.rules.stays_on_one_file_system()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_made_of_directories() {
        let paths = |paths: &[&str]| paths.iter().map(|path| path.as_bytes().to_vec()).collect::<Vec<_>>();
        let coarse = |given: &[&str], most| coarsened(paths(given), (9, most)).into_iter().collect::<Vec<_>>();
        assert_eq!(coarse(&["a/b/c", "a/b/d", "x"], 100), paths(&["a/b/c", "a/b/d", "x"]));
        assert_eq!(coarse(&["a/b/c", "a/b/d", "x"], 4), paths(&["a/b", "x"]));
        assert_eq!(coarse(&["a/b/c", "a/b/d", "x"], 2), paths(&["a", "x"]));
        assert_eq!(coarse(&["a/b/c", "a/b/d", "x"], 1), paths(&[""]));
        let two = coarsened(paths(&["a/b/c", "a/b/d", "x"]), (2, 100));
        assert_eq!(two.into_iter().collect::<Vec<_>>(), paths(&["a/b", "x"]));
        let many = (0..100_000).map(|n| format!("home/me/{n}").into_bytes()).collect();
        assert_eq!(left_out(&[], many).iter().map(|rule| rule.value.clone()).collect::<Vec<_>>(), paths(&["home/me"]));
    }
}
