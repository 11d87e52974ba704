//! The flags that every verb takes, and the places that follow from them and from the environment.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use avro_snap::runtime::Runtime;
use avro_snap::storage::{CacheTerms, Rates};
use avro_snap::values::{parse_rate, parse_size};

use super::failure::{Failure, Result};

/// The flags that every verb takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Globals {
    // No `env` here and below: what comes from the environment would stand in usage lines as if it had been given.
    /// Repository: a directory, as `PATH` or `local:PATH`, or s3://, gs:// or az://BUCKET/PREFIX [env: SNAP_REPOSITORY]
    #[arg(short, long, global = true, value_name = "PATH")]
    pub(crate) repo: Option<PathBuf>,

    /// Read the password from this file [env: SNAP_PASSWORD_FILE]
    ///
    /// A line break at the end does not count. Without this flag the password comes from --password-command, SNAP_PASSWORD,
    /// or is asked for on the terminal.
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// Run this command, and use what it prints as the password [env: SNAP_PASSWORD_COMMAND]
    ///
    /// It is split into words as in a shell, but no shell runs it. Its standard error goes to the terminal as it is, since it
    /// may ask for something there. Where standard error is no terminal, the first 4 KiB are shown as a warning, escaped and
    /// with *** in place of the password; with --json, it is not shown.
    #[arg(long, global = true, value_name = "COMMAND")]
    pub(crate) password_command: Option<String>,

    /// Open the repository with a key export (see `snap key export`) instead of a password
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_export: Option<PathBuf>,

    /// Read a repository whose log is older than what this machine has seen of it, such as an older copy; nothing is written
    #[arg(long, global = true)]
    pub(crate) allow_rollback: bool,

    /// Print one JSON object per line; its `message_type` says what it is
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print only results and errors: no progress, no summaries
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Print every path that is processed
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Keep the local index in this directory [env: SNAP_CACHE_DIR] [default: $XDG_CACHE_HOME/snap or ~/.cache/snap]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) cache_dir: Option<PathBuf>,

    /// Do not use a local index; read that of the repository each time
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,

    /// Keep at most SIZE of the objects of remote repositories in the cache directory; 0 keeps none [env: SNAP_CACHE_SIZE]
    /// [default: 512M]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) cache_size: Option<u64>,

    /// Send at most RATE per second to object stores, all together: KiB, or a number with k, M or G
    #[arg(long, global = true, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) limit_upload: Option<u64>,

    /// Receive at most RATE per second from object stores, all together: KiB, or a number with k, M or G
    #[arg(long, global = true, value_name = "RATE", value_parser = parse_rate)]
    pub(crate) limit_download: Option<u64>,

    /// Have at most N requests to an object store on their way at once [default: 16]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) connections: Option<NonZeroUsize>,

    /// Put new data into packs of about this size: 1M to 32M [default: 16M]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_pack_size)]
    pub(crate) pack_size: Option<usize>,

    /// Put new packs of data into this storage class of the store, like STANDARD_IA, GLACIER_IR or Cool
    ///
    /// Only what restores read gets there; the log, the index and what snapshots list stay where they are read at once. Without
    /// this flag, packs get the class that the bucket gives.
    #[arg(long, global = true, value_name = "CLASS")]
    pub(crate) storage_class: Option<String>,

    /// Use N threads [default: one per core]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Lock each new object of a repository in an object store for this long, so that it cannot be deleted before [env: SNAP_RETAIN]
    ///
    /// The bucket needs object lock (S3, Google Cloud Storage). Packs, index objects, log entries, the config and key slots are
    /// locked; `snap retain` extends the time for what snapshots need.
    #[arg(long, global = true, value_name = "DURATION", value_parser = super::retain::parse_retention)]
    pub(crate) retain: Option<Duration>,

    /// Read the oldest version of each object, in a bucket that keeps versions; nothing is written
    ///
    /// A repository gives each name once, so the oldest version is the right one. This is for getting data back after
    /// somebody overwrote or deleted objects (S3 only).
    #[arg(long, global = true)]
    pub(crate) oldest_versions: bool,

    /// The command, like `snap key add`: whose page of the help to name.
    #[arg(skip)]
    pub(crate) page: String,
}

