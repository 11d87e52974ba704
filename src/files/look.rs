//! Looking at one thing of the file system: its stat, its attributes, what is in it.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags};

use super::open::open_quietly;
use super::place::Place;
use super::stat::Seen;
use super::xattrs::{self, Unread};
use crate::snapshot::entry::{Device, Xattr};

/// Something that is being looked at.
#[derive(Debug, Clone)]
pub(super) struct Here {
    pub(super) tree_path: Vec<u8>,
    pub(super) fs_path: PathBuf,
    /// Whether a symbolic link stands for what it points to.
    pub(super) follow: bool,
}

/// How often what changes while it is looked at is looked at again.
const TRIES: u32 = 3;

impl Here {
    /// The stat of the thing itself, not of what a link points to, unless links are followed.
    pub(super) fn look(&self) -> rustix::io::Result<Seen> {
        let place = Place::of(&self.fs_path)?;
        let flags = if self.follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        rustix::fs::statat(place.folder(), place.rest(), flags).map(Seen::from)
    }

    /// The attributes that belong to a stat. Where another thing took the name meanwhile, both are taken of that one.
    ///
    /// Of a regular file it is not asked again. It is either read, and then all of its row comes from that descriptor; or stat
    /// and attributes are both those of the parent's row, where they belonged together.
    pub(super) fn described(&self, mut seen: Seen) -> (Seen, Vec<Xattr>, Vec<Unread>) {
        let mut described = self.xattrs();
        if seen.kind == FileType::RegularFile {
            return (seen, described.0, described.1);
        }
        for _ in 0..TRIES {
            match self.look() {
                Ok(now) if now.kind == seen.kind && now.stat != seen.stat => {
                    seen = now;
                    described = self.xattrs();
                }
                _ => break,
            }
        }
        (seen, described.0, described.1)
    }

    fn xattrs(&self) -> (Vec<Xattr>, Vec<Unread>) {
        let read = Place::of(&self.fs_path).and_then(|place| xattrs::read(&place.path(), self.follow));
        read.unwrap_or_else(|error| (Vec::new(), vec![(b"extended attributes".to_vec(), error)]))
    }
}

pub(super) fn device(seen: &Seen) -> Device {
    Device { major: rustix::fs::major(seen.rdev), minor: rustix::fs::minor(seen.rdev) }
}

pub(super) fn is_link(path: &Path) -> bool {
    let place = Place::of(path);
    let stat = place.and_then(|at| rustix::fs::statat(at.folder(), at.rest(), AtFlags::SYMLINK_NOFOLLOW));
    stat.is_ok_and(|stat| Seen::from(stat).kind == FileType::Symlink)
}

pub(super) fn link_target(path: &Path) -> rustix::io::Result<Vec<u8>> {
    let place = Place::of(path)?;
    Ok(rustix::fs::readlinkat(place.folder(), place.rest(), Vec::new())?.into_bytes())
}

/// The names in a directory, and what they are of as far as the directory itself says so; unless links are followed, it must
/// be one itself.
pub(super) fn listed(path: &Path, follow: bool) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, !follow);
    let folder = open_quietly(path, flags)?;
    entries_in(rustix::fs::Dir::new(folder)?)
}

fn entries_in(folder: rustix::fs::Dir) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut entries = Vec::new();
    for entry in folder {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push((name.to_vec(), entry.file_type()));
        }
    }
    Ok(entries)
}

/// The names in an open directory.
pub(super) fn names_in(folder: rustix::fs::Dir) -> io::Result<Vec<Vec<u8>>> {
    Ok(entries_in(folder)?.into_iter().map(|(name, _)| name).collect())
}
