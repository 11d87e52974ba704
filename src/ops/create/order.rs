//! What threads finish in any order is put back into the order in which it was found.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::mpsc::{Receiver, Sender};

use crate::error::Result;

/// How many outcomes are sent at once. One at a time wakes a thread for each, which costs more than to look at the file.
const TOGETHER: usize = 64;

/// Outcomes of consecutive numbers.
pub(super) struct Batch<T> {
    first: u64,
    outcomes: Vec<T>,
}

impl<T> Batch<T> {
    /// A batch of one.
    pub(super) fn of(number: u64, outcome: T) -> Self {
        Self { first: number, outcomes: vec![outcome] }
    }

    pub(super) fn len(&self) -> usize {
        self.outcomes.len()
    }
}

impl<T> IntoIterator for Batch<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.outcomes.into_iter()
    }
}

/// Numbers what is found, and sends outcomes that need no work.
pub(super) struct Numbered<T> {
    sender: Sender<Batch<T>>,
    next: u64,
    /// The outcomes before `next` that are not sent yet.
    held: Vec<T>,
}

impl<T> Numbered<T> {
    pub(super) fn new(sender: Sender<Batch<T>>) -> Self {
        Self { sender, next: 0, held: Vec::new() }
    }

    /// The outcome of the next number; false if it is not received any more.
    pub(super) fn push(&mut self, outcome: T) -> bool {
        self.held.push(outcome);
        self.next += 1;
        self.held.len() < TOGETHER || self.flush()
    }

    /// The next number, whose outcome comes from elsewhere; none if outcomes are not received any more.
    ///
    /// What is held is sent first: nothing that comes later may wait for it, or the places between walker and manifest could all
    /// be taken by what waits.
    pub(super) fn skip(&mut self) -> Option<u64> {
        let number = self.next;
        let sent = self.flush();
        self.next += 1;
        sent.then_some(number)
    }

    /// Sends what is held; false if it is not received any more.
    pub(super) fn flush(&mut self) -> bool {
        let outcomes = take(&mut self.held);
        if outcomes.is_empty() {
            return true;
        }
        let first = self.next - outcomes.len() as u64;
        self.sender.send(Batch { first, outcomes }).is_ok()
    }
}

/// Calls `each` with what is received, in the order of its numbers.
pub(super) fn in_order<T>(receiver: &Receiver<Batch<T>>, mut each: impl FnMut(Batch<T>) -> Result<()>) -> Result<()> {
    let (mut next, mut early) = (0, BTreeMap::new());
    for batch in receiver {
        early.insert(batch.first, batch);
        while let Some(batch) = early.remove(&next) {
            next += batch.len() as u64;
            each(batch)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use proptest::prelude::*;

    use super::{Batch, Numbered, in_order};

    proptest! {
        /// Whatever others finish, and when: all outcomes come, each once, in the order of their numbers.
        #[test]
        fn all_outcomes_come_in_order(
            elsewhere in prop::collection::vec(any::<bool>(), 0..400),
            shuffle in prop::collection::vec(any::<prop::sample::Index>(), 400),
        ) {
            let (sender, receiver) = channel();
            let mut numbered = Numbered::new(sender.clone());
            let mut others = Vec::new();
            for (at, elsewhere) in elsewhere.iter().enumerate() {
                match elsewhere {
                    true => others.push(numbered.skip().unwrap()),
                    false => assert!(numbered.push(at as u64)),
                }
            }
            numbered.flush();
            for index in shuffle {
                if !others.is_empty() {
                    let number = others.remove(index.index(others.len()));
                    sender.send(Batch::of(number, number)).unwrap();
                }
            }
            drop((numbered, sender));
            let mut seen = Vec::new();
            in_order(&receiver, |batch| { seen.extend(batch); Ok(()) }).unwrap();
            prop_assert_eq!(seen, (0..elsewhere.len() as u64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_held_when_another_thread_gets_work() {
        let (sender, receiver) = channel();
        let mut numbered = Numbered::new(sender);
        assert!(numbered.push('a'));
        assert_eq!(numbered.skip(), Some(1));
        assert_eq!(receiver.try_recv().unwrap().into_iter().collect::<Vec<_>>(), ['a']);
        drop(receiver);
        assert!(numbered.push('c'));
        assert_eq!(numbered.skip(), None);
    }
}
