//! Repositories in object stores: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.
//!
//! An object of the repository is an object of the store, under the prefix of the location and its name. Names are given once
//! by creating with a precondition (`If-None-Match: *`). The client is asynchronous; its runtime stays in here. Each
//! operation is a task of that runtime, for which the caller's thread waits, so a backend may be used from any thread, also
//! from one of another runtime.
//!
//! The client repeats nothing by itself: put a [`Retry`](super::Retry) around this.

mod backend;
mod connect;
mod direct;
mod errors;
mod identity;
mod join;
mod location;
mod objects;
mod profile;
mod raw_keys;
mod strangers;
mod tasks;
mod timing;
mod traffic;
mod uploads;
mod versions;
mod xml;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use object_store::ObjectStore;

use super::{Backend, ByteRange, Created, Kind, Name, ObjectMeta, Result, StorageError, StorageErrorKind};
pub use location::{BadLocation, Location, Scheme};
pub use objects::{Ahead, Got, Notes, Object, Objects, Page};
use tasks::{Failed, Tasks};
pub use uploads::{Part, Upload};
pub use versions::OldestVersions;

/// How many requests are on their way at once, unless the store asks for fewer.
const CONCURRENCY: usize = 16;

/// How many names a store deletes at one request.
const BATCH: usize = 1000;

/// A prefix of a bucket as a backend.
pub struct Remote {
    location: Location,
    store: Arc<dyn ObjectStore>,
    /// What the client cannot do, where the store can.
    direct: Option<Arc<direct::Direct>>,
    tasks: Tasks,
    counter: Arc<traffic::Counter>,
    patience: timing::Patience,
    single_writer: bool,
    connections: usize,
    /// Its address, where that is not the provider's own.
    endpoint: Option<String>,
    /// The storage class of what is rarely read.
    class: Option<String>,
    /// Whether the store was seen to list names in no order.
    is_unordered: AtomicBool,
}

impl Remote {
    /// The place that is named. Credentials, endpoints and settings come from these variables of the environment; nothing
    /// is asked of the store yet.
    ///
    /// # Errors
    /// [`StorageErrorKind::Denied`] where it is clear that there are no credentials, [`StorageErrorKind::Invalid`] where
    /// settings make no sense.
    pub fn open(location: &Location, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let counter = Arc::default();
        let variables = variables.into_iter().collect();
        let connect::Client { store, endpoint, direct, .. } = connected(location, &variables, &counter)?;
        let tasks = Tasks::new(CONCURRENCY)
            .map_err(|error| StorageError::new(StorageErrorKind::Exhausted, "open").at(location).because(error))?;
        let patience = timing::Patience::default();
        Ok(Self {
            location: location.clone(),
            store,
            endpoint,
            direct,
            tasks,
            counter,
            patience,
            single_writer: false,
            connections: CONCURRENCY,
            class: None,
            is_unordered: AtomicBool::new(false),
        })
    }

    /// The bucket and the prefix.
    pub fn place(&self) -> &Location {
        &self.location
    }

