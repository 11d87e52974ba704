//! Rows and roots as they are reported.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::SnapshotRoot;
use super::entry::{AvroFacts, EntryKind, FileEntry, Time};
use crate::id::hex;
use crate::report::{put_text, utc};

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&utc(self.nanoseconds()))
    }
}

impl Serialize for FileEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(None)?;
        put_text(&mut row, "path", &self.path)?;
        row.serialize_entry("type", self.kind.name())?;
        row.serialize_entry("mode", &self.mode)?;
        row.serialize_entry("permissions", &self.permissions())?;
        row.serialize_entry("uid", &self.uid)?;
        row.serialize_entry("gid", &self.gid)?;
        row.serialize_entry("user", &self.user)?;
        row.serialize_entry("group", &self.group)?;
        row.serialize_entry("size", &self.size)?;
        row.serialize_entry("mtime", &self.mtime)?;
        row.serialize_entry("ctime", &self.ctime)?;
        row.serialize_entry("inode", &self.inode)?;
        match &self.kind {
            EntryKind::Symlink(target) => put_text(&mut row, "link_target", target)?,
            EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => {
                row.serialize_entry("device", &[device.major, device.minor])?;
            }
            EntryKind::File | EntryKind::Directory | EntryKind::Fifo => {}
        }
        if let Some(first) = &self.hard_link {
            put_text(&mut row, "hard_link", first)?;
        }
        if let Some(content) = &self.content {
            row.serialize_entry("content", content)?;
        }
        if let Some(facts) = &self.avro {
            row.serialize_entry("avro", facts)?;
        }
        if let Some(altered) = self.altered {
            row.serialize_entry("altered", &utc(i128::from(altered)))?;
        }
        row.end()
    }
}

impl Serialize for AvroFacts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut facts = serializer.serialize_map(None)?;
        facts.serialize_entry("state", &self.state)?;
        facts.serialize_entry("codec", &self.codec)?;
        facts.serialize_entry("fingerprint", &hex(&self.fingerprint.to_le_bytes()))?;
        facts.serialize_entry("blocks", &self.blocks)?;
        facts.serialize_entry("declared_records", &self.declared_records)?;
        facts.serialize_entry("verified_records", &self.verified_records)?;
        facts.serialize_entry("encoder", &self.encoder)?;
        facts.serialize_entry("blocks_exact", &self.blocks_exact)?;
        facts.serialize_entry("blocks_corrected", &self.blocks_corrected)?;
        facts.serialize_entry("blocks_raw", &self.blocks_raw)?;
        facts.serialize_entry("raw_reason", &self.raw_reason)?;
        facts.serialize_entry("stray_bytes", &self.stray_bytes)?;
        facts.end()
    }
}

impl Serialize for SnapshotRoot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut root = serializer.serialize_map(None)?;
        root.serialize_entry("id", &self.id)?;
        root.serialize_entry("short_id", &self.id.short())?;
        root.serialize_entry("time", &utc(i128::from(self.time)))?;
        root.serialize_entry("host", &self.host)?;
        root.serialize_entry("user", &self.user)?;
        root.serialize_entry("series", &self.series)?;
        let paths: Vec<_> = self.paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
        root.serialize_entry("paths", &paths)?;
        if self.paths.iter().any(|path| std::str::from_utf8(path).is_err()) {
            let paths: Vec<_> = self.paths.iter().map(|path| hex(path)).collect();
            root.serialize_entry("paths_hex", &paths)?;
        }
        root.serialize_entry("tags", &self.tags)?;
        root.serialize_entry("parent", &self.parent)?;
        root.serialize_entry("program", &self.program)?;
        root.serialize_entry("files", &self.totals.files)?;
        root.serialize_entry("directories", &self.totals.directories)?;
        root.serialize_entry("others", &self.totals.others)?;
        root.serialize_entry("bytes", &self.totals.bytes)?;
        root.serialize_entry("unreadable", &self.totals.unreadable)?;
        root.end()
    }
}
