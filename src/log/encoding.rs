//! The bytes of an entry, before sealing (drawn in `docs/format.md`, "Log entry").

use super::entry::{Body, LogEntry, ReplaceReason, RootReplacement, kind};
use super::{Features, Settings};
use crate::id::{ChunkId, EntryHash, IndexId, KeyId, PackId, SnapshotId};
use crate::wire::{Malformed, Reader, Result, Write};

impl Body {
    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Body::Init { config, keys } => {
                bytes.put(config);
                put_keys(bytes, keys);
            }
            Body::AddSnapshot { snapshot, root, indexes } => {
                bytes.put(snapshot.as_bytes());
                bytes.put(root.as_bytes());
                put_ids(bytes, indexes.iter().map(IndexId::as_bytes));
            }
            Body::RemoveSnapshots { snapshots } => put_ids(bytes, snapshots.iter().map(SnapshotId::as_bytes)),
            Body::Condemn { packs, added, superseded } => {
                put_ids(bytes, packs.iter().map(PackId::as_bytes));
                put_ids(bytes, added.iter().map(IndexId::as_bytes));
                put_ids(bytes, superseded.iter().map(IndexId::as_bytes));
            }
            Body::Swept { packs, indexes } => {
                put_ids(bytes, packs.iter().map(PackId::as_bytes));
                put_ids(bytes, indexes.iter().map(IndexId::as_bytes));
            }
            Body::IndexReplace { added, superseded } => {
                put_ids(bytes, added.iter().map(IndexId::as_bytes));
                put_ids(bytes, superseded.iter().map(IndexId::as_bytes));
            }
            Body::Damaged { packs } | Body::Sound { packs } => put_frames(bytes, packs),
            Body::ReplaceRoots { reason, roots, indexes } => {
                bytes.put_u8(reason.number());
                bytes.put_varint(roots.len() as u64);
                for RootReplacement { snapshot, old, new } in roots {
                    bytes.put(snapshot.as_bytes());
                    bytes.put(old.as_bytes());
                    bytes.put(new.as_bytes());
                }
                put_ids(bytes, indexes.iter().map(IndexId::as_bytes));
            }
            Body::SetTags { snapshot, tags } => {
                bytes.put(snapshot.as_bytes());
                bytes.put_varint(tags.len() as u64);
                for tag in tags {
                    bytes.put_string(tag.as_bytes());
                }
            }
            Body::KeyAdd { key, hash } => {
                bytes.put(key.as_bytes());
                bytes.put(hash);
            }
            Body::KeyRemove { key } => bytes.put(key.as_bytes()),
            Body::KeyRotate { epoch, commitment, keys } => {
                bytes.put_u32(*epoch);
                bytes.put(commitment);
                put_keys(bytes, keys);
            }
            Body::Config { features, settings } => {
                bytes.put_u64(features.read);
                bytes.put_u64(features.write);
                bytes.put_u64(features.gc);
                settings.write(bytes);
            }
            Body::Reserved { bytes: reserved, .. } => bytes.put(reserved),
        }
    }

    fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match kind {
            kind::INIT => {
                let config = reader.array()?;
                Body::Init { config, keys: read_keys(reader)? }
            }
            kind::ADD_SNAPSHOT => {
                let (snapshot, root) = (SnapshotId::new(reader.array()?), ChunkId::new(reader.array()?));
                Body::AddSnapshot { snapshot, root, indexes: read_ids(reader, IndexId::new)? }
            }
            kind::REMOVE_SNAPSHOTS => Body::RemoveSnapshots { snapshots: read_ids(reader, SnapshotId::new)? },
            kind::CONDEMN => Body::Condemn {
                packs: read_ids(reader, PackId::new)?,
                added: read_ids(reader, IndexId::new)?,
                superseded: read_ids(reader, IndexId::new)?,
            },
            kind::SWEPT => {
                Body::Swept { packs: read_ids(reader, PackId::new)?, indexes: read_ids(reader, IndexId::new)? }
            }
            kind::INDEX_REPLACE => Body::IndexReplace {
                added: read_ids(reader, IndexId::new)?,
                superseded: read_ids(reader, IndexId::new)?,
            },
            kind::DAMAGED => Body::Damaged { packs: read_frames(reader)? },
            kind::SOUND => Body::Sound { packs: read_frames(reader)? },
            kind::REPLACE_ROOTS => {
                let reason = ReplaceReason::of_number(reader.u8()?);
                let count = reader.count(RootReplacement::LEN)?;
                let roots = (0..count).map(|_| read_replacement(reader)).collect::<Result<_>>()?;
                Body::ReplaceRoots { reason, roots, indexes: read_ids(reader, IndexId::new)? }
            }
            kind::SET_TAGS => {
                let snapshot = SnapshotId::new(reader.array()?);
                let count = reader.count(1)?;
                let tags = (0..count).map(|_| reader.text().map(str::to_owned)).collect::<Result<_>>()?;
                Body::SetTags { snapshot, tags }
            }
            kind::KEY_ADD => Body::KeyAdd { key: KeyId::new(reader.array()?), hash: reader.array()? },
            kind::KEY_REMOVE => Body::KeyRemove { key: KeyId::new(reader.array()?) },
            kind::KEY_ROTATE => {
                Body::KeyRotate { epoch: reader.u32()?, commitment: reader.array()?, keys: read_keys(reader)? }
            }
            kind::CONFIG => Body::Config {
                features: Features { read: reader.u64()?, write: reader.u64()?, gc: reader.u64()? },
                settings: Settings::read(reader)?,
            },
            kind => Body::Reserved { kind, bytes: reader.rest().to_vec() },
        })
    }
}

