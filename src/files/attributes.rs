//! Giving a restored thing its owner, mode, attributes and times.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Gid, Mode, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::stat::{Seen, timespec};
use super::xattrs;
use crate::progress::{Progress, Warning};
use crate::snapshot::entry::{EntryKind, FileEntry, Time, Xattr};

/// The bits that make a program run as its owner or group.
const SET_IDS: u32 = 0o6000;
/// The attribute that grants a program rights of root.
const CAPABILITY: &[u8] = b"security.capability";
/// The attribute that grants others access, beside the mode.
const ACCESS_ACL: &[u8] = b"system.posix_acl_access";
/// What file systems keep for themselves among the attributes that root sees.
const BOOKKEEPING: [&[u8]; 5] =
    [b"trusted.overlay.", b"trusted.glusterfs.", b"trusted.gfid", b"trusted.afr.", b"trusted.SGI_"];

/// What of an entry is set on a thing that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    directory: bool,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Time,
    xattrs: Vec<Xattr>,
}

impl From<&FileEntry> for Attributes {
    fn from(entry: &FileEntry) -> Self {
        let FileEntry { mode, uid, gid, mtime, .. } = *entry;
        let directory = entry.kind == EntryKind::Directory;
        Self { directory, mode: mode & 0o7777, uid, gid, mtime, xattrs: entry.xattrs.clone() }
    }
}

