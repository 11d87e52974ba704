//! One run of `restore`: the rows of the manifest in order, files by several workers.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::selection::Selection;
use super::sweep::{Mode, Sweep, Swept};
use super::{RestoreOptions, RestoreReport};
use crate::error::{Error, Result};
use crate::files::{Existing, Matchable, Overwrite, Pattern, RestoreTarget, TargetAbilities};
use crate::ops::is_at_or_below;
use crate::progress::{Change, Progress, Warning};
use crate::read::{EncoderBench, FileAssembler, Prefetching};
use crate::runtime::Runtime;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry, is_below};
use crate::store::Repository;

/// A regular file that is to be written.
struct RestoreJob {
    entry: FileEntry,
    /// Where to, below the target.
    path: Vec<u8>,
}

pub(super) struct RestoreRun<'r> {
    pub(super) options: &'r RestoreOptions,
    pub(super) progress: &'r dyn Progress,
    pub(super) repository: &'r Repository,
    /// What ends the work from outside.
    pub(super) runtime: &'r Runtime,
    pub(super) snapshot: &'r SnapshotRoot,
    pub(super) target: Option<&'r dyn RestoreTarget>,
    /// What removes; none unless that was asked for.
    pub(super) sweep: Option<&'r Sweep<'r>>,
    /// Where below the target that lies what must not be touched.
    pub(super) in_use: Vec<Vec<u8>>,
    report: Mutex<RestoreReport>,
    /// The error that ends the whole restore.
    fatal: Mutex<Option<Error>>,
    pub(super) encoders: EncoderBench,
}

/// How often a directory may be closed by another process while one thing is made in it.
const CLOSED: u32 = 3;

/// A directory that leads to something which is restored.
struct OnTheWay {
    path: Vec<u8>,
    entry: FileEntry,
    /// It is to be restored itself, by the process that restores the part to which it belongs.
    is_selected: bool,
}

/// Hard links to be made when all files are there, and directories of the snapshot with a file in them that may say that
/// all beside it is left out.
type Later = (Vec<(Vec<u8>, FileEntry)>, HashSet<Vec<u8>>);

impl<'r> RestoreRun<'r> {
    /// A run without a target, with nothing to be removed.
    pub(super) fn new(
        repository: &'r Repository,
        snapshot: &'r SnapshotRoot,
        options: &'r RestoreOptions,
        progress: &'r dyn Progress,
    ) -> Self {
        Self {
            options,
            progress,
            repository,
            runtime: repository.runtime(),
            snapshot,
            target: None,
            sweep: None,
            in_use: Vec::new(),
            report: Mutex::default(),
            fatal: Mutex::default(),
            encoders: EncoderBench::default(),
        }
    }

    /// Does all of it.
    pub(super) fn carry_out(self, repository: &Repository, pool: &rayon::ThreadPool) -> Result<RestoreReport> {
        let (send, jobs) = crossbeam_channel::bounded::<RestoreJob>(64);
        if let (Some(target), false) = (self.target, self.options.dry_run) {
            target.prepare();
        }
        let rows = pool.in_place_scope(|scope| {
            let source = Prefetching::new(repository, scope);
            std::thread::scope(|threads| {
                let worker = || {
                    let (jobs, run, source) = (jobs.clone(), &self, &source);
                    move || {
                        let assembler = FileAssembler { source, pool, encoders: &run.encoders };
                        for RestoreJob { entry, path } in jobs {
                            run.file(&assembler, &entry, &path);
                        }
                    }
                };
                crate::runtime::spawn_many(threads, self.runtime.threads(), worker)?;
                drop(jobs);
                let rows = self.rows(repository, self.snapshot, &send);
                drop(send);
                rows
            })
        });
        let done = rows.and_then(|(links, marked)| {
            self.check()?;
            self.links(repository, self.snapshot, pool, links)?;
            self.sweep(repository, &marked)
        });
        // Also if it failed: no directory is left with a mode that only served to write into it.
        let dropped = self.target.map_or(0, |target| {
            if !self.options.dry_run {
                target.finish(self.progress);
            }
            target.set_ids_dropped()
        });
        done?;
        self.check()?;
        let mut report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.set_ids_dropped = dropped;
        Ok(report)
    }
}

