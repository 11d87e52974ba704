//! Iceberg tables: which files a state of a table is made of, and how their paths are rewritten where it moves.
//!
//! A table is a tree of files that never change (Iceberg specification, versions 1 to 3): a metadata file in JSON names snapshots, each
//! snapshot a manifest list, that names manifests, and those name data and delete files. Lists and manifests are Avro, and are read with
//! this program's own code. Everything here is a function of bytes; who reads and writes them stands in `ops`.

pub mod location;
pub mod manifest;
pub mod metadata;
pub mod names;

pub use location::{LocationMap, local_path};
pub use manifest::{Content, FileOfTable, ManifestOfTable, files_in, manifests_in, rewritten_list, rewritten_manifest};
pub use metadata::{SnapshotOfTable, Statistics, TableMetadata};
pub use names::{MetadataName, hinted};

/// Why something is no part of an Iceberg table, or cannot be rewritten: a sentence without a subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Flaw(pub String);

impl Flaw {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Result of looking into a part of a table.
pub type Result<T> = std::result::Result<T, Flaw>;
