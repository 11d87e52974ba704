//! Removing snapshots, and bringing them back, from the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;

use std::fs;
use std::path::{Path, PathBuf};

use cli::{Ran, Snap, finish};

/// A file of the fixtures.
fn fixture(name: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    fs::read(path).unwrap()
}

/// Saves `data` at a time, as one of a series; gives the snapshot's id.
fn save(snap: &Snap, series: &str, time: &str, tags: &str) -> String {
    let mut arguments = vec!["create", "data", "--series", series, "--time", time, "--json"];
    if !tags.is_empty() {
        arguments.extend(["--tag", tags]);
    }
    let ran = snap.run(&arguments);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.summary()["snapshot_id"].as_str().unwrap().to_owned()
}

/// A repository with one small file, which says when it was saved, at noon of each of these days.
fn days(days: &[&str]) -> (Snap, Vec<String>) {
    let snap = Snap::new();
    let ids = days.iter().map(|day| {
        snap.write("data/day.txt", format!("this is {day}. ").repeat(200));
        save(&snap, "days", &format!("{day} 12:00"), "")
    });
    let ids = ids.collect();
    (snap, ids)
}

/// The ids of the snapshots that there are, in order.
fn there(snap: &Snap) -> Vec<String> {
    let listed = snap.ok(&["snapshots", "--json"]).objects("snapshot");
    listed.iter().map(|root| root["id"].as_str().unwrap().to_owned()).collect()
}

/// The days on which the snapshots were made that are kept, with the reasons.
fn kept(ran: &Ran) -> Vec<(String, Vec<String>)> {
    let keep = ran.objects("snapshot").into_iter().filter(|object| object["action"] == "keep");
    keep.map(|object| {
        let reasons = object["reasons"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap().to_owned());
        (object["time"].as_str().unwrap()[..10].to_owned(), reasons.collect())
    })
    .collect()
}

#[test]
fn a_policy_thins_out_a_series_and_says_why_the_rest_stays() {
    let names = ["2025-01-05", "2025-01-31", "2025-02-10", "2025-02-27", "2025-02-28", "2025-03-01"];
    let (snap, ids) = days(&names);
    let rules = ["--keep-daily", "2", "--keep-monthly", "12"];
    let dry = snap.ok(&[&["forget", "--dry-run", "--json"][..], &rules].concat());
    let says = |date: &str, reasons: &[&str]| (date.to_owned(), reasons.iter().map(|r| (*r).to_owned()).collect());
    assert_eq!(
        kept(&dry),
        [
            says("2025-01-05", &["oldest monthly snapshot"]),
            says("2025-01-31", &["monthly snapshot"]),
            says("2025-02-28", &["daily snapshot", "monthly snapshot"]),
            says("2025-03-01", &["daily snapshot", "monthly snapshot"]),
        ]
    );
    let summary = dry.summary();
    assert_eq!((&summary["removed"], &summary["kept"], &summary["dry_run"]), (&2.into(), &4.into(), &true.into()));
    assert_eq!(there(&snap), ids, "nothing happened yet");

    let done = snap.ok(&[&["forget"][..], &rules].concat());
    assert!(done.stdout.contains("removed 2 snapshots, kept 4"), "{}", done.stdout);
    assert!(done.stdout.contains("series days:") && done.stdout.contains("oldest monthly snapshot"), "{}", done.stdout);
    let row = done.lines().into_iter().find(|line| line.starts_with(&ids[2][..8])).unwrap();
    assert!(row.contains("remove"), "{row}");
    assert_eq!(there(&snap), [&ids[..2], &ids[4..]].concat());
    let again = snap.ok(&[&["forget", "--json"][..], &rules].concat());
    assert_eq!((again.summary()["removed"].as_u64(), again.summary()["bytes_freed"].is_null()), (Some(0), true));
    assert_eq!(snap.ok(&["check", "--read-data", "--json"]).summary()["problems"], 0);
    snap.ok(&["restore", &ids[0], "--target", "out"]);
    assert_eq!(fs::read_to_string(snap.work("out/data/day.txt")).unwrap(), "this is 2025-01-05. ".repeat(200));
}

