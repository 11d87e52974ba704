//! What snapshots hold and cost, from the command line.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;

use std::fs;
use std::path::Path;

use cli::Snap;
use serde_json::Value;

const NIGHTS: [&str; 3] = ["2026-03-01", "2026-03-02", "2026-03-03"];

/// A repository with three nights of three tables, and a file of its own for each night.
fn three_nights() -> Snap {
    let snap = Snap::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nights");
    for night in NIGHTS {
        for table in ["orders", "readings", "stations"] {
            let file = format!("{table}.avro");
            snap.write(&format!("tables/{file}"), fs::read(fixtures.join(night).join(&file)).unwrap());
        }
        snap.write("tables/night.txt", night.repeat(500));
        snap.ok(&["create", "tables", "--series", "tables", "--time", &format!("{night} 12:00")]);
    }
    snap
}

fn number(object: &Value, path: &str) -> u64 {
    object.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {object}"))
}

#[test]
fn each_night_adds_what_is_new_and_all_together_take_what_is_there() {
    let snap = three_nights();
    let ran = snap.ok(&["stats", "--json"]);
    let (nights, summary) = (ran.objects("snapshot"), ran.summary());
    assert_eq!((nights.len(), number(&summary, "/snapshots")), (3, 3));
    let sum = |path: &str| nights.iter().map(|night| number(night, path)).sum::<u64>();
    for field in ["files", "bytes", "bytes_decoded", "avro_files", "avro_records"] {
        assert_eq!(sum(&format!("/{field}")), number(&summary, &format!("/{field}")), "{field}");
    }
    let files: u64 = fs::read_dir(snap.work("tables")).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(number(&nights[2], "/bytes"), files);
    assert_eq!((number(&nights[2], "/files"), number(&nights[2], "/avro_files")), (4, 3));
    for field in ["chunks", "bytes", "bytes_stored"] {
        let whole = number(&summary, &format!("/unique/{field}"));
        assert_eq!(sum(&format!("/added/{field}")), whole, "each chunk is new once: {field}");
        for table in ["by_encoding", "by_kind"] {
            let parts = summary[table].as_object().unwrap().values().map(|part| number(part, &format!("/{field}")));
            assert_eq!(parts.sum::<u64>(), whole, "{table}");
        }
        assert_eq!(number(&summary, &format!("/only/{field}")), whole, "there are no others");
        assert_eq!(number(&summary, &format!("/unused/{field}")), 0);
    }
    assert!(nights.iter().all(|night| number(night, "/only/chunks") > 2), "root, rows and the text of the night");
    assert!(number(&nights[1], "/only/chunks") <= number(&nights[1], "/added/chunks"));
    assert_eq!(nights[2]["only"], nights[2]["added"], "nobody came after it");
    let objects = &summary["repository"];
    let taken = number(&summary, "/unique/bytes_stored");
    assert!(taken < number(objects, "/pack_bytes") && number(objects, "/packs") == 3);
    assert!(number(objects, "/index_bytes") > 0 && number(objects, "/log_bytes") > 0);
    assert!(summary["deduplication"].as_f64() > Some(1.0) && summary["compression"].as_f64() > Some(1.0));
    assert_eq!(number(&summary, "/unreadable"), 0);
}

#[test]
fn some_snapshots_are_looked_at_and_what_they_share_with_others_is_not_theirs_alone() {
    let snap = three_nights();
    let all = snap.ok(&["stats", "--json"]).objects("snapshot");
    let ran = snap.ok(&["stats", "latest~1", "--json"]);
    assert_eq!(ran.objects("snapshot"), &all[1..2], "the same figures, whoever else is asked about");
    let (summary, night) = (ran.summary(), &all[1]);
    assert_eq!(summary["only"], night["only"]);
    assert!(number(&summary, "/unique/chunks") > number(night, "/only/chunks"));
    assert_eq!(number(&summary, "/bytes"), number(night, "/bytes"));

    snap.ok(&["create", "tables", "--series", "other"]);
    let other = snap.ok(&["stats", "--series", "other", "--json"]).objects("snapshot");
    assert!(number(&other[0], "/added/bytes") < 4000, "all but its root was there: {}", other[0]);
    assert_eq!(number(&other[0], "/bytes"), number(&all[2], "/bytes"));
    let series = snap.ok(&["stats", "--series", "tables", "--json"]);
    assert_eq!(series.objects("snapshot").len(), 3);
    assert!(number(&series.summary(), "/only/bytes") < number(&series.summary(), "/unique/bytes"));
    for (before, now) in all.iter().zip(series.objects("snapshot")) {
        assert_eq!(before["added"], now["added"]);
    }
}

#[test]
fn what_no_snapshot_needs_any_more_is_unused() {
    let snap = three_nights();
    let first = snap.ok(&["stats", "--json"]);
    let only = number(&first.objects("snapshot")[0], "/only/bytes_stored");
    let id = first.objects("snapshot")[0]["id"].as_str().unwrap().to_owned();
    snap.ok(&["forget", &id]);
    let now = snap.ok(&["stats", "--json", "--total"]);
    assert_eq!(now.objects("snapshot").len(), 0);
    assert_eq!(number(&now.summary(), "/unused/bytes_stored"), only);
    let later = snap.ok(&["stats", "--json"]).objects("snapshot");
    assert!(number(&later[0], "/added/bytes") > number(&first.objects("snapshot")[1], "/added/bytes"));
}

#[test]
fn people_get_tables() {
    let snap = three_nights();
    let text = snap.ok(&["stats"]).stdout;
    for word in ["Stored", "Only here", "Deduplication", "records", "zstd", "3 snapshots, all there are"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!snap.ok(&["stats", "--total"]).stdout.contains("Only here"));
    assert!(snap.ok(&["stats", "latest"]).stdout.contains("1 snapshot, not all"));
    snap.ends(2, &["stats", "latest:tables"]);
    snap.ends(1, &["stats", "ffff"]);
    let empty = Snap::new();
    assert!(empty.ok(&["stats"]).stdout.contains("0 snapshots"));
    assert_eq!(number(&empty.ok(&["stats", "--json"]).summary(), "/unique/chunks"), 0);
}

#[test]
fn losses_are_told() {
    let snap = three_nights();
    let packs = fs::read_dir(snap.path("repository/packs")).unwrap();
    let packs = packs.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let largest = packs.map(|file| file.unwrap().path()).max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    fs::remove_file(largest).unwrap();
    let ran = snap.ends(0, &["stats", "--json"]);
    assert!(ran.stderr.contains("cannot be read"), "{}", ran.stderr);
    assert!(number(&ran.summary(), "/unreadable") > 0);
}
