//! The protocol of the commit log, every interleaving of it: writers, pruners, forget, undo, restore, check and the disk
//! take their steps in any order, read logs that end anywhere, die and begin again, and their deletes land whenever they
//! like. In no state has a live snapshot lost a chunk that damage did not take. Then one rule after the other is left
//! out, and each time the search has to find what goes wrong: that is how we know that it looks.
//!
//! The rules are those of `docs/format.md` ("Log entry"); each kind of step in `protocol_model/steps.rs` names the
//! functions that take it in the library.
//!
//! `SNAP_MODEL=small` (the default) stays below 20 seconds; `large` searches bounds with many millions of states, and
//! `huge` needs some gigabytes of memory. Use `--release` for these.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, unreachable_pub)]

#[path = "protocol_model/search.rs"]
mod search;
#[path = "protocol_model/state.rs"]
mod state;
#[path = "protocol_model/steps.rs"]
mod steps;

use std::time::Instant;

use search::{Found, search};
use state::{A, B, Entry, LOG, Pruner, Restorer, SNAPSHOTS, State, Writer};
use steps::{Role, Rules, Weakness, Wish};

/// A pack that is there in the beginning: chunks that it holds whole, chunks that it holds as deltas, and whether the log
/// names its index object.
struct Pack(u8, u8, bool);

/// A world before anybody does anything: snapshot 0 exists and is made of `first`.
fn world(rules: &Rules, packs: &[Pack]) -> State {
    let mut state = State {
        log: [Entry::Nothing; LOG],
        len: 0,
        packs: packs.len() as u8,
        full: [0; 2],
        delta: [0; 2],
        present: (1 << packs.len()) - 1,
        rotten: 0,
        published: (1 << packs.len()) - 1,
        merged: [0; 2],
        merges: 0,
        lost: [0; SNAPSHOTS],
        forgets: 0,
        rots: 0,
        crashes: 0,
        deletes: 0,
        again: 0,
        boundary: 0,
        writers: [Writer::default(); 3],
        pruners: [Pruner::default(); 2],
        restorer: Restorer::default(),
    };
    let mut objects = 0;
    for (n, Pack(full, delta, logged)) in packs.iter().enumerate() {
        for chunk in 0..2 {
            state.full[chunk] |= (full >> chunk & 1) << n;
            state.delta[chunk] |= (delta >> chunk & 1) << n;
        }
        objects |= u8::from(*logged) << n;
    }
    state.append(Entry::Add { snapshot: 0, root: 0, objects });
    assert_eq!(rules.first & !state.rebuildable(state.named_by(objects)), 0);
    state
}

const BOTH: Wish = Wish { chunks: A | B, source: A | B, role: Role::Saves };
const ONE: Wish = Wish { chunks: B, source: B, role: Role::Saves };
/// A file that did not change since the parent: its chunks are known from the manifest and never read.
const UNREAD: Wish = Wish { chunks: A | B, source: B, role: Role::Saves };
/// What was forgotten is to come back; there is no source any more.
const UNDO: Wish = Wish { chunks: A, source: 0, role: Role::Undoes };
/// What was stored as A is stored as B.
const SETTLE: Wish = Wish { chunks: B, source: B, role: Role::Settles };
/// B is added to how it is stored, and A stays.
const SETTLE_MORE: Wish = Wish { chunks: A | B, source: B, role: Role::Settles };
/// B is taken out of a snapshot of both.
const ERASE: Wish = Wish { chunks: A, source: 0, role: Role::Erases };

fn rules(wishes: &[Wish], log: u8, packs: u8) -> Rules {
    Rules {
        log,
        packs,
        wishes: wishes.to_vec(),
        pruners: 1,
        repack: false,
        merges: 0,
        restore: false,
        repair: false,
        first: A,
        weakness: None,
    }
}

/// Snapshot 0 is of chunk A. Pack 1 is what an interrupted run left; pack 2 holds both chunks once more.
fn duplicates(rules: &Rules) -> State {
    world(rules, &[Pack(A, 0, true), Pack(B, 0, false), Pack(A | B, 0, false)])
}

/// Snapshot 0 is of both chunks, and B is there as a delta of A alone.
fn deltas(rules: &Rules) -> State {
    world(rules, &[Pack(A, 0, true), Pack(0, B, true)])
}

