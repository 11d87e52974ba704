//! Reading what is left of both sides: pieces of about a MiB, decoded by several threads, in step with each other, so that
//! records that stand on both sides soon meet.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, sync_channel};

use super::pending::{RecordHash, hash_of};
use super::skip::{Skipped, key_of};
use super::table::TableFile;
use super::units::{Block, Piece, Unit, Units, is_whole, read_range};
use crate::avro::codec::{Decoder, MAX_DECODED};
use crate::avro::filter::Filter;
use crate::chunk::ChunkSource;
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::recipe::Stream;
use crate::store::Repository;

/// A job ends after this many bytes, where a record does.
const JOB: u64 = 1 << 20;

/// What one thread reads at once.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) file: usize,
    pub(crate) what: What,
    /// The keys of its parts; fewer than there are parts, if some have none.
    pub(crate) keys: Vec<RecordHash>,
}

/// Which records are looked at, as they are read; all if there is none.
pub(crate) type Keep<'k> = Option<&'k Filter>;

#[derive(Debug)]
pub(crate) enum What {
    /// The records that stand in the recipe.
    Inline,
    /// Pieces of the stream of records, from the border of a record to another one.
    Pieces(Vec<Piece>),
    /// Blocks that are kept as they were.
    Blocks(Vec<Block>),
    /// A file that is not sound as a whole.
    Unsound,
}

/// Makes jobs of what is left of one side.
pub(crate) struct Jobs<'t> {
    repository: &'t Repository,
    files: &'t [TableFile],
    side: usize,
    skipped: &'t Skipped,
    units: Option<Units<'t>>,
    /// The file that comes next.
    file: usize,
    number: usize,
    open: Option<(What, u64)>,
    keys: Vec<RecordHash>,
    /// Bytes that were gone through, and all.
    done: u64,
    total: u64,
}

impl<'t> Jobs<'t> {
    pub(crate) fn new(repository: &'t Repository, files: &'t [TableFile], side: usize, skipped: &'t Skipped) -> Self {
        let left = files.iter().enumerate().filter(|(number, _)| !skipped.is_file(side, *number));
        let total = left.map(|(_, file)| file.length()).sum();
        Self {
            repository,
            files,
            side,
            skipped,
            units: None,
            file: 0,
            number: 0,
            open: None,
            keys: Vec::new(),
            done: 0,
            total,
        }
    }

    fn is_behind(&self, other: &Self) -> bool {
        u128::from(self.done) * u128::from(other.total) <= u128::from(other.done) * u128::from(self.total)
    }

    fn close(&mut self) -> Option<Job> {
        let (what, length) = self.open.take()?;
        self.done += length;
        Some(Job { file: self.file.saturating_sub(1), what, keys: std::mem::take(&mut self.keys) })
    }

    pub(super) fn next_job(&mut self) -> Result<Option<Job>> {
        loop {
            let Some(units) = &mut self.units else {
                let Some(file) = self.files.get(self.file) else { return Ok(None) };
                self.file += 1;
                if !self.skipped.is_file(self.side, self.file - 1) {
                    self.units = Some(Units::of(file, self.repository)?);
                }
                continue;
            };
            let Some(unit) = units.next_unit()? else {
                self.units = None;
                match self.close() {
                    Some(job) => return Ok(Some(job)),
                    None => continue,
                }
            };
            let Some(file) = self.files.get(self.file.saturating_sub(1)) else { return Ok(None) };
            let keyed = key_of(file, &unit);
            if keyed.is_some() {
                self.number += 1;
                if self.skipped.is_unit(self.side, self.number - 1) {
                    let closed = self.close();
                    self.done += match &unit {
                        Unit::Piece(piece) => piece.length,
                        Unit::Block(block) => block.length,
                        Unit::Inline | Unit::Unsound => 0,
                    };
                    match closed {
                        Some(job) => return Ok(Some(job)),
                        None => continue,
                    }
                }
            }
            if let Some(job) = self.add(unit, keyed.map(|keyed| keyed.key), file.length()) {
                return Ok(Some(job));
            }
        }
    }