impl RestoreRun<'_> {
    /// Goes through the manifest: makes what is no regular file, hands the files on.
    fn rows(
        &self,
        repository: &Repository,
        snapshot: &SnapshotRoot,
        jobs: &crossbeam_channel::Sender<RestoreJob>,
    ) -> Result<Later> {
        let (sub, abilities) = (&self.options.subfolder, self.abilities());
        let mut rows = snapshot.rows(repository);
        rows.seek(sub)?;
        let (mut links, mut marked, mut found) = (Vec::new(), HashSet::new(), sub.is_empty());
        let mut left_alone = HashSet::new();
        // The directories above the row that were not selected themselves, or belong to another part, and are not made yet.
        let mut way: Vec<OnTheWay> = Vec::new();
        let includes = self.options.include.iter().enumerate().filter(|(_, pattern)| !pattern.is_negated());
        let mut unmatched: Vec<usize> = includes.map(|(number, _)| number).collect();
        while let Some(entry) = rows.next_row()? {
            self.check()?;
            self.runtime.go_on()?;
            let Some(path) = below(&entry.path, sub) else { break };
            found = true;
            if !sub.is_empty() && entry.path == *sub && entry.kind == EntryKind::Directory {
                // What is in the subfolder goes right into the target.
                continue;
            }
            let (parent, name) = split_parent(&entry.path);
            if self.sweep.is_some_and(|sweep| sweep.spared.may_mark(name)) {
                marked.insert(parent.to_vec());
            }
            while way.pop_if(|above| !is_below(&entry.path, &above.entry.path)).is_some() {}
            self.strike_matched(&mut unmatched, &entry.path);
            let is_selected = self.selected(&entry.path);
            if !is_selected || !self.owns(&entry) {
                if entry.kind == EntryKind::Directory {
                    way.push(OnTheWay { path, entry, is_selected });
                }
                continue;
            }
            if let Some(place) = self.in_use.iter().find(|place| is_at_or_below(&path, place)) {
                if left_alone.insert(place) {
                    let reason = "the repository in use, or what snap keeps for itself, lies there";
                    self.failed(&entry, Error::not_restored(String::from_utf8_lossy(&path), reason));
                }
                continue;
            }
            for above in way.drain(..).filter(|_| !self.options.dry_run && abilities.directories) {
                self.make_on_the_way(&above);
            }
            match &entry.kind {
                EntryKind::Directory if !abilities.directories => self.report().directories_skipped += 1,
                EntryKind::Directory if self.options.dry_run => match self.make_way_for_folder(&entry.path, &path) {
                    Ok(()) => {
                        self.compare(&entry, &path);
                        self.report().others_restored += 1;
                    }
                    Err(error) => self.failed(&entry, error),
                },
                EntryKind::Directory => self.attempt(&entry, |target| {
                    self.make_way_for_folder(&entry.path, &path)?;
                    target.make_directory(&path, &entry).map(|()| true)
                }),
                EntryKind::File if entry.hard_link.is_some() => links.push((path, entry)),
                EntryKind::File => {
                    if jobs.send(RestoreJob { entry, path }).is_err() {
                        return Err(Error::WorkerStopped);
                    }
                }
                _ if self.options.dry_run => self.attempt(&entry, |target| {
                    let wanted = target.wants(&path, &entry, self.options.overwrite)?;
                    if wanted {
                        self.make_way(&entry.path, &path)?;
                        self.compare(&entry, &path);
                    }
                    Ok(wanted)
                }),
                _ => self.attempt(&entry, |target| match target.wants(&path, &entry, self.options.overwrite)? {
                    true => {
                        self.make_way(&entry.path, &path)?;
                        target.make_node(&path, &entry, self.progress)
                    }
                    false => Ok(false),
                }),
            }
        }
        self.report().unmatched_includes = unmatched;
        match found {
            true => Ok((links, marked)),
            false => {
                Err(Error::NoPath { path: String::from_utf8_lossy(sub).into_owned(), snapshot: snapshot.id.short() })
            }
        }
    }

    /// Whether a row belongs to the part that is restored. Names of one file belong to the same part, that of the first one.
    fn owns(&self, entry: &FileEntry) -> bool {
        let path = entry.hard_link.as_ref().unwrap_or(&entry.path);
        self.options.shard.is_none_or(|shard| shard.owns(path))
    }

    /// Makes a directory that leads to something which is restored. Whatever is made in a directory changes its times. So where
    /// several processes restore a part each, all of them set the metadata of the directories that they made something in, when
    /// they are done: the last one does so after everything is there.
    fn make_on_the_way(&self, OnTheWay { path, entry, is_selected }: &OnTheWay) {
        self.attempt(entry, |target| {
            match is_selected {
                true => target.make_directory(path, entry)?,
                false => target.make_parent(path, entry)?,
            }
            Ok(false)
        });
    }

    /// Strikes out the patterns to include that match this path.
    fn strike_matched(&self, unmatched: &mut Vec<usize>, path: &[u8]) {
        if !unmatched.is_empty() {
            let patterns = &self.options.include;
            let path = Matchable::new(path, patterns.iter().any(Pattern::is_insensitive));
            unmatched.retain(|number| patterns.get(*number).is_some_and(|pattern| !pattern.matches(&path)));
        }
    }

    /// Whether the filters let this path of the snapshot through.
    pub(super) fn selected(&self, path: &[u8]) -> bool {
        Selection { include: &self.options.include, exclude: &self.options.exclude }.selects(path)
    }

    /// Removes a directory that stands where something else belongs, if that was asked for: it may hold anything.
    pub(super) fn make_way(&self, tree_path: &[u8], path: &[u8]) -> Result<()> {
        self.make_way_if(tree_path, path, |existing| existing.is_folder)
    }

    /// Removes a symbolic link that stands where a directory belongs, if that was asked for. One in place of a root
    /// stays: many mean the directory that such a link leads to.
    fn make_way_for_folder(&self, tree_path: &[u8], path: &[u8]) -> Result<()> {
        let is_root = |sweep: &Sweep<'_>| sweep.coverage.at(tree_path).is_root();
        self.make_way_if(tree_path, path, |existing| existing.is_link && !self.sweep.is_some_and(is_root))
    }

    fn make_way_if(&self, tree_path: &[u8], path: &[u8], is_wrong: impl FnOnce(&Existing) -> bool) -> Result<()> {
        let (Some(sweep), Overwrite::Always) = (self.sweep, self.options.overwrite) else { return Ok(()) };
        // What is wrong with the way there is reported by what is made at its end.
        if sweep.target.existing(path).is_ok_and(|existing| existing.as_ref().is_some_and(is_wrong)) {
            self.report().deleted += sweep.clear(tree_path, path, self.mode())?;
        }
        Ok(())
    }

    /// Reports on a dry run how what is there differs from the snapshot.
    pub(super) fn compare(&self, entry: &FileEntry, path: &[u8]) {
        let existing = self.target.and_then(|target| target.existing(path).ok().flatten());
        let change = match (&existing, &entry.kind) {
            (None, _) => Change::New,
            (Some(existing), EntryKind::Directory) if existing.is_folder => return,
            (Some(existing), EntryKind::File) if !Overwrite::IfChanged.writes(Some(existing), entry) => Change::Same,
            (Some(_), _) => Change::Differs,
        };
        if entry.kind == EntryKind::File {
            let mut report = self.report();
            match change {
                Change::New => report.files_new += 1,
                Change::Same => report.files_same += 1,
                Change::Differs | Change::Deleted => report.files_differing += 1,
            }
        }
        self.progress.change(change, Path::new(OsStr::from_bytes(path)));
    }

    /// What the target can do; without one, on a dry run, what a file system can.
    pub(super) fn abilities(&self) -> TargetAbilities {
        self.target.map_or(TargetAbilities::ALL, |target| target.abilities())
    }

    fn mode(&self) -> Mode {
        if self.options.dry_run { Mode::DryRun } else { Mode::Act }
    }

    /// Does something again where a process that restores another part has closed a directory on the way meanwhile.
    fn through<T>(&self, path: &[u8], work: impl Fn() -> Result<T>) -> Result<T> {
        let is_denied = |error: &Error| {
            let Error::Io { source, .. } = error else { return false };
            self.options.shard.is_some() && source.kind() == std::io::ErrorKind::PermissionDenied
        };
        for _ in 0..CLOSED {
            match (work(), self.target) {
                (Err(error), Some(target)) if is_denied(&error) => target.open_again(path),
                (done, _) => return done,
            }
        }
        work()
    }

    /// Restores something that is no regular file.
    pub(super) fn attempt(&self, entry: &FileEntry, work: impl Fn(&dyn RestoreTarget) -> Result<bool>) {
        let Some(target) = self.target else {
            // A dry run without a target: everything would be made.
            self.compare(entry, &entry.path);
            self.report().others_restored += 1;
            return;
        };
        let path = below(&entry.path, &self.options.subfolder).unwrap_or_default();
        match self.through(&path, || work(target)) {
            Ok(true) => self.report().others_restored += 1,
            Ok(false) => {}
            Err(error) => self.failed(entry, error),
        }
    }

    /// Restores a regular file. Returns whether it was written, or left as it was.
    pub(super) fn file<S: crate::chunk::ChunkSource + ?Sized>(
        &self,
        assembler: &FileAssembler<'_, S>,
        entry: &FileEntry,
        path: &[u8],
    ) -> bool {
        if self.runtime.cancel_token().is_cancelled() {
            // What is not restored must be said, also where all rows were read before the work was to end.
            self.fatal().get_or_insert(Error::Interrupted);
        }
        if self.fatal().is_some() {
            return false;
        }
        let shown = Path::new(OsStr::from_bytes(path));
        if !self.options.dry_run {
            self.progress.at(shown);
        }
        let written = self.through(path, || self.write(assembler, entry, path));
        let fine = written.is_ok();
        match written {
            Ok(whole) => {
                self.progress.files(1);
                if whole {
                    self.progress.done(shown);
                }
            }
            Err(error) => self.failed(entry, error),
        }
        fine
    }

    /// Removes what is in the target and not in the snapshot.
    fn sweep(&self, repository: &Repository, marked: &HashSet<Vec<u8>>) -> Result<()> {
        let Some(sweep) = self.sweep else { return Ok(()) };
        let reports: HashSet<Vec<u8>> = self.report().salvaged.iter().map(|file| file.report.clone()).collect();
        let mut rows = self.snapshot.rows(repository);
        rows.seek(&self.options.subfolder)?;
        let swept = sweep.sweep(&mut rows, &self.options.subfolder, marked, &reports, self.mode())?;
        let Swept { deleted, kept, failed } = swept;
        let mut report = self.report();
        report.deleted += deleted;
        report.kept = kept;
        report.not_deleted = failed;
        Ok(())
    }

    pub(super) fn failed(&self, entry: &FileEntry, error: Error) {
        // These concern every file that is still to come.
        // The disk of the target: nothing more can be written there.
        let is_full = error.is_full();
        if is_full || self.runtime.cancel_token().is_cancelled() {
            self.fatal().get_or_insert(if is_full { error } else { Error::Interrupted });
            return;
        }
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        self.progress.warning(&Warning { path, message: format!("not restored: {error}"), incomplete: true });
        self.report().failed.push((entry.path.clone(), error));
    }

    pub(super) fn check(&self) -> Result<()> {
        self.fatal().take().map_or(Ok(()), Err)
    }

    pub(super) fn report(&self) -> MutexGuard<'_, RestoreReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fatal(&self) -> MutexGuard<'_, Option<Error>> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path below a subfolder of the snapshot, or the file's own name if it is the subfolder itself.
pub(super) fn below(path: &[u8], sub: &[u8]) -> Option<Vec<u8>> {
    if sub.is_empty() {
        return Some(path.to_vec());
    }
    match path.strip_prefix(sub)? {
        [] => Some(split_parent(path).1.to_vec()),
        [b'/', rest @ ..] => Some(rest.to_vec()),
        _ => None,
    }
}

/// A path, one component longer.
pub(super) fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    match path.is_empty() {
        true => name.to_vec(),
        false => [path, b"/", name].concat(),
    }
}

/// The directory and the name of a path.
pub(super) fn split_parent(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}
