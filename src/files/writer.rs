//! Writing one restored file: without a name or under a temporary one, then in its place all at once.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{Attributes, Means, Thing};
use super::temporary;
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
    pub(super) folder: Arc<OwnedFd>,
    pub(super) name: String,
    made: bool,
}

impl Temporary {
    /// A name that cannot be foreseen. Nothing is made yet.
    pub(super) fn new(folder: Arc<OwnedFd>) -> Self {
        Self { folder, name: temporary::new_name(), made: false }
    }

    /// Makes something under the name.
    pub(super) fn make<T>(
        &mut self,
        make: impl FnOnce(&OwnedFd, &str) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        let made = temporary::make(&self.folder, &self.name, || make(&self.folder, &self.name))?;
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
            temporary::forget(&self.name);
        }
    }
}

/// A file that is being restored. Nothing is to be seen of it until [`finish`](FileWriter::finish), except for a temporary
/// name where the file system has no files without names; if that is never called, nothing remains.
#[derive(Debug)]
pub struct FileWriter {
    folder: Arc<OwnedFd>,
    /// The name that it has; none if it has none yet.
    temporary: Option<Temporary>,
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
        let folder = Arc::new(folder);
        let (file, temporary) = match nameless(&folder) {
            Some(file) => (file, None),
            None => {
                let (file, temporary) = named(&folder).map_err(io::Error::from).when("create", &shown)?;
                (file, Some(temporary))
            }
        };
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if size >= SET_ASIDE && !sparse {
            // Not every file system can. That there is no room is better learned now than after hours.
            let aside = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, size);
            if let Err(error @ (Errno::NOSPC | Errno::FBIG | Errno::DQUOT)) = aside {
                return Err(Error::io("write", shown, error.into()));
            }
        }
        Ok(Self {
            folder,
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

    /// Skips `length` zeros, which take no space on the disk.
    pub fn write_hole(&mut self, length: u64) -> Result<()> {
        let end = self.written.checked_add(length).ok_or(Errno::FBIG).map_err(io::Error::from);
        let end = end.and_then(|end| self.file.seek(SeekFrom::Start(end))).when("write", &self.shown)?;
        self.written = end;
        self.ends_in_hole = true;
        Ok(())
    }

    /// Sets the metadata of the file and names it. What is there by that name is replaced; a link is replaced itself.
    ///
    /// Fails with [`Error::NotRestored`] if the entry is of another size than what was written. Metadata that cannot
    /// be set is a warning.
    pub fn finish(self, entry: &FileEntry, progress: &dyn Progress) -> Result<()> {
        self.finish_open(entry, progress).map(drop)
    }

    /// As [`finish`](FileWriter::finish), and returns the file, to be read from its beginning. Its mode may not allow to open
    /// it again.
    pub fn finish_open(mut self, entry: &FileEntry, progress: &dyn Progress) -> Result<File> {
        if self.written != entry.size {
            let reason = format!("{} bytes were written, the snapshot has {}", self.written, entry.size);
            return Err(Error::not_restored(self.shown.display(), reason));
        }
        if self.ends_in_hole {
            self.file.set_len(self.written).when("write", &self.shown)?;
        }
        self.file.flush().when("write", &self.shown)?;
        self.set_attributes(entry, progress);
        self.take_place(entry, progress).map_err(io::Error::from).when("create", &self.shown)?;
        self.file.seek(SeekFrom::Start(0)).when("read", &self.shown)?;
        Ok(self.file)
    }

    fn set_attributes(&self, entry: &FileEntry, progress: &dyn Progress) {
        if Attributes::from(entry).set(&Thing::Open(self.file.as_fd()), self.means, &self.shown, progress) {
            self.dropped_set_ids.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Names the file, in place of whatever has the name now.
    fn take_place(&mut self, entry: &FileEntry, progress: &dyn Progress) -> rustix::io::Result<()> {
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None => match link(&self.file, &self.folder, self.name.as_slice()) {
                Ok(()) => return Ok(()),
                // Linking never replaces anything, but renaming does.
                Err(_) => match named_again(&self.file, &self.folder) {
                    Ok(temporary) => temporary,
                    Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::CANCELED)) => return Err(error),
                    Err(_) => {
                        let temporary = self.copy_named()?;
                        self.set_attributes(entry, progress);
                        temporary
                    }
                },
            },
        };
        temporary.rename(&self.name, self.replaces_folder)
    }

    /// Where a file without a name can be made but cannot be given one: writes it again, under a temporary name.
    fn copy_named(&mut self) -> rustix::io::Result<Temporary> {
        let (mut file, temporary) = named(&self.folder)?;
        let copied = self.file.seek(SeekFrom::Start(0)).and_then(|_| io::copy(&mut self.file, &mut file));
        copied.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        self.file = file;
        Ok(temporary)
    }
}

/// A new file without a name; none where there is no such thing, or no way to name it later.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn nameless(folder: &OwnedFd) -> Option<File> {
    static NAMES: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    if !NAMES.get_or_init(|| std::path::Path::new("/proc/self/fd").exists()) {
        return None;
    }
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::openat(folder, ".", flags, Mode::RUSR | Mode::WUSR).ok().map(File::from)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn nameless(_: &OwnedFd) -> Option<File> {
    None
}

/// Names a file that has no name. The name must be free.
fn link(file: &File, folder: &OwnedFd, name: impl rustix::path::Arg) -> rustix::io::Result<()> {
    rustix::fs::linkat(rustix::fs::CWD, Thing::Open(file.as_fd()).path(), folder, name, AtFlags::SYMLINK_FOLLOW)
}

/// Names a file that has no name, for the time being.
fn named_again(file: &File, folder: &Arc<OwnedFd>) -> rustix::io::Result<Temporary> {
    temporary::lock(file.as_fd());
    let mut temporary = Temporary::new(Arc::clone(folder));
    temporary.make(|at, name| link(file, at, name))?;
    Ok(temporary)
}

/// A new file under a temporary name.
fn named(folder: &Arc<OwnedFd>) -> rustix::io::Result<(File, Temporary)> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let mut temporary = Temporary::new(Arc::clone(folder));
        let file = temporary.make(|at, name| rustix::fs::openat(at, name, flags, Mode::RUSR | Mode::WUSR))?;
        temporary::lock(file.as_fd());
        // Another restore that cleans up may have come between.
        if temporary::has_name(file.as_fd()) {
            return Ok((file.into(), temporary));
        }
    }
}
