//! Breadth first through all states, so that the first violation found is one of the shortest.

use super::state::{Entry, Fold, State, phase};
use super::steps::{Role, Rules, Step, Steps, Weakness};

/// A set of fingerprints: open addressing in one array, doubled when it is two thirds full.
struct Seen {
    slots: Vec<u128>,
    count: usize,
}

impl Seen {
    fn new() -> Self {
        Self { slots: vec![0; 1 << 12], count: 0 }
    }

    /// True if it was not there.
    fn insert(&mut self, fingerprint: u128) -> bool {
        if self.count * 3 > self.slots.len() * 2 {
            let old = std::mem::take(&mut self.slots);
            self.slots = vec![0; old.len() * 2];
            for fingerprint in old.into_iter().filter(|slot| *slot != 0) {
                let at = self.place(fingerprint);
                self.slots[at] = fingerprint;
            }
        }
        let at = self.place(fingerprint);
        let new = self.slots[at] == 0;
        if new {
            self.slots[at] = fingerprint;
            self.count += 1;
        }
        new
    }

    fn place(&self, fingerprint: u128) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (fingerprint >> 32) as usize & mask;
        while self.slots[at] != 0 && self.slots[at] != fingerprint {
            at = (at + 1) & mask;
        }
        at
    }
}

/// What a search has seen, so that a model in which nothing happens does not pass for a safe one.
#[derive(Debug, Default)]
pub struct Found {
    pub states: usize,
    pub transitions: u64,
    /// States in which all writers have their snapshots.
    pub all_committed: u64,
    pub condemned: u64,
    pub replaced: u64,
    pub restored: u64,
    /// Snapshot 0 has another root than the first.
    pub rerooted: u64,
    /// Who was to replace a root learned that it was too late.
    pub outrun: u64,
    /// A live snapshot had lost a chunk, and prune went on all the same.
    pub pruned_though_damaged: u64,
    /// A chunk that damage had taken came back.
    pub healed: u64,
    pub longest_log: u8,
    /// The search ended at its limit, not because there was nothing left.
    pub cut_off: bool,
    pub violation: Option<Violation>,
}

#[derive(Debug)]
pub struct Violation {
    pub what: String,
    pub trace: Vec<String>,
}

fn violation(rules: &Rules, state: &State, fold: &Fold) -> Option<String> {
    let forgiving = matches!(rules.weakness, Some(Weakness::NamesReused | Weakness::GraceOnly));
    let condemned = if forgiving { 0 } else { fold.condemned };
    let good = state.named_by(fold.objects & state.published) & state.present & !condemned & !fold.damaged;
    let whole = state.rebuildable(good);
    for snapshot in (0..4).filter(|snapshot| fold.is_live(*snapshot)) {
        let chunks = rules.chunks(fold, snapshot);
        let lost = chunks & !whole & !state.lost[usize::from(snapshot)];
        if lost != 0 {
            return Some(format!("snapshot {snapshot} has lost the chunks (bits) {lost}"));
        }
    }
    if fold.objects & !state.published != 0 {
        return Some(format!("the log names index objects (bits) that are gone: {}", fold.objects & !state.published));
    }
    for (i, (writer, wish)) in state.writers.iter().zip(&rules.wishes).enumerate() {
        let own = i as u8 + 1;
        let is_there = match wish.role {
            Role::Saves => fold.added >> own & 1 == 1,
            Role::Undoes => fold.added & 1 == 1,
            Role::Settles | Role::Erases => fold.roots >> own & 1 == 1,
        };
        if writer.phase == phase::DONE && !is_there {
            return Some(format!("what writer {i} did was acknowledged and is not in the log"));
        }
        if wish.role == Role::Erases && fold.roots >> own & 1 == 1 && fold.is_live(0) && !fold.erased(rules, own) {
            return Some("what was erased is back".to_owned());
        }
    }
    if state.restorer.phase == phase::DROPPED {
        return Some("a repair dropped a snapshot of which nothing is lost".to_owned());
    }
    (state.restorer.phase == phase::FAILED).then(|| "a restore held a snapshot for lost that is not".to_owned())
}

