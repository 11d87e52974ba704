//! A gate that lets only a number of things in at once.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Lets only a number of things in at once; the threads that bring others wait.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Mutex<Places>,
    left: Condvar,
}

#[derive(Debug)]
struct Places {
    free: usize,
    /// How many threads wait. Waking is a system call, also where none sleeps.
    waiting: usize,
}

impl Gate {
    pub(crate) fn new(places: usize) -> Self {
        Self { places: Mutex::new(Places { free: places, waiting: 0 }), left: Condvar::new() }
    }

    /// Waits until there is a place, and takes it.
    pub(crate) fn enter(&self) {
        let mut places = self.places();
        while places.free == 0 {
            places.waiting += 1;
            places = self.left.wait(places).unwrap_or_else(PoisonError::into_inner);
            places.waiting -= 1;
        }
        places.free -= 1;
    }

    /// Frees this many places.
    pub(crate) fn leave(&self, count: usize) {
        let mut places = self.places();
        places.free = places.free.saturating_add(count);
        let wake = places.waiting > 0;
        drop(places);
        if wake {
            self.left.notify_all();
        }
    }

    /// Lets all in from now on: there is nothing to wait for any more.
    pub(crate) fn open(&self) {
        self.leave(usize::MAX / 2);
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Gate;

    #[test]
    fn never_more_are_in_than_there_are_places_and_all_get_in() {
        let (gate, inside, most) = (Gate::new(3), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for _ in 0..8 {
                threads.spawn(|| {
                    for _ in 0..200 {
                        gate.enter();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        gate.leave(1);
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
    }

    #[test]
    fn an_open_gate_keeps_nothing_out() {
        let gate = Gate::new(1);
        gate.enter();
        std::thread::scope(|threads| {
            let waiting = threads.spawn(|| gate.enter());
            gate.open();
            waiting.join().unwrap();
        });
        (0..1000).for_each(|_| gate.enter());
        gate.open();
        gate.open();
        gate.enter();
    }

    #[test]
    fn places_that_are_freed_together_let_all_that_wait_in() {
        let gate = Gate::new(4);
        (0..4).for_each(|_| gate.enter());
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| gate.enter());
            }
            gate.leave(4);
        });
    }
}
