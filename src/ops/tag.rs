//! `tag`: changes the tags of snapshots.

use crate::error::Result;
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

/// Changes the tags of a snapshot; says whether there was anything to change. The snapshot itself, and its id, stay.
///
/// # Errors
/// I/O errors and damaged objects of the repository.
pub fn tag(repository: &Repository, snapshot: &SnapshotRoot, change: &TagChange) -> Result<bool> {
    if change.apply(&snapshot.tags) == snapshot.tags {
        return Ok(false);
    }
    repository.log().change_tags(snapshot.id, &snapshot.tags, &|tags| change.apply(tags))?;
    Ok(true)
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
