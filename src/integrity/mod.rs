//! Is everything there, and is it what it should be? Packs are read and proven, snapshots followed; what is damaged is
//! repaired as far as it can be, and snapshots that the log does not name are found.

mod check;
mod data;
mod recover;
mod repair_index;
mod repair_packs;
mod repair_parity;
mod repair_rewrite;
mod repair_snapshots;
mod structure;

pub use check::{CheckOptions, CheckReport, DataSubset, check, check_each};
pub use recover::{Candidate, Found, bring_back, bring_back_and_mend, find_snapshots};
pub use repair_index::{IndexRepair, repair_index};
pub use repair_packs::{DamagedPack, PackRepair, PackRepairOptions, repair_packs};
pub use repair_snapshots::{DamagedSnapshot, SnapshotRepair, SnapshotRepairOptions, repair_snapshots};
