//! Trying again what may succeed a moment later.
//!
//! The waits grow and are drawn at random below a bound ("full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS
//! Architecture Blog, 2015), so that many clients that were refused at once do not come back at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::resolve::{outcome, unresolved};
use super::{
    Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, Pace, PutTerms, RealPace, Result, StorageError,
    StorageErrorKind, Traffic,
};

/// How often something is tried, and how long is waited in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often it is tried in all.
    pub attempts: u32,
    /// The longest wait before the second attempt. Before each further one it is twice as long.
    pub first_wait: Duration,
    /// No wait is longer.
    pub longest_wait: Duration,
}

impl Default for RetryPolicy {
    /// Eight attempts within about a minute at most.
    fn default() -> Self {
        let (first_wait, longest_wait) = (Duration::from_millis(250), Duration::from_secs(20));
        Self { attempts: 8, first_wait, longest_wait }
    }
}

impl RetryPolicy {
    /// The longest wait after `made` attempts.
    fn bound(&self, made: u32) -> Duration {
        let doubled = 2u32.saturating_pow(made.saturating_sub(1));
        self.first_wait.saturating_mul(doubled).min(self.longest_wait)
    }
}

/// Tries again what another backend could not do just now.
///
/// An object that was to be created and whose outcome is not known is read back. What was created by an attempt of which no
/// answer came is found by the next one, and counts as created.
#[derive(Debug)]
pub struct Retry {
    inner: Arc<dyn Backend>,
    policy: RetryPolicy,
    pace: Arc<dyn Pace>,
    retries: AtomicU64,
}

/// The attempts at one thing.
struct Attempts<'r> {
    policy: RetryPolicy,
    pace: &'r dyn Pace,
    retries: &'r AtomicU64,
    made: u32,
}

impl Attempts<'_> {
    /// Waits, if there is another attempt.
    fn another(&mut self) -> bool {
        self.made += 1;
        if self.made >= self.policy.attempts {
            return false;
        }
        let bound = u64::try_from(self.policy.bound(self.made).as_nanos()).unwrap_or(u64::MAX);
        let wait = u128::from(bound) * u128::from(self.pace.random()) / u128::from(u64::MAX);
        self.pace.wait(Duration::from_nanos(wait as u64));
        self.retries.fetch_add(1, Ordering::Relaxed);
        true
    }
}

/// Does work that may be done twice, and does it again as long as that is worth it.
pub(super) fn again<T>(
    policy: RetryPolicy,
    pace: &dyn Pace,
    retries: &AtomicU64,
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut attempts = Attempts { policy, pace, retries, made: 0 };
    loop {
        match work() {
            Err(error) if is_worth_it(&error) && attempts.another() => {}
            done => return done,
        }
    }
}

/// Whether an operation that may be done twice is to be tried again.
fn is_worth_it(error: &StorageError) -> bool {
    error.kind().is_passing() || error.kind() == StorageErrorKind::UnknownOutcome
}

impl Retry {
    /// Tries again what `inner` cannot do at once.
    pub fn new(inner: Arc<dyn Backend>, policy: RetryPolicy) -> Self {
        Self::paced(inner, policy, Arc::new(RealPace::new()))
    }

    /// ... by another clock.
    pub fn paced(inner: Arc<dyn Backend>, policy: RetryPolicy, pace: Arc<dyn Pace>) -> Self {
        Self { inner, policy, pace, retries: AtomicU64::new(0) }
    }

    /// How many attempts followed one that had failed.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    fn attempts(&self) -> Attempts<'_> {
        Attempts { policy: self.policy, pace: &*self.pace, retries: &self.retries, made: 0 }
    }

    fn again<T>(&self, work: impl Fn() -> Result<T>) -> Result<T> {
        again(self.policy, &*self.pace, &self.retries, work)
    }

    /// Does all of a batch, and what failed of it again.
    fn again_many<W: Clone, T>(&self, wants: &[W], work: impl Fn(&[W]) -> Vec<Result<T>>) -> Vec<Result<T>> {
        let mut done = work(wants);
        let mut attempts = self.attempts();
        loop {
            let failed =
                |(number, result): (usize, &Result<T>)| result.as_ref().is_err_and(is_worth_it).then_some(number);
            let open: Vec<usize> = done.iter().enumerate().filter_map(failed).collect();
            if open.is_empty() || !attempts.another() {
                return done;
            }
            let left: Vec<W> = open.iter().filter_map(|number| wants.get(*number).cloned()).collect();
            for (number, result) in open.into_iter().zip(work(&left)) {
                done[number] = result;
            }
        }
    }

    /// Result of an attempt that left its outcome open, settled by whether there is something under the name.
    fn look(&self, name: &Name, bytes: &[u8], error: &StorageError) -> Result<Option<Created>> {
        self.again(|| outcome(&*self.inner, name, bytes)).map_err(|failed| unresolved(error, &failed))
    }
}

