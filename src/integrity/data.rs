//! The data itself: packs are read, frames decoded, and the ids of chunks computed again.

use std::collections::{BTreeSet, HashSet};

use rayon::prelude::*;

use super::check::{CheckReport, DataSubset, is_mendable};
use crate::error::{Error, Result};
use crate::graph::BadFrame;
use crate::id::{PackId, digest};
use crate::log::Standing;
use crate::pack;
use crate::progress::{Phase, Progress};
use crate::storage::{self, ByteRange, StorageErrorKind};
use crate::store::{FrameReader, Opened, ParityFound, Repository, VerifiedPacks};

/// Reads packs, decodes every frame, recomputes every chunk's id. Returns the frames that are not what they should be.
pub(super) fn check_data(
    repository: &Repository,
    subset: DataSubset,
    packs: &[PackId],
    report: &mut CheckReport,
    mendable: &mut BTreeSet<PackId>,
    progress: &dyn Progress,
) -> Result<HashSet<BadFrame>> {
    let ledger = repository.packs().verified();
    let (chosen, bytes) = choose(repository, subset, &ledger, packs)?;
    if matches!(subset, DataSubset::NotSince(_)) {
        report.packs_verified_before = (packs.len() - chosen.len()) as u64;
    }
    progress.begin(Phase::CheckData, Some(chosen.len() as u64), Some(bytes));
    let pool = repository.runtime().compute()?;
    let standing = repository.catalog().standing();
    let mut found: Vec<PackFindings> = pool.install(|| {
        chosen
            .par_iter()
            .map(|pack| {
                repository.runtime().go_on()?;
                let findings = check_pack(repository, pack, &standing);
                progress.files(1);
                progress.bytes(findings.as_ref().map_or(0, |findings| findings.bytes));
                findings
            })
            .collect::<Result<_>>()
    })?;
    drop_condemned(repository, &chosen, &mut found)?;
    take_back(repository, &chosen, &found, report)?;
    let mut bad = HashSet::new();
    remember(repository, ledger, &chosen, &found)?;
    for (pack, findings) in chosen.iter().zip(found) {
        report.packs_read += 1;
        report.bytes_read += findings.bytes;
        if let Some(error) = findings.unread {
            report.unread += 1;
            report.problems.push(error);
        }
        if findings.mendable && !mendable.insert(*pack) {
            // That was reported when its length was looked at.
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

/// What the log has as damaged and was read whole just now is not damaged any more. Where that cannot be written down, it
/// is left to another.
fn take_back(
    repository: &Repository,
    packs: &[PackId],
    found: &[PackFindings],
    report: &mut CheckReport,
) -> Result<()> {
    let standing = repository.catalog().standing();
    let is_meant = |(pack, findings): &(&PackId, &PackFindings)| findings.whole && standing.damaged.contains_key(*pack);
    let whole: Vec<PackId> = packs.iter().zip(found).filter(is_meant).map(|(pack, _)| *pack).collect();
    if whole.is_empty() {
        return Ok(());
    }
    match repository.reader().take_back_damage(&whole) {
        Ok(sound) => report.taken_back += sound.len() as u64,
        Err(Error::Storage(_) | Error::Unsupported { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Forgets what was found about packs that a prune condemned meanwhile: it may have deleted them while they were read.
pub(crate) fn drop_condemned(repository: &Repository, packs: &[PackId], found: &mut [PackFindings]) -> Result<()> {
    if found.iter().all(PackFindings::is_sound) {
        return Ok(());
    }
    repository.catalog().refresh()?;
    let standing = repository.catalog().standing();
    for (pack, findings) in packs.iter().zip(found) {
        if standing.is_condemned(pack) && !findings.is_sound() {
            *findings = PackFindings { gone: true, ..PackFindings::default() };
        }
    }
    Ok(())
}

/// Keeps which packs were found sound just now, and forgets those that were not, or are not there any more.
fn remember(repository: &Repository, mut ledger: VerifiedPacks, read: &[PackId], found: &[PackFindings]) -> Result<()> {
    let now = repository.log().clock().now();
    for (pack, findings) in read.iter().zip(found) {
        let is_protected = !matches!(findings.parity, ParityFound::Unsound(_));
        match findings.is_sound() && !findings.gone && is_protected {
            true => ledger.set(*pack, now),
            false => ledger.forget(pack),
        }
    }
    ledger.retain(|pack| repository.catalog().index().knows_pack(pack) && !repository.catalog().index().is_gone(pack));
    // Losing this costs reading, not data.
    let _ = repository.packs().remember_verified(&ledger);
    Ok(())
}

/// What was found in a pack. What the log has as lost already is not reported again.
#[derive(Debug)]
pub(crate) struct PackFindings {
    /// That it is mendable comes first, where it is.
    pub(crate) problems: Vec<Error>,
    /// It is damaged, and its parity brings all of it back: frames are then bad only if they were so when it was written.
    pub(crate) mendable: bool,
    /// What lies beside it; not looked at where it is damaged.
    pub(crate) parity: ParityFound,
    /// Frames whose bytes were read and are not what they should be; all of them, if the pack is not there.
    pub(crate) bad: Vec<BadFrame>,
    /// Why it, or what it rests on, could not be read at all: that says nothing about the bytes.
    pub(crate) unread: Option<Error>,
    /// It is not there.
    pub(crate) gone: bool,
    /// Every byte of it is what was written.
    whole: bool,
    bytes: u64,
}

impl Default for PackFindings {
    fn default() -> Self {
        let (problems, bad) = (Vec::new(), Vec::new());
        let (parity, unread) = (ParityFound::Missing, None);
        Self { problems, mendable: false, parity, bad, unread, gone: false, whole: false, bytes: 0 }
    }
}

impl PackFindings {
    /// Whether nothing was found that is wrong.
    pub(crate) fn is_sound(&self) -> bool {
        self.problems.is_empty() && self.bad.is_empty() && self.unread.is_none()
    }
}

/// Reads a pack, decodes its frames, recomputes the ids of its chunks.
///
/// Only what was read and is wrong is bad. What could not be read is not judged, and neither is a delta whose bases
/// cannot be read.
pub(crate) fn check_pack(repository: &Repository, id: &PackId, standing: &Standing) -> Result<PackFindings> {
    let mut findings = PackFindings::default();
    let Some(info) = repository.catalog().index().find_pack(id)? else {
        // It was deleted meanwhile.
        return Ok(PackFindings { gone: true, ..findings });
    };
    let is_known = standing.damaged.contains_key(&info.id);
    let is_whole =
        |read: &storage::Result<Vec<u8>>| read.as_ref().is_ok_and(|bytes| digest(bytes) == *info.id.as_bytes());
    let mut read = repository.backend().read_stored(&info.name(), ByteRange::UpTo(pack::MAX_PACK));
    if !is_whole(&read) {
        // An error on the way from the disk goes by.
        read = repository.backend().read_stored(&info.name(), ByteRange::UpTo(pack::MAX_PACK));
    }
    let is_sound = is_whole(&read);
    findings.whole = is_sound;
    findings.gone = read.as_ref().is_err_and(|error| error.kind() == StorageErrorKind::NotFound);
    let mended = if is_sound || findings.gone { None } else { repository.packs().mended_pack(&info.id) };
    let bytes = match (mended, read) {
        (Some(bytes), _) => {
            findings.mendable = !is_known;
            findings.problems.extend(findings.mendable.then(|| is_mendable(&info.id)));
            bytes
        }
        (None, Ok(bytes)) => bytes.into(),
        (None, Err(error)) if !error.is_damage() => return Ok(PackFindings { unread: Some(error.into()), ..findings }),
        (None, Err(error)) => {
            let frames = (0..info.directory.frames.len()).map(|frame| frame as u32);
            let frames = frames.filter(|frame| !standing.is_damaged(&info.id, *frame));
            findings.bad.extend(frames.map(|frame| (info.id, frame)));
            if !findings.bad.is_empty() {
                findings.problems.push(error.into());
            }
            return Ok(findings);
        }
    };
    findings.bytes = bytes.len() as u64;
    if is_sound {
        match repository.packs().find_parity(&info.id, &bytes) {
            Ok(parity) => findings.parity = parity,
            Err(error) => findings.unread = Some(error),
        }
    }
    match repository.packs().read_pack(&info.id, &bytes) {
        Ok(own) if own == *info => {}
        Ok(_) => findings.problems.push(Error::damaged(info.name(), "its directory is not what the index says")),
        // Of a pack that is known to be damaged, it is the frames that count.
        Err(error) if is_known && error.is_damage() => {}
        Err(error) if error.is_damage() => findings.problems.push(error),
        Err(error) => return Err(error),
    }
    // With what the index says, frames can be read even where the pack's own directory is lost.
    let mut reader = FrameReader::new()?;
    let hasher = repository.hasher();
    for (frame_number, frame) in info.directory.frames.iter().enumerate() {
        if standing.is_damaged(&info.id, frame_number as u32) {
            // That is known. What is lost by it, the snapshots say.
            continue;
        }
        let start = frame.offset as usize;
        let sealed = bytes.get(start..start + frame.stored as usize);
        let opened = sealed
            .ok_or_else(|| Error::damaged(info.name(), format!("it ends before frame {frame_number} does")))
            .and_then(|sealed| reader.open(repository.reader(), &info, frame_number, sealed.to_vec()));
        let wrong = match opened {
            Ok(Opened::Plain(plain)) => info.prove_chunks(frame_number, &plain, &hasher).err(),
            // Its own bytes are what was written. What is wrong with its bases is found where they lie; and a delta that
            // no snapshot needs may outlive them. Where one needs it, the snapshot says so.
            Ok(Opened::WithoutBase(_)) => None,
            Err(error) if error.is_damage() => Some(error),
            Err(error) => {
                findings.unread.get_or_insert(error);
                None
            }
        };
        if let Some(error) = wrong {
            findings.problems.push(error);
            findings.bad.push((info.id, frame_number as u32));
        }
    }
    Ok(findings)
}

/// The packs that are to be read, and their bytes.
fn choose(
    repository: &Repository,
    subset: DataSubset,
    ledger: &VerifiedPacks,
    packs: &[PackId],
) -> Result<(Vec<PackId>, u64)> {
    let now = repository.log().clock().now();
    let mut found = Vec::new();
    for pack in packs {
        if subset.holds(pack, ledger, now) {
            let verified = ledger.verified(pack).filter(|time| *time <= now);
            let length = repository.catalog().index().find_pack(pack)?.map_or(0, |info| info.length);
            found.push(Candidate { length, verified, id: *pack });
        }
    }
    let all = found.iter().map(|pack| pack.length).sum();
    let most = match subset {
        DataSubset::Share(millionths) => Some(share_of(all, millionths)),
        DataSubset::Bytes(bytes) => Some(bytes),
        _ => None,
    };
    let found = match most {
        Some(most) => longest_unread(found, most),
        None => found,
    };
    Ok((found.iter().map(|pack| pack.id).collect(), found.iter().map(|pack| pack.length).sum()))
}

/// A pack that may be read.
struct Candidate {
    length: u64,
    /// When it was last found sound on this machine.
    verified: Option<i64>,
    id: PackId,
}

/// Rounded up, so that a hundred times one percent is everything.
fn share_of(all: u64, millionths: u32) -> u64 {
    let share = (u128::from(all) * u128::from(millionths)).div_ceil(1_000_000);
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Those that were not read for the longest time, never read ones first, up to this many bytes and at least one. A run
/// every night then reads everything in turn.
fn longest_unread(mut packs: Vec<Candidate>, most: u64) -> Vec<Candidate> {
    packs.sort_by_key(|pack| (pack.verified, pack.id));
    let mut taken = 0u64;
    packs
        .into_iter()
        .take_while(|pack| {
            let goes = taken < most.max(1);
            taken = taken.saturating_add(pack.length);
            goes
        })
        .collect()
}

impl DataSubset {
    fn holds(self, id: &PackId, ledger: &VerifiedPacks, now: i64) -> bool {
        let [a, b, c, d, ..] = *id.as_bytes();
        match self {
            Self::None => false,
            // How many of all is chosen later.
            Self::All | Self::Share(_) | Self::Bytes(_) => true,
            // A time that is still to come was written by a clock that was wrong.
            Self::NotSince(since) => !ledger.verified(id).is_some_and(|time| (since..=now).contains(&time)),
            Self::Part { part, of } => u32::from_le_bytes([a, b, c, d]) % of.max(1) + 1 == part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> Vec<Candidate> {
        let verified = [Some(5), None, Some(1), Some(9)];
        let pack =
            |(number, verified): (u8, Option<i64>)| Candidate { length: 10, verified, id: PackId::new([number; 32]) };
        (0..).zip(verified).map(pack).collect()
    }

    fn chosen(most: u64) -> Vec<u32> {
        longest_unread(candidates(), most).iter().map(|pack| u32::from(pack.id.as_bytes()[0])).collect()
    }

    #[test]
    fn what_was_not_read_for_long_comes_first() {
        assert_eq!((chosen(0), chosen(1), chosen(10)), (vec![1], vec![1], vec![1]));
        assert_eq!((chosen(11), chosen(30), chosen(1000)), (vec![1, 2], vec![1, 2, 0], vec![1, 2, 0, 3]));
        assert_eq!((share_of(40, 250_000), share_of(41, 250_000), share_of(u64::MAX, 1_000_000)), (10, 11, u64::MAX));
    }
}
