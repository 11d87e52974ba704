//! Whether a file that a walk did not meet is gone, or was only not to be met.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::place::Place;
use super::rules::Rules;
use super::stat::Seen;

/// State of a file that was saved once and was not met now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is not there, or something else is in its place or on the way to it.
    Gone,
    /// It is there, or that cannot be found out.
    Unknown,
    /// It is not to be saved any more.
    LeftOut,
}

/// The part of the tree that a walk was to meet.
#[derive(Debug)]
pub struct Covered {
    /// Where each root lies, by its path in the manifest.
    roots: BTreeMap<Vec<u8>, PathBuf>,
    rules: Rules,
}

impl Covered {
    pub(super) fn new(roots: BTreeMap<Vec<u8>, PathBuf>, rules: Rules) -> Self {
        Self { roots, rules }
    }

    /// The root that this path of the manifest belongs to, and the way from there.
    fn root_of<'p>(&self, tree_path: &'p [u8]) -> Option<(&Path, &'p [u8])> {
        let ends = (0..=tree_path.len()).rev();
        let ends = ends.filter(|end| matches!(tree_path.get(*end), None | Some(b'/')) || *end == 0);
        ends.into_iter().find_map(|end| {
            let root = self.roots.get(tree_path.get(..end)?)?;
            let below = tree_path.get(end..)?;
            Some((root.as_path(), below.strip_prefix(b"/").unwrap_or(below)))
        })
    }

    /// State of the file at this path.
    pub fn fate(&self, tree_path: &[u8]) -> Fate {
        let Some((root, below)) = self.root_of(tree_path) else { return Fate::LeftOut };
        if self.rules.excludes_path(root) {
            return Fate::LeftOut;
        }
        if !below.is_empty() && rustix::fs::stat(root).is_err() {
            return Fate::Unknown;
        }
        let mut here = root.to_path_buf();
        let names: Vec<_> = below.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        for (at, name) in names.iter().enumerate() {
            here.push(OsStr::from_bytes(name));
            if self.rules.excludes_path(&here) {
                return Fate::LeftOut;
            }
            match (kind_of(&here), at + 1 == names.len()) {
                (Ok(FileType::Directory), false) => {}
                (Ok(FileType::RegularFile), true) => return Fate::Unknown,
                (Ok(_) | Err(Errno::NOENT | Errno::NOTDIR), _) => return Fate::Gone,
                (Err(_), _) => return Fate::Unknown,
            }
        }
        match kind_of(root) {
            Ok(FileType::RegularFile) => Fate::Unknown,
            Ok(_) => Fate::Gone,
            // That a root is not there is reported as such.
            Err(_) => Fate::Unknown,
        }
    }

    /// Whether a directory of this path is there.
    pub fn is_folder(&self, tree_path: &[u8]) -> bool {
        self.root_of(tree_path).is_some_and(|(root, below)| match below.is_empty() {
            true => rustix::fs::stat(root).is_ok_and(|stat| Seen::from(stat).kind == FileType::Directory),
            false => matches!(kind_of(&root.join(OsStr::from_bytes(below))), Ok(FileType::Directory)),
        })
    }
}

fn kind_of(path: &Path) -> rustix::io::Result<FileType> {
    let place = Place::of(path)?;
    let stat = rustix::fs::statat(place.folder(), place.rest(), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Seen::from(stat).kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_kept_apart_from_what_was_not_to_be_met() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("data/deep")).unwrap();
        std::fs::write(at("data/deep/there"), b"x").unwrap();
        std::fs::write(at("data/file"), b"x").unwrap();
        std::os::unix::fs::symlink("deep", at("data/link")).unwrap();
        let mut rules = Rules::new();
        rules.exclude(b"*.tmp", false).unwrap();
        let roots = [(b"d".to_vec(), at("data")), (b"none".to_vec(), at("not mounted"))];
        let covered = Covered::new(roots.into_iter().collect(), rules);
        for (path, fate) in [
            ("d/deep/there", Fate::Unknown),
            ("d/deep/gone", Fate::Gone),
            ("d/none/gone", Fate::Gone),
            ("d/file/gone", Fate::Gone),
            ("d/deep", Fate::Gone),
            ("d/link/there", Fate::Gone),
            ("d/deep/gone.tmp", Fate::LeftOut),
            ("d/old.tmp/gone", Fate::LeftOut),
            ("dd/gone", Fate::LeftOut),
            ("none/gone", Fate::Unknown),
        ] {
            assert_eq!(covered.fate(path.as_bytes()), fate, "{path}");
        }
        assert!(covered.is_folder(b"d") && covered.is_folder(b"d/deep"));
        assert!(!covered.is_folder(b"d/file") && !covered.is_folder(b"d/link") && !covered.is_folder(b"x"));
    }
}
