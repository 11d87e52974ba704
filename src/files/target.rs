//! Restoring beneath one directory.
//!
//! Every path of a manifest is resolved from the open directory without following any link, so nothing outside of it
//! is read, made, changed or removed, whatever the manifest says and whatever links are put there meanwhile. Everything
//! but directories is made without a name or under a temporary one ([`temporary`](super::temporary)) and takes its place
//! all at once.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{Attributes, Means, Thing};
use super::beneath::{Beneath, check_path, split_parent};
use super::folder::Folder;
use super::policy::{Existing, Overwrite};
use super::stat::Seen;
use super::temporary;
use super::writer::{FileWriter, Temporary, Terms};
use crate::error::{Error, IoContext, Result};
use crate::progress::{Progress, Warning};
use crate::snapshot::entry::{EntryKind, FileEntry, path_order};

/// How to restore.
#[derive(Debug, Clone, Copy, Default)]
pub struct TargetOptions {
    /// What happens to what is there already.
    pub overwrite: Overwrite,
    /// Whether set-uid and set-gid bits are restored, where the owner can be, too.
    pub restore_suid: bool,
    /// Whether other processes restore other parts of the snapshot into the same target, at the same time perhaps.
    pub is_shared: bool,
}

/// A directory beneath which a snapshot is restored. May be used by several threads at once.
#[derive(Debug)]
pub struct Target {
    beneath: Beneath,
    options: TargetOptions,
    means: Means,
    /// Directories that get their metadata when all is in them. Small next to their manifest rows.
    directories: Mutex<Vec<(Vec<u8>, Finish)>>,
    dropped_set_ids: Arc<AtomicU64>,
}

/// What a directory gets when all is in it.
#[derive(Debug)]
enum Finish {
    /// Mode, owner and times of its entry.
    Entry(Attributes),
    /// The mode that it had before.
    Mode(u32),
}

impl Target {
    /// Restores beneath `directory`, which is made if it is missing. Links on the way to it are followed: it is the
    /// user's choice. Its own metadata is left alone.
    pub fn new(directory: &Path, options: TargetOptions) -> Result<Self> {
        std::fs::create_dir_all(directory).when("create", directory)?;
        Ok(Self {
            beneath: Beneath::new(directory).when("open", directory)?,
            options,
            means: Means { set_ids: options.restore_suid, root: rustix::process::geteuid().is_root() },
            directories: Mutex::default(),
            dropped_set_ids: Arc::default(),
        })
    }

    /// Where a path of the manifest comes to lie.
    pub fn shown(&self, path: &[u8]) -> PathBuf {
        self.beneath.shown(path)
    }

    /// How many things lost set-uid or set-gid bits that they had in the snapshot.
    pub fn dropped_set_ids(&self) -> u64 {
        self.dropped_set_ids.load(Ordering::Relaxed)
    }

