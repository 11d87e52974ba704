//! Named bytes that last. A backend keeps whole objects under names that are used once and never again.
//!
//! Nothing above this module knows where a repository lies. [`Backend`] is synchronous and batched: an asynchronous
//! runtime, where a storage needs one, stays inside its backend. Each promise below is held by [`conformance`], which every
//! backend and every wrapper around one has to pass.
//!
//! What may be put around a backend is a backend as well: [`Retry`], [`Limit`], [`Meter`], [`Cache`], [`ReadOnly`],
//! [`Retain`].

/// Operations that a wrapper passes on as they are to the backend in this field of it.
macro_rules! forward {
    ($inner:ident: $($operation:ident),+ $(,)?) => { $( forward!(@ $inner $operation); )+ };
    (@ $inner:ident location) => {
        fn location(&self) -> String { self.$inner.location() }
    };
    (@ $inner:ident abilities) => {
        fn abilities(&self) -> $crate::storage::Abilities { self.$inner.abilities() }
    };
    (@ $inner:ident traffic) => {
        fn traffic(&self) -> Option<$crate::storage::Traffic> { self.$inner.traffic() }
    };
    (@ $inner:ident prepare) => {
        fn prepare(&self) -> $crate::storage::Result<()> { self.$inner.prepare() }
    };
    (@ $inner:ident read_one) => {
        fn read_one(
            &self,
            name: &$crate::storage::Name,
            range: $crate::storage::ByteRange,
        ) -> $crate::storage::Result<Vec<u8>> {
            self.$inner.read_one(name, range)
        }
    };
    (@ $inner:ident read_many) => {
        fn read_many(
            &self,
            wants: &[($crate::storage::Name, $crate::storage::ByteRange)],
        ) -> Vec<$crate::storage::Result<Vec<u8>>> {
            self.$inner.read_many(wants)
        }
    };
    (@ $inner:ident read_again) => {
        fn read_again(
            &self,
            wants: &[($crate::storage::Name, $crate::storage::ByteRange)],
        ) -> Vec<$crate::storage::Result<Vec<u8>>> {
            self.$inner.read_again(wants)
        }
    };
    (@ $inner:ident read_stored) => {
        fn read_stored(
            &self,
            name: &$crate::storage::Name,
            range: $crate::storage::ByteRange,
        ) -> $crate::storage::Result<Vec<u8>> {
            self.$inner.read_stored(name, range)
        }
    };
    (@ $inner:ident head) => {
        fn head(&self, name: &$crate::storage::Name) -> $crate::storage::Result<Option<$crate::storage::ObjectMeta>> {
            self.$inner.head(name)
        }
    };
    (@ $inner:ident list) => {
        fn list(
            &self,
            kind: $crate::storage::Kind,
            after: Option<&$crate::storage::Name>,
            each: &mut $crate::storage::Each<'_>,
        ) -> $crate::storage::Result<()> {
            self.$inner.list(kind, after, each)
        }
    };
    (@ $inner:ident delete) => {
        fn delete(&self, name: &$crate::storage::Name) -> $crate::storage::Result<()> { self.$inner.delete(name) }
    };
    (@ $inner:ident delete_many) => {
        fn delete_many(&self, names: &[$crate::storage::Name]) -> Vec<$crate::storage::Result<()>> {
            self.$inner.delete_many(names)
        }
    };
    (@ $inner:ident retain) => {
        fn retain(
            &self,
            names: &[$crate::storage::Name],
            time: std::time::Duration,
        ) -> Vec<$crate::storage::Result<()>> {
            self.$inner.retain(names, time)
        }
    };
    (@ $inner:ident settle) => {
        fn settle(&self, name: &$crate::storage::Name) -> $crate::storage::Result<()> { self.$inner.settle(name) }
    };
    (@ $inner:ident tidy) => {
        fn tidy(&self, before: i64) -> $crate::storage::Result<u64> { self.$inner.tidy(before) }
    };
    (@ $inner:ident keep_reserve) => {
        fn keep_reserve(&self) -> $crate::storage::Result<()> { self.$inner.keep_reserve() }
    };
    (@ $inner:ident use_reserve) => {
        fn use_reserve(&self) -> $crate::storage::Result<bool> { self.$inner.use_reserve() }
    };
}

