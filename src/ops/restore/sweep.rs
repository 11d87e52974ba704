//! `restore --delete`: removes what is in the target and not in the snapshot.
//!
//! The target is walked in the order of the manifest, whose rows are read beside it, so both are gone through once and
//! one directory is in memory for each level. What is only in the target is removed if nothing speaks for it:
//!
//! - it lies below a root of the snapshot: nothing beside the roots was to be saved,
//! - the filters of the restore select it,
//! - `create` would have saved it ([`Spared`]), so that its absence from the snapshot means something,
//! - no other file system begins there.
//!
//! A directory goes when all in it is gone. What cannot be removed is reported, and the sweep goes on.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::vec::IntoIter;

use super::run::{joined, split_parent};
use super::selection::Selection;
use crate::chunk::ChunkSource;
use crate::error::{Error, IoContext, Result};
use crate::files::temporary::is_temporary;
use crate::files::{Coverage, Folder, Found, FoundKind, Ground, Spare, Spared, Target};
use crate::progress::{Change, Progress, Warning};
use crate::runtime::Runtime;
use crate::snapshot::ManifestReader;
use crate::snapshot::entry::{EntryKind, path_order};

/// How many of the directories on the way down are held open. Those above are opened again when their turn comes.
const HELD_OPEN: usize = 64;

/// Result of a sweep.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// How many things were removed, or would be.
    pub(super) deleted: u64,
    /// How many were left alone, and why. What lies in them is not counted.
    pub(super) kept: BTreeMap<Spare, u64>,
    /// What could not be removed, by its path below the target.
    pub(super) failed: Vec<(Vec<u8>, Error)>,
}

/// What a sweep needs to know.
pub(super) struct Sweep<'s> {
    pub(super) target: &'s Target,
    pub(super) coverage: Coverage,
    pub(super) spared: Spared,
    pub(super) selection: Selection<'s>,
    pub(super) progress: &'s dyn Progress,
    pub(super) runtime: &'s Runtime,
}

/// What the snapshot has at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// Nothing.
    None,
    /// A directory, or something below it.
    Folder,
    /// Anything else.
    Other,
}

/// The rows of a snapshot, asked for in the order of their paths.
pub(super) trait Rows {
    /// What there is at this path.
    fn at(&mut self, path: &[u8]) -> Result<Row>;
}

impl<S: ChunkSource> Rows for ManifestReader<S> {
    fn at(&mut self, path: &[u8]) -> Result<Row> {
        while self.peek()?.is_some_and(|row| path_order(&row.path, path).is_lt()) {
            self.next_row()?;
        }
        Ok(match self.peek()? {
            Some(row) if row.path == path && row.kind != EntryKind::Directory => Row::Other,
            Some(row) if row.path.strip_prefix(path).is_some_and(|rest| matches!(rest, [] | [b'/', ..])) => Row::Folder,
            _ => Row::None,
        })
    }
}

/// No rows: all of it goes.
struct Nothing;

impl Rows for Nothing {
    fn at(&mut self, _: &[u8]) -> Result<Row> {
        Ok(Row::None)
    }
}

/// Whether something is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is.
    Act,
    /// Reports what would be removed.
    DryRun,
    /// Reports nothing.
    Plan,
}

/// What a sweep does with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The snapshot has it.
    Stays,
    /// The snapshot does not have it, and the filters do not select it, but may select something in it.
    Passed,
    /// It goes when it is empty.
    Goes,
}

/// A directory of the target that is being swept.
struct Level<'s> {
    /// Its path in the snapshot.
    tree_path: Vec<u8>,
    /// Its path below the target.
    path: Vec<u8>,
    ground: Ground<'s>,
    /// Open, if it is not far above.
    folder: Option<Folder>,
    dev: u64,
    names: IntoIter<Vec<u8>>,
    fate: Fate,
    /// Something in it stays.
    holds: bool,
}

/// One walk.
struct Walk<'w, 's, R> {
    sweep: &'s Sweep<'s>,
    rows: &'w mut R,
    /// Directories for which the snapshot has a file that may say that all else in them is left out.
    marked: &'w HashSet<Vec<u8>>,
    /// Paths below the target that stay in any case.
    keep: &'w HashSet<Vec<u8>>,
    mode: Mode,
    levels: Vec<Level<'s>>,
    swept: Swept,
}