#[test]
fn what_removing_frees_is_what_only_the_removed_ones_need() {
    let snap = Snap::new();
    snap.write("data/same.bin", fixture("nights/2026-03-01/orders.avro"));
    let mut ids = Vec::new();
    for (day, table) in ["readings", "stations", "readings"].iter().enumerate() {
        snap.write("data/other.avro", fixture(&format!("nights/2026-03-0{}/{table}.avro", day + 1)));
        ids.push(save(&snap, "s", &format!("2025-06-0{} 12:00", day + 1), ""));
    }
    let frees = |arguments: &[&str]| -> u64 {
        let ran = snap.ok(&[&["forget", "--dry-run", "--json", "--allow-losing-sound-files"][..], arguments].concat());
        assert_eq!(ran.summary()["unreadable"], 0);
        ran.summary()["bytes_freed"].as_u64().unwrap()
    };
    let each: Vec<u64> = ids.iter().map(|id| frees(&[id])).collect();
    let only: Vec<u64> = snap.ok(&["stats", "--json"]).objects("snapshot").iter().map(only_bytes).collect();
    assert_eq!(each, only, "stats and forget agree");
    let all = frees(&[&ids[0], &ids[1], &ids[2]]);
    assert!(all > each.iter().sum::<u64>(), "what two of them share goes with the second: {all}, {each:?}");
    let stored = snap.ok(&["stats", "--json"]).summary()["unique"]["bytes_stored"].as_u64().unwrap();
    assert_eq!(all, stored);
    let ran = snap.ok(&["forget", "--dry-run", "--json", "--no-size", &ids[0]]);
    assert!(ran.summary()["bytes_freed"].is_null());
}

fn only_bytes(snapshot: &serde_json::Value) -> u64 {
    snapshot["only"]["bytes_stored"].as_u64().unwrap()
}

#[test]
fn series_hosts_and_tags_are_groups_of_their_own() {
    let snap = Snap::new();
    snap.write("data/x", "x");
    for (series, time, tags) in [
        ("nightly", "2025-05-01", ""),
        ("nightly", "2025-05-02", "good"),
        ("nightly", "2025-05-03", ""),
        ("monthly", "2025-04-01", "good"),
        ("monthly", "2025-05-01", ""),
    ] {
        save(&snap, series, time, tags);
    }
    let kept = |arguments: &[&str]| -> usize {
        let ran = snap.ok(&[&["forget", "-n", "--json", "-l", "1"][..], arguments].concat());
        ran.summary()["kept"].as_u64().unwrap() as usize
    };
    assert_eq!(kept(&[]), 2);
    assert_eq!(kept(&["--group-by", "series,tags"]), 4);
    assert_eq!(kept(&["--group-by", "host"]), 1);
    assert_eq!(kept(&["-g", "none"]), 1);
    assert_eq!(kept(&["--group-by", "host,paths"]), 1);
    assert_eq!(kept(&["--keep-tag", "good"]), 4);
    assert_eq!(kept(&["--keep-tag", ","]), 3);
    assert_eq!(kept(&["--series", "nightly"]), 1);
    assert_eq!(kept(&["--keep-within", "36h"]), 3);
    assert_eq!(kept(&["--keep-weekly", "unlimited"]), 4);
    assert_eq!(kept(&["--keep-daily", "-1"]), 5);
    for wrong in ["hots", ""] {
        snap.ends(2, &["forget", "-l", "1", "--group-by", wrong]);
    }
}

