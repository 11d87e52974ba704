//! Finding the files of a snapshot that an encoder of today makes. Rows and recipes say which may be; of those the first blocks are
//! tried.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::OptimizeOptions;
use super::known::{Fate, Known, StoredFile};
use crate::error::Result;
use crate::files::Pattern;
use crate::id::{ChunkId, ContentHash};
use crate::ingest::may_settle;
use crate::recipe::{Recipe, Tree, TreeReader};
use crate::snapshot::entry::{AvroFacts, EntryKind, FileEntry, path_order};
use crate::snapshot::{ManifestReader, SnapshotRoot};
use crate::store::Repository;

/// What is to be done about a snapshot, or a part of it.
#[derive(Debug, Default)]
pub(super) struct Todo {
    /// Files to store again, each content once.
    pub(super) files: Vec<FileEntry>,
    contents: HashSet<ContentHash>,
    /// Files that were stored again for another snapshot.
    pub(super) ready: HashMap<ContentHash, Arc<StoredFile>>,
    /// How many bytes the files have.
    pub(super) bytes: u64,
    /// The last path that was looked at, where there is more after it.
    pub(super) stopped_after: Option<Vec<u8>>,
}

/// How many files are stored again before that is committed, however small they are: their recipes are in memory until then.
const MOST_FILES: usize = 16_384;

/// How many contents, and how many chunks of rows, are remembered from snapshot to snapshot.
const KNOWN: usize = 32_768;
const IDLE: usize = 1 << 20;

/// What was seen of all snapshots so far.
pub(super) struct Survey<'r> {
    repository: &'r Repository,
    options: &'r OptimizeOptions,
    pub(super) known: Known,
    /// Chunks of rows in which there is nothing to do: snapshots share most of theirs.
    idle: HashSet<ChunkId>,
    /// The encoder that made the last file of a schema, by its fingerprint.
    winners: HashMap<u64, String>,
}

/// Tries the first blocks of a file: whether it is worth it to store it again.
pub(super) type Try<'t> = dyn FnMut(&FileEntry, Option<&str>) -> Result<bool> + 't;

impl<'r> Survey<'r> {
    pub(super) fn new(repository: &'r Repository, options: &'r OptimizeOptions) -> Self {
        let known = Known::new(KNOWN);
        Self { repository, options, known, idle: HashSet::new(), winners: HashMap::new() }
    }

    /// Looks through the rows of a snapshot after a path, until there is enough to do.
    pub(super) fn look(&mut self, root: &SnapshotRoot, after: Option<&[u8]>, attempt: &mut Try<'_>) -> Result<Todo> {
        let mut todo = Todo::default();
        let Some(manifest) = &root.manifest else { return Ok(todo) };
        let mut leaves = TreeReader::new(manifest, self.repository);
        while let Some(leaf) = leaves.next_piece()? {
            self.repository.runtime().go_on()?;
            if self.idle.contains(&leaf.id) {
                continue;
            }
            let id = leaf.id;
            let mut is_idle = true;
            let leaf = Tree { root: leaf, height: 0 };
            let mut rows = ManifestReader::new(Some(&leaf), self.repository);
            while let Some(row) = rows.next_row()? {
                if after.is_some_and(|after| path_order(&row.path, after).is_le()) {
                    is_idle = false;
                    continue;
                }
                let path = row.path.clone();
                is_idle &= !self.judge(row, root, &mut todo, attempt)?;
                if self.is_enough(&todo) {
                    todo.stopped_after = Some(path);
                    return Ok(todo);
                }
            }
            if is_idle && self.idle.len() < IDLE {
                self.idle.insert(id);
            }
        }
        Ok(todo)
    }

    fn is_enough(&self, todo: &Todo) -> bool {
        let bytes = self.options.commit_every.unwrap_or(OptimizeOptions::COMMIT_EVERY);
        todo.files.len() + todo.ready.len() >= MOST_FILES || (todo.bytes >= bytes && !todo.files.is_empty())
    }

    /// Adds a row to what is to be done, if anything is; returns whether it is.
    fn judge(&mut self, row: FileEntry, root: &SnapshotRoot, todo: &mut Todo, attempt: &mut Try<'_>) -> Result<bool> {
        let Some(content) = row.content else { return Ok(false) };
        let Some(facts) = row.avro.as_ref().filter(|_| row.kind == EntryKind::File) else { return Ok(false) };
        if !self.concerns(&row) {
            // It may be what an interrupted run has made of a file that other snapshots have as it was.
            if root.revision > 0 && facts.blocks_exact > 0 && facts.encoder != "null" {
                self.settled(content, row.recipe.clone(), facts.clone());
            }
            return Ok(false);
        }
        if todo.ready.contains_key(&content) || todo.contents.contains(&content) {
            return Ok(true);
        }
        match self.known.get(&content) {
            Some(Fate::Stays) => Ok(false),
            Some(Fate::Settled(stored)) => {
                let is_better = stored.is_better_than(facts);
                if is_better {
                    todo.ready.insert(content, stored);
                }
                Ok(is_better)
            }
            None => {
                let is_worth_it = attempt(&row, self.expected(facts).as_deref())?;
                if !is_worth_it {
                    self.known.put(content, Fate::Stays);
                    return Ok(false);
                }
                todo.bytes = todo.bytes.saturating_add(row.size);
                todo.contents.insert(content);
                todo.files.push(row);
                Ok(true)
            }
        }
    }

    /// Whether a file has blocks that an encoder may make.
    pub(super) fn concerns(&self, row: &FileEntry) -> bool {
        let included = self.options.include.is_empty() || Pattern::any(&self.options.include, &row.path);
        row.kind == EntryKind::File && included && row.avro.as_ref().is_some_and(may_settle)
    }

    /// A content is stored in another way now.
    pub(super) fn settled(&mut self, content: ContentHash, recipe: Vec<u8>, facts: AvroFacts) -> Arc<StoredFile> {
        if self.winners.len() >= KNOWN {
            self.winners.clear();
        }
        self.winners.insert(facts.fingerprint, facts.encoder.clone());
        let stored = Arc::new(StoredFile { recipe, facts });
        self.known.put(content, Fate::Settled(stored.clone()));
        stored
    }

    /// The encoder that is tried first for a file: its own, or that of the last one of its schema.
    pub(super) fn expected(&self, facts: &AvroFacts) -> Option<String> {
        match facts.encoder.is_empty() {
            true => self.winners.get(&facts.fingerprint).cloned(),
            false => Some(facts.encoder.clone()),
        }
    }
}

/// What the blocks of a file take that are kept whole.
pub(super) fn whole_bytes(row: &FileEntry) -> u64 {
    Recipe::decode(&row.recipe).map_or(0, |recipe| recipe.unsettled_bytes())
}
