//! Walks the roots and tells what lies there, in the order of a manifest.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;

use super::names::Names;
use super::open::open_quietly;
use super::place::Place;
use super::roots::{self, Node};
use super::rules::Rules;
use super::stat::{FileStat, Seen};
use super::temporary::is_temporary;
use super::xattrs;
use crate::error::{Error, Result};
use crate::progress::Warning;
use crate::snapshot::entry::{Device, EntryKind, FileEntry};

/// Something that is to be saved.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its path in the manifest (also in `entry`).
    pub tree_path: Vec<u8>,
    /// Where it lies, absolute. May be longer than the system takes at once: open it with
    /// [`open_for_reading`](super::open_for_reading).
    pub fs_path: PathBuf,
    /// Its row; `content`, `recipe`, `hard_link` and `avro` are left to whoever reads it.
    pub entry: FileEntry,
    /// How many names the file has on its file system.
    pub nlink: u64,
    /// Its file system. With `entry.inode` this tells which names are of one file.
    pub dev: u64,
    /// It is a directory that was not asked for, and only leads to a root.
    pub leads_to_root: bool,
}

impl SourceFile {
    /// Its stat, to be compared with that of the open file.
    pub fn stat(&self) -> FileStat {
        let FileEntry { size, mtime, ctime, inode, .. } = self.entry;
        FileStat { size, mtime, ctime, inode, dev: self.dev }
    }
}

/// Something that could not be looked at. The walk passes over it and goes on.
#[derive(Debug)]
pub struct Problem {
    /// Its path in the manifest.
    pub tree_path: Vec<u8>,
    /// Where it lies.
    pub path: PathBuf,
    /// What is wrong.
    pub error: Error,
    /// Whether something is missing in the snapshot for it. Not so for a file that was removed just now.
    pub incomplete: bool,
}

impl Problem {
    /// As it is told.
    pub fn warning(&self) -> Warning {
        let message = match &self.error {
            Error::Io { action, source, .. } => format!("{action}: {source}"),
            error => error.to_string(),
        };
        Warning { path: self.path.display().to_string(), message, incomplete: self.incomplete }
    }
}

/// A directory whose entries are being told.
#[derive(Debug)]
struct Level {
    tree_path: Vec<u8>,
    fs_path: PathBuf,
    names: IntoIter<Vec<u8>>,
    /// Those of the names that are, or lead to, roots.
    planned: BTreeMap<Vec<u8>, Node>,
    /// The file system of the root above; none if this only leads to roots.
    within: Option<u64>,
}

/// The walk: directories first, then what is in them, names in the order of their bytes.
///
/// Holds the names of one directory for each level, and no open files. Sockets are passed over without a word.
pub struct Source {
    rules: Rules,
    clock: Box<dyn Fn() -> i64 + Send>,
    names: Names,
    levels: Vec<Level>,
    /// What is told before the walk goes on.
    ready: VecDeque<std::result::Result<SourceFile, Problem>>,
    /// Where something was met that is passed over.
    passed_over: Vec<PathBuf>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("rules", &self.rules).field("levels", &self.levels).finish_non_exhaustive()
    }
}

