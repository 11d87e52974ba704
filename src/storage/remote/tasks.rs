//! What is asked of the store, as tasks of a runtime that stays inside.

use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, ObjectMeta, ObjectStore};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::errors::{self, Refused};
use super::timing::{Patience, Permits};
use super::traffic::Answer;
use crate::storage::{ByteRange, StorageErrorKind};

/// Threads for the connections. They encrypt and decrypt what goes over them, and hash what is sent.
const THREADS: usize = 2;

/// This many names are passed on at once: at least those of one answer.
const PAGE: usize = 5000;

/// An operation that did not succeed.
#[derive(Debug)]
pub(super) enum Failed {
    /// The client says so; with the status of the last answer.
    Client(Box<Error>, Option<u16>),
    /// No answer, or no more of it, within this time.
    Late(Duration),
    /// The task ended without a result.
    Lost(&'static str),
    /// One of several that failed together.
    Together(StorageErrorKind, String),
}

impl Failed {
    pub(super) fn kind(&self) -> StorageErrorKind {
        match self {
            Self::Client(error, status) => errors::kind_of(error, *status),
            Self::Late(_) | Self::Lost(_) => StorageErrorKind::Unavailable,
            Self::Together(kind, _) => *kind,
        }
    }

    /// What it means if an object was to be created.
    pub(super) fn refused(&self) -> Refused {
        match self {
            Self::Client(error, status) => errors::refused(error, *status),
            Self::Late(_) | Self::Lost(_) => Refused::Unknown,
            Self::Together(kind, _) => Refused::Failed(*kind),
        }
    }

    pub(super) fn is_passing(&self) -> bool {
        self.kind().is_passing()
    }

    /// The status of the last answer, where it was one that counts.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Client(_, status) => *status,
            _ => None,
        }
    }

    /// Whether the store may have meant that the object does not have these bytes.
    pub(super) fn may_be_about_the_range(&self) -> bool {
        match self {
            Self::Client(_, status) => matches!(status, Some(416 | 200..=299)),
            _ => false,
        }
    }

    /// The same failure of something else that was asked for along with it.
    pub(super) fn again(&self) -> Self {
        Self::Together(self.kind(), self.said())
    }

    pub(super) fn said(&self) -> String {
        match self {
            Self::Client(error, status) => match status {
                Some(status) if *status >= 300 => format!("{} (HTTP {status})", errors::said(error)),
                _ => errors::said(error),
            },
            Self::Late(time) => format!("no answer within {} s", time.as_secs()),
            Self::Lost(why) => (*why).into(),
            Self::Together(_, said) => said.clone(),
        }
    }
}

pub(super) type Done<T> = Result<T, Failed>;

/// A task of the runtime.
pub(super) type Task<T> = Pin<Box<dyn Future<Output = Done<T>> + Send>>;

/// The runtime.
#[derive(Debug)]
pub(super) struct Tasks {
    runtime: Option<Runtime>,
    /// One for each request that may be on its way: fewer after the store has asked for that.
    permits: Arc<Permits>,
}

/// Does it once there is a permit.
async fn permitted<T>(permits: Arc<Permits>, work: impl Future<Output = Done<T>>) -> Done<T> {
    permits.with(work, is_throttled).await
}

fn is_throttled<T>(done: &Done<T>) -> bool {
    matches!(done, Err(failed) if failed.kind() == StorageErrorKind::Throttled)
}

