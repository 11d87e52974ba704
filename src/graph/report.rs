//! What snapshots have lost, as it is reported.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Lost;
use crate::recipe::Ranges;
use crate::report::put_text;

impl Serialize for Lost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut lost = serializer.serialize_map(None)?;
        lost.serialize_entry("snapshot_id", &self.snapshot())?;
        lost.serialize_entry("code", self.cause().code())?;
        lost.serialize_entry("message", &self.cause().message())?;
        match self {
            Self::Snapshot { .. } => lost.serialize_entry("what", "snapshot")?,
            Self::Rows { after, last, rows, .. } => {
                lost.serialize_entry("what", "rows")?;
                put_text(&mut lost, "after", after)?;
                put_text(&mut lost, "last", last)?;
                lost.serialize_entry("rows", rows)?;
            }
            Self::File { path, size, loss, .. } => {
                lost.serialize_entry("what", "file")?;
                put_text(&mut lost, "path", path)?;
                lost.serialize_entry("size", size)?;
                lost.serialize_entry("header", &loss.header)?;
                lost.serialize_entry("layout", &loss.layout)?;
                lost.serialize_entry("stray_bytes", &loss.strays)?;
                put_ranges(&mut lost, ["bytes", "byte_ranges", "byte_ranges_unlisted"], &loss.bytes)?;
                put_ranges(&mut lost, ["blocks", "block_ranges", "block_ranges_unlisted"], &loss.blocks)?;
                put_ranges(&mut lost, ["records", "record_ranges", "record_ranges_unlisted"], &loss.records)?;
            }
        }
        lost.end()
    }
}

/// How many numbers there are in all, the ranges, and how many of these are not listed.
fn put_ranges<M: SerializeMap>(map: &mut M, names: [&str; 3], ranges: &Ranges) -> Result<(), M::Error> {
    map.serialize_entry(names[0], &ranges.total)?;
    map.serialize_entry(names[1], ranges)?;
    map.serialize_entry(names[2], &ranges.unlisted)
}
