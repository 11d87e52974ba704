//! Locations: the URIs by which the files of a table name each other.

use std::str::FromStr;

use super::{Flaw, Result};

/// The path of a location in the local file system: `file:///a/b`, `file:/a/b` or `/a/b`. None for any other.
///
/// Iceberg writes paths into locations as they are, without escapes, so none are taken out.
pub fn local_path(location: &str) -> Option<&str> {
    let path = match location.split_once(':') {
        Some(("file", rest)) => match rest.strip_prefix("//") {
            // `file://host/a` is somewhere else.
            Some(rest) => rest.strip_prefix("localhost").filter(|rest| rest.starts_with('/')).unwrap_or(rest),
            None => rest,
        },
        _ => location,
    };
    path.starts_with('/').then_some(path)
}

/// Where the files of a table are to be found after it moved: what a location begins with, and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationMap {
    old: String,
    new: String,
}

impl FromStr for LocationMap {
    type Err = String;

    /// Reads `OLD=NEW`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (old, new) = text.split_once('=').ok_or_else(|| format!("{text:?} is no mapping: write OLD=NEW"))?;
        let (old, new) = (old.trim_end_matches('/'), new.trim_end_matches('/'));
        match old.is_empty() || new.is_empty() {
            true => Err(format!("{text:?} is no mapping: one of its sides is empty")),
            false => Ok(Self { old: old.into(), new: new.into() }),
        }
    }
}

impl LocationMap {
    /// What locations begin with.
    pub fn old(&self) -> &str {
        &self.old
    }

    /// What takes its place.
    pub fn new_prefix(&self) -> &str {
        &self.new
    }

    /// The location after the move, if it is covered: it is the old prefix, or goes on with a slash. Different ways to write a local
    /// path are the same.
    fn apply(&self, location: &str) -> Option<String> {
        let rest = |location: &str, old: &str| {
            let rest = location.strip_prefix(old)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", self.new))
        };
        rest(location, &self.old).or_else(|| rest(local_path(location)?, local_path(&self.old)?))
    }

    /// The location after the move, by the mapping with the longest prefix that covers it.
    ///
    /// # Errors
    /// If none of them covers it.
    pub fn of(maps: &[Self], location: &str) -> Result<String> {
        let mut covering: Vec<(&Self, String)> =
            maps.iter().filter_map(|map| map.apply(location).map(|new| (map, new))).collect();
        covering.sort_by_key(|(map, _)| local_path(&map.old).unwrap_or(&map.old).len());
        let longest = covering.pop().map(|(_, new)| new);
        longest.ok_or_else(|| Flaw::new(format!("no --map covers the location {location}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_paths_are_known_in_all_their_forms() {
        for (location, path) in [
            ("file:///wh/t/a b%20", Some("/wh/t/a b%20")),
            ("file:/wh/t", Some("/wh/t")),
            ("file://localhost/wh", Some("/wh")),
            ("/wh/t", Some("/wh/t")),
            ("file://host/wh", None),
            ("s3://lake/t", None),
            ("wh/t", None),
            ("", None),
        ] {
            assert_eq!(local_path(location), path, "{location}");
        }
    }

    #[test]
    fn the_longest_prefix_decides_and_ends_at_a_slash() {
        let maps: Vec<LocationMap> =
            ["file:///wh=s3://new/wh", "/wh/t/=/other"].iter().map(|text| text.parse().unwrap()).collect();
        for (location, new) in [
            ("file:///wh/x/y", Some("s3://new/wh/x/y")),
            ("/wh/x", Some("s3://new/wh/x")),
            ("file:/wh/t/y", Some("/other/y")),
            ("file:///wh", Some("s3://new/wh")),
            ("file:///whx/y", None),
            ("s3://wh/x", None),
        ] {
            assert_eq!(LocationMap::of(&maps, location).ok().as_deref(), new, "{location}");
        }
        for wrong in ["", "a", "=b", "a=", "/=b"] {
            assert!(wrong.parse::<LocationMap>().is_err(), "{wrong}");
        }
    }
}
