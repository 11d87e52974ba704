//! Walks the roots and returns what lies there, in the order of a manifest.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::mem::take;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec::IntoIter;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::beneath::{LONGEST_PATH, check_path};
use super::clocks::Clocks;
use super::found::{Problem, SourceFile, Trouble};
use super::gone::Covered;
use super::logs::Logs;
use super::look::{self, Here};
use super::names::Names;
use super::reading::as_error;
use super::roots::{self, Node};
use super::rules::Rules;
use super::stat::Seen;
use super::temporary::is_temporary;
use crate::error::{Error, Result};
use crate::snapshot::Shard;
use crate::snapshot::entry::{EntryKind, FileEntry};

/// A directory whose entries are being returned.
#[derive(Debug)]
struct Level {
    tree_path: Vec<u8>,
    fs_path: PathBuf,
    names: IntoIter<Vec<u8>>,
    /// The names that are roots, or lead to them.
    planned: BTreeMap<Vec<u8>, Node>,
    /// The file system of the root above; none if this only leads to roots.
    within: Option<u64>,
}

/// The walk: directories first, then what is in them, names in the order of their bytes.
///
/// Holds the names of one directory for each level, and no open files. Sockets are skipped silently.
pub struct Source {
    rules: Rules,
    clock: Box<dyn Fn() -> i64 + Send>,
    clocks: Arc<Clocks>,
    names: Names,
    levels: Vec<Level>,
    /// Roots that are symbolic links and are saved as such: the first, and how many.
    links: Option<(PathBuf, u64)>,
    roots: BTreeMap<Vec<u8>, PathBuf>,
    /// What is returned before the walk goes on.
    ready: VecDeque<std::result::Result<SourceFile, Problem>>,
    /// Where something was met that is skipped.
    passed_over: Vec<PathBuf>,
    /// What belongs to no other part need not be looked at.
    shard: Option<Shard>,
    /// How many names were listed.
    listed: u64,
    logs: Logs,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("rules", &self.rules).field("levels", &self.levels).finish_non_exhaustive()
    }
}

impl Source {
    /// Walks these roots. Relative ones are taken from `working_directory`, which is absolute. `clock` returns the time
    /// in nanoseconds since 1970 ([`now`](super::now)).
    ///
    /// Fails if there are no roots, or if two of them would have the same path in the manifest. A root that is not
    /// there is a problem of the walk.
    pub fn new(
        roots: &[PathBuf],
        working_directory: &Path,
        rules: Rules,
        clock: impl Fn() -> i64 + Send + 'static,
    ) -> Result<Self> {
        let top = roots::merged(roots, working_directory)?;
        let mut source = Self {
            rules,
            clock: Box::new(clock),
            clocks: Arc::default(),
            names: Names::default(),
            levels: Vec::new(),
            links: None,
            roots: roots::by_tree_path(&top),
            ready: VecDeque::new(),
            passed_over: Vec::new(),
            shard: None,
            listed: 0,
            logs: Logs::default(),
        };
        source.begin(top);
        Ok(source)
    }

    /// Passes over files that belong to another part than this one, as far as that saves looking at them: it is a
    /// [`Sharded`](super::Sharded) tree that leaves out all of them.
    #[must_use]
    pub fn only(mut self, shard: Shard) -> Self {
        self.shard = Some(shard);
        self
    }

