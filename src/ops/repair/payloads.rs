//! A snapshot stored in another way, with payloads kept as they are that so far had to be encoded: no restore of it rests on
//! those encoders any more, or waits for them. It keeps its id; its root is replaced.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::chunk::{ChunkKind, ChunkSink};
use crate::error::{Context, Error, Result};
use crate::files::Pattern;
use crate::id::{ChunkId, SnapshotId};
use crate::ingest::{AnchorPrimer, Feeder, Pipeline, take_apart_again};
use crate::ops::replacing::{ATTEMPTS, has_other_root};
use crate::progress::{Phase, Progress, Warning};
use crate::read::{EncoderBench, FileAssembler, Prefetching};
use crate::recipe::Recipe;
use crate::report;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::snapshot::{ManifestWriter, SnapshotRoot};
use crate::store::{Compression, ReplaceReason, Repository, RootReplacement, SnapshotRecord, Writer, read_root};
use crate::values;

/// Which payloads are to be kept as they are, and how that is done.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct PayloadOptions {
    /// Payloads of these encoders: ids, or the beginnings of ids up to a colon or plus (`zlib`, `zlib:L6`). All if there
    /// are none.
    #[serde(deserialize_with = "values::texts")]
    pub encoder: Vec<String>,
    /// Payloads of files that match one of these; of all if there are none.
    #[serde(deserialize_with = "Pattern::sensitive")]
    pub include: Vec<Pattern>,
    /// How new data is compressed; as is set for the repository if none.
    pub compression: Option<Compression>,
    /// Rebuild and compare everything, write nothing.
    pub dry_run: bool,
}

/// Result of keeping payloads.
#[derive(Debug, Default, Serialize)]
pub struct PayloadReport {
    /// Whether the snapshot has a new root; not on a dry run, nor where there was nothing to change.
    pub replaced: bool,
    /// Files with payloads that are kept as they are now.
    pub files: u64,
    /// Payloads that are kept as they are now.
    pub blocks: u64,
    /// What could not be rebuilt and is stored as it was, and why.
    #[serde(serialize_with = "report::failed")]
    pub failed: Vec<(Vec<u8>, Error)>,
    /// Bytes that this added to the repository, all kinds of objects.
    pub bytes_added: u64,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}

impl PayloadOptions {
    values::setters! {
        each encoder: String;
        each include: Pattern;
        is compression: Option<Compression>;
        is dry_run: bool;
    }

    fn is_meant(&self, encoder: &str) -> bool {
        let begins = |name: &String| match encoder.strip_prefix(name.as_str()) {
            Some(rest) => rest.is_empty() || rest.starts_with([':', '+']),
            None => false,
        };
        // What is not compressed is its own payload.
        encoder != "null" && (self.encoder.is_empty() || self.encoder.iter().any(begins))
    }

    /// Whether something is to be done about a file.
    fn concerns(&self, entry: &FileEntry) -> Result<bool> {
        if entry.kind != EntryKind::File || entry.avro.is_none() {
            return Ok(false);
        }
        if !self.include.is_empty() && !Pattern::any(&self.include, &entry.path) {
            return Ok(false);
        }
        let shown = String::from_utf8_lossy(&entry.path);
        match Recipe::decode(&entry.recipe).in_object(format_args!("the recipe of {shown}"))? {
            Recipe::Container(recipe) => Ok(recipe.encoders.iter().any(|encoder| self.is_meant(encoder))),
            Recipe::Plain(_) => Ok(false),
        }
    }
}

/// Stores a snapshot in another way, in which some payloads are kept as they are, under a new root. Every file
/// concerned is rebuilt as by a restore, and compared with its hash.
///
/// # Errors
/// [`Error::SnapshotRemoved`] if somebody removed it meanwhile, [`Error::SnapshotReplaced`] if somebody keeps storing it in
/// another way, and those of reading and writing chunks. A file that is lost or damaged is reported to `progress`, is in the
/// report, and does not stop the work.
pub fn keep_payloads(
    repository: &Repository,
    snapshot: SnapshotId,
    options: &PayloadOptions,
    progress: &dyn Progress,
) -> Result<PayloadReport> {
    let began = Instant::now();
    for _ in 0..ATTEMPTS {
        let state = repository.state();
        let record = state.snapshots.iter().find(|record| record.id == snapshot);
        let record = record.ok_or(Error::SnapshotRemoved { snapshot })?;
        match attempt(repository, record, options, progress) {
            Ok(Some(mut report)) => {
                report.duration_secs = began.elapsed().as_secs_f64();
                return Ok(report);
            }
            // What the old root reached may be deleted once there is another.
            Err(error) if error.is_damage() && has_other_root(repository, record)? => {}
            Ok(None) => drop(has_other_root(repository, record)?),
            Err(error) => return Err(error),
        }
    }
    Err(Error::SnapshotReplaced { snapshot })
}

