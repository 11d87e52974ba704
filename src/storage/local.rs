//! A repository in a folder of the local file system.
//!
//! The order of writes is what makes acknowledged objects survive power loss: the bytes go to a file in
//! `tmp/` that is fsynced, then that file gets its name by an operation that never replaces, then the folder is
//! fsynced. An entry of the log goes last, after `index/` and `log/` were fsynced, whichever process wrote what is in them.

mod durable;
mod errors;
mod folders;
mod kept;
mod listing;
mod reserve;
mod strangers;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use self::durable::{Disk, Folder, TempFile};
pub use self::durable::{DiskStep, Witness};
use self::errors::{During, FSYNC};
use self::kept::KeptFolders;
use super::{
    Abilities, Backend, ByteRange, Created, Each, Flaw, Kind, Name, ObjectMeta, PutTerms, Result, StorageError,
    StorageErrorKind, named,
};

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
    /// The device that the root lies on, once it was seen there.
    device: OnceLock<u64>,
    /// Folders in which packs were found lately.
    kept: KeptFolders,
}

impl Local {
    /// The repository in the folder `root`, which need not be there yet: [`prepare`](Backend::prepare) makes it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let (root, disk) = (root.into(), Disk::default());
        Self {
            root,
            disk,
            by_link: AtomicBool::new(false),
            settled: Mutex::default(),
            device: OnceLock::new(),
            kept: KeptFolders::default(),
        }
    }

    /// The same, and `witness` sees each step that has to last.
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
        let folder = match folders::open(&self.root, relative) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && relative != Path::new("") => {
                self.folder(relative.parent().unwrap_or(Path::new("")))?;
                self.make_folder(relative)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory && relative != Path::new("") => {
                return Err(StorageError::new(StorageErrorKind::Other, "open")
                    .at(self.root.join(relative).display())
                    .because(
                        "no folder lies in the place of a folder of the repository: look at it, and move it away",
                    ));
            }
            opened => opened.during("open", self.root.join(relative))?,
        };
        self.settle_folder(relative)?;
        Ok(folder)
    }

    /// Makes a folder, unless it is there; the one above it must be.
    fn make_folder(&self, relative: &Path) -> Result<File> {
        let path = self.root.join(relative);
        let above = folders::open(&self.root, relative.parent().unwrap_or(Path::new(""))).during("open", &self.root)?;
        if let Some(name) = relative.file_name() {
            self.disk.make_folder_in(&above, Path::new(name), &path).during("create", &path)?;
        }
        self.settled().remove(relative);
        folders::open(&self.root, relative).during("open", path)
    }

    /// A folder below the root, where there is one.
    fn existing(&self, relative: &Path) -> Result<Option<File>> {
        match folders::open(&self.root, relative) {
            Ok(folder) => {
                if self.device.get().is_none() {
                    let _ = std::fs::metadata(&self.root).map(|metadata| self.device.set(metadata.dev()));
                }
                Ok(Some(folder))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                self.still_there()?;
                Ok(None)
            }
            failed => failed.map(Some).during("open", self.root.join(relative)),
        }
    }

    /// Fails where the root was there and is not any more, or is that of another disk: then nothing is known to be missing.
    fn still_there(&self) -> Result<()> {
        let Some(device) = self.device.get() else { return Ok(()) };
        match std::fs::metadata(&self.root) {
            Ok(metadata) if metadata.dev() == *device => Ok(()),
            _ => Err(StorageError::new(StorageErrorKind::Unavailable, "open")
                .at(self.root.display())
                .because("the repository was here a moment ago and is not any more: is its disk mounted?")),
        }
    }

    /// Makes the names in a folder below the root survive power loss.
    fn sync(&self, relative: &Path) -> Result<()> {
        let path = self.root.join(relative);
        let folder = folders::open(&self.root, relative).during("open", &path)?;
        self.disk.sync_opened(&folder, &path).during(FSYNC, path)
    }

    /// Makes sure that the folder survives power loss: the process that made it may have died before fsyncing the folder
    /// above. One fsync serves all folders beside it, so this costs three of them in the life of a process.
    fn settle_folder(&self, relative: &Path) -> Result<()> {
        let Some(parent) = relative.parent() else { return Ok(()) };
        if self.settled().contains(relative) {
            return Ok(());
        }
        self.settle_folder(parent)?;
        let path = self.root.join(parent);
        let above = folders::open(&self.root, parent).during("open", &path)?;
        // Listed before the fsync: what is made after it is not settled by it.
        let beside = folders::names(&above).during("list", &path)?;
        self.disk.sync_opened(&above, &path).during(FSYNC, path)?;
        let mut settled = self.settled();
        settled.insert(relative.to_path_buf());
        for name in beside {
            // What is settled is only ever asked of folders, so that files are among them does no harm; but those of
            // large folders would take room.
            let is_folder =
                folders::look(&above, &name).is_ok_and(|stat| stat.is_some_and(|stat| folders::is_folder(&stat)));
            if is_folder {
                settled.insert(parent.join(name));
            }
        }
        Ok(())
    }

    /// Opens an object for reading, and says how long it is. Whatever is no regular file is no object, and is not opened: a
    /// pipe would wait, and a device may do anything.
    fn open(&self, name: &Name) -> Result<(File, u64)> {
        let (folder, _) = self.find(name)?.ok_or_else(|| self.missing(name))?;
        self.open_in(&folder, name)
    }

    /// The same for a part of a pack, in a folder that may be open already: restores read packs in many small parts.
    fn open_part(&self, name: &Name) -> Result<(File, u64)> {
        if name.kind() != Kind::Pack {
            return self.open(name);
        }
        let relative = folder_of(name);
        if let Some(folder) = self.kept.get(&relative) {
            match self.look(&folder, name) {
                Ok(Some(_)) => return self.open_in(&folder, name),
                // Another folder may have taken its place.
                _ => self.kept.forget(&relative),
            }
        }
        let (folder, _) = self.find(name)?.ok_or_else(|| self.missing(name))?;
        let opened = self.open_in(&folder, name)?;
        self.kept.keep(relative, folder);
        Ok(opened)
    }

    fn open_in(&self, folder: &File, name: &Name) -> Result<(File, u64)> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(folder, name.file(), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::LOOP) => return Err(self.missing(name)),
            opened => File::from(opened.during("open", self.path_of(name))?),
        };
        let metadata = file.metadata().during("stat", self.path_of(name))?;
        match metadata.is_file() {
            true => Ok((file, metadata.len())),
            false => Err(self.missing(name)),
        }
    }

    /// There is no such object; and what lies in its place, if anything does.
    fn missing(&self, name: &Name) -> StorageError {
        let missing = StorageError::not_found(name);
        match std::fs::symlink_metadata(self.path_of(name)) {
            Ok(there) if !there.is_file() => missing.because(format!("{} lies in its place", what(there.file_type()))),
            _ => missing,
        }
    }

    /// The folder in which an object lies, and what is known of its file; nothing if there is no such object.
    fn find(&self, name: &Name) -> Result<Option<(File, rustix::fs::Stat)>> {
        named(name, "open")?;
        let Some(folder) = self.existing(&folder_of(name))? else { return Ok(None) };
        Ok(self.look(&folder, name)?.map(|stat| (folder, stat)))
    }

    /// What is known of the file of an object in its folder, if it is there.
    fn look(&self, folder: &File, name: &Name) -> Result<Option<rustix::fs::Stat>> {
        let stat = folders::look(folder, name.file()).during("stat", self.path_of(name))?;
        Ok(stat.filter(folders::is_file))
    }

    /// [`Backend::put`], but for what the errors are about.
    fn create_file(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        let path = self.path_of(name);
        // Opened before the file gets its name, so that no error of writing the folder back is missed.
        let folder_path = self.root.join(folder_of(name));
        let folder = Folder { file: self.folder(&folder_of(name))?, path: &folder_path };
        let created = match folders::look(&folder.file, name.file()).during("stat", &path)? {
            Some(stat) if folders::is_file(&stat) => Created::Exists,
            // It must not be taken for an object that is stored.
            Some(_) => {
                let failure = StorageError::new(StorageErrorKind::Damaged(Flaw::NotAFile), "write");
                return Err(match std::fs::symlink_metadata(&path) {
                    Ok(there) => failure.because(format!("{} lies in its place", what(there.file_type()))),
                    Err(_) => failure,
                });
            }
            None => {
                if name.kind() == Kind::Log {
                    self.folder(Path::new(Kind::Index.folder()))?;
                    self.sync(Path::new(Kind::Index.folder()))?;
                    self.disk.sync_opened(&folder.file, folder.path).during(FSYNC, &path)?;
                }
                let tmp_path = self.root.join(TMP);
                let tmp = Folder { file: self.folder(Path::new(TMP))?, path: &tmp_path };
                let file = TempFile::write(&self.disk, tmp, bytes, &path)?;
                file.publish(&folder, name.file(), &self.by_link).during("write", &path)?
            }
        };
        // Also where the object was there already: the process that named it may not have come as far as this.
        self.disk.sync_opened(&folder.file, folder.path).during(FSYNC, &path)?;
        Ok(created)
    }

    fn read_file(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match range {
            ByteRange::UpTo(limit) => {
                let (file, size) = self.open(name)?;
                range.check(name, size)?;
                bytes.reserve_exact(usize::try_from(size).unwrap_or(0));
                // One byte more than allowed is asked for, should another process write to the file just now.
                let read = (&file).take(limit.saturating_add(1)).read_to_end(&mut bytes);
                read.during("read", self.path_of(name))?;
                range.check(name, bytes.len() as u64)?;
                // Whole packs are read by checks, each once: they would only drive out what others read again.
                durable::forget_pages(&file, size);
            }
            ByteRange::Exactly { offset, length } => {
                let (file, size) = self.open_part(name)?;
                range.check(name, size)?;
                bytes.resize(length, 0);
                match file.read_exact_at(&mut bytes, offset) {
                    // It was cut off since.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => range.check(name, 0)?,
                    read => read.during("read", self.path_of(name))?,
                }
            }
        }
        Ok(bytes)
    }

    fn delete_file(&self, name: &Name) -> Result<()> {
        let (relative, path) = (folder_of(name), self.path_of(name));
        let Some(folder) = self.existing(&relative)? else { return Ok(()) };
        match self.disk.remove(&folder, Path::new(name.file()), &path) {
            Ok(()) if matches!(name.kind(), Kind::Pack | Kind::Parity) => Ok(()),
            // A key slot that was removed must not come back; a pack that does is garbage as before, and so is parity.
            Ok(()) => self.disk.sync_opened(&folder, &self.root.join(relative)).during(FSYNC, path),
            Err(Errno::NOENT) => Ok(()),
            // A folder is no object, so there is none to delete. Systems differ in what they say of one.
            Err(Errno::ISDIR | Errno::PERM) if holds_folder(&folder, name) => Ok(()),
            failed => failed.during("delete", path),
        }
    }
}

