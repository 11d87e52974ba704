//! The data itself: packs are read, frames decoded, and the ids of chunks computed again.

use std::collections::{BTreeSet, HashSet};

use rayon::prelude::*;

use super::{CheckReport, DataSubset, is_mendable};
use crate::error::{Error, Result};
use crate::id::{ChunkHasher, ChunkId, PackId, digest};
use crate::index::Standing;
use crate::pack::{self, FrameChunk};
use crate::progress::{Phase, Progress};
use crate::repository::{FrameReader, ParityFound, Repository, VerifiedPacks};

/// Reads packs, decodes every frame, recomputes every chunk's id. Gives the frames that are not what they should be.
pub(super) fn check_data(
    repository: &Repository,
    subset: DataSubset,
    threads: usize,
    packs: &[u32],
    report: &mut CheckReport,
    mendable: &mut BTreeSet<PackId>,
    progress: &dyn Progress,
) -> Result<HashSet<BadFrame>> {
    let mut chosen = Vec::new();
    let mut bytes = 0;
    let ledger = repository.verified_packs();
    for number in packs {
        let info = repository.index().pack(*number)?;
        if subset.holds(&info.id, &ledger, repository.clock().now()) {
            chosen.push(*number);
            bytes += info.length;
        }
    }
    if matches!(subset, DataSubset::NotSince(_)) {
        report.packs_verified_before = (packs.len() - chosen.len()) as u64;
    }
    progress.begin(Phase::CheckData, Some(chosen.len() as u64), Some(bytes));
    let pool = crate::commands::threads::pool(threads.max(1))?;
    let standing = repository.standing();
    let found: Vec<PackFindings> = pool.install(|| {
        chosen
            .par_iter()
            .map(|number| {
                let findings = check_pack(repository, *number, &standing);
                progress.files(1);
                progress.bytes(findings.as_ref().map_or(0, |findings| findings.bytes));
                findings
            })
            .collect::<Result<_>>()
    })?;
    let mut bad = HashSet::new();
    remember(repository, ledger, &chosen, &found)?;
    for (number, findings) in chosen.iter().zip(found) {
        report.packs_read += 1;
        report.bytes_read += findings.bytes;
        let pack = repository.index().pack(*number)?.id;
        if findings.mendable && !mendable.insert(pack) {
            // That was told when its length was looked at.
            report.problems.extend(findings.problems.into_iter().skip(1));
        } else {
            report.problems.extend(findings.problems);
        }
        if let ParityFound::Unsound(error) = findings.parity {
            report.unsound_parity += 1;
            report.problems.push(error);
        }
        bad.extend(findings.bad);
    }
    Ok(bad)
}

/// Keeps which packs were found sound just now, and forgets those that were not, or are not there any more.
fn remember(repository: &Repository, mut ledger: VerifiedPacks, read: &[u32], found: &[PackFindings]) -> Result<()> {
    let now = repository.clock().now();
    for (number, findings) in read.iter().zip(found) {
        let info = repository.index().pack(*number)?;
        let is_protected = !matches!(findings.parity, ParityFound::Unsound(_));
        match findings.problems.is_empty() && findings.bad.is_empty() && is_protected {
            true => ledger.set(info.id, now),
            false => ledger.forget(&info.id),
        }
    }
    ledger.retain(|pack| repository.index().knows_pack(pack) && !repository.index().is_gone(pack));
    // Losing this costs reading, not data.
    let _ = repository.remember_verified(&ledger);
    Ok(())
}

/// A pack, and the number of a frame in it that is not what it should be.
pub(in crate::commands) type BadFrame = (PackId, u32);

/// What was found in a pack. What the log has as lost already is not told again.
#[derive(Debug)]
pub(in crate::commands) struct PackFindings {
    /// That it is mendable comes first, where it is.
    pub(in crate::commands) problems: Vec<Error>,
    /// It is damaged, and its parity brings all of it back: frames are then bad only if they were so when it was written.
    pub(in crate::commands) mendable: bool,
    /// What lies beside it; not looked at where it is damaged.
    pub(in crate::commands) parity: ParityFound,
    /// Frames that are not what they should be.
    pub(in crate::commands) bad: Vec<BadFrame>,
    bytes: u64,
}

impl Default for PackFindings {
    fn default() -> Self {
        let (problems, bad) = (Vec::new(), Vec::new());
        Self { problems, mendable: false, parity: ParityFound::Missing, bad, bytes: 0 }
    }
}

