//! What an error is about.

use std::fmt;

use crate::id::{Kind, Name};

/// What an error is about: an object of the repository, all objects of a kind, or something that is made of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One object.
    Object(Name),
    /// The objects of a kind, as a whole.
    All(Kind),
    /// Something else, in words.
    Other(String),
}

impl Subject {
    /// The kind of the object, or of the objects, if it is about such.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Object(name) => Some(name.kind()),
            Self::All(kind) => Some(*kind),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(name) => name.fmt(f),
            Self::All(kind) => f.write_str(kind.folder()),
            Self::Other(words) => f.write_str(words),
        }
    }
}

impl From<Name> for Subject {
    fn from(name: Name) -> Self {
        Self::Object(name)
    }
}

impl From<&Name> for Subject {
    fn from(name: &Name) -> Self {
        Self::Object(name.clone())
    }
}

impl From<Kind> for Subject {
    fn from(kind: Kind) -> Self {
        Self::All(kind)
    }
}

impl From<String> for Subject {
    fn from(words: String) -> Self {
        Self::Other(words)
    }
}

impl From<&String> for Subject {
    fn from(words: &String) -> Self {
        Self::Other(words.clone())
    }
}

impl From<&str> for Subject {
    fn from(words: &str) -> Self {
        Self::Other(words.into())
    }
}

impl From<fmt::Arguments<'_>> for Subject {
    fn from(words: fmt::Arguments<'_>) -> Self {
        Self::Other(words.to_string())
    }
}
