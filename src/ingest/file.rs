//! Storing one file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::encoder_finder::{Effort, EncoderFinder, Workbench};
use super::feeder::Feeder;
use super::report::{AvroReport, Depth, UNKNOWN_WRITERS, UnknownWriter};
use super::room::{FEW, MIDDLE, Room};
use crate::avro::container::Header;
use crate::chunk::CutParams;
use crate::error::{Error, Result};
use crate::files::{FileStat, Held, SourceOpener};
use crate::id::{ContentHash, Digester, digest};
use crate::progress::Progress;
use crate::recipe::{AvroState, CompiledSchema, Finding, Framer, PayloadDecision, RawBlock, Segment, Split, Splitter};
use crate::snapshot::entry::{AvroFacts, FileEntry};
use crate::store::Repository;

/// What storing files needs.
pub(crate) struct FileContext<'a> {
    pub(crate) cut: CutParams,
    pub(crate) effort: Effort,
    pub(crate) bench: &'a Workbench,
    pub(crate) pool: &'a rayon::ThreadPool,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) schemas: &'a SchemaCache,
    pub(crate) repository: &'a Repository,
}

/// Schemas that were compiled lately, by what the header says before its marker: the files of a table share it.
#[derive(Default)]
pub(crate) struct SchemaCache(Mutex<CachedSchemas>);

#[derive(Default)]
struct CachedSchemas {
    compiled: HashMap<[u8; 32], Arc<CompiledSchema>>,
    /// How long their headers are together.
    bytes: usize,
}

/// How many schemas are kept, and how long their headers may be together. When there are more, all are forgotten: a table
/// has few.
const SCHEMAS: usize = 64;
const SCHEMA_BYTES: usize = 4 << 20;

impl SchemaCache {
    pub(crate) fn of(&self, header: &Header) -> Arc<CompiledSchema> {
        let key = digest(header.bytes());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().compiled.get(&key) {
            return known.clone();
        }
        let compiled = Arc::new(CompiledSchema::of(header));
        let (mut known, length) = (lock(), header.bytes().len());
        if known.compiled.len() >= SCHEMAS || known.bytes + length > SCHEMA_BYTES {
            *known = CachedSchemas::default();
        }
        if length <= SCHEMA_BYTES && known.compiled.insert(key, compiled.clone()).is_none() {
            known.bytes += length;
        }
        compiled
    }
}

/// How many bytes are read at once.
const READ: usize = 1 << 20;

/// Blocks that have to be decoded are gathered up to this many payload bytes, to be dealt with in parallel.
pub(super) const BATCH_BYTES: usize = 1 << 20;
pub(super) const BATCH_BLOCKS: usize = 256;

/// How often a file that changes while it is read is read again.
const TRIES: u32 = 3;

/// What storing a file came to.
pub(crate) struct Stored {
    /// Its row, complete.
    pub(crate) entry: FileEntry,
    /// The file that was read, where it has other names, too, and held still.
    pub(crate) shared: Option<FileStat>,
    /// The schema of a container.
    pub(crate) schema: Option<Arc<CompiledSchema>>,
    /// How many bytes were read, counting repeated ones.
    pub(crate) bytes_read: u64,
    /// Whether it changed each time while it was read.
    pub(crate) held: Held,
    /// Attributes that could not be read, where this is not known already: the file is another one than was met.
    pub(crate) unread: Vec<Error>,
    /// How much of it is missing, and was reported.
    pub(crate) incomplete: u64,
}

/// What was read of a content.
pub(crate) struct Content {
    /// How many bytes.
    pub(crate) length: u64,
    /// The schema of a container.
    pub(crate) schema: Option<Arc<CompiledSchema>>,
}

/// Reads a file and stores its content; completes its row, of which only the path is kept: all else is that of the file
/// which is read. A file that changes meanwhile is read again.
pub(crate) fn store_file(
    context: &FileContext<'_>,
    feeder: &mut Feeder<'_, '_, '_>,
    opener: &dyn SourceOpener,
    path: &Path,
    mut entry: FileEntry,
    expected: Option<&str>,
) -> Result<Stored> {
    let mut bytes_read = 0;
    let mut tries = 0;
    let met = (entry.inode, entry.ctime);
    loop {
        tries += 1;
        let mut reading = opener.open(path)?;
        let stat = reading.stat();
        let unread = reading.describe(&mut entry);
        let Content { length, schema } =
            store_content(context, feeder, &mut |buffer| reading.read(buffer), &mut entry, expected)?;
        bytes_read += length;
        let held = match reading.end()? {
            // Files of the system have bytes that their size does not show.
            Held::Still if entry.size != stat.size => Held::Changed,
            // Not even the last state read is one.
            Held::Torn if tries == TRIES => {
                let reason = "it was replaced each time while it was read";
                return Err(Error::io("read", path, std::io::Error::other(reason)));
            }
            Held::Torn => continue,
            held => held,
        };
        if held == Held::Still || tries == TRIES {
            // What changed while it was read, its times prove nothing next time, either.
            entry.racy = held != Held::Still || reading.is_recent();
            let shared = (held == Held::Still && reading.names() > 1).then_some(stat);
            let is_known = met == (entry.inode, entry.ctime);
            let unread = if is_known { Vec::new() } else { unread };
            return Ok(Stored { entry, shared, schema, bytes_read, held, unread, incomplete: 0 });
        }
    }
}

