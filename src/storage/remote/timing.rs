//! How long is waited for an answer, and how many requests are on their way at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

/// What a line has to carry at least, in bytes a second: half a Mbit/s. A pack of 64 MiB then has 18 minutes.
const SLOWEST: u64 = 64 << 10;

/// How long is waited for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience(pub(super) Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(60))
    }
}

impl Patience {
    /// ... to a request that moves no bytes worth mentioning; and for the next piece of an answer: a download that goes on,
    /// however slowly, is never given up.
    pub(super) fn least(self) -> Duration {
        self.0
    }

    /// ... to a request that sends this many bytes.
    pub(super) fn for_bytes(self, bytes: u64) -> Duration {
        self.0.saturating_add(Duration::from_secs(bytes / SLOWEST))
    }
}

/// Leave to send requests: as many as may be on their way now.
#[derive(Debug)]
pub(super) struct Permits {
    semaphore: Semaphore,
    width: Width,
    /// How many there are, taken or not.
    there: Mutex<usize>,
}

impl Permits {
    /// At most this many, from any number of threads.
    pub(super) fn new(most: usize) -> Self {
        let width = Width::new(most.min(Semaphore::MAX_PERMITS));
        let there = width.now();
        Self { semaphore: Semaphore::new(there), width, there: Mutex::new(there) }
    }

    /// How many there can be.
    pub(super) fn most(&self) -> usize {
        self.width.most
    }

    /// Does it once it may be sent. `is_throttled` says whether the answer asks for fewer requests.
    pub(super) async fn with<T>(&self, work: impl Future<Output = T>, is_throttled: impl FnOnce(&T) -> bool) -> T {
        // It is never closed.
        let permit = self.semaphore.acquire().await;
        let done = work.await;
        drop(permit);
        match is_throttled(&done) {
            true => self.width.throttled(),
            false => self.width.answered(),
        }
        self.settle();
        done
    }

    /// Makes permits, or takes away those that are not in use. The others go when they come back.
    fn settle(&self) {
        let mut there = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.width.now();
        if *there > now {
            *there -= self.semaphore.forget_permits(*there - now);
        } else {
            self.semaphore.add_permits(now - *there);
            *there = now;
        }
    }
}

/// How many requests are sent at once: fewer after the store has asked for that, slowly more again.
#[derive(Debug)]
struct Width {
    most: usize,
    /// In sixteenths of a request.
    now: AtomicUsize,
}

/// One request, as it is counted here.
const ONE: usize = 16;

impl Width {
    fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { most, now: AtomicUsize::new(most * ONE) }
    }

    /// How many may be on their way now.
    fn now(&self) -> usize {
        (self.now.load(Ordering::Relaxed) / ONE).clamp(1, self.most)
    }

    /// The store has answered.
    fn answered(&self) {
        self.change(|now| (now + 1).min(self.most * ONE));
    }

    /// The store has asked for fewer requests.
    fn throttled(&self) {
        self.change(|now| (now / 2).max(ONE));
    }

    fn change(&self, how: impl Fn(usize) -> usize) {
        let _ = self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(how(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_pack_has_time_on_a_slow_line() {
        let patience = Patience::default();
        assert_eq!(patience.for_bytes(0), patience.least());
        let pack = patience.for_bytes(64 << 20);
        assert!(pack > Duration::from_secs(1000) && pack < Duration::from_secs(1200), "{pack:?}");
    }

    #[test]
    fn throttling_halves_the_requests_and_answers_bring_them_back() {
        let width = Width::new(16);
        assert_eq!(width.now(), 16);
        width.throttled();
        width.throttled();
        assert_eq!(width.now(), 4);
        (0..ONE).for_each(|_| width.answered());
        assert_eq!(width.now(), 5);
        (0..1000).for_each(|_| width.answered());
        assert_eq!(width.now(), 16);
        (0..100).for_each(|_| width.throttled());
        assert_eq!(width.now(), 1);
    }

    #[test]
    fn a_store_that_asks_for_less_gets_less_at_once_and_later_more_again() {
        use std::sync::Arc;
        use std::sync::atomic::AtomicUsize;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let permits = Arc::new(Permits::new(8));
            let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let wave = async |count: usize, is_throttled: bool| {
                most.store(0, Ordering::Relaxed);
                let one = || {
                    let (permits, now, most) = (permits.clone(), now.clone(), most.clone());
                    tokio::spawn(async move {
                        let work = async {
                            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            now.fetch_sub(1, Ordering::Relaxed);
                        };
                        permits.with(work, |()| is_throttled).await;
                    })
                };
                for task in (0..count).map(|_| one()).collect::<Vec<_>>() {
                    task.await.unwrap();
                }
                most.load(Ordering::Relaxed)
            };
            assert_eq!(wave(24, false).await, 8);
            assert_eq!(wave(8, true).await, 8);
            assert_eq!(wave(8, true).await, 1, "eight answers asked for less");
            wave(200, false).await;
            assert_eq!(wave(24, false).await, 8);
        });
    }
}
