//! Opening files to read them.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::place::Place;
use super::stat::{FileStat, Seen};
use crate::error::{Error, IoContext, Result};

/// Opens a regular file to read it from beginning to end. The path may be longer than the system takes at once.
///
/// A symbolic link in its place is not followed, a pipe is not waited for, and the time of the last access is left
/// alone where that is permitted. Reading never waits: some files of the system call themselves regular, and have bytes
/// only when there is news. Fails for anything that is no regular file.
pub fn open_for_reading(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open_quietly(path, flags).when("open", path)?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).map_err(io::Error::from).when("stat", path)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(Error::io("open", path, io::Error::other("it is no regular file any more")));
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    Ok(file)
}

/// The stat of an open file. Equal before and after reading means that it was not written meanwhile.
pub fn stat_of(file: &File) -> io::Result<FileStat> {
    Ok(Seen::from(rustix::fs::fstat(file)?).stat)
}

/// Opens without touching the time of the last access; only the owner may ask for that, so others touch it.
pub(super) fn open_quietly(path: &Path, flags: OFlags) -> io::Result<File> {
    let place = Place::of(path)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    match rustix::fs::openat(place.folder(), place.rest(), flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => {}
        opened => return Ok(opened?.into()),
    }
    Ok(rustix::fs::openat(place.folder(), place.rest(), flags, Mode::empty())?.into())
}
