//! The tables of the index.
//!
//! ```text
//! meta(key, value)                       layout version, head of the log, the highest number that a pack ever got
//! objects(id)                            index objects whose packs are in here
//! packs(number, id, length, bases, object, tag, info_tag, info)   one row a pack; `info` as in an index object
//! chunks(id, pack, slot, tag)            one row a location; slot = frame << 24 | chunk
//! ```

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};

use super::{CachedPack, Head, Location, decode_object, encode_object};
use crate::cache::{CacheFile, Layout};
use crate::error::{Error, Result};
use crate::id::{ChunkId, IndexId, PackId};
use crate::pack::PackInfo;

const LAYOUT: Layout = Layout {
    version: 4,
    tables: "
        CREATE TABLE IF NOT EXISTS objects (id BLOB PRIMARY KEY) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS packs
            (number INTEGER PRIMARY KEY, id BLOB UNIQUE NOT NULL, length INTEGER NOT NULL, bases INTEGER NOT NULL,
             object BLOB, tag INTEGER NOT NULL, info_tag INTEGER NOT NULL, info BLOB NOT NULL);
        CREATE TABLE IF NOT EXISTS chunks
            (id BLOB NOT NULL, pack INTEGER NOT NULL, slot INTEGER NOT NULL, tag INTEGER NOT NULL,
             PRIMARY KEY (id, pack, slot)) WITHOUT ROWID;",
};

const CHUNK_BITS: u32 = 24;

/// What there is to know of a pack at once.
#[derive(Debug)]
pub(super) struct PackRow {
    pub(super) number: CachedPack,
    pub(super) id: PackId,
    pub(super) length: u64,
    /// How many base chunks its deltas need.
    pub(super) bases: u32,
    /// The index object that names it.
    pub(super) object: Option<IndexId>,
}

#[derive(Debug)]
pub(super) struct Database {
    file: CacheFile,
}

impl Database {
    /// The database in this file, or a temporary one.
    pub(super) fn open(path: Option<&Path>, row_key: [u8; 32]) -> Result<Self> {
        Ok(Self { file: CacheFile::open(path, row_key, LAYOUT)? })
    }

    pub(super) fn is_persistent(&self) -> bool {
        self.file.is_persistent()
    }

    /// Throws everything away; beside other processes, goes on with a temporary file instead.
    pub(super) fn recreate(&mut self) -> Result<()> {
        self.file.recreate()
    }

    /// Goes on with an empty temporary database.
    pub(super) fn switch_to_temporary(&mut self) -> Result<()> {
        self.file.switch_to_temporary()
    }

    /// Changes whenever another process changed the tables.
    pub(super) fn version(&self) -> Result<i64> {
        self.file.version()
    }

    pub(super) fn failed(&self, reason: &str) -> Error {
        self.file.failed(reason)
    }

    /// Does several things at once, or none of them.
    pub(super) fn transaction<T>(&mut self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.file.transaction(|| work(self))
    }

    pub(super) fn head(&self) -> Result<Option<Head>> {
        let row: Option<Vec<u8>> = self
            .connection()
            .query_row("SELECT value FROM meta WHERE key = 'head'", [], |row| row.get(0))
            .optional()?;
        Ok(row.and_then(|bytes| {
            let (sequence, hash) = bytes.split_first_chunk::<8>()?;
            Some((u64::from_le_bytes(*sequence), hash.try_into().ok()?))
        }))
    }

    pub(super) fn set_head(&self, (sequence, hash): Head) -> Result<()> {
        let value = [&sequence.to_le_bytes()[..], &hash].concat();
        self.connection().execute("INSERT OR REPLACE INTO meta VALUES ('head', ?1)", [value])?;
        Ok(())
    }

    pub(super) fn objects(&self) -> Result<Vec<IndexId>> {
        let mut statement = self.connection().prepare_cached("SELECT id FROM objects")?;
        let rows = statement.query_map([], |row| row.get::<_, [u8; 32]>(0))?;
        Ok(rows.map(|row| row.map(IndexId::new)).collect::<rusqlite::Result<_>>()?)
    }

