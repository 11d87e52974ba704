//! Storing snapshots again, each in steps of which every one is an entry of the log.

use std::collections::HashMap;
use std::sync::Arc;

use super::known::{Fate, StoredFile};
use super::survey::{Survey, Todo, whole_bytes};
use super::{OptimizeOptions, OptimizeReport};
use crate::chunk::{ChunkKind, ChunkSink};
use crate::error::{Error, Result};
use crate::id::{ChunkId, ContentHash, SnapshotId};
use crate::ingest::{AnchorPrimer, Feeder, FileContext, Pipeline, finds_encoder, settle};
use crate::ops::replacing::{ATTEMPTS, CarriedOver, has_other_root, named};
use crate::progress::Warning;
use crate::read::{EncoderBench, FileAssembler, Prefetching};
use crate::snapshot::entry::FileEntry;
use crate::snapshot::{ManifestWriter, SnapshotRoot};
use crate::store::{ReplaceReason, Repository, RootReplacement, SnapshotRecord, read_root};

/// How far a step came.
enum Step {
    /// There is nothing left to do.
    Done,
    /// There is more to do after this path.
    GoesOn(Vec<u8>),
    /// Somebody else was faster: the step has to be done again.
    Outrun,
}

/// What all snapshots of a run share.
pub(super) struct OptimizeRun<'r> {
    context: FileContext<'r>,
    options: &'r OptimizeOptions,
    survey: Survey<'r>,
    encoders: EncoderBench,
    carried: CarriedOver,
    pub(super) report: OptimizeReport,
}

impl<'r> OptimizeRun<'r> {
    pub(super) fn new(context: FileContext<'r>, options: &'r OptimizeOptions) -> Self {
        let survey = Survey::new(context.repository, options);
        let (encoders, carried) = (EncoderBench::default(), CarriedOver::new(context.repository));
        Self { context, options, survey, encoders, carried, report: OptimizeReport::default() }
    }

