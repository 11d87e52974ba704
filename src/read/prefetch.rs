//! Decoding frames before they are asked for, so that one large file keeps all cores busy.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::chunk::ChunkSource;
use crate::error::Result;
use crate::id::ChunkId;
use crate::store::{FrameKey, Repository};

/// The repository, with frames decoded ahead by the threads of a pool.
pub(crate) struct Prefetching<'p, 's> {
    repository: &'p Repository,
    scope: &'s rayon::Scope<'p>,
    /// Frames that were asked for lately: most chunks that come next lie in the same ones.
    lately: Mutex<VecDeque<FrameKey>>,
    /// How many frames are asked for at once.
    together: usize,
    /// Frames that wait for more, to be asked for with them.
    waiting: Mutex<Vec<FrameKey>>,
}

/// How many frames are asked for at once where the storage is far away: some MiB, and no more than what is read ahead of one file.
const TOGETHER: usize = 4;

/// How many frames are remembered as asked for.
const LATELY: usize = 64;

impl<'p, 's> Prefetching<'p, 's> {
    pub(crate) fn new(repository: &'p Repository, scope: &'s rayon::Scope<'p>) -> Self {
        let together = if repository.is_far() { TOGETHER } else { 1 };
        Self { repository, scope, lately: Mutex::default(), together, waiting: Mutex::default() }
    }

    /// Asks for a frame, or for several once there are enough.
    fn ask(&self, key: FrameKey) {
        let repository = self.repository;
        if self.together == 1 {
            self.scope.spawn(move |_| repository.reader().prefetch(key));
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(key);
        if waiting.len() >= self.together {
            let keys = std::mem::take(&mut *waiting);
            drop(waiting);
            self.scope.spawn(move |_| prefetch(repository, &keys));
        }
    }

    /// If the chunk lies in a frame that waits for more, there is nothing to wait for any longer.
    fn ask_at_last(&self, id: &ChunkId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() {
            return;
        }
        let is_waiting =
            self.repository.catalog().frame_of(id).is_ok_and(|key| key.is_some_and(|key| waiting.contains(&key)));
        let keys = if is_waiting { std::mem::take(&mut *waiting) } else { Vec::new() };
        drop(waiting);
        prefetch(self.repository, &keys);
    }
}

/// Reads frames at once. Deltas read what they rest on, each by itself.
fn prefetch(repository: &Repository, keys: &[FrameKey]) {
    for delta in repository.reader().prefetch_frames(keys) {
        repository.reader().prefetch(delta);
    }
}

impl ChunkSource for Prefetching<'_, '_> {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        if self.together > 1 {
            self.ask_at_last(id);
        }
        self.repository.get(id)
    }

    fn will_need(&self, id: &ChunkId) {
        // What cannot be found is reported when it is really asked for.
        let Ok(Some(key)) = self.repository.catalog().frame_of(id) else { return };
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.contains(&key) {
            return;
        }
        if lately.len() >= LATELY {
            lately.pop_front();
        }
        lately.push_back(key);
        drop(lately);
        self.ask(key);
    }
}
