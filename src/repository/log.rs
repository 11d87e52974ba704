//! The entries of the commit log (drawn in `docs/format.md`, "Log entry").
//!
//! The state of a repository is the fold of its log. Each entry is created only if its name is free and carries the
//! hash of the entry before it, so nobody can slip one in, take one out, or fork the log unnoticed.

use super::{Features, Settings};
use crate::id::{ChunkId, EntryHash, IndexId, KeyId, SnapshotId};
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
    /// More features are needed from here on, and settings change.
    Config {
        /// Added to those that are needed already.
        features: Features,
        /// What is set anew. Settings that are not among these stay as they are.
        settings: Settings,
    },
    /// An entry of a kind that is reserved for later versions. Who meets one must not go on.
    Reserved {
        /// Which kind.
        kind: u8,
        /// Its bytes.
        bytes: Vec<u8>,
    },
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
            Body::Config { .. } => kind::CONFIG,
            Body::Reserved { kind, .. } => *kind,
        }
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Body::Init { config } => bytes.put(config),
            Body::AddSnapshot { snapshot, root, indexes } => {
                bytes.put(snapshot.as_bytes());
                bytes.put(root.as_bytes());
                bytes.put_varint(indexes.len() as u64);
                for index in indexes {
                    bytes.put(index.as_bytes());
                }
            }
            Body::RemoveSnapshots { snapshots } => {
                bytes.put_varint(snapshots.len() as u64);
                for snapshot in snapshots {
                    bytes.put(snapshot.as_bytes());
                }
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
            kind::INIT => Body::Init { config: reader.array()? },
            kind::ADD_SNAPSHOT => {
                let (snapshot, root) = (SnapshotId::new(reader.array()?), ChunkId::new(reader.array()?));
                let count = reader.count(IndexId::LEN)?;
                let indexes = (0..count).map(|_| reader.array().map(IndexId::new)).collect::<Result<_>>()?;
                Body::AddSnapshot { snapshot, root, indexes }
            }
            kind::REMOVE_SNAPSHOTS => {
                let count = reader.count(SnapshotId::LEN)?;
                let snapshots = (0..count).map(|_| reader.array().map(SnapshotId::new)).collect::<Result<_>>()?;
                Body::RemoveSnapshots { snapshots }
            }
            kind::SET_TAGS => {
                let snapshot = SnapshotId::new(reader.array()?);
                let count = reader.count(1)?;
                let tags = (0..count).map(|_| reader.text().map(str::to_owned)).collect::<Result<_>>()?;
                Body::SetTags { snapshot, tags }
            }
            kind::KEY_ADD => Body::KeyAdd { key: KeyId::new(reader.array()?), hash: reader.array()? },
            kind::KEY_REMOVE => Body::KeyRemove { key: KeyId::new(reader.array()?) },
            kind::CONFIG => Body::Config {
                features: Features { read: reader.u64()?, write: reader.u64()?, gc: reader.u64()? },
                settings: Settings::read(reader)?,
            },
            kind => Body::Reserved { kind, bytes: reader.rest().to_vec() },
        })
    }
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
        prop_oneof![
            any::<[u8; 32]>().prop_map(|config| Body::Init { config }),
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
            (any::<[u64; 3]>(), prop::option::of("[a-z]{1,9}")).prop_map(|([read, write, gc], compression)| {
                let mut settings = Settings::default();
                settings.set(Settings::COMPRESSION, compression.unwrap_or_default());
                Body::Config { features: Features { read, write, gc }, settings }
            }),
            any::<Vec<u8>>().prop_map(|bytes| Body::Reserved { kind: kind::CONDEMN, bytes }),
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
