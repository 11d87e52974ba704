//! The SQLite file behind the index.
//!
//! ```text
//! meta(key, value)                       layout version, head of the log
//! objects(id)                            index objects whose packs are in here
//! packs(number, id, length, bases, info, object, tag)   one row a pack; `info` as in an index object
//! payloads(...)                         see `payloads.rs`
//! anchors(...), anchored(...)           see `anchors.rs`
//! copied(...)                           see `copied.rs`
//! chunks(id, pack, slot, tag)            one row a location; slot = frame << 24 | chunk
//! ```

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::{Head, Location, decode_object, encode_object};
use crate::error::{Error, IoContext, Result};
use crate::id::{ChunkId, IndexId, PackId};
use crate::pack::PackInfo;

/// Changes with the tables, so that an older cache is made anew.
const LAYOUT: i64 = 3;

/// How much of the file SQLite may keep in memory, in KiB.
const MEMORY_KIB: i64 = 32 << 10;

/// How long to wait for somebody who is just about to close the file.
const BUSY: std::time::Duration = std::time::Duration::from_millis(100);

const CHUNK_BITS: u32 = 24;

/// What there is to know of a pack at once.
#[derive(Debug)]
pub(super) struct PackRow {
    pub(super) number: u32,
    pub(super) id: PackId,
    pub(super) length: u64,
    /// How many base chunks its deltas need.
    pub(super) bases: u32,
    /// The index object that names it.
    pub(super) object: Option<IndexId>,
}

#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    path: Option<PathBuf>,
    row_key: [u8; 32],
}

impl Database {
    /// The database in this file; anew if anything is wrong with it; a temporary one if it is in use or cannot be.
    pub(super) fn open(path: Option<&Path>, row_key: [u8; 32]) -> Result<Self> {
        if let Some(path) = path {
            match connect_file(path) {
                Ok(connection) => return Ok(Self { connection, path: Some(path.to_path_buf()), row_key }),
                Err(error) if is_busy(&error) => {}
                Err(_) => {
                    remove_files(path).ok();
                    if let Ok(connection) = connect_file(path) {
                        return Ok(Self { connection, path: Some(path.to_path_buf()), row_key });
                    }
                }
            }
        }
        Ok(Self { connection: connect_temporary()?, path: None, row_key })
    }

    pub(super) fn is_persistent(&self) -> bool {
        self.path.is_some()
    }

    /// Throws everything away. Where the file cannot be made anew (or another process takes it just then), a temporary
    /// one serves.
    pub(super) fn recreate(&mut self) -> Result<()> {
        let path = self.path.clone();
        self.forsake_file()?;
        if let Some(path) = path
            && remove_files(&path).is_ok()
            && let Ok(connection) = connect_file(&path)
        {
            (self.connection, self.path) = (connection, Some(path));
        }
        Ok(())
    }

    /// Goes on with an empty temporary database.
    pub(super) fn forsake_file(&mut self) -> Result<()> {
        self.connection = connect_temporary()?;
        self.path = None;
        Ok(())
    }

    pub(super) fn failed(&self, reason: &str) -> Error {
        Error::Cache { path: self.path.clone().unwrap_or_else(|| "index.db".into()), reason: reason.into() }
    }

    /// Does several things at once, or none of them.
    pub(super) fn transaction<T>(&mut self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let done = work(self);
        self.connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        done
    }

    pub(super) fn head(&self) -> Result<Option<Head>> {
        let row: Option<Vec<u8>> =
            self.connection.query_row("SELECT value FROM meta WHERE key = 'head'", [], |row| row.get(0)).optional()?;
        Ok(row.and_then(|bytes| {
            let (sequence, hash) = bytes.split_first_chunk::<8>()?;
            Some((u64::from_le_bytes(*sequence), hash.try_into().ok()?))
        }))
    }

    pub(super) fn set_head(&self, (sequence, hash): Head) -> Result<()> {
        let value = [&sequence.to_le_bytes()[..], &hash].concat();
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('head', ?1)", [value])?;
        Ok(())
    }

