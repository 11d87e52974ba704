//! snap: a content-addressed, deduplicating snapshot store for Apache Avro files.
//!
//! The modules form layers (`docs/architecture.md`): each names only those that stand after it in
//! `commands > files > repository > snapshot > index > pack > backend > recipe > avro > chunk > crypto > progress > error >
//! id > wire`, which a test holds. From `recipe` down there are no files, no threads and no clock.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod avro;
pub mod chunk;
pub mod crypto;
pub mod error;
pub mod files;
pub mod gc;
pub mod graph;
pub mod id;
pub mod index;
pub mod ingest;
pub mod integrity;
pub mod ops;
pub mod pack;
pub mod progress;
pub mod read;
pub mod recipe;
mod runtime;
pub mod snapshot;
pub mod storage;
pub mod store;
pub mod wire;
