//! Rows of manifests and roots of snapshots as JSON.

use avro_snap::id::hex;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::snapshot::entry::{EntryKind, FileEntry};
use serde_json::{Value, json};

use super::format::{kind, mode, utc_file_time, utc_time};
use super::output::put_path;

/// A row.
pub(crate) fn node(entry: &FileEntry) -> Value {
    let mut object = json!({
        "type": kind(entry),
        "mode": entry.mode,
        "permissions": mode(entry),
        "uid": entry.uid,
        "gid": entry.gid,
        "user": entry.user,
        "group": entry.group,
        "size": entry.size,
        "mtime": utc_file_time(entry.mtime),
        "ctime": utc_file_time(entry.ctime),
        "inode": entry.inode,
    });
    put_path(&mut object, &entry.path);
    let Value::Object(fields) = &mut object else { return object };
    let mut put_bytes = |name: &str, bytes: &[u8]| {
        fields.insert(name.into(), String::from_utf8_lossy(bytes).into());
        if std::str::from_utf8(bytes).is_err() {
            fields.insert(format!("{name}_hex"), hex(bytes).into());
        }
    };
    if let EntryKind::Symlink(target) = &entry.kind {
        put_bytes("link_target", target);
    }
    if let Some(first) = &entry.hard_link {
        put_bytes("hard_link", first);
    }
    if let EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) = &entry.kind {
        fields.insert("device".into(), json!([device.major, device.minor]));
    }
    if let Some(content) = &entry.content {
        fields.insert("content".into(), content.to_string().into());
    }
    if let Some(facts) = &entry.avro {
        let avro = json!({
            "state": facts.state.name(),
            "codec": facts.codec,
            "fingerprint": hex(&facts.fingerprint.to_le_bytes()),
            "blocks": facts.blocks,
            "declared_records": facts.declared_records,
            "verified_records": facts.verified_records,
            "encoder": facts.encoder,
            "blocks_exact": facts.blocks_exact,
            "blocks_corrected": facts.blocks_corrected,
            "blocks_raw": facts.blocks_raw,
            "raw_reason": facts.raw_reason,
            "stray_bytes": facts.stray_bytes,
        });
        fields.insert("avro".into(), avro);
    }
    object
}

/// The root of a snapshot.
pub(crate) fn snapshot(root: &SnapshotRoot) -> Value {
    let paths: Vec<_> = root.paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
    json!({
        "id": root.id.to_string(),
        "short_id": root.id.short(),
        "time": utc_time(root.time),
        "host": root.host,
        "user": root.user,
        "series": root.series,
        "paths": paths,
        "tags": root.tags,
        "parent": root.parent.map(|parent| parent.to_string()),
        "program": root.program,
        "files": root.totals.files,
        "directories": root.totals.directories,
        "others": root.totals.others,
        "bytes": root.totals.bytes,
        "unreadable": root.totals.unreadable,
    })
}