    pub(super) fn objects(&self) -> Result<Vec<IndexId>> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM objects")?;
        let rows = statement.query_map([], |row| row.get::<_, [u8; 32]>(0))?;
        Ok(rows.map(|row| row.map(IndexId::new)).collect::<rusqlite::Result<_>>()?)
    }

    pub(super) fn insert_object(&self, id: &IndexId) -> Result<()> {
        self.connection.prepare_cached("INSERT OR IGNORE INTO objects VALUES (?1)")?.execute([id.as_bytes()])?;
        Ok(())
    }

    pub(super) fn forget_object(&self, id: &IndexId) -> Result<()> {
        self.connection.prepare_cached("DELETE FROM objects WHERE id = ?1")?.execute([id.as_bytes()])?;
        Ok(())
    }

    /// Drops packs and the rows of what lay in them, in one pass over the table.
    pub(super) fn forget_packs(&self, numbers: &[u32]) -> Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        self.connection.execute_batch("CREATE TEMP TABLE dropped (number INTEGER PRIMARY KEY)")?;
        for number in numbers {
            self.connection.prepare_cached("INSERT OR IGNORE INTO dropped VALUES (?1)")?.execute([number])?;
        }
        self.connection.execute_batch(
            "DELETE FROM chunks WHERE pack IN (SELECT number FROM dropped);
             DELETE FROM anchors WHERE chunk >> 32 IN (SELECT number FROM dropped);
             DELETE FROM anchored WHERE chunk >> 32 IN (SELECT number FROM dropped);
             DELETE FROM packs WHERE number IN (SELECT number FROM dropped);
             DROP TABLE dropped",
        )?;
        Ok(())
    }

    /// All packs whose rows are sound.
    pub(super) fn packs(&self) -> Result<Vec<PackRow>> {
        let mut statement =
            self.connection.prepare_cached("SELECT number, id, object, tag, info, length, bases FROM packs")?;
        let mut rows = statement.query([])?;
        let mut packs = Vec::new();
        while let Some(row) = rows.next()? {
            let (number, id): (u32, [u8; 32]) = (row.get(0)?, row.get(1)?);
            let (object, tag): (Option<[u8; 32]>, i64) = (row.get(2)?, row.get(3)?);
            let bases: u32 = row.get(6)?;
            if self.pack_tag(number, &id, bases, row.get_ref(4)?.as_blob().unwrap_or(&[])) != tag {
                return Err(self.failed("a pack's row has a wrong checksum"));
            }
            // Were the length wrong, the pack would count as gone, and its chunks be stored again: no harm.
            let length = row.get::<_, i64>(5)?.cast_unsigned();
            packs.push(PackRow { number, id: PackId::new(id), length, bases, object: object.map(IndexId::new) });
        }
        Ok(packs)
    }

    pub(super) fn pack(&self, number: u32) -> Result<PackInfo> {
        let mut statement =
            self.connection.prepare_cached("SELECT id, tag, info, bases FROM packs WHERE number = ?1")?;
        let mut rows = statement.query([number])?;
        let row = rows.next()?.ok_or_else(|| self.failed("a pack's row is gone"))?;
        let (id, tag): ([u8; 32], i64) = (row.get(0)?, row.get(1)?);
        let info = row.get_ref(2)?.as_blob().unwrap_or(&[]);
        if self.pack_tag(number, &id, row.get(3)?, info) != tag {
            return Err(self.failed("a pack's row has a wrong checksum"));
        }
        let decoded = decode_object(info).ok().and_then(|mut packs| packs.pop());
        decoded.ok_or_else(|| self.failed("a pack's row does not decode"))
    }

    /// Adds a pack and where its chunks lie; gives its number, which is higher than `last`.
    pub(super) fn insert_pack(&self, info: &PackInfo, last: u32) -> Result<u32> {
        let number: u32 =
            self.connection
                .query_row("SELECT MAX(COALESCE(MAX(number), 0), ?1) + 1 FROM packs", [last], |row| row.get(0))?;
        let encoded = encode_object(std::slice::from_ref(info));
        let bases = info.directory.bases.len() as u32;
        let tag = self.pack_tag(number, info.id.as_bytes(), bases, &encoded);
        self.connection
            .prepare_cached(
                "INSERT INTO packs (number, id, length, info, object, tag, bases)
                 VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6)",
            )?
            .execute(params![number, info.id.as_bytes(), info.length.cast_signed(), encoded, tag, bases])?;
        // In the order of the keys the tree is filled from left to right, which is several times faster.
        let mut rows: Vec<(&ChunkId, u32, u32)> = Vec::with_capacity(info.directory.chunks.len());
        for (frame, (_, chunks)) in info.directory.iter().enumerate() {
            rows.extend(chunks.iter().enumerate().map(|(chunk, listed)| (&listed.id, frame as u32, chunk as u32)));
        }
        rows.sort_unstable();
        let mut insert = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO chunks (id, pack, slot, tag) VALUES (?1, ?2, ?3, ?4)")?;
        for (id, frame, chunk) in rows {
            let slot = i64::from(frame) << CHUNK_BITS | i64::from(chunk);
            insert.execute(params![id.as_bytes(), number, slot, self.tag(id, &info.id, frame, chunk)])?;
        }
        Ok(number)
    }

    pub(super) fn name_pack(&self, number: u32, object: &IndexId) -> Result<()> {
        self.connection
            .prepare_cached("UPDATE packs SET object = ?2 WHERE number = ?1")?
            .execute(params![number, object.as_bytes()])?;
        Ok(())
    }

    /// Drops the packs that no index object names.
    pub(super) fn drop_unpublished(&self) -> Result<()> {
        let unpublished: i64 =
            self.connection.query_row("SELECT COUNT(*) FROM packs WHERE object IS NULL", [], |row| row.get(0))?;
        if unpublished > 0 {
            self.connection.execute_batch(
                "BEGIN IMMEDIATE;
                 DELETE FROM chunks WHERE pack IN (SELECT number FROM packs WHERE object IS NULL);
                 DELETE FROM anchored WHERE chunk >> 32 IN (SELECT number FROM packs WHERE object IS NULL);
                 DELETE FROM packs WHERE object IS NULL;
                 COMMIT",
            )?;
        }
        Ok(())
    }

    /// The rows of a chunk, with their checksums as they stand there.
    pub(super) fn locate(&self, id: &ChunkId) -> Result<Vec<(Location, i64)>> {
        let mut statement = self.connection.prepare_cached("SELECT pack, slot, tag FROM chunks WHERE id = ?1")?;
        let rows = statement.query_map([id.as_bytes()], |row| {
            let (pack, slot, tag): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok((pack, slot, tag))
        })?;
        let mut locations = Vec::new();
        for row in rows {
            let (pack, slot, tag) = row?;
            // Numbers that cannot be come from a damaged row, which does not count.
            if let (Ok(pack), Ok(frame)) = (u32::try_from(pack), u32::try_from(slot >> CHUNK_BITS)) {
                let chunk = (slot & ((1 << CHUNK_BITS) - 1)) as u32;
                locations.push((Location { pack, frame, chunk }, tag));
            }
        }
        Ok(locations)
    }

    /// The checksum of a chunk's row. It names the pack by its id, so that a row never speaks for another pack.
    pub(super) fn tag(&self, id: &ChunkId, pack: &PackId, frame: u32, chunk: u32) -> i64 {
        self.keyed(&[id.as_bytes(), pack.as_bytes(), &frame.to_le_bytes(), &chunk.to_le_bytes()])
    }

    fn pack_tag(&self, number: u32, id: &[u8; 32], bases: u32, info: &[u8]) -> i64 {
        self.keyed(&[b"pack", &number.to_le_bytes(), id, &bases.to_le_bytes(), info])
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn keyed(&self, parts: &[&[u8]]) -> i64 {
        i64::from_le_bytes(crate::crypto::checksum(&self.row_key, parts))
    }
}

