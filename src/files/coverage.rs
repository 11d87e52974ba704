//! What the roots of a snapshot cover: which places of its manifest were saved whole, and which only lead to roots.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::roots::{self, Node};
use crate::error::{Error, Result};
use crate::snapshot::Rule;
use crate::snapshot::rules::{PATH_FORMS, WORKING_DIRECTORY};

const ABSOLUTE: u8 = b'a';
const RELATIVE: u8 = b'r';
const BOTH: u8 = b'b';
/// It covers nothing: files in it were chosen one by one, as those of a table.
const NAMED: u8 = b'n';

/// The roots of a snapshot, merged as they were when it was made.
#[derive(Debug)]
pub struct Coverage {
    top: Option<Node>,
}

impl Coverage {
    /// From the paths of a snapshot and its rules. A snapshot that does not say how its roots were given covers
    /// nothing.
    ///
    /// # Errors
    /// If the rules contradict the paths.
    pub fn recorded(paths: &[Vec<u8>], rules: &[Rule]) -> Result<Self> {
        let value = |name| rules.iter().find(|rule| rule.name == name).map(|rule| rule.value.as_slice());
        let Some(forms) = value(PATH_FORMS) else { return Ok(Self { top: None }) };
        let working_directory = Path::new(OsStr::from_bytes(value(WORKING_DIRECTORY).unwrap_or(b"/")));
        let wrong = || Error::damaged("the root of the snapshot", "its rules do not fit its paths");
        let mut given = Vec::new();
        for (at, path) in paths.iter().enumerate() {
            let form = match forms {
                [form] => form,
                forms => forms.get(at).ok_or_else(wrong)?,
            };
            let path = Path::new(OsStr::from_bytes(path));
            if matches!(*form, ABSOLUTE | BOTH) {
                given.push(path.to_path_buf());
            }
            if matches!(*form, RELATIVE | BOTH) {
                let relative = path.strip_prefix(working_directory).map_err(|_| wrong())?;
                given.push(if relative == Path::new("") { ".".into() } else { relative.to_path_buf() });
            }
        }
        match given.is_empty() {
            true => Ok(Self { top: None }),
            false => Ok(Self { top: Some(roots::merged(&given, working_directory)?) }),
        }
    }

    /// The rules from which [`recorded`](Self::recorded) finds out what these roots cover. `paths` are the same roots as
    /// absolute paths, as the snapshot has them.
    pub fn rules(given: &[PathBuf], working_directory: &Path, paths: &[Vec<u8>]) -> Vec<Rule> {
        let places: HashMap<&[u8], usize> = paths.iter().enumerate().map(|(at, path)| (path.as_slice(), at)).collect();
        let mut forms = vec![NAMED; paths.len()];
        for root in given {
            let is_relative = !roots::is_absolute(root);
            let path = roots::saved_path(root, working_directory);
            if let Some(form) = places.get(path.as_slice()).and_then(|at| forms.get_mut(*at)) {
                *form = match (*form, is_relative) {
                    (NAMED | RELATIVE, true) => RELATIVE,
                    (NAMED | ABSOLUTE, false) => ABSOLUTE,
                    _ => BOTH,
                };
            }
        }
        let has_relative = forms.iter().any(|form| matches!(*form, RELATIVE | BOTH));
        if let Some(first) = forms.first().copied()
            && forms.iter().all(|form| *form == first)
        {
            forms.truncate(1);
        }
        let mut rules = vec![Rule { name: PATH_FORMS.into(), value: forms }];
        if has_relative {
            let value = roots::cleaned(working_directory).into_os_string();
            rules.push(Rule { name: WORKING_DIRECTORY.into(), value: value.as_bytes().to_vec() });
        }
        rules
    }

    /// The place of a path of the manifest.
    pub fn at(&self, tree_path: &[u8]) -> Ground<'_> {
        let mut ground = match &self.top {
            Some(top) => Ground { node: Some(top), fs_path: top.fs_path.clone(), within: top.is_root },
            None => Ground { node: None, fs_path: PathBuf::from("/"), within: false },
        };
        for name in tree_path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            ground = ground.below(name);
        }
        ground
    }
}

/// A place of the manifest, and what it was when the snapshot was made.
#[derive(Debug, Clone)]
pub struct Ground<'c> {
    node: Option<&'c Node>,
    fs_path: PathBuf,
    within: bool,
}

impl<'c> Ground<'c> {
    /// Goes on to a name in it, as the walk of `create` does.
    pub fn below(&self, name: &[u8]) -> Self {
        let here = roots::below(&self.fs_path, name);
        match self.node.and_then(|node| node.below.get(name)) {
            Some(node) if node.is_root => Self { node: Some(node), fs_path: node.fs_path.clone(), within: true },
            Some(node) => {
                let within = self.within && node.fs_path == here;
                Self { node: Some(node), fs_path: node.fs_path.clone(), within }
            }
            None => Self { node: None, fs_path: here, within: self.within },
        }
    }

