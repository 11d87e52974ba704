//! `prune`: deletes data that no snapshot needs. The engine is [`crate::gc`].

pub use crate::gc::{Fate, MaxUnused, PlannedPack, PruneOptions, PruneReport, Tally, prune, prune_without_room};