/// Does it once, from the root that the record names; none if the snapshot has another one by the end.
fn attempt(
    repository: &Repository,
    record: &SnapshotRecord,
    options: &PayloadOptions,
    progress: &dyn Progress,
) -> Result<Option<PayloadReport>> {
    let snapshot = &read_root(repository, record)?;
    let threads = repository.runtime().threads();
    let level = repository.settings().compression_level(options.compression);
    let (mut files, mut bytes) = (0, 0);
    let mut rows = snapshot.rows(repository);
    while let Some(entry) = rows.next_row()? {
        if options.concerns(&entry)? {
            files += 1;
            bytes += entry.size;
        }
    }
    progress.begin(Phase::Repair, Some(files), Some(bytes));
    let mut report = PayloadReport::default();
    if files == 0 {
        return Ok(Some(report));
    }
    let pool = repository.runtime().compute()?;
    let (writer, primer) = (Writer::new(repository)?, AnchorPrimer::new(repository, None));
    let pipeline = Pipeline::new(repository, writer, primer, level, options.dry_run, threads);
    let run = PayloadsRun { repository, snapshot, options, progress, pipeline: &pipeline, pool };
    let done = pool.in_place_scope(|scope| run.store(scope, &mut report));
    let root = match done.and_then(|root| pipeline.check().map(|()| root)) {
        Ok(root) => root,
        Err(error) => {
            pipeline.abandon();
            return Err(error);
        }
    };
    if report.files == 0 || options.dry_run {
        pipeline.abandon();
        return Ok(Some(report));
    }
    let replacement = RootReplacement { snapshot: record.id, old: record.root, new: root };
    let replaced = pipeline.replace_roots(ReplaceReason::Settled, &[replacement])?;
    if replaced.replaced.is_empty() {
        return Ok(None);
    }
    (report.replaced, report.bytes_added) = (true, replaced.bytes_added);
    Ok(Some(report))
}

struct PayloadsRun<'r> {
    repository: &'r Repository,
    snapshot: &'r SnapshotRoot,
    options: &'r PayloadOptions,
    progress: &'r dyn Progress,
    pipeline: &'r Pipeline<'r>,
    pool: &'r rayon::ThreadPool,
}

impl PayloadsRun<'_> {
    /// Writes the new manifest; returns the root's chunk.
    fn store<'p>(&'p self, scope: &rayon::Scope<'p>, report: &mut PayloadReport) -> Result<ChunkId> {
        let (encoders, source) = (EncoderBench::default(), Prefetching::new(self.repository, scope));
        let assembler = FileAssembler { source: &source, pool: self.pool, encoders: &encoders };
        let mut feeder = Feeder::new(self.pipeline, scope);
        let mut manifest = ManifestWriter::new(self.repository.hasher());
        let mut rows = self.snapshot.rows(self.repository);
        while let Some(mut entry) = rows.next_row()? {
            self.pipeline.check()?;
            if self.options.concerns(&entry)? {
                let is_meant = |encoder: &str| self.options.is_meant(encoder);
                let cut = self.repository.cut_params();
                match take_apart_again(&assembler, &entry, cut, &is_meant, self.progress, &mut feeder) {
                    Ok(again) => {
                        (entry.recipe, entry.avro) = (again.recipe, Some(again.facts));
                        report.files += 1;
                        report.blocks += again.kept;
                    }
                    Err(error) if error.is_damage() || matches!(error, Error::NotRestored { .. }) => {
                        let path = String::from_utf8_lossy(&entry.path).into_owned();
                        let message = format!("it stays as it is, since it cannot be rebuilt: {error}");
                        self.progress.warning(&Warning { path, message, incomplete: true });
                        report.failed.push((entry.path.clone(), error));
                    }
                    Err(error) => return Err(error),
                }
                self.progress.files(1);
            }
            manifest.push(&entry, &mut feeder)?;
        }
        let root = SnapshotRoot {
            program: concat!("snap ", env!("CARGO_PKG_VERSION")).into(),
            revision: self.snapshot.revision.saturating_add(1),
            manifest: manifest.finish(&mut feeder)?,
            ..self.snapshot.clone()
        };
        let root = feeder.put(ChunkKind::Root, root.encode())?;
        feeder.finish();
        Ok(root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_is_meant_by_its_id_or_its_beginning() {
        let options = |encoders: &[&str]| PayloadOptions {
            encoder: encoders.iter().map(|id| (*id).to_owned()).collect(),
            include: Vec::new(),
            compression: None,
            dry_run: false,
        };
        for (meant, encoder, expected) in [
            (&[][..], "zlib:L6:M8", true),
            (&[], "null", false),
            (&["null"], "null", false),
            (&["zlib"], "zlib:L6:M8", true),
            (&["zlib"], "zlib-ng:L6", false),
            (&["zlib:L6:M8"], "zlib:L6:M8+adler3", true),
            (&["zlib:L6:M8+adler3"], "zlib:L6:M8", false),
            (&["zlib:L"], "zlib:L6:M8", false),
            (&["snappy", "zlib:L6"], "zlib:L6:M8", true),
            (&["preflate-0.7.6"], "preflate-0.7.6", true),
        ] {
            assert_eq!(options(meant).is_meant(encoder), expected, "{meant:?} {encoder}");
        }
    }
}
