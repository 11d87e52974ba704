//! Finding out what a storage really does, before a repository is entrusted to it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Barrier};

use super::{Backend, ByteRange, Created, Kind, Name, Pace, RealPace, Result, StorageError, StorageErrorKind};

/// This many writers try to create one name at the same time.
const RACERS: usize = 32;

/// How long each object of the probe is. Small ones can be written before anybody else comes.
const LENGTH: usize = 4096;

/// What a storage was found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Findings {
    /// The second one of two that create a name, one after the other, is refused.
    pub refuses_second: bool,
    /// How many of 32 that create a name at the same time are reported to have created it.
    pub winners: usize,
    /// What was created is read at once, and as it was written: by the winner as well.
    pub reads_back: bool,
    /// What was created is listed at once, with its length, in order, and from a name on.
    pub lists: bool,
    /// A part of an object is that part.
    pub ranges: bool,
}

impl Findings {
    /// Whether any number of writers may use the storage at once.
    pub fn creates_once(&self) -> bool {
        self.refuses_second && self.winners == 1
    }

    /// What keeps a repository from being there at all, also with one writer at a time.
    pub fn obstacle(&self) -> Option<&'static str> {
        match self {
            Self { reads_back: false, .. } => Some("the storage does not return what was written a moment before"),
            Self { ranges: false, .. } => Some("the storage returns other bytes than the range that was asked for"),
            Self { lists: false, .. } => {
                Some("the storage does not list what was written a moment before, or lists it in no order")
            }
            _ => None,
        }
    }
}

/// For people, what is not as it should be.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.refuses_second, self.winners) {
            (false, _) => f.write_str("a name that is taken is given away again"),
            (true, 1) => f.write_str("each name is given once"),
            (true, winners) => {
                write!(f, "of {RACERS} writers, {winners} were reported to have created one and the same name")
            }
        }
    }
}

/// Tries out what everything else rests on. Makes some forty small objects under names that no repository uses, and deletes
/// them again.
///
/// # Errors
/// Those of the storage. That it does not keep a promise is a finding, and no error.
pub fn probe(backend: &Arc<dyn Backend>) -> Result<Findings> {
    let chance = RealPace::new();
    let mut names: Vec<Name> =
        (0..4).map(|_| Name::new(Kind::Session, format_args!("{:016x}", chance.random()))).collect();
    names.sort();
    let found = look(&**backend, &names);
    let deleted = backend.delete_many(&names);
    let found = found?;
    // Who may write and not delete leaves them there, where they do no harm, for the next host that prunes.
    let is_refused = |kind| matches!(kind, StorageErrorKind::Denied | StorageErrorKind::Retained);
    match deleted.into_iter().find_map(|deleted| deleted.err().filter(|error| !is_refused(error.kind()))) {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

fn look(backend: &dyn Backend, names: &[Name]) -> Result<Findings> {
    let [first, contested, others @ ..] = names else { return Err(nothing_to_do()) };
    let (ours, theirs) = (content(200), content(201));
    let created = backend.create(first, &ours)?;
    let second = backend.create(first, &theirs)?;
    let found = backend.read(first, LENGTH as u64 * 2)?;
    let refuses_second = (created, second) == (Created::New, Created::Exists) && found == ours;
    let whole = if refuses_second { &ours } else { &theirs };
    let mut reads_back = found == ours || found == theirs;
    let winners = race(backend, contested);
    if let [winner] = &winners[..] {
        reads_back &= backend.read(contested, LENGTH as u64)? == content(*winner);
    }
    for other in others {
        backend.create(other, &ours)?;
        reads_back &= backend.read(other, LENGTH as u64)? == ours;
    }
    let range = ByteRange::Exactly { offset: 1000, length: 100 };
    let ranges = backend.read_one(first, range)? == range.of(first, whole)?;
    Ok(Findings { refuses_second, winners: winners.len(), reads_back, lists: lists(backend, names)?, ranges })
}

/// Bytes that differ from those of everybody else, everywhere.
fn content(who: usize) -> Vec<u8> {
    (0..LENGTH).map(|at| (who ^ at ^ (at >> 8)) as u8).collect()
}

/// The writers that are reported to have created a name, of many at the same time. A failure is an answer as well, and no win.
fn race(backend: &dyn Backend, name: &Name) -> Vec<usize> {
    let start = Barrier::new(RACERS);
    let run = |who: usize| {
        let bytes = content(who);
        start.wait();
        matches!(backend.create(name, &bytes), Ok(Created::New)).then_some(who)
    };
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..RACERS).map(|who| scope.spawn(move || run(who))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
    })
}

/// Whether the names are listed, each with its length, in order; and from any of them on.
fn lists(backend: &dyn Backend, names: &[Name]) -> Result<bool> {
    let mut is_right = true;
    for after in std::iter::once(None).chain(names.iter().map(Some)) {
        let mut listed = Vec::new();
        let mut lengths = BTreeMap::new();
        backend.list(Kind::Session, after, &mut |meta| {
            if names.contains(&meta.name) {
                listed.push(meta.name.clone());
                lengths.insert(meta.name, meta.size);
            }
            std::ops::ControlFlow::Continue(())
        })?;
        let expected: Vec<Name> =
            names.iter().filter(|name| after.is_none_or(|after| *name > after)).cloned().collect();
        is_right &= listed == expected && lengths.values().all(|length| *length == LENGTH as u64);
    }
    Ok(is_right)
}

fn nothing_to_do() -> StorageError {
    StorageError::new(super::StorageErrorKind::Invalid, "probe")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Memory, PutTerms};

    #[test]
    fn a_storage_that_keeps_its_promises_is_found_to_and_nothing_is_left_in_it() {
        let memory: Arc<dyn Backend> = Arc::new(Memory::new());
        let found = probe(&memory).unwrap();
        assert!(found.creates_once(), "{found:?}");
        assert_eq!((found.obstacle(), found.to_string().as_str()), (None, "each name is given once"));
        assert_eq!(memory.list_all(Kind::Session).unwrap(), []);
    }

    /// Gives names away again: to anybody, or to those who come at the same time.
    #[derive(Debug)]
    struct Careless {
        memory: Memory,
        only_at_once: bool,
    }

    impl Backend for Careless {
        forward!(memory: location, abilities, prepare, read_one, head, list, delete);

        fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
            if self.only_at_once && self.memory.head(name)?.is_some() {
                return Ok(Created::Exists);
            }
            if self.only_at_once {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            self.memory.delete(name)?;
            self.memory.put(name, bytes, terms).map(|_| Created::New)
        }
    }

    #[test]
    fn a_storage_that_gives_names_away_again_is_found_out() {
        for only_at_once in [false, true] {
            let careless: Arc<dyn Backend> = Arc::new(Careless { memory: Memory::new(), only_at_once });
            let found = probe(&careless).unwrap();
            assert!(!found.creates_once() && found.winners > 1, "{found:?}");
            assert_eq!((found.refuses_second, found.obstacle()), (only_at_once, None));
        }
    }
}