impl Backend for Retry {
    forward!(inner: location, abilities, keep_reserve, use_reserve);

    fn traffic(&self) -> Option<Traffic> {
        Some(self.inner.traffic()?.with_retries(self.retries()))
    }

    fn prepare(&self) -> Result<()> {
        self.again(|| self.inner.prepare())
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        let mut attempts = self.attempts();
        // The failure of an earlier attempt, which may have had its effect all the same.
        let mut open: Option<StorageError> = None;
        loop {
            let error = match self.inner.put(name, bytes, terms) {
                Ok(Created::Exists) => match &open {
                    // It may be our own.
                    Some(error) => return Ok(self.look(name, bytes, error)?.unwrap_or(Created::Exists)),
                    None => return Ok(Created::Exists),
                },
                Err(error) => error,
                created => return created,
            };
            if error.kind() == StorageErrorKind::UnknownOutcome
                && let Some(created) = self.look(name, bytes, &error)?
            {
                return Ok(created);
            }
            if !is_worth_it(&error) || !attempts.another() {
                return Err(error);
            }
            open = Some(error);
        }
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.again(|| self.inner.read_one(name, range))
    }

    fn read_stored(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.again(|| self.inner.read_stored(name, range))
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.again_many(wants, |wants| self.inner.read_many(wants))
    }

    fn read_again(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        self.again_many(wants, |wants| self.inner.read_again(wants))
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        self.again(|| self.inner.head(name))
    }

    /// Goes on where it stopped: nothing is listed twice.
    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        let mut last = after.cloned();
        let mut attempts = self.attempts();
        loop {
            let from = last.clone();
            let listed = self.inner.list(kind, from.as_ref(), &mut |meta| {
                last = Some(meta.name.clone());
                each(meta)
            });
            if last != from {
                // It got on, so what went wrong before is over.
                attempts = self.attempts();
            }
            match listed {
                Err(error) if is_worth_it(&error) && attempts.another() => {}
                listed => return listed,
            }
        }
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.again(|| self.inner.delete(name))
    }

    fn delete_many(&self, names: &[Name]) -> Vec<Result<()>> {
        self.again_many(names, |names| self.inner.delete_many(names))
    }

    fn retain(&self, names: &[Name], time: Duration) -> Vec<Result<()>> {
        self.again_many(names, |names| self.inner.retain(names, time))
    }

    fn settle(&self, name: &Name) -> Result<()> {
        self.again(|| self.inner.settle(name))
    }

    fn tidy(&self, before: i64) -> Result<u64> {
        self.again(|| self.inner.tidy(before))
    }
}

#[cfg(test)]
mod tests {
    use StorageErrorKind::{BadMedium, Denied, NoSpace, NotDurable, Throttled, Unavailable, UnknownOutcome};
    use proptest::prelude::*;

    use super::*;
    use crate::storage::pace::tests::FakePace;
    use crate::storage::scripted::Scripted;

    fn retry(inner: &Arc<Scripted>) -> (Retry, Arc<FakePace>) {
        let pace = Arc::new(FakePace::default());
        let policy = RetryPolicy { attempts: 5, ..RetryPolicy::default() };
        (Retry::paced(inner.clone(), policy, pace.clone()), pace)
    }

    #[test]
    fn a_storm_of_refusals_is_waited_out_and_ends() {
        let storm = Scripted::new(vec![(false, Some(Throttled)); 4]);
        let (calm, pace) = retry(&storm);
        assert_eq!(calm.create(&Name::log(1), b"x").unwrap(), Created::New);
        let waits: Vec<u128> = pace.waits().iter().map(Duration::as_millis).collect();
        assert_eq!(waits, [250, 500, 1000, 2000]);
        let storm = Scripted::new(vec![(false, Some(Throttled)); 50]);
        let (calm, pace) = retry(&storm);
        assert_eq!(calm.read(&Name::log(1), 10).unwrap_err().kind(), Throttled);
        assert_eq!((storm.calls(), pace.waits().len()), (5, 4));
    }

    #[test]
    fn no_wait_is_longer_than_the_longest() {
        let policy = RetryPolicy::default();
        assert!((1..=u32::MAX).step_by(65_521).chain(1..100).all(|made| policy.bound(made) <= policy.longest_wait));
        assert_eq!(policy.bound(u32::MAX), policy.longest_wait);
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        for kind in [Denied, NoSpace, NotDurable, BadMedium] {
            let storage = Scripted::new(vec![(false, Some(kind)); 2]);
            let (calm, pace) = retry(&storage);
            assert_eq!(calm.create(&Name::log(1), b"x").unwrap_err().kind(), kind);
            assert_eq!((storage.calls(), pace.waits().len()), (1, 0), "{kind:?}");
        }
    }

