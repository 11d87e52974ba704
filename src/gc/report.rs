//! What a prune reports.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Fate, PlannedPack, PruneReport};

impl Serialize for PlannedPack {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pack = serializer.serialize_map(None)?;
        pack.serialize_entry("id", &self.id)?;
        pack.serialize_entry("bytes", &self.length)?;
        pack.serialize_entry("needed_bytes", &self.needed)?;
        pack.serialize_entry("goes", &self.fate.goes())?;
        pack.serialize_entry("is_copied", &self.fate.is_copied())?;
        pack.serialize_entry("reason", self.fate.name())?;
        pack.end()
    }
}

/// The packs of the plan in sums: there may be very many.
impl Serialize for PruneReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_map(None)?;
        report.serialize_entry("snapshots", &self.snapshots)?;
        report.serialize_entry("lost_chunks", &self.lost_chunks)?;
        report.serialize_entry("bytes_before", &self.bytes_before)?;
        report.serialize_entry("kept", &self.tally(|fate| !fate.goes()))?;
        report.serialize_entry("to_remove", &self.tally(|fate| fate.goes() && !fate.is_copied()))?;
        report.serialize_entry("to_repack", &self.tally(Fate::is_copied))?;
        report.serialize_entry("condemned", &self.condemned)?;
        report.serialize_entry("written", &self.written)?;
        report.serialize_entry("swept", &self.swept)?;
        report.serialize_entry("waiting", &self.waiting)?;
        report.serialize_entry("retained", &self.retained)?;
        report.serialize_entry("unused_bytes_left", &self.unused_bytes_left)?;
        report.serialize_entry("old_key_packs_left", &self.old_keys)?;
        report.serialize_entry("indexes_replaced", &self.indexes_replaced)?;
        report.serialize_entry("parts_removed", &self.parts_removed)?;
        report.serialize_entry("tidied_bytes", &self.tidied_bytes)?;
        report.serialize_entry("without_room", &self.without_room)?;
        report.serialize_entry("duration_secs", &self.duration_secs)?;
        report.end()
    }
}
