//! Everything that any process can do next. Each step is one operation on the storage, or one decision that follows from
//! what the process has read. Every process may be slower than all others together, so one that stopped for ever needs
//! no step of its own: it is one that nobody waits for. One that died and was started again is a `crash`.

#[path = "pruners.rs"]
mod pruners;
#[path = "writers.rs"]
mod writers;

use super::state::{A, B, CHUNKS, Entry, Fold, LOG, PACKS, Restorer, State, phase};

/// What is left out of the protocol, to see that the model notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weakness {
    /// A writer appends its entry without looking at what was condemned since it looked chunks up.
    NoRecheck,
    /// A pruner appends its condemnation whatever came between.
    UnconditionalCondemn,
    /// Packs are called after their content, so a pack that was deleted can come back under its name.
    NamesReused,
    /// Old entries of the log are deleted once a checkpoint holds them.
    LogDeleted,
    /// Nothing is conditional; before a condemned pack is deleted, one more look finds out whether somebody uses it.
    GraceOnly,
    /// "Has a location" instead of "can be rebuilt".
    LocatedIsEnough,
    /// A writer's second look knows what was condemned, and not what was damaged.
    RecheckWithoutDamage,
    /// A pruner relies on locations that are known to be damaged.
    PruneCountsDamaged,
    /// Packs are deleted when they are planned to be condemned, before the log says so.
    SweepBeforeCondemn,
    /// A writer takes a condemnation back instead of copying what it needs.
    Uncondemn,
    /// An index object is published before the pack that it names is stored.
    IndexBeforePack,
    /// A merged index object leaves out what the pruner holds for unused, and is appended whatever came between.
    ReplaceDropsPacks,
    /// Index objects are deleted when they were merged, before the log says so.
    ObjectsDeletedEarly,
    /// A writer's entry names index objects that were replaced since it found them, and they count again. (In the library
    /// the fold passes over such names: `State::apply`.)
    NamesReplacedObjects,
    /// A restore that finds a pack gone gives up, instead of looking at the log again.
    RestoreGivesUp,
    /// A repair drops a snapshot by a log that is older than its look at the packs.
    RepairByOldLog,
    /// Who replaces a root appends the entry without looking at what was condemned since it looked chunks up.
    ReplaceNoRecheck,
    /// A root is replaced whatever it is by then.
    OldRootNotCompared,
    /// Who replaces a root says that it is done without looking whether it was the root still.
    ReplaceUnaware,
    /// A snapshot that was removed comes back with the root that it had first.
    UndoOfFirstRoot,
    /// A pruner follows the first root of a snapshot, whatever root it has by then.
    PruneFollowsFirstRoot,
    /// A restore goes on with the root that it began with.
    RestoreKeepsRoot,
    /// Repacking copies a delta and not its base, and looks only for a location of the copy.
    RepackForgetsBases,
}

/// What a writer's snapshot is made of.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub chunks: u8,
    /// The chunks that it can read again from their source. Others it has only seen in the manifest of its parent.
    pub source: u8,
    pub role: Role,
}

/// What a writer is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It makes a snapshot.
    Saves,
    /// It is `forget --undo`: it adds snapshot 0 again once that was removed.
    Undoes,
    /// It gives snapshot 0 a new root, with the same content, which is stored in another way.
    Settles,
    /// It gives snapshot 0 a new root, without something that must not come back.
    Erases,
}

impl Role {
    pub fn replaces(self) -> bool {
        matches!(self, Self::Settles | Self::Erases)
    }
}

/// The bounds of a search.
#[derive(Clone, Debug)]
pub struct Rules {
    pub log: u8,
    pub packs: u8,
    pub wishes: Vec<Wish>,
    pub pruners: u8,
    pub repack: bool,
    pub merges: u8,
    pub restore: bool,
    /// Whether snapshots are repaired: those that have lost something are dropped, and what was lost and is found again
    /// counts again.
    pub repair: bool,
    /// What snapshot 0 is made of.
    pub first: u8,
    pub weakness: Option<Weakness>,
}

impl Rules {
    /// What a snapshot is made of in the light of this fold.
    pub fn chunks(&self, fold: &Fold, snapshot: u8) -> u8 {
        match if snapshot == 0 { fold.root } else { snapshot } {
            0 => self.first,
            n => self.wishes[usize::from(n) - 1].chunks,
        }
    }
}

