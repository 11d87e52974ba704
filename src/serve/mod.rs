//! Snapshots over HTTP: a read-only S3 for query engines, plain files with ranges, and pages to look at. One port.
//!
//! Below `/plain/` and `/exact/` lie the snapshots in their two views, below `/series/` those of each series. The same keys stand in one
//! bucket for clients of S3. A name is resolved once a request: what `latest` means may change from one request to the next, but
//! not within one.
//!
//! Nothing is written, and nothing is read but rows and content of snapshots that are shown.

mod access;
mod answer;
mod body;
mod files;
mod keys;
mod listing;
mod pages;
mod request;
mod s3;
mod server;
mod stalled;
mod text;

pub use access::{Access, Secret};
pub use pages::report;
pub use server::{Limits, Served, names_of, serve};
