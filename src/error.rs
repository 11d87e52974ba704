//! What can go wrong, with the path or id concerned and the cause. Hints for people are the command line's.

mod code;
mod storage;
mod subject;

use std::path::{Path, PathBuf};

pub use storage::{Flaw, StorageError, StorageErrorKind};
pub use subject::Subject;

use crate::id::{ChunkId, KeyId, Kind, Name, PackId, RepositoryId, SnapshotId};
use crate::wire::Malformed;

/// What the library's operations give.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something about a file that is none of the repository's.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb: "read", "create", ...
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// The storage of the repository failed. That says nothing about what is stored.
    #[error(transparent)]
    Storage(StorageError),

    /// An object that should be in the repository is not.
    #[error("{name} is missing from the repository")]
    ObjectMissing {
        /// Its name.
        name: Name,
    },

    /// The bytes of an object are not what they should be.
    #[error("{name} is damaged: {reason}")]
    Damaged {
        /// The object, or what is made of several.
        name: Subject,
        /// What is wrong.
        reason: String,
    },

    /// A chunk is in no pack that can be read.
    #[error("chunk {id} is in no pack of the repository")]
    ChunkMissing {
        /// The chunk.
        id: ChunkId,
    },

    /// A chunk's pack is there but its bytes are not what they should be.
    #[error("chunk {id} in pack {pack} is damaged: {reason}")]
    ChunkDamaged {
        /// The chunk.
        id: ChunkId,
        /// The pack it should be in.
        pack: PackId,
        /// What is wrong.
        reason: String,
    },

    /// A snapshot cannot be added (again): a prune deleted what it rests on.
    #[error("snapshot {snapshot} was not added: a prune has deleted {chunks} chunks that it needs")]
    Pruned {
        /// The snapshot.
        snapshot: SnapshotId,
        /// How many chunks cannot be had any more.
        chunks: u64,
    },

    /// A snapshot cannot be added: there is one of this name.
    #[error("snapshot {snapshot} is in the repository already")]
    SnapshotExists {
        /// The snapshot.
        snapshot: SnapshotId,
    },

    /// A root must not take the place of another.
    #[error("the root of snapshot {snapshot} must not be replaced: {reason}")]
    RootRefused {
        /// The snapshot.
        snapshot: SnapshotId,
        /// What is wrong with the new root.
        reason: String,
    },

    /// A key slot is not taken away.
    #[error("key {key} {refusal}")]
    KeyRefused {
        /// The slot.
        key: KeyId,
        /// Why.
        refusal: KeyRefusal,
    },

    /// A snapshot was removed while it was read, and a prune has deleted what it needs.
    #[error("snapshot {snapshot} was removed meanwhile, and a prune has deleted what it needs")]
    SnapshotRemoved {
        /// The snapshot.
        snapshot: SnapshotId,
    },

    /// A snapshot was stored in another way while it was read, and a prune has deleted what it needed before.
    #[error(
        "snapshot {snapshot} was stored in another way meanwhile, and a prune has deleted what it consisted of before"
    )]
    SnapshotReplaced {
        /// The snapshot.
        snapshot: SnapshotId,
    },

    /// There is no repository.
    #[error("there is no repository at {location}")]
    NoRepository {
        /// Where it was looked for.
        location: String,
    },

    /// There is a repository already, or something else is in the way.
    #[error("cannot make a repository at {location}: {reason}")]
    CannotInit {
        /// Where it should go.
        location: String,
        /// What is in the way.
        reason: String,
    },

    /// Another version of the format, or features that this version does not know.
    #[error("{name} needs a newer version of snap: {reason}")]
    Unsupported {
        /// What was read.
        name: String,
        /// What is not known.
        reason: String,
    },

    /// No key slot opens with the password.
    #[error("wrong password for repository {repository}")]
    WrongPassword {
        /// Which repository.
        repository: RepositoryId,
    },

    /// A password is needed and none was given.
    #[error("repository {repository} is encrypted and no password was given")]
    NoPassword {
        /// Which repository.
        repository: RepositoryId,
    },

    /// The keys were rotated, and those at hand are from before that.
    #[error("the keys of repository {repository} were rotated (rotation {rotation}), and those at hand are older")]
    KeysRotated {
        /// Which repository.
        repository: RepositoryId,
        /// How often they were rotated by then: the number of the epoch that began.
        rotation: u32,
    },

    /// A key export was made before the keys were rotated.
    #[error("this key export is older than key rotation {rotation}, and opens nothing that was written since")]
    OldExport {
        /// The first rotation that it does not know of.
        rotation: u32,
    },

    /// The log is behind or beside what was seen before: somebody put an older state back.
    #[error("the log of repository {repository} was rolled back: {reason}")]
    RolledBack {
        /// Which repository.
        repository: RepositoryId,
        /// What was seen, and what is there.
        reason: String,
    },

    /// Most packs are missing, as if the disk, the mount or the share that they lie on were away.
    #[error("{missing} of {packs} packs are missing at {location}, as if a disk or mount of it were away")]
    StorageAway {
        /// Where the repository lies.
        location: String,
        /// How many packs are missing.
        missing: u64,
        /// How many there should be.
        packs: u64,
    },

    /// Something else uses what is needed.
    #[error("{what} is in use by another process")]
    Busy {
        /// What.
        what: String,
    },

    /// No snapshot fits.
    #[error("no snapshot {wanted}")]
    NoSnapshot {
        /// What was asked for.
        wanted: String,
    },

    /// Several snapshots fit.
    #[error("snapshot id {wanted} is ambiguous ({count} matches)")]
    AmbiguousSnapshot {
        /// What was asked for.
        wanted: String,
        /// How many fit.
        count: usize,
    },

    /// A path is not in the snapshot.
    #[error("{path} is not in snapshot {snapshot}")]
    NoPath {
        /// What was asked for.
        path: String,
        /// Where.
        snapshot: String,
    },

    /// A file of a snapshot is no sound Avro file, or a part of it is not. Nothing is wrong with the repository.
    #[error("cannot read records of {path}: {reason}")]
    NoRecords {
        /// The file.
        path: String,
        /// What is not sound, and where.
        reason: String,
    },

    /// A manifest names a path that must not be created.
    #[error("refused to restore {path:?}: {reason}")]
    UnsafePath {
        /// The path as it stands in the manifest.
        path: String,
        /// Why it is refused.
        reason: String,
    },

    /// What was restored is not what was saved.
    #[error("{path} was not restored: {reason}")]
    NotRestored {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },

    /// The local cache database failed; the repository itself is not concerned.
    #[error("the local index {} failed: {reason}", path.display())]
    Cache {
        /// The database file.
        path: PathBuf,
        /// What it said.
        reason: String,
    },

    /// A restore that is to delete was refused, before anything was written.
    #[error("refused to delete: {0}")]
    DeleteRefused(Refusal),

    /// An argument makes no sense.
    #[error("{0}")]
    Invalid(String),

    /// Random bytes, key derivation or a cipher failed.
    #[error("cryptography failed: {0}")]
    Crypto(String),

    /// The work was given up because whoever asked for it wants it no more ([`CancelToken`]).
    ///
    /// [`CancelToken`]: crate::runtime::CancelToken
    #[error("interrupted")]
    Interrupted,

    /// A worker of a parallel operation ended before its time.
    #[error("a worker stopped before its work was done")]
    WorkerStopped,
}

