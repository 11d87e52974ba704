//! What is left of a file of which chunks are lost. Of a container: its header and the blocks that are whole, which make a
//! container that any program reads. Of any other file: its bytes, with zeros for what is lost.

use serde::Serialize;

use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::id::{ContentHash, SnapshotId};
use crate::read::FileAssembler;
use crate::recipe::{ContainerSurvey, Loss, Part, PieceWalk, Ranges, Recipe, Stretch};
use crate::report::Path;
use crate::snapshot::entry::FileEntry;

/// What was saved of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// Whether it is a container, so that whole blocks were left out; else zeros stand for what is lost.
    pub container: bool,
    /// Bytes, blocks and records that are lost.
    pub loss: Loss,
    /// Blocks that were written.
    pub blocks: u64,
    /// Records that these blocks declare.
    pub records: u64,
    /// Bytes of the original that belonged to no block and were left out: no container may have any.
    pub strays: u64,
    /// Bytes that were written.
    pub bytes: u64,
}

/// Zeros are written in parts of this many bytes.
const ZEROS: usize = 1 << 20;

/// Hands what is left of a file to `write`.
///
/// # Errors
/// [`Error::NotRestored`] if nothing of use is left, those of `write`, and those of the source that do not mean that
/// something is lost.
pub(super) fn salvage<S: ChunkSource + ?Sized>(
    assembler: &FileAssembler<'_, S>,
    entry: &FileEntry,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<Salvage> {
    let shown = String::from_utf8_lossy(&entry.path).into_owned();
    let recipe = Recipe::decode(&entry.recipe).in_object(format_args!("the recipe of {shown}"))?;
    let mut is_lost = |id: &_| lost(assembler.source.get(id)).map(|got| got.is_none());
    let mut saved = Salvage { container: false, loss: Loss::default(), blocks: 0, records: 0, strays: 0, bytes: 0 };
    let recipe = match &recipe {
        Recipe::Container(recipe) => recipe,
        Recipe::Plain(stream) => {
            if stream.length() != entry.size {
                return Err(Error::damaged(format_args!("the recipe of {shown}"), "it is not as long as the file"));
            }
            let mut pieces = PieceWalk::new(stream, assembler.source);
            while let Some(piece) = pieces.next_piece(&mut is_lost)? {
                match if piece.lost { None } else { lost(pieces.read(&piece))? } {
                    Some(bytes) => write(&bytes)?,
                    None => {
                        zeros(piece.range.end - piece.range.start, write)?;
                        saved.loss.bytes.push(piece.range);
                    }
                }
            }
            saved.bytes = entry.size;
            return Ok(saved);
        }
    };
    saved.container = true;
    let mut emit = |saved: &mut Salvage, bytes: &[u8]| {
        saved.bytes += bytes.len() as u64;
        write(bytes)
    };
    let totals = entry.avro.as_ref().map(|facts| (facts.blocks, facts.declared_records));
    let mut survey = ContainerSurvey::new(recipe, totals, assembler.source, &mut is_lost)?;
    let mut out = Vec::new();
    while let Some(mut stretch) = survey.next_stretch(&mut is_lost)? {
        match &mut stretch {
            Stretch::Header { lost: true } => {
                let reason = "its header is lost: without the schema that stood there no program reads the records";
                return Err(Error::not_restored(shown, reason));
            }
            Stretch::Header { lost: false } => emit(&mut saved, &survey.read_header()?)?,
            Stretch::Stray { length, lost } => saved.strays += if *lost { 0 } else { *length },
            Stretch::Unknown { .. } => {}
            Stretch::Block(block) if block.sound => {
                out.clear();
                block.sound =
                    match lost(survey.read_block(block).and_then(|part| whole_block(assembler, part, &mut out)))? {
                        Some(()) => {
                            emit(&mut saved, &out)?;
                            saved.blocks += 1;
                            saved.records = saved.records.saturating_add(block.entry.count);
                            true
                        }
                        None => false,
                    };
            }
            Stretch::Block(_) => {}
        }
        saved.loss.add(&stretch);
    }
    Ok(saved)
}

/// What was got, or none if it is lost.
fn lost<T>(got: Result<T>) -> Result<Option<T>> {
    match got {
        Ok(got) => Ok(Some(got)),
        Err(error) if error.is_damage() || matches!(error, Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Appends a block as it stands in the file.
fn whole_block<S: ChunkSource + ?Sized>(assembler: &FileAssembler<'_, S>, part: Part, out: &mut Vec<u8>) -> Result<()> {
    for (part, encoded) in assembler.encode(vec![part])? {
        match (&part, &encoded) {
            (Part::Payload { payload, frame }, _) | (Part::Encode { frame, .. }, Some(payload)) => {
                frame.put(payload, out);
            }
            _ => return Err(Error::WorkerStopped),
        }
    }
    Ok(())
}

fn zeros(mut length: u64, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let block = vec![0; ZEROS];
    while length > 0 {
        let part = length.min(ZEROS as u64);
        write(block.get(..part as usize).unwrap_or(&block))?;
        length -= part;
    }
    Ok(())
}

/// What is written beside the file.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    path: Path<'a>,
    snapshot_id: SnapshotId,
    is_original: bool,
    original_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_blake3: Option<ContentHash>,
    written_size: u64,
    #[serde(flatten)]
    loss: ReportedLoss<'a>,
    note: &'static str,
}

/// What a salvaged file lacks, as it is reported.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum ReportedLoss<'a> {
    /// Blocks of a container.
    Avro {
        original_records: u64,
        original_blocks: u64,
        written_records: u64,
        written_blocks: u64,
        missing_records: u64,
        missing_record_ranges: &'a Ranges,
        missing_record_ranges_unlisted: u64,
        missing_blocks: u64,
        missing_block_ranges: &'a Ranges,
        missing_block_ranges_unlisted: u64,
        missing_decoded_bytes: u64,
        layout_lost: bool,
        stray_bytes_left_out: u64,
    },
    /// Bytes of any other file.
    Bytes { zero_filled_bytes: u64, zero_filled_ranges: &'a Ranges, zero_filled_ranges_unlisted: u64 },
}

impl Salvage {
    /// What is written beside the file: JSON that says what it lacks.
    ///
    /// # Errors
    /// [`Error::Internal`] if it cannot be written as JSON, which never happens.
    pub(super) fn report(&self, entry: &FileEntry, snapshot: SnapshotId) -> Result<String> {
        let report = Report {
            path: Path(&entry.path),
            snapshot_id: snapshot,
            is_original: false,
            original_size: entry.size,
            original_blake3: entry.content,
            written_size: self.bytes,
            loss: self.reported_loss(entry),
            note: match self.container {
                true => {
                    "This is not the file that was saved: blocks of which anything is lost were left out. Ranges are the \
                     first and the last number, counted from 0 in the original."
                }
                false => {
                    "This is not the file that was saved: zeros stand where its bytes are lost. Ranges are the first and \
                     the last byte, counted from 0."
                }
            },
        };
        let text = serde_json::to_string_pretty(&report);
        Ok(text.map_err(|error| Error::Internal(format!("the report is no JSON: {error}")))? + "\n")
    }

    fn reported_loss(&self, entry: &FileEntry) -> ReportedLoss<'_> {
        let Loss { bytes, blocks, records, .. } = &self.loss;
        if !self.container {
            return ReportedLoss::Bytes {
                zero_filled_bytes: bytes.total,
                zero_filled_ranges: bytes,
                zero_filled_ranges_unlisted: bytes.unlisted,
            };
        }
        let facts = entry.avro.as_ref();
        ReportedLoss::Avro {
            original_records: facts.map_or(0, |facts| facts.declared_records),
            original_blocks: facts.map_or(0, |facts| facts.blocks),
            written_records: self.records,
            written_blocks: self.blocks,
            missing_records: records.total,
            missing_record_ranges: records,
            missing_record_ranges_unlisted: records.unlisted,
            missing_blocks: blocks.total,
            missing_block_ranges: blocks,
            missing_block_ranges_unlisted: blocks.unlisted,
            missing_decoded_bytes: self.loss.block_bytes,
            layout_lost: self.loss.layout,
            stray_bytes_left_out: self.strays.saturating_add(self.loss.strays),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_json_whatever_the_file_is_called() {
        let mut saved =
            Salvage { container: true, loss: Loss::default(), blocks: 3, records: 40, strays: 0, bytes: 1000 };
        saved.loss.records.push(5..9);
        saved.loss.records.push(20..21);
        let entry = FileEntry { path: b"a \"quoted\"\\\n\x01\xff".to_vec(), ..FileEntry::nothing() };
        for container in [true, false] {
            let saved = Salvage { container, ..saved.clone() };
            let report = saved.report(&entry, SnapshotId::new([7; 16])).unwrap();
            let json: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert_eq!(json["path"], String::from_utf8_lossy(&entry.path).into_owned());
            assert_eq!(json["is_original"], false);
            if container {
                assert_eq!(json["missing_record_ranges"], serde_json::json!([[5, 8], [20, 20]]));
            }
        }
    }
}
