//! Reading one source file: its bytes, and what its own descriptor says of it.
//!
//! A name can be given to another file at any moment. So everything that is saved of a file, its mode and owner as well as
//! its bytes, comes from one descriptor.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::names::Names;
use super::open::open_for_reading;
use super::stat::{FileStat, Seen};
use super::xattrs::{self, Unread};
use crate::error::{Error, IoContext, Result};
use crate::snapshot::entry::FileEntry;

/// How many bytes are read of a file that says it has none, as those in `/proc` do.
const UNSIZED: u64 = 64 << 20;
/// A file of more bytes that takes no room on its disk is believed only if its file system reports where its holes are.
const BELIEVED: u64 = 1 << 30;
/// The most bytes of holes in a file. Each of them is hashed, so a file of more would keep everything waiting for days: BLAKE3
/// has no short cut for zeros, since what it makes of a part depends on where that stands. A TiB takes some five minutes.
const HOLES: u64 = 1 << 46;

/// A regular file that is open to be read from beginning to end.
#[derive(Debug)]
pub struct Reading {
    file: File,
    path: PathBuf,
    seen: Seen,
    /// How many bytes were given so far.
    at: u64,
    /// No byte after this one is given.
    limit: u64,
    /// Up to where it is known that there is nothing but a hole, and from there on up to where there is data.
    hole_until: u64,
    data_until: u64,
    /// Whether the file has holes and the file system reports where.
    has_holes: bool,
}

impl Reading {
    /// Opens a regular file. Nothing that is done with it waits for somebody else.
    ///
    /// # Errors
    /// Errors of the system, and for anything that is no regular file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = open_for_reading(path)?;
        let seen = seen_of(&file).when("stat", path)?;
        let size = seen.stat.size;
        let mut reading = Self {
            file,
            path: path.to_path_buf(),
            seen,
            at: 0,
            limit: if size == 0 { UNSIZED } else { size },
            hole_until: 0,
            data_until: 0,
            has_holes: seen.allocated < size,
        };
        if reading.has_holes {
            if size - seen.allocated > HOLES {
                return reading.refuse("read", "its holes have more than 64 TiB, which would take days");
            }
            reading.find_data()?;
            if !reading.has_holes && seen.allocated == 0 && size > BELIEVED {
                return reading.refuse("read", "it says that it is huge, and takes no room: it is no file of a disk");
            }
        }
        Ok(reading)
    }

    fn refuse<T>(&self, action: &'static str, why: &str) -> Result<T> {
        Err(Error::io(action, &self.path, io::Error::other(why.to_owned())))
    }

    /// The stat of the open file when it was opened.
    pub fn stat(&self) -> FileStat {
        self.seen.stat
    }

    /// How many names it has.
    pub fn nlink(&self) -> u64 {
        self.seen.nlink
    }

    /// Puts what the descriptor says into the row. Returns the attributes that could not be read.
    pub fn describe(&self, entry: &mut FileEntry) -> Vec<Error> {
        let seen = &self.seen;
        if entry.uid != seen.uid {
            entry.user = Names::default().user(seen.uid);
        }
        if entry.gid != seen.gid {
            entry.group = Names::default().group(seen.gid);
        }
        (entry.mode, entry.uid, entry.gid) = (seen.mode, seen.uid, seen.gid);
        (entry.mtime, entry.ctime, entry.inode) = (seen.stat.mtime, seen.stat.ctime, seen.stat.inode);
        (entry.size, entry.sparse) = (seen.stat.size, seen.allocated < seen.stat.size);
        let (found, unread) = xattrs::read_open(&self.file);
        entry.xattrs = found;
        unread.into_iter().map(|unread| as_error(&self.path, unread)).collect()
    }

    /// Reads on. Returns 0 at the end: that of the file, or where it ended when it was opened.
    ///
    /// # Errors
    /// Errors of the system; and where reading would have to wait.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let room = usize::try_from(self.limit - self.at).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return self.at_limit();
        }
        if self.has_holes && self.at >= self.data_until {
            self.find_data()?;
        }
        if self.at < self.hole_until {
            let zeros = usize::try_from(self.hole_until - self.at).unwrap_or(usize::MAX).min(room);
            buffer.get_mut(..zeros).unwrap_or_default().fill(0);
            self.at += zeros as u64;
            return Ok(zeros);
        }
        loop {
            match self.file.read(buffer.get_mut(..room).unwrap_or_default()) {
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.refuse(
                        "read",
                        "it has bytes only while another process writes them: it is not an ordinary file",
                    );
                }
                Err(error) => return Err(error).when("read", &self.path),
            }
        }
    }

    /// All is read that the file had when it was opened. One that says it has no bytes may still have more.
    fn at_limit(&self) -> Result<usize> {
        let unsized_end = self.seen.stat.size == 0 && self.at > 0;
        if unsized_end && seen_of(&self.file).when("stat", &self.path)?.stat.size == 0 {
            return self.refuse("read", "it says that it has no bytes, and returns them without end");
        }
        Ok(0)
    }

    /// Learns where the next data is, and goes there.
    fn find_data(&mut self) -> Result<()> {
        let seek = |to: SeekFrom| rustix::fs::seek(&self.file, to);
        let found = match seek(SeekFrom::Data(self.at)) {
            Ok(data) => seek(SeekFrom::Hole(data)).map(|hole| (data, hole)),
            // No data from here on. Unless it was cut short meanwhile, the rest is a hole.
            Err(Errno::NXIO) => {
                let size = seen_of(&self.file).when("stat", &self.path)?.stat.size;
                self.limit = self.limit.min(size.max(self.at));
                Ok((self.limit, self.limit))
            }
            Err(error) => Err(error),
        };
        let data = match found {
            Ok((data, hole)) => {
                (self.hole_until, self.data_until) = (data.min(self.limit), hole.min(self.limit));
                data
            }
            // Not every file system reports holes.
            Err(_) => {
                self.has_holes = false;
                self.at
            }
        };
        rustix::fs::seek(&self.file, SeekFrom::Start(data)).map_err(io::Error::from).when("seek", &self.path)?;
        Ok(())
    }

    /// What happened to the file while it was read.
    ///
    /// # Errors
    /// Errors of the system.
    pub fn end(&self) -> Result<Held> {
        let after = seen_of(&self.file).when("stat", &self.path)?;
        let known = |seen: &Seen| (seen.stat, seen.mode, seen.uid, seen.gid);
        Ok(match known(&self.seen) == known(&after) {
            true => Held::Still,
            false if self.at == self.seen.stat.size && after.stat.size > self.seen.stat.size => Held::Grew,
            false => Held::Changed,
        })
    }
}

