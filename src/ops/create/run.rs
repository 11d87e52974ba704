//! One run of `create`: a walker finds the files, workers store them, and the rows they make are put into the manifest in
//! the order of their paths.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};

use super::alarms::Alarms;
use super::before::{container, row_at};
use super::expect::{Expectation, Measures, judge, measure_snapshot};
use super::iceberg::Closure;
use super::lineage::{ChangeDetection, Lineage};
use super::order::{Batch, Numbered, in_order};
use super::part::PartRun;
use super::rows::{Finished, Found, Outcome, RowWriter};
use super::stream::store_stream;
use super::{CreateOptions, CreateReport};
use crate::chunk::{ChunkKind, ChunkSink};
use crate::error::{Error, Result};
use crate::files::{
    Coverage, Held, Pinned, Problem, Rules, Sharded, SourceFile, SourceOpener, SourceTree, Trouble, is_gone, left_out,
};
use crate::id::{ChunkId, SnapshotId};
use crate::ingest::Pipeline;
use crate::ingest::{Effort, Workbench};
use crate::ingest::{Feeder, Unfilled};
use crate::ingest::{FileContext, SchemaCache, store_file};
use crate::progress::{Progress, Warning};
use crate::runtime::Gate;
use crate::runtime::{spawn, spawn_many};
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::snapshot::{ManifestWriter, Missing, Part, SnapshotRoot, Totals, put_paths};
use crate::store::Repository;

/// One run of `create`.
pub(super) struct CreateRun<'r> {
    pub(super) repository: &'r Repository,
    pub(super) pipeline: &'r Pipeline<'r>,
    pub(super) pool: &'r rayon::ThreadPool,
    pub(super) lineage: &'r Lineage,
    pub(super) progress: &'r dyn Progress,
    pub(super) id: SnapshotId,
    pub(super) threads: usize,
    /// Whether all begins again if a file is not there that a table names: then it is no fault of the snapshot.
    pub(super) follows_tables: bool,
    /// The part that is made; none if all is saved.
    pub(super) part: Option<&'r PartRun>,
}

/// Makes the tree that is saved, once it is known what is left out of it.
///
/// Called again where the walk begins again; the paths are what is walked.
pub(crate) type TreeOf<'t> = Box<dyn FnMut(&CreateOptions, &[PathBuf], Rules) -> Result<Box<dyn SourceTree>> + 't>;

/// Result of a run.
pub(super) enum Ran {
    /// All was stored: the chunk of the root.
    Stored(ChunkId, Box<CreateReport>),
    /// A file that had to be in the snapshot, by its path in the manifest, is not.
    Lacks(Vec<u8>),
}

/// A file that a worker is to store.
struct FileJob {
    number: u64,
    path: PathBuf,
    found: Found,
}

/// Result of a walk, besides what it found.
#[derive(Default)]
struct AfterWalk {
    /// Where something was met that is skipped.
    passed_over: Vec<PathBuf>,
    /// The Avro files of the parent that were not met.
    unmet: Vec<FileEntry>,
}

/// Result of saving a tree, besides its rows.
#[derive(Default)]
struct Stored {
    /// Where something was met that is skipped.
    passed_over: Vec<PathBuf>,
    /// Of a part: the Avro files of the parent that are missing.
    missed: Missing,
}

/// How many files may wait for a worker.
const JOBS: usize = 256;

/// How many things may be on their way between the walker and the manifest.
const WINDOW: usize = 4096;

