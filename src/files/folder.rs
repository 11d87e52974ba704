//! An open directory whose entries are looked at, and removed one by one. No link is followed.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::look::names_in;
use super::stat::Seen;

/// An open directory.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    dev: u64,
}

/// Something that lies in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Whether it is a folder, a link or anything else.
    pub kind: FoundKind,
    /// Its length in bytes.
    pub size: u64,
    /// Device number of its file system.
    pub dev: u64,
    /// Its inode number.
    pub inode: u64,
    /// Whether another file system begins here, or the same one is mounted again.
    pub is_border: bool,
}

/// What something is, as far as removing it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundKind {
    /// A regular file.
    File,
    /// A directory.
    Folder,
    /// A socket: `create` saves none.
    Socket,
    /// A link, a pipe or a device.
    Other,
    /// Something that the system has no name for.
    Unknown,
}

impl Folder {
    pub(super) fn new(fd: OwnedFd) -> rustix::io::Result<Self> {
        let dev = Seen::from(rustix::fs::fstat(&fd)?).stat.dev;
        Ok(Self { fd, dev })
    }

    /// Device number of its file system.
    pub fn dev(&self) -> u64 {
        self.dev
    }

    /// The names in it, in the order of a manifest.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = names_in(Dir::read_from(&self.fd)?)?;
        names.sort_unstable();
        Ok(names)
    }

    /// What lies there by this name; none if nothing does.
    pub fn look(&self, name: &[u8]) -> io::Result<Option<Found>> {
        let seen = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Seen::from(stat),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let kind = match seen.kind {
            FileType::RegularFile => FoundKind::File,
            FileType::Directory => FoundKind::Folder,
            FileType::Socket => FoundKind::Socket,
            FileType::Symlink | FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => FoundKind::Other,
            FileType::Unknown => FoundKind::Unknown,
        };
        // Files of an overlay may have another device than their directory.
        let is_border = (kind == FoundKind::Folder && seen.stat.dev != self.dev) || self.is_mount(name);
        let stat = seen.stat;
        Ok(Some(Found { kind, size: stat.size, dev: stat.dev, inode: stat.inode, is_border }))
    }

    /// Whether something is mounted here, even if it is a part of the same file system.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn is_mount(&self, name: &[u8]) -> bool {
        use rustix::fs::{StatxAttributes, StatxFlags};
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        // Where the system cannot say, the device alone decides.
        rustix::fs::statx(&self.fd, name, flags, StatxFlags::TYPE)
            .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn is_mount(&self, _: &[u8]) -> bool {
        false
    }

    /// Whether the file `name` begins so; none if there is no such file. What cannot be read does not
    /// begin with anything.
    pub fn begins_with(&self, name: &[u8], header: &[u8]) -> Option<bool> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return None,
            _ if header.is_empty() => return Some(true),
            _ => {}
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut start = Vec::new();
        let read = rustix::fs::openat(&self.fd, name, flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|fd| std::fs::File::from(fd).take(header.len() as u64).read_to_end(&mut start));
        Some(read.is_ok() && start == header)
    }

    /// Removes something; a directory must be empty. False if it was gone already.
    pub fn remove(&self, name: &[u8], kind: FoundKind) -> io::Result<bool> {
        let flags = if kind == FoundKind::Folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(self.fd.as_fd(), name, flags) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
