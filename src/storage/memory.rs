//! A repository in memory: for tests, and as the plainest reading of what a backend promises.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Backend, Created, Kind, Name};
use crate::error::{Error, Result};

type Objects = BTreeMap<Name, Arc<[u8]>>;

/// Keeps objects in memory. Clones share their objects, as several processes share a repository on disk.
///
/// Holds every object whole, so it is meant for little data. Nothing outlives the last clone.
#[derive(Clone, Default)]
pub struct Memory {
    objects: Arc<Mutex<Objects>>,
}

impl Memory {
    /// A backend without objects.
    pub fn new() -> Self {
        Self::default()
    }

    /// A map is never left half changed, so one that a panicking thread held is as good as any.
    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, name: &Name) -> Result<Arc<[u8]>> {
        self.objects().get(name).cloned().ok_or_else(|| Error::ObjectMissing { name: name.to_string() })
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("objects", &self.objects().len()).finish()
    }
}

impl Backend for Memory {
    fn location(&self) -> String {
        "memory".into()
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        if name.file().is_empty() {
            return Err(Error::Invalid(format!("{name} names no object")));
        }
        let mut objects = self.objects();
        if objects.contains_key(name) {
            return Ok(Created::Exists);
        }
        objects.insert(name.clone(), bytes.into());
        Ok(Created::New)
    }

    fn read(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
        let object = self.object(name)?;
        match object.len() as u64 > limit {
            true => Err(Error::damaged(name, format_args!("{} bytes, at most {limit} are allowed", object.len()))),
            false => Ok(object.to_vec()),
        }
    }

    fn read_range(&self, name: &Name, offset: u64, length: usize) -> Result<Vec<u8>> {
        let object = self.object(name)?;
        let range = usize::try_from(offset).ok().and_then(|from| Some(from..from.checked_add(length)?));
        match range.and_then(|range| object.get(range)) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(Error::damaged(
                name,
                format_args!("{} bytes, too few for {length} bytes from {offset}", object.len()),
            )),
        }
    }

    fn size(&self, name: &Name) -> Result<Option<u64>> {
        Ok(self.objects().get(name).map(|object| object.len() as u64))
    }

    fn list(&self, kind: Kind, each: &mut dyn FnMut(Name, u64) -> Result<()>) -> Result<()> {
        // Collected first: `each` may well call this backend, and the lock is not to be held then.
        let first = Name::new(kind, "");
        let objects = self.objects();
        let listed: Vec<(Name, u64)> = objects
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(|(name, _)| name.kind() == kind)
            .map(|(name, object)| (name.clone(), object.len() as u64))
            .collect();
        drop(objects);
        listed.into_iter().try_for_each(|(name, length)| each(name, length))
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.objects().remove(name);
        Ok(())
    }
}
