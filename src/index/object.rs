//! Index objects: the directories of several packs in one place (drawn in `docs/format.md`, "Index object").

use crate::crypto::Suite;
use crate::id::{ChunkId, PackId};
use crate::pack::{Directory, PackInfo};
use crate::wire::{Malformed, Reader, Result, Write};

/// The largest index object that is read, in bytes.
pub const MAX_OBJECT: u64 = 256 << 20;

const VERSION: u8 = 1;

/// Ids are hashes and do not compress, so those of an object come to about as many bytes as the object has. To more than
/// this many times that they come in forged objects only, a few MB of which would otherwise fill the memory.
const MAX_RATIO: usize = 4;
/// ... beyond this many bytes.
const ALWAYS: usize = 1 << 20;

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
    let mut left = ALWAYS + MAX_RATIO * bytes.len();
    for _ in 0..count {
        let pack = read_pack(&mut reader)?;
        let ids = ChunkId::LEN * (pack.directory.chunks.len() + pack.directory.bases.len());
        left = left.checked_sub(ids).ok_or_else(|| Malformed::new("more chunks than an index object can name"))?;
        packs.push(pack);
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
    use crate::pack::{Encoding, FrameChunk};
    use proptest::prelude::*;

    fn packs() -> impl Strategy<Value = Vec<PackInfo>> {
        let chunk =
            (any::<[u8; 32]>(), 0u32..99_999).prop_map(|(id, length)| FrameChunk { id: ChunkId::new(id), length });
        let pack = (any::<[u8; 32]>(), any::<u64>(), any::<u32>(), prop::collection::vec(chunk, 1..9)).prop_map(
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

    #[test]
    fn an_object_that_claims_far_more_ids_than_it_has_room_for_is_refused() {
        let chunk = FrameChunk { id: ChunkId::new([0; 32]), length: 0 };
        let pack = |chunks: usize| {
            let mut directory = Directory::default();
            directory.push(Encoding::Raw, ChunkKind::Bytes, &vec![chunk; chunks], 16);
            let id = PackId::new([1; 32]);
            PackInfo { id, length: 1, suite: Suite::None, epoch: 0, salt: [0; 32], directory }
        };
        let bytes = encode_object(&vec![pack(20_000); 10]);
        assert!(bytes.len() < 10_000, "{}", bytes.len());
        assert!(decode_object(&bytes).is_err());
        assert!(decode_object(&encode_object(&[pack(20_000)])).is_ok());
    }
}
