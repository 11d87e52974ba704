//! `check`: is everything there, and is it what it should be?

mod lost;

use std::collections::{BTreeSet, HashMap, HashSet};

use rayon::prelude::*;

use crate::backend::{Kind, Name};
use crate::error::{Error, Result};
use crate::id::{ChunkHasher, ChunkId, PackId, digest};
use crate::index::{Damage, Standing};
use crate::pack::{self, FrameChunk, PackInfo};
use crate::progress::{Phase, Progress};
use crate::repository::{Catalogue, FrameReader, ParityFound, Repository, VerifiedPacks};

pub use lost::Lost;
pub(in crate::commands) use lost::{Closure, Followed};

/// What to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckOptions {
    /// Which packs are read and decoded.
    pub data: DataSubset,
    /// How many packs are read at once.
    pub threads: usize,
}

/// A part of the packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSubset {
    /// None: only what can be seen without reading data.
    None,
    /// All.
    All,
    /// Those of this part (from 1 on) of so many.
    Part {
        /// Which part.
        part: u32,
        /// Of how many.
        of: u32,
    },
    /// Those that were not read and found sound on this machine since this time, nanoseconds since 1970 (UTC).
    NotSince(i64),
}

/// What was found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Error>,
    /// What snapshots have lost (the first 1000).
    pub lost: Vec<Lost>,
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Snapshots that have lost something.
    pub damaged_snapshots: u64,
    /// Files (each once for every snapshot that holds it) of which something is lost, and rows of manifests that are.
    pub lost_files: u64,
    /// Index objects that the log names and that cannot be read. The packs have what they said.
    pub lost_indexes: u64,
    /// Packs passed over because they were read and found sound lately.
    pub packs_verified_before: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Packs read and decoded.
    pub packs_read: u64,
    /// Chunks that the packs hold.
    pub chunks: u64,
    /// Bytes read from packs.
    pub bytes_read: u64,
    /// Packs that nothing names: garbage, not damage.
    pub unindexed_packs: u64,
    /// Packs that no snapshot needs, and their bytes: garbage, not damage.
    pub unused_packs: u64,
    /// The bytes of those.
    pub unused_bytes: u64,
    /// Packs that are condemned and not deleted yet.
    pub condemned_packs: u64,
    /// Packs of which the log says that something in them is damaged.
    pub damaged_packs: u64,
    /// Packs that are damaged, and of which nothing is lost: their parity brings all of it back.
    pub mendable_packs: u64,
    /// Parity objects that are not what was written.
    pub unsound_parity: u64,
    /// Packs that should have a parity object by the settings of the repository, and have none.
    pub unprotected_packs: u64,
}

/// Looks at the repository. What is wrong is in the report, not an error.
///
/// # Errors
/// If the work itself cannot be done.
pub fn check(repository: &Repository, options: CheckOptions, progress: &dyn Progress) -> Result<CheckReport> {
    let mut listed = Vec::new();
    let mut report = check_each(repository, options, progress, &mut |lost| {
        if listed.len() < LISTED {
            listed.push(lost);
        }
        Ok(())
    })?;
    report.lost = listed;
    Ok(report)
}

/// How much of what snapshots have lost stands in a report.
const LISTED: usize = 1000;

/// As [`check`], and hands all that snapshots have lost to `tell` instead of the report, as soon as it is found.
///
/// # Errors
/// Those of `tell`, and if the work itself cannot be done.
pub fn check_each(
    repository: &Repository,
    options: CheckOptions,
    progress: &dyn Progress,
    tell: &mut dyn FnMut(Lost) -> Result<()>,
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    // A cache that is stale or damaged must neither hide damage nor make any up.
    repository.rebuild_index()?;
    progress.begin(Phase::CheckStructure, None, None);
    report.problems.extend(repository.check_keys());
    report.problems.extend(repository.log_gap()?);
    let (mut bad, mut mendable) = (HashSet::new(), BTreeSet::new());
    let packs = check_packs(repository, &mut report, &mut bad, &mut mendable)?;
    if options.data != DataSubset::None {
        bad.extend(check_data(
            repository,
            options.data,
            options.threads,
            &packs,
            &mut report,
            &mut mendable,
            progress,
        )?);
    }
    let state = repository.state();
    let closure = Closure::new(repository, Catalogue::of_index(repository)?, &state.standing, &bad);
    for record in &state.snapshots {
        let followed = closure.snapshot(record, tell)?;
        report.snapshots += 1;
        if followed.is_damaged() {
            report.damaged_snapshots += 1;
            report.lost_files = report.lost_files.saturating_add(followed.rows).saturating_add(followed.files);
            report.problems.push(damaged_snapshot(record.id, &followed));
        }
    }
    // What was met on the way only.
    for pack in repository.mended_packs() {
        let is_known = state.standing.is_condemned(&pack) || state.standing.damaged.contains_key(&pack);
        if !is_known && mendable.insert(pack) {
            report.problems.push(is_mendable(&pack));
        }
    }
    report.mendable_packs = mendable.len() as u64;
    let (catalogue, used) = closure.used();
    for (number, pack) in (0..).zip(catalogue.packs()) {
        let frames = catalogue.frames_of(number);
        let is_used = frames.flat_map(|(_, frame)| catalogue.places_of(frame)).any(|(_, chunk, _)| used.has(chunk));
        if !is_used && !pack.gone && !state.standing.is_condemned(&pack.id) {
            report.unused_packs += 1;
            report.unused_bytes += pack.length;
        }
    }
    Ok(report)
}

