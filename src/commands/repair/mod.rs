//! `repair`: what can be done when something of a repository is lost. Each of these says what it finds, and can be asked
//! to say it only; on a sound repository they change nothing.

mod away;
mod config;
mod index;
mod packs;
mod parity;
mod rewrite;
mod snapshots;

pub use config::{ConfigSource, find_config};
pub use index::{IndexRepair, repair_index};
pub use packs::{DamagedPack, PackRepair, PackRepairOptions, repair_packs};
pub use snapshots::{DamagedSnapshot, SnapshotRepair, SnapshotRepairOptions, repair_snapshots};