fn level() -> usize {
    match std::env::var("SNAP_MODEL").as_deref() {
        Err(_) | Ok("small") => 0,
        Ok("large") => 1,
        Ok("huge") => 2,
        Ok(other) => panic!("SNAP_MODEL={other}: small, large or huge"),
    }
}

/// Searches everything within the bounds, and finds nothing wrong.
fn holds(what: &str, rules: &Rules, first: State) -> Found {
    let began = Instant::now();
    let found = search(rules, first, usize::MAX);
    println!(
        "{what}: {} states, {} transitions, log up to {} entries, {:.1?}; {found:?}",
        found.states,
        found.transitions,
        found.longest_log,
        began.elapsed()
    );
    if let Some(violation) = &found.violation {
        for (n, step) in violation.trace.iter().enumerate() {
            println!("{:3} {step}", n + 1);
        }
        panic!("{what}: {}", violation.what);
    }
    assert!(!found.cut_off && found.condemned > 0, "{found:?}");
    found
}

/// By how much the bounds grow with the level.
fn more(small: u8) -> u8 {
    small + level() as u8
}

#[test]
fn writers_a_pruner_and_a_forgetter_who_may_die_lose_nothing() {
    let mut rules = rules(&[BOTH, ONE], more(4), 4 + level().min(1) as u8);
    rules.repack = true;
    let mut first = duplicates(&rules);
    (first.forgets, first.crashes) = (1, 1);
    let found = holds("writers, pruner, forget, death", &rules, first);
    assert!(found.all_committed > 0);
}

#[test]
fn two_pruners_beside_two_writers_lose_nothing() {
    let mut rules = rules(&[BOTH, ONE], more(4), 4 + level().min(1) as u8);
    rules.pruners = 2;
    let found = holds("two writers, two pruners", &rules, duplicates(&rules));
    assert!(found.all_committed > 0);
}

#[test]
fn deltas_of_each_other_never_stand_alone() {
    let mut rules = rules(&[BOTH, UNREAD], 4, 4 + level().min(1) as u8);
    (rules.first, rules.repack) = (A | B, true);
    let mut first = deltas(&rules);
    first.forgets = 1;
    let found = holds("deltas, repacked", &rules, first);
    assert!(found.all_committed > 0);
}

#[test]
fn damage_takes_what_it_takes_and_no_more_and_stops_no_prune() {
    let mut rules = rules(&[BOTH], 5, 5);
    rules.repack = true;
    rules.pruners = 1 + level().min(1) as u8;
    let mut first = duplicates(&rules);
    first.rots = 1;
    let found = holds("damage", &rules, first);
    assert!(found.pruned_though_damaged > 0, "a damaged snapshot stopped prune");
    assert!(found.healed > 0, "what was stored again did not heal the hole");
}

#[test]
fn index_objects_may_be_merged_under_writers_and_restores() {
    let mut rules = rules(&[BOTH, ONE], more(4), 4);
    rules.merges = 1 + (level() > 1) as u8;
    let mut first = duplicates(&rules);
    first.forgets = u8::from(level() > 0);
    let found = holds("merged index objects", &rules, first);
    assert!(found.replaced > 0);
}

#[test]
fn a_restore_finds_what_it_needs_or_looks_again() {
    let mut rules = rules(&[BOTH], 4, 4 + u8::from(level() > 1));
    (rules.restore, rules.merges, rules.first, rules.repack) = (true, level().min(1) as u8, A | B, true);
    let mut first = deltas(&rules);
    first.forgets = 1;
    let found = holds("restore", &rules, first);
    assert!(found.restored > 0);
}

#[test]
fn what_was_forgotten_comes_back_whole_or_not_at_all() {
    let rules = rules(&[ONE, UNDO], more(5), 5);
    let mut first = duplicates(&rules);
    (first.forgets, first.crashes) = (1, level().min(1) as u8);
    let found = holds("forget and undo", &rules, first);
    assert!(found.all_committed > 0);
}

