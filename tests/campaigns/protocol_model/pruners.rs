//! The steps of a pruner, `commands::prune`, and of the deletes that come later.

use super::super::state::{Entry, MERGED, Pruner, State, phase};
use super::{Step, Steps, Weakness, bits};

impl Steps<'_> {
    pub(super) fn pruner(&mut self, j: usize) {
        let (state, me) = (self.state, self.state.pruners[j]);
        let id = j as u8;
        match me.phase {
            phase::IDLE => {
                for read in 1..=state.len {
                    self.push(Step("pruner", id, "reads the log up to", read), |next| {
                        next.pruners[j] = Pruner { phase: phase::WORKING, read, ..Pruner::default() };
                    });
                }
            }
            phase::WORKING => {
                self.repacks(j);
                self.plans(j);
            }
            phase::COPIED => self.push(Step("pruner", id, "publishes the index object of pack", me.own - 1), |next| {
                next.published |= 1 << (me.own - 1);
                next.pruners[j].phase = phase::NAMED;
            }),
            phase::NAMED => self.plans(j),
            phase::PLANNED => self.condemns(j),
            _ => self.merges(j),
        }
        let began = !matches!(me.phase, phase::IDLE | phase::DONE);
        if state.crashes > 0 && began {
            self.push(Step("pruner", id, "dies and begins again; deaths left", state.crashes - 1), |next| {
                next.crashes -= 1;
                next.pruners[j] = Pruner::default();
            });
        }
    }

    /// `prune::repack`: what is used and lies in packs that are mostly dead is copied into a new pack, whole or as the delta that it is.
    fn repacks(&mut self, j: usize) {
        let (state, me) = (self.state, self.state.pruners[j]);
        if !self.rules.repack || state.packs >= self.rules.packs {
            return;
        }
        let fold = self.folds[usize::from(me.read)];
        for chunk in bits(self.used(&fold) & self.readable()) {
            let then = |next: &mut State, pack: u8| {
                next.pruners[j].own = pack + 1;
                next.pruners[j].phase = phase::COPIED;
            };
            self.new_pack(Step("pruner", j as u8, "copies whole chunk", chunk), chunk, false, then);
            if state.delta[usize::from(chunk)] & state.present & !state.rotten != 0 {
                self.new_pack(
                    Step("pruner", j as u8, "copies as the delta that it is chunk", chunk),
                    chunk,
                    true,
                    then,
                );
            }
        }
    }

    /// `prune::survey`, `prune::plan`. Chooses what to condemn: any set of packs without which every chunk of every snapshot that is live, and that can
    /// be rebuilt now, can still be rebuilt, from packs that the log names and a listing shows (which may be incomplete:
    /// that makes the pruner do less).
    fn plans(&mut self, j: usize) {
        let (state, me) = (self.state, self.state.pruners[j]);
        let fold = self.folds[usize::from(me.read)];
        let own = if me.own == 0 { 0 } else { 1 << (me.own - 1) };
        let mut good = state.named_by(fold.objects | own) & !fold.condemned;
        if !self.weak(Weakness::PruneCountsDamaged) {
            good &= !fold.damaged;
        }
        let safe = |packs: u8| match self.rules.weakness {
            Some(Weakness::LocatedIsEnough | Weakness::RepackForgetsBases) => state.located(packs),
            _ => state.rebuildable(packs),
        };
        let wanted = self.used(&fold) & safe(good);
        let partial = bits(state.present).map(|pack| state.present & !(1 << pack));
        for listed in std::iter::once(state.present).chain(partial.collect::<Vec<_>>()) {
            let candidates = listed & !fold.condemned & !own;
            let mut plan = candidates;
            while plan != 0 {
                if wanted & !safe(good & listed & !plan) == 0 {
                    self.push(Step("pruner", j as u8, "plans to condemn the packs (bits)", plan), |next| {
                        next.pruners[j].plan = plan;
                        next.pruners[j].phase = phase::PLANNED;
                    });
                }
                plan = (plan - 1) & candidates;
            }
        }
    }

    /// `prune::condemn`: the entry is created behind the very log that the plan was made by, or the plan is made anew. (The
    /// library looks at what was added and goes on with the rest of its plan, which is a plan that it could have made.)
    fn condemns(&mut self, j: usize) {
        let (state, me) = (self.state, self.state.pruners[j]);
        let id = j as u8;
        if self.weak(Weakness::SweepBeforeCondemn) {
            for pack in bits(me.plan & state.present) {
                self.push(Step("pruner", id, "deletes, before it is condemned, pack", pack), |next| {
                    next.present &= !(1 << pack);
                });
            }
        }
        if self.weak(Weakness::ReplaceDropsPacks) && state.merges < self.rules.merges && self.room() {
            let fold = self.folds[usize::from(me.read)];
            self.push(Step("pruner", id, "replaces all index objects by one without the packs", me.plan), |next| {
                let object = MERGED + next.merges;
                next.merged[usize::from(next.merges)] = state.named_by(fold.objects) & !fold.condemned & !me.plan;
                next.merges += 1;
                next.published |= 1 << object;
                next.append(Entry::Replace { object, old: fold.objects });
                next.pruners[j] = Pruner::default();
            });
        }
        let whatever = matches!(self.rules.weakness, Some(Weakness::UnconditionalCondemn | Weakness::GraceOnly));
        if me.read == state.len || whatever {
            if self.room() {
                let after = if self.rules.merges > state.merges { phase::CONDEMNED } else { phase::DONE };
                self.push(Step("pruner", id, "condemns the packs (bits)", me.plan), |next| {
                    next.append(Entry::Condemn { packs: me.plan, object: me.own });
                    next.again &= !me.plan;
                    next.pruners[j] = Pruner { phase: after, ..Pruner::default() };
                });
            }
        } else {
            self.push(Step("pruner", id, "finds its slot taken, of entry", me.read), |next| {
                next.pruners[j] = Pruner::default();
            });
        }
    }

    /// `prune::condemn::IndexOrder`: one index object in place of all that the log names. It names their packs, but for
    /// condemned ones. (The library may say so in the same entry that condemns packs.)
    fn merges(&mut self, j: usize) {
        let (state, me) = (self.state, self.state.pruners[j]);
        let id = j as u8;
        match me.phase {
            phase::CONDEMNED if state.merges < self.rules.merges => {
                for read in 1..=state.len {
                    let fold = self.folds[usize::from(read)];
                    self.push(Step("pruner", id, "merges the index objects of the log up to", read), |next| {
                        let object = MERGED + next.merges;
                        next.merged[usize::from(next.merges)] = state.named_by(fold.objects) & !fold.condemned;
                        next.merges += 1;
                        next.pruners[j] = Pruner { phase: phase::MERGED, read, object, ..Pruner::default() };
                    });
                }
            }
            phase::MERGED => self.push(Step("pruner", id, "publishes the merged index object", me.object), |next| {
                next.published |= 1 << me.object;
                next.pruners[j].phase = phase::PUBLISHED;
            }),
            phase::PUBLISHED => {
                let old = self.folds[usize::from(me.read)].objects;
                if self.weak(Weakness::ObjectsDeletedEarly) {
                    for object in bits(old & state.published) {
                        self.push(Step("pruner", id, "deletes, before it is replaced, index object", object), |next| {
                            next.published &= !(1 << object);
                        });
                    }
                }
                let room = self.room();
                if me.read == state.len && room {
                    self.push(Step("pruner", id, "appends IndexReplace by object", me.object), |next| {
                        next.append(Entry::Replace { object: me.object, old });
                        next.pruners[j] = Pruner { phase: phase::DONE, ..Pruner::default() };
                    });
                } else if me.read < state.len {
                    self.push(Step("pruner", id, "finds its slot taken, and gives up object", me.object), |next| {
                        next.pruners[j] = Pruner { phase: phase::DONE, ..Pruner::default() };
                    });
                }
            }
            _ => {}
        }
    }

    /// `prune::sweep`: what is condemned in the log may be deleted at any later time, and a DELETE that was sent may land at any later
    /// time. Where no name comes back these are the same.
    pub(super) fn sweep(&mut self) {
        let (state, fold) = (self.state, self.now());
        match self.rules.weakness {
            Some(Weakness::NamesReused | Weakness::Uncondemn) => {
                for pack in bits(fold.condemned & state.present & !state.deletes) {
                    self.push(Step("sweeper", 0, "sends the DELETE of pack", pack), |next| next.deletes |= 1 << pack);
                }
                for pack in bits(state.deletes) {
                    self.push(Step("sweeper", 0, "has its DELETE land, of pack", pack), |next| {
                        next.deletes &= !(1 << pack);
                        next.present &= !(1 << pack);
                    });
                }
            }
            Some(Weakness::GraceOnly) => {
                let used = self.used(&fold);
                for pack in bits(fold.condemned & state.present) {
                    if used & !state.rebuildable(state.present & !(1 << pack)) == 0 {
                        self.push(Step("sweeper", 0, "looks once more, and deletes pack", pack), |next| {
                            next.present &= !(1 << pack);
                        });
                    }
                }
            }
            _ => {
                for pack in bits(fold.condemned & state.present) {
                    self.push(Step("sweeper", 0, "deletes pack", pack), |next| next.present &= !(1 << pack));
                }
            }
        }
        for object in bits(fold.replaced & state.published) {
            self.push(Step("sweeper", 0, "deletes index object", object), |next| next.published &= !(1 << object));
        }
    }
}