/// A step, for people.
#[derive(Clone, Copy, Debug)]
pub struct Step(pub &'static str, pub u8, pub &'static str, pub u8);

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.0, self.1, self.2, self.3)
    }
}

fn bits(set: u8) -> impl Iterator<Item = u8> {
    (0..8).filter(move |bit| set >> bit & 1 == 1)
}

/// All successors of one state.
pub struct Steps<'a> {
    rules: &'a Rules,
    state: &'a State,
    folds: [Fold; LOG + 1],
    out: &'a mut Vec<(Step, State)>,
}

impl<'a> Steps<'a> {
    pub fn all(rules: &'a Rules, state: &'a State, out: &'a mut Vec<(Step, State)>) {
        let mut folds = state.folds();
        if rules.weakness == Some(Weakness::NamesReused) {
            folds.iter_mut().for_each(|fold| fold.condemned &= !state.again);
        }
        let mut steps = Steps { rules, state, folds, out };
        for writer in 0..rules.wishes.len() {
            steps.writer(writer);
        }
        for pruner in 0..usize::from(rules.pruners) {
            steps.pruner(pruner);
        }
        if rules.restore {
            steps.restorer();
        }
        if rules.repair {
            steps.repairer();
        }
        steps.sweep();
        steps.others();
    }

    fn weak(&self, weakness: Weakness) -> bool {
        self.rules.weakness == Some(weakness)
    }

    fn push(&mut self, step: Step, change: impl FnOnce(&mut State)) {
        let mut next = *self.state;
        change(&mut next);
        self.out.push((step, next));
    }

    fn now(&self) -> Fold {
        self.folds[usize::from(self.state.len)]
    }

    fn room(&self) -> bool {
        self.state.len < self.rules.log
    }

    /// What can be rebuilt, in the eyes of a process that decides about safety.
    fn rebuildable(&self, packs: u8) -> u8 {
        match self.weak(Weakness::LocatedIsEnough) {
            true => self.state.located(packs),
            false => self.state.rebuildable(packs),
        }
    }

    /// What can really be read now, by whoever tries: copies are verified, so rotten packs give nothing.
    fn readable(&self) -> u8 {
        self.state.rebuildable(self.state.present & !self.state.rotten)
    }

    fn new_pack(&mut self, step: Step, chunk: u8, delta: bool, then: impl FnOnce(&mut State, u8)) {
        let early = self.weak(Weakness::IndexBeforePack) && step.0 == "writer";
        self.push(step, |next| {
            let pack = next.packs;
            next.packs += 1;
            let holds = if delta { &mut next.delta } else { &mut next.full };
            holds[usize::from(chunk)] |= 1 << pack;
            match early {
                true => next.published |= 1 << pack,
                false => next.present |= 1 << pack,
            }
            then(next, pack);
        });
    }

    /// The chunks of the snapshots that are live in this fold, in the eyes of a pruner.
    fn used(&self, fold: &Fold) -> u8 {
        let root = if self.weak(Weakness::PruneFollowsFirstRoot) { 0 } else { fold.root };
        bits(fold.live).fold(0, |used, snapshot| used | self.rules.chunks(&Fold { root, ..*fold }, snapshot))
    }