fn put_keys(bytes: &mut Vec<u8>, keys: &[(KeyId, [u8; 32])]) {
    bytes.put_varint(keys.len() as u64);
    for (key, hash) in keys {
        bytes.put(key.as_bytes());
        bytes.put(hash);
    }
}

fn read_keys(reader: &mut Reader<'_>) -> Result<Vec<(KeyId, [u8; 32])>> {
    let count = reader.count(KeyId::LEN + 32)?;
    (0..count).map(|_| Ok((KeyId::new(reader.array()?), reader.array()?))).collect()
}

fn put_ids<'i, const N: usize>(bytes: &mut Vec<u8>, ids: impl ExactSizeIterator<Item = &'i [u8; N]>) {
    bytes.put_varint(ids.len() as u64);
    for id in ids {
        bytes.put(id);
    }
}

fn read_ids<T, const N: usize>(reader: &mut Reader<'_>, id: impl Fn([u8; N]) -> T) -> Result<Vec<T>> {
    let count = reader.count(N)?;
    (0..count).map(|_| reader.array().map(&id)).collect()
}

fn put_frames(bytes: &mut Vec<u8>, packs: &[(PackId, Vec<u32>)]) {
    bytes.put_varint(packs.len() as u64);
    for (pack, frames) in packs {
        bytes.put(pack.as_bytes());
        bytes.put_varint(frames.len() as u64);
        for frame in frames {
            bytes.put_varint(u64::from(*frame));
        }
    }
}

fn read_frames(reader: &mut Reader<'_>) -> Result<Vec<(PackId, Vec<u32>)>> {
    let number = |number| u32::try_from(number).map_err(|_| Malformed::new("an impossible number of a frame"));
    let packs = reader.count(PackId::LEN + 1)?;
    let mut read = || {
        let pack = PackId::new(reader.array()?);
        let count = reader.count(1)?;
        Ok((pack, (0..count).map(|_| number(reader.varint()?)).collect::<Result<_>>()?))
    };
    (0..packs).map(|_| read()).collect()
}

fn read_replacement(reader: &mut Reader<'_>) -> Result<RootReplacement> {
    let (snapshot, old) = (SnapshotId::new(reader.array()?), ChunkId::new(reader.array()?));
    Ok(RootReplacement { snapshot, old, new: ChunkId::new(reader.array()?) })
}

const VERSION: u8 = 1;

