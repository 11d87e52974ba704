//! What an error is about.

use std::fmt;
use std::path::PathBuf;

use crate::id::{ChunkId, Kind, Name, RepositoryId, SnapshotId};

/// What an error is about: an object of the repository, all objects of a kind, a snapshot, a path, or something in words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Subject {
    /// One object.
    Object(Name),
    /// The objects of a kind, as a whole.
    All(Kind),
    /// A chunk.
    Chunk(ChunkId),
    /// A repository.
    Repository(RepositoryId),
    /// A snapshot.
    Snapshot(SnapshotId),
    /// A path, in the file system or in a snapshot.
    Path(PathBuf),
    /// Something else, in words.
    Other(String),
}

impl Subject {
    /// The kind of the object, or of the objects, if it is about such.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Object(name) => Some(name.kind()),
            Self::All(kind) => Some(*kind),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(name) => name.fmt(f),
            Self::All(kind) => f.write_str(kind.folder()),
            Self::Chunk(id) => write!(f, "chunk {id}"),
            Self::Repository(id) => write!(f, "repository {id}"),
            Self::Snapshot(id) => write!(f, "snapshot {id}"),
            Self::Path(path) => path.display().fmt(f),
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
