//! Giving a restored thing its owner, mode, attributes and times.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::stat::timespec;
use crate::progress::{Progress, Warning};
use crate::snapshot::entry::{FileEntry, Time, Xattr};

/// The bits that make a program run as its owner or group.
const SET_IDS: u32 = 0o6000;

/// What of an entry is set on a thing that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Time,
    xattrs: Vec<Xattr>,
}

impl From<&FileEntry> for Attributes {
    fn from(entry: &FileEntry) -> Self {
        let FileEntry { mode, uid, gid, mtime, .. } = *entry;
        Self { mode: mode & 0o7777, uid, gid, mtime, xattrs: entry.xattrs.clone() }
    }
}

/// What this process may do and is asked to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    /// Whether set-uid and set-gid bits are restored.
    pub(super) set_ids: bool,
    /// Whether this is root, who may give files away.
    pub(super) root: bool,
}

/// A thing on the file system, in such ways as the system's calls want it.
pub(super) enum Thing<'t> {
    /// A file or directory that is open.
    Open(BorrowedFd<'t>),
    /// Anything, held by a descriptor that allows nothing but to name it (`O_PATH`).
    Held(BorrowedFd<'t>),
    /// A symbolic link, held likewise: it has no mode.
    Link(BorrowedFd<'t>),
}

impl Thing<'_> {
    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Open(fd) | Self::Held(fd) | Self::Link(fd) => fd.as_fd(),
        }
    }

    /// The same as a path; what is in `/proc` leads to the very thing that is held, whatever its name is now.
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd().as_raw_fd()))
    }

    fn set_owner(&self, uid: Option<Uid>, gid: Option<Gid>) -> rustix::io::Result<()> {
        match self {
            Self::Open(fd) => rustix::fs::fchown(fd, uid, gid),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Held(fd) | Self::Link(fd) => rustix::fs::chownat(fd, "", uid, gid, AtFlags::EMPTY_PATH),
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Self::Held(_) | Self::Link(_) => rustix::fs::chownat(CWD, self.path(), uid, gid, AtFlags::empty()),
        }
    }

    fn set_mode(&self, mode: Mode) -> rustix::io::Result<()> {
        match self {
            Self::Open(fd) => rustix::fs::fchmod(fd, mode),
            Self::Held(_) => rustix::fs::chmod(self.path(), mode),
            Self::Link(_) => Ok(()),
        }
    }

    fn set_xattr(&self, xattr: &Xattr) -> rustix::io::Result<()> {
        match self {
            Self::Open(fd) => rustix::fs::fsetxattr(fd, xattr.name.as_slice(), &xattr.value, XattrFlags::empty()),
            _ => rustix::fs::setxattr(self.path(), xattr.name.as_slice(), &xattr.value, XattrFlags::empty()),
        }
    }

    fn set_times(&self, times: &Timestamps) -> rustix::io::Result<()> {
        match self {
            Self::Open(fd) => rustix::fs::futimens(fd, times),
            _ => rustix::fs::utimensat(CWD, self.path(), times, AtFlags::empty()),
        }
    }
}

impl Attributes {
    /// Sets everything that this process may set; whatever cannot be set is a warning about `shown`. Tells whether
    /// set-id bits were left out.
    ///
    /// The order matters: giving a file away takes its set-id bits and capabilities, attributes can be set only while
    /// the mode allows to write, and everything changes the times.
    pub(super) fn set(&self, thing: &Thing<'_>, means: Means, shown: &Path, progress: &dyn Progress) -> bool {
        let warn = |what: &str, error: Errno| {
            let message = format!("{what} could not be restored: {}", io::Error::from(error));
            progress.warning(&Warning { path: shown.display().to_string(), message, incomplete: false });
        };
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let owned = match thing.set_owner(Some(uid), Some(gid)) {
            Ok(()) => true,
            Err(error) if means.root => {
                warn("the owner", error);
                false
            }
            // Others own what they restore, as they would expect; the group is kept where they belong to it.
            Err(_) => {
                let _ = thing.set_owner(None, Some(gid));
                false
            }
        };
        // An ACL changes the mode too, so it comes after the others.
        let (acls, others): (Vec<_>, Vec<_>) = self.xattrs.iter().partition(|xattr| xattr.name.starts_with(b"system."));
        for xattr in others.into_iter().chain(acls) {
            match thing.set_xattr(xattr) {
                Ok(()) => {}
                // Only root may set what is in trusted.* and security.*.
                Err(Errno::PERM) if !means.root && !xattr.name.starts_with(b"user.") => {}
                Err(error) => warn(&format!("attribute {}", String::from_utf8_lossy(&xattr.name)), error),
            }
        }
        // A program that runs as its owner must not run as somebody else.
        let keeps_ids = means.set_ids && owned;
        let mode = if keeps_ids { self.mode } else { self.mode & !SET_IDS };
        if let Err(error) = thing.set_mode(Mode::from_bits_truncate(mode as _)) {
            warn("the mode", error);
        }
        let mtime = timespec(self.mtime);
        if let Err(error) = thing.set_times(&Timestamps { last_access: mtime, last_modification: mtime }) {
            warn("the times", error);
        }
        mode != self.mode && !matches!(thing, Thing::Link(_))
    }
}
