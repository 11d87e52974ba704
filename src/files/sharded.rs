//! One part of a tree that several processes divide.
//!
//! Each of them walks all directories, and meets what lies in them where its path belongs to its part. Directories that lead
//! to something of the part are met as well, so that a part is a tree of its own.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::found::{Problem, SourceFile, Trouble};
use super::tree::{Fates, SourceOpener, SourceTree};
use crate::snapshot::Shard;
use crate::snapshot::entry::{EntryKind, Property, is_below};
use crate::snapshot::part::LINK;

/// The part of a tree that belongs to one shard.
pub struct Sharded {
    tree: Box<dyn SourceTree>,
    shard: Shard,
    /// The directories above what is met now that do not belong to the part and were not met yet.
    way: Vec<SourceFile>,
    ready: VecDeque<SourceFile>,
    /// For each file system the first directory of it. All processes walk the same directories, so it is called the same in
    /// all of them, whatever its number on each machine.
    file_systems: HashMap<u64, Vec<u8>>,
    walked: Arc<Walked>,
}

/// How much the walk has met by now, also of what belongs to other parts.
#[derive(Debug, Default)]
pub struct Walked {
    /// Directories.
    directories: AtomicU64,
    /// Things at or below the roots that were looked at.
    things: AtomicU64,
    /// Names that were listed, where the tree says so.
    listed: AtomicU64,
}

impl Walked {
    /// Directories: as many in all parts, unless something changed meanwhile.
    pub fn directories(&self) -> u64 {
        self.directories.load(Ordering::Relaxed)
    }

    /// Names, of what was left out and what belongs to other parts, too: as many in all parts, unless something changed meanwhile.
    pub fn names(&self) -> u64 {
        self.listed.load(Ordering::Relaxed).max(self.things.load(Ordering::Relaxed))
    }

    /// Whether there was anything at the roots.
    pub fn has_met_something(&self) -> bool {
        self.things.load(Ordering::Relaxed) > 0
    }
}

impl Sharded {
    /// What of this tree belongs to the shard.
    pub fn new(tree: Box<dyn SourceTree>, shard: Shard) -> Self {
        let (way, ready) = (Vec::new(), VecDeque::new());
        Self { tree, shard, way, ready, file_systems: HashMap::new(), walked: Arc::default() }
    }

    /// What the walk has met, to be looked at when it is done.
    pub fn walked(&self) -> Arc<Walked> {
        self.walked.clone()
    }

    fn met(&mut self, mut file: SourceFile) {
        while self.way.pop_if(|above| !is_below(&file.tree_path, &above.tree_path)).is_some() {}
        let is_directory = file.entry.kind == EntryKind::Directory;
        if !file.is_ancestor_of_root {
            self.walked.things.fetch_add(1, Ordering::Relaxed);
        }
        if is_directory {
            self.walked.directories.fetch_add(1, Ordering::Relaxed);
            self.file_systems.entry(file.dev).or_insert_with(|| file.tree_path.clone());
        }
        if self.shard.owns(&file.tree_path) {
            if file.entry.kind == EntryKind::File && file.nlink > 1 {
                let value = self.file_systems.get(&file.dev).unwrap_or(&file.tree_path).clone();
                file.entry.properties.push(Property { name: LINK.into(), value });
            }
            self.ready.extend(self.way.drain(..));
            self.ready.push_back(file);
        } else if is_directory {
            self.way.push(file);
        }
    }
}

impl SourceTree for Sharded {
    fn next_found(&mut self) -> Option<Result<SourceFile, Problem>> {
        loop {
            if let Some(file) = self.ready.pop_front() {
                return Some(Ok(file));
            }
            let found = self.tree.next_found();
            self.walked.listed.store(self.tree.listed(), Ordering::Relaxed);
            match found? {
                Ok(file) => self.met(file),
                // What could not be read is missing in this part, also where it belongs to another one: below it there may be
                // something of this one.
                Err(problem)
                    if matches!(problem.trouble, Trouble::Unread(_)) || self.shard.owns(&problem.tree_path) =>
                {
                    return Some(Err(problem));
                }
                Err(_) => {}
            }
        }
    }

    fn opener(&self) -> Arc<dyn SourceOpener> {
        self.tree.opener()
    }

    fn covered(&self) -> Box<dyn Fates> {
        self.tree.covered()
    }

    fn passed_over(&self) -> &[PathBuf] {
        self.tree.passed_over()
    }
}