    /// The address of the store, where that is not the provider's own: by the environment, a profile or an account.
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }

    /// The same, with this time to wait for an answer to a request without many bytes, or for more of an answer. What sends
    /// many bytes has more time, by their number.
    pub fn patient(self, time: Duration) -> Self {
        Self { patience: timing::Patience(time), ..self }
    }

    /// The same, with at most this many requests on their way at once.
    pub fn connections(self, most: usize) -> Self {
        let most = most.max(1);
        Self { tasks: self.tasks.at_once(most), connections: most, ..self }
    }

    /// The same, which puts what is rarely read ([`PutTerms::cold`]) into this class: a storage class of S3 or Google, or an
    /// access tier of Azure.
    ///
    /// # Errors
    /// [`StorageErrorKind::Invalid`] if no class is called so: its name has letters, digits, `_` and `-`.
    pub fn storage_class(self, class: &str) -> Result<Self> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        match !class.is_empty() && class.bytes().all(is_name) {
            true => Ok(Self { class: Some(class.into()), ..self }),
            false => Err(StorageError::new(StorageErrorKind::Invalid, "open")
                .at(&self.location)
                .because(format!("no storage class is called {class:?}"))),
        }
    }

    /// The same, for a store that gives one name to several writers: each name is looked for before it is created, which
    /// is enough for one writer at a time and for no more.
    pub fn single_writer(self) -> Self {
        Self { single_writer: true, ..self }
    }

    fn key(&self, name: &Name) -> object_store::path::Path {
        self.location.key(&name.to_string())
    }

    /// Does the work as a task, and waits for it.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = std::result::Result<T, Failed>> + Send + 'static,
    ) -> std::result::Result<T, Failed> {
        self.tasks.run(work)
    }

    /// What a failure is for those above.
    fn error(&self, failed: Failed, operation: &'static str, name: Option<&Name>) -> StorageError {
        let key = name.map_or_else(|| self.location.to_string(), |name| format!("{}/{name}", self.location));
        let said = match failed.kind() {
            // What the stores call it says little.
            kind @ StorageErrorKind::Archived => format!("{kind}: {}", failed.said()),
            _ => failed.said(),
        };
        let error = StorageError::new(failed.kind(), operation).at(key).because(said);
        match name {
            Some(name) => error.of(name),
            None => error,
        }
    }

    fn meta(&self, name: Name, meta: &object_store::ObjectMeta) -> ObjectMeta {
        // Listings of some stores have fractions of seconds, and what is known of an object has none.
        let modified = meta.last_modified.timestamp().checked_mul(1_000_000_000);
        // Some quote tags in one of the two only.
        let tag = meta.e_tag.as_ref().map(|tag| tag.trim_matches('"').to_string());
        ObjectMeta { modified, tag, ..ObjectMeta::new(name, meta.size) }
    }

    /// Of the keys that were listed, the objects of a kind after a name. Some stores begin at the name after which they
    /// should.
    fn objects(&self, kind: Kind, after: Option<&Name>, page: Vec<object_store::ObjectMeta>) -> Vec<ObjectMeta> {
        let object = |meta: object_store::ObjectMeta| {
            let name = self.location.object(kind, meta.location.as_ref())?;
            after.is_none_or(|after| name > *after).then(|| self.meta(name, &meta))
        };
        page.into_iter().filter_map(object).collect()
    }

    /// What is left open by an answer to a create is looked at: whether the name is taken indeed.
    fn taken(&self, name: &Name) -> Result<Created> {
        match self.head(name) {
            Ok(Some(_)) => Ok(Created::Exists),
            Ok(None) => Err(StorageError::new(StorageErrorKind::UnknownOutcome, "write")
                .of(name)
                .because("the storage says that the name is taken, and that no object has it")),
            Err(error) => Err(error.turned_into(StorageErrorKind::UnknownOutcome)),
        }
    }

    /// Deletes at most [`BATCH`] objects at one request, or one by one where the store has none for that.
    fn delete_batch(&self, names: &[&Name]) -> Vec<Result<()>> {
        let keys: Vec<_> = names.iter().map(|name| self.key(name)).collect();
        let done = self.tasks.run(tasks::delete_batch(self.store.clone(), keys, self.patience));
        match done {
            Ok(done) => {
                let outcome = |(result, name): (std::result::Result<(), Failed>, &&Name)| match result {
                    Err(failed) if failed.kind() != StorageErrorKind::NotFound => {
                        Err(self.error(failed, "delete", Some(name)))
                    }
                    _ => Ok(()),
                };
                done.into_iter().zip(names).map(outcome).collect()
            }
            Err(failed) if failed.is_passing() => {
                let result = |name: &&Name| Err(self.error(failed.again(), "delete", Some(name)));
                names.iter().map(result).collect()
            }
            // Not every store can do it, and what they say of it differs.
            Err(_) => self.delete_apart(names),
        }
    }

    fn delete_apart(&self, names: &[&Name]) -> Vec<Result<()>> {
        let work = names.iter().map(|name| tasks::delete(self.store.clone(), self.key(name), self.patience));
        let done = self.tasks.run_all(work.collect());
        let result = |(done, name): (std::result::Result<(), Failed>, &&Name)| {
            done.map_err(|failed| self.error(failed, "delete", Some(name)))
        };
        done.into_iter().zip(names).map(result).collect()
    }

    /// Fails where a range could not be had because the object does not have it.
    fn explained(&self, failed: Failed, name: &Name, range: ByteRange) -> StorageError {
        let is_about_the_range = matches!(range, ByteRange::Exactly { .. }) && failed.may_be_about_the_range();
        let size = if is_about_the_range { self.size(name) } else { Ok(None) };
        match size {
            Ok(Some(size)) => match range.check(name, size) {
                Err(error) => error,
                Ok(()) => self.error(failed, "read", Some(name)),
            },
            _ => self.error(failed, "read", Some(name)),
        }
    }

    /// The size of an object of which no byte is wanted.
    fn read_nothing(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        let size = self.size(name)?.ok_or_else(|| StorageError::not_found(name))?;
        range.check(name, size)?;
        Ok(Vec::new())
    }

    /// Reads side by side, neighbours with one request; `task` is the request for a range. None for what has to be read by
    /// itself: a range of no bytes, and those that were asked for together in vain.
    fn read_together<W>(
        &self,
        wants: &[(Name, ByteRange)],
        task: impl Fn(&Name, ByteRange) -> W,
    ) -> Vec<Option<Result<Vec<u8>>>>
    where
        W: Future<Output = tasks::Done<tasks::Read>> + Send + 'static,
    {
        let mut results: Vec<Option<Result<Vec<u8>>>> = wants.iter().map(|_| None).collect();
        let requests: Vec<_> = join::requests(wants)
            .into_iter()
            .filter(|request| !is_nothing(request.range) && !request.name.file().is_empty())
            .collect();
        let work = requests.iter().map(|request| task(&request.name, request.range));
        let done = self.tasks.run_all(work.collect());
        for (request, done) in requests.iter().zip(done) {
            match (&request.wants[..], done) {
                ([want], done) => {
                    results[*want] = Some(self.received(done, &request.name, request.range));
                }
                (several, Ok(tasks::Read::Whole(bytes))) => {
                    for want in several {
                        results[*want] = join::part(&bytes, request.range, wants[*want].1).map(Ok);
                    }
                }
                _ => {}
            }
        }
        results
    }

    /// What the store has of it, checked against what was asked for.
    fn received(
        &self,
        done: std::result::Result<tasks::Read, Failed>,
        name: &Name,
        range: ByteRange,
    ) -> Result<Vec<u8>> {
        match done {
            Ok(tasks::Read::Whole(bytes)) => Ok(bytes),
            Ok(tasks::Read::OfSize(size)) => {
                range.check(name, size)?;
                // A range that lies inside, and did not come: what came is not what the store says of it.
                Err(StorageError::new(StorageErrorKind::Unavailable, "read")
                    .of(name)
                    .because("the storage sent other bytes than those that were asked for"))
            }
            Err(failed) if failed.kind() == StorageErrorKind::NotFound => Err(StorageError::not_found(name)),
            Err(failed) => Err(self.explained(failed, name, range)),
        }
    }
}

/// A client for the place.
fn connected(
    location: &Location,
    variables: &connect::Variables,
    counter: &Arc<traffic::Counter>,
) -> Result<connect::Client> {
    connect::client(location, variables, counter).map_err(|error| {
        let kind = match errors::kind_of(&error, None) {
            StorageErrorKind::Denied => StorageErrorKind::Denied,
            _ => StorageErrorKind::Invalid,
        };
        StorageError::new(kind, "open").at(location).because(errors::said(&error))
    })
}

/// Whether no byte is wanted, or of no object: such a range cannot be asked for.
fn is_nothing(range: ByteRange) -> bool {
    matches!(range, ByteRange::Exactly { offset, length } if length == 0 || offset.checked_add(length as u64).is_none())
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("location", &self.location)
            .field("traffic", &self.counter.traffic())
            .field("single_writer", &self.single_writer)
            .finish_non_exhaustive()
    }
}
