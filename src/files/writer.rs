//! Writing one restored file: under a temporary name beside its place, then in its place all at once.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{Attributes, Means, Thing};
use crate::error::{Error, IoContext, Result};
use crate::progress::Progress;
use crate::snapshot::entry::FileEntry;

/// Blocks that hold nothing but zeros become holes, in files that had holes. What file systems commonly allocate.
const BLOCK: u64 = 4096;
/// Smaller files do not gain from space being set aside for them.
const SET_ASIDE: u64 = 1 << 20;

/// A name under which something is made before it takes its place. Whatever has it is removed when this is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) folder: OwnedFd,
    pub(super) name: String,
    made: bool,
}

impl Temporary {
    /// A name that nobody can foresee. Nothing is made yet.
    pub(super) fn new(folder: OwnedFd) -> Self {
        let name = format!(".snap-{:016x}.tmp", RandomState::new().hash_one(0));
        Self { folder, name, made: false }
    }

    /// Makes something under the name.
    pub(super) fn make<T>(
        &mut self,
        make: impl FnOnce(&OwnedFd, &str) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        let made = make(&self.folder, &self.name)?;
        self.made = true;
        Ok(made)
    }

    /// Takes the place of whatever has the name now; an empty directory only if `replaces_folder`.
    pub(super) fn rename(self, name: &[u8], replaces_folder: bool) -> rustix::io::Result<()> {
        match rustix::fs::renameat(&self.folder, &self.name, &self.folder, name) {
            Err(Errno::ISDIR) if replaces_folder => {
                rustix::fs::unlinkat(&self.folder, name, AtFlags::REMOVEDIR)?;
                rustix::fs::renameat(&self.folder, &self.name, &self.folder, name)
            }
            renamed => renamed,
        }
        // Renaming one name of a file over another one of the same file leaves both: dropping removes the first.
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.made {
            // Gone already if it took its place; if it cannot be removed, nothing else can be done.
            let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// A file that is being restored. Nothing is to be seen of it, except for a temporary name, until
/// [`finish`](FileWriter::finish); if that is never called, nothing remains.
#[derive(Debug)]
pub struct FileWriter {
    temporary: Temporary,
    file: File,
    name: Vec<u8>,
    shown: PathBuf,
    written: u64,
    ends_in_hole: bool,
    means: Means,
    replaces_folder: bool,
    dropped_set_ids: Arc<AtomicU64>,
}

/// What a writer gets from its target.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) means: Means,
    pub(super) replaces_folder: bool,
    pub(super) dropped_set_ids: Arc<AtomicU64>,
}

impl FileWriter {
    /// Begins a file in an open directory. Space is set aside unless the file is to have holes.
    pub(super) fn begin(
        folder: OwnedFd,
        name: &[u8],
        shown: PathBuf,
        size: u64,
        sparse: bool,
        terms: Terms,
    ) -> Result<Self> {
        let mut temporary = Temporary::new(folder);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = temporary.make(|at, name| rustix::fs::openat(at, name, flags, Mode::RUSR | Mode::WUSR));
        let file = File::from(opened.map_err(io::Error::from).when("create", &shown)?);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if size >= SET_ASIDE && !sparse {
            // Not every file system can. That there is no room is better learned now than after hours.
            let aside = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, size);
            if let Err(error @ (Errno::NOSPC | Errno::FBIG | Errno::DQUOT)) = aside {
                return Err(Error::io("write", shown, error.into()));
            }
        }
        Ok(Self {
            temporary,
            file,
            name: name.to_vec(),
            shown,
            written: 0,
            ends_in_hole: false,
            means: terms.means,
            replaces_folder: terms.replaces_folder,
            dropped_set_ids: terms.dropped_set_ids,
        })
    }

    /// How many bytes the file has by now.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes the next bytes of the file. A full disk is an error with the file's path.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).when("write", &self.shown)?;
        self.written += bytes.len() as u64;
        self.ends_in_hole &= bytes.is_empty();
        Ok(())
    }

    /// Writes the next bytes, and makes holes of whole blocks of zeros.
    pub fn write_sparse(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let until_block = BLOCK - self.written % BLOCK;
            let (block, rest) = bytes.split_at(bytes.len().min(until_block as usize));
            match block.len() as u64 == BLOCK && block.iter().all(|byte| *byte == 0) {
                true => self.write_hole(BLOCK)?,
                false => self.write(block)?,
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Goes on after so many zeros that take no room on the disk.
    pub fn write_hole(&mut self, length: u64) -> Result<()> {
        let end = self.written.checked_add(length).ok_or(Errno::FBIG).map_err(io::Error::from);
        let end = end.and_then(|end| self.file.seek(SeekFrom::Start(end))).when("write", &self.shown)?;
        self.written = end;
        self.ends_in_hole = true;
        Ok(())
    }

    /// Gives the file its metadata and its name. What is there by that name is replaced; a link is replaced itself.
    ///
    /// Fails with [`Error::NotRestored`] if the entry is of another size than what was written. Metadata that cannot
    /// be set is a warning.
    pub fn finish(mut self, entry: &FileEntry, progress: &dyn Progress) -> Result<()> {
        if self.written != entry.size {
            let reason = format!("{} bytes were written, the snapshot has {}", self.written, entry.size);
            return Err(Error::NotRestored { path: self.shown.display().to_string(), reason });
        }
        if self.ends_in_hole {
            self.file.set_len(self.written).when("write", &self.shown)?;
        }
        self.file.flush().when("write", &self.shown)?;
        if Attributes::from(entry).set(&Thing::Open(self.file.as_fd()), self.means, &self.shown, progress) {
            self.dropped_set_ids.fetch_add(1, Ordering::Relaxed);
        }
        let renamed = self.temporary.rename(&self.name, self.replaces_folder);
        renamed.map_err(io::Error::from).when("create", &self.shown)
    }
}
