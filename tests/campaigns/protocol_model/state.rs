//! What the model's world looks like at one moment, small enough to be kept by the million.

/// Chunks of the model: two are enough for a delta and its base, and for two deltas of each other.
pub const CHUNKS: u8 = 2;
pub const A: u8 = 1;
pub const B: u8 = 2;

/// Packs have the numbers 0 to 5. The index object that names exactly pack n has the number n too; objects 6 and 7 are
/// those that prune merges others into.
pub const PACKS: u8 = 6;
pub const MERGED: u8 = 6;
/// The longest log, in entries.
pub const LOG: usize = 8;
/// Snapshots: 0 was there before, the others are those of the writers.
pub const SNAPSHOTS: usize = 4;
/// In place of an old root: whatever it is. Not in the format.
pub const ANY: u8 = 15;

/// An entry of the log (`docs/format.md`, "Log entry"). Sets of packs and of index objects are bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    Nothing,
    /// `root` is that of snapshot 0, as in `Roots`; others have one only.
    Add {
        snapshot: u8,
        root: u8,
        objects: u8,
    },
    Remove {
        snapshot: u8,
    },
    /// Snapshot 0 has another root from here on, if its root is `old`: 0 is the first one, others are one more than the
    /// number of the writer that made them.
    Roots {
        old: u8,
        new: u8,
        objects: u8,
    },
    Condemn {
        packs: u8,
        object: u8,
    },
    Damaged {
        pack: u8,
    },
    Replace {
        object: u8,
        old: u8,
    },
    /// A pack that was recorded as damaged was found whole.
    Sound {
        pack: u8,
    },
    /// Not in the format: what the weakening that takes condemnations back would write.
    Uncondemn {
        packs: u8,
    },
}

impl Entry {
    fn bits(self) -> u64 {
        let (kind, a, b) = match self {
            Entry::Nothing => (0, 0, 0),
            Entry::Add { snapshot, root, objects } => (1, snapshot | root << 4, objects),
            Entry::Roots { old, new, objects } => (8, old | new << 4, objects),
            Entry::Remove { snapshot } => (2, snapshot, 0),
            Entry::Condemn { packs, object } => (3, object, packs),
            Entry::Damaged { pack } => (4, pack, 0),
            Entry::Replace { object, old } => (5, object, old),
            Entry::Uncondemn { packs } => (6, 0, packs),
            Entry::Sound { pack } => (7, pack, 0),
        };
        kind << 16 | u64::from(a) << 8 | u64::from(b)
    }
}

/// A process that makes a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Writer {
    pub phase: u8,
    /// How many entries of the log it has read.
    pub read: u8,
    /// The chunks that it holds for stored.
    pub has: u8,
    /// The index objects that its entry will name.
    pub names: u8,
    /// The pack that it has stored and not yet named by an index object, plus one.
    pub pending: u8,
    /// The root that it is about to replace, or to bring back.
    pub old: u8,
}

/// A process that prunes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pruner {
    pub phase: u8,
    pub read: u8,
    /// The pack into which it has copied what stays, plus one.
    pub own: u8,
    /// The packs that it is about to condemn.
    pub plan: u8,
    /// The merged index object that it has made.
    pub object: u8,
}

/// A process that restores a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Restorer {
    pub phase: u8,
    pub read: u8,
    pub snapshot: u8,
    pub got: u8,
}

pub mod phase {
    pub const IDLE: u8 = 0;
    pub const WORKING: u8 = 1;
    pub const DONE: u8 = 2;
    /// A restorer that told its user that a snapshot is lost which is not.
    pub const FAILED: u8 = 3;
    /// In place of a restorer: a repair dropped a snapshot of which nothing was lost.
    pub const DROPPED: u8 = 10;
    /// A pruner has copied what stays, and has yet to name the new pack.
    pub const COPIED: u8 = 4;
    pub const NAMED: u8 = 5;
    pub const PLANNED: u8 = 6;
    /// Its condemnation is in the log; what is left is to make the index objects fewer.
    pub const CONDEMNED: u8 = 7;
    pub const MERGED: u8 = 8;
    pub const PUBLISHED: u8 = 9;
    /// A writer that was to replace a root has learned that it was too late.
    pub const OUTRUN: u8 = 11;
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    pub log: [Entry; LOG],
    pub len: u8,
    /// How many packs there ever were.
    pub packs: u8,
    /// For each chunk, the packs that hold it whole, and those that hold it as a delta of the other chunk.
    pub full: [u8; CHUNKS as usize],
    pub delta: [u8; CHUNKS as usize],
    /// Packs that are there.
    pub present: u8,
    /// Packs whose bytes have rotted.
    pub rotten: u8,
    /// Index objects that are there.
    pub published: u8,
    /// What the two merged objects name.
    pub merged: [u8; 2],
    pub merges: u8,
    /// For each snapshot, the chunks that damage has taken and that have not come back.
    pub lost: [u8; SNAPSHOTS],
    pub forgets: u8,
    pub rots: u8,
    pub crashes: u8,
    /// DELETEs that were sent and have not landed (only where a weakening makes that matter).
    pub deletes: u8,
    /// Packs whose name was given again (only where names are reused).
    pub again: u8,
    /// Entries below this one were deleted (only where the log is cut off).
    pub boundary: u8,
    pub writers: [Writer; 3],
    pub pruners: [Pruner; 2],
    pub restorer: Restorer,
}

