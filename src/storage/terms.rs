//! What is said to a storage and what it says: abilities, terms, ranges, facts.

use std::ops::Add;
use std::time::Duration;

use serde::Serialize;

use super::{Flaw, Name, Result, StorageError, StorageErrorKind};

/// What a storage can do. Of what is not stated, the least is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Abilities {
    /// It is known to create a name once, whatever happens at the same time. Where that is not known, `init` finds out by a
    /// probe.
    pub creates_once: bool,
    /// It says when an object was made ([`ObjectMeta::modified`]), by one clock for all objects.
    pub has_clock: bool,
    /// It can keep objects from being deleted for a time ([`PutTerms::retain`]).
    pub retains: bool,
    /// It has another place for what is rarely read ([`PutTerms::cold`]).
    pub has_cold: bool,
    /// How many requests are worth having on their way at once.
    pub concurrency: usize,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { creates_once: false, has_clock: false, retains: false, has_cold: false, concurrency: 1 }
    }
}

/// What a storage was asked for over a network. Requests for credentials, and those that were sent again, are counted like any
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// Requests.
    pub requests: u64,
    /// Of these, attempts that came after one that had failed.
    pub retries: u64,
    /// Bytes in the bodies of requests.
    pub bytes_sent: u64,
    /// Bytes in the bodies of answers, as far as these say how long they are.
    pub bytes_received: u64,
}

impl Traffic {
    /// The same with these attempts.
    pub(super) fn with_retries(self, retries: u64) -> Self {
        Self { retries: self.retries + retries, ..self }
    }
}

impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            retries: self.retries + other.retries,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            bytes_received: self.bytes_received + other.bytes_received,
        }
    }
}

/// What is asked for beside the bytes when an object is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PutTerms {
    /// For this long the object cannot be deleted, with whatever keys; only where the storage can do that
    /// ([`Abilities::retains`]).
    pub retain: Option<Duration>,
    /// Nothing but restores, checks and prunes will read it: a storage may put it where keeping is cheap and reading dear
    /// ([`Abilities::has_cold`]). Where there is no such place, it makes no difference.
    pub cold: bool,
}

impl PutTerms {
    /// Refuses terms that a storage with these abilities cannot keep.
    ///
    /// # Errors
    /// [`StorageErrorKind::Unsupported`]
    pub fn only_if(&self, abilities: Abilities, name: &Name) -> Result<()> {
        match self.retain.is_some() && !abilities.retains {
            true => Err(StorageError::new(StorageErrorKind::Unsupported, "retain").of(name)),
            false => Ok(()),
        }
    }
}

/// Which bytes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteRange {
    /// All of them, if they are not more than this.
    UpTo(u64),
    /// Exactly `length` bytes from `offset` on.
    Exactly {
        /// Where the first one is.
        offset: u64,
        /// How many bytes.
        length: usize,
    },
}

impl ByteRange {
    /// Cuts the range out of all bytes of an object.
    ///
    /// # Errors
    /// Those that [`read_one`](super::Backend::read_one) promises.
    pub fn of(self, name: &Name, object: &[u8]) -> Result<Vec<u8>> {
        self.check(name, object.len() as u64)?;
        Ok(match self {
            Self::UpTo(_) => object.to_vec(),
            // Checked above: it lies inside, so it fits.
            Self::Exactly { offset, length } => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                object.get(start..start.saturating_add(length)).unwrap_or_default().to_vec()
            }
        })
    }

    /// Whether an object of this length has the range.
    ///
    /// # Errors
    /// Those that [`read_one`](super::Backend::read_one) promises.
    pub fn check(self, name: &Name, size: u64) -> Result<()> {
        match self {
            Self::UpTo(limit) if size > limit => {
                let reason = format_args!("{size} bytes, at most {limit} are allowed");
                Err(StorageError::damaged(name, Flaw::TooLong, reason))
            }
            Self::Exactly { offset, length } if offset.checked_add(length as u64).is_none_or(|end| end > size) => {
                let reason = format_args!("{size} bytes, too few for {length} bytes from {offset}");
                Err(StorageError::damaged(name, Flaw::TooShort, reason))
            }
            _ => Ok(()),
        }
    }
}

/// Result of an attempt to create an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is there now, whole and durable.
    New,
    /// The name was taken before; what is there was left as it was.
    Exists,
}

/// What is known of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Name of the object.
    pub name: Name,
    /// Its length in bytes.
    pub size: u64,
    /// When it was made, in nanoseconds by the storage's own clock, where it has one. Only the time between two objects
    /// of one storage means anything, and safety never rests on it: it tells apart what a process may be at work on and
    /// what was abandoned.
    pub modified: Option<i64>,
    /// What the storage calls this very content (an entity tag), where it does. Opaque.
    pub tag: Option<String>,
}

impl ObjectMeta {
    /// An object with this name and length, of which nothing else is known.
    pub fn new(name: Name, size: u64) -> Self {
        Self { name, size, modified: None, tag: None }
    }
}
