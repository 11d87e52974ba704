//! What can be seen of a writer that no encoder here stands for: enough to tell such writers apart, and to report one.

use super::candidates::{MetadataOrder, WriterHint};
use super::probe::Sample;
use crate::avro::codec::Codec;

/// The codec, what the head of a payload says about the settings, what follows its stream, and the order of the metadata, such as
/// `zstandard, stream, window 2 MiB, schema before codec`.
pub fn signature(codec: Codec, hint: &WriterHint, sample: &Sample<'_>) -> String {
    let mut said = vec![codec.name().to_owned()];
    match codec {
        Codec::Zstandard => zstandard(sample.payload, &mut said),
        Codec::Bzip2 => said.extend(sample.payload.get(3).map(|digit| format!("level {}", char::from(*digit)))),
        Codec::Xz => said.extend(sample.payload.get(7).map(|check| format!("check {check}"))),
        Codec::Null | Codec::Deflate | Codec::Snappy => {}
    }
    match (sample.payload.len().checked_sub(sample.consumed), sample.tail(codec)) {
        (Some(0) | None, _) => {}
        (Some(_), Some(tail)) => said.push(tail.suffix().to_owned()),
        (Some(1), None) => said.push("1 byte after the stream".into()),
        (Some(bytes), None) => said.push(format!("{bytes} bytes after the stream")),
    }
    match hint.order {
        MetadataOrder::SchemaFirst => said.push("schema before codec".into()),
        MetadataOrder::CodecFirst => said.push("codec before schema".into()),
        MetadataOrder::Unknown => {}
    }
    said.join(", ")
}

/// What a frame header says (RFC 8878, 3.1.1.1).
fn zstandard(payload: &[u8], said: &mut Vec<String>) {
    let Some(&descriptor) = payload.get(4) else { return };
    let single_segment = descriptor & 0x20 != 0;
    said.push(if descriptor & 0xc0 != 0 || single_segment { "once" } else { "stream" }.into());
    if let Some(window) = payload.get(5).filter(|_| !single_segment) {
        let base = 1_u64 << (10 + (window >> 3));
        let bytes = base + base / 8 * u64::from(window & 7);
        said.push(match bytes >> 20 {
            0 => format!("window {} KiB", bytes >> 10),
            megabytes => format!("window {megabytes} MiB"),
        });
    }
    if descriptor & 0x04 != 0 {
        said.push("checksum".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::encoder::Encoders;

    fn of(id: &str, more: &[u8]) -> String {
        let id: crate::avro::encoder::EncoderId = id.parse().unwrap();
        let (plain, mut payload) = (vec![7; 100_000], Vec::new());
        Encoders::new().encode(&id, &plain, &mut payload).unwrap();
        let consumed = payload.len() - id.tail.length();
        payload.extend_from_slice(more);
        let hint = WriterHint::from_keys([&b"avro.schema"[..], b"avro.codec"]);
        signature(id.codec(), &hint, &Sample { plain: &plain, payload: &payload, consumed })
    }

    #[test]
    fn what_a_payload_says_is_said() {
        let order = ", schema before codec";
        for (id, more, said) in [
            ("zlib:L6:M8", &b""[..], "deflate"),
            ("zlib:L6:M8+adler3", b"", "deflate, +adler3"),
            ("zlib:L6:M8", b"ab", "deflate, 2 bytes after the stream"),
            ("snappy:mask14", b"", "snappy"),
            ("zstd-1.5.7:stream:L3:C", b"", "zstandard, stream, window 2 MiB, checksum"),
            ("zstd-1.5.7:stream:L1+emptyframe", b"", "zstandard, stream, window 512 KiB, +emptyframe"),
            ("zstd-1.5.7:once:L3", b"", "zstandard, once"),
            ("bzip2:L7", b"", "bzip2, level 7"),
            ("xz:P0:crc64", b"", "xz, check 4"),
        ] {
            assert_eq!(of(id, more), format!("{said}{order}"), "{id}");
        }
    }
}
