//! Clients that people have read what `snap serve` serves, and find what was saved: boto3, s3fs, pyarrow, obstore, DuckDB.
//!
//! `fixtures/query.py` reads and compares. It needs a Python (`SNAP_QUERY_PYTHON`) with what `fixtures/requirements-query.txt` names;
//! without it this test is passed over. `SNAP_QUERY_FOLDER` names another folder of Avro files to save and read than the fixtures.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is a test"
)]

use std::path::PathBuf;
use std::process::Command;

use crate::cli::{Snap, text};
use crate::serve::Server;

#[test]
fn clients_read_what_was_saved() {
    let Some(python) = std::env::var_os("SNAP_QUERY_PYTHON").filter(|python| !python.is_empty()) else {
        eprintln!("SKIPPED: SNAP_QUERY_PYTHON names no Python with the clients");
        return;
    };
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folder = std::env::var_os("SNAP_QUERY_FOLDER").map_or_else(|| fixtures.join("nights"), PathBuf::from);
    let folder = folder.canonicalize().unwrap();
    let snap = Snap::quick();
    snap.ok(&["init", "--encryption", "none"]);
    snap.ends(0, &["create", "--quiet", "--series", "s", &text(&folder)]);
    let server = Server::start(&snap, &[]);
    let mut command = Command::new(python);
    command.arg(fixtures.join("query.py")).arg(format!("http://127.0.0.1:{}", server.port)).arg(&server.bucket);
    command.args([&server.keys.access_key, &server.keys.secret_key]).arg(&folder);
    let prefix = text(&folder);
    let output = command.arg(prefix.trim_start_matches('/')).arg("1").output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout).trim());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.end(), Some(0));
}
