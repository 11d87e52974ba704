//! The content of one file, from its recipe.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::avro::encoder::{EncodeError, EncoderId, Encoders, preflate_join, runs_here};
use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::id::Digester;
use crate::read::is_trusted;
use crate::recipe::{Part, Recipe, RecipeReader, tail_after_corrections};
use crate::snapshot::entry::FileEntry;

/// Contexts for encoding, used again and again by whichever thread needs one.
#[derive(Default)]
pub(crate) struct EncoderBench {
    idle: Mutex<Vec<Encoders>>,
}

impl EncoderBench {
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Encoders) -> T) -> T {
        let lock = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = lock().pop();
        let mut encoders = idle.unwrap_or_else(Encoders::new);
        let done = work(&mut encoders);
        lock().push(encoders);
        done
    }
}

/// Rebuilds files.
pub(crate) struct FileAssembler<'a, S: ?Sized> {
    pub(crate) source: &'a S,
    pub(crate) pool: &'a rayon::ThreadPool,
    pub(crate) encoders: &'a EncoderBench,
}

/// A part of a file that was rebuilt.
pub(crate) struct Rebuilt<'b> {
    /// The part of the recipe that it was made of.
    pub(crate) part: Part,
    /// What an encoder made of it, where one had to.
    pub(crate) payload: Option<Vec<u8>>,
    /// The whole block, where it is one.
    block: &'b [u8],
}

impl Rebuilt<'_> {
    /// The part as it stands in the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.part {
            Part::Header(bytes) | Part::Bytes(bytes) => bytes,
            Part::Payload { .. } | Part::Encode { .. } => self.block,
        }
    }
}

/// What is done about the checks of the layout.
#[derive(Clone, Copy)]
enum Checks {
    Compared,
    Passed,
}

/// Blocks that have to be encoded are gathered up to this many bytes, to be dealt with in parallel; and this many blocks, since
/// they may be of no bytes.
const BATCH_BYTES: usize = 4 << 20;
const BATCH_BLOCKS: usize = 4096;