/// Whether a file held still while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It was not changed.
    Still,
    /// It has more bytes than it had at first, which were not read.
    Grew,
    /// It is another one.
    Changed,
    /// What was read is no state that it ever had: that must not be saved.
    Torn,
}

fn seen_of(file: &File) -> io::Result<Seen> {
    Ok(Seen::from(rustix::fs::fstat(file)?))
}

/// An attribute that could not be read, as it is reported.
pub(super) fn as_error(path: &Path, (name, error): Unread) -> Error {
    let name = String::from_utf8_lossy(&name).into_owned();
    let error = io::Error::new(io::Error::from(error).kind(), format!("{name}: {error}"));
    Error::io("read attributes", path, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn all(reading: &mut Reading, step: usize) -> Vec<u8> {
        let (mut bytes, mut buffer) = (Vec::new(), vec![7; step]);
        loop {
            match reading.read(&mut buffer).unwrap() {
                0 => return bytes,
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    #[test]
    fn holes_come_as_zeros_wherever_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        const PART: u64 = 1 << 20;
        for parts in ["h", "d", "hd", "dh", "hdh", "dhd", "hhdhd"] {
            let mut file = File::create(&path).unwrap();
            let mut expected = Vec::new();
            for (at, part) in parts.bytes().enumerate() {
                if part == b'd' {
                    file.seek(std::io::SeekFrom::Start(at as u64 * PART)).unwrap();
                    file.write_all(&[at as u8 + 1; PART as usize]).unwrap();
                }
                expected.resize(expected.len() + PART as usize, if part == b'd' { at as u8 + 1 } else { 0 });
            }
            file.set_len(parts.len() as u64 * PART + 17).unwrap();
            expected.resize(expected.len() + 17, 0);
            for step in [100_003, 1 << 20, 3 << 20] {
                let mut reading = Reading::open(&path).unwrap();
                assert!(all(&mut reading, step) == expected, "{parts} by {step}");
                assert_eq!(reading.end().unwrap(), Held::Still);
            }
        }
    }

    #[test]
    fn no_more_is_read_than_was_there_at_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, b"0123456789").unwrap();
        let mut reading = Reading::open(&path).unwrap();
        let mut appending = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        appending.write_all(b"and more").unwrap();
        assert_eq!(all(&mut reading, 4), b"0123456789");
        assert_eq!(reading.end().unwrap(), Held::Grew);

        let mut reading = Reading::open(&path).unwrap();
        std::fs::write(&path, b"x").unwrap();
        all(&mut reading, 4);
        assert_eq!(reading.end().unwrap(), Held::Changed);
    }

    #[test]
    fn what_a_name_leads_to_later_does_not_matter() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&path, b"public").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        std::fs::write(&other, b"secret").unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut first = Reading::open(&path).unwrap();
        std::fs::rename(&other, &path).unwrap();
        let mut second = Reading::open(&path).unwrap();
        let (mut one, mut two) = (FileEntry::nothing(), FileEntry::nothing());
        first.describe(&mut one);
        second.describe(&mut two);
        assert_eq!((one.mode, all(&mut first, 64)), (0o644, b"public".to_vec()));
        assert_eq!((two.mode, all(&mut second, 64)), (0o600, b"secret".to_vec()));
        assert_ne!(one.inode, two.inode);
    }

    #[test]
    fn files_of_the_system_are_read_though_they_say_that_they_are_empty() {
        let path = Path::new("/proc/self/status");
        if path.exists() {
            let mut reading = Reading::open(path).unwrap();
            assert!(all(&mut reading, 4096).starts_with(b"Name:"));
        }
    }
}
