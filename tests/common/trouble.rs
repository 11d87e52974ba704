//! One thing that goes wrong, at an operation of one's choice.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use avro_snap::backend::{Backend, Kind, Memory, Result, StorageErrorKind};

use crate::hooked::{Hook, Hooked, Op, injected};

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

/// A storage to which a mishap happens.
pub type Trouble = Hooked<Misfortune>;

#[derive(Debug)]
pub struct Misfortune {
    mishap: Mishap,
    left: AtomicUsize,
    hit: AtomicBool,
    /// The operation that is being done is the one whose answer is lost.
    answer_is_lost: AtomicBool,
}

impl Trouble {
    pub fn with(inner: &Memory, mishap: Mishap, operations: usize) -> Self {
        let (left, hit) = (AtomicUsize::new(operations), AtomicBool::new(false));
        Self::new(Arc::new(inner.clone()), Misfortune { mishap, left, hit, answer_is_lost: AtomicBool::new(false) })
    }

    /// Whether it came to that.
    pub fn hit(&self) -> bool {
        self.hook.hit.load(Ordering::SeqCst)
    }
}

impl Hook for Misfortune {
    fn before(&self, op: Op<'_>) -> Result<()> {
        let counts = match self.mishap {
            _ if op == Op::Prepare => false,
            Mishap::Death { .. } => op.changes(),
            Mishap::Once { .. } | Mishap::ForEver => true,
            Mishap::NoSpace => matches!(op, Op::Put(..)),
        };
        if matches!(self.mishap, Mishap::Death { .. } | Mishap::ForEver) && self.hit.load(Ordering::SeqCst) {
            return Err(injected(StorageErrorKind::Other));
        }
        let is_due =
            counts && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if !is_due {
            return Ok(());
        }
        let before = self.hit.swap(true, Ordering::SeqCst);
        match self.mishap {
            Mishap::Once { .. } if before => Ok(()),
            Mishap::NoSpace => Err(injected(StorageErrorKind::NoSpace)),
            Mishap::Death { done: true } | Mishap::Once { done: true } => {
                self.answer_is_lost.store(true, Ordering::SeqCst);
                Ok(())
            }
            _ => Err(injected(StorageErrorKind::Other)),
        }
    }

    fn after(&self, _: Op<'_>) -> Result<()> {
        match self.answer_is_lost.swap(false, Ordering::SeqCst) {
            true => Err(injected(StorageErrorKind::Other)),
            false => Ok(()),
        }
    }
}

/// Another storage with the same objects.
pub fn copy_of(memory: &Memory) -> Memory {
    let copy = Memory::new();
    for kind in Kind::ALL {
        for meta in memory.list_all(kind).unwrap() {
            copy.create(&meta.name, &memory.read(&meta.name, meta.size).unwrap()).unwrap();
        }
    }
    copy
}
