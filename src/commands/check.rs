//! `check`: is everything there, and is it what it should be?

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::backend::{Kind, Name};
use crate::commands::select::read_root;
use crate::error::{Context, Error, Result};
use crate::id::{ChunkHasher, ChunkId, PackId, SnapshotId};
use crate::index::Damage;
use crate::pack::{self, FrameChunk};
use crate::progress::{Phase, Progress};
use crate::recipe::{Recipe, Stream};
use crate::repository::{Bits, Catalogue, Derivation, FrameReader, Repository, SnapshotRecord};
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;

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
}

/// What was found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// What is wrong, in the order in which it was found.
    pub problems: Vec<Error>,
    /// Paths that cannot be restored, with the snapshots that hold them (the first 1000).
    pub lost_paths: Vec<(crate::id::SnapshotId, Vec<u8>)>,
    /// Snapshots looked at.
    pub snapshots: u64,
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
}

/// Looks at the repository. What is wrong is in the report, not an error.
///
/// # Errors
/// If the work itself cannot be done.
pub fn check(repository: &Repository, options: CheckOptions, progress: &dyn Progress) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    // A cache that is stale or damaged must neither hide damage nor make any up.
    repository.rebuild_index()?;
    progress.begin(Phase::CheckStructure, None, None);
    report.problems.extend(repository.check_keys());
    report.problems.extend(repository.log_gap()?);
    let packs = check_packs(repository, &mut report)?;
    let bad = match options.data {
        DataSubset::None => HashSet::new(),
        subset => check_data(repository, subset, options.threads, &packs, &mut report, progress)?,
    };
    let catalogue = Catalogue::of_index(repository)?;
    let state = repository.state();
    let sound = catalogue.derive_sound(&state.standing, |pack, frame| !bad.contains(&(*pack, frame)));
    let (seen, used) = (HashSet::new(), RefCell::default());
    let mut closure = Closure { repository, catalogue: &catalogue, sound, used, seen, report: &mut report };
    for record in &state.snapshots {
        closure.snapshot(record);
    }
    let used = closure.used.into_inner();
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

