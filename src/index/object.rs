//! Index objects: the directories of several packs in one place (drawn in `docs/format.md`, "Index object").

use crate::crypto::Suite;
use crate::id::PackId;
use crate::pack::{Directory, PackInfo};
use crate::wire::{Malformed, Reader, Result, Write};

/// The largest index object that is read, in bytes.
pub const MAX_OBJECT: u64 = 256 << 20;

const VERSION: u8 = 1;

/// The body of an index object that names these packs.
pub fn encode_object(packs: &[PackInfo]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.put_varint(packs.len() as u64);
    for pack in packs {
        bytes.put(pack.id.as_bytes());
        bytes.put_varint(pack.length);
        bytes.put_u8(pack.suite as u8);
        bytes.put_varint(u64::from(pack.epoch));
        bytes.put(&pack.salt);
        bytes.put_string(&pack.directory.encode());
    }
    bytes
}

/// Reads what [`encode_object`] wrote.
pub fn decode_object(bytes: &[u8]) -> Result<Vec<PackInfo>> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        VERSION => {}
        other => return Err(Malformed(format!("it is of index version {other}, this is version {VERSION}"))),
    }
    let count = reader.count(68)?;
    let mut packs = Vec::with_capacity(count);
    for _ in 0..count {
        packs.push(read_pack(&mut reader)?);
    }
    reader.finish()?;
    Ok(packs)
}

fn read_pack(reader: &mut Reader<'_>) -> Result<PackInfo> {
    let id = PackId::new(reader.array()?);
    let length = reader.varint()?;
    let suite = reader.u8()?;
    let suite = Suite::from_number(suite).ok_or_else(|| Malformed(format!("cipher suite {suite} is not known")))?;
    let epoch = u32::try_from(reader.varint()?).map_err(|_| Malformed::new("an impossible key epoch"))?;
    let salt = reader.array()?;
    let directory = Directory::decode(reader.string()?)?;
    Ok(PackInfo { id, length, suite, epoch, salt, directory })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkKind;
    use crate::id::ChunkId;
    use crate::pack::{Encoding, FrameChunk};
    use proptest::prelude::*;

    fn packs() -> impl Strategy<Value = Vec<PackInfo>> {
        let chunk =
            (any::<[u8; 32]>(), 0u32..99_999).prop_map(|(id, length)| FrameChunk { id: ChunkId::new(id), length });
        let pack = (any::<[u8; 32]>(), any::<u64>(), any::<u32>(), prop::collection::vec(chunk, 0..9)).prop_map(
            |(id, length, epoch, chunks)| {
                let mut directory = Directory::default();
                directory.push(Encoding::Zstd, ChunkKind::Bytes, &chunks, 99);
                PackInfo { id: PackId::new(id), length, suite: Suite::Aes256Gcm, epoch, salt: id, directory }
            },
        );
        prop::collection::vec(pack, 0..9)
    }

    proptest! {
        #[test]
        fn an_index_object_is_read_back(packs in packs()) {
            prop_assert_eq!(decode_object(&encode_object(&packs))?, packs);
        }

        #[test]
        fn any_bytes_are_read_or_refused(packs in packs(), at: prop::sample::Index, to: u8, cut: prop::sample::Index) {
            let mut bytes = encode_object(&packs);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode_object(&bytes);
            let _ = decode_object(&bytes[..cut.index(bytes.len())]);
        }
    }
}
