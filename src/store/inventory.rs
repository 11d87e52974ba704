//! What lies where in the whole repository, in dense numbers: for questions about all chunks at once.
//!
//! Some 50 bytes a chunk. Chunks get numbers in the order in which they are met; so do packs, frames and places (a place
//! is a chunk in a frame). Sets of them are bits.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::closure::{Derivation, Place, derive};
use super::numbers::ChunkNumbers;
use super::{ChunkNumber, ChunkSet, FrameNumber, PackNumber, PlaceNumber, Repository};
use crate::chunk::ChunkKind;
use crate::error::Result;
use crate::id::{ChunkId, PackId};
use crate::log::{Standing, Worth};
use crate::pack::{Encoding, PackInfo};

/// What lies where.
#[derive(Debug, Default)]
pub struct Inventory {
    ids: ChunkNumbers,
    packs: Vec<InventoryPack>,
    by_id: HashMap<PackId, PackNumber>,
    frames: Vec<InventoryFrame>,
    /// The chunk that lies in each place, and how many plain bytes it has.
    places: Vec<(ChunkNumber, u32)>,
    bases: Vec<ChunkNumber>,
}

/// A pack.
#[derive(Debug, Clone)]
pub struct InventoryPack {
    /// Its name.
    pub id: PackId,
    /// Its length in bytes.
    pub length: u64,
    /// Under the master key of which epoch it is sealed.
    pub epoch: u32,
    /// Whether it was found to be gone, or cut off.
    pub gone: bool,
    first_frame: u32,
    frame_count: u32,
}

/// A frame of a pack.
#[derive(Debug, Clone)]
pub struct InventoryFrame {
    /// The number of its pack.
    pub pack: PackNumber,
    /// How many bytes it takes in the pack.
    pub stored: u32,
    /// How many plain bytes it has.
    pub plain: u32,
    /// What its chunks hold.
    pub kind: ChunkKind,
    /// How it is encoded.
    pub encoding: Encoding,
    /// How many deltas have to be undone to read it.
    pub depth: u8,
    base_count: u8,
    first_base: u32,
    first_place: u32,
    place_count: u32,
}

impl Inventory {
    /// The inventory of all packs that the local index knows. Condemned ones are among them.
    pub fn of_index(repository: &Repository) -> Result<Self> {
        let mut inventory = Self::default();
        for id in repository.catalog.index().pack_ids() {
            if let Some(info) = repository.catalog.index().find_pack(&id)? {
                inventory.add(&info, repository.catalog.index().is_gone(&id));
            }
        }
        Ok(inventory)
    }

    /// Takes in a pack, unless it is there already.
    pub fn add(&mut self, info: &PackInfo, gone: bool) {
        if self.by_id.contains_key(&info.id) {
            return;
        }
        let pack = PackNumber::at(self.packs.len());
        self.by_id.insert(info.id, pack);
        let first_frame = self.frames.len() as u32;
        let bases: Vec<ChunkNumber> = info.directory.bases.iter().map(|base| self.ids.number(base)).collect();
        for (frame, chunks) in info.directory.iter() {
            let (first_place, first_base) = (self.places.len() as u32, self.bases.len() as u32);
            for chunk in chunks {
                self.places.push((self.ids.number(&chunk.id), chunk.length));
            }
            self.bases.extend(frame.bases.iter().filter_map(|base| bases.get(*base as usize)));
            self.frames.push(InventoryFrame {
                pack,
                stored: frame.stored,
                plain: frame.plain,
                kind: frame.kind,
                encoding: frame.encoding,
                depth: frame.place.depth,
                base_count: (self.bases.len() as u32 - first_base) as u8,
                first_base,
                first_place,
                place_count: chunks.len() as u32,
            });
        }
        let frame_count = self.frames.len() as u32 - first_frame;
        let (id, length, epoch) = (info.id, info.length, info.epoch);
        self.packs.push(InventoryPack { id, length, epoch, gone, first_frame, frame_count });
    }

    /// Says that a pack is gone.
    pub fn set_gone(&mut self, pack: PackNumber) {
        if let Some(pack) = self.packs.get_mut(pack.index()) {
            pack.gone = true;
        }
    }

    /// How many chunks have a number.
    pub fn chunk_count(&self) -> usize {
        self.ids.len()
    }

    /// The number of a chunk. One that lies nowhere gets one, too.
    pub fn number(&mut self, id: &ChunkId) -> ChunkNumber {
        self.ids.number(id)
    }

    /// The number of a chunk, if it has one.
    pub fn find(&self, id: &ChunkId) -> Option<ChunkNumber> {
        self.ids.find(id)
    }

    /// The name of a chunk.
    pub fn id(&self, chunk: ChunkNumber) -> ChunkId {
        self.ids.id(chunk)
    }

