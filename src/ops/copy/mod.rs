//! Snapshots of one repository, added to another one. They keep their ids, so a copy is known by its name.
//!
//! What a file needs is sent piece by piece (`transfer.rs`), through the pipeline that new files take, too. A file that
//! the last copy of its series has with the same content takes over what that says: the snapshot is live, so all that it
//! rests on is there.

mod run;
mod transfer;

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Instant;

use run::{CopyRun, Stop};
use transfer::{Names, Sent};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::SnapshotId;
use crate::ingest::AnchorPrimer;
use crate::ingest::Pipeline;
use crate::ingest::SchemaCache;
use crate::ops::select::Listing;
use crate::progress::{Phase, Progress};
use crate::snapshot::SnapshotRoot;
use crate::store::{ATTEMPTS, Compression, Repository, Since, State, Writer, since};
use crate::values;

/// How to copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct CopyOptions {
    /// How new data is compressed; as is set for the target if none.
    pub compression: Option<Compression>,
}

impl CopyOptions {
    values::setters! {
        is compression: Option<Compression>;
    }
}

/// Which snapshots are copied, and which are there already.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CopyPlan {
    /// These, the oldest first.
    pub copy: Vec<SnapshotRoot>,
    /// These are in the target.
    pub present: Vec<SnapshotId>,
    /// These were in the target and were removed there.
    pub removed: Vec<SnapshotId>,
}

impl CopyPlan {
    /// Finds out which of these snapshots are to be copied into a repository in this state. What was removed there stays
    /// away, unless it is asked for `by_name`: the target may keep less than its source.
    pub fn new(chosen: Vec<SnapshotRoot>, target: &State, by_name: bool) -> Self {
        let present: HashSet<SnapshotId> = target.snapshots.iter().map(|record| record.id).collect();
        let removed: HashSet<SnapshotId> = target.removed.iter().map(|removed| removed.record.id).collect();
        let (mut plan, mut met) = (Self::default(), HashSet::new());
        for root in chosen.into_iter().filter(|root| met.insert(root.id)) {
            match () {
                () if present.contains(&root.id) => plan.present.push(root.id),
                () if removed.contains(&root.id) && !by_name => plan.removed.push(root.id),
                () => plan.copy.push(root),
            }
        }
        plan.copy.sort_by_key(|root| root.time);
        plan
    }
}

/// Result for one snapshot.
#[derive(Debug)]
pub enum Copied {
    /// It is in the target.
    Done(CopyReport),
    /// It is there, and somebody else did it.
    Present,
    /// It is lost or damaged in the source, whatever was appended to its log meanwhile, and is not in the target.
    Failed {
        /// The file concerned; none if it is the manifest.
        path: Option<Vec<u8>>,
        /// Why it was not copied.
        error: Error,
    },
    /// It was removed from the source meanwhile.
    Removed,
}

/// What copying a snapshot came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CopyReport {
    /// Files of which nothing had to be looked at, since a copy that was made before has them.
    pub files_known: u64,
    /// Pieces of files that were read from the source, ...
    pub chunks_read: u64,
    /// ... and how many bytes they have.
    pub bytes_read: u64,
    /// Chunks that were not in the target before.
    pub chunks_new: u64,
    /// Bytes that this added to the target, all kinds of objects.
    pub bytes_added: u64,
    /// How long it took, in seconds.
    pub duration_secs: f64,
}

impl CopyReport {
    /// Adds what another snapshot came to.
    pub fn add(&mut self, other: &Self) {
        self.files_known += other.files_known;
        self.chunks_read += other.chunks_read;
        self.bytes_read += other.bytes_read;
        self.chunks_new += other.chunks_new;
        self.bytes_added += other.bytes_added;
        self.duration_secs += other.duration_secs;
    }
}

/// Copies snapshots from one repository to another.
pub struct Copier<'r> {
    source: &'r Repository,
    target: &'r Repository,
    options: CopyOptions,
    names: Names<'r>,
    schemas: SchemaCache,
    /// The snapshots of the target, as far as they can be read.
    known: Vec<SnapshotRoot>,
}

impl std::fmt::Debug for Copier<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Copier({:?} to {:?})", self.source, self.target)
    }
}

impl<'r> Copier<'r> {
    /// Ready to copy.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if both are one repository.
    pub fn new(source: &'r Repository, target: &'r Repository, options: CopyOptions) -> Result<Self> {
        if source.id() == target.id() {
            return Err(Error::argument(
                "target",
                format!("both are repository {}: it has its snapshots already", source.id()),
            ));
        }
        let (names, known) = (Names::new(source, target), Listing::read(target).snapshots);
        Ok(Self { source, target, options, names, schemas: SchemaCache::default(), known })
    }

    /// Copies a snapshot. Its root says which tags the copy has.
    ///
    /// # Errors
    /// Errors of the target, and those of the source that are no damage. What was stored until then is used by the next
    /// attempt.
    pub fn copy(&mut self, snapshot: &SnapshotRoot, progress: &dyn Progress) -> Result<Copied> {
        let mut snapshot = Cow::Borrowed(snapshot);
        for _ in 0..ATTEMPTS {
            let copied = self.attempt(&snapshot, progress)?;
            if !matches!(copied, Copied::Failed { .. }) {
                return Ok(copied);
            }
            match since(self.source, &snapshot)? {
                Since::Removed => return Ok(Copied::Removed),
                Since::Replaced(root) => snapshot = Cow::Owned(*root),
                Since::Same => return Ok(copied),
            }
        }
        self.attempt(&snapshot, progress)
    }

