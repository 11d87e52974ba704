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
}

/// How many frames are remembered as asked for.
const LATELY: usize = 64;

impl<'p, 's> Prefetching<'p, 's> {
    pub(crate) fn new(repository: &'p Repository, scope: &'s rayon::Scope<'p>) -> Self {
        Self { repository, scope, lately: Mutex::default() }
    }
}

impl ChunkSource for Prefetching<'_, '_> {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
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
        let repository = self.repository;
        self.scope.spawn(move |_| repository.reader().prefetch(key));
    }
}
