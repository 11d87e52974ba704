//! Copying what is needed out of packs that go. Frames of which (almost) all is needed are sealed again as they are;
//! chunks of others are gathered into new frames. Whatever is copied is decoded and compared with its ids first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::needs::Needs;
use super::survey::Survey;
use crate::chunk::ChunkKind;
use crate::error::{Error, Result};
use crate::id::PackId;
use crate::ingest::{Common, Gathering};
use crate::pack::{EncodedFrame, Encoding, FrameCodec, OpenPacks, PackBuilder, PackInfo, PlainChunk};
use crate::progress::{Progress, Warning};
use crate::storage::{ByteRange, StorageErrorKind};
use crate::store::{FrameReader, PackNumber, Repository};

/// Copies out of packs.
pub(super) struct Repacker<'r> {
    pub(super) repository: &'r Repository,
    pub(super) survey: &'r Survey<'r>,
    pub(super) needs: &'r Needs,
    /// The share of a frame that may be dead if it is to be copied as it is.
    pub(super) dead_share: f64,
    pub(super) level: Option<i32>,
    pub(super) progress: &'r dyn Progress,
    open: Mutex<Open>,
    written: Mutex<Vec<PackInfo>>,
}

/// How many bytes of a new pack are read back at once.
const READ_BACK: usize = 4 << 20;

/// What is being gathered, by all threads.
struct Open {
    chunks: Gathering,
    packs: OpenPacks,
}

/// Result of the copying.
#[derive(Default)]
pub(super) struct Repacked {
    /// Packs of which all that is needed was copied.
    pub(super) copied: Vec<PackNumber>,
    /// The new packs, which hold the copies.
    pub(super) written: Vec<PackInfo>,
}

impl<'r> Repacker<'r> {
    pub(super) fn new(
        repository: &'r Repository,
        survey: &'r Survey<'r>,
        needs: &'r Needs,
        (dead_share, level): (f64, Option<i32>),
        progress: &'r dyn Progress,
    ) -> Self {
        let packs = OpenPacks::new(repository.backend().abilities().has_cold);
        let open = Open { chunks: Gathering::new(repository.sizes().frame), packs };
        let written = Mutex::default();
        Self { repository, survey, needs, dead_share, level, progress, open: Mutex::new(open), written }
    }