impl<'s> Sweep<'s> {
    /// Removes from the target what the snapshot does not have. `top` is the path of the snapshot that is the target
    /// itself.
    ///
    /// # Errors
    /// If the manifest cannot be read. What concerns one path is in the report.
    pub(super) fn sweep(
        &'s self,
        rows: &mut impl Rows,
        top: &[u8],
        marked: &HashSet<Vec<u8>>,
        keep: &HashSet<Vec<u8>>,
        mode: Mode,
    ) -> Result<Swept> {
        let mut walk = Walk { sweep: self, rows, marked, keep, mode, levels: Vec::new(), swept: Swept::default() };
        let is_folder = top.is_empty() || walk.rows.at(top)? == Row::Folder;
        if is_folder && !self.is_below_unreadable(top) {
            walk.enter(top.to_vec(), Vec::new(), self.coverage.at(top), Fate::Stays);
            while walk.step()? {}
        }
        Ok(walk.swept)
    }

    /// Whether this path or one above it could not be read.
    fn is_below_unreadable(&self, path: &[u8]) -> bool {
        self.spared.unreadable().any(|above| crate::ops::is_at_or_below(path, above))
    }

    /// Makes way for something that belongs at the place of a directory or a link: removes that, with all that is in it, or
    /// nothing if a part of it must stay. Returns how many things went, or would go.
    ///
    /// # Errors
    /// If something must stay, or cannot be removed.
    pub(super) fn clear(&'s self, tree_path: &[u8], path: &[u8], mode: Mode) -> Result<u64> {
        let is_link = self.target.existing(path)?.is_some_and(|existing| existing.is_link);
        let stays = |why: &str| {
            let reason = if !is_link {
                format!("a folder stands in its place, and something in that must stay: {why}")
            } else if self.coverage.at(tree_path).is_covered() {
                format!("a symbolic link stands in its place, and must stay: {why}")
            } else {
                "a symbolic link stands in its place, above the paths that were saved, and only at or below these is anything \
                 removed"
                    .into()
            };
            Error::not_restored(self.target.shown(path).display(), reason)
        };
        for mode in [Mode::Plan, mode] {
            let (mut swept, is_gone) = self.clear_once(tree_path, path, mode)?;
            match (swept.failed.pop(), swept.kept.first_key_value()) {
                (Some((_, error)), _) => return Err(error),
                (None, Some((why, _))) => return Err(stays(reason(*why))),
                (None, None) if !is_gone => return Err(stays("it is not selected")),
                (None, None) if mode != Mode::Plan => return Ok(swept.deleted),
                (None, None) => {}
            }
        }
        Ok(0)
    }

    fn clear_once(&'s self, tree_path: &[u8], path: &[u8], mode: Mode) -> Result<(Swept, bool)> {
        let (marked, keep) = (HashSet::new(), HashSet::new());
        let (above, name) = split_parent(path);
        let Some(folder) = self.target.folder(above)? else { return Ok((Swept::default(), true)) };
        let swept = Swept::default();
        let mut walk =
            Walk { sweep: self, rows: &mut Nothing, marked: &marked, keep: &keep, mode, levels: Vec::new(), swept };
        let ground = self.coverage.at(tree_path);
        walk.levels.push(Level {
            tree_path: split_parent(tree_path).0.to_vec(),
            path: above.to_vec(),
            ground: self.coverage.at(split_parent(tree_path).0),
            dev: folder.dev(),
            folder: Some(folder),
            names: Vec::new().into_iter(),
            fate: Fate::Stays,
            holds: false,
        });
        match ground.is_covered() {
            true => walk.only_here(name, tree_path.to_vec(), path.to_vec(), ground),
            false => walk.keep(Spare::LeftOut),
        }
        while walk.levels.len() > 1 {
            walk.step()?;
        }
        let is_gone = walk.levels.last().is_some_and(|level| !level.holds);
        Ok((walk.swept, is_gone))
    }
}

