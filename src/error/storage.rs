//! What can go wrong with the storage that a repository lies on.
//!
//! A backend says what kind of failure it was; what follows from it is decided above: whether to try again, to read back,
//! to mend, or to give up. Texts and numbers of the system are not looked at for that.

use std::error::Error;
use std::fmt;

use crate::id::Name;

/// What kind of failure it was. Each backend maps its own errors to these, in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// There is no such object.
    NotFound,
    /// The object is there, and is not what it should be.
    Damaged(Flaw),
    /// Access was denied: permissions, credentials.
    Denied,
    /// The object cannot be deleted yet: the storage keeps it until a time that was set.
    Retained,
    /// Nothing can be changed here: a file system that is mounted read-only, or a handle that only reads.
    ReadOnly,
    /// The object is there, and its storage class keeps it where it cannot be read at once: it has to be thawed first.
    Archived,
    /// There is no room for it, or a quota is used up.
    NoSpace,
    /// The medium cannot read or write this place: a bad sector. Other places may be sound.
    BadMedium,
    /// It was written, and could not be made to last. Reading it back proves nothing, and neither does trying again.
    NotDurable,
    /// The storage cannot be reached, or does not answer. It may be there again in a moment.
    Unavailable,
    /// The storage asks for fewer requests.
    Throttled,
    /// Whether it was done is not known, and can be found out: what can be read of this storage lasts.
    UnknownOutcome,
    /// This machine has run out of something: open files, memory, threads.
    Exhausted,
    /// The storage cannot do what was asked for.
    Unsupported,
    /// The request makes no sense.
    Invalid,
    /// Anything else.
    Other,
}

/// What is wrong with an object as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flaw {
    /// It ends before the bytes that were asked for.
    TooShort,
    /// It is longer than such an object may be.
    TooLong,
    /// Something lies in its place that is no object: a folder, a link, a pipe.
    NotAFile,
}

impl StorageErrorKind {
    /// Whether the same request may succeed a moment later.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Throttled | Self::Unavailable)
    }

    /// A stable name for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotFound => "object_missing",
            Self::Damaged(_) => "damaged",
            Self::Denied => "denied",
            Self::Retained => "retained",
            Self::ReadOnly => "read_only",
            Self::Archived => "archived",
            Self::NoSpace => "no_space",
            Self::BadMedium => "bad_medium",
            Self::NotDurable => "not_durable",
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Exhausted => "exhausted",
            Self::Unsupported => "storage_unsupported",
            Self::Invalid => "invalid",
            Self::Other => "io",
        }
    }
}

impl fmt::Display for StorageErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such object",
            Self::Damaged(Flaw::TooShort) => "it is too short",
            Self::Damaged(Flaw::TooLong) => "it is too long",
            Self::Damaged(Flaw::NotAFile) => "something that is no regular file lies in its place",
            Self::Denied => "access was denied",
            Self::Retained => "it cannot be deleted yet",
            Self::ReadOnly => "the storage is read-only",
            Self::Archived => "it is archived, and has to be thawed before it can be read",
            Self::NoSpace => "no space is left",
            Self::BadMedium => "the medium cannot be read or written here",
            Self::NotDurable => "it could not be made durable",
            Self::Unavailable => "the storage cannot be reached",
            Self::Throttled => "the storage asks for fewer requests",
            Self::UnknownOutcome => "it is not known whether it was done",
            Self::Exhausted => "this machine has run out of resources",
            Self::Unsupported => "the storage cannot do that",
            Self::Invalid => "the request makes no sense",
            Self::Other => "it failed",
        })
    }
}

/// A failure of the storage: what kind it is, what was being done, with which object, and why.
#[derive(Debug)]
pub struct StorageError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    kind: StorageErrorKind,
    operation: &'static str,
    object: Option<Name>,
    place: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StorageError {
    /// A failure of this kind. `operation` is a verb: "read", "write", "list", "fsync", ...
    pub fn new(kind: StorageErrorKind, operation: &'static str) -> Self {
        Self(Box::new(Parts { kind, operation, object: None, place: None, source: None }))
    }

    /// ... with this object.
    pub fn of(mut self, object: &Name) -> Self {
        self.0.object = Some(object.clone());
        self
    }

    /// ... at this place, for people: a path or an address. Without one, the name of the object is shown.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.place = Some(place.to_string());
        self
    }

    /// Whether there is no such object since something else lies in its place, such as a folder or a link.
    pub fn is_taken(&self) -> bool {
        self.kind() == StorageErrorKind::NotFound && self.0.source.is_some()
    }

    /// ... for this reason.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same failure, which turned out to be of another kind.
    pub fn turned_into(mut self, kind: StorageErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// There is no such object.
    pub fn not_found(object: &Name) -> Self {
        Self::new(StorageErrorKind::NotFound, "read").of(object)
    }

    /// The object is not what it should be.
    pub fn damaged(object: &Name, flaw: Flaw, reason: impl fmt::Display) -> Self {
        Self::new(StorageErrorKind::Damaged(flaw), "read").of(object).because(reason.to_string())
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> StorageErrorKind {
        self.0.kind
    }

    /// What was being done, as a verb.
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// Whether what should be there is missing, or is not what it should be.
    pub fn is_damage(&self) -> bool {
        matches!(self.0.kind, StorageErrorKind::NotFound | StorageErrorKind::Damaged(_))
    }

    /// With which object, where it was one.
    pub fn object(&self) -> Option<&Name> {
        self.0.object.as_ref()
    }

    /// Why, in words.
    pub fn reason(&self) -> String {
        self.0.source.as_ref().map_or_else(|| self.0.kind.to_string(), ToString::to_string)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.operation)?;
        match (&self.0.place, &self.0.object) {
            (Some(place), _) => write!(f, " {place}")?,
            (None, Some(object)) => write!(f, " {object}")?,
            (None, None) => {}
        }
        write!(f, ": {}", self.reason())
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::id::Kind;

    #[test]
    fn an_error_says_what_was_done_with_what_and_why() {
        let name = Name::log(3);
        let error = StorageError::new(StorageErrorKind::Denied, "read").of(&name);
        assert_eq!(error.to_string(), "read log/00000000000000000003: access was denied");
        let error = error.at("/backup/log/3").because(std::io::Error::other("no such luck"));
        assert_eq!(error.to_string(), "read /backup/log/3: no such luck");
        assert_eq!((error.kind(), error.operation(), error.object()), (StorageErrorKind::Denied, "read", Some(&name)));
    }

    #[test]
    fn what_is_missing_or_damaged_is_damage_and_a_failure_of_the_storage_is_not() {
        let name = Name::new(Kind::Index, "ab");
        let missing = Error::from(StorageError::not_found(&name));
        assert!(matches!(&missing, Error::ObjectMissing { name: is } if *is == name), "{missing}");
        let damaged = Error::from(StorageError::damaged(&name, Flaw::TooLong, "12 bytes"));
        assert_eq!(damaged.to_string(), "index/ab is damaged: 12 bytes");
        for error in [missing, damaged] {
            assert!(error.is_damage());
            assert_eq!(error.object_kind(), Some(Kind::Index));
        }
        use StorageErrorKind::*;
        for kind in
            [Denied, ReadOnly, NoSpace, BadMedium, NotDurable, Unavailable, Throttled, UnknownOutcome, Exhausted]
        {
            let error = Error::from(StorageError::new(kind, "read").of(&name));
            assert!(matches!(error, Error::Storage(_)) && !error.is_damage(), "{error}");
            assert_eq!((error.is_full(), error.object_kind()), (kind == NoSpace, Some(Kind::Index)));
        }
    }
}
