//! The entries of the commit log (drawn in `docs/format.md`, "Log entry").
//!
//! The state of a repository is the fold of its log. Each entry is created only if its name is free and carries the
//! hash of the entry before it, so nobody can slip one in, take one out, or fork the log unnoticed.

use super::{Features, Settings, State};
use crate::id::{ChunkId, EntryHash, IndexId, KeyId, PackId, SnapshotId};

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
    /// Program, host and process that made it, for people.
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
    /// New keys: every entry after this one is sealed in the next epoch. Sealed in the one before, so that it can be
    /// read by a process that knows only that.
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
        /// What changes. Settings that are not among these stay as they are.
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
    /// How many bytes it takes in an entry.
    pub(super) const LEN: usize = SnapshotId::LEN + 2 * ChunkId::LEN;

    /// Whether the snapshot is there and has the root that is to be replaced.
    pub fn is_current(&self, state: &State) -> bool {
        state.snapshots.iter().any(|record| record.id == self.snapshot && record.root == self.old)
    }
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
    /// From here on kinds have no effect where they are not known.
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
}
