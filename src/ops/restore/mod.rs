//! `restore`: writes the files of a snapshot into a directory.

mod archive;
mod guard;
mod links;
mod local;
mod one_file;
mod options;
mod packs;
mod recode;
mod run;
mod salvage;
mod selection;
mod sweep;
mod tar;

pub use archive::{archive, archive_of, is_folder};
pub use options::RestoreOptions;
pub use packs::{NeededPack, packs_of};
pub use salvage::Salvage;

use std::collections::BTreeMap;
use std::time::Instant;

use run::RestoreRun;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::error::{Error, Result};
use crate::files::{RestoreTarget, Spare, is_in_store};
use crate::progress::{Phase, Progress};
use crate::read::{EncoderBench, FileAssembler, regular_file};
use crate::report::{self, put_text};
use crate::snapshot::SnapshotRoot;
use crate::store::{Repository, moved, unless_moved};

/// Result of a restore.
#[derive(Debug, Default, serde::Serialize)]
pub struct RestoreReport {
    /// Regular files that were written.
    pub files_restored: u64,
    /// Regular files that were there and were left as they are.
    pub files_skipped: u64,
    /// Of these, how many had another mode, owner or attributes than in the snapshot, and got (or would get) theirs.
    pub metadata_restored: u64,
    /// Directories, links, pipes and devices.
    pub others_restored: u64,
    /// Directories of the snapshot that were not made, since the target has none.
    pub directories_skipped: u64,
    /// Bytes that were written.
    pub bytes_restored: u64,
    /// What `delete` removed (or would remove).
    pub deleted: u64,
    /// What `delete` left alone though it is not in the snapshot, by the reason.
    pub kept: BTreeMap<Spare, u64>,
    /// What `delete` could not remove, by its path below the target, and why.
    #[serde(serialize_with = "report::failed")]
    pub not_deleted: Vec<(Vec<u8>, Error)>,
    /// On a dry run: files of those to be restored that are not there.
    pub files_new: u64,
    /// On a dry run: files that are there with another size or modification time, or as something else.
    pub files_differing: u64,
    /// On a dry run: files that are there with the same size and modification time.
    pub files_same: u64,
    /// Files that were read again and found right.
    pub verified: u64,
    /// Containers that were written with another codec.
    pub recoded: u64,
    /// Containers that were to be written with another codec and are as they were saved, since not all of their records are
    /// known to be sound.
    pub not_recoded: u64,
    /// Programs that did not get set-id bits or capabilities back.
    pub set_ids_dropped: u64,
    /// Which of the patterns to include match nothing in the snapshot, by their number.
    pub unmatched_includes: Vec<usize>,
    /// Files of which only a part was left to be written.
    pub salvaged: Vec<SalvagedFile>,
    /// What could not be restored, and why.
    #[serde(serialize_with = "report::failed")]
    pub failed: Vec<(Vec<u8>, Error)>,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}

/// A file of which only a part was written.
#[derive(Debug)]
pub struct SalvagedFile {
    /// Its path in the snapshot.
    pub path: Vec<u8>,
    /// Where the report of what it lacks lies, below the target.
    pub report: Vec<u8>,
    /// What was saved and what is lost.
    pub salvage: Salvage,
}

/// Restores a snapshot into a directory.
///
/// # Errors
/// If the target or the manifest cannot be used, the disk is full, or the work is given up. What is wrong with a single file
/// is reported to `progress`, is in the report, and does not stop the work.
pub fn restore(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    if is_in_store(&options.target) {
        let reason = format!("{} is no directory, and it was not said how it is reached", options.target.display());
        return Err(Error::argument("target", reason));
    }
    restore_with(repository, snapshot, options, progress, local::run)
}

/// Restores a snapshot into a target that need not be a directory. What the options say of directories of the local file system
/// (`target`, `in_use`, `home`, `restore_suid`) is for [`restore`]; where `target` is the URL of what is restored to, nothing is written to
/// what lies `in_use` there.
///
/// # Errors
/// As of [`restore`], and [`Error::InvalidArgument`] with `delete`: what may be removed is known of directories only.
pub fn restore_to(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    target: &dyn RestoreTarget,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    if options.delete {
        return Err(Error::argument("delete", "nothing can be removed from this target"));
    }
    let in_use = if is_in_store(&options.target) { guard::in_use_below_target(options)? } else { Vec::new() };
    restore_with(repository, snapshot, options, progress, |repository, snapshot, options, progress, pool| {
        let mut run = RestoreRun::new(repository, snapshot, options, progress);
        run.target = Some(target);
        run.in_use = in_use;
        run.carry_out(repository, pool)
    })
}

fn restore_with(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    options: &RestoreOptions,
    progress: &dyn Progress,
    work: impl FnOnce(
        &Repository,
        &SnapshotRoot,
        &RestoreOptions,
        &dyn Progress,
        &rayon::ThreadPool,
    ) -> Result<RestoreReport>,
) -> Result<RestoreReport> {
    let began = Instant::now();
    let mut options = options.clone();
    options.read_patterns()?;
    if options.shard.is_some() && options.delete {
        let reason = "what is not in one part may be in another one: restore all parts without --delete, then restore the whole \
                      with --delete and --overwrite if-changed";
        return Err(Error::argument("shard", reason));
    }
    let pool = repository.runtime().compute()?;
    let totals = snapshot.totals;
    let ahead = options.shard.is_none().then_some((totals.files, totals.bytes)).unzip();
    progress.begin(Phase::Restore, ahead.0, ahead.1);
    let restored = work(repository, snapshot, &options, progress, pool);
    let mut report = unless_moved(repository, snapshot, restored)?;
    if report.failed.iter().any(|(_, error)| error.is_damage())
        && let Some(moved) = moved(repository, snapshot)
    {
        return Err(moved);
    }
    report.duration_secs = began.elapsed().as_secs_f64();
    Ok(report)
}

/// Hands the content of one file to `write`, piece by piece, and compares its hash.
///
/// # Errors
/// [`Error::NoPath`] if there is no such file; what is wrong with its content, when some of it may have been written.
pub fn dump(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    unless_moved(repository, snapshot, dumped(repository, snapshot, path, write))
}

fn dumped(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let entry = regular_file(repository, snapshot, path)?;
    let pool = repository.runtime().compute()?;
    let encoders = EncoderBench::default();
    let assembler = FileAssembler { source: repository, pool, encoders: &encoders };
    // What was written cannot be taken back, so each piece is compared before.
    assembler.parts(&entry, &mut |rebuilt| write(rebuilt.bytes()))
}

impl Serialize for SalvagedFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let loss = &self.salvage.loss;
        let mut file = serializer.serialize_map(None)?;
        put_text(&mut file, "path", &self.path)?;
        put_text(&mut file, "report", &self.report)?;
        file.serialize_entry("missing_records", &loss.records.total)?;
        file.serialize_entry("missing_blocks", &loss.blocks.total)?;
        file.serialize_entry("zero_filled_bytes", &loss.bytes.total)?;
        file.serialize_entry("written_records", &self.salvage.records)?;
        file.end()
    }
}
