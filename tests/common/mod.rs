//! What several tests need.

#![allow(dead_code, reason = "each test uses a part")]

use std::process::Command;

/// Runs the ignored test `inner` of this very test program with mount rights of its own, which end with it. `mounts`
/// is shell text that mounts; `folder` reaches it and the test as `$FOLDER`. False, and said so, where the system
/// does not permit it.
pub(crate) fn with_mounts(folder: &std::path::Path, mounts: &str, inner: &str) -> bool {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--map-root-user", "sh", "-ec", script, "sh"]).env("FOLDER", folder);
        command
    };
    if !unshare(mounts).output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED {inner}: this system does not let tests mount file systems");
        return false;
    }
    let script = format!("{mounts}; exec \"$1\" --exact \"$2\" --ignored --nocapture");
    let program = std::env::current_exe().unwrap();
    let output = unshare(&script).arg(program).arg(inner).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{inner}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{inner} did not run: {said}");
    true
}
