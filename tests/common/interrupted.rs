//! A storage on which somebody else comes in between, at an operation of one's choice.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::hooked::{Hook, Hooked, Op};
use avro_snap::storage::{self, Backend};

/// A backend that does something else just before its n-th operation.
pub type Interrupted = Hooked<Interruption>;

pub struct Interruption {
    left: AtomicUsize,
    action: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Interrupted {
    pub fn at(inner: &Arc<dyn Backend>, operations: usize, action: impl FnOnce() + Send + 'static) -> Arc<Self> {
        let action = Mutex::new(Some(Box::new(action) as Box<dyn FnOnce() + Send>));
        Arc::new(Self::new(inner.clone(), Interruption { left: AtomicUsize::new(operations), action }))
    }

    pub fn happened(&self) -> bool {
        self.hook.action.lock().unwrap().is_none()
    }
}

impl Hook for Interruption {
    fn before(&self, op: Op<'_>) -> storage::Result<()> {
        let counts = !matches!(op, Op::Settle(_));
        if counts && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            let action = self.action.lock().unwrap().take();
            if let Some(action) = action {
                action();
            }
        }
        Ok(())
    }
}