/// Stores what `read` returns, and fills in what follows from it: size, hash, recipe, and what a container is like.
pub(crate) fn store_content(
    context: &FileContext<'_>,
    feeder: &mut Feeder<'_, '_, '_>,
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    entry: &mut FileEntry,
    expected: Option<&str>,
) -> Result<Content> {
    let mut framer = Framer::new(context.effort.depth != Depth::Bytes);
    let mut file = ContainerFile {
        context,
        splitter: Splitter::new(context.cut),
        finder: None,
        schema: None,
        expected,
        codec: String::new(),
        batch: Vec::new(),
        batch_bytes: 0,
        large: None,
    };
    let (mut digester, mut length) = (Digester::new(), 0);
    // Most files are small, and there are many of them.
    let mut buffer = vec![0; READ.min(usize::try_from(entry.size).unwrap_or(READ) + 1)];
    loop {
        context.repository.runtime().go_on()?;
        let count = read(&mut buffer)?;
        let bytes = buffer.get(..count).unwrap_or(&[]);
        digester.update(bytes);
        length += count as u64;
        framer.push(bytes);
        context.progress.bytes(count as u64);
        while let Some(segment) = framer.next_segment(count == 0) {
            file.segment(segment, feeder)?;
        }
        file.large_ahead(framer.wanted(), feeder)?;
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
        Finding::NotAContainer if framer.is_zeroed() && entry.path.ends_with(b".avro") => Some(AvroState::Damaged),
        finding => split.state(finding).filter(|_| framer.looks_for_containers()),
    };
    let reason = split.reason(framer.finding(), file.finder.as_ref().map(EncoderFinder::why_raw));
    entry.avro = state.map(|state| facts(split, state, file.codec, reason, framer.stray_bytes()));
    Ok(Content { length, schema: file.schema })
}

/// What the row of a container says about it.
pub(super) fn facts(split: Split, state: AvroState, codec: String, raw_reason: String, stray_bytes: u64) -> AvroFacts {
    AvroFacts {
        state,
        codec,
        fingerprint: split.fingerprint,
        blocks: split.blocks,
        declared_records: split.declared_records,
        verified_records: split.verified_records,
        encoder: split.encoder,
        blocks_exact: split.exact,
        blocks_corrected: split.corrected,
        blocks_raw: split.raw,
        raw_reason,
        stray_bytes,
    }
}

/// A file on its way into streams.
struct ContainerFile<'a, 'c> {
    context: &'a FileContext<'c>,
    splitter: Splitter,
    finder: Option<EncoderFinder<'c>>,
    schema: Option<Arc<CompiledSchema>>,
    expected: Option<&'a str>,
    codec: String,
    /// Blocks that are to be dealt with together.
    batch: Vec<RawBlock>,
    batch_bytes: usize,
    /// While a large block is being read.
    large: Option<MutexGuard<'c, ()>>,
}

