//! Carrying a plan out: files are written without the records, snapshot by snapshot, and each snapshot gets a new root by one
//! entry of the log.

use std::collections::HashMap;
use std::time::Instant;

use super::content::{Judging, Remaining};
use super::plan::{Asked, ErasePlan, Judged};
use super::{EraseOptions, EraseReport};
use crate::avro::container::MARKER;
use crate::chunk::{ChunkKind, ChunkSink};
use crate::error::{Error, Result};
use crate::id::{ChunkId, ContentHash, SnapshotId};
use crate::ingest::{
    AnchorPrimer, Depth, Effort, Feeder, FileContext, Pipeline, SchemaCache, Workbench, store_content,
};
use crate::ops::create::CreateOptions;
use crate::ops::replacing::{ATTEMPTS, CarriedOver, has_other_root, named};
use crate::progress::{Phase, Progress, Warning};
use crate::read::{EncoderBench, FileAssembler, Prefetching};
use crate::recipe::AvroState;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::snapshot::{ManifestWriter, SnapshotRoot};
use crate::store::{ReplaceReason, Repository, RootReplacement, SnapshotRecord, read_root};

/// Carries out a plan. Each snapshot is done or not done; what is done by then stays done, whatever happens, and a plan that is
/// made again finds what is left.
///
/// Nothing of the old files is deleted: that is for a prune. Until then snapshots that are brought back, and roots of before,
/// reach them.
///
/// # Errors
/// [`Error::SnapshotReplaced`] if somebody else keeps storing a snapshot in another way, and those of reading and writing chunks. A file
/// that is lost or damaged is reported to `progress`, is in the report, and does not stop the work.
pub fn erase(
    repository: &Repository,
    plan: &ErasePlan,
    options: &EraseOptions,
    progress: &dyn Progress,
) -> Result<EraseReport> {
    let began = Instant::now();
    let before: Vec<SnapshotId> = repository.state().snapshots.iter().map(|record| record.id).collect();
    let (bench, schemas) = (Workbench::default(), SchemaCache::default());
    // As `create` stores files unless something else is asked for: equal records become equal chunks.
    let speed = CreateOptions::default().min_encode_speed;
    let context = FileContext {
        cut: repository.cut_params(),
        effort: Effort::new(Depth::Deep, speed, repository.is_encrypted()),
        bench: &bench,
        pool: repository.runtime().compute()?,
        progress,
        schemas: &schemas,
        repository,
    };
    let mut run = EraseRun {
        context,
        asked: &plan.asked,
        judged: &plan.contents_judged,
        options,
        encoders: EncoderBench::default(),
        ready: HashMap::new(),
        carried: CarriedOver::new(repository),
        now: repository.log().clock().now(),
        report: EraseReport::default(),
    };
    progress.begin(Phase::Repair, Some(plan.contents_concerned), None);
    for snapshot in &plan.snapshots {
        run.snapshot(snapshot.id)?;
    }
    let mut report = run.report;
    repository.catalog().refresh()?;
    let is_new = |id: &SnapshotId| !before.contains(id);
    report.appeared = repository.state().whole_snapshots().iter().map(|record| record.id).filter(is_new).collect();
    report.duration_secs = began.elapsed().as_secs_f64();
    Ok(report)
}

/// A file as it is stored without the records.
struct Altered {
    size: u64,
    row: FileEntry,
}

struct EraseRun<'r> {
    context: FileContext<'r>,
    asked: &'r Asked,
    judged: &'r HashMap<ContentHash, Judged>,
    options: &'r EraseOptions,
    encoders: EncoderBench,
    /// By the content of before: other snapshots have it, too.
    ready: HashMap<ContentHash, Altered>,
    carried: CarriedOver,
    now: i64,
    report: EraseReport,
}

/// What an attempt came to.
enum Attempt {
    Done,
    /// Somebody else was faster: it has to be done again.
    Outrun,
}

