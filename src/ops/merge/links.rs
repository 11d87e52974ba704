//! Names of one file that lie in several parts become hard links again.
//!
//! Each part has the content of a file under the first of those of its names that belong to it. Which rows are names of one file
//! is known by the file system, the inode and the stat, as in a walk; the content must be the same as well.

use std::collections::{BTreeMap, HashMap};

use crate::id::ContentHash;
use crate::snapshot::entry::{EntryKind, FileEntry, Time};
use crate::snapshot::part::LINK;

/// Which file it is: file system, inode, size, times, content.
type Identity = (Vec<u8>, u64, u64, Time, Time, ContentHash);

/// What is known of files with several names.
#[derive(Default)]
pub(super) struct Links {
    /// The path that has the content of a file.
    first: BTreeMap<Identity, Vec<u8>>,
    /// What took the place of a name of a part: names in the part refer to it by its path there.
    moved: HashMap<(u32, Vec<u8>), Vec<u8>>,
    /// Files of a part that were dropped, and may have other names in it.
    dropped: HashMap<(u32, Vec<u8>), FileEntry>,
}

impl Links {
    /// A row is dropped. Other names of it may follow in its part, of which the first one gets the content.
    pub(super) fn drop_row(&mut self, part: u32, row: FileEntry) {
        if row.kind == EntryKind::File && has_names(&row) {
            self.dropped.insert((part, row.path.clone()), row);
        }
    }

    /// The row as it stands in the snapshot.
    pub(super) fn settle(&mut self, part: u32, mut row: FileEntry) -> FileEntry {
        if let Some(original) = row.hard_link.take() {
            let original = (part, original);
            match (self.moved.get(&original), self.dropped.remove(&original)) {
                (Some(path), _) => row.hard_link = Some(path.clone()),
                (None, None) => row.hard_link = Some(original.1),
                (None, Some(dropped)) => {
                    let row = self.settle(part, FileEntry { path: row.path, properties: row.properties, ..dropped });
                    self.moved.insert(original, row.hard_link.clone().unwrap_or_else(|| row.path.clone()));
                    return row;
                }
            }
        } else if let Some(identity) = identity(&row) {
            match self.first.get(&identity) {
                None => drop(self.first.insert(identity, row.path.clone())),
                Some(first) => {
                    self.moved.insert((part, row.path.clone()), first.clone());
                    let hard_link = Some(first.clone());
                    row = FileEntry { hard_link, content: None, recipe: Vec::new(), avro: None, ..row };
                }
            }
        }
        row.properties.retain(|property| property.name != LINK);
        row
    }
}

fn has_names(row: &FileEntry) -> bool {
    row.properties.iter().any(|property| property.name == LINK)
}

fn identity(row: &FileEntry) -> Option<Identity> {
    let link = row.properties.iter().find(|property| property.name == LINK)?;
    let content = row.content.filter(|_| row.kind == EntryKind::File)?;
    Some((link.value.clone(), row.inode, row.size, row.mtime, row.ctime, content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::entry::Property;

    fn file(path: &str, file_system: &str, inode: u64, content: u8) -> FileEntry {
        FileEntry {
            path: path.as_bytes().to_vec(),
            inode,
            content: Some(ContentHash::new([content; 32])),
            recipe: vec![content],
            properties: vec![Property { name: LINK.into(), value: file_system.as_bytes().to_vec() }],
            ..FileEntry::nothing()
        }
    }

    fn name(path: &str, original: &str) -> FileEntry {
        let hard_link = Some(original.as_bytes().to_vec());
        FileEntry { hard_link, content: None, recipe: Vec::new(), ..file(path, "a", 5, 0) }
    }

    /// What each row says: its link, or its content.
    fn settled(rows: Vec<(u32, FileEntry)>) -> Vec<String> {
        let mut links = Links::default();
        let mut said = Vec::new();
        for (part, row) in rows {
            let row = links.settle(part, row);
            assert!(row.properties.is_empty());
            let content = row.content.map(|content| content.as_bytes()[0].to_string());
            let link = row.hard_link.map(|link| String::from_utf8(link).unwrap());
            said.push(match (link, content) {
                (Some(link), None) if row.recipe.is_empty() => format!("-> {link}"),
                (None, Some(content)) => content,
                odd => panic!("{odd:?}"),
            });
        }
        said
    }

    #[test]
    fn names_in_several_parts_are_links_to_the_first_one() {
        let rows = vec![(2, file("a", "a", 5, 1)), (1, file("b", "a", 5, 1)), (1, name("c", "b")), (2, name("d", "a"))];
        assert_eq!(settled(rows), ["1", "-> a", "-> a", "-> a"]);
    }

    #[test]
    fn other_files_are_no_links() {
        let later = FileEntry { ctime: Time { seconds: 1, nanos: 0 }, ..file("e", "a", 5, 1) };
        let rows = vec![
            (1, file("a", "a", 5, 1)),
            (2, file("b", "other", 5, 1)),
            (2, file("c", "a", 6, 1)),
            (2, file("d", "a", 5, 2)),
            (2, later),
        ];
        assert_eq!(settled(rows), ["1", "1", "1", "2", "1"]);
    }

    #[test]
    fn where_the_first_name_is_dropped_the_next_one_has_the_content() {
        let mut links = Links::default();
        links.drop_row(1, file("a", "a", 5, 1));
        let (first, second) = (links.settle(1, name("b", "a")), links.settle(1, name("c", "a")));
        assert_eq!(
            (first.content, first.hard_link, first.path),
            (Some(ContentHash::new([1; 32])), None, b"b".to_vec())
        );
        assert_eq!((second.content, second.hard_link), (None, Some(b"b".to_vec())));
    }
}
