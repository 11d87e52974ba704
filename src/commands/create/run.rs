//! One run of `create`: a walker finds the files, workers store them, and the rows they make are put into the manifest in
//! the order of their paths.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use super::feeder::{Feeder, Unfilled};
use super::file::{FileContext, SchemaCache, Stored, store_content, store_file};
use super::lineage::{Indifference, Lineage};
use super::pipeline::Pipeline;
use super::treat::{Effort, Workbench};
use super::unsound::{stray_bytes, what_is_wrong};
use super::{CreateOptions, CreateReport, StreamSource};
use crate::chunk::{ChunkKind, ChunkSink};
use crate::commands::gate::Gate;
use crate::commands::threads::{spawn, spawn_many};
use crate::error::{Error, Result};
use crate::files::{Coverage, Problem, Source, SourceFile, left_out, now};
use crate::id::{ChunkId, SnapshotId};
use crate::progress::{Progress, Warning};
use crate::repository::Repository;
use crate::snapshot::entry::{EntryKind, FileEntry, Time, path_order};
use crate::snapshot::{ManifestReader, ManifestWriter, SnapshotRoot, Totals, put_paths};

/// One run.
pub(super) struct Run<'r> {
    pub(super) repository: &'r Repository,
    pub(super) pipeline: &'r Pipeline<'r>,
    pub(super) pool: &'r rayon::ThreadPool,
    pub(super) lineage: &'r Lineage,
    pub(super) progress: &'r dyn Progress,
    pub(super) id: SnapshotId,
    pub(super) threads: usize,
}

/// A file that a worker is to store.
struct Job {
    number: u64,
    path: PathBuf,
    entry: FileEntry,
    parent: Option<ParentRow>,
}

/// What is remembered of the parent's row.
struct ParentRow {
    encoder: Option<String>,
    records: Option<u64>,
    recipe: Vec<u8>,
}

/// What became of one thing that the walker found, numbered in the order of the manifest.
enum Outcome {
    Unmodified(FileEntry),
    /// A directory that only leads to what is to be saved.
    Way(FileEntry),
    /// A directory, a link, and so on.
    Other(FileEntry),
    Stored {
        stored: Box<Stored>,
        parent: Option<ParentRow>,
    },
    /// A file that could not be read. Other names of it may follow.
    Lost(Vec<u8>),
    /// Something of which not all could be looked at.
    Unread(Vec<u8>),
}

/// How many files may wait for a worker.
const JOBS: usize = 256;

/// How many things may be on their way between the walker and the manifest.
const WINDOW: usize = 4096;