#[test]
fn nothing_is_removed_unless_it_is_clear_what() {
    let (snap, ids) = days(&["2025-01-01", "2025-01-02"]);
    let says = |code: i32, arguments: &[&str]| {
        let ran = snap.ends(code, &[&["forget"][..], arguments].concat());
        assert_eq!(there(&snap), ids, "{arguments:?}");
        ran.stderr
    };
    assert!(says(2, &[]).contains("nothing says which"));
    assert!(says(2, &["--keep-last", "0"]).contains("nothing says which"));
    assert!(says(2, &["--keep-last", "1", &ids[0]]).contains("not both"));
    assert!(says(2, &["--unsafe-allow-remove-all"]).contains("--host"));
    assert!(says(2, &["--keep-within", "1x"]).contains("no duration"));
    assert!(says(2, &["--keep-last", "-2"]).contains("neither a number"));
    assert!(says(2, &["latest:data"]).contains("no path goes here"));
    assert!(says(2, &["--undo", "--keep-last", "1"]).contains("cannot be used with"));
    assert!(says(1, &["--keep-tag", "golden"]).contains("no rule keeps any of the 2 snapshots of series days"));
    assert!(says(1, &["ffff"]).contains("no snapshot ffff"));
    let none = snap.ok(&["forget", "--keep-last", "1", "--host", "elsewhere", "--json"]);
    assert_eq!((none.summary()["removed"].as_u64(), there(&snap)), (Some(0), ids.clone()));

    snap.ok(&["forget", "--keep-tag", "golden", "--unsafe-allow-remove-all"]);
    assert_eq!(there(&snap).len(), 0);
    snap.ok(&["forget", "--undo"]);
    assert_eq!(there(&snap), ids);
    snap.ok(&["forget", "--unsafe-allow-remove-all", "--series", "days"]);
    assert_eq!(there(&snap).len(), 0);
}

#[test]
fn snapshots_dated_in_the_future_are_left_alone() {
    let (snap, ids) = days(&["2025-01-01", "2025-01-02", "2199-01-01"]);
    let ran = snap.ok(&["forget", "--keep-last", "1", "--json"]);
    assert_eq!(kept(&ran).iter().map(|(day, _)| &**day).collect::<Vec<_>>(), ["2025-01-02", "2199-01-01"]);
    assert_eq!(there(&snap), &ids[1..]);
    snap.ok(&["forget", &ids[2]]);
    assert_eq!(there(&snap), &ids[1..2], "by name it goes");
}

#[test]
fn days_are_those_of_the_clock_on_the_wall() {
    let snap = Snap::new();
    snap.write("data/x", "x");
    // 23:30 and 00:30 in New York are one day in UTC.
    for time in ["2025-07-01T03:30:00Z", "2025-07-01T04:30:00Z", "2025-07-01T05:30:00Z"] {
        save(&snap, "s", time, "");
    }
    let kept = |zone: &str| {
        let mut command = snap.command(&["forget", "--keep-daily", "1", "--keep-within-daily", "2h", "-n", "--json"]);
        let ran = finish(command.env("TZ", zone));
        ran.summary()["kept"].as_u64().unwrap()
    };
    assert_eq!(kept("UTC"), 1);
    assert_eq!(kept("EST5EDT,M3.2.0,M11.1.0"), 1, "what is two hours older is not within two hours");
    let mut command = snap.command(&["forget", "--keep-daily", "2", "-n", "--json"]);
    let ran = finish(command.env("TZ", "EST5EDT,M3.2.0,M11.1.0"));
    let reasons: Vec<_> = ran.objects("snapshot").iter().map(|object| object["reasons"].to_string()).collect();
    assert_eq!(reasons, ["[\"daily snapshot\"]", "[]", "[\"daily snapshot\"]"]);
}

#[test]
fn the_last_sound_state_of_a_file_stays_while_later_ones_are_torn() {
    let snap = Snap::new();
    let sound = fixture("nights/2026-03-01/orders.avro");
    snap.write("data/orders.avro", &sound);
    snap.write("data/stations.avro", fixture("nights/2026-03-01/stations.avro"));
    let mut ids = vec![save(&snap, "s", "2025-01-01", "")];
    snap.write("data/orders.avro", fixture("nights/2026-03-02/orders.avro"));
    ids.push(save(&snap, "s", "2025-01-02", ""));
    for day in ["2025-01-03", "2025-01-04", "2025-01-05"] {
        snap.write("data/orders.avro", &sound[..sound.len() - 100]);
        snap.write("data/day", day);
        ids.push(save(&snap, "s", day, ""));
    }

    let ran = snap.ends(1, &["forget", &ids[1], "--json"]);
    assert!(ran.error()["message"].as_str().unwrap().contains("last with a sound data/orders.avro (torn in"));
    assert!(ran.error()["hint"].as_str().unwrap().contains("--allow-losing-sound-files"));
    assert_eq!(there(&snap).len(), 5);
    snap.ok(&["forget", &ids[0]]);
    snap.ok(&["forget", "--undo"]);

    let ran = snap.ends(0, &["forget", "--keep-last", "2", "--json"]);
    assert!(ran.stderr.contains("stays") && ran.stderr.contains("data/orders.avro"), "{}", ran.stderr);
    assert_eq!(there(&snap), [&ids[1..2], &ids[3..]].concat());
    let reasons = &kept(&ran)[0].1;
    assert!(reasons[0].starts_with("last with a sound data/orders.avro (torn in "), "{reasons:?}");

    snap.ok(&["forget", "--keep-last", "2", "--allow-losing-sound-files"]);
    assert_eq!(there(&snap), &ids[3..]);
}

