//! Starting threads. The system may allow fewer than are wanted (`ulimit -u`, limits of a container): then the work is done
//! with those that there are, and where not even one can be started, that is an error like any other.

use std::thread::{Builder, Scope};

use crate::error::{Cause, Error, Result};

/// A pool of this many threads, or of as many as the system allows.
///
/// # Errors
/// If there cannot be even one.
pub(super) fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    let mut wanted = threads.max(1);
    loop {
        match rayon::ThreadPoolBuilder::new().num_threads(wanted).build() {
            Ok(pool) => return Ok(pool),
            Err(_) if wanted > 1 => wanted /= 2,
            Err(error) => return Err(none(error)),
        }
    }
}

/// Starts a thread.
///
/// # Errors
/// If the system allows no more.
pub(crate) fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, work: impl FnOnce() + Send + 'scope) -> Result<()> {
    Builder::new().spawn_scoped(scope, work).map(drop).map_err(none)
}

/// Starts several threads, each with work that `make` makes; with fewer, if the system allows no more.
///
/// # Errors
/// If there cannot be even one.
pub(crate) fn spawn_many<'scope, W: FnOnce() + Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    threads: usize,
    mut make: impl FnMut() -> W,
) -> Result<()> {
    for started in 0..threads.max(1) {
        match spawn(scope, make()) {
            Err(error) if started == 0 => return Err(error),
            Err(_) => break,
            Ok(()) => {}
        }
    }
    Ok(())
}

fn none(source: impl Into<Cause>) -> Error {
    Error::Exhausted { what: "threads", source: source.into() }
}
