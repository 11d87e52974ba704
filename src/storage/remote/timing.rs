//! How long is waited for an answer, and how many requests are on their way at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

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

/// How many requests are sent at once: fewer after the store has asked for that, slowly more again.
#[derive(Debug)]
pub(super) struct Width {
    most: usize,
    /// In sixteenths of a request.
    now: AtomicUsize,
}

/// One request, as it is counted here.
const ONE: usize = 16;

impl Width {
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { most, now: AtomicUsize::new(most * ONE) }
    }

    /// How many may be on their way now.
    pub(super) fn now(&self) -> usize {
        (self.now.load(Ordering::Relaxed) / ONE).clamp(1, self.most)
    }

    /// The store has answered.
    pub(super) fn answered(&self) {
        self.change(|now| (now + 1).min(self.most * ONE));
    }

    /// The store has asked for fewer requests.
    pub(super) fn throttled(&self) {
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
}
