//! Reading what snapshots hold: files rebuilt bit for bit, and their records.
//!
//! [`Snapshot`], [`Dir`] and [`File`] are for programs that keep what they read from: a mount, a gateway, an object of another
//! language. They own an `Arc` of the repository, are cheap to clone, and several threads can use one at once.

pub mod avro_file;
mod below;
mod content;
mod dir;
mod file;
mod lookup;
mod prefetch;
mod ranges;
mod records;
mod snapshot;
mod trust;

pub use below::Below;
pub use dir::{Children, Dir};
pub use file::{File, FileReader};
pub use ranges::Ranges;
pub use records::{Block, Blocks, Record, Records, Unsound};
pub use snapshot::Snapshot;

pub(crate) use content::{EncoderBench, FileAssembler, Rebuilt};
pub(crate) use lookup::{Lookup, regular_file};
pub(crate) use prefetch::Prefetching;
pub(crate) use trust::is_trusted;
