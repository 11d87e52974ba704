//! `check --erased`: is any of the erased records still to be had from the repository?
//!
//! All chunks of all packs are decoded, also of packs that wait to be deleted, and searched for the records, wherever they may
//! stand. Payloads that are kept compressed are decoded as far as a snapshot says what they are. What can be neither searched nor
//! decoded is said, since then nothing is proven.

use std::collections::{BTreeSet, HashSet};

use rayon::prelude::*;
use serde::Serialize;

use super::proof::{Proof, Scanner};
use crate::avro::codec::Decoder;
use crate::chunk::ChunkKind;
use crate::error::{Error, Result};
use crate::id::{ChunkId, PackId};
use crate::progress::{Phase, Progress};
use crate::read::avro_file::{AvroFile, Piece};
use crate::report;
use crate::snapshot::entry::FileEntry;
use crate::store::{FrameReader, Inventory, Reach, Repository, read_root};

/// A place where an erased record still is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum FoundErased {
    /// In a chunk of a pack.
    Chunk {
        /// The pack.
        pack: PackId,
        /// The chunk.
        chunk: ChunkId,
        /// How many records.
        records: u64,
    },
    /// In the payload of a file, which is stored compressed.
    File {
        /// Its path, in one of the snapshots that have it.
        #[serde(flatten, serialize_with = "path_of")]
        path: Vec<u8>,
        /// How many records.
        records: u64,
    },
}

fn path_of<S: serde::Serializer>(path: &[u8], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    report::Path(path).serialize(serializer)
}

/// Result of looking for erased records.
#[derive(Debug, Default, Serialize)]
pub struct ErasedReport {
    /// Different records that were looked for.
    pub records: u64,
    /// Of these, how many are of fewer than eight bytes: they cannot be distinguished from other bytes, and were not looked for.
    pub records_too_short: u64,
    /// Packs that were read.
    pub packs: u64,
    /// Chunks that were decoded.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose compressed payloads were decoded.
    pub files: u64,
    /// Where records were found, the first thousand places.
    pub found: Vec<FoundErased>,
    /// Why nothing is proven, although nothing was found: what could not be looked into.
    pub unproven: Vec<String>,
}

/// How many places are listed.
const LISTED: usize = 1000;

impl ErasedReport {
    /// Whether none of the records is there.
    pub fn is_proven(&self) -> bool {
        self.found.is_empty() && self.unproven.is_empty() && self.records_too_short == 0
    }

    fn find(&mut self, found: FoundErased) {
        if self.found.len() < LISTED {
            self.found.push(found);
        }
    }
}

/// Looks for erased records in all that the repository holds.
///
/// # Errors
/// Those of listing, and of reading the log. A pack that cannot be read is no error: it is in the report.
pub fn check_erased(repository: &Repository, proof: &Proof, progress: &dyn Progress) -> Result<ErasedReport> {
    repository.catalog().refresh()?;
    let scanner = proof.scanner();
    let mut report =
        ErasedReport { records: proof.records(), records_too_short: proof.too_short(), ..ErasedReport::default() };
    let opaque = packs(repository, &scanner, &mut report, progress)?;
    let unnamed = repository.catalog().unnamed_packs()?.len();
    if unnamed > 0 {
        report.unproven.push(format!("{unnamed} packs that no index object names were not read"));
    }
    let used = files(repository, &scanner, &mut report)?;
    let unused = opaque.difference(&used).count();
    if unused > 0 {
        report
            .unproven
            .push(format!("{unused} chunks of whole files or payloads that no snapshot needs may hold any record"));
    }
    Ok(report)
}

/// What was found in a pack.
#[derive(Default)]
struct InPack {
    chunks: u64,
    bytes: u64,
    found: Vec<FoundErased>,
    /// Chunks in which records may stand compressed, or may begin in one and end in the next.
    opaque: Vec<ChunkId>,
}

