//! Which inode is what. The kernel says when it has forgotten one.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::tree::Node;
use crate::id::SnapshotId;
use crate::recipe::View;
use crate::snapshot::entry::EntryKind;

/// What makes two lookups find the same inode.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Identity {
    /// A folder: by the folder that it is in, its name, and the snapshot, which another one may take the place of.
    Folder { parent: u64, name: Vec<u8>, snapshot: Option<(SnapshotId, Option<i64>)> },
    /// Anything else in a snapshot, by the path of its content: so all names of a file are one inode, wherever they stand.
    Content { snapshot: SnapshotId, altered: Option<i64>, view: bool, path: Vec<u8> },
}

#[derive(Debug)]
struct Known {
    node: Node,
    identity: Option<Identity>,
    lookups: u64,
}

/// The inodes that the kernel knows.
#[derive(Debug)]
pub(super) struct Nodes(Mutex<Table>);

#[derive(Debug)]
struct Table {
    known: HashMap<u64, Known>,
    numbers: HashMap<Identity, u64>,
    next: u64,
}

/// The number of the inode that holds all.
pub(super) const TOP: u64 = 1;

impl Nodes {
    pub(super) fn new() -> Self {
        let top = Known { node: Node::Top, identity: None, lookups: 1 };
        Self(Mutex::new(Table { known: HashMap::from([(TOP, top)]), numbers: HashMap::new(), next: TOP + 1 }))
    }

    pub(super) fn get(&self, number: u64) -> Option<Node> {
        self.table().known.get(&number).map(|known| known.node.clone())
    }

    /// The number of what a lookup found; it is known until it is forgotten as often as it was looked up.
    pub(super) fn found(&self, parent: u64, name: &[u8], node: Node) -> u64 {
        let identity = identity(parent, name, &node);
        let mut table = self.table();
        let next = table.next;
        let number = *table.numbers.entry(identity.clone()).or_insert(next);
        if number == next {
            table.next += 1;
        }
        let known = table.known.entry(number).or_insert(Known { node, identity: Some(identity), lookups: 0 });
        known.lookups = known.lookups.saturating_add(1);
        number
    }

    pub(super) fn forget(&self, number: u64, lookups: u64) {
        let mut table = self.table();
        let Some(known) = table.known.get_mut(&number).filter(|_| number != TOP) else { return };
        known.lookups = known.lookups.saturating_sub(lookups);
        if known.lookups == 0
            && let Some(identity) = table.known.remove(&number).and_then(|known| known.identity)
        {
            table.numbers.remove(&identity);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(parent: u64, name: &[u8], node: &Node) -> Identity {
    let folder = |snapshot| Identity::Folder { parent, name: name.to_vec(), snapshot };
    match node {
        Node::Entry(snapshot, view, Some(entry)) if entry.kind != EntryKind::Directory => {
            let path = entry.hard_link.as_ref().unwrap_or(&entry.path).clone();
            let (id, altered) = (snapshot.id(), snapshot.root().altered);
            Identity::Content { snapshot: id, altered, view: *view == View::Plain, path }
        }
        Node::Entry(snapshot, ..) | Node::Views(snapshot) => folder(Some((snapshot.id(), snapshot.root().altered))),
        _ => folder(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_is_known_until_it_is_forgotten_as_often_as_it_was_found() {
        let nodes = Nodes::new();
        let series = nodes.found(TOP, b"series", Node::AllSeries);
        assert_eq!(nodes.found(TOP, b"series", Node::AllSeries), series);
        let other = nodes.found(TOP, b"snapshots", Node::Snapshots);
        assert!(other != series && series != TOP);
        nodes.forget(series, 1);
        assert!(nodes.get(series).is_some());
        nodes.forget(series, 1);
        assert!(nodes.get(series).is_none() && nodes.get(other).is_some());
        assert!(nodes.found(TOP, b"series", Node::AllSeries) > other, "a number is not used again");
        nodes.forget(TOP, 5);
        nodes.forget(12345, 1);
        assert!(nodes.get(TOP).is_some());
    }
}
