//! The entries of the commit log (drawn in `docs/format.md`, "Log entry").
//!
//! The state of a repository is the fold of its log. Each entry is created only if its name is free and carries the
//! hash of the entry before it, so nobody can slip one in, take one out, or fork the log unnoticed.

use super::{Features, Settings};
use crate::id::{ChunkId, EntryHash, IndexId, KeyId, PackId, SnapshotId};
use crate::wire::{Malformed, Reader, Result, Write};

/// The largest entry that is read, in bytes.
pub const MAX_ENTRY: u64 = 16 << 20;

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Its number, from 0 on.
    pub sequence: u64,
    /// The hash of the entry before it; zeros for the first.
    pub previous: EntryHash,
    /// Random: tells a writer whose outcome was unknown that the entry is its own.
    pub transaction: [u8; 16],
    /// When it was made, nanoseconds since 1970 (UTC), by the writer's clock. Nothing rests on it.
    pub time: i64,
    /// Who made it, for people.
    pub writer: String,
    /// What it says.
    pub body: Body,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The repository begins. Carries the BLAKE3 of the config.
    Init {
        /// BLAKE3 of all bytes of the config.
        config: [u8; 32],
        /// The first key slots, with BLAKE3 of all bytes of each: there is no moment without one.
        keys: Vec<(KeyId, [u8; 32])>,
    },
    /// A snapshot exists from here on.
    AddSnapshot {
        /// Its name.
        snapshot: SnapshotId,
        /// The chunk that holds its root.
        root: ChunkId,
        /// The index objects that were not named in the log before and that it needs.
        indexes: Vec<IndexId>,
    },
    /// Snapshots exist no longer.
    RemoveSnapshots {
        /// Their names.
        snapshots: Vec<SnapshotId>,
    },
    /// A snapshot carries other tags from here on than its root says.
    SetTags {
        /// Its name.
        snapshot: SnapshotId,
        /// All its tags.
        tags: Vec<String>,
    },
    /// A key slot opens the repository.
    KeyAdd {
        /// The slot.
        key: KeyId,
        /// BLAKE3 of all bytes of the slot.
        hash: [u8; 32],
    },
    /// A key slot was taken away.
    KeyRemove {
        /// The slot.
        key: KeyId,
    },
    /// New keys: every entry behind this one is sealed in the next epoch. Sealed in the one before, so that whoever knows
    /// only that can tell.
    KeyRotate {
        /// The number of the new epoch: one more than that of this entry.
        epoch: u32,
        /// The commitment to its master key.
        commitment: [u8; 32],
        /// All key slots from here on, with the hash of each. No slot that was named before counts any more.
        keys: Vec<(KeyId, [u8; 32])>,
    },
    /// Packs do not count from here on, and will be deleted. Nobody may rest on them any more.
    Condemn {
        /// The packs.
        packs: Vec<PackId>,
        /// Index objects that were not named before, of what took the place of those packs.
        added: Vec<IndexId>,
        /// Index objects that are not to be read any more.
        superseded: Vec<IndexId>,
    },
    /// Condemned packs and superseded index objects were deleted.
    Swept {
        /// The packs.
        packs: Vec<PackId>,
        /// The index objects.
        indexes: Vec<IndexId>,
    },
    /// Index objects take the place of others.
    IndexReplace {
        /// The new ones.
        added: Vec<IndexId>,
        /// Those that are not to be read any more.
        superseded: Vec<IndexId>,
    },
    /// What lies in these places is lost. It does not count as stored, so the same data is stored again where it comes up.
    Damaged {
        /// Packs, and the numbers of their damaged frames; of none stands for the whole pack.
        packs: Vec<(PackId, Vec<u32>)>,
    },
    /// What lies in these places is not lost after all: it was read whole. Takes back what [`Damaged`](Body::Damaged) said.
    Sound {
        /// Packs, and the numbers of their sound frames; of none stands for the whole pack.
        packs: Vec<(PackId, Vec<u32>)>,
    },
    /// Snapshots have other roots from here on. Their ids, times, series and tags stay.
    ReplaceRoots {
        /// Why.
        reason: ReplaceReason,
        /// The roots. A replacement counts only if the snapshot exists and its root is the old one.
        roots: Vec<RootReplacement>,
        /// The index objects that were not named in the log before and that the new roots need.
        indexes: Vec<IndexId>,
    },
    /// More features are needed from here on, and settings change.
    Config {
        /// Added to those that are needed already.
        features: Features,
        /// What is set anew. Settings that are not among these stay as they are.
        settings: Settings,
    },
    /// An entry of a kind that is reserved for later versions. Who meets one must not go on, unless it is a note, which has no
    /// effect.
    Reserved {
        /// Which kind.
        kind: u8,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// Why roots were replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplaceReason {
    /// The content is the same and stored in another way.
    Settled,
    /// What could be had of a damaged snapshot; files that are lost are left out.
    Repaired,
    /// Records were taken out on purpose.
    Erased,
    /// One that a later version knows. The effect is the same.
    Other(u8),
}

