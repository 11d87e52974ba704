//! Storing one file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::feeder::Feeder;
use super::treat::{Effort, Inspector, Workbench};
use super::{AvroReport, Depth};
use crate::avro::container::Header;
use crate::chunk::CutParams;
use crate::error::{Error, IoContext, Result};
use crate::files::{open_for_reading, stat_of};
use crate::id::{ContentHash, Digester, digest};
use crate::index::Index;
use crate::progress::Progress;
use crate::recipe::{AvroState, CompiledSchema, Framer, RawBlock, Segment, Splitter};
use crate::snapshot::entry::{AvroFacts, FileEntry};

/// What storing files needs.
pub(super) struct FileContext<'a> {
    pub(super) cut: CutParams,
    pub(super) effort: Effort,
    pub(super) bench: &'a Workbench,
    pub(super) pool: &'a rayon::ThreadPool,
    pub(super) progress: &'a dyn Progress,
    pub(super) schemas: &'a SchemaCache,
    pub(super) index: &'a Index,
}

/// Schemas that were compiled lately, by what the header says before its marker: the files of a table share it.
#[derive(Default)]
pub(super) struct SchemaCache(Mutex<HashMap<[u8; 32], Arc<CompiledSchema>>>);

/// How many schemas are kept. When there are more, all are forgotten: a table has few.
const SCHEMAS: usize = 64;

impl SchemaCache {
    pub(super) fn of(&self, header: &Header) -> Arc<CompiledSchema> {
        let key = digest(header.bytes());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return known.clone();
        }
        let compiled = Arc::new(CompiledSchema::of(header));
        let mut known = lock();
        if known.len() >= SCHEMAS {
            known.clear();
        }
        known.insert(key, compiled.clone());
        compiled
    }
}

/// How many bytes are read at once.
const READ: usize = 1 << 20;

/// Blocks that have to be decoded are gathered up to so many payload bytes, to be dealt with in parallel.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_BLOCKS: usize = 256;

/// How often a file that changes while it is read is read again.
const TRIES: u32 = 3;

/// What storing a file came to.
pub(super) struct Stored {
    /// Its row.
    pub(super) entry: FileEntry,
    /// How many bytes were read, counting repeated ones.
    pub(super) bytes_read: u64,
    /// It changed while it was read, every time.
    pub(super) unstable: bool,
}

/// Reads a file and stores its content; completes its row. A file that changes meanwhile is read again.
pub(super) fn store_file(
    context: &FileContext<'_>,
    feeder: &mut Feeder<'_, '_, '_>,
    path: &Path,
    mut entry: FileEntry,
    expected: Option<&str>,
    now: &dyn Fn() -> i64,
) -> Result<Stored> {
    let mut bytes_read = 0;
    let mut unstable = false;
    for _ in 0..TRIES {
        let mut file = open_for_reading(path)?;
        let before = stat_of(&file).when("stat", path)?;
        let read_at = now();
        let read = |file: &mut File, buffer: &mut [u8]| loop {
            match file.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result.when("read", path),
            }
        };
        bytes_read += store_content(context, feeder, &mut |buffer| read(&mut file, buffer), &mut entry, expected)?;
        let after = stat_of(&file).when("stat", path)?;
        (entry.mtime, entry.ctime, entry.inode) = (before.mtime, before.ctime, before.inode);
        unstable = before != after || entry.size != after.size;
        // Changed while it was read, its times prove nothing next time, either.
        entry.racy = unstable || before.is_racy(read_at);
        if !unstable {
            break;
        }
    }
    Ok(Stored { entry, bytes_read, unstable })
}