/// How many requests a disk takes at once with profit.
const CONCURRENCY: usize = 4;

/// The folder of an object, relative to the root.
/// What is no regular file, in words.
fn what(kind: std::fs::FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

fn folder_of(name: &Name) -> PathBuf {
    let path = PathBuf::from(name.to_string());
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

impl Backend for Local {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn abilities(&self) -> Abilities {
        Abilities { creates_once: true, has_clock: true, concurrency: CONCURRENCY, ..Abilities::default() }
    }

    fn prepare(&self) -> Result<()> {
        self.disk.make_folders(&self.root)?;
        let mut folders = vec![PathBuf::new(), PathBuf::from(TMP)];
        folders.extend(Kind::ALL.iter().filter(|kind| **kind != Kind::Config).map(|kind| PathBuf::from(kind.folder())));
        folders.extend((0..=255).map(|byte| PathBuf::from(format!("packs/{byte:02x}"))));
        folders[1..].iter().try_for_each(|folder| self.make_folder(folder).map(drop))?;
        // Also those that were there already: the process that made them may have died before this.
        folders.iter().try_for_each(|folder| self.sync(folder))
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        named(name, "write")?;
        terms.only_if(self.abilities(), name)?;
        self.create_file(name, bytes).map_err(|error| error.of(name))
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.read_file(name, range).map_err(|error| error.of(name))
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        let found = self.find(name).map_err(|error| error.of(name))?;
        Ok(found.map(|(_, stat)| listing::meta(name.clone(), &stat)))
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        self.list_objects(kind, after, each).map(drop)
    }

    fn delete(&self, name: &Name) -> Result<()> {
        named(name, "delete")?;
        self.delete_file(name).map_err(|error| error.of(name))
    }

    fn settle(&self, name: &Name) -> Result<()> {
        named(name, "settle")?;
        let folder = folder_of(name);
        self.settle_folder(&folder)?;
        self.sync(&folder)
    }

    fn tidy(&self, before: i64) -> Result<u64> {
        let Some(folder) = self.existing(Path::new(TMP))? else { return Ok(0) };
        let mut left = folders::names(&folder).during("list", self.root.join(TMP))?;
        // What is called otherwise was not made here.
        left.retain(|name| name.to_str().is_some_and(durable::is_temporary));
        let mut freed = 0;
        for name in left {
            // Others may tidy up, too, or give the file its name just now.
            let Ok(Some(stat)) = folders::look(&folder, &name) else { continue };
            let is_old = folders::is_file(&stat) && folders::modified(&stat) < before;
            if is_old && rustix::fs::unlinkat(&folder, &name, rustix::fs::AtFlags::empty()).is_ok() {
                freed += u64::try_from(stat.st_size).unwrap_or(0);
            }
        }
        Ok(freed)
    }

    fn keep_reserve(&self) -> Result<()> {
        reserve::keep(&self.root)
    }

    fn use_reserve(&self) -> Result<bool> {
        reserve::give_up(&self.root)
    }
}

/// Whether a folder lies in the place of an object.
fn holds_folder(folder: &File, name: &Name) -> bool {
    folders::look(folder, name.file()).is_ok_and(|stat| stat.is_some_and(|stat| folders::is_folder(&stat)))
}
