//! What the work on a repository runs on: a pool for computing, threads, the gates that bound what waits between them, and
//! the token that ends the work.

mod cancel;
mod gate;
mod threads;

use std::sync::{Arc, OnceLock};

pub use cancel::CancelToken;

pub(crate) use gate::Gate;
use threads::pool;
pub(crate) use threads::{spawn, spawn_many};

use crate::error::Result;

/// What the work on one or several repositories runs on. Clones share it.
#[derive(Debug, Clone)]
pub struct Runtime(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    threads: usize,
    compute: OnceLock<rayon::ThreadPool>,
    cancel: CancelToken,
}

impl Default for Runtime {
    /// A thread for each core.
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from), CancelToken::default())
    }
}

impl Runtime {
    /// This many threads for computing (at least one), and as many files that are read or written at once. None is
    /// started before there is work. The work ends soon after `cancel` says so.
    pub fn new(threads: usize, cancel: CancelToken) -> Self {
        Self(Arc::new(Shared { threads: threads.max(1), compute: OnceLock::new(), cancel }))
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.0.threads
    }

    /// The token that ends all work of this runtime.
    pub fn cancel_token(&self) -> &CancelToken {
        &self.0.cancel
    }

    /// Fails once the work is to end.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::error::Error::Interrupted)
    pub(crate) fn go_on(&self) -> Result<()> {
        self.0.cancel.check()
    }

    /// The pool for computing.
    ///
    /// # Errors
    /// If the system allows no thread.
    pub(crate) fn compute(&self) -> Result<&rayon::ThreadPool> {
        if let Some(compute) = self.0.compute.get() {
            return Ok(compute);
        }
        let made = pool(self.0.threads)?;
        // Another thread may have made one just now: then that one is used.
        Ok(self.0.compute.get_or_init(|| made))
    }
}