impl<'r> EraseRun<'r> {
    fn snapshot(&mut self, id: SnapshotId) -> Result<()> {
        let repository = self.context.repository;
        let mut attempts = 0;
        while attempts < ATTEMPTS {
            let state = repository.state();
            let Some(record) = state.snapshots.iter().find(|record| record.id == id) else {
                self.report.removed.push(id);
                return Ok(());
            };
            attempts += 1;
            match self.attempt(record, attempts == ATTEMPTS) {
                Ok(Attempt::Done) => return Ok(()),
                Ok(Attempt::Outrun) => {}
                // A prune deleted what was stored for another snapshot, which was removed.
                Err(Error::Pruned { .. }) => self.ready.clear(),
                // What the old root reached may be deleted once there is another, or none.
                Err(error) if error.is_damage() => {
                    if attempts == ATTEMPTS && !has_other_root(repository, record)? {
                        self.fail(id, None, error);
                        return Ok(());
                    }
                    repository.catalog().refresh()?;
                    self.ready.clear();
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::SnapshotReplaced { snapshot: id })
    }

    /// Reports what still holds what it held.
    fn fail(&mut self, snapshot: SnapshotId, path: Option<&[u8]>, error: Error) {
        let name = named(snapshot, path);
        let path = String::from_utf8_lossy(&name).into_owned();
        let message = format!("nothing is erased from it: {error}");
        self.context.progress.warning(&Warning { path, message, incomplete: true });
        self.report.failed.push((name, error));
    }

    /// Does it once. On the `last` attempt, what cannot be read is reported.
    fn attempt(&mut self, record: &SnapshotRecord, last: bool) -> Result<Attempt> {
        let repository = self.context.repository;
        let root = read_root(repository, record)?;
        let writer = self.carried.writer(repository, || self.ready.clear())?;
        let primer = AnchorPrimer::new(repository, None);
        let level = repository.settings().compression_level(self.options.compression);
        let pipeline = Pipeline::new(repository, writer, primer, level, false, repository.runtime().threads());
        match self.store(&pipeline, &root, record, last) {
            Ok(Some(new)) => {
                let replacement = RootReplacement { snapshot: record.id, old: record.root, new };
                let replaced = pipeline.replace_roots(ReplaceReason::Erased, &[replacement])?;
                self.report.bytes_added += replaced.bytes_added;
                if replaced.replaced.is_empty() {
                    return Ok(Attempt::Outrun);
                }
                self.report.replaced.push(record.id);
                Ok(Attempt::Done)
            }
            Ok(None) => {
                pipeline.abandon();
                Ok(Attempt::Done)
            }
            Err(error) => {
                pipeline.abandon();
                Err(error)
            }
        }
    }

    /// Stores what is to be altered in a snapshot and its new manifest. Returns the root's chunk; none if there is nothing to do.
    fn store(
        &mut self,
        pipeline: &Pipeline<'r>,
        root: &SnapshotRoot,
        record: &SnapshotRecord,
        last: bool,
    ) -> Result<Option<ChunkId>> {
        let mut concerned = Vec::new();
        let here = self.asked.in_snapshot(self.context.repository, root)?;
        let mut rows = root.rows(self.context.repository);
        while let Some(row) = rows.next_row()? {
            let Some(content) = here.content(&row) else { continue };
            if matches!(self.judged.get(&content), Some(Judged::Records { erased: 1.., .. })) {
                concerned.push((content, row));
            }
        }
        drop(rows);
        let mut fresh = Vec::new();
        for (content, row) in &concerned {
            if !self.ready.contains_key(content) && !fresh.iter().any(|(known, _)| known == content) {
                fresh.push((*content, row.clone()));
            }
        }
        let (stored, failed) = self.store_files(pipeline, fresh)?;
        // What is read back must be what was stored.
        pipeline.flush()?;
        self.read_back(&stored)?;
        if !failed.is_empty() && !last {
            // It may lie elsewhere by now.
            return Err(failed.into_iter().next().map_or(Error::WorkerStopped, |(_, error)| error));
        }
        for (path, error) in failed {
            self.fail(record.id, Some(&path), error);
        }
        for (content, altered, erased) in stored {
            self.report.files += 1;
            self.report.records = self.report.records.saturating_add(erased);
            self.ready.insert(content, altered);
        }
        if !concerned.iter().any(|(content, _)| self.ready.contains_key(content)) {
            return Ok(None);
        }
        let paths: Vec<Vec<u8>> = concerned.into_iter().map(|(_, row)| row.path).collect();
        let root = self.context.pool.in_place_scope(|scope| self.manifest(scope, pipeline, root, &paths))?;
        pipeline.check()?;
        Ok(Some(root))
    }

    /// Writes files without the records, and stores them as `create` would.
    fn store_files(
        &self,
        pipeline: &Pipeline<'r>,
        files: Vec<(ContentHash, FileEntry)>,
    ) -> Result<(Vec<Stored>, Failed)> {
        let (context, condition) = (&self.context, &self.asked.condition);
        let (mut stored, mut failed) = (Vec::new(), Vec::new());
        context.pool.in_place_scope(|scope| {
            let mut feeder = Feeder::new(pipeline, scope);
            for (content, row) in files {
                pipeline.check()?;
                let marker: [u8; MARKER] = context.repository.log().entropy().array()?;
                let encoder = row.avro.as_ref().map(|facts| facts.encoder.clone()).unwrap_or_default();
                feeder.begin_file(Some(&row.recipe));
                let (path, mut altered) = (row.path.clone(), row.clone());
                let mut counts = (0, 0);
                let done = Judging::open(context.repository, &row, condition).and_then(|judging| {
                    let judging = judging.map_err(|_| Error::damaged("a file", "it is not what was looked through"))?;
                    let mut remaining = Remaining::new(judging, marker, &encoder)?;
                    let expected = Some(encoder.as_str()).filter(|encoder| !encoder.is_empty());
                    store_content(context, &mut feeder, &mut |buffer| remaining.read(buffer), &mut altered, expected)?;
                    counts = (remaining.erased, remaining.kept);
                    Ok(())
                });
                context.progress.files(1);
                match done {
                    Ok(()) => {
                        let sound = altered.avro.as_ref().is_some_and(|facts| match facts.state {
                            AvroState::Ok => facts.declared_records == counts.1,
                            state => state == AvroState::HeaderOnly && counts.1 == 0,
                        });
                        if !sound {
                            let shown = String::from_utf8_lossy(&path).into_owned();
                            return Err(Error::Internal(format!("{shown} was not sound after records were taken out")));
                        }
                        // Equal times prove nothing about what is at the source.
                        (altered.racy, altered.altered) = (true, Some(self.now));
                        stored.push((content, Altered { size: altered.size, row: altered }, counts.0));
                    }
                    Err(error) if error.is_damage() || matches!(error, Error::Unsupported { .. }) => {
                        failed.push((path, error));
                    }
                    Err(error) => return Err(error),
                }
            }
            feeder.finish();
            Ok(())
        })?;
        pipeline.check()?;
        Ok((stored, failed))
    }

    /// Rebuilds files from how they are stored now.
    fn read_back(&self, stored: &[Stored]) -> Result<()> {
        let context = &self.context;
        context.pool.in_place_scope(|scope| {
            let source = Prefetching::new(context.repository, scope);
            let assembler = FileAssembler { source: &source, pool: context.pool, encoders: &self.encoders };
            for (_, altered, _) in stored {
                let mut goes_on = |_: &[u8]| context.repository.runtime().go_on();
                assembler.rebuild(&altered.row, &mut goes_on)?;
            }
            Ok(())
        })
    }

    /// Writes the new manifest; returns the root's chunk.
    fn manifest<'p>(
        &'p self,
        scope: &rayon::Scope<'p>,
        pipeline: &'p Pipeline<'r>,
        snapshot: &SnapshotRoot,
        paths: &[Vec<u8>],
    ) -> Result<ChunkId> {
        let repository: &Repository = self.context.repository;
        let mut feeder = Feeder::new(pipeline, scope);
        let mut manifest = ManifestWriter::new(repository.hasher());
        let mut rows = snapshot.rows(repository);
        let mut totals = snapshot.totals;
        // Sizes of files that were altered and may have further names.
        let mut sizes: HashMap<Vec<u8>, u64> = HashMap::new();
        let mut ahead = paths.iter().peekable();
        while let Some(mut entry) = rows.next_row()? {
            pipeline.check()?;
            let before = entry.size;
            if ahead.next_if(|path| **path == entry.path).is_some()
                && let Some(altered) = entry.content.and_then(|content| self.ready.get(&content))
            {
                let Altered { size, row } = altered;
                (entry.size, entry.content, entry.recipe) = (*size, row.content, row.recipe.clone());
                (entry.avro, entry.altered, entry.racy) = (row.avro.clone(), row.altered, true);
                sizes.insert(entry.path.clone(), entry.size);
            } else if let Some(size) = entry.hard_link.as_ref().and_then(|first| sizes.get(first)) {
                // Another name of the same file.
                if entry.size != 0 {
                    entry.size = *size;
                }
                (entry.altered, entry.racy) = (Some(self.now), true);
            }
            if entry.kind == EntryKind::File {
                totals.bytes = totals.bytes.saturating_sub(before).saturating_add(entry.size);
            }
            manifest.push(&entry, &mut feeder)?;
        }
        let root = SnapshotRoot {
            program: concat!("snap ", env!("CARGO_PKG_VERSION")).into(),
            revision: snapshot.revision.saturating_add(1),
            altered: Some(self.now.max(snapshot.altered.unwrap_or(i64::MIN))),
            totals,
            manifest: manifest.finish(&mut feeder)?,
            ..snapshot.clone()
        };
        let root = feeder.put(ChunkKind::Root, root.encode())?;
        feeder.finish();
        Ok(root)
    }
}

/// The content of before, the file as it is stored now, and how many records went.
type Stored = (ContentHash, Altered, u64);

type Failed = Vec<(Vec<u8>, Error)>;
