//! Reaching the folders of a repository. Below its root no symbolic link is followed: what a link leads to is not the
//! repository's, and must be neither read as a part of it nor deleted.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Opens a folder `relative` to the root, which may itself be reached by links.
///
/// # Errors
/// `NotFound`; `NotADirectory` if something else lies in its place; any other kind for a link, which is an error and
/// never counts as a missing folder: what it leads to may hold all the objects that would seem to be lost.
pub(super) fn open(root: &Path, relative: &Path) -> io::Result<File> {
    let last = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut names = relative.components().peekable();
    let flags = if names.peek().is_none() { last } else { through() };
    let mut folder = File::from(rustix::fs::open(root, flags, Mode::empty())?);
    while let Some(name) = names.next() {
        let flags = if names.peek().is_none() { last } else { through() };
        folder = open_in(&folder, name.as_ref(), flags)?;
    }
    Ok(folder)
}

/// A folder that is only gone through need not be readable.
fn through() -> OFlags {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
}

fn open_in(parent: &File, name: &Path, flags: OFlags) -> io::Result<File> {
    match rustix::fs::openat(parent, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(folder) => Ok(folder.into()),
        Err(error @ (Errno::LOOP | Errno::NOTDIR)) => match look(parent, name) {
            Ok(Some(stat)) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Err(io::Error::other(
                "it is a symbolic link in the place of a folder of the repository, and none is followed there \
                 (a bind mount does the same)",
            )),
            _ => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// What lies under a name in a folder, if anything does. Of a link, the link itself.
pub(super) fn look(folder: &File, name: impl AsRef<Path>) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(folder, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether it is a regular file: only such a one is an object.
pub(super) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

/// Whether it is a folder.
pub(super) fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// When it was last written, in nanoseconds.
pub(super) fn modified(stat: &Stat) -> i64 {
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// The names in a folder, as they are found.
pub(super) fn names(folder: &File) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name => names.push(OsString::from_vec(name.to_vec())),
        }
    }
    Ok(names)
}