pub(crate) mod batch;
mod cache;
pub mod conformance;
mod limit;
mod local;
mod memory;
mod meter;
mod pace;
mod probe;
mod read_only;
#[cfg(feature = "object-store")]
pub mod remote;
mod resolve;
mod retain;
mod retry;
#[cfg(test)]
mod scripted;
mod terms;

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

pub use cache::{Cache, CacheTerms};
pub use limit::{Limit, Rates};
pub use local::{DiskStep, Local, Witness};
pub use memory::Memory;
pub use meter::{Counts, Meter, OpCount};
pub use pace::{Pace, RealPace};
pub use probe::{Findings, probe};
pub use read_only::ReadOnly;
pub use resolve::{create_resolved, put_resolved};
pub use retain::{LONGEST_RETENTION, Retain};
pub use retry::{Retry, RetryPolicy};
pub use terms::{Abilities, ByteRange, Created, ObjectMeta, PutTerms, Traffic};

pub use crate::error::{Flaw, StorageError, StorageErrorKind};
pub use crate::id::{Kind, Name};

/// What the operations of a storage return.
pub type Result<T> = std::result::Result<T, StorageError>;

/// What is done with each object of a listing, and whether the listing goes on.
pub type Each<'e> = dyn FnMut(ObjectMeta) -> ControlFlow<()> + 'e;