#[cfg(test)]
#[allow(clippy::result_large_err, reason = "what a walk returns is no common result")]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::files::Fate;
    use crate::snapshot::entry::FileEntry;

    /// A tree in memory.
    struct Made(std::vec::IntoIter<Result<SourceFile, Problem>>);

    struct Nothing;

    impl Fates for Nothing {
        fn fate(&self, _: &[u8]) -> Fate {
            Fate::Unknown
        }

        fn is_folder(&self, _: &[u8]) -> bool {
            false
        }
    }

    impl SourceOpener for Nothing {
        fn open(&self, path: &std::path::Path) -> crate::error::Result<Box<dyn crate::files::SourceReader>> {
            Err(Error::io("open", path, std::io::ErrorKind::NotFound.into()))
        }
    }

    impl SourceTree for Made {
        fn next_found(&mut self) -> Option<Result<SourceFile, Problem>> {
            self.0.next()
        }

        fn opener(&self) -> Arc<dyn SourceOpener> {
            Arc::new(Nothing)
        }

        fn covered(&self) -> Box<dyn Fates> {
            Box::new(Nothing)
        }

        fn passed_over(&self) -> &[PathBuf] {
            &[]
        }
    }

    fn thing(path: &str, kind: EntryKind, nlink: u64) -> Result<SourceFile, Problem> {
        let path = path.as_bytes().to_vec();
        let entry = FileEntry { path: path.clone(), kind, ..FileEntry::nothing() };
        let dev = if path.starts_with(b"other") { 2 } else { 1 };
        Ok(SourceFile { tree_path: path, fs_path: "/".into(), entry, nlink, dev, is_ancestor_of_root: false })
    }

    fn problem(path: &str, trouble: Trouble) -> Result<SourceFile, Problem> {
        Err(Problem { tree_path: path.as_bytes().to_vec(), path: path.into(), trouble })
    }

    fn tree() -> Vec<Result<SourceFile, Problem>> {
        let mut all = Vec::new();
        for top in ["lake", "other"] {
            all.push(thing(top, EntryKind::Directory, 2));
            for folder in ["empty", "orders", "returns"] {
                let folder = format!("{top}/{folder}");
                all.push(thing(&folder, EntryKind::Directory, 2));
                if !folder.ends_with("empty") {
                    all.extend((0..20).map(|n| thing(&format!("{folder}/{n:02}"), EntryKind::File, 1 + n % 2)));
                }
            }
        }
        all.push(problem("lake/secret", Trouble::Unread(Error::Interrupted)));
        all.push(problem("lake/note", Trouble::Note("a note".into())));
        all
    }

    #[test]
    fn each_thing_is_met_in_one_part_below_the_directories_that_lead_to_it() {
        let mut met: HashMap<Vec<u8>, u32> = HashMap::new();
        let (mut unread, mut notes) = (0, 0);
        for shard in Shard::all(5).unwrap() {
            let mut part = Sharded::new(Box::new(Made(tree().into_iter())), shard);
            let mut above: Vec<Vec<u8>> = Vec::new();
            let walked = part.walked();
            while let Some(found) = part.next_found() {
                let file = match found {
                    Ok(file) => file,
                    Err(Problem { trouble: Trouble::Note(_), .. }) => {
                        notes += 1;
                        continue;
                    }
                    Err(_) => {
                        unread += 1;
                        continue;
                    }
                };
                let path = file.tree_path.clone();
                if let Some(slash) = path.iter().rposition(|byte| *byte == b'/') {
                    assert!(above.contains(&path[..slash].to_vec()), "{:?}", String::from_utf8_lossy(&path));
                }
                if file.entry.kind == EntryKind::Directory {
                    above.push(path.clone());
                }
                if shard.owns(&path) {
                    *met.entry(path).or_default() += 1;
                    let link: Vec<_> = file.entry.properties.iter().map(|property| property.value.clone()).collect();
                    let expected = match (file.nlink, file.dev) {
                        (_, _) if file.entry.kind == EntryKind::Directory => vec![],
                        (1, _) => vec![],
                        (_, 1) => vec![b"lake".to_vec()],
                        _ => vec![b"other".to_vec()],
                    };
                    assert_eq!(link, expected);
                } else {
                    assert_eq!(file.entry.kind, EntryKind::Directory);
                }
            }
            assert!(walked.directories() == 8 && walked.names() == 88 && walked.has_met_something());
        }
        let all = tree().into_iter().flatten().count();
        assert!(met.len() == all && met.values().all(|times| *times == 1), "{met:?}");
        assert_eq!((unread, notes), (5, 1), "what may be missing in any part is said in all of them");
    }
}
