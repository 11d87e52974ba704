//! A repository in a folder of the local file system.
//!
//! The order of writes is what makes acknowledged objects survive power loss (DESIGN 8): the bytes go to a file in
//! `tmp/` that is fsynced, then that file gets its name by an operation that never replaces, then the folder is
//! fsynced. An entry of the log goes last, after `index/` and `log/` were fsynced, whoever wrote what is in them.

mod durable;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use self::durable::{Disk, Folder, TempFile};
pub use self::durable::{DiskStep, Witness};
use super::{Backend, Created, Kind, Name};
use crate::error::{Error, IoContext, Result};

/// Where objects are written before they have their name.
const TMP: &str = "tmp";

/// Keeps objects as files below a folder: files 0600, folders 0700, whatever the umask.
///
/// Any number of processes may use one folder at once. The file system must have atomic renames and either
/// `RENAME_NOREPLACE` or hard links.
#[derive(Debug)]
pub struct Local {
    root: PathBuf,
    disk: Disk,
    /// Whether this file system knows no rename that never replaces. Learned by trying.
    by_link: AtomicBool,
    /// Folders, relative to the root, of which this process knows that they survive power loss.
    settled: Mutex<BTreeSet<PathBuf>>,
}

impl Local {
    /// The repository in the folder `root`, which need not be there yet: [`prepare`](Backend::prepare) makes it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let (root, disk) = (root.into(), Disk::default());
        Self { root, disk, by_link: AtomicBool::new(false), settled: Mutex::default() }
    }

    /// The same, and somebody sees each step that has to last.
    pub fn watched_by(self, witness: Arc<dyn Witness>) -> Self {
        Self { disk: Disk::watched(witness), ..self }
    }

    /// The same, which names objects by hard links from the start, as it does by itself where the file system knows no
    /// rename that never replaces.
    pub fn by_link(self) -> Self {
        Self { by_link: AtomicBool::new(true), ..self }
    }

    /// The folder, as it was given.
    pub fn path(&self) -> &Path {
        &self.root
    }

    fn path_of(&self, name: &Name) -> PathBuf {
        self.root.join(name.to_string())
    }

    /// A set of paths is never left half changed, so one that a panicking thread held is as good as any.
    fn settled(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a folder below the root, which is made if it is missing (copying a repository may lose empty folders).
    /// The root itself is never made here: where it is missing, a disk is not mounted.
    fn folder(&self, relative: &Path) -> Result<File> {
        let path = self.root.join(relative);
        let folder = match durable::open_folder(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && relative != Path::new("") => {
                self.folder(relative.parent().unwrap_or(Path::new("")))?;
                self.disk.make_folder(&path).when("create", &path)?;
                self.settled().remove(relative);
                durable::open_folder(&path)
            }
            opened => opened,
        };
        let folder = folder.when("open", &path)?;
        self.settle_folder(relative)?;
        Ok(folder)
    }

    /// Makes sure that the folder survives power loss: whoever made it may have died before fsyncing the folder above.
    /// One fsync serves all folders beside it, so this costs three of them in the life of a process.
    fn settle_folder(&self, relative: &Path) -> Result<()> {
        let Some(parent) = relative.parent() else { return Ok(()) };
        if self.settled().contains(relative) {
            return Ok(());
        }
        self.settle_folder(parent)?;
        let path = self.root.join(parent);
        let mut beside = vec![relative.to_path_buf()];
        for entry in std::fs::read_dir(&path).when("list", &path)? {
            let entry = entry.when("list", &path)?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                beside.push(parent.join(entry.file_name()));
            }
        }
        self.disk.sync_folder(&path)?;
        self.settled().extend(beside);
        Ok(())
    }

    /// Opens an object for reading and tells its length.
    fn open(&self, name: &Name) -> Result<(File, u64)> {
        named(name)?;
        let path = self.path_of(name);
        // Not to wait for a writer, should a pipe lie there.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Err(Error::ObjectMissing { name: name.to_string() }),
            Err(Errno::LOOP) => return Err(not_a_file(name)),
            Err(error) => return Err(Error::io("open", path, error.into())),
        };
        let metadata = file.metadata().when("stat", &path)?;
        match metadata.is_file() {
            true => Ok((file, metadata.len())),
            false => Err(not_a_file(name)),
        }
    }

    /// Lists the objects in one folder.
    fn list_folder(&self, kind: Kind, folder: &Path, each: &mut dyn FnMut(Name, u64) -> Result<()>) -> Result<()> {
        let path = self.root.join(folder);
        let entries = match std::fs::read_dir(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            entries => entries.when("list", &path)?,
        };
        for entry in entries {
            let entry = entry.when("list", &path)?;
            let file = entry.file_name();
            let Some(name) = file.to_str().map(|file| Name::new(kind, file)) else { continue };
            if Path::new(&name.to_string()) != folder.join(&file) || named(&name).is_err() {
                continue;
            }
            // Of the entry itself, never of what a link points to.
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => each(name, metadata.len())?,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("stat", entry.path(), error)),
            }
        }
        Ok(())
    }
}

/// Refuses a name of no characters, which would be the folder's.
fn named(name: &Name) -> Result<()> {
    match name.file().is_empty() {
        true => Err(Error::Invalid(format!("{name} names no object"))),
        false => Ok(()),
    }
}

fn not_a_file(name: &Name) -> Error {
    Error::damaged(name, "something that is no regular file lies in its place")
}