    /// Adds a part to the job that is open; returns the one that ends with it or before it.
    fn add(&mut self, unit: Unit, key: Option<RecordHash>, all: u64) -> Option<Job> {
        match (unit, &mut self.open) {
            (Unit::Inline, _) => {
                self.open = Some((What::Inline, 0));
                self.close()
            }
            (Unit::Unsound, _) => {
                self.open = Some((What::Unsound, all));
                self.close()
            }
            (Unit::Piece(piece), open) => {
                self.keys.extend(key);
                let (what, length) = open.get_or_insert((What::Pieces(Vec::new()), 0));
                *length = length.saturating_add(piece.length);
                let may_end = *length >= JOB && piece.ends;
                let id = piece.id;
                if let What::Pieces(pieces) = what {
                    pieces.push(piece);
                }
                if may_end && is_whole(self.repository, &id) { self.close() } else { None }
            }
            (Unit::Block(block), Some((What::Blocks(blocks), length))) => {
                self.keys.extend(key);
                blocks.push(block);
                *length = length.saturating_add(block.length);
                if *length >= JOB { self.close() } else { None }
            }
            (Unit::Block(block), _) => {
                let before = self.close();
                self.keys.extend(key);
                self.open = Some((What::Blocks(vec![block]), block.length));
                before
            }
        }
    }
}

/// Records, as they are read.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    records: Vec<(RecordHash, usize, usize)>,
    /// How many records were read, also those that are not kept.
    read: u64,
}

impl Batch {
    pub(crate) fn records(&self) -> impl Iterator<Item = (RecordHash, &[u8])> {
        let bytes = |start: usize, end: usize| self.bytes.get(start..end).unwrap_or_default();
        self.records.iter().map(move |(hash, start, end)| (*hash, bytes(*start, *end)))
    }

    /// How many records were read, also those that are not kept.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Adds the records of these bytes, which must be as many as are declared; else says what is wrong, and has those before
    /// that.
    ///
    /// # Errors
    /// If the filter finds no record where one was found.
    pub(super) fn add(
        &mut self,
        file: &TableFile,
        bytes: &[u8],
        declared: u64,
        keep: Keep<'_>,
    ) -> Result<std::result::Result<(), String>> {
        let (schema, mut start, mut wrong, mut failure) = (&*file.schema, 0, None, None);
        let mut keep = keep.cloned();
        if schema.resolver.is_none() && keep.is_none() {
            self.bytes.reserve(bytes.len());
        }
        let walked = schema.schema.walk_block(bytes, declared, &mut |end| {
            let datum = bytes.get(start..end).unwrap_or_default();
            start = end;
            let begin = self.bytes.len();
            match &schema.resolver {
                None => self.bytes.extend_from_slice(datum),
                Some(resolver) => {
                    if let Err(error) = resolver.resolve(datum, &mut self.bytes) {
                        self.bytes.truncate(begin);
                        wrong.get_or_insert_with(|| error.to_string());
                        return;
                    }
                }
            }
            self.read += 1;
            let record = self.bytes.get(begin..).unwrap_or_default();
            let kept = keep.as_mut().map_or(Ok(true), |keep| keep.matches(record)).unwrap_or_else(|error| {
                failure.get_or_insert(error);
                false
            });
            match kept {
                true => self.records.push((hash_of(record), begin, self.bytes.len())),
                false => self.bytes.truncate(begin),
            }
        });
        Ok(match (failure, walked.fault, wrong) {
            (Some(error), ..) => return Err(Error::Internal(format!("a record that was read is none: {error}"))),
            (None, Some(fault), _) => Err(fault.to_string()),
            (None, None, Some(wrong)) => Err(wrong),
            (None, None, None) => Ok(()),
        })
    }
}