/// Why a key slot is not taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRefusal {
    /// There is none of this id.
    #[error("is not in the repository")]
    Unknown,
    /// It is the last one.
    #[error("is the last one: without it nothing could be read")]
    Last,
    /// A rotation of the keys would take it away, which was not asked for.
    #[error("would be taken away, which was not asked for")]
    NotLeaving,
}

/// Why a restore may not delete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// What is missing in the snapshot may be what could not be read.
    #[error(
        "{count} paths could not be read when snapshot {snapshot} was made, so that what it lacks may be the only copy"
    )]
    Unreadable {
        /// Which snapshot.
        snapshot: String,
        /// How many.
        count: u64,
    },

    /// The target is the root of the system.
    #[error("the target {} is the root of the file system", target.display())]
    WholeSystem {
        /// The target as it was given.
        target: PathBuf,
    },

    /// All else would be removed from a home, or from a directory of the system.
    #[error(
        "all of {} would be replaced by what was saved of {}, and it is a home folder, holds one or belongs to the system",
        place.display(), saved.display()
    )]
    Precious {
        /// What would be swept.
        place: PathBuf,
        /// What was saved.
        saved: PathBuf,
    },
}

impl Error {
    /// An error of the operating system about `path`.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// A damaged object.
    pub fn damaged(name: impl Into<Subject>, reason: impl ToString) -> Self {
        Self::Damaged { name: name.into(), reason: reason.to_string() }
    }

    /// What kind of object of the repository it is about, if it is about one.
    pub fn object_kind(&self) -> Option<Kind> {
        match self {
            Self::Storage(error) => error.object().map(Name::kind),
            Self::ObjectMissing { name } => Some(name.kind()),
            Self::Damaged { name, .. } => name.kind(),
            _ => None,
        }
    }

    /// Whether there was no room for what was to be written.
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match self {
            Self::Io { source, .. } => matches!(source.kind(), StorageFull | QuotaExceeded),
            Self::Storage(error) => error.kind() == StorageErrorKind::NoSpace,
            _ => false,
        }
    }

    /// Whether data that should be in the repository is lost or damaged.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::ObjectMissing { .. } | Self::Damaged { .. } | Self::ChunkMissing { .. } | Self::ChunkDamaged { .. }
        )
    }
}

/// What is missing or damaged is a matter of the repository; all else is one of the storage.
impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match (error.kind(), error.object()) {
            (StorageErrorKind::NotFound, Some(name)) => Self::ObjectMissing { name: name.clone() },
            (StorageErrorKind::Damaged(_), Some(name)) => Self::damaged(name, error.reason()),
            _ => Self::Storage(error),
        }
    }
}

/// Adds to a result what it was about.
pub trait Context<T> {
    /// Says which object was being read.
    fn in_object(self, name: impl Into<Subject>) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Malformed> {
    fn in_object(self, name: impl Into<Subject>) -> Result<T> {
        self.map_err(|malformed| Error::damaged(name, malformed))
    }
}

/// Adds the path to an error of the operating system.
pub trait IoContext<T> {
    /// Says what was being done with which file.
    fn when(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn when(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::io(action, path, source))
    }
}