impl ReplaceReason {
    /// The reason of this number.
    pub fn of_number(number: u8) -> Self {
        match number {
            1 => Self::Settled,
            2 => Self::Repaired,
            3 => Self::Erased,
            other => Self::Other(other),
        }
    }

    /// Its number in the log.
    pub fn number(self) -> u8 {
        match self {
            Self::Settled => 1,
            Self::Repaired => 2,
            Self::Erased => 3,
            Self::Other(number) => number,
        }
    }
}

/// One snapshot whose root is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootReplacement {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The chunk that holds its root so far.
    pub old: ChunkId,
    /// The chunk that holds it from here on.
    pub new: ChunkId,
}

impl RootReplacement {
    const LEN: usize = SnapshotId::LEN + 2 * ChunkId::LEN;
}

/// The numbers of the kinds of entries, which are part of the format.
pub mod kind {
    #![allow(missing_docs)]
    pub const INIT: u8 = 1;
    pub const ADD_SNAPSHOT: u8 = 2;
    pub const REMOVE_SNAPSHOTS: u8 = 3;
    pub const CONDEMN: u8 = 4;
    pub const SWEPT: u8 = 5;
    pub const INDEX_REPLACE: u8 = 6;
    pub const DAMAGED: u8 = 7;
    pub const KEY_ADD: u8 = 8;
    pub const KEY_REMOVE: u8 = 9;
    pub const KEY_ROTATE: u8 = 10;
    pub const CONFIG: u8 = 11;
    pub const PIN: u8 = 12;
    pub const CHECKPOINT: u8 = 13;
    pub const SET_TAGS: u8 = 14;
    pub const REPLACE_ROOTS: u8 = 15;
    pub const SOUND: u8 = 16;
    /// From here on kinds have no effect for who does not know them.
    pub const FIRST_NOTE: u8 = 128;
}

impl Body {
    /// The number of its kind.
    pub fn kind(&self) -> u8 {
        match self {
            Body::Init { .. } => kind::INIT,
            Body::AddSnapshot { .. } => kind::ADD_SNAPSHOT,
            Body::RemoveSnapshots { .. } => kind::REMOVE_SNAPSHOTS,
            Body::SetTags { .. } => kind::SET_TAGS,
            Body::KeyAdd { .. } => kind::KEY_ADD,
            Body::KeyRemove { .. } => kind::KEY_REMOVE,
            Body::KeyRotate { .. } => kind::KEY_ROTATE,
            Body::Condemn { .. } => kind::CONDEMN,
            Body::Swept { .. } => kind::SWEPT,
            Body::IndexReplace { .. } => kind::INDEX_REPLACE,
            Body::Damaged { .. } => kind::DAMAGED,
            Body::Sound { .. } => kind::SOUND,
            Body::ReplaceRoots { .. } => kind::REPLACE_ROOTS,
            Body::Config { .. } => kind::CONFIG,
            Body::Reserved { kind, .. } => *kind,
        }
    }

    /// Whether room can be made by what it says, now or later.
    pub fn frees_room(&self) -> bool {
        use Body::{Condemn, IndexReplace, RemoveSnapshots, Swept};
        matches!(self, RemoveSnapshots { .. } | Condemn { .. } | Swept { .. } | IndexReplace { .. })
    }

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
