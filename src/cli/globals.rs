//! The flags that every verb takes, and the places that follow from them and from the environment.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// The flags that every verb takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Globals {
    /// The repository: a directory, as `PATH` or `local:PATH`
    #[arg(short, long, global = true, env = "SNAP_REPOSITORY", value_name = "PATH")]
    pub(crate) repo: Option<PathBuf>,

    /// Read the password from this file [env: SNAP_PASSWORD_FILE]
    ///
    /// A line break at the end does not count. Without it the password comes from --password-command, SNAP_PASSWORD, or
    /// is asked for on the terminal.
    #[arg(short, long, global = true, value_name = "FILE", conflicts_with_all = ["password_command", "key_export"])]
    pub(crate) password_file: Option<PathBuf>,

    /// Run this command and take what it prints for the password [env: SNAP_PASSWORD_COMMAND]
    ///
    /// It is split into words like in a shell, but no shell runs it.
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with = "key_export")]
    pub(crate) password_command: Option<String>,

    /// Open the repository with a key export (see `snap key export`) instead of a password
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_export: Option<PathBuf>,

    /// Read a repository whose log is behind what this machine has seen of it: an older copy. Nothing is written to it
    #[arg(long, global = true)]
    pub(crate) allow_rollback: bool,

    /// Print one JSON object a line; its `message_type` says what it is
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print results and errors only: no progress, no summaries
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Print every path that is worked on
    #[arg(short, long, global = true, conflicts_with_all = ["quiet", "json"])]
    pub(crate) verbose: bool,

    /// Keep the local index below this directory [default: $XDG_CACHE_HOME/snap or ~/.cache/snap]
    #[arg(long, global = true, env = "SNAP_CACHE_DIR", value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Keep no local index: read the repository's anew each time
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,

    /// Use so many threads [default: one for each core]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

impl Globals {
    /// How many threads.
    pub(crate) fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.map_or_else(all, NonZeroUsize::get)
    }

    /// Where the local indexes of all repositories are; none if there is no such place.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        match (self.no_cache, &self.cache_dir) {
            (true, _) => None,
            (false, Some(folder)) if !folder.as_os_str().is_empty() => Some(folder.clone()),
            (false, _) => standard_folder("XDG_CACHE_HOME", ".cache"),
        }
    }

    /// Where it is remembered what was seen of repositories; none if there is no such place.
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        given("SNAP_STATE_DIR").or_else(|| standard_folder("XDG_STATE_HOME", ".local/state"))
    }
}

/// A path from the environment; an empty one counts as none.
pub(crate) fn given(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// A folder as the XDG base directory specification has it: relative ones do not count.
fn standard_folder(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let folder = given(variable).and_then(absolute);
    let folder = folder.or_else(|| Some(given("HOME").and_then(absolute)?.join(below_home)));
    folder.map(|folder| folder.join(Path::new("snap")))
}
