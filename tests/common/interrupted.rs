//! A storage on which somebody else comes in between, at an operation of one's choice.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use avro_snap::error::Result;
use avro_snap::storage::{Backend, Created, Kind, Name};

/// A backend that does something else just before its n-th operation.
pub struct Interrupted {
    inner: Arc<dyn Backend>,
    left: AtomicUsize,
    action: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interrupted({:?})", self.inner)
    }
}

impl Interrupted {
    pub fn new(inner: &Arc<dyn Backend>, operations: usize, action: impl FnOnce() + Send + 'static) -> Arc<Self> {
        let action = Mutex::new(Some(Box::new(action) as Box<dyn FnOnce() + Send>));
        Arc::new(Self { inner: inner.clone(), left: AtomicUsize::new(operations), action })
    }

    fn step(&self) -> &dyn Backend {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            let action = self.action.lock().unwrap().take();
            if let Some(action) = action {
                action();
            }
        }
        &*self.inner
    }

    pub fn happened(&self) -> bool {
        self.action.lock().unwrap().is_none()
    }
}

impl Backend for Interrupted {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn prepare(&self) -> Result<()> {
        self.step().prepare()
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        self.step().create(name, bytes)
    }

    fn read(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
        self.step().read(name, limit)
    }

    fn read_range(&self, name: &Name, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.step().read_range(name, offset, length)
    }

    fn size(&self, name: &Name) -> Result<Option<u64>> {
        self.step().size(name)
    }

    fn list(&self, kind: Kind, each: &mut dyn FnMut(Name, u64) -> Result<()>) -> Result<()> {
        self.step().list(kind, each)
    }

    fn settle(&self, name: &Name) -> Result<()> {
        self.step().settle(name)
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.step().delete(name)
    }
}