    /// Where something was met that is skipped ([`Rules::pass_over`]). Complete when the walk is.
    pub fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }

    /// How many names were listed by now, and roots found, whatever part they belong to.
    pub fn listed(&self) -> u64 {
        self.listed
    }

    /// What is to be met, to tell apart what is gone and what was not to be saved.
    pub fn covered(&self) -> Covered {
        Covered::new(self.roots.clone(), self.rules.clone())
    }

    /// What time it is on the file systems that are walked.
    pub fn clocks(&self) -> Arc<Clocks> {
        self.clocks.clone()
    }

    /// The top of the manifest has no row of its own.
    fn begin(&mut self, top: Node) {
        match top.is_root {
            false => self.enter_way(Vec::new(), top),
            true => match rustix::fs::stat(&top.fs_path) {
                Ok(stat) => {
                    let dev = Seen::from(stat).stat.dev;
                    self.enter(Here { tree_path: Vec::new(), fs_path: top.fs_path, follow: true }, top.below, dev, dev);
                }
                Err(error) => self.problem("stat", Vec::new(), top.fs_path, error, true),
            },
        }
    }

    fn problem(
        &mut self,
        action: &'static str,
        tree_path: Vec<u8>,
        path: PathBuf,
        error: impl Into<io::Error>,
        incomplete: bool,
    ) {
        let error = Error::io(action, &path, error.into());
        let trouble = if incomplete { Trouble::Unread(error) } else { Trouble::Gone(error) };
        self.ready.push_back(Err(Problem { tree_path, path, trouble }));
    }

    /// Goes on with the entries of a directory that only leads to roots.
    fn enter_way(&mut self, tree_path: Vec<u8>, node: Node) {
        let names: Vec<Vec<u8>> = node.below.keys().cloned().collect();
        let (fs_path, names) = (node.fs_path, names.into_iter());
        self.levels.push(Level { tree_path, fs_path, names, planned: node.below, within: None });
    }

    /// Goes on with all entries of a directory, which lies on the file system `dev`.
    fn enter(&mut self, here: Here, planned: BTreeMap<Vec<u8>, Node>, within: u64, dev: u64) {
        let Here { tree_path, fs_path, follow } = here;
        self.clocks.learn(dev, &fs_path, &self.clock);
        let mut found = match self.list(&fs_path, follow) {
            Ok(found) => found,
            Err(error) => {
                self.problem("list", tree_path.clone(), fs_path.clone(), error, true);
                Vec::new()
            }
        };
        found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let (mut names, kinds): (Vec<Vec<u8>>, Vec<FileType>) = found.into_iter().unzip();
        self.listed += names.len() as u64;
        for (name, node) in &planned {
            let here = roots::below(&fs_path, name);
            if node.fs_path != here && names.binary_search(name).is_ok() {
                let error = roots::clash(&here, &node.fs_path);
                let tree_path = roots::joined(&tree_path, name);
                self.ready.push_back(Err(Problem { tree_path, path: here, trouble: Trouble::Unread(error) }));
            }
        }
        if let Some(marker) = self.rules.marker(&fs_path, &names) {
            names = vec![marker.to_vec()];
        } else if let Some(shard) = self.shard {
            let is_met = |(name, kind): &(Vec<u8>, FileType)| {
                matches!(kind, FileType::Directory | FileType::Unknown) || shard.owns(&roots::joined(&tree_path, name))
            };
            names = names.into_iter().zip(kinds).filter(is_met).map(|(name, _)| name).collect();
        }
        if !planned.is_empty() {
            names.extend(planned.keys().cloned());
            names.sort_unstable();
            names.dedup();
        }
        self.levels.push(Level { tree_path, fs_path, names: names.into_iter(), planned, within: Some(within) });
    }

    /// The names in a directory: of the log of a table, those of when the table was listed.
    fn list(&mut self, fs_path: &Path, follow: bool) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        if let Some(names) = self.logs.take(fs_path) {
            return Ok(names);
        }
        let mut names = look::listed(fs_path, follow)?;
        while self.logs.ahead(fs_path, &names) {
            names = look::listed(fs_path, follow)?;
        }
        Ok(names)
    }

    /// Looks at one entry of the innermost directory; false if there is none left.
    fn step(&mut self) -> bool {
        let Some(level) = self.levels.last_mut() else { return false };
        let Some(name) = level.names.next() else {
            self.levels.pop();
            return true;
        };
        let tree_path = roots::joined(&level.tree_path, &name);
        let fs_path = roots::below(&level.fs_path, &name);
        let within = level.within;
        let planned = level.planned.remove(&name);
        if tree_path.len() > LONGEST_PATH || check_path(&name).is_err() {
            self.too_long(tree_path, fs_path);
            return true;
        }
        match planned {
            Some(node) if !node.is_root && (within.is_none() || node.fs_path != fs_path) => {
                self.visit_way(tree_path, node)
            }
            Some(node) if node.is_root => {
                // A link that is in a root anyway is one of many; one that was named may be meant to stand for more.
                if within.is_none() && !node.follow && look::is_link(&node.fs_path) {
                    self.links.get_or_insert_with(|| (node.fs_path.clone(), 0)).1 += 1;
                }
                self.visit(Here { tree_path, fs_path: node.fs_path, follow: node.follow }, node.below, None)
            }
            Some(node) => self.visit(Here { tree_path, fs_path: node.fs_path, follow: false }, node.below, within),
            None => self.visit(Here { tree_path, fs_path, follow: false }, BTreeMap::new(), within),
        }
        true
    }

    fn too_long(&mut self, tree_path: Vec<u8>, fs_path: PathBuf) {
        let longest = "its path is longer than any that can be restored";
        self.problem("save", tree_path, fs_path, io::Error::other(longest), true);
    }

    /// A directory that only leads to roots: it gets a row, and links on the way are followed.
    fn visit_way(&mut self, tree_path: Vec<u8>, node: Node) {
        let here = Here { tree_path: tree_path.clone(), fs_path: node.fs_path.clone(), follow: true };
        match here.look() {
            Ok(seen) => self.tell(here, seen, EntryKind::Directory, true),
            Err(error) => self.problem("stat", tree_path.clone(), node.fs_path.clone(), error, true),
        }
        self.enter_way(tree_path, node);
    }

    /// Anything at or below a root; `within` is none for a root.
    fn visit(&mut self, here: Here, planned: BTreeMap<Vec<u8>, Node>, within: Option<u64>) {
        let fs_path = &here.fs_path;
        if self.rules.excludes_path(fs_path) {
            return;
        }
        let seen = match here.look() {
            Ok(seen) => seen,
            // Removed since its directory was listed.
            Err(error) => {
                let incomplete = error != Errno::NOENT || within.is_none();
                return self.problem("stat", here.tree_path, here.fs_path, error, incomplete);
            }
        };
        self.listed += u64::from(within.is_none());
        if self.rules.excludes_inode(seen.stat.dev, seen.stat.inode) {
            self.passed_over.push(here.fs_path);
            return;
        }
        // Half of a file that a restore was writing, or is writing now. It was not asked for by its name.
        if seen.kind != FileType::Directory
            && within.is_some()
            && fs_path.file_name().is_some_and(|name| is_temporary(name.as_bytes()))
        {
            return;
        }
        let elsewhere = self.rules.stays_on_one_file_system() && within.is_some_and(|dev| dev != seen.stat.dev);
        let kind = match seen.kind {
            FileType::Directory => {
                self.tell(here.clone(), seen, EntryKind::Directory, false);
                if !elsewhere {
                    self.enter(here, planned, within.unwrap_or(seen.stat.dev), seen.stat.dev);
                }
                return;
            }
            _ if elsewhere => return,
            _ if here.follow => return self.problem("enter", here.tree_path, here.fs_path, Errno::NOTDIR, true),
            FileType::RegularFile if self.rules.excludes_size(seen.stat.size) => return,
            FileType::RegularFile => {
                if within.is_none()
                    && let Some(folder) = fs_path.parent()
                {
                    self.clocks.learn(seen.stat.dev, folder, &self.clock);
                }
                EntryKind::File
            }
            FileType::Symlink => match look::link_target(fs_path) {
                Ok(to) => EntryKind::Symlink(to),
                Err(error) => return self.problem("read link", here.tree_path, here.fs_path, error, true),
            },
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharDevice(look::device(&seen)),
            FileType::BlockDevice => EntryKind::BlockDevice(look::device(&seen)),
            FileType::Socket => return,
            FileType::Unknown => {
                return self.problem(
                    "save",
                    here.tree_path,
                    here.fs_path,
                    io::Error::other("it is of an unknown type"),
                    true,
                );
            }
        };
        self.tell(here, seen, kind, false);
    }

    /// Makes the row.
    fn tell(&mut self, here: Here, seen: Seen, kind: EntryKind, is_ancestor_of_root: bool) {
        let (seen, xattrs, unread) = here.described(seen);
        let now = self.clocks.on(seen.stat.dev, (self.clock)());
        let regular = kind == EntryKind::File;
        let entry = FileEntry {
            path: here.tree_path.clone(),
            kind,
            mode: seen.mode,
            uid: seen.uid,
            gid: seen.gid,
            user: self.names.user(seen.uid),
            group: self.names.group(seen.gid),
            mtime: seen.stat.mtime,
            ctime: seen.stat.ctime,
            inode: seen.stat.inode,
            size: if regular { seen.stat.size } else { 0 },
            racy: seen.stat.is_racy(now),
            sparse: regular && seen.allocated < seen.stat.size,
            xattrs,
            ..FileEntry::nothing()
        };
        let (nlink, dev) = (seen.nlink, seen.stat.dev);
        let Here { tree_path, fs_path, .. } = here;
        let file = SourceFile {
            tree_path: tree_path.clone(),
            fs_path: fs_path.clone(),
            entry,
            nlink,
            dev,
            is_ancestor_of_root,
        };
        self.ready.push_back(Ok(file));
        for unread in unread {
            let trouble = Trouble::Unread(as_error(&fs_path, unread));
            self.ready.push_back(Err(Problem { tree_path: tree_path.clone(), path: fs_path.clone(), trouble }));
        }
    }

    /// Says, once all is walked, that roots are links.
    fn tell_links(&mut self) {
        let Some((first, count)) = take(&mut self.links) else { return };
        let others =
            if count > 1 { format!(", like {} other paths that were given", count - 1) } else { String::new() };
        let message = format!(
            "it is a symbolic link and saved as such, without what it points to{others}; a slash after the path of a \
             directory follows it"
        );
        self.ready.push_back(Err(Problem { tree_path: Vec::new(), path: first, trouble: Trouble::Note(message) }));
    }
}

impl Iterator for Source {
    type Item = std::result::Result<SourceFile, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.step() {}
        if self.ready.is_empty() {
            self.tell_links();
        }
        self.ready.pop_front()
    }
}
