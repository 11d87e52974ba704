//! Where a snapshot is restored to. A directory of the local file system is one such target ([`Target`]); an object store, or
//! a map in memory, is another.

use std::io::Read;
use std::path::PathBuf;

use super::{Existing, FileWriter, Overwrite, Target};
use crate::error::Result;
use crate::progress::{Progress, Warning};
use crate::snapshot::entry::FileEntry;

/// Something that files can be restored into. It is used by several threads at once.
///
/// Paths are those of a manifest: components between slashes, below the target. They come from a snapshot that may be forged:
/// whatever they say, nothing outside of the target may be touched.
pub trait RestoreTarget: Send + Sync {
    /// What it can do.
    fn abilities(&self) -> TargetAbilities;

    /// Where a path comes to lie, for messages.
    fn shown(&self, path: &[u8]) -> PathBuf;

    /// What is there at this path already.
    ///
    /// # Errors
    /// If that cannot be found out, or the path leads out of the target.
    fn existing(&self, path: &[u8]) -> Result<Option<Existing>>;

    /// Whether the entry is to be written at this path. To be asked before anything but a directory is made.
    ///
    /// # Errors
    /// As of [`existing`](Self::existing).
    fn wants(&self, path: &[u8], entry: &FileEntry, overwrite: Overwrite) -> Result<bool> {
        Ok(overwrite.writes(self.existing(path)?.as_ref(), entry))
    }

    /// Brings the metadata of a file up to date whose content is left as it is. Returns whether there was anything to do. On a
    /// dry run nothing is changed.
    ///
    /// # Errors
    /// As of [`existing`](Self::existing).
    fn renew(&self, _path: &[u8], _entry: &FileEntry, _dry_run: bool, _progress: &dyn Progress) -> Result<bool> {
        Ok(false)
    }

    /// Called once, before anything is made.
    fn prepare(&self) {}

    /// Begins a regular file; `sparse` if blocks of zeros are to take no room. `entry` is what is known of it by now: of size 0 and
    /// without content where other bytes may be written than those that were saved. It cannot be seen before it is finished.
    ///
    /// # Errors
    /// If it cannot be made, or the path leads out of the target.
    fn begin(&self, path: &[u8], entry: &FileEntry, sparse: bool) -> Result<Box<dyn TargetFile + '_>>;

    /// Makes a directory, or takes the one that is there. It has the metadata of its entry by the end of
    /// [`finish`](Self::finish). Called only where there are directories.
    ///
    /// # Errors
    /// If something else is in its place, or the path leads out of the target.
    fn make_directory(&self, path: &[u8], entry: &FileEntry) -> Result<()>;

    /// Makes a directory that was not asked for, and has something in it that was.
    ///
    /// # Errors
    /// As of [`make_directory`](Self::make_directory).
    fn make_parent(&self, path: &[u8], entry: &FileEntry) -> Result<()> {
        self.make_directory(path, entry)
    }

    /// Lets this process write into the directories above a path again. Another process that restores into the same target may have
    /// given them a mode that forbids it, since it was done. They get their metadata at the end, as all others.
    fn open_again(&self, _path: &[u8]) {}

    /// Makes what has no content of its own: a symbolic link, a pipe or a device. False, with a warning, if there is no such
    /// thing here.
    ///
    /// # Errors
    /// If it cannot be made, or the path leads out of the target.
    fn make_node(&self, path: &[u8], entry: &FileEntry, progress: &dyn Progress) -> Result<bool> {
        let (path, kind) = (self.shown(path).display().to_string(), entry.kind.name());
        progress.warning(&Warning { path, message: format!("there can be no {kind} here"), incomplete: false });
        Ok(false)
    }

    /// Makes `path` another name of the file at `original`, which was finished before. Called only where files can have
    /// several names.
    ///
    /// # Errors
    /// If it cannot be made, or one of the paths leads out of the target.
    fn hard_link(&self, path: &[u8], original: &[u8]) -> Result<()>;