/// What this process may do and is asked to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    /// Whether programs get back the set-uid and set-gid bits and the capabilities that they had.
    pub(super) set_ids: bool,
    /// Whether this is root, which may change the owner of files.
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
    pub(super) fn path(&self) -> PathBuf {
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

    /// The names of its attributes; none where they cannot be read.
    fn xattrs(&self) -> Vec<Vec<u8>> {
        let names = match self {
            Self::Open(fd) => xattrs::filled(|buffer| rustix::fs::flistxattr(fd, buffer)),
            Self::Held(_) => xattrs::filled(|buffer| rustix::fs::listxattr(self.path(), buffer)),
            // A link inherits nothing, and has no mode.
            Self::Link(_) => return Vec::new(),
        };
        xattrs::split(&names.unwrap_or_default()).map(<[u8]>::to_vec).collect()
    }

    /// Its attributes, sorted by name, as far as they can be read.
    fn attributes(&self) -> Vec<Xattr> {
        match self {
            Self::Link(_) => Vec::new(),
            // What is in `/proc` leads to the thing itself.
            _ => xattrs::read(&self.path(), true).unwrap_or_default().0,
        }
    }

    fn remove_xattr(&self, name: &[u8]) -> rustix::io::Result<()> {
        match self {
            Self::Open(fd) => rustix::fs::fremovexattr(fd, name),
            _ => rustix::fs::removexattr(self.path(), name),
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
    /// Whether a file that is there has other metadata than this, as far as this process can set it. A mode or a capability
    /// that is there as in the snapshot does not differ, though restoring would not give it.
    pub(super) fn differ(&self, thing: &Thing<'_>, seen: &Seen, means: Means) -> bool {
        let same_owner = (seen.uid, seen.gid) == (self.uid, self.gid);
        let mine = means.root || seen.uid == rustix::process::geteuid().as_raw();
        let may_have = |gid| means.root || (mine && is_own_group(gid));
        let owner_differs = (means.root && !same_owner) || (seen.gid != self.gid && may_have(self.gid));
        let privileged = means.set_ids && (means.root || same_owner);
        let mode = if privileged { self.mode } else { self.mode & !SET_IDS };
        let mode_differs = seen.mode != mode && seen.mode != self.mode;
        let there = thing.attributes();
        let matters = |xattr: &&Xattr| {
            is_restorable(&xattr.name)
                && (xattr.name != CAPABILITY || privileged)
                && (means.root || xattr.name.starts_with(b"user.") || xattr.name.starts_with(b"system."))
        };
        let xattrs_differ = there.iter().filter(matters).ne(self.xattrs.iter().filter(matters));
        owner_differs || mode_differs || xattrs_differ || self.has_other_capability(thing)
    }

    /// Whether a file that is there has a capability that the snapshot does not have like this.
    pub(super) fn has_other_capability(&self, thing: &Thing<'_>) -> bool {
        let of = |xattrs: &[Xattr]| xattrs.iter().find(|xattr| xattr.name == CAPABILITY).cloned();
        let there = of(&thing.attributes());
        there.is_some() && there != of(&self.xattrs)
    }

    /// Sets everything that this process may set; whatever cannot be set is a warning about `shown`. Returns whether
    /// set-id bits or capabilities were left out.
    ///
    /// The order matters: giving a file away takes its set-id bits and capabilities, attributes can be set only while
    /// the mode allows to write, and everything changes the times.
    pub(super) fn set(&self, thing: &Thing<'_>, means: Means, shown: &Path, progress: &dyn Progress) -> bool {
        let warn = |what: &str, error: Errno| {
            let message = format!("{what}: {}", io::Error::from(error));
            progress.warning(&Warning { path: shown.display().to_string(), message, incomplete: false });
        };
        let owned = self.set_owner(thing, means, &warn);
        let closed = self.remove_others(thing, &warn);
        // A program that runs as its owner must not run as another user, nor have rights that were not asked for.
        let privileged = means.set_ids && owned == Owned::Both;
        let dropped = self.set_xattrs(thing, means, privileged, &warn);
        // In a directory the bit says which group new files get, and grants no rights.
        let keeps_ids = privileged || (self.directory && owned != Owned::Neither);
        let mode = if keeps_ids { self.mode } else { self.mode & !SET_IDS };
        // An ACL that could not be removed grants others what the mode grants the group.
        let allowed = if closed { mode } else { mode & !0o070 };
        if let Err(error) = thing.set_mode(Mode::from_bits_truncate(allowed as _)) {
            warn("the mode could not be restored", error);
        }
        let mtime = timespec(self.mtime);
        if let Err(error) = thing.set_times(&Timestamps { last_access: mtime, last_modification: mtime }) {
            warn("the times could not be restored", error);
        }
        dropped || (mode != self.mode && !matches!(thing, Thing::Link(_)))
    }

    fn set_owner(&self, thing: &Thing<'_>, means: Means, warn: &dyn Fn(&str, Errno)) -> Owned {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        match thing.set_owner(Some(uid), Some(gid)) {
            Ok(()) => Owned::Both,
            Err(error) if means.root => {
                warn("the owner could not be restored", error);
                Owned::Neither
            }
            // Others own what they restore, as they would expect; the group is kept where they belong to it.
            Err(_) => match thing.set_owner(None, Some(gid)) {
                Ok(()) => Owned::Group,
                Err(_) => Owned::Neither,
            },
        }
    }

    /// Removes attributes and ACLs that the entry does not have: what is new inherits ACLs from its directory, and a
    /// directory may have been there before. False if others still have access by an ACL.
    fn remove_others(&self, thing: &Thing<'_>, warn: &dyn Fn(&str, Errno)) -> bool {
        let mut closed = true;
        for name in thing.xattrs() {
            if !is_restorable(&name) || self.xattrs.iter().any(|xattr| xattr.name == name) {
                continue;
            }
            if name == ACCESS_ACL {
                // Without its ACL, a thing would for a moment grant its group what its ACL granted to all that it named.
                let _ = thing.set_mode(Mode::from_bits_truncate((self.mode & 0o700) as _));
            }
            match thing.remove_xattr(&name) {
                Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
                Err(error) => {
                    closed &= name != ACCESS_ACL;
                    let name = String::from_utf8_lossy(&name).into_owned();
                    warn(&format!("attribute {name} is not in the snapshot, and could not be removed"), error);
                }
            }
        }
        closed
    }

    /// Sets the entry's attributes. Returns whether capabilities were left out.
    fn set_xattrs(&self, thing: &Thing<'_>, means: Means, privileged: bool, warn: &dyn Fn(&str, Errno)) -> bool {
        let mut dropped = false;
        // An ACL changes the mode too, so it comes after the others.
        let (acls, others): (Vec<_>, Vec<_>) = self.xattrs.iter().partition(|xattr| xattr.name.starts_with(b"system."));
        for xattr in others.into_iter().chain(acls) {
            if xattr.name == CAPABILITY && !privileged {
                dropped = true;
                continue;
            }
            match thing.set_xattr(xattr) {
                Ok(()) => {}
                // Only root may set what is in trusted.* and security.*.
                Err(Errno::PERM) if !means.root && !xattr.name.starts_with(b"user.") => {
                    dropped |= xattr.name == CAPABILITY;
                }
                Err(error) => {
                    warn(&format!("attribute {} could not be restored", String::from_utf8_lossy(&xattr.name)), error);
                }
            }
        }
        dropped
    }
}

/// How much of the owner could be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owned {
    Both,
    Group,
    Neither,
}

/// Whether a file that belongs to this process may be given to the group.
fn is_own_group(gid: u32) -> bool {
    let is_it = |group: Gid| group.as_raw() == gid;
    is_it(rustix::process::getegid()) || rustix::process::getgroups().unwrap_or_default().into_iter().any(is_it)
}

/// Whether an attribute belongs to the state of a file that snapshots keep. Labels that the system puts on files
/// (`security.selinux`), and what a file system notes for itself, do not.
fn is_restorable(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"system.posix_acl_")
        || name == CAPABILITY
        || (name.starts_with(b"trusted.") && !BOOKKEEPING.iter().any(|own| name.starts_with(own)))
}