/// Leaves a rule out and expects the search to find what that leads to.
fn refuted(weakness: Weakness, rules: Rules, first: impl Fn(&Rules) -> State) {
    let rules = Rules { weakness: Some(weakness), ..rules };
    let found = search(&rules, first(&rules), 3_000_000);
    let violation =
        found.violation.unwrap_or_else(|| panic!("{weakness:?} was not refuted in {} states", found.states));
    println!(
        "{weakness:?}: refuted in {} steps, after {} states: {}",
        violation.trace.len(),
        found.states,
        violation.what
    );
    for (n, step) in violation.trace.iter().enumerate() {
        println!("{:3} {step}", n + 1);
    }
    // The same world with the rule in place has nothing wrong in it, as far as the search went.
    let sound = Rules { weakness: None, ..rules };
    assert!(search(&sound, first(&sound), found.states).violation.is_none());
}

#[test]
fn refuted_no_second_look_before_the_commit() {
    refuted(Weakness::NoRecheck, rules(&[BOTH, ONE], 4, 5), duplicates);
}

#[test]
fn refuted_condemning_whatever_came_between() {
    refuted(Weakness::UnconditionalCondemn, rules(&[BOTH, ONE], 4, 5), duplicates);
}

#[test]
fn refuted_names_that_are_used_again() {
    refuted(Weakness::NamesReused, rules(&[ONE], 4, 5), duplicates);
}

#[test]
fn refuted_deleting_old_entries_of_the_log() {
    refuted(Weakness::LogDeleted, rules(&[BOTH, ONE], 4, 5), duplicates);
}

#[test]
fn refuted_a_grace_period_and_one_more_look() {
    refuted(Weakness::GraceOnly, rules(&[BOTH, ONE], 4, 5), duplicates);
}

#[test]
fn refuted_a_location_is_enough() {
    let mut rules = rules(&[BOTH, BOTH], 5, 6);
    rules.pruners = 2;
    refuted(Weakness::LocatedIsEnough, rules, |rules| world(rules, &[Pack(A | B, 0, true)]));
}

#[test]
fn refuted_a_second_look_that_knows_no_damage() {
    refuted(Weakness::RecheckWithoutDamage, rules(&[BOTH], 4, 5), |rules| State { rots: 1, ..duplicates(rules) });
}

#[test]
fn refuted_a_pruner_that_relies_on_what_is_damaged() {
    refuted(Weakness::PruneCountsDamaged, rules(&[ONE], 4, 5), |rules| State { rots: 1, ..duplicates(rules) });
}

#[test]
fn refuted_deleting_before_the_log_says_so() {
    refuted(Weakness::SweepBeforeCondemn, rules(&[BOTH], 4, 5), duplicates);
}

#[test]
fn refuted_taking_a_condemnation_back() {
    refuted(Weakness::Uncondemn, rules(&[ONE], 5, 5), duplicates);
}

#[test]
fn refuted_an_index_object_before_its_pack() {
    refuted(Weakness::IndexBeforePack, rules(&[BOTH, ONE], 4, 5), duplicates);
}

#[test]
fn refuted_merging_without_what_seems_unused() {
    let mut rules = rules(&[ONE], 4, 4);
    rules.merges = 1;
    // Pack 1 is left of a snapshot that was removed: the log names it, and nobody uses it.
    refuted(Weakness::ReplaceDropsPacks, rules, |rules| world(rules, &[Pack(A, 0, true), Pack(B, 0, true)]));
}

#[test]
fn refuted_deleting_index_objects_before_the_log_says_so() {
    let mut rules = rules(&[ONE], 5, 4);
    rules.merges = 1;
    refuted(Weakness::ObjectsDeletedEarly, rules, duplicates);
}

#[test]
fn refuted_naming_index_objects_that_were_replaced() {
    let mut rules = rules(&[BOTH, ONE], 6, 4);
    rules.merges = 1;
    refuted(Weakness::NamesReplacedObjects, rules, duplicates);
}

#[test]
fn a_repair_beside_a_pruner_and_a_writer_drops_nothing_that_is_whole() {
    let mut rules = rules(&[ONE], more(5), 4);
    (rules.repair, rules.repack) = (true, true);
    let mut first = world(&rules, &[Pack(A, 0, true)]);
    first.rots = 1;
    holds("repair, pruner, writer, damage", &rules, first);
}

#[test]
fn refuted_a_repair_that_judges_by_an_old_log() {
    let mut rules = rules(&[ONE], 5, 4);
    (rules.repair, rules.repack) = (true, true);
    refuted(Weakness::RepairByOldLog, rules, |rules| world(rules, &[Pack(A, 0, true)]));
}