/// Where a repository's objects lie.
///
/// What has to be implemented comes first, then what has a plain default. The last few are shorthands, which no
/// implementation overrides.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Where this is, for people.
    fn location(&self) -> String;

    /// What this storage can do.
    fn abilities(&self) -> Abilities;

    /// Makes the empty folders of a new repository. Harmless where they are there already.
    fn prepare(&self) -> Result<()>;

    /// Creates the object if no object has the name, else changes nothing.
    ///
    /// Promise: of any number of attempts at one name, from any number of processes, exactly one returns
    /// [`Created::New`]. After it returned, the object survives power loss, also where it was there already; a reader sees
    /// all of its bytes or no object. Before an entry of the log is created, all index objects and earlier entries are
    /// durable, whichever process wrote them.
    ///
    /// After an error the object may or may not be there, and the same `put` may be tried again. With
    /// [`UnknownOutcome`](StorageErrorKind::UnknownOutcome) a backend says more: that what can be read back lasts, so that
    /// reading back settles the matter ([`create_resolved`]). Terms that the storage cannot keep are
    /// [`Unsupported`](StorageErrorKind::Unsupported), and nothing is created.
    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created>;

    /// These bytes of the object.
    ///
    /// Promise: fails with [`NotFound`](StorageErrorKind::NotFound) exactly if there is no such object; with
    /// [`TooLong`](Flaw::TooLong) if all of it was asked for and it is larger than allowed; with
    /// [`TooShort`](Flaw::TooShort) if a range is not wholly inside it.
    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>>;

    /// What is known of the object without its bytes, or `None` if there is no such object.
    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>>;

    /// Calls `each` with every object of this kind whose name comes after `after`, in ascending order of the names, until
    /// it breaks off.
    ///
    /// Promise: objects that were there before the call and are there after it are all listed, none twice; those that come
    /// or go meanwhile may be. Files that no object could be called are passed over. `each` may use the same backend. Safety
    /// never rests on a listing.
    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()>;

    /// Removes the object; it is no error if there is none.
    fn delete(&self, name: &Name) -> Result<()>;

    /// Reads several ranges, of the same or of different objects: as many results as wants, in the same order. A remote
    /// storage asks for them side by side.
    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        wants.iter().map(|(name, range)| self.read_one(name, *range)).collect()
    }

    /// The same of what later processes will ask for again, too, such as the rows of manifests: a [`Cache`] keeps that.
    fn read_again(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.read_many(wants)
    }

    /// As [`read_one`](Backend::read_one), from the storage itself: what is kept near says nothing of what is stored. For what
    /// is read back, and what something new is to rest on.
    fn read_stored(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.read_one(name, range)
    }

    /// What went over the network so far, where one lies between.
    fn traffic(&self) -> Option<Traffic> {
        None
    }

    /// Removes several objects: as many results as names, in the same order.
    fn delete_many(&self, names: &[Name]) -> Vec<Result<()>> {
        names.iter().map(|name| self.delete(name)).collect()
    }

    /// Keeps objects from being deleted for this long from now on, if they are not kept for longer already: as many results
    /// as names, in the same order. Only where the storage can do that ([`Abilities::retains`]).
    fn retain(&self, names: &[Name], time: Duration) -> Vec<Result<()>> {
        let _ = time;
        names.iter().map(|name| Err(StorageError::new(StorageErrorKind::Unsupported, "retain").of(name))).collect()
    }

    /// Makes sure that the object survives power loss, if it is there: another process may have created it a moment ago,
    /// and not have come to the end. Where a name is seen only once it lasts, there is nothing to do.
    fn settle(&self, name: &Name) -> Result<()> {
        let _ = name;
        Ok(())
    }

    /// Removes what interrupted writes left without a name before this moment, by the clock of
    /// [`ObjectMeta::modified`]. Returns the number of bytes that this freed.
    fn tidy(&self, before: i64) -> Result<u64> {
        let _ = before;
        Ok(0)
    }

    /// Keeps a little room back, if the storage can be full and there is room now: so that an entry that frees room can
    /// be appended when there is none left. Nothing rests on it.
    fn keep_reserve(&self) -> Result<()> {
        Ok(())
    }

    /// Gives up part of the room that was kept back, for small objects that could not be created. False if there is no
    /// more of it.
    fn use_reserve(&self) -> Result<bool> {
        Ok(false)
    }

    /// [`put`](Backend::put) without any terms.
    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created> {
        self.put(name, bytes, &PutTerms::default())
    }

    /// All bytes of the object, at most `limit` of them.
    fn read(&self, name: &Name, limit: u64) -> Result<Vec<u8>> {
        self.read_one(name, ByteRange::UpTo(limit))
    }

    /// Exactly `length` bytes of the object from `offset` on.
    fn read_range(&self, name: &Name, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.read_one(name, ByteRange::Exactly { offset, length })
    }

    /// The object's length in bytes, or `None` if there is no such object.
    fn size(&self, name: &Name) -> Result<Option<u64>> {
        Ok(self.head(name)?.map(|meta| meta.size))
    }

    /// [`list`](Backend::list) from the first to the last.
    fn for_each(&self, kind: Kind, each: &mut dyn FnMut(ObjectMeta)) -> Result<()> {
        self.list(kind, None, &mut |meta| {
            each(meta);
            ControlFlow::Continue(())
        })
    }

    /// Everything that [`list`](Backend::list) shows of a kind. Of packs there may be millions.
    fn list_all(&self, kind: Kind) -> Result<Vec<ObjectMeta>> {
        let mut all = Vec::new();
        self.for_each(kind, &mut |meta| all.push(meta))?;
        Ok(all)
    }
}

/// Whether an object can have this name: one of no characters would be the folder's.
fn named(name: &Name, operation: &'static str) -> Result<()> {
    match name.file().is_empty() {
        true => Err(StorageError::new(StorageErrorKind::Invalid, operation)
            .of(name)
            .because("the name of an object has at least one character")),
        false => Ok(()),
    }
}
