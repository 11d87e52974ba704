//! `retain`: keeps what snapshots need from being deleted. What is needed is found as `prune` does, in [`crate::gc`].

pub use crate::gc::{RetainOptions, RetainReport, Tally, retain};