    #[test]
    fn a_create_whose_answer_is_lost_is_settled_by_reading_back() {
        // It is there.
        let storage = Scripted::new(vec![(true, Some(UnknownOutcome))]);
        assert_eq!(retry(&storage).0.create(&Name::log(1), b"own").unwrap(), Created::New);
        assert_eq!(storage.calls(), 2, "one attempt and one look");
        // It is not: so it is tried again.
        let storage = Scripted::new(vec![(false, Some(UnknownOutcome))]);
        assert_eq!(retry(&storage).0.create(&Name::log(1), b"own").unwrap(), Created::New);
        assert_eq!(storage.memory.read(&Name::log(1), 10).unwrap(), b"own");
        // Another writer has the name.
        for other in [&b"his"[..], b"longer than our own", b""] {
            let storage = Scripted::new(vec![(false, Some(UnknownOutcome))]);
            storage.memory.create(&Name::log(1), other).unwrap();
            assert_eq!(retry(&storage).0.create(&Name::log(1), b"own").unwrap(), Created::Exists);
        }
        // Reading back fails as well, for ever.
        let mut script = vec![(true, Some(UnknownOutcome))];
        script.extend(vec![(false, Some(Unavailable)); 20]);
        let error = retry(&Scripted::new(script)).0.create(&Name::log(1), b"own").unwrap_err();
        assert_eq!(error.kind(), UnknownOutcome);
        assert!(error.to_string().contains("not known whether it was created"), "{error}");
    }

    #[test]
    fn what_an_attempt_without_an_answer_created_counts_as_created() {
        let storage = Scripted::new(vec![(true, Some(Unavailable))]);
        assert_eq!(retry(&storage).0.create(&Name::log(1), b"own").unwrap(), Created::New);
        // ... and what was there before does not.
        let storage = Scripted::new(vec![(false, Some(Unavailable))]);
        storage.memory.create(&Name::log(1), b"his").unwrap();
        assert_eq!(retry(&storage).0.create(&Name::log(1), b"own").unwrap(), Created::Exists);
    }

    #[test]
    fn a_listing_that_breaks_off_goes_on_where_it_stopped() {
        let storage = Scripted::new(vec![(true, Some(Unavailable)); 12]);
        for n in 0..20 {
            storage.memory.create(&Name::log(n), b"x").unwrap();
        }
        let listed = retry(&storage).0.list_all(Kind::Log).unwrap();
        let numbers: Vec<u64> = listed.iter().filter_map(|meta| meta.name.sequence()).collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn of_a_batch_only_what_failed_is_asked_for_again() {
        let storage = Scripted::new(Vec::new());
        for n in 0..4 {
            storage.memory.create(&Name::log(n), &[n as u8]).unwrap();
        }
        storage.then(vec![(true, None), (false, Some(Throttled)), (true, None), (false, Some(Denied))]);
        let wants: Vec<_> = (0..4).map(|n| (Name::log(n), ByteRange::UpTo(1))).collect();
        let read = retry(&storage).0.read_many(&wants);
        let kinds: Vec<_> = read.iter().map(|read| read.as_ref().map_err(StorageError::kind).cloned()).collect();
        assert_eq!(kinds, [Ok(vec![0]), Ok(vec![1]), Ok(vec![2]), Err(Denied)]);
        assert_eq!(storage.calls(), 5);
    }

    proptest! {
        /// Whatever storage and network do: "new" is said at most of what is there with the own bytes, and "exists" only
        /// where another's are.
        #[test]
        fn no_create_ever_says_what_is_not_so(
            taken in any::<bool>(),
            script in prop::collection::vec((any::<bool>(), prop::sample::select(vec![
                None, Some(Throttled), Some(Unavailable), Some(UnknownOutcome), Some(NotDurable),
            ])), 0..8),
        ) {
            let storage = Scripted::new(script);
            let name = Name::log(1);
            if taken {
                storage.memory.create(&name, b"his").unwrap();
            }
            let created = retry(&storage).0.create(&name, b"own");
            let there = storage.memory.read(&name, 10).ok();
            match created {
                Ok(Created::New) => prop_assert_eq!(there, Some(b"own".to_vec())),
                Ok(Created::Exists) => prop_assert_eq!(there, Some(b"his".to_vec())),
                Err(_) => {}
            }
        }
    }
}
