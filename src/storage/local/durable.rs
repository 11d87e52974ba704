//! The steps that make files and folders last.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::errors::{During, FSYNC};
use crate::storage::{Created, Result};

/// A step on the file system that power loss may undo as long as nothing made it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskStep {
    /// A folder was made.
    MadeFolder(PathBuf),
    /// A file was made and these bytes were written to it.
    Wrote(PathBuf, Vec<u8>),
    /// The bytes of a file were made to last.
    SyncedFile(PathBuf),
    /// A file got another name.
    Renamed(PathBuf, PathBuf),
    /// A file got a further name.
    Linked(PathBuf, PathBuf),
    /// A name was taken away.
    Removed(PathBuf),
    /// The names in a folder were made to last.
    SyncedFolder(PathBuf),
}

/// Sees each step of a backend on the file system, right after it. Tests compute from them what a crash may leave.
pub trait Witness: Send + Sync + fmt::Debug {
    /// This was done.
    fn step(&self, step: DiskStep);
}

/// The file system: all that has to last goes through here.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk(Option<Arc<dyn Witness>>);

impl Disk {
    pub(super) fn watched(witness: Arc<dyn Witness>) -> Self {
        Self(Some(witness))
    }

    fn tell(&self, step: impl FnOnce() -> DiskStep) {
        if let Some(witness) = &self.0 {
            witness.step(step());
        }
    }

    /// Makes the names in an open folder survive power loss.
    pub(super) fn sync_opened(&self, folder: &File, path: &Path) -> io::Result<()> {
        match folder.sync_all() {
            // Some network file systems have no such thing for folders: their names are durable, or nothing can be done.
            Err(error) if [Some(Errno::INVAL), Some(Errno::NOTSUP)].contains(&Errno::from_io_error(&error)) => {}
            synced => synced?,
        }
        self.tell(|| DiskStep::SyncedFolder(path.to_path_buf()));
        Ok(())
    }