impl<S: ChunkSource + ?Sized> FileAssembler<'_, S> {
    /// Hands the content to `write`, for a file that counts only if all of it is right: its hash is compared with the
    /// row's. The checks of the layout, which say where a file differs, are looked at only where it does, in a second pass.
    ///
    /// # Errors
    /// If a chunk is lost or damaged, or if what was rebuilt is not bit for bit what was saved.
    pub(crate) fn rebuild(&self, entry: &FileEntry, write: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if self.pass(entry, Checks::Passed, &mut |rebuilt| write(rebuilt.bytes()))? {
            return Ok(());
        }
        self.pass(entry, Checks::Compared, &mut |_| Ok(()))?;
        Err(differs(entry))
    }

    /// Hands the parts of the content to `each`, in order, and compares the hash of their bytes with the row's. Each MiB of
    /// payloads is compared with the layout before it is handed on.
    ///
    /// # Errors
    /// As of `rebuild`.
    pub(crate) fn parts(&self, entry: &FileEntry, each: &mut dyn FnMut(Rebuilt<'_>) -> Result<()>) -> Result<()> {
        if self.pass(entry, Checks::Compared, each)? { Ok(()) } else { Err(differs(entry)) }
    }

    fn pass(&self, entry: &FileEntry, checks: Checks, each: &mut dyn FnMut(Rebuilt<'_>) -> Result<()>) -> Result<bool> {
        let shown = String::from_utf8_lossy(&entry.path);
        let recipe = Recipe::decode(&entry.recipe).in_object(format_args!("the recipe of {shown}"))?;
        let mut digester = Digester::new();
        let mut rebuild = RecipeReader::new(&recipe, self.source);
        let (mut batch, mut bytes, mut block) = (Vec::new(), 0, Vec::new());
        loop {
            let part = rebuild.next_part()?;
            let waits = matches!(part, Some(Part::Encode { .. }));
            let last = part.is_none();
            if let Some(part) = part {
                bytes += if let Part::Encode { plain, .. } = &part { plain.len() } else { 0 };
                batch.push(part);
            }
            if waits && bytes < BATCH_BYTES && batch.len() < BATCH_BLOCKS {
                continue;
            }
            for (part, payload) in self.encode(std::mem::take(&mut batch))? {
                block.clear();
                let mut check = |bytes: &[u8]| match checks {
                    Checks::Compared => rebuild.check(bytes),
                    Checks::Passed => Ok(()),
                };
                match (&part, &payload) {
                    (Part::Header(_), _) => {}
                    (Part::Bytes(bytes), _) => check(bytes)?,
                    (Part::Payload { payload, frame }, _) | (Part::Encode { frame, .. }, Some(payload)) => {
                        check(payload)?;
                        frame.put(payload, &mut block);
                    }
                    (Part::Encode { .. }, None) => return Err(Error::WorkerStopped),
                }
                let rebuilt = Rebuilt { part, payload, block: &block };
                digester.update(rebuilt.bytes());
                each(rebuilt)?;
            }
            bytes = 0;
            if last {
                break;
            }
        }
        let rebuilt = digester.finish();
        Ok(entry.content.is_some_and(|hash| *hash.as_bytes() == rebuilt))
    }

    /// Encodes the parts that have to be, on all threads of the pool.
    pub(crate) fn encode(&self, parts: Vec<Part>) -> Result<Vec<(Part, Option<Vec<u8>>)>> {
        let encode = |part| {
            let payload = match &part {
                Part::Encode { plain, encoder, corrections, .. } => {
                    Some(self.encoders.with(|encoders| encode(encoders, plain, encoder, corrections.as_deref()))?)
                }
                _ => None,
            };
            Ok((part, payload))
        };
        match parts.len() {
            0 | 1 => parts.into_iter().map(encode).collect(),
            _ => self.pool.install(|| parts.into_par_iter().map(encode).collect()),
        }
    }
}

fn differs(entry: &FileEntry) -> Error {
    Error::not_restored(String::from_utf8_lossy(&entry.path), "what was rebuilt is not what was saved")
}

/// The payload that an encoder makes, with its corrections.
pub(crate) fn encode(
    encoders: &mut Encoders,
    plain: &[u8],
    encoder: &str,
    corrections: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let name = format!("encoder {encoder}");
    let unknown = || Error::Unsupported { name: name.clone(), reason: "it is not known to this version".into() };
    let failed = |reason: &str| Error::damaged(&name, reason);
    match (corrections, tail_after_corrections(encoder)) {
        (Some(corrections), Some(tail)) => {
            let stream = preflate_join(plain, corrections);
            let mut payload = stream.ok_or_else(|| failed("its corrections do not fit"))?;
            let (tail, length) = tail.bytes(plain);
            payload.extend_from_slice(&tail[..length]);
            Ok(payload)
        }
        (Some(_), None) => {
            encoder.parse::<EncoderId>().map_err(|_| unknown())?;
            Err(failed("it takes no corrections"))
        }
        (None, _) => {
            let id: EncoderId = encoder.parse().map_err(|_| unknown())?;
            if !runs_here(&id) {
                let reason =
                    "it needs a processor with an instruction for CRC-32C (SSE 4.2): restore on another machine";
                return Err(Error::Unsupported { name, reason: reason.into() });
            }
            if !is_trusted(&id) {
                return Err(failed("it does not write what it must in this build; nothing is restored with it"));
            }
            let mut payload = Vec::new();
            encoders.encode(&id, plain, &mut payload).map_err(|error| not_encoded(&name, error))?;
            Ok(payload)
        }
    }
}

/// Why an encoder made no payload.
fn not_encoded(name: &str, error: EncodeError) -> Error {
    match error {
        // That this machine cannot do it says nothing about what is stored.
        EncodeError::Failed { .. } => Error::Exhausted { what: "memory to encode with", source: error.into() },
        EncodeError::Unsupported(_) => Error::Unsupported { name: name.into(), reason: error.to_string() },
        EncodeError::TooLarge(_) | EncodeError::BeyondWindow(_) => Error::damaged(name, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn corrections_are_applied_by_the_encoders_that_need_them_only() {
        let kind = |encoder: &str| encode(&mut Encoders::new(), b"abc", encoder, Some(&[])).unwrap_err().kind();
        for encoder in ["preflate-0.7.6", "preflate-0.7.6+adler3", "zlib:L6:M8", "zlib:L6:M8+adler3"] {
            assert_eq!(kind(encoder), ErrorKind::Damage, "{encoder}");
        }
        for encoder in ["preflate-0.7.6+emptyframe", "preflate-0.7.6+", "preflate-0.7.60", "preflate-0.7.7", "new:L1"] {
            assert_eq!(kind(encoder), ErrorKind::Unsupported, "{encoder}");
        }
    }

    #[test]
    fn an_encoder_without_memory_is_not_damage() {
        let id: EncoderId = "xz:P6:crc64".parse().unwrap();
        let kind = |error| not_encoded("encoder xz:P6:crc64", error).kind();
        assert_eq!(kind(EncodeError::Failed { id, reason: "out of memory" }), ErrorKind::System);
        assert_eq!(kind(EncodeError::Unsupported(id)), ErrorKind::Unsupported);
        assert_eq!(kind(EncodeError::TooLarge(1 << 40)), ErrorKind::Damage);
    }
}