    /// All packs with their numbers, in the order in which they were taken in.
    pub fn packs(&self) -> impl Iterator<Item = (PackNumber, &InventoryPack)> {
        self.packs.iter().enumerate().map(|(at, pack)| (PackNumber::at(at), pack))
    }

    /// The numbers of all packs, in this order.
    pub fn pack_numbers(&self) -> impl Iterator<Item = PackNumber> + use<> {
        (0..self.packs.len()).map(PackNumber::at)
    }

    /// A pack. Its number is one of this inventory.
    pub fn pack(&self, number: PackNumber) -> &InventoryPack {
        &self.packs[number.index()]
    }

    /// The number of a pack.
    pub fn pack_number(&self, id: &PackId) -> Option<PackNumber> {
        self.by_id.get(id).copied()
    }

    /// The frames of a pack, with their numbers in the inventory, in order.
    pub fn frames_of(&self, pack: PackNumber) -> impl Iterator<Item = (FrameNumber, &InventoryFrame)> {
        let range =
            self.packs.get(pack.index()).map_or(0..0, |pack| pack.first_frame..pack.first_frame + pack.frame_count);
        indices(range).map(FrameNumber::at).filter_map(|frame| Some((frame, self.frames.get(frame.index())?)))
    }

    /// The places of a frame, in order: number, chunk and plain length of each.
    pub fn places_of(&self, frame: &InventoryFrame) -> impl Iterator<Item = (PlaceNumber, ChunkNumber, u32)> {
        let range = indices(frame.first_place..frame.first_place + frame.place_count);
        let places = self.places.get(range.clone()).unwrap_or(&[]);
        range.zip(places).map(|(number, (chunk, length))| (PlaceNumber::at(number), *chunk, *length))
    }

    /// The chunks that a frame is a difference to.
    pub fn bases_of(&self, frame: &InventoryFrame) -> &[ChunkNumber] {
        let first = frame.first_base as usize;
        self.bases.get(first..first + usize::from(frame.base_count)).unwrap_or(&[])
    }

    /// The frame in which a place lies.
    pub fn frame_of(&self, place: PlaceNumber) -> Option<(FrameNumber, &InventoryFrame)> {
        let after = self.frames.partition_point(|frame| frame.first_place as usize <= place.index());
        let number = after.checked_sub(1)?;
        Some((FrameNumber::at(number), self.frames.get(number)?))
    }

    /// What is rebuildable from packs that are there, that the log neither condemned nor found damaged, and that `may`
    /// lets through. Packs are gone through in the order that is given, which decides between places that are as good.
    pub fn derive(&self, standing: &Standing, order: &[PackNumber], may: impl Fn(PackNumber) -> bool) -> Derivation {
        self.derive_from(order, |pack, known, frame| {
            may(pack) && !known.gone && standing.worth(&known.id, frame) == Worth::Live
        })
    }

    /// As [`derive`](Inventory::derive), from all packs in the order of their numbers.
    pub fn derive_all(&self, standing: &Standing) -> Derivation {
        self.derive(standing, &self.in_order(), |_| true)
    }

    /// As [`derive_all`](Inventory::derive_all), from those frames only that `sound` lets through.
    pub fn derive_sound(&self, standing: &Standing, sound: impl Fn(&PackId, u32) -> bool) -> Derivation {
        self.derive_from(&self.in_order(), |_, known, frame| {
            !known.gone && standing.worth(&known.id, frame) == Worth::Live && sound(&known.id, frame)
        })
    }

    /// What would be rebuildable if nothing that the log found damaged were so.
    pub fn derive_undamaged(&self, standing: &Standing) -> Derivation {
        self.derive_from(&self.in_order(), |_, known, frame| {
            !standing.is_condemned(&known.id) && (!known.gone || standing.is_damaged(&known.id, frame))
        })
    }

    fn derive_from(
        &self,
        order: &[PackNumber],
        counts: impl Fn(PackNumber, &InventoryPack, u32) -> bool,
    ) -> Derivation {
        let counts = &counts;
        let frames = order.iter().flat_map(|pack| {
            let known = self.packs.get(pack.index());
            let frames = self.frames_of(*pack).enumerate();
            frames.filter(move |(at, _)| known.is_some_and(|known| counts(*pack, known, *at as u32)))
        });
        derive(
            self.chunk_count(),
            frames.flat_map(|(_, (_, frame))| {
                let (depth, bases) = (frame.depth, self.bases_of(frame));
                self.places_of(frame).map(move |(number, chunk, _)| Place { number, chunk, depth, bases })
            }),
        )
    }

