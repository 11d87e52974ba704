//! A manifest as an ordinary Avro container file, for any Avro reader.

use super::datum::DatumWriter;
use super::entry::{EntryKind, FileEntry, Time};
use super::{SnapshotRoot, schema};
use crate::avro::container::{MAGIC, put_block_header};
use crate::avro::varint;
use crate::chunk::ChunkSource;
use crate::error::Result;
use crate::id::{digest, hex};

/// How many bytes of rows a block of the exported file has, about.
const BLOCK: usize = 64 << 10;

/// Hands the bytes of the container to `write`, piece by piece. The rows have the schema [`EXPORT`](schema::EXPORT).
///
/// # Errors
/// Errors of reading chunks from the source, and of `write`.
pub fn export_manifest<S: ChunkSource + ?Sized>(
    root: &SnapshotRoot,
    source: &S,
    mut write: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    // The same snapshot always makes the same file.
    let mut marker = [0; 16];
    marker.copy_from_slice(&digest(root.id.as_bytes())[..16]);
    let snapshot = root.id.to_string();
    let metadata = [("avro.codec", "null"), ("avro.schema", schema::EXPORT), ("snap.snapshot", &snapshot)];
    let mut bytes = MAGIC.to_vec();
    varint::encode(&mut bytes, metadata.len() as i64);
    for (key, value) in metadata {
        for text in [key, value] {
            varint::encode(&mut bytes, text.len() as i64);
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    varint::encode(&mut bytes, 0);
    bytes.extend_from_slice(&marker);
    write(&bytes)?;
    let (mut rows, mut block, mut count) = (root.rows(source), Vec::new(), 0);
    loop {
        let row = rows.next_row()?;
        if let Some(row) = &row {
            encode_exported(row, &mut block);
            count += 1;
        }
        if count > 0 && (row.is_none() || block.len() >= BLOCK) {
            bytes.clear();
            put_block_header(&mut bytes, count, block.len());
            bytes.append(&mut block);
            bytes.extend_from_slice(&marker);
            write(&bytes)?;
            count = 0;
        }
        if row.is_none() {
            return Ok(());
        }
    }
}

/// Appends a row, as the schema [`EXPORT`](schema::EXPORT) has it.
fn encode_exported(entry: &FileEntry, out: &mut Vec<u8>) {
    let mut writer = DatumWriter(out);
    let (kind, target, device) = match &entry.kind {
        EntryKind::File => (0, None, None),
        EntryKind::Directory => (1, None, None),
        EntryKind::Symlink(target) => (2, Some(&target[..]), None),
        EntryKind::Fifo => (3, None, None),
        EntryKind::CharDevice(device) => (4, None, Some(device)),
        EntryKind::BlockDevice(device) => (5, None, Some(device)),
    };
    let text = |writer: &mut DatumWriter<'_>, text: &str| writer.bytes(text.as_bytes());
    writer.bytes(String::from_utf8_lossy(&entry.path).as_bytes());
    raw(&mut writer, Some(&entry.path));
    writer.unsigned(kind);
    for number in [entry.mode, entry.uid, entry.gid] {
        writer.unsigned(u64::from(number));
    }
    writer.option(entry.user.as_deref(), text);
    writer.option(entry.group.as_deref(), text);
    writer.long(micros(entry.mtime));
    writer.long(entry.mtime.seconds);
    writer.unsigned(u64::from(entry.mtime.nanos));
    writer.long(micros(entry.ctime));
    writer.unsigned(entry.inode);
    writer.unsigned(entry.size);
    writer.boolean(entry.racy);
    writer.boolean(entry.sparse);
    lossy(&mut writer, target);
    raw(&mut writer, target);
    writer.option(device, |writer, device| writer.unsigned(u64::from(device.major)));
    writer.option(device, |writer, device| writer.unsigned(u64::from(device.minor)));
    lossy(&mut writer, entry.hard_link.as_deref());
    raw(&mut writer, entry.hard_link.as_deref());
    writer.array(&entry.xattrs, |writer, xattr| {
        writer.bytes(String::from_utf8_lossy(&xattr.name).as_bytes());
        writer.bytes(&xattr.value);
    });
    writer.option(entry.content, |writer, hash| writer.bytes(hash.to_string().as_bytes()));
    writer.bytes(&entry.recipe);
    writer.option(entry.avro.as_ref(), |writer, facts| {
        text(writer, facts.state.name());
        text(writer, &facts.codec);
        text(writer, &hex(&facts.fingerprint.to_le_bytes()));
        for number in [facts.blocks, facts.declared_records, facts.verified_records] {
            writer.unsigned(number);
        }
        text(writer, &facts.encoder);
        for number in [facts.blocks_exact, facts.blocks_corrected, facts.blocks_raw] {
            writer.unsigned(number);
        }
        text(writer, &facts.raw_reason);
        writer.unsigned(facts.stray_bytes);
    });
    let origin = entry.origin.as_ref();
    writer.option(origin.map(|origin| &origin.tag[..]), text);
    writer.option(origin.and_then(|origin| origin.version.as_deref()), text);
    writer.option(entry.altered, |writer, nanoseconds| writer.long(nanoseconds.div_euclid(1000)));
}

fn lossy(writer: &mut DatumWriter<'_>, bytes: Option<&[u8]>) {
    writer.option(bytes, |writer, bytes| writer.bytes(String::from_utf8_lossy(bytes).as_bytes()));
}

/// The bytes themselves, where a text does not hold them.
fn raw(writer: &mut DatumWriter<'_>, bytes: Option<&[u8]>) {
    writer.option(bytes.filter(|bytes| std::str::from_utf8(bytes).is_err()), DatumWriter::bytes);
}

/// Microseconds since 1970, rounded down; the nearest that there is for times beyond 290 000 years.
fn micros(time: Time) -> i64 {
    let micros = time.nanoseconds().div_euclid(1000);
    i64::try_from(micros).unwrap_or(if micros < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::entries;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_exported_row_is_what_its_schema_says(entry in entries()) {
            let mut bytes = Vec::new();
            encode_exported(&entry, &mut bytes);
            let schema = crate::avro::schema::Schema::parse(schema::EXPORT).unwrap();
            prop_assert_eq!(schema.skip(&bytes, 0), Ok(bytes.len()));
        }
    }
}
