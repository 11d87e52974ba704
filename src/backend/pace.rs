//! Time for wrappers that wait: the clock of the machine, or one that a test turns.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Where wrappers take time and chance from.
pub trait Pace: Send + Sync + fmt::Debug {
    /// How long it is since some moment that stays the same.
    fn now(&self) -> Duration;

    /// Waits for so long.
    fn wait(&self, time: Duration);

    /// Any number.
    fn random(&self) -> u64;
}

/// The clock of the machine.
#[derive(Debug)]
pub struct RealPace {
    began: Instant,
}

impl RealPace {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self { began: Instant::now() }
    }
}

impl Default for RealPace {
    fn default() -> Self {
        Self::new()
    }
}

impl Pace for RealPace {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn random(&self) -> u64 {
        // Each has keys of its own. No secret is made of it.
        RandomState::new().hash_one(0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// A clock on which only waiting takes time.
    #[derive(Debug, Default)]
    pub(crate) struct FakePace {
        now: Mutex<Duration>,
        waits: Mutex<Vec<Duration>>,
    }

    impl FakePace {
        pub(crate) fn waits(&self) -> Vec<Duration> {
            self.waits.lock().unwrap().clone()
        }
    }

    impl Pace for FakePace {
        fn now(&self) -> Duration {
            *self.now.lock().unwrap()
        }

        fn wait(&self, time: Duration) {
            *self.now.lock().unwrap() += time;
            self.waits.lock().unwrap().push(time);
        }

        fn random(&self) -> u64 {
            u64::MAX
        }
    }
}
