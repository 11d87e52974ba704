//! Containers made by hand, of any schema and payloads.

#![allow(dead_code, reason = "each test uses a part")]

use avro_snap::avro::container::{MAGIC, put_block_header};
use avro_snap::avro::varint;

/// The sync marker of all of them.
const MARKER: [u8; 16] = *b"0123456789abcdef";

/// A container of this schema and codec with these blocks: how many records each declares, and its payload.
pub(crate) fn container<'b>(schema: &str, codec: &str, blocks: impl IntoIterator<Item = (u64, &'b [u8])>) -> Vec<u8> {
    let mut file = MAGIC.to_vec();
    varint::encode(&mut file, 2);
    for text in ["avro.schema", schema, "avro.codec", codec] {
        varint::encode(&mut file, text.len() as i64);
        file.extend_from_slice(text.as_bytes());
    }
    varint::encode(&mut file, 0);
    file.extend_from_slice(&MARKER);
    for (count, payload) in blocks {
        put_block_header(&mut file, count, payload.len());
        file.extend_from_slice(payload);
        file.extend_from_slice(&MARKER);
    }
    file
}

/// A container of one block that is not compressed, with one record.
pub(crate) fn one_record(schema: &str, datum: &[u8]) -> Vec<u8> {
    container(schema, "null", [(1, datum)])
}