impl CreateRun<'_> {
    /// Stores everything; returns the root's chunk. When this returns, all frames have been handed on.
    pub(super) fn store<'p>(
        &'p self,
        scope: &rayon::Scope<'p>,
        options: &mut CreateOptions,
        closure: &mut Closure,
        tree: &mut TreeOf<'_>,
    ) -> Result<Ran> {
        let stream = options.stream.take();
        let options = &*options;
        let (bench, schemas) = (Workbench::default(), SchemaCache::default());
        let context = FileContext {
            cut: self.repository.cut_params(),
            effort: Effort::new(options.avro, options.min_encode_speed, self.repository.is_encrypted()),
            bench: &bench,
            pool: self.pool,
            progress: self.progress,
            schemas: &schemas,
            repository: self.repository,
        };
        let time = options.time.unwrap_or_else(|| self.repository.log().clock().now());
        let (host, user, tags) = (options.host.clone(), options.user.clone(), options.tag.clone());
        let mut feeder = Feeder::new(self.pipeline, scope);
        let (mut report, expected) = (CreateReport::default(), &options.expect);
        let parent = self.lineage.parent.as_ref();
        let mut rows = RowWriter::new(
            ManifestWriter::new(self.repository.hasher()),
            &mut feeder,
            &mut report,
            self.progress,
            match self.part {
                Some(part) => Alarms::new(parent, options.accept_losses).of_part(part.shard),
                None => Alarms::new(parent, options.accept_losses),
            },
            Measures::new(expected),
            closure.promised(&options.working_directory),
        );
        let left_out_by = options.rules()?;
        let (mut rules, mut stored) = (left_out_by.recorded().to_vec(), Stored::default());
        // Of a part: what the walk met.
        let mut walked = None;
        match stream {
            Some(stream) => {
                let before = parent.map(|parent| parent.rows(self.repository).next_row()).transpose()?.flatten();
                store_stream(&context, stream, time, before, &mut rows)?;
            }
            None => {
                rules.extend(Coverage::rules(&options.sources, &options.working_directory, &self.lineage.paths));
                let roots: Vec<PathBuf> = options.sources.iter().chain(closure.paths()).cloned().collect();
                let mut tree = tree(options, &roots, left_out_by)?;
                if !closure.pinned.is_empty() {
                    tree = Box::new(Pinned::new(tree, std::mem::take(&mut closure.pinned)));
                }
                if let Some(part) = self.part {
                    let sharded = Sharded::new(tree, part.shard);
                    walked = Some(sharded.walked());
                    tree = Box::new(sharded);
                }
                stored = self.store_tree(scope, &context, options, tree, &mut rows)?;
                if walked.as_ref().is_some_and(|walked| !walked.has_met_something()) && rows.has_unreadable() {
                    return Err(Error::NothingSaved);
                }
            }
        }
        let Finished { manifest, unreadable, alarms, measures, promised } = rows.into_parts();
        if let Some(path) = promised.lacks() {
            feeder.finish();
            return Ok(Ran::Lacks(path));
        }
        report.iceberg = std::mem::take(&mut closure.tables);
        report.iceberg.iter_mut().zip(promised.wrong()).for_each(|(table, wrong)| table.wrong_length = wrong);
        rules.extend(left_out(&stored.passed_over, unreadable));
        rules.extend(alarms);
        let measured_before = self.measured_before(expected);
        report.expectations = judge(self.repository, time, &measures, measured_before.as_ref(), self.progress);
        report.unchanged = report.same_rows == report.rows()
            && parent.is_some_and(|SnapshotRoot { totals, .. }| {
                report.same_rows == totals.files + totals.directories + totals.others
            });
        let manifest = manifest.finish(&mut feeder)?;
        let (paths, path_list) = put_paths(&self.lineage.paths, &mut feeder)?;
        let mut root = SnapshotRoot {
            id: self.id,
            series: self.lineage.series.clone(),
            host,
            user,
            time,
            paths,
            tags,
            parent: self.lineage.parent.as_ref().map(|parent| parent.id),
            program: super::PROGRAM.into(),
            required_read: 0,
            revision: 0,
            altered: None,
            totals: Totals {
                files: report.files(),
                directories: report.directories,
                others: report.others,
                bytes: report.bytes_total,
                unreadable: report.unreadable,
            },
            rules,
            path_list,
            manifest,
            properties: Vec::new(),
        };
        if let (Some(part), Some(walked)) = (self.part, walked) {
            let (directories_met, names_met) = (walked.directories(), walked.names());
            let now = self.repository.log().clock().now();
            let missed = stored.missed;
            Part { stored: now, directories_met, names_met, missed, ..part.terms.clone() }.mark(&mut root);
        }
        let root = feeder.put(ChunkKind::Root, root.encode())?;
        feeder.finish();
        Ok(Ran::Stored(root, Box::new(report)))
    }

    /// Saves what is in a tree.
    fn store_tree<'p>(
        &'p self,
        scope: &rayon::Scope<'p>,
        context: &FileContext<'_>,
        options: &CreateOptions,
        source: Box<dyn SourceTree>,
        rows: &mut RowWriter<'_, '_, 'p, '_>,
    ) -> Result<Stored> {
        let covered = source.covered();
        let opener = source.opener();
        let opener = &*opener;
        let detection = ChangeDetection {
            reads_all: options.force
                || self.pipeline.lost_packs()
                || !self.parent_is_whole()?
                || self.parent_is_ahead(),
            ignores_ctime: options.ignore_ctime,
            ignores_inode: options.ignore_inode,
        };
        let window = Gate::new(WINDOW);
        let (send_job, jobs) = crossbeam_channel::bounded::<FileJob>(JOBS);
        let (send_outcome, outcomes) = channel::<Batch<Outcome>>();
        let unfilled: Mutex<Vec<Unfilled>> = Mutex::default();
        let walked: Mutex<AfterWalk> = Mutex::default();
        let done = std::thread::scope(|threads| {
            let mut walker_outcomes = Numbered::new(send_outcome.clone());
            let (window, walked) = (&window, &walked);
            let walker = move || match self.walk(source, opener, detection, window, &send_job, &mut walker_outcomes) {
                Ok(done) => *walked.lock().unwrap_or_else(PoisonError::into_inner) = done,
                Err(error) => self.pipeline.fail(error),
            };
            let worker = || {
                let (jobs, send_outcome, unfilled) = (jobs.clone(), send_outcome.clone(), &unfilled);
                move || {
                    let mut feeder = Feeder::new(self.pipeline, scope);
                    for job in jobs {
                        let FileJob { number, path, found } = job;
                        let outcome = self.work(context, opener, &mut feeder, &path, found);
                        if send_outcome.send(Batch::of(number, outcome)).is_err() {
                            break;
                        }
                    }
                    unfilled.lock().unwrap_or_else(PoisonError::into_inner).push(feeder.into_unfilled());
                }
            };
            // The workers first: without one of them there must be no walk.
            let started = spawn_many(threads, self.threads, worker).and_then(|()| spawn(threads, walker));
            if let Err(error) = started {
                self.pipeline.fail(error);
            }
            drop((send_outcome, jobs));
            let done = in_order(&outcomes, |batch| {
                let count = batch.len();
                let done = batch.into_iter().try_for_each(|outcome| {
                    rows.outcome(outcome, &|feeder, path, found| self.work(context, opener, feeder, path, found))
                });
                window.leave(count);
                done
            });
            if let Err(error) = done {
                self.pipeline.fail(error);
                // The walker may be waiting for a place, also for one that an outcome has which is not received any more.
                window.open();
                for _ in outcomes {}
            }
            self.pipeline.check()
        });
        for open in unfilled.into_inner().unwrap_or_else(PoisonError::into_inner) {
            rows.absorb(open);
        }
        done?;
        let AfterWalk { passed_over, unmet } = walked.into_inner().unwrap_or_else(PoisonError::into_inner);
        let missed = match self.part {
            Some(_) => rows.end_part(&*covered, unmet),
            None => {
                rows.end(&*covered, self.lineage, unmet);
                Missing::default()
            }
        };
        Ok(Stored { passed_over, missed })
    }

    /// Finds what is to be saved, and compares it with the parent, whose rows come in the same order.
    fn walk(
        &self,
        mut source: Box<dyn SourceTree>,
        opener: &dyn SourceOpener,
        detection: ChangeDetection,
        window: &Gate,
        jobs: &crossbeam_channel::Sender<FileJob>,
        outcomes: &mut Numbered<Outcome>,
    ) -> Result<AfterWalk> {
        let mut parent = self.lineage.parent.as_ref().map(|parent| parent.rows(self.repository));
        let mut unmet = Vec::new();
        let of_part = |row: FileEntry| container(row).filter(|row| self.owns(&row.path));
        let mut seen: HashSet<(u64, u64)> = HashSet::new();
        while let Some(item) = source.next_found() {
            self.pipeline.check()?;
            self.repository.runtime().go_on()?;
            window.enter();
            let SourceFile { fs_path, entry, nlink, dev, is_ancestor_of_root, .. } = match item {
                Ok(file) => file,
                Err(problem) => {
                    let is_away = matches!(&problem.trouble, Trouble::Unread(error) if is_gone(error));
                    let mut warning = problem.warning();
                    warning.incomplete &= !(is_away && self.follows_tables);
                    self.progress.warning(&warning);
                    if !problem.is_incomplete() {
                        window.leave(1);
                        continue;
                    }
                    if !outcomes.push(Outcome::Unread(problem.tree_path)) {
                        return Ok(AfterWalk::default());
                    }
                    continue;
                }
            };
            let before = match &mut parent {
                Some(rows) => match row_at(rows, &entry.path, &mut |row| unmet.extend(of_part(row))) {
                    Ok(row) => row,
                    Err(error) => {
                        let message = format!("files are read again, the parent's manifest cannot be: {error}");
                        self.progress.warning(&Warning { path: "manifest".into(), message, incomplete: false });
                        parent = None;
                        None
                    }
                },
                None => None,
            };
            let found = Found { entry, before: before.map(Box::new), nlink, dev };
            let is_file = found.entry.kind == EntryKind::File;
            let is_known = is_file && nlink > 1 && !seen.insert((dev, found.entry.inode));
            let outcome = match &found.before {
                _ if is_ancestor_of_root => Outcome::ParentDirectory(found),
                _ if !is_file => Outcome::Other(found),
                _ if is_known => Outcome::Name(found, fs_path),
                Some(before) if detection.unmodified(&found.entry, before) => Outcome::Unmodified(found),
                _ => {
                    self.progress.more_ahead(1, found.entry.size);
                    opener.announce(&fs_path, found.entry.size);
                    let number = outcomes.skip();
                    if number.is_none_or(|number| jobs.send(FileJob { number, path: fs_path, found }).is_err()) {
                        return Ok(AfterWalk::default());
                    }
                    continue;
                }
            };
            if !outcomes.push(outcome) {
                return Ok(AfterWalk::default());
            }
        }
        outcomes.flush();
        while let Some(row) = parent.as_mut().and_then(|rows| rows.next_row().ok().flatten()) {
            unmet.extend(of_part(row));
        }
        Ok(AfterWalk { passed_over: source.passed_over().to_vec(), unmet })
    }

    /// What the parent has of what is expected now, where anything is compared with it.
    fn measured_before(&self, expected: &[Expectation]) -> Option<Measures> {
        let parent = self.lineage.parent.as_ref().filter(|_| expected.iter().any(Expectation::looks_back))?;
        match measure_snapshot(self.repository, parent, expected) {
            Ok(measures) => Some(measures),
            Err(error) => {
                let message = format!("what is expected cannot be compared with it: {error}");
                let path = format!("snapshot {}", parent.id.short());
                self.progress.warning(&Warning { path, message, incomplete: false });
                None
            }
        }
    }

    /// Whether a path is to be saved here.
    fn owns(&self, path: &[u8]) -> bool {
        self.part.is_none_or(|part| part.shard.owns(path))
    }

    /// Whether the parent was made later than now. Then the clock was wrong, and what it said of files that were changed
    /// just before they were read is wrong, too.
    fn parent_is_ahead(&self) -> bool {
        let ahead = self.lineage.parent.as_ref().filter(|parent| parent.time > self.repository.log().clock().now());
        if let Some(parent) = ahead {
            let message = "it is of a time that has not come yet, so all files are read again".into();
            let path = format!("snapshot {}", parent.id.short());
            self.progress.warning(&Warning { path, message, incomplete: false });
        }
        ahead.is_some()
    }

    /// Whether nothing that the parent needs is lost. What is lost comes back only by reading the files again.
    fn parent_is_whole(&self) -> Result<bool> {
        match &self.lineage.parent {
            Some(parent) if self.repository.state().standing.has_damage() => self.repository.is_whole(parent.id),
            _ => Ok(true),
        }
    }

    /// Stores one file.
    fn work(
        &self,
        context: &FileContext<'_>,
        opener: &dyn SourceOpener,
        feeder: &mut Feeder<'_, '_, '_>,
        path: &Path,
        found: Found,
    ) -> Outcome {
        let Found { entry, before, .. } = found;
        let tree_path = entry.path.clone();
        let before = before.filter(|before| before.kind == EntryKind::File);
        self.progress.at(path);
        let facts = before.as_ref().and_then(|before| before.avro.as_ref());
        let expected = facts.map(|facts| facts.encoder.as_str());
        feeder.begin_file(before.as_ref().map(|before| &before.recipe[..]));
        let mut stored = match store_file(context, feeder, opener, path, entry, expected) {
            Ok(stored) => stored,
            // What the system says of one file concerns that file alone; what the storage says, all of them.
            Err(error @ (Error::Io { .. } | Error::UnsafePath { .. })) => {
                let is_noted = self.follows_tables && is_gone(&error);
                let trouble = if is_noted { Trouble::Gone(error) } else { Trouble::Unread(error) };
                self.warn(path, trouble);
                return Outcome::Lost(tree_path, before);
            }
            Err(error) => {
                self.pipeline.fail(error);
                return Outcome::Lost(tree_path, before);
            }
        };
        self.progress.files(1);
        self.progress.done(path);
        let size = stored.entry.size;
        match stored.held {
            Held::Still => {}
            Held::Grew => {
                let message =
                    format!("it grew every time it was read; the {size} bytes that it had at first are stored");
                self.warn(path, Trouble::Note(message));
            }
            Held::Changed | Held::Torn => {
                let message = "it changed every time it was read; the last state read is stored".into();
                self.warn(path, Trouble::Note(message));
            }
        }
        for error in std::mem::take(&mut stored.unread) {
            stored.incomplete += 1;
            self.warn(path, Trouble::Unread(error));
        }
        Outcome::Stored(Box::new(stored), before)
    }

    fn warn(&self, path: &Path, trouble: Trouble) {
        self.progress.warning(&Problem { tree_path: Vec::new(), path: path.to_path_buf(), trouble }.warning());
    }
}