    /// Copies what is needed of these packs, on all threads of the pool that this runs in.
    ///
    /// A pack of which something cannot be read stays: that is reported, and it is not among the packs that this returns.
    pub(super) fn run(self, packs: &[PackNumber]) -> Result<Repacked> {
        let copied: Vec<Option<PackNumber>> = packs
            .par_iter()
            .map_init(
                || Tools::new(self.level),
                |tools, pack| {
                    self.repository.runtime().go_on()?;
                    let tools = tools.as_mut().map_err(|failure| Error::Internal(failure.to_string()))?;
                    match self.copy_settled(*pack, tools) {
                        Ok(()) => Ok(Some(*pack)),
                        // Another prune condemned it meanwhile, and may have deleted it.
                        Err(error) if error.is_damage() && self.is_condemned(*pack)? => Ok(None),
                        Err(error) if error.is_damage() => {
                            let path = format!("packs/{}", self.survey.inventory.pack(*pack).id);
                            let message = format!("it is left as it is, since it cannot be copied: {error}");
                            self.progress.warning(&Warning { path, message, incomplete: false });
                            Ok(None)
                        }
                        Err(error) => Err(error),
                    }
                },
            )
            .collect::<Result<_>>()?;
        let mut tools = Tools::new(self.level)?;
        let last = self.lock().chunks.take().into_last();
        for (common, chunks) in last {
            self.push(tools.encode(&common, &chunks))?;
        }
        loop {
            // No lock is held while it is stored.
            let last = self.lock().packs.take();
            match last {
                Some(last) => self.store(last)?,
                None => break,
            }
        }
        let written = self.written.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Repacked { copied: copied.into_iter().flatten().collect(), written })
    }

    /// Copies a pack, and again where something was missing that another prune may have moved: the bases of deltas.
    fn copy_settled(&self, pack: PackNumber, tools: &mut Tools) -> Result<()> {
        let before = self.repository.catalog().standing().changed;
        match self.copy(pack, tools) {
            Err(error)
                if error.is_damage()
                    && !self.is_condemned(pack)?
                    && self.repository.catalog().standing().changed != before =>
            {
                self.copy(pack, tools)
            }
            copied => copied,
        }
    }

    fn copy(&self, pack: PackNumber, tools: &mut Tools) -> Result<()> {
        let inventory = &self.survey.inventory;
        let id = inventory.pack(pack).id;
        let info = info_of(self.repository, &id)?;
        let cipher = self.repository.packs().cipher_of(&info)?;
        let hasher = self.repository.hasher();
        // Nothing is handed on before all of the pack was read: a pack is copied whole or not at all.
        for (at, (_, frame)) in inventory.frames_of(pack).enumerate() {
            let taken: Vec<bool> =
                inventory.places_of(frame).map(|(place, chunk, _)| self.needs.takes(place, chunk)).collect();
            if !taken.contains(&true) {
                continue;
            }
            let needed: u64 = inventory
                .places_of(frame)
                .zip(&taken)
                .filter(|(_, taken)| **taken)
                .map(|((_, _, length), _)| u64::from(length))
                .sum();
            let dead = 1.0 - needed as f64 / f64::from(frame.plain.max(1));
            let whole = taken.iter().all(|taken| *taken) || dead <= self.dead_share;
            let Some(listed) = info.directory.frames.get(at) else { continue };
            let plain = tools.reader.read_frame(self.repository.reader(), &info, at)?;
            let chunks = info.prove_chunks(at, &plain, &hasher)?;
            let body = || self.repository.packs().unseal(&info, &cipher, at, false);
            let is_unfolded = self.needs.is_unfolded(inventory, &self.survey.reach.used, frame);
            if !is_unfolded && (whole || frame.encoding == Encoding::Delta) {
                self.push(info.encoded_frame(at, body()?)?)?;
                continue;
            }
            let shape = match frame.encoding {
                Encoding::Columnar if listed.kind == ChunkKind::Records => {
                    tools.codec.shape_of(frame.encoding, &body()?, plain.len()).map(Arc::new)
                }
                _ => None,
            };
            for ((id, bytes), _) in chunks.into_iter().zip(taken).filter(|(_, taken)| *taken) {
                let chunk = PlainChunk { id, bytes: bytes.to_vec() };
                self.gather((listed.kind, shape.clone()), chunk, tools)?;
            }
        }
        self.progress.files(1);
        self.progress.bytes(info.length);
        Ok(())
    }

    fn gather(&self, common: Common, chunk: PlainChunk, tools: &mut Tools) -> Result<()> {
        let full = self.lock().chunks.add(common, chunk);
        match full {
            Some((common, chunks)) => self.push(tools.encode(&common, &chunks)),
            None => Ok(()),
        }
    }

    fn push(&self, frame: EncodedFrame) -> Result<()> {
        let full = self.lock().packs.push(frame, self.repository.sizes().pack);
        full.map_or(Ok(()), |pack| self.store(pack))
    }

    /// Seals, stores, and reads back: what is about to be condemned must not be replaced by something worse.
    fn store(&self, pack: PackBuilder) -> Result<()> {
        let repository = self.repository;
        let sealed = repository.packs().seal(pack)?;
        let name = sealed.info.name();
        repository.packs().store(&sealed)?;
        let pieces = (0..).step_by(READ_BACK).zip(sealed.bytes.chunks(READ_BACK));
        for (offset, piece) in pieces {
            let range = ByteRange::Exactly { offset, length: piece.len() };
            let read = match repository.backend().read_stored(&name, range) {
                // A prune without grace took it for an abandoned one. Then nothing was copied into it.
                Err(error) if error.kind() == StorageErrorKind::NotFound && self.was_condemned(&sealed.info.id)? => {
                    return Ok(());
                }
                read => read?,
            };
            if read != piece {
                return Err(Error::damaged(name, "what was just written does not read back as it was"));
            }
        }
        repository.catalog().index().insert_unpublished(&sealed.info)?;
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(sealed.info);
        Ok(())
    }

    fn is_condemned(&self, pack: PackNumber) -> Result<bool> {
        self.was_condemned(&self.survey.inventory.pack(pack).id)
    }

    /// Whether the pack is condemned by now.
    fn was_condemned(&self, pack: &PackId) -> Result<bool> {
        self.repository.catalog().refresh()?;
        Ok(self.repository.catalog().standing().is_condemned(pack))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What each thread works with.
struct Tools {
    reader: FrameReader,
    codec: FrameCodec,
}

impl Tools {
    fn new(level: Option<i32>) -> Result<Self> {
        let codec = FrameCodec::new(level)
            .map_err(|error| Error::Exhausted { what: "memory to compress with", source: error.into() })?;
        Ok(Self { reader: FrameReader::new()?, codec })
    }

    fn encode(&mut self, (kind, shape): &Common, chunks: &[PlainChunk]) -> EncodedFrame {
        match shape {
            Some(shape) => self.codec.encode_records(chunks, shape),
            None => self.codec.encode(*kind, chunks),
        }
    }
}

/// What a pack says about itself, as far as the local index has it.
pub(super) fn info_of(repository: &Repository, id: &PackId) -> Result<Arc<PackInfo>> {
    let missing = || Error::ObjectMissing { name: crate::pack::pack_name(id) };
    repository.catalog().index().find_pack(id)?.ok_or_else(missing)
}
