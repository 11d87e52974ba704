//! Not sending or receiving more bytes a second than is wanted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{Backend, ByteRange, Created, Each, Kind, Name, Pace, PutTerms, RealPace, Result};

/// Bytes a second in each direction, for all together who share this. No number limits nothing.
#[derive(Debug)]
pub struct Rates {
    up: Lane,
    down: Lane,
    pace: Arc<dyn Pace>,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    /// Bytes a second.
    rate: Option<u64>,
    /// When the bytes that went so far have had their time.
    done: Mutex<Duration>,
}

impl Rates {
    /// These bytes a second are sent at most (`up`) and received (`down`).
    pub fn new(up: Option<u64>, down: Option<u64>) -> Self {
        Self::paced(up, down, Arc::new(RealPace::new()))
    }

    /// ... by another clock.
    pub fn paced(up: Option<u64>, down: Option<u64>, pace: Arc<dyn Pace>) -> Self {
        let lane = |rate| Lane { rate, done: Mutex::default() };
        Self { up: lane(up), down: lane(down), pace }
    }

    /// Waits before this many bytes are sent.
    pub fn send(&self, bytes: u64) {
        self.up.take(bytes, &*self.pace);
    }

    /// Takes the time of what was received; how much it is, is known only then.
    pub fn received(&self, bytes: u64) {
        self.down.take(bytes, &*self.pace);
    }
}

impl Lane {
    /// Waits until the bytes before have had their time, then takes the time of these. So a burst is at most one object.
    fn take(&self, bytes: u64, pace: &dyn Pace) {
        let Some(rate) = self.rate else { return };
        let time = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let time = Duration::from_nanos(u64::try_from(time).unwrap_or(u64::MAX));
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let now = pace.now();
        let wait = done.saturating_sub(now);
        *done = now.max(*done).saturating_add(time);
        drop(done);
        if !wait.is_zero() {
            pace.wait(wait);
        }
    }
}

/// Keeps the use of another backend within rates. Listings count nothing.
#[derive(Debug)]
pub struct Limit {
    inner: Arc<dyn Backend>,
    rates: Arc<Rates>,
}

impl Limit {
    /// Keeps the use of `inner` within these rates, together with all others that share them.
    pub fn new(inner: Arc<dyn Backend>, rates: Arc<Rates>) -> Self {
        Self { inner, rates }
    }

    fn received(&self, read: Result<Vec<u8>>) -> Result<Vec<u8>> {
        read.inspect(|bytes| self.rates.received(bytes.len() as u64))
    }

    fn received_many(&self, read: Vec<Result<Vec<u8>>>) -> Vec<Result<Vec<u8>>> {
        self.rates.received(read.iter().flatten().map(|bytes| bytes.len() as u64).sum());
        read
    }
}

impl Backend for Limit {
    forward!(
        inner: location, abilities, traffic, prepare, head, delete, delete_many, retain, settle, tidy, keep_reserve, use_reserve
    );

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        self.rates.send(bytes.len() as u64);
        self.inner.put(name, bytes, terms)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.received(self.inner.read_one(name, range))
    }

    fn read_stored(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.received(self.inner.read_stored(name, range))
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.received_many(self.inner.read_many(wants))
    }

    fn read_again(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.received_many(self.inner.read_again(wants))
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        self.inner.list(kind, after, each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;
    use crate::storage::pace::tests::FakePace;

    #[test]
    fn bytes_take_the_time_that_the_rate_says() {
        let pace = Arc::new(FakePace::default());
        let rates = Arc::new(Rates::paced(Some(1000), Some(500), pace.clone()));
        let limit = Limit::new(Arc::new(Memory::new()), rates);
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
        let limit = Limit::new(Arc::new(Memory::new()), Arc::new(Rates::paced(None, None, pace.clone())));
        limit.create(&Name::log(1), &[0; 100_000]).unwrap();
        limit.read(&Name::log(1), u64::MAX).unwrap();
        assert_eq!(pace.waits(), []);
    }
}