    /// Called once, when nothing is made any more, also where the restore failed. What cannot be done is a warning.
    fn finish(&self, _progress: &dyn Progress) {}

    /// How many programs did not get set-id bits or capabilities that they had in the snapshot.
    fn set_ids_dropped(&self) -> u64 {
        0
    }
}

/// A regular file that is being written. Dropping it gives it up: nothing remains.
pub trait TargetFile {
    /// Writes the next bytes.
    ///
    /// # Errors
    /// If they cannot be written.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// How many bytes it has by now.
    fn written(&self) -> u64;

    /// Sets the metadata of its entry, and names the file, in place of whatever has the name. What comes back reads the
    /// file as it is there now, from its beginning.
    ///
    /// # Errors
    /// [`Error::NotRestored`](crate::error::Error::NotRestored) if the entry is of another size than what was written, and if
    /// the file cannot take its place.
    fn finish(self: Box<Self>, entry: &FileEntry, progress: &dyn Progress) -> Result<Box<dyn Read>>;
}

/// What a target can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TargetAbilities {
    /// Directories are things of their own. Else they are there as long as something is in them, and none are made.
    pub directories: bool,
    /// A file can have several names. Else each is written as a file of its own.
    pub hard_links: bool,
}

impl TargetAbilities {
    /// Files by name, and nothing else.
    pub const FILES_ONLY: Self = Self { directories: false, hard_links: false };

    /// All that a file system can.
    pub const ALL: Self = Self { directories: true, hard_links: true };
}

impl RestoreTarget for Target {
    fn abilities(&self) -> TargetAbilities {
        TargetAbilities::ALL
    }

    fn shown(&self, path: &[u8]) -> PathBuf {
        Self::shown(self, path)
    }

    fn existing(&self, path: &[u8]) -> Result<Option<Existing>> {
        Self::existing(self, path)
    }

    fn wants(&self, path: &[u8], entry: &FileEntry, overwrite: Overwrite) -> Result<bool> {
        self.wants_by(overwrite, path, entry)
    }

    fn renew(&self, path: &[u8], entry: &FileEntry, dry_run: bool, progress: &dyn Progress) -> Result<bool> {
        Self::renew(self, path, entry, dry_run, progress)
    }

    fn prepare(&self) {
        self.clean_top();
    }

    fn begin(&self, path: &[u8], entry: &FileEntry, sparse: bool) -> Result<Box<dyn TargetFile + '_>> {
        Ok(Box::new(LocalFile { writer: self.begin_file(path, entry.size, sparse)?, sparse }))
    }

    fn make_directory(&self, path: &[u8], entry: &FileEntry) -> Result<()> {
        Self::make_directory(self, path, Some(entry))
    }

    fn make_parent(&self, path: &[u8], entry: &FileEntry) -> Result<()> {
        Self::make_parent(self, path, entry)
    }

    fn open_again(&self, path: &[u8]) {
        Self::open_again(self, path);
    }

    fn make_node(&self, path: &[u8], entry: &FileEntry, progress: &dyn Progress) -> Result<bool> {
        Self::make_node(self, path, entry, progress)
    }

    fn hard_link(&self, path: &[u8], original: &[u8]) -> Result<()> {
        Self::hard_link(self, path, original)
    }

    fn finish(&self, progress: &dyn Progress) {
        self.finish_directories(progress);
    }

    fn set_ids_dropped(&self) -> u64 {
        self.dropped_set_ids()
    }
}

/// A file of the local file system.
struct LocalFile {
    writer: FileWriter,
    sparse: bool,
}

impl TargetFile for LocalFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.sparse { self.writer.write_sparse(bytes) } else { self.writer.write(bytes) }
    }

    fn written(&self) -> u64 {
        self.writer.written()
    }

    fn finish(self: Box<Self>, entry: &FileEntry, progress: &dyn Progress) -> Result<Box<dyn Read>> {
        Ok(Box::new(self.writer.finish_open(entry, progress)?))
    }
}