impl Source {
    /// Walks these roots. Relative ones are taken from `working_directory`, which is absolute. `clock` tells the time
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
            names: Names::default(),
            levels: Vec::new(),
            ready: VecDeque::new(),
            passed_over: Vec::new(),
        };
        source.begin(top);
        Ok(source)
    }

    /// Where something was met that is passed over ([`Rules::pass_over`]). Complete when the walk is.
    pub fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }

    /// The top of the manifest has no row of its own.
    fn begin(&mut self, top: Node) {
        match top.is_root {
            false => self.enter_way(Vec::new(), top),
            true => match rustix::fs::stat(&top.fs_path) {
                Ok(stat) => {
                    let dev = Seen::from(stat).stat.dev;
                    self.enter(Vec::new(), top.fs_path, top.below, dev);
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
        self.ready.push_back(Err(Problem { tree_path, path, error, incomplete }));
    }

    /// Goes on with the entries of a directory that only leads to roots.
    fn enter_way(&mut self, tree_path: Vec<u8>, node: Node) {
        let names: Vec<Vec<u8>> = node.below.keys().cloned().collect();
        let (fs_path, names) = (node.fs_path, names.into_iter());
        self.levels.push(Level { tree_path, fs_path, names, planned: node.below, within: None });
    }

    /// Goes on with all entries of a directory.
    fn enter(&mut self, tree_path: Vec<u8>, fs_path: PathBuf, planned: BTreeMap<Vec<u8>, Node>, within: u64) {
        let mut names = match listed(&fs_path, tree_path.is_empty()) {
            Ok(names) => names,
            Err(error) => {
                self.problem("list", tree_path.clone(), fs_path.clone(), error, true);
                Vec::new()
            }
        };
        names.sort_unstable();
        for (name, node) in &planned {
            let here = roots::below(&fs_path, name);
            if node.fs_path != here && names.binary_search(name).is_ok() {
                let error = roots::clash(&here, &node.fs_path);
                let tree_path = roots::joined(&tree_path, name);
                self.ready.push_back(Err(Problem { tree_path, path: here, error, incomplete: true }));
            }
        }
        if let Some(marker) = self.rules.marker(&fs_path, &names) {
            names = vec![marker.to_vec()];
        }
        if !planned.is_empty() {
            names.extend(planned.keys().cloned());
            names.sort_unstable();
            names.dedup();
        }
        self.levels.push(Level { tree_path, fs_path, names: names.into_iter(), planned, within: Some(within) });
    }

    /// Looks at one entry of the directory that is being told; false if there is none left.
    fn step(&mut self) -> bool {
        let Some(level) = self.levels.last_mut() else { return false };
        let Some(name) = level.names.next() else {
            self.levels.pop();
            return true;
        };
        let tree_path = roots::joined(&level.tree_path, &name);
        let here = roots::below(&level.fs_path, &name);
        let within = level.within;
        match level.planned.remove(&name) {
            Some(node) if !node.is_root && (within.is_none() || node.fs_path != here) => {
                self.visit_way(tree_path, node)
            }
            Some(node) if node.is_root => self.visit(tree_path, node.fs_path, node.below, None),
            Some(node) => self.visit(tree_path, node.fs_path, node.below, within),
            None => self.visit(tree_path, here, BTreeMap::new(), within),
        }
        true
    }

    /// A directory that only leads to roots: it gets a row, and links on the way are followed.
    fn visit_way(&mut self, tree_path: Vec<u8>, node: Node) {
        match rustix::fs::stat(&node.fs_path) {
            Ok(stat) => self.tell(tree_path.clone(), node.fs_path.clone(), &stat.into(), EntryKind::Directory, true),
            Err(error) => self.problem("stat", tree_path.clone(), node.fs_path.clone(), error, true),
        }
        self.enter_way(tree_path, node);
    }

    /// Anything at or below a root; `within` is none for a root.
    fn visit(&mut self, tree_path: Vec<u8>, fs_path: PathBuf, planned: BTreeMap<Vec<u8>, Node>, within: Option<u64>) {
        if self.rules.excludes_path(&fs_path) {
            return;
        }
        let seen = match lstat(&fs_path) {
            Ok(seen) => seen,
            // Removed since its directory was listed.
            Err(error) => {
                let incomplete = error != Errno::NOENT || within.is_none();
                return self.problem("stat", tree_path, fs_path, error, incomplete);
            }
        };
        if self.rules.excludes_inode(seen.stat.dev, seen.stat.inode) {
            self.passed_over.push(fs_path);
            return;
        }
        // Half of a file that a restore was writing, or is writing now. Nobody asked for it by its name.
        if seen.kind != FileType::Directory
            && within.is_some()
            && fs_path.file_name().is_some_and(|name| is_temporary(name.as_bytes()))
        {
            return;
        }
        let elsewhere = self.rules.stays_on_one_file_system() && within.is_some_and(|dev| dev != seen.stat.dev);
        let kind = match seen.kind {
            FileType::Directory => {
                self.tell(tree_path.clone(), fs_path.clone(), &seen, EntryKind::Directory, false);
                if !elsewhere {
                    self.enter(tree_path, fs_path, planned, within.unwrap_or(seen.stat.dev));
                }
                return;
            }
            _ if elsewhere => return,
            FileType::RegularFile if self.rules.excludes_size(seen.stat.size) => return,
            FileType::RegularFile => EntryKind::File,
            FileType::Symlink => match link_target(&fs_path) {
                Ok(to) => EntryKind::Symlink(to),
                Err(error) => return self.problem("read link", tree_path, fs_path, error, true),
            },
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharDevice(device(&seen)),
            FileType::BlockDevice => EntryKind::BlockDevice(device(&seen)),
            FileType::Socket => return,
            FileType::Unknown => {
                return self.problem("save", tree_path, fs_path, io::Error::other("it is of an unknown type"), true);
            }
        };
        self.tell(tree_path, fs_path, &seen, kind, false);
    }

    /// Makes the row.
    fn tell(&mut self, tree_path: Vec<u8>, fs_path: PathBuf, seen: &Seen, kind: EntryKind, leads_to_root: bool) {
        let now = (self.clock)();
        let read = Place::of(&fs_path).and_then(|place| xattrs::read(&place.path()));
        let (xattrs, unread) =
            read.unwrap_or_else(|error| (Vec::new(), vec![(b"extended attributes".to_vec(), error)]));
        let regular = kind == EntryKind::File;
        let entry = FileEntry {
            path: tree_path.clone(),
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
            hard_link: None,
            xattrs,
            content: None,
            recipe: Vec::new(),
            avro: None,
            origin: None,
            altered: None,
        };
        let (nlink, dev) = (seen.nlink, seen.stat.dev);
        let file =
            SourceFile { tree_path: tree_path.clone(), fs_path: fs_path.clone(), entry, nlink, dev, leads_to_root };
        self.ready.push_back(Ok(file));
        for (name, error) in unread {
            let name = String::from_utf8_lossy(&name).into_owned();
            let error = io::Error::new(io::Error::from(error).kind(), format!("{name}: {error}"));
            self.problem("read attributes", tree_path.clone(), fs_path.clone(), error, true);
        }
    }
}

impl Iterator for Source {
    type Item = std::result::Result<SourceFile, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.step() {}
        self.ready.pop_front()
    }
}

fn device(seen: &Seen) -> Device {
    Device { major: rustix::fs::major(seen.rdev), minor: rustix::fs::minor(seen.rdev) }
}

/// The stat of the thing itself, not of what a link points to.
fn lstat(path: &Path) -> rustix::io::Result<Seen> {
    let place = Place::of(path)?;
    rustix::fs::statat(place.folder(), place.rest(), AtFlags::SYMLINK_NOFOLLOW).map(Seen::from)
}

fn link_target(path: &Path) -> rustix::io::Result<Vec<u8>> {
    let place = Place::of(path)?;
    Ok(rustix::fs::readlinkat(place.folder(), place.rest(), Vec::new())?.into_bytes())
}

/// The names in a directory. The top may be reached by a link, nothing below it is.
fn listed(path: &Path, top: bool) -> io::Result<Vec<Vec<u8>>> {
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, !top);
    let folder = open_quietly(path, flags)?;
    names_in(rustix::fs::Dir::new(folder)?)
}

/// The names in an open directory.
pub(super) fn names_in(folder: rustix::fs::Dir) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in folder {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}