/// Stores what `read` gives, and fills in what follows from it: size, hash, recipe, and what a container is like.
pub(super) fn store_content(
    context: &FileContext<'_>,
    feeder: &mut Feeder<'_, '_, '_>,
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    entry: &mut FileEntry,
    expected: Option<&str>,
) -> Result<u64> {
    let mut framer = Framer::new(context.effort.depth != Depth::Bytes);
    let mut file = ContainerFile {
        context,
        splitter: Splitter::new(context.cut),
        inspector: None,
        expected,
        codec: String::new(),
        batch: Vec::new(),
        batch_bytes: 0,
    };
    let (mut digester, mut length) = (Digester::new(), 0);
    // Most files are small, and there are many of them.
    let mut buffer = vec![0; READ.min(usize::try_from(entry.size).unwrap_or(READ) + 1)];
    loop {
        let count = read(&mut buffer)?;
        let bytes = buffer.get(..count).unwrap_or(&[]);
        digester.update(bytes);
        length += count as u64;
        framer.push(bytes);
        context.progress.bytes(count as u64);
        while let Some(segment) = framer.next_segment(count == 0) {
            file.segment(segment, feeder)?;
        }
        if count == 0 {
            break;
        }
        if count == buffer.len() && buffer.len() < READ {
            buffer.resize(READ, 0);
        }
    }
    file.flush(feeder)?;
    let split = file.splitter.finish(feeder)?;
    entry.size = length;
    entry.content = Some(ContentHash::new(digester.finish()));
    entry.recipe = split.recipe.encode();
    let state = match framer.finding() {
        // Only its name says what a file of no bytes should have been.
        _ if length == 0 => entry.path.ends_with(b".avro").then_some(AvroState::Empty),
        finding => split.state(finding).filter(|_| framer.looks_for_containers()),
    };
    entry.avro = state.map(|state| AvroFacts {
        state,
        codec: file.codec,
        fingerprint: split.fingerprint,
        blocks: split.blocks,
        declared_records: split.declared_records,
        verified_records: split.verified_records,
        encoder: split.encoder,
        blocks_exact: split.exact,
        blocks_corrected: split.corrected,
        blocks_raw: split.raw,
        raw_reason: String::new(),
        stray_bytes: 0,
    });
    Ok(length)
}

/// A file on its way into streams.
struct ContainerFile<'a, 'c> {
    context: &'a FileContext<'c>,
    splitter: Splitter,
    inspector: Option<Inspector<'c>>,
    expected: Option<&'a str>,
    codec: String,
    /// Blocks that are to be dealt with together.
    batch: Vec<RawBlock>,
    batch_bytes: usize,
}

impl ContainerFile<'_, '_> {
    fn segment(&mut self, segment: Segment, feeder: &mut Feeder<'_, '_, '_>) -> Result<()> {
        match segment {
            Segment::Block(block) => {
                self.batch_bytes += block.payload.len();
                self.batch.push(block);
                let waits = self.inspector.as_ref().is_some_and(Inspector::decodes)
                    && self.batch_bytes < BATCH_BYTES
                    && self.batch.len() < BATCH_BLOCKS;
                if waits { Ok(()) } else { self.flush(feeder) }
            }
            segment => {
                self.flush(feeder)?;
                let Segment::Header(header) = &segment else { return self.splitter.segment(segment, feeder) };
                header.codec_name().clone_into(&mut self.codec);
                let FileContext { bench, effort, schemas, index, .. } = self.context;
                self.inspector = Some(Inspector::new(bench, index, *effort, header, self.expected));
                let schema = schemas.of(header);
                feeder.schema(schema.fingerprint());
                self.splitter.header(header, schema, feeder)
            }
        }
    }

    fn flush(&mut self, feeder: &mut Feeder<'_, '_, '_>) -> Result<()> {
        let blocks = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if blocks.is_empty() {
            return Ok(());
        }
        let Some(inspector) = &mut self.inspector else {
            return Err(Error::Invalid("a block without a header".into()));
        };
        let treatments = inspector.treat(self.context.pool, &blocks);
        for (block, treatment) in blocks.into_iter().zip(treatments) {
            self.splitter.block(block, treatment, feeder)?;
        }
        Ok(())
    }
}

impl AvroReport {
    /// Counts a container that was read.
    pub(super) fn count(&mut self, facts: &AvroFacts) {
        self.files += 1;
        self.unsound += u64::from(matches!(facts.state, AvroState::Torn | AvroState::Damaged | AvroState::Foreign));
        self.records += facts.declared_records;
        self.blocks_exact += facts.blocks_exact;
        self.blocks_corrected += facts.blocks_corrected;
        self.blocks_raw += facts.blocks_raw;
    }
}
