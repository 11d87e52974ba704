//! A storage on which nothing can be changed.

use std::sync::Arc;
use std::time::Duration;

use super::{Backend, Created, Name, PutTerms, Result, StorageError, StorageErrorKind};

/// Reads another backend, and refuses whatever would change it.
#[derive(Debug)]
pub struct ReadOnly {
    inner: Arc<dyn Backend>,
}

impl ReadOnly {
    /// Only reads `inner`.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner }
    }
}

fn refused(operation: &'static str) -> StorageError {
    StorageError::new(StorageErrorKind::ReadOnly, operation)
}

impl Backend for ReadOnly {
    // Settling changes no object.
    forward!(inner: location, abilities, traffic, settle, read_one, read_stored, read_many, read_again, head, list);

    fn prepare(&self) -> Result<()> {
        Err(refused("prepare").at(self.location()))
    }

    fn put(&self, name: &Name, _: &[u8], _: &PutTerms) -> Result<Created> {
        Err(refused("write").of(name))
    }

    fn delete(&self, name: &Name) -> Result<()> {
        Err(refused("delete").of(name))
    }

    fn retain(&self, names: &[Name], _: Duration) -> Vec<Result<()>> {
        names.iter().map(|name| Err(refused("retain").of(name))).collect()
    }

    fn tidy(&self, _: i64) -> Result<u64> {
        Err(refused("tidy").at(self.location()))
    }

    fn keep_reserve(&self) -> Result<()> {
        Err(refused("write").at(self.location()))
    }

    fn use_reserve(&self) -> Result<bool> {
        Err(refused("write").at(self.location()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Kind, Memory};

    #[test]
    fn every_change_is_refused_as_such_and_changes_nothing() {
        let memory = Memory::new();
        memory.create(&Name::log(1), b"x").unwrap();
        let reading = ReadOnly::new(Arc::new(memory.clone()));
        let refused = [
            reading.prepare().unwrap_err(),
            reading.create(&Name::log(2), b"y").unwrap_err(),
            reading.delete(&Name::log(1)).unwrap_err(),
            reading.delete_many(&[Name::log(1)]).remove(0).unwrap_err(),
            reading.tidy(i64::MAX).unwrap_err(),
            reading.keep_reserve().unwrap_err(),
            reading.use_reserve().unwrap_err(),
        ];
        assert!(refused.iter().all(|error| error.kind() == StorageErrorKind::ReadOnly), "{refused:?}");
        assert_eq!(reading.read(&Name::log(1), 1).unwrap(), b"x");
        assert_eq!(memory.list_all(Kind::Log).unwrap().len(), 1);
    }
}
