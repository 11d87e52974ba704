//! A manifest as an ordinary Avro container file, for any Avro reader.

use super::{SnapshotRoot, schema};
use crate::avro::container::{MAGIC, put_block_header};
use crate::avro::varint;
use crate::chunk::ChunkSource;
use crate::error::Result;
use crate::id::digest;

/// Hands the bytes of the container to `write`, piece by piece. The rows are copied as they lie in the repository.
pub fn export_manifest<S: ChunkSource + ?Sized>(
    root: &SnapshotRoot,
    source: &S,
    mut write: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    // The same snapshot always makes the same file.
    let mut marker = [0; 16];
    marker.copy_from_slice(&digest(root.id.as_bytes())[..16]);
    let snapshot = root.id.to_string();
    let metadata = [("avro.codec", "null"), ("avro.schema", schema::ROW), ("snap.snapshot", &snapshot)];
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
    let mut rows = root.rows(source);
    while let Some((chunk, count)) = rows.next_chunk()? {
        bytes.clear();
        put_block_header(&mut bytes, count, chunk.len());
        bytes.extend_from_slice(&chunk);
        bytes.extend_from_slice(&marker);
        write(&bytes)?;
    }
    Ok(())
}