/// Reads all packs. Returns the chunks that say nothing by themselves.
fn packs(
    repository: &Repository,
    scanner: &Scanner,
    report: &mut ErasedReport,
    progress: &dyn Progress,
) -> Result<BTreeSet<ChunkId>> {
    let index = repository.catalog().index();
    let ids: Vec<PackId> = index.pack_ids().into_iter().filter(|id| !index.is_gone(id)).collect();
    progress.begin(Phase::CheckData, Some(ids.len() as u64), None);
    let read: Vec<(PackId, Result<InPack>)> = repository.runtime().compute()?.install(|| {
        let read = |id: &PackId| {
            repository.runtime().go_on()?;
            let read = pack(repository, id, scanner);
            progress.files(1);
            Ok((*id, read))
        };
        ids.par_iter().map(read).collect::<Result<_>>()
    })?;
    let mut opaque = BTreeSet::new();
    for (id, read) in read {
        match read {
            Ok(found) => {
                report.packs += 1;
                report.chunks += found.chunks;
                report.bytes += found.bytes;
                found.found.into_iter().for_each(|found| report.find(found));
                opaque.extend(found.opaque);
            }
            Err(error) if is_swept(repository, &id, &error)? => {}
            Err(error) => report.unproven.push(format!("pack {id} cannot be read: {error}")),
        }
    }
    Ok(opaque)
}

/// Whether a pack is not there because a prune deleted it.
fn is_swept(repository: &Repository, id: &PackId, error: &Error) -> Result<bool> {
    if !error.is_damage() {
        return Ok(false);
    }
    repository.catalog().refresh()?;
    Ok(repository.catalog().index().is_gone(id) || !repository.catalog().index().knows_pack(id))
}

fn pack(repository: &Repository, id: &PackId, scanner: &Scanner) -> Result<InPack> {
    let mut in_pack = InPack::default();
    let Some(info) = repository.catalog().index().find_pack(id)? else { return Ok(in_pack) };
    let mut reader = FrameReader::new()?;
    let hasher = repository.hasher();
    for (number, frame) in info.directory.frames.iter().enumerate() {
        let plain = reader.read_frame(repository.reader(), &info, number)?;
        for (chunk, bytes) in info.prove_chunks(number, &plain, &hasher)? {
            in_pack.chunks += 1;
            in_pack.bytes += bytes.len() as u64;
            let records = scanner.count(bytes);
            if records > 0 {
                in_pack.found.push(FoundErased::Chunk { pack: *id, chunk, records });
            }
            if matches!(frame.kind, ChunkKind::Payload | ChunkKind::Bytes) {
                in_pack.opaque.push(chunk);
            }
        }
    }
    Ok(in_pack)
}

/// Decodes payloads of all snapshots that are stored as they are. Returns all chunks that are reached.
fn files(repository: &Repository, scanner: &Scanner, report: &mut ErasedReport) -> Result<BTreeSet<ChunkId>> {
    let state = repository.state();
    let (mut inventory, mut reach, mut seen) = (Inventory::default(), Reach::default(), HashSet::new());
    for record in &state.snapshots {
        let mut lost = false;
        reach.follow(repository, &mut inventory, &record.root, &mut |_, _, _| {
            lost = true;
            Ok(())
        })?;
        if lost {
            let short = record.id.short();
            report.unproven.push(format!("snapshot {short} is damaged: what it consists of is not known"));
            continue;
        }
        let root = read_root(repository, record)?;
        let mut rows = root.rows(repository);
        while let Some(row) = rows.next_row()? {
            let is_whole = row.avro.as_ref().is_none_or(|facts| facts.blocks_raw > 0 || facts.blocks == 0);
            if row.recipe.is_empty() || !is_whole || !row.content.is_some_and(|content| seen.insert(content)) {
                continue;
            }
            match file(repository, scanner, &row) {
                Ok(Some(records)) => {
                    report.files += 1;
                    if records > 0 {
                        report.find(FoundErased::File { path: row.path, records });
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    let shown = String::from_utf8_lossy(&row.path).into_owned();
                    report.unproven.push(format!("{shown}: {error}"));
                }
            }
        }
    }
    Ok(reach.used.iter().map(|chunk| inventory.id(chunk)).collect())
}

/// How many erased records the blocks of a file hold; none if it is no container.
fn file(repository: &Repository, scanner: &Scanner, row: &FileEntry) -> Result<Option<u64>> {
    let Ok(mut file) = AvroFile::open(repository, row)? else { return Ok(None) };
    let Ok(codec) = file.codec() else { return Ok(None) };
    let (mut decoder, mut buffer, mut found) = (Decoder::new(), Vec::new(), 0);
    while let Some(piece) = file.next_piece(|_| true)? {
        repository.runtime().go_on()?;
        let Piece::Block(block) = piece else { continue };
        let plain = block.plain(codec, &mut decoder, &mut buffer);
        found += scanner.count(plain.map_err(|error| Error::Internal(format!("block {}: {error}", block.ordinal)))?);
    }
    Ok(Some(found))
}
