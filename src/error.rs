//! What can go wrong, with the path or id concerned and the cause. Hints for people are the command line's.
//!
//! [`Error`] has a variant for each situation, with what belongs to it. What holds for all of them is asked by methods: what
//! kind of failure it is ([`Error::kind`]), what it is about ([`Error::subject`]), a stable name ([`Error::code`]), and the
//! cause ([`source`](std::error::Error::source)), which is the error of the layer below with its own type. Texts are not looked at.

mod code;
mod context;
mod kind;
mod refusal;
mod storage;
mod subject;

use std::path::{Path, PathBuf};

pub use context::{Context, IoContext};
pub use kind::ErrorKind;
pub use refusal::{KeyRefusal, Refusal, RunRefusal};
pub use storage::{Flaw, StorageError, StorageErrorKind};
pub use subject::Subject;

use crate::id::{ChunkId, KeyId, Kind, Name, PackId, RepositoryId, SnapshotId};

/// Result of the library's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a lower layer, with its own type.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something about a file outside of the repository.
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
        /// Name of the object in the storage.
        name: Name,
    },

    /// The bytes of an object are not what they should be.
    #[error("{name} is damaged: {reason}")]
    Damaged {
        /// The object, or what is made of several.
        name: Subject,
        /// What is wrong with its bytes.
        reason: String,
    },

    /// A chunk is in no pack that can be read.
    #[error("chunk {id} is in no pack of the repository")]
    ChunkMissing {
        /// Id of the chunk that was wanted.
        id: ChunkId,
    },

    /// A chunk's pack is there but its bytes are not what they should be.
    #[error("chunk {id} in pack {pack} is damaged: {reason}")]
    ChunkDamaged {
        /// Id of the chunk that was wanted.
        id: ChunkId,
        /// The pack that it was read from.
        pack: PackId,
        /// What is wrong with its bytes.
        reason: String,
    },

    /// A snapshot cannot be added (again): a prune deleted what it rests on.
    #[error("snapshot {snapshot} was not added: a prune has deleted {chunks} chunks that it needs")]
    Pruned {
        /// Id of the snapshot that was to be added.
        snapshot: SnapshotId,
        /// Number of chunks that it needs and that were deleted.
        chunks: u64,
    },

    /// A snapshot cannot be added: there is one with this id.
    #[error("snapshot {snapshot} is in the repository already")]
    SnapshotExists {
        /// Id of the snapshot.
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
        /// Why it stays.
        refusal: KeyRefusal,
    },

    /// A snapshot was removed while it was read, and a prune has deleted what it needs.
    #[error("snapshot {snapshot} was removed meanwhile, and a prune has deleted what it needs")]
    SnapshotRemoved {
        /// Id of the snapshot that was read.
        snapshot: SnapshotId,
    },

    /// A snapshot was stored in another way while it was read, and a prune has deleted what it needed before.
    #[error(
        "snapshot {snapshot} was stored in another way meanwhile, and a prune has deleted what it consisted of before"
    )]
    SnapshotReplaced {
        /// Id of the snapshot that was read.
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
        /// The object that was read.
        name: String,
        /// The version or feature that is not known.
        reason: String,
    },

    /// No key slot opens with the password.
    #[error("wrong password for repository {repository}")]
    WrongPassword {
        /// Id of the repository.
        repository: RepositoryId,
    },

    /// A password is needed and none was given.
    #[error("repository {repository} is encrypted and no password was given")]
    NoPassword {
        /// Id of the repository.
        repository: RepositoryId,
    },

    /// The keys were rotated, and those at hand are from before that.
    #[error("the keys of repository {repository} were rotated (rotation {rotation}), and those at hand are older")]
    KeysRotated {
        /// Id of the repository.
        repository: RepositoryId,
        /// Number of the rotation, counted from 1: that of the epoch that began with it.
        rotation: u32,
    },

    /// A key export was made before the keys were rotated.
    #[error("this key export is older than key rotation {rotation}, and opens nothing that was written since")]
    OldExport {
        /// The first rotation that it does not know of.
        rotation: u32,
    },

    /// The log is not a continuation of what was seen before: an older state was put back.
    #[error("the log of repository {repository} was rolled back: {reason}")]
    RolledBack {
        /// Id of the repository.
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

    /// Another process uses what is needed.
    #[error("{what} is in use by another process")]
    Busy {
        /// What is in use, with its article.
        what: String,
    },

    /// No snapshot matches.
    #[error("no snapshot {wanted}")]
    NoSnapshot {
        /// What was asked for.
        wanted: String,
    },

    /// Several snapshots match.
    #[error("snapshot id {wanted} is ambiguous ({count} matches)")]
    AmbiguousSnapshot {
        /// The beginning of an id.
        wanted: String,
        /// Number of snapshots whose ids begin so.
        count: usize,
    },

    /// A path is not in the snapshot.
    #[error("{path} is not in snapshot {snapshot}")]
    NoPath {
        /// What was asked for.
        path: String,
        /// Short id of the snapshot.
        snapshot: String,
    },

    /// A file of a snapshot is no sound Avro file, or a part of it is not. Nothing is wrong with the repository.
    #[error("cannot read records of {path}: {source}")]
    NoRecords {
        /// Path of the file in the snapshot.
        path: String,
        /// What is not sound, and where.
        source: Cause,
    },

    /// A path of a snapshot is something else than what was asked for.
    #[error("{path} is not {expected}")]
    WrongKind {
        /// The path in the snapshot.
        path: String,
        /// What was asked for, with its article: "a regular file".
        expected: &'static str,
    },

    /// None of the sources of a new snapshot could be read.
    #[error("none of the sources could be read; no snapshot was created")]
    NothingSaved,

    /// A manifest names a path that must not be created.
    #[error("refused to restore {path:?}: {reason}")]
    UnsafePath {
        /// The path as it stands in the manifest.
        path: String,
        /// Why it is refused.
        reason: String,
    },

    /// What was restored is not what was saved.
    #[error("{path} was not restored: {source}")]
    NotRestored {
        /// Where it was to be written.
        path: String,
        /// Why it was not, or what differs.
        source: Cause,
    },

    /// The local cache database failed; the repository itself is not concerned.
    #[error("the local index {} failed: {source}", path.display())]
    Cache {
        /// The database file.
        path: PathBuf,
        /// What is wrong with it.
        source: Cause,
    },

    /// A restore that is to delete was refused, before anything was written.
    #[error("refused to delete: {0}")]
    DeleteRefused(Refusal),

    /// A part does not belong to a run, or a run cannot be merged.
    #[error("run {run} {refusal}")]
    RunRefused {
        /// Name of the run.
        run: String,
        /// Why.
        refusal: RunRefusal,
    },

    /// An argument makes no sense.
    #[error("{reason}")]
    InvalidArgument {
        /// Which argument or option, as the library names it: "pattern", "target".
        argument: &'static str,
        /// The whole message: what was given, and what is wrong with it.
        reason: String,
    },

    /// Something is larger than the format, or what is written, allows.
    #[error("{what} is {value}, more than the limit of {limit}")]
    LimitExceeded {
        /// What was measured, with its unit.
        what: String,
        /// The value that was measured.
        value: u64,
        /// The largest value allowed.
        limit: u64,
    },

    /// This machine has run out of something.
    #[error("the system allows no more {what}: {source}")]
    Exhausted {
        /// Of what: "threads", "memory".
        what: &'static str,
        /// What the system said.
        source: Cause,
    },

    /// What cannot happen has happened: a fault of this program.
    #[error("internal error: {0}")]
    Internal(String),

    /// Random bytes, key derivation or a cipher failed.
    #[error("cryptography failed: {0}")]
    Crypto(#[source] Cause),

    /// The work was cancelled ([`CancelToken`]).
    ///
    /// [`CancelToken`]: crate::runtime::CancelToken
    #[error("interrupted")]
    Interrupted,

    /// A worker of a parallel operation ended before its time.
    #[error("a worker stopped before its work was done")]
    WorkerStopped,
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

    /// An argument that makes no sense.
    pub fn argument(argument: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidArgument { argument, reason: reason.into() }
    }

    /// A run that something was refused about.
    pub fn run(run: impl Into<String>, refusal: RunRefusal) -> Self {
        Self::RunRefused { run: run.into(), refusal }
    }

    /// A path of a snapshot that is not `expected`.
    pub fn wrong_kind(path: &[u8], expected: &'static str) -> Self {
        Self::WrongKind { path: String::from_utf8_lossy(path).into_owned(), expected }
    }

    /// A file that was not restored.
    pub fn not_restored(path: impl std::fmt::Display, cause: impl Into<Cause>) -> Self {
        Self::NotRestored { path: path.to_string(), source: cause.into() }
    }

    /// What kind of object of the repository it is about, if it is about one.
    pub fn object_kind(&self) -> Option<Kind> {
        self.subject()?.kind()
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
        self.kind() == ErrorKind::Damage
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