impl Tasks {
    /// For at most this many requests at once, from any number of threads.
    pub(super) fn new(at_once: usize) -> std::io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("object-store").enable_all();
        Ok(Self { runtime: Some(builder.build()?), permits: Arc::new(Permits::new(at_once)) })
    }

    /// The same for another number of requests. Nothing is on its way yet.
    pub(super) fn at_once(mut self, at_once: usize) -> Self {
        self.permits = Arc::new(Permits::new(at_once));
        self
    }

    /// Does the work on the runtime's threads. It is waited for without entering the runtime, so that the calling thread
    /// may be one of another.
    pub(super) fn run<T: Send + 'static>(&self, work: impl Future<Output = Done<T>> + Send + 'static) -> Done<T> {
        let work = permitted(self.permits.clone(), work);
        self.hand_over(work).unwrap_or(Err(Failed::Lost("the request was given up")))
    }

    /// Does all of it, as much at once as is allowed.
    pub(super) fn run_all<T, W>(&self, work: Vec<W>) -> Vec<Done<T>>
    where
        T: Send + 'static,
        W: Future<Output = Done<T>> + Send + 'static,
    {
        let count = work.len();
        let work: Vec<_> = work.into_iter().map(|one| permitted(self.permits.clone(), one)).collect();
        let most = self.permits.most();
        let all = async move { futures_util::stream::iter(work).buffered(most).collect::<Vec<_>>().await };
        let lost = || (0..count).map(|_| Err(Failed::Lost("the requests were given up"))).collect();
        if count == 0 { Vec::new() } else { self.hand_over(all).unwrap_or_else(lost) }
    }

    /// The next names of a listing, or none at its end.
    pub(super) fn page(&self, mut pages: Pages) -> (Pages, Done<Option<Vec<ObjectMeta>>>) {
        let permits = self.permits.clone();
        let work = async move {
            let page = permits.with(pages.next(), is_throttled).await;
            (pages, page)
        };
        let lost = || (Pages::over(), Err(Failed::Lost("the listing was given up")));
        self.hand_over(work).unwrap_or_else(lost)
    }

    /// Begins the work, which goes on while others wait for something else.
    pub(super) fn start<T: Send + 'static>(&self, work: impl Future<Output = Done<T>> + Send + 'static) -> Started<T> {
        let (done, wait) = mpsc::sync_channel(1);
        let work = permitted(self.permits.clone(), work);
        let task = self.runtime.as_ref().map(|runtime| {
            runtime.spawn(async move {
                let _ = done.send(work.await);
            })
        });
        Started { wait, task }
    }

    fn hand_over<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (done, wait) = mpsc::sync_channel(1);
        self.runtime.as_ref()?.spawn(async move {
            let _ = done.send(work.await);
        });
        wait.recv().ok()
    }
}

impl Drop for Tasks {
    /// Does not wait for anything: that is not allowed on threads of other runtimes.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Work that was begun. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Started<T> {
    wait: mpsc::Receiver<Done<T>>,
    task: Option<JoinHandle<()>>,
}

