//! Counting what a storage is asked for. On a remote storage it is the round trips that cost time, so tests count them.

use std::fmt;
use std::ops::Sub;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, PutTerms, Result};

/// How many names a storage lists in one answer: what the object stores do.
const PAGE: u64 = 1000;

/// How often one operation was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpCount {
    /// Objects that were asked for. Of a listing, those that were listed.
    pub objects: u64,
    /// Round trips, one after the other as a caller sees them: a batch is one, a listing is one for each 1000 names.
    pub trips: u64,
    /// Bytes of objects that were sent or received.
    pub bytes: u64,
    /// Objects, or listings, that failed. That there is no such object is an answer and no failure.
    pub errors: u64,
}

/// How often each operation was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Objects that were to be created.
    pub put: OpCount,
    /// Reads of whole objects and of ranges.
    pub read: OpCount,
    /// Looks at what is known of an object.
    pub head: OpCount,
    /// Listings.
    pub list: OpCount,
    /// Objects that were to be deleted.
    pub delete: OpCount,
    /// Objects that were to be made sure of.
    pub settle: OpCount,
    /// Objects that were to be kept from being deleted.
    pub retain: OpCount,
}

impl Counts {
    /// All round trips. Settling is none where names are seen only once they last; it is counted by itself.
    pub fn trips(&self) -> u64 {
        self.put.trips + self.read.trips + self.head.trips + self.list.trips + self.delete.trips + self.retain.trips
    }

    /// What was counted since an earlier moment of the same meter.
    pub fn since(&self, before: &Self) -> Self {
        *self - *before
    }
}

impl Sub for OpCount {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            objects: self.objects.saturating_sub(before.objects),
            trips: self.trips.saturating_sub(before.trips),
            bytes: self.bytes.saturating_sub(before.bytes),
            errors: self.errors.saturating_sub(before.errors),
        }
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            put: self.put - before.put,
            read: self.read - before.read,
            head: self.head - before.head,
            list: self.list - before.list,
            delete: self.delete - before.delete,
            settle: self.settle - before.settle,
            retain: self.retain - before.retain,
        }
    }
}

/// Counts what is asked of another backend. Below a [`Retry`](super::Retry) that is each attempt, above it what was asked for
/// once, however many attempts it took.
pub struct Meter {
    inner: Arc<dyn Backend>,
    counts: Mutex<Counts>,
}

impl Meter {
    /// A meter in front of `inner` that has counted nothing yet.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, counts: Mutex::default() }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, of: impl FnOnce(&mut Counts) -> &mut OpCount, by: OpCount) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of(&mut counts);
        count.objects += by.objects;
        count.trips += by.trips;
        count.bytes += by.bytes;
        count.errors += by.errors;
    }
}

/// One round trip for these objects.
fn trip<T>(results: &[Result<T>], bytes: u64) -> OpCount {
    let failed = results.iter().filter_map(|result| result.as_ref().err());
    let errors = failed.filter(|error| error.kind() != super::StorageErrorKind::NotFound).count() as u64;
    OpCount { objects: results.len() as u64, trips: 1, bytes, errors }
}

fn length(result: &Result<Vec<u8>>) -> u64 {
    result.as_ref().map_or(0, |bytes| bytes.len() as u64)
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("inner", &self.inner).field("counts", &self.counts()).finish()
    }
}

