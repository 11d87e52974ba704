//! One snapshot on its way to another repository: row by row, into a manifest that is written again.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::CopyReport;
use super::transfer::{Names, Sent, Transfer};
use crate::chunk::{ChunkKind, ChunkSink};
use crate::error::{Context, Error};
use crate::id::ChunkId;
use crate::ingest::Feeder;
use crate::ingest::Pipeline;
use crate::ingest::SchemaCache;
use crate::ingest::take_apart_again;
use crate::ops::create::parent_row;
use crate::progress::{Progress, Warning};
use crate::read::Prefetching;
use crate::read::{EncoderBench, FileAssembler};
use crate::recipe::{Recipe, Stream, tail_after_corrections};
use crate::snapshot::entry::{AvroFacts, EntryKind, FileEntry};
use crate::snapshot::{ManifestReader, ManifestWriter, SnapshotRoot, put_paths};
use crate::store::Repository;

/// Result of sending something.
pub(super) type Sending<T> = std::result::Result<T, Stop>;

/// Why a snapshot is not copied.
pub(super) enum Stop {
    /// The source does not have it all.
    Source { path: Option<Vec<u8>>, error: Error },
    /// Anything else.
    Target(Error),
}

impl Stop {
    /// What an error of the source comes to: what it has lost concerns this snapshot alone.
    pub(super) fn source(error: Error) -> Self {
        match error.is_damage() || matches!(error, Error::NotRestored { .. } | Error::Unsupported { .. }) {
            true => Self::Source { path: None, error },
            false => Self::Target(error),
        }
    }

    /// ... while it was about this file.
    fn about(self, path: &[u8]) -> Self {
        match self {
            Self::Source { error, .. } => Self::Source { path: Some(path.to_vec()), error },
            stop => stop,
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Target(error)
    }
}

/// What a copy works with.
pub(super) struct CopyRun<'r> {
    pub(super) source: &'r Repository,
    pub(super) target: &'r Repository,
    pub(super) pipeline: &'r Pipeline<'r>,
    pub(super) pool: &'r rayon::ThreadPool,
    pub(super) schemas: &'r SchemaCache,
    pub(super) snapshot: &'r SnapshotRoot,
    pub(super) reference: Option<&'r SnapshotRoot>,
    pub(super) progress: &'r dyn Progress,
}

