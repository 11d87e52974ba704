//! One file, its tables, and the other processes that use it.

use std::cell::Cell;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use crate::error::{Error, IoContext, Result};

/// How much of a file SQLite may keep in memory, in KiB.
const MEMORY_KIB: i64 = 32 << 10;

/// How long to wait for another writer of the file. One transaction takes in one index object at most.
const WRITER: Duration = Duration::from_secs(60);

/// How many lookups are made in one transaction of SQLite. Each transaction locks the file and lets go of it, which takes longer than
/// the lookup itself. What other processes write is seen after this many at the latest.
const LOOKUPS: u32 = 128;

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
    /// How many more lookups the transaction that is open for them may serve; 0 if none is open.
    lookups: Cell<u32>,
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
                Ok(connection) => return Ok(Self::of(connection, Some(place), row_key, layout)),
                Err(_) if place.is_alone() => {
                    let again = remove_files(path).and_then(|()| connect(path, layout));
                    place.share();
                    if let Ok(connection) = again {
                        return Ok(Self::of(connection, Some(place), row_key, layout));
                    }
                }
                Err(_) => {}
            }
        }
        Ok(Self::of(connect_temporary(layout)?, None, row_key, layout))
    }

    fn of(connection: Connection, place: Option<SharedFile>, row_key: [u8; 32], layout: Layout) -> Self {
        Self { connection, place, row_key, layout, lookups: Cell::new(0) }
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
        self.end_lookups();
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
        self.end_lookups();
        self.connection = connect_temporary(self.layout)?;
        self.place = None;
        Ok(())
    }

    /// Changes whenever another process changed the file since this one looked.
    ///
    /// # Errors
    /// Errors of SQLite.
    pub(crate) fn version(&self) -> Result<i64> {
        Ok(self.connection().prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
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
        self.connection().execute_batch("BEGIN IMMEDIATE")?;
        let done = work();
        self.connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        done
    }

    /// What SQLite is asked through.
    pub(crate) fn connection(&self) -> &Connection {
        self.end_lookups();
        &self.connection
    }

    /// The same for a lookup that may see the tables as they were some lookups ago.
    ///
    /// # Errors
    /// Errors of SQLite.
    pub(crate) fn lookups(&self) -> Result<&Connection> {
        let left = self.lookups.get();
        if left > 1 {
            self.lookups.set(left - 1);
            return Ok(&self.connection);
        }
        self.end_lookups();
        // A temporary file belongs to this process alone and is not locked; and there is one transaction at a time.
        if self.place.is_some() && self.connection.is_autocommit() {
            self.connection.prepare_cached("BEGIN")?.execute([])?;
            self.lookups.set(LOOKUPS);
        }
        Ok(&self.connection)
    }

    fn end_lookups(&self) {
        if self.lookups.replace(0) > 0 {
            // It has written nothing. What is wrong with the file is reported to who asks next.
            let _ = self.connection.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout =
        Layout { version: 1, tables: "CREATE TABLE IF NOT EXISTS seen (id INTEGER PRIMARY KEY) WITHOUT ROWID;" };

    fn insert(file: &CacheFile, id: i64) {
        file.transaction(|| Ok(file.connection().execute("INSERT INTO seen VALUES (?1)", [id])?)).unwrap();
    }

    fn count(connection: &Connection) -> i64 {
        connection.query_row("SELECT COUNT(*) FROM seen", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn lookups_see_what_others_write_soon_and_do_not_stand_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.db");
        let [one, other] = [(); 2].map(|()| CacheFile::open(Some(&path), [0; 32], LAYOUT).unwrap());
        let version = one.version().unwrap();
        assert_eq!(count(one.lookups().unwrap()), 0);
        insert(&other, 1);
        let seen_after = (1..=LOOKUPS).find(|_| count(one.lookups().unwrap()) == 1);
        assert_eq!(seen_after, Some(LOOKUPS), "not before: they were in one transaction");
        // Anything else sees it at once, and may write.
        insert(&other, 2);
        assert_eq!(count(one.lookups().unwrap()), 1);
        assert_ne!(one.version().unwrap(), version);
        assert_eq!(count(one.lookups().unwrap()), 2);
        insert(&one, 3);
        // Within a transaction, too.
        let within = one.transaction(|| {
            one.connection().execute("INSERT INTO seen VALUES (4)", [])?;
            Ok(count(one.lookups()?))
        });
        assert_eq!(within.unwrap(), 4);
        assert_eq!(count(other.lookups().unwrap()), 4);
    }

    #[test]
    fn a_temporary_file_is_looked_up_in_without_transactions() {
        let mut file = CacheFile::open(None, [0; 32], LAYOUT).unwrap();
        assert!(file.lookups().unwrap().is_autocommit());
        file.recreate().unwrap();
        assert_eq!(count(file.lookups().unwrap()), 0);
    }
}
