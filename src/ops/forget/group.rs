//! Groups of snapshots, to each of which a policy is applied alone, so that an export that is made once a month is not
//! crowded out by one that is made every night.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::id::{digest, hex};
use crate::recipe::Stream;
use crate::snapshot::SnapshotRoot;
use crate::values;

/// What makes snapshots of one group: all that is true here must be equal. Nothing puts all into one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupBy {
    /// Their series.
    pub series: bool,
    /// The host that they were made on.
    pub host: bool,
    /// What was saved, in any order.
    pub paths: bool,
    /// Their tags, in any order.
    pub tags: bool,
}

impl Default for GroupBy {
    /// By series.
    fn default() -> Self {
        Self { series: true, ..Self::NONE }
    }
}

impl<'de> Deserialize<'de> for GroupBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        values::from_text(deserializer, |text| Self::parse(text).map_err(|error| error.to_string()))
    }
}

impl GroupBy {
    /// All in one group.
    pub const NONE: Self = Self { series: false, host: false, paths: false, tags: false };

    /// Reads a list with commas of `series`, `host`, `paths` and `tags`; `none` or nothing puts all into one group.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for any other word.
    pub fn parse(text: &str) -> Result<Self> {
        let mut by = Self::NONE;
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "none" => {}
                "series" => by.series = true,
                "host" | "hosts" => by.host = true,
                "path" | "paths" => by.paths = true,
                "tag" | "tags" => by.tags = true,
                word => {
                    return Err(Error::argument(
                        "group_by",
                        format!(
                            "snapshots cannot be grouped by {word:?}: series, host, paths, tags and none are known"
                        ),
                    ));
                }
            }
        }
        Ok(by)
    }

    /// Puts snapshots into groups; in each they stay in the order in which they come.
    pub fn groups<'l>(
        self,
        snapshots: impl Iterator<Item = &'l SnapshotRoot>,
    ) -> BTreeMap<GroupKey, Vec<&'l SnapshotRoot>> {
        let mut groups: BTreeMap<GroupKey, Vec<&SnapshotRoot>> = BTreeMap::new();
        for root in snapshots {
            groups.entry(self.key(root)).or_default().push(root);
        }
        groups
    }

    /// The group of a snapshot.
    pub fn key(self, root: &SnapshotRoot) -> GroupKey {
        fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
            let mut list = list.to_vec();
            list.sort_unstable();
            list.dedup();
            list
        }
        GroupKey {
            series: self.series.then(|| root.series.clone()),
            host: self.host.then(|| root.host.clone()),
            paths: self.paths.then(|| {
                let mut paths = sorted(&root.paths);
                paths.extend(rest_of(root));
                paths
            }),
            tags: self.tags.then(|| sorted(&root.tags)),
        }
    }
}

/// What stands for the rest of a list of paths that is too long for the root: lists that differ only there are two lists.
fn rest_of(root: &SnapshotRoot) -> Option<Vec<u8>> {
    if root.path_list == Stream::Empty {
        return None;
    }
    let mut list = Vec::new();
    root.path_list.write(&mut list);
    let hash = hex(digest(&list).get(..8).unwrap_or_default());
    Some(format!("... ({} bytes of paths, {hash})", root.path_list.length()).into_bytes())
}

/// How many paths of a group are shown.
const SHOWN: usize = 10;

/// What the snapshots of a group have in common; none where it does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// Their series.
    pub series: Option<String>,
    /// The host that they were made on.
    pub host: Option<String>,
    /// What was saved, sorted.
    pub paths: Option<Vec<Vec<u8>>>,
    /// Their tags, sorted.
    pub tags: Option<Vec<String>>,
}

impl std::fmt::Display for GroupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.series.as_ref().map(|series| format!("series {series}")));
        parts.extend(self.host.as_ref().map(|host| format!("host {host}")));
        parts.extend(self.paths.as_ref().map(|paths| {
            let shown: Vec<_> = paths.iter().take(SHOWN).map(|path| String::from_utf8_lossy(path)).collect();
            let more = paths.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("paths {}{more}", shown.join(", "))
        }));
        parts.extend(self.tags.as_ref().map(|tags| match tags.is_empty() {
            true => "no tags".to_owned(),
            false => format!("tags {}", tags.join(", ")),
        }));
        match parts.is_empty() {
            true => f.write_str("all snapshots"),
            false => f.write_str(&parts.join("; ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groupings_are_read() {
        assert_eq!(GroupBy::parse("series").unwrap(), GroupBy::default());
        assert_eq!((GroupBy::parse("").unwrap(), GroupBy::parse("none").unwrap()), (GroupBy::NONE, GroupBy::NONE));
        let by = GroupBy { host: true, paths: true, tags: true, series: false };
        assert_eq!(GroupBy::parse("host, paths,tags").unwrap(), by);
        assert!(GroupBy::parse("hots").is_err());
    }

    #[test]
    fn groups_are_named_for_people() {
        let key = GroupKey { host: Some("a".into()), tags: Some(vec![]), ..GroupKey::default() };
        assert_eq!(key.to_string(), "host a; no tags");
        assert_eq!(GroupKey::default().to_string(), "all snapshots");
    }
}