#[test]
fn the_last_sound_state_stays_also_where_the_torn_file_is_gone_by_now() {
    let snap = Snap::new();
    let sound = fixture("nights/2026-03-01/orders.avro");
    snap.write("data/day", "0");
    snap.write("data/orders.avro", &sound);
    let first = save(&snap, "s", "2025-01-01", "");
    snap.write("data/orders.avro", &sound[..sound.len() - 100]);
    let torn = save(&snap, "s", "2025-01-02", "");
    fs::remove_file(snap.work("data/orders.avro")).unwrap();
    let mut gone = Vec::new();
    for day in ["2025-01-03", "2025-01-04"] {
        snap.write("data/day", day);
        gone.push(save(&snap, "s", day, ""));
    }
    // Nobody said that the loss was meant.
    let ran = snap.ends(0, &["forget", "--keep-last", "1", "--json"]);
    assert!(ran.stderr.contains("stays") && ran.stderr.contains("(missing in"), "{}", ran.stderr);
    assert_eq!(there(&snap), [first.clone(), gone[1].clone()]);
    let ran = snap.ends(1, &["forget", &first]);
    assert!(ran.stderr.contains("last with a sound data/orders.avro"), "{}", ran.stderr);
    assert!(!there(&snap).contains(&torn));
    // What the root remembers of it leaves nothing out, so it is in the way of no restore that deletes.
    snap.ok(&["restore", "latest", "--target", "out", "--delete"]);
    // Once it is said, it may go.
    snap.ok(&["create", "data", "--series", "s", "--time", "2025-01-05", "--accept-losses"]);
    snap.write("data/day", "6");
    let last = save(&snap, "s", "2025-01-06", "");
    snap.ok(&["forget", "--keep-last", "1"]);
    assert_eq!(there(&snap), [last]);
}

#[test]
fn where_the_sound_state_stays_otherwise_its_snapshots_may_go() {
    let snap = Snap::new();
    let sound = fixture("nights/2026-03-01/orders.avro");
    for (day, file) in [(1, &sound[..]), (2, &sound[..]), (3, &sound[..sound.len() - 100]), (4, &sound[..])] {
        snap.write("data/orders.avro", file);
        save(&snap, "s", &format!("2025-01-0{day}"), if day == 1 { "first" } else { "" });
    }
    let ids = there(&snap);
    // The same bytes are in the first one, too.
    snap.ok(&["forget", &ids[1]]);
    // And in the last one, so all others may go.
    snap.ok(&["forget", "--keep-last", "1"]);
    assert_eq!(there(&snap), &ids[3..]);
    snap.ok(&["forget", "--undo"]);
    // But if the torn one alone were to stay, the last sound one does.
    snap.ends(1, &["forget", &ids[0], &ids[3]]);
    // With all of them gone there is nothing left to be wrong.
    snap.ok(&["forget", &ids[0], &ids[2], &ids[3]]);
    assert_eq!(there(&snap).len(), 0);
}