fn damaged_snapshot(id: crate::id::SnapshotId, followed: &Followed) -> Error {
    let mut lost = Vec::new();
    if followed.all {
        lost.push("all of it is lost".to_owned());
    } else if followed.rows > 0 {
        lost.push(format!("{} rows of its manifest are lost", followed.rows));
    }
    if followed.files > 0 {
        lost.push(format!("{} of its files have lost data", followed.files));
    }
    Error::damaged(format_args!("snapshot {}", id.short()), lost.join(", "))
}

/// A pack is damaged, and nothing of it is lost.
fn is_mendable(pack: &PackId) -> Error {
    Error::damaged(pack::pack_name(pack), "its bytes are not what was written, but its parity brings all of them back")
}

/// The frames that a pack of this length does not hold all of.
pub(in crate::commands) fn cut_off(info: &PackInfo, length: u64) -> impl Iterator<Item = BadFrame> {
    let frames = info.directory.frames.iter().enumerate();
    frames
        .filter(move |(_, frame)| u64::from(frame.offset) + u64::from(frame.stored) > length)
        .map(|(number, _)| (info.id, number as u32))
}

/// Index objects that the log names, and packs that these name. Gives the numbers of those that are there; `bad` gets
/// frames that cannot be, and `mendable` packs that are damaged without any loss.
fn check_packs(
    repository: &Repository,
    report: &mut CheckReport,
    bad: &mut HashSet<BadFrame>,
    mendable: &mut BTreeSet<PackId>,
) -> Result<Vec<u32>> {
    let state = repository.state();
    let mut objects = state.indexes.clone();
    let mut unreadable = Vec::new();
    repository.backend().list(Kind::Index, &mut |name, _| {
        match name.file().parse() {
            Ok(id) => drop(objects.insert(id)),
            Err(_) => unreadable.push(Error::damaged(name, "no index object is called so")),
        }
        Ok(())
    })?;
    report.problems.append(&mut unreadable);
    objects.retain(|object| !state.standing.superseded.contains_key(object));
    for object in &objects {
        if let Err(error) = repository.read_index_object(object) {
            report.lost_indexes += u64::from(state.indexes.contains(object));
            report.problems.push(error);
        }
    }
    let mut there = HashMap::new();
    repository.backend().list(Kind::Pack, &mut |name, length| {
        there.insert(name, length);
        Ok(())
    })?;
    let mut unprotected = HashSet::new();
    if repository.settings().parity() > 0 {
        unprotected.extend(there.keys().map(|name| name.file().to_owned()));
        repository.backend().list(Kind::Parity, &mut |name, _| {
            unprotected.remove(name.file());
            Ok(())
        })?;
    }
    let mut numbers = Vec::new();
    for number in repository.index().pack_numbers() {
        let info = repository.index().pack(number)?;
        if let Some(retired) = state.standing.condemned.get(&info.id) {
            // Whether it is there still is nobody's concern.
            report.condemned_packs += u64::from(!retired.swept);
            there.remove(&info.name());
            continue;
        }
        let damage = state.standing.damaged.get(&info.id);
        report.damaged_packs += u64::from(damage.is_some());
        report.packs += 1;
        let is_lost = damage == Some(&Damage::Whole);
        report.unprotected_packs += u64::from(!is_lost && unprotected.contains(info.name().file()));
        report.chunks += info.directory.chunks.len() as u64;
        // A listing may be behind: what it does not show is asked for.
        let length = match there.remove(&info.name()) {
            Some(length) => Some(length),
            None => repository.backend().size(&info.name())?,
        };
        match length {
            Some(length) if length == info.length => {}
            Some(_) if damage.is_none() && repository.mended_pack(&info.id).is_some() => {
                mendable.insert(info.id);
                report.problems.push(is_mendable(&info.id));
            }
            Some(length) => {
                bad.extend(cut_off(&info, length));
                // Once damage is recorded, what matters is what snapshots have lost with it.
                if damage.is_none() {
                    let reason = format!("it has {length} bytes where {} were written", info.length);
                    report.problems.push(Error::damaged(info.name(), reason));
                }
            }
            None if damage == Some(&Damage::Whole) => {}
            None => report.problems.push(Error::ObjectMissing { name: info.name().to_string() }),
        }
        match length {
            // Even in one that was cut off, frames may still be sound.
            Some(_) => numbers.push(number),
            None => repository.index().mark_gone(&info.id),
        }
    }
    let is_condemned = |name: &Name| name.file().parse::<PackId>().is_ok_and(|pack| state.standing.is_condemned(&pack));
    report.unindexed_packs = there.keys().filter(|name| !is_condemned(name)).count() as u64;
    Ok(numbers)
}

/// Reads packs, decodes every frame, recomputes every chunk's id. Gives the frames that are not what they should be.
fn check_data(
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
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .build()
        .map_err(|e| Error::Invalid(format!("no threads can be started: {e}")))?;
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
