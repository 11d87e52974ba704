//! Reading what snapshots hold: files rebuilt bit for bit, and their records.

pub mod avro_file;
mod content;
mod file;
mod prefetch;
mod trust;

pub use file::File;

pub(crate) use content::{EncoderBench, Rebuilder, Rebuilt};
pub(crate) use prefetch::Prefetching;
pub(crate) use trust::is_trusted;
