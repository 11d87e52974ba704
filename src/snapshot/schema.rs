//! The Avro schemas of manifests and snapshot roots. They are part of the format: a changed one gets a new name beside
//! the old.

/// A row of a manifest ([`FileEntry`](super::entry::FileEntry)).
pub const ROW: &str = r#"{
  "type": "record", "name": "FileEntry", "namespace": "snap.v1",
  "fields": [
    {"name": "path", "type": "bytes", "doc": "components parted by '/', raw bytes"},
    {"name": "kind", "type": {"type": "enum", "name": "EntryKind",
      "symbols": ["file", "directory", "symlink", "fifo", "char_device", "block_device"]}},
    {"name": "mode", "type": "int", "doc": "permission, set-id and sticky bits"},
    {"name": "uid", "type": "long"},
    {"name": "gid", "type": "long"},
    {"name": "user", "type": ["null", "string"]},
    {"name": "group", "type": ["null", "string"]},
    {"name": "mtime", "type": {"type": "record", "name": "Time", "doc": "UTC", "fields": [
      {"name": "seconds", "type": "long", "doc": "since 1970-01-01, rounded down"},
      {"name": "nanos", "type": "int", "doc": "0 to 999999999"}]}},
    {"name": "ctime", "type": "Time"},
    {"name": "inode", "type": "long"},
    {"name": "size", "type": "long", "doc": "bytes"},
    {"name": "racy", "type": "boolean", "doc": "changed so shortly before it was read that its times prove nothing"},
    {"name": "sparse", "type": "boolean"},
    {"name": "link_target", "type": ["null", "bytes"], "doc": "of a symlink"},
    {"name": "device", "type": ["null", {"type": "record", "name": "Device",
      "fields": [{"name": "major", "type": "long"}, {"name": "minor", "type": "long"}]}]},
    {"name": "hard_link", "type": ["null", "bytes"], "doc": "path of the first name of the same file"},
    {"name": "xattrs", "type": {"type": "array", "items": {"type": "record", "name": "Xattr",
      "fields": [{"name": "name", "type": "bytes"}, {"name": "value", "type": "bytes"}]}}},
    {"name": "content", "type": ["null", {"type": "fixed", "name": "Blake3", "size": 32}]},
    {"name": "recipe", "type": "bytes", "doc": "how to rebuild the content from chunks"},
    {"name": "avro", "type": ["null", {"type": "record", "name": "AvroFacts", "fields": [
      {"name": "state", "type": {"type": "enum", "name": "AvroState",
        "symbols": ["ok", "header_only", "empty", "torn", "damaged", "foreign", "undecoded", "beyond_limits"]}},
      {"name": "codec", "type": "string"},
      {"name": "fingerprint", "type": {"type": "fixed", "name": "Crc64Avro", "size": 8},
        "doc": "CRC-64-AVRO of the schema, little-endian"},
      {"name": "blocks", "type": "long"},
      {"name": "declared_records", "type": "long"},
      {"name": "verified_records", "type": "long"},
      {"name": "encoder", "type": "string"},
      {"name": "blocks_exact", "type": "long"},
      {"name": "blocks_corrected", "type": "long"},
      {"name": "blocks_raw", "type": "long"},
      {"name": "raw_reason", "type": "string", "doc": "why blocks are kept as their payload"},
      {"name": "stray_bytes", "type": "long", "doc": "at the end, after the last marker"}]}]},
    {"name": "origin", "type": ["null", {"type": "record", "name": "Origin", "fields": [
      {"name": "tag", "type": "string", "doc": "entity tag of the source object"},
      {"name": "version", "type": ["null", "string"], "doc": "version id of the source object"}]}]},
    {"name": "altered", "type": ["null", {"type": "long", "logicalType": "timestamp-nanos"}],
      "doc": "when the content was changed on purpose after it was saved"},
    {"name": "properties", "type": {"type": "array", "items": {"type": "record", "name": "Property", "fields": [
      {"name": "name", "type": "string"},
      {"name": "value", "type": "bytes"}]}}, "doc": "what later versions add"}
  ]
}"#;