    /// Makes a folder of mode 0700, whose whole path is `path`. One that is there already is left as it is.
    pub(super) fn make_folder_in(&self, above: &File, name: &Path, path: &Path) -> io::Result<()> {
        match rustix::fs::mkdirat(above, name, Mode::RWXU) {
            Ok(()) => {
                self.tell(|| DiskStep::MadeFolder(path.to_path_buf()));
                // The umask takes bits away from mkdir; never adds any, so until here no other user can look in.
                Ok(rustix::fs::chmodat(above, name, Mode::RWXU, AtFlags::empty())?)
            }
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a folder and those above it that are missing, durably.
    pub(super) fn make_folders(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        self.make_folders(parent)?;
        let above = open_folder(parent).during("open", parent)?;
        self.make_folder_in(&above, Path::new(path.file_name().unwrap_or_default()), path).during("create", path)?;
        self.sync_opened(&above, parent).during(FSYNC, parent)
    }

    /// Takes a name in a folder away; `path` is the whole of it.
    pub(super) fn remove(&self, folder: &File, name: &Path, path: &Path) -> rustix::io::Result<()> {
        rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
        self.tell(|| DiskStep::Removed(path.to_path_buf()));
        Ok(())
    }
}

/// Opens a folder above or at the root, where links are followed.
fn open_folder(path: &Path) -> io::Result<File> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// Objects from this length on that are read whole are not left in the memory of the system: a check that goes by would drive out
/// of it what other programs work with.
///
/// What is written stays: the next night and a restore read parts of it, and its pages are clean, so the system can take them at once.
const LARGE: u64 = 1 << 20;

/// Tells the system that the pages of a large file will not be asked for again soon. It may do as it likes.
pub(super) fn forget_pages(file: &File, length: u64) {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    if length >= LARGE {
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let _ = (file, length, LARGE);
}

/// A folder that is open, and where it lies.
pub(super) struct Folder<'p> {
    pub(super) file: File,
    pub(super) path: &'p Path,
}

/// Whether a [`TempFile`] may be called so.
pub(super) fn is_temporary(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

/// A file in `tmp/` with its bytes on the disk and no name of its own yet. Removed when dropped.
pub(super) struct TempFile<'d> {
    disk: &'d Disk,
    tmp: Folder<'d>,
    name: String,
    file: File,
}

impl<'d> TempFile<'d> {
    /// Writes a new file for the object at `target` and fsyncs it. After an error nothing is left; above all a failed fsync
    /// is final, since the system may hold the pages that it could not write for clean from then on.
    pub(super) fn write(disk: &'d Disk, tmp: Folder<'d>, bytes: &[u8], target: &Path) -> Result<Self> {
        let random = [RandomState::new().hash_one(1), RandomState::new().hash_one(2)];
        let name = format!("{:016x}{:016x}", random[0], random[1]);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&tmp.file, &name, flags, Mode::RUSR | Mode::WUSR).during("write", target)?;
        let file = File::from(file);
        let mut written = Self { disk, tmp, name, file };
        rustix::fs::fchmod(&written.file, Mode::RUSR | Mode::WUSR).during("write", target)?;
        written.file.write_all(bytes).during("write", target)?;
        disk.tell(|| DiskStep::Wrote(written.path(), bytes.to_vec()));
        written.file.sync_all().during(FSYNC, target)?;
        disk.tell(|| DiskStep::SyncedFile(written.path()));
        Ok(written)
    }

    fn path(&self) -> PathBuf {
        self.tmp.path.join(&self.name)
    }

    /// Gives the file its name, unless the name is taken. `by_link` says, and learns, that the file system cannot
    /// rename without replacing.
    pub(super) fn publish(self, folder: &Folder<'_>, name: &str, by_link: &AtomicBool) -> io::Result<Created> {
        if !by_link.load(Ordering::Relaxed) {
            match rustix::fs::renameat_with(&self.tmp.file, &self.name, &folder.file, name, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    self.disk.tell(|| DiskStep::Renamed(self.path(), folder.path.join(name)));
                    return Ok(self.published());
                }
                Err(Errno::EXIST) => return Ok(Created::Exists),
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => by_link.store(true, Ordering::Relaxed),
                Err(error) => return Err(error.into()),
            }
        }
        match rustix::fs::linkat(&self.tmp.file, &self.name, &folder.file, name, AtFlags::empty()) {
            Ok(()) => {
                self.disk.tell(|| DiskStep::Linked(self.path(), folder.path.join(name)));
                Ok(Created::New)
            }
            // A network file system that lost its first answer tries again, and then meets its own work.
            Err(Errno::EXIST) => match self.file.metadata()?.nlink() {
                2 => Ok(Created::New),
                _ => Ok(Created::Exists),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// There is nothing left in `tmp/` to remove.
    fn published(mut self) -> Created {
        self.name.clear();
        Created::New
    }
}

impl Drop for TempFile<'_> {
    fn drop(&mut self) {
        // What cannot be removed is garbage in tmp/ and harms nothing.
        if !self.name.is_empty() && rustix::fs::unlinkat(&self.tmp.file, &self.name, AtFlags::empty()).is_ok() {
            self.disk.tell(|| DiskStep::Removed(self.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_exclusive_renames_is_served_by_links() {
        let folder = tempfile::tempdir().unwrap();
        let by_link = AtomicBool::new(true);
        let (disk, path) = (Disk::default(), folder.path());
        let open = || Folder { file: open_folder(path).unwrap(), path };
        let publish = |bytes: &[u8]| {
            TempFile::write(&disk, open(), bytes, path).unwrap().publish(&open(), "x", &by_link).unwrap()
        };
        assert_eq!(publish(b"first"), Created::New);
        assert_eq!(publish(b"second"), Created::Exists);
        assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a file stayed in tmp/");
    }

    #[test]
    fn a_file_that_was_never_published_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, path) = (Disk::default(), folder.path());
        let tmp = Folder { file: open_folder(path).unwrap(), path };
        drop(TempFile::write(&disk, tmp, b"bytes", path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
