//! What was saved, and when: the root of a snapshot, and its manifest.
//!
//! Both are Avro (the schemas are in [`schema`]). A manifest is a list of [rows](entry), sorted by path, kept as chunks
//! just like the content of files, so that the rows of an unchanged region cost nothing in the next snapshot.

mod datum;
pub mod entry;
mod export;
mod manifest;
pub mod part;
mod path_list;
mod report;
pub mod retention;
mod root;
mod row;
pub mod rules;
mod same;
pub mod schema;
mod shard;

pub use export::export_manifest;
pub use manifest::{ManifestReader, ManifestWriter};
pub use part::{Missed, Missing, Part};
pub use path_list::put_paths;
pub use root::{Rule, SnapshotRoot, Totals};
pub use row::{decode_row, encode_row};
pub use same::first_difference;
pub use shard::Shard;
