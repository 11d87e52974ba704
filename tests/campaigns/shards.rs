//! One snapshot from several processes, beside the one that a single process makes: the same rows and recipes, how large the
//! repository is, how long it takes.
//!
//! `SNAP_SHARDS_FILES=n` files (400 by default), `SNAP_SHARDS=n` processes (4). The figures that are printed are those of the
//! machine; with all processes on one, they share its cores.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use avro_snap::snapshot::entry::FileEntry;
use avro_snap::storage::Local;
use avro_snap::store::{OpenOptions, Repository, Unlock};

use crate::cli::{Snap, text};
use crate::noise::noise;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Small files with contents of their own, a hundred with a second name, in directories of 500.
fn lake(snap: &Snap, files: u64) {
    for file in 0..files {
        let folder = snap.work(&format!("lake/d{:04}", file / 500));
        if file % 500 == 0 {
            fs::create_dir_all(&folder).unwrap();
        }
        let path = folder.join(format!("part-{file:07}.bin"));
        fs::write(&path, noise(file, 500 + (file * 37 % 3000) as usize)).unwrap();
        if file % (files / 100).max(1) == 0 {
            fs::hard_link(&path, snap.work(&format!("lake/d0000/name-{file}"))).unwrap();
        }
    }
}

fn bytes_of(folder: &Path) -> u64 {
    let (mut bytes, mut folders) = (0, vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let stat = entry.metadata().unwrap();
            if stat.is_dir() {
                folders.push(entry.path());
            } else {
                bytes += stat.len();
            }
        }
    }
    bytes
}

/// Processor time of the processes that have ended, in seconds, where the system says so: beside other work on the machine it
/// means more than the time that passes.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // Fields 16 and 17 of proc(5), in hundredths of a second; the first two are cut off.
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(13) + ticks(14)) / 100.0
}

/// The rows of the one snapshot of a repository. Whether a file was changed just before it was read is left out.
fn rows(place: &Path) -> Vec<FileEntry> {
    let backend = Arc::new(Local::new(place));
    let repository =
        Repository::open(backend, Unlock::Password(&mut || Ok(Vec::new())), &OpenOptions::default()).unwrap();
    let listing = avro_snap::Listing::read(&repository);
    assert_eq!((listing.snapshots.len(), listing.unreadable.len()), (1, 0));
    let mut reader = listing.snapshots[0].rows(&repository);
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row().unwrap() {
        rows.push(FileEntry { racy: false, ..row });
    }
    let totals = listing.snapshots[0].totals;
    assert_eq!(totals.files + totals.directories + totals.others, rows.len() as u64);
    rows
}

#[test]
fn parts_come_to_what_one_process_makes() {
    let (files, shards) = (number("SNAP_SHARDS_FILES", 400), number("SNAP_SHARDS", 4));
    let snap = Snap::bare();
    lake(&snap, files);
    let place = |name: &str| snap.path(name);
    let on = |name: &str, arguments: &[&str]| {
        let repository = text(&place(name));
        snap.process(&[&["-r", &repository, "--quiet"], arguments].concat())
    };
    let run =
        |name: &str, arguments: &[&str]| assert!(on(name, arguments).status().unwrap().success(), "{arguments:?}");
    for name in ["one", "many"] {
        // Without keys, equal chunks have equal names in both.
        run(name, &["init", "--encryption", "none"]);
    }
    let timed = |work: &dyn Fn()| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    let idle = processor_time();
    let one = timed(&|| run("one", &["create", "lake"]));
    let worked_one = processor_time() - idle;
    let mut merging = Duration::ZERO;
    let began = Instant::now();
    let parts: Vec<_> = (1..=shards)
        .map(|k| on("many", &["create", "lake", "--shard", &format!("{k}/{shards}"), "--run", "r"]).spawn().unwrap())
        .collect();
    for mut part in parts {
        assert!(part.wait().unwrap().success());
    }
    merging += timed(&|| run("many", &["merge", "--run", "r"]));
    let many = began.elapsed();
    let worked_many = processor_time() - idle - worked_one;
    let (expected, found) = (rows(&place("one")), rows(&place("many")));
    assert_eq!(expected.len(), found.len());
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found);
    }
    let links = found.iter().filter(|row| row.hard_link.is_some()).count();
    assert!(links >= 100, "{links}");
    let sizes = [bytes_of(&place("one")), bytes_of(&place("many"))];
    // What the parts leave is little, so that an ordinary prune tolerates it.
    run("many", &["prune", "--grace", "0", "--max-unused", "0"]);
    let pruned = bytes_of(&place("many"));
    run("many", &["check", "--read-data"]);
    let share = |bytes: u64| bytes as f64 / sizes[0] as f64;
    println!("{files} files, {} rows, {links} links; {shards} processes", found.len());
    println!(
        "time: one process {one:.1?}, all parts {many:.1?} ({:.2} times), {merging:.1?} of it for the merge",
        many.as_secs_f64() / one.as_secs_f64()
    );
    println!(
        "processor time: one process {worked_one:.1} s, all parts {worked_many:.1} s ({:.2} times)",
        worked_many / worked_one
    );
    println!(
        "repository: {} bytes by one process; by parts {} ({:.4} times), after a prune {pruned} ({:.4} times)",
        sizes[0],
        sizes[1],
        share(sizes[1]),
        share(pruned)
    );
    let rest = if files >= 10_000 { 1.01 } else { 1.5 };
    assert!(share(pruned) <= rest, "{}", share(pruned));
}