impl<T> Started<T> {
    /// Waits for it.
    pub(super) fn wait(&self) -> Done<T> {
        self.wait.recv().unwrap_or(Err(Failed::Lost("the request was given up")))
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Does one thing that has to be answered within a time.
pub(super) async fn within<T>(time: Duration, work: impl Future<Output = Result<T, Error>>) -> Done<T> {
    let (done, status) = answered(time, work).await?;
    done.map_err(|error| Failed::Client(Box::new(error), status))
}

/// What is done within a time, and the status of the last answer.
async fn answered<T>(time: Duration, work: impl Future<Output = T>) -> Done<(T, Option<u16>)> {
    match Answer::of(tokio::time::timeout(time, work)).await {
        (Ok(done), status) => Ok((done, status)),
        (Err(_), _) => Err(Failed::Late(time)),
    }
}

/// What was read.
#[derive(Debug)]
pub(super) enum Read {
    /// All that was asked for, and no byte more or less.
    Whole(Vec<u8>),
    /// The object has this length, and not what was asked for.
    OfSize(u64),
}

/// Reads bytes of an object. What is longer than allowed is not read.
pub(super) async fn read(store: Arc<dyn ObjectStore>, key: Path, range: ByteRange, patience: Patience) -> Done<Read> {
    read_version(store, key, range, None, patience).await
}

/// The same of a version of it; the latest if none is named.
pub(super) async fn read_version(
    store: Arc<dyn ObjectStore>,
    key: Path,
    range: ByteRange,
    version: Option<String>,
    patience: Patience,
) -> Done<Read> {
    let mut options = GetOptions { version, ..GetOptions::default() };
    if let ByteRange::Exactly { offset, length } = range {
        options.range = Some(GetRange::Bounded(offset..offset.saturating_add(length as u64)));
    }
    let found = within(patience.least(), async move { store.get_opts(&key, options).await }).await?;
    let size = found.meta.size;
    let wanted = match range {
        ByteRange::UpTo(limit) if size > limit => return Ok(Read::OfSize(size)),
        ByteRange::UpTo(_) => size,
        ByteRange::Exactly { offset, length } if found.range.start == offset => length as u64,
        ByteRange::Exactly { .. } => return Ok(Read::OfSize(size)),
    };
    let bytes = gathered(found, wanted, patience).await?;
    match bytes.len() as u64 == wanted {
        true => Ok(Read::Whole(bytes)),
        // Cut off on the way, or the object is shorter than the range.
        false if matches!(range, ByteRange::Exactly { offset, length } if offset.saturating_add(length as u64) > size) => {
            Ok(Read::OfSize(size))
        }
        false => Err(Failed::Lost(ENDED_EARLY)),
    }
}

/// What is said of an answer with fewer bytes than it should have.
pub(super) const ENDED_EARLY: &str = "the answer ended before all bytes were there";

/// All bytes of an answer, which are `wanted` at most.
pub(super) async fn gathered(found: GetResult, wanted: u64, patience: Patience) -> Done<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut pieces = found.into_stream();
    // It is known to be no more than was asked for, or allowed; what does not come is not waited for with room.
    bytes.reserve_exact(usize::try_from(wanted.min(1 << 20)).unwrap_or(0));
    loop {
        let next = within(patience.least(), async { pieces.next().await.transpose() }).await;
        let Some(piece) = next.map_err(broken_off)? else { return Ok(bytes) };
        if (bytes.len() + piece.len()) as u64 > wanted {
            return Err(Failed::Lost("more bytes came than the storage said"));
        }
        bytes.extend_from_slice(&piece);
    }
}

/// An answer that began well and broke off.
fn broken_off(failed: Failed) -> Failed {
    match failed {
        Failed::Client(error, _) => Failed::Together(StorageErrorKind::Unavailable, errors::said(&error)),
        failed => failed,
    }
}

/// Deletes one object; that there is none is as good.
pub(super) fn delete(store: Arc<dyn ObjectStore>, key: Path, patience: Patience) -> Task<()> {
    Box::pin(async move {
        let one = futures_util::stream::iter([Ok(key)]).boxed();
        let done = within(patience.least(), async move {
            store.delete_stream(one).next().await.unwrap_or_else(|| Err(no_answer())).map(drop)
        });
        match done.await {
            Err(failed) if failed.kind() == StorageErrorKind::NotFound => Ok(()),
            done => done,
        }
    })
}

/// Deletes several objects at one request: as many results as keys, or one failure for all.
pub(super) async fn delete_batch(
    store: Arc<dyn ObjectStore>,
    keys: Vec<Path>,
    patience: Patience,
) -> Done<Vec<Done<()>>> {
    let count = keys.len();
    let all = async move {
        let keys = futures_util::stream::iter(keys.into_iter().map(Ok)).boxed();
        store.delete_stream(keys).collect::<Vec<_>>().await
    };
    let (mut results, status) = answered(patience.least().saturating_mul(2), all).await?;
    let failed = |error| Failed::Client(Box::new(error), status);
    match results.len() {
        length if length == count => Ok(results.into_iter().map(|one| one.map(drop).map_err(failed)).collect()),
        // All of it failed, and is reported once.
        1 => Err(failed(results.remove(0).err().unwrap_or_else(no_answer))),
        _ => Err(failed(no_answer())),
    }
}

fn no_answer() -> Error {
    Error::Generic { store: "object store", source: "it did not answer for all that was to be deleted".into() }
}

/// A listing, page by page.
pub(super) struct Pages {
    stream: Pin<Box<dyn Stream<Item = Result<ObjectMeta, Error>> + Send>>,
    /// A failure that came after names which were handed on first.
    failed: Option<Failed>,
    patience: Patience,
}

impl Pages {
    pub(super) fn new(store: &Arc<dyn ObjectStore>, prefix: &Path, after: Option<Path>, patience: Patience) -> Self {
        let stream = match after {
            Some(after) => store.list_with_offset(Some(prefix), &after),
            None => store.list(Some(prefix)),
        };
        // It is asked again at its end, where the client's own streams would panic.
        Self { stream: stream.fuse().boxed(), failed: None, patience }
    }

    fn over() -> Self {
        let (stream, patience) = (futures_util::stream::empty().boxed(), Patience::default());
        Self { stream, failed: None, patience }
    }

    /// What the store lists next.
    async fn next(&mut self) -> Done<Option<Vec<ObjectMeta>>> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let mut ready = (&mut self.stream).ready_chunks(PAGE);
        let (page, status) = answered(self.patience.least(), ready.next()).await?;
        let mut names = Vec::new();
        for one in page.into_iter().flatten() {
            match one {
                Ok(meta) => names.push(meta),
                Err(error) => {
                    self.failed = Some(Failed::Client(Box::new(error), status));
                    break;
                }
            }
        }
        match self.failed.take_if(|_| names.is_empty()) {
            Some(failed) => Err(failed),
            None => Ok((!names.is_empty()).then_some(names)),
        }
    }
}
