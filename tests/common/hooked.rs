//! A backend of which every operation can be stopped: before it was done, or when it was done and the answer is lost.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, reason = "this is part of tests")]

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use avro_snap::storage::{
    Abilities, Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, PutTerms, Result, StorageError,
    StorageErrorKind,
};

/// An operation on one object, or on all of a kind. Batches are taken apart into these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    Prepare,
    Put(&'a Name, &'a [u8]),
    Read(&'a Name, ByteRange),
    Head(&'a Name),
    List(Kind),
    Delete(&'a Name),
    Settle(&'a Name),
}

impl Op<'_> {
    /// Whether it changes anything.
    pub fn changes(self) -> bool {
        matches!(self, Op::Prepare | Op::Put(..) | Op::Delete(_))
    }

    /// The kind of object that it is about.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Op::Prepare => None,
            Op::List(kind) => Some(kind),
            Op::Put(name, _) | Op::Read(name, _) | Op::Head(name) | Op::Delete(name) | Op::Settle(name) => {
                Some(name.kind())
            }
        }
    }
}

/// What happens around each operation.
pub trait Hook: Send + Sync {
    /// An error here means that nothing is done.
    fn before(&self, op: Op<'_>) -> Result<()> {
        let _ = op;
        Ok(())
    }

    /// An error here means that it was done, and nobody learns of it.
    fn after(&self, op: Op<'_>) -> Result<()> {
        let _ = op;
        Ok(())
    }

    /// Whether a listing shows this.
    fn shows(&self, meta: &ObjectMeta) -> bool {
        let _ = meta;
        true
    }
}

/// A closure is a hook before each operation.
impl<F: Fn(Op<'_>) -> Result<()> + Send + Sync> Hook for F {
    fn before(&self, op: Op<'_>) -> Result<()> {
        self(op)
    }
}

/// A backend with a hook around each of its operations.
pub struct Hooked<H> {
    pub inner: Arc<dyn Backend>,
    pub hook: H,
}

impl<H: Hook> Hooked<H> {
    pub fn new(inner: Arc<dyn Backend>, hook: H) -> Self {
        Self { inner, hook }
    }

    fn around<T>(&self, op: Op<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.hook.before(op)?;
        let done = work()?;
        self.hook.after(op)?;
        Ok(done)
    }
}

impl<H> fmt::Debug for Hooked<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooked({:?})", self.inner)
    }
}

impl<H: Hook> Backend for Hooked<H> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    fn prepare(&self) -> Result<()> {
        self.around(Op::Prepare, || self.inner.prepare())
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        self.around(Op::Put(name, bytes), || self.inner.put(name, bytes, terms))
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.around(Op::Read(name, range), || self.inner.read_one(name, range))
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        self.around(Op::Head(name), || self.inner.head(name))
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        self.around(Op::List(kind), || {
            self.inner.list(kind, after, &mut |meta| match self.hook.shows(&meta) {
                true => each(meta),
                false => ControlFlow::Continue(()),
            })
        })
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.around(Op::Delete(name), || self.inner.delete(name))
    }

    fn settle(&self, name: &Name) -> Result<()> {
        self.around(Op::Settle(name), || self.inner.settle(name))
    }
}

/// A failure that a test wants.
pub fn injected(kind: StorageErrorKind) -> StorageError {
    StorageError::new(kind, "use").because("injected failure")
}