    /// What is there at this path already. A link in the way is [`Error::UnsafePath`].
    pub fn existing(&self, path: &[u8]) -> Result<Option<Existing>> {
        check_path(path)?;
        let (above, name) = split_parent(path);
        let stat = self.beneath.folder(above).and_then(|at| rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW));
        match stat.map(Seen::from) {
            Ok(seen) => Ok(Some(Existing::from(&seen))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.beneath.refused("stat", path, error)),
        }
    }

    pub(super) fn overwrite(&self) -> Overwrite {
        self.options.overwrite
    }

    pub(super) fn means(&self) -> Means {
        self.means
    }

    pub(super) fn beneath(&self) -> &Beneath {
        &self.beneath
    }

    /// Sets what can be set on a thing at this path, and counts where set-id bits or capabilities were left out.
    pub(super) fn set_attributes(
        &self,
        attributes: &Attributes,
        thing: &Thing<'_>,
        path: &[u8],
        progress: &dyn Progress,
    ) {
        if attributes.set(thing, self.means, &self.shown(path), progress) {
            self.dropped_set_ids.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens a restored file to read it; none if there is no such file.
    pub fn open_file(&self, path: &[u8]) -> Result<Option<File>> {
        check_path(path)?;
        self.beneath.open_file(path)
    }

    /// Makes a directory and those above it, with mode 0700, or takes the one that is there. With an entry, it gets
    /// that entry's metadata in [`finish_directories`](Target::finish_directories).
    ///
    /// A link in its place is [`Error::UnsafePath`]. A file in its place is replaced if the chosen [`Overwrite`] is
    /// `Always`, else an error.
    pub fn make_directory(&self, path: &[u8], entry: Option<&FileEntry>) -> Result<()> {
        check_path(path)?;
        let (folder, new) = self.made(path)?;
        let Some(entry) = entry else { return Ok(()) };
        if !new {
            self.open_up(&folder, path)?;
        }
        self.finish_later(path, Finish::Entry(entry.into()));
        Ok(())
    }

    /// Makes a directory that is not restored itself, but has something in it that is. It gets its entry's metadata if it
    /// is made now, or if it has the entry's mode and owner, as one that was restored before; in a shared target also if it is as a
    /// process makes one, since another one may be at it. Any other that is there stays as it is.
    pub fn make_parent(&self, path: &[u8], entry: &FileEntry) -> Result<()> {
        check_path(path)?;
        let (folder, new) = self.made(path)?;
        let finish = match new {
            true => Finish::Entry(entry.into()),
            false => {
                let there = self.open_up(&folder, path)?;
                let same_owner = !self.means.root || (there.uid, there.gid) == (entry.uid, entry.gid);
                // As a process makes one, or lets itself in.
                let at_work = [0o700, entry.mode & 0o7777 | 0o700].contains(&(there.mode & 0o7777));
                let is_being_made =
                    self.options.is_shared && at_work && there.uid == rustix::process::geteuid().as_raw();
                match is_being_made || (same_owner && there.mode & 0o1777 == entry.mode & 0o1777) {
                    true => Finish::Entry(entry.into()),
                    false if there.mode & 0o700 != 0o700 => Finish::Mode(there.mode),
                    false => return Ok(()),
                }
            }
        };
        self.finish_later(path, finish);
        Ok(())
    }

    /// Prepares a directory that was there before: what interrupted restores left in it goes away, and its owner may
    /// write into it. Returns what it was.
    fn open_up(&self, folder: &OwnedFd, path: &[u8]) -> Result<Seen> {
        let there = rustix::fs::fstat(folder).map(Seen::from);
        let there = there.map_err(|error| self.beneath.refused("stat", path, error))?;
        if there.mode & 0o700 != 0o700 {
            // It was restored before, and may not be written to. Failing shows when something is made in it. The path leads
            // to the open directory itself: going through it would need the right to do so.
            let open = Mode::from_bits_truncate((there.mode | 0o700) as _);
            let _ = rustix::fs::chmod(Thing::Held(folder.as_fd()).path(), open);
        }
        clean(folder);
        Ok(there)
    }

    /// Lets the owner write into the directories above a path, from the top on. What cannot be done shows when something is made
    /// there.
    pub fn open_again(&self, path: &[u8]) {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for above in ends.filter_map(|end| path.get(..end)) {
            let _ = self.beneath.folder(above).map(|folder| self.open_up(&folder, above));
        }
    }

    /// Removes what interrupted restores left in the target itself. What they left below it goes away when directories are
    /// made.
    pub fn clean_top(&self) {
        if let Ok(folder) = self.beneath.folder(b"") {
            clean(&folder);
        }
    }

    fn finish_later(&self, path: &[u8], finish: Finish) {
        let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        directories.push((path.to_vec(), finish));
    }

    /// Opens a directory; makes it, and those above it, if it is missing. Returns whether it is new.
    fn made(&self, path: &[u8]) -> Result<(OwnedFd, bool)> {
        match self.beneath.folder(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            opened => {
                let opened = opened.map_err(|error| self.beneath.refused("open", path, error))?;
                return Ok((opened, false));
            }
        }
        let mut folder = self.beneath.folder(b"").map_err(|error| self.beneath.refused("open", b"", error))?;
        let mut end = 0;
        for component in path.split(|byte| *byte == b'/') {
            end += component.len() + usize::from(end > 0);
            folder = self
                .make_one(&folder, component)
                .map_err(|error| self.beneath.refused("create", path.get(..end).unwrap_or(path), error))?;
        }
        Ok((folder, true))
    }

    fn make_one(&self, above: &OwnedFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
        let make = || match rustix::fs::mkdirat(above, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.beneath.step(above.as_fd(), name),
            Err(error) => Err(error),
        };
        match make() {
            Err(Errno::NOTDIR) if self.options.overwrite == Overwrite::Always => {
                rustix::fs::unlinkat(above, name, AtFlags::empty())?;
                make()
            }
            made => made,
        }
    }

    /// The directory in which something is to be made, and its name there.
    fn place<'p>(&self, path: &'p [u8]) -> Result<(OwnedFd, &'p [u8])> {
        check_path(path)?;
        let (above, name) = split_parent(path);
        let folder = match above.is_empty() {
            true => self.beneath.folder(b"").map_err(|error| self.beneath.refused("open", b"", error))?,
            false => self.made(above)?.0,
        };
        Ok((folder, name))
    }

    fn replaces_folder(&self) -> bool {
        self.options.overwrite == Overwrite::Always
    }

    /// Begins a regular file. `size` is how long it will be, `sparse` whether it is to have holes: then use
    /// [`write_sparse`](FileWriter::write_sparse).
    pub fn begin_file(&self, path: &[u8], size: u64, sparse: bool) -> Result<FileWriter> {
        let (folder, name) = self.place(path)?;
        let terms = Terms {
            means: self.means,
            replaces_folder: self.replaces_folder(),
            dropped_set_ids: Arc::clone(&self.dropped_set_ids),
        };
        FileWriter::begin(folder, name, self.shown(path), size, sparse, terms)
    }

    /// Makes what has no content of its own: a symbolic link, a pipe or a device node. False, with a warning, if this
    /// process may not make such a thing.
    pub fn make_node(&self, path: &[u8], entry: &FileEntry, progress: &dyn Progress) -> Result<bool> {
        let (folder, name) = self.place(path)?;
        let folder = Arc::new(folder);
        let is_link = matches!(entry.kind, EntryKind::Symlink(_));
        let shown = self.shown(path);
        if matches!(entry.kind, EntryKind::File | EntryKind::Directory) {
            return Err(Error::wrong_kind(path, "a link, pipe or device"));
        }
        match again(|| self.put_node(&folder, name, entry, &shown, progress)) {
            Ok(()) => Ok(true),
            Err(error @ (Errno::PERM | Errno::NOTSUP)) if !is_link => {
                let message = format!("this device or pipe could not be made: {}", io::Error::from(error));
                progress.warning(&Warning { path: shown.display().to_string(), message, incomplete: false });
                Ok(false)
            }
            Err(error) => Err(Error::io("create", shown, error.into())),
        }
    }

    fn put_node(
        &self,
        folder: &Arc<OwnedFd>,
        name: &[u8],
        entry: &FileEntry,
        shown: &Path,
        progress: &dyn Progress,
    ) -> rustix::io::Result<()> {
        let mut temporary = Temporary::new(Arc::clone(folder));
        temporary.make(|at, name| match &entry.kind {
            EntryKind::Symlink(to) => rustix::fs::symlinkat(to.as_slice(), at, name),
            kind => make_special(at, name, kind),
        })?;
        let flags = HOLD | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = rustix::fs::openat(folder, &temporary.name, flags, Mode::empty())?;
        let thing = match entry.kind {
            EntryKind::Symlink(_) => Thing::Link(held.as_fd()),
            _ => Thing::Held(held.as_fd()),
        };
        if Attributes::from(entry).set(&thing, self.means, shown, progress) {
            self.dropped_set_ids.fetch_add(1, Ordering::Relaxed);
        }
        temporary.rename(name, self.replaces_folder())
    }

    /// Makes `path` another name of the file at `original`, which was restored before.
    pub fn hard_link(&self, path: &[u8], original: &[u8]) -> Result<()> {
        check_path(original)?;
        let (above, original_name) = split_parent(original);
        let from = self.beneath.folder(above).map_err(|error| self.beneath.refused("link", original, error))?;
        let (folder, name) = self.place(path)?;
        let folder = Arc::new(folder);
        let put = || {
            let mut temporary = Temporary::new(Arc::clone(&folder));
            temporary.make(|at, name| rustix::fs::linkat(&from, original_name, at, name, AtFlags::empty()))?;
            temporary.rename(name, self.replaces_folder())
        };
        again(put).map_err(io::Error::from).when("link", self.shown(path))
    }

    /// Sets the metadata of all directories, those below first: making something in a directory changes its times. To
    /// be called once, when nothing is made any more. What cannot be set is a warning.
    pub fn finish_directories(&self, progress: &dyn Progress) {
        let mut directories = std::mem::take(&mut *self.directories.lock().unwrap_or_else(PoisonError::into_inner));
        directories.sort_by(|(a, _), (b, _)| path_order(b, a));
        for (path, finish) in directories {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let (above, name) = split_parent(&path);
            let opened = self.beneath.folder(above).and_then(|at| rustix::fs::openat(at, name, flags, Mode::empty()));
            let shown = self.shown(&path);
            match opened {
                Ok(folder) => match finish {
                    Finish::Entry(attributes) => {
                        if attributes.set(&Thing::Open(folder.as_fd()), self.means, &shown, progress) {
                            self.dropped_set_ids.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    // A user who could change it can change it back.
                    Finish::Mode(mode) => {
                        let _ = rustix::fs::fchmod(&folder, Mode::from_bits_truncate(mode as _));
                    }
                },
                Err(error) => {
                    let message = format!("its metadata could not be restored: {}", io::Error::from(error));
                    progress.warning(&Warning { path: shown.display().to_string(), message, incomplete: false });
                }
            }
        }
    }

    /// Opens a directory (the top for an empty path) to look at what is in it; none if it is not there.
    pub fn folder(&self, directory: &[u8]) -> Result<Option<Folder>> {
        if !directory.is_empty() {
            check_path(directory)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        // "." of a directory that was reached without links is that directory.
        let opened = self.beneath.folder(directory).and_then(|at| rustix::fs::openat(at, ".", flags, Mode::empty()));
        match opened.and_then(Folder::new) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.beneath.refused("list", directory, error)),
        }
    }
}

/// Removes what interrupted restores left in a directory, as far as it may be listed.
fn clean(folder: &OwnedFd) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if let Ok(folder) = rustix::fs::openat(folder, ".", flags, Mode::empty()) {
        temporary::clean(folder.as_fd());
    }
}

/// Does it again if another restore, cleaning up, took a temporary name away that was in use: only files can be locked
/// against that.
fn again(mut work: impl FnMut() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    match work() {
        Err(Errno::NOENT) => work(),
        done => done,
    }
}

/// What something is opened with only to set its metadata, without any effect on it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const HOLD: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const HOLD: OFlags = OFlags::NONBLOCK;

#[cfg(not(any(target_os = "macos", target_os = "ios")))]
fn make_special(folder: &OwnedFd, name: &str, kind: &EntryKind) -> rustix::io::Result<()> {
    let (kind, device) = match kind {
        EntryKind::CharDevice(device) => (FileType::CharacterDevice, Some(device)),
        EntryKind::BlockDevice(device) => (FileType::BlockDevice, Some(device)),
        _ => (FileType::Fifo, None),
    };
    let device = device.map_or(0, |device| rustix::fs::makedev(device.major, device.minor));
    rustix::fs::mknodat(folder, name, kind, Mode::RUSR | Mode::WUSR, device)
}

#[cfg(any(target_os = "macos", target_os = "ios"))]
fn make_special(_: &OwnedFd, _: &str, _: &EntryKind) -> rustix::io::Result<()> {
    Err(Errno::NOTSUP)
}