#[test]
fn what_was_removed_is_listed_and_comes_back() {
    let (snap, ids) = days(&["2025-01-01", "2025-01-02", "2025-01-03", "2025-01-04"]);
    snap.ok(&["tag", &ids[0], "--set", "dear"]);
    snap.ok(&["forget", &ids[0]]);
    snap.ok(&["forget", "--keep-last", "1"]);
    assert_eq!(there(&snap), &ids[3..]);
    snap.ends(1, &["ls", &ids[1]]);

    let listed = snap.ok(&["forget", "--undo", "--dry-run"]);
    assert_eq!(listed.lines().len(), 5, "{}", listed.stdout);
    assert!(listed.lines()[1].starts_with(&ids[0][..8]) && !listed.lines()[1].contains("would come back"));
    assert!(listed.lines()[2].starts_with(&ids[1][..8]) && listed.lines()[2].contains("would come back"));
    let objects = snap.ok(&["forget", "--undo", "-n", "--json"]).objects("removed_snapshot");
    assert_eq!(objects.iter().map(|object| object["chosen"] == true).collect::<Vec<_>>(), [false, true, true]);
    assert!(objects[0]["removed_at"].is_string() && objects[0]["series"] == "days");

    let undone = snap.ok(&["forget", "--undo", "--json"]);
    assert_eq!((undone.summary()["restored"].as_u64(), undone.summary()["swept"].as_u64()), (Some(2), Some(0)));
    assert_eq!(there(&snap), &ids[1..]);
    snap.ok(&["forget", "--undo", &ids[0][..6]]);
    assert_eq!(there(&snap), ids);
    assert_eq!(snap.ok(&["snapshots", "--json"]).objects("snapshot")[0]["tags"][0], "dear", "as it was");
    let nothing = snap.ok(&["forget", "--undo"]);
    assert!(nothing.stdout.contains("brought back 0 snapshots"), "{}", nothing.stdout);
    snap.ends(1, &["forget", "--undo", "ffff"]);
    assert_eq!(snap.ok(&["check", "--read-data", "--json"]).summary()["problems"], 0);
    snap.ok(&["restore", &ids[0], "--target", "out"]);
    assert_eq!(fs::read_to_string(snap.work("out/data/day.txt")).unwrap(), "this is 2025-01-01. ".repeat(200));
}

#[test]
fn what_needs_lost_packs_does_not_come_back() {
    let (snap, ids) = days(&["2025-01-01"]);
    snap.write("data/day.txt", "another");
    let before: Vec<PathBuf> = packs(&snap);
    save(&snap, "days", "2025-01-02", "");
    snap.ok(&["forget", &ids[0]]);
    for pack in before {
        fs::remove_file(pack).unwrap();
    }
    // As if a collection of garbage had taken them out of the index.
    fs::remove_dir_all(snap.path("home").join(".cache")).unwrap();
    for object in fs::read_dir(snap.path("repository/index")).unwrap() {
        let path = object.unwrap().path();
        if path.is_file() && fs::metadata(&path).unwrap().modified().unwrap() < changed(&snap) {
            fs::remove_file(path).unwrap();
        }
    }
    let ran = snap.ends(1, &["forget", "--undo", "--json"]);
    assert_eq!(ran.objects("removed_snapshot")[0]["outcome"], "swept");
    assert_eq!(ran.summary()["swept"], 1);
}

fn packs(snap: &Snap) -> Vec<PathBuf> {
    let folders = fs::read_dir(snap.path("repository/packs")).unwrap();
    folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap()).map(|file| file.unwrap().path()).collect()
}

/// When the last snapshot was begun to be written.
fn changed(snap: &Snap) -> std::time::SystemTime {
    let packs = packs(snap);
    packs.iter().map(|pack| fs::metadata(pack).unwrap().modified().unwrap()).max().unwrap()
}

#[test]
fn a_snapshot_whose_root_cannot_be_read_is_removed_by_name() {
    let (snap, ids) = days(&["2025-01-01"]);
    let lost = packs(&snap);
    snap.write("data/day.txt", "another");
    let second = save(&snap, "days", "2025-01-02", "");
    for pack in lost {
        fs::remove_file(pack).unwrap();
    }
    // This machine keeps roots that it has read.
    fs::remove_dir_all(snap.path("home/.cache")).unwrap();
    let ran = snap.ends(0, &["forget", "--keep-last", "1"]);
    assert!(ran.stderr.contains("cannot be read"), "{}", ran.stderr);
    snap.ends(0, &["forget", &ids[0][..8]]);
    assert_eq!(there(&snap), [second]);
}
