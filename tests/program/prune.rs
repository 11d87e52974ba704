//! `snap prune` as people and programs call it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;

use cli::Snap;

#[test]
fn a_prune_says_what_it_does() {
    let snap = Snap::new();
    snap.write("data/one", vec![1; 50_000]);
    snap.write("data/two", "two");
    snap.ok(&["create", "data"]);
    let plan = snap.ok(&["prune", "--dry-run"]);
    assert!(plan.stdout.contains("kept:") && plan.stdout.contains("unused and kept: 0 B"), "{}", plan.stdout);
    let pruned = snap.ok(&["gc", "--max-unused", "0", "--grace", "0"]);
    assert!(pruned.stdout.contains("deleted 0 condemned packs"), "{}", pruned.stdout);
    let summary = snap.ok(&["prune", "--json", "--grace", "12h"]).summary();
    assert_eq!(
        (&summary["snapshots"], &summary["lost_chunks"], &summary["dry_run"]),
        (&1.into(), &0.into(), &false.into())
    );
    assert_eq!(summary["condemned"]["packs"], 0);
    let packs = snap.ok(&["prune", "--json", "-n"]).objects("pack");
    assert!(
        !packs.is_empty() && packs.iter().all(|pack| pack["reason"] == "used" && pack["goes"] == false),
        "{packs:?}"
    );
    assert_eq!(snap.ok(&["prune", "-q"]).stdout, "");
    snap.ok(&["check", "--read-data"]);
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let snap = Snap::new();
    for wrong in [["--max-unused", "120%"], ["--grace", "soon"], ["--max-repack-size", "much"]] {
        snap.ends(2, &["prune", wrong[0], wrong[1]]);
    }
    assert_eq!(snap.ends(10, &["-r", "nowhere", "prune"]).code, 10);
}
