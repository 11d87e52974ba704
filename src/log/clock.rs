//! What time it is.

/// Tells the time. Injectable, so that tests and simulations are repeatable. Nothing about safety rests on it.
pub trait Clock: Send + Sync {
    /// Nanoseconds since 1970 (UTC).
    fn now(&self) -> i64;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}