/// Index objects that the log names, and packs that these name.
fn check_packs(repository: &Repository, report: &mut CheckReport) -> Result<Vec<u32>> {
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
    for object in &objects {
        if let Err(error) = repository.read_index_object(object) {
            report.problems.push(error);
        }
    }
    let mut there = HashMap::new();
    repository.backend().list(Kind::Pack, &mut |name, length| {
        there.insert(name, length);
        Ok(())
    })?;
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
        report.chunks += info.directory.chunks.len() as u64;
        // A listing may be behind: what it does not show is asked for.
        let length = match there.remove(&info.name()) {
            Some(length) => Some(length),
            None => repository.backend().size(&info.name())?,
        };
        match length {
            Some(length) if length == info.length => {}
            Some(length) => report
                .problems
                .push(Error::damaged(info.name(), format!("it has {length} bytes where {} were written", info.length))),
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
    progress: &dyn Progress,
) -> Result<HashSet<BadFrame>> {
    let mut chosen = Vec::new();
    let mut bytes = 0;
    for number in packs {
        let info = repository.index().pack(*number)?;
        if subset.holds(&info.id) {
            chosen.push(*number);
            bytes += info.length;
        }
    }
    progress.begin(Phase::CheckData, Some(chosen.len() as u64), Some(bytes));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .build()
        .map_err(|e| Error::Invalid(format!("no threads can be started: {e}")))?;
    let found: Vec<PackFindings> = pool.install(|| {
        chosen
            .par_iter()
            .map(|number| {
                let findings = check_pack(repository, *number);
                progress.files(1);
                progress.bytes(findings.as_ref().map_or(0, |findings| findings.bytes));
                findings
            })
            .collect::<Result<_>>()
    })?;
    let mut bad = HashSet::new();
    for findings in found {
        report.packs_read += 1;
        report.bytes_read += findings.bytes;
        report.problems.extend(findings.problems);
        bad.extend(findings.bad);
    }
    Ok(bad)
}

/// A pack, and the number of a frame in it that is not what it should be.
type BadFrame = (PackId, u32);

#[derive(Default)]
struct PackFindings {
    problems: Vec<Error>,
    bad: Vec<BadFrame>,
    bytes: u64,
}

fn check_pack(repository: &Repository, number: u32) -> Result<PackFindings> {
    let info = repository.index().pack(number)?;
    let mut findings = PackFindings::default();
    let is_known = repository.state().standing.damaged.contains_key(&info.id);
    let bytes = match repository.backend().read(&info.name(), pack::MAX_PACK) {
        Ok(bytes) => bytes,
        Err(error) => {
            findings.problems.push(error);
            findings.bad.extend((0..info.directory.frames.len()).map(|frame| (info.id, frame as u32)));
            return Ok(findings);
        }
    };
    findings.bytes = bytes.len() as u64;
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
    let standing = &repository.state().standing;
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
            // A difference that nobody needs may outlive what it is a difference to. Where somebody needs it, the
            // snapshot says so.
            if frame.bases.is_empty() || !matches!(error, Error::ChunkMissing { .. }) {
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
    fn holds(self, id: &PackId) -> bool {
        let [a, b, c, d, ..] = *id.as_bytes();
        match self {
            Self::None => false,
            Self::All => true,
            Self::Part { part, of } => u32::from_le_bytes([a, b, c, d]) % of.max(1) + 1 == part,
        }
    }
}

/// Follows a snapshot from its root to the last chunk.
struct Closure<'a> {
    repository: &'a Repository,
    catalogue: &'a Catalogue,
    /// What can be rebuilt, bases and all, from where nothing wrong was found.
    sound: Derivation,
    /// The chunks that were met.
    used: RefCell<Bits>,
    /// Trees that were followed already and are whole.
    seen: HashSet<ChunkId>,
    report: &'a mut CheckReport,
}

/// How many lost paths are listed.
const LISTED: usize = 1000;

impl Closure<'_> {
    fn snapshot(&mut self, record: &SnapshotRecord) {
        self.report.snapshots += 1;
        let followed = self.present(&record.root).and_then(|()| self.manifest(&read_root(self.repository, record)?));
        if let Err(error) = followed {
            self.report.problems.push(error);
            self.lose(record.id, b"");
        }
    }

    fn manifest(&mut self, root: &SnapshotRoot) -> Result<()> {
        if let Some(tree) = &root.manifest {
            if self.seen.contains(&tree.root.id) {
                return Ok(());
            }
            // Every chunk of the manifest, also those that a reader would find in its cache.
            Stream::Tree(tree.clone()).each_chunk(self.repository, |id, _| self.present(id))?;
        }
        let mut rows = root.rows(self.repository);
        let mut whole = true;
        while let Some(row) = rows.next_row()? {
            if let Err(error) = self.row(&row) {
                whole = false;
                self.report.problems.push(Error::damaged(
                    format_args!("{} in snapshot {}", String::from_utf8_lossy(&row.path), root.id.short()),
                    error,
                ));
                self.lose(root.id, &row.path);
            }
        }
        if let (true, Some(tree)) = (whole, &root.manifest) {
            self.seen.insert(tree.root.id);
        }
        Ok(())
    }

    fn row(&mut self, row: &FileEntry) -> Result<()> {
        if row.recipe.is_empty() {
            return Ok(());
        }
        let recipe = Recipe::decode(&row.recipe).in_object("its recipe")?;
        for stream in recipe.streams() {
            let Stream::Tree(tree) = stream else { continue };
            if self.seen.contains(&tree.root.id) {
                continue;
            }
            stream.each_chunk(self.repository, |id, _| self.present(id))?;
            self.seen.insert(tree.root.id);
        }
        Ok(())
    }

    /// Whether the chunk can be rebuilt from where nothing wrong was found.
    fn present(&self, id: &ChunkId) -> Result<()> {
        let chunk = self.catalogue.find(id);
        self.used.borrow_mut().extend(chunk);
        match chunk.is_some_and(|chunk| self.sound.has(chunk)) {
            true => Ok(()),
            false => Err(Error::ChunkMissing { id: *id }),
        }
    }

    fn lose(&mut self, snapshot: SnapshotId, path: &[u8]) {
        if self.report.lost_paths.len() < LISTED {
            self.report.lost_paths.push((snapshot, path.to_vec()));
        }
    }
}