impl LogEntry {
    /// The bytes of the entry, before sealing.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, self.body.kind()];
        bytes.put_u64(self.sequence);
        bytes.put(self.previous.as_bytes());
        bytes.put(&self.transaction);
        bytes.put_i64(self.time);
        bytes.put_string(self.writer.as_bytes());
        self.body.write(&mut bytes);
        bytes
    }

    /// Reads what [`encode`](LogEntry::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            VERSION => {}
            other => return Err(Malformed(format!("it is of log version {other}, this is version {VERSION}"))),
        }
        let kind = reader.u8()?;
        let entry = Self {
            sequence: reader.u64()?,
            previous: EntryHash::new(reader.array()?),
            transaction: reader.array()?,
            time: reader.i64()?,
            writer: reader.text()?.to_owned(),
            body: Body::read(kind, &mut reader)?,
        };
        reader.finish()?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bodies() -> impl Strategy<Value = Body> {
        let index = any::<[u8; 32]>().prop_map(IndexId::new);
        let snapshot = any::<[u8; 16]>().prop_map(SnapshotId::new);
        let packs = || prop::collection::vec(any::<[u8; 32]>().prop_map(PackId::new), 0..5);
        let indexes = || prop::collection::vec(any::<[u8; 32]>().prop_map(IndexId::new), 0..5);
        let damaged = || (any::<[u8; 32]>().prop_map(PackId::new), any::<Vec<u32>>());
        prop_oneof![
            (any::<[u8; 32]>(), any::<Vec<([u8; 8], [u8; 32])>>()).prop_map(|(config, keys)| {
                let keys = keys.into_iter().map(|(key, hash)| (KeyId::new(key), hash)).collect();
                Body::Init { config, keys }
            }),
            (any::<[u8; 16]>(), any::<[u8; 32]>(), prop::collection::vec(index, 0..5)).prop_map(
                |(snapshot, root, indexes)| Body::AddSnapshot {
                    snapshot: SnapshotId::new(snapshot),
                    root: ChunkId::new(root),
                    indexes
                }
            ),
            prop::collection::vec(snapshot, 0..5).prop_map(|snapshots| Body::RemoveSnapshots { snapshots }),
            (any::<[u8; 16]>(), any::<Vec<String>>())
                .prop_map(|(snapshot, tags)| Body::SetTags { snapshot: SnapshotId::new(snapshot), tags }),
            (any::<[u8; 8]>(), any::<[u8; 32]>()).prop_map(|(key, hash)| Body::KeyAdd { key: KeyId::new(key), hash }),
            any::<[u8; 8]>().prop_map(|key| Body::KeyRemove { key: KeyId::new(key) }),
            (any::<u32>(), any::<[u8; 32]>(), any::<Vec<([u8; 8], [u8; 32])>>()).prop_map(
                |(epoch, commitment, keys)| {
                    let keys = keys.into_iter().map(|(key, hash)| (KeyId::new(key), hash)).collect();
                    Body::KeyRotate { epoch, commitment, keys }
                }
            ),
            (packs(), indexes(), indexes()).prop_map(|(packs, added, superseded)| Body::Condemn {
                packs,
                added,
                superseded
            }),
            (packs(), indexes()).prop_map(|(packs, indexes)| Body::Swept { packs, indexes }),
            (indexes(), indexes()).prop_map(|(added, superseded)| Body::IndexReplace { added, superseded }),
            prop::collection::vec(damaged(), 0..5).prop_map(|packs| Body::Damaged { packs }),
            prop::collection::vec(damaged(), 0..5).prop_map(|packs| Body::Sound { packs }),
            (0..6u8, prop::collection::vec(any::<([u8; 16], [u8; 32], [u8; 32])>(), 0..4), indexes()).prop_map(
                |(reason, roots, indexes)| {
                    let root = |(snapshot, old, new)| RootReplacement {
                        snapshot: SnapshotId::new(snapshot),
                        old: ChunkId::new(old),
                        new: ChunkId::new(new),
                    };
                    let roots = roots.into_iter().map(root).collect();
                    Body::ReplaceRoots { reason: ReplaceReason::of_number(reason), roots, indexes }
                }
            ),
            any::<Vec<u8>>().prop_map(|bytes| Body::Reserved { kind: kind::PIN, bytes }),
            (any::<[u64; 3]>(), prop::option::of("[a-z]{1,9}")).prop_map(|([read, write, gc], compression)| {
                let mut settings = Settings::default();
                settings.set(Settings::COMPRESSION, compression.unwrap_or_default());
                Body::Config { features: Features { read, write, gc }, settings }
            }),
        ]
    }

    proptest! {
        #[test]
        fn an_entry_is_read_back(
            body in bodies(), sequence: u64, previous: [u8; 32], transaction: [u8; 16], time: i64, writer: String,
        ) {
            let entry = LogEntry { sequence, previous: EntryHash::new(previous), transaction, time, writer, body };
            prop_assert_eq!(LogEntry::decode(&entry.encode())?, entry);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, body in bodies(), cut: prop::sample::Index) {
            let _ = LogEntry::decode(&bytes);
            let entry = LogEntry {
                sequence: 0, previous: EntryHash::new([0; 32]), transaction: [0; 16], time: 0, writer: String::new(), body,
            };
            let bytes = entry.encode();
            let _ = LogEntry::decode(&bytes[..cut.index(bytes.len())]);
        }
    }
}