    /// Copies a snapshot as this root of it has it.
    fn attempt(&mut self, snapshot: &SnapshotRoot, progress: &dyn Progress) -> Result<Copied> {
        let began = Instant::now();
        // First of all, as in `create`: what is condemned from here on is noticed at the end.
        let writer = Writer::new(self.target)?;
        writer.refuse_if_away()?;
        let state = self.target.state();
        if state.snapshots.iter().any(|record| record.id == snapshot.id) {
            return Ok(Copied::Present);
        }
        let reference = if writer.lost_packs() { None } else { self.reference(&state, snapshot)? };
        let primer = AnchorPrimer::new(self.target, reference.clone());
        let compression = self.target.settings().compression_level(self.options.compression);
        let threads = self.target.runtime().threads();
        let pipeline = Pipeline::new(self.target, writer, primer, compression, false, threads);
        progress.begin(Phase::Copy, Some(snapshot.totals.files), Some(snapshot.totals.bytes));
        let (mut report, mut sent) = (CopyReport::default(), Sent::default());
        let run = CopyRun {
            source: self.source,
            target: self.target,
            pipeline: &pipeline,
            pool: self.target.runtime().compute()?,
            schemas: &self.schemas,
            snapshot,
            reference: reference.as_ref(),
            progress,
        };
        let (pool, names) = (self.target.runtime().compute()?, &self.names);
        let done = pool.in_place_scope(|scope| run.store(scope, names, &mut report, &mut sent));
        self.names.remember();
        let (root, made) = match done.and_then(|done| Ok(pipeline.check().map(|()| done)?)) {
            Ok(done) => done,
            Err(stop) => {
                pipeline.abandon();
                return match stop {
                    Stop::Source { path, error } => Ok(Copied::Failed { path, error }),
                    Stop::Target(error) => Err(error),
                };
            }
        };
        report.chunks_new = pipeline.chunks_new();
        report.bytes_added = match pipeline.commit(snapshot.id, root) {
            Ok(committed) => committed.bytes_added,
            Err(Error::SnapshotExists { .. }) => return Ok(Copied::Present),
            Err(error) => return Err(error),
        };
        self.put_tags(snapshot)?;
        self.known.push(made);
        (report.chunks_read, report.bytes_read) = (sent.chunks, sent.bytes);
        report.duration_secs = began.elapsed().as_secs_f64();
        Ok(Copied::Done(report))
    }

    /// The live snapshot of the target that is most likely to have the same files, and is whole.
    fn reference(&self, state: &State, snapshot: &SnapshotRoot) -> Result<Option<SnapshotRoot>> {
        let live: HashSet<SnapshotId> = state.snapshots.iter().map(|record| record.id).collect();
        let unlike = |root: &&SnapshotRoot| {
            (root.series != snapshot.series, root.time > snapshot.time, root.time.abs_diff(snapshot.time))
        };
        let nearest = self.known.iter().filter(|root| live.contains(&root.id)).min_by_key(unlike);
        match nearest {
            Some(root) if state.standing.has_damage() && !self.target.is_whole(root.id)? => Ok(None),
            nearest => Ok(nearest.cloned()),
        }
    }

    /// A snapshot that was removed comes back with the tags that it had; a copy has those of its source.
    fn put_tags(&self, snapshot: &SnapshotRoot) -> Result<()> {
        let state = self.target.state();
        let record = state.snapshots.iter().find(|record| record.id == snapshot.id);
        match record.and_then(|record| record.tags.as_ref()) {
            Some(tags) if *tags != snapshot.tags => self.target.log().set_tags(snapshot.id, &snapshot.tags).map(drop),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChunkId;
    use crate::store::{RemovedSnapshot, SnapshotRecord};

    fn root(id: u8, time: i64) -> SnapshotRoot {
        SnapshotRoot {
            series: "s".into(),
            host: "h".into(),
            user: "anna".into(),
            time,
            program: "snap".into(),
            ..SnapshotRoot::nothing(SnapshotId::new([id; 16]))
        }
    }

    #[test]
    fn what_is_there_is_passed_over_and_what_was_removed_comes_back_by_name_only() {
        let record = |id: u8| SnapshotRecord {
            id: SnapshotId::new([id; 16]),
            root: ChunkId::new([id; 32]),
            added: 1,
            tags: None,
        };
        let target = State {
            snapshots: vec![record(1)],
            removed: vec![RemovedSnapshot { record: record(2), entry: 5, time: 0 }],
            ..State::default()
        };
        let chosen = || vec![root(3, 30), root(1, 1), root(2, 20), root(4, 10), root(3, 30)];
        let ids = |plan: &CopyPlan| plan.copy.iter().map(|root| root.id.as_bytes()[0]).collect::<Vec<_>>();
        let all = CopyPlan::new(chosen(), &target, false);
        assert_eq!(ids(&all), [4, 3]);
        assert_eq!((all.present.len(), all.removed.clone()), (1, vec![SnapshotId::new([2; 16])]));
        let named = CopyPlan::new(chosen(), &target, true);
        assert_eq!((ids(&named), named.removed.len()), (vec![4, 2, 3], 0));
    }
}