/// Reads a job of a sound file.
pub(crate) fn read(repository: &Repository, file: &TableFile, what: &What, keep: Keep<'_>) -> Result<Batch> {
    let mut batch = Batch::default();
    let Some(recipe) = file.sound_recipe() else { return Ok(batch) };
    let wrong = |reason: String| file.no_records(reason);
    match what {
        What::Unsound => {}
        What::Inline => {
            if let Stream::Inline(bytes) = &recipe.records {
                let (mut at, mut records) = (0, 0);
                while at < bytes.len() {
                    at = file.schema.schema.skip(bytes, at).map_err(|error| wrong(error.to_string()))?;
                    records += 1;
                }
                batch.add(file, bytes, records, keep)?.map_err(wrong)?;
            }
        }
        What::Pieces(pieces) => {
            let ids: Vec<ChunkId> = pieces.iter().map(|piece| piece.id).collect();
            repository.will_need_all(&ids);
            let records = pieces.iter().fold(0, |sum: u64, piece| sum.saturating_add(piece.records));
            let mut bytes = Vec::new();
            for Piece { id, length, .. } in pieces {
                let chunk = repository.get(id)?;
                if chunk.len() as u64 != *length {
                    return Err(Error::damaged(format_args!("chunk {id}"), "it is not as long as its reference says"));
                }
                bytes.extend_from_slice(&chunk);
            }
            batch.add(file, &bytes, records, keep)?.map_err(wrong)?;
        }
        What::Blocks(blocks) => {
            let (mut decoder, mut plain) = (Decoder::new(), Vec::new());
            let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(batch) };
            let whole = last.start.saturating_add(last.length).saturating_sub(first.start);
            let are_together = whole <= 4 * JOB;
            let together = match are_together {
                true => read_range(repository, &recipe.payloads, first.start, whole)?,
                false => Vec::new(),
            };
            for block in blocks {
                let own;
                let payload = if are_together {
                    let start = (block.start - first.start) as usize;
                    together.get(start..start + block.length as usize).unwrap_or_default()
                } else {
                    own = read_range(repository, &recipe.payloads, block.start, block.length)?;
                    &own
                };
                decoder
                    .decode_unfinished(file.codec, payload, MAX_DECODED, &mut plain)
                    .map_err(|error| wrong(error.to_string()))?;
                batch.add(file, &plain, block.records, keep)?.map_err(wrong)?;
            }
        }
    }
    Ok(batch)
}

/// A job that another thread reads, or a file that is read once its turn comes.
enum Waiting {
    Elsewhere(Receiver<(Job, Result<Batch>)>),
    Here(usize),
}

/// Hands over all batches of both sides in an order that does not depend on threads; files that are not sound go to `unsound`.
pub(crate) fn each_batch(
    repository: &Repository,
    mut sides: [Jobs<'_>; 2],
    keep: Keep<'_>,
    batch: &mut dyn FnMut(usize, Job, Batch) -> Result<()>,
    unsound: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    let ahead = 2 * repository.runtime().threads() + 2;
    repository.runtime().compute()?.in_place_scope(|scope| {
        let (mut waiting, mut ended) = (VecDeque::new(), [false; 2]);
        loop {
            while waiting.len() < ahead && ended != [true; 2] {
                let [before, after] = &mut sides;
                let side = usize::from(ended[0] || (!ended[1] && !before.is_behind(after)));
                let jobs = if side == 0 { before } else { after };
                let Some(job) = jobs.next_job()? else {
                    ended[side] = true;
                    continue;
                };
                let Some(file) = jobs.files.get(job.file) else { continue };
                if matches!(job.what, What::Unsound) {
                    waiting.push_back((side, Waiting::Here(job.file)));
                    continue;
                }
                let (sender, receiver) = sync_channel(1);
                scope.spawn(move |_| {
                    // Where the work ended, the batch is not waited for.
                    let read = read(repository, file, &job.what, keep);
                    let _ = sender.send((job, read));
                });
                waiting.push_back((side, Waiting::Elsewhere(receiver)));
            }
            match waiting.pop_front() {
                None => return Ok(()),
                Some((side, Waiting::Here(file))) => unsound(side, file)?,
                Some((side, Waiting::Elsewhere(receiver))) => {
                    let (job, read) = receiver.recv().map_err(|_| Error::WorkerStopped)?;
                    batch(side, job, read?)?;
                }
            }
        }
    })
}
