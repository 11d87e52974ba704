//! What of all that is there is needed, and what each pack has of it.

use std::collections::BTreeSet;

use super::plan::Facts;
use super::survey::Survey;
use crate::store::{ChunkNumber, ChunkSet, Derivation, Inventory, InventoryFrame, PackNumber, PlaceNumber, State};

/// What is needed, and where it is to be had.
pub(super) struct Needs {
    /// Chunks that a snapshot reaches, or that those are made of.
    pub(super) needed: ChunkSet,
    /// Where each chunk is taken from.
    pub(super) from: Derivation,
    /// Packs in which something lies that is needed and lost.
    pub(super) damaged: BTreeSet<PackNumber>,
    /// Chunks that snapshots reach and that are lost.
    pub(super) lost: u64,
    /// What no snapshot reaches is to go for good: nothing is kept only because something else is stored as a difference to it.
    purges: bool,
}

impl Survey<'_> {
    /// What is needed, and where it is best taken from: where most of a pack is in use, so that others become empty.
    /// Where packs are moved to new keys, those that are under them come first. If it `purges`, what is stored as a difference
    /// to something that no snapshot reaches is to be stored whole, and that something is not needed.
    pub(super) fn needs(&self, state: &State, young: &BTreeSet<PackNumber>, reencrypt: bool, purges: bool) -> Needs {
        let (inventory, used) = (&self.inventory, &self.reach.used);
        let is_left = |pack: &PackNumber| reencrypt && inventory.pack(*pack).epoch < self.repository.packs().epoch();
        let mut order: Vec<(u64, PackNumber)> = inventory
            .pack_numbers()
            .map(|pack| {
                let places = inventory.frames_of(pack).flat_map(|(_, frame)| inventory.places_of(frame));
                let share: u64 =
                    places.filter(|(_, chunk, _)| used.has(*chunk)).map(|(_, _, length)| u64::from(length)).sum();
                (share, pack)
            })
            .collect();
        order.sort_unstable_by_key(|(share, pack)| (is_left(pack), std::cmp::Reverse(*share), *pack));
        let order: Vec<PackNumber> = order.into_iter().map(|(_, pack)| pack).collect();
        // What no entry of the log names yet may never be named: nothing that is needed rests on it.
        let from = inventory.derive(&state.standing, &order, |pack| !young.contains(&pack));
        let mut needs = Needs { needed: ChunkSet::default(), from, damaged: BTreeSet::new(), lost: 0, purges };
        let mut open: Vec<ChunkNumber> = used.iter().collect();
        // A writer that is at work may rest on what its own packs rest on.
        for (_, frame) in young.iter().flat_map(|pack| inventory.frames_of(*pack)) {
            open.extend(inventory.bases_of(frame));
        }
        loop {
            let lost = needs.close(inventory, used, open);
            needs.lost += lost.iter().filter(|chunk| used.has(*chunk)).count() as u64;
            if lost.count() == 0 {
                return needs;
            }
            // What is left of a lost chunk stays, and so does what that is made of: it may come back.
            open = Vec::new();
            for (pack, known) in inventory.packs() {
                if state.standing.is_condemned(&known.id) {
                    continue;
                }
                for (_, frame) in inventory.frames_of(pack) {
                    if inventory.places_of(frame).any(|(_, chunk, _)| lost.has(chunk)) {
                        needs.damaged.insert(pack);
                        open.extend(inventory.bases_of(frame));
                    }
                }
            }
        }
    }

    /// What is known about each pack that is not condemned yet.
    pub(super) fn facts(&self, state: &State, needs: &Needs, young: &BTreeSet<PackNumber>) -> Vec<(PackNumber, Facts)> {
        let inventory = &self.inventory;
        let packs = inventory.packs().filter(|(_, pack)| !state.standing.is_condemned(&pack.id));
        packs
            .map(|(number, pack)| {
                let (mut needed, mut stored, mut any_dead, mut on_unused) = (0u64, 0u64, false, false);
                for (_, frame) in inventory.frames_of(number) {
                    let places = inventory.places_of(frame).filter(|(place, chunk, _)| needs.takes(*place, *chunk));
                    let (count, plain) =
                        places.fold((0u64, 0u64), |(count, sum), (_, _, length)| (count + 1, sum + u64::from(length)));
                    stored += u64::from(frame.stored);
                    on_unused |= count > 0 && needs.is_unfolded(inventory, &self.reach.used, frame);
                    any_dead |= count < inventory.places_of(frame).count() as u64;
                    needed += match plain {
                        // Chunks without bytes need their place as well.
                        0 => count,
                        plain => (u64::from(frame.stored) * plain / u64::from(frame.plain.max(1))).max(1),
                    };
                }
                // Header, directory and padding belong to what is needed as far as the rest does.
                let needed = match (any_dead, stored) {
                    (_, 0) => 0,
                    (false, _) => pack.length,
                    (true, stored) => {
                        let share = u128::from(pack.length) * u128::from(needed) / u128::from(stored);
                        (share as u64).clamp(needed.min(1), pack.length.saturating_sub(1))
                    }
                };
                let damaged = needs.damaged.contains(&number);
                let (length, gone, old_key) = (pack.length, pack.gone, pack.epoch < self.repository.packs().epoch());
                (number, Facts { length, needed, gone, young: young.contains(&number), damaged, old_key, on_unused })
            })
            .collect()
    }
}

impl Needs {
    /// Whether this place is the one that the chunk is taken from, if it is needed.
    pub(super) fn takes(&self, place: PlaceNumber, chunk: ChunkNumber) -> bool {
        self.needed.has(chunk) && self.from.place(chunk) == Some(place)
    }

    /// Whether what is needed of a frame is to be stored whole, since it is a difference to something that is to go.
    pub(super) fn is_unfolded(&self, inventory: &Inventory, used: &ChunkSet, frame: &InventoryFrame) -> bool {
        self.purges && inventory.bases_of(frame).iter().any(|base| !used.has(*base))
    }

    /// Adds chunks, and what they are made of where they are taken from. Returns those that are lost.
    fn close(&mut self, inventory: &Inventory, used: &ChunkSet, mut open: Vec<ChunkNumber>) -> ChunkSet {
        let mut lost = ChunkSet::default();
        while let Some(chunk) = open.pop() {
            if !self.needed.set(chunk) {
                continue;
            }
            match self.from.place(chunk).and_then(|place| inventory.frame_of(place)) {
                Some((_, frame)) if self.is_unfolded(inventory, used, frame) => {}
                Some((_, frame)) => open.extend(inventory.bases_of(frame)),
                None => drop(lost.set(chunk)),
            }
        }
        lost
    }
}
