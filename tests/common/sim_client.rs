//! What `create` and `restore` do with a repository, by the same parts of the library, in the caller's thread alone: no
//! files, no threads of its own, so that a seed decides everything.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use avro_snap::chunk::{ChunkKind, ChunkSink};
use avro_snap::crypto::slot::KdfCost;
use avro_snap::crypto::{SeededEntropy, Suite};
use avro_snap::error::{Error, Result};
use avro_snap::id::{ChunkHasher, ChunkId, ContentHash, SnapshotId, digest};
use avro_snap::log::{ReplaceReason, RootReplacement};
use avro_snap::pack::{Chain, EncodedFrame, FrameCodec, Place, PlainChunk};
use avro_snap::recipe::{Recipe, StreamBuilder, StreamReader};
use avro_snap::runtime::{CancelToken, Runtime};
use avro_snap::snapshot::entry::FileEntry;
use avro_snap::snapshot::{ManifestWriter, SnapshotRoot, Totals};
use avro_snap::storage::Backend;
use avro_snap::store::{
    CachePlace, Clock, InitOptions, OpenOptions, Repository, Sizes, SnapshotRecord, Unlock, Writer, read_root,
};

use crate::sim_store::Dice;

/// What a folder holds: for each file, which version of each of its pieces. Equal versions are equal bytes, whoever
/// saves them and whenever.
pub type Content = BTreeMap<u8, Vec<u8>>;

/// The bytes of a piece: too many to be kept in the recipe, and hard to confuse with another's.
pub fn piece(file: u8, number: usize, version: u8) -> Vec<u8> {
    let mut dice = Dice::new(u64::from(file) << 32 | (number as u64) << 8 | u64::from(version));
    (0..80 + number % 3).flat_map(|_| dice.next().to_le_bytes()).collect()
}

pub fn bytes_of(file: u8, versions: &[u8]) -> Vec<u8> {
    versions.iter().enumerate().flat_map(|(number, version)| piece(file, number, *version)).collect()
}

pub fn random_content(dice: &mut Dice) -> Content {
    (0..1 + dice.below(3) as u8)
        .map(|file| (file, (0..1 + dice.below(3)).map(|_| dice.below(3) as u8).collect()))
        .collect()
}

/// A day's work.
pub fn change(content: &mut Content, dice: &mut Dice) {
    for _ in 0..1 + dice.below(2) {
        let file = dice.below(4) as u8;
        if dice.one_in(6) && content.len() > 1 {
            content.remove(&file);
            continue;
        }
        match content.get_mut(&file) {
            Some(versions) => {
                let at = dice.below(versions.len());
                versions[at] = dice.below(4) as u8;
            }
            None => drop(content.insert(file, vec![dice.below(3) as u8; 1 + dice.below(2)])),
        }
    }
}

/// A clock that a simulation sets.
#[derive(Debug, Default)]
pub struct SimClock(AtomicI64);

impl SimClock {
    pub fn set(&self, nanoseconds: i64) {
        self.0.store(nanoseconds, Ordering::SeqCst);
    }

