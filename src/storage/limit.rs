//! Not asking for more at once than is wanted: bytes a second in each direction, and requests on their way.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::{Abilities, Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, Pace, PutTerms, RealPace, Result};

/// What is not to be exceeded. Nothing here limits nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes a second that are sent.
    pub up: Option<u64>,
    /// Bytes a second that are received.
    pub down: Option<u64>,
    /// Requests on their way at once, but for listings: the receiver of a listing may make further requests.
    pub requests: Option<usize>,
}

impl Limits {
    /// Limits the bytes a second that are sent.
    pub fn up(self, bytes: u64) -> Self {
        Self { up: Some(bytes), ..self }
    }

    /// Limits the bytes a second that are received.
    pub fn down(self, bytes: u64) -> Self {
        Self { down: Some(bytes), ..self }
    }

    /// Limits the requests that are on their way at once.
    pub fn requests(self, requests: usize) -> Self {
        Self { requests: Some(requests), ..self }
    }
}

/// Keeps the use of another backend within limits.
pub struct Limit {
    inner: Arc<dyn Backend>,
    limits: Limits,
    pace: Arc<dyn Pace>,
    /// When the bytes that were sent so far have had their time.
    sent: Mutex<Duration>,
    /// ... those that were received.
    received: Mutex<Duration>,
    requests: Mutex<usize>,
    ended: Condvar,
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit").field("inner", &self.inner).field("limits", &self.limits).finish()
    }
}

/// A request that is on its way.
struct Request<'l>(Option<&'l Limit>);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if let Some(limit) = self.0 {
            *limit.requests.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
            limit.ended.notify_one();
        }
    }
}

impl Limit {
    /// Keeps the use of `inner` within these limits.
    pub fn new(inner: Arc<dyn Backend>, limits: Limits) -> Self {
        Self::paced(inner, limits, Arc::new(RealPace::new()))
    }

    /// ... by another clock.
    pub fn paced(inner: Arc<dyn Backend>, limits: Limits, pace: Arc<dyn Pace>) -> Self {
        let (sent, received, requests) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { inner, limits, pace, sent, received, requests, ended: Condvar::new() }
    }