/// Why something stays, in words.
pub(super) fn reason(why: Spare) -> &'static str {
    match why {
        Spare::InUse => "the repository, or what snap keeps for itself",
        Spare::PassedOver => "passed over when the snapshot was made",
        Spare::Unreadable => "could not be read when the snapshot was made",
        Spare::LeftOut => "left out when the snapshot was made",
        Spare::Border => "another file system",
        Spare::NotSaved => "sockets are not saved",
    }
}

impl<'s, R: Rows> Walk<'_, 's, R> {
    /// Looks at the next name; false at the end.
    fn step(&mut self) -> Result<bool> {
        self.sweep.runtime.go_on()?;
        let Some(level) = self.levels.last_mut() else { return Ok(false) };
        let Some(name) = level.names.next() else {
            self.leave();
            return Ok(true);
        };
        let (tree_path, path) = (joined(&level.tree_path, &name), joined(&level.path, &name));
        let ground = level.ground.below(&name);
        let row = if level.fate == Fate::Stays { self.rows.at(&tree_path)? } else { Row::None };
        let is_candidate = level.ground.is_covered() && !level.ground.is_ancestor_of_root(&name);
        let is_live = level.fate == Fate::Stays && is_temporary(&name);
        match row {
            Row::Folder => self.known_folder(&name, tree_path, path, ground),
            // What another restore is writing here just now: leftovers were removed before.
            Row::None if is_live => self.hold(),
            Row::None if is_candidate && !self.keep.contains(&path) => self.only_here(&name, tree_path, path, ground),
            Row::Other | Row::None => self.hold(),
        }
        Ok(true)
    }

    /// A directory of the snapshot: what is in it is looked at.
    fn known_folder(&mut self, name: &[u8], tree_path: Vec<u8>, path: Vec<u8>, ground: Ground<'s>) {
        self.hold();
        let Some(found) = self.look(name, &path) else { return };
        if found.kind != FoundKind::Folder || self.sweep.selection.excludes(&tree_path) {
            return;
        }
        // A root may be another file system than what leads to it.
        let may_begin = ground.is_root() || !ground.is_covered();
        let why = self.sweep.spared.why(&tree_path, &ground, &found);
        match why.filter(|why| *why != Spare::Border || !may_begin) {
            Some(why) => self.spare(why, &path),
            None => self.enter(tree_path, path, ground, Fate::Stays),
        }
    }

    /// Something that the snapshot does not have.
    fn only_here(&mut self, name: &[u8], tree_path: Vec<u8>, path: Vec<u8>, ground: Ground<'s>) {
        let selection = &self.sweep.selection;
        let Some(found) = self.look(name, &path) else { return };
        if selection.excludes(&tree_path) {
            self.hold();
        } else if let Some(why) = self.sweep.spared.why(&tree_path, &ground, &found) {
            self.spare(why, &path);
        } else {
            match (found.kind, selection.selects(&tree_path)) {
                (FoundKind::Folder, true) => self.enter(tree_path, path, ground, Fate::Goes),
                (FoundKind::Folder, false) => self.enter(tree_path, path, ground, Fate::Passed),
                (kind, true) => self.remove(name, &path, kind),
                (_, false) => self.hold(),
            }
        }
    }

    /// What lies there; none, with a report, if that cannot be found out.
    fn look(&mut self, name: &[u8], path: &[u8]) -> Option<Found> {
        match self.in_folder("stat", path, |folder| folder.look(name)) {
            Ok(found) => found,
            Err(error) => {
                self.obstacle(path, error);
                None
            }
        }
    }

    /// Does something in the directory whose names are gone through; `path` is what it is done with.
    fn in_folder<T>(
        &mut self,
        action: &'static str,
        path: &[u8],
        work: impl FnOnce(&Folder) -> io::Result<T>,
    ) -> Result<T> {
        let target = self.sweep.target;
        let gone = || {
            let source = io::Error::new(io::ErrorKind::NotFound, "its folder was removed meanwhile");
            Error::io(action, target.shown(path), source)
        };
        let level = self.levels.last_mut().ok_or_else(gone)?;
        if level.folder.is_none() {
            level.folder = target.folder(&level.path)?;
        }
        let folder = level.folder.as_ref().ok_or_else(gone)?;
        work(folder).when(action, target.shown(path))
    }

    /// Begins with what is in a directory.
    fn enter(&mut self, tree_path: Vec<u8>, path: Vec<u8>, ground: Ground<'s>, fate: Fate) {
        let above = self.levels.last().map(|level| level.dev);
        let opened = self.sweep.target.folder(&path).and_then(|folder| {
            let Some(folder) = folder else { return Ok(None) };
            let names = folder.names().when("list", self.sweep.target.shown(&path))?;
            Ok(Some((folder, names)))
        });
        let (folder, mut names) = match opened {
            Ok(Some(opened)) => opened,
            Ok(None) => return,
            Err(error) => return self.obstacle(&path, error),
        };
        let dev = folder.dev();
        if above.is_some_and(|above| above != dev) && fate != Fate::Stays {
            return self.spare(Spare::Border, &path);
        }
        let mut holds = false;
        if !ground.is_covered() {
            names.retain(|name| ground.is_ancestor_of_root(name));
            holds = true;
        } else if self.sweep.spared.is_marked(&folder, self.marked.contains(&tree_path)) {
            let spared = &self.sweep.spared;
            if names.iter().any(|name| !spared.may_mark(name) && !ground.is_ancestor_of_root(name)) {
                self.count(Spare::LeftOut);
            }
            names.retain(|name| ground.is_ancestor_of_root(name));
            holds = true;
        }
        if let Some(far) = self.levels.len().checked_sub(HELD_OPEN)
            && let Some(level) = self.levels.get_mut(far)
        {
            level.folder = None;
        }
        let names = names.into_iter();
        self.levels.push(Level { tree_path, path, ground, folder: Some(folder), dev, names, fate, holds });
    }

    /// Ends with a directory: removes it if it goes and nothing is left in it.
    fn leave(&mut self) {
        let Some(level) = self.levels.pop() else { return };
        match level.fate == Fate::Goes && !level.holds {
            true => {
                drop(level.folder);
                self.remove(split_parent(&level.path).1, &level.path, FoundKind::Folder);
            }
            false => self.hold(),
        }
    }

    fn remove(&mut self, name: &[u8], path: &[u8], kind: FoundKind) {
        let removed = match self.mode {
            Mode::Plan | Mode::DryRun => Ok(true),
            Mode::Act => self.in_folder("delete", path, |folder| folder.remove(name, kind)),
        };
        match removed {
            Ok(true) => {
                self.swept.deleted += 1;
                if self.mode != Mode::Plan {
                    self.sweep.progress.change(Change::Deleted, Path::new(OsStr::from_bytes(path)));
                }
            }
            Ok(false) => {}
            Err(error) => self.obstacle(path, error),
        }
    }

    /// Something in the directory stays, so it stays, too.
    fn hold(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.holds = true;
        }
    }

    fn count(&mut self, why: Spare) {
        *self.swept.kept.entry(why).or_default() += 1;
    }

    fn keep(&mut self, why: Spare) {
        self.hold();
        self.count(why);
    }

    /// Something is left alone. That another file system is not swept is worth a word, unless it was left out by `-x`.
    fn spare(&mut self, why: Spare, path: &[u8]) {
        self.keep(why);
        if why == Spare::Border && self.mode != Mode::Plan && !self.sweep.spared.one_file_system() {
            let message = "another file system begins here: nothing is deleted in it".into();
            self.sweep.progress.warning(&Warning { path: self.shown(path), message, incomplete: false });
        }
    }

    /// Something could not be removed, or looked at.
    fn obstacle(&mut self, path: &[u8], error: Error) {
        self.hold();
        if self.mode != Mode::Plan {
            let message = format!("not deleted: {error}");
            self.sweep.progress.warning(&Warning { path: self.shown(path), message, incomplete: true });
        }
        self.swept.failed.push((path.to_vec(), error));
    }

    fn shown(&self, path: &[u8]) -> String {
        self.sweep.target.shown(path).display().to_string()
    }
}
