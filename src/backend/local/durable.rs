//! The steps that make files and folders last.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::backend::Created;
use crate::error::{IoContext, Result};

/// Opens a folder, to fsync it or to name what is in it.
pub(super) fn open_folder(path: &Path) -> io::Result<File> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// Makes the names in the folder survive power loss.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    open_folder(path).and_then(|folder| sync_opened(&folder)).when("fsync", path)
}

/// As [`sync_folder`], for one that is open.
pub(super) fn sync_opened(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        // Some network file systems have no such thing for folders: their names are durable, or nothing can be done.
        Err(error) if [Some(Errno::INVAL), Some(Errno::NOTSUP)].contains(&Errno::from_io_error(&error)) => Ok(()),
        synced => synced,
    }
}

/// Makes a folder of mode 0700. One that is there already is left as it is.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        // The umask takes bits away from mkdir; never adds any, so until here nobody else can look in.
        Ok(()) => Ok(rustix::fs::chmod(path, Mode::RWXU)?),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a folder and those above it that are missing, durably.
pub(super) fn make_folders(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    make_folders(parent)?;
    make_folder(path).when("create", path)?;
    sync_folder(parent)
}

/// A file in `tmp/` with its bytes on the disk and no name of its own yet. Removed when dropped.
pub(super) struct TempFile {
    tmp: File,
    name: String,
    file: File,
}

impl TempFile {
    /// Writes a new file and fsyncs it. After an error nothing is left; above all a failed fsync is final, since the
    /// system may hold the pages that it could not write for clean from then on.
    pub(super) fn write(tmp: File, bytes: &[u8]) -> io::Result<Self> {
        let random = [RandomState::new().hash_one(1), RandomState::new().hash_one(2)];
        let name = format!("{:016x}{:016x}", random[0], random[1]);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&tmp, &name, flags, Mode::RUSR | Mode::WUSR)?);
        let mut written = Self { tmp, name, file };
        rustix::fs::fchmod(&written.file, Mode::RUSR | Mode::WUSR)?;
        written.file.write_all(bytes)?;
        written.file.sync_all()?;
        Ok(written)
    }

    /// Gives the file its name, unless the name is taken. `by_link` says, and learns, that the file system cannot
    /// rename without replacing.
    pub(super) fn publish(self, folder: &File, name: &str, by_link: &AtomicBool) -> io::Result<Created> {
        if !by_link.load(Ordering::Relaxed) {
            match rustix::fs::renameat_with(&self.tmp, &self.name, folder, name, RenameFlags::NOREPLACE) {
                Ok(()) => return Ok(self.published()),
                Err(Errno::EXIST) => return Ok(Created::Exists),
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => by_link.store(true, Ordering::Relaxed),
                Err(error) => return Err(error.into()),
            }
        }
        match rustix::fs::linkat(&self.tmp, &self.name, folder, name, AtFlags::empty()) {
            Ok(()) => Ok(Created::New),
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

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            // What cannot be removed is garbage in tmp/ and harms nothing.
            let _ = rustix::fs::unlinkat(&self.tmp, &self.name, AtFlags::empty());
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
        let open = || open_folder(folder.path()).unwrap();
        let publish = |bytes: &[u8]| TempFile::write(open(), bytes).unwrap().publish(&open(), "x", &by_link).unwrap();
        assert_eq!(publish(b"first"), Created::New);
        assert_eq!(publish(b"second"), Created::Exists);
        assert_eq!(std::fs::read(folder.path().join("x")).unwrap(), b"first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a file stayed in tmp/");
    }

    #[test]
    fn a_file_that_was_never_published_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        drop(TempFile::write(open_folder(folder.path()).unwrap(), b"bytes").unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
