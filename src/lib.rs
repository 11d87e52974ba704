//! snap: a content-addressed, deduplicating snapshot store for Apache Avro files.
//!
//! The top-level modules are rooms, and which of them may name which is a graph that a test holds (`docs/architecture.md`,
//! `tests/rooms.rs`): verbs ([`ops`]) use engines ([`ingest`], [`read`], [`gc`], [`integrity`], [`graph`]), engines use the
//! [`store`], and the store uses [`storage`]. From [`snapshot`] down there are no files, no threads and no clock.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod avro;
mod cache;
pub mod chunk;
pub mod crypto;
pub mod error;
pub mod files;
pub mod gc;
pub mod graph;
pub mod hints;
pub mod id;
pub mod index;
pub mod ingest;
pub mod integrity;
pub mod ops;
pub mod pack;
pub mod progress;
pub mod read;
pub mod recipe;
pub mod report;
pub mod runtime;
pub mod snapshot;
pub mod storage;
pub mod store;
pub mod wire;
