//! Tables that pyiceberg wrote, saved and moved by snap, are what pyiceberg and DuckDB read then.
//!
//! `fixtures/iceberg.py` writes `SNAP_ICEBERG=n` tables (20) from the seed `SNAP_ICEBERG_SEED`, and reads them; for `SNAP_ICEBERG_CHURN=n`
//! seconds (10) it writes one that drops its old states all the time. It needs a Python (`SNAP_ICEBERG_PYTHON`) with what
//! `fixtures/requirements-iceberg.txt` names; without it these tests are passed over.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cli::{Snap, text};

fn python() -> Option<Command> {
    let Some(python) = std::env::var_os("SNAP_ICEBERG_PYTHON").filter(|python| !python.is_empty()) else {
        eprintln!("SKIPPED: SNAP_ICEBERG_PYTHON names no Python with pyiceberg and DuckDB");
        return None;
    };
    let mut command = Command::new(python);
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/iceberg.py"));
    Some(command)
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A series for a table: a name without digits, since the program asks about series that differ in these alone.
fn series(number: usize) -> String {
    "t".repeat(number + 1)
}

/// Lets the readers read these tables and compare.
fn read(snap: &Snap, tables: &[Value]) {
    let list: String = tables.iter().map(|table| format!("{table}\n")).collect();
    let list = snap.write("read.jsonl", list);
    let output = python().unwrap().arg("read").arg(list).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", said.trim());
}

#[test]
fn tables_that_moved_are_read_elsewhere_by_others() {
    let Some(mut command) = python() else { return };
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    let (count, seed) = (number("SNAP_ICEBERG", 20), number("SNAP_ICEBERG_SEED", 1));
    println!("{count} tables from seed {seed}");
    let old = snap.work("old");
    fs::create_dir(&old).unwrap();
    let output = command.arg("write").arg(&old).args([count.to_string(), seed.to_string()]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = fs::read_to_string(old.join("tables.jsonl")).unwrap();
    let written: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (number, table) in written.iter().enumerate() {
        let series = series(number);
        let mut arguments = vec!["create", "--iceberg", table["metadata"].as_str().unwrap(), "--series", &series];
        // One half as it is now, one with all states.
        if number % 2 == 1 {
            arguments.push("--iceberg-history");
        }
        snap.ok(&arguments);
    }
    fs::rename(&old, snap.work("gone")).unwrap();
    let mut moved = Vec::new();
    for (number, table) in written.iter().enumerate() {
        let new = snap.work(&format!("new/{number}"));
        let map = format!("file://{}=file://{}", old.display(), new.display());
        let source = format!("{}:latest:{}", series(number), text(&old).trim_start_matches('/'));
        let restored = snap.ok(&["restore", &source, "--target", &text(&new), "--map", &map, "--json"]).summary();
        let metadata = table["metadata"].as_str().unwrap().replacen(&text(&old), &text(&new), 1);
        let states = if number % 2 == 1 { table["states"].clone() } else { Value::Null };
        let kept = restored["tables_moved"][0]["table_snapshots"].as_u64().unwrap();
        let expected = table["states"].as_object().unwrap().len() as u64;
        assert_eq!(kept, if number % 2 == 1 { expected } else { 1 });
        moved.push(json!({"metadata": metadata, "current": table["current"], "states": states}));
    }
    read(&snap, &moved);
    // In their old place they come back as they were.
    for number in 0..written.len() {
        snap.ok(&[
            "restore",
            &format!("{}:latest", series(number)),
            "--target",
            "/",
            "--include",
            &format!("{}/**", old.display()),
        ]);
    }
    read(
        &snap,
        &written
            .iter()
            .map(|table| json!({"metadata": table["metadata"], "current": table["current"], "states": null}))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn what_is_saved_of_a_table_that_drops_its_old_states_can_be_read() {
    let Some(mut command) = python() else { return };
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    let folder = snap.work("lake");
    fs::create_dir(&folder).unwrap();
    let seconds = number("SNAP_ICEBERG_CHURN", 10).to_string();
    let mut writer = command.arg("churn").arg(&folder).arg(seconds).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(writer.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (mut saved, mut refused, mut begun_again) = (0_u64, 0_u64, 0);
    let table = folder.join("wh/n/churned");
    while writer.try_wait().unwrap().is_none() {
        let ran = snap.run(&["create", "--iceberg", &text(&table), "--series", "s", "--json"]);
        match ran.code {
            0 => {
                saved += 1;
                begun_again += ran.summary()["iceberg"][0]["begun_again"].as_u64().unwrap();
            }
            // It never held still, or there was nothing yet.
            1 => refused += 1,
            _ => panic!("{}", ran.stderr),
        }
    }
    println!("{saved} snapshots, {refused} refused, begun again {begun_again} times");
    assert!(writer.wait().unwrap().success() && saved > 0);
    let mut tables = Vec::new();
    for number in 0..saved.min(20) {
        let new = text(&snap.work(&format!("new/{number}")));
        let (map, source) = (
            format!("{}={new}", folder.display()),
            format!("s:latest~{number}:{}", text(&folder).trim_start_matches('/')),
        );
        let restored = snap.ok(&["restore", &source, "--target", &new, "--map", &map, "--json"]).summary();
        let name = restored["tables_moved"][0]["metadata"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        tables
            .push(json!({"metadata": format!("{new}/wh/n/churned/metadata/{name}"), "current": null, "states": null}));
    }
    read(&snap, &tables);
}