fn lock(large: &Mutex<()>) -> MutexGuard<'_, ()> {
    large.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ContainerFile<'_, '_> {
    fn segment(&mut self, segment: Segment, feeder: &mut Feeder<'_, '_, '_>) -> Result<()> {
        match segment {
            Segment::Block(block) => {
                self.batch_bytes += block.payload.len();
                self.batch.push(block);
                let waits = self.finder.as_ref().is_some_and(EncoderFinder::decodes)
                    && self.batch_bytes < BATCH_BYTES
                    && self.batch.len() < BATCH_BLOCKS;
                if waits { Ok(()) } else { self.flush(feeder) }
            }
            segment => {
                self.flush(feeder)?;
                let Segment::Header(header) = &segment else { return self.splitter.segment(segment, feeder) };
                header.codec_name().clone_into(&mut self.codec);
                let FileContext { bench, effort, schemas, repository, .. } = self.context;
                let hints = repository.hints();
                let schema = schemas.of(header);
                self.finder = Some(EncoderFinder::new(bench, hints, *effort, header, schema.clone(), self.expected));
                feeder.schema(schema.fingerprint());
                self.schema = Some(schema.clone());
                self.splitter.header(header, schema, feeder)
            }
        }
    }

    /// Before `wanted` bytes are gathered for the next block: where that is a large one, only one file does so at a time.
    fn large_ahead(&mut self, wanted: usize, feeder: &mut Feeder<'_, '_, '_>) -> Result<()> {
        match (wanted > MIDDLE, self.large.is_some()) {
            (true, false) => {
                // What waits here need not wait for others' large blocks.
                self.flush(feeder)?;
                self.large = Some(lock(&self.context.bench.large));
            }
            (false, true) => {
                self.flush(feeder)?;
                self.large = None;
            }
            _ => {}
        }
        Ok(())
    }

    fn flush(&mut self, feeder: &mut Feeder<'_, '_, '_>) -> Result<()> {
        let blocks = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if blocks.is_empty() {
            return Ok(());
        }
        let Some(finder) = &mut self.finder else {
            return Err(Error::Internal("a block without a header".into()));
        };
        let splitter = &mut self.splitter;
        let mut store = |block, decision| splitter.block(block, decision, feeder);
        decide_each(self.context, finder, blocks, self.large.is_some(), &mut store)
    }
}

/// Decides about blocks that follow each other, and hands each on with its decision, in order. `alone` says that the caller may
/// deal with large blocks; else those wait for their turn.
pub(super) fn decide_each(
    context: &FileContext<'_>,
    finder: &mut EncoderFinder<'_>,
    mut blocks: Vec<RawBlock>,
    alone: bool,
    each: &mut dyn FnMut(RawBlock, PayloadDecision) -> Result<()>,
) -> Result<()> {
    let FileContext { pool, bench, .. } = context;
    let mut decisions = finder.decide(pool, &blocks, Room::Batch);
    for at in 0..blocks.len() {
        let mut turn = None;
        if decisions.get(at).is_some_and(Option::is_none) {
            let waiting = decisions.iter().skip(at).take(FEW);
            let end = at + waiting.take_while(|decision| decision.is_none()).count();
            let few = finder.decide(pool, blocks.get(at..end).unwrap_or_default(), Room::Few);
            decisions.splice(at..end, few);
        }
        if decisions.get(at).is_some_and(Option::is_none) {
            // Held until the block is in its streams.
            turn = (!alone).then(|| lock(&bench.large));
            let one = finder.decide(pool, blocks.get(at..=at).unwrap_or_default(), Room::One);
            decisions.splice(at..=at, one);
        }
        if let (Some(block), Some(decision)) = (blocks.get_mut(at), decisions.get_mut(at)) {
            let block = RawBlock {
                count: block.count,
                odd_head: block.odd_head.take(),
                payload: std::mem::take(&mut block.payload),
            };
            each(block, decision.take().unwrap_or(PayloadDecision::Keep(None)))?;
        }
        drop(turn);
    }
    Ok(())
}

impl AvroReport {
    /// Counts a container that was read.
    pub(crate) fn count(&mut self, facts: &AvroFacts) {
        self.files += 1;
        self.unsound += u64::from(facts.state.is_alarm());
        // What a damaged file declares may be any number.
        self.records = self.records.saturating_add(facts.verified_records);
        self.blocks_exact += facts.blocks_exact;
        self.blocks_corrected += facts.blocks_corrected;
        self.blocks_raw += facts.blocks_raw;
        if facts.state == AvroState::Ok && facts.blocks_raw > 0 {
            self.count_unknown(&facts.raw_reason, facts.blocks_raw);
        }
    }

    /// Counts a sound file with blocks that are kept as they are, under the reason for it.
    fn count_unknown(&mut self, reason: &str, blocks: u64) {
        let known = self.unknown_writers.iter().position(|writer| writer.reason == reason);
        let at = known.unwrap_or_else(|| {
            if self.unknown_writers.len() < UNKNOWN_WRITERS {
                self.unknown_writers.push(UnknownWriter { reason: reason.into(), files: 0, blocks: 0 });
            }
            self.unknown_writers.len() - 1
        });
        if let Some(writer) = self.unknown_writers.get_mut(at) {
            if known.is_none() && writer.files > 0 {
                writer.reason = "others".into();
            }
            writer.files += 1;
            writer.blocks += blocks;
        }
    }
}
