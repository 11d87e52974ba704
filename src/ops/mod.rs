//! What each verb does: a plan where there is something to decide, then a report.

pub mod avro_check;
pub mod cat;
pub mod check;
pub mod copy;
pub mod count;
pub mod create;
pub mod diff;
pub mod drill;
pub mod encoders;
pub mod erase;
pub mod find;
pub mod forget;
pub mod history;
pub mod iceberg;
pub mod ls;
pub mod manifest;
pub mod merge;
pub mod optimize;
pub mod overview;
pub mod plan;
pub mod prune;
pub mod record_diff;
pub mod recover;
pub mod repair;
pub mod restore;
pub mod retain;
pub mod schema;
pub mod select;
pub mod stats;
pub mod tag;

mod replacing;

use crate::snapshot::ManifestReader;

/// Whether `path` is `folder`, or lies below it. The empty folder holds everything.
fn is_at_or_below(path: &[u8], folder: &[u8]) -> bool {
    match path.strip_prefix(folder) {
        Some(rest) => folder.is_empty() || rest.is_empty() || rest.starts_with(b"/"),
        None => false,
    }
}

/// Skips a path and all that lies below it, without reading that.
fn skip_below<S: crate::chunk::ChunkSource>(rows: &mut ManifestReader<S>, path: &[u8]) -> crate::error::Result<()> {
    // In the order of paths `/` counts as 0, and no name holds a real 0: this is right after the last path below.
    rows.seek(&[path, b"\x01"].concat())
}
