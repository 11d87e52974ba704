//! Room that is kept back. On a disk without a free byte not even the entry can be written that says what may be deleted,
//! so a file `reserve` beside the objects takes some room while there is any, and frees it piece by piece then.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::errors::During;
use super::folders;
use crate::storage::Result;

/// What the file is called. No object is.
pub(super) const RESERVE: &str = "reserve";

/// How much is kept back.
const ALL: u64 = 64 << 10;

/// How much is given back at once: an entry and an index object of a small repository, in the blocks of any usual file
/// system.
const PIECE: u64 = 16 << 10;

fn open(root: &Path, flags: OFlags) -> io::Result<File> {
    let folder = folders::open(root, Path::new(""))?;
    let flags = flags | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&folder, RESERVE, flags, Mode::RUSR | Mode::WUSR)?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is no regular file")),
    }
}

/// Makes the file, or fills it up. Where there is no room for all of it, it stays as it is.
pub(super) fn keep(root: &Path) -> Result<()> {
    let path = root.join(RESERVE);
    let mut file = open(root, OFlags::CREATE | OFlags::APPEND).during("open", &path)?;
    rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR).map_err(io::Error::from).during("restrict access to", &path)?;
    let there = file.metadata().during("stat", &path)?.len();
    if there >= ALL {
        return Ok(());
    }
    let written = file.write_all(&noise(there, ALL)).and_then(|()| file.sync_data());
    if written.is_err() {
        // The last bytes of a disk are not for this.
        file.set_len(there).during("shorten", &path)?;
    }
    written.during("write", path)
}

/// Bytes that no file system compresses away, from this place in the file to that one.
fn noise(from: u64, to: u64) -> Vec<u8> {
    let mut state = from | 1 << 63;
    let next = |_| {
        // An xorshift: not random, and not compressible either.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (from..to).map(next).collect()
}

/// Frees a piece of it. False if nothing is left.
pub(super) fn give_up(root: &Path) -> Result<bool> {
    let path = root.join(RESERVE);
    let file = match open(root, OFlags::empty()) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => return Ok(false),
        file => file.during("open", &path)?,
    };
    let there = file.metadata().during("stat", &path)?.len();
    if there == 0 {
        return Ok(false);
    }
    // Some file systems free the room only once that is on the disk.
    file.set_len(there.saturating_sub(PIECE)).and_then(|()| file.sync_all()).during("shorten", &path)?;
    if there <= PIECE {
        // Its inode may be what is needed: a file system can have room and no inodes.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).during("remove", path),
            _ => {}
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_kept_and_given_back_piece_by_piece() {
        let folder = tempfile::tempdir().unwrap();
        let length = || std::fs::metadata(folder.path().join(RESERVE)).unwrap().len();
        assert!(!give_up(folder.path()).unwrap());
        keep(folder.path()).unwrap();
        keep(folder.path()).unwrap();
        assert_eq!(length(), ALL);
        let mut pieces = 0;
        while give_up(folder.path()).unwrap() {
            pieces += 1;
        }
        assert_eq!(pieces, ALL / PIECE);
        assert!(!folder.path().join(RESERVE).exists(), "its inode is given back, too");
        keep(folder.path()).unwrap();
        assert_eq!(length(), ALL);
    }

    #[test]
    fn a_link_in_its_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("foreign");
        std::fs::write(&foreign, b"foreign").unwrap();
        std::os::unix::fs::symlink(&foreign, folder.path().join(RESERVE)).unwrap();
        assert!(keep(folder.path()).is_err() && give_up(folder.path()).is_err());
        assert_eq!(std::fs::read(&foreign).unwrap(), b"foreign");
    }
}
