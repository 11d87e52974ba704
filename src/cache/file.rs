//! One file, its tables, and the other processes that use it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use crate::error::{Error, IoContext, Result};

/// How much of a file SQLite may keep in memory, in KiB.
const MEMORY_KIB: i64 = 32 << 10;

/// How long to wait for another writer of the file. One transaction takes in one index object at most.
const WRITER: Duration = Duration::from_secs(60);

/// The tables of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Changes with the tables, so that an older file is made again.
    pub(crate) version: i64,
    /// Makes the tables where they are not there.
    pub(crate) tables: &'static str,
}

/// A file of tables; in a place of its own, or temporary.
#[derive(Debug)]
pub(crate) struct CacheFile {
    connection: Connection,
    place: Option<SharedFile>,
    row_key: [u8; 32],
    layout: Layout,
}

/// Where a file lies that outlives the process.
#[derive(Debug)]
struct SharedFile {
    path: PathBuf,
    /// Locked (shared) for as long as this process uses the file.
    users: File,
}

impl CacheFile {
    /// The file at `path`; made again if anything is wrong with it and no other process uses it. Where it cannot be used,
    /// or there is no path, a temporary one that goes with this value. `row_key` makes the checksums of rows.
    ///
    /// # Errors
    /// If not even a temporary file can be made.
    pub(crate) fn open(path: Option<&Path>, row_key: [u8; 32], layout: Layout) -> Result<Self> {
        if let Some(path) = path
            && let Ok(Some(place)) = SharedFile::take(path)
        {
            match connect(&place.path, layout) {
                Ok(connection) => return Ok(Self { connection, place: Some(place), row_key, layout }),
                Err(_) if place.is_alone() => {
                    let again = remove_files(path).and_then(|()| connect(path, layout));
                    place.share();
                    if let Ok(connection) = again {
                        return Ok(Self { connection, place: Some(place), row_key, layout });
                    }
                }
                Err(_) => {}
            }
        }
        Ok(Self { connection: connect_temporary(layout)?, place: None, row_key, layout })
    }

    /// Whether the file outlives the process.
    pub(crate) fn is_persistent(&self) -> bool {
        self.place.is_some()
    }

    /// Does something that must not happen beside other processes that use the file; nothing where there are any.
    ///
    /// # Errors
    /// Errors of `work`.
    pub(crate) fn alone<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<Option<T>> {
        let Some(place) = &self.place else { return work(self).map(Some) };
        if !place.is_alone() {
            return Ok(None);
        }
        let done = work(self);
        place.share();
        done.map(Some)
    }

    /// Throws everything away. Where other processes use the file, or it cannot be made again, an empty temporary one
    /// serves from now on: what others rely on stays as it is.
    ///
    /// # Errors
    /// If not even a temporary file can be made.
    pub(crate) fn recreate(&mut self) -> Result<()> {
        self.connection = connect_temporary(self.layout)?;
        let Some(place) = self.place.take() else { return Ok(()) };
        if place.is_alone() {
            let again = remove_files(&place.path).and_then(|()| connect(&place.path, self.layout));
            place.share();
            if let Ok(connection) = again {
                (self.connection, self.place) = (connection, Some(place));
            }
        }
        Ok(())
    }

    /// Goes on with an empty temporary file.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn switch_to_temporary(&mut self) -> Result<()> {
        self.connection = connect_temporary(self.layout)?;
        self.place = None;
        Ok(())
    }

    /// Changes whenever another process changed the file since this one looked.
    ///
    /// # Errors
    /// Errors of SQLite.
    pub(crate) fn version(&self) -> Result<i64> {
        Ok(self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    /// The error that something about the file is not what it should be.
    pub(crate) fn failed(&self, reason: &str) -> Error {
        let path = self.place.as_ref().map(|place| place.path.clone());
        Error::Cache { path: path.unwrap_or_else(|| "index.db".into()), source: reason.into() }
    }

    /// Does several things at once, or none of them.
    ///
    /// # Errors
    /// Errors of `work` and of SQLite.
    pub(crate) fn transaction<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work();
        self.connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        done
    }

    /// What SQLite is asked through.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The keyed checksum of what a row says.
    pub(crate) fn keyed(&self, parts: &[&[u8]]) -> i64 {
        i64::from_le_bytes(crate::crypto::checksum(&self.row_key, parts))
    }
}

impl SharedFile {
    /// Takes part in using the file; none where another process is just making it again.
    fn take(path: &Path) -> Result<Option<Self>> {
        if let Some(folder) = path.parent() {
            make_private_folder(folder)?;
        }
        let beside = beside(path, "-users");
        let users = open_private_file(&beside)?;
        make_private_file(path)?;
        match users.try_lock_shared() {
            Ok(()) => Ok(Some(Self { path: path.to_path_buf(), users })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &beside, error)),
        }
    }

    /// Whether no other process uses the file. Then none can begin to until `share`.
    fn is_alone(&self) -> bool {
        let alone = self.users.try_lock().is_ok();
        if !alone {
            self.share();
        }
        alone
    }

    /// Lets others use the file again.
    fn share(&self) {
        // Changing a lock may let go of it for a moment. Another process that makes the file again just then makes no harm
        // that checksums and SQLite do not find: it is a cache.
        let _ = self.users.lock_shared();
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Cache { path: "index.db".into(), source: error.into() }
    }
}

fn connect(path: &Path, layout: Layout) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(WRITER)?;
    restrict(path)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?;
    set_up(&connection, layout)?;
    Ok(connection)
}

/// A database in a file of SQLite's own that goes with the connection.
fn connect_temporary(layout: Layout) -> Result<Connection> {
    let connection = Connection::open("")?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    set_up(&connection, layout)?;
    Ok(connection)
}

fn set_up(connection: &Connection, layout: Layout) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(32);
    connection.execute_batch(&format!("PRAGMA cache_size = -{MEMORY_KIB}"))?;
    if layout_of(connection).ok().flatten() == Some(layout.version) {
        return Ok(());
    }
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
         {}
         COMMIT",
        layout.tables
    ))?;
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('layout', ?1)", [layout.version])?;
    match layout_of(connection)? {
        Some(version) if version == layout.version => Ok(()),
        _ => Err(Error::Cache { path: "index.db".into(), source: "it is of another version".into() }),
    }
}

fn layout_of(connection: &Connection) -> Result<Option<i64>> {
    Ok(connection.query_row("SELECT value FROM meta WHERE key = 'layout'", [], |row| row.get(0)).optional()?)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove_files(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = beside(path, suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &file, error));
            }
            _ => {}
        }
    }
    make_private_file(path)
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).when("create", folder)
}

/// Makes the file before SQLite does, so that no other user can open it even for a moment. SQLite makes files
/// beside it with the same rights.
#[cfg(unix)]
fn make_private_file(path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::File::options().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => restrict(path),
        // What is there is looked at by `connect`.
        Err(_) => Ok(()),
    }
}

#[cfg(unix)]
fn open_private_file(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path);
    file.when("open", path)
}

#[cfg(unix)]
fn restrict(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).when("restrict access to", path)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).when("create", folder)
}

#[cfg(not(unix))]
fn make_private_file(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn open_private_file(path: &Path) -> Result<File> {
    File::options().write(true).create(true).truncate(false).open(path).when("open", path)
}

#[cfg(not(unix))]
fn restrict(_: &Path) -> Result<()> {
    Ok(())
}
