//! What was saved, and when.

pub mod entry;