    /// Takes packs out of a plan to condemn them until what is used can be made without those that are left in it, as far
    /// as it can be made at all. Nothing may rest on packs that are `young`.
    pub fn spare(
        &self,
        standing: &Standing,
        used: &ChunkSet,
        young: &BTreeSet<PackNumber>,
        plan: &mut BTreeSet<PackNumber>,
    ) {
        let order = self.in_order();
        let is_live =
            |pack: PackNumber| self.packs.get(pack.index()).is_some_and(|pack| !standing.is_condemned(&pack.id));
        plan.retain(|pack| is_live(*pack));
        loop {
            let without = self.derive(standing, &order, |pack| !plan.contains(&pack) && !young.contains(&pack));
            let missing = used.iter().filter(|chunk| !without.has(*chunk));
            // Also what lies elsewhere may be a difference to something that lies in the plan.
            let kept = self.holders(&without, missing, is_live);
            if kept.is_disjoint(plan) {
                return;
            }
            plan.retain(|pack| !kept.contains(pack));
        }
    }

    /// The packs in which something lies that these chunks are, or can be made of, as far as `derivation` does not have it
    /// where that is of use: a base is, if the place that was chosen for it is less deep than the difference. Only packs are
    /// looked at that count.
    pub fn holders(
        &self,
        derivation: &Derivation,
        wanted: impl IntoIterator<Item = ChunkNumber>,
        counts: impl Fn(PackNumber) -> bool,
    ) -> BTreeSet<PackNumber> {
        let depth_of = |chunk: ChunkNumber| {
            let (_, frame) = self.frame_of(derivation.place(chunk)?)?;
            Some(frame.depth)
        };
        let (mut met, mut holders) = (ChunkSet::default(), BTreeSet::new());
        let mut open: Vec<ChunkNumber> = wanted.into_iter().collect();
        while !open.is_empty() {
            let mut fresh = ChunkSet::default();
            for chunk in open.drain(..) {
                if met.set(chunk) {
                    fresh.set(chunk);
                }
            }
            if fresh.count() == 0 {
                break;
            }
            for pack in self.pack_numbers().filter(|pack| counts(*pack)) {
                for (_, frame) in self.frames_of(pack) {
                    if self.places_of(frame).any(|(_, chunk, _)| fresh.has(chunk)) {
                        holders.insert(pack);
                        let is_had = |base: &&ChunkNumber| depth_of(**base).is_some_and(|depth| depth < frame.depth);
                        open.extend(self.bases_of(frame).iter().filter(|base| !is_had(base)));
                    }
                }
            }
        }
        holders
    }

    fn in_order(&self) -> Vec<PackNumber> {
        self.pack_numbers().collect()
    }

    /// Chunks with a place in any of these packs.
    pub fn chunks_in(&self, packs: impl Iterator<Item = PackNumber>) -> ChunkSet {
        let mut chunks = ChunkSet::default();
        for pack in packs {
            for (_, frame) in self.frames_of(pack) {
                for (_, chunk, _) in self.places_of(frame) {
                    chunks.set(chunk);
                }
            }
        }
        chunks
    }
}