/// Reads a pack, decodes its frames, recomputes the ids of its chunks.
pub(in crate::commands) fn check_pack(
    repository: &Repository,
    number: u32,
    standing: &Standing,
) -> Result<PackFindings> {
    let info = repository.index().pack(number)?;
    let mut findings = PackFindings::default();
    let is_known = standing.damaged.contains_key(&info.id);
    let read = repository.backend().read(&info.name(), pack::MAX_PACK);
    let is_sound = read.as_ref().is_ok_and(|bytes| digest(bytes) == *info.id.as_bytes());
    let is_gone = matches!(read, Err(Error::ObjectMissing { .. }));
    let mended = if is_sound || is_gone { None } else { repository.mended_pack(&info.id) };
    let bytes = match (mended, read) {
        (Some(bytes), _) => {
            findings.mendable = !is_known;
            findings.problems.extend(findings.mendable.then(|| is_mendable(&info.id)));
            bytes
        }
        (None, Ok(bytes)) => bytes.into(),
        (None, Err(error)) => {
            let frames = (0..info.directory.frames.len()).map(|frame| frame as u32);
            let frames = frames.filter(|frame| !standing.is_damaged(&info.id, *frame));
            findings.bad.extend(frames.map(|frame| (info.id, frame)));
            if !findings.bad.is_empty() {
                findings.problems.push(error);
            }
            return Ok(findings);
        }
    };
    findings.bytes = bytes.len() as u64;
    if is_sound {
        findings.parity = repository.find_parity(&info.id, &bytes)?;
    }
    match pack::read_pack(&info.id, &bytes, repository.id(), repository.keyring()) {
        Ok(own) if own == *info => {}
        Ok(_) => findings.problems.push(Error::damaged(info.name(), "its directory is not what the index says")),
        // Of a pack that is known to be damaged, it is the frames that count.
        Err(_) if is_known => {}
        Err(error) => findings.problems.push(error),
    }
    // With what the index says, frames can be read even where the pack's own directory is lost.
    let mut reader = FrameReader::new()?;
    let hasher = repository.hasher();
    for (frame_number, (frame, chunks)) in info.directory.iter().enumerate() {
        if standing.is_damaged(&info.id, frame_number as u32) {
            // That is known. What is lost by it, the snapshots say.
            continue;
        }
        let start = frame.offset as usize;
        let sealed = bytes.get(start..start + frame.stored as usize);
        let opened = sealed
            .ok_or_else(|| Error::damaged(info.name(), format!("it ends before frame {frame_number} does")))
            .and_then(|sealed| reader.open(repository, &info, frame_number, sealed.to_vec()));
        let wrong = match opened {
            Ok(plain) => wrong_chunk(&plain, chunks, &hasher).map(|id| Error::ChunkDamaged {
                id,
                pack: info.id,
                reason: "its bytes do not hash to its id".into(),
            }),
            Err(error) => Some(error),
        };
        if let Some(error) = wrong {
            // A difference that nobody needs may outlive what it is a difference to, or the pack of that. Where somebody
            // needs it, the snapshot says so.
            let is_of_base = matches!(error, Error::ChunkMissing { .. } | Error::ObjectMissing { .. });
            if frame.bases.is_empty() || !is_of_base {
                findings.problems.push(error);
            }
            findings.bad.push((info.id, frame_number as u32));
        }
    }
    Ok(findings)
}

/// The first chunk of a frame whose bytes do not hash to its id.
fn wrong_chunk(plain: &[u8], chunks: &[FrameChunk], hasher: &ChunkHasher) -> Option<ChunkId> {
    let mut rest = plain;
    for chunk in chunks {
        let Some((bytes, behind)) = rest.split_at_checked(chunk.length as usize) else { return Some(chunk.id) };
        if hasher.id(bytes) != chunk.id {
            return Some(chunk.id);
        }
        rest = behind;
    }
    None
}

impl DataSubset {
    fn holds(self, id: &PackId, ledger: &VerifiedPacks, now: i64) -> bool {
        let [a, b, c, d, ..] = *id.as_bytes();
        match self {
            Self::None => false,
            Self::All => true,
            // A time that is still to come was written by a clock that was wrong.
            Self::NotSince(since) => !ledger.verified(id).is_some_and(|time| (since..=now).contains(&time)),
            Self::Part { part, of } => u32::from_le_bytes([a, b, c, d]) % of.max(1) + 1 == part,
        }
    }
}