impl Globals {
    /// Takes over what the environment says, and refuses flags that do not go together. That is looked at here, since
    /// these flags may stand before the command, after it, or on both sides.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.repo = self.repo.take().or_else(|| given("SNAP_REPOSITORY"));
        self.cache_dir = self.cache_dir.take().or_else(|| given("SNAP_CACHE_DIR"));
        if let (None, Some(text)) = (self.retain, given("SNAP_RETAIN")) {
            let time = super::retain::parse_retention(&text.to_string_lossy());
            self.retain = Some(time.map_err(|reason| Failure::Usage(format!("SNAP_RETAIN: {reason}")))?);
        }
        if self.cache_size.is_none()
            && let Some(size) = given("SNAP_CACHE_SIZE")
        {
            let size = parse_size(&size.to_string_lossy());
            self.cache_size = Some(size.map_err(|why| Failure::Usage(format!("SNAP_CACHE_SIZE: {why}")))?);
        }
        let flags = [
            ("--json", self.json),
            ("--quiet", self.quiet),
            ("--verbose", self.verbose > 0),
            ("--password-file", self.password_file.is_some()),
            ("--password-command", self.password_command.is_some()),
            ("--key-export", self.key_export.is_some()),
        ];
        let is_given = |name: &str| flags.iter().any(|(flag, given)| *flag == name && *given);
        for (one, other) in [
            ("--json", "--verbose"),
            ("--quiet", "--verbose"),
            ("--password-file", "--password-command"),
            ("--password-file", "--key-export"),
            ("--password-command", "--key-export"),
        ] {
            if is_given(one) && is_given(other) {
                return Err(Failure::Usage(format!("{one} and {other} do not go together")));
            }
        }
        Ok(())
    }

    /// How many threads.
    pub(crate) fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        self.threads.map_or_else(all, NonZeroUsize::get)
    }

    /// What the work runs on.
    pub(crate) fn runtime(&self) -> Runtime {
        Runtime::new(self.threads(), super::interrupt::token().clone())
    }

    /// Where the local indexes of all repositories are; none if there is no such place.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        match (self.no_cache, &self.cache_dir) {
            (true, _) => None,
            (false, Some(folder)) if !folder.as_os_str().is_empty() => Some(folder.clone()),
            (false, _) => standard_folder("XDG_CACHE_HOME", ".cache"),
        }
    }

    /// Where objects of remote repositories are kept; none if there is no such place.
    pub(crate) fn objects_folder(&self) -> Option<PathBuf> {
        Some(self.cache_folder()?.join("objects"))
    }

    /// How many bytes of them are kept.
    pub(crate) fn cache_size(&self) -> u64 {
        self.cache_size.unwrap_or(CacheTerms::default().total)
    }

    /// How many bytes a second may go to and come from stores; none without a limit.
    pub(crate) fn rates(&self) -> Option<Rates> {
        let (up, down) = (self.limit_upload, self.limit_download);
        (up.is_some() || down.is_some()).then(|| Rates::new(up, down))
    }

    /// Where it is remembered what was seen of repositories; none if there is no such place.
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        given("SNAP_STATE_DIR").or_else(|| standard_folder("XDG_STATE_HOME", ".local/state"))
    }
}

/// Reads the size of packs.
fn parse_pack_size(text: &str) -> std::result::Result<usize, String> {
    const SIZES: std::ops::RangeInclusive<u64> = 1 << 20..=32 << 20;
    match parse_size(text)? {
        size if SIZES.contains(&size) => usize::try_from(size).map_err(|error| error.to_string()),
        _ => Err(format!("{text:?} is no size of a pack: write a size from 1M to 32M")),
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
