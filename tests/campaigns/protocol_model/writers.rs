//! The steps of a writer: `commands::create` and `repository::Writer`.

use super::super::state::{ANY, Entry, Fold, Writer, phase};
use super::{Role, Step, Steps, Weakness, bits};

impl Steps<'_> {
    /// The packs that a writer may rely on, by what it has read: `Index::locate` gives only packs that index objects
    /// name, and of those `Writer::new` has marked what is gone, condemned or damaged. That packs were deleted which it
    /// still holds for good is possible: its local index may be old. So safety must not rest on their being there.
    fn usable(&self, read: u8, names: u8) -> u8 {
        let fold = &self.folds[usize::from(read)];
        let replaced = match self.weak(Weakness::NamesReplacedObjects) {
            true => 0,
            false => fold.replaced,
        };
        let packs = self.state.named_by((fold.objects | names) & !replaced) & !fold.condemned & !fold.damaged;
        match self.rules.weakness {
            // These never look at the log again, so at least they look whether the packs are there.
            Some(Weakness::NoRecheck | Weakness::GraceOnly | Weakness::NamesReused) => packs & self.state.present,
            _ => packs,
        }
    }

    pub(super) fn writer(&mut self, i: usize) {
        let (state, me, wish) = (self.state, self.state.writers[i], self.rules.wishes[i]);
        let id = i as u8;
        match me.phase {
            // `Repository::open`: reads the log as far as it happens to see it.
            phase::IDLE => {
                for read in 1..=state.len {
                    let fold = self.folds[usize::from(read)];
                    let wanted = match wish.role {
                        Role::Saves => true,
                        Role::Undoes => !fold.is_live(0),
                        // What a later root would be made of, is another search.
                        Role::Settles | Role::Erases => fold.is_live(0) && fold.root == 0,
                    };
                    if !wanted {
                        continue;
                    }
                    let old = match wish.role {
                        Role::Saves => 0,
                        Role::Undoes if self.weak(Weakness::UndoOfFirstRoot) => 0,
                        _ => fold.root,
                    };
                    // What both roots reach is taken over as it is.
                    let has = if wish.role.replaces() { self.kept(i, old) } else { 0 };
                    self.push(Step("writer", id, "reads the log up to", read), |next| {
                        next.writers[i] = Writer { phase: phase::WORKING, read, old, has, ..Writer::default() };
                    });
                }
            }
            phase::WORKING if me.pending != 0 => self.publishes(i),
            phase::WORKING if me.has & self.wanted(i) == self.wanted(i) => self.commits(i),
            phase::WORKING => {
                self.stores(i);
                if state.crashes > 0 {
                    self.push(Step("writer", id, "dies and begins again; deaths left", state.crashes - 1), |next| {
                        next.crashes -= 1;
                        next.writers[i] = Writer::default();
                    });
                }
            }
            _ => {}
        }
    }

    /// What the snapshot or root of this writer is made of: an undo brings back what the root reaches that it found.
    fn wanted(&self, i: usize) -> u8 {
        match (self.rules.wishes[i].role, self.state.writers[i].old) {
            (Role::Undoes, 0) => self.rules.first,
            (Role::Undoes, root) => self.rules.wishes[usize::from(root) - 1].chunks,
            _ => self.rules.wishes[i].chunks,
        }
    }

    /// What a new root takes over from the old one.
    fn kept(&self, i: usize, old: u8) -> u8 {
        let fold = Fold { root: old, ..Fold::default() };
        self.rules.wishes[i].chunks & self.rules.chunks(&fold, 0)
    }

    /// `Writer::flush`, `Catalog::publish_index`: an index object names packs that are stored.
    fn publishes(&mut self, i: usize) {
        let me = self.state.writers[i];
        let pack = me.pending - 1;
        let early = self.weak(Weakness::IndexBeforePack);
        let what = if early { "stores pack" } else { "publishes the index object of pack" };
        let usable = self.usable(me.read, me.names | 1 << pack);
        let has = me.has | self.rebuildable(usable) & self.wanted(i);
        self.push(Step("writer", i as u8, what, pack), |next| {
            next.published |= 1 << pack;
            next.present |= 1 << pack;
            let me = &mut next.writers[i];
            (me.names, me.pending, me.has) = (me.names | 1 << pack, 0, has);
        });
    }

    /// `Writer::reserve` finds a chunk stored, or `Writer::store` stores it.
    fn stores(&mut self, i: usize) {
        let (state, me, wish) = (self.state, self.state.writers[i], self.rules.wishes[i]);
        let id = i as u8;
        let chunk = (self.wanted(i) & !me.has).trailing_zeros() as u8;
        let wanted = 1 << chunk;
        let usable = self.usable(me.read, me.names);
        if self.rebuildable(usable) & wanted != 0 {
            self.push(Step("writer", id, "finds stored chunk", chunk), |next| next.writers[i].has |= wanted);
        } else {
            // Index objects that the log does not name yet are found by listing (`Catalog::update`), perhaps.
            let fold = &self.folds[usize::from(me.read)];
            for object in bits(state.published & !fold.objects & !fold.replaced & !me.names) {
                let more = self.usable(me.read, me.names | 1 << object);
                if self.rebuildable(more) & wanted != 0 {
                    self.push(Step("writer", id, "relies upon the unlogged index object", object), |next| {
                        next.writers[i].has |= wanted;
                        next.writers[i].names |= 1 << object;
                    });
                }
            }
        }
        if self.weak(Weakness::Uncondemn) && me.read == state.len && self.room() {
            for pack in bits(self.now().condemned & state.present) {
                if state.located(1 << pack) & wanted != 0 {
                    self.push(Step("writer", id, "takes back the condemnation of pack", pack), |next| {
                        next.append(Entry::Uncondemn { packs: 1 << pack });
                        next.writers[i].read = next.len;
                    });
                }
            }
        }
        if self.weak(Weakness::NamesReused) {
            let same = (0..state.packs)
                .find(|pack| state.full[usize::from(chunk)] >> pack & 1 == 1 && state.located(1 << pack) == wanted);
            if let Some(pack) = same {
                self.push(Step("writer", id, "stores again, under its old name, pack", pack), |next| {
                    next.present |= 1 << pack;
                    next.again |= 1 << pack;
                    next.writers[i].pending = pack + 1;
                });
                return;
            }
        }
        // From the source, or copied from wherever it can still be read, condemned packs included (rescue).
        if state.packs < self.rules.packs && (wish.source & wanted != 0 || self.readable() & wanted != 0) {
            self.new_pack(Step("writer", id, "stores whole chunk", chunk), chunk, false, |next, pack| {
                next.writers[i].pending = pack + 1;
            });
            // As a delta of what it holds for stored, whose bytes it needs for that.
            let base = 3 & !wanted;
            if self.rebuildable(usable) & base != 0 && self.readable() & base != 0 {
                self.new_pack(Step("writer", id, "stores as a delta chunk", chunk), chunk, true, |next, pack| {
                    next.writers[i].pending = pack + 1;
                });
            }
        }
    }

    /// `Log::add_snapshot` (`log/rules/`): the entry is created at the slot behind what was read, if that is free;
    /// else what stands there is read, and what lost its place since is stored
    /// anew (`Writer::secure` looks at all that the snapshot reaches, once the log has taken any place away).
    fn commits(&mut self, i: usize) {
        let (state, me, wish) = (self.state, self.state.writers[i], self.rules.wishes[i]);
        let (id, wanted) = (i as u8, self.wanted(i));
        if wish.role.replaces() {
            return self.replaces(i);
        }
        let (snapshot, root) = if wish.role == Role::Undoes { (0, me.old) } else { (id + 1, 0) };
        if matches!(self.rules.weakness, Some(Weakness::NoRecheck | Weakness::GraceOnly)) {
            if self.room() {
                self.push(Step("writer", id, "appends, unchecked, entry", state.len), |next| {
                    next.append(Entry::Add { snapshot, root, objects: me.names });
                    next.writers[i].phase = phase::DONE;
                });
            }
        } else if me.read < state.boundary {
            self.push(Step("writer", id, "creates again the deleted entry", me.read), |next| {
                next.writers[i].phase = phase::DONE;
            });
        } else if me.read == state.len {
            let fold = self.now();
            let has = self.rebuildable(self.usable(me.read, me.names)) & wanted;
            // Somebody may have brought it back, replaced its root and removed it again.
            let is_that = wish.role != Role::Undoes || me.old == fold.root || self.weak(Weakness::UndoOfFirstRoot);
            if (has == wanted || self.weak(Weakness::RecheckWithoutDamage))
                && self.room()
                && !fold.is_live(snapshot)
                && is_that
            {
                let gone = if self.weak(Weakness::NamesReplacedObjects) { 0 } else { fold.replaced };
                let objects = me.names & !gone & !fold.objects;
                self.push(Step("writer", id, "appends AddSnapshot as entry", state.len), |next| {
                    next.append(Entry::Add { snapshot, root, objects });
                    next.writers[i].phase = phase::DONE;
                    next.lost[usize::from(snapshot)] = 0;
                });
            }
        } else {
            self.reads_on(i);
        }
    }

    fn reads_on(&mut self, i: usize) {
        let (state, me, wanted) = (self.state, self.state.writers[i], self.wanted(i));
        let kept = if self.rules.wishes[i].role.replaces() { self.kept(i, me.old) } else { 0 };
        for read in me.read + 1..=state.len {
            let mut usable = self.usable(read, me.names);
            if self.weak(Weakness::RecheckWithoutDamage) {
                let fold = &self.folds[usize::from(read)];
                usable |= state.named_by((fold.objects | me.names) & !fold.replaced) & !fold.condemned;
            }
            let mut has = self.rebuildable(usable) & wanted | kept;
            if self.weak(Weakness::ReplaceNoRecheck) {
                has |= me.has;
            }
            self.push(Step("writer", i as u8, "finds its slot taken and reads up to", read), |next| {
                next.writers[i].read = read;
                next.writers[i].has = has;
            });
        }
    }

    /// `Writer::replace_roots`: as `commits`, and the root that is to be replaced is still that of the snapshot. What both
    /// roots reach needs no second look: as long as the old one is that of the snapshot, nobody condemns it.
    fn replaces(&mut self, i: usize) {
        let (state, me) = (self.state, self.state.writers[i]);
        let (id, wanted, kept) = (i as u8, self.wanted(i), self.kept(i, me.old));
        if me.read < state.len {
            return self.reads_on(i);
        }
        let fold = self.now();
        let is_current = fold.is_live(0) && fold.root == me.old;
        let whatever = self.weak(Weakness::OldRootNotCompared) && fold.is_live(0);
        if !is_current && !whatever && !self.weak(Weakness::ReplaceUnaware) {
            self.push(Step("writer", id, "learns that another root was put in the place of", me.old), |next| {
                next.writers[i].phase = phase::OUTRUN;
            });
            return;
        }
        let has = self.rebuildable(self.usable(me.read, me.names)) & wanted | kept;
        if (has == wanted || self.weak(Weakness::ReplaceNoRecheck)) && self.room() {
            let objects = me.names & !fold.replaced & !fold.objects;
            let old = if whatever { ANY } else { me.old };
            let before = self.rules.chunks(&fold, 0);
            self.push(Step("writer", id, "appends ReplaceRoots as entry", state.len), |next| {
                next.append(Entry::Roots { old, new: id + 1, objects });
                next.writers[i].phase = phase::DONE;
                // What was lost may stay lost; what the old root did not reach may not.
                next.lost[0] &= before;
            });
        }
    }
}
