//! One thing that goes wrong, at an operation of one's choice.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use avro_snap::error::{Error, Result};
use avro_snap::storage::{Backend, Created, Kind, Memory, Name};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// The machine dies at the n-th operation that changes anything: before it, or with it done.
    Death { done: bool },
    /// The n-th operation of any kind fails, and nothing else does.
    Once { done: bool },
    /// The n-th operation and all after it fail.
    ForEver,
    /// From the n-th object on there is no room.
    NoSpace,
}

#[derive(Debug)]
pub struct Trouble {
    inner: Memory,
    mishap: Mishap,
    left: AtomicUsize,
    hit: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Look,
    Create,
    Delete,
}

impl Trouble {
    pub fn new(inner: &Memory, mishap: Mishap, operations: usize) -> Self {
        Self { inner: inner.clone(), mishap, left: AtomicUsize::new(operations), hit: AtomicBool::new(false) }
    }

    /// Whether it came to that.
    pub fn hit(&self) -> bool {
        self.hit.load(Ordering::SeqCst)
    }

    fn operation<T>(&self, what: What, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let counts = match self.mishap {
            Mishap::Death { .. } => what != What::Look,
            Mishap::Once { .. } | Mishap::ForEver => true,
            Mishap::NoSpace => what == What::Create,
        };
        let wrong = |error: io::Error| Err(Error::io("use", Path::new("storage"), error));
        if matches!(self.mishap, Mishap::Death { .. } | Mishap::ForEver) && self.hit() {
            return wrong(io::Error::other("nothing works any more"));
        }
        let is_due =
            counts && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if !is_due {
            return work();
        }
        let before = self.hit.swap(true, Ordering::SeqCst);
        match self.mishap {
            Mishap::Once { .. } if before => return work(),
            Mishap::NoSpace => return wrong(io::ErrorKind::StorageFull.into()),
            Mishap::Death { done: true } | Mishap::Once { done: true } => drop(work()),
            _ => {}
        }
        wrong(io::Error::other("injected failure"))
    }
}

impl Backend for Trouble {
    fn location(&self) -> String {
        "trouble".into()
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        self.operation(What::Create, || self.inner.create(name, bytes))
    }

    fn read(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
        self.operation(What::Look, || self.inner.read(name, limit))
    }

    fn read_range(&self, name: &Name, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.operation(What::Look, || self.inner.read_range(name, offset, length))
    }

    fn size(&self, name: &Name) -> Result<Option<u64>> {
        self.operation(What::Look, || self.inner.size(name))
    }

    fn list(&self, kind: Kind, each: &mut dyn FnMut(Name, u64) -> Result<()>) -> Result<()> {
        self.operation(What::Look, || self.inner.list(kind, each))
    }

    fn settle(&self, name: &Name) -> Result<()> {
        self.operation(What::Look, || self.inner.settle(name))
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.operation(What::Delete, || self.inner.delete(name))
    }
}

/// Another storage with the same objects.
pub fn copy_of(memory: &Memory) -> Memory {
    let copy = Memory::new();
    for kind in Kind::ALL {
        memory.list(kind, &mut |name, length| copy.create(&name, &memory.read(&name, length)?).map(drop)).unwrap();
    }
    copy
}