fn indices(range: Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Suite;
    use crate::id::digest;
    use crate::pack::{Directory, Frame, FrameChunk};
    use proptest::prelude::*;

    fn id(name: &str) -> ChunkId {
        ChunkId::new(digest(name.as_bytes()))
    }

    /// A pack with these frames: chunks that stand alone, or one that is a difference to others, with its depth.
    fn pack(name: &str, frames: &[(&[&str], u8, &[&str])]) -> PackInfo {
        let mut directory = Directory::default();
        for (chunks, depth, bases) in frames {
            let chunks: Vec<_> = chunks.iter().map(|chunk| FrameChunk { id: id(chunk), length: 10 }).collect();
            let encoding = if *depth > 0 { Encoding::Delta } else { Encoding::Raw };
            directory.push(encoding, ChunkKind::Bytes, &chunks, 26);
            let first = directory.bases.len() as u32;
            directory.bases.extend(bases.iter().map(|base| id(base)));
            if let Some(Frame { place, bases: numbers, .. }) = directory.frames.last_mut() {
                (place.depth, *numbers) = (*depth, (first..first + bases.len() as u32).collect());
            }
        }
        let id = PackId::new(digest(name.as_bytes()));
        PackInfo { id, length: 200, suite: Suite::None, epoch: 0, salt: [0; 32], directory }
    }

    proptest! {
        // So many find a rule that passes over depths: four of four runs did, in a tenth of a second.
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn what_can_be_made_can_be_made_without_what_is_left_of_a_plan(
            frames in prop::collection::vec((0usize..6, 0usize..4, 0u8..3, prop::collection::vec(0usize..4, 1..3)), 4..16),
            plan in prop::collection::btree_set(0usize..6, 0..6), young in prop::collection::btree_set(0usize..6, 0..2),
            used in prop::collection::vec(0usize..4, 1..4),
        ) {
            const NAMES: [&str; 4] = ["A", "B", "C", "D"];
            let mut inventory = Inventory::default();
            for number in 0..6 {
                let own: Vec<_> = frames.iter().filter(|frame| frame.0 == number).collect();
                let bases: Vec<Vec<&str>> = own.iter().map(|frame| frame.3.iter().map(|base| NAMES[*base]).collect()).collect();
                let chunks: Vec<[&str; 1]> = own.iter().map(|frame| [NAMES[frame.1]]).collect();
                let own: Vec<(&[&str], u8, &[&str])> = own
                    .iter()
                    .zip(chunks.iter().zip(&bases))
                    .map(|(frame, (chunk, bases))| (&chunk[..], frame.2, if frame.2 == 0 { &[][..] } else { &bases[..] }))
                    .collect();
                inventory.add(&pack(&format!("{number}"), &own), false);
            }
            let mut all = ChunkSet::default();
            for chunk in used.iter().filter_map(|name| inventory.find(&id(NAMES[*name]))) {
                all.set(chunk);
            }
            let [plan, young] = [plan, young].map(|set| set.into_iter().map(PackNumber::at).collect::<BTreeSet<_>>());
            let (standing, mut left) = (Standing::default(), plan.clone());
            let order = inventory.in_order();
            let had = inventory.derive(&standing, &order, |pack| !young.contains(&pack));
            inventory.spare(&standing, &all, &young, &mut left);
            prop_assert!(left.is_subset(&plan));
            let have = inventory.derive(&standing, &order, |pack| !left.contains(&pack) && !young.contains(&pack));
            for chunk in all.iter() {
                prop_assert!(have.has(chunk) || !had.has(chunk), "{chunk:?}, {left:?} of {plan:?} condemned");
            }
        }
    }

    #[test]
    fn a_base_that_is_left_deeper_than_what_rests_on_it_is_not_enough() {
        let mut inventory = Inventory::default();
        // B stands alone in p, and is a difference to A in q. C is a difference to B, and no deeper than that one.
        inventory.add(&pack("p", &[(&["B"], 0, &[])]), false);
        inventory.add(&pack("q", &[(&["A"], 0, &[]), (&["B"], 1, &["A"])]), false);
        inventory.add(&pack("r", &[(&["C"], 1, &["B"])]), false);
        let [b, c] = ["B", "C"].map(|name| inventory.find(&id(name)).unwrap());
        let without_p = inventory.derive(&Standing::default(), &inventory.in_order(), |pack| pack != PackNumber::at(0));
        assert_eq!((without_p.has(b), without_p.has(c)), (true, false));
        let held = |wanted| inventory.holders(&without_p, [wanted], |_| true);
        assert_eq!(held(c), [0, 1, 2].map(PackNumber::at).into());
        // Where C is deeper, what is left of B will do.
        inventory.add(&pack("s", &[(&["D"], 2, &["B"])]), false);
        let d = inventory.find(&id("D")).unwrap();
        assert_eq!(inventory.holders(&without_p, [d], |_| true), [PackNumber::at(3)].into());
    }

    #[test]
    fn what_is_condemned_damaged_or_gone_does_not_count() {
        let mut inventory = Inventory::default();
        // B lies in full in p; as a difference to A in q; C as a difference to B in q.
        inventory.add(&pack("p", &[(&["A"], 0, &[]), (&["B"], 0, &[])]), false);
        inventory.add(&pack("q", &[(&["B"], 1, &["A"]), (&["C"], 2, &["B"])]), false);
        let [a, b, c] = ["A", "B", "C"].map(|name| inventory.find(&id(name)).unwrap());
        let [p, q] = ["p", "q"].map(|name| PackId::new(digest(name.as_bytes())));
        let has = |inventory: &Inventory, standing: &Standing| {
            let derivation = inventory.derive_all(standing);
            [a, b, c].map(|chunk| derivation.has(chunk))
        };
        let mut standing = Standing::default();
        assert_eq!(has(&inventory, &standing), [true, true, true]);
        standing.damage(&[(p, vec![1])], 3);
        assert_eq!(has(&inventory, &standing), [true, true, true], "B is made of A");
        let derivation = inventory.derive_all(&standing);
        let (frame, found) = inventory.frame_of(derivation.place(b).unwrap()).unwrap();
        assert_eq!((frame, inventory.bases_of(found), found.depth), (FrameNumber::at(2), &[a][..], 1));
        standing.damage(&[(p, vec![0])], 4);
        assert_eq!(has(&inventory, &standing), [false, false, false]);
        let mut standing = Standing::default();
        standing.condemn(&[q], (5, 0));
        assert_eq!(has(&inventory, &standing), [true, true, false]);
        inventory.set_gone(inventory.pack_number(&p).unwrap());
        assert_eq!(has(&inventory, &Standing::default()), [false, false, false]);
        assert_eq!(inventory.chunks_in([PackNumber::at(1)].into_iter()).iter().collect::<Vec<_>>(), [b, c]);
    }
}