fn connect_file(path: &Path) -> Result<Connection> {
    if let Some(folder) = path.parent() {
        make_private_folder(folder)?;
    }
    make_private_file(path)?;
    let connection = Connection::open(path)?;
    // Who has it keeps it for as long as the process lives: nothing is gained by waiting (rusqlite waits for 5 s).
    connection.busy_timeout(BUSY)?;
    restrict(path)?;
    // One process at a time: it holds the lock from its first write on.
    connection
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")?;
    set_up(&connection)?;
    Ok(connection)
}

/// A database in a file of SQLite's own that goes with the connection.
fn connect_temporary() -> Result<Connection> {
    let connection = Connection::open("")?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    set_up(&connection)?;
    Ok(connection)
}

fn set_up(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(32);
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -{MEMORY_KIB};
         BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS objects (id BLOB PRIMARY KEY) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS packs
             (number INTEGER PRIMARY KEY, id BLOB UNIQUE NOT NULL, length INTEGER NOT NULL, bases INTEGER NOT NULL,
              info BLOB NOT NULL, object BLOB, tag INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS chunks
             (id BLOB NOT NULL, pack INTEGER NOT NULL, slot INTEGER NOT NULL, tag INTEGER NOT NULL,
              PRIMARY KEY (id, pack, slot)) WITHOUT ROWID;
         {}
         {}
         {}
         COMMIT",
        super::payloads::TABLE,
        super::anchors::TABLES,
        super::copied::TABLE
    ))?;
    let layout: Option<i64> =
        connection.query_row("SELECT value FROM meta WHERE key = 'layout'", [], |row| row.get(0)).optional()?;
    match layout {
        Some(LAYOUT) => Ok(()),
        Some(_) => Err(Error::Cache { path: "index.db".into(), reason: "it is of another version".into() }),
        None => {
            connection.execute("INSERT INTO meta VALUES ('layout', ?1)", [LAYOUT])?;
            Ok(())
        }
    }
}

fn is_busy(error: &Error) -> bool {
    matches!(error, Error::Cache { reason, .. } if reason.contains("locked"))
}

fn remove_files(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &file, error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).when("create", folder)
}

/// Makes the file before SQLite does, so that nobody else can open it even for a moment. SQLite gives the files that it
/// makes beside it the same rights.
#[cfg(unix)]
fn make_private_file(path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::File::options().write(true).create_new(true).mode(0o600).open(path) {
        // What is there is looked at by who opens it.
        Ok(_) => restrict(path),
        Err(_) => Ok(()),
    }
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
fn restrict(_: &Path) -> Result<()> {
    Ok(())
}