impl Fold {
    /// Whether snapshot 0 is without what the root of this number left out: it has that one, or one made from it.
    fn erased(&self, rules: &Rules, own: u8) -> bool {
        let left_out = rules.first & !rules.wishes[usize::from(own) - 1].chunks;
        rules.chunks(self, 0) & left_out == 0
    }
}

/// Goes through all states that can be reached, at most `limit` of them, until something is wrong.
pub fn search(rules: &Rules, first: State, limit: usize) -> Found {
    let (mut found, mut seen) = (Found::default(), Seen::new());
    // States are kept by the level; where a trace may be wanted, all of them, with where they came from.
    let traced = rules.weakness.is_some();
    let mut parents: Vec<(u32, State)> = Vec::new();
    let mut level: Vec<(u32, State)> = vec![(0, first)];
    seen.insert(first.fingerprint());
    let mut out: Vec<(Step, State)> = Vec::new();
    while !level.is_empty() && seen.count < limit {
        let mut below = Vec::new();
        for (parent, state) in level {
            let fold = state.folds()[usize::from(state.len)];
            let own = parents.len() as u32;
            if traced {
                parents.push((parent, state));
            }
            if let Some(what) = violation(rules, &state, &fold) {
                found.violation = Some(Violation { what, trace: trace(rules, &parents) });
                found.states = seen.count;
                return found;
            }
            found.note(rules, &state, &fold);
            out.clear();
            Steps::all(rules, &state, &mut out);
            found.transitions += out.len() as u64;
            for (_, mut next) in out.drain(..) {
                found.healed += u64::from(heal(&mut next));
                if seen.insert(next.fingerprint()) {
                    below.push((own, next));
                }
            }
        }
        level = below;
    }
    found.cut_off = !level.is_empty();
    found.states = seen.count;
    found
}

/// Chunks that damage took and that can be rebuilt again are as safe as any from then on.
fn heal(state: &mut State) -> bool {
    if state.lost == [0; 4] {
        return false;
    }
    let before = state.lost;
    let fold = state.folds()[usize::from(state.len)];
    let good = state.named_by(fold.objects & state.published) & state.present & !fold.condemned & !fold.damaged;
    let whole = state.rebuildable(good);
    for (snapshot, lost) in state.lost.iter_mut().enumerate() {
        *lost &= !whole;
        // A snapshot that is gone has nothing to lose; that it had is no part of the state.
        if !fold.is_live(snapshot as u8) {
            *lost = 0;
        }
    }
    state.lost != before
}

/// The steps that led to the last of these states.
fn trace(rules: &Rules, parents: &[(u32, State)]) -> Vec<String> {
    let mut steps = Vec::new();
    let mut at = parents.len() - 1;
    while at != 0 {
        let (parent, state) = parents[at];
        let mut out = Vec::new();
        Steps::all(rules, &parents[parent as usize].1, &mut out);
        let step = out.into_iter().find(|(_, next)| {
            let mut next = *next;
            heal(&mut next);
            next == state
        });
        steps.push(step.map_or_else(|| "?".to_owned(), |(step, _)| step.to_string()));
        at = parent as usize;
    }
    steps.reverse();
    steps
}

impl Found {
    fn note(&mut self, rules: &Rules, state: &State, fold: &Fold) {
        let done = state
            .writers
            .iter()
            .take(rules.wishes.len())
            .all(|writer| matches!(writer.phase, phase::DONE | phase::OUTRUN));
        self.all_committed += u64::from(done);
        self.condemned += u64::from(fold.condemned != 0);
        self.replaced += u64::from(fold.replaced != 0);
        self.rerooted += u64::from(fold.is_live(0) && fold.root != 0);
        self.outrun += u64::from(state.writers.iter().any(|writer| writer.phase == phase::OUTRUN));
        self.restored += u64::from(state.restorer.phase == phase::DONE);
        let damaged = (0..4).any(|snapshot| fold.is_live(snapshot) && state.lost[usize::from(snapshot)] != 0);
        self.pruned_though_damaged += u64::from(damaged && fold.pruned_after_damage);
        self.longest_log = self.longest_log.max(state.len);
        debug_assert!(state.log[usize::from(state.len)..].iter().all(|entry| *entry == Entry::Nothing));
    }
}