#[test]
fn refuted_a_restore_that_does_not_look_again() {
    let mut rules = rules(&[ONE], 4, 4);
    (rules.restore, rules.repack) = (true, true);
    refuted(Weakness::RestoreGivesUp, rules, |rules| world(rules, &[Pack(A, 0, true)]));
}

#[test]
fn refuted_repacking_a_delta_without_its_base() {
    let mut rules = rules(&[ONE], 4, 5);
    // Nobody uses A but as the base of B.
    (rules.first, rules.repack) = (B, true);
    refuted(Weakness::RepackForgetsBases, rules, |rules| world(rules, &[Pack(A, B, true)]));
}

#[test]
fn a_root_is_replaced_beside_writers_and_a_pruner_and_nothing_is_lost() {
    let mut rules = rules(&[SETTLE, ONE], more(4), 4 + level().min(1) as u8);
    rules.repack = true;
    let mut first = duplicates(&rules);
    (first.forgets, first.crashes) = (1, level().min(1) as u8);
    let found = holds("a root is replaced", &rules, first);
    assert!(found.rerooted > 0 && found.outrun > 0, "{found:?}");
}

#[test]
fn of_two_that_replace_one_root_one_learns_that_it_was_too_late() {
    let mut rules = rules(&[SETTLE_MORE, ERASE], more(4), 4);
    (rules.first, rules.pruners) = (A | B, 1 + level().min(1) as u8);
    let found = holds("two replace a root", &rules, deltas(&rules));
    assert!(found.rerooted > 0 && found.outrun > 0, "{found:?}");
}

#[test]
fn what_was_erased_does_not_come_back_with_an_undo() {
    let mut rules = rules(&[ERASE, UNDO], more(5), 4);
    rules.first = A | B;
    let mut first = deltas(&rules);
    first.forgets = 1 + level().min(1) as u8;
    let found = holds("erased, forgotten, undone", &rules, first);
    assert!(found.rerooted > 0 && found.all_committed > 0, "{found:?}");
}

#[test]
fn a_restore_goes_on_with_the_new_root() {
    let mut rules = rules(&[SETTLE], more(4), 4);
    rules.restore = true;
    let found = holds("restore, root replaced", &rules, duplicates(&rules));
    assert!(found.rerooted > 0 && found.restored > 0, "{found:?}");
}

#[test]
fn a_damaged_snapshot_may_have_its_root_replaced() {
    let mut rules = rules(&[SETTLE_MORE], 5, 4);
    (rules.first, rules.repack) = (A, true);
    let mut first = duplicates(&rules);
    first.rots = 1;
    let found = holds("damaged, root replaced", &rules, first);
    assert!(found.rerooted > 0, "{found:?}");
}

#[test]
fn refuted_replacing_a_root_without_a_second_look() {
    refuted(Weakness::ReplaceNoRecheck, rules(&[SETTLE, ONE], 4, 5), duplicates);
}

#[test]
fn refuted_replacing_a_root_whatever_it_is() {
    let mut rules = rules(&[SETTLE_MORE, ERASE], 5, 4);
    rules.first = A | B;
    refuted(Weakness::OldRootNotCompared, rules, deltas);
}

#[test]
fn refuted_saying_that_a_root_was_replaced_without_looking() {
    let mut rules = rules(&[SETTLE_MORE, ERASE], 5, 4);
    rules.first = A | B;
    refuted(Weakness::ReplaceUnaware, rules, deltas);
}

#[test]
fn refuted_bringing_back_the_first_root() {
    let mut rules = rules(&[ERASE, UNDO], 5, 4);
    rules.first = A | B;
    refuted(Weakness::UndoOfFirstRoot, rules, |rules| State { forgets: 1, ..deltas(rules) });
}

#[test]
fn refuted_a_pruner_that_follows_first_roots() {
    refuted(Weakness::PruneFollowsFirstRoot, rules(&[SETTLE], 4, 4), duplicates);
}

#[test]
fn refuted_condemning_what_a_new_root_came_to_need() {
    refuted(Weakness::UnconditionalCondemn, rules(&[SETTLE], 4, 4), duplicates);
}

#[test]
fn refuted_a_restore_that_keeps_the_old_root() {
    let mut rules = rules(&[SETTLE], 4, 4);
    rules.restore = true;
    refuted(Weakness::RestoreKeepsRoot, rules, duplicates);
}
