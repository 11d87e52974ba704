//! The names that things have in a target before they take their place, and what interrupted restores left of them.
//!
//! Where the file system can, a file has no name at all until it is whole, so nothing is left of it whatever happens.
//! Elsewhere it has a name of this shape, and so has, for a moment, whatever takes the place of something else. What is
//! left when the process is killed is removed by the next restore that comes by, and is skipped by a walk.

use std::hash::{BuildHasher, RandomState};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, Result};

use super::look::names_in;
use crate::id::{digest, hex};

/// How such a name begins, and how it ends.
const BEGIN: &str = ".snap-restore-";
const END: &str = ".tmp";
/// Digits of the random part; the check after it has as many.
const DIGITS: usize = 16;

/// Whether this is the name of something that a restore has not finished. The second half of its digits is a hash of
/// the first, so that nothing else is called so by accident.
pub fn is_temporary(name: &[u8]) -> bool {
    let random = name.strip_prefix(BEGIN.as_bytes()).and_then(|rest| rest.get(..DIGITS));
    let random = random.and_then(|random| std::str::from_utf8(random).ok());
    random.is_some_and(|random| name == name_of(random).as_bytes())
}

fn name_of(random: &str) -> String {
    let hash = digest(format!("{BEGIN}{random}").as_bytes());
    format!("{BEGIN}{random}{}{END}", hex(&hash[..DIGITS / 2]))
}

/// A name that cannot be foreseen.
pub(super) fn new_name() -> String {
    name_of(&format!("{:016x}", RandomState::new().hash_one(0)))
}

/// What has a temporary name in this process.
#[derive(Debug)]
struct Made {
    things: Vec<(Arc<OwnedFd>, String)>,
    /// The process ends: nothing more is made.
    closed: bool,
}

static MADE: Mutex<Made> = Mutex::new(Made { things: Vec::new(), closed: false });

fn made() -> MutexGuard<'static, Made> {
    MADE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes something under a temporary name, and remembers that.
pub(super) fn make<T>(folder: &Arc<OwnedFd>, name: &str, make: impl FnOnce() -> Result<T>) -> Result<T> {
    let mut made = made();
    if made.closed {
        return Err(Errno::CANCELED);
    }
    let done = make()?;
    made.things.push((Arc::clone(folder), name.to_owned()));
    Ok(done)
}

/// The name is gone, or means something else now.
pub(super) fn forget(name: &str) {
    made().things.retain(|(_, other)| other != name);
}

/// Removes everything that has a temporary name in this process: for a program that is about to end without waiting for
/// a restore that is going on. Whatever that restore still tries to make fails.
pub fn remove_temporaries() {
    let mut made = made();
    made.closed = true;
    for (folder, name) in made.things.drain(..) {
        // What cannot be removed now is left to the next restore.
        let _ = rustix::fs::unlinkat(&folder, &name, AtFlags::empty());
    }
}

/// Shows other restores that a file is in use, as long as it is open.
pub(super) fn lock(file: BorrowedFd<'_>) {
    // Where files cannot be locked, it cannot be found out that this one is not, and it is not removed.
    let _ = rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
}

/// Whether a file still has a name: another restore may have removed it before it was locked.
pub(super) fn has_name(file: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink > 0)
}

/// Removes what interrupted restores left in a directory, which must be open for reading. What another restore is
/// writing just now is locked and stays. Whatever cannot be removed stays, too: it does no harm.
pub(super) fn clean(folder: BorrowedFd<'_>) {
    let names = Dir::read_from(folder).map_err(Into::into).and_then(names_in);
    for name in names.unwrap_or_default() {
        if is_temporary(&name) {
            let _ = remove_left(folder, &name);
        }
    }
}

fn remove_left(folder: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mut locked = None;
    match FileType::from_raw_mode(stat.st_mode) {
        // No restore makes a directory under such a name.
        FileType::Directory => return Ok(()),
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = rustix::fs::openat(folder, name, flags, Mode::empty())?;
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared)?;
            locked = Some(file);
        }
        // Links, pipes and devices exist for a moment only. A restore that loses one makes another.
        _ => {}
    }
    let removed = rustix::fs::unlinkat(folder, name, AtFlags::empty());
    drop(locked);
    removed
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn names_are_known_by_their_own_check() {
        for _ in 0..100 {
            let name = new_name();
            assert!(is_temporary(name.as_bytes()), "{name}");
            assert!(!is_temporary(format!("{name}x").as_bytes()));
            assert!(!is_temporary(format!("x{name}").as_bytes()));
            let digit = name.as_bytes()[BEGIN.len() + 3];
            let mut other = name.into_bytes();
            other[BEGIN.len() + 3] = if digit == b'0' { b'1' } else { b'0' };
            assert!(!is_temporary(&other));
        }
        for name in ["", ".snap-restore-", ".snap-restore-.tmp", ".snap-0123456789abcdef.tmp", "data.avro"] {
            assert!(!is_temporary(name.as_bytes()), "{name}");
        }
        let made_up = format!(".snap-restore-{}.tmp", "0".repeat(32));
        assert!(!is_temporary(made_up.as_bytes()));
    }

    #[test]
    fn what_is_left_is_removed_and_what_is_in_the_making_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (left, live, link, directory) = (new_name(), new_name(), new_name(), new_name());
        std::fs::write(path(&left), "left").unwrap();
        std::fs::write(path(&live), "live").unwrap();
        std::fs::write(path("own"), "own").unwrap();
        std::os::unix::fs::symlink("own", path(&link)).unwrap();
        std::fs::create_dir(path(&directory)).unwrap();
        let held = std::fs::OpenOptions::new().write(true).open(path(&live)).unwrap();
        lock(held.as_fd());
        assert!(has_name(held.as_fd()));
        let opened = std::fs::File::open(folder.path()).unwrap();
        clean(opened.as_fd());
        assert!(!path(&left).exists() && path(&link).symlink_metadata().is_err());
        assert!(path(&live).exists() && path("own").exists() && path(&directory).exists());
        drop(held);
        clean(opened.as_fd());
        assert!(!path(&live).exists());
    }

    #[test]
    fn who_lost_a_file_before_it_was_locked_notices() {
        let folder = tempfile::tempdir().unwrap();
        let name = new_name();
        let file = std::fs::File::create(folder.path().join(&name)).unwrap();
        clean(std::fs::File::open(folder.path()).unwrap().as_fd());
        lock(file.as_fd());
        assert!(!has_name(file.as_fd()));
    }
}