    /// Whether it is a root or lies below one, so that all of it was to be saved. Else it leads to a root, or to
    /// nothing.
    pub fn is_covered(&self) -> bool {
        self.within
    }

    /// Whether it is a root itself.
    pub fn is_root(&self) -> bool {
        self.node.is_some_and(|node| node.is_root)
    }

    /// Where it lay when the snapshot was made.
    pub fn fs_path(&self) -> &Path {
        &self.fs_path
    }

    /// Whether this name in it is a root, or leads to one.
    pub fn is_ancestor_of_root(&self, name: &[u8]) -> bool {
        self.node.is_some_and(|node| node.below.contains_key(name))
    }

    /// The names in it that are roots or lead to some, in order.
    pub fn planned(&self) -> impl Iterator<Item = &'c [u8]> + use<'c> {
        self.node.into_iter().flat_map(|node| node.below.keys().map(Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coverage(given: &[&str]) -> Coverage {
        let given: Vec<PathBuf> = given.iter().map(PathBuf::from).collect();
        let cwd = Path::new("/home/me");
        let mut paths: Vec<Vec<u8>> = given.iter().map(|root| roots::saved_path(root, cwd)).collect();
        paths.sort();
        paths.dedup();
        Coverage::recorded(&paths, &Coverage::rules(&given, cwd, &paths)).unwrap()
    }

    fn covered(given: &[&str], tree_path: &str) -> bool {
        coverage(given).at(tree_path.as_bytes()).is_covered()
    }

    #[test]
    fn only_roots_and_what_lies_below_them_are_covered() {
        for (given, tree_path, expected) in [
            (&["sub/tables"][..], "", false),
            (&["sub/tables"], "sub", false),
            (&["sub/tables"], "sub/tables", true),
            (&["sub/tables"], "sub/tables/a/b", true),
            (&["sub/tables"], "sub/tablesX", false),
            (&["sub/tables"], "sub/photos", false),
            (&["."], "", true),
            (&["."], "x/y", true),
            (&["/data/x"], "data", false),
            (&["/data/x"], "data/x", true),
            (&["../you"], "home/you/a", true),
            (&["../you"], "home", false),
            (&["a", "/home/me/b"], "b", false),
            (&["a", "/home/me/b"], "home/me/b", true),
            (&["a", "/home/me/b"], "home/me/a", false),
            (&["a", "/home/me/a"], "home/me/a", true),
            (&["a", "/home/me/a"], "a", true),
            (&["a", "a/b"], "a/c", true),
            (&["s3://lake/x/"], "s3:/lake/x/y", true),
            (&["s3://lake/x"], "s3:/lake", false),
            (&["a", "s3://lake/x"], "s3:/lake/x", true),
            (&["a", "s3://lake/x"], "a/b", true),
            (&["a", "s3://lake/x"], "s3:/lake/y", false),
        ] {
            assert_eq!(covered(given, tree_path), expected, "{given:?} {tree_path}");
        }
    }

    #[test]
    fn what_leads_to_a_root_elsewhere_is_not_covered_by_the_root_above() {
        // `data` of the manifest is /data here, of which only `x` was saved, not /home/me/data.
        let both = coverage(&[".", "/data/x"]);
        assert!(both.at(b"").is_covered() && both.at(b"other").is_covered());
        assert!(!both.at(b"data").is_covered() && !both.at(b"data/y").is_covered());
        assert!(both.at(b"data/x").is_covered());
        assert_eq!(both.at(b"data/x/z").fs_path(), Path::new("/data/x/z"));
        assert_eq!(both.at(b"other/z").fs_path(), Path::new("/home/me/other/z"));
    }

    #[test]
    fn a_snapshot_that_does_not_say_covers_nothing() {
        let none = Coverage::recorded(&[b"/x".to_vec()], &[]).unwrap();
        assert!(!none.at(b"").is_covered() && !none.at(b"x/y").is_covered());
        let rule = |name: &str, value: &[u8]| Rule { name: name.into(), value: value.to_vec() };
        let short = [rule(PATH_FORMS, b"ar")];
        assert!(Coverage::recorded(&[b"/x".to_vec(), b"/y".to_vec(), b"/z".to_vec()], &short).is_err());
        let elsewhere = [rule(PATH_FORMS, b"r"), rule(WORKING_DIRECTORY, b"/home")];
        assert!(Coverage::recorded(&[b"/x".to_vec()], &elsewhere).is_err());
    }
}