    /// `ops::restore`, `ChunkReader::get`: looks chunks up by what it has read of the log, and looks at the log again where a pack is
    /// gone.
    fn restorer(&mut self) {
        let (state, me) = (self.state, self.state.restorer);
        match me.phase {
            phase::IDLE => {
                for read in 1..=state.len {
                    for snapshot in bits(self.folds[usize::from(read)].live) {
                        self.push(Step("restore", snapshot, "begins at entry", read), |next| {
                            next.restorer = Restorer { phase: phase::WORKING, read, snapshot, got: 0 };
                        });
                    }
                }
            }
            phase::WORKING => {
                // A root that was replaced is followed anew; what was read of the other stays read.
                let mut fold = self.folds[usize::from(me.read)];
                if self.weak(Weakness::RestoreKeepsRoot) {
                    fold.root = 0;
                }
                let wanted = self.rules.chunks(&fold, me.snapshot) & !me.got;
                if wanted == 0 {
                    self.push(Step("restore", me.snapshot, "is done", 0), |next| next.restorer.phase = phase::DONE);
                    return;
                }
                let chunk = wanted.trailing_zeros() as u8;
                let known = state.named_by(fold.objects) & !fold.condemned & !fold.damaged;
                let there = state.rebuildable(known & state.present) >> chunk & 1 == 1;
                let readable = state.rebuildable(known & state.present & !state.rotten) >> chunk & 1 == 1;
                let excused = there || state.lost[usize::from(me.snapshot)] >> chunk & 1 == 1;
                if readable {
                    self.push(Step("restore", me.snapshot, "reads chunk", chunk), |next| {
                        next.restorer.got |= 1 << chunk
                    });
                } else if me.read < state.len && !self.weak(Weakness::RestoreGivesUp) {
                    for read in me.read + 1..=state.len {
                        let live = self.folds[usize::from(read)].is_live(me.snapshot);
                        self.push(Step("restore", me.snapshot, "looks again, at the log up to", read), |next| {
                            next.restorer.read = read;
                            if !live {
                                next.restorer.phase = phase::DONE;
                            }
                        });
                    }
                } else if !excused && self.now().is_live(me.snapshot) {
                    self.push(Step("restore", me.snapshot, "holds for lost chunk", chunk), |next| {
                        next.restorer.phase = phase::FAILED;
                    });
                }
            }
            _ => {}
        }
    }

    /// `commands::repair::repair_snapshots`: looks which packs are there, and drops a snapshot that cannot be made of those,
    /// in the light of the very log that the entry follows. `Log::sound`: what was damaged and is whole
    /// again counts again.
    fn repairer(&mut self) {
        let (state, now) = (self.state, self.now());
        if !self.room() {
            return;
        }
        let sound = state.named_by(now.objects) & state.present & !now.condemned & !now.damaged;
        let first = if self.weak(Weakness::RepairByOldLog) { 1 } else { state.len };
        for read in first..=state.len {
            let fold = self.folds[usize::from(read)];
            let known = state.named_by(fold.objects) & !fold.condemned & !fold.damaged & state.present;
            for snapshot in bits(fold.live & now.live) {
                if self.rules.chunks(&fold, snapshot) & !state.rebuildable(known) == 0 {
                    continue;
                }
                let is_sound = self.rules.chunks(&now, snapshot) & !state.rebuildable(sound) == 0;
                self.push(Step("repair", snapshot, "is dropped, by the log up to", read), |next| {
                    next.append(Entry::Remove { snapshot });
                    if is_sound {
                        next.restorer.phase = phase::DROPPED;
                    }
                });
            }
        }
        for pack in bits(state.rotten & now.damaged) {
            self.push(Step("disk", 0, "is whole again, with pack", pack), |next| next.rotten &= !(1 << pack));
        }
        for pack in bits(state.present & !state.rotten & now.damaged) {
            self.push(Step("repair", 0, "finds whole, and appends Sound of, pack", pack), |next| {
                next.append(Entry::Sound { pack });
            });
        }
    }

    fn others(&mut self) {
        let (state, fold) = (self.state, self.now());
        if state.forgets > 0 && self.room() {
            for snapshot in bits(fold.live) {
                self.push(Step("forget", snapshot, "is appended as entry", state.len), |next| {
                    next.forgets -= 1;
                    next.append(Entry::Remove { snapshot });
                });
            }
        }
        if state.rots > 0 {
            for pack in bits(state.present & !state.rotten) {
                self.push(Step("disk", 0, "rots pack", pack), |next| {
                    next.rots -= 1;
                    next.rotten |= 1 << pack;
                });
            }
        }
        // `check` and `repair` append it whatever came between: it takes nothing that was not lost before.
        if self.room() {
            for pack in bits(state.rotten & !fold.damaged) {
                self.push(Step("check", 0, "appends Damaged of pack", pack), |next| {
                    next.append(Entry::Damaged { pack });
                    let fold = next.folds()[usize::from(next.len)];
                    let left =
                        next.rebuildable(next.named_by(fold.objects) & next.present & !fold.condemned & !fold.damaged);
                    for snapshot in bits(fold.live) {
                        next.lost[usize::from(snapshot)] = (A | B) & !left;
                    }
                });
            }
        }
        if self.weak(Weakness::LogDeleted) && state.boundary < state.len {
            self.push(Step("checkpoint", 0, "deletes the entries below", state.len), |next| next.boundary = next.len);
        }
    }
}

const _: () = assert!(CHUNKS == 2 && PACKS + 2 == 8);