impl Backend for Meter {
    forward!(inner: location, abilities, traffic, prepare, tidy, keep_reserve, use_reserve);

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        let done = [self.inner.put(name, bytes, terms)];
        self.count(|counts| &mut counts.put, trip(&done, bytes.len() as u64));
        let [done] = done;
        done
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        let done = [self.inner.read_one(name, range)];
        self.count(|counts| &mut counts.read, trip(&done, length(&done[0])));
        let [done] = done;
        done
    }

    fn read_stored(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        let done = [self.inner.read_stored(name, range)];
        self.count(|counts| &mut counts.read, trip(&done, length(&done[0])));
        let [done] = done;
        done
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        let done = self.inner.read_many(wants);
        if !wants.is_empty() {
            self.count(|counts| &mut counts.read, trip(&done, done.iter().map(length).sum()));
        }
        done
    }

    fn read_again(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        let done = self.inner.read_again(wants);
        if !wants.is_empty() {
            self.count(|counts| &mut counts.read, trip(&done, done.iter().map(length).sum()));
        }
        done
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        let done = [self.inner.head(name)];
        self.count(|counts| &mut counts.head, trip(&done, 0));
        let [done] = done;
        done
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        let mut objects = 0;
        let done = self.inner.list(kind, after, &mut |meta| {
            objects += 1;
            each(meta)
        });
        let errors = u64::from(done.is_err());
        self.count(|counts| &mut counts.list, OpCount { objects, trips: 1 + objects / PAGE, bytes: 0, errors });
        done
    }

    fn delete(&self, name: &Name) -> Result<()> {
        let done = [self.inner.delete(name)];
        self.count(|counts| &mut counts.delete, trip(&done, 0));
        let [done] = done;
        done
    }

    fn delete_many(&self, names: &[Name]) -> Vec<Result<()>> {
        let done = self.inner.delete_many(names);
        if !names.is_empty() {
            self.count(|counts| &mut counts.delete, trip(&done, 0));
        }
        done
    }

    fn retain(&self, names: &[Name], time: Duration) -> Vec<Result<()>> {
        let done = self.inner.retain(names, time);
        if !names.is_empty() {
            self.count(|counts| &mut counts.retain, trip(&done, 0));
        }
        done
    }

    fn settle(&self, name: &Name) -> Result<()> {
        let done = [self.inner.settle(name)];
        self.count(|counts| &mut counts.settle, trip(&done, 0));
        let [done] = done;
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn a_batch_is_one_round_trip_and_a_page_of_a_listing_is_one() {
        let meter = Meter::new(Arc::new(Memory::new()));
        let names: Vec<Name> = (0..5).map(Name::log).collect();
        for name in &names {
            meter.create(name, b"entry").unwrap();
        }
        let before = meter.counts();
        assert_eq!((before.put.trips, before.put.bytes), (5, 25));
        let wants: Vec<_> = (0..7).map(|n| (Name::log(n), ByteRange::UpTo(10))).collect();
        assert_eq!(meter.read_many(&wants).iter().filter(|read| read.is_ok()).count(), 5);
        assert!(meter.read(&Name::log(0), 2).is_err());
        meter.list_all(Kind::Log).unwrap();
        meter.delete_many(&names);
        let counts = meter.counts().since(&before);
        assert_eq!(counts.read, OpCount { objects: 8, trips: 2, bytes: 25, errors: 1 });
        assert_eq!((counts.list.objects, counts.list.trips), (5, 1));
        assert_eq!((counts.delete.objects, counts.delete.trips), (5, 1));
        assert_eq!(counts.trips(), 4);
        meter.read_many(&[]);
        assert_eq!(meter.counts().trips(), counts.trips() + 5, "an empty batch asks for nothing");
    }
    #[test]
    fn objects_that_are_to_be_kept_are_counted_with_those_that_cannot_be() {
        let meter = Meter::new(Arc::new(Memory::new()));
        meter.create(&Name::log(0), b"entry").unwrap();
        let before = meter.counts();
        let names = [Name::log(0), Name::log(1)];
        let refused = meter.retain(&names, Duration::from_secs(1)).iter().filter(|done| done.is_err()).count() as u64;
        meter.retain(&[], Duration::from_secs(1));
        let counts = meter.counts().since(&before);
        assert_eq!(counts.retain, OpCount { objects: 2, trips: 1, bytes: 0, errors: refused });
        assert_eq!((refused, counts.trips()), (2, 1), "memory keeps nothing from being deleted");
    }
}