    pub(super) fn insert_object(&self, id: &IndexId) -> Result<()> {
        self.connection().prepare_cached("INSERT OR IGNORE INTO objects VALUES (?1)")?.execute([id.as_bytes()])?;
        Ok(())
    }

    pub(super) fn forget_object(&self, id: &IndexId) -> Result<()> {
        self.connection().prepare_cached("DELETE FROM objects WHERE id = ?1")?.execute([id.as_bytes()])?;
        Ok(())
    }

    /// Drops packs and the rows of what lay in them, in one pass over the table.
    pub(super) fn forget_packs(&self, numbers: &[CachedPack]) -> Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        self.connection().execute_batch("CREATE TEMP TABLE dropped (number INTEGER PRIMARY KEY)")?;
        for number in numbers {
            self.connection().prepare_cached("INSERT OR IGNORE INTO dropped VALUES (?1)")?.execute([number.0])?;
        }
        self.connection().execute_batch(
            "DELETE FROM chunks WHERE pack IN (SELECT number FROM dropped);
             DELETE FROM packs WHERE number IN (SELECT number FROM dropped);
             DROP TABLE dropped",
        )?;
        Ok(())
    }

    /// All packs whose rows are sound.
    pub(super) fn packs(&self) -> Result<Vec<PackRow>> {
        let mut statement =
            self.connection().prepare_cached("SELECT number, id, length, bases, object, tag FROM packs")?;
        let mut rows = statement.query([])?;
        let mut packs = Vec::new();
        while let Some(row) = rows.next()? {
            packs.push(self.pack_row(row)?);
        }
        Ok(packs)
    }

    /// The row of the pack with this id.
    pub(super) fn find_pack(&self, id: &PackId) -> Result<Option<PackRow>> {
        let mut statement = self
            .connection()
            .prepare_cached("SELECT number, id, length, bases, object, tag FROM packs WHERE id = ?1")?;
        let mut rows = statement.query([id.as_bytes()])?;
        rows.next()?.map(|row| self.pack_row(row)).transpose()
    }

    fn pack_row(&self, row: &rusqlite::Row<'_>) -> Result<PackRow> {
        let (number, id): (u32, [u8; 32]) = (row.get(0)?, row.get(1)?);
        // Were the length wrong, the pack would count as gone, and its chunks be stored again: no harm.
        let length = row.get::<_, i64>(2)?.cast_unsigned();
        let (bases, object): (u32, Option<[u8; 32]>) = (row.get(3)?, row.get(4)?);
        if self.pack_tag(number, &id, bases) != row.get::<_, i64>(5)? {
            return Err(self.failed("a pack's row has a wrong checksum"));
        }
        Ok(PackRow { number: CachedPack(number), id: PackId::new(id), length, bases, object: object.map(IndexId::new) })
    }

    pub(super) fn pack(&self, number: CachedPack) -> Result<PackInfo> {
        let mut statement =
            self.connection().prepare_cached("SELECT id, info_tag, info FROM packs WHERE number = ?1")?;
        let mut rows = statement.query([number.0])?;
        let row = rows.next()?.ok_or_else(|| self.failed("a pack's row is gone"))?;
        let (id, tag): ([u8; 32], i64) = (row.get(0)?, row.get(1)?);
        let info = row.get_ref(2)?.as_blob().unwrap_or(&[]);
        if self.info_tag(number.0, &id, info) != tag {
            return Err(self.failed("a pack's row has a wrong checksum"));
        }
        let decoded = decode_object(info).ok().and_then(|mut packs| packs.pop());
        decoded.ok_or_else(|| self.failed("a pack's row does not decode"))
    }

    /// Adds a pack and where its chunks lie; returns its number, which is higher than `last` and than any that was ever
    /// given in this file: other processes hold on to packs by their numbers.
    pub(super) fn insert_pack(&self, info: &PackInfo, last: CachedPack) -> Result<CachedPack> {
        let highest: Option<u32> = self
            .connection()
            .query_row("SELECT value FROM meta WHERE key = 'last_number'", [], |row| row.get(0))
            .optional()?;
        let highest = highest.unwrap_or(0).max(last.0);
        let number = highest.checked_add(1).ok_or_else(|| self.failed("no numbers are left"))?;
        self.connection().execute("INSERT OR REPLACE INTO meta VALUES ('last_number', ?1)", [number])?;
        let encoded = encode_object(std::slice::from_ref(info));
        let bases = info.directory.bases.len() as u32;
        let tag = self.pack_tag(number, info.id.as_bytes(), bases);
        let info_tag = self.info_tag(number, info.id.as_bytes(), &encoded);
        self.connection()
            .prepare_cached(
                "INSERT INTO packs (number, id, length, bases, object, tag, info_tag, info)
                 VALUES (?1, ?2, ?3, ?4, NULL, ?5, ?6, ?7)",
            )?
            .execute(params![number, info.id.as_bytes(), info.length.cast_signed(), bases, tag, info_tag, encoded])?;
        // In the order of the keys the tree is filled from left to right, which is several times faster.
        let mut rows: Vec<(&ChunkId, u32, u32)> = Vec::with_capacity(info.directory.chunks.len());
        for (frame, (_, chunks)) in info.directory.iter().enumerate() {
            rows.extend(chunks.iter().enumerate().map(|(chunk, listed)| (&listed.id, frame as u32, chunk as u32)));
        }
        rows.sort_unstable();
        let mut insert = self
            .connection()
            .prepare_cached("INSERT OR IGNORE INTO chunks (id, pack, slot, tag) VALUES (?1, ?2, ?3, ?4)")?;
        for (id, frame, chunk) in rows {
            let slot = i64::from(frame) << CHUNK_BITS | i64::from(chunk);
            insert.execute(params![id.as_bytes(), number, slot, self.tag(id, &info.id, frame, chunk)])?;
        }
        Ok(CachedPack(number))
    }

    pub(super) fn name_pack(&self, number: CachedPack, object: &IndexId) -> Result<()> {
        self.connection()
            .prepare_cached("UPDATE packs SET object = ?2 WHERE number = ?1")?
            .execute(params![number.0, object.as_bytes()])?;
        Ok(())
    }

    /// Drops the packs that no index object names, unless other processes use the file: they may be about to name them.
    pub(super) fn drop_unpublished(&self) -> Result<()> {
        let unpublished: i64 =
            self.connection().query_row("SELECT COUNT(*) FROM packs WHERE object IS NULL", [], |row| row.get(0))?;
        if unpublished > 0 {
            self.file.alone(|file| {
                Ok(file.connection().execute_batch(
                    "BEGIN IMMEDIATE;
                     DELETE FROM chunks WHERE pack IN (SELECT number FROM packs WHERE object IS NULL);
                     DELETE FROM packs WHERE object IS NULL;
                     COMMIT",
                )?)
            })?;
        }
        Ok(())
    }

    /// The rows of a chunk, with their checksums as they stand there.
    pub(super) fn locate(&self, id: &ChunkId) -> Result<Vec<(Location, i64)>> {
        let mut statement = self.file.lookups()?.prepare_cached("SELECT pack, slot, tag FROM chunks WHERE id = ?1")?;
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
                locations.push((Location { pack: CachedPack(pack), frame, chunk }, tag));
            }
        }
        Ok(locations)
    }

    /// The checksum of a chunk's row. It names the pack by its id, so that a row never speaks for another pack.
    pub(super) fn tag(&self, id: &ChunkId, pack: &PackId, frame: u32, chunk: u32) -> i64 {
        self.file.keyed(&[id.as_bytes(), pack.as_bytes(), &frame.to_le_bytes(), &chunk.to_le_bytes()])
    }

    fn pack_tag(&self, number: u32, id: &[u8; 32], bases: u32) -> i64 {
        self.file.keyed(&[b"pack", &number.to_le_bytes(), id, &bases.to_le_bytes()])
    }

    fn info_tag(&self, number: u32, id: &[u8; 32], info: &[u8]) -> i64 {
        self.file.keyed(&[b"info", &number.to_le_bytes(), id, info])
    }

    fn connection(&self) -> &Connection {
        self.file.connection()
    }
}
