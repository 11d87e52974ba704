//! The objects of a bucket as they are: for what is no repository's, but is saved from there or restored to there.
//!
//! What may pass is tried again, as [`Retry`](crate::storage::Retry) does for repositories.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use object_store::list::PaginatedListOptions;
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, Attributes, GetOptions, GetRange, ObjectMeta, ObjectStore, PutOptions, PutPayload,
};

use super::connect::Client;
use super::connected;
use super::location::{Location, Scheme};
use super::raw_keys::{RawKeys, revealed};
use super::tasks::{ENDED_EARLY, Failed, Started, Tasks, gathered, within};
use super::timing::Patience;
use super::traffic::Counter;
use crate::storage::retry::again;
use crate::storage::{Rates, RealPace, Result, RetryPolicy, StorageError, StorageErrorKind, Traffic};

/// What is kept beside an object: its user metadata.
pub type Notes = BTreeMap<String, String>;

/// After this many operations in a row that failed in spite of all attempts, each is tried once only: the store is away.
const AWAY: u32 = 3;

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key, from the top of the bucket.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last changed, in seconds since 1970 (UTC). Some stores know fractions, and do not always say them.
    pub modified: i64,
    /// Its entity tag, quotes included.
    pub tag: Option<String>,
    /// Its version, where the bucket keeps versions and the store says so.
    pub version: Option<String>,
}

impl Object {
    fn of(key: String, meta: ObjectMeta) -> Self {
        let ObjectMeta { size, last_modified, e_tag, version, .. } = meta;
        Self { key, size, modified: last_modified.timestamp(), tag: e_tag.map(quoted), version }
    }

    /// Whether this is said of the same content of the same object, as far as the store tells.
    pub fn is_still(&self, other: &Self) -> bool {
        self.size == other.size
            && match (&self.tag, &other.tag) {
                (Some(one), Some(other)) => one == other,
                _ => self.modified == other.modified,
            }
    }
}

/// Some stores leave out the quotes of a tag in some of their answers.
fn quoted(tag: String) -> String {
    match tag.starts_with("W/") {
        true => tag,
        false => format!("\"{}\"", tag.trim_matches('"')),
    }
}

/// A part of a listing.
#[derive(Debug)]
pub struct Page {
    /// In the order of the store, which mostly is that of the bytes of keys.
    pub objects: Vec<Object>,
    /// What the next page is asked for with; none at the end.
    pub next: Option<String>,
}

/// Result of reading a part of an object.
#[derive(Debug)]
pub enum Got {
    /// These bytes: all that were asked for and that it has. And what is known of it.
    Bytes(Vec<u8>, Object),
    /// It is another one by now than was asked for.
    Replaced,
    /// There is no such object.
    Missing,
}

/// The objects of a bucket.
pub struct Objects {
    pub(super) location: Location,
    pub(super) client: Client,
    pub(super) tasks: Tasks,
    counter: Arc<Counter>,
    pub(super) patience: Patience,
    policy: RetryPolicy,
    pace: RealPace,
    rates: Option<Arc<Rates>>,
    /// How many operations failed in a row in spite of all attempts.
    failed: AtomicU32,
    /// How many attempts followed one that had failed.
    retries: AtomicU64,
}

/// A part of an object that is on its way.
#[derive(Debug)]
pub struct Ahead {
    started: Started<Answer>,
    key: String,
    range: Range<u64>,
    tag: Option<String>,
}

/// What a request for bytes was answered with.
#[derive(Debug)]
enum Answer {
    Bytes(Vec<u8>, ObjectMeta),
    Replaced,
    Missing,
    /// The object does not have the first of these bytes.
    Beyond,
}

impl Objects {
    /// The bucket of a place. Credentials, endpoints and settings come from these variables of the environment; nothing is
    /// asked of the store yet.
    ///
    /// # Errors
    /// As of [`Remote::open`](super::Remote::open).
    pub fn open(location: &Location, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let counter = Arc::default();
        let client = connected(location, &variables.into_iter().collect(), &counter)?;
        let tasks = Tasks::new(super::CONCURRENCY)
            .map_err(|error| StorageError::new(StorageErrorKind::Exhausted, "open").at(location).because(error))?;
        Ok(Self {
            location: location.clone(),
            client,
            tasks,
            counter,
            patience: Patience::default(),
            policy: RetryPolicy::default(),
            pace: RealPace::new(),
            rates: None,
            failed: AtomicU32::new(0),
            retries: AtomicU64::new(0),
        })
    }

    /// The same, with this time to wait for an answer and these attempts.
    pub fn patient(self, time: Duration, policy: RetryPolicy) -> Self {
        Self { patience: Patience(time), policy, ..self }
    }

    /// The same, with at most this many requests on their way at once.
    pub fn connections(self, most: usize) -> Self {
        Self { tasks: self.tasks.at_once(most), ..self }
    }

