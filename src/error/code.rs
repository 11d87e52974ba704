//! Errors for programs: a stable code, and all that is to be said in one text.

use std::error::Error as _;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::Error;

impl Error {
    /// A stable name for programs (`docs/json.md`).
    pub fn code(&self) -> &'static str {
        match self {
            error if error.is_full() => "no_space",
            Self::Io { .. } => "io",
            Self::Storage(error) => error.kind().code(),
            Self::ObjectMissing { .. } => "object_missing",
            Self::Damaged { .. } => "damaged",
            Self::ChunkMissing { .. } => "chunk_missing",
            Self::ChunkDamaged { .. } => "chunk_damaged",
            Self::Pruned { .. } => "pruned",
            Self::SnapshotExists { .. } => "snapshot_exists",
            Self::RootRefused { .. } => "root_refused",
            Self::KeyRefused { .. } => "key_refused",
            Self::SnapshotRemoved { .. } => "snapshot_removed",
            Self::SnapshotReplaced { .. } => "snapshot_replaced",
            Self::NoRepository { .. } => "no_repository",
            Self::CannotInit { .. } => "cannot_init",
            Self::Unsupported { .. } => "unsupported",
            Self::WrongPassword { .. } => "wrong_password",
            Self::NoPassword { .. } => "no_password",
            Self::KeysRotated { .. } => "keys_rotated",
            Self::OldExport { .. } => "old_export",
            Self::RolledBack { .. } => "rolled_back",
            Self::StorageAway { .. } => "storage_away",
            Self::Busy { .. } => "busy",
            Self::NoSnapshot { .. } => "no_snapshot",
            Self::AmbiguousSnapshot { .. } => "ambiguous_snapshot",
            Self::NoPath { .. } => "no_path",
            Self::NoRecords { .. } => "no_records",
            Self::UnsafePath { .. } => "unsafe_path",
            Self::NotRestored { .. } => "not_restored",
            Self::Cache { .. } => "cache",
            Self::DeleteRefused(_) => "delete_refused",
            Self::RunRefused { .. } => "run_refused",
            Self::InvalidArgument { .. } => "invalid",
            Self::WrongKind { .. } => "wrong_kind",
            Self::NothingSaved => "nothing_saved",
            Self::LimitExceeded { .. } => "limit_exceeded",
            Self::Exhausted { .. } => "exhausted",
            Self::Internal(_) => "internal",
            Self::Crypto(_) => "crypto",
            Self::WorkerStopped => "worker_stopped",
            Self::Interrupted => "interrupted",
        }
    }

    /// The error and all its causes, each once.
    pub fn message(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.contains(&next) {
                text = format!("{text}: {next}");
            }
            cause = error.source();
        }
        text
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Error", 2)?;
        fields.serialize_field("code", self.code())?;
        fields.serialize_field("message", &self.message())?;
        fields.end()
    }
}
