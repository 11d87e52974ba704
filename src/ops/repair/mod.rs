//! `repair`: what can be done when something of a repository is lost. Each of these says what it finds, and can be asked
//! to say it only; on a sound repository they change nothing. The engine is [`crate::integrity`].

mod config;
mod payloads;

pub use config::{ConfigReport, ConfigSource, find_config};
pub use payloads::{PayloadOptions, PayloadReport, keep_payloads};

pub use crate::integrity::{
    DamagedPack, DamagedSnapshot, IndexRepair, PackRepair, PackRepairOptions, SnapshotRepair, SnapshotRepairOptions,
    repair_index, repair_packs, repair_snapshots,
};
