//! Ending work from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Ends all work that runs on it: what is done stays done, and the repository is as sound as before. Clones are the same
/// token. It may be set from any thread.
///
/// Work ends with [`Error::Interrupted`], at the next chunk that it reads or the next file that it begins.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Ends the work. There is no way back.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the work is to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails once the work is to end.
    ///
    /// # Errors
    /// [`Error::Interrupted`]
    pub fn check(&self) -> Result<()> {
        match self.is_cancelled() {
            true => Err(Error::Interrupted),
            false => Ok(()),
        }
    }
}