/// The folder of an object, relative to the root.
fn folder_of(name: &Name) -> PathBuf {
    let path = PathBuf::from(name.to_string());
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

impl Backend for Local {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn prepare(&self) -> Result<()> {
        self.disk.make_folders(&self.root)?;
        let mut folders = vec![self.root.clone(), self.root.join(TMP)];
        folders
            .extend(Kind::ALL.iter().filter(|kind| **kind != Kind::Config).map(|kind| self.root.join(kind.folder())));
        folders.extend((0..=255).map(|byte| self.root.join(format!("packs/{byte:02x}"))));
        for folder in &folders[1..] {
            self.disk.make_folder(folder).when("create", folder)?;
        }
        // Also those that were there already: who made them may have died before this.
        folders.iter().try_for_each(|folder| self.disk.sync_folder(folder))
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        named(name)?;
        let path = self.path_of(name);
        // Opened before the file gets its name, so that no error of writing the folder back is missed.
        let folder_path = self.root.join(folder_of(name));
        let folder = Folder { file: self.folder(&folder_of(name))?, path: &folder_path };
        let created = match rustix::fs::statat(&folder.file, name.file(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Created::Exists,
            Err(Errno::NOENT) => {
                if name.kind() == Kind::Log {
                    self.folder(Path::new(Kind::Index.folder()))?;
                    self.disk.sync_folder(&self.root.join(Kind::Index.folder()))?;
                    self.disk.sync_opened(&folder.file, folder.path).when("fsync", &path)?;
                }
                let tmp_path = self.root.join(TMP);
                let tmp = Folder { file: self.folder(Path::new(TMP))?, path: &tmp_path };
                TempFile::write(&self.disk, tmp, bytes)
                    .and_then(|file| file.publish(&folder, name.file(), &self.by_link))
                    .when("write", &path)?
            }
            Err(error) => return Err(Error::io("stat", path, error.into())),
        };
        // Also where the object was there already: whoever gave it its name may not have come as far as this.
        self.disk.sync_opened(&folder.file, folder.path).when("fsync", &path)?;
        Ok(created)
    }

    fn read(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
        let (file, length) = self.open(name)?;
        let too_large = || Error::damaged(name, format_args!("{length} bytes, at most {limit} are allowed"));
        if length > limit {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(|_| too_large())?);
        // One byte more than allowed is asked for, should somebody write to the file just now.
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).when("read", self.path_of(name))?;
        match bytes.len() as u64 > limit {
            true => Err(too_large()),
            false => Ok(bytes),
        }
    }

    fn read_range(&self, name: &Name, offset: u64, length: usize) -> Result<Vec<u8>> {
        let (file, size) = self.open(name)?;
        let too_short = || Error::damaged(name, format_args!("{size} bytes, too few for {length} bytes from {offset}"));
        if offset.checked_add(length as u64).is_none_or(|end| end > size) {
            return Err(too_short());
        }
        let mut bytes = vec![0; length];
        match file.read_exact_at(&mut bytes, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(too_short()),
            read => read.when("read", self.path_of(name)).map(|()| bytes),
        }
    }

    fn size(&self, name: &Name) -> Result<Option<u64>> {
        named(name)?;
        let path = self.path_of(name);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Err(not_a_file(name)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("stat", path, error)),
        }
    }

    fn list(&self, kind: Kind, each: &mut dyn FnMut(Name, u64) -> Result<()>) -> Result<()> {
        match kind {
            Kind::Config => self.size(&Name::config())?.map_or(Ok(()), |length| each(Name::config(), length)),
            Kind::Pack => {
                let packs = self.root.join(kind.folder());
                let entries = match std::fs::read_dir(&packs) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                    entries => entries.when("list", &packs)?,
                };
                for entry in entries {
                    let entry = entry.when("list", &packs)?;
                    if entry.file_name().len() == 2 {
                        self.list_folder(kind, &Path::new(kind.folder()).join(entry.file_name()), each)?;
                    }
                }
                Ok(())
            }
            kind => self.list_folder(kind, Path::new(kind.folder()), each),
        }
    }

    fn delete(&self, name: &Name) -> Result<()> {
        named(name)?;
        let path = self.path_of(name);
        match self.disk.remove(&path) {
            Ok(()) if matches!(name.kind(), Kind::Pack | Kind::Parity) => Ok(()),
            // A key slot that was removed must not come back; a pack that does is garbage as before, and so is parity.
            Ok(()) => self.disk.sync_folder(&self.root.join(folder_of(name))),
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(Error::io("delete", path, error.into())),
        }
    }

    fn settle(&self, name: &Name) -> Result<()> {
        named(name)?;
        let folder = folder_of(name);
        self.settle_folder(&folder)?;
        self.disk.sync_folder(&self.root.join(folder))
    }

    fn modified(&self, name: &Name) -> Result<Option<i64>> {
        named(name)?;
        let path = self.path_of(name);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) => Ok(Some(modified(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("stat", path, error)),
        }
    }

    fn tidy(&self, before: i64) -> Result<u64> {
        let (folder, mut freed) = (self.root.join(TMP), 0);
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries.when("list", &folder)?,
        };
        for entry in entries {
            let entry = entry.when("list", &folder)?;
            // Others may tidy up, too, or give the file its name just now.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() && modified(&metadata) < before && std::fs::remove_file(entry.path()).is_ok() {
                freed += metadata.len();
            }
        }
        Ok(freed)
    }
}

/// When a file was last written, in nanoseconds.
fn modified(metadata: &std::fs::Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}
