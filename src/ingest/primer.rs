//! Anchors of what was stored before, where the cache does not know them: it was deleted, or turned off, or the last
//! snapshot was made on another machine. Then the chunks that a file's new ones are probably like are read once, and
//! their anchors put in.
//!
//! Which these are is a guess: the same stretch of the file at this path in the last snapshot, else that of the files of
//! the same schema. A wrong guess costs the time to read them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::bases::has_bases;
use crate::chunk::anchors;
use crate::error::Result;
use crate::hints::PackedChunk;
use crate::id::ChunkId;
use crate::recipe::{Recipe, Stream, Tree, TreeReader};
use crate::snapshot::SnapshotRoot;
use crate::store::Repository;

/// How far beyond the stretch of the new chunk: rows may have been deleted before it.
const AHEAD: u64 = 8 << 20;

/// More files of a snapshot than this are not looked through for those of a schema.
const MOST_ROWS: usize = 100_000;

/// How many chunks are put in at once.
const BATCH: usize = 64;

/// Knows where to look.
pub(crate) struct AnchorPrimer<'r> {
    repository: &'r Repository,
    snapshot: Option<SnapshotRoot>,
    /// The files of the snapshot by their schema, once somebody asked.
    by_schema: Mutex<Option<HashMap<u64, CandidateStream>>>,
}

/// Chunks in the order in which new ones are probably like them.
#[derive(Default)]
struct CandidateStream {
    /// The streams that were not passed yet, and how far into the first of them it is.
    trees: VecDeque<Tree>,
    at: u64,
    /// How many bytes of streams were passed.
    passed: u64,
    /// How many bytes of new chunks there were, and in how many files.
    wanted: u64,
    files: usize,
    /// How many of its files were passed.
    passed_files: usize,
}

/// What one file is probably like.
#[derive(Default)]
pub(crate) struct SimilarityHint {
    /// The file of its name.
    own: Option<CandidateStream>,
    /// Else its schema's fingerprint, once it is known.
    schema: Option<u64>,
    /// Bytes of its streams so far.
    passed: u64,
    /// There was a new chunk in it.
    begun: bool,
}

impl<'r> AnchorPrimer<'r> {
    pub(crate) fn new(repository: &'r Repository, snapshot: Option<SnapshotRoot>) -> Self {
        Self { repository, snapshot, by_schema: Mutex::default() }
    }

    /// What a file is probably like whose row in the last snapshot has this recipe, if it has one there.
    pub(crate) fn hint(&self, recipe: Option<&[u8]>) -> SimilarityHint {
        let trees = recipe.map(|recipe| trees(recipe).collect::<VecDeque<_>>());
        let own = trees
            .filter(|trees| !trees.is_empty())
            .map(|trees| CandidateStream { trees, ..CandidateStream::default() });
        SimilarityHint { own, ..SimilarityHint::default() }
    }

    /// This many bytes of a file went by; `new` if they are to be stored. Then what they are probably like is at hand.
    pub(crate) fn pass(&self, hint: &mut SimilarityHint, bytes: u64, new: bool) {
        hint.passed += bytes;
        if !new {
            return;
        }
        // What goes wrong here costs space, nothing else.
        let _ = match (&mut hint.own, hint.schema) {
            (Some(stream), _) => stream.prime_up_to(self.repository, hint.passed, 0),
            (None, Some(schema)) => self.pass_schema(schema, bytes, !hint.begun),
            (None, None) => Ok(()),
        };
        hint.begun = true;
    }

    fn pass_schema(&self, schema: u64, bytes: u64, begins: bool) -> Result<()> {
        let mut by_schema = self.by_schema.lock().unwrap_or_else(PoisonError::into_inner);
        let streams = match &mut *by_schema {
            Some(streams) => streams,
            none => none.insert(self.streams()),
        };
        match streams.get_mut(&schema) {
            Some(stream) => {
                stream.wanted += bytes;
                stream.files += usize::from(begins);
                // Several files are stored at once: as many of the old ones are needed.
                stream.prime_up_to(self.repository, stream.wanted, stream.files)
            }
            None => Ok(()),
        }
    }

    fn streams(&self) -> HashMap<u64, CandidateStream> {
        let mut streams: HashMap<u64, CandidateStream> = HashMap::new();
        let Some(snapshot) = &self.snapshot else { return streams };
        let mut rows = snapshot.rows(self.repository);
        for _ in 0..MOST_ROWS {
            let Ok(Some(row)) = rows.next_row() else { break };
            if let Some(facts) = &row.avro {
                streams.entry(facts.fingerprint).or_default().trees.extend(self::trees(&row.recipe));
            }
        }
        streams
    }
}

impl SimilarityHint {
    /// The file is a container of this schema.
    pub(crate) fn schema(&mut self, fingerprint: u64) {
        self.schema = Some(fingerprint);
    }
}

impl CandidateStream {
    /// Sees to it that all chunks up to here, and a good way on, have anchors, and all chunks of a number of files.
    fn prime_up_to(&mut self, repository: &Repository, end: u64, files: usize) -> Result<()> {
        if self.passed >= end && self.passed_files >= files {
            return Ok(());
        }
        let mut batch = Vec::new();
        while let Some(tree) = self.trees.front()
            && (self.passed < end + AHEAD || self.passed_files < files)
        {
            let mut pieces = TreeReader::new(tree, repository);
            let mut before = self.at;
            pieces.skip_while(|reference| {
                let passed = reference.length <= before;
                before -= if passed { reference.length } else { 0 };
                passed
            })?;
            let mut ended = false;
            while (self.passed < end + AHEAD || self.passed_files < files) && !ended {
                let Some(piece) = pieces.next_piece()? else {
                    ended = true;
                    continue;
                };
                self.passed += piece.length;
                self.at += piece.length;
                if let Some(chunk) = unknown(repository, &piece.id)? {
                    let bytes = repository.reader().base(&piece.id)?;
                    batch.push((chunk, anchors(&bytes).into_iter().map(|anchor| anchor.hash).collect()));
                }
                if batch.len() >= BATCH {
                    repository.hints().remember_anchors(&std::mem::take(&mut batch));
                }
            }
            if ended {
                self.trees.pop_front();
                self.at = 0;
                self.passed_files += 1;
            }
        }
        repository.hints().remember_anchors(&batch);
        Ok(())
    }
}

/// The chunk, if its anchors are not in the cache.
fn unknown(repository: &Repository, id: &ChunkId) -> Result<Option<PackedChunk>> {
    let index = repository.catalog().index();
    let Some(location) = index.locate(id)?.first().copied() else { return Ok(None) };
    let info = index.pack(location.pack)?;
    let frame = info.frame(location.frame as usize)?;
    let chunk = PackedChunk { pack: location.pack.row(), chunk: frame.first + location.chunk };
    Ok((has_bases(frame.kind) && !repository.hints().is_anchored(chunk)).then_some(chunk))
}

/// The streams of a file whose chunks may become bases: records, or all of it.
fn trees(recipe: &[u8]) -> impl Iterator<Item = Tree> {
    let stream = Recipe::decode(recipe).ok().map(|recipe| match recipe {
        Recipe::Plain(stream) => stream,
        Recipe::Container(container) => container.records,
    });
    stream.into_iter().filter_map(|stream| if let Stream::Tree(tree) = stream { Some(tree) } else { None })
}
