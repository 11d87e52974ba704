//! Paths of any length. The system takes at most 4095 bytes at once, but directories may lie deeper.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Result;

/// How much of a path is given to the system at once. A component has at most 255 bytes.
const PIECE: usize = 3500;

/// What directories are opened with that are only passed through: on Linux this asks for no permission to list them.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const THROUGH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const THROUGH: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// A path as the system takes it: an open directory and a way from there.
pub(super) struct Place<'p> {
    folder: Option<OwnedFd>,
    rest: &'p Path,
}

impl<'p> Place<'p> {
    /// Opens as many directories on the way as needed; none for a path of usual length.
    pub(super) fn of(path: &'p Path) -> Result<Self> {
        let mut place = Self { folder: None, rest: path };
        while let Some((piece, rest)) = cut(place.rest.as_os_str().as_bytes()) {
            let folder = rustix::fs::openat(place.folder(), piece, THROUGH, Mode::empty())?;
            place = Self { folder: Some(folder), rest: Path::new(OsStr::from_bytes(rest)) };
        }
        Ok(place)
    }

    /// From where the rest of the way leads on.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_ref().map_or(CWD, |folder| folder.as_fd())
    }

    /// The rest of the way.
    pub(super) fn rest(&self) -> &'p Path {
        self.rest
    }

    /// The same as one path, for system calls that take nothing else.
    pub(super) fn path(&self) -> Cow<'p, Path> {
        match &self.folder {
            None => Cow::Borrowed(self.rest),
            Some(folder) => Cow::Owned(through_fd(folder.as_fd(), self.rest.as_os_str().as_bytes())),
        }
    }
}

/// The path of something in an open directory, for system calls that take paths only.
pub(super) fn through_fd(folder: BorrowedFd<'_>, name: &[u8]) -> PathBuf {
    let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

/// Cuts a path that is too long at a `/`: the first piece, and what follows.
pub(super) fn cut(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let piece = path.get(..PIECE)?;
    let slash = piece.iter().rposition(|byte| *byte == b'/').filter(|at| *at > 0)?;
    Some((&path[..slash], &path[slash + 1..]))
}