impl Run<'_> {
    /// Stores everything; gives the root's chunk. When this returns, all frames have been handed on.
    pub(super) fn store<'p>(
        &'p self,
        scope: &rayon::Scope<'p>,
        options: CreateOptions,
    ) -> Result<(ChunkId, CreateReport)> {
        let (bench, schemas) = (Workbench::default(), SchemaCache::default());
        let context = FileContext {
            cut: self.repository.cut_params(),
            effort: Effort {
                depth: options.depth,
                max_cost: (1000.0 / options.min_encode_speed.max(0.001)) as u32,
                corrections: self.repository.keyring().is_some(),
            },
            bench: &bench,
            pool: self.pool,
            progress: self.progress,
            schemas: &schemas,
            index: self.repository.index(),
        };
        let time = options.time.unwrap_or_else(|| self.repository.clock().now());
        let (host, user, tags) = (options.host.clone(), options.user.clone(), options.tags.clone());
        let mut feeder = Feeder::new(self.pipeline, scope);
        let mut report = CreateReport::default();
        let mut rows = RowWriter {
            manifest: ManifestWriter::new(self.repository.hasher()),
            feeder: &mut feeder,
            report: &mut report,
            progress: self.progress,
            lost: HashSet::new(),
            unreadable: Vec::new(),
        };
        let mut rules = options.rules.recorded().to_vec();
        if options.stream.is_none() {
            rules.extend(Coverage::rules(&options.roots, &options.working_directory, &self.lineage.paths));
        }
        let passed_over = match options.stream {
            Some(stream) => store_stream(&context, stream, time, &mut rows).map(|()| Vec::new())?,
            None => self.store_tree(scope, &context, options, &mut rows)?,
        };
        let RowWriter { manifest, unreadable, .. } = rows;
        rules.extend(left_out(&passed_over, unreadable));
        let manifest = manifest.finish(&mut feeder)?;
        let (paths, path_list) = put_paths(&self.lineage.paths, &mut feeder)?;
        let root = SnapshotRoot {
            id: self.id,
            series: self.lineage.series.clone(),
            host,
            user,
            time,
            paths,
            tags,
            parent: self.lineage.parent.as_ref().map(|parent| parent.id),
            program: concat!("snap ", env!("CARGO_PKG_VERSION")).into(),
            required_read: 0,
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
        };
        let root = feeder.put(ChunkKind::Root, root.encode())?;
        feeder.finish();
        Ok((root, report))
    }

    fn store_tree<'p>(
        &'p self,
        scope: &rayon::Scope<'p>,
        context: &FileContext<'_>,
        options: CreateOptions,
        rows: &mut RowWriter<'_, '_, 'p, '_>,
    ) -> Result<Vec<PathBuf>> {
        let source = Source::new(&options.roots, &options.working_directory, options.rules, now)?;
        let indifference = Indifference {
            to_everything_else: options.force || self.pipeline.lost_packs() || !self.parent_is_whole()?,
            to_ctime: options.ignore_ctime,
            to_inode: options.ignore_inode,
        };
        let window = Gate::new(WINDOW);
        let (send_job, jobs) = crossbeam_channel::bounded::<Job>(JOBS);
        let (send_outcome, outcomes) = channel::<(u64, Outcome)>();
        let unfilled: Mutex<Vec<Unfilled>> = Mutex::default();
        let passed_over: Mutex<Vec<PathBuf>> = Mutex::default();
        let done = std::thread::scope(|threads| {
            let walker_outcomes = send_outcome.clone();
            let (window, passed_over) = (&window, &passed_over);
            let walker = move || match self.walk(source, indifference, window, &send_job, &walker_outcomes) {
                Ok(met) => *passed_over.lock().unwrap_or_else(PoisonError::into_inner) = met,
                Err(error) => self.pipeline.fail(error),
            };
            let worker = || {
                let (jobs, send_outcome, unfilled) = (jobs.clone(), send_outcome.clone(), &unfilled);
                move || {
                    let mut feeder = Feeder::new(self.pipeline, scope);
                    for job in jobs {
                        let (number, outcome) = self.work(context, &mut feeder, job);
                        if send_outcome.send((number, outcome)).is_err() {
                            break;
                        }
                    }
                    unfilled.lock().unwrap_or_else(PoisonError::into_inner).push(feeder.into_unfilled());
                }
            };
            // The workers first: without one of them nobody must walk.
            let started = spawn_many(threads, self.threads, worker).and_then(|()| spawn(threads, walker));
            if let Err(error) = started {
                self.pipeline.fail(error);
            }
            drop((send_outcome, jobs));
            let done = in_order(&outcomes, |outcome| {
                let done = rows.outcome(outcome);
                window.leave();
                done
            });
            if let Err(error) = done {
                self.pipeline.fail(error);
                // The walker may be waiting for a place: nobody needs to wait any more.
                for _ in outcomes {
                    window.leave();
                }
            }
            self.pipeline.check()
        });
        for open in unfilled.into_inner().unwrap_or_else(PoisonError::into_inner) {
            rows.feeder.absorb(open);
        }
        done.map(|()| passed_over.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Finds what is to be saved, and compares it with the parent, whose rows come in the same order. Gives what was
    /// passed over.
    fn walk(
        &self,
        mut source: Source,
        indifference: Indifference,
        window: &Gate,
        jobs: &crossbeam_channel::Sender<Job>,
        outcomes: &Sender<(u64, Outcome)>,
    ) -> Result<Vec<PathBuf>> {
        let mut parent = self.lineage.parent.as_ref().map(|parent| parent.rows(self.repository));
        let mut links: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
        let mut number = 0;
        while let Some(found) = source.next() {
            self.pipeline.check()?;
            self.progress.go_on()?;
            window.enter();
            let SourceFile { fs_path, mut entry, nlink, dev, leads_to_root, .. } = match found {
                Ok(file) => file,
                Err(problem) => {
                    self.progress.warning(&problem.warning());
                    if !problem.incomplete {
                        window.leave();
                        continue;
                    }
                    if outcomes.send((number, Outcome::Unread(problem.tree_path))).is_err() {
                        return Ok(Vec::new());
                    }
                    number += 1;
                    continue;
                }
            };
            let next = number;
            number += 1;
            let before = match &mut parent {
                Some(rows) => match parent_row(rows, &entry.path) {
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
            let is_file = entry.kind == EntryKind::File;
            if is_file && nlink > 1 {
                match links.get(&(dev, entry.inode)) {
                    Some(first) => entry.hard_link = Some(first.clone()),
                    None => drop(links.insert((dev, entry.inode), entry.path.clone())),
                }
            }
            let outcome = match before {
                _ if leads_to_root => Outcome::Way(entry),
                _ if !is_file || entry.hard_link.is_some() => Outcome::Other(entry),
                Some(before) if indifference.unmodified(&entry, &before) => Outcome::Unmodified(FileEntry {
                    content: before.content,
                    recipe: before.recipe,
                    avro: before.avro,
                    sparse: before.sparse,
                    racy: false,
                    ..entry
                }),
                before => {
                    let parent = before.filter(|before| before.kind == EntryKind::File).map(|before| ParentRow {
                        encoder: before.avro.as_ref().map(|facts| facts.encoder.clone()),
                        records: before.avro.as_ref().map(|facts| facts.declared_records),
                        recipe: before.recipe,
                    });
                    self.progress.more_ahead(1, entry.size);
                    if jobs.send(Job { number: next, path: fs_path, entry, parent }).is_err() {
                        return Ok(Vec::new());
                    }
                    continue;
                }
            };
            if outcomes.send((next, outcome)).is_err() {
                return Ok(Vec::new());
            }
        }
        Ok(source.passed_over().to_vec())
    }

    /// Whether nothing that the parent needs is lost. What is, only reading the files again brings back.
    fn parent_is_whole(&self) -> Result<bool> {
        match &self.lineage.parent {
            Some(parent) if self.repository.state().standing.has_damage() => self.repository.is_whole(parent.id),
            _ => Ok(true),
        }
    }

    /// Stores one file.
    fn work(&self, context: &FileContext<'_>, feeder: &mut Feeder<'_, '_, '_>, job: Job) -> (u64, Outcome) {
        let Job { number, path, entry, parent } = job;
        let tree_path = entry.path.clone();
        self.progress.at(&path);
        let expected = parent.as_ref().and_then(|parent| parent.encoder.as_deref());
        feeder.begin_file(parent.as_ref().map(|parent| &parent.recipe[..]));
        match store_file(context, feeder, &path, entry, expected, &now) {
            Ok(stored) => {
                self.progress.files(1);
                if stored.unstable {
                    let message = "it changed every time it was read; the last state read is stored".into();
                    self.progress.warning(&Warning { path: path.display().to_string(), message, incomplete: false });
                }
                (number, Outcome::Stored { stored: Box::new(stored), parent })
            }
            // What the system says of one file concerns that file alone.
            Err(error @ Error::Io { .. }) if !is_ours(&error, &path) => {
                self.pipeline.fail(error);
                (number, Outcome::Lost(tree_path))
            }
            Err(error @ (Error::Io { .. } | Error::UnsafePath { .. })) => {
                let problem = Problem { tree_path: tree_path.clone(), path, error, incomplete: true };
                self.progress.warning(&problem.warning());
                (number, Outcome::Lost(tree_path))
            }
            Err(error) => {
                self.pipeline.fail(error);
                (number, Outcome::Lost(tree_path))
            }
        }
    }
}

/// Whether an error is about this source file, rather than about the repository.
fn is_ours(error: &Error, file: &std::path::Path) -> bool {
    matches!(error, Error::Io { path, .. } if path == file)
}

/// The parent's row of this path.
pub(super) fn parent_row(rows: &mut ManifestReader<'_, Repository>, path: &[u8]) -> Result<Option<FileEntry>> {
    while let Some(row) = rows.peek()? {
        match path_order(&row.path, path) {
            std::cmp::Ordering::Less => drop(rows.next_row()?),
            std::cmp::Ordering::Equal => return rows.next_row(),
            std::cmp::Ordering::Greater => return Ok(None),
        }
    }
    Ok(None)
}

/// Calls `each` with what is received, in the order of its numbers.
fn in_order<T>(receiver: &Receiver<(u64, T)>, mut each: impl FnMut(T) -> Result<()>) -> Result<()> {
    let (mut next, mut early) = (0, BTreeMap::new());
    for (number, item) in receiver {
        early.insert(number, item);
        while let Some(item) = early.remove(&next) {
            next += 1;
            each(item)?;
        }
    }
    Ok(())
}

/// Puts rows into the manifest and counts them.
struct RowWriter<'a, 's, 'p, 'r> {
    manifest: ManifestWriter,
    feeder: &'a mut Feeder<'p, 'r, 's>,
    report: &'a mut CreateReport,
    progress: &'a dyn Progress,
    /// Files that could not be read.
    lost: HashSet<Vec<u8>>,
    /// All that could not be read.
    unreadable: Vec<Vec<u8>>,
}

impl RowWriter<'_, '_, '_, '_> {
    fn outcome(&mut self, outcome: Outcome) -> Result<()> {
        let report = &mut *self.report;
        let entry = match outcome {
            Outcome::Lost(path) => {
                report.unreadable += 1;
                self.lost.insert(path.clone());
                self.unreadable.push(path);
                return Ok(());
            }
            Outcome::Unread(path) => {
                report.unreadable += 1;
                self.unreadable.push(path);
                return Ok(());
            }
            Outcome::Other(entry) if entry.hard_link.as_ref().is_some_and(|first| self.lost.contains(first)) => {
                report.unreadable += 1;
                self.unreadable.push(entry.path.clone());
                let path = String::from_utf8_lossy(&entry.path).into_owned();
                let message = "it is another name of a file that could not be read".into();
                self.progress.warning(&Warning { path, message, incomplete: true });
                return Ok(());
            }
            Outcome::Unmodified(entry) => {
                report.files_unmodified += 1;
                report.bytes_total += entry.size;
                entry
            }
            Outcome::Way(entry) => {
                report.directories += 1;
                report.directories_leading += 1;
                entry
            }
            Outcome::Other(entry) => {
                match entry.kind {
                    EntryKind::Directory => report.directories += 1,
                    _ => report.others += 1,
                }
                entry
            }
            Outcome::Stored { stored, parent } => {
                match &parent {
                    Some(_) => report.files_changed += 1,
                    None => report.files_new += 1,
                }
                report.bytes_total += stored.entry.size;
                report.bytes_read += stored.bytes_read;
                if let Some(facts) = &stored.entry.avro {
                    report.avro.count(facts);
                    warn_about(&stored.entry, parent.and_then(|parent| parent.records), self.progress);
                }
                stored.entry
            }
        };
        self.manifest.push(&entry, self.feeder)
    }
}

/// Tells what readers of Avro hide.
fn warn_about(entry: &FileEntry, records_before: Option<u64>, progress: &dyn Progress) {
    let Some(facts) = &entry.avro else { return };
    let fewer = |before: u64| {
        format!("it has {} records, fewer than the {before} in the parent snapshot", facts.declared_records)
    };
    let fewer = records_before.filter(|before| facts.declared_records < *before).map(fewer);
    for message in what_is_wrong(facts).or(fewer).into_iter().chain(stray_bytes(facts)) {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        progress.warning(&Warning { path, message, incomplete: false });
    }
}

/// Stores a file that comes from a stream.
fn store_stream(
    context: &FileContext<'_>,
    mut stream: StreamSource,
    time: i64,
    rows: &mut RowWriter<'_, '_, '_, '_>,
) -> Result<()> {
    let path = PathBuf::from("standard input");
    let mut entry = FileEntry {
        path: stream.path,
        mode: 0o600,
        mtime: Time::from_nanoseconds(time),
        ctime: Time::from_nanoseconds(time),
        racy: true,
        ..FileEntry::nothing()
    };
    let mut read = |buffer: &mut [u8]| loop {
        match stream.reader.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.map_err(|error| Error::io("read", &path, error)),
        }
    };
    let bytes_read = store_content(context, rows.feeder, &mut read, &mut entry, None)?;
    let stored = Box::new(Stored { entry, bytes_read, unstable: false });
    rows.outcome(Outcome::Stored { stored, parent: None })
}
