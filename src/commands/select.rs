//! Which snapshot is meant.
