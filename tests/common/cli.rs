//! The program as its users meet it: a home, a repository and a place for files of its own for each test.

#![allow(dead_code, reason = "each test uses a part")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The password of the repository.
pub(crate) const PASSWORD: &str = "correct horse";

/// A place where the program runs.
pub(crate) struct Snap {
    folder: tempfile::TempDir,
}

/// The program: this build's, or the one that `SNAP_PROGRAM` names. A campaign of hours runs one that was copied aside, so
/// that a build does not replace it on the way.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("SNAP_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_snap").into(), PathBuf::from)
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Snap {
    /// No repository yet.
    pub(crate) fn bare() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    /// The same in memory, where that is possible: for tests that write much, and need not wait until it lasts.
    pub(crate) fn quick() -> Self {
        Self::within(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn within(folder: tempfile::TempDir) -> Self {
        let snap = Self { folder };
        for name in ["home", "work"] {
            std::fs::create_dir(snap.path(name)).unwrap();
        }
        snap
    }

    /// With an encrypted repository, whose password is cheap to try.
    pub(crate) fn new() -> Self {
        let snap = Self::bare();
        snap.ok(&["init", "--kdf-memory", "8"]);
        snap
    }

    /// Something in the folder of this test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the program runs, and where relative paths count from.
    pub(crate) fn work(&self, name: &str) -> PathBuf {
        self.path("work").join(name)
    }

    /// Writes a file below the working directory, and the directories above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes a file with a password, which nobody else can read.
    pub(crate) fn password_file(&self, name: &str, password: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, format!("{password}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        text(&path)
    }

    /// The program, ready to run.
    pub(crate) fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        assert_cmd::Command::from_std(self.process(arguments))
    }

    /// The same for tests that deal with the process itself.
    pub(crate) fn process(&self, arguments: &[&str]) -> std::process::Command {
        self.prepared(program(), arguments)
    }

    /// A shell that runs this script, in which `"$0" "$@"` is the program with its arguments.
    pub(crate) fn in_shell(&self, script: &str, arguments: &[&str]) -> assert_cmd::Command {
        let program = program().display().to_string();
        assert_cmd::Command::from_std(self.prepared("sh", &[&["-c", script, &program], arguments].concat()))
    }

    fn prepared(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TZ", "UTC")
            .env("SNAP_REPOSITORY", self.path("repository"))
            .env("SNAP_PASSWORD", PASSWORD)
            .env("SNAP_HOST", "host");
        command
    }

    /// Runs it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        finish(&mut self.command(arguments))
    }

    /// Runs it; it must end well and say nothing on standard error.
    pub(crate) fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}: {}", ran.stdout);
        ran
    }

    /// The ids of all snapshots, as they are listed.
    pub(crate) fn snapshot_ids(&self) -> Vec<String> {
        let ran = self.ok(&["snapshots", "--json"]);
        ran.objects("snapshot").iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Runs it; it must end with this code.
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {} {}", ran.stdout, ran.stderr);
        ran
    }
}

/// Runs a prepared command.
pub(crate) fn finish(command: &mut assert_cmd::Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}

impl Ran {
    /// The lines of standard output.
    pub(crate) fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// The JSON objects of this type on standard output, all of which must be JSON.
    pub(crate) fn objects(&self, message_type: &str) -> Vec<Value> {
        objects(&self.stdout, message_type)
    }

    /// The one summary.
    pub(crate) fn summary(&self) -> Value {
        let mut summaries = self.objects("summary");
        assert_eq!(summaries.len(), 1, "{}", self.stdout);
        summaries.remove(0)
    }

    /// The last error on standard error, all of which must be JSON.
    pub(crate) fn error(&self) -> Value {
        objects(&self.stderr, "error").pop().unwrap_or_else(|| panic!("no error in {:?}", self.stderr))
    }
}

fn objects(lines: &str, message_type: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    lines.lines().map(parse).filter(|object| object["message_type"] == message_type).collect()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