/// A row of an exported manifest: the facts of [`ROW`] in a form that every reader takes. No type is named twice, no map, no
/// logical type that some readers refuse.
pub const EXPORT: &str = r#"{
  "type": "record", "name": "ManifestEntry", "namespace": "snap.export.v1",
  "fields": [
    {"name": "path", "type": "string", "doc": "components parted by '/'; replacement characters where it is not UTF-8"},
    {"name": "path_bytes", "type": ["null", "bytes"], "doc": "the raw bytes, where the path is not UTF-8"},
    {"name": "kind", "type": {"type": "enum", "name": "EntryKind",
      "symbols": ["file", "directory", "symlink", "fifo", "char_device", "block_device"]}},
    {"name": "mode", "type": "int", "doc": "permission, set-id and sticky bits"},
    {"name": "uid", "type": "long"},
    {"name": "gid", "type": "long"},
    {"name": "user", "type": ["null", "string"]},
    {"name": "group", "type": ["null", "string"]},
    {"name": "mtime", "type": {"type": "long", "logicalType": "timestamp-micros"}, "doc": "rounded down"},
    {"name": "mtime_seconds", "type": "long", "doc": "since 1970-01-01 UTC, rounded down; the full range"},
    {"name": "mtime_nanos", "type": "int", "doc": "after that second"},
    {"name": "ctime", "type": {"type": "long", "logicalType": "timestamp-micros"}, "doc": "rounded down"},
    {"name": "inode", "type": "long"},
    {"name": "size", "type": "long", "doc": "bytes"},
    {"name": "racy", "type": "boolean", "doc": "changed so shortly before it was read that its times prove nothing"},
    {"name": "sparse", "type": "boolean"},
    {"name": "link_target", "type": ["null", "string"]},
    {"name": "link_target_bytes", "type": ["null", "bytes"], "doc": "the raw bytes, where the target is not UTF-8"},
    {"name": "device_major", "type": ["null", "long"]},
    {"name": "device_minor", "type": ["null", "long"]},
    {"name": "hard_link", "type": ["null", "string"], "doc": "path of the first name of the same file"},
    {"name": "hard_link_bytes", "type": ["null", "bytes"], "doc": "the raw bytes, where that path is not UTF-8"},
    {"name": "xattrs", "type": {"type": "array", "items": {"type": "record", "name": "Xattr",
      "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": "bytes"}]}}},
    {"name": "content", "type": ["null", "string"], "doc": "BLAKE3 of the content, hexadecimal"},
    {"name": "recipe", "type": "bytes", "doc": "how to rebuild the content from chunks"},
    {"name": "avro", "type": ["null", {"type": "record", "name": "AvroFacts", "fields": [
      {"name": "state", "type": "string"},
      {"name": "codec", "type": "string"},
      {"name": "fingerprint", "type": "string", "doc": "CRC-64-AVRO of the schema, little-endian, hexadecimal"},
      {"name": "blocks", "type": "long"},
      {"name": "declared_records", "type": "long"},
      {"name": "verified_records", "type": "long"},
      {"name": "encoder", "type": "string"},
      {"name": "blocks_exact", "type": "long"},
      {"name": "blocks_corrected", "type": "long"},
      {"name": "blocks_raw", "type": "long"},
      {"name": "raw_reason", "type": "string", "doc": "why blocks are kept as their payload"},
      {"name": "stray_bytes", "type": "long", "doc": "at the end, after the last marker"}]}]},
    {"name": "origin_tag", "type": ["null", "string"], "doc": "entity tag of the source object"},
    {"name": "origin_version", "type": ["null", "string"], "doc": "version id of the source object"},
    {"name": "altered", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}],
      "doc": "when the content was changed on purpose after it was saved"}
  ]
}"#;

/// The root of a snapshot ([`SnapshotRoot`](super::SnapshotRoot)).
pub const ROOT: &str = r#"{
  "type": "record", "name": "SnapshotRoot", "namespace": "snap.v1",
  "fields": [
    {"name": "version", "type": "int"},
    {"name": "snapshot", "type": {"type": "fixed", "name": "SnapshotId", "size": 16}},
    {"name": "series", "type": "string"},
    {"name": "host", "type": "string"},
    {"name": "user", "type": "string"},
    {"name": "time", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    {"name": "paths", "type": {"type": "array", "items": "bytes"}, "doc": "what was saved, as absolute paths"},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "parent", "type": ["null", "SnapshotId"]},
    {"name": "program", "type": "string"},
    {"name": "required_read_features", "type": "long"},
    {"name": "revision", "type": "long", "doc": "how many roots the snapshot had before this one"},
    {"name": "altered", "type": ["null", {"type": "long", "logicalType": "timestamp-nanos"}],
      "doc": "when content was last changed on purpose after it was saved"},
    {"name": "files", "type": "long"},
    {"name": "directories", "type": "long"},
    {"name": "others", "type": "long", "doc": "links, pipes, devices"},
    {"name": "bytes", "type": "long", "doc": "of all regular files"},
    {"name": "unreadable", "type": "long", "doc": "what could not be read and is not in the manifest"},
    {"name": "rules", "type": {"type": "array", "items": {"type": "record", "name": "Rule", "fields": [
      {"name": "name", "type": "string"},
      {"name": "value", "type": "bytes"}]}}, "doc": "what was left out, and why"},
    {"name": "path_list", "type": "bytes", "doc": "all paths as a stream, where there are too many for the root"},
    {"name": "manifest", "type": ["null", {"type": "record", "name": "Tree", "fields": [
      {"name": "height", "type": "int"},
      {"name": "root", "type": {"type": "fixed", "name": "ChunkId", "size": 32}},
      {"name": "bytes", "type": "long"},
      {"name": "rows", "type": "long"},
      {"name": "last", "type": "bytes"}]}]},
    {"name": "properties", "type": {"type": "array", "items": {"type": "record", "name": "Property", "fields": [
      {"name": "name", "type": "string"},
      {"name": "value", "type": "bytes"}]}}, "doc": "what later versions add"}
  ]
}"#;

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_on_the_format_shows_these_very_schemas() {
        let page = include_str!("../../docs/format.md");
        for schema in [super::ROW, super::ROOT] {
            assert!(page.contains(&format!("```json\n{schema}\n```")), "{}", &schema[..60]);
        }
    }
}