    /// The same, within these rates. What is tried again counts once.
    pub fn within(self, rates: Arc<Rates>) -> Self {
        Self { rates: Some(rates), ..self }
    }

    /// Waits before this many bytes are sent.
    pub(super) fn sends(&self, bytes: usize) {
        if let Some(rates) = &self.rates {
            rates.send(bytes as u64);
        }
    }

    /// What was sent and received so far.
    pub fn traffic(&self) -> Traffic {
        self.counter.traffic().with_retries(self.retries.load(Ordering::Relaxed))
    }

    /// The URL of a key.
    pub fn url(&self, key: &str) -> String {
        format!("{}://{}/{key}", self.location.scheme().name(), self.location.bucket())
    }

    /// Whether an object with this key can be asked for: the client takes keys for paths. It cannot have empty parts, parts
    /// `.` and `..`, or control characters.
    pub fn can_name(key: &str) -> bool {
        Path::parse(key).is_ok_and(|path| path.as_ref() == key && !key.is_empty())
    }

    /// The next objects whose keys begin so, at most as many as the store lists at once.
    ///
    /// # Errors
    /// If the store cannot be asked.
    pub fn page(&self, prefix: &str, next: Option<&str>, most: Option<usize>) -> Result<Page> {
        let listed = self.again("list", prefix, |objects| {
            let (pages, prefix) = (objects.client.pages.clone(), prefix.to_string());
            let mut options =
                PaginatedListOptions { page_token: next.map(Into::into), max_keys: most, ..Default::default() };
            options.extensions.insert(RawKeys);
            objects.tasks.run(within(objects.patience.least(), async move {
                pages.list_paginated((!prefix.is_empty()).then_some(&prefix), options).await
            }))
        })?;
        let object = |meta: ObjectMeta| {
            let key = revealed(meta.location.as_ref());
            let key = key.ok_or_else(|| self.error(Failed::Lost("the listing has no keys"), "list", prefix))?;
            Ok(Object::of(key, meta))
        };
        let objects = listed.result.objects.into_iter().map(object).collect::<Result<_>>()?;
        Ok(Page { objects, next: listed.page_token })
    }

    /// What is known of an object, and what was kept beside it.
    ///
    /// # Errors
    /// If the store cannot be asked, or no object can have the key.
    pub fn head(&self, key: &str) -> Result<Option<(Object, Notes)>> {
        let path = self.path(key, "stat")?;
        let found = self.again("stat", key, |objects| {
            let (store, path) = (objects.client.store.clone(), path.clone());
            let head = GetOptions { head: true, ..GetOptions::default() };
            let asked = within(objects.patience.least(), async move { store.get_opts(&path, head).await });
            match objects.tasks.run(asked) {
                Ok(found) => Ok(Some((found.meta, found.attributes))),
                Err(failed) if failed.kind() == StorageErrorKind::NotFound => Ok(None),
                Err(failed) => Err(failed),
            }
        })?;
        Ok(found.map(|(meta, attributes)| (Object::of(key.into(), meta), noted(&attributes))))
    }

    /// These bytes of an object, as far as it has them; of one that has this tag, if one is given.
    ///
    /// # Errors
    /// If the store cannot be asked, or no object can have the key.
    pub fn read(&self, key: &str, range: Range<u64>, tag: Option<&str>) -> Result<Got> {
        let answer = self.again("read", key, |objects| {
            let asked = piece(
                objects.client.store.clone(),
                objects.path(key, "read").map_err(Failed::from)?,
                range.clone(),
                tag.map(Into::into),
                objects.patience,
            );
            objects.tasks.run(asked)
        })?;
        self.got(answer, key)
    }

    /// Begins to read these bytes, while others are dealt with.
    ///
    /// # Errors
    /// If no object can have the key.
    pub fn read_ahead(&self, key: &str, range: Range<u64>, tag: Option<&str>) -> Result<Ahead> {
        let (path, tag) = (self.path(key, "read")?, tag.map(String::from));
        let asked = piece(self.client.store.clone(), path, range.clone(), tag.clone(), self.patience);
        Ok(Ahead { started: self.tasks.start(asked), key: key.into(), range, tag })
    }

    /// What was begun. What failed for now is tried again.
    ///
    /// # Errors
    /// As of [`read`](Self::read).
    pub fn awaited(&self, ahead: &Ahead) -> Result<Got> {
        match ahead.started.wait() {
            Ok(answer) => self.got(answer, &ahead.key),
            Err(failed) if failed.is_passing() => self.read(&ahead.key, ahead.range.clone(), ahead.tag.as_deref()),
            Err(failed) => Err(self.error(failed, "read", &ahead.key)),
        }
    }

