//! Paths of a manifest beneath one directory: whatever they say and whatever lies there, nothing outside is reached.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::place::{THROUGH, cut};
use crate::error::{Error, Result};

/// The longest name that file systems take.
const LONGEST_COMPONENT: usize = 255;
/// More than any walk meets. A manifest with longer paths was made to do harm.
pub(super) const LONGEST_PATH: usize = 1 << 16;

/// Refuses a manifest path that is no relative path of plain names: [`Error::UnsafePath`].
pub fn check_path(path: &[u8]) -> Result<()> {
    let refused = |reason: &str| {
        // Enough of a huge one to recognise it by.
        let path = String::from_utf8_lossy(path.get(..1000).unwrap_or(path)).into_owned();
        Err(Error::UnsafePath { path, reason: reason.into() })
    };
    match path {
        [] => return refused("it is empty"),
        [b'/', ..] => return refused("it is absolute"),
        _ if path.len() > LONGEST_PATH => return refused("it is too long"),
        _ if path.contains(&0) => return refused("it holds a NUL"),
        _ => {}
    }
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" => return refused("it has an empty component"),
            b"." | b".." => return refused("it has a component . or .."),
            _ if component.len() > LONGEST_COMPONENT => return refused("a component is too long"),
            _ => {}
        }
    }
    Ok(())
}

/// A directory that is held open, and beneath which paths are resolved without following a single link.
#[derive(Debug)]
pub(super) struct Beneath {
    root: OwnedFd,
    path: PathBuf,
    /// Whether the system lacks `openat2`, so that each component is opened by itself. Learned by trying.
    stepwise: AtomicBool,
}

impl Beneath {
    /// The directory itself is the user's choice, and links on the way to it are followed.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root, path: path.to_path_buf(), stepwise: AtomicBool::new(false) })
    }

    /// Pretends that the system has no `openat2`.
    #[cfg(test)]
    pub(super) fn without_openat2(path: &Path) -> io::Result<Self> {
        let beneath = Self::new(path)?;
        beneath.stepwise.store(true, Ordering::Relaxed);
        Ok(beneath)
    }

    /// A path as people see it.
    pub(super) fn shown(&self, path: &[u8]) -> PathBuf {
        match path.is_empty() {
            true => self.path.clone(),
            false => self.path.join(OsStr::from_bytes(path)),
        }
    }

    /// Opens a directory to pass through it. A link on the way, or in its place, is [`Errno::LOOP`].
    pub(super) fn folder(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let mut folder = rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?;
        let mut rest = path;
        while let Some((piece, after)) = cut(rest) {
            folder = self.step(folder.as_fd(), piece)?;
            rest = after;
        }
        match rest.is_empty() {
            true => Ok(folder),
            false => self.step(folder.as_fd(), rest),
        }
    }

    /// Opens a directory some components further down.
    pub(super) fn step(&self, from: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if !self.stepwise.load(Ordering::Relaxed) {
            use rustix::fs::ResolveFlags;
            let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(from, path, THROUGH, Mode::empty(), within) {
                // Some sandboxes forbid what they do not know, instead of saying that they do not know it.
                Err(Errno::NOSYS | Errno::PERM) => self.stepwise.store(true, Ordering::Relaxed),
                opened => return opened,
            }
        }
        let mut folder: Option<OwnedFd> = None;
        for component in path.split(|byte| *byte == b'/') {
            let at = folder.as_ref().map_or(from, |folder| folder.as_fd());
            folder = Some(open_one(at, component)?);
        }
        folder.ok_or(Errno::INVAL)
    }

    /// What a failed step means to people.
    pub(super) fn refused(&self, action: &'static str, path: &[u8], error: Errno) -> Error {
        match error {
            Errno::LOOP | Errno::XDEV => Error::UnsafePath {
                path: String::from_utf8_lossy(path).into_owned(),
                reason: format!("a symbolic link in {} stands in its way", self.path.display()),
            },
            error => Error::io(action, self.shown(path), error.into()),
        }
    }

    /// Opens a file for reading; none if there is no such file. Anything else in its place is an error.
    pub(super) fn open_file(&self, path: &[u8]) -> Result<Option<File>> {
        let (above, name) = split_parent(path);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = self.folder(above).and_then(|above| rustix::fs::openat(above, name, flags, Mode::empty()));
        match opened {
            Ok(file) => match rustix::fs::fstat(&file).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
                Ok(FileType::RegularFile) => Ok(Some(file.into())),
                Ok(_) => Err(Error::io("open", self.shown(path), io::Error::other("it is no regular file"))),
                Err(error) => Err(Error::io("stat", self.shown(path), error.into())),
            },
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.refused("open", path, error)),
        }
    }
}

/// Opens one directory in another, never by a link.
fn open_one(folder: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    match rustix::fs::openat(folder, name, THROUGH | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::NOTDIR) => {
            let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => Err(Errno::LOOP),
                _ => Err(Errno::NOTDIR),
            }
        }
        opened => opened,
    }
}

/// Parts a path into its directory (empty for the top) and its last component.
pub(super) fn split_parent(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_each_refused() {
        let long = [b'x'; 256];
        let endless = b"x/".repeat(40_000);
        let hostile: [&[u8]; 14] = [
            b"",
            b"/",
            b"/etc/passwd",
            b"..",
            b"../x",
            b"a/../b",
            b"a/..",
            b".",
            b"./a",
            b"a/./b",
            b"a//b",
            b"a/",
            b"a\0b",
            &long,
        ];
        for path in hostile.into_iter().chain([endless.strip_suffix(b"/").unwrap()]) {
            assert!(matches!(check_path(path), Err(Error::UnsafePath { .. })), "{:?}", path.get(..20).unwrap_or(path));
        }
        for path in [&b"a"[..], b"a/b", b"...", b"..a/.b", b"caf\xe9", b"new\nline", &long[1..]] {
            assert!(check_path(path).is_ok());
        }
    }

    #[test]
    fn links_are_refused_with_and_without_openat2() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        std::fs::create_dir(folder.path().join("outside")).unwrap();
        std::fs::write(root.join("file"), b"").unwrap();
        std::os::unix::fs::symlink("../outside", root.join("out")).unwrap();
        std::os::unix::fs::symlink("real", root.join("in")).unwrap();
        std::os::unix::fs::symlink(folder.path(), root.join("real/abs")).unwrap();
        for beneath in [Beneath::new(&root).unwrap(), Beneath::without_openat2(&root).unwrap()] {
            for there in ["", "real", "real/deep"] {
                assert!(beneath.folder(there.as_bytes()).is_ok(), "{there}");
            }
            for (path, error) in [
                ("out", Errno::LOOP),
                ("in", Errno::LOOP),
                ("in/deep", Errno::LOOP),
                ("real/abs", Errno::LOOP),
                ("real/abs/outside", Errno::LOOP),
                ("file", Errno::NOTDIR),
                ("file/x", Errno::NOTDIR),
                ("none", Errno::NOENT),
                ("none/x", Errno::NOENT),
            ] {
                assert_eq!(beneath.folder(path.as_bytes()).unwrap_err(), error, "{path} {beneath:?}");
            }
        }
    }
}