impl CopyRun<'_> {
    /// Sends everything; returns the root and its chunk. When this returns, all frames have been handed on.
    pub(super) fn store<'p>(
        &'p self,
        scope: &rayon::Scope<'p>,
        names: &Names<'_>,
        report: &mut CopyReport,
        sent: &mut Sent,
    ) -> Sending<(ChunkId, SnapshotRoot)> {
        let (encoders, source) = (EncoderBench::default(), Prefetching::new(self.source, scope));
        let assembler = FileAssembler { source: &source, pool: self.pool, encoders: &encoders };
        let mut feeder = Feeder::new(self.pipeline, scope);
        let mut manifest = ManifestWriter::new(self.target.hasher());
        let mut reference = self.reference.map(|root| root.rows(self.target));
        let mut rows = self.snapshot.rows(self.source);
        while let Some(mut entry) = rows.next_row().map_err(Stop::source)? {
            self.pipeline.check()?;
            self.target.runtime().go_on()?;
            if !entry.recipe.is_empty() {
                let before = self.before(&mut reference, &entry.path);
                let path = Path::new(std::ffi::OsStr::from_bytes(&entry.path)).to_path_buf();
                self.progress.at(&path);
                if let Some(before) = before.as_ref().filter(|before| self.is_same(&entry, before)) {
                    (entry.recipe, entry.avro) = (before.recipe.clone(), before.avro.clone());
                    report.files_known += 1;
                    self.progress.bytes(entry.size);
                } else {
                    feeder.begin_file(before.as_ref().map(|before| &before.recipe[..]));
                    let mut transfer = Transfer {
                        from: self.source,
                        source: &source,
                        feeder: &mut feeder,
                        names,
                        schemas: self.schemas,
                        progress: self.progress,
                        sent,
                        unreported: entry.size,
                    };
                    let done = self.file(&mut entry, &assembler, &mut transfer);
                    done.map_err(|stop| stop.about(&entry.path))?;
                }
                self.progress.files(1);
                self.progress.done(&path);
            }
            manifest.push(&entry, &mut feeder)?;
        }
        let all_paths = self.snapshot.all_paths(self.source).map_err(Stop::source)?;
        let (paths, path_list) = put_paths(&all_paths, &mut feeder)?;
        let manifest = manifest.finish(&mut feeder)?;
        let root = SnapshotRoot { manifest, paths, path_list, ..self.snapshot.clone() };
        let id = feeder.put(ChunkKind::Root, root.encode())?;
        feeder.finish();
        Ok((id, root))
    }

    /// Sends what a file needs, and puts the recipe that it has in the target into its row.
    fn file(
        &self,
        entry: &mut FileEntry,
        assembler: &FileAssembler<'_, Prefetching<'_, '_>>,
        transfer: &mut Transfer<'_, '_, '_, '_>,
    ) -> Sending<()> {
        let name = format!("the recipe of {}", String::from_utf8_lossy(&entry.path));
        let recipe = Recipe::decode(&entry.recipe).in_object(&name).map_err(Stop::source)?;
        if let Some(facts) = &entry.avro {
            transfer.feeder.schema(facts.fingerprint);
        }
        if has_corrections(&recipe) && !self.source.is_encrypted() {
            // Anyone who can write there could have forged them, and here they would count as authentic.
            let reason = "it names corrections, which no unencrypted repository has";
            return Err(Stop::source(Error::damaged(name, reason)));
        }
        if has_corrections(&recipe) && !self.target.is_encrypted() {
            let (cut, is_meant) = (self.target.cut_params(), |encoder: &str| tail_after_corrections(encoder).is_some());
            let again = take_apart_again(assembler, entry, cut, &is_meant, self.progress, transfer.feeder);
            let again = again.map_err(|error| match self.pipeline.check() {
                Ok(()) => Stop::source(error),
                Err(_) => Stop::Target(error),
            })?;
            transfer.sent.bytes += entry.size;
            (entry.recipe, entry.avro) = (again.recipe, Some(again.facts));
            return Ok(());
        }
        entry.recipe = transfer.recipe(&recipe)?.encode();
        self.progress.bytes(transfer.unreported);
        Ok(())
    }

    /// The row of this path in the reference. If that cannot be read, it is done without.
    fn before(&self, reference: &mut Option<ManifestReader<&Repository>>, path: &[u8]) -> Option<FileEntry> {
        match parent_row(reference.as_mut()?, path) {
            Ok(row) => row.filter(|row| row.kind == EntryKind::File && !row.recipe.is_empty()),
            Err(error) => {
                let message = format!("files are compared with no other copy, its manifest cannot be read: {error}");
                self.progress.warning(&Warning { path: "manifest".into(), message, incomplete: false });
                *reference = None;
                None
            }
        }
    }

    /// Whether a row of the target makes the same file in the same way.
    fn is_same(&self, entry: &FileEntry, before: &FileEntry) -> bool {
        entry.content.is_some()
            && entry.content == before.content
            && entry.size == before.size
            && match (&entry.avro, &before.avro) {
                (None, None) => true,
                (Some(facts), Some(before)) => self.is_kept_alike(facts, before),
                _ => false,
            }
    }

    fn is_kept_alike(&self, facts: &AvroFacts, before: &AvroFacts) -> bool {
        match facts.blocks_corrected > 0 && !self.target.is_encrypted() {
            false => facts == before,
            true => facts.blocks_exact == before.blocks_exact && before.blocks_corrected == 0,
        }
    }
}

/// Whether a file is made with corrections.
fn has_corrections(recipe: &Recipe) -> bool {
    match recipe {
        Recipe::Plain(_) => false,
        Recipe::Container(container) => {
            container.corrections != Stream::Empty
                || container.encoders.iter().any(|encoder| tail_after_corrections(encoder).is_some())
        }
    }
}
