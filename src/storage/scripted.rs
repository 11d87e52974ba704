//! A storage for tests that does and says what a script says.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use super::{
    Backend, ByteRange, Created, Each, Kind, Memory, Name, ObjectMeta, PutTerms, Result, StorageError, StorageErrorKind,
};

/// What becomes of the next operations: whether it is done, and what is said.
pub(super) type Script = Vec<(bool, Option<StorageErrorKind>)>;

/// Follows a script, and does what it should once that is at its end.
#[derive(Debug)]
pub(super) struct Scripted {
    pub(super) memory: Memory,
    script: Mutex<Script>,
    calls: Mutex<u32>,
}

impl Scripted {
    pub(super) fn new(script: Script) -> Arc<Self> {
        Arc::new(Self { memory: Memory::new(), script: Mutex::new(script), calls: Mutex::default() })
    }

    pub(super) fn then(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    /// How many operations there were.
    pub(super) fn calls(&self) -> u32 {
        *self.calls.lock().unwrap()
    }

    fn step<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        *self.calls.lock().unwrap() += 1;
        let mut script = self.script.lock().unwrap();
        let (done, said) = if script.is_empty() { (true, None) } else { script.remove(0) };
        drop(script);
        match (done, said) {
            (_, None) => work(),
            (true, Some(kind)) => work().and_then(|_| Err(StorageError::new(kind, "use"))),
            (false, Some(kind)) => Err(StorageError::new(kind, "use")),
        }
    }
}

impl Backend for Scripted {
    forward!(memory: location, abilities, prepare);

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        self.step(|| self.memory.put(name, bytes, terms))
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.step(|| self.memory.read_one(name, range))
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        self.step(|| self.memory.head(name))
    }

    /// A failure comes after two names.
    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        let mut left = if self.script.lock().unwrap().is_empty() { usize::MAX } else { 2 };
        self.memory.list(kind, after, &mut |meta| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            each(meta)
        })?;
        self.step(|| Ok(()))
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.step(|| self.memory.delete(name))
    }
}