    /// Waits until there is room for one more request.
    fn request(&self) -> Request<'_> {
        let Some(most) = self.limits.requests else { return Request(None) };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        while *requests >= most.max(1) {
            requests = self.ended.wait(requests).unwrap_or_else(PoisonError::into_inner);
        }
        *requests += 1;
        Request(Some(self))
    }

    /// Waits until the bytes before have had their time, then takes the time of these. So a burst is at most one object.
    fn transfer(&self, done: &Mutex<Duration>, rate: Option<u64>, bytes: u64) {
        let Some(rate) = rate else { return };
        let time = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let time = Duration::from_nanos(u64::try_from(time).unwrap_or(u64::MAX));
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.pace.now();
        let wait = done.saturating_sub(now);
        *done = now.max(*done).saturating_add(time);
        drop(done);
        if !wait.is_zero() {
            self.pace.wait(wait);
        }
    }

    /// Reads in parts of as many as may be on their way at once.
    fn read_parts(
        &self,
        wants: &[(Name, ByteRange)],
        read: impl Fn(&[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>>,
    ) -> Vec<Result<Vec<u8>>> {
        let mut done = Vec::with_capacity(wants.len());
        for part in wants.chunks(self.limits.requests.unwrap_or(usize::MAX).max(1)) {
            let _request = self.request();
            let read = read(part);
            let bytes = read.iter().flatten().map(|bytes| bytes.len() as u64).sum();
            done.extend(self.received(read, bytes));
        }
        done
    }

    /// Takes the time of what was received; how much it is, is known only then.
    fn received<T>(&self, read: T, bytes: u64) -> T {
        self.transfer(&self.received, self.limits.down, bytes);
        read
    }
}

impl Backend for Limit {
    forward!(inner: location, traffic, prepare, settle, tidy, keep_reserve, use_reserve);

    fn retain(&self, names: &[Name], time: Duration) -> Vec<Result<()>> {
        let _request = self.request();
        self.inner.retain(names, time)
    }

    fn abilities(&self) -> Abilities {
        let inner = self.inner.abilities();
        let requests = self.limits.requests.unwrap_or(usize::MAX).max(1);
        Abilities { concurrency: inner.concurrency.min(requests), ..inner }
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        let _request = self.request();
        self.transfer(&self.sent, self.limits.up, bytes.len() as u64);
        self.inner.put(name, bytes, terms)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        let _request = self.request();
        let read = self.inner.read_one(name, range)?;
        let bytes = read.len() as u64;
        Ok(self.received(read, bytes))
    }

    fn read_stored(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        let _request = self.request();
        let read = self.inner.read_stored(name, range)?;
        let bytes = read.len() as u64;
        Ok(self.received(read, bytes))
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.read_parts(wants, |part| self.inner.read_many(part))
    }

    fn read_again(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.read_parts(wants, |part| self.inner.read_again(part))
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        let _request = self.request();
        self.inner.head(name)
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        self.inner.list(kind, after, each)
    }

    fn delete(&self, name: &Name) -> Result<()> {
        let _request = self.request();
        self.inner.delete(name)
    }

    fn delete_many(&self, names: &[Name]) -> Vec<Result<()>> {
        let _request = self.request();
        self.inner.delete_many(names)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::storage::Memory;
    use crate::storage::pace::tests::FakePace;

    #[test]
    fn bytes_take_the_time_that_the_rate_says() {
        let pace = Arc::new(FakePace::default());
        let limits = Limits::default().up(1000).down(500);
        let limit = Limit::paced(Arc::new(Memory::new()), limits, pace.clone());
        for n in 0..10 {
            limit.create(&Name::log(n), &[0; 100]).unwrap();
        }
        assert_eq!(pace.now(), Duration::from_millis(900), "the last object need not be waited for");
        let before = pace.now();
        let wants: Vec<_> = (0..10).map(|n| (Name::log(n), ByteRange::UpTo(100))).collect();
        assert!(limit.read_many(&wants).iter().all(Result::is_ok));
        limit.read(&Name::log(0), 100).unwrap();
        assert_eq!(pace.now() - before, Duration::from_secs(2));
        // A pause is not saved up.
        pace.wait(Duration::from_secs(60));
        let before = pace.now();
        for n in 0..3 {
            limit.create(&Name::log(100 + n), &[0; 1000]).unwrap();
        }
        assert_eq!(pace.now() - before, Duration::from_secs(2));
    }

    #[test]
    fn nothing_is_waited_for_without_a_limit() {
        let pace = Arc::new(FakePace::default());
        let limit = Limit::paced(Arc::new(Memory::new()), Limits::default(), pace.clone());
        limit.create(&Name::log(1), &[0; 100_000]).unwrap();
        limit.read(&Name::log(1), u64::MAX).unwrap();
        assert_eq!(pace.waits(), []);
    }

    /// A storage that counts the calls that are in it at once.
    #[derive(Debug, Default)]
    struct Crowd {
        memory: Memory,
        now: AtomicUsize,
        most: AtomicUsize,
    }

    impl Backend for Crowd {
        forward!(memory: location, abilities, prepare, read_one, head, list, delete);

        fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
            self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_micros(200));
            let created = self.memory.put(name, bytes, terms);
            self.now.fetch_sub(1, Ordering::SeqCst);
            created
        }
    }

    #[test]
    fn no_more_requests_are_on_their_way_than_are_allowed() {
        let crowd = Arc::new(Crowd::default());
        let limit = Limit::new(crowd.clone(), Limits::default().requests(2));
        std::thread::scope(|scope| {
            for n in 0..8 {
                let limit = &limit;
                scope.spawn(move || {
                    for i in 0..20 {
                        limit.create(&Name::log(n * 100 + i), b"x").unwrap();
                    }
                });
            }
        });
        assert!((1..=2).contains(&crowd.most.load(Ordering::SeqCst)));
        assert_eq!(limit.list_all(Kind::Log).unwrap().len(), 160);
        assert_eq!(limit.abilities().concurrency, 1);
    }
}
