//! An exported manifest is read by other readers of Avro: fastavro, Python avro and polars, each in a version from PyPI.
//!
//! `SNAP_PYTHON` names a Python with what `fixtures/requirements.txt` lists; without it this is passed over.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::cli::{Snap, text};

/// Reads the manifest with each reader and prints what it found of some columns.
const READ: &str = r#"
import sys, json
path = sys.argv[1]
import fastavro
rows = list(fastavro.reader(open(path, "rb")))
short = [[r["path"], r["kind"], r["size"], r["mtime_seconds"], r["avro"] and r["avro"]["declared_records"]] for r in rows]
from avro.datafile import DataFileReader
from avro.io import DatumReader
other = list(DataFileReader(open(path, "rb"), DatumReader()))
assert [r["path"] for r in other] == [r["path"] for r in rows], "Python avro"
assert [r["avro"] for r in other] == [r["avro"] for r in rows], "Python avro"
import polars
frame = polars.read_avro(path)
assert frame["path"].to_list() == [r["path"] for r in rows], "polars"
assert frame["size"].to_list() == [r["size"] for r in rows], "polars"
assert frame["mtime"].to_list() == [r["mtime"] for r in rows], "polars"
assert frame["path_bytes"].to_list() == [r["path_bytes"] for r in rows], "polars"
print(json.dumps(short))
"#;

#[test]
fn other_readers_read_an_exported_manifest() {
    let Some(python) = std::env::var_os("SNAP_PYTHON") else {
        return eprintln!("SKIPPED: SNAP_PYTHON names no Python with fastavro, avro and polars");
    };
    let snap = Snap::bare();
    snap.ok(&["init", "--encryption", "none"]);
    fs::create_dir(snap.work("data")).unwrap();
    let avro = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/codecs/fastavro-deflate-64k.avro");
    fs::copy(avro, snap.work("data/table.avro")).unwrap();
    fs::write(snap.work("data/plain.txt"), "plain").unwrap();
    fs::write(snap.work("data").join(std::ffi::OsStr::from_bytes(b"not-\xff-utf8")), "x").unwrap();
    symlink("plain.txt", snap.work("data/link")).unwrap();
    snap.ok(&["create", "-q", "data"]);
    let manifest = text(&snap.path("manifest.avro"));
    snap.ok(&["manifest", "latest", "-o", &manifest]);
    let output = Command::new(python).args(["-c", READ, &manifest]).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    let rows: Vec<serde_json::Value> = serde_json::from_str(&said).unwrap();
    let row = |end: &str| rows.iter().find(|row| row[0].as_str().unwrap().ends_with(end)).unwrap();
    assert_eq!((row("plain.txt")[1].as_str(), row("plain.txt")[2].as_u64()), (Some("file"), Some(5)));
    assert_eq!(row("link")[1], "symlink");
    assert!(row("table.avro")[4].as_u64().unwrap() > 0, "{said}");
    assert_eq!(row("not-\u{fffd}-utf8")[2], 1);
    assert!(row("plain.txt")[3].as_i64().unwrap() > 1_700_000_000);
}