    pub fn pass(&self, nanoseconds: i64) {
        self.0.fetch_add(nanoseconds, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub fn init(backend: &Arc<dyn Backend>, suite: Suite, clock: &SimClock, seed: u64) -> Result<()> {
    let options = InitOptions::default()
        .encryption(suite)
        .password((suite != Suite::None).then(|| b"password".to_vec()))
        .kdf(KdfCost { memory_kib: 64, passes: 1, lanes: 1 })
        .label("sim");
    Repository::init(backend, &options, clock, &SeededEntropy::new(seed)).map(drop)
}

pub fn open(backend: Arc<dyn Backend>, clock: &Arc<SimClock>, seed: u64) -> Result<Repository> {
    open_with(backend, clock, seed, CachePlace::Temporary)
}

pub fn open_with(backend: Arc<dyn Backend>, clock: &Arc<SimClock>, seed: u64, cache: CachePlace) -> Result<Repository> {
    let options = OpenOptions::default()
        .cache(cache)
        .clock(clock.clone())
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .runtime(Runtime::new(1, CancelToken::default()));
    let mut repository = Repository::open(backend, Unlock::Password(&mut || Ok(b"password".to_vec())), &options)?;
    if seed % 2 == 1 {
        // So that they play a part in logs that are short.
        repository.set_sizes(Sizes { checkpoint: 4, ..Sizes::default() });
    }
    Ok(repository)
}

/// Takes chunks as the feeder of `create` does.
struct Feed<'w, 'r> {
    writer: &'w Writer<'r>,
    hasher: ChunkHasher,
    codec: FrameCodec,
    open: BTreeMap<ChunkKind, Vec<PlainChunk>>,
    repository: &'r Repository,
    deltas: bool,
    /// Chunks of which the next may be stored as a delta.
    alike: Vec<ChunkId>,
}

impl Feed<'_, '_> {
    /// The chunk as a delta of one that is like it, where there is one on which something new may rest.
    fn delta(&mut self, kind: ChunkKind, chunk: &PlainChunk) -> Result<Option<EncodedFrame>> {
        for base in self.alike.iter().filter(|base| **base != chunk.id) {
            let (Ok((place, _)), Ok(bytes)) =
                (self.repository.catalog().links(base), self.repository.reader().base(base))
            else {
                continue;
            };
            let Some(place) = Place::step_above([place]) else { continue };
            let chain = Chain { place, bases: vec![*base] };
            if self.writer.is_sound(&chain)? {
                return Ok(self.codec.encode_delta(kind, chunk, &bytes, chain, 2 * chunk.bytes.len()));
            }
        }
        Ok(None)
    }

    /// Frames are closed, and so is the pack: little data makes several packs this way.
    fn flush(&mut self) -> Result<()> {
        for (kind, chunks) in std::mem::take(&mut self.open) {
            if let Some(full) = self.writer.add(self.codec.encode(kind, &chunks)) {
                self.writer.store(full)?;
            }
        }
        match self.writer.take_open() {
            Some(pack) => self.writer.store(pack).map(drop),
            None => Ok(()),
        }
    }
}

impl ChunkSink for Feed<'_, '_> {
    fn put(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> Result<ChunkId> {
        let id = self.hasher.id(&bytes);
        if self.writer.reserve(id)? {
            let chunk = PlainChunk { id, bytes };
            let delta = if self.deltas { self.delta(kind, &chunk)? } else { None };
            match delta.map(|frame| self.writer.add(frame)) {
                Some(Some(full)) => drop(self.writer.store(full)?),
                Some(None) => {}
                None => self.open.entry(kind).or_default().push(chunk),
            }
        }
        Ok(id)
    }
}

/// How to save.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// A pack for each file, and an index object for each pack.
    pub many_packs: bool,
    /// Pieces are stored as deltas of other versions of the same piece, where there are any.
    pub deltas: bool,
}

/// Saves what a folder holds. Files that are as in the last snapshot of the series are not read: their rows are taken
/// over. `begun` gets the snapshot's id before anything of it can be in the log.
pub fn save(
    repository: &Repository,
    series: &str,
    content: &Content,
    habits: Habits,
    begun: &mut dyn FnMut(SnapshotId),
) -> Result<SnapshotId> {
    // In the order in which `create` does it: the writer first, so that nothing the parent holds can go unnoticed.
    let writer = Writer::new(repository)?;
    let state = repository.state();
    let parents = state.snapshots.iter().rev().filter_map(|record| read_root(repository, record).ok());
    let parent = parents.into_iter().find(|root| root.series == series);
    let id = SnapshotId::new(repository.log().entropy().array().map_err(|e| Error::Crypto(e.into()))?);
    begun(id);
    let done = store(repository, &writer, id, series, content, habits, parent.as_ref());
    match done {
        Ok(root) => writer.commit(id, root).map(|committed| committed.snapshot),
        Err(error) => {
            let _ = writer.flush();
            Err(error)
        }
    }
}

fn store(
    repository: &Repository,
    writer: &Writer<'_>,
    id: SnapshotId,
    series: &str,
    content: &Content,
    habits: Habits,
    parent: Option<&SnapshotRoot>,
) -> Result<ChunkId> {
    let codec = FrameCodec::new(None).map_err(|e| Error::Internal(e.to_string()))?;
    let mut feed = Feed {
        writer,
        hasher: repository.hasher(),
        codec,
        open: BTreeMap::new(),
        repository,
        deltas: false,
        alike: Vec::new(),
    };
    let mut manifest = ManifestWriter::new(repository.hasher());
    let before = parent.filter(|_| !writer.lost_packs()).and_then(|parent| rows_of(repository, parent).ok());
    for (file, versions) in content {
        let bytes = bytes_of(*file, versions);
        let path = vec![b'a' + file];
        let hash = ContentHash::new(digest(&bytes));
        let unmodified = before.as_ref().and_then(|rows| rows.iter().find(|row| row.path == path));
        let entry = match unmodified.filter(|row| row.content == Some(hash)) {
            Some(row) => row.clone(),
            None => {
                let mut stream = StreamBuilder::new();
                feed.deltas = habits.deltas;
                for (number, version) in versions.iter().enumerate() {
                    feed.alike = (0..4).map(|other| feed.hasher.id(&piece(*file, number, other))).collect();
                    stream.push(ChunkKind::Bytes, piece(*file, number, *version), 0, &mut feed)?;
                }
                feed.deltas = false;
                let recipe = Recipe::Plain(stream.finish(&mut feed)?).encode();
                FileEntry { path, size: bytes.len() as u64, content: Some(hash), recipe, ..FileEntry::nothing() }
            }
        };
        manifest.push(&entry, &mut feed)?;
        if habits.many_packs {
            feed.flush()?;
            writer.flush()?;
        }
    }
    let totals = Totals { files: content.len() as u64, ..Totals::default() };
    let root = SnapshotRoot {
        series: series.into(),
        host: "sim".into(),
        time: repository.log().clock().now(),
        parent: parent.map(|parent| parent.id),
        program: "sim".into(),
        totals,
        manifest: manifest.finish(&mut feed)?,
        ..SnapshotRoot::nothing(id)
    };
    let root = feed.put(ChunkKind::Root, root.encode())?;
    feed.flush()?;
    Ok(root)
}

/// Stores a snapshot in another way, as `repair payloads` does it: its pieces put together to one, or apart again. Gives
/// whether that is what it has now: somebody else may have been faster.
pub fn settle(repository: &Repository, id: SnapshotId) -> Result<bool> {
    let writer = Writer::new(repository)?;
    match new_root(repository, &writer, id, &mut |_| {}) {
        Ok(Some(replacement)) => Ok(writer.replace_roots(ReplaceReason::Settled, &[replacement])?.outrun.is_empty()),
        Ok(None) => Ok(false),
        Err(error) => {
            let _ = writer.flush();
            Err(error)
        }
    }
}

/// Makes a new root for a snapshot, and nothing else. `change` may do anything to it.
pub fn new_root(
    repository: &Repository,
    writer: &Writer<'_>,
    id: SnapshotId,
    change: &mut dyn FnMut(&mut SnapshotRoot),
) -> Result<Option<RootReplacement>> {
    let state = repository.state();
    let Some(record) = state.snapshots.iter().find(|record| record.id == id) else { return Ok(None) };
    let old = read_root(repository, record)?;
    let codec = FrameCodec::new(None).map_err(|e| Error::Internal(e.to_string()))?;
    let (hasher, alike) = (repository.hasher(), Vec::new());
    let mut feed = Feed { writer, hasher, codec, open: BTreeMap::new(), repository, deltas: false, alike };
    let mut root = store_again(repository, &old, &mut feed)?;
    change(&mut root);
    let new = feed.put(ChunkKind::Root, root.encode())?;
    feed.flush()?;
    Ok(Some(RootReplacement { snapshot: id, old: record.root, new }))
}

fn store_again(repository: &Repository, old: &SnapshotRoot, feed: &mut Feed<'_, '_>) -> Result<SnapshotRoot> {
    let mut manifest = ManifestWriter::new(repository.hasher());
    for mut row in rows_of(repository, old)? {
        // Every second file is left as it is, so that its chunks are taken over without a look at them.
        if row.path.first().is_some_and(|name| (u64::from(*name) + old.revision).is_multiple_of(2)) {
            let bytes = bytes_in(repository, &row)?;
            let (mut stream, parts) = (StreamBuilder::new(), 1 + old.revision as usize % 3);
            for part in bytes.chunks(bytes.len().div_ceil(parts).max(1)) {
                stream.push(ChunkKind::Bytes, part.to_vec(), 0, feed)?;
            }
            row.recipe = Recipe::Plain(stream.finish(feed)?).encode();
        }
        manifest.push(&row, feed)?;
    }
    Ok(SnapshotRoot { revision: old.revision + 1, manifest: manifest.finish(feed)?, ..old.clone() })
}

fn bytes_in(repository: &Repository, row: &FileEntry) -> Result<Vec<u8>> {
    let recipe = Recipe::decode(&row.recipe).map_err(|malformed| Error::damaged("a recipe", malformed))?;
    let mut bytes = Vec::new();
    for stream in recipe.streams() {
        let mut reader = StreamReader::new(stream, repository);
        while let Some(some) = reader.some()? {
            bytes.extend_from_slice(&some);
        }
    }
    Ok(bytes)
}

fn rows_of(repository: &Repository, root: &SnapshotRoot) -> Result<Vec<FileEntry>> {
    let (mut rows, mut all) = (root.rows(repository), Vec::new());
    while let Some(row) = rows.next_row()? {
        all.push(row);
    }
    Ok(all)
}

/// What a snapshot holds, read as `restore` reads it.
pub fn contents(repository: &Repository, record: &SnapshotRecord) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let root = read_root(repository, record)?;
    let mut files = BTreeMap::new();
    for row in rows_of(repository, &root)? {
        let bytes = bytes_in(repository, &row)?;
        if row.content != Some(ContentHash::new(digest(&bytes))) {
            return Err(Error::damaged("a file", "it is not what was saved"));
        }
        files.insert(row.path, bytes);
    }
    Ok(files)
}

/// The same of the snapshot as it is by now, where its root is replaced while it is read.
pub fn contents_now(repository: &Repository, record: &SnapshotRecord) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut record = record.clone();
    loop {
        let error = match contents(repository, &record) {
            Err(error) if error.is_damage() => error,
            read => return read,
        };
        repository.catalog().refresh()?;
        let now = repository.state().snapshots.clone().into_iter().find(|now| now.id == record.id);
        match now.filter(|now| now.root != record.root) {
            Some(now) => record = now,
            None => return Err(error),
        }
    }
}

/// The same, as it should be.
pub fn expected(content: &Content) -> BTreeMap<Vec<u8>, Vec<u8>> {
    content.iter().map(|(file, versions)| (vec![b'a' + file], bytes_of(*file, versions))).collect()
}

/// What is wrong with a repository in the end: which snapshots of these are not there, and which that are there are not what was
/// being saved under their names.
pub fn missed<'a>(
    repository: &Repository,
    wanted: impl Iterator<Item = &'a SnapshotId>,
    begun: &BTreeMap<SnapshotId, Content>,
) -> Vec<String> {
    let state = repository.state();
    let mut wrong: Vec<String> = wanted
        .filter(|id| state.snapshot(**id).is_none())
        .map(|id| format!("{id} was acknowledged and is not there"))
        .collect();
    for record in &state.snapshots {
        match contents(repository, record) {
            Ok(files) if files == expected(&begun[&record.id]) => {}
            Ok(_) => wrong.push(format!("{} holds something else than was saved", record.id)),
            Err(error) => wrong.push(format!("{} is lost: {error}", record.id)),
        }
    }
    wrong
}

/// Removes a snapshot from the log.
pub fn forget(repository: &Repository, id: SnapshotId) -> Result<()> {
    repository.log().remove_snapshots(&[id], &[]).map(drop)
}
