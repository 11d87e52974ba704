//! What a snapshot is expected to hold (`--expect`): alarms for tables that are cut off, change their schema or stop growing old
//! enough to be wrong.
//!
//! [`language`] reads an expectation, [`measure`] adds up what it is about, of a snapshot in the making and of the one before, and
//! [`judge`] compares the two.

mod judge;
mod language;
mod measure;

pub use judge::{Judgement, Value};
pub use language::Expectation;

pub(super) use judge::judge;
pub(super) use measure::{Measures, measure_snapshot};
