//! Removing what is not in the snapshot, without following a link and without leaving the file system.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::vec::IntoIter;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::{Errno, Result};

use super::source::names_in;
use super::stat::Seen;

/// A directory that is to be removed when all in it is.
struct Level {
    folder: OwnedFd,
    name: Vec<u8>,
    names: IntoIter<Vec<u8>>,
}

/// Removes a file, a link, or a directory with all that is in it; tells how many things that were. Holds a descriptor
/// for each level. A directory where another file system is mounted is an error ([`Errno::BUSY`]).
pub(super) fn remove(folder: BorrowedFd<'_>, name: &[u8]) -> Result<u64> {
    let mut removed = 0;
    let mut levels: Vec<Level> = Vec::new();
    let mut next = Some(name.to_vec());
    loop {
        let at = levels.last().map_or(folder, |level| level.folder.as_fd());
        match next {
            Some(name) => match rustix::fs::unlinkat(at, &name, AtFlags::empty()) {
                Ok(()) => removed += 1,
                Err(Errno::NOENT) => {}
                // What unlink says to a directory: Linux, and POSIX.
                Err(Errno::ISDIR | Errno::PERM) => {
                    let level = enter(at, name)?;
                    levels.push(level);
                }
                Err(error) => return Err(error),
            },
            None => {
                let Some(level) = levels.pop() else { return Ok(removed) };
                let above = levels.last().map_or(folder, |level| level.folder.as_fd());
                rustix::fs::unlinkat(above, &level.name, AtFlags::REMOVEDIR)?;
                removed += 1;
            }
        }
        next = match levels.last_mut() {
            Some(level) => level.names.next(),
            None => return Ok(removed),
        };
    }
}

fn enter(above: BorrowedFd<'_>, name: Vec<u8>) -> Result<Level> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(above, &name, flags, Mode::empty())?;
    let dev = |fd: BorrowedFd<'_>| Ok::<_, Errno>(Seen::from(rustix::fs::fstat(fd)?).stat.dev);
    if dev(folder.as_fd())? != dev(above)? {
        return Err(Errno::BUSY);
    }
    let names = names_of(folder.as_fd())?.into_iter();
    Ok(Level { folder, name, names })
}

/// The names in an open directory.
pub(super) fn names_of(folder: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>> {
    let listing = Dir::read_from(folder)?;
    names_in(listing).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}
