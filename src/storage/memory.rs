//! A repository in memory: for tests, and as the plainest reading of what a backend promises.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Abilities, Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, PutTerms, Result, StorageError, named,
};

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

    fn abilities(&self) -> Abilities {
        Abilities { creates_once: true, ..Abilities::default() }
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        named(name, "write")?;
        terms.only_if(self.abilities(), name)?;
        let mut objects = self.objects();
        if objects.contains_key(name) {
            return Ok(Created::Exists);
        }
        objects.insert(name.clone(), bytes.into());
        Ok(Created::New)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        let object = self.objects().get(name).cloned().ok_or_else(|| StorageError::not_found(name))?;
        range.of(name, &object)
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        Ok(self.objects().get(name).map(|object| ObjectMeta::new(name.clone(), object.len() as u64)))
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        // Collected first: `each` may well call this backend, and the lock is not to be held then.
        let first = Name::new(kind, "");
        let start = after.map_or(Bound::Included(&first), Bound::Excluded);
        let objects = self.objects();
        let listed: Vec<ObjectMeta> = objects
            .range((start, Bound::Unbounded))
            .take_while(|(name, _)| name.kind() == kind)
            .map(|(name, object)| ObjectMeta::new(name.clone(), object.len() as u64))
            .collect();
        drop(objects);
        let _ = listed.into_iter().try_for_each(each);
        Ok(())
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.objects().remove(name);
        Ok(())
    }
}