    /// Puts an object in place of whatever has the key.
    ///
    /// # Errors
    /// If the store does not take it.
    pub fn put(&self, key: &str, bytes: Vec<u8>, notes: &Notes) -> Result<()> {
        let path = self.path(key, "write")?;
        self.sends(bytes.len());
        let (patience, payload) = (self.patience.for_bytes(bytes.len() as u64), PutPayload::from(bytes));
        self.again("write", key, |objects| {
            let (store, path, payload) = (objects.client.store.clone(), path.clone(), payload.clone());
            let options = PutOptions { attributes: attributes(notes), ..PutOptions::default() };
            objects.tasks.run(within(patience, async move { store.put_opts(&path, payload, options).await.map(drop) }))
        })
    }

    fn got(&self, answer: Answer, key: &str) -> Result<Got> {
        match answer {
            Answer::Bytes(bytes, meta) => {
                if let Some(rates) = &self.rates {
                    rates.received(bytes.len() as u64);
                }
                Ok(Got::Bytes(bytes, Object::of(key.into(), meta)))
            }
            Answer::Replaced => Ok(Got::Replaced),
            Answer::Missing => Ok(Got::Missing),
            // Of an empty object no byte can be asked for.
            Answer::Beyond => match self.head(key)? {
                Some((object, _)) if object.size == 0 => Ok(Got::Bytes(Vec::new(), object)),
                Some(_) => Ok(Got::Replaced),
                None => Ok(Got::Missing),
            },
        }
    }

    /// Whether objects of this store that are sent in parts can have notes.
    pub(super) fn notes_parts(&self) -> bool {
        self.location.scheme() != Scheme::Azure
    }

    pub(super) fn path(&self, key: &str, operation: &'static str) -> Result<Path> {
        Path::parse(key).ok().filter(|path| path.as_ref() == key && !key.is_empty()).ok_or_else(|| {
            StorageError::new(StorageErrorKind::Invalid, operation)
                .at(self.url(key))
                .because("an object with this key cannot be asked for")
        })
    }

    pub(super) fn error(&self, failed: Failed, operation: &'static str, key: &str) -> StorageError {
        StorageError::new(failed.kind(), operation).at(self.url(key)).because(failed.said())
    }

    /// Does what may be done twice, again as long as that is worth it.
    pub(super) fn again<T>(
        &self,
        operation: &'static str,
        key: &str,
        work: impl Fn(&Self) -> std::result::Result<T, Failed>,
    ) -> Result<T> {
        let is_away = self.failed.load(Ordering::Relaxed) >= AWAY;
        let policy = if is_away { RetryPolicy { attempts: 1, ..self.policy } } else { self.policy };
        let done = again(policy, &self.pace, &self.retries, || {
            work(self).map_err(|failed| self.error(failed, operation, key))
        });
        match &done {
            Err(error) if error.kind().is_passing() => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
            _ => self.failed.store(0, Ordering::Relaxed),
        }
        done
    }
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        Self::Together(error.kind(), error.reason())
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("location", &self.location).finish_non_exhaustive()
    }
}

pub(super) fn attributes(notes: &Notes) -> Attributes {
    let attribute = |(name, value): (&String, &String)| {
        (Attribute::Metadata(name.clone().into()), AttributeValue::from(value.clone()))
    };
    notes.iter().map(attribute).collect()
}

fn noted(attributes: &Attributes) -> Notes {
    let note = |(attribute, value): (&Attribute, &AttributeValue)| match attribute {
        Attribute::Metadata(name) => Some((name.to_ascii_lowercase(), value.to_string())),
        _ => None,
    };
    attributes.iter().filter_map(note).collect()
}

/// Reads bytes of an object, and no more and no less than those that it has of the range.
async fn piece(
    store: Arc<dyn ObjectStore>,
    path: Path,
    range: Range<u64>,
    tag: Option<String>,
    patience: Patience,
) -> std::result::Result<Answer, Failed> {
    let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), if_match: tag, ..GetOptions::default() };
    let found = match within(patience.least(), async move { store.get_opts(&path, options).await }).await {
        Ok(found) => found,
        Err(failed) => {
            return match (failed.kind(), failed.status()) {
                (_, Some(412)) => Ok(Answer::Replaced),
                (_, Some(416)) => Ok(Answer::Beyond),
                (StorageErrorKind::NotFound, _) => Ok(Answer::Missing),
                _ => Err(failed),
            };
        }
    };
    let (meta, end) = (found.meta.clone(), range.end.min(found.meta.size));
    if found.range != (range.start..end) {
        return Err(Failed::Lost("the store sent other bytes than those that were asked for"));
    }
    let wanted = end.saturating_sub(range.start);
    let bytes = gathered(found, wanted, patience).await?;
    match bytes.len() as u64 == wanted {
        true => Ok(Answer::Bytes(bytes, meta)),
        false => Err(Failed::Lost(ENDED_EARLY)),
    }
}