    /// Stores one snapshot again, as far as anything is to be done.
    pub(super) fn snapshot(&mut self, id: SnapshotId) -> Result<()> {
        let repository = self.context.repository;
        self.report.snapshots += 1;
        let (mut after, mut attempts) = (None, 0);
        while attempts < ATTEMPTS {
            let state = repository.state();
            let Some(record) = state.snapshots.iter().find(|record| record.id == id) else {
                self.report.removed.push(id);
                return Ok(());
            };
            match self.step(record, after.as_deref(), attempts + 1 == ATTEMPTS) {
                Ok(Step::Done) => return Ok(()),
                Ok(Step::GoesOn(path)) => (after, attempts) = (Some(path), 0),
                Ok(Step::Outrun) => attempts += 1,
                // A prune deleted what was stored for another snapshot, which was removed.
                Err(Error::Pruned { .. }) => {
                    self.survey.known.forget();
                    attempts += 1;
                }
                // What the old root reached may be deleted once there is another, or none; and a prune without grace deletes
                // what this run has stored and nothing refers to yet.
                Err(error) if error.is_damage() => {
                    if attempts + 1 == ATTEMPTS && !has_other_root(repository, record)? {
                        self.fail(id, None, error);
                        return Ok(());
                    }
                    self.context.repository.catalog().refresh()?;
                    self.survey.known.forget();
                    attempts += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::SnapshotReplaced { snapshot: id })
    }

    /// Reports what stays as it is because it cannot be rebuilt.
    fn fail(&mut self, snapshot: SnapshotId, path: Option<&[u8]>, error: Error) {
        let name = named(snapshot, path);
        let message = format!("it stays as it is, since it cannot be rebuilt: {error}");
        let path = String::from_utf8_lossy(&name).into_owned();
        self.context.progress.warning(&Warning { path, message, incomplete: true });
        self.report.failed.push((name, error));
    }

    /// Does what is to be done about a part of a snapshot. On the `last` attempt, what cannot be read back is reported.
    fn step(&mut self, record: &SnapshotRecord, after: Option<&[u8]>, last: bool) -> Result<Step> {
        let snapshot = read_root(self.context.repository, record)?;
        let Some(mut todo) = self.look(&snapshot, record, after)? else { return Ok(Step::Outrun) };
        let next = todo.stopped_after.take().map_or(Step::Done, Step::GoesOn);
        if self.options.dry_run || (todo.files.is_empty() && todo.ready.is_empty()) {
            return Ok(next);
        }
        self.context.progress.more_ahead(todo.files.len() as u64, todo.bytes);
        let repository = self.context.repository;
        let threads = repository.runtime().threads();
        let level = repository.settings().compression_level(self.options.compression);
        let writer = self.carried.writer(repository, || self.survey.known.forget())?;
        let primer = AnchorPrimer::new(repository, None);
        let pipeline = Pipeline::new(repository, writer, primer, level, false, threads);
        match self.store(&pipeline, &snapshot, record, todo, last) {
            Ok(Stored::Root(root)) => {
                let replacement = RootReplacement { snapshot: record.id, old: record.root, new: root };
                let replaced = pipeline.replace_roots(ReplaceReason::Settled, &[replacement])?;
                self.report.bytes_added += replaced.bytes_added;
                if replaced.replaced.is_empty() {
                    return Ok(Step::Outrun);
                }
                if self.report.replaced.last() != Some(&record.id) {
                    self.report.replaced.push(record.id);
                }
                Ok(next)
            }
            Ok(Stored::Nothing) => {
                pipeline.abandon();
                Ok(next)
            }
            Ok(Stored::Outrun) => {
                pipeline.abandon();
                Ok(Step::Outrun)
            }
            Err(error) => {
                pipeline.abandon();
                Err(error)
            }
        }
    }

    /// Finds out what is to be done; none if the snapshot has another root by now.
    fn look(&mut self, snapshot: &SnapshotRoot, record: &SnapshotRecord, after: Option<&[u8]>) -> Result<Option<Todo>> {
        let (context, encoders) = (&self.context, &self.encoders);
        let (mut failed, mut tried) = (Vec::new(), Vec::new());
        let survey = &mut self.survey;
        // Nothing is read ahead: only the first blocks are looked at.
        let assembler = FileAssembler { source: context.repository, pool: context.pool, encoders };
        let todo = survey.look(snapshot, after, &mut |row, expected| match finds_encoder(
            context, &assembler, row, expected,
        ) {
            Ok(found) => {
                tried.push((whole_bytes(row), found));
                Ok(found)
            }
            Err(error) if concerns_one_file(&error) => {
                failed.push((row.path.clone(), error));
                Ok(false)
            }
            Err(error) => Err(error),
        })?;
        if !failed.is_empty() && has_other_root(self.context.repository, record)? {
            return Ok(None);
        }
        for (path, error) in failed {
            self.fail(record.id, Some(&path), error);
        }
        for (bytes, found) in tried {
            self.report.files_whole += 1;
            self.report.bytes_whole += bytes;
            if found && self.options.dry_run {
                self.report.files += 1;
                self.report.bytes += bytes;
            }
        }
        if self.options.dry_run {
            for file in &todo.files {
                self.context.progress.files(1);
                // The next snapshot has it, too.
                let content = file.content.unwrap_or(ContentHash::new([0; 32]));
                self.survey.known.put(content, Fate::Stays);
            }
        }
        Ok(Some(todo))
    }

    /// Stores files again, makes sure that they come back, and writes the manifest that has them.
    fn store(
        &mut self,
        pipeline: &Pipeline<'r>,
        snapshot: &SnapshotRoot,
        record: &SnapshotRecord,
        todo: Todo,
        last: bool,
    ) -> Result<Stored> {
        let Todo { files, mut ready, .. } = todo;
        let (stored, mut failed) = self.store_files(pipeline, files)?;
        // What is read back must be what was stored.
        pipeline.flush()?;
        let (mut blocks, mut bytes, mut count, before) = (0, 0, 0, failed.len());
        for (settled, entry) in self.read_back(stored, &mut failed)? {
            let (Some(content), Some(facts)) = (entry.content, entry.avro) else { continue };
            (blocks, bytes, count) = (blocks + settled.0, bytes + settled.1, count + 1);
            ready.insert(content, self.survey.settled(content, entry.recipe, facts));
        }
        self.report.files += count;
        self.report.blocks += blocks;
        self.report.bytes += bytes;
        // A prune without grace deletes what nothing refers to yet.
        let is_gone = failed.iter().skip(before).any(|(_, error)| error.is_damage());
        if !failed.is_empty() && ((is_gone && !last) || has_other_root(self.context.repository, record)?) {
            return Ok(Stored::Outrun);
        }
        for (entry, error) in failed {
            if let Some(content) = entry.content {
                self.survey.known.put(content, Fate::Stays);
            }
            self.fail(record.id, Some(&entry.path), error);
        }
        if ready.is_empty() {
            return Ok(Stored::Nothing);
        }
        let root = self.context.pool.in_place_scope(|scope| self.manifest(scope, pipeline, snapshot, &ready))?;
        pipeline.check()?;
        Ok(Stored::Root(root))
    }

    /// Takes files apart again. Returns those that became better by it, with the blocks and bytes, and those that cannot be
    /// rebuilt.
    fn store_files(&mut self, pipeline: &Pipeline<'r>, files: Vec<FileEntry>) -> Result<(Vec<Better>, Vec<Failed>)> {
        let (context, encoders, survey) = (&self.context, &self.encoders, &mut self.survey);
        let (mut stored, mut failed) = (Vec::new(), Vec::new());
        context.pool.in_place_scope(|scope| {
            let source = Prefetching::new(context.repository, scope);
            let assembler = FileAssembler { source: &source, pool: context.pool, encoders };
            let mut feeder = Feeder::new(pipeline, scope);
            // Files of one schema are like each other.
            let mut like: HashMap<u64, Vec<u8>> = HashMap::new();
            for mut entry in files {
                pipeline.check()?;
                let (Some(content), Some(facts)) = (entry.content, &entry.avro) else { continue };
                feeder.begin_file(like.get(&facts.fingerprint).map(Vec::as_slice));
                match settle(context, &assembler, &entry, survey.expected(facts).as_deref(), &mut feeder) {
                    Ok(settled) if settled.blocks > 0 => {
                        like.insert(settled.facts.fingerprint, settled.recipe.clone());
                        (entry.recipe, entry.avro) = (settled.recipe, Some(settled.facts));
                        stored.push(((settled.blocks, settled.bytes), entry));
                    }
                    Ok(_) => survey.known.put(content, Fate::Stays),
                    Err(error) if concerns_one_file(&error) => failed.push((entry, error)),
                    Err(error) => return Err(error),
                }
                context.progress.files(1);
            }
            feeder.finish();
            Ok(())
        })?;
        pipeline.check()?;
        Ok((stored, failed))
    }

    /// Rebuilds files from how they are stored now. Those that do not come back bit for bit stay as they were.
    fn read_back(&self, stored: Vec<Better>, failed: &mut Vec<Failed>) -> Result<Vec<Better>> {
        let context = &self.context;
        context.pool.in_place_scope(|scope| {
            let source = Prefetching::new(context.repository, scope);
            let assembler = FileAssembler { source: &source, pool: context.pool, encoders: &self.encoders };
            let mut sound = Vec::with_capacity(stored.len());
            for (settled, entry) in stored {
                let goes_on = |_: &[u8]| context.repository.runtime().go_on();
                match assembler.rebuild(&entry, &mut { goes_on }) {
                    Ok(()) => sound.push((settled, entry)),
                    Err(error) if concerns_one_file(&error) => failed.push((entry, error)),
                    Err(error) => return Err(error),
                }
            }
            Ok(sound)
        })
    }

    /// Writes the new manifest; returns the root's chunk.
    fn manifest<'p>(
        &'p self,
        scope: &rayon::Scope<'p>,
        pipeline: &'p Pipeline<'r>,
        snapshot: &SnapshotRoot,
        ready: &HashMap<ContentHash, Arc<StoredFile>>,
    ) -> Result<ChunkId> {
        let repository: &Repository = self.context.repository;
        let mut feeder = Feeder::new(pipeline, scope);
        let mut manifest = ManifestWriter::new(repository.hasher());
        let mut rows = snapshot.rows(repository);
        while let Some(mut entry) = rows.next_row()? {
            pipeline.check()?;
            let stored = entry.content.and_then(|content| ready.get(&content));
            if let (Some(stored), Some(facts)) = (stored, &entry.avro)
                && self.survey.concerns(&entry)
                && stored.is_better_than(facts)
            {
                (entry.recipe, entry.avro) = (stored.recipe.clone(), Some(stored.facts.clone()));
            }
            manifest.push(&entry, &mut feeder)?;
        }
        let root = SnapshotRoot {
            program: concat!("snap ", env!("CARGO_PKG_VERSION")).into(),
            revision: snapshot.revision.saturating_add(1),
            manifest: manifest.finish(&mut feeder)?,
            ..snapshot.clone()
        };
        let root = feeder.put(ChunkKind::Root, root.encode())?;
        feeder.finish();
        Ok(root)
    }
}

/// Blocks and bytes that are records now, and the row of the file.
type Better = ((u64, u64), FileEntry);

type Failed = (FileEntry, Error);

/// What storing came to.
enum Stored {
    Root(ChunkId),
    Nothing,
    Outrun,
}

/// Whether an error is about what one file consists of: it is lost, damaged, or needs an encoder of a later version.
fn concerns_one_file(error: &Error) -> bool {
    error.is_damage() || matches!(error, Error::NotRestored { .. } | Error::Unsupported { .. })
}