impl State {
    /// Two independent hashes of everything, as one number: what is kept of a state that was seen. With 10^8 states, the
    /// chance that any two of them are taken for one is below 10^-21.
    pub fn fingerprint(&self) -> u128 {
        let bytes = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
        let log = |from: usize| self.log[from].bits() << 32 | self.log[from + 1].bits();
        let ([w0, w1, w2], [p0, p1], r) = (self.writers, self.pruners, self.restorer);
        let words = [
            log(0),
            log(2),
            log(4),
            log(6),
            bytes([
                self.len,
                self.packs,
                self.full[0],
                self.full[1],
                self.delta[0],
                self.delta[1],
                self.present,
                self.rotten,
            ]),
            bytes([
                self.published,
                self.merged[0],
                self.merged[1],
                self.merges,
                self.lost[0] | self.lost[1] << 4,
                self.lost[2] | self.lost[3] << 4,
                self.deletes,
                self.again,
            ]),
            bytes([self.forgets, self.rots, self.crashes, self.boundary, r.phase, r.read, r.snapshot, r.got]),
            bytes([
                w0.phase << 4 | w0.read,
                w0.has << 4 | w0.pending,
                w0.names,
                w1.phase << 4 | w1.read,
                w1.has << 4 | w1.pending,
                w1.names,
                w2.phase << 4 | w2.read,
                w2.has << 4 | w2.pending,
            ]),
            bytes([
                w2.names,
                p0.phase << 4 | p0.read,
                p0.own << 4 | p0.object,
                p0.plan,
                p1.phase << 4 | p1.read,
                p1.own << 4 | p1.object,
                p1.plan,
                w0.old | w1.old << 2 | w2.old << 4,
            ]),
        ];
        u128::from(mix(&words, 0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(mix(&words, 0xc2b2_ae3d_27d4_eb4f)) | 1
    }

    pub fn append(&mut self, entry: Entry) {
        self.log[usize::from(self.len)] = entry;
        self.len += 1;
    }

    /// The packs that these index objects name.
    pub fn named_by(&self, objects: u8) -> u8 {
        let mut packs = objects & ((1 << PACKS) - 1);
        for (n, merged) in self.merged.iter().enumerate() {
            if objects >> (MERGED + n as u8) & 1 == 1 {
                packs |= merged;
            }
        }
        packs
    }

    /// The chunks that can be rebuilt from these packs: the least set of those that are whole there, and of deltas whose
    /// bases are in the set (`docs/format.md`, invariant 3 of the commit log).
    pub fn rebuildable(&self, packs: u8) -> u8 {
        let mut chunks = 0;
        for chunk in 0..2 {
            if self.full[chunk] & packs != 0 {
                chunks |= 1 << chunk;
            }
        }
        for chunk in 0..2 {
            if self.delta[chunk] & packs != 0 && chunks >> (1 - chunk) & 1 == 1 {
                chunks |= 1 << chunk;
            }
        }
        chunks
    }

    /// The chunks that have a location in these packs, whether or not it can be read without others.
    pub fn located(&self, packs: u8) -> u8 {
        (0..2).fold(0, |chunks, c| chunks | u8::from((self.full[c] | self.delta[c]) & packs != 0) << c)
    }
}

/// A multiplication keeps both halves of its product, which mixes all bits of a word in one step.
fn mix(words: &[u64], seed: u64) -> u64 {
    words.iter().fold(seed, |hash, word| {
        let product = (u128::from(hash ^ word) * u128::from(seed | 1)) ^ (u128::from(hash.rotate_left(23)) << 32);
        let product = (product as u64 ^ (product >> 64) as u64).wrapping_mul(0xff51_afd7_ed55_8ccd);
        product ^ product >> 29
    })
}

/// What the first entries of the log say together (`repository::State`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Fold {
    /// The snapshots that exist.
    pub live: u8,
    /// Those that were ever added.
    pub added: u8,
    /// The root of snapshot 0, while it exists and when it was removed.
    pub root: u8,
    /// The roots that snapshot 0 ever had, as bits.
    pub roots: u8,
    pub condemned: u8,
    pub damaged: u8,
    /// Index objects that name packs in use.
    pub objects: u8,
    /// Index objects that others stand for.
    pub replaced: u8,
    /// Whether a pack was condemned after damage was known.
    pub pruned_after_damage: bool,
}

impl Fold {
    pub fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Nothing => {}
            Entry::Add { snapshot, root, objects } => {
                self.live |= 1 << snapshot;
                self.added |= 1 << snapshot;
                self.objects |= objects;
                if snapshot == 0 {
                    self.take_root(root);
                }
            }
            Entry::Roots { old, new, objects } => {
                self.objects |= objects;
                if self.is_live(0) && (old == self.root || old == ANY) {
                    self.take_root(new);
                }
            }
            Entry::Remove { snapshot } => self.live &= !(1 << snapshot),
            Entry::Condemn { packs, object } => {
                self.condemned |= packs;
                if object != 0 {
                    self.objects |= 1 << (object - 1);
                }
                self.pruned_after_damage |= self.damaged != 0;
            }
            Entry::Damaged { pack } => self.damaged |= 1 << pack,
            Entry::Replace { object, old } => {
                self.objects = self.objects & !old | 1 << object;
                self.replaced |= old;
            }
            Entry::Uncondemn { packs } => self.condemned &= !packs,
            Entry::Sound { pack } => self.damaged &= !(1 << pack),
        }
    }

    fn take_root(&mut self, root: u8) {
        self.root = root;
        self.roots |= 1 << root;
    }

    pub fn is_live(&self, snapshot: u8) -> bool {
        self.live >> snapshot & 1 == 1
    }
}

impl State {
    /// The folds of all beginnings of the log, the empty one first.
    pub fn folds(&self) -> [Fold; LOG + 1] {
        let mut folds = [Fold::default(); LOG + 1];
        for n in 0..usize::from(self.len) {
            folds[n + 1] = folds[n];
            folds[n + 1].apply(self.log[n]);
        }
        folds
    }
}
