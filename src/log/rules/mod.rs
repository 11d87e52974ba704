//! The rule of each kind of entry, side by side (`snapshots`, `runs`, `packs`, `keys`): what has to be true of the very state that the
//! entry follows. Nothing else can be appended.
//!
//! A rule is asked again in each attempt, since another process may have appended meanwhile. What it has to know of the rest
//! of the repository (what a root reaches, where that lies, what is damaged), the log cannot know: a [`Follower`], a
//! [`Foundation`] or a [`Collection`] answers it, for that state.

mod keys;
mod packs;
mod runs;
mod snapshots;

pub use runs::Addition;

use super::{Features, Log, ReplaceReason, RootReplacement, State};
use crate::error::{Error, Result};
use crate::id::{ChunkId, IndexId, PackId, SnapshotId};

/// Packs, and the numbers of their frames; no frames stand for all of a pack.
pub type LostFrames = Vec<(PackId, Vec<u32>)>;

/// What is kept beside the log and has to follow it: the local index.
pub trait Follower {
    /// Takes in what the log says by now. It was read on before.
    ///
    /// # Errors
    /// Errors of reading what the log names.
    fn follow_log(&self) -> Result<()>;
}

/// Nothing follows: for rules that ask for nothing beside the log.
impl Follower for () {
    fn follow_log(&self) -> Result<()> {
        Ok(())
    }
}

/// What a run that adds snapshots or replaces roots rests on.
pub trait Foundation: Follower {
    /// The last loss ([`State::last_loss`]) as of which all that the run rests on was stored for good.
    fn secured_at(&self) -> u64;

    /// All that the run rests on is stored for good as of this loss.
    fn set_secured_at(&self, last_loss: u64);

    /// Makes sure that all that a root reaches can be rebuilt, by this state, from packs that count; what lies in condemned
    /// packs only is copied. What the root `before` reached as well may be lost: it was so before.
    ///
    /// # Errors
    /// [`Error::Pruned`] if something cannot be had any more.
    fn secure(&self, state: &State, snapshot: SnapshotId, root: &ChunkId, before: Option<&ChunkId>) -> Result<()>;

    /// Index objects that this run published, or that the index has learned of since. Something may rest on what the latter
    /// name, and their writer may not live to name them.
    ///
    /// # Errors
    /// [`Error::Cache`] if the local index fails.
    fn index_objects(&self) -> Result<Vec<IndexId>>;
}

/// What a run that replaces roots rests on.
pub trait NewRoots: Foundation {
    /// Makes sure that a new root is a later one of the same snapshot, with the same content where the reason says so.
    ///
    /// # Errors
    /// [`Error::RootRefused`] if it is not.
    fn check(&self, reason: ReplaceReason, replacement: &RootReplacement) -> Result<()>;
}

/// What is to be condemned, and which index objects take the place of which.
#[derive(Debug, Default)]
pub struct Condemnation {
    /// Index objects that were not named before, of what took the place of the packs.
    pub added: Vec<IndexId>,
    /// Index objects that are not to be read any more.
    pub superseded: Vec<IndexId>,
}

/// A garbage collection.
pub trait Collection {
    /// The packs that go: without them all that snapshots reach stays as rebuildable, by this state, as it is.
    ///
    /// # Errors
    /// Where what snapshots reach cannot be followed.
    fn unneeded(&mut self, state: &State) -> Result<Vec<PackId>>;

    /// Puts index objects in order where these packs go: every pack that counts stays named.
    ///
    /// # Errors
    /// Errors of writing index objects.
    fn reindex(&mut self, state: &State, packs: &[PackId]) -> Result<Condemnation>;
}

/// Whether the repository may be written at all.
impl Log {
    /// A log that was rolled back is read only: an entry would make a second history of the same repository.
    pub(in crate::log) fn refuse_rolled_back(&self) -> Result<()> {
        let Some(reason) = self.rolled_back() else { return Ok(()) };
        let reason = format!("{reason}; it is read all the same, but nothing is written to it");
        Err(Error::RolledBack { repository: self.repository(), reason })
    }

    /// Refuses to write where that needs what this version does not know.
    ///
    /// # Errors
    /// [`Error::RolledBack`], [`Error::Unsupported`].
    pub fn check_writable(&self) -> Result<()> {
        self.refuse_rolled_back()?;
        Features::check(self.features().write, Features::KNOWN.write, "to write into")
    }

    /// Refuses to delete anything where that needs what this version does not know.
    ///
    /// # Errors
    /// As of [`check_writable`](Log::check_writable).
    pub fn check_collectable(&self) -> Result<()> {
        self.check_writable()?;
        Features::check(self.features().gc, Features::KNOWN.gc, "to collect garbage in")
    }
}

#[cfg(test)]
mod tests;
