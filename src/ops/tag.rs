//! `tag`: changes the tags of snapshots.

use serde::Serialize;

use crate::error::Result;
use crate::id::SnapshotId;
use crate::snapshot::SnapshotRoot;
use crate::store::Repository;

/// How tags are to change: first all are replaced, if so wished, then some are added, then some taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagChange {
    /// These instead of all that there are.
    pub set: Option<Vec<String>>,
    /// These too.
    pub add: Vec<String>,
    /// Not these.
    pub remove: Vec<String>,
}

impl TagChange {
    /// The tags afterwards; each once.
    pub fn apply(&self, tags: &[String]) -> Vec<String> {
        let kept = self.set.as_deref().unwrap_or(tags);
        let mut changed: Vec<String> = Vec::new();
        for tag in kept.iter().chain(&self.add) {
            if !self.remove.contains(tag) && !changed.contains(tag) {
                changed.push(tag.clone());
            }
        }
        changed
    }
}

/// Result of changing the tags of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TagReport {
    /// The snapshot.
    pub id: SnapshotId,
    /// Its tags by now.
    pub tags: Vec<String>,
    /// Whether there was anything to change.
    pub changed: bool,
}

/// Changes the tags of a snapshot. The snapshot itself, and its id, stay.
///
/// # Errors
/// I/O errors and damaged objects of the repository.
pub fn tag(repository: &Repository, snapshot: &SnapshotRoot, change: &TagChange) -> Result<TagReport> {
    let tags = change.apply(&snapshot.tags);
    let changed = tags != snapshot.tags;
    if changed {
        repository.log().change_tags(snapshot.id, &snapshot.tags, &|tags| change.apply(tags))?;
    }
    Ok(TagReport { id: snapshot.id, tags, changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_set_then_added_then_removed() {
        let list = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let before = list(&["a", "b"]);
        let change = |set: Option<&[&str]>, add: &[&str], remove: &[&str]| {
            TagChange { set: set.map(list), add: list(add), remove: list(remove) }.apply(&before)
        };
        assert_eq!(change(None, &["c", "a"], &["b"]), ["a", "c"]);
        assert_eq!(change(Some(&["x", "x"]), &["y"], &[]), ["x", "y"]);
        assert_eq!(change(Some(&[]), &[], &[]), [""; 0]);
    }
}
