//! Places in buckets as users write them, keys, and the paths of manifests that stand for them.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::beneath::check_path;
use crate::snapshot::entry::{is_below, path_order};
use crate::storage::remote::{Location, Objects};

/// A source or target in a bucket.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) location: Location,
    /// Whether it was written with a slash at its end: then it cannot be an object.
    pub(super) is_prefix: bool,
}

impl Place {
    /// Understands a URL.
    pub(super) fn parse(argument: &'static str, path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::argument(argument, reason);
        let text = path.to_str().ok_or_else(|| wrong(format!("{} is not UTF-8, as URLs are", path.display())))?;
        let location = Location::parse(text).map_err(|error| wrong(error.to_string()))?;
        let is_prefix = text.ends_with('/') || location.prefix().is_empty();
        Ok(Self { location, is_prefix })
    }

    /// These places in the order of a manifest, without those that lie in others.
    pub(super) fn outermost(paths: &[PathBuf]) -> Result<Vec<Self>> {
        let mut places = paths.iter().map(|path| Self::parse("paths", path)).collect::<Result<Vec<_>>>()?;
        places.sort_by(|one, other| path_order(&one.tree_path(), &other.tree_path()));
        let mut outermost: Vec<Self> = Vec::new();
        for place in places {
            match outermost.last_mut() {
                Some(last) if last.tree_path() == place.tree_path() => last.is_prefix |= place.is_prefix,
                Some(last) if is_below(&place.tree_path(), &last.tree_path()) => {}
                _ => outermost.push(place),
            }
        }
        Ok(outermost)
    }

    /// What the keys of the objects in it begin with.
    pub(super) fn prefix(&self) -> String {
        match self.location.prefix() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        }
    }

    /// Its path in a manifest.
    pub(super) fn tree_path(&self) -> Vec<u8> {
        tree_path(&self.location.to_string())
    }
}

/// The path in a manifest of what has this URL: with one slash in the place of two.
pub(super) fn tree_path(url: &str) -> Vec<u8> {
    url.replacen("://", ":/", 1).into_bytes()
}

/// What a key below a place stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning<'k> {
    /// A file at this path below the place.
    File(&'k str),
    /// The mark of a directory at this path, which is empty for the place itself.
    Directory(&'k str),
    /// Nothing that can be saved, for this reason.
    Nothing(&'static str),
}

/// What a key stands for: `below` is what comes in it after the prefix of the place, `size` that of its object.
pub(super) fn meaning(below: &str, size: u64) -> Meaning<'_> {
    let (path, is_mark) = match below.strip_suffix('/') {
        Some(path) => (path, true),
        None => (below, false),
    };
    if path.is_empty() && is_mark && below.len() == 1 {
        return Meaning::Nothing("a part of its key is empty, which no path can have");
    }
    let is_place = below.is_empty();
    match (is_place || path_is_sound(path), is_mark || is_place) {
        (false, _) if path.split('/').any(str::is_empty) => {
            Meaning::Nothing("a part of its key is empty, which no path can have")
        }
        (false, _) if path.split('/').any(|part| matches!(part, "." | "..")) => {
            Meaning::Nothing("a part of its key is . or .., which no path can have")
        }
        (false, _) => Meaning::Nothing("its key has control characters, or is longer than any path"),
        (true, true) if size > 0 => {
            Meaning::Nothing("its key ends with a slash, and it has content: no path can be a directory and a file")
        }
        (true, true) => Meaning::Directory(path),
        (true, false) => Meaning::File(path),
    }
}

fn path_is_sound(path: &str) -> bool {
    check_path(path.as_bytes()).is_ok() && Objects::can_name(path)
}

/// The first part of a path that leads to what cannot be a path, as far as it is one.
pub(super) fn sound_part(below: &str) -> &str {
    let mut end = 0;
    for (at, _) in below.match_indices('/') {
        match below.get(..at) {
            Some(part) if path_is_sound(part) => end = at,
            _ => break,
        }
    }
    below.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_stands_in_a_manifest_with_one_slash() {
        for (url, tree_path, prefix) in [
            ("s3://lake/warehouse/orders", "s3:/lake/warehouse/orders", "warehouse/orders/"),
            ("s3://lake/warehouse/orders/", "s3:/lake/warehouse/orders", "warehouse/orders/"),
            ("az://box", "az:/box", ""),
            ("gs://box/", "gs:/box", ""),
        ] {
            let place = Place::parse("paths", Path::new(url)).unwrap();
            assert_eq!((place.tree_path(), place.prefix()), (tree_path.into(), prefix.into()), "{url}");
        }
        for url in ["s3://lake//", "s3://lake/a//", "s3://lake/a//b", "s3://", "s3://lake/../x"] {
            assert!(Place::parse("paths", Path::new(url)).is_err(), "{url}");
        }
    }

    #[test]
    fn what_lies_in_another_place_is_saved_once() {
        let paths = ["s3://lake/b", "s3://lake/a-1", "s3://lake/a/x", "gs://lake/a", "s3://lake/a/", "s3://lake/b/"];
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let places = Place::outermost(&paths).unwrap();
        let shown: Vec<String> = places.iter().map(|place| place.location.to_string()).collect();
        assert_eq!(shown, ["gs://lake/a", "s3://lake/a", "s3://lake/a-1", "s3://lake/b"]);
        assert!(places[3].is_prefix && !places[2].is_prefix);
    }

    #[test]
    fn keys_are_files_marks_of_directories_or_nothing() {
        assert_eq!(meaning("a/b", 3), Meaning::File("a/b"));
        assert_eq!(meaning("a b~[1]%20?#", 0), Meaning::File("a b~[1]%20?#"));
        assert_eq!(meaning("a/", 0), Meaning::Directory("a"));
        assert_eq!(meaning("", 0), Meaning::Directory(""));
        for below in ["a//b", "/a", "a//", "/", "//", "..", "a/../b", "./a", "a/.", "a\u{0}b", "a\nb", "a\u{7f}"] {
            assert!(matches!(meaning(below, 0), Meaning::Nothing(_)), "{below:?}");
        }
        assert!(matches!(meaning("a/", 1), Meaning::Nothing(_)) && matches!(meaning("", 1), Meaning::Nothing(_)));
        assert!(matches!(meaning(&"x".repeat(5000), 1), Meaning::Nothing(_)));
        assert_eq!(sound_part("a/b//c/d"), "a/b");
        assert_eq!(sound_part("a/../d"), "a");
        assert_eq!(sound_part("/a"), "");
        assert_eq!(sound_part("a"), "");
    }

    proptest! {
        #[test]
        fn a_key_that_is_a_file_is_its_path_and_no_two_are_the_same(
            one in "([a-c./ \u{1}é~-]|//){0,8}", other in "([a-c./ \u{1}é~-]|//){0,8}",
        ) {
            if let (Meaning::File(path), Meaning::File(another)) = (meaning(&one, 1), meaning(&other, 1)) {
                prop_assert_eq!(path, &one);
                prop_assert!(check_path(path.as_bytes()).is_ok() && Objects::can_name(path));
                prop_assert_eq!(path == another, one == other);
            }
            // Whatever it stands for, what is said to be missing is a path above it.
            let part = sound_part(&one);
            prop_assert!(part.is_empty() || (check_path(part.as_bytes()).is_ok() && one.starts_with(part)));
        }
    }
}
